/* The server over real sockets: connections that are kept, slow, many or cut; limits; streams;
 * closing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/socket.h>

#include "server_place.h"

#define PARALLEL      64
#define REQUESTS_EACH 20
#define MUST_END_NS   UINT64_C(8000000000)
#define BOND          "{\"amount\":\"1\"}"
#define POST_BOND                                                       \
    "POST /accounts/user/bond HTTP/1.1\r\nHost: node\r\nContent-Type: " \
    "application/json\r\nContent-Length: 14\r\n\r\n" BOND

/* --- connections ------------------------------------------------------------------------------ */

static void test_keep_alive(void **state)
{
    struct place *place = *state;
    struct http http;

    assert_true(http_open_unix(&http, place->socket_path));
    for (unsigned i = 0; i < 50; i++) {
        struct http_answer answer = {0};

        assert_true(i % 2 == 0 ? http_send(&http, GET_UNIX, "/node")
                               : http_send(&http, "%s", POST_BOND));
        assert_true(http_receive(&http, &answer));
        assert_int_equal(answer.status, 200);
        http_answer_release(&answer);
    }
    /* two at once: answered in order */
    assert_true(http_send(&http, GET_UNIX GET_UNIX, "/livez", "/nothing"));
    for (unsigned i = 0; i < 2; i++) {
        struct http_answer answer = {0};

        assert_true(http_receive(&http, &answer));
        assert_int_equal(answer.status, i == 0 ? 200 : 404);
        http_answer_release(&answer);
    }
    http_close(&http);
    assert_int_equal(place->fake.submits, 25);
}

static void test_head(void **state)
{
    struct place *place = *state;
    struct http_answer answer = {0};
    struct http http;

    assert_true(http_open_unix(&http, place->socket_path));
    assert_true(http_send(&http, "HEAD /node HTTP/1.1\r\nHost: node\r\n\r\n" GET_UNIX, "/livez"));
    assert_true(http_receive_head(&http, &answer));
    assert_int_equal(answer.status, 200);
    http_answer_release(&answer);
    assert_true(http_receive(&http, &answer));
    assert_string_equal(hm_buf_cstr(&answer.body), "ok\n");
    http_answer_release(&answer);
    http_close(&http);
}

/* What reads the ledger says how new it is; a refusal, too. */
static void test_fresh_headers(void **state)
{
    static const struct {
        const char *target;
        unsigned status;
        bool fresh;
    } rows[] = {{"/accounts/user", 200, true},
                {"/accounts/nobody", 404, true},
                {"/assets?min_height=7", 200, true},
                {"/accounts/user?min_height=7&wait_ms=5", 200, true},
                {"/accounts/user?min_height=8&wait_ms=5", 504, true},
                {"/node", 200, false},
                {"/livez", 200, false}};
    struct place *place = *state;
    struct http http;

    assert_true(http_open_unix(&http, place->socket_path));
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        struct http_answer answer = {0};
        const char *head;

        assert_true(http_send(&http, GET_UNIX, rows[i].target));
        assert_true(http_receive(&http, &answer));
        assert_int_equal(answer.status, rows[i].status);
        head = hm_buf_cstr(&answer.head);
        assert_int_equal(strstr(head, "X-HyperMesh-Height: 7\r\n") != NULL, rows[i].fresh);
        assert_int_equal(strstr(head, "X-HyperMesh-Block-Time: 1700000000000\r\n") != NULL,
                         rows[i].fresh);
        assert_int_equal(strstr(head, "X-HyperMesh-Block-Age: ") != NULL, rows[i].fresh);
        http_answer_release(&answer);
    }
    http_close(&http);
}

/* A byte at a time. */
static void test_slow_client(void **state)
{
    const struct timespec nap = {.tv_nsec = 1000000};
    struct place *place = *state;
    struct http_answer answer = {0};
    struct http http;

    assert_true(http_open_unix(&http, place->socket_path));
    for (const char *at = POST_BOND; *at != '\0'; at++) {
        assert_true(http_send(&http, "%c", *at));
        (void)nanosleep(&nap, NULL);
    }
    assert_true(http_receive(&http, &answer));
    assert_int_equal(answer.status, 200);
    http_answer_release(&answer);
    http_close(&http);
}

struct worker {
    struct place *place;
    pthread_t thread;
    unsigned done;
    bool tcp;
};

static void *work(void *ctx)
{
    struct worker *worker = ctx;
    struct place *place = worker->place;
    struct http http;

    if (worker->tcp ? !http_open_tcp(&http, place_listening(place))
                    : !http_open_unix(&http, place->socket_path))
        return NULL;
    for (unsigned i = 0; i < REQUESTS_EACH; i++) {
        struct http_answer answer = {0};
        bool sent = worker->tcp ? http_send(&http, GET_TCP, "/assets", "localhost", place->token)
                                : http_send(&http, "%s", POST_BOND);

        if (sent && http_receive(&http, &answer) && answer.status == 200)
            worker->done++;
        http_answer_release(&answer);
    }
    http_close(&http);
    return NULL;
}

static void test_many_at_once(void **state)
{
    struct worker workers[PARALLEL] = {0};
    struct place *place = *state;

    for (unsigned i = 0; i < PARALLEL; i++) {
        workers[i] = (struct worker){.place = place, .tcp = i % 2 == 0};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < PARALLEL; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].done, REQUESTS_EACH);
    }
    assert_int_equal(place->fake.submits, PARALLEL / 2 * REQUESTS_EACH);
    assert_true(place_metrics_say(
        place,
        "hypermesh_http_requests_total{method=\"GET\",route=\"/assets\",status=\"200\"} 640"));
    assert_true(place_metrics_say(
        place, "hypermesh_http_request_duration_seconds_count{method=\"POST\",route=\"/accounts/"
               "{account}/bond\"} 640"));
    assert_true(place_metrics_say(place, "hypermesh_http_connections 1\n")); /* the one that asks */
}

/* Acts that wait for a block do not keep others waiting. */
static void test_blocked_acts_do_not_block_others(void **state)
{
    struct worker workers[PARALLEL] = {0};
    const struct timespec nap = {.tv_nsec = 5000000};
    struct place *place = *state;

    fake_hold(&place->fake, true);
    for (unsigned i = 0; i < PARALLEL; i++) {
        workers[i] = (struct worker){.place = place};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    while (fake_waiting(&place->fake) < PARALLEL)
        (void)nanosleep(&nap, NULL);
    assert_int_equal(place_get(place, "/livez", NULL), 200);
    assert_int_equal(place_get(place, "/assets", NULL), 200);
    fake_hold(&place->fake, false);
    for (unsigned i = 0; i < PARALLEL; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].done, REQUESTS_EACH);
    }
}

/* Past the limit acts are refused, but whether the node lives can still be asked. */
static void test_too_many_connections(void **state)
{
    struct place *place = *state;
    struct http idle[8];
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};

    api_server_close(place->server);
    place->options.connections = 8;
    assert_int_equal(api_server_open(&place->options, &place->server, NULL), 0);
    for (size_t i = 0; i < HM_COUNT_OF(idle); i++) {
        struct http_answer answer = {0};

        assert_true(http_open_unix(&idle[i], place->socket_path));
        assert_true(http_send(&idle[i], GET_UNIX, "/node"));
        assert_true(http_receive(&idle[i], &answer));
        assert_int_equal(answer.status, 200);
        http_answer_release(&answer);
    }
    assert_int_equal(place_get(place, "/livez", NULL), 200);
    assert_int_equal(place_get(place, "/node", &body), 503);
    assert_non_null(strstr(hm_buf_cstr(&body), "too many connections"));
    for (size_t i = 0; i < HM_COUNT_OF(idle); i++)
        http_close(&idle[i]);
    assert_true(place_metrics_say(place, "hypermesh_http_connections 1\n"));
    assert_int_equal(place_get(place, "/node", NULL), 200);
}

/* Anybody on this machine may connect to the TCP port; it must not keep the owner out. */
static void test_strangers_do_not_keep_the_owner_out(void **state)
{
    struct place *place = *state;
    struct http strangers[12];

    api_server_close(place->server);
    place->options.connections = 8;
    assert_int_equal(api_server_open(&place->options, &place->server, NULL), 0);
    for (size_t i = 0; i < HM_COUNT_OF(strangers); i++) {
        assert_true(http_open_tcp(&strangers[i], place_listening(place)));
        assert_true(http_send(&strangers[i], "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n"));
    }
    assert_true(place_metrics_say(place, "hypermesh_http_connections 13\n"));
    assert_int_equal(place_get(place, "/node", NULL), 200);
    for (size_t i = 0; i < HM_COUNT_OF(strangers); i++)
        http_close(&strangers[i]);
}

/* --- limits ----------------------------------------------------------------------------------- */

static void test_announced_body_too_long(void **state)
{
    struct place *place = *state;
    struct http_answer answer = {0};
    struct http http;

    assert_true(http_open_unix(&http, place->socket_path));
    assert_true(http_send(
        &http, "POST /txs HTTP/1.1\r\nHost: node\r\nContent-Type: application/octet-stream\r\n"
               "Content-Length: 2097153\r\n\r\n"));
    assert_true(http_receive(&http, &answer)); /* before anything of it was sent */
    assert_int_equal(answer.status, 413);
    http_answer_release(&answer);
    http_close(&http);
}

/* Sends count chunks of 4000 bytes. */
static bool send_chunks(struct http *http, unsigned count)
{
    char chunk[4001];

    memset(chunk, 'x', 4000);
    chunk[4000] = '\0';
    for (unsigned i = 0; i < count; i++) {
        if (!http_send(http, "fa0\r\n%s\r\n", chunk))
            return false;
    }
    return true;
}

static void test_chunked_bodies(void **state)
{
    static const char head[] =
        "POST /txs HTTP/1.1\r\nHost: node\r\nContent-Type: application/octet-stream\r\n"
        "Transfer-Encoding: chunked\r\n\r\n";
    struct place *place = *state;
    struct http_answer answer = {0};
    struct http http;

    assert_true(http_open_unix(&http, place->socket_path));
    assert_true(http_send(&http, "%s", head) && send_chunks(&http, 200) &&
                http_send(&http, "0\r\n\r\n"));
    assert_true(http_receive(&http, &answer));
    assert_int_equal(answer.status, 200);
    assert_int_equal(place->fake.op.len, 800000);
    http_answer_release(&answer);
    assert_true(http_send(&http, "%s", head) && send_chunks(&http, 600) &&
                http_send(&http, "0\r\n\r\n"));
    assert_true(http_receive(&http, &answer));
    assert_int_equal(answer.status, 413);
    http_answer_release(&answer);
    http_close(&http);
    /* without end: the connection is cut */
    assert_true(http_open_unix(&http, place->socket_path));
    assert_true(http_send(&http, "%s", head));
    assert_false(send_chunks(&http, 20000));
    http_close(&http);
    assert_int_equal(place->fake.submits, 1);
}

static void test_long_heads(void **state)
{
    struct place *place = *state;
    char target[API_URL_MAX_BYTES + 10];
    struct http_answer answer = {0};
    struct http http;
    bool alive = true;

    memset(target, 'a', sizeof(target));
    target[0] = '/';
    target[sizeof(target) - 1] = '\0';
    assert_int_equal(place_get(place, target, NULL), 414);
    assert_true(http_open_unix(&http, place->socket_path));
    assert_true(http_send(&http, "GET /node HTTP/1.1\r\nHost: node\r\n"));
    for (unsigned i = 0; i < 100 && alive; i++)
        alive = http_send(&http, "X-%u: %s\r\n", i, target);
    if (http_receive_head(&http, &answer))
        assert_in_range(answer.status, 400, 499);
    http_answer_release(&answer);
    http_close(&http);
    assert_int_equal(place_get(place, "/node", NULL), 200);
}

static void test_garbage(void **state)
{
    static const char *const garbage[] = {
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "\x16\x03\x01\x02\r\n\r\n",
        "GET /node HTTP/9.9\r\n\r\n",
        "GET /node HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        "GET /node HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n"};
    struct place *place = *state;

    for (size_t i = 0; i < HM_COUNT_OF(garbage); i++) {
        struct http_answer answer = {0};
        struct http http;

        assert_true(http_open_unix(&http, place->socket_path));
        assert_true(http_send(&http, "%s", garbage[i]));
        (void)shutdown(http.fd, SHUT_WR);
        if (http_receive_head(&http, &answer))
            assert_in_range(answer.status, 400, 599);
        http_answer_release(&answer);
        http_close(&http);
    }
    assert_int_equal(place_get(place, "/node", NULL), 200);
}

/* --- streams and closing ---------------------------------------------------------------------- */

static void test_followed_log(void **state)
{
    struct place *place = *state;
    struct http_answer answer = {0};
    struct http http;

    assert_true(http_open_unix(&http, place->socket_path));
    assert_true(http_send(&http, GET_UNIX, "/jobs/latest/logs?follow=1&format=text"));
    assert_true(http_receive_head(&http, &answer));
    assert_int_equal(answer.status, 200);
    fake_log(&place->fake, 1, "one ");
    assert_true(http_receive_chunk(&http, &answer)); /* at once, not at the end */
    assert_string_equal(hm_buf_cstr(&answer.body), "one ");
    fake_log(&place->fake, 2, "two");
    fake_job_state(&place->fake, HYPERMESH__JOB_STATE__JOB_DONE);
    while (http_receive_chunk(&http, &answer))
        ;
    assert_true(answer.whole);
    assert_string_equal(hm_buf_cstr(&answer.body), "one two");
    http_answer_release(&answer);
    /* the connection goes on */
    assert_true(http_send(&http, GET_UNIX, "/livez"));
    assert_true(http_receive(&http, &answer));
    http_answer_release(&answer);
    http_close(&http);
}

/* A reader that goes away is noticed although nothing is written. */
static void test_reader_goes_away(void **state)
{
    struct place *place = *state;
    struct http_answer answer = {0};
    struct http http;

    assert_true(http_open_unix(&http, place->socket_path));
    assert_true(http_send(&http, GET_UNIX, "/jobs/latest/logs?follow=1"));
    assert_true(http_receive_head(&http, &answer));
    http_answer_release(&answer);
    assert_true(place_metrics_say(place, "hypermesh_http_streams 1\n"));
    http_close(&http);
    assert_true(place_metrics_say(place, "hypermesh_http_streams 0\n"));
}

static void test_closing_cuts_streams(void **state)
{
    struct place *place = *state;
    uint64_t started_ns = hm_mono_ns(hm_clock_system());
    struct http_answer answer = {0};
    struct http http;

    fake_log(&place->fake, 1, "something");
    assert_true(http_open_tcp(&http, place_listening(place)));
    assert_true(http_send(&http, GET_TCP, "/jobs/latest/logs?follow=1", "localhost", place->token));
    assert_true(http_receive_head(&http, &answer));
    assert_true(http_receive_chunk(&http, &answer));
    api_server_close(place->server);
    place->server = NULL;
    assert_true(hm_mono_ns(hm_clock_system()) - started_ns < MUST_END_NS);
    assert_false(http_receive_chunk(&http, &answer));
    assert_false(answer.whole); /* the client sees that it was cut */
    http_answer_release(&answer);
    http_close(&http);
}

static void *act_once(void *ctx)
{
    struct worker *worker = ctx;
    struct http_answer answer = {0};
    struct http http;

    if (http_open_unix(&http, worker->place->socket_path) && http_send(&http, "%s", POST_BOND) &&
        http_receive(&http, &answer))
        worker->done = answer.status;
    http_answer_release(&answer);
    http_close(&http);
    return NULL;
}

static void *release_later(void *ctx)
{
    const struct timespec nap = {.tv_nsec = 200000000};

    (void)nanosleep(&nap, NULL);
    fake_hold(ctx, false);
    return NULL;
}

/* What was begun is answered before the server is gone. */
static void test_closing_waits_for_acts(void **state)
{
    const struct timespec nap = {.tv_nsec = 5000000};
    struct place *place = *state;
    struct worker worker = {.place = place};
    pthread_t releaser;

    fake_hold(&place->fake, true);
    assert_int_equal(pthread_create(&worker.thread, NULL, act_once, &worker), 0);
    while (fake_waiting(&place->fake) == 0)
        (void)nanosleep(&nap, NULL);
    assert_int_equal(pthread_create(&releaser, NULL, release_later, &place->fake), 0);
    api_server_close(place->server);
    place->server = NULL;
    assert_int_equal(pthread_join(worker.thread, NULL), 0);
    assert_int_equal(pthread_join(releaser, NULL), 0);
    assert_int_equal(worker.done, 200);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_keep_alive),
        TEST(test_head),
        TEST(test_fresh_headers),
        TEST(test_slow_client),
        TEST(test_many_at_once),
        TEST(test_blocked_acts_do_not_block_others),
        TEST(test_too_many_connections),
        TEST(test_strangers_do_not_keep_the_owner_out),
        TEST(test_announced_body_too_long),
        TEST(test_chunked_bodies),
        TEST(test_long_heads),
        TEST(test_garbage),
        TEST(test_followed_log),
        TEST(test_reader_goes_away),
        TEST(test_closing_cuts_streams),
        TEST(test_closing_waits_for_acts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
