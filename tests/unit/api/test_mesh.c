/* Networks, privacy, challenges, backups: what becomes of a request, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api_test.h"

static void network_text(char out[WIRE_ID_TEXT_MAX])
{
    uint8_t id[32];

    fake_id(0x90, id);
    wire_network_text(id, out);
}

static const char *path_of(char out[160], const char *end)
{
    char network[WIRE_ID_TEXT_MAX];

    network_text(network);
    (void)snprintf(out, 160, "/networks/%s%s", network, end);
    return out;
}

static Hypermesh__Operation *sent(struct api_test *test, struct hm_arena *arena,
                                  Hypermesh__Operation__OpCase wanted)
{
    Hypermesh__Operation *op = api_test_op(test, arena);

    assert_non_null(op);
    assert_int_equal(op->op_case, wanted);
    return op;
}

static void test_networks(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct api_test *test = *state;
    Hypermesh__Operation *op;
    char node[WIRE_ID_TEXT_MAX];
    char path[160];

    hm_arena_init(&arena, 0);
    api_test_account_text(2, node);
    assert_int_equal(api_test_json(test, "POST", "/networks", "{'name':'n','open':true}"), 201);
    op = sent(test, &arena, HYPERMESH__OPERATION__OP_NETWORK_CREATE);
    assert_string_equal(op->network_create->name, "n");
    assert_true(op->network_create->open);
    assert_string_equal(test->fake.account, "user");
    assert_non_null(strstr(api_test_body(test), "\"network\":\"net1"));
    assert_int_equal(api_test_json(test, "POST", path_of(path, "/join"), "{'account':'node'}"),
                     200);
    op = sent(test, &arena, HYPERMESH__OPERATION__OP_NETWORK_JOIN);
    assert_int_equal(op->network_join->network.data[31], 0x90);
    assert_string_equal(test->fake.account, "node");
    assert_int_equal(api_test_json(test, "POST", path_of(path, "/leave"), "{}"), 200);
    (void)sent(test, &arena, HYPERMESH__OPERATION__OP_NETWORK_LEAVE);
    assert_string_equal(test->fake.account, "user");
    /* the owner acts when nobody is named */
    assert_int_equal(api_test_json(test, "POST", path_of(path, "/invite"), "{'who':'user'}"), 200);
    op = sent(test, &arena, HYPERMESH__OPERATION__OP_NETWORK_INVITE);
    assert_int_equal(op->network_invite->account.data[0], 1);
    assert_string_equal(test->fake.account, node);
    assert_int_equal(api_test_json(test, "POST", path_of(path, "/expel"), "{'who':'user'}"), 200);
    (void)sent(test, &arena, HYPERMESH__OPERATION__OP_NETWORK_EXPEL);
    assert_int_equal(api_test_ask(test, "DELETE", path_of(path, "?account=user"), NULL, NULL), 200);
    (void)sent(test, &arena, HYPERMESH__OPERATION__OP_NETWORK_DISSOLVE);
    assert_string_equal(test->fake.account, "user");
    assert_int_equal(api_test_json(test, "POST", path_of(path, "/invite"), "{}"), 400);
    assert_int_equal(api_test_ask(test, "GET", "/networks/net1bad", NULL, NULL), 400);
}

/* Every page once, whatever the list. */
static void check_pages(struct api_test *test, const char *path, size_t expected)
{
    char target[240];
    char next[WIRE_ID_TEXT_MAX] = "";
    size_t seen = 0;

    do {
        json_t *page;
        const char *cursor;

        (void)snprintf(target, sizeof(target), "%s%climit=1%s%s", path,
                       strchr(path, '?') ? '&' : '?', next[0] ? "&after=" : "", next);
        assert_int_equal(api_test_ask(test, "GET", target, NULL, NULL), 200);
        page = api_test_parse(test);
        assert_int_equal(json_array_size(json_object_get(page, "items")), 1);
        cursor = json_string_value(json_object_get(page, "next"));
        (void)snprintf(next, sizeof(next), "%s", cursor ? cursor : "");
        json_decref(page);
        seen++;
        assert_true(seen <= expected);
    } while (next[0] != '\0');
    assert_int_equal(seen, expected);
}

static void test_pages(void **state)
{
    struct api_test *test = *state;
    char path[160];

    check_pages(test, "/networks", FAKE_NETWORKS);
    check_pages(test, path_of(path, "/members"), 2);
    check_pages(test, "/consensus/challenges", 2);
    check_pages(test, "/kv-rules", 3);
    assert_int_equal(api_test_ask(test, "GET", "/kv-rules?after=zz", NULL, NULL), 400);
    assert_int_equal(api_test_ask(test, "GET", "/networks?after=net1x", NULL, NULL), 400);
}

static void test_privacy(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct api_test *test = *state;
    const Hypermesh__Privacy *privacy;
    char asset[WIRE_ID_TEXT_MAX];
    char network[WIRE_ID_TEXT_MAX];
    char body[400];

    hm_arena_init(&arena, 0);
    api_test_asset_text(0, asset);
    network_text(network);
    (void)snprintf(body, sizeof(body),
                   "{'asset':'%s','level':'PrivateNetwork','networks':['%s'],'reward':'0%%',"
                   "'demand':{'min_bond':'1.5','min_work_bits':20,'max_anchor_age':9,"
                   "'min_plot_labels':1024}}",
                   asset, network);
    assert_int_equal(api_test_json(test, "PUT", "/privacy/level", body), 200);
    privacy = sent(test, &arena, HYPERMESH__OPERATION__OP_PRIVACY_SET)->privacy_set->privacy;
    assert_int_equal(privacy->n_networks, 1);
    assert_int_equal(privacy->networks[0].data[5], 0x90);
    assert_int_equal(privacy->reward_waived_ppm, 1000000);
    assert_int_equal(privacy->demand->min_bond, 1500000000);
    assert_int_equal(privacy->demand->min_work_bits, 20);
    assert_int_equal(privacy->demand->max_anchor_age, 9);
    assert_int_equal(privacy->demand->min_plot_labels, 1024);
    (void)snprintf(body, sizeof(body), "{'asset':'%s','level':'P2P','reward_ppm':250000}", asset);
    assert_int_equal(api_test_json(test, "PUT", "/privacy/level", body), 200);
    privacy = sent(test, &arena, HYPERMESH__OPERATION__OP_PRIVACY_SET)->privacy_set->privacy;
    assert_int_equal(privacy->reward_waived_ppm, 750000);
    assert_null(privacy->demand);
    (void)snprintf(body, sizeof(body), "{'asset':'%s','level':'P2P'}", asset);
    assert_int_equal(api_test_json(test, "PUT", "/privacy/level", body), 200);
    privacy = sent(test, &arena, HYPERMESH__OPERATION__OP_PRIVACY_SET)->privacy_set->privacy;
    assert_int_equal(privacy->reward_waived_ppm, 0);
    (void)snprintf(body, sizeof(body), "{'asset':'%s','level':'P2P','reward':'101%%'}", asset);
    assert_int_equal(api_test_json(test, "PUT", "/privacy/level", body), 400);
    (void)snprintf(body, sizeof(body), "{'asset':'%s','level':'P2P','networks':['hm1x']}", asset);
    assert_int_equal(api_test_json(test, "PUT", "/privacy/level", body), 400);
    (void)snprintf(body, sizeof(body), "{'asset':'%s','level':'P2P','demand':{'x':1}}", asset);
    assert_int_equal(api_test_json(test, "PUT", "/privacy/level", body), 400);
}

static void test_peers_and_relays(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct api_test *test = *state;
    const Hypermesh__ProxySet *proxy;

    hm_arena_init(&arena, 0);
    assert_int_equal(api_test_json(test, "PUT", "/privacy/peers", "{'accounts':['node','user']}"),
                     200);
    assert_int_equal(sent(test, &arena, HYPERMESH__OPERATION__OP_PEERS_SET)->peers_set->n_accounts,
                     2);
    assert_int_equal(api_test_json(test, "PUT", "/privacy/peers", "{}"), 400);
    assert_int_equal(api_test_json(test, "POST", "/privacy/proxy", "{'any':true,'account':'node'}"),
                     200);
    proxy = sent(test, &arena, HYPERMESH__OPERATION__OP_PROXY_SET)->proxy_set;
    assert_true(proxy->any);
    assert_int_equal(proxy->n_relays, 0);
    assert_string_equal(test->fake.account, "node");
    assert_int_equal(api_test_ask(test, "GET", "/privacy/proxy", NULL, NULL), 200);
    assert_non_null(
        strstr(api_test_body(test), "\"any\":false,\"relays\":[],\"sealed_only\":false}"));
}

static void test_challenges(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct api_test *test = *state;
    const Hypermesh__ChallengeOpen *open;
    char lease[WIRE_ID_TEXT_MAX];
    char body[160];

    hm_arena_init(&arena, 0);
    assert_int_equal(api_test_json(test, "POST", "/consensus/challenge", "{'node':'node'}"), 201);
    open = sent(test, &arena, HYPERMESH__OPERATION__OP_CHALLENGE_OPEN)->challenge_open;
    assert_int_equal(open->node.data[0], 2);
    assert_int_equal(open->lease.len, 0);
    assert_non_null(strstr(api_test_body(test), "\"challenge\":\"chal1"));
    assert_non_null(strstr(api_test_body(test), "\"due_ms\":1700000060000"));
    api_test_lease_text(0, lease);
    (void)snprintf(body, sizeof(body), "{'lease':'%s','account':'node'}", lease);
    assert_int_equal(api_test_json(test, "POST", "/consensus/challenge", body), 201);
    open = sent(test, &arena, HYPERMESH__OPERATION__OP_CHALLENGE_OPEN)->challenge_open;
    assert_int_equal(open->lease.data[0], 0xb0);
    assert_int_equal(open->node.data[0], 2); /* who settles it */
    assert_int_equal(api_test_json(test, "POST", "/consensus/challenge", "{}"), 400);
    (void)snprintf(body, sizeof(body), "{'lease':'%s','node':'node'}", lease);
    assert_int_equal(api_test_json(test, "POST", "/consensus/challenge", body), 400);
}

static void test_stake(void **state)
{
    static const char key[] = "0707070707070707070707070707070707070707070707070707070707070707";
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct api_test *test = *state;
    const Hypermesh__ValidatorDeclare *declare;
    const Hypermesh__Redelegate *move;
    const Hypermesh__Undelegate *take;
    char body[512];

    hm_arena_init(&arena, 0);
    check_pages(test, "/validators", 2);
    check_pages(test, "/validators/user/delegations", 2);
    check_pages(test, "/accounts/user/stakes", 2);
    assert_int_equal(api_test_ask(test, "GET", "/validators/node", NULL, NULL), 200);
    assert_non_null(strstr(api_test_body(test), "\"jailed\":true"));
    assert_non_null(strstr(api_test_body(test), "\"stake\":\"1.5\""));
    (void)snprintf(body, sizeof(body),
                   "{'key':'%s','proof':'%s%s','bond':'1.5','commission_ppm':7,'account':'node'}",
                   key, key, key);
    assert_int_equal(api_test_json(test, "POST", "/validators", body), 200);
    declare = sent(test, &arena, HYPERMESH__OPERATION__OP_VALIDATOR_DECLARE)->validator_declare;
    assert_int_equal(declare->key.len, 32);
    assert_int_equal(declare->key.data[31], 7);
    assert_int_equal(declare->proof.len, 64);
    assert_int_equal(declare->bond, 1500000000);
    assert_int_equal(declare->commission_ppm, 7);
    (void)snprintf(body, sizeof(body), "{'key':'%s','proof':'%s','bond':'1'}", key, key);
    assert_int_equal(api_test_json(test, "POST", "/validators", body), 400);
    assert_int_equal(
        api_test_json(test, "POST", "/validators/user/commission", "{'commission_ppm':4294967301}"),
        200);
    assert_int_equal(sent(test, &arena, HYPERMESH__OPERATION__OP_VALIDATOR_UPDATE)
                         ->validator_update->commission_ppm,
                     UINT32_MAX);
    assert_int_equal(api_test_ask(test, "DELETE", "/validators/user", NULL, NULL), 200);
    (void)sent(test, &arena, HYPERMESH__OPERATION__OP_VALIDATOR_RETIRE);
    assert_int_equal(api_test_ask(test, "POST", "/validators/user/unjail", NULL, NULL), 200);
    (void)sent(test, &arena, HYPERMESH__OPERATION__OP_UNJAIL);
    assert_int_equal(api_test_json(test, "POST", "/validators/node/delegate", "{'amount':'2'}"),
                     200);
    assert_int_equal(sent(test, &arena, HYPERMESH__OPERATION__OP_DELEGATE)->delegate->amount,
                     2000000000);
    assert_int_equal(api_test_json(test, "POST", "/validators/node/delegate", "{}"), 400);
    assert_int_equal(api_test_json(test, "POST", "/validators/node/undelegate", "{'amount':'2'}"),
                     200);
    take = sent(test, &arena, HYPERMESH__OPERATION__OP_UNDELEGATE)->undelegate;
    assert_true(take->amount == 2000000000 && !take->all && take->validator.data[0] == 2);
    assert_int_equal(api_test_json(test, "POST", "/validators/node/redelegate", "{'to':'user'}"),
                     200);
    move = sent(test, &arena, HYPERMESH__OPERATION__OP_REDELEGATE)->redelegate;
    assert_true(move->amount == 0 && move->all);
    assert_true(move->validator.data[0] == 2 && move->to.data[0] == 1);
    assert_int_equal(api_test_json(test, "POST", "/validators/node/rewards", "{}"), 200);
    assert_int_equal(
        sent(test, &arena, HYPERMESH__OPERATION__OP_REWARDS_TAKE)->rewards_take->validator.data[0],
        2);
}

static void test_backup(void **state)
{
    struct api_test *test = *state;

    assert_int_equal(
        api_test_json(test, "POST", "/backup", "{'path':'/tmp/b','passphrase':'secret'}"), 201);
    assert_null(strstr(api_test_body(test), "secret"));
    assert_int_equal(api_test_json(test, "POST", "/backup", "{'path':'b','passphrase':'secret'}"),
                     400);
    assert_int_equal(api_test_json(test, "POST", "/backup", "{'path':'/b','passphrase':''}"), 400);
    assert_int_equal(api_test_json(test, "POST", "/backup", "{'path':'/b'}"), 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_networks, api_test_setup, api_test_teardown),
        cmocka_unit_test_setup_teardown(test_pages, api_test_setup, api_test_teardown),
        cmocka_unit_test_setup_teardown(test_privacy, api_test_setup, api_test_teardown),
        cmocka_unit_test_setup_teardown(test_peers_and_relays, api_test_setup, api_test_teardown),
        cmocka_unit_test_setup_teardown(test_challenges, api_test_setup, api_test_teardown),
        cmocka_unit_test_setup_teardown(test_stake, api_test_setup, api_test_teardown),
        cmocka_unit_test_setup_teardown(test_backup, api_test_setup, api_test_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
