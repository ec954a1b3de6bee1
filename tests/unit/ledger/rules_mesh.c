/* The rules of privacy, networks and challenges. */
#include "rules_check.h"

/* --- privacy --- */

static void privacy_refused(void (*change)(Hypermesh__Privacy *privacy),
                            Hypermesh__PrivacyLevel level, const char *name)
{
    Hypermesh__Operation *op = op_privacy(&fix, cpu[0], level);

    change(op->privacy_set->privacy);
    refused_by(ALICE, op, name);
    op = op_register(&fix, "new", 1, level);
    change(op->asset_register->privacy);
    refused_by(ALICE, op, name);
}

static uint8_t closed[32]; /* Alice's, with Bob in it */
static uint8_t open_net[32]; /* Carol's, with Bob in it */

static void change_share(Hypermesh__Privacy *privacy)
{
    privacy->max_share_ppm = 1000001;
}
static void change_leases(Hypermesh__Privacy *privacy)
{
    privacy->max_leases = UINT32_MAX;
}
static void change_duration(Hypermesh__Privacy *privacy)
{
    privacy->max_duration_ms = UINT64_MAX;
}
static void change_reward(Hypermesh__Privacy *privacy)
{
    privacy->reward_waived_ppm = 1000001;
}
static Hypermesh__ProofDemand *demand_of(Hypermesh__Privacy *privacy)
{
    privacy->demand = hm_arena_alloc(&fix.arena, sizeof *privacy->demand);
    assert_non_null(privacy->demand);
    *privacy->demand = (Hypermesh__ProofDemand)HYPERMESH__PROOF_DEMAND__INIT;
    return privacy->demand;
}
static void change_bits(Hypermesh__Privacy *privacy)
{
    demand_of(privacy)->min_work_bits = PROOF_WORK_BITS_MAX + 1;
}
static void change_age(Hypermesh__Privacy *privacy)
{
    demand_of(privacy)->max_anchor_age = fix.params.anchor_max_blocks + 1;
}
static void change_labels(Hypermesh__Privacy *privacy)
{
    demand_of(privacy)->min_plot_labels = PROOF_PLOT_LABELS_MAX + 1;
}
static void change_accounts(Hypermesh__Privacy *privacy)
{
    privacy_account(&fix, privacy, BOB);
}
static void change_many_accounts(Hypermesh__Privacy *privacy)
{
    for (int i = 0; i < 65; i++)
        privacy_account(&fix, privacy, BOB);
}
static void change_many_networks(Hypermesh__Privacy *privacy)
{
    for (int i = 0; i < 65; i++)
        privacy_network(&fix, privacy, closed);
}
static void change_closed(Hypermesh__Privacy *privacy)
{
    privacy_network(&fix, privacy, closed);
}
static void change_open(Hypermesh__Privacy *privacy)
{
    privacy_network(&fix, privacy, open_net);
}
static void change_no_network(Hypermesh__Privacy *privacy)
{
    static const uint8_t nothing[32] = {5};

    privacy_network(&fix, privacy, nothing);
}
static void change_level(Hypermesh__Privacy *privacy)
{
    privacy->level = (Hypermesh__PrivacyLevel)6;
}

static void networks_make(void)
{
    made(ALICE, op_network(&fix, "house", false), closed);
    made(CAROL, op_network(&fix, "club", true), open_net);
    good(ALICE, op_invite(&fix, closed, BOB));
    good(BOB, op_join(&fix, closed));
    good(BOB, op_join(&fix, open_net));
}

void test_privacy_set(void **state)
{
    const Hypermesh__PrivacyLevel full = HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC;
    const Hypermesh__PrivacyLevel p2p = HYPERMESH__PRIVACY_LEVEL__P2P;

    (void)state;
    networks_make();
    privacy_refused(change_level, full, "privacy.level");
    privacy_refused(change_share, full, "privacy.limits");
    privacy_refused(change_leases, full, "privacy.limits");
    privacy_refused(change_duration, full, "privacy.limits");
    privacy_refused(change_reward, full, "privacy.reward");
    privacy_refused(change_bits, full, "privacy.demand");
    privacy_refused(change_age, full, "privacy.demand");
    privacy_refused(change_labels, full, "privacy.demand");
    privacy_refused(change_accounts, full, "privacy.accounts");
    privacy_refused(change_accounts, HYPERMESH__PRIVACY_LEVEL__PRIVATE, "privacy.accounts");
    privacy_refused(change_many_accounts, p2p, "privacy.lists");
    privacy_refused(change_many_networks, HYPERMESH__PRIVACY_LEVEL__PRIVATE, "privacy.lists");
    privacy_refused(change_closed, full, "privacy.networks");
    privacy_refused(change_closed, p2p, "privacy.networks");
    privacy_refused(change_open, HYPERMESH__PRIVACY_LEVEL__PRIVATE, "privacy.network_own");
    privacy_refused(change_closed, HYPERMESH__PRIVACY_LEVEL__PUBLIC_NETWORK,
                    "privacy.network_open");
    privacy_refused(change_no_network, HYPERMESH__PRIVACY_LEVEL__PRIVATE_NETWORK,
                    "network.unknown");
}

static void privacy_becomes(Hypermesh__PrivacyLevel level,
                            void (*change)(Hypermesh__Privacy *privacy))
{
    Hypermesh__Operation *op = op_privacy(&fix, cpu[0], level);

    if (change)
        change(op->privacy_set->privacy);
    good(ALICE, op);
}

static void demand_all(Hypermesh__Privacy *privacy)
{
    privacy->max_share_ppm = 500000;
    privacy->max_leases = 1;
    privacy->max_duration_ms = MINUTE_MS;
}

static void demand_bond(Hypermesh__Privacy *privacy)
{
    demand_of(privacy)->min_bond = 1000 * FIXTURE_HYPER + 1;
}
static void demand_work(Hypermesh__Privacy *privacy)
{
    demand_of(privacy)->min_work_bits = 30;
}
static void demand_plot(Hypermesh__Privacy *privacy)
{
    demand_of(privacy)->min_plot_labels = 1;
}
static void demand_anchor(Hypermesh__Privacy *privacy)
{
    demand_of(privacy)->max_anchor_age = 1;
}

void test_privacy_admits(void **state)
{
    Hypermesh__Operation *lease = op_allocate(&fix, cpu, 1, 1, 1);
    const enum fixture_role alice = ALICE;
    Hypermesh__TxBody *body;
    struct hm_slice tx;

    (void)state;
    networks_make();
    privacy_becomes(HYPERMESH__PRIVACY_LEVEL__PRIVATE, change_closed);
    refused_by(CAROL, lease, "privacy.private");
    privacy_becomes(HYPERMESH__PRIVACY_LEVEL__PRIVATE, NULL);
    refused_by(BOB, lease, "privacy.private");
    assert_non_null(strstr(fix.record->results[0]->text, "only its owner may lease it"));
    privacy_becomes(HYPERMESH__PRIVACY_LEVEL__PRIVATE_NETWORK, change_closed);
    refused_by(CAROL, lease, "privacy.private_network");
    privacy_becomes(HYPERMESH__PRIVACY_LEVEL__PUBLIC_NETWORK, change_open);
    refused_by(DAVE, lease, "privacy.public_network");
    privacy_becomes(HYPERMESH__PRIVACY_LEVEL__P2P, change_accounts);
    refused_by(CAROL, lease, "privacy.p2p");
    refused_by(BOB, lease, "privacy.p2p_peer");
    good(CAROL, op_peers(&fix, &alice, 1));
    refused_by(CAROL, lease, "privacy.p2p");
    privacy_becomes(HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC, demand_all);
    refused_by(BOB, op_allocate(&fix, cpu, 1, 1, MINUTE_MS + 1), "privacy.duration");
    refused_by(BOB, op_allocate(&fix, cpu, 1, 500001, 1), "privacy.share");
    good(ALICE, op_allocate(&fix, cpu, 1, 1, MINUTE_MS));
    refused_by(BOB, lease, "privacy.concurrency");
    privacy_becomes(HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC, demand_bond);
    refused_by(BOB, lease, "privacy.demand.bond");
    privacy_becomes(HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC, demand_work);
    refused_by(BOB, lease, "privacy.demand.work");
    privacy_becomes(HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC, demand_plot);
    refused_by(BOB, lease, "privacy.demand.plot");
    good(NODE, lease);
    privacy_becomes(HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC, demand_anchor);
    good(BOB, lease);
    /* Signed before the last block. */
    body = fixture_body(&fix, BOB, &lease, 1);
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    body->timestamp_ms = fix.next_ms;
    tx = fixture_pack(&fix, &fixture_sign(&fix, BOB, body, false)->base);
    assert_int_equal(fixture_block_txs(&fix, &tx, 1), 0);
    result_is(fix.record->results[0], "privacy.demand.anchor");
    fixture_resync(&fix);
    /* The owner demands nothing of itself. */
    privacy_becomes(HYPERMESH__PRIVACY_LEVEL__PRIVATE, demand_work);
    good(ALICE, lease);
}

/* --- networks --- */

void test_networks(void **state)
{
    const uint8_t nothing[32] = {3};
    uint8_t net[32];

    (void)state;
    refused_by(ALICE, op_network(&fix, "", false), "network.name");
    refused_by(ALICE, op_network(&fix, "No", false), "network.name");
    refused_by(ALICE, op_join(&fix, nothing), "network.unknown");
    made(ALICE, op_network(&fix, "a", false), net);
    good(ALICE, op_network(&fix, "a", true));
    refused_by(ALICE, op_network(&fix, "b", false), "network.count");
    refused_by(BOB, op_join(&fix, net), "network.closed");
    refused_by(BOB, op_invite(&fix, net, CAROL), "network.owner");
    refused_by(BOB, op_expel(&fix, net, CAROL), "network.owner");
    refused_by(BOB, op_dissolve(&fix, net), "network.owner");
    refused_by(BOB, op_leave(&fix, net), "network.member");
    refused_by(ALICE, op_expel(&fix, net, BOB), "network.member");
    refused_by(ALICE, op_leave(&fix, net), "network.owner_stays");
    refused_by(ALICE, op_expel(&fix, net, ALICE), "network.owner_stays");
    refused_by(ALICE, op_invite(&fix, net, ALICE), "network.joined");
    good(ALICE, op_invite(&fix, net, BOB));
    refused_by(ALICE, op_invite(&fix, net, BOB), "network.invited");
    refused_by(ALICE, op_dissolve(&fix, net), "network.dissolve");
    good(BOB, op_join(&fix, net));
    refused_by(BOB, op_join(&fix, net), "network.joined");
    refused_by(ALICE, op_dissolve(&fix, net), "network.dissolve");
    good(ALICE, op_invite(&fix, net, CAROL));
    refused_by(ALICE, op_invite(&fix, net, DAVE), "network.members");
    made(CAROL, op_network(&fix, "open", true), net);
    good(BOB, op_join(&fix, net));
    good(CAROL, op_expel(&fix, net, BOB));
    refused_by(BOB, op_join(&fix, net), "network.expelled");
    good(DAVE, op_join(&fix, net));
    good(ERIN, op_join(&fix, net));
    refused_by(FRANK, op_join(&fix, net), "network.members");
}

void test_peers(void **state)
{
    enum fixture_role many[65] = {BOB};

    (void)state;
    refused_by(ALICE, op_peers(&fix, many, 65), "peers.count");
    refused_by(ALICE, op_proxy(&fix, false, many, 65), "proxy.count");
    refused_by(ALICE, op_proxy(&fix, true, many, 1), "proxy.any");
}

/* --- challenges --- */

static void lease_settled(const char *manifest, uint8_t lease[32])
{
    made(BOB, op_allocate(&fix, cpu, 1, 1, MINUTE_MS), lease);
    good(ALICE, manifest ? op_settle_result(&fix, lease, manifest) : op_settle(&fix, lease));
}

void test_challenges(void **state)
{
    const uint8_t nothing[32] = {4};
    uint8_t space[32];
    uint8_t other[32];
    uint8_t result[32];
    uint8_t bare[32];
    uint8_t own[32];
    uint8_t lease[32];
    uint8_t late[32];
    Hypermesh__Operation *op;

    (void)state;
    lease_settled("m", lease);
    lease_settled("m", late);
    lease_settled(NULL, bare);
    refused_by(NODE, op_challenge(&fix, NODE, NULL), "challenge.self");
    refused_by(BOB, op_challenge(&fix, ALICE, NULL), "challenge.plot");
    refused_by(BOB, op_challenge(&fix, ALICE, nothing), "lease.unknown");
    refused_by(BOB, op_challenge(&fix, CAROL, lease), "challenge.provider");
    refused_by(CAROL, op_challenge(&fix, BOB, lease), "challenge.provider");
    refused_by(BOB, op_challenge(&fix, ALICE, bare), "challenge.result");
    made(ALICE, op_allocate(&fix, cpu, 1, 1, MINUTE_MS), own);
    good(ALICE, op_settle_result(&fix, own, "m"));
    refused_by(BOB, op_challenge(&fix, ALICE, own), "challenge.own");
    refused_by(NODE, op_answer_space(&fix, nothing), "challenge.unknown");
    made(BOB, op_challenge(&fix, NODE, NULL), space);
    refused_by(BOB, op_challenge(&fix, NODE, NULL), "challenge.twice");
    made(CAROL, op_challenge(&fix, NODE, NULL), other);
    refused_by(DAVE, op_challenge(&fix, NODE, NULL), "challenge.count");
    refused_by(ALICE, op_answer_space(&fix, space), "challenge.node");
    refused_by(NODE, op_answer_result(&fix, space, "", "m"), "challenge.form");
    refused_by(NODE, op_unbond(&fix, 900 * FIXTURE_HYPER), "bond.challenged");
    good(NODE, op_answer_space(&fix, space));
    good(NODE, op_answer_space(&fix, other));
    refused_by(NODE, op_answer_space(&fix, space), "challenge.ended");
    made(BOB, op_challenge(&fix, ALICE, lease), result);
    refused_by(CAROL, op_challenge(&fix, ALICE, lease), "challenge.twice");
    op = op_answer_space(&fix, space);
    op->challenge_answer->challenge = wire_bytes(result, 32);
    refused_by(ALICE, op, "challenge.form");
    good(ALICE, op_answer_result(&fix, result, "", "another"));
    refused_by(CAROL, op_challenge(&fix, ALICE, lease), "challenge.decided");
    fix.next_ms += fix.params.result_window_ms;
    refused_by(CAROL, op_challenge(&fix, ALICE, late), "challenge.window");
    good(DAVE, op_transfer(&fix, ALICE, fixture_account(&fix, DAVE)->hyper - FIXTURE_HYPER));
    refused_by(DAVE, op_challenge(&fix, NODE, NULL), "challenge.deposit");
}
