/* A cluster that goes on with some of its validators only, under a new name of its engine's chain; and a ledger that gets the blocks
 * which it has not from another one. */
#include <stdio.h>

#include "ledger_check.h"
#include "stake_ops.h"

#define H     FIXTURE_HYPER
#define CHAIN "recovered-2-0a1b2c3d"

static struct engine_model engine;

static int setup(void **state)
{
    static const struct fixture_options options = {.params = stake_params};

    (void)state;
    return fixture_init(&fix, &options);
}

static struct ledger_outcome block(const struct stake_votes *votes, bool pays)
{
    Hypermesh__Operation *op = op_transfer(&fix, FRANK, 1);
    struct hm_slice tx = pays ? fixture_tx(&fix, ERIN, &op, 1) : (struct hm_slice){0};
    struct ledger_outcome out;

    if (stake_block(&fix, &engine, votes, &tx, pays, &out))
        fail_msg("block: %s", fix.error.text);
    return out;
}

/* Alice 400, Bob 300, Carol 300, a few blocks. */
static void begin(void)
{
    good(ALICE, op_declare(&fix, ALICE, 400 * H, 0));
    good(BOB, op_declare(&fix, BOB, 300 * H, 0));
    good(CAROL, op_declare(&fix, CAROL, 300 * H, 0));
    engine_model_begin(&engine, &fix);
    (void)block(NULL, true);
    (void)block(NULL, false);
}

/* Two voters, as the ledger wants them: sorted. */
static Hypermesh__EngineRecovery *names(enum fixture_role a, enum fixture_role b)
{
    Hypermesh__EngineRecovery *recovery = fixture_new(&fix,
                                                      &hypermesh__engine_recovery__descriptor);
    bool turned = memcmp(fix.people[a].id, fix.people[b].id, 32) > 0;

    recovery->engine_chain = (char *)(uintptr_t)CHAIN;
    recovery->voters = fixture_take(&fix, 2 * sizeof *recovery->voters);
    recovery->voters[turned] = fixture_keep(&fix, fix.people[a].id, 32);
    recovery->voters[!turned] = fixture_keep(&fix, fix.people[b].id, 32);
    recovery->n_voters = 2;
    return recovery;
}

/* The engine's own set, as its InitChain is answered. */
static void engine_begins(const Hypermesh__EngineRecovery *recovery)
{
    struct ledger_view *view = check_view();
    struct ledger_validator_update *list;
    size_t count;

    if (ledger_view_recovery_set(view, recovery, &fix.arena, &list, &count, &fix.error))
        fail_msg("%s", fix.error.text);
    ledger_view_close(view);
    memset(&engine, 0, sizeof engine);
    engine.count = 1;
    engine.sets[0].count = count;
    for (size_t i = 0; i < count; i++) {
        struct engine_member *member = &engine.sets[0].members[i];

        memcpy(member->key, list[i].key, sizeof member->key);
        member->power = list[i].power;
        stake_address(member->key, member->address);
    }
}

static uint64_t power_of(enum fixture_role who)
{
    const struct engine_set *set = engine_model_newest(&engine);
    struct crypto_ed25519_key key;

    stake_key(who, &key);
    for (size_t i = 0; i < set->count; i++) {
        if (memcmp(set->members[i].key, key.public_key, 32) == 0)
            return set->members[i].power;
    }
    return 0;
}

static uint64_t jail_ms(void)
{
    struct ledger_view *view = check_view();
    Hypermesh__Params *params;

    assert_int_equal(ledger_view_params(view, &fix.arena, &params, NULL), 0);
    ledger_view_close(view);
    return params->jail_ms;
}

static uint32_t recoveries(void)
{
    struct ledger_view *view = check_view();
    uint32_t count;

    assert_int_equal(ledger_view_recoveries(view, &count, NULL), 0);
    ledger_view_close(view);
    return count;
}

static void recover(Hypermesh__EngineRecovery *recovery)
{
    const struct stake_votes votes = {.nobody = true, .recovery = recovery};

    engine_begins(recovery);
    assert_true(block(&votes, false).changed);
}

static void test_those_that_are_named_go_on(void **state)
{
    struct ledger_info before;
    uint64_t stake;

    (void)state;
    begin();
    before = check_info();
    assert_string_equal(before.engine_chain, before.chain_id);
    stake = stake_validator(&fix, ALICE)->stake;
    assert_int_equal(power_of(ALICE), 400);
    recover(names(BOB, CAROL));
    /* Bob and Carol have all of the power at once; Alice has her stake, and must ask to be let in. */
    assert_int_equal(engine_model_newest(&engine)->count, 2);
    assert_int_equal(power_of(BOB), 300);
    assert_true(stake_validator(&fix, ALICE)->jailed);
    assert_int_equal(stake_validator(&fix, ALICE)->jailed_until_ms,
                     check_info().time_ms + jail_ms());
    assert_int_equal(stake_validator(&fix, ALICE)->stake, stake);
    assert_int_equal(stake_validator(&fix, ALICE)->slashed, 0);
    assert_false(stake_validator(&fix, BOB)->jailed || stake_validator(&fix, CAROL)->jailed);
    assert_int_equal(fix.record->n_jailed, 1);
    assert_string_equal(check_info().engine_chain, CHAIN);
    assert_string_equal(check_info().chain_id, before.chain_id);
    assert_int_equal(recoveries(), 1);
    /* It stays so when the ledger is opened again. */
    ledger_close(fix.ledger);
    assert_int_equal(ledger_open(fix.store, &fix.ledger, &fix.error), 0);
    assert_string_equal(check_info().engine_chain, CHAIN);
    (void)block(NULL, true);
    assert_false(block(NULL, false).changed);
}

/* Who was shut out comes back as after any jail, with at most a third of the power in a block. */
static void test_the_others_may_come_back(void **state)
{
    (void)state;
    begin();
    recover(names(BOB, CAROL));
    refused(ALICE, op_unjail(&fix), "validator.jail_time");
    fix.next_ms += jail_ms();
    assert_non_null(stake_do(&fix, &engine, ALICE, op_unjail(&fix)));
    for (int i = 0; i < 4; i++)
        (void)block(NULL, true);
    assert_int_equal(power_of(ALICE), 400);
    assert_int_equal(engine_model_newest(&engine)->count, 3);
}

static void test_it_may_happen_again(void **state)
{
    Hypermesh__EngineRecovery *again;

    (void)state;
    begin();
    recover(names(BOB, CAROL));
    again = names(BOB, CAROL);
    again->engine_chain = (char *)(uintptr_t) "recovered-3-ffffffff";
    again->voters[0] = fixture_keep(&fix, fix.people[CAROL].id, 32);
    again->n_voters = 1;
    recover(again);
    assert_int_equal(engine_model_newest(&engine)->count, 1);
    assert_int_equal(power_of(CAROL), 300);
    assert_int_equal(recoveries(), 2);
    assert_string_equal(check_info().engine_chain, "recovered-3-ffffffff");
    assert_int_equal(fix.record->n_jailed, 1); /* Bob; Alice was */
}

static void wrong(const Hypermesh__EngineRecovery *recovery, const char *words)
{
    struct stake_votes votes = {.nobody = true};
    struct ledger_info before = check_info();
    struct ledger_validator_update *list;
    struct ledger_view *view;
    size_t count;

    votes.recovery = (Hypermesh__EngineRecovery *)(uintptr_t)recovery;
    assert_int_equal(stake_block(&fix, &engine, &votes, NULL, 0, NULL), HM_EINVAL);
    assert_non_null(strstr(fix.error.text, words));
    view = check_view();
    assert_int_equal(ledger_view_recovery_set(view, recovery, &fix.arena, &list, &count, NULL),
                     HM_EINVAL);
    ledger_view_close(view);
    assert_memory_equal(check_info().state_root, before.state_root, 32);
    assert_int_equal(check_info().height, before.height);
}

static void test_what_is_malformed_is_refused(void **state)
{
    Hypermesh__EngineRecovery *recovery;
    ProtobufCBinaryData kept;
    static const char *const chains[] = {"", "Recovered", "a b", "a/b",
                                         "123456789012345678901234567890123456789012345678901"};

    (void)state;
    begin();
    for (size_t i = 0; i < HM_COUNT_OF(chains); i++) {
        recovery = names(BOB, CAROL);
        recovery->engine_chain = (char *)(uintptr_t)chains[i];
        wrong(recovery, "engine_chain");
    }
    recovery = names(BOB, CAROL);
    recovery->n_voters = 0;
    wrong(recovery, "1 to");
    recovery->n_voters = 2;
    recovery->voters[1].len = 31;
    wrong(recovery, "32 bytes");
    recovery->voters[1] = recovery->voters[0];
    wrong(recovery, "each once");
    recovery = names(BOB, CAROL);
    kept = recovery->voters[0];
    recovery->voters[0] = recovery->voters[1];
    recovery->voters[1] = kept;
    wrong(recovery, "sorted");
}

static void test_who_has_no_power_cannot_go_on(void **state)
{
    struct ledger_validator_update *list;
    struct ledger_view *view;
    size_t count;

    (void)state;
    begin();
    view = check_view();
    assert_int_equal(
        ledger_view_recovery_set(view, names(BOB, FRANK), &fix.arena, &list, &count, &fix.error),
        HM_ECONFLICT);
    assert_non_null(strstr(fix.error.text, "cannot go on as a validator"));
    ledger_view_close(view);
    recover(names(BOB, CAROL));
    view = check_view();
    assert_int_equal(
        ledger_view_recovery_set(view, names(BOB, ALICE), &fix.arena, &list, &count, &fix.error),
        HM_ECONFLICT);
    ledger_view_close(view);
}

/* --- blocks from another ledger --- */

static void follows(struct ledger *other, uint64_t wanted)
{
    struct ledger_info is;
    uint64_t blocks = 0;

    if (ledger_follow(fix.ledger, other, 0, &blocks, &fix.error))
        fail_msg("%s", fix.error.text);
    assert_int_equal(blocks, wanted);
    assert_int_equal(ledger_info(other, &is, NULL), 0);
    assert_int_equal(is.height, check_info().height);
    assert_memory_equal(is.state_root, check_info().state_root, 32);
    assert_memory_equal(is.block_hash, check_info().block_hash, 32);
}

static void test_a_ledger_gets_what_it_lacks(void **state)
{
    struct ledger *other;
    struct store *store;
    uint64_t height, blocks = 7;
    struct hm_slice genesis;

    (void)state;
    begin();
    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    assert_int_equal(ledger_open(store, &other, NULL), 0);
    assert_int_equal(ledger_follow(fix.ledger, other, 0, &blocks, &fix.error), HM_ENOTFOUND);
    genesis = fixture_genesis(&fix);
    assert_int_equal(ledger_init_chain(other, genesis, NULL), 0);
    height = check_info().height;
    assert_int_equal(ledger_follow(fix.ledger, other, height - 1, &blocks, &fix.error), 0);
    assert_int_equal(blocks, height - 1);
    assert_int_equal(ledger_follow(fix.ledger, other, 1, &blocks, &fix.error), 0);
    assert_int_equal(blocks, 0);
    blocks = 7;
    follows(other, 1);
    recover(names(BOB, CAROL));
    (void)block(NULL, true);
    follows(other, 2);
    follows(other, 0);
    assert_int_equal(ledger_audit(other, &fix.error), 0);
    /* The other way it is the one that lags: it was further by a block. */
    ledger_close(other);
    store_close(store);
    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    assert_int_equal(ledger_open(store, &other, NULL), 0);
    assert_int_equal(ledger_init_chain(other, genesis, NULL), 0);
    assert_int_equal(ledger_follow(other, fix.ledger, 0, &blocks, &fix.error), HM_ECONFLICT);
    assert_non_null(strstr(fix.error.text, "already"));
    assert_int_equal(blocks, 7);
    ledger_close(other);
    store_close(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, check_replay_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_those_that_are_named_go_on),    TEST(test_the_others_may_come_back),
        TEST(test_it_may_happen_again),           TEST(test_what_is_malformed_is_refused),
        TEST(test_who_has_no_power_cannot_go_on), TEST(test_a_ledger_gets_what_it_lacks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
