/* The tree's naive model: a sorted array of leaves, and the root defined by recursion over it with
 * crypto_hash alone. Shares no code with the tree it judges. */
#ifndef HM_STORE_TEST_TREE_H
#define HM_STORE_TEST_TREE_H

#include <stdlib.h>

#include "store_test.h"

static const struct store_tree store_test_tree = {
    .leaf_table = STORE_TEST_A,
    .page_table = STORE_TEST_B,
};

struct tree_model {
    struct store_tree_change *leaves; /* in order of key_hash */
    size_t count;
    size_t cap;
};

static inline void tree_model_release(struct tree_model *model)
{
    hm_free(model->leaves);
    *model = (struct tree_model){0};
}

static inline void tree_model_set(struct tree_model *model, const struct store_tree_change *change)
{
    static const uint8_t zero[CRYPTO_HASH_BYTES];
    size_t at = 0;
    bool found;

    while (at < model->count && memcmp(model->leaves[at].key_hash, change->key_hash, 32) < 0)
        at++;
    found = at < model->count && memcmp(model->leaves[at].key_hash, change->key_hash, 32) == 0;
    if (memcmp(change->value_hash, zero, 32) == 0) {
        if (!found)
            return;
        model->count--;
        memmove(&model->leaves[at], &model->leaves[at + 1],
                (model->count - at) * sizeof(*model->leaves));
        return;
    }
    if (!found) {
        if (model->count == model->cap) {
            model->cap = model->cap ? 2 * model->cap : 64;
            model->leaves = hm_realloc(model->leaves, model->cap * sizeof(*model->leaves));
            assert_non_null(model->leaves);
        }
        memmove(&model->leaves[at + 1], &model->leaves[at],
                (model->count - at) * sizeof(*model->leaves));
        model->count++;
    }
    model->leaves[at] = *change;
}

static inline bool tree_model_bit(const struct store_tree_change *leaf, unsigned level)
{
    return (leaf->key_hash[level / 8 % 32] & (1u << (7 - level % 8))) != 0;
}

static inline void tree_model_node(const struct store_tree_change *leaves, size_t count,
                                   unsigned level, uint8_t out[32])
{
    uint8_t both[64];
    size_t zeros = 0;

    memset(out, 0, 32);
    if (count == 0)
        return;
    if (count == 1) {
        memcpy(both, leaves->key_hash, 32);
        memcpy(both + 32, leaves->value_hash, 32);
        crypto_hash(both, 64, out);
        out[0] = (uint8_t)(out[0] | 0x80);
        return;
    }
    while (zeros < count && !tree_model_bit(&leaves[zeros], level))
        zeros++;
    tree_model_node(leaves, zeros, level + 1, both);
    tree_model_node(leaves + zeros, count - zeros, level + 1, both + 32);
    crypto_hash(both, 64, out);
    out[0] = (uint8_t)(out[0] & 0x7f);
}

static inline void tree_model_root(const struct tree_model *model, uint8_t root[32])
{
    tree_model_node(model->leaves, model->count, 0, root);
}

#endif
