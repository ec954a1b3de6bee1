/* Weights, the base fee's way, what a lease costs; and the small map under everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ledger_fixture.h"
#include "ledger_map.h"
#include "ledger_private.h"

#define HOUR_MS UINT64_C(3600000)

static void cost_is(uint64_t price, uint32_t share, uint64_t duration, uint64_t wanted)
{
    uint64_t cost = 42;

    assert_true(ledger_lease_cost(&price, &share, 1, duration, &cost));
    assert_int_equal(cost, wanted);
}

static void cost_fails(uint64_t price, uint32_t share, uint64_t duration)
{
    uint64_t cost = 42;

    assert_false(ledger_lease_cost(&price, &share, 1, duration, &cost));
    assert_int_equal(cost, 42);
}

static void test_lease_cost(void **state)
{
    const uint64_t prices[2] = {3600000, UINT64_MAX};
    const uint32_t shares[2] = {1000000, 1000000};
    uint64_t cost;

    (void)state;
    cost_is(3600000, 1000000, 1, 1);
    cost_is(3600000, 500000, 1, 1); /* half a unit, rounded up */
    cost_is(3600000, 500000, 2, 1);
    cost_is(3600000, 500000, 3, 2);
    cost_is(1, 1, 1, 1);
    cost_is(0, 1000000, HOUR_MS, 0);
    cost_is(7, 1000000, 0, 0);
    cost_is(7, 0, HOUR_MS, 0);
    cost_is(UINT64_MAX, 1000000, HOUR_MS, UINT64_MAX);
    cost_fails(UINT64_MAX, 1000000, HOUR_MS + 1);
    cost_fails(1, 1000001, 1);
    cost_fails(1, 1, UINT64_MAX);
    assert_false(ledger_lease_cost(prices, shares, 2, HOUR_MS, &cost));
    assert_true(ledger_lease_cost(prices, shares, 0, HOUR_MS, &cost));
    assert_int_equal(cost, 0);
}

static void test_base_fee(void **state)
{
    Hypermesh__Params params;
    uint64_t fee;

    (void)state;
    ledger_default_params(&params);
    params.base_fee_minimum = 1000;
    params.block_weight_target = 1000000;
    params.block_weight_max = 4000000;
    assert_int_equal(ledger_fee_next(&params, 8000, 1000000), 8000);
    assert_int_equal(ledger_fee_next(&params, 8000, 0), 7000);
    assert_int_equal(ledger_fee_next(&params, 8000, 500000), 7500);
    assert_int_equal(ledger_fee_next(&params, 8000, 2000000), 9000);
    assert_int_equal(ledger_fee_next(&params, 8000, 1500000), 8500);
    assert_int_equal(ledger_fee_next(&params, 8000, 4000000), 9000); /* never more than 1/8 */
    assert_int_equal(ledger_fee_next(&params, 1000, 0), 1000);
    assert_int_equal(ledger_fee_next(&params, 1001, 1000001), 1002); /* at least one up */
    assert_int_equal(ledger_fee_next(&params, UINT64_MAX, 4000000), UINT64_MAX);
    fee = 1000;
    for (int i = 0; i < 100; i++)
        fee = ledger_fee_next(&params, fee, 4000000);
    assert_true(fee > 1000 * 100000);
    for (int i = 0; i < 200; i++)
        fee = ledger_fee_next(&params, fee, 0);
    assert_int_equal(fee, 1000);
}

static void small_blocks(Hypermesh__Params *params)
{
    params->block_weight_target = 2000;
    params->block_weight_max = 20000;
}

static int setup_small(void **state)
{
    static const struct fixture_options options = {.params = small_blocks, .bare = true};
    struct fixture *fix = hm_calloc(1, sizeof *fix);

    *state = fix;
    return fixture_init(fix, &options);
}

static int teardown(void **state)
{
    fixture_release(*state);
    hm_free(*state);
    return 0;
}

/* Full blocks raise the fee that is burnt, empty ones lower it; what does not fit is refused for nothing. */
static void test_fee_follows(void **state)
{
    struct fixture *fix = *state;
    struct ledger_info info;
    struct hm_slice txs[8];
    struct hm_slice items[2];
    Hypermesh__Operation *op = op_transfer(fix, BOB, 1);
    uint64_t burnt = 0;

    for (size_t i = 0; i < 8; i++)
        txs[i] = fixture_root_tx(fix, ALICE, &op, 1);
    assert_int_equal(ledger_prepare_batch(fix->ledger, txs, 8), 1); /* the head counts in full */
    items[0] = fixture_seal_bare(fix, fixture_head(fix, NODE, txs, 3, false), txs, 3);
    items[1] = fixture_seal_bare(fix, fixture_head(fix, NODE, txs + 3, 5, false), txs + 3, 5);
    assert_int_equal(ledger_prepare(fix->ledger, items, 2), 1);
    assert_int_equal(ledger_prepare(fix->ledger, items + 1, 1), 1);
    assert_int_equal(fixture_block(fix, items, 2), 0);
    assert_int_equal(fix->record->n_results, 8);
    for (size_t i = 0; i < 8; i++) {
        const Hypermesh__TxResult *result = fix->record->results[i];

        assert_int_equal(result->code, i < 3 ? 0 : HM_ELIMIT);
        assert_int_equal(result->fee > 0, i < 3);
        burnt += result->fee;
    }
    assert_non_null(strstr(fix->record->results[5]->text, "block is full"));
    assert_int_equal(fixture_supply(fix)->hyper_burnt, burnt);
    assert_int_equal(fix->record->base_fee, 1000);
    assert_int_equal(burnt, fix->record->weight * 1000);
    assert_int_equal(ledger_info(fix->ledger, &info, NULL), 0);
    assert_int_equal(info.base_fee, 1125);
    assert_int_equal(fixture_block(fix, NULL, 0), 0);
    assert_int_equal(fix->record->base_fee, 1125);
    assert_int_equal(ledger_info(fix->ledger, &info, NULL), 0);
    assert_int_equal(info.base_fee, 1000);
}

static void test_map(void **state)
{
    struct ledger_map map;
    struct hm_arena arena;
    char key[32];

    (void)state;
    hm_arena_init(&arena, 0);
    ledger_map_init(&map, &arena, NULL);
    assert_null(ledger_map_find(&map, hm_slice_str("none")));
    for (size_t i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof key, "key %zu", i);
        assert_null(ledger_map_find(&map, hm_slice_str(key)));
        assert_non_null(ledger_map_add(&map, hm_slice_str(key), (void *)(uintptr_t)(i + 1)));
    }
    for (size_t i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof key, "key %zu", i);
        assert_true(ledger_map_find(&map, hm_slice_str(key))->value == (void *)(uintptr_t)(i + 1));
        assert_true(map.entries[i].value == (void *)(uintptr_t)(i + 1)); /* order of insertion */
    }
    hm_arena_release(&arena);
}

/* What a failed growth leaves is whole: found again, and added to when there is memory again. */
static void test_map_without_memory(void **state)
{
    struct hm_arena arena;
    struct ledger_map map;
    char key[32];
    size_t had;

    (void)state;
    hm_arena_init(&arena, 600); /* for four entries, not for eight */
    ledger_map_init(&map, &arena, NULL);
    for (had = 0; had < 100; had++) {
        (void)snprintf(key, sizeof key, "key %zu", had);
        if (!ledger_map_add(&map, hm_slice_str(key), (void *)(uintptr_t)(had + 1)))
            break;
    }
    assert_true(had > 0 && had < 100);
    arena.limit = (size_t)1 << 20;
    for (; had < 100; had++) {
        (void)snprintf(key, sizeof key, "key %zu", had);
        if (had == 8 || had == 16) { /* entries, but no index */
            arena.limit = arena.used + 2 * had * sizeof *map.entries + 16;
            assert_null(ledger_map_add(&map, hm_slice_str(key), NULL));
            arena.limit = (size_t)1 << 20;
        }
        assert_non_null(ledger_map_add(&map, hm_slice_str(key), (void *)(uintptr_t)(had + 1)));
    }
    for (size_t i = 0; i < had; i++) {
        (void)snprintf(key, sizeof key, "key %zu", i);
        assert_true(ledger_map_find(&map, hm_slice_str(key))->value == (void *)(uintptr_t)(i + 1));
    }
    assert_null(ledger_map_find(&map, hm_slice_str("none")));
    hm_arena_release(&arena);
}

static void dear(Hypermesh__Params *params)
{
    params->base_fee_initial = UINT64_MAX / 2;
}

static int setup_dear(void **state)
{
    static const struct fixture_options options = {.params = dear, .bare = true};
    struct fixture *fix = hm_calloc(1, sizeof *fix);

    *state = fix;
    return fixture_init(fix, &options);
}

/* A fee of more than 64 bits is refused; it does not come round to something small. */
static void test_fee_past_counting(void **state)
{
    struct fixture *fix = *state;
    Hypermesh__Operation *op = op_transfer(fix, BOB, 1);
    Hypermesh__TxBody *body = fixture_body(fix, ALICE, &op, 1);
    struct hm_error error = {0};
    struct hm_slice tx;

    body->fee_limit = UINT64_MAX;
    tx = fixture_pack(fix, &fixture_sign(fix, ALICE, body, true)->base);
    assert_int_equal(ledger_check_tx(fix->ledger, tx, fix->next_ms, NULL, &error), HM_ERANGE);
    assert_non_null(strstr(error.text, "the fee cannot be counted"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lease_cost),
        cmocka_unit_test(test_base_fee),
        cmocka_unit_test_setup_teardown(test_fee_follows, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_fee_past_counting, setup_dear, teardown),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_map_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
