/* One batch of changes through the tree: each page that a change touches is read once, every node in it
 * hashed once, and what is new is written as one run (store_tree_run.h). A batch that is large beside the
 * tree goes straight into the tables.
 *
 * The recursion follows the tree's bits, at most 256 deep. It has one workspace for all pages of the
 * same depth, because it never holds two of them at once. */
#include <stdlib.h>

#include "store_backend.h"
#include "store_tree_fold.h"

struct update {
    struct store_tree_view view;
    struct store_tree_page *pages[STORE_TREE_PAGES_DEEP];
    struct store_tree_page *before[STORE_TREE_RUN_DEEP]; /* as they were read */
    struct store_tree_leaves leaves; /* the one list being built from */
    bool straight; /* into the tables */
    struct store_tree_draft draft;
    struct hm_error *error;
};

static void update_release(struct update *update)
{
    store_tree_view_release(&update->view);
    store_tree_leaves_release(&update->leaves);
    store_tree_draft_release(&update->draft);
    for (size_t i = 0; i < STORE_TREE_PAGES_DEEP; i++)
        hm_free(update->pages[i]);
    for (size_t i = 0; i < STORE_TREE_RUN_DEEP; i++)
        hm_free(update->before[i]);
}

static int page_in(struct update *update, struct store_tree_page **slot,
                   struct store_tree_page **page)
{
    if (!*slot)
        *slot = hm_malloc(sizeof(**slot));
    if (!*slot)
        return hm_fail(update->error, HM_ENOMEM, "no memory for a page of the state tree");
    *page = *slot;
    return 0;
}

static int page_at(struct update *update, unsigned level, struct store_tree_page **page)
{
    return page_in(update, &update->pages[level / STORE_TREE_PAGE_LEVELS], page);
}

/* Pages below level 60 go into the table at once: keys that share so many bits do not come by chance. */
static bool goes_straight(const struct update *update, unsigned level)
{
    return update->straight || level / STORE_TREE_PAGE_LEVELS >= STORE_TREE_RUN_DEEP;
}

/* before NULL: the page is new. */
static int page_save(struct update *update, const uint8_t key_hash[CRYPTO_HASH_BYTES],
                     unsigned level, const struct store_tree_page *page,
                     const struct store_tree_page *before)
{
    unsigned depth = level / STORE_TREE_PAGE_LEVELS;
    uint8_t path[CRYPTO_HASH_BYTES];
    int rc = 0;

    if (goes_straight(update, level))
        return store_tree_page_save(update->view.txn, update->view.tree, key_hash, level, page,
                                    update->error);
    store_tree_prefix(key_hash, level, path);
    if (!before)
        rc = store_tree_draft_add(&update->draft, depth, path, 0, NULL, STORE_TREE_PATCH_NEW,
                                  update->error);
    for (unsigned i = 0; !rc && i < STORE_TREE_PAGE_NODES; i++) {
        const uint8_t *node = page->nodes[i];

        if (i < STORE_TREE_PAGE_LOWEST && store_tree_kind(node) == STORE_TREE_INNER)
            continue; /* it follows from those below */
        if (before ? memcmp(before->nodes[i], node, STORE_TREE_NODE_BYTES) != 0
                   : !store_tree_is_zero(node))
            rc = store_tree_draft_add(&update->draft, depth, path, i + 1, node, 0, update->error);
    }
    return rc;
}

static int page_drop(struct update *update, const uint8_t key_hash[CRYPTO_HASH_BYTES],
                     unsigned level)
{
    uint8_t path[CRYPTO_HASH_BYTES];

    if (goes_straight(update, level))
        return store_tree_page_drop(update->view.txn, update->view.tree, key_hash, level,
                                    update->error);
    store_tree_prefix(key_hash, level, path);
    return store_tree_draft_add(&update->draft, level / STORE_TREE_PAGE_LEVELS, path, 0, NULL,
                                STORE_TREE_PATCH_GONE, update->error);
}

/* All that changed in a page is hashed at one go; node is the inner one that the page hangs from. */
static void page_finish(struct store_tree_page *page, uint8_t node[STORE_TREE_NODE_BYTES])
{
    store_tree_page_hash(page);
    store_tree_hash_inner(page->nodes[0], node);
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

    if (count < 2 || (starts_page && count < STORE_TREE_PAGED_LEAVES)) {
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
    store_tree_join_later(pair, node);
    if (!starts_page)
        return 0;
    page_finish(page, node);
    return page_save(update, leaves[0].key_hash, level, page, NULL);
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

/* Where at most old_limit leaves were and no page is: the view, changed already, has them all. */
static int fill_again(struct update *update, unsigned level, struct store_tree_page *page,
                      unsigned position, const struct store_tree_change *changes, size_t count,
                      size_t old_limit, uint8_t node[STORE_TREE_NODE_BYTES])
{
    int rc = store_tree_view_leaves(&update->view, changes[0].key_hash, level, old_limit + count,
                                    &update->leaves);

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
        store_tree_join_later(pair, node);
    return rc;
}

static int change_page(struct update *update, unsigned level,
                       const struct store_tree_change *changes, size_t count,
                       uint8_t node[STORE_TREE_NODE_BYTES])
{
    const uint8_t *key_hash = changes[0].key_hash;
    struct store_tree_page *before = NULL;
    struct store_tree_page *page = NULL;
    int rc = page_at(update, level, &page);

    if (!rc)
        rc = store_tree_view_sketch(&update->view, key_hash, level, page);
    if (rc == HM_ENOTFOUND)
        return fill_again(update, level, NULL, 0, changes, count, STORE_TREE_PAGELESS_LEAVES, node);
    if (!rc && !goes_straight(update, level))
        rc = page_in(update, &update->before[level / STORE_TREE_PAGE_LEVELS], &before);
    if (!rc && before)
        *before = *page;
    if (!rc)
        rc = change_children(update, level, page, 0, changes, count, node);
    if (rc)
        return rc;
    if (store_tree_kind(node) != STORE_TREE_INNER)
        return page_drop(update, key_hash, level);
    page_finish(page, node);
    return page_save(update, key_hash, level, page, before);
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

/* All that waits goes into the tables, then the changes do. */
static int go_straight(struct update *update, const struct store_tree_change *changes, size_t count)
{
    int rc = store_tree_fold(&update->view, STORE_TREE_FOLD_WHOLE);

    update->straight = true;
    for (size_t i = 0; !rc && i < count; i++)
        rc = store_tree_leaf_put(update->view.txn, update->view.tree, &changes[i], update->error);
    return rc;
}

/* A share of what waits goes into the tables, and the changes are the newest that waits. */
static int go_waiting(struct update *update, const struct store_tree_change *changes, size_t count,
                      uint64_t room)
{
    struct store_tree_view *view = &update->view;
    int rc = store_tree_fold(view, (count * STORE_TREE_FOLD_WHOLE + room - 1) / room);

    if (!rc)
        view->runs[view->run_count++] = (struct store_tree_run){.leaves = changes,
                                                                .leaf_count = count};
    return rc;
}

/* The changes, so far read from the caller's list, become a run of the store. */
static int run_finish(struct update *update, const struct store_tree_change *changes, size_t count)
{
    struct store_tree_view *view = &update->view;
    int rc = store_tree_run_make(changes, count, &update->draft, view->fold,
                                 &view->runs[view->run_count - 1], update->error);

    return rc ? rc : store_tree_run_save(view);
}

static int change_tree(struct update *update, const struct store_tree_change *changes, size_t count,
                       uint8_t node[STORE_TREE_NODE_BYTES])
{
    struct store_txn *txn = update->view.txn;
    unsigned leaf_table = update->view.tree->leaf_table;
    uint64_t room = store_tree_fold_room(txn->store->backend->count(txn, leaf_table));
    bool large = count > room / 2 || count > STORE_TREE_RUN_LEAVES_MAX;
    int rc = large ? go_straight(update, changes, count) : go_waiting(update, changes, count, room);

    txn->tree_written = true;
    if (!rc)
        rc = change_node(update, 0, NULL, 0, changes, count, node);
    if (!rc && !large)
        rc = run_finish(update, changes, count);
    if (!rc && store_tree_is_zero(node)) /* an empty map leaves nothing behind */
        rc = store_tree_fold(&update->view, STORE_TREE_FOLD_WHOLE);
    return rc ? rc : store_tree_view_state_save(&update->view);
}

int store_tree_update(struct store_txn *txn, const struct store_tree *tree,
                      struct store_tree_change *changes, size_t count,
                      uint8_t root[CRYPTO_HASH_BYTES], struct hm_error *error)
{
    HM_CLEANUP(update) struct update update = {.error = error};
    uint8_t node[STORE_TREE_NODE_BYTES];
    int rc = store_tree_root(txn, tree, node, error);

    if (!rc)
        rc = sort_changes(changes, count, error);
    if (!rc && count)
        rc = store_tree_view_open(&update.view, txn, tree, error);
    if (!rc && count)
        rc = change_tree(&update, changes, count, node);
    if (!rc && count)
        rc = store_tree_root_save(txn, tree, node, error);
    if (!rc)
        memcpy(root, node, CRYPTO_HASH_BYTES);
    return rc;
}
