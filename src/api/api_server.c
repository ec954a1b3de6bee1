/* Sockets to api_core, through libmicrohttpd. A few threads poll all connections; what only reads a snapshot
 * they answer themselves, what waits (an act until it is durable) goes to a pool meanwhile, so that many can
 * wait at once and the engine can put them into one block. */
#include <microhttpd.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api_conn.h"
#include "api_core.h"
#include "api_listen.h"
#include "api_pool.h"
#include "api_porter.h"
#include "api_rate.h"

#define CONNECTION_SPARE 32u /* beyond the limit, so that /livez still answers */
#define CONNECTION_MEMORY_BYTES \
    ((size_t)16 << 10) /* request line and headers, and the read buffer */
#define DOOR_THREADS_MAX  8u /* of each door: as many as there are processors, up to this */
#define DESCRIPTORS_SPARE 1024u /* kept from connections: files, jobs, the store */
#define DISCARD_MAX_BYTES \
    (4 * API_BODY_MAX_BYTES) /* read past the limit so that the client sees the refusal */
#define CLOSE_GRACE_NS UINT64_C(10000000000)
#define CLOSE_POLL_NS  2000000

/* A way in. Each has connections of its own: those of one can't keep out who comes by the other. */
struct door {
    struct api_server *server;
    enum api_transport transport;
    struct MHD_Daemon *daemon;
    atomic_uint connections;
};

struct api_server {
    struct api_core core;
    struct api_care care;
    struct api_pool *pool;
    struct api_porter porter;
    struct api_rate rate;
    struct door unix_door;
    struct door tcp_door;
    struct door kv_door;
    char *socket_path;
    dev_t socket_device; /* of the file we made: only that one is removed */
    ino_t socket_inode;
    char bound[API_ADDRESS_MAX_CHARS];
    char kv_bound[API_ADDRESS_MAX_CHARS];
    unsigned connections_max; /* of each door */
    unsigned all_max, foreign_max; /* of all doors, and of those on TCP together */
    atomic_uint busy; /* requests from their handler to the last byte of the answer */
};

/* What is known of one request while it arrives, and while it is worked on. */
struct visit {
    struct api_work work; /* first: what the pool sees */
    struct api_server *server;
    struct door *door;
    struct MHD_Connection *connection;
    struct api_conn *conn;
    char *target;
    struct hm_buf body;
    uint64_t received; /* bytes, kept or not */
    uint64_t started_ns;
    bool begun; /* headers are here */
    bool busy;
    bool away; /* with the pool; set before it gets it */
    struct api_request request;
    struct api_response answer; /* the pool's, until the connection is resumed */
};

/* --- connections ------------------------------------------------------------------------------ */

static struct api_conn *conn_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct door *door = ctx;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        atomic_fetch_add(&door->connections, 1);
        atomic_fetch_add(&door->server->core.metrics.connections, 1);
        *context = api_conn_open(&door->server->care, door->transport, connection);
    } else {
        atomic_fetch_sub(&door->connections, 1);
        atomic_fetch_sub(&door->server->core.metrics.connections, 1);
        api_conn_close(&door->server->care, *context);
        *context = NULL;
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

static struct MHD_Response *stream_response(struct visit *visit, struct api_response *answer)
{
    struct MHD_Response *response = api_pump_response(&visit->server->care, visit->conn,
                                                      answer->stream);

    if (response)
        answer->stream = NULL; /* the response's now */
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

static void put_headers(struct MHD_Response *response, const struct api_response *answer, bool last)
{
    static const char retry_after[] = {'0' + API_RETRY_AFTER_S, '\0'};

    (void)MHD_add_response_header(response, "Content-Type", answer->content_type);
    (void)MHD_add_response_header(response, "Cache-Control",
                                  answer->etag[0] ? "no-cache" : "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (answer->etag[0])
        (void)MHD_add_response_header(response, "ETag", answer->etag);
    if (answer->replayed)
        (void)MHD_add_response_header(response, "Idempotency-Replayed", "true");
    if (answer->allow)
        (void)MHD_add_response_header(response, "Allow", answer->allow);
    if (answer->ask_token)
        (void)MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"hypermesh\"");
    if (answer->status == 429 || answer->status == 503 || answer->retry)
        (void)MHD_add_response_header(response, "Retry-After", retry_after);
    if (last)
        (void)MHD_add_response_header(response, "Connection", "close");
}

static enum MHD_Result queue_answer(struct visit *visit, struct MHD_Connection *connection,
                                    struct api_response *answer, bool last)
{
    struct MHD_Response *response = answer->stream ? stream_response(visit, answer)
                                                   : body_response(answer);
    enum MHD_Result queued;

    if (!response)
        return MHD_NO; /* out of memory: the connection closes */
    put_headers(response, answer, last);
    queued = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return queued;
}

/* --- requests --------------------------------------------------------------------------------- */

static const char *header_of(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

struct header_slot {
    const char *name;
    const char **slot;
};

/* One pass over the headers instead of a search for each. The first of several counts. */
static enum MHD_Result take_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    struct header_slot *slots = ctx;

    (void)kind;
    for (struct header_slot *at = slots; at->name; at++) {
        if (!*at->slot && strcasecmp(at->name, name) == 0) {
            *at->slot = value ? value : "";
            break;
        }
    }
    return MHD_YES;
}

/* Pointers into the connection's memory, good until the request is over. */
static void request_of(struct visit *visit, struct MHD_Connection *connection, const char *method,
                       struct api_request *out)
{
    struct header_slot slots[] = {{"Host", &out->host},
                                  {"Origin", &out->origin},
                                  {"Authorization", &out->authorization},
                                  {"Content-Type", &out->content_type},
                                  {"If-Match", &out->if_match},
                                  {"If-None-Match", &out->if_none_match},
                                  {"Last-Event-ID", &out->last_event_id},
                                  {"Idempotency-Key", &out->idempotency_key},
                                  {"traceparent", &out->traceparent},
                                  {NULL, NULL}};

    *out = (struct api_request){
        .method = method,
        .target = visit->target,
        .transport = visit->door->transport,
        .peer_known = visit->conn && visit->conn->known,
        .peer_uid = visit->conn ? visit->conn->uid : (uid_t)-1,
        .gone = visit->conn ? &visit->conn->gone : NULL,
        .body = hm_buf_slice(&visit->body),
    };
    (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, take_header, slots);
}

static enum MHD_Result count_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    unsigned *count = ctx;

    (void)kind;
    (void)name;
    (void)value;
    (*count)++;
    return MHD_YES;
}

/* False: *answer is the refusal. What does not even fit the connection's memory the library
 * refuses by itself, with the same status. */
static bool head_is_small(struct MHD_Connection *connection, struct api_response *answer)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    unsigned count = 0;
    char sentence[96];

    (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, count_header, &count);
    if (count <= API_HEADERS_MAX && info && info->header_size <= API_HEADER_MAX_BYTES)
        return true;
    (void)snprintf(sentence, sizeof(sentence),
                   "a request has at most %d headers of %d bytes together", API_HEADERS_MAX,
                   API_HEADER_MAX_BYTES);
    api_core_refuse(answer, 431, HM_ELIMIT, sentence, NULL);
    return false;
}

/* Requests that say how much will come are refused before it comes. */
static enum MHD_Result request_begin(struct visit *visit, struct MHD_Connection *connection,
                                     const char *method)
{
    const char *announced = header_of(connection, "Content-Length");
    struct api_response answer = {0};
    enum MHD_Result queued = MHD_YES;
    uint64_t length = 0;

    visit->begun = true;
    api_conn_enter(visit->conn, API_PHASE_BODY);
    visit->started_ns = hm_mono_ns(visit->server->core.clock);
    if (announced && hm_u64_parse(announced, &length, NULL))
        length = UINT64_MAX;
    if (!head_is_small(connection, &answer)) {
        queued = queue_answer(visit, connection, &answer, true);
        api_response_release(&answer);
        return queued;
    }
    if (length == 0 && !header_of(connection, "Transfer-Encoding"))
        return MHD_YES;
    request_of(visit, connection, method, &visit->request);
    if (!api_core_admit(&visit->server->core, &visit->request, length, &answer))
        queued = queue_answer(visit, connection, &answer, true);
    api_response_release(&answer);
    return queued;
}

static enum MHD_Result request_receive(struct visit *visit, const char *data, size_t *size)
{
    visit->received += *size;
    if (visit->received > DISCARD_MAX_BYTES)
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

/* More connections than there should be, of all or of this peer: only what watches the node is answered, and they close. */
static bool door_is_full(const struct visit *visit)
{
    unsigned max = visit->server->connections_max;

    return atomic_load(&visit->door->connections) > max ||
           (visit->conn &&
            atomic_load(&visit->conn->peer->connections) > max - max / API_PEER_SPARE);
}

static bool watches_the_node(const char *target)
{
    return strcmp(target, "/livez") == 0 || strcmp(target, "/readyz") == 0;
}

/* What is refused whatever is asked for. False: *answer is the refusal. */
static bool may_enter(struct visit *visit, struct api_response *answer)
{
    struct api_server *server = visit->server;
    uint64_t caller = (uint64_t)visit->door->transport << 32 |
                      (visit->conn && visit->conn->known ? visit->conn->uid : 0);

    if (visit->received > API_BODY_MAX_BYTES)
        refuse(server, 413, HM_ELIMIT, "the body is longer than 2 MiB", answer);
    else if (door_is_full(visit) && !watches_the_node(visit->target))
        refuse(server, 503, HM_EBUSY,
               "too many connections are open; close some, or ask again later", answer);
    else if (atomic_load(&server->core.closing))
        refuse(server, 503, HM_EBUSY, "the node is stopping", answer);
    else if (!watches_the_node(visit->target) &&
             !api_rate_take(&server->rate, caller, visit->started_ns))
        refuse(server, 429, HM_ELIMIT, "too many requests; ask again in a second", answer);
    else
        return true;
    return false;
}
_Static_assert(API_BODY_MAX_BYTES == (size_t)2 << 20, "may_enter says how much");

/* On a thread of the pool. The connection sleeps: the visit is ours until it is resumed. */
static void visit_work(struct api_work *work)
{
    struct visit *visit = (struct visit *)(void *)work;

    api_core_handle(&visit->server->core, &visit->request, &visit->answer);
    MHD_resume_connection(visit->connection);
}

/* True when the pool has it, and the connection sleeps. */
static bool hand_to_pool(struct visit *visit)
{
    visit->away = true;
    visit->work.run = visit_work;
    MHD_suspend_connection(visit->connection);
    if (api_pool_put(visit->server->pool, &visit->work) == 0)
        return true;
    visit->away = false;
    refuse(visit->server, 503, HM_EBUSY, "the node has too many requests under way; ask again",
           &visit->answer);
    visit->away = true; /* the answer is there, and the connection comes back for it */
    MHD_resume_connection(visit->connection);
    return true;
}

static enum MHD_Result send_answer(struct visit *visit)
{
    bool last = atomic_load(&visit->server->core.closing) || door_is_full(visit);
    enum MHD_Result queued;

    api_conn_enter(visit->conn, API_PHASE_SEND);
    queued = queue_answer(visit, visit->connection, &visit->answer, last);
    api_response_release(&visit->answer);
    return queued;
}

static enum MHD_Result request_finish(struct visit *visit, struct MHD_Connection *connection,
                                      const char *method)
{
    struct api_server *server = visit->server;

    if (visit->away) { /* resumed: the answer is there */
        visit->away = false;
        return send_answer(visit);
    }
    visit->busy = true;
    api_conn_enter(visit->conn, API_PHASE_WORK);
    atomic_fetch_add(&server->busy, 1);
    request_of(visit, connection, method, &visit->request);
    if (!may_enter(visit, &visit->answer))
        return send_answer(visit);
    if (!api_core_is_quick(&visit->request)) {
        (void)hand_to_pool(visit);
        return MHD_YES;
    }
    api_core_handle(&server->core, &visit->request, &visit->answer);
    return send_answer(visit);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **context)
{
    struct visit *visit = *context;

    (void)ctx;
    (void)url;
    (void)version;
    if (!visit || !visit->target || !visit->conn)
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

    if (!visit)
        return NULL;
    visit->door = ctx;
    visit->server = visit->door->server;
    visit->connection = connection;
    visit->conn = conn_of(connection);
    visit->target = hm_strdup(target);
    api_conn_enter(visit->conn, API_PHASE_HEADER);
    return visit;
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode how)
{
    struct visit *visit = *context;

    (void)ctx;
    (void)connection;
    (void)how;
    if (!visit)
        return;
    api_conn_enter(visit->conn, API_PHASE_IDLE);
    if (visit->busy)
        atomic_fetch_sub(&visit->server->busy, 1);
    api_response_release(&visit->answer);
    hm_buf_release(&visit->body);
    hm_free(visit->target);
    hm_free(visit);
    *context = NULL;
}

/* --- start and stop --------------------------------------------------------------------------- */

static unsigned door_threads(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    return processors < 1                        ? 1
           : processors > (long)DOOR_THREADS_MAX ? DOOR_THREADS_MAX
                                                 : (unsigned)processors;
}

/* Whether one more may come in; those past the limit but within the spare are told so. */
static bool door_has_room(void *ctx)
{
    struct door *door = ctx;
    struct api_server *server = door->server;
    unsigned foreign = atomic_load(&server->tcp_door.connections) +
                       atomic_load(&server->kv_door.connections);
    bool room = atomic_load(&door->connections) < server->connections_max + CONNECTION_SPARE &&
                atomic_load(&server->core.metrics.connections) < server->all_max;

    if (door->transport != API_TRANSPORT_UNIX && foreign >= server->foreign_max)
        room = false;
    if (!room)
        atomic_fetch_add(&server->core.metrics.refused_connections, 1);
    return room;
}

/* fd is the porter's from here on. */
static bool door_open(struct api_server *server, struct door *door, enum api_transport transport,
                      int fd)
{
    const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
                           MHD_USE_NO_LISTEN_SOCKET;
    unsigned threads = door_threads();
    /* The library gives each thread its part of the limit; connections don't come evenly. */
    unsigned limit = (server->connections_max + 2 * CONNECTION_SPARE) * threads;

    door->server = server;
    door->transport = transport;
    api_porter_add(&server->porter,
                   &(struct api_porter_door){.fd = fd, .has_room = door_has_room, .ctx = door});
    door->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, door, MHD_OPTION_CONNECTION_LIMIT, limit,
        MHD_OPTION_CONNECTION_TIMEOUT, 0u, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        CONNECTION_MEMORY_BYTES,
        threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_CONNECTION_TIMEOUT,
        threads > 1 ? threads : 0u, MHD_OPTION_URI_LOG_CALLBACK, on_target, door,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, door, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, door, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    server->porter.doors[server->porter.count - 1].daemon = door->daemon;
    return door->daemon != NULL;
}

/* Descriptors bound how many connections there can be: as many as the system lets this process
 * have, less what files and jobs need. The unix socket keeps a quarter from the others. */
static void bound_connections(struct api_server *server, unsigned wanted)
{
    struct rlimit limit;
    unsigned possible = UINT_MAX / 4;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        if (limit.rlim_cur < limit.rlim_max) {
            const struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};

            if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
                limit = raised;
        }
        if (limit.rlim_cur < possible)
            possible = limit.rlim_cur > 2 * DESCRIPTORS_SPARE
                           ? (unsigned)limit.rlim_cur - DESCRIPTORS_SPARE
                           : (unsigned)limit.rlim_cur / 2;
    }
    server->all_max = possible;
    server->foreign_max = possible - possible / 4;
    server->connections_max = wanted < possible ? wanted : possible;
    if (server->connections_max < wanted)
        hm_log(HM_LOG_WARN, "api",
               "at most %u connections instead of %u: this process may have no more descriptors "
               "(ulimit -n, LimitNOFILE=)",
               server->connections_max, wanted);
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

/* Without a token: for programs written for etcd. */
static int open_kv(struct api_server *server, const struct api_options *options,
                   struct hm_error *error)
{
    int fd = -1;
    int rc = api_listen_tcp(options->kv_listen, &fd, server->kv_bound, error);

    if (rc)
        return rc;
    return door_open(server, &server->kv_door, API_TRANSPORT_KV, fd)
               ? 0
               : hm_fail(error, HM_EBUSY, "cannot start serving %s: no threads or memory",
                         server->kv_bound);
}

int api_server_open(const struct api_options *options, struct api_server **out,
                    struct hm_error *error)
{
    struct api_server *server = hm_calloc(1, sizeof(*server));
    int rc;

    if (!server)
        return hm_fail(error, HM_ENOMEM, "out of memory");
    bound_connections(server, options->connections ? options->connections : API_CONNECTIONS_MAX);
    api_rate_init(&server->rate, options->rate_per_s);
    rc = api_core_init(&server->core, options->backend, options->clock, error);
    if (rc == 0 && options->kv_account)
        server->core.kv_account = options->kv_account;
    if (rc == 0)
        rc = api_care_open(&server->care, &server->core.closing,
                           &server->core.metrics.cut_connections, error);
    if (rc == 0)
        rc = api_pool_open(0, 0, 0, &server->pool, error);
    if (rc == 0 && options->kv_listen && options->kv_listen[0] != '\0')
        rc = open_kv(server, options, error);
    if (rc == 0 && options->listen && options->listen[0] != '\0')
        rc = open_tcp(server, options, error);
    if (rc == 0)
        rc = open_unix(server, options->socket_path, error);
    if (rc == 0)
        rc = api_porter_open(&server->porter, error);
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

const char *api_server_kv_listen(const struct api_server *server)
{
    return server->kv_bound;
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

    struct door *doors[] = {&server->tcp_door, &server->kv_door, &server->unix_door};

    remove_socket(server);
    api_porter_close(&server->porter);
    atomic_store(&server->core.closing, true);
    if (server->care.running)
        api_care_wake_all(&server->care);
    wait_for_requests(server);
    /* No connection may sleep when the library stops: acts end, then streams. */
    api_pool_close(server->pool);
    if (server->care.running)
        api_care_wake_all(&server->care);
    for (size_t i = 0; i < HM_COUNT_OF(doors); i++)
        if (doors[i]->daemon)
            MHD_stop_daemon(doors[i]->daemon);
    api_care_close(&server->care);
    hm_free(server->socket_path);
    api_core_release(&server->core);
    api_rate_release(&server->rate);
    hm_free(server);
}
