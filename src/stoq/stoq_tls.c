/* One connection's TLS: an SSL object until the handshake is confirmed, and what is remembered of it afterwards. */
#include "stoq_tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>

#include "stoq_tls_inside.h"

struct stoq_tls_session *stoq_tls_of_ssl(const SSL *ssl)
{
    /* SSL_get_app_data gives what SSL_set_app_data got: `own`, the session's first member. */
    return SSL_get_app_data(ssl);
}

static ngtcp2_conn *own_get_conn(ngtcp2_crypto_conn_ref *own)
{
    const struct stoq_tls_session *session = (const struct stoq_tls_session *)own;
    return session->ref->get_conn(session->ref);
}

static bool is_address(const char *name)
{
    uint8_t address[16];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

static bool start_server(struct stoq_tls_session *session)
{
    SSL_set_accept_state(session->ssl);
    return ngtcp2_crypto_ossl_configure_server_session(session->ssl) == 0 &&
           (session->tls->replay == NULL ||
            SSL_set_quic_tls_early_data_enabled(session->ssl, 1) == 1);
}

static bool start_client(struct stoq_tls_session *session)
{
    SSL_set_connect_state(session->ssl);
    /* RFC 6066 section 3: no addresses in server_name. */
    return (is_address(session->name) ||
            SSL_set_tlsext_host_name(session->ssl, session->name) == 1) &&
           ngtcp2_crypto_ossl_configure_client_session(session->ssl) == 0;
}

static int session_start(struct stoq_tls_session *session, SSL_CTX *context,
                         struct stoq_bytes resume)
{
    session->ssl = SSL_new(context);
    if (session->ssl == NULL || SSL_set_app_data(session->ssl, &session->own) != 1 ||
        ngtcp2_crypto_ossl_ctx_new(&session->native, session->ssl) != 0)
        return STOQ_ENOMEM;
    if (!(session->server ? start_server(session) : start_client(session)))
        return STOQ_EINTERNAL;
    return session->server ? 0 : stoq_tls_resume(session, resume);
}

int stoq_tls_session_new(struct stoq_tls_session **out, struct stoq_tls *tls, bool server,
                         const char *name, struct stoq_bytes resume, ngtcp2_crypto_conn_ref *ref,
                         const struct stoq_tls_events *events, struct stoq_error *error)
{
    char reason[128];
    if (server && tls->server == NULL)
        return stoq_fail(error, STOQ_EINVAL, "this endpoint does not accept connections");
    if (!server && (name == NULL || name[0] == '\0' ||
                    strnlen(name, STOQ_NAME_BYTES_MAX + 1) > STOQ_NAME_BYTES_MAX))
        return stoq_fail(error, STOQ_EINVAL, "the server's name must have 1 to %d bytes",
                         STOQ_NAME_BYTES_MAX);
    struct stoq_tls_session *session = hm_calloc(1, sizeof(*session));
    if (session == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for a TLS session");
    session->own.get_conn = own_get_conn;
    session->ref = ref;
    session->tls = tls;
    session->server = server;
    session->group = session->cipher = "";
    if (events != NULL)
        session->events = *events;
    if (!server)
        session->name = hm_strdup(name);
    ERR_clear_error();
    int rc = !server && session->name == NULL
                 ? STOQ_ENOMEM
                 : session_start(session, server ? tls->server : tls->client, resume);
    if (rc != 0) {
        (void)stoq_fail(error, rc, "a TLS session could not be made: %s",
                        stoq_tls_reason(reason, sizeof(reason)));
        stoq_tls_session_free(session);
        return rc;
    }
    ERR_clear_error();
    *out = session;
    return 0;
}

static void drop_ssl(struct stoq_tls_session *session)
{
    if (session->ssl != NULL)
        (void)SSL_set_app_data(session->ssl, NULL); /* no way back into ngtcp2 from here on */
    SSL_free(session->ssl);
    ngtcp2_crypto_ossl_ctx_del(session->native);
    session->ssl = NULL;
    session->native = NULL;
}

void stoq_tls_session_free(struct stoq_tls_session *session)
{
    if (session == NULL)
        return;
    drop_ssl(session);
    stoq_chain_release(&session->peer);
    hm_free(session->name);
    hm_free(session->refusal);
    hm_free(session);
}

/* --- The handshake ------------------------------------------------------------------------------------------------ */

static int fail_with_alert(struct stoq_tls_session *session, ngtcp2_conn *conn, uint8_t alert,
                           const char *text)
{
    if (session->refusal == NULL)
        session->refusal = hm_strdup(text);
    ngtcp2_conn_set_tls_alert(conn, alert);
    return NGTCP2_ERR_CRYPTO;
}

static bool alpn_agreed(const struct stoq_tls_session *session)
{
    const uint8_t *chosen = NULL;
    unsigned len = 0;
    const uint8_t *wanted = session->tls->alpn;
    SSL_get0_alpn_selected(session->ssl, &chosen, &len);
    return len == wanted[0] && memcmp(chosen, wanted + 1, len) == 0;
}

/* The handshake is complete: what OpenSSL did not ask about is asked now, before ngtcp2 hears of it. */
static int complete(struct stoq_tls_session *session, ngtcp2_conn *conn)
{
    session->completed = true;
    session->resumed = SSL_session_reused(session->ssl) == 1;
    if (!alpn_agreed(session))
        return fail_with_alert(session, conn, 120 /* no_application_protocol */,
                               "the peer does not speak our application protocol");
    if (session->resumed || session->shown)
        return 0;
    stoq_chain_release(&session->peer); /* of a ticket that was not used after all */
    if (stoq_tls_ask(session, &session->peer) != 0)
        return fail_with_alert(session, conn, session->refusal_alert, "");
    return 0;
}

static int handshake_failed(struct stoq_tls_session *session, ngtcp2_conn *conn, int rc)
{
    char reason[128];
    char text[192];
    if (session->refused)
        ngtcp2_conn_set_tls_alert(conn, session->refusal_alert);
    if (session->refusal == NULL) {
        (void)snprintf(text, sizeof(text), "TLS failed: %s",
                       stoq_tls_reason(reason, sizeof(reason)));
        session->refusal = hm_strdup(text);
    }
    ERR_clear_error();
    return rc;
}

static void shrink(struct stoq_tls_session *session)
{
    ngtcp2_conn *conn = session->ref->get_conn(session->ref);
    session->group = stoq_tls_group(session);
    session->cipher = stoq_tls_cipher(session);
    session->early = stoq_tls_early_status(session);
    if (conn != NULL)
        ngtcp2_conn_set_tls_native_handle(conn, NULL);
    drop_ssl(session);
    if (session->peer.count > 1) /* nobody asks for more; the bytes stay: the leaf is lent out */
        session->peer.count = 1;
}

static void shrink_when_done(struct stoq_tls_session *session)
{
    bool tickets_wanted = !session->server && session->events.ticket != NULL;
    if (session->ssl != NULL && session->completed && session->confirmed &&
        (!tickets_wanted || session->ticket_came))
        shrink(session);
}

int stoq_tls_crypto_data(struct stoq_tls_session *session, ngtcp2_conn *conn,
                         ngtcp2_encryption_level level, const uint8_t *data, size_t len)
{
    if (session->ssl == NULL) {
        /* After the handshake a server may send more tickets, and they are of no use to us any more; a client may
         * send nothing (RFC 9001 section 6 forbids KeyUpdate). */
        return session->server ? fail_with_alert(session, conn, SSL_AD_UNEXPECTED_MESSAGE,
                                                 "the client sent TLS messages after the handshake")
                               : 0;
    }
    ERR_clear_error();
    int rc = ngtcp2_crypto_recv_crypto_data_cb(conn, level, 0, data, len, NULL);
    if (rc != 0)
        return handshake_failed(session, conn, rc);
    if (!session->completed && SSL_is_init_finished(session->ssl) == 1)
        rc = complete(session, conn);
    if (rc == 0)
        shrink_when_done(session);
    ERR_clear_error();
    return rc;
}

int stoq_tls_no_parameters(struct stoq_tls_session *session, ngtcp2_conn *conn)
{
    session->refused = true; /* OpenSSL will call its own end an internal error */
    session->refusal_alert = 109; /* missing_extension */
    return fail_with_alert(session, conn, session->refusal_alert,
                           "the peer sent no QUIC transport parameters");
}

void stoq_tls_confirmed(struct stoq_tls_session *session)
{
    session->confirmed = true;
    shrink_when_done(session);
}

/* --- Questions ----------------------------------------------------------------------------------------------------- */

void *stoq_tls_native(struct stoq_tls_session *session)
{
    return session->native;
}

bool stoq_tls_early_possible(const struct stoq_tls_session *session)
{
    return session->early_possible;
}

void stoq_tls_early_withdraw(struct stoq_tls_session *session)
{
    if (session->early_possible)
        (void)SSL_set_quic_tls_early_data_enabled(session->ssl, 0);
    session->early_possible = false;
}

enum stoq_tls_early stoq_tls_early_status(const struct stoq_tls_session *session)
{
    if (session->ssl == NULL)
        return session->early;
    switch (SSL_get_early_data_status(session->ssl)) {
    case SSL_EARLY_DATA_ACCEPTED:
        return STOQ_TLS_EARLY_ACCEPTED;
    case SSL_EARLY_DATA_REJECTED:
        return STOQ_TLS_EARLY_REFUSED;
    default:
        return STOQ_TLS_EARLY_NONE;
    }
}

bool stoq_tls_resumed(const struct stoq_tls_session *session)
{
    return session->resumed;
}

const char *stoq_tls_group(const struct stoq_tls_session *session)
{
    static const char *const known[] = {"X25519MLKEM768", "X25519"};
    if (session->ssl == NULL)
        return session->group;
    const char *name = SSL_get0_group_name(session->ssl);
    for (size_t i = 0; name != NULL && i < HM_COUNT_OF(known); i++) {
        if (strcasecmp(name, known[i]) == 0)
            return known[i];
    }
    return "";
}

const char *stoq_tls_cipher(const struct stoq_tls_session *session)
{
    if (session->ssl == NULL)
        return session->cipher;
    const SSL_CIPHER *cipher = SSL_get_current_cipher(session->ssl);
    return cipher == NULL ? "" : SSL_CIPHER_get_name(cipher); /* OpenSSL's table: static */
}

struct stoq_bytes stoq_tls_peer_leaf(const struct stoq_tls_session *session)
{
    return session->peer.count == 0 ? (struct stoq_bytes){NULL, 0} : session->peer.list[0];
}

const char *stoq_tls_refusal(const struct stoq_tls_session *session)
{
    if (session->refusal != NULL)
        return session->refusal;
    return session->refused ? "the peer's certificate was refused" : "";
}
