/* A connection's thread: reads, feeds, sends; and whose turn a group of calls is. */
#include "abci_server_private.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- turns -------------------------------------------------------------------------------------- */

/* The consensus group stays with its connection, for a transaction of a store may belong to the thread that began it. */
static bool taken(const struct abci_conn *conn, unsigned group)
{
    const struct abci_server *server = conn->server;

    if (group == ABCI_CONSENSUS)
        return server->consensus != NULL && server->consensus != conn;
    return server->busy[group];
}

static bool group_enter(void *ctx, unsigned group)
{
    struct abci_conn *conn = ctx;
    struct abci_server *server = conn->server;
    bool may;

    (void)pthread_mutex_lock(&server->lock);
    while (!server->closing && !server->failed && taken(conn, group))
        (void)pthread_cond_wait(&server->turn, &server->lock);
    may = !server->closing && !server->failed;
    if (may && group == ABCI_CONSENSUS)
        server->consensus = conn;
    else if (may)
        server->busy[group] = true;
    (void)pthread_mutex_unlock(&server->lock);
    return may;
}

static void group_leave(void *ctx, unsigned group)
{
    struct abci_conn *conn = ctx;
    struct abci_server *server = conn->server;

    if (group == ABCI_CONSENSUS)
        return;
    (void)pthread_mutex_lock(&server->lock);
    server->busy[group] = false;
    (void)pthread_cond_broadcast(&server->turn);
    (void)pthread_mutex_unlock(&server->lock);
}

/* The application cannot go on: no connection carries another call, and the listener stops listening. */
static void app_failed(void *ctx, const struct hm_error *error)
{
    const struct abci_conn *conn = ctx;
    struct abci_server *server = conn->server;
    bool first;

    (void)pthread_mutex_lock(&server->lock);
    first = !server->failed;
    server->failed = true;
    for (const struct abci_conn *each = server->conns; each != NULL; each = each->next)
        (void)shutdown(each->fd, SHUT_RDWR);
    (void)pthread_cond_broadcast(&server->turn);
    (void)pthread_mutex_unlock(&server->lock);
    abci_server_wake(server);
    if (first && server->handlers.failed != NULL)
        server->handlers.failed(server->handlers.ctx, error);
}

static void core_log(void *ctx, const struct hm_error *error)
{
    const struct abci_conn *conn = ctx;

    abci_server_log(conn->server, error);
}

/* --- the thread --------------------------------------------------------------------------------- */

/* Blocks while the engine does not read; a shutdown of the socket ends that. */
static int send_all(int fd, struct hm_slice bytes, struct hm_error *error)
{
    while (bytes.len > 0) {
        ssize_t sent = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return hm_fail_errno(error, HM_ECANCELLED, "the engine does not take an answer");
        bytes = hm_slice_of(bytes.data + sent, bytes.len - (size_t)sent);
    }
    return 0;
}

/* Answers what came. All that is ready is sent, also without a Flush: it was read at once, so it can be sent at once. */
static int conn_answer(struct abci_conn *conn, size_t len, struct hm_error *error)
{
    struct hm_slice bytes = hm_slice_of(conn->bytes, len);

    do {
        bool flush;
        struct hm_slice out;
        int rc = abci_core_feed(conn->core, bytes, error);

        if (rc)
            return rc;
        out = abci_core_out(conn->core, &flush);
        rc = send_all(conn->fd, out, error);
        if (rc)
            return rc;
        abci_core_take(conn->core, out.len);
        bytes.len = 0;
    } while (abci_core_stalled(conn->core));
    return 0;
}

static void conn_end(struct abci_conn *conn)
{
    struct abci_server *server = conn->server;
    int64_t peer_pid = conn->peer_pid;

    abci_core_free(conn->core); /* calls gone */
    (void)pthread_mutex_lock(&server->lock);
    bool left = !server->closing;
    if (server->consensus == conn)
        server->consensus = NULL;
    conn->done = true;
    (void)shutdown(conn->fd, SHUT_RDWR);
    (void)pthread_cond_broadcast(&server->turn);
    (void)pthread_mutex_unlock(&server->lock);
    if (left && server->options.left != NULL)
        server->options.left(server->options.ctx, peer_pid);
    abci_server_wake(server);
}

static void *conn_run(void *arg)
{
    struct abci_conn *conn = arg;
    struct hm_error error = {0};
    int rc = 0;

    while (rc == 0) {
        ssize_t came = recv(conn->fd, conn->bytes, sizeof(conn->bytes), 0);

        if (came < 0 && errno == EINTR)
            continue;
        if (came <= 0)
            break;
        rc = conn_answer(conn, (size_t)came, &error);
    }
    if (rc != 0 && rc != HM_ECANCELLED)
        abci_server_log(conn->server, &error);
    conn_end(conn);
    return NULL;
}

static void conn_free(struct abci_conn *conn)
{
    (void)close(conn->fd);
    hm_free(conn);
}

int abci_conn_start(struct abci_server *server, int fd, int64_t peer_pid, struct hm_error *error)
{
    struct abci_conn *conn = hm_calloc(1, sizeof(*conn));
    int rc;

    if (conn == NULL) {
        (void)close(fd);
        return hm_fail(error, HM_ENOMEM, "no memory for a connection of the engine");
    }
    conn->server = server;
    conn->fd = fd;
    conn->peer_pid = peer_pid;
    const struct abci_core_hooks hooks = {.enter = group_enter,
                                          .leave = group_leave,
                                          .failed = app_failed,
                                          .log = core_log,
                                          .ctx = conn};

    rc = abci_core_new(&server->handlers, &hooks, &conn->core, error);
    if (rc == 0) {
        (void)pthread_mutex_lock(&server->lock);
        /* A connection that is listed has a thread, so the list is locked until it has. */
        if (abci_thread_start(&conn->thread, conn_run, conn) != 0) {
            rc = hm_fail(error, HM_EIO, "cannot start a thread for a connection of the engine");
        } else {
            conn->next = server->conns;
            server->conns = conn;
            server->count++;
            if (server->closing || server->failed)
                (void)shutdown(fd, SHUT_RDWR);
        }
        (void)pthread_mutex_unlock(&server->lock);
    }
    if (rc != 0) {
        abci_core_free(conn->core);
        conn_free(conn);
    }
    return rc;
}

void abci_conn_reap(struct abci_server *server, bool all)
{
    struct abci_conn *gone = NULL;

    (void)pthread_mutex_lock(&server->lock);
    for (struct abci_conn **at = &server->conns; *at != NULL;) {
        struct abci_conn *conn = *at;

        if (!all && !conn->done) {
            at = &conn->next;
            continue;
        }
        *at = conn->next;
        conn->next = gone;
        gone = conn;
        server->count--;
    }
    (void)pthread_mutex_unlock(&server->lock);
    while (gone != NULL) {
        struct abci_conn *next = gone->next;

        (void)pthread_join(gone->thread, NULL);
        conn_free(gone);
        gone = next;
    }
}
