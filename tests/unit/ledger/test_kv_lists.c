/* The key-value store's lists, page by page: leases, the keys that go with one, rules; and a history that is damaged
 * when it is swept or added up. */
#include <stdio.h>

#include "kv_check.h"
#include "ledger_kv.h"
#include "ledger_reads.h"

#define NONE ((struct hm_slice){0})

/* --- leases --- */

static size_t leases_page(uint64_t after, size_t limit, Hypermesh__KvLease ***out)
{
    struct ledger_view *view = check_view();
    size_t count;

    assert_int_equal(ledger_view_kv_leases(view, after, limit, &fix.arena, out, &count, &fix.error),
                     0);
    ledger_view_close(view);
    return count;
}

static void test_leases(void **state)
{
    static const uint64_t ids[] = {1, 2, 255, 256, 70000, UINT64_C(1) << 40, INT64_MAX};
    struct ledger_view *view;
    Hypermesh__KvLease **page;
    Hypermesh__KvLease *one;
    uint64_t after = 0;
    size_t seen = 0;
    size_t count;

    (void)state;
    assert_int_equal(leases_page(0, 3, &page), 0);
    for (size_t i = HM_COUNT_OF(ids); i > 0; i--)
        (void)kv_good(i % 2 ? ALICE : BOB, op_kv_grant(&fix, ids[i - 1], 60000 + i));
    while ((count = leases_page(after, 3, &page)) > 0) {
        for (size_t i = 0; i < count; i++, seen++) {
            assert_int_equal(page[i]->id, ids[seen]);
            assert_int_equal(page[i]->ttl_ms, 60001 + seen);
            assert_memory_equal(page[i]->owner.data, fix.people[seen % 2 ? BOB : ALICE].id, 32);
            assert_int_equal(page[i]->keys, 0);
        }
        after = page[count - 1]->id;
    }
    assert_int_equal(seen, HM_COUNT_OF(ids));
    assert_int_equal(leases_page(255, 1, &page), 1);
    assert_int_equal(page[0]->id, 256);
    assert_int_equal(leases_page(UINT64_MAX, 3, &page), 0);

    view = check_view();
    assert_int_equal(ledger_view_kv_leases(view, 0, 0, &fix.arena, &page, &count, NULL), HM_ELIMIT);
    assert_int_equal(
        ledger_view_kv_leases(view, 0, LEDGER_PAGE_MAX + 1, &fix.arena, &page, &count, NULL),
        HM_ELIMIT);
    assert_int_equal(ledger_view_kv_lease(view, 70000, &fix.arena, &one, NULL), 0);
    assert_int_equal(one->ttl_ms, 60005);
    assert_int_equal(ledger_view_kv_lease(view, 3, &fix.arena, &one, &fix.error), HM_ENOTFOUND);
    assert_non_null(strstr(fix.error.text, "there is no lease 3"));
    ledger_view_close(view);
}

/* --- the keys of a lease --- */

static size_t keys_page(uint64_t lease, struct hm_slice after, size_t limit, struct hm_slice **out)
{
    struct ledger_view *view = check_view();
    size_t count;

    assert_int_equal(
        ledger_view_kv_lease_keys(view, lease, after, limit, &fix.arena, out, &count, &fix.error),
        0);
    ledger_view_close(view);
    return count;
}

static void test_lease_keys(void **state)
{
    static const char *const sorted[] = {"a", "a\x01", "aa", "ab", "b0", "z"};
    static uint8_t zeros[LEDGER_KV_KEY_MAX_BYTES + 1];
    struct hm_slice after = NONE;
    struct ledger_view *view;
    struct hm_slice *page;
    size_t seen = 0;
    size_t count;

    (void)state;
    for (uint64_t lease = 6; lease <= 8; lease++)
        (void)kv_good(ALICE, op_kv_grant(&fix, lease, 60000));
    for (size_t i = HM_COUNT_OF(sorted); i > 0; i--)
        (void)kv_good(ALICE, op_kv_put(&fix, sorted[i - 1], "v", 7));
    (void)kv_good(ALICE, op_kv_put(&fix, "of the lease before", "v", 6));
    (void)kv_good(ALICE, op_kv_put(&fix, "0 of the lease behind", "v", 8));
    (void)kv_good(ALICE, op_kv_put(&fix, "free", "v", 0));
    while ((count = keys_page(7, after, 4, &page)) > 0) {
        for (size_t i = 0; i < count; i++, seen++)
            assert_true(hm_slice_equal(page[i], hm_slice_str(sorted[seen])));
        after = page[count - 1];
    }
    assert_int_equal(seen, HM_COUNT_OF(sorted));
    assert_int_equal(keys_page(7, hm_slice_str("b"), 4, &page), 2); /* between two */
    assert_true(hm_slice_equal(page[0], hm_slice_str("b0")));
    assert_int_equal(keys_page(9, NONE, 4, &page), 0); /* no such lease: no keys */
    (void)kv_good(ALICE, op_kv_delete(&fix, "a", "b"));
    assert_int_equal(keys_page(7, NONE, 4, &page), 2);

    view = check_view();
    assert_int_equal(ledger_view_kv_lease_keys(view, 7, NONE, 0, &fix.arena, &page, &count, NULL),
                     HM_ELIMIT);
    assert_int_equal(ledger_view_kv_lease_keys(view, 7, NONE, LEDGER_PAGE_MAX + 1, &fix.arena,
                                               &page, &count, NULL),
                     HM_ELIMIT);
    assert_int_equal(ledger_view_kv_lease_keys(view, 7, hm_slice_of(zeros, sizeof zeros), 1,
                                               &fix.arena, &page, &count, NULL),
                     HM_EINVAL);
    ledger_view_close(view);
}

/* --- rules --- */

static size_t rules_page(struct hm_slice after, size_t limit, Hypermesh__KvRule ***out)
{
    struct ledger_view *view = check_view();
    size_t count;

    assert_int_equal(ledger_view_kv_rules(view, after, limit, &fix.arena, out, &count, &fix.error),
                     0);
    ledger_view_close(view);
    return count;
}

static void test_rules(void **state)
{
    static const char *const sorted[] = {"", "a", "b/", "b/1", "c"}; /* "" and "b/" of genesis */
    static uint8_t zeros[LEDGER_KV_KEY_MAX_BYTES + 1];
    struct ledger_view *view;
    struct hm_slice after = NONE;
    Hypermesh__KvRule **page;
    size_t seen = 0;
    size_t count;

    (void)state;
    (void)kv_good(ALICE, op_kv_rule(&fix, "c", DAVE));
    (void)kv_good(ALICE, op_kv_rule(&fix, "a", ALICE));
    (void)kv_good(BOB, op_kv_rule(&fix, "b/1", CAROL));
    while ((count = rules_page(after, 2, &page)) > 0) {
        for (size_t i = 0; i < count; i++, seen++)
            assert_true(hm_slice_equal(wire_slice(page[i]->prefix), hm_slice_str(sorted[seen])));
        after = wire_slice(page[count - 1]->prefix);
        if (!after.data)
            after = hm_slice_str("");
    }
    assert_int_equal(seen, HM_COUNT_OF(sorted));
    assert_int_equal(rules_page(hm_slice_str(""), 9, &page), 4); /* not the empty one again */
    assert_int_equal(rules_page(hm_slice_str("b/0"), 9, &page), 2);
    assert_memory_equal(page[0]->owner.data, fix.people[CAROL].id, 32);

    view = check_view();
    assert_int_equal(ledger_view_kv_rules(view, NONE, 0, &fix.arena, &page, &count, NULL),
                     HM_ELIMIT);
    assert_int_equal(ledger_view_kv_rules(view, hm_slice_of(zeros, sizeof zeros), 1, &fix.arena,
                                          &page, &count, NULL),
                     HM_EINVAL);
    ledger_view_close(view);
}

/* --- a damaged history --- */

/* Compaction erases what a line replaced; this is what it says when it cannot. */
static void sweep_fails(unsigned table, struct hm_slice key, struct hm_slice value)
{
    Hypermesh__Operation *op = op_kv_compact(&fix, kv_state_now()->revision);
    struct hm_slice tx = fixture_tx(&fix, BOB, &op, 1);
    struct hm_slice item = fixture_batch(&fix, &tx, 1);
    struct ledger_proposal proposal;
    struct ledger_outcome outcome;
    uint64_t height = check_info().height;

    fixture_propose(&fix, &item, 1, &proposal);
    reads_store_put(table, key, value);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, &fix.error), HM_ECORRUPT);
    assert_non_null(strstr(fix.error.text, "history of the key-value store"));
    ledger_abandon(fix.ledger);
    assert_int_equal(check_info().height, height);
    fixture_resync(&fix);
}

static void three_revisions(void)
{
    (void)kv_good(ALICE, op_kv_put(&fix, "a", "1", 0)); /* 2 */
    (void)kv_good(ALICE, op_kv_put(&fix, "a", "2", 0));
    (void)kv_good(ALICE, op_kv_delete(&fix, "a", NULL)); /* 4 */
    (void)kv_good(ALICE, op_kv_put(&fix, "b", "1", 0));
}

static void test_sweep_unreadable(void **state)
{
    uint8_t line[LEDGER_KV_LOG_KEY_BYTES];

    (void)state;
    three_revisions();
    sweep_fails(LEDGER_TABLE_KV_LOG, ledger_kv_log_key(3, 0, line), hm_slice_str("\xff"));
}

static void test_sweep_odd_key(void **state)
{
    (void)state;
    three_revisions();
    sweep_fails(LEDGER_TABLE_KV_LOG, hm_slice_of("\0\0\0\0\0\0\0\3odd", 11), hm_slice_str("odd"));
}

static void test_sweep_past_missing(void **state)
{
    struct ledger_kv_past_key key;

    (void)state;
    three_revisions();
    ledger_kv_past_begin(hm_slice_str("a"), &key);
    for (uint64_t revision = 2; revision <= 3; revision++)
        reads_store_put(LEDGER_TABLE_KV_PAST, ledger_kv_past_line(&key, revision, 0), NONE);
    ledger_kv_past_begin(hm_slice_str("b"), &key);
    reads_store_put(LEDGER_TABLE_KV_PAST, ledger_kv_past_line(&key, 5, 0), NONE);
    ledger_kv_past_begin(hm_slice_str("a"), &key);
    sweep_fails(LEDGER_TABLE_KV_PAST, ledger_kv_past_line(&key, 4, 0), NONE);
}

/* --- adding up --- */

static int audit_now(void)
{
    struct store_txn *txn;
    int rc;

    assert_int_equal(store_begin_read(fix.store, &txn, NULL), 0);
    rc = ledger_kv_audit(txn, &fix.error);
    store_abort(txn);
    return rc;
}

static void test_audit(void **state)
{
    uint8_t lease[LEDGER_KEY_KV_LEASE_BYTES];
    uint8_t held[2][LEDGER_KEY_KV_HELD_BYTES];
    uint8_t key[LEDGER_KEY_KV_BYTES];
    Hypermesh__KvLease wrong = HYPERMESH__KV_LEASE__INIT;

    (void)state;
    (void)kv_good(ALICE, op_kv_grant(&fix, 7, 60000));
    (void)kv_good(ALICE, op_kv_put(&fix, "a", "v", 7));
    (void)kv_good(ALICE, op_kv_put(&fix, "b", "v", 0));
    assert_int_equal(audit_now(), 0);
    /* A key that is not on its lease's list. */
    (void)ledger_key_kv_held(7, hm_slice_str("a"), held[0]);
    reads_store_put(LEDGER_TABLE_STATE, hm_slice_of(held[0], 10), NONE);
    assert_int_equal(audit_now(), HM_ECORRUPT);
    assert_non_null(strstr(fix.error.text, "not on the list of its lease"));
    reads_store_put(LEDGER_TABLE_STATE, hm_slice_of(held[0], 10), hm_slice_str(""));
    assert_int_equal(audit_now(), 0);
    /* A list with a key that does not go with the lease. */
    reads_store_put(LEDGER_TABLE_STATE, ledger_key_kv_held(7, hm_slice_str("b"), held[1]),
                    hm_slice_str(""));
    assert_int_equal(audit_now(), HM_ECORRUPT);
    assert_non_null(strstr(fix.error.text, "2 are on their lists and 1 name one"));
    /* The lease saying so too does not make it right. */
    wrong.id = 7;
    wrong.keys = 2;
    reads_store_put(LEDGER_TABLE_STATE, ledger_key_kv_lease(7, lease),
                    fixture_pack(&fix, &wrong.base));
    assert_int_equal(audit_now(), HM_ECORRUPT);
    reads_store_put(LEDGER_TABLE_STATE, hm_slice_of(held[1], 10), NONE);
    wrong.keys = 1;
    reads_store_put(LEDGER_TABLE_STATE, ledger_key_kv_lease(7, lease),
                    fixture_pack(&fix, &wrong.base));
    assert_int_equal(audit_now(), 0);
    /* A key that nobody counted. */
    reads_store_put(LEDGER_TABLE_STATE, ledger_key_kv(LEDGER_KEY_KV, hm_slice_str("b"), key), NONE);
    assert_int_equal(audit_now(), HM_ECORRUPT);
    assert_non_null(strstr(fix.error.text, "says 2 keys and 1 leases, and has 1 and 1"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, kv_setup, check_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_leases),        TEST(test_lease_keys),
        TEST(test_rules),         TEST(test_sweep_unreadable),
        TEST(test_sweep_odd_key), TEST(test_sweep_past_missing),
        TEST(test_audit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
