/* What is not on this node, and stores in which a restore is under way. */
#include "ledger_restore.h"

#include "ledger_view.h"

#define CLEARED_AT_ONCE 4096 /* keys in a transaction */
#define FIRST_BYTES     16

static int meta_get(struct store_txn *txn, struct hm_slice key, struct hm_slice *value,
                    struct hm_error *error)
{
    int rc = store_get(txn, LEDGER_TABLE_META, key, value);

    if (rc && rc != HM_ENOTFOUND)
        return hm_fail(error, rc, "the ledger's meta table could not be read");
    return rc;
}

int ledger_first_read(struct store_txn *txn, struct ledger_first *out, struct hm_error *error)
{
    const uint8_t key = LEDGER_META_FIRST;
    struct hm_slice value;
    int rc = meta_get(txn, hm_slice_of(&key, 1), &value, error);

    if (rc == HM_ENOTFOUND) {
        *out = (struct ledger_first){.height = 1};
        return 0;
    }
    if (rc)
        return rc;
    if (value.len != FIRST_BYTES || hm_get_be64(value.data) == 0)
        return hm_fail(error, HM_ECORRUPT, "the ledger's record of where it begins is damaged");
    out->height = hm_get_be64(value.data);
    out->kv = hm_get_be64(value.data + 8);
    return 0;
}

int ledger_first_write(struct store_txn *txn, const struct ledger_first *first,
                       struct hm_error *error)
{
    const uint8_t key = LEDGER_META_FIRST;
    uint8_t value[FIRST_BYTES];

    hm_put_be64(value, first->height);
    hm_put_be64(value + 8, first->kv);
    return store_put(txn, LEDGER_TABLE_META, hm_slice_of(&key, 1), hm_slice_of(value, sizeof value),
                     error);
}

int ledger_first_block(struct store_txn *txn, uint64_t height, struct hm_error *error)
{
    struct ledger_first first;
    int rc = ledger_first_read(txn, &first, error);

    if (rc || height == 0 || height >= first.height)
        return rc;
    return hm_fail(error, HM_ENOTFOUND,
                   "block %llu is not on this node, which began with a snapshot: its first block "
                   "is %llu; ask a node that has been there longer",
                   (unsigned long long)height, (unsigned long long)first.height);
}

int ledger_first_kv(struct store_txn *txn, uint64_t *compacted, struct hm_error *error)
{
    struct ledger_first first;
    int rc = ledger_first_read(txn, &first, error);

    if (rc == 0 && first.kv > *compacted)
        *compacted = first.kv;
    return rc;
}

int ledger_view_first_height(struct ledger_view *view, uint64_t *height, struct hm_error *error)
{
    struct ledger_first first;
    int rc = ledger_first_read(view->txn, &first, error);

    if (rc == 0)
        *height = first.height;
    return rc;
}

/* --- headers of before --- */

static struct hm_slice header_key(uint64_t height, uint8_t out[9])
{
    out[0] = LEDGER_META_HEADER;
    hm_put_be64(out + 1, height);
    return hm_slice_of(out, 9);
}

int ledger_restore_header(struct store_txn *txn, uint64_t height, struct hm_slice *out,
                          struct hm_error *error)
{
    uint8_t key[9];
    int rc = meta_get(txn, header_key(height, key), out, error);

    return rc == HM_ENOTFOUND ? hm_fail(error, HM_ECORRUPT, "the header of block %llu is missing",
                                        (unsigned long long)height)
                              : rc;
}

int ledger_restore_header_put(struct store_txn *txn, uint64_t height, struct hm_slice header,
                              struct hm_error *error)
{
    uint8_t key[9];

    return store_put(txn, LEDGER_TABLE_META, header_key(height, key), header, error);
}

/* --- under way --- */

static const uint8_t mark_key = LEDGER_META_RESTORE;

static bool is_mark(unsigned table, struct hm_slice key)
{
    return table == LEDGER_TABLE_META && hm_slice_equal(key, hm_slice_of(&mark_key, 1));
}

int ledger_restore_pending(struct store_txn *txn, struct hm_error *error)
{
    struct hm_slice value;
    int rc = meta_get(txn, hm_slice_of(&mark_key, 1), &value, error);

    if (rc)
        return rc == HM_ENOTFOUND ? 0 : rc;
    return hm_fail(error, HM_ECONFLICT,
                   "taking a snapshot over was begun here and did not come to its end: what there "
                   "is of it must be dropped, then it can begin anew");
}

int ledger_restore_unmark(struct store_txn *txn, struct hm_error *error)
{
    return store_delete(txn, LEDGER_TABLE_META, hm_slice_of(&mark_key, 1), error);
}

/* Deletes some keys of the table; *more: there may be others. */
static int table_clear_some(struct store_txn *txn, unsigned table, bool *more,
                            struct hm_error *error)
{
    struct store_cursor *cursor;
    struct hm_slice value;
    struct hm_slice key;
    size_t seen = 0;
    int found = 0;
    int rc = store_cursor_open(txn, table, &cursor, error);

    if (rc)
        return rc;
    while (rc == 0 && seen++ < CLEARED_AT_ONCE &&
           (found = store_cursor_next(cursor, &key, &value)) == 0) {
        uint8_t copy[STORE_KEY_MAX_BYTES];

        if (is_mark(table, key))
            continue;
        memcpy(copy, key.data, key.len); /* the store's slice ends with the first write */
        rc = store_delete(txn, table, hm_slice_of(copy, key.len), error);
    }
    store_cursor_close(cursor);
    *more = found == 0;
    if (rc == 0 && found && found != HM_ENOTFOUND)
        rc = hm_fail(error, found, "the ledger's %s table could not be read",
                     ledger_table_names[table]);
    return rc;
}

typedef int (*store_step)(struct store_txn *txn, unsigned table, bool *more,
                          struct hm_error *error);

/* One transaction. */
static int stepped(struct store *store, store_step step, unsigned table, bool *more,
                   struct hm_error *error)
{
    struct store_txn *txn;
    int rc = store_begin_write(store, &txn, error);

    if (rc)
        return rc;
    rc = step(txn, table, more, error);
    if (rc) {
        store_abort(txn);
        return rc;
    }
    return store_commit(txn, error);
}

static int mark_set(struct store_txn *txn, unsigned table, bool *more, struct hm_error *error)
{
    (void)more;
    return store_put(txn, table, hm_slice_of(&mark_key, 1), (struct hm_slice){0}, error);
}

static int mark_end(struct store_txn *txn, unsigned table, bool *more, struct hm_error *error)
{
    (void)table;
    (void)more;
    return ledger_restore_unmark(txn, error);
}

int ledger_restore_mark(struct store *store, struct hm_error *error)
{
    bool more = false;
    int rc = stepped(store, mark_set, LEDGER_TABLE_META, &more, error);

    for (unsigned table = 0; rc == 0 && table < LEDGER_TABLE_COUNT; table++) {
        do {
            rc = stepped(store, table_clear_some, table, &more, error);
        } while (rc == 0 && more);
    }
    return rc;
}

int ledger_restore_drop(struct store *store, struct hm_error *error)
{
    struct store_txn *txn;
    bool more;
    int rc = store_begin_read(store, &txn, error);

    if (rc)
        return rc;
    rc = ledger_restore_pending(txn, NULL);
    store_abort(txn);
    if (rc != HM_ECONFLICT)
        return rc ? hm_fail(error, rc, "the ledger's meta table could not be read") : 0;
    rc = ledger_restore_mark(store, error);
    return rc ? rc : stepped(store, mark_end, LEDGER_TABLE_META, &more, error);
}

/* A block of its own raises the height, and no other write does: what was restored has none while it stands where its snapshot
 * does. */
static int undo_check(struct store_txn *txn, struct hm_error *error)
{
    struct ledger_first first;
    struct ledger_info info = {0};
    int rc = ledger_first_read(txn, &first, error);

    if (rc == 0)
        rc = ledger_read_info(txn, &info, error);
    if (rc)
        return rc;
    if (first.height == 1)
        return hm_fail(error, HM_EPERM, "the ledger did not begin with a snapshot");
    if (info.height + 1 != first.height)
        return hm_fail(error, HM_EPERM,
                       "the ledger began with a snapshot of block %llu, but has blocks of its own "
                       "up to %llu",
                       (unsigned long long)first.height - 1, (unsigned long long)info.height);
    return 0;
}

static int undo_step(struct store_txn *txn, unsigned table, bool *more, struct hm_error *error)
{
    int rc = undo_check(txn, error);

    return rc ? rc : mark_set(txn, table, more, error);
}

int ledger_restore_undo(struct ledger *ledger, struct hm_error *error)
{
    bool more;

    return stepped(ledger->store, undo_step, LEDGER_TABLE_META, &more, error);
}
