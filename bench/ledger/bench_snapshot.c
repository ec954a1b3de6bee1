/* A snapshot made and taken over: how long each takes for a state of so many accounts, how large it is, and how long the
 * longest piece of either keeps a thread.
 *
 *   bench_snapshot [DIR [ACCOUNTS]]   DIR: where to make the stores, default $TMPDIR or /tmp; ACCOUNTS: default 200000 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ledger_fixture.h"
#include "ledger_private.h"

#define ACCOUNTS_DEFAULT 200000
#define AT_ONCE          ((size_t)20000)

static double now(void)
{
    return (double)hm_mono_ns(hm_clock_system()) / 1e9;
}

static void must(int rc, const struct hm_error *error)
{
    if (rc == 0)
        return;
    (void)fprintf(stderr, "bench_snapshot: %s: %s\n", hm_error_name(rc), error->text);
    exit(1);
}

/* Accounts that are nobody's: the bytes of a real one under keys drawn from a number. */
static void accounts_put(struct store_txn *txn, struct hm_slice account, uint64_t first,
                         size_t count, uint8_t root[CRYPTO_HASH_BYTES], struct hm_error *error)
{
    struct store_tree_change *changes = hm_calloc(count, sizeof *changes);

    for (size_t i = 0; i < count; i++) {
        uint8_t number[8];
        uint8_t id[CRYPTO_HASH_BYTES];
        uint8_t room[LEDGER_KEY_ID_BYTES];
        struct hm_slice key;

        hm_put_be64(number, first + i);
        crypto_hash(number, sizeof number, id);
        key = ledger_key_id(LEDGER_KEY_ACCOUNT, id, room);
        crypto_hash(key.data, key.len, changes[i].key_hash);
        crypto_hash(account.data, account.len, changes[i].value_hash);
        must(store_put(txn, LEDGER_TABLE_STATE, key, account, error), error);
    }
    must(store_tree_update(txn, &ledger_tree, changes, count, root, error), error);
    hm_free(changes);
}

/* What the first block of an engine would leave, and the chain state that goes with it. */
static void facts_put(struct store_txn *txn, struct ledger_info *info, struct hm_error *error)
{
    Hypermesh__ChainFacts facts = HYPERMESH__CHAIN_FACTS__INIT;
    HM_CLEANUP(hm_buf) struct hm_buf pack = {0};
    const uint8_t key = LEDGER_KEY_CHAIN;
    struct store_tree_change change;

    facts.base_fee = info->base_fee;
    facts.height = info->height;
    facts.hash = wire_bytes(info->block_hash, sizeof info->block_hash);
    facts.time_ms = info->time_ms;
    must(wire_pack(&facts.base, &pack), error);
    must(store_put(txn, LEDGER_TABLE_STATE, hm_slice_of(&key, 1), hm_buf_slice(&pack), error),
         error);
    crypto_hash(&key, 1, change.key_hash);
    crypto_hash(pack.data, pack.len, change.value_hash);
    must(store_tree_update(txn, &ledger_tree, &change, 1, info->state_root, error), error);
    hm_buf_clear(&pack);
    must(ledger_chain_write(txn, info, &pack, error), error);
}

static void world(struct fixture *fixture, const char *path, uint64_t accounts)
{
    const struct fixture_options options = {.lmdb_path = path, .deferred = true};
    struct hm_error *error = &fixture->error;
    struct ledger_info info;
    struct hm_slice account;
    struct store_txn *txn;

    must(fixture_init(fixture, &options), error);
    must(ledger_info(fixture->ledger, &info, error), error);
    account = fixture_pack(fixture, &fixture_account(fixture, BOB)->base);
    for (uint64_t done = 0; done < accounts; done += AT_ONCE) {
        must(store_begin_write(fixture->store, &txn, error), error);
        accounts_put(txn, account, done, AT_ONCE, info.state_root, error);
        must(store_commit(txn, error), error);
    }
    must(store_begin_write(fixture->store, &txn, error), error);
    facts_put(txn, &info, error);
    must(store_commit(txn, error), error);
    (void)printf("%" PRIu64 " accounts of %zu bytes\n", accounts, account.len);
}

struct pieces {
    struct hm_buf metadata;
    struct hm_buf *chunks;
    uint32_t count;
};

static void make(struct ledger *ledger, struct pieces *out, struct hm_error *error)
{
    struct ledger_snapshot *snapshot;
    struct ledger_view *view;
    double started = now();
    double opened, longest = 0;
    uint64_t bytes = 0;

    must(ledger_view_open(ledger, &view, error), error);
    must(ledger_snapshot_open(view, &snapshot, error), error);
    opened = now() - started;
    out->count = ledger_snapshot_chunks(snapshot);
    out->chunks = hm_calloc(out->count, sizeof *out->chunks);
    for (uint32_t i = 0; i < out->count; i++) {
        double began = now();
        uint32_t index;

        must(ledger_snapshot_next(snapshot, &index, &out->chunks[i], error), error);
        longest = now() - began > longest ? now() - began : longest;
        bytes += out->chunks[i].len;
    }
    must(ledger_snapshot_metadata(snapshot, &out->metadata, error), error);
    ledger_snapshot_close(snapshot);
    ledger_view_close(view);
    (void)printf(
        "made: %u chunks, %.1f MB, metadata %zu bytes, %.2f s (%.0f MB/s); opening %.2f s, "
        "longest chunk %.2f s\n",
        (unsigned)out->count, (double)bytes / 1e6, out->metadata.len, now() - started,
        (double)bytes / 1e6 / (now() - started), opened, longest);
}

static void take(struct fixture *fixture, const char *path, const struct pieces *pieces,
                 const struct ledger_info *info, struct hm_error *error)
{
    struct store_options options = *fixture_store_options();
    struct ledger_restore_expect expect = {.genesis = fixture_genesis(fixture),
                                           .height = info->height,
                                           .state_root = info->state_root};
    struct ledger_restore *restore;
    struct ledger_info got;
    struct ledger *ledger;
    struct store *store;
    double started = now();
    double longest = 0;

    options.deferred = true;
    must(store_open_lmdb(path, &options, &store, error), error);
    must(ledger_open(store, &ledger, error), error);
    must(ledger_restore_begin(ledger, &expect, hm_buf_slice(&pieces->metadata), &restore, error),
         error);
    for (uint32_t i = 0; i < pieces->count; i++) {
        double began = now();

        must(ledger_restore_chunk(restore, i, hm_buf_slice(&pieces->chunks[i]), error), error);
        longest = now() - began > longest ? now() - began : longest;
    }
    must(ledger_restore_finish(restore, error), error);
    ledger_restore_close(restore);
    must(ledger_info(ledger, &got, error), error);
    if (memcmp(got.state_root, info->state_root, sizeof got.state_root) != 0)
        exit(1);
    (void)printf("taken over: %.2f s, longest chunk %.2f s\n", now() - started, longest);
    ledger_close(ledger);
    store_close(store);
}

int main(int argc, char **argv)
{
    uint64_t accounts = argc > 2 ? strtoull(argv[2], NULL, 10) : ACCOUNTS_DEFAULT;
    const char *dir = argc > 1 ? argv[1] : getenv("TMPDIR");
    HM_AUTOFREE char *path = hm_asprintf("%s/bench_snapshot.%d", dir ? dir : "/tmp", (int)getpid());
    HM_AUTOFREE char *from = path ? hm_asprintf("%s/from", path) : NULL;
    HM_AUTOFREE char *to = path ? hm_asprintf("%s/to", path) : NULL;
    struct pieces pieces = {0};
    static struct fixture fixture;
    struct ledger_info info;
    struct ledger *ledger;
    struct hm_error error = {0};

    if (!from || !to)
        return 1;
    must(hm_mkdir_all(path, 0700, &error), &error);
    world(&fixture, from, accounts);
    must(ledger_open(fixture.store, &ledger, &error), &error);
    must(ledger_info(ledger, &info, &error), &error);
    make(ledger, &pieces, &error);
    ledger_close(ledger);
    take(&fixture, to, &pieces, &info, &error);
    for (uint32_t i = 0; i < pieces.count; i++)
        hm_buf_release(&pieces.chunks[i]);
    hm_free(pieces.chunks);
    hm_buf_release(&pieces.metadata);
    fixture_release(&fixture);
    return hm_remove_tree(path, &error) ? 1 : 0;
}
