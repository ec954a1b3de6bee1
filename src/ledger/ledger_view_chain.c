/* Views: blocks and transactions as they were ordered. */
#include "ledger_restore.h"
#include "ledger_view.h"

/* A record holds a result for each transaction of the block: bounded by the block's own limits. */
#define LEDGER_RECORD_MAX_BYTES STORE_VALUE_MAX_BYTES

int ledger_view_block(struct ledger_view *view, uint64_t height, struct hm_arena *arena,
                      struct hm_slice *block, Hypermesh__BlockRecord **record,
                      struct hm_error *error)
{
    uint8_t key[8];
    struct hm_slice bytes;
    struct hm_slice beside;
    ProtobufCMessage *message = NULL;
    int rc = ledger_view_get(view, LEDGER_TABLE_BLOCK, ledger_key_height(height, key), &bytes,
                             error);

    if (rc == HM_ENOTFOUND) {
        rc = ledger_first_block(view->txn, height, error);
        return rc ? rc
                  : hm_fail(error, HM_ENOTFOUND, "there is no block %llu; the last is %llu",
                            (unsigned long long)height, (unsigned long long)view->info.height);
    }
    if (rc == 0 && record) {
        rc = ledger_view_get(view, LEDGER_TABLE_RECORD, ledger_key_height(height, key), &beside,
                             error);
        if (rc == HM_ENOTFOUND)
            return hm_fail(error, HM_ECORRUPT, "the record of block %llu is missing",
                           (unsigned long long)height);
        if (rc == 0)
            rc = ledger_view_unpack(&hypermesh__block_record__descriptor, beside,
                                    LEDGER_RECORD_MAX_BYTES, arena, &message, error);
    }
    if (rc)
        return rc;
    if (block)
        *block = bytes;
    if (record)
        *record = (Hypermesh__BlockRecord *)message;
    return 0;
}

/* The transaction that a location points at. */
static int location_follow(struct ledger_view *view, Hypermesh__TxLocation *location,
                           struct hm_arena *arena, struct ledger_found_tx *found,
                           struct hm_error *error)
{
    Hypermesh__BlockRecord *record;
    ProtobufCMessage *message;
    Hypermesh__Block *block;
    Hypermesh__Batch *batch;
    struct hm_slice bytes;
    int rc = ledger_view_block(view, location->height, arena, &bytes, &record, error);

    if (rc)
        return rc == HM_ENOTFOUND ? HM_ECORRUPT : rc;
    rc = ledger_view_unpack(&hypermesh__block__descriptor, bytes, STORE_VALUE_MAX_BYTES, arena,
                            &message, error);
    if (rc)
        return rc;
    block = (Hypermesh__Block *)message;
    if (location->item >= block->n_items || location->result >= record->n_results)
        return hm_fail(error, HM_ECORRUPT, "the index of transactions is damaged");
    found->batch = wire_slice(block->items[location->item]);
    rc = ledger_view_unpack(&hypermesh__batch__descriptor, found->batch, LEDGER_BATCH_MAX_BYTES,
                            arena, &message, error);
    if (rc)
        return rc;
    batch = (Hypermesh__Batch *)message;
    if (location->tx >= batch->n_txs)
        return hm_fail(error, HM_ECORRUPT, "the index of transactions is damaged");
    found->height = location->height;
    found->location = location;
    found->record = record;
    found->tx = wire_slice(batch->txs[location->tx]);
    found->result = record->results[location->result];
    return 0;
}

/* A node that began with a snapshot cannot say that there never was one. */
static int unknown_tx(struct ledger_view *view, const char *text, struct hm_error *error)
{
    struct ledger_first first;
    int rc = ledger_first_read(view->txn, &first, error);

    if (rc)
        return rc;
    if (first.height > 1)
        return hm_fail(error, HM_ENOTFOUND,
                       "there is no transaction %s in block %llu or later; earlier blocks are not "
                       "on this node",
                       text, (unsigned long long)first.height);
    return hm_fail(error, HM_ENOTFOUND, "there is no transaction %s", text);
}

int ledger_view_find_tx(struct ledger_view *view, const uint8_t digest[CRYPTO_HASH_BYTES],
                        struct hm_arena *arena, struct ledger_found_tx *out, struct hm_error *error)
{
    char text[2 * CRYPTO_HASH_BYTES + 1];
    ProtobufCMessage *message;
    struct hm_slice bytes;
    int rc = ledger_view_get(view, LEDGER_TABLE_TX, hm_slice_of(digest, CRYPTO_HASH_BYTES), &bytes,
                             error);

    if (rc == HM_ENOTFOUND) {
        hm_hex_encode(digest, CRYPTO_HASH_BYTES, text);
        return unknown_tx(view, text, error);
    }
    if (rc == 0)
        rc = ledger_view_unpack(&hypermesh__tx_location__descriptor, bytes, LEDGER_STATE_MAX_BYTES,
                                arena, &message, error);
    if (rc)
        return rc;
    return location_follow(view, (Hypermesh__TxLocation *)message, arena, out, error);
}

int ledger_view_tx(struct ledger_view *view, const uint8_t digest[32], struct hm_arena *arena,
                   struct hm_slice *tx, uint64_t *height, Hypermesh__TxResult **result,
                   struct hm_error *error)
{
    struct ledger_found_tx found;
    int rc = ledger_view_find_tx(view, digest, arena, &found, error);

    if (rc)
        return rc;
    if (tx)
        *tx = found.tx;
    if (height)
        *height = found.height;
    if (result)
        *result = found.result;
    return 0;
}
