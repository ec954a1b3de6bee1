/* Verification of a peer's chain against a list of authorities and their revocation lists (RFC 5280). */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>

#include "stoq_identity.h"

#define STOQ_TRUST_PEM_BYTES_MAX    (16U << 20)
#define STOQ_TRUST_AUTHORITIES_MAX  1024
#define STOQ_TRUST_LISTS_MAX        1024
#define STOQ_CERTIFICATE_BYTES_MAX  65536
#define STOQ_TRUST_SECURITY_LEVEL   2 /* of OpenSSL: 112 bits, as RSA 2048; no SHA-1 */
#define STOQ_CERTIFICATE_NAME_BYTES 160 /* of a subject, in a sentence */

struct stoq_trust {
    atomic_size_t refs;
    X509_STORE *store;
    bool has_lists;
};

struct stoq_trust *stoq_trust_ref(struct stoq_trust *trust)
{
    if (trust != NULL)
        atomic_fetch_add_explicit(&trust->refs, 1, memory_order_relaxed);
    return trust;
}

void stoq_trust_unref(struct stoq_trust *trust)
{
    if (trust == NULL || atomic_fetch_sub_explicit(&trust->refs, 1, memory_order_acq_rel) != 1)
        return;
    X509_STORE_free(trust->store);
    hm_free(trust);
}

static void stoq_trust_release(struct stoq_trust **trust)
{
    stoq_trust_unref(*trust);
}

/* --- Reading PEM ----------------------------------------------------------------------------------------------- */

static int add_authorities(X509_STORE *store, BIO *bio, struct stoq_error *error)
{
    char reason[128];
    size_t count = 0;
    for (X509 *cert; (cert = PEM_read_bio_X509(bio, NULL, stoq_tls_no_passphrase, NULL)) != NULL;
         count++) {
        int added = count < STOQ_TRUST_AUTHORITIES_MAX ? X509_STORE_add_cert(store, cert) : 0;
        X509_free(cert);
        if (added != 1)
            return stoq_fail(error, STOQ_ELIMIT, "authority %zu cannot be kept (at most %d)",
                             count + 1, STOQ_TRUST_AUTHORITIES_MAX);
    }
    if (!stoq_tls_pem_at_end())
        return stoq_fail(error, STOQ_EPARSE, "authority %zu is not readable: %s", count + 1,
                         stoq_tls_reason(reason, sizeof(reason)));
    if (count == 0)
        return stoq_fail(error, STOQ_EPARSE, "there is no certificate among the authorities");
    return 0;
}

static int add_lists(X509_STORE *store, BIO *bio, struct stoq_error *error)
{
    char reason[128];
    size_t count = 0;
    for (X509_CRL *list;
         (list = PEM_read_bio_X509_CRL(bio, NULL, stoq_tls_no_passphrase, NULL)) != NULL; count++) {
        int added = count < STOQ_TRUST_LISTS_MAX ? X509_STORE_add_crl(store, list) : 0;
        X509_CRL_free(list);
        if (added != 1)
            return stoq_fail(error, STOQ_ELIMIT, "revocation list %zu cannot be kept (at most %d)",
                             count + 1, STOQ_TRUST_LISTS_MAX);
    }
    if (!stoq_tls_pem_at_end())
        return stoq_fail(error, STOQ_EPARSE, "revocation list %zu is not readable: %s", count + 1,
                         stoq_tls_reason(reason, sizeof(reason)));
    if (count == 0)
        return stoq_fail(error, STOQ_EPARSE, "there is no revocation list where lists were given");
    return 0;
}

static int read_pem(X509_STORE *store, struct stoq_bytes pem,
                    int (*add)(X509_STORE *, BIO *, struct stoq_error *), struct stoq_error *error)
{
    if (pem.len > STOQ_TRUST_PEM_BYTES_MAX)
        return stoq_fail(error, STOQ_ELIMIT, "authorities and lists have at most %u bytes each",
                         STOQ_TRUST_PEM_BYTES_MAX);
    ERR_clear_error();
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    if (bio == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory to read PEM");
    int rc = add(store, bio, error);
    BIO_free(bio);
    return rc;
}

int stoq_trust_new(struct stoq_trust **out, struct stoq_bytes authorities_pem,
                   struct stoq_bytes revoked_pem, struct stoq_error *error)
{
    __attribute__((cleanup(stoq_trust_release))) struct stoq_trust *trust = NULL;
    if (authorities_pem.data == NULL || authorities_pem.len == 0)
        return stoq_fail(error, STOQ_EPARSE, "there is no certificate among the authorities");
    trust = hm_calloc(1, sizeof(*trust));
    if (trust == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for a list of authorities");
    atomic_init(&trust->refs, 1);
    trust->store = X509_STORE_new();
    if (trust->store == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for a list of authorities");
    int rc = read_pem(trust->store, authorities_pem, add_authorities, error);
    trust->has_lists = revoked_pem.len > 0;
    if (rc == 0 && trust->has_lists)
        rc = read_pem(trust->store, revoked_pem, add_lists, error);
    if (rc == 0)
        *out = HM_TAKE(trust);
    return rc;
}

/* --- Verifying --------------------------------------------------------------------------------------------------- */

/* What OpenSSL found, as an alert (RFC 8446 section 6) and the words of a sentence. */
static const struct refusal {
    int code;
    uint8_t alert;
    const char *text;
} refusals[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED, SSL_AD_CERTIFICATE_EXPIRED, "has expired"},
    {X509_V_ERR_CERT_NOT_YET_VALID, SSL_AD_BAD_CERTIFICATE, "is not valid yet"},
    {X509_V_ERR_CERT_REVOKED, SSL_AD_CERTIFICATE_REVOKED, "was revoked"},
    {X509_V_ERR_UNABLE_TO_GET_CRL, SSL_AD_BAD_CERTIFICATE,
     "cannot be checked: its issuer's revocation list is not here"},
    {X509_V_ERR_CRL_HAS_EXPIRED, SSL_AD_BAD_CERTIFICATE,
     "cannot be checked: its issuer's revocation list is out of date"},
    {X509_V_ERR_CRL_NOT_YET_VALID, SSL_AD_BAD_CERTIFICATE,
     "cannot be checked: its issuer's revocation list is not valid yet"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, SSL_AD_UNKNOWN_CA, "has an unknown issuer"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, SSL_AD_UNKNOWN_CA, "has an unknown issuer"},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, SSL_AD_UNKNOWN_CA, "has an unknown issuer"},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, SSL_AD_UNKNOWN_CA,
     "signs itself and is not among the authorities"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, SSL_AD_UNKNOWN_CA,
     "is an authority that is not trusted here"},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, SSL_AD_BAD_CERTIFICATE, "has a wrong signature"},
    {X509_V_ERR_HOSTNAME_MISMATCH, SSL_AD_BAD_CERTIFICATE, "does not carry the name"},
    {X509_V_ERR_IP_ADDRESS_MISMATCH, SSL_AD_BAD_CERTIFICATE, "does not carry the address"},
    {X509_V_ERR_INVALID_PURPOSE, SSL_AD_UNSUPPORTED_CERTIFICATE, "is not made for this purpose"},
    {X509_V_ERR_INVALID_CA, SSL_AD_BAD_CERTIFICATE, "is not that of an authority"},
    {X509_V_ERR_EE_KEY_TOO_SMALL, SSL_AD_BAD_CERTIFICATE, "has a key that is too weak"},
    {X509_V_ERR_CA_KEY_TOO_SMALL, SSL_AD_BAD_CERTIFICATE, "has a key that is too weak"},
    {X509_V_ERR_CA_MD_TOO_WEAK, SSL_AD_BAD_CERTIFICATE, "is signed with a hash that is too weak"},
    {X509_V_ERR_OUT_OF_MEM, SSL_AD_INTERNAL_ERROR, "could not be checked for want of memory"},
};

static const struct refusal *refusal_find(int code)
{
    for (size_t i = 0; i < HM_COUNT_OF(refusals); i++) {
        if (refusals[i].code == code)
            return &refusals[i];
    }
    return NULL;
}

static const char *subject_text(X509 *cert, char *out, size_t capacity)
{
    out[0] = '\0';
    BIO *bio = cert == NULL ? NULL : BIO_new(BIO_s_mem());
    if (bio != NULL && X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0,
                                          XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        int len = BIO_read(bio, out, (int)capacity - 1);
        out[len > 0 ? len : 0] = '\0';
    }
    BIO_free(bio);
    return out;
}

static int refuse(X509_STORE_CTX *context, const struct stoq_peer *peer, uint8_t *alert,
                  struct stoq_error *error)
{
    char subject[STOQ_CERTIFICATE_NAME_BYTES];
    int code = X509_STORE_CTX_get_error(context);
    int depth = X509_STORE_CTX_get_error_depth(context);
    const struct refusal *refusal = refusal_find(code);
    bool named = code == X509_V_ERR_HOSTNAME_MISMATCH || code == X509_V_ERR_IP_ADDRESS_MISMATCH;

    *alert = refusal == NULL ? SSL_AD_BAD_CERTIFICATE : refusal->alert;
    ERR_clear_error();
    (void)subject_text(X509_STORE_CTX_get_current_cert(context), subject, sizeof(subject));
    return stoq_fail(error, STOQ_EAUTH, "the peer's certificate %d (%s) %s%s%s", depth + 1,
                     subject[0] == '\0' ? "without a subject" : subject,
                     refusal == NULL ? X509_verify_cert_error_string(code) : refusal->text,
                     named ? " " : "", named ? peer->expected_name : "");
}

static bool set_expectations(X509_VERIFY_PARAM *param, const struct stoq_trust *trust,
                             const struct stoq_peer *peer)
{
    uint8_t address[16];
    bool server = peer->expected_name != NULL;
    /* Partial: an authority need not sign itself; it may be one below a root, or a certificate pinned as it is. */
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
    if (trust->has_lists)
        flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
    X509_VERIFY_PARAM_set_time(param, (time_t)peer->wall_seconds);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    X509_VERIFY_PARAM_set_auth_level(param, STOQ_TRUST_SECURITY_LEVEL);
    X509_VERIFY_PARAM_set_depth(param, STOQ_CHAIN_CERTIFICATES_MAX);
    if (X509_VERIFY_PARAM_set_flags(param, flags) != 1 ||
        X509_VERIFY_PARAM_set_purpose(param, server ? X509_PURPOSE_SSL_SERVER
                                                    : X509_PURPOSE_SSL_CLIENT) != 1)
        return false;
    if (!server)
        return true;
    if (inet_pton(AF_INET, peer->expected_name, address) == 1 ||
        inet_pton(AF_INET6, peer->expected_name, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(param, peer->expected_name) == 1;
    return X509_VERIFY_PARAM_set1_host(param, peer->expected_name, 0) == 1;
}

/* The authority itself needs no list of its own issuer: it is trusted because it was given. */
static int excuse_anchor(int ok, X509_STORE_CTX *context)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(context);
    int depth = X509_STORE_CTX_get_error_depth(context);
    if (!ok && X509_STORE_CTX_get_error(context) == X509_V_ERR_UNABLE_TO_GET_CRL && depth > 0 &&
        depth == sk_X509_num(chain) - 1) {
        X509_STORE_CTX_set_error(context, X509_V_OK);
        return 1;
    }
    return ok;
}

static X509 *parse_certificate(struct stoq_bytes der)
{
    const uint8_t *at = der.data;
    if (der.len == 0 || der.len > STOQ_CERTIFICATE_BYTES_MAX)
        return NULL;
    X509 *cert = d2i_X509(NULL, &at, (long)der.len);
    if (cert != NULL && at != der.data + der.len) {
        X509_free(cert);
        cert = NULL;
    }
    return cert;
}

static int verify_chain(const struct stoq_trust *trust, const struct stoq_peer *peer,
                        STACK_OF(X509) * chain, uint8_t *alert, struct stoq_error *error)
{
    for (size_t i = 0; i < peer->count; i++) {
        X509 *cert = parse_certificate(peer->chain[i]);
        if (cert == NULL || sk_X509_push(chain, cert) <= 0) {
            X509_free(cert);
            ERR_clear_error();
            *alert = SSL_AD_BAD_CERTIFICATE;
            return stoq_fail(error, STOQ_EAUTH, "the peer's certificate %zu is not readable",
                             i + 1);
        }
    }
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    if (context == NULL ||
        X509_STORE_CTX_init(context, trust->store, sk_X509_value(chain, 0), chain) != 1 ||
        !set_expectations(X509_STORE_CTX_get0_param(context), trust, peer)) {
        X509_STORE_CTX_free(context);
        ERR_clear_error();
        *alert = SSL_AD_INTERNAL_ERROR;
        return stoq_fail(error, STOQ_EAUTH, "the peer's certificate could not be checked");
    }
    if (trust->has_lists)
        X509_STORE_CTX_set_verify_cb(context, excuse_anchor);
    int rc = X509_verify_cert(context) == 1 ? 0 : refuse(context, peer, alert, error);
    X509_STORE_CTX_free(context);
    return rc;
}

int stoq_trust_verify(void *trust, const struct stoq_peer *peer, uint8_t *alert,
                      struct stoq_error *error)
{
    if (peer->count == 0) {
        *alert = 116; /* certificate_required */
        return stoq_fail(error, STOQ_EAUTH, "the peer showed no certificate");
    }
    if (peer->count > STOQ_CHAIN_CERTIFICATES_MAX) {
        *alert = SSL_AD_BAD_CERTIFICATE;
        return stoq_fail(error, STOQ_EAUTH, "the peer showed more than %d certificates",
                         STOQ_CHAIN_CERTIFICATES_MAX);
    }
    STACK_OF(X509) *chain = sk_X509_new_null();
    if (chain == NULL) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return stoq_fail(error, STOQ_EAUTH, "no memory to check the peer's certificate");
    }
    int rc = verify_chain(trust, peer, chain, alert, error);
    sk_X509_pop_free(chain, X509_free);
    return rc;
}
