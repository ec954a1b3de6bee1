/* An open plot, as the file that opens it and the file that reads it see it. */
#ifndef HM_PROOF_PLOT_OPEN_H
#define HM_PROOF_PLOT_OPEN_H

#include <stdatomic.h>

#include "proof_plot_file.h"

/* What an open plot may keep in memory. Trees of all segments fit up to 512 MiB of labels; trees and the nodes in
 * the groups up to 128 MiB. */
#define PLOT_MEMORY_MAX_BYTES (PROOF_PLOT_CACHED_LABELS / 2) /* 8 MiB */

/* The upper nodes in a group: those above 32 labels each, then those above 64. The group's own is in the tree. */
#define PLOT_MID_LABELS 32
#define PLOT_MIDS       4
#define PLOT_MID_NODES  6
#define PLOT_MID_BYTES  (PLOT_MID_NODES * CRYPTO_HASH_BYTES)
_Static_assert(PLOT_MIDS *PLOT_MID_LABELS == PLOT_GROUP_LABELS, "mids cover their group");

enum plot_mid_state { PLOT_MID_UNKNOWN, PLOT_MID_FILLING, PLOT_MID_KNOWN };

struct proof_plot {
    struct plot_layout layout;
    int fd;
    char *path;
    uint8_t *roots; /* tree over the segments' roots, checked */
    uint8_t *
        trees; /* the segments' stored trees, tree_bytes each, checked; NULL: too large, read when needed */
    /* PLOT_MID_BYTES for each group of the plot, kept when a group was hashed and right, and never changed after:
     * the next opening there reads and hashes a quarter. NULL when trees is, or when they are too large. */
    uint8_t *mids;
    _Atomic uint8_t *mid_states; /* one a group; mids are read after KNOWN is seen */
    uint8_t root[CRYPTO_HASH_BYTES];
};

/* proof_plot_open with another limit than PLOT_MEMORY_MAX_BYTES, so that small plots can be read as large ones
 * are. */
int plot_open_limited(const char *path, const uint8_t node[CRYPTO_HASH_BYTES],
                      uint64_t memory_max_bytes, struct proof_plot **out, struct hm_error *error);

/* Says which plot, and what to do about it. */
int plot_failed(const char *path, int code, const struct hm_error *why, struct hm_error *error);

#endif
