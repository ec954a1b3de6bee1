/* The plot's file: where everything lies. docs/formats-plot.md is the reference. */
#ifndef HM_PROOF_PLOT_FILE_H
#define HM_PROOF_PLOT_FILE_H

#include <sys/types.h>

#include "proof_graph.h"

#define PLOT_PAGE_BYTES   4096
#define PLOT_GROUP_LABELS 128 /* labels under the lowest tree node that is stored */

/* Offsets and sizes, all derived from the shape. */
struct plot_layout {
    struct graph_shape shape;
    uint64_t group_labels; /* PLOT_GROUP_LABELS, or a whole segment when that is smaller */
    uint64_t groups; /* in a segment */
    uint64_t labels_bytes; /* of a segment */
    uint64_t tree_bytes; /* of a segment: levels from the groups' nodes to the segment's root */
    uint64_t segment_bytes; /* labels and tree, rounded up to pages */
    uint64_t roots_offset; /* segments' roots, after the last segment */
    uint64_t file_bytes;
};

int plot_layout_init(struct plot_layout *layout, uint64_t labels, uint64_t segment_labels,
                     struct hm_error *error);
uint64_t plot_layout_segment_offset(const struct plot_layout *layout, uint64_t segment);

/* The header page. decode: HM_ECORRUPT says what is wrong, HM_EUNSUPPORTED for another version. */
void plot_header_encode(const struct plot_layout *layout, const uint8_t node[CRYPTO_HASH_BYTES],
                        const uint8_t root[CRYPTO_HASH_BYTES], uint8_t page[PLOT_PAGE_BYTES]);
int plot_header_decode(const uint8_t page[PLOT_PAGE_BYTES], struct plot_layout *layout,
                       uint8_t node[CRYPTO_HASH_BYTES], uint8_t root[CRYPTO_HASH_BYTES],
                       struct hm_error *error);

/* Hashes of all levels above count nodes, level after level, the given one first; the root is last.
 * tree holds plot_tree_nodes(count) * 32 bytes, its first count nodes filled in. */
size_t plot_tree_nodes(size_t count);
void plot_tree_fill(uint8_t *tree, size_t count);

/* Whole reads and writes at a place, EINTR and short ones handled. read: HM_ECORRUPT past the end. On
 * failure of write errno is the reason. */
int plot_read_at(int fd, void *data, size_t len, uint64_t offset, struct hm_error *error);
int plot_write_at(int fd, const void *data, size_t len, uint64_t offset, struct hm_error *error);

#endif
