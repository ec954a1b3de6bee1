/* Root keys: Ed25519 beside ML-DSA-65 (FIPS 204), so that a break of one kind alone forges nothing. */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include "crypto.h"
#include "crypto_library.h"

#define MLDSA65_NAME "ML-DSA-65"

struct crypto_root_key {
    struct crypto_ed25519_key ed25519;
    EVP_PKEY *mldsa65;
    uint8_t mldsa65_public[CRYPTO_MLDSA65_PUBLIC_BYTES];
};

static void pkey_context_release(EVP_PKEY_CTX **context)
{
    EVP_PKEY_CTX_free(*context);
}

static void pkey_release(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

/* OpenSSL keeps a queue of errors in the thread; ours says enough, and the next caller must not find
 * these. */
static int mldsa_fail(struct hm_error *error, int code, const char *what)
{
    ERR_clear_error();
    if (crypto_library_starved())
        return hm_fail(error, HM_ENOMEM, "no memory for " MLDSA65_NAME);
    return hm_fail(error, code, "%s", what);
}

/* The answer to something that went well as far as OpenSSL says. */
static int mldsa_done(struct hm_error *error)
{
    return crypto_library_starved() ? mldsa_fail(error, HM_ENOMEM, "") : 0;
}

static int mldsa_from_seed(const uint8_t seed[CRYPTO_SEED_BYTES], EVP_PKEY **out,
                           struct hm_error *error)
{
    __attribute__((cleanup(pkey_context_release)))
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, MLDSA65_NAME, NULL);
    EVP_PKEY *pkey = NULL;
    uint8_t copy[CRYPTO_SEED_BYTES]; /* OSSL_PARAM has no const form */
    OSSL_PARAM params[2];
    int done;

    if (context == NULL || EVP_PKEY_fromdata_init(context) != 1)
        return mldsa_fail(error, HM_EINTERNAL, "OpenSSL cannot make " MLDSA65_NAME " keys");
    memcpy(copy, seed, sizeof(copy));
    params[0] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_ML_DSA_SEED, copy, sizeof(copy));
    params[1] = OSSL_PARAM_construct_end();
    done = EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_KEYPAIR, params);
    hm_wipe(copy, sizeof(copy));
    if (done != 1)
        return mldsa_fail(error, HM_EINTERNAL, "OpenSSL refused the " MLDSA65_NAME " seed");
    *out = pkey;
    return 0;
}

int crypto_root_key_new(const uint8_t ed25519_seed[CRYPTO_SEED_BYTES],
                        const uint8_t mldsa65_seed[CRYPTO_SEED_BYTES], struct crypto_root_key **out,
                        struct hm_error *error)
{
    struct crypto_root_key *key;
    size_t size = 0;
    int rc = crypto_setup(error);

    if (rc != 0)
        return rc;
    key = hm_calloc(1, sizeof(*key));
    if (key == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a root key");
    crypto_ed25519_from_seed(&key->ed25519, ed25519_seed);
    crypto_library_begin();
    rc = mldsa_from_seed(mldsa65_seed, &key->mldsa65, error);
    if (rc == 0 && (EVP_PKEY_get_raw_public_key(key->mldsa65, NULL, &size) != 1 ||
                    size != sizeof(key->mldsa65_public) ||
                    EVP_PKEY_get_raw_public_key(key->mldsa65, key->mldsa65_public, &size) != 1))
        rc = mldsa_fail(error, HM_EINTERNAL, "OpenSSL gave no " MLDSA65_NAME " public key");
    if (rc == 0)
        rc = mldsa_done(error);
    if (rc != 0) {
        crypto_root_key_free(key);
        return rc;
    }
    *out = key;
    return 0;
}

void crypto_root_key_free(struct crypto_root_key *key)
{
    if (key == NULL)
        return;
    EVP_PKEY_free(key->mldsa65); /* wipes its secret part */
    hm_wipe(key, sizeof(*key));
    hm_free(key);
}

void crypto_root_key_public(const struct crypto_root_key *key, struct crypto_root_public *out)
{
    memcpy(out->ed25519, key->ed25519.public_key, sizeof(out->ed25519));
    memcpy(out->mldsa65, key->mldsa65_public, sizeof(out->mldsa65));
}

void crypto_root_id(const struct crypto_root_public *public_key, uint8_t out[CRYPTO_HASH_BYTES])
{
    const struct hm_slice parts[] = {
        hm_slice_of(public_key->ed25519, sizeof(public_key->ed25519)),
        hm_slice_of(public_key->mldsa65, sizeof(public_key->mldsa65)),
    };

    crypto_hash_parts("hypermesh 1 account", parts, HM_COUNT_OF(parts), out);
}

static int mldsa_sign(EVP_PKEY *pkey, const void *message, size_t len,
                      uint8_t signature[CRYPTO_MLDSA65_SIGNATURE_BYTES], struct hm_error *error)
{
    __attribute__((cleanup(pkey_context_release)))
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    int deterministic = 1;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_DETERMINISTIC, &deterministic),
        OSSL_PARAM_END,
    };
    size_t size = CRYPTO_MLDSA65_SIGNATURE_BYTES;

    if (context == NULL ||
        EVP_PKEY_sign_message_init(context, crypto_library()->mldsa65, params) != 1 ||
        EVP_PKEY_sign(context, signature, &size, crypto_bytes(message), len) != 1 ||
        size != CRYPTO_MLDSA65_SIGNATURE_BYTES)
        return mldsa_fail(error, HM_EINTERNAL, "OpenSSL cannot sign with " MLDSA65_NAME);
    return mldsa_done(error);
}

int crypto_root_sign(const struct crypto_root_key *key, const void *message, size_t len,
                     struct crypto_root_signature *out, struct hm_error *error)
{
    struct crypto_root_signature signature;
    int rc;

    crypto_library_begin();
    rc = mldsa_sign(key->mldsa65, message, len, signature.mldsa65, error);
    if (rc != 0)
        return rc;
    crypto_ed25519_sign(&key->ed25519, message, len, signature.ed25519);
    *out = signature;
    return 0;
}

static int mldsa_verify(const uint8_t public_key[CRYPTO_MLDSA65_PUBLIC_BYTES], const void *message,
                        size_t len, const uint8_t signature[CRYPTO_MLDSA65_SIGNATURE_BYTES],
                        struct hm_error *error)
{
    __attribute__((cleanup(pkey_release))) EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key_ex(
        NULL, MLDSA65_NAME, NULL, public_key, CRYPTO_MLDSA65_PUBLIC_BYTES);
    __attribute__((cleanup(pkey_context_release))) EVP_PKEY_CTX *context = NULL;

    if (pkey == NULL)
        return mldsa_fail(error, HM_EAUTH, "the root key's " MLDSA65_NAME " half is malformed");
    context = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    if (context == NULL ||
        EVP_PKEY_verify_message_init(context, crypto_library()->mldsa65, NULL) != 1)
        return mldsa_fail(error, HM_EINTERNAL, "OpenSSL cannot verify " MLDSA65_NAME);
    if (EVP_PKEY_verify(context, signature, CRYPTO_MLDSA65_SIGNATURE_BYTES, crypto_bytes(message),
                        len) != 1)
        return mldsa_fail(error, HM_EAUTH, "the root signature's " MLDSA65_NAME " half is wrong");
    return mldsa_done(error);
}

int crypto_root_verify(const struct crypto_root_public *public_key, const void *message, size_t len,
                       const struct crypto_root_signature *signature, struct hm_error *error)
{
    int rc = crypto_setup(error);

    if (rc != 0)
        return rc;
    if (crypto_ed25519_verify(public_key->ed25519, message, len, signature->ed25519) != 0)
        return hm_fail(error, HM_EAUTH, "the root signature's Ed25519 half is wrong");
    crypto_library_begin();
    return mldsa_verify(public_key->mldsa65, message, len, signature->mldsa65, error);
}
