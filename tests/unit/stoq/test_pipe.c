/* Pipes at their limits: what is unread stays bounded and is not lost, what is told as delivered was delivered, and what
 * is given up leaves nothing behind. */
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
#define WINDOW  100000
#define MANY    20

static uint8_t pattern[WINDOW + MANY];

struct pair {
    struct stoq_caller *server, *client;
    struct stoq_link *there, *here; /* the server's end, the client's */
};

static struct stoq_caller *open_with(const struct stoq_host_config *config)
{
    struct stoq_caller *caller = NULL;
    struct stoq_error error = {0};

    if (stoq_caller_open(&caller, config, &error) != 0)
        fail_msg("%s", error.text);
    return caller;
}

static struct pair pair_with(const struct stoq_host_config *server_config)
{
    struct stoq_host_config client_config = host_world_config(identity, false, 1);
    struct pair pair = {.server = open_with(server_config), .client = open_with(&client_config)};
    struct sockaddr_in6 remote = host_world_at(stoq_caller_host(pair.server));
    struct stoq_error error = {0};

    if (stoq_link_connect(pair.client, &remote, "localhost", WAIT_MS, &pair.here, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(stoq_link_accept(pair.server, WAIT_MS, &pair.there, NULL), 0);
    return pair;
}

/* A server whose connections and streams have a window of WINDOW bytes. */
static struct pair narrow_pair(void)
{
    struct stoq_host_config config = host_world_config(identity, true, 1);

    config.endpoint.connection_window = WINDOW;
    config.endpoint.stream_window = WINDOW;
    return pair_with(&config);
}

static void pair_close(struct pair *pair)
{
    stoq_link_release(pair->here);
    stoq_link_release(pair->there);
    stoq_caller_close(pair->client);
    stoq_caller_close(pair->server);
}

/* --- delivered means delivered -------------------------------------------------------------------------------------- */

static void stand_still(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    (void)endpoint;
    (void)now_ns;
    (void)pthread_mutex_lock(arg); /* held: the worker stands still */
    (void)pthread_mutex_unlock(arg);
}

/* The bytes are acknowledged long before; the end is not as long as the peer stands still. */
static void test_finish_waits_for_the_end(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 1);
    struct pair pair = pair_with(&config);
    pthread_mutex_t still = PTHREAD_MUTEX_INITIALIZER;
    struct stoq_pipe *out, *in;
    uint8_t block[8];

    (void)state;
    assert_int_equal(stoq_pipe_open(pair.here, NULL, WAIT_MS, &out, NULL), 0);
    assert_int_equal(stoq_pipe_write(out, "abc", 3, WAIT_MS), 3);
    assert_int_equal(stoq_pipe_accept(pair.there, WAIT_MS, &in, NULL), 0);
    assert_int_equal(stoq_pipe_read(in, block, sizeof(block), WAIT_MS), 3);
    for (size_t left = 1, i = 0; i < 5000 && left > 0; i++) {
        host_world_pause(1);
        (void)pthread_mutex_lock(&pair.here->lock);
        left = out->out_bytes;
        (void)pthread_mutex_unlock(&pair.here->lock);
    }
    (void)pthread_mutex_lock(&still);
    assert_int_equal(stoq_host_post(stoq_caller_host(pair.server), 0, stand_still, &still), 0);
    host_world_pause(100); /* until it stands */
    assert_int_equal(stoq_pipe_finish(out, 200), STOQ_ETIMEOUT);
    (void)pthread_mutex_unlock(&still);
    /* Though the other direction stays open. */
    assert_int_equal(stoq_pipe_finish(out, WAIT_MS), 0);
    assert_int_equal(stoq_pipe_read(in, block, sizeof(block), WAIT_MS), 0);
    assert_int_equal(stoq_pipe_finish(out, WAIT_MS), 0); /* again: it stays so */
    stoq_pipe_release(out);
    stoq_pipe_release(in);
    pair_close(&pair);
}

/* An end that never left is not delivered. */
static void test_finish_after_the_end(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 1);
    struct pair pair = pair_with(&config);
    struct stoq_pipe *out;

    (void)state;
    assert_int_equal(stoq_pipe_open(pair.here, NULL, WAIT_MS, &out, NULL), 0);
    assert_int_equal(stoq_pipe_write(out, "abc", 3, WAIT_MS), 3);
    stoq_link_release(pair.there);
    for (int i = 0; i < 5000 && stoq_link_alive(pair.here); i++)
        host_world_pause(1);
    assert_int_equal(stoq_pipe_finish(out, WAIT_MS), STOQ_ECLOSED);
    assert_int_equal(stoq_pipe_finish(out, 0), STOQ_ECLOSED);
    stoq_pipe_release(out);
    stoq_link_release(pair.here);
    stoq_caller_close(pair.client);
    stoq_caller_close(pair.server);
}

/* --- unread --------------------------------------------------------------------------------------------------------- */

static void send_one_way(struct stoq_link *link, const uint8_t *data, size_t len, int finish_ms)
{
    const struct stoq_stream_options options = {.unidirectional = true};
    struct stoq_pipe *pipe;

    assert_int_equal(stoq_pipe_open(link, &options, WAIT_MS, &pipe, NULL), 0);
    assert_int_equal(stoq_pipe_write(pipe, data, len, WAIT_MS), len);
    assert_int_equal(stoq_pipe_finish(pipe, finish_ms), 0);
    stoq_pipe_release(pipe);
}

static bool is_whole(struct stoq_pipe *pipe, const uint8_t *wanted, size_t len)
{
    uint8_t *block = malloc(len + 1);
    size_t got = 0;
    int64_t part;

    while ((part = stoq_pipe_read(pipe, block + got, len + 1 - got, WAIT_MS)) > 0)
        got += (size_t)part;
    bool whole = part == 0 && got == len && memcmp(block, wanted, len) == 0;
    free(block);
    return whole;
}

/* What the peer acknowledged, and its holder was told so, can be read after the connection's end, though it is more than
 * one window and nobody had accepted any of it. */
static void test_acknowledged_outlives_connection(void **state)
{
    enum { PIPES = 7, EACH = WINDOW / 5 };
    struct pair pair = narrow_pair();
    struct stoq_pipe *pipe;

    (void)state;
    for (int i = 0; i < PIPES; i++)
        send_one_way(pair.here, pattern + i, EACH, WAIT_MS);
    stoq_link_release(pair.here);
    for (int i = 0; i < 5000 && stoq_link_alive(pair.there); i++)
        host_world_pause(1);
    assert_false(stoq_link_alive(pair.there));
    for (int i = 0; i < PIPES; i++) {
        assert_int_equal(stoq_pipe_accept(pair.there, WAIT_MS, &pipe, NULL), 0);
        assert_true(is_whole(pipe, pattern + i, EACH));
        stoq_pipe_release(pipe);
    }
    assert_int_equal(pair.there->in_bytes, 0);
    assert_int_equal(stoq_pipe_accept(pair.there, WAIT_MS, &pipe, NULL), STOQ_ECLOSED);
    stoq_link_release(pair.there);
    stoq_caller_close(pair.client);
    stoq_caller_close(pair.server);
}

enum { EACH_BYTES = WINDOW / 5 };

struct reading {
    struct stoq_pipe *pipe;
    bool well;
};

static void *read_whole(void *arg)
{
    struct reading *reading = arg;

    reading->well = is_whole(reading->pipe, pattern, EACH_BYTES);
    stoq_pipe_release(reading->pipe);
    return NULL;
}

/* Sends and accepts, without reading, until the sender is held back; returns how many were accepted. */
static size_t pile_up(struct pair *pair, struct reading readings[MANY], size_t *sent)
{
    const struct stoq_stream_options options = {.unidirectional = true};
    size_t accepted = 0;
    int code = 0;

    for (*sent = 0; *sent < MANY && code == 0; (*sent)++) {
        struct stoq_pipe *pipe;

        assert_int_equal(stoq_pipe_open(pair->here, &options, WAIT_MS, &pipe, NULL), 0);
        assert_int_equal(stoq_pipe_write(pipe, pattern, EACH_BYTES, WAIT_MS), EACH_BYTES);
        code = stoq_pipe_finish(pipe, 300);
        stoq_pipe_release(pipe);
        if (stoq_pipe_accept(pair->there, 100, &readings[accepted].pipe, NULL) == 0)
            accepted++;
    }
    return accepted;
}

/* Streams that have ended, whose pipes were accepted and are not read, do not pile up without a limit; and all is there
 * when somebody reads. */
static void test_unread_is_bounded(void **state)
{
    struct pair pair = narrow_pair();
    struct reading readings[MANY] = {0};
    pthread_t threads[MANY];
    struct stoq_conn_info info;
    size_t sent, sum = 0, accepted = pile_up(&pair, readings, &sent);

    (void)state;
    (void)pthread_mutex_lock(&pair.there->lock);
    for (size_t i = 0; i < accepted; i++)
        sum += readings[i].pipe->in.bytes;
    assert_int_equal(pair.there->in_bytes, sum);
    (void)pthread_mutex_unlock(&pair.there->lock);
    assert_in_range(sum, EACH_BYTES, WINDOW);
    assert_true(sent < MANY);
    for (size_t i = 0; i < sent; i++) {
        if (i >= accepted)
            assert_int_equal(stoq_pipe_accept(pair.there, WAIT_MS, &readings[i].pipe, NULL), 0);
        (void)pthread_create(&threads[i], NULL, read_whole, &readings[i]);
    }
    for (size_t i = 0; i < sent; i++) {
        (void)pthread_join(threads[i], NULL);
        assert_true(readings[i].well);
    }
    assert_int_equal(stoq_link_info(pair.there, &info), 0); /* the worker has done all before */
    (void)pthread_mutex_lock(&pair.there->lock);
    assert_int_equal(pair.there->in_bytes, 0);
    (void)pthread_mutex_unlock(&pair.there->lock);
    pair_close(&pair);
}

/* --- nothing stays behind --------------------------------------------------------------------------------------------- */

/* Who asks for a stream again and again, in vain, leaves nothing in the list of those that wait. */
static void test_vain_opens(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 1);
    struct stoq_pipe *pipe, *none;
    struct stoq_conn_info info;

    (void)state;
    config.endpoint.streams_bidi = 1;
    struct pair pair = pair_with(&config);
    assert_int_equal(stoq_pipe_open(pair.here, NULL, WAIT_MS, &pipe, NULL), 0);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(stoq_pipe_open(pair.here, NULL, i % 3, &none, NULL), STOQ_ETIMEOUT);
    assert_int_equal(stoq_link_info(pair.here, &info), 0); /* the worker has done all before */
    assert_null(pair.here->opening);
    stoq_pipe_release(pipe);
    pair_close(&pair);
}

static uint64_t closed_of(struct stoq_caller *caller)
{
    uint64_t counters[STOQ_COUNTERS];

    stoq_host_counters(stoq_caller_host(caller), counters);
    return counters[STOQ_COUNT_CLOSED];
}

/* Without memory at the wrong moment a release is a release all the same. */
static void test_release_without_memory(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 1);
    struct pair pair = pair_with(&config);
    struct stoq_pipe *out, *in;
    uint8_t byte;

    (void)state;
    assert_int_equal(stoq_pipe_open(pair.here, NULL, WAIT_MS, &out, NULL), 0);
    assert_int_equal(stoq_pipe_write(out, "x", 1, WAIT_MS), 1);
    assert_int_equal(stoq_pipe_accept(pair.there, WAIT_MS, &in, NULL), 0);
    assert_int_equal(stoq_pipe_read(in, &byte, 1, WAIT_MS), 1);
    host_world_pause(50); /* the workers have nothing to do */
    unsigned long failures = hm_alloc_failures();
    hm_alloc_fail_at(1);
    stoq_pipe_release(out);
    hm_alloc_fail_at(0);
    assert_int_equal(hm_alloc_failures(), failures + 1);
    assert_int_equal(stoq_pipe_read(in, &byte, 1, 3000), STOQ_ECLOSED); /* it was reset */
    stoq_pipe_release(in);
    host_world_pause(50);
    hm_alloc_fail_at(1);
    stoq_link_release(pair.here);
    hm_alloc_fail_at(0);
    assert_int_equal(hm_alloc_failures(), failures + 2);
    for (int i = 0; i < 3000 && closed_of(pair.server) == 0; i++)
        host_world_pause(1);
    assert_int_equal(closed_of(pair.server), 1);
    stoq_link_release(pair.there);
    stoq_caller_close(pair.client);
    stoq_caller_close(pair.server);
}

/* --- from a handler --------------------------------------------------------------------------------------------------- */

static struct stoq_caller *permitting;

static int permit_and_close(void *ctx, struct stoq_conn *conn, struct stoq_bytes tag,
                            bool bidirectional)
{
    (void)ctx;
    (void)conn;
    (void)tag;
    (void)bidirectional;
    stoq_caller_close(permitting); /* does nothing here, and above all does not wait for itself */
    return 0;
}

static void test_close_from_handler(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 1);
    struct stoq_pipe *out, *in;
    uint8_t byte = 0;

    (void)state;
    config.handlers.permit = permit_and_close;
    struct pair pair = pair_with(&config);
    permitting = pair.server;
    assert_int_equal(stoq_pipe_open(pair.here, NULL, WAIT_MS, &out, NULL), 0);
    assert_int_equal(stoq_pipe_write(out, "y", 1, WAIT_MS), 1);
    assert_int_equal(stoq_pipe_accept(pair.there, WAIT_MS, &in, NULL), 0);
    assert_int_equal(stoq_pipe_read(in, &byte, 1, WAIT_MS), 1);
    assert_int_equal(byte, 'y');
    stoq_pipe_release(out);
    stoq_pipe_release(in);
    pair_close(&pair);
}

static int make_world(void **state)
{
    host_world_fill(pattern, sizeof(pattern), 23);
    return host_world_make(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finish_waits_for_the_end),
        cmocka_unit_test(test_finish_after_the_end),
        cmocka_unit_test(test_acknowledged_outlives_connection),
        cmocka_unit_test(test_unread_is_bounded),
        cmocka_unit_test(test_vain_opens),
        cmocka_unit_test(test_release_without_memory),
        cmocka_unit_test(test_close_from_handler),
    };
    return cmocka_run_group_tests_name("pipe", tests, make_world, host_world_end);
}
