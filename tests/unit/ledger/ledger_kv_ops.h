/* Operations on the key-value store for tests, and reading it back. Keys and values are C strings, or slices. */
#ifndef LEDGER_KV_OPS_H
#define LEDGER_KV_OPS_H

#include "ledger_fixture.h"

#define KV_ALL "\1" /* range_end: all keys from key on; a C string can't hold etcd's zero byte */

/* A copy in the fixture's arena; NULL: empty. */
ProtobufCBinaryData kv_text(struct fixture *f, const char *text);
/* NULL: empty; KV_ALL: a zero byte. */
ProtobufCBinaryData kv_end(struct fixture *f, const char *text);

Hypermesh__KvPut *kv_put(struct fixture *f, const char *key, const char *value, uint64_t lease);
Hypermesh__Operation *op_kv_put(struct fixture *f, const char *key, const char *value,
                                uint64_t lease);
Hypermesh__Operation *op_kv_delete(struct fixture *f, const char *key, const char *range_end);
Hypermesh__Operation *op_kv_grant(struct fixture *f, uint64_t lease, uint64_t ttl_ms);
Hypermesh__Operation *op_kv_revoke(struct fixture *f, uint64_t lease);
Hypermesh__Operation *op_kv_keep_alive(struct fixture *f, uint64_t lease);
Hypermesh__Operation *op_kv_compact(struct fixture *f, uint64_t revision);
/* owner -1: none, so that the rule is removed. */
Hypermesh__Operation *op_kv_rule(struct fixture *f, const char *prefix, int owner);
void kv_rule_add(struct fixture *f, ProtobufCBinaryData **list, size_t *count,
                 enum fixture_role who);

/* A transaction of the store, filled step by step; at most KV_TXN_TEST_MAX of each. */
#define KV_TXN_TEST_MAX 160
Hypermesh__KvTxn *kv_txn(struct fixture *f);
Hypermesh__Operation *op_kv_txn(struct fixture *f, Hypermesh__KvTxn *txn);
Hypermesh__KvCompare *kv_compare(struct fixture *f, Hypermesh__KvTxn *txn,
                                 Hypermesh__KvCompareTarget target,
                                 Hypermesh__KvCompareResult result, const char *key);
Hypermesh__KvTxnOp *kv_then(struct fixture *f, Hypermesh__KvTxn *txn, bool success);
void kv_then_put(struct fixture *f, Hypermesh__KvTxn *txn, bool success, const char *key,
                 const char *value);
void kv_then_delete(struct fixture *f, Hypermesh__KvTxn *txn, bool success, const char *key,
                    const char *range_end);
Hypermesh__KvRange *kv_then_range(struct fixture *f, Hypermesh__KvTxn *txn, bool success,
                                  const char *key, const char *range_end);
void kv_then_txn(struct fixture *f, Hypermesh__KvTxn *txn, bool success, Hypermesh__KvTxn *inner);

#endif
