/* Building a plot: whole or not at all, whatever happens on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "plot_fixture.h"

#define SEGMENT 256u
#define LABELS  (8u * SEGMENT)

static int setup(void **state)
{
    struct plot_fixture *fixture = malloc(sizeof(*fixture));

    *state = fixture;
    return fixture != NULL ? plot_fixture_init(fixture) : -1;
}

static int teardown(void **state)
{
    plot_fixture_release(*state);
    free(*state);
    return 0;
}

struct watch {
    uint64_t calls;
    uint64_t last;
    uint64_t stop_at; /* labels done; 0: never */
};

static int watch_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct watch *watch = ctx;

    assert_true(done > watch->last && done <= total);
    watch->last = done;
    watch->calls++;
    return watch->stop_at > 0 && done >= watch->stop_at;
}

static void progress_is_told(void **state)
{
    struct plot_fixture *f = *state;
    struct watch watch = {0};

    assert_int_equal(
        proof_plot_create(f->path, f->node, LABELS, SEGMENT, watch_progress, &watch, NULL), 0);
    assert_int_equal(watch.last, LABELS);
    assert_in_range(watch.calls, 99, 110);
    assert_int_equal(plot_fixture_files(f), 1);
}

static void cancelling_leaves_nothing(void **state)
{
    struct plot_fixture *f = *state;
    static const uint64_t stops[] = {1, 700, LABELS};
    struct hm_error error = {0};

    for (size_t i = 0; i < HM_COUNT_OF(stops); i++) {
        struct watch watch = {.stop_at = stops[i]};
        assert_int_equal(
            proof_plot_create(f->path, f->node, LABELS, SEGMENT, watch_progress, &watch, &error),
            HM_ECANCELLED);
        assert_int_equal(plot_fixture_files(f), 0);
    }
    assert_non_null(strstr(error.text, "cancelled at 2048 of 2048"));
}

static void cancelling_keeps_the_old_plot(void **state)
{
    struct plot_fixture *f = *state;
    struct watch watch = {.stop_at = 700};
    Hypermesh__PlotCommitment commitment;
    struct proof_plot *plot = plot_fixture_plot(f, SEGMENT, SEGMENT);

    assert_non_null(plot);
    proof_plot_close(plot);
    assert_int_equal(
        proof_plot_create(f->path, f->node, LABELS, SEGMENT, watch_progress, &watch, NULL),
        HM_ECANCELLED);
    assert_int_equal(proof_plot_open(f->path, f->node, &plot, NULL), 0);
    proof_plot_commitment(plot, &commitment);
    assert_int_equal(commitment.labels, SEGMENT);
    proof_plot_close(plot);
    plot = plot_fixture_plot(f, LABELS, SEGMENT); /* and a whole one takes its place */
    assert_non_null(plot);
    proof_plot_commitment(plot, &commitment);
    assert_int_equal(commitment.labels, LABELS);
    proof_plot_close(plot);
    assert_int_equal(plot_fixture_files(f), 1);
}

static void sizes_are_checked(void **state)
{
    struct plot_fixture *f = *state;
    static const uint64_t bad[][2] = {{0, 0}, {63, 63}, {100, 64}, {64, 128}, {96, 96}};
    struct hm_error error = {0};

    for (size_t i = 0; i < HM_COUNT_OF(bad); i++)
        assert_int_equal(
            proof_plot_create(f->path, f->node, bad[i][0], bad[i][1], NULL, NULL, &error),
            HM_EINVAL);
    assert_int_equal(plot_fixture_files(f), 0);
}

static void missing_folder(void **state)
{
    struct plot_fixture *f = *state;
    struct hm_error error = {0};
    HM_AUTOFREE char *path = hm_asprintf("%s/not/here.plot", f->folder);
    struct proof_plot *plot = NULL;

    assert_int_equal(proof_plot_create(path, f->node, 64, 64, NULL, NULL, &error), HM_EIO);
    assert_non_null(strstr(error.text, "No such file"));
    assert_int_equal(proof_plot_open(path, f->node, &plot, &error), HM_ENOTFOUND);
    assert_null(plot);
}

/* A file size limit stands for a full disk: the same calls fail, at the same places. */
static void full_disk(void **state)
{
    struct plot_fixture *f = *state;
    static const rlim_t limits[] = {0, 4096, 20000, 70000};
    struct rlimit old, limit;
    struct hm_error error = {0};

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; i < HM_COUNT_OF(limits); i++) {
        limit = (struct rlimit){.rlim_cur = limits[i], .rlim_max = old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        int rc = proof_plot_create(f->path, f->node, LABELS, SEGMENT, NULL, NULL, &error);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(rc, HM_EIO);
        assert_non_null(strstr(error.text, "free space or choose a smaller plot"));
        assert_int_equal(plot_fixture_files(f), 0);
    }
    (void)signal(SIGXFSZ, handler);
}

static void memory_runs_out(void **state)
{
    struct plot_fixture *f = *state;
    unsigned long nth = 1;
    int rc = HM_ENOMEM;

    for (; rc != 0 && nth < 50; nth++) {
        hm_alloc_fail_at(nth);
        rc = proof_plot_create(f->path, f->node, 128, 64, NULL, NULL, NULL);
        hm_alloc_fail_at(0);
        assert_true(rc == 0 || rc == HM_ENOMEM);
        assert_false(plot_fixture_exists(f->part));
    }
    assert_true(nth > 3);
    rc = HM_ENOMEM;
    for (nth = 1; rc != 0 && nth < 50; nth++) {
        struct proof_plot *plot = NULL;
        hm_alloc_fail_at(nth);
        rc = proof_plot_open(f->path, f->node, &plot, NULL);
        hm_alloc_fail_at(0);
        assert_true(rc == 0 || (rc == HM_ENOMEM && plot == NULL));
        proof_plot_close(plot);
    }
    assert_true(nth > 3);
}

static void leftover_is_taken_over(void **state)
{
    struct plot_fixture *f = *state;
    static const uint8_t junk[200000] = {0xee};
    struct proof_plot *plot = NULL;

    int fd = open(f->part, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(hm_write_all(fd, junk, sizeof(junk), NULL), 0);
    (void)close(fd);
    plot = plot_fixture_plot(f, SEGMENT, SEGMENT);
    assert_non_null(plot);
    proof_plot_close(plot);
    assert_int_equal(plot_fixture_files(f), 1);
}

static int build_again(void *ctx, uint64_t done, uint64_t total)
{
    struct plot_fixture *f = ctx;
    struct hm_error error = {0};

    (void)done;
    (void)total;
    assert_int_equal(proof_plot_create(f->path, f->node, 64, 64, NULL, NULL, &error), HM_EBUSY);
    assert_non_null(strstr(error.text, "another process"));
    return 0;
}

static void two_builders(void **state)
{
    struct plot_fixture *f = *state;
    struct proof_plot *plot = NULL;

    assert_int_equal(proof_plot_create(f->path, f->node, 64, 64, build_again, f, NULL), 0);
    assert_int_equal(proof_plot_open(f->path, f->node, &plot, NULL), 0);
    proof_plot_close(plot);
}

static int report_and_wait(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    if (done < total / 2)
        return 0;
    if (write(STDOUT_FILENO, "x", 1) != 1)
        return 1;
    for (;;)
        (void)pause();
}

static void kill_in_the_middle(void **state)
{
    struct plot_fixture *f = *state;
    char self[] = "/proc/self/exe", flag[] = "--build";
    char *const argv[] = {self, flag, f->path, NULL};
    char *const envp[] = {NULL};
    posix_spawn_file_actions_t actions;
    int ends[2], status = 0;
    char byte = 0;
    pid_t child = 0;
    struct proof_plot *plot = NULL;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO), 0);
    assert_int_equal(posix_spawn(&child, self, &actions, NULL, argv, envp), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    (void)close(ends[0]);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));

    assert_false(plot_fixture_exists(f->path));
    assert_true(plot_fixture_exists(f->part));
    assert_int_equal(proof_plot_open(f->part, f->node, &plot, NULL), HM_ECORRUPT);
    plot = plot_fixture_plot(f, LABELS, SEGMENT);
    assert_non_null(plot);
    proof_plot_close(plot);
    assert_int_equal(plot_fixture_files(f), 1);
}

static int build_in_child(const char *path)
{
    uint8_t node[32];

    memset(node, 0x11, sizeof(node));
    return proof_plot_create(path, node, LABELS, SEGMENT, report_and_wait, NULL, NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(progress_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelling_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelling_keeps_the_old_plot, setup, teardown),
        cmocka_unit_test_setup_teardown(sizes_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_runs_out, setup, teardown),
        cmocka_unit_test_setup_teardown(leftover_is_taken_over, setup, teardown),
        cmocka_unit_test_setup_teardown(two_builders, setup, teardown),
        cmocka_unit_test_setup_teardown(kill_in_the_middle, setup, teardown),
    };

    if (argc == 3 && strcmp(argv[1], "--build") == 0)
        return build_in_child(argv[2]) == 0 ? 0 : 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
