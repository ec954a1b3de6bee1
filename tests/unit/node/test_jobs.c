/* The table of jobs: ids, how many are kept, waiting, what a restart makes of those that did not end. */
#include "node_fixture.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "node_job.h"

#define HOUR_MS UINT64_C(3600000)

/* Asks for more than any machine has, so it ends without a lease. */
static void create_hopeless(struct node *node, char id[NODE_JOB_ID_CHARS + 1])
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__JobSpec spec = HYPERMESH__JOB_SPEC__INIT;
    char *command[] = {(char *)(uintptr_t)("true")};
    Hypermesh__JobRecord *record;
    struct hm_error error = {0};

    hm_arena_init(&arena, 0);
    spec.image = (char *)(uintptr_t)("none");
    spec.n_command = 1;
    spec.command = command;
    spec.cpu_milli = 4000000000;
    spec.memory_bytes = spec.storage_bytes = 1 << 20;
    spec.pids = 1;
    spec.timeout_ms = 1000;
    if (node_job_create(node, &spec, NODE_USER, &arena, &record, &error) != 0)
        fail_msg("%s", error.text);
    memcpy(id, record->id, NODE_JOB_ID_CHARS + 1);
}

static void wait_done(struct node *node, const char *id, struct hm_arena *arena,
                      Hypermesh__JobRecord **record)
{
    for (int i = 0; i < 600; i++) {
        hm_arena_clear(arena);
        assert_int_equal(node_job_get(node, id, arena, record, NULL), 0);
        if ((*record)->state == HYPERMESH__JOB_STATE__JOB_DONE)
            return;
        node_job_wait(node, id, (*record)->state, UINT64_MAX, 100);
    }
    fail_msg("job %s does not end", id);
}

static void test_ids_rise_though_the_clock_goes_back(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    char first[NODE_JOB_ID_CHARS + 1], second[NODE_JOB_ID_CHARS + 1];
    Hypermesh__JobRecord *record;

    hm_arena_init(&arena, 0);
    fixture->ahead_ms = HOUR_MS;
    create_hopeless(fixture->node, first);
    wait_done(fixture->node, first, &arena, &record);
    assert_int_equal(record->outcome, HYPERMESH__JOB_OUTCOME__FAILED);
    assert_non_null(strstr(record->reason, "cpu"));
    fixture->ahead_ms = 0;
    node_fixture_restart(fixture);
    create_hopeless(fixture->node, second);
    assert_true(strcmp(second, first) > 0);
    wait_done(fixture->node, second, &arena, &record);
    wait_done(fixture->node, first, &arena, &record);
}

/* NODE_JOBS_KEPT_MAX records; the oldest are of jobs that have not ended. */
static void write_records(struct node *node, size_t live)
{
    struct store_txn *txn;

    assert_int_equal(store_begin_write(node->jobs.store, &txn, NULL), 0);
    for (size_t i = 0; i < NODE_JOBS_KEPT_MAX; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
        Hypermesh__JobRecord record = HYPERMESH__JOB_RECORD__INIT;
        char id[NODE_JOB_ID_CHARS + 1];

        (void)snprintf(id, sizeof(id), "j%012zx", i + 1);
        record.id = id;
        record.state = i < live ? HYPERMESH__JOB_STATE__JOB_RUNNING
                                : HYPERMESH__JOB_STATE__JOB_DONE;
        assert_int_equal(wire_pack(&record.base, &bytes), 0);
        assert_int_equal(
            store_put(txn, NODE_JOB_STORE_TABLE, hm_slice_str(id), hm_buf_slice(&bytes), NULL), 0);
    }
    assert_int_equal(store_commit(txn, NULL), 0);
}

static Hypermesh__JobState state_of(struct node *node, const char *id)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__JobRecord *record;

    hm_arena_init(&arena, 0);
    return node_job_get(node, id, &arena, &record, NULL) == 0 ? record->state
                                                              : HYPERMESH__JOB_STATE__JOB_NONE;
}

static void test_old_jobs_go_but_not_those_that_live(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__JobRecord *record;
    char id[NODE_JOB_ID_CHARS + 1];
    struct store_stats stats;

    hm_arena_init(&arena, 0);
    write_records(fixture->node, 2);
    for (int i = 0; i < 3; i++) {
        create_hopeless(fixture->node, id);
        wait_done(fixture->node, id, &arena, &record);
    }
    assert_int_equal(store_stats(fixture->node->jobs.store, &stats, NULL), 0);
    assert_int_equal(stats.entries[NODE_JOB_STORE_TABLE], NODE_JOBS_KEPT_MAX);
    assert_int_equal(state_of(fixture->node, "j000000000001"), HYPERMESH__JOB_STATE__JOB_RUNNING);
    assert_int_equal(state_of(fixture->node, "j000000000003"), HYPERMESH__JOB_STATE__JOB_NONE);
    node_fixture_restart(fixture);
    assert_int_equal(state_of(fixture->node, "j000000000001"), HYPERMESH__JOB_STATE__JOB_DONE);
    assert_int_equal(state_of(fixture->node, "j000000000002"), HYPERMESH__JOB_STATE__JOB_DONE);
}

/* One damaged record hides neither the others nor keeps the node from starting. */
static void test_a_damaged_record_stands_alone(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__JobRecord **records;
    struct store_txn *txn;
    char id[NODE_JOB_ID_CHARS + 1];
    size_t count;

    hm_arena_init(&arena, 0);
    create_hopeless(fixture->node, id);
    assert_int_equal(store_begin_write(fixture->node->jobs.store, &txn, NULL), 0);
    assert_int_equal(store_put(txn, NODE_JOB_STORE_TABLE, hm_slice_str("j000000000001"),
                               hm_slice_str("\xff\xff\xff"), NULL),
                     0);
    assert_int_equal(store_commit(txn, NULL), 0);
    node_fixture_restart(fixture);
    assert_int_equal(node_job_list(fixture->node, NULL, 10, &arena, &records, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_string_equal(records[0]->id, id);
}

/* Runs a small job to its end; skips where jobs cannot run. */
static Hypermesh__JobRecord *run_small(struct node *node, char **command, size_t words,
                                       uint64_t timeout_ms, struct hm_arena *arena)
{
    Hypermesh__JobSpec spec = HYPERMESH__JOB_SPEC__INIT;
    char id[NODE_JOB_ID_CHARS + 1];
    Hypermesh__JobRecord *record;
    struct runtime_image image;
    struct hm_error error = {0};

    if (!node->machine_known || runtime_image_build_base(node->images, NULL, &image, &error) != 0) {
        print_message("no container runtime or busybox here %s\n", error.text);
        skip();
    }
    spec.image = (char *)(uintptr_t)("busybox");
    spec.n_command = words;
    spec.command = command;
    spec.cpu_milli = 100;
    spec.memory_bytes = 32 << 20;
    spec.storage_bytes = 1 << 20;
    spec.pids = 16;
    spec.timeout_ms = timeout_ms;
    assert_int_equal(node_job_create(node, &spec, NODE_USER, arena, &record, &error), 0);
    memcpy(id, record->id, sizeof(id));
    wait_done(node, id, arena, &record);
    return record;
}

/* The machine's clock says that the lease is over, as it would after a start that took that long. */
static void test_a_job_ends_with_its_lease(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    char *command[] = {(char *)(uintptr_t)("sleep"), (char *)(uintptr_t)("60")};
    Hypermesh__JobRecord *record;
    Hypermesh__Lease *lease;
    struct ledger_view *view;

    hm_arena_init(&arena, 0);
    record = run_small(fixture->node, command, HM_COUNT_OF(command), NODE_FIXTURE_BEHIND_MS - 20000,
                       &arena);
    assert_int_equal(record->outcome, HYPERMESH__JOB_OUTCOME__TIMED_OUT);
    assert_non_null(strstr(record->reason, "lease"));
    assert_int_equal(ledger_view_open(fixture->node->ledger, &view, NULL), 0);
    assert_int_equal(ledger_view_lease(view, record->lease.data, &arena, &lease, NULL), 0);
    ledger_view_close(view);
    assert_int_equal(lease->state, HYPERMESH__LEASE_STATE__LEASE_SETTLED);
}

/* The job's owner asks to be shown what the result was made of: the node kept it. */
static void test_a_finished_jobs_result_can_be_shown(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__ChallengeOpen message = HYPERMESH__CHALLENGE_OPEN__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT, *ops[] = {&op};
    char *command[] = {(char *)(uintptr_t)("true")};
    Hypermesh__Challenge *challenge = NULL;
    Hypermesh__JobRecord *record;
    struct engine_receipt receipt;
    struct hm_error error = {0};
    struct ledger_view *view;
    char id[NODE_JOB_ID_CHARS + 1];

    hm_arena_init(&arena, 0);
    record = run_small(fixture->node, command, HM_COUNT_OF(command), 30000, &arena);
    assert_int_equal(record->outcome, HYPERMESH__JOB_OUTCOME__FINISHED);
    assert_int_equal(record->result.len, 32);
    message.node = wire_bytes(fixture->node->operator_id, 32);
    message.lease = record->lease;
    op.op_case = HYPERMESH__OPERATION__OP_CHALLENGE_OPEN;
    op.challenge_open = &message;
    if (node_wallet_submit(fixture->node, NODE_USER, ops, 1, &receipt, &error) != 0)
        fail_msg("%s", error.text);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(ledger_view_open(fixture->node->ledger, &view, NULL), 0);
        assert_int_equal(ledger_view_challenge(view, receipt.created[0], &arena, &challenge, NULL),
                         0);
        ledger_view_close(view);
        if (challenge->state != HYPERMESH__CHALLENGE_STATE__CHALLENGE_OPEN)
            break;
        node_job_wait(fixture->node, id, HYPERMESH__JOB_STATE__JOB_DONE, UINT64_MAX, 20);
        nanosleep(&(const struct timespec){.tv_nsec = 10000000}, NULL);
    }
    engine_receipt_release(&receipt);
    assert_string_equal(challenge->reason, "");
    assert_int_equal(challenge->state, HYPERMESH__CHALLENGE_STATE__CHALLENGE_ANSWERED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, node_fixture_setup, node_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ids_rise_though_the_clock_goes_back),
        TEST(test_old_jobs_go_but_not_those_that_live),
        TEST(test_a_damaged_record_stands_alone),
        TEST(test_a_finished_jobs_result_can_be_shown),
        cmocka_unit_test_setup_teardown(test_a_job_ends_with_its_lease, node_fixture_setup_behind,
                                        node_fixture_teardown),
    };

    return cmocka_run_group_tests_name("node_jobs", tests, NULL, NULL);
}
