/* The hash by which an engine names a set of validators (CometBFT v0.38, ValidatorSet.Hash): a Merkle root by SHA-256 over
 * {key, power} of each, leaves behind a byte 0, inner nodes behind a byte 1, split at the largest power of two. */
#include "ledger_validator.h"

#define LEAF_MAX_BYTES (1 + 4 + LEDGER_VALIDATOR_KEY_BYTES + 1 + 10)

static int sha256(const uint8_t *data, size_t len, uint8_t out[CRYPTO_SHA256_BYTES])
{
    struct crypto_sha256 *state;

    if (crypto_sha256_new(&state))
        return HM_ENOMEM;
    crypto_sha256_update(state, data, len);
    crypto_sha256_final(state, out);
    crypto_sha256_free(state);
    return 0;
}

/* SimpleValidator {PublicKey {bytes ed25519 = 1} pub_key = 1; int64 voting_power = 2}. */
static int leaf_hash(const struct ledger_member *member, uint8_t out[CRYPTO_SHA256_BYTES])
{
    uint8_t leaf[LEAF_MAX_BYTES] = {0, 0x0a, 2 + LEDGER_VALIDATOR_KEY_BYTES, 0x0a,
                                    LEDGER_VALIDATOR_KEY_BYTES};
    uint64_t power = member->power;
    size_t len = 5;

    memcpy(leaf + len, member->key, LEDGER_VALIDATOR_KEY_BYTES);
    len += LEDGER_VALIDATOR_KEY_BYTES;
    leaf[len++] = 0x10;
    for (; power > 0x7f; power >>= 7)
        leaf[len++] = (uint8_t)(power | 0x80);
    leaf[len++] = (uint8_t)power;
    return sha256(leaf, len, out);
}

/* Halves of halves: no deeper than the number of bits of count. */
static int part_hash(const struct ledger_member *list, size_t count,
                     uint8_t out[CRYPTO_SHA256_BYTES])
{
    uint8_t node[1 + 2 * CRYPTO_SHA256_BYTES] = {1};
    size_t left = 1;
    int rc;

    if (count == 1)
        return leaf_hash(list, out);
    while (left * 2 < count)
        left *= 2;
    rc = part_hash(list, left, node + 1);
    if (rc == 0)
        rc = part_hash(list + left, count - left, node + 1 + CRYPTO_SHA256_BYTES);
    return rc ? rc : sha256(node, sizeof node, out);
}

int ledger_members_hash(const struct ledger_members *members, uint8_t out[CRYPTO_SHA256_BYTES],
                        struct hm_error *error)
{
    int rc = part_hash(members->list, members->count, out);

    return rc ? hm_fail(error, rc, "no memory for the hash of the validators") : 0;
}
