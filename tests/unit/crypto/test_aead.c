#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto.h"

/* One known answer, all in hex. */
struct answer {
    enum crypto_aead_suite suite;
    const char *key, *nonce, *bound, *plain, *sealed;
};

static const struct answer answers[] = {
    /* McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", as submitted to NIST, appendix B: cases 13, 14, 16 */
    {CRYPTO_AES_256_GCM, "0000000000000000000000000000000000000000000000000000000000000000",
     "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {CRYPTO_AES_256_GCM, "0000000000000000000000000000000000000000000000000000000000000000",
     "000000000000000000000000", "", "00000000000000000000000000000000",
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {CRYPTO_AES_256_GCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
     "76fc6ece0f4e1768cddf8853bb2d551b"},
    /* RFC 8439, section 2.8.2 */
    {CRYPTO_CHACHA20_POLY1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
     "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
     "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
     "637265656e20776f756c642062652069742e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
     "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
     "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
     "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"},
};

static size_t from_hex(const char *hex, uint8_t *out, size_t capacity)
{
    size_t len = strlen(hex) / 2;

    assert_true(len <= capacity);
    if (len > 0)
        assert_int_equal(hm_hex_decode(hex, strlen(hex), out, len, NULL), 0);
    return len;
}

static void test_known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(answers); i++) {
        uint8_t key[32], nonce[12], bound[64], plain[256], sealed[256], out[256];
        struct crypto_aead *aead = NULL;
        struct hm_slice with;
        size_t len;

        (void)from_hex(answers[i].key, key, sizeof(key));
        (void)from_hex(answers[i].nonce, nonce, sizeof(nonce));
        with = hm_slice_of(bound, from_hex(answers[i].bound, bound, sizeof(bound)));
        len = from_hex(answers[i].plain, plain, sizeof(plain));
        assert_int_equal(from_hex(answers[i].sealed, sealed, sizeof(sealed)),
                         len + CRYPTO_AEAD_TAG_BYTES);
        assert_int_equal(crypto_aead_new(answers[i].suite, key, &aead, NULL), 0);
        /* sealing and opening take turns on one key */
        for (int round = 0; round < 2; round++) {
            assert_int_equal(
                crypto_aead_seal(aead, nonce, with, hm_slice_of(plain, len), out, NULL), 0);
            assert_memory_equal(out, sealed, len + CRYPTO_AEAD_TAG_BYTES);
            /* in place */
            assert_int_equal(crypto_aead_open(aead, nonce, with,
                                              hm_slice_of(out, len + CRYPTO_AEAD_TAG_BYTES), out,
                                              NULL),
                             0);
            assert_memory_equal(out, plain, len);
        }
        crypto_aead_free(aead);
    }
}

static void any_change_is_found(enum crypto_aead_suite suite)
{
    struct crypto_aead *aead = NULL;
    uint8_t key[32] = {3};
    uint8_t nonce[12] = {1};
    uint8_t bound[5] = "bound";
    uint8_t sealed[100 + CRYPTO_AEAD_TAG_BYTES];
    uint8_t plain[100];
    uint8_t out[100];
    static const uint8_t zeros[100];

    memset(plain, 'x', sizeof(plain));
    assert_int_equal(crypto_aead_new(suite, key, &aead, NULL), 0);
    assert_int_equal(
        crypto_aead_seal(aead, nonce, hm_slice_of(bound, 5), hm_slice_of(plain, 100), sealed, NULL),
        0);
    for (size_t i = 0; i < sizeof(sealed); i++) {
        sealed[i] ^= 0x10;
        memset(out, 1, sizeof(out));
        assert_int_equal(crypto_aead_open(aead, nonce, hm_slice_of(bound, 5),
                                          hm_slice_of(sealed, sizeof(sealed)), out, NULL),
                         HM_EAUTH);
        assert_memory_equal(out, zeros, sizeof(out));
        sealed[i] ^= 0x10;
        assert_int_equal(
            crypto_aead_open(aead, nonce, hm_slice_of(bound, 5), hm_slice_of(sealed, i), out, NULL),
            HM_EAUTH);
    }
    nonce[11] = 1;
    assert_int_equal(crypto_aead_open(aead, nonce, hm_slice_of(bound, 5),
                                      hm_slice_of(sealed, sizeof(sealed)), out, NULL),
                     HM_EAUTH);
    nonce[11] = 0;
    assert_int_equal(crypto_aead_open(aead, nonce, hm_slice_of(bound, 4),
                                      hm_slice_of(sealed, sizeof(sealed)), out, NULL),
                     HM_EAUTH);
    key[0] = 4;
    assert_int_equal(crypto_aead_rekey(aead, key, NULL), 0);
    assert_int_equal(crypto_aead_open(aead, nonce, hm_slice_of(bound, 5),
                                      hm_slice_of(sealed, sizeof(sealed)), out, NULL),
                     HM_EAUTH);
    key[0] = 3;
    assert_int_equal(crypto_aead_rekey(aead, key, NULL), 0);
    assert_int_equal(crypto_aead_open(aead, nonce, hm_slice_of(bound, 5),
                                      hm_slice_of(sealed, sizeof(sealed)), out, NULL),
                     0);
    assert_memory_equal(out, plain, sizeof(plain));
    crypto_aead_free(aead);
}

static void test_any_change_is_found(void **state)
{
    (void)state;
    any_change_is_found(CRYPTO_AES_256_GCM);
    any_change_is_found(CRYPTO_CHACHA20_POLY1305);
}

static void test_limits_and_memory(void **state)
{
    struct crypto_aead *aead = NULL;
    struct hm_error error = {0};
    uint8_t key[32] = {9};
    uint8_t nonce[12] = {0};
    uint8_t byte[1 + CRYPTO_AEAD_TAG_BYTES] = {0};

    (void)state;
    assert_int_equal(crypto_aead_new((enum crypto_aead_suite)7, key, &aead, &error), HM_EINVAL);
    for (unsigned long nth = 1; aead == NULL; nth++) {
        int rc;

        assert_true(nth < 50);
        hm_alloc_fail_at(nth);
        rc = crypto_aead_new(CRYPTO_AES_256_GCM, key, &aead, &error);
        hm_alloc_fail_at(0);
        assert_true(rc == 0 || rc == HM_ENOMEM);
        assert_true((rc == 0) == (aead != NULL));
    }
    assert_int_equal(crypto_aead_seal(aead, nonce, (struct hm_slice){0},
                                      hm_slice_of(byte, CRYPTO_AEAD_MAX_BYTES + 1), byte, &error),
                     HM_ELIMIT);
    assert_int_equal(
        crypto_aead_open(aead, nonce, (struct hm_slice){0}, hm_slice_of(byte, 15), byte, &error),
        HM_EAUTH);
    crypto_aead_free(aead);
    crypto_aead_free(NULL);
}

/* BLAKE3's official test_vectors.json: key and context of that file, inputs 0, 1, … 250, 0, 1, … */
static void test_keyed_hash(void **state)
{
    static const struct {
        size_t len;
        const char *keyed;
    } vectors[] = {
        {0, "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26"},
        {1, "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b"},
        {1024, "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4"},
        {1025, "357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69"},
    };
    static const char key[] = "whats the Elvish word for friend";
    uint8_t input[1025];
    uint8_t secret[32];
    uint8_t expected[32];
    uint8_t out[32];

    (void)state;
    for (size_t i = 0; i < sizeof(input); i++)
        input[i] = (uint8_t)(i % 251);
    for (size_t i = 0; i < HM_COUNT_OF(vectors); i++) {
        (void)from_hex(vectors[i].keyed, expected, sizeof(expected));
        crypto_hash_keyed((const uint8_t *)key, input, vectors[i].len, out);
        assert_memory_equal(out, expected, 32);
    }
    memcpy(secret, input, 32);
    crypto_derive("hypermesh 1 test", secret, hm_slice_of(input + 32, 64), out);
    crypto_hash_parts("hypermesh 1 test", (struct hm_slice[]){{.data = input, .len = 96}}, 1,
                      expected);
    assert_memory_equal(out, expected, 32);
    crypto_derive("hypermesh 1 test", secret, hm_slice_of(input + 32, 65), out);
    assert_memory_not_equal(out, expected, 32);
    crypto_derive("hypermesh 1 test", secret, (struct hm_slice){0}, out);
    crypto_hash_parts("hypermesh 1 test", (struct hm_slice[]){{.data = input, .len = 32}}, 1,
                      expected);
    assert_memory_equal(out, expected, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_any_change_is_found),
        cmocka_unit_test(test_limits_and_memory),
        cmocka_unit_test(test_keyed_hash),
    };

    return cmocka_run_group_tests_name("crypto_aead", tests, NULL, NULL);
}
