/* What the forms of the chunkers share: the state of a cutter, and one scan function a form. */
#ifndef HM_PACKETFS_CHUNK_INNER_H
#define HM_PACKETFS_CHUNK_INNER_H

#include "chunk/packetfs_chunk.h"

/* The keyed chunker. Position e (a chunk of e bytes would end there) is hashed to 128 bits
 *     H(e)[i] = sum over m in 1..639 of t[m] * x[8e + i - m], over bits x before 8e, modulo 2       (i = 0..127)
 * bits counted from the lowest of each byte, t secret. On the newest 64 bytes that is a Toeplitz matrix of 128 by 512
 * independent bits; up to 16 bytes more are seen by some rows. Two positions whose newest 64 bytes differ have equal
 * hashes with a probability of exactly 2^-128 over t: the newest bit that differs meets a t[m] of its own in every row.
 * Where the newest 64 are equal and only older bytes differ, less is promised, and nothing lost: a window of 64 bytes
 * alone would make those equal always.
 *   Without "before 8e" the sum is the convolution c of the whole stream with t, which a few carry-less products give
 * for 64 positions at once. What it has too much comes from the 16 bytes behind e: the low 128 bits of their product
 * with t (packetfs_chunk_wide.c).
 *   The value that decides is four bytes of AES-128 on H(e), those at 0, 13, 10 and 7 with the first the highest:
 * column 0 before the last round, so that faster forms need only that column of the round before. Under a threshold it is a cut. */
#define PACKETFS_CHUNK_TAPS_BYTES 80 /* t: bit 0 plays no part */
#define PACKETFS_CHUNK_REACH      80 /* bytes before e that H(e) may depend on */
#define PACKETFS_CHUNK_AES_ROUNDS 10
#define PACKETFS_CHUNK_ROW_BYTES  88 /* a byte times t, rounded up to words */

struct packetfs_chunk_aes {
    uint8_t round_key[PACKETFS_CHUNK_AES_ROUNDS + 1][16];
};

/* Tables of the plain form. */
struct packetfs_chunk_plain {
    uint64_t row[256][PACKETFS_CHUNK_ROW_BYTES / 8];
    uint32_t round[256]; /* SubBytes and MixColumns of a byte in row 0 */
    uint8_t box[256];
};

struct packetfs_chunk_keyed {
    uint8_t taps[96]; /* 80 used, zeros behind */
    struct packetfs_chunk_aes aes;
    struct packetfs_chunk_plain *plain; /* NULL where a faster form runs */
};

struct packetfs_chunk_gear {
    uint64_t table[256];
};

/* Looks at the positions from..to, both included, PACKETFS_CHUNK_LEAST_BYTES <= from, and gives the first whose value
 * is under threshold (1 or more); 0: none. data[0..to) may be read, and nothing else. */
typedef size_t packetfs_chunk_scan(const struct packetfs_cutter *cutter, const uint8_t *data,
                                   size_t from, size_t to, uint64_t threshold);
#define PACKETFS_CHUNK_LEAST_BYTES 256

struct packetfs_cutter {
    enum packetfs_chunker kind;
    struct packetfs_chunk_limits limits;
    uint32_t turn; /* up to here the first threshold holds, behind it the second */
    uint64_t threshold[2];
    packetfs_chunk_scan *scan;
    union {
        struct packetfs_chunk_keyed keyed;
        struct packetfs_chunk_gear gear;
    };
};

/* The forms, slowest first. What a processor lacks is not called. */
enum packetfs_chunk_form {
    PACKETFS_CHUNK_PLAIN = 0,
    PACKETFS_CHUNK_NARROW = 1, /* keyed: AES-NI, PCLMULQDQ, AVX2 */
    PACKETFS_CHUNK_WIDE = 2, /* keyed: AVX-512, VAES, VPCLMULQDQ */
};
#define PACKETFS_CHUNK_FORMS 3
bool packetfs_chunk_form_runs(enum packetfs_chunker kind, enum packetfs_chunk_form form);
/* packetfs_cutter_new with the fastest form up to most. */
int packetfs_cutter_new_form(enum packetfs_chunker kind,
                             const uint8_t key[PACKETFS_CHUNK_KEY_BYTES],
                             const struct packetfs_chunk_limits *limits,
                             enum packetfs_chunk_form most, struct packetfs_cutter **out,
                             struct hm_error *error);

bool packetfs_chunk_narrow_runs(void);
bool packetfs_chunk_wide_runs(void);
packetfs_chunk_scan packetfs_chunk_keyed_plain;
packetfs_chunk_scan packetfs_chunk_keyed_narrow;
packetfs_chunk_scan packetfs_chunk_keyed_wide;
packetfs_chunk_scan packetfs_chunk_gear_plain;

/* AES-128 (FIPS 197): the key schedule, and one block as the plain form computes it. */
void packetfs_chunk_plain_tables(struct packetfs_chunk_keyed *keyed,
                                 struct packetfs_chunk_plain *tables);
void packetfs_chunk_aes_expand(const uint8_t key[16], struct packetfs_chunk_aes *out);
void packetfs_chunk_aes_block(const struct packetfs_chunk_aes *aes,
                              const struct packetfs_chunk_plain *tables, const uint8_t in[16],
                              uint8_t out[16]);

#endif
