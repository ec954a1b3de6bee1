#include "asset_build.h"

/* Containers wait more than they run: several for each thread. */
#define CONTAINER_SLOTS_PER_CORE 4
#define CONTAINER_MAX_SLOTS      4096

static void container_bound(uint64_t pids, uint64_t *slots)
{
    /* Half of what the kernel allows stays with the machine. */
    uint64_t fit = pids / 2 / ASSET_SLOT_PIDS;

    if (fit < *slots)
        *slots = fit;
}

void asset_probe_container(struct asset_builder *build, const struct asset_cgroup_limits *limits)
{
    uint64_t slots = (build->millicores + 999) / 1000 * CONTAINER_SLOTS_PER_CORE;
    uint64_t value;
    struct asset_item *item;

    if (slots > CONTAINER_MAX_SLOTS)
        slots = CONTAINER_MAX_SLOTS;
    if (limits->pids != UINT64_MAX)
        container_bound(limits->pids, &slots);
    if (asset_read_u64(&value, "%s/sys/kernel/pid_max", build->procfs))
        container_bound(value, &slots);
    if (asset_read_u64(&value, "%s/sys/kernel/threads-max", build->procfs))
        container_bound(value, &slots);
    if (slots == 0) {
        if (build->millicores == 0)
            asset_build_note(build, "containers: no processor was found to run them");
        else
            asset_build_note(build, "containers: fewer than %d processes are allowed here",
                             2 * ASSET_SLOT_PIDS);
        return;
    }
    item = asset_build_item(build, HYPERMESH__ASSET_KIND__CONTAINER, "slots");
    if (item == NULL)
        return;
    item->found.capacity = slots;
    item->found.offered = true;
    asset_build_title(build, item, "%" PRIu64 " container slots", slots);
    asset_build_attribute(build, item, "pids-per-slot", "%d", ASSET_SLOT_PIDS);
    if (limits->pids != UINT64_MAX)
        asset_build_attribute(build, item, "cgroup-pids", "%" PRIu64, limits->pids);
}
