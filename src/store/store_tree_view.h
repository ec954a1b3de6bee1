/* The tree as it is now: the two tables with the runs of recent changes laid over them. Private to this
 * room. Reads only; store_tree_fold.h changes what lies below.
 *
 * Runs are read where they lie. Committed values stay where they are until a write transaction ends, in
 * both backends, whatever it writes meanwhile; runs that the transaction wrote itself are copied. */
#ifndef HM_STORE_TREE_VIEW_H
#define HM_STORE_TREE_VIEW_H

#include "store_backend.h"
#include "store_tree_run.h"

#define STORE_TREE_RUNS_MAX 64

struct store_tree_view {
    struct store_txn *txn;
    const struct store_tree *tree;
    struct store_cursor *cursor; /* over the leaf table */
    struct store_tree_run
        runs[STORE_TREE_RUNS_MAX + 1]; /* oldest first; one more while it is made */
    size_t run_count;
    uint64_t fold; /* how far the fold has come, 2^32 for each time through the key space */
    uint64_t next_number; /* of a run */
    struct store_tree_leaves scratch;
    struct hm_error *error;
};

int store_tree_view_open(struct store_tree_view *view, struct store_txn *txn,
                         const struct store_tree *tree, struct hm_error *error);
void store_tree_view_release(struct store_tree_view *view);

/* Replaces the list by the leaves under the first level bits of key_hash, in order. HM_ECORRUPT when there
 * are more than limit. */
int store_tree_view_leaves(struct store_tree_view *view, const uint8_t key_hash[CRYPTO_HASH_BYTES],
                           unsigned level, size_t limit, struct store_tree_leaves *leaves);
/* The page at level (a multiple of six) on the path of key_hash; its inner nodes above the lowest level are not
 * hashed. HM_ENOTFOUND, HM_ECORRUPT. */
int store_tree_view_sketch(struct store_tree_view *view, const uint8_t key_hash[CRYPTO_HASH_BYTES],
                           unsigned level, struct store_tree_page *page);
/* The same with all nodes hashed. */
int store_tree_view_page(struct store_tree_view *view, const uint8_t key_hash[CRYPTO_HASH_BYTES],
                         unsigned level, struct store_tree_page *page);
/* Lays leaves (by rising key) over the list: those in both count as in leaves. */
int store_tree_view_lay(struct store_tree_view *view, struct store_tree_leaves *list,
                        const struct store_tree_change *leaves, size_t count);

/* Keys in the page table. */
struct hm_slice store_tree_run_key(uint64_t number, uint8_t out[STORE_TREE_RUN_KEY_BYTES]);
/* How far the fold has come; nothing when no run waits. */
int store_tree_view_state_save(const struct store_tree_view *view);

#endif
