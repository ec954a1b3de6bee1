/* A store that was damaged, and memory that is missing: each read says so or answers rightly, a block is refused
 * whole, and the check of the whole chain finds every damage. */
#include "ledger_kv_ops.h"
#include "stake_ops.h"
#include "ledger_private.h"
#include "ledger_reads.h"
#include "ledger_supply.h"
#include "ledger_kv.h"

#define ENTRIES_MAX 1024

static int setup(void **state)
{
    if (check_setup(state))
        return -1;
    reads_world();
    return 0;
}

/* --- memory --- */

/* As much memory as there is, less and less of it missing. */
static void test_reads_without_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < reads_count; i++) {
        struct hm_error error = {0};
        size_t limit = 1; /* 0 would be the usual */
        size_t failed = 0;
        int rc = HM_ENOMEM;

        while (rc) {
            struct ledger_view *view = check_view();
            struct hm_arena arena;

            hm_arena_init(&arena, limit);
            rc = reads[i].ask(view, &arena, &error);
            hm_arena_release(&arena);
            ledger_view_close(view);
            if (rc && rc != HM_ENOMEM && rc != HM_ELIMIT && rc != HM_ECORRUPT)
                fail_msg("%s in %zu bytes: %d %s", reads[i].name, limit, rc, error.text);
            failed += rc != 0;
            limit += limit / 16 + 16;
        }
        if (failed == 0 && strcmp(reads[i].name, "signing") != 0 &&
            strcmp(reads[i].name, "genesis") != 0)
            fail_msg("%s needs no memory", reads[i].name);
    }
}

static void test_views_without_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < reads_count; i++) {
        struct hm_error error = {0};
        unsigned long nth = 0;
        int rc;

        do {
            struct ledger_view *view;
            struct hm_arena arena;

            hm_arena_init(&arena, 0);
            hm_alloc_fail_at(++nth);
            rc = ledger_view_open(fix.ledger, &view, &error);
            if (rc == 0) {
                rc = reads[i].ask(view, &arena, &error);
                ledger_view_close(view);
            }
            hm_alloc_fail_at(0);
            hm_arena_release(&arena);
            if (rc && rc != HM_ENOMEM)
                fail_msg("%s without allocation %lu: %d %s", reads[i].name, nth, rc, error.text);
        } while (rc && nth < 1000);
        assert_int_equal(rc, 0);
    }
}

/* What unfolds to more than one request may use is no damage. */
static void test_views_past_the_limit(void **state)
{
    unsigned past = 0;

    (void)state;
    for (size_t i = 0; i < reads_count; i++) {
        for (size_t limit = 1; limit < 4096; limit *= 2) {
            struct hm_error error = {0};
            struct ledger_view *view;
            struct hm_arena arena;

            hm_arena_init(&arena, limit);
            assert_int_equal(ledger_view_open(fix.ledger, &view, &error), 0);
            int rc = reads[i].ask(view, &arena, &error);
            ledger_view_close(view);
            hm_arena_release(&arena);
            past += rc == HM_ELIMIT;
            if (rc && rc != HM_ENOMEM && rc != HM_ELIMIT)
                fail_msg("%s with %zu bytes: %d %s", reads[i].name, limit, rc, error.text);
        }
    }
    assert_true(past > 0);
}

/* --- damage --- */

struct entry {
    struct hm_slice key;
    struct hm_slice value;
};

/* What the table holds, copied. */
static size_t entries_of(unsigned table, struct entry entries[ENTRIES_MAX])
{
    const uint8_t first = 0;
    struct store_cursor *cursor;
    struct store_txn *txn;
    struct entry at;
    size_t count = 0;
    int rc;

    assert_int_equal(store_begin_read(fix.store, &txn, NULL), 0);
    assert_int_equal(store_cursor_open(txn, table, &cursor, NULL), 0);
    for (rc = store_cursor_seek(cursor, hm_slice_of(&first, 1), &at.key, &at.value); rc == 0;
         rc = store_cursor_next(cursor, &at.key, &at.value)) {
        assert_true(count < ENTRIES_MAX);
        entries[count].key = wire_slice(fixture_keep(&fix, at.key.data, at.key.len));
        entries[count++].value = wire_slice(fixture_keep(&fix, at.value.data, at.value.len));
    }
    store_cursor_close(cursor);
    store_abort(txn);
    return count;
}

/* What may be said of a damaged store. EINTERNAL also when an answer is short of what is missing; EPERM, ERANGE and
 * the proofs' codes when a rule, a revision or a plot is gone. */
static bool tells_damage(int rc)
{
    static const int codes[] = {HM_ECORRUPT, HM_ENOTFOUND, HM_EINTERNAL, HM_EPERM, HM_ERANGE};

    for (size_t i = 0; i < HM_COUNT_OF(codes); i++) {
        if (rc == codes[i])
            return true;
    }
    return rc <= HM_EPROOF_SPACE && rc >= HM_EPROOF_TIME;
}

/* How many reads notice. */
static size_t all_read(const char *what)
{
    struct hm_error error = {0};
    struct ledger_view *view;
    size_t failed = 0;
    int rc = ledger_view_open(fix.ledger, &view, &error);

    if (rc) {
        if (!tells_damage(rc))
            fail_msg("view, %s: %d %s", what, rc, error.text);
        return 1;
    }
    for (size_t i = 0; i < reads_count; i++) {
        struct hm_arena arena;

        hm_arena_init(&arena, 0);
        error = (struct hm_error){0};
        rc = reads[i].ask(view, &arena, &error);
        hm_arena_release(&arena);
        if (rc && !tells_damage(rc))
            fail_msg("%s, %s: %d %s", reads[i].name, what, rc, error.text);
        failed += rc != 0;
    }
    ledger_view_close(view);
    return failed;
}

/* Everything that the end of a replay adds up. */
static int audit_now(void)
{
    struct store_txn *txn;
    int rc;

    assert_int_equal(store_begin_read(fix.store, &txn, NULL), 0);
    rc = ledger_supply_audit(txn, NULL);
    if (rc == 0)
        rc = ledger_kv_audit(txn, NULL);
    store_abort(txn);
    return rc;
}

static void damage(unsigned table, size_t *noticed, size_t *count)
{
    static const uint8_t rubbish[] = {0xff, 0xff, 0xff};
    static struct entry entries[ENTRIES_MAX];
    size_t entry_count = entries_of(table, entries);

    *noticed = 0;
    *count = 0;
    for (size_t i = 0; i < entry_count; i++) {
        const struct entry *entry = &entries[i];

        if (entry->value.len == 0) /* it says something by being there */
            continue;
        reads_store_put(table, entry->key, hm_slice_of(rubbish, sizeof rubbish));
        *noticed += all_read("rubbish") > 0;
        reads_store_put(table, entry->key, hm_slice_of(entry->value.data, entry->value.len / 2));
        (void)all_read("cut");
        reads_store_put(table, entry->key, (struct hm_slice){0});
        (void)all_read("gone");
        reads_store_put(table, entry->key, entry->value);
        ++*count;
    }
    assert_int_equal(all_read("mended"), 0);
}

static void test_damaged_state(void **state)
{
    size_t noticed;
    size_t count;

    (void)state;
    assert_int_equal(audit_now(), 0);
    damage(LEDGER_TABLE_STATE, &noticed, &count);
    assert_true(count > 30);
    assert_true(noticed > 3 * count / 4); /* not all is asked for */
}

static void test_damaged_rest(void **state)
{
    static const unsigned tables[] = {LEDGER_TABLE_META, LEDGER_TABLE_BLOCK,   LEDGER_TABLE_RECORD,
                                      LEDGER_TABLE_TX,   LEDGER_TABLE_HISTORY, LEDGER_TABLE_KV_LOG};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(tables); i++) {
        size_t noticed;
        size_t count;

        damage(tables[i], &noticed, &count);
        assert_true(noticed > 0 && noticed <= count);
    }
}

/* Each thing of the state that the sums go through, when it cannot be read. */
static void test_audit(void **state)
{
    static struct entry entries[ENTRIES_MAX];
    const char summed[] = {LEDGER_KEY_ACCOUNT,    LEDGER_KEY_ASSET,    LEDGER_KEY_LEASE,
                           LEDGER_KEY_CHALLENGE,  LEDGER_KEY_SUPPLY,   LEDGER_KEY_KV,
                           LEDGER_KEY_KV_LEASE,   LEDGER_KEY_KV_STATE, LEDGER_KEY_VALIDATOR,
                           LEDGER_KEY_DELEGATION, LEDGER_KEY_ENGINE,   0};
    size_t count = entries_of(LEDGER_TABLE_STATE, entries);
    size_t seen = 0;

    (void)state;
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = &entries[i];

        if (!strchr(summed, entry->key.data[0]))
            continue;
        reads_store_put(LEDGER_TABLE_STATE, entry->key, hm_slice_str("\xff\xff"));
        assert_true(audit_now() != 0);
        reads_store_put(LEDGER_TABLE_STATE, entry->key, entry->value);
        seen++;
    }
    assert_true(seen > 15);
    assert_int_equal(audit_now(), 0);
}

/* The check of the whole chain finds what reads do not come by. */
static void test_replay_finds_it(void **state)
{
    static const unsigned tables[] = {
        LEDGER_TABLE_STATE,   LEDGER_TABLE_META,    LEDGER_TABLE_BLOCK, LEDGER_TABLE_RECORD,
        LEDGER_TABLE_TX,      LEDGER_TABLE_HISTORY, LEDGER_TABLE_INDEX, LEDGER_TABLE_KV_LOG,
        LEDGER_TABLE_KV_PAST, LEDGER_TABLE_LEAF,    LEDGER_TABLE_PAGE};
    static struct entry entries[ENTRIES_MAX];

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(tables); i++) {
        unsigned table = tables[i];
        size_t count = entries_of(table, entries);
        const struct entry *entry = &entries[count / 2];
        struct ledger *scratch;
        struct store *store;
        int rc;

        assert_true(count > 0);
        reads_store_put(table, entry->key, hm_slice_str("\xff\xff"));
        assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
        assert_int_equal(ledger_open(store, &scratch, NULL), 0);
        rc = ledger_replay(fix.ledger, scratch, NULL, NULL, NULL, NULL, &fix.error);
        ledger_close(scratch);
        store_close(store);
        reads_store_put(table, entry->key, entry->value);
        if (rc != HM_ECORRUPT)
            fail_msg("%s: %d %s", ledger_table_names[table], rc, rc ? fix.error.text : "");
    }
}

/* A block that reads and changes all kinds of things. */
static struct hm_slice busy_item(void)
{
    Hypermesh__KvTxn *txn = kv_txn(&fix);
    Hypermesh__Operation *alice[6] = {op_transfer(&fix, BOB, 5),
                                      op_update(&fix, cpu[0], 4000, 7200),
                                      op_kv_put(&fix, "k/9", "nine", 5),
                                      op_kv_txn(&fix, txn),
                                      op_kv_revoke(&fix, 5),
                                      op_network(&fix, "third", true)};
    Hypermesh__Operation *bob[5] = {
        op_allocate(&fix, cpu, 1, 1000, MINUTE_MS), op_challenge(&fix, NODE, NULL),
        op_delegate(&fix, DAVE, FIXTURE_HYPER), op_undelegate(&fix, DAVE, FIXTURE_HYPER / 2),
        op_declare(&fix, BOB, 1000 * FIXTURE_HYPER, 0)};
    struct hm_slice txs[2];

    kv_compare(&fix, txn, HYPERMESH__KV_COMPARE_TARGET__KV_VERSION,
               HYPERMESH__KV_COMPARE_RESULT__KV_GREATER, "k/1");
    kv_then_range(&fix, txn, true, "k/", "k0");
    kv_then_delete(&fix, txn, true, "k/1", "k/4");
    txs[0] = fixture_tx(&fix, ALICE, alice, HM_COUNT_OF(alice));
    txs[1] = fixture_tx(&fix, BOB, bob, HM_COUNT_OF(bob));
    return fixture_batch(&fix, txs, 2);
}

/* Whatever the block comes by: it is refused whole, or says of one transaction what is wrong; the next block, after
 * the damage is mended, is as it would have been. */
static void test_blocks(void **state)
{
    static struct entry entries[ENTRIES_MAX];
    struct hm_slice item = busy_item();
    size_t count = entries_of(LEDGER_TABLE_STATE, entries);
    struct ledger_proposal proposal;
    struct ledger_outcome outcome;
    struct hm_error error = {0};
    uint8_t root[32];
    size_t failed = 0;

    (void)state;
    fixture_propose(&fix, &item, 1, &proposal);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, NULL), 0);
    assert_int_equal(outcome.record->results[0]->code, 0);
    assert_int_equal(outcome.record->results[1]->code, 0);
    memcpy(root, outcome.state_root, 32);
    ledger_abandon(fix.ledger);
    for (size_t i = 0; i < count; i++) {
        int rc;

        if (entries[i].value.len == 0)
            continue;
        reads_store_put(LEDGER_TABLE_STATE, entries[i].key, hm_slice_str("\xff\xff"));
        rc = ledger_finalize(fix.ledger, &proposal, &outcome, &error);
        if (rc && !tells_damage(rc))
            fail_msg("'%c': %d %s", entries[i].key.data[0], rc, error.text);
        ledger_abandon(fix.ledger);
        reads_store_put(LEDGER_TABLE_STATE, entries[i].key, entries[i].value);
        failed += rc != 0;
    }
    assert_true(failed > 10);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, NULL), 0);
    assert_memory_equal(outcome.state_root, root, 32);
    assert_int_equal(ledger_commit(fix.ledger, NULL), 0);
}

/* The index of what is due by time names a thing that is not there, or of no kind. */
static void test_due(void **state)
{
    static const uint8_t kinds[] = {LEDGER_KEY_LEASE, LEDGER_KEY_CHALLENGE, LEDGER_KEY_KV_LEASE,
                                    LEDGER_KEY_DELEGATION, '?'};
    uint8_t key[1 + 8 + 1 + 32] = {LEDGER_KEY_DUE};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(kinds); i++) {
        struct hm_slice due = hm_slice_of(key, kinds[i] == LEDGER_KEY_KV_LEASE ? 18 : sizeof key);
        struct ledger_proposal proposal;
        struct ledger_outcome outcome;
        struct hm_error error = {0};

        hm_put_be64(key + 1, FIXTURE_START_MS);
        key[9] = kinds[i];
        fixture_propose(&fix, NULL, 0, &proposal);
        reads_store_put(LEDGER_TABLE_STATE, due, hm_slice_str(""));
        assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, &error), HM_ECORRUPT);
        if (!strstr(error.text, "the index of what is due names"))
            fail_msg("'%c': %s", kinds[i], error.text);
        reads_store_put(LEDGER_TABLE_STATE, due, (struct hm_slice){0});
        assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    }
}

/* A chain that cannot be read is not opened, and neither is one for which there is no memory. */
static void test_open(void **state)
{
    static struct entry entries[ENTRIES_MAX];
    size_t count = entries_of(LEDGER_TABLE_META, entries);
    struct ledger *again;
    unsigned long nth = 0;
    size_t refused_count = 0;
    int rc;

    (void)state;
    for (size_t i = 0; i < count; i++) {
        reads_store_put(LEDGER_TABLE_META, entries[i].key, hm_slice_str("\xff\xff"));
        rc = ledger_open(fix.store, &again, &fix.error);
        if (rc == 0)
            ledger_close(again);
        else
            assert_int_equal(rc, HM_ECORRUPT);
        refused_count += rc != 0;
        reads_store_put(LEDGER_TABLE_META, entries[i].key, entries[i].value);
    }
    assert_true(refused_count >= 2); /* the chain's state, its genesis */
    do {
        hm_alloc_fail_at(++nth);
        rc = ledger_open(fix.store, &again, &fix.error);
        hm_alloc_fail_at(0);
        if (rc)
            assert_int_equal(rc, HM_ENOMEM);
    } while (rc && nth < 1000);
    assert_int_equal(rc, 0);
    assert_true(nth > 3);
    ledger_close(again);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_reads_without_memory),
        CASE(test_views_without_memory),
        CASE(test_views_past_the_limit),
        CASE(test_damaged_state),
        CASE(test_damaged_rest),
        CASE(test_audit),
        CASE(test_replay_finds_it),
        CASE(test_blocks),
        CASE(test_due),
        CASE(test_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
