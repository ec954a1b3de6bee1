#include <openssl/evp.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "crypto.h"
#include "crypto_library.h"

struct crypto_aead {
    EVP_CIPHER_CTX *context; /* holds the key's schedule; a call sets the nonce alone */
    bool usable;
};

static const EVP_CIPHER *aead_cipher(enum crypto_aead_suite suite)
{
    switch (suite) {
    case CRYPTO_AES_256_GCM:
        return crypto_library()->aes_256_gcm;
    case CRYPTO_CHACHA20_POLY1305:
        return crypto_library()->chacha20_poly1305;
    }
    return NULL;
}

int crypto_aead_rekey(struct crypto_aead *aead, const uint8_t key[CRYPTO_KEY_BYTES],
                      struct hm_error *error)
{
    aead->usable = EVP_CipherInit_ex2(aead->context, NULL, key, NULL, 1, NULL) == 1;
    if (!aead->usable)
        return hm_fail(error, HM_ENOMEM, "no memory for a sealing key");
    return 0;
}

int crypto_aead_new(enum crypto_aead_suite suite, const uint8_t key[CRYPTO_KEY_BYTES],
                    struct crypto_aead **out, struct hm_error *error)
{
    const EVP_CIPHER *cipher = aead_cipher(suite);
    struct crypto_aead *aead;

    if (cipher == NULL)
        return hm_fail(error, HM_EINVAL, "there is no sealing suite %d", (int)suite);
    aead = hm_calloc(1, sizeof(*aead));
    if (aead == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a sealing key");
    aead->context = EVP_CIPHER_CTX_new();
    if (aead->context == NULL ||
        EVP_CipherInit_ex2(aead->context, cipher, key, NULL, 1, NULL) != 1) {
        crypto_aead_free(aead);
        return hm_fail(error, HM_ENOMEM, "no memory for a sealing key");
    }
    aead->usable = true;
    *out = aead;
    return 0;
}

void crypto_aead_free(struct crypto_aead *aead)
{
    if (aead == NULL)
        return;
    EVP_CIPHER_CTX_free(aead->context); /* wipes the schedule */
    hm_free(aead);
}

/* What is bound, then the message; encrypt says which way. */
static bool aead_run(struct crypto_aead *aead, const uint8_t *nonce, struct hm_slice bound,
                     const uint8_t *in, size_t len, uint8_t *out, int encrypt)
{
    int done = 0;

    if (!aead->usable || EVP_CipherInit_ex2(aead->context, NULL, NULL, nonce, encrypt, NULL) != 1 ||
        (bound.len > 0 &&
         EVP_CipherUpdate(aead->context, NULL, &done, bound.data, (int)bound.len) != 1))
        return false;
    return len == 0 ||
           (EVP_CipherUpdate(aead->context, out, &done, in, (int)len) == 1 && done == (int)len);
}

static int aead_check_size(struct hm_slice bound, size_t len, struct hm_error *error)
{
    if (bound.len > CRYPTO_AEAD_MAX_BYTES || len > CRYPTO_AEAD_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "a message to seal has %zu bytes, at most %zu go", len,
                       CRYPTO_AEAD_MAX_BYTES);
    return 0;
}

int crypto_aead_seal(struct crypto_aead *aead, const uint8_t nonce[CRYPTO_AEAD_NONCE_BYTES],
                     struct hm_slice bound, struct hm_slice plain, uint8_t *sealed,
                     struct hm_error *error)
{
    unsigned char none[1];
    int done = 0;
    int rc = aead_check_size(bound, plain.len, error);

    if (rc != 0)
        return rc;
    if (!aead_run(aead, nonce, bound, plain.data, plain.len, sealed, 1) ||
        EVP_CipherFinal_ex(aead->context, none, &done) != 1 ||
        EVP_CIPHER_CTX_ctrl(aead->context, EVP_CTRL_AEAD_GET_TAG, CRYPTO_AEAD_TAG_BYTES,
                            sealed + plain.len) != 1) {
        hm_wipe(sealed, plain.len + CRYPTO_AEAD_TAG_BYTES);
        return hm_fail(error, HM_EINTERNAL, "sealing %zu bytes failed", plain.len);
    }
    return 0;
}

int crypto_aead_open(struct crypto_aead *aead, const uint8_t nonce[CRYPTO_AEAD_NONCE_BYTES],
                     struct hm_slice bound, struct hm_slice sealed, uint8_t *plain,
                     struct hm_error *error)
{
    uint8_t tag[CRYPTO_AEAD_TAG_BYTES];
    unsigned char none[1];
    size_t len;
    int done = 0;
    int rc;

    if (sealed.len < CRYPTO_AEAD_TAG_BYTES)
        return hm_fail(error, HM_EAUTH, "sealed data is cut short: %zu bytes", sealed.len);
    len = sealed.len - CRYPTO_AEAD_TAG_BYTES;
    rc = aead_check_size(bound, len, error);
    if (rc != 0)
        return rc;
    memcpy(tag, sealed.data + len, sizeof(tag));
    if (!aead_run(aead, nonce, bound, sealed.data, len, plain, 0) ||
        EVP_CIPHER_CTX_ctrl(aead->context, EVP_CTRL_AEAD_SET_TAG, CRYPTO_AEAD_TAG_BYTES, tag) !=
            1 ||
        EVP_CipherFinal_ex(aead->context, none, &done) != 1) {
        hm_wipe(plain, len);
        return hm_fail(error, HM_EAUTH,
                       "sealed data does not open: the key is wrong or the data was changed");
    }
    return 0;
}

bool crypto_aead_has_aes_hardware(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
    return (getauxval(AT_HWCAP) & (1UL << 3)) != 0 && (getauxval(AT_HWCAP) & (1UL << 4)) != 0;
#else
    return false;
#endif
}
