/* Every route once, its answer held against /openapi.json; and the document against the routes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api_test.h"
#include "api_test_schema.h"

#define DIGEST_D0 "d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0"
#define DIGEST_D1 "d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1"

/* ASSET, LEASE, NETWK, CHALL and USER stand for ids of the fake. Quotes are '. */
struct example {
    const char *id; /* of the route */
    const char *method;
    const char *target;
    const char *type;
    const char *body;
};

#define JSON  "application/json"
#define HEX32 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
/* clang-format off */
static const struct example examples[] = {
    {"livez", "GET", "/livez", NULL, NULL},
    {"readyz", "GET", "/readyz", NULL, NULL},
    {"openapi", "GET", "/openapi.json", NULL, NULL},
    {"metrics", "GET", "/metrics", NULL, NULL},
    {"node_status", "GET", "/node", NULL, NULL},
    {"node_stop", "POST", "/node/stop", NULL, NULL},
    {"node_scan", "GET", "/node/scan", NULL, NULL},
    {"node_doctor", "GET", "/node/doctor", NULL, NULL},
    {"account_list", "GET", "/accounts", NULL, NULL},
    {"account_create", "POST", "/accounts", JSON, "{'name':'second'}"},
    {"account_show", "GET", "/accounts/user", NULL, NULL},
    {"account_show", "GET", "/accounts/USER", NULL, NULL},
    {"account_signing", "GET", "/accounts/user/signing", NULL, NULL},
    {"account_transfer", "POST", "/accounts/user/transfer", JSON, "{'to':'node','amount':'1.5','token':'caes','memo':'hi'}"},
    {"account_bond", "POST", "/accounts/user/bond", JSON, "{'amount':'100'}"},
    {"account_unbond", "POST", "/accounts/user/unbond", JSON, "{'amount':'0.000000001'}"},
    {"session_revoke", "POST", "/accounts/user/sessions/revoke", JSON, "{'session_key':'" DIGEST_D0 "'}"},
    {"asset_register", "POST", "/assets/register", JSON, "{'kind':'memory','hardware_id':'mem-0','capacity':'64G','price_per_hour':'0.5','attributes':{'b':'2','a':'1'},'privacy':{'level':'P2P','max_share':'50%','accounts':['user']}}"},
    {"asset_list", "GET", "/assets?owner=node&kind=cpu&retired=true&limit=2", NULL, NULL},
    {"asset_show", "GET", "/assets/ASSET", NULL, NULL},
    {"asset_update", "PUT", "/assets/ASSET", JSON, "{'price_per_hour':'3'}"},
    {"asset_retire", "DELETE", "/assets/ASSET?account=node", NULL, NULL},
    {"asset_history", "GET", "/assets/ASSET/history?limit=2", NULL, NULL},
    {"asset_transfer", "POST", "/assets/ASSET/transfer", JSON, "{'to':'USER'}"},
    {"asset_allocate", "PUT", "/assets/ASSET/allocate", JSON, "{'share':'10%','duration':'30s'}"},
    {"asset_release", "DELETE", "/assets/ASSET/release", NULL, NULL},
    {"asset_release", "DELETE", "/assets/ASSET/release?lease=LEASE&account=user", NULL, NULL},
    {"lease_list", "GET", "/leases?party=user&active=1", NULL, NULL},
    {"lease_show", "GET", "/leases/LEASE", NULL, NULL},
    {"lease_renew", "POST", "/leases/LEASE/renew", JSON, "{'extra_ms':5000}"},
    {"consensus_validate", "POST", "/consensus/validate", JSON, "{'tx':'" DIGEST_D0 "'}"},
    {"consensus_validate", "POST", "/consensus/validate", JSON, "{'batch':'AAEC','index':0}"},
    {"consensus_status", "GET", "/consensus/status", NULL, NULL},
    {"privacy_set", "PUT", "/privacy/level", JSON, "{'asset':'ASSET','level':'FullPublic','max_leases':4,'max_duration':'1h'}"},
    {"privacy_settings", "GET", "/privacy/settings", NULL, NULL},
    {"privacy_settings", "GET", "/privacy/settings?asset=ASSET", NULL, NULL},
    {"job_create", "POST", "/jobs?account=user", "application/yaml", "image: busybox\ncommand: [echo, hi]\ntimeout: 20s\n"},
    {"job_create", "POST", "/jobs", JSON, "{'image':'busybox','command':['echo','hi']}"},
    {"job_list", "GET", "/jobs?limit=2", NULL, NULL},
    {"job_show", "GET", "/jobs/latest", NULL, NULL},
    {"job_cancel", "DELETE", "/jobs/" FAKE_JOB, NULL, NULL},
    {"job_logs", "GET", "/jobs/latest/logs?format=frames", NULL, NULL},
    {"job_wait", "GET", "/jobs/latest/wait?timeout=1ms", NULL, NULL},
    {"image_list", "GET", "/images", NULL, NULL},
    {"image_import", "POST", "/images", JSON, "{'path':'/tmp/image.tar','name':'mine'}"},
    {"image_base", "POST", "/images/base", NULL, NULL},
    {"image_remove", "DELETE", "/images/busybox", NULL, NULL},
    {"block_list", "GET", "/blocks?limit=3", NULL, NULL},
    {"block_show", "GET", "/blocks/latest", NULL, NULL},
    {"block_show", "GET", "/blocks/3", NULL, NULL},
    {"tx_show", "GET", "/txs/" DIGEST_D0, NULL, NULL},
    {"tx_show", "GET", "/txs/" DIGEST_D1, NULL, NULL},
    {"tx_submit", "POST", "/txs", "application/octet-stream", "bytes"},
    {"state_proof", "GET", "/state/0102ff", NULL, NULL},
    {"state_proof", "GET", "/state/02", NULL, NULL},
    {"light_block", "GET", "/light/latest", NULL, NULL},
    {"light_block", "GET", "/light/3?wait_ms=5", NULL, NULL},
    {"chain_verify", "POST", "/chain/verify", NULL, NULL},
    {"genesis", "GET", "/genesis", NULL, NULL},
    {"peers_set", "PUT", "/privacy/peers", JSON, "{'accounts':['node'],'account':'user'}"},
    {"peers_show", "GET", "/privacy/peers?account=node", NULL, NULL},
    {"proxy_set", "POST", "/privacy/proxy", JSON, "{'any':false,'relays':['node'],'sealed_only':true}"},
    {"proxy_show", "GET", "/privacy/proxy", NULL, NULL},
    {"network_create", "POST", "/networks", JSON, "{'name':'friends','open':true}"},
    {"network_list", "GET", "/networks?member=user&limit=1", NULL, NULL},
    {"network_show", "GET", "/networks/NETWK", NULL, NULL},
    {"network_dissolve", "DELETE", "/networks/NETWK", NULL, NULL},
    {"network_members", "GET", "/networks/NETWK/members?limit=1", NULL, NULL},
    {"network_join", "POST", "/networks/NETWK/join", JSON, "{}"},
    {"network_leave", "POST", "/networks/NETWK/leave", JSON, "{'account':'user'}"},
    {"network_invite", "POST", "/networks/NETWK/invite", JSON, "{'who':'user'}"},
    {"network_expel", "POST", "/networks/NETWK/expel", JSON, "{'who':'user'}"},
    {"validator_list", "GET", "/validators?limit=1", NULL, NULL},
    {"validator_declare", "POST", "/validators", JSON, "{'key':'" HEX32 "','proof':'" HEX32 HEX32 "','bond':'1000','commission_ppm':5}"},
    {"validator_show", "GET", "/validators/USER", NULL, NULL},
    {"validator_retire", "DELETE", "/validators/user", NULL, NULL},
    {"validator_update", "POST", "/validators/user/commission", JSON, "{'commission_ppm':10000}"},
    {"unjail", "POST", "/validators/user/unjail", NULL, NULL},
    {"delegation_list", "GET", "/validators/user/delegations", NULL, NULL},
    {"delegate", "POST", "/validators/node/delegate", JSON, "{'amount':'1.5'}"},
    {"undelegate", "POST", "/validators/node/undelegate", JSON, "{}"},
    {"redelegate", "POST", "/validators/node/redelegate", JSON, "{'to':'user','amount':'1'}"},
    {"rewards_take", "POST", "/validators/node/rewards", JSON, "{}"},
    {"stake_list", "GET", "/accounts/user/stakes?limit=1", NULL, NULL},
    {"cluster_witness", "GET", "/cluster/witness?min_height=1", NULL, NULL},
    {"cluster_vdf", "GET", "/cluster/vdf", NULL, NULL},
    {"ticket_create", "POST", "/cluster/tickets", JSON, "{'role':'validator','expires':'1h','fund':true,'bond':'2000','addresses':['192.0.2.1:7471']}"},
    {"ticket_list", "GET", "/cluster/tickets", NULL, NULL},
    {"ticket_revoke", "DELETE", "/cluster/tickets/01000000000000000000000000000000", NULL, NULL},
    {"challenge_open", "POST", "/consensus/challenge", JSON, "{'node':'node'}"},
    {"challenge_open", "POST", "/consensus/challenge", JSON, "{'lease':'LEASE'}"},
    {"challenge_list", "GET", "/consensus/challenges?party=node&open=1&limit=1", NULL, NULL},
    {"challenge_show", "GET", "/consensus/challenges/CHALL", NULL, NULL},
    {"kv_put", "PUT", "/kv/a%2Fb", JSON, "{'value':'one'}"},
    {"kv_put", "PUT", "/kv/AP8=", JSON, "{'value':'/w==','encoding':'base64'}"},
    {"kv_get", "GET", "/kv/a%2Fb", NULL, NULL},
    {"kv_list", "GET", "/kv?prefix=a&limit=1", NULL, NULL},
    {"kv_watch", "GET", "/kv-watch?prefix=a&from=1", NULL, NULL},
    {"kv_txn", "POST", "/kv-txn", JSON, "{'compare':[{'key':'x','target':'version','result':'equal','number':0}],'success':[{'put':{'key':'x','value':'1'}},{'range':{'key':'x'}},{'delete':{'key':'x'}},{'txn':{}}]}"},
    {"kv_delete", "DELETE", "/kv/a%2Fb", NULL, NULL},
    {"kv_lease_grant", "POST", "/kv-leases", JSON, "{'ttl':'30s','lease':5}"},
    {"kv_lease_list", "GET", "/kv-leases?limit=1", NULL, NULL},
    {"kv_lease_show", "GET", "/kv-leases/5", NULL, NULL},
    {"kv_lease_keep_alive", "POST", "/kv-leases/5/keep-alive", NULL, NULL},
    {"kv_lease_revoke", "DELETE", "/kv-leases/5", NULL, NULL},
    {"kv_compact", "POST", "/kv-compact", JSON, "{'revision':1}"},
    {"kv_rule_list", "GET", "/kv-rules?limit=2", NULL, NULL},
    {"kv_rule_set", "PUT", "/kv-rules", JSON, "{'prefix':'a','owner':'user','writers':['node'],'anyone_reads':true}"},
    {"kv_rule_remove", "DELETE", "/kv-rules?prefix=a", NULL, NULL},
    {"kv_state", "GET", "/kv-state", NULL, NULL},
    {"events", "GET", "/events?since=0&follow=0", NULL, NULL},
    {"audit_export", "GET", "/audit?from=2", NULL, NULL},
    {"backup_create", "POST", "/backup", JSON, "{'path':'/var/backup','passphrase':'secret'}"},
    {"etcd_version", "GET", "/version", NULL, NULL},
    {"etcd_health", "GET", "/health", NULL, NULL},
    {"etcd_range", "POST", "/v3/kv/range", NULL, "{'key':'YQ=='}"},
    {"etcd_put", "POST", "/v3/kv/put", NULL, "{'key':'YQ==','value':'Yg=='}"},
    {"etcd_delete_range", "POST", "/v3/kv/deleterange", NULL, "{'key':'YQ=='}"},
    {"etcd_txn", "POST", "/v3/kv/txn", NULL, "{}"},
    {"etcd_compaction", "POST", "/v3/kv/compaction", NULL, "{'revision':'1'}"},
    {"etcd_lease_grant", "POST", "/v3/lease/grant", NULL, "{'TTL':'60','ID':'6'}"},
    {"etcd_lease_keep_alive", "POST", "/v3/lease/keepalive", NULL, "{'ID':'6'}"},
    {"etcd_lease_time_to_live", "POST", "/v3/lease/timetolive", NULL, "{'ID':'6'}"},
    {"etcd_kv_lease_time_to_live", "POST", "/v3/kv/lease/timetolive", NULL, "{'ID':'6'}"},
    {"etcd_lease_leases", "POST", "/v3/lease/leases", NULL, "{}"},
    {"etcd_kv_lease_leases", "POST", "/v3/kv/lease/leases", NULL, "{}"},
    {"etcd_lease_revoke", "POST", "/v3/lease/revoke", NULL, "{'ID':'6'}"},
    {"etcd_lease_grant", "POST", "/v3/lease/grant", NULL, "{'TTL':'60','ID':'7'}"},
    {"etcd_kv_lease_revoke", "POST", "/v3/kv/lease/revoke", NULL, "{'ID':'7'}"},
    {"etcd_watch", "POST", "/v3/watch", NULL, "{'create_request':{'key':'YQ=='}}"},
    {"etcd_status", "POST", "/v3/maintenance/status", NULL, "{}"},
    {"etcd_alarm", "POST", "/v3/maintenance/alarm", NULL, "{}"},
    {"etcd_members", "POST", "/v3/cluster/member/list", NULL, "{}"},
    {"etcd_authenticate", "POST", "/v3/auth/authenticate", NULL, "{}"},
    {"etcd_defragment", "POST", "/v3/maintenance/defragment", NULL, "{}"},
    {"etcd_hash", "POST", "/v3/maintenance/hash", NULL, "{}"},
    {"etcd_snapshot", "POST", "/v3/maintenance/snapshot", NULL, "{}"},
    {"etcd_transfer_leadership", "POST", "/v3/maintenance/transfer-leadership", NULL, "{}"},
    {"etcd_member_add", "POST", "/v3/cluster/member/add", NULL, "{}"},
    {"etcd_member_remove", "POST", "/v3/cluster/member/remove", NULL, "{}"},
    {"etcd_member_update", "POST", "/v3/cluster/member/update", NULL, "{}"},
    {"etcd_auth_enable", "POST", "/v3/auth/enable", NULL, "{}"},
};
/* clang-format on */

/* Puts the fake's ids where their names stand, and " for '. */
static void fill_in(const char *text, struct hm_buf *out)
{
    static const struct {
        const char *word;
        uint8_t first; /* of the fake's id */
        void (*text)(const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX]);
    } words[] = {{"ASSET", 0xa0, wire_asset_text},
                 {"LEASE", 0xb0, wire_lease_text},
                 {"NETWK", 0x90, wire_network_text},
                 {"CHALL", 0xa0, wire_challenge_text},
                 {"USER", 1, wire_account_text}};

    while (text && *text != '\0') {
        char name[WIRE_ID_TEXT_MAX];
        uint8_t id[WIRE_ID_BYTES];
        size_t i = 0;

        while (i < HM_COUNT_OF(words) && strncmp(text, words[i].word, strlen(words[i].word)) != 0)
            i++;
        if (i == HM_COUNT_OF(words)) {
            assert_int_equal(hm_buf_append(out, *text == '\'' ? "\"" : text, 1), 0);
            text++;
            continue;
        }
        fake_id(words[i].first, id);
        words[i].text(id, name);
        assert_int_equal(hm_buf_append_str(out, name), 0);
        text += strlen(words[i].word);
    }
}

static const struct api_route *route_by_id(const char *id)
{
    for (size_t i = 0; i < api_route_count; i++) {
        if (strcmp(api_routes[i].id, id) == 0)
            return &api_routes[i];
    }
    return NULL;
}

static json_t *document_of(struct api_test *test)
{
    json_t *document;

    assert_int_equal(api_test_ask(test, "GET", "/openapi.json", NULL, NULL), 200);
    document = api_test_parse(test);
    assert_non_null(document);
    return document;
}

/* Schema that the document promises for an operation's success. */
static const json_t *promised(const json_t *document, const struct api_route *route)
{
    char method[8] = "";
    char status[8];
    const json_t *at;

    for (size_t i = 0; route->method[i] != '\0'; i++)
        method[i] = (char)(route->method[i] | 0x20);
    (void)snprintf(status, sizeof(status), "%u", route->status);
    at = json_object_get(json_object_get(json_object_get(document, "paths"), route->pattern),
                         method);
    assert_string_equal(json_string_value(json_object_get(at, "operationId")), route->id);
    at = json_object_get(json_object_get(json_object_get(at, "responses"), status), "content");
    at = json_object_get(json_object_get(at, "application/json"), "schema");
    return at;
}

static void try_example(struct api_test *test, const json_t *document,
                        const struct example *example)
{
    const struct api_route *route = route_by_id(example->id);
    HM_CLEANUP(hm_buf) struct hm_buf target = {0};
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    const json_t *schema;
    const char *fault;
    unsigned status;
    json_t *value;

    assert_non_null(route);
    fill_in(example->target, &target);
    fill_in(example->body, &body);
    status = api_test_ask(test, example->method, hm_buf_cstr(&target), example->type,
                          example->body ? hm_buf_cstr(&body) : NULL);
    if (status != route->status)
        fail_msg("%s: %u %s", example->id, status, api_test_body(test));
    if (!route->answer)
        return;
    value = api_test_parse(test);
    assert_non_null(value);
    schema = promised(document, route);
    assert_non_null(schema);
    fault = api_test_schema_fault(document, schema, value);
    if (fault)
        fail_msg("%s: %s in %s", example->id, fault, api_test_body(test));
    json_decref(value);
}

static void test_every_route_answers_as_the_document_says(void **state)
{
    struct api_test *test = *state;
    json_t *document = document_of(test);

    fake_log(&test->fake, 1, "hello");
    for (size_t i = 0; i < HM_COUNT_OF(examples); i++)
        try_example(test, document, &examples[i]);
    for (size_t i = 0; i < api_route_count; i++) {
        size_t k = 0;

        while (k < HM_COUNT_OF(examples) && strcmp(examples[k].id, api_routes[i].id) != 0)
            k++;
        if (k == HM_COUNT_OF(examples))
            fail_msg("no example for %s", api_routes[i].id);
    }
    json_decref(document);
}

/* Request bodies of the examples fit their schemas too, so that a client made from the document
 * works. */
static void test_examples_fit_request_schemas(void **state)
{
    struct api_test *test = *state;
    json_t *document = document_of(test);
    const json_t *schemas = json_object_get(json_object_get(document, "components"), "schemas");

    for (size_t i = 0; i < HM_COUNT_OF(examples); i++) {
        const struct api_route *route = route_by_id(examples[i].id);
        HM_CLEANUP(hm_buf) struct hm_buf body = {0};
        const char *fault;
        json_t *value;

        if (!route->body)
            continue;
        fill_in(examples[i].body, &body);
        value = json_loads(hm_buf_cstr(&body), 0, NULL);
        assert_non_null(value);
        fault = api_test_schema_fault(document, json_object_get(schemas, route->body->name), value);
        if (fault)
            fail_msg("%s: %s", examples[i].id, fault);
        json_decref(value);
    }
    json_decref(document);
}

static size_t operations_in(const json_t *document)
{
    json_t *paths = json_object_get(document, "paths");
    size_t count = 0;
    const char *key;
    json_t *path;

    json_object_foreach(paths, key, path)
    {
        count += json_object_size(path);
    }
    return count;
}

static size_t check_references(const json_t *document, json_t *value)
{
    const json_t *reference = json_is_object(value) ? json_object_get(value, "$ref") : NULL;
    size_t count = 0;
    const char *key;
    json_t *entry;
    size_t i;

    if (reference) {
        const char *path = json_string_value(reference);
        const char *name = strrchr(path, '/') + 1;
        const char *kind = strstr(path, "/schemas/") ? "schemas" : "responses";

        if (!json_object_get(json_object_get(json_object_get(document, "components"), kind), name))
            fail_msg("%s refers to nothing", path);
        count++;
    }
    if (json_is_object(value)) {
        json_object_foreach(value, key, entry)
        {
            count += check_references(document, entry);
        }
    }
    if (json_is_array(value)) {
        json_array_foreach(value, i, entry)
        {
            count += check_references(document, entry);
        }
    }
    return count;
}

static void test_document_has_exactly_the_routes(void **state)
{
    struct api_test *test = *state;
    json_t *document = document_of(test);

    assert_string_equal(json_string_value(json_object_get(document, "openapi")), "3.1.0");
    assert_int_equal(operations_in(document), api_route_count);
    for (size_t i = 0; i < api_route_count; i++) {
        if (api_routes[i].answer)
            assert_non_null(promised(document, &api_routes[i]));
    }
    assert_true(check_references(document, document) > 100);
    json_decref(document);
}

/* The kept copy is the contract that clients read; a change of it must be seen in review. To
 * accept one: HM_WRITE_OPENAPI=1 in the environment of this test. */
static void test_kept_document_is_up_to_date(void **state)
{
    const char *root = getenv("HM_SOURCE");
    HM_AUTOFREE char *path = hm_asprintf("%s/src/api/openapi.json", root ? root : ".");
    HM_CLEANUP(hm_buf) struct hm_buf kept = {0};
    struct api_test *test = *state;
    json_t *document = document_of(test);
    char *text = json_dumps(document, JSON_INDENT(1) | JSON_ENSURE_ASCII);
    json_t *before;

    assert_non_null(text);
    if (getenv("HM_WRITE_OPENAPI"))
        assert_int_equal(hm_file_replace(path, text, strlen(text), 0644, NULL), 0);
    assert_int_equal(hm_file_read(path, 1 << 22, &kept, NULL), 0);
    before = json_loadb((const char *)kept.data, kept.len, 0, NULL);
    assert_non_null(before);
    if (!json_equal(before, document))
        fail_msg("src/api/openapi.json is not what the node says; look at the change, then run "
                 "this test with "
                 "HM_WRITE_OPENAPI=1");
    json_decref(before);
    json_decref(document);
    free(text);
}

/* The table in docs/api.md names every route. */
static void test_routes_are_in_the_manual(void **state)
{
    const char *root = getenv("HM_SOURCE");
    HM_AUTOFREE char *path = hm_asprintf("%s/docs/api.md", root ? root : ".");
    HM_CLEANUP(hm_buf) struct hm_buf manual = {0};

    (void)state;
    assert_int_equal(hm_file_read(path, 1 << 20, &manual, NULL), 0);
    for (size_t i = 0; i < api_route_count; i++) {
        char row[160];

        (void)snprintf(row, sizeof(row), "\n| `%s %s` |", api_routes[i].method,
                       api_routes[i].pattern);
        if (!strstr(hm_buf_cstr(&manual), row))
            fail_msg("docs/api.md lacks %s", row + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_route_answers_as_the_document_says,
                                        api_test_setup, api_test_teardown),
        cmocka_unit_test_setup_teardown(test_examples_fit_request_schemas, api_test_setup,
                                        api_test_teardown),
        cmocka_unit_test_setup_teardown(test_document_has_exactly_the_routes, api_test_setup,
                                        api_test_teardown),
        cmocka_unit_test(test_routes_are_in_the_manual),
        cmocka_unit_test_setup_teardown(test_kept_document_is_up_to_date, api_test_setup,
                                        api_test_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
