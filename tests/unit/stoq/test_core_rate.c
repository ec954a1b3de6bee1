/* Rates and priorities in virtual time: tiers within 3 %, classes in order, weights within 10 %. */
#include "test_core_world.h"

static struct world world;

/* A fast, short path with large packets, so that nothing but the bucket decides. */
static void setup(enum stoq_rate rate, uint64_t bits, size_t payload)
{
    struct stoq_net_link link = {.delay_ns = 200000};

    world_init(&world, 19);
    stoq_net_link_all(world.net, &link);
    for (unsigned i = 0; i < 2; i++) {
        world.apps[i].config.udp_payload = world.apps[i].config.udp_payload_max = payload;
        world.apps[i].config.send_queue = 8 << 20;
    }
    world.apps[CLIENT].config.rate = rate;
    world.apps[CLIENT].config.rate_bits = bits;
    world_join(&world);
}

/* Bits a second of UDP payload over the next ns. */
static double measure(uint64_t ns)
{
    struct stoq_conn_info before, after;

    stoq_conn_get_info(world.apps[CLIENT].conn, &before);
    (void)world_until(&world, ns, NULL, NULL);
    stoq_conn_get_info(world.apps[CLIENT].conn, &after);
    return (double)(after.bytes_sent - before.bytes_sent) * 8e9 / (double)ns;
}

static void within(double measured, double wanted, double part, const char *what)
{
    if (measured < wanted * (1 - part) || measured > wanted * (1 + part))
        fail_msg("%s: %.0f instead of %.0f", what, measured, wanted);
}

static void tier(enum stoq_rate rate, uint64_t bits, size_t payload, uint64_t ns, double wanted)
{
    static const struct stoq_stream_options one_way = {.unidirectional = true};

    setup(rate, bits, payload);
    (void)world_send(&world.apps[CLIENT], 1ULL << 40, &one_way);
    (void)world_until(&world, 100 * MS, NULL, NULL);
    within(measure(ns), wanted, 0.03, "rate");
    world_release(&world);
}

static void test_tiers(void **state)
{
    (void)state;
    tier(STOQ_RATE_100M, 0, 1452, 300 * MS, 100e6);
    tier(STOQ_RATE_1G, 0, 1452, 100 * MS, 1e9);
    tier(STOQ_RATE_2500M, 0, 9000, 100 * MS, 2.5e9);
    tier(STOQ_RATE_2500M, 0, 65487, 100 * MS, 2.5e9);
    tier(STOQ_RATE_CUSTOM, 1000000, 1452, 4 * SECOND, 1e6);
    tier(STOQ_RATE_CUSTOM, 64000, 1452, 40 * SECOND, 64e3);
    tier(STOQ_RATE_CUSTOM, 10000000, 65487, 4 * SECOND, 10e6);
}

/* Several streams share the connection's rate; a change holds from then on. */
static void test_change(void **state)
{
    static const struct stoq_stream_options one_way = {.unidirectional = true};

    (void)state;
    setup(STOQ_RATE_100M, 0, 1452);
    for (unsigned i = 0; i < 5; i++)
        (void)world_send(&world.apps[CLIENT], 1ULL << 40, &one_way);
    (void)world_until(&world, 100 * MS, NULL, NULL);
    within(measure(200 * MS), 100e6, 0.03, "before");
    assert_int_equal(stoq_conn_set_rate(world.apps[CLIENT].conn, STOQ_RATE_CUSTOM, 20000000), 0);
    (void)world_until(&world, 100 * MS, NULL, NULL);
    within(measure(SECOND), 20e6, 0.03, "slower");
    assert_int_equal(stoq_conn_set_rate(world.apps[CLIENT].conn, STOQ_RATE_1G, 0), 0);
    (void)world_until(&world, 50 * MS, NULL, NULL);
    within(measure(50 * MS), 1e9, 0.03, "faster");
    assert_int_equal(stoq_conn_set_rate(world.apps[CLIENT].conn, STOQ_RATE_CUSTOM, 63999),
                     STOQ_EINVAL);
    assert_int_equal(stoq_conn_set_rate(world.apps[CLIENT].conn, (enum stoq_rate)77, 0),
                     STOQ_EINVAL);
    world_release(&world);
}

/* The bucket does not save up: after silence a burst is small. */
static void test_burst(void **state)
{
    static const struct stoq_stream_options one_way = {.unidirectional = true};

    (void)state;
    setup(STOQ_RATE_100M, 0, 1452);
    (void)world_until(&world, 10 * SECOND, NULL, NULL);
    (void)world_send(&world.apps[CLIENT], 1ULL << 40, &one_way);
    within(measure(200 * MS), 100e6, 0.08, "after silence");
    world_release(&world);
}

static void test_adaptive(void **state)
{
    static const struct stoq_stream_options one_way = {.unidirectional = true};
    struct stoq_net_link *link;

    (void)state;
    setup(STOQ_RATE_ADAPTIVE, 0, 1452);
    link = stoq_net_link(world.net, CLIENT, SERVER);
    link->rate_bits = 50000000;
    link->queue_bytes = 200000;
    (void)world_send(&world.apps[CLIENT], 1ULL << 40, &one_way);
    (void)world_until(&world, 5 * SECOND, NULL, NULL);
    {
        uint64_t before = world.apps[SERVER].taken;
        (void)world_until(&world, 2 * SECOND, NULL, NULL);
        within((double)(world.apps[SERVER].taken - before) * 4, 48e6, 0.15, "on a link of 50 Mb/s");
    }
    assert_true(measure(2 * SECOND) < 50e6 * 1.3); /* not far above what arrives */
    world_release(&world);
}

/* --- Priorities --------------------------------------------------------------------------------------------------------- */

static void test_classes(void **state)
{
    struct stoq_stream_options options = {.unidirectional = true};
    struct flow *flows[4];
    uint64_t ends[4] = {0};

    (void)state;
    setup(STOQ_RATE_CUSTOM, 50000000, 1452);
    for (unsigned i = 0; i < 4; i++) { /* the least urgent first */
        options.priority = (uint8_t)(6 - 2 * i);
        flows[i] = world_send(&world.apps[CLIENT], 500000, &options);
    }
    for (unsigned step = 0; step < 4000; step++) {
        (void)world_until(&world, MS / 2, NULL, NULL);
        for (unsigned i = 0; i < 4; i++) {
            const struct flow *there = world_flow(&world.apps[SERVER], flows[i]->id);
            if (there != NULL && there->fin_seen && ends[i] == 0)
                ends[i] = stoq_net_now(world.net);
            /* While a more urgent one is not through, a stream gets next to nothing. */
            if (i < 3 && ends[i + 1] == 0 && there != NULL)
                assert_true(there->taken < 150000);
        }
    }
    assert_true(ends[3] != 0 && ends[3] < ends[2] && ends[2] < ends[1] && ends[1] < ends[0]);
    world_release(&world);
}

static void test_weights(void **state)
{
    static const uint16_t weights[] = {8, 16, 64, 128};
    struct stoq_stream_options options = {.unidirectional = true, .priority = 2};
    uint64_t begin[4], total = 0;
    struct flow *flows[4];

    (void)state;
    setup(STOQ_RATE_100M, 0, 1452);
    for (unsigned i = 0; i < 4; i++) {
        options.weight = weights[i];
        flows[i] = world_send(&world.apps[CLIENT], 1ULL << 40, &options);
    }
    (void)world_until(&world, 200 * MS, NULL, NULL);
    for (unsigned i = 0; i < 4; i++)
        begin[i] = world_flow(&world.apps[SERVER], flows[i]->id)->taken;
    (void)world_until(&world, SECOND, NULL, NULL);
    for (unsigned i = 0; i < 4; i++) {
        begin[i] = world_flow(&world.apps[SERVER], flows[i]->id)->taken - begin[i];
        total += begin[i];
    }
    for (unsigned i = 0; i < 4; i++)
        within((double)begin[i], (double)total * weights[i] / (8 + 16 + 64 + 128), 0.10, "weight");
    /* A stream that becomes more urgent on the way. */
    assert_int_equal(stoq_stream_set_priority(flows[0]->stream, 0, 16), 0);
    (void)world_until(&world, 100 * MS, NULL, NULL);
    begin[0] = world_flow(&world.apps[SERVER], flows[0]->id)->taken;
    (void)world_until(&world, 500 * MS, NULL, NULL);
    within((double)(world_flow(&world.apps[SERVER], flows[0]->id)->taken - begin[0]), 100e6 / 16,
           0.10, "urgent");
    world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiers),   cmocka_unit_test(test_change),
        cmocka_unit_test(test_burst),   cmocka_unit_test(test_adaptive),
        cmocka_unit_test(test_classes), cmocka_unit_test(test_weights),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
