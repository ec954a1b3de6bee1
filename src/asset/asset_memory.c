#include "asset_build.h"

#include <stdio.h>

/* What stays with the machine: the system, page tables, this node. */
#define MEMORY_RESERVE_BYTES (UINT64_C(512) << 20)
#define MEMORY_RESERVE_PART  10 /* or one tenth, when that is more */
/* Kernels of one machine differ by a little in MemTotal; the asset should not. */
#define MEMORY_STEP_BYTES (UINT64_C(16) << 20)
#define MEMORY_MAX_NODES  16 /* listed one by one */

static uint64_t memory_capacity(const struct asset_meminfo *info, uint64_t limit)
{
    uint64_t total = info->total, reserve;

    /* Reserved huge pages are not there for ordinary programs. */
    total = info->huge_bytes < total ? total - info->huge_bytes : 0;
    if (limit < total)
        total = limit;
    reserve = total / MEMORY_RESERVE_PART;
    if (reserve < MEMORY_RESERVE_BYTES)
        reserve = MEMORY_RESERVE_BYTES;
    if (reserve > total / 2)
        reserve = total / 2;
    return (total - reserve) / MEMORY_STEP_BYTES * MEMORY_STEP_BYTES;
}

static void memory_probe_nodes(struct asset_builder *build, struct asset_item *item)
{
    char path[ASSET_PATH_BYTES];
    const char **names;
    size_t count, nodes = 0;

    if (snprintf(path, sizeof(path), "%s/devices/system/node", build->sysfs) >= (int)sizeof(path) ||
        asset_read_folder(build, path, &names, &count) != 0)
        return; /* kernels without NUMA have no such folder */
    for (size_t i = 0; i < count; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf text = {0};
        struct asset_meminfo info;
        uint64_t number;
        char name[48];

        if (strncmp(names[i], "node", 4) != 0 ||
            !asset_text_u64(hm_slice_str(names[i] + 4), &number))
            continue;
        nodes++;
        if (nodes > MEMORY_MAX_NODES ||
            asset_read_prefix(build, &text, ASSET_MAX_TEXT_BYTES, "%s/%s/meminfo", path,
                              names[i]) != 0 ||
            !asset_text_meminfo(hm_buf_slice(&text), &info))
            continue;
        /* Live: hypervisors move memory between nodes while the machine's total stays. */
        snprintf(name, sizeof(name), "numa%" PRIu64 "-bytes", number);
        asset_build_live(build, item, name, "%" PRIu64, info.total);
    }
    if (nodes > 0)
        asset_build_attribute(build, item, "numa-nodes", "%zu", nodes);
}

/* EDAC counts errors that ECC could not correct (Documentation/driver-api/edac.rst). */
static void memory_probe_health(struct asset_builder *build, struct asset_item *item)
{
    char path[ASSET_PATH_BYTES];
    const char **names;
    size_t count;

    if (snprintf(path, sizeof(path), "%s/devices/system/edac/mc", build->sysfs) >=
            (int)sizeof(path) ||
        asset_read_folder(build, path, &names, &count) != 0)
        return;
    for (size_t i = 0; i < count; i++) {
        uint64_t errors;

        if (strncmp(names[i], "mc", 2) == 0 &&
            asset_read_u64(&errors, "%s/%s/ue_count", path, names[i]) && errors > 0)
            asset_build_unhealthy(build, item,
                                  "memory controller %s has seen errors that ECC could not correct",
                                  names[i]);
    }
}

void asset_probe_memory(struct asset_builder *build, const struct asset_cgroup_limits *limits)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct asset_meminfo info;
    struct asset_item *item;
    char size[32];

    if (asset_read_prefix(build, &text, ASSET_MAX_TEXT_BYTES, "%s/meminfo", build->procfs) != 0 ||
        !asset_text_meminfo(hm_buf_slice(&text), &info)) {
        asset_build_note(build, "memory: %s/meminfo cannot be read or has no MemTotal",
                         build->procfs);
        return;
    }
    item = asset_build_item(build, HYPERMESH__ASSET_KIND__MEMORY, "memory");
    if (item == NULL)
        return;
    item->found.capacity = memory_capacity(&info, limits->memory_bytes);
    item->found.offered = true;
    hm_size_format(info.total, size);
    asset_build_title(build, item, "Memory, %s", size);
    asset_build_attribute(build, item, "total-bytes", "%" PRIu64, info.total);
    if (limits->memory_bytes < info.total)
        asset_build_attribute(build, item, "cgroup-limit-bytes", "%" PRIu64, limits->memory_bytes);
    if (info.huge_page > 0)
        asset_build_attribute(build, item, "huge-page-bytes", "%" PRIu64, info.huge_page);
    asset_build_attribute(build, item, "huge-pages", "%" PRIu64, info.huge_count);
    asset_build_attribute(build, item, "swap-bytes", "%" PRIu64, info.swap);
    asset_build_live(build, item, "available-bytes", "%" PRIu64, info.available);
    asset_build_live(build, item, "free-bytes", "%" PRIu64, info.free);
    asset_build_live(build, item, "huge-pages-free", "%" PRIu64, info.huge_free);
    memory_probe_nodes(build, item);
    memory_probe_health(build, item);
}
