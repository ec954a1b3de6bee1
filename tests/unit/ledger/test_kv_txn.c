/* The key-value store, rule by rule: transactions and compares. */
#include <stdio.h>

#include "kv_check.h"

/* --- transactions --- */

static bool txn_holds(Hypermesh__KvCompareTarget target, Hypermesh__KvCompareResult result,
                      const char *key, const char *range_end, int64_t number, const char *value)
{
    Hypermesh__KvTxn *txn = kv_txn(&fix);
    Hypermesh__KvCompare *compare = kv_compare(&fix, txn, target, result, key);

    compare->range_end = kv_end(&fix, range_end);
    compare->number = number;
    compare->value = kv_text(&fix, value);
    return kv_good(ALICE, op_kv_txn(&fix, txn))->succeeded;
}

static void test_compares(void **state)
{
    uint64_t revision;

    (void)state;
    (void)kv_good(ALICE, op_kv_put(&fix, "x/1", "m", 0));
    (void)kv_good(ALICE, op_kv_put(&fix, "x/2", "m", 0));
    (void)kv_good(ALICE, op_kv_put(&fix, "x/2", "m", 0));
    revision = kv_state_now()->revision;
    assert_true(txn_holds(VERSION, EQUAL, "x/1", NULL, 1, NULL));
    assert_false(txn_holds(VERSION, EQUAL, "x/2", NULL, 1, NULL));
    assert_true(txn_holds(VERSION, GREATER, "x/2", NULL, 1, NULL));
    assert_true(txn_holds(CREATE, LESS, "x/2", NULL, (int64_t)revision, NULL));
    assert_true(txn_holds(MOD, EQUAL, "x/2", NULL, (int64_t)revision, NULL));
    assert_true(txn_holds(MOD, UNEQUAL, "x/1", NULL, (int64_t)revision, NULL));
    assert_true(txn_holds(VALUE, EQUAL, "x/1", NULL, 0, "m"));
    assert_true(txn_holds(VALUE, LESS, "x/1", NULL, 0, "n"));
    assert_true(txn_holds(VALUE, GREATER, "x/1", NULL, 0, "lz"));
    assert_true(txn_holds(LEASE, EQUAL, "x/1", NULL, 0, NULL));
    assert_true(txn_holds(VERSION, GREATER, "x/1", NULL, -1, NULL));
    /* A key that is not there counts 0, and has no value at all. */
    assert_true(txn_holds(VERSION, EQUAL, "x/3", NULL, 0, NULL));
    assert_true(txn_holds(CREATE, EQUAL, "x/3", NULL, 0, NULL));
    assert_false(txn_holds(VALUE, EQUAL, "x/3", NULL, 0, ""));
    assert_false(txn_holds(VALUE, UNEQUAL, "x/3", NULL, 0, "m"));
    /* Every key of a range. */
    assert_true(txn_holds(VALUE, EQUAL, "x/", "x0", 0, "m"));
    assert_false(txn_holds(VERSION, EQUAL, "x/", "x0", 1, NULL));
    assert_true(txn_holds(VERSION, GREATER, "x/", "x0", 0, NULL));
    assert_true(txn_holds(VERSION, EQUAL, "w", "x", 0, NULL)); /* an empty range */
    assert_int_equal(kv_state_now()->revision, revision); /* only looking is no revision */
}

static void test_txn(void **state)
{
    const Hypermesh__KvAnswer *answer;
    Hypermesh__KvTxn *inner = kv_txn(&fix);
    Hypermesh__KvTxn *txn = kv_txn(&fix);
    Hypermesh__KvRange *range;
    uint64_t revision;

    (void)state;
    (void)kv_good(ALICE, op_kv_put(&fix, "n/1", "1", 0));
    revision = kv_state_now()->revision;
    kv_compare(&fix, txn, VERSION, EQUAL, "n/1")->number = 1;
    kv_then_range(&fix, txn, true, "n/", "n0");
    kv_then_put(&fix, txn, true, "n/2", "2");
    kv_then_delete(&fix, txn, true, "n/1", NULL);
    range = kv_then_range(&fix, txn, true, "n/", "n0");
    range->keys_only = true;
    /* Compares of inner transactions look at the state before all of it. */
    kv_compare(&fix, inner, VERSION, EQUAL, "n/2")->number = 0;
    kv_then_put(&fix, inner, true, "n/3", "3");
    kv_then_put(&fix, inner, true, "n/4", "4");
    kv_then_txn(&fix, txn, true, inner);
    range = kv_then_range(&fix, txn, true, "n/", "n0");
    range->limit = 2;
    range = kv_then_range(&fix, txn, true, "n/", "n0");
    range->count_only = true;
    kv_then_put(&fix, txn, false, "n/2", "never");
    answer = kv_good(ALICE, op_kv_txn(&fix, txn));
    assert_true(answer->succeeded);
    assert_int_equal(answer->n_answers, 7);
    assert_int_equal(answer->answers[0]->n_pairs, 1);
    assert_int_equal(answer->answers[0]->revision, revision);
    assert_int_equal(answer->answers[1]->revision, revision + 1);
    assert_int_equal(answer->answers[2]->deleted, 1);
    assert_int_equal(answer->answers[3]->n_pairs, 1);
    assert_int_equal(answer->answers[3]->pairs[0]->entry->value.len, 0);
    assert_int_equal(answer->answers[3]->pairs[0]->entry->mod_revision, revision + 1);
    assert_true(answer->answers[4]->succeeded);
    assert_int_equal(answer->answers[5]->n_pairs, 2);
    assert_true(answer->answers[5]->more);
    assert_int_equal(answer->answers[5]->count, 3);
    assert_int_equal(answer->answers[6]->count, 3);
    assert_int_equal(answer->answers[6]->n_pairs, 0);
    assert_int_equal(answer->revision, revision + 1); /* all of it is one revision */
    assert_int_equal(fix.record->kv_after, revision + 1);
    answer = kv_good(ALICE, op_kv_txn(&fix, txn));
    assert_false(answer->succeeded);
    kv_value("n/2", 0, "never");
}

static void test_txn_twice(void **state)
{
    Hypermesh__KvTxn *txn = kv_txn(&fix);
    Hypermesh__KvTxn *inner = kv_txn(&fix);

    (void)state;
    kv_then_put(&fix, txn, true, "k", "1");
    kv_then_put(&fix, txn, true, "k", "2");
    kv_refused(ALICE, op_kv_txn(&fix, txn), "kv.txn_twice", HM_EINVAL);
    txn = kv_txn(&fix);
    kv_then_put(&fix, txn, false, "k", "1");
    kv_then_delete(&fix, txn, false, "j", "l");
    kv_refused(ALICE, op_kv_txn(&fix, txn), "kv.txn_twice", HM_EINVAL);
    txn = kv_txn(&fix);
    kv_then_put(&fix, inner, true, "k", "1");
    kv_then_put(&fix, inner, false, "k", "2"); /* branches exclude each other */
    kv_then_txn(&fix, txn, true, inner);
    (void)kv_good(ALICE, op_kv_txn(&fix, txn));
    kv_then_put(&fix, txn, true, "k", "3");
    kv_refused(ALICE, op_kv_txn(&fix, txn), "kv.txn_twice", HM_EINVAL);
}

static void test_txn_limits(void **state)
{
    Hypermesh__KvTxn *txn = kv_txn(&fix);
    Hypermesh__KvTxn *outer;

    (void)state;
    for (size_t i = 0; i <= LEDGER_KV_TXN_OPS_MAX; i++)
        kv_then_range(&fix, txn, i % 2, "k", NULL);
    kv_refused(ALICE, op_kv_txn(&fix, txn), "kv.txn", HM_ELIMIT);
    txn->n_success--;
    (void)kv_good(ALICE, op_kv_txn(&fix, txn));
    txn = kv_txn(&fix);
    for (size_t i = 0; i <= LEDGER_KV_TXN_OPS_MAX; i++)
        kv_compare(&fix, txn, MOD, EQUAL, "k");
    kv_refused(ALICE, op_kv_txn(&fix, txn), "kv.txn", HM_ELIMIT);
    txn = kv_txn(&fix);
    kv_then_put(&fix, txn, true, "deep", "1");
    for (unsigned depth = 2; depth <= LEDGER_KV_TXN_DEPTH_MAX; depth++) {
        outer = kv_txn(&fix);
        kv_then_txn(&fix, outer, true, txn);
        txn = outer;
    }
    (void)kv_good(ALICE, op_kv_txn(&fix, txn));
    outer = kv_txn(&fix);
    kv_then_txn(&fix, outer, true, txn);
    kv_refused(ALICE, op_kv_txn(&fix, outer), "kv.txn", HM_ELIMIT);
    txn = kv_txn(&fix);
    (void)kv_then(&fix, txn, true);
    kv_refused(ALICE, op_kv_txn(&fix, txn), "kv.txn_form", HM_EINVAL);
    txn = kv_txn(&fix);
    kv_compare(&fix, txn, (Hypermesh__KvCompareTarget)9, EQUAL, "k");
    kv_refused(ALICE, op_kv_txn(&fix, txn), "kv.txn_form", HM_EINVAL);
    txn->compare[0]->target = VALUE;
    txn->compare[0]->value = fixture_keep(&fix,
                                          hm_arena_alloc(&fix.arena, LEDGER_KV_VALUE_MAX_BYTES + 1),
                                          LEDGER_KV_VALUE_MAX_BYTES + 1);
    kv_refused(ALICE, op_kv_txn(&fix, txn), "kv.txn_form", HM_EINVAL);
}

static void test_txn_answers(void **state)
{
    Hypermesh__KvTxn *txn = kv_txn(&fix);
    Hypermesh__Operation *op = op_kv_put(&fix, "big", NULL, 0);

    (void)state;
    op->kv_put->value = fixture_keep(&fix, hm_arena_alloc(&fix.arena, LEDGER_KV_VALUE_MAX_BYTES),
                                     LEDGER_KV_VALUE_MAX_BYTES);
    (void)kv_good(ALICE, op);
    for (unsigned i = 0; i < 3; i++)
        kv_then_range(&fix, txn, true, "big", NULL);
    assert_int_equal(kv_good(ALICE, op_kv_txn(&fix, txn))->answers[2]->pairs[0]->entry->value.len,
                     LEDGER_KV_VALUE_MAX_BYTES);
    kv_then_range(&fix, txn, true, "big", NULL);
    kv_refused(ALICE, op_kv_txn(&fix, txn), "kv.answer", HM_ELIMIT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, kv_setup, check_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_compares),   TEST(test_txn),         TEST(test_txn_twice),
        TEST(test_txn_limits), TEST(test_txn_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
