/* Wesolowski's delay function, "Efficient verifiable delay functions", 2019, over the group of RSA-2048 modulo +-1, made
 * non-interactive with 256-bit primes as in Boneh, Bunz, Fisch, "A Survey of Two Verifiable Delay Functions", 2018.
 *
 * Everything here is public, so nothing takes constant time. Numbers are GMP's limbs, the least significant first, on the
 * stack; products are in Montgomery's form (a stands for a * R mod N, R = 2^2048), which saves the division. */
#include <gmp.h>

#include "crypto.h"

_Static_assert(GMP_NAIL_BITS == 0 && GMP_NUMB_BITS % 8 == 0, "limbs are whole bytes");

#define LIMB_BYTES     (sizeof(mp_limb_t))
#define LIMBS          (CRYPTO_VDF_ELEMENT_BYTES / LIMB_BYTES)
#define PRIME_BYTES    32
#define PRIME_LIMBS    (PRIME_BYTES / LIMB_BYTES)
#define WIDE_BYTES     (CRYPTO_VDF_ELEMENT_BYTES + 32) /* so that its remainder is as good as uniform */
#define WIDE_LIMBS     (WIDE_BYTES / LIMB_BYTES)
#define PRIME_TRIES    65536 /* one in 89 odd numbers of this size is prime */
#define PRIME_ROUNDS   30
#define STOP_POLL      1024 /* squarings; about a millisecond */
#define WINDOW_BITS    4u
#define PROVE_BITS     6u
#define ELEMENT_DOMAIN "hypermesh 1 vdf element"
#define PRIME_DOMAIN   "hypermesh 1 vdf prime"

/* RSA-2048 of the RSA Factoring Challenge (RSA Laboratories, 1991 to 2007; 617 decimal digits): its makers destroyed the
 * factors, and nobody has published any. */
static const char modulus_hex[] =
    "c7970ceedcc3b0754490201a7aa613cd73911081c790f5f1a8726f463550bb5b"
    "7ff0db8e1ea1189ec72f93d1650011bd721aeeacc2acde32a04107f0648c2813"
    "a31f5b0b7765ff8b44b4b6ffc93384b646eb09c7cf5e8592d40ea33c80039f35"
    "b4f14a04b51f7bfd781be4d1673164ba8eb991c2c4d730bbbe35f592bdef524a"
    "f7e8daefd26c66fc02c479af89d64d373f442709439de66ceb955f3ea37d5159"
    "f6135809f85334b5cb1813addc80cd05609f10ac6a95ad65872c909525bdad32"
    "bc729592642920f24c61dc5b3c3b7923e56b16a4d9d373d8721f24a3fc0f1b31"
    "31f55615172866bccc30f95054c824e733a5eb6817f7bc16399d48c6361cc7e5";
_Static_assert(sizeof(modulus_hex) == 2 * CRYPTO_VDF_ELEMENT_BYTES + 1, "2048 bits");

struct group {
    mp_limb_t n[LIMBS];
    mp_limb_t r2[LIMBS]; /* R^2 mod N: a product with it brings a number into Montgomery's form */
    mp_limb_t negative_inverse; /* -1/N mod one limb */
};

static void limbs_load(mp_limb_t *limbs, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t *from = bytes + (count - 1 - i) * LIMB_BYTES;
        mp_limb_t limb = 0;

        for (size_t at = 0; at < LIMB_BYTES; at++)
            limb = limb << 8 | from[at];
        limbs[i] = limb;
    }
}

static void limbs_store(const mp_limb_t *limbs, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t *to = bytes + (count - 1 - i) * LIMB_BYTES;

        for (size_t at = 0; at < LIMB_BYTES; at++)
            to[at] = (uint8_t)(limbs[i] >> 8 * (LIMB_BYTES - 1 - at));
    }
}

static unsigned hex_digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
}

void crypto_vdf_modulus(uint8_t out[CRYPTO_VDF_ELEMENT_BYTES])
{
    for (size_t i = 0; i < CRYPTO_VDF_ELEMENT_BYTES; i++)
        out[i] = (uint8_t)(hex_digit(modulus_hex[2 * i]) << 4 | hex_digit(modulus_hex[2 * i + 1]));
}

static void group_init(struct group *group)
{
    uint8_t bytes[CRYPTO_VDF_ELEMENT_BYTES];
    mp_limb_t radix[2 * LIMBS + 1] = {0}; /* R^2 */
    mp_limb_t quotient[LIMBS + 2];
    mp_limb_t inverse = 1;

    crypto_vdf_modulus(bytes);
    limbs_load(group->n, bytes, LIMBS);
    for (unsigned bits = 1; bits < GMP_NUMB_BITS; bits *= 2) /* Newton: right bits double */
        inverse *= 2 - group->n[0] * inverse;
    group->negative_inverse = 0 - inverse;
    radix[2 * LIMBS] = 1;
    mpn_tdiv_qr(quotient, group->r2, 0, radix, 2 * LIMBS + 1, group->n, LIMBS);
}

/* product, 2 * LIMBS, is used up. */
static void montgomery_reduce(const struct group *group, mp_limb_t *product, mp_limb_t *out)
{
    for (size_t i = 0; i < LIMBS; i++)
        product[i] = mpn_addmul_1(product + i, group->n, LIMBS,
                                  product[i] * group->negative_inverse);
    if (mpn_add_n(out, product + LIMBS, product, LIMBS) || mpn_cmp(out, group->n, LIMBS) >= 0)
        (void)mpn_sub_n(out, out, group->n, LIMBS);
}

static void multiply(const struct group *group, mp_limb_t *out, const mp_limb_t *a,
                     const mp_limb_t *b)
{
    mp_limb_t product[2 * LIMBS];

    mpn_mul_n(product, a, b, LIMBS);
    montgomery_reduce(group, product, out);
}

static void square(const struct group *group, mp_limb_t *out, const mp_limb_t *a)
{
    mp_limb_t product[2 * LIMBS];

    mpn_sqr(product, a, LIMBS);
    montgomery_reduce(group, product, out);
}

/* Out of Montgomery's form, and of x and N - x the smaller one. */
static void element_store(const struct group *group, const mp_limb_t *a,
                          uint8_t out[CRYPTO_VDF_ELEMENT_BYTES])
{
    mp_limb_t product[2 * LIMBS] = {0};
    mp_limb_t plain[LIMBS];
    mp_limb_t other[LIMBS];

    memcpy(product, a, sizeof(plain));
    montgomery_reduce(group, product, plain);
    (void)mpn_sub_n(other, group->n, plain, LIMBS);
    limbs_store(mpn_cmp(plain, other, LIMBS) <= 0 ? plain : other, out, LIMBS);
}

static int element_load(const struct group *group, const uint8_t bytes[CRYPTO_VDF_ELEMENT_BYTES],
                        const char *what, mp_limb_t *out, struct hm_error *error)
{
    mp_limb_t plain[LIMBS];
    mp_limb_t other[LIMBS];

    limbs_load(plain, bytes, LIMBS);
    if (mpn_zero_p(plain, LIMBS))
        return hm_fail(error, HM_EPARSE, "the delay function's %s is zero: that is no element",
                       what);
    if (mpn_sub_n(other, group->n, plain, LIMBS) || mpn_cmp(plain, other, LIMBS) > 0)
        return hm_fail(error, HM_EPARSE,
                       "the delay function's %s is over half of the modulus: elements are written "
                       "as the smaller of x and N - x",
                       what);
    multiply(group, out, plain, group->r2);
    return 0;
}

/* Where the squarings of an input begin, in Montgomery's form. */
static void element_of(const struct group *group, const uint8_t input[CRYPTO_VDF_INPUT_BYTES],
                       mp_limb_t *out)
{
    uint8_t bytes[WIDE_BYTES];
    mp_limb_t wide[WIDE_LIMBS];
    mp_limb_t quotient[WIDE_LIMBS - LIMBS + 1];
    mp_limb_t plain[LIMBS];

    for (size_t i = 0; i < WIDE_BYTES / CRYPTO_HASH_BYTES; i++) {
        uint8_t counter[4];
        const struct hm_slice parts[] = {hm_slice_of(input, CRYPTO_VDF_INPUT_BYTES),
                                         hm_slice_of(counter, sizeof(counter))};

        hm_put_be32(counter, (uint32_t)i);
        crypto_hash_parts(ELEMENT_DOMAIN, parts, HM_COUNT_OF(parts), bytes + i * CRYPTO_HASH_BYTES);
    }
    limbs_load(wide, bytes, WIDE_LIMBS);
    mpn_tdiv_qr(quotient, plain, 0, wide, WIDE_LIMBS, group->n, LIMBS);
    multiply(group, out, plain, group->r2);
}

void crypto_vdf_element(const uint8_t input[CRYPTO_VDF_INPUT_BYTES],
                        uint8_t out[CRYPTO_VDF_ELEMENT_BYTES])
{
    struct group group;
    mp_limb_t x[LIMBS];

    group_init(&group);
    element_of(&group, input, x);
    element_store(&group, x, out);
}

static int steps_check(uint64_t steps, struct hm_error *error)
{
    if (steps >= 1 && steps <= CRYPTO_VDF_STEPS_MAX)
        return 0;
    return hm_fail(error, HM_EINVAL, "the delay function takes 1 to %llu steps, not %llu",
                   (unsigned long long)CRYPTO_VDF_STEPS_MAX, (unsigned long long)steps);
}

static int stopped(struct hm_error *error)
{
    return hm_fail(error, HM_ECANCELLED, "the delay function was stopped before its end");
}

int crypto_vdf_eval(const uint8_t input[CRYPTO_VDF_INPUT_BYTES], uint64_t steps,
                    crypto_vdf_stop stop, void *ctx, uint8_t out[CRYPTO_VDF_ELEMENT_BYTES],
                    struct hm_error *error)
{
    struct group group;
    mp_limb_t y[LIMBS];
    int rc = steps_check(steps, error);

    if (rc)
        return rc;
    group_init(&group);
    element_of(&group, input, y);
    for (uint64_t i = 0; i < steps; i++) {
        if (stop && i % STOP_POLL == 0 && stop(ctx))
            return stopped(error);
        square(&group, y, y);
    }
    element_store(&group, y, out);
    return 0;
}

/* The prime that input, steps and output give: of candidate 0, 1, 2, ... the first that is one. */
static int prime_of(const uint8_t input[CRYPTO_VDF_INPUT_BYTES], uint64_t steps,
                    const uint8_t output[CRYPTO_VDF_ELEMENT_BYTES], mp_limb_t prime[PRIME_LIMBS],
                    struct hm_error *error)
{
    struct crypto_hasher common;
    uint8_t number[8];
    mpz_t candidate;

    crypto_hasher_init_context(&common, PRIME_DOMAIN);
    crypto_hasher_update(&common, input, CRYPTO_VDF_INPUT_BYTES);
    hm_put_be64(number, steps);
    crypto_hasher_update(&common, number, sizeof(number));
    crypto_hasher_update(&common, output, CRYPTO_VDF_ELEMENT_BYTES);
    for (uint32_t i = 0; i < PRIME_TRIES; i++) {
        struct crypto_hasher hasher = common;
        uint8_t bytes[CRYPTO_HASH_BYTES];

        hm_put_be32(number, i);
        crypto_hasher_update(&hasher, number, 4);
        crypto_hasher_final(&hasher, bytes);
        bytes[0] |= 0x80;
        bytes[PRIME_BYTES - 1] |= 1;
        limbs_load(prime, bytes, PRIME_LIMBS);
        if (mpz_probab_prime_p(mpz_roinit_n(candidate, prime, PRIME_LIMBS), PRIME_ROUNDS))
            return 0;
    }
    return hm_fail(error, HM_EINTERNAL, "no prime among %u numbers for the delay function",
                   PRIME_TRIES);
}

/* Shifts left by few bits, adds nothing, divides by the prime: gives the quotient, one limb. */
static mp_limb_t shift_divide(mp_limb_t rest[PRIME_LIMBS], unsigned bits,
                              const mp_limb_t prime[PRIME_LIMBS])
{
    mp_limb_t wide[PRIME_LIMBS + 1];
    mp_limb_t quotient[2];

    wide[PRIME_LIMBS] = mpn_lshift(wide, rest, PRIME_LIMBS, bits);
    mpn_tdiv_qr(quotient, rest, 0, wide, PRIME_LIMBS + 1, prime, PRIME_LIMBS);
    return quotient[0];
}

/* 2^steps mod prime */
static void two_power(uint64_t steps, const mp_limb_t prime[PRIME_LIMBS],
                      mp_limb_t rest[PRIME_LIMBS])
{
    mp_limb_t quotient[PRIME_LIMBS + 1];
    mp_limb_t wide[2 * PRIME_LIMBS];

    memset(rest, 0, PRIME_BYTES);
    rest[0] = 1;
    for (unsigned bit = hm_ilog2_u64(steps) + 1; bit-- > 0;) {
        mpn_sqr(wide, rest, PRIME_LIMBS);
        mpn_tdiv_qr(quotient, rest, 0, wide, 2 * PRIME_LIMBS, prime, PRIME_LIMBS);
        if (steps >> bit & 1)
            (void)shift_divide(rest, 1, prime);
    }
}

/* table[i] = base^i */
static void powers(const struct group *group, const mp_limb_t *base, size_t count,
                   mp_limb_t (*table)[LIMBS])
{
    const mp_limb_t one[LIMBS] = {1};

    multiply(group, table[0], one, group->r2);
    for (size_t i = 1; i < count; i++)
        multiply(group, table[i], table[i - 1], base);
}

static unsigned window_at(const mp_limb_t *exponent, unsigned bit)
{
    return (unsigned)(exponent[bit / GMP_NUMB_BITS] >> bit % GMP_NUMB_BITS) &
           ((1u << WINDOW_BITS) - 1);
}

/* a^e * b^f, squaring once for both. */
static void power_both(const struct group *group, const mp_limb_t *a, const mp_limb_t *e,
                       const mp_limb_t *b, const mp_limb_t *f, mp_limb_t *out)
{
    mp_limb_t of_a[1u << WINDOW_BITS][LIMBS];
    mp_limb_t of_b[1u << WINDOW_BITS][LIMBS];
    unsigned bit = PRIME_BYTES * 8 - WINDOW_BITS;

    powers(group, a, HM_COUNT_OF(of_a), of_a);
    powers(group, b, HM_COUNT_OF(of_b), of_b);
    multiply(group, out, of_a[window_at(e, bit)], of_b[window_at(f, bit)]);
    while (bit > 0) {
        bit -= WINDOW_BITS;
        for (unsigned i = 0; i < WINDOW_BITS; i++)
            square(group, out, out);
        multiply(group, out, out, of_a[window_at(e, bit)]);
        multiply(group, out, out, of_b[window_at(f, bit)]);
    }
}

/* proof^prime * x^(2^steps mod prime) = output, up to the sign. */
static int equation_check(const struct group *group, const mp_limb_t *x, uint64_t steps,
                          const mp_limb_t prime[PRIME_LIMBS], const mp_limb_t *proof,
                          const uint8_t output[CRYPTO_VDF_ELEMENT_BYTES], struct hm_error *error)
{
    uint8_t found[CRYPTO_VDF_ELEMENT_BYTES];
    mp_limb_t rest[PRIME_LIMBS];
    mp_limb_t product[LIMBS];

    two_power(steps, prime, rest);
    power_both(group, proof, prime, x, rest, product);
    element_store(group, product, found);
    if (memcmp(found, output, sizeof(found)) == 0)
        return 0;
    return hm_fail(error, HM_EPROOF_TIME,
                   "the proof of the delay function does not show that this output is %llu "
                   "squarings of this input",
                   (unsigned long long)steps);
}

/* x^floor(2^steps / prime): long division in base 2^PROVE_BITS, its digits from the top. */
static int quotient_power(const struct group *group, const mp_limb_t *x, uint64_t steps,
                          const mp_limb_t prime[PRIME_LIMBS], crypto_vdf_stop stop, void *ctx,
                          mp_limb_t *out, struct hm_error *error)
{
    mp_limb_t of_x[1u << PROVE_BITS][LIMBS];
    mp_limb_t rest[PRIME_LIMBS] = {0};

    powers(group, x, HM_COUNT_OF(of_x), of_x);
    rest[0] = (mp_limb_t)1 << steps % PROVE_BITS;
    memcpy(out, of_x[0], sizeof(of_x[0]));
    for (uint64_t left = steps / PROVE_BITS; left > 0; left--) {
        mp_limb_t digit = shift_divide(rest, PROVE_BITS, prime);

        if (stop && left % (STOP_POLL / PROVE_BITS) == 0 && stop(ctx))
            return stopped(error);
        for (unsigned i = 0; i < PROVE_BITS; i++)
            square(group, out, out);
        if (digit)
            multiply(group, out, out, of_x[digit]);
    }
    return 0;
}

int crypto_vdf_prove(const uint8_t input[CRYPTO_VDF_INPUT_BYTES], uint64_t steps,
                     const uint8_t output[CRYPTO_VDF_ELEMENT_BYTES], crypto_vdf_stop stop,
                     void *ctx, uint8_t proof[CRYPTO_VDF_ELEMENT_BYTES], struct hm_error *error)
{
    struct group group;
    mp_limb_t prime[PRIME_LIMBS];
    mp_limb_t made[LIMBS];
    mp_limb_t x[LIMBS];
    int rc = steps_check(steps, error);

    if (rc)
        return rc;
    group_init(&group);
    rc = element_load(&group, output, "output", made, error);
    if (rc == 0)
        rc = prime_of(input, steps, output, prime, error);
    if (rc)
        return rc;
    element_of(&group, input, x);
    rc = quotient_power(&group, x, steps, prime, stop, ctx, made, error);
    if (rc == 0)
        rc = equation_check(&group, x, steps, prime, made, output, error);
    if (rc == 0)
        element_store(&group, made, proof);
    return rc;
}

int crypto_vdf_verify(const uint8_t input[CRYPTO_VDF_INPUT_BYTES], uint64_t steps,
                      const uint8_t output[CRYPTO_VDF_ELEMENT_BYTES],
                      const uint8_t proof[CRYPTO_VDF_ELEMENT_BYTES], struct hm_error *error)
{
    struct group group;
    mp_limb_t prime[PRIME_LIMBS];
    mp_limb_t given[LIMBS];
    mp_limb_t x[LIMBS];
    int rc = steps_check(steps, error);

    if (rc)
        return rc;
    group_init(&group);
    rc = element_load(&group, output, "output", given, error);
    if (rc == 0)
        rc = element_load(&group, proof, "proof", given, error);
    if (rc == 0)
        rc = prime_of(input, steps, output, prime, error);
    if (rc)
        return rc;
    element_of(&group, input, x);
    return equation_check(&group, x, steps, prime, given, output, error);
}
