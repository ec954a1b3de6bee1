#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto.h"

static void from_hex(const char *text, uint8_t *out, size_t len)
{
    assert_int_equal(hm_hex_decode(text, strlen(text), out, len, NULL), 0);
}

/* RFC 8032, section 7.1: TEST 1, 2, 3 */
static void test_rfc8032(void **state)
{
    static const struct {
        const char *seed;
        const char *public_key;
        const char *message;
        size_t len;
        const char *signature;
    } rows[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", NULL, 0,
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
         "cf9"
         "b46bd25bf5f0595bbe24655141438e7a100b"},
        {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "\x72", 1,
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d"
         "0f1"
         "1d8c387b2eaeb4302aeeb00d291612bb0c00"},
        {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
         "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "\xaf\x82", 2,
         "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f7609"
         "84d"
         "c6594a7c15e9716ed28dc027beceea1ec40a"},
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        struct crypto_ed25519_key key;
        uint8_t seed[32];
        uint8_t public_key[32];
        uint8_t expected[64];
        uint8_t signature[64];

        from_hex(rows[i].seed, seed, 32);
        from_hex(rows[i].public_key, public_key, 32);
        from_hex(rows[i].signature, expected, 64);
        crypto_ed25519_from_seed(&key, seed);
        assert_memory_equal(key.public_key, public_key, 32);
        crypto_ed25519_sign(&key, rows[i].message, rows[i].len, signature);
        assert_memory_equal(signature, expected, 64);
        assert_int_equal(crypto_ed25519_verify(public_key, rows[i].message, rows[i].len, signature),
                         0);
        signature[i * 20] ^= 1;
        assert_int_equal(crypto_ed25519_verify(public_key, rows[i].message, rows[i].len, signature),
                         HM_EAUTH);
        crypto_ed25519_wipe(&key);
        for (size_t b = 0; b < sizeof(key.secret_key); b++)
            assert_int_equal(key.secret_key[b], 0);
    }
    crypto_ed25519_wipe(NULL);
}

/* A signature whose s was raised by the group order (RFC 8032, 5.1.7), and a key of small order. */
static void test_ed25519_is_strict(void **state)
{
    uint8_t public_key[32];
    uint8_t signature[64];

    (void)state;
    from_hex("7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa", public_key, 32);
    from_hex("7c38e026f29e14aabd059a0f2db8b0cd783040609a8be684db12f82a27774ab0"
             "67654bce3832c2d76f8f6f5dafc08d9339d4eef676573336a5c51eb6f946b31d",
             signature, 64);
    assert_int_equal(crypto_ed25519_verify(public_key, "Test", 4, signature), HM_EAUTH);
    /* the neutral point as key and as R, s = 0: holds for any message in a lax verifier */
    memset(public_key, 0, 32);
    public_key[0] = 1;
    memset(signature, 0, 64);
    signature[0] = 1;
    assert_int_equal(crypto_ed25519_verify(public_key, "Test", 4, signature), HM_EAUTH);
    memset(public_key, 0xff, 32); /* not canonical */
    assert_int_equal(crypto_ed25519_verify(public_key, "Test", 4, signature), HM_EAUTH);
}

static void sha256_is(const void *data, size_t len, const char *expected)
{
    struct crypto_sha256 *sha = NULL;
    uint8_t out[32];
    char text[65];

    assert_int_equal(crypto_sha256_new(&sha), 0);
    crypto_sha256_update(sha, data, len);
    crypto_sha256_final(sha, out);
    crypto_sha256_free(sha);
    hm_hex_encode(out, 32, text);
    assert_string_equal(text, expected);
}

static struct crypto_root_key *root_key(uint8_t ed25519_byte, uint8_t mldsa_byte)
{
    struct crypto_root_key *key = NULL;
    struct hm_error error = {0};
    uint8_t a[32];
    uint8_t b[32];

    memset(a, ed25519_byte, 32);
    memset(b, mldsa_byte, 32);
    if (crypto_root_key_new(a, b, &key, &error) != 0)
        fail_msg("%s", error.text);
    return key;
}

/* Project Wycheproof, ML-DSA-65 signing from a seed (2a, 32 times), case 1, message "Hello world"
 * without context, deterministic: SHA-256 of its public key and of its signature. */
static void test_mldsa65_known_answer(void **state)
{
    struct crypto_root_key *key = root_key(1, 0x2a);
    struct crypto_root_public public_key;
    struct crypto_root_signature signature;

    (void)state;
    crypto_root_key_public(key, &public_key);
    sha256_is(public_key.mldsa65, sizeof(public_key.mldsa65),
              "b7acce2ddb11f8cc1aa46e2bafac6eacfa2b732ef192bd636ad8d3a56d649c66");
    assert_int_equal(crypto_root_sign(key, "Hello world", 11, &signature, NULL), 0);
    sha256_is(signature.mldsa65, sizeof(signature.mldsa65),
              "39fbbb0d97a52c79844213b325af823a7f16a174e00a5b3daeb3e6e6d1c89681");
    crypto_root_key_free(key);
    crypto_root_key_free(NULL);
}

static void refused(const struct crypto_root_public *public_key, const char *message,
                    const struct crypto_root_signature *signature, const char *half)
{
    struct hm_error error = {0};

    assert_int_equal(crypto_root_verify(public_key, message, strlen(message), signature, &error),
                     HM_EAUTH);
    assert_non_null(strstr(error.text, half));
}

static void test_root_needs_both_halves(void **state)
{
    struct crypto_root_key *key = root_key(1, 2);
    struct crypto_root_key *other = root_key(3, 4);
    struct crypto_root_public public_key;
    struct crypto_root_public other_public;
    struct crypto_root_signature signature;
    struct crypto_root_signature mixed;

    (void)state;
    crypto_root_key_public(key, &public_key);
    crypto_root_key_public(other, &other_public);
    assert_int_equal(crypto_root_sign(key, "message", 7, &signature, NULL), 0);
    assert_int_equal(crypto_root_verify(&public_key, "message", 7, &signature, NULL), 0);
    refused(&public_key, "massage", &signature, "Ed25519");
    assert_int_equal(crypto_root_sign(other, "message", 7, &mixed, NULL), 0);
    assert_int_equal(crypto_root_verify(&other_public, "message", 7, &mixed, NULL), 0);
    memcpy(mixed.ed25519, signature.ed25519, sizeof(mixed.ed25519));
    refused(&public_key, "message", &mixed, "ML-DSA-65");
    mixed = signature;
    mixed.mldsa65[1000] ^= 4;
    refused(&public_key, "message", &mixed, "ML-DSA-65");
    mixed = signature;
    mixed.ed25519[10] ^= 4;
    refused(&public_key, "message", &mixed, "Ed25519");
    assert_int_equal(crypto_root_sign(key, NULL, 0, &signature, NULL), 0);
    assert_int_equal(crypto_root_verify(&public_key, NULL, 0, &signature, NULL), 0);
    crypto_root_key_free(key);
    crypto_root_key_free(other);
}

/* At every allocation, OpenSSL's own too: no memory, or the right answer. Never that a good signature is wrong, which
 * in a ledger would be an answer that other nodes do not give. */
static void test_root_key_without_memory(void **state)
{
    struct crypto_root_key *whole = NULL;
    struct crypto_root_signature signature, again;
    struct crypto_root_public public_key;
    uint8_t seed[32] = {0};
    unsigned long losses = 0;

    (void)state;
    assert_int_equal(crypto_setup(NULL), 0);
    assert_int_equal(crypto_root_key_new(seed, seed, &whole, NULL), 0);
    assert_int_equal(crypto_root_sign(whole, "m", 1, &signature, NULL), 0);
    crypto_root_key_public(whole, &public_key);
    for (int lasting = 0; lasting < 2; lasting++) {
        void (*arm)(unsigned long) = lasting ? hm_alloc_fail_from : hm_alloc_fail_at;
        bool hit = true;

        for (unsigned long nth = 1; hit; nth++) {
            unsigned long before = hm_alloc_failures();
            struct crypto_root_key *key = NULL;
            int made, signed_, verified;

            arm(nth);
            made = crypto_root_key_new(seed, seed, &key, NULL);
            arm(nth);
            signed_ = crypto_root_sign(whole, "m", 1, &again, NULL);
            arm(nth);
            verified = crypto_root_verify(&public_key, "m", 1, &signature, NULL);
            hm_alloc_fail_at(0);
            hit = hm_alloc_failures() != before;
            if ((made != 0 && made != HM_ENOMEM) || (signed_ != 0 && signed_ != HM_ENOMEM) ||
                (verified != 0 && verified != HM_ENOMEM))
                fail_msg("allocation %lu lost: %s, %s, %s", nth, hm_error_name(made),
                         hm_error_name(signed_), hm_error_name(verified));
            assert_int_equal(made == 0, key != NULL);
            if (signed_ == 0)
                assert_memory_equal(&again, &signature, sizeof(signature));
            losses += (unsigned long)((made != 0) + (signed_ != 0) + (verified != 0));
            crypto_root_key_free(key);
        }
    }
    assert_true(losses > 20);
    crypto_root_key_free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc8032),
        cmocka_unit_test(test_ed25519_is_strict),
        cmocka_unit_test(test_mldsa65_known_answer),
        cmocka_unit_test(test_root_needs_both_halves),
        cmocka_unit_test(test_root_key_without_memory),
    };

    return cmocka_run_group_tests_name("crypto_sign", tests, NULL, NULL);
}
