/* The key-value store's bounds on how many: keys of a lease and of a deletion, rules, work and answers of a block. */
#include <stdio.h>

#include "ledger_check.h"
#include "ledger_kv_ops.h"

#define OPS 64 /* params.max_ops_per_tx */
#define TXS 256 /* a block */

static void cheap(Hypermesh__Params *params)
{
    params->base_fee_initial = 1;
    params->base_fee_minimum = 1;
    params->work_base_bits = 0;
    params->work_free_txs = 1000000;
}

static void small_blocks(Hypermesh__Params *params)
{
    cheap(params);
    params->block_weight_target = 1000;
    params->block_weight_max = 120000;
}

static int begin(void (*params)(Hypermesh__Params *))
{
    const struct fixture_options options = {.params = params};

    return fixture_init(&fix, &options);
}

static int setup(void **state)
{
    (void)state;
    return begin(cheap);
}

static int setup_small(void **state)
{
    (void)state;
    return begin(small_blocks);
}

static void block_check(const struct hm_slice *txs, size_t count)
{
    assert_int_equal(fixture_block_txs(&fix, txs, count), 0);
    for (size_t i = 0; i < count; i++) {
        if (fix.record->results[i]->code)
            fail_msg("%s", fix.record->results[i]->text);
    }
}

/* Puts count keys m/000000 and on, with the lease. */
static void put_many(size_t count, uint64_t lease)
{
    struct hm_slice txs[TXS];
    size_t done = 0;

    while (done < count) {
        size_t used = 0;

        for (; used < TXS && done < count; used++) {
            Hypermesh__Operation *ops[OPS];
            size_t n = 0;

            for (; n < OPS && done < count; n++, done++) {
                char key[32];

                (void)snprintf(key, sizeof key, "m/%06zu", done);
                ops[n] = op_kv_put(&fix, key, "v", lease);
            }
            txs[used] = fixture_tx(&fix, ALICE, ops, n);
        }
        block_check(txs, used);
        fixture_forget(&fix);
    }
}

static uint64_t keys_now(uint64_t *revision)
{
    struct ledger_view *view = check_view();
    Hypermesh__KvState *state;

    assert_int_equal(ledger_view_kv_state(view, &fix.arena, &state, NULL), 0);
    ledger_view_close(view);
    *revision = state->revision;
    return state->keys;
}

static void test_keys(void **state)
{
    uint64_t revision;
    uint64_t after;

    (void)state;
    assert_int_equal(fixture_do(&fix, ALICE, op_kv_grant(&fix, 1, 10000000))->code, 0);
    put_many(LEDGER_KV_DELETE_MAX, 1);
    refused(ALICE, op_kv_put(&fix, "n", "v", 1), "kv.lease_full");
    assert_int_equal(fixture_do(&fix, ALICE, op_kv_put(&fix, "n", "v", 0))->code, 0);
    assert_int_equal(keys_now(&revision), LEDGER_KV_DELETE_MAX + 1);
    refused(ALICE, op_kv_delete(&fix, "m", "o"), "kv.delete");
    assert_int_equal(keys_now(&after), LEDGER_KV_DELETE_MAX + 1);
    assert_int_equal(after, revision);
    /* Its time deletes all of them in one revision. */
    fix.next_ms += 10000000;
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(keys_now(&after), 1);
    assert_int_equal(after, revision + 1);
}

/* Two leases that end at once and hold more keys than one block deletes: one waits for the next block. */
static void test_expiry_waits(void **state)
{
    struct ledger_info info;
    uint64_t revision;

    (void)state;
    for (uint64_t lease = 1; lease <= 2; lease++)
        assert_int_equal(fixture_do(&fix, ALICE, op_kv_grant(&fix, lease, 10000000))->code, 0);
    put_many(LEDGER_KV_DELETE_MAX - 10, 1);
    for (unsigned i = 0; i < 20; i++) {
        char key[8];

        (void)snprintf(key, sizeof key, "z%u", i);
        assert_int_equal(fixture_do(&fix, ALICE, op_kv_put(&fix, key, "v", 2))->code, 0);
    }
    fix.next_ms += 10000000;
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(keys_now(&revision), 20);
    info = check_info();
    assert_true(info.next_due_ms > 0 && info.next_due_ms <= info.time_ms);
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(keys_now(&revision), 0);
}

static void test_rules(void **state)
{
    size_t count = 2; /* of the genesis */
    struct ledger *again;

    (void)state;
    while (count < LEDGER_KV_RULES_MAX) {
        Hypermesh__Operation *ops[OPS];
        struct hm_slice tx;
        size_t n = 0;

        for (; n < OPS && count < LEDGER_KV_RULES_MAX; n++, count++) {
            char prefix[16];

            (void)snprintf(prefix, sizeof prefix, "rule/%zu", count);
            ops[n] = op_kv_rule(&fix, prefix, ALICE);
        }
        tx = fixture_tx(&fix, ALICE, ops, n);
        block_check(&tx, 1);
        fixture_forget(&fix);
    }
    refused(ALICE, op_kv_rule(&fix, "one more", ALICE), "kv.rule_count");
    assert_int_equal(fixture_do(&fix, ALICE, op_kv_rule(&fix, "rule/77", CAROL))->code, 0);
    refused(ALICE, op_kv_put(&fix, "rule/77", "v", 0), "kv.write");
    assert_int_equal(fixture_do(&fix, CAROL, op_kv_put(&fix, "rule/77", "v", 0))->code, 0);
    /* What was kept in memory is what is stored. */
    ledger_close(fix.ledger);
    assert_int_equal(ledger_open(fix.store, &again, NULL), 0);
    fix.ledger = again;
    refused(ALICE, op_kv_put(&fix, "rule/77", "v", 0), "kv.write");
    assert_int_equal(fixture_do(&fix, CAROL, op_kv_put(&fix, "rule/77", "v", 0))->code, 0);
    assert_int_equal(fixture_do(&fix, ALICE, op_kv_rule(&fix, "rule/78", -1))->code, 0);
    assert_int_equal(fixture_do(&fix, ALICE, op_kv_rule(&fix, "one more", ALICE))->code, 0);
}

/* Deleting weighs 300 a key: what the block has room for bounds it, whatever is paid. */
static void test_block_work(void **state)
{
    uint64_t revision;

    (void)state;
    for (unsigned round = 0; round < 7; round++) {
        Hypermesh__Operation *ops[OPS];

        for (unsigned i = 0; i < OPS; i++) {
            char key[16];

            (void)snprintf(key, sizeof key, "w/%u/%u", round, i);
            ops[i] = op_kv_put(&fix, key, "v", 0);
        }
        assert_int_equal(fixture_do_many(&fix, ALICE, ops, OPS)->code, 0);
    }
    assert_int_equal(refused(ALICE, op_kv_delete(&fix, "w", "x"), "kv.work_block")->code,
                     HM_ELIMIT);
    assert_int_equal(keys_now(&revision), 7 * OPS);
    assert_int_equal(fixture_do(&fix, ALICE, op_kv_delete(&fix, "w", "w/4"))->code, 0);
    assert_int_equal(keys_now(&revision), 3 * OPS);
}

/* What a transaction pays that compares all keys from "m/" to "m0". */
static struct hm_slice compare_all(void)
{
    Hypermesh__KvTxn *txn = kv_txn(&fix);
    Hypermesh__Operation *op;
    Hypermesh__KvCompare *compare = kv_compare(&fix, txn, HYPERMESH__KV_COMPARE_TARGET__KV_VERSION,
                                               HYPERMESH__KV_COMPARE_RESULT__KV_EQUAL, "m/");

    compare->range_end = fixture_keep(&fix, "m0", 2);
    op = op_kv_txn(&fix, txn);
    return fixture_tx(&fix, ALICE, &op, 1);
}

static void put_under_m(uint64_t lease)
{
    Hypermesh__Operation *ops[OPS];

    for (unsigned i = 0; i < OPS; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "m/%u", i);
        ops[i] = op_kv_put(&fix, key, "v", lease);
    }
    assert_int_equal(fixture_do_many(&fix, ALICE, ops, OPS)->code, 0);
}

/* What the block deleted, or took back, is stepped over: that weighs as looking at it does. */
static void test_stepping_over_weighs(void **state)
{
    Hypermesh__Operation *ops[OPS];
    struct hm_slice txs[2];
    uint64_t empty;

    (void)state;
    txs[0] = compare_all();
    assert_int_equal(fixture_block_txs(&fix, txs, 1), 0);
    empty = fix.record->results[0]->fee;
    put_under_m(0);
    ops[0] = op_kv_delete(&fix, "m/", "m0");
    txs[0] = fixture_tx(&fix, ALICE, ops, 1);
    txs[1] = compare_all();
    assert_int_equal(fixture_block_txs(&fix, txs, 2), 0);
    assert_int_equal(fix.record->results[0]->code, 0);
    assert_int_equal(fix.record->results[1]->code, 0);
    assert_in_range(fix.record->results[1]->fee, empty + OPS * 20, empty + OPS * 20 + 8);

    for (unsigned i = 0; i < OPS - 1; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "m/new %u", i);
        ops[i] = op_kv_put(&fix, key, "v", 0);
    }
    ops[OPS - 1] = op_kv_revoke(&fix, 12345);
    txs[0] = fixture_tx(&fix, ALICE, ops, OPS);
    txs[1] = compare_all();
    assert_int_equal(fixture_block_txs(&fix, txs, 2), 0);
    assert_string_equal(fix.record->results[0]->rule, "kv.lease_unknown");
    assert_int_equal(fix.record->results[1]->code, 0);
    assert_in_range(fix.record->results[1]->fee, empty + (OPS - 1) * 20, empty + OPS * 20);
}

/* So it does on the list of a lease's keys. */
static void test_lease_stepping_over_weighs(void **state)
{
    Hypermesh__Operation *ops[3];
    struct hm_slice txs[2];
    uint64_t fee[2];

    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(fixture_do(&fix, ALICE, op_kv_grant(&fix, 5, 1000000))->code, 0);
        put_under_m(5);
        ops[0] = op_kv_delete(&fix, "m/", "m0");
        ops[1] = op_kv_put(&fix, "z", "v", 5);
        txs[0] = fixture_tx(&fix, ALICE, ops, 2);
        ops[0] = op_kv_revoke(&fix, 5);
        txs[1] = fixture_tx(&fix, ALICE, ops, 1);
        if (round == 0) { /* in the next block nothing is left to step over */
            assert_int_equal(fixture_block_txs(&fix, txs, 1), 0);
            assert_int_equal(fixture_block_txs(&fix, txs + 1, 1), 0);
            fee[round] = fix.record->results[0]->fee;
            assert_int_equal(fix.record->results[0]->code, 0);
        } else {
            assert_int_equal(fixture_block_txs(&fix, txs, 2), 0);
            fee[round] = fix.record->results[1]->fee;
            assert_int_equal(fix.record->results[1]->code, 0);
        }
    }
    assert_in_range(fee[1], fee[0] + OPS * 20, fee[0] + OPS * 20 + 8);
}

static void test_block_answers(void **state)
{
    Hypermesh__Operation *op = op_kv_put(&fix, "big", NULL, 0);
    struct hm_slice txs[6];
    size_t good = 0;

    (void)state;
    op->kv_put->value = fixture_keep(&fix, hm_arena_alloc(&fix.arena, LEDGER_KV_VALUE_MAX_BYTES),
                                     LEDGER_KV_VALUE_MAX_BYTES);
    assert_int_equal(fixture_do(&fix, ALICE, op)->code, 0);
    for (size_t i = 0; i < HM_COUNT_OF(txs); i++) {
        Hypermesh__KvTxn *txn = kv_txn(&fix);

        for (unsigned r = 0; r < 3; r++)
            kv_then_range(&fix, txn, true, "big", NULL);
        op = op_kv_txn(&fix, txn);
        txs[i] = fixture_tx(&fix, ALICE, &op, 1);
    }
    assert_int_equal(fixture_block_txs(&fix, txs, HM_COUNT_OF(txs)), 0);
    for (size_t i = 0; i < HM_COUNT_OF(txs); i++)
        good += fix.record->results[i]->code == 0;
    assert_int_equal(good, LEDGER_KV_BLOCK_ANSWERS_MAX_BYTES / (3 * LEDGER_KV_VALUE_MAX_BYTES));
    assert_string_equal(fix.record->results[5]->rule, "kv.answer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keys, setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_expiry_waits, setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_rules, setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_block_work, setup_small, check_teardown),
        cmocka_unit_test_setup_teardown(test_stepping_over_weighs, setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_lease_stepping_over_weighs, setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_block_answers, setup, check_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
