/* packetfs-scale DIR OBJECTS: a volume of so many small objects, for bench_packetfs.py to measure prune, check and repair on.
 *
 * Random bytes in pieces of some 600, as two snapshots: "first" has the first nine tenths, "second" the last nine. Random: nothing is
 * known beforehand and nothing shrinks, so an object costs the most it can beside its bytes. Prints one JSON object for each put.
 * Makes the volume with a key file in PACKETFS_KEY_DIR. Exit status: 0, or the error's code without its sign. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "packetfs.h"

#define PIECE_LEAST_BYTES   256u
#define PIECE_AVERAGE_BYTES 512u
#define PIECE_MOST_BYTES    1024u
#define PIECE_MEAN_BYTES    510u /* as measured */
#define TENTHS              10u
#define BLOCK_WORDS         8192u
#define OBJECTS_MAX         100000000u

struct source {
    int fd;
    unsigned from, to; /* tenths */
    uint64_t tenth_bytes;
    int failed;
};

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016. */
static uint64_t next_word(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static int write_all(int fd, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    while (len > 0) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno != EINTR)
            return errno;
        bytes += n < 0 ? 0 : n;
        len -= n < 0 ? 0 : (size_t)n;
    }
    return 0;
}

/* A tenth has the same bytes whoever asks for it. */
static void *feed(void *arg)
{
    static uint64_t block[BLOCK_WORDS];
    struct source *source = arg;

    for (unsigned tenth = source->from; tenth < source->to && !source->failed; tenth++) {
        uint64_t state = UINT64_C(0x9e3779b97f4a7c15) * (tenth + 1);

        for (uint64_t at = 0; at < source->tenth_bytes && !source->failed; at += sizeof(block)) {
            for (size_t i = 0; i < BLOCK_WORDS; i++)
                block[i] = next_word(&state);
            source->failed = write_all(source->fd, block, sizeof(block));
        }
    }
    (void)close(source->fd);
    return NULL;
}

static double seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int put(struct packetfs_volume *volume, const char *label, struct source source,
               struct packetfs_error *error)
{
    struct packetfs_put_result result = {.files_failed = 0};
    struct packetfs_stats stats = {.packs = 0};
    double before = seconds();
    pthread_t thread;
    int ends[2];
    int code;

    if (pipe(ends))
        return PACKETFS_EIO;
    source.fd = ends[1];
    if (pthread_create(&thread, NULL, feed, &source)) {
        (void)close(ends[0]);
        (void)close(ends[1]);
        return PACKETFS_ENOMEM;
    }
    code = packetfs_put_stream(volume, ends[0], "random", label, NULL, &result, error);
    (void)close(ends[0]);
    (void)pthread_join(thread, NULL);
    if (code == 0)
        code = packetfs_count(volume, &stats, error);
    if (code == 0)
        (void)printf("{\"label\": \"%s\", \"seconds\": %.2f, \"bytes\": %" PRIu64
                     ", \"patterns\": %" PRIu64 ", \"references\": %" PRIu64 ", \"packs\": %" PRIu64
                     ", \"bytes_packs\": %" PRIu64 ", \"bytes_index\": %" PRIu64 "}\n",
                     label, seconds() - before, result.bytes_read, stats.patterns, stats.references,
                     stats.packs, stats.bytes_packs, stats.bytes_index);
    (void)fflush(stdout);
    return code;
}

int main(int argc, char **argv)
{
    const struct packetfs_parameters parameters = {.chunker = PACKETFS_CHUNKER_FAST,
                                                   .chunk_min_bytes = PIECE_LEAST_BYTES,
                                                   .chunk_average_bytes = PIECE_AVERAGE_BYTES,
                                                   .chunk_max_bytes = PIECE_MOST_BYTES};
    struct source source = {.fd = -1};
    struct packetfs_volume *volume = NULL;
    struct packetfs_error error = {.code = 0};
    char *end = NULL;
    uint64_t objects = argc == 3 ? strtoull(argv[2], &end, 10) : 0;
    int code;

    if (objects == 0 || objects > OBJECTS_MAX || *end != '\0') {
        (void)fprintf(stderr, "usage: packetfs-scale DIR OBJECTS, at most %u\n", OBJECTS_MAX);
        return 2;
    }
    source.tenth_bytes = objects * PIECE_MEAN_BYTES / TENTHS;
    code = packetfs_volume_create(argv[1], &parameters, NULL, &error);
    if (code == 0)
        code = packetfs_volume_open(argv[1], NULL, false, &volume, &error);
    source.to = TENTHS - 1;
    if (code == 0)
        code = put(volume, "first", source, &error);
    source.from = 1;
    source.to = TENTHS;
    if (code == 0)
        code = put(volume, "second", source, &error);
    packetfs_volume_close(volume);
    if (code != 0)
        (void)fprintf(stderr, "packetfs-scale: error %d: %s\n", code, error.text);
    return code < 0 ? -code : code;
}
