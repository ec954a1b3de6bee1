/* The server over real sockets: who gets in, connections that are kept, slow, many or cut,
 * streams, limits, closing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "fake_backend.h"
#include "http_client.h"

#define PARALLEL      64
#define REQUESTS_EACH 20
#define MUST_END_NS   UINT64_C(8000000000)
#define EVENTUALLY_MS 10000
#define GET_UNIX      "GET %s HTTP/1.1\r\nHost: node\r\n\r\n"
#define GET_TCP       "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n"
#define BOND          "{\"amount\":\"1\"}"
#define POST_BOND                                                       \
    "POST /accounts/user/bond HTTP/1.1\r\nHost: node\r\nContent-Type: " \
    "application/json\r\nContent-Length: 14\r\n\r\n" BOND
#define FOREIGN_USER_ID 65533

struct place {
    struct fake fake;
    char folder[64];
    char socket_path[96];
    char token_path[96];
    char token[65];
    struct api_server *server;
    struct api_options options;
};

static void read_token(struct place *place)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    assert_int_equal(hm_file_read(place->token_path, 200, &text, NULL), 0);
    assert_int_equal(text.len, 65);
    memcpy(place->token, text.data, 64);
    place->token[64] = '\0';
}

static int setup(void **state)
{
    struct place *place = hm_calloc(1, sizeof(*place));
    struct hm_error error = {0};

    if (!place)
        return -1;
    fake_init(&place->fake);
    memcpy(place->folder, "/tmp/hm-api-XXXXXX", sizeof("/tmp/hm-api-XXXXXX"));
    if (!mkdtemp(place->folder))
        return -1;
    (void)snprintf(place->socket_path, sizeof(place->socket_path), "%s/api.sock", place->folder);
    (void)snprintf(place->token_path, sizeof(place->token_path), "%s/api.token", place->folder);
    place->options = (struct api_options){.backend = &place->fake.backend,
                                          .socket_path = place->socket_path,
                                          .token_path = place->token_path,
                                          .listen = "127.0.0.1:0",
                                          .clock = hm_clock_system(),
                                          .random = hm_random_system()};
    *state = place;
    if (api_server_open(&place->options, &place->server, &error)) {
        print_error("%s\n", error.text);
        return -1;
    }
    read_token(place);
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;

    api_server_close(place->server);
    fake_release(&place->fake);
    (void)hm_remove_tree(place->folder, NULL);
    hm_free(place);
    return 0;
}

static const char *listening(const struct place *place)
{
    return api_server_listen(place->server);
}

/* One request on a connection of its own; the status. body may be NULL. */
static unsigned get(struct place *place, const char *target, struct hm_buf *body)
{
    struct http_answer answer = {0};
    struct http http;
    unsigned status;

    assert_true(http_open_unix(&http, place->socket_path));
    assert_true(http_send(&http, GET_UNIX, target));
    assert_true(http_receive(&http, &answer));
    status = answer.status;
    if (body)
        assert_int_equal(hm_buf_append(body, answer.body.data, answer.body.len), 0);
    http_answer_release(&answer);
    http_close(&http);
    return status;
}

/* Waits until /metrics has the line. */
static bool metrics_say(struct place *place, const char *line)
{
    const struct timespec nap = {.tv_nsec = 10000000};

    for (unsigned i = 0; i < EVENTUALLY_MS / 10; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf text = {0};

        assert_int_equal(get(place, "/metrics", &text), 200);
        if (strstr(hm_buf_cstr(&text), line))
            return true;
        (void)nanosleep(&nap, NULL);
    }
    return false;
}

/* --- who gets in ------------------------------------------------------------------------------ */

static unsigned tcp_status(struct place *place, const char *request, const char *header_wanted)
{
    struct http_answer answer = {0};
    struct http http;
    unsigned status;

    assert_true(http_open_tcp(&http, listening(place)));
    assert_true(http_send(&http, "%s", request));
    assert_true(http_receive(&http, &answer));
    if (header_wanted && !strstr(hm_buf_cstr(&answer.head), header_wanted))
        fail_msg("no %s in %s", header_wanted, hm_buf_cstr(&answer.head));
    status = answer.status;
    http_answer_release(&answer);
    http_close(&http);
    return status;
}

static void test_tcp(void **state)
{
    struct place *place = *state;
    char request[512];

    assert_int_equal(strncmp(listening(place), "127.0.0.1:", 10), 0);
    (void)snprintf(request, sizeof(request), GET_TCP, "/node", listening(place), place->token);
    assert_int_equal(tcp_status(place, request, "X-Content-Type-Options: nosniff"), 200);
    (void)snprintf(request, sizeof(request), GET_TCP, "/node", "evil.example", place->token);
    assert_int_equal(tcp_status(place, request, "application/problem+json"), 403);
    (void)snprintf(request, sizeof(request), GET_TCP, "/node", "localhost", "0000");
    assert_int_equal(tcp_status(place, request, "WWW-Authenticate: Bearer"), 401);
    assert_int_equal(tcp_status(place, "GET /node HTTP/1.1\r\nHost: localhost\r\n\r\n", NULL), 401);
    assert_int_equal(tcp_status(place, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", NULL),
                     200);
    assert_int_equal(tcp_status(place, "DELETE /node HTTP/1.1\r\nHost: localhost\r\n\r\n", NULL),
                     401);
    (void)snprintf(
        request, sizeof(request),
        "PUT /node HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: "
        "2\r\n\r\n{}",
        place->token);
    assert_int_equal(tcp_status(place, request, "Allow: GET, HEAD\r\n"), 405);
    (void)snprintf(request, sizeof(request),
                   "GET /node HTTP/1.1\r\nHost: localhost\r\nOrigin: "
                   "http://evil.example\r\nAuthorization: Bearer "
                   "%s\r\n\r\n",
                   place->token);
    assert_int_equal(tcp_status(place, request, NULL), 403);
}

static void test_files_are_private(void **state)
{
    struct place *place = *state;
    struct stat info;
    char before[65];

    assert_int_equal(stat(place->socket_path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(stat(place->token_path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    memcpy(before, place->token, sizeof(before));
    api_server_close(place->server);
    place->server = NULL;
    assert_int_equal(lstat(place->socket_path, &info), -1); /* gone with the server */
    assert_int_equal(api_server_open(&place->options, &place->server, NULL), 0);
    read_token(place);
    assert_string_equal(before, place->token); /* kept */
}

static void *connect_as_other(void *ctx)
{
    struct place *place = ctx;
    struct http_answer answer = {0};
    struct http http;

    /* The system call of this thread only; the C library's would change the whole process. */
    if (syscall(SYS_setresuid, -1, FOREIGN_USER_ID, -1) != 0)
        return NULL;
    if (http_open_unix(&http, place->socket_path) && http_send(&http, GET_UNIX, "/node") &&
        http_receive(&http, &answer) && answer.status == 403)
        place->fake.duration_seen = 403;
    http_answer_release(&answer);
    http_close(&http);
    return NULL;
}

/* Even where the file's mode would let somebody in, the kernel's word for the peer does not. */
static void test_other_users_are_refused(void **state)
{
    struct place *place = *state;
    pthread_t thread;

    if (geteuid() != 0) {
        print_message("needs root to become another user\n");
        skip();
    }
    assert_int_equal(chmod(place->folder, 0755), 0);
    assert_int_equal(chmod(place->socket_path, 0666), 0);
    assert_int_equal(pthread_create(&thread, NULL, connect_as_other, place), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(place->fake.duration_seen, 403);
}

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

    if (worker->tcp ? !http_open_tcp(&http, listening(place))
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
    assert_true(metrics_say(
        place,
        "hypermesh_http_requests_total{method=\"GET\",route=\"/assets\",status=\"200\"} 640"));
    assert_true(metrics_say(
        place, "hypermesh_http_request_duration_seconds_count{method=\"POST\",route=\"/accounts/"
               "{account}/bond\"} 640"));
    assert_true(metrics_say(place, "hypermesh_http_connections 1\n")); /* the one that asks */
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
    assert_int_equal(get(place, "/livez", NULL), 200);
    assert_int_equal(get(place, "/assets", NULL), 200);
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
    assert_int_equal(get(place, "/livez", NULL), 200);
    assert_int_equal(get(place, "/node", &body), 503);
    assert_non_null(strstr(hm_buf_cstr(&body), "too many connections"));
    for (size_t i = 0; i < HM_COUNT_OF(idle); i++)
        http_close(&idle[i]);
    assert_true(metrics_say(place, "hypermesh_http_connections 1\n"));
    assert_int_equal(get(place, "/node", NULL), 200);
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
               "Content-Length: 1048577\r\n\r\n"));
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
    assert_true(http_send(&http, "%s", head) && send_chunks(&http, 300) &&
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
    assert_int_equal(get(place, target, NULL), 414);
    assert_true(http_open_unix(&http, place->socket_path));
    assert_true(http_send(&http, "GET /node HTTP/1.1\r\nHost: node\r\n"));
    for (unsigned i = 0; i < 100 && alive; i++)
        alive = http_send(&http, "X-%u: %s\r\n", i, target);
    if (http_receive_head(&http, &answer))
        assert_in_range(answer.status, 400, 499);
    http_answer_release(&answer);
    http_close(&http);
    assert_int_equal(get(place, "/node", NULL), 200);
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
    assert_int_equal(get(place, "/node", NULL), 200);
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
    assert_true(metrics_say(place, "hypermesh_http_waits 1\n"));
    http_close(&http);
    assert_true(metrics_say(place, "hypermesh_http_waits 0\n"));
}

static void test_closing_cuts_streams(void **state)
{
    struct place *place = *state;
    uint64_t started_ns = hm_mono_ns(hm_clock_system());
    struct http_answer answer = {0};
    struct http http;

    fake_log(&place->fake, 1, "something");
    assert_true(http_open_tcp(&http, listening(place)));
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

/* --- opening ---------------------------------------------------------------------------------- */

static int open_with(struct place *place, const char *listen_at, const char *socket_path,
                     struct hm_error *error)
{
    struct api_options options = place->options;
    struct api_server *second = NULL;
    int rc;

    options.listen = listen_at;
    options.socket_path = socket_path;
    rc = api_server_open(&options, &second, error);
    api_server_close(second);
    return rc;
}

static void test_addresses(void **state)
{
    static const char *const refused[] = {"0.0.0.0:7470",    "10.1.2.3:80",     "[::]:0",
                                          "[2001:db8::1]:1", "example.org:80",  "127.0.0.1",
                                          "127.0.0.1:",      "127.0.0.1:65536", ":80",
                                          "[::1:80"};
    struct place *place = *state;
    struct hm_error error = {0};
    char other[128];
    char used[64];

    (void)snprintf(other, sizeof(other), "%s/other.sock", place->folder);
    for (size_t i = 0; i < HM_COUNT_OF(refused); i++)
        assert_int_equal(open_with(place, refused[i], other, &error), HM_EINVAL);
    assert_int_equal(open_with(place, "localhost:0", other, &error), 0);
    assert_int_equal(open_with(place, "", other, &error), 0);
    if (open_with(place, "[::1]:0", other, &error) != 0)
        print_message("no IPv6 here: %s\n", error.text);
    (void)snprintf(used, sizeof(used), "%s", listening(place));
    assert_int_equal(open_with(place, used, other, &error), HM_EBUSY);
    assert_non_null(strstr(error.text, "--listen"));
    assert_int_equal(open_with(place, "", place->socket_path, &error),
                     HM_EBUSY); /* somebody answers */
    assert_int_equal(get(place, "/livez", NULL), 200);
}

static void test_socket_files(void **state)
{
    struct place *place = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct hm_error error = {0};
    char path[200];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/stale.sock", place->folder);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.90s", path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(fd); /* the file stays, nobody answers */
    assert_int_equal(open_with(place, "", path, &error), 0);
    assert_int_equal(hm_file_replace(path, "precious", 8, 0600, NULL), 0);
    assert_int_equal(open_with(place, "", path, &error), HM_EEXIST);
    assert_int_equal(access(path, F_OK), 0);
    memset(path, 'p', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(open_with(place, "", path, &error), HM_EINVAL);
}

static void test_token_files(void **state)
{
    struct place *place = *state;
    struct hm_error error = {0};
    char other[128];

    (void)snprintf(other, sizeof(other), "%s/other.sock", place->folder);
    assert_int_equal(chmod(place->token_path, 0640), 0);
    assert_int_equal(open_with(place, "127.0.0.1:0", other, &error), HM_EPERM);
    assert_int_equal(hm_file_replace(place->token_path, "short\n", 6, 0600, NULL), 0);
    assert_int_equal(open_with(place, "127.0.0.1:0", other, &error), HM_ECORRUPT);
    assert_int_equal(unlink(place->token_path), 0);
    assert_int_equal(symlink("/etc/hostname", place->token_path), 0);
    assert_int_not_equal(open_with(place, "127.0.0.1:0", other, &error), 0);
    assert_int_equal(unlink(place->token_path), 0);
    assert_int_equal(open_with(place, "127.0.0.1:0", other, &error), 0);
    assert_int_equal(access(place->token_path, F_OK), 0);
    /* without TCP nobody needs one */
    assert_int_equal(unlink(place->token_path), 0);
    assert_int_equal(open_with(place, "", other, &error), 0);
    assert_int_equal(access(place->token_path, F_OK), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tcp),
        TEST(test_files_are_private),
        TEST(test_other_users_are_refused),
        TEST(test_keep_alive),
        TEST(test_head),
        TEST(test_slow_client),
        TEST(test_many_at_once),
        TEST(test_blocked_acts_do_not_block_others),
        TEST(test_too_many_connections),
        TEST(test_announced_body_too_long),
        TEST(test_chunked_bodies),
        TEST(test_long_heads),
        TEST(test_garbage),
        TEST(test_followed_log),
        TEST(test_reader_goes_away),
        TEST(test_closing_cuts_streams),
        TEST(test_closing_waits_for_acts),
        TEST(test_addresses),
        TEST(test_socket_files),
        TEST(test_token_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
