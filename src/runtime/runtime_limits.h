/* What one job may use: the lease's limits, and the job's own wishes where the lease is silent. */
#ifndef HM_RUNTIME_LIMITS_H
#define HM_RUNTIME_LIMITS_H

#include "runtime.h"

struct runtime_limits {
    uint64_t cpu_quota_us; /* of each cpu_period_us */
    uint64_t cpu_period_us;
    char cpuset[256]; /* "" : any */
    uint64_t memory_bytes;
    uint64_t storage_bytes;
    uint64_t pids;
    uint64_t io_read_bps; /* 0: no limit */
    uint64_t io_write_bps;
    uint32_t gpu_milli; /* of each GPU; 0 without GPUs */
};

#define RUNTIME_CPU_PERIOD_DEFAULT_US 100000
#define RUNTIME_CPU_QUOTA_MIN_US      1000 /* the kernel's own minimum */
#define RUNTIME_MEMORY_DEFAULT_BYTES  (UINT64_C(256) << 20)
#define RUNTIME_MEMORY_MIN_BYTES      (UINT64_C(4) << 20)
#define RUNTIME_STORAGE_DEFAULT_BYTES (UINT64_C(1) << 30)
#define RUNTIME_PIDS_DEFAULT          256

/* HM_EINVAL for values that no kernel takes. */
int runtime_limits_of(const Hypermesh__JobSpec *spec, const Hypermesh__SandboxLimits *lease,
                      struct runtime_limits *out, struct hm_error *error);

#endif
