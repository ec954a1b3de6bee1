/* The keyed chunker with AES-NI and PCLMULQDQ, for processors without wide registers: as packetfs_chunk_wide.c, 16 positions a
 * turn and one position a register. */
#include "chunk/packetfs_chunk_inner.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET  __attribute__((target("aes,pclmul,avx2")))
#define TURN    16
#define LIMBS   10
#define ABREAST 8 /* blocks under way at once: a round waits four cycles for the one before */

struct narrow_keys {
    __m128i limb[LIMBS]; /* of t, the next in the high word */
    __m128i round[PACKETFS_CHUNK_AES_ROUNDS + 1];
};

TARGET static inline __m128i load(const uint8_t *bytes)
{
    return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}

/* 16 bytes of the convolution at x; before: the odd part of those in front, then that of these. Reads from x - 72 on. */
TARGET static void convolve(const struct narrow_keys *keys, const uint8_t *x, __m128i *before,
                            uint8_t *c)
{
    __m128i even = _mm_setzero_si128(), odd = even;

#pragma GCC unroll 10
    for (size_t k = 0; k < LIMBS; k++) {
        __m128i words = load(x - 8 * k);

        even = _mm_xor_si128(even, _mm_clmulepi64_si128(words, keys->limb[k], 0x00));
        odd = _mm_xor_si128(odd, _mm_clmulepi64_si128(words, keys->limb[k], 0x01));
    }
    even = _mm_xor_si128(even, _mm_or_si128(_mm_slli_si128(odd, 8), _mm_srli_si128(*before, 8)));
    _mm_storeu_si128((__m128i *)(void *)c, even);
    *before = odd;
}

TARGET static inline __m128i hash(const struct narrow_keys *keys, const uint8_t *c,
                                  const uint8_t *x)
{
    __m128i bytes = load(x), t = keys->limb[0];
    __m128i cross = _mm_xor_si128(_mm_clmulepi64_si128(bytes, t, 0x10),
                                  _mm_clmulepi64_si128(bytes, t, 0x01));

    return _mm_xor_si128(_mm_xor_si128(load(c), _mm_clmulepi64_si128(bytes, t, 0x00)),
                         _mm_slli_si128(cross, 8));
}

/* The first of ABREAST positions from c and x on with a value under the threshold, or ABREAST. */
TARGET static inline size_t test(const struct narrow_keys *keys, const uint8_t *c, const uint8_t *x,
                                 uint64_t threshold)
{
    const __m128i order = _mm_set1_epi32((int)0x000d0a07); /* bytes 7, 10, 13, 0 of a block */
    __m128i s[ABREAST];

#pragma GCC unroll 8
    for (size_t j = 0; j < ABREAST; j++)
        s[j] = _mm_xor_si128(hash(keys, c + j, x + j), keys->round[0]);
#pragma GCC unroll 10
    for (size_t r = 1; r < PACKETFS_CHUNK_AES_ROUNDS; r++)
#pragma GCC unroll 8
        for (size_t j = 0; j < ABREAST; j++)
            s[j] = _mm_aesenc_si128(s[j], keys->round[r]);
#pragma GCC unroll 8
    for (size_t j = 0; j < ABREAST; j++) {
        s[j] = _mm_aesenclast_si128(s[j], keys->round[PACKETFS_CHUNK_AES_ROUNDS]);
        s[j] = _mm_shuffle_epi8(s[j], order);
        if ((uint32_t)_mm_cvtsi128_si32(s[j]) < threshold)
            return j;
    }
    return ABREAST;
}

/* Positions from e on, x at e; bytes are read from e - 88 up to e + 16 * (turns + 1). The first found, or turns * 16.
 * The convolution comes first for many turns: what was stored just now could not be loaded across its parts without a wait. */
#define AT_ONCE 32
TARGET static size_t narrow_turns(const struct narrow_keys *keys, const uint8_t *x, size_t turns,
                                  uint64_t threshold)
{
    uint8_t c[(AT_ONCE + 1) * TURN];
    size_t count = turns * TURN;

    for (size_t at = 0; at < count;) {
        size_t stop = count - at < AT_ONCE * TURN ? count - at : AT_ONCE * TURN;
        __m128i before = _mm_setzero_si128();

        convolve(keys, x + at - TURN, &before, c);
        for (size_t i = 0; i <= stop; i += TURN)
            convolve(keys, x + at + i, &before, c + i);
        for (size_t f = 0; f < stop; f += ABREAST) {
            size_t j = test(keys, c + f, x + at + f, threshold);

            if (j < ABREAST) {
                hm_wipe(c, sizeof(c));
                return at + f + j;
            }
        }
        at += stop;
    }
    hm_wipe(c, sizeof(c));
    return count;
}

/* The end is looked at in a copy with room behind it. */
#define BEFORE (TURN + 72)

size_t packetfs_chunk_keyed_narrow(const struct packetfs_cutter *cutter, const uint8_t *data,
                                   size_t from, size_t to, uint64_t threshold)
{
    struct narrow_keys keys;
    size_t count = to - from + 1, turns = to - from > TURN ? (to - from - TURN) / TURN : 0, found;
    uint8_t end[BEFORE + 4 * TURN];

    for (size_t k = 0; k < LIMBS; k++)
        keys.limb[k] = load(cutter->keyed.taps + 8 * k);
    for (size_t r = 0; r <= PACKETFS_CHUNK_AES_ROUNDS; r++)
        keys.round[r] = load(cutter->keyed.aes.round_key[r]);
    found = narrow_turns(&keys, data + from, turns, threshold);
    if (found < turns * TURN)
        return from + found;
    from += found;
    count -= found;
    memset(end, 0, sizeof(end));
    memcpy(end, data + from - BEFORE, BEFORE + to - from);
    found = narrow_turns(&keys, end + BEFORE, (count + TURN - 1) / TURN, threshold);
    hm_wipe(end, sizeof(end));
    return found < count ? from + found : 0;
}

bool packetfs_chunk_narrow_runs(void)
{
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") &&
           __builtin_cpu_supports("avx2");
}
#else
size_t packetfs_chunk_keyed_narrow(const struct packetfs_cutter *cutter, const uint8_t *data,
                                   size_t from, size_t to, uint64_t threshold)
{
    return packetfs_chunk_keyed_plain(cutter, data, from, to, threshold);
}

bool packetfs_chunk_narrow_runs(void)
{
    return false;
}
#endif
