/* A caller: a host of its own, and the links that its peers opened. */
#include <errno.h>
#include <time.h>

#include "stoq_host.h"
#include "stoq_link.h"

#define PAUSE_NS STOQ_NS_PER_MS /* while a worker's list of acts is full, or memory short */

void stoq_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;

    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(cond, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

struct stoq_until stoq_until(int timeout_ms)
{
    struct stoq_until until = {.forever = timeout_ms < 0};
    uint64_t wait_ms = timeout_ms > 0 ? (uint64_t)timeout_ms : 0;
    uint64_t at = stoq_host_now() + wait_ms * STOQ_NS_PER_MS;

    until.at.tv_sec = (time_t)(at / STOQ_NS_PER_S);
    until.at.tv_nsec = (long)(at % STOQ_NS_PER_S);
    return until;
}

bool stoq_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct stoq_until *until)
{
    if (until->forever)
        return pthread_cond_wait(cond, lock) == 0;
    return pthread_cond_timedwait(cond, lock, &until->at) != ETIMEDOUT;
}

void stoq_caller_ref(struct stoq_caller *caller)
{
    atomic_fetch_add(&caller->references, 1);
}

void stoq_caller_unref(struct stoq_caller *caller)
{
    if (atomic_fetch_sub(&caller->references, 1) != 1)
        return;
    (void)pthread_cond_destroy(&caller->news);
    (void)pthread_mutex_destroy(&caller->lock);
    hm_free(caller);
}

int stoq_caller_post(struct stoq_caller *caller, unsigned worker,
                     void (*act)(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns),
                     void *arg)
{
    (void)pthread_mutex_lock(&caller->lock);
    int code = caller->closed ? STOQ_ECLOSED : stoq_host_post(caller->host, worker, act, arg);
    (void)pthread_mutex_unlock(&caller->lock);
    return code;
}

static void pause_a_moment(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};

    (void)nanosleep(&pause, NULL);
}

int stoq_caller_post_surely(struct stoq_caller *caller, unsigned worker,
                            void (*act)(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns),
                            void *arg)
{
    int code;

    while ((code = stoq_caller_post(caller, worker, act, arg)) == STOQ_ELIMIT)
        pause_a_moment();
    return code;
}

int stoq_caller_post_always(struct stoq_caller *caller, unsigned worker,
                            void (*act)(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns),
                            void *arg)
{
    int code;

    while ((code = stoq_caller_post_surely(caller, worker, act, arg)) == STOQ_ENOMEM)
        pause_a_moment();
    return code;
}

/* --- what the host tells ----------------------------------------------------------------------------------------- */

static int on_accepted(void *ctx, struct stoq_conn *conn)
{
    struct stoq_caller *caller = ctx;
    struct stoq_link *link = stoq_link_new(caller);

    if (link == NULL)
        return STOQ_ENOMEM;
    link->state = STOQ_LINK_UP;
    link->conn = conn;
    link->endpoint = stoq_conn_endpoint(conn);
    stoq_pipe_watch(link->endpoint);
    stoq_link_ref(link); /* the connection's */
    (void)pthread_mutex_lock(&caller->lock);
    bool room = !caller->closed && caller->waiting_count < STOQ_LINKS_WAITING_MAX;
    if (room) {
        if (caller->waiting_last != NULL)
            caller->waiting_last->after = link;
        else
            caller->waiting = link;
        caller->waiting_last = link;
        caller->waiting_count++;
        (void)pthread_cond_signal(&caller->news);
    }
    (void)pthread_mutex_unlock(&caller->lock);
    if (!room) {
        stoq_link_unref(link);
        stoq_link_unref(link);
        return STOQ_ELIMIT;
    }
    stoq_conn_set_user(conn, link);
    return 0;
}

static void on_connected(void *ctx, struct stoq_conn *conn)
{
    struct stoq_link *link = stoq_conn_user(conn);

    (void)ctx;
    (void)pthread_mutex_lock(&link->lock);
    link->state = STOQ_LINK_UP;
    (void)pthread_cond_broadcast(&link->news);
    (void)pthread_mutex_unlock(&link->lock);
}

static void on_closed(void *ctx, struct stoq_conn *conn, const struct stoq_close *why)
{
    struct stoq_link *link = stoq_conn_user(conn);

    (void)ctx;
    if (link != NULL)
        stoq_link_closed(link, why);
}

static void on_session(void *ctx, struct stoq_conn *conn, struct stoq_bytes session)
{
    struct stoq_link *link = stoq_conn_user(conn);
    uint8_t *copy = link != NULL ? hm_malloc(session.len) : NULL;

    (void)ctx;
    if (copy == NULL) /* the next handshake is a full one */
        return;
    memcpy(copy, session.data, session.len);
    (void)pthread_mutex_lock(&link->lock);
    if (link->session != NULL)
        hm_wipe(link->session, link->session_len);
    hm_free(link->session);
    link->session = copy;
    link->session_len = session.len;
    (void)pthread_mutex_unlock(&link->lock);
}

static void on_streams_available(void *ctx, struct stoq_conn *conn, bool bidirectional)
{
    struct stoq_link *link = stoq_conn_user(conn);

    (void)ctx;
    (void)bidirectional;
    if (link != NULL)
        stoq_pipe_retry_opening(link);
}

static int on_permit(void *ctx, struct stoq_conn *conn, struct stoq_bytes tag, bool bidirectional)
{
    struct stoq_caller *caller = ctx;

    return caller->permit(caller->permit_ctx, conn, tag, bidirectional);
}

void stoq_caller_handlers(struct stoq_handlers *handlers, struct stoq_caller *caller)
{
    *handlers = (struct stoq_handlers){
        .ctx = caller,
        .accepted = on_accepted,
        .connected = on_connected,
        .closed = on_closed,
        .session = on_session,
        .streams_available = on_streams_available,
        .permit = caller->permit != NULL ? on_permit : NULL,
    };
    stoq_pipe_handlers(handlers);
}

/* --- life -------------------------------------------------------------------------------------------------------- */

int stoq_caller_open(struct stoq_caller **out, const struct stoq_host_config *config,
                     struct stoq_error *error)
{
    struct stoq_host_config own = *config;
    struct stoq_caller *caller = hm_calloc(1, sizeof(*caller));
    struct stoq_host *host = NULL;

    if (caller == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for a caller");
    atomic_init(&caller->references, 1);
    (void)pthread_mutex_init(&caller->lock, NULL);
    stoq_cond_init(&caller->news);
    caller->permit = config->handlers.permit;
    caller->permit_ctx = config->handlers.ctx;
    caller->connection_window = (size_t)config->endpoint.connection_window;
    stoq_caller_handlers(&own.handlers, caller);
    own.endpoint.manual_credit = true; /* a slow reader holds its peer back */
    int code = stoq_host_open(&host, &own, error);
    hm_wipe(own.endpoint.secret, sizeof(own.endpoint.secret));
    if (code != 0) {
        stoq_caller_unref(caller);
        return code;
    }
    (void)pthread_mutex_lock(&caller->lock);
    caller->host = host;
    (void)pthread_mutex_unlock(&caller->lock);
    *out = caller;
    return 0;
}

struct stoq_host *stoq_caller_host(struct stoq_caller *caller)
{
    return caller->host;
}

void stoq_caller_close(struct stoq_caller *caller)
{
    if (caller == NULL)
        return;
    (void)pthread_mutex_lock(&caller->lock);
    struct stoq_host *host = caller->host;
    if (host != NULL && stoq_host_within(host)) { /* it would wait for itself */
        (void)pthread_mutex_unlock(&caller->lock);
        return;
    }
    struct stoq_link *waiting = caller->waiting;
    caller->closed = true;
    caller->host = NULL;
    caller->waiting = caller->waiting_last = NULL;
    (void)pthread_cond_broadcast(&caller->news);
    (void)pthread_mutex_unlock(&caller->lock);
    stoq_host_close(host, 0);
    while (waiting != NULL) {
        struct stoq_link *after = waiting->after;

        stoq_link_release(waiting);
        waiting = after;
    }
    stoq_caller_unref(caller);
}

/* In which worker an accepted connection lives. */
static unsigned worker_of(const struct stoq_host *host, const struct stoq_endpoint *endpoint)
{
    for (unsigned i = 0; i < host->count; i++) {
        if (host->workers[i].endpoint == endpoint)
            return i;
    }
    return 0;
}

int stoq_link_accept(struct stoq_caller *caller, int timeout_ms, struct stoq_link **out,
                     struct stoq_error *error)
{
    const struct stoq_until until = stoq_until(timeout_ms);
    int code = 0;

    stoq_caller_ref(caller); /* another thread may close it meanwhile */
    (void)pthread_mutex_lock(&caller->lock);
    while (!caller->closed && caller->waiting == NULL && code == 0) {
        if (!stoq_cond_wait(&caller->news, &caller->lock, &until))
            code = STOQ_ETIMEOUT;
    }
    struct stoq_link *link = caller->waiting;
    if (caller->closed) {
        code = STOQ_ECLOSED;
    } else if (link != NULL) {
        code = 0;
        caller->waiting = link->after;
        if (caller->waiting == NULL)
            caller->waiting_last = NULL;
        caller->waiting_count--;
        link->after = NULL;
        link->worker = worker_of(caller->host, link->endpoint);
    }
    (void)pthread_mutex_unlock(&caller->lock);
    stoq_caller_unref(caller);
    if (code != 0)
        return stoq_fail(error, code,
                         code == STOQ_ETIMEOUT ? "no peer connected in time"
                                               : "the caller is closed");
    *out = link;
    return 0;
}
