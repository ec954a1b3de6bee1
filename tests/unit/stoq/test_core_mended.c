/* What a review of the core found, each as a test that failed before: what may be replayed, bytes that were given back,
 * tickets that never ended, ways to keep honest clients out, codes and clocks that an application gets wrong. */
#include "stoq_core.h"
#include "test_core_pki.h"
#include "test_core_world.h"

#define HOURS (3600 * SECOND)

static struct world world;

static struct stoq_bytes session(void)
{
    return (struct stoq_bytes){world.apps[CLIENT].session, world.apps[CLIENT].session_len};
}

static void part(void)
{
    struct app *client = &world.apps[CLIENT], *server = &world.apps[SERVER];

    if (client->conn != NULL)
        stoq_conn_close(client->conn, 0, NULL);
    assert_true(world_until(&world, 10 * SECOND, until_alone, server));
    assert_true(world_until(&world, 10 * SECOND, until_alone, client));
    client->connected = client->closed = server->accepted = server->closed = 0;
    server->taken = 0;
    server->flow_count = client->flow_count = 0;
}

/* A first connection that leaves a session behind, and is over. */
static void first_connection(void)
{
    world_init(&world, 11);
    world.apps[CLIENT].config.early_data = world.apps[SERVER].config.early_data = true;
    world_join(&world);
    world_works(&world, CLIENT, SERVER);
    part();
}

/* --- Early data ----------------------------------------------------------------------------------------------------- */

static unsigned datagrams_early;

static void datagrams_seen(void *ctx, struct stoq_conn *conn, const struct stoq_bytes *list,
                           size_t count)
{
    struct app *app = ctx;
    struct stoq_conn_info info;

    (void)list;
    stoq_conn_get_info(conn, &info);
    app->datagrams += (unsigned)count;
    if (!info.handshake_done)
        datagrams_early += (unsigned)count;
}

/* Datagrams have no option that says they may be replayed: they wait for the handshake. */
static void datagram_early(bool foreign)
{
    const struct stoq_bytes datagram = {(const uint8_t *)"pay 100", 7};
    const struct stoq_stream_options safe = {.replay_safe = true, .unidirectional = true};
    struct stoq_conn *conn;

    first_connection();
    datagrams_early = 0;
    world.apps[SERVER].handlers.datagrams = datagrams_seen;
    world_start(&world.apps[SERVER]); /* and until a ticket of before may be used for early data */
    (void)world_until(&world, 40 * SECOND, NULL, NULL);
    world.apps[CLIENT].connected = 0;
    conn = world_connect(&world, CLIENT, SERVER, session());
    conn->handshake_done = conn->past_handshake = foreign; /* one that does not wait */
    assert_int_equal(stoq_conn_datagrams(conn, &datagram, 1), 1);
    (void)world_send(&world.apps[CLIENT], 100, &safe);
    (void)world_until(&world, 6 * MS, NULL, NULL); /* one way is 5 ms */
    assert_int_equal(datagrams_early, 0);
    assert_int_equal(world.apps[SERVER].taken, 100); /* early data did come */
    assert_int_equal(world_count(&world, SERVER, STOQ_COUNT_DATAGRAMS_DROPPED), foreign);
    (void)world_until(&world, SECOND, NULL, NULL);
    assert_int_equal(datagrams_early, 0);
    assert_int_equal(world.apps[SERVER].datagrams, !foreign);
    world_release(&world);
}

static void test_datagram_early(void **state)
{
    (void)state;
    datagram_early(false);
}
static void test_datagram_early_foreign(void **state)
{
    (void)state;
    datagram_early(true);
}

static uint8_t lent[700];
static unsigned given_back, wrong;

static void give_back(void *cookie)
{
    (void)cookie;
    given_back++;
    memset(lent, 'Z', sizeof lent);
}

static size_t look(void *ctx, struct stoq_stream *stream, const uint8_t *data, size_t len, bool fin)
{
    (void)ctx;
    (void)stream;
    (void)fin;
    for (size_t i = 0; i < len; i++)
        wrong += data[i] == 'Z';
    return len;
}

/* Cuts the address token, the last of a session's three fields, so that the server answers with Retry. */
static struct stoq_bytes without_token(uint8_t *blob)
{
    struct stoq_bytes bytes = session();
    size_t at = 1, last = 0;

    memcpy(blob, bytes.data, bytes.len);
    for (int i = 0; i < 3; i++) {
        last = at;
        at += 4 + hm_get_be32(blob + at);
    }
    memset(blob + last, 0, 4);
    return (struct stoq_bytes){blob, last + 4};
}

/* A stream whose bytes left early is reset: they are given back when nothing of them can be sent again, and once. */
static void reset_early(bool retry)
{
    static uint8_t blob[STOQ_SESSION_BYTES_MAX];
    const struct stoq_stream_options safe = {.replay_safe = true, .unidirectional = true};
    struct app *server = &world.apps[SERVER];
    struct stoq_stream *stream;
    struct stoq_conn *conn;

    first_connection();
    server->handlers.received = look;
    if (retry)
        server->config.handshakes_before_retry = 0;
    else
        memset(server->config.secret, 0x77, sizeof server->config.secret); /* refuses the ticket */
    world_start(server);
    (void)world_until(&world, 40 * SECOND, NULL, NULL);
    conn = world_connect(&world, CLIENT, SERVER, retry ? without_token(blob) : session());
    assert_int_equal(stoq_conn_open(conn, &safe, &stream, NULL), 0);
    struct flow flow = {.app = &world.apps[CLIENT], .stream = stream};
    stoq_stream_set_user(stream, &flow);
    memset(lent, 'A', sizeof lent);
    given_back = wrong = 0;
    assert_int_equal(stoq_stream_write(stream, lent, sizeof lent, false, give_back, NULL), 0);
    (void)world_until(&world, 2 * MS, NULL, NULL);
    assert_true(stream->out.sent > 0); /* as early data */
    stoq_stream_reset(stream, 5);
    assert_int_equal(given_back, 0);
    (void)world_until(&world, SECOND, NULL, NULL);
    assert_int_equal(world_count(&world, SERVER, STOQ_COUNT_RETRIES_SENT) > 0, retry);
    assert_int_equal(wrong, 0);
    assert_int_equal(given_back, 1);
    assert_true(flow.closed);
    world_release(&world);
}

static void test_reset_early_retry(void **state)
{
    (void)state;
    reset_early(true);
}
static void test_reset_early_refused(void **state)
{
    (void)state;
    reset_early(false);
}

/* --- Tickets -------------------------------------------------------------------------------------------------------- */

static bool resumes(void)
{
    struct stoq_conn_info info;

    (void)world_connect(&world, CLIENT, SERVER, session());
    assert_true(world_until(&world, 5 * SECOND, until_ready, &world.apps[SERVER]));
    (void)world_until(&world, 100 * MS, NULL, NULL);
    stoq_conn_get_info(world.apps[CLIENT].conn, &info);
    part();
    return info.resumed;
}

/* A ticket that a resumption gave ends with the one before: twelve hours after a key was last proven. */
static void test_tickets_end(void **state)
{
    (void)state;
    first_connection();
    (void)world_until(&world, 7 * HOURS, NULL, NULL);
    assert_true(resumes());
    (void)world_until(&world, 4 * HOURS, NULL, NULL);
    assert_true(resumes());
    (void)world_until(&world, 4 * HOURS, NULL, NULL);
    assert_false(resumes()); /* and the full handshake begins anew */
    (void)world_until(&world, 7 * HOURS, NULL, NULL);
    assert_true(resumes());
    world_release(&world);
}

/* --- Outsiders ------------------------------------------------------------------------------------------------------ */

static void inject(uint16_t port, const uint8_t *data, size_t len)
{
    struct sockaddr_in6 from = stoq_net_address(world.net, CLIENT, 0),
                        to = stoq_net_address(world.net, SERVER, 0);

    from.sin6_addr.s6_addr[15] = 200;
    from.sin6_port = htons(port);
    stoq_net_inject(world.net, &from, &to, data, len);
}

/* Workers share the secret of reset tokens: what names another worker gets no answer. */
static void test_strays(void **state)
{
    uint8_t packet[100] = {0x40};

    (void)state;
    world_init(&world, 5);
    world.apps[SERVER].config.worker_count = 3;
    world.apps[SERVER].config.worker_index = 1;
    world_start(&world.apps[SERVER]);
    for (uint8_t i = 0; i < 6; i++) {
        packet[1] = i;
        inject(1000, packet, sizeof packet);
    }
    (void)world_until(&world, MS, NULL, NULL);
    assert_int_equal(world_count(&world, SERVER, STOQ_COUNT_DROP_STRAY), 4);
    assert_int_equal(world_count(&world, SERVER, STOQ_COUNT_DROP_UNKNOWN), 2);
    assert_int_equal(world_count(&world, SERVER, STOQ_COUNT_RESETS_SENT), 2);
    world_release(&world);
}

/* Initial packets of nobody, from addresses that are not the sender's, do not use up the rate of handshakes. */
static void test_junk_initials(void **state)
{
    uint8_t junk[1200] = {0xc0, 0, 0, 0, 1, 8};

    (void)state;
    world_init(&world, 6);
    world.apps[SERVER].config.handshakes_per_second = 10;
    world_start(&world.apps[SERVER]);
    world_start(&world.apps[CLIENT]);
    junk[14] = 8; /* source id; then no token, and the length of the rest */
    junk[24] = 0x44;
    junk[25] = 0x90;
    for (unsigned turn = 0; turn < 100; turn++) {
        for (unsigned i = 0; i < 10; i++) {
            junk[6] = (uint8_t)turn;
            junk[7] = (uint8_t)i;
            inject((uint16_t)(1000 + turn * 10 + i), junk, sizeof junk);
        }
        (void)world_until(&world, 10 * MS, NULL, NULL);
        if (turn == 20)
            (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
    }
    assert_int_equal(world.apps[CLIENT].connected, 1);
    assert_true(world_count(&world, SERVER, STOQ_COUNT_RETRIES_SENT) > 500);
    world_release(&world);
}

/* Nor do handshakes that fail use up the places of connections. */
static void test_failed_handshakes(void **state)
{
    (void)state;
    world_init(&world, 7);
    world.apps[SERVER].config.connections_max = 8;
    world_start(&world.apps[SERVER]);
    for (unsigned i = 0; i < 8; i++) {
        struct app *other = world_add(&world, false);

        other->config.alpn = "other";
        world_start(other);
        (void)world_connect(&world, other->node, SERVER, (struct stoq_bytes){NULL, 0});
        assert_true(world_until(&world, SECOND, until_closed, other));
        assert_int_equal(other->why.kind, STOQ_CLOSE_TLS);
        (void)world_until(&world, 10 * MS, NULL, NULL);
    }
    world_start(&world.apps[CLIENT]);
    (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
    assert_true(world_until(&world, 200 * MS, until_connected, &world.apps[CLIENT]));
    assert_int_equal(world_count(&world, SERVER, STOQ_COUNT_DROP_CONNECTIONS), 0);
    world_release(&world);
}

/* Handshakes under way have a quarter of the places. */
static void test_unfinished_handshakes(void **state)
{
    (void)state;
    world_init(&world, 8);
    world.apps[SERVER].config.connections_max = 400;
    world_start(&world.apps[SERVER]);
    world_start(&world.apps[CLIENT]);
    world_mute(&world, SERVER);
    for (unsigned i = 0; i < 150; i++)
        (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
    (void)world_until(&world, 2 * SECOND, NULL, NULL);
    assert_int_equal(stoq_endpoint_connections(stoq_net_endpoint(world.net, SERVER)), 100);
    assert_true(world_count(&world, SERVER, STOQ_COUNT_DROP_CONNECTIONS) > 0);
    world_release(&world);
}

static uint8_t held[1500];
static size_t held_len;

static bool hold_first(void *ctx, unsigned from, const struct sockaddr_in6 *to, uint8_t *data,
                       size_t len)
{
    (void)ctx;
    (void)to;
    if (from != CLIENT || held_len > 0)
        return true;
    memcpy(held, data, len);
    held_len = len;
    return false;
}

/* A hello of two packets whose second comes first: answered at once, not when the client asks again after a second. */
static void test_hello_in_wrong_order(void **state)
{
    (void)state;
    world_init(&world, 16);
    world_start(&world.apps[SERVER]);
    world_start(&world.apps[CLIENT]);
    held_len = 0;
    stoq_net_tap(world.net, hold_first, NULL);
    (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
    (void)world_until(&world, 6 * MS, NULL, NULL);
    assert_true(held_len >= 1200);
    struct sockaddr_in6 from = stoq_net_address(world.net, CLIENT, 0),
                        to = stoq_net_address(world.net, SERVER, 0);
    stoq_net_inject(world.net, &from, &to, held, held_len);
    assert_true(world_until(&world, 100 * MS, until_connected, &world.apps[CLIENT]));
    world_release(&world);
}

/* --- What is lent out ------------------------------------------------------------------------------------------------ */

static const uint8_t *leaf_then;

static void keep_leaf(void *ctx, struct stoq_conn *conn)
{
    ((struct app *)ctx)->connected++;
    leaf_then = stoq_conn_peer_leaf(conn).data;
}

/* The peer's certificate is lent until `closed`, also when it came with others. */
static void test_peer_leaf_stays(void **state)
{
    struct stoq_error error = {0};
    struct stoq_identity *identity = NULL;
    struct pki pki = {0};
    char *chain, *key, both[8192];

    (void)state;
    pki_init(&pki);
    pki_leaf(&pki, "server.test", PKI_GOOD, &chain, &key);
    (void)snprintf(both, sizeof both, "%s%s", chain, pki.authority_pem);
    assert_int_equal(stoq_identity_new(&identity, pki_bytes(both), pki_bytes(key), &error), 0);
    world_init(&world, 9);
    world.apps[SERVER].config.identity = identity;
    world.apps[CLIENT].handlers.connected = keep_leaf;
    world_join(&world);
    (void)world_until(&world, SECOND, NULL, NULL);
    struct stoq_bytes now = stoq_conn_peer_leaf(world.apps[CLIENT].conn);
    assert_ptr_equal(now.data, leaf_then);
    assert_int_equal(now.len, stoq_identity_leaf(identity).len);
    assert_memory_equal(now.data, stoq_identity_leaf(identity).data, now.len);
    world_release(&world);
    stoq_identity_unref(identity);
    pki_release(&pki);
    free(chain);
    free(key);
}

/* --- What an application gets wrong ---------------------------------------------------------------------------------- */

static void test_large_codes(void **state)
{
    struct flow *flow, *there;

    (void)state;
    world_init(&world, 10);
    world_join(&world);
    flow = world_send(&world.apps[CLIENT], 1000, NULL);
    (void)world_until(&world, 50 * MS, NULL, NULL);
    there = world_flow(&world.apps[SERVER], flow->id);
    assert_non_null(there);
    stoq_stream_reset(there->stream, UINT64_MAX);
    (void)world_until(&world, 50 * MS, NULL, NULL);
    assert_true(flow->reset_code == STOQ_APP_CODE_BASE - 1);
    flow = world_send(&world.apps[CLIENT], 10000000, NULL);
    (void)world_until(&world, 6 * MS, NULL, NULL);
    there = world_flow(&world.apps[SERVER], flow->id);
    assert_non_null(there);
    stoq_stream_stop(there->stream, 1ULL << 62);
    (void)world_until(&world, 50 * MS, NULL, NULL);
    assert_true(flow->stop_code == STOQ_APP_CODE_BASE - 1);
    stoq_conn_close(world.apps[CLIENT].conn, UINT64_MAX, "x");
    assert_true(world_until(&world, SECOND, until_closed, &world.apps[SERVER]));
    assert_true(world.apps[SERVER].why.code == STOQ_APP_CODE_BASE - 1);
    world_release(&world);
}

static size_t close_inside(void *ctx, struct stoq_stream *stream, const uint8_t *data, size_t len,
                           bool fin)
{
    (void)ctx;
    (void)data;
    (void)fin;
    stoq_conn_close(stoq_stream_conn(stream), 3, NULL);
    return len;
}

/* A connection that ends in a callback while streams wait to be attended: each is closed once. */
static void test_close_with_attention(void **state)
{
    (void)state;
    for (unsigned streams = 1; streams < 4; streams++) {
        struct app *server = &world.apps[SERVER];

        world_init(&world, 18);
        server->handlers.received = close_inside;
        world_join(&world);
        for (unsigned i = 0; i < streams; i++) {
            struct flow *flow = world_send(&world.apps[CLIENT], 10, NULL);
            stoq_stream_stop(flow->stream, 1);
            if (i == 0)
                stoq_stream_reset(flow->stream, 2);
        }
        assert_int_equal(world.apps[CLIENT].conn->attention != NULL, true);
        (void)world_until(&world, SECOND, NULL, NULL);
        assert_int_equal(world.apps[CLIENT].closed + server->closed, streams > 1 ? 2 : 0);
        if (world.apps[CLIENT].conn != NULL)
            stoq_conn_close(world.apps[CLIENT].conn, 0, NULL);
        (void)world_until(&world, SECOND, NULL, NULL);
        for (unsigned i = 0; i < world.apps[CLIENT].flow_count; i++)
            assert_true(world.apps[CLIENT].flows[i].closed);
        world_release(&world);
    }
}

/* A stream in attention whose connection's endpoint goes. */
static void test_free_with_attention(void **state)
{
    (void)state;
    world_init(&world, 19);
    world_join(&world);
    struct flow *flow = world_send(&world.apps[CLIENT], 10, NULL);
    stoq_stream_stop(flow->stream, 1);
    assert_ptr_equal(world.apps[CLIENT].conn->attention, flow->stream);
    stoq_net_attach(world.net, CLIENT, NULL);
    assert_true(flow->closed);
    assert_int_equal(world.apps[CLIENT].closed, 1);
    world_release(&world);
}

/* Times given between steps may be older than the endpoint's, or forgotten: its own time does not run away. */
static void test_older_times(void **state)
{
    struct stoq_endpoint *endpoint;
    struct stoq_conn *conn;

    (void)state;
    world_init(&world, 12);
    world_join(&world);
    endpoint = stoq_net_endpoint(world.net, CLIENT);
    conn = world.apps[CLIENT].conn;
    uint64_t now = stoq_net_node_now(world.net, CLIENT);
    for (unsigned i = 0; i < 1000; i++, now += MS) {
        (void)stoq_conn_update_keys(conn,
                                    now + 30 * MS); /* a callback that looks at its own clock */
        stoq_endpoint_expire(endpoint, now);
    }
    (void)stoq_conn_update_keys(conn, 0);
    struct sockaddr_in6 same = conn->path.local;
    (void)stoq_conn_migrate(conn, &same, false, 0, NULL);
    stoq_endpoint_expire(endpoint, now + 40 * MS);
    assert_true(endpoint->now_ns == now + 40 * MS);
    world_release(&world);
}

/* Datagrams that come in the same step before the peer's goodbye are handed over before `closed`. */
static void test_datagrams_before_close(void **state)
{
    static uint8_t bytes[2][STOQ_TRAIN_BYTES_MAX];
    const struct stoq_bytes datagram = {(const uint8_t *)"bye", 3};
    struct stoq_packet packets[2];
    struct stoq_conn *conn;

    (void)state;
    world_init(&world, 17);
    world_join(&world);
    (void)world_until(&world, 100 * MS, NULL, NULL);
    conn = world.apps[CLIENT].conn;
    assert_int_equal(stoq_conn_datagrams(conn, &datagram, 1), 1);
    for (unsigned i = 0; i < 2; i++) {
        struct stoq_train train;
        size_t len = stoq_endpoint_send(stoq_net_endpoint(world.net, CLIENT), bytes[i],
                                        sizeof bytes[i], &train,
                                        stoq_net_node_now(world.net, CLIENT));

        assert_true(len > 0);
        packets[i] = (struct stoq_packet){
            .path = {.local = train.path.remote, .remote = train.path.local},
            .data = bytes[i],
            .len = len,
            .segment = train.segment};
        if (i == 0)
            stoq_conn_close(conn, 1, "done");
    }
    stoq_endpoint_receive(stoq_net_endpoint(world.net, SERVER), packets, 2,
                          stoq_net_node_now(world.net, SERVER));
    assert_int_equal(world.apps[SERVER].datagrams, 1);
    assert_int_equal(world.apps[SERVER].closed, 1);
    world_release(&world);
}

/* --- Fairness -------------------------------------------------------------------------------------------------------- */

static void fill(void *ctx, struct stoq_conn *conn)
{
    static const uint8_t bytes[1100];
    const struct stoq_bytes datagram = {bytes, sizeof bytes};

    (void)ctx;
    while (stoq_conn_datagrams(conn, &datagram, 1) == 1)
        ;
}

/* Datagrams without end leave half of the packets to streams. */
static void test_datagrams_leave_room(void **state)
{
    struct flow *flow;

    (void)state;
    world_init(&world, 13);
    world.apps[CLIENT].config.rate = STOQ_RATE_CUSTOM;
    world.apps[CLIENT].config.rate_bits = 8000000;
    world.apps[CLIENT].handlers.datagrams_writable = fill;
    world_join(&world);
    fill(NULL, world.apps[CLIENT].conn);
    flow = world_send(&world.apps[CLIENT], 300000, NULL);
    (void)world_until(&world, SECOND, NULL, NULL);
    flow = world_flow(&world.apps[SERVER], flow->id);
    assert_non_null(flow);
    assert_true(flow->fin_seen);
    assert_true(world.apps[SERVER].datagrams > 200);
    world_release(&world);
}

/* --- The end of a stream, acknowledged -------------------------------------------------------------------------------- */

static unsigned fins;

static void fin_acked(struct stoq_stream *stream)
{
    assert_int_equal(stream->out.acked, stream->out.end);
    fins++;
}

/* Told once: with the last bytes, alone, before them, and when both were lost and are repeated together. */
static void test_fin_acked(void **state)
{
    const struct stoq_stream_options uni = {.unidirectional = true};

    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        struct flow flow = {.app = &world.apps[CLIENT]};
        struct stoq_stream *stream;

        world_init(&world, 15);
        world_join(&world);
        (void)world_until(&world, 100 * MS, NULL, NULL);
        fins = 0;
        stoq_endpoint_fins_to(stoq_net_endpoint(world.net, CLIENT), fin_acked);
        assert_int_equal(
            stoq_conn_open(world.apps[CLIENT].conn, kind == 1 ? &uni : NULL, &stream, NULL), 0);
        flow.stream = stream;
        stoq_stream_set_user(stream, &flow);
        if (kind >= 2)
            world_mute(&world, CLIENT);
        assert_int_equal(stoq_stream_send(stream, "\xa5", 1, kind == 0), 1);
        world.apps[SERVER].lazy = true; /* the bytes are none of the pattern */
        (void)world_until(&world, kind == 3 ? MS : 100 * MS, NULL, NULL);
        assert_int_equal(fins, kind == 0);
        if (kind == 2)
            stoq_net_tap(world.net, NULL, NULL);
        if (kind != 0)
            assert_int_equal(stoq_stream_finish(stream), 0);
        (void)world_until(&world, 4 * MS, NULL, NULL);
        assert_int_equal(fins, kind == 0); /* it cannot know yet */
        stoq_net_tap(world.net, NULL, NULL);
        (void)world_until(&world, 5 * SECOND, NULL, NULL);
        assert_int_equal(fins, 1);
        world_release(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_datagram_early),        cmocka_unit_test(test_datagram_early_foreign),
        cmocka_unit_test(test_reset_early_retry),     cmocka_unit_test(test_reset_early_refused),
        cmocka_unit_test(test_tickets_end),           cmocka_unit_test(test_strays),
        cmocka_unit_test(test_junk_initials),         cmocka_unit_test(test_failed_handshakes),
        cmocka_unit_test(test_unfinished_handshakes), cmocka_unit_test(test_hello_in_wrong_order),
        cmocka_unit_test(test_peer_leaf_stays),       cmocka_unit_test(test_large_codes),
        cmocka_unit_test(test_close_with_attention),  cmocka_unit_test(test_free_with_attention),
        cmocka_unit_test(test_older_times),           cmocka_unit_test(test_datagrams_before_close),
        cmocka_unit_test(test_datagrams_leave_room),  cmocka_unit_test(test_fin_acked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
