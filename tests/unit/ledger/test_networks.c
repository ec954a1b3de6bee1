/* Networks, who is in them, what the five privacy levels let in, and what a lease under each earns. */
#include "ledger_check.h"

static int setup(void **state)
{
    return check_setup(state) ||
           check_offer(ALICE, 36 * FIXTURE_HYPER, HYPERMESH__PRIVACY_LEVEL__PRIVATE);
}

static void counts_are(const uint8_t net[32], uint64_t members, uint64_t invited)
{
    const Hypermesh__Network *network = fixture_network(&fix, net);

    assert_non_null(network);
    assert_int_equal(network->members, members);
    assert_int_equal(network->invited, invited);
}

/* How many networks the view gives for an account. */
static size_t networks_of(enum fixture_role who)
{
    struct ledger_view *view = check_view();
    Hypermesh__Network **list;
    size_t count;

    assert_int_equal(
        ledger_view_networks(view, fix.people[who].id, NULL, 100, &fix.arena, &list, &count, NULL),
        0);
    ledger_view_close(view);
    return count;
}

static void test_life(void **state)
{
    const Hypermesh__Network *network;
    uint8_t net[32];
    uint8_t other[32];

    (void)state;
    made(ALICE, op_network(&fix, "house.1", false), net);
    made(ALICE, op_network(&fix, "house.1", false), other);
    assert_memory_not_equal(net, other, 32);
    network = fixture_network(&fix, net);
    assert_string_equal(network->name, "house.1");
    assert_false(network->open);
    assert_memory_equal(network->owner.data, fix.people[ALICE].id, 32);
    assert_memory_equal(network->id.data, net, 32);
    assert_true(network->created_height > 0);
    counts_are(net, 1, 0);
    assert_int_equal(fixture_account(&fix, ALICE)->networks, 2);
    assert_int_equal(fixture_member(&fix, net, ALICE), HYPERMESH__MEMBER_STATE__JOINED);

    good(ALICE, op_invite(&fix, net, BOB));
    counts_are(net, 1, 1);
    assert_int_equal(fixture_member(&fix, net, BOB), HYPERMESH__MEMBER_STATE__INVITED);
    assert_int_equal(networks_of(BOB), 1);
    good(BOB, op_join(&fix, net));
    counts_are(net, 2, 0);
    assert_int_equal(fixture_member(&fix, net, BOB), HYPERMESH__MEMBER_STATE__JOINED);
    good(BOB, op_leave(&fix, net));
    counts_are(net, 1, 0);
    assert_int_equal(fixture_member(&fix, net, BOB), HYPERMESH__MEMBER_STATE__MEMBER_NONE);
    assert_int_equal(networks_of(BOB), 0);

    /* Declined, and taken back. */
    good(ALICE, op_invite(&fix, net, BOB));
    good(BOB, op_leave(&fix, net));
    counts_are(net, 1, 0);
    good(ALICE, op_invite(&fix, net, BOB));
    good(ALICE, op_expel(&fix, net, BOB));
    counts_are(net, 1, 0);
    refused(BOB, op_join(&fix, net), "network.closed");
    assert_int_equal(fixture_member(&fix, net, BOB), HYPERMESH__MEMBER_STATE__MEMBER_NONE);

    good(ALICE, op_dissolve(&fix, net));
    assert_null(fixture_network(&fix, net));
    assert_int_equal(fixture_member(&fix, net, ALICE), HYPERMESH__MEMBER_STATE__MEMBER_NONE);
    assert_int_equal(fixture_account(&fix, ALICE)->networks, 1);
    assert_int_equal(networks_of(ALICE), 1);
    refused(BOB, op_join(&fix, net), "network.unknown");
}

static void test_open(void **state)
{
    uint8_t net[32];

    (void)state;
    made(ALICE, op_network(&fix, "club", true), net);
    good(BOB, op_join(&fix, net));
    good(CAROL, op_join(&fix, net));
    counts_are(net, 3, 0);
    good(ALICE, op_expel(&fix, net, BOB));
    counts_are(net, 2, 0);
    assert_int_equal(fixture_member(&fix, net, BOB), HYPERMESH__MEMBER_STATE__EXPELLED);
    assert_int_equal(networks_of(BOB), 0);
    refused(BOB, op_join(&fix, net), "network.expelled");
    refused(BOB, op_leave(&fix, net), "network.member"); /* nor forgets it by leaving */
    good(ALICE, op_invite(&fix, net, BOB));
    counts_are(net, 2, 1);
    good(BOB, op_join(&fix, net));
    counts_are(net, 3, 0);
    /* Who left by himself comes back as he likes. */
    good(CAROL, op_leave(&fix, net));
    good(CAROL, op_join(&fix, net));
}

/* Two at once, and undone with the transaction that fails. */
static void test_all_or_none(void **state)
{
    Hypermesh__Operation *ops[3] = {op_network(&fix, "a", true), op_network(&fix, "b", true),
                                    op_transfer(&fix, BOB, UINT64_MAX)};
    Hypermesh__TxResult *result = fixture_do_many(&fix, BOB, ops, 3);

    (void)state;
    assert_int_equal(result->code, HM_EFUNDS);
    assert_string_equal(result->rule, "funds.hyper");
    assert_int_equal(fixture_account(&fix, BOB)->networks, 0);
    assert_int_equal(networks_of(BOB), 0);
    result = fixture_do_many(&fix, BOB, ops, 2);
    assert_int_equal(result->n_created, 2);
    assert_memory_not_equal(result->created[0].data, result->created[1].data, 32);
    assert_int_equal(networks_of(BOB), 2);
}

/* --- levels --- */

static Hypermesh__Privacy *level_op(Hypermesh__PrivacyLevel level, Hypermesh__Operation **op)
{
    *op = op_privacy(&fix, cpu[0], level);
    return (*op)->privacy_set->privacy;
}

static void level_is(Hypermesh__PrivacyLevel level, const uint8_t *net)
{
    Hypermesh__Operation *op;
    Hypermesh__Privacy *privacy = level_op(level, &op);

    if (net)
        privacy_network(&fix, privacy, net);
    good(ALICE, op);
}

/* What the ledger does and what the view foretells. rule NULL: admitted. */
static void admitted(enum fixture_role who, const char *rule)
{
    const Hypermesh__Asset *asset = fixture_asset(&fix, cpu[0]);
    Hypermesh__TxResult *result;
    struct hm_error error = {0};
    struct ledger_view *view = check_view();
    int code;

    code = ledger_view_admits(view, asset, fix.people[who].id, 1, MINUTE_MS, &error);
    ledger_view_close(view);
    result = fixture_do(&fix, who, op_allocate(&fix, cpu, 1, 1, MINUTE_MS));
    assert_non_null(result);
    assert_int_equal(result->code, code);
    assert_string_equal(result->rule, rule ? rule : "");
    if (rule)
        assert_non_null(strstr(result->text, error.text));
    else
        assert_int_equal(code, 0);
}

static void test_levels(void **state)
{
    uint8_t mine[32];
    uint8_t foreign[32];
    uint8_t open[32];

    (void)state;
    made(ALICE, op_network(&fix, "mine", false), mine);
    made(CAROL, op_network(&fix, "foreign", false), foreign);
    made(DAVE, op_network(&fix, "open", true), open);
    good(ALICE, op_invite(&fix, mine, BOB));
    good(CAROL, op_invite(&fix, foreign, BOB));
    good(BOB, op_join(&fix, foreign));

    admitted(ALICE, NULL);
    admitted(BOB, "privacy.private");
    level_is(HYPERMESH__PRIVACY_LEVEL__PRIVATE, mine);
    admitted(BOB, "privacy.private"); /* invited is not in */
    good(BOB, op_join(&fix, mine));
    admitted(BOB, NULL);
    admitted(CAROL, "privacy.private");
    good(ALICE, op_expel(&fix, mine, BOB));
    admitted(BOB, "privacy.private");

    level_is(HYPERMESH__PRIVACY_LEVEL__PRIVATE_NETWORK, foreign);
    admitted(BOB, NULL);
    admitted(CAROL, NULL);
    admitted(DAVE, "privacy.private_network");
    admitted(ALICE, NULL); /* who is in no network but owns it */

    level_is(HYPERMESH__PRIVACY_LEVEL__PUBLIC_NETWORK, open);
    admitted(BOB, "privacy.public_network");
    good(BOB, op_join(&fix, open));
    admitted(BOB, NULL);
    good(DAVE, op_expel(&fix, open, BOB));
    admitted(BOB, "privacy.public_network");

    level_is(HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC, NULL);
    admitted(BOB, NULL);
    admitted(FRANK, NULL);
}

/* A network that is gone, or is not what the level asks for any more, lets nobody in. */
static void test_networks_that_changed(void **state)
{
    uint8_t net[32];
    uint8_t mine[32];
    uint8_t lease[32];

    (void)state;
    made(BOB, op_network(&fix, "short", true), net);
    level_is(HYPERMESH__PRIVACY_LEVEL__PRIVATE_NETWORK, net);
    made(BOB, op_allocate(&fix, cpu, 1, 1, MINUTE_MS), lease);
    good(BOB, op_renew(&fix, lease, 1));
    good(BOB, op_dissolve(&fix, net));
    admitted(BOB, "privacy.private_network");
    refused(BOB, op_renew(&fix, lease, 1), "privacy.private_network");
    good(BOB, op_free(&fix, lease));
    refused(ALICE, op_privacy(&fix, net, HYPERMESH__PRIVACY_LEVEL__PRIVATE), "asset.unknown");

    /* The asset's new owner does not own the network that the old one let in. */
    made(ALICE, op_network(&fix, "mine", false), mine);
    good(ALICE, op_invite(&fix, mine, BOB));
    good(BOB, op_join(&fix, mine));
    level_is(HYPERMESH__PRIVACY_LEVEL__PRIVATE, mine);
    admitted(BOB, NULL);
    for (int i = 0; i < 60; i++)
        assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    good(ALICE, op_give(&fix, cpu[0], CAROL));
    admitted(BOB, "privacy.private");
    admitted(ALICE, "privacy.private");
    admitted(CAROL, NULL);
}

static void test_p2p(void **state)
{
    const enum fixture_role both[] = {DAVE, ALICE, DAVE};
    Hypermesh__Operation *op;
    Hypermesh__Account *bob;

    (void)state;
    privacy_account(&fix, level_op(HYPERMESH__PRIVACY_LEVEL__P2P, &op), BOB);
    good(ALICE, op);
    admitted(BOB, "privacy.p2p_peer");
    good(BOB, op_peers(&fix, both, 3));
    bob = fixture_account(&fix, BOB);
    assert_int_equal(bob->n_peers, 2); /* each once, in order */
    assert_true(memcmp(bob->peers[0].data, bob->peers[1].data, 32) < 0);
    admitted(BOB, NULL);
    good(CAROL, op_peers(&fix, both, 2));
    admitted(CAROL, "privacy.p2p");
    good(BOB, op_peers(&fix, both, 1)); /* replaces: Alice is gone */
    admitted(BOB, "privacy.p2p_peer");
    good(BOB, op_peers(&fix, both, 0));
    assert_int_equal(fixture_account(&fix, BOB)->n_peers, 0);
}

static void test_proxy(void **state)
{
    const enum fixture_role relays[] = {DAVE, CAROL};
    Hypermesh__Operation *op = op_proxy(&fix, false, relays, 2);
    const Hypermesh__Proxies *proxies;

    (void)state;
    assert_null(fixture_account(&fix, ALICE)->proxies);
    op->proxy_set->sealed_only = true;
    good(ALICE, op);
    proxies = fixture_account(&fix, ALICE)->proxies;
    assert_int_equal(proxies->n_relays, 2);
    assert_true(memcmp(proxies->relays[0].data, proxies->relays[1].data, 32) < 0);
    assert_true(proxies->sealed_only);
    assert_false(proxies->any);
    good(ALICE, op_proxy(&fix, true, relays, 0));
    proxies = fixture_account(&fix, ALICE)->proxies;
    assert_true(proxies->any);
    assert_false(proxies->sealed_only);
    assert_int_equal(proxies->n_relays, 0);
}

/* What is demanded of the transaction itself is judged when there is one; the rest can be foretold. */
static void test_demands(void **state)
{
    Hypermesh__ProofDemand demand = HYPERMESH__PROOF_DEMAND__INIT;
    Hypermesh__Operation *op;
    Hypermesh__Operation *lease;
    Hypermesh__TxBody *body;
    struct hm_slice tx;

    (void)state;
    demand.min_bond = 1000 * FIXTURE_HYPER;
    demand.min_plot_labels = FIXTURE_LABELS;
    level_op(HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC, &op)->demand = &demand;
    good(ALICE, op);
    admitted(NODE, NULL);
    admitted(BOB, "privacy.demand.plot");
    demand.min_plot_labels++;
    good(ALICE, op);
    admitted(NODE, "privacy.demand.plot");
    demand.min_plot_labels = 0;
    good(ALICE, op);
    admitted(BOB, NULL);
    good(BOB, op_unbond(&fix, 1));
    admitted(BOB, "privacy.demand.bond");
    admitted(ALICE, NULL);

    /* 12 bits: what the account's rate asks for (4) is not enough. The body's time says which try has them. */
    demand = (Hypermesh__ProofDemand)HYPERMESH__PROOF_DEMAND__INIT;
    demand.min_work_bits = 12;
    level_op(HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC, &op)->demand = &demand;
    good(ALICE, op);
    lease = op_allocate(&fix, cpu, 1, 1, MINUTE_MS);
    for (uint64_t tries = 0;; tries++) {
        uint8_t digest[32];

        assert_true(tries < 100000);
        fixture_resync(&fix);
        body = fixture_body(&fix, CAROL, &lease, 1);
        body->timestamp_ms -= tries % 50000;
        tx = fixture_pack(&fix, &fixture_sign(&fix, CAROL, body, false)->base);
        fixture_tx_digest(tx, digest);
        if (proof_work_bits(digest) >= 12)
            break;
    }
    assert_int_equal(fixture_block_txs(&fix, &tx, 1), 0);
    assert_string_equal(fix.record->results[0]->text, "");
    fixture_resync(&fix);
}

/* --- rewards --- */

static uint64_t reward_of(uint8_t lease[32])
{
    good(BOB, op_free(&fix, lease));
    return fixture_lease(&fix, lease)->reward_caes;
}

/* An hour of the whole at 36 HYPER: paid for the ten seconds until it is given back. */
static uint64_t earned(Hypermesh__PrivacyLevel level, uint32_t waived)
{
    const enum fixture_role alice = ALICE;
    Hypermesh__Operation *op;
    Hypermesh__Privacy *privacy;
    uint8_t net[32];
    uint8_t lease[32];

    made(ALICE, op_network(&fix, "n", true), net);
    good(BOB, op_join(&fix, net));
    good(BOB, op_peers(&fix, &alice, 1));
    privacy = level_op(level, &op);
    privacy->reward_waived_ppm = waived;
    if (level == HYPERMESH__PRIVACY_LEVEL__P2P)
        privacy_account(&fix, privacy, BOB);
    else if (level != HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC)
        privacy_network(&fix, privacy, net);
    good(ALICE, op);
    made(BOB, op_allocate(&fix, cpu, 1, 1000000, HOUR_MS), lease);
    /* What holds is what held when it was leased. */
    good(ALICE, op_privacy(&fix, cpu[0], HYPERMESH__PRIVACY_LEVEL__PRIVATE));
    fix.next_ms += 8000;
    return reward_of(lease);
}

static void test_rewards(void **state)
{
    const uint64_t hyper = FIXTURE_HYPER;

    (void)state;
    /* A tenth of what was paid, 0.1 HYPER, and of that by level. */
    assert_int_equal(earned(HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC, 0), hyper / 100);
    assert_int_equal(earned(HYPERMESH__PRIVACY_LEVEL__PRIVATE, 0), 0);
    assert_int_equal(earned(HYPERMESH__PRIVACY_LEVEL__PRIVATE_NETWORK, 0), hyper / 400);
    assert_int_equal(earned(HYPERMESH__PRIVACY_LEVEL__P2P, 0), hyper / 200);
    assert_int_equal(earned(HYPERMESH__PRIVACY_LEVEL__PUBLIC_NETWORK, 0), hyper * 3 / 400);
    assert_int_equal(earned(HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC, 250000), hyper * 3 / 400);
    assert_int_equal(earned(HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC, 1000000), 0);
    assert_int_equal(fixture_account(&fix, ALICE)->caes, fixture_supply(&fix)->caes_minted);
}

/* --- pages --- */

static void test_pages(void **state)
{
    struct ledger_view *view;
    Hypermesh__Network **list;
    Hypermesh__Member **members;
    uint8_t nets[3][32];
    uint8_t last[32];
    size_t count;
    size_t seen = 0;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        made(i < 2 ? ALICE : BOB, op_network(&fix, "n", true), nets[i]);
        good(CAROL, op_join(&fix, nets[i]));
    }
    assert_int_equal(networks_of(ALICE), 2);
    assert_int_equal(networks_of(BOB), 1);
    assert_int_equal(networks_of(CAROL), 3);
    assert_int_equal(networks_of(DAVE), 0);
    view = check_view();
    for (const uint8_t *after = NULL;; after = last) {
        assert_int_equal(ledger_view_networks(view, fix.people[CAROL].id, after, 1, &fix.arena,
                                              &list, &count, NULL),
                         0);
        if (count == 0)
            break;
        if (after)
            assert_true(memcmp(after, list[0]->id.data, 32) < 0);
        memcpy(last, list[0]->id.data, 32);
        seen++;
    }
    assert_int_equal(seen, 3);
    assert_int_equal(ledger_view_networks(view, NULL, NULL, 100, &fix.arena, &list, &count, NULL),
                     0);
    assert_int_equal(count, 3);
    assert_int_equal(
        ledger_view_members(view, nets[0], NULL, 1, &fix.arena, &members, &count, NULL), 0);
    assert_int_equal(count, 1);
    memcpy(last, members[0]->account.data, 32);
    assert_int_equal(
        ledger_view_members(view, nets[0], last, 9, &fix.arena, &members, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_true(memcmp(last, members[0]->account.data, 32) < 0);
    assert_memory_equal(members[0]->network.data, nets[0], 32);
    assert_int_equal(ledger_view_networks(view, NULL, NULL, 0, &fix.arena, &list, &count, NULL),
                     HM_ELIMIT);
    ledger_view_close(view);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_life),   CASE(test_open),    CASE(test_all_or_none),
        CASE(test_levels), CASE(test_p2p),     CASE(test_networks_that_changed),
        CASE(test_proxy),  CASE(test_demands), CASE(test_rewards),
        CASE(test_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
