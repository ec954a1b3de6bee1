/* POST /kv-txn: if every compare holds then these operations, else those. */
#include "api_kv.h"

static void answers_json(struct json_out *json, const Hypermesh__KvTxn *txn,
                         const Hypermesh__KvAnswer *answer, bool base64);

static void range_json(struct json_out *json, const Hypermesh__KvRange *range,
                       const Hypermesh__KvAnswer *answer, bool base64)
{
    json_out_key(json, "items");
    json_out_open(json, '[');
    for (size_t i = 0; i < answer->n_pairs; i++) {
        json_out_open(json, '{');
        api_kv_item_put(json, wire_slice(answer->pairs[i]->key), answer->pairs[i]->entry,
                        range->keys_only != 0, base64);
        json_out_close(json, '}');
    }
    json_out_close(json, ']');
    json_out_put_u64(json, "count", answer->count);
    json_out_put_bool(json, "more", answer->more != 0);
}

static void answer_json(struct json_out *json, const Hypermesh__KvTxnOp *op,
                        const Hypermesh__KvAnswer *answer, bool base64)
{
    json_out_open(json, '{');
    switch (op->op_case) {
    case HYPERMESH__KV_TXN_OP__OP_PUT:
        json_out_key(json, "put");
        json_out_open(json, '{');
        json_out_put_u64(json, "revision", answer->revision);
        break;
    case HYPERMESH__KV_TXN_OP__OP_DELETE:
        json_out_key(json, "delete");
        json_out_open(json, '{');
        json_out_put_u64(json, "deleted", answer->deleted);
        break;
    case HYPERMESH__KV_TXN_OP__OP_RANGE:
        json_out_key(json, "range");
        json_out_open(json, '{');
        range_json(json, op->range, answer, base64);
        break;
    default:
        json_out_key(json, "txn");
        json_out_open(json, '{');
        answers_json(json, op->txn, answer, base64);
    }
    json_out_close(json, '}');
    json_out_close(json, '}');
}

static void answers_json(struct json_out *json, const Hypermesh__KvTxn *txn,
                         const Hypermesh__KvAnswer *answer, bool base64)
{
    Hypermesh__KvTxnOp *const *ops = answer->succeeded ? txn->success : txn->failure;
    size_t count = answer->succeeded ? txn->n_success : txn->n_failure;

    json_out_put_bool(json, "succeeded", answer->succeeded != 0);
    json_out_key(json, "answers");
    json_out_open(json, '[');
    for (size_t i = 0; i < count && i < answer->n_answers; i++)
        answer_json(json, ops[i], answer->answers[i], base64);
    json_out_close(json, ']');
}

/* A text of the outermost object. */
static int text_of(struct api_call *call, const json_t *from, const char *name, const char **out,
                   struct hm_error *error)
{
    const json_t *value = json_object_get(from, name);

    if (!value)
        return 0;
    if (!json_is_string(value))
        return hm_fail(error, HM_EINVAL, "%s must be text", name);
    *out = hm_arena_strdup(&call->arena, json_string_value(value));
    return *out ? 0 : api_no_memory(error);
}

/* A transaction on its way, in the call's arena. */
struct sent {
    Hypermesh__Operation op;
    bool base64;
};

static int txn_ended(struct api_call *call, void *ctx, int rc, const struct api_receipt *receipt,
                     struct hm_error *error)
{
    const Hypermesh__KvAnswer *answer = NULL;
    const struct sent *sent = ctx;

    if (rc == 0)
        rc = api_kv_answer(receipt, &answer, error);
    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    answers_json(&call->json, sent->op.kv_txn, answer, sent->base64);
    json_out_put_u64(&call->json, "revision", answer->revision);
    api_receipt_put(&call->json, receipt);
    json_out_close(&call->json, '}');
    return 0;
}

int api_handle_kv_txn(struct api_call *call, struct hm_error *error)
{
    struct sent *sent = hm_arena_alloc(&call->arena, sizeof(*sent));
    struct api_kv_txn_reader reader = {.arena = &call->arena};
    HM_CLEANUP(json) json_t *body = NULL;
    const char *account = call->account;
    const char *encoding = "text";
    int rc = sent ? json_read(call->request->body, API_KV_JSON_DEPTH_MAX, "the body", &body, error)
                  : api_no_memory(error);

    if (rc)
        return rc;
    hypermesh__operation__init(&sent->op);
    rc = text_of(call, body, "account", &account, error);
    if (rc == 0)
        rc = text_of(call, body, "encoding", &encoding, error);
    if (rc == 0)
        rc = api_kv_encoding_parse(encoding, &reader.base64, error);
    if (rc == 0)
        rc = api_kv_txn_read(&reader, body, 0, &sent->op.kv_txn, error);
    if (rc)
        return rc;
    sent->base64 = reader.base64;
    sent->op.op_case = HYPERMESH__OPERATION__OP_KV_TXN;
    return api_submit_then(call, account, &sent->op, txn_ended, sent, error);
}
