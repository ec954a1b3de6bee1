#include "runtime_json.h"

static bool json_too_deep(struct hm_slice bytes)
{
    size_t depth = 0;
    bool in_text = false;

    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.data[i];

        if (in_text) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_text = false;
        } else if (c == '"') {
            in_text = true;
        } else if (c == '{' || c == '[') {
            if (++depth > RUNTIME_JSON_MAX_DEPTH)
                return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

int runtime_json_parse(struct hm_slice bytes, const char *what, json_type type, json_t **out,
                       struct hm_error *error)
{
    json_error_t problem;
    json_t *json;

    if (bytes.len > RUNTIME_JSON_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "%s is larger than %zu bytes", what,
                       RUNTIME_JSON_MAX_BYTES);
    if (json_too_deep(bytes))
        return hm_fail(error, HM_ELIMIT, "%s is nested deeper than %d", what,
                       RUNTIME_JSON_MAX_DEPTH);
    json = json_loadb(bytes.len > 0 ? (const char *)bytes.data : "", bytes.len,
                      JSON_REJECT_DUPLICATES, &problem);
    if (json == NULL)
        return hm_fail(error, HM_EPARSE, "%s is not JSON: line %d: %s", what, problem.line,
                       problem.text);
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

int runtime_json_write(const json_t *json, struct hm_buf *out, struct hm_error *error)
{
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    int rc = text != NULL ? hm_buf_append_str(out, text) : HM_ENOMEM;

    free(text);
    return rc != 0 ? hm_fail(error, rc, "no memory to write JSON") : 0;
}

const char *runtime_json_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}
