#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>

#include "asset_scanner.h"
#include "fake_machine.h"

struct world {
    struct fake_machine machine;
    struct hm_arena arena;
};

static int begin(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    assert_non_null(world);
    fake_machine_make(&world->machine);
    hm_arena_init(&world->arena, 0);
    *state = world;
    return 0;
}

static int end(void **state)
{
    struct world *world = *state;

    asset_scanner_free(world->machine.sources.scanner);
    hm_arena_release(&world->arena);
    fake_machine_remove(&world->machine);
    free(world);
    return 0;
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, begin, end)

#define GIB (UINT64_C(1) << 30)

static void capacity_is_a_coarse_step(void **state)
{
    struct asset_scanner none = {0};

    (void)state;
    assert_int_equal(asset_storage_capacity(&none, "a", 100 * GIB, 90 * GIB), 50 * GIB);
    assert_int_equal(asset_storage_capacity(&none, "b", 100 * GIB, 56 * GIB), 25 * GIB);
    assert_int_equal(asset_storage_capacity(&none, "c", 100 * GIB, 10 * GIB), 6 * GIB);
    assert_int_equal(asset_storage_capacity(&none, "d", 101 * GIB / 2, 40 * GIB), 25 * GIB);
    assert_int_equal(asset_storage_capacity(&none, "e", 3 * GIB / 2, 3 * GIB / 2), 3 * GIB / 4);
    assert_int_equal(asset_storage_capacity(&none, "f", 100 * GIB, 0), 0);
    assert_int_equal(asset_storage_capacity(&none, "g", 0, 0), 0);
    assert_int_equal(asset_storage_capacity(&none, "h", UINT64_MAX, UINT64_MAX),
                     (UINT64_MAX >> 1) / GIB * GIB);
}

static void capacity_does_not_follow_every_file(void **state)
{
    struct asset_scanner kept = {0};

    (void)state;
    assert_int_equal(asset_storage_capacity(&kept, "a", 100 * GIB, 60 * GIB), 50 * GIB);
    /* Lessees fill what they leased: still theirs. */
    assert_int_equal(asset_storage_capacity(&kept, "a", 100 * GIB, 26 * GIB), 50 * GIB);
    assert_int_equal(asset_storage_capacity(&kept, "a", 101 * GIB, 26 * GIB), 50 * GIB);
    /* Half of it is not there any more. */
    assert_int_equal(asset_storage_capacity(&kept, "a", 100 * GIB, 24 * GIB), 12 * GIB);
    /* Back a little is not back. */
    assert_int_equal(asset_storage_capacity(&kept, "a", 100 * GIB, 29 * GIB), 12 * GIB);
    assert_int_equal(asset_storage_capacity(&kept, "a", 100 * GIB, 32 * GIB), 25 * GIB);
    /* Another file system, or one that was resized, is looked at afresh. */
    assert_int_equal(asset_storage_capacity(&kept, "b", 100 * GIB, 57 * GIB), 50 * GIB);
    assert_int_equal(asset_storage_capacity(&kept, "b", 200 * GIB, 190 * GIB), 100 * GIB);
}

static void the_disk_below_the_folder_is_offered(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory = fake_scan(&world->machine, &world->arena);
    const struct asset_found *disk = fake_find(&inventory, "disk-eui.0025385b01402a5c");
    const struct asset_found *other = fake_find(&inventory, "disk-naa.5000c500a1b2c3d4");

    assert_true(disk->offered);
    assert_true(disk->capacity > 0);
    assert_string_equal(fake_attribute(disk, "class"), "nvme");
    assert_string_equal(fake_attribute(disk, "model"), "Fast Disk 1TB");
    assert_string_equal(fake_attribute(disk, "disk-bytes"), "1024209543168");
    assert_string_equal(fake_attribute(disk, "file-system"), "ext4");
    assert_string_equal(fake_live(disk, "device"), "nvme0n1");
    assert_string_equal(fake_live(disk, "mounted"), world->machine.disk);
    assert_false(other->offered);
    assert_int_equal(other->capacity, UINT64_C(7814037168) * 512);
    assert_string_equal(fake_attribute(other, "class"), "hdd");
    assert_string_equal(fake_live(other, "free-bytes"), "");
    assert_null(fake_find(&inventory, "disk-loop0"));
}

static void without_a_folder_no_storage_is_offered(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;

    world->machine.sources.storage_dir = NULL;
    inventory = fake_scan(&world->machine, &world->arena);
    assert_false(fake_find(&inventory, "disk-eui.0025385b01402a5c")->offered);
    assert_string_not_equal(
        fake_live(fake_find(&inventory, "disk-eui.0025385b01402a5c"), "free-bytes"), "");
    world->machine.sources.storage_dir = "/no/such/folder";
    inventory = fake_scan(&world->machine, &world->arena);
    assert_true(fake_noted(&inventory, "/no/such/folder cannot be looked at"));
}

static void file_systems_without_a_disk_stand_for_themselves(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;
    const struct asset_found *found = NULL;

    world->machine.sources.storage_dir = "/";
    inventory = fake_scan(&world->machine, &world->arena);
    for (size_t i = 0; i < inventory.count; i++)
        if (inventory.items[i].offered && inventory.items[i].kind == HYPERMESH__ASSET_KIND__STORAGE)
            found = &inventory.items[i];
    assert_non_null(found);
    assert_string_equal(found->hardware_id, "fs-overlay-");
    assert_string_equal(found->title, "overlay file system at /");
}

static void btrfs_is_found_by_its_source(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;
    char line[600];

    snprintf(line, sizeof(line), "40 21 0:44 /sub %s rw - btrfs /dev/no-such-partition rw\n",
             world->machine.disk);
    fake_mounts(&world->machine, line);
    fake_link(&world->machine, "sys/class/block/no-such-partition",
              "../../devices/pci0/ata1/block/sda/no-such-partition");
    inventory = fake_scan(&world->machine, &world->arena);
    assert_true(fake_find(&inventory, "disk-naa.5000c500a1b2c3d4")->offered);
    assert_string_equal(
        fake_attribute(fake_find(&inventory, "disk-naa.5000c500a1b2c3d4"), "file-system"), "btrfs");
    assert_false(fake_find(&inventory, "disk-eui.0025385b01402a5c")->offered);
}

static void sick_disks_say_so(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;
    char line[600];

    fake_file(&world->machine, "sys/block/sda/device/state", "offline\n");
    snprintf(line, sizeof(line), "40 21 259:1 / %s ro - ext4 /dev/nvme0n1p1 rw\n",
             world->machine.disk);
    fake_mounts(&world->machine, line);
    inventory = fake_scan(&world->machine, &world->arena);
    assert_false(fake_find(&inventory, "disk-naa.5000c500a1b2c3d4")->healthy);
    assert_non_null(strstr(fake_find(&inventory, "disk-naa.5000c500a1b2c3d4")->health, "offline"));
    assert_false(fake_find(&inventory, "disk-eui.0025385b01402a5c")->healthy);
    assert_non_null(
        strstr(fake_find(&inventory, "disk-eui.0025385b01402a5c")->health, "read-only"));
}

static void disks_are_plugged_and_pulled(void **state)
{
    struct world *world = *state;
    struct asset_inventory before, with, without;
    struct asset_change *changes;
    size_t count;

    assert_int_equal(asset_scanner_new(&world->machine.sources.scanner, NULL), 0);
    before = fake_scan(&world->machine, &world->arena);
    fake_file(&world->machine, "sys/block/sdb/size", "60000000\n");
    fake_file(&world->machine, "sys/block/sdb/removable", "1\n");
    with = fake_scan(&world->machine, &world->arena);
    assert_int_equal(asset_diff(&before, &with, &world->arena, &changes, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(changes[0].kind, ASSET_APPEARED);
    assert_string_equal(changes[0].after->hardware_id, "disk-sdb");
    assert_string_equal(fake_attribute(changes[0].after, "removable"), "yes");
    fake_remove(&world->machine, "sys/block/sda");
    without = fake_scan(&world->machine, &world->arena);
    assert_int_equal(asset_diff(&with, &without, &world->arena, &changes, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(changes[0].kind, ASSET_GONE);
    assert_string_equal(changes[0].before->hardware_id, "disk-naa.5000c500a1b2c3d4");
}

static void two_disks_with_one_name_are_one(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;

    fake_file(&world->machine, "sys/block/sdc/size", "7814037168\n");
    fake_file(&world->machine, "sys/block/sdc/device/wwid", "naa.5000c500a1b2c3d4\n");
    inventory = fake_scan(&world->machine, &world->arena);
    assert_int_equal(inventory.count, 7);
    assert_true(fake_noted(&inventory, "two devices call themselves disk-naa.5000c500a1b2c3d4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capacity_is_a_coarse_step),
        cmocka_unit_test(capacity_does_not_follow_every_file),
        CASE(the_disk_below_the_folder_is_offered),
        CASE(without_a_folder_no_storage_is_offered),
        CASE(file_systems_without_a_disk_stand_for_themselves),
        CASE(btrfs_is_found_by_its_source),
        CASE(sick_disks_say_so),
        CASE(disks_are_plugged_and_pulled),
        CASE(two_disks_with_one_name_are_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
