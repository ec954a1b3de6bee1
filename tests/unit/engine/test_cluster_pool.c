/* Engines that are not there, are full, say no, forget, or die; time that runs out; things that are due. */
#include "cluster_script.h"

#include <time.h>

static struct script script;

static void begin(void)
{
    script_start(&script);
    script_rpc_open(&script);
    script_handshake_good(&script);
}

static void pass_ms(long ms)
{
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&time, NULL);
}

static uint64_t now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

static void run_and_expect_good(struct engine_answer *answer)
{
    script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, 1);
    engine_fixture_expect_good(answer);
}

static void what_waits_is_handed_over_when_the_engine_is_there(void **state)
{
    struct engine_status status;

    (void)state;
    script_start(&script);
    script_handshake_good(&script);
    struct engine_answer *answer = script_submit(&script, ALICE);
    pass_ms(50);
    engine_get_status(script.fix.engine, &status);
    assert_false(status.reachable);
    assert_int_equal(status.pending, 1); /* sealed, to find out when it comes */
    for (unsigned i = 0; i < 3; i++)
        script_submit(&script, BOB);
    engine_get_status(script.fix.engine, &status);
    assert_int_equal(status.queued, 3);
    script_rpc_open(&script);
    script_wait_items(&script, 2);
    script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, 4);
    for (unsigned i = 0; i < 4; i++)
        engine_fixture_expect_good(&script.fix.answers[i]);
    engine_fixture_expect_good(answer);
}

static void a_full_mempool_is_asked_again(void **state)
{
    (void)state;
    begin();
    script_mood(&script, SCRIPT_FULL, 3);
    struct engine_answer *answer = script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    assert_int_equal(script_broadcasts(&script), 4);
    run_and_expect_good(answer);
}

static void what_the_check_refuses_is_answered(void **state)
{
    (void)state;
    begin();
    script_mood(&script, SCRIPT_REFUSES, 1);
    struct engine_answer *answer = script_submit(&script, ALICE);
    engine_fixture_wait_answers(&script.fix, 1);
    engine_fixture_expect_refused(answer, HM_EPROOF_SPACE, "the script says no");
    fixture_resync(&script.fix.chain);
    struct engine_answer *next = script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, 2);
    engine_fixture_expect_good(next);
}

/* Nobody knows whether the engine has it: it is handed over again, and answered once. */
static void a_connection_that_breaks(void **state)
{
    (void)state;
    begin();
    script_mood(&script, SCRIPT_DROPS, 1);
    struct engine_answer *answer = script_submit(&script, ALICE);
    script_wait_broadcasts(&script, 2);
    assert_int_equal(script.rpc.item_count, 1);
    run_and_expect_good(answer);
    assert_int_equal(answer->calls, 1);
}

static void answers_that_are_none(void **state)
{
    (void)state;
    begin();
    script_mood(&script, SCRIPT_RUBBISH, 2);
    struct engine_answer *answer = script_submit(&script, ALICE);
    script_wait_broadcasts(&script, 3);
    run_and_expect_good(answer);
}

static void answers_in_chunks(void **state)
{
    (void)state;
    begin();
    script.rpc.chunked = true;
    struct engine_answer *answer = script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    run_and_expect_good(answer);
}

/* The engine closes connections that are idle: the next call makes a new one. */
static void connections_that_end_between_calls(void **state)
{
    (void)state;
    begin();
    script.rpc.impatient = true;
    for (unsigned i = 0; i < 3; i++) {
        struct engine_answer *answer = script_submit(&script, ALICE);
        script_wait_items(&script, 1);
        pass_ms(20);
        script_run(&script, SCRIPT_WHOLE);
        engine_fixture_wait_answers(&script.fix, i + 1);
        engine_fixture_expect_good(answer);
    }
    assert_int_equal(script_broadcasts(&script), 3);
}

/* The mempool is not durable: a new engine gets everything again. */
static void a_new_engine_gets_it_again(void **state)
{
    (void)state;
    script.cometbft.resend_ms = 600000;
    begin();
    struct engine_answer *answer = script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    script_die(&script);
    assert_int_equal(script.rpc.item_count, 0);
    script_handshake_good(&script);
    script_wait_items(&script, 1);
    run_and_expect_good(answer);
}

static void what_an_engine_forgets_it_gets_again(void **state)
{
    (void)state;
    script.cometbft.resend_ms = 100;
    begin();
    script_mood(&script, SCRIPT_FORGETS, 1);
    struct engine_answer *answer = script_submit(&script, ALICE);
    script_wait_broadcasts(&script, 3);
    pthread_mutex_lock(&script.rpc.lock);
    script.rpc.cache_count = 0; /* it has forgotten that, too */
    pthread_mutex_unlock(&script.rpc.lock);
    script_wait_items(&script, 1);
    run_and_expect_good(answer);
}

/* No quorum: an answer comes in time, and says what it does not know. */
static void time_runs_out(void **state)
{
    struct engine_receipt receipt;
    struct hm_error error = {0};

    (void)state;
    script.cometbft.answer_ms = 200;
    begin();
    uint64_t began = now_ms();
    assert_int_equal(engine_submit_wait(script.fix.engine,
                                        engine_fixture_transfer(&script.fix, ALICE), &receipt,
                                        &error),
                     HM_ETIMEOUT);
    assert_true(now_ms() - began >= 200);
    assert_non_null(strstr(error.text, "may still be ordered"));
    /* It was indeed. */
    struct ledger_info before = script_ledger(&script);
    script_run(&script, SCRIPT_WHOLE);
    assert_int_equal(script.fix.seen[0].block.txs, 1);
    assert_int_equal(script_ledger(&script).height, before.height + 1);
}

static void time_runs_out_and_nothing_was_handed_on(void **state)
{
    struct engine_status status;

    (void)state;
    script.cometbft.answer_ms = 200;
    script_start(&script);
    script_handshake_good(&script);
    for (unsigned i = 0; i < 3; i++)
        script_submit(&script, ALICE);
    engine_fixture_wait_answers(&script.fix, 3);
    for (unsigned i = 0; i < 3; i++)
        engine_fixture_expect_refused(&script.fix.answers[i], HM_EUNAVAILABLE,
                                      "nothing was handed on");
    engine_get_status(script.fix.engine, &status);
    assert_int_equal(status.pending, 0);
    assert_int_equal(status.queued, 0);
    assert_false(status.failed);
}

static void closing_answers_all(void **state)
{
    (void)state;
    begin();
    script_mood(&script, SCRIPT_MUTE, 1);
    struct engine_answer *sent = script_submit(&script, ALICE);
    script_wait_broadcasts(&script, 1);
    struct engine_answer *queued = script_submit(&script, BOB);
    script_die(&script);
    uint64_t began = now_ms();
    engine_close(HM_TAKE(script.fix.engine));
    assert_true(now_ms() - began < 2000); /* it does not wait for an answer */
    engine_fixture_expect_refused(sent, HM_ETIMEOUT, "may still be");
    engine_fixture_expect_refused(queued, HM_EUNAVAILABLE, "stopping");
}

static void a_queue_has_an_end(void **state)
{
    (void)state;
    script.fix.options.queue_limit = 2;
    begin();
    engine_fixture_gate(&script.fix, true);
    script_submit(&script, ALICE);
    engine_fixture_wait_at_gate(&script.fix);
    script_submit(&script, BOB);
    engine_fixture_refused(&script.fix, engine_fixture_transfer(&script.fix, CAROL), HM_EBUSY,
                           "2 transactions wait already");
    engine_fixture_gate(&script.fix, false);
    script_wait_items(&script, 2);
}

static void a_sealer_that_refuses(void **state)
{
    (void)state;
    begin();
    engine_fixture_cheat(&script.fix, CHEAT_FAIL);
    struct engine_answer *answer = script_submit(&script, ALICE);
    engine_fixture_wait_answers(&script.fix, 1);
    engine_fixture_expect_refused(answer, HM_EAUTH, "the sealer says no");
    engine_fixture_cheat(&script.fix, CHEAT_EMPTY);
    answer = script_submit(&script, BOB);
    engine_fixture_wait_answers(&script.fix, 2);
    engine_fixture_expect_refused(answer, HM_ELIMIT, "0 bytes");
    assert_int_equal(script_broadcasts(&script), 0);
}

/* A sealer that leaves one out: its batch's block answers that, too. */
static void a_sealer_that_leaves_one_out(void **state)
{
    (void)state;
    begin();
    engine_fixture_gate(&script.fix, true);
    script_submit(&script, BOB);
    engine_fixture_wait_at_gate(&script.fix);
    struct engine_answer *first = script_submit(&script, ALICE);
    struct engine_answer *second = script_submit(&script, CAROL);
    engine_fixture_cheat(&script.fix, CHEAT_SHORT);
    engine_fixture_gate(&script.fix, false);
    script_wait_items(&script, 2);
    script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, 3);
    engine_fixture_expect_good(first);
    engine_fixture_expect_refused(second, HM_EINTERNAL, "sealed without it");
}

/* --- blocks that are asked for ------------------------------------------------------------------------------- */

static void a_nudge_asks_once(void **state)
{
    (void)state;
    begin();
    script_run(&script, SCRIPT_WHOLE);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(engine_nudge(script.fix.engine, NULL), 0);
    script_wait_items(&script, 1);
    pass_ms(100);
    assert_int_equal(engine_nudge(script.fix.engine, NULL), 0);
    pass_ms(100);
    assert_int_equal(script_notes(&script), 1);
    struct ledger_info before = script_ledger(&script);
    struct script_block *block = script_run(&script, SCRIPT_WHOLE);
    assert_int_equal(block->count, 1); /* the proposer's note is the answer */
    assert_int_equal(script.rpc.item_count, 0); /* or blocks would never end */
    pass_ms(100);
    assert_int_equal(script_notes(&script), 1);
    assert_memory_equal(script_ledger(&script).state_root, before.state_root, 32);
    assert_int_equal(engine_nudge(script.fix.engine, NULL), 0);
    script_wait_broadcasts(&script, 2);
    assert_int_equal(script_notes(&script), 2);
}

/* A lease that ends soon; its block is asked for when its time has come, once, by who is first in rank. */
static void what_is_due_is_asked_for(void **state)
{
    struct fixture *chain = &script.fix.chain;
    uint8_t asset[1][32];

    (void)state;
    begin();
    script_run(&script, SCRIPT_WHOLE); /* from the second block on it knows its rank */
    script_run(&script, SCRIPT_WHOLE);
    Hypermesh__Operation *op = op_register(chain, "cpu-a", FIXTURE_HYPER,
                                           HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC);
    engine_fixture_submit(&script.fix, fixture_tx(chain, NODE, &op, 1));
    script_wait_items(&script, 1);
    script_run(&script, SCRIPT_WHOLE);
    fixture_asset_id(chain, NODE, "cpu-a", asset[0]);
    op = op_allocate(chain, (const uint8_t(*)[32])asset, 1, 500000, 5000);
    struct engine_answer *answer = engine_fixture_submit(&script.fix,
                                                         fixture_tx(chain, DAVE, &op, 1));
    script_wait_items(&script, 1);
    script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, 2);
    engine_fixture_expect_good(answer);
    unsigned before = script_broadcasts(&script);
    pass_ms(150);
    assert_int_equal(script_notes(&script), 0);
    uint64_t due = answer->receipt.block.time_ms + 5000;
    assert_int_equal(script_ledger(&script).next_due_ms, due);
    engine_fixture_pass(&script.fix, due - atomic_load(&script.fix.wall_ms));
    engine_fixture_submit(&script.fix, engine_fixture_transfer(&script.fix, BOB)); /* wakes it */
    script_wait_broadcasts(&script, before + 2);
    pass_ms(200);
    assert_int_equal(script_notes(&script), 1);
    unsigned blocks = engine_fixture_blocks(&script.fix);
    script_run(&script, SCRIPT_WHOLE);
    assert_int_equal(script.fix.seen[blocks].expired, 1);
    assert_int_equal(script.fix.seen[blocks].block.time_ms, due);
    pass_ms(100);
    assert_int_equal(script_notes(&script), 1);
}

/* --- failing --------------------------------------------------------------------------------------------------- */

static void a_disk_that_fails(unsigned long nth_write, unsigned long nth_commit)
{
    struct engine_status status;
    struct hm_error error;

    begin();
    struct engine_answer *sent = script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    struct ledger_info before = script_ledger(&script);
    store_memory_fail_at(script.fix.chain.store, nth_write, nth_commit);
    struct hm_slice item = hm_buf_slice(&script.rpc.items[0]);
    assert_int_equal(script_decide(&script, &item, 1, SCRIPT_WHOLE, &error), HM_EIO);
    assert_false(script.blocks[0].committed);
    engine_fixture_wait_answers(&script.fix, 1);
    engine_fixture_expect_refused(sent, HM_ETIMEOUT, "may still be"); /* others have it */
    engine_fixture_refused(&script.fix, engine_fixture_transfer(&script.fix, DAVE), HM_EUNAVAILABLE,
                           "the engine has stopped: ");
    engine_get_status(script.fix.engine, &status);
    assert_true(status.failed);
    assert_int_equal(script.fix.failures, 1);
    assert_int_equal(script.fix.failure.code, HM_EIO);
    assert_int_equal(script_ledger(&script).height, before.height);
    /* A node on a good disk goes on from there: the engine gives the block again. */
    script_die(&script);
    engine_close(HM_TAKE(script.fix.engine));
    store_memory_fail_at(script.fix.chain.store, 0, 0);
    script_start(&script);
    script_handshake_good(&script);
    assert_int_equal(script_ledger(&script).height, before.height + 1);
}

static void a_disk_that_fails_in_finalize(void **state)
{
    (void)state;
    a_disk_that_fails(1, 0);
}

static void a_disk_that_fails_in_commit(void **state)
{
    (void)state;
    a_disk_that_fails(0, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        script_test(what_waits_is_handed_over_when_the_engine_is_there, &script),
        script_test(a_full_mempool_is_asked_again, &script),
        script_test(what_the_check_refuses_is_answered, &script),
        script_test(a_connection_that_breaks, &script),
        script_test(answers_that_are_none, &script),
        script_test(answers_in_chunks, &script),
        script_test(connections_that_end_between_calls, &script),
        script_test(a_new_engine_gets_it_again, &script),
        script_test(what_an_engine_forgets_it_gets_again, &script),
        script_test(time_runs_out, &script),
        script_test(time_runs_out_and_nothing_was_handed_on, &script),
        script_test(closing_answers_all, &script),
        script_test(a_queue_has_an_end, &script),
        script_test(a_sealer_that_refuses, &script),
        script_test(a_sealer_that_leaves_one_out, &script),
        script_test(a_nudge_asks_once, &script),
        script_test(what_is_due_is_asked_for, &script),
        script_test(a_disk_that_fails_in_finalize, &script),
        script_test(a_disk_that_fails_in_commit, &script),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
