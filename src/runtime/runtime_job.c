#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime_cdi.h"
#include "runtime_outputs.h"
#include "runtime_rootfs.h"
#include "runtime_sandbox.h"
#include "runtime_watch.h"

struct job {
    struct runtime_sandbox sandbox;
    struct runtime_child child;
    struct runtime_log log;
    struct runtime_watch watch;
};

static void job_release(struct job **slot)
{
    struct job *job = *slot;

    if (job == NULL)
        return;
    runtime_child_release(&job->child);
    runtime_log_release(&job->log);
    for (size_t i = 0; i < job->watch.folder_count; i++)
        hm_fd_release(&job->watch.folders[i]);
    runtime_sandbox_release(&job->sandbox);
    hm_free(job);
}

/* For runtime_job_reap: which process to end, should ours die. */
static int job_note_runtime(const struct runtime_job_request *request, pid_t pid,
                            struct hm_error *error)
{
    HM_AUTOCLOSE int fd = -1;
    char path[RUNTIME_PATH_MAX_BYTES], text[32];
    int rc = runtime_path_join(path, sizeof(path), request->dir, "runtime.pid", error);

    if (rc != 0)
        return rc;
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return hm_fail_errno(error, HM_EIO, "cannot write %s", path);
    snprintf(text, sizeof(text), "%d\n", (int)pid);
    return hm_write_all(fd, text, strlen(text), error);
}

static int job_watch_folders(struct job *job, struct hm_error *error)
{
    const struct runtime_job_request *request = job->sandbox.request;
    struct runtime_watch *watch = &job->watch;
    char path[RUNTIME_PATH_MAX_BYTES];

    for (size_t i = 0; i <= request->spec->n_outputs; i++) {
        int rc = i == 0 ? runtime_path_join(path, sizeof(path), request->dir,
                                            runtime_rootfs_written(job->sandbox.machine->overlayfs),
                                            error)
                        : runtime_output_folder(request->dir, i - 1, path, error);
        int fd = rc == 0 ? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;

        if (rc == 0 && fd < 0)
            rc = hm_fail_errno(error, HM_EIO, "cannot open %s", path);
        if (rc != 0)
            return rc;
        watch->folders[watch->folder_count++] = fd;
    }
    return 0;
}

static void job_name_sandbox(const struct runtime_machine *machine,
                             struct runtime_job_result *result)
{
    snprintf(result->sandbox, sizeof(result->sandbox), "%s %s, %s, %s", machine->oci_name,
             machine->oci_version, runtime_cgroup_name(machine->cgroup),
             machine->rootless ? "rootless"
             : machine->mapped ? "rootful, users mapped"
                               : "rootful");
}

static int job_copy_outputs(struct job *job, struct runtime_job_result *result,
                            struct hm_error *error)
{
    const struct runtime_job_request *request = job->sandbox.request;
    const Hypermesh__JobSpec *spec = request->spec;
    HM_AUTOFREE struct runtime_outputs *outputs = hm_calloc(1, sizeof(*outputs));
    int rc = outputs != NULL ? 0 : hm_fail(error, HM_ENOMEM, "no memory to copy the outputs");

    if (rc == 0)
        runtime_outputs_init(outputs, job->sandbox.limits.storage_bytes);
    for (size_t i = 0; rc == 0 && i < spec->n_outputs; i++) {
        char from[RUNTIME_PATH_MAX_BYTES];

        rc = runtime_output_folder(request->dir, i, from, error);
        if (rc == 0)
            rc = runtime_outputs_copy(outputs, spec->outputs[i]->source, from,
                                      spec->outputs[i]->target, error);
    }
    if (rc != 0)
        return rc;
    runtime_result_final(&outputs->result, result->result);
    result->manifest_len = outputs->result.len;
    memcpy(result->manifest, outputs->result.text, outputs->result.len);
    result->has_result = true;
    result->usage.output_bytes += outputs->bytes;
    return 0;
}

static void job_reason(struct runtime_job_result *result, Hypermesh__JobOutcome outcome,
                       const char *format, ...) __attribute__((format(printf, 3, 4)));

static void job_reason(struct runtime_job_result *result, Hypermesh__JobOutcome outcome,
                       const char *format, ...)
{
    va_list args;

    result->outcome = outcome;
    va_start(args, format);
    vsnprintf(result->reason, sizeof(result->reason), format, args);
    va_end(args);
    hm_text_clean(result->reason);
}

/* A command that ended by itself, or was killed by a limit of the kernel's. */
static void job_judge_end(struct job *job, struct runtime_job_result *result)
{
    const struct runtime_limits *limits = &job->sandbox.limits;
    char size[32];
    bool maybe = false;
    bool oom = runtime_cgroup_oom(&job->sandbox.cgroup, &maybe);

    hm_size_format(limits->memory_bytes, size);
    if (result->exit_code == 0 && !oom) {
        result->outcome = HYPERMESH__JOB_OUTCOME__FINISHED;
        return;
    }
    if (result->exit_code == 0) { /* a child was killed, and the command did not mind */
        result->outcome = HYPERMESH__JOB_OUTCOME__FINISHED;
        runtime_warn(result, "a process of the job was killed: memory limit of %s reached", size);
        return;
    }
    if (oom || (maybe && result->exit_code == 128 + SIGKILL))
        job_reason(result, HYPERMESH__JOB_OUTCOME__FAILED, "killed: memory limit of %s reached",
                   size);
    else if (result->exit_code == 128 + SIGXFSZ)
        job_reason(result, HYPERMESH__JOB_OUTCOME__FAILED,
                   "killed: a file grew past the storage limit");
    else if (result->exit_code == 128 + SIGXCPU && !job->sandbox.machine->limit_cpu)
        job_reason(result, HYPERMESH__JOB_OUTCOME__FAILED,
                   "killed: CPU time limit of a process reached");
    else if (job->sandbox.machine->limit_pids && job->sandbox.cgroup.pids_peak >= limits->pids)
        job_reason(result, HYPERMESH__JOB_OUTCOME__FAILED,
                   "exited with code %d; its limit of %llu processes was reached",
                   result->exit_code, (unsigned long long)limits->pids);
    else if (result->exit_code > 128 && result->exit_code < 128 + 65)
        job_reason(result, HYPERMESH__JOB_OUTCOME__FAILED, "killed by signal %d",
                   result->exit_code - 128);
    else
        job_reason(result, HYPERMESH__JOB_OUTCOME__FAILED, "exited with code %d",
                   result->exit_code);
}

static void job_judge(struct job *job, struct runtime_job_result *result)
{
    const char *how = job->watch.forced ? ", killed after the grace period" : "";
    char text[32];

    result->exit_code = runtime_exit_code(job->watch.status);
    switch (job->watch.stop) {
    case RUNTIME_STOP_CANCEL:
        job_reason(result, HYPERMESH__JOB_OUTCOME__CANCELLED, "cancelled%s", how);
        break;
    case RUNTIME_STOP_TIMEOUT:
        hm_duration_format_ms(job->sandbox.timeout_ms, text);
        job_reason(result, HYPERMESH__JOB_OUTCOME__TIMED_OUT, "ran longer than its timeout of %s%s",
                   text, how);
        break;
    case RUNTIME_STOP_STORAGE:
        hm_size_format(job->sandbox.limits.storage_bytes, text);
        job_reason(result, HYPERMESH__JOB_OUTCOME__FAILED, "killed: storage limit of %s passed",
                   text);
        break;
    case RUNTIME_STOP_MEMORY:
        hm_size_format(job->sandbox.limits.memory_bytes, text);
        job_reason(result, HYPERMESH__JOB_OUTCOME__FAILED, "killed: memory limit of %s passed",
                   text);
        break;
    case RUNTIME_STOP_START: /* never got here: it has not started */
    case RUNTIME_STOP_NONE:
        if (job->watch.deserted)
            job_reason(result, HYPERMESH__JOB_OUTCOME__FAILED,
                       "%s was killed by signal %d while the job ran, and the job with it",
                       job->sandbox.machine->oci_name, result->exit_code - 128);
        else
            job_judge_end(job, result);
        break;
    }
}

static void job_usage(struct job *job, struct runtime_job_result *result)
{
    const struct rusage *rusage = &job->watch.usage;
    Hypermesh__JobUsage *usage = &result->usage;

    if (job->sandbox.cgroup.path[0] == 0) {
        usage->cpu_user_ns = (uint64_t)rusage->ru_utime.tv_sec * 1000000000U +
                             (uint64_t)rusage->ru_utime.tv_usec * 1000U;
        usage->cpu_system_ns = (uint64_t)rusage->ru_stime.tv_sec * 1000000000U +
                               (uint64_t)rusage->ru_stime.tv_usec * 1000U;
        usage->cpu_ns = usage->cpu_user_ns + usage->cpu_system_ns;
        usage->memory_peak_bytes = (uint64_t)rusage->ru_maxrss * 1024;
        usage->io_read_bytes = (uint64_t)rusage->ru_inblock * 512;
        usage->io_write_bytes = (uint64_t)rusage->ru_oublock * 512;
        usage->source = (char *)(uintptr_t)("rusage");
    } else {
        runtime_cgroup_usage(&job->sandbox.cgroup, usage);
    }
    if (job->watch.memory_peak > 0)
        usage->memory_peak_bytes = job->watch.memory_peak;
    usage->wall_ms = job->watch.wall_ms;
    usage->output_bytes = job->log.payload;
}

/* The container never ran: a command that is not there is the job's fault, all else ours. */
static int job_never_started(struct job *job, struct runtime_job_result *result,
                             struct hm_error *error)
{
    char message[256];

    if (job->watch.stop == RUNTIME_STOP_START) {
        hm_duration_format_ms(job->watch.start_limit_ms, message);
        return hm_fail(error, HM_EUNAVAILABLE, "%s did not start the sandbox within %s",
                       job->sandbox.machine->oci_name, message);
    }
    if (job->watch.stop != RUNTIME_STOP_NONE) {
        job_judge(job, result);
        result->exit_code = -1;
        return 0;
    }
    runtime_oci_message(&job->sandbox.oci, message, sizeof(message));
    if (message[0] == 0)
        snprintf(message, sizeof(message), "it gave no reason and ended with code %d",
                 runtime_exit_code(job->watch.status));
    if (!runtime_oci_is_command_fault(message))
        return hm_fail(error, HM_EUNAVAILABLE, "%s could not start the sandbox: %s",
                       job->sandbox.machine->oci_name, message);
    result->exit_code = -1;
    job_reason(result, HYPERMESH__JOB_OUTCOME__FAILED, "the command could not be started: %.200s",
               message);
    return 0;
}

static uint64_t job_start_limit(const struct runtime_sandbox *sandbox)
{
    uint64_t limit = sandbox->request->start_limit_ms;

    if (limit == 0)
        limit = RUNTIME_START_LIMIT_MS;
    for (size_t i = 0; sandbox->cdi != NULL && i < sandbox->cdi->hook_count; i++)
        limit += (uint64_t)sandbox->cdi->hooks[i].timeout_s * 1000;
    return limit;
}

static int job_watch(struct job *job, struct runtime_job_result *result, struct hm_error *error)
{
    struct runtime_sandbox *sandbox = &job->sandbox;
    const struct runtime_job_request *request = sandbox->request;
    int rc = job_watch_folders(job, error);

    if (rc == 0)
        rc = runtime_oci_run(&sandbox->oci, &job->child, error);
    if (rc == 0)
        rc = job_note_runtime(request, job->child.pid, error);
    if (rc != 0)
        return rc;
    job->watch.child = &job->child;
    job->watch.oci = &sandbox->oci;
    job->watch.request = request;
    job->watch.cgroup = &sandbox->cgroup;
    job->watch.log = &job->log;
    job->watch.timeout_ms = sandbox->timeout_ms;
    job->watch.start_limit_ms = job_start_limit(sandbox);
    job->watch.memory_bytes = sandbox->machine->limit_memory ? 0 : sandbox->limits.memory_bytes;
    job->watch.storage_bytes = sandbox->limits.storage_bytes;
    rc = runtime_watch_run(&job->watch, error);
    if (rc != 0)
        return rc;
    job_usage(job, result);
    if (job->log.dropped)
        runtime_warn(result, "the log is full; what the job wrote after it was dropped");
    if (!job->watch.started)
        return job_never_started(job, result, error);
    job_judge(job, result);
    return 0;
}

static int job_run(struct job *job, struct runtime_images *images,
                   struct runtime_job_result *result, struct hm_error *error)
{
    struct runtime_sandbox *sandbox = &job->sandbox;
    struct hm_error outputs_error = {0};
    int rc = runtime_sandbox_make(sandbox, images, error);

    if (rc == 0)
        rc = job_watch(job, result, error);
    if (rc != 0)
        return rc;
    if (job->watch.started && job->watch.stop == RUNTIME_STOP_NONE && !job->watch.deserted &&
        job_copy_outputs(job, result, &outputs_error) != 0)
        job_reason(result, HYPERMESH__JOB_OUTCOME__FAILED,
                   "the outputs could not be copied: %.200s", outputs_error.text);
    return 0;
}

/* The log and, as root, the mount point belong to one job only: whoever gets both may go on, and clean
 * up after itself. */
static int job_claim(struct job *job, struct hm_error *error)
{
    const struct runtime_job_request *request = job->sandbox.request;
    char path[RUNTIME_PATH_MAX_BYTES];
    int rc = hm_mkdir_all(request->dir, 0700, error);

    if (rc == 0)
        rc = runtime_path_join(path, sizeof(path), request->dir, RUNTIME_LOG_NAME, error);
    if (rc == 0)
        rc = runtime_log_open(path, &job->log, error);
    if (rc != 0)
        return rc;
    rc = runtime_rootfs_claim(request->id, job->sandbox.machine->rootless, error);
    if (rc != 0)
        (void)unlink(path);
    return rc;
}

/* A sandbox that could not be set up leaves nothing, not even an empty log. */
static void job_disclaim(const struct runtime_job_request *request)
{
    char path[RUNTIME_PATH_MAX_BYTES];

    if (runtime_path_join(path, sizeof(path), request->dir, RUNTIME_LOG_NAME, NULL) == 0)
        (void)unlink(path);
    (void)rmdir(request->dir);
}

static int job_prepare(struct job *job, const struct runtime_machine *machine,
                       const struct runtime_job_request *request, struct runtime_job_result *result,
                       struct hm_error *error)
{
    struct runtime_sandbox *sandbox = &job->sandbox;
    int rc = runtime_job_check(machine, request, error);

    hm_arena_init(&sandbox->arena, 0);
    sandbox->machine = machine;
    sandbox->request = request;
    sandbox->result = result;
    sandbox->cgroup.oom_event = -1;
    sandbox->timeout_ms = request->spec->timeout_ms != 0 ? request->spec->timeout_ms
                                                         : RUNTIME_TIMEOUT_DEFAULT_MS;
    if (sandbox->timeout_ms > RUNTIME_TIMEOUT_MAX_MS)
        sandbox->timeout_ms = RUNTIME_TIMEOUT_MAX_MS;
    job->child = (struct runtime_child){.pidfd = -1, .out = -1, .err = -1};
    job->log.fd = -1;
    if (rc == 0)
        rc = runtime_limits_of(request->spec, request->limits, &sandbox->limits, error);
    if (rc == 0)
        rc = runtime_cgroup_host_read(&sandbox->cgroup_host, error);
    if (rc == 0 && (machine->rootless || machine->cgroup == RUNTIME_CGROUP_NONE))
        sandbox->cgroup_host.kind = RUNTIME_CGROUP_NONE;
    if (rc == 0)
        rc = runtime_oci_init(&sandbox->oci, machine, request->id, request->dir, error);
    return rc;
}

int runtime_job_run(struct runtime_images *images, const struct runtime_machine *machine,
                    const struct runtime_job_request *request, struct runtime_job_result *result,
                    struct hm_error *error)
{
    static const Hypermesh__JobUsage no_usage = HYPERMESH__JOB_USAGE__INIT;
    HM_AUTOFREE struct runtime_job_result *done = hm_calloc(1, sizeof(*done));
    __attribute__((cleanup(job_release))) struct job *job = hm_calloc(1, sizeof(*job));
    HM_AUTOCLOSE int use = -1;
    struct hm_error first = {0};
    int rc, cleared;

    if (done == NULL || job == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to run a job");
    done->usage = no_usage;
    done->exit_code = -1;
    rc = job_prepare(job, machine, request, done, error);
    if (rc == 0)
        rc = runtime_images_lock(images, "inuse", LOCK_SH, &use, error);
    if (rc == 0)
        rc = job_claim(job, error);
    if (rc != 0)
        return rc;
    job_name_sandbox(machine, done);
    rc = job_run(job, images, done, &first);
    runtime_child_release(&job->child);
    cleared = runtime_sandbox_clear(machine, &job->sandbox.cgroup_host, request->id, request->dir,
                                    rc == 0 ? &first : NULL);
    if (rc != 0)
        job_disclaim(request);
    if (rc != 0 || cleared != 0) {
        if (error != NULL)
            *error = first;
        return rc != 0 ? rc : cleared;
    }
    *result = *done;
    return 0;
}
