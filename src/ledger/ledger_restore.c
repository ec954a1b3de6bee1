/* Taking a snapshot over: nothing is kept that has not been checked against the state root. */
#include <stdlib.h>

#include "ledger_restore.h"

#include "ledger_facts.h"
#include "ledger_kv.h"
#include "ledger_snapshot_form.h"

struct ledger_restore {
    struct ledger *ledger; /* borrowed */
    struct hm_buf bytes; /* metadata; meta points into it */
    struct hm_buf genesis;
    struct ledger_snapshot_meta meta;
    struct ledger_info info; /* what the ledger's becomes */
    uint64_t era;
    uint64_t *starts; /* of the state's parts */
    uint8_t taken[LEDGER_SNAPSHOT_PARTS_MAX / 8]; /* a bit a part of the state */
    uint32_t parts_left;
    uint64_t headers; /* in chunks */
    uint32_t header_chunks;
    uint32_t header_chunk; /* the next one */
    uint64_t header_height; /* of the next header: what is known of it is its hash */
    uint8_t header_hash[CRYPTO_HASH_BYTES];
};

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory to take a snapshot over");
}

/* --- begin --- */

static int genesis_take(struct ledger_restore *restore, const struct ledger_restore_expect *expect,
                        struct hm_error *error)
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    Hypermesh__Genesis *genesis;
    struct hm_arena arena;
    int rc;

    crypto_hash(expect->genesis.data, expect->genesis.len, hash);
    if (memcmp(hash, restore->meta.genesis_hash, sizeof hash) != 0)
        return hm_fail(error, HM_EAUTH,
                       "snapshot refused: it is of a chain with another genesis than this node's");
    hm_arena_init(&arena, LEDGER_STATE_MAX_BYTES);
    rc = WIRE_UNPACK(hypermesh__genesis, expect->genesis, LEDGER_GENESIS_MAX_BYTES, &arena,
                     &genesis, error);
    if (rc == 0 && !ledger_chain_id_ok(genesis->chain_id))
        rc = hm_fail(error, HM_EINVAL, "the genesis has no proper chain id");
    if (rc == 0)
        memcpy(restore->info.chain_id, genesis->chain_id, strlen(genesis->chain_id) + 1);
    hm_arena_release(&arena);
    if (rc == 0 && hm_buf_append(&restore->genesis, expect->genesis.data, expect->genesis.len))
        rc = no_memory(error);
    return rc;
}

static int meta_take(struct ledger_restore *restore, const struct ledger_restore_expect *expect,
                     struct hm_arena *arena, struct hm_error *error)
{
    const struct ledger_snapshot_meta *meta = &restore->meta;
    struct ledger_snapshot_facts facts;
    int rc;

    if (meta->height != expect->height)
        return hm_fail(error, HM_EAUTH, "snapshot refused: it says it is of block %llu, not %llu",
                       (unsigned long long)meta->height, (unsigned long long)expect->height);
    if (memcmp(meta->state_root, expect->state_root, CRYPTO_HASH_BYTES) != 0)
        return hm_fail(error, HM_EAUTH,
                       "snapshot refused: it is of another state than block %llu has",
                       (unsigned long long)meta->height);
    restore->starts = hm_calloc(meta->part_count, sizeof *restore->starts);
    if (!restore->starts)
        return no_memory(error);
    rc = genesis_take(restore, expect, error);
    if (rc == 0)
        rc = ledger_snapshot_meta_check(meta, restore->starts, arena, &facts, error);
    if (rc)
        return rc;
    if (strcmp(facts.header->chain_id, restore->info.chain_id) != 0)
        return hm_fail(error, HM_EAUTH, "snapshot refused: its header is of another chain");
    if (meta->height == 1 && !hm_slice_equal(wire_slice(facts.header->previous_hash),
                                             hm_slice_of(meta->genesis_hash, CRYPTO_HASH_BYTES)))
        return hm_fail(error, HM_EAUTH, "snapshot refused: its block follows another genesis");
    restore->info.height = meta->height;
    restore->info.time_ms = facts.chain->time_ms;
    restore->info.base_fee = facts.chain->base_fee;
    memcpy(restore->info.block_hash, facts.chain->hash.data, CRYPTO_HASH_BYTES);
    memcpy(restore->info.state_root, meta->state_root, CRYPTO_HASH_BYTES);
    restore->era = expect->era ? expect->era : meta->height;
    restore->parts_left = meta->part_count;
    restore->header_height = meta->height - 1;
    memcpy(restore->header_hash, facts.header->previous_hash.data, CRYPTO_HASH_BYTES);
    restore->headers = facts.headers;
    restore->header_chunks = facts.header_chunks;
    return 0;
}

static int begin(struct ledger_restore *restore, const struct ledger_restore_expect *expect,
                 struct hm_slice metadata, struct hm_error *error)
{
    struct ledger_info info;
    struct hm_arena arena;
    int rc = ledger_info(restore->ledger, &info, NULL);

    if (rc == 0)
        return hm_fail(error, HM_EEXIST,
                       "the store holds the chain \"%s\" already, up to block %llu: a snapshot is "
                       "taken over into an empty one",
                       info.chain_id, (unsigned long long)info.height);
    if (rc != HM_ENOTFOUND)
        return hm_fail(error, rc, "the store could not be read");
    if (expect->era > expect->height)
        return hm_fail(error, HM_EINVAL, "the engine's first block %llu is not after block %llu",
                       (unsigned long long)expect->era, (unsigned long long)expect->height);
    if (hm_buf_append(&restore->bytes, metadata.data, metadata.len))
        return no_memory(error);
    rc = ledger_snapshot_meta_parse(hm_buf_slice(&restore->bytes), &restore->meta, error);
    if (rc)
        return rc;
    hm_arena_init(&arena, LEDGER_STATE_MAX_BYTES * 4);
    rc = meta_take(restore, expect, &arena, error);
    hm_arena_release(&arena);
    return rc ? rc : ledger_restore_mark(restore->ledger->store, error);
}

int ledger_restore_begin(struct ledger *ledger, const struct ledger_restore_expect *expect,
                         struct hm_slice metadata, struct ledger_restore **out,
                         struct hm_error *error)
{
    struct ledger_restore *restore = hm_calloc(1, sizeof *restore);
    int rc;

    if (!restore)
        return no_memory(error);
    restore->ledger = ledger;
    rc = begin(restore, expect, metadata, error);
    if (rc) {
        ledger_restore_close(restore);
        return rc;
    }
    *out = restore;
    return 0;
}

void ledger_restore_close(struct ledger_restore *restore)
{
    if (!restore)
        return;
    hm_buf_release(&restore->bytes);
    hm_buf_release(&restore->genesis);
    hm_free(restore->starts);
    hm_free(restore);
}

/* --- chunks of state --- */

static bool part_taken(const struct ledger_restore *restore, uint32_t part)
{
    return ((unsigned)restore->taken[part / 8] >> part % 8 & 1u) != 0;
}

static int part_check(const struct ledger_restore *restore, uint32_t part,
                      struct ledger_snapshot_entries *entries, struct hm_error *error)
{
    uint8_t root[CRYPTO_HASH_BYTES];
    const struct store_tree_part *wanted = &restore->meta.parts[part];
    int rc = store_tree_part_root(restore->starts[part], wanted->depth, entries->leaves,
                                  entries->count, root, error);

    if (rc)
        return rc == HM_EINVAL ? HM_EAUTH : rc;
    if (memcmp(root, wanted->root, sizeof root) != 0)
        return hm_fail(error, HM_EAUTH, "its entries are not what the state root says");
    return 0;
}

static int key_order(const void *a, const void *b)
{
    return hm_slice_compare(((const struct ledger_snapshot_entry *)a)->key,
                            ((const struct ledger_snapshot_entry *)b)->key);
}

/* In the order of the table: neighbours share a path of its tree. */
static int entries_write(struct store_txn *txn, struct ledger_snapshot_entries *entries,
                         struct hm_error *error)
{
    struct ledger_restore_index index;
    int rc = ledger_restore_index_init(&index, txn, error);

    if (entries->count > 0)
        qsort(entries->list, entries->count, sizeof *entries->list, key_order);
    for (size_t i = 0; rc == 0 && i < entries->count; i++) {
        rc = store_put(txn, LEDGER_TABLE_STATE, entries->list[i].key, entries->list[i].value,
                       error);
        if (rc == 0)
            rc = ledger_restore_index_add(&index, entries->list[i].key, entries->list[i].value,
                                          error);
    }
    ledger_restore_index_release(&index);
    return rc;
}

static int part_write(struct ledger_restore *restore, struct ledger_snapshot_entries *entries,
                      struct hm_error *error)
{
    uint8_t root[CRYPTO_HASH_BYTES];
    struct store_txn *txn;
    int rc = store_begin_write(restore->ledger->store, &txn, error);

    if (rc)
        return rc;
    rc = entries_write(txn, entries, error);
    if (rc == 0)
        rc = store_tree_update(txn, &ledger_tree, entries->leaves, entries->count, root, error);
    if (rc) {
        store_abort(txn);
        return rc;
    }
    return store_commit(txn, error);
}

static int part_take(struct ledger_restore *restore, uint32_t part, struct hm_slice chunk,
                     struct hm_error *error)
{
    HM_CLEANUP(ledger_snapshot_entries) struct ledger_snapshot_entries entries = {0};
    int rc = ledger_snapshot_entries_parse(chunk, &entries, error);

    if (rc == 0)
        rc = part_check(restore, part, &entries, error);
    if (rc == 0 && !part_taken(restore, part)) {
        rc = part_write(restore, &entries, error);
        if (rc)
            return rc;
        restore->taken[part / 8] |= (uint8_t)(1u << part % 8);
        restore->parts_left--;
    }
    return rc;
}

/* --- chunks of headers --- */

/* Headers from here on, checked and perhaps written. */
struct header_walk {
    struct ledger_restore *restore;
    struct store_txn *txn; /* NULL: only looked at */
    struct hm_arena arena;
    uint64_t height; /* of the next */
    uint64_t last; /* of this chunk */
    uint8_t hash[CRYPTO_HASH_BYTES];
};

static int header_put(struct header_walk *walk, struct hm_slice bytes, struct hm_error *error)
{
    uint8_t key[9] = {LEDGER_META_HASH};
    int rc = ledger_restore_header_put(walk->txn, walk->height, bytes, error);

    hm_put_be64(key + 1, walk->height);
    return rc ? rc
              : store_put(walk->txn, LEDGER_TABLE_META, hm_slice_of(key, sizeof key),
                          hm_slice_of(walk->hash, sizeof walk->hash), error);
}

static int header_step(struct header_walk *walk, struct hm_slice bytes, struct hm_error *error)
{
    Hypermesh__BlockHeader *header;
    int rc;

    if (walk->height < walk->last)
        return hm_fail(error, HM_EAUTH, "it has more headers than it should");
    hm_arena_clear(&walk->arena);
    rc = ledger_snapshot_header_check(bytes, walk->hash, walk->height, walk->restore->info.chain_id,
                                      &walk->arena, &header, error);
    if (rc == 0 && walk->txn)
        rc = header_put(walk, bytes, error);
    if (rc)
        return rc;
    walk->height--;
    memcpy(walk->hash, header->previous_hash.data, CRYPTO_HASH_BYTES);
    if (walk->height == 0 &&
        memcmp(walk->hash, walk->restore->meta.genesis_hash, CRYPTO_HASH_BYTES) != 0)
        return hm_fail(error, HM_EAUTH, "its first block follows another genesis");
    return 0;
}

static int headers_walk(struct header_walk *walk, struct hm_slice chunk, struct hm_error *error)
{
    const struct ledger_restore *restore = walk->restore;
    uint64_t left = restore->header_height - (restore->meta.height - restore->headers) + 1;
    uint64_t count = left < LEDGER_SNAPSHOT_HEADERS_PER_CHUNK ? left
                                                              : LEDGER_SNAPSHOT_HEADERS_PER_CHUNK;
    int rc = 0;

    walk->height = restore->header_height;
    walk->last = restore->header_height - count + 1;
    memcpy(walk->hash, restore->header_hash, sizeof walk->hash);
    hm_arena_init(&walk->arena, LEDGER_STATE_MAX_BYTES);
    while (rc == 0) {
        struct hm_slice bytes;

        rc = ledger_snapshot_header_next(&chunk, &bytes, error);
        if (rc == 0)
            rc = header_step(walk, bytes, error);
    }
    hm_arena_release(&walk->arena);
    if (rc != HM_ENOTFOUND)
        return rc;
    if (walk->height >= walk->last)
        return hm_fail(error, HM_EAUTH, "it has not as many headers as it should");
    return 0;
}

static int headers_take(struct ledger_restore *restore, uint32_t number, struct hm_slice chunk,
                        struct hm_error *error)
{
    struct header_walk walk = {.restore = restore};
    int rc;

    if (number < restore->header_chunk)
        return 0;
    if (number > restore->header_chunk)
        return hm_fail(error, HM_ECONFLICT, "the one before it comes first");
    rc = headers_walk(&walk, chunk, error);
    if (rc == 0)
        rc = store_begin_write(restore->ledger->store, &walk.txn, error);
    if (rc)
        return rc;
    rc = headers_walk(&walk, chunk, error);
    if (rc) {
        store_abort(walk.txn);
        return rc;
    }
    rc = store_commit(walk.txn, error);
    if (rc)
        return rc;
    restore->header_chunk++;
    restore->header_height = walk.height;
    memcpy(restore->header_hash, walk.hash, sizeof walk.hash);
    return 0;
}

uint32_t ledger_restore_chunks(const struct ledger_restore *restore)
{
    return restore->meta.part_count + restore->header_chunks;
}

int ledger_restore_chunk(struct ledger_restore *restore, uint32_t index, struct hm_slice chunk,
                         struct hm_error *error)
{
    uint32_t parts = restore->meta.part_count;
    uint32_t chunks = ledger_restore_chunks(restore);
    int rc;

    if (index >= chunks)
        return hm_fail(error, HM_EINVAL, "the snapshot has no chunk %u, it has %u", (unsigned)index,
                       (unsigned)chunks);
    rc = index < parts ? part_take(restore, index, chunk, error)
                       : headers_take(restore, index - parts, chunk, error);
    return rc ? hm_error_prefix(error, rc, "snapshot: chunk %u of %u", (unsigned)index,
                                (unsigned)chunks)
              : 0;
}

/* --- finish --- */

static int complete_check(const struct ledger_restore *restore, struct hm_error *error)
{
    if (restore->parts_left > 0 || restore->header_chunk < restore->header_chunks)
        return hm_fail(error, HM_ECONFLICT,
                       "the snapshot is not complete: %u chunks of state and %u of headers are "
                       "missing",
                       (unsigned)restore->parts_left,
                       (unsigned)(restore->header_chunks - restore->header_chunk));
    return 0;
}

/* What every ledger has beside its state. */
static int chain_write(const struct ledger_restore *restore, struct store_txn *txn,
                       struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf pack = {0};
    const uint8_t genesis_key = LEDGER_META_GENESIS;
    uint8_t hash_key[9] = {LEDGER_META_HASH};
    struct ledger_first first = {.height = restore->meta.height + 1};
    struct ledger_kv_totals totals;
    int rc = ledger_kv_totals_read(txn, &totals, error);

    if (rc)
        return rc;
    first.kv = totals.revision;
    hm_put_be64(hash_key + 1, restore->header_height);
    rc = store_put(txn, LEDGER_TABLE_META, hm_slice_of(hash_key, sizeof hash_key),
                   hm_slice_of(restore->header_hash, CRYPTO_HASH_BYTES), error);
    if (rc == 0)
        rc = ledger_restore_header_put(txn, restore->meta.height, restore->meta.header, error);
    if (rc == 0)
        rc = store_put(txn, LEDGER_TABLE_META, hm_slice_of(&genesis_key, 1),
                       hm_buf_slice(&restore->genesis), error);
    if (rc == 0)
        rc = ledger_first_write(txn, &first, error);
    if (rc == 0)
        rc = ledger_era_write(txn, restore->era, error);
    return rc ? rc : ledger_chain_write(txn, &restore->info, &pack, error);
}

static int finish(struct ledger_restore *restore, struct store_txn *txn, struct hm_error *error)
{
    uint8_t root[CRYPTO_HASH_BYTES];
    int rc = store_tree_root(txn, &ledger_tree, root, error);

    if (rc == 0 && memcmp(root, restore->meta.state_root, sizeof root) != 0)
        rc = hm_fail(error, HM_ECORRUPT, "what was taken over does not give the state root");
    if (rc == 0)
        rc = chain_write(restore, txn, error);
    return rc ? rc : ledger_restore_unmark(txn, error);
}

int ledger_restore_finish(struct ledger_restore *restore, struct hm_error *error)
{
    struct store_txn *txn;
    int rc = complete_check(restore, error);

    if (rc == 0)
        rc = store_begin_write(restore->ledger->store, &txn, error);
    if (rc)
        return rc;
    rc = finish(restore, txn, error);
    if (rc) {
        store_abort(txn);
        return rc;
    }
    rc = store_commit(txn, error);
    return rc ? rc : ledger_load(restore->ledger, error);
}
