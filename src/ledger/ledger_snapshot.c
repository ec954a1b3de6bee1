/* Making a snapshot: the state in parts by the hash of the key, and the headers before it.
 *
 * The state table is in the order of its keys, chunks are in the order of their hashes. So the table is gone through once
 * or twice to see how it is cut, and then once for every group of parts that may be held together. */
#include <stdlib.h>

#include "ledger_facts.h"
#include "ledger_restore.h"
#include "ledger_snapshot_plan.h"
#include "ledger_view.h"

#define ENTRY_BYTES      ((uint64_t)64) /* counted for each beside its key and value */
#define BLOCK_HEADER_TAG 0x0a /* field 1 of Block, in front of everything */

/* An entry of the group at hand; key and value lie one after the other in `held`. */
struct entry {
    uint8_t key_hash[CRYPTO_HASH_BYTES];
    size_t at;
    uint32_t value_len;
    uint16_t key_len;
};

struct ledger_snapshot {
    struct ledger_view *view; /* borrowed */
    struct ledger_snapshot_sizes sizes;
    struct ledger_snapshot_meta meta;
    struct hm_buf facts[2]; /* ChainFacts and the proof of it */
    struct hm_buf params[2];
    uint64_t headers; /* in chunks */
    uint32_t header_chunks;
    struct ledger_snapshot_plan plan;
    struct store_tree_part *parts; /* those made so far */
    uint32_t next; /* chunk */
    uint32_t group_end; /* parts before it are held, or were */
    struct hm_buf held;
    struct entry *entries; /* in the order of their hash */
    size_t entry_count;
    size_t entry_cap;
    size_t entry_next; /* the first one of the next chunk */
    uint64_t header_next; /* height of the next header */
};

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for a snapshot");
}

/* --- headers --- */

/* The header is what a packed block begins with; the rest of it, which may be large, is not looked at. */
static bool block_header(struct hm_slice block, struct hm_slice *out)
{
    size_t at = 1;
    size_t len = 0;

    if (block.len < 2 || block.data[0] != BLOCK_HEADER_TAG)
        return false;
    for (unsigned shift = 0; shift < 28; shift += 7) {
        uint8_t byte;

        if (at == block.len)
            return false;
        byte = block.data[at++];
        len |= (size_t)(byte & 0x7f) << shift;
        if (byte & 0x80)
            continue;
        if (len > block.len - at)
            return false;
        *out = hm_slice_of(block.data + at, len);
        return true;
    }
    return false;
}

static int header_get(struct ledger_view *view, uint64_t height, struct hm_slice *out,
                      struct hm_error *error)
{
    uint8_t key[8];
    struct hm_slice bytes;
    int rc = ledger_view_get(view, LEDGER_TABLE_BLOCK, ledger_key_height(height, key), &bytes,
                             error);

    if (rc == HM_ENOTFOUND)
        return ledger_restore_header(view->txn, height, out, error);
    if (rc == 0 && !block_header(bytes, out))
        rc = hm_fail(error, HM_ECORRUPT, "the header of block %llu is damaged",
                     (unsigned long long)height);
    return rc;
}

static int headers_write(struct ledger_snapshot *snapshot, struct hm_buf *out,
                         struct hm_error *error)
{
    uint64_t last = snapshot->meta.height - snapshot->headers;

    for (uint64_t i = 0; i < LEDGER_SNAPSHOT_HEADERS_PER_CHUNK && snapshot->header_next >= last;
         i++) {
        struct hm_slice header;
        int rc = header_get(snapshot->view, snapshot->header_next, &header, error);

        if (rc)
            return rc;
        if (ledger_snapshot_header_write(header, out))
            return no_memory(error);
        snapshot->header_next--;
    }
    return 0;
}

/* --- parts --- */

static uint64_t weight_of(struct hm_slice key, struct hm_slice value)
{
    return ENTRY_BYTES + key.len + value.len;
}

typedef int (*entry_visit)(struct ledger_snapshot *snapshot, const uint8_t *key_hash,
                           struct hm_slice key, struct hm_slice value, struct hm_error *error);

static int state_walk(struct ledger_snapshot *snapshot, entry_visit visit, struct hm_error *error)
{
    struct store_cursor *cursor;
    struct hm_slice value;
    struct hm_slice key;
    int rc = store_cursor_open(snapshot->view->txn, LEDGER_TABLE_STATE, &cursor, error);

    if (rc)
        return rc;
    while ((rc = store_cursor_next(cursor, &key, &value)) == 0) {
        uint8_t hash[CRYPTO_HASH_BYTES];

        crypto_hash(key.data, key.len, hash);
        rc = visit(snapshot, hash, key, value, error);
        if (rc)
            break;
    }
    store_cursor_close(cursor);
    if (rc == HM_ENOTFOUND)
        return 0;
    return hm_error_is_fatal(rc) || rc == HM_ELIMIT
               ? rc
               : hm_fail(error, rc, "the state could not be read");
}

static int entry_weigh(struct ledger_snapshot *snapshot, const uint8_t *key_hash,
                       struct hm_slice key, struct hm_slice value, struct hm_error *error)
{
    (void)error;
    ledger_snapshot_plan_weigh(&snapshot->plan, key_hash, weight_of(key, value));
    return 0;
}

static int entry_look(struct ledger_snapshot *snapshot, const uint8_t *key_hash,
                      struct hm_slice key, struct hm_slice value, struct hm_error *error)
{
    return ledger_snapshot_plan_look(&snapshot->plan, key_hash, weight_of(key, value), error);
}

static int parts_plan(struct ledger_snapshot *snapshot, struct hm_error *error)
{
    int rc = state_walk(snapshot, entry_weigh, error);

    if (rc == 0 && ledger_snapshot_plan_again(&snapshot->plan, snapshot->sizes.target))
        rc = state_walk(snapshot, entry_look, error);
    if (rc == 0)
        rc = ledger_snapshot_plan_make(&snapshot->plan, error);
    if (rc)
        return rc;
    snapshot->parts = hm_calloc(snapshot->plan.count, sizeof *snapshot->parts);
    return snapshot->parts ? 0 : no_memory(error);
}

/* Does the key's hash lie before the part, or in it? */
static bool is_before(const struct ledger_snapshot *snapshot, const uint8_t *key_hash,
                      uint32_t part)
{
    return part < snapshot->plan.count && hm_get_be64(key_hash) < snapshot->plan.list[part].start;
}

static bool is_past(const struct ledger_snapshot *snapshot, const uint8_t *key_hash, uint32_t part)
{
    return part + 1 < snapshot->plan.count &&
           hm_get_be64(key_hash) >= snapshot->plan.list[part + 1].start;
}

static int entry_hold(struct ledger_snapshot *snapshot, const uint8_t *key_hash,
                      struct hm_slice key, struct hm_slice value, struct hm_error *error)
{
    struct entry *entry;

    if (is_before(snapshot, key_hash, snapshot->next) ||
        is_past(snapshot, key_hash, snapshot->group_end - 1))
        return 0;
    if (snapshot->entry_count == snapshot->entry_cap) {
        size_t cap = snapshot->entry_cap ? snapshot->entry_cap * 2 : 1024;
        struct entry *list = hm_realloc(snapshot->entries, cap * sizeof *list);

        if (!list)
            return no_memory(error);
        snapshot->entries = list;
        snapshot->entry_cap = cap;
    }
    entry = &snapshot->entries[snapshot->entry_count];
    memcpy(entry->key_hash, key_hash, sizeof entry->key_hash);
    entry->at = snapshot->held.len;
    entry->key_len = (uint16_t)key.len;
    entry->value_len = (uint32_t)value.len;
    if (hm_buf_append(&snapshot->held, key.data, key.len) ||
        hm_buf_append(&snapshot->held, value.data, value.len))
        return no_memory(error);
    snapshot->entry_count++;
    return 0;
}

static int entry_order(const void *a, const void *b)
{
    return memcmp(((const struct entry *)a)->key_hash, ((const struct entry *)b)->key_hash,
                  CRYPTO_HASH_BYTES);
}

/* Reads the next parts that fit together, at least one. */
static int group_hold(struct ledger_snapshot *snapshot, struct hm_error *error)
{
    const struct ledger_snapshot_part *parts = snapshot->plan.list;
    uint64_t weight = parts[snapshot->next].weight;
    int rc;

    snapshot->group_end = snapshot->next + 1;
    while (snapshot->group_end < snapshot->plan.count &&
           weight + parts[snapshot->group_end].weight <= snapshot->sizes.held)
        weight += parts[snapshot->group_end++].weight;
    hm_buf_clear(&snapshot->held);
    snapshot->entry_count = 0;
    snapshot->entry_next = 0;
    if (hm_buf_reserve(&snapshot->held, (size_t)weight))
        return no_memory(error);
    rc = state_walk(snapshot, entry_hold, error);
    if (rc == 0 && snapshot->entry_count > 0)
        qsort(snapshot->entries, snapshot->entry_count, sizeof *snapshot->entries, entry_order);
    return rc;
}

static void entry_bytes(const struct ledger_snapshot *snapshot, const struct entry *entry,
                        struct ledger_snapshot_entry *out)
{
    const uint8_t *at = snapshot->held.data + entry->at;

    out->key = hm_slice_of(at, entry->key_len);
    out->value = hm_slice_of(at + entry->key_len, entry->value_len);
}

static int part_write(struct ledger_snapshot *snapshot, struct hm_buf *out, struct hm_error *error)
{
    uint32_t part = snapshot->next;
    const struct ledger_snapshot_part *plan = &snapshot->plan.list[part];
    const struct entry *first;
    struct store_tree_change *leaves;
    size_t count = 0;
    int rc = 0;

    if (part == snapshot->group_end)
        rc = group_hold(snapshot, error);
    if (rc)
        return rc;
    first = snapshot->entries + snapshot->entry_next;
    while (snapshot->entry_next + count < snapshot->entry_count &&
           !is_past(snapshot, first[count].key_hash, part))
        count++;
    leaves = hm_calloc(count + 1, sizeof *leaves);
    if (!leaves)
        return no_memory(error);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct ledger_snapshot_entry entry;

        entry_bytes(snapshot, &first[i], &entry);
        memcpy(leaves[i].key_hash, first[i].key_hash, CRYPTO_HASH_BYTES);
        crypto_hash(entry.value.data, entry.value.len, leaves[i].value_hash);
        if (ledger_snapshot_entry_write(&entry, out))
            rc = no_memory(error);
    }
    if (rc == 0)
        rc = store_tree_part_root(plan->start, plan->depth, leaves, count,
                                  snapshot->parts[part].root, error);
    hm_free(leaves);
    snapshot->parts[part].depth = plan->depth;
    if (rc == 0)
        snapshot->entry_next += count;
    return rc;
}

/* --- the snapshot --- */

/* The chain's facts must name this very block, or nothing under the state root would say which one it was. */
static int facts_check(struct ledger_view *view, struct hm_error *error)
{
    struct hm_arena arena;
    Hypermesh__ChainFacts *facts;
    uint64_t height = 0;
    int rc;

    hm_arena_init(&arena, LEDGER_STATE_MAX_BYTES);
    rc = ledger_facts_stored(view->txn, &arena, &facts, error);
    if (rc == 0)
        height = facts->height;
    hm_arena_release(&arena);
    if (rc == HM_ENOTFOUND)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "no engine orders this chain's blocks: nothing under its state root says "
                       "which block it is of, so nobody could check a snapshot; use a backup");
    if (rc == 0 && height != view->info.height)
        rc = hm_fail(error, HM_ECONFLICT,
                     "block %llu changed nothing in the state, the last that did is %llu: a "
                     "snapshot is made when a block has changed something",
                     (unsigned long long)view->info.height, (unsigned long long)height);
    return rc;
}

/* A value of the state and the proof of it. */
static int value_take(struct ledger_snapshot *snapshot, uint8_t key, struct hm_buf out[2],
                      struct hm_error *error)
{
    HM_CLEANUP(store_tree_proof) struct store_tree_proof proof = {0};
    struct hm_slice value;
    int rc = ledger_view_prove(snapshot->view, hm_slice_of(&key, 1), &value, &proof,
                               snapshot->meta.state_root, error);

    if (rc)
        return rc;
    if (hm_buf_append(&out[0], value.data, value.len) || store_tree_proof_encode(&proof, &out[1]))
        return no_memory(error);
    return 0;
}

static int headers_plan(struct ledger_snapshot *snapshot, struct hm_error *error)
{
    uint64_t height = snapshot->view->info.height;
    struct hm_arena arena;
    Hypermesh__Params *params;
    int rc;

    hm_arena_init(&arena, LEDGER_STATE_MAX_BYTES);
    rc = ledger_read_params(snapshot->view->txn, &arena, &params, error);
    if (rc == 0)
        rc = ledger_snapshot_headers(params, height, &snapshot->headers, &snapshot->header_chunks,
                                     error);
    hm_arena_release(&arena);
    snapshot->meta.height = height;
    snapshot->header_next = height - 1;
    return rc;
}

static int snapshot_plan(struct ledger_snapshot *snapshot, struct hm_error *error)
{
    struct hm_slice genesis;
    int rc = facts_check(snapshot->view, error);

    if (rc == 0)
        rc = value_take(snapshot, LEDGER_KEY_CHAIN, snapshot->facts, error);
    if (rc == 0)
        rc = value_take(snapshot, LEDGER_KEY_PARAMS, snapshot->params, error);
    if (rc == 0)
        rc = ledger_view_genesis(snapshot->view, &genesis, error);
    if (rc == 0)
        crypto_hash(genesis.data, genesis.len, snapshot->meta.genesis_hash);
    if (rc == 0)
        rc = headers_plan(snapshot, error);
    return rc ? rc : parts_plan(snapshot, error);
}

int ledger_snapshot_open_sized(struct ledger_view *view, const struct ledger_snapshot_sizes *sizes,
                               struct ledger_snapshot **out, struct hm_error *error)
{
    struct ledger_snapshot *snapshot = hm_calloc(1, sizeof *snapshot);
    int rc;

    if (!snapshot)
        return no_memory(error);
    snapshot->view = view;
    snapshot->sizes = *sizes;
    rc = ledger_snapshot_plan_init(&snapshot->plan, error);
    if (rc == 0)
        rc = snapshot_plan(snapshot, error);
    if (rc) {
        ledger_snapshot_close(snapshot);
        return rc;
    }
    *out = snapshot;
    return 0;
}

int ledger_snapshot_open(struct ledger_view *view, struct ledger_snapshot **out,
                         struct hm_error *error)
{
    static const struct ledger_snapshot_sizes sizes = {.target = LEDGER_SNAPSHOT_TARGET_BYTES,
                                                       .held = LEDGER_SNAPSHOT_HELD_BYTES};

    return ledger_snapshot_open_sized(view, &sizes, out, error);
}

void ledger_snapshot_close(struct ledger_snapshot *snapshot)
{
    if (!snapshot)
        return;
    for (size_t i = 0; i < 2; i++) {
        hm_buf_release(&snapshot->facts[i]);
        hm_buf_release(&snapshot->params[i]);
    }
    hm_buf_release(&snapshot->held);
    hm_free(snapshot->entries);
    hm_free(snapshot->parts);
    ledger_snapshot_plan_release(&snapshot->plan);
    hm_free(snapshot);
}

uint32_t ledger_snapshot_chunks(const struct ledger_snapshot *snapshot)
{
    return (uint32_t)snapshot->plan.count + snapshot->header_chunks;
}

int ledger_snapshot_next(struct ledger_snapshot *snapshot, uint32_t *index, struct hm_buf *out,
                         struct hm_error *error)
{
    uint32_t next = snapshot->next;
    int rc;

    if (next == ledger_snapshot_chunks(snapshot))
        return HM_ENOTFOUND;
    hm_buf_clear(out);
    rc = next < snapshot->plan.count ? part_write(snapshot, out, error)
                                     : headers_write(snapshot, out, error);
    if (rc)
        return rc;
    *index = next;
    snapshot->next++;
    return 0;
}

int ledger_snapshot_metadata(struct ledger_snapshot *snapshot, struct hm_buf *out,
                             struct hm_error *error)
{
    struct ledger_snapshot_meta *meta = &snapshot->meta;
    uint8_t root[CRYPTO_HASH_BYTES];
    int rc;

    if (snapshot->next < ledger_snapshot_chunks(snapshot))
        return hm_fail(error, HM_ECONFLICT, "a snapshot's metadata follow its last chunk");
    meta->parts = snapshot->parts;
    meta->part_count = (uint32_t)snapshot->plan.count;
    rc = store_tree_part_join(meta->parts, meta->part_count, NULL, root, error);
    if (rc)
        return rc;
    if (memcmp(root, meta->state_root, sizeof root) != 0)
        return hm_fail(error, HM_ECORRUPT,
                       "the state table does not give the state root of block %llu: no snapshot "
                       "can be made of it",
                       (unsigned long long)meta->height);
    rc = header_get(snapshot->view, meta->height, &meta->header, error);
    if (rc)
        return rc;
    meta->facts = hm_buf_slice(&snapshot->facts[0]);
    meta->facts_proof = hm_buf_slice(&snapshot->facts[1]);
    meta->params = hm_buf_slice(&snapshot->params[0]);
    meta->params_proof = hm_buf_slice(&snapshot->params[1]);
    hm_buf_clear(out);
    return ledger_snapshot_meta_write(meta, out) ? no_memory(error) : 0;
}
