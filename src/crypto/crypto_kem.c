/* A key for somebody who is known by his public key: X25519 (RFC 7748) beside ML-KEM-768 (FIPS 203), so that a break of one kind
 * alone opens nothing. */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <sodium/crypto_scalarmult_curve25519.h>

#include "crypto.h"
#include "crypto_library.h"

#define MLKEM_NAME "ML-KEM-768"

_Static_assert(CRYPTO_X25519_BYTES == crypto_scalarmult_curve25519_BYTES &&
                   CRYPTO_X25519_BYTES == crypto_scalarmult_curve25519_SCALARBYTES,
               "X25519");

struct crypto_kem_key {
    uint8_t x25519[CRYPTO_X25519_BYTES];
    EVP_PKEY *mlkem768;
    struct crypto_kem_public public_key;
};

static void pkey_context_release(EVP_PKEY_CTX **context)
{
    EVP_PKEY_CTX_free(*context);
}

static void pkey_release(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

/* As in crypto_root.c: OpenSSL's queue of errors is left empty, and what it says without memory does not count. */
static int mlkem_fail(struct hm_error *error, int code, const char *what)
{
    ERR_clear_error();
    if (crypto_library_starved())
        return hm_fail(error, HM_ENOMEM, "no memory for " MLKEM_NAME);
    return hm_fail(error, code, "%s", what);
}

static int mlkem_done(struct hm_error *error)
{
    return crypto_library_starved() ? mlkem_fail(error, HM_ENOMEM, "") : 0;
}

static int mlkem_from_seed(const uint8_t seed[CRYPTO_MLKEM768_SEED_BYTES], EVP_PKEY **out,
                           struct hm_error *error)
{
    __attribute__((cleanup(pkey_context_release)))
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, MLKEM_NAME, NULL);
    EVP_PKEY *pkey = NULL;
    uint8_t copy[CRYPTO_MLKEM768_SEED_BYTES]; /* OSSL_PARAM has no const form */
    OSSL_PARAM params[2];
    int done;

    if (context == NULL || EVP_PKEY_fromdata_init(context) != 1)
        return mlkem_fail(error, HM_EINTERNAL, "OpenSSL cannot make " MLKEM_NAME " keys");
    memcpy(copy, seed, sizeof(copy));
    params[0] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_ML_KEM_SEED, copy, sizeof(copy));
    params[1] = OSSL_PARAM_construct_end();
    done = EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_KEYPAIR, params);
    hm_wipe(copy, sizeof(copy));
    if (done != 1)
        return mlkem_fail(error, HM_EINTERNAL, "OpenSSL refused the " MLKEM_NAME " seed");
    *out = pkey;
    return 0;
}

int crypto_kem_key_new(const uint8_t x25519_seed[CRYPTO_X25519_BYTES],
                       const uint8_t mlkem768_seed[CRYPTO_MLKEM768_SEED_BYTES],
                       struct crypto_kem_key **out, struct hm_error *error)
{
    struct crypto_kem_key *key;
    size_t size = CRYPTO_MLKEM768_PUBLIC_BYTES;
    int rc = crypto_setup(error);

    if (rc != 0)
        return rc;
    key = hm_calloc(1, sizeof(*key));
    if (key == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a key");
    memcpy(key->x25519, x25519_seed, sizeof(key->x25519));
    (void)crypto_scalarmult_curve25519_base(key->public_key.x25519, key->x25519);
    crypto_library_begin();
    rc = mlkem_from_seed(mlkem768_seed, &key->mlkem768, error);
    if (rc == 0 &&
        (EVP_PKEY_get_raw_public_key(key->mlkem768, key->public_key.mlkem768, &size) != 1 ||
         size != CRYPTO_MLKEM768_PUBLIC_BYTES))
        rc = mlkem_fail(error, HM_EINTERNAL, "OpenSSL gave no " MLKEM_NAME " public key");
    if (rc == 0)
        rc = mlkem_done(error);
    if (rc != 0) {
        crypto_kem_key_free(key);
        return rc;
    }
    *out = key;
    return 0;
}

void crypto_kem_key_free(struct crypto_kem_key *key)
{
    if (key == NULL)
        return;
    EVP_PKEY_free(key->mlkem768); /* wipes its secret part */
    hm_wipe(key, sizeof(*key));
    hm_free(key);
}

void crypto_kem_key_public(const struct crypto_kem_key *key, struct crypto_kem_public *out)
{
    *out = key->public_key;
}

/* Both secrets, and all that was said in the open: who changes any of it changes the key. */
static void combine(const uint8_t mlkem768[CRYPTO_KEY_BYTES],
                    const uint8_t x25519[CRYPTO_X25519_BYTES],
                    const struct crypto_kem_ciphertext *ciphertext,
                    const struct crypto_kem_public *public_key, uint8_t out[CRYPTO_KEY_BYTES])
{
    struct crypto_hasher hasher;

    crypto_hasher_init_context(&hasher, "hypermesh 1 kem X25519 ML-KEM-768");
    crypto_hasher_update(&hasher, mlkem768, CRYPTO_KEY_BYTES);
    crypto_hasher_update(&hasher, x25519, CRYPTO_X25519_BYTES);
    crypto_hasher_update(&hasher, ciphertext->mlkem768, sizeof(ciphertext->mlkem768));
    crypto_hasher_update(&hasher, ciphertext->x25519, sizeof(ciphertext->x25519));
    crypto_hasher_update(&hasher, public_key->mlkem768, sizeof(public_key->mlkem768));
    crypto_hasher_update(&hasher, public_key->x25519, sizeof(public_key->x25519));
    crypto_hasher_final(&hasher, out);
    hm_wipe(&hasher, sizeof(hasher));
}

static int mlkem_seal(const uint8_t public_key[CRYPTO_MLKEM768_PUBLIC_BYTES],
                      const uint8_t entropy[CRYPTO_KEY_BYTES],
                      uint8_t ciphertext[CRYPTO_MLKEM768_CIPHERTEXT_BYTES],
                      uint8_t secret[CRYPTO_KEY_BYTES], struct hm_error *error)
{
    __attribute__((cleanup(pkey_release))) EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key_ex(
        NULL, MLKEM_NAME, NULL, public_key, CRYPTO_MLKEM768_PUBLIC_BYTES);
    __attribute__((cleanup(pkey_context_release))) EVP_PKEY_CTX *context = NULL;
    uint8_t copy[CRYPTO_KEY_BYTES];
    OSSL_PARAM params[2];
    size_t ciphertext_len = CRYPTO_MLKEM768_CIPHERTEXT_BYTES, secret_len = CRYPTO_KEY_BYTES;
    int done;

    if (pkey == NULL)
        return mlkem_fail(error, HM_EAUTH, "the public key's " MLKEM_NAME " half is malformed");
    context = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    memcpy(copy, entropy, sizeof(copy));
    params[0] = OSSL_PARAM_construct_octet_string(OSSL_KEM_PARAM_IKME, copy, sizeof(copy));
    params[1] = OSSL_PARAM_construct_end();
    done = context != NULL && EVP_PKEY_encapsulate_init(context, params) == 1 &&
           EVP_PKEY_encapsulate(context, ciphertext, &ciphertext_len, secret, &secret_len) == 1 &&
           ciphertext_len == CRYPTO_MLKEM768_CIPHERTEXT_BYTES && secret_len == CRYPTO_KEY_BYTES;
    hm_wipe(copy, sizeof(copy));
    return done ? mlkem_done(error)
                : mlkem_fail(error, HM_EINTERNAL, "OpenSSL cannot encapsulate with " MLKEM_NAME);
}

static int x25519_seal(const struct crypto_kem_public *public_key,
                       const uint8_t secret_key[CRYPTO_X25519_BYTES],
                       struct crypto_kem_ciphertext *ciphertext,
                       uint8_t secret[CRYPTO_X25519_BYTES], struct hm_error *error)
{
    (void)crypto_scalarmult_curve25519_base(ciphertext->x25519, secret_key);
    if (crypto_scalarmult_curve25519(secret, secret_key, public_key->x25519) != 0)
        return hm_fail(error, HM_EAUTH, "the public key's X25519 half is of small order");
    return 0;
}

int crypto_kem_seal(const struct crypto_kem_public *public_key, const struct hm_random *random,
                    struct crypto_kem_ciphertext *ciphertext, uint8_t key[CRYPTO_KEY_BYTES],
                    struct hm_error *error)
{
    struct {
        uint8_t entropy[CRYPTO_KEY_BYTES], x25519_key[CRYPTO_X25519_BYTES];
        uint8_t mlkem768[CRYPTO_KEY_BYTES], x25519[CRYPTO_X25519_BYTES];
    } secret;
    struct crypto_kem_ciphertext made;
    int rc = crypto_setup(error);

    if (rc != 0)
        return rc;
    if (random->fill(random->ctx, secret.entropy, sizeof(secret.entropy)) != 0 ||
        random->fill(random->ctx, secret.x25519_key, sizeof(secret.x25519_key)) != 0)
        return hm_fail(error, HM_EIO, "the source of random bytes failed; nothing was sealed");
    crypto_library_begin();
    rc = mlkem_seal(public_key->mlkem768, secret.entropy, made.mlkem768, secret.mlkem768, error);
    if (rc == 0)
        rc = x25519_seal(public_key, secret.x25519_key, &made, secret.x25519, error);
    if (rc == 0) {
        combine(secret.mlkem768, secret.x25519, &made, public_key, key);
        *ciphertext = made;
    }
    hm_wipe(&secret, sizeof(secret));
    return rc;
}

static int mlkem_open(const struct crypto_kem_key *key, const uint8_t *ciphertext,
                      uint8_t secret[CRYPTO_KEY_BYTES], struct hm_error *error)
{
    __attribute__((cleanup(pkey_context_release)))
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key->mlkem768, NULL);
    size_t len = CRYPTO_KEY_BYTES;

    if (context == NULL || EVP_PKEY_decapsulate_init(context, NULL) != 1 ||
        EVP_PKEY_decapsulate(context, secret, &len, ciphertext, CRYPTO_MLKEM768_CIPHERTEXT_BYTES) !=
            1 ||
        len != CRYPTO_KEY_BYTES)
        return mlkem_fail(error, HM_EINTERNAL, "OpenSSL cannot decapsulate with " MLKEM_NAME);
    return mlkem_done(error);
}

int crypto_kem_open(const struct crypto_kem_key *key,
                    const struct crypto_kem_ciphertext *ciphertext, uint8_t out[CRYPTO_KEY_BYTES],
                    struct hm_error *error)
{
    struct {
        uint8_t mlkem768[CRYPTO_KEY_BYTES], x25519[CRYPTO_X25519_BYTES];
    } secret;
    int rc;

    crypto_library_begin();
    rc = mlkem_open(key, ciphertext->mlkem768, secret.mlkem768, error);
    if (rc == 0 &&
        crypto_scalarmult_curve25519(secret.x25519, key->x25519, ciphertext->x25519) != 0)
        rc = hm_fail(error, HM_EAUTH, "what was sealed has an X25519 half of small order");
    if (rc == 0)
        combine(secret.mlkem768, secret.x25519, ciphertext, &key->public_key, out);
    hm_wipe(&secret, sizeof(secret));
    return rc;
}
