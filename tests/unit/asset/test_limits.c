#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>

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

static uint64_t capacity(struct world *world, const char *id)
{
    struct asset_inventory inventory = fake_scan(&world->machine, &world->arena);
    const struct asset_found *found = fake_find(&inventory, id);

    return found == NULL ? 0 : found->capacity;
}

static void a_cgroup_quota_bounds_all_packages_together(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;

    fake_file(&world->machine, "sys/fs/cgroup/user.slice/node.service/cpu.max", "max 100000\n");
    assert_int_equal(capacity(world, "cpu-package-0"), 8000);
    fake_file(&world->machine, "sys/fs/cgroup/user.slice/cpu.max", "150000 50000\n");
    assert_int_equal(capacity(world, "cpu-package-0"), 1500);
    assert_int_equal(capacity(world, "cpu-package-1"), 1500);
    assert_int_equal(capacity(world, "slots"), 12);
    fake_file(&world->machine, "sys/fs/cgroup/user.slice/node.service/cpu.max", "100000 100000\n");
    inventory = fake_scan(&world->machine, &world->arena);
    assert_int_equal(fake_find(&inventory, "cpu-package-1")->capacity, 500);
    assert_string_equal(fake_attribute(fake_find(&inventory, "cpu-package-1"), "quota-millicores"),
                        "1000");
    fake_file(&world->machine, "sys/fs/cgroup/user.slice/cpu.max", "150000 0\n");
    assert_int_equal(capacity(world, "cpu-package-0"), 500);
}

static void a_quota_too_small_for_a_package_offers_none(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;

    fake_file(&world->machine, "sys/fs/cgroup/cpu.max", "100 100000\n");
    inventory = fake_scan(&world->machine, &world->arena);
    assert_int_equal(fake_find(&inventory, "cpu-package-0")->capacity, 0);
    assert_false(fake_find(&inventory, "cpu-package-0")->offered);
}

static void a_cgroup_memory_limit_bounds_memory(void **state)
{
    const uint64_t step = 16 << 20, gib = UINT64_C(1) << 30;
    struct world *world = *state;

    /* 64 GiB less 2 GiB of huge pages, less a tenth, in steps of 16 MiB. */
    assert_int_equal(capacity(world, "memory"), 62 * gib * 9 / 10 / step * step);
    fake_file(&world->machine, "sys/fs/cgroup/user.slice/memory.max", "4294967296\n");
    fake_file(&world->machine, "sys/fs/cgroup/user.slice/node.service/memory.max", "max\n");
    assert_int_equal(capacity(world, "memory"), (4 * gib - gib / 2) / step * step);
    fake_file(&world->machine, "sys/fs/cgroup/user.slice/memory.max", "1342177280\n");
    assert_int_equal(capacity(world, "memory"), gib * 3 / 4);
    fake_file(&world->machine, "sys/fs/cgroup/user.slice/memory.max", "536870912\n");
    assert_int_equal(capacity(world, "memory"), gib / 4); /* never more than half is kept back */
    fake_file(&world->machine, "sys/fs/cgroup/user.slice/memory.max", "1048576\n");
    assert_int_equal(capacity(world, "memory"), 0);
}

static void process_limits_bound_slots(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;

    assert_int_equal(capacity(world, "slots"), 64);
    fake_file(&world->machine, "proc/sys/kernel/pid_max", "32768\n");
    assert_int_equal(capacity(world, "slots"), 32);
    fake_file(&world->machine, "sys/fs/cgroup/user.slice/pids.max", "5000\n");
    assert_int_equal(capacity(world, "slots"), 4);
    fake_file(&world->machine, "sys/fs/cgroup/user.slice/pids.max", "1000\n");
    inventory = fake_scan(&world->machine, &world->arena);
    assert_null(fake_find(&inventory, "slots"));
    assert_true(fake_noted(&inventory, "fewer than 1024 processes"));
}

/* As in a container of an older runtime: each controller by itself, the mount shows only our own part. */
static void version_1_hierarchies_are_read_below_their_root(void **state)
{
    struct world *world = *state;

    fake_file(&world->machine, "proc/self/cgroup",
              "3:cpu,cpuacct:/docker/abc\n2:memory:/docker/abc\n1:pids:/docker/abc/inner\n");
    fake_mounts(&world->machine,
                "30 23 0:31 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n"
                "31 23 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
                "32 23 0:33 /docker/abc /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n");
    fake_file(&world->machine, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    fake_file(&world->machine, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    fake_file(&world->machine, "sys/fs/cgroup/memory/memory.limit_in_bytes",
              "9223372036854771712\n");
    assert_int_equal(capacity(world, "cpu-package-0"), 8000);
    assert_int_equal(capacity(world, "slots"), 64);
    fake_file(&world->machine, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n");
    fake_file(&world->machine, "sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n");
    fake_file(&world->machine, "sys/fs/cgroup/pids/inner/pids.max", "2048\n");
    assert_int_equal(capacity(world, "cpu-package-0"), 2000);
    assert_int_equal(capacity(world, "memory"), UINT64_C(3) << 29);
    assert_int_equal(capacity(world, "slots"), 2);
}

static void a_path_that_climbs_is_not_followed(void **state)
{
    struct world *world = *state;

    fake_file(&world->machine, "sys/fs/elsewhere/cpu.max", "1000 100000\n");
    fake_file(&world->machine, "proc/self/cgroup", "0::/../elsewhere\n");
    assert_int_equal(capacity(world, "cpu-package-0"), 8000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_cgroup_quota_bounds_all_packages_together),
        CASE(a_quota_too_small_for_a_package_offers_none),
        CASE(a_cgroup_memory_limit_bounds_memory),
        CASE(process_limits_bound_slots),
        CASE(version_1_hierarchies_are_read_below_their_root),
        CASE(a_path_that_climbs_is_not_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
