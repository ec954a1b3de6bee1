#include "ledger_kv_ops.h"

#include <stdlib.h>

static void *take(struct fixture *f, size_t size)
{
    void *memory = hm_arena_alloc(&f->arena, size);

    if (!memory)
        abort();
    return memory;
}

#define MAKE(type, init)                      \
    ({                                        \
        type *made_ = take(f, sizeof *made_); \
        *made_ = (type)init;                  \
        made_;                                \
    })

static Hypermesh__Operation *operation(struct fixture *f, Hypermesh__Operation__OpCase number)
{
    Hypermesh__Operation *op = MAKE(Hypermesh__Operation, HYPERMESH__OPERATION__INIT);

    op->op_case = number;
    return op;
}

ProtobufCBinaryData kv_bytes(struct fixture *f, const void *data, size_t len)
{
    uint8_t *copy = take(f, len + 1);

    if (len > 0)
        memcpy(copy, data, len);
    return wire_bytes(copy, len);
}

ProtobufCBinaryData kv_text(struct fixture *f, const char *text)
{
    return text ? kv_bytes(f, text, strlen(text)) : (ProtobufCBinaryData){0};
}

ProtobufCBinaryData kv_end(struct fixture *f, const char *text)
{
    return text && strcmp(text, KV_ALL) == 0 ? kv_bytes(f, "", 1) : kv_text(f, text);
}

Hypermesh__KvPut *kv_put(struct fixture *f, const char *key, const char *value, uint64_t lease)
{
    Hypermesh__KvPut *put = MAKE(Hypermesh__KvPut, HYPERMESH__KV_PUT__INIT);

    put->key = kv_text(f, key);
    put->value = kv_text(f, value);
    put->lease = lease;
    return put;
}

Hypermesh__Operation *op_kv_put(struct fixture *f, const char *key, const char *value,
                                uint64_t lease)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_KV_PUT);

    op->kv_put = kv_put(f, key, value, lease);
    return op;
}

static Hypermesh__KvDelete *deletion(struct fixture *f, const char *key, const char *range_end)
{
    Hypermesh__KvDelete *that = MAKE(Hypermesh__KvDelete, HYPERMESH__KV_DELETE__INIT);

    that->key = kv_text(f, key);
    that->range_end = kv_end(f, range_end);
    return that;
}

Hypermesh__Operation *op_kv_delete(struct fixture *f, const char *key, const char *range_end)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_KV_DELETE);

    op->kv_delete = deletion(f, key, range_end);
    return op;
}

Hypermesh__Operation *op_kv_grant(struct fixture *f, uint64_t lease, uint64_t ttl_ms)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_KV_LEASE_GRANT);

    op->kv_lease_grant = MAKE(Hypermesh__KvLeaseGrant, HYPERMESH__KV_LEASE_GRANT__INIT);
    op->kv_lease_grant->lease = lease;
    op->kv_lease_grant->ttl_ms = ttl_ms;
    return op;
}

Hypermesh__Operation *op_kv_revoke(struct fixture *f, uint64_t lease)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_KV_LEASE_REVOKE);

    op->kv_lease_revoke = MAKE(Hypermesh__KvLeaseRevoke, HYPERMESH__KV_LEASE_REVOKE__INIT);
    op->kv_lease_revoke->lease = lease;
    return op;
}

Hypermesh__Operation *op_kv_keep_alive(struct fixture *f, uint64_t lease)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_KV_LEASE_KEEP_ALIVE);

    op->kv_lease_keep_alive = MAKE(Hypermesh__KvLeaseKeepAlive,
                                   HYPERMESH__KV_LEASE_KEEP_ALIVE__INIT);
    op->kv_lease_keep_alive->lease = lease;
    return op;
}

Hypermesh__Operation *op_kv_compact(struct fixture *f, uint64_t revision)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_KV_COMPACT);

    op->kv_compact = MAKE(Hypermesh__KvCompact, HYPERMESH__KV_COMPACT__INIT);
    op->kv_compact->revision = revision;
    return op;
}

Hypermesh__Operation *op_kv_rule(struct fixture *f, const char *prefix, int owner)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_KV_RULE_SET);

    op->kv_rule_set = MAKE(Hypermesh__KvRuleSet, HYPERMESH__KV_RULE_SET__INIT);
    op->kv_rule_set->prefix = kv_text(f, prefix);
    if (owner >= 0)
        op->kv_rule_set->owner = kv_bytes(f, f->people[owner].id, 32);
    return op;
}

void kv_rule_add(struct fixture *f, ProtobufCBinaryData **list, size_t *count,
                 enum fixture_role who)
{
    ProtobufCBinaryData *longer = take(f, (*count + 1) * sizeof *longer);

    if (*count > 0)
        memcpy(longer, *list, *count * sizeof *longer);
    longer[*count] = kv_bytes(f, f->people[who].id, 32);
    *list = longer;
    (*count)++;
}

Hypermesh__KvTxn *kv_txn(struct fixture *f)
{
    Hypermesh__KvTxn *txn = MAKE(Hypermesh__KvTxn, HYPERMESH__KV_TXN__INIT);

    txn->compare = take(f, KV_TXN_TEST_MAX * sizeof(void *));
    txn->success = take(f, KV_TXN_TEST_MAX * sizeof(void *));
    txn->failure = take(f, KV_TXN_TEST_MAX * sizeof(void *));
    return txn;
}

Hypermesh__Operation *op_kv_txn(struct fixture *f, Hypermesh__KvTxn *txn)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_KV_TXN);

    op->kv_txn = txn;
    return op;
}

Hypermesh__KvCompare *kv_compare(struct fixture *f, Hypermesh__KvTxn *txn,
                                 Hypermesh__KvCompareTarget target,
                                 Hypermesh__KvCompareResult result, const char *key)
{
    Hypermesh__KvCompare *compare = MAKE(Hypermesh__KvCompare, HYPERMESH__KV_COMPARE__INIT);

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
    Hypermesh__KvTxnOp *op = MAKE(Hypermesh__KvTxnOp, HYPERMESH__KV_TXN_OP__INIT);
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
    Hypermesh__KvRange *range = MAKE(Hypermesh__KvRange, HYPERMESH__KV_RANGE__INIT);

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
