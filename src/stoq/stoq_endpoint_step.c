/* The steps of an endpoint: datagrams in, datagrams out, time, drain. */
#include "stoq_core.h"

#define CLOCK_BEHIND_NS STOQ_NS_PER_S

/* --- in -------------------------------------------------------------------------------------------------------- */

/* The last connection found: packets of a batch mostly belong together. */
struct route {
    struct stoq_conn *conn;
    uint8_t cid[STOQ_CID_BYTES];
};

static struct stoq_conn *route_short(struct stoq_endpoint *endpoint, struct route *route,
                                     const struct stoq_path *path, const uint8_t *data, size_t len)
{
    /* Shorter packets hold no connection id and no tag (RFC 9000 section 10.3). */
    if (len < 1 + STOQ_CID_BYTES + 4) {
        stoq_count(endpoint, STOQ_COUNT_DROP_MALFORMED, 1);
        return NULL;
    }
    if (route->conn != NULL && memcmp(route->cid, data + 1, STOQ_CID_BYTES) == 0)
        return route->conn;
    struct stoq_conn *conn = stoq_table_get(&endpoint->table, data + 1, STOQ_CID_BYTES);
    if (conn == NULL) {
        conn = stoq_table_get(&endpoint->tokens, data + len - NGTCP2_STATELESS_RESET_TOKENLEN,
                              NGTCP2_STATELESS_RESET_TOKENLEN);
        if (conn != NULL) /* a stateless reset: the rest of it is noise */
            return conn;
        /* The workers share the secret that reset tokens are made of: a reset for another's packet would end a
         * connection that lives. */
        bool ours = data[1] % endpoint->config.worker_count == endpoint->config.worker_index;
        stoq_count(endpoint, ours ? STOQ_COUNT_DROP_UNKNOWN : STOQ_COUNT_DROP_STRAY, 1);
        if (ours)
            stoq_reply_reset(endpoint, path, data, len);
        return NULL;
    }
    route->conn = conn;
    memcpy(route->cid, data + 1, STOQ_CID_BYTES);
    return conn;
}

static struct stoq_conn *route_long(struct stoq_endpoint *endpoint, const struct stoq_path *path,
                                    const uint8_t *data, size_t len)
{
    ngtcp2_version_cid ids;
    int rc = ngtcp2_pkt_decode_version_cid(&ids, data, len, STOQ_CID_BYTES);

    if (rc == NGTCP2_ERR_VERSION_NEGOTIATION && endpoint->config.server) {
        if (len < STOQ_UDP_PAYLOAD_MIN)
            stoq_count(endpoint, STOQ_COUNT_DROP_SMALL_INITIAL, 1);
        else
            stoq_reply_versions(endpoint, path, &ids);
        return NULL;
    }
    if (rc != 0 || ids.dcidlen > NGTCP2_MAX_CIDLEN || ids.scidlen > NGTCP2_MAX_CIDLEN) {
        stoq_count(endpoint, STOQ_COUNT_DROP_MALFORMED, 1);
        return NULL;
    }
    struct stoq_conn *conn = ids.dcidlen > 0
                                 ? stoq_table_get(&endpoint->table, ids.dcid, ids.dcidlen)
                                 : NULL;
    if (conn != NULL)
        return conn;
    if (!endpoint->config.server || ids.version == 0) {
        stoq_count(endpoint, STOQ_COUNT_DROP_UNKNOWN, 1);
        return NULL;
    }
    return stoq_accept(endpoint, path, data, len);
}

static void datagram_receive(struct stoq_endpoint *endpoint, struct route *route,
                             const struct stoq_packet *packet, const uint8_t *data, size_t len)
{
    stoq_count(endpoint, STOQ_COUNT_PACKETS_RECEIVED, 1);
    stoq_count(endpoint, STOQ_COUNT_BYTES_RECEIVED, len);
    if (len == 0) {
        stoq_count(endpoint, STOQ_COUNT_DROP_MALFORMED, 1);
        return;
    }
    struct stoq_conn *conn = (data[0] & 0x80) != 0
                                 ? route_long(endpoint, &packet->path, data, len)
                                 : route_short(endpoint, route, &packet->path, data, len);
    if (conn == NULL)
        return;
    stoq_conn_read(conn, &packet->path, packet->ecn, data, len, endpoint->now_ns);
    /* Settling may call back, so datagrams that came before go first; it may also free the connection. */
    if (conn->attention != NULL || conn->ending || conn->want_keys || conn->want_migrate ||
        conn->path_told) {
        stoq_datagram_flush(endpoint);
        if (!stoq_conn_settle(conn, endpoint->now_ns) || conn->quic == NULL)
            route->conn = NULL;
    }
}

void stoq_endpoint_receive(struct stoq_endpoint *endpoint, const struct stoq_packet *packets,
                           size_t count, uint64_t now_ns)
{
    struct route route = {0};

    stoq_endpoint_clock(endpoint, now_ns);
    for (size_t i = 0; i < count; i++) {
        const struct stoq_packet *packet = &packets[i];
        size_t segment = packet->segment == 0 ? packet->len : packet->segment;

        for (size_t at = 0; at < packet->len; at += segment)
            datagram_receive(endpoint, &route, packet, packet->data + at,
                             packet->len - at < segment ? packet->len - at : segment);
    }
    stoq_datagram_flush(endpoint);
}

/* --- out ------------------------------------------------------------------------------------------------------- */

size_t stoq_endpoint_send(struct stoq_endpoint *endpoint, uint8_t *buffer, size_t capacity,
                          struct stoq_train *train, uint64_t now_ns)
{
    stoq_endpoint_clock(endpoint, now_ns);
    size_t len = stoq_reply_take(endpoint, buffer, capacity, train);
    if (len > 0)
        return len;
    while (endpoint->ready_first != NULL) {
        struct stoq_conn *conn = endpoint->ready_first;

        stoq_conn_unready(conn);
        len = stoq_conn_write(conn, buffer, capacity, train, endpoint->now_ns);
        if (len > 0) {
            stoq_count(endpoint, STOQ_COUNT_TRAINS_SENT, 1);
            stoq_count(endpoint, STOQ_COUNT_BYTES_SENT, len);
            stoq_count(endpoint, STOQ_COUNT_PACKETS_SENT,
                       (len + train->segment - 1) / train->segment);
            return len;
        }
    }
    return 0;
}

/* --- time ------------------------------------------------------------------------------------------------------ */

/* A clock that jumps back goes on from where it was. One that seems to be a little late is no such jump: its driver read
 * it before a callback did. */
void stoq_endpoint_clock(struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    if (now_ns < endpoint->clock_ns) {
        if (endpoint->clock_ns - now_ns < CLOCK_BEHIND_NS)
            return;
        endpoint->back_ns += endpoint->clock_ns - now_ns;
    }
    endpoint->clock_ns = now_ns;
    endpoint->now_ns = now_ns + endpoint->back_ns;
}

void stoq_endpoint_clock_later(struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    if (now_ns > endpoint->clock_ns)
        stoq_endpoint_clock(endpoint, now_ns);
}

uint64_t stoq_endpoint_deadline(const struct stoq_endpoint *endpoint)
{
    const struct stoq_timer *first = stoq_timers_first(&endpoint->timers);
    uint64_t at = first != NULL ? first->at_ns : STOQ_NEVER;

    if (endpoint->drain_ns < at)
        at = endpoint->drain_ns;
    if (at == STOQ_NEVER)
        return at;
    return at > endpoint->back_ns ? at - endpoint->back_ns : 0;
}

static struct stoq_conn *conn_of_timer(struct stoq_timer *timer)
{
    return (struct stoq_conn *)(void *)((char *)timer - offsetof(struct stoq_conn, timer));
}

static void shutdown_all(struct stoq_endpoint *endpoint)
{
    for (struct stoq_conn *conn = endpoint->all; conn != NULL; conn = conn->after) {
        if (conn->quic != NULL)
            stoq_conn_end_application(conn, STOQ_APP_SHUTDOWN, "the endpoint shuts down");
    }
}

void stoq_endpoint_expire(struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct stoq_timer *first;

    stoq_endpoint_clock(endpoint, now_ns);
    if (endpoint->drain_ns <= endpoint->now_ns) {
        endpoint->drain_ns = STOQ_NEVER;
        shutdown_all(endpoint);
    }
    while ((first = stoq_timers_first(&endpoint->timers)) != NULL &&
           first->at_ns <= endpoint->now_ns) {
        struct stoq_conn *conn = conn_of_timer(first);

        /* Its next deadline is known after it was given the chance to send. */
        stoq_timers_set(&endpoint->timers, first, STOQ_NEVER);
        stoq_conn_expire(conn, endpoint->now_ns);
    }
    stoq_datagram_flush(endpoint);
}

void stoq_conn_drained(struct stoq_conn *conn)
{
    if (conn->endpoint->draining && conn->streams_open == 0)
        stoq_conn_end_application(conn, STOQ_APP_SHUTDOWN, "the endpoint shuts down");
}

void stoq_endpoint_drain(struct stoq_endpoint *endpoint, uint64_t now_ns, uint64_t deadline_ns)
{
    stoq_endpoint_clock_later(endpoint, now_ns);
    endpoint->draining = true;
    endpoint->drain_ns = deadline_ns > STOQ_NEVER - endpoint->back_ns
                             ? STOQ_NEVER
                             : deadline_ns + endpoint->back_ns;
    for (struct stoq_conn *conn = endpoint->all; conn != NULL; conn = conn->after) {
        if (conn->quic != NULL)
            stoq_conn_drained(conn);
    }
}
