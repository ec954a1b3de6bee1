/* etcd's requests, as grpc-gateway reads them. */
#include <errno.h>
#include <stdlib.h>

#include "api_etcd.h"

#define NAME_CHARS 40

static const char *const sort_orders[] = {"NONE", "ASCEND", "DESCEND"};
static const char *const sort_targets[] = {"KEY", "VERSION", "CREATE", "MOD", "VALUE"};

/* A zero byte is none, though strchr would find it. */
static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int api_etcd_read_next(struct hm_slice *body, json_t **out, struct hm_error *error)
{
    struct hm_slice rest = *body;
    json_error_t fault;
    unsigned depth = 0;
    bool in_text = false;
    size_t at = 0;
    int rc;

    *out = NULL;
    while (rest.len > 0 && is_blank(rest.data[0])) {
        rest.data++;
        rest.len--;
    }
    if (rest.len == 0)
        return 0;
    /* Where the object ends, and that it is not too deep for a recursive reader. */
    for (at = 0; at < rest.len; at++) {
        uint8_t c = rest.data[at];

        if (in_text) {
            at += c == '\\';
            in_text = c != '"';
            continue;
        }
        in_text = c == '"';
        if ((c == '{' || c == '[') && ++depth > API_KV_JSON_DEPTH_MAX)
            return hm_fail(error, HM_EPARSE, "JSON is nested deeper than %d",
                           API_KV_JSON_DEPTH_MAX);
        if ((c == '}' || c == ']') && (depth == 0 || --depth == 0))
            break;
    }
    if (at >= rest.len)
        return hm_fail(error, HM_EPARSE, "unexpected EOF");
    rc = hm_json_parse(hm_slice_of(rest.data, at + 1), 0, out, &fault);
    if (rc == HM_ENOMEM)
        return api_no_memory(error);
    if (rc)
        return hm_fail(error, rc, "the body is not valid JSON: column %d: %.120s", fault.column,
                       fault.text);
    if (!json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        return hm_fail(error, HM_EPARSE, "json: the body must be an object");
    }
    *body = hm_slice_of(rest.data + at + 1, rest.len - at - 1);
    return 0;
}

int api_etcd_read(struct api_call *call, json_t **out, struct hm_error *error)
{
    struct hm_slice body = call->request->body;
    int rc = api_etcd_read_next(&body, out, error);

    if (rc == 0 && !*out)
        *out = json_object();
    return rc || *out ? rc : api_no_memory(error);
}

const json_t *api_etcd_field(const json_t *from, const char *name)
{
    const json_t *value = json_object_get(from, name);
    char camel[NAME_CHARS];
    size_t used = 0;

    for (size_t i = 0; name[i] != '\0' && used < sizeof(camel) - 1; i++) {
        bool upper = name[i] == '_' && name[i + 1] >= 'a' && name[i + 1] <= 'z';

        i += upper;
        camel[used++] = (char)(upper ? name[i] - 'a' + 'A' : name[i]);
    }
    camel[used] = '\0';
    if (!value || json_is_null(value))
        value = json_object_get(from, camel);
    return value && !json_is_null(value) ? value : NULL;
}

int api_etcd_bytes(const json_t *from, const char *name, struct hm_arena *arena,
                   ProtobufCBinaryData *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf decoded = {0};
    const json_t *value = api_etcd_field(from, name);
    const void *copy;
    int rc;

    if (!value)
        return 0;
    if (!json_is_string(value))
        return hm_fail(error, HM_EPARSE, "json: %s must be text in base64", name);
    rc = hm_base64_decode(json_string_value(value), json_string_length(value), &decoded, NULL);
    if (rc)
        return rc == HM_ENOMEM ? api_no_memory(error)
                               : hm_fail(error, rc, "illegal base64 data in %s", name);
    copy = hm_arena_dup(arena, decoded.len > 0 ? decoded.data : (const uint8_t *)"",
                        decoded.len + (decoded.len == 0));
    if (!copy)
        return api_no_memory(error);
    *out = wire_bytes(copy, decoded.len);
    return 0;
}

static bool parse_i64(const char *text, int64_t *out)
{
    char *end = NULL;
    long long number;

    if (text[0] != '-' && (text[0] < '0' || text[0] > '9'))
        return false;
    errno = 0;
    number = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || end == text)
        return false;
    *out = number;
    return true;
}

int api_etcd_i64(const json_t *from, const char *name, int64_t *out, struct hm_error *error)
{
    const json_t *value = api_etcd_field(from, name);
    int64_t number = 0;

    if (!value)
        return 0;
    if (json_is_integer(value))
        number = json_integer_value(value);
    else if (!json_is_string(value) || !parse_i64(json_string_value(value), &number))
        return hm_fail(error, HM_EPARSE, "json: %s must be an int64", name);
    *out = number;
    return 0;
}

int api_etcd_bool(const json_t *from, const char *name, bool *out, struct hm_error *error)
{
    const json_t *value = api_etcd_field(from, name);

    if (!value)
        return 0;
    if (!json_is_boolean(value))
        return hm_fail(error, HM_EPARSE, "json: %s must be a bool", name);
    *out = json_is_true(value);
    return 0;
}

int api_etcd_enum_value(const json_t *value, const char *name, const char *const *names,
                        size_t count, int *out, struct hm_error *error)
{
    const char *text = json_string_value(value);

    if (json_is_integer(value)) {
        json_int_t number = json_integer_value(value);

        if (number < INT32_MIN || number > INT32_MAX)
            return hm_fail(error, HM_EPARSE, "json: %s must be an int32", name);
        *out = (int)number;
        return 0;
    }
    for (size_t i = 0; text && i < count; i++) {
        if (strcmp(names[i], text) == 0) {
            *out = (int)i;
            return 0;
        }
    }
    return hm_fail(error, HM_EPARSE, "unknown value \"%.40s\" for enum %s", text ? text : "", name);
}

int api_etcd_enum(const json_t *from, const char *name, const char *const *names, size_t count,
                  int *out, struct hm_error *error)
{
    const json_t *value = api_etcd_field(from, name);

    return value ? api_etcd_enum_value(value, name, names, count, out, error) : 0;
}

/* --- parts of several requests --------------------------------------------------------------------- */

static int check_key(ProtobufCBinaryData key, struct hm_error *error)
{
    return key.len > 0 ? 0 : hm_fail(error, HM_EINVAL, "etcdserver: key is not provided");
}

int api_etcd_range_read(const json_t *from, struct hm_arena *arena, struct api_etcd_range_ask *out,
                        struct hm_error *error)
{
    const struct {
        const char *name;
        int64_t *out;
    } numbers[] = {{"limit", &out->limit},
                   {"revision", &out->revision},
                   {"min_mod_revision", &out->min_mod},
                   {"max_mod_revision", &out->max_mod},
                   {"min_create_revision", &out->min_create},
                   {"max_create_revision", &out->max_create}};
    bool serializable = false; /* every read is of the newest state here */
    int rc = api_etcd_bytes(from, "key", arena, &out->key, error);

    if (rc == 0)
        rc = api_etcd_bytes(from, "range_end", arena, &out->range_end, error);
    for (size_t i = 0; i < HM_COUNT_OF(numbers) && rc == 0; i++)
        rc = api_etcd_i64(from, numbers[i].name, numbers[i].out, error);
    if (rc == 0)
        rc = api_etcd_enum(from, "sort_order", sort_orders, HM_COUNT_OF(sort_orders),
                           &out->sort_order, error);
    if (rc == 0)
        rc = api_etcd_enum(from, "sort_target", sort_targets, HM_COUNT_OF(sort_targets),
                           &out->sort_target, error);
    if (rc == 0)
        rc = api_etcd_bool(from, "serializable", &serializable, error);
    if (rc == 0)
        rc = api_etcd_bool(from, "keys_only", &out->keys_only, error);
    if (rc == 0)
        rc = api_etcd_bool(from, "count_only", &out->count_only, error);
    return rc ? rc : check_key(out->key, error);
}

int api_etcd_put_read(const json_t *from, struct hm_arena *arena, struct api_etcd_put_ask *out,
                      struct hm_error *error)
{
    bool ignore_value = false;
    bool ignore_lease = false;
    int64_t lease = 0;
    int rc;

    hypermesh__kv_put__init(&out->put);
    rc = api_etcd_bytes(from, "key", arena, &out->put.key, error);
    if (rc == 0)
        rc = api_etcd_bytes(from, "value", arena, &out->put.value, error);
    if (rc == 0)
        rc = api_etcd_i64(from, "lease", &lease, error);
    if (rc == 0)
        rc = api_etcd_bool(from, "prev_kv", &out->prev, error);
    if (rc == 0)
        rc = api_etcd_bool(from, "ignore_value", &ignore_value, error);
    if (rc == 0)
        rc = api_etcd_bool(from, "ignore_lease", &ignore_lease, error);
    if (rc == 0)
        rc = check_key(out->put.key, error);
    if (rc == 0 && ignore_value && out->put.value.len > 0)
        rc = hm_fail(error, HM_EINVAL, "etcdserver: value is provided");
    if (rc == 0 && ignore_lease && lease != 0)
        rc = hm_fail(error, HM_EINVAL, "etcdserver: lease is provided");
    out->put.lease = (uint64_t)lease;
    out->put.ignore_value = ignore_value;
    out->put.ignore_lease = ignore_lease;
    return rc;
}

int api_etcd_delete_read(const json_t *from, struct hm_arena *arena,
                         struct api_etcd_delete_ask *out, struct hm_error *error)
{
    int rc;

    hypermesh__kv_delete__init(&out->act);
    rc = api_etcd_bytes(from, "key", arena, &out->act.key, error);
    if (rc == 0)
        rc = api_etcd_bytes(from, "range_end", arena, &out->act.range_end, error);
    if (rc == 0)
        rc = api_etcd_bool(from, "prev_kv", &out->prev, error);
    return rc ? rc : check_key(out->act.key, error);
}

/* --- the commonest requests -------------------------------------------------------------------------- */

/* Takes what is in quotes at the front. False: there is none, or no end to it. */
static bool flat_text(struct hm_slice *rest, struct hm_slice *out)
{
    const uint8_t *end;

    if (rest->len == 0 || rest->data[0] != '"')
        return false;
    end = memchr(rest->data + 1, '"', rest->len - 1);
    if (!end)
        return false;
    *out = hm_slice_of(rest->data + 1, (size_t)(end - rest->data) - 1);
    rest->len -= (size_t)(end + 1 - rest->data);
    rest->data = end + 1;
    return true;
}

static bool flat_sign(struct hm_slice *rest, char sign)
{
    while (rest->len > 0 && is_blank(rest->data[0])) {
        rest->data++;
        rest->len--;
    }
    if (rest->len == 0 || rest->data[0] != (uint8_t)sign)
        return false;
    rest->data++;
    rest->len--;
    while (rest->len > 0 && is_blank(rest->data[0])) {
        rest->data++;
        rest->len--;
    }
    return true;
}

/* Base64 of the arena; what is not base64 (an escape, any other byte) is left to the JSON reader. */
static bool flat_decode(struct hm_slice text, struct hm_arena *arena, ProtobufCBinaryData *out)
{
    HM_CLEANUP(hm_buf) struct hm_buf decoded = {0};
    const void *copy;

    if (out->data || hm_base64_decode((const char *)text.data, text.len, &decoded, NULL))
        return false; /* twice is for the JSON reader, too */
    copy = hm_arena_dup(arena, decoded.len > 0 ? decoded.data : (const uint8_t *)"",
                        decoded.len + (decoded.len == 0));
    if (!copy)
        return false;
    *out = wire_bytes(copy, decoded.len);
    return true;
}

bool api_etcd_flat(struct hm_slice body, const char *other, struct hm_arena *arena,
                   ProtobufCBinaryData *key, ProtobufCBinaryData *value)
{
    ProtobufCBinaryData found[2] = {{0, NULL}, {0, NULL}};
    struct hm_slice rest = body;
    struct hm_slice name;
    struct hm_slice text;

    if (!flat_sign(&rest, '{'))
        return false;
    do {
        bool is_key;

        if (!flat_text(&rest, &name) || !flat_sign(&rest, ':') || !flat_text(&rest, &text))
            return false;
        is_key = hm_slice_equal(name, hm_slice_str("key"));
        if ((!is_key && !hm_slice_equal(name, hm_slice_str(other))) ||
            !flat_decode(text, arena, &found[is_key ? 0 : 1]))
            return false;
    } while (flat_sign(&rest, ','));
    if (!flat_sign(&rest, '}') || rest.len > 0 || found[0].len == 0)
        return false;
    *key = found[0];
    *value = found[1];
    return true;
}

int api_etcd_put_body(struct api_call *call, struct api_etcd_put_ask *out, struct hm_error *error)
{
    HM_CLEANUP(json) json_t *body = NULL;
    int rc;

    hypermesh__kv_put__init(&out->put);
    if (api_etcd_flat(call->request->body, "value", &call->arena, &out->put.key, &out->put.value))
        return 0;
    rc = api_etcd_read(call, &body, error);
    return rc ? rc : api_etcd_put_read(body, &call->arena, out, error);
}

int api_etcd_range_body(struct api_call *call, struct api_etcd_range_ask *out,
                        struct hm_error *error)
{
    HM_CLEANUP(json) json_t *body = NULL;
    int rc;

    if (api_etcd_flat(call->request->body, "range_end", &call->arena, &out->key, &out->range_end))
        return 0;
    rc = api_etcd_read(call, &body, error);
    return rc ? rc : api_etcd_range_read(body, &call->arena, out, error);
}
