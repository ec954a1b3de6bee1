/* etcd's gateway: forms, names, errors. Held against a real etcd in tests/integration/api. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api_etcd_watch.h"
#include "api_test.h"

#define HEADER(revision)                                                                         \
    "{\"header\":{\"cluster_id\":\"CLUSTER\",\"member_id\":\"144680345676153346\",\"revision\":" \
    "\"" revision "\",\"raft_term\":\"1\"}"

/* The last answer with the cluster's id taken out, which the fake's genesis gives. */
static const char *body_of(struct api_test *test)
{
    char *at = strstr(api_test_body(test), "\"cluster_id\":\"");

    while (at) {
        char *digits = at + strlen("\"cluster_id\":\"");
        size_t len = strspn(digits, "0123456789");

        memcpy(digits, "CLUSTER", 7);
        memmove(digits + 7, digits + len, strlen(digits + len) + 1);
        at = strstr(digits, "\"cluster_id\":\"");
    }
    return api_test_body(test);
}

static void check(struct api_test *test, const char *path, const char *body, unsigned status,
                  const char *expected)
{
    HM_AUTOFREE char *copy = api_test_quoted(body);

    /* whatever the Content-Type says, or without one */
    assert_int_equal(api_test_ask(test, "POST", path, NULL, copy), status);
    assert_string_equal(test->response.content_type, "application/json");
    assert_string_equal(body_of(test), expected);
}

static void check_error(struct api_test *test, const char *path, const char *body, unsigned status,
                        unsigned code, const char *says)
{
    HM_AUTOFREE char *copy = api_test_quoted(body);
    json_t *value;

    if (api_test_ask(test, "POST", path, "text/plain", copy) != status)
        fail_msg("%s %s: %u %s", path, body, test->response.status, api_test_body(test));
    value = api_test_parse(test);
    assert_non_null(value);
    assert_int_equal(json_object_size(value), 3);
    assert_int_equal(json_integer_value(json_object_get(value, "code")), code);
    assert_true(json_equal(json_object_get(value, "error"), json_object_get(value, "message")));
    if (!strstr(json_string_value(json_object_get(value, "error")), says))
        fail_msg("%s: %s", body, api_test_body(test));
    json_decref(value);
}

static void test_put_and_range(void **state)
{
    struct api_test *test = *state;

    check(test, "/v3/kv/put", "{'key':'YQ==','value':'MQ=='}", 200, HEADER("2") "}");
    check(
        test, "/v3/kv/put", "{'key':'YQ==','value':'Mg==','prevKv':true,'unknown':{}}", 200,
        HEADER(
            "3") ",\"prev_kv\":{\"key\":\"YQ==\",\"create_revision\":\"2\",\"mod_revision\":\"2\","
                 "\"version\":\"1\",\"value\":\"MQ==\"}}");
    check(
        test, "/v3beta/kv/range", "{'key':'YQ=='}", 200,
        HEADER("3") ",\"kvs\":[{\"key\":\"YQ==\",\"create_revision\":\"2\",\"mod_revision\":\"3\","
                    "\"version\":\"2\",\"value\":\"Mg==\"}],\"count\":\"1\"}");
    check(
        test, "/v3/kv/range", "{'key':'YQ==','revision':2,'keys_only':true}", 200,
        HEADER("3") ",\"kvs\":[{\"key\":\"YQ==\",\"create_revision\":\"2\",\"mod_revision\":\"2\","
                    "\"version\":\"1\"}],\"count\":\"1\"}");
    check(test, "/v3/kv/range", "{'key':'YQ==','countOnly':true}", 200,
          HEADER("3") ",\"count\":\"1\"}");
    check(test, "/v3/kv/range", "{'key':'bm9uZQ=='}", 200, HEADER("3") "}");
    check(
        test, "/v3/kv/deleterange", "{'key':'YQ==','prev_kv':true}", 200,
        HEADER("4") ",\"deleted\":\"1\",\"prev_kvs\":[{\"key\":\"YQ==\",\"create_revision\":\"2\","
                    "\"mod_revision\":\"3\",\"version\":\"2\",\"value\":\"Mg==\"}]}");
    check(test, "/v3/kv/deleterange", "{'key':'YQ=='}", 200, HEADER("4") "}");
}

/* Keys of the answer, in its order. */
static void check_keys(struct api_test *test, const char *body, const char *expected, bool more)
{
    HM_CLEANUP(hm_buf) struct hm_buf keys = {0};
    HM_AUTOFREE char *copy = hm_strdup(body);
    json_t *value;
    const json_t *kvs;

    for (char *at = copy; *at != '\0'; at++) {
        if (*at == '\'')
            *at = '"';
    }
    assert_int_equal(api_test_ask(test, "POST", "/v3/kv/range", NULL, copy), 200);
    value = api_test_parse(test);
    kvs = json_object_get(value, "kvs");
    for (size_t i = 0; i < json_array_size(kvs); i++)
        assert_int_equal(
            hm_buf_printf(&keys, "%s ",
                          json_string_value(json_object_get(json_array_get(kvs, i), "key"))),
            0);
    if (strcmp(hm_buf_cstr(&keys), expected) != 0)
        fail_msg("%s: %s", body, api_test_body(test));
    assert_int_equal(json_is_true(json_object_get(value, "more")), more);
    json_decref(value);
}

/* The fake gives three pairs a page: everything here goes over several. */
static void test_range_order(void **state)
{
    struct api_test *test = *state;

    for (unsigned i = 0; i < 5; i++) {
        char body[80];

        (void)snprintf(body, sizeof(body), "{'key':'a%c==','value':'%c%c=='}", "QgwAQ"[i],
                       "54321"[i], 'A');
        assert_int_equal(api_test_json(test, "POST", "/v3/kv/put", body), 200);
    }
    /* keys aA== (aa..) sort by bytes: 68, 6a.. are told by their base64 here */
    check_keys(test, "{'key':'AA==','range_end':'AA=='}", "aA== aQ== ag== aw== ", false);
    check_keys(test, "{'key':'AA==','range_end':'AA==','limit':'2'}", "aA== aQ== ", true);
    check_keys(test, "{'key':'AA==','range_end':'AA==','limit':4}", "aA== aQ== ag== aw== ", false);
    check_keys(test, "{'key':'AA==','range_end':'AA==','sort_order':'DESCEND','limit':3}",
               "aw== ag== aQ== ", true);
    check_keys(test, "{'key':'AA==','range_end':'AA==','sort_target':'MOD','sort_order':2}",
               "aQ== aA== aw== ag== ", false);
    check_keys(test, "{'key':'AA==','range_end':'AA==','sort_target':'CREATE'}",
               "aQ== ag== aw== aA== ", false);
    check_keys(test, "{'key':'AA==','range_end':'AA==','sort_target':4,'sort_order':1}",
               "aQ== aA== aw== ag== ", false);
    check_keys(
        test,
        "{'key':'AA==','range_end':'AA==','sortTarget':'VERSION','sortOrder':'DESCEND','limit':1}",
        "aQ== ", true);
    check_keys(test,
               "{'key':'AA==','range_end':'AA==','min_mod_revision':'4','max_mod_revision':5}",
               "aA== aw== ", false);
    check_keys(test, "{'key':'AA==','range_end':'AA==','maxCreateRevision':'3'}",
               "aQ== ag== ", false);
}

static void test_txn(void **state)
{
    struct api_test *test = *state;

    check(
        test, "/v3/kv/txn",
        "{'compare':[{'key':'YQ==','target':'CREATE','create_revision':'0'}],"
        "'success':[{'request_put':{'key':'YQ==','value':'MQ==','prev_kv':true}},"
        "{'requestRange':{'key':'YQ=='}}],'failure':[{'request_range':{'key':'YQ=='}}]}",
        200,
        HEADER(
            "2") ",\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":{\"revision\":"
                 "\"2\"}}},"
                 "{\"response_range\":{\"header\":{\"revision\":\"2\"},\"kvs\":[{\"key\":\"YQ==\","
                 "\"create_revision\":\"2\",\"mod_revision\":\"2\",\"version\":\"1\",\"value\":"
                 "\"MQ==\"}],"
                 "\"count\":\"1\"}}]}");
    check(test, "/v3/kv/txn",
          "{'compare':[{'key':'YQ==','target':3,'result':'LESS','value':'MQ=='}],"
          "'failure':[{'request_delete_range':{'key':'YQ==','prevKv':true}},"
          "{'request_txn':{'success':[{'request_put':{'key':'Yg=='}}]}}]}",
          200,
          HEADER(
              "3") ",\"responses\":[{\"response_delete_range\":{\"header\":{\"revision\":\"3\"},"
                   "\"deleted\":\"1\",\"prev_kvs\":[{\"key\":\"YQ==\",\"create_revision\":\"2\","
                   "\"mod_revision\":\"2\",\"version\":\"1\",\"value\":\"MQ==\"}]}},{\"response_"
                   "txn\":"
                   "{\"header\":{},\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":"
                   "{\"revision\":\"3\"}}}]}}]}");
    check(test, "/v3/kv/txn", "{}", 200, HEADER("3") ",\"succeeded\":true}");
}

/* Ranges see the store as it was before the transaction, at the revision that they name. */
static void test_txn_of_older_revisions(void **state)
{
    static const char *const both =
        "{'compare':[{'key':'YQ==','target':'VERSION','result':'GREATER','version':0}],"
        "'success':[{'request_put':{'key':'YQ==','value':'Mw=='}},"
        "{'request_range':{'key':'YQ==','revision':2}},"
        "{'request_range':{'key':'AA==','range_end':'AA==','revision':'3','count_only':true}}],"
        "'failure':[{'request_put':{'key':'eA=='}},{'request_range':{'key':'YQ==','revision':9}}]}";
    struct api_test *test = *state;
    unsigned submits;

    (void)api_test_json(test, "POST", "/v3/kv/put", "{'key':'YQ==','value':'MQ=='}");
    (void)api_test_json(test, "POST", "/v3/kv/put", "{'key':'YQ==','value':'Mg=='}");
    check(test, "/v3/kv/txn", both, 200,
          HEADER("4") ",\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":{"
                      "\"revision\":\"4\"}}},{\"response_range\":{\"header\":{\"revision\":\"4\"},"
                      "\"kvs\":[{\"key\":\"YQ==\",\"create_revision\":\"2\",\"mod_revision\":\"2\","
                      "\"version\":\"1\",\"value\":\"MQ==\"}],\"count\":\"1\"}},"
                      "{\"response_range\":{\"header\":{\"revision\":\"4\"},\"count\":\"1\"}}]}");
    /* The branch that is taken wants a revision that is not there: nothing of it is done. */
    (void)api_test_json(test, "POST", "/v3/kv/deleterange", "{'key':'YQ=='}");
    check_error(test, "/v3/kv/txn", both, 400, 11, "mvcc: required revision is a future revision");
    check(test, "/v3/kv/range", "{'key':'eA=='}", 200, HEADER("5") "}");
    (void)api_test_json(test, "POST", "/v3/kv/compaction", "{'revision':4}");
    check_error(test, "/v3/kv/txn", "{'success':[{'request_range':{'key':'YQ==','revision':2}}]}",
                400, 11, "mvcc: required revision has been compacted");
    /* Inside another transaction it is refused before anything is submitted. */
    submits = test->fake.submits;
    check_error(test, "/v3/kv/txn",
                "{'success':[{'request_put':{'key':'eA=='}},{'request_txn':{'success':["
                "{'request_range':{'key':'YQ==','revision':2}}]}}]}",
                400, 11, "mvcc: required revision has been compacted");
    assert_int_equal(test->fake.submits, submits);
}

/* Each of them is paid: no body makes the node pay for a hundred thousand. */
static void test_many_keep_alives(struct api_test *test)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    unsigned before = test->fake.submits;

    for (unsigned i = 0; i < 128; i++)
        assert_int_equal(hm_buf_append_str(&body, "{\"ID\":77}"), 0);
    assert_int_equal(api_test_ask(test, "POST", "/v3/lease/keepalive", NULL, hm_buf_cstr(&body)),
                     200);
    assert_int_equal(test->fake.submits, before + 128);
    assert_int_equal(hm_buf_append_str(&body, "{\"ID\":77}"), 0);
    assert_int_equal(api_test_ask(test, "POST", "/v3/lease/keepalive", NULL, hm_buf_cstr(&body)),
                     400);
    assert_non_null(strstr(api_test_body(test), "at most 128 leases"));
    assert_int_equal(test->fake.submits, before + 128);
}

/* A zero byte is not a blank. */
static void test_zero_bytes(void **state)
{
    static const uint8_t zeros[] = {0, 0, '{', '}'};
    struct hm_slice rest = hm_slice_of(zeros, 2);
    json_t *body;

    (void)state;
    assert_int_equal(api_etcd_read_next(&rest, &body, NULL), HM_EPARSE);
    rest = hm_slice_of(zeros, sizeof(zeros));
    assert_int_equal(api_etcd_read_next(&rest, &body, NULL), HM_EPARSE);
    rest = hm_slice_of(zeros + 2, 2);
    assert_int_equal(api_etcd_read_next(&rest, &body, NULL), 0);
    json_decref(body);
}

static void test_leases(void **state)
{
    struct api_test *test = *state;

    check(test, "/v3/lease/grant", "{'TTL':'1','ID':'77'}", 200,
          HEADER("1") ",\"ID\":\"77\",\"TTL\":\"2\"}");
    check(test, "/v3/lease/keepalive", "{'ID':'77'}{'ID':'5'} {'ID':77}", 200,
          "{\"result\":" HEADER("1") ",\"ID\":\"77\",\"TTL\":\"2\"}}\n{\"result\":" HEADER(
              "1") ",\"ID\":\"5\"}}\n{\"result\":" HEADER("1") ",\"ID\":\"77\",\"TTL\":\"2\"}}\n");
    test_many_keep_alives(test);
    check(test, "/v3/lease/timetolive", "{'ID':'77','keys':true}", 200,
          HEADER("1") ",\"ID\":\"77\",\"grantedTTL\":\"2\",\"keys\":[\"aGVsZA==\"]}");
    check(test, "/v3/kv/lease/timetolive", "{'ID':'5'}", 200,
          HEADER("1") ",\"ID\":\"5\",\"TTL\":\"-1\"}");
    check(test, "/v3/kv/lease/leases", "", 200, HEADER("1") ",\"leases\":[{\"ID\":\"77\"}]}");
    check_error(test, "/v3/lease/grant", "{'TTL':'5','ID':'77'}", 412, 9,
                "etcdserver: lease already exists");
    check(test, "/v3/kv/lease/revoke", "{'ID':'77'}", 200, HEADER("1") "}");
    check_error(test, "/v3/lease/revoke", "{'ID':'77'}", 404, 5,
                "etcdserver: requested lease not found");
    check_error(test, "/v3/lease/grant", "{'TTL':'99999999999'}", 400, 11, "too large lease TTL");
}

static void test_errors(void **state)
{
    static const struct {
        const char *path, *body;
        unsigned status, code;
        const char *says;
    } cases[] = {
        {"/v3/kv/put", "", 400, 3, "etcdserver: key is not provided"},
        {"/v3/kv/put", "{", 400, 3, "unexpected EOF"},
        {"/v3/kv/put", "[]", 400, 3, "json"},
        {"/v3/kv/put", "5", 400, 3, "EOF"},
        {"/v3/kv/put", "{'key':5}", 400, 3, "base64"},
        {"/v3/kv/put", "{'key':'!!'}", 400, 3, "illegal base64"},
        {"/v3/kv/put", "{'key':'YQ=='  'value'}", 400, 3, "JSON"},
        {"/v3/kv/put", "{'key':null}", 400, 3, "key is not provided"},
        {"/v3/kv/put", "{'key':'YQ==','lease':'x'}", 400, 3, "int64"},
        {"/v3/kv/put", "{'key':'YQ==','lease':' 1'}", 400, 3, "int64"},
        {"/v3/kv/put", "{'key':'YQ==','lease':'9223372036854775808'}", 400, 3, "int64"},
        {"/v3/kv/put", "{'key':'YQ==','lease':1.5}", 400, 3, "int64"},
        {"/v3/kv/put", "{'key':'YQ==','lease':NaN}", 400, 3, "JSON"},
        {"/v3/kv/put", "{'key':'YQ==','prev_kv':1}", 400, 3, "bool"},
        {"/v3/kv/put", "{'key':'YQ==','value':'Yg==','ignore_value':true}", 400, 3,
         "value is provided"},
        {"/v3/kv/put", "{'key':'YQ==','lease':1,'ignoreLease':true}", 400, 3, "lease is provided"},
        {"/v3/kv/range", "{'key':'YQ==','sort_order':'UP'}", 400, 3, "unknown value \"UP\""},
        {"/v3/kv/range", "{'key':'YQ==','revision':99}", 400, 11,
         "mvcc: required revision is a future"},
        {"/v3/kv/deleterange", "{}", 400, 3, "key is not provided"},
        {"/v3/kv/compaction", "{'revision':'9'}", 400, 11, "future revision"},
        {"/v3/kv/txn", "{'success':{}}", 400, 3, "list"},
        {"/v3/kv/txn", "{'success':[{}]}", 400, 3, "etcdserver: key not found"},
        {"/v3/kv/txn", "{'success':[5]}", 400, 3, "key not found"},
        {"/v3/kv/txn", "{'success':[{'request_put':7}]}", 400, 3, "object"},
        {"/v3/kv/txn", "{'compare':[{'key':'YQ==','target':9}]}", 400, 3, "no such compare"},
        {"/v3/kv/txn", "{'compare':[7]}", 400, 3, "json"},
        {"/v3/kv/txn", "{'success':[{'request_range':{'key':'YQ==','revision':99}}]}", 400, 11,
         "mvcc: required revision is a future"},
        {"/v3/watch", "{}", 400, 3, "create_request"},
        {"/v3/watch", "{'cancel_request':{}}", 400, 3, "create_request"},
        {"/v3/watch", "{'progress_request':{}}", 400, 3, "create_request"},
        {"/v3/watch", "{'create_request':{'key':'YQ=='}}{'cancel_request':5}", 400, 3, "object"},
        {"/v3/watch", "{'create_request':{'key':'YQ=='},'cancel_request':{}}", 400, 3, "one of"},
        {"/v3/watch", "{'create_request':{'key':'YQ=='}}{", 400, 3, "EOF"},
        {"/v3/watch", "{'create_request':{'filters':'NOPUT'}}", 400, 3, "list"},
        {"/v3/watch", "{'create_request':{'filters':['ALL']}}", 400, 3, "unknown value"},
        {"/v3/auth/authenticate", "{}", 412, 9, "authentication is not enabled"},
        {"/v3/maintenance/alarm", "{'action':'ACTIVATE'}", 501, 12, "not supported yet"},
        {"/v3/maintenance/defragment", "{}", 501, 12, "/v3/maintenance/defragment"},
    };
    struct api_test *test = *state;

    for (size_t i = 0; i < HM_COUNT_OF(cases); i++)
        check_error(test, cases[i].path, cases[i].body, cases[i].status, cases[i].code,
                    cases[i].says);
}

static void test_deep_and_wide(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    struct api_test *test = *state;

    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(hm_buf_append_str(&body, "{\"a\":["), 0);
    check_error(test, "/v3/kv/put", hm_buf_cstr(&body), 400, 3, "nested deeper");
    hm_buf_clear(&body);
    assert_int_equal(hm_buf_append_str(&body, "{\"success\":["), 0);
    for (unsigned i = 0; i <= API_ETCD_OPS_MAX; i++)
        assert_int_equal(
            hm_buf_printf(&body, "%s{\"request_range\":{\"key\":\"YQ==\"}}", i ? "," : ""), 0);
    assert_int_equal(hm_buf_append_str(&body, "]}"), 0);
    check_error(test, "/v3/kv/txn", hm_buf_cstr(&body), 400, 3, "too many operations");
}

/* What was read so far and what else there is now. */
static int read_now(struct api_test *test, struct hm_buf *out)
{
    uint8_t block[64];
    int got;

    while ((got = test->response.stream->read(test->response.stream, block, sizeof(block))) > 0)
        assert_int_equal(hm_buf_append(out, block, (size_t)got), 0);
    return got;
}

/* A request is read whole or not at all, wherever memory runs out. */
static void test_memory_that_runs_out(void **state)
{
    static const char text[] = "{\"key\":\"YQ==\",\"value\":"
                               "\"c29tZXRoaW5nIGxvbmdlciB0aGFuIHdoYXQgdGhlIHJlYWRlciB0YWtlcyBhdCBv"
                               "bmNlLCBzbyB0aGF0IGl0IGdyb3dz\",\"lease\":\"7\"} {}";
    unsigned long nth = 1;
    int rc = HM_ENOMEM;

    (void)state;
    for (; rc == HM_ENOMEM && nth < 1000; nth++) {
        struct hm_slice body = hm_slice_str(text);
        HM_CLEANUP(json) json_t *value = NULL;

        hm_alloc_fail_at(nth);
        rc = api_etcd_read_next(&body, &value, NULL);
        hm_alloc_fail_at(0);
        if (rc == 0) {
            assert_int_equal(json_object_size(value), 3);
            assert_int_equal(json_string_length(json_object_get(value, "value")), 92);
            assert_int_equal(body.len, 3);
        } else {
            assert_int_equal(rc, HM_ENOMEM);
            assert_null(value);
            assert_int_equal(body.len, sizeof(text) - 1);
        }
    }
    assert_int_equal(rc, 0);
    assert_in_range(nth, 8, 999);
}

static void watch(struct api_test *test, const char *body, int ends, const char *expected)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    char text[2000];
    char *at;

    assert_int_equal(api_test_json(test, "POST", "/v3/watch", body), 200);
    assert_int_equal(read_now(test, &out), ends);
    (void)snprintf(text, sizeof(text), "%s", hm_buf_cstr(&out));
    while ((at = strstr(text, "{\"cluster_id\":\"")) != NULL) {
        char *end = strchr(at, '}');

        memmove(at, end + 1, strlen(end + 1) + 1); /* headers are seen elsewhere */
    }
    assert_string_equal(text, expected);
}

#define FRAME "{\"result\":{\"header\":"

static void test_watch(void **state)
{
    struct api_test *test = *state;

    (void)api_test_json(test, "POST", "/v3/kv/put", "{'key':'YQ==','value':'MQ=='}");
    (void)api_test_json(test, "POST", "/v3/kv/put", "{'key':'Yg==','value':'MQ=='}");
    (void)api_test_json(test, "POST", "/v3/kv/deleterange", "{'key':'YQ=='}");
    watch(
        test, "{'create_request':{'key':'YQ==','start_revision':1,'watch_id':'9','fragment':true}}",
        API_STREAM_WAIT,
        FRAME ",\"watch_id\":\"9\",\"created\":true}}\n" FRAME
              ",\"watch_id\":\"9\",\"events\":[{\"kv\":{\"key\":\"YQ==\",\"create_revision\":\"2\","
              "\"mod_revision\":\"2\",\"version\":\"1\",\"value\":\"MQ==\"}},{\"type\":\"DELETE\","
              "\"kv\":{\"key\":\"YQ==\",\"mod_revision\":\"4\"}}]}}\n");
    watch(test,
          "{'createRequest':{'key':'AA==','rangeEnd':'AA==','startRevision':'1','prevKv':true,"
          "'filters':['NOPUT']}}",
          API_STREAM_WAIT,
          FRAME
          ",\"created\":true}}\n" FRAME
          ",\"events\":[{\"type\":\"DELETE\",\"kv\":{\"key\":\"YQ==\",\"mod_revision\":\"4\"},"
          "\"prev_kv\":{\"key\":\"YQ==\",\"create_revision\":\"2\",\"mod_revision\":\"2\","
          "\"version\":\"1\",\"value\":\"MQ==\"}}]}}\n");
    watch(test, "{'create_request':{'key':'YQ==','start_revision':1,'filters':[0,'NODELETE']}}",
          API_STREAM_WAIT, FRAME ",\"created\":true}}\n");
    watch(test, "{'create_request':{'key':'YQ=='}}", API_STREAM_WAIT,
          FRAME ",\"created\":true}}\n"); /* from now on */
    (void)api_test_json(test, "POST", "/v3/kv/compaction", "{'revision':3}");
    watch(test, "{'create_request':{'key':'YQ==','start_revision':-5}}", API_STREAM_END,
          FRAME ",\"created\":true}}\n" FRAME ",\"canceled\":true,\"compact_revision\":\"3\"}}\n");
}

/* The requests are done in their order, then the watches take turns. Held against etcd's own words. */
static void test_watches_of_one_stream(void **state)
{
    struct api_test *test = *state;

    (void)api_test_json(test, "POST", "/v3/kv/put", "{'key':'YQ==','value':'MQ=='}");
    (void)api_test_json(test, "POST", "/v3/kv/put", "{'key':'Yg==','value':'MQ=='}");
    watch(test,
          "{'create_request':{'key':'YQ==','start_revision':1}} "
          "{'create_request':{'key':'Yg==','start_revision':1}}"
          "{'createRequest':{'key':'Yg==','watch_id':'7'}}\n"
          "{'create_request':{'key':'Yg==','watch_id':'7'}}"
          "{'create_request':{'key':'Yw==','range_end':'Yg=='}}"
          "{'create_request':{'key':'Yg=='}}"
          "{'cancel_request':{'watch_id':'2'}}{'cancelRequest':{'watchId':'77'}}"
          "{'progress_request':{}}{}",
          API_STREAM_WAIT,
          FRAME ",\"created\":true}}\n" FRAME ",\"watch_id\":\"1\",\"created\":true}}\n" FRAME
                ",\"watch_id\":\"7\",\"created\":true}}\n" FRAME
                ",\"watch_id\":\"-1\",\"created\":true,\"canceled\":true,\"cancel_reason\":"
                "\"mvcc: duplicate watch ID provided on the WatchStream\"}}\n" FRAME
                ",\"watch_id\":\"-1\",\"created\":true,\"canceled\":true,\"cancel_reason\":"
                "\"mvcc: watcher range is empty\"}}\n" FRAME
                ",\"watch_id\":\"2\",\"created\":true}}\n" FRAME
                ",\"watch_id\":\"2\",\"canceled\":true}}\n" FRAME
                ",\"events\":[{\"kv\":{\"key\":\"YQ==\",\"create_revision\":\"2\",\"mod_revision\":"
                "\"2\",\"version\":\"1\",\"value\":\"MQ==\"}}]}}\n" FRAME
                ",\"watch_id\":\"1\",\"events\":[{\"kv\":{\"key\":\"Yg==\",\"create_revision\":"
                "\"3\",\"mod_revision\":\"3\",\"version\":\"1\",\"value\":\"MQ==\"}}]}}\n" FRAME
                ",\"watch_id\":\"-1\"}}\n");
    assert_int_equal(fake_subscribers(&test->fake), 3);
    /* One whose history is gone leaves the others alone; after the last the stream ends. */
    (void)api_test_json(test, "POST", "/v3/kv/compaction", "{'revision':3}");
    watch(test,
          "{'create_request':{'key':'YQ==','start_revision':1}}"
          "{'create_request':{'key':'Yg==','start_revision':3}}",
          API_STREAM_WAIT,
          FRAME ",\"created\":true}}\n" FRAME ",\"watch_id\":\"1\",\"created\":true}}\n" FRAME
                ",\"canceled\":true,\"compact_revision\":\"3\"}}\n" FRAME
                ",\"watch_id\":\"1\",\"events\":[{\"kv\":{\"key\":\"Yg==\",\"create_revision\":"
                "\"3\",\"mod_revision\":\"3\",\"version\":\"1\",\"value\":\"MQ==\"}}]}}\n");
    watch(test, "{'create_request':{'key':'YQ=='}}{'cancel_request':{}}", API_STREAM_END,
          FRAME ",\"created\":true}}\n" FRAME ",\"canceled\":true}}\n");
}

static void test_too_many_watches(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct api_test *test = *state;

    for (unsigned i = 0; i < API_ETCD_WATCHES_MAX; i++)
        assert_int_equal(hm_buf_append_str(&body, "{'create_request':{'key':'YQ=='}}"), 0);
    assert_int_equal(api_test_json(test, "POST", "/v3/watch", hm_buf_cstr(&body)), 200);
    assert_int_equal(read_now(test, &out), API_STREAM_WAIT);
    assert_int_equal(fake_subscribers(&test->fake), API_ETCD_WATCHES_MAX);
    assert_int_equal(hm_buf_append_str(&body, "{'create_request':{'key':'YQ=='}}"), 0);
    check_error(test, "/v3/watch", hm_buf_cstr(&body), 400, 3, "at most 128 watches");
    assert_int_equal(fake_subscribers(&test->fake), 0);
}

static void count_wake(void *ctx)
{
    (*(unsigned *)ctx)++;
}

static unsigned changes_asked;

/* A store in which nothing but puts ever happens. */
static int endless_changes(void *ctx, const char *account, struct hm_slice key,
                           struct hm_slice range_end, uint64_t from, uint32_t sub, size_t limit,
                           bool with_previous, struct hm_arena *arena, struct api_kv_changes *out,
                           struct hm_error *error)
{
    (void)ctx, (void)account, (void)key, (void)range_end, (void)sub, (void)limit;
    (void)with_previous, (void)arena, (void)error;
    changes_asked++;
    *out = (struct api_kv_changes){.next = from + 1, .revision = UINT64_MAX};
    return 0;
}

/* What filters leave out must neither hold up the thread nor leave the stream asleep. */
static void test_watch_looks_on(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct api_test *test = *state;
    unsigned wakes = 0;

    test->fake.backend.kv_changes = endless_changes;
    changes_asked = 0;
    assert_int_equal(api_test_json(test, "POST", "/v3/watch",
                                   "{'create_request':{'key':'YQ==','start_revision':'1'}}"),
                     200);
    test->response.stream->attach(test->response.stream, count_wake, &wakes);
    assert_int_equal(read_now(test, &out), API_STREAM_WAIT);
    assert_int_equal(wakes, 1);
    assert_true(changes_asked > 0 && changes_asked < 100);
    assert_int_equal(read_now(test, &out), API_STREAM_WAIT);
    assert_int_equal(wakes, 2);
}

static void test_watch_progress(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct hm_clock_manual by_hand = {.mono_ns = 1000};
    struct hm_clock clock = hm_clock_manual_source(&by_hand);
    struct api_test *test = *state;

    test->core.clock = &clock;
    assert_int_equal(api_test_json(test, "POST", "/v3/watch",
                                   "{'create_request':{'key':'YQ==','progress_notify':true}}"),
                     200);
    assert_true(test->response.stream->beat_ms > 0); /* or nobody would look */
    assert_int_equal(read_now(test, &out), API_STREAM_WAIT);
    hm_buf_clear(&out);
    by_hand.mono_ns += UINT64_C(599000) * 1000000;
    assert_int_equal(read_now(test, &out), API_STREAM_WAIT);
    assert_int_equal(out.len, 0);
    by_hand.mono_ns += UINT64_C(1000) * 1000000;
    assert_int_equal(read_now(test, &out), API_STREAM_WAIT);
    assert_non_null(strstr(hm_buf_cstr(&out), "\"revision\":\"1\""));
    assert_null(strstr(hm_buf_cstr(&out), "events"));
    api_response_release(&test->response);
    test->response = (struct api_response){0};
    test->core.clock = hm_clock_system();
}

static void test_server(void **state)
{
    struct api_test *test = *state;

    check(
        test, "/v3/maintenance/status", "{}", 200,
        HEADER("1") ",\"version\":\"3.4.0\",\"leader\":\"144680345676153346\",\"raftIndex\":\"7\","
                    "\"raftTerm\":\"1\",\"raftAppliedIndex\":\"7\"}");
    check(test, "/v3/maintenance/alarm", "", 200, "{}");
    assert_int_equal(api_test_ask(test, "POST", "/v3/cluster/member/list", NULL, NULL), 200);
    assert_string_equal(
        body_of(test),
        "{\"header\":{\"cluster_id\":\"CLUSTER\",\"member_id\":\"144680345676153346\","
        "\"raft_term\":\"1\"},\"members\":[{\"ID\":\"144680345676153346\",\"name\":\"node\","
        "\"clientURLs\":[\"http://127.0.0.1:7470\"]}]}");
    assert_int_equal(api_test_ask(test, "GET", "/version", NULL, NULL), 200);
    assert_string_equal(api_test_body(test),
                        "{\"etcdserver\":\"3.4.0\",\"etcdcluster\":\"3.4.0\"}");
    assert_int_equal(api_test_ask(test, "GET", "/health", NULL, NULL), 200);
    assert_string_equal(api_test_body(test), "{\"health\":\"true\"}");
    fake_set_ready(&test->fake, false);
    assert_int_equal(api_test_ask(test, "GET", "/health", NULL, NULL), 503);
    assert_int_equal(api_test_ask(test, "POST", "/v3alpha/kv/range", NULL, "{}"), 404);
}

/* The quick reader takes the commonest bodies, as the JSON reader does, and leaves all others to it. */
static void test_flat_bodies(void **state)
{
    static const struct {
        const char *body;
        bool flat;
        const char *key, *value;
    } cases[] = {
        {"{'key':'YQ==','value':'YmM='}", true, "a", "bc"},
        {" { 'value' : 'YmM=' ,\n'key':\t'YQ==' } \r\n", true, "a", "bc"},
        {"{'key':'YQ=='}", true, "a", ""},
        {"{'key':'YQ==','value':''}", true, "a", ""},
        {"{'value':'YQ=='}", false, NULL, NULL},
        {"{'key':'','value':'YQ=='}", false, NULL, NULL},
        {"{'key':'YQ==','key':'Yg=='}", false, NULL, NULL},
        {"{'key':'YQ==','lease':'7'}", false, NULL, NULL},
        {"{'key':'YQ==','value':7}", false, NULL, NULL},
        {"{'key':'YQ==','value':null}", false, NULL, NULL},
        {"{'key':'Y\\u0051==','value':''}", false, NULL, NULL},
        {"{'k\\u0065y':'YQ==','value':''}", false, NULL, NULL},
        {"{'key':'YQ==','value':'a\\'b'}", false, NULL, NULL},
        {"{'key':'YQ==','value':'*'}", false, NULL, NULL},
        {"{'key':'YQ==',}", false, NULL, NULL},
        {"{'key':'YQ==' 'value':''}", false, NULL, NULL},
        {"{'key':'YQ=='", false, NULL, NULL},
        {"{'key':'YQ==", false, NULL, NULL},
        {"{'key':'YQ=='} x", false, NULL, NULL},
        {"{'key':'YQ=='}{}", false, NULL, NULL},
        {"{}", false, NULL, NULL},
        {"", false, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        HM_CLEANUP(hm_arena) struct hm_arena arena;
        HM_AUTOFREE char *body = api_test_quoted(cases[i].body);
        ProtobufCBinaryData key = {0};
        ProtobufCBinaryData value = {0};

        hm_arena_init(&arena, 0);
        if (api_etcd_flat(hm_slice_str(body), "value", &arena, &key, &value) != cases[i].flat)
            fail_msg("%s", body);
        if (!cases[i].flat) {
            assert_true(!key.data && !value.data);
            continue;
        }
        struct hm_slice rest = hm_slice_str(body);
        struct api_etcd_put_ask ask = {0};
        json_t *json = NULL;

        assert_int_equal(api_etcd_read_next(&rest, &json, NULL), 0);
        assert_int_equal(api_etcd_put_read(json, &arena, &ask, NULL), 0);
        json_decref(json);
        assert_true(hm_slice_equal(wire_slice(key), hm_slice_str(cases[i].key)));
        assert_true(hm_slice_equal(wire_slice(key), wire_slice(ask.put.key)));
        assert_true(hm_slice_equal(wire_slice(value), hm_slice_str(cases[i].value)));
        assert_true(hm_slice_equal(wire_slice(value), wire_slice(ask.put.value)));
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, api_test_setup, api_test_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_put_and_range),
        CASE(test_flat_bodies),
        CASE(test_range_order),
        CASE(test_txn),
        CASE(test_leases),
        CASE(test_zero_bytes),
        CASE(test_errors),
        CASE(test_memory_that_runs_out),
        CASE(test_deep_and_wide),
        CASE(test_watch),
        CASE(test_txn_of_older_revisions),
        CASE(test_watches_of_one_stream),
        CASE(test_too_many_watches),
        CASE(test_watch_progress),
        CASE(test_watch_looks_on),
        CASE(test_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
