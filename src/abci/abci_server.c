/* A server's life: opened with a listener thread, closed after the calls under way. */
#include "abci_private.h"
#include "abci_server_private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_PAUSE_MS 100 /* when the process has no descriptor left */

int abci_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
    sigset_t all, before;
    int rc;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(thread, NULL, run, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

void abci_server_wake(const struct abci_server *server)
{
    const uint64_t one = 1;
    ssize_t written;

    do
        written = write(server->wake, &one, sizeof(one));
    while (written < 0 && errno == EINTR);
}

void abci_server_log(const struct abci_server *server, const struct hm_error *error)
{
    if (server->options.log != NULL)
        server->options.log(server->options.ctx, error);
}

/* --- the listener ------------------------------------------------------------------------------- */

struct listener_state {
    int64_t peer_pid;
    unsigned count;
    bool closing;
    bool failed;
};

static struct listener_state state_of(struct abci_server *server)
{
    struct listener_state state;

    (void)pthread_mutex_lock(&server->lock);
    state = (struct listener_state){.peer_pid = server->peer_pid,
                                    .count = server->count,
                                    .closing = server->closing,
                                    .failed = server->failed};
    (void)pthread_mutex_unlock(&server->lock);
    return state;
}

static int peer_check(int fd, int64_t expected, int64_t *pid, struct hm_error *error)
{
    struct ucred peer = {0};
    socklen_t len = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return hm_fail_errno(error, HM_EPERM, "cannot see who connected");
    if (peer.uid != geteuid())
        return hm_fail(error, HM_EPERM, "user %u connected, which is not ours", (unsigned)peer.uid);
    if (expected != 0 && peer.pid != expected)
        return hm_fail(error, HM_EPERM, "process %d connected, and only %lld may", (int)peer.pid,
                       (long long)expected);
    *pid = peer.pid;
    return 0;
}

static void admit(struct abci_server *server, int fd, const struct listener_state *state)
{
    unsigned max = server->options.connections_max;
    struct hm_error error = {0};
    int64_t pid = 0;
    int rc = peer_check(fd, state->peer_pid, &pid, &error);

    if (rc == 0 && state->count >= max)
        rc = hm_fail(&error, HM_ELIMIT, "more than %u connections at once", max);
    if (rc == 0)
        rc = abci_conn_start(server, fd, pid, &error);
    else
        (void)close(fd);
    if (rc != 0)
        abci_server_log(server, &error);
}

/* False: the process has no room for another descriptor, and the connection waits. */
static bool accept_one(struct abci_server *server, const struct listener_state *state)
{
    int fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd >= 0)
        admit(server, fd, state);
    return fd >= 0 || (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS);
}

static void *listener_run(void *arg)
{
    struct abci_server *server = arg;
    bool pause = false;

    for (;;) {
        const struct listener_state state = state_of(server);
        struct pollfd polled[2] = {{.fd = server->wake, .events = POLLIN}, {.fd = -1}};
        uint64_t count;

        if (state.closing)
            return NULL;
        if (state.failed)
            abci_socket_close(&server->listener);
        else if (state.peer_pid >= 0 && !pause)
            polled[1] = (struct pollfd){.fd = server->listener.fd, .events = POLLIN};
        (void)poll(polled, 2, pause ? ACCEPT_PAUSE_MS : -1);
        pause = false;
        if (polled[0].revents & POLLIN) {
            (void)!read(server->wake, &count, sizeof(count));
            abci_conn_reap(server, false);
        } else if (polled[1].revents & POLLIN) {
            pause = !accept_one(server, &state);
        }
    }
}

/* --- open and close ----------------------------------------------------------------------------- */

static void server_free(struct abci_server *server)
{
    abci_socket_close(&server->listener);
    if (server->wake >= 0)
        (void)close(server->wake);
    (void)pthread_cond_destroy(&server->turn);
    (void)pthread_mutex_destroy(&server->lock);
    hm_free(server);
}

static int server_start(struct abci_server *server, const char *path, struct hm_error *error)
{
    int rc = abci_socket_open(&server->listener, path, error);

    if (rc)
        return rc;
    server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->wake < 0)
        return hm_fail_errno(error, HM_EIO, "cannot make an eventfd for %s", path);
    if (abci_thread_start(&server->thread, listener_run, server) != 0)
        return hm_fail(error, HM_EIO, "cannot start a thread to listen on %s", path);
    return 0;
}

int abci_server_open(const char *path, const struct abci_handlers *handlers,
                     const struct abci_server_options *options, struct abci_server **out,
                     struct hm_error *error)
{
    struct abci_server *server;
    int rc = abci_handlers_check(handlers, error);

    if (rc)
        return rc;
    server = hm_calloc(1, sizeof(*server));
    if (server == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a server on %s", path);
    server->handlers = *handlers;
    if (options != NULL)
        server->options = *options;
    if (server->options.connections_max == 0)
        server->options.connections_max = ABCI_CONNECTIONS_MAX;
    server->peer_pid = server->options.peer_pid;
    server->listener.fd = -1;
    server->wake = -1;
    (void)pthread_mutex_init(&server->lock, NULL);
    (void)pthread_cond_init(&server->turn, NULL);
    rc = server_start(server, path, error);
    if (rc) {
        server_free(server);
        return rc;
    }
    *out = server;
    return 0;
}

void abci_server_expect(struct abci_server *server, int64_t peer_pid)
{
    (void)pthread_mutex_lock(&server->lock);
    server->peer_pid = peer_pid;
    (void)pthread_mutex_unlock(&server->lock);
    abci_server_wake(server);
}

void abci_server_close(struct abci_server *server)
{
    if (server == NULL)
        return;
    (void)pthread_mutex_lock(&server->lock);
    server->closing = true;
    for (const struct abci_conn *conn = server->conns; conn != NULL; conn = conn->next)
        (void)shutdown(conn->fd, SHUT_RDWR);
    (void)pthread_cond_broadcast(&server->turn);
    (void)pthread_mutex_unlock(&server->lock);
    abci_server_wake(server);
    (void)pthread_join(server->thread, NULL);
    abci_conn_reap(server, true);
    server_free(server);
}
