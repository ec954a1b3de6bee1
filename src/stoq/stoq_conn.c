/* What an application asks of a connection, and what was left to do until ngtcp2 had returned. */
#include "stoq_config.h"
#include "stoq_core.h"

bool stoq_conn_settle(struct stoq_conn *conn, uint64_t now_ns)
{
    if (conn->quic == NULL)
        return true;
    stoq_streams_shut_late(conn);
    if (conn->attention != NULL)
        stoq_stream_attentions(conn);
    if (conn->datagrams_refused)
        stoq_datagram_room(conn);
    if (conn->path_told)
        stoq_conn_path_settle(conn);
    if (conn->want_keys) {
        conn->want_keys = false;
        (void)stoq_conn_update_keys(conn, conn->endpoint->clock_ns);
    }
    if (conn->want_migrate) {
        conn->want_migrate = false;
        (void)stoq_conn_migrate(conn, &conn->migrate_to, conn->migrate_probe,
                                conn->endpoint->clock_ns, NULL);
    }
    if (conn->ending && conn->silent) {
        stoq_conn_finish(conn, now_ns);
        return false;
    }
    return true;
}

/* What streams hold of ours; bytes that their owner keeps until release are counted too. */
static size_t streams_memory(const struct stoq_conn *conn)
{
    size_t bytes = 0;

    for (const struct stoq_stream *stream = conn->streams; stream != NULL; stream = stream->after)
        bytes += sizeof(*stream) + stream->tag_len + stream->in.bytes +
                 (size_t)(stream->out.end - stream->out.acked);
    return bytes;
}

void stoq_conn_get_info(const struct stoq_conn *conn, struct stoq_conn_info *out)
{
    ngtcp2_conn_info quic = {0};
    struct stoq_conn_info info = {
        .path = conn->path,
        .server = conn->server,
        .handshake_done = conn->handshake_done,
        .handshake_confirmed = conn->confirmed,
        .early_accepted = conn->early_taken,
        .group = "",
        .cipher = "",
        .bytes_sent = conn->bytes_sent,
        .bytes_received = conn->bytes_received,
        .stream_bytes_sent = conn->stream_bytes_sent,
        .stream_bytes_received = conn->stream_bytes_received,
        .datagrams_sent = conn->datagrams_sent,
        .datagrams_received = conn->datagrams_received,
        .datagrams_dropped = conn->datagrams_dropped,
        .streams_opened = conn->streams_total,
        .streams_open = conn->streams_open,
        .key_updates = conn->key_updates,
        .migrations = conn->migrations,
        .memory = conn->memory + sizeof(*conn) + conn->datagram_bytes + streams_memory(conn),
    };
    if (conn->quic != NULL) {
        ngtcp2_conn_get_conn_info(conn->quic, &quic);
        info.udp_payload = ngtcp2_conn_get_path_max_tx_udp_payload_size(conn->quic);
        info.rtt_ns = quic.smoothed_rtt;
        info.rtt_min_ns = quic.min_rtt == UINT64_MAX ? 0 : quic.min_rtt;
        info.rtt_variation_ns = quic.rttvar;
        info.congestion_window = quic.cwnd;
        info.in_flight = quic.bytes_in_flight;
        info.packets_sent = quic.pkt_sent;
        info.packets_received = quic.pkt_recv;
        info.packets_lost = quic.pkt_lost;
        info.resumed = stoq_tls_resumed(conn->tls);
        info.group = stoq_tls_group(conn->tls);
        info.cipher = stoq_tls_cipher(conn->tls);
    }
    *out = info;
}

struct stoq_endpoint *stoq_conn_endpoint(struct stoq_conn *conn)
{
    return conn->endpoint;
}

void *stoq_conn_user(const struct stoq_conn *conn)
{
    return conn->user;
}

void stoq_conn_set_user(struct stoq_conn *conn, void *user)
{
    conn->user = user;
}

struct stoq_bytes stoq_conn_peer_leaf(const struct stoq_conn *conn)
{
    return conn->tls != NULL ? stoq_tls_peer_leaf(conn->tls) : (struct stoq_bytes){0};
}

size_t stoq_conn_trace_id(const struct stoq_conn *conn, uint8_t out[20])
{
    memcpy(out, conn->trace_id.data, conn->trace_id.datalen);
    return conn->trace_id.datalen;
}

void stoq_conn_keep_alive(struct stoq_conn *conn, uint64_t every_ns)
{
    if (conn->quic == NULL)
        return;
    conn->keep_alive_ns = every_ns;
    stoq_conn_keep_alive_set(conn, conn->endpoint->now_ns);
    stoq_conn_ready(conn); /* its deadline may have moved */
}

int stoq_conn_update_keys(struct stoq_conn *conn, uint64_t now_ns)
{
    if (conn->ending || conn->quic == NULL)
        return STOQ_ECLOSED;
    /* RFC 9001 section 6.1: a peer that never saw these keys would take the next ones for them. ngtcp2 1.22 asks for less
     * when the peer began the last update: that it was acknowledged to the peer. */
    if (!conn->confirmed || conn->want_keys || !conn->phase.acked)
        return STOQ_EBUSY;
    if (conn->inside) { /* ngtcp2 is on the stack: a moment later */
        conn->want_keys = true;
        return 0;
    }
    stoq_endpoint_clock_later(conn->endpoint, now_ns);
    if (ngtcp2_conn_initiate_key_update(conn->quic, conn->endpoint->now_ns) != 0)
        return STOQ_EBUSY;
    stoq_conn_ready(conn);
    return 0;
}

/* --- sessions ------------------------------------------------------------------------------------------------------ */

void stoq_conn_session(void *ctx, struct stoq_bytes ticket)
{
    struct stoq_conn *conn = ctx;
    const struct stoq_handlers *handlers = &conn->endpoint->handlers;
    uint8_t parameters[256];
    uint8_t *packed;
    size_t len;
    ngtcp2_ssize n = ngtcp2_conn_encode_0rtt_transport_params(conn->quic, parameters,
                                                              sizeof(parameters));
    struct stoq_session session = {
        .ticket = ticket,
        .parameters = {.data = parameters, .len = n > 0 ? (size_t)n : 0},
        .token = {.data = conn->token, .len = conn->token_len},
    };

    if (handlers->session == NULL || conn->ending ||
        stoq_session_pack(&session, &packed, &len) != 0)
        return;
    handlers->session(handlers->ctx, conn, (struct stoq_bytes){.data = packed, .len = len});
    hm_wipe(packed, len);
    hm_free(packed);
}
