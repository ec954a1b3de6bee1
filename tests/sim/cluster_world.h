/* Many nodes of one chain in one process and virtual time, seen from their applications: a model of the engine calls their
 * struct abci_handlers in the orders in which CometBFT 0.38 would, while nodes crash at any call, are cut off, are wiped and
 * join, clocks are wrong, and some validator proposes nonsense, writes wrong extensions, lies in snapshots or signs twice.
 * What happens follows from one seed.
 *
 * A run fails, and says why, when
 *   - two nodes have another root, other results or other updates of validators after one height;
 *   - an application's answer would stop or hang the engine (cluster_rules.c is its own account of the engine's rules);
 *   - an application names a height that the engine could not go on from, or needs a block it allowed to be forgotten;
 *   - a node refuses its own proposal, or an honest node's vote extension, or accepts a proposal that is nonsense;
 *   - a transaction that was answered with 0 is missing afterwards on any node, or one that waits never gets into a block;
 *   - an idle chain goes on making blocks, or a chain with enough honest nodes makes none.
 *
 * What the model leaves out: messages (who hears of a proposal, of enough votes, of a block is chance), signatures (but those of
 * vote extensions), parts of blocks, the engine's own disk failing. */
#ifndef CLUSTER_WORLD_H
#define CLUSTER_WORLD_H

#include "abci.h"
#include "crypto.h"

#define CLUSTER_NODES_MAX   8
#define CLUSTER_HEIGHTS_MAX 400
#define CLUSTER_TXS_MAX     256
#define CLUSTER_WHY_BYTES   512
#define CLUSTER_START_MS    UINT64_C(1800000000000)

/* The validators a world begins with, and its time, for the application's genesis. */
struct cluster_genesis {
    uint64_t seed, time_ms;
    uint64_t base; /* height of the first block */
    char chain_id[33];
    unsigned count;
    struct {
        uint8_t key[32];
        struct crypto_ed25519_key signer; /* whose public half that is */
        int64_t power;
        bool lies; /* its engine */
    } validator[CLUSTER_NODES_MAX]; /* by node */
};

/* An application, as a world makes it. A seat is one node's application with all that it keeps on its disk. All functions
 * but nudge must be there; those that return int fail the run with anything but 0. */
struct cluster_kind {
    const char *name;
    /* Of every world; 0 or NULL: one of its own. */
    uint64_t base, start_ms; /* height of the engine's first block; when it begins */
    const char *chain_id;
    unsigned step_txs; /* at most, that clients hand in at one step */
    bool recheck; /* the engine asks again of what waits after each block (mempool.recheck) */
    /* A transaction of make_tx may be too old, or overtaken, when a node gets it. */
    bool may_refuse;
    int64_t
        small_block_bytes; /* of a few transactions; some worlds' blocks are so small. 0: none */
    int (*world_begin)(const struct cluster_genesis *genesis, void **world);
    void (*world_end)(void *world);
    /* What the engine's genesis file has as app_state; borrowed, may be empty. */
    struct hm_slice (*app_state)(void *world);
    int (*seat_new)(void *world, unsigned node, const struct hm_clock *clock, void **seat);
    void (*seat_free)(void *seat); /* stopped or not; the disk goes, too */
    int (*start)(void *seat, struct abci_handlers *out, struct hm_error *error);
    void (*stop)(void *seat); /* as kill -9: only the disk stays */
    /* A transaction that is good now and differs from all before. */
    int (*make_tx)(void *world, const struct hm_random *dice, uint64_t now_ms, struct hm_buf *out);
    /* One that changes a validator; 1: this application has none. */
    int (*make_update)(void *world, const uint8_t key[32], int64_t power, uint64_t now_ms,
                       struct hm_buf *out);
    /* An item that no honest node may accept in a proposal. */
    int (*make_nonsense)(void *world, const struct hm_random *dice, struct hm_buf *out);
    /* What a liar's engine may sign in place of its application's vote extension, well formed and not true. NULL: none. */
    int (*make_lie)(void *world, unsigned node, struct hm_buf *out);
    /* Was it applied, as this node's readers see it? */
    bool (*has)(void *seat, struct hm_slice tx);
    /* Does the node ask for a block because something is due? Then appends the transaction it would broadcast. NULL: never. */
    bool (*nudge)(void *seat, uint64_t now_ms, struct hm_buf *out);
};

/* How often things happened, over all runs, so that a test can see that they did. */
struct cluster_totals {
    uint64_t seeds, heights, rounds, empty_blocks, txs, acknowledged, updates_told;
    uint64_t crashes, engine_crashes, replayed, restored, restores_refused, liars_caught,
        from_genesis;
    uint64_t partitions, stalls, hostile_proposals, honest_refused, hostile_extensions, lies,
        reproposals;
    uint64_t abandoned_proposals, faults_told, joins, wipes, resubmitted, refused_txs, nudges;
    uint64_t rechecked_out;
};

/* true: nothing was wrong. why holds CLUSTER_WHY_BYTES. With HM_CLUSTER_TRACE set each step is told on stderr. */
bool cluster_run(uint64_t seed, const struct cluster_kind *kind, struct cluster_totals *totals,
                 char *why);

#endif
