#include "nexus_kv.h"

#include "nexus_text.h"

#define BRIEF_CHARS 48

const char *nexus_kv_path(struct nexus_call *call, const char *key)
{
    return hm_arena_printf(call->arena, "/kv/%s", nexus_part(call, key));
}

int nexus_kv_bytes(struct nexus_call *call, const json_t *item, const char *member,
                   struct hm_slice *out)
{
    const json_t *value = json_object_get(item, member);
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    uint8_t *copy;

    if (!json_is_string(value)) {
        *out = hm_slice_of("", 0);
        return 0;
    }
    if (strcmp(nexus_json_text(item, "encoding"), "base64") != 0) {
        *out = hm_slice_of(json_string_value(value), json_string_length(value));
        return 0;
    }
    if (hm_base64_decode(json_string_value(value), json_string_length(value), &bytes, &call->error))
        return hm_error_prefix(&call->error, HM_EPARSE, "the node's answer");
    copy = hm_arena_dup(call->arena, bytes.len ? (const void *)bytes.data : "", bytes.len + 1);
    if (!copy)
        return nexus_no_memory(call);
    *out = hm_slice_of(copy, bytes.len);
    return 0;
}

static int put_base64(struct nexus_call *call, const char *key, struct hm_slice value, json_t *body,
                      const char **path)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    HM_CLEANUP(hm_buf) struct hm_buf name = {0};

    if (hm_base64_encode(value.data, value.len, &text) ||
        hm_base64_encode(key, strlen(key), &name) ||
        json_object_set_new(body, "encoding", json_string("base64")) != 0 ||
        json_object_set_new(body, "value", json_stringn((const char *)text.data, text.len)) != 0)
        return nexus_no_memory(call);
    *path = nexus_kv_path(call, hm_buf_cstr(&name));
    return *path ? 0 : nexus_no_memory(call);
}

int nexus_kv_put_body(struct nexus_call *call, const char *key, struct hm_slice value, json_t *body,
                      const char **path)
{
    bool text = !memchr(value.data ? value.data : (const uint8_t *)"", '\0', value.len) &&
                hm_utf8_valid((const char *)value.data, value.len);
    const char *made;

    if (!text)
        return put_base64(call, key, value, body, path);
    made = nexus_kv_path(call, key);
    if (!made ||
        json_object_set_new(body, "value", json_stringn((const char *)value.data, value.len)) != 0)
        return nexus_no_memory(call);
    *path = made;
    return 0;
}

const char *nexus_kv_key(const json_t *item, struct hm_arena *arena)
{
    const char *key = nexus_json_text(item, "key");

    return strcmp(nexus_json_text(item, "encoding"), "base64") == 0
               ? hm_arena_printf(arena, "base64:%s", key)
               : key;
}

const char *nexus_kv_brief(const char *value, struct hm_arena *arena)
{
    size_t len = 0;

    while (value[len] && value[len] != '\n' && len < BRIEF_CHARS)
        len++;
    while (len > 0 && ((unsigned char)value[len] & 0xc0) == 0x80)
        len--; /* not in the middle of a character */
    return hm_arena_printf(arena, "%.*s%s", (int)len, value, value[len] ? "…" : "");
}

int nexus_kv_table_revision(struct nexus_call *call, const json_t *reply, struct hm_buf *out)
{
    if (hm_buf_printf(out, "revision %llu\n",
                      (unsigned long long)nexus_json_u64(reply, "revision")) != 0)
        return nexus_no_memory(call);
    return nexus_table_receipt(call, reply, out);
}

int nexus_kv_table_txn(struct nexus_call *call, const json_t *reply, struct hm_buf *out)
{
    const json_t *answers = nexus_json_list(reply, "answers");

    if (hm_buf_printf(out, "%s\n",
                      nexus_json_bool(reply, "succeeded") ? "the compares held"
                                                          : "a compare did not hold") != 0)
        return nexus_no_memory(call);
    for (size_t i = 0; i < json_array_size(answers); i++) {
        const json_t *range = json_object_get(json_array_get(answers, i), "range");
        const json_t *pairs = nexus_json_list(range, "items");

        for (size_t k = 0; k < json_array_size(pairs); k++) {
            const json_t *pair = json_array_get(pairs, k);

            const char *key = nexus_kv_key(pair, call->arena);

            if (!key || nexus_text_append_safe(out, key) || hm_buf_append_str(out, " = ") ||
                nexus_text_append_safe(out, nexus_json_text(pair, "value")) ||
                hm_buf_append_str(out, "\n"))
                return nexus_no_memory(call);
        }
    }
    return nexus_kv_table_revision(call, reply, out);
}
