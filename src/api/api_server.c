/* Sockets to api_core, through libmicrohttpd. A few threads (api_loop.c) poll all connections; what only reads a snapshot
 * they answer themselves, what waits (an act until it is durable) goes to a pool meanwhile, so that many can
 * wait at once and the engine can put them into one block. */
#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api_server.h"

#define CONNECTION_MEMORY_BYTES \
    ((size_t)16 << 10) /* request line and headers, and the read buffer */
#define DESCRIPTORS_SPARE 1024u /* kept from connections: files, jobs, the store */
#define CLOSE_GRACE_NS    UINT64_C(10000000000)
#define CLOSE_POLL_NS     2000000

static unsigned loops_wanted(unsigned wanted)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    if (wanted == 0)
        wanted = processors < 1 ? 1 : (unsigned)processors;
    return wanted < API_LOOPS_MAX ? wanted : API_LOOPS_MAX;
}

/* Whether one more may come in; those past the limit but within the spare are told so. */
static bool door_has_room(void *ctx)
{
    struct api_door *door = ctx;
    struct api_server *server = door->server;
    unsigned foreign = atomic_load(&server->tcp_door.connections) +
                       atomic_load(&server->kv_door.connections);
    bool room = atomic_load(&door->connections) < server->connections_max + API_CONNECTION_SPARE &&
                atomic_load(&server->core.metrics.connections) < server->all_max;

    if (door->transport != API_TRANSPORT_UNIX && foreign >= server->foreign_max)
        room = false;
    if (!room)
        atomic_fetch_add(&server->core.metrics.refused_connections, 1);
    return room;
}

/* To the loop that has the fewest. */
static void door_take(void *ctx, int fd, const struct sockaddr *address, socklen_t len)
{
    struct api_door *door = ctx;
    struct api_loop *best = &door->loops[0];

    for (unsigned i = 1; i < door->loop_count; i++)
        if (atomic_load(&door->loops[i].connections) < atomic_load(&best->connections))
            best = &door->loops[i];
    api_loop_take(best, fd, address, len);
}

static int loop_open(struct api_door *door, struct api_loop *loop, struct hm_error *error)
{
    const unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET;
    struct MHD_Daemon *daemon;

    loop->door = door;
    daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, api_visit_on_request, loop, MHD_OPTION_CONNECTION_LIMIT,
        door->server->connections_max + 2 * API_CONNECTION_SPARE, MHD_OPTION_CONNECTION_TIMEOUT, 0u,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY_BYTES, MHD_OPTION_URI_LOG_CALLBACK,
        api_visit_on_target, loop, MHD_OPTION_NOTIFY_COMPLETED, api_visit_on_completed, loop,
        MHD_OPTION_NOTIFY_CONNECTION, api_visit_on_connection, loop, MHD_OPTION_STRICT_FOR_CLIENT,
        1, MHD_OPTION_END);
    if (!daemon)
        return hm_fail(error, HM_EBUSY, "no descriptor or memory to serve connections");
    return api_loop_open(loop, daemon, error);
}

/* fd is the porter's from here on. */
static int door_open(struct api_server *server, struct api_door *door, enum api_transport transport,
                     int fd, struct hm_error *error)
{
    int rc = 0;

    door->server = server;
    door->transport = transport;
    api_porter_add(&server->porter,
                   &(struct api_porter_door){
                       .fd = fd, .has_room = door_has_room, .take = door_take, .ctx = door});
    while (rc == 0 && door->loop_count < server->loops) {
        rc = loop_open(door, &door->loops[door->loop_count], error);
        door->loop_count++;
    }
    return rc;
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
    return door_open(server, &server->unix_door, API_TRANSPORT_UNIX, fd, error);
}

static int open_tcp(struct api_server *server, const struct api_options *options,
                    struct hm_error *error)
{
    int fd = -1;
    server->core.open_proofs = options->open_proofs;
    int rc = api_token_open(options->token_path, options->random, server->core.token, error);

    if (rc == 0)
        rc = api_listen_tcp(options->listen, &fd, server->bound, error);
    if (rc)
        return rc;
    return door_open(server, &server->tcp_door, API_TRANSPORT_TCP, fd, error);
}

/* Without a token: for programs written for etcd. */
static int open_kv(struct api_server *server, const struct api_options *options,
                   struct hm_error *error)
{
    int fd = -1;
    int rc = api_listen_tcp(options->kv_listen, &fd, server->kv_bound, error);

    if (rc)
        return rc;
    return door_open(server, &server->kv_door, API_TRANSPORT_KV, fd, error);
}

int api_server_open(const struct api_options *options, struct api_server **out,
                    struct hm_error *error)
{
    struct api_server *server = hm_calloc(1, sizeof(*server));
    int rc;

    if (!server)
        return hm_fail(error, HM_ENOMEM, "out of memory");
    bound_connections(server, options->connections ? options->connections : API_CONNECTIONS_MAX);
    server->loops = loops_wanted(options->threads);
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

/* Acts that have begun end by themselves. */
static void wait_for_acts(struct api_server *server)
{
    const struct timespec nap = {.tv_nsec = CLOSE_POLL_NS};

    while (atomic_load(&server->later) > 0)
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

    struct api_door *doors[] = {&server->tcp_door, &server->kv_door, &server->unix_door};

    remove_socket(server);
    api_porter_close(&server->porter);
    atomic_store(&server->core.closing, true);
    if (server->care.running)
        api_care_wake_all(&server->care);
    wait_for_requests(server);
    /* No connection may sleep when the library stops: acts end, then streams. */
    wait_for_acts(server);
    api_pool_close(server->pool);
    if (server->care.running)
        api_care_wake_all(&server->care);
    for (size_t i = 0; i < HM_COUNT_OF(doors); i++)
        for (unsigned k = 0; k < doors[i]->loop_count; k++)
            api_loop_close(&doors[i]->loops[k]);
    api_care_close(&server->care);
    hm_free(server->socket_path);
    api_core_release(&server->core);
    api_rate_release(&server->rate);
    hm_free(server);
}
