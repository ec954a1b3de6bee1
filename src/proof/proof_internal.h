/* What the files of this room share with each other and with nobody else. */
#ifndef HM_PROOF_INTERNAL_H
#define HM_PROOF_INTERNAL_H

#include "proof.h"

#define PROOF_TX_LABEL_BYTES 24
#define PROOF_TX_BLOCK_BYTES (PROOF_TX_LABEL_BYTES + CRYPTO_HASH_BYTES + 8)

/* The block whose hash is the transaction digest; the nonce is its last 8 bytes, big-endian. */
void proof_tx_block(const uint8_t body_digest[CRYPTO_HASH_BYTES], uint64_t work_nonce,
                    uint8_t out[PROOF_TX_BLOCK_BYTES]);

#endif
