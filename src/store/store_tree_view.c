#include "store_tree_view.h"

#define RUN_KEY     0xf0
#define STATE_BYTES 16 /* fold, next number */

static const uint8_t state_key[] = {0xf1};

struct hm_slice store_tree_run_key(uint64_t number, uint8_t out[STORE_TREE_RUN_KEY_BYTES])
{
    out[0] = RUN_KEY;
    hm_put_be64(out + 1, number);
    return hm_slice_of(out, STORE_TREE_RUN_KEY_BYTES);
}

static int damaged(const struct store_tree_view *view, const char *what)
{
    return hm_fail(view->error, HM_ECORRUPT, "state tree: the recent changes are damaged: %s",
                   what);
}

static int state_load(struct store_tree_view *view)
{
    struct hm_slice value;
    int rc = store_get(view->txn, view->tree->page_table, hm_slice_of(state_key, sizeof(state_key)),
                       &value);

    if (rc == HM_ENOTFOUND)
        return 0;
    if (rc)
        return hm_fail(view->error, rc, "state tree: its record of changes cannot be read");
    if (value.len != STATE_BYTES)
        return damaged(view, "their record has another length");
    view->fold = hm_get_be64(value.data);
    view->next_number = hm_get_be64(value.data + 8);
    return 0;
}

int store_tree_view_state_save(const struct store_tree_view *view)
{
    struct hm_slice key = hm_slice_of(state_key, sizeof(state_key));
    uint8_t bytes[STATE_BYTES];

    if (view->run_count == 0)
        return store_delete(view->txn, view->tree->page_table, key, view->error);
    hm_put_be64(bytes, view->fold);
    hm_put_be64(bytes + 8, view->next_number);
    return store_put(view->txn, view->tree->page_table, key, hm_slice_of(bytes, sizeof(bytes)),
                     view->error);
}

static int run_load(struct store_tree_view *view, struct hm_slice key, struct hm_slice value)
{
    struct store_tree_run *run = &view->runs[view->run_count];
    uint8_t *owned = NULL;

    if (view->run_count == STORE_TREE_RUNS_MAX)
        return damaged(view, "there are too many of them");
    if (view->txn->tree_written) {
        owned = hm_malloc(value.len + 1);
        if (!owned)
            return hm_fail(view->error, HM_ENOMEM, "no memory for changes to the state tree");
        memcpy(owned, value.data, value.len);
        value.data = owned;
    }
    if (store_tree_run_decode(value, run)) {
        hm_free(owned);
        return damaged(view, "a run is malformed");
    }
    run->owned = owned;
    run->number = hm_get_be64(key.data + 1);
    view->run_count++;
    return 0;
}

static int runs_load(struct store_tree_view *view)
{
    static const uint8_t first[] = {RUN_KEY};
    struct store_cursor *cursor = NULL;
    struct hm_slice key;
    struct hm_slice value;
    int rc = store_cursor_open(view->txn, view->tree->page_table, &cursor, view->error);

    if (rc)
        return rc;
    rc = store_cursor_seek(cursor, hm_slice_of(first, sizeof(first)), &key, &value);
    while (rc == 0 && key.len == STORE_TREE_RUN_KEY_BYTES && key.data[0] == RUN_KEY) {
        rc = run_load(view, key, value);
        if (!rc)
            rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

int store_tree_view_open(struct store_tree_view *view, struct store_txn *txn,
                         const struct store_tree *tree, struct hm_error *error)
{
    int rc;

    view->txn = txn;
    view->tree = tree;
    view->error = error;
    rc = state_load(view);
    if (!rc)
        rc = runs_load(view);
    if (!rc)
        rc = store_cursor_open(txn, tree->leaf_table, &view->cursor, error);
    return rc;
}

void store_tree_view_release(struct store_tree_view *view)
{
    for (size_t i = 0; i < HM_COUNT_OF(view->runs); i++)
        store_tree_run_release(&view->runs[i]);
    store_tree_leaves_release(&view->scratch);
    store_cursor_close(view->cursor);
    view->cursor = NULL;
    view->run_count = 0;
}

/* --- leaves --- */

int store_tree_view_lay(struct store_tree_view *view, struct store_tree_leaves *list,
                        const struct store_tree_change *leaves, size_t count)
{
    struct store_tree_leaves *out = &view->scratch;
    struct store_tree_leaves swap;
    size_t a = 0;
    size_t b = 0;
    int rc = store_tree_leaves_reserve(out, list->count + count, view->error);

    if (rc || count == 0)
        return rc;
    out->count = 0;
    while (a < list->count && b < count) {
        int order = memcmp(list->items[a].key_hash, leaves[b].key_hash, CRYPTO_HASH_BYTES);

        if (order < 0) {
            out->items[out->count++] = list->items[a++];
        } else {
            out->items[out->count++] = leaves[b++];
            a += order == 0;
        }
    }
    if (a < list->count)
        memcpy(out->items + out->count, list->items + a, (list->count - a) * sizeof(*out->items));
    out->count += list->count - a;
    memcpy(out->items + out->count, leaves + b, (count - b) * sizeof(*out->items));
    out->count += count - b;
    swap = *list;
    *list = *out;
    *out = swap;
    return 0;
}

static void drop_deleted(struct store_tree_leaves *leaves)
{
    size_t kept = 0;

    for (size_t i = 0; i < leaves->count; i++)
        if (!store_tree_is_zero(leaves->items[i].value_hash))
            leaves->items[kept++] = leaves->items[i];
    leaves->count = kept;
}

int store_tree_view_leaves(struct store_tree_view *view, const uint8_t key_hash[CRYPTO_HASH_BYTES],
                           unsigned level, size_t limit, struct store_tree_leaves *leaves)
{
    uint8_t from[CRYPTO_HASH_BYTES];
    size_t hidden = 0; /* at most so many below are deleted above */
    bool laid = false;
    int rc;

    for (size_t i = 0; i < view->run_count; i++)
        hidden += view->runs[i].leaf_count;
    rc = store_tree_leaves_read(leaves, view->cursor, key_hash, level, limit + hidden, view->error);
    store_tree_prefix(key_hash, level, from);
    for (size_t i = 0; !rc && i < view->run_count; i++) {
        struct store_tree_run *run = &view->runs[i];
        size_t at = store_tree_run_leaf_at(run, from);
        size_t end = at;

        while (end < run->leaf_count &&
               store_tree_same_prefix(run->leaves[end].key_hash, from, level))
            end++;
        if (end == at)
            continue;
        rc = store_tree_view_lay(view, leaves, run->leaves + at, end - at);
        laid = true;
    }
    if (rc)
        return rc;
    if (laid)
        drop_deleted(leaves);
    if (leaves->count > limit)
        return hm_fail(view->error, HM_ECORRUPT,
                       "state tree: more than %zu leaves at level %u where the pages allow no more",
                       limit, level);
    return 0;
}

/* --- pages --- */

/* Lays what a run says of one page over it. */
static int patch(struct store_tree_view *view, const struct store_tree_patch *at, size_t count,
                 struct store_tree_page *page, struct store_tree_marks *marks, bool *there)
{
    for (size_t i = 0; i < count && memcmp(at[i].path, at->path, sizeof(at->path)) == 0; i++) {
        if (at[i].index > STORE_TREE_PAGE_NODES)
            return damaged(view, "a page has no such node");
        if (at[i].index == 0) {
            memset(page, 0, sizeof(*page));
            memset(marks, 0, sizeof(*marks));
            *there = at[i].node[0] == STORE_TREE_PATCH_NEW;
            continue;
        }
        memcpy(page->nodes[at[i].index - 1], at[i].node, STORE_TREE_NODE_BYTES);
        marks->nodes[at[i].index - 1] = !store_tree_is_zero(at[i].node);
    }
    return 0;
}

static int patch_all(struct store_tree_view *view, const uint8_t key_hash[CRYPTO_HASH_BYTES],
                     unsigned level, struct store_tree_page *page, struct store_tree_marks *marks,
                     bool *there)
{
    unsigned depth = level / STORE_TREE_PAGE_LEVELS;
    uint8_t path[CRYPTO_HASH_BYTES];
    int rc = 0;

    store_tree_prefix(key_hash, level, path);
    for (size_t i = 0; !rc && i < view->run_count; i++) {
        struct store_tree_run *run = &view->runs[i];
        size_t at = store_tree_run_patch_at(run, depth, path);
        const struct store_tree_patch *first = at < run->patch_count[depth]
                                                   ? &run->patches[depth][at]
                                                   : NULL;

        if (first && memcmp(first->path, path, sizeof(first->path)) == 0)
            rc = patch(view, first, run->patch_count[depth] - at, page, marks, there);
    }
    return rc;
}

int store_tree_view_sketch(struct store_tree_view *view, const uint8_t key_hash[CRYPTO_HASH_BYTES],
                           unsigned level, struct store_tree_page *page)
{
    struct store_tree_marks marks;
    int rc = store_tree_page_load(view->txn, view->tree, key_hash, level, page, &marks,
                                  view->error);
    bool there = rc == 0;

    if (rc && rc != HM_ENOTFOUND)
        return rc;
    rc = level / STORE_TREE_PAGE_LEVELS < STORE_TREE_RUN_DEEP
             ? patch_all(view, key_hash, level, page, &marks, &there)
             : 0;
    if (rc)
        return rc;
    if (!there)
        return HM_ENOTFOUND;
    if (store_tree_page_sketch(page, &marks))
        return hm_fail(view->error, HM_ECORRUPT, "state tree: the page at level %u is malformed",
                       level);
    return 0;
}

int store_tree_view_page(struct store_tree_view *view, const uint8_t key_hash[CRYPTO_HASH_BYTES],
                         unsigned level, struct store_tree_page *page)
{
    int rc = store_tree_view_sketch(view, key_hash, level, page);

    if (rc == 0)
        store_tree_page_hash(page);
    return rc;
}
