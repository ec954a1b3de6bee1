/* What ngtcp2 tells of a connection's streams and datagrams. Everything here runs inside ngtcp2: nothing is freed, no
 * packet written. */
#include "stoq_core.h"

#define FAILED NGTCP2_ERR_CALLBACK_FAILURE

static int on_stream_open(ngtcp2_conn *quic, int64_t id, void *user)
{
    struct stoq_conn *conn = user;
    struct stoq_stream *stream;

    if (conn->ending)
        return 0;
    stoq_conn_announce(conn); /* 0-RTT data comes before the handshake is complete */
    if (conn->ending)
        return 0;
    if (stoq_stream_new(&stream, conn, id, false) != 0 ||
        ngtcp2_conn_set_stream_user_data(quic, id, stream) != 0)
        return FAILED;
    return 0;
}

static int on_stream_data(ngtcp2_conn *quic, uint32_t flags, int64_t id, uint64_t offset,
                          const uint8_t *data, size_t len, void *user, void *stream_user)
{
    struct stoq_conn *conn = user;
    struct stoq_stream *stream = stream_user;

    (void)id;
    (void)offset;
    if (conn->ending)
        return 0;
    if (stream == NULL) { /* we were done with it before ngtcp2 */
        ngtcp2_conn_extend_max_offset(quic, len);
        return 0;
    }
    stream->any_in = true;
    if ((flags & NGTCP2_STREAM_DATA_FLAG_0RTT) != 0) {
        stream->early = true;
        conn->early_taken = true;
    }
    return stoq_stream_deliver(stream, data, len, (flags & NGTCP2_STREAM_DATA_FLAG_FIN) != 0) == 0
               ? 0
               : FAILED;
}

static int on_stream_acked(ngtcp2_conn *quic, int64_t id, uint64_t offset, uint64_t len, void *user,
                           void *stream_user)
{
    (void)quic;
    (void)id;
    (void)user;
    if (stream_user != NULL)
        stoq_stream_acked(stream_user, offset, len);
    return 0;
}

static int on_stream_reset(ngtcp2_conn *quic, int64_t id, uint64_t final_size, uint64_t code,
                           void *user, void *stream_user)
{
    struct stoq_conn *conn = user;
    struct stoq_stream *stream = stream_user;

    (void)quic;
    (void)id;
    (void)final_size;
    if (stream == NULL || stream->in_reset)
        return 0;
    stream->in_reset = true;
    /* ngtcp2 before 1.23 never lets go of a peer's unidirectional stream whose first frame is RESET_STREAM. For us it is
     * over, and its place the peer's again; a peer that does so without end is sent away. Data that came out of order
     * looks the same here, and then ngtcp2 does let go: no harm. */
    if (stream->uni && !stream->local && !stream->any_in) {
        stream->orphan = true;
        stoq_stream_attend(stream, STOQ_ATTENTION_END);
    }
    /* Reset before its tag was here: the application never hears of it, so our direction ends too. */
    if (!stream->announced && !stream->uni && !stream->reset_asked) {
        stream->reset_asked = stream->out_over = true;
        stoq_stream_shut(stream, true, false, STOQ_APP_BAD_PREAMBLE);
    }
    bool told = stream->announced && !stream->discard && !conn->ending;
    stoq_stream_discard(stream);
    if (told && conn->endpoint->handlers.stream_reset != NULL)
        conn->endpoint->handlers.stream_reset(conn->endpoint->handlers.ctx, stream, code);
    return 0;
}

static int on_stream_close(ngtcp2_conn *quic, uint32_t flags, int64_t id, uint64_t code, void *user,
                           void *stream_user)
{
    struct stoq_conn *conn = user;
    struct stoq_stream *stream = stream_user;

    (void)quic;
    (void)id;
    (void)flags;
    (void)code;
    if (stream == NULL) {
        if (conn->orphans > 0) /* one that we were done with before */
            conn->orphans--;
        return 0;
    }
    stream->gone = true;
    stoq_sched_remove(&conn->sched, &stream->node);
    stoq_stream_attend(stream, STOQ_ATTENTION_END);
    return 0;
}

static int on_more_stream_data(ngtcp2_conn *quic, int64_t id, uint64_t max, void *user,
                               void *stream_user)
{
    (void)quic;
    (void)id;
    (void)max;
    (void)user;
    if (stream_user != NULL)
        stoq_stream_kick(stream_user);
    return 0;
}

static int more_streams(struct stoq_conn *conn, bool bidirectional)
{
    const struct stoq_handlers *handlers = &conn->endpoint->handlers;

    if (conn->announced && !conn->ending && handlers->streams_available != NULL)
        handlers->streams_available(handlers->ctx, conn, bidirectional);
    return 0;
}

static int on_more_bidi(ngtcp2_conn *quic, uint64_t max, void *user)
{
    (void)quic;
    (void)max;
    return more_streams(user, true);
}

static int on_more_uni(ngtcp2_conn *quic, uint64_t max, void *user)
{
    (void)quic;
    (void)max;
    return more_streams(user, false);
}

static int on_datagram(ngtcp2_conn *quic, uint32_t flags, const uint8_t *data, size_t len,
                       void *user)
{
    struct stoq_conn *conn = user;

    (void)quic;
    if ((flags & NGTCP2_DATAGRAM_FLAG_0RTT) !=
        0) { /* may be a replay, and no stream's option allows it */
        stoq_datagram_drop(conn);
        return 0;
    }
    stoq_conn_announce(conn);
    return conn->ending || stoq_datagram_received(conn, data, len) == 0 ? 0 : FAILED;
}

void stoq_conn_callbacks_streams(ngtcp2_callbacks *callbacks)
{
    callbacks->stream_open = on_stream_open;
    callbacks->recv_stream_data = on_stream_data;
    callbacks->acked_stream_data_offset = on_stream_acked;
    callbacks->stream_reset = on_stream_reset;
    callbacks->stream_close = on_stream_close;
    callbacks->extend_max_stream_data = on_more_stream_data;
    callbacks->extend_max_local_streams_bidi = on_more_bidi;
    callbacks->extend_max_local_streams_uni = on_more_uni;
    callbacks->recv_datagram = on_datagram;
}
