/* Messages of the schema as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "json.h"

static json_t *message_of(const ProtobufCMessage *message)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct json_out json = {.out = &out};
    json_t *value;

    json_message(&json, message);
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

static void test_privacy(void **state)
{
    Hypermesh__Privacy privacy = HYPERMESH__PRIVACY__INIT;
    Hypermesh__ProofDemand demand = HYPERMESH__PROOF_DEMAND__INIT;
    uint8_t id[32] = {7};
    ProtobufCBinaryData networks[] = {wire_bytes(id, sizeof(id))};
    json_t *value;

    (void)state;
    privacy.level = HYPERMESH__PRIVACY_LEVEL__PUBLIC_NETWORK;
    privacy.reward_waived_ppm = 250000;
    privacy.n_networks = 1;
    privacy.networks = networks;
    demand.min_bond = 2500000000;
    privacy.demand = &demand;
    value = message_of(&privacy.base);
    assert_int_equal(json_integer_value(json_object_get(value, "reward_ppm")), 750000);
    assert_null(json_object_get(value, "reward_waived_ppm"));
    assert_int_equal(
        strncmp(json_string_value(json_array_get(json_object_get(value, "networks"), 0)), "net1",
                4),
        0);
    assert_string_equal(text_at(json_object_get(value, "demand"), "min_bond"), "2.5");
    json_decref(value);
    privacy.reward_waived_ppm = 2000000; /* a number from outside */
    value = message_of(&privacy.base);
    assert_int_equal(json_integer_value(json_object_get(value, "reward_ppm")), 0);
    json_decref(value);
}

static void test_kv(void **state)
{
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__KvTxn txn = HYPERMESH__KV_TXN__INIT;
    Hypermesh__KvCompare compare = HYPERMESH__KV_COMPARE__INIT;
    Hypermesh__KvCompare *compares[] = {&compare};
    Hypermesh__KvTxnOp inner = HYPERMESH__KV_TXN_OP__INIT;
    Hypermesh__KvTxnOp *inners[] = {&inner};
    Hypermesh__KvPut put = HYPERMESH__KV_PUT__INIT;
    json_t *value;
    json_t *at;

    (void)state;
    compare.result = HYPERMESH__KV_COMPARE_RESULT__KV_NOT_EQUAL;
    compare.target = HYPERMESH__KV_COMPARE_TARGET__KV_MOD;
    compare.key = wire_bytes("k", 1);
    compare.number = -1;
    put.key = wire_bytes("key", 3);
    put.value = wire_bytes("\0", 1);
    inner.op_case = HYPERMESH__KV_TXN_OP__OP_PUT;
    inner.put = &put;
    txn.n_compare = 1;
    txn.compare = compares;
    txn.n_success = 1;
    txn.success = inners;
    op.op_case = HYPERMESH__OPERATION__OP_KV_TXN;
    op.kv_txn = &txn;
    value = message_of(&op.base);
    assert_string_equal(text_at(value, "op"), "kv_txn");
    at = json_array_get(json_object_get(value, "compare"), 0);
    assert_string_equal(text_at(at, "result"), "not_equal");
    assert_string_equal(text_at(at, "target"), "mod");
    assert_int_equal(json_integer_value(json_object_get(at, "number")), -1);
    at = json_array_get(json_object_get(value, "success"), 0);
    assert_int_equal(json_object_size(at), 1);
    at = json_object_get(at, "put");
    assert_string_equal(text_at(at, "key"), "key");
    assert_string_equal(text_at(at, "value"), "base64:AA==");
    json_decref(value);
}

/* Every operation of the schema has a name, and every enum value one that reads back. */
static void test_names(void **state)
{
    static const ProtobufCEnumDescriptor *const enums[] = {
        &hypermesh__asset_state__descriptor,
        &hypermesh__job_state__descriptor,
        &hypermesh__token__descriptor,
        &hypermesh__member_state__descriptor,
        &hypermesh__challenge_state__descriptor,
        &hypermesh__kv_compare_result__descriptor,
        &hypermesh__kv_compare_target__descriptor,
        &hypermesh__asset_kind__descriptor,
        &hypermesh__privacy_level__descriptor,
        &hypermesh__job_outcome__descriptor,
        &hypermesh__lease_state__descriptor,
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(enums); i++) {
        for (unsigned k = 0; k < enums[i]->n_values; k++) {
            const char *name = json_enum_name(enums[i], enums[i]->values[k].value);
            int value = -1;

            assert_string_not_equal(name, "unknown");
            assert_int_equal(json_enum_parse(enums[i], name, &value), 0);
            assert_int_equal(value, enums[i]->values[k].value);
        }
        assert_int_equal(json_enum_parse(enums[i], "unknown", &(int){0}), HM_EPARSE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lease),
        cmocka_unit_test(test_operation),
        cmocka_unit_test(test_attributes_and_odd_values),
        cmocka_unit_test(test_privacy),
        cmocka_unit_test(test_kv),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
