/* What comes in on a stream: the tag that opens it, bytes for the application, credit for the peer. The peer gets new
 * credit for what was taken or thrown away, for each byte exactly once. */
#include "stoq_core.h"

/* Credit for bytes that are no longer ours to keep. */
static void credit_give(struct stoq_stream *stream, uint64_t bytes)
{
    struct stoq_conn *conn = stream->conn;

    if (bytes == 0 || conn->ending || conn->quic == NULL)
        return;
    if (!stream->gone && !stream->discard &&
        ngtcp2_conn_extend_max_stream_offset(conn->quic, stream->id, bytes) != 0)
        stoq_conn_end(conn, STOQ_CLOSE_DROPPED, NGTCP2_INTERNAL_ERROR, false, "memory ran out");
    ngtcp2_conn_extend_max_offset(conn->quic, bytes);
    stoq_conn_ready(conn);
}

static void taken_by_application(struct stoq_stream *stream, uint64_t bytes)
{
    stream->conn->stream_bytes_received += bytes;
    if (!stream->conn->endpoint->config.manual_credit) {
        credit_give(stream, bytes);
        return;
    }
    uint64_t ahead = bytes < stream->credit_ahead ? bytes : stream->credit_ahead;
    stream->credit_ahead -= ahead;
    stream->uncredited += bytes - ahead;
}

void stoq_stream_credit(struct stoq_stream *stream, uint64_t bytes)
{
    uint64_t ahead = 0;

    if (stream->closed || !stream->conn->endpoint->config.manual_credit)
        return;
    if (bytes > stream->uncredited) { /* from within `received`: for what it is about to take */
        ahead = bytes - stream->uncredited;
        if (ahead > stream->offered)
            ahead = stream->offered;
        bytes = stream->uncredited;
    }
    stream->offered -= ahead;
    stream->credit_ahead += ahead;
    stream->uncredited -= bytes;
    credit_give(stream, bytes + ahead);
}

void stoq_stream_discard(struct stoq_stream *stream)
{
    uint64_t bytes = stream->in.bytes + stream->uncredited;

    if (!stream->delivering) {
        bytes -= bytes < stream->credit_ahead ? bytes : stream->credit_ahead;
        stream->credit_ahead = 0;
    }
    stream->discard = true;
    stream->uncredited = 0;
    stoq_recvq_release(&stream->in);
    stoq_recvq_init(&stream->in);
    credit_give(stream, bytes);
}

void stoq_stream_refuse(struct stoq_stream *stream, uint64_t code)
{
    stream->reset_asked = true;
    stoq_stream_discard(stream);
    stoq_stream_shut(stream, true, true, code);
    stream->out_over = true;
    stoq_stream_attend(stream, STOQ_ATTENTION_END);
}

/* --- the tag -------------------------------------------------------------------------------------------------------- */

static void announce(struct stoq_stream *stream)
{
    struct stoq_conn *conn = stream->conn;
    const struct stoq_handlers *handlers = &conn->endpoint->handlers;

    if (handlers->permit != NULL && conn->endpoint->config.stream_tags &&
        handlers->permit(handlers->ctx, conn, stoq_stream_tag(stream), !stream->uni) != 0) {
        stoq_count(conn->endpoint, STOQ_COUNT_STREAMS_DENIED, 1);
        if (!conn->ending)
            stoq_stream_refuse(stream, STOQ_APP_DENIED);
        return;
    }
    if (conn->ending)
        return;
    stream->announced = true;
    if (handlers->stream_opened != NULL)
        handlers->stream_opened(handlers->ctx, stream);
}

/* The length of the tag: one or two bytes. 0, or STOQ_EPARSE; stays unknown when a byte is missing. */
static int preamble_length(struct stoq_stream *stream)
{
    const uint8_t *head = stream->preamble_head;
    size_t size = head[0] < 0x40 ? 1 : 2;

    if (head[0] >= 0x80) /* four and eight bytes are for lengths that no tag has */
        return STOQ_EPARSE;
    if (stream->preamble_have < size)
        return 0;
    size_t len = size == 1 ? head[0] : (size_t)(head[0] & 0x3f) << 8 | head[1];
    if (len > STOQ_TAG_BYTES_MAX)
        return STOQ_EPARSE;
    stream->preamble_need = (uint16_t)(size + len);
    stream->tag_len = (uint8_t)len;
    if (len > 0 && (stream->tag = hm_malloc(len)) == NULL)
        return STOQ_ENOMEM;
    return 0;
}

/* Takes what belongs to the preamble; returns how many bytes, or an error. */
static int64_t preamble_take(struct stoq_stream *stream, const uint8_t *data, size_t len)
{
    size_t used = 0;

    while (stream->preamble_need == 0 && used < len) {
        stream->preamble_head[stream->preamble_have++] = data[used++];
        int rc = preamble_length(stream);
        if (rc != 0)
            return rc;
    }
    if (stream->preamble_need == 0)
        return (int64_t)used;
    size_t missing = (size_t)stream->preamble_need - stream->preamble_have;
    size_t part = len - used < missing ? len - used : missing;
    if (part > 0)
        memcpy(stream->tag + stream->tag_len - missing, data + used, part);
    stream->preamble_have = (uint16_t)(stream->preamble_have + part);
    stream->preamble_done = stream->preamble_have == stream->preamble_need;
    return (int64_t)(used + part);
}

/* Removes the preamble from what came. Negative: the connection must end. */
static int preamble_deliver(struct stoq_stream *stream, const uint8_t **data, size_t *len, bool fin)
{
    int64_t used = preamble_take(stream, *data, *len);

    if (used == STOQ_ENOMEM)
        return STOQ_ENOMEM;
    if (used < 0 || (fin && !stream->preamble_done)) {
        stoq_count(stream->conn->endpoint, STOQ_COUNT_STREAMS_DENIED, 1);
        stoq_stream_refuse(stream, STOQ_APP_BAD_PREAMBLE);
        return 0;
    }
    credit_give(stream, (uint64_t)used);
    *data += used;
    *len -= (size_t)used;
    return 0;
}

/* --- bytes ---------------------------------------------------------------------------------------------------------- */

static int application_deliver(struct stoq_stream *stream, const uint8_t *data, size_t len,
                               bool fin)
{
    const struct stoq_handlers *handlers = &stream->conn->endpoint->handlers;
    bool waits = stream->in.bytes > 0;
    size_t taken = 0, early = 0;

    stream->in_fin = fin;
    if (len == 0 && !fin)
        return 0;
    if (!waits && handlers->received != NULL) {
        stream->offered = len; /* credit for these may be given at once */
        stream->delivering = true;
        taken = handlers->received(handlers->ctx, stream, data, len, fin);
        taken = taken < len ? taken : len;
        early = len - (size_t)stream->offered;
        stream->offered = 0;
        stream->delivering = false;
        if (fin && taken == len)
            stream->fin_read = true;
        if (!stream->discard)
            taken_by_application(stream, taken);
    }
    if (stream->discard ||
        stream->conn->ending) { /* stopped in the callback: all of it is nobody's */
        stream->credit_ahead = 0;
        credit_give(stream, len - early);
        return 0;
    }
    if (taken < len && stoq_recvq_push(&stream->in, data + taken, len - taken) != 0)
        return STOQ_ENOMEM;
    if (waits &&
        handlers->received != NULL) /* not in its turn: it is told that there is more to read */
        (void)handlers->received(handlers->ctx, stream, NULL, 0, fin);
    return 0;
}

int stoq_stream_deliver(struct stoq_stream *stream, const uint8_t *data, size_t len, bool fin)
{
    if (!stream->preamble_done && !stream->discard) {
        size_t all = len;
        int rc = preamble_deliver(stream, &data, &len, fin);

        if (rc != 0)
            return rc;
        if (stream->discard) {
            credit_give(stream, all);
            return 0;
        }
        if (!stream->preamble_done)
            return 0;
        announce(stream);
    } else if (!stream->announced && !stream->discard) { /* without tags */
        announce(stream);
    }
    if (stream->discard || stream->conn->ending) {
        credit_give(stream, len);
        return 0;
    }
    return application_deliver(stream, data, len, fin);
}

size_t stoq_stream_read(struct stoq_stream *stream, void *out, size_t len, bool *fin)
{
    if (stream->closed || stream->discard) {
        *fin = false;
        return 0;
    }
    size_t taken = stoq_recvq_read(&stream->in, out, len);
    taken_by_application(stream, taken);
    *fin = stream->in_fin && stream->in.bytes == 0;
    if (*fin)
        stream->fin_read = true;
    if (stream->gone && stream->in.bytes == 0)
        stoq_stream_attend(stream, STOQ_ATTENTION_END);
    return taken;
}
