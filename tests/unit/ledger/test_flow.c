/* The main flow: genesis, sessions, assets, a lease and each way it ends; what it costs and who is paid. */
#include "ledger_check.h"

static void offer(enum fixture_role who, const char *name, uint64_t price, uint8_t id[32])
{
    Hypermesh__TxResult *result = good(
        who, op_register(&fix, name, price, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC));

    fixture_asset_id(&fix, who, name, id);
    assert_int_equal(result->n_created, 1);
    assert_memory_equal(result->created[0].data, id, 32);
}

static void lease_of(Hypermesh__TxResult *result, uint8_t id[32])
{
    assert_int_equal(result->n_created, 1);
    memcpy(id, result->created[0].data, 32);
}

static void supply_adds_up(void)
{
    Hypermesh__Supply *supply = fixture_supply(&fix);

    assert_int_equal(supply->hyper_genesis, FIXTURE_SUPPLY);
    assert_int_equal(supply->hyper_burnt + supply->hyper_accounts + supply->hyper_bonded +
                         supply->hyper_escrow,
                     FIXTURE_SUPPLY);
}

static void test_after_genesis(void **state)
{
    Hypermesh__Account *alice = fixture_account(&fix, ALICE);
    Hypermesh__Account *node = fixture_account(&fix, NODE);

    (void)state;
    assert_int_equal(alice->bonded, 1000 * FIXTURE_HYPER);
    assert_int_equal(alice->n_sessions, 1);
    assert_int_equal(alice->txs, 1);
    assert_non_null(node->plot);
    assert_int_equal(node->plot->labels, FIXTURE_LABELS);
    assert_string_equal(node->endpoint, "node.example:7470");
    assert_true(alice->hyper < FIXTURE_SUPPLY / 100 * 40 - 1000 * FIXTURE_HYPER);
    supply_adds_up();
}

static void test_transfer(void **state)
{
    uint64_t alice = fixture_account(&fix, ALICE)->hyper;
    uint64_t bob = fixture_account(&fix, BOB)->hyper;
    uint64_t burnt = fixture_supply(&fix)->hyper_burnt;
    Hypermesh__TxResult *result = good(ALICE, op_transfer(&fix, BOB, 5 * FIXTURE_HYPER));

    (void)state;
    assert_true(result->fee > 0 && result->fee < FIXTURE_HYPER / 100);
    assert_int_equal(fixture_account(&fix, ALICE)->hyper, alice - 5 * FIXTURE_HYPER - result->fee);
    assert_int_equal(fixture_account(&fix, BOB)->hyper, bob + 5 * FIXTURE_HYPER);
    assert_int_equal(fixture_supply(&fix)->hyper_burnt, burnt + result->fee);
    supply_adds_up();
}

static void test_transfer_to_self(void **state)
{
    uint64_t alice = fixture_account(&fix, ALICE)->hyper;
    Hypermesh__TxResult *result = good(ALICE, op_transfer(&fix, ALICE, 5 * FIXTURE_HYPER));

    (void)state;
    assert_int_equal(fixture_account(&fix, ALICE)->hyper, alice - result->fee);
}

/* Bob leases half of Alice's CPU for an hour at 36 HYPER an hour; 10 s later Alice settles. */
static void test_lease_settled(void **state)
{
    uint8_t asset[1][32];
    uint8_t lease[32];
    uint64_t before;
    uint64_t price = 36 * FIXTURE_HYPER;
    uint64_t paid = 18 * FIXTURE_HYPER / 3600 * 11; /* 11 blocks of a second later */
    Hypermesh__TxResult *result;
    Hypermesh__Lease *kept;

    (void)state;
    offer(ALICE, "cpu0", price, asset[0]);
    before = fixture_account(&fix, BOB)->hyper;
    result = good(BOB, op_allocate(&fix, asset, 1, 500000, HOUR_MS));
    lease_of(result, lease);
    assert_int_equal(fixture_account(&fix, BOB)->hyper, before - result->fee - 18 * FIXTURE_HYPER);
    assert_int_equal(fixture_lease(&fix, lease)->escrow, 18 * FIXTURE_HYPER);
    assert_int_equal(fixture_supply(&fix)->hyper_escrow, 18 * FIXTURE_HYPER);
    assert_int_equal(fixture_asset(&fix, asset[0])->leased_ppm, 500000);
    supply_adds_up();

    fix.next_ms += 10 * FIXTURE_BLOCK_MS;
    before = fixture_account(&fix, ALICE)->hyper;
    result = good(ALICE, op_settle(&fix, lease));
    kept = fixture_lease(&fix, lease);
    assert_int_equal(kept->state, HYPERMESH__LEASE_STATE__LEASE_SETTLED);
    assert_int_equal(kept->paid, paid);
    assert_int_equal(kept->refunded, 18 * FIXTURE_HYPER - paid);
    assert_int_equal(kept->escrow, 0);
    assert_int_equal(kept->reward_caes, paid / 10);
    assert_non_null(kept->settlement);
    assert_int_equal(fixture_account(&fix, ALICE)->hyper, before - result->fee + paid);
    assert_int_equal(fixture_account(&fix, ALICE)->caes, paid / 10);
    assert_int_equal(fixture_supply(&fix)->caes_minted, paid / 10);
    assert_int_equal(fixture_asset(&fix, asset[0])->leased_ppm, 0);
    assert_int_equal(fixture_asset(&fix, asset[0])->leases, 0);
    assert_int_equal(fixture_supply(&fix)->hyper_escrow, 0);
    supply_adds_up();
}

static void test_lease_released(void **state)
{
    uint8_t asset[2][32];
    uint8_t lease[32];
    uint64_t alice;
    Hypermesh__Lease *kept;

    (void)state;
    offer(ALICE, "cpu0", 36 * FIXTURE_HYPER, asset[0]);
    offer(ALICE, "cpu1", 72 * FIXTURE_HYPER, asset[1]);
    lease_of(good(BOB, op_allocate(&fix, asset, 2, 1000000, HOUR_MS)), lease);
    assert_int_equal(fixture_lease(&fix, lease)->escrow, 108 * FIXTURE_HYPER);
    alice = fixture_account(&fix, ALICE)->hyper;
    fix.next_ms += 9 * FIXTURE_BLOCK_MS;
    good(BOB, op_free(&fix, lease));
    kept = fixture_lease(&fix, lease);
    assert_int_equal(kept->state, HYPERMESH__LEASE_STATE__LEASE_RELEASED);
    assert_int_equal(kept->paid, 108 * FIXTURE_HYPER / 360);
    assert_int_equal(fixture_account(&fix, ALICE)->hyper, alice + kept->paid);
    supply_adds_up();
    /* The provider's record still comes in, once, and moves nothing. */
    good(ALICE, op_settle(&fix, lease));
    assert_non_null(fixture_lease(&fix, lease)->settlement);
    assert_int_equal(fixture_lease(&fix, lease)->paid, kept->paid);
    assert_int_equal(fixture_lease(&fix, lease)->state, HYPERMESH__LEASE_STATE__LEASE_RELEASED);
    assert_int_equal(fixture_do(&fix, ALICE, op_settle(&fix, lease))->code, HM_ECONFLICT);
    supply_adds_up();
}

static void test_lease_expires(void **state)
{
    uint8_t asset[1][32];
    uint8_t lease[32];
    uint64_t alice;
    struct ledger_info info;

    (void)state;
    offer(ALICE, "cpu0", 36 * FIXTURE_HYPER, asset[0]);
    lease_of(good(BOB, op_allocate(&fix, asset, 1, 1000000, 60000)), lease);
    alice = fixture_account(&fix, ALICE)->hyper;
    info = check_info();
    assert_int_equal(info.next_due_ms, fixture_lease(&fix, lease)->expires_ms);
    fix.next_ms = info.next_due_ms - 1;
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(fixture_lease(&fix, lease)->state, HYPERMESH__LEASE_STATE__LEASE_ACTIVE);
    fix.next_ms = info.next_due_ms;
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(fix.record->n_expired, 1);
    assert_memory_equal(fix.record->expired[0].data, lease, 32);
    assert_int_equal(fixture_lease(&fix, lease)->state, HYPERMESH__LEASE_STATE__LEASE_EXPIRED);
    assert_int_equal(fixture_lease(&fix, lease)->paid, 36 * FIXTURE_HYPER / 60);
    assert_int_equal(fixture_account(&fix, ALICE)->hyper, alice + 36 * FIXTURE_HYPER / 60);
    info = check_info();
    assert_int_equal(info.next_due_ms, 0);
    supply_adds_up();
}

/* The settlement that arrives in the very block that ends the lease. */
static void test_settle_at_expiry(void **state)
{
    uint8_t asset[1][32];
    uint8_t lease[32];
    Hypermesh__Lease *kept;

    (void)state;
    offer(ALICE, "cpu0", 36 * FIXTURE_HYPER, asset[0]);
    lease_of(good(BOB, op_allocate(&fix, asset, 1, 1000000, 60000)), lease);
    fix.next_ms = fixture_lease(&fix, lease)->expires_ms;
    good(ALICE, op_settle(&fix, lease));
    kept = fixture_lease(&fix, lease);
    assert_int_equal(fix.record->n_expired, 1);
    assert_int_equal(kept->state, HYPERMESH__LEASE_STATE__LEASE_EXPIRED);
    assert_int_equal(kept->paid, 36 * FIXTURE_HYPER / 60);
    assert_non_null(kept->settlement);
    supply_adds_up();
}

static void test_renew(void **state)
{
    uint8_t asset[1][32];
    uint8_t lease[32];
    uint64_t expires;

    (void)state;
    offer(ALICE, "cpu0", 36 * FIXTURE_HYPER, asset[0]);
    lease_of(good(BOB, op_allocate(&fix, asset, 1, 1000000, 60000)), lease);
    expires = fixture_lease(&fix, lease)->expires_ms;
    good(BOB, op_renew(&fix, lease, 60000));
    assert_int_equal(fixture_lease(&fix, lease)->expires_ms, expires + 60000);
    assert_int_equal(fixture_lease(&fix, lease)->escrow, 36 * FIXTURE_HYPER / 30);
    fix.next_ms = expires + 1;
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(fix.record->n_expired, 0);
    fix.next_ms = expires + 60000;
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(fix.record->n_expired, 1);
    supply_adds_up();
}

/* Leasing from oneself is fine, and earns nothing. */
static void test_self_lease(void **state)
{
    uint8_t asset[1][32];
    uint8_t lease[32];
    uint64_t before;
    uint64_t fees = 0;
    Hypermesh__TxResult *result;

    (void)state;
    result = good(ALICE,
                  op_register(&fix, "cpu0", 36 * FIXTURE_HYPER, HYPERMESH__PRIVACY_LEVEL__PRIVATE));
    memcpy(asset[0], result->created[0].data, 32);
    before = fixture_account(&fix, ALICE)->hyper;
    result = good(ALICE, op_allocate(&fix, asset, 1, 1000000, 60000));
    fees += result->fee;
    lease_of(result, lease);
    fees += good(ALICE, op_settle(&fix, lease))->fee;
    assert_int_equal(fixture_account(&fix, ALICE)->hyper, before - fees);
    assert_int_equal(fixture_account(&fix, ALICE)->caes, 0);
    assert_int_equal(fixture_lease(&fix, lease)->reward_caes, 0);
    supply_adds_up();
}

static void test_unbond(void **state)
{
    uint64_t before;
    uint64_t fee;

    (void)state;
    before = fixture_account(&fix, BOB)->hyper;
    fee = good(BOB, op_unbond(&fix, 400 * FIXTURE_HYPER))->fee;
    assert_int_equal(fixture_account(&fix, BOB)->bonded, 600 * FIXTURE_HYPER);
    assert_int_equal(fixture_account(&fix, BOB)->n_unbonding, 1);
    assert_int_equal(fixture_supply(&fix)->hyper_bonded, 7 * 1000 * FIXTURE_HYPER);
    supply_adds_up();
    fix.next_ms += fix.params.unbond_delay_ms;
    /* Touched by somebody else's transfer, the account gets what is free by then. */
    good(ALICE, op_transfer(&fix, BOB, 1));
    assert_int_equal(fixture_account(&fix, BOB)->hyper, before - fee + 400 * FIXTURE_HYPER + 1);
    assert_int_equal(fixture_account(&fix, BOB)->n_unbonding, 0);
    supply_adds_up();
}

static void long_sessions(Hypermesh__Params *params)
{
    params->session_max_ms = 48 * HOUR_MS;
}

static int setup_long(void **state)
{
    static const struct fixture_options options = {.params = long_sessions};

    (void)state;
    return fixture_init(&fix, &options);
}

static void test_history(void **state)
{
    uint8_t asset[1][32];
    uint8_t lease[32];
    struct ledger_view *view;
    Hypermesh__AssetEvent **events;
    size_t count;

    (void)state;
    offer(ALICE, "cpu0", 36 * FIXTURE_HYPER, asset[0]);
    lease_of(good(BOB, op_allocate(&fix, asset, 1, 1000000, 60000)), lease);
    good(ALICE, op_settle(&fix, lease));
    good(ALICE, op_update(&fix, asset[0], 8000, 1));
    view = check_view();
    assert_int_equal(
        ledger_view_asset_history(view, asset[0], 0, 10, &fix.arena, &events, &count, NULL), 0);
    assert_int_equal(count, 4);
    assert_int_equal(events[0]->op, HYPERMESH__OPERATION__OP_ASSET_REGISTER);
    assert_int_equal(events[1]->op, HYPERMESH__OPERATION__OP_ALLOCATE);
    assert_memory_equal(events[1]->lease.data, lease, 32);
    assert_int_equal(events[2]->op, HYPERMESH__OPERATION__OP_SETTLE);
    assert_int_equal(events[3]->op, HYPERMESH__OPERATION__OP_ASSET_UPDATE);
    assert_int_equal(
        ledger_view_asset_history(view, asset[0], 3, 10, &fix.arena, &events, &count, NULL), 0);
    assert_int_equal(count, 1);
    ledger_view_close(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_after_genesis, check_setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_transfer, check_setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_transfer_to_self, check_setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_lease_settled, check_setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_lease_released, check_setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_lease_expires, check_setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_settle_at_expiry, check_setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_renew, check_setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_self_lease, check_setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_unbond, setup_long, check_teardown),
        cmocka_unit_test_setup_teardown(test_history, check_setup, check_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
