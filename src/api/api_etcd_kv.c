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
    HM_CLEANUP(json) json_t *body = NULL;
    int rc = api_etcd_read(call, &body, error);

    if (rc == 0)
        rc = api_etcd_range_read(body, &call->arena, &ask, error);
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

/* [range, op] in one transaction: what was there before, and the change. */
static int submit_with_prev(struct api_call *call, Hypermesh__KvTxnOp *op, ProtobufCBinaryData key,
                            ProtobufCBinaryData range_end, const Hypermesh__KvAnswer **before,
                            const Hypermesh__KvAnswer **done, struct hm_error *error)
{
    Hypermesh__KvRange range = HYPERMESH__KV_RANGE__INIT;
    Hypermesh__KvTxnOp look = HYPERMESH__KV_TXN_OP__INIT;
    Hypermesh__KvTxnOp *ops[] = {&look, op};
    Hypermesh__KvTxn txn = HYPERMESH__KV_TXN__INIT;
    Hypermesh__Operation act = HYPERMESH__OPERATION__INIT;
    const Hypermesh__KvAnswer *answer = NULL;
    struct api_receipt receipt;
    int rc;

    range.key = key;
    range.range_end = range_end;
    look.op_case = HYPERMESH__KV_TXN_OP__OP_RANGE;
    look.range = &range;
    txn.n_success = 2;
    txn.success = ops;
    act.op_case = HYPERMESH__OPERATION__OP_KV_TXN;
    act.kv_txn = &txn;
    rc = api_kv_submit(call, call->account, &act, &receipt, &answer, error);
    if (rc)
        return rc;
    if (answer->n_answers != 2)
        return hm_fail(error, HM_EINTERNAL, "the ledger gave no answers to the transaction");
    *before = answer->answers[0];
    *done = answer->answers[1];
    return 0;
}

static int put_body(struct api_call *call, struct hm_error *error)
{
    Hypermesh__KvTxnOp inner = HYPERMESH__KV_TXN_OP__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const Hypermesh__KvAnswer *before = NULL;
    const Hypermesh__KvAnswer *done = NULL;
    struct api_etcd_put_ask ask = {0};
    HM_CLEANUP(json) json_t *body = NULL;
    struct api_receipt receipt;
    int rc = api_etcd_read(call, &body, error);

    if (rc == 0)
        rc = api_etcd_put_read(body, &call->arena, &ask, error);
    if (rc)
        return rc;
    inner.op_case = HYPERMESH__KV_TXN_OP__OP_PUT;
    inner.put = &ask.put;
    op.op_case = HYPERMESH__OPERATION__OP_KV_PUT;
    op.kv_put = &ask.put;
    rc = ask.prev ? submit_with_prev(call, &inner, ask.put.key, (ProtobufCBinaryData){0}, &before,
                                     &done, error)
                  : api_kv_submit(call, call->account, &op, &receipt, &done, error);
    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    rc = api_etcd_header(call, &call->json, done->revision, error);
    if (before && before->n_pairs > 0) {
        json_out_key(&call->json, "prev_kv");
        api_etcd_kv_json(&call->json, wire_slice(before->pairs[0]->key), before->pairs[0]->entry,
                         false);
    }
    json_out_close(&call->json, '}');
    return rc;
}

static int delete_body(struct api_call *call, struct hm_error *error)
{
    Hypermesh__KvTxnOp inner = HYPERMESH__KV_TXN_OP__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const Hypermesh__KvAnswer *before = NULL;
    const Hypermesh__KvAnswer *done = NULL;
    struct api_etcd_delete_ask ask = {0};
    HM_CLEANUP(json) json_t *body = NULL;
    struct api_receipt receipt;
    int rc = api_etcd_read(call, &body, error);

    if (rc == 0)
        rc = api_etcd_delete_read(body, &call->arena, &ask, error);
    if (rc)
        return rc;
    inner.op_case = HYPERMESH__KV_TXN_OP__OP_DELETE;
    inner.delete_ = &ask.act;
    op.op_case = HYPERMESH__OPERATION__OP_KV_DELETE;
    op.kv_delete = &ask.act;
    rc = ask.prev
             ? submit_with_prev(call, &inner, ask.act.key, ask.act.range_end, &before, &done, error)
             : api_kv_submit(call, call->account, &op, &receipt, &done, error);
    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    rc = api_etcd_header(call, &call->json, done->revision, error);
    api_etcd_put_u64(&call->json, "deleted", done->deleted);
    if (before)
        api_etcd_prev_list(&call->json, "prev_kvs", before);
    json_out_close(&call->json, '}');
    return rc;
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
