/* The shape of a plot: which labels a label is made of, and the Merkle tree above them. Pure; shared by
 * the builder, the opener and the verifier, so that they cannot disagree. docs/formats-plot.md says the
 * same in words. */
#ifndef HM_PROOF_GRAPH_H
#define HM_PROOF_GRAPH_H

#include "proof.h"

#define GRAPH_PARENTS    3
#define GRAPH_SEED_BYTES 24
/* Levels from a label to the root, at most: 28 in a segment and 20 above. */
#define GRAPH_LEVELS_MAX 48

struct graph_shape {
    uint64_t labels;
    uint64_t segment_labels;
    uint64_t segments;
    unsigned segment_levels; /* log2(segment_labels) */
    unsigned levels; /* from a label to the root, promoted nodes counted */
};

/* 0 or HM_EINVAL: sizes must be as proof_plot_create says. */
int graph_shape_init(struct graph_shape *shape, uint64_t labels, uint64_t segment_labels,
                     struct hm_error *error);

/* Sibling hashes on the path of label index. */
size_t graph_path_nodes(const struct graph_shape *shape, uint64_t index);

/* A node on its way up. at and width are its place and the number of nodes in its level; below the
 * segment's root width is that of the whole tree, which is even there. */
struct graph_place {
    uint64_t at;
    uint64_t width;
};
struct graph_place graph_place_of(const struct graph_shape *shape, uint64_t index);
bool graph_place_has_sibling(const struct graph_place *place); /* no: promoted as it is */
void graph_place_up(struct graph_place *place);

/* One level up: hashes pairs of nodes (32 bytes each), promotes an odd last one; gives the new count.
 * out may be nodes. */
size_t graph_level_up(const uint8_t *nodes, size_t count, uint8_t *out);

/* Parents of node `local` of a segment, inside the segment: the one before, then two drawn. local > 0. */
void graph_parents(uint64_t local, uint64_t parents[GRAPH_PARENTS]);
void graph_segment_seed(const uint8_t node[CRYPTO_HASH_BYTES], uint64_t segment,
                        uint64_t segment_labels, uint8_t seed[GRAPH_SEED_BYTES]);
/* Label of global index; parents in the order of graph_parents, or NULL for the first of a segment. */
void graph_label(const uint8_t seed[GRAPH_SEED_BYTES], uint64_t index,
                 const uint8_t *const parents[GRAPH_PARENTS], uint8_t out[PROOF_LABEL_BYTES]);

/* Climbs from labels to roots, many side by side, because hashing side by side is what is fast. */
#define GRAPH_CLIMB_LANES 64
struct graph_climb {
    uint64_t index;
    const uint8_t *path; /* graph_path_nodes(index) * 32 bytes, borrowed */
    uint8_t node[CRYPTO_HASH_BYTES]; /* in: the label; out: the root it leads to */
};
/* count <= GRAPH_CLIMB_LANES. */
void graph_climb_all(const struct graph_shape *shape, struct graph_climb *climbs, size_t count);

#endif
