#include "store_layer.h"

/* Past it a write transaction begins with writing below what is fresh: a caller's checkpoints come sooner. */
#define FRESH_MAX_BYTES   ((size_t)64 << 20)
#define ARENA_LIMIT_BYTES ((size_t)1 << 40) /* memory is the limit */

static struct store_layer *layer_of(struct store *store)
{
    return (struct store_layer *)store;
}

static struct store_layer_txn *txn_of(struct store_txn *txn)
{
    return (struct store_layer_txn *)txn;
}

void store_layer_fail(struct store_layer *layer, const struct hm_error *cause)
{
    if (atomic_exchange(&layer->failing, true))
        return;
    if (cause)
        layer->cause = *cause;
    atomic_store(&layer->failed, true);
}

/* failed was seen. */
static int refused(const struct store_layer *layer, struct hm_error *error)
{
    return hm_fail(error, HM_EIO,
                   "the store takes no more writes: what was committed could not be written to its "
                   "file; it is as its last checkpoint left it once it is opened again%s%s",
                   layer->cause.text[0] != '\0' ? "; " : "", layer->cause.text);
}

/* --- generations --- */

static int generation_new(struct layer_generation **out, struct hm_error *error)
{
    struct layer_generation *generation = hm_calloc(1, sizeof(*generation));

    if (!generation)
        return hm_fail(error, HM_ENOMEM, "no memory for changes of the store");
    atomic_init(&generation->refs, 1);
    hm_arena_init(&generation->arena, ARENA_LIMIT_BYTES);
    *out = generation;
    return 0;
}

void store_layer_view_drop(struct layer_view *view)
{
    struct layer_generation *generation = view->generation;

    if (generation && atomic_fetch_sub_explicit(&generation->refs, 1, memory_order_acq_rel) == 1) {
        hm_arena_release(&generation->arena);
        hm_free(generation);
    }
    *view = (struct layer_view){0};
}

static void view_take(const struct layer_view *from, struct layer_view *to)
{
    *to = *from;
    if (to->generation)
        atomic_fetch_add_explicit(&to->generation->refs, 1, memory_order_relaxed);
}

/* --- transactions --- */

/* Maps and the snapshot below are of one moment: what leaves frozen meanwhile would be in neither. */
static int snapshot_take(struct store_layer *layer, struct store_layer_txn *txn,
                         struct hm_error *error)
{
    pthread_mutex_lock(&layer->publish);
    int rc = layer->below->backend->begin(layer->below, false, &txn->below, error);
    if (rc == 0) {
        view_take(&layer->fresh, &txn->fresh);
        view_take(&layer->frozen, &txn->frozen);
        txn->freezes = layer->freezes;
    }
    pthread_mutex_unlock(&layer->publish);
    if (rc == 0) {
        txn->below->store = layer->below;
        txn->below->write = false;
    }
    return rc;
}

/* Whoever makes no checkpoints must not fill the memory. Under writing. */
static int room_make(struct store_layer *layer, struct hm_error *error)
{
    pthread_mutex_lock(&layer->publish);
    const struct layer_generation *generation = layer->fresh.generation;
    bool full = generation && generation->arena.used > FRESH_MAX_BYTES;
    pthread_mutex_unlock(&layer->publish);
    if (!full)
        return 0;
    int rc = store_layer_freeze(layer, NULL, error);
    return rc ? rc : store_layer_flush_all(layer, error);
}

static int write_begin(struct store_layer *layer, struct store_layer_txn *txn,
                       struct hm_error *error)
{
    int rc = atomic_load(&layer->failed) ? refused(layer, error) : room_make(layer, error);

    if (rc == 0)
        rc = snapshot_take(layer, txn, error);
    if (rc)
        return rc;
    if (!txn->fresh.generation)
        rc = generation_new(&txn->fresh.generation, error);
    if (rc) {
        txn->below->store->backend->abort(txn->below);
        store_layer_view_drop(&txn->frozen);
        return rc;
    }
    memcpy(txn->begun, txn->fresh.maps, sizeof(txn->begun));
    txn->writer = (struct layer_writer){&txn->fresh.generation->arena, ++layer->stamp};
    return 0;
}

static int layer_begin(struct store *store, bool write, struct store_txn **out,
                       struct hm_error *error)
{
    struct store_layer *layer = layer_of(store);
    struct store_layer_txn *txn = hm_calloc(1, sizeof(*txn));

    if (!txn)
        return hm_fail(error, HM_ENOMEM, "no memory for a store transaction");
    if (write)
        pthread_mutex_lock(&layer->writing);
    int rc = write ? write_begin(layer, txn, error) : snapshot_take(layer, txn, error);
    if (rc) {
        if (write)
            pthread_mutex_unlock(&layer->writing);
        hm_free(txn);
        return rc;
    }
    *out = &txn->base;
    return 0;
}

static void layer_abort(struct store_txn *base)
{
    struct store_layer_txn *txn = txn_of(base);

    txn->below->store->backend->abort(txn->below);
    store_layer_view_drop(&txn->fresh);
    store_layer_view_drop(&txn->frozen);
    if (base->write)
        pthread_mutex_unlock(&layer_of(base->store)->writing);
    hm_free(txn);
}

/* What was fresh when the transaction began is frozen now: keys that it removed without a mark need one. */
static int removed_mark(struct store_layer *layer, struct store_layer_txn *txn)
{
    for (size_t i = 0; i < layer->base.table_count; i++) {
        const struct layer_item *item = layer_map_first(&txn->begun[i]);

        for (; item; item = layer_map_find(&txn->begun[i], layer_item_key(item), LAYER_AFTER))
            if (!layer_map_find(&txn->fresh.maps[i], layer_item_key(item), LAYER_EQUAL) &&
                layer_map_put(&txn->fresh.maps[i], &txn->writer, layer_item_key(item),
                              (struct hm_slice){0}, true, false))
                return HM_ENOMEM;
    }
    return 0;
}

/* false: there was a freeze that the transaction does not know of; it does now. */
static bool txn_publish(struct store_layer *layer, struct store_layer_txn *txn)
{
    bool known;

    pthread_mutex_lock(&layer->publish);
    known = txn->freezes == layer->freezes;
    if (known) {
        struct layer_view old = layer->fresh;

        layer->fresh = txn->fresh;
        txn->fresh = old;
    }
    txn->freezes = layer->freezes;
    pthread_mutex_unlock(&layer->publish);
    return known;
}

static int layer_commit(struct store_txn *base, struct hm_error *error)
{
    struct store_layer *layer = layer_of(base->store);
    int rc = atomic_load(&layer->failed) ? refused(layer, error)
                                         : 0; /* a checkpoint failed meanwhile */

    /* Marks are left outside the lock: there may be many, and readers wait for it. */
    while (rc == 0 && !txn_publish(layer, txn_of(base)))
        if (removed_mark(layer, txn_of(base)))
            rc = hm_fail(error, HM_ENOMEM, "no memory to commit");
    layer_abort(base);
    return rc;
}

/* --- keys --- */

enum store_layer_answer store_layer_find(const struct store_layer_txn *txn, unsigned table,
                                         struct hm_slice key, struct hm_slice *value)
{
    const struct layer_item *item = layer_map_find(&txn->fresh.maps[table], key, LAYER_EQUAL);

    if (!item)
        item = layer_map_find(&txn->frozen.maps[table], key, LAYER_EQUAL);
    if (!item)
        return STORE_LAYER_UNKNOWN;
    if (item->mark)
        return STORE_LAYER_DELETED;
    *value = layer_item_value(item);
    return STORE_LAYER_THERE;
}

static int layer_get(struct store_txn *base, unsigned table, struct hm_slice key,
                     struct hm_slice *value)
{
    struct store_layer_txn *txn = txn_of(base);

    switch (store_layer_find(txn, table, key, value)) {
    case STORE_LAYER_THERE:
        return 0;
    case STORE_LAYER_DELETED:
        return HM_ENOTFOUND;
    case STORE_LAYER_UNKNOWN:
        break;
    }
    return txn->below->store->backend->get(txn->below, table, key, value);
}

/* Whether the key sorts after all of the table's. */
static int past_last(struct store_txn *base, unsigned table, struct hm_slice key, bool *past,
                     struct hm_error *error)
{
    const struct layer_item *item = layer_map_last(&txn_of(base)->fresh.maps[table]);
    struct store_cursor *cursor;
    struct hm_slice last;
    struct hm_slice value;

    if (item && item->tail && hm_slice_compare(layer_item_key(item), key) < 0) {
        *past = true;
        return 0;
    }
    int rc = store_cursor_open(base, table, &cursor, error);
    if (rc)
        return rc;
    rc = store_cursor_seek_last(cursor, &last, &value);
    *past = rc == HM_ENOTFOUND || (rc == 0 && hm_slice_compare(last, key) < 0);
    store_cursor_close(cursor);
    return rc == 0 || rc == HM_ENOTFOUND
               ? 0
               : hm_fail(error, rc, "the last key of table %u cannot be read", table);
}

static int layer_put(struct store_txn *base, unsigned table, struct hm_slice key,
                     struct hm_slice value, bool append, struct hm_error *error)
{
    struct store_layer_txn *txn = txn_of(base);
    bool past = true;
    int rc = append ? past_last(base, table, key, &past, error) : 0;

    if (rc)
        return rc;
    if (!past)
        return hm_fail(error, HM_EINVAL, "a key appended to table %u must sort after its last key",
                       table);
    txn->changes++;
    if (layer_map_put(&txn->fresh.maps[table], &txn->writer, key, value, false, append))
        return hm_fail(error, HM_ENOMEM, "no memory to put %zu bytes into the store",
                       key.len + value.len);
    return 0;
}

/* A mark is only left where something is to be hidden: what comes and goes between two checkpoints leaves nothing. */
static int layer_remove(struct store_txn *base, unsigned table, struct hm_slice key,
                        struct hm_error *error)
{
    struct store_layer_txn *txn = txn_of(base);
    struct layer_map *fresh = &txn->fresh.maps[table];
    struct hm_slice value;
    int rc = layer_map_find(&txn->frozen.maps[table], key, LAYER_EQUAL)
                 ? 0
                 : txn->below->store->backend->get(txn->below, table, key, &value);

    if (rc && rc != HM_ENOTFOUND)
        return hm_fail(error, rc, "a key of table %u cannot be looked for", table);
    txn->changes++;
    rc = rc ? layer_map_remove(fresh, &txn->writer, key)
            : layer_map_put(fresh, &txn->writer, key, (struct hm_slice){0}, true, false);
    return rc ? hm_fail(error, HM_ENOMEM, "no memory to delete from the store") : 0;
}

/* As of what has been written below. */
static uint64_t layer_count(struct store_txn *txn, unsigned table)
{
    struct store_txn *below = txn_of(txn)->below;

    return below->store->backend->count(below, table);
}

static int layer_stats(struct store *store, struct store_stats *out, struct hm_error *error)
{
    struct store *below = layer_of(store)->below;

    return below->backend->stats(below, out, error);
}

/* --- checkpoints and copies --- */

static int layer_checkpoint_begin(struct store *store, const uint8_t note[STORE_NOTE_BYTES],
                                  struct store_checkpoint **out, struct hm_error *error)
{
    struct store_layer *layer = layer_of(store);
    struct layer_checkpoint *checkpoint;

    if (atomic_load(&layer->failed))
        return refused(layer, error);
    if (atomic_exchange(&layer->underway, true))
        return hm_fail(error, HM_EBUSY, "a checkpoint of the store is under way");
    checkpoint = hm_calloc(1, sizeof(*checkpoint));
    int rc = checkpoint ? 0 : hm_fail(error, HM_ENOMEM, "no memory for a checkpoint");
    if (rc == 0) {
        checkpoint->base.store = store;
        memcpy(checkpoint->note, note, STORE_NOTE_BYTES);
        rc = store_layer_freeze(layer, checkpoint, error);
    }
    if (rc) {
        hm_free(checkpoint);
        atomic_store(&layer->underway, false);
        return rc;
    }
    *out = &checkpoint->base;
    return 0;
}

static int layer_checkpoint_piece(struct store_checkpoint *base, bool *more, struct hm_error *error)
{
    struct store_checkpoint *below = atomic_load(&((struct layer_checkpoint *)base)->below);

    if (below)
        return store_checkpoint_piece(below, more, error);
    *more = true;
    return store_layer_flush_piece(layer_of(base->store), &(bool){false}, error);
}

/* Until the store below has begun one of what is marked. */
static int below_begun(struct layer_checkpoint *checkpoint, struct hm_error *error)
{
    bool more = true;
    int rc = 0;

    while (rc == 0 && more && !atomic_load(&checkpoint->below))
        rc = store_layer_flush_piece(layer_of(checkpoint->base.store), &more, error);
    if (rc || atomic_load(&checkpoint->below))
        return rc;
    return hm_fail(error, HM_EIO, "a checkpoint of the store could not be begun");
}

static int layer_checkpoint_finish(struct store_checkpoint *base, struct hm_error *error)
{
    struct layer_checkpoint *checkpoint = (struct layer_checkpoint *)base;
    struct store_layer *layer = layer_of(base->store);
    int rc = below_begun(checkpoint, error);

    store_layer_flush_disown(layer, checkpoint);
    struct store_checkpoint *below = atomic_load(&checkpoint->below);
    if (below) {
        int finished = store_checkpoint_finish(below, rc ? NULL : error);

        rc = rc ? rc : finished;
    }
    if (rc && (below || rc != HM_ENOMEM))
        store_layer_fail(layer, error);
    hm_free(checkpoint);
    atomic_store(&layer->underway, false);
    return rc;
}

static const uint8_t *layer_checkpoint_note(struct store *store)
{
    struct store *below = layer_of(store)->below;

    return below->backend->checkpoint_note(below);
}

/* A copy of the store below, which has to begin while nothing is half written there. */
struct layer_copy {
    struct store_layer *layer;
    int (*write)(void *ctx, struct hm_slice bytes, struct hm_error *error);
    void *ctx;
    bool begun;
};

/* There are bytes of it, so it has the snapshot that it copies. */
static int copy_write(void *ctx, struct hm_slice bytes, struct hm_error *error)
{
    struct layer_copy *copy = ctx;

    if (!copy->begun)
        store_layer_flush_release(copy->layer);
    copy->begun = true;
    return copy->write(copy->ctx, bytes, error);
}

/* All that is committed goes below first. */
static int layer_snapshot(struct store *store,
                          int (*write)(void *ctx, struct hm_slice bytes, struct hm_error *error),
                          void *ctx, struct hm_error *error)
{
    struct store_layer *layer = layer_of(store);
    struct layer_copy copy = {.layer = layer, .write = write, .ctx = ctx};
    int rc = atomic_load(&layer->failed) ? refused(layer, error)
                                         : store_layer_freeze(layer, NULL, error);

    if (rc == 0)
        rc = store_layer_flush_hold(layer, error);
    if (rc)
        return rc;
    rc = store_snapshot(layer->below, copy_write, &copy, error);
    if (!copy.begun)
        store_layer_flush_release(layer);
    return rc;
}

/* --- life --- */

/* A store below that holds a part of what was committed must not pass for one that was closed in order. */
static void layer_close(struct store *store)
{
    struct store_layer *layer = layer_of(store);
    int rc = atomic_load(&layer->failed) ? HM_EIO : store_layer_freeze(layer, NULL, NULL);

    if (rc == 0)
        rc = store_layer_flush_all(layer, NULL);
    if (rc)
        layer->below->backend->give_up(layer->below);
    store_close(layer->below);
    store_layer_view_drop(&layer->fresh);
    store_layer_view_drop(&layer->frozen);
    pthread_mutex_destroy(&layer->writing);
    pthread_mutex_destroy(&layer->publish);
    pthread_mutex_destroy(&layer->flushing);
    hm_free(layer);
}

static const struct store_backend layer_backend = {
    .close = layer_close,
    .begin = layer_begin,
    .commit = layer_commit,
    .abort = layer_abort,
    .get = layer_get,
    .put = layer_put,
    .remove = layer_remove,
    .cursor_open = store_layer_cursor_open,
    .cursor_close = store_layer_cursor_close,
    .cursor_move = store_layer_cursor_move,
    .count = layer_count,
    .stats = layer_stats,
    .snapshot = layer_snapshot,
    .checkpoint_begin = layer_checkpoint_begin,
    .checkpoint_piece = layer_checkpoint_piece,
    .checkpoint_finish = layer_checkpoint_finish,
    .checkpoint_note = layer_checkpoint_note,
};

int store_layer_open(struct store *below, struct store **out, struct hm_error *error)
{
    struct store_layer *layer = hm_calloc(1, sizeof(*layer));

    if (!layer) {
        store_close(below);
        return hm_fail(error, HM_ENOMEM, "no memory to open a store");
    }
    layer->base.backend = &layer_backend;
    layer->base.table_count = below->table_count;
    layer->below = below;
    atomic_init(&layer->base.readers, 0);
    atomic_init(&layer->underway, false);
    atomic_init(&layer->failing, false);
    atomic_init(&layer->failed, false);
    pthread_mutex_init(&layer->writing, NULL);
    pthread_mutex_init(&layer->publish, NULL);
    pthread_mutex_init(&layer->flushing, NULL);
    *out = &layer->base;
    return 0;
}
