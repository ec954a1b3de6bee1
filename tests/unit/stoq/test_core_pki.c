/* See test_core_pki.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "stoq_net.h"
#include "test_core_pki.h"

#define DAY_SECONDS 86400

struct stoq_bytes pki_bytes(const char *text)
{
    return (struct stoq_bytes){(const uint8_t *)text, text != NULL ? strlen(text) : 0};
}

static char *text_of(BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    char *text = malloc((size_t)len + 1);

    assert_non_null(text);
    memcpy(text, data, (size_t)len);
    text[len] = '\0';
    BIO_free(bio);
    return text;
}

static void add_extension(X509 *to, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&ctx, issuer, to, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(to, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* begin and end: seconds after the world's first. */
static X509 *unsigned_certificate(struct pki *pki, const char *name, EVP_PKEY *key, long begin,
                                  long end)
{
    time_t wall = (time_t)STOQ_NET_WALL_SECONDS;
    X509 *made = X509_new();

    assert_non_null(made);
    assert_int_equal(X509_set_version(made, 2), 1);
    assert_int_equal(ASN1_INTEGER_set_uint64(X509_get_serialNumber(made), ++pki->serial), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC,
                                                (const unsigned char *)name, -1, -1, 0),
                     1);
    assert_non_null(X509_time_adj_ex(X509_getm_notBefore(made), 0, begin, &wall));
    assert_non_null(X509_time_adj_ex(X509_getm_notAfter(made), 0, end, &wall));
    assert_int_equal(X509_set_pubkey(made, key), 1);
    return made;
}

static X509 *make_authority(struct pki *pki, const char *name, EVP_PKEY *key)
{
    X509 *made = unsigned_certificate(pki, name, key, -DAY_SECONDS, 365L * DAY_SECONDS);

    assert_int_equal(X509_set_issuer_name(made, X509_get_subject_name(made)), 1);
    add_extension(made, made, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(made, made, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(made, made, NID_subject_key_identifier, "hash");
    assert_true(X509_sign(made, key, NULL) > 0);
    return made;
}

void pki_init(struct pki *pki)
{
    BIO *bio = BIO_new(BIO_s_mem());

    memset(pki, 0, sizeof *pki);
    pki->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    pki->stranger_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_non_null(pki->key);
    assert_non_null(pki->stranger_key);
    pki->authority = make_authority(pki, "authority", pki->key);
    pki->stranger = make_authority(pki, "stranger", pki->stranger_key);
    assert_int_equal(PEM_write_bio_X509(bio, pki->authority), 1);
    pki->authority_pem = text_of(bio);
}

void pki_release(struct pki *pki)
{
    EVP_PKEY_free(pki->key);
    EVP_PKEY_free(pki->stranger_key);
    X509_free(pki->authority);
    X509_free(pki->stranger);
    free(pki->authority_pem);
    free(pki->revoked_pem);
    stoq_identity_unref(pki->server);
    stoq_identity_unref(pki->client);
    stoq_trust_unref(pki->trust);
    memset(pki, 0, sizeof *pki);
}

void pki_leaf(struct pki *pki, const char *name, enum pki_kind kind, char **chain, char **key_pem)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *issuer = kind == PKI_STRANGER ? pki->stranger : pki->authority;
    long begin = kind == PKI_FUTURE ? DAY_SECONDS : -DAY_SECONDS / 2;
    long end = kind == PKI_EXPIRED ? -3600 : 30L * DAY_SECONDS;
    X509 *leaf = unsigned_certificate(pki, name, key, begin, end);
    BIO *certificate = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_mem());
    char names[300];

    (void)snprintf(names, sizeof names, "DNS:%s", name);
    assert_int_equal(X509_set_issuer_name(leaf, X509_get_subject_name(issuer)), 1);
    add_extension(leaf, issuer, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(leaf, issuer, NID_key_usage, "critical,digitalSignature");
    add_extension(leaf, issuer, NID_ext_key_usage,
                  kind == PKI_STRANGER ? "serverAuth,clientAuth"
                  : kind == PKI_CLIENT ? "clientAuth"
                                       : "serverAuth");
    add_extension(leaf, issuer, NID_subject_alt_name, names);
    assert_true(X509_sign(leaf, kind == PKI_STRANGER ? pki->stranger_key : pki->key, NULL) > 0);
    assert_int_equal(PEM_write_bio_X509(certificate, leaf), 1);
    assert_int_equal(PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL), 1);
    *chain = text_of(certificate);
    *key_pem = text_of(secret);
    X509_free(leaf);
    EVP_PKEY_free(key);
}

int pki_identity(struct pki *pki, struct stoq_identity **out, const char *name, enum pki_kind kind)
{
    char *chain, *key;
    int code;

    pki_leaf(pki, name, kind, &chain, &key);
    code = stoq_identity_new(out, pki_bytes(chain), pki_bytes(key), NULL);
    free(chain);
    free(key);
    return code;
}

uint64_t pki_serial(const struct stoq_identity *identity)
{
    struct stoq_bytes leaf = stoq_identity_leaf(identity);
    const unsigned char *data = leaf.data;
    X509 *parsed = d2i_X509(NULL, &data, (long)leaf.len);
    uint64_t serial;

    assert_non_null(parsed);
    assert_int_equal(ASN1_INTEGER_get_uint64(&serial, X509_get_serialNumber(parsed)), 1);
    X509_free(parsed);
    return serial;
}

void pki_revocations(struct pki *pki, uint64_t serial)
{
    time_t wall = (time_t)STOQ_NET_WALL_SECONDS;
    X509_CRL *list = X509_CRL_new();
    ASN1_TIME *now = ASN1_TIME_adj(NULL, wall, 0, -60), *next = ASN1_TIME_adj(NULL, wall, 1, 0);
    BIO *bio = BIO_new(BIO_s_mem());

    assert_int_equal(X509_CRL_set_version(list, 1), 1);
    assert_int_equal(X509_CRL_set_issuer_name(list, X509_get_subject_name(pki->authority)), 1);
    assert_int_equal(X509_CRL_set1_lastUpdate(list, now), 1);
    assert_int_equal(X509_CRL_set1_nextUpdate(list, next), 1);
    if (serial != 0) {
        X509_REVOKED *entry = X509_REVOKED_new();
        ASN1_INTEGER *number = ASN1_INTEGER_new();
        assert_int_equal(ASN1_INTEGER_set_uint64(number, serial), 1);
        assert_int_equal(X509_REVOKED_set_serialNumber(entry, number), 1);
        assert_int_equal(X509_REVOKED_set_revocationDate(entry, now), 1);
        assert_int_equal(X509_CRL_add0_revoked(list, entry), 1);
        ASN1_INTEGER_free(number);
    }
    assert_true(X509_CRL_sign(list, pki->key, NULL) > 0);
    assert_int_equal(PEM_write_bio_X509_CRL(bio, list), 1);
    free(pki->revoked_pem);
    pki->revoked_pem = text_of(bio);
    X509_CRL_free(list);
    ASN1_TIME_free(now);
    ASN1_TIME_free(next);
}
