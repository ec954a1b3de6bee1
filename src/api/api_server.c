/* Sockets to api_core, through libmicrohttpd. Every connection has a thread: an act waits until
 * it is durable, and many must be able to wait at once so that the engine can put them into one
 * block. */
#include <microhttpd.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "api_core.h"
#include "api_listen.h"

#define CONNECTION_SPARE 32u /* beyond the limit, so that /livez still answers */
#define CONNECTION_MEMORY_BYTES \
    ((size_t)32 << 10) /* request line and headers, and the read buffer */
#define CONNECTION_STACK_BYTES ((size_t)1 << 20)
#define IDLE_TIMEOUT_S         60u /* between requests, and between two pieces of one */
#define RECEIVE_TIMEOUT_NS     UINT64_C(60000000000) /* a whole body */
#define DISCARD_MAX_BYTES \
    (8 * API_BODY_MAX_BYTES) /* read past the limit so that the client sees the refusal */
#define CLOSE_GRACE_NS     UINT64_C(10000000000)
#define CLOSE_POLL_NS      2000000
#define STREAM_BLOCK_BYTES ((size_t)16 << 10)

/* A way in. Each has connections of its own: those of one can't keep out who comes by the other. */
struct door {
    struct api_server *server;
    enum api_transport transport;
    struct MHD_Daemon *daemon;
    atomic_uint connections;
};

struct api_server {
    struct api_core core;
    struct door unix_door;
    struct door tcp_door;
    char *socket_path;
    dev_t socket_device; /* of the file we made: only that one is removed */
    ino_t socket_inode;
    char bound[API_ADDRESS_MAX_CHARS];
    unsigned connections_max;
    atomic_uint busy; /* requests from their handler to the last byte of the answer */
};

/* What is known of one request while it arrives. */
struct visit {
    struct api_server *server;
    struct door *door;
    char *target;
    struct hm_buf body;
    uint64_t received; /* bytes, kept or not */
    uint64_t started_ns;
    bool begun; /* headers are here */
    bool busy;
};

/* --- connections ------------------------------------------------------------------------------ */

/* Who is at the other end; lives as long as the connection. */
struct peer {
    bool known;
    uid_t uid;
};

static int connection_fd(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    return info ? info->connect_fd : -1;
}

static struct peer *connection_peer(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

static void connection_opened(struct MHD_Connection *connection, void **context)
{
    struct ucred credentials;
    socklen_t len = sizeof(credentials);
    int fd = connection_fd(connection);
    struct peer *peer = hm_calloc(1, sizeof(*peer));

    *context = peer;
    if (!peer || fd < 0)
        return; /* not known, and so refused */
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) == 0 &&
        len == sizeof(credentials)) {
        peer->known = true;
        peer->uid = credentials.uid;
    }
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct door *door = ctx;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        atomic_fetch_add(&door->connections, 1);
        atomic_fetch_add(&door->server->core.metrics.connections, 1);
        connection_opened(connection, context);
    } else {
        atomic_fetch_sub(&door->connections, 1);
        atomic_fetch_sub(&door->server->core.metrics.connections, 1);
        hm_free(*context);
        *context = NULL;
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

/* A stream and what its reader needs. */
struct pump {
    struct api_server *server;
    struct api_stream *stream;
    int fd;
};

/* The client hung up, or closed its side: nobody reads any more. */
static bool peer_gone(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLRDHUP};

    return fd < 0 ||
           (poll(&poller, 1, 0) > 0 && (poller.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0);
}

/* Blocks until there are bytes: this thread is the connection's own. */
static ssize_t pump_read(void *ctx, uint64_t position, char *out, size_t size)
{
    struct pump *pump = ctx;

    (void)position;
    for (;;) {
        const struct timespec nap = {.tv_nsec = API_STREAM_POLL_MS * 1000000L};
        int got = pump->stream->read(pump->stream, (uint8_t *)out, size);

        if (got > 0)
            return got;
        if (got == API_STREAM_END)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (got < 0 || atomic_load(&pump->server->core.closing) || peer_gone(pump->fd))
            return MHD_CONTENT_READER_END_WITH_ERROR;
        (void)nanosleep(&nap, NULL);
    }
}

static void pump_free(void *ctx)
{
    struct pump *pump = ctx;

    pump->stream->release(pump->stream);
    hm_free(pump);
}

static struct MHD_Response *stream_response(struct api_server *server,
                                            struct MHD_Connection *connection,
                                            struct api_response *answer)
{
    struct pump *pump = hm_calloc(1, sizeof(*pump));
    struct MHD_Response *response;

    if (!pump)
        return NULL;
    *pump = (struct pump){
        .server = server, .stream = answer->stream, .fd = connection_fd(connection)};
    response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, pump_read,
                                                 pump, pump_free);
    if (response)
        answer->stream = NULL; /* the pump's now */
    else
        hm_free(pump);
    return response;
}

static void free_body(void *data)
{
    hm_free(data);
}

static struct MHD_Response *body_response(struct api_response *answer)
{
    struct MHD_Response *response;

    if (answer->body.len == 0)
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    response = MHD_create_response_from_buffer_with_free_callback(answer->body.len,
                                                                  answer->body.data, free_body);
    if (response)
        answer->body = (struct hm_buf){0}; /* the response's now */
    return response;
}

static enum MHD_Result queue_answer(struct api_server *server, struct MHD_Connection *connection,
                                    struct api_response *answer, bool last)
{
    struct MHD_Response *response = answer->stream ? stream_response(server, connection, answer)
                                                   : body_response(answer);
    enum MHD_Result queued;

    if (!response)
        return MHD_NO; /* out of memory: the connection closes */
    (void)MHD_add_response_header(response, "Content-Type", answer->content_type);
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (answer->allow)
        (void)MHD_add_response_header(response, "Allow", answer->allow);
    if (answer->ask_token)
        (void)MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"hypermesh\"");
    if (last)
        (void)MHD_add_response_header(response, "Connection", "close");
    queued = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return queued;
}

/* --- requests --------------------------------------------------------------------------------- */

static const char *header_of(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static void request_of(struct visit *visit, struct MHD_Connection *connection, const char *method,
                       struct api_request *out)
{
    const struct peer *peer = connection_peer(connection);

    *out = (struct api_request){
        .method = method,
        .target = visit->target,
        .host = header_of(connection, "Host"),
        .origin = header_of(connection, "Origin"),
        .authorization = header_of(connection, "Authorization"),
        .content_type = header_of(connection, "Content-Type"),
        .transport = visit->door->transport,
        .peer_known = peer && peer->known,
        .peer_uid = peer ? peer->uid : (uid_t)-1,
        .body = hm_buf_slice(&visit->body),
    };
}

/* Requests that say how much will come are refused before it comes. */
static enum MHD_Result request_begin(struct visit *visit, struct MHD_Connection *connection,
                                     const char *method)
{
    const char *announced = header_of(connection, "Content-Length");
    struct api_response answer = {0};
    struct api_request request;
    enum MHD_Result queued = MHD_YES;
    uint64_t length = 0;

    visit->begun = true;
    visit->started_ns = hm_mono_ns(visit->server->core.clock);
    if (announced && hm_u64_parse(announced, &length, NULL))
        length = UINT64_MAX;
    if (length == 0 && !header_of(connection, "Transfer-Encoding"))
        return MHD_YES;
    request_of(visit, connection, method, &request);
    if (!api_core_admit(&visit->server->core, &request, length, &answer))
        queued = queue_answer(visit->server, connection, &answer, true);
    api_response_release(&answer);
    return queued;
}

static enum MHD_Result request_receive(struct visit *visit, const char *data, size_t *size)
{
    uint64_t spent_ns = hm_mono_ns(visit->server->core.clock) - visit->started_ns;

    visit->received += *size;
    if (visit->received > DISCARD_MAX_BYTES || spent_ns > RECEIVE_TIMEOUT_NS)
        return MHD_NO;
    if (visit->received <= API_BODY_MAX_BYTES && hm_buf_append(&visit->body, data, *size))
        return MHD_NO;
    *size = 0;
    return MHD_YES;
}

static void refuse(struct api_server *server, unsigned status, int code, const char *sentence,
                   struct api_response *answer)
{
    api_core_refuse(answer, status, code, sentence, NULL);
    api_metrics_count(&server->core.metrics, API_METRIC_NO_ROUTE, status, 0);
}

/* More connections than there should be: only what watches the node is answered, and they close. */
static bool door_is_full(const struct visit *visit)
{
    return atomic_load(&visit->door->connections) > visit->server->connections_max;
}

static void answer_request(struct visit *visit, const struct api_request *request,
                           struct api_response *answer)
{
    struct api_server *server = visit->server;

    if (visit->received > API_BODY_MAX_BYTES)
        refuse(server, 413, HM_ELIMIT, "the body is longer than 1 MiB", answer);
    else if (door_is_full(visit) && strcmp(request->target, "/livez") != 0 &&
             strcmp(request->target, "/readyz") != 0)
        refuse(server, 503, HM_EBUSY,
               "too many connections are open; close some, or ask again later", answer);
    else if (atomic_load(&server->core.closing))
        refuse(server, 503, HM_EBUSY, "the node is stopping", answer);
    else
        api_core_handle(&server->core, request, answer);
}

static enum MHD_Result request_finish(struct visit *visit, struct MHD_Connection *connection,
                                      const char *method)
{
    struct api_server *server = visit->server;
    struct api_response answer = {0};
    struct api_request request;
    enum MHD_Result queued;
    bool last;

    visit->busy = true;
    atomic_fetch_add(&server->busy, 1);
    /* The library would call a connection idle while its act waits for a block. Going from no
     * timeout to one starts it anew, so that a client has the whole of it to read its answer. */
    (void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
    request_of(visit, connection, method, &request);
    answer_request(visit, &request, &answer);
    if (!answer.stream)
        (void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, IDLE_TIMEOUT_S);
    last = atomic_load(&server->core.closing) || door_is_full(visit);
    queued = queue_answer(server, connection, &answer, last);
    api_response_release(&answer);
    return queued;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **context)
{
    struct visit *visit = *context;

    (void)ctx;
    (void)url;
    (void)version;
    if (!visit || !visit->target)
        return MHD_NO; /* no memory for it */
    if (!visit->begun)
        return request_begin(visit, connection, method);
    if (*size > 0)
        return request_receive(visit, data, size);
    return request_finish(visit, connection, method);
}

/* First sight of a request: its target as it was sent. */
static void *on_target(void *ctx, const char *target, struct MHD_Connection *connection)
{
    struct visit *visit = hm_calloc(1, sizeof(*visit));

    (void)connection;
    if (!visit)
        return NULL;
    visit->door = ctx;
    visit->server = visit->door->server;
    visit->target = hm_strdup(target);
    return visit;
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode how)
{
    struct visit *visit = *context;

    (void)ctx;
    (void)how;
    if (!visit)
        return;
    (void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, IDLE_TIMEOUT_S);
    if (visit->busy)
        atomic_fetch_sub(&visit->server->busy, 1);
    hm_buf_release(&visit->body);
    hm_free(visit->target);
    hm_free(visit);
    *context = NULL;
}

/* --- start and stop --------------------------------------------------------------------------- */

/* fd is the library's from here on. */
static bool door_open(struct api_server *server, struct door *door, enum api_transport transport,
                      int fd)
{
    const unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
                           MHD_USE_POLL | MHD_USE_ITC;

    door->server = server;
    door->transport = transport;
    /* When it does not start, the library has closed fd or not, depending on how far it got;
     * closing it again could hit another thread's file, so a failed start may leave one open. */
    door->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, door, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, server->connections_max + CONNECTION_SPARE,
        MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        CONNECTION_MEMORY_BYTES, MHD_OPTION_THREAD_STACK_SIZE, CONNECTION_STACK_BYTES,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, door, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        door, MHD_OPTION_NOTIFY_CONNECTION, on_connection, door, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_END);
    return door->daemon != NULL;
}

static int open_unix(struct api_server *server, const char *path, struct hm_error *error)
{
    struct stat info;
    int fd = -1;
    int rc = api_listen_unix(path, &fd, error);

    if (rc)
        return rc;
    server->socket_path = hm_strdup(path);
    if (!server->socket_path || lstat(path, &info) != 0) {
        hm_fd_release(&fd);
        (void)unlink(path);
        return hm_fail(error, HM_ENOMEM, "out of memory");
    }
    server->socket_device = info.st_dev;
    server->socket_inode = info.st_ino;
    return door_open(server, &server->unix_door, API_TRANSPORT_UNIX, fd)
               ? 0
               : hm_fail(error, HM_EBUSY, "cannot start serving %s: no threads or memory", path);
}

static int open_tcp(struct api_server *server, const struct api_options *options,
                    struct hm_error *error)
{
    int fd = -1;
    int rc = api_token_open(options->token_path, options->random, server->core.token, error);

    if (rc == 0)
        rc = api_listen_tcp(options->listen, &fd, server->bound, error);
    if (rc)
        return rc;
    return door_open(server, &server->tcp_door, API_TRANSPORT_TCP, fd)
               ? 0
               : hm_fail(error, HM_EBUSY, "cannot start serving %s: no threads or memory",
                         server->bound);
}

int api_server_open(const struct api_options *options, struct api_server **out,
                    struct hm_error *error)
{
    struct api_server *server = hm_calloc(1, sizeof(*server));
    int rc;

    if (!server)
        return hm_fail(error, HM_ENOMEM, "out of memory");
    server->connections_max = options->connections ? options->connections : API_CONNECTIONS_MAX;
    rc = api_core_init(&server->core, options->backend, options->clock, error);
    if (rc == 0 && options->listen && options->listen[0] != '\0')
        rc = open_tcp(server, options, error);
    if (rc == 0)
        rc = open_unix(server, options->socket_path, error);
    if (rc) {
        api_server_close(server);
        return rc;
    }
    *out = server;
    return 0;
}

const char *api_server_listen(const struct api_server *server)
{
    return server->bound;
}

static void daemon_quiesce(struct MHD_Daemon *daemon)
{
    int fd = daemon ? MHD_quiesce_daemon(daemon) : -1;

    hm_fd_release(&fd);
}

/* Stopping the library's daemon cuts what is being sent; so requests get time to end first. */
static void wait_for_requests(struct api_server *server)
{
    const struct timespec nap = {.tv_nsec = CLOSE_POLL_NS};
    uint64_t started_ns = hm_mono_ns(hm_clock_system());

    while (atomic_load(&server->busy) > 0 &&
           hm_mono_ns(hm_clock_system()) - started_ns < CLOSE_GRACE_NS)
        (void)nanosleep(&nap, NULL);
}

static void remove_socket(const struct api_server *server)
{
    struct stat info;

    if (server->socket_path && lstat(server->socket_path, &info) == 0 &&
        info.st_dev == server->socket_device && info.st_ino == server->socket_inode)
        (void)unlink(server->socket_path);
}

void api_server_close(struct api_server *server)
{
    if (!server)
        return;
    remove_socket(server);
    daemon_quiesce(server->tcp_door.daemon);
    daemon_quiesce(server->unix_door.daemon);
    atomic_store(&server->core.closing, true);
    wait_for_requests(server);
    if (server->tcp_door.daemon)
        MHD_stop_daemon(server->tcp_door.daemon);
    if (server->unix_door.daemon)
        MHD_stop_daemon(server->unix_door.daemon);
    hm_free(server->socket_path);
    api_core_release(&server->core);
    hm_free(server);
}
