/* The store's front: checks arguments once for all backends, then hands over. */
#include "store_backend.h"

#define STORE_TABLE_NAME_MAX_BYTES 32

static bool table_name_valid(const char *name)
{
    size_t len = name ? strnlen(name, STORE_TABLE_NAME_MAX_BYTES + 1) : 0;

    if (len == 0 || len > STORE_TABLE_NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((name[i] < 'a' || name[i] > 'z') && name[i] != '_')
            return false;
    return true;
}

int store_options_check(const struct store_options *options, struct hm_error *error)
{
    if (!options || !options->tables || options->table_count == 0)
        return hm_fail(error, HM_EINVAL, "a store needs at least one table");
    if (options->table_count > STORE_TABLES_MAX)
        return hm_fail(error, HM_ELIMIT, "a store has at most %d tables, not %zu", STORE_TABLES_MAX,
                       options->table_count);
    for (size_t i = 0; i < options->table_count; i++) {
        if (!table_name_valid(options->tables[i]))
            return hm_fail(error, HM_EINVAL, "store table %zu: the name must be 1-%d of a-z and _",
                           i, STORE_TABLE_NAME_MAX_BYTES);
        for (size_t j = 0; j < i; j++)
            if (strcmp(options->tables[i], options->tables[j]) == 0)
                return hm_fail(error, HM_EINVAL, "store table %s is named twice",
                               options->tables[i]);
    }
    return 0;
}

void store_close(struct store *store)
{
    if (store)
        store->backend->close(store);
}

static int begin(struct store *store, bool write, struct store_txn **out, struct hm_error *error)
{
    struct store_txn *txn = NULL;
    int rc = store->backend->begin(store, write, &txn, error);

    if (rc)
        return rc;
    txn->store = store;
    txn->write = write;
    *out = txn;
    return 0;
}

int store_begin_read(struct store *store, struct store_txn **out, struct hm_error *error)
{
    int rc;

    if (atomic_fetch_add(&store->readers, 1) >= STORE_READERS_MAX) {
        atomic_fetch_sub(&store->readers, 1);
        return hm_fail(error, HM_EBUSY,
                       "all %d read transactions of the store are in use; end some and try again",
                       STORE_READERS_MAX);
    }
    rc = begin(store, false, out, error);
    if (rc)
        atomic_fetch_sub(&store->readers, 1);
    return rc;
}

int store_begin_write(struct store *store, struct store_txn **out, struct hm_error *error)
{
    if (store->read_only)
        return hm_fail(error, HM_EPERM, "the store was opened for reading only");
    return begin(store, true, out, error);
}

int store_commit(struct store_txn *txn, struct hm_error *error)
{
    if (!txn->write) {
        store_abort(txn);
        return hm_fail(error, HM_EINVAL, "a read transaction cannot be committed");
    }
    return txn->store->backend->commit(txn, error);
}

void store_abort(struct store_txn *txn)
{
    struct store *store;
    bool write;

    if (!txn)
        return;
    store = txn->store;
    write = txn->write;
    store->backend->abort(txn);
    if (!write)
        atomic_fetch_sub(&store->readers, 1);
}

static bool place_valid(const struct store_txn *txn, unsigned table, struct hm_slice key)
{
    return table < txn->store->table_count && key.len >= 1 && key.len <= STORE_KEY_MAX_BYTES;
}

int store_get(struct store_txn *txn, unsigned table, struct hm_slice key, struct hm_slice *value)
{
    if (!place_valid(txn, table, key))
        return HM_EINVAL;
    return txn->store->backend->get(txn, table, key, value);
}

static int check_write(const struct store_txn *txn, unsigned table, struct hm_slice key,
                       struct hm_error *error)
{
    if (!txn->write)
        return hm_fail(error, HM_EPERM, "a read transaction cannot change the store");
    if (table >= txn->store->table_count)
        return hm_fail(error, HM_EINVAL, "the store has %zu tables; number %u is none of them",
                       txn->store->table_count, table);
    if (key.len < 1 || key.len > STORE_KEY_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "a store key has 1 to %d bytes, not %zu",
                       STORE_KEY_MAX_BYTES, key.len);
    return 0;
}

static int put(struct store_txn *txn, unsigned table, struct hm_slice key, struct hm_slice value,
               bool append, struct hm_error *error)
{
    int rc = check_write(txn, table, key, error);

    if (rc)
        return rc;
    if (value.len > STORE_VALUE_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "a store value has at most %zu bytes, not %zu",
                       STORE_VALUE_MAX_BYTES, value.len);
    return txn->store->backend->put(txn, table, key, value, append, error);
}

int store_put(struct store_txn *txn, unsigned table, struct hm_slice key, struct hm_slice value,
              struct hm_error *error)
{
    return put(txn, table, key, value, false, error);
}

int store_append(struct store_txn *txn, unsigned table, struct hm_slice key, struct hm_slice value,
                 struct hm_error *error)
{
    return put(txn, table, key, value, true, error);
}

int store_delete(struct store_txn *txn, unsigned table, struct hm_slice key, struct hm_error *error)
{
    int rc = check_write(txn, table, key, error);

    return rc ? rc : txn->store->backend->remove(txn, table, key, error);
}

int store_cursor_open(struct store_txn *txn, unsigned table, struct store_cursor **out,
                      struct hm_error *error)
{
    struct store_cursor *cursor = NULL;
    int rc;

    if (table >= txn->store->table_count)
        return hm_fail(error, HM_EINVAL, "the store has %zu tables; number %u is none of them",
                       txn->store->table_count, table);
    rc = txn->store->backend->cursor_open(txn, table, &cursor, error);
    if (rc)
        return rc;
    cursor->txn = txn;
    cursor->table = table;
    cursor->place = STORE_CURSOR_BEFORE;
    *out = cursor;
    return 0;
}

void store_cursor_close(struct store_cursor *cursor)
{
    if (cursor)
        cursor->txn->store->backend->cursor_close(cursor);
}

static int cursor_move(struct store_cursor *cursor, enum store_move move, struct hm_slice key,
                       enum store_cursor_place missed, struct hm_slice *found,
                       struct hm_slice *value)
{
    int rc = cursor->txn->store->backend->cursor_move(cursor, move, key, found, value);

    if (rc == 0)
        cursor->place = STORE_CURSOR_AT;
    else if (rc == HM_ENOTFOUND)
        cursor->place = missed;
    return rc;
}

int store_cursor_seek(struct store_cursor *cursor, struct hm_slice key, struct hm_slice *found,
                      struct hm_slice *value)
{
    if (key.len > STORE_KEY_MAX_BYTES)
        return HM_EINVAL;
    return cursor_move(cursor, key.len ? STORE_MOVE_AT_LEAST : STORE_MOVE_FIRST, key,
                       STORE_CURSOR_AFTER, found, value);
}

int store_cursor_seek_last(struct store_cursor *cursor, struct hm_slice *found,
                           struct hm_slice *value)
{
    return cursor_move(cursor, STORE_MOVE_LAST, (struct hm_slice){0}, STORE_CURSOR_BEFORE, found,
                       value);
}

int store_cursor_next(struct store_cursor *cursor, struct hm_slice *found, struct hm_slice *value)
{
    if (cursor->place == STORE_CURSOR_AFTER)
        return HM_ENOTFOUND;
    return cursor_move(cursor,
                       cursor->place == STORE_CURSOR_AT ? STORE_MOVE_NEXT : STORE_MOVE_FIRST,
                       (struct hm_slice){0}, STORE_CURSOR_AFTER, found, value);
}

int store_cursor_prev(struct store_cursor *cursor, struct hm_slice *found, struct hm_slice *value)
{
    if (cursor->place == STORE_CURSOR_BEFORE)
        return HM_ENOTFOUND;
    return cursor_move(cursor, cursor->place == STORE_CURSOR_AT ? STORE_MOVE_PREV : STORE_MOVE_LAST,
                       (struct hm_slice){0}, STORE_CURSOR_BEFORE, found, value);
}

int store_stats(struct store *store, struct store_stats *out, struct hm_error *error)
{
    struct store_stats stats = {0};
    int rc = store->backend->stats(store, &stats, error);

    if (rc)
        return rc;
    stats.readers = atomic_load(&store->readers);
    *out = stats;
    return 0;
}

int store_snapshot(struct store *store,
                   int (*write)(void *ctx, struct hm_slice bytes, struct hm_error *error),
                   void *ctx, struct hm_error *error)
{
    if (!store->backend->snapshot)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "a store in memory cannot be copied: open it on disk to back it up");
    return store->backend->snapshot(store, write, ctx, error);
}

static const uint8_t no_note[STORE_NOTE_BYTES];

int store_checkpoint_begin(struct store *store, const uint8_t *note, struct store_checkpoint **out,
                           struct hm_error *error)
{
    struct store_checkpoint *checkpoint;

    if (store->read_only)
        return hm_fail(error, HM_EPERM, "the store was opened for reading only");
    if (store->backend->checkpoint_begin)
        return store->backend->checkpoint_begin(store, note ? note : no_note, out, error);
    checkpoint = hm_calloc(1, sizeof(*checkpoint));
    if (!checkpoint)
        return hm_fail(error, HM_ENOMEM, "no memory for a checkpoint");
    checkpoint->store = store;
    *out = checkpoint;
    return 0;
}

int store_checkpoint_piece(struct store_checkpoint *checkpoint, bool *more, struct hm_error *error)
{
    if (checkpoint->store->backend->checkpoint_piece)
        return checkpoint->store->backend->checkpoint_piece(checkpoint, more, error);
    *more = false;
    return 0;
}

int store_checkpoint_finish(struct store_checkpoint *checkpoint, struct hm_error *error)
{
    if (!checkpoint)
        return 0;
    if (checkpoint->store->backend->checkpoint_finish)
        return checkpoint->store->backend->checkpoint_finish(checkpoint, error);
    hm_free(checkpoint);
    return 0;
}

void store_checkpoint_note(struct store *store, uint8_t out[STORE_NOTE_BYTES])
{
    memcpy(out, store->backend->checkpoint_note ? store->backend->checkpoint_note(store) : no_note,
           STORE_NOTE_BYTES);
}
