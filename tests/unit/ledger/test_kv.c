/* The key-value store, rule by rule: keys, leases, history, watches, memory. */
#include <stdio.h>

#include "kv_check.h"

/* --- revisions, versions --- */

static void test_put_and_delete(void **state)
{
    (void)state;
    assert_int_equal(kv_state_now()->revision, 1);
    assert_int_equal(kv_good(ALICE, op_kv_put(&fix, "a", "one", 0))->revision, 2);
    kv_entry("a", 2, 2, 1, 0);
    assert_int_equal(fix.record->kv_before, 1);
    assert_int_equal(fix.record->kv_after, 2);
    assert_int_equal(kv_good(CAROL, op_kv_put(&fix, "a", "two", 0))->revision, 3);
    kv_entry("a", 2, 3, 2, 0);
    assert_int_equal(kv_good(ALICE, op_kv_put(&fix, "aa", "", 0))->revision, 4);
    assert_int_equal(kv_state_now()->keys, 2);
    /* Deleting nothing is no revision. */
    assert_int_equal(kv_good(ALICE, op_kv_delete(&fix, "b", NULL))->revision, 4);
    assert_int_equal(kv_good(ALICE, op_kv_delete(&fix, "a", NULL))->deleted, 1);
    assert_int_equal(kv_state_now()->revision, 5);
    assert_int_equal(kv_good(ALICE, op_kv_put(&fix, "a", "three", 0))->revision, 6);
    kv_entry("a", 6, 6, 1, 0); /* a new life */
    kv_value("a", 2, "one");
    kv_value("a", 3, "two");
    kv_value("a", 4, "two");
    kv_value("a", 5, NULL);
    kv_value("a", 6, "three");
    assert_int_equal(kv_past_rc(7), HM_ERANGE);
}

static void test_range_delete(void **state)
{
    size_t count;

    (void)state;
    for (unsigned i = 0; i < 9; i++) {
        char key[8];

        (void)snprintf(key, sizeof key, "d%u", i);
        (void)kv_good(ALICE, op_kv_put(&fix, key, "v", 0));
    }
    assert_int_equal(kv_good(ALICE, op_kv_delete(&fix, "d3", "d6"))->deleted, 3);
    assert_int_equal(fix.record->kv_after, fix.record->kv_before + 1); /* one revision for all */
    (void)kv_range_at("d", "e", 0, &count);
    assert_int_equal(count, 6);
    (void)kv_range_at("d", "e", kv_state_now()->revision - 1, &count);
    assert_int_equal(count, 9);
    assert_int_equal(kv_good(ALICE, op_kv_delete(&fix, "e", "d"))->deleted,
                     0); /* the wrong way round */
    assert_int_equal(kv_good(BOB, op_kv_delete(&fix, "d7", KV_ALL))->deleted, 2);
}

/* Several operations of one transaction see each other; when one fails none was. */
static void test_all_or_none(void **state)
{
    Hypermesh__Operation *ops[4];
    Hypermesh__TxResult *result;
    Hypermesh__KvTxn *txn = kv_txn(&fix);
    uint64_t before;

    (void)state;
    (void)kv_good(ALICE, op_kv_put(&fix, "t/1", "old", 0));
    (void)kv_good(ALICE, op_kv_grant(&fix, 7, 5000));
    before = kv_state_now()->revision;
    ops[0] = op_kv_put(&fix, "t/2", "new", 7);
    ops[1] = op_kv_delete(&fix, "t/", "t0");
    ops[2] = op_kv_put(&fix, "t/3", "more", 0);
    kv_then_range(&fix, txn, true, "t/", "t0");
    ops[3] = op_kv_txn(&fix, txn);
    result = fixture_do_many(&fix, ALICE, ops, 4);
    assert_int_equal(result->code, 0);
    assert_int_equal(result->n_kv, 4);
    assert_int_equal(result->kv[1]->deleted, 2); /* also what the first put */
    assert_int_equal(result->kv[3]->answers[0]->n_pairs, 1);
    assert_int_equal(kv_state_now()->revision, before + 3);
    assert_int_equal(result->kv[2]->op, 2);

    before = kv_state_now()->revision;
    ops[0] = op_kv_put(&fix, "t/3", "changed", 7);
    ops[1] = op_kv_delete(&fix, "t/", "t0");
    ops[2] = op_kv_put(&fix, "b/1", "not hers", 0);
    result = fixture_do_many(&fix, ALICE, ops, 3);
    assert_string_equal(result->rule, "kv.write");
    assert_int_equal(result->op, 2);
    assert_int_equal(kv_state_now()->revision, before);
    assert_int_equal(kv_state_now()->keys, 1);
    kv_value("t/3", 0, "more");
}

static void test_form(void **state)
{
    uint8_t zeros[LEDGER_KV_KEY_MAX_BYTES + 1] = {0};
    Hypermesh__Operation *op;

    (void)state;
    kv_refused(ALICE, op_kv_put(&fix, "", "v", 0), "kv.key", HM_EINVAL);
    kv_refused(ALICE, op_kv_delete(&fix, "", KV_ALL), "kv.key", HM_EINVAL);
    op = op_kv_put(&fix, NULL, "v", 0);
    memset(zeros, 'k', sizeof zeros);
    op->kv_put->key = fixture_keep(&fix, zeros, sizeof zeros);
    kv_refused(ALICE, op, "kv.key", HM_EINVAL);
    op->kv_put->key.len--;
    (void)kv_good(ALICE, op);
    memset(op->kv_put->key.data, 0, 25);
    kv_refused(ALICE, op, "kv.key", HM_EINVAL);
    op->kv_put->key.data[0] = 'k';
    (void)kv_good(ALICE, op);
    op = op_kv_put(&fix, "a", NULL, 0);
    op->kv_put->value = fixture_keep(&fix,
                                     hm_arena_alloc(&fix.arena, LEDGER_KV_VALUE_MAX_BYTES + 1),
                                     LEDGER_KV_VALUE_MAX_BYTES + 1);
    kv_refused(ALICE, op, "kv.value", HM_ELIMIT);
    op->kv_put->value.len--;
    (void)kv_good(ALICE, op);
    assert_int_equal(kv_entry_at("a", 0)->value.len, LEDGER_KV_VALUE_MAX_BYTES);
}

static void test_keeping(void **state)
{
    Hypermesh__Operation *op;

    (void)state;
    (void)kv_good(ALICE, op_kv_grant(&fix, 9, 60000));
    op = op_kv_put(&fix, "keep", NULL, 0);
    op->kv_put->ignore_value = true;
    kv_refused(ALICE, op, "kv.missing", HM_ENOTFOUND);
    (void)kv_good(ALICE, op_kv_put(&fix, "keep", "value", 9));
    op = op_kv_put(&fix, "keep", "x", 0);
    op->kv_put->ignore_value = true;
    kv_refused(ALICE, op, "kv.flags", HM_EINVAL);
    op = op_kv_put(&fix, "keep", "new", 9);
    op->kv_put->ignore_lease = true;
    kv_refused(ALICE, op, "kv.flags", HM_EINVAL);
    op->kv_put->lease = 0;
    (void)kv_good(CAROL, op); /* whose lease it is matters to who attaches */
    kv_value("keep", 0, "new");
    assert_int_equal(kv_entry_at("keep", 0)->lease, 9);
    op = op_kv_put(&fix, "keep", NULL, 0);
    op->kv_put->ignore_value = true;
    (void)kv_good(CAROL, op);
    kv_value("keep", 0, "new");
    assert_int_equal(kv_entry_at("keep", 0)->lease, 0);
    assert_int_equal(kv_entry_at("keep", 0)->version, 3);
}

/* --- leases --- */

static void test_lease(void **state)
{
    const Hypermesh__KvAnswer *answer;
    uint64_t id;
    uint64_t revision;

    (void)state;
    kv_refused(ALICE, op_kv_grant(&fix, 5, 999), "kv.lease_ttl", HM_ERANGE);
    kv_refused(ALICE, op_kv_grant(&fix, 5, LEDGER_KV_TTL_MAX_MS + 1), "kv.lease_ttl", HM_ERANGE);
    kv_refused(ALICE, op_kv_grant(&fix, UINT64_C(1) << 63, 5000), "kv.lease_id", HM_EINVAL);
    answer = kv_good(ALICE, op_kv_grant(&fix, 5, 50000));
    assert_int_equal(answer->lease, 5);
    assert_int_equal(answer->ttl_ms, 50000);
    assert_int_equal(answer->revision, 1); /* leases are no revision */
    kv_refused(BOB, op_kv_grant(&fix, 5, 5000), "kv.lease_taken", HM_EEXIST);
    id = kv_good(ALICE, op_kv_grant(&fix, 0, 30000))->lease;
    assert_true(id > 0 && id <= INT64_MAX);
    assert_int_not_equal(id, kv_good(ALICE, op_kv_grant(&fix, 0, 30000))->lease);
    kv_refused(ALICE, op_kv_put(&fix, "a", "v", 6), "kv.lease_unknown", HM_ENOTFOUND);
    kv_refused(CAROL, op_kv_put(&fix, "a", "v", 5), "kv.lease_owner", HM_EPERM);
    kv_refused(CAROL, op_kv_revoke(&fix, 5), "kv.lease_owner", HM_EPERM);
    kv_refused(CAROL, op_kv_keep_alive(&fix, 5), "kv.lease_owner", HM_EPERM);
    kv_refused(CAROL, op_kv_revoke(&fix, 4), "kv.lease_unknown", HM_ENOTFOUND);
    kv_refused(CAROL, op_kv_keep_alive(&fix, 4), "kv.lease_unknown", HM_ENOTFOUND);
    fix.next_ms = FIXTURE_START_MS + 1000000;
    assert_int_equal(kv_state_now()->leases, 3);
    (void)fixture_block(&fix, NULL, 0);
    assert_int_equal(kv_state_now()->leases, 0);
    assert_int_equal(fixture_account(&fix, ALICE)->kv_leases, 0);

    (void)kv_good(ALICE, op_kv_grant(&fix, 5, 60000));
    (void)kv_good(ALICE, op_kv_put(&fix, "l/2", "v", 5));
    (void)kv_good(ALICE, op_kv_put(&fix, "l/1", "v", 5));
    (void)kv_good(ALICE, op_kv_put(&fix, "l/3", "v", 5));
    (void)kv_good(ALICE, op_kv_put(&fix, "l/3", "v", 0)); /* put again without it: detached */
    revision = kv_state_now()->revision;
    answer = kv_good(ALICE, op_kv_revoke(&fix, 5));
    assert_int_equal(answer->deleted, 2);
    assert_int_equal(answer->revision, revision + 1);
    kv_value("l/1", 0, NULL);
    kv_value("l/3", 0, "v");
}

/* The ledger's choice can be foreseen by who knows the account's presence; he can take the first ids only. */
static void test_lease_foreseen(void **state)
{
    const uint8_t index[4] = {0};
    const struct hm_slice parts[] = {hm_slice_of(fix.people[ALICE].id, 32),
                                     hm_slice_of(fix.people[ALICE].presence, 32),
                                     hm_slice_of(index, 4)};
    uint8_t hash[32];

    (void)state;
    crypto_hash_parts("hypermesh 1 kv lease", parts, 3, hash);
    for (unsigned i = 0; i < 8; i++) {
        (void)kv_good(BOB, op_kv_grant(&fix, hm_get_be64(hash) & INT64_MAX, 60000));
        crypto_hash(hash, sizeof hash, hash);
    }
    kv_refused(ALICE, op_kv_grant(&fix, 0, 60000), "kv.lease_taken", HM_EEXIST);
    (void)kv_good(ALICE, op_kv_grant(&fix, 0, 60000));
}

static void test_lease_expiry(void **state)
{
    struct ledger_info info;
    uint64_t revision;

    (void)state;
    (void)kv_good(ALICE, op_kv_grant(&fix, 1, 5000));
    info = check_info();
    assert_int_equal(info.next_due_ms, info.time_ms + 5000);
    (void)kv_good(ALICE, op_kv_put(&fix, "e/1", "v", 1));
    (void)kv_good(ALICE, op_kv_put(&fix, "e/2", "v", 1));
    (void)kv_good(ALICE, op_kv_put(&fix, "e/3", "v", 0));
    (void)kv_good(ALICE, op_kv_keep_alive(&fix, 1));
    info = check_info();
    assert_int_equal(info.next_due_ms, info.time_ms + 5000);
    revision = kv_state_now()->revision;
    fix.next_ms = info.time_ms + 4999;
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(kv_state_now()->keys, 3);
    fix.next_ms = info.time_ms + 5000;
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(kv_state_now()->keys, 1);
    assert_int_equal(kv_state_now()->revision, revision + 1);
    assert_int_equal(fix.record->kv_after, revision + 1);
    kv_refused(ALICE, op_kv_keep_alive(&fix, 1), "kv.lease_unknown", HM_ENOTFOUND);
    info = check_info();
    assert_int_equal(info.next_due_ms, 0);
}

static void two_leases(Hypermesh__Params *params)
{
    params->kv_max_leases = 2;
}

static void test_lease_count(void **state)
{
    const struct fixture_options options = {.params = two_leases};

    (void)state;
    fixture_release(&fix);
    assert_int_equal(fixture_init(&fix, &options), 0);
    (void)kv_good(ALICE, op_kv_grant(&fix, 1, 5000));
    (void)kv_good(ALICE, op_kv_grant(&fix, 2, 5000));
    kv_refused(ALICE, op_kv_grant(&fix, 3, 5000), "kv.lease_count", HM_ELIMIT);
    (void)kv_good(BOB, op_kv_grant(&fix, 3, 5000));
    (void)kv_good(ALICE, op_kv_revoke(&fix, 1));
    (void)kv_good(ALICE, op_kv_grant(&fix, 4, 5000));
}

/* --- compaction --- */

static void test_compact(void **state)
{
    struct ledger_info info;
    struct store_stats stats;

    (void)state;
    for (unsigned i = 0; i < 5; i++) /* revisions 2 to 6 */
        (void)kv_good(BOB, op_kv_put(&fix, "a", i % 2 ? "odd" : "even", 0));
    (void)kv_good(BOB, op_kv_put(&fix, "gone", "v", 0)); /* 7 */
    (void)kv_good(BOB, op_kv_delete(&fix, "gone", NULL)); /* 8 */
    kv_refused(ALICE, op_kv_compact(&fix, 3), "kv.compact", HM_EPERM); /* b/ is not hers */
    kv_refused(BOB, op_kv_compact(&fix, 9), "kv.future", HM_ERANGE);
    kv_refused(BOB, op_kv_compact(&fix, 0), "kv.compacted", HM_ERANGE);
    assert_int_equal(kv_good(BOB, op_kv_compact(&fix, 4))->revision, 8);
    kv_refused(BOB, op_kv_compact(&fix, 4), "kv.compacted", HM_ERANGE);
    assert_int_equal(kv_past_rc(3), HM_ERANGE);
    kv_value("a", 4, "even"); /* the state at the compacted revision is there */
    kv_value("a", 5, "odd");
    assert_int_equal(store_stats(fix.store, &stats, NULL), 0);
    assert_int_equal(stats.entries[LEDGER_TABLE_KV_LOG], 6); /* 2 is gone; 3 when 4 may go too */
    (void)kv_good(BOB, op_kv_put(&fix, "a", "last", 0)); /* 9 */
    (void)kv_good(BOB, op_kv_compact(&fix, 9));
    assert_int_equal(store_stats(fix.store, &stats, NULL), 0);
    assert_int_equal(stats.entries[LEDGER_TABLE_KV_LOG], 2); /* 9, and 6 that it replaced */
    assert_int_equal(stats.entries[LEDGER_TABLE_KV_PAST], 2);
    kv_value("a", 9, "last");
    assert_int_equal(kv_state_now()->swept, 9);
    info = check_info();
    assert_int_equal(info.next_due_ms, 0);
}

/* More lines than one block erases: blocks are due until all are gone, and what is read is the same. */
static void test_sweep_goes_on(void **state)
{
    Hypermesh__Operation *ops[64];
    struct store_stats stats;
    struct ledger_info info;
    unsigned blocks = 0;

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        struct hm_slice txs[64];

        for (unsigned t = 0; t < 64; t++) {
            for (unsigned i = 0; i < 64; i++)
                ops[i] = op_kv_put(&fix, "s", "v", 0);
            txs[t] = fixture_tx(&fix, BOB, ops, 64);
        }
        assert_int_equal(fixture_block_txs(&fix, txs, 64), 0);
        assert_int_equal(fix.record->results[63]->code, 0);
    }
    assert_int_equal(kv_state_now()->revision, 3 * 64 * 64 + 1);
    (void)kv_good(BOB, op_kv_compact(&fix, 3 * 64 * 64 + 1));
    do {
        kv_value("s", 3 * 64 * 64 + 1, "v");
        assert_int_equal(kv_past_rc(3 * 64 * 64), HM_ERANGE);
        info = check_info();
        if (info.next_due_ms == 0)
            break;
        assert_true(info.next_due_ms <= fix.next_ms);
        assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    } while (++blocks < 10);
    assert_int_equal(blocks, 3 * 64 * 64 / LEDGER_KV_SWEEP_PER_BLOCK);
    assert_int_equal(store_stats(fix.store, &stats, NULL), 0);
    assert_int_equal(stats.entries[LEDGER_TABLE_KV_LOG], 2);
}

/* --- watches --- */

static void test_watch(void **state)
{
    struct hm_slice from_l = hm_slice_str("l");
    struct hm_slice to_m = hm_slice_str("m");
    struct ledger_view *view;
    Hypermesh__KvEvent **events;
    Hypermesh__KvEntry **previous;
    uint64_t next;
    uint32_t next_sub;
    size_t count;

    (void)state;
    (void)kv_good(ALICE, op_kv_put(&fix, "l1", "1", 0)); /* 2 */
    (void)kv_good(ALICE, op_kv_put(&fix, "m1", "1", 0)); /* 3 */
    (void)kv_good(ALICE, op_kv_put(&fix, "l1", "2", 0)); /* 4 */
    (void)kv_good(ALICE, op_kv_put(&fix, "l2", "1", 0)); /* 5 */
    (void)kv_good(ALICE, op_kv_delete(&fix, "l", "m")); /* 6: two */
    view = check_view();
    assert_int_equal(ledger_view_kv_changes(view, from_l, to_m, 3, 0, 3, &fix.arena, &events,
                                            &previous, &count, &next, &next_sub, NULL),
                     0);
    assert_int_equal(count, 2); /* not a part of 6 */
    assert_int_equal(events[0]->revision, 4);
    assert_memory_equal(previous[0]->value.data, "1", 1);
    assert_null(previous[1]);
    assert_int_equal(next, 6);
    assert_int_equal(ledger_view_kv_changes(view, from_l, to_m, next, next_sub, 1, &fix.arena,
                                            &events, &previous, &count, &next, &next_sub, NULL),
                     0);
    assert_int_equal(count, 1); /* unless it alone is over the limit */
    assert_true(events[0]->deleted);
    assert_int_equal(next, 6);
    assert_int_equal(next_sub, 1);
    assert_int_equal(ledger_view_kv_changes(view, from_l, to_m, next, next_sub, 1, &fix.arena,
                                            &events, NULL, &count, &next, &next_sub, NULL),
                     0);
    assert_int_equal(count, 1);
    assert_int_equal(events[0]->sub, 1);
    assert_int_equal(next, 7);
    assert_int_equal(ledger_view_kv_changes(view, from_l, to_m, next, 0, 1, &fix.arena, &events,
                                            NULL, &count, &next, &next_sub, NULL),
                     0);
    assert_int_equal(count, 0);
    assert_int_equal(next, 7);
    assert_int_equal(ledger_view_kv_changes(view, from_l, to_m, 99, 0, 1, &fix.arena, &events, NULL,
                                            &count, &next, &next_sub, NULL),
                     0);
    assert_int_equal(next, 99); /* waits for the future */
    ledger_view_close(view);
}

/* The first four blocks' worth of memory, one allocation after the other missing: fails cleanly or not at all. */
static void test_out_of_memory(void **state)
{
    Hypermesh__KvTxn *txn = kv_txn(&fix);
    struct ledger_proposal proposal;
    struct ledger_outcome outcome;
    Hypermesh__Operation *ops[3];
    struct hm_slice tx;
    struct hm_slice item;
    unsigned long nth;
    int rc = HM_ENOMEM;

    (void)state;
    (void)kv_good(ALICE, op_kv_grant(&fix, 5, 50000));
    kv_then_put(&fix, txn, true, "o/1", "v");
    kv_then_range(&fix, txn, true, "o", "p");
    ops[0] = op_kv_put(&fix, "o/2", "v", 5);
    ops[1] = op_kv_txn(&fix, txn);
    ops[2] = op_kv_delete(&fix, "o", "p");
    tx = fixture_tx(&fix, ALICE, ops, 3);
    item = fixture_batch(&fix, &tx, 1);
    fixture_propose(&fix, &item, 1, &proposal);
    for (nth = 1; rc == HM_ENOMEM && nth < 10000; nth++) {
        hm_alloc_fail_at(nth);
        rc = ledger_finalize(fix.ledger, &proposal, &outcome, &fix.error);
        hm_alloc_fail_at(0);
    }
    assert_int_equal(rc, 0);
    assert_true(nth > 5);
    assert_int_equal(outcome.record->results[0]->code, 0);
    assert_int_equal(ledger_commit(fix.ledger, NULL), 0);
    assert_int_equal(kv_state_now()->revision, 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, kv_setup, check_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_put_and_delete), TEST(test_range_delete),  TEST(test_all_or_none),
        TEST(test_form),           TEST(test_keeping),       TEST(test_lease),
        TEST(test_lease_expiry),   TEST(test_lease_count),   TEST(test_lease_foreseen),
        TEST(test_compact),        TEST(test_sweep_goes_on), TEST(test_watch),
        TEST(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
