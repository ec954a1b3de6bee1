#include "api_message.h"

/* A field that is not shown by its type alone. */
struct message_form {
    const ProtobufCMessageDescriptor *message;
    const char *field;
    enum api_form form;
};

#define M(name) &hypermesh__##name##__descriptor
/* clang-format off */
static const struct message_form forms[] = {
    {M(transfer), "to", API_ACCOUNT},
    {M(transfer), "amount", API_MONEY},
    {M(bond), "amount", API_MONEY},
    {M(unbond), "amount", API_MONEY},
    {M(asset_register), "price_per_hour", API_MONEY},
    {M(asset_update), "asset", API_ASSET},
    {M(asset_update), "price_per_hour", API_MONEY},
    {M(asset_transfer), "asset", API_ASSET},
    {M(asset_transfer), "to", API_ACCOUNT},
    {M(asset_retire), "asset", API_ASSET},
    {M(privacy), "accounts", API_ACCOUNT},
    {M(privacy_set), "asset", API_ASSET},
    {M(lease_item), "asset", API_ASSET},
    {M(lease_item), "max_price_per_hour", API_MONEY},
    {M(renew), "lease", API_LEASE},
    {M(release), "lease", API_LEASE},
    {M(settle), "lease", API_LEASE},
    {M(resource_transaction), "node", API_ACCOUNT},
    {M(resource_transaction), "consumer", API_ACCOUNT},
    {M(resource_transaction), "provider", API_ACCOUNT},
    {M(resource_transaction), "price_per_unit", API_MONEY},
    {M(tx_body), "account", API_ACCOUNT},
    {M(tx_body), "fee_limit", API_MONEY},
    {M(batch_head), "node", API_ACCOUNT},
    {M(account), "hyper", API_MONEY},
    {M(account), "caes", API_MONEY},
    {M(account), "bonded", API_MONEY},
    {M(unbonding), "amount", API_MONEY},
    {M(asset), "id", API_ASSET},
    {M(asset), "owner", API_ACCOUNT},
    {M(asset), "price_per_hour", API_MONEY},
    {M(leased_item), "asset", API_ASSET},
    {M(leased_item), "price_per_hour", API_MONEY},
    {M(lease), "id", API_LEASE},
    {M(lease), "consumer", API_ACCOUNT},
    {M(lease), "provider", API_ACCOUNT},
    {M(lease), "escrow", API_MONEY},
    {M(lease), "paid", API_MONEY},
    {M(lease), "refunded", API_MONEY},
    {M(lease), "reward_caes", API_MONEY},
    {M(asset_event), "account", API_ACCOUNT},
    {M(asset_event), "lease", API_LEASE},
    {M(supply), "hyper_genesis", API_MONEY},
    {M(supply), "hyper_burnt", API_MONEY},
    {M(supply), "hyper_accounts", API_MONEY},
    {M(supply), "hyper_bonded", API_MONEY},
    {M(supply), "hyper_escrow", API_MONEY},
    {M(supply), "caes_minted", API_MONEY},
    {M(chain_state), "base_fee", API_MONEY},
    {M(params), "base_fee_initial", API_MONEY},
    {M(params), "base_fee_minimum", API_MONEY},
    {M(params), "bond_provider", API_MONEY},
    {M(params), "bond_consumer", API_MONEY},
    {M(genesis_share), "account", API_ACCOUNT},
    {M(genesis), "supply", API_MONEY},
    {M(tx_result), "fee", API_MONEY},
    {M(tx_facts), "bonded", API_MONEY},
    {M(tx_facts), "bond_needed", API_MONEY},
    {M(block_record), "base_fee", API_MONEY},
    {M(block_record), "expired", API_LEASE},
    {M(job_record), "lease", API_LEASE},
    {M(job_record), "consumer", API_ACCOUNT},
    {M(job_record), "provider", API_ACCOUNT},
    {M(job_spec), "max_price", API_MONEY},
};
/* clang-format on */
#undef M

/* Enums that wire has no names for; in order of their numbers, from 0. */
static const char *const asset_states[] = {"none", "active", "retired"};
static const char *const job_states[] = {"none", "queued", "leased", "running", "settling", "done"};
static const char *const tokens[] = {"hyper", "caes"};

static const char *listed_name(const char *const *names, size_t count, int value)
{
    return value >= 0 && (size_t)value < count ? names[value] : "unknown";
}

const char *api_enum_name(const ProtobufCEnumDescriptor *descriptor, int value)
{
    if (descriptor == &hypermesh__asset_kind__descriptor)
        return wire_asset_kind_name((Hypermesh__AssetKind)value);
    if (descriptor == &hypermesh__privacy_level__descriptor)
        return wire_privacy_name((Hypermesh__PrivacyLevel)value);
    if (descriptor == &hypermesh__job_outcome__descriptor)
        return wire_outcome_name((Hypermesh__JobOutcome)value);
    if (descriptor == &hypermesh__lease_state__descriptor)
        return wire_lease_state_name((Hypermesh__LeaseState)value);
    if (descriptor == &hypermesh__asset_state__descriptor)
        return listed_name(asset_states, HM_COUNT_OF(asset_states), value);
    if (descriptor == &hypermesh__job_state__descriptor)
        return listed_name(job_states, HM_COUNT_OF(job_states), value);
    if (descriptor == &hypermesh__token__descriptor)
        return listed_name(tokens, HM_COUNT_OF(tokens), value);
    return "unknown";
}

static enum api_form type_form(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_ENUM:
        return API_TEXT;
    case PROTOBUF_C_TYPE_BOOL:
        return API_BOOL;
    case PROTOBUF_C_TYPE_BYTES:
        return API_HEX;
    case PROTOBUF_C_TYPE_MESSAGE:
        return field->descriptor == &hypermesh__attribute__descriptor ? API_PAIRS : API_OBJECT;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return API_INT;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return API_UINT;
    default: /* float, double: the schema has none */
        return API_ANY;
    }
}

/* The number of an operation in an asset's history is shown by its name. */
static bool is_op_number(const ProtobufCMessageDescriptor *message,
                         const ProtobufCFieldDescriptor *field)
{
    return message == &hypermesh__asset_event__descriptor && strcmp(field->name, "op") == 0;
}

enum api_form api_message_form(const ProtobufCMessageDescriptor *message,
                               const ProtobufCFieldDescriptor *field)
{
    for (size_t i = 0; i < HM_COUNT_OF(forms); i++) {
        if (forms[i].message == message && strcmp(forms[i].field, field->name) == 0)
            return forms[i].form;
    }
    return is_op_number(message, field) ? API_TEXT : type_form(field);
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

static void text_value(struct api_json *json, const ProtobufCFieldDescriptor *field, const void *at)
{
    if (field->type == PROTOBUF_C_TYPE_ENUM) {
        int value;

        memcpy(&value, at, sizeof(value));
        api_json_text(json, api_enum_name(field->descriptor, value));
    } else if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text;

        memcpy(&text, at, sizeof(text));
        api_json_text(json, text ? text : "");
    } else { /* see is_op_number */
        api_json_text(json, wire_op_name((unsigned)unsigned_at(field, at)));
    }
}

static void bytes_value(struct api_json *json, enum api_form form, const void *at)
{
    ProtobufCBinaryData data;
    struct hm_slice bytes;

    memcpy(&data, at, sizeof(data));
    bytes = wire_slice(data);
    if (form == API_ACCOUNT)
        api_json_account(json, bytes);
    else if (form == API_ASSET)
        api_json_asset(json, bytes);
    else if (form == API_LEASE)
        api_json_lease(json, bytes);
    else
        api_json_hex(json, bytes);
}

static void bool_value(struct api_json *json, const void *at)
{
    protobuf_c_boolean value;

    memcpy(&value, at, sizeof(value));
    api_json_bool(json, value != 0);
}

static void message_value(struct api_json *json, const void *at)
{
    const ProtobufCMessage *message;

    memcpy(&message, at, sizeof(message));
    api_message_json(json, message);
}

static void field_value(struct api_json *json, enum api_form form,
                        const ProtobufCFieldDescriptor *field, const void *at)
{
    switch (form) {
    case API_TEXT:
        text_value(json, field, at);
        break;
    case API_BOOL:
        bool_value(json, at);
        break;
    case API_UINT:
        api_json_u64(json, unsigned_at(field, at));
        break;
    case API_INT:
        api_json_i64(json, signed_at(field, at));
        break;
    case API_MONEY:
        api_json_money(json, unsigned_at(field, at));
        break;
    case API_OBJECT:
        message_value(json, at);
        break;
    case API_ANY:
        api_json_null(json);
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
static void pairs_value(struct api_json *json, Hypermesh__Attribute *const *pairs, size_t count)
{
    api_json_open(json, '{');
    for (size_t i = 0; i < count; i++) {
        api_json_text_key(json, pairs[i]->name);
        api_json_text(json, pairs[i]->value);
    }
    api_json_close(json, '}');
}

static void repeated_value(struct api_json *json, enum api_form form,
                           const ProtobufCFieldDescriptor *field, const uint8_t *base)
{
    const uint8_t *elements;
    size_t count;

    memcpy(&count, base + field->quantifier_offset, sizeof(count));
    memcpy(&elements, base + field->offset, sizeof(elements));
    if (form == API_PAIRS) {
        pairs_value(json, (Hypermesh__Attribute *const *)(const void *)elements, count);
        return;
    }
    api_json_open(json, '[');
    for (size_t i = 0; i < count; i++)
        field_value(json, form, field, elements + i * element_size(field));
    api_json_close(json, ']');
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
static void operation_put(struct api_json *json, const Hypermesh__Operation *op)
{
    api_json_put_text(json, "op", wire_op_name((unsigned)op->op_case));
    /* all members of the union are pointers to messages */
    if (op->op_case != HYPERMESH__OPERATION__OP__NOT_SET && op->transfer)
        api_message_put(json, &op->transfer->base, NULL);
}

void api_message_put(struct api_json *json, const ProtobufCMessage *message, const char *without)
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
        enum api_form form;

        if (!field_is_set(field, base) || (without && strcmp(field->name, without) == 0))
            continue;
        form = api_message_form(descriptor, field);
        api_json_key(json, field->name);
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
            repeated_value(json, form, field, base);
        else
            field_value(json, form, field, base + field->offset);
    }
}

void api_message_json(struct api_json *json, const ProtobufCMessage *message)
{
    if (!message) {
        api_json_null(json);
        return;
    }
    api_json_open(json, '{');
    api_message_put(json, message, NULL);
    api_json_close(json, '}');
}
