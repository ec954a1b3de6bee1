/* JSON Schema of the same tables that requests are parsed with and answers are written from. */
#include "api_field.h"

struct form_schema {
    const char *type;
    const char *format; /* or NULL */
    const char *pattern; /* or NULL */
};

#define HEX_PATTERN "^([0-9a-f]{2})*$"

/* Answers show ids that are not there yet as "". */
static const struct form_schema form_schemas[] = {
    [JSON_FORM_TEXT] = {"string", NULL, NULL},
    [JSON_FORM_BOOL] = {"boolean", NULL, NULL},
    [JSON_FORM_UINT] = {"integer", "uint64", NULL},
    [JSON_FORM_INT] = {"integer", "int64", NULL},
    [JSON_FORM_MONEY] = {"string", NULL, "^[0-9]+(\\.[0-9]{1,9})?$"},
    [JSON_FORM_SHARE] = {"string", NULL, "^[0-9]+(\\.[0-9]{1,4})?%$"},
    [JSON_FORM_PART] = {"string", NULL, "^[0-9]+(\\.[0-9]{1,4})?%$"},
    [JSON_FORM_DURATION] = {"string", NULL, "^([0-9]+(d|h|m|s|ms))+$"},
    [JSON_FORM_AMOUNT] = {NULL, NULL, NULL},
    [JSON_FORM_ACCOUNT] = {"string", NULL, NULL},
    [JSON_FORM_ASSET] = {"string", NULL, "^(asset1[a-z0-9]+)?$"},
    [JSON_FORM_LEASE] = {"string", NULL, "^(lease1[a-z0-9]+)?$"},
    [JSON_FORM_NETWORK] = {"string", NULL, "^(net1[a-z0-9]+)?$"},
    [JSON_FORM_CHALLENGE] = {"string", NULL, "^(chal1[a-z0-9]+)?$"},
    [JSON_FORM_DIGEST] = {"string", NULL, "^[0-9a-f]{64}$"},
    [JSON_FORM_HEX] = {"string", NULL, HEX_PATTERN},
    [JSON_FORM_BASE64] = {"string", NULL, "^[A-Za-z0-9+/]*={0,2}$"},
    [JSON_FORM_BYTES] = {"string", NULL, NULL},
    [JSON_FORM_REWARD] = {"integer", "uint64", NULL},
    [JSON_FORM_KIND] = {"string", NULL, NULL},
    [JSON_FORM_TOKEN] = {"string", NULL, NULL},
    [JSON_FORM_LEVEL] = {"string", NULL, NULL},
    [JSON_FORM_PAIRS] = {"object", NULL, NULL},
    [JSON_FORM_OBJECT] = {"object", NULL, NULL},
    [JSON_FORM_ANY] = {NULL, NULL, NULL},
};

static void put_type(struct json_out *json, const char *type, bool nullable)
{
    json_out_key(json, "type");
    if (!nullable) {
        json_out_text(json, type);
        return;
    }
    json_out_open(json, '[');
    json_out_text(json, type);
    json_out_text(json, "null");
    json_out_close(json, ']');
}

static void put_text_list(struct json_out *json, const char *name, const char *const *texts,
                          size_t count)
{
    json_out_key(json, name);
    json_out_open(json, '[');
    for (size_t i = 0; i < count; i++)
        json_out_text(json, texts[i]);
    json_out_close(json, ']');
}

/* Names of an enum's values, from value number `first` on. */
static void put_names(struct json_out *json, const ProtobufCEnumDescriptor *names, unsigned first)
{
    json_out_key(json, "enum");
    json_out_open(json, '[');
    for (unsigned i = first; i < names->n_values; i++)
        json_out_text(json, json_enum_name(names, names->values[i].value));
    json_out_close(json, ']');
}

/* The body of a schema object that is already open. */
static void put_form(struct json_out *json, enum json_form form, bool nullable)
{
    const struct form_schema *schema = &form_schemas[form];
    static const char *const amount_types[] = {"integer", "string"};

    if (form == JSON_FORM_AMOUNT)
        put_text_list(json, "type", amount_types, HM_COUNT_OF(amount_types));
    else if (schema->type)
        put_type(json, schema->type, nullable);
    if (schema->format)
        json_out_put_text(json, "format", schema->format);
    if (schema->pattern)
        json_out_put_text(json, "pattern", schema->pattern);
    if (form == JSON_FORM_UINT)
        json_out_put_u64(json, "minimum", 0);
    if (form == JSON_FORM_KIND)
        put_names(json, &hypermesh__asset_kind__descriptor, 1);
    if (form == JSON_FORM_TOKEN)
        put_names(json, &hypermesh__token__descriptor, 0);
    if (form == JSON_FORM_PAIRS) {
        json_out_key(json, "additionalProperties");
        json_out_open(json, '{');
        json_out_put_text(json, "type", "string");
        json_out_close(json, '}');
    }
}

static void put_about(struct json_out *json, const char *about)
{
    if (about && about[0] != '\0')
        json_out_put_text(json, "description", about);
}

void api_schema_value(struct json_out *json, enum json_form form, const char *about, unsigned flags)
{
    bool nullable = (flags & API_NULLABLE) != 0;

    json_out_open(json, '{');
    put_about(json, about);
    if ((flags & API_LIST) != 0) {
        put_type(json, "array", nullable);
        json_out_key(json, "items");
        json_out_open(json, '{');
        put_form(json, form, false);
        json_out_close(json, '}');
    } else {
        put_form(json, form, nullable);
    }
    json_out_close(json, '}');
}

static void put_reference(struct json_out *json, const char *name)
{
    char text[96];

    (void)snprintf(text, sizeof(text), "#/components/schemas/%s", name);
    json_out_open(json, '{');
    json_out_put_text(json, "$ref", text);
    json_out_close(json, '}');
}

/* A reference, or a list of them, or either with null. */
static void put_object(struct json_out *json, const char *name, const char *about, unsigned flags)
{
    json_out_open(json, '{');
    put_about(json, about);
    if ((flags & API_LIST) != 0) {
        put_type(json, "array", (flags & API_NULLABLE) != 0);
        json_out_key(json, "items");
        put_reference(json, name);
    } else {
        json_out_key(json, "anyOf");
        json_out_open(json, '[');
        put_reference(json, name);
        if ((flags & API_NULLABLE) != 0) {
            json_out_open(json, '{');
            json_out_put_text(json, "type", "null");
            json_out_close(json, '}');
        }
        json_out_close(json, ']');
    }
    json_out_close(json, '}');
}

/* "share" and "share_ppm", "duration" and "duration_ms". */
static bool has_number_name(enum json_form form)
{
    return form == JSON_FORM_SHARE || form == JSON_FORM_PART || form == JSON_FORM_DURATION;
}

static void put_row(struct json_out *json, const struct api_field *row, bool request)
{
    char number[80];

    json_out_key(json, row->name);
    if (row->form == JSON_FORM_OBJECT && (row->fields || row->message))
        put_object(json, row->fields ? row->fields->name : row->message->short_name, row->about,
                   row->flags);
    else
        api_schema_value(json, row->form, row->about, row->flags);
    if (request && has_number_name(row->form)) {
        bool time = row->form == JSON_FORM_DURATION;

        (void)snprintf(number, sizeof(number), "%s_%s", row->name, time ? "ms" : "ppm");
        json_out_key(json, number);
        api_schema_value(json, JSON_FORM_UINT,
                         time ? "the same in milliseconds" : "the same in parts per million", 0);
    }
}

static bool row_replaces(const struct api_fields *fields, const char *name)
{
    for (size_t i = 0; fields && i < fields->count; i++) {
        if (strcmp(fields->rows[i].name, name) == 0)
            return true;
    }
    return false;
}

/* An enum's name; 0, which proto3 calls not set, is shown too. */
static void put_enum(struct json_out *json, const ProtobufCEnumDescriptor *names)
{
    json_out_open(json, '{');
    put_type(json, "string", false);
    put_names(json, names, 0);
    json_out_close(json, '}');
}

static void put_message_field(struct json_out *json, const ProtobufCMessageDescriptor *message,
                              const ProtobufCFieldDescriptor *field)
{
    enum json_form form = json_message_form(message, field);
    unsigned flags = field->label == PROTOBUF_C_LABEL_REPEATED && form != JSON_FORM_PAIRS ? API_LIST
                                                                                          : 0;
    const ProtobufCMessageDescriptor *inner = field->descriptor;

    json_out_key(json, json_message_name(message, field));
    if (form == JSON_FORM_OBJECT)
        put_object(json, inner->short_name, NULL, flags);
    else if (field->type == PROTOBUF_C_TYPE_ENUM)
        put_enum(json, field->descriptor);
    else
        api_schema_value(json, form, NULL, flags);
}

static void put_message_fields(struct json_out *json, const ProtobufCMessageDescriptor *message,
                               const struct api_fields *replaced)
{
    for (unsigned i = 0; message && i < message->n_fields; i++) {
        if (!row_replaces(replaced, message->fields[i].name))
            put_message_field(json, message, &message->fields[i]);
    }
}

/* Names that are always there: all but messages that may be unset. */
static void put_message_required(struct json_out *json, const ProtobufCMessageDescriptor *message,
                                 const struct api_fields *replaced)
{
    for (unsigned i = 0; message && i < message->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->fields[i];

        if ((field->type != PROTOBUF_C_TYPE_MESSAGE || field->label == PROTOBUF_C_LABEL_REPEATED) &&
            !row_replaces(replaced, field->name))
            json_out_text(json, json_message_name(message, field));
    }
}

void api_schema_fields(struct json_out *json, const struct api_fields *fields, bool request)
{
    json_out_open(json, '{');
    json_out_put_text(json, "type", "object");
    json_out_key(json, "properties");
    json_out_open(json, '{');
    put_message_fields(json, fields->message, fields);
    for (size_t i = 0; i < fields->count; i++)
        put_row(json, &fields->rows[i], request);
    json_out_close(json, '}');
    json_out_key(json, "required");
    json_out_open(json, '[');
    put_message_required(json, fields->message, fields);
    for (size_t i = 0; i < fields->count; i++) {
        const struct api_field *row = &fields->rows[i];
        bool two_names = request && has_number_name(row->form);

        if ((row->flags & API_REQUIRED) != 0 && !two_names)
            json_out_text(json, row->name);
    }
    json_out_close(json, ']');
    json_out_put_bool(json, "additionalProperties", false);
    json_out_close(json, '}');
}

/* An operation shows its name and the fields of whichever kind it is. */
static void put_operation(struct json_out *json)
{
    json_out_open(json, '{');
    json_out_put_text(json, "type", "object");
    json_out_put_text(json, "description",
                      "One operation: op is its name; the other fields are those of its kind.");
    json_out_key(json, "properties");
    json_out_open(json, '{');
    json_out_key(json, "op");
    api_schema_value(json, JSON_FORM_TEXT, NULL, 0);
    json_out_close(json, '}');
    json_out_key(json, "required");
    json_out_open(json, '[');
    json_out_text(json, "op");
    json_out_close(json, ']');
    json_out_close(json, '}');
}

void api_schema_message(struct json_out *json, const ProtobufCMessageDescriptor *message)
{
    struct api_fields plain = {.message = message};

    if (message == &hypermesh__operation__descriptor)
        put_operation(json);
    else
        api_schema_fields(json, &plain, false);
}
