#include "crypto.h"

#define MERKLE_LEAF_PREFIX 0x00
#define MERKLE_NODE_PREFIX 0x01
#define MERKLE_LEVELS_MAX  64

static void merkle_node(const uint8_t left[CRYPTO_HASH_BYTES],
                        const uint8_t right[CRYPTO_HASH_BYTES], uint8_t out[CRYPTO_HASH_BYTES])
{
    uint8_t bytes[1 + 2 * CRYPTO_HASH_BYTES];

    bytes[0] = MERKLE_NODE_PREFIX;
    memcpy(bytes + 1, left, CRYPTO_HASH_BYTES);
    memcpy(bytes + 1 + CRYPTO_HASH_BYTES, right, CRYPTO_HASH_BYTES);
    crypto_hash(bytes, sizeof(bytes), out);
}

/* Leaves go onto a stack of finished subtrees. After leaf number i the trailing ones of i say how
 * many pairs of equal size are complete. What is left at the end joins from the right: this gives
 * RFC 6962's split at the largest power of two below the count. */
void crypto_merkle_root(const uint8_t *hashes, size_t count, uint8_t root[CRYPTO_HASH_BYTES])
{
    uint8_t stack[MERKLE_LEVELS_MAX + 1][CRYPTO_HASH_BYTES];
    size_t depth = 0;

    if (count == 0) {
        memset(root, 0, CRYPTO_HASH_BYTES);
        return;
    }
    if (count == 1) {
        uint8_t bytes[1 + CRYPTO_HASH_BYTES];

        bytes[0] = MERKLE_LEAF_PREFIX;
        memcpy(bytes + 1, hashes, CRYPTO_HASH_BYTES);
        crypto_hash(bytes, sizeof(bytes), root);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(stack[depth++], hashes + i * CRYPTO_HASH_BYTES, CRYPTO_HASH_BYTES);
        for (size_t bits = i; (bits & 1) != 0; bits >>= 1) {
            depth--;
            merkle_node(stack[depth - 1], stack[depth], stack[depth - 1]);
        }
    }
    while (depth > 1) {
        depth--;
        merkle_node(stack[depth - 1], stack[depth], stack[depth - 1]);
    }
    memcpy(root, stack[0], CRYPTO_HASH_BYTES);
}
