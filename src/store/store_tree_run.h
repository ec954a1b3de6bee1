/* Recent changes of the tree, side by side. Private to this room.
 *
 * A key's hash falls anywhere, so each changed leaf and each page of nodes above it would rewrite a disk
 * page of its own. Instead an update writes one run: its changes in order, and the nodes they changed.
 * Whoever reads the tree lays the runs, oldest first, over the two tables below. Little by little the
 * oldest changes are folded into the tables, a stretch of the key space with each update, where by then
 * many fall into one disk page (store_tree_fold.h). After O'Neil et al., "The Log-Structured Merge-Tree".
 *
 * Value of a run, key f0 and its number as 8 bytes (larger is newer), in the page table:
 *   1          version, 1
 *   3          zero
 *   4          leaves n
 *   8          where the fold stood when its newest change was made
 *   11 * 4     patches at page depth 0..10, each a count
 *   4          zero
 *   n * 64     H(key), H(value) or zeros where the key was deleted; by rising H(key)
 *   each * 41  patches, by depth, path, index */
#ifndef HM_STORE_TREE_RUN_H
#define HM_STORE_TREE_RUN_H

#include "store_tree_page.h"

#define STORE_TREE_RUN_DEEP         11 /* page depths with patches; deeper pages are written at once */
#define STORE_TREE_RUN_HEAD_BYTES   64
#define STORE_TREE_RUN_KEY_BYTES    9
#define STORE_TREE_RUN_LEAVES_MAX   ((size_t)1 << 18)
#define STORE_TREE_RUN_PATCHES_MAX  ((size_t)1 << 20)
#define STORE_TREE_PATCH_PATH_BYTES 8

/* One node of a page as it is now. Inner nodes above the page's lowest level are left out: they follow from
 * those below. Index 0 speaks of the page itself: before the other patches of this run it is
 * STORE_TREE_PATCH_NEW, without nodes, or STORE_TREE_PATCH_GONE (first byte of node). */
struct store_tree_patch {
    uint8_t path[STORE_TREE_PATCH_PATH_BYTES]; /* of the page; its level is at most 60 */
    uint8_t index; /* number of the node and 1 */
    uint8_t node[STORE_TREE_NODE_BYTES];
};
_Static_assert(sizeof(struct store_tree_patch) == 41, "patches lie gapless");

enum { STORE_TREE_PATCH_NEW = 1, STORE_TREE_PATCH_GONE = 2 };

struct store_tree_run {
    const struct store_tree_change *leaves;
    size_t leaf_count;
    const struct store_tree_patch *patches[STORE_TREE_RUN_DEEP];
    size_t patch_count[STORE_TREE_RUN_DEEP];
    uint64_t born;
    uint64_t number;
    uint8_t *owned; /* the bytes, when the run holds them itself */
    /* Where the last search ended; readers go from left to right. */
    size_t leaf_hint;
    size_t patch_hints[STORE_TREE_RUN_DEEP];
};

void store_tree_run_release(struct store_tree_run *run);
/* Pure. The run points into bytes; lengths and counts are checked, order is not. HM_ECORRUPT. */
int store_tree_run_decode(struct hm_slice bytes, struct store_tree_run *run);
size_t store_tree_run_patches(const struct store_tree_run *run); /* at all depths */
/* The first leaf that is not before key_hash; the first patch at depth not before path. */
size_t store_tree_run_leaf_at(struct store_tree_run *run,
                              const uint8_t key_hash[CRYPTO_HASH_BYTES]);
size_t store_tree_run_patch_at(struct store_tree_run *run, unsigned depth,
                               const uint8_t path[STORE_TREE_PATCH_PATH_BYTES]);

/* What a run is made of while it is made: lists that grow. Zero-initialised is empty. */
struct store_tree_draft {
    struct {
        struct store_tree_patch *items;
        size_t count;
        size_t cap;
    } depths[STORE_TREE_RUN_DEEP];
};

void store_tree_draft_release(struct store_tree_draft *draft);
/* Adds one behind the others of its depth. node NULL: one of the page itself, of that kind. */
int store_tree_draft_add(struct store_tree_draft *draft, unsigned depth,
                         const uint8_t path[STORE_TREE_PATCH_PATH_BYTES], unsigned index,
                         const uint8_t *node, unsigned kind, struct hm_error *error);

/* Makes a run that owns its bytes. */
int store_tree_run_make(const struct store_tree_change *leaves, size_t leaf_count,
                        const struct store_tree_draft *draft, uint64_t born,
                        struct store_tree_run *out, struct hm_error *error);
/* One run in place of two: newer, which is released, takes up what older says beside it. */
int store_tree_run_merge(const struct store_tree_run *older, struct store_tree_run *newer,
                         struct hm_error *error);
/* The whole value of a run that owns its bytes. */
struct hm_slice store_tree_run_bytes(const struct store_tree_run *run);

#endif
