#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "asset.h"

static struct asset_attribute package0[] = {{"cpus", "0-7"}};
static struct asset_attribute package1[] = {{"cpus", "8-15"}};
static struct asset_attribute gpu0[] = {{"cdi", "nvidia.com/gpu=GPU-0"}};
static struct asset_attribute gpu1[] = {{"cdi", "nvidia.com/gpu=GPU-1"}};

/* clang-format off */
#define FOUND(kind_, id_, capacity_, list_, count_)                                             \
    {                                                                                           \
        .kind = HYPERMESH__ASSET_KIND__##kind_, .hardware_id = id_, .title = id_,               \
        .capacity = capacity_, .attributes = list_, .attribute_count = count_, .healthy = true, \
        .offered = true                                                                         \
    }
/* clang-format on */

static struct asset_found here[] = {
    FOUND(CPU, "cpu-package-0", 8000, package0, 1),
    FOUND(CPU, "cpu-package-1", 8000, package1, 1),
    FOUND(MEMORY, "memory", 1 << 30, NULL, 0),
    FOUND(STORAGE, "disk-a", 1 << 30, NULL, 0),
    FOUND(GPU, "GPU-0", 1000, gpu0, 1),
    FOUND(GPU, "GPU-1", 1000, gpu1, 1),
    FOUND(GPU, "GPU-2", 1000, NULL, 0),
    FOUND(CONTAINER, "slots", 3, NULL, 0),
};
static const struct asset_inventory machine = {.items = here, .count = HM_COUNT_OF(here)};

struct lease {
    struct hm_arena arena;
    Hypermesh__SandboxLimits limits;
    struct hm_error error;
};

static int begin(void **state)
{
    struct lease *lease = calloc(1, sizeof(*lease));

    assert_non_null(lease);
    hm_arena_init(&lease->arena, 0);
    hypermesh__sandbox_limits__init(&lease->limits);
    *state = lease;
    return 0;
}

static int end(void **state)
{
    struct lease *lease = *state;

    hm_arena_release(&lease->arena);
    free(lease);
    return 0;
}

static int limit_on(struct lease *lease, const struct asset_inventory *inventory,
                    Hypermesh__AssetKind kind, const char *id, uint64_t capacity, uint32_t ppm)
{
    Hypermesh__Asset asset = HYPERMESH__ASSET__INIT;
    struct asset_share share = {.hardware_id = id, .asset = &asset, .share_ppm = ppm};

    asset.kind = kind;
    asset.capacity = capacity;
    return asset_adapter_of(kind)->limit(inventory, &share, &lease->arena, &lease->limits,
                                         &lease->error);
}

static int limit(struct lease *lease, Hypermesh__AssetKind kind, const char *id, uint64_t capacity,
                 uint32_t ppm)
{
    return limit_on(lease, &machine, kind, id, capacity, ppm);
}

static void cpu_shares_add_to_one_quota(void **state)
{
    struct lease *lease = *state;

    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__CPU, "cpu-package-0", 8000, 62500), 0);
    assert_int_equal(lease->limits.cpu_quota_us, 50000); /* half a core */
    assert_int_equal(lease->limits.cpu_period_us, 100000);
    assert_string_equal(lease->limits.cpuset, "0-7");
    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__CPU, "cpu-package-1", 8000, 1000000), 0);
    assert_int_equal(lease->limits.cpu_quota_us, 850000);
    assert_string_equal(lease->limits.cpuset, "0-7,8-15");
}

static void one_package_needs_no_cpuset(void **state)
{
    struct asset_inventory single = {.items = here, .count = 1};
    struct lease *lease = *state;

    assert_int_equal(
        limit_on(lease, &single, HYPERMESH__ASSET_KIND__CPU, "cpu-package-0", 8000, 1000000), 0);
    assert_int_equal(lease->limits.cpu_quota_us, 800000);
    assert_string_equal(lease->limits.cpuset, "");
}

static void a_package_without_a_list_frees_the_others(void **state)
{
    struct asset_found two[] = {here[0], here[1]};
    struct asset_inventory inventory = {.items = two, .count = 2};
    struct lease *lease = *state;

    two[1].attribute_count = 0;
    assert_int_equal(
        limit_on(lease, &inventory, HYPERMESH__ASSET_KIND__CPU, "cpu-package-0", 8000, 500000), 0);
    assert_string_equal(lease->limits.cpuset, "0-7");
    assert_int_equal(
        limit_on(lease, &inventory, HYPERMESH__ASSET_KIND__CPU, "cpu-package-1", 8000, 500000), 0);
    assert_string_equal(lease->limits.cpuset, "");
    assert_int_equal(
        limit_on(lease, &inventory, HYPERMESH__ASSET_KIND__CPU, "cpu-package-0", 8000, 500000), 0);
    assert_string_equal(lease->limits.cpuset, "");
}

static void too_little_processor_is_refused(void **state)
{
    struct lease *lease = *state;

    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__CPU, "cpu-package-0", 8000, 1249),
                     HM_ERANGE);
    assert_non_null(strstr(lease->error.text, "9 millicores"));
    assert_int_equal(lease->limits.cpu_quota_us, 0);
    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__CPU, "cpu-package-0", 8000, 1250), 0);
    assert_int_equal(lease->limits.cpu_quota_us, 1000);
}

static void shares_out_of_range_are_refused(void **state)
{
    struct lease *lease = *state;

    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__MEMORY, "memory", 1 << 30, 0), HM_ERANGE);
    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__MEMORY, "memory", 1 << 30, 1000001),
                     HM_ERANGE);
    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__MEMORY, "memory", 999999, 1), HM_ERANGE);
    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__MEMORY, "memory", UINT64_MAX, 1000000),
                     HM_ERANGE);
    assert_int_equal(lease->limits.memory_bytes, 0);
    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__MEMORY, "memory", 1000000, 1), 0);
    assert_int_equal(lease->limits.memory_bytes, 1);
}

static void memory_and_storage_add(void **state)
{
    struct lease *lease = *state;

    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__MEMORY, "memory", 1 << 30, 250000), 0);
    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__MEMORY, "memory", 1 << 30, 250000), 0);
    assert_int_equal(lease->limits.memory_bytes, 1 << 29);
    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__STORAGE, "disk-a", 1 << 30, 1000000), 0);
    assert_int_equal(lease->limits.storage_bytes, 1 << 30);
    assert_int_equal(
        limit(lease, HYPERMESH__ASSET_KIND__STORAGE, "disk-a", UINT64_C(1) << 60, 1000000),
        HM_ERANGE);
    assert_int_equal(lease->limits.storage_bytes, 1 << 30);
}

static void slots_allow_processes(void **state)
{
    struct lease *lease = *state;
    Hypermesh__Asset asset = HYPERMESH__ASSET__INIT;
    uint32_t ppm = 0;

    asset.kind = HYPERMESH__ASSET_KIND__CONTAINER;
    asset.capacity = 3;
    assert_int_equal(asset_adapter_of(asset.kind)->share_for(&asset, 1, &ppm, NULL), 0);
    assert_int_equal(ppm, 333334);
    assert_int_equal(limit(lease, asset.kind, "slots", 3, ppm), 0);
    assert_int_equal(lease->limits.pids, ASSET_SLOT_PIDS);
    assert_int_equal(limit(lease, asset.kind, "slots", 3, 2 * ppm), 0);
    assert_int_equal(lease->limits.pids, 3 * ASSET_SLOT_PIDS);
    assert_int_equal(limit(lease, asset.kind, "slots", 3, ppm - 1), HM_ERANGE);
    assert_int_equal(limit(lease, asset.kind, "slots", UINT64_MAX, 1000000), HM_ERANGE);
    assert_int_equal(lease->limits.pids, 3 * ASSET_SLOT_PIDS);
}

static void gpus_are_named_for_the_runtime(void **state)
{
    struct lease *lease = *state;

    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__GPU, "GPU-0", 1000, 500000), 0);
    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__GPU, "GPU-1", 1000, 1000000),
                     HM_EUNSUPPORTED);
    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__GPU, "GPU-1", 1000, 500999), 0);
    assert_int_equal(lease->limits.n_gpu_devices, 2);
    assert_string_equal(lease->limits.gpu_devices[0], "nvidia.com/gpu=GPU-0");
    assert_string_equal(lease->limits.gpu_devices[1], "nvidia.com/gpu=GPU-1");
    assert_int_equal(lease->limits.gpu_milli, 500);
    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__GPU, "GPU-2", 1000, 500000),
                     HM_EUNAVAILABLE); /* no CDI name */
    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__GPU, "GPU-1", 5000, 500000), HM_ERANGE);
    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__GPU, "GPU-1", 1000, 999), HM_ERANGE);
    assert_int_equal(lease->limits.n_gpu_devices, 2);
}

static void hardware_must_be_here_and_well(void **state)
{
    struct asset_found list[] = {here[2]};
    struct asset_inventory inventory = {.items = list, .count = 1};
    struct lease *lease = *state;

    assert_int_equal(limit_on(lease, &inventory, HYPERMESH__ASSET_KIND__CPU, "memory", 8, 1000000),
                     HM_EUNAVAILABLE);
    list[0].healthy = false;
    list[0].health = "it smokes";
    assert_int_equal(
        limit_on(lease, &inventory, HYPERMESH__ASSET_KIND__MEMORY, "memory", 8, 1000000),
        HM_EUNAVAILABLE);
    assert_non_null(strstr(lease->error.text, "it smokes"));
    list[0].healthy = true;
    list[0].offered = false;
    assert_int_equal(
        limit_on(lease, &inventory, HYPERMESH__ASSET_KIND__MEMORY, "memory", 8, 1000000),
        HM_EUNAVAILABLE);
    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__STORAGE, "disk-b", 8, 1000000),
                     HM_EUNAVAILABLE);
}

static void an_asset_of_another_kind_is_refused(void **state)
{
    struct lease *lease = *state;
    Hypermesh__Asset asset = HYPERMESH__ASSET__INIT;
    struct asset_share share = {.hardware_id = "memory", .asset = &asset, .share_ppm = 1000000};

    asset.kind = HYPERMESH__ASSET_KIND__STORAGE;
    asset.capacity = 1 << 20;
    assert_int_equal(asset_adapter_of(HYPERMESH__ASSET_KIND__MEMORY)
                         ->limit(&machine, &share, &lease->arena, &lease->limits, &lease->error),
                     HM_EINVAL);
}

static void the_smallest_share_holds_the_amount(void **state)
{
    static const uint64_t capacities[] = {1, 3, 999, 1000000, 2000, UINT64_C(1) << 40, UINT64_MAX};
    Hypermesh__Asset asset = HYPERMESH__ASSET__INIT;
    const struct asset_adapter *adapter = asset_adapter_of(HYPERMESH__ASSET_KIND__MEMORY);
    uint32_t ppm = 77;

    (void)state;
    asset.kind = HYPERMESH__ASSET_KIND__MEMORY;
    for (size_t i = 0; i < HM_COUNT_OF(capacities); i++) {
        uint64_t amounts[] = {1, capacities[i] / 3 + 1, capacities[i]};

        asset.capacity = capacities[i];
        for (size_t k = 0; k < HM_COUNT_OF(amounts); k++) {
            uint64_t holds, less;

            assert_int_equal(adapter->share_for(&asset, amounts[k], &ppm, NULL), 0);
            assert_in_range(ppm, 1, 1000000);
            assert_true(hm_muldiv_u64(capacities[i], ppm, 1000000, &holds));
            assert_true(hm_muldiv_u64(capacities[i], ppm - 1, 1000000, &less));
            assert_true(holds >= amounts[k] && less < amounts[k]);
        }
    }
    ppm = 77;
    assert_int_equal(adapter->share_for(&asset, 0, &ppm, NULL), HM_ERANGE);
    asset.capacity = 10;
    assert_int_equal(adapter->share_for(&asset, 11, &ppm, NULL), HM_ERANGE);
    asset.capacity = 0;
    assert_int_equal(adapter->share_for(&asset, 1, &ppm, NULL), HM_ERANGE);
    assert_int_equal(ppm, 77);
}

static void usage_lines_add_up(void **state)
{
    static const Hypermesh__AssetKind kinds[] = {
        HYPERMESH__ASSET_KIND__CPU,      HYPERMESH__ASSET_KIND__CPU,
        HYPERMESH__ASSET_KIND__MEMORY,   HYPERMESH__ASSET_KIND__STORAGE,
        HYPERMESH__ASSET_KIND__GPU,      HYPERMESH__ASSET_KIND__CONTAINER,
        HYPERMESH__ASSET_KIND__CONTAINER};
    static const struct {
        const char *unit;
        uint64_t amount;
    } expected[] = {{"cpu-ns", 11},     {"cpu-ns", 0},         {"bytes-peak", 12},
                    {"bytes-read", 13}, {"bytes-written", 14}, {"bytes-output", 15},
                    {"gpu-ns", 16},     {"slots", 4},          {"slots", 4}};
    struct lease *lease = *state;
    Hypermesh__ResourceTransaction *records[HM_COUNT_OF(kinds) * ASSET_USAGE_MAX];
    Hypermesh__JobUsage used = HYPERMESH__JOB_USAGE__INIT;
    size_t count = 0;

    used.cpu_ns = 11;
    used.memory_peak_bytes = 12;
    used.io_read_bytes = 13;
    used.io_write_bytes = 14;
    used.output_bytes = 15;
    used.gpu_ns = 16;
    used.wall_ms = 17;
    for (size_t i = 0; i < HM_COUNT_OF(kinds); i++) {
        Hypermesh__Asset asset = HYPERMESH__ASSET__INIT;
        struct asset_share share = {.hardware_id = "x", .asset = &asset, .share_ppm = 500000};

        asset.kind = kinds[i];
        asset.capacity = 8;
        assert_int_equal(asset_adapter_of(kinds[i])->usage(&share, &used, &lease->arena, records,
                                                           &count, &lease->error),
                         0);
    }
    assert_int_equal(count, HM_COUNT_OF(expected));
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(records[i]->unit, expected[i].unit);
        assert_int_equal(records[i]->amount, expected[i].amount);
        assert_int_equal(records[i]->duration_ms, 17);
    }
    assert_int_equal(records[3]->resource_type, HYPERMESH__ASSET_KIND__STORAGE);
}

static void out_of_memory_leaves_all_as_it_was(void **state)
{
    struct lease *lease = *state;
    Hypermesh__ResourceTransaction *records[ASSET_USAGE_MAX];
    Hypermesh__JobUsage used = HYPERMESH__JOB_USAGE__INIT;
    Hypermesh__Asset asset = HYPERMESH__ASSET__INIT;
    struct asset_share share = {.hardware_id = "x", .asset = &asset, .share_ppm = 1000000};
    size_t count = 0;

    asset.kind = HYPERMESH__ASSET_KIND__CPU;
    asset.capacity = 8;
    hm_alloc_fail_at(1);
    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__CPU, "cpu-package-0", 8000, 500000),
                     HM_ENOMEM);
    hm_alloc_fail_at(1);
    assert_int_equal(limit(lease, HYPERMESH__ASSET_KIND__GPU, "GPU-0", 1000, 500000), HM_ENOMEM);
    hm_alloc_fail_at(1);
    assert_int_equal(asset_adapter_of(asset.kind)
                         ->usage(&share, &used, &lease->arena, records, &count, &lease->error),
                     HM_ENOMEM);
    hm_alloc_fail_at(0);
    assert_int_equal(count, 0);
    assert_int_equal(lease->limits.cpu_quota_us, 0);
    assert_int_equal(lease->limits.n_gpu_devices, 0);
    assert_int_equal(lease->limits.gpu_milli, 0);
}

static void other_kinds_have_no_adapter(void **state)
{
    (void)state;
    assert_null(asset_adapter_of(HYPERMESH__ASSET_KIND__NETWORK));
    assert_null(asset_adapter_of(HYPERMESH__ASSET_KIND__ASSET_NONE));
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(cpu_shares_add_to_one_quota),
        CASE(one_package_needs_no_cpuset),
        CASE(a_package_without_a_list_frees_the_others),
        CASE(too_little_processor_is_refused),
        CASE(shares_out_of_range_are_refused),
        CASE(memory_and_storage_add),
        CASE(slots_allow_processes),
        CASE(gpus_are_named_for_the_runtime),
        CASE(hardware_must_be_here_and_well),
        CASE(an_asset_of_another_kind_is_refused),
        CASE(the_smallest_share_holds_the_amount),
        CASE(usage_lines_add_up),
        CASE(out_of_memory_leaves_all_as_it_was),
        cmocka_unit_test(other_kinds_have_no_adapter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
