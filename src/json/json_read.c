#include "json.h"

#define FAULT_CHARS 120

void json_release(json_t **value)
{
    if (*value)
        json_decref(*value);
    *value = NULL;
}

/* jansson nests as deep as the text does; this keeps its stack small whatever comes. */
static int check_depth(struct hm_slice text, unsigned most, struct hm_error *error)
{
    unsigned depth = 0;
    bool in_text = false;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (in_text) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_text = false;
        } else if (c == '"') {
            in_text = true;
        } else if ((c == '{' || c == '[') && ++depth > most) {
            return hm_fail(error, HM_EPARSE, "JSON is nested deeper than %u", most);
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return 0;
}

int json_read(struct hm_slice text, unsigned depth, const char *what, json_t **out,
              struct hm_error *error)
{
    json_error_t fault;
    json_t *root;
    int rc = check_depth(text, depth, error);

    if (rc)
        return rc;
    root = json_loadb((const char *)(text.data ? text.data : (const uint8_t *)""), text.len,
                      JSON_REJECT_DUPLICATES, &fault);
    if (!root)
        return hm_fail(error, HM_EPARSE, "%s is not valid JSON: line %d, column %d: %.*s", what,
                       fault.line, fault.column, FAULT_CHARS, fault.text);
    if (!json_is_object(root)) {
        json_decref(root);
        return hm_fail(error, HM_EINVAL, "%s must be a JSON object", what);
    }
    *out = root;
    return 0;
}
