/* Six levels of the tree as one value of the page table. Private to this room.
 *
 * A page stands at a level that is a multiple of six, on one path. It holds the nodes of the next six
 * levels, not the node it hangs from: that one lies in the page above, or in the root record.
 *
 * key    1 byte level / 6, then the path's bits, most significant first, zero bits to a whole byte
 * value  16 bytes: bit i, most significant first, says whether node i is there; the last 2 bits are 0
 *        then the nodes that are there, 32 bytes each, in order of i. Inner nodes of depth 1..5 are not
 *        there: they follow from those below (earlier versions wrote them)
 * Node i of depth d (1..6) in the page, with path p (d bits), has i = 2^d - 2 + p.
 *
 * Small subtrees have no page: where a subtree hangs that never had STORE_TREE_PAGED_LEAVES leaves
 * since it was last smaller than two, its nodes are computed from the leaf table, where they lie side
 * by side. The root record, key ff, holds the root. */
#ifndef HM_STORE_TREE_PAGE_H
#define HM_STORE_TREE_PAGE_H

#include "store_tree_node.h"

#define STORE_TREE_PAGE_LEVELS    6
#define STORE_TREE_PAGE_NODES     126
#define STORE_TREE_PAGE_POSITIONS 63 /* with children in the page; position 0 hangs above */
#define STORE_TREE_PAGE_LOWEST    62 /* number of the first node of the lowest level */
#define STORE_TREE_PAGES_DEEP     43 /* levels 0, 6, ... 252 */
#define STORE_TREE_PAGE_MAX_BYTES (16 + STORE_TREE_PAGE_NODES * STORE_TREE_NODE_BYTES)
#define STORE_TREE_PAGE_KEY_BYTES (1 + CRYPTO_HASH_BYTES)

struct store_tree_page {
    /* The children of the node at position q are nodes 2q and 2q + 1, side by side; node i is at
     * position i + 1, and position 0 is the node the page hangs from. */
    uint8_t nodes[STORE_TREE_PAGE_NODES][STORE_TREE_NODE_BYTES];
};

/* Which nodes of a page are not empty. */
struct store_tree_marks {
    bool nodes[STORE_TREE_PAGE_NODES];
};

/* Pure; the nodes that bytes have, marked; inner nodes above the lowest level are left to sketch. HM_ECORRUPT. */
int store_tree_page_parse(struct hm_slice bytes, struct store_tree_page *page,
                          struct store_tree_marks *marks);
/* Makes every node that has something below it an inner one, not hashed yet (store_tree_inner_later): all that
 * changing the page needs to know. HM_ECORRUPT when a marked inner node has nothing below it. */
int store_tree_page_sketch(struct store_tree_page *page, struct store_tree_marks *marks);
/* Hashes all inner nodes above the lowest level. */
void store_tree_page_hash(struct store_tree_page *page);
/* All three of these. */
int store_tree_page_decode(struct hm_slice bytes, struct store_tree_page *page);
/* out holds STORE_TREE_PAGE_MAX_BYTES; the length used. */
size_t store_tree_page_encode(const struct store_tree_page *page, uint8_t *out);

/* The page at level (a multiple of six) on the path of key_hash, as the table has it and not sketched.
 * HM_ENOTFOUND (then page and marks are zero), HM_ECORRUPT. */
int store_tree_page_load(struct store_txn *txn, const struct store_tree *tree,
                         const uint8_t key_hash[CRYPTO_HASH_BYTES], unsigned level,
                         struct store_tree_page *page, struct store_tree_marks *marks,
                         struct hm_error *error);
int store_tree_page_save(struct store_txn *txn, const struct store_tree *tree,
                         const uint8_t key_hash[CRYPTO_HASH_BYTES], unsigned level,
                         const struct store_tree_page *page, struct hm_error *error);
int store_tree_page_drop(struct store_txn *txn, const struct store_tree *tree,
                         const uint8_t key_hash[CRYPTO_HASH_BYTES], unsigned level,
                         struct hm_error *error);
int store_tree_root_save(struct store_txn *txn, const struct store_tree *tree,
                         const uint8_t root[CRYPTO_HASH_BYTES], struct hm_error *error);

/* Into the leaf table; a value of zeros deletes. */
int store_tree_leaf_put(struct store_txn *txn, const struct store_tree *tree,
                        const struct store_tree_change *leaf, struct hm_error *error);

/* A growing list of leaves read from the leaf table. Zero-initialised is empty. */
struct store_tree_leaves {
    struct store_tree_change *items;
    size_t count;
    size_t cap;
};

void store_tree_leaves_release(struct store_tree_leaves *leaves);
int store_tree_leaves_reserve(struct store_tree_leaves *leaves, size_t count,
                              struct hm_error *error);
/* Replaces the list by the leaves under the first level bits of key_hash, in order. HM_ECORRUPT when
 * there are more than limit. */
int store_tree_leaves_read(struct store_tree_leaves *leaves, struct store_cursor *cursor,
                           const uint8_t key_hash[CRYPTO_HASH_BYTES], unsigned level, size_t limit,
                           struct hm_error *error);

#endif
