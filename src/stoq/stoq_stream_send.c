/* What an application sends on a stream, until it is acknowledged or given up. */
#include "stoq_core.h"

void stoq_stream_kick(struct stoq_stream *stream)
{
    struct stoq_conn *conn = stream->conn;

    if (stream->gone || stream->out_over || conn->ending)
        return;
    if (!conn->server && !conn->handshake_done && !stream->replay_safe)
        return;
    if (stream->out.sent == stream->out.end && (!stream->out.fin || stream->fin_sent))
        return;
    stoq_sched_add(&conn->sched, &stream->node);
    stoq_conn_ready(conn);
}

static bool send_over(const struct stoq_stream *stream)
{
    return stream->closed || stream->gone || stream->out_over || stream->conn->ending;
}

int64_t stoq_stream_send(struct stoq_stream *stream, const void *data, size_t len, bool fin)
{
    if (send_over(stream) || stream->out.fin)
        return STOQ_ECLOSED;
    int64_t taken = stoq_sendq_copy(&stream->out, data, len);
    if (taken < 0)
        return taken;
    if ((size_t)taken == len && fin)
        stream->out.fin = true;
    if ((size_t)taken < len)
        stream->want_room = len - (size_t)taken;
    stoq_stream_kick(stream);
    return taken;
}

int stoq_stream_write(struct stoq_stream *stream, const void *data, size_t len, bool fin,
                      void (*release)(void *cookie), void *cookie)
{
    if (send_over(stream) || stream->out.fin)
        return STOQ_ECLOSED;
    int rc = stoq_sendq_hold(&stream->out, data, len, release, cookie);
    if (rc == STOQ_EBUSY)
        stream->want_room = len;
    if (rc != 0)
        return rc;
    if (fin)
        stream->out.fin = true;
    stoq_stream_kick(stream);
    return 0;
}

int stoq_stream_finish(struct stoq_stream *stream)
{
    if (send_over(stream))
        return STOQ_ECLOSED;
    stream->out.fin = true;
    stoq_stream_kick(stream);
    return 0;
}

void stoq_endpoint_fins_to(struct stoq_endpoint *endpoint,
                           void (*acked)(struct stoq_stream *stream))
{
    endpoint->fins_to = acked;
}

/* ngtcp2 tells of no bytes only when it tells of the end: one that left alone, or before bytes that were lost. */
static void fin_tell(struct stoq_stream *stream, uint64_t len)
{
    struct stoq_endpoint *endpoint = stream->conn->endpoint;

    if (len == 0)
        stream->fin_alone = false;
    if (stream->fin_told || stream->fin_alone || stream->out_over || !stream->fin_sent ||
        stream->out.acked != stream->out.end || endpoint->fins_to == NULL)
        return;
    stream->fin_told = true;
    endpoint->fins_to(stream);
}

void stoq_stream_acked(struct stoq_stream *stream, uint64_t from, uint64_t len)
{
    stoq_sendq_acked(&stream->out, from + len);
    fin_tell(stream, len);
    if (stream->fin_sent && stream->out.acked == stream->out.end) {
        stream->fin_acked = true; /* or about to be: what is sent again is in ngtcp2's hands */
        if (stream->discard)
            stoq_stream_attend(stream, STOQ_ATTENTION_END);
    }
    if (stream->want_room == 0 || stream->out_over)
        return;
    size_t room = stoq_sendq_room(&stream->out), half = stream->out.limit / 2;
    if (stream->out.acked == stream->out.end || room >= stream->want_room || room >= half) {
        stream->want_room = 0;
        stoq_stream_attend(stream, STOQ_ATTENTION_WRITABLE);
    }
}

/* Our side will send no more: its bytes go. Only once ngtcp2 will not send any of them again. */
static void out_end(struct stoq_stream *stream)
{
    stream->out_over = true;
    stoq_sched_remove(&stream->conn->sched, &stream->node);
    if (!stream->late_write)
        stoq_sendq_drop(&stream->out);
}

static bool shut_is_early(const struct stoq_conn *conn)
{
    return !conn->server && !conn->past_handshake;
}

/* Two things make it wait. What a client of ngtcp2 1.22 shuts before it leaves its handshake is forgotten: see
 * write_packet. And a stream whose receiving side is shut while ngtcp2 hands over its bytes gets no credit for those that
 * come next in ngtcp2's buffer. */
void stoq_stream_shut(struct stoq_stream *stream, bool write, bool read, uint64_t code)
{
    struct stoq_conn *conn = stream->conn;
    int rc = 0;

    if (write)
        stream->stop_code = code;
    if (read)
        stream->read_code = code;
    if (write && shut_is_early(conn)) {
        stream->late_write = conn->shuts_late = true;
        write = false;
    }
    if (read && (conn->inside || shut_is_early(conn))) {
        stream->late_read = conn->shuts_late = true;
        read = false;
    }
    if (write && !(stream->uni && !stream->local))
        rc = ngtcp2_conn_shutdown_stream_write(conn->quic, 0, stream->id, code);
    if (read && !(stream->uni && stream->local) && rc == 0)
        rc = ngtcp2_conn_shutdown_stream_read(conn->quic, 0, stream->id, code);
    if (rc != 0)
        stoq_conn_end(conn, STOQ_CLOSE_DROPPED, NGTCP2_INTERNAL_ERROR, false, "memory ran out");
}

void stoq_streams_shut_late(struct stoq_conn *conn)
{
    if (!conn->shuts_late || shut_is_early(conn) || conn->ending)
        return;
    conn->shuts_late = false;
    for (struct stoq_stream *stream = conn->streams; stream != NULL; stream = stream->after) {
        bool write = stream->late_write, read = stream->late_read;

        if (!write && !read)
            continue;
        stream->late_write = stream->late_read = false;
        if (write) {
            stoq_stream_shut(stream, true, false, stream->stop_code);
            out_end(stream);
        }
        if (read)
            stoq_stream_shut(stream, false, true, stream->read_code);
        stoq_stream_attend(stream, STOQ_ATTENTION_END);
    }
}

void stoq_stream_stopped(struct stoq_stream *stream, uint64_t code)
{
    if (stream->stop_told || stream->reset_asked)
        return;
    stream->stop_told = true;
    stream->stop_code = code;
    stream->out_over = true; /* its bytes go when ngtcp2 has let go of the packet at hand */
    stoq_stream_attend(stream, STOQ_ATTENTION_STOPPED);
    if (stream->discard) /* both directions now: ngtcp2 may never say so, see is_done */
        stoq_stream_attend(stream, STOQ_ATTENTION_END);
}

size_t stoq_stream_unsent(const struct stoq_stream *stream)
{
    return (size_t)(stream->out.end - stream->out.acked);
}

void stoq_stream_reset(struct stoq_stream *stream, uint64_t code)
{
    if (send_over(stream) || stream->reset_asked)
        return;
    code = stoq_code_cut(code);
    stream->reset_asked = true;
    stream->stop_code = code;
    stoq_stream_shut(stream, true, false, code);
    out_end(stream);
    if (stream->discard)
        stoq_stream_attend(stream, STOQ_ATTENTION_END);
    stoq_conn_ready(stream->conn);
}

void stoq_stream_stop(struct stoq_stream *stream, uint64_t code)
{
    if (stream->closed || stream->discard || stream->conn->ending || (stream->uni && stream->local))
        return;
    stoq_stream_discard(stream);
    stoq_stream_attend(stream, STOQ_ATTENTION_END);
    if (stream->gone)
        return;
    stoq_stream_shut(stream, false, true, stoq_code_cut(code));
    stoq_conn_ready(stream->conn);
}
