/* Many at once: acts that wait for one block, watchers, and ten thousand open connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server_place.h"

#define ACTORS      512
#define WATCHERS    1000
#define HELD        10000
#define DESCRIPTORS 12000 /* needed on each side for HELD */
/* libmicrohttpd looks at so many events at a time */
#define EVENTS        128
#define EVENTS_AROUND 4
#define POST_BOND                                                       \
    "POST /accounts/user/bond HTTP/1.1\r\nHost: node\r\nContent-Type: " \
    "application/json\r\nContent-Length: 14\r\n\r\n{\"amount\":\"1\"}"

extern char **environ;

static void nap(unsigned ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&pause, NULL);
}

/* A field of /proc/self/status. */
static unsigned long process_field(const char *name)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    const char *at;

    assert_int_equal(hm_file_read("/proc/self/status", 1 << 16, &text, NULL), 0);
    at = strstr(hm_buf_cstr(&text), name);
    return at ? strtoul(at + strlen(name), NULL, 10) : 0;
}

/* All acts are in the node's hands at the same time, so that one block can take them. */
static void test_acts_wait_together(void **state)
{
    struct place *place = *state;
    struct http *http = hm_calloc(ACTORS, sizeof(*http));

    fake_hold(&place->fake, true);
    for (unsigned i = 0; i < ACTORS; i++) {
        assert_true(http_open_unix(&http[i], place->socket_path));
        assert_true(http_send(&http[i], "%s", POST_BOND));
    }
    while (fake_waiting(&place->fake) < ACTORS)
        nap(5);
    assert_int_equal(place_get(place, "/livez", NULL), 200);
    fake_hold(&place->fake, false);
    for (unsigned i = 0; i < ACTORS; i++) {
        struct http_answer answer = {0};

        assert_true(http_receive(&http[i], &answer));
        assert_int_equal(answer.status, 200);
        http_answer_release(&answer);
        http_close(&http[i]);
    }
    hm_free(http);
    assert_int_equal(place->fake.submits, ACTORS);
}

/* As many clients as the library looks at in one go, more and fewer, ask while the one thread is busy, then wait for
 * their answers: no other event comes that would make it look again. */
static void test_everybody_at_once(void **state)
{
    struct place *place = *state;
    struct http http[EVENTS + EVENTS_AROUND + 1] = {{0}};
    struct http busy;
    unsigned count = 0;

    api_server_close(place->server);
    place->server = NULL;
    place->options.threads = 1;
    assert_int_equal(api_server_open(&place->options, &place->server, NULL), 0);
    assert_true(http_open_unix(&busy, place->socket_path));
    while (count < EVENTS + EVENTS_AROUND) {
        assert_true(http_open_unix(&http[count], place->socket_path));
        count++;
        if (count < EVENTS - EVENTS_AROUND)
            continue;
        /* Each is known by then: the first answers have come. */
        for (unsigned round = 0; round < 2; round++) {
            if (round == 1) {
                fake_hold_status(&place->fake, true);
                assert_true(http_send(&busy, GET_UNIX, "/node"));
                while (fake_waiting(&place->fake) < 1)
                    nap(1);
            }
            for (unsigned i = 0; i < count; i++)
                assert_true(http_send(&http[i], GET_UNIX, "/livez"));
            fake_hold_status(&place->fake, false);
            for (unsigned i = 0; i <= count; i++) {
                struct http_answer answer = {0};

                if (i == count && round == 0)
                    break;
                if (!http_receive(i < count ? &http[i] : &busy, &answer))
                    fail_msg("%u clients at once: number %u gets no answer", count, i);
                assert_int_equal(answer.status, 200);
                http_answer_release(&answer);
            }
        }
    }
    for (unsigned i = 0; i < count; i++)
        http_close(&http[i]);
    http_close(&busy);
}

static double processor_s(void)
{
    struct rusage usage;

    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Watchers cost neither threads nor, while nothing happens, time; all get what comes. */
static void test_watchers(void **state)
{
    struct place *place = *state;
    struct http *http = hm_calloc(WATCHERS, sizeof(*http));
    double spent_s;

    for (unsigned i = 0; i < WATCHERS; i++) {
        struct http_answer answer = {0};

        assert_true(http_open_unix(&http[i], place->socket_path));
        assert_true(http_send(&http[i], GET_UNIX, "/jobs/latest/logs?follow=1"));
        assert_true(http_receive_head(&http[i], &answer));
        assert_int_equal(answer.status, 200);
        http_answer_release(&answer);
    }
    assert_true(place_metrics_say(place, "hypermesh_http_streams 1000\n"));
    spent_s = processor_s();
    nap(2000);
    spent_s = processor_s() - spent_s;
    print_message("%d watchers: %lu threads, %.1f %% of a processor while nothing happens\n",
                  WATCHERS, process_field("Threads:"), spent_s * 50);
    assert_true(spent_s < 0.8);
    fake_log(&place->fake, 1, "news");
    for (unsigned i = 0; i < WATCHERS; i++) {
        struct http_answer answer = {0};

        assert_true(http_receive_chunk(&http[i], &answer));
        assert_string_equal(hm_buf_cstr(&answer.body), "news");
        http_answer_release(&answer);
    }
    fake_job_state(&place->fake, HYPERMESH__JOB_STATE__JOB_DONE);
    for (unsigned i = 0; i < WATCHERS; i++) {
        struct http_answer answer = {0};

        assert_false(http_receive_chunk(&http[i], &answer));
        assert_true(answer.whole);
        http_answer_release(&answer);
        http_close(&http[i]);
    }
    hm_free(http);
    assert_true(place_metrics_say(place, "hypermesh_http_streams 0\n"));
    /* those that began the streams have left by then, or leave soon */
    for (unsigned i = 0; i < 1500 && process_field("Threads:") > 40; i++)
        nap(10);
    assert_true(process_field("Threads:") <= 40);
}

/* --- ten thousand ------------------------------------------------------------------------------- */

/* The other process: opens connections, asks once on each, and holds them until its input ends. */
static int hold_connections(const char *path, unsigned count)
{
    const struct rlimit limit = {.rlim_cur = DESCRIPTORS, .rlim_max = DESCRIPTORS};
    struct http *http = hm_calloc(count, sizeof(*http));
    char byte;

    if (!http || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1;
    for (unsigned i = 0; i < count; i++) {
        struct http_answer answer = {0};

        if (!http_open_unix(&http[i], path) || !http_send(&http[i], GET_UNIX, "/livez") ||
            !http_receive(&http[i], &answer) || answer.status != 200)
            return 1;
        http_answer_release(&answer);
        hm_buf_release(&http[i].in);
    }
    if (write(STDOUT_FILENO, "h", 1) != 1)
        return 1;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    for (unsigned i = 0; i < count; i++)
        http_close(&http[i]);
    hm_free(http);
    return 0;
}

static pid_t spawn_holder(const char *path, int *go_on, int *ready)
{
    char program[] = "/proc/self/exe";
    char count[16];
    char copy[100];
    char verb[] = "hold";
    char *const argv[] = {program, verb, copy, count, NULL};
    posix_spawn_file_actions_t actions;
    int in[2];
    int out[2];
    pid_t pid = -1;

    (void)snprintf(count, sizeof(count), "%d", HELD);
    (void)snprintf(copy, sizeof(copy), "%s", path);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    (void)posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    (void)posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    assert_int_equal(posix_spawn(&pid, program, &actions, NULL, argv, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(in[0]);
    (void)close(out[1]);
    *go_on = in[1];
    *ready = out[0];
    return pid;
}

static void test_ten_thousand_connections(void **state)
{
    struct place *place = *state;
    struct rlimit limit = {0};
    unsigned long before_kib;
    unsigned long held_kib;
    double spent_s;
    char byte = 0;
    int status = -1;
    int go_on = -1;
    int ready = -1;
    pid_t pid;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < DESCRIPTORS) {
        print_message("skipped: %d descriptors are needed, and %lu are allowed\n", DESCRIPTORS,
                      (unsigned long)limit.rlim_max);
        skip();
    }
    assert_int_equal(place_get(place, "/node", NULL), 200);
    before_kib = process_field("VmRSS:");
    pid = spawn_holder(place->socket_path, &go_on, &ready);
    assert_int_equal(read(ready, &byte, 1), 1);
    assert_int_equal(byte, 'h');
    held_kib = process_field("VmRSS:") - before_kib;
    assert_int_equal(place_get(place, "/node", NULL), 200);
    assert_true(place_metrics_say(place, "hypermesh_http_connections 10001\n"));
    spent_s = processor_s();
    nap(2000);
    spent_s = processor_s() - spent_s;
    print_message("%d connections: %lu bytes each, %.1f %% of a processor while idle\n", HELD,
                  held_kib * 1024 / HELD, spent_s * 50);
    assert_true(spent_s < 0.8);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(held_kib * 1024 / HELD < 40000);
#endif
    (void)close(go_on);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    (void)close(ready);
    assert_true(place_metrics_say(place, "hypermesh_http_connections 1\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_acts_wait_together),
        TEST(test_everybody_at_once),
        TEST(test_watchers),
        TEST(test_ten_thousand_connections),
    };

    if (argc == 4 && strcmp(argv[1], "hold") == 0)
        return hold_connections(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
