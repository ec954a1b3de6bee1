/* Several short messages at once, one in each SIMD lane. The BLAKE3 library does this for the chunks
 * of one long message; with the flags of a message that is one single chunk (BLAKE3 paper, 2.1 and
 * 2.4: first block CHUNK_START, last block CHUNK_END and ROOT) the same kernel gives whole hashes.
 * Messages of odd lengths share lanes but for their last, incomplete block. */
#include "crypto_chunk.h"

_Static_assert(CRYPTO_BLOCK_BYTES == BLAKE3_BLOCK_LEN, "one block");

#define BATCH_MESSAGES ((size_t)64)
#define CHUNK_BLOCKS   (BLAKE3_CHUNK_LEN / BLAKE3_BLOCK_LEN)

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

void crypto_hash_blocks(const uint8_t *const *blocks, size_t count, uint8_t *outs)
{
    blake3_hash_many(blocks, count, 1, IV, 0, false, 0, CHUNK_START, CHUNK_END | ROOT, outs);
}

/* Messages that have the same number of blocks before their last one; picks: their places. */
static void hash_alike(const struct hm_slice *messages, const uint8_t *picks, size_t count,
                       size_t blocks, uint8_t *outs)
{
    const uint8_t *inputs[BATCH_MESSAGES];
    uint8_t cvs[BATCH_MESSAGES * BLAKE3_OUT_LEN];

    for (size_t i = 0; i < count; i++)
        inputs[i] = messages[picks[i]].data;
    blake3_hash_many(inputs, count, blocks, IV, 0, false, 0, CHUNK_START, 0, cvs);
    for (size_t i = 0; i < count; i++) {
        const struct hm_slice *message = &messages[picks[i]];
        size_t done = blocks * BLAKE3_BLOCK_LEN;
        uint32_t cv[8];

        load_key_words(cvs + i * BLAKE3_OUT_LEN, cv);
        crypto_chunk_end(cv, message->data + done, message->len - done, 0,
                         outs + (size_t)picks[i] * CRYPTO_HASH_BYTES);
    }
}

static void hash_each_batch(const struct hm_slice *messages, size_t count, uint8_t *outs)
{
    uint8_t picks[CHUNK_BLOCKS][BATCH_MESSAGES];
    size_t counts[CHUNK_BLOCKS] = {0};

    for (size_t i = 0; i < count; i++) {
        size_t len = messages[i].len;
        size_t before = len > 0 ? (len - 1) / BLAKE3_BLOCK_LEN : 0; /* blocks before the last one */

        if (before == 0 || before >= CHUNK_BLOCKS)
            crypto_hash(messages[i].data, len, outs + i * CRYPTO_HASH_BYTES);
        else
            picks[before][counts[before]++] = (uint8_t)i;
    }
    for (size_t before = 1; before < CHUNK_BLOCKS; before++)
        if (counts[before] > 0)
            hash_alike(messages, picks[before], counts[before], before, outs);
}

void crypto_hash_each(const struct hm_slice *messages, size_t count, uint8_t *outs)
{
    for (size_t i = 0; i < count; i += BATCH_MESSAGES) {
        size_t batch = count - i < BATCH_MESSAGES ? count - i : BATCH_MESSAGES;

        hash_each_batch(messages + i, batch, outs + i * CRYPTO_HASH_BYTES);
    }
}
