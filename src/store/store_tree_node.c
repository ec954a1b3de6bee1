#include "store_tree_node.h"

size_t store_tree_split(const struct store_tree_change *leaves, size_t count, unsigned level)
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (store_tree_bit(leaves[middle].key_hash, level))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void store_tree_join_later(uint8_t *pair, uint8_t node[STORE_TREE_NODE_BYTES])
{
    uint8_t *right = pair + STORE_TREE_NODE_BYTES;
    enum store_tree_kind left_kind = store_tree_kind(pair);
    enum store_tree_kind right_kind = store_tree_kind(right);
    bool lone_left = left_kind == STORE_TREE_LEAF && right_kind == STORE_TREE_EMPTY;
    bool lone_right = right_kind == STORE_TREE_LEAF && left_kind == STORE_TREE_EMPTY;

    if (left_kind == STORE_TREE_EMPTY && right_kind == STORE_TREE_EMPTY) {
        memset(node, 0, STORE_TREE_NODE_BYTES);
    } else if (lone_left || lone_right) {
        memcpy(node, lone_left ? pair : right, STORE_TREE_NODE_BYTES);
        memset(lone_left ? pair : right, 0, STORE_TREE_NODE_BYTES);
    } else {
        store_tree_inner_later(node);
    }
}

void store_tree_join(uint8_t *pair, uint8_t node[STORE_TREE_NODE_BYTES])
{
    store_tree_join_later(pair, node);
    if (store_tree_kind(node) == STORE_TREE_INNER)
        store_tree_hash_inner(pair, node);
}

/* A forest of subtrees in the order of their keys, which grows together from the deepest level up, so
 * that all nodes of one level are hashed at one go. */
struct forest {
    size_t count;
    uint8_t nodes[STORE_TREE_PAGELESS_LEAVES][STORE_TREE_NODE_BYTES];
    const uint8_t *keys[STORE_TREE_PAGELESS_LEAVES]; /* key hash of a leaf in it */
    uint16_t parts[STORE_TREE_PAGELESS_LEAVES]; /* first bit that tells it from the next one */
    bool inner[STORE_TREE_PAGELESS_LEAVES];
    uint8_t pairs[STORE_TREE_PAGELESS_LEAVES][2 * STORE_TREE_NODE_BYTES];
    uint16_t targets[STORE_TREE_PAGELESS_LEAVES];
    uint8_t hashes[STORE_TREE_PAGELESS_LEAVES][STORE_TREE_NODE_BYTES];
};

#define PARTS_NEVER UINT16_MAX /* the last one has no next */

static unsigned parting_bit(const uint8_t a[CRYPTO_HASH_BYTES], const uint8_t b[CRYPTO_HASH_BYTES])
{
    unsigned at = 0;

    while (at < CRYPTO_HASH_BYTES - 1 && a[at] == b[at])
        at++;
    return at * 8 + (unsigned)__builtin_clz((unsigned)(a[at] ^ b[at]) | 1u) - 24;
}

/* Gives the deepest level at which two of the leaves part. */
static unsigned forest_plant(struct forest *forest, const struct store_tree_change *leaves,
                             size_t count)
{
    unsigned deepest = 0;

    forest->count = count;
    crypto_hash_many(leaves->key_hash, count, sizeof(*leaves), forest->nodes[0]);
    for (size_t i = 0; i < count; i++) {
        unsigned part = i + 1 < count ? parting_bit(leaves[i].key_hash, leaves[i + 1].key_hash)
                                      : PARTS_NEVER;

        if (i + 1 < count && part > deepest)
            deepest = part;
        forest->nodes[i][0] |= STORE_TREE_LEAF_BIT;
        forest->keys[i] = leaves[i].key_hash;
        forest->parts[i] = (uint16_t)part;
        forest->inner[i] = false;
    }
    return deepest;
}

/* Lifts every subtree that stands at level + 1 to level: pairs meet, an inner node alone gets an empty
 * sibling, and a leaf alone stays as it is. */
static void forest_lift(struct forest *forest, unsigned level)
{
    size_t kept = 0;
    size_t hashed = 0;

    for (size_t i = 0; i < forest->count; i++, kept++) {
        bool meets = forest->parts[i] == level;

        forest->keys[kept] = forest->keys[i];
        forest->parts[kept] = forest->parts[meets ? i + 1 : i];
        if (!meets && !forest->inner[i]) {
            memmove(forest->nodes[kept], forest->nodes[i], STORE_TREE_NODE_BYTES);
            forest->inner[kept] = false;
            continue;
        }
        forest->inner[kept] = true;
        forest->targets[hashed] = (uint16_t)kept;
        if (meets) {
            memcpy(forest->pairs[hashed], forest->nodes[i], sizeof(forest->pairs[0]));
            i++;
        } else {
            unsigned side = store_tree_bit(forest->keys[i], level) * STORE_TREE_NODE_BYTES;

            memset(forest->pairs[hashed], 0, sizeof(forest->pairs[0]));
            memcpy(forest->pairs[hashed] + side, forest->nodes[i], STORE_TREE_NODE_BYTES);
        }
        hashed++;
    }
    forest->count = kept;
    crypto_hash_many(forest->pairs[0], hashed, sizeof(forest->pairs[0]), forest->hashes[0]);
    for (size_t i = 0; i < hashed; i++) {
        forest->hashes[i][0] &= (uint8_t)~STORE_TREE_LEAF_BIT;
        memcpy(forest->nodes[forest->targets[i]], forest->hashes[i], STORE_TREE_NODE_BYTES);
    }
}

void store_tree_hash_leaves(const struct store_tree_change *leaves, size_t count, unsigned level,
                            uint8_t out[STORE_TREE_NODE_BYTES])
{
    struct forest forest;

    if (count == 0) {
        memset(out, 0, STORE_TREE_NODE_BYTES);
        return;
    }
    if (count == 1) {
        store_tree_hash_leaf(leaves, out);
        return;
    }
    for (unsigned next = forest_plant(&forest, leaves, count) + 1; next > level; next--)
        forest_lift(&forest, next - 1);
    memcpy(out, forest.nodes[0], STORE_TREE_NODE_BYTES);
}
