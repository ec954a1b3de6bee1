/* Idle is asleep; leases that are due wake the engine; block time only rises. */
#include "engine_fixture.h"

#include <time.h>

#define HOUR_MS UINT64_C(3600000)

static struct engine_fixture fix;

static int setup(void **state)
{
    (void)state;
    engine_fixture_init(&fix, NULL);
    engine_fixture_start(&fix);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    engine_fixture_release(&fix);
    return 0;
}

static void pass_ms(long ms)
{
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&time, NULL);
}

/* For a quarter of a second: no block, no look at the clock, no wake-up. */
static void expect_asleep(void)
{
    struct engine_status before, after;

    pass_ms(50); /* let it get there */
    engine_get_status(fix.engine, &before); /* this looks, too */
    uint64_t looks = atomic_load(&fix.looks);
    unsigned long sleeps = engine_fixture_sleeps();
    pass_ms(250);
    assert_int_equal(atomic_load(&fix.looks), looks);
    assert_int_equal(engine_fixture_sleeps(), sleeps);
    engine_get_status(fix.engine, &after);
    assert_int_equal(after.blocks, before.blocks);
}

static void idle_is_asleep(void **state)
{
    (void)state;
    expect_asleep();
    engine_fixture_submit(&fix, engine_fixture_transfer(&fix, ALICE));
    engine_fixture_wait_blocks(&fix, 1);
    expect_asleep();
}

/* DAVE leases NODE's CPU; gives the answer, which holds the lease's id. */
static struct engine_answer *lease_for(uint64_t duration_ms)
{
    Hypermesh__Operation *op = op_register(&fix.chain, "cpu-a", FIXTURE_HYPER,
                                           HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC);
    struct engine_status status;
    uint8_t asset[1][32];

    engine_fixture_submit(&fix, fixture_tx(&fix.chain, NODE, &op, 1));
    fixture_asset_id(&fix.chain, NODE, "cpu-a", asset[0]);
    op = op_allocate(&fix.chain, (const uint8_t(*)[32])asset, 1, 500000, duration_ms);
    struct engine_answer *answer = engine_fixture_submit(&fix,
                                                         fixture_tx(&fix.chain, DAVE, &op, 1));
    engine_fixture_wait_answers(&fix, 2);
    engine_fixture_expect_good(&fix.answers[0]);
    engine_fixture_expect_good(answer);
    assert_int_equal(answer->receipt.created_count, 1);
    engine_get_status(fix.engine, &status);
    engine_fixture_wait_blocks(&fix, (unsigned)status.blocks); /* told of after the answers */
    return answer;
}

static void a_lease_far_away_wakes_nobody(void **state)
{
    (void)state;
    lease_for(HOUR_MS);
    expect_asleep();
}

static Hypermesh__LeaseState lease_state(const struct engine_answer *answer)
{
    Hypermesh__Lease *lease = fixture_lease(&fix.chain, answer->receipt.created[0]);

    assert_non_null(lease);
    return lease->state;
}

static void a_lease_that_is_due_makes_an_empty_block(void **state)
{
    const struct engine_answer *lease = lease_for(100);
    uint64_t due_ms = lease->receipt.block.time_ms + 100;
    unsigned blocks;

    (void)state;
    pass_ms(150); /* real time passes, the node's clock does not */
    blocks = engine_fixture_blocks(&fix);
    assert_int_equal(lease_state(lease), HYPERMESH__LEASE_STATE__LEASE_ACTIVE);

    atomic_store(&fix.wall_ms, due_ms);
    engine_fixture_wait_blocks(&fix, blocks + 1);
    assert_int_equal(fix.seen[blocks].block.txs, 0);
    assert_int_equal(fix.seen[blocks].expired, 1);
    assert_int_equal(fix.seen[blocks].block.time_ms, due_ms);
    assert_int_equal(lease_state(lease), HYPERMESH__LEASE_STATE__LEASE_EXPIRED);
    expect_asleep(); /* and then nothing is left to wait for */
    assert_int_equal(engine_fixture_blocks(&fix), blocks + 1);
}

static void a_due_lease_is_found_by_a_new_engine(void **state)
{
    const struct engine_answer *lease = lease_for(HOUR_MS);
    unsigned blocks = engine_fixture_blocks(&fix);

    (void)state;
    engine_close(fix.engine);
    atomic_fetch_add(&fix.wall_ms, 2 * HOUR_MS); /* it fell due while nobody ran */
    engine_fixture_start(&fix);
    engine_fixture_wait_blocks(&fix, blocks + 1);
    assert_int_equal(fix.seen[blocks].expired, 1);
    assert_int_equal(lease_state(lease), HYPERMESH__LEASE_STATE__LEASE_EXPIRED);
}

static void a_transactions_block_expires_leases_too(void **state)
{
    const struct engine_answer *lease = lease_for(20 * 1000);
    unsigned blocks = engine_fixture_blocks(&fix);

    (void)state;
    expect_asleep(); /* or it would look at the clock once more, and make the block before the transaction comes */
    atomic_fetch_add(&fix.wall_ms, 30 * 1000);
    engine_fixture_submit(&fix, engine_fixture_transfer(&fix, ALICE));
    engine_fixture_wait_blocks(&fix, blocks + 1);
    assert_int_equal(fix.seen[blocks].block.txs, 1);
    assert_int_equal(fix.seen[blocks].expired, 1);
    assert_int_equal(lease_state(lease), HYPERMESH__LEASE_STATE__LEASE_EXPIRED);
    expect_asleep();
}

static void block_time_rises_when_the_clock_does_not(void **state)
{
    static const int64_t steps_ms[] = {0, 0, -5000, 1, -20000, 30000};
    uint64_t last_ms = 0;

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(steps_ms); i++) {
        atomic_store(&fix.wall_ms, atomic_load(&fix.wall_ms) + (uint64_t)steps_ms[i]);
        engine_fixture_submit(&fix, engine_fixture_transfer(&fix, ALICE));
        engine_fixture_wait_answers(&fix, (unsigned)i + 1);
        const struct engine_answer *answer = &fix.answers[i];
        engine_fixture_expect_good(answer);
        if (i > 0 && steps_ms[i] <= 0)
            assert_int_equal(answer->receipt.block.time_ms, last_ms + 1);
        assert_true(answer->receipt.block.time_ms > last_ms);
        last_ms = answer->receipt.block.time_ms;
    }
    assert_int_equal(last_ms, atomic_load(&fix.wall_ms)); /* caught up */
}

/* Set wrong by hand, or by a broken time source: nothing may take that time for good. */
static void a_clock_that_ran_away_is_not_believed(void **state)
{
    const uint64_t day_ms = 24 * HOUR_MS;
    const struct engine_answer *lease = lease_for(HOUR_MS);
    unsigned blocks = engine_fixture_blocks(&fix);
    uint64_t right_ms = atomic_load(&fix.wall_ms);

    (void)state;
    atomic_store(&fix.wall_ms, right_ms + 8 * day_ms);
    engine_fixture_refused(&fix, engine_fixture_transfer(&fix, ALICE), HM_EUNAVAILABLE,
                           "gone ahead by 192 hours");
    pass_ms(1200); /* nor does the lease end, that is due by this clock */
    assert_int_equal(engine_fixture_blocks(&fix), blocks);
    assert_int_equal(lease_state(lease), HYPERMESH__LEASE_STATE__LEASE_ACTIVE);

    atomic_store(&fix.wall_ms, right_ms + 10);
    fixture_resync(&fix.chain); /* what was refused left no presence */
    engine_fixture_submit(&fix, engine_fixture_transfer(&fix, ALICE));
    engine_fixture_wait_blocks(&fix, blocks + 1);
    assert_int_equal(fix.seen[blocks].block.txs, 1);
    assert_true(fix.seen[blocks].block.time_ms < right_ms + HOUR_MS);
}

static void a_restart_believes_the_clock(void **state)
{
    const struct engine_answer *lease = lease_for(HOUR_MS);
    unsigned blocks = engine_fixture_blocks(&fix);

    (void)state;
    atomic_fetch_add(&fix.wall_ms, 30 * 24 * HOUR_MS);
    engine_close(fix.engine);
    engine_fixture_start(&fix);
    engine_fixture_wait_blocks(&fix, blocks + 1);
    assert_int_equal(lease_state(lease), HYPERMESH__LEASE_STATE__LEASE_EXPIRED);
}

/* Back by more than the Time proof's window: what is stamped with the chain's own time goes on. */
static void a_clock_set_back_far_stops_nobody(void **state)
{
    (void)state;
    engine_fixture_submit(&fix, engine_fixture_transfer(&fix, ALICE));
    engine_fixture_wait_answers(&fix, 1);
    engine_fixture_expect_good(&fix.answers[0]);
    uint64_t chain_ms = fix.answers[0].receipt.block.time_ms;
    atomic_fetch_sub(&fix.wall_ms, HOUR_MS);
    engine_fixture_submit(&fix, engine_fixture_transfer(&fix, ALICE));
    engine_fixture_wait_answers(&fix, 2);
    engine_fixture_expect_good(&fix.answers[1]);
    assert_int_equal(fix.answers[1].receipt.block.time_ms, chain_ms + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(idle_is_asleep, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lease_far_away_wakes_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lease_that_is_due_makes_an_empty_block, setup, teardown),
        cmocka_unit_test_setup_teardown(a_due_lease_is_found_by_a_new_engine, setup, teardown),
        cmocka_unit_test_setup_teardown(a_transactions_block_expires_leases_too, setup, teardown),
        cmocka_unit_test_setup_teardown(block_time_rises_when_the_clock_does_not, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clock_that_ran_away_is_not_believed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restart_believes_the_clock, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clock_set_back_far_stops_nobody, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
