/* From request to answer: who may ask, what is refused and how, and which operation a request
 * becomes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api_test.h"

#define TOKEN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static unsigned ask(struct api_test *test, const struct api_request *request)
{
    api_response_release(&test->response);
    test->response = (struct api_response){0};
    api_core_handle(&test->core, request, &test->response);
    return test->response.status;
}

/* Checks that the last answer is a problem document, and returns whether its text holds `part`. */
static bool problem_says(struct api_test *test, const char *code, const char *part)
{
    json_t *value = api_test_parse(test);
    bool says;

    assert_string_equal(test->response.content_type, "application/problem+json");
    assert_non_null(value);
    assert_int_equal(json_integer_value(json_object_get(value, "status")), test->response.status);
    says = strcmp(json_string_value(json_object_get(value, "code")), code) == 0 &&
           strstr(json_string_value(json_object_get(value, "detail")), part) != NULL &&
           strncmp(json_string_value(json_object_get(value, "type")), "urn:hypermesh:error:HM_",
                   23) == 0;
    json_decref(value);
    if (!says)
        print_message("%s\n", api_test_body(test));
    return says;
}

/* --- who may ask ------------------------------------------------------------------------------ */

static void test_tcp_needs_host_and_token(void **state)
{
    static const struct {
        const char *target, *host, *origin, *authorization;
        unsigned status;
    } rows[] = {
        {"/node", "127.0.0.1:7470", NULL, "Bearer " TOKEN, 200},
        {"/node", "localhost", NULL, "bearer " TOKEN, 200},
        {"/node", "LOCALHOST:7470", NULL, "Bearer  " TOKEN, 200},
        {"/node", "[::1]:7470", "http://[::1]:7470", "Bearer " TOKEN, 200},
        {"/node", "127.0.0.1:7470", NULL, NULL, 401},
        {"/node", "127.0.0.1:7470", NULL, "Bearer ", 401},
        {"/node", "127.0.0.1:7470", NULL, "Bearer 0123", 401},
        {"/node", "127.0.0.1:7470", NULL, "Basic " TOKEN, 401},
        {"/node", "127.0.0.1:7470", NULL, TOKEN, 401},
        {"/node", "127.0.0.1:7470", NULL, "Bearer 1" TOKEN, 401},
        {"/node", "127.0.0.1:7470", NULL,
         "Bearer 1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", 401},
        {"/node", NULL, NULL, "Bearer " TOKEN, 403},
        {"/node", "evil.example", NULL, "Bearer " TOKEN, 403},
        {"/node", "127.0.0.1.evil.example", NULL, "Bearer " TOKEN, 403},
        {"/node", "localhost.evil.example", NULL, "Bearer " TOKEN, 403},
        {"/node", "10.0.0.1:7470", NULL, "Bearer " TOKEN, 403},
        {"/node", "[::2]", NULL, "Bearer " TOKEN, 403},
        {"/node", "[::1", NULL, "Bearer " TOKEN, 403},
        {"/node", "[::1]x", NULL, "Bearer " TOKEN, 403},
        {"/node", "127.0.0.1:port", NULL, "Bearer " TOKEN, 403},
        {"/node", "", NULL, "Bearer " TOKEN, 403},
        {"/node", "127.0.0.1:7470", "http://evil.example", "Bearer " TOKEN, 403},
        {"/node", "127.0.0.1:7470", "null", "Bearer " TOKEN, 403},
        {"/node", "127.0.0.1:7470", "http://127.0.0.1:7471", "Bearer " TOKEN, 403},
        {"/node", "127.0.0.1:7470", "http://127.0.0.1:7470", "Bearer " TOKEN, 200},
        {"/livez", "127.0.0.1:7470", NULL, NULL, 200},
        {"/readyz", "127.0.0.1:7470", NULL, NULL, 200},
        {"/livez", "evil.example", NULL, NULL, 403},
        {"/metrics", "127.0.0.1:7470", NULL, NULL, 401},
        {"/openapi.json", "127.0.0.1:7470", NULL, NULL, 401},
        {"/nothing", "127.0.0.1:7470", NULL, NULL, 401},
        {"/nothing", "127.0.0.1:7470", NULL, "Bearer " TOKEN, 404},
    };
    struct api_test *test = *state;

    memcpy(test->core.token, TOKEN, sizeof(TOKEN));
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        const struct api_request request = {.method = "GET",
                                            .target = rows[i].target,
                                            .host = rows[i].host,
                                            .origin = rows[i].origin,
                                            .authorization = rows[i].authorization,
                                            .transport = API_TRANSPORT_TCP};

        if (ask(test, &request) != rows[i].status)
            fail_msg("row %zu: %u", i, test->response.status);
        assert_int_equal(test->response.ask_token, rows[i].status == 401);
    }
}

/* What a reader checks himself may be open, and nothing else becomes so. */
static void test_open_proofs(void **state)
{
    static const struct {
        const char *method, *target;
        unsigned closed, open;
    } rows[] = {{"GET", "/state/53", 401, 200},      {"GET", "/light/latest", 401, 200},
                {"GET", "/state/zz", 401, 400},      {"GET", "/node", 401, 401},
                {"GET", "/accounts", 401, 401},      {"GET", "/state", 401, 401},
                {"POST", "/state/53", 401, 401},     {"GET", "/kv", 401, 401},
                {"GET", "/light/latest/x", 401, 401}};
    struct api_test *test = *state;

    memcpy(test->core.token, TOKEN, sizeof(TOKEN));
    for (size_t i = 0; i < 2 * HM_COUNT_OF(rows); i++) {
        const struct api_request request = {.method = rows[i / 2].method,
                                            .target = rows[i / 2].target,
                                            .host = "127.0.0.1:7470",
                                            .transport = API_TRANSPORT_TCP};

        test->core.open_proofs = i % 2 == 1;
        if (ask(test, &request) != (i % 2 == 1 ? rows[i / 2].open : rows[i / 2].closed))
            fail_msg("%s, %s: %u", request.target, i % 2 == 1 ? "open" : "closed",
                     test->response.status);
    }
}

static unsigned ask_open(struct api_test *test, const char *target, bool token)
{
    const struct api_request request = {.method = "GET",
                                        .target = target,
                                        .host = "127.0.0.1:7470",
                                        .authorization = token ? "Bearer " TOKEN : NULL,
                                        .transport = API_TRANSPORT_TCP};

    return ask(test, &request);
}

/* Who has no token gets a small part, and takes nothing from who has one. */
static void test_strangers_have_limits(void **state)
{
    struct api_test *test = *state;
    unsigned answered = 0;

    memcpy(test->core.token, TOKEN, sizeof(TOKEN));
    test->core.open_proofs = true;
    while (ask_open(test, "/state/53", false) == 200 && answered < 10 * API_STRANGERS_PER_S)
        answered++;
    assert_in_range(answered, API_STRANGERS_PER_S, 5 * API_STRANGERS_PER_S);
    assert_int_equal(test->response.status, 503);
    assert_int_equal(ask_open(test, "/light/latest", false), 503);
    assert_int_equal(ask_open(test, "/state/53", true), 200);
    assert_int_equal(ask_open(test, "/livez", false), 200);
    assert_int_equal(atomic_load(&test->core.strangers.now), 0);
    /* However slowly they ask, not too many at once. */
    api_strangers_init(&test->core.strangers);
    atomic_store(&test->core.strangers.now, API_STRANGERS_MAX);
    assert_int_equal(ask_open(test, "/state/53", false), 503);
    assert_int_equal(ask_open(test, "/light/latest", true), 200);
    atomic_store(&test->core.strangers.now, 0);
    assert_int_equal(ask_open(test, "/state/53", false), 200);
}

/* Blocks that nobody else needs are made for them seldom. */
static void test_strangers_ask_for_few_blocks(void **state)
{
    struct api_test *test = *state;
    unsigned asked;

    memcpy(test->core.token, TOKEN, sizeof(TOKEN));
    test->core.open_proofs = true;
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(ask_open(test, "/light/9?wait_ms=20", false), 504);
    asked = test->fake.asked;
    assert_in_range(asked, 1, 3);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(ask_open(test, "/light/9?wait_ms=20", true), 504);
    assert_true(test->fake.asked >= asked + 5);
}

/* Without TCP there is no token; nothing a header can hold is equal to it. */
static void test_no_token_fits_none(void **state)
{
    char header[72] = "Bearer ";
    struct api_request request = {.method = "GET",
                                  .target = "/node",
                                  .host = "127.0.0.1",
                                  .authorization = header,
                                  .transport = API_TRANSPORT_TCP};
    struct api_test *test = *state;

    assert_int_equal(ask(test, &request), 401);
    memset(header + 7, '0', 64);
    assert_int_equal(ask(test, &request), 401);
}

static void test_unix_peers(void **state)
{
    struct api_request request = {
        .method = "GET", .target = "/node", .transport = API_TRANSPORT_UNIX};
    struct api_test *test = *state;

    assert_int_equal(ask(test, &request), 403);
    request.peer_known = true;
    request.peer_uid = 0;
    assert_int_equal(ask(test, &request), 200);
    test->core.owner = 1000;
    request.peer_uid = 1000;
    assert_int_equal(ask(test, &request), 200);
    request.peer_uid = 1001;
    assert_int_equal(ask(test, &request), 403);
    assert_true(problem_says(test, "HM_EPERM", "user 1001"));
    assert_int_equal(ask(test, &(struct api_request){.method = "GET", .target = "/livez"}), 200);
}

/* --- what is refused -------------------------------------------------------------------------- */

static void test_paths_methods_and_types(void **state)
{
    struct api_test *test = *state;

    assert_int_equal(api_test_ask(test, "GET", "/nothing", NULL, NULL), 404);
    assert_true(problem_says(test, "HM_ENOTFOUND", "/openapi.json"));
    assert_int_equal(api_test_ask(test, "PATCH", "/assets/register", NULL, NULL), 405);
    assert_string_equal(test->response.allow,
                        "GET, HEAD, POST, PUT, DELETE"); /* {asset} fits "register" */
    assert_int_equal(api_test_ask(test, "DELETE", "/node", NULL, NULL), 405);
    assert_string_equal(test->response.allow, "GET, HEAD");
    assert_int_equal(api_test_ask(test, "HEAD", "/node", NULL, NULL), 200);
    assert_int_equal(api_test_ask(test, "HEAD", "/node/stop", NULL, NULL), 405);
    assert_int_equal(api_test_ask(test, "POST", "/accounts", "text/plain", "{}"), 415);
    assert_int_equal(api_test_ask(test, "POST", "/accounts", NULL, "{}"), 415);
    assert_int_equal(api_test_ask(test, "POST", "/accounts", "application/jsonx", "{}"), 415);
    assert_int_equal(api_test_ask(test, "POST", "/accounts", "Application/JSON ; charset=utf-8",
                                  "{\"name\":\"x\"}"),
                     201);
    assert_int_equal(api_test_ask(test, "POST", "/txs", "application/json", "{}"), 415);
    assert_int_equal(api_test_ask(test, "POST", "/node/stop", NULL, "body"), 400);
    assert_false(test->fake.stopped);
    assert_int_equal(api_test_ask(test, "GET", "/node/", NULL, NULL), 200);
    assert_int_equal(api_test_ask(test, "GET", "//node", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "node", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/node%", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/node%2", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/node%00", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/node%ff", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/%6eode", NULL, NULL), 200);
    assert_int_equal(api_test_ask(test, "GET", "/a/b/c/d/e/f/g/h", NULL, NULL), 404);
}

static void test_limits(void **state)
{
    struct api_test *test = *state;
    char target[API_URL_MAX_BYTES + 2];
    struct api_request request = {.method = "POST",
                                  .target = "/txs",
                                  .content_type = "application/octet-stream",
                                  .peer_known = true,
                                  .peer_uid = geteuid()};
    struct api_response response = {0};
    enum api_manner manner;

    memset(target, 'a', sizeof(target));
    target[0] = '/';
    target[sizeof(target) - 1] = '\0';
    assert_int_equal(api_test_ask(test, "GET", target, NULL, NULL), 414);
    assert_true(api_core_admit(&test->core, &request, API_BODY_MAX_BYTES, &response, &manner));
    assert_int_equal(manner, API_MANNER_WAITS);
    assert_false(api_core_admit(&test->core, &request, API_BODY_MAX_BYTES + 1, &response, &manner));
    assert_int_equal(response.status, 413);
    api_response_release(&response);
    assert_int_equal(api_test_ask(test, "GET", "/assets?limit=1001", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/assets?limit=0", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/assets?limit=1000", NULL, NULL), 200);
    assert_int_equal(api_test_ask(test, "GET", "/jobs/latest/wait?timeout=11m", NULL, NULL), 400);
}

static void test_queries(void **state)
{
    struct api_test *test = *state;

    assert_int_equal(api_test_ask(test, "GET", "/assets?colour=red", NULL, NULL), 400);
    assert_true(problem_says(test, "HM_EINVAL", "'colour'"));
    assert_int_equal(api_test_ask(test, "GET", "/node?x=1", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/assets?kind=cpu&kind=gpu", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/assets?kind=banana", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/assets?retired=maybe", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/assets?after=asset1junk", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/assets?&kind=cpu&", NULL, NULL), 200);
    assert_int_equal(api_test_ask(test, "GET", "/assets?", NULL, NULL), 200);
    assert_int_equal(api_test_ask(test, "GET", "/assets/asset1junk", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/jobs/latest/logs?format=xml", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/blocks/now", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/blocks/8", NULL, NULL), 404);
    assert_int_equal(api_test_ask(test, "GET", "/state/abc", NULL, NULL), 400);
}

static void test_bodies(void **state)
{
    struct api_test *test = *state;
    static const struct {
        const char *body, *part;
    } rows[] = {
        {"", "not valid JSON"},
        {"{", "not valid JSON"},
        {"[]", "must be a JSON object"},
        {"7", "not valid JSON"},
        {"{'to':'node'}", "amount is missing"},
        {"{'to':'node','amount':'1','extra':1}", "unknown field 'extra'"},
        {"{'to':'node','amount':1.5}", "decimal text"},
        {"{'to':'node','amount':'1.0000000001'}", "amount"},
        {"{'to':'node','amount':'-1'}", "amount"},
        {"{'to':'node','amount':'99999999999999999999'}", "amount"},
        {"{'to':'node','amount':'1','amount':'2'}", "duplicate"},
        {"{'to':5,'amount':'1'}", "to must be text"},
        {"{'to':'node','amount':'1','token':'gold'}", "no token"},
        {"{'to':null,'amount':'1'}", "to must be text"},
        {"{'to':'node','amount':'1','memo':'\\u0000'}", "JSON"},
        {"[[[[[[[[[[[[[[[[[[[[", "nested deeper"},
        {"{'to':{'a':{'a':{'a':{'a':{'a':{'a':{'a':{'a':{'a':{'a':{'a':{'a':{'a':{'a':{'a':{'a':"
         "1}}}}}}}}}}}}}}}}}",
         "nested deeper"},
        {"{'to':'node','amount':NaN}", "not valid JSON"},
        {"{'to':'node','amount':Infinity}", "not valid JSON"},
        {"{'to':'node','amount':-Infinity}", "not valid JSON"},
        {"{'to':'node','amount':1e999}", "not valid JSON"},
        {"{'to':'node','amount':123456789012345678901234567890}", "not valid JSON"},
        {"{'to':'node','amount':0x10}", "not valid JSON"},
        {"{'to':'node','amount':'NaN'}", "amount"},
        {"{'to':'node','amount':'1e3'}", "amount"},
        {"{'to':'no\xff"
         "de','amount':'1'}",
         "decode byte 0xff"},
        {"{'to':'\xed\xa0\x80','amount':'1'}", "decode byte"},
        {"{'to':'node','amount':'1'} {}", "not valid JSON"},
        {"{'to':'node','amount':'1',}", "not valid JSON"},
        {"{'to':'node','to':'user','amount':'1'}", "duplicate"},
        {"{'to':'node','amount':'1'", "not valid JSON"},
        {"{'to':'node','amount':{}}", "amount must be"},
        {"{'to':['node'],'amount':'1'}", "to must be text"},
        {"\xef\xbb\xbf{'to':'node','amount':'1'}", "not valid JSON"},
    };

    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        assert_int_equal(api_test_json(test, "POST", "/accounts/user/transfer", rows[i].body), 400);
        if (!strstr(api_test_body(test), rows[i].part))
            fail_msg("row %zu: %s", i, api_test_body(test));
    }
    assert_int_equal(test->fake.submits, 0);
    assert_int_equal(
        api_test_json(test, "POST", "/accounts/user/transfer", "{'to':'nobody','amount':'1'}"),
        404);
    assert_int_equal(api_test_json(test, "POST", "/consensus/validate", "{}"), 400);
    assert_int_equal(api_test_json(test, "POST", "/consensus/validate", "{'batch':'!!'}"), 400);
    assert_int_equal(api_test_json(test, "POST", "/images", "{'path':'image.tar'}"), 400);
    assert_int_equal(api_test_ask(test, "POST", "/txs", "application/octet-stream", NULL), 400);
    assert_int_equal(api_test_ask(test, "POST", "/jobs", "application/yaml", "image: 7: 8"), 400);
    assert_int_equal(api_test_ask(test, "POST", "/jobs", "application/yaml",
                                  "image: busybox\ninputs: [{source: data, target: /in}]\n"),
                     400);
    assert_true(problem_says(test, "HM_EINVAL", "absolute"));
}

static void test_failures_of_the_node_keep_their_code(void **state)
{
    static const struct {
        int code;
        unsigned status;
    } rows[] = {{HM_EFUNDS, 402},    {HM_EPROOF_TIME, 403},  {HM_ECONFLICT, 409}, {HM_EBUSY, 503},
                {HM_EINTERNAL, 500}, {HM_EUNSUPPORTED, 501}, {HM_ETIMEOUT, 504},  {HM_ENOMEM, 503}};
    struct api_test *test = *state;

    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        test->fake.fail = rows[i].code;
        assert_int_equal(api_test_json(test, "POST", "/accounts/user/bond", "{'amount':'1'}"),
                         rows[i].status);
        assert_true(problem_says(test, hm_error_name(rows[i].code), "told to fail"));
        assert_non_null(strstr(api_test_body(test), "\"instance\":\"/accounts/user/bond\""));
    }
}

static void test_ready(void **state)
{
    struct api_test *test = *state;

    fake_set_ready(&test->fake, false);
    assert_int_equal(api_test_ask(test, "GET", "/livez", NULL, NULL), 200);
    assert_int_equal(api_test_ask(test, "GET", "/readyz", NULL, NULL), 503);
    assert_true(problem_says(test, "HM_EBUSY", "the plot is being built"));
    assert_int_equal(api_test_ask(test, "GET", "/node", NULL, NULL), 200);
    assert_non_null(
        strstr(api_test_body(test), "\"ready\":false,\"not_ready\":\"the plot is being built\""));
}

/* --- which operation a request becomes -------------------------------------------------------- */

static void test_allocate(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    struct api_test *test = *state;
    char asset[WIRE_ID_TEXT_MAX];
    char target[128];
    Hypermesh__Operation *op;

    api_test_asset_text(1, asset);
    (void)snprintf(target, sizeof(target), "/assets/%s/allocate", asset);
    assert_int_equal(api_test_json(test, "PUT", target, "{'share':'2.5%','duration':'1h30m'}"),
                     200);
    op = api_test_op(test, &arena);
    assert_non_null(op);
    assert_int_equal(op->op_case, HYPERMESH__OPERATION__OP_ALLOCATE);
    assert_int_equal(op->allocate->n_items, 1);
    assert_int_equal(op->allocate->items[0]->share_ppm, 25000);
    assert_int_equal(op->allocate->items[0]->asset.data[0], 0xa1);
    assert_true(op->allocate->items[0]->max_price_per_hour == 2500000000); /* as it is now */
    assert_int_equal(op->allocate->duration_ms, 5400000);
    assert_string_equal(test->fake.account, API_ACCOUNT_DEFAULT);
    assert_int_equal(
        api_test_json(
            test, "PUT", target,
            "{'share_ppm':1000000,'duration_ms':7,'max_price_per_hour':'0','account':'node'}"),
        200);
    op = api_test_op(test, &arena);
    assert_int_equal(op->allocate->items[0]->share_ppm, 1000000);
    assert_int_equal(op->allocate->items[0]->max_price_per_hour, 0);
    assert_string_equal(test->fake.account, "node");
    assert_int_equal(api_test_json(test, "PUT", target, "{'share':'0%','duration':'1h'}"), 400);
    assert_int_equal(api_test_json(test, "PUT", target, "{'share':'100.1%','duration':'1h'}"), 400);
    assert_int_equal(api_test_json(test, "PUT", target, "{'share_ppm':1000001,'duration':'1h'}"),
                     400);
    assert_int_equal(
        api_test_json(test, "PUT", target, "{'share':'1%','share_ppm':10000,'duration':'1h'}"),
        400);
    assert_int_equal(api_test_json(test, "PUT", target, "{'share':'1%','duration':3600}"), 400);
    assert_int_equal(api_test_json(test, "PUT", target, "{'share':'1%','duration_ms':-5}"), 400);
    assert_int_equal(test->fake.submits, 2);
}

static void test_register_and_update(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    struct api_test *test = *state;
    char asset[WIRE_ID_TEXT_MAX];
    char owner[WIRE_ID_TEXT_MAX];
    char target[128];
    Hypermesh__Operation *op;

    assert_int_equal(
        api_test_json(test, "POST", "/assets/register",
                      "{'kind':'memory','hardware_id':'m','capacity':'64G','price_per_hour':'0.25',"
                      "'attributes':{'z':'1','a':'2'}}"),
        201);
    op = api_test_op(test, &arena);
    assert_string_equal(test->fake.account, "node");
    assert_true(op->asset_register->capacity == UINT64_C(64) << 30);
    assert_int_equal(op->asset_register->price_per_hour, 250000000);
    assert_string_equal(op->asset_register->attributes[0]->name, "a"); /* sorted */
    assert_string_equal(op->asset_register->attributes[1]->value, "1");
    assert_int_equal(op->asset_register->privacy->level, HYPERMESH__PRIVACY_LEVEL__PRIVATE);
    assert_int_equal(op->asset_register->privacy->max_share_ppm, 1000000);
    api_test_asset_text(0, asset);
    api_test_account_text(2, owner);
    (void)snprintf(target, sizeof(target), "/assets/%s", asset);
    assert_int_equal(api_test_json(test, "PUT", target, "{'capacity':4000}"), 200);
    op = api_test_op(test, &arena);
    assert_string_equal(test->fake.account, owner);
    assert_int_equal(op->asset_update->capacity, 4000);
    assert_true(op->asset_update->price_per_hour == 2500000000); /* kept */
    assert_int_equal(op->asset_update->n_attributes, 1);
    assert_int_equal(api_test_json(test, "PUT", target, "{'attributes':{}}"), 200);
    op = api_test_op(test, &arena);
    assert_int_equal(op->asset_update->n_attributes, 0);
    assert_int_equal(op->asset_update->capacity, 2000);
    assert_int_equal(api_test_json(test, "PUT", target, "{'attributes':{'a':1}}"), 400);
    assert_int_equal(
        api_test_json(test, "POST", "/assets/register",
                      "{'kind':'cpu','hardware_id':'m','capacity':1,'price_per_hour':'1',"
                      "'privacy':{'level':'Open'}}"),
        400);
    assert_true(problem_says(test, "HM_EINVAL", "privacy: level"));
}

static void test_release_finds_the_lease(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    struct api_test *test = *state;
    char user[WIRE_ID_TEXT_MAX];
    char lease[WIRE_ID_TEXT_MAX];
    char asset[WIRE_ID_TEXT_MAX];
    char target[256];
    Hypermesh__Operation *op;

    api_test_asset_text(1, asset);
    api_test_account_text(1, user);
    api_test_lease_text(2, lease);
    (void)snprintf(target, sizeof(target), "/assets/%s/release", asset);
    assert_int_equal(api_test_ask(test, "DELETE", target, NULL, NULL), 200);
    op = api_test_op(test, &arena);
    assert_int_equal(op->release->lease.data[0], 0xb1);
    assert_string_equal(test->fake.account, user);
    (void)snprintf(target, sizeof(target), "/assets/%s/release?account=node", asset);
    assert_int_equal(api_test_ask(test, "DELETE", target, NULL, NULL),
                     404); /* it is not the consumer */
    (void)snprintf(target, sizeof(target), "/assets/%s/release?lease=%s", asset, lease);
    assert_int_equal(api_test_ask(test, "DELETE", target, NULL, NULL), 400); /* of another asset */
    assert_int_equal(test->fake.submits, 1);
}

static void test_transfer_and_signed_bytes(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    struct api_test *test = *state;
    char someone[WIRE_ID_TEXT_MAX];
    char body[160];
    Hypermesh__Operation *op;

    api_test_account_text(0x55, someone); /* nobody knows it */
    (void)snprintf(body, sizeof(body), "{'to':'%s','amount':'1.5','token':'caes','memo':'\\u00fc'}",
                   someone);
    assert_int_equal(api_test_json(test, "POST", "/accounts/user/transfer", body), 200);
    op = api_test_op(test, &arena);
    assert_int_equal(op->transfer->to.data[31], 0x55);
    assert_int_equal(op->transfer->amount, 1500000000);
    assert_int_equal(op->transfer->token, HYPERMESH__TOKEN__CAES);
    assert_string_equal(op->transfer->memo, "\xc3\xbc");
    assert_string_equal(test->fake.account, "user");
    assert_non_null(strstr(api_test_body(test), "\"fee\":\"0.00000025\""));
    assert_int_equal(api_test_ask(test, "POST", "/txs", "application/octet-stream", "\x0a\x01z"),
                     200);
    assert_true(hm_slice_equal(hm_buf_slice(&test->fake.op), hm_slice_str("\x0a\x01z")));
}

/* --- pages ------------------------------------------------------------------------------------ */

/* Follows `next` from page to page and counts the items. */
static size_t count_pages(struct api_test *test, const char *base, size_t *pages)
{
    char target[256];
    size_t items = 0;

    (void)snprintf(target, sizeof(target), "%s?limit=2", base);
    for (*pages = 1; *pages < 20; (*pages)++) {
        const char *next;
        json_t *value;

        assert_int_equal(api_test_ask(test, "GET", target, NULL, NULL), 200);
        value = api_test_parse(test);
        items += json_array_size(json_object_get(value, "items"));
        next = json_string_value(json_object_get(value, "next"));
        if (next)
            (void)snprintf(target, sizeof(target), "%s?limit=2&after=%s", base, next);
        json_decref(value);
        if (!next)
            break;
    }
    return items;
}

static void test_pages(void **state)
{
    struct api_test *test = *state;
    char asset[WIRE_ID_TEXT_MAX];
    char history[128];
    size_t pages = 0;

    api_test_asset_text(0, asset);
    (void)snprintf(history, sizeof(history), "/assets/%s/history", asset);
    assert_int_equal(count_pages(test, "/assets", &pages), FAKE_ASSETS);
    assert_int_equal(pages, 3);
    assert_int_equal(count_pages(test, "/leases", &pages), FAKE_LEASES);
    assert_int_equal(count_pages(test, "/privacy/settings", &pages), FAKE_ASSETS);
    assert_int_equal(count_pages(test, "/blocks", &pages), FAKE_BLOCKS);
    assert_int_equal(pages, 4);
    assert_int_equal(count_pages(test, "/jobs", &pages), 3);
    assert_int_equal(count_pages(test, history, &pages), 3);
    assert_int_equal(count_pages(test, "/accounts", &pages), 2);
    assert_int_equal(api_test_ask(test, "GET", "/accounts?limit=1", NULL, NULL), 200);
    assert_non_null(strstr(api_test_body(test), "\"name\":\"node\""));
    assert_non_null(strstr(api_test_body(test), "\"next\":\"node\""));
    assert_int_equal(api_test_ask(test, "GET", "/accounts?limit=1&after=node", NULL, NULL), 200);
    assert_non_null(strstr(api_test_body(test), "\"name\":\"user\""));
    assert_non_null(strstr(api_test_body(test), "\"next\":null"));
    assert_int_equal(api_test_ask(test, "GET", "/images?after=zzz", NULL, NULL), 200);
    assert_non_null(strstr(api_test_body(test), "\"items\":[]"));
    assert_int_equal(api_test_ask(test, "GET", "/images?limit=0", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/blocks?from=2", NULL, NULL), 200);
    assert_null(strstr(api_test_body(test), "\"height\":3"));
    assert_non_null(strstr(api_test_body(test), "\"next\":null"));
}

/* --- memory ----------------------------------------------------------------------------------- */

/* The nth allocation fails, for every n: always an answer, never a crash or a leak. */
static void test_out_of_memory(void **state)
{
    struct api_test *test = *state;
    char asset[WIRE_ID_TEXT_MAX];
    char target[128];
    unsigned succeeded = 0;

    api_test_asset_text(0, asset);
    (void)snprintf(target, sizeof(target), "/assets/%s", asset);
    for (unsigned long nth = 1; nth < 60 && succeeded == 0; nth++) {
        const struct api_request request = {.method = "GET",
                                            .target = target,
                                            .transport = API_TRANSPORT_UNIX,
                                            .peer_known = true,
                                            .peer_uid = geteuid()};

        api_response_release(&test->response);
        test->response = (struct api_response){0};
        hm_alloc_fail_at(nth);
        api_core_handle(&test->core, &request, &test->response);
        hm_alloc_fail_at(0);
        if (test->response.status == 200)
            succeeded++;
        else
            assert_int_equal(test->response.status, 503);
    }
    assert_int_equal(succeeded, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_test_setup, api_test_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tcp_needs_host_and_token),
        TEST(test_open_proofs),
        TEST(test_strangers_have_limits),
        TEST(test_strangers_ask_for_few_blocks),
        TEST(test_no_token_fits_none),
        TEST(test_unix_peers),
        TEST(test_paths_methods_and_types),
        TEST(test_limits),
        TEST(test_queries),
        TEST(test_bodies),
        TEST(test_failures_of_the_node_keep_their_code),
        TEST(test_ready),
        TEST(test_allocate),
        TEST(test_register_and_update),
        TEST(test_release_finds_the_lease),
        TEST(test_transfer_and_signed_bytes),
        TEST(test_pages),
        TEST(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
