/* Limits of the core: connections, handshakes, streams, tags, datagrams, slow readers, arguments. */
#include "test_core_world.h"

static struct world world;

static size_t connections(void)
{
    return stoq_endpoint_connections(stoq_net_endpoint(world.net, SERVER));
}

static void test_connections(void **state)
{
    (void)state;
    world_init(&world, 7);
    world.apps[SERVER].config.connections_max = 3;
    world_start(&world.apps[SERVER]);
    for (unsigned i = 0; i < 5; i++) {
        struct app *app = i == 0 ? &world.apps[CLIENT] : world_add(&world, false);
        world_start(app);
        (void)world_connect(&world, app->node, SERVER, (struct stoq_bytes){NULL, 0});
    }
    (void)world_until(&world, 5 * SECOND, NULL, NULL);
    assert_int_equal(connections(), 3);
    assert_int_equal(world.apps[SERVER].accepted, 3);
    assert_true(world_count(&world, SERVER, STOQ_COUNT_DROP_CONNECTIONS) > 0);
    (void)world_until(&world, 10 * SECOND, NULL, NULL);
    for (unsigned i = CLIENT; i < world.count; i++) {
        const struct app *app = &world.apps[i];
        assert_int_equal(app->connected + app->closed, 1);
        if (app->closed)
            assert_true(app->why.kind == STOQ_CLOSE_HANDSHAKE_TIMEOUT ||
                        app->why.kind == STOQ_CLOSE_PEER_TRANSPORT);
    }
    world_release(&world);
}

static void test_own_connections(void **state)
{
    struct stoq_target target;
    struct stoq_conn *conn;

    (void)state;
    world_init(&world, 7);
    world.apps[CLIENT].config.connections_max = 1;
    world_join(&world);
    target = (struct stoq_target){.path = stoq_net_path(world.net, CLIENT, SERVER), .name = "x"};
    assert_int_equal(stoq_endpoint_connect(stoq_net_endpoint(world.net, CLIENT), &target,
                                           stoq_net_now(world.net), &conn, NULL),
                     STOQ_ELIMIT);
    world_release(&world);
}

static void test_handshake_rate(void **state)
{
    unsigned connected = 0;

    (void)state;
    world_init(&world, 7);
    world.apps[SERVER].config.handshakes_per_second = 2;
    world_start(&world.apps[SERVER]);
    for (unsigned i = 0; i < 8; i++) {
        struct app *app = i == 0 ? &world.apps[CLIENT] : world_add(&world, false);
        world_start(app);
        (void)world_connect(&world, app->node, SERVER, (struct stoq_bytes){NULL, 0});
    }
    (void)world_until(&world, 900 * MS, NULL, NULL);
    assert_in_range(world.apps[SERVER].accepted, 1, 4);
    assert_true(world_count(&world, SERVER, STOQ_COUNT_DROP_HANDSHAKE_RATE) > 0);
    (void)world_until(&world, 9 * SECOND, NULL, NULL);
    for (unsigned i = CLIENT; i < world.count; i++)
        connected += world.apps[i].connected;
    assert_true(connected >= 6); /* those that came again got in */
    world_release(&world);
}

static void test_streams(void **state)
{
    struct stoq_stream_options options = {.unidirectional = true};
    struct stoq_stream *stream;
    struct app *client = &world.apps[CLIENT];
    struct flow *first;
    unsigned available;

    (void)state;
    world_init(&world, 7);
    world.apps[SERVER].config.streams_bidi = 4;
    world.apps[SERVER].config.streams_uni = 2;
    world.apps[SERVER].answer = 10;
    world.apps[SERVER].lazy = true;
    world_join(&world);
    first = world_send(client, 100, NULL);
    for (unsigned i = 1; i < 4; i++)
        (void)world_send(client, 100, NULL);
    assert_int_equal(stoq_conn_open(client->conn, NULL, &stream, NULL), STOQ_EBUSY);
    (void)world_send(client, 100, &options);
    (void)world_send(client, 100, &options);
    assert_int_equal(stoq_conn_open(client->conn, &options, &stream, NULL), STOQ_EBUSY);
    (void)world_until(&world, SECOND, NULL, NULL);
    assert_int_equal(world.apps[SERVER].opened, 6);
    available = client->available;
    /* The server reads one to its end: one more may be opened. */
    {
        struct flow *there = world_flow(&world.apps[SERVER], first->id);
        uint8_t buffer[200];
        bool fin = false;
        assert_int_equal(stoq_stream_read(there->stream, buffer, sizeof buffer, &fin), 100);
        assert_true(fin);
    }
    (void)world_until(&world, SECOND, NULL, NULL);
    assert_true(client->available > available);
    (void)world_send(client, 100, NULL);
    assert_int_equal(stoq_conn_open(client->conn, NULL, &stream, NULL), STOQ_EBUSY);
    world_release(&world);
}

/* Many streams opened and reset at once: none is left. */
static void test_stream_flood(void **state)
{
    struct stoq_conn_info info;
    unsigned opened = 0;

    (void)state;
    world_init(&world, 7);
    world_join(&world);
    for (unsigned round = 0; round < 200; round++) {
        struct stoq_stream *stream;
        while (stoq_conn_open(world.apps[CLIENT].conn, NULL, &stream, NULL) == 0) {
            struct flow *flow = &world.apps[CLIENT].flows[opened++ % WORLD_FLOWS];
            *flow = (struct flow){.app = &world.apps[CLIENT], .stream = stream};
            stoq_stream_set_user(stream, flow);
            (void)stoq_stream_send(stream, "x", 1, false);
            stoq_stream_reset(stream, 1);
            stoq_stream_stop(stream, 1);
        }
        (void)world_until(&world, 30 * MS, NULL, NULL);
        for (unsigned i = 0; i < WORLD_FLOWS; i++) { /* the server gives up its side, too */
            struct flow *flow = &world.apps[SERVER].flows[i];
            if (flow->stream != NULL) {
                stoq_stream_reset(flow->stream, 2);
                stoq_stream_stop(flow->stream, 2);
            }
        }
    }
    (void)world_until(&world, SECOND, NULL, NULL);
    assert_true(opened > 2000);
    stoq_conn_get_info(world.apps[SERVER].conn, &info);
    assert_int_equal(info.streams_open, 0);
    stoq_conn_get_info(world.apps[CLIENT].conn, &info);
    assert_int_equal(info.streams_open, 0);
    assert_true(info.memory < 1 << 20);
    world_works(&world, CLIENT, SERVER);
    world_release(&world);
}

/* Given up before a byte has left: the stream ends at both ends all the same, and its number may be used again. */
static void test_reset_at_once(void **state)
{
    (void)state;
    for (unsigned lossy = 0; lossy < 2; lossy++) {
        world_init(&world, 8);
        world.apps[SERVER].config.streams_uni = 2;
        world_join(&world);
        stoq_net_link(world.net, CLIENT, SERVER)->loss_ppm = lossy ? 300000 : 0;
        for (unsigned i = 0; i < 20; i++) {
            struct stoq_stream_options options = {.unidirectional = true};
            struct stoq_stream *stream;
            struct flow *flow = &world.apps[CLIENT].flows[0];
            int code = stoq_conn_open(world.apps[CLIENT].conn, &options, &stream, NULL);
            if (code != 0)
                fail_msg("%s: stream %u: %d", lossy ? "with loss" : "without loss", i, code);
            *flow = (struct flow){.app = &world.apps[CLIENT], .stream = stream};
            stoq_stream_set_user(stream, flow);
            assert_int_equal(stoq_stream_send(stream, "gone", 4, i % 2 == 0), 4);
            stoq_stream_reset(stream, 1);
            if (!world_until(&world, 20 * SECOND, until_flow_closed, flow))
                fail_msg("%s: stream %u never ended", lossy ? "with loss" : "without loss", i);
            (void)world_until(&world, SECOND, NULL, NULL);
        }
        world_release(&world);
    }
}

static void test_denied(void **state)
{
    uint8_t tag[STOQ_TAG_BYTES_MAX] = {1};
    struct stoq_stream_options options = {.tag = {tag, sizeof tag}};
    struct flow *flow;

    (void)state;
    world_init(&world, 7);
    world.apps[SERVER].permit_result = STOQ_EPERM;
    world_join(&world);
    flow = world_send(&world.apps[CLIENT], 100000, &options);
    assert_true(world_until(&world, 5 * SECOND, until_flow_closed, flow));
    assert_int_equal(flow->stop_code, STOQ_APP_DENIED);
    assert_int_equal(world.apps[SERVER].opened, 0);
    assert_int_equal(world.apps[SERVER].taken, 0);
    assert_int_equal(world_count(&world, SERVER, STOQ_COUNT_STREAMS_DENIED), 1);
    world.apps[SERVER].permit_result = 0;
    world_works(&world, CLIENT, SERVER);
    world_release(&world);
}

/* A reader that never reads holds one window, and no other stream waits for it. */
static void test_slow_reader(void **state)
{
    struct app *client = &world.apps[CLIENT], *server = &world.apps[SERVER];
    struct stoq_stream_options one_way = {.unidirectional = true};
    struct stoq_conn_info info;
    static uint8_t buffer[65536];
    struct flow *flow, *there;
    bool fin = false;

    (void)state;
    world_init(&world, 7);
    server->config.stream_window = 256 << 10;
    server->config.connection_window = 1 << 20;
    client->config.send_queue = 128 << 10;
    server->lazy = true;
    world_join(&world);
    flow = world_send(client, 5000000, &one_way);
    (void)world_until(&world, 10 * SECOND, NULL, NULL);
    assert_in_range(flow->sent, 256 << 10, (256 + 128 + 1) << 10);
    stoq_conn_get_info(server->conn, &info);
    assert_in_range(info.memory, 200 << 10, (256 << 10) + (512 << 10));
    stoq_conn_get_info(client->conn, &info);
    assert_in_range(info.memory, 100 << 10, (128 << 10) + (512 << 10));
    there = world_flow(server, flow->id);
    server->lazy = false;
    world_works(&world, CLIENT, SERVER);
    while (!fin) {
        size_t len = stoq_stream_read(there->stream, buffer, sizeof buffer, &fin);
        there->taken += len;
        if (len == 0 && !fin)
            assert_true(world_until(&world, 100 * MS, NULL, NULL));
        if (there->stream == NULL || there->fin_seen)
            break; /* `received` took over once nothing waited */
    }
    (void)world_until(&world, 20 * SECOND, NULL, NULL);
    assert_int_equal(there->taken, 5000000);
    world_release(&world);
}

static void test_datagrams(void **state)
{
    static uint8_t data[70000];
    struct stoq_bytes list[300];
    struct app *client = &world.apps[CLIENT];
    size_t size, taken;

    (void)state;
    world_init(&world, 7);
    client->config.datagram_max = 4096;
    client->config.datagram_queue = 32768;
    world_join(&world);
    size = stoq_conn_datagram_size(client->conn);
    assert_in_range(size, 1000, 65535);
    list[0] = (struct stoq_bytes){data, size + 1};
    assert_int_equal(stoq_conn_datagrams(client->conn, list, 1), 0);
    list[0] = (struct stoq_bytes){data, sizeof data};
    assert_int_equal(stoq_conn_datagrams(client->conn, list, 1), 0);
    for (size_t i = 0; i < HM_COUNT_OF(list); i++)
        list[i] = (struct stoq_bytes){data, 1000};
    taken = stoq_conn_datagrams(client->conn, list, HM_COUNT_OF(list));
    assert_in_range(taken, 20, 33); /* the queue's limit */
    (void)world_until(&world, SECOND, NULL, NULL);
    assert_int_equal(world.apps[SERVER].datagrams, taken);
    world_release(&world);
}

static void refuses(struct stoq_config *config)
{
    static const struct stoq_handlers none;
    struct stoq_endpoint *endpoint = NULL;
    struct stoq_error error = {.code = 0};

    assert_int_equal(stoq_endpoint_new(&endpoint, config, &none, &error), STOQ_EINVAL);
    assert_null(endpoint);
    assert_true(error.text[0] != '\0');
}

static void test_arguments(void **state)
{
    char name[STOQ_NAME_BYTES_MAX + 2], alpn[STOQ_ALPN_BYTES_MAX + 2];
    uint8_t tag[STOQ_TAG_BYTES_MAX + 1] = {0};
    struct stoq_stream_options options = {.tag = {tag, sizeof tag}};
    struct stoq_target target;
    struct stoq_config config;
    struct stoq_stream *stream;
    struct stoq_conn *conn;

    (void)state;
    world_init(&world, 7);
    memset(name, 'n', sizeof name - 1);
    memset(alpn, 'a', sizeof alpn - 1);
    name[sizeof name - 1] = alpn[sizeof alpn - 1] = '\0';
    config = world.apps[SERVER].config;
    config.alpn = alpn;
    refuses(&config);
    config = world.apps[SERVER].config;
    config.udp_payload = 1199;
    refuses(&config);
    config = world.apps[SERVER].config;
    config.udp_payload_max = STOQ_UDP_PAYLOAD_MAX + 1;
    refuses(&config);
    config = world.apps[SERVER].config;
    config.verify = NULL;
    refuses(&config);
    config = world.apps[SERVER].config;
    config.identity = NULL;
    refuses(&config);
    world_join(&world);
    target = (struct stoq_target){.path = stoq_net_path(world.net, CLIENT, SERVER), .name = name};
    assert_int_equal(stoq_endpoint_connect(stoq_net_endpoint(world.net, CLIENT), &target,
                                           stoq_net_now(world.net), &conn, NULL),
                     STOQ_EINVAL);
    assert_int_equal(stoq_conn_open(world.apps[CLIENT].conn, &options, &stream, NULL), STOQ_EINVAL);
    options = (struct stoq_stream_options){.priority = STOQ_PRIORITY_CLASSES};
    assert_int_equal(stoq_conn_open(world.apps[CLIENT].conn, &options, &stream, NULL), STOQ_EINVAL);
    options = (struct stoq_stream_options){.weight = STOQ_WEIGHT_MAX + 1};
    assert_int_equal(stoq_conn_open(world.apps[CLIENT].conn, &options, &stream, NULL), STOQ_EINVAL);
    world_works(&world, CLIENT, SERVER);
    world_release(&world);
}

/* A reason longer than may travel is cut; bytes that are not printable do not come out at the other end. */
static void test_reason(void **state)
{
    char reason[600];

    (void)state;
    world_init(&world, 7);
    world_join(&world);
    memset(reason, 'r', sizeof reason - 1);
    reason[3] = '\x1b';
    reason[sizeof reason - 1] = '\0';
    stoq_conn_close(world.apps[CLIENT].conn, 42, reason);
    stoq_conn_close(world.apps[CLIENT].conn, 43, "twice");
    assert_true(world_until(&world, 5 * SECOND, until_closed, &world.apps[SERVER]));
    assert_int_equal(world.apps[SERVER].why.kind, STOQ_CLOSE_PEER_APPLICATION);
    assert_int_equal(world.apps[SERVER].why.code, 42);
    assert_true(strstr(world.apps[SERVER].text, "rrrrrrrr") != NULL);
    assert_null(strchr(world.apps[SERVER].text, '\x1b'));
    assert_true(strlen(world.apps[SERVER].text) < 300);
    assert_true(world_until(&world, 5 * SECOND, until_closed, &world.apps[CLIENT]));
    assert_int_equal(world.apps[CLIENT].why.kind, STOQ_CLOSE_LOCAL);
    world_release(&world);
}

/* --- Streams that ngtcp2 does not let go of ---------------------------------------------------------------------------- */

static bool swallow_first(void *ctx, unsigned from, const struct sockaddr_in6 *to, uint8_t *data,
                          size_t len)
{
    unsigned *seen = ctx;

    (void)to;
    (void)data;
    (void)len;
    return seen[from]++ > 0;
}

/* Bytes that come out of order on a stopped stream are lost to ngtcp2, which has acknowledged them: their sender is done
 * before it hears of the stop. When it stops the other direction, the stream is over here too. */
static void test_stopped_both_ways(void **state)
{
    static const uint8_t zeros[3500];
    struct app *client = &world.apps[CLIENT], *server = &world.apps[SERVER];
    struct flow *flow = &client->flows[0], *there;
    unsigned seen[2] = {0};
    struct stoq_stream *stream;

    (void)state;
    world_init(&world, 17);
    server->lazy = true;
    server->config.udp_payload_max = client->config.udp_payload_max = 1452;
    world_join(&world);
    (void)world_until(&world, 100 * MS, NULL, NULL);
    assert_int_equal(stoq_conn_open(client->conn, NULL, &stream, NULL), 0);
    *flow = (struct flow){.app = client, .stream = stream, .id = stoq_stream_id(stream)};
    stoq_stream_set_user(stream, flow);
    assert_int_equal(stoq_stream_send(stream, zeros, 100, false), 100);
    (void)world_until(&world, 100 * MS, NULL, NULL);
    there = world_flow(server, flow->id);
    assert_non_null(there);
    stoq_net_tap(world.net, swallow_first, seen); /* the stop, and the first of three packets */
    stoq_stream_stop(there->stream, 5);
    assert_int_equal(stoq_stream_send(stream, zeros, sizeof zeros, true), sizeof zeros);
    (void)world_until(&world, 2 * SECOND, NULL, NULL);
    assert_false(there->closed);
    assert_int_equal(flow->stop_code, 0); /* nothing was left to stop */
    stoq_stream_stop(stream, 6);
    (void)world_until(&world, 2 * SECOND, NULL, NULL);
    assert_int_equal(there->stop_code, 6);
    assert_true(flow->closed);
    assert_true(there->closed);
    world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections),    cmocka_unit_test(test_own_connections),
        cmocka_unit_test(test_handshake_rate), cmocka_unit_test(test_streams),
        cmocka_unit_test(test_stream_flood),   cmocka_unit_test(test_denied),
        cmocka_unit_test(test_reset_at_once),  cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_datagrams),      cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_reason),         cmocka_unit_test(test_stopped_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
