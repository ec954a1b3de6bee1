/* Nodes of the authenticated tree: their kinds, their hashes, and the paths that lead to them.
 * Private to this room. The formula and why it is safe stand in store.h. */
#ifndef HM_STORE_TREE_NODE_H
#define HM_STORE_TREE_NODE_H

#include "store.h"

#define STORE_TREE_NODE_BYTES CRYPTO_HASH_BYTES
#define STORE_TREE_LEAF_BIT   0x80u /* first bit of a node */

/* A subtree with so many leaves gets a page. Fewer are hashed anew with each change: they lie side by side
 * in the leaf table, and SIMD hashes them in about the time that reading a page of nodes takes. A subtree
 * without a page may have more, up to the second number: stores that earlier versions wrote have such. */
#define STORE_TREE_PAGED_LEAVES    25
#define STORE_TREE_PAGELESS_LEAVES 64

/* A change is also a leaf as it is hashed: H(key) || H(value), 64 bytes without a gap. */
_Static_assert(sizeof(struct store_tree_change) == 2 * CRYPTO_HASH_BYTES, "leaves lie gapless");

enum store_tree_kind { STORE_TREE_EMPTY, STORE_TREE_LEAF, STORE_TREE_INNER };

static inline bool store_tree_is_zero(const uint8_t bytes[STORE_TREE_NODE_BYTES])
{
    uint64_t words[STORE_TREE_NODE_BYTES / 8];

    memcpy(words, bytes, sizeof(words));
    return (words[0] | words[1] | words[2] | words[3]) == 0;
}

static inline enum store_tree_kind store_tree_kind(const uint8_t node[STORE_TREE_NODE_BYTES])
{
    if (node[0] & STORE_TREE_LEAF_BIT)
        return STORE_TREE_LEAF;
    return store_tree_is_zero(node) ? STORE_TREE_EMPTY : STORE_TREE_INNER;
}

static inline unsigned store_tree_bit(const uint8_t key_hash[CRYPTO_HASH_BYTES], unsigned level)
{
    return (unsigned)key_hash[level / 8] >> (7 - level % 8) & 1u;
}

/* pair: left || right, 64 bytes. out may be inside it. */
static inline void store_tree_hash_inner(const uint8_t *pair, uint8_t out[STORE_TREE_NODE_BYTES])
{
    uint8_t hash[STORE_TREE_NODE_BYTES];

    crypto_hash_many(pair, 1, (size_t)2 * STORE_TREE_NODE_BYTES, hash);
    hash[0] &= (uint8_t)~STORE_TREE_LEAF_BIT;
    memcpy(out, hash, sizeof(hash));
}

static inline void store_tree_hash_leaf(const struct store_tree_change *leaf,
                                        uint8_t out[STORE_TREE_NODE_BYTES])
{
    crypto_hash_many(leaf->key_hash, 1, sizeof(*leaf), out);
    out[0] |= STORE_TREE_LEAF_BIT;
}

/* The first level bits of key_hash, zero bits after them. */
static inline void store_tree_prefix(const uint8_t key_hash[CRYPTO_HASH_BYTES], unsigned level,
                                     uint8_t out[CRYPTO_HASH_BYTES])
{
    memset(out, 0, CRYPTO_HASH_BYTES);
    memcpy(out, key_hash, (level + 7) / 8);
    if (level % 8)
        out[level / 8] &= (uint8_t)(0xff00u >> (level % 8));
}

static inline bool store_tree_same_prefix(const uint8_t a[CRYPTO_HASH_BYTES],
                                          const uint8_t b[CRYPTO_HASH_BYTES], unsigned level)
{
    if (memcmp(a, b, level / 8) != 0)
        return false;
    return level % 8 == 0 || (a[level / 8] ^ b[level / 8]) >> (8 - level % 8) == 0;
}

/* How many of count leaves, sorted and equal before bit level, have a 0 there. */
size_t store_tree_split(const struct store_tree_change *leaves, size_t count, unsigned level);

/* The node over at most STORE_TREE_PAGELESS_LEAVES sorted leaves that are equal before bit level. */
void store_tree_hash_leaves(const struct store_tree_change *leaves, size_t count, unsigned level,
                            uint8_t out[STORE_TREE_NODE_BYTES]);

/* Stands for an inner node until it is hashed: which one it is does not show yet. */
static inline void store_tree_inner_later(uint8_t node[STORE_TREE_NODE_BYTES])
{
    memset(node, 0, STORE_TREE_NODE_BYTES);
    node[STORE_TREE_NODE_BYTES - 1] = 1;
}

/* Puts the node over a pair (left || right) into node. A lone leaf moves up: its slot in the pair is
 * cleared, so that nothing is stored below a leaf. */
void store_tree_join(uint8_t *pair, uint8_t node[STORE_TREE_NODE_BYTES]);
/* The same, but for an inner node, which is left to be hashed later. */
void store_tree_join_later(uint8_t *pair, uint8_t node[STORE_TREE_NODE_BYTES]);

#endif
