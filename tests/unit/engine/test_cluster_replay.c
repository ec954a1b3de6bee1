/* Crashes at every point of a block: nothing is lost, nothing happens twice, the state is the same. Memory that runs out:
 * the same, after a new start. */
#include "cluster_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SWEEP_MAX 20000

static struct script script;
static char folder[64];
static char *ledger_path, *log_path;

static int setup(void **state)
{
    (void)state;
    script_init(&script, NULL, NULL);
    return 0;
}

static int setup_disk(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/hm-replay-XXXXXX");
    assert_non_null(mkdtemp(folder));
    ledger_path = hm_asprintf("%s/ledger", folder);
    log_path = hm_asprintf("%s/blocks", folder);
    script_init(&script, ledger_path, log_path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    script_release(&script);
    return 0;
}

static int teardown_disk(void **state)
{
    teardown(state);
    assert_int_equal(hm_remove_tree(folder, NULL), 0);
    hm_free(ledger_path);
    hm_free(log_path);
    return 0;
}

static const char *const stop_names[] = {"whole",       "after prepare",  "after process",
                                         "after store", "after finalize", "after commit"};

static void begin(void)
{
    script_start(&script);
    script_rpc_open(&script);
    script_handshake_good(&script);
}

/* Blocks until it is answered: what was handed over again may be in one before it. */
static void run_until_answered(const struct engine_answer *answer)
{
    const struct timespec pause = {.tv_nsec = 5000000};

    for (unsigned i = 0; i < 1000 && answer->calls == 0; i++) {
        script_run(&script, SCRIPT_WHOLE);
        (void)nanosleep(&pause, NULL);
    }
    engine_fixture_expect_good(answer);
}

/* The engine dies there; another one goes on. */
static void an_engine_dies(enum script_stop stop)
{
    struct engine_answer *answer;

    begin();
    run_until_answered(script_submit(&script, ALICE));
    answer = script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    script_run(&script, stop);
    script_die(&script);
    script_handshake_good(&script);
    if (stop > SCRIPT_AFTER_PROCESS) /* it was decided: what the new one gives again answers it */
        engine_fixture_expect_good(answer);
    else
        run_until_answered(answer);
    run_until_answered(script_submit(&script, ALICE));
    if (script.fix.blocks != script.block_count)
        fail_msg("%s: %u of %zu blocks were told", stop_names[stop], script.fix.blocks,
                 script.block_count);
    struct ledger_info info = script_ledger(&script);
    assert_memory_equal(info.state_root, script.blocks[script.block_count - 1].app_hash, 32);
    assert_int_equal(info.height, script.blocks[script.block_count - 1].height);
}

#define ENGINE_DIES(name, stop)    \
    static void name(void **state) \
    {                              \
        (void)state;               \
        an_engine_dies(stop);      \
    }
ENGINE_DIES(dies_after_prepare, SCRIPT_AFTER_PREPARE)
ENGINE_DIES(dies_after_process, SCRIPT_AFTER_PROCESS)
ENGINE_DIES(dies_after_store, SCRIPT_AFTER_STORE)
ENGINE_DIES(dies_after_finalize, SCRIPT_AFTER_FINALIZE)
ENGINE_DIES(dies_after_commit, SCRIPT_AFTER_COMMIT)

/* In the first block of the engine's own chain it asks for InitChain again. */
static void dies_in_the_first_block(void **state)
{
    (void)state;
    begin();
    script_run(&script, SCRIPT_AFTER_FINALIZE);
    script_die(&script);
    script_handshake_good(&script);
    script_run(&script, SCRIPT_WHOLE);
    assert_int_equal(script_ledger(&script).height, script.initial_height + 1);
}

/* Rounds that come to nothing leave nothing behind. */
static void rounds_before_a_block(void **state)
{
    (void)state;
    begin();
    struct engine_answer *answer = script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    struct ledger_info before = script_ledger(&script);
    for (unsigned i = 0; i < 3; i++)
        script_run(&script, i == 1 ? SCRIPT_AFTER_PREPARE : SCRIPT_AFTER_PROCESS);
    assert_memory_equal(script_ledger(&script).state_root, before.state_root, 32);
    script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, 1);
    engine_fixture_expect_good(answer);
}

/* --- the node stops, too, with its ledger on the disk -------------------------------------------------------------- */

static void reopen_ledger(void)
{
    struct store_options options = *fixture_store_options();
    struct fixture *chain = &script.fix.chain;
    struct hm_error error = {0};

    ledger_close(HM_TAKE(chain->ledger));
    store_close(HM_TAKE(chain->store));
    options.deferred = true;
    if (store_open_lmdb(ledger_path, &options, &chain->store, &error) != 0 ||
        ledger_open(chain->store, &chain->ledger, &error) != 0)
        fail_msg("%s", error.text);
    script.fix.options.ledger = chain->ledger;
    script.fix.options.store = chain->store;
}

static void a_node_stops(enum script_stop stop)
{
    begin();
    script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, 1);
    engine_fixture_expect_good(&script.fix.answers[0]);
    struct engine_answer *second = script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    script_run(&script, stop);
    script_die(&script);
    engine_close(HM_TAKE(script.fix.engine));
    assert_int_equal(second->calls, 1);
    if (stop == SCRIPT_AFTER_COMMIT)
        engine_fixture_expect_good(second);
    else
        engine_fixture_expect_refused(second, HM_ETIMEOUT, "may still be");
    reopen_ledger();
    script_start(&script);
    script_handshake_good(&script);
    const struct script_block *newest = &script.blocks[script.block_count - 1];
    assert_int_equal(script_ledger(&script).height, newest->height);
    assert_memory_equal(script_ledger(&script).state_root, newest->app_hash, 32);
    fixture_resync(&script.fix.chain);
    script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, 3);
    engine_fixture_expect_good(&script.fix.answers[2]);
}

#define NODE_STOPS(name, stop)     \
    static void name(void **state) \
    {                              \
        (void)state;               \
        a_node_stops(stop);        \
    }
NODE_STOPS(stops_after_store, SCRIPT_AFTER_STORE)
NODE_STOPS(stops_after_finalize, SCRIPT_AFTER_FINALIZE)
NODE_STOPS(stops_after_commit, SCRIPT_AFTER_COMMIT)

/* --- memory --------------------------------------------------------------------------------------------------------- */

/* Every allocation of a call fails once: either the block comes out as ever, or the node stops, and after a new start the
 * engine gives the block again. */
static void memory_runs_out_in_a_block(void **state)
{
    struct hm_error error;
    unsigned long nth = 1;
    unsigned failed = 0;

    (void)state;
    begin();
    for (bool over = false; !over; nth++) {
        assert_true(nth < SWEEP_MAX);
        struct hm_slice tx = engine_fixture_transfer(&script.fix, BOB);
        uint64_t now = atomic_fetch_add(&script.fix.wall_ms, 1) + 1;
        struct hm_slice items[2] = {script_note(&script, now),
                                    fixture_batch(&script.fix.chain, &tx, 1)};
        if (script.block_count == SCRIPT_BLOCKS_MAX) { /* its store is full: forget the oldest */
            script.initial_height = script.blocks[1].height;
            memmove(script.blocks, script.blocks + 1,
                    (SCRIPT_BLOCKS_MAX - 1) * sizeof(script.blocks[0]));
            script.block_count--;
        }
        script.alloc_fail = nth;
        script.alloc_hits = 0;
        int rc = script_decide(&script, items, 2, SCRIPT_WHOLE, &error);
        over = script.alloc_hits == 0;
        script.alloc_fail = 0;
        if (rc == 0)
            continue;
        failed++;
        assert_int_equal(rc, HM_ENOMEM);
        script_die(&script);
        engine_close(HM_TAKE(script.fix.engine));
        script_start(&script);
        script_handshake_good(&script);
        assert_memory_equal(script_ledger(&script).state_root,
                            script.blocks[script.block_count - 1].app_hash, 32);
        fixture_resync(&script.fix.chain);
    }
    assert_true(failed > 5);
}

/* A proposal without memory is refused, or holds less: nothing fails, unless not even an answer could be made. */
static void memory_runs_out_in_a_proposal(bool process)
{
    unsigned worse = 0;

    begin();
    script_run(&script, SCRIPT_WHOLE);
    struct hm_slice tx = engine_fixture_transfer(&script.fix, BOB);
    struct hm_slice items[2] = {script_note(&script, atomic_load(&script.fix.wall_ms) + 1),
                                fixture_batch(&script.fix.chain, &tx, 1)};
    script.may_break = true;
    for (unsigned long nth = 1;; nth++) {
        bool good = true;

        assert_true(nth < SWEEP_MAX);
        script.alloc_fail = nth;
        script.alloc_hits = 0;
        script.logged = 0;
        if (process)
            good = script_accepts(&script, items, 2);
        else
            script_run(&script, SCRIPT_AFTER_PREPARE);
        bool hit = script.alloc_hits > 0;
        script.alloc_fail = 0;
        worse += !good || script.broken || script.logged > 0;
        if (!hit) {
            assert_true(good && !script.broken);
            break;
        }
        if (!script.broken)
            continue;
        script_die(&script);
        engine_close(HM_TAKE(script.fix.engine));
        script_start(&script);
        script_handshake_good(&script);
    }
    assert_true(worse > 0);
    script.may_break = false;
}

static void memory_runs_out_in_process(void **state)
{
    (void)state;
    memory_runs_out_in_a_proposal(true);
}

static void memory_runs_out_in_prepare(void **state)
{
    (void)state;
    memory_runs_out_in_a_proposal(false);
}

/* Info and InitChain: the node stops, and begins well the next time. */
static void memory_runs_out_in_a_handshake(void **state)
{
    struct hm_error error;
    unsigned failed = 0;

    (void)state;
    for (unsigned long nth = 1;; nth++) {
        assert_true(nth < SWEEP_MAX);
        script_start(&script);
        script.alloc_fail = nth;
        script.alloc_hits = 0;
        int rc = script_handshake(&script, &error);
        script.alloc_fail = 0;
        if (rc == 0)
            script_run(&script, SCRIPT_AFTER_PROCESS);
        script_die(&script);
        engine_close(HM_TAKE(script.fix.engine));
        if (script.alloc_hits == 0) {
            assert_int_equal(rc, 0);
            break;
        }
        failed += rc == HM_ENOMEM;
        assert_true(rc == 0 || rc == HM_ENOMEM);
    }
    assert_true(failed > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(dies_after_prepare, setup, teardown),
        cmocka_unit_test_setup_teardown(dies_after_process, setup, teardown),
        cmocka_unit_test_setup_teardown(dies_after_store, setup, teardown),
        cmocka_unit_test_setup_teardown(dies_after_finalize, setup, teardown),
        cmocka_unit_test_setup_teardown(dies_after_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(dies_in_the_first_block, setup, teardown),
        cmocka_unit_test_setup_teardown(rounds_before_a_block, setup, teardown),
        cmocka_unit_test_setup_teardown(stops_after_store, setup_disk, teardown_disk),
        cmocka_unit_test_setup_teardown(stops_after_finalize, setup_disk, teardown_disk),
        cmocka_unit_test_setup_teardown(stops_after_commit, setup_disk, teardown_disk),
        cmocka_unit_test_setup_teardown(memory_runs_out_in_a_block, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_runs_out_in_process, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_runs_out_in_prepare, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_runs_out_in_a_handshake, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
