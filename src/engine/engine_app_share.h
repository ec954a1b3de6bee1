/* Each node's fair share of the pool of waiting items and of a proposal. Private to this room.
 *
 * A node is who sealed a batch: honest ones have ENGINE_CLUSTER_BATCHES of them on their way at most. One that floods fills its own
 * share, of the pool (the engine shows a proposer no more of it than fits a block) and of the block. */
#ifndef HM_ENGINE_APP_SHARE_H
#define HM_ENGINE_APP_SHARE_H

#include "engine.h"

/* Of one node, that wait in this node's pool: twice what is its due, for those of before a restart of it. */
#define ENGINE_SHARE_BATCHES (2 * (size_t)ENGINE_CLUSTER_BATCHES)
#define ENGINE_SHARE_BYTES   (ENGINE_SHARE_BATCHES * ENGINE_CLUSTER_BATCH_MAX_BYTES)
#define ENGINE_SHARE_FORGET_MS \
    UINT64_C(30000) /* one that was not heard of again does not count for ever */
#define ENGINE_SHARE_IDLE_BLOCKS 16
#define ENGINE_SHARE_ITEMS_MAX   8192 /* that are known; the engine's pool has room for fewer */

struct engine_share; /* what waits, by node; thread-safe */

int engine_share_new(const struct hm_clock *clock, struct engine_share **out,
                     struct hm_error *error);
void engine_share_free(struct engine_share *share); /* NULL is fine */
/* Another batch of its node may wait, and does from now on: HM_EBUSY, with the node's id: it has enough,
 * or one with the same head waits in another form (only the head is signed). One that is known, or that no node can be told of (ledger_check_item
 * refuses what does not begin with its head), is let in. An item of more than the share is let in when it is alone. */
int engine_share_enter(struct engine_share *share, struct hm_slice item, struct hm_error *error);
/* It waits: it came in, or is there still a block later, so it counts on. next: ledger_check_item_again's. HM_EPROOF_TIME: it has been
 * otherwise for ENGINE_SHARE_IDLE_BLOCKS: what it follows never came, and while it lies in the pool it takes the room of
 * others. */
int engine_share_waits(struct engine_share *share, struct hm_slice item, bool next,
                       struct hm_error *error);
/* It, in whatever form, waits no more: it is in a block, or was refused. */
void engine_share_leave(struct engine_share *share, struct hm_slice item);
void engine_share_clear(
    struct engine_share *share); /* the engine's pool is empty: it was started */

/* Who sealed this batch, or, where it has no signature, whose first transaction it holds: 32 bytes in the item; NULL: none can be told. Pure. */
const uint8_t *engine_share_node(struct hm_slice item);
/* Puts items into the order in which a proposal takes them. First those that the next block would take as they are, so that what waits for
 * something else, or for nothing, keeps nobody out; of each kind whoever has the fewest bytes in it so far is next, each node's own in the
 * order that they had. HM_ENOMEM. */
int engine_share_order(struct engine_share *share, struct hm_slice *items, size_t count,
                       struct hm_arena *arena, struct hm_error *error);

#endif
