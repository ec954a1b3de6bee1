/* What the time of a block ends by itself. */
#include "ledger_challenge.h"
#include "ledger_kv.h"
#include "ledger_op.h"
#include "ledger_validator.h"

/* Something that is due: its key, of which the first byte says what it is. */
struct due {
    uint8_t key[LEDGER_KEY_DUE_MAX_BYTES];
    size_t key_len;
};

/* Collects what is due at or before now; at most LEDGER_EXPIRE_MAX, the next block takes the rest
 * (next_due_ms says that there is some). *list stays NULL when there is nothing, as in nearly every block. */
static int due_collect(struct ledger_block *block, struct due **list, size_t *count,
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
    while (rc == 0 && *count < LEDGER_EXPIRE_MAX && key.len >= LEDGER_KEY_DUE_MIN_BYTES &&
           key.len <= LEDGER_KEY_DUE_MAX_BYTES && key.data[0] == LEDGER_KEY_DUE &&
           hm_get_be64(key.data + 1) <= block->time_ms) {
        if (!*list)
            *list = hm_arena_alloc(&block->arena, LEDGER_EXPIRE_MAX * sizeof **list);
        if (!*list) {
            rc = hm_fail(error, HM_ENOMEM, "no memory for what is due");
            break;
        }
        struct due *due = &(*list)[(*count)++];

        due->key_len = key.len - 9;
        memcpy(due->key, key.data + 9, due->key_len);
        rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

static int lease_expire(struct ledger_scope *scope, ProtobufCBinaryData id, struct hm_error *error)
{
    Hypermesh__Lease *lease;
    int rc = ledger_scope_lease(scope, id, &lease, error);

    return rc ? rc
              : ledger_lease_end(scope, lease, HYPERMESH__LEASE_STATE__LEASE_EXPIRED, 0,
                                 (ProtobufCBinaryData){0}, error);
}

/* Notes in the block's record what was ended. */
static int ended_add(struct ledger_block *block, ProtobufCBinaryData **list, size_t *count,
                     ProtobufCBinaryData id, struct hm_error *error)
{
    uint8_t *copy = hm_arena_dup(&block->arena, id.data, id.len);

    if (!*list)
        *list = hm_arena_alloc(&block->arena, LEDGER_EXPIRE_MAX * sizeof **list);
    if (!*list || !copy)
        return hm_fail(error, HM_ENOMEM, "no memory for what is due");
    (*list)[(*count)++] = wire_bytes(copy, id.len);
    return 0;
}

static int due_end(struct ledger_block *block, const struct due *due, struct hm_error *error)
{
    ProtobufCBinaryData id = wire_bytes(due->key + 1, due->key_len - 1);
    struct ledger_scope scope;
    int rc;

    hm_arena_clear(&block->scratch);
    ledger_scope_init(&scope, block, &block->scratch, (struct hm_slice){0});
    switch (due->key[0]) {
    case LEDGER_KEY_LEASE:
        rc = lease_expire(&scope, id, error);
        if (rc == 0)
            rc = ended_add(block, &block->expired, &block->expired_count, id, error);
        break;
    case LEDGER_KEY_CHALLENGE:
        rc = ledger_challenge_silence(&scope, id, error);
        if (rc == 0)
            rc = ended_add(block, &block->silent, &block->silent_count, id, error);
        break;
    case LEDGER_KEY_DELEGATION:
        rc = ledger_stake_leave_end(&scope, id, error);
        break;
    case LEDGER_KEY_KV_LEASE:
        rc = ledger_kv_lease_expire(&scope, wire_slice(id), error);
        break;
    case LEDGER_KEY_KV_STATE: /* history waits to be swept: ledger_kv_write does it */
        return 0;
    default:
        return hm_fail(error, HM_ECORRUPT, "the index of what is due names a thing of kind %d",
                       due->key[0]);
    }
    if (rc)
        return rc == HM_ENOTFOUND
                   ? hm_fail(error, HM_ECORRUPT, "the index of what is due names nothing")
                   : rc;
    return ledger_scope_commit(&scope, error);
}

int ledger_block_expire(struct ledger_block *block, struct hm_error *error)
{
    struct due *list = NULL;
    size_t count = 0;
    int rc = due_collect(block, &list, &count, error);

    /* What does not fit any more waits for the next block, as what is past LEDGER_EXPIRE_MAX does. */
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (block->overlay.held >= LEDGER_BLOCK_HELD_MAX_BYTES)
            break;
        rc = due_end(block, &list[i], error);
    }
    return rc;
}
