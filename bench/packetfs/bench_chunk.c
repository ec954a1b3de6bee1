/* Chunkers alone: GB/s a core by kind and form, on random bytes that stay in the cache and that do not. The best of several
 * rounds; hashed: only the bytes at which a cut is looked for (behind min). */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "chunk/packetfs_chunk_inner.h"

#define ROUNDS 7

static double seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void fill(uint8_t *data, size_t len)
{
    uint64_t x = 88172645463325252u;

    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        data[i] = (uint8_t)(x >> 32);
    }
}

static void measure(enum packetfs_chunker kind, enum packetfs_chunk_form form, const uint8_t *data,
                    size_t len, const struct packetfs_chunk_limits *limits)
{
    static const char *const names[] = {"plain", "narrow", "wide"};
    static const uint8_t key[32] = "bench";
    struct packetfs_cutter *cutter = NULL;
    double best = 1e9;
    size_t count = 0;

    if (!packetfs_chunk_form_runs(kind, form) ||
        packetfs_cutter_new_form(kind, key, limits, form, &cutter, NULL) != 0)
        return;
    if (kind == PACKETFS_CHUNKER_KEYED && form == PACKETFS_CHUNK_PLAIN)
        len = len / 16;
    for (int round = 0; round < ROUNDS; round++) {
        double start = seconds(), took;

        count = 0;
        for (size_t at = 0; at < len; count++)
            at += packetfs_cutter_next(cutter, data + at, len - at, true);
        took = seconds() - start;
        best = took < best ? took : best;
    }
    (void)printf("%-6s %-7s %3u/%3u/%4u KiB  %7.3f GB/s  hashed %7.3f GB/s  mean %6.0f bytes\n",
                 kind == PACKETFS_CHUNKER_KEYED ? "keyed" : "fast", names[form],
                 limits->min_bytes >> 10, limits->average_bytes >> 10, limits->max_bytes >> 10,
                 (double)len / best * 1e-9, (double)(len - count * limits->min_bytes) / best * 1e-9,
                 (double)len / (double)count);
    packetfs_cutter_free(cutter);
}

int main(void)
{
    static const struct packetfs_chunk_limits limits[] = {{16 << 10, 64 << 10, 256 << 10},
                                                          {32 << 10, 64 << 10, 256 << 10},
                                                          {256, 1 << 20 >> 1, 1 << 20}};
    size_t len = (size_t)64 << 20;
    uint8_t *data = malloc(len);

    if (data == NULL)
        return 1;
    fill(data, len);
    for (size_t l = 0; l < HM_COUNT_OF(limits); l++)
        for (int kind = 1; kind <= 2; kind++)
            for (int form = 0; form < PACKETFS_CHUNK_FORMS; form++)
                measure((enum packetfs_chunker)kind, (enum packetfs_chunk_form)form, data, len,
                        &limits[l]);
    free(data);
    return 0;
}
