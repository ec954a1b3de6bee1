/* What the server does not put up with, over real sockets: long and slow heads, too many requests,
 * clients that go away; and the door for programs written for etcd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include <sys/socket.h>
#include <time.h>

#include "api_conn.h"
#include "server_place.h"

#define BOND "{\"amount\":\"1\"}"
#define POST_BOND                                                       \
    "POST /accounts/user/bond HTTP/1.1\r\nHost: node\r\nContent-Type: " \
    "application/json\r\nContent-Length: 14\r\n\r\n" BOND
#define POST_RANGE                                                        \
    "POST /v3/kv/range HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: " \
    "14\r\n\r\n{\"key\":\"Zm9v\"}"
#define SECOND UINT64_C(1000000000)

static void nap(unsigned ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&pause, NULL);
}

static void reopen(struct place *place)
{
    struct hm_error error = {0};

    api_server_close(place->server);
    place->server = NULL;
    if (api_server_open(&place->options, &place->server, &error))
        fail_msg("%s", error.text);
}

static bool head_says(struct http_answer *answer, const char *line)
{
    return strcasestr(hm_buf_cstr(&answer->head), line) != NULL;
}

/* --- heads ------------------------------------------------------------------------------------ */

/* Sends a head of so many headers with values of so many bytes; the status, 0 when none came. */
static unsigned ask_with_headers(struct place *place, unsigned count, size_t size)
{
    HM_AUTOFREE char *value = hm_calloc(1, size + 1);
    struct http_answer answer = {0};
    struct http http;
    unsigned status;

    memset(value, 'v', size);
    assert_true(http_open_unix(&http, place->socket_path));
    (void)http_send(&http, "GET /node HTTP/1.1\r\nHost: node\r\n");
    for (unsigned i = 0; i < count; i++)
        (void)http_send(&http, "X-%u: %s\r\n", i, value);
    (void)http_send(&http, "\r\n");
    status = http_receive_head(&http, &answer) ? answer.status : 0;
    http_answer_release(&answer);
    http_close(&http);
    return status;
}

static void test_headers(void **state)
{
    struct place *place = *state;

    assert_int_equal(ask_with_headers(place, API_HEADERS_MAX - 1, 1), 200);
    assert_int_equal(ask_with_headers(place, API_HEADERS_MAX, 1), 431);
    assert_int_equal(ask_with_headers(place, 2, API_HEADER_MAX_BYTES / 2 - 100), 200);
    assert_int_equal(ask_with_headers(place, 3, API_HEADER_MAX_BYTES / 2 - 100), 431);
    /* floods are cut by the library, before or after it could say so */
    (void)ask_with_headers(place, 20000, 3000);
    assert_int_equal(ask_with_headers(place, 1, 1), 200);
}

struct trickler {
    struct place *place;
    pthread_t thread;
    const char *head; /* what is sent at once */
    bool tcp;
    double lasted_s; /* until it was cut */
};

/* A byte every half second, for as long as it is let. */
static void *trickle(void *ctx)
{
    struct trickler *trickler = ctx;
    uint64_t started_ns = hm_mono_ns(hm_clock_system());
    struct http http;
    bool open = trickler->tcp ? http_open_tcp(&http, place_listening(trickler->place))
                              : http_open_unix(&http, trickler->place->socket_path);

    open = open && http_send(&http, "%s", trickler->head);
    for (unsigned i = 0; i < 60 && open; i++) {
        char byte;

        nap(500);
        open = http_send(&http, "a") && recv(http.fd, &byte, 1, MSG_DONTWAIT) < 0;
    }
    trickler->lasted_s = (double)(hm_mono_ns(hm_clock_system()) - started_ns) / (double)SECOND;
    http_close(&http);
    return NULL;
}

static void test_slow_heads_are_cut(void **state)
{
    struct place *place = *state;
    struct trickler tricklers[] = {
        {.place = place, .head = "GET /node HTTP/1.1\r\nHost: "},
        {.place = place, .head = "GET /node HTTP/1.1\r\nHost: ", .tcp = true},
        {.place = place, .head = "GET /no", .tcp = true}, /* not even the request line */
    };

    for (size_t i = 0; i < HM_COUNT_OF(tricklers); i++)
        assert_int_equal(pthread_create(&tricklers[i].thread, NULL, trickle, &tricklers[i]), 0);
    assert_int_equal(place_get(place, "/node", NULL), 200);
    for (size_t i = 0; i < HM_COUNT_OF(tricklers); i++) {
        assert_int_equal(pthread_join(tricklers[i].thread, NULL), 0);
        assert_true(tricklers[i].lasted_s > API_HEADER_TIMEOUT_S - 1);
        assert_true(tricklers[i].lasted_s < API_HEADER_TIMEOUT_S + 6);
    }
    assert_true(place_metrics_say(place, "hypermesh_http_connections_cut_total 3\n"));
}

static void put_in(struct api_care *care, struct api_conn *conn)
{
    (void)pthread_mutex_lock(&care->lock);
    care->conns = conn;
    (void)pthread_mutex_unlock(&care->lock);
}

/* Whatever a connection does too slowly: past its time it is shut. */
static void test_past_its_time(void **state)
{
    static const enum api_phase phases[] = {API_PHASE_HEADER, API_PHASE_BODY, API_PHASE_SEND,
                                            API_PHASE_IDLE};
    atomic_bool closing = false;
    atomic_ullong cut = 0;

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(phases); i++) {
        struct api_care care = {0};
        struct api_conn conn = {0};
        char byte;
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        conn.fd = fds[0];
        api_conn_enter(&conn, phases[i]);
        assert_true(atomic_load(&conn.deadline_ns) > hm_mono_ns(hm_clock_system()));
        assert_int_equal(api_care_open(&care, &closing, &cut, NULL), 0);
        put_in(&care, &conn);
        nap(2 * API_CARE_EVERY_MS);
        assert_true(recv(fds[1], &byte, 1, MSG_DONTWAIT) < 0); /* open */
        atomic_store(&conn.deadline_ns, 1);
        assert_int_equal(recv(fds[1], &byte, 1, 0), 0); /* shut */
        put_in(&care, NULL);
        api_care_close(&care);
        (void)close(fds[0]);
        (void)close(fds[1]);
    }
    assert_int_equal(atomic_load(&cut), 3); /* idle ones just end */
}

/* --- too much --------------------------------------------------------------------------------- */

static void test_too_many_requests(void **state)
{
    struct place *place = *state;
    struct http http;
    unsigned refused = 0;

    place->options.rate_per_s = 5;
    reopen(place);
    assert_true(http_open_unix(&http, place->socket_path));
    for (unsigned i = 0; i < 20; i++) {
        struct http_answer answer = {0};

        assert_true(http_send(&http, GET_UNIX, "/node"));
        assert_true(http_receive(&http, &answer));
        if (answer.status == 429) {
            assert_true(head_says(&answer, "\r\nRetry-After: 1\r\n"));
            refused++;
        }
        http_answer_release(&answer);
    }
    assert_true(refused >= 10);
    assert_int_equal(place_get(place, "/livez", NULL), 200); /* always answered */
    nap(1100);
    assert_int_equal(place_get(place, "/node", NULL), 200);
    http_close(&http);
}

static void test_busy_says_when_to_ask_again(void **state)
{
    struct place *place = *state;
    struct http_answer answer = {0};
    struct http http;

    place->fake.fail = HM_EBUSY;
    assert_true(http_open_unix(&http, place->socket_path));
    assert_true(http_send(&http, "%s", POST_BOND));
    assert_true(http_receive(&http, &answer));
    assert_int_equal(answer.status, 503);
    assert_true(head_says(&answer, "\r\nRetry-After: 1\r\n"));
    place->fake.fail = 0;
    http_answer_release(&answer);
    http_close(&http);
}

/* Connections that were closed at once, as soon as the node says how many. */
static unsigned long refused(struct place *place)
{
    static const char name[] = "\nhypermesh_http_connections_refused_total ";

    for (;;) {
        HM_CLEANUP(hm_buf) struct hm_buf text = {0};
        const char *at;

        if (place_get(place, "/metrics", &text) == 200) {
            at = strstr(hm_buf_cstr(&text), name);
            assert_non_null(at);
            return strtoul(at + sizeof(name) - 1, NULL, 10);
        }
        nap(5);
    }
}

/* One peer can't have all connections of a door, and what comes past the spare is closed at once. */
static void test_connections_of_one_peer(void **state)
{
    struct place *place = *state;
    const unsigned max = API_PEER_SPARE;
    struct http idle[API_PEER_SPARE + 32];
    size_t count = 0;

    place->options.connections = max;
    reopen(place);
    while (count < max - 2)
        assert_true(http_open_unix(&idle[count++], place->socket_path));
    assert_true(place_metrics_say(place, "hypermesh_http_connections 127\n"));
    assert_true(http_open_unix(&idle[count++], place->socket_path));
    while (place_get(place, "/node", NULL) != 503) /* 128 of 128: the peer's part is 127 */
        nap(5);
    assert_int_equal(place_get(place, "/livez", NULL), 200);
    http_close(&idle[--count]);
    while (place_get(place, "/node", NULL) != 200)
        nap(5);
    while (count < max + 32)
        assert_true(http_open_unix(&idle[count++], place->socket_path));
    nap(100);
    {
        struct http one_more;
        char byte;

        assert_true(http_open_unix(&one_more, place->socket_path));
        assert_int_equal(recv(one_more.fd, &byte, 1, 0), 0);
        http_close(&one_more);
    }
    while (count > 0)
        http_close(&idle[--count]);
    assert_true(refused(place) >= 1); /* who asks may be refused, too, until the closing is seen */
}

/* --- clients that go away --------------------------------------------------------------------- */

/* Who closed only his side gets his answer, of an act too. */
static void test_half_closed(void **state)
{
    struct place *place = *state;
    struct http_answer answer = {0};
    struct http http;

    assert_true(http_open_tcp(&http, place_listening(place)));
    assert_true(http_send(&http, GET_TCP, "/assets", "localhost", place->token));
    assert_int_equal(shutdown(http.fd, SHUT_WR), 0);
    assert_true(http_receive(&http, &answer));
    assert_int_equal(answer.status, 200);
    http_answer_release(&answer);
    http_close(&http);
    fake_hold(&place->fake, true);
    assert_true(http_open_unix(&http, place->socket_path));
    assert_true(http_send(&http, "%s", POST_BOND));
    assert_int_equal(shutdown(http.fd, SHUT_WR), 0);
    while (fake_waiting(&place->fake) < 1)
        nap(2);
    fake_hold(&place->fake, false);
    assert_true(http_receive(&http, &answer));
    assert_int_equal(answer.status, 200);
    http_answer_release(&answer);
    http_close(&http);
}

/* The act goes on, the rest is cleaned up. */
static void test_client_vanishes_while_its_act_waits(void **state)
{
    struct place *place = *state;
    struct http http[20];

    fake_hold(&place->fake, true);
    for (size_t i = 0; i < HM_COUNT_OF(http); i++) {
        assert_true(i % 2 ? http_open_unix(&http[i], place->socket_path)
                          : http_open_tcp(&http[i], place_listening(place)));
        if (i % 2)
            assert_true(http_send(&http[i], "%s", POST_BOND));
        else
            assert_true(http_send(&http[i],
                                  "POST /accounts/user/bond HTTP/1.1\r\nHost: localhost\r\n"
                                  "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                                  "Content-Length: 14\r\n\r\n" BOND,
                                  place->token));
    }
    while (fake_waiting(&place->fake) < HM_COUNT_OF(http))
        nap(2);
    for (size_t i = 0; i < HM_COUNT_OF(http); i++) {
        const struct linger reset = {.l_onoff = 1};

        if (i % 4 == 0)
            (void)setsockopt(http[i].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        http_close(&http[i]);
    }
    assert_int_equal(place_get(place, "/livez", NULL), 200);
    fake_hold(&place->fake, false);
    assert_true(place_metrics_say(place, "hypermesh_http_connections 1\n"));
    assert_int_equal(place->fake.submits, HM_COUNT_OF(http));
}

/* Nobody waits for a job on behalf of a client that is gone. */
static void test_wait_ends_with_its_client(void **state)
{
    struct place *place = *state;
    struct http http;

    assert_true(http_open_unix(&http, place->socket_path));
    assert_true(http_send(&http, GET_UNIX, "/jobs/latest/wait?timeout=10m"));
    assert_true(place_metrics_say(place, "hypermesh_http_waits 1\n"));
    http_close(&http);
    assert_true(place_metrics_say(place, "hypermesh_http_waits 0\n"));
}

/* Streams, acts and silent connections at once: closing ends them all. */
static void test_closing_with_everything_open(void **state)
{
    struct place *place = *state;
    uint64_t started_ns;
    struct http http[60];

    fake_log(&place->fake, 1, "something");
    for (size_t i = 0; i < HM_COUNT_OF(http); i++) {
        struct http_answer answer = {0};

        assert_true(http_open_unix(&http[i], place->socket_path));
        if (i % 3 == 0)
            continue; /* silent */
        assert_true(
            http_send(&http[i], GET_UNIX,
                      i % 3 == 1 ? "/jobs/latest/logs?follow=1" : "/jobs/latest/wait?timeout=10m"));
        if (i % 3 == 1)
            assert_true(http_receive_head(&http[i], &answer));
        http_answer_release(&answer);
    }
    assert_true(place_metrics_say(place, "hypermesh_http_waits 20\n"));
    started_ns = hm_mono_ns(hm_clock_system());
    api_server_close(place->server);
    place->server = NULL;
    assert_true(hm_mono_ns(hm_clock_system()) - started_ns < 8 * SECOND);
    for (size_t i = 0; i < HM_COUNT_OF(http); i++) {
        struct http_answer answer = {0};

        if (i % 3 == 2) { /* it was under way, and so it is answered */
            assert_true(http_receive(&http[i], &answer));
            assert_int_equal(answer.status, 200);
        }
        http_answer_release(&answer);
        http_close(&http[i]);
    }
}

/* --- the door for programs written for etcd ------------------------------------------------------ */

static unsigned kv_ask(struct place *place, const char *text)
{
    struct http_answer answer = {0};
    struct http http;
    unsigned status;

    assert_true(http_open_tcp(&http, api_server_kv_listen(place->server)));
    assert_true(http_send(&http, "%s", text));
    assert_true(http_receive(&http, &answer));
    status = answer.status;
    http_answer_release(&answer);
    http_close(&http);
    return status;
}

static void test_kv_door(void **state)
{
    static const char *const refused[] = {"/node",     "/livez",      "/kv/a", "/accounts",
                                          "/v3x/node", "/v3/../node", "/"};
    struct place *place = *state;
    char text[300];

    assert_string_equal(api_server_kv_listen(place->server), "");
    place->options.kv_listen = "127.0.0.1:0";
    place->options.kv_account = "etcd-user";
    reopen(place);
    assert_int_equal(kv_ask(place, "GET /version HTTP/1.1\r\nHost: localhost:1\r\n\r\n"), 200);
    assert_int_equal(kv_ask(place, "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"), 200);
    (void)snprintf(text, sizeof(text), POST_RANGE, "");
    assert_int_equal(kv_ask(place, text), 200);
    for (size_t i = 0; i < HM_COUNT_OF(refused); i++) {
        (void)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                       refused[i]);
        assert_int_equal(kv_ask(place, text), 404);
    }
    /* no page of the web gets in by a name of its own */
    assert_int_equal(kv_ask(place, "GET /version HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 403);
    assert_int_equal(kv_ask(place, "POST /v3/kv/put HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                                   "30\r\n\r\n{\"key\":\"Zm9v\",\"value\":\"YmFy\"} "),
                     200);
    assert_string_equal(place->fake.account, "etcd-user");
}

/* etcd's clients send the token as it is; only /v3/ takes that. */
static void test_bare_token(void **state)
{
    struct place *place = *state;
    struct http_answer answer = {0};
    char header[120];
    struct http http;

    assert_true(http_open_tcp(&http, place_listening(place)));
    (void)snprintf(header, sizeof(header), "Authorization: %s\r\n", place->token);
    assert_true(http_send(&http, POST_RANGE, header));
    assert_true(http_receive(&http, &answer));
    assert_int_equal(answer.status, 200);
    http_answer_release(&answer);
    assert_true(http_send(&http, "GET /node HTTP/1.1\r\nHost: localhost\r\n%s\r\n", header));
    assert_true(http_receive(&http, &answer));
    assert_int_equal(answer.status, 401);
    http_answer_release(&answer);
    header[20] ^= 1;
    assert_true(http_send(&http, POST_RANGE, header));
    assert_true(http_receive(&http, &answer));
    assert_int_equal(answer.status, 401);
    http_answer_release(&answer);
    http_close(&http);
}

/* --- what goes over the wire ------------------------------------------------------------------- */

static void test_headers_of_answers(void **state)
{
    struct place *place = *state;
    struct http_answer answer = {0};
    char target[100];
    char text[WIRE_ID_TEXT_MAX];
    char etag[64] = "";
    uint8_t id[32];
    struct http http;
    const char *at;

    fake_id(0xa0, id);
    wire_asset_text(id, text);
    (void)snprintf(target, sizeof(target), "/assets/%s", text);
    assert_true(http_open_unix(&http, place->socket_path));
    assert_true(http_send(&http, GET_UNIX, target));
    assert_true(http_receive(&http, &answer));
    at = strcasestr(hm_buf_cstr(&answer.head), "\r\nETag: ");
    assert_non_null(at);
    (void)snprintf(etag, sizeof(etag), "%.*s", (int)strcspn(at + 8, "\r"), at + 8);
    http_answer_release(&answer);
    assert_true(http_send(&http, "GET %s HTTP/1.1\r\nHost: node\r\nIf-None-Match: %s\r\n\r\n",
                          target, etag));
    assert_true(http_receive_head(&http, &answer)); /* a 304 has no body */
    assert_int_equal(answer.status, 304);
    assert_true(head_says(&answer, etag));
    http_answer_release(&answer);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(http_send(&http,
                              "POST /accounts/user/bond HTTP/1.1\r\nHost: node\r\nContent-Type: "
                              "application/json\r\nIdempotency-Key: 1\r\nContent-Length: "
                              "14\r\n\r\n" BOND));
        assert_true(http_receive(&http, &answer));
        assert_int_equal(answer.status, 200);
        assert_int_equal(head_says(&answer, "\r\nIdempotency-Replayed: true\r\n"), i == 1);
        http_answer_release(&answer);
    }
    assert_int_equal(place->fake.submits, 1);
    http_close(&http);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_headers),
        TEST(test_slow_heads_are_cut),
        cmocka_unit_test(test_past_its_time),
        TEST(test_too_many_requests),
        TEST(test_busy_says_when_to_ask_again),
        TEST(test_connections_of_one_peer),
        TEST(test_half_closed),
        TEST(test_client_vanishes_while_its_act_waits),
        TEST(test_wait_ends_with_its_client),
        TEST(test_closing_with_everything_open),
        TEST(test_kv_door),
        TEST(test_bare_token),
        TEST(test_headers_of_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
