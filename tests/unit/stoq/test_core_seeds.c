/* What seeds of the simulated network found, each brought about on purpose: clients without credit, paths that come and
 * go, networks that are cut at the wrong moment. */
#include "stoq_core.h"
#include "test_core_world.h"

#define WINDOW 20000
#define FLOW   100000 /* more than a packet can ever hold is left of it */

static struct world world;

static void migrate(void)
{
    struct sockaddr_in6 local = stoq_net_address(world.net, CLIENT, 1);

    assert_int_equal(
        stoq_conn_migrate(world.apps[CLIENT].conn, &local, false, stoq_net_now(world.net), NULL),
        0);
}

/* A client that has used up what a stream, or the whole connection, may send, as its server reads nothing. */
static struct flow *join_blocked(bool whole)
{
    struct flow *flow;

    world_init(&world, 41);
    world.apps[SERVER].lazy = true;
    *(whole ? &world.apps[SERVER].config.connection_window
            : &world.apps[SERVER].config.stream_window) = WINDOW;
    world_join(&world);
    flow = world_send(&world.apps[CLIENT], FLOW, NULL);
    (void)world_until(&world, SECOND, NULL, NULL);
    assert_int_equal(flow->stream->out.sent, WINDOW);
    flow = world_flow(&world.apps[SERVER], flow->id);
    assert_non_null(flow);
    return flow;
}

/* It lets itself be heard from time to time, so that a server knows where to send the credit. */
static void blocked_behind_nat(bool whole)
{
    struct flow *there = join_blocked(whole);
    uint64_t taken = 0;
    uint8_t bytes[4096];
    bool fin = false;

    stoq_net_rebind(world.net, CLIENT);
    for (unsigned second = 0; second < 29 && !fin; second++) {
        for (size_t n = 1; n > 0 && !fin; taken += n)
            n = stoq_stream_read(there->stream, bytes, sizeof bytes, &fin);
        (void)world_until(&world, SECOND, NULL, NULL);
    }
    assert_true(fin);
    assert_int_equal(taken, FLOW);
    world_release(&world);
}

static void test_blocked_behind_nat(void **state)
{
    (void)state;
    blocked_behind_nat(false);
    blocked_behind_nat(true);
}

/* Datagrams need no credit: they leave at once, whether it is their turn or the streams'. */
static void test_blocked_datagrams(void **state)
{
    const struct stoq_bytes datagram = {(const uint8_t *)"now", 3};

    (void)state;
    (void)join_blocked(true);
    for (unsigned i = 1; i <= 4; i++) {
        struct stoq_conn *conn = world.apps[CLIENT].conn;

        conn->streams_first = i % 2 != 0;
        assert_int_equal(stoq_conn_datagrams(conn, &datagram, 1), 1);
        (void)world_until(&world, 6 * MS, NULL, NULL);
        assert_int_equal(world.apps[SERVER].datagrams, i);
        (void)world_until(&world, 200 * MS, NULL, NULL);
    }
    world_release(&world);
}

static bool measure(void *ctx, unsigned from, const struct sockaddr_in6 *to, uint8_t *data,
                    size_t len)
{
    size_t *largest = ctx;

    (void)to;
    (void)data;
    if (from == CLIENT && len > *largest)
        *largest = len;
    return true;
}

/* It answers the question whether it is where its packets come from with no more than must be: an answer counts against
 * its congestion window, and has no timer when it is lost. */
static void test_blocked_answers(void **state)
{
    size_t largest = 0;

    (void)state;
    (void)join_blocked(true);
    stoq_net_tap(world.net, measure, &largest);
    stoq_net_rebind(world.net, CLIENT);
    (void)world_until(&world, 6 * SECOND, NULL, NULL);
    assert_true(world.apps[SERVER].path_changes > 0);
    assert_int_equal(largest, 1200);
    world_release(&world);
}

/* The time between two packets of a client that was lively for a while grows again, and the keep-alive goes on. */
static void test_keep_alive_grows(void **state)
{
    (void)state;
    world_init(&world, 42);
    world.apps[CLIENT].config.keep_alive_ns = 8 * SECOND;
    world_join(&world);
    migrate();
    (void)world_until(&world, 120 * SECOND, NULL, NULL);
    assert_int_equal(world.apps[CLIENT].closed + world.apps[SERVER].closed, 0);
    world_release(&world);
}

/* A client migrates while its server sends much, and then nothing passes: the server's window for the new path is full
 * before that path is known to be one. It goes on when the client is heard again. */
static void test_cut_while_validating(void **state)
{
    (void)state;
    for (unsigned wait_ms = 4; wait_ms < 12; wait_ms++) {
        struct flow *flow;

        world_init(&world, 43);
        world_join(&world);
        flow = world_send(&world.apps[SERVER], 3000000, NULL);
        (void)world_until(&world, 50 * MS, NULL, NULL);
        migrate();
        (void)world_until(&world, wait_ms * MS, NULL, NULL);
        stoq_net_cut(world.net, CLIENT, SERVER, true);
        (void)world_until(&world, 4 * SECOND, NULL, NULL);
        stoq_net_cut(world.net, CLIENT, SERVER, false);
        (void)world_until(&world, 10 * SECOND, NULL, NULL);
        flow = world_flow(&world.apps[CLIENT], flow->id);
        assert_non_null(flow);
        assert_true(flow->fin_seen);
        world_release(&world);
    }
}

static int update_keys(unsigned node)
{
    return stoq_conn_update_keys(world.apps[node].conn, stoq_net_now(world.net));
}

/* A client that took its server's new keys takes no others before the server has seen that. */
static void test_keys_unheard(void **state)
{
    (void)state;
    world_init(&world, 44);
    world_join(&world);
    world_works(&world, CLIENT, SERVER);
    world_works(&world, SERVER, CLIENT);
    assert_int_equal(update_keys(SERVER), 0);
    world_mute(&world, CLIENT);
    (void)world_send(&world.apps[SERVER], 1000, NULL);
    (void)world_send(&world.apps[CLIENT], 1000, NULL);
    (void)world_until(&world, 2 * SECOND, NULL, NULL);
    assert_true(world.apps[CLIENT].conn->phase.one); /* it took them */
    assert_int_equal(update_keys(CLIENT), STOQ_EBUSY);
    stoq_net_tap(world.net, NULL, NULL);
    (void)world_until(&world, 5 * SECOND, NULL, NULL);
    world_works(&world, CLIENT, SERVER);
    world_works(&world, SERVER, CLIENT);
    assert_int_equal(update_keys(CLIENT), 0);
    world_works(&world, CLIENT, SERVER);
    world_works(&world, SERVER, CLIENT);
    world_release(&world);
}

static bool swallow_ready(void *ctx, unsigned from, const struct sockaddr_in6 *to, uint8_t *data,
                          size_t len)
{
    (void)ctx;
    (void)to;
    (void)data;
    (void)len;
    return from != SERVER || world.apps[SERVER].accepted == 0;
}

/* A client that has not heard that its handshake is confirmed takes its server's new keys. */
static void test_keys_early(void **state)
{
    (void)state;
    world_init(&world, 45);
    world_start(&world.apps[SERVER]);
    world_start(&world.apps[CLIENT]);
    stoq_net_tap(world.net, swallow_ready, NULL);
    (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
    assert_true(world_until(&world, SECOND, until_ready, &world.apps[SERVER]));
    (void)world_until(&world, 3 * SECOND, NULL, NULL);
    assert_int_equal(update_keys(SERVER), 0);
    stoq_net_tap(world.net, NULL, NULL);
    world_works(&world, CLIENT, SERVER);
    world_works(&world, SERVER, CLIENT);
    world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocked_behind_nat),   cmocka_unit_test(test_blocked_datagrams),
        cmocka_unit_test(test_blocked_answers),      cmocka_unit_test(test_keep_alive_grows),
        cmocka_unit_test(test_cut_while_validating), cmocka_unit_test(test_keys_unheard),
        cmocka_unit_test(test_keys_early),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
