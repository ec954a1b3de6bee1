/* Small durable commits, one after the other, as one client sees them: what an operation of the ledger
 * writes, about, beside what the disk needs for so many pages.
 *
 *   bench_store_commit [DIR]   default $TMPDIR or /tmp
 *
 * A commit: nine leaves of the tree (three of them new), and five records in five other tables. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store.h"

#define COMMITS    4000
#define LEAVES     9
#define LEAVES_NEW 3
#define LOAD_BATCH 100000
#define RAW_SYNCS  1000
#define RAW_PAGES  4096
#define PAGE_BYTES 4096

enum { LEAF, PAGE, BLOCK, BATCH, INDEX, INFO, OBJECT, TABLES };

static const char *const table_names[] = {"leaf",  "page", "block", "batch",
                                          "index", "info", "object"};
static const struct store_options options = {.tables = table_names, .table_count = TABLES};
static const struct store_tree tree = {.leaf_table = LEAF, .page_table = PAGE};

struct bench {
    struct store *store;
    struct hm_error error;
    struct store_tree_change *changes;
    uint64_t keys;
    double *seconds; /* of each commit */
};

static double now(void)
{
    return (double)hm_mono_ns(hm_clock_system()) / 1e9;
}

static void must(int rc, const struct hm_error *error)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench_store_commit: %s\n", error->text);
    exit(1);
}

static int by_time(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print_times(const char *what, double *seconds, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += seconds[i];
    qsort(seconds, count, sizeof(*seconds), by_time);
    printf("  %-34s p50 %6.3f ms  p99 %6.3f ms  max %7.3f ms  %8.0f/s\n", what,
           seconds[count / 2] * 1e3, seconds[count * 99 / 100] * 1e3, seconds[count - 1] * 1e3,
           (double)count / sum);
}

static void change(struct store_tree_change *out, uint64_t key, uint64_t value)
{
    crypto_hash(&key, sizeof(key), out->key_hash);
    crypto_hash(&value, sizeof(value), out->value_hash);
}

static void load(struct bench *bench, uint64_t keys)
{
    while (bench->keys < keys) {
        struct store_txn *txn = NULL;
        uint8_t root[CRYPTO_HASH_BYTES];
        size_t count = 0;

        for (; count < LOAD_BATCH && bench->keys < keys; count++, bench->keys++)
            change(&bench->changes[count], bench->keys, 0);
        must(store_begin_write(bench->store, &txn, &bench->error), &bench->error);
        must(store_tree_update(txn, &tree, bench->changes, count, root, &bench->error),
             &bench->error);
        must(store_commit(txn, &bench->error), &bench->error);
    }
}

static void put(struct bench *bench, struct store_txn *txn, unsigned table, const void *key,
                size_t key_len, size_t value_len)
{
    static const uint8_t value[512];

    must(store_put(txn, table, hm_slice_of(key, key_len), hm_slice_of(value, value_len),
                   &bench->error),
         &bench->error);
}

static void commit(struct bench *bench, uint64_t number)
{
    struct store_txn *txn = NULL;
    uint8_t root[CRYPTO_HASH_BYTES];
    uint8_t hash[CRYPTO_HASH_BYTES];
    uint64_t present = bench->keys;
    uint8_t key[8];

    hm_put_be64(key, number);
    crypto_hash(key, sizeof(key), hash);
    must(store_begin_write(bench->store, &txn, &bench->error), &bench->error);
    for (uint64_t i = 0; i < LEAVES; i++)
        change(&bench->changes[i],
               i < LEAVES_NEW ? bench->keys++ : (number * 7919 + i * 101) % present,
               number << 8 | i);
    must(store_tree_update(txn, &tree, bench->changes, LEAVES, root, &bench->error), &bench->error);
    put(bench, txn, BLOCK, key, sizeof(key), 400);
    put(bench, txn, BATCH, key, sizeof(key), 300);
    put(bench, txn, INDEX, hash, sizeof(hash), 8);
    put(bench, txn, INFO, "info", 4, 200);
    put(bench, txn, OBJECT, hash, 20, 200);
    must(store_commit(txn, &bench->error), &bench->error);
}

static void measure(const char *folder, struct bench *bench, uint64_t leaves)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/tree", folder);
    HM_AUTOFREE char *what = hm_asprintf("commit, tree of %" PRIu64, leaves);

    bench->keys = 0;
    must(store_open_lmdb(path, &options, &bench->store, &bench->error), &bench->error);
    load(bench, leaves);
    for (uint64_t i = 0; i < COMMITS; i++) {
        double start = now();

        commit(bench, i);
        bench->seconds[i] = now() - start;
    }
    print_times(what, bench->seconds, COMMITS);
    store_close(bench->store);
    must(hm_remove_tree(path, &bench->error), &bench->error);
}

/* Overwrites pages of a file whose room is there already. */
static void measure_raw(const char *folder, struct bench *bench, size_t pages)
{
    static const uint8_t page[PAGE_BYTES];
    HM_AUTOFREE char *path = hm_asprintf("%s/raw", folder);
    HM_AUTOFREE char *what = hm_asprintf("disk alone: %zu pages, one sync", pages);
    HM_AUTOCLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    for (off_t i = 0; i < RAW_PAGES; i++)
        must(pwrite(fd, page, sizeof(page), i * PAGE_BYTES) == PAGE_BYTES ? 0 : HM_EIO,
             &bench->error);
    must(fsync(fd), &bench->error);
    for (size_t i = 0; i < RAW_SYNCS; i++) {
        double start = now();

        for (size_t j = 0; j < pages; j++)
            if (pwrite(fd, page, sizeof(page),
                       (off_t)((i * 37 + j * 53) % RAW_PAGES) * PAGE_BYTES) != PAGE_BYTES)
                exit(1);
        if (fdatasync(fd))
            exit(1);
        bench->seconds[i] = now() - start;
    }
    print_times(what, bench->seconds, RAW_SYNCS);
}

int main(int argc, char **argv)
{
    const char *base = argc > 1 ? argv[1] : getenv("TMPDIR");
    HM_AUTOFREE char *path = hm_asprintf("%s/bench-store-XXXXXX", base ? base : "/tmp");
    struct bench bench = {.changes = hm_calloc(LOAD_BATCH, sizeof(*bench.changes)),
                          .seconds = hm_calloc(COMMITS, sizeof(*bench.seconds))};

    if (!path || !bench.changes || !bench.seconds || !mkdtemp(path)) {
        fprintf(stderr, "bench_store_commit: cannot make a folder in %s\n", base ? base : "/tmp");
        return 1;
    }
    must(crypto_setup(&bench.error), &bench.error);
    printf("small durable commits: %d leaves of the tree and five records each\n", LEAVES);
    measure_raw(path, &bench, 1);
    measure_raw(path, &bench, 10);
    measure_raw(path, &bench, 40);
    measure(path, &bench, 1000);
    measure(path, &bench, 100000);
    measure(path, &bench, 1000000);
    must(hm_remove_tree(path, &bench.error), &bench.error);
    hm_free(bench.changes);
    hm_free(bench.seconds);
    return 0;
}
