/* What the simulator's nodes say of each other with their votes, true or not, what must come of it, and the links of the chain
 * of delays that they compute. */
#ifndef CLUSTER_WITNESS_H
#define CLUSTER_WITNESS_H

#include "cluster_world.h"
#include "ledger.h"

/* Which nodes there are at a moment. */
struct witness_scene {
    uint8_t chain_hash[32];
    unsigned count;
    bool up[CLUSTER_NODES_MAX];
    uint64_t clock_ms[CLUSTER_NODES_MAX]; /* of those that are up */
    uint8_t address[CLUSTER_NODES_MAX][20]; /* of its validator key */
};
/* Appends what a node says. lie: that it is near to all, and that their clocks are far off. */
int witness_say(const struct witness_scene *scene, unsigned self, bool lie, struct hm_buf *out);

struct witness_counts {
    uint64_t views, nodes; /* seen in a state; nodes listed in them */
    uint64_t shown; /* liars that were doubted for what they measured */
    uint64_t clocks; /* nodes whose clock was doubted */
    uint64_t links; /* of the chain of delays, in a state */
};
/* Is the view one that may be, when less than a third of the power lies? NULL, or what is wrong. clocks_agree: nobody's clock
 * was ever far from the others'. */
const char *witness_judge(const Hypermesh__WitnessView *view, const bool lies[CLUSTER_NODES_MAX],
                          bool clocks_agree, struct witness_counts *counts);

/* The link that is due, computed at most once a process; false: none is. */
struct witness_link {
    uint64_t index;
    uint8_t input[32], output[256], proof[256];
};
bool witness_link_make(struct ledger_view *view, struct witness_link *link);

#endif
