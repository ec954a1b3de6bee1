/* Leases that the time of a block ends. */
#include "ledger_op.h"

/* Collects the ids of leases due at or before now; at most LEDGER_EXPIRE_MAX, the next block takes the
 * rest (next_due_ms says that there are some). */
static int due_collect(struct ledger_block *block, ProtobufCBinaryData *ids, size_t *count,
                       struct hm_error *error)
{
    const uint8_t first = LEDGER_KEY_DUE;
    struct store_cursor *cursor;
    struct hm_slice key;
    struct hm_slice value;
    int rc = store_cursor_open(block->txn, LEDGER_TABLE_STATE, &cursor, error);

    if (rc)
        return rc;
    rc = store_cursor_seek(cursor, hm_slice_of(&first, 1), &key, &value);
    while (rc == 0 && *count < LEDGER_EXPIRE_MAX && key.len == LEDGER_KEY_DUE_BYTES &&
           key.data[0] == LEDGER_KEY_DUE && hm_get_be64(key.data + 1) <= block->time_ms) {
        uint8_t *id = hm_arena_dup(&block->arena, key.data + 9, LEDGER_ID_BYTES);

        if (!id) {
            rc = hm_fail(error, HM_ENOMEM, "no memory for the leases that are due");
            break;
        }
        ids[(*count)++] = wire_bytes(id, LEDGER_ID_BYTES);
        rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

static int lease_expire(struct ledger_block *block, ProtobufCBinaryData id, struct hm_error *error)
{
    struct ledger_scope scope;
    Hypermesh__Lease *lease;
    int rc;

    hm_arena_clear(&block->scratch);
    ledger_scope_init(&scope, block, &block->scratch, (struct hm_slice){0});
    rc = ledger_scope_lease(&scope, id, &lease, error);
    if (rc == 0)
        rc = ledger_lease_end(&scope, lease, HYPERMESH__LEASE_STATE__LEASE_EXPIRED, 0,
                              (ProtobufCBinaryData){0}, error);
    return rc ? rc : ledger_scope_commit(&scope, error);
}

int ledger_block_expire(struct ledger_block *block, struct hm_error *error)
{
    ProtobufCBinaryData *ids = hm_arena_alloc(&block->arena, LEDGER_EXPIRE_MAX * sizeof *ids);
    size_t count = 0;
    size_t done;
    int rc;

    if (!ids)
        return hm_fail(error, HM_ENOMEM, "no memory for the leases that are due");
    rc = due_collect(block, ids, &count, error);
    /* What does not fit any more waits for the next block, as those past LEDGER_EXPIRE_MAX do. */
    for (done = 0; rc == 0 && done < count; done++) {
        if (block->overlay.held >= LEDGER_BLOCK_HELD_MAX_BYTES)
            break;
        rc = lease_expire(block, ids[done], error);
    }
    if (rc == HM_ENOTFOUND)
        return hm_fail(error, HM_ECORRUPT, "the index names a lease that is not there");
    block->expired = ids;
    block->expired_count = done;
    return rc;
}
