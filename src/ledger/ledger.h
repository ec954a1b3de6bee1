/* ledger: the deterministic state machine. Batches of signed transactions in, results and a new state
 * root out. Every rule of HyperMesh (ownership, shares, escrow, fees, the four proofs) is decided
 * here and nowhere else.
 *
 * Never: reads a clock, draws a random number, opens a file or socket, starts a thread, uses a float or
 * iterates in an order that two machines might not share. Time arrives with the block.
 * Start reading with ledger_finalize, then ledger_batch.c. The shape is ABCI 2.0's: check, prepare,
 * process, finalize, commit; `solo` calls these functions in the process, a CometBFT server will call the
 * same ones. */
#ifndef HM_LEDGER_H
#define HM_LEDGER_H

#include "base.h"
#include "crypto.h"
#include "proof.h"
#include "store.h"
#include "wire.h"

/* --- tables: the ledger's part of the store ------------------------------------------------------ */
enum ledger_table {
    LEDGER_TABLE_STATE, /* authenticated: prefix byte + id -> message (docs/formats-ledger.md) */
    LEDGER_TABLE_LEAF, /* tree */
    LEDGER_TABLE_PAGE, /* tree */
    LEDGER_TABLE_META, /* chain state, genesis; written with the state, in the same transaction */
    LEDGER_TABLE_BLOCK, /* be64 height -> Block */
    LEDGER_TABLE_RECORD, /* be64 height -> BlockRecord */
    LEDGER_TABLE_TX, /* tx digest -> TxLocation */
    LEDGER_TABLE_HISTORY, /* asset id or account id + be64 number -> AssetEvent / TxLocation */
    LEDGER_TABLE_COUNT,
};
extern const char *const ledger_table_names[LEDGER_TABLE_COUNT];

/* Prefix bytes of keys in LEDGER_TABLE_STATE. */
#define LEDGER_KEY_ACCOUNT 'a' /* + account id -> Account */
#define LEDGER_KEY_ASSET   's' /* + asset id -> Asset */
#define LEDGER_KEY_LEASE   'l' /* + lease id -> Lease */
#define LEDGER_KEY_DUE     'x' /* + be64 expires_ms + lease id -> empty: leases to end */
#define LEDGER_KEY_PARAMS  'P' /* -> Params */
#define LEDGER_KEY_SUPPLY  'S' /* -> Supply */

struct ledger;

/* store is borrowed and outlives the ledger; its first LEDGER_TABLE_COUNT tables are the ledger's. */
int ledger_open(struct store *store, struct ledger **out, struct hm_error *error);
void ledger_close(struct ledger *ledger);

/* Writes the state of height 0 from packed Genesis. HM_EEXIST when a chain is there already; HM_EINVAL
 * names the wrong field. */
int ledger_init_chain(struct ledger *ledger, struct hm_slice genesis, struct hm_error *error);
void ledger_default_params(Hypermesh__Params *out); /* what `nexus up` puts in a new genesis */

struct ledger_info {
    char chain_id[33];
    uint8_t chain_hash[CRYPTO_HASH_BYTES]; /* crypto_hash of the chain id */
    uint64_t height;
    uint64_t time_ms;
    uint8_t block_hash[CRYPTO_HASH_BYTES]; /* of `height`; for 0 the genesis hash */
    uint8_t state_root[CRYPTO_HASH_BYTES];
    uint64_t base_fee;
    uint64_t
        next_due_ms; /* block time at which something must happen by itself; 0: nothing waits */
};
/* Thread-safe: the last committed block's. HM_ENOTFOUND before init_chain. */
int ledger_info(struct ledger *ledger, struct ledger_info *out, struct hm_error *error);

/* --- the application interface ------------------------------------------------------------------- */

/* CheckTx for one client transaction: syntax, limits, signature, Work, Time against the state of the
 * last commit; presence may be ahead (an account may have several on their way). Thread-safe. A good
 * signature is remembered, so finalize does not verify it again. digest (32 bytes) may be NULL. */
int ledger_check_tx(struct ledger *ledger, struct hm_slice tx, uint64_t now_ms, uint8_t *digest,
                    struct hm_error *error);

/* Limits on what is handed in: one Batch, all items of a block, their number. */
#define LEDGER_BATCH_MAX_BYTES ((size_t)8 * 1024 * 1024)
#define LEDGER_BLOCK_MAX_BYTES ((size_t)32 * 1024 * 1024)
#define LEDGER_BLOCK_MAX_ITEMS ((size_t)4096)
/* Transactions of all batches of a block together: each has a result, also one that cannot be read, and the
 * results must fit the block's record. */
#define LEDGER_BLOCK_MAX_TXS ((size_t)65536)

/* How many of the waiting transactions (in order) fit one Batch and one block: number, bytes, weight. At
 * least 1 when there is one: a transaction that fits nowhere is for the block to refuse. Thread-safe. */
size_t ledger_prepare_batch(struct ledger *ledger, const struct hm_slice *txs, size_t count);

/* PrepareProposal: how many of the items (in order) fit one block; at least 1 when there is one.
 * Thread-safe. */
size_t ledger_prepare(struct ledger *ledger, const struct hm_slice *items, size_t count);

struct ledger_proposal {
    uint64_t height;
    uint64_t time_ms; /* > the previous block's */
    uint8_t hash[CRYPTO_HASH_BYTES];
    struct hm_slice header; /* kept with the block, not interpreted */
    const struct hm_slice *items; /* Batches */
    size_t count;
};

/* ProcessProposal: 0 when every item parses and is within limits; no state changes. */
int ledger_process(struct ledger *ledger, const struct ledger_proposal *proposal,
                   struct hm_error *error);

struct ledger_outcome {
    uint8_t state_root[CRYPTO_HASH_BYTES];
    const Hypermesh__BlockRecord
        *record; /* results in order of items, then txs; valid until the next
	                                         finalize or close, also past commit */
    uint64_t next_due_ms;
};

/* FinalizeBlock: opens the write transaction, ends leases that are due, applies the items, checks that
 * supply is conserved, hashes the tree once. Nothing is visible to readers until commit. A bad item is a
 * result, not a failure; a failure (HM_EIO, HM_ECORRUPT, HM_EINTERNAL for a broken invariant) leaves the
 * state as it was and the caller must not go on. One thread. */
int ledger_finalize(struct ledger *ledger, const struct ledger_proposal *proposal,
                    struct ledger_outcome *out, struct hm_error *error);
/* Commit: state, tree, block, record, indexes durable in one transaction. */
int ledger_commit(struct ledger *ledger, struct hm_error *error);
void ledger_abandon(struct ledger *ledger); /* drops what finalize did */
/* Did the transaction pay its fee (and so move its account's presence on), whatever its operations did?
 * One that did not left nothing behind. */
bool ledger_result_charged(const Hypermesh__TxResult *result);

/* --- views: snapshots for readers ------------------------------------------------------------------
 * A view is one read transaction, used by one thread. Messages it gives live in the arena. */
struct ledger_view;
int ledger_view_open(struct ledger *ledger, struct ledger_view **out, struct hm_error *error);
void ledger_view_close(struct ledger_view *view);
int ledger_view_info(struct ledger_view *view, struct ledger_info *out, struct hm_error *error);

/* An account nobody has touched is not an error: all zero. */
int ledger_view_account(struct ledger_view *view, const uint8_t id[32], struct hm_arena *arena,
                        Hypermesh__Account **out, struct hm_error *error);
int ledger_view_asset(struct ledger_view *view, const uint8_t id[32], struct hm_arena *arena,
                      Hypermesh__Asset **out, struct hm_error *error);
int ledger_view_lease(struct ledger_view *view, const uint8_t id[32], struct hm_arena *arena,
                      Hypermesh__Lease **out, struct hm_error *error);
int ledger_view_params(struct ledger_view *view, struct hm_arena *arena, Hypermesh__Params **out,
                       struct hm_error *error);
int ledger_view_supply(struct ledger_view *view, struct hm_arena *arena, Hypermesh__Supply **out,
                       struct hm_error *error);

/* Pages in id order: up to limit messages after `after` (32 bytes, or NULL for the first); HM_ELIMIT
 * when limit is over LEDGER_PAGE_MAX. Filters: NULL or 0 means any. */
#define LEDGER_PAGE_MAX 1024
struct ledger_asset_filter {
    const uint8_t *owner; /* 32 bytes or NULL */
    Hypermesh__AssetKind kind;
    bool with_retired;
};
int ledger_view_assets(struct ledger_view *view, const struct ledger_asset_filter *filter,
                       const uint8_t *after, size_t limit, struct hm_arena *arena,
                       Hypermesh__Asset ***out, size_t *count, struct hm_error *error);
struct ledger_lease_filter {
    const uint8_t *party; /* consumer or provider, 32 bytes or NULL */
    const uint8_t *asset; /* 32 bytes or NULL */
    bool active_only;
};
int ledger_view_leases(struct ledger_view *view, const struct ledger_lease_filter *filter,
                       const uint8_t *after, size_t limit, struct hm_arena *arena,
                       Hypermesh__Lease ***out, size_t *count, struct hm_error *error);
/* Accounts with ids after `after`; ids is count*32 bytes in the arena. */
int ledger_view_accounts(struct ledger_view *view, const uint8_t *after, size_t limit,
                         struct hm_arena *arena, uint8_t **ids, Hypermesh__Account ***out,
                         size_t *count, struct hm_error *error);
/* An asset's history, oldest first, from event number `from`. */
int ledger_view_asset_history(struct ledger_view *view, const uint8_t id[32], uint64_t from,
                              size_t limit, struct hm_arena *arena, Hypermesh__AssetEvent ***out,
                              size_t *count, struct hm_error *error);

/* Where an account's transactions stand, oldest first, from number `from` (Account.txs counts them). */
int ledger_view_account_history(struct ledger_view *view, const uint8_t id[32], uint64_t from,
                                size_t limit, struct hm_arena *arena, Hypermesh__TxLocation ***out,
                                size_t *count, struct hm_error *error);

/* Blocks and transactions. HM_ENOTFOUND. Height 0 has no block. */
int ledger_view_block(struct ledger_view *view, uint64_t height, struct hm_arena *arena,
                      struct hm_slice *block, Hypermesh__BlockRecord **record,
                      struct hm_error *error);
/* tx (exact bytes), head of its batch and result; any out may be NULL. */
int ledger_view_tx(struct ledger_view *view, const uint8_t digest[32], struct hm_arena *arena,
                   struct hm_slice *tx, uint64_t *height, Hypermesh__TxResult **result,
                   struct hm_error *error);
int ledger_view_genesis(struct ledger_view *view, struct hm_slice *genesis, struct hm_error *error);

/* Authenticated read of a raw state key (prefix byte + id). value.data is NULL when absent; valid until
 * the view closes. Verify with store_tree_verify(root, key, value, proof). */
int ledger_view_prove(struct ledger_view *view, struct hm_slice key, struct hm_slice *value,
                      struct store_tree_proof *proof, uint8_t root[CRYPTO_HASH_BYTES],
                      struct hm_error *error);

/* --- fees and signing facts: what a client needs to make a good transaction ------------------------ */
struct ledger_signing {
    struct ledger_info info; /* anchor = info.height, info.block_hash */
    uint8_t presence[CRYPTO_HASH_BYTES];
    unsigned work_bits; /* needed now */
};
int ledger_view_signing(struct ledger_view *view, const uint8_t account[32], uint64_t now_ms,
                        struct ledger_signing *out, struct hm_error *error);
/* Fee of a body at base_fee; deterministic from the bytes and operation kinds. */
uint64_t ledger_tx_weight(const Hypermesh__TxBody *body, size_t tx_bytes);
/* Operations are numbered 1..LEDGER_OP_COUNT (field in Operation); a session's scope holds their bits. */
#define LEDGER_OP_COUNT  15
#define LEDGER_SCOPE_ALL ((UINT64_C(1) << (LEDGER_OP_COUNT + 1)) - 2)
/* True for operations that carry all four proofs: the batch must open its node's plot. */
bool ledger_op_touches_assets(unsigned op);
/* What a lease costs at most: ceil(price * share * duration) summed over items. false: overflow. */
bool ledger_lease_cost(const uint64_t *price_per_hour, const uint32_t *share_ppm, size_t count,
                       uint64_t duration_ms, uint64_t *cost);

/* --- proofs, checked again and explained ------------------------------------------------------------ */
enum ledger_proof_kind {
    LEDGER_PROOF_SPACE,
    LEDGER_PROOF_STAKE,
    LEDGER_PROOF_WORK,
    LEDGER_PROOF_TIME
};
#define LEDGER_PROOF_COUNT 4
struct ledger_proof_case; /* lives in the arena */
/* A transaction on the chain, with the facts of its block. */
int ledger_proof_case_included(struct ledger_view *view, const uint8_t digest[32],
                               struct hm_arena *arena, struct ledger_proof_case **out,
                               struct hm_error *error);
/* Packed Batch from outside, transaction number tx_index, judged against this view as of now_ms. */
int ledger_proof_case_offered(struct ledger_view *view, struct hm_slice batch, size_t tx_index,
                              uint64_t now_ms, struct hm_arena *arena,
                              struct ledger_proof_case **out, struct hm_error *error);
/* Runs one verifier afresh (no cache), so that a caller can time it. 0 or HM_EPROOF_*; shows receives a
 * plain sentence, in the arena, also on failure (what it would have shown). */
int ledger_proof_case_check(struct ledger_proof_case *proof_case, enum ledger_proof_kind kind,
                            const char **shows, struct hm_error *error);

/* --- replay ------------------------------------------------------------------------------------------ */
/* Applies every block of source to an empty scratch ledger and compares each state root. HM_ECORRUPT
 * names the first height that differs. progress as for plots; NULL is fine. At the end also adds up
 * every balance against Supply. */
int ledger_replay(struct ledger *source, struct ledger *scratch, proof_plot_progress progress,
                  void *ctx, uint64_t *blocks, uint64_t *txs, struct hm_error *error);

#endif
