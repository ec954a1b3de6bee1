#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base.h"

static void test_hex(void **state)
{
    char text[11];
    uint8_t bytes[5] = {9, 9, 9, 9, 9};
    struct hm_error error;

    (void)state;
    hm_hex_encode("\x00\x7f\x80\xff\x1a", 5, text);
    assert_string_equal(text, "007f80ff1a");
    assert_int_equal(hm_hex_decode("007F80ff1A", 10, bytes, 5, &error), 0);
    assert_memory_equal(bytes, "\x00\x7f\x80\xff\x1a", 5);
    assert_int_equal(hm_hex_decode("1111111111", 8, bytes, 5, &error), HM_EPARSE);
    assert_int_equal(hm_hex_decode("11111111g1", 10, bytes, 5, &error), HM_EPARSE);
    assert_non_null(strstr(error.text, "character 9"));
    assert_memory_equal(bytes, "\x00\x7f\x80\xff\x1a", 5);
    assert_int_equal(hm_hex_decode("", 0, NULL, 0, &error), 0);
}

/* RFC 4648, section 10 */
static void test_base64(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(pairs); i++) {
        HM_CLEANUP(hm_buf) struct hm_buf out = {0};

        assert_int_equal(hm_base64_encode(pairs[i][0], strlen(pairs[i][0]), &out), 0);
        assert_string_equal(hm_buf_cstr(&out), pairs[i][1]);
        hm_buf_clear(&out);
        assert_int_equal(hm_base64_decode(pairs[i][1], strlen(pairs[i][1]), &out, NULL), 0);
        assert_string_equal(hm_buf_cstr(&out), pairs[i][0]);
    }
}

static void test_base64_is_strict(void **state)
{
    static const char *const wrong[] = {"Zg",       "Zg=",   "Zh==", "Zm9=", "Z===", "====",
                                        "Zg==Zg==", "Zm9\n", "Zm9-", "Zm 9", "=m9v", "Zm=v"};
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};

    (void)state;
    assert_int_equal(hm_buf_append_str(&out, "kept"), 0);
    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++) {
        assert_int_equal(hm_base64_decode(wrong[i], strlen(wrong[i]), &out, NULL), HM_EPARSE);
        assert_string_equal(hm_buf_cstr(&out), "kept");
    }
}

static void test_utf8(void **state)
{
    static const char *const wrong[] = {"\x80",
                                        "\xc0\x80",
                                        "\xc1\xbf",
                                        "\xe0\x9f\xbf",
                                        "\xed\xa0\x80",
                                        "\xf0\x8f\xbf\xbf",
                                        "\xf4\x90\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xe2\x82",
                                        "\xff",
                                        "a\xc3z"};
    uint32_t code = 0;

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++)
        assert_false(hm_utf8_valid(wrong[i], strlen(wrong[i])));
    assert_true(hm_utf8_valid("z\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10));
    assert_int_equal(hm_utf8_step("\xf0\x9f\x98\x80", 4, &code), 4);
    assert_int_equal(code, 0x1F600);
    assert_int_equal(hm_utf8_step("", 0, &code), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_base64_is_strict),
        cmocka_unit_test(test_utf8),
    };

    return cmocka_run_group_tests_name("base_encode", tests, NULL, NULL);
}
