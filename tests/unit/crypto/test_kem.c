#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto.h"

/* Gives what it was told to, in order. */
struct told {
    uint8_t bytes[64];
    size_t at;
    bool fails;
};

static int told_fill(void *ctx, void *out, size_t len)
{
    struct told *told = ctx;

    if (told->fails || len > sizeof(told->bytes) - told->at)
        return HM_EIO;
    memcpy(out, told->bytes + told->at, len);
    told->at += len;
    return 0;
}

static void unhex(const char *hex, uint8_t *out, size_t len)
{
    assert_int_equal(hm_hex_decode(hex, strlen(hex), out, len, NULL), 0);
}

static struct crypto_kem_key *key_of(uint8_t number)
{
    uint8_t x25519[CRYPTO_X25519_BYTES], mlkem[CRYPTO_MLKEM768_SEED_BYTES];
    struct crypto_kem_key *key = NULL;

    memset(x25519, number, sizeof(x25519));
    memset(mlkem, number + 1, sizeof(mlkem));
    assert_int_equal(crypto_kem_key_new(x25519, mlkem, &key, NULL), 0);
    return key;
}

/* ML-KEM-768: the first of NIST's known answers (count = 0) with final FIPS 203; X25519: RFC 7748, section 6.1, Alice's key pair
 * and Bob's as the fresh one. */
static void test_known_answer(void **state)
{
    uint8_t seed[CRYPTO_MLKEM768_SEED_BYTES], alice[32], shared_m[32], shared_x[32], expected[32];
    uint8_t start[32], key[32], again[32];
    struct told told = {.at = 0};
    const struct hm_random random = {told_fill, &told};
    struct crypto_kem_public public_key;
    struct crypto_kem_ciphertext ciphertext;
    struct crypto_kem_key *pair = NULL;
    (void)state;

    unhex("7c9935a0b07694aa0c6d10e4db6b1add2fd81a25ccb148032dcd739936737f2d"
          "8626ed79d451140800e03b59b956f8210e556067407d13dc90fa9e8b872bfb8f",
          seed, 64);
    unhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", alice, 32);
    unhex("147c03f7a5bebba406c8fae1874d7f13c80efe79a3a9a874cc09fe76f6997615"
          "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
          told.bytes, 64);
    unhex("e7184a0975ee3470878d2d159ec83129c8aec253d4ee17b4810311d198cd0368", shared_m, 32);
    unhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742", shared_x, 32);
    assert_int_equal(crypto_kem_key_new(alice, seed, &pair, NULL), 0);
    crypto_kem_key_public(pair, &public_key);
    unhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a", start, 32);
    assert_memory_equal(public_key.x25519, start, 32);
    unhex("a8e651a1e685f22478a8954f007bc7711b930772c78f092e82878e3e937f3679", start, 32);
    assert_memory_equal(public_key.mlkem768, start, 32);
    assert_int_equal(crypto_kem_seal(&public_key, &random, &ciphertext, key, NULL), 0);
    unhex("c8391085b8d3ea9794212541b2914f08964d33521d3f67ad66096ebfb1f70642", start, 32);
    assert_memory_equal(ciphertext.mlkem768, start, 32);
    unhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f", start, 32);
    assert_memory_equal(ciphertext.x25519, start, 32);
    const struct hm_slice parts[] = {
        {shared_m, 32},
        {shared_x, 32},
        {ciphertext.mlkem768, sizeof(ciphertext.mlkem768)},
        {ciphertext.x25519, sizeof(ciphertext.x25519)},
        {public_key.mlkem768, sizeof(public_key.mlkem768)},
        {public_key.x25519, sizeof(public_key.x25519)},
    };
    crypto_hash_parts("hypermesh 1 kem X25519 ML-KEM-768", parts, HM_COUNT_OF(parts), expected);
    assert_memory_equal(key, expected, 32);
    assert_int_equal(crypto_kem_open(pair, &ciphertext, again, NULL), 0);
    assert_memory_equal(key, again, 32);
    crypto_kem_key_free(pair);
}

static void test_only_the_holder(void **state)
{
    struct crypto_kem_key *ada = key_of(1), *bob = key_of(7);
    struct crypto_kem_public public_key;
    struct crypto_kem_ciphertext ciphertext, other;
    uint8_t key[32], got[32];
    (void)state;

    crypto_kem_key_public(ada, &public_key);
    assert_int_equal(crypto_kem_seal(&public_key, hm_random_system(), &ciphertext, key, NULL), 0);
    assert_int_equal(crypto_kem_open(ada, &ciphertext, got, NULL), 0);
    assert_memory_equal(key, got, 32);
    assert_int_equal(crypto_kem_open(bob, &ciphertext, got, NULL), 0);
    assert_memory_not_equal(key, got, 32);
    for (size_t i = 0; i < sizeof(ciphertext); i += 37) {
        other = ciphertext;
        ((uint8_t *)&other)[i] ^= 1;
        if (crypto_kem_open(ada, &other, got, NULL) == 0)
            assert_memory_not_equal(key, got, 32);
    }
    assert_int_equal(crypto_kem_seal(&public_key, hm_random_system(), &other, got, NULL), 0);
    assert_memory_not_equal(key, got, 32); /* fresh each time */
    crypto_kem_key_free(ada);
    crypto_kem_key_free(bob);
}

static void test_refusals(void **state)
{
    struct crypto_kem_key *ada = key_of(1);
    struct crypto_kem_public public_key, wrong;
    struct crypto_kem_ciphertext ciphertext;
    struct told told = {.fails = true};
    const struct hm_random none = {told_fill, &told};
    uint8_t key[32];
    struct hm_error error;
    (void)state;

    crypto_kem_key_public(ada, &public_key);
    wrong = public_key;
    memset(wrong.x25519, 0, sizeof(wrong.x25519));
    assert_int_equal(crypto_kem_seal(&wrong, hm_random_system(), &ciphertext, key, &error),
                     HM_EAUTH);
    wrong = public_key;
    memset(wrong.mlkem768, 0xff, sizeof(wrong.mlkem768)); /* numbers past q */
    assert_int_equal(crypto_kem_seal(&wrong, hm_random_system(), &ciphertext, key, &error),
                     HM_EAUTH);
    assert_int_equal(crypto_kem_seal(&public_key, &none, &ciphertext, key, &error), HM_EIO);
    assert_int_equal(crypto_kem_seal(&public_key, hm_random_system(), &ciphertext, key, &error), 0);
    memset(ciphertext.x25519, 0, sizeof(ciphertext.x25519));
    assert_int_equal(crypto_kem_open(ada, &ciphertext, key, &error), HM_EAUTH);
    crypto_kem_key_free(ada);
    crypto_kem_key_free(NULL);
}

static void test_memory_runs_out(void **state)
{
    uint8_t x25519[CRYPTO_X25519_BYTES] = {1}, mlkem[CRYPTO_MLKEM768_SEED_BYTES] = {2};
    (void)state;

    for (unsigned long nth = 1;; nth++) {
        struct crypto_kem_key *key = NULL;
        struct crypto_kem_public public_key;
        struct crypto_kem_ciphertext ciphertext;
        uint8_t sealed[32], opened[32];
        hm_alloc_fail_at(nth);
        int rc = crypto_kem_key_new(x25519, mlkem, &key, NULL);
        if (rc == 0) {
            crypto_kem_key_public(key, &public_key);
            rc = crypto_kem_seal(&public_key, hm_random_system(), &ciphertext, sealed, NULL);
        }
        if (rc == 0)
            rc = crypto_kem_open(key, &ciphertext, opened, NULL);
        hm_alloc_fail_at(0);
        crypto_kem_key_free(key);
        if (rc == 0) {
            assert_memory_equal(sealed, opened, 32);
            assert_true(nth > 3);
            break;
        }
        assert_int_equal(rc, HM_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answer),
        cmocka_unit_test(test_only_the_holder),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
