/* A certificate chain with its private key: read from PEM, or made to sign itself. */
#include "stoq_identity.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>

#include "stoq_tls_replay.h"

#define STOQ_PEM_BYTES_MAX        (1U << 20) /* of a chain or a key */
#define STOQ_SELF_SIGNED_DAYS_MAX 3650
#define STOQ_SELF_SIGNED_EARLY_S \
    3600 /* valid from so long before, for peers whose clocks are behind */
#define STOQ_SERIAL_BYTES 16

struct stoq_identity {
    atomic_size_t refs;
    X509 *leaf;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
    uint8_t *der;
    int der_len;
    pthread_mutex_t lock; /* of replay's making */
    struct stoq_replay *replay;
};

const char *stoq_tls_reason(char *out, size_t capacity)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    (void)snprintf(out, capacity, "%s", reason == NULL ? "no reason given" : reason);
    ERR_clear_error();
    return out;
}

static void identity_free(struct stoq_identity *identity)
{
    X509_free(identity->leaf);
    sk_X509_pop_free(identity->chain, X509_free);
    EVP_PKEY_free(identity->key); /* wipes it */
    OPENSSL_free(identity->der);
    stoq_replay_free(identity->replay);
    pthread_mutex_destroy(&identity->lock);
    hm_free(identity);
}

struct stoq_identity *stoq_identity_ref(struct stoq_identity *identity)
{
    if (identity != NULL)
        atomic_fetch_add_explicit(&identity->refs, 1, memory_order_relaxed);
    return identity;
}

void stoq_identity_unref(struct stoq_identity *identity)
{
    if (identity != NULL &&
        atomic_fetch_sub_explicit(&identity->refs, 1, memory_order_acq_rel) == 1)
        identity_free(identity);
}

static void stoq_identity_release(struct stoq_identity **identity)
{
    stoq_identity_unref(*identity);
}

static int identity_start(struct stoq_identity **out, struct stoq_error *error)
{
    struct stoq_identity *identity = hm_calloc(1, sizeof(*identity));
    if (identity == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for an identity");
    if (pthread_mutex_init(&identity->lock, NULL) != 0) {
        hm_free(identity);
        return stoq_fail(error, STOQ_ENOMEM, "no memory for an identity");
    }
    atomic_init(&identity->refs, 1);
    *out = identity;
    return 0;
}

static int identity_encode_leaf(struct stoq_identity *identity, struct stoq_error *error)
{
    identity->der_len = i2d_X509(identity->leaf, &identity->der);
    if (identity->der_len <= 0)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for the certificate's bytes");
    return 0;
}

int stoq_tls_no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return -1;
}

static BIO *pem_open(struct stoq_bytes pem)
{
    return BIO_new_mem_buf(pem.data, (int)pem.len);
}

bool stoq_tls_pem_at_end(void)
{
    unsigned long code = ERR_peek_last_error();
    bool end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
    if (end)
        ERR_clear_error();
    return end;
}

static int read_chain(struct stoq_identity *identity, BIO *bio, struct stoq_error *error)
{
    char reason[128];
    size_t count = 1;

    identity->leaf = PEM_read_bio_X509(bio, NULL, stoq_tls_no_passphrase, NULL);
    identity->chain = sk_X509_new_null();
    if (identity->leaf == NULL)
        return stoq_fail(error, STOQ_EPARSE, "the chain holds no readable certificate: %s",
                         stoq_tls_reason(reason, sizeof(reason)));
    if (identity->chain == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for a certificate chain");
    for (X509 *next; (next = PEM_read_bio_X509(bio, NULL, stoq_tls_no_passphrase, NULL)) != NULL;) {
        if (++count > STOQ_CHAIN_CERTIFICATES_MAX || sk_X509_push(identity->chain, next) <= 0) {
            X509_free(next);
            return stoq_fail(error, STOQ_ELIMIT, "the chain has more than %d certificates",
                             STOQ_CHAIN_CERTIFICATES_MAX);
        }
    }
    if (!stoq_tls_pem_at_end())
        return stoq_fail(error, STOQ_EPARSE, "certificate %zu of the chain is not readable: %s",
                         count + 1, stoq_tls_reason(reason, sizeof(reason)));
    return 0;
}

static int read_key(struct stoq_identity *identity, BIO *bio, struct stoq_error *error)
{
    char reason[128];

    identity->key = PEM_read_bio_PrivateKey(bio, NULL, stoq_tls_no_passphrase, NULL);
    if (identity->key == NULL)
        return stoq_fail(error, STOQ_EPARSE,
                         "the private key is not readable (it must not be encrypted): %s",
                         stoq_tls_reason(reason, sizeof(reason)));
    if (X509_check_private_key(identity->leaf, identity->key) != 1) {
        ERR_clear_error();
        return stoq_fail(error, STOQ_EINVAL,
                         "the private key does not belong to the first certificate of the chain");
    }
    return 0;
}

static int check_pem(struct stoq_bytes pem, const char *what, struct stoq_error *error)
{
    if (pem.data == NULL || pem.len == 0)
        return stoq_fail(error, STOQ_EPARSE, "%s is empty", what);
    if (pem.len > STOQ_PEM_BYTES_MAX)
        return stoq_fail(error, STOQ_ELIMIT, "%s is longer than %u bytes", what,
                         STOQ_PEM_BYTES_MAX);
    return 0;
}

int stoq_identity_new(struct stoq_identity **out, struct stoq_bytes chain_pem,
                      struct stoq_bytes key_pem, struct stoq_error *error)
{
    __attribute__((cleanup(stoq_identity_release))) struct stoq_identity *identity = NULL;
    int rc = check_pem(chain_pem, "the certificate chain", error);
    if (rc == 0)
        rc = check_pem(key_pem, "the private key", error);
    if (rc == 0)
        rc = identity_start(&identity, error);
    if (rc != 0)
        return rc;
    ERR_clear_error();
    BIO *chain = pem_open(chain_pem);
    BIO *key = pem_open(key_pem);
    if (chain == NULL || key == NULL)
        rc = stoq_fail(error, STOQ_ENOMEM, "no memory to read PEM");
    if (rc == 0)
        rc = read_chain(identity, chain, error);
    if (rc == 0)
        rc = read_key(identity, key, error);
    if (rc == 0)
        rc = identity_encode_leaf(identity, error);
    BIO_free(chain);
    BIO_free(key);
    if (rc == 0)
        *out = HM_TAKE(identity);
    return rc;
}

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool added = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool add_alternative_name(X509 *cert, const char *name)
{
    uint8_t address[16];
    int address_len = inet_pton(AF_INET, name, address) == 1    ? 4
                      : inet_pton(AF_INET6, name, address) == 1 ? 16
                                                                : 0;
    /* Built by hand: the text form of extensions gives commas and colons of a name a meaning. */
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *general = GENERAL_NAME_new();
    ASN1_STRING *value = address_len > 0 ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    bool ok = names != NULL && general != NULL && value != NULL &&
              ASN1_STRING_set(value, address_len > 0 ? (const void *)address : name,
                              address_len > 0 ? address_len : (int)strlen(name)) == 1;
    if (ok) {
        GENERAL_NAME_set0_value(general, address_len > 0 ? GEN_IPADD : GEN_DNS, value);
        value = NULL;
        ok = sk_GENERAL_NAME_push(names, general) > 0;
        if (ok)
            general = NULL;
    }
    ok = ok && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    ASN1_STRING_free(value);
    GENERAL_NAME_free(general);
    GENERAL_NAMES_free(names);
    return ok;
}

static bool set_serial(X509 *cert)
{
    uint8_t serial[STOQ_SERIAL_BYTES];
    if (RAND_bytes(serial, sizeof(serial)) != 1)
        return false;
    serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40); /* positive, and of full length */
    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    bool ok = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok;
}

static bool fill_certificate(X509 *cert, EVP_PKEY *key, const char *name, uint64_t now,
                             unsigned days)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    time_t from = (time_t)(now > STOQ_SELF_SIGNED_EARLY_S ? now - STOQ_SELF_SIGNED_EARLY_S : 0);
    time_t to = (time_t)(now + days * 86400ULL);
    return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
           ASN1_TIME_set(X509_getm_notBefore(cert), from) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(cert), to) != NULL && X509_set_pubkey(cert, key) == 1 &&
           X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_ASC, (const uint8_t *)"self-signed",
                                      -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, subject) == 1 &&
           add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(cert, NID_key_usage, "critical,digitalSignature") &&
           add_extension(cert, NID_ext_key_usage, "serverAuth,clientAuth") &&
           add_extension(cert, NID_subject_key_identifier, "hash") &&
           add_alternative_name(cert, name) && X509_sign(cert, key, NULL) > 0;
}

static bool name_is_fit(const char *name)
{
    size_t len = name == NULL ? 0 : strnlen(name, STOQ_NAME_BYTES_MAX + 1);
    if (len == 0 || len > STOQ_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (name[i] <= ' ' || name[i] > '~')
            return false;
    }
    return true;
}

int stoq_identity_self_signed(struct stoq_identity **out, const char *name, uint64_t now_seconds,
                              unsigned days, struct stoq_error *error)
{
    char reason[128];
    __attribute__((cleanup(stoq_identity_release))) struct stoq_identity *identity = NULL;
    if (!name_is_fit(name))
        return stoq_fail(error, STOQ_EINVAL,
                         "a certificate's name has 1 to %d printable characters without blanks",
                         STOQ_NAME_BYTES_MAX);
    if (days == 0 || days > STOQ_SELF_SIGNED_DAYS_MAX)
        return stoq_fail(error, STOQ_EINVAL, "a certificate is valid for 1 to %d days, not %u",
                         STOQ_SELF_SIGNED_DAYS_MAX, days);
    if (now_seconds > INT32_MAX * 16ULL)
        return stoq_fail(error, STOQ_EINVAL, "the time is not in seconds of UNIX time");
    int rc = identity_start(&identity, error);
    if (rc != 0)
        return rc;
    ERR_clear_error();
    identity->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    identity->leaf = X509_new();
    identity->chain = sk_X509_new_null();
    if (identity->key == NULL || identity->leaf == NULL || identity->chain == NULL ||
        !fill_certificate(identity->leaf, identity->key, name, now_seconds, days))
        return stoq_fail(error, STOQ_EINTERNAL, "the certificate could not be made: %s",
                         stoq_tls_reason(reason, sizeof(reason)));
    rc = identity_encode_leaf(identity, error);
    if (rc == 0)
        *out = HM_TAKE(identity);
    return rc;
}

struct stoq_bytes stoq_identity_leaf(const struct stoq_identity *identity)
{
    return (struct stoq_bytes){identity->der, (size_t)identity->der_len};
}

X509 *stoq_identity_x509(const struct stoq_identity *identity)
{
    return identity->leaf;
}

STACK_OF(X509) * stoq_identity_chain(const struct stoq_identity *identity)
{
    return identity->chain;
}

EVP_PKEY *stoq_identity_key(const struct stoq_identity *identity)
{
    return identity->key;
}

struct stoq_replay *stoq_identity_replay(struct stoq_identity *identity, uint64_t now_seconds)
{
    pthread_mutex_lock(&identity->lock);
    if (identity->replay == NULL)
        identity->replay = stoq_replay_new(now_seconds);
    struct stoq_replay *replay = identity->replay;
    pthread_mutex_unlock(&identity->lock);
    return replay;
}

int stoq_verify_same(void *identity, const struct stoq_peer *peer, uint8_t *alert,
                     struct stoq_error *error)
{
    const struct stoq_identity *expected = identity;
    if (peer->count == 0) {
        *alert = 116; /* certificate_required */
        return stoq_fail(error, STOQ_EAUTH, "the peer showed no certificate");
    }
    struct stoq_bytes leaf = stoq_identity_leaf(expected);
    if (peer->chain[0].len != leaf.len || memcmp(peer->chain[0].data, leaf.data, leaf.len) != 0) {
        *alert = 42; /* bad_certificate */
        return stoq_fail(error, STOQ_EAUTH,
                         "the peer's certificate is not the one that is expected here");
    }
    return 0;
}
