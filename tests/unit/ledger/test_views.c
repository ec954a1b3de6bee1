/* What readers get: pages and filters, blocks and transactions, authenticated reads, the four proofs in
 * words; and that readers and checks may run beside the writer. */
#include <stdio.h>

#include <pthread.h>

#include "ledger_check.h"

static void offer(enum fixture_role who, const char *name, uint8_t id[32])
{
    assert_int_equal(
        fixture_do(&fix, who, op_register(&fix, name, 3600, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC))
            ->code,
        0);
    fixture_asset_id(&fix, who, name, id);
}

static void test_pages(void **state)
{
    struct ledger_asset_filter mine = {.owner = fix.people[ALICE].id};
    struct ledger_asset_filter gpus = {.kind = HYPERMESH__ASSET_KIND__GPU};
    struct ledger_view *view;
    Hypermesh__Asset **assets;
    uint8_t ids[6][32];
    uint8_t last[32];
    char name[16];
    size_t count;
    size_t seen = 0;

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        (void)snprintf(name, sizeof name, "cpu%u", i);
        offer(i < 4 ? ALICE : BOB, name, ids[i]);
    }
    assert_int_equal(fixture_do(&fix, ALICE, op_retire(&fix, ids[0]))->code, 0);
    view = check_view();
    assert_int_equal(ledger_view_assets(view, NULL, NULL, 100, &fix.arena, &assets, &count, NULL),
                     0);
    assert_int_equal(count, 5);
    for (size_t i = 1; i < count; i++)
        assert_true(memcmp(assets[i - 1]->id.data, assets[i]->id.data, 32) < 0);
    assert_int_equal(ledger_view_assets(view, &mine, NULL, 100, &fix.arena, &assets, &count, NULL),
                     0);
    assert_int_equal(count, 3);
    mine.with_retired = true;
    assert_int_equal(ledger_view_assets(view, &mine, NULL, 100, &fix.arena, &assets, &count, NULL),
                     0);
    assert_int_equal(count, 4);
    assert_int_equal(ledger_view_assets(view, &gpus, NULL, 100, &fix.arena, &assets, &count, NULL),
                     0);
    assert_int_equal(count, 0);
    /* Page by page. */
    for (const uint8_t *after = NULL;; after = last) {
        assert_int_equal(
            ledger_view_assets(view, NULL, after, 2, &fix.arena, &assets, &count, NULL), 0);
        if (count == 0)
            break;
        seen += count;
        memcpy(last, assets[count - 1]->id.data, 32);
    }
    assert_int_equal(seen, 5);
    assert_int_equal(ledger_view_assets(view, NULL, NULL, LEDGER_PAGE_MAX + 1, &fix.arena, &assets,
                                        &count, &fix.error),
                     HM_ELIMIT);
    ledger_view_close(view);
}

static void test_leases(void **state)
{
    struct ledger_lease_filter filter = {0};
    struct ledger_view *view;
    Hypermesh__Lease **leases;
    uint8_t asset[2][32];
    size_t count;
    uint8_t lease[32];

    (void)state;
    offer(ALICE, "cpu0", asset[0]);
    offer(ALICE, "cpu1", asset[1]);
    memcpy(lease, fixture_do(&fix, BOB, op_allocate(&fix, asset, 2, 10, 60000))->created[0].data,
           32);
    assert_int_equal(fixture_do(&fix, CAROL, op_allocate(&fix, asset, 1, 10, 60000))->code, 0);
    assert_int_equal(fixture_do(&fix, BOB, op_free(&fix, lease))->code, 0);
    view = check_view();
    assert_int_equal(ledger_view_leases(view, NULL, NULL, 100, &fix.arena, &leases, &count, NULL),
                     0);
    assert_int_equal(count, 2);
    filter.active_only = true;
    assert_int_equal(
        ledger_view_leases(view, &filter, NULL, 100, &fix.arena, &leases, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_memory_equal(leases[0]->consumer.data, fix.people[CAROL].id, 32);
    filter = (struct ledger_lease_filter){.asset = asset[1]};
    assert_int_equal(
        ledger_view_leases(view, &filter, NULL, 100, &fix.arena, &leases, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_memory_equal(leases[0]->id.data, lease, 32);
    filter = (struct ledger_lease_filter){.party = fix.people[ALICE].id};
    assert_int_equal(
        ledger_view_leases(view, &filter, NULL, 100, &fix.arena, &leases, &count, NULL), 0);
    assert_int_equal(count, 2);
    filter = (struct ledger_lease_filter){.party = fix.people[DAVE].id};
    assert_int_equal(
        ledger_view_leases(view, &filter, NULL, 100, &fix.arena, &leases, &count, NULL), 0);
    assert_int_equal(count, 0);
    ledger_view_close(view);
}

/* A view does not move when the chain does. */
static void test_snapshot(void **state)
{
    struct ledger_view *view = check_view();
    struct ledger_info before;
    Hypermesh__Account *account;
    uint64_t bob = fixture_account(&fix, BOB)->hyper;

    (void)state;
    assert_int_equal(ledger_view_info(view, &before, NULL), 0);
    assert_int_equal(fixture_do(&fix, ALICE, op_transfer(&fix, BOB, 9))->code, 0);
    assert_int_equal(ledger_view_account(view, fix.people[BOB].id, &fix.arena, &account, NULL), 0);
    assert_int_equal(account->hyper, bob);
    ledger_view_close(view);
    view = check_view();
    assert_int_equal(ledger_view_account(view, fix.people[BOB].id, &fix.arena, &account, NULL), 0);
    assert_int_equal(account->hyper, bob + 9);
    ledger_view_close(view);
}

static void test_prove(void **state)
{
    struct ledger_view *view = check_view();
    struct store_tree_proof proof;
    uint8_t key[33] = {LEDGER_KEY_ACCOUNT};
    uint8_t root[32];
    struct hm_slice value;
    struct hm_slice at = hm_slice_of(key, sizeof key);

    (void)state;
    memcpy(key + 1, fix.people[BOB].id, 32);
    assert_int_equal(ledger_view_prove(view, at, &value, &proof, root, NULL), 0);
    assert_non_null(value.data);
    assert_int_equal(store_tree_verify(root, at, value, &proof, NULL), 0);
    root[0] ^= 1;
    assert_int_equal(store_tree_verify(root, at, value, &proof, NULL), HM_EAUTH);
    store_tree_proof_release(&proof);
    key[5] ^= 1;
    assert_int_equal(ledger_view_prove(view, at, &value, &proof, root, NULL), 0);
    assert_null(value.data);
    assert_int_equal(store_tree_verify(root, at, value, &proof, NULL), 0);
    store_tree_proof_release(&proof);
    ledger_view_close(view);
}

static void test_not_found(void **state)
{
    struct ledger_view *view = check_view();
    const uint8_t nothing[32] = {1};
    Hypermesh__Account *account;
    Hypermesh__Asset *asset;
    Hypermesh__Lease *lease;
    struct hm_slice bytes;

    (void)state;
    assert_int_equal(ledger_view_account(view, nothing, &fix.arena, &account, NULL), 0);
    assert_int_equal(account->hyper, 0);
    assert_int_equal(account->presence.len, 32);
    assert_int_equal(ledger_view_asset(view, nothing, &fix.arena, &asset, &fix.error),
                     HM_ENOTFOUND);
    assert_int_equal(ledger_view_lease(view, nothing, &fix.arena, &lease, &fix.error),
                     HM_ENOTFOUND);
    assert_int_equal(ledger_view_block(view, 0, &fix.arena, &bytes, NULL, &fix.error),
                     HM_ENOTFOUND);
    assert_int_equal(ledger_view_tx(view, nothing, &fix.arena, &bytes, NULL, NULL, &fix.error),
                     HM_ENOTFOUND);
    ledger_view_close(view);
}

/* --- the four proofs --- */

static void checks(struct ledger_proof_case *that, enum ledger_proof_kind kind, int code,
                   const char *words)
{
    struct hm_error error = {0};
    const char *shows = NULL;
    int rc = ledger_proof_case_check(that, kind, &shows, &error);

    if (rc != code)
        fail_msg("proof %d: %d, wanted %d: %s", (int)kind, rc, code, error.text);
    assert_non_null(shows);
    if (!strstr(shows, words))
        fail_msg("\"%s\" does not hold \"%s\"", shows, words);
}

static void test_included(void **state)
{
    uint8_t digest[32];
    uint8_t id[32];
    struct ledger_proof_case *that;
    struct ledger_view *view;

    (void)state;
    offer(ALICE, "cpu0", id);
    memcpy(digest, fix.record->results[0]->digest.data, 32);
    /* Later acts, and the end of the session, do not change what was shown. */
    fix.next_ms += 5 * 3600000;
    assert_int_equal(fixture_do(&fix, ALICE, op_unbond(&fix, 1))->code, 0);
    assert_int_equal(
        fixture_do(&fix, ALICE, op_revoke(&fix, fix.people[ALICE].session.public_key))->code, 0);
    view = check_view();
    assert_int_equal(ledger_proof_case_included(view, digest, &fix.arena, &that, &fix.error), 0);
    checks(that, LEDGER_PROOF_SPACE, 0, "WHERE: the entry node hm1");
    checks(that, LEDGER_PROOF_SPACE, 0, "4.0 KiB");
    checks(that, LEDGER_PROOF_STAKE, 0, "1000 HYPER bonded where 100 are needed");
    checks(that, LEDGER_PROOF_WORK, 0, "about 16 hashes");
    checks(that, LEDGER_PROOF_TIME, 0, "WHEN: after block 1");
    ledger_view_close(view);
}

static void test_included_without_space(void **state)
{
    struct ledger_proof_case *that;
    struct ledger_view *view;
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 1);
    struct hm_slice txs[2] = {fixture_tx(&fix, ALICE, &op, 1)};
    struct hm_slice item;

    (void)state;
    txs[1] = txs[0];
    item = fixture_seal(&fix, NODE, fixture_head(&fix, NODE, txs, 1, false), txs, 1);
    assert_int_equal(fixture_block(&fix, &item, 1), 0);
    view = check_view();
    assert_int_equal(ledger_proof_case_included(view, fix.record->results[0]->digest.data,
                                                &fix.arena, &that, &fix.error),
                     0);
    checks(that, LEDGER_PROOF_SPACE, 0, "touches no asset");
    checks(that, LEDGER_PROOF_STAKE, 0, "session key");
    ledger_view_close(view);
}

static void test_offered(void **state)
{
    Hypermesh__Operation *op = op_register(&fix, "cpu9", 1, HYPERMESH__PRIVACY_LEVEL__PRIVATE);
    Hypermesh__TxBody *body = fixture_body(&fix, ALICE, &op, 1);
    Hypermesh__Tx *tx = fixture_sign(&fix, ALICE, body, false);
    struct hm_slice bytes = fixture_pack(&fix, &tx->base);
    struct hm_slice good = fixture_batch(&fix, &bytes, 1);
    Hypermesh__BatchHead *head = fixture_head(&fix, NODE, &bytes, 1, true);
    struct ledger_view *view = check_view();
    struct ledger_proof_case *that;
    struct hm_slice bad;

    (void)state;
    assert_int_equal(
        ledger_proof_case_offered(view, good, 0, fix.next_ms, &fix.arena, &that, &fix.error), 0);
    for (int kind = 0; kind < LEDGER_PROOF_COUNT; kind++)
        checks(that, (enum ledger_proof_kind)kind, 0, "W");
    assert_int_equal(
        ledger_proof_case_offered(view, good, 1, fix.next_ms, &fix.arena, &that, &fix.error),
        HM_ENOTFOUND);
    /* Too late. */
    assert_int_equal(ledger_proof_case_offered(view, good, 0, fix.next_ms + 600000, &fix.arena,
                                               &that, &fix.error),
                     0);
    checks(that, LEDGER_PROOF_TIME, HM_EPROOF_TIME, "WHEN");
    checks(that, LEDGER_PROOF_WORK, 0, "WHAT");
    /* Another opening. */
    head->openings[0]->label.data[0] ^= 1;
    bad = fixture_seal(&fix, NODE, head, &bytes, 1);
    assert_int_equal(
        ledger_proof_case_offered(view, bad, 0, fix.next_ms, &fix.arena, &that, &fix.error), 0);
    checks(that, LEDGER_PROOF_SPACE, HM_EPROOF_SPACE, "WHERE");
    checks(that, LEDGER_PROOF_STAKE, 0, "WHO");
    /* Another signature. */
    tx->signature.data[3] ^= 1;
    bytes = fixture_pack(&fix, &tx->base);
    bad = fixture_batch(&fix, &bytes, 1);
    assert_int_equal(
        ledger_proof_case_offered(view, bad, 0, fix.next_ms, &fix.arena, &that, &fix.error), 0);
    checks(that, LEDGER_PROOF_STAKE, HM_EPROOF_STAKE, "WHO");
    assert_int_equal(ledger_proof_case_offered(view, hm_slice_str("x"), 0, fix.next_ms, &fix.arena,
                                               &that, &fix.error),
                     HM_EPARSE);
    ledger_view_close(view);
}

/* --- beside the writer --- */

#define READERS 4

struct reader {
    pthread_t thread;
    struct hm_slice tx;
    uint64_t now_ms;
    bool *stop;
    int rc;
};

static void *read_on(void *ctx)
{
    struct reader *reader = ctx;
    struct hm_arena arena;

    hm_arena_init(&arena, 0);
    while (!__atomic_load_n(reader->stop, __ATOMIC_ACQUIRE) && reader->rc == 0) {
        struct ledger_view *view;
        struct ledger_info info;
        Hypermesh__Supply *supply;

        hm_arena_clear(&arena);
        reader->rc = ledger_check_tx(fix.ledger, reader->tx, reader->now_ms, NULL, NULL);
        if (reader->rc == 0)
            reader->rc = ledger_info(fix.ledger, &info, NULL);
        if (reader->rc == 0)
            reader->rc = ledger_view_open(fix.ledger, &view, NULL);
        if (reader->rc)
            break;
        reader->rc = ledger_view_supply(view, &arena, &supply, NULL);
        if (reader->rc == 0 && supply->hyper_burnt + supply->hyper_accounts + supply->hyper_bonded +
                                       supply->hyper_escrow !=
                                   FIXTURE_SUPPLY)
            reader->rc = HM_EINTERNAL;
        ledger_view_close(view);
    }
    hm_arena_release(&arena);
    return NULL;
}

static void test_readers(void **state)
{
    struct reader readers[READERS];
    bool stop = false;

    (void)state;
    for (size_t i = 0; i < READERS; i++) {
        Hypermesh__Operation *op = op_transfer(&fix, BOB, i + 1);

        readers[i] = (struct reader){
            .tx = fixture_tx(&fix, CAROL, &op, 1), .now_ms = fix.next_ms, .stop = &stop};
    }
    fixture_resync(&fix);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
    for (int i = 0; i < 30; i++)
        assert_int_equal(fixture_do(&fix, ALICE, op_transfer(&fix, BOB, 1))->code, 0);
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
        assert_int_equal(readers[i].rc, 0);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, check_setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_pages),
        CASE(test_leases),
        CASE(test_snapshot),
        CASE(test_prove),
        CASE(test_not_found),
        CASE(test_included),
        CASE(test_included_without_space),
        CASE(test_offered),
        CASE(test_readers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
