/* What a job used, and the limits that show only over time: I/O and the CPU set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "test_jobs.h"

#define MIB UINT64_C(1048576)

/* The tests' folder lies on a disk that the kernel counts and throttles, and may be told to. */
static bool has_disk(void)
{
    struct stat info;

    return fixture.machine.limit_io && stat(fixture.dir, &info) == 0 && major(info.st_dev) != 0;
}

/* Direct, so that v1 throttles it too; not every tmpfs can. */
static const char *write_script(void)
{
    return has_disk() ? "dd if=/dev/zero of=/var/data bs=1M count=12 oflag=direct"
                      : "dd if=/dev/zero of=/var/data bs=1M count=12";
}

static bool has_warning(const struct fixture_job *job, const char *words)
{
    for (size_t i = 0; i < job->result.warning_count; i++) {
        if (strstr(job->result.warnings[i], words) != NULL)
            return true;
    }
    return false;
}

void test_usage(void **state)
{
    const Hypermesh__JobUsage *usage;
    struct fixture_job job;
    char script[160];

    (void)state;
    snprintf(script, sizeof(script),
             "head -c 16000000 /dev/zero | tail -c 16000000 | wc -c; %s 2>/dev/null",
             write_script());
    fixture_job(&fixture, &job, script);
    job.spec.timeout_ms = 60000; /* an emulated machine takes long over it */
    run_ok(&job);
    assert_outcome(&job, FINISHED);
    usage = &job.result.usage;
    print_message("%s: cpu %llu ms (user %llu, system %llu), memory peak %llu KiB, "
                  "read %llu KiB, written %llu KiB, %llu ms\n",
                  usage->source, (unsigned long long)usage->cpu_ns / 1000000,
                  (unsigned long long)usage->cpu_user_ns / 1000000,
                  (unsigned long long)usage->cpu_system_ns / 1000000,
                  (unsigned long long)usage->memory_peak_bytes / 1024,
                  (unsigned long long)usage->io_read_bytes / 1024,
                  (unsigned long long)usage->io_write_bytes / 1024,
                  (unsigned long long)usage->wall_ms);
    assert_true(usage->cpu_ns > 0 && usage->cpu_system_ns <= usage->cpu_ns);
    assert_int_equal(usage->output_bytes, strlen("16000000\n"));
    if (fixture.machine.limit_memory) {
        assert_true(usage->memory_peak_bytes >= 16000000);
        assert_true(usage->memory_peak_bytes <= 64 * MIB);
    }
    if (has_disk()) {
        assert_true(usage->io_write_bytes >= 12 * MIB);
        assert_true(usage->io_write_bytes < 40 * MIB); /* the job's, not the machine's */
    }
    fixture_job_release(&job);
}

void test_io_limit(void **state)
{
    struct fixture_job job;

    (void)state;
    fixture_job(&fixture, &job, write_script());
    job.limits.io_write_bps = 4 * MIB;
    run_ok(&job);
    assert_outcome(&job, FINISHED);
    /* Either it holds or the job's record says that it does not. */
    if (has_disk()) {
        assert_false(has_warning(&job, "I/O limit does not hold"));
        assert_true(job.result.usage.wall_ms >= 2000);
    } else {
        assert_true(has_warning(&job, "I/O limit does not hold"));
    }
    fixture_job_release(&job);
}

void test_cpu_set(void **state)
{
    struct fixture_job job;
    char cpuset[] = "0", value[64];

    (void)state;
    fixture_job(&fixture, &job, "cat /proc/self/status");
    job.limits.cpuset = cpuset;
    run_ok(&job);
    assert_outcome(&job, FINISHED);
    fixture_status_field(job.out, "Cpus_allowed_list", value, sizeof(value));
    if (!has_warning(&job, "CPU set does not hold"))
        assert_string_equal(value, "0");
    else
        assert_false(fixture.machine.limit_cpu);
    fixture_job_release(&job);
}
