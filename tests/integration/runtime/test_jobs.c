/* Jobs in real containers: what a job sees, what limits do to it, what is left behind (nothing).
 *
 * Run as root the whole set is repeated as an ordinary user, and in a mount namespace that shows cgroup
 * v2 alone, where crun works. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime_fixture.h"

static struct fixture fixture;

#define assert_outcome(job, word)                                                             \
    do {                                                                                      \
        if ((job)->result.outcome != HYPERMESH__JOB_OUTCOME__##word)                          \
            fail_msg("outcome %d, not " #word ": %s; stderr: %s", (int)(job)->result.outcome, \
                     (job)->result.reason, (job)->err);                                       \
    } while (0)

static void run_ok(struct fixture_job *job)
{
    if (fixture_run(&fixture, job) != 0)
        fail_msg("%s", job->error.text);
}

static void test_exit_code(void **state)
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

static void test_output_order(void **state)
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

static void test_what_a_job_sees(void **state)
{
    Hypermesh__JobEnv env = HYPERMESH__JOB_ENV__INIT;
    Hypermesh__JobEnv *envs[] = {&env};
    struct fixture_job job;

    (void)state;
    env.name = (char *)(uintptr_t) "COLOUR";
    env.value = (char *)(uintptr_t) "green blue";
    fixture_job(&fixture, &job,
                "echo $COLOUR; pwd; hostname; id -u; echo $PATH; echo $$; ls /proc | grep -c "
                "'^[0-9]'; ls /sys | wc -l");
    job.spec.n_env = 1;
    job.spec.env = envs;
    job.spec.workdir = (char *)(uintptr_t) "/etc";
    job.spec.name = (char *)(uintptr_t) "seer";
    run_ok(&job);
    assert_outcome(&job, FINISHED);
    assert_memory_equal(job.out, "green blue\n/etc\nseer\n0\n/bin:/usr/bin\n1\n", 38);
    fixture_job_release(&job);
}

static void test_rights(void **state)
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

static void test_no_network(void **state)
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

static void test_timeout(void **state)
{
    struct fixture_job job;

    (void)state;
    fixture_job(&fixture, &job,
                "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done");
    job.spec.timeout_ms = 500;
    run_ok(&job);
    assert_outcome(&job, TIMED_OUT);
    assert_string_equal(job.out, "ready\nbye\n"); /* SIGTERM came first */
    assert_string_equal(job.result.reason, "ran longer than its timeout of 500ms");
    assert_true(job.result.usage.wall_ms < 500 + RUNTIME_STOP_GRACE_MS);
    assert_false(job.result.has_result);
    fixture_job_release(&job);

    fixture_job(&fixture, &job,
                "trap '' TERM; (while :; do sleep 1; done) & while :; do sleep 1; done");
    job.spec.timeout_ms = 300;
    run_ok(&job);
    assert_outcome(&job, TIMED_OUT);
    assert_int_equal(job.result.exit_code, 128 + SIGKILL);
    assert_string_equal(job.result.reason,
                        "ran longer than its timeout of 300ms, killed after the grace period");
    fixture_job_release(&job);
}

static void cancel_on_start(void *ctx, int pid)
{
    assert_true(pid > 1);
    assert_int_equal(eventfd_write(*(int *)ctx, 1), 0);
}

static void test_cancel(void **state)
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
    assert_true(job.result.usage.wall_ms < 5000);
    fixture_job_release(&job);

    /* Already cancelled before it starts. */
    fixture_job(&fixture, &job, "sleep 60");
    job.request.cancel_fd = fd;
    run_ok(&job);
    assert_outcome(&job, CANCELLED);
    fixture_job_release(&job);
}

static void test_memory_limit(void **state)
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

static void test_pids_limit(void **state)
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

static void test_kernel_holds_limits(void **state)
{
    struct seen_limits seen = {0};
    struct fixture_job job;

    (void)state;
    if (!fixture.machine.limit_cpu || !fixture.machine.limit_memory || !fixture.machine.limit_pids)
        skip();
    fixture_job(&fixture, &job, "echo; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done");
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

static void test_storage_limit(void **state)
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

static void put_file(const char *path, const char *text)
{
    assert_int_equal(hm_file_replace(path, text, strlen(text), 0644, NULL), 0);
}

static void test_input_is_read_only(void **state)
{
    struct fixture_job job;
    char dir[300], path[400];

    (void)state;
    snprintf(dir, sizeof(dir), "%s/input", fixture.dir);
    snprintf(path, sizeof(path), "%s/words", dir);
    assert_int_equal(hm_mkdir_all(dir, 0755, NULL), 0);
    put_file(path, "one two\n");
    fixture_job(&fixture, &job,
                "cat /in/words; echo x > /in/words; touch /in/new; rm /in/words; mount -o "
                "remount,rw /in; touch /in/new; true");
    fixture_job_input(&job, dir);
    run_ok(&job);
    assert_outcome(&job, FINISHED);
    assert_string_equal(job.out, "one two\n");
    assert_int_equal(access(path, F_OK), 0);
    snprintf(path, sizeof(path), "%s/new", dir);
    assert_int_not_equal(access(path, F_OK), 0);
    fixture_job_release(&job);
}

static void assert_file(const char *dir, const char *name, const char *expected)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    char path[500];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(hm_file_read(path, 4096, &text, NULL), 0);
    assert_string_equal(hm_buf_cstr(&text), expected);
}

static void test_outputs(void **state)
{
    static const char script[] =
        "cd /out; echo result > r; mkdir -p a/b; echo deep > a/b/c; chmod 750 a; "
        "ln -s /etc/passwd link; ln -s a dirlink; chmod 4755 r";
    uint8_t first[CRYPTO_HASH_BYTES];
    struct fixture_job job;
    char path[500], target[64];
    struct stat info;
    ssize_t len;

    (void)state;
    fixture_job(&fixture, &job, script);
    fixture_job_output(&fixture, &job);
    run_ok(&job);
    assert_outcome(&job, FINISHED);
    assert_true(job.result.has_result);
    memcpy(first, job.result.result, sizeof(first));
    assert_file(job.output_dir, "r", "result\n");
    assert_file(job.output_dir, "a/b/c", "deep\n");
    snprintf(path, sizeof(path), "%s/link", job.output_dir);
    len = readlink(path, target, sizeof(target));
    assert_int_equal(len, 11);
    snprintf(path, sizeof(path), "%s/r", job.output_dir);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0755);
    assert_int_equal(info.st_uid, geteuid());
    assert_int_equal(job.result.usage.output_bytes, 7 + 5);
    fixture_job_release(&job);

    /* The same content has the same digest; other content has not. */
    fixture_job(&fixture, &job, script);
    fixture_job_output(&fixture, &job);
    run_ok(&job);
    assert_memory_equal(job.result.result, first, sizeof(first));
    fixture_job_release(&job);
    fixture_job(&fixture, &job, "echo other > /out/r");
    fixture_job_output(&fixture, &job);
    run_ok(&job);
    assert_memory_not_equal(job.result.result, first, sizeof(first));
    fixture_job_release(&job);
}

static void test_outputs_never_escape(void **state)
{
    struct fixture_job job;
    char path[500];

    (void)state;
    /* The job replaces its own output folder's content by a link to a folder of the host. */
    fixture_job(&fixture, &job, "ln -s /etc /out/sub; mkfifo /out/pipe");
    fixture_job_output(&fixture, &job);
    run_ok(&job);
    assert_outcome(&job, FAILED);
    assert_non_null(strstr(job.result.reason, "neither a file, a folder nor a link"));
    assert_false(job.result.has_result);
    fixture_job_release(&job);

    /* A link left in the target by an earlier run is not written through. */
    fixture_job(&fixture, &job, "mkdir /out/sub; echo evil > /out/sub/f");
    fixture_job_output(&fixture, &job);
    assert_int_equal(hm_mkdir_all(job.output_dir, 0755, NULL), 0);
    snprintf(path, sizeof(path), "%s/sub", job.output_dir);
    assert_int_equal(symlink(fixture.dir, path), 0);
    run_ok(&job);
    assert_outcome(&job, FAILED);
    snprintf(path, sizeof(path), "%s/f", fixture.dir);
    assert_int_not_equal(access(path, F_OK), 0);
    fixture_job_release(&job);
}

static void test_never_started(void **state)
{
    struct fixture_job job;

    (void)state;
    fixture_job(&fixture, &job, "");
    job.command[0] = (char *)(uintptr_t) "/no/such/program";
    job.spec.n_command = 1;
    run_ok(&job);
    assert_outcome(&job, FAILED);
    assert_int_equal(job.result.exit_code, -1);
    assert_non_null(strstr(job.result.reason, "could not be started"));
    fixture_job_release(&job);

    fixture_job(&fixture, &job, "true");
    job.spec.image = (char *)(uintptr_t) "nowhere";
    assert_int_equal(fixture_run(&fixture, &job), HM_ENOTFOUND);
    assert_int_not_equal(access(job.dir, F_OK), 0);
    fixture_job(&fixture, &job, "true");
    fixture_job_input(&job, "/no/such/folder");
    assert_int_equal(fixture_run(&fixture, &job), HM_ENOTFOUND);
    assert_int_not_equal(access(job.dir, F_OK), 0);
}

static void test_hostile_requests(void **state)
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
    assert_int_equal(fixture_run(&fixture, &job), HM_EUNSUPPORTED);
}

struct second_run {
    struct fixture_job *first;
    int rc;
};

static void run_again(void *ctx, int pid)
{
    struct second_run *again = ctx;
    struct fixture_job job;

    (void)pid;
    fixture_job(&fixture, &job, "true");
    job.request.id = again->first->id;
    job.request.dir = again->first->dir;
    again->rc = runtime_job_run(fixture.images, &fixture.machine, &job.request, &job.result,
                                &job.error);
}

static void test_same_id_twice(void **state)
{
    struct fixture_job job;
    struct second_run again = {.first = &job};

    (void)state;
    fixture_job(&fixture, &job, "sleep 0.3; echo unharmed");
    job.request.started = run_again;
    job.request.ctx = &again;
    run_ok(&job);
    assert_int_equal(again.rc, HM_EEXIST);
    assert_outcome(&job, FINISHED);
    assert_string_equal(job.out, "unharmed\n");
    fixture_job_release(&job);
}

/* --- many at once -------------------------------------------------------------------------------- */
#define CROWD_THREADS 4
#define CROWD_JOBS    4

struct crowd {
    pthread_t thread;
    unsigned number;
    int rc;
    struct hm_error error;
};

static void *crowd_run(void *arg)
{
    struct crowd *one = arg;

    for (unsigned i = 0; i < CROWD_JOBS && one->rc == 0; i++) {
        struct fixture_job job;

        fixture_job(&fixture, &job, "sleep 0.0$(($RANDOM % 9)); exit 5");
        snprintf(job.id, sizeof(job.id), "crowd%dx%ux%u", (int)getpid(), one->number, i);
        snprintf(job.dir, sizeof(job.dir), "%s/jobs/%s", fixture.dir, job.id);
        one->rc = runtime_job_run(fixture.images, &fixture.machine, &job.request, &job.result,
                                  &one->error);
        if (one->rc == 0 && job.result.exit_code != 5)
            one->rc = hm_fail(&one->error, HM_EINTERNAL, "exit code %d: %s", job.result.exit_code,
                              job.result.reason);
    }
    return NULL;
}

static void test_many_at_once(void **state)
{
    struct crowd crowd[CROWD_THREADS];
    char id[40];

    (void)state;
    for (unsigned i = 0; i < CROWD_THREADS; i++) {
        crowd[i] = (struct crowd){.number = i};
        assert_int_equal(pthread_create(&crowd[i].thread, NULL, crowd_run, &crowd[i]), 0);
    }
    for (unsigned i = 0; i < CROWD_THREADS; i++)
        assert_int_equal(pthread_join(crowd[i].thread, NULL), 0);
    for (unsigned i = 0; i < CROWD_THREADS; i++) {
        if (crowd[i].rc != 0)
            fail_msg("%s", crowd[i].error.text);
    }
    snprintf(id, sizeof(id), "crowd%d", (int)getpid());
    fixture_assert_gone(id);
}

/* --- a node that is killed while its job runs ---------------------------------------------------- */
#define CRASH_ID "tcrash1"

static void crash_started(void *ctx, int pid)
{
    (void)ctx;
    (void)!write(STDOUT_FILENO, &pid, sizeof(pid));
}

static int crash_child(const char *dir)
{
    struct fixture_job job;
    struct fixture own = {0};
    struct hm_error error = {0};
    char state[300];

    snprintf(own.dir, sizeof(own.dir), "%s", dir);
    snprintf(state, sizeof(state), "%s/state", dir);
    if (crypto_setup(&error) != 0 ||
        runtime_probe(state, getenv("HM_TEST_OCI"), &own.machine, &error) != 0 ||
        runtime_images_open(dir, &own.images, &error) != 0)
        return 1;
    fixture_job(&own, &job, "trap '' TERM; sleep 100");
    snprintf(job.id, sizeof(job.id), CRASH_ID);
    snprintf(job.dir, sizeof(job.dir), "%s/jobs/" CRASH_ID, dir);
    job.request.started = crash_started;
    return runtime_job_run(own.images, &own.machine, &job.request, &job.result, &error);
}

static pid_t start_self(const char *const *argv, int out)
{
    extern char **environ;
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;

    posix_spawn_file_actions_init(&actions);
    if (out >= 0)
        posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    assert_int_equal(
        posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

/* Gone, or dead and waiting for process 1 to take notice, which not every one does. */
static bool is_dead(int pid)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    char path[64];
    const char *at;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (hm_file_read(path, 4096, &text, NULL) != 0)
        return true;
    at = strrchr(hm_buf_cstr(&text), ')');
    return at != NULL && strncmp(at, ") Z", 3) == 0;
}

static void test_reap(void **state)
{
    const char *argv[] = {"/proc/self/exe", "--crash", fixture.dir, NULL};
    struct hm_error error = {0};
    char dir[320];
    int ends[2];
    int init = 0;
    pid_t pid;

    (void)state;
    snprintf(dir, sizeof(dir), "%s/jobs/" CRASH_ID, fixture.dir);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid = start_self(argv, ends[1]);
    close(ends[1]);
    assert_int_equal(read(ends[0], &init, sizeof(init)), sizeof(init));
    close(ends[0]);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(is_dead(init)); /* the container lives on without its node */
    if (runtime_job_reap(&fixture.machine, CRASH_ID, dir, &error) != 0)
        fail_msg("%s", error.text);
    fixture_assert_gone(CRASH_ID);
    for (int i = 0; i < 100 && !is_dead(init); i++)
        usleep(10000);
    assert_true(is_dead(init));
    assert_int_equal(runtime_job_reap(&fixture.machine, CRASH_ID, dir, &error), 0); /* idempotent */
}

/* --- the same in other surroundings ------------------------------------------------------------- */
/* The test program copied to where an ordinary user can run it. */
static void copy_self(const char *to)
{
    HM_AUTOCLOSE int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    HM_AUTOCLOSE int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    char step[65536];
    ssize_t got;

    assert_true(in >= 0 && out >= 0);
    while ((got = read(in, step, sizeof(step))) > 0)
        assert_int_equal(hm_write_all(out, step, (size_t)got, NULL), 0);
    assert_int_equal(got, 0);
}

static int run_self(const char *const *argv)
{
    int status = 0;
    pid_t pid = start_self(argv, -1);

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void test_as_ordinary_user(void **state)
{
    char dir[] = "/tmp/hm-runtime-user-XXXXXX";
    char program[64], data[64];
    const char *argv[] = {
        "setpriv",         "--reuid", "65534", "--regid", "65534", "--clear-groups",
        "--inh-caps=-all", program,   "--in",  data,      NULL};
    int code;

    (void)state;
    if (geteuid() != 0 || access("/usr/bin/setpriv", X_OK) != 0)
        skip();
    assert_non_null(mkdtemp(dir));
    snprintf(program, sizeof(program), "%s/test", dir);
    snprintf(data, sizeof(data), "%s/data", dir);
    copy_self(program);
    assert_int_equal(mkdir(data, 0700), 0);
    assert_int_equal(chown(data, 65534, 65534), 0);
    assert_int_equal(chmod(dir, 0755), 0);
    code = run_self(argv);
    assert_int_equal(hm_remove_tree(dir, NULL), 0);
    if (code == 77)
        skip();
    assert_int_equal(code, 0);
}

static void test_with_cgroup_v2_alone(void **state)
{
    char data[300];
    const char *argv[] = {
        "unshare",
        "-m",
        "sh",
        "-c",
        "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 77; "
        "exec \"$0\" --in \"$1\"",
        "/proc/self/exe",
        data,
        NULL};
    char self[300];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    int code;

    (void)state;
    if (geteuid() != 0 || fixture.machine.cgroup == RUNTIME_CGROUP_V2 || len <= 0)
        skip();
    self[len] = 0;
    argv[5] = self;
    snprintf(data, sizeof(data), "%s/v2", fixture.dir);
    assert_int_equal(mkdir(data, 0700), 0);
    code = run_self(argv);
    if (code == 77)
        skip();
    assert_int_equal(code, 0);
}

static int teardown(void **state)
{
    (void)state;
    fixture_close(&fixture);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_code),       cmocka_unit_test(test_output_order),
        cmocka_unit_test(test_what_a_job_sees), cmocka_unit_test(test_rights),
        cmocka_unit_test(test_no_network),      cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_cancel),          cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_pids_limit),      cmocka_unit_test(test_kernel_holds_limits),
        cmocka_unit_test(test_storage_limit),   cmocka_unit_test(test_input_is_read_only),
        cmocka_unit_test(test_outputs),         cmocka_unit_test(test_outputs_never_escape),
        cmocka_unit_test(test_never_started),   cmocka_unit_test(test_hostile_requests),
        cmocka_unit_test(test_same_id_twice),   cmocka_unit_test(test_reap),
    };
    const struct CMUnitTest elsewhere[] = {
        cmocka_unit_test(test_as_ordinary_user),
        cmocka_unit_test(test_with_cgroup_v2_alone),
    };
    bool inner = argc == 3 && strcmp(argv[1], "--in") == 0;
    int failed;

    if (argc == 3 && strcmp(argv[1], "--crash") == 0)
        return crash_child(argv[2]);
    if (fixture_open(&fixture, inner ? argv[2] : NULL) != 0) {
        printf("skipped: no container can be run here (see above)\n");
        return 77;
    }
    printf("# %s %s, cgroup v%d, %s\n", fixture.machine.oci_name, fixture.machine.oci_version,
           (int)fixture.machine.cgroup, fixture.machine.rootless ? "rootless" : "rootful");
    if (inner)
        return cmocka_run_group_tests_name("runtime jobs", tests, NULL, teardown) == 0 ? 0 : 1;
    failed = cmocka_run_group_tests_name("runtime jobs", tests, NULL, NULL);
    failed += cmocka_run_group_tests_name("runtime jobs elsewhere", elsewhere, NULL, teardown);
    return failed == 0 ? 0 : 1;
}
