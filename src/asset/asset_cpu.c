/* Processors: one asset a package. Topology by hwloc, which hides what this process may not run on; flags and
 * frequency by procfs and sysfs. */
#include "asset_scanner.h"

#include <sched.h>
#include <stdio.h>

#define CPU_INFO_BYTES ((size_t)16 << 10) /* the first processor's paragraph; the file is long */
#define CPU_LIST_BYTES ASSET_VALUE_BYTES
#define CPU_MAX_CPUS   8192

struct cpu_machine {
    struct asset_cpuinfo info;
    char load[16];
    uint64_t threads; /* this process may use */
    uint64_t millicores; /* of them, after the control group's quota */
};

/* Everything the topology depends on: processors switched on, and those this process may run on. The kernel
 * counts the control group's cpuset into the latter. */
static size_t cpu_topology_key(const struct asset_builder *build,
                               uint8_t key[ASSET_TOPOLOGY_KEY_BYTES])
{
    char online[ASSET_TOPOLOGY_KEY_BYTES / 2];
    cpu_set_t *set = CPU_ALLOC(CPU_MAX_CPUS);
    size_t set_bytes = CPU_ALLOC_SIZE(CPU_MAX_CPUS), len;

    if (set == NULL)
        return 0;
    CPU_ZERO_S(set_bytes, set);
    if (sched_getaffinity(0, set_bytes, set) != 0)
        set_bytes = 0;
    asset_read_text(online, sizeof(online), "%s/devices/system/cpu/online", build->sysfs);
    len = strlen(online);
    memcpy(key, online, len);
    if (len + set_bytes <= ASSET_TOPOLOGY_KEY_BYTES) {
        memcpy(key + len, set, set_bytes);
        len += set_bytes;
    }
    CPU_FREE(set);
    return len;
}

static int cpu_configure(hwloc_topology_t topology, const char *xml)
{
    static const hwloc_obj_type_t kept[] = {HWLOC_OBJ_PACKAGE, HWLOC_OBJ_CORE, HWLOC_OBJ_L1CACHE,
                                            HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L3CACHE};

    if (hwloc_topology_set_all_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_NONE) != 0)
        return -1;
    for (size_t i = 0; i < HM_COUNT_OF(kept); i++)
        if (hwloc_topology_set_type_filter(topology, kept[i], HWLOC_TYPE_FILTER_KEEP_ALL) != 0)
            return -1;
    if (xml != NULL)
        return hwloc_topology_set_xml(topology, xml);
    /* hwloc's cpuid backend would move this thread over all processors. */
    if (hwloc_topology_set_components(topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86") !=
        0)
        return -1;
    return hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_IS_THISSYSTEM |
                                                  HWLOC_TOPOLOGY_FLAG_RESTRICT_TO_CPUBINDING);
}

static hwloc_topology_t cpu_topology_load(const char *xml)
{
    hwloc_topology_t topology;

    if (hwloc_topology_init(&topology) != 0)
        return NULL;
    if (cpu_configure(topology, xml) != 0 || hwloc_topology_load(topology) != 0) {
        hwloc_topology_destroy(topology);
        return NULL;
    }
    return topology;
}

static hwloc_topology_t cpu_topology(struct asset_builder *build)
{
    struct asset_scanner *scanner = build->scanner;
    uint8_t key[ASSET_TOPOLOGY_KEY_BYTES];
    size_t len = build->machine_is_real ? cpu_topology_key(build, key) : 0;

    if (len > 0 && scanner->topology != NULL && len == scanner->topology_key_len &&
        memcmp(key, scanner->topology_key, len) == 0)
        return scanner->topology;
    if (scanner->topology != NULL)
        hwloc_topology_destroy(scanner->topology);
    scanner->topology = cpu_topology_load(build->hwloc_xml);
    scanner->topology_key_len = len;
    memcpy(scanner->topology_key, key, len);
    return scanner->topology;
}

static unsigned cpu_count(hwloc_topology_t topology, hwloc_obj_t package, hwloc_obj_type_t type)
{
    int count = hwloc_get_nbobjs_inside_cpuset_by_type(topology, package->cpuset, type);

    return count < 0 ? 0 : (unsigned)count;
}

static void cpu_add_cache(struct asset_builder *build, struct asset_item *item,
                          hwloc_topology_t topology, hwloc_obj_t package, hwloc_obj_type_t type,
                          const char *name)
{
    hwloc_obj_t cache = hwloc_get_next_obj_inside_cpuset_by_type(topology, package->cpuset, type,
                                                                 NULL);

    /* A cache over several packages, or one this process sees a part of, is not inside the set. */
    if (cache == NULL)
        cache = hwloc_get_next_obj_covering_cpuset_by_type(topology, package->cpuset, type, NULL);
    if (cache == NULL || cache->attr == NULL || cache->attr->cache.size == 0)
        return;
    asset_build_attribute(
        build, item, name, "%u x %" PRIu64,
        cpu_count(topology, package, type) == 0 ? 1 : cpu_count(topology, package, type),
        (uint64_t)cache->attr->cache.size);
}

static void cpu_add_frequency(struct asset_builder *build, struct asset_item *item,
                              const struct cpu_machine *machine, int cpu)
{
    uint64_t khz;

    if (asset_read_u64(&khz, "%s/devices/system/cpu/cpu%d/cpufreq/cpuinfo_max_freq", build->sysfs,
                       cpu))
        asset_build_attribute(build, item, "mhz-max", "%" PRIu64, khz / 1000);
    if (asset_read_u64(&khz, "%s/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq", build->sysfs,
                       cpu))
        asset_build_live(build, item, "mhz", "%" PRIu64, khz / 1000);
    else if (machine->info.mhz > 0)
        asset_build_live(build, item, "mhz", "%" PRIu64, machine->info.mhz);
}

static void cpu_probe_package(struct asset_builder *build, const struct cpu_machine *machine,
                              hwloc_topology_t topology, hwloc_obj_t package)
{
    unsigned threads = cpu_count(topology, package, HWLOC_OBJ_PU);
    unsigned cores = cpu_count(topology, package, HWLOC_OBJ_CORE);
    const char *model = hwloc_obj_get_info_by_name(package, "CPUModel");
    const char *vendor = hwloc_obj_get_info_by_name(package, "CPUVendor");
    uint64_t index = package->os_index == HWLOC_UNKNOWN_INDEX ? 0 : package->os_index;
    char cpus[CPU_LIST_BYTES];
    struct asset_item *item;
    int len;

    if (threads == 0)
        return;
    if (model == NULL || model[0] == '\0')
        model = machine->info.model[0] == '\0' ? "Processor" : machine->info.model;
    item = asset_build_item(build, HYPERMESH__ASSET_KIND__CPU, "cpu-package-%" PRIu64, index);
    if (item == NULL)
        return;
    item->found.offered = true;
    if (!hm_muldiv_u64(machine->millicores, threads, machine->threads, &item->found.capacity))
        item->found.capacity = 0;
    asset_build_title(build, item, "%s, %u core%s, %u thread%s", model, cores,
                      cores == 1 ? "" : "s", threads, threads == 1 ? "" : "s");
    asset_build_attribute(build, item, "model", "%s", model);
    asset_build_attribute(build, item, "vendor", "%s", vendor == NULL ? "" : vendor);
    asset_build_attribute(build, item, "cores", "%u", cores);
    asset_build_attribute(build, item, "threads", "%u", threads);
    len = hwloc_bitmap_list_snprintf(cpus, sizeof(cpus), package->cpuset);
    if (len > 0 && (size_t)len < sizeof(cpus))
        asset_build_attribute(build, item, "cpus", "%s", cpus);
    asset_build_attribute(build, item, "flags", "%s", machine->info.flags);
    if (machine->millicores < machine->threads * 1000)
        asset_build_attribute(build, item, "quota-millicores", "%" PRIu64, machine->millicores);
    cpu_add_cache(build, item, topology, package, HWLOC_OBJ_L1CACHE, "cache-l1d");
    cpu_add_cache(build, item, topology, package, HWLOC_OBJ_L2CACHE, "cache-l2");
    cpu_add_cache(build, item, topology, package, HWLOC_OBJ_L3CACHE, "cache-l3");
    cpu_add_frequency(build, item, machine, hwloc_bitmap_first(package->cpuset));
    asset_build_live(build, item, "load1", "%s", machine->load);
}

static void cpu_read_machine(struct asset_builder *build, struct cpu_machine *machine)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct hm_slice rest, word;
    char load[128];

    memset(machine, 0, sizeof(*machine));
    if (asset_read_prefix(build, &text, CPU_INFO_BYTES, "%s/cpuinfo", build->procfs) == 0)
        asset_text_cpuinfo(hm_buf_slice(&text), &machine->info);
    else
        asset_build_note(build, "processors: %s/cpuinfo cannot be read: flags are not known",
                         build->procfs);
    if (asset_read_text(load, sizeof(load), "%s/loadavg", build->procfs)) {
        rest = hm_slice_str(load);
        if (asset_text_word(&rest, &word))
            asset_text_clean(word, machine->load, sizeof(machine->load));
    }
}

void asset_probe_cpu(struct asset_builder *build, const struct asset_cgroup_limits *limits)
{
    hwloc_topology_t topology = cpu_topology(build);
    hwloc_obj_t package = NULL;
    struct cpu_machine machine;
    int threads;

    if (topology == NULL) {
        asset_build_note(build, "processors: hwloc cannot read this machine's topology");
        return;
    }
    threads = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
    if (threads <= 0 || threads > CPU_MAX_CPUS) {
        asset_build_note(build, "processors: hwloc counts %d threads, at most %d are understood",
                         threads, CPU_MAX_CPUS);
        return;
    }
    cpu_read_machine(build, &machine);
    machine.threads = (uint64_t)threads;
    machine.millicores = machine.threads * 1000;
    if (limits->millicores < machine.millicores)
        machine.millicores = limits->millicores;
    build->millicores = machine.millicores;
    while ((package = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_PACKAGE, package)) != NULL)
        cpu_probe_package(build, &machine, topology, package);
    /* Some virtual and Arm machines name no packages: the whole machine is one. */
    if (hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PACKAGE) <= 0)
        cpu_probe_package(build, &machine, topology, hwloc_get_root_obj(topology));
}
