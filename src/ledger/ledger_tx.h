/* One transaction: reading it, judging its proofs, applying it. Judging is the same for a client's
 * transaction at the door (ledger_check.c), in a block, and when its proofs are shown again. */
#ifndef HM_LEDGER_TX_H
#define HM_LEDGER_TX_H

#include "ledger_op.h"

/* A transaction as read; borrows from the arena it was read into. */
struct ledger_tx {
    struct hm_slice bytes;
    Hypermesh__Tx *tx;
    Hypermesh__TxBody *body; /* NULL when it does not parse: body_error says why */
    struct hm_error body_error;
    uint8_t digest[CRYPTO_HASH_BYTES];
    uint64_t weight;
    bool touches_assets;
    bool keyed; /* key is set */
    uint8_t key[CRYPTO_HASH_BYTES]; /* ledger_seen.h */
};

/* What a transaction is judged against. */
struct ledger_tx_facts {
    const Hypermesh__Params *params;
    const char *chain_id;
    const Hypermesh__Account *account;
    uint64_t now_ms;
    uint64_t base_fee;
    const uint8_t *anchor_known; /* hash of the block that the body names, or NULL */
    bool presence_may_differ; /* others of the account are still on their way */
};

/* Reads the envelope and, when it can, the body. 0 also when only the body is bad. HM_EPARSE,
 * HM_ELIMIT, HM_ENOMEM. */
int ledger_tx_read(const Hypermesh__Params *params, struct hm_slice bytes, struct hm_arena *arena,
                   struct ledger_tx *out, struct hm_error *error);
/* As ledger_tx_read, for bytes of which is known that they are whole. */
int ledger_tx_read_again(const struct ledger_seen_tx *known, struct hm_slice bytes,
                         struct hm_arena *arena, struct ledger_tx *out, struct hm_error *error);
/* What may be remembered of it. Sets its key. */
void ledger_tx_remember(struct ledger_tx *tx, struct ledger_seen_tx *out);
/* 0, or HM_EINVAL: what is for another chain. The sentence repeats only what is a chain's id. */
int ledger_chain_check(const char *what, const char *claimed, const char *chain_id,
                       struct hm_error *error);
/* Shape of the body: chain, ids, number of operations. */
int ledger_tx_shape(const struct ledger_tx *tx, const char *chain_id,
                    const Hypermesh__Params *params, struct hm_error *error);

/* The parts of judging, each alone. */
int ledger_tx_work(const struct ledger_tx *tx, unsigned bits, struct hm_error *error);
int ledger_tx_time(const struct ledger_tx *tx, const struct ledger_tx_facts *facts,
                   struct hm_error *error);
/* Rights of the key that signed: session known, not over, scope covers the operations. */
int ledger_tx_rights(const struct ledger_tx *tx, const Hypermesh__Session *session, uint64_t now_ms,
                     struct hm_error *error);
const Hypermesh__Session *ledger_tx_session(const struct ledger_tx *tx,
                                            const Hypermesh__Account *account);
/* The signature, unless it is remembered as good (seen may be NULL); then it is. */
int ledger_tx_signature(struct ledger_tx *tx, struct ledger_seen *seen, struct hm_error *error);
/* The fee, and whether the account can pay it. */
int ledger_tx_fee(const struct ledger_tx *tx, const struct ledger_tx_facts *facts, uint64_t *fee,
                  struct hm_error *error);
unsigned ledger_account_work_bits(const Hypermesh__Params *params,
                                  const Hypermesh__Account *account, uint64_t now_ms);

/* All of it, cheapest first: shape, Work, Time, rights, signature (seen may be NULL), fee. Fills record
 * as far as it came; *fee is what the transaction pays. */
int ledger_tx_judge(struct ledger_tx *tx, const struct ledger_tx_facts *facts,
                    struct ledger_seen *seen, Hypermesh__TxFacts *record, uint64_t *fee,
                    struct hm_error *error);

/* Applies it to the block: proofs, fee, then operations all or none. The result is in `result`, which
 * lives in the block's arena; *charged tells whether the fee was paid. An error is fatal. */
int ledger_tx_apply(struct ledger_block *block, struct ledger_tx *tx,
                    const Hypermesh__PlotCommitment *plot, Hypermesh__TxResult *result,
                    struct ledger_placed *placed, struct hm_error *error);

/* *out: hash of the block at height, when it is recent enough to be an anchor, or NULL. The buffer holds it.
 * An error is fatal: a machine that cannot read must not refuse what others take. */
int ledger_anchor_find(struct store_txn *txn, const Hypermesh__Params *params, uint64_t last_height,
                       uint64_t height, uint8_t buffer[CRYPTO_HASH_BYTES], const uint8_t **out,
                       struct hm_error *error);

#endif
