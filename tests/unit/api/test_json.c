/* The JSON writer, and messages of the schema as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "api_message.h"

static void check_text(const char *text, const char *expected)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct api_json json = {.out = &out};

    api_json_text(&json, text);
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
    struct api_json json = {.out = &out};

    (void)state;
    api_json_open(&json, '{');
    api_json_put_u64(&json, "n", UINT64_MAX);
    api_json_key(&json, "list");
    api_json_open(&json, '[');
    api_json_i64(&json, -7);
    api_json_open(&json, '{');
    api_json_close(&json, '}');
    api_json_null(&json);
    api_json_close(&json, ']');
    api_json_put_bool(&json, "b", false);
    api_json_put_money(&json, "m", 1500000000);
    api_json_key(&json, "h");
    api_json_hex(&json, hm_slice_of("\x00\xff", 2));
    api_json_key(&json, "e");
    api_json_base64(&json, hm_slice_of(NULL, 0));
    api_json_close(&json, '}');
    assert_string_equal(hm_buf_cstr(&out),
                        "{\"n\":18446744073709551615,\"list\":[-7,{},null],\"b\":false,"
                        "\"m\":\"1.5\",\"h\":\"00ff\",\"e\":\"\"}");
}

/* The first failure sticks. */
static void test_out_of_memory(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct api_json json = {.out = &out};

    (void)state;
    hm_alloc_fail_at(1);
    api_json_open(&json, '{');
    hm_alloc_fail_at(0);
    api_json_close(&json, '}');
    assert_int_equal(json.error, HM_ENOMEM);
    assert_int_equal(out.len, 0);
}

static json_t *message_of(const ProtobufCMessage *message)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct api_json json = {.out = &out};
    json_t *value;

    api_message_json(&json, message);
    assert_int_equal(json.error, 0);
    value = json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(value);
    return value;
}

static const char *text_at(const json_t *value, const char *name)
{
    return json_string_value(json_object_get(value, name));
}

static void test_lease(void **state)
{
    Hypermesh__Lease lease = HYPERMESH__LEASE__INIT;
    Hypermesh__Settle settle = HYPERMESH__SETTLE__INIT;
    Hypermesh__ResourceTransaction usage = HYPERMESH__RESOURCE_TRANSACTION__INIT;
    Hypermesh__ResourceTransaction *usages[] = {&usage};
    uint8_t id[32] = {1};
    json_t *value;
    json_t *inner;

    (void)state;
    lease.id = wire_bytes(id, 32);
    lease.escrow = 1;
    lease.state = HYPERMESH__LEASE_STATE__LEASE_SETTLED;
    settle.exit_code = -1;
    settle.outcome = HYPERMESH__JOB_OUTCOME__TIMED_OUT;
    settle.n_usage = 1;
    settle.usage = usages;
    usage.amount = 5;
    usage.price_per_unit = 2000000000;
    usage.resource_type = HYPERMESH__ASSET_KIND__GPU;
    value = message_of(&lease.base);
    assert_null(json_object_get(value, "settlement")); /* unset: left out */
    assert_int_equal(strncmp(text_at(value, "id"), "lease1", 6), 0);
    assert_string_equal(text_at(value, "consumer"), "");
    assert_string_equal(text_at(value, "escrow"), "0.000000001");
    assert_string_equal(text_at(value, "state"), "settled");
    assert_int_equal(json_array_size(json_object_get(value, "items")), 0);
    json_decref(value);
    lease.settlement = &settle;
    value = message_of(&lease.base);
    inner = json_object_get(value, "settlement");
    assert_string_equal(text_at(inner, "outcome"), "timed-out");
    assert_int_equal(json_integer_value(json_object_get(inner, "exit_code")), -1);
    inner = json_array_get(json_object_get(inner, "usage"), 0);
    assert_string_equal(text_at(inner, "price_per_unit"), "2");
    assert_string_equal(text_at(inner, "resource_type"), "gpu");
    assert_int_equal(json_integer_value(json_object_get(inner, "amount")), 5);
    json_decref(value);
}

static void test_operation(void **state)
{
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Bond bond = HYPERMESH__BOND__INIT;
    Hypermesh__AssetEvent event = HYPERMESH__ASSET_EVENT__INIT;
    json_t *value;

    (void)state;
    value = message_of(&op.base);
    assert_int_equal(json_object_size(value), 1);
    json_decref(value);
    bond.amount = 7000000000;
    op.op_case = HYPERMESH__OPERATION__OP_BOND;
    op.bond = &bond;
    value = message_of(&op.base);
    assert_string_equal(text_at(value, "op"), "bond");
    assert_string_equal(text_at(value, "amount"), "7");
    assert_int_equal(json_object_size(value), 2);
    json_decref(value);
    event.op = 12;
    value = message_of(&event.base);
    assert_string_equal(text_at(value, "op"), "allocate");
    json_decref(value);
}

static void test_attributes_and_odd_values(void **state)
{
    Hypermesh__Attribute attribute = HYPERMESH__ATTRIBUTE__INIT;
    Hypermesh__Attribute *attributes[] = {&attribute};
    Hypermesh__Asset asset = HYPERMESH__ASSET__INIT;
    uint8_t odd[3] = {1, 2, 3};
    json_t *value;

    (void)state;
    attribute.name = (char *)"a\"b";
    attribute.value = (char *)"c";
    asset.n_attributes = 1;
    asset.attributes = attributes;
    asset.kind = (Hypermesh__AssetKind)77;
    asset.state = (Hypermesh__AssetState)-1;
    asset.owner = wire_bytes(odd, sizeof(odd));
    value = message_of(&asset.base);
    assert_string_equal(text_at(json_object_get(value, "attributes"), "a\"b"), "c");
    assert_string_equal(text_at(value, "kind"), "unknown");
    assert_string_equal(text_at(value, "state"), "unknown");
    assert_string_equal(text_at(value, "owner"), "010203");
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),          cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_out_of_memory), cmocka_unit_test(test_lease),
        cmocka_unit_test(test_operation),     cmocka_unit_test(test_attributes_and_odd_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
