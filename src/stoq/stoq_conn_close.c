/* How a connection ends: the reason, the last packet, what stays behind for late packets. */
#include <stdio.h>

#include "stoq_core.h"

#define CRYPTO_ERROR_FIRST 0x100U
#define CRYPTO_ERROR_LAST  0x1ffU
#define CODES_OF_QUIC      (1ULL << 62) /* what a variable-length integer holds */

void stoq_conn_end(struct stoq_conn *conn, enum stoq_close_kind kind, uint64_t code, bool silent,
                   const char *text)
{
    if (conn->ending || conn->quic == NULL)
        return;
    conn->ending = true;
    conn->silent = silent;
    conn->close_kind = kind;
    conn->close_code = code;
    if (text != NULL && text[0] != '\0') {
        conn->close_text = hm_strdup(text);
        if (conn->close_text != NULL)
            hm_text_clean(conn->close_text);
    }
    stoq_conn_ready(conn);
}

void stoq_conn_end_application(struct stoq_conn *conn, uint64_t code, const char *text)
{
    if (conn->ending || conn->quic == NULL)
        return;
    conn->close_application = true;
    stoq_conn_end(conn, STOQ_CLOSE_LOCAL, code, false, text);
}

static void end_by_peer(struct stoq_conn *conn)
{
    const ngtcp2_ccerr *error = ngtcp2_conn_get_ccerr(conn->quic);
    char reason[STOQ_ERROR_TEXT_BYTES];
    char text[STOQ_ERROR_TEXT_BYTES];
    size_t len = error->reasonlen < sizeof(reason) - 1 ? error->reasonlen : sizeof(reason) - 1;
    enum stoq_close_kind kind = STOQ_CLOSE_PEER_TRANSPORT;

    for (size_t i = 0; i < len; i++) /* a NUL in it must not hide the rest */
        reason[i] = error->reason[i] == '\0' ? '?' : (char)error->reason[i];
    reason[len] = '\0';
    (void)snprintf(text, sizeof(text), "%s", reason);
    if (error->type == NGTCP2_CCERR_TYPE_APPLICATION) {
        kind = STOQ_CLOSE_PEER_APPLICATION;
    } else if (error->error_code >= CRYPTO_ERROR_FIRST && error->error_code <= CRYPTO_ERROR_LAST) {
        kind = STOQ_CLOSE_TLS;
        (void)snprintf(
            text, sizeof(text), "the peer refused the handshake with TLS alert %u%s%.300s",
            (unsigned)(error->error_code - CRYPTO_ERROR_FIRST), len > 0 ? ": " : "", reason);
    }
    stoq_conn_end(conn, kind, error->error_code, true, text);
}

static void end_by_tls(struct stoq_conn *conn)
{
    unsigned alert = ngtcp2_conn_get_tls_alert(conn->quic);
    const char *refusal = conn->tls != NULL ? stoq_tls_refusal(conn->tls) : "";

    stoq_conn_end(conn, STOQ_CLOSE_TLS, CRYPTO_ERROR_FIRST + alert, false,
                  refusal[0] != '\0' ? refusal : "the TLS handshake failed");
}

void stoq_conn_end_library(struct stoq_conn *conn, int error)
{
    if (conn->ending)
        return;
    switch (error) {
    case NGTCP2_ERR_DRAINING:
        end_by_peer(conn);
        break;
    case NGTCP2_ERR_CRYPTO:
        end_by_tls(conn);
        break;
    case NGTCP2_ERR_IDLE_CLOSE:
        stoq_conn_end(conn, STOQ_CLOSE_IDLE, 0, true, "nothing came for the idle time");
        break;
    case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
        stoq_conn_end(conn, STOQ_CLOSE_HANDSHAKE_TIMEOUT, 0, true,
                      "the handshake did not complete in time");
        break;
    case NGTCP2_ERR_RECV_VERSION_NEGOTIATION:
        stoq_conn_end(conn, STOQ_CLOSE_VERSION, 0, true,
                      "the server does not speak QUIC version 1");
        break;
    case NGTCP2_ERR_DROP_CONN:
    case NGTCP2_ERR_RETRY: /* its own address validation; ours came before */
    case NGTCP2_ERR_CLOSING:
        stoq_conn_end(conn, STOQ_CLOSE_TRANSPORT, 0, true, "the connection was dropped");
        break;
    case NGTCP2_ERR_NOMEM:
    case NGTCP2_ERR_CALLBACK_FAILURE:
        stoq_conn_end(conn, STOQ_CLOSE_DROPPED, NGTCP2_INTERNAL_ERROR, false,
                      "memory or randomness ran out");
        break;
    default:
        stoq_conn_end(conn, STOQ_CLOSE_TRANSPORT, ngtcp2_err_infer_quic_transport_error_code(error),
                      false, ngtcp2_strerror(error));
        break;
    }
}

uint64_t stoq_code_cut(uint64_t code)
{
    return code < CODES_OF_QUIC ? code : STOQ_APP_CODE_BASE - 1;
}

void stoq_conn_close(struct stoq_conn *conn, uint64_t code, const char *reason)
{
    char text[STOQ_REASON_BYTES_MAX + 1] = "";

    if (reason != NULL) {
        size_t len = strnlen(reason, STOQ_REASON_BYTES_MAX);
        memcpy(text, reason, len);
        text[len] = '\0';
    }
    stoq_conn_end_application(conn, stoq_code_cut(code), text);
}

/* --- the last packet --------------------------------------------------------------------------------------------- */

static ngtcp2_ssize close_packet(struct stoq_conn *conn, uint8_t *buffer, size_t capacity,
                                 struct stoq_train *train, uint64_t now_ns)
{
    ngtcp2_path_storage storage;
    ngtcp2_pkt_info info = {0};
    ngtcp2_ccerr error;
    const char *reason = conn->close_text != NULL ? conn->close_text : "";

    ngtcp2_ccerr_default(&error);
    ngtcp2_path_storage_zero(&storage);
    if (conn->close_application)
        ngtcp2_ccerr_set_application_error(&error, conn->close_code, (const uint8_t *)reason,
                                           strnlen(reason, STOQ_REASON_BYTES_MAX));
    else /* our sentences about the peer's faults stay here */
        ngtcp2_ccerr_set_transport_error(&error, conn->close_code, NULL, 0);
    if (capacity > STOQ_CLOSE_BYTES_MAX)
        capacity = STOQ_CLOSE_BYTES_MAX;
    conn->inside = true;
    struct stoq_conn *before = stoq_frames_begin(conn);
    ngtcp2_ssize n = ngtcp2_conn_write_connection_close(conn->quic, &storage.path, &info, buffer,
                                                        capacity, &error, now_ns);
    stoq_frames_end(before);
    conn->inside = false;
    if (n > 0) {
        train->path = conn->path;
        stoq_conn_path_from(conn, &train->path, &storage.path);
        train->len = train->segment = (size_t)n;
        train->ecn = (uint8_t)info.ecn;
        conn->path = train->path;
    }
    return n;
}

size_t stoq_conn_write_close(struct stoq_conn *conn, uint8_t *buffer, size_t capacity,
                             struct stoq_train *train, uint64_t now_ns)
{
    ngtcp2_ssize n = 0;

    if (!conn->silent)
        n = close_packet(conn, buffer, capacity, train, now_ns);
    if (n > 0) {
        conn->last_packet = hm_malloc((size_t)n);
        if (conn->last_packet != NULL) {
            memcpy(conn->last_packet, buffer, (size_t)n);
            conn->last_len = (size_t)n;
        }
    }
    stoq_conn_finish(conn, now_ns);
    return n > 0 ? (size_t)n : 0;
}

size_t stoq_remnant_write(struct stoq_conn *conn, uint8_t *buffer, size_t capacity,
                          struct stoq_train *train)
{
    if (!conn->remnant_answer || conn->last_len > capacity)
        return 0;
    conn->remnant_answer = false;
    memcpy(buffer, conn->last_packet, conn->last_len);
    *train = (struct stoq_train){
        .path = conn->path, .len = conn->last_len, .segment = conn->last_len};
    return conn->last_len;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void tell_closed(struct stoq_conn *conn)
{
    const struct stoq_handlers *handlers = &conn->endpoint->handlers;
    struct stoq_close why = {.kind = conn->close_kind,
                             .code = conn->close_code,
                             .text = conn->close_text != NULL ? conn->close_text : ""};

    while (conn->streams != NULL)
        stoq_stream_end(conn->streams);
    stoq_qlog_end(conn);
    if (conn->announced && handlers->closed != NULL)
        handlers->closed(handlers->ctx, conn, &why);
}

/* Whether late packets of the peer must be known as such for a while. */
static bool remnant_wanted(const struct stoq_conn *conn)
{
    return !conn->silent || conn->close_kind == STOQ_CLOSE_PEER_APPLICATION ||
           conn->close_kind == STOQ_CLOSE_PEER_TRANSPORT || conn->close_kind == STOQ_CLOSE_TLS;
}

void stoq_conn_finish(struct stoq_conn *conn, uint64_t now_ns)
{
    struct stoq_endpoint *endpoint = conn->endpoint;

    stoq_datagram_flush(endpoint);
    tell_closed(conn);
    conn->finished = true;
    endpoint->connections--;
    if (conn->server && !conn->handshake_done)
        endpoint->handshakes--;
    stoq_count(endpoint, conn->handshake_done ? STOQ_COUNT_CLOSED : STOQ_COUNT_HANDSHAKES_FAILED,
               1);
    /* Anybody can make handshakes fail from addresses that are not his: their remnants have a limit of their own. */
    bool failed = conn->server && !conn->handshake_done;
    if (!remnant_wanted(conn) || conn->cid_count == 0 ||
        (failed && endpoint->remnants_failed == STOQ_REMNANTS_FAILED_MAX)) {
        stoq_conn_free(conn);
        return;
    }
    /* RFC 9000 section 10.2: three probe timeouts, with the ids and the last packet and nothing else. */
    uint64_t keep_ns = 3 * ngtcp2_conn_get_pto(conn->quic);
    if (keep_ns < STOQ_REMNANT_NS_MIN) /* a peer that asks only now and then shall hear it too */
        keep_ns = STOQ_REMNANT_NS_MIN;
    while (conn->datagrams != NULL)
        stoq_datagram_pop(conn);
    ngtcp2_conn_del(conn->quic);
    conn->quic = NULL;
    stoq_tls_session_free(conn->tls);
    conn->tls = NULL;
    while (conn->token_count > 0)
        stoq_conn_token_remove(conn, conn->tokens[0]);
    conn->remnant = true;
    conn->remnant_failed = failed;
    *(failed ? &endpoint->remnants_failed : &endpoint->remnants) += 1;
    stoq_conn_unready(conn);
    stoq_timers_set(&endpoint->timers, &conn->timer,
                    now_ns + (keep_ns < STOQ_REMNANT_NS_MAX ? keep_ns : STOQ_REMNANT_NS_MAX));
}
