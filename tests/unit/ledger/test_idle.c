/* A mesh in which nothing happens makes no blocks: an empty one changes nothing; and all that a later block depends on is
 * under the state root, so that nodes with another history stay equal. */
#include "cluster_check.h"
#include "ledger_facts.h"

/* --- what time ends --- */

static void test_due(void **state)
{
    struct ledger_outcome outcome;
    struct ledger_info before;
    uint8_t lease[32];

    (void)state;
    assert_int_equal(check_offer(ALICE, 3600, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC), 0);
    memcpy(lease, good(BOB, op_allocate(&fix, cpu, 1, 1000, MINUTE_MS))->created[0].data, 32);
    assert_int_equal(cluster_empty(&fix, NULL), 0);
    before = check_info();
    assert_int_equal(cluster_empty(&fix, &outcome), 0);
    assert_false(outcome.changed);
    assert_int_equal(outcome.next_due_ms, before.next_due_ms);
    fix.next_ms = before.next_due_ms;
    assert_int_equal(cluster_empty(&fix, &outcome), 0);
    assert_true(outcome.changed);
    assert_int_equal(outcome.record->n_expired, 1);
    assert_memory_equal(outcome.record->expired[0].data, lease, 32);
    before = check_info();
    facts_are(&before);
    assert_int_equal(cluster_empty(&fix, &outcome), 0);
    assert_false(outcome.changed);
}

/* --- whatever happens between them, empty blocks change nothing --- */

static struct hm_random random_source;

static uint64_t draw(uint64_t below)
{
    return hm_random_u64(&random_source) % below;
}

/* Facts as an engine may give them: anybody absent, any round. */
static Hypermesh__EngineFacts *facts_draw(void)
{
    Hypermesh__EngineFacts *facts = cluster_facts(&fix, draw(1000000));
    uint8_t absent = (uint8_t)draw(256);

    facts->round = (uint32_t)draw(4);
    if (draw(2))
        facts->absent = fixture_keep(&fix, &absent, 1);
    return facts;
}

static struct ledger *twin; /* has the same state and another history; NULL: not yet */

static void twin_apply(const struct ledger_proposal *proposal, const struct ledger_outcome *wanted)
{
    struct ledger_outcome outcome;
    struct ledger_info ours;
    struct ledger_info its;

    if (!twin)
        return;
    if (ledger_finalize(twin, proposal, &outcome, &fix.error))
        fail_msg("twin: %s", fix.error.text);
    assert_memory_equal(outcome.state_root, wanted->state_root, 32);
    assert_int_equal(outcome.changed, wanted->changed);
    assert_memory_equal(outcome.item_charged, wanted->item_charged,
                        wanted->item_count * sizeof *wanted->item_charged);
    assert_int_equal(ledger_commit(twin, NULL), 0);
    ours = check_info();
    assert_int_equal(ledger_info(twin, &its, NULL), 0);
    assert_memory_equal(&ours, &its, sizeof ours);
}

static void both(const struct hm_slice *items, size_t count, struct ledger_outcome *out)
{
    struct ledger_proposal proposal;

    cluster_propose(&fix, facts_draw(), items, count, &proposal);
    if (ledger_finalize(fix.ledger, &proposal, out, &fix.error))
        fail_msg("%s", fix.error.text);
    assert_int_equal(ledger_commit(fix.ledger, NULL), 0);
    twin_apply(&proposal, out);
    fix.next_ms += FIXTURE_BLOCK_MS;
}

/* A store that has what a snapshot of the state brings and a few facts of the chain, and no history. */
static struct store *twin_open(void)
{
    static const unsigned tables[] = {LEDGER_TABLE_STATE, LEDGER_TABLE_LEAF, LEDGER_TABLE_PAGE,
                                      LEDGER_TABLE_META};
    const uint8_t swept = LEDGER_META_SWEPT;
    const uint8_t first = 0;
    struct store_txn *from;
    struct store_txn *to;
    struct store *store;

    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    assert_int_equal(store_begin_read(fix.store, &from, NULL), 0);
    assert_int_equal(store_begin_write(store, &to, NULL), 0);
    for (size_t i = 0; i < HM_COUNT_OF(tables); i++) {
        struct store_cursor *cursor;
        struct hm_slice value;
        struct hm_slice key;
        int rc;

        assert_int_equal(store_cursor_open(from, tables[i], &cursor, NULL), 0);
        rc = store_cursor_seek(cursor, hm_slice_of(&first, 1), &key, &value);
        for (; rc == 0; rc = store_cursor_next(cursor, &key, &value))
            assert_int_equal(store_put(to, tables[i], key, value, NULL), 0);
        store_cursor_close(cursor);
    }
    (void)store_delete(to, LEDGER_TABLE_META, hm_slice_of(&swept, 1), NULL);
    assert_int_equal(store_commit(to, NULL), 0);
    store_abort(from);
    assert_int_equal(ledger_open(store, &twin, &fix.error), 0);
    return store;
}

static void twin_close(struct store *store)
{
    ledger_close(HM_TAKE(twin));
    store_close(store);
}

static Hypermesh__Operation *op_draw(void)
{
    uint64_t revision = kv_state_now()->revision;
    char key[8];

    (void)snprintf(key, sizeof key, "k%u", (unsigned)draw(6));
    switch (draw(8)) {
    case 0:
        return op_transfer(&fix, DAVE, draw(1000));
    case 1:
        return op_kv_grant(&fix, 1 + draw(5), 1000 + draw(20000));
    case 2:
        return op_kv_put(&fix, key, "leased", 1 + draw(5));
    case 3:
        return op_kv_delete(&fix, key, NULL);
    case 4:
        return op_kv_compact(&fix, 1 + draw(revision + 1));
    case 5:
        return op_allocate(&fix, cpu, 1, 1 + (uint32_t)draw(1000), 1000 + draw(20000));
    default:
        return op_kv_put(&fix, key, "value", 0);
    }
}

static void busy_step(struct ledger_outcome *outcome)
{
    static const enum fixture_role who[] = {ALICE, BOB, CAROL, POOR};
    Hypermesh__Operation *op = op_draw();
    struct hm_slice tx = fixture_tx(&fix, who[draw(draw(8) ? 3 : 4)], &op, 1);
    struct hm_slice items[2] = {cluster_note(&fix, fix.next_ms), fixture_batch(&fix, &tx, 1)};

    both(items, 2, outcome);
    fixture_resync(&fix);
    if (outcome->item_charged[1] > 0)
        assert_true(outcome->changed);
}

static void empty_step(struct ledger_outcome *outcome)
{
    struct ledger_info before = check_info();
    struct ledger_info after;
    bool due;

    fix.next_ms += draw(3000);
    due = before.next_due_ms != 0 && before.next_due_ms <= fix.next_ms;
    if (draw(2)) {
        struct hm_slice note = cluster_note(&fix, fix.next_ms);

        both(&note, 1, outcome);
    } else {
        both(NULL, 0, outcome);
    }
    after = check_info();
    assert_int_equal(outcome->changed, due);
    if (!due) {
        assert_memory_equal(before.state_root, after.state_root, 32);
        assert_int_equal(before.base_fee, after.base_fee);
        assert_int_equal(before.next_due_ms, after.next_due_ms);
    }
}

static void run_seed(uint64_t seed, unsigned *quiet, unsigned *ended)
{
    struct hm_random_seeded seeded;
    struct store *store = NULL;
    struct ledger_outcome outcome;

    random_source = hm_random_seeded_source(&seeded, seed);
    assert_int_equal(fixture_restart(&fix), 0);
    assert_int_equal(check_offer(ALICE, 3600, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC), 0);
    for (unsigned step = 0; step < 120; step++) {
        bool busy = step > 0 && draw(3) == 0;

        if (step == 1 + seed % 90)
            store = twin_open();
        if (busy)
            busy_step(&outcome);
        else if (step == 0)
            both(NULL, 0, &outcome);
        else
            empty_step(&outcome);
        *quiet += !outcome.changed;
        *ended += step > 0 && !busy && outcome.changed;
        if (outcome.changed) {
            struct ledger_info info = check_info();

            facts_are(&info);
        }
        assert_int_equal(facts_now(&fix)->base_fee, check_info().base_fee);
        fixture_forget(&fix);
    }
    replays();
    twin_close(store);
}

static void test_empty_blocks(void **state)
{
    unsigned quiet = 0;
    unsigned ended = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++)
        run_seed(seed, &quiet, &ended);
    /* Runs in which something never happens show nothing about it. */
    assert_true(quiet > 200 && ended > 20);
}

/* --- history that nodes need not share --- */

#define LINES (3 * 64 * 64)

/* One key, written LINES times: more than one block erases. */
static void long_history(void)
{
    Hypermesh__Operation *ops[64];

    for (unsigned round = 0; round < 3; round++) {
        struct hm_slice txs[64];

        for (unsigned t = 0; t < 64; t++) {
            for (unsigned i = 0; i < 64; i++)
                ops[i] = op_kv_put(&fix, "s", "v", 0);
            txs[t] = fixture_tx(&fix, BOB, ops, 64);
        }
        assert_int_equal(fixture_block_txs(&fix, txs, 64), 0);
        assert_int_equal(fix.record->results[63]->code, 0);
        fixture_forget(&fix);
    }
}

static uint64_t log_lines(void)
{
    struct store_stats stats;

    assert_int_equal(store_stats(fix.store, &stats, NULL), 0);
    return stats.entries[LEDGER_TABLE_KV_LOG];
}

/* One node has the lines that a compaction gives up, the other never had them: their states stay the same. */
static void test_sweep_is_ones_own(void **state)
{
    struct hm_random_seeded seeded;
    struct ledger_outcome outcome;
    struct hm_slice items[2];
    Hypermesh__Operation *op;
    struct store *store;
    struct hm_slice tx;

    (void)state;
    random_source = hm_random_seeded_source(&seeded, 1);
    long_history();
    assert_int_equal(cluster_empty(&fix, NULL), 0);
    store = twin_open();
    op = op_kv_compact(&fix, LINES + 1);
    tx = fixture_tx(&fix, BOB, &op, 1);
    items[0] = cluster_note(&fix, fix.next_ms);
    items[1] = fixture_batch(&fix, &tx, 1);
    both(items, 2, &outcome);
    assert_int_equal(outcome.record->results[0]->code, 0);
    fixture_resync(&fix);
    assert_int_equal(kv_state_now()->compacted, LINES + 1);
    assert_int_equal(kv_state_now()->swept, LINES + 1);
    assert_int_equal(outcome.next_due_ms, 0); /* nobody need make a block for it */
    assert_true(log_lines() > 2);
    assert_int_equal(kv_past_rc(LINES), HM_ERANGE);
    /* The rest goes with the next block, which does not change the state. */
    both(NULL, 0, &outcome);
    assert_false(outcome.changed);
    assert_int_equal(log_lines(), 2);
    kv_value("s", LINES + 1, "v");
    /* And once more: what was swept is not looked at again. */
    op = op_kv_put(&fix, "s", "w", 0);
    tx = fixture_tx(&fix, BOB, &op, 1);
    items[0] = cluster_note(&fix, fix.next_ms);
    items[1] = fixture_batch(&fix, &tx, 1);
    both(items, 2, &outcome);
    fixture_resync(&fix);
    op = op_kv_compact(&fix, LINES + 2);
    tx = fixture_tx(&fix, BOB, &op, 1);
    items[0] = cluster_note(&fix, fix.next_ms);
    items[1] = fixture_batch(&fix, &tx, 1);
    both(items, 2, &outcome);
    assert_int_equal(log_lines(), 2);
    twin_close(store);
    replays();
}

/* What one node had begun to sweep goes on, and no block is due for it any more. */
static void test_sweep_passes_over(void **state)
{
    struct ledger_outcome outcome;

    (void)state;
    long_history();
    (void)kv_good(BOB, op_kv_compact(&fix, LINES + 1));
    assert_true(kv_state_now()->swept < LINES + 1);
    assert_int_not_equal(check_info().next_due_ms, 0);
    assert_int_equal(cluster_empty(&fix, &outcome), 0);
    assert_int_equal(kv_state_now()->swept, LINES + 1);
    assert_int_equal(check_info().next_due_ms, 0);
    assert_int_equal(log_lines(), 2);
    assert_int_equal(cluster_empty(&fix, &outcome), 0);
    assert_false(outcome.changed);
    replays();
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fees_setup, check_teardown)
#define KV(name)   cmocka_unit_test_setup_teardown(name, kv_setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_due),
        CASE(test_empty_blocks),
        KV(test_sweep_is_ones_own),
        KV(test_sweep_passes_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
