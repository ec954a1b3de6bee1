/* Paths and time: MTU discovery, migration, key updates, idling, keep-alive, drain. */
#include "test_core_world.h"

static struct world world;

static size_t discovered(size_t link_mtu, size_t first)
{
    static const struct stoq_stream_options one_way = {.unidirectional = true};
    struct stoq_net_link link = {.delay_ns = 5 * MS, .mtu = link_mtu};
    struct stoq_conn_info info;

    world_init(&world, 23);
    stoq_net_link_all(world.net, &link);
    for (unsigned i = 0; i < 2; i++)
        world.apps[i].config.udp_payload = first;
    world_join(&world);
    for (unsigned i = 0; i < 20; i++) { /* probes go along with traffic */
        (void)world_send(&world.apps[CLIENT], 20000, &one_way);
        (void)world_until(&world, SECOND, NULL, NULL);
    }
    assert_int_equal(world.apps[SERVER].taken, 400000);
    stoq_conn_get_info(world.apps[CLIENT].conn, &info);
    world_release(&world);
    return info.udp_payload;
}

static void test_discovery(void **state)
{
    (void)state;
    assert_int_equal(discovered(0, 1452), STOQ_UDP_PAYLOAD_MAX);
    assert_int_equal(discovered(65487, 1200), STOQ_UDP_PAYLOAD_MAX);
    assert_in_range(discovered(8952, 1452), 8000, 8952);
    assert_in_range(discovered(1452, 1200), 1400, 1452);
    assert_int_equal(discovered(1452, 1452), 1452);
    assert_int_equal(discovered(1200, 1200), 1200);
}

static void test_no_discovery(void **state)
{
    struct stoq_net_link link = {.delay_ns = 5 * MS};
    struct stoq_conn_info info;

    (void)state;
    world_init(&world, 23);
    stoq_net_link_all(world.net, &link);
    world.apps[CLIENT].config.udp_payload_max = 1452;
    world_join(&world);
    world_works(&world, CLIENT, SERVER);
    (void)world_until(&world, 5 * SECOND, NULL, NULL);
    stoq_conn_get_info(world.apps[CLIENT].conn, &info);
    assert_int_equal(info.udp_payload, 1452);
    world_release(&world);
}

/* --- Addresses --------------------------------------------------------------------------------------------------------- */

static struct flow *transfer(uint64_t bytes)
{
    static const struct stoq_stream_options one_way = {.unidirectional = true};
    struct stoq_net_link *link = stoq_net_link(world.net, CLIENT, SERVER);

    link->rate_bits = 50000000;
    link->queue_bytes = 100000;
    return world_send(&world.apps[CLIENT], bytes, &one_way);
}

static void arrives(const struct flow *flow)
{
    const struct flow *there;

    (void)world_until(&world, 20 * SECOND, NULL, NULL);
    there = world_flow(&world.apps[SERVER], flow->id);
    if (there == NULL || !there->fin_seen)
        fail_msg("stopped at %llu of %llu; client: %s; server: %s",
                 (unsigned long long)(there != NULL ? there->taken : 0),
                 (unsigned long long)flow->total, world.apps[CLIENT].text, world.apps[SERVER].text);
}

static void test_rebinding(void **state)
{
    struct flow *flow;

    (void)state;
    world_init(&world, 29);
    world_join(&world);
    flow = transfer(3000000);
    for (unsigned i = 0; i < 3; i++) {
        (void)world_until(&world, 100 * MS, NULL, NULL);
        stoq_net_rebind(world.net, CLIENT);
    }
    arrives(flow);
    assert_true(world.apps[SERVER].path_changes > 0);
    assert_true(world_count(&world, SERVER, STOQ_COUNT_PATH_CHANGES) >= 3);
    world_works(&world, SERVER, CLIENT);
    world_release(&world);
}

static void migrate(unsigned index, bool probe)
{
    struct sockaddr_in6 local = stoq_net_address(world.net, CLIENT, index);
    struct stoq_error error;

    if (stoq_conn_migrate(world.apps[CLIENT].conn, &local, probe, stoq_net_now(world.net),
                          &error) != 0)
        fail_msg("migrate: %s", error.text);
}

static void test_migration(void **state)
{
    (void)state;
    for (unsigned probe = 0; probe < 2; probe++) {
        struct stoq_conn_info info;
        struct sockaddr_in6 expected;
        struct flow *flow;
        world_init(&world, 29);
        world_join(&world);
        flow = transfer(2000000);
        (void)world_until(&world, 50 * MS, NULL, NULL);
        migrate(1, probe != 0);
        (void)world_until(&world, 200 * MS, NULL, NULL);
        stoq_conn_get_info(world.apps[SERVER].conn, &info);
        expected = stoq_net_address(world.net, CLIENT, 1);
        assert_memory_equal(&info.path.remote.sin6_addr, &expected.sin6_addr, 16);
        arrives(flow);
        world_works(&world, SERVER, CLIENT);
        world_release(&world);
    }
}

/* There and back, and on: the way back is where the library below had its bug. */
static void test_migration_back(void **state)
{
    (void)state;
    for (unsigned probe = 0; probe < 2; probe++) {
        struct flow *flow;
        world_init(&world, 29);
        world_join(&world);
        flow = transfer(4000000);
        for (unsigned i = 1; i <= 6; i++) {
            (void)world_until(&world, 80 * MS, NULL, NULL);
            migrate(i % 2, probe != 0);
        }
        arrives(flow);
        (void)world_until(&world, SECOND, NULL, NULL);
        world_works(&world, SERVER, CLIENT);
        world_release(&world);
    }
}

/* To an address from which nothing arrives: with a probe, nothing is lost. */
static void test_migration_to_nowhere(void **state)
{
    struct sockaddr_in6 nowhere = {.sin6_family = AF_INET6};

    (void)state;
    world_init(&world, 29);
    world_join(&world);
    nowhere = stoq_net_address(world.net, CLIENT, 2);
    nowhere.sin6_addr.s6_addr[12] = 0x99;
    assert_int_equal(
        stoq_conn_migrate(world.apps[CLIENT].conn, &nowhere, true, stoq_net_now(world.net), NULL),
        0);
    (void)world_until(&world, 10 * SECOND, NULL, NULL);
    world_works(&world, CLIENT, SERVER);
    world_works(&world, SERVER, CLIENT);
    world_release(&world);
}

/* A train leaves from one address: a probe of another path is a train of its own, though it is as large as a packet. */
static void test_probe_apart(void **state)
{
    static uint8_t buffer[65536];
    const struct stoq_stream_options one_way = {.unidirectional = true};
    struct stoq_endpoint *endpoint;
    struct sockaddr_in6 other;
    struct stoq_train train;
    unsigned probes = 0;

    (void)state;
    world_init(&world, 29);
    for (unsigned i = 0; i < 2; i++)
        world.apps[i].config.udp_payload = world.apps[i].config.udp_payload_max = 1200;
    world_join(&world);
    (void)world_until(&world, 100 * MS, NULL, NULL);
    (void)world_send(&world.apps[CLIENT], 100000, &one_way);
    migrate(1, true);
    other = stoq_net_address(world.net, CLIENT, 1);
    endpoint = stoq_net_endpoint(world.net, CLIENT);
    for (size_t len = 1; len > 0;) {
        len = stoq_endpoint_send(endpoint, buffer, sizeof buffer, &train, stoq_net_now(world.net));
        if (len > 0 && memcmp(&train.path.local, &other, sizeof other) == 0) {
            probes++;
            assert_int_equal(len, 1200);
        }
    }
    assert_true(probes > 0);
    world_release(&world);
}

static bool swallow_responses(void *ctx, unsigned from, const struct sockaddr_in6 *to,
                              uint8_t *data, size_t len)
{
    unsigned *swallowed = ctx;

    (void)to;
    (void)data;
    if (from != CLIENT || len < 1200)
        return true;
    ++*swallowed;
    return false;
}

/* A NAT moves a client that only receives, and its answers to the server's questions where it is are lost: the server
 * goes back to where it was. The client, which has nothing to say, lets itself be heard again. */
static void test_rebinding_unanswered(void **state)
{
    struct stoq_net_link *link;
    unsigned swallowed = 0;
    struct flow *flow;

    (void)state;
    world_init(&world, 29);
    world_join(&world);
    (void)world_until(&world, 2 * SECOND, NULL, NULL);
    link = stoq_net_link(world.net, SERVER, CLIENT);
    link->rate_bits = 2000000;
    link->queue_bytes = 100000;
    flow = world_send(&world.apps[SERVER], 60000, NULL);
    (void)world_until(&world, 50 * MS, NULL, NULL);
    stoq_net_tap(world.net, swallow_responses, &swallowed);
    stoq_net_rebind(world.net, CLIENT);
    (void)world_until(&world, 4 * SECOND, NULL, NULL);
    stoq_net_tap(world.net, NULL, NULL);
    assert_true(swallowed > 0);
    (void)world_until(&world, 10 * SECOND, NULL, NULL);
    flow = world_flow(&world.apps[CLIENT], flow->id);
    assert_non_null(flow);
    assert_true(flow->fin_seen);
    world_release(&world);
}

static bool swallow_large(void *ctx, unsigned from, const struct sockaddr_in6 *to, uint8_t *data,
                          size_t len)
{
    unsigned *swallowed = ctx;

    (void)to;
    (void)data;
    if (from != CLIENT || len < 60000)
        return true;
    ++*swallowed;
    return false;
}

/* A client that a NAT has moved loses its answers, which fill its congestion window: two packets, here. */
static void test_answers_fill_window(void **state)
{
    unsigned swallowed = 0;

    (void)state;
    world_init(&world, 29);
    stoq_net_link_all(world.net, &(struct stoq_net_link){.delay_ns = 5 * MS});
    for (unsigned i = 0; i < 2; i++) {
        world.apps[i].config.udp_payload = world.apps[i].config.udp_payload_max = 65487;
        world.apps[i].config.keep_alive_ns = 5 * SECOND;
    }
    world_join(&world);
    (void)world_until(&world, SECOND, NULL, NULL);
    (void)world_send(&world.apps[SERVER], 3000000, NULL);
    (void)world_until(&world, 6 * MS, NULL, NULL);
    stoq_net_tap(world.net, swallow_large, &swallowed);
    stoq_net_rebind(world.net, CLIENT); /* before the client acknowledges, and says where it is */
    (void)world_until(&world, 3 * SECOND, NULL, NULL);
    stoq_net_tap(world.net, NULL, NULL);
    assert_true(swallowed >= 2);
    (void)world_until(&world, 20 * SECOND, NULL, NULL);
    assert_int_equal(world.apps[CLIENT].closed, 0);
    world_works(&world, CLIENT, SERVER);
    world_works(&world, SERVER, CLIENT);
    world_release(&world);
}

/* A client that a NAT has just moved migrates, and then nothing passes for a while: the server goes back to where it was,
 * and comes again. */
static void test_migration_after_rebinding(void **state)
{
    (void)state;
    for (unsigned wait_ms = 0; wait_ms < 2000; wait_ms += 250) {
        world_init(&world, 29);
        world_join(&world);
        (void)world_until(&world, 2 * SECOND, NULL, NULL);
        world_works(&world, CLIENT, SERVER);
        stoq_net_rebind(world.net, CLIENT);
        world_works(&world, CLIENT, SERVER);
        (void)world_until(&world, 100 * MS + wait_ms * MS, NULL, NULL);
        migrate(1, false);
        (void)world_until(&world, 8 * MS, NULL, NULL);
        stoq_net_cut(world.net, CLIENT, SERVER, true);
        (void)world_until(&world, 5 * SECOND, NULL, NULL);
        stoq_net_cut(world.net, CLIENT, SERVER, false);
        (void)world_until(&world, 10 * SECOND, NULL, NULL);
        assert_int_equal(world.apps[CLIENT].closed + world.apps[SERVER].closed, 0);
        world_works(&world, CLIENT, SERVER);
        world_works(&world, SERVER, CLIENT);
        world_release(&world);
    }
}

/* A NAT that changes its mind faster than a client can give new ids is followed all the same. */
static void test_rebinding_often(void **state)
{
    struct flow *flow;

    (void)state;
    world_init(&world, 29);
    world_join(&world);
    (void)world_until(&world, 2 * SECOND, NULL, NULL);
    world_mute(&world, SERVER);
    for (unsigned i = 0; i < 12; i++) {
        stoq_net_rebind(world.net, CLIENT);
        (void)world_send(&world.apps[CLIENT], 100, NULL);
        (void)world_until(&world, 6 * MS, NULL, NULL);
    }
    stoq_net_tap(world.net, NULL, NULL);
    flow = world_send(&world.apps[SERVER], 5000, NULL);
    (void)world_until(&world, 1500 * MS, NULL, NULL);
    flow = world_flow(&world.apps[CLIENT], flow->id);
    assert_non_null(flow);
    assert_true(flow->fin_seen);
    assert_int_equal(world.apps[CLIENT].closed + world.apps[SERVER].closed, 0);
    world_release(&world);
}

static void test_local_unknown(void **state)
{
    struct stoq_target target;

    (void)state;
    world_init(&world, 29);
    world_start(&world.apps[SERVER]);
    world_start(&world.apps[CLIENT]);
    target = (struct stoq_target){.path = stoq_net_path(world.net, CLIENT, SERVER),
                                  .name = "server.test"};
    memset(&target.path.local, 0, sizeof target.path.local);
    assert_int_equal(stoq_endpoint_connect(stoq_net_endpoint(world.net, CLIENT), &target,
                                           stoq_net_now(world.net), &world.apps[CLIENT].conn, NULL),
                     0);
    world.apps[CLIENT].live++;
    assert_true(world_until(&world, SECOND, until_ready, &world.apps[SERVER]));
    (void)world_until(&world, 100 * MS, NULL, NULL);
    world_works(&world, CLIENT, SERVER);
    world_works(&world, SERVER, CLIENT);
    world_release(&world);
}

/* --- Keys ---------------------------------------------------------------------------------------------------------------- */

static void test_key_update(void **state)
{
    struct stoq_conn_info info;

    (void)state;
    world_init(&world, 31);
    world_join(&world);
    for (unsigned round = 0; round < 6; round++) {
        struct app *app = &world.apps[round % 2];
        /* The keys after the next are made when packets come, a while after the last update. */
        world_works(&world, CLIENT, SERVER);
        world_works(&world, SERVER, CLIENT);
        assert_int_equal(stoq_conn_update_keys(app->conn, stoq_net_now(world.net)), 0);
        assert_int_equal(stoq_conn_update_keys(app->conn, stoq_net_now(world.net)), STOQ_EBUSY);
        world_works(&world, CLIENT, SERVER);
        world_works(&world, SERVER, CLIENT);
        (void)world_until(&world, 2 * SECOND, NULL, NULL);
    }
    for (unsigned i = 0; i < 2; i++) {
        stoq_conn_get_info(world.apps[i].conn, &info);
        assert_int_equal(info.key_updates, 6);
    }
    assert_int_equal(world_count(&world, SERVER, STOQ_COUNT_KEY_UPDATES), 6);
    world_release(&world);
}

/* --- Ends ---------------------------------------------------------------------------------------------------------------- */

static void test_idle(void **state)
{
    (void)state;
    world_init(&world, 31);
    world.apps[SERVER].config.idle_timeout_ns = 10 * SECOND; /* the shorter one holds for both */
    world_join(&world);
    assert_false(world_until(&world, 9 * SECOND, until_closed, &world.apps[CLIENT]));
    assert_true(world_until(&world, 3 * SECOND, until_closed, &world.apps[CLIENT]));
    assert_true(world_until(&world, 3 * SECOND, until_closed, &world.apps[SERVER]));
    assert_int_equal(world.apps[CLIENT].why.kind, STOQ_CLOSE_IDLE);
    assert_int_equal(world.apps[SERVER].why.kind, STOQ_CLOSE_IDLE);
    world_release(&world);
}

static void test_keep_alive(void **state)
{
    (void)state;
    world_init(&world, 31);
    world.apps[CLIENT].config.keep_alive_ns = 8 * SECOND;
    world_join(&world);
    (void)world_until(&world, 300 * SECOND, NULL, NULL);
    assert_int_equal(world.apps[CLIENT].closed + world.apps[SERVER].closed, 0);
    stoq_conn_keep_alive(world.apps[CLIENT].conn, 0);
    assert_true(world_until(&world, 60 * SECOND, until_closed, &world.apps[CLIENT]));
    world_release(&world);
}

static void test_no_idle_timeout(void **state)
{
    (void)state;
    world_init(&world, 31);
    world.apps[CLIENT].config.idle_timeout_ns = world.apps[SERVER].config.idle_timeout_ns = 0;
    world_join(&world);
    (void)world_until(&world, 100000 * SECOND, NULL, NULL);
    world_works(&world, CLIENT, SERVER);
    world_release(&world);
}

static void test_drain(void **state)
{
    struct app *client = &world.apps[CLIENT], *server = &world.apps[SERVER], *late;
    struct flow *flow;

    (void)state;
    world_init(&world, 31);
    world_join(&world);
    late = world_add(&world, false);
    world_start(late);
    flow = transfer(2000000);
    (void)world_until(&world, 50 * MS, NULL, NULL);
    stoq_endpoint_drain(stoq_net_endpoint(world.net, SERVER), stoq_net_now(world.net),
                        stoq_net_now(world.net) + 20 * SECOND);
    (void)world_connect(&world, late->node, SERVER, (struct stoq_bytes){NULL, 0});
    (void)world_until(&world, 100 * MS, NULL, NULL);
    assert_int_equal(client->closed, 0); /* its stream goes on */
    assert_true(world_until(&world, 5 * SECOND, until_closed, client));
    assert_int_equal(client->why.kind, STOQ_CLOSE_PEER_APPLICATION);
    assert_int_equal(client->why.code, STOQ_APP_SHUTDOWN);
    assert_true(world_flow(server, flow->id)->fin_seen);
    assert_true(world_until(&world, 5 * SECOND, until_alone, server));
    assert_int_equal(late->connected, 0);
    assert_true(world_count(&world, SERVER, STOQ_COUNT_DROP_DRAINING) > 0);
    world_release(&world);
}

static void test_drain_deadline(void **state)
{
    struct app *client = &world.apps[CLIENT];
    struct stoq_stream *stream;
    struct flow *flow;

    (void)state;
    world_init(&world, 31);
    client->config.keep_alive_ns = SECOND;
    world_join(&world);
    assert_int_equal(stoq_conn_open(client->conn, NULL, &stream, NULL), 0);
    flow = &client->flows[0];
    *flow = (struct flow){.app = client, .stream = stream};
    stoq_stream_set_user(stream, flow);
    assert_int_equal(stoq_stream_send(stream, "\0", 1, false), 1); /* and no end */
    (void)world_until(&world, 100 * MS, NULL, NULL);
    world.apps[SERVER].flows[0].taken = 0;
    stoq_endpoint_drain(stoq_net_endpoint(world.net, SERVER), stoq_net_now(world.net),
                        stoq_net_now(world.net) + 3 * SECOND);
    assert_false(world_until(&world, 2900 * MS, until_closed, client));
    assert_true(world_until(&world, 300 * MS, until_closed, client));
    assert_int_equal(client->why.code, STOQ_APP_SHUTDOWN);
    assert_true(flow->closed);
    world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_discovery),
        cmocka_unit_test(test_no_discovery),
        cmocka_unit_test(test_rebinding),
        cmocka_unit_test(test_migration),
        cmocka_unit_test(test_migration_back),
        cmocka_unit_test(test_migration_to_nowhere),
        cmocka_unit_test(test_probe_apart),
        cmocka_unit_test(test_rebinding_unanswered),
        cmocka_unit_test(test_answers_fill_window),
        cmocka_unit_test(test_migration_after_rebinding),
        cmocka_unit_test(test_rebinding_often),
        cmocka_unit_test(test_local_unknown),
        cmocka_unit_test(test_key_update),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_no_idle_timeout),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_drain_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
