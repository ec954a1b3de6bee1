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
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host_world.h"
#include "stoq_host.h"

#define BYTES     300000 /* sent on each stream */
#define CONNS_MAX 16
#define WAIT_S    20
#define DATAGRAMS 200

static struct stoq_identity *identity;
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
    stoq_conn_info(asked->client->conns[0], &asked->info);
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
    assert_int_equal(stoq_host_rebind(server.host, &bind, &error), STOQ_EUNSUPPORTED);
    stoq_host_close(server.host, 0);
}

struct line {
    pthread_mutex_t lock; /* held: the worker stands still */
    unsigned ran, wrong;
};

static void stand_still(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct line *line = arg;

    (void)endpoint;
    (void)now_ns;
    (void)pthread_mutex_lock(&line->lock);
    (void)pthread_mutex_unlock(&line->lock);
}

struct numbered {
    struct line *line;
    unsigned number;
};

static void count_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct numbered *numbered = arg;

    (void)endpoint;
    (void)now_ns;
    numbered->line->wrong += numbered->line->ran != numbered->number;
    numbered->line->ran++;
}

static void test_posts(void **state)
{
    struct server server;
    struct line line = {0};
    struct numbered *all = calloc(STOQ_POSTS_MAX + 1, sizeof(*all));
    unsigned posted = 0;
    int code = 0;

    (void)state;
    (void)pthread_mutex_init(&line.lock, NULL);
    server_open(&server, 2);
    assert_int_equal(stoq_host_post(server.host, 2, count_act, all), STOQ_EINVAL);
    assert_int_equal(stoq_host_post(server.host, 0, NULL, all), STOQ_EINVAL);
    (void)pthread_mutex_lock(&line.lock);
    assert_int_equal(stoq_host_post(server.host, 1, stand_still, &line), 0);
    host_world_pause(100); /* until it stands; were it later, one post fewer would fit */
    while (posted <= STOQ_POSTS_MAX && code == 0) {
        all[posted] = (struct numbered){&line, posted};
        code = stoq_host_post(server.host, 1, count_act, &all[posted]);
        posted += code == 0;
    }
    assert_int_equal(code, STOQ_ELIMIT);
    assert_in_range(posted, STOQ_POSTS_MAX - 1, STOQ_POSTS_MAX);
    (void)pthread_mutex_unlock(&line.lock);
    stoq_host_close(server.host, 0); /* what was taken is done before */
    assert_int_equal(line.ran, posted);
    assert_int_equal(line.wrong, 0);
    (void)pthread_mutex_destroy(&line.lock);
    free(all);
}

static void test_posts_closed(void **state)
{
    struct stoq_posts posts;
    struct stoq_post post = {.act = stand_still}, *list;
    size_t count;
    bool closed;
    uint64_t drain;

    (void)state;
    assert_int_equal(stoq_posts_init(&posts, NULL), 0);
    hm_alloc_fail_at(1);
    assert_int_equal(stoq_posts_add(&posts, &post), STOQ_ENOMEM);
    assert_int_equal(stoq_posts_add(&posts, &post), 0);
    assert_false(stoq_posts_rest(&posts));
    stoq_posts_close(&posts, 77);
    assert_int_equal(stoq_posts_add(&posts, &post), STOQ_ECLOSED);
    assert_true(stoq_posts_take(&posts, &list, &count, &closed, &drain));
    assert_int_equal(count, 1);
    assert_true(closed);
    assert_int_equal(drain, 77);
    hm_free(list);
    assert_true(stoq_posts_rest(&posts));
    assert_false(stoq_posts_take(&posts, &list, &count, &closed, &drain));
    stoq_posts_release(&posts);
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

static void test_waiting(void **state)
{
    int wake[2];
    struct stoq_waiter waiter;

    (void)state;
    assert_int_equal(pipe(wake), 0);
    int udp = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(udp >= 0);
    assert_int_equal(stoq_waiter_init(&waiter, udp, wake[0], NULL), 0);
    for (int mode = 0; mode < 2; mode++) {
        if (mode == 1) {
            stoq_waiter_use_timer(&waiter);
            assert_true(waiter.timer_fd >= 0);
        }
        uint64_t start = host_world_now();
        stoq_waiter_wait(&waiter, udp, false, start + 20 * STOQ_NS_PER_MS, start);
        uint64_t took = host_world_now() - start;
        assert_in_range(took, 20 * STOQ_NS_PER_MS, 2 * STOQ_NS_PER_S);
        start = host_world_now(); /* a deadline that has passed */
        stoq_waiter_wait(&waiter, udp, false, start - 5, start);
        stoq_waiter_wait(&waiter, udp, true, STOQ_NEVER, start); /* it can be written to */
        assert_int_equal(write(wake[1], "x", 1), 1);
        stoq_waiter_wait(&waiter, udp, false, STOQ_NEVER, start);
        char byte;
        assert_int_equal(read(wake[0], &byte, 1), 1);
        assert_true(host_world_now() - start < 2 * STOQ_NS_PER_S);
    }
    stoq_waiter_release(&waiter);
    (void)close(udp);
    (void)close(wake[0]);
    (void)close(wake[1]);
}

/* --- what goes wrong --------------------------------------------------------------------------------------------------- */

static void test_out_of_descriptors(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 3);
    size_t before = host_world_descriptors();
    struct rlimit whole, few;
    unsigned failed = 0;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &whole), 0);
    for (rlim_t most = 0; most < 40; most++) {
        struct stoq_host *host = NULL;
        struct stoq_error error = {0};

        few = (struct rlimit){.rlim_cur = most, .rlim_max = whole.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        int code = stoq_host_open(&host, &config, &error);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &whole), 0);
        if (code == 0) {
            stoq_host_close(host, 0);
        } else {
            failed++;
            assert_int_equal(code, STOQ_EIO);
            assert_null(host);
            assert_non_null(strstr(error.text, "Too many open files"));
        }
        assert_int_equal(host_world_descriptors(), before);
    }
    assert_in_range(failed, 9, 39); /* three workers have nine descriptors */
}

static void test_out_of_memory(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 2);
    size_t before = host_world_descriptors();
    int code = -1;

    (void)state;
    config.interface = "lo";
    for (unsigned long nth = 1; code != 0; nth++) {
        struct stoq_host *host = NULL;
        struct stoq_error error = {0};

        assert_true(nth < 2000);
        hm_alloc_fail_at(nth);
        code = stoq_host_open(&host, &config, &error);
        hm_alloc_fail_at(0);
        if (code == 0) {
            stoq_host_close(host, 0);
        } else {
            assert_int_equal(code, STOQ_ENOMEM);
            assert_true(error.text[0] != '\0');
        }
        assert_int_equal(host_world_descriptors(), before);
    }
}

static void test_refused_configuration(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 0);
    struct stoq_host *host = NULL;
    struct stoq_error error;

    (void)state;
    assert_int_equal(stoq_host_open(&host, &config, &error), STOQ_EINVAL);
    assert_non_null(strstr(error.text, "workers"));
    config.workers = 1;
    config.endpoint.alpn = NULL;
    assert_int_equal(stoq_host_open(&host, &config, &error), STOQ_EINVAL);
    config.endpoint.alpn = "test";
    config.endpoint.qlog_folder = "/proc/no/such/folder";
    assert_int_equal(stoq_host_open(&host, &config, &error), STOQ_EIO);
    assert_non_null(strstr(error.text, "/proc/no/such/folder"));
    config.endpoint.qlog_folder = NULL;
    config.bind.sin6_addr.s6_addr[0] = 0x20;
    assert_int_equal(stoq_host_open(&host, &config, &error), STOQ_EIO);
    assert_null(host);
    stoq_host_close(NULL, 0);
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
    (void)state;
    identity = host_world_identity();
    host_world_fill(pattern, sizeof(pattern), 21);
    return 0;
}

static int end_world(void **state)
{
    (void)state;
    stoq_identity_unref(identity);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo_one_worker),
        cmocka_unit_test(test_echo_three_workers),
        cmocka_unit_test(test_datagrams),
        cmocka_unit_test(test_rebind),
        cmocka_unit_test(test_posts),
        cmocka_unit_test(test_posts_closed),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_out_of_descriptors),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_refused_configuration),
        cmocka_unit_test(test_qlog),
    };
    return cmocka_run_group_tests_name("host", tests, make_world, end_world);
}
