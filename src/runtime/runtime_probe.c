/* What this machine can do, found out by doing it: the smallest container, made the way jobs are. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime_rootfs.h"
#include "runtime_sandbox.h"
#include "runtime_watch.h"

#define PROBE_NAME         "probe" /* and the process's number: a probe's id */
#define PROBE_LIMIT_MS     10000
#define PROBE_VERSION_MS   5000
#define PROBE_MEMORY_BYTES (UINT64_C(64) << 20)

struct probe {
    struct runtime_machine machine;
    struct runtime_cgroup_host host;
    char id[RUNTIME_JOB_ID_MAX + 1];
    char dir[RUNTIME_PATH_MAX_BYTES / 4];
    struct hm_error last; /* why the attempt before did not work */
};

static void probe_warn(struct probe *probe, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void probe_warn(struct probe *probe, const char *format, ...)
{
    struct runtime_machine *machine = &probe->machine;
    va_list args;

    if (machine->warning_count == HM_COUNT_OF(machine->warnings))
        return;
    va_start(args, format);
    vsnprintf(machine->warnings[machine->warning_count++], sizeof(machine->warnings[0]), format,
              args);
    va_end(args);
}

static bool probe_find(const char *name, char *path, size_t size)
{
    static const char *const folders[] = {"/usr/bin",        "/usr/sbin", "/usr/local/bin",
                                          "/usr/local/sbin", "/bin",      "/sbin"};

    for (size_t i = 0; i < HM_COUNT_OF(folders); i++) {
        snprintf(path, size, "%s/%s", folders[i], name);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

/* "runc version 1.1.5+ds1" or "crun version 1.8.1": the third word. */
static void probe_version(const char *path, char *out, size_t size)
{
    const char *argv[] = {path, "--version", NULL};
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    const char *at;
    int status = 0;

    snprintf(out, size, "unknown");
    if (runtime_child_run(argv, PROBE_VERSION_MS, &text, 4096, &status, NULL) != 0 || status != 0)
        return;
    at = strstr(hm_buf_cstr(&text), "version ");
    if (at != NULL)
        snprintf(out, size, "%.*s", (int)strcspn(at + 8, " \n+"), at + 8);
}

/* A root with this machine's own programs in it, read-only. Folders that are links on a merged /usr
 * are links here too. */
static int probe_root(struct probe *probe, struct runtime_bundle_mount *mounts, size_t *count,
                      struct hm_error *error)
{
    static const char *const names[] = {"/usr", "/bin", "/lib", "/lib64", "/sbin"};
    static const char *const folders[] = {"", "proc", "dev", "tmp"};
    char path[RUNTIME_PATH_MAX_BYTES];

    for (size_t i = 0; i < HM_COUNT_OF(folders); i++) {
        int rc;

        snprintf(path, sizeof(path), "%s/lower/%s", probe->dir, folders[i]);
        rc = hm_mkdir_all(path, 0755, error);
        if (rc != 0)
            return rc;
    }
    for (size_t i = 0; i < HM_COUNT_OF(names); i++) {
        char target[256];
        ssize_t len = readlink(names[i], target, sizeof(target) - 1);

        snprintf(path, sizeof(path), "%s/lower%s", probe->dir, names[i]);
        if (len > 0) {
            target[len] = 0;
            if (symlink(target, path) != 0)
                return hm_fail_errno(error, HM_EIO, "cannot make %s", path);
        } else if (access(names[i], F_OK) == 0) {
            if (mkdir(path, 0755) != 0)
                return hm_fail_errno(error, HM_EIO, "cannot make %s", path);
            mounts[(*count)++] = (struct runtime_bundle_mount){names[i], names[i], false};
        }
    }
    return 0;
}

static int probe_container(struct probe *probe, const struct runtime_bundle *bundle,
                           struct runtime_oci *oci, struct hm_error *error)
{
    HM_CLEANUP(runtime_child) struct runtime_child child = {.pidfd = -1, .out = -1, .err = -1};
    int status = 0;
    int rc = hm_mkdir_all(oci->bundle, 0700, error);

    if (rc == 0)
        rc = hm_mkdir_all(oci->root, 0700, error);
    if (rc == 0)
        rc = runtime_bundle_write(bundle, oci->bundle, error);
    if (rc == 0)
        rc = runtime_oci_run(oci, &child, error);
    if (rc == 0)
        rc = runtime_child_wait(&child, PROBE_LIMIT_MS, &status, NULL, error);
    if (rc == 0 && status != 0) {
        char message[256];

        runtime_oci_message(oci, message, sizeof(message));
        rc = hm_fail(error, HM_EUNAVAILABLE, "%s %s cannot start a container: %s",
                     probe->machine.oci_name, probe->machine.oci_version,
                     message[0] != 0 ? message : "it gave no reason");
    }
    return rc;
}

static int probe_limits(struct probe *probe, struct runtime_cgroup_job *job, struct hm_error *error)
{
    struct runtime_machine *machine = &probe->machine;
    int rc = runtime_cgroup_open(&probe->host, probe->id, job, error);

    if (rc != 0 || job->path[0] == 0)
        return rc;
    machine->limit_cpu = runtime_cgroup_limit_cpu(job, RUNTIME_CPU_PERIOD_DEFAULT_US,
                                                  RUNTIME_CPU_PERIOD_DEFAULT_US);
    machine->limit_memory = runtime_cgroup_limit_memory(job, PROBE_MEMORY_BYTES);
    machine->limit_pids = runtime_cgroup_limit_pids(job, RUNTIME_PIDS_DEFAULT);
    machine->limit_io = probe->host.controllers[RUNTIME_CONTROLLER_BLKIO][0] != 0;
    if (machine->limit_memory && !job->swap_limited)
        probe_warn(probe,
                   "swap is not limited: the kernel counts none (swapaccount=1 turns it on)");
    return 0;
}

static int probe_try(struct probe *probe, struct hm_error *error)
{
    static const char *const commands[] = {"/usr/bin/true", "/bin/true"};
    const struct runtime_machine *machine = &probe->machine;
    HM_AUTOFREE struct runtime_oci *oci = hm_calloc(1, sizeof(*oci));
    struct runtime_limits limits = {.cpu_quota_us = RUNTIME_CPU_PERIOD_DEFAULT_US,
                                    .cpu_period_us = RUNTIME_CPU_PERIOD_DEFAULT_US,
                                    .memory_bytes = PROBE_MEMORY_BYTES,
                                    .storage_bytes = PROBE_MEMORY_BYTES,
                                    .pids = RUNTIME_PIDS_DEFAULT};
    struct runtime_cgroup_job job = {.oom_event = -1};
    struct runtime_bundle_mount mounts[8];
    char lower[RUNTIME_PATH_MAX_BYTES], rootfs[RUNTIME_PATH_MAX_BYTES], cgroup[80];
    const char *layers[] = {lower};
    struct runtime_rootfs_plan plan = {
        probe->id, probe->dir, machine->rootless, machine->overlayfs, machine->mapped, layers, 1};
    struct runtime_bundle bundle = {.argv = &commands[access(commands[0], X_OK) == 0 ? 0 : 1],
                                    .argc = 1,
                                    .workdir = "/",
                                    .hostname = "probe",
                                    .limits = &limits,
                                    .mapped = machine->mapped,
                                    .rootless = machine->rootless,
                                    .timeout_ms = PROBE_LIMIT_MS,
                                    .mounts = mounts};
    int rc = oci != NULL ? 0 : hm_fail(error, HM_ENOMEM, "no memory to probe");

    if (rc == 0)
        rc = hm_mkdir_all(probe->dir, 0700, error);
    if (rc == 0)
        rc = runtime_oci_init(oci, machine, probe->id, probe->dir, error);
    if (rc == 0)
        rc = probe_root(probe, mounts, &bundle.mount_count, error);
    if (rc == 0)
        rc = probe_limits(probe, &job, error);
    if (rc != 0)
        return rc;
    hm_fd_release(&job.oom_event);
    snprintf(lower, sizeof(lower), "%s/lower", probe->dir);
    snprintf(cgroup, sizeof(cgroup), "%s/" RUNTIME_CGROUP_CONTAINER, job.path);
    bundle.cgroup = job.path[0] != 0 ? cgroup : NULL;
    bundle.deny_devices = machine->cgroup == RUNTIME_CGROUP_V1 ||
                          (!machine->mapped && !machine->rootless);
    bundle.rlimit_pids = !machine->limit_pids;
    bundle.rlimit_cpu = !machine->limit_cpu;
    rc = runtime_rootfs_claim(probe->id, machine->rootless, error);
    if (rc == 0)
        rc = runtime_rootfs_make(&plan, rootfs, error);
    bundle.rootfs = rootfs;
    return rc != 0 ? rc : probe_container(probe, &bundle, oci, error);
}

/* One combination from nothing to nothing. */
static bool probe_works(struct probe *probe, bool mapped, bool overlay)
{
    struct runtime_machine *machine = &probe->machine;
    int rc;

    machine->mapped = mapped;
    machine->overlayfs = overlay;
    machine->warning_count = 0;
    machine->limit_cpu = machine->limit_memory = machine->limit_pids = machine->limit_io = false;
    rc = probe_try(probe, &probe->last);
    (void)runtime_sandbox_clear(machine, &probe->host, probe->id, probe->dir, NULL);
    (void)hm_remove_tree(probe->dir, NULL);
    return rc == 0;
}

static bool probe_runtime(struct probe *probe, const char *name)
{
    struct runtime_machine *machine = &probe->machine;
    char path[sizeof(machine->oci_path)];

    if (!probe_find(name, path, sizeof(path)))
        return false;
    snprintf(machine->oci_name, sizeof(machine->oci_name), "%s", name);
    snprintf(machine->oci_path, sizeof(machine->oci_path), "%s", path);
    probe_version(path, machine->oci_version, sizeof(machine->oci_version));
    if (machine->rootless)
        return probe_works(probe, false, false);
    if (runtime_can_map_users() &&
        (probe_works(probe, true, true) || probe_works(probe, true, false)))
        return true;
    return probe_works(probe, false, true) || probe_works(probe, false, false);
}

static void probe_warnings(struct probe *probe)
{
    const struct runtime_machine *machine = &probe->machine;

    if (!machine->limit_cpu)
        probe_warn(probe, "the CPU share is not held, only each process's CPU time: %s",
                   machine->rootless ? "an ordinary user has no cgroup here; run the node as root"
                                     : "the kernel offers no cgroup controller for it");
    if (!machine->limit_memory)
        probe_warn(
            probe,
            "the memory limit is held by measuring %d times a second and killing past it, not "
            "by a cgroup",
            1000 / RUNTIME_WATCH_FAST_TICK_MS);
    if (!machine->limit_pids)
        probe_warn(probe,
                   "the process limit is held by an rlimit of the job's user, not by a cgroup");
    if (!machine->rootless && !machine->mapped)
        probe_warn(probe, "no user namespace: root in a job is root of this machine without "
                          "capabilities");
    if (!machine->overlayfs && !machine->rootless)
        probe_warn(probe, "no overlayfs: each job copies its image first");
    probe_warn(
        probe,
        "the storage limit is held by measuring %d times a second and killing past it; for a "
        "single file at once",
        1000 / RUNTIME_WATCH_TICK_MS);
}

/* A process that ended while it probed could not take its mounts and cgroups with it. Its folder lies in the same state
 * folder, and names it. */
static void probe_sweep(struct probe *probe, const char *state_dir)
{
    DIR *folder = opendir(state_dir);
    const struct dirent *entry;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char path[RUNTIME_PATH_MAX_BYTES];
        int pid, used = 0;

        if (sscanf(entry->d_name, PROBE_NAME "%d%n", &pid, &used) != 1 ||
            entry->d_name[used] != '\0' || pid <= 0 || kill(pid, 0) == 0 || errno != ESRCH)
            continue;
        if (runtime_path_join(path, sizeof(path), state_dir, entry->d_name, NULL) != 0)
            continue;
        (void)runtime_sandbox_clear(&probe->machine, &probe->host, entry->d_name, path, NULL);
        (void)hm_remove_tree(path, NULL);
    }
    if (folder != NULL)
        (void)closedir(folder);
}

int runtime_probe(const char *state_dir, const char *prefer, struct runtime_machine *out,
                  struct hm_error *error)
{
    const char *names[3] = {prefer, "crun", "runc"};
    HM_AUTOFREE struct probe *probe = hm_calloc(1, sizeof(*probe));
    int rc;

    if (probe == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to probe");
    if (prefer != NULL && strcmp(prefer, "crun") != 0 && strcmp(prefer, "runc") != 0)
        return hm_fail(error, HM_EINVAL, "\"%s\" is not an OCI runtime known here: crun or runc",
                       prefer);
    rc = runtime_host_path_check(state_dir, "the state folder", error);
    if (rc == 0)
        rc = runtime_cgroup_host_read(&probe->host, error);
    if (rc == 0)
        rc = hm_mkdir_all(state_dir, 0700, error);
    if (rc != 0)
        return rc;
    snprintf(probe->id, sizeof(probe->id), PROBE_NAME "%d", (int)getpid());
    if (snprintf(probe->dir, sizeof(probe->dir), "%s/%s", state_dir, probe->id) >=
        (int)sizeof(probe->dir))
        return hm_fail(error, HM_ELIMIT, "the state folder's path is too long");
    (void)hm_remove_tree(probe->dir, NULL);
    probe->machine.rootless = geteuid() != 0;
    if (probe->machine.rootless)
        probe->host.kind = RUNTIME_CGROUP_NONE;
    probe->machine.cgroup = probe->host.kind;
    probe_sweep(probe, state_dir);
    for (size_t i = prefer != NULL ? 0 : 1; i < HM_COUNT_OF(names); i++) {
        if (!probe_runtime(probe, names[i]))
            continue;
        probe_warnings(probe);
        *out = probe->machine;
        return 0;
    }
    return hm_fail(error, HM_EUNAVAILABLE, "no OCI runtime works here (install crun or runc)%s%s",
                   probe->last.text[0] != 0 ? ": " : "", probe->last.text);
}
