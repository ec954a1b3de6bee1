#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "base.h"

static void test_fail_fills(void **state)
{
    struct hm_error error = {0};

    (void)state;
    errno = ENOSPC;
    assert_int_equal(hm_fail(&error, HM_EINVAL, "share is %u %%", 101U), HM_EINVAL);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(error.code, HM_EINVAL);
    assert_string_equal(error.text, "share is 101 %");
    assert_int_equal(hm_fail_errno(&error, HM_EIO, "cannot write %s", "f"), HM_EIO);
    assert_string_equal(error.text, "cannot write f: No space left on device");
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(hm_error_prefix(&error, HM_EIO, "file %d", 3), HM_EIO);
    assert_string_equal(error.text, "file 3: cannot write f: No space left on device");
    assert_int_equal(error.code, HM_EIO);
    assert_int_equal(hm_fail(NULL, HM_EPERM, "nobody listens"), HM_EPERM);
    assert_int_equal(hm_error_prefix(NULL, HM_EPERM, "nobody listens"), HM_EPERM);
    assert_int_equal(hm_fail(&error, HM_EBUSY, "again: %s", error.text), HM_EBUSY);
    assert_string_equal(error.text, "again: file 3: cannot write f: No space left on device");
    (void)hm_fail(&error, HM_EINVAL, "two\nlines\x1b[31m");
    assert_string_equal(error.text, "two lines [31m");
}

static void test_long_text_is_cut_between_characters(void **state)
{
    struct hm_error error;
    char text[HM_ERROR_TEXT_BYTES * 2];

    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'x', shift);
        for (size_t i = shift; i + 3 < sizeof(text); i += 3)
            memcpy(text + i, "\xe2\x82\xac", 4);
        (void)hm_fail(&error, HM_EINVAL, "%s", text);
        assert_true(strlen(error.text) >= HM_ERROR_TEXT_BYTES - 4);
        assert_true(hm_utf8_valid(error.text, strlen(error.text)));
        (void)hm_error_prefix(&error, HM_EINVAL, "%s", text);
        assert_true(hm_utf8_valid(error.text, strlen(error.text)));
    }
}

/* Names that a hostile job or archive chose end up in sentences, and those in JSON and in messages. */
static void test_text_from_outside(void **state)
{
    static const struct {
        const char *text, *clean;
    } cases[] = {
        {"", ""},
        {"plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
         "plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"a\xff\xfe"
         "b",
         "a??b"},
        {"\xe2\x82\xe2\x82\xac", "??\xe2\x82\xac"}, /* half a character inside */
        {"cut \xe2\x82", "cut "}, /* and at the end */
        {"cut \xf0\x9f\x98", "cut "},
        {"\xc3", ""},
        {"\xed\xa0\x80.", "???."}, /* a surrogate */
        {"\xc0\xaf.", "??."}, /* longer than needed */
        {"a\tb\x7f"
         "c\xc2\x9b"
         "31m\xe2\x80\xa8",
         "a b c 31m "}, /* ESC [ of one byte, a line's end */
    };
    struct hm_error error = {0};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        char text[64];

        (void)snprintf(text, sizeof(text), "%s", cases[i].text);
        hm_text_clean(text);
        assert_string_equal(text, cases[i].clean);
    }
    (void)hm_fail(&error, HM_EPARSE, "the output \"%s\" is odd", "x\xff");
    assert_string_equal(error.text, "the output \"x?\" is odd");
}

static void test_errno_of_memory(void **state)
{
    struct hm_error error = {0};

    (void)state;
    errno = ENOMEM;
    assert_int_equal(hm_fail_errno(&error, HM_EIO, "cannot list"), HM_ENOMEM);
    assert_int_equal(error.code, HM_ENOMEM);
    assert_int_equal(hm_fail_errno(NULL, HM_EIO, "cannot list"), HM_ENOMEM);
    assert_int_equal(hm_fail_errno(NULL, HM_EPARSE, "cannot list"), HM_EPARSE);
}

static void test_table(void **state)
{
    (void)state;
    assert_string_equal(hm_error_name(HM_EFUNDS), "HM_EFUNDS");
    assert_string_equal(hm_error_title(HM_EINVAL), "Invalid request");
    assert_int_equal(hm_error_http(HM_ENOTFOUND), 404);
    assert_true(hm_error_is_fatal(HM_ECORRUPT));
    assert_false(hm_error_is_fatal(HM_EPARSE));
    assert_string_equal(hm_error_name(-999), "HM_E?");
    assert_int_equal(hm_error_http(0), 500);
}

static void test_checked_arithmetic(void **state)
{
    uint64_t out = 7;

    (void)state;
    assert_false(hm_add_u64(UINT64_MAX, 1, &out));
    assert_false(hm_sub_u64(0, 1, &out));
    assert_false(hm_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &out));
    out = 7;
    assert_false(hm_muldiv_u64(1, 1, 0, &out));
    assert_false(hm_muldiv_u64(UINT64_MAX, 2, 1, &out));
    assert_false(hm_muldiv_up_u64(UINT64_MAX, UINT64_MAX, UINT64_MAX - 1, &out));
    assert_true(out == 7);
    assert_true(hm_muldiv_u64(UINT64_MAX, UINT64_MAX, UINT64_MAX, &out) && out == UINT64_MAX);
    assert_true(hm_muldiv_u64(7, 3, 2, &out) && out == 10);
    assert_true(hm_muldiv_up_u64(7, 3, 2, &out) && out == 11);
    assert_true(hm_muldiv_up_u64(8, 3, 2, &out) && out == 12);
    assert_int_equal(hm_ilog2_u64(0), 0);
    assert_int_equal(hm_ilog2_u64(1), 0);
    assert_int_equal(hm_ilog2_u64(1023), 9);
    assert_int_equal(hm_ilog2_u64(UINT64_MAX), 63);
}

static void test_sources(void **state)
{
    struct hm_clock_manual hands = {.wall_ms = 5, .mono_ns = 6};
    struct hm_clock clock = hm_clock_manual_source(&hands);
    struct hm_random_seeded seeds[3];
    struct hm_random a = hm_random_seeded_source(&seeds[0], 1);
    struct hm_random b = hm_random_seeded_source(&seeds[1], 1);
    struct hm_random c = hm_random_seeded_source(&seeds[2], 2);
    uint64_t first = hm_random_u64(&a);

    (void)state;
    hands.wall_ms = 50;
    assert_true(hm_wall_ms(&clock) == 50 && hm_mono_ns(&clock) == 6);
    assert_true(first == hm_random_u64(&b));
    assert_true(first != hm_random_u64(&c));
    assert_true(first != hm_random_u64(&a));
    assert_true(hm_wall_ms(hm_clock_system()) > UINT64_C(1700000000000));
    assert_true(hm_mono_ns(hm_clock_system()) <= hm_mono_ns(hm_clock_system()));
    assert_true(hm_random_u64(hm_random_system()) != hm_random_u64(hm_random_system()));
}

/* The state 1, 2, 3, 4 and the first numbers of xoshiro256** worked out from its definition:
 * rotl(2 * 5, 7) * 9 = 11520; then s1 = 0 after the step, hence 0. */
static void test_seeded_generator_follows_its_definition(void **state)
{
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, 0);

    (void)state;
    seeded = (struct hm_random_seeded){{1, 2, 3, 4}};
    assert_true(hm_random_u64(&random) == 11520);
    assert_true(hm_random_u64(&random) == 0);
    assert_true(hm_random_u64(&random) == 1509978240);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_fills),
        cmocka_unit_test(test_long_text_is_cut_between_characters),
        cmocka_unit_test(test_text_from_outside),
        cmocka_unit_test(test_errno_of_memory),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_checked_arithmetic),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_seeded_generator_follows_its_definition),
    };

    return cmocka_run_group_tests_name("base_error", tests, NULL, NULL);
}
