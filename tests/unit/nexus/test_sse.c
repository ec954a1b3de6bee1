/* Server-sent events, however they are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "nexus_metrics.h"
#include "nexus_sse.h"

/* Events as "type|id|data;" one after the other. */
static int collect(void *ctx, const struct nexus_sse_event *event, struct hm_error *error)
{
    (void)error;
    assert_int_equal(strlen(event->data), event->data_len);
    return hm_buf_printf(ctx, "%s|%s|%s;", event->type, event->id, event->data);
}

static int fail_second(void *ctx, const struct nexus_sse_event *event, struct hm_error *error)
{
    int *seen = ctx;

    (void)event;
    return ++*seen == 2 ? hm_fail(error, HM_EIO, "enough") : 0;
}

static void check(const char *bytes, const char *expected)
{
    size_t len = strlen(bytes);

    for (size_t step = 1; step <= len; step++) {
        HM_CLEANUP(hm_buf) struct hm_buf got = {0};
        struct nexus_sse sse = {0};

        for (size_t at = 0; at < len; at += step)
            assert_int_equal(nexus_sse_feed(&sse, (const uint8_t *)bytes + at,
                                            len - at < step ? len - at : step, collect, &got, NULL),
                             0);
        assert_string_equal(hm_buf_cstr(&got), expected);
        nexus_sse_release(&sse);
    }
}

static void test_events(void **state)
{
    (void)state;
    check("id: 1.2\nevent: kv\ndata: {\"a\":1}\n\n", "kv|1.2|{\"a\":1};");
    check("data:x\n\n", "message||x;");
    check("data: a\ndata: b\n\n", "message||a\nb;");
    check("data: a\r\n\r\ndata: b\r\rdata: c\n\n", "message||a;message||b;message||c;");
    check(": heartbeat\n\nid: 7\ndata\n\n", "message|7|;");
    check("id: 7\ndata: a\n\ndata: b\n\n", "message|7|a;message|7|b;");
    check("event: x\n\ndata: a\n\n", "message||a;");
    check("data: not ended\n", "");
    check("strange: 1\nretry: 5\ndata: a\n\n", "message||a;");
}

static void test_limit(void **state)
{
    struct nexus_sse sse = {0};
    uint8_t *many = hm_calloc(1, NEXUS_SSE_EVENT_MAX_BYTES + 1);
    struct hm_error error = {0};
    int seen = 0;

    (void)state;
    assert_non_null(many);
    memset(many, 'a', NEXUS_SSE_EVENT_MAX_BYTES + 1);
    assert_int_equal(
        nexus_sse_feed(&sse, many, NEXUS_SSE_EVENT_MAX_BYTES + 1, fail_second, &seen, &error),
        HM_ELIMIT);
    nexus_sse_release(&sse);
    hm_free(many);
}

static void test_taker_fails(void **state)
{
    static const char text[] = "data: 1\n\ndata: 2\n\ndata: 3\n\n";
    struct nexus_sse sse = {0};
    struct hm_error error = {0};
    int seen = 0;

    (void)state;
    assert_int_equal(
        nexus_sse_feed(&sse, (const uint8_t *)text, sizeof(text) - 1, fail_second, &seen, &error),
        HM_EIO);
    assert_int_equal(seen, 2);
    nexus_sse_release(&sse);
}

static void test_metrics(void **state)
{
    static const char text[] = "# HELP a_total Things.\n# TYPE a_total counter\n"
                               "a_total{x=\"1\"} 2\na_total{x=\"}\"} 3.5\na_total_more 100\nb 7\n";

    (void)state;
    assert_true(nexus_metric_sum(text, "a_total") == 5.5);
    assert_true(nexus_metric_sum(text, "b") == 7);
    assert_true(nexus_metric_sum(text, "c") == 0);
    assert_true(nexus_metric_sum("", "c") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_taker_fails),
        cmocka_unit_test(test_metrics),
    };

    return cmocka_run_group_tests_name("nexus: server-sent events and metrics", tests, NULL, NULL);
}
