/* What ends a job: time, a wish, memory, processes, storage. */
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_jobs.h"

/* Time for a command to begin, whatever this machine takes to start a container. */
static uint64_t time_to_begin_ms(void)
{
    struct fixture_job job;
    uint64_t wall_ms;

    fixture_job(&fixture, &job, "true");
    run_ok(&job);
    wall_ms = job.result.usage.wall_ms;
    fixture_job_release(&job);
    return 500 + 4 * wall_ms;
}

void test_timeout(void **state)
{
    uint64_t timeout_ms = time_to_begin_ms();
    struct fixture_job job;
    char text[32], reason[128];

    (void)state;
    hm_duration_format_ms(timeout_ms, text);
    fixture_job(&fixture, &job,
                "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done");
    job.spec.timeout_ms = timeout_ms;
    run_ok(&job);
    assert_outcome(&job, TIMED_OUT);
    assert_string_equal(job.out, "ready\nbye\n"); /* SIGTERM came first */
    snprintf(reason, sizeof(reason), "ran longer than its timeout of %s", text);
    assert_string_equal(job.result.reason, reason);
    assert_true(job.result.usage.wall_ms < timeout_ms + RUNTIME_STOP_GRACE_MS);
    assert_false(job.result.has_result);
    fixture_job_release(&job);

    fixture_job(&fixture, &job,
                "trap '' TERM; (while :; do sleep 1; done) & while :; do sleep 1; done");
    job.spec.timeout_ms = timeout_ms;
    run_ok(&job);
    assert_outcome(&job, TIMED_OUT);
    assert_int_equal(job.result.exit_code, 128 + SIGKILL);
    snprintf(reason, sizeof(reason),
             "ran longer than its timeout of %s, killed after the grace period", text);
    assert_string_equal(job.result.reason, reason);
    fixture_job_release(&job);
}

static void cancel_on_start(void *ctx, int pid)
{
    assert_true(pid > 1);
    assert_int_equal(eventfd_write(*(int *)ctx, 1), 0);
}

void test_cancel(void **state)
{
    HM_AUTOCLOSE int fd = eventfd(0, EFD_CLOEXEC);
    struct fixture_job job;

    (void)state;
    fixture_job(&fixture, &job, "echo started; sleep 60");
    job.request.cancel_fd = fd;
    job.request.started = cancel_on_start;
    job.request.ctx = &fd;
    run_ok(&job);
    assert_outcome(&job, CANCELLED);
    assert_true(job.result.usage.wall_ms < 30000); /* not the 60 s it wanted */
    fixture_job_release(&job);

    /* Already cancelled before it starts. */
    fixture_job(&fixture, &job, "sleep 60");
    job.request.cancel_fd = fd;
    run_ok(&job);
    assert_outcome(&job, CANCELLED);
    fixture_job_release(&job);
}

void test_memory_limit(void **state)
{
    struct fixture_job job;

    (void)state;
    /* tail keeps all of its one line in memory */
    fixture_job(&fixture, &job, "exec tail -c 400000000 /dev/zero");
    run_ok(&job);
    assert_outcome(&job, FAILED);
    assert_int_equal(job.result.exit_code, 128 + SIGKILL);
    if (fixture.machine.limit_memory) {
        assert_string_equal(job.result.reason, "killed: memory limit of 64.0 MiB reached");
        assert_true(job.result.usage.memory_peak_bytes <= UINT64_C(64) << 20);
    } else {
        assert_string_equal(job.result.reason, "killed: memory limit of 64.0 MiB passed");
    }
    assert_true(job.result.usage.memory_peak_bytes > UINT64_C(50) << 20);
    fixture_job_release(&job);
}

void test_pids_limit(void **state)
{
    struct fixture_job job;

    (void)state;
    fixture_job(&fixture, &job,
                "i=0; while [ $i -lt 40 ]; do sleep 2 & i=$((i+1)); done; echo all; exit 0");
    job.limits.pids = 16;
    run_ok(&job);
    assert_null(strstr(job.out, "all"));
    assert_outcome(&job, FAILED);
    if (fixture.machine.limit_pids)
        assert_non_null(strstr(job.result.reason, "limit of 16 processes was reached"));
    fixture_job_release(&job);
}

struct seen_limits {
    const struct fixture_job *job;
    char cpu[64], period[64], memory[64], pids[64];
    bool found;
};

static void read_limits(void *ctx, uint64_t log_bytes)
{
    struct seen_limits *seen = ctx;

    (void)log_bytes;
    seen->found = fixture_cgroup_file(&fixture, seen->job->id, "cpu/cpu.cfs_quota_us", "cpu.max",
                                      seen->cpu, 64) &&
                  fixture_cgroup_file(&fixture, seen->job->id, "memory/memory.limit_in_bytes",
                                      "memory.max", seen->memory, 64) &&
                  fixture_cgroup_file(&fixture, seen->job->id, "pids/pids.max", "pids.max",
                                      seen->pids, 64);
    (void)fixture_cgroup_file(&fixture, seen->job->id, "cpu/cpu.cfs_period_us", "cpu.max",
                              seen->period, 64);
}

void test_kernel_holds_limits(void **state)
{
    struct seen_limits seen = {0};
    struct fixture_job job;

    (void)state;
    if (!fixture.machine.limit_cpu || !fixture.machine.limit_memory ||
        !fixture.machine.limit_pids) {
        print_message("no cgroup controllers hold limits here\n");
        skip();
    }
    fixture_job(&fixture, &job, "echo; (while :; do :; done) & sleep 2; kill $!; exit 0");
    seen.job = &job;
    job.limits.cpu_quota_us = 25000;
    job.limits.cpu_period_us = 100000;
    job.request.output = read_limits;
    job.request.ctx = &seen;
    run_ok(&job);
    assert_outcome(&job, FINISHED);
    assert_true(seen.found);
    assert_string_equal(seen.cpu,
                        fixture.machine.cgroup == RUNTIME_CGROUP_V2 ? "25000 100000" : "25000");
    assert_string_equal(seen.memory, "67108864");
    assert_string_equal(seen.pids, "64");
    /* It never had more than a quarter of a core, with one period's slack. */
    assert_true(job.result.usage.cpu_ns / 1000000 <= job.result.usage.wall_ms / 4 + 100);
    fixture_job_release(&job);
}

void test_storage_limit(void **state)
{
    struct fixture_job job;

    (void)state;
    fixture_job(&fixture, &job,
                "i=0; while [ $i -lt 100 ]; do dd if=/dev/zero of=/var/$i bs=1M count=2 "
                "2>/dev/null; sleep 0.05; i=$((i+1)); done; echo all");
    run_ok(&job);
    assert_outcome(&job, FAILED);
    assert_string_equal(job.result.reason, "killed: storage limit of 32.0 MiB passed");
    assert_null(strstr(job.out, "all"));
    fixture_job_release(&job);

    fixture_job(&fixture, &job, "exec dd if=/dev/zero of=/var/one bs=1M count=100");
    run_ok(&job);
    assert_outcome(&job, FAILED);
    fixture_job_release(&job);
}
