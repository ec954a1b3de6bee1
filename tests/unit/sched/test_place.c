#include "sched_fixture.h"

#define CPU       HYPERMESH__ASSET_KIND__CPU
#define MEMORY    HYPERMESH__ASSET_KIND__MEMORY
#define STORAGE   HYPERMESH__ASSET_KIND__STORAGE
#define GPU       HYPERMESH__ASSET_KIND__GPU
#define CONTAINER HYPERMESH__ASSET_KIND__CONTAINER

static struct sched_fixture fix;

static int setup(void **state)
{
    (void)state;
    sched_fixture_init(&fix);
    return 0;
}

static struct sched_placement placed(void)
{
    struct sched_placement placement;
    struct hm_error error = {0};

    if (sched_place(&fix.snapshot, &fix.spec, &placement, &error) != 0)
        fail_msg("%s", error.text);
    return placement;
}

/* Refused with this code and words, and the output left alone. */
static void refused(int code, const char *words)
{
    struct sched_placement placement, before;
    struct hm_error error = {0};

    memset(&placement, 0x5a, sizeof(placement));
    before = placement;
    assert_int_equal(sched_place(&fix.snapshot, &fix.spec, &placement, &error), code);
    assert_memory_equal(&placement, &before, sizeof(placement));
    assert_int_equal(error.code, code);
    if (strstr(error.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
    assert_int_equal(sched_place(&fix.snapshot, &fix.spec, &placement, NULL), code);
}

static uint8_t owner_of(const struct sched_placement *placement)
{
    uint8_t owner = placement->items[0].asset->owner.data[0];

    for (size_t i = 1; i < placement->count; i++)
        assert_int_equal(placement->items[i].asset->owner.data[0], owner);
    return owner;
}

static void one_provider_has_it_all(void **state)
{
    static const Hypermesh__AssetKind kinds[] = {CPU, MEMORY, STORAGE, CONTAINER};

    (void)state;
    sched_fixture_provider(&fix, 7, 10);
    struct sched_placement placement = placed();
    assert_int_equal(placement.count, 4);
    for (size_t i = 0; i < placement.count; i++) {
        assert_int_equal(placement.items[i].asset->kind, kinds[i]);
        assert_int_equal(placement.items[i].share_ppm, 500000);
    }
    assert_int_equal(placement.cost, 4 * 5); /* half of each for an hour */
}

static void the_cheapest_wins(void **state)
{
    (void)state;
    sched_fixture_provider(&fix, 3, 30);
    sched_fixture_provider(&fix, 9, 10);
    sched_fixture_provider(&fix, 1, 20);
    struct sched_placement placement = placed();
    assert_int_equal(owner_of(&placement), 9);
    assert_int_equal(placement.cost, 20);
}

/* Assets of two providers are not mixed, even where that would be cheaper. */
static void one_provider_only(void **state)
{
    (void)state;
    sched_fixture_provider(&fix, 1, 100);
    sched_fixture_provider(&fix, 2, 100);
    sched_fixture_of(&fix, 1, CPU)->price_per_hour = 0;
    sched_fixture_of(&fix, 2, MEMORY)->price_per_hour = 2;
    struct sched_placement placement = placed();
    assert_int_equal(owner_of(&placement), 1);
    assert_int_equal(placement.cost, 150);
    sched_fixture_of(&fix, 1, STORAGE)->capacity = 10;
    placement = placed();
    assert_int_equal(owner_of(&placement), 2);
}

static void of_one_kind_the_cheapest_with_room(void **state)
{
    (void)state;
    sched_fixture_provider(&fix, 5, 10);
    Hypermesh__Asset *cheap = sched_fixture_add(&fix, 5, CPU, 4000, 8); /* a quarter is enough */
    struct sched_placement placement = placed();
    assert_ptr_equal(placement.items[0].asset, cheap);
    assert_int_equal(placement.items[0].share_ppm, 250000);
    assert_int_equal(placement.cost, 2 + 3 * 5);
    cheap->leased_ppm = 750001; /* a millionth too little left */
    placement = placed();
    assert_ptr_equal(placement.items[0].asset, sched_fixture_of(&fix, 5, CPU));
    cheap->leased_ppm = 750000;
    placement = placed();
    assert_ptr_equal(placement.items[0].asset, cheap);
}

static void ties_go_to_the_lower_id(void **state)
{
    (void)state;
    sched_fixture_provider(&fix, 9, 10);
    sched_fixture_provider(&fix, 4, 10);
    sched_fixture_provider(&fix, 6, 10);
    Hypermesh__Asset *twin = sched_fixture_add(&fix, 4, CPU, 2000, 10);
    struct sched_placement placement = placed();
    assert_int_equal(owner_of(&placement), 4);
    assert_ptr_equal(placement.items[0].asset, sched_fixture_of(&fix, 4, CPU));
    fix.ids[twin - fix.assets][0] = 0; /* now the lower of the two, though later in the list */
    sched_fixture_of(&fix, 4, CPU)->id.data[0] = 99;
    placement = placed();
    assert_ptr_equal(placement.items[0].asset, twin);
}

static void the_order_of_the_snapshot_does_not_matter(void **state)
{
    (void)state;
    for (uint8_t owner = 1; owner < 9; owner++)
        sched_fixture_provider(&fix, owner, (owner % 3 + 5) * 10U);
    struct sched_placement first = placed();
    for (size_t i = 0; i < fix.snapshot.count / 2; i++) {
        Hypermesh__Asset *other = fix.list[fix.snapshot.count - 1 - i];

        fix.list[fix.snapshot.count - 1 - i] = fix.list[i];
        fix.list[i] = other;
    }
    struct sched_placement second = placed();
    assert_int_equal(owner_of(&first), 3);
    assert_int_equal(first.cost, second.cost);
    for (size_t i = 0; i < first.count; i++)
        assert_ptr_equal(first.items[i].asset, second.items[i].asset);
}

static void the_ledger_says_who_may(void **state)
{
    (void)state;
    sched_fixture_provider(&fix, 1, 10);
    Hypermesh__Asset *cpu = sched_fixture_of(&fix, 1, CPU);

    placed();
    cpu->privacy->level = HYPERMESH__PRIVACY_LEVEL__PRIVATE;
    refused(HM_EUNAVAILABLE, "short of cpu");
    cpu->privacy = NULL;
    refused(HM_EUNAVAILABLE, "short of cpu");
    fix.consumer = 1; /* the owner leases what he likes of his own */
    placed();
}

static void limits_of_the_asset_hold(void **state)
{
    (void)state;
    sched_fixture_provider(&fix, 1, 10);
    Hypermesh__Asset *memory = sched_fixture_of(&fix, 1, MEMORY);

    memory->privacy->max_share_ppm = 499999;
    refused(HM_EUNAVAILABLE, "short of memory");
    memory->privacy->max_share_ppm = 500000;
    placed();
    memory->leased_ppm = 1; /* the limit is over all leases */
    refused(HM_EUNAVAILABLE, "short of memory");
    memory->privacy->max_share_ppm = 0;
    placed();
    memory->leased_ppm = 1000001; /* more than there is: never happens, never wraps */
    refused(HM_EUNAVAILABLE, "short of memory");
    memory->leased_ppm = 0;

    memory->leases = 10;
    refused(HM_EUNAVAILABLE, "short of memory");
    memory->privacy->max_leases = 11;
    placed();
    memory->privacy->max_leases = 10;
    refused(HM_EUNAVAILABLE, "short of memory");
    memory->leases = 9;
    placed();

    memory->privacy->max_duration_ms = 3600000 - 1; /* the grace counts too */
    refused(HM_EUNAVAILABLE, "short of memory");
    memory->privacy->max_duration_ms = 3600000;
    placed();
    memory->privacy->max_duration_ms = 0;
    fix.snapshot.default_max_duration_ms = 3600000 - 1;
    refused(HM_EUNAVAILABLE, "short of cpu");
    fix.snapshot.default_max_duration_ms = 3600000;
    memory->state = HYPERMESH__ASSET_STATE__RETIRED;
    refused(HM_EUNAVAILABLE, "short of memory");
}

static void shortage_names_what_the_closest_lacks(void **state)
{
    (void)state;
    refused(HM_EUNAVAILABLE, "no assets");
    sched_fixture_add(&fix, 1, MEMORY, 2000, 10);
    refused(HM_EUNAVAILABLE, "short of cpu: 1000 millicores");
    sched_fixture_provider(&fix, 2, 10);
    sched_fixture_of(&fix, 2, CONTAINER)->state = HYPERMESH__ASSET_STATE__RETIRED;
    refused(HM_EUNAVAILABLE, "short of container: 1 slots");
    sched_fixture_of(&fix, 2, STORAGE)->capacity = 999;
    refused(HM_EUNAVAILABLE, "short of storage: 1000 bytes");
}

static void processes_take_slots(void **state)
{
    (void)state;
    sched_fixture_provider(&fix, 1, 10);
    fix.spec.pids = 257;
    struct sched_placement placement = placed();
    assert_int_equal(placement.items[3].share_ppm, 1000000); /* both slots */
    fix.spec.pids = 512;
    placed();
    fix.spec.pids = 513;
    refused(HM_EUNAVAILABLE, "short of container: 3 slots");
    fix.spec.pids = UINT32_MAX;
    refused(HM_EUNAVAILABLE, "short of container");
}

static void a_gpu_only_when_asked(void **state)
{
    (void)state;
    sched_fixture_provider(&fix, 1, 10);
    sched_fixture_provider(&fix, 2, 1000);
    sched_fixture_add(&fix, 2, GPU, 1000, 40);
    struct sched_placement placement = placed();
    assert_int_equal(placement.count, 4);
    assert_int_equal(owner_of(&placement), 1);
    fix.spec.gpu_milli = 250;
    placement = placed();
    assert_int_equal(placement.count, 5);
    assert_int_equal(owner_of(&placement), 2);
    assert_int_equal(placement.items[4].asset->kind, GPU);
    assert_int_equal(placement.items[4].share_ppm, 250000);
    assert_int_equal(placement.cost, 4 * 500 + 10);
    fix.spec.gpu_milli = 1001;
    refused(HM_EUNAVAILABLE, "short of gpu");
}

static void the_price_has_a_limit(void **state)
{
    (void)state;
    sched_fixture_provider(&fix, 1, UINT64_C(3000000000)); /* 4 * 1.5 HYPER */
    fix.spec.max_price = UINT64_C(6000000000);
    placed();
    fix.spec.max_price--;
    refused(HM_EFUNDS, "costs 6 HYPER; max_price is 5.999999999");
}

static void costs_are_rounded_up_asset_by_asset(void **state)
{
    (void)state;
    sched_fixture_provider(&fix, 1, 1); /* half a base unit each */
    struct sched_placement placement = placed();
    assert_int_equal(placement.cost, 4);
    fix.spec.timeout_ms = 1;
    placement = placed();
    assert_int_equal(placement.cost, 4);
    for (size_t i = 0; i < fix.snapshot.count; i++)
        fix.list[i]->price_per_hour = 0;
    placement = placed();
    assert_int_equal(placement.cost, 0);
}

static void more_than_money_can_be(void **state)
{
    (void)state;
    sched_fixture_provider(&fix, 1, UINT64_MAX);
    refused(HM_EUNAVAILABLE, "short of memory"); /* two halves, rounded up, do not fit the sum */
    fix.spec.timeout_ms *= 4;
    refused(HM_EUNAVAILABLE, "short of cpu"); /* nor one alone */
    sched_fixture_provider(&fix, 2, 1);
    struct sched_placement placement = placed();
    assert_int_equal(owner_of(&placement), 2);
    fix.snapshot.default_max_duration_ms = UINT64_MAX;
    fix.spec.timeout_ms = UINT64_MAX - SCHED_TEST_GRACE_MS;
    refused(HM_EUNAVAILABLE, "short of cpu");
    fix.spec.timeout_ms++;
    refused(HM_ERANGE, "timeout");
}

static void malformed_assets_are_passed_over(void **state)
{
    (void)state;
    sched_fixture_provider(&fix, 1, 10);
    Hypermesh__Asset *cpu = sched_fixture_of(&fix, 1, CPU);
    cpu->id.len = 31;
    refused(HM_EUNAVAILABLE, "short of cpu");
    cpu->id.len = 32;
    cpu->owner.len = 0;
    refused(HM_EUNAVAILABLE, "short of cpu");
}

static void limits_of_the_snapshot(void **state)
{
    struct sched_placement placement;

    (void)state;
    sched_fixture_provider(&fix, 1, 10);
    hm_alloc_fail_at(1);
    assert_int_equal(sched_place(&fix.snapshot, &fix.spec, &placement, NULL), HM_ENOMEM);
    hm_alloc_fail_at(0);
    fix.snapshot.count = SCHED_ASSETS_MAX + 1;
    refused(HM_ELIMIT, "100000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_provider_has_it_all, setup),
        cmocka_unit_test_setup(the_cheapest_wins, setup),
        cmocka_unit_test_setup(one_provider_only, setup),
        cmocka_unit_test_setup(of_one_kind_the_cheapest_with_room, setup),
        cmocka_unit_test_setup(ties_go_to_the_lower_id, setup),
        cmocka_unit_test_setup(the_order_of_the_snapshot_does_not_matter, setup),
        cmocka_unit_test_setup(the_ledger_says_who_may, setup),
        cmocka_unit_test_setup(limits_of_the_asset_hold, setup),
        cmocka_unit_test_setup(shortage_names_what_the_closest_lacks, setup),
        cmocka_unit_test_setup(processes_take_slots, setup),
        cmocka_unit_test_setup(a_gpu_only_when_asked, setup),
        cmocka_unit_test_setup(the_price_has_a_limit, setup),
        cmocka_unit_test_setup(costs_are_rounded_up_asset_by_asset, setup),
        cmocka_unit_test_setup(more_than_money_can_be, setup),
        cmocka_unit_test_setup(malformed_assets_are_passed_over, setup),
        cmocka_unit_test_setup(limits_of_the_snapshot, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
