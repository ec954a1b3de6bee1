/* Work: hashcash over the transaction digest (Back, "Hashcash - A Denial of Service Counter-Measure",
 * 2002). A price for being heard, not a vote. */
#include "proof_internal.h"

/* Nonces tried at once: as many hashes as the widest vector unit does side by side. */
#define WORK_LANES 16
/* A solver that has not found one in 2^(bits + 8) tries has a broken hash: chance e^-256. */
#define WORK_SLACK_BITS 8

static unsigned leading_zeros(uint64_t v)
{
    return v == 0 ? 64 : (unsigned)__builtin_clzll(v);
}

unsigned proof_work_bits(const uint8_t tx_digest[CRYPTO_HASH_BYTES])
{
    unsigned bits = 0;

    for (size_t i = 0; i < CRYPTO_HASH_BYTES; i += 8) {
        unsigned zeros = leading_zeros(hm_get_be64(tx_digest + i));
        bits += zeros;
        if (zeros < 64)
            break;
    }
    return bits;
}

int proof_work_solve(const uint8_t body_digest[CRYPTO_HASH_BYTES], unsigned bits, uint64_t *nonce,
                     uint8_t tx_digest[CRYPTO_HASH_BYTES], struct hm_error *error)
{
    uint8_t blocks[WORK_LANES * PROOF_TX_BLOCK_BYTES];
    uint8_t digests[WORK_LANES * CRYPTO_HASH_BYTES];

    if (bits > PROOF_WORK_BITS_MAX)
        return hm_fail(error, HM_ERANGE,
                       "%u bits of work are asked for, the most is %d: send less often", bits,
                       PROOF_WORK_BITS_MAX);
    for (size_t lane = 0; lane < WORK_LANES; lane++)
        proof_tx_block(body_digest, 0, blocks + lane * PROOF_TX_BLOCK_BYTES);

    const uint64_t limit = UINT64_C(1) << (bits + WORK_SLACK_BITS);
    for (uint64_t first = 0; first < limit; first += WORK_LANES) {
        for (size_t lane = 0; lane < WORK_LANES; lane++)
            hm_put_be64(blocks + (lane + 1) * PROOF_TX_BLOCK_BYTES - 8, first + lane);
        crypto_hash_many(blocks, WORK_LANES, PROOF_TX_BLOCK_BYTES, digests);
        for (size_t lane = 0; lane < WORK_LANES; lane++) {
            const uint8_t *digest = digests + lane * CRYPTO_HASH_BYTES;
            if (leading_zeros(hm_get_be64(digest)) < bits)
                continue;
            *nonce = first + lane;
            memcpy(tx_digest, digest, CRYPTO_HASH_BYTES);
            return 0;
        }
    }
    return hm_fail(error, HM_EINTERNAL, "no nonce gives %u bits of work in %llu tries", bits,
                   (unsigned long long)limit);
}

int proof_work_verify(const uint8_t tx_digest[CRYPTO_HASH_BYTES], unsigned required,
                      struct hm_error *error)
{
    unsigned bits = proof_work_bits(tx_digest);

    if (bits < required)
        return hm_fail(error, HM_EPROOF_WORK,
                       "work: the digest has %u leading zero bits and %u are needed at this "
                       "account's present rate; solve again",
                       bits, required);
    return 0;
}
