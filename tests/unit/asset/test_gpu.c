#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>

#include "fake_machine.h"

int fake_nvml_users(void);
int fake_nvml_starts(void);

#define GPU0 "GPU-00000000-0000-4000-8000-000000000000"
#define GPU1 "GPU-00000000-0000-4000-8000-000000000001"

struct world {
    struct fake_machine machine;
    struct hm_arena arena;
};

static void clear(void)
{
    static const char *const names[] = {"DEVICES", "BROKEN", "LOST", "NO_INIT", "PERCENT", "MIG"};

    for (size_t i = 0; i < HM_COUNT_OF(names); i++) {
        char name[32];

        snprintf(name, sizeof(name), "FAKE_NVML_%s", names[i]);
        unsetenv(name);
    }
}

static void set(const char *name, const char *value)
{
    assert_int_equal(setenv(name, value, 1), 0);
}

static int begin(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    assert_non_null(world);
    fake_machine_make(&world->machine);
    world->machine.sources.nvml = FAKE_NVML;
    clear();
    hm_arena_init(&world->arena, 0);
    *state = world;
    return 0;
}

static int end(void **state)
{
    struct world *world = *state;

    asset_scanner_free(world->machine.sources.scanner);
    assert_int_equal(fake_nvml_users(), 0); /* every start has its stop */
    hm_arena_release(&world->arena);
    fake_machine_remove(&world->machine);
    free(world);
    return 0;
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, begin, end)

static void two_devices_are_described(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;
    const struct asset_found *gpu;

    set("FAKE_NVML_DEVICES", "2");
    inventory = fake_scan(&world->machine, &world->arena);
    assert_non_null(fake_find(&inventory, GPU1));
    gpu = fake_find(&inventory, GPU0);
    assert_int_equal(gpu->kind, HYPERMESH__ASSET_KIND__GPU);
    assert_int_equal(gpu->capacity, 1000);
    assert_true(gpu->offered && gpu->healthy);
    assert_string_equal(gpu->title, "Fake Accelerator 0, 80.0 GiB");
    assert_string_equal(fake_attribute(gpu, "cdi"), "nvidia.com/gpu=" GPU0);
    assert_string_equal(fake_attribute(gpu, "driver"), "550.54.15");
    assert_string_equal(fake_attribute(gpu, "memory-bytes"), "85899345920");
    assert_string_equal(fake_attribute(gpu, "mig"), "off");
    assert_string_equal(fake_attribute(gpu, "pci"), "00000000:03:00.0");
    assert_string_equal(fake_live(gpu, "memory-free-bytes"), "64424509440");
    assert_string_equal(fake_live(gpu, "utilisation-percent"), "42");
    assert_string_equal(fake_live(gpu, "temperature-c"), "55");
    assert_string_equal(fake_live(gpu, "power-mw"), "123456");
    assert_string_equal(fake_live(gpu, "mhz"), "1980");
}

static void a_device_that_fails_does_not_hide_the_other(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;

    set("FAKE_NVML_DEVICES", "2");
    set("FAKE_NVML_LOST", "0");
    inventory = fake_scan(&world->machine, &world->arena);
    assert_null(fake_find(&inventory, GPU0));
    assert_true(fake_find(&inventory, GPU1)->healthy);
    assert_true(fake_noted(&inventory, "GPU 0 does not answer: GPU is lost"));
    clear();
    set("FAKE_NVML_DEVICES", "2");
    set("FAKE_NVML_BROKEN", "1");
    inventory = fake_scan(&world->machine, &world->arena);
    assert_true(fake_find(&inventory, GPU0)->healthy);
    assert_false(fake_find(&inventory, GPU1)->healthy);
    assert_string_equal(fake_find(&inventory, GPU1)->health,
                        "its memory cannot be read: Unknown Error");
    assert_string_equal(fake_attribute(fake_find(&inventory, GPU1), "memory-bytes"), "");
}

static void a_split_device_is_listed_but_not_offered(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;

    set("FAKE_NVML_DEVICES", "2");
    set("FAKE_NVML_MIG", "0");
    inventory = fake_scan(&world->machine, &world->arena);
    assert_false(fake_find(&inventory, GPU0)->offered);
    assert_true(fake_find(&inventory, GPU1)->offered);
    assert_true(fake_noted(&inventory, "split by MIG"));
}

static void the_library_stays_open_between_scans(void **state)
{
    struct world *world = *state;
    struct asset_inventory before, after;
    struct asset_change *changes;
    int starts = fake_nvml_starts();
    size_t count;

    assert_int_equal(asset_scanner_new(&world->machine.sources.scanner, NULL), 0);
    set("FAKE_NVML_DEVICES", "1");
    fake_folder(&world->machine, "proc/driver/nvidia/gpus/0000:03:00.0");
    before = fake_scan(&world->machine, &world->arena);
    fake_scan(&world->machine, &world->arena);
    assert_int_equal(fake_nvml_starts() - starts, 1);
    /* A device is plugged in: the driver lists it, and only a new start of the library sees it. */
    set("FAKE_NVML_DEVICES", "2");
    fake_folder(&world->machine, "proc/driver/nvidia/gpus/0000:04:00.0");
    after = fake_scan(&world->machine, &world->arena);
    assert_int_equal(fake_nvml_starts() - starts, 2);
    assert_int_equal(fake_nvml_users(), 1);
    assert_int_equal(asset_diff(&before, &after, &world->arena, &changes, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(changes[0].kind, ASSET_APPEARED);
    assert_string_equal(changes[0].after->hardware_id, GPU1);
    /* It falls off. */
    set("FAKE_NVML_LOST", "1");
    before = fake_scan(&world->machine, &world->arena);
    assert_int_equal(asset_diff(&after, &before, &world->arena, &changes, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(changes[0].kind, ASSET_GONE);
    assert_int_equal(fake_nvml_users(), 0);
}

static void drm_cards(const struct fake_machine *machine)
{
    fake_file(machine, "sys/class/drm/card0/device/vendor", "0x1002\n");
    fake_file(machine, "sys/class/drm/card0/device/device", "0x740f\n");
    fake_file(machine, "sys/class/drm/card0/device/uevent",
              "DRIVER=amdgpu\nPCI_SLOT_NAME=0000:c1:00.0\n");
    fake_file(machine, "sys/class/drm/card0/device/mem_info_vram_total", "68702699520\n");
    fake_file(machine, "sys/class/drm/card0/device/mem_info_vram_used", "702699520\n");
    fake_file(machine, "sys/class/drm/card0/device/gpu_busy_percent", "30\n");
    fake_file(machine, "sys/class/drm/card0/device/product_name", "Fake Instinct\n");
    fake_file(machine, "sys/class/drm/card1/device/vendor", "0x8086\n");
    fake_file(machine, "sys/class/drm/card1/device/device", "0x56c0\n");
    fake_file(machine, "sys/class/drm/card1/device/uevent", "PCI_SLOT_NAME=0000:0f:00.0\n");
    fake_file(machine, "sys/class/drm/card1/gt_act_freq_mhz", "1300\n");
    fake_file(machine, "sys/class/drm/card2/device/vendor", "0x10de\n");
    fake_file(machine, "sys/class/drm/card2/device/device", "0x2330\n");
    fake_file(machine, "sys/class/drm/card2/device/uevent", "PCI_SLOT_NAME=0000:03:00.0\n");
    fake_file(machine, "sys/class/drm/card3/device/vendor", "0x1af4\n"); /* a virtual screen */
    fake_file(machine, "sys/class/drm/card4/device/vendor", "0x1002\n"); /* no address */
    fake_file(machine, "sys/class/drm/card0-HDMI-A-1/status", "connected\n");
    fake_file(machine, "sys/class/drm/renderD128/device/vendor", "0x1002\n");
}

static void cards_of_three_vendors_without_nvml(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;
    const struct asset_found *gpu;

    set("FAKE_NVML_NO_INIT", "1");
    drm_cards(&world->machine);
    inventory = fake_scan(&world->machine, &world->arena);
    assert_int_equal(inventory.count, 7 + 3);
    gpu = fake_find(&inventory, "gpu-0000-c1-00.0");
    assert_true(gpu->offered && gpu->healthy);
    assert_string_equal(gpu->title, "Fake Instinct, 64.0 GiB");
    assert_string_equal(fake_attribute(gpu, "cdi"), "amd.com/gpu=0");
    assert_string_equal(fake_live(gpu, "memory-free-bytes"), "68000000000");
    assert_string_equal(fake_live(gpu, "utilisation-percent"), "30");
    gpu = fake_find(&inventory, "gpu-0000-0f-00.0");
    assert_true(gpu->offered);
    assert_string_equal(gpu->title, "Intel GPU 8086:56c0");
    assert_string_equal(fake_attribute(gpu, "cdi"), "intel.com/gpu=0000-0f-00-0-0x56c0");
    assert_string_equal(fake_live(gpu, "mhz"), "1300");
    gpu = fake_find(&inventory, "gpu-0000-03-00.0");
    assert_false(gpu->offered);
    assert_false(gpu->healthy);
    assert_true(fake_noted(&inventory, "card4 does not say its PCI address"));
}

static void nvml_hides_its_own_cards(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;

    set("FAKE_NVML_DEVICES", "1");
    drm_cards(&world->machine);
    inventory = fake_scan(&world->machine, &world->arena);
    assert_non_null(fake_find(&inventory, GPU0));
    assert_null(fake_find(&inventory, "gpu-0000-03-00.0"));
    assert_non_null(fake_find(&inventory, "gpu-0000-c1-00.0"));
}

static void old_or_missing_libraries_are_refused(void **state)
{
    const char *ids[] = {GPU0};
    struct asset_gpu_meter *meter = NULL;
    struct world *world = *state;
    struct hm_error error;

    set("FAKE_NVML_DEVICES", "1");
    world->machine.sources.nvml = FAKE_NVML_OLD;
    assert_int_equal(asset_gpu_meter_start(&world->machine.sources, ids, 1, 0, &meter, &error),
                     HM_EUNAVAILABLE);
    assert_non_null(strstr(error.text, "nvmlDeviceGetHandleByUUID"));
    world->machine.sources.nvml = "libno-such-library.so.0";
    assert_int_equal(asset_gpu_meter_start(&world->machine.sources, ids, 1, 0, &meter, &error),
                     HM_EUNAVAILABLE);
    world->machine.sources.nvml = FAKE_NVML;
    set("FAKE_NVML_NO_INIT", "1");
    assert_int_equal(asset_gpu_meter_start(&world->machine.sources, ids, 1, 0, &meter, &error),
                     HM_EUNAVAILABLE);
    assert_non_null(strstr(error.text, "Driver Not Loaded"));
    assert_null(meter);
}

static void the_meter_integrates_utilisation(void **state)
{
    const char *ids[] = {GPU0, GPU1, "gpu-0000-c1-00.0"};
    struct asset_gpu_meter *meter;
    struct world *world = *state;
    uint64_t busy = 0;

    set("FAKE_NVML_DEVICES", "2");
    drm_cards(&world->machine);
    assert_int_equal(asset_gpu_meter_start(&world->machine.sources, ids, 3, 1000, &meter, NULL), 0);
    set("FAKE_NVML_PERCENT", "50");
    asset_gpu_meter_sample(meter, 2000); /* 500 + 500 + 300 */
    asset_gpu_meter_sample(meter, 2000);
    asset_gpu_meter_sample(meter, 1500); /* time does not run back */
    set("FAKE_NVML_PERCENT", "250"); /* a driver's slip counts as 100 */
    fake_file(&world->machine, "sys/class/drm/card0/device/gpu_busy_percent", "0\n");
    assert_int_equal(asset_gpu_meter_stop(meter, 2100, &busy, NULL), 0);
    assert_int_equal(busy, 1300 + 200);
    assert_int_equal(asset_gpu_meter_stop(NULL, 0, &busy, NULL), 0);
    assert_int_equal(busy, 0);
}

static void a_meter_with_gaps_says_so(void **state)
{
    const char *ids[] = {GPU0, GPU1};
    struct asset_gpu_meter *meter;
    struct world *world = *state;
    uint64_t busy = 0;

    set("FAKE_NVML_DEVICES", "2");
    set("FAKE_NVML_PERCENT", "100");
    assert_int_equal(asset_gpu_meter_start(&world->machine.sources, ids, 2, 0, &meter, NULL), 0);
    asset_gpu_meter_sample(meter, 100);
    set("FAKE_NVML_LOST", "1");
    assert_int_equal(asset_gpu_meter_stop(meter, 200, &busy, NULL), HM_EIO);
    assert_int_equal(busy, 300);
}

static void a_meter_needs_devices_that_count(void **state)
{
    const char *unknown[] = {"GPU-ffffffff-0000-4000-8000-000000000000"};
    const char *intel[] = {"gpu-0000-0f-00.0"};
    struct asset_gpu_meter *meter = NULL;
    struct world *world = *state;

    set("FAKE_NVML_DEVICES", "2");
    drm_cards(&world->machine);
    assert_int_equal(asset_gpu_meter_start(&world->machine.sources, unknown, 1, 0, &meter, NULL),
                     HM_EUNAVAILABLE);
    assert_int_equal(asset_gpu_meter_start(&world->machine.sources, intel, 1, 0, &meter, NULL),
                     HM_EUNAVAILABLE);
    assert_int_equal(asset_gpu_meter_start(&world->machine.sources, intel, 0, 0, &meter, NULL),
                     HM_EINVAL);
    assert_null(meter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(two_devices_are_described),
        CASE(a_device_that_fails_does_not_hide_the_other),
        CASE(a_split_device_is_listed_but_not_offered),
        CASE(the_library_stays_open_between_scans),
        CASE(cards_of_three_vendors_without_nvml),
        CASE(nvml_hides_its_own_cards),
        CASE(old_or_missing_libraries_are_refused),
        CASE(the_meter_integrates_utilisation),
        CASE(a_meter_with_gaps_says_so),
        CASE(a_meter_needs_devices_that_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
