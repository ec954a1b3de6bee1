/* How much leaves at a time, and who is told when there is room again. */
#include "test_core_world.h"

#define DATAGRAM_BYTES 1000
#define QUEUE_BYTES    70000

static struct world world;
static unsigned writables;

static void on_datagrams_writable(void *ctx, struct stoq_conn *conn)
{
    (void)ctx;
    (void)conn;
    writables++;
}

static size_t give(size_t count)
{
    static const uint8_t bytes[DATAGRAM_BYTES];
    const struct stoq_bytes one = {bytes, sizeof(bytes)};
    size_t taken = 0;

    while (taken < count && stoq_conn_datagrams(world.apps[CLIENT].conn, &one, 1) == 1)
        taken++;
    return taken;
}

static void test_room_for_datagrams(void **state)
{
    (void)state;
    world_init(&world, 3);
    writables = 0;
    world.apps[CLIENT].handlers.datagrams_writable = on_datagrams_writable;
    world.apps[CLIENT].config.datagram_queue = QUEUE_BYTES;
    world_join(&world);
    assert_int_equal(give(5), 5);
    (void)world_until(&world, SECOND, NULL, NULL);
    assert_int_equal(writables, 0); /* nothing was refused */
    assert_int_equal(give(1000), QUEUE_BYTES / DATAGRAM_BYTES);
    assert_int_equal(writables, 0);
    (void)world_until(&world, SECOND, NULL, NULL);
    assert_int_equal(writables, 1);
    assert_int_equal(give(10), 10);
    (void)world_until(&world, SECOND, NULL, NULL);
    assert_int_equal(writables, 1);
    assert_int_equal(world.apps[SERVER].datagrams, 5 + QUEUE_BYTES / DATAGRAM_BYTES + 10);
    /* One that is too large is no matter of room. */
    static const uint8_t large[STOQ_UDP_PAYLOAD_MAX];
    const struct stoq_bytes one = {large, sizeof(large)};
    assert_int_equal(stoq_conn_datagrams(world.apps[CLIENT].conn, &one, 1), 0);
    (void)world_until(&world, SECOND, NULL, NULL);
    assert_int_equal(writables, 1);
    world_release(&world);
}

static uint64_t burst_at;
static size_t burst, burst_most;

static bool tap(void *ctx, unsigned from, const struct sockaddr_in6 *to, uint8_t *data, size_t len)
{
    (void)ctx;
    (void)to;
    (void)data;
    if (from != CLIENT)
        return true;
    uint64_t now = stoq_net_node_now(world.net, CLIENT);
    burst = now == burst_at ? burst + len : len;
    burst_at = now;
    burst_most = burst > burst_most ? burst : burst_most;
    return true;
}

/* The most that the client gives at one moment. */
static size_t most_at_once(uint64_t delay_ns)
{
    static const struct stoq_stream_options one_way = {.unidirectional = true};
    struct stoq_net_link link = {.delay_ns = delay_ns};

    world_init(&world, 5);
    stoq_net_link_all(world.net, &link);
    for (unsigned i = 0; i < 2; i++)
        world.apps[i].config.send_queue = 8 << 20;
    world_join(&world);
    (void)world_send(&world.apps[CLIENT], 1ULL << 40, &one_way);
    (void)world_until(&world, 20 * delay_ns, NULL, NULL);
    burst = burst_most = 0;
    stoq_net_tap(world.net, tap, NULL);
    (void)world_until(&world, 20 * delay_ns, NULL, NULL);
    world_release(&world);
    return burst_most;
}

static void test_bursts(void **state)
{
    (void)state;
    /* Where an answer comes within the time that a timer needs, pacing does not stop after each train. */
    size_t near = most_at_once(20000);
    assert_in_range(near, 2 * STOQ_TRAIN_BYTES_MAX, 10 * STOQ_TRAIN_BYTES_MAX);
    /* Where it takes long, one train leaves at a time. */
    assert_in_range(most_at_once(20 * MS), 1, STOQ_TRAIN_BYTES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room_for_datagrams),
        cmocka_unit_test(test_bursts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
