/* Random scenarios for the simulated network: see stoq_play.h. */
#include <stdio.h>
#include <stdlib.h>

#include "base.h"
#include "stoq_play.h"

#define MS              1000000ULL
#define SECOND          1000000000ULL
#define IDENTITY_SEED   1
#define ACTIONS_MAX     64
#define VIRTUAL_SECONDS 900 /* a scenario that takes longer is stuck */
#define FLOW_BYTES_MAX  600000U
#define SLOW_BITS       20000000ULL /* below this, streams are kept short */
#define WINDOW_SLACK_BYTES \
    (4U << 20) /* what a connection may hold beside its queues: QUIC, TLS, packets */

enum action_kind {
    ACTION_CONNECT,
    ACTION_FLOWS, /* opens what is planned, before or after the handshake */
    ACTION_DATAGRAM,
    ACTION_KEYS,
    ACTION_MIGRATE,
    ACTION_REBIND,
    ACTION_CUT,
    ACTION_HEAL,
    ACTION_ABRUPT,
    ACTION_CRASH,
};
struct action {
    struct play *play;
    enum action_kind kind;
    struct check_pair *pair;
    unsigned end;
};
struct play {
    struct stoq_net *net;
    struct check check;
    struct stoq_config config[STOQ_NET_NODES_MAX];
    unsigned servers, clients;
    uint64_t bytes_max; /* of a stream */
    size_t mtu;
    struct action actions[ACTIONS_MAX * CHECK_PAIRS_MAX];
    unsigned action_count;
};

/* The same for every scenario: making keys takes time. */
static struct stoq_identity *server_identity, *client_identity;

void stoq_play_end(void)
{
    stoq_identity_unref(server_identity);
    stoq_identity_unref(client_identity);
    server_identity = client_identity = NULL;
}

static uint64_t below(struct play *play, uint64_t limit)
{
    return stoq_net_below(play->net, limit);
}

static bool one_in(struct play *play, uint64_t n)
{
    return below(play, n) == 0;
}

static uint64_t pick(struct play *play, const uint64_t *list, size_t count)
{
    return list[below(play, count)];
}

/* --- The network ----------------------------------------------------------------------------------------------- */

static void choose_network(struct play *play)
{
    static const uint64_t mtus[] = {1200, 1280, 1452, 1452, 2000, 8972, 65487, 0};
    static const uint64_t rates[] = {2000000, 10000000, 100000000, 1000000000, 0, 0};
    struct stoq_net_link link = {.delay_ns = below(play, 40 * MS),
                                 .jitter_ns = one_in(play, 2) ? below(play, 5 * MS) : 0,
                                 .mtu = (size_t)pick(play, mtus, HM_COUNT_OF(mtus)),
                                 .rate_bits = pick(play, rates, HM_COUNT_OF(rates)),
                                 .queue_bytes = 65536 + (size_t)below(play, 262144)};

    if (!one_in(play, 4)) {
        link.loss_ppm = (uint32_t)below(play, one_in(play, 3) ? 80000 : 10000);
        link.duplicate_ppm = (uint32_t)below(play, 30000);
        link.late_ppm = (uint32_t)below(play, 30000);
        link.corrupt_ppm = one_in(play, 2) ? (uint32_t)below(play, 30000) : 0;
    }
    play->mtu = link.mtu;
    play->bytes_max = link.rate_bits != 0 && link.rate_bits < SLOW_BITS ? FLOW_BYTES_MAX / 6
                                                                        : FLOW_BYTES_MAX;
    if (link.loss_ppm > 10000)
        play->bytes_max /= 3;
    play->check.hard_network = link.loss_ppm + link.corrupt_ppm > 0 || link.late_ppm > 0 ||
                               link.rate_bits != 0;
    stoq_net_link_all(play->net, &link);
}

/* --- Configurations ---------------------------------------------------------------------------------------------- */

static void choose_rates(struct play *play, struct stoq_config *config)
{
    static const uint64_t rates[] = {3000000, 20000000, 400000000};

    config->congestion = (enum stoq_congestion)below(play, 3);
    if (one_in(play, 4)) {
        config->rate = STOQ_RATE_CUSTOM;
        config->rate_bits = pick(play, rates, HM_COUNT_OF(rates));
    } else if (one_in(play, 4)) {
        config->rate = one_in(play, 2) ? STOQ_RATE_ADAPTIVE : STOQ_RATE_1G;
    }
}

/* What both ends of a scenario have in common. */
static void choose_config(struct play *play, struct stoq_config *config)
{
    static const uint64_t windows[] = {16384, 65536, 262144, 1048576};
    size_t largest = play->mtu == 0 || play->mtu > STOQ_UDP_PAYLOAD_MAX ? STOQ_UDP_PAYLOAD_MAX
                                                                        : play->mtu;
    size_t first = largest < STOQ_UDP_PAYLOAD_DEFAULT || one_in(play, 6) ? largest
                                                                         : STOQ_UDP_PAYLOAD_DEFAULT;

    stoq_config_default(config);
    config->alpn = "play";
    config->early_data = one_in(play, 2);
    config->groups = one_in(play, 3) ? STOQ_GROUPS_HYBRID_ONLY : STOQ_GROUPS_HYBRID_FIRST;
    config->ciphers = one_in(play, 3) ? STOQ_CIPHERS_256 : STOQ_CIPHERS_DEFAULT;
    config->udp_payload = first;
    config->udp_payload_max = one_in(play, 3) ? first : STOQ_UDP_PAYLOAD_MAX;
    config->stream_window = pick(play, windows, HM_COUNT_OF(windows));
    config->connection_window = config->stream_window * (1 + below(play, 4));
    config->send_queue = (size_t)pick(play, windows, HM_COUNT_OF(windows));
    config->streams_bidi = 1 + below(play, 20);
    config->streams_uni = 1 + below(play, 20);
    config->manual_credit = one_in(play, 4);
    config->keep_alive_ns = one_in(play, 4) ? 5 * SECOND : 0;
    config->datagram_max = 4096;
    config->datagram_queue = 16384;
    choose_rates(play, config);
    play->check.window = config->stream_window;
    play->check.send_queue = config->send_queue;
    play->check.manual_credit = config->manual_credit;
    play->check.early_data = config->early_data;
    play->check.keep_alive = config->keep_alive_ns != 0;
    play->check.idle_ns = config->idle_timeout_ns;
    play->check.memory_max = WINDOW_SLACK_BYTES + config->connection_window +
                             config->datagram_queue +
                             (config->streams_bidi + config->streams_uni) * 2 *
                                 (config->send_queue + CHECK_PIECE_BYTES);
}

static void make_endpoint(struct play *play, unsigned node)
{
    struct stoq_handlers handlers = check_handlers(&play->check, node);
    struct stoq_endpoint *endpoint;
    struct stoq_error error;

    if (stoq_endpoint_new(&endpoint, &play->config[node], &handlers, &error) != 0) {
        check_fail(&play->check, "no endpoint: %s", error.text);
        return;
    }
    stoq_net_attach(play->net, node, endpoint);
}

static bool make_identities(struct play *play)
{
    struct stoq_error error;

    if (server_identity == NULL &&
        (stoq_identity_self_signed(&server_identity, "server.test", STOQ_NET_WALL_SECONDS - 1000,
                                   365, &error) != 0 ||
         stoq_identity_self_signed(&client_identity, "client.test", STOQ_NET_WALL_SECONDS - 1000,
                                   365, &error) != 0)) {
        check_fail(&play->check, "no identity: %s", error.text);
        return false;
    }
    return true;
}

static void make_nodes(struct play *play)
{
    struct stoq_config common;
    uint32_t before_retry = one_in(play, 3) ? 0 : 100;

    choose_config(play, &common);
    play->servers = 1 + (unsigned)one_in(play, 3);
    play->clients = 1 + (unsigned)below(play, 3);
    for (unsigned i = 0; i < play->servers + play->clients; i++) {
        unsigned node = stoq_net_add(play->net);
        struct stoq_config *config = &play->config[node];
        *config = common;
        config->server = i < play->servers;
        config->identity = config->server ? server_identity : client_identity;
        config->verify = stoq_verify_same;
        config->verify_ctx = config->server ? client_identity : server_identity;
        config->handshakes_before_retry = before_retry;
        memset(config->secret, (int)(0x40 + node), sizeof config->secret);
        stoq_net_world(play->net, node, config);
        make_endpoint(play, node);
    }
}

/* --- Traffic ------------------------------------------------------------------------------------------------------ */

static uint64_t choose_length(struct play *play)
{
    if (one_in(play, 8))
        return 0;
    return one_in(play, 2) ? below(play, 2000) : below(play, play->bytes_max);
}

static void plan_way(struct play *play, struct check_way *way)
{
    way->planned = choose_length(play);
    way->reset_at = one_in(play, 12) ? below(play, way->planned + 1) : CHECK_NEVER;
    way->stop_at = one_in(play, 12) ? below(play, way->planned + 1) : CHECK_NEVER;
    way->hold = one_in(play, 2);
    way->slow = one_in(play, 4);
}

static void plan_flow(struct play *play, struct check_pair *pair, bool first)
{
    struct check_flow *flow = &play->check.flows[play->check.flow_count];

    if (play->check.flow_count == CHECK_FLOWS_MAX)
        return;
    *flow = (struct check_flow){.check = &play->check,
                                .pair = pair,
                                .number = play->check.flow_count++,
                                .opener = first ? 0 : (unsigned)below(play, 2),
                                .bidirectional = !one_in(play, 3),
                                .replay_safe = one_in(play, 3),
                                .denied = !first && one_in(play, 12),
                                .priority = (uint8_t)below(play, STOQ_PRIORITY_CLASSES),
                                .weight = (uint16_t)(1 + below(play, STOQ_WEIGHT_MAX)),
                                .tag_len = (size_t)(8 + (one_in(play, 3) ? below(play, 248) : 0))};
    plan_way(play, &flow->way[0]);
    plan_way(play, &flow->way[1]);
    if (!flow->bidirectional)
        flow->way[1].planned = 0;
    if (first) /* its tag tells the server which pair this is */
        flow->way[0].reset_at = CHECK_NEVER;
}

static void act(void *arg);

static void plan_action(struct play *play, struct check_pair *pair, enum action_kind kind,
                        unsigned end, uint64_t at_ns)
{
    struct action *action = &play->actions[play->action_count];

    if (play->action_count == HM_COUNT_OF(play->actions))
        return;
    play->action_count++;
    *action = (struct action){.play = play, .pair = pair, .kind = kind, .end = end};
    stoq_net_at(play->net, STOQ_NET_START_NS + at_ns, act, action);
}

static void plan_troubles(struct play *play, struct check_pair *pair, uint64_t start_ns)
{
    uint64_t span = 3 * SECOND, at = start_ns + below(play, span);

    for (uint64_t n = below(play, 3); n > 0; n--)
        plan_action(play, pair, ACTION_KEYS, (unsigned)below(play, 2),
                    start_ns + below(play, span));
    for (uint64_t n = one_in(play, 3) ? 1 + below(play, 2) : 0; n > 0; n--)
        plan_action(play, pair, ACTION_REBIND, 0, start_ns + below(play, span));
    for (uint64_t n = one_in(play, 3) ? 1 + below(play, 2) : 0; n > 0; n--)
        plan_action(play, pair, ACTION_MIGRATE, 0, start_ns + below(play, span));
    if (one_in(play, 6)) {
        play->check.hard_network = true;
        plan_action(play, pair, ACTION_CUT, 0, at);
        plan_action(play, pair, ACTION_HEAL, 0, at + below(play, 5 * SECOND));
    }
    if (one_in(play, 8))
        plan_action(play, pair, ACTION_ABRUPT, (unsigned)below(play, 2), at);
    if (one_in(play, 20))
        plan_action(play, pair, ACTION_CRASH, 1, at);
}

static void plan_pair(struct play *play)
{
    struct check_pair *pair = &play->check.pairs[play->check.pair_count];
    uint64_t start_ns = below(play, 2 * SECOND);

    *pair = (struct check_pair){.check = &play->check,
                                .number = play->check.pair_count++,
                                .server = (unsigned)below(play, play->servers),
                                .client = play->servers + (unsigned)below(play, play->clients)};
    if (pair->number > 0 && one_in(play, 2)) { /* so late that there is a session to resume */
        pair->server = pair[-1].server;
        pair->client = pair[-1].client;
        start_ns += 3 * SECOND;
    }
    plan_action(play, pair, ACTION_CONNECT, 0, start_ns);
    for (uint64_t n = 1 + below(play, 26), i = 0; i < n; i++)
        plan_flow(play, pair, i == 0);
    for (uint64_t n = below(play, 4); n > 0; n--)
        plan_action(play, pair, ACTION_FLOWS, (unsigned)below(play, 2),
                    start_ns + below(play, 100 * MS));
    for (uint64_t n = one_in(play, 2) ? below(play, 24) : 0; n > 0; n--)
        plan_action(play, pair, ACTION_DATAGRAM, (unsigned)below(play, 2),
                    start_ns + below(play, SECOND));
    plan_troubles(play, pair, start_ns);
}

/* --- Actions ------------------------------------------------------------------------------------------------------ */

static void update_keys(struct play *play, const struct check_end *end)
{
    int code;

    if (end == NULL || end->conn == NULL)
        return;
    code = stoq_conn_update_keys(end->conn, stoq_net_node_now(play->net, end->node));
    if (code == 0)
        play->check.totals.updates++;
    else if (code != STOQ_EBUSY && code != STOQ_ECLOSED)
        check_fail(&play->check, "update_keys says %d", code);
}

static void migrate(struct play *play, const struct check_end *end)
{
    struct sockaddr_in6 local;
    struct stoq_error error;
    int code;

    if (end == NULL || end->conn == NULL || !end->ready || end->closing)
        return;
    local = stoq_net_address(play->net, end->node, (unsigned)below(play, STOQ_NET_ADDRESSES_MAX));
    code = stoq_conn_migrate(end->conn, &local, one_in(play, 2),
                             stoq_net_node_now(play->net, end->node), &error);
    if (code != 0 && code != STOQ_EBUSY && code != STOQ_EINVAL && code != STOQ_ECLOSED)
        check_fail(&play->check, "migrate says %d: %s", code, error.text);
}

static void disturb_server(struct play *play, unsigned server)
{
    for (unsigned i = 0; i < play->check.pair_count; i++)
        if (play->check.pairs[i].server == server)
            play->check.pairs[i].disturbed = true;
    play->check.totals.crashes++;
    stoq_net_attach(play->net, server, NULL);
    make_endpoint(play, server);
}

static bool confirmed(const struct check_end *end)
{
    struct stoq_conn_info info;

    if (end == NULL || end->conn == NULL)
        return false;
    stoq_conn_get_info(end->conn, &info);
    return info.handshake_confirmed;
}

/* A client whose address changes before the handshake is confirmed may not go on (RFC 9000 section 9): it repeats what
 * ends the handshake, which a server for which it is over cannot read, and may have no window left for more. */
static void disturb_handshakes(struct play *play, unsigned client)
{
    for (unsigned i = 0; i < play->check.pair_count; i++) {
        struct check_pair *pair = &play->check.pairs[i];
        if (pair->client != client || !pair->started)
            continue;
        pair->moved = true;
        pair->rebound_ns = stoq_net_now(play->net);
        if (!confirmed(pair->end[0]))
            pair->disturbed = true;
    }
}

static void cut(struct play *play, const struct check_pair *like, bool now)
{
    for (unsigned i = 0; i < play->check.pair_count; i++) {
        struct check_pair *pair = &play->check.pairs[i];
        if (pair->client == like->client && pair->server == like->server)
            pair->cut = now;
    }
    play->check.totals.partitions += now;
    stoq_net_cut(play->net, like->client, like->server, now);
}

static void act_on(struct play *play, struct check_pair *pair, const struct action *action)
{
    switch (action->kind) {
    case ACTION_CONNECT:
        check_connect(pair);
        break;
    case ACTION_FLOWS:
        check_open_flows(pair, action->end);
        break;
    case ACTION_DATAGRAM:
        if (pair->end[action->end] != NULL)
            pair->end[action->end]->datagrams_planned++;
        check_send_datagram(pair->end[action->end]);
        break;
    case ACTION_KEYS:
        update_keys(play, pair->end[action->end]);
        break;
    case ACTION_MIGRATE:
        pair->moved = true;
        migrate(play, pair->end[0]);
        break;
    case ACTION_REBIND:
        play->check.totals.rebindings++;
        disturb_handshakes(play, pair->client);
        stoq_net_rebind(play->net, pair->client);
        break;
    case ACTION_CUT:
    case ACTION_HEAL:
        cut(play, pair, action->kind == ACTION_CUT);
        break;
    case ACTION_ABRUPT:
        pair->disturbed = true;
        play->check.totals.abrupt++;
        check_close(pair, action->end, 70 + pair->number);
        break;
    case ACTION_CRASH:
        disturb_server(play, pair->server);
        break;
    }
}

/* What a scenario consists of, for whoever looks into a seed. */
static void tell_scenario(const struct play *play)
{
    const struct stoq_config *config = &play->config[0];
    const struct stoq_net_link *link = stoq_net_link(play->net, 0, 1);

    (void)fprintf(
        stderr,
        "link: delay %llu us jitter %llu us, ppm lost %u twice %u flipped %u late %u, %llu "
        "bits/s queue %zu mtu %zu\n",
        (unsigned long long)(link->delay_ns / 1000), (unsigned long long)(link->jitter_ns / 1000),
        link->loss_ppm, link->duplicate_ppm, link->corrupt_ppm, link->late_ppm,
        (unsigned long long)link->rate_bits, link->queue_bytes, link->mtu);
    (void)fprintf(
        stderr,
        "config: payload %zu..%zu windows %llu %llu queue %zu streams %llu %llu early %d "
        "manual %d keep-alive %llu congestion %d rate %d %llu retry above %u\n",
        config->udp_payload, config->udp_payload_max, (unsigned long long)config->stream_window,
        (unsigned long long)config->connection_window, config->send_queue,
        (unsigned long long)config->streams_bidi, (unsigned long long)config->streams_uni,
        config->early_data, config->manual_credit, (unsigned long long)config->keep_alive_ns,
        (int)config->congestion, (int)config->rate, (unsigned long long)config->rate_bits,
        config->handshakes_before_retry);
}

static void act(void *arg)
{
    const struct action *action = arg;
    static const char *const names[] = {"connect", "flows", "datagram", "keys",   "migrate",
                                        "rebind",  "cut",   "heal",     "abrupt", "crash"};

    if (getenv("HM_STOQ_TRACE") != NULL && action->kind != ACTION_DATAGRAM)
        (void)fprintf(stderr, "%12.6f pair %u end %u: %s\n",
                      (double)(stoq_net_now(action->play->net) - STOQ_NET_START_NS) / 1e9,
                      action->pair->number, action->end, names[action->kind]);

    act_on(action->play, action->pair, action);
}

/* --- Running ------------------------------------------------------------------------------------------------------ */

/* In a step of its own, so that what it has to say leaves now. */
static void close_now(void *arg)
{
    struct check_pair *pair = arg;

    check_close(pair, pair->end[1] != NULL ? (unsigned)stoq_net_below(pair->check->net, 2) : 0, 7);
}

/* Whether all is over; pairs that have nothing left to do are closed on the way. */
static bool over(void *ctx)
{
    struct play *play = ctx;
    bool all = true;

    check_limits(&play->check);
    for (unsigned i = 0; i < play->check.pair_count; i++) {
        struct check_pair *pair = &play->check.pairs[i];
        if (!pair->finished && pair->started && pair->end[0]->ready && check_pair_quiet(pair)) {
            pair->finished = true;
            stoq_net_at(play->net, stoq_net_now(play->net), close_now, pair);
        }
        all = all && check_pair_over(pair);
    }
    for (const struct check_end *end = play->check.ends; all && end != NULL; end = end->next)
        all = end->closed || !end->accepted;
    return all || check_failed(&play->check);
}

static void tally(struct play *play, struct check_totals *totals)
{
    uint64_t *to = (uint64_t *)totals;
    const uint64_t *from = (const uint64_t *)&play->check.totals;

    play->check.totals.packets = stoq_net_counted(play->net)->delivered;
    for (size_t i = 0; i < sizeof *totals / sizeof *to; i++)
        to[i] += from[i];
}

/* Names the streams that are stuck, for whoever looks into a seed. */
static void tell_stuck(struct play *play)
{
    for (unsigned i = 0; i < play->check.flow_count; i++) {
        const struct check_flow *flow = &play->check.flows[i];
        const struct check_way *way = flow->way;
        if ((flow->closed[0] || !flow->known[0]) && (flow->closed[1] || !flow->known[1]) &&
            flow->opened && check_flow_fits(flow))
            continue;
        (void)fprintf(stderr,
                      "flow %u pair %u opener %u%s%s%s%s: %llu/%llu/%llu and %llu/%llu/%llu "
                      "(sent, taken, planned)\n",
                      i, flow->pair->number, flow->opener, flow->bidirectional ? " bidi" : "",
                      flow->denied ? " denied" : "", flow->opened ? " opened" : "",
                      flow->pair->disturbed ? " disturbed" : "", (unsigned long long)way[0].sent,
                      (unsigned long long)way[0].taken, (unsigned long long)way[0].planned,
                      (unsigned long long)way[1].sent, (unsigned long long)way[1].taken,
                      (unsigned long long)way[1].planned);
    }
    for (const struct check_end *end = play->check.ends; end != NULL; end = end->next) {
        struct stoq_conn_info info;
        if (end->conn == NULL)
            continue;
        stoq_conn_get_info(end->conn, &info);
        (void)fprintf(
            stderr,
            "pair %d end %u: window %llu, on the way %llu, rtt %llu us, payload %zu, packets "
            "%llu sent %llu received %llu lost, %llu streams open\n",
            end->pair != NULL ? (int)end->pair->number : -1, end->end,
            (unsigned long long)info.congestion_window, (unsigned long long)info.in_flight,
            (unsigned long long)info.rtt_ns / 1000, info.udp_payload,
            (unsigned long long)info.packets_sent, (unsigned long long)info.packets_received,
            (unsigned long long)info.packets_lost, (unsigned long long)info.streams_open);
    }
}

bool stoq_play_run(uint64_t seed, struct check_totals *totals, char why[STOQ_PLAY_WHY_BYTES])
{
    static struct play play;
    bool good;

    memset(&play, 0, sizeof play);
    play.net = stoq_net_new(seed);
    check_init(&play.check, play.net, seed);
    stoq_net_fix_openssl(IDENTITY_SEED);
    choose_network(&play);
    if (make_identities(&play)) {
        stoq_net_fix_openssl(seed); /* the same whether identities were made now or earlier */
        make_nodes(&play);
    }
    for (uint64_t n = 1 + below(&play, 6); n > 0 && !check_failed(&play.check); n--)
        plan_pair(&play);
    if (getenv("HM_STOQ_TRACE") != NULL)
        tell_scenario(&play);
    if (!check_failed(&play.check) &&
        !stoq_net_run(play.net, STOQ_NET_START_NS + VIRTUAL_SECONDS * SECOND, over, &play)) {
        check_fail(&play.check,
                   stoq_net_spins(play.net) ? "an endpoint asks to be called without time passing"
                                            : "not over after %d virtual seconds",
                   VIRTUAL_SECONDS);
    }
    if (!check_failed(&play.check))
        check_outcome(&play.check);
    good = !check_failed(&play.check);
    tally(&play, totals);
    if (!good && getenv("HM_STOQ_TRACE") != NULL)
        tell_stuck(&play);
    if (!good)
        (void)snprintf(why, STOQ_PLAY_WHY_BYTES, "at %.6f s: %s",
                       (double)(stoq_net_now(play.net) - STOQ_NET_START_NS) / 1e9, play.check.why);
    stoq_net_free(play.net);
    check_release(&play.check);
    return good;
}
