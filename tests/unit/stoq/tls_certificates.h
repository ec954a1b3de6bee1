/* Certificates for tests, made as they are needed. Everything fails the test when it cannot be made. */
#ifndef TLS_CERTIFICATES_H
#define TLS_CERTIFICATES_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>

#include "base.h"
#include "stoq.h"

#define TLS_NOW 1800000000ULL /* the tests' wall clock */
#define TLS_DAY 86400LL

struct tls_maker {
    X509 *cert;
    EVP_PKEY *key;
};

struct tls_wish {
    const char *subject;
    const char *names; /* subjectAltName in OpenSSL's text, or NULL */
    const char *usage; /* extendedKeyUsage, or NULL */
    bool authority;
    unsigned rsa_bits; /* 0: Ed25519 */
    long long from_days; /* relative to TLS_NOW */
    long long to_days;
};

/* issuer NULL: signs itself. */
struct tls_maker tls_make(const struct tls_wish *wish, const struct tls_maker *issuer);
void tls_maker_release(struct tls_maker *maker);
struct tls_maker tls_authority(const char *subject);
struct tls_maker tls_leaf(const char *names, const struct tls_maker *issuer);

/* PEM appended to *out. */
void tls_pem_certificate(struct hm_buf *out, X509 *cert);
void tls_pem_key(struct hm_buf *out, EVP_PKEY *key);
/* A list of issuer, current from from_days to to_days, with revoked (nullable) on it. */
void tls_pem_list(struct hm_buf *out, const struct tls_maker *issuer, X509 *revoked,
                  long long from_days, long long to_days);
struct stoq_bytes tls_bytes(const struct hm_buf *buf);

/* leaf's identity with the certificates of chain (NULL-terminated, may be empty) after it. */
struct stoq_identity *tls_identity(const struct tls_maker *leaf, X509 *const *chain);
struct stoq_trust *tls_trust(const struct tls_maker *authority, const struct hm_buf *lists);

#endif
