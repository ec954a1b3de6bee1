#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "asset_text.h"

static struct hm_slice text(const char *string)
{
    return hm_slice_str(string);
}

static void numbers_are_whole_or_refused(void **state)
{
    uint64_t value = 7;

    (void)state;
    assert_true(asset_text_u64(text(" 42\n"), &value));
    assert_int_equal(value, 42);
    assert_true(asset_text_u64(text("0x10dE\n"), &value));
    assert_int_equal(value, 0x10de);
    assert_true(asset_text_u64(text("18446744073709551615"), &value));
    assert_true(value == UINT64_MAX);
    value = 7;
    assert_false(asset_text_u64(text("18446744073709551616"), &value));
    assert_false(asset_text_u64(text("99999999999999999999999999999"), &value));
    assert_false(asset_text_u64(text("-1"), &value));
    assert_false(asset_text_u64(text("max"), &value));
    assert_false(asset_text_u64(text(""), &value));
    assert_false(asset_text_u64(text("1 2"), &value));
    assert_false(asset_text_u64(text("0x"), &value));
    assert_false(asset_text_u64(text("0x12345678123456789"), &value));
    assert_false(asset_text_u64(hm_slice_of("1\0"
                                            "2",
                                            3),
                                &value));
    assert_int_equal(value, 7);
}

static void text_for_people_is_printable_and_bounded(void **state)
{
    char out[8];

    (void)state;
    asset_text_clean(text("  a\x1b[31m\tb\n"), out, sizeof(out));
    assert_string_equal(out, "a [31m");
    asset_text_clean(text("abcdefghij"), out, sizeof(out));
    assert_string_equal(out, "abcdefg");
    asset_text_clean(text("\xff\xfe\x01"), out, sizeof(out));
    assert_string_equal(out, "");
    asset_text_clean(text("abcdef g"), out, sizeof(out));
    assert_string_equal(out, "abcdef");
    asset_text_id(text(" a/b:c \n"), out, sizeof(out));
    assert_string_equal(out, "a-b-c");
}

static void meminfo_of_machine_and_node(void **state)
{
    struct asset_meminfo info = {.total = 5};

    (void)state;
    assert_false(asset_text_meminfo(text("MemFree: 1 kB\nMemTotal: x kB\n"), &info));
    assert_false(asset_text_meminfo(text("MemTotal: 18446744073709551615 kB\n"), &info));
    assert_int_equal(info.total, 5);
    assert_true(asset_text_meminfo(text("MemTotal:  8 kB\nHugePages_Total: 3\n"
                                        "Hugepagesize: 2048 kB"),
                                   &info));
    assert_int_equal(info.total, 8192);
    assert_int_equal(info.huge_bytes, 3 * (2 << 20));
    assert_true(asset_text_meminfo(text("Node 1 MemTotal: 16 kB\nNode 1 MemFree: 4 kB\n"), &info));
    assert_int_equal(info.total, 16384);
    assert_int_equal(info.free, 4096);
}

static void cpuinfo_keeps_the_interesting_flags(void **state)
{
    struct asset_cpuinfo info;

    (void)state;
    asset_text_cpuinfo(text("model name : A  B\nflags : fpu vaes aes aesx\ncpu MHz : 1999.9\n"),
                       &info);
    assert_string_equal(info.model, "A B");
    assert_string_equal(info.flags, "aes vaes");
    assert_int_equal(info.mhz, 1999);
    asset_text_cpuinfo(text("Features\t: fp asimd sha2 sve\n"), &info);
    assert_string_equal(info.flags, "asimd sha2 sve");
    assert_string_equal(info.model, "");
    assert_int_equal(info.mhz, 0);
}

static void mounts_are_found_by_longest_point(void **state)
{
    static const char table[] = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
                                "garbage\n"
                                "2 1 8:2 / /data rw,noatime shared:1 master:2 - xfs /dev/sda2 rw\n"
                                "3 1 8:3 / /data rw - xfs /dev/sda3 rw\n"
                                "4 1 8:4 /sub /with\\040space ro - ext4 /dev/sda4 rw\n"
                                "5 1 8:5 / /bad\\09x rw - ext4 /dev/sda5 rw\n";
    struct asset_mount mount;

    (void)state;
    assert_true(asset_text_mount_of(text(table), "/data/node", &mount));
    assert_int_equal(mount.minor, 3); /* mounted over the other */
    assert_true(asset_text_mount_of(text(table), "/database", &mount));
    assert_int_equal(mount.minor, 1);
    assert_true(asset_text_mount_of(text(table), "/with space", &mount));
    assert_int_equal(mount.minor, 4);
    assert_string_equal(mount.root, "/sub");
    assert_true(mount.read_only);
    assert_false(asset_text_mount_of(text("garbage"), "/data", &mount));
    assert_false(asset_text_mount(text("1 0 8:1 / / rw shared:1"), &mount));
    assert_false(asset_text_mount(text("1 0 81 / / rw - a b c"), &mount));
}

static void cgroup_hierarchies_are_told_apart(void **state)
{
    static const char mounts[] =
        "1 0 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "2 0 0:2 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "3 0 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    static const char cgroup[] =
        "5:cpu,cpuacct:/a\n4:memory:/docker/x/y\n3:name=systemd:/s\n0::/u\n";
    struct asset_mount mount;
    char path[16];

    (void)state;
    assert_true(asset_text_cgroup_mount(text(mounts), "cpu", &mount));
    assert_int_equal(mount.minor, 1);
    assert_true(asset_text_cgroup_mount(text(mounts), NULL, &mount));
    assert_int_equal(mount.minor, 3);
    assert_false(asset_text_cgroup_mount(text(mounts), "pids", &mount));
    assert_true(asset_text_cgroup_path(text(cgroup), "cpuacct", path, sizeof(path)));
    assert_string_equal(path, "/a");
    assert_true(asset_text_cgroup_path(text(cgroup), NULL, path, sizeof(path)));
    assert_string_equal(path, "/u");
    assert_false(asset_text_cgroup_path(text(cgroup), "cpuset", path, sizeof(path)));
    assert_false(asset_text_cgroup_path(text("0::relative\n"), NULL, path, sizeof(path)));
    assert_false(asset_text_cgroup_path(text("0::/0123456789abcdef\n"), NULL, path, sizeof(path)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_whole_or_refused),
        cmocka_unit_test(text_for_people_is_printable_and_bounded),
        cmocka_unit_test(meminfo_of_machine_and_node),
        cmocka_unit_test(cpuinfo_keeps_the_interesting_flags),
        cmocka_unit_test(mounts_are_found_by_longest_point),
        cmocka_unit_test(cgroup_hierarchies_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
