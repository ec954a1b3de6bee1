#include "runtime_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "runtime_gpu.h"
#include "runtime_rootfs.h"

void runtime_warn(struct runtime_job_result *result, const char *format, ...)
{
    va_list args;
    char *text;

    if (result->warning_count == HM_COUNT_OF(result->warnings))
        return;
    text = result->warnings[result->warning_count++];
    va_start(args, format);
    vsnprintf(text, sizeof(result->warnings[0]), format, args);
    va_end(args);
    hm_text_clean(text);
}

static int job_check_env(const Hypermesh__JobSpec *spec, struct hm_error *error)
{
    if (spec->n_env > RUNTIME_JOB_MAX_ENV || spec->n_command > RUNTIME_JOB_MAX_ARGS)
        return hm_fail(error, HM_ELIMIT, "a job has at most %d arguments and %d variables",
                       RUNTIME_JOB_MAX_ARGS, RUNTIME_JOB_MAX_ENV);
    for (size_t i = 0; i < spec->n_env; i++) {
        if (spec->env[i]->name[0] == 0 || strchr(spec->env[i]->name, '=') != NULL)
            return hm_fail(error, HM_EINVAL,
                           "env[%zu]: a variable's name is not empty and has no \"=\"", i);
    }
    return 0;
}

static int job_check_mounts(const Hypermesh__JobSpec *spec, struct hm_error *error)
{
    int rc = 0;

    if (spec->n_inputs > RUNTIME_JOB_MAX_INPUTS || spec->n_outputs > RUNTIME_JOB_MAX_OUTPUTS)
        return hm_fail(error, HM_ELIMIT, "a job has at most %d inputs and %d outputs",
                       RUNTIME_JOB_MAX_INPUTS, RUNTIME_JOB_MAX_OUTPUTS);
    for (size_t i = 0; rc == 0 && i < spec->n_inputs; i++) {
        rc = runtime_host_path_check(spec->inputs[i]->source, "inputs.source", error);
        if (rc == 0)
            rc = runtime_mount_point_check(spec->inputs[i]->target, "inputs.target", error);
    }
    for (size_t i = 0; rc == 0 && i < spec->n_outputs; i++) {
        rc = runtime_mount_point_check(spec->outputs[i]->source, "outputs.source", error);
        if (rc == 0)
            rc = runtime_host_path_check(spec->outputs[i]->target, "outputs.target", error);
    }
    return rc;
}

int runtime_job_check(const struct runtime_machine *machine,
                      const struct runtime_job_request *request, struct hm_error *error)
{
    int rc = runtime_job_id_check(request->id, error);

    if (rc == 0)
        rc = runtime_host_path_check(request->dir, "the job's folder", error);
    if (rc != 0)
        return rc;
    if (machine->oci_path[0] == 0)
        return hm_fail(error, HM_EUNAVAILABLE, "no OCI runtime works here; install crun or runc");
    if (strlen(request->dir) > RUNTIME_PATH_MAX_BYTES / 4)
        return hm_fail(error, HM_ELIMIT, "the job's folder has a path of more than %d bytes",
                       RUNTIME_PATH_MAX_BYTES / 4);
    if (request->spec->workdir != NULL && request->spec->workdir[0] != 0)
        rc = runtime_host_path_check(request->spec->workdir, "workdir", error);
    if (rc == 0)
        rc = job_check_env(request->spec, error);
    return rc != 0 ? rc : job_check_mounts(request->spec, error);
}

void runtime_sandbox_release(struct runtime_sandbox *sandbox)
{
    hm_fd_release(&sandbox->cgroup.oom_event);
    sandbox->cgroup.oom_event = -1;
    hm_arena_release(&sandbox->arena);
}

int runtime_output_folder(const char *dir, size_t at, char out[RUNTIME_PATH_MAX_BYTES],
                          struct hm_error *error)
{
    char name[32];

    snprintf(name, sizeof(name), "out/%zu", at);
    return runtime_path_join(out, RUNTIME_PATH_MAX_BYTES, dir, name, error);
}

/* Layers in the form this machine uses, then the root file system over them. */
static int sandbox_root(struct runtime_sandbox *sandbox, struct runtime_images *images,
                        struct hm_error *error)
{
    const struct runtime_machine *machine = sandbox->machine;
    const struct runtime_image_loaded *loaded = sandbox->loaded;
    const char **layers = hm_arena_alloc(&sandbox->arena,
                                         (loaded->config.layer_count + 1) * sizeof(*layers));
    struct runtime_rootfs_plan plan = {
        .id = sandbox->request->id,
        .dir = sandbox->request->dir,
        .rootless = machine->rootless,
        .overlay = machine->overlayfs,
        .mapped = machine->mapped,
        .layers = layers,
        .layer_count = loaded->config.layer_count,
    };

    if (layers == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a sandbox");
    for (size_t i = 0; i < loaded->config.layer_count; i++) {
        char path[RUNTIME_PATH_MAX_BYTES];
        int rc = runtime_image_layer(images, loaded, i, machine->mapped, path, error);

        if (rc != 0)
            return rc;
        layers[i] = hm_arena_strdup(&sandbox->arena, path);
        if (layers[i] == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for a sandbox");
    }
    return runtime_rootfs_make(&plan, sandbox->rootfs, error);
}

/* The whole disk below a file system: throttling knows no partitions. 0 when there is none (tmpfs,
 * btrfs, network). */
static dev_t sandbox_disk(const char *dir)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct stat info;
    char path[128];
    unsigned disk_major, disk_minor;

    if (stat(dir, &info) != 0 || major(info.st_dev) == 0)
        return 0;
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major(info.st_dev),
             minor(info.st_dev));
    if (access(path, F_OK) != 0)
        return info.st_dev;
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../dev", major(info.st_dev),
             minor(info.st_dev));
    if (hm_file_read(path, 64, &text, NULL) != 0 ||
        sscanf(hm_buf_cstr(&text), "%u:%u", &disk_major, &disk_minor) != 2)
        return 0;
    return makedev(disk_major, disk_minor);
}

static void sandbox_limit_io(struct runtime_sandbox *sandbox)
{
    const struct runtime_limits *limits = &sandbox->limits;
    dev_t disk;

    if (limits->io_read_bps == 0 && limits->io_write_bps == 0)
        return;
    disk = sandbox->cgroup.path[0] != 0 ? sandbox_disk(sandbox->request->dir) : 0;
    if (disk == 0 ||
        !runtime_cgroup_limit_io(&sandbox->cgroup, disk, limits->io_read_bps, limits->io_write_bps))
        runtime_warn(sandbox->result,
                     "the I/O limit does not hold: no cgroup controller for this disk");
    else if (sandbox->machine->cgroup == RUNTIME_CGROUP_V1 && limits->io_write_bps != 0)
        runtime_warn(sandbox->result,
                     "the I/O write limit holds for direct and synchronous writes only "
                     "(cgroup v1)");
}

static int sandbox_cgroup(struct runtime_sandbox *sandbox, struct hm_error *error)
{
    const struct runtime_limits *limits = &sandbox->limits;
    struct runtime_cgroup_job *job = &sandbox->cgroup;
    int rc = runtime_cgroup_open(&sandbox->cgroup_host, sandbox->request->id, job, error);

    if (rc != 0)
        return rc;
    sandbox_limit_io(sandbox);
    if (job->path[0] == 0) {
        if (limits->cpuset[0] != 0)
            runtime_warn(sandbox->result, "the CPU set does not hold: no cgroup can be used here");
        return 0;
    }
    if (sandbox->machine->limit_cpu &&
        !runtime_cgroup_limit_cpu(job, limits->cpu_quota_us, limits->cpu_period_us))
        return hm_fail_errno(error, HM_EIO, "the kernel refuses the CPU limit");
    if (sandbox->machine->limit_memory && !runtime_cgroup_limit_memory(job, limits->memory_bytes))
        return hm_fail_errno(error, HM_EIO, "the kernel refuses the memory limit");
    if (sandbox->machine->limit_pids && !runtime_cgroup_limit_pids(job, limits->pids))
        return hm_fail_errno(error, HM_EIO, "the kernel refuses the process limit");
    if (limits->cpuset[0] != 0 &&
        sandbox->cgroup_host.controllers[RUNTIME_CONTROLLER_CPUSET][0] == 0)
        runtime_warn(sandbox->result, "the CPU set does not hold: the kernel offers no controller "
                                      "for it");
    else if (limits->cpuset[0] != 0 && !runtime_cgroup_limit_cpuset(job, limits->cpuset))
        return hm_fail_errno(error, HM_EINVAL, "the kernel refuses the CPU set %s", limits->cpuset);
    return 0;
}

/* Keeps what it got so far; warns of what the machine cannot hold. */
static void sandbox_warn_machine(struct runtime_sandbox *sandbox)
{
    for (size_t i = 0; i < sandbox->machine->warning_count; i++)
        runtime_warn(sandbox->result, "%s", sandbox->machine->warnings[i]);
}

static bool env_in_spec(const Hypermesh__JobSpec *spec, const char *text)
{
    size_t len = strcspn(text, "=");

    for (size_t i = 0; i < spec->n_env; i++) {
        if (strlen(spec->env[i]->name) == len && strncmp(spec->env[i]->name, text, len) == 0)
            return true;
    }
    return false;
}

static bool env_has(const char *const *env, size_t count, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < count; i++) {
        if (strncmp(env[i], name, len) == 0 && env[i][len] == '=')
            return true;
    }
    return false;
}

static int sandbox_env(struct runtime_sandbox *sandbox, struct runtime_bundle *bundle,
                       struct hm_error *error)
{
    const Hypermesh__JobSpec *spec = sandbox->request->spec;
    const struct runtime_image_config *config = &sandbox->loaded->config;
    const char **env = hm_arena_alloc(&sandbox->arena,
                                      (config->env_count + spec->n_env + 4) * sizeof(*env));
    size_t count = 0;

    if (env == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the environment");
    for (size_t i = 0; i < config->env_count; i++) {
        if (strchr(config->env[i], '=') != NULL && !env_in_spec(spec, config->env[i]))
            env[count++] = config->env[i];
    }
    for (size_t i = 0; i < spec->n_env; i++) {
        env[count] = hm_arena_printf(&sandbox->arena, "%s=%s", spec->env[i]->name,
                                     spec->env[i]->value);
        if (env[count++] == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for the environment");
    }
    if (!env_has(env, count, "PATH"))
        env[count++] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    if (!env_has(env, count, "HOME"))
        env[count++] = sandbox->uid == 0 ? "HOME=/root" : "HOME=/";
    bundle->env = env;
    bundle->envc = count;
    return 0;
}

static int sandbox_command(struct runtime_sandbox *sandbox, struct runtime_bundle *bundle,
                           struct hm_error *error)
{
    const Hypermesh__JobSpec *spec = sandbox->request->spec;
    const struct runtime_image_config *config = &sandbox->loaded->config;
    size_t count = config->entrypoint_count + config->command_count;
    const char **argv;

    if (spec->n_command > 0) {
        bundle->argv = (const char *const *)spec->command;
        bundle->argc = spec->n_command;
        return 0;
    }
    if (count == 0)
        return hm_fail(error, HM_EINVAL, "image %s has no command of its own; give one",
                       sandbox->loaded->image.name);
    argv = hm_arena_alloc(&sandbox->arena, count * sizeof(*argv));
    if (argv == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the command");
    for (size_t i = 0; i < count; i++)
        argv[i] = i < config->entrypoint_count ? config->entrypoint[i]
                                               : config->command[i - config->entrypoint_count];
    bundle->argv = argv;
    bundle->argc = count;
    return 0;
}

static int sandbox_output_folder(struct runtime_sandbox *sandbox, size_t at, const char **path,
                                 struct hm_error *error)
{
    char folder[RUNTIME_PATH_MAX_BYTES];
    uid_t base = sandbox->machine->mapped ? RUNTIME_UID_BASE : 0;
    int rc = runtime_output_folder(sandbox->request->dir, at, folder, error);

    if (rc == 0)
        rc = hm_mkdir_all(folder, 0755, error);
    if (rc != 0)
        return rc;
    if (!sandbox->machine->rootless &&
        lchown(folder, base + sandbox->uid, base + sandbox->gid) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot give %s to the job", folder);
    *path = hm_arena_strdup(&sandbox->arena, folder);
    return *path != NULL ? 0 : hm_fail(error, HM_ENOMEM, "no memory for the outputs");
}

static int sandbox_input(const struct runtime_sandbox *sandbox, const Hypermesh__JobInput *input,
                         struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(input->source, O_PATH | O_CLOEXEC);
    struct stat info;

    if (fd < 0 || fstat(fd, &info) != 0)
        return hm_fail_errno(error, errno == ENOENT ? HM_ENOTFOUND : HM_EPERM,
                             "cannot open the input %s", input->source);
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode))
        return hm_fail(error, HM_EINVAL, "the input %s is neither a folder nor a file",
                       input->source);
    if (sandbox->machine->mapped && (info.st_mode & 04) == 0)
        runtime_warn(sandbox->result,
                     "input %.80s is not readable for everybody: the job may not be able "
                     "to read it",
                     input->source);
    return 0;
}

static int sandbox_mounts(struct runtime_sandbox *sandbox, struct runtime_bundle *bundle,
                          struct hm_error *error)
{
    static const char *const network_files[] = {"/etc/resolv.conf", "/etc/hosts"};
    const Hypermesh__JobSpec *spec = sandbox->request->spec;
    struct runtime_bundle_mount *mounts = hm_arena_alloc(
        &sandbox->arena, (spec->n_inputs + spec->n_outputs + 2) * sizeof(*mounts));
    size_t count = 0;

    if (mounts == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the mounts");
    for (size_t i = 0; i < HM_COUNT_OF(network_files) && spec->network; i++) {
        if (access(network_files[i], R_OK) == 0)
            mounts[count++] = (struct runtime_bundle_mount){network_files[i], network_files[i],
                                                            false};
    }
    for (size_t i = 0; i < spec->n_inputs; i++) {
        int rc = sandbox_input(sandbox, spec->inputs[i], error);

        if (rc != 0)
            return rc;
        mounts[count++] = (struct runtime_bundle_mount){spec->inputs[i]->source,
                                                        spec->inputs[i]->target, false};
    }
    for (size_t i = 0; i < spec->n_outputs; i++) {
        struct runtime_bundle_mount mount = {.target = spec->outputs[i]->source, .writable = true};
        int rc = sandbox_output_folder(sandbox, i, &mount.source, error);

        if (rc != 0)
            return rc;
        mounts[count++] = mount;
    }
    bundle->mounts = mounts;
    bundle->mount_count = count;
    return 0;
}

static int sandbox_bundle(struct runtime_sandbox *sandbox, struct hm_error *error)
{
    const Hypermesh__JobSpec *spec = sandbox->request->spec;
    const struct runtime_machine *machine = sandbox->machine;
    const char *workdir = sandbox->loaded->config.workdir;
    struct runtime_bundle bundle = {
        .rootfs = sandbox->rootfs,
        .workdir = spec->workdir != NULL && spec->workdir[0] != 0 ? spec->workdir
                   : workdir[0] == '/'                            ? workdir
                                                                  : "/",
        .uid = sandbox->uid,
        .gid = sandbox->gid,
        .hostname = spec->name != NULL && spec->name[0] != 0 ? spec->name : sandbox->request->id,
        .mapped = machine->mapped,
        .rootless = machine->rootless,
        .network = spec->network,
        .deny_devices = machine->cgroup == RUNTIME_CGROUP_V1 ||
                        (!machine->mapped && !machine->rootless),
        .limits = &sandbox->limits,
        .rlimit_pids = !machine->limit_pids,
        .rlimit_cpu = !machine->limit_cpu,
        .timeout_ms = sandbox->timeout_ms,
    };
    int rc;

    if (sandbox->cgroup.path[0] != 0)
        bundle.cgroup = hm_arena_printf(&sandbox->arena, "%s/" RUNTIME_CGROUP_CONTAINER,
                                        sandbox->cgroup.path);
    rc = sandbox_command(sandbox, &bundle, error);
    if (rc == 0)
        rc = sandbox_env(sandbox, &bundle, error);
    if (rc == 0)
        rc = sandbox_mounts(sandbox, &bundle, error);
    if (rc == 0)
        rc = hm_mkdir_all(sandbox->oci.bundle, 0700, error);
    if (rc == 0)
        rc = hm_mkdir_all(sandbox->oci.root, 0700, error);
    if (rc == 0)
        rc = runtime_gpu_prepare(sandbox, error);
    bundle.cdi = sandbox->cdi;
    return rc != 0 ? rc : runtime_bundle_write(&bundle, sandbox->oci.bundle, error);
}

int runtime_sandbox_make(struct runtime_sandbox *sandbox, struct runtime_images *images,
                         struct hm_error *error)
{
    int rc;

    sandbox_warn_machine(sandbox);
    sandbox->loaded = hm_arena_alloc(&sandbox->arena, sizeof(*sandbox->loaded));
    if (sandbox->loaded == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a sandbox");
    rc = runtime_gpu_find(sandbox, error);
    if (rc == 0)
        rc = runtime_image_load(images, sandbox->request->spec->image, &sandbox->arena,
                                sandbox->loaded, error);
    if (rc == 0)
        rc = sandbox_root(sandbox, images, error);
    if (rc == 0)
        rc = runtime_sandbox_user(sandbox, error);
    if (rc == 0)
        rc = sandbox_cgroup(sandbox, error);
    return rc != 0 ? rc : sandbox_bundle(sandbox, error);
}

int runtime_sandbox_clear(const struct runtime_machine *machine,
                          const struct runtime_cgroup_host *cgroup_host, const char *id,
                          const char *dir, struct hm_error *error)
{
    static const char *const parts[] = {"bundle", "oci", "out", "pid", "oci.log", "runtime.pid"};
    HM_AUTOFREE struct runtime_oci *oci = hm_calloc(1, sizeof(*oci));
    int rc, one;

    if (oci == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to clean up");
    rc = runtime_oci_init(oci, machine, id, dir, error);
    if (rc == 0 && machine->oci_path[0] != 0)
        rc = runtime_oci_delete(oci, error);
    /* Each step is tried whatever became of the one before; the first error is reported. */
    if (!machine->rootless) {
        one = runtime_cgroup_remove(cgroup_host, id, rc == 0 ? error : NULL);
        rc = rc != 0 ? rc : one;
    }
    one = runtime_rootfs_remove(id, dir, rc == 0 ? error : NULL);
    rc = rc != 0 ? rc : one;
    for (size_t i = 0; i < HM_COUNT_OF(parts); i++) {
        char path[RUNTIME_PATH_MAX_BYTES];

        one = runtime_path_join(path, sizeof(path), dir, parts[i], rc == 0 ? error : NULL);
        if (one == 0)
            one = hm_remove_tree(path, rc == 0 ? error : NULL);
        rc = rc != 0 ? rc : one;
    }
    return rc;
}
