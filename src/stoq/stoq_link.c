/* A link: one connection for blocking callers. */
#include "stoq_link.h"

#include "stoq_host.h"

#include <time.h>

#define LINGER_NS (30 * STOQ_NS_PER_MS)

struct stoq_link *stoq_link_new(struct stoq_caller *caller)
{
    struct stoq_link *link = hm_calloc(1, sizeof(*link));

    if (link == NULL)
        return NULL;
    atomic_init(&link->references, 1);
    link->holders = 1;
    link->caller = caller;
    stoq_caller_ref(caller);
    (void)pthread_mutex_init(&link->lock, NULL);
    stoq_cond_init(&link->news);
    return link;
}

static void forget(uint8_t **bytes, size_t *len)
{
    if (*bytes != NULL)
        hm_wipe(*bytes, *len);
    hm_free(*bytes);
    *bytes = NULL;
    *len = 0;
}

void stoq_link_ref(struct stoq_link *link)
{
    atomic_fetch_add(&link->references, 1);
}

void stoq_link_unref(struct stoq_link *link)
{
    if (atomic_fetch_sub(&link->references, 1) != 1)
        return;
    forget(&link->session, &link->session_len);
    forget(&link->resume, &link->resume_len);
    hm_free(link->name);
    (void)pthread_cond_destroy(&link->news);
    (void)pthread_mutex_destroy(&link->lock);
    stoq_caller_unref(link->caller);
    hm_free(link);
}

void stoq_link_hold(struct stoq_link *link)
{
    (void)pthread_mutex_lock(&link->lock);
    link->holders++;
    (void)pthread_mutex_unlock(&link->lock);
}

bool stoq_link_alive(struct stoq_link *link)
{
    (void)pthread_mutex_lock(&link->lock);
    bool alive = link->state == STOQ_LINK_UP;
    (void)pthread_mutex_unlock(&link->lock);
    return alive;
}

uint8_t *stoq_link_session(struct stoq_link *link, size_t *len)
{
    uint8_t *copy = NULL;

    *len = 0;
    (void)pthread_mutex_lock(&link->lock);
    if (link->session_len > 0 && (copy = hm_malloc(link->session_len)) != NULL) {
        memcpy(copy, link->session, link->session_len);
        *len = link->session_len;
    }
    (void)pthread_mutex_unlock(&link->lock);
    return copy;
}

/* --- in the worker ----------------------------------------------------------------------------------------------- */

static int code_of(const struct stoq_close *why)
{
    switch (why->kind) {
    case STOQ_CLOSE_TLS:
        return STOQ_EAUTH;
    case STOQ_CLOSE_IDLE:
    case STOQ_CLOSE_HANDSHAKE_TIMEOUT:
        return STOQ_ETIMEOUT;
    case STOQ_CLOSE_VERSION:
        return STOQ_EUNSUPPORTED;
    case STOQ_CLOSE_PEER_TRANSPORT:
        /* RFC 9001 section 4.8: an alert of TLS. */
        return why->code >= 0x100 && why->code <= 0x1ff ? STOQ_EAUTH : STOQ_ECLOSED;
    case STOQ_CLOSE_PEER_APPLICATION:
        return why->code == STOQ_APP_REFUSED ? STOQ_EPERM : STOQ_ECLOSED;
    case STOQ_CLOSE_LOCAL:
    case STOQ_CLOSE_TRANSPORT:
    case STOQ_CLOSE_RESET:
    case STOQ_CLOSE_DROPPED:
    default:
        return STOQ_ECLOSED;
    }
}

static void link_fail(struct stoq_link *link, int code, const char *text)
{
    (void)pthread_mutex_lock(&link->lock);
    link->state = STOQ_LINK_CLOSED;
    link->conn = NULL;
    (void)stoq_fail(&link->failure, code, "%s",
                    text != NULL && text[0] != '\0' ? text : "the connection has ended");
    (void)pthread_cond_broadcast(&link->news);
    (void)pthread_mutex_unlock(&link->lock);
}

/* Pipes that nobody took and nobody can take from now on. */
static void drop_incoming(struct stoq_link *link)
{
    (void)pthread_mutex_lock(&link->lock);
    struct stoq_pipe *pipe = link->incoming;
    link->incoming = link->incoming_last = NULL;
    link->incoming_count = 0;
    for (struct stoq_pipe *each = pipe; each != NULL; each = each->after)
        each->announced = false;
    (void)pthread_mutex_unlock(&link->lock);
    while (pipe != NULL) {
        struct stoq_pipe *after = pipe->after;

        stoq_pipe_release(pipe);
        pipe = after;
    }
}

void stoq_link_closed(struct stoq_link *link, const struct stoq_close *why)
{
    stoq_pipe_fail_opening(link, STOQ_ECLOSED);
    link_fail(link, code_of(why), why->text);
    stoq_link_unref(link); /* the connection's */
}

static void connect_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct stoq_link *link = arg;
    struct stoq_target target = {.path.remote = link->remote,
                                 .name = link->name,
                                 .session = {link->resume, link->resume_len},
                                 .user = link};
    struct stoq_error error = {0};
    struct stoq_conn *conn;

    stoq_link_ref(link); /* the connection's: `closed` gives it back */
    stoq_pipe_watch(endpoint);
    int code = stoq_endpoint_connect(endpoint, &target, now_ns, &conn, &error);
    if (code == 0) {
        (void)pthread_mutex_lock(&link->lock);
        link->conn = conn;
        bool wanted = link->holders > 0;
        (void)pthread_mutex_unlock(&link->lock);
        if (!wanted) /* given up while this waited to be done */
            stoq_conn_close(conn, 0, NULL);
    } else {
        link_fail(link, code, error.text);
        stoq_link_unref(link);
    }
    stoq_link_unref(link); /* the act's */
}

static void close_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct stoq_link *link = arg;

    (void)endpoint;
    (void)now_ns;
    if (link->conn != NULL)
        stoq_conn_close(link->conn, 0, NULL);
    stoq_link_unref(link);
}

/* --- any thread -------------------------------------------------------------------------------------------------- */

/* An acknowledgement may be held back for 25 ms (RFC 9000 section 18.2), and a close does not carry it: without a pause
 * the peer could not know that its streams were received to their end. */
static void linger(struct stoq_link *link)
{
    (void)pthread_mutex_lock(&link->lock);
    uint64_t until = link->ended_ns != 0 ? link->ended_ns + LINGER_NS : 0;
    bool up = link->state == STOQ_LINK_UP;
    (void)pthread_mutex_unlock(&link->lock);
    uint64_t now = stoq_host_now();
    if (up && until > now) {
        const struct timespec pause = {.tv_nsec = (long)(until - now)};

        (void)nanosleep(&pause, NULL);
    }
}

void stoq_link_release(struct stoq_link *link)
{
    if (link == NULL)
        return;
    (void)pthread_mutex_lock(&link->lock);
    bool last = --link->holders == 0;
    (void)pthread_mutex_unlock(&link->lock);
    if (!last)
        return;
    drop_incoming(link);
    linger(link);
    stoq_link_ref(link);
    if (stoq_caller_post_always(link->caller, link->worker, close_act, link) != 0)
        stoq_link_unref(link); /* the caller is closed, and with it the connection */
    stoq_link_unref(link);
}

static int wait_up(struct stoq_link *link, int timeout_ms, struct stoq_error *error)
{
    const struct stoq_until until = stoq_until(timeout_ms);
    int code = 0;

    (void)pthread_mutex_lock(&link->lock);
    while (link->state == STOQ_LINK_CONNECTING && code == 0) {
        if (!stoq_cond_wait(&link->news, &link->lock, &until))
            code = STOQ_ETIMEOUT;
    }
    if (link->state == STOQ_LINK_UP)
        code = 0;
    else if (link->state == STOQ_LINK_CLOSED)
        code = stoq_fail(error, link->failure.code, "%s", link->failure.text);
    else
        code = stoq_fail(error, STOQ_ETIMEOUT, "no answer within %d ms", timeout_ms);
    (void)pthread_mutex_unlock(&link->lock);
    return code;
}

/* What connect_act needs, copied. */
static bool aim(struct stoq_link *link, const struct sockaddr_in6 *remote, const char *name,
                struct stoq_bytes resume)
{
    link->remote = *remote;
    link->name = hm_strdup(name);
    if (resume.len > 0) {
        link->resume = hm_malloc(resume.len);
        if (link->resume != NULL) {
            memcpy(link->resume, resume.data, resume.len);
            link->resume_len = resume.len;
        }
    }
    return link->name != NULL; /* without a session the handshake is a full one */
}

int stoq_link_connect_with(struct stoq_caller *caller, const struct sockaddr_in6 *remote,
                           const char *name, struct stoq_bytes resume, int timeout_ms,
                           struct stoq_link **out, struct stoq_error *error)
{
    if (name == NULL)
        return stoq_fail(error, STOQ_EINVAL, "name is not set: whom shall the peer prove to be?");
    struct stoq_link *link = stoq_link_new(caller);
    if (link == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for a link");
    int code;
    if (!aim(link, remote, name, resume)) {
        code = stoq_fail(error, STOQ_ENOMEM, "no memory for a link");
    } else {
        (void)pthread_mutex_lock(&caller->lock);
        unsigned workers = caller->host != NULL ? stoq_host_workers(caller->host) : 1;
        (void)pthread_mutex_unlock(&caller->lock);
        link->worker = atomic_fetch_add(&caller->turn, 1) % workers;
        stoq_link_ref(link);
        code = stoq_caller_post_surely(caller, link->worker, connect_act, link);
        if (code != 0) {
            stoq_link_unref(link);
            (void)stoq_fail(error, code, "the caller is closed");
        }
    }
    if (code == 0)
        code = wait_up(link, timeout_ms, error);
    if (code == 0)
        *out = link;
    else
        stoq_link_release(link);
    return code;
}

int stoq_link_connect(struct stoq_caller *caller, const struct sockaddr_in6 *remote,
                      const char *name, int timeout_ms, struct stoq_link **out,
                      struct stoq_error *error)
{
    return stoq_link_connect_with(caller, remote, name, (struct stoq_bytes){0}, timeout_ms, out,
                                  error);
}

/* --- a question to the worker ------------------------------------------------------------------------------------- */

struct question {
    struct stoq_link *link;
    struct stoq_conn_info *out;
    bool done;
    int code;
};

static void info_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct question *question = arg;
    struct stoq_link *link = question->link;

    (void)endpoint;
    (void)now_ns;
    (void)pthread_mutex_lock(&link->lock);
    if (link->conn != NULL)
        stoq_conn_get_info(link->conn, question->out);
    else
        question->code = STOQ_ECLOSED;
    question->done = true;
    (void)pthread_cond_broadcast(&link->news);
    (void)pthread_mutex_unlock(&link->lock);
}

int stoq_link_info(struct stoq_link *link, struct stoq_conn_info *out)
{
    struct stoq_conn_info info;
    struct question question = {.link = link, .out = &info};
    int code = stoq_caller_post_surely(link->caller, link->worker, info_act, &question);

    if (code != 0)
        return code;
    /* An act that was taken is done, also when the host ends. */
    (void)pthread_mutex_lock(&link->lock);
    while (!question.done)
        (void)pthread_cond_wait(&link->news, &link->lock);
    (void)pthread_mutex_unlock(&link->lock);
    if (question.code == 0)
        *out = info;
    return question.code;
}
