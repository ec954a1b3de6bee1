#include "json.h"

#define WHOLE_PPM 1000000u

/* A field that is not shown by its type alone. */
struct message_form {
    const ProtobufCMessageDescriptor *message;
    const char *field;
    enum json_form form;
};

#define M(name) &hypermesh__##name##__descriptor
/* clang-format off */
static const struct message_form forms[] = {
    {M(transfer), "to", JSON_FORM_ACCOUNT},
    {M(transfer), "amount", JSON_FORM_MONEY},
    {M(bond), "amount", JSON_FORM_MONEY},
    {M(unbond), "amount", JSON_FORM_MONEY},
    {M(asset_register), "price_per_hour", JSON_FORM_MONEY},
    {M(asset_update), "asset", JSON_FORM_ASSET},
    {M(asset_update), "price_per_hour", JSON_FORM_MONEY},
    {M(asset_transfer), "asset", JSON_FORM_ASSET},
    {M(asset_transfer), "to", JSON_FORM_ACCOUNT},
    {M(asset_retire), "asset", JSON_FORM_ASSET},
    {M(privacy), "accounts", JSON_FORM_ACCOUNT},
    {M(privacy_set), "asset", JSON_FORM_ASSET},
    {M(lease_item), "asset", JSON_FORM_ASSET},
    {M(lease_item), "max_price_per_hour", JSON_FORM_MONEY},
    {M(renew), "lease", JSON_FORM_LEASE},
    {M(release), "lease", JSON_FORM_LEASE},
    {M(settle), "lease", JSON_FORM_LEASE},
    {M(resource_transaction), "node", JSON_FORM_ACCOUNT},
    {M(resource_transaction), "consumer", JSON_FORM_ACCOUNT},
    {M(resource_transaction), "provider", JSON_FORM_ACCOUNT},
    {M(resource_transaction), "price_per_unit", JSON_FORM_MONEY},
    {M(tx_body), "account", JSON_FORM_ACCOUNT},
    {M(tx_body), "fee_limit", JSON_FORM_MONEY},
    {M(batch_head), "node", JSON_FORM_ACCOUNT},
    {M(account), "hyper", JSON_FORM_MONEY},
    {M(account), "caes", JSON_FORM_MONEY},
    {M(account), "bonded", JSON_FORM_MONEY},
    {M(unbonding), "amount", JSON_FORM_MONEY},
    {M(asset), "id", JSON_FORM_ASSET},
    {M(asset), "owner", JSON_FORM_ACCOUNT},
    {M(asset), "price_per_hour", JSON_FORM_MONEY},
    {M(leased_item), "asset", JSON_FORM_ASSET},
    {M(leased_item), "price_per_hour", JSON_FORM_MONEY},
    {M(lease), "id", JSON_FORM_LEASE},
    {M(lease), "consumer", JSON_FORM_ACCOUNT},
    {M(lease), "provider", JSON_FORM_ACCOUNT},
    {M(lease), "escrow", JSON_FORM_MONEY},
    {M(lease), "paid", JSON_FORM_MONEY},
    {M(lease), "refunded", JSON_FORM_MONEY},
    {M(lease), "reward_caes", JSON_FORM_MONEY},
    {M(asset_event), "account", JSON_FORM_ACCOUNT},
    {M(asset_event), "lease", JSON_FORM_LEASE},
    {M(supply), "hyper_genesis", JSON_FORM_MONEY},
    {M(supply), "hyper_burnt", JSON_FORM_MONEY},
    {M(supply), "hyper_accounts", JSON_FORM_MONEY},
    {M(supply), "hyper_bonded", JSON_FORM_MONEY},
    {M(supply), "hyper_escrow", JSON_FORM_MONEY},
    {M(supply), "caes_minted", JSON_FORM_MONEY},
    {M(chain_state), "base_fee", JSON_FORM_MONEY},
    {M(params), "base_fee_initial", JSON_FORM_MONEY},
    {M(params), "base_fee_minimum", JSON_FORM_MONEY},
    {M(params), "bond_provider", JSON_FORM_MONEY},
    {M(params), "bond_consumer", JSON_FORM_MONEY},
    {M(genesis_share), "account", JSON_FORM_ACCOUNT},
    {M(genesis), "supply", JSON_FORM_MONEY},
    {M(tx_result), "fee", JSON_FORM_MONEY},
    {M(tx_facts), "bonded", JSON_FORM_MONEY},
    {M(tx_facts), "bond_needed", JSON_FORM_MONEY},
    {M(block_record), "base_fee", JSON_FORM_MONEY},
    {M(block_record), "expired", JSON_FORM_LEASE},
    {M(privacy), "networks", JSON_FORM_NETWORK},
    {M(privacy), "reward_waived_ppm", JSON_FORM_REWARD},
    {M(proof_demand), "min_bond", JSON_FORM_MONEY},
    {M(network_join), "network", JSON_FORM_NETWORK},
    {M(network_leave), "network", JSON_FORM_NETWORK},
    {M(network_invite), "network", JSON_FORM_NETWORK},
    {M(network_invite), "account", JSON_FORM_ACCOUNT},
    {M(network_expel), "network", JSON_FORM_NETWORK},
    {M(network_expel), "account", JSON_FORM_ACCOUNT},
    {M(network_dissolve), "network", JSON_FORM_NETWORK},
    {M(peers_set), "accounts", JSON_FORM_ACCOUNT},
    {M(proxy_set), "relays", JSON_FORM_ACCOUNT},
    {M(challenge_open), "node", JSON_FORM_ACCOUNT},
    {M(challenge_open), "lease", JSON_FORM_LEASE},
    {M(challenge_answer), "challenge", JSON_FORM_CHALLENGE},
    {M(challenge_answer), "job", JSON_FORM_BASE64},
    {M(challenge_answer), "manifest", JSON_FORM_BYTES},
    {M(kv_put), "key", JSON_FORM_BYTES},
    {M(kv_put), "value", JSON_FORM_BYTES},
    {M(kv_delete), "key", JSON_FORM_BYTES},
    {M(kv_delete), "range_end", JSON_FORM_BYTES},
    {M(kv_compare), "key", JSON_FORM_BYTES},
    {M(kv_compare), "range_end", JSON_FORM_BYTES},
    {M(kv_compare), "value", JSON_FORM_BYTES},
    {M(kv_range), "key", JSON_FORM_BYTES},
    {M(kv_range), "range_end", JSON_FORM_BYTES},
    {M(kv_rule_set), "prefix", JSON_FORM_BYTES},
    {M(kv_rule_set), "owner", JSON_FORM_ACCOUNT},
    {M(kv_rule_set), "writers", JSON_FORM_ACCOUNT},
    {M(kv_rule_set), "readers", JSON_FORM_ACCOUNT},
    {M(kv_rule), "prefix", JSON_FORM_BYTES},
    {M(kv_rule), "owner", JSON_FORM_ACCOUNT},
    {M(kv_rule), "writers", JSON_FORM_ACCOUNT},
    {M(kv_rule), "readers", JSON_FORM_ACCOUNT},
    {M(kv_entry), "value", JSON_FORM_BYTES},
    {M(kv_event), "key", JSON_FORM_BYTES},
    {M(kv_pair), "key", JSON_FORM_BYTES},
    {M(kv_lease), "owner", JSON_FORM_ACCOUNT},
    {M(account), "peers", JSON_FORM_ACCOUNT},
    {M(account), "deposits", JSON_FORM_MONEY},
    {M(proxies), "relays", JSON_FORM_ACCOUNT},
    {M(node_marks), "slashed", JSON_FORM_MONEY},
    {M(lease), "challenge", JSON_FORM_CHALLENGE},
    {M(network), "id", JSON_FORM_NETWORK},
    {M(network), "owner", JSON_FORM_ACCOUNT},
    {M(member), "network", JSON_FORM_NETWORK},
    {M(member), "account", JSON_FORM_ACCOUNT},
    {M(challenge), "id", JSON_FORM_CHALLENGE},
    {M(challenge), "challenger", JSON_FORM_ACCOUNT},
    {M(challenge), "node", JSON_FORM_ACCOUNT},
    {M(challenge), "lease", JSON_FORM_LEASE},
    {M(challenge), "deposit", JSON_FORM_MONEY},
    {M(challenge), "slashed", JSON_FORM_MONEY},
    {M(challenge), "paid", JSON_FORM_MONEY},
    {M(supply), "hyper_deposits", JSON_FORM_MONEY},
    {M(params), "challenge_deposit", JSON_FORM_MONEY},
    {M(block_record), "silent", JSON_FORM_CHALLENGE},
    {M(block_record), "jailed", JSON_FORM_ACCOUNT},
    {M(block_record), "tombstoned", JSON_FORM_ACCOUNT},
    {M(validator_declare), "bond", JSON_FORM_MONEY},
    {M(delegate), "validator", JSON_FORM_ACCOUNT},
    {M(delegate), "amount", JSON_FORM_MONEY},
    {M(undelegate), "validator", JSON_FORM_ACCOUNT},
    {M(undelegate), "amount", JSON_FORM_MONEY},
    {M(redelegate), "validator", JSON_FORM_ACCOUNT},
    {M(redelegate), "to", JSON_FORM_ACCOUNT},
    {M(redelegate), "amount", JSON_FORM_MONEY},
    {M(rewards_take), "validator", JSON_FORM_ACCOUNT},
    {M(validator), "operator", JSON_FORM_ACCOUNT},
    {M(validator), "stake", JSON_FORM_MONEY},
    {M(validator), "caes", JSON_FORM_MONEY},
    {M(validator), "commission_caes", JSON_FORM_MONEY},
    {M(validator), "slashed", JSON_FORM_MONEY},
    {M(leaving_pool), "stake", JSON_FORM_MONEY},
    {M(delegation), "validator", JSON_FORM_ACCOUNT},
    {M(delegation), "delegator", JSON_FORM_ACCOUNT},
    {M(leaving), "to", JSON_FORM_ACCOUNT},
    {M(engine_member), "operator", JSON_FORM_ACCOUNT},
    {M(genesis_validator), "operator", JSON_FORM_ACCOUNT},
    {M(genesis_validator), "bond", JSON_FORM_MONEY},
    {M(params), "power_unit", JSON_FORM_MONEY},
    {M(params), "validator_bond", JSON_FORM_MONEY},
    {M(params), "delegation_min", JSON_FORM_MONEY},
    {M(params), "block_reward", JSON_FORM_MONEY},
    {M(job_record), "lease", JSON_FORM_LEASE},
    {M(job_record), "consumer", JSON_FORM_ACCOUNT},
    {M(job_record), "provider", JSON_FORM_ACCOUNT},
    {M(job_spec), "max_price", JSON_FORM_MONEY},
};
/* clang-format on */
#undef M

static enum json_form type_form(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_ENUM:
        return JSON_FORM_TEXT;
    case PROTOBUF_C_TYPE_BOOL:
        return JSON_FORM_BOOL;
    case PROTOBUF_C_TYPE_BYTES:
        return JSON_FORM_HEX;
    case PROTOBUF_C_TYPE_MESSAGE:
        return field->descriptor == &hypermesh__attribute__descriptor ? JSON_FORM_PAIRS
                                                                      : JSON_FORM_OBJECT;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return JSON_FORM_INT;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return JSON_FORM_UINT;
    default: /* float, double: the schema has none */
        return JSON_FORM_ANY;
    }
}

/* The number of an operation in an asset's history is shown by its name. */
static bool is_op_number(const ProtobufCMessageDescriptor *message,
                         const ProtobufCFieldDescriptor *field)
{
    return message == &hypermesh__asset_event__descriptor && strcmp(field->name, "op") == 0;
}

enum json_form json_message_form(const ProtobufCMessageDescriptor *message,
                                 const ProtobufCFieldDescriptor *field)
{
    for (size_t i = 0; i < HM_COUNT_OF(forms); i++) {
        if (forms[i].message == message && strcmp(forms[i].field, field->name) == 0)
            return forms[i].form;
    }
    return is_op_number(message, field) ? JSON_FORM_TEXT : type_form(field);
}

const char *json_message_name(const ProtobufCMessageDescriptor *message,
                              const ProtobufCFieldDescriptor *field)
{
    return json_message_form(message, field) == JSON_FORM_REWARD ? "reward_ppm" : field->name;
}

static uint64_t unsigned_at(const ProtobufCFieldDescriptor *field, const void *at)
{
    uint32_t small;
    uint64_t large;

    if (field->type == PROTOBUF_C_TYPE_UINT32 || field->type == PROTOBUF_C_TYPE_FIXED32) {
        memcpy(&small, at, sizeof(small));
        return small;
    }
    memcpy(&large, at, sizeof(large));
    return large;
}

static int64_t signed_at(const ProtobufCFieldDescriptor *field, const void *at)
{
    int32_t small;
    int64_t large;

    if (field->type == PROTOBUF_C_TYPE_INT32 || field->type == PROTOBUF_C_TYPE_SINT32 ||
        field->type == PROTOBUF_C_TYPE_SFIXED32) {
        memcpy(&small, at, sizeof(small));
        return small;
    }
    memcpy(&large, at, sizeof(large));
    return large;
}

static void text_value(struct json_out *json, const ProtobufCFieldDescriptor *field, const void *at)
{
    if (field->type == PROTOBUF_C_TYPE_ENUM) {
        int value;

        memcpy(&value, at, sizeof(value));
        json_out_text(json, json_enum_name(field->descriptor, value));
    } else if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text;

        memcpy(&text, at, sizeof(text));
        json_out_text(json, text ? text : "");
    } else { /* see is_op_number */
        json_out_text(json, wire_op_name((unsigned)unsigned_at(field, at)));
    }
}

static void bytes_value(struct json_out *json, enum json_form form, const void *at)
{
    ProtobufCBinaryData data;
    struct hm_slice bytes;

    memcpy(&data, at, sizeof(data));
    bytes = wire_slice(data);
    if (form == JSON_FORM_ACCOUNT)
        json_out_account(json, bytes);
    else if (form == JSON_FORM_ASSET)
        json_out_asset(json, bytes);
    else if (form == JSON_FORM_LEASE)
        json_out_lease(json, bytes);
    else if (form == JSON_FORM_NETWORK)
        json_out_network(json, bytes);
    else if (form == JSON_FORM_CHALLENGE)
        json_out_challenge(json, bytes);
    else if (form == JSON_FORM_BASE64)
        json_out_base64(json, bytes);
    else if (form == JSON_FORM_BYTES)
        json_out_bytes(json, bytes);
    else
        json_out_hex(json, bytes);
}

static void bool_value(struct json_out *json, const void *at)
{
    protobuf_c_boolean value;

    memcpy(&value, at, sizeof(value));
    json_out_bool(json, value != 0);
}

static void message_value(struct json_out *json, const void *at)
{
    const ProtobufCMessage *message;

    memcpy(&message, at, sizeof(message));
    json_message(json, message);
}

static void field_value(struct json_out *json, enum json_form form,
                        const ProtobufCFieldDescriptor *field, const void *at)
{
    switch (form) {
    case JSON_FORM_TEXT:
        text_value(json, field, at);
        break;
    case JSON_FORM_BOOL:
        bool_value(json, at);
        break;
    case JSON_FORM_UINT:
        json_out_u64(json, unsigned_at(field, at));
        break;
    case JSON_FORM_INT:
        json_out_i64(json, signed_at(field, at));
        break;
    case JSON_FORM_MONEY:
        json_out_money(json, unsigned_at(field, at));
        break;
    case JSON_FORM_REWARD:
        json_out_u64(json,
                     unsigned_at(field, at) < WHOLE_PPM ? WHOLE_PPM - unsigned_at(field, at) : 0);
        break;
    case JSON_FORM_OBJECT:
        message_value(json, at);
        break;
    case JSON_FORM_ANY:
        json_out_null(json);
        break;
    default:
        bytes_value(json, form, at);
    }
}

static size_t element_size(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(uint64_t);
    default:
        return sizeof(uint32_t);
    }
}

/* Attributes: one object, name to value. */
static void pairs_value(struct json_out *json, Hypermesh__Attribute *const *pairs, size_t count)
{
    json_out_open(json, '{');
    for (size_t i = 0; i < count; i++) {
        json_out_text_key(json, pairs[i]->name);
        json_out_text(json, pairs[i]->value);
    }
    json_out_close(json, '}');
}

static void repeated_value(struct json_out *json, enum json_form form,
                           const ProtobufCFieldDescriptor *field, const uint8_t *base)
{
    const uint8_t *elements;
    size_t count;

    memcpy(&count, base + field->quantifier_offset, sizeof(count));
    memcpy(&elements, base + field->offset, sizeof(elements));
    if (form == JSON_FORM_PAIRS) {
        pairs_value(json, (Hypermesh__Attribute *const *)(const void *)elements, count);
        return;
    }
    json_out_open(json, '[');
    for (size_t i = 0; i < count; i++)
        field_value(json, form, field, elements + i * element_size(field));
    json_out_close(json, ']');
}

static bool field_is_set(const ProtobufCFieldDescriptor *field, const uint8_t *base)
{
    const void *message;

    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        uint32_t chosen;

        memcpy(&chosen, base + field->quantifier_offset, sizeof(chosen));
        if (chosen != field->id)
            return false;
    }
    if (field->label == PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_MESSAGE)
        return true;
    memcpy(&message, base + field->offset, sizeof(message));
    return message != NULL;
}

/* An operation is shown as its name and the fields of the one member that is set. */
static void operation_put(struct json_out *json, const Hypermesh__Operation *op)
{
    json_out_put_text(json, "op", wire_op_name((unsigned)op->op_case));
    /* all members of the union are pointers to messages */
    if (op->op_case != HYPERMESH__OPERATION__OP__NOT_SET && op->transfer)
        json_message_put(json, &op->transfer->base, NULL);
}

void json_message_put(struct json_out *json, const ProtobufCMessage *message, const char *without)
{
    const ProtobufCMessageDescriptor *descriptor = message ? message->descriptor : NULL;

    if (!descriptor)
        return;
    if (descriptor == &hypermesh__operation__descriptor) {
        operation_put(json, (const Hypermesh__Operation *)(const void *)message);
        return;
    }
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        const uint8_t *base = (const uint8_t *)message;
        enum json_form form;

        if (!field_is_set(field, base) || (without && strcmp(field->name, without) == 0))
            continue;
        form = json_message_form(descriptor, field);
        json_out_key(json, json_message_name(descriptor, field));
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
            repeated_value(json, form, field, base);
        else
            field_value(json, form, field, base + field->offset);
    }
}

void json_message(struct json_out *json, const ProtobufCMessage *message)
{
    if (!message) {
        json_out_null(json);
        return;
    }
    json_out_open(json, '{');
    json_message_put(json, message, NULL);
    json_out_close(json, '}');
}
