/* The written policy of docs/packetfs.md, row by row; tests/unit/packetfs/test_policy.c holds the two together. */
#include "chunk/packetfs_chunk.h"

#include "crypto.h"

#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

#define FINE_BYTES_MAX (256 * GIB) /* of repetitive data: twice the patterns are cheap up to here */
#define LARGE_BYTES    TIB
#define HUGE_BYTES     (4 * TIB)
#define LINK_SLOW_MBIT 100 /* zstd at level 9 fills it with one core */
#define LINK_FAST_MBIT 5000 /* level 3 would be slower than the link */
#define LEVEL_NONE     100

static struct packetfs_reason choose_chunker(const struct packetfs_circumstances *c,
                                             struct packetfs_parameters *out)
{
    out->chunker = c->trusted ? PACKETFS_CHUNKER_FAST : PACKETFS_CHUNKER_KEYED;
    if (c->trusted)
        return (struct packetfs_reason){
            "chunker", "fast", "who stores it may know where pieces begin: twice as quick"};
    return (struct packetfs_reason){
        "chunker", "keyed",
        "others see the lengths of pieces: with the fast one they could test for files they know"};
}

static struct packetfs_reason sizes(struct packetfs_parameters *out, uint32_t average,
                                    const char *value, const char *why)
{
    out->chunk_min_bytes = average / 2;
    out->chunk_average_bytes = average;
    out->chunk_max_bytes = 4 * average;
    return (struct packetfs_reason){"sizes", value, why};
}

static struct packetfs_reason choose_sizes(const struct packetfs_circumstances *c,
                                           struct packetfs_parameters *out)
{
    if (c->bytes >= HUGE_BYTES)
        return sizes(out, 256 << 10, "128 KiB, 256 KiB, 1 MiB",
                     "so much data in small pieces would make a large index");
    if (c->bytes >= LARGE_BYTES)
        return sizes(out, 128 << 10, "64 KiB, 128 KiB, 512 KiB",
                     "so much data in small pieces would make a large index");
    if (c->redundancy == PACKETFS_DATA_REPETITIVE && c->bytes != 0 && c->bytes <= FINE_BYTES_MAX)
        return sizes(out, 32 << 10, "16 KiB, 32 KiB, 128 KiB",
                     "small pieces find more of what repeats, and the index stays small");
    return sizes(out, packetfs_chunk_limits_default.average_bytes, "32 KiB, 64 KiB, 256 KiB",
                 "what measurement found best for mixed data");
}

static struct packetfs_reason choose_suite(struct packetfs_parameters *out)
{
    bool aes = crypto_aead_has_aes_hardware();

    out->suite = aes ? PACKETFS_SUITE_AES_256_GCM : PACKETFS_SUITE_CHACHA20_POLY1305;
    if (aes)
        return (struct packetfs_reason){"cipher", "aes-256-gcm", "this processor has AES"};
    return (struct packetfs_reason){
        "cipher", "chacha20-poly1305",
        "this processor lacks AES: in software it is slow and tells its key by its time"};
}

static struct packetfs_reason choose_level(const struct packetfs_circumstances *c,
                                           struct packetfs_parameters *out)
{
    if (c->redundancy == PACKETFS_DATA_PACKED) {
        out->zstd_level = LEVEL_NONE;
        return (struct packetfs_reason){"compression", "none", "it is compressed already"};
    }
    if (c->link_mbit != 0 && c->link_mbit <= LINK_SLOW_MBIT) {
        out->zstd_level = 9;
        return (struct packetfs_reason){"compression", "level 9",
                                        "the link is slower than the processor: fewer bytes win"};
    }
    if (c->redundancy == PACKETFS_DATA_REPETITIVE && c->link_mbit < LINK_FAST_MBIT) {
        out->zstd_level = 3;
        return (struct packetfs_reason){
            "compression", "level 3", "what repeats is compressed only once: a little more for it"};
    }
    out->zstd_level = 1;
    return (struct packetfs_reason){
        "compression", "level 1", "nearly what level 3 gains, for half to four fifths of the time"};
}

static struct packetfs_reason choose_padding(const struct packetfs_circumstances *c,
                                             struct packetfs_parameters *out)
{
    out->no_padding = c->trusted;
    if (c->trusted)
        return (struct packetfs_reason){"padding", "none",
                                        "nobody who sees sizes learns from them"};
    return (struct packetfs_reason){
        "padding", "sizes of packs, order shuffled",
        "others see packs: up to 12 % more bytes hide how long the data is"};
}

static struct packetfs_reason choose_dictionaries(const struct packetfs_circumstances *c,
                                                  struct packetfs_parameters *out)
{
    out->no_dictionaries = c->redundancy == PACKETFS_DATA_PACKED;
    if (out->no_dictionaries)
        return (struct packetfs_reason){"dictionaries", "none", "it is compressed already"};
    return (struct packetfs_reason){
        "dictionaries", "trained, for pieces below 16 KiB",
        "small files repeat each other: a tenth to a third less is stored of them"};
}

void packetfs_policy(const struct packetfs_circumstances *circumstances,
                     struct packetfs_parameters *out,
                     struct packetfs_reason reasons[PACKETFS_REASONS])
{
    struct packetfs_parameters p = {0};

    reasons[0] = choose_chunker(circumstances, &p);
    reasons[1] = choose_sizes(circumstances, &p);
    reasons[2] = choose_suite(&p);
    reasons[3] = choose_level(circumstances, &p);
    reasons[4] = choose_padding(circumstances, &p);
    reasons[5] = choose_dictionaries(circumstances, &p);
    *out = p;
}
