/* What operations refuse: code and sentence of each; and that a refused transaction leaves nothing but its
 * fee. */
#include "ledger_check.h"

static int setup(void **state)
{
    return check_setup(state) ||
           check_offer(ALICE, 36 * FIXTURE_HYPER, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC);
}

/* The operation fails with this code and words; the account has lost its fee and nothing else. */
static void refused_with(enum fixture_role who, Hypermesh__Operation *op, int code,
                         const char *words)
{
    Hypermesh__Account *before = fixture_account(&fix, who);
    Hypermesh__TxResult *result = fixture_do(&fix, who, op);
    Hypermesh__Account *after = fixture_account(&fix, who);

    assert_non_null(result);
    if (result->code != code || !strstr(result->text, words) || result->rule[0] == '\0' ||
        !strstr(result->text, result->rule))
        fail_msg("code %d (%s) with \"%s\"; wanted %d with \"%s\"", result->code,
                 hm_error_name(result->code), result->text, code, words);
    assert_true(result->fee > 0);
    assert_int_equal(after->hyper, before->hyper - result->fee);
    assert_int_equal(after->bonded, before->bonded);
    assert_int_equal(after->caes, before->caes);
    assert_int_equal(after->assets, before->assets);
    assert_int_equal(after->txs, before->txs + 1);
    assert_memory_not_equal(after->presence.data, before->presence.data, 32);
}

static void lease_now(enum fixture_role who, uint32_t share, uint64_t duration, uint8_t id[32])
{
    Hypermesh__TxResult *result = fixture_do(&fix, who, op_allocate(&fix, cpu, 1, share, duration));

    assert_string_equal(result->text, "");
    memcpy(id, result->created[0].data, 32);
}

static void test_transfer(void **state)
{
    Hypermesh__Operation *op;
    char memo[130];

    (void)state;
    refused_with(ALICE, op_transfer(&fix, BOB, 0), HM_EINVAL, "amount is 0");
    refused_with(ALICE, op_transfer(&fix, BOB, UINT64_MAX), HM_EFUNDS, "HYPER base units");
    refused_with(ALICE, op_transfer_caes(&fix, BOB, 1), HM_EFUNDS, "CAES");
    op = op_transfer(&fix, BOB, 1);
    op->transfer->to.len = 31;
    refused_with(ALICE, op, HM_EINVAL, "31 bytes");
    op = op_transfer(&fix, BOB, 1);
    op->transfer->token = (Hypermesh__Token)7;
    refused_with(ALICE, op, HM_EINVAL, "no token 7");
    memset(memo, 'm', sizeof memo - 1);
    memo[sizeof memo - 1] = '\0';
    op = op_transfer(&fix, BOB, 1);
    op->transfer->memo = memo;
    refused_with(ALICE, op, HM_ELIMIT, "memo has 129 bytes");
    op = op_transfer(&fix, BOB, 1);
    op->transfer->memo = (char *)(uintptr_t)("a\nb");
    refused_with(ALICE, op, HM_EINVAL, "control character");
}

static void test_bond(void **state)
{
    (void)state;
    refused_with(BOB, op_bond(&fix, 0), HM_EINVAL, "amount is 0");
    refused_with(BOB, op_bond(&fix, UINT64_MAX / 2), HM_EFUNDS, "HYPER base units");
    refused_with(BOB, op_unbond(&fix, 0), HM_EINVAL, "amount is 0");
    refused_with(BOB, op_unbond(&fix, 1001 * FIXTURE_HYPER), HM_EFUNDS, "bonded");
    /* Alice offers an asset: her bond stays at what that needs. */
    refused_with(ALICE, op_unbond(&fix, 950 * FIXTURE_HYPER), HM_ECONFLICT, "must stay bonded");
    good(ALICE, op_unbond(&fix, 900 * FIXTURE_HYPER));
    good(ALICE, op_retire(&fix, cpu[0]));
    good(ALICE, op_unbond(&fix, 100 * FIXTURE_HYPER));
    for (int i = 0; i < 16; i++)
        good(BOB, op_unbond(&fix, 1));
    refused_with(BOB, op_unbond(&fix, 1), HM_ELIMIT, "unbonding already");
}

static Hypermesh__TxResult *by_root(enum fixture_role who, Hypermesh__Operation *op)
{
    struct hm_slice tx = fixture_root_tx(&fix, who, &op, 1);

    assert_int_equal(fixture_block_txs(&fix, &tx, 1), 0);
    fixture_resync(&fix);
    return fix.record->results[0];
}

static void root_refused(Hypermesh__Operation *op, int code, const char *words)
{
    Hypermesh__TxResult *result = by_root(ALICE, op);

    if (result->code != code || !strstr(result->text, words))
        fail_msg("code %d with \"%s\"; wanted %d with \"%s\"", result->code, result->text, code,
                 words);
}

static void test_session(void **state)
{
    uint8_t key[32] = {1};
    uint64_t end = fix.next_ms + fix.params.session_max_ms;

    (void)state;
    root_refused(op_grant(&fix, key, 0, fix.next_ms + 1000), HM_EINVAL, "scope");
    root_refused(op_grant(&fix, key, UINT64_C(1) << (LEDGER_OP_COUNT + 1), fix.next_ms + 1000),
                 HM_EINVAL, "scope");
    root_refused(op_grant(&fix, key, 2, fix.next_ms), HM_ERANGE, "expires_ms");
    root_refused(op_grant(&fix, key, 2, fix.next_ms + fix.params.session_max_ms + 1), HM_ERANGE,
                 "expires_ms");
    refused_with(ALICE, op_revoke(&fix, key), HM_ENOTFOUND, "no such session");
    for (uint8_t i = 1; i < fix.params.max_sessions; i++) {
        key[0] = i;
        assert_int_equal(by_root(ALICE, op_grant(&fix, key, 2, end))->code, 0);
    }
    key[0] = 200;
    root_refused(op_grant(&fix, key, 2, end), HM_ELIMIT, "sessions");
    key[0] = 1; /* replacing one is not one more */
    assert_int_equal(by_root(ALICE, op_grant(&fix, key, 6, end))->code, 0);
    assert_int_equal(fixture_account(&fix, ALICE)->n_sessions, fix.params.max_sessions);
}

static void test_space_commit(void **state)
{
    Hypermesh__Operation *op = op_space(&fix);

    (void)state;
    refused_with(ALICE, op, HM_EPROOF_SPACE, "space"); /* the node's plot is not Alice's */
    op = op_space(&fix);
    op->space_commit->openings[0]->parents[0]->label.data[0] ^= 1;
    refused_with(NODE, op, HM_EPROOF_SPACE, "space");
    op = op_space(&fix);
    op->space_commit->n_openings--;
    refused_with(NODE, op, HM_EPROOF_SPACE, "space");
    op = op_space(&fix);
    op->space_commit->plot->labels = 32;
    refused_with(NODE, op, HM_EPROOF_SPACE, "32 labels");
    op = op_space(&fix);
    op->space_commit->plot = NULL;
    refused_with(NODE, op, HM_EPROOF_SPACE, "root is missing");
    good(NODE, op_space(&fix));
}

static void test_register(void **state)
{
    Hypermesh__Attribute first = HYPERMESH__ATTRIBUTE__INIT;
    Hypermesh__Attribute second = HYPERMESH__ATTRIBUTE__INIT;
    Hypermesh__Attribute *list[2] = {&first, &second};
    Hypermesh__Operation *op;

    (void)state;
#define FRESH() (op = op_register(&fix, "new", 1, HYPERMESH__PRIVACY_LEVEL__PRIVATE))
    refused_with(ALICE, op_register(&fix, "cpu0", 1, HYPERMESH__PRIVACY_LEVEL__PRIVATE), HM_EEXIST,
                 "registered already as asset1");
    FRESH()->asset_register->kind = HYPERMESH__ASSET_KIND__ASSET_NONE;
    refused_with(ALICE, op, HM_EINVAL, "kind");
    FRESH()->asset_register->kind = (Hypermesh__AssetKind)99;
    refused_with(ALICE, op, HM_EINVAL, "kind");
    FRESH()->asset_register->hardware_id = (char *)(uintptr_t)("");
    refused_with(ALICE, op, HM_EINVAL, "hardware_id");
    FRESH()->asset_register->capacity = 0;
    refused_with(ALICE, op, HM_EINVAL, "capacity");
    FRESH()->asset_register->privacy = NULL;
    refused_with(ALICE, op, HM_EINVAL, "privacy level");
    FRESH()->asset_register->privacy->max_share_ppm = 1000001;
    refused_with(ALICE, op, HM_EINVAL, "max_share_ppm");
    FRESH()->asset_register->privacy->max_duration_ms = UINT64_MAX;
    refused_with(ALICE, op, HM_EINVAL, "max_duration_ms");
    FRESH()->asset_register->privacy->max_leases = UINT32_MAX;
    refused_with(ALICE, op, HM_EINVAL, "max_leases");
    first.name = (char *)(uintptr_t)("b");
    second.name = (char *)(uintptr_t)("a");
    FRESH()->asset_register->attributes = list;
    op->asset_register->n_attributes = 2;
    refused_with(ALICE, op, HM_EINVAL, "sorted by name");
    first.name = (char *)(uintptr_t)("A b");
    FRESH()->asset_register->attributes = list;
    op->asset_register->n_attributes = 2;
    refused_with(ALICE, op, HM_EINVAL, "attribute 0");
    refused_with(FRANK, op_give(&fix, cpu[0], BOB), HM_EPERM, "another account");
}

static void test_asset_rights(void **state)
{
    uint8_t nothing[32] = {9};
    uint8_t lease[32];

    (void)state;
    refused_with(BOB, op_update(&fix, cpu[0], 1, 1), HM_EPERM, "another account");
    refused_with(BOB, op_retire(&fix, cpu[0]), HM_EPERM, "another account");
    refused_with(BOB, op_privacy(&fix, cpu[0], HYPERMESH__PRIVACY_LEVEL__PRIVATE), HM_EPERM,
                 "another account");
    refused_with(ALICE, op_update(&fix, nothing, 1, 1), HM_ENOTFOUND, "no asset asset1");
    refused_with(ALICE, op_give(&fix, cpu[0], ALICE), HM_EINVAL, "already");
    refused_with(ALICE, op_give(&fix, cpu[0], POOR), HM_EPROOF_STAKE, "receive");
    lease_now(BOB, 250000, MINUTE_MS, lease);
    refused_with(ALICE, op_give(&fix, cpu[0], BOB), HM_ECONFLICT, "active leases");
    refused_with(ALICE, op_retire(&fix, cpu[0]), HM_ECONFLICT, "active leases");
    refused_with(ALICE, op_update(&fix, cpu[0], 3999, 1), HM_ECONFLICT, "active leases");
    good(ALICE, op_update(&fix, cpu[0], 4001, 1));
    good(BOB, op_free(&fix, lease));
    good(ALICE, op_update(&fix, cpu[0], 3999, 1));
    good(ALICE, op_give(&fix, cpu[0], BOB));
    assert_int_equal(fixture_account(&fix, ALICE)->assets, 0);
    assert_int_equal(fixture_account(&fix, BOB)->assets, 1);
    refused_with(ALICE, op_retire(&fix, cpu[0]), HM_EPERM, "another account");
    good(BOB, op_retire(&fix, cpu[0]));
    refused_with(BOB, op_update(&fix, cpu[0], 1, 1), HM_ECONFLICT, "retired");
    refused_with(CAROL, op_allocate(&fix, cpu, 1, 1, MINUTE_MS), HM_ECONFLICT, "retired");
    good(ALICE, op_register(&fix, "cpu0", 5, HYPERMESH__PRIVACY_LEVEL__PRIVATE));
    assert_int_equal(fixture_account(&fix, ALICE)->assets, 1);
}

static void test_allocate(void **state)
{
    uint8_t both[2][32];
    uint8_t lease[32];
    Hypermesh__Operation *op;

    (void)state;
    memcpy(both[0], cpu[0], 32);
    memcpy(both[1], cpu[0], 32);
    refused_with(BOB, op_allocate(&fix, both, 2, 1, MINUTE_MS), HM_EINVAL, "same asset");
    refused_with(BOB, op_allocate(&fix, cpu, 0, 1, MINUTE_MS), HM_ELIMIT, "items");
    refused_with(BOB, op_allocate(&fix, cpu, 1, 0, MINUTE_MS), HM_EINVAL, "share_ppm 0");
    refused_with(BOB, op_allocate(&fix, cpu, 1, 1000001, MINUTE_MS), HM_EINVAL,
                 "share_ppm 1000001");
    refused_with(BOB, op_allocate(&fix, cpu, 1, 1, 0), HM_EINVAL, "duration is 0");
    refused_with(BOB, op_allocate(&fix, cpu, 1, 1, fix.params.max_lease_ms + 1), HM_ELIMIT,
                 "a lease lasts at most");
    op = op_allocate(&fix, cpu, 1, 1, MINUTE_MS);
    op->allocate->items[0]->max_price_per_hour = 36 * FIXTURE_HYPER - 1;
    refused_with(BOB, op, HM_ECONFLICT, "at most");
    op = op_allocate(&fix, cpu, 1, 1, MINUTE_MS);
    op->allocate->job = wire_bytes(both, 5);
    refused_with(BOB, op, HM_EINVAL, "job has 5 bytes");
    memset(both[1], 3, 32);
    refused_with(BOB, op_allocate(&fix, both, 2, 1, MINUTE_MS), HM_ENOTFOUND,
                 "item 1: there is no asset");
    good(CAROL, op_register(&fix, "cpu0", 1, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC));
    fixture_asset_id(&fix, CAROL, "cpu0", both[1]);
    refused_with(BOB, op_allocate(&fix, both, 2, 1, MINUTE_MS), HM_EINVAL, "different owners");
    /* 36 HYPER an hour for 30 days is 25920: more than Poor has, and Poor has no bond either. */
    good(BOB, op_unbond(&fix, 1000 * FIXTURE_HYPER));
    refused_with(BOB, op_allocate(&fix, cpu, 1, 1, MINUTE_MS), HM_EPROOF_STAKE, "stake: to lease");
    good(BOB, op_bond(&fix, 1 * FIXTURE_HYPER));
    lease_now(BOB, 600000, MINUTE_MS, lease);
    refused_with(CAROL, op_allocate(&fix, cpu, 1, 400001, MINUTE_MS), HM_ECONFLICT,
                 "smaller share");
    lease_now(CAROL, 400000, MINUTE_MS, lease);
    refused_with(CAROL, op_allocate(&fix, cpu, 1, 1, MINUTE_MS), HM_ECONFLICT, "smaller share");
    assert_int_equal(fixture_asset(&fix, cpu[0])->leased_ppm, 1000000);
}

static void test_allocate_escrow(void **state)
{
    uint64_t most = fix.params.max_lease_ms;

    (void)state;
    good(ALICE, op_update(&fix, cpu[0], 4000, 2000 * FIXTURE_HYPER));
    refused_with(BOB, op_allocate(&fix, cpu, 1, 1000000, most), HM_EFUNDS,
                 "escrow: the account has");
    good(ALICE, op_update(&fix, cpu[0], 4000, UINT64_MAX));
    refused_with(BOB, op_allocate(&fix, cpu, 1, 1000000, most), HM_ERANGE,
                 "more than can be counted");
    assert_int_equal(fixture_asset(&fix, cpu[0])->leases, 0);
}

static void privacy_is(Hypermesh__PrivacyLevel level, enum fixture_role listed)
{
    Hypermesh__Operation *op = op_privacy(&fix, cpu[0], level);
    ProtobufCBinaryData account = wire_bytes(fix.people[listed].id, 32);

    if (level == HYPERMESH__PRIVACY_LEVEL__P2P) {
        op->privacy_set->privacy->accounts = &account;
        op->privacy_set->privacy->n_accounts = 1;
    }
    good(ALICE, op);
}

static void test_privacy(void **state)
{
    const enum fixture_role alice = ALICE;
    Hypermesh__Operation *op;
    uint8_t lease[32];

    (void)state;
    privacy_is(HYPERMESH__PRIVACY_LEVEL__PRIVATE, BOB);
    refused_with(BOB, op_allocate(&fix, cpu, 1, 1, 1), HM_EPERM, "Private");
    lease_now(ALICE, 1, 1, lease);
    privacy_is(HYPERMESH__PRIVACY_LEVEL__P2P, BOB);
    refused_with(CAROL, op_allocate(&fix, cpu, 1, 1, 1), HM_EPERM, "P2P");
    refused_with(BOB, op_allocate(&fix, cpu, 1, 1, 1), HM_EPERM, "peers");
    good(BOB, op_peers(&fix, &alice, 1));
    lease_now(BOB, 1, 1, lease);
    lease_now(ALICE, 1, 1, lease);
    privacy_is(HYPERMESH__PRIVACY_LEVEL__PRIVATE_NETWORK, BOB);
    refused_with(BOB, op_allocate(&fix, cpu, 1, 1, 1), HM_EPERM, "none of the 0 networks");
    privacy_is(HYPERMESH__PRIVACY_LEVEL__PUBLIC_NETWORK, BOB);
    refused_with(BOB, op_allocate(&fix, cpu, 1, 1, 1), HM_EPERM, "none of the 0 networks");
    lease_now(ALICE, 1, 1, lease);
    op = op_privacy(&fix, cpu[0], HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC);
    op->privacy_set->privacy->max_share_ppm = 500000;
    op->privacy_set->privacy->max_leases = 2;
    op->privacy_set->privacy->max_duration_ms = MINUTE_MS;
    good(ALICE, op);
    refused_with(BOB, op_allocate(&fix, cpu, 1, 500001, MINUTE_MS), HM_ECONFLICT, "of 500000 that");
    refused_with(BOB, op_allocate(&fix, cpu, 1, 1, MINUTE_MS + 1), HM_ELIMIT, "the asset allows");
    lease_now(BOB, 1, MINUTE_MS, lease);
    lease_now(BOB, 1, MINUTE_MS, lease);
    refused_with(BOB, op_allocate(&fix, cpu, 1, 1, MINUTE_MS), HM_ELIMIT, "it allows 2 at once");
    refused_with(BOB, op_renew(&fix, lease, 1), HM_ELIMIT, "the asset allows");
}

static void test_lease_rights(void **state)
{
    uint8_t nothing[32] = {7};
    uint8_t lease[32];
    Hypermesh__Operation *op;

    (void)state;
    lease_now(BOB, 1000, 10 * MINUTE_MS, lease);
    refused_with(CAROL, op_free(&fix, lease), HM_EPERM, "another account");
    refused_with(ALICE, op_free(&fix, lease), HM_EPERM, "another account");
    refused_with(CAROL, op_renew(&fix, lease, 1), HM_EPERM, "another account");
    refused_with(BOB, op_settle(&fix, lease), HM_EPERM, "only the lease's provider");
    refused_with(BOB, op_free(&fix, nothing), HM_ENOTFOUND, "no lease lease1");
    refused_with(BOB, op_renew(&fix, lease, 0), HM_EINVAL, "extra_ms is 0");
    refused_with(BOB, op_renew(&fix, lease, UINT64_MAX), HM_ELIMIT, "at most");
    good(ALICE, op_update(&fix, cpu[0], 4000, 37 * FIXTURE_HYPER));
    refused_with(BOB, op_renew(&fix, lease, 1), HM_ECONFLICT, "price rose");
    op = op_free(&fix, lease);
    op->release->lease.len = 3;
    refused_with(BOB, op, HM_EINVAL, "3 bytes");
    good(BOB, op_free(&fix, lease));
    refused_with(BOB, op_free(&fix, lease), HM_ECONFLICT, "has ended: it is");
    refused_with(BOB, op_renew(&fix, lease, 1), HM_ECONFLICT, "has ended: it is");
}

static void test_settle(void **state)
{
    uint8_t lease[32];
    Hypermesh__Operation *op;

    (void)state;
    lease_now(BOB, 1000, 10 * MINUTE_MS, lease);
#define SETTLE() (op = op_settle(&fix, lease))
    SETTLE()->settle->n_usage = 0;
    refused_with(ALICE, op, HM_EINVAL, "0 usage records for the 1 leased items of kind cpu");
    SETTLE()->settle->usage[0]->consumer = wire_bytes(fix.people[CAROL].id, 32);
    refused_with(ALICE, op, HM_EINVAL, "usage 0: consumer");
    SETTLE()->settle->usage[0]->provider = wire_bytes(fix.people[CAROL].id, 32);
    refused_with(ALICE, op, HM_EINVAL, "provider is not");
    SETTLE()->settle->usage[0]->price_per_unit++;
    refused_with(ALICE, op, HM_EINVAL, "price_per_unit");
    SETTLE()->settle->usage[0]->resource_type = HYPERMESH__ASSET_KIND__GPU;
    refused_with(ALICE, op, HM_EINVAL, "resource_type");
    SETTLE()->settle->usage[0]->duration_ms = 10 * MINUTE_MS + 1;
    refused_with(ALICE, op, HM_EINVAL, "longer than the lease");
    SETTLE()->settle->usage[0]->timestamp_ms = 1;
    refused_with(ALICE, op, HM_EINVAL, "not within the lease");
    SETTLE()->settle->usage[0]->timestamp_ms = UINT64_MAX;
    refused_with(ALICE, op, HM_EINVAL, "not within the lease");
    SETTLE()->settle->usage[0]->unit = (char *)(uintptr_t)("");
    refused_with(ALICE, op, HM_EINVAL, "unit is empty");
    SETTLE()->settle->usage[0]->node.len = 0;
    refused_with(ALICE, op, HM_EINVAL, "node has 0 bytes");
    SETTLE()->settle->outcome = HYPERMESH__JOB_OUTCOME__OUTCOME_NONE;
    refused_with(ALICE, op, HM_EINVAL, "outcome 0");
    SETTLE()->settle->outcome = HYPERMESH__JOB_OUTCOME__EXPIRED;
    refused_with(ALICE, op, HM_EINVAL, "outcome 5");
    SETTLE()->settle->result = wire_bytes(lease, 31);
    refused_with(ALICE, op, HM_EINVAL, "result has 31 bytes");
    good(ALICE, op_settle(&fix, lease));
    refused_with(ALICE, op_settle(&fix, lease), HM_ECONFLICT, "settled already");
}

/* Three good operations before a bad one: nothing of them stays. */
static void test_all_or_none(void **state)
{
    Hypermesh__Operation *ops[5] = {
        op_transfer(&fix, CAROL, 5),
        op_register(&fix, "fresh", 1, HYPERMESH__PRIVACY_LEVEL__PRIVATE),
        op_allocate(&fix, cpu, 1, 1000, MINUTE_MS),
        op_transfer(&fix, CAROL, UINT64_MAX),
        op_bond(&fix, 1),
    };
    uint64_t carol = fixture_account(&fix, CAROL)->hyper;
    uint64_t bob = fixture_account(&fix, BOB)->hyper;
    Hypermesh__Supply *supply = fixture_supply(&fix);
    Hypermesh__TxResult *result = fixture_do_many(&fix, BOB, ops, 5);
    uint8_t fresh[32];

    (void)state;
    assert_int_equal(result->code, HM_EFUNDS);
    assert_int_equal(result->op, 3);
    assert_non_null(strstr(result->text, "transfer: "));
    assert_int_equal(result->n_created, 0);
    assert_int_equal(fixture_account(&fix, CAROL)->hyper, carol);
    assert_int_equal(fixture_account(&fix, BOB)->hyper, bob - result->fee);
    assert_int_equal(fixture_account(&fix, BOB)->assets, 0);
    fixture_asset_id(&fix, BOB, "fresh", fresh);
    assert_null(fixture_asset(&fix, fresh));
    assert_int_equal(fixture_asset(&fix, cpu[0])->leases, 0);
    assert_int_equal(fixture_asset(&fix, cpu[0])->events, 1);
    assert_int_equal(fixture_supply(&fix)->hyper_escrow, supply->hyper_escrow);
    assert_int_equal(fixture_supply(&fix)->hyper_burnt, supply->hyper_burnt + result->fee);
}

/* Refused before the fee: no trace at all. */
static void free_refusal(Hypermesh__TxBody *body, enum fixture_role who, int code,
                         const char *words)
{
    struct hm_slice tx = fixture_pack(&fix, &fixture_sign(&fix, who, body, false)->base);
    struct ledger_info before = check_info();
    struct ledger_info after;
    struct hm_error error = {0};

    assert_int_equal(ledger_check_tx(fix.ledger, tx, fix.next_ms, NULL, &error), code);
    assert_non_null(strstr(error.text, words));
    assert_int_equal(fixture_block_txs(&fix, &tx, 1), 0);
    assert_int_equal(fix.record->results[0]->code, code);
    assert_string_equal(fix.record->results[0]->text, error.text);
    assert_int_equal(fix.record->results[0]->fee, 0);
    after = check_info();
    assert_memory_equal(before.state_root, after.state_root, 32);
    fixture_resync(&fix);
}

static void test_before_the_fee(void **state)
{
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 1);
    Hypermesh__Operation empty = HYPERMESH__OPERATION__INIT;
    Hypermesh__Operation *many[65];
    Hypermesh__TxBody *body = fixture_body(&fix, ALICE, &op, 1);
    uint8_t account[33] = {0};

    (void)state;
    body->fee_limit = 1000;
    free_refusal(body, ALICE, HM_EFUNDS, "fee_limit");
    body = fixture_body(&fix, ALICE, &op, 1);
    body->chain_id = (char *)(uintptr_t)("test-2");
    free_refusal(body, ALICE, HM_EINVAL, "is for chain \"test-2\"");
    body = fixture_body(&fix, ALICE, &op, 1);
    memcpy(account, body->account.data, 32);
    body->account = wire_bytes(account, sizeof account);
    free_refusal(body, ALICE, HM_EINVAL, "account has 33 bytes");
    body = fixture_body(&fix, ALICE, &op, 0);
    free_refusal(body, ALICE, HM_ELIMIT, "1 to 64 operations");
    for (size_t i = 0; i < 65; i++)
        many[i] = op;
    body = fixture_body(&fix, ALICE, many, 65);
    free_refusal(body, ALICE, HM_ELIMIT, "1 to 64 operations");
    many[0] = &empty;
    body = fixture_body(&fix, ALICE, many, 1);
    free_refusal(body, ALICE, HM_EINVAL, "operation 0 is empty");
}

/* Who has nothing cannot pay, whatever is signed. */
static void test_no_balance(void **state)
{
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 1);
    struct hm_slice tx = fixture_root_tx(&fix, POOR, &op, 1);

    (void)state;
    assert_int_equal(fixture_block_txs(&fix, &tx, 1), 0);
    assert_int_equal(fix.record->results[0]->code, HM_EFUNDS);
    assert_non_null(strstr(fix.record->results[0]->text, "the account has 0 HYPER"));
    assert_int_equal(fixture_account(&fix, POOR)->txs, 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_transfer),       CASE(test_bond),
        CASE(test_session),        CASE(test_space_commit),
        CASE(test_register),       CASE(test_asset_rights),
        CASE(test_allocate),       CASE(test_allocate_escrow),
        CASE(test_privacy),        CASE(test_lease_rights),
        CASE(test_settle),         CASE(test_all_or_none),
        CASE(test_before_the_fee), CASE(test_no_balance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
