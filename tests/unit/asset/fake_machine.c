#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <hwloc.h>
#include <sys/stat.h>

#include "fake_machine.h"

static void fake_path(const struct fake_machine *machine, const char *path, char out[512])
{
    assert_true(snprintf(out, 512, "%s/%s", machine->root, path) < 512);
}

static void fake_parent(const char *path)
{
    char parent[512];

    snprintf(parent, sizeof(parent), "%s", path);
    *strrchr(parent, '/') = '\0';
    assert_int_equal(hm_mkdir_all(parent, 0755, NULL), 0);
}

void fake_bytes(const struct fake_machine *machine, const char *path, const void *data, size_t len)
{
    char full[512];
    int fd;

    fake_path(machine, path, full);
    fake_parent(full);
    fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(hm_write_all(fd, data, len, NULL), 0);
    close(fd);
}

void fake_file(const struct fake_machine *machine, const char *path, const char *content)
{
    fake_bytes(machine, path, content, strlen(content));
}

void fake_link(const struct fake_machine *machine, const char *path, const char *target)
{
    char full[512];

    fake_path(machine, path, full);
    fake_parent(full);
    assert_int_equal(symlink(target, full), 0);
}

void fake_folder(const struct fake_machine *machine, const char *path)
{
    char full[512];

    fake_path(machine, path, full);
    assert_int_equal(hm_mkdir_all(full, 0755, NULL), 0);
}

void fake_remove(const struct fake_machine *machine, const char *path)
{
    char full[512];
    struct stat stat;

    fake_path(machine, path, full);
    if (lstat(full, &stat) == 0 && !S_ISDIR(stat.st_mode))
        assert_int_equal(unlink(full), 0);
    else
        assert_int_equal(hm_remove_tree(full, NULL), 0);
}

void fake_topology(const struct fake_machine *machine, const char *synthetic)
{
    hwloc_topology_t topology;

    assert_int_equal(hwloc_topology_init(&topology), 0);
    assert_int_equal(hwloc_topology_set_synthetic(topology, synthetic), 0);
    assert_int_equal(hwloc_topology_load(topology), 0);
    assert_int_equal(hwloc_topology_export_xml(topology, machine->xml, 0), 0);
    hwloc_topology_destroy(topology);
}

void fake_mounts(const struct fake_machine *machine, const char *more)
{
    char text[4096];

    assert_true(snprintf(text, sizeof(text),
                         "21 1 0:30 / / rw,relatime - overlay overlay rw,lowerdir=/a,upperdir=/b\n"
                         "22 21 0:5 / /proc rw - proc proc rw\n"
                         "23 21 0:6 / /sys rw - sysfs sysfs rw\n"
                         "24 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
                         "25 21 259:1 / %s rw,noatime shared:7 - ext4 /dev/nvme0n1p1 rw\n%s",
                         machine->disk, more) < (int)sizeof(text));
    fake_file(machine, "proc/self/mountinfo", text);
}

static void fake_procfs(const struct fake_machine *machine)
{
    fake_file(machine, "proc/cpuinfo",
              "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: Fake EPYC 9000  \n"
              "cpu MHz\t\t: 2450.125\nflags\t\t: fpu vme aes avx2 sha_ni avx512f vaes\n\n"
              "processor\t: 1\nmodel name\t: never read\n");
    fake_file(
        machine, "proc/meminfo",
        "MemTotal:       67108864 kB\nMemFree:        1000000 kB\nMemAvailable:   50000000 kB\n"
        "SwapTotal:             0 kB\nHugePages_Total:    1024\nHugePages_Free:      512\n"
        "Hugepagesize:       2048 kB\nHugetlb:         2097152 kB\n");
    fake_file(machine, "proc/loadavg", "3.25 2.00 1.00 2/345 6789\n");
    fake_file(machine, "proc/sys/kernel/pid_max", "4194304\n");
    fake_file(machine, "proc/sys/kernel/threads-max", "510000\n");
    fake_file(machine, "proc/self/cgroup", "0::/user.slice/node.service\n");
    fake_mounts(machine, "");
}

static void fake_sysfs(const struct fake_machine *machine)
{
    fake_file(machine, "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3700000\n");
    fake_file(machine, "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "3100000\n");
    fake_file(machine, "sys/devices/system/node/node0/meminfo", "Node 0 MemTotal: 33554432 kB\n");
    fake_file(machine, "sys/devices/system/node/node1/meminfo", "Node 1 MemTotal: 33554432 kB\n");
    fake_file(machine, "sys/block/nvme0n1/size", "2000409264\n");
    fake_file(machine, "sys/block/nvme0n1/wwid", "eui.0025385b01402a5c\n");
    fake_file(machine, "sys/block/nvme0n1/queue/rotational", "0\n");
    fake_file(machine, "sys/block/nvme0n1/device/model", "Fast Disk 1TB            \n");
    fake_file(machine, "sys/block/nvme0n1/device/state", "live\n");
    fake_link(machine, "sys/dev/block/259:1",
              "../../devices/pci0/nvme/nvme0/block/nvme0n1/nvme0n1p1");
    fake_file(machine, "sys/block/sda/size", "7814037168\n");
    fake_file(machine, "sys/block/sda/device/wwid", "naa.5000c500a1b2c3d4\n");
    fake_file(machine, "sys/block/sda/queue/rotational", "1\n");
    fake_file(machine, "sys/block/sda/device/model", "Slow Disk 4TB\n");
    fake_file(machine, "sys/block/sda/device/state", "running\n");
    fake_file(machine, "sys/block/loop0/size", "1000\n");
    fake_folder(machine, "sys/class/net/eth0/device");
    fake_file(machine, "sys/class/net/eth0/speed", "10000\n");
    fake_file(machine, "sys/class/net/eth0/mtu", "9000\n");
    fake_file(machine, "sys/class/net/eth0/operstate", "up\n");
    fake_file(machine, "sys/class/net/lo/mtu", "65536\n");
    fake_file(machine, "sys/class/net/veth1/mtu", "1500\n");
    fake_folder(machine, "sys/fs/cgroup/user.slice/node.service");
}

void fake_machine_make(struct fake_machine *machine)
{
    const char *temp = getenv("TMPDIR");

    memset(machine, 0, sizeof(*machine));
    snprintf(machine->root, sizeof(machine->root), "%.200s/hm-asset-XXXXXX",
             temp == NULL ? "/tmp" : temp);
    assert_non_null(mkdtemp(machine->root));
    snprintf(machine->sysfs, sizeof(machine->sysfs), "%s/sys", machine->root);
    snprintf(machine->procfs, sizeof(machine->procfs), "%s/proc", machine->root);
    snprintf(machine->xml, sizeof(machine->xml), "%s/topology.xml", machine->root);
    snprintf(machine->disk, sizeof(machine->disk), "%s/disk", machine->root);
    fake_folder(machine, "disk/node");
    fake_procfs(machine);
    fake_sysfs(machine);
    fake_topology(machine, "package:2 l3:1 core:4 l2:1 l1:1 pu:2");
    machine->sources = (struct asset_sources){.sysfs = machine->sysfs,
                                              .procfs = machine->procfs,
                                              .nvml = "libno-such-library.so.0",
                                              .hwloc_xml = machine->xml,
                                              .storage_dir = machine->disk};
}

void fake_machine_remove(struct fake_machine *machine)
{
    assert_int_equal(hm_remove_tree(machine->root, NULL), 0);
}

struct asset_inventory fake_scan(const struct fake_machine *machine, struct hm_arena *arena)
{
    struct asset_inventory inventory;
    struct hm_error error = {0};

    if (asset_scan(&machine->sources, arena, &inventory, &error) != 0)
        fail_msg("asset_scan: %s", error.text);
    return inventory;
}

const struct asset_found *fake_find(const struct asset_inventory *inventory, const char *id)
{
    for (size_t i = 0; i < inventory->count; i++)
        if (strcmp(inventory->items[i].hardware_id, id) == 0)
            return &inventory->items[i];
    return NULL;
}

static const char *fake_value(const struct asset_attribute *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return list[i].value;
    return "";
}

const char *fake_attribute(const struct asset_found *found, const char *name)
{
    return fake_value(found->attributes, found->attribute_count, name);
}

const char *fake_live(const struct asset_found *found, const char *name)
{
    return fake_value(found->live, found->live_count, name);
}

bool fake_noted(const struct asset_inventory *inventory, const char *part)
{
    for (size_t i = 0; i < inventory->note_count; i++)
        if (strstr(inventory->notes[i], part) != NULL)
            return true;
    return false;
}
