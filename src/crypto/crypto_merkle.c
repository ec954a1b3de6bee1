#include "crypto.h"

#define MERKLE_LEAF_PREFIX 0x00
#define MERKLE_NODE_PREFIX 0x01
#define MERKLE_LEVELS_MAX  64
#define MERKLE_GROUP       ((size_t)64) /* leaves that are hashed level by level; a power of two */
#define MERKLE_NODE_BYTES  (1 + 2 * CRYPTO_HASH_BYTES)

/* count pairs, lying one after the other, become their nodes. */
static void merkle_nodes(const uint8_t *pairs, size_t count, uint8_t *nodes)
{
    uint8_t bytes[MERKLE_GROUP / 2][MERKLE_NODE_BYTES];
    struct hm_slice messages[MERKLE_GROUP / 2];

    for (size_t i = 0; i < count; i++) {
        bytes[i][0] = MERKLE_NODE_PREFIX;
        memcpy(bytes[i] + 1, pairs + i * 2 * CRYPTO_HASH_BYTES, (size_t)2 * CRYPTO_HASH_BYTES);
        messages[i] = hm_slice_of(bytes[i], sizeof(bytes[i]));
    }
    crypto_hash_each(messages, count, nodes);
}

/* The node over at most MERKLE_GROUP leaves; one stays as it is. An odd node at the end of a level moves up:
 * this gives RFC 6962's split at the largest power of two below the count. */
static void merkle_group(const uint8_t *hashes, size_t count, uint8_t out[CRYPTO_HASH_BYTES])
{
    uint8_t level[MERKLE_GROUP * CRYPTO_HASH_BYTES];

    memcpy(level, hashes, count * CRYPTO_HASH_BYTES);
    while (count > 1) {
        size_t pairs = count / 2;

        merkle_nodes(level, pairs, level);
        if (count % 2 != 0)
            memmove(level + pairs * CRYPTO_HASH_BYTES, level + (count - 1) * CRYPTO_HASH_BYTES,
                    CRYPTO_HASH_BYTES);
        count = pairs + count % 2;
    }
    memcpy(out, level, CRYPTO_HASH_BYTES);
}

/* Groups of leaves go onto a stack of finished subtrees. After group number i the trailing ones of i say how
 * many pairs of equal size are complete. What is left at the end joins from the right. */
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
    for (size_t i = 0; i < count; i += MERKLE_GROUP) {
        size_t leaves = count - i < MERKLE_GROUP ? count - i : MERKLE_GROUP;

        merkle_group(hashes + i * CRYPTO_HASH_BYTES, leaves, stack[depth++]);
        if (leaves < MERKLE_GROUP)
            break;
        for (size_t bits = i / MERKLE_GROUP; (bits & 1) != 0; bits >>= 1) {
            depth--;
            merkle_nodes(stack[depth - 1], 1, stack[depth - 1]);
        }
    }
    while (depth > 1) {
        depth--;
        merkle_nodes(stack[depth - 1], 1, stack[depth - 1]);
    }
    memcpy(root, stack[0], CRYPTO_HASH_BYTES);
}
