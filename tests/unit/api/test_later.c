/* Acts that go on without a thread that waits for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include <sys/resource.h>

#include "api_server.h"
#include "server_place.h"

#define ACTORS      512
#define DESCRIPTORS (2 * API_LATER_MAX + 1000) /* both ends are ours */

static void nap(unsigned ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&pause, NULL);
}

static unsigned long threads_now(void)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    const char *at;

    assert_int_equal(hm_file_read("/proc/self/status", 1 << 16, &text, NULL), 0);
    at = strstr(hm_buf_cstr(&text), "Threads:");
    return at ? strtoul(at + strlen("Threads:"), NULL, 10) : 0;
}

#define PUT_ETCD                                                                                   \
    "POST /v3/kv/put HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: " \
    "25\r\n\r\n{\"key\":\"YQ==\",\"value\":\"\"}"

static void set_later(struct fake *fake, bool none, bool again, int fail)
{
    (void)pthread_mutex_lock(&fake->lock);
    fake->no_later = none;
    fake->later_again = again;
    fake->fail = fail;
    (void)pthread_mutex_unlock(&fake->lock);
}

static unsigned submits_of(struct fake *fake)
{
    unsigned submits;

    (void)pthread_mutex_lock(&fake->lock);
    submits = fake->submits;
    (void)pthread_mutex_unlock(&fake->lock);
    return submits;
}

static void put_and_expect(struct place *place, unsigned status, const char *says)
{
    struct http_answer answer = {0};
    struct http http;

    assert_true(http_open_unix(&http, place->socket_path));
    assert_true(http_send(&http, "%s", PUT_ETCD));
    assert_true(http_receive(&http, &answer));
    assert_int_equal(answer.status, status);
    assert_non_null(strstr(hm_buf_cstr(&answer.body), says));
    http_answer_release(&answer);
    http_close(&http);
}

/* Puts under way cost no threads, however many; each gets its own answer. */
static void test_puts_need_no_threads(void **state)
{
    struct place *place = *state;
    struct http *http = hm_calloc(ACTORS, sizeof(*http));
    HM_AUTOFREE bool *seen = hm_calloc(ACTORS + 2, sizeof(*seen));
    unsigned long threads = threads_now();

    fake_hold_later(&place->fake, true);
    for (unsigned i = 0; i < ACTORS; i++) {
        assert_true(http_open_unix(&http[i], place->socket_path));
        assert_true(http_send(&http[i], "%s", PUT_ETCD));
    }
    while (fake_later_count(&place->fake) < ACTORS)
        nap(5);
    assert_int_equal(threads_now(), threads);
    assert_int_equal(place_get(place, "/livez", NULL), 200);
    fake_hold_later(&place->fake, false);
    for (unsigned i = 0; i < ACTORS; i++) {
        struct http_answer answer = {0};
        const char *revision;

        assert_true(http_receive(&http[i], &answer));
        assert_int_equal(answer.status, 200);
        revision = strstr(hm_buf_cstr(&answer.body), "\"revision\":\"");
        assert_non_null(revision);
        unsigned long at = strtoul(revision + strlen("\"revision\":\""), NULL, 10);
        assert_true(at < ACTORS + 2 && !seen[at]);
        seen[at] = true;
        http_answer_release(&answer);
        http_close(&http[i]);
    }
    hm_free(http);
    assert_int_equal(submits_of(&place->fake), ACTORS);
}

/* Where the node cannot, or says that it must be done again, a thread waits for the act. */
static void test_puts_with_threads(void **state)
{
    struct place *place = *state;

    put_and_expect(place, 200, "\"revision\":\"2\"");
    set_later(&place->fake, true, false, 0);
    put_and_expect(place, 200, "\"revision\":\"3\"");
    set_later(&place->fake, false, true, 0);
    put_and_expect(place, 200, "\"revision\":\"4\"");
    assert_int_equal(submits_of(&place->fake), 3);
    set_later(&place->fake, false, false, HM_EPERM);
    put_and_expect(place, 403, "permission denied");
}

/* Past the limit they are refused, and those under way end as they should. */
static void test_too_many_puts(void **state)
{
    struct place *place = *state;
    struct http *http = hm_calloc(API_LATER_MAX, sizeof(*http));
    struct rlimit limit = {0};

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < DESCRIPTORS) {
        print_message("skipped: %u descriptors are needed, and %lu are allowed\n", DESCRIPTORS,
                      (unsigned long)limit.rlim_cur);
        hm_free(http);
        skip();
    }
    fake_hold_later(&place->fake, true);
    for (unsigned i = 0; i < API_LATER_MAX; i++) {
        assert_true(http_open_unix(&http[i], place->socket_path));
        assert_true(http_send(&http[i], "%s", PUT_ETCD));
    }
    while (fake_later_count(&place->fake) < API_LATER_MAX)
        nap(5);
    put_and_expect(place, 503, "too many requests under way");
    fake_hold_later(&place->fake, false);
    for (unsigned i = 0; i < API_LATER_MAX; i++) {
        struct http_answer answer = {0};

        assert_true(http_receive(&http[i], &answer));
        assert_int_equal(answer.status, 200);
        http_answer_release(&answer);
        http_close(&http[i]);
    }
    hm_free(http);
    put_and_expect(place, 200, "revision");
}

static void *let_go(void *ctx)
{
    nap(300);
    fake_hold_later(ctx, false);
    return NULL;
}

/* The server's end waits for them, and they get their answers. */
static void test_puts_when_the_server_ends(void **state)
{
    struct place *place = *state;
    struct http_answer answer = {0};
    struct http http;
    pthread_t thread;

    fake_hold_later(&place->fake, true);
    assert_true(http_open_unix(&http, place->socket_path));
    assert_true(http_send(&http, "%s", PUT_ETCD));
    while (fake_later_count(&place->fake) < 1)
        nap(5);
    assert_int_equal(pthread_create(&thread, NULL, let_go, &place->fake), 0);
    api_server_close(place->server);
    place->server = NULL;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(http_receive(&http, &answer));
    assert_int_equal(answer.status, 200);
    http_answer_release(&answer);
    http_close(&http);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_puts_need_no_threads),
        TEST(test_puts_with_threads),
        TEST(test_too_many_puts),
        TEST(test_puts_when_the_server_ends),
    };

    return cmocka_run_group_tests_name("api_later", tests, NULL, NULL);
}
