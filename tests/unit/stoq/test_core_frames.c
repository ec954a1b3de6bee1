/* Frames that break RFC 9000, well encrypted, from a hostile client and a hostile server: the connection ends with the
 * right error, and the endpoint's other connections go on. */
#include "test_core_hostile.h"

#define ANY      UINT64_MAX /* any transport error */
#define SURVIVES (UINT64_MAX - 1)

struct bad {
    const char *name;
    uint64_t code; /* of RFC 9000 section 20.1 */
    uint8_t frames[64];
    size_t len;
    uint8_t header_bits;
    bool only_to_server, only_to_client;
};
#define BYTES(...) {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})
#define BIG        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff /* 2^62 - 1 */
#define ABOVE_2_60 0xd0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01
#define GIB        0x80 | 0x20, 0x00, 0x00, 0x00 /* 2^29 */
#define TEN        1, 2, 3, 4, 5, 6, 7, 8, 9, 10
#define CID_16     1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16

/* Streams: `theirs` are those that the hostile end may open. Its first bidirectional one is 0 from a client. Where the
 * id depends on the role, the rows come twice. */
static const struct bad bad[] = {
    {"unknown type", 7, BYTES(0x40, 0x52, 0x00), 0, false, false},
    {"unknown one-byte type", 7, BYTES(0x21), 0, false, false},
    {"ack of what was never sent", 10, BYTES(0x02, 0x80, 0x0f, 0xff, 0xff, 0, 0, 0), 0, false,
     false},
    {"ack range below zero", 7, BYTES(0x02, 0x01, 0, 0, 0x05), 0, false, false},
    {"ack second range below zero", 7, BYTES(0x02, 0x02, 0, 1, 0, 0x3f, 0), 0, false, false},
    {"truncated stream", 7, BYTES(0x0a, 0x00, 0x7f, 0xff), 0, true, false},
    {"stream beyond 2^62", 3, BYTES(0x0e, 0x00, BIG, 0x0a, TEN), 0, true, false},
    {"stream beyond its window", 3, BYTES(0x0e, 0x00, GIB, 0x01, 0x01), 0, true, false},
    {"client's stream above the limit", 4, BYTES(0x0a, 0x7f, 0xfc, 0x01, 0x01), 0, true, false},
    {"server's stream above the limit", 4, BYTES(0x0a, 0x7f, 0xfd, 0x01, 0x01), 0, false, true},
    {"data on the server's own stream", 5, BYTES(0x0a, 0x03, 0x01, 0x01), 0, true, false},
    {"data on the client's own stream", 5, BYTES(0x0a, 0x02, 0x01, 0x01), 0, false, true},
    {"data on a stream the server did not open", 5, BYTES(0x0a, 0x41, 0x01, 0x01, 0x01), 0, true,
     false},
    {"reset of the server's own stream", ANY, BYTES(0x04, 0x03, 0x00, 0x00), 0, true, false},
    {"reset below what came", 6, BYTES(0x0a, 0x04, 0x0a, TEN, 0x04, 0x04, 0x00, 0x05), 0, true,
     false},
    {"reset beyond the window", 3, BYTES(0x04, 0x04, 0x00, GIB), 0, true, false},
    {"two final sizes", 6, BYTES(0x0b, 0x04, 0x02, 1, 2, 0x0b, 0x04, 0x03, 1, 2, 3), 0, true,
     false},
    {"data after the end", 6, BYTES(0x0b, 0x04, 0x02, 1, 2, 0x0a, 0x04, 0x0a, TEN), 0, true, false},
    {"stop of a stream we only receive", 5, BYTES(0x05, 0x06, 0x00), 0, true, false},
    {"stop of a stream never opened", 5, BYTES(0x05, 0x41, 0x01, 0x00), 0, true, false},
    {"credit for a stream we only receive", 5, BYTES(0x11, 0x06, 0x0a), 0, true, false},
    {"credit for a stream never opened", 5, BYTES(0x11, 0x41, 0x01, 0x0a), 0, true, false},
    {"blocked on a stream we only send", 5, BYTES(0x15, 0x03, 0x0a), 0, true, false},
    {"max streams above 2^60", 7, BYTES(0x12, ABOVE_2_60), 0, false, false},
    {"max one-way streams above 2^60", 7, BYTES(0x13, ABOVE_2_60), 0, false, false},
    {"streams blocked above 2^60", ANY, BYTES(0x16, ABOVE_2_60), 0, false, false},
    {"handshake done from a client", 10, BYTES(0x1e), 0, true, false},
    {"token from a client", 10, BYTES(0x07, 0x02, 1, 2), 0, true, false},
    {"empty token", 7, BYTES(0x07, 0x00), 0, false, true},
    {"connection id that retires itself", 7, BYTES(0x18, 0x05, 0x06, 0x10, CID_16, CID_16), 0,
     false, false},
    {"connection id without bytes", 7, BYTES(0x18, 0x05, 0x00, 0x00, CID_16), 0, false, false},
    {"connection id of 21 bytes", 7, BYTES(0x18, 0x05, 0x00, 0x15, CID_16, TEN, CID_16), 0, false,
     false},
    {"retires an id never given", 10, BYTES(0x19, 0x7f, 0xff), 0, false, false},
    {"crypto far ahead", ANY, BYTES(0x06, GIB, 0x01, 0x00), 0, false, false},
    {"crypto that is no message", ANY, BYTES(0x06, 0x00, 0x05, 0xfe, 0, 0, 1, 0), 0, true, false},
    /* A client whose tickets have come needs TLS no longer, and no longer looks. */
    {"crypto that is no message", SURVIVES, BYTES(0x06, 0x00, 0x05, 0xfe, 0, 0, 1, 0), 0, false,
     true},
    {"truncated close", 7, BYTES(0x1c, 0x00, 0x00, 0x7f, 0xff), 0, false, false},
    {"reserved header bits", 10, BYTES(0x01), 0x18, false, false},
    {"answer to no challenge", SURVIVES, BYTES(0x1b, 1, 2, 3, 4, 5, 6, 7, 8), 0, false, false},
    {"data blocked, streams blocked", SURVIVES, BYTES(0x14, 0x0a, 0x16, 0x0a, 0x17, 0x0a), 0, false,
     false},
};

static struct world world;
static struct pki pki;

/* A world with a good pair (SERVER and CLIENT) and a hostile peer of the victim. */
static void setup(struct hostile *hostile, bool to_server)
{
    world_init(&world, 3);
    pki_init(&pki);
    world.apps[SERVER].config.datagram_max = 0;
    world.apps[CLIENT].config.datagram_max = 0;
    world.apps[SERVER].config.stream_tags = world.apps[CLIENT].config.stream_tags = false;
    world_join(&world);
    world.apps[SERVER].accepted = world.apps[CLIENT].connected = 0;
    hostile_init(hostile, &world, !to_server, to_server ? SERVER : CLIENT, &pki);
}

static void teardown(struct hostile *hostile)
{
    world_release(&world);
    hostile_release(hostile);
    pki_release(&pki);
}

/* The victim meets the hostile peer; false: the handshake did not complete. */
static bool meet(struct hostile *hostile, bool to_server)
{
    struct app *victim = &world.apps[to_server ? SERVER : CLIENT];
    struct stoq_conn *kept = victim->conn;
    struct stoq_target target = {.path = stoq_net_path(world.net, CLIENT, hostile->node),
                                 .name = "server.test"};
    struct stoq_conn *conn;

    if (to_server) {
        hostile_start(hostile);
    } else {
        assert_int_equal(stoq_endpoint_connect(stoq_net_endpoint(world.net, CLIENT), &target,
                                               stoq_net_now(world.net), &conn, NULL),
                         0);
    }
    (void)world_until(&world, 2 * SECOND, hostile_complete, hostile);
    (void)world_until(&world, 200 * MS, NULL, NULL);
    victim->conn = kept; /* the good pair's */
    return hostile->complete && !hostile->over;
}

static void judge(const struct bad *one, bool to_server)
{
    struct hostile hostile;
    struct app *victim = &world.apps[to_server ? SERVER : CLIENT];
    unsigned good = 1;

    setup(&hostile, to_server);
    if (!meet(&hostile, to_server))
        fail_msg("%s: no connection with the hostile peer", one->name);
    hostile.header_bits = one->header_bits;
    victim->lazy = true; /* what these streams carry follows no pattern */
    hostile_send(&hostile, HOSTILE_SHORT, one->frames, one->len);
    assert_false(hostile.armed);
    (void)world_until(&world, SECOND, hostile_over, &hostile);
    if (one->code == SURVIVES) {
        assert_false(hostile.over);
        assert_int_equal(victim->closed, 0);
        good = 2;
    } else {
        if (!hostile.over || hostile.application ||
            (one->code != ANY && hostile.code != one->code) || hostile.code == 0)
            fail_msg("%s, to the %s: over %d with code %llu, expected %lld", one->name,
                     to_server ? "server" : "client", hostile.over,
                     (unsigned long long)hostile.code, (long long)one->code);
        assert_true(world_until(&world, 5 * SECOND, until_closed, victim));
        assert_true(victim->why.kind == STOQ_CLOSE_TRANSPORT || victim->why.kind == STOQ_CLOSE_TLS);
        (void)world_until(&world, 5 * SECOND, NULL, NULL); /* what is kept of it goes */
    }
    victim->lazy = false;
    assert_int_equal(stoq_endpoint_connections(stoq_net_endpoint(world.net, victim->node)), good);
    world_works(&world, CLIENT, SERVER);
    world_works(&world, SERVER, CLIENT);
    teardown(&hostile);
}

static void test_to_server(void **state)
{
    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++)
        if (!bad[i].only_to_client)
            judge(&bad[i], true);
}

static void test_to_client(void **state)
{
    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++)
        if (!bad[i].only_to_server)
            judge(&bad[i], false);
}

/* Many connection ids: the limit that was announced is kept. */
static void test_connection_ids_flood(void **state)
{
    struct hostile hostile;

    (void)state;
    setup(&hostile, true);
    assert_true(meet(&hostile, true));
    for (uint8_t i = 0; i < 40 && !hostile.over; i++) {
        uint8_t frame[3 + 1 + 16 + 16] = {0x18, (uint8_t)(8 + i), 0, 16};
        memset(frame + 4, i + 1, 32);
        hostile_send(&hostile, HOSTILE_SHORT, frame, sizeof frame);
        (void)world_until(&world, 20 * MS, NULL, NULL);
    }
    assert_true(hostile.over);
    assert_int_equal(hostile.code, 9); /* CONNECTION_ID_LIMIT_ERROR */
    world_works(&world, CLIENT, SERVER);
    teardown(&hostile);
}

/* What may not be in Initial packets; the server may answer with a close or drop the connection, and keeps nothing. */
static void test_initial(void **state)
{
    static const struct bad initial[] = {
        {"stream", 10, BYTES(0x0a, 0x00, 0x01, 0x01), 0, true, false},
        {"application close", 10, BYTES(0x1d, 0x00, 0x00), 0, true, false},
        {"handshake done", 10, BYTES(0x1e), 0, true, false},
        {"new token", 10, BYTES(0x07, 0x02, 1, 2), 0, true, false},
        {"unknown", 7, BYTES(0x21), 0, true, false},
        {"only padding", ANY, BYTES(0x00), 0, true, false},
        {"ack of nothing", ANY, BYTES(0x02, 0x05, 0, 0, 0), 0, true, false},
        {"truncated crypto", 7, BYTES(0x06, 0x00, 0x7f, 0xff), 0, true, false},
        {"crypto far ahead", ANY, BYTES(0x06, GIB, 0x01, 0x00), 0, true, false},
        {"garbage for a hello", ANY, BYTES(0x06, 0x00, 0x0a, TEN), 0, true, false},
        {"a hello that says it is long", ANY, BYTES(0x06, 0x00, 0x04, 1, 0xff, 0xff, 0xff), 0, true,
         false},
        {"reserved header bits", 10, BYTES(0x01), 0x0c, true, false},
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(initial); i++) {
        struct hostile hostile;
        setup(&hostile, true);
        hostile.header_bits = initial[i].header_bits;
        hostile_send(&hostile, HOSTILE_INITIAL, initial[i].frames, initial[i].len);
        hostile_start(&hostile);
        (void)world_until(&world, 100 * MS, NULL, NULL);
        assert_false(hostile.armed);
        if (hostile.over && initial[i].code != ANY && hostile.code != initial[i].code)
            fail_msg("%s: code %llu", initial[i].name, (unsigned long long)hostile.code);
        hostile.over = true; /* says nothing more */
        (void)world_until(&world, 30 * SECOND, NULL, NULL);
        (void)world_until(&world, 30 * SECOND, NULL, NULL);
        if (world.apps[CLIENT].live == 0) /* idle by now: a fresh pair */
            (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
        (void)world_until(&world, SECOND, NULL, NULL);
        assert_int_equal(stoq_endpoint_connections(stoq_net_endpoint(world.net, SERVER)), 1);
        world_works(&world, CLIENT, SERVER);
        teardown(&hostile);
    }
}

/* Transport parameters that are wrong: the one with our connection id is easy to find, and changed. */
static void spoil_parameters(struct hostile *hostile, enum hostile_level level, uint8_t *plain,
                             size_t len)
{
    static const uint8_t ids[] = {0x02, 0x10, 0x0c, 0x1f, 0x03, 0x0e, 0x0a, 0x0b};

    /* A client's hello travels in pieces, cut anywhere. */
    size_t look = level == HOSTILE_INITIAL ? 1 : HOSTILE_SCID_BYTES;

    for (size_t i = 2; i + HOSTILE_SCID_BYTES <= len; i++) {
        if (plain[i - 2] != 0x0f || plain[i - 1] != HOSTILE_SCID_BYTES ||
            memcmp(plain + i, hostile->scid, look) != 0)
            continue;
        hostile->spoiled++;
        if (hostile->variant < HM_COUNT_OF(ids))
            plain[i - 2] = ids[hostile->variant];
        else if (hostile->variant == HM_COUNT_OF(ids))
            plain[i - 1] = 63; /* longer than what is left */
        else
            plain[i] ^= 1;
        return;
    }
}

static void test_parameters(void **state)
{
    (void)state;
    for (unsigned to_server = 0; to_server < 2; to_server++)
        for (unsigned variant = 0; variant < 10; variant++) {
            struct hostile hostile;
            setup(&hostile, to_server != 0);
            hostile.mutate = spoil_parameters;
            hostile.variant = variant;
            (void)meet(&hostile, to_server != 0);
            (void)world_until(&world, 200 * MS, hostile_over, &hostile);
            /* TRANSPORT_PARAMETER_ERROR, or TLS's decode_error, or its check of what was signed. */
            if (!hostile.over || (hostile.code != 8 && hostile.code < 0x100))
                fail_msg("variant %u (%u times) to the %s: over %d, code %llu", variant,
                         hostile.spoiled, to_server ? "server" : "client", hostile.over,
                         (unsigned long long)hostile.code);
            assert_int_equal(world.apps[SERVER].accepted, 0);
            world_works(&world, CLIENT, SERVER);
            teardown(&hostile);
        }
}

/* The hostile peer can also behave: another implementation's connection works. */
static void test_plain_peer(void **state)
{
    struct hostile hostile;

    (void)state;
    setup(&hostile, true);
    world.apps[SERVER].answer = 100000;
    assert_true(meet(&hostile, true));
    hostile_say(&hostile, "", 0);
    (void)world_until(&world, 2 * SECOND, NULL, NULL);
    assert_int_equal(hostile.taken, 100000);
    assert_false(hostile.over);
    teardown(&hostile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_peer), cmocka_unit_test(test_to_server),
        cmocka_unit_test(test_to_client),  cmocka_unit_test(test_connection_ids_flood),
        cmocka_unit_test(test_initial),    cmocka_unit_test(test_parameters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
