/* Random snapshots: sched_place must agree with a search that tries every choice of assets. */
#include "sched_fixture.h"

#define ROUNDS  3000
#define OWNERS  3
#define SEED    20260517
#define NEEDS   5
#define NO_COST UINT64_MAX

static struct sched_fixture fix;

static uint64_t below(const struct hm_random *random, uint64_t end)
{
    return hm_random_u64(random) % end;
}

static void random_asset(const struct hm_random *random)
{
    static const Hypermesh__AssetKind kinds[] = {
        HYPERMESH__ASSET_KIND__CPU, HYPERMESH__ASSET_KIND__MEMORY, HYPERMESH__ASSET_KIND__STORAGE,
        HYPERMESH__ASSET_KIND__CONTAINER, HYPERMESH__ASSET_KIND__GPU};
    Hypermesh__AssetKind kind = kinds[below(random, HM_COUNT_OF(kinds))];
    uint64_t capacity = kind == HYPERMESH__ASSET_KIND__CONTAINER ? 1 + below(random, 3)
                                                                 : 900 + below(random, 3) * 600;
    Hypermesh__Asset *asset = sched_fixture_add(&fix, (uint8_t)below(random, OWNERS), kind,
                                                capacity, below(random, 6) * 1000);

    asset->id.data[0] = (uint8_t)below(random, 256);
    asset->leased_ppm = below(random, 3) == 0 ? (uint32_t)below(random, 1000001) : 0;
    asset->leases = (uint32_t)below(random, 12);
    if (below(random, 8) == 0)
        asset->state = HYPERMESH__ASSET_STATE__RETIRED;
    if (below(random, 5) == 0)
        asset->privacy->max_share_ppm = (uint32_t)below(random, 1000001);
    if (below(random, 5) == 0)
        asset->privacy->max_duration_ms = 3500000 + below(random, 200000);
    if (below(random, 8) == 0)
        asset->privacy->level = (Hypermesh__PrivacyLevel)below(random, 6);
}

/* What one asset costs for one need, or NO_COST: the rules written again for small numbers. */
static uint64_t naive_cost(const Hypermesh__Asset *asset, Hypermesh__AssetKind kind,
                           uint64_t amount)
{
    uint64_t most = asset->privacy->max_share_ppm ? asset->privacy->max_share_ppm : 1000000;
    uint64_t longest = asset->privacy->max_duration_ms ? asset->privacy->max_duration_ms
                                                       : fix.snapshot.default_max_duration_ms;
    uint64_t share;

    if (asset->kind != kind || amount > asset->capacity ||
        asset->state != HYPERMESH__ASSET_STATE__ACTIVE || asset->leases >= 10 ||
        longest < fix.spec.timeout_ms + SCHED_TEST_GRACE_MS ||
        asset->privacy->level != HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC)
        return NO_COST;
    share = (amount * 1000000 + asset->capacity - 1) / asset->capacity;
    if (asset->leased_ppm + share > most)
        return NO_COST;
    /* price * share * one hour / (10^6 * one hour), rounded up */
    return (asset->price_per_hour * share + 999999) / 1000000;
}

static uint64_t cheapest_by_owner(uint8_t owner)
{
    const struct {
        Hypermesh__AssetKind kind;
        uint64_t amount;
    } needs[NEEDS] = {{HYPERMESH__ASSET_KIND__CPU, fix.spec.cpu_milli},
                      {HYPERMESH__ASSET_KIND__MEMORY, fix.spec.memory_bytes},
                      {HYPERMESH__ASSET_KIND__STORAGE, fix.spec.storage_bytes},
                      {HYPERMESH__ASSET_KIND__CONTAINER, 1},
                      {HYPERMESH__ASSET_KIND__GPU, fix.spec.gpu_milli}};
    uint64_t sum = 0;

    for (size_t n = 0; n < NEEDS; n++) {
        uint64_t least = NO_COST;

        if (needs[n].amount == 0)
            continue;
        for (size_t i = 0; i < fix.snapshot.count; i++) {
            uint64_t cost = fix.list[i]->owner.data[0] == owner
                                ? naive_cost(fix.list[i], needs[n].kind, needs[n].amount)
                                : NO_COST;

            if (cost < least)
                least = cost;
        }
        if (least == NO_COST)
            return NO_COST;
        sum += least;
    }
    return sum;
}

static void check_placement(const struct sched_placement *placement, uint64_t least)
{
    uint64_t sum = 0;

    assert_int_equal(placement->cost, least);
    assert_int_equal(placement->count, fix.spec.gpu_milli > 0 ? 5 : 4);
    for (size_t i = 0; i < placement->count; i++) {
        const Hypermesh__Asset *asset = placement->items[i].asset;
        uint64_t held = asset->capacity * placement->items[i].share_ppm / 1000000;
        uint64_t amount = asset->kind == HYPERMESH__ASSET_KIND__CONTAINER ? 1
                          : asset->kind == HYPERMESH__ASSET_KIND__GPU     ? fix.spec.gpu_milli
                                                                          : 1000;

        assert_true(held >= amount);
        assert_memory_equal(asset->owner.data, placement->items[0].asset->owner.data,
                            WIRE_ID_BYTES);
        sum += naive_cost(asset, asset->kind, amount);
    }
    assert_int_equal(sum, least);
}

static void agrees_with_brute_force(void **state)
{
    struct hm_random_seeded seeded;
    const struct hm_random random = hm_random_seeded_source(&seeded, SEED);
    unsigned found = 0;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct sched_placement placement;
        uint64_t least = NO_COST;
        uint8_t owner = 0;

        sched_fixture_init(&fix);
        fix.spec.gpu_milli = below(&random, 4) == 0 ? 500 : 0;
        for (uint64_t left = below(&random, SCHED_TEST_ASSETS_MAX); left > 0; left--)
            random_asset(&random);
        for (uint8_t i = 0; i < OWNERS; i++) {
            uint64_t cost = cheapest_by_owner(i);

            if (cost < least) { /* of equals the lower id */
                least = cost;
                owner = i;
            }
        }
        int rc = sched_place(&fix.snapshot, &fix.spec, &placement, NULL);
        assert_int_equal(rc, least == NO_COST ? HM_EUNAVAILABLE : 0);
        if (rc != 0)
            continue;
        found++;
        assert_int_equal(placement.items[0].asset->owner.data[0], owner);
        check_placement(&placement, least);
    }
    /* Both answers must have been tried often. */
    assert_true(found > ROUNDS / 10);
    assert_true(found < ROUNDS - ROUNDS / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_brute_force)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
