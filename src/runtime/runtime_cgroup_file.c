#include "runtime_cgroup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define CGROUP_FILE_MAX_BYTES ((size_t)256 << 10)

bool runtime_cgroup_path(const struct runtime_cgroup_job *job, enum runtime_controller controller,
                         const char *file, char out[256])
{
    const char *mount = job->path[0] != 0 ? job->host->controllers[controller] : "";

    if (mount[0] == 0)
        return false;
    return (size_t)snprintf(out, 256, "%s%s/%s", mount, job->path, file) < 256;
}

bool runtime_cgroup_put(const char *path, const char *value)
{
    HM_AUTOCLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
}

bool runtime_cgroup_set(const struct runtime_cgroup_job *job, enum runtime_controller controller,
                        const char *file, const char *value)
{
    char path[256];

    return runtime_cgroup_path(job, controller, file, path) && runtime_cgroup_put(path, value);
}

static bool cgroup_text(const struct runtime_cgroup_job *job, enum runtime_controller controller,
                        const char *file, struct hm_buf *out)
{
    char path[256];

    return runtime_cgroup_path(job, controller, file, path) &&
           hm_file_read(path, CGROUP_FILE_MAX_BYTES, out, NULL) == 0;
}

bool runtime_cgroup_number(const struct runtime_cgroup_job *job, enum runtime_controller controller,
                           const char *file, uint64_t *out)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    const char *start;
    char *end;
    unsigned long long value;

    if (!cgroup_text(job, controller, file, &text))
        return false;
    start = hm_buf_cstr(&text);
    value = strtoull(start, &end, 10);
    if (end == start)
        return false;
    *out = value;
    return true;
}

bool runtime_cgroup_field(const struct runtime_cgroup_job *job, enum runtime_controller controller,
                          const char *file, const char *key, uint64_t *out)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    size_t len = strlen(key);

    if (!cgroup_text(job, controller, file, &text))
        return false;
    for (const char *line = hm_buf_cstr(&text); *line != 0;) {
        if (strncmp(line, key, len) == 0 && line[len] == ' ') {
            *out = strtoull(line + len + 1, NULL, 10);
            return true;
        }
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return false;
}

/* v1: lines "8:0 Read 4096"; v2: lines "8:0 rbytes=4096 wbytes=0 ...". Summed over devices. */
static void cgroup_io(const struct runtime_cgroup_job *job, bool v2, uint64_t *read_bytes,
                      uint64_t *write_bytes)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    const char *const read_key = v2 ? " rbytes=" : " Read ";
    const char *const write_key = v2 ? " wbytes=" : " Write ";
    char *save = NULL;

    if (!cgroup_text(job, RUNTIME_CONTROLLER_BLKIO,
                     v2 ? "io.stat" : "blkio.throttle.io_service_bytes_recursive", &text) ||
        hm_buf_append(&text, "", 1) != 0)
        return;
    for (char *line = strtok_r((char *)text.data, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        const char *at = strstr(line, read_key);

        if (at != NULL)
            *read_bytes += strtoull(at + strlen(read_key), NULL, 10);
        at = strstr(line, write_key);
        if (at != NULL)
            *write_bytes += strtoull(at + strlen(write_key), NULL, 10);
    }
}

static bool cgroup_is_v2(const struct runtime_cgroup_job *job)
{
    return job->host->kind == RUNTIME_CGROUP_V2;
}

bool runtime_cgroup_limit_cpu(const struct runtime_cgroup_job *job, uint64_t quota_us,
                              uint64_t period_us)
{
    char value[64];

    if (cgroup_is_v2(job)) {
        snprintf(value, sizeof(value), "%llu %llu", (unsigned long long)quota_us,
                 (unsigned long long)period_us);
        return runtime_cgroup_set(job, RUNTIME_CONTROLLER_CPU, "cpu.max", value);
    }
    snprintf(value, sizeof(value), "%llu", (unsigned long long)period_us);
    if (!runtime_cgroup_set(job, RUNTIME_CONTROLLER_CPU, "cpu.cfs_period_us", value))
        return false;
    snprintf(value, sizeof(value), "%llu", (unsigned long long)quota_us);
    return runtime_cgroup_set(job, RUNTIME_CONTROLLER_CPU, "cpu.cfs_quota_us", value);
}

bool runtime_cgroup_limit_cpuset(const struct runtime_cgroup_job *job, const char *cpus)
{
    return runtime_cgroup_set(job, RUNTIME_CONTROLLER_CPUSET, "cpuset.cpus", cpus);
}

bool runtime_cgroup_limit_memory(struct runtime_cgroup_job *job, uint64_t bytes)
{
    char value[32];

    snprintf(value, sizeof(value), "%llu", (unsigned long long)bytes);
    if (cgroup_is_v2(job)) {
        job->swap_limited = runtime_cgroup_set(job, RUNTIME_CONTROLLER_MEMORY, "memory.swap.max",
                                               "0");
        return runtime_cgroup_set(job, RUNTIME_CONTROLLER_MEMORY, "memory.max", value);
    }
    if (!runtime_cgroup_set(job, RUNTIME_CONTROLLER_MEMORY, "memory.limit_in_bytes", value))
        return false;
    job->swap_limited = runtime_cgroup_set(job, RUNTIME_CONTROLLER_MEMORY,
                                           "memory.memsw.limit_in_bytes", value);
    return true;
}

bool runtime_cgroup_limit_pids(const struct runtime_cgroup_job *job, uint64_t pids)
{
    char value[32];

    snprintf(value, sizeof(value), "%llu", (unsigned long long)pids);
    return runtime_cgroup_set(job, RUNTIME_CONTROLLER_PIDS, "pids.max", value);
}

/* v1's throttling knows no hierarchy (admin-guide/cgroup-v1/blkio-controller.rst): a limit counts only
 * in the group that the processes are in, so the container's own is made before the runtime does. */
static bool throttle_v1(const struct runtime_cgroup_job *job, const char *file, dev_t device,
                        unsigned long long bps)
{
    char path[256], value[64];

    if (bps == 0)
        return true;
    if (!runtime_cgroup_path(job, RUNTIME_CONTROLLER_BLKIO, RUNTIME_CGROUP_CONTAINER, path) ||
        (mkdir(path, 0755) != 0 && errno != EEXIST))
        return false;
    snprintf(value, sizeof(value), "%u:%u %llu", major(device), minor(device), bps);
    return runtime_cgroup_set(job, RUNTIME_CONTROLLER_BLKIO, file, value);
}

bool runtime_cgroup_limit_io(const struct runtime_cgroup_job *job, dev_t device, uint64_t read_bps,
                             uint64_t write_bps)
{
    unsigned long long r = read_bps, w = write_bps;
    char value[128];

    if (cgroup_is_v2(job)) {
        int len = snprintf(value, sizeof(value), "%u:%u", major(device), minor(device));

        if (r > 0)
            len += snprintf(value + len, sizeof(value) - (size_t)len, " rbps=%llu", r);
        if (w > 0)
            snprintf(value + len, sizeof(value) - (size_t)len, " wbps=%llu", w);
        return runtime_cgroup_set(job, RUNTIME_CONTROLLER_BLKIO, "io.max", value);
    }
    return throttle_v1(job, RUNTIME_CGROUP_CONTAINER "/blkio.throttle.read_bps_device", device,
                       r) &&
           throttle_v1(job, RUNTIME_CGROUP_CONTAINER "/blkio.throttle.write_bps_device", device, w);
}

/* v1 forgets what the container's own group has moved some milliseconds after the runtime has removed that. */
void runtime_cgroup_sample(struct runtime_cgroup_job *job)
{
    uint64_t pids, read_bytes = 0, write_bytes = 0;

    if (job->path[0] == 0)
        return;
    if ((runtime_cgroup_number(job, RUNTIME_CONTROLLER_PIDS, "pids.peak", &pids) ||
         runtime_cgroup_number(job, RUNTIME_CONTROLLER_PIDS, "pids.current", &pids)) &&
        pids > job->pids_peak)
        job->pids_peak = pids;
    cgroup_io(job, cgroup_is_v2(job), &read_bytes, &write_bytes);
    if (read_bytes > job->read_bytes)
        job->read_bytes = read_bytes;
    if (write_bytes > job->write_bytes)
        job->write_bytes = write_bytes;
}

bool runtime_cgroup_oom(const struct runtime_cgroup_job *job, bool *maybe)
{
    uint64_t count = 0;

    *maybe = false;
    if (job->path[0] == 0)
        return false;
    if (cgroup_is_v2(job))
        return runtime_cgroup_field(job, RUNTIME_CONTROLLER_MEMORY, "memory.events", "oom_kill",
                                    &count) &&
               count > 0;
    if (job->oom_event >= 0 && read(job->oom_event, &count, sizeof(count)) == sizeof(count))
        return count > 0;
    *maybe = job->oom_event < 0 &&
             runtime_cgroup_number(job, RUNTIME_CONTROLLER_MEMORY, "memory.failcnt", &count) &&
             count > 0;
    return false;
}

static void usage_v2(const struct runtime_cgroup_job *job, Hypermesh__JobUsage *usage)
{
    uint64_t us = 0;

    /* cpu.stat is there without the controller too, so it is found by the cgroup's path alone. */
    struct runtime_cgroup_host root = *job->host;
    struct runtime_cgroup_job whole = *job;

    snprintf(root.controllers[RUNTIME_CONTROLLER_CPU], sizeof(root.controllers[0]),
             "/sys/fs/cgroup");
    whole.host = &root;
    if (runtime_cgroup_field(&whole, RUNTIME_CONTROLLER_CPU, "cpu.stat", "usage_usec", &us))
        usage->cpu_ns = us * 1000;
    if (runtime_cgroup_field(&whole, RUNTIME_CONTROLLER_CPU, "cpu.stat", "user_usec", &us))
        usage->cpu_user_ns = us * 1000;
    if (runtime_cgroup_field(&whole, RUNTIME_CONTROLLER_CPU, "cpu.stat", "system_usec", &us))
        usage->cpu_system_ns = us * 1000;
    (void)runtime_cgroup_number(job, RUNTIME_CONTROLLER_MEMORY, "memory.peak",
                                &usage->memory_peak_bytes);
}

void runtime_cgroup_usage(struct runtime_cgroup_job *job, Hypermesh__JobUsage *usage)
{
    if (job->path[0] == 0)
        return;
    if (cgroup_is_v2(job)) {
        usage_v2(job, usage);
    } else {
        (void)runtime_cgroup_number(job, RUNTIME_CONTROLLER_CPUACCT, "cpuacct.usage",
                                    &usage->cpu_ns);
        (void)runtime_cgroup_number(job, RUNTIME_CONTROLLER_CPUACCT, "cpuacct.usage_user",
                                    &usage->cpu_user_ns);
        (void)runtime_cgroup_number(job, RUNTIME_CONTROLLER_CPUACCT, "cpuacct.usage_sys",
                                    &usage->cpu_system_ns);
        (void)runtime_cgroup_number(job, RUNTIME_CONTROLLER_MEMORY, "memory.max_usage_in_bytes",
                                    &usage->memory_peak_bytes);
    }
    runtime_cgroup_sample(job);
    usage->io_read_bytes = job->read_bytes;
    usage->io_write_bytes = job->write_bytes;
    usage->source = (char *)(uintptr_t)(cgroup_is_v2(job) ? "cgroup-v2" : "cgroup-v1");
}
