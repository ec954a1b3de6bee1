/* What the files of TLS share: the endpoint's contexts and one connection's session. */
#ifndef STOQ_TLS_INSIDE_H
#define STOQ_TLS_INSIDE_H

#include <ngtcp2/ngtcp2_crypto_ossl.h>
#include <openssl/ssl.h>

#include "stoq_identity.h"
#include "stoq_tls.h"
#include "stoq_tls_chain.h"
#include "stoq_tls_replay.h"

/* How long tickets resume after a full handshake: one that a resumption gives has no more time than the one before. The
 * peer is verified anew each time, so this bounds the exposure of the ticket keys and of
 * what a stolen session is good for, not for how long a revoked peer comes back. */
#define STOQ_TICKET_LIFE_S       43200
#define STOQ_TICKET_KEYS_BYTES   80 /* name 16, HMAC 32, AES-256 32: what OpenSSL asks for */
#define STOQ_TLS_CHAIN_BYTES_MAX 65536 /* of a Certificate message */

struct stoq_tls {
    SSL_CTX *server; /* NULL when the endpoint accepts none */
    SSL_CTX *client;
    struct stoq_identity *identity; /* nullable */
    struct stoq_replay *replay; /* of identity; NULL: early data is not taken */
    stoq_verify_fn verify;
    void *verify_ctx;
    uint64_t (*wall_seconds)(void *ctx);
    void *world_ctx;
    bool early_data;
    bool certificates_optional; /* of clients */
    uint8_t context[STOQ_TICKET_CONTEXT_BYTES];
    uint8_t alpn[1 + STOQ_ALPN_BYTES_MAX]; /* length and name, as on the wire */
};

struct stoq_tls_session {
    ngtcp2_crypto_conn_ref
        own; /* first: the SSL's application data, by which its callbacks find the session */
    ngtcp2_crypto_conn_ref *ref;
    struct stoq_tls *tls;
    SSL *ssl; /* NULL when no longer needed */
    ngtcp2_crypto_ossl_ctx *native;
    struct stoq_tls_events events;
    char *name; /* expected; NULL in a server */
    struct stoq_chain peer;
    char *refusal; /* the sentence; NULL: none */
    const char *group; /* set when ssl goes; static */
    const char *cipher;
    enum stoq_tls_early early;
    uint8_t refusal_alert; /* with refused */
    uint64_t ticket_proven_seconds; /* of the ticket that was shown and fit */
    bool server;
    bool refused; /* by the verify callback */
    bool shown; /* the peer showed certificates in this handshake, and they were accepted */
    bool completed; /* and the peer accepted for good */
    bool confirmed;
    bool ticket_came;
    bool resumed;
    bool early_possible;
};

uint64_t stoq_tls_now(const struct stoq_tls *tls); /* UNIX time */
struct stoq_tls_session *stoq_tls_of_ssl(const SSL *ssl); /* NULL when it is going */

/* stoq_tls_context.c calls these; stoq_tls_verify.c has them. */
/* Asks the verify callback about a chain. 0, or negative with session's refusal set. */
int stoq_tls_ask(struct stoq_tls_session *session, const struct stoq_chain *chain);
int stoq_tls_on_certificates(X509_STORE_CTX *store,
                             void *tls); /* SSL_CTX_set_cert_verify_callback */

/* stoq_tls_ticket.c */
int stoq_tls_on_ticket_made(SSL *ssl, void *tls); /* server: what goes into a ticket */
SSL_TICKET_RETURN stoq_tls_on_ticket_shown(SSL *ssl, SSL_SESSION *ticket, const uint8_t *name,
                                           size_t name_len, SSL_TICKET_STATUS status, void *tls);
int stoq_tls_on_early_data(SSL *ssl, void *tls); /* server: 1 takes it */
int stoq_tls_on_ticket_came(SSL *ssl, SSL_SESSION *ticket); /* client */
/* Client: makes ready to resume, when the ticket is fit. STOQ_ENOMEM only. */
int stoq_tls_resume(struct stoq_tls_session *session, struct stoq_bytes resume);

#endif
