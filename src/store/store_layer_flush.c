/* What is frozen, on its way into the store below: some keys a transaction, in the order of its tables. */
#include "store_layer.h"

/* Of a piece: so that whoever writes may rest in between. */
#define PIECE_KEYS  512u
#define PIECE_BYTES ((size_t)512 << 10)

/* The next of frozen to be written; NULL: none is left. */
static const struct layer_item *flush_next(struct store_layer *layer)
{
    struct store_layer_flush *flush = &layer->flush;

    while (flush->table < layer->base.table_count) {
        const struct layer_map *map = &layer->frozen.maps[flush->table];
        const struct layer_item *item = flush->key_len
                                            ? layer_map_find(
                                                  map, hm_slice_of(flush->key, flush->key_len),
                                                  LAYER_AFTER)
                                            : layer_map_first(map);

        if (item)
            return item;
        flush->table++;
        flush->key_len = 0;
    }
    return NULL;
}

/* The last key of a table below, copied; none: empty. */
static int last_below(struct store_txn *txn, unsigned table, uint8_t room[STORE_KEY_MAX_BYTES],
                      struct hm_slice *last, struct hm_error *error)
{
    struct store_cursor *cursor;
    struct hm_slice found;
    struct hm_slice value;
    int rc = store_cursor_open(txn, table, &cursor, error);

    if (rc)
        return rc;
    rc = store_cursor_seek_last(cursor, &found, &value);
    if (rc == 0)
        memcpy(room, found.data, found.len);
    *last = hm_slice_of(room, rc == 0 ? found.len : 0);
    store_cursor_close(cursor);
    return rc == 0 || rc == HM_ENOTFOUND
               ? 0
               : hm_fail(error, rc, "the last key of table %u cannot be read", table);
}

/* Keys past the table's last fill its pages whole. */
static int write_item(struct store_txn *txn, unsigned table, const struct layer_item *item,
                      struct hm_slice last, struct hm_error *error)
{
    struct hm_slice key = layer_item_key(item);

    if (item->mark)
        return store_delete(txn, table, key, error);
    if (hm_slice_compare(key, last) > 0)
        return store_append(txn, table, key, layer_item_value(item), error);
    return store_put(txn, table, key, layer_item_value(item), error);
}

static int write_piece(struct store_layer *layer, struct store_txn *txn, struct hm_error *error)
{
    struct store_layer_flush *flush = &layer->flush;
    const struct layer_item *item = flush_next(layer);
    unsigned table = STORE_TABLES_MAX;
    uint8_t room[STORE_KEY_MAX_BYTES];
    struct hm_slice last = {0};
    size_t bytes = 0;
    int rc = 0;

    for (unsigned n = 0; rc == 0 && item && n < PIECE_KEYS && bytes < PIECE_BYTES; n++) {
        struct hm_slice key = layer_item_key(item);

        if (flush->table != table)
            rc = last_below(txn, flush->table, room, &last, error);
        table = flush->table;
        if (rc == 0)
            rc = write_item(txn, table, item, last, error);
        bytes += key.len + item->value_len;
        flush->key_len = key.len;
        memcpy(flush->key, key.data, key.len);
        item = flush_next(layer);
    }
    return rc;
}

/* Everything is below: the owner's checkpoint begins there, before anything else is committed (flushing is held), and
 * readers from now on need not look into what was frozen. What fails is as it was before. */
static int flush_end(struct store_layer *layer, struct hm_error *error)
{
    struct layer_checkpoint *owner = layer->flush.owner;
    struct store_checkpoint *begun = NULL;
    struct layer_view gone;
    int rc = owner ? store_checkpoint_begin(layer->below, owner->note, &begun, error) : 0;

    if (rc)
        return rc;
    pthread_mutex_lock(&layer->publish);
    gone = layer->frozen;
    layer->frozen = (struct layer_view){0};
    pthread_mutex_unlock(&layer->publish);
    store_layer_view_drop(&gone);
    layer->flush = (struct store_layer_flush){0};
    if (owner)
        atomic_store(&owner->below, begun);
    return 0;
}

/* What fails has written nothing. */
static int commit_piece(struct store_layer *layer, struct hm_error *error)
{
    struct store_layer_flush before = layer->flush;
    struct store_txn *txn;
    int rc = store_begin_write(layer->below, &txn, error);

    if (rc)
        return rc;
    rc = write_piece(layer, txn, error);
    if (rc) {
        store_abort(txn);
    } else {
        rc = store_commit(txn, error);
        if (rc) /* whatever the reason, the store below takes no more */
            store_layer_fail(layer, error);
    }
    if (rc)
        layer->flush = before;
    return rc;
}

/* Under flushing. */
static int flush_piece(struct store_layer *layer, struct hm_error *error)
{
    int rc = 0;

    if (!layer->flush.pending)
        return 0;
    if (flush_next(layer))
        rc = commit_piece(layer, error);
    if (rc == 0 && !flush_next(layer))
        rc = flush_end(layer, error);
    if (rc && rc != HM_ENOMEM)
        store_layer_fail(layer, error);
    return rc;
}

int store_layer_flush_piece(struct store_layer *layer, bool *more, struct hm_error *error)
{
    pthread_mutex_lock(&layer->flushing);
    int rc = flush_piece(layer, error);
    *more = layer->flush.pending;
    pthread_mutex_unlock(&layer->flushing);
    return rc;
}

int store_layer_flush_all(struct store_layer *layer, struct hm_error *error)
{
    bool more = true;
    int rc = 0;

    while (rc == 0 && more)
        rc = store_layer_flush_piece(layer, &more, error);
    return rc;
}

int store_layer_flush_hold(struct store_layer *layer, struct hm_error *error)
{
    int rc = 0;

    pthread_mutex_lock(&layer->flushing);
    while (rc == 0 && layer->flush.pending)
        rc = flush_piece(layer, error);
    if (rc)
        pthread_mutex_unlock(&layer->flushing);
    return rc;
}

void store_layer_flush_release(struct store_layer *layer)
{
    pthread_mutex_unlock(&layer->flushing);
}

int store_layer_freeze(struct store_layer *layer, struct layer_checkpoint *owner,
                       struct hm_error *error)
{
    int rc = 0;

    pthread_mutex_lock(&layer->flushing);
    while (rc == 0 && layer->flush.pending)
        rc = flush_piece(layer, error);
    if (rc == 0) {
        pthread_mutex_lock(&layer->publish);
        layer->frozen = layer->fresh;
        layer->fresh = (struct layer_view){0};
        layer->freezes++;
        pthread_mutex_unlock(&layer->publish);
        layer->flush = (struct store_layer_flush){.pending = true, .owner = owner};
    }
    pthread_mutex_unlock(&layer->flushing);
    return rc;
}

void store_layer_flush_disown(struct store_layer *layer, const struct layer_checkpoint *owner)
{
    pthread_mutex_lock(&layer->flushing);
    if (layer->flush.owner == owner)
        layer->flush.owner = NULL;
    pthread_mutex_unlock(&layer->flushing);
}
