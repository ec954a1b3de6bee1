/* Several short messages at once, one in each SIMD lane. The BLAKE3 library does this for the chunks
 * of one long message; with the flags of a message that is one single chunk (BLAKE3 paper, 2.1 and
 * 2.4: first block CHUNK_START, last block CHUNK_END and ROOT) the same kernel gives whole hashes. */
#include <blake3_impl.h>

#include "crypto.h"

#define BATCH_MESSAGES ((size_t)64)

static void hash_batch(const uint8_t *messages, size_t count, size_t message_len, uint8_t *outs)
{
    const uint8_t *inputs[BATCH_MESSAGES];

    for (size_t i = 0; i < count; i++)
        inputs[i] = messages + i * message_len;
    blake3_hash_many(inputs, count, message_len / BLAKE3_BLOCK_LEN, IV, 0, false, 0, CHUNK_START,
                     CHUNK_END | ROOT, outs);
}

void crypto_hash_many(const uint8_t *messages, size_t count, size_t message_len, uint8_t *outs)
{
    if (message_len == 0 || message_len % BLAKE3_BLOCK_LEN != 0 || message_len > BLAKE3_CHUNK_LEN) {
        for (size_t i = 0; i < count; i++)
            crypto_hash(message_len != 0 ? messages + i * message_len : NULL, message_len,
                        outs + i * CRYPTO_HASH_BYTES);
        return;
    }
    for (size_t i = 0; i < count; i += BATCH_MESSAGES) {
        size_t batch = count - i < BATCH_MESSAGES ? count - i : BATCH_MESSAGES;

        hash_batch(messages + i * message_len, batch, message_len, outs + i * CRYPTO_HASH_BYTES);
    }
}
