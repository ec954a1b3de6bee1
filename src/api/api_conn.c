#include "api_conn.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

static uint64_t now_ns(void)
{
    return hm_mono_ns(hm_clock_system());
}

/* --- the thread that looks after them ---------------------------------------------------------- */

bool api_conn_is_gone(const struct api_conn *conn)
{
    struct pollfd poller = {.fd = conn->fd, .events = POLLRDHUP};

    return conn->fd < 0 ||
           (poll(&poller, 1, 0) > 0 && (poller.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0);
}

/* The library closes it when it sees the end of it. */
static void cut(struct api_care *care, struct api_conn *conn, bool slow)
{
    (void)shutdown(conn->fd, SHUT_RDWR);
    atomic_store(&conn->deadline_ns, 0);
    conn->trickle_ns = 0;
    if (slow && care->cut)
        atomic_fetch_add(care->cut, 1);
}

/* Bytes that the system has received for the connection; 0 where it does not say. */
static uint64_t received_of(const struct api_conn *conn)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    if (!conn->tcp || getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
        len < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(info.tcpi_bytes_received))
        return 0;
    return info.tcpi_bytes_received;
}

/* The library says nothing before the whole request line is there; whether one has begun shows in
 * the system's count of bytes (of TCP only: others have the idle time for their request line). */
static bool trickles(struct api_conn *conn, uint64_t now)
{
    unsigned changes = atomic_load_explicit(&conn->changes, memory_order_relaxed);
    uint64_t bytes = received_of(conn);

    if (conn->idle_changes != changes || bytes == 0) {
        conn->idle_changes = changes;
        conn->idle_bytes = bytes;
        conn->trickle_ns = 0;
    } else if (conn->trickle_ns == 0) {
        conn->trickle_ns = bytes > conn->idle_bytes ? now : 0;
    } else {
        return now - conn->trickle_ns >= API_HEADER_TIMEOUT_S * NS_PER_S;
    }
    return false;
}

static void look_at(struct api_care *care, struct api_conn *conn, uint64_t now, bool closely)
{
    uint64_t deadline = atomic_load_explicit(&conn->deadline_ns, memory_order_relaxed);
    int phase = atomic_load_explicit(&conn->phase, memory_order_relaxed);

    if (deadline != 0 && now > deadline)
        cut(care, conn, phase != API_PHASE_IDLE);
    else if (closely && phase == API_PHASE_IDLE && trickles(conn, now))
        cut(care, conn, true);
    if (conn->pump)
        api_pump_look(conn->pump, now, closely);
    else if (closely && phase == API_PHASE_WORK && api_conn_is_gone(conn))
        atomic_store_explicit(&conn->gone, true, memory_order_relaxed);
}

static void look_at_all(struct api_care *care, bool closely)
{
    uint64_t now = now_ns();

    for (struct api_conn *conn = care->conns; conn; conn = conn->next)
        look_at(care, conn, now, closely);
}

static void *care_run(void *ctx)
{
    struct api_care *care = ctx;
    uint64_t gone_ns = 0;

    (void)pthread_mutex_lock(&care->lock);
    while (!care->end) {
        struct timespec until;
        uint64_t now = now_ns();
        bool closely = now - gone_ns >= API_GONE_EVERY_MS * NS_PER_MS;

        if (closely)
            gone_ns = now;
        look_at_all(care, closely);
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += API_CARE_EVERY_MS * (long)NS_PER_MS;
        if (until.tv_nsec >= (long)NS_PER_S) {
            until.tv_nsec -= (long)NS_PER_S;
            until.tv_sec++;
        }
        (void)pthread_cond_timedwait(&care->ending, &care->lock, &until);
    }
    (void)pthread_mutex_unlock(&care->lock);
    return NULL;
}

void api_care_wake_all(struct api_care *care)
{
    (void)pthread_mutex_lock(&care->lock);
    for (struct api_conn *conn = care->conns; conn; conn = conn->next)
        if (conn->pump)
            api_pump_wake(conn->pump);
    (void)pthread_mutex_unlock(&care->lock);
}

int api_care_open(struct api_care *care, atomic_bool *closing, atomic_ullong *cut_count,
                  struct hm_error *error)
{
    pthread_condattr_t attributes;

    care->closing = closing;
    care->cut = cut_count;
    (void)pthread_mutex_init(&care->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&care->ending, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (pthread_create(&care->thread, NULL, care_run, care) != 0) {
        (void)pthread_cond_destroy(&care->ending);
        (void)pthread_mutex_destroy(&care->lock);
        return hm_fail(error, HM_EBUSY, "no thread to look after connections");
    }
    care->running = true;
    return 0;
}

void api_care_close(struct api_care *care)
{
    if (!care->running)
        return;
    (void)pthread_mutex_lock(&care->lock);
    care->end = true;
    (void)pthread_cond_signal(&care->ending);
    (void)pthread_mutex_unlock(&care->lock);
    (void)pthread_join(care->thread, NULL);
    (void)pthread_cond_destroy(&care->ending);
    (void)pthread_mutex_destroy(&care->lock);
    care->running = false;
}

/* --- connections ------------------------------------------------------------------------------- */

/* What tells peers of one door apart: the uid, or the address. */
static void peer_name(const struct api_conn *conn, uint8_t name[16])
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
        struct sockaddr_storage room;
    } address = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t len = sizeof(address);

    memset(name, 0, 16);
    if (conn->known) {
        hm_put_be64(name, conn->uid);
    } else if (getpeername(conn->fd, &address.any, &len) == 0) {
        if (address.any.sa_family == AF_INET)
            memcpy(name, &address.four.sin_addr, 4);
        else if (address.any.sa_family == AF_INET6)
            memcpy(name, &address.six.sin6_addr, 16);
    }
}

static struct api_peer **peer_place(struct api_care *care, enum api_transport transport,
                                    const uint8_t name[16])
{
    unsigned hash = (unsigned)transport;
    struct api_peer **at;

    for (unsigned i = 0; i < 16; i++)
        hash = hash * 31 + name[i];
    at = &care->peers[hash % API_PEER_PLACES];
    while (*at && ((*at)->transport != transport || memcmp((*at)->name, name, 16) != 0))
        at = &(*at)->next;
    return at;
}

/* Under the lock. */
static bool peer_join(struct api_care *care, enum api_transport transport, struct api_conn *conn)
{
    struct api_peer **at;
    uint8_t name[16];

    peer_name(conn, name);
    at = peer_place(care, transport, name);
    if (!*at) {
        *at = hm_calloc(1, sizeof(**at));
        if (!*at)
            return false;
        (*at)->transport = transport;
        memcpy((*at)->name, name, 16);
    }
    conn->peer = *at;
    atomic_fetch_add(&conn->peer->connections, 1);
    return true;
}

/* Under the lock. */
static void peer_leave(struct api_care *care, struct api_peer *peer)
{
    struct api_peer **at;

    if (atomic_fetch_sub(&peer->connections, 1) > 1)
        return;
    at = peer_place(care, peer->transport, peer->name);
    *at = peer->next;
    hm_free(peer);
}

static void who_is_it(struct api_conn *conn, enum api_transport transport)
{
    struct ucred credentials;
    socklen_t len = sizeof(credentials);

    conn->tcp = transport != API_TRANSPORT_UNIX;
    if (!conn->tcp && conn->fd >= 0 &&
        getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) == 0 &&
        len == sizeof(credentials)) {
        conn->known = true;
        conn->uid = credentials.uid;
    }
}

struct api_conn *api_conn_open(struct api_care *care, struct api_loop *loop,
                               enum api_transport transport, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct api_conn *conn = hm_calloc(1, sizeof(*conn));
    bool joined;

    if (!conn)
        return NULL;
    conn->connection = connection;
    conn->loop = loop;
    conn->fd = info ? info->connect_fd : -1;
    who_is_it(conn, transport);
    api_conn_enter(conn, API_PHASE_IDLE);
    (void)pthread_mutex_lock(&care->lock);
    joined = peer_join(care, transport, conn);
    if (joined) {
        conn->next = care->conns;
        conn->self = &care->conns;
        if (conn->next)
            conn->next->self = &conn->next;
        care->conns = conn;
    }
    (void)pthread_mutex_unlock(&care->lock);
    if (!joined)
        hm_free(conn);
    return joined ? conn : NULL;
}

void api_conn_close(struct api_care *care, struct api_conn *conn)
{
    if (!conn)
        return;
    (void)pthread_mutex_lock(&care->lock);
    *conn->self = conn->next;
    if (conn->next)
        conn->next->self = conn->self;
    peer_leave(care, conn->peer);
    (void)pthread_mutex_unlock(&care->lock);
    hm_free(conn);
}

void api_conn_enter(struct api_conn *conn, enum api_phase phase)
{
    static const uint64_t seconds[] = {[API_PHASE_IDLE] = API_IDLE_TIMEOUT_S,
                                       [API_PHASE_HEADER] = API_HEADER_TIMEOUT_S,
                                       [API_PHASE_BODY] = API_BODY_TIMEOUT_S,
                                       [API_PHASE_WORK] = 0,
                                       [API_PHASE_SEND] = API_SEND_TIMEOUT_S};

    if (!conn)
        return;
    atomic_store_explicit(&conn->phase, (int)phase, memory_order_relaxed);
    atomic_fetch_add_explicit(&conn->changes, 1, memory_order_relaxed);
    atomic_store_explicit(&conn->deadline_ns,
                          seconds[phase] ? now_ns() + seconds[phase] * NS_PER_S : 0,
                          memory_order_relaxed);
}
