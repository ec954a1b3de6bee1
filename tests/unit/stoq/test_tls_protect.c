/* Packet protection as stoq_protect_install sets it: RFC 9001's examples, and bytes that were changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ngtcp2/ngtcp2_crypto_ossl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "stoq_tls.h"

static size_t unhex(const char *hex, uint8_t *out)
{
    size_t len = 0;
    for (; hex[0] != '\0'; hex += 2) {
        unsigned byte = 0;
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        out[len++] = (uint8_t)byte;
    }
    return len;
}

struct keys {
    EVP_CIPHER *cipher;
    EVP_CIPHER *header_cipher;
    ngtcp2_crypto_aead aead;
    ngtcp2_crypto_aead_ctx seal;
    ngtcp2_crypto_aead_ctx open;
    ngtcp2_crypto_cipher header;
    ngtcp2_crypto_cipher_ctx mask;
};

static void keys_init(struct keys *keys, const char *cipher, const char *header_cipher,
                      const uint8_t *key, const uint8_t *header_key)
{
    *keys = (struct keys){0};
    keys->cipher = EVP_CIPHER_fetch(NULL, cipher, NULL);
    keys->header_cipher = EVP_CIPHER_fetch(NULL, header_cipher, NULL);
    assert_non_null(keys->cipher);
    assert_non_null(keys->header_cipher);
    keys->aead = (ngtcp2_crypto_aead){.native_handle = keys->cipher, .max_overhead = 16};
    keys->header.native_handle = keys->header_cipher;
    assert_int_equal(ngtcp2_crypto_aead_ctx_encrypt_init(&keys->seal, &keys->aead, key, 12), 0);
    assert_int_equal(ngtcp2_crypto_aead_ctx_decrypt_init(&keys->open, &keys->aead, key, 12), 0);
    EVP_CIPHER_CTX *mask = EVP_CIPHER_CTX_new();
    assert_int_equal(EVP_EncryptInit_ex(mask, keys->header_cipher, NULL, header_key, NULL), 1);
    keys->mask.native_handle = mask;
}

static void keys_release(struct keys *keys, const ngtcp2_callbacks *callbacks)
{
    callbacks->delete_crypto_aead_ctx(NULL, &keys->seal, NULL);
    callbacks->delete_crypto_aead_ctx(NULL, &keys->open, NULL);
    callbacks->delete_crypto_cipher_ctx(NULL, &keys->mask, NULL);
    EVP_CIPHER_free(keys->cipher);
    EVP_CIPHER_free(keys->header_cipher);
}

/* RFC 9001 appendix A.3: the server's Initial. */
static void test_server_initial(void **state)
{
    uint8_t key[16];
    uint8_t iv[12];
    uint8_t header_key[16];
    uint8_t header[32];
    uint8_t payload[128];
    uint8_t expected[160];
    uint8_t sealed[160];
    uint8_t mask[16];
    uint8_t opened[128];
    ngtcp2_callbacks callbacks = {0};
    struct keys keys;
    (void)state;
    stoq_protect_install(&callbacks);
    unhex("cf3a5331653c364c88f0f379b6067e37", key);
    unhex("0ac1493ca1905853b0bba03e", iv);
    unhex("c206b8d9b9f0f37644430b490eeaa314", header_key);
    size_t header_len = unhex("c1000000010008f067a5502a4262b50040750001", header);
    size_t len = unhex("02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf739"
                       "88cfc79825df566dc5430b9a045a1200130100002e00330024001d00209d3c94"
                       "0d89690b84d08a60993c144eca684d1081287c834d5311bcf32bb9da1a002b00"
                       "020304",
                       payload);
    size_t packet_len = unhex("cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a"
                              "5816b6394100f37a1c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3"
                              "dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84"
                              "022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc4"
                              "2158407dd074ee",
                              expected);
    keys_init(&keys, "AES-128-GCM", "AES-128-ECB", key, header_key);
    iv[11] ^= 1; /* packet number 1 */
    assert_int_equal(
        callbacks.encrypt(sealed, &keys.aead, &keys.seal, payload, len, iv, 12, header, header_len),
        0);
    assert_int_equal(packet_len, header_len + len + 16);
    assert_memory_equal(sealed, expected + header_len, len + 16);
    /* The sample begins 4 bytes after the packet number's beginning, which is 2 bytes long here. */
    assert_int_equal(callbacks.hp_mask(mask, &keys.header, &keys.mask, sealed + 2), 0);
    assert_int_equal((header[0] ^ (mask[0] & 0x0f)), expected[0]);
    assert_int_equal(header[header_len - 2] ^ mask[1], expected[header_len - 2]);
    assert_int_equal(header[header_len - 1] ^ mask[2], expected[header_len - 1]);
    assert_int_equal(callbacks.decrypt(opened, &keys.aead, &keys.open, sealed, len + 16, iv, 12,
                                       header, header_len),
                     0);
    assert_memory_equal(opened, payload, len);
    keys_release(&keys, &callbacks);
}

/* RFC 9001 appendix A.5: a short header packet with ChaCha20-Poly1305. */
static void test_chacha(void **state)
{
    uint8_t key[32];
    uint8_t iv[12];
    uint8_t header_key[32];
    uint8_t header[8];
    uint8_t expected[32];
    uint8_t sealed[32];
    uint8_t mask[16];
    uint8_t expected_mask[8];
    const uint8_t payload[1] = {0x01};
    ngtcp2_callbacks callbacks = {0};
    struct keys keys;
    (void)state;
    stoq_protect_install(&callbacks);
    unhex("c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8", key);
    unhex("e0459b3474bdd0e46d417eb0", iv); /* the nonce: packet number 654360564 is in it */
    unhex("25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4", header_key);
    size_t header_len = unhex("4200bff4", header);
    size_t len = unhex("655e5cd55c41f69080575d7999c25a5bfb", expected);
    unhex("aefefe7d03", expected_mask);
    keys_init(&keys, "ChaCha20-Poly1305", "ChaCha20", key, header_key);
    assert_int_equal(
        callbacks.encrypt(sealed, &keys.aead, &keys.seal, payload, 1, iv, 12, header, header_len),
        0);
    assert_memory_equal(sealed, expected, len);
    assert_int_equal(callbacks.hp_mask(mask, &keys.header, &keys.mask, sealed + 1), 0);
    assert_memory_equal(mask, expected_mask, 5);
    keys_release(&keys, &callbacks);
}

/* In place, of all sizes; one bit changed anywhere and it does not open; the context still works after that. */
static void round_trip(const ngtcp2_callbacks *callbacks, const char *cipher, const char *header,
                       size_t len)
{
    static uint8_t plain[STOQ_UDP_PAYLOAD_MAX];
    static uint8_t work[STOQ_UDP_PAYLOAD_MAX + 16];
    static uint8_t other[STOQ_UDP_PAYLOAD_MAX + 16];
    uint8_t key[32];
    uint8_t nonce[12];
    uint8_t aad[20];
    struct keys keys;
    RAND_bytes(key, sizeof(key));
    RAND_bytes(nonce, sizeof(nonce));
    RAND_bytes(aad, sizeof(aad));
    RAND_bytes(plain, (int)len);
    keys_init(&keys, cipher, header, key, key);
    memcpy(work, plain, len);
    assert_int_equal(
        callbacks->encrypt(work, &keys.aead, &keys.seal, work, len, nonce, 12, aad, sizeof(aad)),
        0);
    assert_int_equal(
        ngtcp2_crypto_encrypt_cb(other, &keys.aead, &keys.seal, plain, len, nonce, 12, aad, 20), 0);
    assert_memory_equal(work, other, len + 16);
    for (size_t at = 0; at < len + 16; at += len / 3 + 5) {
        work[at] ^= 4;
        assert_int_not_equal(callbacks->decrypt(other, &keys.aead, &keys.open, work, len + 16,
                                                nonce, 12, aad, sizeof(aad)),
                             0);
        work[at] ^= 4;
    }
    assert_int_not_equal(
        callbacks->decrypt(other, &keys.aead, &keys.open, work, 15, nonce, 12, aad, sizeof(aad)),
        0); /* shorter than a tag */
    aad[3] ^= 1;
    assert_int_not_equal(callbacks->decrypt(other, &keys.aead, &keys.open, work, len + 16, nonce,
                                            12, aad, sizeof(aad)),
                         0);
    aad[3] ^= 1;
    assert_int_equal(callbacks->decrypt(work, &keys.aead, &keys.open, work, len + 16, nonce, 12,
                                        aad, sizeof(aad)),
                     0);
    assert_memory_equal(work, plain, len);
    keys_release(&keys, callbacks);
}

static void test_all_sizes(void **state)
{
    static const size_t sizes[] = {
        1,    2,    15,   16,   17,   63,    64,    65,
        1200, 1423, 1452, 8900, 9000, 16384, 65000, STOQ_UDP_PAYLOAD_MAX};
    ngtcp2_callbacks callbacks = {0};
    (void)state;
    stoq_protect_install(&callbacks);
    for (size_t i = 0; i < HM_COUNT_OF(sizes); i++) {
        round_trip(&callbacks, "AES-128-GCM", "AES-128-ECB", sizes[i]);
        round_trip(&callbacks, "AES-256-GCM", "AES-256-ECB", sizes[i]);
        round_trip(&callbacks, "ChaCha20-Poly1305", "ChaCha20", sizes[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_initial),
        cmocka_unit_test(test_chacha),
        cmocka_unit_test(test_all_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
