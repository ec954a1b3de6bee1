#include "ledger_kv_ops.h"

ProtobufCBinaryData kv_text(struct fixture *f, const char *text)
{
    return text ? fixture_keep(f, text, strlen(text)) : (ProtobufCBinaryData){0};
}

ProtobufCBinaryData kv_end(struct fixture *f, const char *text)
{
    return text && strcmp(text, KV_ALL) == 0 ? fixture_keep(f, "", 1) : kv_text(f, text);
}

Hypermesh__KvPut *kv_put(struct fixture *f, const char *key, const char *value, uint64_t lease)
{
    Hypermesh__KvPut *put = fixture_new(f, &hypermesh__kv_put__descriptor);

    put->key = kv_text(f, key);
    put->value = kv_text(f, value);
    put->lease = lease;
    return put;
}

Hypermesh__Operation *op_kv_put(struct fixture *f, const char *key, const char *value,
                                uint64_t lease)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_KV_PUT);

    op->kv_put = kv_put(f, key, value, lease);
    return op;
}

static Hypermesh__KvDelete *deletion(struct fixture *f, const char *key, const char *range_end)
{
    Hypermesh__KvDelete *that = fixture_new(f, &hypermesh__kv_delete__descriptor);

    that->key = kv_text(f, key);
    that->range_end = kv_end(f, range_end);
    return that;
}

Hypermesh__Operation *op_kv_delete(struct fixture *f, const char *key, const char *range_end)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_KV_DELETE);

    op->kv_delete = deletion(f, key, range_end);
    return op;
}

Hypermesh__Operation *op_kv_grant(struct fixture *f, uint64_t lease, uint64_t ttl_ms)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_KV_LEASE_GRANT);

    op->kv_lease_grant->lease = lease;
    op->kv_lease_grant->ttl_ms = ttl_ms;
    return op;
}

Hypermesh__Operation *op_kv_revoke(struct fixture *f, uint64_t lease)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_KV_LEASE_REVOKE);

    op->kv_lease_revoke->lease = lease;
    return op;
}

Hypermesh__Operation *op_kv_keep_alive(struct fixture *f, uint64_t lease)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_KV_LEASE_KEEP_ALIVE);

    op->kv_lease_keep_alive->lease = lease;
    return op;
}

Hypermesh__Operation *op_kv_compact(struct fixture *f, uint64_t revision)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_KV_COMPACT);

    op->kv_compact->revision = revision;
    return op;
}

Hypermesh__Operation *op_kv_rule(struct fixture *f, const char *prefix, int owner)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_KV_RULE_SET);

    op->kv_rule_set->prefix = kv_text(f, prefix);
    if (owner >= 0)
        op->kv_rule_set->owner = fixture_keep(f, f->people[owner].id, 32);
    return op;
}

void kv_rule_add(struct fixture *f, ProtobufCBinaryData **list, size_t *count,
                 enum fixture_role who)
{
    fixture_id_append(f, list, count, f->people[who].id);
}

Hypermesh__KvTxn *kv_txn(struct fixture *f)
{
    Hypermesh__KvTxn *txn = fixture_new(f, &hypermesh__kv_txn__descriptor);

    txn->compare = fixture_take(f, KV_TXN_TEST_MAX * sizeof(void *));
    txn->success = fixture_take(f, KV_TXN_TEST_MAX * sizeof(void *));
    txn->failure = fixture_take(f, KV_TXN_TEST_MAX * sizeof(void *));
    return txn;
}

Hypermesh__Operation *op_kv_txn(struct fixture *f, Hypermesh__KvTxn *txn)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_KV_TXN);

    op->kv_txn = txn;
    return op;
}

Hypermesh__KvCompare *kv_compare(struct fixture *f, Hypermesh__KvTxn *txn,
                                 Hypermesh__KvCompareTarget target,
                                 Hypermesh__KvCompareResult result, const char *key)
{
    Hypermesh__KvCompare *compare = fixture_new(f, &hypermesh__kv_compare__descriptor);

    if (txn->n_compare == KV_TXN_TEST_MAX)
        abort();
    compare->target = target;
    compare->result = result;
    compare->key = kv_text(f, key);
    txn->compare[txn->n_compare++] = compare;
    return compare;
}

Hypermesh__KvTxnOp *kv_then(struct fixture *f, Hypermesh__KvTxn *txn, bool success)
{
    Hypermesh__KvTxnOp *op = fixture_new(f, &hypermesh__kv_txn_op__descriptor);
    size_t *count = success ? &txn->n_success : &txn->n_failure;

    if (*count == KV_TXN_TEST_MAX)
        abort();
    (success ? txn->success : txn->failure)[(*count)++] = op;
    return op;
}

void kv_then_put(struct fixture *f, Hypermesh__KvTxn *txn, bool success, const char *key,
                 const char *value)
{
    Hypermesh__KvTxnOp *op = kv_then(f, txn, success);

    op->op_case = HYPERMESH__KV_TXN_OP__OP_PUT;
    op->put = kv_put(f, key, value, 0);
}

void kv_then_delete(struct fixture *f, Hypermesh__KvTxn *txn, bool success, const char *key,
                    const char *range_end)
{
    Hypermesh__KvTxnOp *op = kv_then(f, txn, success);

    op->op_case = HYPERMESH__KV_TXN_OP__OP_DELETE;
    op->delete_ = deletion(f, key, range_end);
}

Hypermesh__KvRange *kv_then_range(struct fixture *f, Hypermesh__KvTxn *txn, bool success,
                                  const char *key, const char *range_end)
{
    Hypermesh__KvTxnOp *op = kv_then(f, txn, success);
    Hypermesh__KvRange *range = fixture_new(f, &hypermesh__kv_range__descriptor);

    range->key = kv_text(f, key);
    range->range_end = kv_end(f, range_end);
    op->op_case = HYPERMESH__KV_TXN_OP__OP_RANGE;
    op->range = range;
    return range;
}

void kv_then_txn(struct fixture *f, Hypermesh__KvTxn *txn, bool success, Hypermesh__KvTxn *inner)
{
    Hypermesh__KvTxnOp *op = kv_then(f, txn, success);

    op->op_case = HYPERMESH__KV_TXN_OP__OP_TXN;
    op->txn = inner;
}
