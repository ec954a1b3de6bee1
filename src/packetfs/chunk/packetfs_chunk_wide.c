/* The keyed chunker with AVX-512, VAES and VPCLMULQDQ: 64 positions a turn.
 *
 * Lane l of 128 bits of a register always belongs to position e + 16 l + f of a turn that begins at e, for f = 0..15. So the
 * bytes (or the convolution) that 4 positions need are one unaligned load, and nothing has to be moved.
 *
 * Hash: the convolution c of the stream with t, 64 bytes at a time: ten 64-bit limbs of t with each of 8 words of the
 * stream, 20 carry-less products of 4 lanes. From c at e is taken what the bits from e on put in: the low half of
 * A * t, A the 16 bytes from e on; 3 products of 4 lanes for 4 positions.
 * AES: eight whole rounds. Of round 9 only column 0 is needed, which the bytes 0, 5, 10 and 15 make: those of four registers are
 * packed into one as columns 0 to 3, so rounds 9 and 10 are done once for 16 positions.
 * The limit is the unit that does AES rounds: 8.5 for 4 positions, one a cycle: 2.1 cycles a byte looked at. The products, all on the
 * other unit, and the exclusive-ors, on either, take 2.2 beside it; loads across cache lines cost the rest (2.7 measured).
 * Keys lie in no table that is indexed by data. */
#include "chunk/packetfs_chunk_inner.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define TARGET      \
    __attribute__(( \
        target("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,vaes,vpclmulqdq,aes,pclmul")))

#define TURN  64 /* positions */
#define LIMBS 10
#define XOR3  0x96

struct wide_keys {
    __m512i limb[LIMBS]; /* of t, in the low word of each lane, the next in the high one */
    __m512i round[9]; /* 0: spread over low_key and high_key */
    __m512i packed9, packed10;
    __m512i low_key, high_key; /* whitening: low half, and high half in the low word */
    __m512i rotate[3], order, threshold;
    __mmask64 column[3];
};

TARGET static inline __m512i spread(const uint8_t bytes[16])
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)bytes));
}

TARGET static void wide_keys_init(struct wide_keys *keys, const struct packetfs_chunk_keyed *keyed,
                                  uint64_t threshold)
{
    const uint8_t(*round)[16] = keyed->aes.round_key;
    uint8_t bytes[16];

    for (size_t i = 0; i < LIMBS; i++)
        keys->limb[i] = spread(keyed->taps + 8 * i);
    for (size_t i = 0; i < 9; i++)
        keys->round[i] = spread(round[i]);
    for (size_t i = 0; i < 16; i++)
        bytes[i] = round[9][i % 4];
    keys->packed9 = spread(bytes);
    for (size_t i = 0; i < 16; i++)
        bytes[i] = round[10][i % 4 + 4 * ((4 - i % 4) % 4)];
    keys->packed10 = spread(bytes);
    memcpy(bytes, round[0], 8);
    memset(bytes + 8, 0, 8);
    keys->low_key = spread(bytes);
    memcpy(bytes, round[0] + 8, 8);
    keys->high_key = spread(bytes);
    for (size_t j = 1; j < 4; j++) {
        for (size_t i = 0; i < 16; i++)
            bytes[i] = (uint8_t)((i + 16 - 4 * j) % 16);
        keys->rotate[j - 1] = spread(bytes);
    }
    keys->column[0] = UINT64_C(0x4218421842184218);
    keys->column[1] = UINT64_C(0x2184218421842184);
    keys->column[2] = UINT64_C(0x1842184218421842);
    /* Of a shuffle under a mask known to it a compiler makes two. */
    for (size_t j = 0; j < 3; j++)
        __asm__ volatile("" : "+k"(keys->column[j]));
    /* After round 10 row r of packed column j stands in column j - r; the first row counts most. */
    for (size_t j = 0; j < 4; j++)
        for (size_t r = 0; r < 4; r++)
            bytes[4 * j + 3 - r] = (uint8_t)(r + 4 * ((j + 4 - r) % 4));
    keys->order = spread(bytes);
    keys->threshold = _mm512_set1_epi32((int)(uint32_t)(threshold - 1));
    hm_wipe(bytes, sizeof(bytes));
}

/* The convolution of the 64 bytes at x, two limbs a step: at word offsets even, and one word higher odd. */
struct wide_sum {
    const uint8_t *x;
    __m512i even, odd;
};

TARGET static inline __attribute__((always_inline)) void sum_step(const struct wide_keys *keys,
                                                                  struct wide_sum *sum, size_t k)
{
    __m512i one = _mm512_loadu_si512(sum->x - 8 * k), two = _mm512_loadu_si512(sum->x - 8 * k - 8);
    __m512i even_one = _mm512_clmulepi64_epi128(one, keys->limb[k], 0x00);
    __m512i odd_one = _mm512_clmulepi64_epi128(one, keys->limb[k], 0x01);
    __m512i even_two = _mm512_clmulepi64_epi128(two, keys->limb[k], 0x10);
    __m512i odd_two = _mm512_clmulepi64_epi128(two, keys->limb[k], 0x11);

    sum->even = k == 0 ? _mm512_xor_si512(even_one, even_two)
                       : _mm512_ternarylogic_epi64(sum->even, even_one, even_two, XOR3);
    sum->odd = k == 0 ? _mm512_xor_si512(odd_one, odd_two)
                      : _mm512_ternarylogic_epi64(sum->odd, odd_one, odd_two, XOR3);
}

/* The hashes at e + f + 16 l, whitened. c and x stand at e. */
struct wide_hash {
    __m512i sum, cross;
};

TARGET static inline __attribute__((always_inline)) void hash_begin(const struct wide_keys *keys,
                                                                    struct wide_hash *hash,
                                                                    const uint8_t *x, size_t f)
{
    __m512i bytes = _mm512_loadu_si512(x + f), t = keys->limb[0];

    hash->sum = _mm512_clmulepi64_epi128(bytes, t, 0x00);
    hash->cross = _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(bytes, t, 0x10),
                                            _mm512_clmulepi64_epi128(bytes, t, 0x01),
                                            keys->high_key, XOR3);
}

TARGET static inline __attribute__((always_inline)) __m512i hash_end(const struct wide_keys *keys,
                                                                     const struct wide_hash *hash,
                                                                     const uint8_t *c, size_t f)
{
    return _mm512_ternarylogic_epi64(hash->sum, _mm512_loadu_si512(c + f),
                                     _mm512_unpacklo_epi64(keys->low_key, hash->cross), XOR3);
}

/* The eight rounds of one group of 16 positions, and between them what the next group and a later turn need, so that
 * both units have work at any time: h becomes the hashes at f.., sum gets on by two limbs k. The answer: the value of
 * e + f + j + 16 l in word 4 l + j. */
TARGET static inline __attribute__((always_inline)) __m512i group(const struct wide_keys *keys,
                                                                  __m512i h[4], const uint8_t *c,
                                                                  const uint8_t *x, size_t f,
                                                                  struct wide_sum *sum, size_t k)
{
    __m512i s[4] = {h[0], h[1], h[2], h[3]}, packed;
    struct wide_hash hash;

#pragma GCC unroll 8
    for (size_t r = 0; r < 8; r++) {
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++)
            s[j] = _mm512_aesenc_epi128(s[j], keys->round[r + 1]);
        if (r % 2 == 0)
            hash_begin(keys, &hash, x, f + r / 2);
        else
            h[r / 2] = hash_end(keys, &hash, c, f + r / 2);
        if (r == 3 && k < LIMBS)
            sum_step(keys, sum, k);
        if (r == 7 && k == 0)
            sum_step(keys, sum, LIMBS - 2);
    }
    /* The bytes 0, 5, 10, 15 moved up by j columns: where ShiftRows takes column j from. */
    packed = _mm512_mask_shuffle_epi8(s[0], keys->column[0], s[1], keys->rotate[0]);
    packed = _mm512_mask_shuffle_epi8(packed, keys->column[1], s[2], keys->rotate[1]);
    packed = _mm512_mask_shuffle_epi8(packed, keys->column[2], s[3], keys->rotate[2]);
    packed = _mm512_aesenc_epi128(packed, keys->packed9);
    packed = _mm512_aesenclast_epi128(packed, keys->packed10);
    return _mm512_shuffle_epi8(packed, keys->order);
}

/* The lowest position of a turn with a value of at most this; value[q] are those of group 4 q... */
static size_t first_of(const uint32_t value[4][16], uint32_t most)
{
    size_t first = TURN;

    for (size_t q = 0; q < 4; q++)
        for (size_t i = 0; i < 16; i++) {
            size_t at = 16 * (i / 4) + 4 * q + i % 4;

            if (value[q][i] <= most && at < first)
                first = at;
        }
    return first;
}

/* 64 bytes of the convolution at x; before: the odd part of those in front, then that of these. */
TARGET static inline __attribute__((always_inline)) void convolve(const struct wide_keys *keys,
                                                                  const uint8_t *x, __m512i *before,
                                                                  uint8_t *c)
{
    struct wide_sum sum = {.x = x};

    for (size_t k = 0; k < LIMBS; k += 2)
        sum_step(keys, &sum, k);
    _mm512_storeu_si512(c, _mm512_xor_si512(sum.even, _mm512_alignr_epi64(sum.odd, *before, 7)));
    *before = sum.odd;
}

/* Turns from position e on, x at e; bytes are read from e - 136 up to e + 64 * (turns + 3). The first position found,
 * or turns * 64. The convolution is ahead: the next turn's first hashes need it, and what
 * was stored just now could not be loaded across its parts without a wait. */
#define AHEAD 3
#define RING  16
TARGET static size_t wide_turns(const struct wide_keys *keys, const uint8_t *x, size_t turns,
                                uint32_t most)
{
    _Alignas(64) uint8_t c[(RING + AHEAD + 1) * TURN];
    _Alignas(64) uint32_t value[4][16];
    __m512i before = _mm512_setzero_si512(), h[4], v[4];
    struct wide_hash hash;
    size_t found = 0, at = 0;

    convolve(keys, x - TURN, &before, c);
    for (size_t i = 0; i < AHEAD; i++)
        convolve(keys, x + i * TURN, &before, c + i * TURN);
    for (size_t j = 0; j < 4; j++) {
        hash_begin(keys, &hash, x, j);
        h[j] = hash_end(keys, &hash, c, j);
    }
    for (; found < turns * TURN; found += TURN, x += TURN) {
        struct wide_sum sum = {.x = x + AHEAD * TURN};

        v[0] = group(keys, h, c + at, x, 4, &sum, 0);
        v[1] = group(keys, h, c + at, x, 8, &sum, 2);
        v[2] = group(keys, h, c + at, x, 12, &sum, 4);
        v[3] = group(keys, h, c + at + TURN, x + TURN, 0, &sum, 6);
        _mm512_store_si512(c + at + AHEAD * TURN,
                           _mm512_xor_si512(sum.even, _mm512_alignr_epi64(sum.odd, before, 7)));
        before = sum.odd;
        if (_mm512_cmple_epu32_mask(
                _mm512_min_epu32(_mm512_min_epu32(v[0], v[1]), _mm512_min_epu32(v[2], v[3])),
                keys->threshold) != 0) {
            for (size_t q = 0; q < 4; q++)
                _mm512_store_si512(value[q], v[q]);
            found += first_of(value, most);
            break;
        }
        at += TURN;
        if (at == RING * TURN) {
            memcpy(c, c + at, AHEAD * TURN);
            at = 0;
        }
    }
    hm_wipe(c, sizeof(c));
    return found;
}

/* The end is looked at in a copy with room behind it. */
#define BEFORE (2 * TURN + 8)
#define BEHIND (AHEAD * TURN)

size_t packetfs_chunk_keyed_wide(const struct packetfs_cutter *cutter, const uint8_t *data,
                                 size_t from, size_t to, uint64_t threshold)
{
    struct wide_keys keys;
    size_t count = to - from + 1, turns, found;
    uint8_t end[BEFORE + (AHEAD + 2) * TURN + BEHIND];

    wide_keys_init(&keys, &cutter->keyed, threshold);
    turns = to - from > BEHIND ? (to - from - BEHIND) / TURN : 0;
    if (turns > 0) {
        found = wide_turns(&keys, data + from, turns, (uint32_t)(threshold - 1));
        if (found < turns * TURN)
            return from + found;
        from += found;
        count -= found;
    }
    memset(end, 0, sizeof(end));
    memcpy(end, data + from - BEFORE, BEFORE + to - from);
    found = wide_turns(&keys, end + BEFORE, (count + TURN - 1) / TURN, (uint32_t)(threshold - 1));
    hm_wipe(end, sizeof(end));
    return found < count ? from + found : 0;
}

/* clang 14 has no names for the last two (CPUID leaf 7, ECX); that the system keeps the registers avx512f says. */
bool packetfs_chunk_wide_runs(void)
{
    unsigned a, b, c, d;

    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("aes") &&
           __builtin_cpu_supports("pclmul") && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 &&
           (c & (1U << 9)) != 0 && (c & (1U << 10)) != 0;
}
#else
size_t packetfs_chunk_keyed_wide(const struct packetfs_cutter *cutter, const uint8_t *data,
                                 size_t from, size_t to, uint64_t threshold)
{
    return packetfs_chunk_keyed_plain(cutter, data, from, to, threshold);
}

bool packetfs_chunk_wide_runs(void)
{
    return false;
}
#endif
