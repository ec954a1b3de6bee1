/* A pipe, seen by its holder: open, accept, read, write, finish, release. */
#include "stoq_pipe.h"

struct stoq_pipe *stoq_pipe_new(struct stoq_link *link)
{
    struct stoq_pipe *pipe = hm_calloc(1, sizeof(*pipe));

    if (pipe == NULL)
        return NULL;
    atomic_init(&pipe->references, 1);
    pipe->link = link;
    stoq_link_ref(link);
    stoq_cond_init(&pipe->readable);
    stoq_cond_init(&pipe->writable);
    stoq_recvq_init(&pipe->in);
    return pipe;
}

void stoq_pipe_ref(struct stoq_pipe *pipe)
{
    atomic_fetch_add(&pipe->references, 1);
}

void stoq_pipe_unref(struct stoq_pipe *pipe)
{
    if (atomic_fetch_sub(&pipe->references, 1) != 1)
        return;
    stoq_slab_free_list(pipe->slabs);
    stoq_recvq_release(&pipe->in);
    (void)pthread_cond_destroy(&pipe->readable);
    (void)pthread_cond_destroy(&pipe->writable);
    stoq_link_unref(pipe->link);
    hm_free(pipe);
}

static int pipe_post(struct stoq_pipe *pipe,
                     void (*act)(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns))
{
    stoq_pipe_ref(pipe);
    int code = stoq_caller_post_surely(pipe->link->caller, pipe->link->worker, act, pipe);
    if (code != 0)
        stoq_pipe_unref(pipe);
    return code;
}

static int options_copy(struct stoq_pipe *pipe, const struct stoq_stream_options *options)
{
    if (options == NULL) {
        pipe->options = (struct stoq_stream_options){.priority = 3};
    } else {
        if (options->tag.len > STOQ_TAG_BYTES_MAX)
            return STOQ_EINVAL;
        pipe->options = *options;
        if (options->tag.len > 0)
            memcpy(pipe->tag_bytes, options->tag.data, options->tag.len);
        pipe->options.tag = (struct stoq_bytes){pipe->tag_bytes, options->tag.len};
    }
    pipe->tag = pipe->options.tag;
    pipe->options.user = pipe;
    pipe->local = true;
    pipe->unidirectional = pipe->options.unidirectional;
    pipe->in_over = pipe->unidirectional;
    pipe->opened = STOQ_PIPE_OPENING;
    return 0;
}

/* For what must not be forgotten. */
static void pipe_post_always(struct stoq_pipe *pipe,
                             void (*act)(void *arg, struct stoq_endpoint *endpoint,
                                         uint64_t now_ns))
{
    stoq_pipe_ref(pipe);
    if (stoq_caller_post_always(pipe->link->caller, pipe->link->worker, act, pipe) != 0)
        stoq_pipe_unref(pipe);
}

/* Until the worker has opened it, or could not. */
static int wait_open(struct stoq_pipe *pipe, int timeout_ms)
{
    const struct stoq_until until = stoq_until(timeout_ms);
    struct stoq_link *link = pipe->link;
    int code = 0;

    (void)pthread_mutex_lock(&link->lock);
    while (pipe->opened == STOQ_PIPE_OPENING && code == 0) {
        if (!stoq_cond_wait(&pipe->readable, &link->lock, &until))
            code = STOQ_ETIMEOUT;
    }
    bool abandoned = pipe->opened == STOQ_PIPE_OPENING;
    if (abandoned)
        pipe->abandoned = true;
    else
        code = pipe->opened;
    (void)pthread_mutex_unlock(&link->lock);
    if (abandoned) /* those who ask again and again would make a long list otherwise */
        pipe_post_always(pipe, stoq_pipe_unopen_act);
    return code;
}

int stoq_pipe_open(struct stoq_link *link, const struct stoq_stream_options *options,
                   int timeout_ms, struct stoq_pipe **out, struct stoq_error *error)
{
    struct stoq_pipe *pipe = stoq_pipe_new(link);
    int code = STOQ_ENOMEM;

    if (pipe != NULL)
        code = options_copy(pipe, options);
    if (code == 0)
        code = pipe_post(pipe, stoq_pipe_open_act);
    if (code == 0)
        code = wait_open(pipe, timeout_ms);
    if (code == 0) {
        *out = pipe;
        return 0;
    }
    if (pipe != NULL)
        stoq_pipe_unref(pipe);
    return stoq_fail(error, code, "%s",
                     code == STOQ_ETIMEOUT  ? "the peer allows no more streams now"
                     : code == STOQ_ENOMEM  ? "no memory for a pipe"
                     : code == STOQ_ECLOSED ? "the connection has ended"
                                            : "a stream cannot be opened with these options");
}

int stoq_pipe_accept(struct stoq_link *link, int timeout_ms, struct stoq_pipe **out,
                     struct stoq_error *error)
{
    const struct stoq_until until = stoq_until(timeout_ms);
    bool held = false;
    int code = 0;

    (void)pthread_mutex_lock(&link->lock);
    while (link->incoming == NULL && link->state != STOQ_LINK_CLOSED && code == 0) {
        if (!stoq_cond_wait(&link->news, &link->lock, &until))
            code = STOQ_ETIMEOUT;
    }
    struct stoq_pipe *pipe = link->incoming;
    if (pipe != NULL) {
        code = 0;
        link->incoming = pipe->after;
        if (link->incoming == NULL)
            link->incoming_last = NULL;
        link->incoming_count--;
        pipe->announced = false;
        pipe->after = NULL;
        held = pipe->held && !pipe->gone && !pipe->fetch_posted;
        pipe->fetch_posted = pipe->fetch_posted || held;
    } else if (link->state == STOQ_LINK_CLOSED) {
        code = stoq_fail(error, link->failure.code, "%s", link->failure.text);
    } else {
        (void)stoq_fail(error, code, "the peer opened no stream in time");
    }
    (void)pthread_mutex_unlock(&link->lock);
    if (code != 0)
        return code;
    if (held)
        pipe_post_always(pipe, stoq_pipe_fetch_act);
    *out = pipe;
    return 0;
}

struct stoq_bytes stoq_pipe_tag(const struct stoq_pipe *pipe)
{
    return pipe->tag;
}

/* --- read -------------------------------------------------------------------------------------------------------- */

/* Under the lock. True: the worker must be told of what was read. */
static bool credit_due(struct stoq_pipe *pipe)
{
    if (pipe->credit_posted || pipe->gone ||
        (pipe->credit < STOQ_PIPE_CREDIT_BYTES && pipe->in.bytes > 0) || pipe->credit == 0)
        return false;
    pipe->credit_posted = true;
    return true;
}

/* Under the lock. True: the worker must take more out of the stream. */
static bool fetch_due(struct stoq_pipe *pipe)
{
    if (!pipe->held || pipe->fetch_posted || pipe->gone || pipe->in.bytes > 0)
        return false;
    pipe->fetch_posted = true;
    return true;
}

int64_t stoq_pipe_read(struct stoq_pipe *pipe, void *out, size_t len, int timeout_ms)
{
    const struct stoq_until until = stoq_until(timeout_ms);
    struct stoq_link *link = pipe->link;
    int64_t result = 0;

    if (len == 0)
        return 0;
    (void)pthread_mutex_lock(&link->lock);
    while (pipe->in.bytes == 0 && !pipe->in_fin && !pipe->in_over && result == 0) {
        pipe->wanted = true;
        if (fetch_due(pipe)) {
            (void)pthread_mutex_unlock(&link->lock);
            pipe_post_always(pipe, stoq_pipe_fetch_act);
            (void)pthread_mutex_lock(&link->lock);
        } else if (!stoq_cond_wait(&pipe->readable, &link->lock, &until))
            result = STOQ_ETIMEOUT;
    }
    if (pipe->in.bytes > 0) {
        size_t taken = stoq_recvq_read(&pipe->in, out, len);

        pipe->wanted = false;
        pipe->credit += taken;
        link->in_bytes -= taken;
        result = (int64_t)taken;
    } else if (pipe->in_fin) {
        result = 0;
    } else if (pipe->in_over) {
        result = pipe->trouble != 0 ? pipe->trouble : STOQ_ECLOSED;
    }
    bool credit = credit_due(pipe), fetch = fetch_due(pipe);
    (void)pthread_mutex_unlock(&link->lock);
    if (credit)
        pipe_post_always(pipe, stoq_pipe_credit_act);
    if (fetch)
        pipe_post_always(pipe, stoq_pipe_fetch_act);
    return result;
}

/* --- write ------------------------------------------------------------------------------------------------------- */

/* Under the lock. */
static int write_trouble(const struct stoq_pipe *pipe)
{
    if (pipe->out_fin || (pipe->unidirectional && !pipe->local))
        return STOQ_EINVAL;
    if (!pipe->out_over && !pipe->gone)
        return 0;
    return pipe->trouble != 0 ? pipe->trouble : STOQ_ECLOSED;
}

/* Under the lock, which is let go for a moment: has the worker take what waits. */
static int pump(struct stoq_pipe *pipe)
{
    struct stoq_link *link = pipe->link;

    if (pipe->pump_posted || pipe->stuck)
        return 0;
    pipe->pump_posted = true;
    (void)pthread_mutex_unlock(&link->lock);
    int code = pipe_post(pipe, stoq_pipe_pump_act);
    (void)pthread_mutex_lock(&link->lock);
    if (code != 0)
        pipe->pump_posted = false;
    return code;
}

/* Under the lock: copies some of it; 0: there was no memory. */
static size_t put(struct stoq_pipe *pipe, const uint8_t *data, size_t len)
{
    struct stoq_slab *slab = pipe->slabs_last;

    if (slab == NULL || slab->len == slab->capacity) {
        size_t capacity = len < STOQ_PIPE_SLAB_MIN      ? STOQ_PIPE_SLAB_MIN
                          : len > STOQ_PIPE_CHUNK_BYTES ? STOQ_PIPE_CHUNK_BYTES
                                                        : len;

        slab = hm_malloc(sizeof(*slab) + capacity);
        if (slab == NULL)
            return 0;
        *slab = (struct stoq_slab){.pipe = pipe, .capacity = capacity};
        if (pipe->slabs_last != NULL)
            pipe->slabs_last->after = slab;
        else
            pipe->slabs = slab;
        pipe->slabs_last = slab;
        pipe->out_bytes += stoq_slab_cost(slab);
    }
    size_t part = slab->capacity - slab->len;
    if (part > len)
        part = len;
    memcpy(slab->bytes + slab->len, data, part);
    slab->len += part;
    return part;
}

int64_t stoq_pipe_write(struct stoq_pipe *pipe, const void *data, size_t len, int timeout_ms)
{
    const struct stoq_until until = stoq_until(timeout_ms);
    struct stoq_link *link = pipe->link;
    size_t done = 0;
    int code = 0;

    (void)pthread_mutex_lock(&link->lock);
    code = write_trouble(pipe);
    while (code == 0 && done < len) {
        if (pipe->out_bytes >= STOQ_PIPE_QUEUE_BYTES) {
            if (!stoq_cond_wait(&pipe->writable, &link->lock, &until) &&
                pipe->out_bytes >= STOQ_PIPE_QUEUE_BYTES)
                code = STOQ_ETIMEOUT;
        } else {
            size_t part = put(pipe, (const uint8_t *)data + done, len - done);

            done += part;
            code = part == 0 ? STOQ_ENOMEM : pump(pipe);
        }
        /* Not once all is queued: a peer that has it already may have hung up while pump had let go of the lock. */
        if (code == 0 && done < len)
            code = write_trouble(pipe);
    }
    (void)pthread_mutex_unlock(&link->lock);
    return code == 0 ? (int64_t)len : code;
}

int stoq_pipe_finish(struct stoq_pipe *pipe, int timeout_ms)
{
    const struct stoq_until until = stoq_until(timeout_ms);
    struct stoq_link *link = pipe->link;
    int code = 0;

    (void)pthread_mutex_lock(&link->lock);
    if (!pipe->out_fin) {
        code = write_trouble(pipe);
        if (code == 0) {
            pipe->out_fin = true;
            code = pump(pipe);
        }
    }
    while (code == 0 && timeout_ms != 0 && !pipe->fin_acked) {
        if (pipe->lost || pipe->gone || pipe->out_over)
            code = pipe->trouble != 0 ? pipe->trouble : STOQ_ECLOSED;
        else if (!stoq_cond_wait(&pipe->writable, &link->lock, &until) && !pipe->fin_acked)
            code = STOQ_ETIMEOUT;
    }
    (void)pthread_mutex_unlock(&link->lock);
    return code;
}

void stoq_pipe_release(struct stoq_pipe *pipe)
{
    if (pipe == NULL)
        return;
    (void)pthread_mutex_lock(&pipe->link->lock);
    pipe->released = true;
    pipe->link->in_bytes -= pipe->in.bytes;
    pipe->credit += pipe->in.bytes;
    stoq_recvq_release(&pipe->in);
    bool gone = pipe->gone;
    (void)pthread_mutex_unlock(&pipe->link->lock);
    if (!gone)
        pipe_post_always(pipe, stoq_pipe_release_act);
    stoq_pipe_unref(pipe);
}
