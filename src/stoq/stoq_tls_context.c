/* The SSL_CTX of a client and of a server, from a configuration: TLS 1.3 only, certificates on both sides. */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <time.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "stoq_tls_inside.h"

#define STOQ_TICKETS_SENT 1 /* a handshake's; OpenSSL's default is 2 */

/* --- Once per process ------------------------------------------------------------------------------------------- */

/* Only what libraries below want to have done once; no state of ours. */
static pthread_once_t setup_once = PTHREAD_ONCE_INIT;

static void setup_run(void)
{
    (void)OPENSSL_init_ssl(0, NULL);
    (void)ngtcp2_crypto_ossl_init();
}

int stoq_tls_setup(struct stoq_error *error)
{
    static const char *const needed[] = {"AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"};
    if (pthread_once(&setup_once, setup_run) != 0)
        return stoq_fail(error, STOQ_EINTERNAL, "the cryptography could not be set up");
    for (size_t i = 0; i < HM_COUNT_OF(needed); i++) {
        EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, needed[i], NULL);
        if (cipher == NULL) {
            ERR_clear_error();
            return stoq_fail(error, STOQ_EINTERNAL, "OpenSSL has no %s here", needed[i]);
        }
        EVP_CIPHER_free(cipher);
    }
    return 0;
}

static bool aes_in_hardware(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
    return (getauxval(AT_HWCAP) & (1UL << 3)) != 0; /* HWCAP_AES */
#else
    return false;
#endif
}

/* --- What depends on the configuration --------------------------------------------------------------------------- */

static const char *cipher_list(enum stoq_ciphers ciphers)
{
#define STOQ_AES_128 "TLS_AES_128_GCM_SHA256"
#define STOQ_AES_256 "TLS_AES_256_GCM_SHA384"
#define STOQ_CHACHA  "TLS_CHACHA20_POLY1305_SHA256"
    bool aes = aes_in_hardware();
    if (ciphers == STOQ_CIPHERS_256)
        return aes ? STOQ_AES_256 ":" STOQ_CHACHA : STOQ_CHACHA ":" STOQ_AES_256;
    return aes ? STOQ_AES_128 ":" STOQ_AES_256 ":" STOQ_CHACHA
               : STOQ_CHACHA ":" STOQ_AES_128 ":" STOQ_AES_256;
}

static int derive(uint8_t *out, size_t len, const uint8_t secret[32], const char *label,
                  const char *alpn)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    uint8_t info[64 + STOQ_ALPN_BYTES_MAX];
    size_t label_len = strlen(label) + 1; /* with the NUL, so that the two do not run together */
    size_t alpn_len = strlen(alpn);
    memcpy(info, label, label_len);
    memcpy(info + label_len, alpn, alpn_len);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, 32),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, label_len + alpn_len),
        OSSL_PARAM_construct_end(),
    };
    int rc = context != NULL && EVP_KDF_derive(context, out, len, params) == 1 ? 0 : STOQ_EINTERNAL;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return rc;
}

/* Ticket keys come from the secret that the workers and a restarted server have in common. They do not change with
 * time: keys that all come from one secret protect each other no better. Who wants them to change, changes it. */
static bool set_ticket_keys(SSL_CTX *context, const struct stoq_config *config)
{
    static const uint8_t none[32] = {0};
    uint8_t secret[32];
    uint8_t keys[STOQ_TICKET_KEYS_BYTES];
    uint8_t scope[16];
    bool ok = true;

    memcpy(secret, config->secret, sizeof(secret));
    if (hm_equal_ct(secret, none, sizeof(none)))
        ok = RAND_priv_bytes(secret, sizeof(secret)) == 1;
    ok = ok && derive(keys, sizeof(keys), secret, "stoq 1 ticket keys", config->alpn) == 0 &&
         derive(scope, sizeof(scope), secret, "stoq 1 ticket scope", config->alpn) == 0 &&
         SSL_CTX_set_tlsext_ticket_keys(context, keys, sizeof(keys)) == 1 &&
         SSL_CTX_set_session_id_context(context, scope, sizeof(scope)) == 1;
    hm_wipe(secret, sizeof(secret));
    hm_wipe(keys, sizeof(keys));
    return ok;
}

/* RFC 9000 section 7.4.1: a server that takes early data must not have lowered the limits that the client remembers. */
static bool make_context(uint8_t out[STOQ_TICKET_CONTEXT_BYTES], const struct stoq_config *config)
{
    const uint64_t limits[] = {config->streams_bidi,   config->streams_uni,
                               config->stream_window,  config->connection_window,
                               config->datagram_max,   config->stream_tags,
                               config->udp_payload_max};
    uint8_t bytes[8 * HM_COUNT_OF(limits)];
    uint8_t digest[32];
    for (size_t i = 0; i < HM_COUNT_OF(limits); i++)
        hm_put_be64(bytes + 8 * i, limits[i]);
    if (EVP_Q_digest(NULL, "SHA256", NULL, bytes, sizeof(bytes), digest, NULL) != 1)
        return false;
    memcpy(out, digest, STOQ_TICKET_CONTEXT_BYTES);
    return true;
}

static int on_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *offered,
                   unsigned offered_len, void *arg)
{
    const struct stoq_tls *tls = arg;
    (void)ssl;
    for (unsigned at = 0; at < offered_len && offered[at] < offered_len - at;
         at += 1U + offered[at]) {
        if (offered[at] == tls->alpn[0] &&
            memcmp(offered + at + 1, tls->alpn + 1, tls->alpn[0]) == 0) {
            *out = tls->alpn + 1;
            *out_len = tls->alpn[0];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL; /* no_application_protocol */
}

static bool set_common(SSL_CTX *context, struct stoq_tls *tls, const struct stoq_config *config)
{
    /* A key share of both (the stars): 32 bytes more, and servers without ML-KEM, some of which know no
     * HelloRetryRequest, answer at once. */
    const char *groups = config->groups == STOQ_GROUPS_HYBRID_ONLY ? "X25519MLKEM768"
                                                                   : "*X25519MLKEM768:*X25519";
    SSL_CTX_set_options(context, SSL_OP_NO_RX_CERTIFICATE_COMPRESSION |
                                     SSL_OP_NO_TX_CERTIFICATE_COMPRESSION | SSL_OP_NO_ANTI_REPLAY |
                                     SSL_OP_PRIORITIZE_CHACHA | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_clear_options(context, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_max_cert_list(context, STOQ_TLS_CHAIN_BYTES_MAX);
    SSL_CTX_set_timeout(context, STOQ_TICKET_LIFE_S);
    SSL_CTX_set_cert_verify_callback(context, stoq_tls_on_certificates, tls);
    if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set1_groups_list(context, groups) != 1 ||
        SSL_CTX_set_ciphersuites(context, cipher_list(config->ciphers)) != 1)
        return false;
    if (config->identity == NULL)
        return true;
    return SSL_CTX_use_cert_and_key(context, stoq_identity_x509(config->identity),
                                    stoq_identity_key(config->identity),
                                    stoq_identity_chain(config->identity), 1) == 1;
}

static bool make_client(struct stoq_tls *tls, const struct stoq_config *config)
{
    SSL_CTX *context = tls->client = SSL_CTX_new(TLS_client_method());
    if (context == NULL || !set_common(context, tls, config))
        return false;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, stoq_tls_on_ticket_came);
    return SSL_CTX_set_alpn_protos(context, tls->alpn, 1U + tls->alpn[0]) == 0;
}

static bool make_server(struct stoq_tls *tls, const struct stoq_config *config)
{
    SSL_CTX *context = tls->server = SSL_CTX_new(TLS_server_method());
    if (context == NULL || !set_common(context, tls, config))
        return false;
    SSL_CTX_set_verify(
        context,
        SSL_VERIFY_PEER |
            (config->client_certificates_optional ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT),
        NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(context, on_alpn, tls);
    if (config->early_data) {
        tls->replay = stoq_identity_replay(config->identity, stoq_tls_now(tls));
        SSL_CTX_set_allow_early_data_cb(context, stoq_tls_on_early_data, tls);
        if (tls->replay == NULL || SSL_CTX_set_max_early_data(context, UINT32_MAX) != 1)
            return false;
    }
    return SSL_CTX_set_num_tickets(context, STOQ_TICKETS_SENT) == 1 &&
           SSL_CTX_set_session_ticket_cb(context, stoq_tls_on_ticket_made, stoq_tls_on_ticket_shown,
                                         tls) == 1 &&
           set_ticket_keys(context, config);
}

/* --- Making and freeing ------------------------------------------------------------------------------------------ */

uint64_t stoq_tls_now(const struct stoq_tls *tls)
{
    return tls->wall_seconds != NULL ? tls->wall_seconds(tls->world_ctx) : (uint64_t)time(NULL);
}

static int check_config(const struct stoq_config *config, struct stoq_error *error)
{
    size_t alpn_len = config->alpn == NULL ? 0 : strnlen(config->alpn, STOQ_ALPN_BYTES_MAX + 1);
    if (config->verify == NULL)
        return stoq_fail(error, STOQ_EINVAL, "verify is not set: nobody says which peers to trust");
    if (alpn_len == 0 || alpn_len > STOQ_ALPN_BYTES_MAX)
        return stoq_fail(error, STOQ_EINVAL, "alpn must have 1 to %d bytes", STOQ_ALPN_BYTES_MAX);
    if (config->server && config->identity == NULL)
        return stoq_fail(error, STOQ_EINVAL, "identity is not set: a server needs one");
    return 0;
}

int stoq_tls_new(struct stoq_tls **out, const struct stoq_config *config, struct stoq_error *error)
{
    char reason[128];
    int rc = check_config(config, error);
    if (rc == 0)
        rc = stoq_tls_setup(error);
    if (rc != 0)
        return rc;
    struct stoq_tls *tls = hm_calloc(1, sizeof(*tls));
    if (tls == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for TLS");
    tls->identity = stoq_identity_ref(config->identity);
    tls->verify = config->verify;
    tls->verify_ctx = config->verify_ctx;
    tls->wall_seconds = config->wall_seconds;
    tls->world_ctx = config->world_ctx;
    tls->early_data = config->early_data;
    tls->certificates_optional = config->client_certificates_optional;
    tls->alpn[0] = (uint8_t)strlen(config->alpn);
    memcpy(tls->alpn + 1, config->alpn, tls->alpn[0]);
    ERR_clear_error();
    if (!make_context(tls->context, config) || !make_client(tls, config) ||
        (config->server && !make_server(tls, config))) {
        stoq_tls_free(tls);
        return stoq_fail(error, STOQ_EINTERNAL, "TLS could not be set up: %s",
                         stoq_tls_reason(reason, sizeof(reason)));
    }
    *out = tls;
    return 0;
}

void stoq_tls_free(struct stoq_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->client);
    SSL_CTX_free(tls->server);
    stoq_identity_unref(tls->identity);
    hm_free(tls);
}
