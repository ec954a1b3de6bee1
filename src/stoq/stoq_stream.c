/* Streams: making, opening and ending them, and what an application asks of them. */
#include "stoq_core.h"

#define PRIORITY_DEFAULT 3

/* --- making and ending ------------------------------------------------------------------------------------------- */

int stoq_stream_new(struct stoq_stream **out, struct stoq_conn *conn, int64_t id, bool local)
{
    struct stoq_stream *stream = hm_calloc(1, sizeof(*stream));

    if (stream == NULL)
        return STOQ_ENOMEM;
    stream->conn = conn;
    stream->id = id;
    stream->local = local;
    stream->uni = !ngtcp2_is_bidi_stream(id);
    stream->announced = local;
    stream->preamble_done = local || !conn->endpoint->config.stream_tags;
    stream->out_over = stream->uni && !local;
    stream->fin_read = stream->uni && local; /* nothing will come */
    stoq_sched_node_init(&stream->node, PRIORITY_DEFAULT, 0);
    stoq_sendq_init(&stream->out, conn->endpoint->config.send_queue);
    stoq_recvq_init(&stream->in);
    stream->before = conn->streams_last;
    if (conn->streams_last != NULL)
        conn->streams_last->after = stream;
    else
        conn->streams = stream;
    conn->streams_last = stream;
    conn->streams_open++;
    conn->streams_total++;
    *out = stream;
    return 0;
}

static void unlink_stream(struct stoq_stream *stream)
{
    struct stoq_conn *conn = stream->conn;

    if (stream->before != NULL)
        stream->before->after = stream->after;
    else
        conn->streams = stream->after;
    if (stream->after != NULL)
        stream->after->before = stream->before;
    else
        conn->streams_last = stream->before;
    for (struct stoq_stream **at = &conn->attention; stream->in_list && *at != NULL;
         at = &(*at)->attention_after) {
        if (*at == stream) {
            *at = stream->attention_after;
            stream->in_list = false;
            break; /* there may be no next one to step to */
        }
    }
    stoq_sched_remove(&conn->sched, &stream->node);
    conn->streams_open--;
}

void stoq_stream_end(struct stoq_stream *stream)
{
    struct stoq_conn *conn = stream->conn;
    const struct stoq_handlers *handlers = &conn->endpoint->handlers;

    stream->closed = true;
    unlink_stream(stream);
    stoq_sendq_release(&stream->out);
    if (stream->announced && handlers->stream_closed != NULL)
        handlers->stream_closed(handlers->ctx, stream);
    stoq_stream_discard(stream); /* only now: stoq_pipe_worker.c takes over what nobody has read */
    if (!conn->ending && !stream->local) { /* its place is the peer's again */
        if (stream->uni)
            ngtcp2_conn_extend_max_streams_uni(conn->quic, 1);
        else
            ngtcp2_conn_extend_max_streams_bidi(conn->quic, 1);
        stoq_conn_ready(conn);
    }
    if (!conn->ending && !stream->gone) {
        (void)ngtcp2_conn_set_stream_user_data(conn->quic, stream->id, NULL);
        if (++conn->orphans > STOQ_ORPHANS_MAX)
            stoq_conn_end(conn, STOQ_CLOSE_TRANSPORT, NGTCP2_INTERNAL_ERROR, false,
                          "the peer resets streams before it uses them, again and again");
    }
    stoq_recvq_release(&stream->in);
    hm_free(stream->tag);
    hm_free(stream);
    if (!conn->ending)
        stoq_conn_drained(conn);
}

/* Both directions are at an end for us, whatever ngtcp2 still waits for. It drops what comes out of order on a stream that
 * was stopped, although it acknowledges it, and then waits for ever for the bytes between (mended after 1.22). */
static bool is_done(const struct stoq_stream *stream)
{
    bool out = stream->out_over || (stream->fin_sent && stream->fin_acked);

    return stream->orphan || (stream->discard && out && !stream->late_write && !stream->late_read);
}

/* Over: ngtcp2 has forgotten it, and nothing waits to be read. */
static bool is_over(const struct stoq_stream *stream)
{
    if (!stream->gone)
        return is_done(stream);
    return stream->discard || stream->in_reset || !stream->announced ||
           (stream->in.bytes == 0 && (stream->fin_read || !stream->in_fin));
}

void stoq_stream_attend(struct stoq_stream *stream, enum stoq_attention what)
{
    stream->attention |= (uint8_t)what;
    stoq_conn_ready(stream->conn);
    if (stream->in_list || stream->closed)
        return;
    stream->in_list = true;
    stream->attention_after = stream->conn->attention;
    stream->conn->attention = stream;
}

void stoq_stream_attentions(struct stoq_conn *conn)
{
    const struct stoq_handlers *handlers = &conn->endpoint->handlers;

    while (conn->attention != NULL && !conn->ending) {
        struct stoq_stream *stream = conn->attention;
        uint8_t what = stream->attention;

        conn->attention = stream->attention_after;
        stream->in_list = false;
        stream->attention = 0;
        if ((what & STOQ_ATTENTION_STOPPED) != 0) /* its RESET_STREAM has left */
            stoq_sendq_drop(&stream->out);
        if ((what & STOQ_ATTENTION_STOPPED) != 0 && stream->announced &&
            handlers->stream_stopped != NULL && !conn->ending)
            handlers->stream_stopped(handlers->ctx, stream, stream->stop_code);
        if ((what & STOQ_ATTENTION_WRITABLE) != 0 && !stream->out_over &&
            handlers->writable != NULL && !conn->ending)
            handlers->writable(handlers->ctx, stream);
        if ((what & STOQ_ATTENTION_END) != 0 && is_over(stream) && !conn->ending)
            stoq_stream_end(stream);
    }
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static int preamble_put(struct stoq_stream *stream, struct stoq_bytes tag)
{
    uint8_t bytes[STOQ_PREAMBLE_MAX];
    size_t head = 1;

    if (tag.len < 64) {
        bytes[0] = (uint8_t)tag.len;
    } else {
        bytes[0] = (uint8_t)(0x40 | tag.len >> 8);
        bytes[1] = (uint8_t)tag.len;
        head = 2;
    }
    if (tag.len > 0) {
        memcpy(bytes + head, tag.data, tag.len);
        stream->tag = hm_malloc(tag.len);
        if (stream->tag == NULL)
            return STOQ_ENOMEM;
        memcpy(stream->tag, tag.data, tag.len);
        stream->tag_len = (uint8_t)tag.len;
    }
    if (!stream->conn->endpoint->config.stream_tags)
        return 0;
    stream->out.limit += head + tag.len; /* it takes nothing of the application's room */
    return stoq_sendq_copy(&stream->out, bytes, head + tag.len) == (int64_t)(head + tag.len)
               ? 0
               : STOQ_ENOMEM;
}

static int open_check(const struct stoq_conn *conn, const struct stoq_stream_options *options,
                      struct stoq_error *error)
{
    if (conn->ending || conn->quic == NULL)
        return stoq_fail(error, STOQ_ECLOSED, "the connection has ended");
    if (options->tag.len > STOQ_TAG_BYTES_MAX)
        return stoq_fail(error, STOQ_EINVAL, "a tag has at most %d bytes", STOQ_TAG_BYTES_MAX);
    if (options->priority >= STOQ_PRIORITY_CLASSES || options->weight > STOQ_WEIGHT_MAX)
        return stoq_fail(error, STOQ_EINVAL, "priority is 0 to %d, weight 0 to %d",
                         STOQ_PRIORITY_CLASSES - 1, STOQ_WEIGHT_MAX);
    if (conn->endpoint->draining)
        return stoq_fail(error, STOQ_ECLOSED, "the endpoint shuts down");
    if (!conn->server && !conn->handshake_done && !conn->early_offered)
        return stoq_fail(error, STOQ_EBUSY, "the handshake is not complete");
    return 0;
}

int stoq_conn_open(struct stoq_conn *conn, const struct stoq_stream_options *options,
                   struct stoq_stream **out, struct stoq_error *error)
{
    static const struct stoq_stream_options usual = {.priority = PRIORITY_DEFAULT};
    const struct stoq_stream_options *o = options != NULL ? options : &usual;
    struct stoq_stream *stream;
    int64_t id;
    int rc = open_check(conn, o, error);

    if (rc != 0)
        return rc;
    rc = stoq_stream_new(&stream, conn, o->unidirectional ? 2 : 0, true);
    if (rc == 0) {
        stream->user = o->user;
        stream->replay_safe = o->replay_safe;
        stoq_sched_node_init(&stream->node, o->priority, o->weight);
        rc = preamble_put(stream, o->tag);
        if (rc == 0) {
            int library = o->unidirectional ? ngtcp2_conn_open_uni_stream(conn->quic, &id, stream)
                                            : ngtcp2_conn_open_bidi_stream(conn->quic, &id, stream);
            rc = library == 0                              ? 0
                 : library == NGTCP2_ERR_STREAM_ID_BLOCKED ? STOQ_EBUSY
                                                           : STOQ_ENOMEM;
        }
        if (rc != 0) {
            unlink_stream(stream);
            conn->streams_total--;
            stoq_sendq_release(&stream->out);
            hm_free(stream->tag);
            hm_free(stream);
        }
    }
    if (rc != 0)
        return stoq_fail(error, rc, "%s",
                         rc == STOQ_EBUSY ? "the peer allows no more streams now"
                                          : "no memory for a stream");
    stream->id = id;
    stoq_stream_kick(stream);
    *out = stream;
    return 0;
}

/* Ids are given in order, and streams stand in the order they were opened in: all get the ids they had, as long as the
 * server still allows as many. */
void stoq_streams_reopen(struct stoq_conn *conn)
{
    for (struct stoq_stream *stream = conn->streams; stream != NULL; stream = stream->after) {
        int64_t id = -1;
        int rc = stream->uni ? ngtcp2_conn_open_uni_stream(conn->quic, &id, stream)
                             : ngtcp2_conn_open_bidi_stream(conn->quic, &id, stream);

        if (rc != 0 || id != stream->id) {
            stoq_conn_end(conn, STOQ_CLOSE_TRANSPORT, NGTCP2_INTERNAL_ERROR, false,
                          "the server refused early data and now allows fewer streams");
            return;
        }
        stream->fin_sent = false;
        if (!stream->out_over)
            stoq_sendq_rewind(&stream->out);
    }
    /* Those that wait to be shut; only now, because who is given his bytes back may open streams. */
    for (struct stoq_stream *stream = conn->streams; stream != NULL; stream = stream->after) {
        if (stream->out_over)
            stoq_sendq_drop(&stream->out);
    }
}

/* --- questions ----------------------------------------------------------------------------------------------------- */

struct stoq_conn *stoq_stream_conn(struct stoq_stream *stream)
{
    return stream->conn;
}

uint64_t stoq_stream_id(const struct stoq_stream *stream)
{
    return (uint64_t)stream->id;
}

bool stoq_stream_is_early(const struct stoq_stream *stream)
{
    return stream->early;
}

struct stoq_bytes stoq_stream_tag(const struct stoq_stream *stream)
{
    return (struct stoq_bytes){.data = stream->tag != NULL ? stream->tag : (const uint8_t *)"",
                               .len = stream->tag_len};
}

void *stoq_stream_user(const struct stoq_stream *stream)
{
    return stream->user;
}

void stoq_stream_set_user(struct stoq_stream *stream, void *user)
{
    stream->user = user;
}

int stoq_stream_set_priority(struct stoq_stream *stream, uint8_t priority, uint16_t weight)
{
    if (priority >= STOQ_PRIORITY_CLASSES || weight > STOQ_WEIGHT_MAX)
        return STOQ_EINVAL;
    if (!stream->closed)
        stoq_sched_set(&stream->conn->sched, &stream->node, priority, weight);
    return 0;
}
