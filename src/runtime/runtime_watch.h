/* One running job: moves its output into the log, notices its end, stops it when it must. */
#ifndef HM_RUNTIME_WATCH_H
#define HM_RUNTIME_WATCH_H

#include "runtime_cgroup.h"
#include "runtime_log.h"
#include "runtime_oci.h"
#include "runtime_spawn.h"

#define RUNTIME_WATCH_MAX_FOLDERS 65
#define RUNTIME_WATCH_TICK_MS     250 /* storage and process counts are looked at this often */

#define RUNTIME_WATCH_FAST_TICK_MS 50 /* where memory, too, can only be measured */

enum runtime_stop {
    RUNTIME_STOP_NONE,
    RUNTIME_STOP_CANCEL,
    RUNTIME_STOP_TIMEOUT,
    RUNTIME_STOP_STORAGE,
    RUNTIME_STOP_MEMORY,
    RUNTIME_STOP_START /* it did not start in time */
};

struct runtime_watch {
    /* set by the caller; all borrowed */
    struct runtime_child *child;
    const struct runtime_oci *oci;
    const struct runtime_job_request *request;
    struct runtime_cgroup_job *cgroup;
    struct runtime_log *log;
    uint64_t timeout_ms;
    uint64_t start_limit_ms;
    uint64_t storage_bytes;
    uint64_t memory_bytes; /* 0: the kernel holds it */
    int folders[RUNTIME_WATCH_MAX_FOLDERS]; /* what the job writes to, beside its tmpfs */
    size_t folder_count;
    /* what happened */
    enum runtime_stop stop;
    bool started; /* the container's first process ran */
    uint64_t memory_peak; /* measured; 0 when the kernel counts */
    bool forced; /* SIGKILL was needed */
    bool
        deserted; /* somebody killed the OCI runtime while the container ran; the container is killed too */
    int status; /* of the OCI runtime's process, as waitpid gives it */
    struct rusage usage;
    uint64_t wall_ms;
    /* its own */
    uint64_t start_ns, deadline_ns, kill_ns, next_look_ns;
    uint64_t storage_base;
    pid_t init;
    int init_fd;
};

/* Returns when the runtime's process is gone and its output is in the log. */
int runtime_watch_run(struct runtime_watch *watch, struct hm_error *error);

#endif
