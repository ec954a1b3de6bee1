/* etcd's KV service but transactions: range, put, deleterange, compaction. */
#include "api_etcd.h"

int api_etcd_range_find(struct api_call *call, const struct api_etcd_range_ask *ask,
                        struct api_kv_pairs *out, struct hm_error *error)
{
    struct api_kv_query query = {0};
    int rc;

    query.key = wire_slice(ask->key);
    query.range_end = wire_slice(ask->range_end);
    query.revision = ask->revision > 0 ? (uint64_t)ask->revision : 0;
    query.limit = ask->limit > 0 && !api_etcd_range_is_whole(ask) ? (size_t)ask->limit : 0;
    query.keys_only = ask->keys_only && ask->sort_target == 0;
    query.count_only = ask->count_only;
    rc = api_kv_read(call, call->account, &query, out, error);
    return rc == HM_ERANGE ? api_etcd_range_fault(call, ask->revision, error) : rc;
}

static int range_body(struct api_call *call, struct hm_error *error)
{
    struct api_etcd_range_ask ask = {0};
    struct api_kv_pairs found = {0};
    int rc = api_etcd_range_body(call, &ask, error);

    if (rc == 0)
        rc = api_etcd_range_find(call, &ask, &found, error);
    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    rc = api_etcd_header(call, &call->json, found.revision, error);
    if (rc)
        return rc;
    api_etcd_range_put(&call->json, &ask, found.pairs, found.count, found.total, found.more);
    json_out_close(&call->json, '}');
    return 0;
}

/* A put or a delete on its way, in the call's arena. */
struct change {
    bool prev; /* answer with what was there before, too */
    struct api_etcd_put_ask put;
    struct api_etcd_delete_ask gone;
    Hypermesh__Operation act;
    Hypermesh__KvTxnOp op; /* the same inside a transaction */
    /* of prev: [look, op] */
    Hypermesh__KvTxn txn;
    Hypermesh__KvRange range;
    Hypermesh__KvTxnOp look;
    Hypermesh__KvTxnOp *both[2];
};

static struct change *change_new(struct api_call *call)
{
    struct change *change = hm_arena_alloc(&call->arena, sizeof(*change));

    if (!change)
        return NULL;
    change->prev = false;
    change->put = (struct api_etcd_put_ask){0};
    change->gone = (struct api_etcd_delete_ask){0};
    hypermesh__operation__init(&change->act);
    hypermesh__kv_txn_op__init(&change->op);
    return change;
}

/* [range, op] in one transaction: what was there before, and the change. */
static void change_look_first(struct change *change, ProtobufCBinaryData key,
                              ProtobufCBinaryData range_end)
{
    change->prev = true;
    hypermesh__kv_range__init(&change->range);
    hypermesh__kv_txn_op__init(&change->look);
    hypermesh__kv_txn__init(&change->txn);
    change->range.key = key;
    change->range.range_end = range_end;
    change->look.op_case = HYPERMESH__KV_TXN_OP__OP_RANGE;
    change->look.range = &change->range;
    change->both[0] = &change->look;
    change->both[1] = &change->op;
    change->txn.n_success = 2;
    change->txn.success = change->both;
    change->act.op_case = HYPERMESH__OPERATION__OP_KV_TXN;
    change->act.kv_txn = &change->txn;
}

static int change_answer(struct api_call *call, const struct change *change,
                         const struct api_receipt *receipt, struct hm_error *error)
{
    bool put = change->op.op_case == HYPERMESH__KV_TXN_OP__OP_PUT;
    const Hypermesh__KvAnswer *before = NULL;
    const Hypermesh__KvAnswer *done = NULL;
    int rc = api_kv_answer(receipt, &done, error);

    if (rc == 0 && change->prev && done->n_answers != 2)
        rc = hm_fail(error, HM_EINTERNAL, "the ledger gave no answers to the transaction");
    if (rc)
        return rc;
    if (change->prev) {
        before = done->answers[0];
        done = done->answers[1];
    }
    json_out_open(&call->json, '{');
    rc = api_etcd_header(call, &call->json, done->revision, error);
    if (!put)
        api_etcd_put_u64(&call->json, "deleted", done->deleted);
    if (before && !put) {
        api_etcd_prev_list(&call->json, "prev_kvs", before);
    } else if (before && before->n_pairs > 0) {
        json_out_key(&call->json, "prev_kv");
        api_etcd_kv_json(&call->json, wire_slice(before->pairs[0]->key), before->pairs[0]->entry,
                         false);
    }
    json_out_close(&call->json, '}');
    return rc;
}

static int change_ended(struct api_call *call, void *ctx, int rc, const struct api_receipt *receipt,
                        struct hm_error *error)
{
    return api_etcd_end(call, rc ? rc : change_answer(call, ctx, receipt, error), error);
}

static int put_body(struct api_call *call, struct hm_error *error)
{
    struct change *change = change_new(call);
    int rc = change ? api_etcd_put_body(call, &change->put, error) : api_no_memory(error);

    if (rc)
        return rc;
    change->op.op_case = HYPERMESH__KV_TXN_OP__OP_PUT;
    change->op.put = &change->put.put;
    change->act.op_case = HYPERMESH__OPERATION__OP_KV_PUT;
    change->act.kv_put = &change->put.put;
    if (change->put.prev)
        change_look_first(change, change->put.put.key, (ProtobufCBinaryData){0});
    return api_submit_then(call, call->account, &change->act, change_ended, change, error);
}

static int delete_body(struct api_call *call, struct hm_error *error)
{
    struct change *change = change_new(call);
    HM_CLEANUP(json) json_t *body = NULL;
    int rc = change ? api_etcd_read(call, &body, error) : api_no_memory(error);

    if (rc == 0)
        rc = api_etcd_delete_read(body, &call->arena, &change->gone, error);
    if (rc)
        return rc;
    change->op.op_case = HYPERMESH__KV_TXN_OP__OP_DELETE;
    change->op.delete_ = &change->gone.act;
    change->act.op_case = HYPERMESH__OPERATION__OP_KV_DELETE;
    change->act.kv_delete = &change->gone.act;
    if (change->gone.prev)
        change_look_first(change, change->gone.act.key, change->gone.act.range_end);
    return api_submit_then(call, call->account, &change->act, change_ended, change, error);
}

static int compaction_body(struct api_call *call, struct hm_error *error)
{
    Hypermesh__KvCompact act = HYPERMESH__KV_COMPACT__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__KvState *state = NULL;
    HM_CLEANUP(json) json_t *body = NULL;
    struct api_receipt receipt;
    int64_t revision = 0;
    bool physical = false; /* history goes step by step, block after block */
    int rc = api_etcd_read(call, &body, error);

    if (rc == 0)
        rc = api_etcd_i64(body, "revision", &revision, error);
    if (rc == 0)
        rc = api_etcd_bool(body, "physical", &physical, error);
    if (rc == 0)
        rc = api_etcd_state(call, &state, error);
    if (rc)
        return rc;
    act.revision = (uint64_t)revision;
    op.op_case = HYPERMESH__OPERATION__OP_KV_COMPACT;
    op.kv_compact = &act;
    if (revision > 0)
        rc = api_submit(call, call->account, &op, &receipt, error);
    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    rc = api_etcd_header(call, &call->json, state->revision, error);
    json_out_close(&call->json, '}');
    return rc;
}

int api_etcd_range(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, range_body);
}

int api_etcd_put(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, put_body);
}

int api_etcd_delete_range(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, delete_body);
}

int api_etcd_compaction(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, compaction_body);
}
