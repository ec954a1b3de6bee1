/* Blocks that an engine outside orders: what their header must say, what their outcome tells, since when there are any; and
 * that a chain with blocks of both kinds is one chain. */
#include "cluster_check.h"
#include "ledger_facts.h"

/* --- headers --- */

static void unfit(const struct ledger_proposal *proposal, const char *words)
{
    struct ledger_info before = check_info();
    struct ledger_info after;
    struct ledger_outcome outcome;
    struct hm_error error = {0};

    assert_int_equal(ledger_process(fix.ledger, proposal, NULL), HM_EINVAL);
    assert_int_equal(ledger_finalize(fix.ledger, proposal, &outcome, &error), HM_EINVAL);
    if (!strstr(error.text, words))
        fail_msg("\"%s\" does not hold \"%s\"", error.text, words);
    after = check_info();
    assert_memory_equal(&before, &after, sizeof after);
    assert_int_equal(ledger_commit(fix.ledger, NULL), HM_ECONFLICT);
}

/* The proposal with the header as it is after `change`. */
static void header_unfit(void (*change)(Hypermesh__BlockHeader *header), const char *words)
{
    struct ledger_proposal proposal;
    Hypermesh__BlockHeader *header;

    cluster_propose(&fix, NULL, NULL, 0, &proposal);
    assert_int_equal(WIRE_UNPACK(hypermesh__block_header, proposal.header, proposal.header.len,
                                 &fix.arena, &header, NULL),
                     0);
    change(header);
    proposal.header = fixture_pack(&fix, &header->base);
    proof_block_hash(proposal.header, proposal.hash);
    unfit(&proposal, words);
}

static void of_another_chain(Hypermesh__BlockHeader *header)
{
    header->chain_id = (char *)(uintptr_t)("test-2");
}

static void higher(Hypermesh__BlockHeader *header)
{
    header->height++;
}

static void later(Hypermesh__BlockHeader *header)
{
    header->time_ms++;
}

static void after_another(Hypermesh__BlockHeader *header)
{
    header->previous_hash.data[3] ^= 1;
}

static void on_another_state(Hypermesh__BlockHeader *header)
{
    header->previous_state_root.data[3] ^= 1;
}

static void short_hash(Hypermesh__BlockHeader *header)
{
    header->engine->hash.len = 31;
}

static void no_set(Hypermesh__BlockHeader *header)
{
    header->engine->next_validators_hash.len = 0;
}

static void long_proposer(Hypermesh__BlockHeader *header)
{
    header->engine->proposer = wire_bytes(header->engine->hash.data, 21);
}

static void crowd(Hypermesh__BlockHeader *header)
{
    static const uint8_t many[LEDGER_ABSENT_MAX_BYTES + 1];

    header->engine->absent = wire_bytes(many, sizeof many);
}

static void nobodys_fault(Hypermesh__BlockHeader *header)
{
    static Hypermesh__EngineFault fault;
    static Hypermesh__EngineFault *faults[] = {&fault};

    fault = (Hypermesh__EngineFault)HYPERMESH__ENGINE_FAULT__INIT;
    fault.kind = 1;
    fault.address = wire_bytes(header->engine->hash.data, 19);
    header->engine->faults = faults;
    header->engine->n_faults = 1;
}

static void engine_later(Hypermesh__BlockHeader *header)
{
    header->engine->bft_time_ms++;
}

static void test_headers(void **state)
{
    struct ledger_proposal proposal;

    (void)state;
    header_unfit(of_another_chain, "chain id");
    header_unfit(higher, "height or time");
    header_unfit(later, "height or time");
    header_unfit(after_another, "previous_hash");
    header_unfit(on_another_state, "previous_hash");
    header_unfit(short_hash, "32 bytes");
    header_unfit(no_set, "32 bytes");
    header_unfit(long_proposer, "20 bytes");
    header_unfit(crowd, "absent");
    header_unfit(nobodys_fault, "fault");
    header_unfit(engine_later, "time is not the one");
    cluster_propose(&fix, NULL, NULL, 0, &proposal);
    proposal.hash[0] ^= 1;
    unfit(&proposal, "hash is not the block's");
    cluster_propose(&fix, NULL, NULL, 0, &proposal);
    proposal.header = hm_slice_str("a header?");
    unfit(&proposal, "header");
    assert_int_equal(cluster_empty(&fix, NULL), 0);
}

/* Time is the note's; without one the engine's; and always after the last block's. */
static void test_time(void **state)
{
    struct hm_slice note = cluster_note(&fix, fix.next_ms);
    Hypermesh__EngineFacts *facts = cluster_facts(&fix, check_info().height + 1);
    struct ledger_proposal proposal;
    struct ledger_outcome outcome;

    (void)state;
    /* The engine's time lags: on an idle chain by as long as it was idle. */
    facts->bft_time_ms = fix.next_ms - 86000;
    cluster_propose(&fix, facts, NULL, 0, &proposal);
    unfit(&proposal, "time is not the one");
    cluster_propose(&fix, facts, &note, 1, &proposal);
    assert_int_equal(ledger_process(fix.ledger, &proposal, &fix.error), 0);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, &fix.error), 0);
    assert_int_equal(ledger_commit(fix.ledger, NULL), 0);
    assert_int_equal(check_info().time_ms, fix.next_ms);
    /* Without a note it stands still, and so the block is a millisecond later. */
    facts = cluster_facts(&fix, check_info().height + 1);
    facts->bft_time_ms = fix.next_ms - 85000;
    fix.next_ms++;
    cluster_propose(&fix, facts, NULL, 0, &proposal);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, &fix.error), 0);
    assert_int_equal(ledger_commit(fix.ledger, NULL), 0);
    assert_int_equal(check_info().time_ms, fix.next_ms);
}

/* --- items --- */

static struct hm_slice transfer_batch(enum fixture_role who, uint64_t amount, struct hm_slice *tx)
{
    Hypermesh__Operation *op = op_transfer(&fix, CAROL, amount);

    *tx = fixture_tx(&fix, who, &op, 1);
    return fixture_batch(&fix, tx, 1);
}

/* A note has no results, and everything about the transactions behind it is found as ever. */
static void test_note_before_batches(void **state)
{
    struct ledger_outcome outcome;
    struct hm_slice items[3];
    struct hm_slice txs[2];
    struct ledger_proof_case *that;
    struct ledger_event *events;
    struct ledger_view *view;
    const char *shows;
    struct hm_slice found;
    uint8_t digest[32];
    uint64_t height;
    uint32_t total;
    size_t count;

    (void)state;
    items[0] = transfer_batch(ALICE, 1, &txs[0]);
    items[1] = hm_slice_str("garbage");
    items[2] = transfer_batch(BOB, 2, &txs[1]);
    /* ledger_process would refuse the garbage; what a block holds all the same is stepped over. */
    struct hm_slice all[] = {cluster_note(&fix, fix.next_ms), items[0], items[1], items[2]};
    struct ledger_proposal proposal;

    cluster_propose(&fix, NULL, all, 4, &proposal);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, &fix.error), 0);
    assert_int_equal(ledger_commit(fix.ledger, NULL), 0);
    assert_true(outcome.changed);
    assert_int_equal(outcome.item_count, 4);
    assert_int_equal(outcome.item_charged[0], 0);
    assert_int_equal(outcome.item_charged[1], 1);
    assert_int_equal(outcome.item_charged[2], 0);
    assert_int_equal(outcome.item_charged[3], 1);
    assert_int_equal(outcome.record->n_results, 2);
    assert_int_equal(outcome.updates_count, 0);
    fixture_tx_digest(txs[1], digest);
    view = check_view();
    assert_int_equal(ledger_view_tx(view, digest, &fix.arena, &found, &height, NULL, NULL), 0);
    assert_true(hm_slice_equal(found, txs[1]));
    assert_int_equal(
        ledger_view_events(view, height, 0, 10, &fix.arena, &events, &count, &total, &fix.error),
        0);
    assert_int_equal(total, 2);
    assert_int_equal(events[1].op->transfer->amount, 2);
    assert_int_equal(ledger_proof_case_included(view, digest, &fix.arena, &that, &fix.error), 0);
    for (int kind = 0; kind < LEDGER_PROOF_COUNT; kind++)
        assert_int_equal(ledger_proof_case_check(that, (enum ledger_proof_kind)kind, &shows, NULL),
                         0);
    ledger_view_close(view);
}

/* A batch of which nothing is charged leaves no trace under the root, nor in the fee. */
static void test_uncharged(void **state)
{
    struct ledger_outcome outcome;
    struct ledger_info before;
    struct ledger_info after;
    struct hm_slice item;
    struct hm_slice tx;

    (void)state;
    assert_int_equal(cluster_empty(&fix, NULL), 0);
    item = transfer_batch(ALICE, 1, &tx);
    assert_int_equal(cluster_block(&fix, &item, 1, &outcome), 0);
    assert_int_equal(outcome.item_charged[1], 1);
    before = check_info();
    assert_int_equal(cluster_block(&fix, &item, 1, &outcome), 0);
    assert_int_equal(outcome.record->n_results, 1);
    assert_int_not_equal(outcome.record->results[0]->code, 0);
    assert_int_equal(outcome.item_charged[1], 0);
    assert_false(outcome.changed);
    after = check_info();
    assert_memory_equal(before.state_root, after.state_root, 32);
    assert_int_equal(before.base_fee, after.base_fee);
    /* Refused by a rule, but paid for: that counts. */
    assert_int_not_equal(
        cluster_do(&fix, ALICE, op_retire(&fix, fix.people[BOB].id), &outcome)->code, 0);
    assert_int_equal(outcome.item_charged[1], 1);
    assert_true(outcome.changed);
}

/* --- the first block --- */

static void test_first_block(void **state)
{
    struct ledger_info before = check_info();
    struct ledger_outcome outcome;
    struct ledger_info after;

    (void)state;
    assert_null(facts_now(&fix));
    assert_int_equal(era_now(), 0);
    assert_int_equal(cluster_empty(&fix, &outcome), 0);
    assert_true(outcome.changed);
    after = check_info();
    assert_int_equal(after.base_fee, before.base_fee);
    facts_are(&after);
    assert_int_equal(era_now(), after.height);
    assert_int_equal(cluster_empty(&fix, &outcome), 0);
    assert_false(outcome.changed);
    assert_int_equal(cluster_block(&fix, NULL, 0, &outcome), 0);
    assert_false(outcome.changed);
    facts_are(&after);
    assert_int_equal(era_now(), after.height);
}

/* One node's blocks in between change the fee and not the facts: the engine's next block says anew what they are. */
static void test_alone_in_between(void **state)
{
    struct ledger_outcome outcome;
    struct ledger_info info;

    (void)state;
    assert_int_equal(cluster_empty(&fix, NULL), 0);
    info = check_info();
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_true(check_info().base_fee < info.base_fee);
    facts_are(&info);
    assert_int_equal(cluster_empty(&fix, &outcome), 0);
    assert_true(outcome.changed);
    info = check_info();
    facts_are(&info);
    assert_int_equal(cluster_empty(&fix, &outcome), 0);
    assert_false(outcome.changed);
}

/* --- since when --- */

static void test_era(void **state)
{
    uint64_t next = check_info().height + 1;
    struct ledger_proposal proposal;
    struct ledger_outcome outcome;

    (void)state;
    assert_int_equal(era_now(), 0);
    assert_int_equal(ledger_era_set(fix.ledger, 0, NULL), HM_EINVAL);
    assert_int_equal(ledger_era_set(fix.ledger, next + 1, NULL), HM_EINVAL);
    fixture_propose(&fix, NULL, 0, &proposal);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, NULL), 0);
    assert_int_equal(ledger_era_set(fix.ledger, next, NULL), HM_ECONFLICT);
    ledger_abandon(fix.ledger);
    assert_int_equal(era_now(), 0);
    assert_int_equal(ledger_era_set(fix.ledger, next, NULL), 0);
    assert_int_equal(era_now(), next);
    /* It outlives the process. */
    ledger_close(HM_TAKE(fix.ledger));
    assert_int_equal(ledger_open(fix.store, &fix.ledger, &fix.error), 0);
    assert_int_equal(era_now(), next);
    assert_int_equal(cluster_empty(&fix, NULL), 0);
    assert_int_equal(cluster_empty(&fix, NULL), 0);
    assert_int_equal(era_now(), next);
    replays();
    /* Another engine takes the chain over: the era is said again, and it is the same chain. */
    assert_int_equal(ledger_era_set(fix.ledger, next + 2, NULL), 0);
    assert_int_equal(era_now(), next + 2);
    replays();
    assert_int_equal(cluster_empty(&fix, NULL), 0);
    replays();
}

/* --- one chain of both kinds --- */

static void meta_put(uint8_t name, const void *value, size_t len)
{
    struct store_txn *txn;

    assert_int_equal(store_begin_write(fix.store, &txn, NULL), 0);
    if (len > 0)
        assert_int_equal(
            store_put(txn, LEDGER_TABLE_META, hm_slice_of(&name, 1), hm_slice_of(value, len), NULL),
            0);
    else
        assert_int_equal(store_delete(txn, LEDGER_TABLE_META, hm_slice_of(&name, 1), NULL), 0);
    assert_int_equal(store_commit(txn, NULL), 0);
}

static void era_unfit(uint64_t era)
{
    uint8_t value[8];

    hm_put_be64(value, era);
    meta_put(LEDGER_META_ERA, value, era ? sizeof value : 0);
    assert_int_equal(replay_rc(), HM_ECORRUPT);
    assert_non_null(strstr(fix.error.text, "an engine orders it"));
}

static void test_mixed_replay(void **state)
{
    struct ledger_outcome outcome;
    uint64_t first;
    uint64_t last;
    uint8_t value[8];

    (void)state;
    (void)good(ALICE, op_transfer(&fix, BOB, 5));
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    first = check_info().height + 1;
    assert_int_equal(cluster_do(&fix, BOB, op_kv_put(&fix, "a", "1", 0), NULL)->code, 0);
    assert_int_equal(cluster_empty(&fix, NULL), 0);
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    (void)good(ALICE, op_transfer(&fix, BOB, 6));
    assert_int_equal(cluster_block(&fix, NULL, 0, &outcome), 0);
    assert_int_equal(cluster_do(&fix, BOB, op_kv_compact(&fix, 2), NULL)->code, 0);
    last = check_info().height;
    replays();
    /* The era must be one that the blocks have. */
    era_unfit(0);
    era_unfit(first - 1);
    era_unfit(last + 2);
    meta_put(LEDGER_META_ERA, "1234", 4);
    assert_int_equal(replay_rc(), HM_ECORRUPT);
    assert_int_equal(ledger_era(fix.ledger, &first, NULL), HM_ECORRUPT);
    hm_put_be64(value, last);
    meta_put(LEDGER_META_ERA, value, sizeof value);
    replays();
    /* What is beside the root is compared as well. */
    hm_put_be64(value, 1);
    meta_put(LEDGER_META_SWEPT, value, sizeof value);
    assert_int_equal(replay_rc(), HM_ECORRUPT);
    assert_non_null(strstr(fix.error.text, "meta table"));
}

/* A replay by other rules gives another root: the header decides by which. */
static void test_header_decides(void **state)
{
    struct ledger_proposal alone;
    struct ledger_proposal engine;
    struct ledger_outcome one;
    struct ledger_outcome other;

    (void)state;
    fixture_propose(&fix, NULL, 0, &alone);
    assert_int_equal(ledger_finalize(fix.ledger, &alone, &one, NULL), 0);
    assert_false(one.changed);
    ledger_abandon(fix.ledger);
    cluster_propose(&fix, NULL, NULL, 0, &engine);
    assert_int_equal(ledger_finalize(fix.ledger, &engine, &other, NULL), 0);
    assert_true(other.changed);
    assert_memory_not_equal(one.state_root, other.state_root, 32);
    ledger_abandon(fix.ledger);
    assert_int_equal(era_now(), 0); /* nothing of a dropped block stays */
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_null(facts_now(&fix));
}

/* --- damage and misfortune --- */

static void test_damaged_facts(void **state)
{
    const uint8_t key = LEDGER_KEY_CHAIN;
    const uint8_t swept = LEDGER_META_SWEPT;
    struct ledger_proposal proposal;
    struct ledger_outcome outcome;
    struct store_txn *txn;

    (void)state;
    assert_int_equal(cluster_empty(&fix, NULL), 0);
    assert_int_equal(store_begin_write(fix.store, &txn, NULL), 0);
    assert_int_equal(
        store_put(txn, LEDGER_TABLE_STATE, hm_slice_of(&key, 1), hm_slice_str("?"), NULL), 0);
    assert_int_equal(store_commit(txn, NULL), 0);
    cluster_propose(&fix, NULL, NULL, 0, &proposal);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, &fix.error), HM_ECORRUPT);
    /* A block that has more to write does not read them. */
    assert_int_equal(cluster_do(&fix, ALICE, op_transfer(&fix, BOB, 1), NULL)->code, 0);
    assert_int_equal(cluster_empty(&fix, NULL), 0);
    meta_put(swept, "12", 2);
    cluster_propose(&fix, NULL, NULL, 0, &proposal);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, &fix.error), HM_ECORRUPT);
}

static void test_misfortune(void **state)
{
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 5);
    struct hm_slice tx = fixture_tx(&fix, ALICE, &op, 1);
    struct hm_slice items[2] = {cluster_note(&fix, fix.next_ms), fixture_batch(&fix, &tx, 1)};
    struct ledger_info before = check_info();
    struct ledger_proposal proposal;
    struct ledger_outcome outcome;
    struct ledger_info after;
    uint8_t root[32];
    unsigned long nth = 0;
    int rc;

    (void)state;
    cluster_propose(&fix, NULL, items, 2, &proposal);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, NULL), 0);
    memcpy(root, outcome.state_root, 32);
    ledger_abandon(fix.ledger);
    for (unsigned kind = 0; kind < 2; kind++) {
        nth = 0;
        do {
            assert_true(++nth < 10000);
            if (kind == 0)
                store_memory_fail_at(fix.store, nth, 0);
            else
                hm_alloc_fail_at(nth);
            rc = ledger_finalize(fix.ledger, &proposal, &outcome, &fix.error);
            store_memory_fail_at(fix.store, 0, 0);
            hm_alloc_fail_at(0);
            after = check_info();
            assert_memory_equal(&before, &after, sizeof after);
            if (rc)
                assert_int_equal(rc, kind == 0 ? HM_EIO : HM_ENOMEM);
        } while (rc);
        assert_true(nth > 2);
        assert_memory_equal(outcome.state_root, root, 32);
        ledger_abandon(fix.ledger);
    }
    nth = 0;
    do {
        hm_alloc_fail_at(++nth);
        rc = ledger_process(fix.ledger, &proposal, &fix.error);
        hm_alloc_fail_at(0);
        assert_true(rc == 0 || rc == HM_ENOMEM);
    } while (rc);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, NULL), 0);
    assert_int_equal(ledger_commit(fix.ledger, NULL), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fees_setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_headers),
        CASE(test_time),
        CASE(test_uncharged),
        CASE(test_note_before_batches),
        CASE(test_first_block),
        CASE(test_alone_in_between),
        CASE(test_era),
        CASE(test_mixed_replay),
        CASE(test_header_decides),
        CASE(test_damaged_facts),
        CASE(test_misfortune),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
