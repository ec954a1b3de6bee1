/* The blocking layer over loopback: links and pipes from many threads, limits, ends, failures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>

#include "host_world.h"
#include "stoq_host.h"
#include "stoq_link.h"

#define WAIT_MS 20000
#define BYTES   2000000

static uint8_t pattern[BYTES];

static struct stoq_caller *open_with(const struct stoq_host_config *config)
{
    struct stoq_caller *caller = NULL;
    struct stoq_error error = {0};

    if (stoq_caller_open(&caller, config, &error) != 0)
        fail_msg("%s", error.text);
    return caller;
}

static struct stoq_caller *open_caller(bool server, unsigned workers)
{
    struct stoq_host_config config = host_world_config(identity, server, workers);

    return open_with(&config);
}

static struct stoq_link *connect_to(struct stoq_caller *client, struct stoq_caller *server)
{
    struct sockaddr_in6 remote = host_world_at(stoq_caller_host(server));
    struct stoq_error error = {0};
    struct stoq_link *link = NULL;

    if (stoq_link_connect(client, &remote, "localhost", WAIT_MS, &link, &error) != 0)
        fail_msg("%s", error.text);
    return link;
}

static struct stoq_link *accept_from(struct stoq_caller *server)
{
    struct stoq_link *link = NULL;

    assert_int_equal(stoq_link_accept(server, WAIT_MS, &link, NULL), 0);
    return link;
}

/* A pair of callers with one link between them. */
struct pair {
    struct stoq_caller *server, *client;
    struct stoq_link *there, *here; /* the server's end, the client's */
};

static struct pair pair_with(const struct stoq_host_config *server_config)
{
    struct pair pair = {.server = open_with(server_config), .client = open_caller(false, 1)};

    pair.here = connect_to(pair.client, pair.server);
    pair.there = accept_from(pair.server);
    return pair;
}

static struct pair pair_open(void)
{
    struct stoq_host_config config = host_world_config(identity, true, 1);

    return pair_with(&config);
}

static void pair_close(struct pair *pair)
{
    stoq_link_release(pair->here);
    stoq_link_release(pair->there);
    stoq_caller_close(pair->client);
    stoq_caller_close(pair->server);
}

/* --- echo, by many ---------------------------------------------------------------------------------------------------- */

static void *echo_pipe(void *arg)
{
    struct stoq_pipe *pipe = arg;
    uint8_t block[30000];
    int64_t len;

    while ((len = stoq_pipe_read(pipe, block, sizeof(block), WAIT_MS)) > 0) {
        if (stoq_pipe_write(pipe, block, (size_t)len, WAIT_MS) != len)
            break;
    }
    bool well = len == 0 && stoq_pipe_finish(pipe, WAIT_MS) == 0;
    stoq_pipe_release(pipe);
    return well ? NULL : arg;
}

#define LINKS 4
#define PIPES 3

static void *echo_link(void *arg)
{
    pthread_t threads[PIPES];
    struct stoq_pipe *pipe;
    void *wrong = NULL, *result;

    for (int i = 0; i < PIPES; i++) {
        if (stoq_pipe_accept(arg, WAIT_MS, &pipe, NULL) != 0)
            return arg;
        (void)pthread_create(&threads[i], NULL, echo_pipe, pipe);
    }
    for (int i = 0; i < PIPES; i++) {
        (void)pthread_join(threads[i], &result);
        wrong = result != NULL ? result : wrong;
    }
    return wrong;
}

static void *write_pattern(void *arg)
{
    struct stoq_pipe *pipe = arg;
    size_t at = 0, step = 1;

    while (at < BYTES) { /* single bytes, and blocks above any buffer */
        size_t len = step < BYTES - at ? step : BYTES - at;

        if (stoq_pipe_write(pipe, pattern + at, len, WAIT_MS) != (int64_t)len)
            return arg;
        at += len;
        step = step * 3 % 400009 + 1;
    }
    return stoq_pipe_finish(pipe, WAIT_MS) == 0 ? NULL : arg;
}

static void *client_pipe(void *arg)
{
    struct stoq_link *link = arg;
    struct stoq_pipe *pipe;
    pthread_t writer;
    void *result;
    uint8_t block[70000];
    size_t at = 0;
    int64_t len;

    if (stoq_pipe_open(link, NULL, WAIT_MS, &pipe, NULL) != 0)
        return arg;
    (void)pthread_create(&writer, NULL, write_pattern, pipe);
    while ((len = stoq_pipe_read(pipe, block, sizeof(block), WAIT_MS)) > 0) {
        if (at + (size_t)len > BYTES || memcmp(block, pattern + at, (size_t)len) != 0)
            break;
        at += (size_t)len;
    }
    (void)pthread_join(writer, &result);
    stoq_pipe_release(pipe);
    return len == 0 && at == BYTES && result == NULL ? NULL : arg;
}

static void test_echo_by_many(void **state)
{
    struct stoq_caller *server = open_caller(true, 2), *client = open_caller(false, 2);
    struct stoq_link *here[LINKS], *there[LINKS];
    pthread_t echoes[LINKS], clients[LINKS * PIPES];
    void *result;

    (void)state;
    for (int i = 0; i < LINKS; i++)
        here[i] = connect_to(client, server);
    for (int i = 0; i < LINKS; i++) {
        there[i] = accept_from(server);
        (void)pthread_create(&echoes[i], NULL, echo_link, there[i]);
    }
    for (int i = 0; i < LINKS * PIPES; i++)
        (void)pthread_create(&clients[i], NULL, client_pipe, here[i % LINKS]);
    for (int i = 0; i < LINKS * PIPES; i++) {
        (void)pthread_join(clients[i], &result);
        assert_null(result);
    }
    for (int i = 0; i < LINKS; i++) {
        (void)pthread_join(echoes[i], &result);
        assert_null(result);
        stoq_link_release(here[i]);
        stoq_link_release(there[i]);
    }
    stoq_caller_close(client);
    stoq_caller_close(server);
}

/* --- single things ------------------------------------------------------------------------------------------------------ */

static void test_one_way_and_tags(void **state)
{
    struct pair pair = pair_open();
    struct stoq_stream_options options = {.unidirectional = true,
                                          .tag = {(const uint8_t *)"a tag", 5}};
    struct stoq_pipe *out, *in;
    uint8_t block[64];

    (void)state;
    assert_int_equal(stoq_pipe_open(pair.here, &options, WAIT_MS, &out, NULL), 0);
    assert_int_equal(stoq_pipe_write(out, "one way", 7, WAIT_MS), 7);
    assert_int_equal(stoq_pipe_read(out, block, sizeof(block), 0), STOQ_ECLOSED);
    assert_int_equal(stoq_pipe_accept(pair.there, WAIT_MS, &in, NULL), 0);
    assert_int_equal(stoq_pipe_tag(in).len, 5);
    assert_memory_equal(stoq_pipe_tag(in).data, "a tag", 5);
    assert_int_equal(stoq_pipe_write(in, "x", 1, WAIT_MS), STOQ_EINVAL);
    assert_int_equal(stoq_pipe_read(in, block, sizeof(block), WAIT_MS), 7);
    assert_memory_equal(block, "one way", 7);
    assert_int_equal(stoq_pipe_finish(out, WAIT_MS), 0); /* all is acknowledged */
    assert_int_equal(stoq_pipe_write(out, "x", 1, 0), STOQ_EINVAL);
    assert_int_equal(stoq_pipe_read(in, block, sizeof(block), WAIT_MS), 0);
    assert_int_equal(stoq_pipe_read(in, block, sizeof(block), WAIT_MS), 0); /* the end stays */
    stoq_pipe_release(out);
    stoq_pipe_release(in);
    options.tag.len = STOQ_TAG_BYTES_MAX + 1;
    assert_int_equal(stoq_pipe_open(pair.here, &options, WAIT_MS, &out, NULL), STOQ_EINVAL);
    pair_close(&pair);
}

static void test_timeouts(void **state)
{
    struct stoq_caller *server = open_caller(true, 1), *client = open_caller(false, 1);
    struct sockaddr_in6 nobody = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    struct stoq_link *link = NULL;
    struct stoq_pipe *pipe = NULL;
    struct stoq_error error = {0};
    uint8_t byte;

    (void)state;
    uint64_t start = host_world_now();
    assert_int_equal(stoq_link_accept(server, 30, &link, &error), STOQ_ETIMEOUT);
    assert_true(host_world_now() - start >= 30 * STOQ_NS_PER_MS);
    assert_int_equal(stoq_link_accept(server, 0, &link, &error), STOQ_ETIMEOUT);
    nobody.sin6_port = htons(stoq_host_port(stoq_caller_host(client))); /* takes no connections */
    assert_int_equal(stoq_link_connect(client, &nobody, "localhost", 50, &link, &error),
                     STOQ_ETIMEOUT);
    assert_null(link);
    assert_int_equal(stoq_link_connect(client, &nobody, NULL, 50, &link, &error), STOQ_EINVAL);
    link = connect_to(client, server);
    assert_int_equal(stoq_pipe_accept(link, 20, &pipe, &error), STOQ_ETIMEOUT);
    assert_int_equal(stoq_pipe_open(link, NULL, WAIT_MS, &pipe, &error), 0);
    assert_int_equal(stoq_pipe_read(pipe, &byte, 1, 20), STOQ_ETIMEOUT);
    assert_int_equal(stoq_pipe_read(pipe, &byte, 0, 20), 0);
    stoq_pipe_release(pipe);
    stoq_link_release(link);
    stoq_link_release(NULL);
    stoq_pipe_release(NULL);
    stoq_caller_close(client);
    stoq_caller_close(server);
    stoq_caller_close(NULL);
}

static void test_wrong_certificate(void **state)
{
    struct stoq_caller *server = open_caller(true, 1), *client;
    struct stoq_identity *other = host_world_identity();
    struct stoq_host_config config = host_world_config(other, false, 1);
    struct sockaddr_in6 remote = host_world_at(stoq_caller_host(server));
    struct stoq_link *link = NULL;
    struct stoq_error error = {0};

    (void)state;
    client = open_with(&config); /* trusts only its own certificate */
    assert_int_equal(stoq_link_connect(client, &remote, "localhost", WAIT_MS, &link, &error),
                     STOQ_EAUTH);
    assert_true(error.text[0] != '\0');
    assert_null(link);
    stoq_caller_close(client);
    stoq_caller_close(server);
    stoq_identity_unref(other);
}

/* Nobody reads: the writer is held back long before memory runs out, and what was written arrives later whole. */
static void test_back_pressure(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 1);
    struct stoq_pipe *out, *in;
    uint8_t block[50000];
    size_t written = 0, read = 0;
    int64_t len;

    (void)state;
    config.endpoint.stream_window = 100000;
    struct pair pair = pair_with(&config);
    assert_int_equal(stoq_pipe_open(pair.here, NULL, WAIT_MS, &out, NULL), 0);
    /* 64 KiB at a time, over and over, until nothing more fits. */
    while ((len = stoq_pipe_write(out, pattern + written % 65536, 65536, 300)) > 0) {
        written += (size_t)len;
        assert_true(written < 4 * (size_t)STOQ_PIPE_QUEUE_BYTES);
    }
    assert_int_equal(len, STOQ_ETIMEOUT);
    assert_true(written >= 1000000);
    assert_int_equal(stoq_pipe_accept(pair.there, WAIT_MS, &in, NULL), 0);
    (void)pthread_mutex_lock(&pair.there->lock);
    size_t waiting = in->in.bytes;
    (void)pthread_mutex_unlock(&pair.there->lock);
    assert_in_range(waiting, 1, 100000); /* no more than the window */
    while (read < written) {
        len = stoq_pipe_read(in, block, sizeof(block), WAIT_MS);
        assert_true(len > 0);
        for (int64_t i = 0; i < len; i++, read++)
            assert_true(block[i] == pattern[read % 65536]);
    }
    stoq_pipe_release(out);
    stoq_pipe_release(in);
    pair_close(&pair);
}

static void test_reset_and_stop(void **state)
{
    struct pair pair = pair_open();
    struct stoq_pipe *out, *in;
    uint8_t block[64];
    int64_t code = 1;

    (void)state;
    assert_int_equal(stoq_pipe_open(pair.here, NULL, WAIT_MS, &out, NULL), 0);
    assert_int_equal(stoq_pipe_write(out, "half", 4, WAIT_MS), 4);
    assert_int_equal(stoq_pipe_accept(pair.there, WAIT_MS, &in, NULL), 0);
    assert_int_equal(stoq_pipe_read(in, block, sizeof(block), WAIT_MS), 4);
    stoq_pipe_release(out); /* not finished: reset, and the peer is asked to stop */
    assert_int_equal(stoq_pipe_read(in, block, sizeof(block), WAIT_MS), STOQ_ECLOSED);
    for (int i = 0; i < 2000 && code > 0; i++) {
        code = stoq_pipe_write(in, "more", 4, WAIT_MS);
        host_world_pause(1);
    }
    assert_int_equal(code, STOQ_ECLOSED);
    assert_int_equal(stoq_pipe_finish(in, WAIT_MS), STOQ_ECLOSED);
    stoq_pipe_release(in);
    pair_close(&pair);
}

/* Finished and released at once: all of it arrives, though nobody waits for it. */
static void test_finish_and_go(void **state)
{
    struct pair pair = pair_open();
    struct stoq_pipe *out, *in;
    static uint8_t block[BYTES];
    size_t got = 0;
    int64_t len;

    (void)state;
    assert_int_equal(stoq_pipe_open(pair.here, NULL, WAIT_MS, &out, NULL), 0);
    assert_int_equal(stoq_pipe_write(out, pattern, BYTES, WAIT_MS), BYTES);
    assert_int_equal(stoq_pipe_finish(out, 0), 0);
    stoq_pipe_release(out);
    assert_int_equal(stoq_pipe_accept(pair.there, WAIT_MS, &in, NULL), 0);
    while ((len = stoq_pipe_read(in, block + got, BYTES - got, WAIT_MS)) > 0)
        got += (size_t)len;
    assert_int_equal(len, 0);
    assert_int_equal(got, BYTES);
    assert_memory_equal(block, pattern, BYTES);
    stoq_pipe_release(in);
    pair_close(&pair);
}

enum { LATE = 20, LATE_BYTES = 100000 };

static void *read_late(void *arg)
{
    uint8_t *block = malloc(LATE_BYTES + 1);
    size_t got = 0;
    int64_t len;
    bool well = false;

    while ((len = stoq_pipe_read(arg, block + got, LATE_BYTES + 1 - got, WAIT_MS)) > 0)
        got += (size_t)len;
    for (int k = 0; k < LATE; k++)
        well = well || (len == 0 && got == LATE_BYTES && memcmp(block, pattern + k, got) == 0);
    free(block);
    stoq_pipe_release(arg);
    return well ? NULL : (void *)pattern;
}

/* Streams that nobody accepts hold their writers back at the connection's window; all arrive whole when somebody does.
 * Read together: in turn, the later ones would hold all of the window that the first needs (RFC 9000 section 2.2). */
static void test_late_acceptance(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 1);
    pthread_t readers[LATE];
    struct stoq_pipe *pipe;
    void *wrong;

    (void)state;
    config.endpoint.connection_window = 300000; /* three of them fit */
    config.endpoint.stream_window = 200000;
    struct pair pair = pair_with(&config);
    for (int i = 0; i < LATE; i++) {
        assert_int_equal(stoq_pipe_open(pair.here, NULL, WAIT_MS, &pipe, NULL), 0);
        assert_int_equal(stoq_pipe_write(pipe, pattern + i, LATE_BYTES, WAIT_MS), LATE_BYTES);
        assert_int_equal(stoq_pipe_finish(pipe, 0), 0);
        stoq_pipe_release(pipe);
    }
    host_world_pause(200);
    for (int i = 0; i < LATE; i++) {
        assert_int_equal(stoq_pipe_accept(pair.there, WAIT_MS, &pipe, NULL), 0);
        (void)pthread_create(&readers[i], NULL, read_late, pipe);
    }
    for (int i = 0; i < LATE; i++) {
        (void)pthread_join(readers[i], &wrong);
        assert_null(wrong);
    }
    pair_close(&pair);
}

static void *read_and_go(void *arg)
{
    struct stoq_link *link = arg;
    struct stoq_pipe *pipe;
    uint8_t block[4096];

    if (stoq_pipe_accept(link, WAIT_MS, &pipe, NULL) == 0) {
        while (stoq_pipe_read(pipe, block, sizeof(block), WAIT_MS) > 0)
            ;
        (void)stoq_pipe_finish(pipe, 0);
        stoq_pipe_release(pipe);
    }
    stoq_link_release(link);
    return NULL;
}

/* A reader that hangs up as soon as it has read everything does not make the writer's success a failure. */
static void test_reader_hangs_up(void **state)
{
    struct stoq_caller *server = open_caller(true, 1), *client = open_caller(false, 1);

    (void)state;
    for (int i = 0; i < 20; i++) {
        struct stoq_link *link = connect_to(client, server);
        struct stoq_pipe *pipe;
        pthread_t reader;

        (void)pthread_create(&reader, NULL, read_and_go, accept_from(server));
        assert_int_equal(stoq_pipe_open(link, NULL, WAIT_MS, &pipe, NULL), 0);
        assert_int_equal(stoq_pipe_write(pipe, pattern, 5000, WAIT_MS), 5000);
        assert_int_equal(stoq_pipe_finish(pipe, WAIT_MS), 0);
        stoq_pipe_release(pipe);
        stoq_link_release(link);
        (void)pthread_join(reader, NULL);
    }
    stoq_caller_close(client);
    stoq_caller_close(server);
}

static int permit_good(void *ctx, struct stoq_conn *conn, struct stoq_bytes tag, bool bidirectional)
{
    (void)conn;
    (void)bidirectional;
    return tag.len == 4 && memcmp(tag.data, ctx, 4) == 0 ? 0 : STOQ_EPERM;
}

static void test_permission(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 1);
    struct stoq_stream_options options = {.tag = {(const uint8_t *)"evil", 4}};
    struct stoq_pipe *pipe, *in;
    uint8_t byte;

    (void)state;
    config.handlers.permit = permit_good;
    config.handlers.ctx = (void *)(uintptr_t) "good";
    struct pair pair = pair_with(&config);
    assert_int_equal(stoq_pipe_open(pair.here, &options, WAIT_MS, &pipe, NULL), 0);
    (void)stoq_pipe_write(pipe, "secret", 6, WAIT_MS);
    assert_int_equal(stoq_pipe_read(pipe, &byte, 1, WAIT_MS), STOQ_EPERM);
    stoq_pipe_release(pipe);
    assert_int_equal(stoq_pipe_accept(pair.there, 20, &in, NULL), STOQ_ETIMEOUT);
    options.tag.data = (const uint8_t *)"good";
    assert_int_equal(stoq_pipe_open(pair.here, &options, WAIT_MS, &pipe, NULL), 0);
    assert_int_equal(stoq_pipe_accept(pair.there, WAIT_MS, &in, NULL), 0);
    stoq_pipe_release(pipe);
    stoq_pipe_release(in);
    pair_close(&pair);
}

/* More pipes than the peer allows: the third waits for one of the two to end. */
static void test_stream_limit(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 1);
    struct stoq_pipe *pipes[3], *in;
    struct stoq_error error;

    (void)state;
    config.endpoint.streams_bidi = 2;
    struct pair pair = pair_with(&config);
    assert_int_equal(stoq_pipe_open(pair.here, NULL, WAIT_MS, &pipes[0], &error), 0);
    assert_int_equal(stoq_pipe_open(pair.here, NULL, WAIT_MS, &pipes[1], &error), 0);
    assert_int_equal(stoq_pipe_open(pair.here, NULL, 50, &pipes[2], &error), STOQ_ETIMEOUT);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stoq_pipe_accept(pair.there, WAIT_MS, &in, NULL), 0);
        stoq_pipe_release(in);
        stoq_pipe_release(pipes[i]);
    }
    assert_int_equal(stoq_pipe_open(pair.here, NULL, WAIT_MS, &pipes[2], &error), 0);
    stoq_pipe_release(pipes[2]);
    pair_close(&pair);
}

static void *read_one(void *arg)
{
    uint8_t byte;

    return (void *)(intptr_t)stoq_pipe_read(arg, &byte, 1, -1);
}

static void *accept_one(void *arg)
{
    struct stoq_link *link;

    return (void *)(intptr_t)stoq_link_accept(arg, -1, &link, NULL);
}

/* Closing wakes whoever waits; what is held still answers, and must be released. */
static void test_close_wakes(void **state)
{
    struct pair pair = pair_open();
    struct stoq_conn_info info;
    struct stoq_pipe *pipe, *none;
    struct stoq_error error;
    pthread_t reader, acceptor;
    void *result;

    (void)state;
    assert_int_equal(stoq_link_info(pair.here, &info), 0);
    assert_true(info.handshake_done && !info.server);
    assert_string_equal(info.group, "X25519MLKEM768");
    assert_int_equal(stoq_link_info(pair.there, &info), 0);
    assert_true(info.server);
    assert_int_equal(stoq_pipe_open(pair.here, NULL, WAIT_MS, &pipe, NULL), 0);
    (void)pthread_create(&reader, NULL, read_one, pipe);
    (void)pthread_create(&acceptor, NULL, accept_one, pair.server);
    host_world_pause(20);
    stoq_caller_close(pair.server); /* one end by its own, the other by the peer's goodbye */
    (void)pthread_join(acceptor, &result);
    assert_int_equal((intptr_t)result, STOQ_ECLOSED);
    (void)pthread_join(reader, &result);
    assert_int_equal((intptr_t)result, STOQ_ECLOSED);
    stoq_caller_close(pair.client);
    assert_int_equal(stoq_pipe_write(pipe, "x", 1, WAIT_MS), STOQ_ECLOSED);
    assert_int_equal(stoq_pipe_finish(pipe, WAIT_MS), STOQ_ECLOSED);
    assert_int_equal(stoq_link_info(pair.here, &info), STOQ_ECLOSED);
    assert_int_equal(stoq_pipe_open(pair.here, NULL, WAIT_MS, &none, &error), STOQ_ECLOSED);
    /* What came before can still be taken. */
    assert_int_equal(stoq_pipe_accept(pair.there, WAIT_MS, &none, &error), 0);
    stoq_pipe_release(none);
    assert_int_equal(stoq_pipe_accept(pair.there, WAIT_MS, &none, &error), STOQ_ECLOSED);
    assert_true(error.text[0] != '\0');
    stoq_pipe_release(pipe);
    stoq_link_release(pair.here);
    stoq_link_release(pair.there);
}

/* The usual loop of a server, ended by closing its caller, which nobody else holds by then. */
static void test_close_ends_accept_loop(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct stoq_caller *server = open_caller(true, 1);
        pthread_t acceptor;
        void *result;

        (void)pthread_create(&acceptor, NULL, accept_one, server);
        host_world_pause(10);
        stoq_caller_close(server);
        (void)pthread_join(acceptor, &result);
        assert_int_equal((intptr_t)result, STOQ_ECLOSED);
    }
}

/* Links that nobody accepts are refused above a number, and none leaks. */
static void test_nobody_accepts(void **state)
{
    struct pair pair = pair_open();
    struct stoq_pipe *pipe;

    (void)state;
    for (int i = 0; i < 20; i++) {
        struct stoq_link *link = connect_to(pair.client, pair.server);

        assert_int_equal(stoq_pipe_open(link, NULL, WAIT_MS, &pipe, NULL), 0);
        assert_int_equal(stoq_pipe_write(pipe, pattern, 5000, WAIT_MS), 5000);
        if (i % 2 == 0)
            stoq_link_release(link);
        stoq_pipe_release(pipe);
        if (i % 2 != 0)
            stoq_link_release(link);
    }
    pair_close(&pair);
}

/* One round trip while the nth allocation of all threads fails: it works or says that it did not; nothing is lost. */
static bool round_trip(unsigned long nth)
{
    struct stoq_host_config server_config = host_world_config(identity, true, 1);
    struct stoq_host_config client_config = host_world_config(identity, false, 1);
    struct stoq_caller *server = NULL, *client = NULL;
    struct stoq_link *here = NULL, *there = NULL;
    struct stoq_pipe *out = NULL, *in = NULL;
    struct stoq_error error;
    uint8_t block[3000];
    bool well = false;

    hm_alloc_fail_any_thread(nth, false);
    if (stoq_caller_open(&server, &server_config, &error) == 0 &&
        stoq_caller_open(&client, &client_config, &error) == 0) {
        struct sockaddr_in6 remote = host_world_at(stoq_caller_host(server));

        well = stoq_link_connect(client, &remote, "localhost", 400, &here, &error) == 0 &&
               stoq_link_accept(server, 400, &there, &error) == 0 &&
               stoq_pipe_open(here, NULL, 400, &out, &error) == 0 &&
               stoq_pipe_write(out, pattern, sizeof(block), 400) == sizeof(block) &&
               stoq_pipe_finish(out, 400) == 0 && stoq_pipe_accept(there, 400, &in, &error) == 0 &&
               stoq_pipe_read(in, block, sizeof(block), 400) > 0 &&
               memcmp(block, pattern, 100) == 0;
    }
    hm_alloc_fail_any_thread(0, false);
    stoq_pipe_release(out);
    stoq_pipe_release(in);
    stoq_link_release(here);
    stoq_link_release(there);
    stoq_caller_close(client);
    stoq_caller_close(server);
    return well;
}

static void test_out_of_memory(void **state)
{
    size_t before = host_world_descriptors(), failed = 0;
    unsigned long failures = hm_alloc_failures();

    (void)state;
    for (unsigned long nth = 1; nth < 400; nth += nth < 40 ? 1 : 7)
        failed += !round_trip(nth);
    assert_true(failed > 10); /* it was not a test of nothing */
    assert_true(hm_alloc_failures() > failures + 50);
    assert_true(round_trip(0));
    assert_int_equal(host_world_descriptors(), before);
}

static int make_world(void **state)
{
    host_world_fill(pattern, sizeof(pattern), 22);
    return host_world_make(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo_by_many),
        cmocka_unit_test(test_one_way_and_tags),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_wrong_certificate),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_reset_and_stop),
        cmocka_unit_test(test_finish_and_go),
        cmocka_unit_test(test_late_acceptance),
        cmocka_unit_test(test_reader_hangs_up),
        cmocka_unit_test(test_permission),
        cmocka_unit_test(test_stream_limit),
        cmocka_unit_test(test_close_wakes),
        cmocka_unit_test(test_close_ends_accept_loop),
        cmocka_unit_test(test_nobody_accepts),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("caller", tests, make_world, host_world_end);
}
