/* Datagrams (RFC 9221): a bounded queue out, a batch for the application in. */
#include "stoq_core.h"

#define FRAME_OVERHEAD \
    (1 + STOQ_CID_BYTES + 4 + 16 + 1) /* short header, packet number, tag, type */
#define CID_BYTES_OTHER 20

void stoq_datagram_pop(struct stoq_conn *conn)
{
    struct stoq_datagram *first = conn->datagrams;

    conn->datagrams = first->after;
    if (conn->datagrams == NULL)
        conn->datagrams_last = NULL;
    conn->datagram_bytes -= first->len;
    hm_free(first);
}

static size_t varint_size(size_t value)
{
    return value < 64 ? 1 : value < 16384 ? 2 : 4;
}

size_t stoq_conn_datagram_size(const struct stoq_conn *conn)
{
    if (conn->quic == NULL || conn->ending)
        return 0;
    const ngtcp2_transport_params *peer = ngtcp2_conn_get_remote_transport_params(conn->quic);
    if (peer == NULL || peer->max_datagram_frame_size == 0)
        return 0;
    size_t payload = ngtcp2_conn_get_path_max_tx_udp_payload_size(conn->quic);
    size_t dcid = ngtcp2_conn_get_dcid(conn->quic)->datalen;
    size_t room = payload - (FRAME_OVERHEAD - STOQ_CID_BYTES) - dcid;
    if (room > peer->max_datagram_frame_size - 1)
        room = (size_t)peer->max_datagram_frame_size - 1;
    return room > varint_size(room) ? room - varint_size(room) : 0;
}

static bool datagram_push(struct stoq_conn *conn, struct stoq_bytes bytes)
{
    struct stoq_datagram *datagram = hm_malloc(sizeof(*datagram) + bytes.len);

    if (datagram == NULL)
        return false;
    datagram->after = NULL;
    datagram->len = bytes.len;
    memcpy(datagram->data, bytes.data, bytes.len);
    if (conn->datagrams_last != NULL)
        conn->datagrams_last->after = datagram;
    else
        conn->datagrams = datagram;
    conn->datagrams_last = datagram;
    conn->datagram_bytes += bytes.len;
    return true;
}

size_t stoq_conn_datagrams(struct stoq_conn *conn, const struct stoq_bytes *list, size_t count)
{
    size_t most = stoq_conn_datagram_size(conn), taken = 0;

    while (taken < count) {
        struct stoq_bytes bytes = list[taken];

        if (bytes.len < 1 || bytes.len > most)
            break;
        if (bytes.len > conn->endpoint->config.datagram_queue - conn->datagram_bytes ||
            !datagram_push(conn, bytes)) {
            conn->datagrams_refused = true;
            break;
        }
        taken++;
    }
    if (taken > 0)
        stoq_conn_ready(conn);
    return taken;
}

void stoq_datagram_room(struct stoq_conn *conn)
{
    const struct stoq_handlers *handlers = &conn->endpoint->handlers;

    if (conn->ending || conn->datagram_bytes > conn->endpoint->config.datagram_queue / 2)
        return;
    conn->datagrams_refused = false;
    if (conn->announced && handlers->datagrams_writable != NULL)
        handlers->datagrams_writable(handlers->ctx, conn);
}

void stoq_datagram_drop(struct stoq_conn *conn)
{
    conn->datagrams_received++;
    conn->datagrams_dropped++;
    stoq_count(conn->endpoint, STOQ_COUNT_DATAGRAMS_DROPPED, 1);
}

/* ngtcp2's bytes live only during its callback: they are kept in one buffer of the endpoint until the step is over or
 * the buffer is full. */
int stoq_datagram_received(struct stoq_conn *conn, const uint8_t *data, size_t len)
{
    struct stoq_endpoint *endpoint = conn->endpoint;

    if (endpoint->handlers.datagrams == NULL || !conn->announced) {
        stoq_datagram_drop(conn);
        return 0;
    }
    conn->datagrams_received++;
    if (endpoint->batch == NULL)
        endpoint->batch = hm_malloc(STOQ_BATCH_BYTES);
    if (endpoint->batch == NULL)
        return STOQ_ENOMEM;
    if (endpoint->batch_conn != conn || endpoint->batch_count == STOQ_BATCH_DATAGRAMS ||
        len > STOQ_BATCH_BYTES - endpoint->batch_bytes)
        stoq_datagram_flush(endpoint);
    uint8_t *place = endpoint->batch + endpoint->batch_bytes;
    if (len > 0)
        memcpy(place, data, len);
    endpoint->batch_list[endpoint->batch_count++] = (struct stoq_bytes){.data = place, .len = len};
    endpoint->batch_bytes += len;
    endpoint->batch_conn = conn;
    return 0;
}

void stoq_datagram_flush(struct stoq_endpoint *endpoint)
{
    struct stoq_conn *conn = endpoint->batch_conn;
    size_t count = endpoint->batch_count;

    endpoint->batch_conn = NULL;
    endpoint->batch_count = endpoint->batch_bytes = 0;
    if (count == 0)
        return;
    /* What came before the peer's goodbye is handed over; who closed it himself wants no more. */
    if (conn->finished || (conn->ending && conn->close_kind == STOQ_CLOSE_LOCAL)) {
        conn->datagrams_dropped += count;
        stoq_count(endpoint, STOQ_COUNT_DATAGRAMS_DROPPED, count);
    } else {
        endpoint->handlers.datagrams(endpoint->handlers.ctx, conn, endpoint->batch_list, count);
    }
}
