/* A secret split k of n: Shamir, "How to share a secret", 1979, a byte at a time over GF(2^8) with the polynomial of AES. No table and no branch
 * depends on a secret byte. */
#include "crypto.h"

/* x^8 + x^4 + x^3 + x + 1 */
static uint8_t gf_multiply(uint8_t a, uint8_t b)
{
    uint8_t product = 0;

    for (unsigned i = 0; i < 8; i++) {
        product ^= (uint8_t)(-(b & 1) & a);
        uint8_t carry = (uint8_t)(-(a >> 7) & 0x1b);
        a = (uint8_t)(a << 1 ^ carry);
        b >>= 1;
    }
    return product;
}

/* a^254; 0 for 0 */
static uint8_t gf_invert(uint8_t a)
{
    uint8_t square = a, result = 1;

    for (unsigned i = 0; i < 7; i++) {
        square = gf_multiply(square, square);
        result = gf_multiply(result, square);
    }
    return result;
}

int crypto_share_split(const uint8_t *secret, size_t len, unsigned k, unsigned n,
                       const struct hm_random *random, uint8_t *shares, struct hm_error *error)
{
    uint8_t *factors;

    if (k < 1 || k > n || n > CRYPTO_SHARES_MAX || len == 0 || len > CRYPTO_SHARE_MAX_BYTES)
        return hm_fail(error, HM_EINVAL,
                       "a secret of 1 to %u bytes is split 1 <= k <= n <= %u; asked for %zu bytes, "
                       "%u of %u",
                       CRYPTO_SHARE_MAX_BYTES, CRYPTO_SHARES_MAX, len, k, n);
    factors = hm_malloc(k * len); /* row i: of x^i; row 0 the secret */
    if (factors == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to split a secret");
    memcpy(factors, secret, len);
    if (k > 1 && random->fill(random->ctx, factors + len, (k - 1) * len) != 0) {
        hm_wipe(factors, k * len);
        hm_free(factors);
        return hm_fail(error, HM_EIO, "the source of random bytes failed; nothing was split");
    }
    for (unsigned i = 0; i < n; i++) {
        uint8_t *share = shares + i * len;
        memcpy(share, factors + (k - 1) * len, len);
        for (unsigned row = k - 1; row-- > 0;)
            for (size_t at = 0; at < len; at++)
                share[at] = gf_multiply(share[at], (uint8_t)(i + 1)) ^ factors[row * len + at];
    }
    hm_wipe(factors, k * len);
    hm_free(factors);
    return 0;
}

/* How much the share of point i counts for at 0. */
static uint8_t weight_of(const uint8_t *points, unsigned k, unsigned i)
{
    uint8_t above = 1, below = 1;

    for (unsigned j = 0; j < k; j++) {
        if (j == i)
            continue;
        above = gf_multiply(above, points[j]);
        below = gf_multiply(below, (uint8_t)(points[i] ^ points[j]));
    }
    return gf_multiply(above, gf_invert(below));
}

int crypto_share_join(const uint8_t *points, const uint8_t *shares, unsigned k, size_t len,
                      uint8_t *secret, struct hm_error *error)
{
    uint8_t seen[CRYPTO_SHARES_MAX + 1] = {0};

    if (k < 1 || k > CRYPTO_SHARES_MAX || len == 0 || len > CRYPTO_SHARE_MAX_BYTES)
        return hm_fail(error, HM_EINVAL, "1 to %u shares are joined, not %u", CRYPTO_SHARES_MAX, k);
    for (unsigned i = 0; i < k; i++) {
        if (points[i] == 0)
            return hm_fail(error, HM_EINVAL, "no share is of point 0: that is the secret itself");
        if (seen[points[i]]++ != 0)
            return hm_fail(error, HM_EINVAL, "share %u is there twice", points[i]);
    }
    memset(secret, 0, len);
    for (unsigned i = 0; i < k; i++) {
        uint8_t weight = weight_of(points, k, i);
        for (size_t at = 0; at < len; at++)
            secret[at] ^= gf_multiply(shares[i * len + at], weight);
    }
    return 0;
}
