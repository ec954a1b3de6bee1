/* The chain: genesis and what it refuses, proposals that do not fit, replay, and that damage is found. */
#include <stdlib.h>

#include "ledger_check.h"

static int setup_bare(void **state)
{
    static const struct fixture_options options = {.bare = true};

    (void)state;
    return fixture_init(&fix, &options);
}

/* --- genesis --- */

static void genesis_refused(const Hypermesh__Genesis *genesis, const char *words)
{
    struct hm_error error = {0};
    struct ledger *ledger;
    struct store *store;

    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    assert_int_equal(ledger_open(store, &ledger, NULL), 0);
    assert_int_equal(ledger_init_chain(ledger, fixture_pack(&fix, &genesis->base), &error),
                     HM_EINVAL);
    if (!strstr(error.text, words))
        fail_msg("\"%s\" does not hold \"%s\"", error.text, words);
    assert_int_equal(ledger_info(ledger, &(struct ledger_info){0}, NULL), HM_ENOTFOUND);
    ledger_close(ledger);
    store_close(store);
}

static void test_genesis(void **state)
{
    struct hm_slice bytes = fixture_genesis(&fix);
    struct hm_error error = {0};
    struct ledger_info info = check_info();
    Hypermesh__Genesis *genesis;
    uint8_t hash[32];

    (void)state;
    assert_string_equal(info.chain_id, FIXTURE_CHAIN);
    assert_int_equal(info.height, 0);
    crypto_hash(bytes.data, bytes.len, hash);
    assert_memory_equal(info.block_hash, hash, 32);
    assert_int_equal(fixture_account(&fix, ALICE)->hyper, FIXTURE_SUPPLY / 10 * 4);
    assert_int_equal(fixture_account(&fix, POOR)->hyper, 0);
    assert_int_equal(ledger_init_chain(fix.ledger, bytes, &error), HM_EEXIST);
    assert_non_null(strstr(error.text, "test-1"));

#define GENESIS()     \
    assert_int_equal( \
        WIRE_UNPACK(hypermesh__genesis, bytes, bytes.len, &fix.arena, &genesis, NULL), 0)
    GENESIS();
    genesis->chain_id = (char *)(uintptr_t)("Test");
    genesis_refused(genesis, "chain_id");
    GENESIS();
    genesis->time_ms = 0;
    genesis_refused(genesis, "time_ms");
    GENESIS();
    genesis->supply = 0;
    genesis_refused(genesis, "supply");
    GENESIS();
    genesis->shares[1]->percent++;
    genesis_refused(genesis, "add up to 101");
    GENESIS();
    genesis->shares[1]->account.len = 31;
    genesis_refused(genesis, "shares[1].account");
    GENESIS();
    genesis->n_shares = 0;
    genesis_refused(genesis, "shares");
    GENESIS();
    genesis->shares[1]->percent = 101;
    genesis_refused(genesis, "shares[1].percent is 101");
    GENESIS();
    genesis->params = NULL;
    genesis_refused(genesis, "params are missing");
    GENESIS();
    genesis->params->work_base_bits = 41;
    genesis_refused(genesis, "params.work_base_bits is 41");
    GENESIS();
    genesis->params->block_weight_max = 1;
    genesis_refused(genesis, "params.block_weight_max");
    GENESIS();
    genesis->params->space_openings = 0;
    genesis_refused(genesis, "params.space_openings");
}

/* Who may write what from the first block on. */
static void test_genesis_rules(void **state)
{
    struct hm_slice bytes = fixture_genesis(&fix);
    Hypermesh__Genesis *genesis;
    Hypermesh__KvRule *first;

    (void)state;
    GENESIS();
    genesis->kv_rules[1]->owner.len = 0;
    genesis->kv_rules[1]->n_readers = 0; /* a removal, were it an operation */
    genesis_refused(genesis, "kv_rules[1] has no owner");
    GENESIS();
    genesis->kv_rules[1]->owner.len = 31;
    genesis_refused(genesis, "kv_rules[1]");
    GENESIS();
    first = genesis->kv_rules[0];
    genesis->kv_rules[0] = genesis->kv_rules[1];
    genesis->kv_rules[1] = first;
    genesis_refused(genesis, "kv_rules[1] is not after the one before it");
    genesis->kv_rules[0] = first; /* the same twice */
    genesis_refused(genesis, "kv_rules[1] is not after the one before it");
}

/* What a genesis of an older version lacks is named. */
static void test_genesis_params(void **state)
{
    struct hm_slice bytes = fixture_genesis(&fix);
    uint32_t rates[] = {0, 0, 0, 0, 1000001};
    Hypermesh__Genesis *genesis;

    (void)state;
#define WRONG(field, value)                         \
    do {                                            \
        GENESIS();                                  \
        genesis->params->field = value;             \
        genesis_refused(genesis, "params." #field); \
    } while (0)
    WRONG(challenge_deposit, 0);
    WRONG(challenge_window_ms, 999);
    WRONG(challenge_openings, 0);
    WRONG(challenge_openings, PROOF_OPENINGS_MAX + 1);
    WRONG(challenge_slash_ppm, 0);
    WRONG(challenge_slash_ppm, 1000001);
    WRONG(challenge_pay_ppm, 1000001);
    WRONG(challenge_burn_ppm, 0);
    WRONG(challenge_burn_ppm, 1000001);
    WRONG(max_open_challenges, 0);
    WRONG(max_open_challenges, 257);
    WRONG(result_window_ms, 0);
    WRONG(max_networks, 0);
    WRONG(max_members, 1);
    WRONG(kv_max_leases, 0);
    GENESIS();
    genesis->params->n_level_reward_ppm = 0;
    genesis_refused(genesis, "params.level_reward_ppm has 0 rates");
    GENESIS();
    genesis->params->level_reward_ppm = rates;
    genesis_refused(genesis, "params.level_reward_ppm is 1000001");
}

/* A chain that lacks a parameter which the rules need is not opened. */
static void test_old_chain(void **state)
{
    const uint8_t key = LEDGER_KEY_PARAMS;
    struct hm_error error = {0};
    struct store_txn *txn;
    struct ledger *ledger;

    (void)state;
    fix.params.n_level_reward_ppm = 0;
    assert_int_equal(store_begin_write(fix.store, &txn, NULL), 0);
    assert_int_equal(store_put(txn, LEDGER_TABLE_STATE, hm_slice_of(&key, 1),
                               fixture_pack(&fix, &fix.params.base), NULL),
                     0);
    assert_int_equal(store_commit(txn, NULL), 0);
    assert_int_equal(ledger_open(fix.store, &ledger, &error), HM_EUNSUPPORTED);
    assert_non_null(strstr(error.text, "another version"));
    assert_non_null(strstr(error.text, "level_reward_ppm"));
}

/* Odd supplies: rounding loses nothing. */
static void test_genesis_rounding(void **state)
{
    struct hm_slice bytes = fixture_genesis(&fix);
    Hypermesh__Genesis *genesis;
    struct ledger *ledger;
    struct ledger_view *view;
    struct store *store;
    uint64_t sum = 0;

    (void)state;
    GENESIS();
    genesis->supply = UINT64_MAX;
    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    assert_int_equal(ledger_open(store, &ledger, NULL), 0);
    assert_int_equal(ledger_init_chain(ledger, fixture_pack(&fix, &genesis->base), NULL), 0);
    assert_int_equal(ledger_view_open(ledger, &view, NULL), 0);
    for (size_t i = 0; i < FIXTURE_PEOPLE; i++) {
        Hypermesh__Account *account;

        assert_int_equal(ledger_view_account(view, fix.people[i].id, &fix.arena, &account, NULL),
                         0);
        assert_true(hm_add_u64(sum, account->hyper, &sum));
    }
    assert_true(sum == UINT64_MAX);
    ledger_view_close(view);
    ledger_close(ledger);
    store_close(store);
}

/* --- proposals --- */

static void proposal_refused(struct ledger_proposal *proposal, int code, const char *words)
{
    struct ledger_outcome outcome;
    struct hm_error error = {0};

    assert_int_equal(ledger_finalize(fix.ledger, proposal, &outcome, &error), code);
    assert_non_null(strstr(error.text, words));
    assert_int_equal(ledger_process(fix.ledger, proposal, &error), code);
    assert_int_equal(ledger_commit(fix.ledger, &error), HM_ECONFLICT);
}

static void test_proposals(void **state)
{
    struct ledger_proposal proposal;
    struct ledger_outcome outcome;
    struct hm_slice garbage = hm_slice_str("garbage");

    (void)state;
    fixture_propose(&fix, NULL, 0, &proposal);
    proposal.height++;
    proposal_refused(&proposal, HM_EINVAL, "does not follow block");
    fixture_propose(&fix, NULL, 0, &proposal);
    proposal.time_ms -= FIXTURE_BLOCK_MS;
    proposal_refused(&proposal, HM_EINVAL, "must be after");
    fixture_propose(&fix, NULL, 0, &proposal);
    proposal.count = LEDGER_BLOCK_MAX_ITEMS + 1;
    proposal_refused(&proposal, HM_ELIMIT, "items");
    fixture_propose(&fix, &garbage, 1, &proposal);
    assert_int_equal(ledger_process(fix.ledger, &proposal, &fix.error), HM_EPARSE);
    assert_non_null(strstr(fix.error.text, "item 0"));
    /* Two blocks at once; dropping one; doing it after all. */
    fixture_propose(&fix, NULL, 0, &proposal);
    assert_int_equal(ledger_process(fix.ledger, &proposal, &fix.error), 0);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, NULL), 0);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, NULL), HM_ECONFLICT);
    ledger_abandon(fix.ledger);
    assert_int_equal(ledger_commit(fix.ledger, NULL), HM_ECONFLICT);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, NULL), 0);
    assert_int_equal(ledger_commit(fix.ledger, NULL), 0);
}

/* Nothing of a block shows before its commit, and nothing of an abandoned one ever. */
static void test_abandon(void **state)
{
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 5);
    struct hm_slice tx = fixture_tx(&fix, ALICE, &op, 1);
    struct hm_slice item = fixture_batch(&fix, &tx, 1);
    uint64_t bob = fixture_account(&fix, BOB)->hyper;
    struct ledger_proposal proposal;
    struct ledger_outcome first;
    struct ledger_outcome second;

    (void)state;
    fixture_propose(&fix, &item, 1, &proposal);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &first, NULL), 0);
    assert_int_equal(first.record->n_results, 1);
    assert_int_equal(first.record->results[0]->code, 0);
    assert_int_equal(fixture_account(&fix, BOB)->hyper, bob);
    ledger_abandon(fix.ledger);
    assert_int_equal(fixture_account(&fix, BOB)->hyper, bob);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &second, NULL), 0);
    assert_memory_equal(first.state_root, second.state_root, 32);
    assert_int_equal(ledger_commit(fix.ledger, NULL), 0);
    assert_int_equal(fixture_account(&fix, BOB)->hyper, bob + 5);
}

/* --- replay --- */

/* A few blocks of everything. */
static void busy_chain(void)
{
    uint8_t asset[1][32];
    uint8_t lease[32];
    Hypermesh__TxResult *result;

    result = fixture_do(
        &fix, ALICE,
        op_register(&fix, "cpu0", 36 * FIXTURE_HYPER, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC));
    memcpy(asset[0], result->created[0].data, 32);
    result = fixture_do(&fix, BOB, op_allocate(&fix, asset, 1, 1000, 5000));
    memcpy(lease, result->created[0].data, 32);
    assert_int_equal(fixture_do(&fix, ALICE, op_settle(&fix, lease))->code, 0);
    assert_int_equal(fixture_do(&fix, BOB, op_allocate(&fix, asset, 1, 1000, 5000))->code, 0);
    assert_int_equal(fixture_do(&fix, BOB, op_allocate(&fix, asset, 1, 1000, 5000000))->code, 0);
    assert_int_equal(fixture_do(&fix, BOB, op_transfer(&fix, CAROL, UINT64_MAX))->code, HM_EFUNDS);
    assert_int_equal(fixture_do(&fix, BOB, op_unbond(&fix, 7))->code, 0);
    fix.next_ms += 60000;
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(fixture_do(&fix, BOB, op_network(&fix, "net", true))->code, 0);
    assert_int_equal(fixture_do(&fix, BOB, op_challenge(&fix, NODE, NULL))->code, 0);
    fix.next_ms += fix.params.challenge_window_ms;
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(fix.record->n_silent, 1);
}

static int replay(uint64_t *blocks, uint64_t *txs)
{
    struct ledger *scratch;
    struct store *store;
    int rc;

    fix.error.text[0] = '\0';
    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    assert_int_equal(ledger_open(store, &scratch, NULL), 0);
    rc = ledger_replay(fix.ledger, scratch, NULL, NULL, blocks, txs, &fix.error);
    ledger_close(scratch);
    store_close(store);
    return rc;
}

static void test_replay(void **state)
{
    struct ledger_info info;
    uint64_t blocks = 0;
    uint64_t txs = 0;

    (void)state;
    busy_chain();
    info = check_info();
    assert_int_equal(replay(&blocks, &txs), 0);
    assert_int_equal(blocks, info.height);
    assert_int_equal(txs, 7 + 9);
}

/* Changes one stored value; a replay must see it. */
static void damage(unsigned table, struct hm_slice key, size_t at, const char *words)
{
    struct store_txn *txn;
    struct hm_slice value;
    uint8_t *copy;

    assert_int_equal(store_begin_write(fix.store, &txn, NULL), 0);
    assert_int_equal(store_get(txn, table, key, &value), 0);
    assert_true(value.len > at);
    copy = hm_arena_dup(&fix.arena, value.data, value.len);
    copy[at] ^= 1;
    assert_int_equal(store_put(txn, table, key, hm_slice_of(copy, value.len), NULL), 0);
    assert_int_equal(store_commit(txn, NULL), 0);
    assert_int_equal(replay(NULL, NULL), HM_ECORRUPT);
    if (!strstr(fix.error.text, words))
        fail_msg("\"%s\" does not hold \"%s\"", fix.error.text, words);
    copy[at] ^= 1;
    assert_int_equal(store_begin_write(fix.store, &txn, NULL), 0);
    assert_int_equal(store_put(txn, table, key, hm_slice_of(copy, value.len), NULL), 0);
    assert_int_equal(store_commit(txn, NULL), 0);
}

/* Says that the signer of a block's first transaction had another bond than he had; gives its digest. */
static struct hm_slice facts_damage(uint64_t height)
{
    Hypermesh__BlockRecord *record;
    struct ledger_view *view;
    struct store_txn *txn;
    struct hm_slice packed;
    struct hm_slice block;
    uint8_t key[8];

    hm_put_be64(key, height);
    view = check_view();
    assert_int_equal(ledger_view_block(view, height, &fix.arena, &block, &record, NULL), 0);
    ledger_view_close(view);
    for (int turn = 0; turn < 2; turn++) {
        record->results[0]->facts->bonded ^= 1;
        packed = fixture_pack(&fix, &record->base);
        assert_int_equal(store_begin_write(fix.store, &txn, NULL), 0);
        assert_int_equal(store_put(txn, LEDGER_TABLE_RECORD, hm_slice_of(key, 8), packed, NULL), 0);
        assert_int_equal(store_commit(txn, NULL), 0);
        assert_int_equal(replay(NULL, NULL), turn == 0 ? HM_ECORRUPT : 0);
        if (turn == 0 && !strstr(fix.error.text, "block 3: applying it again gives other results"))
            fail_msg("%s", fix.error.text);
    }
    return wire_slice(record->results[0]->digest);
}

static void test_replay_damage(void **state)
{
    uint8_t height[8];
    uint8_t account[33] = {LEDGER_KEY_ACCOUNT};
    uint8_t history[40] = {0}; /* the asset's first event */
    uint8_t hash[9] = {0}; /* of block 0 */
    const uint8_t supply = LEDGER_KEY_SUPPLY;
    struct ledger_view *view;
    struct hm_slice digest;
    struct hm_slice block;
    struct hm_slice key;

    (void)state;
    busy_chain();
    hm_put_be64(height, 3);
    key = hm_slice_of(height, sizeof height);
    view = check_view();
    assert_int_equal(ledger_view_block(view, 3, &fix.arena, &block, NULL, NULL), 0);
    ledger_view_close(view);
    damage(LEDGER_TABLE_BLOCK, key, block.len - 5, "block 3: its items");
    damage(LEDGER_TABLE_BLOCK, key, 12, "block 3: its hash");
    /* In a record: hash (bytes 2..33), then the root. */
    damage(LEDGER_TABLE_RECORD, key, 10, "block 3: its hash");
    damage(LEDGER_TABLE_RECORD, key, 40, "block 3: applying it again gives another state root");
    /* What a result's proofs are shown from, and the indexes that lead to it. */
    digest = facts_damage(3);
    fixture_asset_id(&fix, ALICE, "cpu0", history);
    damage(LEDGER_TABLE_HISTORY, hm_slice_of(history, sizeof history), 1, "history table");
    damage(LEDGER_TABLE_TX, digest, 1, "tx table");
    hash[0] = 'h';
    damage(LEDGER_TABLE_META, hm_slice_of(hash, sizeof hash), 3, "meta table");
    memcpy(account + 1, fix.people[CAROL].id, 32);
    damage(LEDGER_TABLE_STATE, hm_slice_of(account, sizeof account), 3, "state table");
    damage(LEDGER_TABLE_STATE, hm_slice_of(&supply, 1), 3, "state table");
    assert_int_equal(replay(NULL, NULL), 0);
}

/* An entry of the index that is gone, or too many. */
static void test_replay_index(void **state)
{
    const uint8_t more[65] = {'s', 1};
    const uint8_t first = 0;
    struct store_cursor *cursor;
    struct store_txn *txn;
    struct hm_slice value;
    struct hm_slice key;
    uint8_t gone[65];

    (void)state;
    busy_chain();
    assert_int_equal(store_begin_write(fix.store, &txn, NULL), 0);
    assert_int_equal(store_cursor_open(txn, LEDGER_TABLE_INDEX, &cursor, NULL), 0);
    assert_int_equal(store_cursor_seek(cursor, hm_slice_of(&first, 1), &key, &value), 0);
    assert_int_equal(key.len, sizeof gone);
    memcpy(gone, key.data, sizeof gone);
    store_cursor_close(cursor);
    assert_int_equal(store_delete(txn, LEDGER_TABLE_INDEX, hm_slice_of(gone, sizeof gone), NULL),
                     0);
    assert_int_equal(store_commit(txn, NULL), 0);
    assert_int_equal(replay(NULL, NULL), HM_ECORRUPT);
    assert_non_null(strstr(fix.error.text, "index table"));
    assert_int_equal(store_begin_write(fix.store, &txn, NULL), 0);
    assert_int_equal(store_put(txn, LEDGER_TABLE_INDEX, hm_slice_of(gone, sizeof gone),
                               (struct hm_slice){0}, NULL),
                     0);
    assert_int_equal(store_commit(txn, NULL), 0);
    assert_int_equal(replay(NULL, NULL), 0);
    assert_int_equal(store_begin_write(fix.store, &txn, NULL), 0);
    assert_int_equal(store_put(txn, LEDGER_TABLE_INDEX, hm_slice_of(more, sizeof more),
                               (struct hm_slice){0}, NULL),
                     0);
    assert_int_equal(store_commit(txn, NULL), 0);
    assert_int_equal(replay(NULL, NULL), HM_ECORRUPT);
    assert_non_null(strstr(fix.error.text, "index table"));
}

static int stop_at_two(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    return done == 2 && total > 2;
}

static void test_replay_cancelled(void **state)
{
    struct ledger *scratch;
    struct store *store;

    (void)state;
    busy_chain();
    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    assert_int_equal(ledger_open(store, &scratch, NULL), 0);
    assert_int_equal(ledger_replay(fix.ledger, scratch, stop_at_two, NULL, NULL, NULL, NULL),
                     HM_ECANCELLED);
    ledger_close(scratch);
    store_close(store);
}

/* --- on disk --- */

/* The same blocks give the same roots through LMDB, and what was committed is there after reopening. */
static void test_lmdb(void **state)
{
    struct fixture_options options = {0};
    struct fixture disk;
    struct ledger_info memory_info;
    struct ledger_info disk_info;
    char folder[] = "/tmp/hm-ledger-db-XXXXXX";

    (void)state;
    assert_non_null(mkdtemp(folder));
    options.lmdb_path = folder;
    assert_int_equal(fixture_init(&disk, &options), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(fixture_do(&fix, ALICE, op_transfer(&fix, BOB, 5))->code, 0);
        assert_int_equal(fixture_do(&disk, ALICE, op_transfer(&disk, BOB, 5))->code, 0);
    }
    memory_info = check_info();
    assert_int_equal(ledger_info(disk.ledger, &disk_info, NULL), 0);
    assert_memory_equal(memory_info.state_root, disk_info.state_root, 32);
    assert_memory_equal(memory_info.block_hash, disk_info.block_hash, 32);
    ledger_close(disk.ledger);
    store_close(disk.store);
    disk.ledger = NULL;
    disk.store = NULL;
    assert_int_equal(store_open_lmdb(folder, fixture_store_options(), &disk.store, NULL), 0);
    assert_int_equal(ledger_open(disk.store, &disk.ledger, NULL), 0);
    assert_int_equal(ledger_info(disk.ledger, &memory_info, NULL), 0);
    assert_memory_equal(&memory_info, &disk_info, sizeof disk_info);
    assert_int_equal(fixture_do(&disk, ALICE, op_transfer(&disk, BOB, 5))->code, 0);
    fixture_release(&disk);
    assert_int_equal(hm_remove_tree(folder, NULL), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, check_setup, check_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_genesis, setup_bare, check_teardown),
        cmocka_unit_test_setup_teardown(test_genesis_rounding, setup_bare, check_teardown),
        cmocka_unit_test_setup_teardown(test_genesis_rules, setup_bare, check_teardown),
        cmocka_unit_test_setup_teardown(test_genesis_params, setup_bare, check_teardown),
        cmocka_unit_test_setup_teardown(test_old_chain, setup_bare, check_teardown),
        CASE(test_proposals),
        CASE(test_abandon),
        CASE(test_replay),
        CASE(test_replay_damage),
        CASE(test_replay_index),
        CASE(test_replay_cancelled),
        CASE(test_lmdb),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
