/* What an application asks of a connection, and what was left to do until ngtcp2 had returned. */
#include "stoq_config.h"
#include "stoq_core.h"

/* Tells of a new path once it is validated. */
static void path_settle(struct stoq_conn *conn)
{
    const struct stoq_handlers *handlers = &conn->endpoint->handlers;
    struct stoq_path path = conn->path;

    conn->path_told = false;
    stoq_conn_path_from(&path, ngtcp2_conn_get_path(conn->quic));
    if (conn->validating || (memcmp(&path.remote, &conn->path.remote, sizeof(path.remote)) == 0 &&
                             memcmp(&path.local, &conn->path.local, sizeof(path.local)) == 0))
        return;
    conn->path = path;
    conn->migrations++;
    stoq_count(conn->endpoint, STOQ_COUNT_PATH_CHANGES, 1);
    if (conn->announced && !conn->ending && handlers->path_changed != NULL)
        handlers->path_changed(handlers->ctx, conn);
}

bool stoq_conn_settle(struct stoq_conn *conn, uint64_t now_ns)
{
    if (conn->quic == NULL)
        return true;
    if (conn->attention != NULL)
        stoq_stream_attentions(conn);
    if (conn->path_told)
        path_settle(conn);
    if (conn->want_keys) {
        conn->want_keys = false;
        (void)stoq_conn_update_keys(conn, now_ns);
    }
    if (conn->want_migrate) {
        conn->want_migrate = false;
        (void)stoq_conn_migrate(conn, &conn->migrate_to, conn->migrate_probe, now_ns, NULL);
    }
    if (conn->ending && conn->silent) {
        stoq_conn_finish(conn, now_ns);
        return false;
    }
    return true;
}

void stoq_conn_info(const struct stoq_conn *conn, struct stoq_conn_info *out)
{
    ngtcp2_conn_info quic = {0};
    struct stoq_conn_info info = {
        .path = conn->path,
        .server = conn->server,
        .handshake_done = conn->handshake_done,
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
        .memory = conn->memory + sizeof(*conn) + conn->datagram_bytes,
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
    ngtcp2_conn_set_keep_alive_timeout(conn->quic, every_ns > 0 ? every_ns : UINT64_MAX);
    stoq_conn_ready(conn); /* its deadline may have moved */
}

int stoq_conn_update_keys(struct stoq_conn *conn, uint64_t now_ns)
{
    if (conn->ending || conn->quic == NULL)
        return STOQ_ECLOSED;
    if (!conn->confirmed || conn->want_keys)
        return STOQ_EBUSY;
    if (conn->inside) { /* ngtcp2 is on the stack: a moment later */
        conn->want_keys = true;
        return 0;
    }
    if (now_ns < conn->endpoint->now_ns)
        now_ns = conn->endpoint->now_ns;
    if (ngtcp2_conn_initiate_key_update(conn->quic, now_ns) != 0)
        return STOQ_EBUSY;
    stoq_conn_ready(conn);
    return 0;
}

/* --- other paths -------------------------------------------------------------------------------------------------- */

static int migrate_result(int rc, struct stoq_error *error)
{
    switch (rc) {
    case 0:
        return 0;
    case NGTCP2_ERR_CONN_ID_BLOCKED:
        return stoq_fail(error, STOQ_EBUSY, "the peer has given no connection id for a new path");
    case NGTCP2_ERR_INVALID_STATE:
        return stoq_fail(error, STOQ_EBUSY,
                         "the handshake is not confirmed, or the peer forbids migration");
    case NGTCP2_ERR_INVALID_ARGUMENT:
        return stoq_fail(error, STOQ_EINVAL, "the connection is at that address already");
    case NGTCP2_ERR_NOMEM:
        return stoq_fail(error, STOQ_ENOMEM, "no memory for a new path");
    default:
        return stoq_fail(error, STOQ_EINTERNAL, "the new path failed: %s", ngtcp2_strerror(rc));
    }
}

int stoq_conn_migrate(struct stoq_conn *conn, const struct sockaddr_in6 *local, bool probe,
                      uint64_t now_ns, struct stoq_error *error)
{
    struct stoq_path to;
    ngtcp2_path at;

    if (conn->server)
        return stoq_fail(error, STOQ_EINVAL, "only a client changes its path");
    if (local->sin6_family != AF_INET6)
        return stoq_fail(error, STOQ_EINVAL, "the local address is no IPv6 address");
    if (conn->ending || conn->quic == NULL)
        return stoq_fail(error, STOQ_ECLOSED, "the connection has ended");
    if (conn->inside) {
        if (!conn->confirmed)
            return migrate_result(NGTCP2_ERR_INVALID_STATE, error);
        conn->want_migrate = true;
        conn->migrate_probe = probe;
        conn->migrate_to = *local;
        return 0;
    }
    if (now_ns < conn->endpoint->now_ns)
        now_ns = conn->endpoint->now_ns;
    to = conn->path;
    to.local = *local;
    stoq_conn_path(&to, &at);
    /* At once means that packets leave from there from now on; ngtcp2 validates that path too, and tells. A path that
     * it has validated lately is taken without asking again. */
    int rc = probe ? ngtcp2_conn_initiate_migration(conn->quic, &at, now_ns)
                   : ngtcp2_conn_initiate_immediate_migration(conn->quic, &at, now_ns);
    if (rc != 0)
        return migrate_result(rc, error);
    conn->local_unknown = IN6_IS_ADDR_UNSPECIFIED(&local->sin6_addr);
    conn->read_local = *local;
    conn->path_told = true;
    stoq_conn_ready(conn);
    return 0;
}

void stoq_endpoint_migrate(struct stoq_endpoint *endpoint, const struct sockaddr_in6 *local,
                           uint64_t now_ns)
{
    if (now_ns > endpoint->now_ns)
        endpoint->now_ns = now_ns;
    for (struct stoq_conn *conn = endpoint->all; conn != NULL; conn = conn->after) {
        if (!conn->server && conn->quic != NULL)
            (void)stoq_conn_migrate(conn, local, false, now_ns, NULL);
    }
}

/* --- sessions ------------------------------------------------------------------------------------------------------ */

void stoq_conn_session(void *ctx, struct stoq_bytes ticket)
{
    struct stoq_conn *conn = ctx;
    const struct stoq_handlers *handlers = &conn->endpoint->handlers;
    uint8_t parameters[256];
    uint8_t *packed;
    size_t len;
    ngtcp2_ssize n =
        ngtcp2_conn_encode_0rtt_transport_params(conn->quic, parameters, sizeof(parameters));
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
