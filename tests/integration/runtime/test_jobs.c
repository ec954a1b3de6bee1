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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_jobs.h"

struct fixture fixture;

void run_ok(struct fixture_job *job)
{
    if (fixture_run(&fixture, job) != 0)
        fail_msg("%s", job->error.text);
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
    if (geteuid() != 0 || access("/usr/bin/setpriv", X_OK) != 0) {
        print_message("needs root and setpriv to become another user\n");
        skip();
    }
    assert_non_null(mkdtemp(dir));
    snprintf(program, sizeof(program), "%s/test", dir);
    snprintf(data, sizeof(data), "%s/data", dir);
    copy_self(program);
    assert_int_equal(mkdir(data, 0700), 0);
    assert_int_equal(chown(data, 65534, 65534), 0);
    assert_int_equal(chmod(dir, 0755), 0);
    code = run_self(argv);
    assert_int_equal(hm_remove_tree(dir, NULL), 0);
    if (code == 77) {
        print_message("no container runtime works in those surroundings\n");
        skip();
    }
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
    if (geteuid() != 0 || fixture.machine.cgroup == RUNTIME_CGROUP_V2 || len <= 0) {
        print_message("needs root, and a machine that is not on cgroup v2 anyway\n");
        skip();
    }
    self[len] = 0;
    argv[5] = self;
    snprintf(data, sizeof(data), "%s/v2", fixture.dir);
    assert_int_equal(mkdir(data, 0700), 0);
    code = run_self(argv);
    if (code == 77) {
        print_message("no container runtime works in those surroundings\n");
        skip();
    }
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
        cmocka_unit_test(test_exit_code),
        cmocka_unit_test(test_output_order),
        cmocka_unit_test(test_what_a_job_sees),
        cmocka_unit_test(test_rights),
        cmocka_unit_test(test_no_network),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_pids_limit),
        cmocka_unit_test(test_kernel_holds_limits),
        cmocka_unit_test(test_storage_limit),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_io_limit),
        cmocka_unit_test(test_cpu_set),
        cmocka_unit_test(test_input_is_read_only),
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_outputs_never_escape),
        cmocka_unit_test(test_never_started),
        cmocka_unit_test(test_hostile_requests),
        cmocka_unit_test(test_gpu_is_handed_over),
        cmocka_unit_test(test_gpu_without_user_namespace),
        cmocka_unit_test(test_gpu_other_devices_stay_shut),
        cmocka_unit_test(test_gpu_hooks),
        cmocka_unit_test(test_gpu_refusals),
        cmocka_unit_test(test_runtime_missing),
        cmocka_unit_test(test_runtime_garbage),
        cmocka_unit_test(test_runtime_names_a_stranger),
        cmocka_unit_test(test_runtime_hangs_at_start),
        cmocka_unit_test(test_runtime_leaves_nobody),
        cmocka_unit_test(test_runtime_refuses_to_delete),
        cmocka_unit_test(test_runtime_killed),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_killed_probe),
        cmocka_unit_test(test_cgroup_stays),
        cmocka_unit_test(test_hostile_output_name),
        cmocka_unit_test(test_same_id_twice),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_reap),
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
