/* What the node remembers beside its jobs: answers by key, results, and which assets it retired by itself. */
#include "node_notes.h"

#include "node_fixture.h"

#define HOUR_MS UINT64_C(3600000)

static void key_of(unsigned number, uint8_t key[CRYPTO_HASH_BYTES])
{
    crypto_hash(&number, sizeof(number), key);
}

static int get(struct node *node, unsigned number, struct hm_arena *arena, struct hm_slice *out)
{
    uint8_t key[CRYPTO_HASH_BYTES];

    key_of(number, key);
    return node->backend.idempotency_get(node, key, arena, out, NULL);
}

static int put(struct node *node, unsigned number, struct hm_slice answer, uint64_t keep_ms)
{
    uint8_t key[CRYPTO_HASH_BYTES];

    key_of(number, key);
    return node->backend.idempotency_put(node, key, node_now_ms(node) + keep_ms, answer, NULL);
}

static uint64_t rows(struct node *node, enum node_table table)
{
    struct store_stats stats;

    assert_int_equal(store_stats(node->jobs.store, &stats, NULL), 0);
    return stats.entries[table];
}

static void test_answers_are_kept_for_their_time(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct hm_slice answer;

    hm_arena_init(&arena, 0);
    assert_int_equal(get(fixture->node, 1, &arena, &answer), HM_ENOTFOUND);
    assert_int_equal(put(fixture->node, 1, hm_slice_str("first"), HOUR_MS), 0);
    assert_int_equal(put(fixture->node, 2, hm_slice_str("other"), 2 * HOUR_MS), 0);
    node_fixture_restart(fixture);
    assert_int_equal(get(fixture->node, 1, &arena, &answer), 0);
    assert_true(hm_slice_equal(answer, hm_slice_str("first")));
    assert_int_equal(get(fixture->node, 2, &arena, &answer), 0);
    assert_true(hm_slice_equal(answer, hm_slice_str("other")));
    assert_int_equal(put(fixture->node, 1, hm_slice_str("second"), HOUR_MS), 0);
    assert_int_equal(get(fixture->node, 1, &arena, &answer), 0);
    assert_true(hm_slice_equal(answer, hm_slice_str("second")));
    assert_int_equal(rows(fixture->node, NODE_TABLE_EXPIRY), 2);
    fixture->ahead_ms += HOUR_MS + 1000;
    assert_int_equal(get(fixture->node, 1, &arena, &answer), HM_ENOTFOUND);
    assert_int_equal(get(fixture->node, 2, &arena, &answer), 0);
    assert_int_equal(put(fixture->node, 3, hm_slice_str("third"), HOUR_MS), 0); /* sweeps */
    assert_int_equal(rows(fixture->node, NODE_TABLE_ANSWER), 2);
    assert_int_equal(rows(fixture->node, NODE_TABLE_EXPIRY), 2);
}

static void test_answers_are_bounded(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    static uint8_t large[NODE_ANSWER_MAX_BYTES + 1];
    const unsigned most = API_IDEMPOTENCY_BYTES_MAX / NODE_ANSWER_MAX_BYTES;
    struct hm_slice answer;

    hm_arena_init(&arena, 0);
    assert_int_equal(put(fixture->node, 1, hm_slice_of(large, sizeof(large)), HOUR_MS), HM_ELIMIT);
    for (unsigned i = 0; i < most + 3; i++) {
        assert_int_equal(put(fixture->node, i, hm_slice_of(large, sizeof(large) - 1), HOUR_MS + i),
                         0);
        if (i == 10)
            node_fixture_restart(fixture); /* what is kept is counted again */
    }
    assert_int_equal(rows(fixture->node, NODE_TABLE_ANSWER), most);
    assert_int_equal(rows(fixture->node, NODE_TABLE_EXPIRY), most);
    assert_int_equal(get(fixture->node, 2, &arena, &answer), HM_ENOTFOUND); /* the oldest went */
    assert_int_equal(get(fixture->node, 3, &arena, &answer), 0);
    assert_int_equal(put(fixture->node, 3, (struct hm_slice){0}, HOUR_MS), 0); /* taken back */
    assert_int_equal(get(fixture->node, 3, &arena, &answer), HM_ENOTFOUND);
    assert_int_equal(rows(fixture->node, NODE_TABLE_EXPIRY), most - 1);
}

static void test_results_go_when_nobody_may_ask(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    const uint8_t first[32] = {1}, second[32] = {2};
    Hypermesh__ChallengeAnswer *kept;

    hm_arena_init(&arena, 0);
    assert_int_equal(
        node_result_keep(fixture->node, first, hm_slice_str("job"), hm_slice_str("manifest"), NULL),
        0);
    assert_int_equal(node_result_find(fixture->node, first, &arena, &kept, NULL), 0);
    assert_true(hm_slice_equal(wire_slice(kept->manifest), hm_slice_str("manifest")));
    assert_true(hm_slice_equal(wire_slice(kept->job), hm_slice_str("job")));
    assert_int_equal(node_result_find(fixture->node, second, &arena, &kept, NULL), HM_ENOTFOUND);
    /* Kept again it is there once, and found by its lease without a search. */
    fixture->ahead_ms += HOUR_MS;
    assert_int_equal(
        node_result_keep(fixture->node, first, hm_slice_str("job"), hm_slice_str("later"), NULL),
        0);
    assert_int_equal(node_result_find(fixture->node, first, &arena, &kept, NULL), 0);
    assert_true(hm_slice_equal(wire_slice(kept->manifest), hm_slice_str("later")));
    assert_int_equal(rows(fixture->node, NODE_TABLE_RESULT), 1);
    assert_int_equal(rows(fixture->node, NODE_TABLE_RESULT_OF), 1);
    fixture->ahead_ms += fixture->node->result_kept_ms + HOUR_MS;
    assert_int_equal(node_result_keep(fixture->node, second, hm_slice_str("job"),
                                      hm_slice_str("manifest"), NULL),
                     0);
    assert_int_equal(node_result_find(fixture->node, first, &arena, &kept, NULL), HM_ENOTFOUND);
    assert_int_equal(node_result_find(fixture->node, second, &arena, &kept, NULL), 0);
    assert_int_equal(rows(fixture->node, NODE_TABLE_RESULT), 1);
    assert_int_equal(rows(fixture->node, NODE_TABLE_RESULT_OF), 1);
}

/* --- hardware ---------------------------------------------------------------------------------------------------- */

static const Hypermesh__Asset *first_asset(struct node *node, bool retired, struct hm_arena *arena)
{
    const struct ledger_asset_filter filter = {.owner = node->operator_id, .with_retired = true};
    Hypermesh__Asset **assets;
    struct ledger_view *view;
    size_t count;

    assert_int_equal(ledger_view_open(node->ledger, &view, NULL), 0);
    assert_int_equal(ledger_view_assets(view, &filter, NULL, 100, arena, &assets, &count, NULL), 0);
    ledger_view_close(view);
    for (size_t i = 0; i < count; i++)
        if ((assets[i]->state == HYPERMESH__ASSET_STATE__RETIRED) == retired)
            return assets[i];
    return NULL;
}

static void retire(struct node *node, const Hypermesh__Asset *asset)
{
    Hypermesh__AssetRetire message = HYPERMESH__ASSET_RETIRE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT, *ops[] = {&op};
    struct hm_error error = {0};

    message.asset = asset->id;
    op.op_case = HYPERMESH__OPERATION__OP_ASSET_RETIRE;
    op.asset_retire = &message;
    if (node_wallet_submit(node, NODE_OPERATOR, ops, 1, NULL, &error) != 0)
        fail_msg("%s", error.text);
}

static void test_what_was_retired_by_hand_stays_retired(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;

    hm_arena_init(&arena, 0);
    retire(fixture->node, first_asset(fixture->node, false, &arena));
    assert_non_null(first_asset(fixture->node, true, &arena));
    node_fixture_restart(fixture); /* a start compares hardware and ledger */
    assert_non_null(first_asset(fixture->node, true, &arena));
}

static void test_what_the_node_retired_comes_back(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;

    hm_arena_init(&arena, 0);
    const Hypermesh__Asset *asset = first_asset(fixture->node, false, &arena);
    assert_int_equal(node_retired_note(fixture->node, &asset, 1, NULL), 0);
    retire(fixture->node, asset);
    node_fixture_restart(fixture);
    assert_null(first_asset(fixture->node, true, &arena));
    /* By hand afterwards: the old note is about another retirement. */
    retire(fixture->node, first_asset(fixture->node, false, &arena));
    node_fixture_restart(fixture);
    assert_non_null(first_asset(fixture->node, true, &arena));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, node_fixture_setup, node_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answers_are_kept_for_their_time),
        TEST(test_answers_are_bounded),
        TEST(test_results_go_when_nobody_may_ask),
        TEST(test_what_was_retired_by_hand_stays_retired),
        TEST(test_what_the_node_retired_comes_back),
    };

    return cmocka_run_group_tests_name("node_notes", tests, NULL, NULL);
}
