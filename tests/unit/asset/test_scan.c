#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <sys/stat.h>

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

static void a_whole_machine_is_listed_in_order(void **state)
{
    static const char *const ids[] = {"cpu-package-0",
                                      "cpu-package-1",
                                      "memory",
                                      "disk-eui.0025385b01402a5c",
                                      "disk-naa.5000c500a1b2c3d4",
                                      "slots",
                                      "net-eth0"};
    struct world *world = *state;
    struct asset_inventory inventory = fake_scan(&world->machine, &world->arena);

    for (size_t i = 0; i < inventory.note_count; i++)
        print_message("note: %s\n", inventory.notes[i]);
    assert_int_equal(inventory.note_count, 0);
    assert_int_equal(inventory.count, HM_COUNT_OF(ids));
    for (size_t i = 0; i < inventory.count; i++) {
        const struct asset_found *found = &inventory.items[i];

        assert_string_equal(found->hardware_id, ids[i]);
        assert_true(found->healthy);
        for (size_t k = 1; k < found->attribute_count; k++)
            assert_true(strcmp(found->attributes[k - 1].name, found->attributes[k].name) < 0);
        for (size_t k = 1; k < found->live_count; k++)
            assert_true(strcmp(found->live[k - 1].name, found->live[k].name) < 0);
    }
}

static void processors_say_what_they_are(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory = fake_scan(&world->machine, &world->arena);
    const struct asset_found *cpu = fake_find(&inventory, "cpu-package-0");
    const struct asset_found *other = fake_find(&inventory, "cpu-package-1");

    assert_int_equal(cpu->capacity, 8000);
    assert_true(cpu->offered);
    assert_string_equal(cpu->title, "Fake EPYC 9000, 4 cores, 8 threads");
    assert_string_equal(fake_attribute(cpu, "cores"), "4");
    assert_string_equal(fake_attribute(cpu, "threads"), "8");
    assert_string_equal(fake_attribute(cpu, "cpus"), "0-7");
    assert_string_equal(fake_attribute(other, "cpus"), "8-15");
    assert_string_equal(fake_attribute(cpu, "flags"), "aes avx2 avx512f sha_ni vaes");
    assert_string_equal(fake_attribute(cpu, "mhz-max"), "3700");
    assert_string_equal(fake_live(cpu, "mhz"), "3100");
    assert_string_equal(fake_live(other, "mhz"), "2450"); /* no cpufreq: what cpuinfo says */
    assert_string_equal(fake_live(cpu, "load1"), "3.25");
    assert_true(strncmp(fake_attribute(cpu, "cache-l2"), "4 x ", 4) == 0);
    assert_true(strncmp(fake_attribute(cpu, "cache-l3"), "1 x ", 4) == 0);
}

static void memory_says_what_it_is(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory = fake_scan(&world->machine, &world->arena);
    const struct asset_found *memory = fake_find(&inventory, "memory");

    assert_string_equal(memory->title, "Memory, 64.0 GiB");
    assert_string_equal(fake_attribute(memory, "total-bytes"), "68719476736");
    assert_string_equal(fake_attribute(memory, "huge-pages"), "1024");
    assert_string_equal(fake_attribute(memory, "huge-page-bytes"), "2097152");
    assert_string_equal(fake_attribute(memory, "numa-nodes"), "2");
    assert_string_equal(fake_live(memory, "numa1-bytes"), "34359738368");
    assert_string_equal(fake_live(memory, "available-bytes"), "51200000000");
    assert_string_equal(fake_live(memory, "huge-pages-free"), "512");
}

static void memory_errors_are_a_health_matter(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;

    fake_file(&world->machine, "sys/devices/system/edac/mc/mc0/ue_count", "0\n");
    inventory = fake_scan(&world->machine, &world->arena);
    assert_true(fake_find(&inventory, "memory")->healthy);
    fake_file(&world->machine, "sys/devices/system/edac/mc/mc1/ue_count", "2\n");
    inventory = fake_scan(&world->machine, &world->arena);
    assert_false(fake_find(&inventory, "memory")->healthy);
    assert_non_null(strstr(fake_find(&inventory, "memory")->health, "mc1"));
}

static void only_links_of_the_machine_are_listed(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory = fake_scan(&world->machine, &world->arena);
    const struct asset_found *link = fake_find(&inventory, "net-eth0");

    assert_int_equal(link->capacity, UINT64_C(10000000000));
    assert_false(link->offered);
    assert_string_equal(fake_attribute(link, "mtu"), "9000");
    assert_null(fake_find(&inventory, "net-lo"));
    assert_null(fake_find(&inventory, "net-veth1"));
    fake_file(&world->machine, "sys/class/net/eth0/operstate", "down\n");
    fake_file(&world->machine, "sys/class/net/eth0/speed", "-1\n");
    inventory = fake_scan(&world->machine, &world->arena);
    link = fake_find(&inventory, "net-eth0");
    assert_false(link->healthy);
    assert_int_equal(link->capacity, 0);
    /* In a container there is no device behind the link. */
    fake_remove(&world->machine, "sys/class/net/eth0/device");
    inventory = fake_scan(&world->machine, &world->arena);
    assert_non_null(fake_find(&inventory, "net-eth0"));
    assert_null(fake_find(&inventory, "net-veth1"));
}

static void what_cannot_be_read_becomes_a_note(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;

    fake_remove(&world->machine, "proc/meminfo");
    fake_folder(&world->machine, "proc/meminfo"); /* opens, but does not read */
    fake_remove(&world->machine, "proc/cpuinfo");
    fake_remove(&world->machine, "sys/block");
    fake_remove(&world->machine, "sys/class/net");
    inventory = fake_scan(&world->machine, &world->arena);
    assert_true(fake_noted(&inventory, "memory:"));
    assert_true(fake_noted(&inventory, "flags are not known"));
    assert_true(fake_noted(&inventory, "disks are not known"));
    assert_true(fake_noted(&inventory, "links are not known"));
    assert_null(fake_find(&inventory, "memory"));
    assert_int_equal(fake_find(&inventory, "cpu-package-0")->capacity, 8000);
    assert_string_equal(fake_find(&inventory, "cpu-package-0")->title,
                        "Processor, 4 cores, 8 threads");
}

static void an_empty_machine_is_no_failure(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;

    fake_remove(&world->machine, "proc");
    fake_remove(&world->machine, "sys");
    fake_file(&world->machine, "topology.xml", "<topology>");
    inventory = fake_scan(&world->machine, &world->arena);
    assert_int_equal(inventory.count, 0);
    assert_true(fake_noted(&inventory, "hwloc"));
    assert_true(fake_noted(&inventory, "no processor was found"));
    assert_true(fake_noted(&inventory, "self/mountinfo"));
}

static void fill(const struct fake_machine *machine, const char *path, const void *data, size_t len)
{
    static const char *const more[] = {"proc/meminfo",
                                       "proc/cpuinfo",
                                       "proc/self/mountinfo",
                                       "proc/self/cgroup",
                                       "proc/sys/kernel/pid_max",
                                       "sys/block/sda/size",
                                       "sys/block/sda/device/model",
                                       "sys/block/sda/device/wwid",
                                       "sys/class/net/eth0/speed",
                                       "sys/class/net/eth0/operstate",
                                       "sys/devices/system/node/node0/meminfo",
                                       "sys/class/drm/card0/device/vendor",
                                       "sys/class/drm/card0/device/uevent",
                                       "sys/fs/cgroup/user.slice/node.service/cpu.max"};

    fake_bytes(machine, path, data, len);
    for (size_t i = 0; i < HM_COUNT_OF(more); i++)
        fake_bytes(machine, more[i], data, len);
}

static void hostile_files_do_no_harm(void **state)
{
    enum { HUGE_BYTES = 6 << 20 };
    struct world *world = *state;
    uint8_t *bytes = malloc(HUGE_BYTES);
    struct asset_inventory inventory;

    assert_non_null(bytes);
    for (size_t i = 0; i < HUGE_BYTES; i++)
        bytes[i] = (uint8_t)(i * 31 + (i >> 8));
    fill(&world->machine, "proc/loadavg", bytes, HUGE_BYTES);
    inventory = fake_scan(&world->machine, &world->arena);
    for (size_t i = 0; i < inventory.count; i++)
        for (size_t k = 0; k < inventory.items[i].attribute_count; k++) {
            const char *value = inventory.items[i].attributes[k].value;

            assert_in_range(strlen(value), 1, 255);
            for (; *value != '\0'; value++)
                assert_in_range(*value, ' ', '~');
        }
    memset(bytes, 'a', HUGE_BYTES);
    fill(&world->machine, "proc/loadavg", bytes, HUGE_BYTES);
    fake_scan(&world->machine, &world->arena);
    memset(bytes, '\n', HUGE_BYTES);
    fill(&world->machine, "proc/loadavg", bytes, HUGE_BYTES);
    fake_scan(&world->machine, &world->arena);
    memset(bytes, 0, HUGE_BYTES);
    fill(&world->machine, "proc/loadavg", bytes, HUGE_BYTES);
    fake_scan(&world->machine, &world->arena);
    fill(&world->machine, "proc/loadavg", "", 0);
    fake_scan(&world->machine, &world->arena);
    free(bytes);
}

static void a_pipe_in_the_way_does_not_stop_the_scan(void **state)
{
    struct world *world = *state;
    struct asset_inventory inventory;
    char path[512];

    fake_remove(&world->machine, "proc/meminfo");
    snprintf(path, sizeof(path), "%s/meminfo", world->machine.procfs);
    assert_int_equal(mkfifo(path, 0644), 0);
    inventory = fake_scan(&world->machine, &world->arena);
    assert_true(fake_noted(&inventory, "memory:"));
}

static void processors_come_and_go(void **state)
{
    struct world *world = *state;
    struct asset_inventory before, after;
    struct asset_change *changes;
    size_t count;

    assert_int_equal(asset_scanner_new(&world->machine.sources.scanner, NULL), 0);
    before = fake_scan(&world->machine, &world->arena);
    fake_topology(&world->machine, "package:1 l3:1 core:6 l2:1 l1:1 pu:1");
    after = fake_scan(&world->machine, &world->arena);
    assert_int_equal(asset_diff(&before, &after, &world->arena, &changes, &count, NULL), 0);
    assert_int_equal(count, 3);
    assert_int_equal(changes[0].kind, ASSET_CHANGED);
    assert_string_equal(changes[0].after->hardware_id, "cpu-package-0");
    assert_int_equal(changes[0].after->capacity, 6000);
    assert_int_equal(changes[1].kind, ASSET_GONE);
    assert_string_equal(changes[1].before->hardware_id, "cpu-package-1");
    assert_int_equal(changes[2].kind, ASSET_CHANGED);
    assert_string_equal(changes[2].after->hardware_id, "slots");
}

static void every_lost_allocation_is_survived(void **state)
{
    struct world *world = *state;
    unsigned long nth;

    for (nth = 1; nth < 10000; nth++) {
        struct asset_inventory inventory = {.count = 12345};
        struct hm_arena arena;
        struct hm_error error = {0};
        int rc;

        hm_arena_init(&arena, 0);
        hm_alloc_fail_at(nth);
        rc = asset_scan(&world->machine.sources, &arena, &inventory, &error);
        hm_alloc_fail_at(0);
        hm_arena_release(&arena);
        if (rc == 0)
            break;
        assert_int_equal(rc, HM_ENOMEM);
        assert_int_equal(inventory.count, 12345);
    }
    assert_in_range(nth, 5, 9999);
}

static uint64_t now_ns(void)
{
    const struct hm_clock *clock = hm_clock_system();

    return clock->mono_ns(clock->ctx);
}

/* The real one: whatever it is, it has a processor and memory, and looking twice says the same. */
static void this_machine_is_found_quickly(void **state)
{
    struct asset_scanner *scanner;
    struct asset_sources sources = {.storage_dir = "/tmp"};
    struct asset_inventory first, second;
    struct asset_change *changes;
    struct hm_arena arena;
    uint64_t fastest = UINT64_MAX;
    size_t count;

    (void)state;
    assert_int_equal(asset_scanner_new(&scanner, NULL), 0);
    sources.scanner = scanner;
    hm_arena_init(&arena, 0);
    assert_int_equal(asset_scan(&sources, &arena, &first, NULL), 0);
    for (int i = 0; i < 3; i++) {
        uint64_t start = now_ns(), took;

        assert_int_equal(asset_scan(&sources, &arena, &second, NULL), 0);
        took = now_ns() - start;
        fastest = took < fastest ? took : fastest;
    }
    print_message("a scan of this machine takes %" PRIu64 " us\n", fastest / 1000);
    assert_true(fastest < UINT64_C(100000000));
    assert_int_equal(first.items[0].kind, HYPERMESH__ASSET_KIND__CPU);
    assert_true(first.items[0].offered && first.items[0].capacity > 0);
    assert_non_null(fake_find(&first, "memory"));
    assert_true(fake_find(&first, "memory")->capacity > 0);
    assert_int_equal(asset_diff(&first, &second, &arena, &changes, &count, NULL), 0);
    assert_int_equal(count, 0);
    hm_arena_release(&arena);
    asset_scanner_free(scanner);
    asset_scanner_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_whole_machine_is_listed_in_order),
        CASE(processors_say_what_they_are),
        CASE(memory_says_what_it_is),
        CASE(memory_errors_are_a_health_matter),
        CASE(only_links_of_the_machine_are_listed),
        CASE(what_cannot_be_read_becomes_a_note),
        CASE(an_empty_machine_is_no_failure),
        CASE(hostile_files_do_no_harm),
        CASE(a_pipe_in_the_way_does_not_stop_the_scan),
        CASE(processors_come_and_go),
        CASE(every_lost_allocation_is_survived),
        cmocka_unit_test(this_machine_is_found_quickly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
