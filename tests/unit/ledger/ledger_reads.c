#include "ledger_reads.h"

#include "ledger_kv_ops.h"
#include "stake_ops.h"

#define LEASE_KV UINT64_C(5)
#define PAGE     3 /* less than there is of most things */

static uint8_t lease[2][32]; /* settled, running */
static uint8_t network[32];
static uint8_t challenge[32];
static uint8_t digest[32]; /* of a transaction that touches an asset */

/* --- the chain --- */

static void assets_world(void)
{
    Hypermesh__Operation *op = op_register(&fix, "cpu1", 2, HYPERMESH__PRIVACY_LEVEL__P2P);

    assert_int_equal(check_offer(ALICE, 3600, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC), 0);
    privacy_account(&fix, op->asset_register->privacy, BOB);
    good(ALICE, op);
    made(BOB, op_allocate(&fix, cpu, 1, 1000, MINUTE_MS), lease[0]);
    memcpy(digest, fix.record->results[0]->digest.data, 32);
    good(ALICE, op_settle_result(&fix, lease[0], "manifest"));
    made(BOB, op_allocate(&fix, cpu, 1, 1000, HOUR_MS), lease[1]);
    made(DAVE, op_challenge(&fix, ALICE, lease[0]), challenge);
    made(ERIN, op_challenge(&fix, NODE, NULL), (uint8_t[32]){0});
}

static void mesh_world(void)
{
    const enum fixture_role peers[] = {BOB, CAROL};

    made(ALICE, op_network(&fix, "open", true), network);
    good(BOB, op_join(&fix, network));
    good(ALICE, op_invite(&fix, network, CAROL));
    made(BOB, op_network(&fix, "closed", false), (uint8_t[32]){0});
    good(ALICE, op_peers(&fix, peers, 2));
    good(NODE, op_proxy(&fix, false, peers, 2));
    good(ALICE, op_unbond(&fix, FIXTURE_HYPER));
}

static void kv_world(void)
{
    Hypermesh__Operation *ops[4] = {
        op_kv_put(&fix, "k/4", "four", LEASE_KV), op_kv_put(&fix, "k/5", "five", 0),
        op_kv_put(&fix, "k/1", "again", 0), op_kv_delete(&fix, "k/2", NULL)};

    good(ALICE, op_kv_grant(&fix, LEASE_KV, HOUR_MS));
    good(ALICE, op_kv_grant(&fix, LEASE_KV + 1, HOUR_MS));
    good(ALICE, op_kv_put(&fix, "k/1", "one", 0)); /* revision 2 */
    good(ALICE, op_kv_put(&fix, "k/2", "two", 0));
    good(ALICE, op_kv_put(&fix, "k/3", "three", LEASE_KV));
    assert_int_equal(fixture_do_many(&fix, ALICE, ops, 4)->code, 0); /* revisions 5 to 8 */
    good(BOB, op_kv_compact(&fix, 3)); /* the lines of revision 2 are needed still */
    good(ALICE, op_kv_rule(&fix, "mine/", ALICE));
}

static void stake_world(void)
{
    good(DAVE, op_declare(&fix, DAVE, 2000 * FIXTURE_HYPER, 0));
    good(ERIN, op_delegate(&fix, DAVE, 2 * FIXTURE_HYPER));
    good(ERIN, op_undelegate(&fix, DAVE, FIXTURE_HYPER));
}

void reads_world(void)
{
    assets_world();
    mesh_world();
    kv_world();
    stake_world();
}

/* --- the questions; each fails too when it does not find what must be there --- */

#define READ(name) \
    static int name(struct ledger_view *view, struct hm_arena *arena, struct hm_error *error)

static int found(int rc, bool right, struct hm_error *error)
{
    return rc || right ? rc : hm_fail(error, HM_EINTERNAL, "the answer is wrong");
}

READ(ask_account)
{
    Hypermesh__Account *out;
    int rc = ledger_view_account(view, fix.people[ALICE].id, arena, &out, error);

    return found(rc, rc == 0 && out->n_sessions == 1 && out->n_unbonding == 1, error);
}

READ(ask_asset)
{
    Hypermesh__Asset *out;
    int rc = ledger_view_asset(view, cpu[0], arena, &out, error);

    if (rc == 0)
        rc = ledger_view_admits(view, out, fix.people[BOB].id, 1, MINUTE_MS, error);
    return found(rc, rc == 0 && out->leases == 1, error);
}

READ(ask_lease)
{
    Hypermesh__Lease *out;
    int rc = ledger_view_lease(view, lease[1], arena, &out, error);

    return found(rc, rc == 0 && out->n_items == 1, error);
}

READ(ask_params)
{
    Hypermesh__Params *out;
    int rc = ledger_view_params(view, arena, &out, error);

    return found(rc, rc == 0 && out->work_base_bits == fix.params.work_base_bits, error);
}

READ(ask_supply)
{
    Hypermesh__Supply *out;
    int rc = ledger_view_supply(view, arena, &out, error);

    return found(rc, rc == 0 && out->hyper_genesis == FIXTURE_SUPPLY, error);
}

READ(ask_signing)
{
    struct ledger_signing out;

    (void)arena;
    return ledger_view_signing(view, fix.people[BOB].id, fix.next_ms, &out, error);
}

READ(ask_assets)
{
    struct ledger_asset_filter filter = {.owner = fix.people[ALICE].id};
    Hypermesh__Asset **out;
    size_t count = 0;
    size_t all = 0;
    int rc = ledger_view_assets(view, &filter, NULL, PAGE, arena, &out, &count, error);

    if (rc == 0)
        rc = ledger_view_assets(view, NULL, NULL, PAGE, arena, &out, &all, error);
    return found(rc, count == 2 && all == 2, error);
}

READ(ask_leases)
{
    struct ledger_lease_filter filters[] = {
        {.party = fix.people[BOB].id}, {.asset = cpu[0]}, {.active_only = true}};
    Hypermesh__Lease **out;
    size_t counts[3] = {0};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < HM_COUNT_OF(filters); i++)
        rc = ledger_view_leases(view, &filters[i], NULL, PAGE, arena, &out, &counts[i], error);
    return found(rc, counts[0] == 2 && counts[1] == 2 && counts[2] == 1, error);
}

READ(ask_histories)
{
    Hypermesh__AssetEvent **events;
    size_t count = 0;
    int rc = ledger_view_asset_history(view, cpu[0], 0, PAGE, arena, &events, &count, error);

    return found(rc, count == PAGE, error);
}

READ(ask_tx)
{
    Hypermesh__TxResult *result;
    struct hm_slice tx;
    uint64_t height;
    int rc = ledger_view_tx(view, digest, arena, &tx, &height, &result, error);

    return found(rc, rc == 0 && result->n_created == 1, error);
}

READ(ask_genesis)
{
    struct hm_slice out;

    (void)arena;
    return ledger_view_genesis(view, &out, error);
}

READ(ask_proofs)
{
    struct ledger_proof_case *proof_case;
    const char *shows;
    int rc = ledger_proof_case_included(view, digest, arena, &proof_case, error);

    for (unsigned kind = 0; rc == 0 && kind < LEDGER_PROOF_COUNT; kind++)
        rc = ledger_proof_case_check(proof_case, (enum ledger_proof_kind)kind, &shows, error);
    return rc;
}

READ(ask_networks)
{
    Hypermesh__Network **out;
    Hypermesh__Network *one;
    size_t counts[2] = {0};
    int rc = ledger_view_network(view, network, arena, &one, error);

    if (rc == 0)
        rc = ledger_view_networks(view, fix.people[BOB].id, NULL, PAGE, arena, &out, &counts[0],
                                  error);
    if (rc == 0)
        rc = ledger_view_networks(view, NULL, NULL, PAGE, arena, &out, &counts[1], error);
    return found(rc, counts[0] == 2 && counts[1] == 2, error);
}

READ(ask_members)
{
    Hypermesh__Member **out;
    size_t count = 0;
    int rc = ledger_view_members(view, network, NULL, PAGE, arena, &out, &count, error);

    return found(rc, count >= 2, error);
}

READ(ask_challenges)
{
    struct ledger_challenge_filter filter = {.party = fix.people[DAVE].id, .open_only = true};
    Hypermesh__Challenge **out;
    Hypermesh__Challenge *one;
    size_t counts[2] = {0};
    int rc = ledger_view_challenge(view, challenge, arena, &one, error);

    if (rc == 0)
        rc = ledger_view_challenges(view, &filter, NULL, PAGE, arena, &out, &counts[0], error);
    if (rc == 0)
        rc = ledger_view_challenges(view, NULL, NULL, PAGE, arena, &out, &counts[1], error);
    return found(rc, counts[0] == 1 && counts[1] == 2, error);
}

READ(ask_kv_state)
{
    Hypermesh__KvState *out;
    int rc = ledger_view_kv_state(view, arena, &out, error);

    return found(rc, rc == 0 && out->keys == 4 && out->leases == 2, error);
}

READ(ask_kv_range)
{
    struct ledger_kv_query query = {.key = hm_slice_str("k/"), .range_end = hm_slice_str("k0")};
    Hypermesh__KvPair **out;
    uint64_t total = 0;
    size_t count = 0;
    bool more;
    int rc = ledger_view_kv_range(view, &query, arena, &out, &count, &total, &more, error);

    return found(rc, count == 4 && total == 4, error);
}

READ(ask_kv_past)
{
    struct ledger_kv_query query = {
        .key = hm_slice_str("k/"), .range_end = hm_slice_str("k0"), .revision = 4, .limit = 2};
    Hypermesh__KvPair **out;
    uint64_t total = 0;
    size_t count = 0;
    bool more = false;
    int rc = ledger_view_kv_range(view, &query, arena, &out, &count, &total, &more, error);

    return found(rc, count == 2 && total == 3 && more, error);
}

READ(ask_kv_changes)
{
    Hypermesh__KvEvent **out;
    Hypermesh__KvEntry **previous;
    uint64_t next;
    uint32_t next_sub;
    size_t count = 0;
    int rc = ledger_view_kv_changes(view, hm_slice_str("k/"), hm_slice_str("k0"), 3, 0, 100, arena,
                                    &out, &previous, &count, &next, &next_sub, error);

    return found(rc, count == 6 && next == 9 && previous[4] && !previous[0], error);
}

READ(ask_kv_leases)
{
    Hypermesh__KvLease **out;
    Hypermesh__KvLease *one;
    struct hm_slice *keys;
    size_t count = 0;
    size_t held = 0;
    int rc = ledger_view_kv_leases(view, 0, PAGE, arena, &out, &count, error);

    if (rc == 0)
        rc = ledger_view_kv_lease(view, LEASE_KV, arena, &one, error);
    if (rc == 0)
        rc = ledger_view_kv_lease_keys(view, LEASE_KV, (struct hm_slice){0}, PAGE, arena, &keys,
                                       &held, error);
    return found(rc, count == 2 && held == 2, error);
}

READ(ask_kv_rules)
{
    Hypermesh__KvRule **out;
    size_t count = 0;
    int rc = ledger_view_kv_rules(view, (struct hm_slice){0}, PAGE, arena, &out, &count, error);

    if (rc == 0)
        rc = ledger_view_kv_allowed(view, fix.people[ALICE].id, hm_slice_str("c"),
                                    hm_slice_str("z"), true, error);
    return found(rc, count == 3, error);
}

READ(ask_events)
{
    struct ledger_event *out;
    struct ledger_info info;
    uint32_t total;
    size_t count;
    int rc = ledger_view_info(view, &info, error);

    for (uint64_t height = 1; rc == 0 && height <= info.height; height++)
        rc = ledger_view_events(view, height, 0, LEDGER_EVENTS_MAX, arena, &out, &count, &total,
                                error);
    return rc;
}

READ(ask_validators)
{
    Hypermesh__Validator **out;
    Hypermesh__Validator *one;
    struct ledger_validator_update *set;
    size_t members = 0;
    size_t count = 0;
    int rc = ledger_view_validators(view, NULL, PAGE, arena, &out, &count, error);

    if (rc == 0)
        rc = ledger_view_validator(view, fix.people[DAVE].id, arena, &one, error);
    if (rc == 0)
        rc = ledger_view_engine_set(view, arena, &set, &members, error);
    return found(rc, rc == 0 && count == 1 && members == 1 && one->n_leaving == 1, error);
}

READ(ask_delegations)
{
    Hypermesh__Delegation **out;
    Hypermesh__Delegation *one;
    Hypermesh__Validator **to;
    size_t validators = 0;
    size_t count = 0;
    int rc = ledger_view_delegations(view, fix.people[DAVE].id, NULL, PAGE, arena, &out, &count,
                                     error);

    if (rc == 0)
        rc = ledger_view_delegation(view, fix.people[DAVE].id, fix.people[ERIN].id, arena, &one,
                                    error);
    if (rc == 0)
        rc = ledger_view_delegated(view, fix.people[ERIN].id, NULL, PAGE, arena, &to, &validators,
                                   error);
    return found(rc, rc == 0 && count == 2 && validators == 1 && one->n_leaving == 1, error);
}

const struct read reads[] = {
    {"account", ask_account},       {"asset", ask_asset},
    {"lease", ask_lease},           {"params", ask_params},
    {"supply", ask_supply},         {"signing", ask_signing},
    {"assets", ask_assets},         {"leases", ask_leases},
    {"histories", ask_histories},   {"tx", ask_tx},
    {"genesis", ask_genesis},       {"proofs", ask_proofs},
    {"networks", ask_networks},     {"members", ask_members},
    {"challenges", ask_challenges}, {"kv state", ask_kv_state},
    {"kv range", ask_kv_range},     {"kv past", ask_kv_past},
    {"kv changes", ask_kv_changes}, {"kv leases", ask_kv_leases},
    {"kv rules", ask_kv_rules},     {"events", ask_events},
    {"validators", ask_validators}, {"delegations", ask_delegations},
};
const size_t reads_count = HM_COUNT_OF(reads);

void reads_store_put(unsigned table, struct hm_slice key, struct hm_slice value)
{
    struct store_txn *txn;

    assert_int_equal(store_begin_write(fix.store, &txn, NULL), 0);
    assert_int_equal(value.data ? store_put(txn, table, key, value, NULL)
                                : store_delete(txn, table, key, NULL),
                     0);
    assert_int_equal(store_commit(txn, NULL), 0);
}
