/* What a job sees, what it may do, what it says and what becomes of its requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_jobs.h"

void test_exit_code(void **state)
{
    struct fixture_job job;

    (void)state;
    fixture_job(&fixture, &job, "echo out; echo err >&2; exit 7");
    run_ok(&job);
    assert_outcome(&job, FAILED);
    assert_int_equal(job.result.exit_code, 7);
    assert_string_equal(job.result.reason, "exited with code 7");
    assert_string_equal(job.out, "out\n");
    assert_string_equal(job.err, "err\n");
    assert_true(job.result.usage.cpu_ns > 0);
    assert_true(job.result.has_result);
    fixture_job_release(&job);

    fixture_job(&fixture, &job, "kill -SEGV $$");
    run_ok(&job);
    fixture_job_release(&job);

    fixture_job(&fixture, &job, "true");
    run_ok(&job);
    assert_outcome(&job, FINISHED);
    assert_int_equal(job.result.exit_code, 0);
    assert_string_equal(job.result.reason, "");
    fixture_job_release(&job);
}

static void count_output(void *ctx, uint64_t log_bytes)
{
    uint64_t *seen = ctx;

    assert_true(log_bytes > seen[0]);
    seen[0] = log_bytes;
    seen[1]++;
}

void test_output_order(void **state)
{
    struct fixture_job job;
    uint64_t seen[2] = {0};
    char expected[16];
    const char *at;

    (void)state;
    fixture_job(&fixture, &job,
                "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; sleep 0.2; "
                "echo late");
    job.request.output = count_output;
    job.request.ctx = seen;
    run_ok(&job);
    assert_outcome(&job, FINISHED);
    at = job.out;
    for (int i = 0; i < 2000; i++) {
        int len = snprintf(expected, sizeof(expected), "line %d\n", i);

        assert_memory_equal(at, expected, (size_t)len);
        at += len;
    }
    assert_string_equal(at, "late\n");
    assert_true(seen[1] >= 2); /* streamed, not handed over at the end */
    fixture_job_release(&job);
}

void test_what_a_job_sees(void **state)
{
    Hypermesh__JobEnv env = HYPERMESH__JOB_ENV__INIT;
    Hypermesh__JobEnv *envs[] = {&env};
    struct fixture_job job;

    (void)state;
    env.name = (char *)(uintptr_t)("COLOUR");
    env.value = (char *)(uintptr_t)("green blue");
    fixture_job(&fixture, &job,
                "echo $COLOUR; pwd; hostname; id -u; echo $PATH; echo $$; ls /proc | grep -c "
                "'^[0-9]'; ls /sys | wc -l");
    job.spec.n_env = 1;
    job.spec.env = envs;
    job.spec.workdir = (char *)(uintptr_t)("/etc");
    job.spec.name = (char *)(uintptr_t)("seer");
    run_ok(&job);
    assert_outcome(&job, FINISHED);
    assert_memory_equal(job.out, "green blue\n/etc\nseer\n0\n/bin:/usr/bin\n1\n", 38);
    fixture_job_release(&job);
}

void test_rights(void **state)
{
    static const char *const caps[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    struct fixture_job job;
    char value[64];

    (void)state;
    fixture_job(&fixture, &job,
                "cat /proc/self/status; mount -t tmpfs x /tmp && echo BAD mount; "
                "unshare -U true && echo BAD unshare; mknod /tmp/d b 8 0 && echo BAD mknod; "
                "chroot / true && echo BAD chroot; hostname other && echo BAD hostname; "
                "echo 1 > /proc/sys/kernel/panic && echo BAD sysctl; "
                "cat /proc/kcore | head -c 1 | wc -c; true");
    run_ok(&job);
    assert_outcome(&job, FINISHED);
    for (size_t i = 0; i < HM_COUNT_OF(caps); i++) {
        fixture_status_field(job.out, caps[i], value, sizeof(value));
        assert_string_equal(value, "0000000000000000");
    }
    fixture_status_field(job.out, "NoNewPrivs", value, sizeof(value));
    assert_string_equal(value, "1");
    fixture_status_field(job.out, "Seccomp", value, sizeof(value));
    assert_string_equal(value, "2");
    assert_null(strstr(job.out, "BAD"));
    fixture_job_release(&job);
}

void test_no_network(void **state)
{
    struct fixture_job job;

    (void)state;
    fixture_job(&fixture, &job,
                "cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '; "
                "ping -c 1 -W 1 192.0.2.1; wget -T 1 http://192.0.2.1/ && echo BAD; true");
    run_ok(&job);
    assert_outcome(&job, FINISHED);
    assert_null(strstr(job.out, "BAD"));
    assert_memory_equal(job.out, "lo\n", 3);
    assert_null(strstr(job.out, "eth"));
    fixture_job_release(&job);
}

void test_never_started(void **state)
{
    struct fixture_job job;

    (void)state;
    fixture_job(&fixture, &job, "");
    job.command[0] = (char *)(uintptr_t)("/no/such/program");
    job.spec.n_command = 1;
    run_ok(&job);
    assert_outcome(&job, FAILED);
    assert_int_equal(job.result.exit_code, -1);
    assert_non_null(strstr(job.result.reason, "could not be started"));
    fixture_job_release(&job);

    fixture_job(&fixture, &job, "true");
    job.spec.image = (char *)(uintptr_t)("nowhere");
    assert_int_equal(fixture_run(&fixture, &job), HM_ENOTFOUND);
    assert_int_not_equal(access(job.dir, F_OK), 0);
    fixture_job(&fixture, &job, "true");
    fixture_job_input(&job, "/no/such/folder");
    assert_int_equal(fixture_run(&fixture, &job), HM_ENOTFOUND);
    assert_int_not_equal(access(job.dir, F_OK), 0);
}

void test_hostile_requests(void **state)
{
    static const char *const ids[] = {"",  "../x", "a/b",
                                      "A", "x y",  "0123456789012345678901234567890123"};
    static const char *const points[] = {"/",        "/proc", "/proc/x", "/dev/shm",
                                         "/a/../..", "in",    "/sys"};
    struct fixture_job job;

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(ids); i++) {
        fixture_job(&fixture, &job, "true");
        job.request.id = ids[i];
        assert_int_equal(runtime_job_run(fixture.images, &fixture.machine, &job.request,
                                         &job.result, &job.error),
                         HM_EINVAL);
        assert_int_equal(runtime_job_reap(&fixture.machine, ids[i], job.dir, NULL), HM_EINVAL);
    }
    for (size_t i = 0; i < HM_COUNT_OF(points); i++) {
        fixture_job(&fixture, &job, "true");
        fixture_job_input(&job, "/usr");
        job.input.target = (char *)(uintptr_t)points[i];
        assert_int_equal(fixture_run(&fixture, &job), HM_EINVAL);
    }
    fixture_job(&fixture, &job, "true");
    job.request.dir = "relative";
    assert_int_equal(fixture_run(&fixture, &job), HM_EINVAL);
    fixture_job(&fixture, &job, "true");
    job.limits.gpu_milli = 500;
    assert_int_equal(fixture_run(&fixture, &job), HM_EINVAL);
}
