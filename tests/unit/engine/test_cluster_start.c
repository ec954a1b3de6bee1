/* The handshake: what the engine is told, how a chain begins or is taken over, and what does not belong together. */
#include "cluster_script.h"

#include <stdio.h>

static struct script script;

/* A ledger that was one node's: height 0 for the engine until its first block is there. */
static void a_solo_chain_goes_on(void **state)
{
    uint8_t root[32];
    uint64_t height;

    (void)state;
    script_start(&script);
    script_rpc_open(&script);
    struct ledger_info before = script_ledger(&script);
    assert_true(before.height > 0);
    script_handshake_good(&script);
    script_info(&script, &height, root);
    assert_int_equal(height, 0);
    struct engine_answer *answer = script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, 1);
    engine_fixture_expect_good(answer);
    script_info(&script, &height, root);
    assert_int_equal(height, before.height + 1);
    assert_memory_equal(root, script_ledger(&script).state_root, 32);
}

/* Starts again without InitChain. */
static void a_cluster_goes_on(void **state)
{
    struct engine_status status;

    (void)state;
    script_start(&script);
    script_handshake_good(&script);
    script_run(&script, SCRIPT_WHOLE);
    script_run(&script, SCRIPT_WHOLE);
    script_die(&script);
    script.chain_id = "never asked";
    script_handshake_good(&script);
    script_run(&script, SCRIPT_WHOLE);
    engine_get_status(script.fix.engine, &status);
    assert_int_equal(status.starts, 2);
    assert_int_equal(status.blocks, 3);
}

/* The node's ledger is empty: the engine's genesis brings the chain. */
static void a_chain_begins(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct hm_error error = {0};
    struct ledger *ledger;
    struct store *store;

    (void)state;
    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    assert_int_equal(ledger_open(store, &ledger, NULL), 0);
    script.fix.options.ledger = ledger;
    script_start(&script);
    engine_fixture_refused(&script.fix, engine_fixture_transfer(&script.fix, ALICE),
                           HM_EUNAVAILABLE, "no chain yet");
    assert_int_equal(engine_nudge(script.fix.engine, &error), HM_EUNAVAILABLE);
    struct hm_slice genesis = fixture_genesis(&script.fix.chain);
    assert_int_equal(hm_base64_encode(genesis.data, genesis.len, &text), 0);
    assert_int_equal(hm_buf_printf(&script.app_state, "\"%s\"", hm_buf_cstr(&text)), 0);
    script.initial_height = 1;
    script.bft_ms = FIXTURE_START_MS;
    script_handshake_good(&script);
    assert_int_equal(script_ledger(&script).height, 0);
    struct script_block *block = script_run(&script, SCRIPT_WHOLE);
    assert_int_equal(block->height, 1);
    assert_int_equal(script_ledger(&script).height, 1);
    script_die(&script);
    script_handshake_good(&script);
    script_die(&script);
    engine_close(HM_TAKE(script.fix.engine));
    ledger_close(ledger);
    store_close(store);
}

/* Refused with these words, and the engine is told nothing: the node says what is wrong. */
static void refused(int code, const char *words)
{
    struct engine_status status;
    struct hm_error error;

    struct ledger_info before = script_ledger(&script);
    int rc = script_handshake(&script, &error);
    if (rc != code || strstr(error.text, words) == NULL)
        fail_msg("%s: %s", hm_error_name(rc), error.text);
    assert_int_equal(script.fix.failures, 1);
    assert_int_equal(script.fix.failure.code, code);
    engine_get_status(script.fix.engine, &status);
    assert_true(status.failed);
    assert_non_null(strstr(status.failure, words));
    assert_int_equal(script_ledger(&script).height, before.height);
    engine_fixture_refused(&script.fix, engine_fixture_transfer(&script.fix, ALICE),
                           HM_EUNAVAILABLE, words);
    /* It stays so: a restart of the engine alone changes nothing. */
    script_die(&script);
    assert_int_equal(script_handshake(&script, &error), code);
    assert_int_equal(script.fix.failures, 1);
    assert_int_equal(engine_wait_height(script.fix.engine, before.height + 1, 60000, &error),
                     HM_EUNAVAILABLE);
}

static void another_chain(void **state)
{
    (void)state;
    script_start(&script);
    script.chain_id = "other-1";
    refused(HM_ECONFLICT, "other-1");
}

static void another_height(void **state)
{
    (void)state;
    script_start(&script);
    script.initial_height++;
    refused(HM_ECONFLICT, "stands at block");
}

static void another_version_of_the_application(void **state)
{
    (void)state;
    script_start(&script);
    script.app_version = 2;
    refused(HM_EUNSUPPORTED, "version 2");
}

static void another_engine(void **state)
{
    (void)state;
    script_start(&script);
    script.version = "0.39.0";
    refused(HM_EUNSUPPORTED, "0.39.0");
}

static void another_protocol(void **state)
{
    (void)state;
    script_start(&script);
    script.abci_version = "1.0.0";
    refused(HM_EUNSUPPORTED, "ABCI 1.0.0");
}

/* Bytes of app_state, changed at one place, or of another length. */
static void change_state(size_t at, size_t len)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    assert_int_equal(hm_base64_decode((const char *)script.app_state.data + 1,
                                      script.app_state.len - 2, &bytes, NULL),
                     0);
    assert_int_equal(bytes.data[0], 0xF2);
    bytes.data[at] ^= 1;
    hm_buf_clear(&script.app_state);
    assert_int_equal(hm_buf_append_str(&script.app_state, "\""), 0);
    assert_int_equal(
        hm_base64_encode(bytes.data, len < bytes.len ? len : bytes.len, &script.app_state), 0);
    assert_int_equal(hm_buf_append_str(&script.app_state, "\""), 0);
}

static void another_state(void **state)
{
    (void)state;
    script_start(&script);
    change_state(9 + 5, SIZE_MAX);
    refused(HM_ECONFLICT, "another state");
}

static void another_height_of_the_state(void **state)
{
    (void)state;
    script_start(&script);
    change_state(8, SIZE_MAX);
    refused(HM_ECONFLICT, "goes on from block");
}

static void another_genesis(void **state)
{
    (void)state;
    script_start(&script);
    change_state(1 + 8 + 32 + 20, SIZE_MAX);
    refused(HM_ECONFLICT, "another genesis");
}

static void a_state_cut_short(void **state)
{
    (void)state;
    script_start(&script);
    change_state(1, 30);
    refused(HM_EINVAL, "cut short");
}

static void set_state(const char *json)
{
    hm_buf_clear(&script.app_state);
    assert_int_equal(hm_buf_append_str(&script.app_state, json), 0);
}

static void a_state_that_is_no_text(void **state)
{
    (void)state;
    script_start(&script);
    set_state("{\"a\":1}");
    refused(HM_EINVAL, "base64");
}

static void a_state_that_is_no_base64(void **state)
{
    (void)state;
    script_start(&script);
    set_state("\"####\"");
    refused(HM_EINVAL, "app_state");
}

static void no_state(void **state)
{
    (void)state;
    script_start(&script);
    set_state("\"\"");
    refused(HM_EINVAL, "no app_state");
}

/* A node that has nothing cannot go on from what it has not got. */
static void a_state_that_is_not_here(void **state)
{
    struct hm_error error;
    struct ledger *ledger;
    struct store *store;

    (void)state;
    script_start(&script);
    engine_close(HM_TAKE(script.fix.engine));
    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    assert_int_equal(ledger_open(store, &ledger, NULL), 0);
    script.fix.options.ledger = ledger;
    script_start(&script); /* with the state of the ledger that was */
    assert_int_equal(script_handshake(&script, &error), HM_ECONFLICT);
    assert_non_null(strstr(error.text, "has not got"));
    script_die(&script);
    engine_close(HM_TAKE(script.fix.engine));
    ledger_close(ledger);
    store_close(store);
}

/* The engine decides a block that does not follow: nothing is answered. */
static void an_engine_that_runs_ahead(void **state)
{
    struct hm_error error;

    (void)state;
    script_start(&script);
    script_handshake_good(&script);
    script_run(&script, SCRIPT_WHOLE);
    script.blocks[script.block_count++] = (struct script_block){.height = script.initial_height +
                                                                          4};
    assert_int_equal(script_decide(&script, NULL, 0, SCRIPT_WHOLE, &error), HM_EINTERNAL);
    assert_non_null(strstr(error.text, "do not belong together"));
    assert_int_equal(script.fix.failures, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        script_test(a_solo_chain_goes_on, &script),
        script_test(a_cluster_goes_on, &script),
        script_test(a_chain_begins, &script),
        script_test(another_chain, &script),
        script_test(another_height, &script),
        script_test(another_version_of_the_application, &script),
        script_test(another_engine, &script),
        script_test(another_protocol, &script),
        script_test(another_state, &script),
        script_test(another_height_of_the_state, &script),
        script_test(another_genesis, &script),
        script_test(a_state_cut_short, &script),
        script_test(a_state_that_is_no_text, &script),
        script_test(a_state_that_is_no_base64, &script),
        script_test(no_state, &script),
        script_test(a_state_that_is_not_here, &script),
        script_test(an_engine_that_runs_ahead, &script),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
