/* What somebody would try who wants the chain to stop, to grow or to stall: each is refused, and nothing that
 * arrives from outside ends in an error of the machine. */
#include "ledger_batch.h"
#include "ledger_check.h"

/* --- a block of refusals ------------------------------------------------------------------------------ */

/* A batch of a few kilobytes whose 4096 transactions cannot be read. */
static struct hm_slice rubbish_batch(void)
{
    Hypermesh__Batch batch = HYPERMESH__BATCH__INIT;
    static ProtobufCBinaryData txs[4096];
    static const uint8_t rubbish[1] = {0xff};

    for (size_t i = 0; i < HM_COUNT_OF(txs); i++)
        txs[i] = wire_bytes(rubbish, sizeof rubbish);
    batch.n_txs = fix.params.max_batch_txs;
    batch.txs = txs;
    return fixture_pack(&fix, &batch.base);
}

/* A result takes far more room than a transaction that cannot be read: the record of such a block once grew
 * past what the store takes, and the node stopped. */
static void test_refusals_are_bounded(void **state)
{
    struct hm_slice items[400];
    struct ledger_proposal proposal;
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 5);
    struct hm_slice tx = fixture_tx(&fix, ALICE, &op, 1);
    struct hm_slice rubbish = rubbish_batch();

    (void)state;
    items[0] = fixture_batch(&fix, &tx, 1);
    for (size_t i = 1; i < HM_COUNT_OF(items); i++)
        items[i] = rubbish;
    fixture_propose(&fix, items, HM_COUNT_OF(items), &proposal);
    assert_int_equal(ledger_process(fix.ledger, &proposal, &fix.error), HM_ELIMIT);
    assert_non_null(strstr(fix.error.text, "transactions"));
    assert_true(ledger_prepare(fix.ledger, items, HM_COUNT_OF(items)) < 20);
    if (fixture_block(&fix, items, HM_COUNT_OF(items)) != 0)
        fail_msg("%s", fix.error.text);
    assert_true(fix.record->n_results <= LEDGER_BLOCK_MAX_TXS);
    assert_int_equal(fix.record->n_results, 1 + 15 * 4096);
    assert_int_equal(fix.record->results[0]->code, 0);
    assert_int_equal(fix.record->results[1]->code, HM_EPARSE);
}

/* What a stranger wrote is said back in results, and results must stay readable: a text cut in the middle of a
 * character once made the record of the whole block unreadable. */
static void test_results_stay_readable(void **state)
{
    static char strange[] = "0123456789012345678901234567890\xc3\xa9\xc3\xa9\nline";
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 5);
    Hypermesh__TxBody *body = fixture_body(&fix, ALICE, &op, 1);
    Hypermesh__BatchHead *head;
    struct hm_slice items[2];
    struct hm_slice tx;

    (void)state;
    body->chain_id = strange;
    tx = fixture_pack(&fix, &fixture_sign(&fix, ALICE, body, false)->base);
    items[0] = fixture_batch(&fix, &tx, 1);
    head = fixture_head(&fix, NODE, &tx, 1, true);
    head->chain_id = strange;
    items[1] = fixture_seal(&fix, NODE, head, &tx, 1);
    assert_int_equal(fixture_block(&fix, items, 2), 0);
    assert_int_equal(fix.record->n_results, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(fix.record->results[i]->code, HM_EINVAL);
        assert_non_null(strstr(fix.record->results[i]->text, "this is \"" FIXTURE_CHAIN "\""));
        assert_null(strchr(fix.record->results[i]->text, '\n'));
    }
}

/* Every beginning of a transaction and more than the whole: refused at the door, in words. */
static void test_cut_and_grown(void **state)
{
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 7);
    struct hm_slice tx = fixture_tx(&fix, ALICE, &op, 1);
    uint8_t *grown = hm_arena_alloc(&fix.arena, fix.params.max_tx_bytes + 1);
    struct hm_error error;
    int rc;

    (void)state;
    assert_non_null(grown);
    memcpy(grown, tx.data, tx.len);
    for (size_t len = 0; len < tx.len; len++) {
        error.text[0] = '\0';
        rc = ledger_check_tx(fix.ledger, hm_slice_of(grown, len), fix.next_ms, NULL, &error);
        assert_true(rc < 0 && !hm_error_is_fatal(rc));
        assert_true(error.text[0] != '\0');
    }
    rc = ledger_check_tx(fix.ledger, hm_slice_of(grown, tx.len + 1), fix.next_ms, NULL, NULL);
    assert_int_equal(rc, HM_EPARSE);
    rc = ledger_check_tx(fix.ledger, hm_slice_of(grown, fix.params.max_tx_bytes + 1), fix.next_ms,
                         NULL, NULL);
    assert_int_equal(rc, HM_ELIMIT);
    assert_int_equal(ledger_check_tx(fix.ledger, tx, fix.next_ms, NULL, NULL), 0);
}

/* An account's transactions in another order than it signed them: only the one that follows counts. */
static void test_reordered(void **state)
{
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 7);
    struct hm_slice first = fixture_tx(&fix, ALICE, &op, 1);
    struct hm_slice second = fixture_tx(&fix, ALICE, &op, 1);
    struct hm_slice swapped[2] = {second, first};

    (void)state;
    assert_int_equal(fixture_block_txs(&fix, swapped, 2), 0);
    assert_int_equal(fix.record->results[0]->code, HM_EPROOF_TIME);
    assert_non_null(strstr(fix.record->results[0]->text, "does not follow"));
    assert_int_equal(fix.record->results[1]->code, 0);
    /* Now it follows, and its anchor is young still. */
    assert_int_equal(fixture_block_txs(&fix, &second, 1), 0);
    assert_int_equal(fix.record->results[0]->code, 0);
}

/* --- money that waits ----------------------------------------------------------------------------------- */

/* What has finished unbonding pays for the very transaction that touches it. */
static void test_unbonded_money_pays(void **state)
{
    Hypermesh__Operation *ops[2];
    struct ledger_signing signing;
    struct ledger_view *view;
    struct hm_slice tx;
    uint64_t left;

    (void)state;
    ops[0] = op_bond(&fix, fixture_account(&fix, DAVE)->hyper - 1500000);
    ops[1] = op_unbond(&fix, fixture_account(&fix, DAVE)->hyper - 1500000);
    /* The fee comes first: what is bonded is what it leaves, less a little. */
    ops[0]->bond->amount -= 1500000;
    ops[1]->unbond->amount -= 1500000;
    assert_int_equal(fixture_do_many(&fix, DAVE, ops, 2)->code, 0);
    left = fixture_account(&fix, DAVE)->hyper;
    assert_int_equal(fixture_do(&fix, DAVE, op_transfer(&fix, BOB, left - 1000000))->code, 0);
    left = fixture_account(&fix, DAVE)->hyper;
    assert_true(left < 100000);

    fix.next_ms += fix.params.unbond_delay_ms;
    ops[0] = op_transfer(&fix, BOB, FIXTURE_HYPER);
    tx = fixture_root_tx(&fix, DAVE, ops, 1);
    if (ledger_check_tx(fix.ledger, tx, fix.next_ms, NULL, &fix.error) != 0)
        fail_msg("%s", fix.error.text);
    assert_int_equal(
        ledger_check_tx(fix.ledger, tx, fix.next_ms - fix.params.time_window_ms, NULL, &fix.error),
        HM_EFUNDS); /* not before its time */
    tx = fixture_seal_bare(&fix, fixture_head(&fix, NODE, &tx, 1, false), &tx, 1);
    assert_int_equal(fixture_block(&fix, &tx, 1), 0);
    assert_string_equal(fix.record->results[0]->text, "");
    view = check_view();
    assert_int_equal(ledger_view_signing(view, fix.people[DAVE].id, fix.next_ms, &signing, NULL),
                     0);
    ledger_view_close(view);
}

/* --- how much a block may hold --------------------------------------------------------------------------- */

/* An asset as large as one may be. */
static void fat_asset(const char *hardware_id)
{
    Hypermesh__Operation *op = op_register(&fix, hardware_id, 1,
                                           HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC);
    static Hypermesh__Attribute attributes[LEDGER_ATTRIBUTES_MAX];
    static Hypermesh__Attribute *list[LEDGER_ATTRIBUTES_MAX];
    static char names[LEDGER_ATTRIBUTES_MAX][4];
    static char value[LEDGER_ATTRIBUTE_VALUE_MAX_BYTES + 1];

    memset(value, 'v', sizeof value - 1);
    for (size_t i = 0; i < LEDGER_ATTRIBUTES_MAX; i++) {
        names[i][0] = (char)('a' + i / 10);
        names[i][1] = (char)('0' + i % 10);
        attributes[i] = (Hypermesh__Attribute)HYPERMESH__ATTRIBUTE__INIT;
        attributes[i].name = names[i];
        attributes[i].value = value;
        list[i] = &attributes[i];
    }
    op->asset_register->attributes = list;
    op->asset_register->n_attributes = LEDGER_ATTRIBUTES_MAX;
    assert_int_equal(fixture_do(&fix, ALICE, op)->code, 0);
}

static struct ledger_block *block_begin(void)
{
    struct ledger_proposal proposal;
    struct ledger_block *block;

    fixture_propose(&fix, NULL, 0, &proposal);
    assert_int_equal(ledger_block_new(fix.ledger, &proposal, &block, &fix.error), 0);
    return block;
}

/* Small transactions that touch large assets once filled the memory of a block, and the node stopped. */
static void test_state_of_a_block_is_bounded(void **state)
{
    uint8_t assets[2][32];
    Hypermesh__Operation *op;
    struct ledger_block *block;
    struct hm_slice item;
    struct hm_slice txs[2];

    (void)state;
    fat_asset("fat0");
    fat_asset("fat1");
    fixture_asset_id(&fix, ALICE, "fat0", assets[0]);
    fixture_asset_id(&fix, ALICE, "fat1", assets[1]);
    op = op_allocate(&fix, (const uint8_t(*)[32])assets, 2, 1000, 1000);
    txs[0] = fixture_tx(&fix, BOB, &op, 1);
    op = op_transfer(&fix, ALICE, 5);
    txs[1] = fixture_tx(&fix, BOB, &op, 1);
    item = fixture_batch(&fix, txs, 2);

    block = block_begin();
    assert_int_equal(ledger_batch_apply(block, item, 0, &fix.error), 0);
    assert_int_equal(block->placed[0].result->code, 0);
    assert_int_equal(block->placed[1].result->code, 0);
    /* Both assets, as they were and as they are now. */
    assert_true(block->overlay.held >
                2 * 2 * (size_t)LEDGER_ATTRIBUTES_MAX * LEDGER_ATTRIBUTE_VALUE_MAX_BYTES);
    ledger_block_free(block);

    block = block_begin();
    block->overlay.held = LEDGER_BLOCK_HELD_MAX_BYTES;
    assert_int_equal(ledger_batch_apply(block, item, 0, &fix.error), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(block->placed[i].result->code, HM_ELIMIT);
        assert_non_null(strstr(block->placed[i].result->text, "the block is full"));
        assert_false(block->placed[i].charged);
    }
    ledger_block_free(block);
}

/* Leases that are due wait for the next block when this one holds enough; what waits is not renewed. */
static void test_expiry_is_bounded(void **state)
{
    const Hypermesh__TxResult *result;
    Hypermesh__Operation *op;
    struct ledger_block *block;
    struct hm_slice item;
    struct hm_slice tx;
    uint8_t assets[1][32];

    (void)state;
    fat_asset("fat0");
    fixture_asset_id(&fix, ALICE, "fat0", assets[0]);
    result = fixture_do(&fix, BOB, op_allocate(&fix, (const uint8_t(*)[32])assets, 1, 1000, 1000));
    assert_int_equal(result->code, 0);
    op = op_renew(&fix, result->created[0].data, 1000);
    fix.next_ms += 1000;
    tx = fixture_tx(&fix, BOB, &op, 1);
    item = fixture_batch(&fix, &tx, 1);
    block = block_begin();
    block->overlay.held = LEDGER_BLOCK_HELD_MAX_BYTES;
    assert_int_equal(ledger_block_expire(block, &fix.error), 0);
    assert_int_equal(block->expired_count, 0);
    block->overlay.held = 0;
    assert_int_equal(ledger_batch_apply(block, item, 0, &fix.error), 0);
    assert_string_equal(block->placed[0].result->rule, "lease.ended");
    assert_non_null(strstr(block->placed[0].result->text, "the lease has run out"));
    ledger_block_free(block);
    block = block_begin();
    assert_int_equal(ledger_block_expire(block, &fix.error), 0);
    assert_int_equal(block->expired_count, 1);
    ledger_block_free(block);
}

static void test_state_of_a_transaction_is_bounded(void **state)
{
    struct ledger_block *block = block_begin();
    struct ledger_scope scope;
    Hypermesh__Account *account;
    ProtobufCBinaryData alice = wire_bytes(fix.people[ALICE].id, 32);
    ProtobufCBinaryData bob = wire_bytes(fix.people[BOB].id, 32);

    (void)state;
    ledger_scope_init(&scope, block, &block->scratch, (struct hm_slice){0});
    assert_int_equal(ledger_scope_account(&scope, alice, &account, &fix.error), 0);
    assert_true(scope.opened > 0);
    scope.opened = LEDGER_TX_OPENED_MAX_BYTES;
    assert_int_equal(ledger_scope_account(&scope, bob, &account, &fix.error), HM_ELIMIT);
    assert_non_null(strstr(fix.error.text, "too much"));
    assert_int_equal(ledger_scope_account(&scope, alice, &account, &fix.error),
                     0); /* open already */
    ledger_block_free(block);
}

/* --- an index that cannot be aimed at ---------------------------------------------------------------------- */

static size_t longest_run(const struct ledger_map *map)
{
    size_t longest = 0;
    size_t run = 0;

    for (size_t i = 0; i < map->slot_count; i++) {
        run = map->slots[i] ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

/* Ids are chosen by whoever sends. Keys that meet in one place under one seed do not under another, and the seed
 * of a block is not known to anybody before the block before it is. */
static void test_map_is_seeded(void **state)
{
    static const uint8_t seeds[2][LEDGER_MAP_SEED_BYTES] = {"first", "second"};
    uint64_t chosen[48];
    size_t count = 0;
    struct ledger_map map;
    struct hm_arena arena;
    size_t wanted = 0;

    (void)state;
    hm_arena_init(&arena, 0);
    for (uint64_t try = 0; count < HM_COUNT_OF(chosen); try++) {
        const struct hm_slice key = hm_slice_of(&try, sizeof try);
        size_t slot = 0;

        ledger_map_init(&map, &arena, seeds[0]);
        for (size_t i = 0; i < 33; i++) /* grown once: as many slots as in the end */
            assert_non_null(ledger_map_add(&map, hm_slice_of(&(uint32_t){(uint32_t)i}, 4), &map));
        memset(map.slots, 0, map.slot_count * sizeof *map.slots);
        assert_int_equal(map.slot_count, 128);
        assert_non_null(ledger_map_add(&map, key, &map));
        while (!map.slots[slot])
            slot++;
        if (count == 0)
            wanted = slot;
        if (slot == wanted)
            chosen[count++] = try;
        hm_arena_clear(&arena);
    }
    for (size_t seed = 0; seed < 2; seed++) {
        ledger_map_init(&map, &arena, seeds[seed]);
        for (size_t i = 0; i < count; i++)
            assert_non_null(ledger_map_add(&map, hm_slice_of(&chosen[i], 8), &map));
        assert_int_equal(map.slot_count, 128);
        if (seed == 0)
            assert_int_equal(longest_run(&map), count);
        else
            assert_true(longest_run(&map) < count / 2);
    }
    hm_arena_release(&arena);
}

/* --- damage is not a refusal ------------------------------------------------------------------------------- */

/* A machine that cannot read an anchor must stop: refusing would part its state from that of the others. */
static void test_damaged_anchor(void **state)
{
    uint8_t key[9] = {LEDGER_META_HASH};
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 5);
    struct ledger_info info;
    struct store_txn *txn;
    struct hm_slice item;
    struct hm_slice tx;

    (void)state;
    tx = fixture_tx(&fix, ALICE, &op, 1);
    item = fixture_batch(&fix, &tx, 1);
    info = check_info();
    hm_put_be64(key + 1, info.height);
    assert_int_equal(store_begin_write(fix.store, &txn, NULL), 0);
    assert_int_equal(store_put(txn, LEDGER_TABLE_META, hm_slice_of(key, sizeof key),
                               hm_slice_str("short"), NULL),
                     0);
    assert_int_equal(store_commit(txn, NULL), 0);
    assert_int_equal(fixture_block(&fix, &item, 1), HM_ECORRUPT);
    assert_int_equal(ledger_check_tx(fix.ledger, tx, fix.next_ms, NULL, &fix.error), HM_ECORRUPT);
}

/* --- small accounts ------------------------------------------------------------------------------------------ */

static void no_provider_bond(Hypermesh__Params *params)
{
    params->bond_provider = 0;
}

/* Who owns nothing but an asset that was given to him is not nobody. */
static void test_gift_to_a_new_account(void **state)
{
    const struct fixture_options options = {.params = no_provider_bond};
    uint8_t asset[32];

    (void)state;
    fixture_release(&fix);
    assert_int_equal(fixture_init(&fix, &options), 0);
    assert_int_equal(
        fixture_do(&fix, ALICE, op_register(&fix, "cpu0", 1, HYPERMESH__PRIVACY_LEVEL__PRIVATE))
            ->code,
        0);
    fixture_asset_id(&fix, ALICE, "cpu0", asset);
    assert_int_equal(fixture_do(&fix, ALICE, op_give(&fix, asset, POOR))->code, 0);
    assert_memory_equal(fixture_asset(&fix, asset)->owner.data, fix.people[POOR].id, 32);
    assert_int_equal(fixture_account(&fix, POOR)->assets, 1);
}

/* --- pages ----------------------------------------------------------------------------------------------------- */

/* What a filter leaves out takes no memory of the request. */
static void test_filtered_pages_are_small(void **state)
{
    struct ledger_asset_filter filter = {.owner = fix.people[BOB].id};
    Hypermesh__Asset **assets;
    struct ledger_view *view;
    struct hm_arena arena;
    char name[8] = "fat0";
    size_t count;

    (void)state;
    for (char c = '0'; c < '5'; c++) {
        name[3] = c;
        fat_asset(name);
    }
    hm_arena_init(&arena, 0);
    view = check_view();
    assert_int_equal(ledger_view_assets(view, &filter, NULL, 1, &arena, &assets, &count, NULL), 0);
    assert_int_equal(count, 0);
    assert_true(arena.used < (size_t)4096);
    filter.owner = fix.people[ALICE].id;
    assert_int_equal(ledger_view_assets(view, &filter, NULL, 100, &arena, &assets, &count, NULL),
                     0);
    assert_int_equal(count, 5);
    ledger_view_close(view);
    hm_arena_release(&arena);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, check_setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_cut_and_grown),         CASE(test_reordered),
        CASE(test_refusals_are_bounded),  CASE(test_results_stay_readable),
        CASE(test_unbonded_money_pays),   CASE(test_state_of_a_block_is_bounded),
        CASE(test_expiry_is_bounded),     CASE(test_state_of_a_transaction_is_bounded),
        CASE(test_map_is_seeded),         CASE(test_damaged_anchor),
        CASE(test_gift_to_a_new_account), CASE(test_filtered_pages_are_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
