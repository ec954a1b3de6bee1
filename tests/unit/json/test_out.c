/* The JSON writer, and messages of the schema as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "json.h"

static void check_text(const char *text, const char *expected)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct json_out json = {.out = &out};

    json_out_text(&json, text);
    assert_int_equal(json.error, 0);
    assert_string_equal(hm_buf_cstr(&out), expected);
}

static void test_text(void **state)
{
    (void)state;
    check_text("", "\"\"");
    check_text(NULL, "null");
    check_text("plain", "\"plain\"");
    check_text("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
    check_text("\n\t\r\x01\x1f\x7f", "\"\\n\\t\\r\\u0001\\u001f\\u007f\"");
    check_text("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80", "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"");
    check_text("a\xff\xc3", "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
    check_text("\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void test_nesting(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct json_out json = {.out = &out};

    (void)state;
    json_out_open(&json, '{');
    json_out_put_u64(&json, "n", UINT64_MAX);
    json_out_key(&json, "list");
    json_out_open(&json, '[');
    json_out_i64(&json, -7);
    json_out_open(&json, '{');
    json_out_close(&json, '}');
    json_out_null(&json);
    json_out_close(&json, ']');
    json_out_put_bool(&json, "b", false);
    json_out_put_money(&json, "m", 1500000000);
    json_out_key(&json, "h");
    json_out_hex(&json, hm_slice_of("\x00\xff", 2));
    json_out_key(&json, "e");
    json_out_base64(&json, hm_slice_of(NULL, 0));
    json_out_close(&json, '}');
    assert_string_equal(hm_buf_cstr(&out),
                        "{\"n\":18446744073709551615,\"list\":[-7,{},null],\"b\":false,"
                        "\"m\":\"1.5\",\"h\":\"00ff\",\"e\":\"\"}");
}

/* The first failure sticks. */
static void test_out_of_memory(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct json_out json = {.out = &out};

    (void)state;
    hm_alloc_fail_at(1);
    json_out_open(&json, '{');
    hm_alloc_fail_at(0);
    json_out_close(&json, '}');
    assert_int_equal(json.error, HM_ENOMEM);
    assert_int_equal(out.len, 0);
}

/* Bytes that are text stand as they are; no two byte strings look the same. */
static void check_bytes(const char *data, size_t len, const char *expected)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct json_out json = {.out = &out};

    json_out_bytes(&json, hm_slice_of(data, len));
    assert_int_equal(json.error, 0);
    assert_string_equal(hm_buf_cstr(&out), expected);
}

static void test_bytes(void **state)
{
    (void)state;
    check_bytes(NULL, 0, "\"\"");
    check_bytes("a/b", 3, "\"a/b\"");
    check_bytes("a\0b", 3, "\"base64:YQBi\"");
    check_bytes("\xff", 1, "\"base64:/w==\"");
    check_bytes("base64:", 7, "\"base64:YmFzZTY0Og==\"");
    check_bytes("base64", 6, "\"base64\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
