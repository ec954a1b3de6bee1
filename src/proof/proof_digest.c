/* Digests and ids. Everything is hashed with a context of its own, so that bytes made for one purpose
 * cannot stand for another. */
#include "proof_internal.h"

/* The transaction digest is one BLAKE3 block: label, body digest, nonce. One compression a try is what
 * makes the difficulty of Work mean the same to every solver. */
#define TX_BLOCK_LABEL "hypermesh 1 tx\0\0\0\0\0\0\0\0\0"
_Static_assert(sizeof(TX_BLOCK_LABEL) == PROOF_TX_LABEL_BYTES, "label fills its place");

void proof_tx_block(const uint8_t body_digest[CRYPTO_HASH_BYTES], uint64_t work_nonce,
                    uint8_t out[PROOF_TX_BLOCK_BYTES])
{
    memcpy(out, TX_BLOCK_LABEL, PROOF_TX_LABEL_BYTES);
    memcpy(out + PROOF_TX_LABEL_BYTES, body_digest, CRYPTO_HASH_BYTES);
    hm_put_be64(out + PROOF_TX_LABEL_BYTES + CRYPTO_HASH_BYTES, work_nonce);
}

void proof_tx_digest(const uint8_t body_digest[CRYPTO_HASH_BYTES], uint64_t work_nonce,
                     uint8_t out[CRYPTO_HASH_BYTES])
{
    uint8_t block[PROOF_TX_BLOCK_BYTES];

    proof_tx_block(body_digest, work_nonce, block);
    crypto_hash(block, sizeof(block), out);
}

void proof_body_digest(struct hm_slice body, uint8_t out[CRYPTO_HASH_BYTES])
{
    crypto_hash_parts("hypermesh 1 tx body", &body, 1, out);
}

void proof_batch_digest(struct hm_slice head, uint8_t out[CRYPTO_HASH_BYTES])
{
    crypto_hash_parts("hypermesh 1 batch", &head, 1, out);
}

void proof_block_hash(struct hm_slice header, uint8_t out[CRYPTO_HASH_BYTES])
{
    crypto_hash_parts("hypermesh 1 block", &header, 1, out);
}

void proof_presence_next(const uint8_t presence[CRYPTO_HASH_BYTES],
                         const uint8_t tx_digest[CRYPTO_HASH_BYTES], uint8_t out[CRYPTO_HASH_BYTES])
{
    const struct hm_slice parts[] = {
        hm_slice_of(presence, CRYPTO_HASH_BYTES),
        hm_slice_of(tx_digest, CRYPTO_HASH_BYTES),
    };

    crypto_hash_parts("hypermesh 1 presence", parts, HM_COUNT_OF(parts), out);
}

void proof_account_id(const struct crypto_root_public *root, uint8_t out[CRYPTO_HASH_BYTES])
{
    crypto_root_id(root, out);
}

void proof_asset_id(const uint8_t owner[CRYPTO_HASH_BYTES], Hypermesh__AssetKind kind,
                    const char *hardware_id, uint8_t out[CRYPTO_HASH_BYTES])
{
    uint8_t kind_bytes[4];

    hm_put_be32(kind_bytes, (uint32_t)kind);
    const struct hm_slice parts[] = {
        hm_slice_of(owner, CRYPTO_HASH_BYTES),
        hm_slice_of(kind_bytes, sizeof(kind_bytes)),
        hm_slice_str(hardware_id),
    };
    crypto_hash_parts("hypermesh 1 asset", parts, HM_COUNT_OF(parts), out);
}
