/* Keys and values, one at a time and in ranges. */
#include "api_kv.h"

#define CURSOR_KEY_MAX 1024 /* bytes of a key in a cursor */

/* --- one key ---------------------------------------------------------------------------------------- */

/* The key in the path. */
static int key_of(struct api_call *call, const struct api_record *from, bool *base64,
                  struct hm_slice *key, struct hm_error *error)
{
    int rc = api_kv_encoding(from, base64, error);

    return rc ? rc : api_kv_bytes(call, "the key", call->param.text, *base64, key, error);
}

int api_handle_kv_get(struct api_call *call, struct hm_error *error)
{
    struct api_kv_query query = {.limit = 1,
                                 .revision = api_number_or(&call->query, "revision", 0)};
    struct api_kv_pairs found = {0};
    const Hypermesh__KvEntry *entry;
    bool base64 = false;
    int rc = key_of(call, &call->query, &base64, &query.key, error);

    if (rc == 0)
        rc = call->backend->kv_range(call->backend->ctx, api_actor(call, &call->query), &query,
                                     &call->arena, &found, error);
    if (rc == 0 && (found.count == 0 || !found.pairs[0]->entry))
        rc = hm_fail(error, HM_ENOTFOUND, "there is no key '%.200s'%s", call->param.text,
                     query.revision ? " at that revision" : "");
    if (rc)
        return rc;
    entry = found.pairs[0]->entry;
    (void)snprintf(call->response->etag, sizeof(call->response->etag), "\"%llu\"",
                   (unsigned long long)entry->mod_revision);
    json_out_open(&call->json, '{');
    api_kv_item_put(&call->json, query.key, entry, false, base64);
    json_out_put_u64(&call->json, "revision", found.revision);
    json_out_close(&call->json, '}');
    return 0;
}

/* What If-Match and If-None-Match ask of the key, as a compare of the ledger. *wanted: anything. */
static int condition_of(const struct api_request *request, struct hm_slice key,
                        Hypermesh__KvCompare *out, bool *wanted, struct hm_error *error)
{
    const char *match = request->if_match;
    const char *none = request->if_none_match;
    size_t len = match ? strlen(match) : 0;
    char digits[24];
    uint64_t revision = 0;

    *wanted = match || none;
    out->key = wire_bytes(key.data, key.len);
    if (match && none)
        return hm_fail(error, HM_EINVAL, "If-Match and If-None-Match exclude each other");
    if (none && strcmp(none, "*") != 0)
        return hm_fail(error, HM_EINVAL, "If-None-Match may only be * here: the key must be new");
    out->target = HYPERMESH__KV_COMPARE_TARGET__KV_VERSION;
    out->result = none ? HYPERMESH__KV_COMPARE_RESULT__KV_EQUAL
                       : HYPERMESH__KV_COMPARE_RESULT__KV_GREATER;
    if (!match || strcmp(match, "*") == 0)
        return 0;
    if (len < 3 || len - 2 >= sizeof(digits) || match[0] != '"' || match[len - 1] != '"')
        return hm_fail(error, HM_EINVAL,
                       "If-Match must be the ETag of GET /kv/{name}, such as \"42\" in quotes");
    memcpy(digits, match + 1, len - 2);
    digits[len - 2] = '\0';
    if (hm_u64_parse(digits, &revision, NULL) || revision > INT64_MAX)
        return hm_fail(error, HM_EINVAL, "If-Match does not hold a revision");
    out->target = HYPERMESH__KV_COMPARE_TARGET__KV_MOD;
    out->result = HYPERMESH__KV_COMPARE_RESULT__KV_EQUAL;
    out->number = (int64_t)revision;
    return 0;
}

static void refuse_condition(struct api_call *call)
{
    api_core_refuse(call->response, 412, HM_ECONFLICT,
                    "the key is not as the request's condition wants it; read it and try again",
                    NULL);
}

/* A put or a delete on its way, in the call's arena. */
struct change {
    Hypermesh__KvPut put;
    Hypermesh__KvDelete gone;
    Hypermesh__KvTxnOp act;
    bool conditional;
    Hypermesh__KvCompare compare;
    Hypermesh__KvCompare *compares[1];
    Hypermesh__KvTxnOp *acts[1];
    Hypermesh__KvTxn txn;
    Hypermesh__Operation op;
};

static struct change *change_new(struct api_call *call)
{
    struct change *change = hm_arena_alloc(&call->arena, sizeof(*change));

    if (!change)
        return NULL;
    hypermesh__kv_put__init(&change->put);
    hypermesh__kv_delete__init(&change->gone);
    hypermesh__kv_txn_op__init(&change->act);
    hypermesh__kv_compare__init(&change->compare);
    hypermesh__kv_txn__init(&change->txn);
    hypermesh__operation__init(&change->op);
    change->conditional = false;
    return change;
}

static int change_ended(struct api_call *call, void *ctx, int rc, const struct api_receipt *receipt,
                        struct hm_error *error)
{
    const Hypermesh__KvAnswer *answer = NULL;
    const struct change *change = ctx;

    if (rc == 0)
        rc = api_kv_answer(receipt, &answer, error);
    if (rc)
        return rc;
    if (change->conditional && !answer->succeeded) {
        refuse_condition(call);
        return 0;
    }
    if (change->conditional && answer->n_answers != 1)
        return hm_fail(error, HM_EINTERNAL, "the ledger gave no answer to the operation");
    if (change->conditional)
        answer = answer->answers[0];
    json_out_open(&call->json, '{');
    if (change->act.op_case == HYPERMESH__KV_TXN_OP__OP_DELETE)
        json_out_put_u64(&call->json, "deleted", answer->deleted);
    json_out_put_u64(&call->json, "revision", answer->revision);
    api_receipt_put(&call->json, receipt);
    json_out_close(&call->json, '}');
    return 0;
}

/* Puts or deletes as the record's account, under the request's condition when there is one, and answers. */
static int change_run(struct api_call *call, const struct api_record *from, struct hm_slice key,
                      struct change *change, struct hm_error *error)
{
    bool put = change->act.op_case == HYPERMESH__KV_TXN_OP__OP_PUT;
    int rc = condition_of(call->request, key, &change->compare, &change->conditional, error);

    if (rc)
        return rc;
    if (change->conditional) {
        change->compares[0] = &change->compare;
        change->acts[0] = &change->act;
        change->txn.n_compare = 1;
        change->txn.compare = change->compares;
        change->txn.n_success = 1;
        change->txn.success = change->acts;
        change->op.op_case = HYPERMESH__OPERATION__OP_KV_TXN;
        change->op.kv_txn = &change->txn;
    } else if (put) {
        change->op.op_case = HYPERMESH__OPERATION__OP_KV_PUT;
        change->op.kv_put = &change->put;
    } else {
        change->op.op_case = HYPERMESH__OPERATION__OP_KV_DELETE;
        change->op.kv_delete = &change->gone;
    }
    return api_submit_then(call, api_actor(call, from), &change->op, change_ended, change, error);
}

int api_handle_kv_put(struct api_call *call, struct hm_error *error)
{
    struct change *change = change_new(call);
    struct hm_slice value = {0};
    struct hm_slice key = {0};
    bool base64 = false;
    int rc = change ? key_of(call, &call->body, &base64, &key, error) : api_no_memory(error);

    if (rc == 0)
        rc = api_kv_bytes(call, "value", api_record_get(&call->body, "value")->text, base64, &value,
                          error);
    if (rc)
        return rc;
    change->put.key = wire_bytes(key.data, key.len);
    change->put.value = wire_bytes(value.data, value.len);
    change->put.lease = api_number_or(&call->body, "lease", 0);
    change->act.op_case = HYPERMESH__KV_TXN_OP__OP_PUT;
    change->act.put = &change->put;
    return change_run(call, &call->body, key, change, error);
}

int api_handle_kv_delete(struct api_call *call, struct hm_error *error)
{
    struct change *change = change_new(call);
    struct hm_slice key = {0};
    struct hm_slice end = {0};
    bool base64 = false;
    int rc = change ? key_of(call, &call->query, &base64, &key, error) : api_no_memory(error);

    if (rc == 0 && api_number_or(&call->query, "prefix", 0) != 0) {
        end = api_kv_prefix_end(&call->arena, key);
        rc = end.data ? 0 : api_no_memory(error);
    }
    if (rc)
        return rc;
    change->gone.key = wire_bytes(key.data, key.len);
    change->gone.range_end = wire_bytes(end.data, end.len);
    change->act.op_case = HYPERMESH__KV_TXN_OP__OP_DELETE;
    change->act.delete_ = &change->gone;
    return change_run(call, &call->query, key, change, error);
}

/* --- ranges ----------------------------------------------------------------------------------------- */

/* A cursor is REVISION.LAST-KEY-IN-HEX: the pages of a listing show one moment of the store. */
static int cursor_read(struct api_call *call, const char *text, struct api_kv_query *query,
                       struct hm_error *error)
{
    const char *dot = strchr(text, '.');
    size_t digits = dot ? strlen(dot + 1) : 0;
    char revision[24];
    uint8_t *key;
    int rc;

    if (!dot || (size_t)(dot - text) >= sizeof(revision) || digits == 0 || digits % 2 != 0 ||
        digits > 2 * CURSOR_KEY_MAX)
        return hm_fail(error, HM_EPARSE, "after must be the next of the page before");
    memcpy(revision, text, (size_t)(dot - text));
    revision[dot - text] = '\0';
    key = hm_arena_alloc(&call->arena, digits / 2 + 1);
    if (!key)
        return api_no_memory(error);
    rc = hm_u64_parse(revision, &query->revision, error);
    if (rc == 0)
        rc = hm_hex_decode(dot + 1, digits, key, digits / 2, error);
    if (rc)
        return hm_error_prefix(error, rc, "after");
    key[digits / 2] = 0; /* the least key after it */
    query->key = hm_slice_of(key, digits / 2 + 1);
    return 0;
}

static int cursor_write(struct api_call *call, uint64_t revision, ProtobufCBinaryData key,
                        const char **out, struct hm_error *error)
{
    char *text = hm_arena_alloc(&call->arena, 2 * key.len + 24);
    int used;

    if (!text)
        return api_no_memory(error);
    used = snprintf(text, 24, "%llu.", (unsigned long long)revision);
    hm_hex_encode(key.data, key.len, text + used);
    text[(size_t)used + 2 * key.len] = '\0';
    *out = text;
    return 0;
}

int api_kv_span(struct api_call *call, bool base64, struct hm_slice *key, struct hm_slice *end,
                struct hm_error *error)
{
    const struct api_value *prefix = api_record_get(&call->query, "prefix");
    const struct api_value *start = api_record_get(&call->query, "start");
    const struct api_value *stop = api_record_get(&call->query, "end");
    int rc = 0;

    if (prefix->set && (start->set || stop->set))
        return hm_fail(error, HM_EINVAL, "prefix does not go with start and end");
    *key = API_KV_ZERO;
    *end = API_KV_ZERO;
    if (prefix->set) {
        rc = api_kv_bytes(call, "prefix", prefix->text, base64, key, error);
        if (rc == 0 && key->len == 0)
            *key = API_KV_ZERO;
        else if (rc == 0)
            *end = api_kv_prefix_end(&call->arena, *key);
    }
    if (rc == 0 && start->set && start->text[0] != '\0')
        rc = api_kv_bytes(call, "start", start->text, base64, key, error);
    if (rc == 0 && stop->set && stop->text[0] != '\0')
        rc = api_kv_bytes(call, "end", stop->text, base64, end, error);
    return rc || end->data ? rc : api_no_memory(error);
}

static void pairs_json(struct api_call *call, const struct api_kv_pairs *found, bool keys_only,
                       bool base64, const char *next)
{
    struct json_out *json = &call->json;

    json_out_open(json, '{');
    json_out_key(json, "items");
    json_out_open(json, '[');
    for (size_t i = 0; i < found->count; i++) {
        json_out_open(json, '{');
        api_kv_item_put(json, wire_slice(found->pairs[i]->key), found->pairs[i]->entry, keys_only,
                        base64);
        json_out_close(json, '}');
    }
    json_out_close(json, ']');
    json_out_put_text(json, "next", next);
    json_out_put_u64(json, "count", found->total);
    json_out_put_u64(json, "revision", found->revision);
    json_out_close(json, '}');
}

int api_handle_kv_list(struct api_call *call, struct hm_error *error)
{
    const char *after = api_text_or(&call->query, "after", NULL);
    struct api_kv_query query = {
        .revision = api_number_or(&call->query, "revision", 0),
        .keys_only = api_number_or(&call->query, "keys_only", 0) != 0,
        .count_only = api_number_or(&call->query, "count_only", 0) != 0,
    };
    struct api_kv_pairs found = {0};
    const char *next = NULL;
    bool base64 = false;
    int rc = api_query_limit(call, &query.limit, error);

    if (rc == 0)
        rc = api_kv_encoding(&call->query, &base64, error);
    if (rc == 0)
        rc = api_kv_span(call, base64, &query.key, &query.range_end, error);
    if (rc == 0 && after)
        rc = cursor_read(call, after, &query, error);
    if (rc == 0)
        rc = call->backend->kv_range(call->backend->ctx, api_actor(call, &call->query), &query,
                                     &call->arena, &found, error);
    if (rc == 0 && found.more && found.count > 0)
        rc = cursor_write(call, query.revision ? query.revision : found.revision,
                          found.pairs[found.count - 1]->key, &next, error);
    if (rc == 0)
        pairs_json(call, &found, query.keys_only, base64, next);
    return rc;
}

/* --- the store's own ---------------------------------------------------------------------------------- */

int api_handle_kv_state(struct api_call *call, struct hm_error *error)
{
    Hypermesh__KvState *state = NULL;
    int rc = call->backend->kv_state(call->backend->ctx, &call->arena, &state, error);

    if (rc == 0)
        json_message(&call->json, &state->base);
    return rc;
}

int api_handle_kv_compact(struct api_call *call, struct hm_error *error)
{
    Hypermesh__KvCompact act = HYPERMESH__KV_COMPACT__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;

    act.revision = api_record_get(&call->body, "revision")->number;
    op.op_case = HYPERMESH__OPERATION__OP_KV_COMPACT;
    op.kv_compact = &act;
    return api_submit_answer(call, api_actor(call, &call->body), &op, error);
}
