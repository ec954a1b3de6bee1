/* An answer that holds a secret leaves no copy of it in memory that was given back, and is kept nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "freed_memory.h"
#include "server_place.h"

#define ANSWER_MAX_BYTES 4096

/* The answer on the stack: what the test has of it is not looked at. */
static void ask(struct place *place, const char *key, char answer[ANSWER_MAX_BYTES])
{
    size_t len = 0;
    struct http http;
    ssize_t got;

    assert_true(http_open_unix(&http, place->socket_path));
    assert_true(http_send(&http,
                          "POST /cluster/tickets HTTP/1.1\r\nHost: node\r\nConnection: close\r\n"
                          "Content-Type: application/json\r\nContent-Length: 2\r\n%s\r\n{}",
                          key));
    while ((got = recv(http.fd, answer + len, ANSWER_MAX_BYTES - 1 - len, 0)) > 0)
        len += (size_t)got;
    answer[len] = '\0';
    http_close(&http);
}

static void test_no_copy_is_left(void **state)
{
    struct place *place = *state;
    char answer[ANSWER_MAX_BYTES];

    freed_look_for(FAKE_TICKET, strlen(FAKE_TICKET));
    ask(place, "", answer);
    api_server_close(place->server); /* all its threads have ended */
    place->server = NULL;
    unsigned copies = freed_found();
    assert_non_null(strstr(answer, "HTTP/1.1 201"));
    assert_non_null(strstr(answer, "\"" FAKE_TICKET "\""));
    assert_int_equal(copies, 0);
}

static void test_it_is_not_kept_for_a_second_time(void **state)
{
    static const char key[] = "Idempotency-Key: one\r\n";
    struct place *place = *state;
    char answer[ANSWER_MAX_BYTES];

    ask(place, key, answer);
    assert_non_null(strstr(answer, "\"" FAKE_TICKET "\""));
    ask(place, key, answer);
    assert_non_null(strstr(answer, "HTTP/1.1 409"));
    assert_null(strstr(answer, FAKE_TICKET));
    assert_non_null(strstr(answer, "secret"));
}

/* The test sees what it looks for. */
static void test_the_test_looks(void **state)
{
    char *copy;

    (void)state;
    if (!freed_can_look())
        skip();
    copy = hm_strdup(FAKE_TICKET " and more");
    freed_look_for(FAKE_TICKET, strlen(FAKE_TICKET));
    hm_free(copy);
    assert_int_equal(freed_found(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_copy_is_left, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_it_is_not_kept_for_a_second_time, place_setup,
                                        place_teardown),
        cmocka_unit_test(test_the_test_looks),
    };

    return cmocka_run_group_tests_name("api_secret", tests, NULL, NULL);
}
