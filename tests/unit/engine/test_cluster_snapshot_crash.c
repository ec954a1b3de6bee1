/* A node that is killed while it takes a snapshot over, or right after. */
#include "snapshot_pair.h"

static void half_of_one_is_begun_anew(void **state)
{
    (void)state;
    giver_offers();
    taker_init(false);
    taker_start();
    pair_offer_good();
    pair_apply_good(0);
    taker_stop();
    assert_int_equal(taker_open_ledger(false), HM_ECONFLICT);
    assert_int_equal(ledger_restore_drop(taker_store, NULL), 0);
    assert_int_equal(ledger_open(taker_store, &taker.fix.options.ledger, NULL), 0);
    taker_start();
    pair_offer_good();
    pair_apply_good(0);
    pair_offer_good(); /* the engine gives up on it, and begins once more */
    pair_apply_all();
    taker_follows();
    taker_release();
}

/* What is offered ends the node, with these words. */
static void taker_ends(const uint8_t *app_hash, const char *words)
{
    struct hm_error error;

    assert_int_equal(pair_offer(offered.snapshot, app_hash, &error), HM_ECONFLICT);
    assert_non_null(strstr(error.text, words));
    assert_int_equal(taker.fix.failures, 1);
    taker.fix.failures = 0;
    taker_stop();
}

/* The node was killed when the ledger had it and the engine did not know yet: it offers it again. */
static void whole_before_the_engine_knew(void **state)
{
    uint8_t app_hash[32];

    (void)state;
    giver_offers();
    taker_init(true);
    taker_start();
    pair_offer_good();
    pair_apply_all();
    taker_stop();
    assert_int_equal(taker_open_ledger(true), 0);
    taker_start();
    memcpy(app_hash, offered.app_hash, sizeof(app_hash));
    app_hash[0] ^= 1;
    taker_ends(app_hash, "start it again");
    assert_int_equal(taker_open_ledger(true), 0);
    taker_start();
    pair_offer_good();
    pair_apply_all();
    taker_follows();
    taker_release();
}

/* As above, but by now the others have newer ones only: this ledger is none that can go on. What was taken over is dropped, which
 * a ledger with a block of its own never is. */
static void whole_and_another_is_offered(void **state)
{
    struct ledger_info info;

    (void)state;
    giver_offers();
    taker_init(true);
    taker_start();
    pair_offer_good();
    pair_apply_all();
    taker_stop();
    giver_offers_others();
    assert_int_equal(taker_open_ledger(true), 0);
    taker_start();
    taker_ends(offered.app_hash, "where it has no block of its own yet");
    assert_int_equal(taker_open_ledger(true), 0);
    assert_int_equal(ledger_restore_undo(taker.fix.options.ledger, NULL), 0);
    ledger_close(HM_TAKE(taker.fix.options.ledger));
    assert_int_equal(ledger_restore_drop(taker_store, NULL), 0);
    assert_int_equal(ledger_open(taker_store, &taker.fix.options.ledger, NULL), 0);
    taker_start();
    pair_offer_good();
    pair_apply_all();
    assert_int_equal(ledger_info(taker.fix.options.ledger, &info, NULL), 0);
    assert_int_equal(info.height, offered.height);
    taker_follows();
    taker_stop();
    giver_offers_others();
    assert_int_equal(taker_open_ledger(true), 0);
    assert_int_equal(ledger_restore_undo(taker.fix.options.ledger, NULL), HM_EPERM);
    taker_start();
    taker_ends(offered.app_hash, "join with a new folder");
    assert_int_equal(taker_open_ledger(true), 0);
    taker_start();
    taker_follows();
    taker_release();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(half_of_one_is_begun_anew, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(whole_before_the_engine_knew, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(whole_and_another_is_offered, pair_setup, pair_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
