/* Parts of the tree: everything under the first bits of the key hash, hashed from that part's leaves alone, and the root out
 * of all parts. Pure. */
#include <inttypes.h>
#include <stdlib.h>

#include "store_tree_node.h"

static int leaf_order(const void *a, const void *b)
{
    return memcmp(((const struct store_tree_change *)a)->key_hash,
                  ((const struct store_tree_change *)b)->key_hash, CRYPTO_HASH_BYTES);
}

/* Bits of a start that are not the part's own. */
static uint64_t part_rest(unsigned depth)
{
    return depth == 64 ? 0 : UINT64_MAX >> depth;
}

/* Sorted leaves, equal before bit level; a key at most once, so level stays below the length of a hash. */
static void subtree_hash(const struct store_tree_change *leaves, size_t count, unsigned level,
                         uint8_t node[STORE_TREE_NODE_BYTES])
{
    uint8_t pair[2 * STORE_TREE_NODE_BYTES];
    size_t low;

    if (count <= STORE_TREE_PAGELESS_LEAVES) {
        store_tree_hash_leaves(leaves, count, level, node);
        return;
    }
    low = store_tree_split(leaves, count, level);
    subtree_hash(leaves, low, level + 1, pair);
    subtree_hash(leaves + low, count - low, level + 1, pair + STORE_TREE_NODE_BYTES);
    store_tree_join(pair, node);
}

static int leaves_check(uint64_t start, unsigned depth, const struct store_tree_change *leaves,
                        size_t count, struct hm_error *error)
{
    for (size_t i = 0; i < count; i++) {
        if ((hm_get_be64(leaves[i].key_hash) & ~part_rest(depth)) != start)
            return hm_fail(error, HM_EINVAL,
                           "an entry does not belong to the part %016" PRIx64
                           " of the state at depth %u",
                           start, depth);
        if (store_tree_is_zero(leaves[i].value_hash))
            return hm_fail(error, HM_EINVAL,
                           "an entry of the part %016" PRIx64 " of the state has no value", start);
        if (i && memcmp(leaves[i - 1].key_hash, leaves[i].key_hash, CRYPTO_HASH_BYTES) == 0)
            return hm_fail(error, HM_EINVAL,
                           "a key is twice in the part %016" PRIx64 " of the state", start);
    }
    return 0;
}

int store_tree_part_root(uint64_t start, unsigned depth, struct store_tree_change *leaves,
                         size_t count, uint8_t root[CRYPTO_HASH_BYTES], struct hm_error *error)
{
    int rc;

    if (depth > STORE_TREE_PART_DEPTH_MAX || (start & part_rest(depth)) != 0)
        return hm_fail(error, HM_EINVAL,
                       "the state has no part %016" PRIx64 " at depth %u, which is at most %d",
                       start, depth, STORE_TREE_PART_DEPTH_MAX);
    if (count)
        qsort(leaves, count, sizeof(*leaves), leaf_order);
    rc = leaves_check(start, depth, leaves, count, error);
    if (rc)
        return rc;
    subtree_hash(leaves, count, depth, root);
    return 0;
}

/* Parts being joined: waiting[l] is a left neighbour at level l that its right one has not met yet. */
struct part_join {
    uint8_t waiting[STORE_TREE_PART_DEPTH_MAX + 1][2 * STORE_TREE_NODE_BYTES];
    uint64_t start; /* of the next part */
    bool done; /* there is no next part */
};

/* Would both together hold one key, or none? */
static bool pair_is_lone(const uint8_t pair[2 * STORE_TREE_NODE_BYTES])
{
    enum store_tree_kind left = store_tree_kind(pair);
    enum store_tree_kind right = store_tree_kind(pair + STORE_TREE_NODE_BYTES);

    return (left == STORE_TREE_EMPTY && right != STORE_TREE_INNER) ||
           (right == STORE_TREE_EMPTY && left != STORE_TREE_INNER);
}

/* false: it has no place there. */
static bool part_add(struct part_join *join, const struct store_tree_part *part)
{
    unsigned level = part->depth;
    uint8_t node[STORE_TREE_NODE_BYTES];
    uint64_t start = join->start;

    if (join->done || level > STORE_TREE_PART_DEPTH_MAX || (start & part_rest(level)) != 0)
        return false;
    memcpy(node, part->root, sizeof(node));
    for (; level > 0 && start >> (64 - level) & 1u; level--) {
        memcpy(join->waiting[level] + STORE_TREE_NODE_BYTES, node, sizeof(node));
        if (pair_is_lone(join->waiting[level]))
            return false;
        store_tree_join(join->waiting[level], node);
    }
    memcpy(join->waiting[level], node, sizeof(node));
    join->start = start + part_rest(part->depth) + 1;
    join->done = join->start == 0;
    return true;
}

int store_tree_part_join(const struct store_tree_part *parts, size_t count, uint64_t *starts,
                         uint8_t root[CRYPTO_HASH_BYTES], struct hm_error *error)
{
    struct part_join join = {.start = 0};

    for (size_t i = 0; i < count; i++) {
        if (starts)
            starts[i] = join.start;
        if (!part_add(&join, &parts[i]))
            return hm_fail(error, HM_EINVAL, "part %zu of the state has no place where it is said",
                           i);
    }
    if (!join.done)
        return hm_fail(error, HM_EINVAL, "%zu parts are not all of the state", count);
    memcpy(root, join.waiting[0], STORE_TREE_NODE_BYTES);
    return 0;
}
