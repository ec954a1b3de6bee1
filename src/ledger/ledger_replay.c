/* Replay: does the chain, applied again from its genesis, give every state root that it says? */
#include "ledger_facts.h"
#include "ledger_kv.h"
#include "ledger_restore.h"
#include "ledger_supply.h"
#include "ledger_view.h"

static int differs(struct hm_error *error, uint64_t height, const char *what)
{
    return hm_fail(error, HM_ECORRUPT, "block %llu: %s", (unsigned long long)height, what);
}

/* The header names everything about the block that the state does not show. */
static int header_check(const Hypermesh__Block *block, const Hypermesh__BlockRecord *record,
                        const struct ledger_info *before, struct hm_arena *arena,
                        struct hm_error *error)
{
    uint64_t height = before->height + 1;
    uint8_t digest[CRYPTO_HASH_BYTES];
    Hypermesh__BlockHeader *header;
    uint8_t *hashes = hm_arena_alloc(arena, block->n_items * CRYPTO_HASH_BYTES + 1);
    int rc;

    if (!hashes)
        return hm_fail(error, HM_ENOMEM, "no memory to replay a block");
    proof_block_hash(wire_slice(block->header), digest);
    if (!hm_slice_equal(hm_slice_of(digest, sizeof digest), wire_slice(record->hash)))
        return differs(error, height, "its hash is not that of its header");
    rc = WIRE_UNPACK(hypermesh__block_header, wire_slice(block->header), LEDGER_HEADER_MAX_BYTES,
                     arena, &header, error);
    if (rc)
        return rc == HM_ENOMEM ? rc : differs(error, height, "its header does not parse");
    for (size_t i = 0; i < block->n_items; i++)
        crypto_hash(block->items[i].data, block->items[i].len, hashes + i * CRYPTO_HASH_BYTES);
    crypto_merkle_root(hashes, block->n_items, digest);
    if (!hm_slice_equal(hm_slice_of(digest, sizeof digest), wire_slice(header->data_root)))
        return differs(error, height, "its items are not those that its header names");
    if (strcmp(header->chain_id, before->chain_id) != 0 || header->height != height ||
        header->time_ms != record->time_ms ||
        !hm_slice_equal(wire_slice(header->previous_hash),
                        hm_slice_of(before->block_hash, CRYPTO_HASH_BYTES)) ||
        !hm_slice_equal(wire_slice(header->previous_state_root),
                        hm_slice_of(before->state_root, CRYPTO_HASH_BYTES)))
        return differs(error, height, "its header does not follow the block before it");
    return 0;
}

/* The record without what may be said in other words by another version: the texts. */
static int record_pack(const Hypermesh__BlockRecord *record, struct hm_arena *arena,
                       struct hm_buf *out)
{
    Hypermesh__BlockRecord copy = *record;
    Hypermesh__TxResult *results = hm_arena_alloc(arena, (record->n_results + 1) * sizeof *results);

    copy.results = hm_arena_alloc(arena, (record->n_results + 1) * sizeof *copy.results);
    if (!results || !copy.results)
        return HM_ENOMEM;
    for (size_t i = 0; i < record->n_results; i++) {
        results[i] = *record->results[i];
        results[i].text = (char *)(uintptr_t)("");
        copy.results[i] = &results[i];
    }
    return wire_pack(&copy.base, out);
}

static int outcome_compare(uint64_t height, const struct ledger_outcome *outcome,
                           const Hypermesh__BlockRecord *record, struct hm_arena *arena,
                           struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf now = {0};
    HM_CLEANUP(hm_buf) struct hm_buf then = {0};

    if (!hm_slice_equal(hm_slice_of(outcome->state_root, CRYPTO_HASH_BYTES),
                        wire_slice(record->state_root)))
        return differs(error, height, "applying it again gives another state root");
    if (record_pack(outcome->record, arena, &now) || record_pack(record, arena, &then))
        return hm_fail(error, HM_ENOMEM, "no memory to replay a block");
    if (!hm_slice_equal(hm_buf_slice(&now), hm_buf_slice(&then)))
        return differs(error, height, "applying it again gives other results");
    return 0;
}

/* Applies one block of the source to the scratch ledger. */
static int block_replay(struct ledger_view *view, struct ledger *scratch, uint64_t height,
                        struct hm_arena *arena, uint64_t *txs, struct hm_error *error)
{
    struct ledger_proposal proposal = {.height = height};
    Hypermesh__BlockRecord *record;
    struct ledger_outcome outcome;
    struct ledger_info before;
    ProtobufCMessage *message;
    Hypermesh__Block *block;
    struct hm_slice *items;
    struct hm_slice bytes;
    int rc = ledger_view_block(view, height, arena, &bytes, &record, error);

    if (rc == 0)
        rc = ledger_view_unpack(&hypermesh__block__descriptor, bytes, STORE_VALUE_MAX_BYTES, arena,
                                &message, error);
    if (rc == 0)
        rc = ledger_info(scratch, &before, error);
    if (rc)
        return rc == HM_ENOTFOUND ? differs(error, height, "it is missing") : rc;
    block = (Hypermesh__Block *)message;
    rc = header_check(block, record, &before, arena, error);
    if (rc)
        return rc;
    items = hm_arena_alloc(arena, (block->n_items + 1) * sizeof *items);
    if (!items)
        return hm_fail(error, HM_ENOMEM, "no memory to replay a block");
    for (size_t i = 0; i < block->n_items; i++)
        items[i] = wire_slice(block->items[i]);
    proposal.time_ms = record->time_ms;
    memcpy(proposal.hash, record->hash.data, CRYPTO_HASH_BYTES);
    proposal.header = wire_slice(block->header);
    proposal.items = items;
    proposal.count = block->n_items;
    rc = ledger_finalize(scratch, &proposal, &outcome, error);
    if (rc) {
        hm_error_prefix(error, rc, "block %llu", (unsigned long long)height);
        return rc == HM_EINVAL ? HM_ECORRUPT : rc;
    }
    rc = outcome_compare(height, &outcome, record, arena, error);
    if (rc) {
        ledger_abandon(scratch);
        return rc;
    }
    *txs += record->n_results;
    return ledger_commit(scratch, error);
}

static int genesis_replay(struct ledger_view *view, struct ledger *scratch, struct hm_error *error)
{
    struct hm_slice genesis;
    int rc = ledger_view_genesis(view, &genesis, error);

    return rc ? rc : ledger_init_chain(scratch, genesis, error);
}

static int blocks_replay(struct ledger_view *view, struct ledger *scratch,
                         proof_plot_progress progress, void *ctx, uint64_t *blocks, uint64_t *txs,
                         struct hm_error *error)
{
    uint64_t last = view->info.height;
    struct hm_arena arena;
    int rc = 0;

    hm_arena_init(&arena, LEDGER_TX_ARENA_BYTES);
    for (uint64_t height = 1; rc == 0 && height <= last; height++) {
        hm_arena_clear(&arena);
        rc = block_replay(view, scratch, height, &arena, txs, error);
        if (rc)
            break;
        *blocks = height;
        if (progress && progress(ctx, height, last))
            rc = hm_fail(error, HM_ECANCELLED, "cancelled after block %llu of %llu",
                         (unsigned long long)height, (unsigned long long)last);
    }
    hm_arena_release(&arena);
    return rc;
}

/* When the engine's era begins may have been said again (another engine took the chain over), so that it is looked at
 * apart. */
static bool is_era(unsigned table, struct hm_slice key)
{
    return table == LEDGER_TABLE_META && key.len == 1 && key.data[0] == LEDGER_META_ERA;
}

/* Moves from an era's line to the next. */
static int era_skip(struct store_cursor *cursor, unsigned table, int rc, struct hm_slice *key,
                    struct hm_slice *value)
{
    return rc == 0 && is_era(table, *key) ? store_cursor_next(cursor, key, value) : rc;
}

/* Does a table hold the same in both? */
static int table_compare(struct store_txn *a, struct store_txn *b, unsigned table,
                         struct hm_error *error)
{
    const uint8_t first = 0;
    struct store_cursor *left = NULL;
    struct store_cursor *right = NULL;
    struct hm_slice key[2];
    struct hm_slice value[2];
    int rc = store_cursor_open(a, table, &left, error);
    int other;

    if (rc)
        return rc;
    rc = store_cursor_open(b, table, &right, error);
    if (rc) {
        store_cursor_close(left);
        return rc;
    }
    rc = store_cursor_seek(left, hm_slice_of(&first, 1), &key[0], &value[0]);
    other = store_cursor_seek(right, hm_slice_of(&first, 1), &key[1], &value[1]);
    rc = era_skip(left, table, rc, &key[0], &value[0]);
    other = era_skip(right, table, other, &key[1], &value[1]);
    while (rc == 0 && other == 0 && hm_slice_equal(key[0], key[1]) &&
           hm_slice_equal(value[0], value[1])) {
        rc = store_cursor_next(left, &key[0], &value[0]);
        other = store_cursor_next(right, &key[1], &value[1]);
        rc = era_skip(left, table, rc, &key[0], &value[0]);
        other = era_skip(right, table, other, &key[1], &value[1]);
    }
    store_cursor_close(left);
    store_cursor_close(right);
    if (rc == HM_ENOTFOUND && other == HM_ENOTFOUND)
        return 0;
    return hm_fail(error, HM_ECORRUPT, "the %s table is not what the chain's blocks give",
                   ledger_table_names[table]);
}

/* The tree shows what the state was; the table beside it must say the same, and so must the indexes. */
static int state_compare(struct ledger_view *view, struct ledger *scratch, struct hm_error *error)
{
    static const unsigned tables[] = {LEDGER_TABLE_STATE,   LEDGER_TABLE_META,  LEDGER_TABLE_TX,
                                      LEDGER_TABLE_HISTORY, LEDGER_TABLE_INDEX, LEDGER_TABLE_KV_LOG,
                                      LEDGER_TABLE_KV_PAST, LEDGER_TABLE_LEAF,  LEDGER_TABLE_PAGE};
    struct ledger_view *other;
    int rc = ledger_view_open(scratch, &other, error);

    if (rc)
        return rc;
    for (size_t i = 0; rc == 0 && i < HM_COUNT_OF(tables); i++)
        rc = table_compare(view->txn, other->txn, tables[i], error);
    ledger_view_close(other);
    return rc;
}

/* The first era is what the blocks give; a later one may begin at any later block, or with the next. Blocks of an engine
 * have an era. */
static int era_compare(struct ledger_view *view, struct ledger *scratch, struct hm_error *error)
{
    uint64_t first;
    uint64_t era;
    int rc = ledger_era_read(view->txn, &era, error);

    if (rc == 0)
        rc = ledger_era(scratch, &first, error);
    if (rc)
        return rc;
    if (era > view->info.height + 1 || era < first ||
        (first == 0 && era != 0 && era != view->info.height + 1))
        return hm_fail(error, HM_ECORRUPT,
                       "the chain says that an engine orders it from block %llu on, its blocks say "
                       "from %llu",
                       (unsigned long long)era, (unsigned long long)first);
    return 0;
}

/* The two ends must be one: state root, hash, height and base fee of the last block. */
static int ends_compare(const struct ledger_info *source, struct ledger *scratch,
                        struct hm_error *error)
{
    struct ledger_info end;
    int rc = ledger_info(scratch, &end, error);

    if (rc)
        return rc;
    if (end.height != source->height || end.base_fee != source->base_fee ||
        end.time_ms != source->time_ms ||
        memcmp(end.state_root, source->state_root, CRYPTO_HASH_BYTES) != 0 ||
        memcmp(end.block_hash, source->block_hash, CRYPTO_HASH_BYTES) != 0)
        return differs(error, source->height,
                       "the chain state that is stored is not the one that its blocks give");
    return 0;
}

int ledger_replay(struct ledger *source, struct ledger *scratch, proof_plot_progress progress,
                  void *ctx, uint64_t *blocks, uint64_t *txs, struct hm_error *error)
{
    struct ledger_view *view;
    uint8_t root[CRYPTO_HASH_BYTES];
    uint64_t done = 0;
    uint64_t seen = 0;
    int rc = ledger_view_open(source, &view, error);

    if (rc)
        return rc;
    rc = ledger_first_block(view->txn, 1, NULL);
    if (rc)
        rc = hm_fail(error, rc == HM_ENOTFOUND ? HM_EUNSUPPORTED : rc,
                     "this node began with a snapshot: its first blocks, from which everything "
                     "would follow, are on nodes that have been there longer");
    if (rc == 0)
        rc = genesis_replay(view, scratch, error);
    if (rc == 0)
        rc = blocks_replay(view, scratch, progress, ctx, &done, &seen, error);
    if (rc == 0)
        rc = ends_compare(&view->info, scratch, error);
    if (rc == 0)
        rc = store_tree_root(view->txn, &ledger_tree, root, error);
    if (rc == 0 && memcmp(root, view->info.state_root, CRYPTO_HASH_BYTES) != 0)
        rc = hm_fail(error, HM_ECORRUPT, "the stored tree does not have the root of the chain");
    if (rc == 0)
        rc = state_compare(view, scratch, error);
    if (rc == 0)
        rc = era_compare(view, scratch, error);
    if (rc == 0)
        rc = ledger_supply_audit(view->txn, error);
    if (rc == 0)
        rc = ledger_kv_audit(view->txn, error);
    ledger_view_close(view);
    if (rc)
        return rc;
    if (blocks)
        *blocks = done;
    if (txs)
        *txs = seen;
    return 0;
}

int ledger_audit(struct ledger *ledger, struct hm_error *error)
{
    struct ledger_view *view;
    uint8_t root[CRYPTO_HASH_BYTES];
    int rc = ledger_view_open(ledger, &view, error);

    if (rc)
        return rc;
    rc = store_tree_root(view->txn, &ledger_tree, root, error);
    if (rc == 0 && memcmp(root, view->info.state_root, CRYPTO_HASH_BYTES) != 0)
        rc = hm_fail(error, HM_ECORRUPT, "the stored tree does not have the root of the chain");
    if (rc == 0)
        rc = ledger_supply_audit(view->txn, error);
    if (rc == 0)
        rc = ledger_kv_audit(view->txn, error);
    ledger_view_close(view);
    return rc;
}

/* --- a ledger that stopped earlier --- */

/* Is the target's last block one of the source's? */
static int follows(struct ledger_view *view, const struct ledger_info *target,
                   struct hm_arena *arena, struct hm_error *error)
{
    Hypermesh__BlockRecord *record;
    struct hm_slice bytes;
    uint8_t hash[CRYPTO_HASH_BYTES];
    int rc;

    if (target->height > view->info.height)
        return hm_fail(error, HM_ECONFLICT,
                       "it stands at block %llu already, the other ledger at block %llu",
                       (unsigned long long)target->height, (unsigned long long)view->info.height);
    if (target->height == 0) {
        rc = ledger_view_genesis(view, &bytes, error);
        if (rc)
            return rc;
        crypto_hash(bytes.data, bytes.len, hash);
    } else {
        rc = ledger_view_block(view, target->height, arena, &bytes, &record, error);
        if (rc)
            return rc;
        memcpy(hash, record->hash.data, sizeof hash);
    }
    if (memcmp(hash, target->block_hash, sizeof hash) != 0)
        return hm_fail(error, HM_ECONFLICT, "its block %llu is not the other ledger's",
                       (unsigned long long)target->height);
    return 0;
}

int ledger_follow(struct ledger *source, struct ledger *target, uint64_t until, uint64_t *blocks,
                  struct hm_error *error)
{
    struct ledger_info info;
    struct ledger_view *view;
    struct hm_arena arena;
    uint64_t txs = 0;
    uint64_t last;
    int rc = ledger_info(target, &info, error);

    if (rc == 0)
        rc = ledger_view_open(source, &view, error);
    if (rc)
        return rc;
    hm_arena_init(&arena, LEDGER_TX_ARENA_BYTES);
    last = until > 0 && until < view->info.height ? until : view->info.height;
    rc = follows(view, &info, &arena, error);
    for (uint64_t height = info.height + 1; rc == 0 && height <= last; height++) {
        hm_arena_clear(&arena);
        rc = block_replay(view, target, height, &arena, &txs, error);
    }
    if (rc == 0)
        *blocks = last > info.height ? last - info.height : 0;
    hm_arena_release(&arena);
    ledger_view_close(view);
    return rc;
}
