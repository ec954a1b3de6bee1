/* What anybody may send to a server without knowing a secret: bytes that are no packets, small and forged Initial
 * packets, spoofed addresses, forged tokens. Nothing is kept, a counter says what was dropped, and what goes back is at
 * most three times what came. */
#include "test_core_world.h"

#define CAUGHT_MAX 64

/* Datagrams that were seen on their way. */
static struct caught {
    unsigned from;
    size_t len;
    uint8_t data[1600];
} caught[CAUGHT_MAX];
static unsigned caught_count;
static uint64_t bytes_by[STOQ_NET_NODES_MAX];
static unsigned swallow_from = STOQ_NET_NODES_MAX;

static struct world world;

static bool tap(void *ctx, unsigned from, const struct sockaddr_in6 *to, uint8_t *data, size_t len)
{
    (void)ctx;
    (void)to;
    bytes_by[from] += len;
    if (caught_count < CAUGHT_MAX && len <= sizeof caught[0].data) {
        struct caught *one = &caught[caught_count++];
        one->from = from;
        one->len = len;
        memcpy(one->data, data, len);
    }
    return from != swallow_from;
}

static void setup(void)
{
    world_init(&world, 5);
    caught_count = 0;
    swallow_from = STOQ_NET_NODES_MAX;
    memset(bytes_by, 0, sizeof bytes_by);
    stoq_net_tap(world.net, tap, NULL);
}

static struct sockaddr_in6 stranger(uint8_t number)
{
    struct sockaddr_in6 address = stoq_net_address(world.net, 0, 0);

    address.sin6_addr.s6_addr[14] = 0x66;
    address.sin6_addr.s6_addr[15] = number;
    return address;
}

static void toss(uint8_t number, const uint8_t *data, size_t len)
{
    struct sockaddr_in6 from = stranger(number), to = stoq_net_address(world.net, SERVER, 0);

    stoq_net_inject(world.net, &from, &to, data, len);
    (void)world_until(&world, MS, NULL, NULL);
}

static size_t connections(void)
{
    return stoq_endpoint_connections(stoq_net_endpoint(world.net, SERVER));
}

/* A long header of version 1; the rest is garbage. */
static size_t long_header(uint8_t *out, size_t len, uint8_t first, uint32_t version, uint8_t dcid,
                          uint8_t scid)
{
    memset(out, 0x5a, len);
    out[0] = first;
    hm_put_be32(out + 1, version);
    out[5] = dcid;
    out[6 + dcid] = scid;
    out[7 + dcid + scid] = 0; /* no token */
    out[8 + dcid + scid] = 0x44; /* 1,000 bytes follow */
    out[9 + dcid + scid] = 0x00;
    return len;
}

static uint64_t dropped(void)
{
    static const enum stoq_counter all[] = {STOQ_COUNT_DROP_MALFORMED,
                                            STOQ_COUNT_DROP_SMALL_INITIAL, STOQ_COUNT_DROP_UNKNOWN,
                                            STOQ_COUNT_DROP_TOKEN, STOQ_COUNT_VERSIONS_SENT};
    uint64_t sum = 0;

    for (size_t i = 0; i < HM_COUNT_OF(all); i++)
        sum += world_count(&world, SERVER, all[i]);
    return sum;
}

static void test_no_packets(void **state)
{
    static const struct {
        const char *name;
        size_t len;
        uint8_t first;
        uint32_t version;
        uint8_t dcid, scid;
    } rows[] = {
        {"handshake packet of nobody", 1200, 0xe0, 1, 16, 8},
        {"0-RTT packet of nobody", 1200, 0xd0, 1, 16, 8},
        {"retry to a server", 1200, 0xf0, 1, 16, 8},
        {"version negotiation to a server", 1200, 0xc0, 0, 16, 8},
        {"connection id of 21 bytes", 1200, 0xc0, 1, 21, 8},
        {"source id of 21 bytes", 1200, 0xc0, 1, 16, 21},
        {"connection id of 255 bytes", 1200, 0xc0, 1, 255, 8},
        {"initial with an id of 7 bytes", 1200, 0xc0, 1, 7, 8},
        {"small initial", 1199, 0xc0, 1, 16, 8},
        {"very small initial", 60, 0xc0, 1, 16, 8},
        {"initial of garbage without the fixed bit", 1200, 0x80, 1, 16, 8},
        {"unknown version, too small to answer", 600, 0xc0, 0x1a2a3a4a, 16, 8},
        {"short header of nobody", 1200, 0x40, 1, 16, 8},
        {"short header without the fixed bit", 100, 0x00, 1, 16, 8},
        {"short header, very short", 5, 0x40, 1, 0, 0},
    };
    uint8_t packet[1300];

    (void)state;
    setup();
    world_join(&world);
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        uint64_t before = dropped();
        size_t len = long_header(packet, sizeof packet, rows[i].first, rows[i].version,
                                 rows[i].dcid, rows[i].scid);
        (void)len;
        toss((uint8_t)i, packet, rows[i].len);
        if (dropped() != before + 1)
            fail_msg("%s: counted %llu times as dropped", rows[i].name,
                     (unsigned long long)(dropped() - before));
        if (connections() != 1)
            fail_msg("%s: a connection was made", rows[i].name);
    }
    world_works(&world, CLIENT, SERVER);
    world_release(&world);
}

static void test_truncated(void **state)
{
    uint8_t packet[1300];

    (void)state;
    setup();
    world_start(&world.apps[SERVER]);
    (void)long_header(packet, sizeof packet, 0xc0, 1, 8, 8);
    for (size_t len = 1; len < 40; len++) {
        uint64_t before = dropped();
        toss(1, packet, len);
        assert_int_equal(dropped(), before + 1);
    }
    assert_int_equal(connections(), 0);
    assert_int_equal(bytes_by[SERVER], 0);
    world_release(&world);
}

/* Random bytes of all lengths, with every first byte; and as trains. */
static void test_noise(void **state)
{
    static uint8_t noise[65535];
    struct stoq_packet packet = {.len = 0};

    (void)state;
    setup();
    world_join(&world);
    packet.path = (struct stoq_path){stoq_net_address(world.net, SERVER, 0), stranger(9)};
    for (unsigned i = 0; i < 2000; i++) {
        size_t len = (size_t)stoq_net_below(world.net, i % 50 == 0 ? sizeof noise : 1500) + 1;
        for (size_t at = 0; at < len; at += 8) {
            uint64_t word = stoq_net_random(world.net);
            memcpy(noise + at, &word, len - at < 8 ? len - at : 8);
        }
        noise[0] = (uint8_t)i;
        if (i % 3 == 0 && len > 6)
            hm_put_be32(noise + 1, 1);
        packet.data = noise;
        packet.len = len;
        packet.segment = i % 2 == 0 ? len : 1 + (size_t)stoq_net_below(world.net, len);
        if (packet.len / packet.segment > 64)
            packet.segment = len;
        stoq_endpoint_receive(stoq_net_endpoint(world.net, SERVER), &packet, 1,
                              stoq_net_now(world.net));
    }
    (void)world_until(&world, 15 * SECOND, NULL, NULL);
    assert_int_equal(connections(), 1);
    world_works(&world, CLIENT, SERVER);
    world_release(&world);
}

static void test_version_negotiation(void **state)
{
    uint8_t packet[1200];
    const struct caught *answer;

    (void)state;
    setup();
    world_start(&world.apps[SERVER]);
    (void)long_header(packet, sizeof packet, 0xc0, 0x1a2a3a4a, 20, 3);
    toss(1, packet, sizeof packet);
    assert_int_equal(world_count(&world, SERVER, STOQ_COUNT_VERSIONS_SENT), 1);
    assert_int_equal(connections(), 0);
    assert_int_equal(caught_count, 1);
    answer = &caught[0];
    assert_true((answer->data[0] & 0x80) != 0 && hm_get_be32(answer->data + 1) == 0);
    assert_int_equal(answer->data[5], 3); /* our source id is its destination */
    assert_int_equal(answer->data[9], 20);
    assert_true((answer->len - 30) % 4 == 0);
    bool listed = false;
    for (size_t at = 30; at + 4 <= answer->len; at += 4)
        listed = listed || hm_get_be32(answer->data + at) == 1;
    assert_true(listed);
    world_release(&world);
}

/* The client is told that the server speaks nothing it knows: it ends. Told so of version 1 as well, it does not care. */
static void test_version_negotiation_to_client(void **state)
{
    (void)state;
    for (uint32_t version = 1; version < 3; version++) {
        uint8_t packet[100] = {0x80};
        struct sockaddr_in6 from, to;
        uint8_t dcid_len, scid_len;
        setup();
        world_start(&world.apps[CLIENT]);
        (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
        (void)world_until(&world, MS, NULL, NULL);
        assert_true(caught_count > 0);
        dcid_len = caught[0].data[5];
        scid_len = caught[0].data[6 + dcid_len];
        packet[5] = scid_len;
        memcpy(packet + 6, caught[0].data + 7 + dcid_len, scid_len);
        packet[6 + scid_len] = dcid_len;
        memcpy(packet + 7 + scid_len, caught[0].data + 6, dcid_len);
        hm_put_be32(packet + 7 + scid_len + dcid_len, version == 1 ? 1 : 0x1a2a3a4a);
        from = stoq_net_address(world.net, SERVER, 0);
        to = stoq_net_address(world.net, CLIENT, 0);
        stoq_net_inject(world.net, &from, &to, packet, (size_t)(11 + scid_len + dcid_len));
        (void)world_until(&world, 100 * MS, NULL, NULL);
        assert_int_equal(world.apps[CLIENT].closed, version == 1 ? 0 : 1);
        if (version != 1)
            assert_int_equal(world.apps[CLIENT].why.kind, STOQ_CLOSE_VERSION);
        world_release(&world);
    }
}

/* --- Spoofed addresses --------------------------------------------------------------------------------------------- */

/* The first flight of an honest client. */
static void catch_flight(void)
{
    world_start(&world.apps[CLIENT]);
    swallow_from = CLIENT;
    (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
    (void)world_until(&world, MS, NULL, NULL);
    swallow_from = STOQ_NET_NODES_MAX;
    stoq_net_attach(world.net, CLIENT, NULL);
    world.apps[CLIENT].closed = world.apps[CLIENT].live = 0;
    assert_true(caught_count > 0);
}

static void test_amplification(void **state)
{
    uint64_t received = 0;
    unsigned flight;

    (void)state;
    setup();
    catch_flight();
    flight = caught_count;
    world_start(&world.apps[SERVER]);
    for (unsigned i = 0; i < flight; i++) {
        received += caught[i].len;
        toss(1, caught[i].data, caught[i].len);
        assert_true(bytes_by[SERVER] <= 3 * received);
    }
    assert_true(bytes_by[SERVER] > 0);
    for (unsigned i = 0; i < 200; i++) { /* through all its repetitions */
        (void)world_until(&world, 100 * MS, NULL, NULL);
        assert_true(bytes_by[SERVER] <= 3 * received);
    }
    assert_true(world_until(&world, 60 * SECOND, until_alone, &world.apps[SERVER]));
    assert_int_equal(world.apps[SERVER].accepted, 0);
    world_release(&world);
}

/* A hundred spoofed clients, one honest one: it gets in, by Retry; the others leave nothing. */
static void test_spoofed_flood(void **state)
{
    unsigned flight;

    (void)state;
    setup();
    world.apps[SERVER].config.handshakes_before_retry = 8;
    world.apps[SERVER].config.connections_max = 50;
    catch_flight();
    flight = caught_count;
    world_start(&world.apps[SERVER]);
    for (unsigned number = 0; number < 100; number++)
        for (unsigned i = 0; i < flight; i++) {
            /* Another connection id each: what follows is garbage then, but the server must look at it. */
            caught[i].data[6] = (uint8_t)number;
            toss((uint8_t)number, caught[i].data, caught[i].len);
        }
    assert_true(connections() <= 9);
    world_start(&world.apps[CLIENT]);
    (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
    assert_true(world_until(&world, 5 * SECOND, until_ready, &world.apps[SERVER]));
    (void)world_until(&world, 100 * MS, NULL, NULL);
    world_works(&world, CLIENT, SERVER);
    (void)world_until(&world, 15 * SECOND, NULL, NULL);
    assert_int_equal(connections(), 1);
    world_release(&world);
}

/* --- Tokens --------------------------------------------------------------------------------------------------------- */

/* An Initial packet with a token, as the client sent it after a Retry. */
static const struct caught *with_token(void)
{
    for (unsigned i = 0; i < caught_count; i++) {
        const uint8_t *data = caught[i].data;
        if (caught[i].from == CLIENT && (data[0] & 0xf0) == 0xc0 &&
            data[7 + data[5] + data[6 + data[5]]] != 0)
            return &caught[i];
    }
    fail_msg("no token was sent");
    return NULL;
}

static void through_retry(void)
{
    setup();
    world.apps[SERVER].config.handshakes_before_retry = 0;
    world_join(&world);
    /* One for each datagram of a client hello. */
    assert_in_range(world_count(&world, SERVER, STOQ_COUNT_RETRIES_SENT), 1, 2);
    world_works(&world, CLIENT, SERVER);
}

static void test_retry(void **state)
{
    (void)state;
    through_retry();
    world_release(&world);
}

static void bad_token(const struct sockaddr_in6 *from, const uint8_t *data, size_t len)
{
    struct sockaddr_in6 to = stoq_net_address(world.net, SERVER, 0);
    uint64_t before = world_count(&world, SERVER, STOQ_COUNT_DROP_TOKEN);
    size_t held = connections();

    stoq_net_inject(world.net, from, &to, data, len);
    (void)world_until(&world, MS, NULL, NULL);
    assert_int_equal(world_count(&world, SERVER, STOQ_COUNT_DROP_TOKEN), before + 1);
    assert_int_equal(connections(), held);
}

static void test_bad_tokens(void **state)
{
    struct sockaddr_in6 own, other;
    struct caught packet;
    size_t token;

    (void)state;
    through_retry();
    other = stranger(7);
    packet = *with_token();
    token = 7U + packet.data[5] + packet.data[6 + packet.data[5]];
    token += (packet.data[token] & 0xc0) == 0x40 ? 2U : 1U;
    own = stoq_net_address(world.net, CLIENT, 0);
    packet.data[6] ^= 1; /* not the connection that is there */
    bad_token(&other, packet.data, packet.len); /* another's */
    packet.data[token + 20] ^= 1;
    bad_token(&own, packet.data, packet.len); /* forged */
    packet.data[token + 20] ^= 1;
    packet.data[6] ^= 1;
    stoq_conn_close(world.apps[CLIENT].conn, 0, NULL);
    assert_true(world_until(&world, 60 * SECOND, until_alone, &world.apps[SERVER]));
    (void)world_until(&world, 3600 * SECOND, NULL, NULL);
    bad_token(&own, packet.data, packet.len); /* stale */
    world_release(&world);
}

/* A server with another secret does not take it either. */
static void test_token_of_another_server(void **state)
{
    struct sockaddr_in6 own;

    (void)state;
    through_retry();
    own = stoq_net_address(world.net, CLIENT, 0);
    memset(world.apps[SERVER].config.secret, 0x77, 32);
    world_start(&world.apps[SERVER]);
    bad_token(&own, with_token()->data, with_token()->len);
    world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_packets),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_version_negotiation),
        cmocka_unit_test(test_version_negotiation_to_client),
        cmocka_unit_test(test_amplification),
        cmocka_unit_test(test_spoofed_flood),
        cmocka_unit_test(test_retry),
        cmocka_unit_test(test_bad_tokens),
        cmocka_unit_test(test_token_of_another_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
