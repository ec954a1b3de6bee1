/* Resumption and 0-RTT: what may travel early does and is marked; what was seen on its way does nothing when it is sent
 * again. */
#include "test_core_world.h"

#define CAUGHT_MAX 64

static struct caught {
    size_t len;
    uint8_t data[1600];
} caught[CAUGHT_MAX];
static unsigned caught_count;
static struct world world;
static const struct stoq_stream_options replay_safe = {.unidirectional = true, .replay_safe = true};
static const struct stoq_stream_options plain = {.unidirectional = true};

static bool tap(void *ctx, unsigned from, const struct sockaddr_in6 *to, uint8_t *data, size_t len)
{
    (void)ctx;
    (void)to;
    if (from == CLIENT && caught_count < CAUGHT_MAX && len <= sizeof caught[0].data) {
        memcpy(caught[caught_count].data, data, len);
        caught[caught_count++].len = len;
    }
    return true;
}

/* A first connection that leaves a session behind, and is over. */
static void first_connection(bool early_client, bool early_server)
{
    struct app *client = &world.apps[CLIENT], *server = &world.apps[SERVER];

    world_init(&world, 11);
    client->config.early_data = early_client;
    server->config.early_data = early_server;
    world_join(&world);
    world_works(&world, CLIENT, SERVER);
    assert_true(client->sessions > 0 && client->session_len > 0);
    stoq_conn_close(client->conn, 0, NULL);
    assert_true(world_until(&world, 10 * SECOND, until_alone, server));
    assert_true(world_until(&world, 10 * SECOND, until_alone, client));
    client->connected = client->closed = server->accepted = server->closed = 0;
    server->taken = 0;
    server->flow_count = client->flow_count = 0;
    memset(server->flows, 0, sizeof server->flows);
    caught_count = 0;
    stoq_net_tap(world.net, tap, NULL);
}

static struct stoq_bytes session(void)
{
    return (struct stoq_bytes){world.apps[CLIENT].session, world.apps[CLIENT].session_len};
}

static void test_resumption(void **state)
{
    struct stoq_conn_info info;

    (void)state;
    first_connection(false, false);
    (void)world_connect(&world, CLIENT, SERVER, session());
    assert_true(world_until(&world, SECOND, until_ready, &world.apps[SERVER]));
    (void)world_until(&world, 100 * MS, NULL, NULL);
    stoq_conn_get_info(world.apps[CLIENT].conn, &info);
    assert_true(info.resumed && !info.early_accepted);
    assert_int_equal(world_count(&world, SERVER, STOQ_COUNT_RESUMED), 1);
    assert_true(stoq_conn_peer_leaf(world.apps[SERVER].conn).len >
                0); /* still known by its certificate */
    world_works(&world, CLIENT, SERVER);
    world_release(&world);
}

static void early_stream(void)
{
    struct flow *early, *late, *there;

    (void)world_connect(&world, CLIENT, SERVER, session());
    early = world_send(&world.apps[CLIENT], 700, &replay_safe);
    late = world_send(&world.apps[CLIENT], 800, &plain);
    (void)world_until(&world, 6 * MS, NULL, NULL); /* one way is 5 ms */
    there = world_flow(&world.apps[SERVER], early->id);
    assert_non_null(there);
    assert_true(there->fin_seen && there->early && there->taken == 700);
    assert_null(world_flow(&world.apps[SERVER], late->id));
    (void)world_until(&world, 500 * MS, NULL, NULL);
    there = world_flow(&world.apps[SERVER], late->id);
    assert_non_null(there);
    assert_true(there->fin_seen && !there->early);
}

static void test_early(void **state)
{
    struct stoq_conn_info info;

    (void)state;
    first_connection(true, true);
    early_stream();
    stoq_conn_get_info(world.apps[CLIENT].conn, &info);
    assert_true(info.resumed && info.early_accepted);
    assert_int_equal(world_count(&world, SERVER, STOQ_COUNT_EARLY_ACCEPTED), 1);
    assert_int_equal(world.apps[SERVER].taken, 1500);
    world_release(&world);
}

/* An attacker saw the first flight and sends it again, from elsewhere, at several times: nothing is delivered again. */
static void replay(uint8_t from_number)
{
    struct sockaddr_in6 from = stoq_net_address(world.net, CLIENT, 0),
                        to = stoq_net_address(world.net, SERVER, 0);
    uint64_t before = world.apps[SERVER].taken;
    unsigned opened = world.apps[SERVER].opened;

    from.sin6_addr.s6_addr[15] = from_number;
    for (unsigned i = 0; i < caught_count; i++)
        stoq_net_inject(world.net, &from, &to, caught[i].data, caught[i].len);
    (void)world_until(&world, 20 * SECOND, NULL, NULL);
    assert_int_equal(world.apps[SERVER].taken, before);
    assert_int_equal(world.apps[SERVER].opened, opened);
}

static void test_replay(void **state)
{
    (void)state;
    first_connection(true, true);
    early_stream();
    assert_true(caught_count > 0);
    replay(101); /* while the connection lives */
    stoq_conn_close(world.apps[CLIENT].conn, 0, NULL);
    assert_true(world_until(&world, 10 * SECOND, until_alone, &world.apps[SERVER]));
    replay(102); /* when it is over: the server makes a connection anew, without the early data */
    assert_true(world_count(&world, SERVER, STOQ_COUNT_EARLY_REFUSED) > 0);
    assert_int_equal(world_count(&world, SERVER, STOQ_COUNT_EARLY_ACCEPTED), 1);
    world_release(&world);
}

/* A restarted server with the same secret does not know what it has seen: it must take no early data of old tickets. */
static void test_replay_after_restart(void **state)
{
    (void)state;
    first_connection(true, true);
    early_stream();
    stoq_net_attach(world.net, CLIENT, NULL);
    world_start(&world.apps[SERVER]);
    world.apps[SERVER].taken = 0;
    world.apps[SERVER].opened = 0;
    replay(103);
    assert_int_equal(world.apps[SERVER].taken, 0);
    world_release(&world);
}

/* Two connections with one ticket: early data is taken once; the second's arrives all the same, later. */
static void test_ticket_twice(void **state)
{
    uint8_t kept[STOQ_SESSION_BYTES_MAX];
    struct stoq_conn_info info;
    struct flow *flow, *there;
    size_t kept_len;

    (void)state;
    first_connection(true, true);
    kept_len = world.apps[CLIENT].session_len;
    memcpy(kept, world.apps[CLIENT].session, kept_len);
    early_stream();
    stoq_conn_close(world.apps[CLIENT].conn, 0, NULL);
    assert_true(world_until(&world, 10 * SECOND, until_alone, &world.apps[SERVER]));
    memset(world.apps[SERVER].flows, 0, sizeof world.apps[SERVER].flows);
    world.apps[SERVER].taken = 0;
    (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){kept, kept_len});
    flow = world_send(&world.apps[CLIENT], 900, &replay_safe);
    (void)world_until(&world, SECOND, NULL, NULL);
    there = world_flow(&world.apps[SERVER], flow->id);
    assert_non_null(there);
    assert_true(there->fin_seen && !there->early);
    assert_int_equal(world.apps[SERVER].taken, 900);
    stoq_conn_get_info(world.apps[CLIENT].conn, &info);
    assert_false(info.early_accepted);
    world_release(&world);
}

static void test_server_without_early(void **state)
{
    struct flow *flow, *there;

    (void)state;
    first_connection(true, true);
    world.apps[SERVER].config.early_data = false;
    world_start(&world.apps[SERVER]);
    (void)world_connect(&world, CLIENT, SERVER, session());
    flow = world_send(&world.apps[CLIENT], 3000, &replay_safe);
    (void)world_until(&world, SECOND, NULL, NULL);
    there = world_flow(&world.apps[SERVER], flow->id);
    assert_non_null(there);
    assert_true(there->fin_seen && !there->early && there->taken == 3000);
    world_release(&world);
}

/* A session that is damaged, cut short, of another server or too old: a full handshake, and no error. */
static void test_bad_sessions(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 5; kind++) {
        struct app *client = &world.apps[CLIENT];
        struct stoq_conn_info info;
        struct stoq_bytes bytes;
        first_connection(true, true);
        bytes = session();
        if (kind == 0)
            bytes.len /= 2;
        else if (kind == 1)
            memset(client->session, 0xa5, client->session_len);
        else if (kind == 2)
            client->session[client->session_len / 2] ^= 0x40;
        else if (kind == 3)
            memset(world.apps[SERVER].config.secret, 0x99, 32);
        else
            stoq_net_wall_jump(world.net, 30 * 86400);
        if (kind == 3)
            world_start(&world.apps[SERVER]);
        (void)world_connect(&world, CLIENT, SERVER, bytes);
        if (!world_until(&world, 5 * SECOND, until_ready, &world.apps[SERVER]))
            fail_msg("kind %u: %s", kind, client->text);
        (void)world_until(&world, 100 * MS, NULL, NULL);
        stoq_conn_get_info(client->conn, &info);
        if (kind != 2) /* that byte may be one that does not matter */
            assert_false(info.early_accepted);
        world_works(&world, CLIENT, SERVER);
        world_release(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resumption),   cmocka_unit_test(test_early),
        cmocka_unit_test(test_replay),       cmocka_unit_test(test_replay_after_restart),
        cmocka_unit_test(test_ticket_twice), cmocka_unit_test(test_server_without_early),
        cmocka_unit_test(test_bad_sessions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
