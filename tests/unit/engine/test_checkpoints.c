/* An engine with a block log: whenever its checkpoints come, what was answered is there when the store is opened
 * again; and what it says when it cannot be opened. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine_fixture.h"
#include "ledger_kv_ops.h"

#define CHECKPOINT_BYTES ((size_t)64 * 1024)
#define NEVER_MS         60000
#define SWEEP_MAX        10000

static struct engine_fixture fix;
static char *folder;
static char *ledger_path;
static char *log_path;

static int setup(void **state)
{
    (void)state;
    folder = hm_asprintf("/tmp/hm-engine-XXXXXX");
    assert_non_null(mkdtemp(folder));
    ledger_path = hm_asprintf("%s/ledger", folder);
    log_path = hm_asprintf("%s/blocks", folder);
    engine_fixture_init_log(&fix, ledger_path, log_path);
    fix.options.checkpoint_bytes = CHECKPOINT_BYTES;
    fix.options.checkpoint_ms = NEVER_MS;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(hm_remove_tree(folder, NULL), 0);
    hm_free(folder);
    hm_free(ledger_path);
    hm_free(log_path);
    return 0;
}

/* One block that holds about so many bytes. */
static void block_of(size_t bytes)
{
    Hypermesh__Operation *op = op_kv_put(&fix.chain, "key", NULL, 0);
    struct engine_receipt receipt;
    struct hm_error error = {0};

    op->kv_put->value = fixture_keep(&fix.chain, fixture_take(&fix.chain, bytes), bytes);
    if (engine_submit_wait(fix.engine, fixture_tx(&fix.chain, ALICE, &op, 1), &receipt, &error) !=
        0)
        fail_msg("%s", error.text);
    assert_string_equal(receipt.text, "");
    engine_receipt_release(&receipt);
}

/* Ends the engine and opens everything as a node does: the ledger ends where it ended. */
static void all_is_there_again(void)
{
    struct store_options options = *fixture_store_options();
    struct engine_options engine = {.log_path = log_path, .checkpoint_bytes = CHECKPOINT_BYTES};
    struct ledger_info before, after;
    struct hm_error error = {0};

    engine_close(HM_TAKE(fix.engine));
    assert_int_equal(ledger_info(fix.chain.ledger, &before, NULL), 0);
    engine_fixture_release(&fix);
    options.deferred = true;
    if (store_open_lmdb(ledger_path, &options, &engine.store, &error) != 0 ||
        ledger_open(engine.store, &engine.ledger, &error) != 0 ||
        engine_solo_recover(&engine, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(ledger_info(engine.ledger, &after, NULL), 0);
    assert_int_equal(after.height, before.height);
    assert_memory_equal(after.state_root, before.state_root, CRYPTO_HASH_BYTES);
    assert_memory_equal(after.block_hash, before.block_hash, CRYPTO_HASH_BYTES);
    ledger_close(engine.ledger);
    store_close(engine.store);
}

/* Blocks of all sizes, also such as the log has no room for until a checkpoint frees it. */
static void the_log_fills_up(void **state)
{
    static const size_t sizes[] = {50000,  100000, 100, 60000, 120000,
                                   120000, 120000, 1,   30000, 90000};

    (void)state;
    engine_fixture_start(&fix);
    for (size_t i = 0; i < HM_COUNT_OF(sizes); i++)
        block_of(sizes[i]);
    all_is_there_again();
}

/* The time for a checkpoint comes while the writer is in the middle of a block. */
static void due_inside_a_block(void **state)
{
    (void)state;
    fix.options.checkpoint_ms = 20;
    engine_fixture_start(&fix);
    engine_fixture_submit(&fix, engine_fixture_transfer(&fix, ALICE));
    engine_fixture_wait_answers(&fix, 1);
    engine_fixture_gate(&fix, true);
    engine_fixture_submit(&fix, engine_fixture_transfer(&fix, ALICE));
    engine_fixture_wait_at_gate(&fix);
    usleep(60 * 1000);
    engine_fixture_gate(&fix, false);
    engine_fixture_wait_answers(&fix, 2);
    for (unsigned i = 0; i < 2; i++)
        engine_fixture_expect_good(&fix.answers[i]);
    usleep(60 * 1000); /* and one while it sleeps */
    all_is_there_again();
}

static void without_memory(void **state)
{
    struct hm_error error = {0};
    unsigned long nth = 0;
    int rc;

    (void)state;
    do {
        hm_alloc_fail_at(++nth);
        rc = engine_solo_open(&fix.options, &fix.engine, &error);
        hm_alloc_fail_at(0);
        if (rc != 0 && rc != HM_ENOMEM)
            fail_msg("allocation %lu: %d %s", nth, rc, error.text);
    } while (rc != 0 && nth < SWEEP_MAX);
    assert_int_equal(rc, 0);
    assert_true(nth > 5);
    block_of(10);
    all_is_there_again();
}

static void it_cannot_be_opened(void **state)
{
    HM_AUTOFREE char *nowhere = hm_asprintf("%s/nowhere/blocks", folder);
    struct engine_options options = fix.options;
    struct engine *engine = NULL;
    struct hm_error error = {0};

    (void)state;
    options.store = NULL;
    assert_int_equal(engine_solo_open(&options, &engine, &error), HM_EINVAL);
    assert_non_null(strstr(error.text, "needs the ledger's store"));
    assert_int_equal(engine_solo_recover(&options, NULL), HM_EINVAL);
    options = fix.options;
    options.log_path = nowhere;
    assert_int_not_equal(engine_solo_open(&options, &engine, &error), 0);
    assert_non_null(strstr(error.text, nowhere));
    assert_null(engine);
    options.log_path = NULL;
    assert_int_equal(engine_solo_recover(&options, NULL), 0); /* nothing to do */
    engine_fixture_start(&fix);
    block_of(10);
    all_is_there_again();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_log_fills_up, setup, teardown),
        cmocka_unit_test_setup_teardown(due_inside_a_block, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(it_cannot_be_opened, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
