/* /openapi.json: OpenAPI 3.1, from the tables of routes and fields. */
#include "api_core.h"
#include "api_fresh.h"
#include "api_guard.h"
#include "api_tables.h"

#define SCHEMAS_MAX 256

/* Schemas that something refers to, each once, found by following references. */
struct schemas {
    const struct api_fields *fields[SCHEMAS_MAX];
    const ProtobufCMessageDescriptor *messages[SCHEMAS_MAX];
    bool request[SCHEMAS_MAX];
    size_t count;
};

static const char *schema_name(const struct schemas *schemas, size_t at)
{
    return schemas->fields[at] ? schemas->fields[at]->name : schemas->messages[at]->short_name;
}

static void schemas_add(struct schemas *schemas, const struct api_fields *fields,
                        const ProtobufCMessageDescriptor *message, bool request)
{
    const char *name = fields ? fields->name : message->short_name;

    for (size_t i = 0; i < schemas->count; i++) {
        if (strcmp(schema_name(schemas, i), name) == 0)
            return;
    }
    if (schemas->count == SCHEMAS_MAX)
        return;
    schemas->fields[schemas->count] = fields;
    schemas->messages[schemas->count] = fields ? NULL : message;
    schemas->request[schemas->count] = request;
    schemas->count++;
}

static void add_message_parts(struct schemas *schemas, const ProtobufCMessageDescriptor *message)
{
    if (message == &hypermesh__operation__descriptor)
        return;
    for (unsigned i = 0; i < message->n_fields; i++) {
        if (json_message_form(message, &message->fields[i]) == JSON_FORM_OBJECT)
            schemas_add(schemas, NULL, message->fields[i].descriptor, false);
    }
}

static void add_parts(struct schemas *schemas, size_t at)
{
    const struct api_fields *fields = schemas->fields[at];

    if (!fields) {
        add_message_parts(schemas, schemas->messages[at]);
        return;
    }
    if (fields->message)
        add_message_parts(schemas, fields->message);
    for (size_t i = 0; i < fields->count; i++) {
        const struct api_field *row = &fields->rows[i];

        if (row->form == JSON_FORM_OBJECT && (row->fields || row->message))
            schemas_add(schemas, row->fields, row->message, schemas->request[at]);
    }
}

static void collect(struct schemas *schemas)
{
    schemas_add(schemas, &api_answer_problem, NULL, false);
    for (size_t i = 0; i < api_route_count; i++) {
        if (api_routes[i].body)
            schemas_add(schemas, api_routes[i].body, NULL, true);
        if (api_routes[i].answer)
            schemas_add(schemas, api_routes[i].answer, NULL, false);
    }
    for (size_t i = 0; i < schemas->count; i++)
        add_parts(schemas, i);
}

static void put_reference(struct json_out *json, const char *kind, const char *name)
{
    char text[96];

    (void)snprintf(text, sizeof(text), "#/components/%s/%s", kind, name);
    json_out_open(json, '{');
    json_out_put_text(json, "$ref", text);
    json_out_close(json, '}');
}

/* {"MEDIA/TYPE": {"schema": ...}}; without a schema: any bytes. */
static void put_media(struct json_out *json, const char *media_type, const char *schema)
{
    char plain[64];

    (void)snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(media_type, ";"), media_type);
    json_out_text_key(json, plain);
    json_out_open(json, '{');
    if (schema) {
        json_out_key(json, "schema");
        put_reference(json, "schemas", schema);
    }
    json_out_close(json, '}');
}

static void put_parameter(struct json_out *json, const char *name, const char *in,
                          enum json_form form, const char *about, bool required)
{
    json_out_open(json, '{');
    json_out_put_text(json, "name", name);
    json_out_put_text(json, "in", in);
    json_out_put_bool(json, "required", required);
    json_out_key(json, "schema");
    api_schema_value(json, form, about, 0);
    json_out_close(json, '}');
}

static void put_path_parameter(struct json_out *json, const char *pattern)
{
    const char *open = strchr(pattern, '{');
    char name[32];

    if (!open)
        return;
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(open + 1, "}"), open + 1);
    put_parameter(json, name, "path", api_param_form(name, strlen(name)), NULL, true);
}

static void put_header_parameters(struct json_out *json, const struct api_route *route)
{
    bool acts = api_method_acts(route->method) && (route->flags & API_QUICK) == 0;

    if (acts)
        put_parameter(json, "Idempotency-Key", "header", JSON_FORM_TEXT,
                      "1 to 128 printable characters: the request is done once, whoever repeats it",
                      false);
    if (acts && api_guard_fits(route))
        put_parameter(json, "If-Match", "header", JSON_FORM_TEXT,
                      "ETags of the thing: it is changed only if it is as one of them says", false);
    if ((route->flags & API_TAGGED) != 0)
        put_parameter(json, "If-None-Match", "header", JSON_FORM_TEXT,
                      "ETags: 304 when the thing is as one of them says", false);
}

static void put_query_parameters(struct json_out *json, const struct api_fields *query)
{
    for (size_t i = 0; query && i < query->count; i++) {
        const struct api_field *row = &query->rows[i];

        put_parameter(json, row->name, "query", row->form, row->about,
                      (row->flags & API_REQUIRED) != 0);
    }
}

static void put_parameters(struct json_out *json, const struct api_route *route)
{
    json_out_key(json, "parameters");
    json_out_open(json, '[');
    put_path_parameter(json, route->pattern);
    put_query_parameters(json, route->query);
    if ((route->flags & API_LEDGER) != 0)
        put_query_parameters(json, &api_query_fresh);
    put_header_parameters(json, route);
    json_out_close(json, ']');
}

static void put_body(struct json_out *json, const struct api_route *route)
{
    if (route->body_kind == API_BODY_NONE)
        return;
    json_out_key(json, "requestBody");
    json_out_open(json, '{');
    if (route->body_kind == API_BODY_JOB)
        json_out_put_text(json, "description",
                          "A job specification; docs/job-spec.md lists its fields.");
    json_out_put_bool(json, "required", true);
    json_out_key(json, "content");
    json_out_open(json, '{');
    if (route->body_kind == API_BODY_JSON || route->body_kind == API_BODY_TREE ||
        route->body_kind == API_BODY_LOOSE) {
        put_media(json, "application/json", route->body ? route->body->name : NULL);
    } else if (route->body_kind == API_BODY_JOB) {
        put_media(json, "application/yaml", NULL);
        put_media(json, "application/json", NULL);
    } else {
        put_media(json, "application/octet-stream", NULL);
    }
    json_out_close(json, '}');
    json_out_close(json, '}');
}

/* What api_visit.c adds to answers that read the ledger. */
static void put_fresh_headers(struct json_out *json)
{
    static const char *const headers[][2] = {
        {"X-HyperMesh-Height", "The answer shows the ledger after this block, or a later one."},
        {"X-HyperMesh-Block-Time", "That block's time, in milliseconds since 1970."},
        {"X-HyperMesh-Block-Age", "Milliseconds since then, by the node's clock."}};

    json_out_key(json, "headers");
    json_out_open(json, '{');
    for (size_t i = 0; i < HM_COUNT_OF(headers); i++) {
        json_out_key(json, headers[i][0]);
        json_out_open(json, '{');
        json_out_put_text(json, "description", headers[i][1]);
        json_out_key(json, "schema");
        api_schema_value(json, JSON_FORM_UINT, NULL, 0);
        json_out_close(json, '}');
    }
    json_out_close(json, '}');
}

static void put_responses(struct json_out *json, const struct api_route *route)
{
    char status[8];

    (void)snprintf(status, sizeof(status), "%u", route->status % 1000);
    json_out_key(json, "responses");
    json_out_open(json, '{');
    json_out_key(json, status);
    json_out_open(json, '{');
    json_out_put_text(json, "description", route->summary);
    if ((route->flags & API_LEDGER) != 0)
        put_fresh_headers(json);
    json_out_key(json, "content");
    json_out_open(json, '{');
    put_media(json, route->media_type ? route->media_type : "application/json",
              route->answer ? route->answer->name : NULL);
    json_out_close(json, '}');
    json_out_close(json, '}');
    json_out_key(json, "default");
    put_reference(json, "responses", "Problem");
    json_out_close(json, '}');
}

static void put_operation(struct json_out *json, const struct api_route *route)
{
    char method[8] = "";

    for (size_t i = 0; i < sizeof(method) - 1 && route->method[i] != '\0'; i++)
        method[i] = (char)(route->method[i] - 'A' + 'a');
    json_out_key(json, method);
    json_out_open(json, '{');
    json_out_put_text(json, "operationId", route->id);
    json_out_put_text(json, "summary", route->summary);
    if ((route->flags & API_OPEN) != 0) {
        json_out_key(json, "security");
        json_out_open(json, '[');
        json_out_close(json, ']');
    }
    put_parameters(json, route);
    put_body(json, route);
    put_responses(json, route);
    json_out_close(json, '}');
}

static bool path_is_new(size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(api_routes[i].pattern, api_routes[at].pattern) == 0)
            return false;
    }
    return true;
}

static void put_paths(struct json_out *json)
{
    json_out_key(json, "paths");
    json_out_open(json, '{');
    for (size_t i = 0; i < api_route_count; i++) {
        if (!path_is_new(i))
            continue;
        json_out_key(json, api_routes[i].pattern);
        json_out_open(json, '{');
        for (size_t k = i; k < api_route_count; k++) {
            if (strcmp(api_routes[k].pattern, api_routes[i].pattern) == 0)
                put_operation(json, &api_routes[k]);
        }
        json_out_close(json, '}');
    }
    json_out_close(json, '}');
}

static void put_schemas(struct json_out *json)
{
    struct schemas schemas = {0};

    collect(&schemas);
    json_out_key(json, "schemas");
    json_out_open(json, '{');
    for (size_t i = 0; i < schemas.count; i++) {
        json_out_key(json, schema_name(&schemas, i));
        if (schemas.fields[i])
            api_schema_fields(json, schemas.fields[i], schemas.request[i]);
        else
            api_schema_message(json, schemas.messages[i]);
    }
    json_out_close(json, '}');
}

static void put_components(struct json_out *json)
{
    json_out_key(json, "components");
    json_out_open(json, '{');
    json_out_key(json, "securitySchemes");
    json_out_open(json, '{');
    json_out_key(json, "token");
    json_out_open(json, '{');
    json_out_put_text(json, "type", "http");
    json_out_put_text(json, "scheme", "bearer");
    json_out_put_text(json, "description",
                      "Content of the node's api.token file. The unix socket needs none.");
    json_out_close(json, '}');
    json_out_close(json, '}');
    json_out_key(json, "responses");
    json_out_open(json, '{');
    json_out_key(json, "Problem");
    json_out_open(json, '{');
    json_out_put_text(json, "description", "What went wrong (RFC 9457).");
    json_out_key(json, "content");
    json_out_open(json, '{');
    put_media(json, "application/problem+json", "Problem");
    json_out_close(json, '}');
    json_out_close(json, '}');
    json_out_close(json, '}');
    put_schemas(json);
    json_out_close(json, '}');
}

static void put_info(struct json_out *json)
{
    json_out_key(json, "info");
    json_out_open(json, '{');
    json_out_put_text(json, "title", "HyperMesh node");
    json_out_put_text(json, "version", HM_VERSION);
    json_out_put_text(json, "description",
                      "Amounts are decimal text in whole tokens, ids are text (hm1..., asset1..., "
                      "lease1...), other "
                      "bytes are hexadecimal, times end in _ms (milliseconds since 1970).");
    json_out_key(json, "license");
    json_out_open(json, '{');
    json_out_put_text(json, "name", "Apache-2.0");
    json_out_put_text(json, "identifier", "Apache-2.0");
    json_out_close(json, '}');
    json_out_close(json, '}');
}

int api_openapi_write(struct hm_buf *out)
{
    struct json_out json = {.out = out};

    json_out_open(&json, '{');
    json_out_put_text(&json, "openapi", "3.1.0");
    put_info(&json);
    json_out_key(&json, "servers");
    json_out_open(&json, '[');
    json_out_open(&json, '{');
    json_out_put_text(&json, "url", "http://127.0.0.1:7470");
    json_out_close(&json, '}');
    json_out_close(&json, ']');
    json_out_key(&json, "security");
    json_out_open(&json, '[');
    json_out_open(&json, '{');
    json_out_key(&json, "token");
    json_out_open(&json, '[');
    json_out_close(&json, ']');
    json_out_close(&json, '}');
    json_out_close(&json, ']');
    put_paths(&json);
    put_components(&json);
    json_out_close(&json, '}');
    return json.error;
}
