/* An engine that goes on where another one could not: with the validators that people named, under a new name, and whatever it is
 * cut off at, with the same first block. */
#include "cluster_script.h"
#include "stake_ops.h"

#define BOND_HYPER UINT64_C(1000)
#define CHAIN      FIXTURE_CHAIN "-2-0a1b2c3d"

static struct script script;
static struct engine_model model;
static uint8_t set_hash[32];

static Hypermesh__EngineRecovery *only(enum fixture_role who)
{
    struct fixture *chain = &script.fix.chain;
    Hypermesh__EngineRecovery *recovery = fixture_new(chain,
                                                      &hypermesh__engine_recovery__descriptor);

    recovery->engine_chain = (char *)(uintptr_t)CHAIN;
    recovery->voters = fixture_take(chain, sizeof *recovery->voters);
    recovery->voters[0] = fixture_keep(chain, chain->people[who].id, 32);
    recovery->n_voters = 1;
    return recovery;
}

/* Alice and Bob are validators; only Bob is left. */
static void begin(void)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    struct crypto_ed25519_key bob;

    engine_fixture_declare(&script.fix, ALICE, BOND_HYPER);
    engine_fixture_declare(&script.fix, BOB, BOND_HYPER);
    script_start(&script);
    assert_int_equal(
        engine_cometbft_recover_state(script.fix.options.ledger, only(BOB), &bytes, NULL), 0);
    assert_int_equal(bytes.data[0], 0xF3);
    hm_buf_clear(&script.app_state);
    assert_int_equal(hm_buf_append_str(&script.app_state, "\""), 0);
    assert_int_equal(hm_base64_encode(bytes.data, bytes.len, &script.app_state), 0);
    assert_int_equal(hm_buf_append_str(&script.app_state, "\""), 0);
    script.chain_id = CHAIN;
    memset(&model, 0, sizeof model);
    model.count = 1;
    model.sets[0].count = 1;
    stake_key(BOB, &bob);
    memcpy(model.sets[0].members[0].key, bob.public_key, 32);
    model.sets[0].members[0].power = BOND_HYPER;
    engine_model_hash(&model, set_hash);
    script.set_hash = set_hash;
}

static void bob_alone(void)
{
    struct crypto_ed25519_key bob;

    stake_key(BOB, &bob);
    assert_int_equal(script.begun.count, 1);
    assert_memory_equal(script.begun.list[0].key, bob.public_key, 32);
    assert_int_equal(script.begun.list[0].power, BOND_HYPER);
}

static struct ledger_info info(void)
{
    struct ledger_info at;

    assert_int_equal(ledger_info(script.fix.options.ledger, &at, NULL), 0);
    return at;
}

static void it_began(const struct ledger_info *before)
{
    assert_int_equal(info().height, before->height + 1);
    assert_string_equal(info().engine_chain, CHAIN);
    assert_string_equal(info().chain_id, FIXTURE_CHAIN);
    assert_true(stake_validator(&script.fix.chain, ALICE)->jailed);
    assert_false(stake_validator(&script.fix.chain, BOB)->jailed);
    assert_int_equal(script.changed.count, 0); /* the engine has that set already */
}

static void those_that_are_left_go_on(void **state)
{
    struct ledger_info before;

    (void)state;
    begin();
    before = info();
    assert_string_equal(before.engine_chain, FIXTURE_CHAIN);
    script_handshake_good(&script);
    bob_alone();
    (void)script_run(&script, SCRIPT_WHOLE);
    it_began(&before);
    (void)script_run(&script, SCRIPT_WHOLE);
    script_die(&script);
    script.chain_id = "never asked";
    script_handshake_good(&script);
    (void)script_run(&script, SCRIPT_WHOLE);
    assert_int_equal(info().height, before.height + 3);
}

/* Cut off before its first block is committed it begins again, and has the same block. */
static void it_is_cut_off(void **state)
{
    static const enum script_stop stops[] = {SCRIPT_AFTER_PREPARE, SCRIPT_AFTER_PROCESS,
                                             SCRIPT_AFTER_STORE, SCRIPT_AFTER_FINALIZE,
                                             SCRIPT_AFTER_COMMIT};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(stops); i++) {
        struct ledger_info before;

        if (i > 0)
            script_init(&script, NULL, NULL);
        begin();
        before = info();
        script_handshake_good(&script);
        (void)script_run(&script, stops[i]);
        script_die(&script);
        script_handshake_good(&script);
        if (info().height == before.height)
            (void)script_run(&script, SCRIPT_WHOLE);
        it_began(&before);
        if (i + 1 < HM_COUNT_OF(stops))
            script_release(&script);
    }
}

static void refused(int code, const char *words)
{
    struct hm_error error = {0};
    struct ledger_info before = info();
    int rc = script_handshake(&script, &error);

    if (rc != code || strstr(error.text, words) == NULL)
        fail_msg("%s: %s", hm_error_name(rc), error.text);
    assert_int_equal(info().height, before.height);
}

static void the_old_name_is_refused(void **state)
{
    (void)state;
    begin();
    script.chain_id = FIXTURE_CHAIN;
    refused(HM_ECONFLICT, "this node's ledger of chain " CHAIN);
}

/* Who the named one is must be known to the ledger. */
static void one_without_power_is_refused(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    (void)state;
    begin();
    assert_int_equal(
        engine_cometbft_recover_state(script.fix.options.ledger, only(CAROL), &bytes, NULL), 0);
    hm_buf_clear(&script.app_state);
    assert_int_equal(hm_buf_append_str(&script.app_state, "\""), 0);
    assert_int_equal(hm_base64_encode(bytes.data, bytes.len, &script.app_state), 0);
    assert_int_equal(hm_buf_append_str(&script.app_state, "\""), 0);
    refused(HM_ECONFLICT, "cannot go on as a validator");
}

/* What an app_state says, and any that is cut short or says another length. */
static void what_it_says_is_read(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    struct engine_cometbft_state said;
    size_t head;

    (void)state;
    hm_arena_init(&arena, 0);
    engine_fixture_declare(&script.fix, BOB, BOND_HYPER);
    assert_int_equal(
        engine_cometbft_recover_state(script.fix.options.ledger, only(BOB), &bytes, NULL), 0);
    assert_int_equal(engine_cometbft_state_read(hm_buf_slice(&bytes), &arena, &said, NULL), 0);
    assert_int_equal(said.height, info().height);
    assert_string_equal(said.recovery->engine_chain, CHAIN);
    assert_int_equal(said.recovery->n_voters, 1);
    assert_true(hm_slice_equal(said.genesis, fixture_genesis(&script.fix.chain)));
    head = bytes.len - said.genesis.len;
    for (size_t len = 0; len <= head; len++)
        assert_int_equal(
            engine_cometbft_state_read(hm_slice_of(bytes.data, len), &arena, &said, NULL),
            HM_EINVAL);
    hm_put_be32(bytes.data + 41, UINT32_MAX);
    assert_int_equal(engine_cometbft_state_read(hm_buf_slice(&bytes), &arena, &said, NULL),
                     HM_EINVAL);
    hm_buf_clear(&bytes);
    assert_int_equal(engine_cometbft_app_state(script.fix.options.ledger, &bytes, NULL), 0);
    assert_int_equal(engine_cometbft_state_read(hm_buf_slice(&bytes), &arena, &said, NULL), 0);
    assert_null(said.recovery);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        script_test(those_that_are_left_go_on, &script),
        script_test(it_is_cut_off, &script),
        script_test(the_old_name_is_refused, &script),
        script_test(one_without_power_is_refused, &script),
        script_test(what_it_says_is_read, &script),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
