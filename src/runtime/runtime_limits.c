#include "runtime_limits.h"

#include <stdio.h>

static uint64_t limit_first(uint64_t a, uint64_t b, uint64_t fallback)
{
    return a != 0 ? a : b != 0 ? b : fallback;
}

/* A lease comes in whole slots and shares: a job that asks for less than it holds gets what it asked. */
static uint64_t limit_smaller(uint64_t lease, uint64_t asked, uint64_t fallback)
{
    return lease != 0 && asked != 0 && asked < lease ? asked : limit_first(lease, asked, fallback);
}

static int limits_check(const struct runtime_limits *limits, struct hm_error *error)
{
    if (limits->cpu_period_us < 1000 || limits->cpu_period_us > 1000000)
        return hm_fail(error, HM_EINVAL, "the CPU period must be 1000-1000000 us");
    if (limits->cpu_quota_us < RUNTIME_CPU_QUOTA_MIN_US ||
        limits->cpu_quota_us > limits->cpu_period_us * 65536)
        return hm_fail(error, HM_EINVAL, "the CPU share is too small or too large");
    if (limits->memory_bytes < RUNTIME_MEMORY_MIN_BYTES || limits->memory_bytes > INT64_MAX)
        return hm_fail(error, HM_EINVAL, "a sandbox needs at least %llu MiB of memory",
                       (unsigned long long)(RUNTIME_MEMORY_MIN_BYTES >> 20));
    if (limits->storage_bytes > INT64_MAX || limits->pids > INT32_MAX)
        return hm_fail(error, HM_EINVAL, "the storage or process limit is out of range");
    if (limits->cpuset[strspn(limits->cpuset, "0123456789,-")] != 0)
        return hm_fail(error, HM_EINVAL, "a CPU set looks like 0-3,8");
    return 0;
}

int runtime_limits_of(const Hypermesh__JobSpec *spec, const Hypermesh__SandboxLimits *lease,
                      struct runtime_limits *out, struct hm_error *error)
{
    static const Hypermesh__SandboxLimits silent = HYPERMESH__SANDBOX_LIMITS__INIT;
    struct runtime_limits limits = {0};
    int rc;

    if (lease == NULL)
        lease = &silent;
    limits.cpu_period_us = limit_first(lease->cpu_period_us, 0, RUNTIME_CPU_PERIOD_DEFAULT_US);
    limits.cpu_quota_us = lease->cpu_quota_us;
    if (limits.cpu_quota_us == 0) {
        uint64_t milli = limit_first(spec->cpu_milli, 0, 1000);

        limits.cpu_quota_us = milli * limits.cpu_period_us / 1000;
        if (limits.cpu_quota_us < RUNTIME_CPU_QUOTA_MIN_US)
            limits.cpu_quota_us = RUNTIME_CPU_QUOTA_MIN_US;
    }
    limits.memory_bytes = limit_smaller(lease->memory_bytes, spec->memory_bytes,
                                        RUNTIME_MEMORY_DEFAULT_BYTES);
    limits.storage_bytes = limit_smaller(lease->storage_bytes, spec->storage_bytes,
                                         RUNTIME_STORAGE_DEFAULT_BYTES);
    limits.pids = limit_smaller(lease->pids, spec->pids, RUNTIME_PIDS_DEFAULT);
    limits.io_read_bps = lease->io_read_bps;
    limits.io_write_bps = lease->io_write_bps;
    if (lease->n_gpu_devices == 0 && lease->gpu_milli > 0)
        return hm_fail(error, HM_EINVAL, "the lease holds a share of GPUs but names no GPU");
    if (lease->gpu_milli > 1000)
        return hm_fail(error, HM_EINVAL, "a GPU has 1000 thousandths, the lease says %u",
                       lease->gpu_milli);
    if (lease->n_gpu_devices > 0)
        limits.gpu_milli = (uint32_t)limit_first(lease->gpu_milli, 0, 1000);
    if (lease->cpuset != NULL) {
        if (strlen(lease->cpuset) >= sizeof(limits.cpuset))
            return hm_fail(error, HM_EINVAL, "the CPU set has more than %zu characters",
                           sizeof(limits.cpuset) - 1);
        snprintf(limits.cpuset, sizeof(limits.cpuset), "%s", lease->cpuset);
    }
    rc = limits_check(&limits, error);
    if (rc == 0)
        *out = limits;
    return rc;
}
