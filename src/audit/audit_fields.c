#include "audit_fields.h"

#define DEPTH_MAX 64

int audit_field_text(const json_t *line, const char *name, const char **out, struct hm_error *error)
{
    const char *text = json_string_value(json_object_get(line, name));

    if (!text)
        return hm_fail(error, HM_ECORRUPT, "%s is missing or no text", name);
    *out = text;
    return 0;
}

int audit_field_u64(const json_t *line, const char *name, uint64_t *out, struct hm_error *error)
{
    const json_t *value = json_object_get(line, name);

    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return hm_fail(error, HM_ECORRUPT, "%s is missing or no number", name);
    *out = (uint64_t)json_integer_value(value);
    return 0;
}

int audit_field_hash(const json_t *line, const char *name, uint8_t out[CRYPTO_HASH_BYTES],
                     struct hm_error *error)
{
    const char *text = NULL;
    int rc = audit_field_text(line, name, &text, error);

    if (rc)
        return rc;
    if (hm_hex_decode(text, strlen(text), out, CRYPTO_HASH_BYTES, NULL))
        return hm_fail(error, HM_ECORRUPT, "%s is not 32 bytes in hexadecimal", name);
    return 0;
}

int audit_field_bytes(const json_t *line, const char *name, struct hm_arena *arena,
                      struct hm_slice *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf decoded = {0};
    const char *text = NULL;
    uint8_t *copy;
    int rc = audit_field_text(line, name, &text, error);

    if (rc)
        return rc;
    rc = hm_base64_decode(text, strlen(text), &decoded, NULL);
    if (rc)
        return hm_fail(error, rc == HM_ENOMEM ? rc : HM_ECORRUPT, "%s is not base64", name);
    copy = hm_arena_alloc(arena, decoded.len + 1);
    if (!copy)
        return hm_fail(error, HM_ENOMEM, "no memory for %s", name);
    if (decoded.len > 0)
        memcpy(copy, decoded.data, decoded.len);
    *out = hm_slice_of(copy, decoded.len);
    return 0;
}

int audit_fields_compare(const json_t *line, struct hm_slice text, struct hm_slice expected,
                         struct hm_error *error)
{
    HM_CLEANUP(json) json_t *wanted = NULL;
    const char *key;
    json_t *value;
    int rc;

    if (hm_slice_equal(text, expected))
        return 0;
    rc = json_read(expected, DEPTH_MAX, "the line as it should be", &wanted, error);
    if (rc == HM_ENOMEM)
        return rc;
    json_object_foreach(wanted, key, value)
    {
        if (!json_equal(value, json_object_get(line, key)))
            return hm_fail(error, HM_ECORRUPT, "%s is not what the bytes and lines before say",
                           key);
    }
    return hm_fail(error, HM_ECORRUPT,
                   "the line is not written as an export writes it: fields added, moved or "
                   "written in another way");
}
