/* How new answers are, waiting until they are new enough, and blocks for light clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <time.h>

#include "api_fresh.h"
#include "api_test.h"

/* GETs that show nothing of the ledger, or say the height themselves. */
static const char *const apart[] = {"livez",       "readyz",       "openapi",    "metrics",
                                    "node_status", "node_scan",    "job_list",   "node_doctor",
                                    "job_logs",    "job_wait",     "image_list", "light_block",
                                    "ticket_list", "etcd_version", "etcd_health"};

static void test_every_get_of_the_ledger(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_route_count; i++) {
        const struct api_route *route = &api_routes[i];
        bool reads = strcmp(route->method, "GET") == 0;

        for (size_t k = 0; k < HM_COUNT_OF(apart); k++)
            reads = reads && strcmp(apart[k], route->id) != 0;
        if (((route->flags & API_LEDGER) != 0) != reads)
            fail_msg("%s: %s", route->id, reads ? "lacks API_LEDGER" : "has API_LEDGER");
    }
}

static void test_answers_say_how_new(void **state)
{
    struct api_test *test = *state;

    assert_int_equal(api_test_ask(test, "GET", "/accounts/user", NULL, NULL), 200);
    assert_true(test->response.fresh);
    assert_int_equal(test->response.read_at.height, FAKE_BLOCKS);
    assert_int_equal(test->response.read_at.time_ms, 1700000000000);
    assert_true(test->response.age_ms > 1000000000);
    assert_int_equal(api_test_ask(test, "GET", "/accounts/nobody", NULL, NULL), 404);
    assert_true(test->response.fresh);
    assert_int_equal(api_test_ask(test, "GET", "/node", NULL, NULL), 200);
    assert_false(test->response.fresh);
    fake_set_ready(&test->fake, false);
    (void)api_test_ask(test, "GET", "/accounts/user", NULL, NULL);
    assert_false(test->response.fresh);
}

static void test_heights_that_are_there(void **state)
{
    static const char *const targets[] = {"/accounts/user?min_height=7",
                                          "/accounts/user?wait_ms=0&min_height=7",
                                          "/assets?limit=2&min_height=1&kind=cpu",
                                          "/blocks?min_height=0",
                                          "/kv?prefix=a&min_height=3",
                                          "/events?since=0&follow=0&min_height=2"};
    struct api_test *test = *state;

    for (size_t i = 0; i < HM_COUNT_OF(targets); i++)
        if (api_test_ask(test, "GET", targets[i], NULL, NULL) != 200)
            fail_msg("%s: %s", targets[i], api_test_body(test));
}

static void test_heights_that_are_not(void **state)
{
    struct api_test *test = *state;

    assert_int_equal(
        api_test_ask(test, "GET", "/accounts/user?min_height=19&wait_ms=20", NULL, NULL), 504);
    assert_non_null(strstr(api_test_body(test), "block 19"));
    assert_non_null(strstr(api_test_body(test), "block 7"));
    assert_int_equal(api_test_ask(test, "GET", "/blocks?min_height=8&wait_ms=0", NULL, NULL), 504);
    assert_int_equal(test->fake.asked, 0); /* a reader makes no blocks */
    atomic_store(&test->core.closing, true);
    assert_int_equal(api_test_ask(test, "GET", "/blocks?min_height=8&wait_ms=60000", NULL, NULL),
                     503);
}

static void test_what_makes_no_sense(void **state)
{
    static const char *const targets[] = {"/blocks?wait_ms=5",
                                          "/blocks?min_height=x",
                                          "/blocks?min_height=1&min_height=2",
                                          "/blocks?min_height=1&wait_ms=60001",
                                          "/jobs?min_height=1",
                                          "/node?min_height=1",
                                          "/light/7?min_height=1",
                                          "/light/0",
                                          "/light/x",
                                          "/light/9223372036854775808",
                                          "/light/latest?wait_ms=5",
                                          "/light/7?wait_ms=60001"};
    struct api_test *test = *state;

    for (size_t i = 0; i < HM_COUNT_OF(targets); i++)
        if (api_test_ask(test, "GET", targets[i], NULL, NULL) != 400)
            fail_msg("%s: %s", targets[i], api_test_body(test));
}

static void *add_later(void *ctx)
{
    const struct timespec nap = {.tv_nsec = 30000000};

    (void)nanosleep(&nap, NULL);
    fake_add_blocks(ctx, 2);
    return NULL;
}

static void test_waits_for_a_block(void **state)
{
    struct api_test *test = *state;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, add_later, &test->fake), 0);
    assert_int_equal(
        api_test_ask(test, "GET", "/accounts/user?min_height=9&wait_ms=20000", NULL, NULL), 200);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(test->response.read_at.height, 9);
}

/* What may wait must not keep the thread that polls, however its query is written. */
static void test_who_answers(void **state)
{
    static const struct {
        const char *target;
        enum api_manner manner;
    } rows[] = {{"/accounts/user", API_MANNER_QUICK},
                {"/accounts/user?min_height=1", API_MANNER_WAITS},
                {"/accounts/user?min%5Fheight=1", API_MANNER_WAITS},
                {"/light/7", API_MANNER_WAITS},
                {"/nothing?min_height=1", API_MANNER_QUICK}};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        const struct api_request request = {.method = "GET", .target = rows[i].target};

        if (api_core_manner(&request) != rows[i].manner)
            fail_msg("%s", rows[i].target);
    }
}

/* --- blocks for light clients ------------------------------------------------------------------ */

static int64_t light_height(struct api_test *test)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct hm_slice bytes = hm_buf_slice(&test->response.body);
    Hypermesh__Abci__LightBlock *block = NULL;

    hm_arena_init(&arena, 0);
    assert_string_equal(test->response.content_type, "application/octet-stream");
    assert_int_equal(
        WIRE_UNPACK(hypermesh__abci__light_block, bytes, bytes.len, &arena, &block, NULL), 0);
    return block->signed_header->header->height;
}

static void test_light_blocks(void **state)
{
    struct api_request again = {.method = "GET", .target = "/light/3"};
    struct api_test *test = *state;
    char etag[API_ETAG_MAX];

    assert_int_equal(api_test_ask(test, "GET", "/light/latest", NULL, NULL), 200);
    assert_int_equal(light_height(test), FAKE_BLOCKS);
    assert_string_equal(test->response.etag, ""); /* it is another one soon */
    assert_int_equal(api_test_ask(test, "GET", "/light/3", NULL, NULL), 200);
    assert_int_equal(light_height(test), 3);
    (void)snprintf(etag, sizeof(etag), "%s", test->response.etag);
    again.if_none_match = etag;
    assert_int_equal(api_test_send(test, &again), 304);
    assert_int_equal(api_test_ask(test, "GET", "/light/8", NULL, NULL), 404);
    test->fake.no_light = true;
    assert_int_equal(api_test_ask(test, "GET", "/light/latest", NULL, NULL), 501);
}

static void test_light_blocks_that_are_made(void **state)
{
    struct api_test *test = *state;

    assert_int_equal(api_test_ask(test, "GET", "/light/7?wait_ms=50", NULL, NULL), 200);
    assert_int_equal(test->fake.asked, 0); /* it was there */
    assert_int_equal(api_test_ask(test, "GET", "/light/8?wait_ms=20", NULL, NULL), 504);
    assert_true(test->fake.asked > 0);
    test->fake.makes_blocks = true;
    assert_int_equal(api_test_ask(test, "GET", "/light/9?wait_ms=20000", NULL, NULL), 200);
    assert_int_equal(light_height(test), 9);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_test_setup, api_test_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_get_of_the_ledger),
        cmocka_unit_test(test_who_answers),
        TEST(test_answers_say_how_new),
        TEST(test_heights_that_are_there),
        TEST(test_heights_that_are_not),
        TEST(test_what_makes_no_sense),
        TEST(test_waits_for_a_block),
        TEST(test_light_blocks),
        TEST(test_light_blocks_that_are_made),
    };

    return cmocka_run_group_tests_name("api_fresh", tests, NULL, NULL);
}
