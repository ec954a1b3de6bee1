/* A batch: the transactions that one node forwards together, under its signature and Space proof. */
#ifndef HM_LEDGER_BATCH_H
#define HM_LEDGER_BATCH_H

#include "ledger_tx.h"

/* What is known of a transaction before it is read for good: a few small facts each, so that a batch made
 * to unfold to a thousand times its size never does so all at once. */
struct ledger_batch_tx {
    struct hm_slice bytes;
    struct ledger_seen_tx is; /* its key is set when a ledger_seen was at hand */
};

struct ledger_batch {
    Hypermesh__Batch *batch;
    Hypermesh__BatchHead *head; /* NULL when it does not parse */
    struct hm_error head_error;
    struct ledger_batch_tx *txs; /* batch->n_txs */
    struct hm_error tx_error; /* of the first transaction that is not readable */
    uint8_t tx_root[CRYPTO_HASH_BYTES];
    uint64_t weight;
    bool touches_assets;
    bool all_root_signed;
};

struct ledger_batch_facts {
    const Hypermesh__Params *params;
    const char *chain_id;
    const Hypermesh__Account *node;
    uint64_t now_ms;
    const uint8_t *anchor_known;
    struct ledger_seen *seen; /* NULL: the signature is verified afresh */
};

/* Reads everything in it, or remembers having done so (seen may be NULL). 0 also when the head or a transaction is bad (judging refuses it then).
 * HM_EPARSE, HM_ELIMIT, HM_ENOMEM. */
int ledger_batch_read(const Hypermesh__Params *params, struct ledger_seen *seen,
                      struct hm_slice bytes, struct hm_arena *arena, struct ledger_batch *out,
                      struct hm_error *error);
/* Weight and number of transactions, without keeping anything; a batch that does not parse weighs its bytes and
 * has none. HM_ENOMEM. */
int ledger_batch_weigh(const Hypermesh__Params *params, struct ledger_seen *seen,
                       struct hm_slice bytes, struct hm_arena *arena, uint64_t *weight, size_t *txs,
                       struct hm_error *error);

/* The parts of judging. */
int ledger_batch_shape(const struct ledger_batch *batch, const char *chain_id,
                       struct hm_error *error);
int ledger_batch_time(const struct ledger_batch *batch, const struct ledger_batch_facts *facts,
                      struct hm_error *error);
int ledger_batch_stake(const struct ledger_batch *batch, const struct ledger_batch_facts *facts,
                       struct hm_error *error);
/* plot: of the node, or NULL when it has none. */
int ledger_batch_space(const struct ledger_batch *batch, const Hypermesh__Params *params,
                       const Hypermesh__PlotCommitment *plot, struct hm_error *error);

/* Applies item number `item` of the block; adds one result a transaction. An error is fatal. */
int ledger_batch_apply(struct ledger_block *block, struct hm_slice bytes, uint32_t item,
                       struct hm_error *error);

#endif
