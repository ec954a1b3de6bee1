/* Walks from the root to where a key is, or would be, and collects what lies beside the path. */
#include "store_tree_view.h"

struct prover {
    struct store_tree_view view;
    struct store_tree_leaves leaves;
    struct store_tree_page page;
    uint8_t key_hash[CRYPTO_HASH_BYTES];
    uint8_t siblings[STORE_TREE_DEPTH_MAX][CRYPTO_HASH_BYTES];
    unsigned depth;
    uint8_t node[STORE_TREE_NODE_BYTES]; /* at depth, on the path */
    struct hm_error *error;
};

static int disagree(const struct prover *prover)
{
    return hm_fail(prover->error, HM_ECORRUPT,
                   "state tree: the pages and the leaves disagree at level %u", prover->depth);
}

static void step(struct prover *prover, const uint8_t *pair)
{
    unsigned bit = store_tree_bit(prover->key_hash, prover->depth);

    memcpy(prover->siblings[prover->depth], pair + (bit ? 0 : STORE_TREE_NODE_BYTES),
           CRYPTO_HASH_BYTES);
    memcpy(prover->node, pair + (bit ? STORE_TREE_NODE_BYTES : 0), STORE_TREE_NODE_BYTES);
    prover->depth++;
}

/* From a subtree without a page, whose leaves are in the list, to its end. */
static void descend_leaves(struct prover *prover)
{
    const struct store_tree_change *leaves = prover->leaves.items;
    size_t count = prover->leaves.count;

    while (count > 1) {
        uint8_t pair[2 * STORE_TREE_NODE_BYTES];
        unsigned level = prover->depth;
        size_t left = store_tree_split(leaves, count, level);

        store_tree_hash_leaves(leaves, left, level + 1, pair);
        store_tree_hash_leaves(leaves + left, count - left, level + 1,
                               pair + STORE_TREE_NODE_BYTES);
        step(prover, pair);
        if (store_tree_bit(prover->key_hash, level)) {
            leaves += left;
            count -= left;
        } else {
            count = left;
        }
    }
}

static int descend_pageless(struct prover *prover)
{
    uint8_t node[STORE_TREE_NODE_BYTES];
    int rc = store_tree_view_leaves(&prover->view, prover->key_hash, prover->depth,
                                    STORE_TREE_PAGELESS_LEAVES, &prover->leaves);

    if (rc)
        return rc;
    store_tree_hash_leaves(prover->leaves.items, prover->leaves.count, prover->depth, node);
    if (memcmp(node, prover->node, sizeof(node)) != 0)
        return disagree(prover);
    descend_leaves(prover);
    return 0;
}

static int descend_page(struct prover *prover)
{
    unsigned position = 0;
    int rc = store_tree_view_page(&prover->view, prover->key_hash, prover->depth, &prover->page);

    if (rc == HM_ENOTFOUND)
        return descend_pageless(prover);
    if (rc)
        return rc;
    do {
        unsigned bit = store_tree_bit(prover->key_hash, prover->depth);
        const uint8_t *pair = prover->page.nodes[2 * position];
        uint8_t node[STORE_TREE_NODE_BYTES];

        store_tree_hash_inner(pair, node);
        if (memcmp(node, prover->node, sizeof(node)) != 0)
            return disagree(prover);
        step(prover, pair);
        position = 2 * position + 1 + bit;
    } while (store_tree_kind(prover->node) == STORE_TREE_INNER &&
             prover->depth % STORE_TREE_PAGE_LEVELS != 0 && prover->depth < STORE_TREE_DEPTH_MAX);
    return 0;
}

static int finish(struct prover *prover, struct store_tree_proof *proof)
{
    uint8_t node[STORE_TREE_NODE_BYTES];
    int rc;

    if (store_tree_kind(prover->node) == STORE_TREE_LEAF) {
        rc = store_tree_view_leaves(&prover->view, prover->key_hash, prover->depth, 1,
                                    &prover->leaves);
        if (rc)
            return rc;
        store_tree_hash_leaves(prover->leaves.items, prover->leaves.count, prover->depth, node);
        if (memcmp(node, prover->node, sizeof(node)) != 0)
            return disagree(prover);
        proof->exists = memcmp(prover->leaves.items[0].key_hash, prover->key_hash,
                               CRYPTO_HASH_BYTES) == 0;
        proof->ends_in_leaf = !proof->exists;
    }
    if (proof->ends_in_leaf) {
        memcpy(proof->leaf_key_hash, prover->leaves.items[0].key_hash, CRYPTO_HASH_BYTES);
        memcpy(proof->leaf_value_hash, prover->leaves.items[0].value_hash, CRYPTO_HASH_BYTES);
    }
    if (prover->depth) {
        proof->siblings = hm_malloc((size_t)prover->depth * CRYPTO_HASH_BYTES);
        if (!proof->siblings)
            return hm_fail(prover->error, HM_ENOMEM, "no memory for a proof");
        memcpy(proof->siblings, prover->siblings, (size_t)prover->depth * CRYPTO_HASH_BYTES);
    }
    proof->depth = prover->depth;
    return 0;
}

int store_tree_prove(struct store_txn *txn, const struct store_tree *tree, struct hm_slice key,
                     struct store_tree_proof *out, struct hm_error *error)
{
    struct prover prover = {.error = error};
    struct store_tree_proof proof = {0};
    int rc = store_tree_root(txn, tree, prover.node, error);

    crypto_hash(key.data, key.len, prover.key_hash);
    if (!rc)
        rc = store_tree_view_open(&prover.view, txn, tree, error);
    while (!rc && store_tree_kind(prover.node) == STORE_TREE_INNER)
        rc = prover.depth < STORE_TREE_DEPTH_MAX ? descend_page(&prover) : disagree(&prover);
    if (!rc)
        rc = finish(&prover, &proof);
    store_tree_view_release(&prover.view);
    store_tree_leaves_release(&prover.leaves);
    if (!rc)
        *out = proof;
    return rc;
}
