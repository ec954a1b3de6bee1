/* The load generator measures others: what it says must be right. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "load_hist.h"
#include "load_http.h"
#include "load_text.h"

static void quantiles_are_within_their_promise(void **state)
{
    static struct load_hist hist;

    (void)state;
    for (uint64_t ns = 1; ns <= 1000000; ns++)
        load_hist_record(&hist, ns);
    const double quantiles[] = {0.01, 0.5, 0.99, 0.999};
    for (size_t i = 0; i < HM_COUNT_OF(quantiles); i++) {
        double exact = quantiles[i] * 1000;
        double got = load_hist_quantile_us(&hist, quantiles[i]);

        assert_true(got > exact * 0.984 && got < exact * 1.016);
    }
    assert_true(load_hist_quantile_us(&hist, 1) <= 1000);
    assert_int_equal(hist.max_ns, 1000000);
}

static void histograms_add_up_and_hold_any_time(void **state)
{
    static struct load_hist a, b;

    (void)state;
    assert_true(load_hist_quantile_us(&a, 0.5) < 1e-9);
    load_hist_record(&a, 0);
    load_hist_record(&b, UINT64_MAX);
    load_hist_add(&a, &b);
    assert_int_equal(a.total, 2);
    assert_true(load_hist_quantile_us(&a, 0) < 0.001);
    assert_true(load_hist_quantile_us(&a, 0.99) > 3600e6);
}

static void text_is(const char *template, const struct load_values *values, const char *expected)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct load_text text;

    assert_int_equal(load_text_parse(template, &text, NULL), 0);
    assert_int_equal(load_text_write(&text, values, &out), 0);
    assert_string_equal(hm_buf_cstr(&out), expected);
}

static void templates_stand_for_what_they_say(void **state)
{
    uint64_t seed = 7;
    char zero[] = "zero", one[] = "one";
    char *items[] = {zero, one};
    const struct load_lines lines = {items, 2};
    const struct load_values values = {
        .n = 42, .client = 3, .range = 1, .random_state = &seed, .lines = &lines};

    (void)state;
    text_is("no parts", &values, "no parts");
    text_is("${n}/${n:6}/${client}/${random}/${random:2}-${again:2}", &values,
            "42/000042/3/0/00-00");
    text_is("${line}${pad:3}", &values, "onexxx");
    text_is("{\"key\":\"${base64}k${n}${end}\",\"b\":\"${base64}${end}\"}", &values,
            "{\"key\":\"azQy\",\"b\":\"\"}");
}

static void again_repeats_what_was_drawn(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    uint64_t seed = 1;
    const struct load_values values = {.range = 1000000, .random_state = &seed};
    struct load_text text;

    (void)state;
    assert_int_equal(load_text_parse("${random:6}${again:6}", &text, NULL), 0);
    assert_int_equal(load_text_write(&text, &values, &out), 0);
    assert_int_equal(out.len, 12);
    assert_memory_equal(out.data, out.data + 6, 6);
}

static void bad_templates_are_refused(void **state)
{
    struct load_text text;

    (void)state;
    assert_int_equal(load_text_parse("${nothing}", &text, NULL), HM_EPARSE);
    assert_int_equal(load_text_parse("${n", &text, NULL), HM_EPARSE);
    assert_true(load_text_parse("${n:x}", &text, NULL) < 0);
}

static void body_append(void *ctx, struct hm_slice piece)
{
    assert_int_equal(hm_buf_append(ctx, piece.data, piece.len), 0);
}

/* Feeds an answer in pieces of one size, whatever bytes follow it. */
static void answer_is(const char *answer, const char *rest, size_t piece, unsigned status,
                      const char *body, bool closes)
{
    HM_CLEANUP(hm_buf) struct hm_buf got = {0};
    HM_AUTOFREE char *all = hm_asprintf("%s%s", answer, rest);
    struct load_http http = {.body = body_append, .ctx = &got};
    size_t at = 0, len = strlen(all), used = 0;

    load_http_begin(&http);
    while (at < len && http.state != LOAD_HTTP_DONE) {
        size_t take = len - at < piece ? len - at : piece;

        assert_int_equal(load_http_feed(&http, hm_slice_of(all + at, take), &used, NULL), 0);
        at += used;
    }
    assert_int_equal(http.state, LOAD_HTTP_DONE);
    assert_int_equal(at, strlen(answer));
    assert_int_equal(http.status, status);
    assert_int_equal(http.closes, closes);
    assert_string_equal(hm_buf_cstr(&got), body);
}

static void answers_are_read_in_any_pieces(void **state)
{
    static const char next[] = "HTTP/1.1 500 Next\r\n";

    (void)state;
    for (size_t piece = 1; piece < 100; piece++) {
        answer_is("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", next, piece, 200, "hello",
                  false);
        answer_is("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n", next, piece, 204, "",
                  true);
        answer_is("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n"
                  "0123456789\r\n0\r\nTrailer: 1\r\n\r\n",
                  next, piece, 200, "abc0123456789", false);
        answer_is(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            next, piece, 404, "", false);
    }
}

static void what_is_not_http_is_refused(void **state)
{
    struct load_http http = {0};
    size_t used;

    (void)state;
    load_http_begin(&http);
    assert_int_equal(load_http_feed(&http, hm_slice_str("SSH-2.0-x\r\n"), &used, NULL), HM_EPARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_within_their_promise),
        cmocka_unit_test(histograms_add_up_and_hold_any_time),
        cmocka_unit_test(templates_stand_for_what_they_say),
        cmocka_unit_test(again_repeats_what_was_drawn),
        cmocka_unit_test(bad_templates_are_refused),
        cmocka_unit_test(answers_are_read_in_any_pieces),
        cmocka_unit_test(what_is_not_http_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
