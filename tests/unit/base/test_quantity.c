#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base.h"

#define UNTOUCHED UINT64_C(0xDEAD)

static void duration_is(const char *text, uint64_t expected)
{
    uint64_t ms = UNTOUCHED;

    assert_int_equal(hm_duration_parse_ms(text, &ms, NULL), 0);
    assert_true(ms == expected);
}

static void test_durations(void **state)
{
    static const char *const wrong[] = {"",
                                        "5",
                                        "s",
                                        "5 s",
                                        " 5s",
                                        "-5s",
                                        "1m1h",
                                        "1s1s",
                                        "1.5s",
                                        "1h30",
                                        "5S",
                                        "1s ",
                                        "99999999999999999999s"};
    static const uint64_t values[] = {1, 999, 1000, 90061001, 5400000, UINT64_MAX};
    char text[32];
    uint64_t ms = UNTOUCHED;

    (void)state;
    duration_is("500ms", 500);
    duration_is("30s", 30000);
    duration_is("1m", 60000);
    duration_is("2h", 7200000);
    duration_is("1d", 86400000);
    duration_is("1h30m", 5400000);
    duration_is("0s", 0);
    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++)
        assert_true(hm_duration_parse_ms(wrong[i], &ms, NULL) < 0);
    assert_int_equal(hm_duration_parse_ms("213503982335d", &ms, NULL), HM_ERANGE);
    assert_true(ms == UNTOUCHED);
    for (size_t i = 0; i < HM_COUNT_OF(values); i++) {
        hm_duration_format_ms(values[i], text);
        duration_is(text, values[i]);
    }
    hm_duration_format_ms(5400000, text);
    assert_string_equal(text, "1h30m");
    hm_duration_format_ms(0, text);
    assert_string_equal(text, "0s");
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"1000", 1000},
                {"64M", UINT64_C(64) << 20},
                {"1G", UINT64_C(1) << 30},
                {"512KiB", 524288},
                {"2t", UINT64_C(2) << 40},
                {"0", 0},
                {"7B", 7},
                {"16777215T", UINT64_C(16777215) << 40}};
    static const char *const wrong[] = {"",    "M",  "1.5G",  "64 M", "64MB",
                                        "64X", "-1", "1KiBs", "1Ki"};
    uint64_t bytes = UNTOUCHED;

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++)
        assert_int_equal(hm_size_parse(wrong[i], &bytes, NULL), HM_EPARSE);
    assert_int_equal(hm_size_parse("16777216T", &bytes, NULL), HM_ERANGE);
    assert_true(bytes == UNTOUCHED);
    for (size_t i = 0; i < HM_COUNT_OF(good); i++) {
        assert_int_equal(hm_size_parse(good[i].text, &bytes, NULL), 0);
        assert_true(bytes == good[i].bytes);
    }
}

static void size_shows(uint64_t bytes, const char *expected)
{
    char text[32];

    hm_size_format(bytes, text);
    assert_string_equal(text, expected);
}

static void test_size_format(void **state)
{
    (void)state;
    size_shows(0, "0 B");
    size_shows(1023, "1023 B");
    size_shows(1024, "1.0 KiB");
    size_shows(1536, "1.5 KiB");
    size_shows(UINT64_C(64) << 20, "64.0 MiB");
    size_shows((UINT64_C(1) << 20) - 1, "1.0 MiB");
    size_shows(UINT64_C(1100) << 30, "1.1 TiB");
    size_shows(UINT64_MAX, "16.0 EiB");
}

static void test_decimals(void **state)
{
    static const char *const wrong[] = {"", ".5", "1.", "1.2345", "-1", "1,5", "1e3", " 1", "0x1"};
    uint64_t value = UNTOUCHED;
    char text[40];

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++)
        assert_int_equal(hm_decimal_parse(wrong[i], 3, &value, NULL), HM_EPARSE);
    assert_int_equal(hm_decimal_parse("18446744073709551.616", 3, &value, NULL), HM_ERANGE);
    assert_int_equal(hm_decimal_parse("1", 19, &value, NULL), HM_EINVAL);
    assert_true(value == UNTOUCHED);
    assert_int_equal(hm_decimal_parse("0.5", 3, &value, NULL), 0);
    assert_true(value == 500);
    assert_int_equal(hm_decimal_parse("18446744073709551.615", 3, &value, NULL), 0);
    assert_true(value == UINT64_MAX);
    hm_decimal_format(UINT64_MAX, 3, text);
    assert_string_equal(text, "18446744073709551.615");
    hm_decimal_format(1500, 3, text);
    assert_string_equal(text, "1.5");
    hm_decimal_format(2000, 3, text);
    assert_string_equal(text, "2");
    hm_decimal_format(1, 18, text);
    assert_string_equal(text, "0.000000000000000001");
    hm_decimal_format(42, 0, text);
    assert_string_equal(text, "42");
}

static void test_whole_numbers(void **state)
{
    static const char *const wrong[] = {"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "\n"};
    uint64_t value = UNTOUCHED;

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++)
        assert_int_equal(hm_u64_parse(wrong[i], &value, NULL), HM_EPARSE);
    assert_int_equal(hm_u64_parse("18446744073709551616", &value, NULL), HM_ERANGE);
    assert_true(value == UNTOUCHED);
    assert_int_equal(hm_u64_parse("18446744073709551615", &value, NULL), 0);
    assert_true(value == UINT64_MAX);
}

static void test_times(void **state)
{
    char text[32];

    (void)state;
    hm_time_format_ms(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    hm_time_format_ms(UINT64_C(1767323045678), text);
    assert_string_equal(text, "2026-01-02T03:04:05.678Z");
    hm_time_format_ms(UINT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),     cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_size_format),   cmocka_unit_test(test_decimals),
        cmocka_unit_test(test_whole_numbers), cmocka_unit_test(test_times),
    };

    return cmocka_run_group_tests_name("base_quantity", tests, NULL, NULL);
}
