/* The certificate that whoever holds the volume's key can make: a fixed Ed25519 key, signed by itself. The key says everything;
 * name and dates are there because certificates have them. */
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "crypto.h"
#include "sync/packetfs_peer.h"

static bool certificate_fill(X509 *certificate, EVP_PKEY *key)
{
    X509_NAME *name = X509_get_subject_name(certificate);

    return X509_set_version(certificate, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1 &&
           ASN1_TIME_set_string(X509_getm_notBefore(certificate), "20200101000000Z") == 1 &&
           ASN1_TIME_set_string(X509_getm_notAfter(certificate), "99991231235959Z") == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"p", 1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(certificate, name) == 1 && X509_set_pubkey(certificate, key) == 1 &&
           X509_sign(certificate, key, NULL) > 0;
}

static bool bio_take(BIO *bio, struct hm_buf *out)
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);

    return len > 0 && hm_buf_append(out, data, (size_t)len) == 0;
}

int packetfs_peer_certificate(const struct packetfs_keys *keys, enum packetfs_kind kind,
                              struct hm_buf *certificate, struct hm_buf *key,
                              struct hm_error *error)
{
    EVP_PKEY *secret = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, keys->link[kind],
                                                    PACKETFS_KEY_BYTES);
    X509 *x509 = X509_new();
    BIO *x509_pem = BIO_new(BIO_s_mem());
    BIO *key_pem = BIO_new(BIO_s_secmem());
    bool done = secret != NULL && x509 != NULL && x509_pem != NULL && key_pem != NULL &&
                certificate_fill(x509, secret) && PEM_write_bio_X509(x509_pem, x509) == 1 &&
                PEM_write_bio_PrivateKey(key_pem, secret, NULL, NULL, 0, NULL, NULL) == 1 &&
                bio_take(x509_pem, certificate) && bio_take(key_pem, key);

    BIO_free(x509_pem);
    BIO_free(key_pem);
    X509_free(x509);
    EVP_PKEY_free(secret);
    return done ? 0 : hm_fail(error, HM_ENOMEM, "no memory for this volume's certificate");
}

bool packetfs_peer_is_ours(struct hm_slice certificate, const uint8_t public_key[32])
{
    const unsigned char *at = certificate.data;
    uint8_t shown[32];
    size_t len = sizeof(shown);
    X509 *x509 = certificate.len > 0 && certificate.len <= 65536
                     ? d2i_X509(NULL, &at, (long)certificate.len)
                     : NULL;
    EVP_PKEY *key = x509 != NULL ? X509_get0_pubkey(x509) : NULL;
    bool ours = key != NULL && EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 &&
                EVP_PKEY_get_raw_public_key(key, shown, &len) == 1 && len == sizeof(shown) &&
                hm_equal_ct(shown, public_key, sizeof(shown));

    X509_free(x509);
    return ours;
}
