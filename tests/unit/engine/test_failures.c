/* Sealers that refuse or cheat, disks that fail, memory that runs out, and stopping. */
#include "engine_fixture.h"

#include <sched.h>

#define SWEEP_MAX 200

static struct engine_fixture fix;

static int setup(void **state)
{
    (void)state;
    engine_fixture_init(&fix, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    engine_fixture_release(&fix);
    return 0;
}

/* Two transactions in one group, the first alone before them at the gate. */
static void submit_three(struct engine_answer *answers[3])
{
    engine_fixture_gate(&fix, true);
    answers[0] = engine_fixture_submit(&fix, engine_fixture_transfer(&fix, ALICE));
    engine_fixture_wait_at_gate(&fix);
    answers[1] = engine_fixture_submit(&fix, engine_fixture_transfer(&fix, BOB));
    answers[2] = engine_fixture_submit(&fix, engine_fixture_transfer(&fix, CAROL));
}

static void a_group_that_is_not_sealed(enum engine_cheat cheat, int code, const char *words)
{
    struct engine_answer *answers[3];
    struct ledger_info before, after;
    struct engine_status status;

    engine_fixture_start(&fix);
    submit_three(answers);
    engine_fixture_cheat(&fix, cheat); /* the first is past this point */
    engine_fixture_gate(&fix, false);
    engine_fixture_wait_answers(&fix, 3);
    engine_fixture_expect_good(answers[0]);
    engine_fixture_expect_refused(answers[1], code, words);
    engine_fixture_expect_refused(answers[2], code, words);

    engine_get_status(fix.engine, &status);
    assert_false(status.failed);
    assert_int_equal(ledger_info(fix.chain.ledger, &before, NULL), 0);
    fixture_resync(&fix.chain);
    engine_fixture_submit(&fix, engine_fixture_transfer(&fix, BOB));
    engine_fixture_wait_answers(&fix, 4);
    engine_fixture_expect_good(&fix.answers[3]);
    assert_int_equal(ledger_info(fix.chain.ledger, &after, NULL), 0);
    assert_int_equal(after.height, before.height + 1);
    assert_int_equal(fix.failures, 0);
}

static void a_sealer_that_refuses(void **state)
{
    (void)state;
    a_group_that_is_not_sealed(CHEAT_FAIL, HM_EAUTH, "the sealer says no");
}

static void a_sealer_that_gives_nothing(void **state)
{
    (void)state;
    a_group_that_is_not_sealed(CHEAT_EMPTY, HM_ELIMIT, "0 bytes");
}

static void a_sealer_that_gives_rubbish(void **state)
{
    (void)state;
    a_group_that_is_not_sealed(CHEAT_GARBAGE, HM_EINTERNAL, "not sealed as they were submitted");
}

static void a_sealer_that_changes_the_order(void **state)
{
    (void)state;
    a_group_that_is_not_sealed(CHEAT_REVERSE, HM_EINTERNAL, "not sealed as they were submitted");
}

static void a_sealer_that_leaves_one_out(void **state)
{
    (void)state;
    a_group_that_is_not_sealed(CHEAT_SHORT, HM_EINTERNAL, "not sealed as they were submitted");
}

/* The block under way fails; all that wait are told, nothing is taken any more. */
static void a_disk_that_fails(unsigned long nth_write, unsigned long nth_commit)
{
    struct engine_answer *answers[3];
    struct ledger_info before, after;
    struct engine_status status;
    struct engine_receipt receipt;
    struct hm_error error = {0};

    engine_fixture_start(&fix);
    assert_int_equal(ledger_info(fix.chain.ledger, &before, NULL), 0);
    submit_three(answers);
    store_memory_fail_at(fix.chain.store, nth_write, nth_commit);
    engine_fixture_gate(&fix, false);
    engine_fixture_wait_answers(&fix, 3);
    for (size_t i = 0; i < 3; i++)
        engine_fixture_expect_refused(answers[i], HM_EIO, nth_commit > 0 ? "restart" : "");
    engine_fixture_refused(&fix, engine_fixture_transfer(&fix, DAVE), HM_EUNAVAILABLE,
                           "the engine has stopped: ");
    assert_int_equal(
        engine_submit_wait(fix.engine, engine_fixture_transfer(&fix, ERIN), &receipt, &error),
        HM_EUNAVAILABLE);
    engine_get_status(fix.engine, &status);
    assert_true(status.failed);
    assert_true(status.failure[0] != '\0');
    assert_non_null(strstr(error.text, status.failure));
    assert_int_equal(status.queued, 0);
    assert_int_equal(status.blocks, 0);

    engine_close(fix.engine); /* its thread has ended: what it told can be read */
    fix.engine = NULL;
    assert_int_equal(fix.failures, 1);
    assert_int_equal(fix.failure.code, HM_EIO);
    assert_int_equal(fix.blocks, 0);
    assert_int_equal(ledger_info(fix.chain.ledger, &after, NULL), 0);
    assert_int_equal(after.height, before.height);
    assert_memory_equal(after.state_root, before.state_root, sizeof(before.state_root));

    store_memory_fail_at(fix.chain.store, 0, 0); /* a new engine on a good disk goes on */
    fixture_resync(&fix.chain);
    engine_fixture_start(&fix);
    engine_fixture_submit(&fix, engine_fixture_transfer(&fix, ALICE));
    engine_fixture_wait_answers(&fix, 4);
}

static void a_disk_that_fails_at_a_write(void **state)
{
    (void)state;
    a_disk_that_fails(1, 0);
}

static void a_disk_that_fails_at_the_commit(void **state)
{
    (void)state;
    a_disk_that_fails(0, 1);
}

static void *close_engine(void *engine)
{
    engine_close(engine);
    return NULL;
}

static void closing_answers_what_waits(void **state)
{
    struct engine_answer *answers[3];
    struct hm_slice tx;
    pthread_t closer;
    int rc;

    (void)state;
    fix.options.queue_limit = 2; /* so that asking whether it stops already queues nothing */
    engine_fixture_start(&fix);
    submit_three(answers);
    tx = engine_fixture_transfer(&fix, DAVE);
    assert_int_equal(pthread_create(&closer, NULL, close_engine, fix.engine), 0);
    do {
        (void)sched_yield();
        rc = engine_submit(fix.engine, tx, engine_fixture_done, NULL, NULL);
    } while (rc == HM_EBUSY);
    assert_int_equal(rc, HM_EUNAVAILABLE);
    engine_fixture_gate(&fix, false);
    pthread_join(closer, NULL);
    fix.engine = NULL;
    engine_fixture_expect_good(answers[0]); /* was under way */
    engine_fixture_expect_refused(answers[1], HM_EUNAVAILABLE, "the node is stopping");
    engine_fixture_expect_refused(answers[2], HM_EUNAVAILABLE, "the node is stopping");
    assert_int_equal(fix.failures, 0);
}

static void open_and_close(void **state)
{
    struct ledger *empty;
    struct store *store;
    struct engine *engine = NULL;

    (void)state;
    engine_close(NULL);
    engine_fixture_start(&fix);
    engine_close(fix.engine);
    fix.engine = NULL;
    assert_int_equal(engine_fixture_blocks(&fix), 0);

    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    assert_int_equal(ledger_open(store, &empty, NULL), 0);
    struct engine_options options = fix.options;
    options.ledger = empty;
    assert_int_equal(engine_solo_open(&options, &engine, NULL), HM_ENOTFOUND);
    assert_null(engine);
    ledger_close(empty);
    store_close(store);
}

static void memory_runs_out(void **state)
{
    struct hm_slice tx = engine_fixture_transfer(&fix, ALICE);
    struct engine_answer *answer = engine_fixture_answer(&fix);
    unsigned long nth = 0;
    int rc;

    (void)state;
    do {
        hm_alloc_fail_at(++nth);
        rc = engine_solo_open(&fix.options, &fix.engine, NULL);
        hm_alloc_fail_at(0);
    } while (rc == HM_ENOMEM && nth < SWEEP_MAX);
    assert_int_equal(rc, 0);
    assert_true(nth > 3);
    nth = 0;
    do {
        hm_alloc_fail_at(++nth);
        rc = engine_submit(fix.engine, tx, engine_fixture_done, answer, NULL);
        hm_alloc_fail_at(0);
    } while (rc == HM_ENOMEM && nth < SWEEP_MAX);
    assert_int_equal(rc, 0);
    assert_true(nth > 1);
    engine_fixture_wait_answers(&fix, 1);
    engine_fixture_expect_good(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_sealer_that_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sealer_that_gives_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sealer_that_gives_rubbish, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sealer_that_changes_the_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sealer_that_leaves_one_out, setup, teardown),
        cmocka_unit_test_setup_teardown(a_disk_that_fails_at_a_write, setup, teardown),
        cmocka_unit_test_setup_teardown(a_disk_that_fails_at_the_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(closing_answers_what_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(open_and_close, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_runs_out, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
