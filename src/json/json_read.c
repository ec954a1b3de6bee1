#include "json.h"

#define FAULT_CHARS 120

void json_release(json_t **value)
{
    if (*value)
        json_decref(*value);
    *value = NULL;
}

int json_read(struct hm_slice text, unsigned depth, const char *what, json_t **out,
              struct hm_error *error)
{
    json_error_t fault;
    json_t *root;
    int rc;

    if (!hm_json_is_within(text, depth))
        return hm_fail(error, HM_EPARSE, "JSON is nested deeper than %u", depth);
    rc = hm_json_parse(text, JSON_REJECT_DUPLICATES, &root, &fault);
    if (rc == HM_ENOMEM)
        return hm_fail(error, rc, "no memory to read %s", what);
    if (rc)
        return hm_fail(error, rc, "%s is not valid JSON: line %d, column %d: %.*s", what,
                       fault.line, fault.column, FAULT_CHARS, fault.text);
    if (!json_is_object(root)) {
        json_decref(root);
        return hm_fail(error, HM_EINVAL, "%s must be a JSON object", what);
    }
    *out = root;
    return 0;
}
