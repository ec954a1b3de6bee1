/* Computes the links of the chain of delays that the ledger waits for (docs/formats-vdf.md), on a thread that gives way to everything
 * else. Validators take turns: one computes at once, the next only when that one's link is not in a block after a while. */
#ifndef HM_NODE_VDF_H
#define HM_NODE_VDF_H

#include "base.h"
#include "ledger.h"

/* How long one has before the next begins: so much time and so many blocks, for a link needs a block that its node proposes. */
#define NODE_VDF_TURN_MS     UINT64_C(60000)
#define NODE_VDF_TURN_BLOCKS UINT64_C(16)
/* A link that is in no block after so much time and so many blocks: one more is asked for. Where transactions come one at a time, each
 * block with some is followed by one without, and of an even number of validators every other one proposes none with some, where
 * alone a link is taken; one more block shifts whose turn it is. */
#define NODE_VDF_NUDGE_MS     UINT64_C(3000)
#define NODE_VDF_NUDGE_BLOCKS UINT64_C(8)

struct node_vdf;

/* All functions are called on the thread. */
struct node_vdf_options {
    /* What is due; HM_ENOTFOUND: nothing. */
    int (*task)(void *ctx, struct ledger_vdf_task *out);
    /* How many others come before this node with it; SIZE_MAX: it is none of this node's business. */
    size_t (*turn)(void *ctx, const struct ledger_vdf_task *task);
    int (*offer)(void *ctx, uint64_t index, struct hm_slice output, struct hm_slice proof,
                 struct hm_error *error);
    void (*nudge)(void *ctx); /* a block, please */
    void *ctx;
    uint64_t nudge_ms; /* 0: NODE_VDF_NUDGE_MS */
    uint64_t turn_ms; /* 0: NODE_VDF_TURN_MS */
};

int node_vdf_open(const struct node_vdf_options *options, struct node_vdf **out,
                  struct hm_error *error);
/* Ends what is being computed, and computes nothing more. */
void node_vdf_stop(struct node_vdf *vdf);
/* NULL is fine. */
void node_vdf_close(struct node_vdf *vdf);
/* A block was made: there may be a link to compute, or none any more. Returns at once; NULL is fine. */
void node_vdf_saw_block(struct node_vdf *vdf);

struct node_vdf_stats {
    uint64_t computed, given_up; /* links; given up: another's was there first */
    uint64_t busy_ns;
    bool computing;
};
void node_vdf_get_stats(struct node_vdf *vdf, struct node_vdf_stats *out);

#endif
