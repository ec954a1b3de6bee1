/* A node that begins with a snapshot holds validators to account as those do that were always there: it knows who reported whose
 * absence, and finds the time of a fault in a header that it has without the block. */
#include "snapshot_check.h"
#include "validators_check.h"

#define ANCHORS  6
#define WINDOW   8
#define BOB_MOST 3 /* his part of the power, times three, of the four misses that are allowed */

static void params(Hypermesh__Params *out)
{
    stake_params(out);
    out->anchor_max_blocks = ANCHORS;
    out->absent_window = WINDOW;
}

static int setup(void **state)
{
    static const struct fixture_options options = {.params = params};
    int rc = fixture_init(&fix, &options);

    (void)state;
    if (rc == 0)
        begin();
    return rc;
}

static int teardown(void **state)
{
    pieces_release(&whole);
    twin_close();
    return check_replay_teardown(state);
}

/* The twin has all that the chain's state has now, and nothing else. */
static void joins(void)
{
    genesis = fixture_genesis(&fix);
    pieces_of(fix.ledger, &whole);
    twin_open();
    twin_restore();
    same_info();
}

/* It applies what was decided since. */
static void follows(void)
{
    struct hm_error error = {0};
    uint64_t blocks;

    if (ledger_follow(fix.ledger, twin, 0, &blocks, &error))
        fail_msg("the twin: %s", error.text);
    assert_true(blocks > 0);
    same_info();
    same_table(LEDGER_TABLE_STATE);
}

static void away(enum fixture_role proposer, uint64_t missed)
{
    const struct stake_votes votes = {.absent = 1u << CAROL, .proposer = proposer + 1};

    (void)busy(&votes);
    assert_int_equal(stake_validator(&fix, CAROL)->window_missed, missed);
}

/* Carol is away. Bob has said so as often as he may before the snapshot, and says it once more after it; Alice still may. */
static void test_reports(void **state)
{
    (void)state;
    (void)busy(NULL);
    for (uint64_t i = 1; i <= BOB_MOST; i++)
        away(BOB, i);
    away(ALICE, BOB_MOST + 1);
    assert_int_equal(stake_validator(&fix, CAROL)->n_reports, 2);
    joins();
    away(BOB, BOB_MOST + 1);
    follows();
    assert_false(stake_validator(&fix, CAROL)->jailed);
    away(ALICE, 0);
    follows();
    assert_true(stake_validator(&fix, CAROL)->jailed);
    /* And a new window begins with none. */
    for (unsigned i = 0; i < 2 * WINDOW; i++)
        (void)busy(NULL);
    follows();
    sets_agree();
}

/* Evidence of a fault at that height, in the next block: of now, as the engine says, or long ago. */
static void fault(uint64_t height, bool engine_says_now, bool counts)
{
    const struct stake_votes votes = {
        .double_sign = 1u << ALICE,
        .fault_height = height,
        .fault_ms = engine_says_now ? fix.next_ms : fix.next_ms - 2 * fix.params.unbond_delay_ms};

    (void)idle(&votes);
    follows();
    assert_int_equal(stake_validator(&fix, ALICE)->tombstoned, counts);
}

/* The oldest header that counts, the block of the snapshot, and the first of its own. */
static void fault_of_before(uint64_t age)
{
    for (unsigned i = 0; i < 2 * ANCHORS; i++)
        (void)busy(NULL);
    joins();
    fault(check_info().height + 1 - age, false, true);
    (void)busy(NULL);
    follows();
    sets_agree();
}

static void test_fault_at_oldest_header(void **state)
{
    (void)state;
    fault_of_before(ANCHORS - 1);
}

static void test_fault_at_snapshot(void **state)
{
    (void)state;
    fault_of_before(1);
}

/* Each header of before is read once, at the last moment; by what it says the fault is too old, which the engine's time would not
 * show. */
static void test_old_faults(void **state)
{
    uint64_t height;

    (void)state;
    for (unsigned i = 0; i < 2 * ANCHORS; i++)
        (void)busy(NULL);
    joins();
    height = check_info().height;
    fix.next_ms += 2 * fix.params.unbond_delay_ms;
    while (check_info().height + 2 - ANCHORS <= height)
        fault(check_info().height + 2 - ANCHORS, true, false);
    /* Past that only what the engine says is left. */
    fault(check_info().height + 1 - ANCHORS, true, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reports, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fault_at_oldest_header, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fault_at_snapshot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old_faults, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
