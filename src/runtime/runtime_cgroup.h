/* A job's own cgroup, /hypermesh/ID, made by us below the mounts that the host has; the OCI runtime
 * puts the container into /hypermesh/ID/c. So limits hold whatever the runtime does, and what was
 * counted is still there when the container is gone. Nothing else of the host's cgroups is changed
 * (with v2, controllers are switched on for children of the root and of /hypermesh).
 *
 * Kernel documentation: admin-guide/cgroup-v1/, admin-guide/cgroup-v2.rst. */
#ifndef HM_RUNTIME_CGROUP_H
#define HM_RUNTIME_CGROUP_H

#include <sys/types.h>

#include "runtime_limits.h"
#include "runtime_path.h"

#define RUNTIME_CGROUP_MAX_MOUNTS 24
#define RUNTIME_CGROUP_CONTAINER  "c" /* the container's group, below the job's */

enum runtime_controller {
    RUNTIME_CONTROLLER_CPU,
    RUNTIME_CONTROLLER_CPUACCT,
    RUNTIME_CONTROLLER_MEMORY,
    RUNTIME_CONTROLLER_PIDS,
    RUNTIME_CONTROLLER_BLKIO, /* "io" in v2 */
    RUNTIME_CONTROLLER_CPUSET,
    RUNTIME_CONTROLLER_COUNT
};

struct runtime_cgroup_host {
    enum runtime_cgroup kind;
    size_t mount_count;
    char mounts[RUNTIME_CGROUP_MAX_MOUNTS][128]; /* every hierarchy, for removal */
    char controllers[RUNTIME_CONTROLLER_COUNT][128]; /* mount of each; "" when there is none */
};

struct runtime_cgroup_job {
    const struct runtime_cgroup_host *host;
    char path[64]; /* "/hypermesh/ID"; "" when there is none */
    int oom_event; /* v1: eventfd that the kernel raises; else -1 */
    uint64_t pids_peak;
    uint64_t read_bytes, write_bytes; /* most that was seen */
    bool swap_limited;
};

/* Reads the mount table; does not change anything. */
int runtime_cgroup_host_read(struct runtime_cgroup_host *out, struct hm_error *error);
/* Makes the job's cgroup; HM_EEXIST when one of that id holds processes. */
int runtime_cgroup_open(const struct runtime_cgroup_host *host, const char *id,
                        struct runtime_cgroup_job *out, struct hm_error *error);
/* Kills whatever is left in it and removes it, and /hypermesh when it is empty then. Idempotent. */
int runtime_cgroup_remove(const struct runtime_cgroup_host *host, const char *id,
                          struct hm_error *error);
/* Each returns whether the kernel took the value. */
bool runtime_cgroup_limit_cpu(const struct runtime_cgroup_job *job, uint64_t quota_us,
                              uint64_t period_us);
bool runtime_cgroup_limit_cpuset(const struct runtime_cgroup_job *job, const char *cpus);
bool runtime_cgroup_limit_memory(struct runtime_cgroup_job *job, uint64_t bytes);
bool runtime_cgroup_limit_pids(const struct runtime_cgroup_job *job, uint64_t pids);
bool runtime_cgroup_limit_io(const struct runtime_cgroup_job *job, dev_t device, uint64_t read_bps,
                             uint64_t write_bps);
/* Remembers what is only known while the job runs. */
void runtime_cgroup_sample(struct runtime_cgroup_job *job);
/* Whether the memory limit made the kernel kill. maybe: only the counter of refusals says so. */
bool runtime_cgroup_oom(const struct runtime_cgroup_job *job, bool *maybe);
/* Fills everything but output_bytes, wall_ms and gpu_ns. */
void runtime_cgroup_usage(struct runtime_cgroup_job *job, Hypermesh__JobUsage *usage);
/* "cgroup v1", "cgroup v2", "no cgroup" */
const char *runtime_cgroup_name(enum runtime_cgroup kind);

#endif
