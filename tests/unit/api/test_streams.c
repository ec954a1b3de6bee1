/* Job logs, waiting for jobs, and the replay of the chain: answers that take their time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api_frames.h"
#include "api_test.h"

#define LOGS "/jobs/latest/logs"

static void test_frames_cut_anywhere(void **state)
{
    static const uint8_t log[] = {1, 0, 0, 0, 0, 0, 0, 3, 'a', 'b', 'c', 2,   0, 0, 0, 0, 0,
                                  0, 0, 1, 0, 0, 0, 0, 0, 0,   2,   'd', 'e', 2, 0, 0, 0, 0};

    (void)state;
    for (size_t cut = 0; cut <= sizeof(log); cut++) {
        struct api_frames frames = {0};
        uint8_t copy[sizeof(log)];
        size_t first = 0;
        size_t second = 0;

        memcpy(copy, log, sizeof(log));
        assert_int_equal(api_frames_strip(&frames, copy, cut, &first, NULL), 0);
        assert_int_equal(api_frames_strip(&frames, copy + cut, sizeof(log) - cut, &second, NULL),
                         0);
        memmove(copy + first, copy + cut, second);
        assert_int_equal(first + second, 5);
        assert_memory_equal(copy, "abcde", 5);
    }
}

static void test_bad_frames(void **state)
{
    uint8_t not_a_stream[] = {3, 0, 0, 0, 0, 0, 0, 1};
    uint8_t not_zero[] = {1, 0, 1, 0, 0, 0, 0, 1};
    struct api_frames frames = {0};
    size_t kept = 99;

    (void)state;
    assert_int_equal(api_frames_strip(&frames, not_a_stream, 8, &kept, NULL), HM_ECORRUPT);
    frames = (struct api_frames){0};
    assert_int_equal(api_frames_strip(&frames, not_zero, 8, &kept, NULL), HM_ECORRUPT);
    assert_int_equal(kept, 99);
}

static void test_logs_as_they_are(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct api_test *test = *state;

    assert_int_equal(api_test_ask(test, "GET", LOGS, NULL, NULL), 200); /* no file yet */
    assert_int_equal(api_test_drain(test, &out), API_STREAM_END);
    assert_int_equal(out.len, 0);
    fake_log(&test->fake, 1, "one ");
    fake_log(&test->fake, 2, "two");
    assert_int_equal(api_test_ask(test, "GET", LOGS, NULL, NULL), 200);
    fake_log(&test->fake, 1, "later");
    assert_int_equal(api_test_drain(test, &out), API_STREAM_END);
    assert_string_equal(hm_buf_cstr(&out), "one two");
    hm_buf_clear(&out);
    assert_int_equal(api_test_ask(test, "GET", LOGS "?format=frames", NULL, NULL), 200);
    assert_string_equal(test->response.content_type, "application/vnd.hypermesh.frames");
    assert_int_equal(api_test_drain(test, &out), API_STREAM_END);
    assert_int_equal(out.len, 3 * 8 + 12);
    assert_memory_equal(out.data, "\x01\0\0\0\0\0\0\x04one ", 12);
}

static void *write_later(void *ctx)
{
    const struct timespec nap = {.tv_nsec = 30000000};
    struct fake *fake = ctx;

    fake_job_state(fake, HYPERMESH__JOB_STATE__JOB_LEASED);
    (void)nanosleep(&nap, NULL);
    fake_log(fake, 1, "first ");
    (void)nanosleep(&nap, NULL);
    fake_job_state(fake, HYPERMESH__JOB_STATE__JOB_RUNNING);
    fake_log(fake, 2, "second");
    (void)nanosleep(&nap, NULL);
    fake_log(fake, 1, " last");
    fake_job_state(fake, HYPERMESH__JOB_STATE__JOB_DONE);
    return NULL;
}

/* From before there is a file to after the job has ended; nothing is lost. */
static void test_logs_followed(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct api_test *test = *state;
    pthread_t thread;

    fake_job_state(&test->fake, HYPERMESH__JOB_STATE__JOB_QUEUED);
    assert_int_equal(api_test_ask(test, "GET", LOGS "?follow=1", NULL, NULL), 200);
    assert_int_equal(pthread_create(&thread, NULL, write_later, &test->fake), 0);
    assert_int_equal(api_test_drain(test, &out), API_STREAM_END);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(hm_buf_cstr(&out), "first second last");
}

static void test_damaged_log_breaks_the_stream(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct api_test *test = *state;

    fake_log(&test->fake, 9, "what stream is this");
    assert_int_equal(api_test_ask(test, "GET", LOGS, NULL, NULL), 200);
    assert_int_equal(api_test_drain(test, &out), HM_ECORRUPT);
}

static void test_wait(void **state)
{
    struct api_test *test = *state;
    uint64_t started_ns = hm_mono_ns(hm_clock_system());
    pthread_t thread;

    assert_int_equal(api_test_ask(test, "GET", "/jobs/latest/wait?timeout=40ms", NULL, NULL), 200);
    assert_true(hm_mono_ns(hm_clock_system()) - started_ns >= 40000000);
    assert_non_null(strstr(api_test_body(test), "\"state\":\"running\""));
    assert_int_equal(pthread_create(&thread, NULL, write_later, &test->fake), 0);
    assert_int_equal(api_test_ask(test, "GET", "/jobs/latest/wait?timeout=10s", NULL, NULL), 200);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_non_null(strstr(api_test_body(test), "\"state\":\"done\""));
    assert_int_equal(api_test_ask(test, "GET", "/jobs/other/wait", NULL, NULL), 404);
    assert_int_equal(atomic_load(&test->core.metrics.waits), 0);
}

static void test_closing_ends_waits(void **state)
{
    struct api_test *test = *state;
    uint64_t started_ns = hm_mono_ns(hm_clock_system());

    atomic_store(&test->core.closing, true);
    assert_int_equal(api_test_ask(test, "GET", "/jobs/latest/wait?timeout=60s", NULL, NULL), 200);
    assert_true(hm_mono_ns(hm_clock_system()) - started_ns < UINT64_C(5000000000));
}

static void test_too_many_waits(void **state)
{
    struct api_test *test = *state;

    atomic_store(&test->core.metrics.waits, API_WAITS_MAX);
    assert_int_equal(api_test_ask(test, "GET", LOGS, NULL, NULL), 200); /* costs no thread */
    assert_int_equal(api_test_ask(test, "POST", "/chain/verify", NULL, NULL), 503);
    assert_int_equal(api_test_ask(test, "GET", "/jobs/latest/wait", NULL, NULL), 503);
    assert_int_equal(atomic_load(&test->core.metrics.waits), API_WAITS_MAX);
    atomic_store(&test->core.metrics.waits, 0);
}

static void test_too_many_streams(void **state)
{
    struct api_test *test = *state;

    atomic_store(&test->core.metrics.streams, API_STREAMS_MAX);
    assert_int_equal(api_test_ask(test, "GET", LOGS "?follow=1", NULL, NULL), 503);
    assert_null(test->response.stream);
    assert_int_equal(atomic_load(&test->core.metrics.streams), API_STREAMS_MAX);
    atomic_store(&test->core.metrics.streams, API_STREAMS_MAX - 1);
    assert_int_equal(api_test_ask(test, "GET", LOGS, NULL, NULL), 200);
    assert_int_equal(atomic_load(&test->core.metrics.streams), API_STREAMS_MAX);
    api_response_release(&test->response);
    assert_int_equal(atomic_load(&test->core.metrics.streams), API_STREAMS_MAX - 1);
}

/* Every line is JSON; returns the last. */
static json_t *last_line(struct hm_buf *text, size_t *lines)
{
    char *at = (char *)(uintptr_t)hm_buf_cstr(text);
    json_t *value = NULL;

    *lines = 0;
    while (*at != '\0') {
        char *end = strchr(at, '\n');

        assert_non_null(end);
        json_decref(value);
        value = json_loadb(at, (size_t)(end - at), 0, NULL);
        assert_non_null(value);
        (*lines)++;
        at = end + 1;
    }
    return value;
}

static void test_verify(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct api_test *test = *state;
    size_t lines = 0;
    json_t *last;

    test->fake.verify_steps = 150;
    assert_int_equal(api_test_ask(test, "POST", "/chain/verify", NULL, NULL), 200);
    assert_string_equal(test->response.content_type, "application/x-ndjson");
    assert_int_equal(api_test_drain(test, &out), API_STREAM_END);
    last = last_line(&out, &lines);
    assert_true(lines > 1);
    assert_true(json_is_true(json_object_get(last, "ok")));
    assert_int_equal(json_integer_value(json_object_get(last, "txs")), 12);
    json_decref(last);
    test->fake.verify_fails = true;
    hm_buf_clear(&out);
    assert_int_equal(api_test_ask(test, "POST", "/chain/verify", NULL, NULL), 200);
    assert_int_equal(api_test_drain(test, &out), API_STREAM_END);
    last = last_line(&out, &lines);
    assert_string_equal(json_string_value(json_object_get(last, "code")), "HM_ECORRUPT");
    json_decref(last);
}

/* A reader that goes away ends the replay. */
static void test_verify_abandoned(void **state)
{
    struct api_test *test = *state;
    uint64_t started_ns = hm_mono_ns(hm_clock_system());

    test->fake.verify_steps = 100000; /* 200 s */
    assert_int_equal(api_test_ask(test, "POST", "/chain/verify", NULL, NULL), 200);
    api_response_release(&test->response);
    assert_true(hm_mono_ns(hm_clock_system()) - started_ns < UINT64_C(5000000000));
    assert_int_equal(atomic_load(&test->core.metrics.waits), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_test_setup, api_test_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_cut_anywhere),
        cmocka_unit_test(test_bad_frames),
        TEST(test_logs_as_they_are),
        TEST(test_logs_followed),
        TEST(test_damaged_log_breaks_the_stream),
        TEST(test_wait),
        TEST(test_closing_ends_waits),
        TEST(test_too_many_waits),
        TEST(test_too_many_streams),
        TEST(test_verify),
        TEST(test_verify_abandoned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
