/* Streams that follow the ledger: events, changes of keys, exports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api_feed.h"
#include "api_test.h"
#include "audit.h"

#define READS_MAX 4000

static bool has(struct hm_buf *out, const char *text)
{
    return strstr(hm_buf_cstr(out), text) != NULL;
}

static size_t count_of(struct hm_buf *out, const char *text)
{
    size_t count = 0;

    for (const char *at = hm_buf_cstr(out); (at = strstr(at, text)) != NULL; at += strlen(text))
        count++;
    return count;
}

/* Everything there is now, in small pieces; the last code. */
static int read_now(struct api_test *test, struct hm_buf *out)
{
    struct api_stream *stream = test->response.stream;
    uint8_t block[11];

    assert_non_null(stream);
    for (unsigned i = 0; i < READS_MAX; i++) {
        int got = stream->read(stream, block, sizeof(block));

        if (got <= 0)
            return got;
        assert_int_equal(hm_buf_append(out, block, (size_t)got), 0);
    }
    fail_msg("the stream has no end");
    return 0;
}

static unsigned ask_after(struct api_test *test, const char *target, const char *last)
{
    const struct api_request request = {.method = "GET", .target = target, .last_event_id = last};

    return api_test_send(test, &request);
}

/* --- events ------------------------------------------------------------------------------------------- */

static void test_events_to_the_head(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct api_test *test = *state;

    assert_int_equal(ask_after(test, "/events?since=0&follow=0", NULL), 200);
    assert_string_equal(test->response.content_type, "text/event-stream");
    assert_int_equal(read_now(test, &out), API_STREAM_END);
    assert_int_equal(count_of(&out, "\n\n"), 2 * FAKE_BLOCKS);
    assert_int_equal(count_of(&out, "event: release\n"), FAKE_BLOCKS);
    assert_int_equal(strncmp(hm_buf_cstr(&out),
                             "id: 1.0\nevent: release\ndata: {\"id\":\"1.0\",\"type\":\"release\","
                             "\"height\":1,\"index\":0,\"time_ms\":1001,\"tx\":\"d0",
                             100),
                     0);
    assert_true(has(&out, "\"op\":{\"op\":\"release\",\"lease\":\"lease1"));
    assert_true(has(&out, "\"kv\":{\"revision\":0,\"sub\":0,\"key\":\"key\\n1\",\"deleted\":true"));
    assert_int_equal(fake_subscribers(&test->fake), 0); /* it does not follow */
}

static void test_events_resume(void **state)
{
    static const struct {
        const char *since;
        const char *first; /* line of the answer */
    } cases[] = {{"0", "id: 1.0\n"},   {"0.5", "id: 1.0\n"}, {"3.0", "id: 3.1\n"},
                 {"3.1", "id: 4.0\n"}, {"3", "id: 4.0\n"},   {"3.4294967295", "id: 4.0\n"}};
    struct api_test *test = *state;

    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        for (unsigned header = 0; header < 2; header++) {
            HM_CLEANUP(hm_buf) struct hm_buf out = {0};
            char target[64];

            (void)snprintf(target, sizeof(target), "/events?follow=0%s%s",
                           header ? "" : "&since=", header ? "" : cases[i].since);
            assert_int_equal(ask_after(test, target, header ? cases[i].since : NULL), 200);
            assert_int_equal(read_now(test, &out), API_STREAM_END);
            assert_int_equal(strncmp(hm_buf_cstr(&out), cases[i].first, strlen(cases[i].first)), 0);
        }
    }
    assert_int_equal(ask_after(test, "/events?since=x", NULL), 400);
    assert_int_equal(ask_after(test, "/events?since=1.", NULL), 400);
    assert_int_equal(ask_after(test, "/events?since=1.99999999999", NULL), 400);
    assert_int_equal(ask_after(test, "/events?since=.1", NULL), 400);
    assert_int_equal(ask_after(test, "/events", "-1"), 400);
}

static void check_filter(struct api_test *test, const char *query, size_t expected)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    char target[240];

    (void)snprintf(target, sizeof(target), "/events?since=0&follow=0&%s", query);
    assert_int_equal(ask_after(test, target, NULL), 200);
    assert_int_equal(read_now(test, &out), API_STREAM_END);
    assert_int_equal(count_of(&out, "event: "), expected);
}

static void test_events_filters(void **state)
{
    struct api_test *test = *state;
    char asset[WIRE_ID_TEXT_MAX];
    char lease[WIRE_ID_TEXT_MAX];
    char query[200];

    check_filter(test, "type=kv", FAKE_BLOCKS);
    check_filter(test, "type=kv,release", 2 * FAKE_BLOCKS);
    check_filter(test, "type=allocate", 0);
    check_filter(test, "account=user", 2 * FAKE_BLOCKS);
    check_filter(test, "account=node", 0);
    api_test_asset_text(0, asset);
    api_test_lease_text(0, lease);
    (void)snprintf(query, sizeof(query), "asset=%s", asset);
    check_filter(test, query, FAKE_BLOCKS);
    (void)snprintf(query, sizeof(query), "lease=%s&type=release", lease);
    check_filter(test, query, FAKE_BLOCKS);
    api_test_asset_text(1, asset);
    (void)snprintf(query, sizeof(query), "asset=%s", asset);
    check_filter(test, query, 0);
    assert_int_equal(ask_after(test, "/events?type=a,,b", NULL), 400);
    assert_int_equal(ask_after(test, "/events?account=nobody", NULL), 404);
}

static void count_wake(void *ctx)
{
    (*(unsigned *)ctx)++;
}

static void test_events_follow(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct api_test *test = *state;
    unsigned wakes = 0;

    assert_int_equal(ask_after(test, "/events", NULL), 200);
    assert_int_equal(fake_subscribers(&test->fake), 1);
    test->response.stream->attach(test->response.stream, count_wake, &wakes);
    assert_int_equal(test->response.stream->beat_ms, API_FEED_BEAT_MS);
    assert_int_equal(read_now(test, &out), API_STREAM_WAIT);
    assert_int_equal(out.len, 0); /* from now on */
    fake_add_blocks(&test->fake, 2);
    assert_int_equal(wakes, 1);
    assert_int_equal(read_now(test, &out), API_STREAM_WAIT);
    assert_int_equal(count_of(&out, "event: "), 4);
    assert_true(has(&out, "id: 8.0\n") && has(&out, "id: 9.1\n"));
    api_response_release(&test->response);
    test->response = (struct api_response){0};
    assert_int_equal(fake_subscribers(&test->fake), 0);
}

static void test_events_filter_says_where_it_is(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct api_test *test = *state;

    fake_add_blocks(&test->fake, 300); /* more than one turn looks at */
    assert_int_equal(ask_after(test, "/events?since=0&follow=0&type=none", NULL), 200);
    assert_int_equal(read_now(test, &out), API_STREAM_END);
    assert_true(has(&out, ": block 65\n\n"));
    assert_false(has(&out, "event:"));
}

/* However much each block holds, and however little of it fits the filter: no turn gathers it all. */
static void test_events_of_large_blocks(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct api_test *test = *state;

    test->fake.event_bytes = (size_t)40 << 20;
    fake_add_blocks(&test->fake, 100);
    assert_int_equal(ask_after(test, "/events?since=0&follow=0&type=none", NULL), 200);
    assert_int_equal(read_now(test, &out), API_STREAM_END);
    assert_false(has(&out, "event:"));
    test->fake.event_bytes = (size_t)300 << 20; /* one largest block needs less than this */
    assert_int_equal(ask_after(test, "/events?since=100&follow=0&type=kv", NULL), 200);
    assert_int_equal(read_now(test, &out), API_STREAM_END);
    assert_true(has(&out, "event: kv"));
}

/* --- changes of keys ------------------------------------------------------------------------------------ */

static void put(struct api_test *test, const char *key, const char *value)
{
    char target[64];
    char body[64];

    (void)snprintf(target, sizeof(target), "/kv/%s", key);
    (void)snprintf(body, sizeof(body), "{'value':'%s'}", value);
    assert_int_equal(api_test_json(test, "PUT", target, body), 200);
}

static void test_watch_history_and_news(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct api_test *test = *state;
    struct api_response kept;

    put(test, "a1", "one");
    put(test, "b", "other");
    put(test, "a1", "two");
    assert_int_equal(ask_after(test, "/kv-watch?prefix=a&from=1&previous=1", NULL), 200);
    assert_int_equal(read_now(test, &out), API_STREAM_WAIT);
    assert_string_equal(
        hm_buf_cstr(&out),
        "id: 2.0\nevent: put\ndata: "
        "{\"revision\":2,\"sub\":0,\"height\":3,\"key\":\"a1\",\"value\":\"one\","
        "\"create_revision\":2,\"mod_revision\":2,\"version\":1,\"lease\":0,\"encoding\":\"text\"}"
        "\n\n"
        "id: 4.0\nevent: put\ndata: "
        "{\"revision\":4,\"sub\":0,\"height\":3,\"key\":\"a1\",\"value\":\"two\","
        "\"create_revision\":2,\"mod_revision\":4,\"version\":2,\"lease\":0,\"encoding\":\"text\","
        "\"previous\":{\"key\":\"a1\",\"value\":\"one\",\"create_revision\":2,\"mod_revision\":2,"
        "\"version\":1,\"lease\":0,\"encoding\":\"text\"}}\n\n");
    kept = test->response;
    test->response = (struct api_response){0};
    assert_int_equal(api_test_ask(test, "DELETE", "/kv/a1", NULL, NULL), 200);
    api_response_release(&test->response);
    test->response = kept;
    hm_buf_clear(&out);
    assert_int_equal(read_now(test, &out), API_STREAM_WAIT);
    assert_true(has(&out, "id: 5.0\nevent: delete\ndata: {\"revision\":5,"));
    assert_int_equal(count_of(&out, "\"value\""), 1); /* only that of what was there before */
}

static void test_watch_resume(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct api_test *test = *state;

    assert_int_equal(
        api_test_json(test, "POST", "/kv-txn",
                      "{'success':[{'put':{'key':'a','value':'1'}},"
                      "{'put':{'key':'b','value':'2'}},{'put':{'key':'c','value':'3'}}]}"),
        200);
    put(test, "d", "4");
    assert_int_equal(ask_after(test, "/kv-watch?from=1", "2.0"), 200);
    assert_int_equal(read_now(test, &out), API_STREAM_WAIT);
    assert_int_equal(strncmp(hm_buf_cstr(&out), "id: 2.1\n", 8), 0);
    assert_int_equal(count_of(&out, "event: put"), 3);
    assert_int_equal(ask_after(test, "/kv-watch?key=a&prefix=b", NULL), 400);
    assert_int_equal(ask_after(test, "/kv-watch?key=", NULL), 400);
    assert_int_equal(ask_after(test, "/kv-watch?account=stranger", NULL), 403);
    assert_int_equal(ask_after(test, "/kv-watch", "x"), 400);
}

static void test_watch_compacted(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct api_test *test = *state;

    put(test, "a", "1");
    put(test, "a", "2");
    assert_int_equal(api_test_json(test, "POST", "/kv-compact", "{'revision':3}"), 200);
    assert_int_equal(ask_after(test, "/kv-watch?from=1", NULL), 200);
    assert_int_equal(read_now(test, &out), API_STREAM_END);
    assert_string_equal(hm_buf_cstr(&out),
                        "event: compacted\ndata: {\"compacted\":3,\"revision\":3}\n\n");
}

/* A stream on which nothing happens still shows that it lives. */
static void test_heartbeat(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct hm_clock_manual by_hand = {.mono_ns = 1000000000};
    struct hm_clock clock = hm_clock_manual_source(&by_hand);
    struct api_test *test = *state;

    test->core.clock = &clock;
    assert_int_equal(ask_after(test, "/kv-watch?key=a", NULL), 200);
    assert_int_equal(read_now(test, &out), API_STREAM_WAIT);
    by_hand.mono_ns += 9000000000;
    assert_int_equal(read_now(test, &out), API_STREAM_WAIT);
    assert_int_equal(out.len, 0);
    by_hand.mono_ns += 1000000000;
    assert_int_equal(read_now(test, &out), API_STREAM_WAIT);
    assert_string_equal(hm_buf_cstr(&out), ": \n\n");
    assert_int_equal(read_now(test, &out), API_STREAM_WAIT);
    assert_int_equal(out.len, 4);
    api_response_release(&test->response);
    test->response = (struct api_response){0};
    test->core.clock = hm_clock_system();
}

static void test_too_many_subscribers(void **state)
{
    struct api_test *test = *state;
    struct api_response kept[FAKE_SUBSCRIBERS];

    for (size_t i = 0; i < HM_COUNT_OF(kept); i++) {
        assert_int_equal(ask_after(test, "/events", NULL), 200);
        kept[i] = test->response;
        test->response = (struct api_response){0};
    }
    assert_int_equal(ask_after(test, "/events", NULL), 503);
    assert_int_equal(ask_after(test, "/kv-watch", NULL), 503);
    for (size_t i = 0; i < HM_COUNT_OF(kept); i++)
        api_response_release(&kept[i]);
    assert_int_equal(ask_after(test, "/events", NULL), 200);
}

/* --- exports --------------------------------------------------------------------------------------------- */

static void check_export(struct api_test *test, const char *target, uint64_t from, uint64_t to)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct audit_summary summary = {0};
    struct audit_reader *reader = NULL;
    struct hm_error error = {0};
    const uint8_t *at;
    size_t left;

    assert_int_equal(ask_after(test, target, NULL), 200);
    assert_string_equal(test->response.content_type, "application/x-ndjson");
    assert_int_equal(read_now(test, &out), API_STREAM_END);
    assert_int_equal(audit_reader_new(NULL, &reader), 0);
    at = out.data;
    left = out.len;
    while (left > 0) {
        const uint8_t *end = memchr(at, '\n', left);

        assert_non_null(end);
        if (audit_reader_line(reader, hm_slice_of(at, (size_t)(end - at)), &error))
            fail_msg("%s", error.text);
        left -= (size_t)(end - at) + 1;
        at = end + 1;
    }
    assert_int_equal(audit_reader_end(reader, &summary, &error), 0);
    assert_int_equal(summary.from, from);
    assert_int_equal(summary.to, to);
    audit_reader_free(reader);
}

static void test_audit(void **state)
{
    struct api_test *test = *state;

    check_export(test, "/audit", 1, FAKE_BLOCKS);
    check_export(test, "/audit?from=3&to=5", 3, 5);
    check_export(test, "/audit?to=999", 1, FAKE_BLOCKS);
    check_export(test, "/audit?from=8", 8, 7); /* nothing yet: the head alone */
    assert_int_equal(ask_after(test, "/audit?from=0", NULL), 400);
    assert_int_equal(ask_after(test, "/audit?from=9", NULL), 400);
    assert_int_equal(ask_after(test, "/audit?from=5&to=3", NULL), 400);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, api_test_setup, api_test_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_events_to_the_head),
        CASE(test_events_resume),
        CASE(test_events_filters),
        CASE(test_events_follow),
        CASE(test_events_filter_says_where_it_is),
        CASE(test_events_of_large_blocks),
        CASE(test_watch_history_and_news),
        CASE(test_watch_resume),
        CASE(test_watch_compacted),
        CASE(test_heartbeat),
        CASE(test_too_many_subscribers),
        CASE(test_audit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
