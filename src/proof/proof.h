/* proof: the four proofs that an operation on an asset carries: Space (WHERE), Stake (WHO), Work
 * (WHAT/HOW) and Time (WHEN). Verifiers are pure functions of their arguments; the plot, which a
 * prover keeps on disk, is the one thing here that touches files.
 *
 * Never: reads a clock, reads ledger state, decides rights (ledger hands facts in).
 * Start reading with proof_tx_digest, then proof_space_verify. What each shows and does not show is
 * said in SECURITY.md. */
#ifndef HM_PROOF_H
#define HM_PROOF_H

#include "base.h"
#include "crypto.h"
#include "wire.h"

/* --- digests ------------------------------------------------------------------------------------ */
void proof_body_digest(struct hm_slice body, uint8_t out[CRYPTO_HASH_BYTES]);
/* What is signed and what Work is spent on: crypto_hash of one 64-byte block, "hypermesh 1 tx" padded
 * with zeros to 24 bytes || body digest || be64(nonce). One BLAKE3 compression a try. */
void proof_tx_digest(const uint8_t body_digest[CRYPTO_HASH_BYTES], uint64_t work_nonce,
                     uint8_t out[CRYPTO_HASH_BYTES]);
void proof_batch_digest(struct hm_slice head, uint8_t out[CRYPTO_HASH_BYTES]);
void proof_block_hash(struct hm_slice header, uint8_t out[CRYPTO_HASH_BYTES]);
/* presence' = H("hypermesh 1 presence", presence || tx digest). A new account's is 32 zero bytes. */
void proof_presence_next(const uint8_t presence[CRYPTO_HASH_BYTES],
                         const uint8_t tx_digest[CRYPTO_HASH_BYTES],
                         uint8_t out[CRYPTO_HASH_BYTES]);
/* Account id = H("hypermesh 1 account", ed25519 || mldsa65). */
void proof_account_id(const struct crypto_root_public *root, uint8_t out[CRYPTO_HASH_BYTES]);
/* Asset id = H("hypermesh 1 asset", owner || be32(kind) || hardware_id). */
void proof_asset_id(const uint8_t owner[CRYPTO_HASH_BYTES], Hypermesh__AssetKind kind,
                    const char *hardware_id, uint8_t out[CRYPTO_HASH_BYTES]);

/* --- Work (B1 WHAT/HOW): hashcash over the tx digest ---------------------------------------------- */
#define PROOF_WORK_BITS_MAX 40
/* Searches from nonce 0; expected 2^bits hashes. HM_ERANGE past PROOF_WORK_BITS_MAX. */
int proof_work_solve(const uint8_t body_digest[CRYPTO_HASH_BYTES], unsigned bits, uint64_t *nonce,
                     uint8_t tx_digest[CRYPTO_HASH_BYTES], struct hm_error *error);
unsigned proof_work_bits(const uint8_t tx_digest[CRYPTO_HASH_BYTES]); /* leading zero bits */
/* 0 or HM_EPROOF_WORK. */
int proof_work_verify(const uint8_t tx_digest[CRYPTO_HASH_BYTES], unsigned required,
                      struct hm_error *error);

/* Rate window of an account: two fixed windows, weighted; pure integer arithmetic. */
struct proof_rate {
    uint64_t start_ms; /* of the present window */
    uint64_t count;
    uint64_t previous;
};
#define PROOF_RATE_WINDOW_MAX_MS (UINT64_C(1) << 40)
/* Bits needed at now by one more transaction: base while it and the recent ones are at most free_txs,
 * base + k while they are at most free_txs * 2^k; never above PROOF_WORK_BITS_MAX. Recent is the count
 * of the present window plus that of the one before, weighted by the part of it that lies less than a
 * window back. window_ms is held to 1..PROOF_RATE_WINDOW_MAX_MS. */
unsigned proof_rate_bits(const struct proof_rate *rate, uint64_t now_ms, uint64_t window_ms,
                         uint64_t free_txs, unsigned base_bits);
void proof_rate_count(struct proof_rate *rate, uint64_t now_ms, uint64_t window_ms); /* one more */

/* --- Stake (B1 WHO): signatures; rights and bonds are compared by the ledger ---------------------- */
/* Session form, or root form when tx->root is set (then account must be the id of those keys).
 * 0 or HM_EPROOF_STAKE. The root form needs memory: HM_ENOMEM and HM_EINTERNAL are fatal and say nothing about
 * the signature. */
int proof_signature_verify(const Hypermesh__Tx *tx, const Hypermesh__TxBody *body,
                           const uint8_t tx_digest[CRYPTO_HASH_BYTES], struct hm_error *error);
int proof_batch_signature_verify(const Hypermesh__Batch *batch, const Hypermesh__BatchHead *head,
                                 struct hm_error *error);
int proof_stake_verify(uint64_t bonded, uint64_t needed, const char *what, struct hm_error *error);

/* --- Time (B1 WHEN) ------------------------------------------------------------------------------- */
struct proof_time_facts {
    uint64_t block_ms; /* time of the block that would hold it */
    uint64_t window_ms;
    uint64_t anchor_height; /* as claimed */
    const uint8_t *anchor_claimed; /* 32 bytes */
    const uint8_t *anchor_known; /* hash at that height, or NULL when out of reach */
    uint64_t timestamp_ms; /* as claimed */
    const uint8_t *presence_claimed; /* NULL for batches, which have none */
    const uint8_t *presence_known;
};
/* 0 or HM_EPROOF_TIME. Timestamps at exactly window_ms from block time are inside. */
int proof_time_verify(const struct proof_time_facts *facts, struct hm_error *error);

/* --- Space (B1 WHERE): graph-labelled plot --------------------------------------------------------
 * labels[i] = H(plot id, i, label of i-1, labels of two earlier nodes drawn DRSample-like), inside
 * segments of segment_labels (a power of two); a plot of any size up to TiB is many segments, each built
 * in memory and written once. A Merkle tree over all labels commits to them (path: leaf up). Layout
 * and graph: docs/formats-plot.md; Alwen, Blocki, Harsha, "Practical Graphs for Optimal Side-Channel
 * Resistant Memory-Hard Functions", CCS 2017. */
#define PROOF_LABEL_BYTES            32
#define PROOF_SEGMENT_LABELS_DEFAULT (UINT64_C(1) << 21) /* 64 MiB */
#define PROOF_SEGMENT_LABELS_MIN     UINT64_C(64)
#define PROOF_SEGMENT_LABELS_MAX     (UINT64_C(1) << 28) /* 8 GiB */
#define PROOF_SEGMENTS_MAX           (UINT64_C(1) << 20)
#define PROOF_PLOT_LABELS_MAX        (UINT64_C(1) << 40) /* 32 TiB */
#define PROOF_OPENINGS_MAX           64
#define PROOF_PLOT_CACHED_LABELS     (UINT64_C(1) << 24) /* 512 MiB */

struct proof_plot;

/* Called with labels done and labels in all; a non-zero return cancels (HM_ECANCELLED). */
typedef int (*proof_plot_progress)(void *ctx, uint64_t done, uint64_t total);

/* Builds the plot of a node in file path (written beside it and renamed when whole, so a kill leaves
 * no half plot; a plot that is there stays until the new one is whole). labels is a multiple of
 * segment_labels, a power of two. HM_EINVAL for sizes past the limits above, HM_EIO names a full disk,
 * HM_EBUSY when another process builds the same plot. Progress is called about each hundredth, more
 * often for large plots. */
int proof_plot_create(const char *path, const uint8_t node[CRYPTO_HASH_BYTES], uint64_t labels,
                      uint64_t segment_labels, proof_plot_progress progress, void *ctx,
                      struct hm_error *error);
/* Opens and checks header, size, the tree above the segments and the segments' stored trees: all of them in
 * plots of up to PROOF_PLOT_CACHED_LABELS (default segments), whose trees stay in memory then (1.6 % of the
 * plot), the first and the last in larger ones. HM_ENOTFOUND, HM_ECORRUPT, HM_ECONFLICT when the plot is
 * another node's. */
int proof_plot_open(const char *path, const uint8_t node[CRYPTO_HASH_BYTES],
                    struct proof_plot **out, struct hm_error *error);
void proof_plot_close(struct proof_plot *plot);
/* root points into the plot, valid until close. */
void proof_plot_commitment(const struct proof_plot *plot, Hypermesh__PlotCommitment *out);

/* Positions drawn from a challenge: count distinct-or-not indices below labels, unbiased enough
 * (64-bit modulo of a hash stream). */
void proof_space_positions(const uint8_t challenge[CRYPTO_HASH_BYTES], uint64_t labels,
                           uint64_t *positions, size_t count);
/* Challenge of a batch: H("hypermesh 1 space", anchor hash || tx_root || node). */
void proof_space_challenge(const uint8_t anchor_hash[CRYPTO_HASH_BYTES],
                           const uint8_t tx_root[CRYPTO_HASH_BYTES],
                           const uint8_t node[CRYPTO_HASH_BYTES], uint8_t out[CRYPTO_HASH_BYTES]);
/* Challenge of a commitment itself (Fiat-Shamir): H("hypermesh 1 plot", node || root || labels || segment). */
void proof_plot_challenge(const uint8_t node[CRYPTO_HASH_BYTES],
                          const Hypermesh__PlotCommitment *plot, uint8_t out[CRYPTO_HASH_BYTES]);

/* What a ledger must check before it accepts a commitment, beside its openings: sizes, at least
 * min_labels, and segments of at least min(min_labels, PROOF_SEGMENT_LABELS_DEFAULT) labels, because a small
 * segment can be labelled anew for each opening instead of being kept. Pure. 0 or HM_EPROOF_SPACE. */
int proof_plot_check(const Hypermesh__PlotCommitment *plot, uint64_t min_labels,
                     struct hm_error *error);

/* Thread-safe. Fills count openings (1..PROOF_OPENINGS_MAX), each checked up to the plot's root; messages and
 * bytes live in the arena. HM_ECORRUPT when what was to be opened is damaged or cut off, HM_EIO, HM_ENOMEM. */
int proof_plot_open_at(const struct proof_plot *plot, const uint8_t challenge[CRYPTO_HASH_BYTES],
                       size_t count, bool with_parents, struct hm_arena *arena,
                       Hypermesh__PlotOpening ***out, struct hm_error *error);
/* Pure. 0 or HM_EPROOF_SPACE. Exactly needed (1..PROOF_OPENINGS_MAX) openings, in the order drawn, paths of
 * exactly the length their place has. with_parents also recomputes each label from its parents' openings,
 * which shows the graph was followed. */
int proof_space_verify(const uint8_t node[CRYPTO_HASH_BYTES], const Hypermesh__PlotCommitment *plot,
                       const uint8_t challenge[CRYPTO_HASH_BYTES],
                       Hypermesh__PlotOpening *const *openings, size_t count, size_t needed,
                       bool with_parents, struct hm_error *error);

#endif
