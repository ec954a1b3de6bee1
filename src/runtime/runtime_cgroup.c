#include "runtime_cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime_cgroup_file.h"

#define CGROUP_PARENT          "/hypermesh"
#define CGROUP_MOUNTINFO_BYTES ((size_t)4 << 20)
#define CGROUP_REMOVE_TRIES    200 /* of 10 ms */
#define CGROUP_DEPTH_MAX       16
#define CGROUP_ENABLE_TRIES    3

static const char *const v1_names[RUNTIME_CONTROLLER_COUNT] = {"cpu",  "cpuacct", "memory",
                                                               "pids", "blkio",   "cpuset"};
static const char *const v2_names[RUNTIME_CONTROLLER_COUNT] = {"cpu",  "cpu", "memory",
                                                               "pids", "io",  "cpuset"};

const char *runtime_cgroup_name(enum runtime_cgroup kind)
{
    return kind == RUNTIME_CGROUP_V1   ? "cgroup v1"
           : kind == RUNTIME_CGROUP_V2 ? "cgroup v2"
                                       : "no cgroup";
}

/* Is word one of the comma-separated words of list? */
static bool word_in(const char *list, const char *word)
{
    size_t len = strlen(word);

    while (*list != 0) {
        size_t span = strcspn(list, ",");

        if (span == len && strncmp(list, word, len) == 0)
            return true;
        list += span + (list[span] == ',');
    }
    return false;
}

static void host_add(struct runtime_cgroup_host *host, const char *type, const char *mount,
                     const char *options)
{
    bool is_v2 = strcmp(type, "cgroup2") == 0;

    if ((!is_v2 && strcmp(type, "cgroup") != 0) || strlen(mount) >= sizeof(host->mounts[0]) ||
        host->mount_count == RUNTIME_CGROUP_MAX_MOUNTS)
        return;
    /* A second mount of what is known already would be removed from twice. */
    snprintf(host->mounts[host->mount_count++], sizeof(host->mounts[0]), "%s", mount);
    if (is_v2) {
        if (strcmp(mount, "/sys/fs/cgroup") == 0)
            host->kind = RUNTIME_CGROUP_V2;
        return;
    }
    for (size_t i = 0; i < RUNTIME_CONTROLLER_COUNT; i++) {
        if (word_in(options, v1_names[i]) && host->controllers[i][0] == 0)
            snprintf(host->controllers[i], sizeof(host->controllers[i]), "%s", mount);
    }
}

/* proc(5), mountinfo: ID PARENT MAJ:MIN ROOT MOUNT OPTIONS [TAGS] - TYPE SOURCE SUPER-OPTIONS */
static void host_line(struct runtime_cgroup_host *host, char *line)
{
    char *fields[6], *rest, *save = NULL, *tail = strstr(line, " - ");
    char *type, *options;

    if (tail == NULL)
        return;
    *tail = 0;
    tail += 3;
    rest = line;
    for (size_t i = 0; i < 6; i++) {
        fields[i] = strtok_r(rest, " ", &save);
        if (fields[i] == NULL)
            return;
        rest = NULL;
    }
    if (strcmp(fields[3], "/") != 0) /* a cgroup namespace or a bind mount: not the real root */
        return;
    type = strtok_r(tail, " ", &save);
    (void)strtok_r(NULL, " ", &save);
    options = strtok_r(NULL, " ", &save);
    if (type != NULL)
        host_add(host, type, fields[4], options != NULL ? options : "");
}

/* v2 writes "cpu memory\n". */
static void cgroup_words(struct hm_buf *text)
{
    for (size_t i = 0; i < text->len; i++) {
        if (text->data[i] == ' ' || text->data[i] == '\n')
            text->data[i] = ',';
    }
}

static void host_v2_controllers(struct runtime_cgroup_host *host)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    if (hm_file_read("/sys/fs/cgroup/cgroup.controllers", 4096, &text, NULL) != 0)
        return;
    cgroup_words(&text);
    for (size_t i = 0; i < RUNTIME_CONTROLLER_COUNT; i++) {
        if (word_in(hm_buf_cstr(&text), v2_names[i]))
            snprintf(host->controllers[i], sizeof(host->controllers[i]), "/sys/fs/cgroup");
    }
}

int runtime_cgroup_host_read(struct runtime_cgroup_host *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct runtime_cgroup_host host = {.kind = RUNTIME_CGROUP_NONE};
    char *save = NULL;
    int rc = hm_file_read("/proc/self/mountinfo", CGROUP_MOUNTINFO_BYTES, &text, error);

    if (rc != 0)
        return rc;
    if (hm_buf_append(&text, "", 1) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to read the mount table");
    for (char *line = strtok_r((char *)text.data, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save))
        host_line(&host, line);
    if (host.kind == RUNTIME_CGROUP_V2) {
        memset(host.controllers, 0, sizeof(host.controllers));
        host_v2_controllers(&host);
    } else if (host.controllers[RUNTIME_CONTROLLER_MEMORY][0] != 0 ||
               host.controllers[RUNTIME_CONTROLLER_CPU][0] != 0 ||
               host.controllers[RUNTIME_CONTROLLER_PIDS][0] != 0) {
        host.kind = RUNTIME_CGROUP_V1;
    }
    *out = host;
    return 0;
}

static int cgroup_mkdir(const char *path)
{
    return mkdir(path, 0755) == 0 || errno == EEXIST ? 0 : -1;
}

/* Another job's end may remove the empty parent between the two steps. */
static int cgroup_make(const char *mount, const char *path)
{
    char parent[256], own[256];

    snprintf(parent, sizeof(parent), "%s" CGROUP_PARENT, mount);
    snprintf(own, sizeof(own), "%s%s", mount, path);
    for (int i = 0; i < 10; i++) {
        if (cgroup_mkdir(parent) != 0)
            return -1;
        if (cgroup_mkdir(own) == 0)
            return 0;
        if (errno != ENOENT)
            return -1;
    }
    return -1;
}

static void cgroup_v2_enable(const char *folder, const struct runtime_cgroup_host *host)
{
    for (size_t i = 0; i < RUNTIME_CONTROLLER_COUNT; i++) {
        char word[32], path[256];

        if (host->controllers[i][0] == 0)
            continue;
        snprintf(word, sizeof(word), "+%s", v2_names[i]);
        snprintf(path, sizeof(path), "%s/cgroup.subtree_control", folder);
        (void)runtime_cgroup_put(path, word); /* one by one: some may be out of reach */
    }
}

/* Has the job's group every controller that the root has? */
static bool cgroup_v2_complete(const struct runtime_cgroup_job *job)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    char path[256];

    snprintf(path, sizeof(path), "/sys/fs/cgroup%s/cgroup.controllers", job->path);
    if (hm_file_read(path, 4096, &text, NULL) != 0)
        return false;
    cgroup_words(&text);
    for (size_t i = 0; i < RUNTIME_CONTROLLER_COUNT; i++) {
        if (job->host->controllers[i][0] != 0 && !word_in(hm_buf_cstr(&text), v2_names[i]))
            return false;
    }
    return true;
}

/* systemd switches controllers off at the root that no unit of its wants, whenever it reads its units
 * anew. It cannot once a child of the root has them on for its own children, so only the moment between
 * the two steps is open, and the steps are repeated. */
static int cgroup_open_v2(const struct runtime_cgroup_job *job, struct hm_error *error)
{
    static const char parent[] = "/sys/fs/cgroup" CGROUP_PARENT;

    for (int i = 0; i < CGROUP_ENABLE_TRIES; i++) {
        cgroup_v2_enable("/sys/fs/cgroup", job->host);
        if (cgroup_make("/sys/fs/cgroup", job->path) != 0)
            return hm_fail_errno(error, HM_EPERM, "cannot make the cgroup %s", job->path);
        /* From here on the parent is not empty and stays; its children get their files now. */
        cgroup_v2_enable(parent, job->host);
        if (cgroup_v2_complete(job))
            break; /* else some are out of reach, and the limits say so */
    }
    return 0;
}

/* cpuset's children start empty in v1: they take what their parent has. */
static void cgroup_v1_cpuset(const struct runtime_cgroup_job *job)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    const char *mount = job->host->controllers[RUNTIME_CONTROLLER_CPUSET];
    const char *const steps[] = {"", CGROUP_PARENT, job->path};

    for (size_t level = 1; level < HM_COUNT_OF(steps); level++) {
        for (size_t i = 0; i < HM_COUNT_OF(files); i++) {
            HM_CLEANUP(hm_buf) struct hm_buf value = {0};
            char from[256], to[256];

            snprintf(from, sizeof(from), "%s%s/%s", mount, steps[level - 1], files[i]);
            snprintf(to, sizeof(to), "%s%s/%s", mount, steps[level], files[i]);
            if (hm_file_read(to, 4096, &value, NULL) == 0 && value.len > 1)
                continue;
            hm_buf_clear(&value);
            if (hm_file_read(from, 4096, &value, NULL) == 0)
                (void)runtime_cgroup_put(to, hm_buf_cstr(&value));
        }
    }
}

/* In every hierarchy, not only those with limits: where the job has a group of its own, the end of
 * another job cannot take the common parent away while the OCI runtime makes its group there. */
static int cgroup_open_v1(const struct runtime_cgroup_job *job, struct hm_error *error)
{
    for (size_t i = 0; i < job->host->mount_count; i++) {
        const char *mount = job->host->mounts[i];

        if (cgroup_make(mount, job->path) != 0)
            return hm_fail_errno(error, HM_EPERM, "cannot make the cgroup %s%s", mount, job->path);
    }
    if (job->host->controllers[RUNTIME_CONTROLLER_CPUSET][0] != 0)
        cgroup_v1_cpuset(job);
    return 0;
}

/* v1 tells of an out-of-memory kill through an eventfd (cgroup-v1/memory.rst, "OOM Control"). */
static int cgroup_oom_event(const struct runtime_cgroup_job *job)
{
    HM_AUTOCLOSE int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    HM_AUTOCLOSE int control = -1;
    char path[256], words[64];

    if (!runtime_cgroup_path(job, RUNTIME_CONTROLLER_MEMORY, "memory.oom_control", path))
        return -1;
    control = open(path, O_RDONLY | O_CLOEXEC);
    if (event < 0 || control < 0)
        return -1;
    snprintf(words, sizeof(words), "%d %d", event, control);
    (void)runtime_cgroup_path(job, RUNTIME_CONTROLLER_MEMORY, "cgroup.event_control", path);
    return runtime_cgroup_put(path, words) ? HM_TAKE_FD(event) : -1;
}

int runtime_cgroup_open(const struct runtime_cgroup_host *host, const char *id,
                        struct runtime_cgroup_job *out, struct hm_error *error)
{
    struct runtime_cgroup_job job = {.host = host, .oom_event = -1};
    int rc;

    if (host->kind == RUNTIME_CGROUP_NONE) {
        *out = job;
        return 0;
    }
    snprintf(job.path, sizeof(job.path), CGROUP_PARENT "/%s", id);
    for (size_t i = 0; i < host->mount_count; i++) {
        char path[256];

        snprintf(path, sizeof(path), "%s%s", host->mounts[i], job.path);
        if (rmdir(path) != 0 && errno != ENOENT)
            return hm_fail(error, HM_EEXIST, "the cgroup %s is in use: is job %s running already?",
                           path, id);
    }
    rc = host->kind == RUNTIME_CGROUP_V2 ? cgroup_open_v2(&job, error)
                                         : cgroup_open_v1(&job, error);
    if (rc != 0) {
        (void)runtime_cgroup_remove(host, id, NULL);
        return rc;
    }
    if (host->kind == RUNTIME_CGROUP_V1)
        job.oom_event = cgroup_oom_event(&job);
    *out = job;
    return 0;
}

static void cgroup_kill_here(const char *folder)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    char path[512];
    char *save = NULL;

    snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
    if (hm_file_read(path, (size_t)1 << 20, &text, NULL) != 0 || hm_buf_append(&text, "", 1) != 0)
        return;
    for (char *line = strtok_r((char *)text.data, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        long pid = strtol(line, NULL, 10);

        if (pid > 1)
            (void)kill((pid_t)pid, SIGKILL);
    }
}

/* Children first. The container may have made groups below its own. */
static void cgroup_empty(const char *folder, unsigned depth)
{
    DIR *dir = opendir(folder);

    if (dir == NULL)
        return;
    cgroup_kill_here(folder);
    for (struct dirent *entry = readdir(dir); entry != NULL && depth < CGROUP_DEPTH_MAX;
         entry = readdir(dir)) {
        char path[512];

        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
            (size_t)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >= sizeof(path))
            continue;
        cgroup_empty(path, depth + 1);
        (void)rmdir(path);
    }
    closedir(dir);
}

int runtime_cgroup_remove(const struct runtime_cgroup_host *host, const char *id,
                          struct hm_error *error)
{
    int rc = 0;

    for (size_t i = 0; i < host->mount_count; i++) {
        const struct timespec pause = {.tv_nsec = 10000000};
        char path[256];
        int tries = 0;

        snprintf(path, sizeof(path), "%s" CGROUP_PARENT "/%s", host->mounts[i], id);
        while (rmdir(path) != 0 && errno != ENOENT) {
            if (++tries > CGROUP_REMOVE_TRIES) {
                rc = hm_fail_errno(error, HM_EBUSY, "cannot remove the cgroup %s", path);
                break;
            }
            cgroup_empty(path, 0);
            if (tries > 1)
                (void)nanosleep(&pause, NULL);
        }
        snprintf(path, sizeof(path), "%s" CGROUP_PARENT, host->mounts[i]);
        (void)rmdir(path); /* works when no other job has one */
    }
    return rc;
}
