/* Two endpoints in one process, packets passed by hand, time set by hand: the least that the core must do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>

#include "base.h"
#include "stoq.h"

#define SIDE_PACKETS 4096
#define DATA_BYTES   3000000

enum { CLIENT, SERVER };

struct side {
    struct stoq_endpoint *endpoint;
    struct sockaddr_in6 address;
    struct stoq_conn *conn;
    struct stoq_stream *stream;
    int accepted, connected, closed, opened, stream_closed, stopped, reset, writable, sessions,
        paths;
    uint64_t stop_code, reset_code;
    enum stoq_close_kind kind;
    uint64_t code;
    char text[STOQ_ERROR_TEXT_BYTES];
    char tag[STOQ_TAG_BYTES_MAX + 1];
    uint8_t *got;
    size_t got_len;
    bool fin, lazy, echo, early;
    int released, datagrams;
    uint8_t session[STOQ_SESSION_BYTES_MAX];
    size_t session_len;
    bool refuse, deny;
};

struct pair {
    struct side side[2];
    struct stoq_identity *identity[2];
    uint64_t now;
    uint64_t lose_every, count;
};

static int on_accepted(void *ctx, struct stoq_conn *conn)
{
    struct side *side = ctx;
    side->accepted++;
    side->conn = conn;
    return side->refuse ? -1 : 0;
}
static void on_connected(void *ctx, struct stoq_conn *conn)
{
    ((struct side *)ctx)->connected++;
    (void)conn;
}
static void on_closed(void *ctx, struct stoq_conn *conn, const struct stoq_close *why)
{
    struct side *side = ctx;
    side->closed++;
    side->kind = why->kind;
    side->code = why->code;
    snprintf(side->text, sizeof(side->text), "%s", why->text);
    if (side->conn == conn)
        side->conn = NULL;
}
static void on_session(void *ctx, struct stoq_conn *conn, struct stoq_bytes session)
{
    struct side *side = ctx;
    (void)conn;
    side->sessions++;
    memcpy(side->session, session.data, session.len);
    side->session_len = session.len;
}
static int on_permit(void *ctx, struct stoq_conn *conn, struct stoq_bytes tag, bool bidirectional)
{
    struct side *side = ctx;
    (void)conn;
    (void)bidirectional;
    memcpy(side->tag, tag.data, tag.len);
    side->tag[tag.len] = '\0';
    return side->deny ? -1 : 0;
}
static void on_opened(void *ctx, struct stoq_stream *stream)
{
    struct side *side = ctx;
    side->opened++;
    side->stream = stream;
}
static size_t on_received(void *ctx, struct stoq_stream *stream, const uint8_t *data, size_t len,
                          bool fin)
{
    struct side *side = ctx;
    side->early = side->early || stoq_stream_is_early(stream);
    if (side->lazy)
        return 0;
    assert_true(side->got_len + len <= DATA_BYTES);
    if (len > 0)
        memcpy(side->got + side->got_len, data, len);
    side->got_len += len;
    side->fin = side->fin || fin;
    if (fin && side->echo)
        assert_in_range(stoq_stream_send(stream, "thanks", 6, true) + 2, 0, 8); /* or STOQ_ENOMEM */
    return len;
}
static void on_writable(void *ctx, struct stoq_stream *stream)
{
    (void)stream;
    ((struct side *)ctx)->writable++;
}
static void on_reset(void *ctx, struct stoq_stream *stream, uint64_t code)
{
    struct side *side = ctx;
    (void)stream;
    side->reset++;
    side->reset_code = code;
}
static void on_stopped(void *ctx, struct stoq_stream *stream, uint64_t code)
{
    struct side *side = ctx;
    (void)stream;
    side->stopped++;
    side->stop_code = code;
}
static void on_stream_closed(void *ctx, struct stoq_stream *stream)
{
    struct side *side = ctx;
    side->stream_closed++;
    if (side->stream == stream)
        side->stream = NULL;
}
static void on_datagrams(void *ctx, struct stoq_conn *conn, const struct stoq_bytes *list,
                         size_t count)
{
    struct side *side = ctx;
    (void)conn;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(list[i].data[0], (uint8_t)side->datagrams++);
}
static void on_path(void *ctx, struct stoq_conn *conn)
{
    (void)conn;
    ((struct side *)ctx)->paths++;
}

static struct sockaddr_in6 address_of(uint16_t port)
{
    return (struct sockaddr_in6){
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
}

static void pair_open(struct pair *pair, void (*change)(struct stoq_config *config, int which))
{
    *pair = (struct pair){.now = 1000000000};
    for (int i = 0; i < 2; i++) {
        struct side *side = &pair->side[i];
        struct stoq_error error = {0};

        side->got = calloc(1, DATA_BYTES);
        side->address = address_of((uint16_t)(1000 + i));
        assert_int_equal(
            stoq_identity_self_signed(&pair->identity[i], "test", 1700000000, 30, &error), 0);
    }
    for (int i = 0; i < 2; i++) {
        struct side *side = &pair->side[i];
        struct stoq_config config;
        struct stoq_error error = {0};
        struct stoq_handlers handlers = {.ctx = side,
                                         .accepted = on_accepted,
                                         .connected = on_connected,
                                         .closed = on_closed,
                                         .session = on_session,
                                         .permit = on_permit,
                                         .stream_opened = on_opened,
                                         .received = on_received,
                                         .writable = on_writable,
                                         .stream_reset = on_reset,
                                         .stream_stopped = on_stopped,
                                         .stream_closed = on_stream_closed,
                                         .datagrams = on_datagrams,
                                         .path_changed = on_path};

        stoq_config_default(&config);
        config.identity = pair->identity[i];
        config.verify = stoq_verify_same;
        config.verify_ctx = pair->identity[1 - i];
        config.server = i == SERVER;
        config.alpn = "test";
        config.early_data = true;
        if (change != NULL)
            change(&config, i);
        int rc = stoq_endpoint_new(&side->endpoint, &config, &handlers, &error);
        if (rc != 0)
            print_error("%s\n", error.text);
        assert_int_equal(rc, 0);
    }
}

static void pair_close(struct pair *pair)
{
    for (int i = 0; i < 2; i++) {
        stoq_endpoint_free(pair->side[i].endpoint);
        stoq_identity_unref(pair->identity[i]);
        free(pair->side[i].got);
    }
}

static void pair_connect(struct pair *pair, struct stoq_bytes session)
{
    struct stoq_error error = {0};
    struct stoq_target target = {
        .path = {.local = pair->side[CLIENT].address, .remote = pair->side[SERVER].address},
        .name = "test",
        .session = session};
    int rc = stoq_endpoint_connect(pair->side[CLIENT].endpoint, &target, pair->now,
                                   &pair->side[CLIENT].conn, &error);
    if (rc != 0)
        print_error("%s\n", error.text);
    assert_int_equal(rc, 0);
}

/* Everything that waits goes over; returns how many trains. */
static int pass(struct pair *pair)
{
    static uint8_t buffer[STOQ_TRAIN_BYTES_MAX];
    int trains = 0;

    for (int quiet = 0; quiet < 2;) {
        quiet++;
        for (int i = 0; i < 2; i++) {
            struct stoq_train train;
            size_t len = stoq_endpoint_send(pair->side[i].endpoint, buffer, sizeof(buffer), &train,
                                            pair->now);

            if (len == 0)
                continue;
            quiet = 0;
            trains++;
            pair->now += 10000;
            if (pair->lose_every != 0 && ++pair->count % pair->lose_every == 0)
                continue;
            struct stoq_packet packet = {
                .path = {.local = train.path.remote, .remote = train.path.local},
                .data = buffer,
                .len = len,
                .segment = train.segment,
                .ecn = train.ecn};
            stoq_endpoint_receive(pair->side[1 - i].endpoint, &packet, 1, pair->now);
        }
    }
    return trains;
}

/* Time goes on from deadline to deadline, for so long. */
static void run(struct pair *pair, uint64_t span)
{
    uint64_t end = pair->now + span;

    for (int steps = 0; pair->now < end && steps < 200000; steps++) {
        (void)pass(pair);
        uint64_t a = stoq_endpoint_deadline(pair->side[0].endpoint);
        uint64_t b = stoq_endpoint_deadline(pair->side[1].endpoint);
        uint64_t at = a < b ? a : b;

        if (at > end)
            at = end;
        if (at > pair->now)
            pair->now = at;
        stoq_endpoint_expire(pair->side[0].endpoint, pair->now);
        stoq_endpoint_expire(pair->side[1].endpoint, pair->now);
    }
}

static void shake(struct pair *pair, void (*change)(struct stoq_config *config, int which))
{
    pair_open(pair, change);
    pair_connect(pair, (struct stoq_bytes){0});
    run(pair, 300000000);
    if (pair->side[CLIENT].connected != 1)
        print_error("client: %s\n", pair->side[CLIENT].text);
    assert_int_equal(pair->side[CLIENT].connected, 1);
    assert_int_equal(pair->side[SERVER].accepted, 1);
}

static struct stoq_stream *open_tagged(struct pair *pair, const char *tag)
{
    struct stoq_stream *stream = NULL;
    struct stoq_stream_options options = {.priority = 3,
                                          .tag = {(const uint8_t *)tag, strlen(tag)}};
    struct stoq_error error = {0};
    int rc = stoq_conn_open(pair->side[CLIENT].conn, &options, &stream, &error);
    if (rc != 0)
        print_error("%s\n", error.text);
    assert_int_equal(rc, 0);
    return stream;
}

static void test_handshake_stream_close(void **state)
{
    struct pair pair;
    struct stoq_conn_info info;
    (void)state;
    shake(&pair, NULL);
    stoq_conn_get_info(pair.side[CLIENT].conn, &info);
    assert_true(info.handshake_done);
    assert_string_equal(info.group, "X25519MLKEM768");
    print_message("cipher %s, payload %zu, memory %zu\n", info.cipher, info.udp_payload,
                  info.memory);
    pair.side[SERVER].echo = true;
    struct stoq_stream *stream = open_tagged(&pair, "door");
    assert_int_equal(stoq_stream_send(stream, "hello", 5, true), 5);
    run(&pair, 100000000);
    assert_string_equal(pair.side[SERVER].tag, "door");
    assert_int_equal(pair.side[SERVER].opened, 1);
    assert_memory_equal(pair.side[SERVER].got, "hello", 5);
    assert_true(pair.side[SERVER].fin);
    assert_memory_equal(pair.side[CLIENT].got, "thanks", 6);
    assert_true(pair.side[CLIENT].fin);
    assert_int_equal(pair.side[SERVER].stream_closed, 1);
    assert_int_equal(pair.side[CLIENT].stream_closed, 1);
    stoq_conn_close(pair.side[CLIENT].conn, 7, "good bye");
    run(&pair, 100000000);
    assert_int_equal(pair.side[CLIENT].closed, 1);
    assert_int_equal(pair.side[SERVER].closed, 1);
    assert_int_equal(pair.side[SERVER].kind, STOQ_CLOSE_PEER_APPLICATION);
    assert_int_equal(pair.side[SERVER].code, 7);
    assert_string_equal(pair.side[SERVER].text, "good bye");
    assert_int_equal(stoq_endpoint_connections(pair.side[SERVER].endpoint), 0);
    run(&pair, 5000000000);
    pair_close(&pair);
}

static void released(void *cookie)
{
    ++*(int *)cookie;
}

static void bulk(void (*change)(struct stoq_config *config, int which), uint64_t lose)
{
    struct pair pair;
    static uint8_t data[DATA_BYTES];
    struct stoq_conn_info info;

    shake(&pair, change);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    pair.lose_every = lose;
    struct stoq_stream *stream = open_tagged(&pair, "bulk");
    assert_int_equal(
        stoq_stream_write(stream, data, 2000000, false, released, &pair.side[0].released), 0);
    assert_int_equal(stoq_stream_send(stream, data + 2000000, 1000000, true), 1000000);
    run(&pair, 20000000000);
    assert_int_equal(pair.side[SERVER].got_len, sizeof(data));
    assert_memory_equal(pair.side[SERVER].got, data, sizeof(data));
    assert_true(pair.side[SERVER].fin);
    assert_int_equal(pair.side[0].released, 1);
    stoq_conn_get_info(pair.side[CLIENT].conn, &info);
    print_message("payload %zu sent %llu lost %llu\n", info.udp_payload,
                  (unsigned long long)info.packets_sent, (unsigned long long)info.packets_lost);
    pair_close(&pair);
}

static void small_windows(struct stoq_config *config, int which)
{
    (void)which;
    config->stream_window = 20000;
    config->connection_window = 30000;
    config->udp_payload_max = config->udp_payload;
}

static void test_bulk(void **state)
{
    (void)state;
    bulk(NULL, 0);
}
static void test_bulk_lossy(void **state)
{
    (void)state;
    bulk(small_windows, 17);
}

static void test_stop_and_reset(void **state)
{
    struct pair pair;
    (void)state;
    shake(&pair, NULL);
    struct stoq_stream *stream = open_tagged(&pair, "x");
    assert_int_equal(stoq_stream_send(stream, "abc", 3, false), 3);
    run(&pair, 50000000);
    assert_non_null(pair.side[SERVER].stream);
    stoq_stream_stop(pair.side[SERVER].stream, 41);
    run(&pair, 50000000);
    assert_int_equal(pair.side[CLIENT].stopped, 1);
    assert_int_equal(pair.side[CLIENT].stop_code, 41);
    assert_int_equal(stoq_stream_send(stream, "abc", 3, false), STOQ_ECLOSED);
    stoq_stream_reset(pair.side[SERVER].stream, 42);
    run(&pair, 100000000);
    assert_int_equal(pair.side[CLIENT].reset, 1);
    assert_int_equal(pair.side[CLIENT].reset_code, 42);
    assert_int_equal(pair.side[CLIENT].stream_closed, 1);
    assert_int_equal(pair.side[SERVER].stream_closed, 1);
    pair.side[SERVER].deny = true;
    stream = open_tagged(&pair, "secret");
    assert_int_equal(stoq_stream_send(stream, "abc", 3, false), 3);
    run(&pair, 100000000);
    assert_int_equal(pair.side[SERVER].opened, 1);
    assert_int_equal(pair.side[CLIENT].stopped, 2);
    assert_true(pair.side[CLIENT].stop_code == STOQ_APP_DENIED);
    assert_int_equal(pair.side[CLIENT].stream_closed, 2);
    pair_close(&pair);
}

static void test_lazy_reader(void **state)
{
    struct pair pair;
    uint8_t out[5000];
    bool fin = false;
    size_t total = 0;
    (void)state;
    shake(&pair, small_windows);
    pair.side[SERVER].lazy = true;
    struct stoq_stream *stream = open_tagged(&pair, "x");
    static uint8_t data[100000];
    assert_int_equal(stoq_stream_send(stream, data, sizeof(data), true), sizeof(data));
    run(&pair, 100000000);
    struct stoq_stream *theirs = pair.side[SERVER].stream;
    assert_non_null(theirs);
    while (!fin) {
        size_t n = stoq_stream_read(theirs, out, sizeof(out), &fin);
        total += n;
        assert_true(n <= 20000);
        run(&pair, 20000000);
    }
    assert_int_equal(total, sizeof(data));
    assert_int_equal(stoq_stream_finish(theirs), 0);
    run(&pair, 100000000);
    assert_int_equal(pair.side[SERVER].stream_closed, 1);
    pair_close(&pair);
}

static void test_datagrams(void **state)
{
    struct pair pair;
    uint8_t bytes[100][3];
    struct stoq_bytes list[100];
    (void)state;
    shake(&pair, NULL);
    for (int i = 0; i < 100; i++) {
        bytes[i][0] = (uint8_t)i;
        list[i] = (struct stoq_bytes){bytes[i], 3};
    }
    assert_true(stoq_conn_datagram_size(pair.side[CLIENT].conn) > 1100);
    assert_int_equal(stoq_conn_datagrams(pair.side[CLIENT].conn, list, 100), 100);
    run(&pair, 100000000);
    assert_int_equal(pair.side[SERVER].datagrams, 100);
    size_t most = stoq_conn_datagram_size(pair.side[CLIENT].conn);
    uint8_t *large = calloc(1, most + 1);
    large[0] = 100;
    struct stoq_bytes one = {large, most + 1};
    assert_int_equal(stoq_conn_datagrams(pair.side[CLIENT].conn, &one, 1), 0);
    one.len = most;
    assert_int_equal(stoq_conn_datagrams(pair.side[CLIENT].conn, &one, 1), 1);
    run(&pair, 100000000);
    assert_int_equal(pair.side[SERVER].datagrams, 101);
    free(large);
    pair_close(&pair);
}

static void test_refused(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair, NULL);
    pair.side[SERVER].refuse = true;
    pair_connect(&pair, (struct stoq_bytes){0});
    run(&pair, 300000000);
    assert_int_equal(pair.side[CLIENT].closed, 1);
    assert_int_equal(pair.side[CLIENT].kind, STOQ_CLOSE_PEER_APPLICATION);
    assert_true(pair.side[CLIENT].code == STOQ_APP_REFUSED);
    assert_int_equal(pair.side[SERVER].closed, 0);
    pair_close(&pair);
}

static void wrong_identity(struct stoq_config *config, int which)
{
    if (which == CLIENT)
        config->verify_ctx = config->identity;
}

static void test_bad_certificate(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair, wrong_identity);
    pair_connect(&pair, (struct stoq_bytes){0});
    run(&pair, 300000000);
    assert_int_equal(pair.side[CLIENT].closed, 1);
    assert_int_equal(pair.side[CLIENT].kind, STOQ_CLOSE_TLS);
    print_message("%s (%llx)\n", pair.side[CLIENT].text,
                  (unsigned long long)pair.side[CLIENT].code);
    assert_int_equal(pair.side[SERVER].accepted, 0);
    pair_close(&pair);
}

static void always_retry(struct stoq_config *config, int which)
{
    (void)which;
    config->handshakes_before_retry = 0;
}

static void test_retry_and_resumption(void **state)
{
    struct pair pair;
    uint64_t counters[STOQ_COUNTERS];
    struct stoq_stream *stream = NULL;
    struct stoq_stream_options options = {.replay_safe = true, .priority = 1};
    struct stoq_conn_info info;
    (void)state;
    shake(&pair, always_retry);
    stoq_endpoint_counters(pair.side[SERVER].endpoint, counters);
    uint64_t retries = counters[STOQ_COUNT_RETRIES_SENT]; /* the hello has two packets */
    assert_in_range(retries, 1, 2);
    run(&pair, 100000000);
    assert_true(pair.side[CLIENT].sessions > 0);
    stoq_conn_close(pair.side[CLIENT].conn, 0, NULL);
    run(&pair, 5000000000);
    pair_connect(&pair,
                 (struct stoq_bytes){pair.side[CLIENT].session, pair.side[CLIENT].session_len});
    assert_int_equal(stoq_conn_open(pair.side[CLIENT].conn, &options, &stream, NULL), 0);
    assert_int_equal(stoq_stream_send(stream, "early", 5, true), 5);
    run(&pair, 300000000);
    stoq_endpoint_counters(pair.side[SERVER].endpoint, counters);
    assert_int_equal(counters[STOQ_COUNT_RETRIES_SENT], retries); /* the token of NEW_TOKEN did */
    stoq_conn_get_info(pair.side[CLIENT].conn, &info);
    assert_true(info.resumed);
    assert_true(info.early_accepted);
    assert_true(pair.side[SERVER].early);
    assert_memory_equal(pair.side[SERVER].got, "early", 5);
    stoq_conn_close(pair.side[CLIENT].conn, 0, NULL);
    run(&pair, 5000000000);
    /* The same ticket again: refused as a replay, and the stream arrives all the same, once. */
    pair.side[SERVER].early = pair.side[SERVER].fin = false;
    pair.side[SERVER].got_len = 0;
    pair_connect(&pair,
                 (struct stoq_bytes){pair.side[CLIENT].session, pair.side[CLIENT].session_len});
    int rc = stoq_conn_open(pair.side[CLIENT].conn, &options, &stream, NULL);
    if (rc == 0) {
        assert_int_equal(stoq_stream_send(stream, "again", 5, true), 5);
        run(&pair, 300000000);
        assert_int_equal(pair.side[SERVER].got_len, 5);
        assert_true(pair.side[SERVER].fin);
    }
    pair_close(&pair);
}

static void test_migration_and_keys(void **state)
{
    struct pair pair;
    (void)state;
    shake(&pair, NULL);
    struct sockaddr_in6 first = pair.side[CLIENT].address, second = address_of(2000);
    second.sin6_addr.s6_addr[15] = 9;
    assert_int_equal(stoq_conn_update_keys(pair.side[CLIENT].conn, pair.now), 0);
    struct stoq_stream *stream = open_tagged(&pair, "x");
    assert_int_equal(stoq_stream_send(stream, "one", 3, false), 3);
    run(&pair, 100000000);
    struct stoq_conn_info info;
    stoq_conn_get_info(pair.side[SERVER].conn, &info);
    assert_int_equal(info.key_updates, 1);
    for (int turn = 0; turn < 4; turn++) {
        struct stoq_error error = {0};
        int rc = stoq_conn_migrate(pair.side[CLIENT].conn, turn % 2 ? &first : &second, turn > 1,
                                   pair.now, &error);
        if (rc != 0)
            print_error("%s\n", error.text);
        assert_int_equal(rc, 0);
        assert_int_equal(stoq_stream_send(stream, "two", 3, false), 3);
        run(&pair, 4500000000);
        stoq_conn_get_info(pair.side[SERVER].conn, &info);
        assert_int_equal(pair.side[SERVER].got_len, 6 + turn * 3);
        assert_int_equal(info.path.remote.sin6_port, turn % 2 ? first.sin6_port : second.sin6_port);
        stoq_conn_get_info(pair.side[CLIENT].conn, &info);
        assert_int_equal(info.path.local.sin6_port, turn % 2 ? first.sin6_port : second.sin6_port);
    }
    assert_int_equal(pair.side[SERVER].paths, 4);
    assert_int_equal(pair.side[CLIENT].paths, 4);
    pair_close(&pair);
}

static void test_idle_and_reset(void **state)
{
    struct pair pair;
    (void)state;
    shake(&pair, NULL);
    run(&pair, 40000000000);
    assert_int_equal(pair.side[CLIENT].closed, 1);
    assert_int_equal(pair.side[CLIENT].kind, STOQ_CLOSE_IDLE);
    assert_int_equal(pair.side[SERVER].kind, STOQ_CLOSE_IDLE);
    pair_close(&pair);
}

static void test_drain(void **state)
{
    struct pair pair;
    (void)state;
    shake(&pair, NULL);
    struct stoq_stream *stream = open_tagged(&pair, "x");
    assert_int_equal(stoq_stream_send(stream, "one", 3, false), 3);
    run(&pair, 100000000);
    stoq_endpoint_drain(pair.side[SERVER].endpoint, pair.now, pair.now + 10000000000);
    run(&pair, 1000000000);
    assert_int_equal(stoq_endpoint_connections(pair.side[SERVER].endpoint), 1);
    assert_int_equal(stoq_stream_finish(stream), 0);
    assert_int_equal(stoq_stream_finish(pair.side[SERVER].stream), 0);
    run(&pair, 1000000000);
    assert_int_equal(stoq_endpoint_connections(pair.side[SERVER].endpoint), 0);
    assert_int_equal(pair.side[CLIENT].closed, 1);
    assert_true(pair.side[CLIENT].code == STOQ_APP_SHUTDOWN);
    pair_close(&pair);
}

/* Each allocation of a whole life fails once: at worst the connection ends, and nothing leaks (as the sanitizers see). */
static void test_no_memory(void **state)
{
    bool failed = true;
    int finished = 0, runs = 0;
    (void)state;
    for (unsigned long nth = 1; failed && nth < 5000; nth++, runs++) {
        struct pair pair;
        struct stoq_stream *stream = NULL;
        struct stoq_stream_options options = {.priority = 2, .tag = {(const uint8_t *)"tag", 3}};

        pair_open(&pair, small_windows);
        pair.side[SERVER].echo = true;
        struct stoq_target target = {
            .path = {.local = pair.side[CLIENT].address, .remote = pair.side[SERVER].address},
            .name = "test"};
        unsigned long before = hm_alloc_failures();
        hm_alloc_fail_at(nth);
        if (stoq_endpoint_connect(pair.side[CLIENT].endpoint, &target, pair.now,
                                  &pair.side[CLIENT].conn, NULL) != 0)
            pair.side[CLIENT].conn = NULL;
        run(&pair, 50000000);
        if (pair.side[CLIENT].conn != NULL && pair.side[CLIENT].connected &&
            stoq_conn_open(pair.side[CLIENT].conn, &options, &stream, NULL) == 0) {
            (void)stoq_stream_send(stream, "hello", 5, true);
            uint8_t byte[] = {0};
            struct stoq_bytes datagram = {byte, 1};
            (void)stoq_conn_datagrams(pair.side[CLIENT].conn, &datagram, 1);
        }
        run(&pair, 200000000);
        if (pair.side[CLIENT].conn != NULL)
            stoq_conn_close(pair.side[CLIENT].conn, 1, "end");
        run(&pair, 100000000);
        hm_alloc_fail_at(0);
        failed = hm_alloc_failures() != before;
        finished += pair.side[CLIENT].fin;
        run(&pair, 60000000000);
        assert_int_equal(stoq_endpoint_connections(pair.side[SERVER].endpoint), 0);
        assert_int_equal(stoq_endpoint_connections(pair.side[CLIENT].endpoint), 0);
        assert_int_equal(pair.side[SERVER].opened, pair.side[SERVER].stream_closed);
        pair_close(&pair);
    }
    print_message("%d of %d lives went well\n", finished, runs);
    assert_false(failed);
    assert_true(finished > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_stream_close),
        cmocka_unit_test(test_bulk),
        cmocka_unit_test(test_bulk_lossy),
        cmocka_unit_test(test_stop_and_reset),
        cmocka_unit_test(test_lazy_reader),
        cmocka_unit_test(test_datagrams),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bad_certificate),
        cmocka_unit_test(test_retry_and_resumption),
        cmocka_unit_test(test_migration_and_keys),
        cmocka_unit_test(test_idle_and_reset),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
