#include "runtime_bundle.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "runtime_cdi.h"
#include "runtime_json.h"
#include "runtime_layer.h"
#include "runtime_seccomp.h"

static json_t *bundle_texts(const char *const *texts, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        if (json_array_append_new(list, json_string(texts[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* Never above what the caller itself may have: raising it would need a capability. */
static int bundle_rlimit(json_t *list, const char *name, int which, uint64_t wanted)
{
    struct rlimit have;

    if (getrlimit((__rlimit_resource_t)which, &have) == 0 && have.rlim_max != RLIM_INFINITY &&
        have.rlim_max < wanted)
        wanted = have.rlim_max;
    return json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "type", name, "hard",
                                                 (json_int_t)wanted, "soft", (json_int_t)wanted));
}

static json_t *bundle_rlimits(const struct runtime_bundle *bundle)
{
    const struct runtime_limits *limits = bundle->limits;
    json_t *list = json_array();
    int bad = 0;

    bad |= bundle_rlimit(list, "RLIMIT_CORE", RLIMIT_CORE, 0);
    bad |= bundle_rlimit(list, "RLIMIT_NOFILE", RLIMIT_NOFILE, RUNTIME_OPEN_FILES);
    bad |= bundle_rlimit(list, "RLIMIT_FSIZE", RLIMIT_FSIZE, limits->storage_bytes);
    if (bundle->rlimit_pids)
        bad |= bundle_rlimit(list, "RLIMIT_NPROC", RLIMIT_NPROC, limits->pids);
    if (bundle->rlimit_cpu) {
        uint64_t ms = 0;

        if (!hm_muldiv_up_u64(bundle->timeout_ms, limits->cpu_quota_us, limits->cpu_period_us, &ms))
            ms = UINT32_MAX;
        bad |= bundle_rlimit(list, "RLIMIT_CPU", RLIMIT_CPU, ms / 1000 + 1);
    }
    if (bad != 0) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static json_t *bundle_process(const struct runtime_bundle *bundle)
{
    return json_pack(
        "{s:b, s:{s:I, s:I}, s:o, s:o, s:s, s:{s:[], s:[], s:[], s:[], s:[]}, s:b, s:o, s:i}",
        "terminal", 0, "user", "uid", (json_int_t)bundle->uid, "gid", (json_int_t)bundle->gid,
        "args", bundle_texts(bundle->argv, bundle->argc), "env",
        bundle_texts(bundle->env, bundle->envc), "cwd", bundle->workdir, "capabilities", "bounding",
        "effective", "inheritable", "permitted", "ambient", "noNewPrivileges", 1, "rlimits",
        bundle_rlimits(bundle), "oomScoreAdj", 500);
}

static int mount_add(json_t *list, const char *target, const char *type, const char *source,
                     const char *const *options)
{
    size_t count = 0;

    while (options[count] != NULL)
        count++;
    return json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "destination", target,
                                                 "type", type, "source", source, "options",
                                                 bundle_texts(options, count)));
}

static json_t *bundle_mounts(const struct runtime_bundle *bundle)
{
    uint64_t tmp = bundle->limits->storage_bytes < RUNTIME_TMP_MAX_BYTES
                       ? bundle->limits->storage_bytes
                       : RUNTIME_TMP_MAX_BYTES;
    json_t *list = json_array();
    char size[64];
    int bad = 0;

    snprintf(size, sizeof(size), "size=%llu", (unsigned long long)tmp);
    bad |= mount_add(list, "/proc", "proc", "proc",
                     (const char *const[]){"nosuid", "noexec", "nodev", NULL});
    bad |= mount_add(
        list, "/dev", "tmpfs", "tmpfs",
        (const char *const[]){"nosuid", "strictatime", "mode=755", "size=65536k", NULL});
    bad |= mount_add(list, "/dev/pts", "devpts", "devpts",
                     (const char *const[]){"nosuid", "noexec", "newinstance", "ptmxmode=0666",
                                           "mode=0620", NULL});
    bad |= mount_add(list, "/dev/shm", "tmpfs", "shm",
                     (const char *const[]){"nosuid", "noexec", "nodev", "mode=1777", size, NULL});
    bad |= mount_add(list, "/dev/mqueue", "mqueue", "mqueue",
                     (const char *const[]){"nosuid", "noexec", "nodev", NULL});
    bad |= mount_add(list, "/tmp", "tmpfs", "tmpfs",
                     (const char *const[]){"nosuid", "nodev", "mode=1777", size, NULL});
    for (size_t i = 0; i < bundle->mount_count; i++) {
        const struct runtime_bundle_mount *mount = &bundle->mounts[i];

        bad |= mount_add(list, mount->target, "bind", mount->source,
                         (const char *const[]){"rbind", mount->writable ? "rw" : "ro", "nosuid",
                                               "nodev", "rprivate", NULL});
    }
    if (bad != 0) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static json_t *bundle_namespaces(const struct runtime_bundle *bundle)
{
    static const char *const always[] = {"pid", "mount", "ipc", "uts", "cgroup"};
    json_t *list = json_array();
    int bad = 0;

    for (size_t i = 0; i < HM_COUNT_OF(always); i++)
        bad |= json_array_append_new(list, json_pack("{s:s}", "type", always[i]));
    if (!bundle->network)
        bad |= json_array_append_new(list, json_pack("{s:s}", "type", "network"));
    if (bundle->mapped || bundle->rootless)
        bad |= json_array_append_new(list, json_pack("{s:s}", "type", "user"));
    if (bad != 0) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static json_t *bundle_map(uint64_t host, uint64_t count)
{
    return json_pack("[{s:i, s:I, s:I}]", "containerID", 0, "hostID", (json_int_t)host, "size",
                     (json_int_t)count);
}

static json_t *bundle_linux(const struct runtime_bundle *bundle)
{
    static const char *const masked[] = {
        "/proc/acpi",        "/proc/asound",     "/proc/interrupts", "/proc/kcore",
        "/proc/keys",        "/proc/key-users",  "/proc/kmsg",       "/proc/latency_stats",
        "/proc/sched_debug", "/proc/scsi",       "/proc/timer_list", "/proc/timer_stats",
        "/proc/vmallocinfo", "/proc/kpagecount", "/proc/kpageflags", "/proc/kpagecgroup",
        "/proc/config.gz"};
    static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                           "/proc/sysrq-trigger"};
    json_t *json = json_pack("{s:o, s:o, s:o, s:o}", "namespaces", bundle_namespaces(bundle),
                             "maskedPaths", bundle_texts(masked, HM_COUNT_OF(masked)),
                             "readonlyPaths", bundle_texts(readonly, HM_COUNT_OF(readonly)),
                             "seccomp", runtime_seccomp_profile());
    int bad = json == NULL;

    if (!bad && bundle->deny_devices)
        bad |= json_object_set_new(
            json, "resources",
            json_pack("{s:[{s:b, s:s}]}", "devices", "allow", 0, "access", "rwm"));
    if (!bad && bundle->cgroup != NULL)
        bad |= json_object_set_new(json, "cgroupsPath", json_string(bundle->cgroup));
    if (!bad && bundle->mapped) {
        bad |= json_object_set_new(json, "uidMappings",
                                   bundle_map(RUNTIME_UID_BASE, RUNTIME_UID_COUNT));
        bad |= json_object_set_new(json, "gidMappings",
                                   bundle_map(RUNTIME_UID_BASE, RUNTIME_UID_COUNT));
    } else if (!bad && bundle->rootless) {
        bad |= json_object_set_new(json, "uidMappings", bundle_map(geteuid(), 1));
        bad |= json_object_set_new(json, "gidMappings", bundle_map(getegid(), 1));
    }
    if (bad) {
        json_decref(json);
        return NULL;
    }
    return json;
}

json_t *runtime_bundle_json(const struct runtime_bundle *bundle)
{
    return json_pack("{s:s, s:s, s:o, s:{s:s, s:b}, s:o, s:o}", "ociVersion", "1.0.2", "hostname",
                     bundle->hostname, "process", bundle_process(bundle), "root", "path",
                     bundle->rootfs, "readonly", 0, "mounts", bundle_mounts(bundle), "linux",
                     bundle_linux(bundle));
}

int runtime_bundle_write(const struct runtime_bundle *bundle, const char *dir,
                         struct hm_error *error)
{
    RUNTIME_JSON *json = runtime_bundle_json(bundle);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    char path[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int fd = -1;
    int rc;

    if (json == NULL)
        return hm_fail(error, HM_EINVAL,
                       "the command, an environment variable or a path is not UTF-8, or "
                       "memory is out");
    rc = bundle->cdi != NULL ? runtime_cdi_apply(bundle->cdi, json, error) : 0;
    if (rc == 0)
        rc = runtime_json_write(json, &text, error);
    if (rc == 0)
        rc = runtime_path_join(path, sizeof(path), dir, "config.json", error);
    if (rc != 0)
        return rc;
    /* Read within milliseconds and thrown away after the job: not worth an fsync. */
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return hm_fail_errno(error, HM_EIO, "cannot write %s", path);
    return hm_write_all(fd, text.data, text.len, error);
}
