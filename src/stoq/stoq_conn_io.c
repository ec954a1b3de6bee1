/* A connection's packets: opening those that came, writing trains, its timer. */
#include "stoq_core.h"

#define STREAM_VECTORS    16
#define FRAMES_PER_PACKET 64 /* streams that share one packet at most */
#define BURST_NS          100000ULL /* pacing's grain: no timer wakes a thread much finer */
#define BURST_BYTES_MAX   (512U * 1024)
#define DEADLINE_SOONEST_NS \
    1000ULL /* a deadline that has passed already is met this much later, not at once */

void stoq_conn_arm(struct stoq_conn *conn, uint64_t now_ns)
{
    uint64_t at = ngtcp2_conn_get_expiry(conn->quic);
    uint64_t full = stoq_conn_full_due(conn, now_ns);

    if (at > full)
        at = full;
    if (at <= now_ns)
        at = now_ns + DEADLINE_SOONEST_NS;
    stoq_timers_set(&conn->endpoint->timers, &conn->timer, at);
}

/* --- in --------------------------------------------------------------------------------------------------------- */

static void remnant_read(struct stoq_conn *conn, const struct stoq_path *path)
{
    /* The first, second, fourth, eighth ... late packet is answered (RFC 9000 section 10.2.1). */
    conn->remnant_heard++;
    if (conn->last_packet != NULL && (conn->remnant_heard & (conn->remnant_heard - 1)) == 0) {
        conn->path = *path; /* the peer may have moved, and so not heard it yet */
        conn->remnant_answer = true;
        stoq_conn_ready(conn);
    }
}

static void retry_ask(struct stoq_conn *conn, const struct stoq_path *path, const uint8_t *data,
                      size_t len)
{
    ngtcp2_pkt_hd head;

    if (ngtcp2_accept(&head, data, len) == 0 && head.type == NGTCP2_PKT_INITIAL)
        (void)stoq_reply_retry(conn->endpoint, path, &head);
}

void stoq_conn_read(struct stoq_conn *conn, const struct stoq_path *path, uint8_t ecn,
                    const uint8_t *data, size_t len, uint64_t now_ns)
{
    ngtcp2_pkt_info info = {.ecn = ecn};
    struct stoq_path known = *path;
    ngtcp2_path at;

    if (conn->quic == NULL) {
        remnant_read(conn, path);
        return;
    }
    if (conn->ending)
        return;
    if (conn->local_unknown)
        known.local = conn->read_local;
    else if (memcmp(&path->remote, &conn->path.remote, sizeof(path->remote)) != 0 ||
             memcmp(&path->local, &conn->path.local, sizeof(path->local)) != 0)
        conn->path_told = true; /* a path that ngtcp2 knows from before is taken without a word */
    const uint8_t *id = (data[0] & 0x80) == 0 && len > STOQ_CID_BYTES ? data + 1 : NULL;
    stoq_conn_path_in(conn, &known, id, now_ns);
    stoq_conn_path(&known, &at);
    conn->bytes_received += len;
    conn->inside = true;
    struct stoq_conn *before = stoq_frames_begin(conn);
    int rc = ngtcp2_conn_read_pkt(conn->quic, &at, &info, data, len, now_ns);
    stoq_frames_end(before);
    conn->inside = false;
    stoq_conn_path_read(conn, path, &known, id);
    if (rc ==
        NGTCP2_ERR_RETRY) /* a hello whose beginning is missing is kept for a validated address only */
        retry_ask(conn, path, data, len);
    if (rc != 0)
        stoq_conn_end_library(conn, rc);
    stoq_conn_ready(conn);
}

/* --- out -------------------------------------------------------------------------------------------------------- */

/* What one packet is written with. */
struct writing {
    struct stoq_conn *conn;
    ngtcp2_conn *quic;
    ngtcp2_path *path;
    ngtcp2_pkt_info *info;
    uint8_t *out;
    size_t capacity;
    uint64_t now_ns;
};

#define GO_ON NGTCP2_ERR_WRITE_MORE

/* Puts datagrams into the packet; GO_ON when there is room left, else what the packet's writer returns. */
static ngtcp2_ssize write_datagrams(const struct writing *w)
{
    struct stoq_conn *conn = w->conn;

    if (!conn->server && !conn->handshake_done) /* nobody said that they may be replayed */
        return GO_ON;
    for (int frames = 0; conn->datagrams != NULL && frames < FRAMES_PER_PACKET; frames++) {
        ngtcp2_vec vector = {.base = conn->datagrams->data, .len = conn->datagrams->len};
        int accepted = 0;

        if (vector.len > stoq_conn_datagram_size(conn)) { /* the path has become narrower */
            conn->datagrams_dropped++;
            stoq_datagram_pop(conn);
            continue;
        }
        ngtcp2_ssize n = ngtcp2_conn_writev_datagram(w->quic, w->path, w->info, w->out, w->capacity,
                                                     &accepted, NGTCP2_WRITE_DATAGRAM_FLAG_MORE, 0,
                                                     &vector, 1, w->now_ns);
        if (accepted) {
            conn->datagrams_sent++;
            stoq_datagram_pop(conn);
        } else if (n == NGTCP2_ERR_INVALID_ARGUMENT || n == NGTCP2_ERR_INVALID_STATE) {
            conn->datagrams_dropped++;
            stoq_datagram_pop(conn);
            continue;
        }
        if (n != GO_ON)
            return n;
    }
    return GO_ON;
}

/* What of a stream went into the packet. */
static void stream_written(struct stoq_stream *stream, size_t bytes, bool fin_offered)
{
    struct stoq_conn *conn = stream->conn;

    stoq_sendq_sent(&stream->out, bytes);
    conn->stream_bytes_sent += bytes;
    stoq_sched_spent(&conn->sched, &stream->node, bytes);
    if (stream->out.sent == stream->out.end) {
        if (fin_offered) {
            stream->fin_sent = true;
            stream->fin_alone = bytes == 0;
        }
        if (stream->fin_sent || !stream->out.fin)
            stoq_sched_remove(&conn->sched, &stream->node);
    }
}

/* What the peer lets a stream send. */
static uint64_t stream_credit(ngtcp2_conn *quic, int64_t id)
{
    uint64_t all = ngtcp2_conn_get_max_data_left(quic),
             own = ngtcp2_conn_get_max_stream_data_left(quic, id);

    return own < all ? own : all;
}

/* One stream's bytes into the packet. */
static ngtcp2_ssize write_stream(const struct writing *w, struct stoq_stream *stream)
{
    struct stoq_bytes pieces[STREAM_VECTORS];
    ngtcp2_vec vectors[STREAM_VECTORS];
    size_t count = stoq_sendq_peek(&stream->out, pieces, 1), total = 0;
    ngtcp2_ssize taken = -1;

    if (count > 0 && pieces[0].len < w->capacity) /* mostly one piece fills the packet */
        count = stoq_sendq_peek(&stream->out, pieces, STREAM_VECTORS);
    for (size_t i = 0; i < count; i++) {
        vectors[i] = (ngtcp2_vec){.base = (uint8_t *)(uintptr_t)pieces[i].data,
                                  .len = pieces[i].len};
        total += pieces[i].len;
    }
    bool fin = stream->out.fin && total == stream->out.end - stream->out.sent;
    /* A packet that one stream fills is complete with it, and full, as a train wants it; otherwise others follow. Without
     * credit to fill it, it is none: an answer to PATH_CHALLENGE would be padded for nothing (see stoq_conn_full_due). */
    bool fills = total >= w->capacity && stream_credit(w->quic, stream->id) >= w->capacity;
    uint32_t flags = fills ? NGTCP2_WRITE_STREAM_FLAG_PADDING : NGTCP2_WRITE_STREAM_FLAG_MORE;
    if (fin)
        flags |= NGTCP2_WRITE_STREAM_FLAG_FIN;
    ngtcp2_ssize n = ngtcp2_conn_writev_stream(w->quic, w->path, w->info, w->out, w->capacity,
                                               &taken, flags, stream->id, vectors, count,
                                               w->now_ns);
    if (taken >= 0)
        stream_written(stream, (size_t)taken, fin && (size_t)taken == total);
    /* Of the whole connection's credit ngtcp2 says nothing when it is used up: it goes on without the stream. */
    if (n == NGTCP2_ERR_STREAM_DATA_BLOCKED ||
        (taken < 0 && total > 0 && ngtcp2_conn_get_max_data_left(w->quic) == 0))
        stoq_conn_blocked(stream->conn, w->now_ns);
    switch (n) {
    case NGTCP2_ERR_STREAM_DATA_BLOCKED: /* until on_more_stream_data */
        stoq_sched_remove(&stream->conn->sched, &stream->node);
        return n;
    case NGTCP2_ERR_STREAM_SHUT_WR: /* the peer asked to stop; its code is seen when RESET_STREAM leaves */
    case NGTCP2_ERR_STREAM_NOT_FOUND:
        stoq_sched_remove(&stream->conn->sched, &stream->node);
        return GO_ON;
    default:
        return n;
    }
}

static ngtcp2_ssize write_streams(const struct writing *w)
{
    for (int frames = 0; frames < FRAMES_PER_PACKET; frames++) {
        struct stoq_sched_node *node = stoq_sched_next(&w->conn->sched);

        if (node == NULL)
            break;
        ngtcp2_ssize n = write_stream(w, (struct stoq_stream *)(void *)node);
        if (n == 0) /* no room, or the whole connection's credit is used up: datagrams need none */
            break;
        if (n != GO_ON && n != NGTCP2_ERR_STREAM_DATA_BLOCKED)
            return n;
    }
    return GO_ON;
}

/* ngtcp2 sends a lost hello again only within the congestion window, so 0-RTT data must leave some of it. */
static bool early_room(const struct stoq_conn *conn, ngtcp2_conn *quic)
{
    return conn->server || conn->handshake_done ||
           ngtcp2_conn_get_cwnd_left(quic) > 4 * (uint64_t)STOQ_UDP_PAYLOAD_MIN;
}

static ngtcp2_ssize write_packet(ngtcp2_conn *quic, ngtcp2_path *path, ngtcp2_pkt_info *info,
                                 uint8_t *out, size_t capacity, ngtcp2_tstamp now_ns, void *user)
{
    const struct writing w = {.conn = user,
                              .quic = quic,
                              .path = path,
                              .info = info,
                              .out = out,
                              .capacity = capacity,
                              .now_ns = now_ns};
    struct stoq_conn *conn = user;
    bool streams_first = conn->streams_first;
    ngtcp2_ssize n = GO_ON;

    if (conn->train_apart)
        return 0;

    /* A client of ngtcp2 1.22 that is asked to write a stream looks how large a 0-RTT packet would be, and takes streams
     * without bytes to send again out of its queue: RESET_STREAM, STOP_SENDING and MAX_STREAM_DATA that wait are
     * forgotten. Asked for whatever there is, once the handshake is complete, it goes on to where it never does so again
     * (see on_dcid), unless pacing forbids that now. */
    if (!conn->server && conn->handshake_done && !conn->past_handshake) {
        n = ngtcp2_conn_writev_stream(quic, path, info, out, capacity, NULL,
                                      NGTCP2_WRITE_STREAM_FLAG_NONE, -1, NULL, 0, now_ns);
        if (n != 0 || !conn->past_handshake)
            return n;
        n = GO_ON;
    }

    conn->streams_first = !streams_first;
    for (int turn = 0; turn < 2 && n == GO_ON; turn++) {
        if ((turn == 0) != streams_first)
            n = write_datagrams(&w);
        else if (early_room(conn, quic))
            n = write_streams(&w);
    }
    if (n == GO_ON)
        n = ngtcp2_conn_writev_stream(quic, path, info, out, capacity, NULL,
                                      NGTCP2_WRITE_STREAM_FLAG_NONE, -1, NULL, 0, now_ns);
    /* ngtcp2 1.22 lets packets of the path in use follow a probe of another one that is as large as they are, and all
     * leave in one train from one address: the peer would take the client for moved, and back again. */
    conn->train_apart = n > 0 && !ngtcp2_path_eq(path, ngtcp2_conn_get_path(quic));
    return n;
}

/* How many packets the next train may have: what pacing and the rate allow. 0: none now. */
static size_t packets_allowed(struct stoq_conn *conn, size_t payload, uint64_t now_ns)
{
    size_t room = stoq_rate_room(conn, now_ns);
    size_t quantum = ngtcp2_conn_get_send_quantum(conn->quic);

    if (room < payload)
        return 0;
    if (quantum > room)
        quantum = room;
    return quantum < payload ? 1 : quantum / payload;
}

/* Pacing is told of a burst when it is over, not of each train: it may be as long as a timer is coarse, or all that there
 * was to send. Told after each, it would stop every train of a fast path for less than a system call takes. */
static void burst_count(struct stoq_conn *conn, size_t bytes, uint64_t now_ns)
{
    ngtcp2_conn_info info;

    conn->burst_bytes += bytes;
    if (bytes > 0 && conn->burst_bytes < BURST_BYTES_MAX) {
        ngtcp2_conn_get_conn_info(conn->quic, &info);
        if (info.smoothed_rtt < STOQ_NS_PER_S &&
            conn->burst_bytes * info.smoothed_rtt < BURST_NS * info.cwnd)
            return;
    }
    if (conn->burst_bytes > 0)
        ngtcp2_conn_update_pkt_tx_time(conn->quic, now_ns);
    conn->burst_bytes = 0;
}

static ngtcp2_ssize train_write(struct stoq_conn *conn, uint8_t *buffer, size_t capacity,
                                struct stoq_train *train, size_t packets, uint64_t now_ns)
{
    ngtcp2_path_storage storage;
    ngtcp2_pkt_info info = {0};
    size_t segment = 0;

    ngtcp2_path_storage_zero(&storage);
    conn->inside = true;
    conn->train_apart = false;
    struct stoq_conn *before = stoq_frames_begin(conn);
    ngtcp2_ssize n = ngtcp2_conn_write_aggregate_pkt2(conn->quic, &storage.path, &info, buffer,
                                                      capacity, &segment, write_packet, packets,
                                                      now_ns);
    stoq_frames_end(before);
    if (n >= 0)
        burst_count(conn, (size_t)n, now_ns);
    conn->inside = false;
    if (n <= 0)
        return n;
    train->path = conn->path;
    stoq_conn_path_from(conn, &train->path, &storage.path);
    train->len = (size_t)n;
    train->segment = segment;
    train->ecn = (uint8_t)info.ecn;
    conn->bytes_sent += (size_t)n;
    if (conn->rate.bits != 0)
        stoq_bucket_spend(&conn->rate.bucket, (size_t)n);
    return n;
}

size_t stoq_conn_write(struct stoq_conn *conn, uint8_t *buffer, size_t capacity,
                       struct stoq_train *train, uint64_t now_ns)
{
    if (conn->quic == NULL)
        return stoq_remnant_write(conn, buffer, capacity, train);
    if (!stoq_conn_settle(conn, now_ns) || conn->quic == NULL)
        return 0;
    if (conn->ending)
        return stoq_conn_write_close(conn, buffer, capacity, train, now_ns);
    size_t payload = ngtcp2_conn_get_path_max_tx_udp_payload_size(conn->quic);
    size_t packets = packets_allowed(conn, payload, now_ns);
    if (packets == 0) {
        uint64_t at = stoq_bucket_ready_ns(&conn->rate.bucket, payload);
        uint64_t expiry = ngtcp2_conn_get_expiry(conn->quic);

        at = at <= now_ns ? now_ns + DEADLINE_SOONEST_NS : at;
        /* What is due earlier has to wait for the bucket too; idling and losing are told by handle_expiry. */
        stoq_timers_set(&conn->endpoint->timers, &conn->timer,
                        expiry > now_ns && expiry < at ? expiry : at);
        return 0;
    }
    if (capacity < payload)
        return 0;
    ngtcp2_ssize n = train_write(conn, buffer, capacity, train, packets, now_ns);
    if (n < 0) {
        stoq_conn_end_library(conn, (int)n);
        return stoq_conn_write_close(conn, buffer, capacity, train, now_ns);
    }
    stoq_streams_shut_late(conn);
    if (n > 0) {
        /* Now only: a longer time between that ngtcp2 learns while the shorter one is over would stop its keep-alive. */
        stoq_conn_keep_alive_due(conn, now_ns);
        if (conn->path_asked) {
            conn->answered = true;
            stoq_conn_lively(conn, now_ns);
        }
        conn->path_asked = false;
        stoq_conn_ready(conn); /* at the end of the line: the others first */
        return (size_t)n;
    }
    stoq_conn_arm(conn, now_ns);
    if (conn->attention != NULL || conn->ending)
        stoq_conn_ready(conn);
    return 0;
}

/* --- time ------------------------------------------------------------------------------------------------------- */

void stoq_conn_expire(struct stoq_conn *conn, uint64_t now_ns)
{
    if (conn->quic == NULL) {
        stoq_conn_free(conn);
        return;
    }
    if (!conn->ending && ngtcp2_conn_get_expiry(conn->quic) <= now_ns) {
        conn->inside = true;
        int rc = ngtcp2_conn_handle_expiry(conn->quic, now_ns);
        conn->inside = false;
        if (rc != 0)
            stoq_conn_end_library(conn, rc);
    }
    if (!conn->ending)
        stoq_conn_full_end(conn, now_ns);
    if (stoq_conn_settle(conn, now_ns) && conn->quic != NULL)
        stoq_conn_ready(conn);
}
