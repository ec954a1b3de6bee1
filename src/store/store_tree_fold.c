#include "store_tree_fold.h"

#define ROOM_SHARE 4 /* of the leaves, one in so many may wait */
#define ROOM_MIN   ((uint64_t)1024)
#define ROOM_MAX   ((uint64_t)4 << 20)

uint64_t store_tree_fold_room(uint64_t leaves)
{
    uint64_t room = leaves / ROOM_SHARE;

    if (room < ROOM_MIN)
        return ROOM_MIN;
    return room < ROOM_MAX ? room : ROOM_MAX;
}

static void key_at(uint64_t place, uint8_t out[CRYPTO_HASH_BYTES])
{
    memset(out, 0, CRYPTO_HASH_BYTES);
    hm_put_be32(out, (uint32_t)place);
}

static int fold_leaves(struct store_tree_view *view, uint64_t from, uint64_t to,
                       struct store_tree_leaves *list)
{
    uint8_t key[CRYPTO_HASH_BYTES];
    int rc = 0;

    list->count = 0;
    for (size_t i = 0; !rc && i < view->run_count; i++) {
        struct store_tree_run *run = &view->runs[i];
        size_t at;
        size_t end;

        key_at(from, key);
        at = store_tree_run_leaf_at(run, key);
        key_at(to, key);
        end = to == STORE_TREE_FOLD_WHOLE ? run->leaf_count : store_tree_run_leaf_at(run, key);
        rc = store_tree_view_lay(view, list, run->leaves + at, end - at);
    }
    for (size_t i = 0; !rc && i < list->count; i++)
        rc = store_tree_leaf_put(view->txn, view->tree, &list->items[i], view->error);
    return rc;
}

/* The first path at this depth, not before path, of which a run speaks. */
static bool next_path(struct store_tree_view *view, unsigned depth,
                      uint8_t path[STORE_TREE_PATCH_PATH_BYTES])
{
    const uint8_t *found = NULL;

    for (size_t i = 0; i < view->run_count; i++) {
        struct store_tree_run *run = &view->runs[i];
        size_t at = store_tree_run_patch_at(run, depth, path);

        if (at < run->patch_count[depth] && (!found || memcmp(run->patches[depth][at].path, found,
                                                              STORE_TREE_PATCH_PATH_BYTES) < 0))
            found = run->patches[depth][at].path;
    }
    if (found)
        memcpy(path, found, STORE_TREE_PATCH_PATH_BYTES);
    return found != NULL;
}

static int fold_pages(struct store_tree_view *view, uint64_t from, uint64_t to, unsigned depth)
{
    unsigned level = depth * STORE_TREE_PAGE_LEVELS;
    uint8_t key[CRYPTO_HASH_BYTES];
    struct store_tree_page page;

    key_at(from, key);
    while (next_path(view, depth, key) && hm_get_be32(key) < to) {
        int rc = store_tree_view_sketch(view, key, level, &page);

        if (rc == HM_ENOTFOUND)
            rc = store_tree_page_drop(view->txn, view->tree, key, level, view->error);
        else if (rc == 0)
            rc = store_tree_page_save(view->txn, view->tree, key, level, &page, view->error);
        if (rc)
            return rc;
        hm_put_be64(key, hm_get_be64(key) + 1);
    }
    return 0;
}

static int fold_stretch(struct store_tree_view *view, uint64_t from, uint64_t to)
{
    HM_CLEANUP(store_tree_leaves) struct store_tree_leaves list = {0};
    int rc = fold_leaves(view, from, to, &list);

    for (unsigned depth = 0; !rc && depth < STORE_TREE_RUN_DEEP; depth++)
        rc = fold_pages(view, from, to, depth);
    return rc;
}

static int run_delete(struct store_tree_view *view, const struct store_tree_run *run)
{
    uint8_t key[STORE_TREE_RUN_KEY_BYTES];

    return store_delete(view->txn, view->tree->page_table, store_tree_run_key(run->number, key),
                        view->error);
}

/* Once through the key space since a run's last change: all of it lies in the tables. */
static int drop_folded(struct store_tree_view *view)
{
    size_t gone = 0;
    int rc = 0;

    while (!rc && gone < view->run_count &&
           view->fold - view->runs[gone].born >= STORE_TREE_FOLD_WHOLE)
        rc = run_delete(view, &view->runs[gone++]);
    if (rc || gone == 0)
        return rc;
    for (size_t i = 0; i < gone; i++)
        store_tree_run_release(&view->runs[i]);
    view->run_count -= gone;
    memmove(view->runs, view->runs + gone, view->run_count * sizeof(*view->runs));
    memset(view->runs + view->run_count, 0, gone * sizeof(*view->runs));
    return 0;
}

int store_tree_fold(struct store_tree_view *view, uint64_t share)
{
    uint64_t left = share < STORE_TREE_FOLD_WHOLE ? share : STORE_TREE_FOLD_WHOLE;
    int rc = 0;

    while (!rc && left && view->run_count) {
        uint64_t from = view->fold % STORE_TREE_FOLD_WHOLE;
        uint64_t step = STORE_TREE_FOLD_WHOLE - from < left ? STORE_TREE_FOLD_WHOLE - from : left;

        rc = fold_stretch(view, from, from + step);
        view->fold += step;
        left -= step;
    }
    return rc ? rc : drop_folded(view);
}

static size_t weight(const struct store_tree_run *run)
{
    return run->leaf_count + store_tree_run_patches(run);
}

static bool may_merge(const struct store_tree_view *view, const struct store_tree_run *older,
                      const struct store_tree_run *newer)
{
    if (older->leaf_count + newer->leaf_count > STORE_TREE_RUN_LEAVES_MAX ||
        store_tree_run_patches(older) + store_tree_run_patches(newer) > STORE_TREE_RUN_PATCHES_MAX)
        return false;
    return weight(older) <= weight(newer) || view->run_count >= STORE_TREE_RUNS_MAX;
}

int store_tree_run_save(struct store_tree_view *view)
{
    struct store_tree_run *newest = &view->runs[view->run_count - 1];
    uint8_t key[STORE_TREE_RUN_KEY_BYTES];
    int rc = 0;

    while (!rc && view->run_count > 1 && may_merge(view, newest - 1, newest)) {
        rc = store_tree_run_merge(newest - 1, newest, view->error);
        if (!rc)
            rc = run_delete(view, newest - 1);
        if (rc)
            return rc;
        store_tree_run_release(newest - 1);
        newest[-1] = *newest;
        *newest = (struct store_tree_run){0};
        newest--;
        view->run_count--;
    }
    newest->number = view->next_number++;
    return store_put(view->txn, view->tree->page_table, store_tree_run_key(newest->number, key),
                     store_tree_run_bytes(newest), view->error);
}
