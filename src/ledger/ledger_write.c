/* What a block leaves in the tables, all in one write transaction: state and tree, the block and its
 * record, indexes, and the chain state that names them. */
#include <stdlib.h>

#include "ledger_facts.h"
#include "ledger_kv.h"

int ledger_lines_add(struct ledger_lines *lines, struct hm_arena *arena,
                     const struct ledger_line *line)
{
    if (lines->count == lines->cap) {
        size_t cap = lines->cap ? lines->cap * 2 : 16;
        struct ledger_line *list = hm_arena_alloc(arena, cap * sizeof *list);

        if (!list)
            return HM_ENOMEM;
        if (lines->count > 0)
            memcpy(list, lines->list, lines->count * sizeof *list);
        lines->list = list;
        lines->cap = cap;
    }
    lines->list[lines->count++] = *line;
    return 0;
}

int ledger_listings_add(struct ledger_listings *listings, struct hm_arena *arena,
                        const struct ledger_listing *listing)
{
    if (listings->count == listings->cap) {
        size_t cap = listings->cap ? listings->cap * 2 : 16;
        struct ledger_listing *list = hm_arena_alloc(arena, cap * sizeof *list);

        if (!list)
            return HM_ENOMEM;
        if (listings->count > 0)
            memcpy(list, listings->list, listings->count * sizeof *list);
        listings->list = list;
        listings->cap = cap;
    }
    listings->list[listings->count++] = *listing;
    return 0;
}

/* Packs into the reused buffer; the slice is valid until the next pack. */
static int pack(struct hm_buf *buffer, const ProtobufCMessage *message, struct hm_slice *out,
                struct hm_error *error)
{
    hm_buf_clear(buffer);
    if (wire_pack(message, buffer))
        return hm_fail(error, HM_ENOMEM, "no memory to write a block");
    *out = hm_buf_slice(buffer);
    return 0;
}

int ledger_chain_write(struct store_txn *txn, const struct ledger_info *info, struct hm_buf *buffer,
                       struct hm_error *error)
{
    Hypermesh__ChainState state = HYPERMESH__CHAIN_STATE__INIT;
    const uint8_t chain_key = LEDGER_META_CHAIN;
    uint8_t hash_key[9] = {LEDGER_META_HASH};
    struct hm_slice bytes;
    int rc;

    state.height = info->height;
    state.time_ms = info->time_ms;
    state.block_hash = wire_bytes(info->block_hash, sizeof info->block_hash);
    state.state_root = wire_bytes(info->state_root, sizeof info->state_root);
    state.base_fee = info->base_fee;
    rc = pack(buffer, &state.base, &bytes, error);
    if (rc)
        return rc;
    rc = store_put(txn, LEDGER_TABLE_META, hm_slice_of(&chain_key, 1), bytes, error);
    if (rc)
        return rc;
    hm_put_be64(hash_key + 1, info->height);
    return store_put(txn, LEDGER_TABLE_META, hm_slice_of(hash_key, sizeof hash_key),
                     hm_slice_of(info->block_hash, sizeof info->block_hash), error);
}

/* Who owns or is party to what. */
static int listings_write(struct ledger_block *block, struct hm_error *error)
{
    for (size_t i = 0; i < block->listings.count; i++) {
        const struct ledger_listing *listing = &block->listings.list[i];
        struct hm_slice key = hm_slice_of(listing->key, sizeof listing->key);
        int rc = listing->present
                     ? store_put(block->txn, LEDGER_TABLE_INDEX, key, (struct hm_slice){0}, error)
                     : store_delete(block->txn, LEDGER_TABLE_INDEX, key, error);

        if (rc)
            return rc;
    }
    return 0;
}

/* A table's tree is gone through once when keys come in its order. */
struct in_order {
    struct hm_slice key;
    size_t number;
};

static int number_order(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

static int in_order_compare(const void *a, const void *b)
{
    const struct in_order *left = a;
    const struct in_order *right = b;
    int order = hm_slice_compare(left->key, right->key);

    return order ? order : number_order(left->number, right->number);
}

/* Where the transaction of a result stands; valid until the next pack. */
static int location_pack(struct ledger_block *block, size_t number, struct hm_slice *out,
                         struct hm_error *error)
{
    Hypermesh__TxLocation location = HYPERMESH__TX_LOCATION__INIT;

    location.height = block->height;
    location.item = block->placed[number].item;
    location.tx = block->placed[number].tx;
    location.result = (uint32_t)number;
    return pack(&block->pack, &location.base, out, error);
}

/* Finds a transaction by its digest. One that was refused for nothing (no fee) does not hide where the
 * same transaction was taken before. */
static int placed_write(struct ledger_block *block, size_t number, struct hm_error *error)
{
    const struct ledger_placed *placed = &block->placed[number];
    struct hm_slice digest = wire_slice(placed->result->digest);
    struct hm_slice known;
    struct hm_slice bytes;
    int rc;

    if (digest.len == 0)
        return 0;
    if (!placed->charged) {
        rc = store_get(block->txn, LEDGER_TABLE_TX, digest, &known);
        if (rc != HM_ENOTFOUND)
            return rc;
    }
    rc = location_pack(block, number, &bytes, error);
    return rc ? rc : store_put(block->txn, LEDGER_TABLE_TX, digest, bytes, error);
}

/* By digest; a transaction that stands in the block twice keeps its order. */
static int placed_write_all(struct ledger_block *block, struct hm_error *error)
{
    struct in_order *order = hm_arena_alloc(&block->arena,
                                            (block->placed_count + 1) * sizeof *order);
    int rc = 0;

    if (!order)
        return hm_fail(error, HM_ENOMEM, "no memory to write a block");
    for (size_t i = 0; i < block->placed_count; i++)
        order[i] = (struct in_order){.key = wire_slice(block->placed[i].result->digest),
                                     .number = i};
    qsort(order, block->placed_count, sizeof *order, in_order_compare);
    for (size_t i = 0; rc == 0 && i < block->placed_count; i++)
        rc = placed_write(block, order[i].number, error);
    return rc;
}

/* The key of a line of history in the block's arena. */
static int history_key(struct ledger_block *block, const uint8_t subject[LEDGER_ID_BYTES],
                       uint64_t number, struct in_order *out, struct hm_error *error)
{
    uint8_t *key = hm_arena_alloc(&block->arena, LEDGER_ID_BYTES + 8);

    if (!key)
        return hm_fail(error, HM_ENOMEM, "no memory to write a block");
    out->key = ledger_key_numbered(subject, number, key);
    return 0;
}

static int history_write(struct ledger_block *block, struct hm_error *error)
{
    const struct ledger_lines *lines = &block->lines;
    struct in_order *order = hm_arena_alloc(&block->arena, (lines->count + 1) * sizeof *order);
    int rc = 0;

    if (!order)
        return hm_fail(error, HM_ENOMEM, "no memory to write a block");
    for (size_t i = 0; rc == 0 && i < lines->count; i++) {
        order[i].number = i;
        rc = history_key(block, lines->list[i].subject, lines->list[i].number, &order[i], error);
    }
    if (rc)
        return rc;
    qsort(order, lines->count, sizeof *order, in_order_compare);
    for (size_t i = 0; rc == 0 && i < lines->count; i++)
        rc = store_put(block->txn, LEDGER_TABLE_HISTORY, order[i].key,
                       lines->list[order[i].number].value, error);
    return rc;
}

static int record_fill(struct ledger_block *block, struct hm_error *error)
{
    Hypermesh__BlockRecord *record = &block->record;
    Hypermesh__TxResult **results = hm_arena_alloc(&block->arena,
                                                   (block->placed_count + 1) * sizeof(void *));

    if (!results)
        return hm_fail(error, HM_ENOMEM, "no memory to write a block");
    for (size_t i = 0; i < block->placed_count; i++)
        results[i] = block->placed[i].result;
    *record = (Hypermesh__BlockRecord)HYPERMESH__BLOCK_RECORD__INIT;
    record->hash = wire_bytes(block->next.block_hash, CRYPTO_HASH_BYTES);
    record->state_root = wire_bytes(block->next.state_root, CRYPTO_HASH_BYTES);
    record->base_fee = block->base_fee;
    record->results = results;
    record->n_results = block->placed_count;
    record->expired = block->expired;
    record->n_expired = block->expired_count;
    record->silent = block->silent;
    record->n_silent = block->silent_count;
    record->jailed = block->jailed.list;
    record->n_jailed = block->jailed.count;
    record->tombstoned = block->tombstoned.list;
    record->n_tombstoned = block->tombstoned.count;
    record->time_ms = block->time_ms;
    record->weight = block->weight;
    record->kv_before = block->kv.before.revision;
    record->kv_after = block->kv.now.revision;
    return 0;
}

/* The block's exact items and header, and the record beside it. */
static int block_write(struct ledger_block *block, const struct ledger_proposal *proposal,
                       struct hm_error *error)
{
    Hypermesh__Block message = HYPERMESH__BLOCK__INIT;
    uint8_t key_bytes[8];
    struct hm_slice key = ledger_key_height(block->height, key_bytes);
    struct hm_slice bytes;
    int rc;

    message.header = wire_bytes(proposal->header.data, proposal->header.len);
    message.n_items = proposal->count;
    message.items = hm_arena_alloc(&block->arena, (proposal->count + 1) * sizeof *message.items);
    if (!message.items)
        return hm_fail(error, HM_ENOMEM, "no memory to write a block");
    for (size_t i = 0; i < proposal->count; i++)
        message.items[i] = wire_bytes(proposal->items[i].data, proposal->items[i].len);
    rc = pack(&block->pack, &message.base, &bytes, error);
    if (rc == 0)
        rc = store_append(block->txn, LEDGER_TABLE_BLOCK, key, bytes, error);
    if (rc == 0)
        rc = pack(&block->pack, &block->record.base, &bytes, error);
    return rc ? rc : store_append(block->txn, LEDGER_TABLE_RECORD, key, bytes, error);
}

static int supply_put(struct ledger_block *block, struct hm_error *error)
{
    const uint8_t key = LEDGER_KEY_SUPPLY;
    struct hm_slice bytes;
    int rc = pack(&block->pack, &block->supply.base, &bytes, error);

    return rc ? rc : ledger_overlay_put(&block->overlay, hm_slice_of(&key, 1), bytes, error);
}

/* The engine's first block here begins its era. */
static int era_begin(struct ledger_block *block, struct hm_error *error)
{
    uint64_t height;
    int rc = ledger_era_read(block->txn, &height, error);

    return rc || height > 0 ? rc : ledger_era_write(block->txn, block->height, error);
}

int ledger_block_write(struct ledger_block *block, const struct ledger_proposal *proposal,
                       struct hm_error *error)
{
    struct ledger_info *next = &block->next;
    int rc = ledger_kv_write(block, error);

    if (rc == 0)
        rc = supply_put(block, error);
    if (rc == 0)
        rc = ledger_facts_write(block, error);
    if (rc)
        return rc;
    rc = ledger_overlay_write(&block->overlay, &ledger_tree, next->state_root, error);
    if (rc == 0)
        rc = ledger_kv_finish(block, error);
    if (rc)
        return rc;
    next->height = block->height;
    next->time_ms = block->time_ms;
    memcpy(next->block_hash, proposal->hash, CRYPTO_HASH_BYTES);
    rc = record_fill(block, error);
    if (rc == 0)
        rc = block_write(block, proposal, error);
    if (rc == 0)
        rc = history_write(block, error);
    if (rc == 0)
        rc = listings_write(block, error);
    if (rc == 0)
        rc = placed_write_all(block, error);
    if (rc == 0)
        rc = ledger_chain_write(block->txn, next, &block->pack, error);
    if (rc == 0 && block->engine)
        rc = era_begin(block, error);
    return rc ? rc : ledger_read_next_due(block->txn, &next->next_due_ms, error);
}
