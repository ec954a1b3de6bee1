/* One batch of changes through the tree: the leaf table first, then the nodes, each page that a
 * change touches decoded once, every node in it hashed once, encoded once.
 *
 * The recursion follows the tree's bits, at most 256 deep. It has one workspace for all pages of the
 * same depth, because it never holds two of them at once. */
#include <stdlib.h>

#include "store_tree_page.h"

struct update {
    struct store_txn *txn;
    const struct store_tree *tree;
    struct store_cursor *cursor; /* over the leaf table */
    struct store_tree_page *pages[STORE_TREE_PAGES_DEEP];
    struct store_tree_leaves leaves; /* the one list being built from */
    struct hm_error *error;
};

static void update_release(struct update *update)
{
    store_cursor_close(update->cursor);
    store_tree_leaves_release(&update->leaves);
    for (size_t i = 0; i < STORE_TREE_PAGES_DEEP; i++)
        hm_free(update->pages[i]);
}

static int page_at(struct update *update, unsigned level, struct store_tree_page **page)
{
    struct store_tree_page **slot = &update->pages[level / STORE_TREE_PAGE_LEVELS];

    if (!*slot)
        *slot = hm_malloc(sizeof(**slot));
    if (!*slot)
        return hm_fail(update->error, HM_ENOMEM, "no memory for a page of the state tree");
    *page = *slot;
    return 0;
}

/* The node over leaves where nothing, or no more than a leaf, was stored before. It stands at position
 * of page, or, when its level starts a page, hangs above one. */
static int build(struct update *update, unsigned level, struct store_tree_page *page,
                 unsigned position, const struct store_tree_change *leaves, size_t count,
                 uint8_t node[STORE_TREE_NODE_BYTES])
{
    bool starts_page = level % STORE_TREE_PAGE_LEVELS == 0;
    uint8_t *pair;
    size_t left;
    int rc;

    if (count < 2 || (starts_page && count <= STORE_TREE_PAGELESS_LEAVES)) {
        store_tree_hash_leaves(leaves, count, level, node);
        return 0;
    }
    if (starts_page) {
        rc = page_at(update, level, &page);
        if (rc)
            return rc;
        memset(page, 0, sizeof(*page));
        position = 0;
    }
    pair = page->nodes[2 * position];
    left = store_tree_split(leaves, count, level);
    rc = build(update, level + 1, page, 2 * position + 1, leaves, left, pair);
    if (!rc)
        rc = build(update, level + 1, page, 2 * position + 2, leaves + left, count - left,
                   pair + STORE_TREE_NODE_BYTES);
    if (rc)
        return rc;
    store_tree_join(pair, node);
    return starts_page ? store_tree_page_save(update->txn, update->tree, leaves[0].key_hash, level,
                                              page, update->error)
                       : 0;
}

/* Where nothing was: the changes that are not deletions are the leaves. */
static int fill_empty(struct update *update, unsigned level, struct store_tree_page *page,
                      unsigned position, const struct store_tree_change *changes, size_t count,
                      uint8_t node[STORE_TREE_NODE_BYTES])
{
    size_t deletes = 0;
    int rc;

    for (size_t i = 0; i < count; i++)
        deletes += store_tree_is_zero(changes[i].value_hash);
    if (deletes == 0)
        return build(update, level, page, position, changes, count, node);
    rc = store_tree_leaves_reserve(&update->leaves, count, update->error);
    if (rc)
        return rc;
    update->leaves.count = 0;
    for (size_t i = 0; i < count; i++)
        if (!store_tree_is_zero(changes[i].value_hash))
            update->leaves.items[update->leaves.count++] = changes[i];
    return build(update, level, page, position, update->leaves.items, update->leaves.count, node);
}

/* Where at most old_limit leaves were and no page is: the leaf table, changed already, has them all. */
static int fill_again(struct update *update, unsigned level, struct store_tree_page *page,
                      unsigned position, const struct store_tree_change *changes, size_t count,
                      size_t old_limit, uint8_t node[STORE_TREE_NODE_BYTES])
{
    int rc = store_tree_leaves_read(&update->leaves, update->cursor, changes[0].key_hash, level,
                                    old_limit + count, update->error);

    if (rc)
        return rc;
    return build(update, level, page, position, update->leaves.items, update->leaves.count, node);
}

static int change_node(struct update *update, unsigned level, struct store_tree_page *page,
                       unsigned position, const struct store_tree_change *changes, size_t count,
                       uint8_t node[STORE_TREE_NODE_BYTES]);

static int change_children(struct update *update, unsigned level, struct store_tree_page *page,
                           unsigned position, const struct store_tree_change *changes, size_t count,
                           uint8_t node[STORE_TREE_NODE_BYTES])
{
    uint8_t *pair = page->nodes[2 * position];
    size_t left = store_tree_split(changes, count, level);
    int rc = change_node(update, level + 1, page, 2 * position + 1, changes, left, pair);

    if (!rc)
        rc = change_node(update, level + 1, page, 2 * position + 2, changes + left, count - left,
                         pair + STORE_TREE_NODE_BYTES);
    if (!rc)
        store_tree_join(pair, node);
    return rc;
}

static int change_page(struct update *update, unsigned level,
                       const struct store_tree_change *changes, size_t count,
                       uint8_t node[STORE_TREE_NODE_BYTES])
{
    struct store_tree_page *page = NULL;
    int rc = page_at(update, level, &page);

    if (!rc)
        rc = store_tree_page_load(update->txn, update->tree, changes[0].key_hash, level, page,
                                  update->error);
    if (rc == HM_ENOTFOUND)
        return fill_again(update, level, NULL, 0, changes, count, STORE_TREE_PAGELESS_LEAVES, node);
    if (!rc)
        rc = change_children(update, level, page, 0, changes, count, node);
    if (rc)
        return rc;
    if (store_tree_kind(node) != STORE_TREE_INNER)
        return store_tree_page_drop(update->txn, update->tree, changes[0].key_hash, level,
                                    update->error);
    return store_tree_page_save(update->txn, update->tree, changes[0].key_hash, level, page,
                                update->error);
}

static int change_node(struct update *update, unsigned level, struct store_tree_page *page,
                       unsigned position, const struct store_tree_change *changes, size_t count,
                       uint8_t node[STORE_TREE_NODE_BYTES])
{
    if (count == 0)
        return 0;
    switch (store_tree_kind(node)) {
    case STORE_TREE_EMPTY:
        return fill_empty(update, level, page, position, changes, count, node);
    case STORE_TREE_LEAF:
        return fill_again(update, level, page, position, changes, count, 1, node);
    case STORE_TREE_INNER:
        break;
    }
    if (level == STORE_TREE_DEPTH_MAX)
        return hm_fail(update->error, HM_ECORRUPT, "state tree: a path does not end");
    if (level % STORE_TREE_PAGE_LEVELS == 0)
        return change_page(update, level, changes, count, node);
    return change_children(update, level, page, position, changes, count, node);
}

static int change_order(const void *a, const void *b)
{
    return memcmp(((const struct store_tree_change *)a)->key_hash,
                  ((const struct store_tree_change *)b)->key_hash, CRYPTO_HASH_BYTES);
}

static int sort_changes(struct store_tree_change *changes, size_t count, struct hm_error *error)
{
    bool sorted = true;

    for (size_t i = 1; i < count && sorted; i++)
        sorted = change_order(&changes[i - 1], &changes[i]) < 0;
    if (sorted)
        return 0;
    qsort(changes, count, sizeof(*changes), change_order);
    for (size_t i = 1; i < count; i++)
        if (change_order(&changes[i - 1], &changes[i]) == 0)
            return hm_fail(error, HM_EINVAL, "state tree: one key is changed twice in one update");
    return 0;
}

static int change_leaves(struct update *update, const struct store_tree_change *changes,
                         size_t count)
{
    unsigned table = update->tree->leaf_table;

    for (size_t i = 0; i < count; i++) {
        struct hm_slice key = hm_slice_of(changes[i].key_hash, CRYPTO_HASH_BYTES);
        struct hm_slice value = hm_slice_of(changes[i].value_hash, CRYPTO_HASH_BYTES);
        int rc = store_tree_is_zero(changes[i].value_hash)
                     ? store_delete(update->txn, table, key, update->error)
                     : store_put(update->txn, table, key, value, update->error);

        if (rc)
            return rc;
    }
    return 0;
}

int store_tree_update(struct store_txn *txn, const struct store_tree *tree,
                      struct store_tree_change *changes, size_t count,
                      uint8_t root[CRYPTO_HASH_BYTES], struct hm_error *error)
{
    HM_CLEANUP(update) struct update update = {.txn = txn, .tree = tree, .error = error};
    uint8_t node[STORE_TREE_NODE_BYTES];
    int rc = store_tree_root(txn, tree, node, error);

    if (!rc)
        rc = sort_changes(changes, count, error);
    if (!rc)
        rc = change_leaves(&update, changes, count);
    if (!rc)
        rc = store_cursor_open(txn, tree->leaf_table, &update.cursor, error);
    if (!rc)
        rc = change_node(&update, 0, NULL, 0, changes, count, node);
    if (!rc)
        rc = store_tree_root_save(txn, tree, node, error);
    if (!rc)
        memcpy(root, node, CRYPTO_HASH_BYTES);
    return rc;
}
