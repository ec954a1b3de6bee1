/* What goes wrong beneath a job: OCI runtimes that are missing, lie, hang or are killed; full disks; no descriptors;
 * cgroups that will not go. Each ends with a clear answer and leaves nothing: fixture_run looks for it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_jobs.h"

static uint64_t now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000U;
}

static size_t open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static void use_runtime(const char *name)
{
    snprintf(fixture.machine.oci_path, sizeof(fixture.machine.oci_path), "%.200s/%s", fixture.dir,
             name);
}

/* Runs a job under another OCI runtime: a script, with "$REAL" standing for the real one, in whose words id, bundle and
 * pid file are found. */
static int run_under(struct fixture_job *job, const char *script)
{
    const struct runtime_machine real = fixture.machine;
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    size_t descriptors = open_descriptors();
    int rc;

    use_runtime("oci");
    assert_int_equal(
        hm_buf_printf(&text,
                      "#!/bin/sh\nREAL=%s\nfor i; do case $last in --pid-file) PIDFILE=$i;; "
                      "--log) LOG=$i;; --root) ROOT=$i;; esac; last=$i; done\nID=$last\n%s\n",
                      real.oci_path, script),
        0);
    assert_int_equal(hm_file_replace(fixture.machine.oci_path, text.data, text.len, 0755, NULL), 0);
    rc = fixture_run(&fixture, job);
    fixture.machine = real;
    assert_int_equal(open_descriptors(), descriptors);
    assert_true(hm_utf8_valid(job->error.text, strlen(job->error.text)));
    return rc;
}

static void assert_says(const struct fixture_job *job, const char *part)
{
    if (strstr(job->error.text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", job->error.text, part);
}

static void assert_no_folder(const struct fixture_job *job)
{
    if (access(job->dir, F_OK) == 0)
        fail_msg("%s is left", job->dir);
}

void test_runtime_missing(void **state)
{
    const struct runtime_machine real = fixture.machine;
    struct fixture_job job;

    (void)state;
    fixture_job(&fixture, &job, "true");
    use_runtime("no-such");
    assert_int_equal(fixture_run(&fixture, &job), HM_EUNAVAILABLE);
    assert_says(&job, "cannot start");
    assert_no_folder(&job);

    use_runtime("noise");
    assert_int_equal(hm_file_replace(fixture.machine.oci_path,
                                     "\x7f"
                                     "ELF no program",
                                     15, 0755, NULL),
                     0);
    assert_int_equal(fixture_run(&fixture, &job), HM_EUNAVAILABLE);
    assert_no_folder(&job);
    fixture.machine = real;
}

void test_runtime_garbage(void **state)
{
    static const struct {
        const char *script, *says;
    } cases[] = {
        {"exit 0", "gave no reason"},
        {"exit 1", "gave no reason"},
        {"head -c 100000 /dev/urandom > $LOG; head -c 300000 /dev/urandom; head -c 300000 "
         "/dev/urandom >&2; exit 1",
         "could not start the sandbox"},
        {"printf '{\"level\":\"error\",\"msg\":\"bad \\377\\033[31m thing\"}\\n' > $LOG; exit 1",
         "could not start the sandbox"},
        {"printf '{\"level\":\"error\",\"msg\":\"bad \\\\u001b[31m thing\"}\\n' > $LOG; exit 1",
         "bad  [31m thing"},
        {"head -c 5000000 /dev/zero > $LOG; exit 1", "could not start the sandbox"},
        {"mkdir $LOG; exit 1", "could not start the sandbox"},
        {"echo none > $PIDFILE; exit 1", "could not start the sandbox"},
        {"echo -1 > $PIDFILE; exit 1", "could not start the sandbox"},
        {"echo 1 > $PIDFILE; exit 1", "could not start the sandbox"},
        {"echo 99999999999999999999 > $PIDFILE; exit 1", "could not start the sandbox"},
        {"head -c 100000 /dev/zero > $PIDFILE; exit 1", "could not start the sandbox"},
        {"mkdir $PIDFILE; exit 1", "could not start the sandbox"},
        {"kill -9 $$", "could not start the sandbox"},
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        struct fixture_job job;
        int rc;

        fixture_job(&fixture, &job, "true");
        rc = run_under(&job, cases[i].script);
        if (rc != HM_EUNAVAILABLE)
            fail_msg("%s: %d, %s", cases[i].script, rc, job.error.text);
        assert_says(&job, cases[i].says);
        assert_no_folder(&job);
        fixture_job_release(&job);
    }
}

static volatile sig_atomic_t got_term;

static void on_term(int signal_number)
{
    (void)signal_number;
    got_term = 1;
}

/* A pid file that names somebody else's process: it gets no signal, whatever happens to the job. */
void test_runtime_names_a_stranger(void **state)
{
    const struct sigaction act = {.sa_handler = on_term};
    struct sigaction before;
    struct fixture_job job;

    (void)state;
    assert_int_equal(sigaction(SIGTERM, &act, &before), 0);
    fixture_job(&fixture, &job, "true");
    job.spec.timeout_ms = 300;
    assert_int_equal(run_under(&job, "echo $PPID > $PIDFILE; sleep 100"), 0);
    assert_outcome(&job, TIMED_OUT);
    assert_int_equal(got_term, 0);
    assert_int_equal(sigaction(SIGTERM, &before, NULL), 0);
    fixture_job_release(&job);
}

void test_runtime_hangs_at_start(void **state)
{
    static const char *const scripts[] = {
        "exec sleep 1000",
        "trap '' TERM; sleep 1000 & sleep 1000 & wait; wait", /* with others, deaf */
    };
    uint64_t start;

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(scripts); i++) {
        struct fixture_job job;

        fixture_job(&fixture, &job, "true");
        job.request.start_limit_ms = 400;
        start = now_ms();
        assert_int_equal(run_under(&job, scripts[i]), HM_EUNAVAILABLE);
        assert_true(now_ms() - start < 5000);
        assert_says(&job, "did not start the sandbox within 400ms");
        assert_no_folder(&job);
    }
}

/* What a killed runtime started in its group goes with it. */
void test_runtime_leaves_nobody(void **state)
{
    struct fixture_job job;
    char path[300];
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    uint64_t pid = 0;

    (void)state;
    fixture_job(&fixture, &job, "true");
    job.request.start_limit_ms = 400;
    snprintf(path, sizeof(path), "%s/left", fixture.dir);
    {
        char script[400];

        snprintf(script, sizeof(script), "sleep 1000 & echo $! > %s; wait", path);
        assert_int_equal(run_under(&job, script), HM_EUNAVAILABLE);
    }
    assert_int_equal(hm_file_read(path, 32, &text, NULL), 0);
    text.len--;
    assert_int_equal(hm_u64_parse(hm_buf_cstr(&text), &pid, NULL), 0);
    for (int i = 0; i < 100 && kill((pid_t)pid, 0) == 0; i++) {
        char stat[64];
        HM_CLEANUP(hm_buf) struct hm_buf line = {0};

        snprintf(stat, sizeof(stat), "/proc/%d/stat", (int)pid);
        if (hm_file_read(stat, 4096, &line, NULL) != 0 || strstr(hm_buf_cstr(&line), ") Z") != NULL)
            return; /* dead, and process 1 does not look */
        usleep(20000);
    }
    assert_int_not_equal(kill((pid_t)pid, 0), 0);
}

/* The runtime hangs when it is told to delete what it made: everything else goes, and the job says what stayed. */
void test_runtime_refuses_to_delete(void **state)
{
    struct fixture_job job;

    (void)state;
    fixture_job(&fixture, &job, "echo done");
    assert_int_equal(run_under(&job, "case \"$*\" in *delete*) mkdir -p $ROOT/$ID; exit 1;; esac\n"
                                     "$REAL \"$@\"; code=$?; mkdir -p $ROOT/$ID; exit $code"),
                     HM_EBUSY);
    assert_says(&job, "could not delete container");
    fixture_job_release(&job);
}

/* --- killed under a running job -------------------------------------------------------------------------------------- */

static void kill_the_runtime(void *ctx, int pid)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    char path[64];
    const char *at;

    (void)ctx;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    assert_int_equal(hm_file_read(path, 4096, &text, NULL), 0);
    at = strrchr(hm_buf_cstr(&text), ')');
    assert_non_null(at);
    assert_int_equal(kill((pid_t)strtol(at + 4, NULL, 10), SIGKILL), 0);
}

void test_runtime_killed(void **state)
{
    struct fixture_job job;
    char path[500];
    uint64_t start = now_ms();

    (void)state;
    fixture_job(&fixture, &job, "echo half > /out/result; trap '' TERM; sleep 100");
    fixture_job_output(&fixture, &job);
    job.request.started = kill_the_runtime;
    run_ok(&job);
    assert_true(now_ms() - start < 15000);
    assert_outcome(&job, FAILED);
    assert_non_null(strstr(job.result.reason, "was killed by signal 9 while the job ran"));
    assert_int_equal(job.result.exit_code, 128 + SIGKILL);
    assert_false(job.result.has_result); /* what it had written is no result */
    snprintf(path, sizeof(path), "%s/result", job.output_dir);
    assert_int_not_equal(access(path, F_OK), 0);
    fixture_job_release(&job);
}

/* --- no room ------------------------------------------------------------------------------------------------------------ */

static bool mount_small(const struct fixture_job *job, const char *options)
{
    assert_int_equal(hm_mkdir_all(job->dir, 0700, NULL), 0);
    return geteuid() == 0 && mount("none", job->dir, "tmpfs", 0, options) == 0;
}

void test_full_disk(void **state)
{
    struct fixture_job job;
    size_t started = 0;

    (void)state;
    fixture_job(&fixture, &job, "true");
    if (!mount_small(&job, "size=1m")) {
        print_message("needs root to mount a small disk\n");
        skip();
    }
    assert_int_equal(umount(job.dir), 0);
    /* From no room at all for what a sandbox needs, to room for some of the job's own. */
    for (unsigned inodes = 2; inodes < 40; inodes++) {
        char options[64];
        int rc;

        fixture_job(&fixture, &job,
                    "yes 0123456789 | head -c 2000000 > /out/big; echo $?; yes | head -c 3000000");
        fixture_job_output(&fixture, &job);
        snprintf(options, sizeof(options), "size=256k,nr_inodes=%u", inodes);
        assert_true(mount_small(&job, options));
        rc = runtime_job_run(fixture.images, &fixture.machine, &job.request, &job.result,
                             &job.error);
        started += rc == 0;
        if (rc != 0 && (rc > 0 || job.error.text[0] == 0))
            fail_msg("%u inodes: %d without a word", inodes, rc);
        if (rc == 0)
            assert_true(job.result.warning_count > 0 ||
                        job.result.outcome != HYPERMESH__JOB_OUTCOME__FINISHED);
        assert_int_equal(umount(job.dir), 0); /* nobody is in it any more */
        fixture_assert_gone(job.id);
    }
    assert_in_range(started, 1, 37);
}

void test_no_descriptors(void **state)
{
    struct rlimit old, low;
    size_t base = open_descriptors();
    size_t failed = 0, ran = 0;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    for (unsigned spare = 0; spare < 40 && ran < 3; spare++) {
        struct fixture_job job;
        int rc;

        fixture_job(&fixture, &job, "echo here");
        fixture_job_output(&fixture, &job);
        low.rlim_cur = base + spare;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        rc = runtime_job_run(fixture.images, &fixture.machine, &job.request, &job.result,
                             &job.error);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        if (rc != 0) {
            failed++;
            assert_true(job.error.text[0] != 0);
            /* What could not be opened to be removed goes as after a crash. */
            if (runtime_job_reap(&fixture.machine, job.id, job.dir, &job.error) != 0)
                fail_msg("%u descriptors: %s", spare, job.error.text);
        }
        ran += rc == 0;
        fixture_assert_gone(job.id);
        assert_int_equal(open_descriptors(), base);
        fixture_job_release(&job);
    }
    assert_true(failed > 3);
    assert_int_equal(ran, 3);
}

/* --- cgroups that stay ----------------------------------------------------------------------------------------------- */

#define NEST_DEPTH 24

static char nest[512];

static void nest_cgroups(void *ctx, int pid)
{
    const struct fixture_job *job = ctx;
    static const char *const roots[] = {
        "/sys/fs/cgroup/hypermesh", "/sys/fs/cgroup/memory/hypermesh",
        "/sys/fs/cgroup/pids/hypermesh", "/sys/fs/cgroup/unified/hypermesh"};

    (void)pid;
    nest[0] = 0;
    for (size_t i = 0; i < HM_COUNT_OF(roots) && nest[0] == 0; i++) {
        size_t len = (size_t)snprintf(nest, sizeof(nest), "%s/%s", roots[i], job->id);

        if (access(nest, F_OK) != 0) {
            nest[0] = 0;
            continue;
        }
        for (int depth = 0; depth < NEST_DEPTH; depth++) {
            len += (size_t)snprintf(nest + len, sizeof(nest) - len, "/d");
            if (mkdir(nest, 0755) != 0)
                nest[0] = 0;
        }
    }
}

void test_cgroup_stays(void **state)
{
    struct fixture_job job;
    int rc;

    (void)state;
    if (geteuid() != 0 || fixture.machine.cgroup == RUNTIME_CGROUP_NONE) {
        print_message("needs root and cgroups\n");
        skip();
    }
    fixture_job(&fixture, &job, "echo done");
    job.request.started = nest_cgroups;
    job.request.ctx = &job;
    rc = runtime_job_run(fixture.images, &fixture.machine, &job.request, &job.result, &job.error);
    if (nest[0] == 0) {
        assert_int_equal(rc, 0);
        print_message("no cgroup of the job can be nested here\n");
        skip();
    }
    assert_int_equal(rc, HM_EBUSY);
    assert_says(&job, "cannot remove the cgroup");
    /* Once somebody has taken away what was in the way, the next start clears up. */
    for (int depth = 0; depth < NEST_DEPTH; depth++) {
        (void)rmdir(nest);
        *strrchr(nest, '/') = 0;
    }
    if (runtime_job_reap(&fixture.machine, job.id, job.dir, &job.error) != 0)
        fail_msg("%s", job.error.text);
    fixture_assert_gone(job.id);
    fixture_job_release(&job);
}

/* A hostile file name ends up in the reason, and the reason in a message that must be UTF-8. */
void test_hostile_output_name(void **state)
{
    struct fixture_job job;

    (void)state;
    fixture_job(&fixture, &job, "mkfifo /out/$(printf 'a\\377\\033[31mb')");
    fixture_job_output(&fixture, &job);
    run_ok(&job);
    assert_outcome(&job, FAILED);
    assert_non_null(strstr(job.result.reason, "\"a? [31mb\""));
    assert_true(hm_utf8_valid(job.result.reason, strlen(job.result.reason)));
    fixture_job_release(&job);
}

/* A process that is killed while it probes leaves a mount and a folder; the next probe of the same state folder takes
 * them away. No process has a number this large. */
void test_killed_probe(void **state)
{
    static const char id[] = "probe99999999";
    struct runtime_machine machine;
    struct hm_error error = {0};
    char states[300], dir[340], lower[400], mount_point[64];

    (void)state;
    if (geteuid() != 0) {
        printf("only root mounts\n");
        skip();
    }
    snprintf(states, sizeof(states), "%s/state", fixture.dir);
    snprintf(dir, sizeof(dir), "%s/%s", states, id);
    snprintf(lower, sizeof(lower), "%s/lower", dir);
    snprintf(mount_point, sizeof(mount_point), "/run/hypermesh/%s", id);
    assert_int_equal(hm_mkdir_all(lower, 0700, NULL), 0);
    assert_int_equal(hm_mkdir_all(mount_point, 0700, NULL), 0);
    assert_int_equal(mount("tmpfs", mount_point, "tmpfs", 0, "size=1m"), 0);
    assert_int_equal(runtime_probe(states, getenv("HM_TEST_OCI"), &machine, &error), 0);
    fixture_assert_gone(id);
    assert_int_equal(access(dir, F_OK), -1);
    assert_int_equal(access(mount_point, F_OK), -1);
}
