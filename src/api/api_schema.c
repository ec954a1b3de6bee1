/* JSON Schema of the same tables that requests are parsed with and answers are written from. */
#include "api_message.h"

struct form_schema {
    const char *type;
    const char *format; /* or NULL */
    const char *pattern; /* or NULL */
};

#define HEX_PATTERN "^([0-9a-f]{2})*$"

/* Answers show ids that are not there yet as "". */
static const struct form_schema form_schemas[] = {
    [API_TEXT] = {"string", NULL, NULL},
    [API_BOOL] = {"boolean", NULL, NULL},
    [API_UINT] = {"integer", "uint64", NULL},
    [API_INT] = {"integer", "int64", NULL},
    [API_MONEY] = {"string", NULL, "^[0-9]+(\\.[0-9]{1,9})?$"},
    [API_SHARE] = {"string", NULL, "^[0-9]+(\\.[0-9]{1,4})?%$"},
    [API_DURATION] = {"string", NULL, "^([0-9]+(d|h|m|s|ms))+$"},
    [API_AMOUNT] = {NULL, NULL, NULL},
    [API_ACCOUNT] = {"string", NULL, NULL},
    [API_ASSET] = {"string", NULL, "^(asset1[a-z0-9]+)?$"},
    [API_LEASE] = {"string", NULL, "^(lease1[a-z0-9]+)?$"},
    [API_DIGEST] = {"string", NULL, "^[0-9a-f]{64}$"},
    [API_HEX] = {"string", NULL, HEX_PATTERN},
    [API_BASE64] = {"string", NULL, "^[A-Za-z0-9+/]*={0,2}$"},
    [API_KIND] = {"string", NULL, NULL},
    [API_TOKEN] = {"string", NULL, NULL},
    [API_LEVEL] = {"string", NULL, NULL},
    [API_PAIRS] = {"object", NULL, NULL},
    [API_OBJECT] = {"object", NULL, NULL},
    [API_ANY] = {NULL, NULL, NULL},
};

static void put_type(struct api_json *json, const char *type, bool nullable)
{
    api_json_key(json, "type");
    if (!nullable) {
        api_json_text(json, type);
        return;
    }
    api_json_open(json, '[');
    api_json_text(json, type);
    api_json_text(json, "null");
    api_json_close(json, ']');
}

static void put_text_list(struct api_json *json, const char *name, const char *const *texts,
                          size_t count)
{
    api_json_key(json, name);
    api_json_open(json, '[');
    for (size_t i = 0; i < count; i++)
        api_json_text(json, texts[i]);
    api_json_close(json, ']');
}

/* Names of an enum's values, from value number `first` on. */
static void put_names(struct api_json *json, const ProtobufCEnumDescriptor *names, unsigned first)
{
    api_json_key(json, "enum");
    api_json_open(json, '[');
    for (unsigned i = first; i < names->n_values; i++)
        api_json_text(json, api_enum_name(names, names->values[i].value));
    api_json_close(json, ']');
}

/* The body of a schema object that is already open. */
static void put_form(struct api_json *json, enum api_form form, bool nullable)
{
    const struct form_schema *schema = &form_schemas[form];
    static const char *const amount_types[] = {"integer", "string"};

    if (form == API_AMOUNT)
        put_text_list(json, "type", amount_types, HM_COUNT_OF(amount_types));
    else if (schema->type)
        put_type(json, schema->type, nullable);
    if (schema->format)
        api_json_put_text(json, "format", schema->format);
    if (schema->pattern)
        api_json_put_text(json, "pattern", schema->pattern);
    if (form == API_UINT)
        api_json_put_u64(json, "minimum", 0);
    if (form == API_KIND)
        put_names(json, &hypermesh__asset_kind__descriptor, 1);
    if (form == API_TOKEN)
        put_names(json, &hypermesh__token__descriptor, 0);
    if (form == API_PAIRS) {
        api_json_key(json, "additionalProperties");
        api_json_open(json, '{');
        api_json_put_text(json, "type", "string");
        api_json_close(json, '}');
    }
}

static void put_about(struct api_json *json, const char *about)
{
    if (about && about[0] != '\0')
        api_json_put_text(json, "description", about);
}

void api_schema_value(struct api_json *json, enum api_form form, const char *about, unsigned flags)
{
    bool nullable = (flags & API_NULLABLE) != 0;

    api_json_open(json, '{');
    put_about(json, about);
    if ((flags & API_LIST) != 0) {
        put_type(json, "array", nullable);
        api_json_key(json, "items");
        api_json_open(json, '{');
        put_form(json, form, false);
        api_json_close(json, '}');
    } else {
        put_form(json, form, nullable);
    }
    api_json_close(json, '}');
}

static void put_reference(struct api_json *json, const char *name)
{
    char text[96];

    (void)snprintf(text, sizeof(text), "#/components/schemas/%s", name);
    api_json_open(json, '{');
    api_json_put_text(json, "$ref", text);
    api_json_close(json, '}');
}

/* A reference, or a list of them, or either with null. */
static void put_object(struct api_json *json, const char *name, const char *about, unsigned flags)
{
    api_json_open(json, '{');
    put_about(json, about);
    if ((flags & API_LIST) != 0) {
        put_type(json, "array", (flags & API_NULLABLE) != 0);
        api_json_key(json, "items");
        put_reference(json, name);
    } else {
        api_json_key(json, "anyOf");
        api_json_open(json, '[');
        put_reference(json, name);
        if ((flags & API_NULLABLE) != 0) {
            api_json_open(json, '{');
            api_json_put_text(json, "type", "null");
            api_json_close(json, '}');
        }
        api_json_close(json, ']');
    }
    api_json_close(json, '}');
}

static void put_row(struct api_json *json, const struct api_field *row, bool request)
{
    char number[80];

    api_json_key(json, row->name);
    if (row->form == API_OBJECT && (row->fields || row->message))
        put_object(json, row->fields ? row->fields->name : row->message->short_name, row->about,
                   row->flags);
    else
        api_schema_value(json, row->form, row->about, row->flags);
    if (request && (row->form == API_SHARE || row->form == API_DURATION)) {
        (void)snprintf(number, sizeof(number), "%s_%s", row->name,
                       row->form == API_SHARE ? "ppm" : "ms");
        api_json_key(json, number);
        api_schema_value(json, API_UINT,
                         row->form == API_SHARE ? "the same in parts per million"
                                                : "the same in milliseconds",
                         0);
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
static void put_enum(struct api_json *json, const ProtobufCEnumDescriptor *names)
{
    api_json_open(json, '{');
    put_type(json, "string", false);
    put_names(json, names, 0);
    api_json_close(json, '}');
}

static void put_message_field(struct api_json *json, const ProtobufCMessageDescriptor *message,
                              const ProtobufCFieldDescriptor *field)
{
    enum api_form form = api_message_form(message, field);
    unsigned flags = field->label == PROTOBUF_C_LABEL_REPEATED && form != API_PAIRS ? API_LIST : 0;
    const ProtobufCMessageDescriptor *inner = field->descriptor;

    api_json_key(json, field->name);
    if (form == API_OBJECT)
        put_object(json, inner->short_name, NULL, flags);
    else if (field->type == PROTOBUF_C_TYPE_ENUM)
        put_enum(json, field->descriptor);
    else
        api_schema_value(json, form, NULL, flags);
}

static void put_message_fields(struct api_json *json, const ProtobufCMessageDescriptor *message,
                               const struct api_fields *replaced)
{
    for (unsigned i = 0; message && i < message->n_fields; i++) {
        if (!row_replaces(replaced, message->fields[i].name))
            put_message_field(json, message, &message->fields[i]);
    }
}

/* Names that are always there: all but messages that may be unset. */
static void put_message_required(struct api_json *json, const ProtobufCMessageDescriptor *message,
                                 const struct api_fields *replaced)
{
    for (unsigned i = 0; message && i < message->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->fields[i];

        if ((field->type != PROTOBUF_C_TYPE_MESSAGE || field->label == PROTOBUF_C_LABEL_REPEATED) &&
            !row_replaces(replaced, field->name))
            api_json_text(json, field->name);
    }
}

void api_schema_fields(struct api_json *json, const struct api_fields *fields, bool request)
{
    api_json_open(json, '{');
    api_json_put_text(json, "type", "object");
    api_json_key(json, "properties");
    api_json_open(json, '{');
    put_message_fields(json, fields->message, fields);
    for (size_t i = 0; i < fields->count; i++)
        put_row(json, &fields->rows[i], request);
    api_json_close(json, '}');
    api_json_key(json, "required");
    api_json_open(json, '[');
    put_message_required(json, fields->message, fields);
    for (size_t i = 0; i < fields->count; i++) {
        const struct api_field *row = &fields->rows[i];
        bool two_names = request && (row->form == API_SHARE || row->form == API_DURATION);

        if ((row->flags & API_REQUIRED) != 0 && !two_names)
            api_json_text(json, row->name);
    }
    api_json_close(json, ']');
    api_json_put_bool(json, "additionalProperties", false);
    api_json_close(json, '}');
}

/* An operation shows its name and the fields of whichever kind it is. */
static void put_operation(struct api_json *json)
{
    api_json_open(json, '{');
    api_json_put_text(json, "type", "object");
    api_json_put_text(json, "description",
                      "One operation: op is its name; the other fields are those of its kind.");
    api_json_key(json, "properties");
    api_json_open(json, '{');
    api_json_key(json, "op");
    api_schema_value(json, API_TEXT, NULL, 0);
    api_json_close(json, '}');
    api_json_key(json, "required");
    api_json_open(json, '[');
    api_json_text(json, "op");
    api_json_close(json, ']');
    api_json_close(json, '}');
}

void api_schema_message(struct api_json *json, const ProtobufCMessageDescriptor *message)
{
    struct api_fields plain = {.message = message};

    if (message == &hypermesh__operation__descriptor)
        put_operation(json);
    else
        api_schema_fields(json, &plain, false);
}
