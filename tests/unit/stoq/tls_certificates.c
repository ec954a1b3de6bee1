/* Certificates for tests. */
#include "tls_certificates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void set_name(X509_NAME *name, const char *text)
{
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)text, -1, -1, 0), 1);
}

struct tls_maker tls_make(const struct tls_wish *wish, const struct tls_maker *issuer)
{
    static long serial = 1;
    struct tls_maker made = {X509_new(),
                             wish->rsa_bits == 0
                                 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                 : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)wish->rsa_bits)};
    X509 *above = issuer == NULL ? made.cert : issuer->cert;

    assert_non_null(made.cert);
    assert_non_null(made.key);
    X509_set_version(made.cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made.cert), serial++);
    ASN1_TIME_set(X509_getm_notBefore(made.cert),
                  (time_t)((long long)TLS_NOW + wish->from_days * TLS_DAY));
    ASN1_TIME_set(X509_getm_notAfter(made.cert),
                  (time_t)((long long)TLS_NOW + wish->to_days * TLS_DAY));
    set_name(X509_get_subject_name(made.cert), wish->subject);
    X509_set_issuer_name(made.cert, X509_get_subject_name(above));
    X509_set_pubkey(made.cert, made.key);
    extend(made.cert, above, NID_basic_constraints,
           wish->authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    extend(made.cert, above, NID_key_usage,
           wish->authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    extend(made.cert, above, NID_subject_key_identifier, "hash");
    if (wish->names != NULL)
        extend(made.cert, above, NID_subject_alt_name, wish->names);
    if (wish->usage != NULL)
        extend(made.cert, above, NID_ext_key_usage, wish->usage);
    const EVP_MD *hash = issuer == NULL && wish->rsa_bits > 0 ? EVP_sha256() : NULL;
    assert_true(X509_sign(made.cert, issuer == NULL ? made.key : issuer->key, hash) > 0);
    return made;
}

void tls_maker_release(struct tls_maker *maker)
{
    X509_free(maker->cert);
    EVP_PKEY_free(maker->key);
    *maker = (struct tls_maker){0};
}

struct tls_maker tls_authority(const char *subject)
{
    return tls_make(
        &(struct tls_wish){
            .subject = subject, .authority = true, .from_days = -100, .to_days = 1000},
        NULL);
}

struct tls_maker tls_leaf(const char *names, const struct tls_maker *issuer)
{
    return tls_make(
        &(struct tls_wish){.subject = "a leaf", .names = names, .from_days = -10, .to_days = 100},
        issuer);
}

static void drain(struct hm_buf *out, BIO *bio)
{
    char *text = NULL;
    long len = BIO_get_mem_data(bio, &text);
    assert_true(len > 0);
    assert_int_equal(hm_buf_append(out, text, (size_t)len), 0);
    BIO_free(bio);
}

void tls_pem_certificate(struct hm_buf *out, X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
    drain(out, bio);
}

void tls_pem_key(struct hm_buf *out, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    drain(out, bio);
}

void tls_pem_list(struct hm_buf *out, const struct tls_maker *issuer, X509 *revoked,
                  long long from_days, long long to_days)
{
    X509_CRL *list = X509_CRL_new();
    ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)((long long)TLS_NOW + from_days * TLS_DAY));
    ASN1_TIME *to = ASN1_TIME_set(NULL, (time_t)((long long)TLS_NOW + to_days * TLS_DAY));

    X509_CRL_set_version(list, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(issuer->cert));
    X509_CRL_set1_lastUpdate(list, from);
    X509_CRL_set1_nextUpdate(list, to);
    if (revoked != NULL) {
        X509_REVOKED *entry = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked));
        X509_REVOKED_set_revocationDate(entry, from);
        assert_int_equal(X509_CRL_add0_revoked(list, entry), 1);
    }
    assert_true(X509_CRL_sign(list, issuer->key, NULL) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509_CRL(bio, list), 1);
    drain(out, bio);
    X509_CRL_free(list);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
}

struct stoq_bytes tls_bytes(const struct hm_buf *buf)
{
    return (struct stoq_bytes){buf->data, buf->len};
}

struct stoq_identity *tls_identity(const struct tls_maker *leaf, X509 *const *chain)
{
    HM_CLEANUP(hm_buf) struct hm_buf certificates = {0};
    HM_CLEANUP(hm_buf) struct hm_buf key = {0};
    struct stoq_identity *identity = NULL;
    struct stoq_error error = {.text = ""};

    tls_pem_certificate(&certificates, leaf->cert);
    for (; chain != NULL && *chain != NULL; chain++)
        tls_pem_certificate(&certificates, *chain);
    tls_pem_key(&key, leaf->key);
    if (stoq_identity_new(&identity, tls_bytes(&certificates), tls_bytes(&key), &error) != 0)
        fail_msg("%s", error.text);
    return identity;
}

struct stoq_trust *tls_trust(const struct tls_maker *authority, const struct hm_buf *lists)
{
    HM_CLEANUP(hm_buf) struct hm_buf pem = {0};
    struct stoq_trust *trust = NULL;
    struct stoq_error error = {.text = ""};

    tls_pem_certificate(&pem, authority->cert);
    if (stoq_trust_new(&trust, tls_bytes(&pem),
                       lists == NULL ? (struct stoq_bytes){NULL, 0} : tls_bytes(lists),
                       &error) != 0)
        fail_msg("%s", error.text);
    return trust;
}
