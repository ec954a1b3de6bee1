/* State sync of a node that joined with a ticket: its engine's light client asks this socket as it would ask an RPC server of the
 * cluster, and the member that issued the ticket answers, through its door. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "join_private.h"

#define TUNNEL_CLIENTS_MAX 8 /* connections of the engine's client */
#define TUNNEL_ASK_MS      15000
#define TUNNEL_WRITE_S     10
#define TUNNEL_PAUSE_MS    100 /* when the process has no descriptor left */

struct tunnel_client {
    int fd; /* -1: free */
    struct hm_buf in;
};

struct join_tunnel {
    struct join_knock *knock;
    pthread_t thread;
    bool running;
    int listen_fd, quit_fd;
    char *path;
    struct tunnel_client clients[TUNNEL_CLIENTS_MAX];
};

/* --- one request -------------------------------------------------------------------------------------------- */

static int tunnel_write(int fd, struct hm_slice body, unsigned status)
{
    HM_CLEANUP(hm_buf) struct hm_buf answer = {0};

    if (hm_buf_printf(
            &answer,
            "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
            status, status == 200 ? "OK" : "Not served", body.len) != 0 ||
        hm_buf_append(&answer, body.data, body.len) != 0)
        return HM_ENOMEM;
    return hm_write_all(fd, answer.data, answer.len, NULL);
}

static int tunnel_ask(struct join_tunnel *tunnel, Hypermesh__Cluster__EngineRead *read,
                      struct hm_arena *arena, struct hm_slice *out, struct hm_error *error)
{
    Hypermesh__Cluster__JoinRequest request = HYPERMESH__CLUSTER__JOIN_REQUEST__INIT;
    Hypermesh__Cluster__JoinAnswer *answer;
    int rc;

    request.request_case = HYPERMESH__CLUSTER__JOIN_REQUEST__REQUEST_READ;
    request.read = read;
    rc = join_knock_ask(tunnel->knock, &request, TUNNEL_ASK_MS, arena, &answer, error);
    if (rc == 0 && answer->answer_case != HYPERMESH__CLUSTER__JOIN_ANSWER__ANSWER_READ)
        rc = hm_fail(error, HM_EIO, "the member answers what was not asked");
    if (rc == 0)
        *out = wire_slice(answer->read);
    return rc;
}

/* Every request has an answer; one that cannot be had says why in the log. */
static int tunnel_serve(struct join_tunnel *tunnel, int fd, struct hm_slice body)
{
    Hypermesh__Cluster__EngineRead read = HYPERMESH__CLUSTER__ENGINE_READ__INIT;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct hm_slice answer = {0};
    struct hm_error error = {0};

    hm_arena_init(&arena, 0);
    int rc = join_tunnel_read_parse(body, &read, &error);
    if (rc == 0)
        rc = tunnel_ask(tunnel, &read, &arena, &answer, &error);
    if (rc == 0)
        return tunnel_write(fd, answer, 200);
    hm_log(HM_LOG_WARN, "tunnel", "%s", error.text);
    return tunnel_write(fd, hm_slice_str(error.text), 502);
}

static void client_drop(struct tunnel_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    hm_buf_release(&client->in);
}

/* Answers what is whole. False: the connection is over. */
static bool client_requests(struct join_tunnel *tunnel, struct tunnel_client *client)
{
    struct hm_error error = {0};
    struct hm_slice body;
    size_t whole = 0;
    bool keep = true;
    int rc;

    while ((rc = join_tunnel_request_parse(hm_buf_slice(&client->in), &body, &whole, &keep,
                                           &error)) == 1) {
        if (tunnel_serve(tunnel, client->fd, body) != 0 || !keep)
            return false;
        memmove(client->in.data, client->in.data + whole, client->in.len - whole);
        client->in.len -= whole;
    }
    return rc == 0;
}

static bool client_turn(struct join_tunnel *tunnel, struct tunnel_client *client)
{
    uint8_t bytes[4096];
    ssize_t got = read(client->fd, bytes, sizeof(bytes));

    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    return got > 0 && hm_buf_append(&client->in, bytes, (size_t)got) == 0 &&
           client_requests(tunnel, client);
}

/* --- connections -------------------------------------------------------------------------------------------- */

/* False: the process has no room for another descriptor, and the connection waits. */
static bool tunnel_accept(struct join_tunnel *tunnel)
{
    const struct timeval patience = {.tv_sec = TUNNEL_WRITE_S};
    int fd = accept4(tunnel->listen_fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    for (size_t i = 0; i < TUNNEL_CLIENTS_MAX; i++)
        if (tunnel->clients[i].fd < 0) {
            tunnel->clients[i].fd = fd;
            return true;
        }
    close(fd);
    return true;
}

static void *tunnel_main(void *arg)
{
    struct join_tunnel *tunnel = arg;
    struct pollfd fds[2 + TUNNEL_CLIENTS_MAX];
    bool pause = false;

    for (;;) {
        fds[0] = (struct pollfd){.fd = tunnel->quit_fd, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = pause ? -1 : tunnel->listen_fd, .events = POLLIN};
        for (size_t i = 0; i < TUNNEL_CLIENTS_MAX; i++)
            fds[2 + i] = (struct pollfd){.fd = tunnel->clients[i].fd, .events = POLLIN};
        if (poll(fds, HM_COUNT_OF(fds), pause ? TUNNEL_PAUSE_MS : -1) < 0)
            continue;
        if (fds[0].revents != 0)
            return NULL;
        for (size_t i = 0; i < TUNNEL_CLIENTS_MAX; i++)
            if (fds[2 + i].revents != 0 && !client_turn(tunnel, &tunnel->clients[i]))
                client_drop(&tunnel->clients[i]);
        pause = fds[1].revents != 0 && !tunnel_accept(tunnel);
    }
}

/* --- life --------------------------------------------------------------------------------------------------- */

static int tunnel_listen(struct join_tunnel *tunnel, struct hm_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(tunnel->path);

    if (len >= sizeof(address.sun_path))
        return hm_fail(error, HM_ELIMIT,
                       "%s is too long for a unix socket: give a data folder with a shorter path",
                       tunnel->path);
    memcpy(address.sun_path, tunnel->path, len + 1);
    (void)unlink(tunnel->path); /* what a killed node left */
    tunnel->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (tunnel->listen_fd < 0 ||
        bind(tunnel->listen_fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        chmod(tunnel->path, 0600) != 0 || listen(tunnel->listen_fd, TUNNEL_CLIENTS_MAX) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot listen at %s", tunnel->path);
    return 0;
}

static int tunnel_no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for the tunnel");
}

/* HM_ENOTFOUND: nobody, or not any more. */
static int tunnel_member(const char *data_dir, uint64_t now_ms, struct hm_arena *arena,
                         Hypermesh__Cluster__JoinMember **out, struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/" JOIN_TUNNEL_FILE, data_dir);
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    Hypermesh__Cluster__JoinMember *member;
    int rc = path == NULL ? tunnel_no_memory(error)
                          : hm_file_read(path, JOIN_TUNNEL_FILE_MAX_BYTES, &bytes, error);

    if (rc == 0)
        rc = WIRE_UNPACK(hypermesh__cluster__join_member, hm_buf_slice(&bytes),
                         JOIN_TUNNEL_FILE_MAX_BYTES, arena, &member, error);
    if (rc == 0 && (member->key.len != CRYPTO_ED25519_PUBLIC_BYTES || member->n_addresses == 0 ||
                    member->n_addresses > JOIN_TICKET_ADDRESSES_MAX))
        rc = hm_fail(error, HM_ECORRUPT, "%s is damaged", path);
    if (rc == 0 && now_ms >= member->until_ms)
        rc = HM_ENOTFOUND;
    if (rc == 0)
        *out = member;
    return rc;
}

static int tunnel_knock(struct join_tunnel *tunnel, const char *data_dir,
                        const Hypermesh__Cluster__JoinMember *member, struct hm_error *error)
{
    HM_AUTOFREE char *keys_dir = hm_asprintf("%s/" JOIN_KEYS_DIR, data_dir);
    struct sockaddr_in6 addresses[JOIN_TICKET_ADDRESSES_MAX];
    struct crypto_ed25519_key key;
    int rc = keys_dir == NULL ? tunnel_no_memory(error) : 0;

    for (size_t i = 0; rc == 0 && i < member->n_addresses; i++)
        rc = join_ticket_sockaddr(member->addresses[i], &addresses[i], error);
    if (rc == 0)
        rc = engine_key_load(keys_dir, ENGINE_NODE_KEY_NAME, &key, error);
    if (rc != 0)
        return rc;
    rc = join_knock_open(&key, member->key.data, addresses, member->n_addresses, &tunnel->knock,
                         error);
    crypto_ed25519_wipe(&key);
    return rc;
}

static int tunnel_start(struct join_tunnel *tunnel, struct hm_error *error)
{
    tunnel->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (tunnel->quit_fd < 0)
        return hm_fail_errno(error, HM_EIO, "no descriptor for the tunnel");
    int rc = tunnel_listen(tunnel, error);
    if (rc == 0 && pthread_create(&tunnel->thread, NULL, tunnel_main, tunnel) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no thread for the tunnel");
    tunnel->running = rc == 0;
    return rc;
}

int join_tunnel_open(const char *data_dir, const struct hm_clock *clock, struct join_tunnel **out,
                     struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Cluster__JoinMember *member;
    struct join_tunnel *tunnel;

    hm_arena_init(&arena, 0);
    int rc = tunnel_member(data_dir, hm_wall_ms(clock), &arena, &member, error);
    if (rc == HM_ENOTFOUND)
        *out = NULL;
    if (rc != 0)
        return rc == HM_ENOTFOUND ? 0 : rc;
    tunnel = hm_calloc(1, sizeof(*tunnel));
    if (tunnel == NULL)
        return tunnel_no_memory(error);
    tunnel->listen_fd = tunnel->quit_fd = -1;
    for (size_t i = 0; i < TUNNEL_CLIENTS_MAX; i++)
        tunnel->clients[i].fd = -1;
    tunnel->path = hm_asprintf("%s/" JOIN_TUNNEL_SOCKET, data_dir);
    rc = tunnel->path == NULL ? tunnel_no_memory(error)
                              : tunnel_knock(tunnel, data_dir, member, error);
    if (rc == 0)
        rc = tunnel_start(tunnel, error);
    if (rc != 0)
        join_tunnel_close(tunnel);
    else
        *out = tunnel;
    return rc;
}

void join_tunnel_close(struct join_tunnel *tunnel)
{
    const uint64_t one = 1;

    if (tunnel == NULL)
        return;
    if (tunnel->running) {
        join_knock_stop(tunnel->knock);
        (void)hm_write_all(tunnel->quit_fd, &one, sizeof(one), NULL);
        pthread_join(tunnel->thread, NULL);
    }
    for (size_t i = 0; i < TUNNEL_CLIENTS_MAX; i++)
        client_drop(&tunnel->clients[i]);
    if (tunnel->listen_fd >= 0)
        (void)unlink(tunnel->path);
    hm_fd_release(&tunnel->listen_fd);
    hm_fd_release(&tunnel->quit_fd);
    join_knock_close(tunnel->knock);
    hm_free(tunnel->path);
    hm_free(tunnel);
}
