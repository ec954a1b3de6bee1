/* ETags and conditions; answers remembered by their Idempotency-Key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include "api_test.h"

#define UPDATE "{\"price_per_hour\":\"2\"}"
#define BOND   "{\"amount\":\"1\"}"

struct ask {
    const char *method, *target, *body;
    const char *if_match, *if_none_match, *key;
    uid_t uid; /* beside the owner; 0 */
    bool other_uid;
};

static unsigned ask_into(struct api_core *core, const struct ask *ask,
                         struct api_response *response)
{
    const struct api_request request = {
        .method = ask->method,
        .target = ask->target,
        .content_type = ask->body ? "application/json" : NULL,
        .if_match = ask->if_match,
        .if_none_match = ask->if_none_match,
        .idempotency_key = ask->key,
        .transport = API_TRANSPORT_UNIX,
        .peer_known = true,
        .peer_uid = ask->other_uid ? ask->uid : geteuid(),
        .body = ask->body ? hm_slice_str(ask->body) : hm_slice_of(NULL, 0),
    };

    *response = (struct api_response){0};
    api_core_handle(core, &request, response);
    return response->status;
}

static unsigned ask(struct api_test *test, const struct ask *what)
{
    api_response_release(&test->response);
    return ask_into(&test->core, what, &test->response);
}

static const char *asset_target(unsigned index, const char *rest)
{
    static char target[WIRE_ID_TEXT_MAX + 40];
    char text[WIRE_ID_TEXT_MAX];

    api_test_asset_text(index, text);
    (void)snprintf(target, sizeof(target), "/assets/%s%s", text, rest);
    return target;
}

/* --- tags ------------------------------------------------------------------------------------- */

static void test_tags_of_things(void **state)
{
    struct api_test *test = *state;
    char etag[API_ETAG_MAX];
    char list[3 * API_ETAG_MAX];
    struct ask get = {.method = "GET", .target = asset_target(0, "")};

    assert_int_equal(ask(test, &get), 200);
    assert_int_equal(strlen(test->response.etag), 34);
    memcpy(etag, test->response.etag, sizeof(etag));
    assert_int_equal(ask(test, &get), 200);
    assert_string_equal(test->response.etag, etag); /* nothing changed */
    get.if_none_match = etag;
    assert_int_equal(ask(test, &get), 304);
    assert_int_equal(test->response.body.len, 0);
    assert_string_equal(test->response.etag, etag);
    (void)snprintf(list, sizeof(list), "\"other\" , W/%s", etag);
    get.if_none_match = list;
    assert_int_equal(ask(test, &get), 304); /* the weak comparison */
    get.if_none_match = "*";
    assert_int_equal(ask(test, &get), 304);
    get.if_none_match = "\"other\"";
    assert_int_equal(ask(test, &get), 200);
    get.if_none_match = "no quotes";
    assert_int_equal(ask(test, &get), 400);
    get = (struct ask){.method = "GET", .target = asset_target(1, "")};
    assert_int_equal(ask(test, &get), 200);
    assert_string_not_equal(test->response.etag, etag); /* another thing */
    get.target = "/assets";
    assert_int_equal(ask(test, &get), 200);
    assert_string_equal(test->response.etag, ""); /* lists have none */
}

static void test_conditions_of_acts(void **state)
{
    struct api_test *test = *state;
    char etag[API_ETAG_MAX];
    char weak[API_ETAG_MAX + 2];
    char privacy[200];
    struct ask get = {.method = "GET", .target = asset_target(0, "")};
    struct ask put = {.method = "PUT", .body = UPDATE};

    assert_int_equal(ask(test, &get), 200);
    memcpy(etag, test->response.etag, sizeof(etag));
    put.target = asset_target(0, "");
    put.if_match = etag;
    assert_int_equal(ask(test, &put), 200);
    put.if_match = "*";
    assert_int_equal(ask(test, &put), 200);
    assert_int_equal(test->fake.submits, 2);
    put.if_match = "\"stale\"";
    assert_int_equal(ask(test, &put), 412);
    assert_non_null(strstr(api_test_body(test), "HM_ECONFLICT"));
    assert_non_null(strstr(api_test_body(test), "GET it again"));
    (void)snprintf(weak, sizeof(weak), "W/%s", etag);
    put.if_match = weak;
    assert_int_equal(ask(test, &put), 412); /* If-Match compares strongly */
    put.if_match = "\"unfinished";
    assert_int_equal(ask(test, &put), 400);
    put.if_match = NULL;
    put.if_none_match = "*";
    assert_int_equal(ask(test, &put), 412); /* it exists */
    assert_int_equal(test->fake.submits, 2);
    /* a thing that the body names */
    api_test_asset_text(0, weak);
    (void)snprintf(privacy, sizeof(privacy), "{\"asset\":\"%s\",\"level\":\"5\"}", weak);
    put = (struct ask){
        .method = "PUT", .target = "/privacy/level", .body = privacy, .if_match = "\"stale\""};
    assert_int_equal(ask(test, &put), 412);
    put.if_match = etag;
    assert_int_equal(ask(test, &put), 200);
    /* what shows no thing takes no condition */
    put = (struct ask){
        .method = "POST", .target = "/accounts", .body = "{\"name\":\"x\"}", .if_match = etag};
    assert_int_equal(ask(test, &put), 400);
    /* a thing that is not there has no tag */
    put = (struct ask){.method = "DELETE", .target = asset_target(77, ""), .if_match = "*"};
    assert_int_equal(ask(test, &put), 412);
}

struct actor {
    struct api_test *test;
    struct ask what;
    struct api_response response;
    pthread_t thread;
};

static void *act(void *ctx)
{
    struct actor *actor = ctx;

    (void)ask_into(&actor->test->core, &actor->what, &actor->response);
    return NULL;
}

static void nap(unsigned ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&pause, NULL);
}

static void actor_start(struct actor *actor)
{
    assert_int_equal(pthread_create(&actor->thread, NULL, act, actor), 0);
}

static unsigned actor_end(struct actor *actor)
{
    unsigned status;

    assert_int_equal(pthread_join(actor->thread, NULL), 0);
    status = actor->response.status;
    api_response_release(&actor->response);
    return status;
}

/* Nobody changes a thing between another's condition and his act. */
static void test_conditional_acts_exclude_others(void **state)
{
    struct api_test *test = *state;
    HM_AUTOFREE char *same = hm_strdup(asset_target(0, ""));
    HM_AUTOFREE char *other = hm_strdup(asset_target(1, ""));
    struct actor first = {.test = test, .what = {"PUT", same, UPDATE, .if_match = "*"}};
    struct actor plain = {.test = test, .what = {.method = "PUT", .target = same, .body = UPDATE}};
    struct actor apart = {.test = test, .what = {"PUT", other, UPDATE, .if_match = "*"}};

    fake_hold(&test->fake, true);
    actor_start(&first);
    while (fake_waiting(&test->fake) < 1)
        nap(2);
    actor_start(&plain);
    actor_start(&apart);
    while (fake_waiting(&test->fake) < 2) /* another thing is free */
        nap(2);
    nap(100);
    assert_int_equal(fake_waiting(&test->fake), 2); /* the same one is not */
    fake_hold(&test->fake, false);
    assert_int_equal(actor_end(&first), 200);
    assert_int_equal(actor_end(&plain), 200);
    assert_int_equal(actor_end(&apart), 200);
}

/* Acts without a condition still wait for a block together. */
static void test_plain_acts_run_together(void **state)
{
    struct api_test *test = *state;
    HM_AUTOFREE char *target = hm_strdup(asset_target(0, ""));
    struct actor actors[16];

    fake_hold(&test->fake, true);
    for (size_t i = 0; i < HM_COUNT_OF(actors); i++) {
        actors[i] = (struct actor){.test = test,
                                   .what = {.method = "PUT", .target = target, .body = UPDATE}};
        actor_start(&actors[i]);
    }
    while (fake_waiting(&test->fake) < HM_COUNT_OF(actors))
        nap(2);
    fake_hold(&test->fake, false);
    for (size_t i = 0; i < HM_COUNT_OF(actors); i++)
        assert_int_equal(actor_end(&actors[i]), 200);
}

/* --- Idempotency-Key ----------------------------------------------------------------------------- */

static void test_repeats_are_not_done_again(void **state)
{
    struct api_test *test = *state;
    struct ask bond = {"POST", "/accounts/user/bond", BOND, .key = "order 66"};
    HM_AUTOFREE char *first = NULL;

    assert_int_equal(ask(test, &bond), 200);
    assert_false(test->response.replayed);
    first = hm_strdup(api_test_body(test));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(ask(test, &bond), 200);
        assert_true(test->response.replayed);
        assert_string_equal(api_test_body(test), first);
        assert_string_equal(test->response.content_type, "application/json");
    }
    assert_int_equal(test->fake.submits, 1);
    bond.body = "{\"amount\":\"2\"}";
    assert_int_equal(ask(test, &bond), 422);
    bond.body = BOND;
    bond.target = "/accounts/user/unbond";
    assert_int_equal(ask(test, &bond), 422);
    assert_int_equal(test->fake.submits, 1);
    bond.key = "another";
    assert_int_equal(ask(test, &bond), 200);
    assert_int_equal(test->fake.submits, 2);
    /* somebody else's keys are his own */
    bond = (struct ask){"POST",   "/accounts/user/bond", BOND, .key = "order 66",
                        .uid = 0, .other_uid = true};
    if (geteuid() != 0) {
        assert_int_equal(ask(test, &bond), 200);
        assert_false(test->response.replayed);
    }
}

static void test_which_answers_are_kept(void **state)
{
    struct api_test *test = *state;
    struct ask bond = {"POST", "/accounts/user/bond", BOND, .key = "k"};

    test->fake.fail = HM_EFUNDS;
    assert_int_equal(ask(test, &bond), 402);
    test->fake.fail = 0;
    assert_int_equal(ask(test, &bond), 402); /* the ledger refused it: so it stays */
    assert_true(test->response.replayed);
    assert_string_equal(test->response.content_type, API_PROBLEM_TYPE);
    bond.key = "l";
    test->fake.fail = HM_EBUSY;
    assert_int_equal(ask(test, &bond), 503);
    test->fake.fail = 0;
    assert_int_equal(ask(test, &bond), 200); /* it had not been taken */
    assert_false(test->response.replayed);
    bond.key = "m";
    bond.body = "{\"amount\":";
    assert_int_equal(ask(test, &bond), 400);
    bond.body = BOND;
    assert_int_equal(ask(test, &bond), 200); /* it was no request yet */
    /* a condition that does not hold is no answer to keep either */
    bond = (struct ask){"PUT", asset_target(0, ""), UPDATE, .key = "n", .if_match = "\"stale\""};
    assert_int_equal(ask(test, &bond), 412);
    bond.if_match = NULL;
    assert_int_equal(ask(test, &bond), 200);
}

static void test_bad_keys(void **state)
{
    struct api_test *test = *state;
    char longest[API_IDEMPOTENCY_KEY_MAX_CHARS + 2];
    struct ask bond = {"POST", "/accounts/user/bond", BOND, .key = ""};

    assert_int_equal(ask(test, &bond), 400);
    bond.key = "caf\xc3\xa9";
    assert_int_equal(ask(test, &bond), 400);
    memset(longest, 'x', sizeof(longest));
    longest[API_IDEMPOTENCY_KEY_MAX_CHARS + 1] = '\0';
    bond.key = longest;
    assert_int_equal(ask(test, &bond), 400);
    longest[API_IDEMPOTENCY_KEY_MAX_CHARS] = '\0';
    assert_int_equal(ask(test, &bond), 200);
    assert_int_equal(test->fake.submits, 1);
}

static void test_repeat_while_the_first_runs(void **state)
{
    struct api_test *test = *state;
    struct actor first = {.test = test, .what = {"POST", "/accounts/user/bond", BOND, .key = "k"}};

    fake_hold(&test->fake, true);
    actor_start(&first);
    while (fake_waiting(&test->fake) < 1)
        nap(2);
    assert_int_equal(ask(test, &first.what), 409);
    assert_true(test->response.retry);
    fake_hold(&test->fake, false);
    assert_int_equal(actor_end(&first), 200);
    assert_int_equal(ask(test, &first.what), 200);
    assert_true(test->response.replayed);
    assert_int_equal(test->fake.submits, 1);
}

/* A store of one record, which outlives the server. */
static struct {
    uint8_t key[32];
    uint8_t record[4096];
    size_t len;
    unsigned puts;
    int fail;
} store;

static int store_get(void *ctx, const uint8_t key[32], struct hm_arena *arena, struct hm_slice *out,
                     struct hm_error *error)
{
    (void)ctx;
    if (store.len == 0 || memcmp(key, store.key, 32) != 0)
        return hm_fail(error, HM_ENOTFOUND, "no such answer");
    *out = hm_slice_of(hm_arena_dup(arena, store.record, store.len), store.len);
    return 0;
}

static int store_put(void *ctx, const uint8_t key[32], uint64_t expires_ms, struct hm_slice record,
                     struct hm_error *error)
{
    (void)ctx;
    assert_true(expires_ms > hm_wall_ms(hm_clock_system()));
    assert_true(record.len <= sizeof(store.record));
    if (store.fail)
        return hm_fail(error, store.fail, "the disk is full");
    memcpy(store.key, key, 32);
    if (record.len > 0)
        memcpy(store.record, record.data, record.len);
    store.len = record.len;
    store.puts++;
    return 0;
}

static void with_store(struct api_test *test)
{
    memset(&store, 0, sizeof(store));
    test->fake.backend.idempotency_get = store_get;
    test->fake.backend.idempotency_put = store_put;
}

static void restart(struct api_test *test)
{
    api_response_release(&test->response);
    api_core_release(&test->core);
    assert_int_equal(api_core_init(&test->core, &test->fake.backend, hm_clock_system(), NULL), 0);
}

static void test_answers_outlive_the_server(void **state)
{
    struct api_test *test = *state;
    struct ask bond = {"POST", "/accounts/user/bond", BOND, .key = "k"};
    HM_AUTOFREE char *first = NULL;

    with_store(test);
    assert_int_equal(ask(test, &bond), 200);
    assert_int_equal(store.puts, 2); /* that it was begun, and how it ended */
    first = hm_strdup(api_test_body(test));
    restart(test);
    assert_int_equal(ask(test, &bond), 200);
    assert_true(test->response.replayed);
    assert_string_equal(api_test_body(test), first);
    bond.body = "{\"amount\":\"3\"}";
    assert_int_equal(ask(test, &bond), 422);
    assert_int_equal(test->fake.submits, 1);
    /* what could not be written down is not begun */
    store.fail = HM_EIO;
    bond.key = "l";
    assert_int_equal(ask(test, &bond), 500);
    assert_int_equal(test->fake.submits, 1);
    store.fail = 0;
    assert_int_equal(ask(test, &bond), 200);
    assert_int_equal(test->fake.submits, 2);
    /* what came to nothing leaves nothing */
    test->fake.fail = HM_EBUSY;
    bond.key = "m";
    assert_int_equal(ask(test, &bond), 503);
    assert_int_equal(store.len, 0);
}

/* Begun, and then the node ended: nobody can say what became of it, and so it is not done again. */
static void test_cut_short(void **state)
{
    struct api_test *test = *state;
    struct ask bond = {"POST", "/accounts/user/bond", BOND, .key = "k"};
    struct api_remembered record = {0};
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};

    with_store(test);
    assert_int_equal(ask(test, &bond), 200);
    assert_int_equal(api_remembered_parse(hm_slice_of(store.record, store.len), &record, NULL), 0);
    record.status = 0;
    record.body = (struct hm_slice){0};
    assert_int_equal(api_remembered_pack(&record, &packed), 0);
    memcpy(store.record, packed.data, packed.len);
    store.len = packed.len;
    restart(test);
    assert_int_equal(ask(test, &bond), 409);
    assert_non_null(strstr(api_test_body(test), "cut short"));
    assert_int_equal(test->fake.submits, 1);
    /* a day later it is forgotten */
    memset(store.record + 33, 0, 8);
    assert_int_equal(ask(test, &bond), 200);
    assert_int_equal(test->fake.submits, 2);
    store.record[0] = 9;
    restart(test);
    assert_int_equal(ask(test, &bond), 500); /* damaged */
}

static void test_records_from_outside(void **state)
{
    struct api_remembered record = {.status = 201, .problem = true, .body = hm_slice_str("{}")};
    struct api_remembered out = {0};
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};

    (void)state;
    memset(record.digest, 7, 32);
    record.begun_ms = 12345;
    assert_int_equal(api_remembered_pack(&record, &packed), 0);
    assert_int_equal(api_remembered_parse(hm_buf_slice(&packed), &out, NULL), 0);
    assert_int_equal(out.status, 201);
    assert_int_equal(out.begun_ms, 12345);
    assert_true(out.problem && !out.cut);
    assert_memory_equal(out.digest, record.digest, 32);
    assert_true(hm_slice_equal(out.body, record.body));
    for (size_t len = 0; len + 2 < packed.len; len++)
        assert_int_equal(api_remembered_parse(hm_slice_of(packed.data, len), &out, NULL),
                         HM_ECORRUPT);
    packed.data[45] = 4; /* a flag that nobody knows */
    assert_int_equal(api_remembered_parse(hm_buf_slice(&packed), &out, NULL), HM_ECORRUPT);
    packed.data[45] = 0;
    packed.data[44] = 1; /* status 1 */
    packed.data[43] = 0;
    assert_int_equal(api_remembered_parse(hm_buf_slice(&packed), &out, NULL), HM_ECORRUPT);
}

/* Whatever is asked, no more than so many answers are kept; the oldest go first. */
static void test_memory_is_bounded(void **state)
{
    struct api_test *test = *state;
    struct ask bond = {.method = "POST", .target = "/accounts/user/bond", .body = BOND};
    char key[16];

    test->core.idempotency.entries_max = 8;
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(key, sizeof(key), "key %u", i);
        bond.key = key;
        assert_int_equal(ask(test, &bond), 200);
        assert_true(test->core.idempotency.count <= 8);
    }
    bond.key = "key 19";
    assert_int_equal(ask(test, &bond), 200);
    assert_true(test->response.replayed);
    bond.key = "key 0";
    assert_int_equal(ask(test, &bond), 200);
    assert_false(test->response.replayed);
    test->core.idempotency.bytes_max = 1;
    bond.key = "key 21";
    assert_int_equal(ask(test, &bond), 200);
    assert_true(test->core.idempotency.count <= 1);
}

/* Streams are not remembered: what they say is of their moment. */
static void test_streams_are_not_kept(void **state)
{
    struct api_test *test = *state;
    struct ask verify = {"POST", "/chain/verify", NULL, .key = "k"};

    with_store(test);
    for (unsigned i = 0; i < 2; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf out = {0};

        assert_int_equal(ask(test, &verify), 200);
        assert_non_null(test->response.stream);
        assert_int_equal(api_test_drain(test, &out), API_STREAM_END);
    }
    assert_int_equal(store.len, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_test_setup, api_test_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tags_of_things),
        TEST(test_conditions_of_acts),
        TEST(test_conditional_acts_exclude_others),
        TEST(test_plain_acts_run_together),
        TEST(test_repeats_are_not_done_again),
        TEST(test_which_answers_are_kept),
        TEST(test_bad_keys),
        TEST(test_repeat_while_the_first_runs),
        TEST(test_answers_outlive_the_server),
        TEST(test_cut_short),
        TEST(test_records_from_outside),
        TEST(test_memory_is_bounded),
        TEST(test_streams_are_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
