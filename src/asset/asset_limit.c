#include "asset_limit.h"

#include <inttypes.h>

#include <stdio.h>

/* The kernel refuses larger memory.max and quotas; also keeps sums far from wrapping. */
#define LIMIT_MAX_BYTES    (UINT64_C(1) << 60)
#define LIMIT_MAX_QUOTA_US (UINT64_C(1) << 40)
#define LIMIT_MAX_GPUS     64
#define LIMIT_MAX_PIDS     4194304 /* PID_MAX_LIMIT of 64-bit kernels */

int asset_share_amount(const struct asset_share *share, uint64_t *amount, struct hm_error *error)
{
    uint64_t value;

    if (share->share_ppm == 0 || share->share_ppm > ASSET_SHARE_WHOLE_PPM)
        return hm_fail(error, HM_ERANGE, "a share of %s is %u ppm, must be 1 to %d",
                       share->hardware_id, share->share_ppm, ASSET_SHARE_WHOLE_PPM);
    if (!hm_muldiv_u64(share->asset->capacity, share->share_ppm, ASSET_SHARE_WHOLE_PPM, &value) ||
        value == 0)
        return hm_fail(
            error, HM_ERANGE, "%u ppm of %s is less than one of its %s: lease a larger share",
            share->share_ppm, share->hardware_id, wire_asset_kind_unit(share->asset->kind));
    *amount = value;
    return 0;
}

static const char *limit_attribute(const struct asset_found *found, const char *name)
{
    for (size_t i = 0; i < found->attribute_count; i++)
        if (strcmp(found->attributes[i].name, name) == 0)
            return found->attributes[i].value;
    return NULL;
}

/* The hardware behind a share, when it is here and well, and how much of it the share is. */
static int limit_find(const struct asset_inventory *machine, const struct asset_share *share,
                      Hypermesh__AssetKind kind, const struct asset_found **found, uint64_t *amount,
                      struct hm_error *error)
{
    if (share->asset->kind != kind)
        return hm_fail(error, HM_EINVAL, "%s is registered as %s, not as %s", share->hardware_id,
                       wire_asset_kind_name(share->asset->kind), wire_asset_kind_name(kind));
    for (size_t i = 0; i < machine->count; i++) {
        const struct asset_found *item = &machine->items[i];

        if (item->kind != kind || strcmp(item->hardware_id, share->hardware_id) != 0)
            continue;
        if (!item->healthy)
            return hm_fail(error, HM_EUNAVAILABLE, "%s is not healthy: %s", share->hardware_id,
                           item->health == NULL ? "no reason given" : item->health);
        if (!item->offered)
            return hm_fail(error, HM_EUNAVAILABLE,
                           "%s is on this machine, but shares of it cannot be "
                           "enforced",
                           share->hardware_id);
        *found = item;
        return asset_share_amount(share, amount, error);
    }
    return hm_fail(error, HM_EUNAVAILABLE, "%s is not on this machine any more",
                   share->hardware_id);
}

static int limit_add(uint64_t *sum, uint64_t more, uint64_t most, const char *what,
                     struct hm_error *error)
{
    uint64_t value;

    if (!hm_add_u64(*sum, more, &value) || value > most)
        return hm_fail(error, HM_ERANGE,
                       "the lease's %s is more than the %" PRIu64 " a sandbox can have", what,
                       most);
    *sum = value;
    return 0;
}

static size_t limit_count_kind(const struct asset_inventory *machine, Hypermesh__AssetKind kind)
{
    size_t count = 0;

    for (size_t i = 0; i < machine->count; i++)
        count += machine->items[i].kind == kind;
    return count;
}

/* The packages that are leased are the ones to run on. With one package there is nothing to choose, and naming
 * its processors would only fail where the cpuset controller is not ours. */
static int limit_join_cpuset(const struct asset_inventory *machine, const struct asset_found *found,
                             const Hypermesh__SandboxLimits *limits, struct hm_arena *arena,
                             char **out, struct hm_error *error)
{
    const char *cpus = limit_attribute(found, "cpus");
    bool has_some = limits->cpuset != NULL && limits->cpuset[0] != '\0';
    bool first = limits->cpu_quota_us == 0;

    *out = limits->cpuset;
    if (limit_count_kind(machine, HYPERMESH__ASSET_KIND__CPU) < 2)
        return 0;
    if (cpus == NULL ||
        (!first && !has_some)) /* a set without one of them would shut that one out */
        *out = hm_arena_strdup(arena, "");
    else
        *out = hm_arena_printf(arena, "%s%s%s", has_some ? limits->cpuset : "", has_some ? "," : "",
                               cpus);
    if (*out == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the limits of a sandbox");
    return 0;
}

int asset_limit_cpu(const struct asset_inventory *machine, const struct asset_share *share,
                    struct hm_arena *arena, Hypermesh__SandboxLimits *limits,
                    struct hm_error *error)
{
    const struct asset_found *found;
    uint64_t millicores, quota, sum = limits->cpu_quota_us;
    char *cpuset;
    int rc = limit_find(machine, share, HYPERMESH__ASSET_KIND__CPU, &found, &millicores, error);

    if (rc != 0)
        return rc;
    if (millicores < ASSET_CPU_MIN_MILLICORES)
        return hm_fail(error, HM_ERANGE,
                       "%" PRIu64 " millicores of %s are too few: the kernel "
                       "enforces %d and more",
                       millicores, share->hardware_id, ASSET_CPU_MIN_MILLICORES);
    /* From the share itself: millicores are rounded already. */
    if (!hm_muldiv_u64(share->asset->capacity, share->share_ppm,
                       UINT64_C(1000) * ASSET_SHARE_WHOLE_PPM / ASSET_CPU_PERIOD_US, &quota))
        return hm_fail(error, HM_ERANGE, "%s has more capacity than a quota can say",
                       share->hardware_id);
    rc = limit_add(&sum, quota, LIMIT_MAX_QUOTA_US, "CPU quota", error);
    if (rc == 0)
        rc = limit_join_cpuset(machine, found, limits, arena, &cpuset, error);
    if (rc != 0)
        return rc;
    limits->cpuset = cpuset;
    limits->cpu_quota_us = sum;
    limits->cpu_period_us = ASSET_CPU_PERIOD_US;
    return 0;
}

int asset_limit_memory(const struct asset_inventory *machine, const struct asset_share *share,
                       struct hm_arena *arena, Hypermesh__SandboxLimits *limits,
                       struct hm_error *error)
{
    const struct asset_found *found;
    uint64_t bytes;
    int rc = limit_find(machine, share, HYPERMESH__ASSET_KIND__MEMORY, &found, &bytes, error);

    (void)arena;
    return rc != 0 ? rc : limit_add(&limits->memory_bytes, bytes, LIMIT_MAX_BYTES, "memory", error);
}

int asset_limit_storage(const struct asset_inventory *machine, const struct asset_share *share,
                        struct hm_arena *arena, Hypermesh__SandboxLimits *limits,
                        struct hm_error *error)
{
    const struct asset_found *found;
    uint64_t bytes;
    int rc = limit_find(machine, share, HYPERMESH__ASSET_KIND__STORAGE, &found, &bytes, error);

    (void)arena;
    return rc != 0 ? rc
                   : limit_add(&limits->storage_bytes, bytes, LIMIT_MAX_BYTES, "storage", error);
}

int asset_limit_container(const struct asset_inventory *machine, const struct asset_share *share,
                          struct hm_arena *arena, Hypermesh__SandboxLimits *limits,
                          struct hm_error *error)
{
    const struct asset_found *found;
    uint64_t slots, pids, sum = limits->pids;
    int rc = limit_find(machine, share, HYPERMESH__ASSET_KIND__CONTAINER, &found, &slots, error);

    (void)arena;
    if (rc != 0)
        return rc;
    if (!hm_mul_u64(slots, ASSET_SLOT_PIDS, &pids))
        pids = UINT64_MAX;
    rc = limit_add(&sum, pids, LIMIT_MAX_PIDS, "number of processes", error);
    if (rc == 0)
        limits->pids = (uint32_t)sum;
    return rc;
}

int asset_limit_gpu(const struct asset_inventory *machine, const struct asset_share *share,
                    struct hm_arena *arena, Hypermesh__SandboxLimits *limits,
                    struct hm_error *error)
{
    const struct asset_found *found;
    size_t count = limits->n_gpu_devices;
    const char *cdi;
    char **devices;
    uint64_t milli;
    int rc = limit_find(machine, share, HYPERMESH__ASSET_KIND__GPU, &found, &milli, error);

    if (rc != 0)
        return rc;
    cdi = limit_attribute(found, "cdi");
    if (cdi == NULL)
        return hm_fail(error, HM_EUNAVAILABLE, "%s has no name a container runtime knows",
                       share->hardware_id);
    if (milli > 1000)
        return hm_fail(error, HM_ERANGE, "%s is registered with more than a whole device",
                       share->hardware_id);
    if (count > 0 && limits->gpu_milli != milli)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "GPUs of one lease must have equal shares for now: %u "
                       "and %" PRIu64 " thousandths are asked for",
                       limits->gpu_milli, milli);
    if (count >= LIMIT_MAX_GPUS)
        return hm_fail(error, HM_ELIMIT, "a sandbox takes at most %d GPUs", LIMIT_MAX_GPUS);
    devices = hm_arena_alloc(arena, (count + 1) * sizeof(*devices));
    if (devices == NULL || (devices[count] = hm_arena_strdup(arena, cdi)) == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the limits of a sandbox");
    if (count > 0)
        memcpy(devices, limits->gpu_devices, count * sizeof(*devices));
    limits->gpu_devices = devices;
    limits->n_gpu_devices = count + 1;
    limits->gpu_milli = (uint32_t)milli;
    return 0;
}
