/* Hashing what fits one BLAKE3 chunk without the library's streaming state, whose setting up takes longer than a
 * short message. Private to this room; compare BLAKE3 paper, 2.1-2.4. */
#ifndef HM_CRYPTO_CHUNK_H
#define HM_CRYPTO_CHUNK_H

#include <blake3.h>
#include <blake3_impl.h>

#include "crypto.h"

#define CRYPTO_CHUNK_MAX_BYTES ((size_t)BLAKE3_CHUNK_LEN)

/* The last block of a message, 0 to 64 bytes, after what cv stands for. flags: of the whole message, and CHUNK_START
 * when the block is the first one as well. */
static inline void crypto_chunk_end(uint32_t cv[8], const uint8_t *data, size_t len, uint8_t flags,
                                    uint8_t out[CRYPTO_HASH_BYTES])
{
    uint8_t block[BLAKE3_BLOCK_LEN] = {0};

    if (len > 0)
        memcpy(block, data, len);
    blake3_compress_in_place(cv, block, (uint8_t)len, 0, flags | CHUNK_END | ROOT);
    store_cv_words(out, cv);
}

/* len <= CRYPTO_CHUNK_MAX_BYTES; key and flags choose the mode. */
static inline void crypto_chunk_hash(const uint32_t key[8], uint8_t flags, const uint8_t *data,
                                     size_t len, uint8_t out[CRYPTO_HASH_BYTES])
{
    uint8_t start = CHUNK_START;
    uint32_t cv[8];

    memcpy(cv, key, sizeof(cv));
    for (; len > BLAKE3_BLOCK_LEN; len -= BLAKE3_BLOCK_LEN, data += BLAKE3_BLOCK_LEN) {
        blake3_compress_in_place(cv, data, BLAKE3_BLOCK_LEN, 0, flags | start);
        start = 0;
    }
    crypto_chunk_end(cv, data, len, flags | start, out);
}

#endif
