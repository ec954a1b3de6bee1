/* What a ledger that began with a snapshot keeps beside what every other one has, and how it came to it. Private to this
 * room; the calls of others are in ledger.h. */
#ifndef HM_LEDGER_RESTORE_H
#define HM_LEDGER_RESTORE_H

#include "ledger_private.h"

/* Where a node's own history begins. A chain that was never restored: block 1, revision 0. */
struct ledger_first {
    uint64_t height; /* of the first block here */
    uint64_t kv; /* revision of the key-value store before it: changes up to it are not here */
};
int ledger_first_read(struct store_txn *txn, struct ledger_first *out, struct hm_error *error);
int ledger_first_write(struct store_txn *txn, const struct ledger_first *first,
                       struct hm_error *error);
/* HM_ENOTFOUND with a sentence when the block at height is from before; else 0. */
int ledger_first_block(struct store_txn *txn, uint64_t height, struct hm_error *error);
/* Past the compacted revision counts as compacted on this node what is from before. */
int ledger_first_kv(struct store_txn *txn, uint64_t *compacted, struct hm_error *error);

/* Header of a block from before, as it came with the snapshot. HM_ECORRUPT: it should be there. */
int ledger_restore_header(struct store_txn *txn, uint64_t height, struct hm_slice *out,
                          struct hm_error *error);
int ledger_restore_header_put(struct store_txn *txn, uint64_t height, struct hm_slice header,
                              struct hm_error *error);

/* HM_ECONFLICT with a sentence when a restore was begun in the store and neither finished nor dropped. */
int ledger_restore_pending(struct store_txn *txn, struct hm_error *error);
/* Empties the store and marks it so; a crash from here on leaves it marked. */
int ledger_restore_mark(struct store *store, struct hm_error *error);
int ledger_restore_unmark(struct store_txn *txn, struct hm_error *error);

/* The tables beside the state, one entry of it after the other: who owns or is party to what, and the newest change of each
 * key of the key-value store. */
struct ledger_restore_index {
    struct store_txn *txn;
    struct store_cursor *log;
    struct hm_arena arena;
};
int ledger_restore_index_init(struct ledger_restore_index *index, struct store_txn *txn,
                              struct hm_error *error);
/* Before the transaction ends. */
void ledger_restore_index_release(struct ledger_restore_index *index);
int ledger_restore_index_add(struct ledger_restore_index *index, struct hm_slice key,
                             struct hm_slice value, struct hm_error *error);

#endif
