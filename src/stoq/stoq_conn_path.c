/* Paths of a connection: how ngtcp2 sees them, changes of address on either side. */
#include "stoq_core.h"

#define LIVELY_NS       (6 * STOQ_NS_PER_S) /* longer than ngtcp2 probes a path that was left */
#define VALIDATING_NS   (3 * STOQ_NS_PER_S) /* a validation that takes longer has failed */
#define FULL_NS         (3 * STOQ_NS_PER_S)
#define LIVELY_EVERY_NS (250 * STOQ_NS_PER_MS)
/* A client that waits for credit says so from time to time (RFC 9000 section 4.1), so that a server hears where it is: it
 * could not give the credit to where a NAT had the client before. */
#define BLOCKED_EVERY_NS (3 * STOQ_NS_PER_S)

static bool same_path(const struct stoq_path *a, const struct stoq_path *b)
{
    return memcmp(&a->remote, &b->remote, sizeof(a->remote)) == 0 &&
           memcmp(&a->local, &b->local, sizeof(a->local)) == 0;
}

void stoq_conn_path(const struct stoq_path *path, ngtcp2_path *out)
{
    *out = (ngtcp2_path){
        .local = {.addr = (ngtcp2_sockaddr *)(uintptr_t)&path->local,
                  .addrlen = sizeof(path->local)},
        .remote = {.addr = (ngtcp2_sockaddr *)(uintptr_t)&path->remote,
                   .addrlen = sizeof(path->remote)},
    };
}

void stoq_conn_path_validating(struct stoq_conn *conn)
{
    conn->validating = true;
    conn->validating_ns = conn->endpoint->now_ns;
}

/* A server over ngtcp2 1.22 whose congestion window fills up before a new path is validated, as when the network is cut
 * just then, sends no further PATH_CHALLENGE, and at the limit against amplification no probe either, and has no timer
 * left that would change it. When the client is heard again from there, that is to be a new path once more, whose
 * window is new too. */
static void stale_see(struct stoq_conn *conn, const struct stoq_path *path, uint64_t now_ns)
{
    if (!conn->validating || now_ns < conn->validating_ns + VALIDATING_NS)
        return;
    conn->validating_ns = now_ns;
    conn->left = *path;
    conn->left_until_ns = now_ns + LIVELY_NS;
    conn->alias_stale = conn->alias_port != 0 && same_path(path, &conn->alias);
}

static void alias_make(struct stoq_conn *conn, const struct stoq_path *path)
{
    conn->alias = *path;
    conn->alias_stale = false;
    conn->alias_made = (uint16_t)(conn->alias_made % 1000 + 1);
    conn->alias_port = htons((uint16_t)(ntohs(path->local.sin6_port) + conn->alias_made));
    if (conn->alias_port == 0)
        conn->alias_port = htons(1);
}

/* Whether it is what ngtcp2 sends over. */
static bool path_used(const struct stoq_conn *conn, const struct stoq_path *shown)
{
    ngtcp2_path at;

    stoq_conn_path(shown, &at);
    return ngtcp2_path_eq(&at, ngtcp2_conn_get_path(conn->quic));
}

/* A client that a NAT has moved keeps the id it sends to, and ngtcp2 1.22 then keeps the one that it sends to: the same on
 * two paths. When the client migrates soon after, it retires that id for one of them, though it may come back to the
 * other; and a client that gets packets to an id that is retired in them has to close. So such a path is shown with
 * another port of ours than the path in use has, and gets an id of its own; where the peer has given none to spare, and
 * ngtcp2 does not follow, with the same. Whether path has an alias now. */
static bool moved_see(struct stoq_conn *conn, const struct stoq_path *path, const uint8_t *id)
{
    struct sockaddr_in6 local;

    if (id == NULL || !conn->handshake_done || memcmp(conn->heard_id, id, STOQ_CID_BYTES) != 0)
        return false;
    memcpy(&local, ngtcp2_conn_get_path(conn->quic)->local.addr, sizeof(local));
    bool plain = local.sin6_port == path->local.sin6_port;
    bool shared = same_path(path, &conn->moved_shared);

    conn->moved_tried = !shared;
    if (plain == shared)
        return false;
    if (plain) {
        alias_make(conn, path);
    } else {
        conn->alias = *path;
        conn->alias_port = local.sin6_port;
    }
    return true;
}

/* A server over ngtcp2 1.22 that has followed its client to a new path probes the old one for some three seconds more,
 * and takes what comes from there meanwhile as an answer to that: a client that is really back, as behind a NAT that
 * changes its mind, is not followed, and may wait until the connection idles out (mended in 1.25). So a packet from the
 * path that was just left is shown to ngtcp2 with another port of ours, which makes it a path that it does not know:
 * it is followed there, and that path validated as any other. Our true port is put back into what is sent. */
void stoq_conn_path_in(struct stoq_conn *conn, struct stoq_path *path, const uint8_t *id,
                       uint64_t now_ns)
{
    if (!conn->server)
        return;
    stale_see(conn, path, now_ns);
    bool back = now_ns < conn->left_until_ns && same_path(path, &conn->left);
    bool known = conn->alias_port != 0 && same_path(path, &conn->alias);

    conn->moved_tried = false;
    if (back && (!known || conn->alias_stale)) {
        alias_make(conn, path);
        known = true;
    } else if (!known && !path_used(conn, path)) {
        known = moved_see(conn, path, id);
    }
    if (known)
        path->local.sin6_port = conn->alias_port;
}

void stoq_conn_path_read(struct stoq_conn *conn, const struct stoq_path *path,
                         const struct stoq_path *shown, const uint8_t *id)
{
    if (!conn->server || id == NULL)
        return;
    if (path_used(conn, shown)) {
        memcpy(conn->heard_id, id, STOQ_CID_BYTES);
    } else if (conn->moved_tried) {
        conn->moved_shared = *path;
        if (same_path(path, &conn->alias))
            conn->alias_port = 0;
    }
}

void stoq_conn_path_from(const struct stoq_conn *conn, struct stoq_path *out,
                         const ngtcp2_path *path)
{
    in_port_t port = out->local.sin6_port;

    if (path->local.addrlen == sizeof(out->local))
        memcpy(&out->local, path->local.addr, sizeof(out->local));
    if (path->remote.addrlen == sizeof(out->remote))
        memcpy(&out->remote, path->remote.addr, sizeof(out->remote));
    if (conn->server) /* it has one socket, and so one port */
        out->local.sin6_port = port;
}

/* Tells of a new path once it is validated. */
void stoq_conn_path_settle(struct stoq_conn *conn)
{
    const struct stoq_handlers *handlers = &conn->endpoint->handlers;
    struct stoq_path path = conn->path;

    conn->path_told = false;
    stoq_conn_path_from(conn, &path, ngtcp2_conn_get_path(conn->quic));
    if (conn->validating || same_path(&path, &conn->path))
        return;
    if (conn->server) {
        conn->left = conn->path;
        conn->left_until_ns = conn->endpoint->now_ns + LIVELY_NS;
        conn->alias_stale = conn->alias_port != 0 && same_path(&conn->left, &conn->alias);
    }
    conn->moved_shared = (struct stoq_path){0};
    conn->path = path;
    conn->migrations++;
    stoq_count(conn->endpoint, STOQ_COUNT_PATH_CHANGES, 1);
    if (conn->announced && !conn->ending && handlers->path_changed != NULL)
        handlers->path_changed(handlers->ctx, conn);
}

void stoq_conn_keep_alive_set(struct stoq_conn *conn, uint64_t now_ns)
{
    uint64_t every_ns = conn->keep_alive_ns > 0 ? conn->keep_alive_ns : UINT64_MAX;

    if (now_ns >= conn->lively_until_ns)
        conn->lively_until_ns = 0;
    else if (every_ns > LIVELY_EVERY_NS)
        every_ns = LIVELY_EVERY_NS;
    if (conn->blocked_until_ns != 0 && every_ns > BLOCKED_EVERY_NS)
        every_ns = BLOCKED_EVERY_NS;
    ngtcp2_conn_set_keep_alive_timeout(conn->quic, every_ns);
}

/* A client does so after it has migrated (see stoq_conn_migrate), and after it was asked whether it is where its packets
 * come from: a NAT has moved it, and it may have nothing to say. Its answer is not repeated when it is lost, and a server
 * whose congestion window is full asks but once; it goes back to where nobody is, and comes again only to a packet. */
void stoq_conn_lively(struct stoq_conn *conn, uint64_t now_ns)
{
    conn->lively_until_ns = now_ns + LIVELY_NS;
    stoq_conn_keep_alive_set(conn, now_ns);
}

void stoq_conn_blocked(struct stoq_conn *conn, uint64_t now_ns)
{
    if (conn->server || conn->blocked_until_ns != 0)
        return;
    conn->blocked_until_ns = now_ns + BLOCKED_EVERY_NS;
    stoq_conn_keep_alive_set(conn, now_ns);
}

void stoq_conn_keep_alive_due(struct stoq_conn *conn, uint64_t now_ns)
{
    bool lively_over = conn->lively_until_ns != 0 && now_ns >= conn->lively_until_ns;
    bool blocked_over = conn->blocked_until_ns != 0 && now_ns >= conn->blocked_until_ns;

    if (blocked_over) { /* looked at again only now and then: it walks over all streams */
        conn->blocked_until_ns = 0;
        for (struct stoq_stream *stream = conn->streams; stream != NULL; stream = stream->after) {
            if (stream->out.sent < stream->out.end && !stream->out_over)
                conn->blocked_until_ns = now_ns + BLOCKED_EVERY_NS;
        }
    }
    if (lively_over || blocked_over)
        stoq_conn_keep_alive_set(conn, now_ns);
}

/* An answer to PATH_CHALLENGE is padded, counts against the congestion window and is not repeated, and ngtcp2 1.22 has no
 * timer for it: when a NAT has moved a client and its answers are lost until they fill the window, with nothing else on
 * its way, it could never send again. So a client that has answered, and whose window is full and stays as it is,
 * migrates to where it is, which begins a new window. */
uint64_t stoq_conn_full_due(struct stoq_conn *conn, uint64_t now_ns)
{
    ngtcp2_conn_info info;

    if (!conn->answered || ngtcp2_conn_get_cwnd_left(conn->quic) > 0) {
        conn->full_since_ns = 0;
        return STOQ_NEVER;
    }
    ngtcp2_conn_get_conn_info(conn->quic, &info);
    if (conn->full_since_ns == 0 || info.bytes_in_flight != conn->full_bytes) {
        conn->full_since_ns = now_ns;
        conn->full_bytes = info.bytes_in_flight;
    }
    return conn->full_since_ns + FULL_NS;
}

void stoq_conn_full_end(struct stoq_conn *conn, uint64_t now_ns)
{
    if (!conn->answered || stoq_conn_full_due(conn, now_ns) > now_ns)
        return;
    struct stoq_path path = conn->path;
    ngtcp2_path at;

    conn->full_since_ns = now_ns; /* if there is no id to spare, later */
    stoq_conn_path_from(conn, &path, ngtcp2_conn_get_path(conn->quic));
    stoq_conn_path(&path, &at);
    struct sockaddr_in6 other = path.local;
    other.sin6_port ^= htons(1);
    ngtcp2_addr from = {.addr = (ngtcp2_sockaddr *)&other, .addrlen = sizeof(other)};
    ngtcp2_conn_set_local_addr(conn->quic, &from); /* ngtcp2 migrates only to another address */
    if (ngtcp2_conn_initiate_immediate_migration(conn->quic, &at, now_ns) != 0) {
        ngtcp2_conn_set_local_addr(conn->quic, &at.local);
        return;
    }
    conn->answered = false;
    stoq_conn_lively(conn, now_ns);
}

/* --- other paths -------------------------------------------------------------------------------------------------- */

static int migrate_result(int rc, struct stoq_error *error)
{
    switch (rc) {
    case 0:
        return 0;
    case NGTCP2_ERR_CONN_ID_BLOCKED:
        return stoq_fail(error, STOQ_EBUSY, "the peer has given no connection id for a new path");
    case NGTCP2_ERR_INVALID_STATE:
        return stoq_fail(error, STOQ_EBUSY,
                         "the handshake is not confirmed, or the peer forbids migration");
    case NGTCP2_ERR_INVALID_ARGUMENT:
        return stoq_fail(error, STOQ_EINVAL, "the connection is at that address already");
    case NGTCP2_ERR_NOMEM:
        return stoq_fail(error, STOQ_ENOMEM, "no memory for a new path");
    default:
        return stoq_fail(error, STOQ_EINTERNAL, "the new path failed: %s", ngtcp2_strerror(rc));
    }
}

int stoq_conn_migrate(struct stoq_conn *conn, const struct sockaddr_in6 *local, bool probe,
                      uint64_t now_ns, struct stoq_error *error)
{
    struct stoq_path to;
    ngtcp2_path at;

    if (conn->server)
        return stoq_fail(error, STOQ_EINVAL, "only a client changes its path");
    if (local->sin6_family != AF_INET6)
        return stoq_fail(error, STOQ_EINVAL, "the local address is no IPv6 address");
    if (conn->ending || conn->quic == NULL)
        return stoq_fail(error, STOQ_ECLOSED, "the connection has ended");
    if (conn->inside) {
        if (!conn->confirmed)
            return migrate_result(NGTCP2_ERR_INVALID_STATE, error);
        conn->want_migrate = true;
        conn->migrate_probe = probe;
        conn->migrate_to = *local;
        return 0;
    }
    stoq_endpoint_clock_later(conn->endpoint, now_ns);
    now_ns = conn->endpoint->now_ns;
    to = conn->path;
    to.local = *local;
    stoq_conn_path(&to, &at);
    /* At once means that packets leave from there from now on; ngtcp2 validates that path too, and tells. A path that
     * it has validated lately is taken without asking again. */
    int rc = probe ? ngtcp2_conn_initiate_migration(conn->quic, &at, now_ns)
                   : ngtcp2_conn_initiate_immediate_migration(conn->quic, &at, now_ns);
    if (rc != 0)
        return migrate_result(rc, error);
    conn->answered = false;
    conn->local_unknown = IN6_IS_ADDR_UNSPECIFIED(&local->sin6_addr);
    conn->read_local = *local;
    /* A server over ngtcp2 before 1.25 that has just followed a client to a new path probes the old one for some three
     * seconds, and does not follow when the client comes back to it meanwhile; packets that come after that time move
     * it. So a client that has migrated keeps sending one from time to time for longer than that. */
    stoq_conn_lively(conn, now_ns);
    conn->path_told = true;
    stoq_conn_ready(conn);
    return 0;
}

void stoq_endpoint_migrate(struct stoq_endpoint *endpoint, const struct sockaddr_in6 *local,
                           uint64_t now_ns)
{
    stoq_endpoint_clock_later(endpoint, now_ns);
    for (struct stoq_conn *conn = endpoint->all; conn != NULL; conn = conn->after) {
        if (!conn->server && conn->quic != NULL)
            (void)stoq_conn_migrate(conn, local, false, now_ns, NULL);
    }
}
