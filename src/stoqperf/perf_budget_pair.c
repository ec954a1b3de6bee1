/* The transport without system calls: two endpoints in one thread, trains handed over in memory, a clock of their own. */
#include "perf_budget.h"

#include <string.h>

#define STEP_NS 20000 /* how long a train is on its way */

struct pair {
    struct stoq_endpoint *client, *server;
    struct stoq_conn *conn;
    struct sockaddr_in6 address[2];
    struct stoq_stream *stream;
    uint8_t *piece, *train;
    uint64_t now_ns, packets;
    double send_s, receive_s;
    bool connected, ended;
};

static void keep_piece(void *cookie)
{
    (void)cookie; /* the pair's for the whole run */
}

static void fill(struct pair *pair)
{
    while (stoq_stream_write(pair->stream, pair->piece, PERF_PIECE_BYTES, false, keep_piece,
                             NULL) == 0)
        ;
}

static void on_connected(void *ctx, struct stoq_conn *conn)
{
    (void)conn;
    ((struct pair *)ctx)->connected = true;
}

static void on_closed(void *ctx, struct stoq_conn *conn, const struct stoq_close *why)
{
    (void)conn;
    (void)why;
    ((struct pair *)ctx)->ended = true;
}

static void on_writable(void *ctx, struct stoq_stream *stream)
{
    (void)stream;
    fill(ctx);
}

static size_t on_received(void *ctx, struct stoq_stream *stream, const uint8_t *data, size_t len,
                          bool fin)
{
    (void)ctx;
    (void)stream;
    (void)data;
    (void)fin;
    return len;
}

/* Carries all that one side has to say now; true if it was anything. */
static bool carry(struct pair *pair, bool client)
{
    struct stoq_endpoint *from = client ? pair->client : pair->server;
    struct stoq_endpoint *to = client ? pair->server : pair->client;
    struct stoq_train train = {0};
    bool any = false;
    size_t len;

    for (;;) {
        double start = perf_thread_seconds();
        len = stoq_endpoint_send(from, pair->train, PERF_TRAIN_BYTES, &train, pair->now_ns);
        double between = perf_thread_seconds();
        *(client ? &pair->send_s : &pair->receive_s) += between - start;
        if (len == 0)
            return any;
        struct stoq_packet packet = {
            .path = {.local = pair->address[client], .remote = pair->address[!client]},
            .data = pair->train,
            .len = len,
            .segment = train.segment == 0 ? len : train.segment};
        stoq_endpoint_receive(to, &packet, 1, pair->now_ns);
        *(client ? &pair->receive_s : &pair->send_s) += perf_thread_seconds() - between;
        if (client)
            pair->packets += (len + packet.segment - 1) / packet.segment;
        any = true;
    }
}

static void step(struct pair *pair)
{
    bool any = carry(pair, true);

    any |= carry(pair, false);
    uint64_t client = stoq_endpoint_deadline(pair->client);
    uint64_t server = stoq_endpoint_deadline(pair->server);
    uint64_t next = client < server ? client : server;
    pair->now_ns = any || next <= pair->now_ns ? pair->now_ns + STEP_NS : next;
    if (client <= pair->now_ns)
        stoq_endpoint_expire(pair->client, pair->now_ns);
    if (server <= pair->now_ns)
        stoq_endpoint_expire(pair->server, pair->now_ns);
}

static int pair_run(struct pair *pair, double seconds, struct stoq_error *error)
{
    struct stoq_target target = {.path = {.local = pair->address[0], .remote = pair->address[1]},
                                 .name = PERF_NAME};
    struct stoq_stream_options options = {.tag = {(const uint8_t *)"count", 5}};
    int code = stoq_endpoint_connect(pair->client, &target, pair->now_ns, &pair->conn, error);

    for (uint64_t i = 0; code == 0 && !pair->connected && !pair->ended && i < 1000; i++)
        step(pair);
    if (code == 0 && pair->connected && !pair->ended)
        code = stoq_conn_open(pair->conn, &options, &pair->stream, error);
    else if (code == 0)
        *error = (struct stoq_error){.code = code = STOQ_EINTERNAL,
                                     .text = "two endpoints in memory did not connect"};
    if (code != 0)
        return code;
    fill(pair);
    /* The first half opens the windows and is not counted. */
    for (int half = 0; half < 2; half++) {
        pair->send_s = pair->receive_s = 0;
        pair->packets = 0;
        while (pair->send_s + pair->receive_s < seconds / 2 && !pair->ended)
            step(pair);
    }
    if (!pair->ended)
        return 0;
    *error = (struct stoq_error){.code = STOQ_EINTERNAL, .text = "the connection in memory ended"};
    return STOQ_EINTERNAL;
}

static int pair_open(struct pair *pair, const struct perf_options *options, bool server,
                     struct stoq_error *error)
{
    const struct stoq_handlers handlers = {.ctx = pair,
                                           .connected = on_connected,
                                           .closed = on_closed,
                                           .writable = on_writable,
                                           .received = on_received};
    struct stoq_host_config config;
    int code = perf_host_config(&config, options, server, error);

    if (code != 0)
        return code;
    code = stoq_endpoint_new(server ? &pair->server : &pair->client, &config.endpoint, &handlers,
                             error);
    stoq_identity_unref(config.endpoint.identity);
    return code;
}

int perf_pair_measure(struct perf_pair_cost *cost, const struct perf_options *options,
                      struct stoq_error *error)
{
    struct pair pair = {.now_ns = 1000000000,
                        .piece = hm_calloc(1, PERF_PIECE_BYTES),
                        .train = hm_calloc(1, PERF_TRAIN_BYTES + 1)};
    int code = pair.piece != NULL && pair.train != NULL ? 0 : STOQ_ENOMEM;

    for (int i = 0; i < 2; i++)
        pair.address[i] = (struct sockaddr_in6){.sin6_family = AF_INET6,
                                                .sin6_port = htons((uint16_t)(1000 + i)),
                                                .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    if (code == 0)
        code = pair_open(&pair, options, false, error);
    if (code == 0)
        code = pair_open(&pair, options, true, error);
    if (code == 0)
        code = pair_run(&pair, options->seconds, error);
    if (code == 0 && pair.packets > 0) {
        cost->packets = pair.packets;
        cost->send_ns = pair.send_s * 1e9 / (double)pair.packets;
        cost->receive_ns = pair.receive_s * 1e9 / (double)pair.packets;
    }
    stoq_endpoint_free(pair.client);
    stoq_endpoint_free(pair.server);
    hm_free(pair.piece);
    hm_free(pair.train);
    return code;
}
