/* Who gets in, and what the server listens on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "server_place.h"

#define FOREIGN_USER_ID 65533

/* --- who gets in ------------------------------------------------------------------------------ */

static unsigned tcp_status(struct place *place, const char *request, const char *header_wanted)
{
    struct http_answer answer = {0};
    struct http http;
    unsigned status;

    assert_true(http_open_tcp(&http, place_listening(place)));
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

    assert_int_equal(strncmp(place_listening(place), "127.0.0.1:", 10), 0);
    (void)snprintf(request, sizeof(request), GET_TCP, "/node", place_listening(place),
                   place->token);
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
    place_read_token(place);
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
    (void)snprintf(used, sizeof(used), "%s", place_listening(place));
    assert_int_equal(open_with(place, used, other, &error), HM_EBUSY);
    assert_non_null(strstr(error.text, "--listen"));
    assert_int_equal(open_with(place, "", place->socket_path, &error),
                     HM_EBUSY); /* somebody answers */
    assert_int_equal(place_get(place, "/livez", NULL), 200);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tcp),       TEST(test_files_are_private), TEST(test_other_users_are_refused),
        TEST(test_addresses), TEST(test_socket_files),      TEST(test_token_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
