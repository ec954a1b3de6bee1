/* The engine's process is not started any more: who waits for a block is told so at once. */
#include "cluster_script.h"
#include "fake_engine.h"

#define AT_ONCE_MS 3000 /* far below ENGINE_ANSWER_MS, far above what a busy machine needs */

static struct script script;

static int setup(void **state)
{
    script_init(&script, NULL, NULL);
    return fake_setup(state);
}

static int teardown(void **state)
{
    int rc = fake_teardown(state);

    script_release(&script);
    return rc;
}

static uint64_t now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

/* As the node does it. */
static void give_up(void *ctx, const struct hm_error *error)
{
    (void)ctx;
    engine_give_up(script.fix.engine, error);
}

/* A process that fails until nobody starts it any more. */
static void let_it_fail(struct fake *fake)
{
    fake->options.on_failure = give_up;
    fake->options.failures_max = 2;
    fake_start(fake, "exit 1");
}

static void *wait_for_a_block(void *arg)
{
    struct hm_error *error = arg;

    (void)!engine_wait_height(script.fix.engine, 1000, 60000, error);
    return NULL;
}

static void who_waits_is_answered_at_once(void **state)
{
    struct hm_error waited = {0};
    struct engine_status status;
    pthread_t waiter;

    script_start(&script);
    script_rpc_open(&script);
    script_handshake_good(&script);
    struct engine_answer *handed = script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    engine_fixture_gate(&script.fix, true);
    struct engine_answer *queued = script_submit(&script, BOB);
    engine_fixture_wait_at_gate(&script.fix);
    assert_int_equal(pthread_create(&waiter, NULL, wait_for_a_block, &waited), 0);

    uint64_t began_ms = now_ms();
    let_it_fail(*state);
    do {
        fake_pause_ms(1);
        engine_get_status(script.fix.engine, &status);
    } while (!status.failed);
    engine_fixture_gate(&script.fix, false);
    engine_fixture_wait_answers(&script.fix, 2);
    pthread_join(waiter, NULL);
    assert_true(now_ms() - began_ms < AT_ONCE_MS);

    /* The engine had it, and others may have it now. */
    engine_fixture_expect_refused(handed, HM_ETIMEOUT, "may still be ordered");
    engine_fixture_expect_refused(handed, HM_ETIMEOUT, "fails again and again");
    engine_fixture_expect_refused(queued, HM_EUNAVAILABLE, "fails again and again");
    assert_int_equal(waited.code, HM_EUNAVAILABLE);
    assert_non_null(strstr(status.failure, "exit code 1"));
    assert_int_equal(script.fix.failures, 0); /* who gave up knows */
    fixture_resync(&script.fix.chain);
    engine_fixture_refused(&script.fix, engine_fixture_transfer(&script.fix, CAROL),
                           HM_EUNAVAILABLE, "exit code 1");
}

/* One node's chain has no process that could give up. */
static void solo_goes_on(void **state)
{
    const struct hm_error error = {.code = HM_EUNAVAILABLE, .text = "no process"};
    struct engine_fixture fix;

    (void)state;
    engine_fixture_init(&fix, NULL);
    engine_fixture_start(&fix);
    engine_give_up(fix.engine, &error);
    struct engine_answer *answer = engine_fixture_submit(&fix,
                                                         engine_fixture_transfer(&fix, ALICE));
    engine_fixture_wait_answers(&fix, 1);
    engine_fixture_expect_good(answer);
    engine_fixture_release(&fix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_waits_is_answered_at_once, setup, teardown),
        cmocka_unit_test(solo_goes_on),
    };

    return cmocka_run_group_tests_name("engine_cluster_gives_up", tests, NULL, NULL);
}
