#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <gmp.h>

#include "crypto.h"

#define ELEMENT CRYPTO_VDF_ELEMENT_BYTES

static void number_store(const mpz_t number, uint8_t out[ELEMENT])
{
    size_t bytes = (mpz_sizeinbase(number, 2) + 7) / 8;

    memset(out, 0, ELEMENT);
    mpz_export(out + ELEMENT - bytes, NULL, 1, 1, 1, 0, number);
}

static void modulus_load(mpz_t out)
{
    uint8_t bytes[ELEMENT];

    crypto_vdf_modulus(bytes);
    mpz_init(out);
    mpz_import(out, ELEMENT, 1, 1, 1, 0, bytes);
}

/* N - x, written down. */
static void negate(const uint8_t in[ELEMENT], uint8_t out[ELEMENT])
{
    mpz_t n, x;

    modulus_load(n);
    mpz_init(x);
    mpz_import(x, ELEMENT, 1, 1, 1, 0, in);
    mpz_sub(x, n, x);
    number_store(x, out);
    mpz_clears(n, x, NULL);
}

/* The published number: its digest was taken from its decimal digits by another program. */
static void test_modulus(void **state)
{
    static const char known[] = "6ae9d033c1d76c4f535b5ad5c0073933a0b375b4120a75fbb66be814eab1a9ce";
    uint8_t bytes[ELEMENT], digest[CRYPTO_SHA256_BYTES];
    char text[2 * CRYPTO_SHA256_BYTES + 1];
    struct crypto_sha256 *sha;
    mpz_t n;
    (void)state;

    crypto_vdf_modulus(bytes);
    assert_int_equal(crypto_sha256_new(&sha), 0);
    crypto_sha256_update(sha, bytes, sizeof(bytes));
    crypto_sha256_final(sha, digest);
    crypto_sha256_free(sha);
    hm_hex_encode(digest, sizeof(digest), text);
    assert_string_equal(text, known);
    modulus_load(n);
    assert_int_equal(mpz_sizeinbase(n, 2), 2048);
    assert_int_equal(mpz_probab_prime_p(n, 25), 0);
    assert_int_not_equal(mpz_odd_p(n), 0);
    mpz_clear(n);
}

/* As docs/formats-vdf.md says, with plain divisions. */
static void plain_squarings(const uint8_t input[CRYPTO_VDF_INPUT_BYTES], uint64_t steps,
                            uint8_t out[ELEMENT])
{
    uint8_t wide[9 * CRYPTO_HASH_BYTES];
    mpz_t n, x, other;

    for (uint32_t i = 0; i < 9; i++) {
        uint8_t counter[4];
        const struct hm_slice parts[] = {hm_slice_of(input, CRYPTO_VDF_INPUT_BYTES),
                                         hm_slice_of(counter, 4)};

        hm_put_be32(counter, i);
        crypto_hash_parts("hypermesh 1 vdf element", parts, 2, wide + i * CRYPTO_HASH_BYTES);
    }
    modulus_load(n);
    mpz_inits(x, other, NULL);
    mpz_import(x, sizeof(wide), 1, 1, 1, 0, wide);
    mpz_mod(x, x, n);
    for (uint64_t i = 0; i < steps; i++) {
        mpz_mul(x, x, x);
        mpz_mod(x, x, n);
    }
    mpz_sub(other, n, x);
    number_store(mpz_cmp(x, other) <= 0 ? x : other, out);
    mpz_clears(n, x, other, NULL);
}

static void test_plain(void **state)
{
    static const uint64_t steps[] = {1, 2, 3, 5, 6, 7, 63, 64, 255, 256, 257, 1000, 1025};
    uint8_t input[CRYPTO_VDF_INPUT_BYTES] = {0};
    uint8_t plain[ELEMENT], made[ELEMENT], proof[ELEMENT];
    (void)state;

    for (size_t i = 0; i < HM_COUNT_OF(steps); i++) {
        input[0] = (uint8_t)i;
        input[31] = (uint8_t)(i * 77);
        plain_squarings(input, 0, plain);
        crypto_vdf_element(input, made);
        assert_memory_equal(made, plain, ELEMENT);
        plain_squarings(input, steps[i], plain);
        assert_int_equal(crypto_vdf_eval(input, steps[i], NULL, NULL, made, NULL), 0);
        assert_memory_equal(made, plain, ELEMENT);
        assert_int_equal(crypto_vdf_prove(input, steps[i], made, NULL, NULL, proof, NULL), 0);
        assert_int_equal(crypto_vdf_verify(input, steps[i], made, proof, NULL), 0);
    }
}

/* Wesolowski's equation with plain arithmetic, and the proof of the quotient. */
static void test_proof_is_quotient(void **state)
{
    enum { STEPS = 700 };
    const uint8_t input[CRYPTO_VDF_INPUT_BYTES] = {9, 8, 7};
    uint8_t output[ELEMENT], proof[ELEMENT], bytes[ELEMENT], wanted[ELEMENT];
    mpz_t n, x, prime, quotient, other;
    (void)state;

    assert_int_equal(crypto_vdf_eval(input, STEPS, NULL, NULL, output, NULL), 0);
    assert_int_equal(crypto_vdf_prove(input, STEPS, output, NULL, NULL, proof, NULL), 0);
    modulus_load(n);
    mpz_inits(x, prime, quotient, other, NULL);
    crypto_vdf_element(input, bytes);
    mpz_import(x, ELEMENT, 1, 1, 1, 0, bytes);
    for (uint32_t i = 0;; i++) { /* the first prime among the candidates */
        uint8_t steps[8], counter[4], hash[CRYPTO_HASH_BYTES];
        const struct hm_slice parts[] = {hm_slice_of(input, sizeof(input)), hm_slice_of(steps, 8),
                                         hm_slice_of(output, ELEMENT), hm_slice_of(counter, 4)};

        hm_put_be64(steps, STEPS);
        hm_put_be32(counter, i);
        crypto_hash_parts("hypermesh 1 vdf prime", parts, 4, hash);
        hash[0] |= 0x80;
        hash[31] |= 1;
        mpz_import(prime, sizeof(hash), 1, 1, 1, 0, hash);
        if (mpz_probab_prime_p(prime, 40))
            break;
    }
    mpz_set_ui(quotient, 1);
    mpz_mul_2exp(quotient, quotient, STEPS);
    mpz_fdiv_q(quotient, quotient, prime);
    mpz_powm(x, x, quotient, n);
    mpz_sub(other, n, x);
    number_store(mpz_cmp(x, other) <= 0 ? x : other, wanted);
    assert_memory_equal(proof, wanted, ELEMENT);
    mpz_clears(n, x, prime, quotient, other, NULL);
}

struct claim {
    uint8_t input[CRYPTO_VDF_INPUT_BYTES];
    uint64_t steps;
    uint8_t output[ELEMENT];
    uint8_t proof[ELEMENT];
};

static void claim_make(struct claim *claim, uint8_t first, uint64_t steps)
{
    *claim = (struct claim){.input = {first}, .steps = steps};
    assert_int_equal(crypto_vdf_eval(claim->input, steps, NULL, NULL, claim->output, NULL), 0);
    assert_int_equal(
        crypto_vdf_prove(claim->input, steps, claim->output, NULL, NULL, claim->proof, NULL), 0);
}

static int claim_verify(const struct claim *claim)
{
    struct hm_error error = {0};
    int rc = crypto_vdf_verify(claim->input, claim->steps, claim->output, claim->proof, &error);

    assert_int_equal(error.code, rc);
    return rc;
}

static void test_refused(void **state)
{
    struct claim good, other, bad;
    (void)state;

    claim_make(&good, 1, 900);
    claim_make(&other, 2, 900);
    assert_int_equal(claim_verify(&good), 0);
    bad = good;
    bad.input[31] ^= 1;
    assert_int_equal(claim_verify(&bad), HM_EPROOF_TIME);
    bad = good;
    bad.steps++;
    assert_int_equal(claim_verify(&bad), HM_EPROOF_TIME);
    bad.steps -= 2;
    assert_int_equal(claim_verify(&bad), HM_EPROOF_TIME);
    bad = good;
    memcpy(bad.output, other.output, ELEMENT);
    assert_int_equal(claim_verify(&bad), HM_EPROOF_TIME);
    memcpy(bad.proof, other.proof, ELEMENT);
    assert_int_equal(claim_verify(&bad), HM_EPROOF_TIME); /* sound, but of another input */
    bad = good;
    memcpy(bad.proof, other.proof, ELEMENT);
    assert_int_equal(claim_verify(&bad), HM_EPROOF_TIME);
    bad = good;
    memcpy(bad.proof, bad.output, ELEMENT);
    assert_int_equal(claim_verify(&bad), HM_EPROOF_TIME);
    for (size_t byte = ELEMENT - 1; byte < ELEMENT; byte -= 31) { /* any bit */
        bad = good;
        bad.output[byte] ^= 4;
        assert_int_not_equal(claim_verify(&bad), 0);
        bad = good;
        bad.proof[byte] ^= 16;
        assert_int_not_equal(claim_verify(&bad), 0);
    }
    assert_int_equal(
        crypto_vdf_prove(good.input, good.steps, other.output, NULL, NULL, bad.proof, NULL),
        HM_EPROOF_TIME);
}

/* What would give a second form to the same thing, and what is no element. */
static void test_encodings(void **state)
{
    struct claim good, bad;
    uint8_t modulus[ELEMENT];
    (void)state;

    claim_make(&good, 3, 64);
    bad = good;
    negate(good.output, bad.output);
    assert_int_equal(claim_verify(&bad), HM_EPARSE);
    bad = good;
    negate(good.proof, bad.proof);
    assert_int_equal(claim_verify(&bad), HM_EPARSE);
    bad = good;
    memset(bad.output, 0, ELEMENT);
    assert_int_equal(claim_verify(&bad), HM_EPARSE);
    bad = good;
    memset(bad.proof, 0, ELEMENT);
    assert_int_equal(claim_verify(&bad), HM_EPARSE);
    bad = good;
    memset(bad.output, 0, ELEMENT);
    bad.output[ELEMENT - 1] = 1; /* one: an element, but not this output */
    assert_int_equal(claim_verify(&bad), HM_EPROOF_TIME);
    memcpy(bad.proof, bad.output, ELEMENT);
    assert_int_equal(claim_verify(&bad), HM_EPROOF_TIME);
    crypto_vdf_modulus(modulus);
    bad = good;
    memcpy(bad.output, modulus, ELEMENT);
    assert_int_equal(claim_verify(&bad), HM_EPARSE);
    memset(bad.output, 0xff, ELEMENT);
    assert_int_equal(claim_verify(&bad), HM_EPARSE);
    /* (N - 1) / 2 is the largest element, (N + 1) / 2 its negative. */
    bad = good;
    for (size_t i = 0, carry = 0; i < ELEMENT; i++) {
        bad.proof[i] = (uint8_t)(carry << 7 | modulus[i] >> 1);
        carry = modulus[i] & 1;
    }
    assert_int_equal(claim_verify(&bad), HM_EPROOF_TIME);
    negate(bad.proof, bad.proof);
    assert_int_equal(claim_verify(&bad), HM_EPARSE);
    bad = good;
    bad.steps = 0;
    assert_int_equal(claim_verify(&bad), HM_EINVAL);
    bad.steps = CRYPTO_VDF_STEPS_MAX + 1;
    assert_int_equal(claim_verify(&bad), HM_EINVAL);
    bad.steps = CRYPTO_VDF_STEPS_MAX;
    assert_int_equal(claim_verify(&bad), HM_EPROOF_TIME);
    assert_int_equal(crypto_vdf_eval(good.input, 0, NULL, NULL, bad.output, NULL), HM_EINVAL);
}

static bool stop_later(void *ctx)
{
    unsigned *left = ctx;

    return (*left)-- == 0;
}

static void test_stop(void **state)
{
    enum { STEPS = 100000 };
    const uint8_t input[CRYPTO_VDF_INPUT_BYTES] = {5};
    uint8_t output[ELEMENT], proof[ELEMENT], kept[ELEMENT];
    struct hm_error error = {0};
    unsigned left = 0;
    (void)state;

    memset(kept, 0x5a, ELEMENT);
    memcpy(output, kept, ELEMENT);
    assert_int_equal(crypto_vdf_eval(input, STEPS, stop_later, &left, output, &error),
                     HM_ECANCELLED);
    left = 7;
    assert_int_equal(crypto_vdf_eval(input, STEPS, stop_later, &left, output, &error),
                     HM_ECANCELLED);
    assert_memory_equal(output, kept, ELEMENT);
    left = 1000;
    assert_int_equal(crypto_vdf_eval(input, STEPS, stop_later, &left, output, &error), 0);
    assert_true(left < 950 && left > 850); /* asked often enough, not too often */
    memcpy(proof, kept, ELEMENT);
    left = 5;
    assert_int_equal(crypto_vdf_prove(input, STEPS, output, stop_later, &left, proof, &error),
                     HM_ECANCELLED);
    assert_memory_equal(proof, kept, ELEMENT);
    left = 1000;
    assert_int_equal(crypto_vdf_prove(input, STEPS, output, stop_later, &left, proof, &error), 0);
    assert_int_equal(crypto_vdf_verify(input, STEPS, output, proof, &error), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modulus),           cmocka_unit_test(test_plain),
        cmocka_unit_test(test_proof_is_quotient), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_encodings),         cmocka_unit_test(test_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
