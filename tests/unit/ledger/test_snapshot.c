/* Snapshots: what a new node is given in pieces is what the others have, it goes on as they do, and says what it lacks. */
#include "snapshot_check.h"

#include <pthread.h>
#include <stdio.h>

#include "ledger_reads.h"
#include "ledger_snapshot_plan.h"

static void test_same(void **state)
{
    struct pieces later = {0};
    struct pieces twins = {0};

    (void)state;
    assert_true(whole.parts >= 4);
    assert_true(whole.count > whole.parts);
    twin_restore();
    same_info();
    same_table(LEDGER_TABLE_STATE);
    same_table(LEDGER_TABLE_INDEX);
    audited();
    go_on();
    same_table(LEDGER_TABLE_STATE);
    same_table(LEDGER_TABLE_INDEX);
    audited();
    /* And the new node can pass it on. */
    pieces_of(fix.ledger, &later);
    pieces_of(twin, &twins);
    assert_true(hm_slice_equal(hm_buf_slice(&later.metadata), hm_buf_slice(&twins.metadata)));
    for (uint32_t i = 0; i < later.count; i++)
        assert_true(hm_slice_equal(hm_buf_slice(&later.chunks[i]), hm_buf_slice(&twins.chunks[i])));
    assert_false(hm_slice_equal(hm_buf_slice(&later.metadata), hm_buf_slice(&whole.metadata)));
    pieces_release(&later);
    pieces_release(&twins);
}

/* Every anchor that a transaction may name is known, and no more. */
static void test_anchors(void **state)
{
    struct store_txn *mine, *others;
    uint64_t height = whole.info.height;
    uint8_t a[32], b[32];

    (void)state;
    twin_restore();
    assert_int_equal(store_begin_read(fix.store, &mine, NULL), 0);
    assert_int_equal(store_begin_read(twin_store, &others, NULL), 0);
    assert_true(height > 14);
    for (uint64_t age = 0; age <= 12; age++) {
        assert_int_equal(ledger_read_hash(mine, height - age, a), 0);
        assert_int_equal(ledger_read_hash(others, height - age, b), 0);
        assert_memory_equal(a, b, 32);
    }
    assert_int_equal(ledger_read_hash(others, height - 13, b), HM_ENOTFOUND);
    store_abort(mine);
    store_abort(others);
}

/* Sizes as they are for users: one part, one chunk of headers. */
static void test_plain_sizes(void **state)
{
    struct ledger_view *view = check_view();
    struct ledger_snapshot *snapshot;

    (void)state;
    pieces_release(&whole);
    assert_int_equal(ledger_snapshot_open(view, &snapshot, NULL), 0);
    whole.count = ledger_snapshot_chunks(snapshot);
    assert_int_equal(whole.count, 3);
    assert_int_equal(ledger_snapshot_metadata(snapshot, &whole.metadata, NULL), HM_ECONFLICT);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t index;

        assert_int_equal(ledger_snapshot_next(snapshot, &index, &whole.chunks[i], NULL), 0);
    }
    assert_int_equal(ledger_snapshot_metadata(snapshot, &whole.metadata, NULL), 0);
    whole.parts = 1;
    whole.info = check_info();
    ledger_snapshot_close(snapshot);
    ledger_view_close(view);
    twin_restore();
    same_info();
    go_on();
}

/* Keys that somebody chose so that their hashes begin with the same 16 bits, with as much in each as there can be: they make
 * chunks as other keys do, as many as their bytes need and a few more. */
#define GROUND_KEYS        17
#define GROUND_VALUE_BYTES 1040000

static void cheap_bytes(Hypermesh__Params *params)
{
    params->base_fee_minimum = 1;
    params->base_fee_initial = 1;
}

static int setup_cheap(void **state)
{
    static const struct fixture_options options = {.params = cheap_bytes};

    (void)state;
    return fixture_init(&fix, &options);
}

static void ground_keys_put(void)
{
    static char value[GROUND_VALUE_BYTES + 1];
    unsigned found = 0;

    memset(value, 'x', GROUND_VALUE_BYTES);
    for (unsigned n = 0; found < GROUND_KEYS; n++) {
        char key[32] = {LEDGER_KEY_KV};
        uint8_t hash[32];
        int len = snprintf(key + 1, sizeof key - 1, "z/%u", n);
        Hypermesh__TxResult *result;

        crypto_hash(key, (size_t)len + 1, hash);
        if (hash[0] || hash[1])
            continue;
        result = cluster_do(&fix, BOB, op_kv_put(&fix, key + 1, value, 0), NULL);
        if (!result || result->code)
            fail_msg("%s", result ? result->text : fix.error.text);
        found++;
    }
}

static void test_ground_keys(void **state)
{
    static const struct ledger_snapshot_sizes sizes = {.target = LEDGER_SNAPSHOT_TARGET_BYTES,
                                                       .held = LEDGER_SNAPSHOT_HELD_BYTES};
    struct hm_error error = {0};
    struct ledger_view *view;
    uint64_t bytes = 0;

    (void)state;
    genesis = fixture_genesis(&fix);
    twin_open();
    ground_keys_put();
    view = check_view();
    if (pieces_make(view, &sizes, &whole, &error))
        fail_msg("snapshot: %s", error.text);
    ledger_view_close(view);
    for (uint32_t i = 0; i < whole.parts; i++) {
        assert_true(whole.chunks[i].len <= 2 * LEDGER_SNAPSHOT_TARGET_BYTES);
        bytes += whole.chunks[i].len;
    }
    assert_true(bytes > (uint64_t)GROUND_KEYS * GROUND_VALUE_BYTES);
    /* One for each bit that they have in common, and two for each 4 MiB. */
    assert_in_range(whole.parts, 5, 16 + 2 + 2 * bytes / (2 * LEDGER_SNAPSHOT_TARGET_BYTES));
    twin_restore();
    same_info();
    same_table(LEDGER_TABLE_STATE);
    audited();
    twin_close();
    pieces_release(&whole);
}

/* --- where it is cut, by itself --- */

static void plan_cut(struct ledger_snapshot_plan *plan, const uint64_t *hashes, size_t count,
                     uint64_t weight, int code)
{
    struct hm_error error = {0};
    uint8_t hash[32] = {0};

    assert_int_equal(ledger_snapshot_plan_init(plan, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        hm_put_be64(hash, hashes[i]);
        ledger_snapshot_plan_weigh(plan, hash, weight);
    }
    if (ledger_snapshot_plan_again(plan, LEDGER_SNAPSHOT_TARGET_BYTES)) {
        for (size_t i = 0; i < count; i++) {
            hm_put_be64(hash, hashes[i]);
            assert_int_equal(ledger_snapshot_plan_look(plan, hash, weight, NULL), 0);
        }
    }
    if (ledger_snapshot_plan_make(plan, &error) != code)
        fail_msg("%s", error.text);
}

/* All of the state, nothing twice, each part as heavy as it is said. */
static void plan_is_whole(const struct ledger_snapshot_plan *plan, const uint64_t *hashes,
                          size_t count, uint64_t weight)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct ledger_snapshot_part *part = &plan->list[i];
        uint64_t last = part->start + (part->depth == 64 ? 0 : UINT64_MAX >> part->depth);
        uint64_t in = 0;

        assert_true(last == (i + 1 < plan->count ? plan->list[i + 1].start - 1 : UINT64_MAX));
        for (size_t j = 0; j < count; j++)
            in += hashes[j] >= part->start && hashes[j] <= last;
        assert_int_equal(part->weight, in * weight);
        assert_true(in <= 1 || part->weight <= 2 * LEDGER_SNAPSHOT_TARGET_BYTES);
    }
}

static void test_plan(void **state)
{
    enum { COUNT = 200 };
    const uint64_t mib = UINT64_C(1) << 20;
    struct ledger_snapshot_plan plan;
    uint64_t hashes[COUNT];

    (void)state;
    plan_cut(&plan, NULL, 0, 0, 0);
    assert_int_equal(plan.count, 1);
    ledger_snapshot_plan_release(&plan);
    /* Only their last few bits differ. */
    for (uint64_t i = 0; i < COUNT; i++)
        hashes[i] = UINT64_C(0x123456789abcde00) + (i * 37 % 256);
    plan_cut(&plan, hashes, COUNT, mib, 0);
    plan_is_whole(&plan, hashes, COUNT, mib);
    assert_in_range(plan.count, COUNT / 4, 56 + COUNT / 2);
    ledger_snapshot_plan_release(&plan);
    /* Nobody finds more than a few keys that have 64 bits in common; what no chunk can take is said. */
    for (size_t i = 0; i < COUNT; i++)
        hashes[i] = 77;
    plan_cut(&plan, hashes, 15, mib, 0);
    ledger_snapshot_plan_release(&plan);
    plan_cut(&plan, hashes, 16, mib, HM_ELIMIT);
    ledger_snapshot_plan_release(&plan);
    /* One that weighs much is a part of its own. */
    hashes[0] = UINT64_MAX;
    plan_cut(&plan, hashes, 2, 15 * mib, 0);
    plan_is_whole(&plan, hashes, 2, 15 * mib);
    assert_int_equal(plan.count, 2);
    ledger_snapshot_plan_release(&plan);
}

/* So many that not each 4 MiB can have a part of their own. */
static void test_plan_large(void **state)
{
    enum { COUNT = 160000 };
    const uint64_t weight = UINT64_C(3) << 20;
    uint64_t *hashes = hm_calloc(COUNT, sizeof *hashes);
    struct ledger_snapshot_plan plan;
    uint64_t all = 0;

    (void)state;
    assert_non_null(hashes);
    for (uint64_t i = 0; i < COUNT; i++)
        hashes[i] = i * (UINT64_MAX / COUNT);
    plan_cut(&plan, hashes, COUNT, weight, 0);
    assert_in_range(plan.count, LEDGER_SNAPSHOT_PARTS_MAX / 2, LEDGER_SNAPSHOT_PARTS_MAX);
    for (size_t i = 0; i < plan.count; i++) {
        assert_true(plan.list[i].weight <= LEDGER_SNAPSHOT_CHUNK_MAX_BYTES);
        all += plan.list[i].weight;
    }
    assert_true(all == COUNT * weight);
    ledger_snapshot_plan_release(&plan);
    plan_cut(&plan, hashes, COUNT, 4 * weight, HM_ELIMIT);
    ledger_snapshot_plan_release(&plan);
    hm_free(hashes);
}

/* What a node cannot know it says, with the first height that it has. */
static void not_here(int rc, int code, const struct hm_error *error, const char *words)
{
    assert_int_equal(rc, code);
    if (!strstr(error->text, words))
        fail_msg("\"%s\" does not hold \"%s\"", error->text, words);
}

static void test_before(void **state)
{
    static const char *const missing[] = {"histories", "tx",         "proofs",
                                          "kv past",   "kv changes", "events"};
    struct hm_error error = {0};
    struct ledger_view *view, *mine;
    struct hm_arena arena;
    struct ledger *scratch;
    struct store *store;
    struct hm_slice block;
    char words[64];
    uint64_t first;

    (void)state;
    twin_restore();
    (void)snprintf(words, sizeof words, "%llu", (unsigned long long)whole.info.height + 1);
    assert_int_equal(ledger_view_open(twin, &view, NULL), 0);
    assert_int_equal(ledger_view_first_height(view, &first, NULL), 0);
    assert_int_equal(first, whole.info.height + 1);
    hm_arena_init(&arena, 0);
    mine = check_view();
    for (size_t i = 0; i < reads_count; i++) {
        bool gone = false;
        int rc = reads[i].ask(view, &arena, &error);

        for (size_t j = 0; j < HM_COUNT_OF(missing); j++)
            gone = gone || strcmp(reads[i].name, missing[j]) == 0;
        if (gone ? rc != HM_ENOTFOUND && rc != HM_ERANGE : rc != reads[i].ask(mine, &arena, NULL))
            fail_msg("%s: %d %s", reads[i].name, rc, error.text);
    }
    ledger_view_close(mine);
    not_here(ledger_view_block(view, 1, &arena, &block, NULL, &error), HM_ENOTFOUND, &error, words);
    not_here(ledger_view_block(view, whole.info.height, &arena, &block, NULL, &error), HM_ENOTFOUND,
             &error, words);
    not_here(ledger_view_block(view, first, &arena, &block, NULL, &error), HM_ENOTFOUND, &error,
             "the last is");
    hm_arena_release(&arena);
    ledger_view_close(view);
    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    assert_int_equal(ledger_open(store, &scratch, NULL), 0);
    not_here(ledger_replay(twin, scratch, NULL, NULL, NULL, NULL, &error), HM_EUNSUPPORTED, &error,
             "snapshot");
    ledger_close(scratch);
    store_close(store);
    view = check_view();
    assert_int_equal(ledger_view_first_height(view, &first, NULL), 0);
    assert_int_equal(first, 1);
    ledger_view_close(view);
}

/* Keys as of a revision, and what changed since, from the snapshot on. */
static void kv_same(uint64_t revision)
{
    struct ledger_kv_query query = {
        .key = hm_slice_str("k"), .range_end = hm_slice_str("z"), .revision = revision};
    struct ledger *ledgers[] = {fix.ledger, twin};
    Hypermesh__KvPair **pairs[2];
    size_t counts[2];
    struct hm_arena arena;

    hm_arena_init(&arena, 0);
    for (size_t i = 0; i < 2; i++) {
        struct ledger_view *view;
        uint64_t total;
        bool more;

        assert_int_equal(ledger_view_open(ledgers[i], &view, NULL), 0);
        assert_int_equal(
            ledger_view_kv_range(view, &query, &arena, &pairs[i], &counts[i], &total, &more, NULL),
            0);
        ledger_view_close(view);
    }
    assert_int_equal(counts[0], counts[1]);
    assert_true(counts[0] > 5);
    for (size_t i = 0; i < counts[0]; i++) {
        assert_true(hm_slice_equal(wire_slice(pairs[0][i]->key), wire_slice(pairs[1][i]->key)));
        assert_int_equal(pairs[0][i]->entry->mod_revision, pairs[1][i]->entry->mod_revision);
        assert_true(hm_slice_equal(wire_slice(pairs[0][i]->entry->value),
                                   wire_slice(pairs[1][i]->entry->value)));
    }
    hm_arena_release(&arena);
}

static int twin_changes(uint64_t from, size_t *count, bool *previous_known, struct hm_error *error)
{
    Hypermesh__KvEvent **events;
    Hypermesh__KvEntry **previous;
    struct ledger_view *view;
    struct hm_arena arena;
    uint64_t next;
    uint32_t sub;
    int rc;

    hm_arena_init(&arena, 0);
    assert_int_equal(ledger_view_open(twin, &view, NULL), 0);
    rc = ledger_view_kv_changes(view, hm_slice_str("k"), hm_slice_str("z"), from, 0, 100, &arena,
                                &events, &previous, count, &next, &sub, error);
    *previous_known = rc == 0 && *count > 0 && previous[0] != NULL;
    ledger_view_close(view);
    hm_arena_release(&arena);
    return rc;
}

static void test_kv_history(void **state)
{
    struct hm_error error = {0};
    Hypermesh__KvState *kv;
    struct ledger_view *view = check_view();
    bool previous;
    size_t count;
    uint64_t at;

    (void)state;
    assert_int_equal(ledger_view_kv_state(view, &fix.arena, &kv, NULL), 0);
    at = kv->revision;
    ledger_view_close(view);
    twin_restore();
    both_do(ALICE, op_kv_put(&fix, "k/1", "later", 0));
    both_do(BOB, op_kv_delete(&fix, "many/7", NULL));
    for (uint64_t revision = at; revision <= at + 2; revision++)
        kv_same(revision);
    assert_int_equal(twin_changes(at, &count, &previous, &error), HM_ERANGE);
    assert_int_equal(twin_changes(at + 1, &count, &previous, &error), 0);
    assert_int_equal(count, 2);
    assert_true(previous);
    assert_int_equal(ledger_view_open(twin, &view, NULL), 0);
    assert_int_equal(ledger_view_kv_state(view, &fix.arena, &kv, NULL), 0);
    assert_int_equal(kv->compacted, at);
    ledger_view_close(view);
}

/* --- making --- */

static void test_not_of_one_node(void **state)
{
    struct ledger_view *view = check_view();
    struct ledger_snapshot *snapshot;
    struct hm_error error = {0};

    (void)state;
    assert_int_equal(ledger_snapshot_open(view, &snapshot, &error), HM_EUNSUPPORTED);
    assert_non_null(strstr(error.text, "backup"));
    ledger_view_close(view);
    assert_int_equal(cluster_empty(&fix, NULL), 0); /* the first one writes the facts */
    view = check_view();
    assert_int_equal(ledger_snapshot_open(view, &snapshot, &error), 0);
    ledger_snapshot_close(snapshot);
    ledger_view_close(view);
    assert_int_equal(cluster_empty(&fix, NULL), 0);
    view = check_view();
    assert_int_equal(ledger_snapshot_open(view, &snapshot, &error), HM_ECONFLICT);
    assert_non_null(strstr(error.text, "changed nothing"));
    ledger_view_close(view);
}

/* The first block of an engine that has the chain from the beginning. */
static void test_first_block(void **state)
{
    (void)state;
    assert_int_equal(cluster_empty(&fix, NULL), 0);
    assert_int_equal(check_info().height, 1);
    genesis = fixture_genesis(&fix);
    pieces_of(fix.ledger, &whole);
    assert_int_equal(whole.count, whole.parts); /* its header goes with the metadata */
    twin_open();
    twin_restore();
    same_info();
    both(NULL, 0);
    twin_close();
    pieces_release(&whole);
}

static void *make_elsewhere(void *view)
{
    static struct pieces pieces;
    struct hm_error error = {0};

    if (pieces_make(view, &snap_small, &pieces, &error))
        return NULL;
    return &pieces;
}

/* On its own thread and snapshot while blocks come. */
static void test_beside_writer(void **state)
{
    struct ledger_view *view = check_view();
    struct ledger_info info = check_info();
    struct pieces *made_there;
    pthread_t thread;
    void *result;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, make_elsewhere, view), 0);
    for (int i = 0; i < 10; i++)
        assert_non_null(cluster_do(&fix, ALICE, op_transfer(&fix, BOB, 1), NULL));
    assert_int_equal(pthread_join(thread, &result), 0);
    ledger_view_close(view);
    assert_non_null(result);
    made_there = result;
    assert_int_equal(made_there->info.height, info.height);
    assert_true(hm_slice_equal(hm_buf_slice(&made_there->metadata), hm_buf_slice(&whole.metadata)));
    pieces_release(made_there);
    twin_restore();
}

static void test_damaged_state(void **state)
{
    const uint8_t key = LEDGER_KEY_SUPPLY;
    struct hm_error error = {0};
    struct pieces pieces = {0};
    struct ledger_view *view;

    (void)state;
    reads_store_put(LEDGER_TABLE_STATE, hm_slice_of(&key, 1), hm_slice_str("x"));
    view = check_view();
    assert_int_equal(pieces_make(view, &snap_small, &pieces, &error), HM_ECORRUPT);
    ledger_view_close(view);
    pieces_release(&pieces);
}

static int setup_bare(void **state)
{
    static const struct fixture_options options = {.bare = true};

    (void)state;
    return fixture_init(&fix, &options);
}
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, snap_setup, snap_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_same),
        cmocka_unit_test_setup_teardown(test_same, snap_setup_few, snap_teardown),
        cmocka_unit_test_setup_teardown(test_anchors, snap_setup_few, snap_teardown),
        WITH_WORLD(test_plain_sizes),
        cmocka_unit_test_setup_teardown(test_ground_keys, setup_cheap, check_teardown),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_plan_large),
        WITH_WORLD(test_before),
        WITH_WORLD(test_kv_history),
        WITH_WORLD(test_beside_writer),
        WITH_WORLD(test_damaged_state),
        cmocka_unit_test_setup_teardown(test_not_of_one_node, check_setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_first_block, setup_bare, check_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
