/* The machine's trouble: every write, commit and allocation that can fail. A block that could not be applied
 * leaves the ledger as it was, and the same block gives the same root afterwards. */
#include "ledger_check.h"
#include "ledger_scope.h"
#include "ledger_supply.h"

/* A block that ends a lease and a challenge by its time, and then does a little of everything. */
static struct hm_slice busy_item(void)
{
    Hypermesh__Operation *ops[4];
    struct hm_slice txs[2];
    uint8_t asset[1][32];
    uint8_t lease[32];
    uint8_t challenge[32];

    assert_int_equal(
        fixture_do(&fix, CAROL, op_register(&fix, "c", 1, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC))
            ->code,
        0);
    fixture_asset_id(&fix, CAROL, "c", asset[0]);
    memcpy(lease, fixture_do(&fix, BOB, op_allocate(&fix, asset, 1, 1, 60000))->created[0].data,
           32);
    assert_int_equal(fixture_do(&fix, CAROL, op_settle_result(&fix, lease, "m"))->code, 0);
    assert_int_equal(fixture_do(&fix, BOB, op_allocate(&fix, asset, 1, 1, 60000))->code, 0);
    memcpy(challenge, fixture_do(&fix, DAVE, op_challenge(&fix, CAROL, lease))->created[0].data,
           32);
    fix.next_ms = fixture_challenge(&fix, challenge)->due_ms;
    ops[0] = op_transfer(&fix, BOB, 5);
    ops[1] = op_register(&fix, "cpu0", 1, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC);
    ops[2] = op_network(&fix, "net", true);
    ops[3] = op_challenge(&fix, NODE, NULL);
    txs[0] = fixture_tx(&fix, ALICE, ops, 4);
    txs[1] = fixture_tx(&fix, BOB, ops, 2);
    return fixture_batch(&fix, txs, 2);
}

static void info_is(const struct ledger_info *wanted)
{
    struct ledger_info info;

    assert_int_equal(ledger_info(fix.ledger, &info, NULL), 0);
    assert_memory_equal(&info, wanted, sizeof info);
}

/* A busy block and what it comes to when nothing fails. */
struct trial {
    struct hm_slice item;
    struct ledger_proposal proposal;
    struct ledger_info before;
    uint8_t root[32];
};

static void trial_begin(struct trial *trial)
{
    struct ledger_outcome outcome;

    trial->item = busy_item();
    fixture_propose(&fix, &trial->item, 1, &trial->proposal);
    assert_int_equal(ledger_info(fix.ledger, &trial->before, NULL), 0);
    assert_int_equal(ledger_finalize(fix.ledger, &trial->proposal, &outcome, NULL), 0);
    memcpy(trial->root, outcome.state_root, 32);
    ledger_abandon(fix.ledger);
}

/* The same block: fails so and changes nothing, or gives the same root. */
static int trial_again(const struct trial *trial, int failure)
{
    struct ledger_outcome outcome;
    int rc = ledger_finalize(fix.ledger, &trial->proposal, &outcome, &fix.error);

    hm_alloc_fail_at(0);
    if (rc == 0) {
        assert_memory_equal(outcome.state_root, trial->root, 32);
        return 0;
    }
    assert_int_equal(rc, failure);
    info_is(&trial->before);
    return rc;
}

static void test_writes_fail(void **state)
{
    struct trial trial;
    unsigned long nth = 0;

    (void)state;
    trial_begin(&trial);
    do {
        assert_true(nth < 10000);
        store_memory_fail_at(fix.store, ++nth, 0);
    } while (trial_again(&trial, HM_EIO));
    assert_true(nth > 10);
    store_memory_fail_at(fix.store, 0, 1);
    assert_int_equal(ledger_commit(fix.ledger, &fix.error), HM_EIO);
    info_is(&trial.before);
    store_memory_fail_at(fix.store, 0, 0);
    assert_int_equal(trial_again(&trial, 0), 0);
    assert_int_equal(ledger_commit(fix.ledger, NULL), 0);
}

static void test_memory_fails(void **state)
{
    struct trial trial;
    unsigned long nth = 0;

    (void)state;
    trial_begin(&trial);
    do {
        assert_true(nth < 10000);
        hm_alloc_fail_at(++nth);
    } while (trial_again(&trial, HM_ENOMEM));
    assert_true(nth > 5);
    ledger_abandon(fix.ledger);
}

static void test_check_memory_fails(void **state)
{
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 5);
    struct hm_slice tx = fixture_tx(&fix, ALICE, &op, 1);
    unsigned long nth = 0;
    int rc;

    (void)state;
    do {
        hm_alloc_fail_at(++nth);
        rc = ledger_check_tx(fix.ledger, tx, fix.next_ms, NULL, &fix.error);
        hm_alloc_fail_at(0);
        if (rc)
            assert_int_equal(rc, HM_ENOMEM);
    } while (rc && nth < 1000);
    assert_int_equal(rc, 0);
    assert_true(nth > 1);
}

/* --- the supply check itself --- */

struct opened {
    struct ledger_block *block;
    struct ledger_scope scope;
};

static void open_block(struct opened *opened)
{
    struct ledger_proposal proposal;

    fixture_propose(&fix, NULL, 0, &proposal);
    assert_int_equal(ledger_block_new(fix.ledger, &proposal, &opened->block, NULL), 0);
    ledger_scope_init(&opened->scope, opened->block, &opened->block->arena, (struct hm_slice){0});
}

static Hypermesh__Account *opened_account(struct opened *opened, enum fixture_role who)
{
    Hypermesh__Account *account;

    assert_int_equal(
        ledger_scope_account(&opened->scope, wire_bytes(fix.people[who].id, 32), &account, NULL),
        0);
    return account;
}

static void must_break(struct opened *opened, const char *words)
{
    struct hm_error error = {0};

    assert_int_equal(ledger_scope_commit(&opened->scope, NULL), 0);
    assert_int_equal(ledger_supply_check(opened->block, &error), HM_EINTERNAL);
    assert_non_null(strstr(error.text, words));
    ledger_block_free(opened->block);
}

/* A rule that made money, lost some, or forgot a total would stop the chain. */
static void test_supply_check(void **state)
{
    Hypermesh__Challenge *challenge;
    struct opened opened;

    (void)state;
    open_block(&opened);
    opened_account(&opened, ALICE)->hyper++;
    must_break(&opened, "not conserved");
    open_block(&opened);
    opened_account(&opened, ALICE)->bonded--;
    must_break(&opened, "not conserved");
    open_block(&opened);
    opened_account(&opened, ALICE)->caes++;
    must_break(&opened, "not conserved");
    open_block(&opened);
    opened_account(&opened, ALICE)->deposits++;
    must_break(&opened, "not conserved");
    /* A deposit that no challenge holds, and a challenge for which none was locked. */
    open_block(&opened);
    assert_int_equal(ledger_money_deposit(&opened.scope, opened_account(&opened, ALICE), 5, NULL),
                     0);
    must_break(&opened, "not conserved");
    open_block(&opened);
    assert_int_equal(ledger_scope_challenge_new(&opened.scope, wire_bytes(fix.people[BOB].id, 32),
                                                &challenge, NULL),
                     0);
    challenge->state = HYPERMESH__CHALLENGE_STATE__CHALLENGE_OPEN;
    challenge->deposit = 5;
    must_break(&opened, "not conserved");
    open_block(&opened);
    opened.scope.supply.hyper_burnt++;
    opened.scope.supply.hyper_accounts--;
    must_break(&opened, "not conserved");
    /* Totals and balances agree with each other, not with genesis. */
    open_block(&opened);
    opened_account(&opened, ALICE)->hyper++;
    opened.scope.supply.hyper_accounts++;
    must_break(&opened, "is not genesis");
    open_block(&opened);
    assert_int_equal(ledger_money_transfer(&opened.scope, opened_account(&opened, ALICE),
                                           opened_account(&opened, BOB), 5, NULL),
                     0);
    assert_int_equal(ledger_scope_commit(&opened.scope, NULL), 0);
    assert_int_equal(ledger_supply_check(opened.block, NULL), 0);
    ledger_block_free(opened.block);
}

static void test_share_check(void **state)
{
    struct opened opened;
    Hypermesh__Asset *asset;
    uint8_t id[32];

    (void)state;
    assert_int_equal(
        fixture_do(&fix, ALICE, op_register(&fix, "cpu0", 1, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC))
            ->code,
        0);
    fixture_asset_id(&fix, ALICE, "cpu0", id);
    open_block(&opened);
    assert_int_equal(ledger_scope_asset(&opened.scope, wire_bytes(id, 32), &asset, NULL), 0);
    asset->leased_ppm = 1000001;
    asset->leases = 2;
    must_break(&opened, "1000001 of 1000000 parts");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, check_setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_writes_fail),  CASE(test_memory_fails), CASE(test_check_memory_fails),
        CASE(test_supply_check), CASE(test_share_check),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
