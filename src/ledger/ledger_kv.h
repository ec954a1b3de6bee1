/* The key-value store within a block: its state, one key's change, leases, history, sweeping. What operations
 * (ledger_op_kv*.c) and the block's time stand on.
 *
 * Keys are written to the block's overlay at once and taken back when the transaction fails, unlike the
 * ledger's other objects: a range must see the changes before it. */
#ifndef HM_LEDGER_KV_H
#define HM_LEDGER_KV_H

#include "ledger_op.h"
#include "ledger_overlay_range.h"

/* Work that is not known before an operation runs is weighed while it runs (ledger_scope_work); units are
 * those of ledger_op.c. */
#define LEDGER_KV_WORK_READ   UINT64_C(20) /* a key looked at in a range */
#define LEDGER_KV_WORK_DELETE UINT64_C(300) /* a key deleted */
#define LEDGER_KV_WORK_ATTACH UINT64_C(300) /* a key attached to a lease: its end will delete it */
#define LEDGER_KV_WORK_RULE   UINT64_C(10) /* a rule looked at, beyond the first */
#define LEDGER_KV_WORK_KEPT   UINT64_C(2) /* a byte of a value written again */

/* A key as it is now. entry.value is valid until the key is written. */
struct ledger_kv_now {
    bool present;
    struct ledger_kv_entry entry;
};

/* --- a block's life --- */
int ledger_kv_begin(struct ledger_block *block, struct hm_error *error);
/* Ends an operation: a new revision when it changed something. */
void ledger_kv_op_end(struct ledger_block *block);
/* What was written since the last of these two stays, or is taken back. */
void ledger_kv_keep(struct ledger_block *block);
void ledger_kv_take_back(struct ledger_block *block);
/* Log, past, sweep and state: before the overlay is written. */
int ledger_kv_write(struct ledger_block *block, struct hm_error *error);
/* After the overlay is written: what the ledger keeps from commit on. */
int ledger_kv_finish(struct ledger_block *block, struct hm_error *error);
/* Erases a part of the history that a compaction gave up; now.swept moves on. */
int ledger_kv_sweep(struct ledger_block *block, struct hm_error *error);
/* The same in a cluster, where nodes need not have the same history: how far one has come is its own affair, and to the
 * state all that is compacted is swept. */
int ledger_kv_sweep_own(struct ledger_block *block, struct hm_error *error);

/* --- reading a store --- */
/* KvState; of a store that has none yet, what a new one has. */
int ledger_kv_totals_read(struct store_txn *txn, struct ledger_kv_totals *out,
                          struct hm_error *error);
/* Do the totals agree with what is stored? HM_ECORRUPT. For `nexus verify`. */
int ledger_kv_audit(struct store_txn *txn, struct hm_error *error);

/* --- one key --- */
int ledger_kv_look(struct ledger_block *block, struct hm_slice key, struct ledger_kv_now *out,
                   struct hm_error *error);
/* Gives the key its next value (value and lease of to; the rest follows), or deletes it (to NULL). was is what
 * look said. The leases follow, but not the one that is ending (0: none). */
int ledger_kv_change(struct ledger_scope *scope, struct hm_slice key,
                     const struct ledger_kv_now *was, const struct ledger_kv_entry *to,
                     uint64_t ending, struct hm_error *error);

/* Deletes a key of the state that is there, so that it can be taken back. */
int ledger_kv_state_drop(struct ledger_block *block, struct hm_slice key, struct hm_error *error);

/* Goes through the span's keys as they are now. The visitor must not write; HM_ECANCELLED from it ends the walk
 * well. */
typedef int (*ledger_kv_visit)(void *ctx, struct hm_slice key, const struct ledger_kv_entry *entry,
                               struct hm_error *error);
int ledger_kv_walk(struct ledger_scope *scope, const struct ledger_kv_span *span,
                   ledger_kv_visit visit, void *ctx, struct hm_error *error);
/* ledger_overlay_range_next that weighs as reads what is stepped over on the way: what a block deleted must not
 * be walked over again and again for nothing. */
int ledger_kv_range_next(struct ledger_scope *scope, struct ledger_overlay_range *range,
                         struct hm_slice *key, struct hm_slice *value, struct hm_error *error);
/* Deletes every key of the span, refused when they are more than most. *deleted: how many. */
int ledger_kv_delete(struct ledger_scope *scope, const struct ledger_kv_span *span, uint64_t most,
                     uint64_t *deleted, struct hm_error *error);

/* --- permissions --- */
int ledger_kv_may(struct ledger_act *act, const struct ledger_kv_span *span, bool write,
                  struct hm_error *error);

/* --- leases --- */
/* message NULL: there is none. */
int ledger_kv_lease_open(struct ledger_scope *scope, uint64_t id, struct ledger_object **out,
                         struct hm_error *error);
/* Refused unless it is there and the signer's. */
int ledger_kv_lease_own(struct ledger_act *act, uint64_t id, struct ledger_object **out,
                        struct hm_error *error);
/* Deletes the lease and its keys, in one revision. */
int ledger_kv_lease_end(struct ledger_scope *scope, struct ledger_object *lease, uint64_t *deleted,
                        struct hm_error *error);
/* By the block's time; id as the index of due things has it. */
int ledger_kv_lease_expire(struct ledger_scope *scope, struct hm_slice id, struct hm_error *error);

/* --- answers --- */
/* The operation's answer, in the block's arena; NULL: memory. */
Hypermesh__KvAnswer *ledger_kv_answer(struct ledger_block *block);

#endif
