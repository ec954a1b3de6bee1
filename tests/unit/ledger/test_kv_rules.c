/* The key-value store, rule by rule: who may, and what is paid for work that shows late. */
#include <stdio.h>

#include "kv_check.h"

/* --- permissions --- */

static int allowed(enum fixture_role who, const char *key, const char *range_end, bool write)
{
    struct ledger_view *view = check_view();
    int rc = ledger_view_kv_allowed(view, fix.people[who].id, wire_slice(kv_text(&fix, key)),
                                    wire_slice(kv_end(&fix, range_end)), write, &fix.error);

    ledger_view_close(view);
    return rc;
}

static void test_rules(void **state)
{
    Hypermesh__KvTxn *txn = kv_txn(&fix);
    Hypermesh__Operation *op;

    (void)state;
    (void)kv_good(BOB, op_kv_put(&fix, "b/1", "v", 0));
    kv_refused(ALICE, op_kv_put(&fix, "b/1", "v", 0), "kv.write",
               HM_EPERM); /* though she owns "" */
    kv_refused(ALICE, op_kv_delete(&fix, "a", "c"), "kv.write", HM_EPERM);
    (void)kv_good(ALICE, op_kv_delete(&fix, "a", "b/"));
    (void)kv_good(ALICE, op_kv_delete(&fix, "b0", KV_ALL));
    kv_then_range(&fix, txn, false, "b/1", NULL);
    (void)kv_good(CAROL, op_kv_txn(&fix, txn));
    kv_refused(DAVE, op_kv_txn(&fix, txn), "kv.read", HM_EPERM); /* also in the branch not taken */
    txn = kv_txn(&fix);
    kv_compare(&fix, txn, VERSION, EQUAL, "b/1");
    kv_refused(DAVE, op_kv_txn(&fix, txn), "kv.read", HM_EPERM);
    assert_int_equal(allowed(CAROL, "b/1", NULL, false), 0);
    assert_int_equal(allowed(CAROL, "b/1", NULL, true), HM_EPERM);
    assert_int_equal(allowed(DAVE, "b", KV_ALL, false), HM_EPERM);
    assert_non_null(strstr(fix.error.text, "\"b/\""));
    assert_int_equal(allowed(DAVE, "b0", KV_ALL, true), 0);

    kv_refused(ALICE, op_kv_rule(&fix, "b/x", ALICE), "kv.rule_owner", HM_EPERM);
    op = op_kv_rule(&fix, "b/x", DAVE);
    kv_rule_add(&fix, &op->kv_rule_set->writers, &op->kv_rule_set->n_writers, ERIN);
    op->kv_rule_set->anyone_reads = true;
    (void)kv_good(BOB, op);
    (void)kv_good(DAVE, op_kv_put(&fix, "b/x1", "v", 0));
    (void)kv_good(ERIN, op_kv_put(&fix, "b/x1", "v", 0));
    kv_refused(BOB, op_kv_put(&fix, "b/x1", "v", 0), "kv.write", HM_EPERM); /* given away */
    kv_refused(BOB, op_kv_rule(&fix, "b/x", BOB), "kv.rule_owner", HM_EPERM);
    assert_int_equal(allowed(ALICE, "b/x", "b/y", false), 0);
    assert_int_equal(allowed(ALICE, "b/x", "b/z", false), HM_EPERM);
    kv_refused(DAVE, op_kv_rule(&fix, "b/x/9", -1), "kv.rule_unknown", HM_ENOTFOUND);
    (void)kv_good(DAVE, op_kv_rule(&fix, "b/x", -1));
    (void)kv_good(BOB, op_kv_put(&fix, "b/x1", "v", 0));
    kv_refused(DAVE, op_kv_put(&fix, "b/x1", "v", 0), "kv.write", HM_EPERM);
}

static void test_rule_form(void **state)
{
    Hypermesh__Operation *op = op_kv_rule(&fix, "f", ALICE);
    Hypermesh__KvRuleSet *set = op->kv_rule_set;

    (void)state;
    kv_rule_add(&fix, &set->readers, &set->n_readers, BOB);
    kv_rule_add(&fix, &set->readers, &set->n_readers, CAROL);
    (void)kv_good(ALICE, op);
    kv_rule_add(&fix, &set->readers, &set->n_readers, BOB);
    kv_refused(ALICE, op, "kv.rule_form", HM_EINVAL);
    set->n_readers = 1;
    set->readers[0].len = 31;
    kv_refused(ALICE, op, "kv.rule_form", HM_EINVAL);
    set->n_readers = 0;
    set->owner.len = 31;
    kv_refused(ALICE, op, "kv.rule_form", HM_EINVAL);
    set->owner.len = 0;
    set->anyone_reads = true;
    kv_refused(ALICE, op, "kv.rule_form", HM_EINVAL);
    for (unsigned i = 0; i <= LEDGER_KV_ACCOUNTS_MAX; i++)
        kv_rule_add(&fix, &set->writers, &set->n_writers, BOB);
    set->owner.len = 32;
    kv_refused(ALICE, op, "kv.rule_count", HM_ELIMIT);
    /* Nobody covers anything once the root rule is gone; b/ stays. */
    (void)kv_good(ALICE, op_kv_rule(&fix, "f", -1));
    (void)kv_good(ALICE, op_kv_rule(&fix, "", -1));
    kv_refused(ALICE, op_kv_put(&fix, "a", "v", 0), "kv.write", HM_EPERM);
    kv_refused(ALICE, op_kv_rule(&fix, "a", ALICE), "kv.rule_owner", HM_EPERM);
    (void)kv_good(BOB, op_kv_put(&fix, "b/a", "v", 0));
}

/* A rule of a transaction that fails is none. */
static void test_rule_taken_back(void **state)
{
    Hypermesh__Operation *ops[3] = {op_kv_rule(&fix, "mine/", ALICE),
                                    op_kv_put(&fix, "mine/1", "v", 0),
                                    op_kv_put(&fix, "b/1", "v", 0)};

    (void)state;
    assert_string_equal(fixture_do_many(&fix, ALICE, ops, 3)->rule, "kv.write");
    (void)kv_good(CAROL, op_kv_put(&fix, "mine/1", "v", 0));
    assert_int_equal(fixture_do_many(&fix, ALICE, ops, 2)->code, 0);
    kv_refused(CAROL, op_kv_put(&fix, "mine/1", "v", 0), "kv.write", HM_EPERM);
}

/* --- work that shows late --- */

static void test_work(void **state)
{
    Hypermesh__Operation *ops[64];
    Hypermesh__Operation *op = op_kv_delete(&fix, "w/", "w0");
    Hypermesh__Account *before;
    Hypermesh__TxResult *result;
    Hypermesh__TxBody *body;
    struct hm_slice tx;
    uint64_t fee;
    char key[16];

    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        (void)snprintf(key, sizeof key, "w/%02u", i);
        ops[i] = op_kv_put(&fix, key, "v", 0);
    }
    assert_int_equal(fixture_do_many(&fix, ALICE, ops, 64)->code, 0);
    fee = fixture_do(&fix, ALICE, op_kv_delete(&fix, "v/", "v0"))->fee;
    /* A limit that pays for the transaction but not for what it finds to do. */
    body = fixture_body(&fix, ALICE, &op, 1);
    body->fee_limit = 2 * fee;
    tx = fixture_pack(&fix, &fixture_sign(&fix, ALICE, body, false)->base);
    before = fixture_account(&fix, ALICE);
    assert_int_equal(fixture_block_txs(&fix, &tx, 1), 0);
    result = fix.record->results[0];
    assert_string_equal(result->rule, "kv.work");
    assert_int_equal(result->code, HM_EFUNDS);
    assert_true(result->fee > fee && result->fee <= 2 * fee); /* what was done is paid for */
    assert_int_equal(before->hyper - fixture_account(&fix, ALICE)->hyper, result->fee);
    assert_int_equal(kv_state_now()->keys, 64);
    result = fixture_do(&fix, ALICE, op);
    assert_int_equal(result->code, 0);
    assert_int_equal(result->fee, fee + 64 * 300 * fix.params.base_fee_initial);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, kv_setup, check_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_rules),
        TEST(test_rule_form),
        TEST(test_rule_taken_back),
        TEST(test_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
