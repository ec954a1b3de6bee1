/* Tickets: what goes into them, whether they still resume, and early data once for each.
 *
 * A server keeps nothing of a ticket (SSL_OP_NO_ANTI_REPLAY: OpenSSL would otherwise keep tickets of early data in the
 * memory of one SSL_CTX, where other workers and a restarted server do not find them). The client's whole chain
 * travels in the encrypted ticket, so that the verify callback is asked again at each resumption, as it is at a full
 * handshake: a peer that expired or was revoked meanwhile must make a full handshake, and is refused there. A client
 * keeps the server's chain in its session and asks likewise before it resumes. */
#include <openssl/rand.h>

#include "stoq_tls_inside.h"

static int ticket_data_set(struct stoq_tls_session *session, SSL_SESSION *ticket)
{
    uint8_t bytes[STOQ_TICKET_DATA_BYTES_MAX];
    uint64_t now = stoq_tls_now(session->tls);
    bool resumed = SSL_session_reused(session->ssl) == 1; /* nobody proved to have a key */
    struct stoq_ticket_data data = {
        .issued_seconds = now, .proven_seconds = resumed ? session->ticket_proven_seconds : now};
    memcpy(data.context, session->tls->context, sizeof(data.context));
    if (RAND_bytes(data.id, sizeof(data.id)) != 1)
        return STOQ_EINTERNAL;
    for (size_t i = 1; i < session->peer.count; i++)
        data.rest[data.rest_count++] = session->peer.list[i];
    size_t len = stoq_ticket_data_write(&data, bytes, sizeof(bytes));
    /* A chain too long for a ticket: one without data, which does not resume. */
    return SSL_SESSION_set1_ticket_appdata(ticket, bytes, len) == 1 ? 0 : STOQ_ENOMEM;
}

static int ticket_data_get(SSL_SESSION *ticket, struct stoq_ticket_data *out)
{
    void *data = NULL;
    size_t len = 0;
    if (SSL_SESSION_get0_ticket_appdata(ticket, &data, &len) != 1 || data == NULL)
        return STOQ_EPARSE;
    return stoq_ticket_data_parse((struct stoq_bytes){data, len}, out);
}

/* The chain that a ticket carries, verified anew; session->peer is it on success. */
static int ticket_check(struct stoq_tls_session *session, SSL_SESSION *ticket)
{
    struct stoq_ticket_data data;
    struct stoq_bytes list[STOQ_CHAIN_CERTIFICATES_MAX];
    struct stoq_chain chain = {0};
    uint64_t now = stoq_tls_now(session->tls);
    if (ticket_data_get(ticket, &data) != 0)
        return STOQ_EPARSE;
    if (now > data.proven_seconds && now - data.proven_seconds > STOQ_TICKET_LIFE_S)
        return STOQ_ETIMEOUT;
    int rc = stoq_chain_of_x509(&chain, SSL_SESSION_get0_peer(ticket), NULL);
    if (rc == 0 && chain.count > 0) {
        list[0] = chain.list[0];
        memcpy(&list[1], data.rest, data.rest_count * sizeof(list[0]));
        rc = stoq_chain_of_bytes(&chain, list, 1 + data.rest_count);
    }
    /* A ticket of the time when certificates were optional is none now that they are not. */
    if (rc == 0 && chain.count == 0 && !session->tls->certificates_optional)
        rc = STOQ_EAUTH;
    if (rc == 0)
        rc = stoq_tls_ask(session, &chain);
    if (rc != 0) {
        stoq_chain_release(&chain);
        return rc;
    }
    stoq_chain_release(&session->peer);
    session->peer = chain;
    session->ticket_proven_seconds = data.proven_seconds;
    return 0;
}

/* A ticket's refusal is not the handshake's: that goes on in full. */
static void refusal_forget(struct stoq_tls_session *session)
{
    hm_free(session->refusal);
    session->refusal = NULL;
    session->refused = false;
}

int stoq_tls_on_ticket_made(SSL *ssl, void *tls)
{
    struct stoq_tls_session *session = stoq_tls_of_ssl(ssl);
    (void)tls;
    return session != NULL && ticket_data_set(session, SSL_get_session(ssl)) == 0;
}

SSL_TICKET_RETURN stoq_tls_on_ticket_shown(SSL *ssl, SSL_SESSION *ticket, const uint8_t *name,
                                           size_t name_len, SSL_TICKET_STATUS status, void *tls)
{
    struct stoq_tls_session *session = stoq_tls_of_ssl(ssl);
    (void)name;
    (void)name_len;
    (void)tls;
    if (session == NULL || ticket == NULL ||
        (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (ticket_check(session, ticket) != 0) {
        refusal_forget(session);
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    return SSL_TICKET_RETURN_USE_RENEW;
}

int stoq_tls_on_early_data(SSL *ssl, void *arg)
{
    struct stoq_tls *tls = arg;
    struct stoq_ticket_data data;
    SSL_SESSION *ticket = SSL_get_session(ssl);
    return tls->replay != NULL && ticket != NULL && ticket_data_get(ticket, &data) == 0 &&
           memcmp(data.context, tls->context, sizeof(data.context)) == 0 &&
           stoq_replay_take(tls->replay, data.id, data.issued_seconds, stoq_tls_now(tls));
}

int stoq_tls_on_ticket_came(SSL *ssl, SSL_SESSION *ticket)
{
    struct stoq_tls_session *session = stoq_tls_of_ssl(ssl);
    uint8_t *der = NULL;
    if (session == NULL)
        return 0;
    session->ticket_came = true;
    if (session->events.ticket == NULL || SSL_SESSION_is_resumable(ticket) != 1)
        return 0;
    /* A copy: OpenSSL may share this one. */
    SSL_SESSION *own = SSL_SESSION_dup(ticket);
    int len = own != NULL && ticket_data_set(session, own) == 0 ? i2d_SSL_SESSION(own, &der) : 0;
    if (len > 0 && (size_t)len <= STOQ_SESSION_BYTES_MAX)
        session->events.ticket(session->events.ctx, (struct stoq_bytes){der, (size_t)len});
    if (len > 0)
        OPENSSL_clear_free(der, (size_t)len);
    SSL_SESSION_free(own);
    return 0; /* we keep no reference */
}

int stoq_tls_resume(struct stoq_tls_session *session, struct stoq_bytes resume)
{
    const uint8_t *at = resume.data;
    if (resume.len == 0 || resume.len > STOQ_SESSION_BYTES_MAX)
        return 0;
    SSL_SESSION *ticket = d2i_SSL_SESSION(NULL, &at, (long)resume.len);
    if (ticket == NULL || at != resume.data + resume.len || SSL_SESSION_is_resumable(ticket) != 1 ||
        SSL_SESSION_get_protocol_version(ticket) != TLS1_3_VERSION ||
        SSL_SESSION_get0_peer(ticket) == NULL || ticket_check(session, ticket) != 0) {
        refusal_forget(session);
        SSL_SESSION_free(ticket);
        return 0;
    }
    int set = SSL_set_session(session->ssl, ticket);
    session->early_possible = set == 1 && session->tls->early_data &&
                              SSL_SESSION_get_max_early_data(ticket) > 0;
    SSL_SESSION_free(ticket);
    if (session->early_possible && SSL_set_quic_tls_early_data_enabled(session->ssl, 1) != 1)
        session->early_possible = false;
    return 0;
}
