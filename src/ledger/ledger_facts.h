/* Blocks that an engine outside orders: what it says of a block, what the state keeps of the chain because of it, since
 * when the chain has such blocks. */
#ifndef HM_LEDGER_FACTS_H
#define HM_LEDGER_FACTS_H

#include "ledger_private.h"

#define LEDGER_ADDRESS_BYTES    20 /* a validator's: start of SHA-256(its key) */
#define LEDGER_ABSENT_MAX_BYTES 1250 /* a bit a validator; an engine has at most 10,000 */

/* The facts in the proposal's header, in the arena; *out NULL: one node's block. HM_EINVAL: the header does not fit the
 * proposal or does not follow the last block, or its time is not the one that its note gives. */
int ledger_facts_read(const struct ledger_info *last, const struct ledger_proposal *proposal,
                      struct hm_arena *arena, const Hypermesh__EngineFacts **out,
                      struct hm_error *error);

/* Sets next.base_fee, and the chain's facts in the state when they must be there: the last before the overlay is
 * written. */
int ledger_facts_write(struct ledger_block *block, struct hm_error *error);
/* ChainFacts; HM_ENOTFOUND (error is not set), HM_ECORRUPT. */
int ledger_facts_stored(struct store_txn *txn, struct hm_arena *arena, Hypermesh__ChainFacts **out,
                        struct hm_error *error);

/* Height of the engine's first block; 0: none. */
int ledger_era_read(struct store_txn *txn, uint64_t *height, struct hm_error *error);
int ledger_era_write(struct store_txn *txn, uint64_t height, struct hm_error *error);

/* A note's message: well formed, of any time. HM_EINVAL, HM_ELIMIT, HM_ENOMEM. */
int ledger_note_read(struct hm_slice item, struct hm_arena *arena, Hypermesh__BlockNote **out,
                     struct hm_error *error);

#endif
