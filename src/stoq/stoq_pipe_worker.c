/* A pipe, seen by its worker: acts that its holder asked for, and what the stream tells. The lock is never held while
 * the core is called. */
#include "stoq_core.h"
#include "stoq_endpoint.h"
#include "stoq_host.h"
#include "stoq_pipe.h"

#define FETCH_BYTES 16384

static void lock(struct stoq_pipe *pipe)
{
    (void)pthread_mutex_lock(&pipe->link->lock);
}

static void unlock(struct stoq_pipe *pipe)
{
    (void)pthread_mutex_unlock(&pipe->link->lock);
}

/* Under the lock: whoever waits looks again. */
static void tell(struct stoq_pipe *pipe)
{
    (void)pthread_cond_broadcast(&pipe->readable);
    (void)pthread_cond_broadcast(&pipe->writable);
}

void stoq_slab_free_list(struct stoq_slab *slab)
{
    while (slab != NULL) {
        struct stoq_slab *after = slab->after;

        hm_free(slab);
        slab = after;
    }
}

/* Under the lock: what was not given to the stream never will be. */
static void drop_slabs(struct stoq_pipe *pipe)
{
    for (const struct stoq_slab *slab = pipe->slabs; slab != NULL; slab = slab->after) {
        pipe->out_bytes -= stoq_slab_cost(slab);
        pipe->lost = true;
    }
    stoq_slab_free_list(pipe->slabs);
    pipe->slabs = pipe->slabs_last = NULL;
}

/* --- open -------------------------------------------------------------------------------------------------------- */

/* False: the peer's limit holds it back. */
static bool try_open(struct stoq_pipe *pipe)
{
    struct stoq_conn *conn = pipe->link->conn;
    struct stoq_stream *stream = NULL;

    lock(pipe);
    bool abandoned = pipe->abandoned;
    unlock(pipe);
    int code = conn == NULL || abandoned ? STOQ_ECLOSED
                                         : stoq_conn_open(conn, &pipe->options, &stream, NULL);
    if (code == STOQ_EBUSY)
        return false;
    if (code == 0)
        stoq_pipe_ref(pipe); /* the stream's */
    lock(pipe);
    pipe->stream = stream;
    pipe->opened = code;
    abandoned = pipe->abandoned;
    tell(pipe);
    unlock(pipe);
    if (code == 0 && abandoned) {
        stoq_stream_reset(stream, 0);
        if (!pipe->unidirectional)
            stoq_stream_stop(stream, 0);
    }
    return true;
}

void stoq_pipe_open_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct stoq_pipe *pipe = arg, **end;

    (void)endpoint;
    (void)now_ns;
    if (try_open(pipe)) {
        stoq_pipe_unref(pipe);
        return;
    }
    for (end = &pipe->link->opening; *end != NULL; end = &(*end)->after)
        ;
    *end = pipe;
}

/* Its holder waits no longer. */
void stoq_pipe_unopen_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct stoq_pipe *pipe = arg;

    (void)endpoint;
    (void)now_ns;
    for (struct stoq_pipe **at = &pipe->link->opening; *at != NULL; at = &(*at)->after) {
        if (*at == pipe) {
            *at = pipe->after;
            pipe->after = NULL;
            stoq_pipe_unref(pipe); /* the list's */
            break;
        }
    }
    stoq_pipe_unref(pipe);
}

void stoq_pipe_retry_opening(struct stoq_link *link)
{
    struct stoq_pipe **at = &link->opening;

    while (*at != NULL) {
        struct stoq_pipe *pipe = *at;

        if (try_open(pipe)) {
            *at = pipe->after;
            pipe->after = NULL;
            stoq_pipe_unref(pipe);
        } else {
            at = &pipe->after;
        }
    }
}

void stoq_pipe_fail_opening(struct stoq_link *link, int code)
{
    while (link->opening != NULL) {
        struct stoq_pipe *pipe = link->opening;

        link->opening = pipe->after;
        pipe->after = NULL;
        lock(pipe);
        pipe->opened = code;
        tell(pipe);
        unlock(pipe);
        stoq_pipe_unref(pipe);
    }
}

/* --- out --------------------------------------------------------------------------------------------------------- */

static void slab_released(void *cookie)
{
    struct stoq_slab *slab = cookie;
    struct stoq_pipe *pipe = slab->pipe;

    lock(pipe);
    pipe->out_bytes -= stoq_slab_cost(slab);
    if (pipe->stream == NULL || pipe->stream->out.dropped)
        pipe->lost = true;
    (void)pthread_cond_broadcast(&pipe->writable);
    unlock(pipe);
    hm_free(slab);
    stoq_pipe_unref(pipe);
}

/* Under the lock, which is let go: gives the first slab to the stream. False: no more now. */
static bool pump_one(struct stoq_pipe *pipe)
{
    struct stoq_slab *slab = pipe->slabs;
    struct stoq_stream *stream = pipe->stream;

    pipe->slabs = slab->after;
    if (pipe->slabs == NULL)
        pipe->slabs_last = NULL;
    slab->after = NULL;
    bool fin = pipe->out_fin && pipe->slabs == NULL;
    unlock(pipe);
    stoq_pipe_ref(pipe); /* the slab's */
    int code = stream == NULL
                   ? STOQ_ECLOSED
                   : stoq_stream_write(stream, slab->bytes, slab->len, fin, slab_released, slab);
    if (code != 0)
        stoq_pipe_unref(pipe);
    lock(pipe);
    if (code == 0) {
        pipe->fin_told = pipe->fin_told || fin;
        return true;
    }
    slab->after = pipe->slabs;
    pipe->slabs = slab;
    if (pipe->slabs_last == NULL)
        pipe->slabs_last = slab;
    if (code == STOQ_EBUSY) {
        pipe->stuck = true;
        return false;
    }
    drop_slabs(pipe);
    pipe->out_over = true;
    if (code != STOQ_ECLOSED)
        pipe->trouble = code;
    tell(pipe);
    return false;
}

static void pump(struct stoq_pipe *pipe)
{
    bool more = true;

    lock(pipe);
    while (more && pipe->slabs != NULL)
        more = pump_one(pipe);
    bool finish = pipe->slabs == NULL && pipe->out_fin && !pipe->fin_told && pipe->stream != NULL;
    unlock(pipe);
    if (!finish)
        return;
    bool told = stoq_stream_finish(pipe->stream) == 0;
    lock(pipe);
    if (told)
        pipe->fin_told = true;
    else
        pipe->out_over = true;
    tell(pipe);
    unlock(pipe);
}

static void on_fin_acked(struct stoq_stream *stream)
{
    struct stoq_pipe *pipe = stoq_stream_user(stream);

    if (pipe == NULL)
        return;
    lock(pipe);
    pipe->fin_acked = true;
    tell(pipe);
    unlock(pipe);
}

void stoq_pipe_watch(struct stoq_endpoint *endpoint)
{
    stoq_endpoint_fins_to(endpoint, on_fin_acked);
}

void stoq_pipe_pump_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct stoq_pipe *pipe = arg;

    (void)endpoint;
    (void)now_ns;
    lock(pipe);
    pipe->pump_posted = false;
    bool stuck = pipe->stuck;
    unlock(pipe);
    if (!stuck)
        pump(pipe);
    stoq_pipe_unref(pipe);
}

static void on_writable(void *ctx, struct stoq_stream *stream)
{
    struct stoq_pipe *pipe = stoq_stream_user(stream);

    (void)ctx;
    if (pipe == NULL)
        return;
    lock(pipe);
    pipe->stuck = false;
    unlock(pipe);
    pump(pipe);
}

static void on_stopped(void *ctx, struct stoq_stream *stream, uint64_t code)
{
    struct stoq_pipe *pipe = stoq_stream_user(stream);

    (void)ctx;
    if (pipe == NULL)
        return;
    lock(pipe);
    pipe->out_over = true;
    if (code == STOQ_APP_DENIED)
        pipe->trouble = STOQ_EPERM;
    drop_slabs(pipe);
    tell(pipe);
    unlock(pipe);
}

/* --- in ---------------------------------------------------------------------------------------------------------- */

void stoq_pipe_credit_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct stoq_pipe *pipe = arg;

    (void)endpoint;
    (void)now_ns;
    lock(pipe);
    uint64_t bytes = pipe->credit;
    pipe->credit = 0;
    pipe->credit_posted = false;
    unlock(pipe);
    if (pipe->stream != NULL && bytes > 0)
        stoq_stream_credit(pipe->stream, bytes);
    stoq_pipe_unref(pipe);
}

/* Under the lock. A stream that has ended gives its credit back, and its pipe may keep its bytes for long: so what waits
 * in pipes has a limit of its own, and the rest stays in the streams, which then do not end, without credit. Who waits
 * for a pipe's bytes gets them all the same. */
static bool in_fits(const struct stoq_pipe *pipe, size_t len)
{
    const struct stoq_link *link = pipe->link;
    size_t most = link->caller->connection_window;

    return (pipe->in.bytes == 0 && pipe->wanted) ||
           (link->in_bytes <= most && len <= most - link->in_bytes);
}

/* Under the lock. */
static void keep(struct stoq_pipe *pipe, const uint8_t *data, size_t len, bool fin, int *code)
{
    if (len > 0)
        *code = stoq_recvq_push(&pipe->in, data, len);
    if (*code == 0) {
        pipe->link->in_bytes += len;
        pipe->in_fin = pipe->in_fin || fin;
        if (fin)
            pipe->link->ended_ns = stoq_host_now();
    } else {
        pipe->in_over = true;
        pipe->trouble = *code;
    }
    (void)pthread_cond_broadcast(&pipe->readable);
}

/* Under the lock: keeps what came. False: it stays in the stream, or there was no memory for it (*code). */
static bool take_in(struct stoq_pipe *pipe, const uint8_t *data, size_t len, bool fin, int *code)
{
    if (pipe->held || (len > 0 && !in_fits(pipe, len))) {
        pipe->held = true;
        return false;
    }
    keep(pipe, data, len, fin, code);
    return *code == 0;
}

static size_t on_received(void *ctx, struct stoq_stream *stream, const uint8_t *data, size_t len,
                          bool fin)
{
    struct stoq_pipe *pipe = stoq_stream_user(stream);
    int code = 0;

    (void)ctx;
    if (pipe == NULL)
        return 0;
    lock(pipe);
    bool taken = take_in(pipe, data, len, fin, &code);
    unlock(pipe);
    if (code != 0)
        stoq_stream_stop(stream, 0);
    return taken ? len : 0;
}

/* It was accepted, or what it had was read: what stayed in the stream comes out, as far as it fits. */
void stoq_pipe_fetch_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct stoq_pipe *pipe = arg;
    uint8_t block[FETCH_BYTES];
    bool fin = false;
    int code = 0;

    (void)endpoint;
    (void)now_ns;
    lock(pipe);
    pipe->fetch_posted = false;
    bool more = pipe->stream != NULL && in_fits(pipe, sizeof(block));
    unlock(pipe);
    while (more) {
        size_t len = stoq_stream_read(pipe->stream, block, sizeof(block), &fin);
        lock(pipe);
        if (len > 0 || fin)
            keep(pipe, block, len, fin, &code);
        pipe->held = len == sizeof(block) && !fin; /* otherwise the stream is empty */
        more = pipe->held && code == 0 && in_fits(pipe, sizeof(block));
        unlock(pipe);
    }
    if (code != 0 && pipe->stream != NULL)
        stoq_stream_stop(pipe->stream, 0);
    stoq_pipe_unref(pipe);
}

static void on_reset(void *ctx, struct stoq_stream *stream, uint64_t code)
{
    struct stoq_pipe *pipe = stoq_stream_user(stream);

    (void)ctx;
    if (pipe == NULL)
        return;
    lock(pipe);
    pipe->in_over = true;
    if (code == STOQ_APP_DENIED)
        pipe->trouble = STOQ_EPERM;
    tell(pipe);
    unlock(pipe);
}

/* --- birth and end ----------------------------------------------------------------------------------------------- */

/* A pipe of a stream that the peer opened; NULL: no memory. */
static struct stoq_pipe *pipe_of_peer(struct stoq_link *link, struct stoq_stream *stream)
{
    struct stoq_pipe *pipe = stoq_pipe_new(link);
    struct stoq_bytes tag = stoq_stream_tag(stream);

    if (pipe == NULL)
        return NULL;
    /* RFC 9000 section 2.1: the second bit says that it has one direction. */
    pipe->unidirectional = (stoq_stream_id(stream) & 2) != 0;
    pipe->out_over = pipe->unidirectional;
    pipe->stream = stream;
    if (tag.len > 0 && tag.len <= sizeof(pipe->tag_bytes)) {
        memcpy(pipe->tag_bytes, tag.data, tag.len);
        pipe->tag = (struct stoq_bytes){pipe->tag_bytes, tag.len};
    }
    return pipe;
}

static void on_opened(void *ctx, struct stoq_stream *stream)
{
    struct stoq_link *link = stoq_conn_user(stoq_stream_conn(stream));
    struct stoq_pipe *pipe = link != NULL ? pipe_of_peer(link, stream) : NULL;
    bool room = false;

    (void)ctx;
    if (pipe != NULL) {
        (void)pthread_mutex_lock(&link->lock);
        room = link->holders > 0 && link->incoming_count < STOQ_PIPES_WAITING_MAX;
        if (room) {
            pipe->announced = true;
            if (link->incoming_last != NULL)
                link->incoming_last->after = pipe;
            else
                link->incoming = pipe;
            link->incoming_last = pipe;
            link->incoming_count++;
            stoq_pipe_ref(pipe); /* the stream's */
            (void)pthread_cond_broadcast(&link->news);
        }
        (void)pthread_mutex_unlock(&link->lock);
    }
    if (room) {
        stoq_stream_set_user(stream, pipe);
        return;
    }
    if (pipe != NULL)
        stoq_pipe_unref(pipe);
    stoq_stream_refuse(stream, 0);
}

/* Under the lock: the connection has ended, and what was acknowledged is still in the stream. It had credit, so it has an
 * end. */
static void keep_rest(struct stoq_pipe *pipe, struct stoq_stream *stream)
{
    uint8_t block[FETCH_BYTES];
    int code = 0;
    size_t len;

    if (!pipe->held || pipe->released || pipe->in_over)
        return;
    while (code == 0 && (len = stoq_recvq_read(&stream->in, block, sizeof(block))) > 0)
        keep(pipe, block, len, false, &code);
    if (code == 0 && stream->in_fin)
        keep(pipe, NULL, 0, true, &code);
    pipe->held = false;
}

static void on_stream_closed(void *ctx, struct stoq_stream *stream)
{
    struct stoq_pipe *pipe = stoq_stream_user(stream);

    (void)ctx;
    if (pipe == NULL)
        return;
    lock(pipe);
    keep_rest(pipe, stream);
    pipe->stream = NULL;
    pipe->gone = true;
    pipe->in_over = true; /* what waits can be read all the same */
    if (!pipe->fin_told)
        pipe->out_over = true;
    /* QUIC ends a stream of its own accord when the peer has everything, or gave it up. */
    if (stream->gone && stream->fin_sent && !stream->out_over && !stream->out.dropped)
        pipe->fin_acked = true;
    drop_slabs(pipe);
    tell(pipe);
    unlock(pipe);
    stoq_pipe_unref(pipe); /* the stream's */
}

void stoq_pipe_release_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct stoq_pipe *pipe = arg;

    (void)endpoint;
    (void)now_ns;
    lock(pipe);
    struct stoq_stream *stream = pipe->stream;
    bool out = !pipe->out_fin && !pipe->out_over, in = !pipe->in_fin && !pipe->in_over;
    uint64_t credit = pipe->credit + pipe->in.bytes;
    pipe->credit = 0;
    if (out)
        drop_slabs(pipe);
    pipe->link->in_bytes -= pipe->in.bytes;
    stoq_recvq_release(&pipe->in);
    unlock(pipe);
    if (stream != NULL) {
        if (credit > 0)
            stoq_stream_credit(stream, credit);
        if (out)
            stoq_stream_reset(stream, 0);
        if (in)
            stoq_stream_stop(stream, 0);
    }
    stoq_pipe_unref(pipe);
}

void stoq_pipe_handlers(struct stoq_handlers *handlers)
{
    handlers->stream_opened = on_opened;
    handlers->received = on_received;
    handlers->writable = on_writable;
    handlers->stream_reset = on_reset;
    handlers->stream_stopped = on_stopped;
    handlers->stream_closed = on_stream_closed;
}
