/* See test_core_world.h. */
#include "test_core_world.h"

static struct stoq_identity *identity;

static uint8_t pattern(uint64_t id, uint64_t offset)
{
    return (uint8_t)(id * 37 + offset * 131 + (offset >> 8) * 7);
}

int world_verify_any(void *ctx, const struct stoq_peer *peer, uint8_t *alert,
                     struct stoq_error *error)
{
    (void)ctx;
    (void)alert;
    (void)error;
    assert_non_null(peer);
    return 0;
}

/* --- The application ---------------------------------------------------------------------------------------------- */

static struct flow *new_flow(struct app *app, struct stoq_stream *stream)
{
    struct flow *flow = &app->flows[app->flow_count % WORLD_FLOWS];

    app->flow_count++;
    *flow = (struct flow){.app = app, .stream = stream};
    return flow;
}

struct flow *world_flow(struct app *app, uint64_t stream_id)
{
    unsigned count = app->flow_count < WORLD_FLOWS ? app->flow_count : WORLD_FLOWS;

    for (unsigned i = 0; i < count; i++)
        if (app->flows[i].id == stream_id)
            return &app->flows[i];
    return NULL;
}

void world_forget(struct app *app)
{
    for (unsigned i = 0; i < WORLD_FLOWS; i++)
        app->flows[i].id = UINT64_MAX;
}

void world_pump(struct flow *flow)
{
    uint8_t data[16384];

    while (flow->stream != NULL && !flow->fin_sent) {
        uint64_t left = flow->total - flow->sent;
        size_t len = left < sizeof data ? (size_t)left : sizeof data;
        int64_t taken;
        for (size_t i = 0; i < len; i++)
            data[i] = pattern(flow->id, flow->sent + i);
        taken = stoq_stream_send(flow->stream, data, len, len == left);
        if (taken < 0)
            return;
        flow->sent += (uint64_t)taken;
        if ((size_t)taken < len)
            return;
        flow->fin_sent = len == left;
    }
}

static int on_accepted(void *ctx, struct stoq_conn *conn)
{
    struct app *app = ctx;

    app->accepted++;
    app->live++;
    app->conn = conn;
    return 0;
}

static void on_connected(void *ctx, struct stoq_conn *conn)
{
    struct app *app = ctx;

    (void)conn;
    app->connected++;
}

static void on_closed(void *ctx, struct stoq_conn *conn, const struct stoq_close *why)
{
    struct app *app = ctx;

    if (conn == app->kept)
        fail_msg("a connection that had to live ended: %s", why->text);
    app->closed++;
    app->live--;
    app->why = *why;
    (void)snprintf(app->text, sizeof app->text, "%s", why->text);
    app->why.text = app->text;
    if (app->conn == conn)
        app->conn = NULL;
}

static void on_session(void *ctx, struct stoq_conn *conn, struct stoq_bytes session)
{
    struct app *app = ctx;

    (void)conn;
    assert_true(session.len <= sizeof app->session);
    app->sessions++;
    memcpy(app->session, session.data, session.len);
    app->session_len = session.len;
}

static void on_available(void *ctx, struct stoq_conn *conn, bool bidirectional)
{
    struct app *app = ctx;

    (void)conn;
    (void)bidirectional;
    app->available++;
}

static int on_permit(void *ctx, struct stoq_conn *conn, struct stoq_bytes tag, bool bidirectional)
{
    struct app *app = ctx;

    (void)conn;
    (void)tag;
    (void)bidirectional;
    app->permits++;
    return app->permit_result;
}

static void on_stream_opened(void *ctx, struct stoq_stream *stream)
{
    struct app *app = ctx;
    struct flow *flow = new_flow(app, stream);

    app->opened++;
    flow->id = stoq_stream_id(stream);
    stoq_stream_set_user(stream, flow);
    if (app->answer > 0 && (flow->id & 2) == 0) {
        flow->total = app->answer;
        world_pump(flow);
    }
}

static size_t on_received(void *ctx, struct stoq_stream *stream, const uint8_t *data, size_t len,
                          bool fin)
{
    struct app *app = ctx;
    struct flow *flow = stoq_stream_user(stream);

    assert_non_null(flow);
    assert_ptr_equal(flow->stream, stream);
    assert_false(flow->fin_seen);
    if (app->lazy)
        return 0;
    for (size_t i = 0; i < len; i++)
        if (data[i] != pattern(stoq_stream_id(stream), flow->taken + i))
            fail_msg("stream %llu: byte %llu is wrong", (unsigned long long)stoq_stream_id(stream),
                     (unsigned long long)(flow->taken + i));
    flow->taken += len;
    app->taken += len;
    flow->fin_seen = fin;
    flow->early = flow->early || stoq_stream_is_early(stream);
    return len;
}

static void on_writable(void *ctx, struct stoq_stream *stream)
{
    struct app *app = ctx;
    struct flow *flow = stoq_stream_user(stream);

    app->writables++;
    if (flow != NULL)
        world_pump(flow);
}

static void on_stream_reset(void *ctx, struct stoq_stream *stream, uint64_t code)
{
    struct flow *flow = stoq_stream_user(stream);

    (void)ctx;
    assert_non_null(flow);
    flow->reset_code = code;
}

static void on_stream_stopped(void *ctx, struct stoq_stream *stream, uint64_t code)
{
    struct flow *flow = stoq_stream_user(stream);

    (void)ctx;
    assert_non_null(flow);
    flow->stop_code = code;
}

static void on_stream_closed(void *ctx, struct stoq_stream *stream)
{
    struct flow *flow = stoq_stream_user(stream);

    (void)ctx;
    assert_non_null(flow);
    assert_ptr_equal(flow->stream, stream);
    flow->stream = NULL;
    flow->closed = true;
}

static void on_datagrams(void *ctx, struct stoq_conn *conn, const struct stoq_bytes *list,
                         size_t count)
{
    struct app *app = ctx;

    (void)conn;
    assert_non_null(list);
    app->datagrams += (unsigned)count;
}

static void on_path_changed(void *ctx, struct stoq_conn *conn)
{
    struct app *app = ctx;

    (void)conn;
    app->path_changes++;
}

static const struct stoq_handlers handlers = {.accepted = on_accepted,
                                              .connected = on_connected,
                                              .closed = on_closed,
                                              .session = on_session,
                                              .streams_available = on_available,
                                              .permit = on_permit,
                                              .stream_opened = on_stream_opened,
                                              .received = on_received,
                                              .writable = on_writable,
                                              .stream_reset = on_stream_reset,
                                              .stream_stopped = on_stream_stopped,
                                              .stream_closed = on_stream_closed,
                                              .datagrams = on_datagrams,
                                              .path_changed = on_path_changed};

/* --- The world ------------------------------------------------------------------------------------------------------ */

struct app *world_add(struct world *world, bool server)
{
    struct app *app = &world->apps[world->count++];
    struct stoq_error error;

    assert_true(world->count <= WORLD_APPS);
    if (identity == NULL)
        assert_int_equal(stoq_identity_self_signed(&identity, "server.test",
                                                   STOQ_NET_WALL_SECONDS - 1000, 365, &error),
                         0);
    memset(app, 0, sizeof *app);
    app->world = world;
    app->node = stoq_net_add(world->net);
    app->handlers = handlers;
    app->handlers.ctx = app;
    stoq_config_default(&app->config);
    app->config.identity = identity;
    app->config.verify = world_verify_any;
    app->config.server = server;
    app->config.alpn = "test";
    memset(app->config.secret, (int)(1 + app->node), sizeof app->config.secret);
    stoq_net_world(world->net, app->node, &app->config);
    return app;
}

void world_init(struct world *world, uint64_t seed)
{
    static const struct stoq_net_link link = {.delay_ns = 5 * MS, .mtu = 1500};

    world->count = 0;
    stoq_net_fix_openssl(seed);
    world->net = stoq_net_new(seed);
    stoq_net_link_all(world->net, &link);
    (void)world_add(world, true);
    (void)world_add(world, false);
}

void world_release(struct world *world)
{
    stoq_net_free(world->net);
    world->net = NULL;
    stoq_identity_unref(identity);
    identity = NULL;
}

void world_start(struct app *app)
{
    struct stoq_endpoint *endpoint;
    struct stoq_error error;

    if (stoq_endpoint_new(&endpoint, &app->config, &app->handlers, &error) != 0)
        fail_msg("no endpoint: %s", error.text);
    stoq_net_attach(app->world->net, app->node, endpoint);
}

struct stoq_conn *world_connect(struct world *world, unsigned from, unsigned to,
                                struct stoq_bytes session)
{
    struct app *app = &world->apps[from];
    struct stoq_target target = {.path = stoq_net_path(world->net, app->node, world->apps[to].node),
                                 .name = "server.test",
                                 .session = session};
    struct stoq_conn *conn;
    struct stoq_error error;

    if (stoq_endpoint_connect(stoq_net_endpoint(world->net, app->node), &target,
                              stoq_net_node_now(world->net, app->node), &conn, &error) != 0)
        fail_msg("no connect: %s", error.text);
    app->conn = conn;
    app->live++;
    return conn;
}

bool world_until(struct world *world, uint64_t ns, bool (*done)(void *ctx), void *ctx)
{
    bool reached = stoq_net_run_for(world->net, ns, done, ctx);

    assert_false(stoq_net_spins(world->net));
    return reached;
}

static bool both_ready(void *ctx)
{
    struct world *world = ctx;

    return world->apps[CLIENT].connected > 0 && world->apps[SERVER].accepted > 0;
}

void world_join(struct world *world)
{
    world_start(&world->apps[SERVER]);
    world_start(&world->apps[CLIENT]);
    (void)world_connect(world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
    if (!world_until(world, 5 * SECOND, both_ready, world))
        fail_msg("no connection: client %s, server %s", world->apps[CLIENT].text,
                 world->apps[SERVER].text);
    /* Until the handshake is confirmed, too. */
    (void)world_until(world, 100 * MS, NULL, NULL);
}

struct flow *world_send(struct app *app, uint64_t total, const struct stoq_stream_options *options)
{
    struct stoq_stream *stream;
    struct stoq_error error;
    struct flow *flow;

    assert_non_null(app->conn);
    if (stoq_conn_open(app->conn, options, &stream, &error) != 0)
        fail_msg("no stream: %s", error.text);
    flow = new_flow(app, stream);
    flow->id = stoq_stream_id(stream);
    flow->total = total;
    stoq_stream_set_user(stream, flow);
    world_pump(flow);
    return flow;
}

struct arrival {
    struct app *app;
    uint64_t id;
};

static bool until_arrived(void *ctx)
{
    const struct arrival *arrival = ctx;
    const struct flow *flow = world_flow(arrival->app, arrival->id);

    return flow != NULL && flow->fin_seen;
}

void world_works(struct world *world, unsigned from, unsigned to)
{
    static const struct stoq_stream_options options = {.unidirectional = true};
    struct flow *flow = world_send(&world->apps[from], 5000, &options);
    struct arrival arrival = {&world->apps[to], flow->id};
    uint64_t before = world->apps[to].taken;

    /* An id may have been used by a connection before this one. */
    for (unsigned i = 0; i < WORLD_FLOWS; i++)
        if (world->apps[to].flows[i].closed)
            world->apps[to].flows[i].id = UINT64_MAX;
    if (!world_until(world, 20 * SECOND, until_arrived, &arrival))
        fail_msg("a stream from %u to %u does not arrive", from, to);
    assert_int_equal(world->apps[to].taken, before + 5000);
}

static bool is_heard(void *ctx, unsigned from, const struct sockaddr_in6 *to, uint8_t *data,
                     size_t len)
{
    (void)to;
    (void)data;
    (void)len;
    return from != *(const unsigned *)ctx;
}

void world_mute(struct world *world, unsigned node)
{
    static unsigned mute;

    mute = node;
    stoq_net_tap(world->net, is_heard, &mute);
}

uint64_t world_count(struct world *world, unsigned node, enum stoq_counter counter)
{
    uint64_t counters[STOQ_COUNTERS];

    stoq_endpoint_counters(stoq_net_endpoint(world->net, world->apps[node].node), counters);
    return counters[counter];
}

bool until_closed(void *ctx)
{
    const struct app *app = ctx;

    return app->closed > 0;
}

bool until_connected(void *ctx)
{
    const struct app *app = ctx;

    return app->connected > 0;
}

bool until_ready(void *ctx)
{
    const struct app *app = ctx;

    return app->connected + app->accepted > 0;
}

bool until_alone(void *ctx)
{
    const struct app *app = ctx;

    return stoq_endpoint_connections(stoq_net_endpoint(app->world->net, app->node)) == 0;
}

bool until_fin(void *ctx)
{
    const struct flow *flow = ctx;

    return flow->fin_seen;
}

bool until_flow_closed(void *ctx)
{
    const struct flow *flow = ctx;

    return flow->closed;
}
