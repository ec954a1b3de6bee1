/* bench_packetfs_store FOLDER [MIB [OBJECTS]]: the store alone, one thread, in FOLDER; 512 MiB, with HM_BENCH_QUICK=1 128.
 *
 * Put of new random data, of new text, of what is known; get of random data and text, verified; then an index of
 * OBJECTS synthetic objects (default: none; 10000000 takes minutes): how large it is, look-ups, marks. Prints GB/s of plain bytes, each the
 * best of three where it can be run again, and the stages of a put. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "care/packetfs_mark.h"
#include "packetfs_time.h"
#include "store/packetfs_store_inner.h"

#define CHUNK_BYTES 65536u
#define ROUNDS      3
#define MIB_DEFAULT 512
#define MIB_QUICK   128

static void must(int rc, const struct hm_error *error)
{
    if (rc == 0)
        return;
    (void)fprintf(stderr, "bench_packetfs_store: %s: %s\n", hm_error_name(rc), error->text);
    exit(1);
}

static void make_random(uint8_t *out, size_t len, uint64_t seed)
{
    struct hm_random_seeded state;
    struct hm_random source = hm_random_seeded_source(&state, seed);

    (void)source.fill(source.ctx, out, len);
}

/* Words of a vocabulary, as often as in a natural text (Zipf): shrinks to about a third. */
static void make_text(uint8_t *out, size_t len, uint64_t seed)
{
    struct hm_random_seeded state;
    struct hm_random source = hm_random_seeded_source(&state, seed);
    size_t at = 0;

    while (at < len) {
        uint64_t dice = hm_random_u64(&source);
        uint64_t word = (dice & 0xffff) * ((dice >> 16) & 0xffff) % 20011 *
                        UINT64_C(0x9e3779b97f4a7c15);
        unsigned letters = 2 + (unsigned)(word >> 60) % 9;

        for (unsigned i = 0; i < letters && at < len; i++)
            out[at++] = (uint8_t)('a' + (word >> (i * 5)) % 26);
        if (at < len)
            out[at++] = ' ';
    }
}

static void report(const char *what, size_t bytes, uint64_t wall_ns, uint64_t cpu_ns)
{
    (void)printf("%-28s %7.2f GB/s  (processor time: %5.2f GB/s)\n", what,
                 (double)bytes / (double)wall_ns, (double)bytes / (double)cpu_ns);
}

static uint64_t process_ns(void)
{
    return packetfs_ns(CLOCK_PROCESS_CPUTIME_ID);
}

struct bench {
    char dir[PACKETFS_PATH_BYTES];
    struct packetfs_keys keys;
    struct packetfs_store *store;
    uint8_t *data;
    struct packetfs_id *ids;
    size_t bytes, chunks;
};

static void put_all(struct bench *bench, const char *what, bool stages)
{
    struct packetfs_writer *writer = NULL;
    struct packetfs_writer_counts counts;
    struct hm_error error;
    uint64_t wall, cpu;

    must(packetfs_writer_open(bench->store, &writer, &error), &error);
    wall = packetfs_mono_ns();
    cpu = process_ns();
    for (size_t i = 0; i < bench->chunks; i++)
        must(packetfs_writer_put(writer, PACKETFS_PATTERN,
                                 hm_slice_of(bench->data + i * CHUNK_BYTES, CHUNK_BYTES),
                                 &bench->ids[i], &error),
             &error);
    must(packetfs_writer_flush(writer, &error), &error);
    report(what, bench->bytes, packetfs_mono_ns() - wall, process_ns() - cpu);
    packetfs_writer_counts(writer, &counts);
    if (stages)
        (void)printf("    ns a byte: hash %.3f, look up %.3f, compress %.3f, seal %.3f, write "
                     "%.3f; stored %.3f\n",
                     (double)counts.ns_hash / (double)bench->bytes,
                     (double)counts.ns_index / (double)bench->bytes,
                     (double)counts.ns_compress / (double)bench->bytes,
                     (double)counts.ns_seal / (double)bench->bytes,
                     (double)counts.ns_write / (double)bench->bytes,
                     (double)counts.bytes_packs / (double)bench->bytes);
    packetfs_writer_close(writer);
}

static void get_all(struct bench *bench, const char *what)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct hm_error error;
    uint64_t wall = packetfs_mono_ns();
    uint64_t cpu = process_ns();

    for (size_t i = 0; i < bench->chunks; i++) {
        hm_buf_clear(&out);
        must(packetfs_store_get(bench->store, PACKETFS_PATTERN, &bench->ids[i], &out, &error),
             &error);
    }
    report(what, bench->bytes, packetfs_mono_ns() - wall, process_ns() - cpu);
}

static void throughput(struct bench *bench)
{
    for (int i = 0; i < ROUNDS; i++) {
        make_random(bench->data, bench->bytes, 100 + (uint64_t)i);
        put_all(bench, "put, new, random", true);
    }
    for (int i = 0; i < ROUNDS; i++)
        put_all(bench, "put, known", i == 0);
    for (int i = 0; i < ROUNDS; i++)
        get_all(bench, "get, random");
    for (int i = 0; i < ROUNDS; i++) {
        make_text(bench->data, bench->bytes, 200 + (uint64_t)i);
        put_all(bench, "put, new, text", true);
    }
    for (int i = 0; i < ROUNDS; i++)
        get_all(bench, "get, text");
}

/* --- a large index --- */

#define PACK_OBJECTS   1000u
#define PACKS_TOGETHER 2u

static void synthetic_id(uint64_t n, struct packetfs_id *id)
{
    crypto_hash(&n, sizeof(n), id->bytes);
}

/* As a writer does: some packs a transaction. */
static void add_packs(struct packetfs_index *index, uint64_t from, uint64_t packs)
{
    struct packetfs_index_txn *txn = NULL;
    struct packetfs_pack_row *rows = hm_malloc(PACK_OBJECTS * sizeof(*rows));
    struct hm_error error;

    must(packetfs_index_begin(index, &txn, &error), &error);
    for (uint64_t p = 0; p < packs && rows; p++) {
        struct packetfs_pack_info info = {
            .kind = PACKETFS_PATTERN, .objects = PACK_OBJECTS, .bytes = PACKETFS_PACK_BYTES};
        struct packetfs_id name;
        bool added;

        synthetic_id(~(from + p), &name);
        memcpy(info.name, name.bytes, sizeof(info.name));
        for (uint32_t i = 0; i < PACK_OBJECTS; i++) {
            synthetic_id((from + p) * PACK_OBJECTS + i, &rows[i].id);
            rows[i].position = 4 + i * 1000;
            rows[i].length = 1000;
        }
        must(packetfs_index_add(txn, &info, rows, &added, &error), &error);
    }
    must(packetfs_index_commit(txn, &error), &error);
    hm_free(rows);
}

static void look_up(struct packetfs_index *index, uint64_t objects, const char *what, bool there)
{
    const uint64_t count = 1000000;
    uint64_t before = process_ns();
    uint64_t found = 0;

    for (uint64_t i = 0; i < count; i++) {
        struct packetfs_id id;

        synthetic_id(there ? i * 7919 % objects : objects + i, &id);
        found += packetfs_index_has_live(index, PACKETFS_PATTERN, &id) == 0;
    }
    (void)printf("    look-up, %s: %.0f ns (with the hash that makes the id)\n", what,
                 (double)(process_ns() - before) / (double)count);
    if (found != (there ? count : 0))
        (void)printf("    !!! found %llu of %llu\n", (unsigned long long)found,
                     (unsigned long long)count);
}

static void large_index(struct bench *bench, uint64_t objects)
{
    struct packetfs_index *index = bench->store->index;
    struct packetfs_mark *mark = NULL;
    struct rusage usage;
    uint64_t packs = objects / PACK_OBJECTS;
    uint64_t step = packs / 10 ? packs / 10 : 1;

    for (uint64_t at = 0; at < packs; at += step) {
        uint64_t before = process_ns();

        for (uint64_t n = 0; n < step; n += PACKS_TOGETHER)
            add_packs(index, at + n, step - n < PACKS_TOGETHER ? step - n : PACKS_TOGETHER);
        (void)printf(
            "%10llu objects: index %6.1f MiB, %5.1f B each; enter %.2f us of processor each\n",
            (unsigned long long)((at + step) * PACK_OBJECTS),
            (double)packetfs_index_bytes(index) / 1048576,
            (double)packetfs_index_bytes(index) / (double)((at + step) * PACK_OBJECTS),
            (double)(process_ns() - before) / 1e3 / (double)(step * PACK_OBJECTS));
        (void)fflush(stdout);
    }
    look_up(index, packs * PACK_OBJECTS, "there", true);
    look_up(index, packs * PACK_OBJECTS, "absent", false);
    if (packetfs_mark_new(objects, &mark) == 0)
        (void)printf("    marks: %.1f MiB\n", (double)packetfs_mark_bytes(mark) / 1048576);
    packetfs_mark_free(mark);
    (void)getrusage(RUSAGE_SELF, &usage);
    (void)printf("    resident at most: %.1f MiB (the mapped index in it)\n",
                 (double)usage.ru_maxrss / 1024);
}

int main(int argc, char **argv)
{
    const struct packetfs_store_options options = {
        .suite = PACKETFS_SUITE_AES_256_GCM, .zstd_level = 3, .pad = true};
    const char *quick = getenv("HM_BENCH_QUICK");
    const uint8_t key[PACKETFS_KEY_BYTES] = {1};
    const uint8_t volume[PACKETFS_VOLUME_ID_BYTES] = {2};
    uint64_t mib = quick && strcmp(quick, "1") == 0 ? MIB_QUICK : MIB_DEFAULT;
    uint64_t objects = 0;
    struct bench bench = {0};
    struct hm_error error;

    if (argc < 2 || argc > 4 || (argc > 2 && hm_u64_parse(argv[2], &mib, NULL)) ||
        (argc > 3 && hm_u64_parse(argv[3], &objects, NULL))) {
        (void)fprintf(stderr, "usage: bench_packetfs_store FOLDER [MIB [OBJECTS]]\n");
        return 2;
    }
    must(crypto_setup(&error), &error);
    if ((size_t)snprintf(bench.dir, sizeof(bench.dir), "%s/bench-store-XXXXXX", argv[1]) >=
            sizeof(bench.dir) ||
        !mkdtemp(bench.dir)) {
        (void)fprintf(stderr, "bench_packetfs_store: no folder can be made in %s\n", argv[1]);
        return 1;
    }
    packetfs_keys_derive(key, volume, &bench.keys);
    must(packetfs_store_open(bench.dir, &bench.keys, &options, &bench.store, &error), &error);
    bench.bytes = (size_t)mib << 20;
    bench.chunks = bench.bytes / CHUNK_BYTES;
    bench.data = hm_malloc(bench.bytes + 1);
    bench.ids = hm_malloc((bench.chunks + 1) * sizeof(*bench.ids));
    if (bench.data && bench.ids && mib > 0)
        throughput(&bench);
    if (objects > 0)
        large_index(&bench, objects);
    packetfs_store_close(bench.store);
    hm_free(bench.data);
    hm_free(bench.ids);
    must(hm_remove_tree(bench.dir, &error), &error);
    return 0;
}
