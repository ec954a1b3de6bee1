/* What happens to a packet between two nodes of faultnet: the rules, the chance and the counters, without any I/O.
 *
 * Chance is per pair and per direction: the n-th packet from a to b meets the same chance whenever the seed is the same,
 * whatever other pairs send and whatever the rules are (each packet takes the same number of draws). */
#ifndef FAULTNET_RULES_H
#define FAULTNET_RULES_H

#include "base.h"

#define FAULTNET_NODES_MAX    32
#define FAULTNET_DELAY_MAX_US 60000000U
#define FAULTNET_LINE_MAX     1024 /* bytes of a command */

struct faultnet_rule {
    uint32_t delay_us;
    uint32_t jitter_us; /* 0 .. that much more for each packet anew, never past the one before */
    uint32_t loss_ppm, duplicate_ppm;
    uint32_t reorder_ppm; /* of packets that come reorder_us later, so others pass them */
    uint32_t reorder_us;
};

/* Of one direction since the start or `zero`. */
struct faultnet_count {
    uint64_t packets, bytes; /* that the sender gave, with IP headers */
    uint64_t delivered, delivered_bytes; /* that the receiver's kernel took, duplicates too */
    uint64_t lost, cut, duplicated, reordered;
    uint64_t dropped; /* faultnet's own queue or the receiver's was full */
};

struct faultnet_pair {
    struct faultnet_rule rule;
    struct faultnet_count count;
    struct hm_random_seeded dice;
    struct hm_random chance; /* of dice */
    uint64_t last_ns; /* when the latest packet in order arrives */
};

/* Must not be moved after init. */
struct faultnet {
    unsigned nodes;
    unsigned group[FAULTNET_NODES_MAX]; /* only nodes of one group reach each other */
    struct faultnet_pair pair[FAULTNET_NODES_MAX][FAULTNET_NODES_MAX]; /* [from][to] */
};

/* A network without faults. HM_EINVAL: nodes is not 2 .. FAULTNET_NODES_MAX. */
int faultnet_init(struct faultnet *net, unsigned nodes, uint64_t seed, struct hm_error *error);

struct faultnet_fate {
    unsigned copies; /* 0: lost, or the pair is cut; at most 2 */
    uint64_t at_ns[2]; /* when each arrives */
};
/* Decides about one packet and counts it. */
void faultnet_decide(struct faultnet *net, unsigned from, unsigned to, size_t len, uint64_t now_ns,
                     struct faultnet_fate *out);
/* Asked again on arrival: a cut also takes what is on its way. */
bool faultnet_connected(const struct faultnet *net, unsigned from, unsigned to);
void faultnet_arrived(struct faultnet *net, unsigned from, unsigned to, size_t len, bool taken);
void faultnet_was_cut(struct faultnet *net, unsigned from, unsigned to);

/* Does one command (a line without its end, see faultnet.c) and appends the answer, whose last line is `ok` or
 * `error: ...`. *quit: the line says so. HM_ENOMEM. */
int faultnet_command(struct faultnet *net, const char *line, struct hm_buf *answer, bool *quit);

/* Which node a packet is for: 10.66.0.N+1 or fd00:6::N+1; negative when it is for none of them. */
int faultnet_target(const struct faultnet *net, const uint8_t *packet, size_t len);

#endif
