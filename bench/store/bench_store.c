/* Durable state commits: leaves per second through the authenticated tree on disk, at 10^3, 10^6 and 10^7
 * leaves and by size of the batch, beside the same tree in memory (what the disk costs), and proofs.
 *
 *   bench_store [DIR [disk]]   DIR: where to make the store, default $TMPDIR or /tmp; disk: that only
 *
 * A batch is half new keys, half present ones, in one write transaction committed to disk. The tree of 10^7
 * leaves takes about 4 GB there and half a minute to load; it is left out where there is less room. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>

#include "store.h"

#define BATCH_MAX        100000
#define LOAD_BATCH       1000000
#define SECONDS_PER_CASE 3.0
#define PROOFS           2000
#define LEAVES_SMALL     UINT64_C(1000)
#define LEAVES_MIDDLE    UINT64_C(1000000)
#define LEAVES_LARGE     UINT64_C(10000000)
#define LARGE_BYTES      (UINT64_C(8) << 30) /* of disk, to be at ease */

static const char *const table_names[] = {"leaves", "pages"};
static const struct store_options options = {.tables = table_names, .table_count = 2};
static const struct store_tree tree = {.leaf_table = 0, .page_table = 1};

struct bench {
    struct store *store;
    struct hm_error error;
    uint64_t keys;
    uint64_t salt; /* makes each value new */
    uint64_t random;
    double update_seconds; /* of the last commit, before it went to disk */
    uint8_t root[CRYPTO_HASH_BYTES];
    struct store_tree_change *changes;
};

static double now(void)
{
    return (double)hm_mono_ns(hm_clock_system()) / 1e9;
}

/* Processor time of this thread: what holds when other work runs on the machine. */
static double busy(void)
{
    struct timespec at = {0};

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void must(int rc, const struct hm_error *error)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench_store: %s\n", error->text);
    exit(1);
}

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t next_random(struct bench *bench)
{
    uint64_t z = bench->random += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void make_batch(struct bench *bench, size_t count, uint64_t first_new, uint64_t new_count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t number = i < new_count ? first_new + i : next_random(bench) % bench->keys;

        crypto_hash(&number, sizeof(number), bench->changes[i].key_hash);
        number += ++bench->salt << 32;
        crypto_hash(&number, sizeof(number), bench->changes[i].value_hash);
    }
}

/* Drops keys drawn twice; makes no difference worth counting. */
static size_t without_doubles(struct store_tree_change *changes, size_t count,
                              int (*compare)(const void *, const void *))
{
    size_t kept = 0;

    qsort(changes, count, sizeof(*changes), compare);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || compare(&changes[kept - 1], &changes[i]) != 0)
            changes[kept++] = changes[i];
    return kept;
}

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, CRYPTO_HASH_BYTES);
}

static double commit_batch(struct bench *bench, size_t count)
{
    struct store_txn *txn = NULL;
    double start = now();

    must(store_begin_write(bench->store, &txn, &bench->error), &bench->error);
    must(store_tree_update(txn, &tree, bench->changes, count, bench->root, &bench->error),
         &bench->error);
    bench->update_seconds = now() - start;
    must(store_commit(txn, &bench->error), &bench->error);
    return now() - start;
}

static void load(struct bench *bench, uint64_t keys)
{
    double start = now();
    uint64_t before = bench->keys;

    while (bench->keys < keys) {
        uint64_t count = keys - bench->keys < LOAD_BATCH ? keys - bench->keys : LOAD_BATCH;

        make_batch(bench, count, bench->keys, count);
        commit_batch(bench, count);
        bench->keys += count;
    }
    printf("  load %8" PRIu64 " leaves                    %10.0f leaves/s\n", keys - before,
           (double)(keys - before) / (now() - start));
}

/* added: so many of a batch are new keys */
static void measure(struct bench *bench, size_t batch, size_t added)
{
    double spent = 0;
    double processor = 0;
    double updating = 0;
    uint64_t leaves = 0;
    unsigned commits = 0;

    while (spent < SECONDS_PER_CASE) {
        size_t count;

        make_batch(bench, batch, bench->keys, added);
        bench->keys += added;
        count = without_doubles(bench->changes, batch, by_key);
        processor -= busy();
        spent += commit_batch(bench, count);
        processor += busy();
        updating += bench->update_seconds;
        leaves += count;
        commits++;
    }
    printf("  tree of about %8" PRIu64 ", batch of %6zu: %10.0f leaves/s  (%.2f ms a commit: "
           "%.2f to hash, %.2f to disk; processor %.2f us a leaf)\n",
           bench->keys, (size_t)leaves / commits, (double)leaves / spent, spent * 1e3 / commits,
           updating * 1e3 / commits, (spent - updating) * 1e3 / commits,
           processor * 1e6 / (double)leaves);
}

static void measure_proofs(struct bench *bench)
{
    struct store_txn *txn = NULL;
    double proving = 0;
    double checking = 0;
    size_t bytes = 0;

    must(store_begin_read(bench->store, &txn, &bench->error), &bench->error);
    for (uint64_t i = 0; i < PROOFS; i++) {
        HM_CLEANUP(store_tree_proof) struct store_tree_proof proof = {0};
        HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
        uint64_t absent = i + ((uint64_t)1 << 60);
        struct hm_slice key = hm_slice_of(&absent, sizeof(absent));
        double start = now();

        must(store_tree_prove(txn, &tree, key, &proof, &bench->error), &bench->error);
        proving += now() - start;
        must(store_tree_proof_encode(&proof, &buf), &bench->error);
        bytes += buf.len;
        start = now();
        must(store_tree_verify(bench->root, key, (struct hm_slice){0}, &proof, &bench->error),
             &bench->error);
        checking += now() - start;
    }
    store_abort(txn);
    printf("  absence proof: %.1f us to make, %.1f us to check, %zu bytes\n",
           proving * 1e6 / PROOFS, checking * 1e6 / PROOFS, bytes / PROOFS);
}

static void size_of(struct bench *bench)
{
    struct store_stats stats = {0};

    must(store_stats(bench->store, &stats, &bench->error), &bench->error);
    printf("  %.0f MB, %.0f bytes a leaf\n", (double)stats.bytes_used / 1e6,
           (double)stats.bytes_used / (double)bench->keys);
}

static void run(struct bench *bench, const char *name, bool large)
{
    printf("%s\n", name);
    load(bench, LEAVES_SMALL);
    measure(bench, 100, 0); /* it stays small */
    measure(bench, 1000, 0);
    load(bench, LEAVES_MIDDLE);
    measure(bench, 1000, 500);
    measure(bench, 10000, 5000);
    measure(bench, BATCH_MAX, BATCH_MAX / 2);
    measure_proofs(bench);
    size_of(bench);
    if (large) {
        load(bench, LEAVES_LARGE);
        measure(bench, 10000, 5000);
        measure(bench, BATCH_MAX, BATCH_MAX / 2);
        measure_proofs(bench);
        size_of(bench);
    }
    printf("\n");
    store_close(bench->store);
}

int main(int argc, char **argv)
{
    const char *base = argc > 1 ? argv[1] : getenv("TMPDIR");
    HM_AUTOFREE char *path = hm_asprintf("%s/bench-store-XXXXXX", base ? base : "/tmp");
    struct bench disk = {0};
    struct statvfs room;
    bool large;
    struct bench memory = {0};
    HM_AUTOFREE struct store_tree_change *changes = hm_calloc(LOAD_BATCH, sizeof(*changes));

    if (!path || !changes || !mkdtemp(path)) {
        fprintf(stderr, "bench_store: cannot make a folder in %s\n", base ? base : "/tmp");
        return 1;
    }
    must(crypto_setup(&disk.error), &disk.error);
    disk.changes = changes;
    memory.changes = changes;
    must(store_open_lmdb(path, &options, &disk.store, &disk.error), &disk.error);
    large = statvfs(path, &room) == 0 && (uint64_t)room.f_bavail * room.f_frsize >= LARGE_BYTES;
    if (!large)
        printf("less than %" PRIu64 " GiB free: without the tree of 10^7 leaves\n",
               LARGE_BYTES >> 30);
    run(&disk, "on disk (LMDB, each commit durable)", large);
    must(hm_remove_tree(path, &disk.error), &disk.error);
    if (argc > 2)
        return 0;
    must(store_open_memory(&options, &memory.store, &memory.error), &memory.error);
    run(&memory, "in memory (test twin)", false);
    return 0;
}
