/* The JSON that collectors read, and the header that callers send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "trace.h"

static void test_json(void **state)
{
    const struct trace_options options = {.service = "test \"x\"", .instance = "hm1abc"};
    struct trace_span span = {.kind = TRACE_SERVER,
                              .trace_id = {1, 2},
                              .id = {3},
                              .parent = {4},
                              .name = "GET /x",
                              .wall_ms = 1700000000123,
                              .start_ns = 50,
                              .end_ns = 1050,
                              .failed = true,
                              .fact_count = 2,
                              .facts = {{.name = "http.route", .text = "/x"},
                                        {.name = "n", .is_number = true, .number = -7}}};
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    json_t *whole, *one;
    const char *trace_id, *id, *parent, *name, *start, *end, *text, *number, *service;
    int kind, code;

    (void)state;
    assert_int_equal(trace_otlp(&options, &span, 1, &out), 0);
    whole = json_loads(hm_buf_cstr(&out), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(whole);
    assert_int_equal(json_unpack(whole, "{s:[{s:{s:[{s:{s:s}}]}, s:[{s:[o]}]}]}", "resourceSpans",
                                 "resource", "attributes", "value", "stringValue", &service,
                                 "scopeSpans", "spans", &one),
                     0);
    assert_string_equal(service, "test \"x\"");
    assert_int_equal(
        json_unpack(one, "{s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:[{s:{s:s}}, {s:{s:s}}], s:{s:i}}",
                    "traceId", &trace_id, "spanId", &id, "parentSpanId", &parent, "name", &name,
                    "kind", &kind, "startTimeUnixNano", &start, "endTimeUnixNano", &end,
                    "attributes", "value", "stringValue", &text, "value", "intValue", &number,
                    "status", "code", &code),
        0);
    assert_string_equal(trace_id, "01020000000000000000000000000000");
    assert_string_equal(id, "0300000000000000");
    assert_string_equal(parent, "0400000000000000");
    assert_string_equal(name, "GET /x");
    assert_int_equal(kind, 2);
    assert_string_equal(start, "1700000000123000000");
    assert_string_equal(end, "1700000000123001000");
    assert_string_equal(text, "/x");
    assert_string_equal(number, "-7");
    assert_int_equal(code, 2);
    json_decref(whole);
}

static void test_parent(void **state)
{
    static const char *const bad[] = {
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
        "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
    };
    uint8_t trace_id[TRACE_ID_BYTES];
    uint8_t parent[TRACE_SPAN_ID_BYTES];
    bool sampled = false;

    (void)state;
    assert_true(trace_parent_parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                   trace_id, parent, &sampled));
    assert_true(sampled && trace_id[0] == 0x0a && trace_id[15] == 0x9c && parent[0] == 0xb7 &&
                parent[7] == 0x31);
    assert_true(trace_parent_parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
                                   trace_id, parent, &sampled));
    assert_false(sampled);
    assert_true(trace_parent_parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
                                   trace_id, parent, &sampled));
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++)
        assert_false(trace_parent_parse(bad[i], trace_id, parent, &sampled));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_parent),
    };

    return cmocka_run_group_tests_name("trace: OTLP", tests, NULL, NULL);
}
