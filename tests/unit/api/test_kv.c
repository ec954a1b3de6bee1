/* The key-value store's native routes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api_kv.h"
#include "api_test.h"

static unsigned ask_if(struct api_test *test, const char *method, const char *target,
                       const char *body, const char *match, const char *none)
{
    const struct api_request request = {
        .method = method,
        .target = target,
        .content_type = body ? "application/json" : NULL,
        .if_match = match,
        .if_none_match = none,
        .body = body ? hm_slice_str(body) : hm_slice_of(NULL, 0),
    };

    return api_test_send(test, &request);
}

static bool says(struct api_test *test, const char *text)
{
    return strstr(api_test_body(test), text) != NULL;
}

static void test_put_get_delete(void **state)
{
    struct api_test *test = *state;

    assert_int_equal(api_test_json(test, "PUT", "/kv/dir%2Fkey", "{'value':'one'}"), 200);
    assert_true(says(test, "\"revision\":2"));
    assert_string_equal(test->fake.account, "user");
    assert_int_equal(api_test_ask(test, "GET", "/kv/dir%2Fkey", NULL, NULL), 200);
    assert_string_equal(
        api_test_body(test),
        "{\"key\":\"dir/key\",\"value\":\"one\",\"create_revision\":2,\"mod_revision\":2,"
        "\"version\":1,\"lease\":0,\"encoding\":\"text\",\"revision\":2}");
    assert_string_equal(test->response.etag, "\"2\"");
    assert_int_equal(
        api_test_json(test, "PUT", "/kv/dir%2Fkey", "{'value':'two','account':'node'}"), 200);
    assert_string_equal(test->fake.account, "node");
    assert_int_equal(api_test_ask(test, "GET", "/kv/dir%2Fkey?revision=2", NULL, NULL), 200);
    assert_true(says(test, "\"value\":\"one\""));
    assert_int_equal(api_test_ask(test, "GET", "/kv/dir%2Fkey?revision=9", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "DELETE", "/kv/dir%2Fkey", NULL, NULL), 200);
    assert_true(says(test, "\"deleted\":1"));
    assert_int_equal(api_test_ask(test, "GET", "/kv/dir%2Fkey", NULL, NULL), 404);
    assert_int_equal(api_test_ask(test, "GET", "/kv/a?account=stranger", NULL, NULL), 403);
    assert_int_equal(api_test_json(test, "PUT", "/kv/a", "{}"), 400);
    assert_int_equal(api_test_json(test, "PUT", "/kv/a", "{'value':'x','encoding':'hex'}"), 400);
    assert_int_equal(api_test_json(test, "PUT", "/kv/a", "{'value':'!','encoding':'base64'}"), 400);
}

/* A key or value that is no text comes as base64, asked or not. */
static void test_bytes(void **state)
{
    struct api_test *test = *state;

    assert_int_equal(api_test_json(test, "PUT", "/kv/AP8=", "{'value':'/w==','encoding':'base64'}"),
                     200);
    assert_int_equal(api_test_ask(test, "GET", "/kv", NULL, NULL), 200);
    assert_true(says(test, "{\"key\":\"AP8=\",\"value\":\"/w==\""));
    assert_true(says(test, "\"encoding\":\"base64\"}]"));
    assert_int_equal(api_test_ask(test, "GET", "/kv/AP8=?encoding=base64", NULL, NULL), 200);
    assert_int_equal(api_test_ask(test, "GET", "/kv/AP8=", NULL, NULL), 404);
}

/* Conditions are compares of the ledger: only what it says counts. */
static void test_conditions(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct api_test *test = *state;
    const Hypermesh__KvTxn *txn;

    hm_arena_init(&arena, 0);
    assert_int_equal(ask_if(test, "PUT", "/kv/a", "{\"value\":\"1\"}", "\"7\"", NULL), 412);
    assert_string_equal(test->response.content_type, "application/problem+json");
    assert_true(says(test, "HM_ECONFLICT"));
    txn = api_test_op(test, &arena)->kv_txn;
    assert_int_equal(txn->compare[0]->target, HYPERMESH__KV_COMPARE_TARGET__KV_MOD);
    assert_int_equal(txn->compare[0]->number, 7);
    assert_int_equal(ask_if(test, "PUT", "/kv/a", "{\"value\":\"1\"}", NULL, "*"), 200); /* new */
    assert_true(says(test, "\"revision\":2"));
    assert_int_equal(ask_if(test, "PUT", "/kv/a", "{\"value\":\"2\"}", NULL, "*"), 412);
    assert_int_equal(ask_if(test, "PUT", "/kv/a", "{\"value\":\"2\"}", "\"2\"", NULL), 200);
    assert_int_equal(ask_if(test, "PUT", "/kv/a", "{\"value\":\"3\"}", "\"2\"", NULL), 412);
    assert_int_equal(ask_if(test, "PUT", "/kv/a", "{\"value\":\"3\"}", "*", NULL), 200);
    assert_int_equal(ask_if(test, "PUT", "/kv/none", "{\"value\":\"3\"}", "*", NULL), 412);
    assert_int_equal(ask_if(test, "DELETE", "/kv/a", NULL, "\"2\"", NULL), 412);
    assert_int_equal(ask_if(test, "DELETE", "/kv/a", NULL, "\"4\"", NULL), 200);
    assert_true(says(test, "\"deleted\":1"));
    for (size_t i = 0; i < 6; i++) {
        static const char *const wrong[] = {"7", "\"\"", "\"x\"", "W/\"7\"", "\"7", "\"-1\""};

        assert_int_equal(ask_if(test, "PUT", "/kv/a", "{\"value\":\"1\"}", wrong[i], NULL), 400);
    }
    assert_int_equal(ask_if(test, "PUT", "/kv/a", "{\"value\":\"1\"}", NULL, "\"7\""), 400);
    assert_int_equal(ask_if(test, "PUT", "/kv/a", "{\"value\":\"1\"}", "*", "*"), 400);
}

static void put(struct api_test *test, const char *key, const char *value)
{
    char target[64];
    char body[64];

    (void)snprintf(target, sizeof(target), "/kv/%s", key);
    (void)snprintf(body, sizeof(body), "{'value':'%s'}", value);
    assert_int_equal(api_test_json(test, "PUT", target, body), 200);
}

/* Keys of a listing, one after the other. */
static void check_list(struct api_test *test, const char *target, const char *expected)
{
    HM_CLEANUP(hm_buf) struct hm_buf keys = {0};
    json_t *page;

    assert_int_equal(api_test_ask(test, "GET", target, NULL, NULL), 200);
    page = api_test_parse(test);
    for (size_t i = 0; i < json_array_size(json_object_get(page, "items")); i++) {
        const json_t *item = json_array_get(json_object_get(page, "items"), i);

        assert_int_equal(
            hm_buf_printf(&keys, "%s ", json_string_value(json_object_get(item, "key"))), 0);
    }
    json_decref(page);
    assert_string_equal(hm_buf_cstr(&keys), expected);
}

static void test_ranges(void **state)
{
    struct api_test *test = *state;

    put(test, "a", "1");
    put(test, "b1", "2");
    put(test, "b2", "3");
    put(test, "c", "4");
    check_list(test, "/kv?limit=3", "a b1 b2 ");
    check_list(test, "/kv?prefix=b", "b1 b2 ");
    check_list(test, "/kv?prefix=", "a b1 b2 ");
    check_list(test, "/kv?start=b2", "b2 c ");
    check_list(test, "/kv?start=a&end=b2", "a b1 ");
    check_list(test, "/kv?end=b2", "a b1 ");
    check_list(test, "/kv?prefix=b&revision=3", "b1 ");
    assert_int_equal(api_test_ask(test, "GET", "/kv?prefix=b&count_only=1", NULL, NULL), 200);
    assert_string_equal(api_test_body(test),
                        "{\"items\":[],\"next\":null,\"count\":2,\"revision\":5}");
    assert_int_equal(api_test_ask(test, "GET", "/kv?prefix=b&keys_only=1&limit=1", NULL, NULL),
                     200);
    assert_false(says(test, "\"value\""));
    assert_true(says(test, "\"next\":\"5.6231\""));
    assert_int_equal(api_test_ask(test, "GET", "/kv?prefix=b&start=c", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/kv?after=5", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/kv?after=5.6", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/kv?after=x.62", NULL, NULL), 400);
}

/* The pages of a listing are of one moment, whatever is written meanwhile. */
static void test_pages_of_one_moment(void **state)
{
    struct api_test *test = *state;
    char target[64];
    json_t *page;

    put(test, "a", "1");
    put(test, "b", "2");
    put(test, "c", "3");
    assert_int_equal(api_test_ask(test, "GET", "/kv?limit=1", NULL, NULL), 200);
    page = api_test_parse(test);
    (void)snprintf(target, sizeof(target), "/kv?limit=9&after=%s",
                   json_string_value(json_object_get(page, "next")));
    json_decref(page);
    put(test, "b", "changed");
    put(test, "bb", "new");
    check_list(test, target, "b c ");
    assert_false(says(test, "changed"));
}

static void test_prefix_end(void **state)
{
    static const struct {
        const char *prefix;
        size_t len;
        const char *end;
        size_t end_len;
    } cases[] = {
        {"a", 1, "b", 1}, {"ab\xff", 3, "ac", 2}, {"\xff\xff", 2, "\0", 1}, {"", 0, "\0", 1}};
    HM_CLEANUP(hm_arena) struct hm_arena arena;

    (void)state;
    hm_arena_init(&arena, 0);
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        struct hm_slice end = api_kv_prefix_end(&arena, hm_slice_of(cases[i].prefix, cases[i].len));

        assert_true(hm_slice_equal(end, hm_slice_of(cases[i].end, cases[i].end_len)));
    }
}

static void test_txn(void **state)
{
    struct api_test *test = *state;

    put(test, "a", "1");
    assert_int_equal(
        api_test_json(
            test, "POST", "/kv-txn",
            "{'compare':[{'key':'a','target':'value','result':'equal','value':'1'},"
            "{'key':'new','target':'create','result':'equal','number':0}],"
            "'success':[{'put':{'key':'new','value':'x'}},{'range':{'key':'a','prefix':true}},"
            "{'txn':{'failure':[],'success':[{'delete':{'key':'a'}}]}}],"
            "'failure':[{'range':{'key':'a'}}],'account':'node'}"),
        200);
    assert_string_equal(test->fake.account, "node");
    assert_true(says(test, "{\"succeeded\":true,\"answers\":[{\"put\":{\"revision\":3}},"
                           "{\"range\":{\"items\":[{\"key\":\"a\",\"value\":\"1\""));
    assert_true(says(test,
                     "\"count\":1,\"more\":false}},"
                     "{\"txn\":{\"succeeded\":true,\"answers\":[{\"delete\":{\"deleted\":1}}]}}],"
                     "\"revision\":3,"));
    assert_int_equal(
        api_test_json(test, "POST", "/kv-txn",
                      "{'compare':[{'key':'new','target':'mod','result':'greater','number':99}],"
                      "'failure':[{'range':{'key':'new','count_only':true}}]}"),
        200);
    assert_true(
        says(test, "{\"succeeded\":false,\"answers\":[{\"range\":{\"items\":[],\"count\":1"));
}

static void test_txn_refusals(void **state)
{
    static const char *const wrong[] = {
        "[]",
        "{'bogus':[]}",
        "{'compare':{}}",
        "{'compare':[5]}",
        "{'compare':[{'key':'a','target':'size','result':'equal','number':1}]}",
        "{'compare':[{'key':'a','target':'mod','result':'equal'}]}",
        "{'compare':[{'key':'a','target':'mod','result':'equal','value':'1'}]}",
        "{'compare':[{'key':'a','target':'value','result':'equal','number':1}]}",
        "{'compare':[{'key':'a','target':'mod','result':'equal','number':-1}]}",
        "{'compare':[{'key':7,'target':'mod','result':'equal','number':1}]}",
        "{'success':[{}]}",
        "{'success':[{'put':{'key':'a','value':'1'},'delete':{'key':'b'}}]}",
        "{'success':[{'put':{'key':'a','value':'1','ttl':5}}]}",
        "{'success':[{'put':{'key':'a','ignore_value':1}}]}",
        "{'success':[{'delete':{'key':'a','end':'b','prefix':true}}]}",
        "{'success':[{'range':'a'}]}",
        "{'success':[{'txn':[]}]}",
        "{'success':[{'txn':{'account':'x'}}]}",
        "{'account':5}",
        "{'encoding':'x'}",
        "{'encoding':'base64','success':[{'put':{'key':'!','value':''}}]}",
    };
    struct api_test *test = *state;
    unsigned before = test->fake.submits;

    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++) {
        if (api_test_json(test, "POST", "/kv-txn", wrong[i]) != 400)
            fail_msg("%s: %s", wrong[i], api_test_body(test));
    }
    assert_int_equal(test->fake.submits, before);
}

/* Wide and deep transactions are refused before they cost anything. */
static void test_txn_limits(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    struct api_test *test = *state;

    assert_int_equal(hm_buf_append_str(&body, "{\"success\":["), 0);
    for (size_t i = 0; i <= API_KV_OPS_MAX; i++)
        assert_int_equal(hm_buf_printf(&body, "%s{\"range\":{\"key\":\"a\"}}", i > 0 ? "," : ""),
                         0);
    assert_int_equal(hm_buf_append_str(&body, "]}"), 0);
    assert_int_equal(api_test_ask(test, "POST", "/kv-txn", "application/json", hm_buf_cstr(&body)),
                     413);
    hm_buf_clear(&body);
    for (size_t i = 0; i < API_KV_DEPTH_MAX + 2; i++)
        assert_int_equal(hm_buf_append_str(&body, "{\"success\":[{\"txn\":"), 0);
    assert_int_equal(hm_buf_append_str(&body, "{}"), 0);
    for (size_t i = 0; i < API_KV_DEPTH_MAX + 2; i++)
        assert_int_equal(hm_buf_append_str(&body, "}]}"), 0);
    assert_int_equal(api_test_ask(test, "POST", "/kv-txn", "application/json", hm_buf_cstr(&body)),
                     413);
}

static void test_leases(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct api_test *test = *state;
    char user[WIRE_ID_TEXT_MAX];

    hm_arena_init(&arena, 0);
    api_test_account_text(1, user);
    assert_int_equal(api_test_json(test, "POST", "/kv-leases", "{'ttl':'30s'}"), 201);
    assert_int_equal(api_test_op(test, &arena)->kv_lease_grant->ttl_ms, 30000);
    assert_true(says(test, "\"lease\":1000,\"ttl_ms\":30000"));
    assert_int_equal(api_test_json(test, "POST", "/kv-leases", "{'ttl_ms':5000,'lease':7}"), 201);
    assert_int_equal(api_test_json(test, "POST", "/kv-leases", "{'ttl_ms':5000,'lease':7}"), 409);
    assert_int_equal(api_test_ask(test, "GET", "/kv-leases/7", NULL, NULL), 200);
    assert_true(says(test, "\"attached\":[\"held\"]"));
    /* the lease's owner acts when nobody is named */
    assert_int_equal(api_test_ask(test, "POST", "/kv-leases/7/keep-alive", NULL, NULL), 200);
    assert_string_equal(test->fake.account, user);
    assert_true(says(test, "\"lease\":7,\"ttl_ms\":5000"));
    assert_int_equal(api_test_ask(test, "DELETE", "/kv-leases/7?account=node", NULL, NULL), 200);
    assert_string_equal(test->fake.account, "node");
    assert_int_equal(api_test_ask(test, "GET", "/kv-leases/7", NULL, NULL), 404);
    assert_int_equal(api_test_ask(test, "GET", "/kv-leases/x", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "DELETE", "/kv-leases/99", NULL, NULL), 404);
}

static void test_rules(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct api_test *test = *state;
    const Hypermesh__KvRuleSet *rule;

    hm_arena_init(&arena, 0);
    assert_int_equal(
        api_test_json(test, "PUT", "/kv-rules",
                      "{'prefix':'app/','owner':'user','writers':['node'],'anyone_reads':true}"),
        200);
    rule = api_test_op(test, &arena)->kv_rule_set;
    assert_true(hm_slice_equal(wire_slice(rule->prefix), hm_slice_str("app/")));
    assert_int_equal(rule->owner.data[0], 1);
    assert_int_equal(rule->n_writers, 1);
    assert_int_equal(rule->n_readers, 0);
    assert_true(rule->anyone_reads && !rule->anyone_writes);
    assert_int_equal(api_test_ask(test, "DELETE", "/kv-rules?prefix=app%2F", NULL, NULL), 200);
    rule = api_test_op(test, &arena)->kv_rule_set;
    assert_int_equal(rule->owner.len, 0);
    assert_true(hm_slice_equal(wire_slice(rule->prefix), hm_slice_str("app/")));
    assert_int_equal(api_test_ask(test, "DELETE", "/kv-rules", NULL, NULL), 400);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, api_test_setup, api_test_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_put_get_delete),
        CASE(test_bytes),
        CASE(test_conditions),
        CASE(test_ranges),
        CASE(test_pages_of_one_moment),
        CASE(test_prefix_end),
        CASE(test_txn),
        CASE(test_txn_refusals),
        CASE(test_txn_limits),
        CASE(test_leases),
        CASE(test_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
