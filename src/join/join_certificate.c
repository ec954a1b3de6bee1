/* The certificate that shows an engine node's key: Ed25519, signed by itself. The key says everything; name and dates are there
 * because certificates have them. */
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "join_private.h"

#define CERTIFICATE_MAX_BYTES 4096

static bool certificate_fill(X509 *certificate, EVP_PKEY *key)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    const unsigned char text[] = "hypermesh";

    return X509_set_version(certificate, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1 &&
           ASN1_TIME_set_string(X509_getm_notBefore(certificate), "20200101000000Z") == 1 &&
           ASN1_TIME_set_string(X509_getm_notAfter(certificate), "99991231235959Z") == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0) == 1 &&
           X509_set_issuer_name(certificate, name) == 1 && X509_set_pubkey(certificate, key) == 1 &&
           X509_sign(certificate, key, NULL) > 0;
}

static struct stoq_bytes bio_bytes(BIO *bio)
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);

    return (struct stoq_bytes){(const uint8_t *)data, len > 0 ? (size_t)len : 0};
}

int join_stoq_failed(int code, const struct stoq_error *why, const char *what,
                     struct hm_error *error)
{
    static const struct {
        int stoq, ours;
    } codes[] = {{STOQ_ENOMEM, HM_ENOMEM}, {STOQ_EIO, HM_EIO},           {STOQ_EINVAL, HM_EINVAL},
                 {STOQ_EPARSE, HM_EPARSE}, {STOQ_EAUTH, HM_EAUTH},       {STOQ_EPERM, HM_EAUTH},
                 {STOQ_ELIMIT, HM_ELIMIT}, {STOQ_ETIMEOUT, HM_ETIMEOUT}, {STOQ_ECLOSED, HM_EIO}};
    int ours = HM_EUNAVAILABLE;

    for (size_t i = 0; i < HM_COUNT_OF(codes); i++)
        if (codes[i].stoq == code)
            ours = codes[i].ours;
    return hm_fail(error, ours, "%s: %s", what,
                   why->text[0] != '\0' ? why->text : stoq_code_name(code));
}

int join_certificate_identity(const struct crypto_ed25519_key *key, struct stoq_identity **out,
                              struct hm_error *error)
{
    EVP_PKEY *secret = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->secret_key,
                                                    CRYPTO_SEED_BYTES);
    X509 *x509 = X509_new();
    BIO *x509_pem = BIO_new(BIO_s_mem());
    BIO *key_pem = BIO_new(BIO_s_secmem());
    struct stoq_error why = {0};
    int rc = HM_ENOMEM;

    if (secret != NULL && x509 != NULL && x509_pem != NULL && key_pem != NULL &&
        certificate_fill(x509, secret) && PEM_write_bio_X509(x509_pem, x509) == 1 &&
        PEM_write_bio_PrivateKey(key_pem, secret, NULL, NULL, 0, NULL, NULL) == 1)
        rc = stoq_identity_new(out, bio_bytes(x509_pem), bio_bytes(key_pem), &why);
    BIO_free(x509_pem);
    BIO_free(key_pem);
    X509_free(x509);
    EVP_PKEY_free(secret);
    return rc == 0 ? 0 : join_stoq_failed(rc, &why, "this node's certificate", error);
}

bool join_certificate_key(struct hm_slice der, uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES])
{
    const unsigned char *at = der.data;
    uint8_t shown[CRYPTO_ED25519_PUBLIC_BYTES];
    size_t len = sizeof(shown);
    X509 *x509 = der.len > 0 && der.len <= CERTIFICATE_MAX_BYTES
                     ? d2i_X509(NULL, &at, (long)der.len)
                     : NULL;
    EVP_PKEY *found = x509 != NULL ? X509_get0_pubkey(x509) : NULL;
    bool good = found != NULL && EVP_PKEY_get_id(found) == EVP_PKEY_ED25519 &&
                EVP_PKEY_get_raw_public_key(found, shown, &len) == 1 && len == sizeof(shown);

    if (good)
        memcpy(key, shown, sizeof(shown));
    X509_free(x509);
    return good;
}
