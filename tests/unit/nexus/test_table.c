/* Tables, and text as terminals show it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "nexus_show.h"
#include "nexus_table.h"
#include "nexus_text.h"

static void test_width(void **state)
{
    (void)state;
    assert_int_equal(nexus_text_width(""), 0);
    assert_int_equal(nexus_text_width("abc"), 3);
    assert_int_equal(nexus_text_width("41 µs"), 5);
    assert_int_equal(nexus_text_width("naïve"), 5);
    assert_int_equal(nexus_text_width("e\xcc\x81"), 1); /* combining acute */
    assert_int_equal(nexus_text_width("日本"), 4);
    assert_int_equal(nexus_text_width("\xf0\x9f\x98\x80"), 2);
    assert_int_equal(nexus_text_width("\xff\xfe"),
                     2); /* not UTF-8: as it is shown is another matter */
}

static void expect_safe(const char *text, const char *safe)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};

    assert_int_equal(nexus_text_append_safe(&out, text), 0);
    assert_string_equal(hm_buf_cstr(&out), safe);
}

static void test_nothing_steers_the_terminal(void **state)
{
    (void)state;
    expect_safe("plain µ 日", "plain µ 日");
    expect_safe("\033[2J", "\\x1b[2J");
    expect_safe("a\nb\tc\r", "a\\x0ab\\x09c\\x0d");
    expect_safe("\x7f", "\\x7f");
    expect_safe("\xc2\x9b\x31m", "\\x9b1m"); /* C1: CSI */
    expect_safe("\xe2\x80\xae", "\\u{202e}"); /* right-to-left override */
    expect_safe("\xff\xc3", "\\xff\\xc3");
}

static void expect_table(const struct nexus_table *table, size_t indent, bool color,
                         const char *text)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};

    assert_int_equal(nexus_table_render(table, indent, color, &out), 0);
    assert_string_equal(hm_buf_cstr(&out), text);
}

static void test_alignment(void **state)
{
    static const struct nexus_column columns[] = {{"NAME", false}, {"N", true}, {"LAST", false}};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct nexus_table table;

    (void)state;
    hm_arena_init(&arena, 0);
    NEXUS_TABLE_INIT(&table, columns, &arena);
    NEXUS_TABLE_ROW(&table, "a", "1", "x");
    NEXUS_TABLE_ROW(&table, "日本語", "100", "");
    NEXUS_TABLE_ROW(&table, "µ", "", "y");
    NEXUS_TABLE_ROW(&table, "\033]0;", "22");
    expect_table(&table, 2, false,
                 "  NAME       N  LAST\n"
                 "  a          1  x\n"
                 "  日本語   100\n"
                 "  µ             y\n"
                 "  \\x1b]0;   22\n");
}

static void test_titles_in_bold_and_without(void **state)
{
    static const struct nexus_column titled[] = {{"A", false}};
    static const struct nexus_column bare[] = {{0}, {0}};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct nexus_table table;

    (void)state;
    hm_arena_init(&arena, 0);
    NEXUS_TABLE_INIT(&table, titled, &arena);
    NEXUS_TABLE_ROW(&table, "v");
    expect_table(&table, 0, true, "\033[1mA\033[0m\nv\n");
    NEXUS_TABLE_INIT(&table, bare, &arena);
    NEXUS_TABLE_ROW(&table, "key", "value");
    expect_table(&table, 0, true, "key  value\n");
}

static void test_sentences_wrap_at_words(void **state)
{
    static const struct nexus_column columns[] = {{"A", false}, {"B", false}};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct nexus_table table;

    (void)state;
    hm_arena_init(&arena, 0);
    NEXUS_TABLE_INIT(&table, columns, &arena);
    NEXUS_TABLE_WRAPPED(&table, 10, "x", "one two three four");
    NEXUS_TABLE_WRAPPED(&table, 4, "y", "unbreakable word");
    NEXUS_TABLE_WRAPPED(&table, 4, "z", "");
    expect_table(&table, 0, false,
                 "A  B\n"
                 "x  one two\n"
                 "   three four\n"
                 "y  unbreakable\n"
                 "   word\n"
                 "z\n");
}

static void test_too_many_columns(void **state)
{
    static const struct nexus_column columns[] = {{"A", false}};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct nexus_table table;

    (void)state;
    hm_arena_init(&arena, 0);
    NEXUS_TABLE_INIT(&table, columns, &arena);
    NEXUS_TABLE_ROW(&table, "a", "b");
    assert_int_equal(nexus_table_render(&table, 0, false, &out), HM_ELIMIT);
    assert_int_equal(out.len, 0);
}

/* Every allocation of a table fails once: an error, never a crash or half a table taken for a whole one. */
static void test_memory_out(void **state)
{
    static const struct nexus_column columns[] = {{"A", false}, {"B", true}};
    /* Titles in bold, and three rows for each of 40. */
    const size_t whole = sizeof("\033[1mA            B\033[0m\n") - 1 +
                         40 * (sizeof("name         a\n") - 1 +
                               2 * (sizeof("      sentence\n") - 1));
    unsigned long nth = 0;
    int rc;

    (void)state;
    do {
        HM_CLEANUP(hm_arena) struct hm_arena arena;
        HM_CLEANUP(hm_buf) struct hm_buf out = {0};
        struct nexus_table table;

        assert_true(++nth < 1000);
        hm_arena_init(&arena, 0);
        hm_alloc_fail_at(nth);
        NEXUS_TABLE_INIT(&table, columns, &arena);
        for (int i = 0; i < 40; i++)
            NEXUS_TABLE_WRAPPED(&table, 8, "name", "a sentence of words");
        rc = nexus_table_render(&table, 0, true, &out);
        hm_alloc_fail_at(0);
        if (rc)
            assert_int_equal(rc, HM_ENOMEM);
        else
            assert_int_equal(out.len, whole);
    } while (rc);
    assert_true(nth > 3);
}

static void test_figures(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena a;

    (void)state;
    hm_arena_init(&a, 0);
    assert_string_equal(nexus_show_size(0, &a), "0 B");
    assert_string_equal(nexus_show_size(1023, &a), "1023 B");
    assert_string_equal(nexus_show_size((uint64_t)64 << 20, &a), "64.0 MiB");
    assert_string_equal(nexus_show_time(0, &a), "-");
    assert_string_equal(nexus_show_time(1000, &a), "1970-01-01 00:00:01");
    assert_string_equal(nexus_show_span_ms(999, &a), "999 ms");
    assert_string_equal(nexus_show_span_ms(1250, &a), "1.2 s");
    assert_string_equal(nexus_show_span_ms(200000, &a), "3m20s");
    assert_string_equal(nexus_show_span_ns(41300, &a), "41.3 µs");
    assert_string_equal(nexus_show_span_ns(7, &a), "7 ns");
    assert_string_equal(nexus_show_span_ns(62900000, &a), "62.9 ms");
    assert_string_equal(nexus_show_share(125000, &a), "12.5 %");
    assert_string_equal(nexus_show_share_limit(0, &a), "any");
    assert_string_equal(nexus_show_capacity("cpu", 2000, &a), "2 cores");
    assert_string_equal(nexus_show_capacity("cpu", 1000, &a), "1 core");
    assert_string_equal(nexus_show_capacity("gpu", 500, &a), "0.5 devices");
    assert_string_equal(nexus_show_capacity("network", 10000000000, &a), "10 Gbit/s");
    assert_string_equal(nexus_show_capacity("container", 1, &a), "1 slot");
    assert_string_equal(nexus_show_capacity("else", 5, &a), "5");
    assert_string_equal(nexus_show_short("", &a), "-");
    assert_string_equal(nexus_show_short("asset1qqqqqqqqqqzzz", &a), "asset1qqqqqqqqqq");
    assert_string_equal(nexus_show_short("00112233445566", &a), "0011223344");
    assert_string_equal(nexus_show_short("cpu", &a), "cpu");
}

/* What a whole answer may do to a terminal: lines, tabs and bold, and nothing else. */
static void test_answers(void **state)
{
    static const struct {
        const char *text, *safe;
    } rows[] = {{"", ""},
                {"\033[1mNAME\033[0m\none\ttwo\n", "\033[1mNAME\033[0m\none\ttwo\n"},
                {"hm1\033]0;x\007\n", "hm1\\x1b]0;x\\x07\n"},
                {"\033[2J\033[1", "\\x1b[2J\\x1b[1"},
                {"a\rb\033", "a\\x0db\\x1b"}};
    HM_CLEANUP(hm_buf) struct hm_buf nul = {0};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        HM_CLEANUP(hm_buf) struct hm_buf out = {0};

        assert_int_equal(nexus_text_append_answer(&out, hm_slice_str(rows[i].text)), 0);
        assert_string_equal(hm_buf_cstr(&out), rows[i].safe);
    }
    assert_int_equal(nexus_text_append_answer(&nul, hm_slice_of("a\0b", 3)), 0);
    assert_string_equal(hm_buf_cstr(&nul), "a\\x00b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_width),
        cmocka_unit_test(test_nothing_steers_the_terminal),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_titles_in_bold_and_without),
        cmocka_unit_test(test_sentences_wrap_at_words),
        cmocka_unit_test(test_too_many_columns),
        cmocka_unit_test(test_memory_out),
        cmocka_unit_test(test_figures),
    };

    return cmocka_run_group_tests_name("nexus_table", tests, NULL, NULL);
}
