/* packetfs-limits FILE [ZSTD-LEVEL...]: what one core of this machine can do at most with the bytes of FILE, a stage of PacketFS at a
 * time: the bare function on pieces of 64 KiB, with nothing around it. One JSON object, GB/s of plain bytes by the thread's processor time, the
 * best of three; zstd besides with how small its pieces become together. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "chunk/packetfs_chunk.h"
#include "crypto.h"
#include "packetfs_time.h"

#define PIECE_BYTES   65536u
#define ROUNDS        3
#define SAMPLE_MAX    ((size_t)1 << 28)
#define FIRST_OF_ARGS 2
#define LEVEL_DEFAULT 3

struct limits {
    const char *path;
    uint8_t *data, *room;
    size_t len, room_bytes;
    struct crypto_aead *aead;
    struct packetfs_cutter *cutter;
    ZSTD_CCtx *pack;
    ZSTD_DCtx *unpack;
    int level;
    size_t *packed; /* lengths of the pieces that zstd made, one behind the other in room */
    uint64_t packed_bytes;
};

static void must(bool fine, const char *what)
{
    if (fine)
        return;
    (void)fprintf(stderr, "packetfs-limits: %s does not work\n", what);
    exit(1);
}

static size_t piece_at(const struct limits *limits, size_t at)
{
    return limits->len - at < PIECE_BYTES ? limits->len - at : PIECE_BYTES;
}

/* --- the stages ---------------------------------------------------------------------------------------------------------- */
static void read_cached(struct limits *limits)
{
    int fd = open(limits->path, O_RDONLY | O_CLOEXEC);

    must(fd >= 0, "open");
    for (size_t at = 0; at < limits->len; at += PIECE_BYTES)
        must(pread(fd, limits->room, piece_at(limits, at), (off_t)at) >= 0, "read");
    (void)close(fd);
}

/* Pages that are new to the page cache: what storing costs before the disk is asked. */
static void write_new(struct limits *limits)
{
    char path[4096];
    int fd;

    must((size_t)snprintf(path, sizeof(path), "%s.written", limits->path) < sizeof(path), "a path");
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
    must(fd >= 0, "open");
    for (size_t at = 0; at < limits->len; at += PIECE_BYTES)
        must(pwrite(fd, limits->data + at, piece_at(limits, at), (off_t)at) >= 0, "write");
    (void)close(fd);
    (void)unlink(path);
}

static void copy(struct limits *limits)
{
    for (size_t at = 0; at < limits->len; at += PIECE_BYTES)
        memcpy(limits->room + at, limits->data + at, piece_at(limits, at));
}

static void hash(struct limits *limits)
{
    static const uint8_t key[CRYPTO_KEY_BYTES] = "bench";
    uint8_t out[CRYPTO_HASH_BYTES];

    for (size_t at = 0; at < limits->len; at += PIECE_BYTES)
        crypto_hash_keyed(key, limits->data + at, piece_at(limits, at), out);
}

static void seal(struct limits *limits)
{
    static const uint8_t nonce[CRYPTO_AEAD_NONCE_BYTES]; /* what comes out is thrown away */

    for (size_t at = 0; at < limits->len; at += PIECE_BYTES)
        must(crypto_aead_seal(limits->aead, nonce, hm_slice_of(NULL, 0),
                              hm_slice_of(limits->data + at, piece_at(limits, at)), limits->room,
                              NULL) == 0,
             "AES-GCM");
}

static void cut(struct limits *limits)
{
    for (size_t at = 0; at < limits->len;)
        at += packetfs_cutter_next(limits->cutter, limits->data + at, limits->len - at, true);
}

static void compress(struct limits *limits)
{
    size_t n = 0;

    limits->packed_bytes = 0;
    for (size_t at = 0; at < limits->len; at += PIECE_BYTES) {
        size_t len = ZSTD_compressCCtx(limits->pack, limits->room + limits->packed_bytes,
                                       limits->room_bytes - limits->packed_bytes, limits->data + at,
                                       piece_at(limits, at), limits->level);

        must(!ZSTD_isError(len), "zstd");
        limits->packed[n++] = len;
        limits->packed_bytes += len;
    }
}

static void expand(struct limits *limits)
{
    static uint8_t out[PIECE_BYTES];
    const uint8_t *from = limits->room;
    size_t n = 0;

    for (size_t at = 0; at < limits->len; at += PIECE_BYTES) {
        must(ZSTD_decompressDCtx(limits->unpack, out, sizeof(out), from, limits->packed[n]) ==
                 piece_at(limits, at),
             "unpacking");
        from += limits->packed[n++];
    }
}

/* --- measured ------------------------------------------------------------------------------------------------------------ */
static double rate(struct limits *limits, void (*stage)(struct limits *limits))
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < ROUNDS; i++) {
        uint64_t before = packetfs_thread_ns(), took;

        stage(limits);
        took = packetfs_thread_ns() - before;
        best = took < best ? took : best;
    }
    return best > 0 ? (double)limits->len / (double)best : 0;
}

static void measure_cutter(struct limits *limits, enum packetfs_chunker kind, const char *name)
{
    static const uint8_t key[PACKETFS_CHUNK_KEY_BYTES] = "bench";

    must(packetfs_cutter_new(kind, key, &packetfs_chunk_limits_default, &limits->cutter, NULL) == 0,
         "the cutter");
    (void)printf(", \"%s\": %.3f", name, rate(limits, cut));
    packetfs_cutter_free(HM_TAKE(limits->cutter));
}

static void measure_zstd(struct limits *limits, int level, const char *comma)
{
    double pack;

    limits->level = level;
    pack = rate(limits, compress);
    (void)printf("%s\"%d\": {\"compress\": %.3f, \"expand\": %.3f, \"part\": %.4f}", comma, level,
                 pack, rate(limits, expand), (double)limits->packed_bytes / (double)limits->len);
}

static void load(struct limits *limits)
{
    struct stat st;
    int fd = open(limits->path, O_RDONLY | O_CLOEXEC);
    size_t got = 0;

    must(fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0, limits->path);
    limits->len = (size_t)st.st_size < SAMPLE_MAX ? (size_t)st.st_size : SAMPLE_MAX;
    limits->room_bytes = limits->len + limits->len / 64 + ZSTD_compressBound(PIECE_BYTES);
    limits->data = hm_malloc(limits->len);
    limits->room = hm_malloc(limits->room_bytes);
    limits->packed = hm_calloc(limits->len / PIECE_BYTES + 1, sizeof(*limits->packed));
    must(limits->data && limits->room && limits->packed, "memory");
    while (got < limits->len) {
        ssize_t n = read(fd, limits->data + got, limits->len - got);

        must(n > 0, "read");
        got += (size_t)n;
    }
    (void)close(fd);
    memset(limits->room, 0, limits->room_bytes); /* its pages are there when time counts */
}

int main(int argc, char **argv)
{
    static const uint8_t key[CRYPTO_KEY_BYTES] = "bench";
    struct limits limits = {.path = argc > 1 ? argv[1] : ""};

    if (argc < FIRST_OF_ARGS) {
        (void)fprintf(stderr, "usage: packetfs-limits FILE [ZSTD-LEVEL...]\n");
        return 2;
    }
    must(crypto_setup(NULL) == 0, "the cryptography");
    load(&limits);
    limits.pack = ZSTD_createCCtx();
    limits.unpack = ZSTD_createDCtx();
    must(limits.pack && limits.unpack &&
             crypto_aead_new(CRYPTO_AES_256_GCM, key, &limits.aead, NULL) == 0,
         "memory");
    (void)printf("{\"bytes\": %zu, \"read\": %.3f, \"write\": %.3f, \"copy\": %.3f, \"hash\": "
                 "%.3f, \"seal\": %.3f",
                 limits.len, rate(&limits, read_cached), rate(&limits, write_new),
                 rate(&limits, copy), rate(&limits, hash), rate(&limits, seal));
    measure_cutter(&limits, PACKETFS_CHUNKER_KEYED, "chunk");
    measure_cutter(&limits, PACKETFS_CHUNKER_FAST, "chunk fast");
    (void)printf(", \"zstd\": {");
    if (argc == FIRST_OF_ARGS)
        measure_zstd(&limits, LEVEL_DEFAULT, "");
    for (int i = FIRST_OF_ARGS; i < argc; i++)
        measure_zstd(&limits, (int)strtol(argv[i], NULL, 10), i > FIRST_OF_ARGS ? ", " : "");
    (void)printf("}}\n");
    crypto_aead_free(limits.aead);
    (void)ZSTD_freeCCtx(limits.pack);
    (void)ZSTD_freeDCtx(limits.unpack);
    hm_free(limits.packed);
    hm_free(limits.data);
    hm_free(limits.room);
    return 0;
}
