#include "runtime_json.h"

int runtime_json_parse(struct hm_slice bytes, const char *what, json_type type, json_t **out,
                       struct hm_error *error)
{
    json_error_t problem;
    json_t *json;
    int rc;

    if (bytes.len > RUNTIME_JSON_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "%s is larger than %zu bytes", what,
                       RUNTIME_JSON_MAX_BYTES);
    if (!hm_json_is_within(bytes, RUNTIME_JSON_MAX_DEPTH))
        return hm_fail(error, HM_ELIMIT, "%s is nested deeper than %d", what,
                       RUNTIME_JSON_MAX_DEPTH);
    rc = hm_json_parse(bytes, JSON_REJECT_DUPLICATES, &json, &problem);
    if (rc == HM_ENOMEM)
        return hm_fail(error, rc, "no memory to read %s", what);
    if (rc != 0)
        return hm_fail(error, rc, "%s is not JSON: line %d: %s", what, problem.line, problem.text);
    if (json_typeof(json) != type) {
        json_decref(json);
        return hm_fail(error, HM_EPARSE, "%s is not a JSON %s", what,
                       type == JSON_ARRAY ? "array" : "object");
    }
    *out = json;
    return 0;
}

int runtime_json_read(const char *path, json_t **out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    int rc = hm_file_read(path, RUNTIME_JSON_MAX_BYTES, &text, error);

    return rc != 0 ? rc : runtime_json_parse(hm_buf_slice(&text), path, JSON_OBJECT, out, error);
}

struct json_sink {
    struct hm_buf *out;
    int rc; /* the first failure: jansson goes on after some, and would leave a hole */
};

static int json_put(const char *text, size_t len, void *ctx)
{
    struct json_sink *sink = ctx;

    if (sink->rc == 0)
        sink->rc = hm_buf_append(sink->out, text, len);
    return sink->rc;
}

int runtime_json_write(const json_t *json, struct hm_buf *out, struct hm_error *error)
{
    struct json_sink sink = {.out = out};
    size_t before = out->len;

    if (json != NULL &&
        json_dump_callback(json, json_put, &sink, JSON_COMPACT | JSON_SORT_KEYS) == 0 &&
        sink.rc == 0)
        return 0;
    out->len = before;
    return hm_fail(error, HM_ENOMEM, "no memory to write JSON");
}

const char *runtime_json_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}
