/* Hosts over loopback: an echo server and a client, both driven by callbacks in their workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host_world.h"
#include "stoq_host.h"

#define BYTES     300000 /* sent on each stream */
#define CONNS_MAX 16
#define WAIT_S    20
#define DATAGRAMS 200

static uint8_t pattern[BYTES];

/* --- the server: sends back what it gets ------------------------------------------------------------------------- */

struct server {
    struct stoq_host *host;
    _Atomic unsigned accepted, closed, moved, datagrams;
};

static size_t server_received(void *ctx, struct stoq_stream *stream, const uint8_t *data,
                              size_t len, bool fin)
{
    (void)ctx;
    if (len > 0 && stoq_stream_send(stream, data, len, fin) == (int64_t)len)
        return len;
    if (len == 0 && fin)
        (void)stoq_stream_finish(stream);
    return len;
}

static int server_accepted(void *ctx, struct stoq_conn *conn)
{
    struct server *server = ctx;

    (void)conn;
    server->accepted++;
    return 0;
}

static void server_closed(void *ctx, struct stoq_conn *conn, const struct stoq_close *why)
{
    struct server *server = ctx;

    (void)conn;
    (void)why;
    server->closed++;
}

static void server_moved(void *ctx, struct stoq_conn *conn)
{
    struct server *server = ctx;

    (void)conn;
    server->moved++;
}

static void server_datagrams(void *ctx, struct stoq_conn *conn, const struct stoq_bytes *list,
                             size_t count)
{
    struct server *server = ctx;

    server->datagrams += (unsigned)count;
    (void)stoq_conn_datagrams(conn, list, count);
}

static void server_open(struct server *server, unsigned workers)
{
    struct stoq_host_config config = host_world_config(identity, true, workers);
    struct stoq_error error;

    *server = (struct server){0};
    config.endpoint.send_queue = 8U << 20; /* whole echoes fit */
    config.handlers = (struct stoq_handlers){.ctx = server,
                                             .accepted = server_accepted,
                                             .closed = server_closed,
                                             .received = server_received,
                                             .datagrams = server_datagrams,
                                             .path_changed = server_moved};
    if (stoq_host_open(&server->host, &config, &error) != 0)
        fail_msg("%s", error.text);
}

/* --- the client --------------------------------------------------------------------------------------------------- */

struct client {
    struct stoq_host *host;
    struct sockaddr_in6 remote;
    unsigned streams_each; /* of BYTES each */
    bool pause; /* streams send half, and the rest when told */
    pthread_mutex_t lock;
    pthread_cond_t news;
    unsigned connected, closed, finished, echoed_datagrams;
    bool wrong;
    struct stoq_close why;
    struct stoq_conn *conns[CONNS_MAX]; /* of worker 0's thread */
    unsigned conn_count;
};

struct flow {
    size_t sent, got;
};

static void tell(struct client *client, unsigned *figure, unsigned by)
{
    (void)pthread_mutex_lock(&client->lock);
    *figure += by;
    (void)pthread_cond_broadcast(&client->news);
    (void)pthread_mutex_unlock(&client->lock);
}

static bool wait_for(struct client *client, const unsigned *figure, unsigned wanted)
{
    struct timespec until;
    bool there = true;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    (void)pthread_mutex_lock(&client->lock);
    while (*figure < wanted && there)
        there = pthread_cond_timedwait(&client->news, &client->lock, &until) == 0;
    there = *figure >= wanted;
    (void)pthread_mutex_unlock(&client->lock);
    return there;
}

static void push(struct client *client, struct stoq_stream *stream)
{
    struct flow *flow = stoq_stream_user(stream);
    size_t end = client->pause ? BYTES / 2 : BYTES;

    if (flow->sent >= end)
        return;
    int64_t taken = stoq_stream_send(stream, pattern + flow->sent, end - flow->sent, end == BYTES);
    if (taken > 0)
        flow->sent += (size_t)taken;
}

static void client_connected(void *ctx, struct stoq_conn *conn)
{
    struct client *client = ctx;

    for (unsigned i = 0; i < client->streams_each; i++) {
        struct stoq_stream_options options = {.priority = 3,
                                              .user = calloc(1, sizeof(struct flow))};
        struct stoq_stream *stream;

        if (stoq_conn_open(conn, &options, &stream, NULL) == 0)
            push(client, stream);
        else
            client->wrong = true;
    }
    tell(client, &client->connected, 1);
}

static void client_writable(void *ctx, struct stoq_stream *stream)
{
    push(ctx, stream);
}

static size_t client_received(void *ctx, struct stoq_stream *stream, const uint8_t *data,
                              size_t len, bool fin)
{
    struct client *client = ctx;
    struct flow *flow = stoq_stream_user(stream);

    if (flow->got + len > BYTES || memcmp(data, pattern + flow->got, len) != 0 ||
        (fin && flow->got + len != BYTES))
        client->wrong = true;
    flow->got += len;
    if (client->pause && flow->got == BYTES / 2)
        tell(client, &client->finished, 1); /* half of it is back */
    if (fin)
        tell(client, &client->finished, 1);
    return len;
}

static void client_stream_closed(void *ctx, struct stoq_stream *stream)
{
    (void)ctx;
    free(stoq_stream_user(stream));
}

static void client_closed(void *ctx, struct stoq_conn *conn, const struct stoq_close *why)
{
    struct client *client = ctx;

    (void)conn;
    client->why = *why;
    tell(client, &client->closed, 1);
}

static void client_datagrams(void *ctx, struct stoq_conn *conn, const struct stoq_bytes *list,
                             size_t count)
{
    struct client *client = ctx;

    (void)conn;
    for (size_t i = 0; i < count; i++) {
        if (list[i].len < 4 || list[i].len > 1100)
            client->wrong = true;
    }
    tell(client, &client->echoed_datagrams, (unsigned)count);
}

static void connect_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct client *client = arg;
    struct stoq_target target = {.path.remote = client->remote, .name = "localhost"};
    struct stoq_conn *conn;

    if (stoq_endpoint_connect(endpoint, &target, now_ns, &conn, NULL) != 0)
        client->wrong = true;
    else if (client->conn_count < CONNS_MAX)
        client->conns[client->conn_count++] = conn;
}

static void client_open_with(struct client *client, const struct server *server,
                             const char *qlog_folder)
{
    struct stoq_host_config config = host_world_config(identity, false, 1);
    struct stoq_error error;

    memset(client, 0, sizeof(*client));
    (void)pthread_mutex_init(&client->lock, NULL);
    (void)pthread_cond_init(&client->news, NULL);
    client->remote = host_world_at(server->host);
    client->streams_each = 2;
    config.endpoint.qlog_folder = qlog_folder;
    config.handlers = (struct stoq_handlers){.ctx = client,
                                             .connected = client_connected,
                                             .closed = client_closed,
                                             .received = client_received,
                                             .writable = client_writable,
                                             .stream_closed = client_stream_closed,
                                             .datagrams = client_datagrams};
    if (stoq_host_open(&client->host, &config, &error) != 0)
        fail_msg("%s", error.text);
}

static void client_open(struct client *client, const struct server *server)
{
    client_open_with(client, server, NULL);
}

static void client_close(struct client *client, uint64_t drain_ns)
{
    stoq_host_close(client->host, drain_ns);
    assert_int_equal(client->closed, client->conn_count);
    assert_false(client->wrong);
    (void)pthread_cond_destroy(&client->news);
    (void)pthread_mutex_destroy(&client->lock);
}

static void connect_many(struct client *client, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(stoq_host_post(client->host, 0, connect_act, client), 0);
    assert_true(wait_for(client, &client->connected, count));
}

/* --- tests ---------------------------------------------------------------------------------------------------------- */

static unsigned workers_that_accepted(struct stoq_host *host)
{
    size_t len = stoq_host_metrics(host, NULL, 0);
    char *text = malloc(len + 4096), label[64];
    unsigned some = 0;

    (void)stoq_host_metrics(host, text, len + 4096);
    for (unsigned i = 0; i < stoq_host_workers(host); i++) {
        (void)snprintf(label, sizeof(label), "connections_accepted_total{worker=\"%u\"} ", i);
        const char *at = strstr(text, label);
        assert_non_null(at);
        some += at[strlen(label)] != '0';
    }
    free(text);
    return some;
}

static void echo_through(unsigned workers)
{
    struct server server;
    struct client client;
    uint64_t counters[STOQ_COUNTERS];

    server_open(&server, workers);
    client_open(&client, &server);
    connect_many(&client, 12);
    assert_true(wait_for(&client, &client.finished, 24));
    stoq_host_counters(server.host, counters);
    assert_int_equal(counters[STOQ_COUNT_ACCEPTED], 12);
    assert_int_equal(counters[STOQ_COUNT_DROP_UNKNOWN], 0); /* each packet reached its worker */
    if (workers > 1)
        assert_true(workers_that_accepted(server.host) > 1);
    client_close(&client, 0);
    stoq_host_close(server.host, STOQ_NS_PER_S);
    assert_int_equal(server.accepted, 12);
    assert_int_equal(server.closed, 12);
}

static void test_echo_one_worker(void **state)
{
    (void)state;
    echo_through(1);
}

static void test_echo_three_workers(void **state)
{
    (void)state;
    echo_through(3);
}

/* One train that the kernel hands over whole, whose datagrams name three workers: each worker gets its own. */
static void test_strays(void **state)
{
    enum { WORKERS = 3, PACKETS = 20, BYTES_EACH = 100 };
    static uint8_t bytes[PACKETS * BYTES_EACH];
    struct server server;
    struct stoq_udp udp;
    struct stoq_udp_options options = {.bind.sin6_addr = in6addr_loopback};
    unsigned wanted[WORKERS] = {0};
    enum stoq_udp_state udp_state;

    (void)state;
    server_open(&server, WORKERS);
    assert_int_equal(stoq_udp_open(&udp, &options, NULL), 0);
    for (unsigned i = 0; i < PACKETS; i++) { /* short headers of connections that are not there */
        bytes[i * BYTES_EACH] = 0x40;
        bytes[i * BYTES_EACH + 1] = (uint8_t)(i * i);
        wanted[i * i % 256 % WORKERS]++;
    }
    struct stoq_parcel parcel = {.train = {.path.remote = host_world_at(server.host),
                                           .len = sizeof(bytes),
                                           .segment = BYTES_EACH},
                                 .data = bytes};
    assert_int_equal(stoq_udp_send(&udp, &parcel, 1, &udp_state), 1);
    for (unsigned i = 0; i < WORKERS; i++) {
        uint64_t counters[STOQ_COUNTERS] = {0};

        for (int tries = 0; tries < 5000 && counters[STOQ_COUNT_DROP_UNKNOWN] < wanted[i];
             tries++) {
            stoq_endpoint_counters(server.host->workers[i].endpoint, counters);
            host_world_pause(1);
        }
        assert_int_equal(counters[STOQ_COUNT_DROP_UNKNOWN], wanted[i]);
        assert_int_equal(atomic_load(&server.host->workers[i].strays), 0);
    }
    stoq_udp_close(&udp);
    stoq_host_close(server.host, 0);
}

/* An act posted to a worker that sleeps runs at once, and an idle host ends at once. */
static void test_sleeping_worker(void **state)
{
    struct server server;
    struct client client;

    (void)state;
    server_open(&server, 2);
    client_open(&client, &server);
    host_world_pause(100);
    uint64_t start = host_world_now();
    client.streams_each = 0;
    connect_many(&client, 1);
    client_close(&client, 0);
    stoq_host_close(server.host, 0);
    assert_true(host_world_now() - start < 5 * STOQ_NS_PER_S);
}

static void datagrams_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct client *client = arg;
    struct stoq_bytes list[DATAGRAMS];

    (void)endpoint;
    (void)now_ns;
    for (size_t i = 0; i < DATAGRAMS; i++)
        list[i] = (struct stoq_bytes){pattern + i, 4 + i * 5};
    if (stoq_conn_datagrams(client->conns[0], list, DATAGRAMS) != DATAGRAMS)
        client->wrong = true;
}

static void test_datagrams(void **state)
{
    struct server server;
    struct client client;

    (void)state;
    server_open(&server, 1);
    client_open(&client, &server);
    client.streams_each = 0;
    connect_many(&client, 1);
    assert_int_equal(stoq_host_post(client.host, 0, datagrams_act, &client), 0);
    /* Loopback loses none while the socket's buffer has room. */
    assert_true(wait_for(&client, &client.echoed_datagrams, DATAGRAMS));
    assert_int_equal(server.datagrams, DATAGRAMS);
    client_close(&client, 0);
    stoq_host_close(server.host, 0);
}

struct asked {
    struct client *client;
    struct stoq_conn_info info;
    unsigned done;
};

static void ask_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct asked *asked = arg;

    (void)endpoint;
    (void)now_ns;
    stoq_conn_get_info(asked->client->conns[0], &asked->info);
    tell(asked->client, &asked->done, 1);
}

static struct stoq_stream *only_stream; /* of the client's worker */

static void remember_stream(void *ctx, struct stoq_stream *stream)
{
    only_stream = stream;
    push(ctx, stream);
}

static void go_on_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct client *client = arg;

    (void)endpoint;
    (void)now_ns;
    client->pause = false;
    push(client, only_stream);
}

static size_t remember_received(void *ctx, struct stoq_stream *stream, const uint8_t *data,
                                size_t len, bool fin)
{
    only_stream = stream;
    return client_received(ctx, stream, data, len, fin);
}

/* A client moves to another port in the middle of a stream: the stream goes on, and the server saw the move. */
static void test_rebind(void **state)
{
    struct server server;
    struct client client;
    struct asked asked = {.client = &client};
    struct stoq_host_config config;
    struct sockaddr_in6 bind = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    struct stoq_error error;

    (void)state;
    server_open(&server, 3);
    client_open(&client, &server);
    stoq_host_close(client.host, 0); /* again, with handlers that remember the stream */
    config = host_world_config(identity, false, 1);
    config.handlers = (struct stoq_handlers){.ctx = &client,
                                             .connected = client_connected,
                                             .closed = client_closed,
                                             .received = remember_received,
                                             .writable = remember_stream,
                                             .stream_closed = client_stream_closed};
    assert_int_equal(stoq_host_open(&client.host, &config, NULL), 0);
    client.streams_each = 1;
    client.pause = true;
    connect_many(&client, 1);
    assert_true(wait_for(&client, &client.finished, 1));
    uint16_t before = stoq_host_port(client.host);
    if (stoq_host_rebind(client.host, &bind, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(stoq_host_post(client.host, 0, go_on_act, &client), 0);
    assert_true(wait_for(&client, &client.finished, 2));
    assert_int_not_equal(stoq_host_port(client.host), before);
    assert_int_equal(stoq_host_post(client.host, 0, ask_act, &asked), 0);
    assert_true(wait_for(&client, &asked.done, 1));
    assert_int_equal(asked.info.migrations, 1);
    assert_int_equal(server.moved, 1);
    client_close(&client, 0);
    assert_int_equal(stoq_host_rebind(server.host, &bind, &error), STOQ_EINVAL);
    assert_non_null(strstr(error.text, "a server"));
    config.workers = 2;
    assert_int_equal(stoq_host_open(&client.host, &config, NULL), 0);
    assert_int_equal(stoq_host_rebind(client.host, &bind, &error), STOQ_EUNSUPPORTED);
    client_close(&client, 0);
    stoq_host_close(server.host, 0);
}

/* The client's streams end before its connection does, and the server is told why it went. */
static void test_drain(void **state)
{
    struct server server;
    struct client client;

    (void)state;
    server_open(&server, 1);
    client_open(&client, &server);
    connect_many(&client, 4);
    client_close(&client, 10 * STOQ_NS_PER_S); /* at once: most is still on its way */
    assert_int_equal(client.finished, 8);
    client_open(&client, &server);
    client.streams_each = 0;
    connect_many(&client, 3);
    stoq_host_close(server.host, 5 * STOQ_NS_PER_S);
    assert_true(wait_for(&client, &client.closed, 3));
    assert_int_equal(client.why.kind, STOQ_CLOSE_PEER_APPLICATION);
    assert_true(client.why.code == STOQ_APP_SHUTDOWN);
    client_close(&client, 0);
}

static void test_qlog(void **state)
{
    char folder[] = "/tmp/stoq-qlog-XXXXXX";
    struct server server;
    struct client client;
    unsigned files = 0;

    (void)state;
    assert_non_null(mkdtemp(folder));
    server_open(&server, 1);
    client_open_with(&client, &server, folder);
    connect_many(&client, 3);
    assert_true(wait_for(&client, &client.finished, 6));
    client_close(&client, 0);
    stoq_host_close(server.host, 0);
    DIR *list = opendir(folder);
    assert_non_null(list);
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        HM_CLEANUP(hm_buf) struct hm_buf text = {0};
        char path[600];
        struct stat status;

        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        assert_non_null(strstr(entry->d_name, "-client-"));
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
        assert_int_equal(hm_file_read(path, 1 << 24, &text, NULL), 0);
        assert_int_equal(text.data[0], 0x1e); /* RFC 7464 */
        assert_non_null(strstr(hm_buf_cstr(&text), "JSON-SEQ"));
        assert_non_null(strstr(hm_buf_cstr(&text), "packet_sent"));
        files++;
    }
    (void)closedir(list);
    assert_int_equal(files, 3);
    assert_int_equal(hm_remove_tree(folder, NULL), 0);
}

static int make_world(void **state)
{
    host_world_fill(pattern, sizeof(pattern), 21);
    return host_world_make(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo_one_worker), cmocka_unit_test(test_echo_three_workers),
        cmocka_unit_test(test_strays),          cmocka_unit_test(test_sleeping_worker),
        cmocka_unit_test(test_datagrams),       cmocka_unit_test(test_rebind),
        cmocka_unit_test(test_drain),           cmocka_unit_test(test_qlog),
    };
    return cmocka_run_group_tests_name("host", tests, make_world, host_world_end);
}
