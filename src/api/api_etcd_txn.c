/* etcd's transactions: prev_kv and sorted ranges are made of plain operations of the ledger. What a range of an
 * older revision finds is read beforehand, for it can't change any more. */
#include "api_etcd.h"

static const char *const results[] = {"EQUAL", "GREATER", "LESS", "NOT_EQUAL"};
static const char *const targets[] = {"VERSION", "CREATE", "MOD", "VALUE", "LEASE"};
_Static_assert(HYPERMESH__KV_COMPARE_RESULT__KV_NOT_EQUAL == 3 &&
                   HYPERMESH__KV_COMPARE_TARGET__KV_LEASE == 4,
               "the numbers are etcd's");

struct etcd_txn;

/* One request of a branch, and which answers of the ledger are its. */
struct etcd_op {
    enum { OP_PUT, OP_DELETE, OP_RANGE, OP_TXN } kind;
    bool prev; /* the answer before its own says what was there */
    size_t answer; /* index of its own */
    struct api_etcd_range_ask range;
    const struct api_kv_pairs *then; /* of a range of an older revision */
    struct etcd_txn *txn;
};

struct etcd_branch {
    struct etcd_op *ops;
    size_t count;
    Hypermesh__KvTxnOp **acts; /* what the ledger does: at most two an operation */
    size_t act_count;
    struct hm_error fault; /* .code: there is no such revision as one of its ranges wants */
};

struct etcd_txn {
    Hypermesh__KvTxn act;
    struct etcd_branch success, failure;
};

static int read_txn(struct api_call *call, const json_t *from, unsigned depth,
                    struct etcd_txn **out, struct hm_error *error);

/* --- reading ------------------------------------------------------------------------------------------ */

static int list_of(const json_t *from, const char *name, const json_t **out, size_t *count,
                   struct hm_error *error)
{
    *out = api_etcd_field(from, name);
    *count = json_array_size(*out);
    if (*out && !json_is_array(*out))
        return hm_fail(error, HM_EPARSE, "json: %s must be a list", name);
    if (*count > API_ETCD_OPS_MAX)
        return hm_fail(error, HM_EINVAL, "etcdserver: too many operations in txn request");
    return 0;
}

/* The number or bytes that go with the target; what other targets have is ignored, as in etcd. */
static int read_union(struct api_call *call, const json_t *from, Hypermesh__KvCompare *out,
                      struct hm_error *error)
{
    static const char *const names[] = {"version", "create_revision", "mod_revision", "value",
                                        "lease"};

    if (out->target == HYPERMESH__KV_COMPARE_TARGET__KV_VALUE)
        return api_etcd_bytes(from, "value", &call->arena, &out->value, error);
    return api_etcd_i64(from, names[out->target], &out->number, error);
}

static int read_compare(struct api_call *call, const json_t *from, Hypermesh__KvCompare *out,
                        struct hm_error *error)
{
    int result = 0;
    int target = 0;
    int rc = json_is_object(from) ? 0 : hm_fail(error, HM_EPARSE, "json: a compare is an object");

    hypermesh__kv_compare__init(out);
    if (rc == 0)
        rc = api_etcd_enum(from, "result", results, HM_COUNT_OF(results), &result, error);
    if (rc == 0)
        rc = api_etcd_enum(from, "target", targets, HM_COUNT_OF(targets), &target, error);
    if (rc == 0 && (result < 0 || (size_t)result >= HM_COUNT_OF(results) || target < 0 ||
                    (size_t)target >= HM_COUNT_OF(targets)))
        rc = hm_fail(error, HM_EINVAL, "etcdserver: no such compare");
    if (rc)
        return rc;
    out->result = (Hypermesh__KvCompareResult)result;
    out->target = (Hypermesh__KvCompareTarget)target;
    rc = api_etcd_bytes(from, "key", &call->arena, &out->key, error);
    if (rc == 0)
        rc = api_etcd_bytes(from, "range_end", &call->arena, &out->range_end, error);
    if (rc == 0 && out->key.len == 0)
        rc = hm_fail(error, HM_EINVAL, "etcdserver: key is not provided");
    return rc ? rc : read_union(call, from, out, error);
}

static int read_compares(struct api_call *call, const json_t *from, Hypermesh__KvTxn *out,
                         struct hm_error *error)
{
    const json_t *list = NULL;
    Hypermesh__KvCompare *compares;
    size_t count = 0;
    int rc = list_of(from, "compare", &list, &count, error);

    if (rc)
        return rc;
    compares = hm_arena_alloc(&call->arena, (count + 1) * sizeof(*compares));
    out->compare = hm_arena_alloc(&call->arena, (count + 1) * sizeof(*out->compare));
    if (!compares || !out->compare)
        return api_no_memory(error);
    for (size_t i = 0; i < count && rc == 0; i++) {
        out->compare[i] = &compares[i];
        rc = read_compare(call, json_array_get(list, i), &compares[i], error);
    }
    out->n_compare = count;
    return rc;
}

/* The next operation of the ledger in the branch. */
static Hypermesh__KvTxnOp *act_new(struct api_call *call, struct etcd_branch *branch,
                                   Hypermesh__KvTxnOp__OpCase kind)
{
    Hypermesh__KvTxnOp *act = hm_arena_alloc(&call->arena, sizeof(*act));

    if (!act)
        return NULL;
    hypermesh__kv_txn_op__init(act);
    act->op_case = kind;
    branch->acts[branch->act_count++] = act;
    return act;
}

static int add_range(struct api_call *call, struct etcd_branch *branch, ProtobufCBinaryData key,
                     ProtobufCBinaryData range_end, Hypermesh__KvRange **out,
                     struct hm_error *error)
{
    Hypermesh__KvTxnOp *act = act_new(call, branch, HYPERMESH__KV_TXN_OP__OP_RANGE);

    if (!act)
        return api_no_memory(error);
    act->range = hm_arena_alloc(&call->arena, sizeof(*act->range));
    if (!act->range)
        return api_no_memory(error);
    hypermesh__kv_range__init(act->range);
    act->range->key = key;
    act->range->range_end = range_end;
    if (out)
        *out = act->range;
    return 0;
}

static int read_put(struct api_call *call, const json_t *from, struct etcd_branch *branch,
                    struct etcd_op *op, struct hm_error *error)
{
    struct api_etcd_put_ask *ask = hm_arena_alloc(&call->arena, sizeof(*ask));
    Hypermesh__KvTxnOp *act;
    int rc = ask ? api_etcd_put_read(from, &call->arena, ask, error) : api_no_memory(error);

    if (rc)
        return rc;
    op->kind = OP_PUT;
    op->prev = ask->prev;
    if (ask->prev)
        rc = add_range(call, branch, ask->put.key, (ProtobufCBinaryData){0}, NULL, error);
    op->answer = branch->act_count;
    act = act_new(call, branch, HYPERMESH__KV_TXN_OP__OP_PUT);
    if (rc || !act)
        return rc ? rc : api_no_memory(error);
    act->put = &ask->put;
    return 0;
}

static int read_delete(struct api_call *call, const json_t *from, struct etcd_branch *branch,
                       struct etcd_op *op, struct hm_error *error)
{
    struct api_etcd_delete_ask *ask = hm_arena_alloc(&call->arena, sizeof(*ask));
    Hypermesh__KvTxnOp *act;
    int rc = ask ? api_etcd_delete_read(from, &call->arena, ask, error) : api_no_memory(error);

    if (rc)
        return rc;
    op->kind = OP_DELETE;
    op->prev = ask->prev;
    if (ask->prev)
        rc = add_range(call, branch, ask->act.key, ask->act.range_end, NULL, error);
    op->answer = branch->act_count;
    act = act_new(call, branch, HYPERMESH__KV_TXN_OP__OP_DELETE);
    if (rc || !act)
        return rc ? rc : api_no_memory(error);
    act->delete_ = &ask->act;
    return 0;
}

/* What it finds at a revision before this transaction. The ledger is asked of the first key alone, and for
 * nothing but the revision that the answer's header has. */
static int read_range_then(struct api_call *call, struct etcd_branch *branch, struct etcd_op *op,
                           struct hm_error *error)
{
    struct api_kv_pairs *then = hm_arena_alloc(&call->arena, sizeof(*then));
    struct hm_error fault = {0};
    Hypermesh__KvRange *range = NULL;
    int rc;

    if (!then)
        return api_no_memory(error);
    *then = (struct api_kv_pairs){0};
    rc = api_etcd_range_find(call, &op->range, then, &fault);
    if (rc == HM_ERANGE && !branch->fault.code) {
        branch->fault = fault;
        branch->fault.code = rc;
    } else if (rc != HM_ERANGE && rc != 0) {
        return hm_fail(error, rc, "%s", fault.text);
    }
    op->then = then;
    rc = add_range(call, branch, op->range.key, (ProtobufCBinaryData){0}, &range, error);
    if (rc == 0)
        range->count_only = true;
    return rc;
}

static int read_range(struct api_call *call, const json_t *from, struct etcd_branch *branch,
                      struct etcd_op *op, struct hm_error *error)
{
    Hypermesh__KvRange *range = NULL;
    int rc = api_etcd_range_read(from, &call->arena, &op->range, error);

    if (rc)
        return rc;
    op->kind = OP_RANGE;
    op->answer = branch->act_count;
    if (op->range.revision > 0)
        return read_range_then(call, branch, op, error);
    rc = add_range(call, branch, op->range.key, op->range.range_end, &range, error);
    if (rc)
        return rc;
    if (op->range.limit > 0 && !api_etcd_range_is_whole(&op->range))
        range->limit = (uint64_t)op->range.limit;
    range->keys_only = op->range.keys_only && op->range.sort_target == 0;
    range->count_only = op->range.count_only;
    return 0;
}

static int read_op(struct api_call *call, const json_t *from, unsigned depth,
                   struct etcd_branch *branch, struct etcd_op *op, struct hm_error *error)
{
    static const struct {
        const char *name;
        int (*read)(struct api_call *call, const json_t *from, struct etcd_branch *branch,
                    struct etcd_op *op, struct hm_error *error);
    } kinds[] = {{"request_put", read_put},
                 {"request_delete_range", read_delete},
                 {"request_range", read_range}};
    const json_t *inner;
    Hypermesh__KvTxnOp *act;
    int rc;

    for (size_t i = 0; i < HM_COUNT_OF(kinds); i++) {
        inner = api_etcd_field(from, kinds[i].name);
        if (inner && !json_is_object(inner))
            return hm_fail(error, HM_EPARSE, "json: %s must be an object", kinds[i].name);
        if (inner)
            return kinds[i].read(call, inner, branch, op, error);
    }
    inner = api_etcd_field(from, "request_txn");
    if (!inner)
        return hm_fail(error, HM_EINVAL, "etcdserver: key not found");
    op->kind = OP_TXN;
    op->answer = branch->act_count;
    rc = read_txn(call, inner, depth + 1, &op->txn, error);
    act = rc ? NULL : act_new(call, branch, HYPERMESH__KV_TXN_OP__OP_TXN);
    if (rc || !act)
        return rc ? rc : api_no_memory(error);
    act->txn = &op->txn->act;
    return 0;
}

static int read_branch(struct api_call *call, const json_t *from, const char *name, unsigned depth,
                       struct etcd_branch *out, struct hm_error *error)
{
    const json_t *list = NULL;
    int rc = list_of(from, name, &list, &out->count, error);

    if (rc)
        return rc;
    out->ops = hm_arena_alloc(&call->arena, (out->count + 1) * sizeof(*out->ops));
    out->acts = hm_arena_alloc(&call->arena, (2 * out->count + 1) * sizeof(*out->acts));
    if (!out->ops || !out->acts)
        return api_no_memory(error);
    for (size_t i = 0; i < out->count && rc == 0; i++)
        rc = read_op(call, json_array_get(list, i), depth, out, &out->ops[i], error);
    /* A transaction that takes this branch fails: so that it then changes nothing, the ledger gets none of it. Of
     * one inside another the outer one's part could not be held back: it is refused whichever way it would go. */
    if (rc == 0 && out->fault.code && depth > 0)
        return hm_fail(error, out->fault.code, "%s", out->fault.text);
    if (out->fault.code)
        out->act_count = 0;
    return rc;
}

static int read_txn(struct api_call *call, const json_t *from, unsigned depth,
                    struct etcd_txn **out, struct hm_error *error)
{
    struct etcd_txn *txn = hm_arena_alloc(&call->arena, sizeof(*txn));
    int rc = txn ? 0 : api_no_memory(error);

    if (rc == 0 && !json_is_object(from))
        rc = hm_fail(error, HM_EPARSE, "json: a transaction is an object");
    if (rc == 0 && depth > API_KV_DEPTH_MAX)
        rc = hm_fail(error, HM_ELIMIT, "transactions are nested deeper than %d", API_KV_DEPTH_MAX);
    if (rc)
        return rc;
    hypermesh__kv_txn__init(&txn->act);
    rc = read_compares(call, from, &txn->act, error);
    if (rc == 0)
        rc = read_branch(call, from, "success", depth, &txn->success, error);
    if (rc == 0)
        rc = read_branch(call, from, "failure", depth, &txn->failure, error);
    txn->act.n_success = txn->success.act_count;
    txn->act.success = txn->success.acts;
    txn->act.n_failure = txn->failure.act_count;
    txn->act.failure = txn->failure.acts;
    if (rc == 0)
        *out = txn;
    return rc;
}

/* --- answering ---------------------------------------------------------------------------------------- */

static void txn_put(struct json_out *json, const struct etcd_txn *txn,
                    const Hypermesh__KvAnswer *answer);

static void put_header(struct json_out *json, uint64_t revision)
{
    json_out_key(json, "header");
    json_out_open(json, '{');
    api_etcd_put_u64(json, "revision", revision);
    json_out_close(json, '}');
}

static void op_put(struct json_out *json, const struct etcd_op *op, const Hypermesh__KvAnswer *all)
{
    static const char *const names[] = {
        [OP_PUT] = "response_put",
        [OP_DELETE] = "response_delete_range",
        [OP_RANGE] = "response_range",
        [OP_TXN] = "response_txn",
    };
    const Hypermesh__KvAnswer *answer = all->answers[op->answer];
    const Hypermesh__KvAnswer *before = op->prev ? all->answers[op->answer - 1] : NULL;

    json_out_open(json, '{');
    json_out_key(json, names[op->kind]);
    json_out_open(json, '{');
    put_header(json, op->kind == OP_TXN ? 0 : answer->revision);
    switch (op->kind) {
    case OP_PUT:
        if (before && before->n_pairs > 0) {
            json_out_key(json, "prev_kv");
            api_etcd_kv_json(json, wire_slice(before->pairs[0]->key), before->pairs[0]->entry,
                             false);
        }
        break;
    case OP_DELETE:
        api_etcd_put_u64(json, "deleted", answer->deleted);
        if (before)
            api_etcd_prev_list(json, "prev_kvs", before);
        break;
    case OP_RANGE:
        if (op->then)
            api_etcd_range_put(json, &op->range, op->then->pairs, op->then->count, op->then->total,
                               op->then->more);
        else
            api_etcd_range_put(json, &op->range, answer->pairs, answer->n_pairs, answer->count,
                               answer->more != 0);
        break;
    default:
        txn_put(json, op->txn, answer);
    }
    json_out_close(json, '}');
    json_out_close(json, '}');
}

static void txn_put(struct json_out *json, const struct etcd_txn *txn,
                    const Hypermesh__KvAnswer *answer)
{
    const struct etcd_branch *branch = answer->succeeded ? &txn->success : &txn->failure;

    if (answer->succeeded)
        json_out_put_bool(json, "succeeded", true);
    if (branch->count == 0 || answer->n_answers != branch->act_count)
        return;
    json_out_key(json, "responses");
    json_out_open(json, '[');
    for (size_t i = 0; i < branch->count; i++)
        op_put(json, &branch->ops[i], answer);
    json_out_close(json, ']');
}

/* A transaction on its way, in the call's arena. */
struct etcd_sent {
    Hypermesh__Operation op;
    const struct etcd_txn *txn;
};

static int txn_answer(struct api_call *call, const struct etcd_txn *txn,
                      const struct api_receipt *receipt, struct hm_error *error)
{
    const Hypermesh__KvAnswer *answer = NULL;
    const struct etcd_branch *taken;
    int rc = api_kv_answer(receipt, &answer, error);

    if (rc)
        return rc;
    taken = answer->succeeded ? &txn->success : &txn->failure;
    if (taken->fault.code)
        return hm_fail(error, taken->fault.code, "%s", taken->fault.text);
    json_out_open(&call->json, '{');
    rc = api_etcd_header(call, &call->json, answer->revision, error);
    txn_put(&call->json, txn, answer);
    json_out_close(&call->json, '}');
    return rc;
}

static int txn_ended(struct api_call *call, void *ctx, int rc, const struct api_receipt *receipt,
                     struct hm_error *error)
{
    const struct etcd_sent *sent = ctx;

    return api_etcd_end(call, rc ? rc : txn_answer(call, sent->txn, receipt, error), error);
}

static int txn_body(struct api_call *call, struct hm_error *error)
{
    struct etcd_sent *sent = hm_arena_alloc(&call->arena, sizeof(*sent));
    HM_CLEANUP(json) json_t *body = NULL;
    struct etcd_txn *txn = NULL;
    int rc = sent ? api_etcd_read(call, &body, error) : api_no_memory(error);

    if (rc == 0)
        rc = read_txn(call, body, 0, &txn, error);
    if (rc)
        return rc;
    sent->txn = txn;
    hypermesh__operation__init(&sent->op);
    sent->op.op_case = HYPERMESH__OPERATION__OP_KV_TXN;
    sent->op.kv_txn = &txn->act;
    return api_submit_then(call, call->account, &sent->op, txn_ended, sent, error);
}

int api_etcd_txn(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, txn_body);
}
