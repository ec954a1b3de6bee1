/* The checks of connections, and of how everything ended: see stoq_check.h. */
#include <stdlib.h>

#include "base.h"
#include "stoq_check.h"
#include "stoq_check_parts.h"

#define DATAGRAM_HEADER_BYTES 4
#define DATAGRAM_MAGIC        0x44u
#define AGAIN_CODE            99
#define LEFT_BEHIND_NS        4000000000ULL /* a server asks a new path at most so long */

struct check_end *check_end_of(void *ctx, struct stoq_conn *conn)
{
    const struct check_place *place = ctx;
    struct check_end *end = stoq_conn_user(conn);

    if (end != NULL)
        return end;
    end = calloc(1, sizeof *end);
    if (end == NULL)
        abort();
    end->check = place->check;
    end->node = place->node;
    end->end = 1;
    end->conn = conn;
    end->next = place->check->ends;
    place->check->ends = end;
    stoq_conn_set_user(conn, end);
    return end;
}

/* A server that forgets all while the handshake goes on, or closes it and is not heard, is sent hello again, and what came
 * early with it: for it that is somebody new. Its client notices nothing, so that what was taken before may come once
 * more. The new connection is closed: the check knows one of a pair. */
static bool comes_again(const struct check_pair *pair)
{
    const struct check_end *client = pair->end[0], *lost = pair->end[1];

    return pair->disturbed && lost != NULL && lost->closed &&
           (!client->ready || client->ready_ns > lost->closed_ns);
}

bool check_bind(struct check_end *end, struct check_pair *pair)
{
    if (end->pair == pair)
        return true;
    if (end->pair == NULL && comes_again(pair)) {
        pair->again = true;
        stoq_conn_close(end->conn, AGAIN_CODE, "it was here before");
        return false;
    }
    if (end->pair != NULL || (pair->end[1] != NULL && pair->end[1] != end)) {
        check_fail(end->check, "pair %u: its streams came on two connections", pair->number);
        return false;
    }
    end->pair = pair;
    pair->end[1] = end;
    if (end->accepted)
        check_open_flows(pair, 1);
    return true;
}

static int on_accepted(void *ctx, struct stoq_conn *conn)
{
    struct check_end *end = check_end_of(ctx, conn);
    struct stoq_conn_info info;

    if (end->accepted || end->closed)
        check_fail(end->check, "accepted twice, or after closed");
    end->accepted = end->ready = true;
    end->ready_ns = stoq_net_now(end->check->net);
    stoq_conn_get_info(conn, &info);
    if (!info.server || (!info.handshake_done && !end->check->early_data))
        check_fail(end->check, "accepted before the handshake was done");
    if (end->pair != NULL)
        check_open_flows(end->pair, 1);
    return 0;
}

static void on_connected(void *ctx, struct stoq_conn *conn)
{
    struct check_end *end = check_end_of(ctx, conn);
    struct stoq_conn_info info;

    if (end->ready || end->closed || end->pair == NULL)
        check_fail(end->check, "connected twice, after closed, or without a connect");
    end->ready = true;
    end->ready_ns = stoq_net_now(end->check->net);
    stoq_conn_get_info(conn, &info);
    end->check->totals.resumed += info.resumed;
    end->check->totals.early += info.early_accepted;
    end->check->totals.connections++;
    if (end->pair != NULL)
        check_open_flows(end->pair, 0);
}

static void on_closed(void *ctx, struct stoq_conn *conn, const struct stoq_close *why)
{
    struct check_end *end = check_end_of(ctx, conn);

    if (end->closed)
        check_fail(end->check, "closed twice");
    if (end->streams != 0)
        check_fail(end->check, "closed while %u of its streams are not", end->streams);
    if (why->text == NULL)
        check_fail(end->check, "closed without a sentence");
    end->closed = true;
    end->closed_ns = stoq_net_now(end->check->net);
    end->why = *why;
    end->why.text = NULL;
    end->conn = NULL;
    if (getenv("HM_STOQ_TRACE") != NULL)
        (void)fprintf(stderr, "%12.6f pair %d end %u closed: kind %d code %llu: %s\n",
                      (double)(end->closed_ns - STOQ_NET_START_NS) / 1e9,
                      end->pair != NULL ? (int)end->pair->number : -1, end->end, (int)why->kind,
                      (unsigned long long)why->code, why->text != NULL ? why->text : "");
}

static void on_session(void *ctx, struct stoq_conn *conn, struct stoq_bytes session)
{
    struct check_end *end = check_end_of(ctx, conn);
    struct stoq_bytes *slot;
    uint8_t *copy;

    if (end->pair == NULL || session.len == 0 || session.len > STOQ_SESSION_BYTES_MAX) {
        check_fail(end->check, "a session of %zu bytes", session.len);
        return;
    }
    slot = &end->check->session[end->pair->client][end->pair->server];
    copy = malloc(session.len);
    if (copy == NULL)
        abort();
    memcpy(copy, session.data, session.len);
    free((void *)(uintptr_t)slot->data);
    *slot = (struct stoq_bytes){copy, session.len};
}

static void on_streams_available(void *ctx, struct stoq_conn *conn, bool bidirectional)
{
    struct check_end *end = check_end_of(ctx, conn);

    (void)bidirectional;
    if (end->closed)
        check_fail(end->check, "streams_available after closed");
    if (end->pair != NULL)
        check_open_flows(end->pair, end->end);
}

/* --- Datagrams: magic, pair, sender's end, number; then bytes that follow from these ---------------------------------- */

static uint8_t datagram_byte(const uint8_t *header, size_t index)
{
    return (uint8_t)(header[1] * 7U + header[2] * 3U + header[3] + index);
}

void check_send_datagram(struct check_end *end)
{
    uint8_t data[1200];
    size_t room, len;
    struct stoq_bytes one = {data, 0};

    if (end == NULL || end->conn == NULL || end->pair == NULL || end->closing || !end->ready ||
        end->datagrams_sent >= end->datagrams_planned)
        return;
    room = stoq_conn_datagram_size(end->conn);
    if (room < DATAGRAM_HEADER_BYTES)
        return;
    room = room < sizeof data ? room : sizeof data;
    len = DATAGRAM_HEADER_BYTES +
          (size_t)stoq_net_below(end->check->net, room - DATAGRAM_HEADER_BYTES + 1);
    data[0] = DATAGRAM_MAGIC;
    data[1] = (uint8_t)end->pair->number;
    data[2] = (uint8_t)end->end;
    data[3] = (uint8_t)end->datagrams_sent;
    for (size_t i = DATAGRAM_HEADER_BYTES; i < len; i++)
        data[i] = datagram_byte(data, i);
    one.len = len;
    if (stoq_conn_datagrams(end->conn, &one, 1) == 1) {
        end->datagrams_sent++;
        end->check->totals.datagrams++;
    }
}

static void take_datagram(struct check_end *end, struct stoq_bytes one)
{
    const uint8_t *data = one.data;
    struct check_end *from;
    uint64_t bit;

    if (one.len < DATAGRAM_HEADER_BYTES || data[0] != DATAGRAM_MAGIC ||
        data[1] >= end->check->pair_count || data[2] != 1 - end->end ||
        data[3] >= CHECK_DATAGRAMS_MAX) {
        check_fail(end->check, "a datagram that nobody sent");
        return;
    }
    for (size_t i = DATAGRAM_HEADER_BYTES; i < one.len; i++)
        if (data[i] != datagram_byte(data, i)) {
            check_fail(end->check, "a datagram's byte %zu is wrong", i);
            return;
        }
    if (!check_bind(end, &end->check->pairs[data[1]]))
        return;
    from = end->check->pairs[data[1]].end[data[2]];
    bit = 1ULL << data[3];
    if (from == NULL || data[3] >= from->datagrams_sent)
        check_fail(end->check, "a datagram before it was sent");
    if ((end->datagrams_seen & bit) != 0)
        check_fail(end->check, "datagram %u of pair %u came twice", data[3], data[1]);
    end->datagrams_seen |= bit;
}

static void on_datagrams(void *ctx, struct stoq_conn *conn, const struct stoq_bytes *list,
                         size_t count)
{
    struct check_end *end = check_end_of(ctx, conn);

    if (end->closed || count == 0 || count > 64)
        check_fail(end->check, "%zu datagrams in a call, or after closed", count);
    for (size_t i = 0; i < count; i++)
        take_datagram(end, list[i]);
}

static void on_path_changed(void *ctx, struct stoq_conn *conn)
{
    struct check_end *end = check_end_of(ctx, conn);

    if (end->closed)
        check_fail(end->check, "path_changed after closed");
    end->check->totals.migrations++;
}

struct stoq_handlers check_handlers(struct check *check, unsigned node)
{
    struct stoq_handlers handlers = check_stream_handlers();

    check->places[node] = (struct check_place){.check = check, .node = node};
    handlers.ctx = &check->places[node];
    handlers.accepted = on_accepted;
    handlers.connected = on_connected;
    handlers.closed = on_closed;
    handlers.session = on_session;
    handlers.streams_available = on_streams_available;
    handlers.datagrams = on_datagrams;
    handlers.path_changed = on_path_changed;
    return handlers;
}

/* --- Beginning and end -------------------------------------------------------------------------------------------------- */

void check_connect(struct check_pair *pair)
{
    struct check *check = pair->check;
    struct check_end *end = calloc(1, sizeof *end);
    struct stoq_target target = {.path = stoq_net_path(check->net, pair->client, pair->server),
                                 .name = "server.test",
                                 .session = check->session[pair->client][pair->server],
                                 .user = end};
    struct stoq_error error;
    int code;

    if (end == NULL)
        abort();
    end->check = check;
    end->pair = pair;
    end->node = pair->client;
    end->next = check->ends;
    check->ends = end;
    pair->end[0] = end;
    pair->started = true;
    code = stoq_endpoint_connect(stoq_net_endpoint(check->net, pair->client), &target,
                                 stoq_net_node_now(check->net, pair->client), &end->conn, &error);
    if (code != 0) {
        check_fail(check, "connect says %d: %s", code, error.text);
        end->closed = true;
        return;
    }
    if (check->early_data && target.session.len > 0) /* what may travel early does */
        check_open_flows(pair, 0);
}

void check_close(struct check_pair *pair, unsigned end, uint64_t code)
{
    struct check_end *from = pair->end[end];

    if (from == NULL || from->conn == NULL || from->closing)
        return;
    from->closing = true;
    from->close_code = code;
    stoq_conn_close(from->conn, code, "the scenario says so");
}

bool check_pair_quiet(const struct check_pair *pair)
{
    for (unsigned i = 0; i < pair->check->flow_count; i++) {
        const struct check_flow *flow = &pair->check->flows[i];
        if (flow->pair != pair)
            continue;
        if (!flow->opened || !flow->closed[flow->opener])
            return false;
        if (flow->known[1 - flow->opener] && !flow->closed[1 - flow->opener])
            return false;
    }
    return true;
}

bool check_pair_over(const struct check_pair *pair)
{
    return pair->started && pair->end[0] != NULL && pair->end[0]->closed &&
           (pair->end[1] == NULL || pair->end[1]->closed);
}

void check_limits(struct check *check)
{
    for (unsigned i = 0; i < check->flow_count; i++) {
        const struct check_flow *flow = &check->flows[i];
        for (unsigned way = 0; way < 2; way++) {
            unsigned sender = way == 0 ? flow->opener : 1 - flow->opener;
            uint64_t ahead = flow->way[way].sent - flow->way[way].taken;
            if (flow->stream[sender] != NULL &&
                stoq_stream_unsent(flow->stream[sender]) >
                    check->send_queue + CHECK_PIECE_BYTES + STOQ_TAG_BYTES_MAX + 8)
                check_fail(check, "flow %u holds %zu unsent bytes", i,
                           stoq_stream_unsent(flow->stream[sender]));
            if (!flow->way[way].stop_sent && !flow->denied &&
                ahead > check->window + check->send_queue + CHECK_PIECE_BYTES)
                check_fail(check, "flow %u: its sender is %llu bytes ahead of its reader", i,
                           (unsigned long long)ahead);
        }
    }
    for (const struct check_end *end = check->ends; end != NULL; end = end->next) {
        struct stoq_conn_info info;
        if (end->conn == NULL)
            continue;
        stoq_conn_get_info(end->conn, &info);
        if (info.memory > check->memory_max)
            check_fail(check, "a connection holds %zu bytes, %zu are promised", info.memory,
                       check->memory_max);
    }
}

static const char *way_outcome(const struct check_flow *flow, unsigned number)
{
    const struct check_way *way = &flow->way[number];

    if (number == 1 && !flow->bidirectional)
        return NULL;
    if (number == 1 && flow->way[0].reset_sent && !flow->known[1 - flow->opener])
        return way->reset_seen ? NULL
                               : "is of a stream reset before its tag, and its opener not told";
    if (way->reset_seen && !way->reset_sent && !way->stop_sent)
        return "was reset by nobody";
    if (way->fin_seen || way->stop_sent || (way->reset_sent && way->reset_seen))
        return NULL;
    return way->reset_sent ? "was reset, and its receiver not told" : "did not end";
}

bool check_flow_fits(const struct check_flow *flow)
{
    return way_outcome(flow, 0) == NULL && way_outcome(flow, 1) == NULL;
}

/* A client without keep-alive whose NAT has moved it, and which has nothing left to send, hears nothing any more, and
 * cannot know; its server sends to where it was, at once, or when all that it asked of the new path was lost. Both wait
 * until the idle time is over, as they must. */
static bool left_behind(const struct check_pair *pair)
{
    const struct check *check = pair->check;

    if (pair->rebound_ns == 0 || check->keep_alive || pair->end[1] == NULL ||
        pair->end[0]->why.kind != STOQ_CLOSE_IDLE || pair->end[1]->why.kind != STOQ_CLOSE_IDLE ||
        pair->end[0]->closed_ns > pair->rebound_ns + check->idle_ns + LEFT_BEHIND_NS)
        return false;
    for (unsigned i = 0; i < check->flow_count; i++) {
        const struct check_flow *flow = &check->flows[i];
        const struct check_way *way = &flow->way[flow->opener == 0 ? 0 : 1];

        if (flow->pair != pair || !flow->known[0] || flow->denied || way->stop_sent ||
            way->reset_sent)
            continue;
        if (way->sent > way->taken || (flow->opener == 0 && !flow->known[1]))
            return false;
    }
    return true;
}

static void flow_outcome(struct check_flow *flow)
{
    struct check *check = flow->check;

    if (flow->pair->disturbed || (check->hard_network && !flow->pair->end[0]->ready) ||
        left_behind(flow->pair))
        return;
    if (!flow->opened || !flow->closed[flow->opener]) {
        check_fail(check, "flow %u never ended at its opener", flow->number);
        return;
    }
    if (flow->denied)
        return;
    if (!flow->known[1 - flow->opener]) {
        if (!flow->way[0].reset_sent) /* a reset may overtake the tag */
            check_fail(check, "flow %u never came", flow->number);
        return;
    }
    if (!flow->closed[1 - flow->opener])
        check_fail(check, "flow %u never ended at its receiver", flow->number);
    for (unsigned way = 0; way < 2; way++)
        if (way_outcome(flow, way) != NULL)
            check_fail(check, "flow %u way %u %s", flow->number, way, way_outcome(flow, way));
}

/* Whether this end may have ended so, given what the other one did. */
static bool end_fits(const struct check_pair *pair, const struct check_end *end,
                     const struct check_end *other)
{
    bool loses = pair->check->hard_network || pair->disturbed;
    bool early = !end->ready || (pair->check->early_data && end->end == 1);
    bool left = (other != NULL && other->closing) || (pair->again && end->end == 0);

    switch (end->why.kind) {
    case STOQ_CLOSE_LOCAL:
        return end->closing;
    case STOQ_CLOSE_PEER_APPLICATION:
        return (other != NULL && other->closing && other->close_code == end->why.code) ||
               (pair->again && end->end == 0 && end->why.code == AGAIN_CODE);
    case STOQ_CLOSE_IDLE:
    case STOQ_CLOSE_RESET:
        return loses || (pair->moved && other != NULL && other->closing);
    case STOQ_CLOSE_HANDSHAKE_TIMEOUT: /* early data makes a server's end ready before its handshake is done */
        return loses && early;
    case STOQ_CLOSE_DROPPED:
        return pair->disturbed;
    case STOQ_CLOSE_PEER_TRANSPORT:
        /* What an application says is not told before the handshake is done (RFC 9000 section 10.2.3). Otherwise it is
         * a token that was changed on its way, or whose holder moved. */
        return end->why.code == 0x0c ? left && early
                                     : loses && end->end == 0 && end->why.code == 0x0b;
    default:
        return false;
    }
}

static void pair_outcome(struct check_pair *pair)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct check_end *end = pair->end[i];
        if (end == NULL)
            continue;
        if (!end->closed)
            check_fail(pair->check, "pair %u end %u was never closed", pair->number, i);
        else if (!end_fits(pair, end, pair->end[1 - i]))
            check_fail(pair->check, "pair %u end %u closed with kind %d, code %llu", pair->number,
                       i, (int)end->why.kind, (unsigned long long)end->why.code);
    }
}

void check_outcome(struct check *check)
{
    for (unsigned i = 0; i < check->pair_count; i++)
        pair_outcome(&check->pairs[i]);
    for (unsigned i = 0; i < check->flow_count; i++)
        flow_outcome(&check->flows[i]);
    check_pieces(check);
}

void check_release(struct check *check)
{
    while (check->ends != NULL) {
        struct check_end *end = check->ends;
        check->ends = end->next;
        free(end);
    }
    for (unsigned i = 0; i < STOQ_NET_NODES_MAX; i++)
        for (unsigned j = 0; j < STOQ_NET_NODES_MAX; j++)
            free((void *)(uintptr_t)check->session[i][j].data);
    check_pieces_free(check);
}
