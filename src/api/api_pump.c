#include "api_conn.h"

#define NS_PER_MS          UINT64_C(1000000)
#define STREAM_BLOCK_BYTES ((size_t)32 << 10)

/* A stream and the connection that sends it. The library's thread reads; anyone wakes. */
struct api_pump {
    struct api_care *care;
    struct api_conn *conn;
    struct api_stream *stream;
    pthread_mutex_t
        lock; /* guards the three below; taken inside the care's lock, never around it */
    bool suspended; /* the connection sleeps until woken */
    bool woken; /* something came while it was being read */
    bool gone; /* the reader hung up */
    uint64_t read_ns; /* when it was read last; the care's thread reads it, too */
};

void api_pump_wake(struct api_pump *pump)
{
    (void)pthread_mutex_lock(&pump->lock);
    pump->woken = true;
    if (pump->suspended) {
        pump->suspended = false;
        api_loop_resume(pump->conn->loop, pump->conn->connection);
    }
    (void)pthread_mutex_unlock(&pump->lock);
}

static void pump_wake(void *ctx)
{
    api_pump_wake(ctx);
}

/* Before each reading: what comes from here on counts as news. */
static bool pump_begin_read(struct api_pump *pump)
{
    bool gone;

    (void)pthread_mutex_lock(&pump->lock);
    pump->woken = false;
    pump->read_ns = hm_mono_ns(hm_clock_system());
    gone = pump->gone;
    (void)pthread_mutex_unlock(&pump->lock);
    return !gone && !atomic_load(pump->care->closing);
}

/* Nothing to send: sleeps unless something came meanwhile. False: read again. */
static bool pump_sleep(struct api_pump *pump)
{
    bool sleeps;

    (void)pthread_mutex_lock(&pump->lock);
    sleeps = !pump->woken;
    if (sleeps) {
        pump->suspended = true;
        api_conn_enter(pump->conn, API_PHASE_WORK);
        MHD_suspend_connection(pump->conn->connection);
    }
    (void)pthread_mutex_unlock(&pump->lock);
    return sleeps;
}

static ssize_t pump_read(void *ctx, uint64_t position, char *out, size_t size)
{
    struct api_pump *pump = ctx;

    (void)position;
    for (;;) {
        int got;

        if (!pump_begin_read(pump))
            return MHD_CONTENT_READER_END_WITH_ERROR;
        got = pump->stream->read(pump->stream, (uint8_t *)out, size);
        if (got > 0) {
            api_conn_enter(pump->conn, API_PHASE_SEND);
            return got;
        }
        if (got == API_STREAM_END)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (got < 0)
            return MHD_CONTENT_READER_END_WITH_ERROR;
        if (pump_sleep(pump))
            return 0;
    }
}

static void pump_free(void *ctx)
{
    struct api_pump *pump = ctx;

    (void)pthread_mutex_lock(&pump->care->lock);
    pump->conn->pump = NULL;
    (void)pthread_mutex_unlock(&pump->care->lock);
    api_stream_release(pump->stream);
    (void)pthread_mutex_destroy(&pump->lock);
    hm_free(pump);
}

struct MHD_Response *api_pump_response(struct api_care *care, struct api_conn *conn,
                                       struct api_stream *stream)
{
    struct api_pump *pump = hm_calloc(1, sizeof(*pump));
    struct MHD_Response *response;

    if (!pump)
        return NULL;
    pump->care = care;
    pump->conn = conn;
    pump->read_ns = hm_mono_ns(hm_clock_system());
    (void)pthread_mutex_init(&pump->lock, NULL);
    response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, pump_read,
                                                 pump, pump_free);
    if (!response) {
        (void)pthread_mutex_destroy(&pump->lock);
        hm_free(pump);
        return NULL;
    }
    pump->stream = stream;
    if (stream->attach)
        stream->attach(stream, pump_wake, pump);
    (void)pthread_mutex_lock(&care->lock);
    conn->pump = pump;
    (void)pthread_mutex_unlock(&care->lock);
    return response;
}

/* Streams that nothing wakes are read again after a while; those with a heartbeat when it is due. */
static bool pump_is_due(const struct api_pump *pump, uint64_t now_ns)
{
    uint64_t every_ms = pump->stream->attach ? pump->stream->beat_ms : API_STREAM_POLL_MS;

    return every_ms > 0 && now_ns - pump->read_ns >= every_ms * NS_PER_MS;
}

void api_pump_look(struct api_pump *pump, uint64_t now_ns, bool look_for_gone)
{
    bool wake;

    (void)pthread_mutex_lock(&pump->lock);
    if (pump->suspended && look_for_gone && api_conn_is_gone(pump->conn))
        pump->gone = true;
    wake = pump->suspended && (pump->gone || pump_is_due(pump, now_ns));
    (void)pthread_mutex_unlock(&pump->lock);
    if (wake)
        api_pump_wake(pump);
}
