/* What the machine does wrong: clocks that jump, no random bytes, no memory at any one place, state that is lost.
 * Nothing crashes or leaks, and other connections go on. */
#include "test_core_world.h"

#define SWEEP_DENSE  400 /* every allocation up to here, then every SWEEP_STEP-th */
#define SWEEP_STEP   17
#define SWEEP_ROUNDS 6000

static struct world world;

static void test_clock_jumps(void **state)
{
    static const int64_t jumps[] = {3600 * (int64_t)SECOND, -3600 * (int64_t)SECOND,
                                    10 * (int64_t)MS, -10 * (int64_t)MS, -500 * (int64_t)SECOND};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(jumps); i++)
        for (unsigned node = 0; node < 2; node++) {
            uint64_t before;
            world_init(&world, 13);
            world_join(&world);
            (void)world_send(&world.apps[CLIENT], 300000, NULL);
            (void)world_until(&world, 20 * MS, NULL, NULL);
            stoq_net_clock_jump(world.net, node, jumps[i]);
            (void)world_until(&world, 2 * SECOND, NULL, NULL);
            if (jumps[i] < 0) { /* time goes on: what was under way arrives */
                if (world.apps[SERVER].taken != 300000)
                    fail_msg("node %u, jump %lld s: %llu of 300000 bytes came", node,
                             (long long)(jumps[i] / (int64_t)SECOND),
                             (unsigned long long)world.apps[SERVER].taken);
            }
            /* Whatever became of the connection, a new one works. */
            before = world.apps[SERVER].accepted;
            (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
            (void)world_until(&world, 5 * SECOND, NULL, NULL);
            assert_int_equal(world.apps[SERVER].accepted, before + 1);
            world_works(&world, CLIENT, SERVER);
            world_release(&world);
        }
}

static void test_wall_jumps(void **state)
{
    (void)state;
    world_init(&world, 13);
    world_join(&world);
    stoq_net_wall_jump(world.net, 30 * 86400);
    world_works(&world, CLIENT, SERVER);
    stoq_net_wall_jump(world.net, -60 * 86400);
    world_works(&world, SERVER, CLIENT);
    world_release(&world);
}

static void test_no_random_in_server(void **state)
{
    struct app *other;

    (void)state;
    world_init(&world, 13);
    world_join(&world);
    other = world_add(&world, false);
    world_start(other);
    stoq_net_random_fails(world.net, SERVER, true);
    (void)world_connect(&world, other->node, SERVER, (struct stoq_bytes){NULL, 0});
    (void)world_until(&world, 3 * SECOND, NULL, NULL);
    assert_int_equal(other->connected, 0);
    assert_int_equal(world.apps[SERVER].accepted, 1);
    world_works(&world, CLIENT, SERVER);
    world_works(&world, SERVER, CLIENT);
    stoq_net_random_fails(world.net, SERVER, false);
    (void)world_until(&world, 20 * SECOND, NULL, NULL);
    if (other->connected == 0)
        (void)world_connect(&world, other->node, SERVER, (struct stoq_bytes){NULL, 0});
    assert_true(world_until(&world, 5 * SECOND, until_connected, other));
    world_release(&world);
}

static void test_no_random_in_client(void **state)
{
    struct stoq_target target;
    struct stoq_conn *conn = NULL;
    struct stoq_error error = {.code = 0};

    (void)state;
    world_init(&world, 13);
    world_join(&world);
    stoq_net_random_fails(world.net, CLIENT, true);
    target = (struct stoq_target){.path = stoq_net_path(world.net, CLIENT, SERVER), .name = "x"};
    assert_int_equal(stoq_endpoint_connect(stoq_net_endpoint(world.net, CLIENT), &target,
                                           stoq_net_now(world.net), &conn, &error),
                     STOQ_EIO);
    assert_null(conn);
    assert_true(error.text[0] != '\0');
    world_works(&world, CLIENT, SERVER);
    world_release(&world);
}

static void test_no_random_for_an_endpoint(void **state)
{
    struct stoq_endpoint *endpoint = NULL;

    (void)state;
    world_init(&world, 13);
    stoq_net_random_fails(world.net, SERVER, true);
    assert_int_equal(stoq_endpoint_new(&endpoint, &world.apps[SERVER].config,
                                       &world.apps[SERVER].handlers, NULL),
                     STOQ_EIO);
    assert_null(endpoint);
    world_release(&world);
}

/* --- Memory ----------------------------------------------------------------------------------------------------------- */

/* A whole connection beside the one that is there: handshake, a stream each way, close. */
static void visit(struct app *guest)
{
    struct stoq_target target = {.path = stoq_net_path(world.net, guest->node, SERVER),
                                 .name = "server.test"};
    struct stoq_stream *stream;
    struct stoq_conn *conn;

    if (stoq_endpoint_connect(stoq_net_endpoint(world.net, guest->node), &target,
                              stoq_net_now(world.net), &conn, NULL) != 0)
        return;
    guest->conn = conn;
    guest->live++;
    (void)world_until(&world, 60 * MS, until_connected, guest);
    if (guest->conn != NULL && stoq_conn_open(guest->conn, NULL, &stream, NULL) == 0) {
        struct flow *flow = &guest->flows[guest->flow_count++ % WORLD_FLOWS];
        *flow = (struct flow){
            .app = guest, .stream = stream, .id = stoq_stream_id(stream), .total = 20000};
        stoq_stream_set_user(stream, flow);
        world_pump(flow);
        (void)stoq_conn_datagrams(guest->conn, &(struct stoq_bytes){(const uint8_t *)"dg", 2}, 1);
    }
    (void)world_until(&world, 60 * MS, NULL, NULL);
    if (guest->conn != NULL)
        stoq_conn_close(guest->conn, 1, "enough");
    (void)world_until(&world, 20 * MS, NULL, NULL);
}

static void sweep(bool in_endpoint)
{
    unsigned long nth = 1;
    unsigned round = 0;

    for (;; round++) {
        unsigned long failed = hm_alloc_failures();
        struct app *guest;
        assert_true(round < SWEEP_ROUNDS);
        world_init(&world, 17);
        world.apps[SERVER].answer = 3000;
        for (unsigned i = 0; i < 2;
             i++) /* no probes: the pair asks for no memory while it is silent */
            world.apps[i].config.udp_payload_max = world.apps[i].config.udp_payload;
        world_join(&world);
        for (unsigned i = 0; i < 2; i++)
            world.apps[i].kept = world.apps[i].conn;
        guest = world_add(&world, false);
        if (in_endpoint) {
            struct stoq_endpoint *endpoint = NULL;
            hm_alloc_fail_at(nth);
            int code = stoq_endpoint_new(&endpoint, &guest->config, &guest->handlers, NULL);
            hm_alloc_fail_at(0);
            if (code != 0)
                assert_int_equal(code, STOQ_ENOMEM);
            stoq_endpoint_free(endpoint);
        } else {
            world_start(guest);
            hm_alloc_fail_at(nth);
            visit(guest);
            hm_alloc_fail_at(0);
            world.apps[SERVER].conn = world.apps[SERVER].kept;
            /* The pair that was there may have lost a packet for it, not more. */
            world_works(&world, CLIENT, SERVER);
            world_works(&world, SERVER, CLIENT);
        }
        failed = hm_alloc_failures() - failed;
        world.apps[SERVER].kept = world.apps[CLIENT].kept = NULL;
        world_release(&world);
        if (failed == 0)
            break;
        nth += nth < SWEEP_DENSE ? 1 : SWEEP_STEP;
    }
    print_message("%s: %u rounds, up to allocation %lu\n", in_endpoint ? "endpoint" : "connection",
                  round, nth);
    assert_true(nth > (in_endpoint ? 2 : 50));
}

static void test_no_memory_endpoint(void **state)
{
    (void)state;
    sweep(true);
}

static void test_no_memory_connection(void **state)
{
    (void)state;
    sweep(false);
}

/* --- Lost state ------------------------------------------------------------------------------------------------------- */

static void test_stateless_reset(void **state)
{
    (void)state;
    world_init(&world, 13);
    world_join(&world);
    world_works(&world, CLIENT, SERVER);
    world_start(&world.apps[SERVER]); /* the same secret, nothing else */
    (void)world_send(&world.apps[CLIENT], 5000, NULL);
    if (!world_until(&world, SECOND, until_closed, &world.apps[CLIENT]))
        fail_msg("not told: %llu packets of nobody, %llu resets sent",
                 (unsigned long long)world_count(&world, SERVER, STOQ_COUNT_DROP_UNKNOWN),
                 (unsigned long long)world_count(&world, SERVER, STOQ_COUNT_RESETS_SENT));
    assert_int_equal(world.apps[CLIENT].why.kind, STOQ_CLOSE_RESET);
    assert_true(world_count(&world, SERVER, STOQ_COUNT_RESETS_SENT) > 0);
    (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
    (void)world_until(&world, SECOND, NULL, NULL);
    world_works(&world, CLIENT, SERVER);
    world_release(&world);
}

/* With another secret nobody believes it. */
static void test_reset_of_a_stranger(void **state)
{
    (void)state;
    world_init(&world, 13);
    world_join(&world);
    memset(world.apps[SERVER].config.secret, 0x71, 32);
    world_start(&world.apps[SERVER]);
    (void)world_send(&world.apps[CLIENT], 5000, NULL);
    assert_true(world_until(&world, 120 * SECOND, until_closed, &world.apps[CLIENT]));
    assert_int_equal(world.apps[CLIENT].why.kind, STOQ_CLOSE_IDLE);
    world_release(&world);
}

/* Many packets of nobody: resets are shorter than what they answer, and held back above a rate. */
static uint64_t longest, count, asked;

static bool count_resets(void *ctx, unsigned from, const struct sockaddr_in6 *to, uint8_t *data,
                         size_t len)
{
    (void)ctx;
    (void)to;
    (void)data;
    if (from == SERVER) {
        count++;
        longest = len > longest ? len : longest;
    }
    return true;
}

static void test_reset_flood(void **state)
{
    uint8_t packet[200] = {0x40};

    (void)state;
    world_init(&world, 13);
    world_start(&world.apps[SERVER]);
    stoq_net_tap(world.net, count_resets, NULL);
    count = longest = 0;
    for (asked = 0; asked < 20000; asked++) {
        struct sockaddr_in6 from = stoq_net_address(world.net, CLIENT, 0),
                            to = stoq_net_address(world.net, SERVER, 0);
        hm_put_be64(packet + 1, asked);
        stoq_net_inject(world.net, &from, &to, packet, 30 + asked % 20);
        if (asked % 100 == 99)
            (void)world_until(&world, MS, NULL, NULL);
    }
    (void)world_until(&world, 10 * MS, NULL, NULL);
    assert_in_range(count, 10, 4000);
    assert_true(longest < 49);
    assert_true(world_count(&world, SERVER, STOQ_COUNT_RESET_RATE) > 10000);
    assert_int_equal(world_count(&world, SERVER, STOQ_COUNT_RESETS_SENT), count);
    world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_jumps),
        cmocka_unit_test(test_wall_jumps),
        cmocka_unit_test(test_no_random_in_server),
        cmocka_unit_test(test_no_random_in_client),
        cmocka_unit_test(test_no_random_for_an_endpoint),
        cmocka_unit_test(test_no_memory_endpoint),
        cmocka_unit_test(test_no_memory_connection),
        cmocka_unit_test(test_stateless_reset),
        cmocka_unit_test(test_reset_of_a_stranger),
        cmocka_unit_test(test_reset_flood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
