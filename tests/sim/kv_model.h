/* etcd's key-value model as naively as it can be said: every change in one list, the state at any revision found
 * by going through it. The ledger's must be the same. */
#ifndef KV_MODEL_H
#define KV_MODEL_H

#include "ledger_kv_ops.h"

#define KV_MODEL_KEYS        40 /* distinct keys that a run can meet */
#define KV_MODEL_LEASES      64
#define KV_MODEL_EVENTS      20000
#define KV_MODEL_VALUE_BYTES 64

struct kv_model_bytes {
    uint8_t data[512];
    size_t len;
};

struct kv_model_entry {
    bool present;
    uint8_t value[KV_MODEL_VALUE_BYTES];
    size_t value_len;
    uint64_t create;
    uint64_t mod;
    uint64_t version;
    uint64_t lease;
};

struct kv_model_event {
    uint64_t revision;
    uint32_t sub;
    size_t key;
    struct kv_model_entry after; /* absent: deleted */
};

struct kv_model_lease {
    bool alive;
    uint64_t id;
    unsigned owner;
    uint64_t ttl_ms;
    uint64_t expires_ms;
};

struct kv_model {
    struct kv_model_bytes keys[KV_MODEL_KEYS]; /* as they came up */
    size_t key_count;
    struct kv_model_entry now[KV_MODEL_KEYS];
    struct kv_model_event *events; /* KV_MODEL_EVENTS; owned */
    size_t event_count;
    struct kv_model_lease leases[KV_MODEL_LEASES];
    size_t lease_count;
    uint64_t revision;
    uint64_t compacted;
    uint64_t time_ms;
    uint32_t sub; /* of the operation under way */
};

void kv_model_init(struct kv_model *model);
void kv_model_release(struct kv_model *model);
/* The block's time has come: leases end. */
void kv_model_begin(struct kv_model *model, uint64_t time_ms);
/* Applies an operation of who and compares its answer with what the ledger gave (NULL: it refused). Returns the
 * rule that refuses, "" when it is good. A difference in the answer: *differs says which. */
const char *kv_model_apply(struct kv_model *model, unsigned who, const Hypermesh__Operation *op,
                           const Hypermesh__KvAnswer *answer, const char **differs);
/* The key's entry at a revision. */
struct kv_model_entry kv_model_at(const struct kv_model *model, size_t key, uint64_t revision);
bool kv_model_same(const Hypermesh__KvEntry *a, const struct kv_model_entry *b, bool keys_only);
/* Numbers of the keys in order, and of those in a range. */
size_t kv_model_sorted(const struct kv_model *model, size_t out[KV_MODEL_KEYS]);
bool kv_model_in(const struct kv_model *model, size_t key, struct hm_slice first,
                 struct hm_slice range_end);
bool kv_model_in_range(struct hm_slice key, struct hm_slice first, struct hm_slice range_end);
bool kv_model_twice(const Hypermesh__KvTxn *txn);
struct hm_slice kv_model_key(const struct kv_model *model, size_t key);
/* How many lines of history a store that has swept everything keeps. */
size_t kv_model_lines_kept(const struct kv_model *model);

#endif
