/* Erasing what compactions gave up, a bounded part in each block, and checking what is left.
 *
 * A change before the compacted revision that a later one before it has replaced is erased, and so is a
 * deletion; the changes of the compacted revision itself stay for watches that begin there. Going through
 * the log in order, each line finds the one line of its key before it. */
#include "ledger_kv.h"

struct sweep {
    struct ledger_block *block;
    struct store_cursor *log;
    struct store_cursor *past;
    uint64_t revision; /* of the line that the log stands on */
    uint32_t sub;
    size_t lines;
};

static int damaged(struct hm_error *error)
{
    return hm_fail(error, HM_ECORRUPT, "the history of the key-value store is damaged");
}

static int line_erase(struct sweep *sweep, struct hm_slice past_line, uint64_t revision,
                      uint32_t sub, struct hm_error *error)
{
    struct store_txn *txn = sweep->block->txn;
    uint8_t copy[LEDGER_KV_PAST_KEY_BYTES];
    uint8_t log[LEDGER_KV_LOG_KEY_BYTES];
    int rc;

    memcpy(copy, past_line.data, past_line.len); /* the store's slice ends with the first write */
    rc = store_delete(txn, LEDGER_TABLE_KV_PAST, hm_slice_of(copy, past_line.len), error);
    return rc ? rc
              : store_delete(txn, LEDGER_TABLE_KV_LOG, ledger_kv_log_key(revision, sub, log),
                             error);
}

/* The line of the key before the one at (revision, sub), which is replaced by it. */
static int earlier_erase(struct sweep *sweep, struct ledger_kv_past_key *key,
                         struct hm_error *error)
{
    struct hm_slice line;
    struct hm_slice value;
    uint64_t revision;
    uint32_t sub;
    int rc = store_cursor_seek(sweep->past, ledger_kv_past_line(key, sweep->revision, sweep->sub),
                               &line, &value);

    if (rc == 0)
        rc = store_cursor_prev(sweep->past, &line, &value);
    else if (rc == HM_ENOTFOUND)
        return damaged(error);
    if (rc == HM_ENOTFOUND)
        return 0;
    if (rc)
        return hm_fail(error, rc, "the history of the key-value store could not be read");
    if (!ledger_kv_past_of(key, line, &revision, &sub))
        return 0;
    return line_erase(sweep, line, revision, sub, error);
}

static int line_sweep(struct sweep *sweep, struct hm_slice value, struct hm_error *error)
{
    struct ledger_kv_past_key key;
    struct ledger_kv_event event;
    bool deleted;
    int rc;

    if (ledger_kv_event_read(value, &event))
        return damaged(error);
    deleted = event.deleted;
    ledger_kv_past_begin(event.key, &key);
    rc = earlier_erase(sweep, &key, error);
    if (rc == 0 && deleted)
        rc = line_erase(sweep, ledger_kv_past_line(&key, sweep->revision, sweep->sub),
                        sweep->revision, sweep->sub, error);
    return rc;
}

/* From *swept on; gives how far it came. */
static int log_sweep(struct sweep *sweep, uint64_t *swept, struct hm_error *error)
{
    const struct ledger_kv_totals *now = &sweep->block->kv.now;
    uint8_t start[LEDGER_KV_LOG_KEY_BYTES];
    struct hm_slice value;
    struct hm_slice key;
    int rc = store_cursor_seek(sweep->log, ledger_kv_log_key(*swept, 0, start), &key, &value);

    for (; rc == 0; rc = store_cursor_next(sweep->log, &key, &value)) {
        if (key.len != LEDGER_KV_LOG_KEY_BYTES)
            return damaged(error);
        sweep->revision = hm_get_be64(key.data);
        sweep->sub = hm_get_be32(key.data + 8);
        if (sweep->revision >= now->compacted)
            break;
        if (sweep->lines++ == LEDGER_KV_SWEEP_PER_BLOCK) {
            *swept = sweep->revision;
            return 0;
        }
        rc = line_sweep(sweep, value, error);
        if (rc)
            return rc;
    }
    if (rc && rc != HM_ENOTFOUND)
        return hm_fail(error, rc, "the history of the key-value store could not be read");
    *swept = now->compacted;
    return 0;
}

static int history_sweep(struct ledger_block *block, uint64_t *swept, struct hm_error *error)
{
    struct sweep sweep = {.block = block};
    int rc = store_cursor_open(block->txn, LEDGER_TABLE_KV_LOG, &sweep.log, error);

    if (rc)
        return rc;
    rc = store_cursor_open(block->txn, LEDGER_TABLE_KV_PAST, &sweep.past, error);
    if (rc == 0) {
        rc = log_sweep(&sweep, swept, error);
        store_cursor_close(sweep.past);
    }
    store_cursor_close(sweep.log);
    return rc;
}

int ledger_kv_sweep(struct ledger_block *block, struct hm_error *error)
{
    return history_sweep(block, &block->kv.now.swept, error);
}

/* How far this node has come. One that never noted it stands where the state says: it was alone until now, or began
 * with that state and has no older history. */
static int own_read(struct ledger_block *block, uint64_t *swept, struct hm_error *error)
{
    const uint8_t key = LEDGER_META_SWEPT;
    struct hm_slice value;
    int rc = store_get(block->txn, LEDGER_TABLE_META, hm_slice_of(&key, 1), &value);

    *swept = block->kv.before.swept;
    if (rc == HM_ENOTFOUND)
        return 0;
    if (rc)
        return hm_fail(error, rc, "the history of the key-value store could not be read");
    if (value.len != 8)
        return damaged(error);
    *swept = hm_get_be64(value.data);
    return 0;
}

int ledger_kv_sweep_own(struct ledger_block *block, struct hm_error *error)
{
    struct ledger_kv_totals *now = &block->kv.now;
    const uint8_t key = LEDGER_META_SWEPT;
    uint8_t value[8];
    uint64_t swept;
    int rc = own_read(block, &swept, error);

    now->swept = now->compacted;
    if (rc || swept >= now->compacted)
        return rc;
    rc = history_sweep(block, &swept, error);
    if (rc)
        return rc;
    hm_put_be64(value, swept);
    return store_put(block->txn, LEDGER_TABLE_META, hm_slice_of(&key, 1),
                     hm_slice_of(value, sizeof value), error);
}

/* --- audit --- */

struct audit {
    struct store_txn *txn;
    uint64_t keys;
    uint64_t leases;
    uint64_t held; /* keys on the lists of leases */
    uint64_t said; /* keys that leases say they hold */
    uint64_t attached; /* keys that say they go with a lease */
};

static int audit_value(struct audit *audit, struct hm_slice key, struct hm_slice value,
                       struct hm_arena *arena, struct hm_error *error)
{
    struct ledger_kv_entry entry;
    Hypermesh__KvLease *lease;
    uint8_t held[LEDGER_KEY_KV_HELD_BYTES];
    struct hm_slice found;
    int rc;

    switch (key.data[0]) {
    case LEDGER_KEY_KV:
        audit->keys++;
        if (ledger_kv_entry_read(value, &entry))
            return damaged(error);
        audit->attached += entry.lease > 0;
        if (entry.lease &&
            store_get(audit->txn, LEDGER_TABLE_STATE,
                      ledger_key_kv_held(entry.lease, hm_slice_of(key.data + 1, key.len - 1), held),
                      &found))
            return hm_fail(error, HM_ECORRUPT, "a key is not on the list of its lease");
        return 0;
    case LEDGER_KEY_KV_HELD:
        audit->held++;
        return 0;
    default:
        hm_arena_clear(arena);
        rc = WIRE_UNPACK(hypermesh__kv_lease, value, LEDGER_STATE_MAX_BYTES, arena, &lease, error);
        if (rc)
            return rc == HM_ENOMEM ? rc : damaged(error);
        audit->leases++;
        audit->said += lease->keys;
        return 0;
    }
}

static int audit_walk(struct audit *audit, uint8_t prefix, struct hm_error *error)
{
    struct store_cursor *cursor;
    struct hm_arena arena;
    struct hm_slice value;
    struct hm_slice key;
    int rc = store_cursor_open(audit->txn, LEDGER_TABLE_STATE, &cursor, error);

    if (rc)
        return rc;
    hm_arena_init(&arena, LEDGER_STATE_MAX_BYTES);
    rc = store_cursor_seek(cursor, hm_slice_of(&prefix, 1), &key, &value);
    while (rc == 0 && key.data[0] == prefix) {
        rc = audit_value(audit, key, value, &arena, error);
        if (rc == 0)
            rc = store_cursor_next(cursor, &key, &value);
    }
    hm_arena_release(&arena);
    store_cursor_close(cursor);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

int ledger_kv_audit(struct store_txn *txn, struct hm_error *error)
{
    struct audit audit = {.txn = txn};
    struct ledger_kv_totals totals;
    int rc = ledger_kv_totals_read(txn, &totals, error);

    if (rc == 0)
        rc = audit_walk(&audit, LEDGER_KEY_KV, error);
    if (rc == 0)
        rc = audit_walk(&audit, LEDGER_KEY_KV_HELD, error);
    if (rc == 0)
        rc = audit_walk(&audit, LEDGER_KEY_KV_LEASE, error);
    if (rc)
        return rc;
    if (audit.keys != totals.keys || audit.leases != totals.leases || audit.held != audit.said ||
        audit.held != audit.attached)
        return hm_fail(error, HM_ECORRUPT,
                       "the key-value store says %llu keys and %llu leases, and has %llu and %llu; "
                       "leases say %llu keys, %llu are on their lists and %llu name one",
                       (unsigned long long)totals.keys, (unsigned long long)totals.leases,
                       (unsigned long long)audit.keys, (unsigned long long)audit.leases,
                       (unsigned long long)audit.said, (unsigned long long)audit.held,
                       (unsigned long long)audit.attached);
    return 0;
}
