/* Spans of several threads reach a collector; one that is not there holds up nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "trace.h"

#define THREADS  4
#define REQUESTS 50 /* a thread; each is two spans */

/* A collector: takes requests until its listener is shut down; remembers what it got. */
struct collector {
    int listener;
    uint16_t port;
    pthread_t thread;
    json_t *spans;
};

static size_t body_length(const char *head)
{
    const char *at = strcasestr(head, "content-length:");

    return at ? strtoul(at + 15, NULL, 10) : 0;
}

/* One request; false when the other side is done. */
static bool serve_one(struct collector *collector, int fd)
{
    HM_CLEANUP(hm_buf) struct hm_buf got = {0};
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                 "Content-Length: 2\r\n\r\n{}";
    const char *end = NULL;
    json_t *whole, *spans, *span;
    size_t want = SIZE_MAX, at;

    while (got.len < want) {
        char step[4096];
        ssize_t len = read(fd, step, sizeof(step));

        if (len <= 0)
            return false;
        assert_int_equal(hm_buf_append(&got, step, (size_t)len), 0);
        end = strstr(hm_buf_cstr(&got), "\r\n\r\n");
        if (end)
            want = (size_t)(end + 4 - hm_buf_cstr(&got)) + body_length(hm_buf_cstr(&got));
    }
    whole = json_loads(end + 4, 0, NULL);
    assert_non_null(whole);
    assert_int_equal(
        json_unpack(whole, "{s:[{s:[{s:o}]}]}", "resourceSpans", "scopeSpans", "spans", &spans), 0);
    json_array_foreach(spans, at, span) json_array_append(collector->spans, span);
    json_decref(whole);
    return hm_write_all(fd, answer, sizeof(answer) - 1, NULL) == 0;
}

static void *serve(void *ctx)
{
    struct collector *collector = ctx;
    int fd;

    while ((fd = accept(collector->listener, NULL, NULL)) >= 0) {
        while (serve_one(collector, fd))
            ;
        close(fd);
    }
    return NULL;
}

static void listen_any(struct collector *collector)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    collector->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(collector->listener >= 0);
    assert_int_equal(bind(collector->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(collector->listener, (struct sockaddr *)&address, &len), 0);
    collector->port = ntohs(address.sin_port);
}

static struct trace_options options_for(uint16_t port, char url[64])
{
    snprintf(url, 64, "http://127.0.0.1:%u/v1/traces", port);
    return (struct trace_options){.url = url,
                                  .service = "test",
                                  .sample_ppm = 1000000,
                                  .clock = hm_clock_system(),
                                  .random = hm_random_system()};
}

static void *work(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < REQUESTS; i++) {
        struct trace_span outer, inner;

        trace_begin_request(&outer, "outer", NULL);
        trace_number(&outer, "i", i);
        trace_begin(&inner, "inner");
        trace_end(&inner);
        trace_end(&outer);
    }
    return NULL;
}

/* Every inner span hangs under an outer one of the same trace. */
static void check_family(const json_t *spans)
{
    size_t at, other, inner = 0;
    json_t *span, *candidate;

    json_array_foreach(spans, at, span)
    {
        const char *parent = json_string_value(json_object_get(span, "parentSpanId"));
        bool found = false;

        if (strcmp(json_string_value(json_object_get(span, "name")), "inner") != 0)
            continue;
        inner++;
        assert_non_null(parent);
        json_array_foreach(spans, other, candidate)
            found = found ||
                    (strcmp(json_string_value(json_object_get(candidate, "spanId")), parent) == 0 &&
                     json_equal(json_object_get(candidate, "traceId"),
                                json_object_get(span, "traceId")));
        assert_true(found);
    }
    assert_int_equal(inner, THREADS * REQUESTS);
}

static void test_collector(void **state)
{
    struct collector collector = {.spans = json_array()};
    struct trace_stats stats;
    pthread_t threads[THREADS];
    char url[64];

    (void)state;
    listen_any(&collector);
    assert_int_equal(listen(collector.listener, 8), 0);
    assert_int_equal(pthread_create(&collector.thread, NULL, serve, &collector), 0);
    {
        struct trace_options options = options_for(collector.port, url);

        assert_int_equal(trace_open(&options, NULL), 0);
        assert_int_equal(trace_open(&options, NULL), HM_EEXIST);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    trace_close();
    shutdown(collector.listener, SHUT_RDWR);
    pthread_join(collector.thread, NULL);
    close(collector.listener);
    trace_get_stats(&stats);
    assert_int_equal(stats.sent, 2 * THREADS * REQUESTS);
    assert_int_equal(json_array_size(collector.spans), 2 * THREADS * REQUESTS);
    check_family(collector.spans);
    json_decref(collector.spans);
}

static void test_nobody_there(void **state)
{
    struct collector nobody = {0};
    struct trace_stats before, after;
    struct trace_span span;
    char url[64];

    (void)state;
    listen_any(&nobody); /* bound, and nobody listens: connections are refused */
    {
        struct trace_options options = options_for(nobody.port, url);

        assert_int_equal(trace_open(&options, NULL), 0);
    }
    trace_get_stats(&before);
    for (size_t i = 0; i < TRACE_QUEUE_MAX + 100; i++) {
        trace_begin(&span, "x");
        trace_end(&span);
    }
    trace_close();
    trace_get_stats(&after);
    assert_int_equal(after.dropped - before.dropped, TRACE_QUEUE_MAX + 100);
    assert_true(after.failures > before.failures);
    close(nobody.listener);
}

static void test_off(void **state)
{
    struct trace_options options = {.url = "ftp://x", .service = "x"};
    struct trace_span span;

    (void)state;
    trace_begin(&span, "x");
    assert_false(span.recording);
    trace_text(&span, "a", "b");
    trace_end(&span);
    trace_close();
    assert_int_equal(trace_open(&options, NULL), HM_EINVAL);
}

static void test_callers_flag(void **state)
{
    struct collector nobody = {0};
    struct trace_span span;
    char url[64];

    (void)state;
    listen_any(&nobody);
    {
        struct trace_options options = options_for(nobody.port, url);

        options.sample_ppm = 0;
        assert_int_equal(trace_open(&options, NULL), 0);
    }
    trace_begin(&span, "x");
    assert_false(span.recording);
    trace_end(&span);
    trace_begin_request(&span, "x", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_true(span.recording);
    trace_end(&span);
    trace_begin_request(&span, "x", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
    assert_false(span.recording);
    trace_end(&span);
    trace_close();
    close(nobody.listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collector),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_callers_flag),
    };

    return cmocka_run_group_tests_name("trace: sending", tests, NULL, NULL);
}
