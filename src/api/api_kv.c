#include "api_kv.h"

struct hm_slice api_kv_prefix_end(struct hm_arena *arena, struct hm_slice prefix)
{
    uint8_t *end = hm_arena_alloc(arena, prefix.len + 1);
    size_t len = prefix.len;

    if (!end)
        return (struct hm_slice){0};
    if (len > 0)
        memcpy(end, prefix.data, len);
    while (len > 0 && end[len - 1] == 0xff)
        len--;
    if (len == 0) {
        end[0] = 0;
        return hm_slice_of(end, 1);
    }
    end[len - 1]++;
    return hm_slice_of(end, len);
}

int api_kv_answer(const struct api_receipt *receipt, const Hypermesh__KvAnswer **answer,
                  struct hm_error *error)
{
    if (receipt->kv_count != 1)
        return hm_fail(error, HM_EINTERNAL, "the ledger gave no answer to the operation");
    *answer = receipt->kv[0];
    return 0;
}

int api_kv_submit(struct api_call *call, const char *account, Hypermesh__Operation *op,
                  struct api_receipt *receipt, const Hypermesh__KvAnswer **answer,
                  struct hm_error *error)
{
    int rc = api_submit(call, account, op, receipt, error);

    return rc ? rc : api_kv_answer(receipt, answer, error);
}

/* --- reading --------------------------------------------------------------------------------------- */

static size_t pair_bytes(const Hypermesh__KvPair *pair)
{
    return sizeof(*pair) + pair->key.len + (pair->entry ? pair->entry->value.len : 0);
}

/* Appends a page's pairs to those there are. */
static int pairs_join(struct api_call *call, struct api_kv_pairs *all,
                      const struct api_kv_pairs *page, size_t *bytes, struct hm_error *error)
{
    Hypermesh__KvPair **list = hm_arena_alloc(&call->arena,
                                              (all->count + page->count + 1) * sizeof(*list));

    if (!list)
        return api_no_memory(error);
    if (all->count > 0)
        memcpy(list, all->pairs, all->count * sizeof(*list));
    for (size_t i = 0; i < page->count; i++) {
        list[all->count + i] = page->pairs[i];
        *bytes += pair_bytes(page->pairs[i]);
    }
    if (*bytes > API_KV_READ_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "the answer would have more than %zu bytes; use a limit",
                       API_KV_READ_MAX_BYTES);
    all->pairs = list;
    all->count += page->count;
    return 0;
}

/* The least key after this one. */
static int key_after(struct api_call *call, ProtobufCBinaryData key, struct hm_slice *out,
                     struct hm_error *error)
{
    uint8_t *next = hm_arena_alloc(&call->arena, key.len + 1);

    if (!next)
        return api_no_memory(error);
    memcpy(next, key.data, key.len);
    next[key.len] = 0;
    *out = hm_slice_of(next, key.len + 1);
    return 0;
}

int api_kv_read(struct api_call *call, const char *account, const struct api_kv_query *query,
                struct api_kv_pairs *out, struct hm_error *error)
{
    struct api_kv_query next = *query;
    struct api_kv_pairs all = {0};
    bool first = true;
    size_t bytes = 0;
    int rc = 0;

    do {
        struct api_kv_pairs page = {0};

        rc = call->backend->kv_range(call->backend->ctx, account, &next, &call->arena, &page,
                                     error);
        if (rc == 0)
            rc = pairs_join(call, &all, &page, &bytes, error);
        if (rc)
            return rc;
        if (first) {
            all.total = page.total;
            all.revision = page.revision;
            next.revision = query->revision ? query->revision : page.revision;
            first = false;
        }
        all.more = page.more && page.count > 0;
        if (!all.more || (query->limit > 0 && all.count >= query->limit))
            break;
        next.limit = query->limit > 0 ? query->limit - all.count : 0;
        rc = key_after(call, page.pairs[page.count - 1]->key, &next.key, error);
    } while (rc == 0);
    if (rc == 0)
        *out = all;
    return rc;
}

/* --- the native form ------------------------------------------------------------------------------- */

int api_kv_encoding_parse(const char *text, bool *base64, struct hm_error *error)
{
    bool is = strcmp(text, "base64") == 0;

    if (!is && strcmp(text, "text") != 0)
        return hm_fail(error, HM_EINVAL, "encoding must be text or base64");
    *base64 = is;
    return 0;
}

int api_kv_encoding(const struct api_record *from, bool *base64, struct hm_error *error)
{
    return api_kv_encoding_parse(api_text_or(from, "encoding", "text"), base64, error);
}

int api_kv_bytes(struct api_call *call, const char *name, const char *text, bool base64,
                 struct hm_slice *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf decoded = {0};
    const void *copy;
    int rc;

    if (!base64) {
        *out = hm_slice_str(text);
        return 0;
    }
    rc = hm_base64_decode(text, strlen(text), &decoded, error);
    if (rc)
        return rc == HM_ENOMEM ? api_no_memory(error) : hm_error_prefix(error, rc, "%s", name);
    copy = hm_arena_dup(&call->arena, decoded.len > 0 ? decoded.data : (const uint8_t *)"",
                        decoded.len + (decoded.len == 0));
    if (!copy)
        return api_no_memory(error);
    *out = hm_slice_of(copy, decoded.len);
    return 0;
}

static void put_bytes(struct json_out *json, const char *name, struct hm_slice bytes, bool base64)
{
    json_out_key(json, name);
    if (base64)
        json_out_base64(json, bytes);
    else
        json_out_text_bytes(json, bytes);
}

void api_kv_item_put(struct json_out *json, struct hm_slice key, const Hypermesh__KvEntry *entry,
                     bool keys_only, bool base64)
{
    bool value = entry && !keys_only;

    base64 = base64 || !json_bytes_are_text(key) ||
             (value && !json_bytes_are_text(wire_slice(entry->value)));
    put_bytes(json, "key", key, base64);
    if (value)
        put_bytes(json, "value", wire_slice(entry->value), base64);
    if (entry) {
        json_out_put_u64(json, "create_revision", entry->create_revision);
        json_out_put_u64(json, "mod_revision", entry->mod_revision);
        json_out_put_u64(json, "version", entry->version);
        json_out_put_u64(json, "lease", entry->lease);
    }
    json_out_put_text(json, "encoding", base64 ? "base64" : "text");
}
