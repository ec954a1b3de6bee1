/* The keyed chunker in plain C: slow, and what the faster forms are held against. */
#include "chunk/packetfs_chunk_inner.h"

/* --- AES-128 ---------------------------------------------------------------------------------------------------- */
static uint8_t doubled(uint8_t v)
{
    return (uint8_t)(v << 1 ^ (v >> 7) * 0x1b);
}

static uint8_t rotated(uint8_t v, unsigned by)
{
    return (uint8_t)(v << by | v >> (8 - by));
}

/* FIPS 197, 5.1.1: the inverse in GF(2^8), then an affine map. p runs through the powers of 3, q through those of its
 * inverse. */
static void make_box(uint8_t box[256])
{
    uint8_t p = 1, q = 1;

    do {
        p = (uint8_t)(p ^ doubled(p));
        q = (uint8_t)(q ^ q << 1);
        q = (uint8_t)(q ^ q << 2);
        q = (uint8_t)(q ^ q << 4);
        if (q & 0x80)
            q ^= 0x09;
        box[p] = (uint8_t)(q ^ rotated(q, 1) ^ rotated(q, 2) ^ rotated(q, 3) ^ rotated(q, 4) ^
                           0x63);
    } while (p != 1);
    box[0] = 0x63;
}

void packetfs_chunk_aes_expand(const uint8_t key[16], struct packetfs_chunk_aes *out)
{
    uint8_t box[256], *words = out->round_key[0], round = 1;

    make_box(box);
    memcpy(words, key, 16);
    for (size_t i = 16; i < sizeof(out->round_key); i += 4) {
        uint8_t word[4];

        memcpy(word, words + i - 4, 4);
        if (i % 16 == 0) {
            uint8_t first = word[0];

            word[0] = (uint8_t)(box[word[1]] ^ round);
            word[1] = box[word[2]];
            word[2] = box[word[3]];
            word[3] = box[first];
            round = doubled(round);
        }
        for (size_t j = 0; j < 4; j++)
            words[i + j] = words[i + j - 16] ^ word[j];
    }
}

static uint32_t load32(const uint8_t in[4])
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static uint32_t turned(uint32_t v, unsigned by)
{
    return v << by | v >> (32 - by);
}

void packetfs_chunk_aes_block(const struct packetfs_chunk_aes *aes,
                              const struct packetfs_chunk_plain *tables, const uint8_t in[16],
                              uint8_t out[16])
{
    const uint32_t *round = tables->round;
    uint32_t s[4], next[4];

    for (size_t c = 0; c < 4; c++)
        s[c] = load32(in + 4 * c) ^ load32(aes->round_key[0] + 4 * c);
    for (size_t r = 1; r < PACKETFS_CHUNK_AES_ROUNDS; r++) {
        for (size_t c = 0; c < 4; c++)
            next[c] = round[s[c] & 0xff] ^ turned(round[s[(c + 1) % 4] >> 8 & 0xff], 8) ^
                      turned(round[s[(c + 2) % 4] >> 16 & 0xff], 16) ^
                      turned(round[s[(c + 3) % 4] >> 24], 24) ^ load32(aes->round_key[r] + 4 * c);
        memcpy(s, next, sizeof(s));
    }
    for (size_t i = 0; i < 16; i++)
        out[i] = tables->box[s[(i / 4 + i % 4) % 4] >> 8 * (i % 4) & 0xff] ^
                 aes->round_key[PACKETFS_CHUNK_AES_ROUNDS][i];
}

/* --- the hash ---------------------------------------------------------------------------------------------------- */
void packetfs_chunk_plain_tables(struct packetfs_chunk_keyed *keyed,
                                 struct packetfs_chunk_plain *tables)
{
    make_box(tables->box);
    for (size_t v = 0; v < 256; v++) {
        uint8_t s = tables->box[v], row[PACKETFS_CHUNK_ROW_BYTES] = {0};

        tables->round[v] = (uint32_t)doubled(s) | (uint32_t)s << 8 | (uint32_t)s << 16 |
                           (uint32_t)(doubled(s) ^ s) << 24;
        for (unsigned bit = 0; bit < 8; bit++)
            for (size_t i = 0; v >> bit & 1 && i <= PACKETFS_CHUNK_TAPS_BYTES; i++) {
                unsigned pair = (unsigned)keyed->taps[i] << 8;

                pair |= i > 0 ? keyed->taps[i - 1] : 0;
                row[i] ^= (uint8_t)(pair >> (8 - bit));
            }
        memcpy(tables->row[v], row, sizeof(row));
        hm_wipe(row, sizeof(row));
    }
    keyed->plain = tables;
}

/* What the bytes so far say about the bits to come: the 16 bytes that stand first are H. */
#define STRIDE 1024
struct future {
    uint8_t bits[STRIDE + PACKETFS_CHUNK_ROW_BYTES];
    size_t at;
};

static void future_add(struct future *future, const struct packetfs_chunk_plain *tables,
                       uint8_t byte)
{
    const uint64_t *row = tables->row[byte];

    for (size_t i = 0; i < PACKETFS_CHUNK_ROW_BYTES / 8; i++) {
        uint64_t word;

        memcpy(&word, future->bits + future->at + 8 * i, 8);
        word ^= row[i];
        memcpy(future->bits + future->at + 8 * i, &word, 8);
    }
    if (++future->at == STRIDE) {
        memcpy(future->bits, future->bits + STRIDE, PACKETFS_CHUNK_ROW_BYTES);
        memset(future->bits + PACKETFS_CHUNK_ROW_BYTES, 0, STRIDE);
        future->at = 0;
    }
}

size_t packetfs_chunk_keyed_plain(const struct packetfs_cutter *cutter, const uint8_t *data,
                                  size_t from, size_t to, uint64_t threshold)
{
    const struct packetfs_chunk_keyed *keyed = &cutter->keyed;
    struct future future = {{0}, 0};
    size_t found = 0;

    for (size_t i = from - PACKETFS_CHUNK_REACH; i < from; i++)
        future_add(&future, keyed->plain, data[i]);
    for (size_t e = from; e <= to; e++) {
        uint8_t out[16];

        packetfs_chunk_aes_block(&keyed->aes, keyed->plain, future.bits + future.at, out);
        if (((uint32_t)out[0] << 24 | (uint32_t)out[13] << 16 | (uint32_t)out[10] << 8 | out[7]) <
            threshold) {
            found = e;
            break;
        }
        if (e < to)
            future_add(&future, keyed->plain, data[e]);
    }
    hm_wipe(&future, sizeof(future));
    return found;
}
