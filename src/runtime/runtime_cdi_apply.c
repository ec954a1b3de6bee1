/* CDI edits on this machine: checked against what is there, then written into the OCI configuration.
 *
 * In a user namespace no device node can be made, so nodes are bound from outside: the machine's own
 * where the job may open it, else (as root) one made for the job alone, which belongs to the job's user. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "runtime_cdi.h"
#include "runtime_layer.h"
#include "runtime_path.h"

/* --- device nodes ----------------------------------------------------------------------------------- */
static int node_stat(struct runtime_cdi_node *node, struct stat *info, struct hm_error *error)
{
    char type;

    if (stat(node->host_path, info) != 0)
        return hm_fail_errno(error, HM_EUNAVAILABLE,
                             "the device node %s cannot be used; is its driver loaded?",
                             node->host_path);
    if (!S_ISCHR(info->st_mode) && !S_ISBLK(info->st_mode))
        return hm_fail(error, HM_EUNAVAILABLE, "%s is no device node", node->host_path);
    type = S_ISBLK(info->st_mode) ? 'b' : 'c';
    if ((node->type != 0 && node->type != type) ||
        (node->numbered && (node->device_major != major(info->st_rdev) ||
                            node->device_minor != minor(info->st_rdev))))
        return hm_fail(error, HM_EUNAVAILABLE,
                       "%s is another device than its CDI specification says; make that anew",
                       node->host_path);
    node->type = type;
    node->device_major = major(info->st_rdev);
    node->device_minor = minor(info->st_rdev);
    return 0;
}

/* A node of the same device that belongs to the job's user, whose ids start at RUNTIME_UID_BASE. */
static int node_make(struct runtime_cdi_edits *edits, struct runtime_cdi_node *node, size_t at,
                     const struct runtime_cdi_host *host, const struct stat *info,
                     struct hm_error *error)
{
    char path[RUNTIME_PATH_MAX_BYTES], name[32];
    uint32_t uid = node->has_uid ? node->uid : host->uid;
    uint32_t gid = node->has_gid ? node->gid : host->gid;
    mode_t mode = node->mode >= 0 ? (mode_t)node->mode : info->st_mode & 0777;
    struct statvfs where;
    int rc = hm_mkdir_all(host->node_dir, 0700, error);

    snprintf(name, sizeof(name), "%zu", at);
    if (rc == 0)
        rc = runtime_path_join(path, sizeof(path), host->node_dir, name, error);
    if (rc != 0)
        return rc;
    if (uid >= RUNTIME_UID_COUNT || gid >= RUNTIME_UID_COUNT)
        return hm_fail(error, HM_EUNAVAILABLE, "%s would belong to a user that a job does not have",
                       node->path);
    if (statvfs(host->node_dir, &where) != 0 || (where.f_flag & ST_NODEV) != 0)
        return hm_fail(error, HM_EUNAVAILABLE,
                       "jobs may not open %s, and %s lies on a file system mounted nodev: make the "
                       "node mode 0666 by a udev rule, or move the data folder",
                       node->host_path, host->node_dir);
    if (mknod(path, (info->st_mode & S_IFMT) | 0600, info->st_rdev) != 0 ||
        lchown(path, RUNTIME_UID_BASE + uid, RUNTIME_UID_BASE + gid) != 0 || chmod(path, mode) != 0)
        return hm_fail_errno(error, HM_EUNAVAILABLE, "cannot make a node of %s for the job",
                             node->host_path);
    node->bind = hm_arena_strdup(edits->arena, path);
    return node->bind != NULL ? 0 : hm_fail(error, HM_ENOMEM, "no memory for a CDI device");
}

static int node_prepare(struct runtime_cdi_edits *edits, size_t at,
                        const struct runtime_cdi_host *host, struct hm_error *error)
{
    struct runtime_cdi_node *node = &edits->nodes[at];
    int wanted = (node->read ? R_OK : 0) | (node->write ? W_OK : 0);
    struct stat info;
    int rc = node_stat(node, &info, error);

    if (rc != 0)
        return rc;
    if (host->machine->rootless) {
        if (faccessat(AT_FDCWD, node->host_path, wanted, AT_EACCESS) != 0)
            return hm_fail(error, HM_EPERM,
                           "the node's user may not open %s: add it to the group that owns that "
                           "node (often render or video), or run the node as root",
                           node->host_path);
        node->bind = node->host_path;
        return 0;
    }
    if (host->machine->mapped) {
        if ((info.st_mode & (mode_t)wanted) != (mode_t)wanted)
            return node_make(edits, node, at, host, &info, error);
        node->bind = node->host_path;
        return 0;
    }
    if (node->mode < 0)
        node->mode = (int)(info.st_mode & 0777);
    node->uid = node->has_uid ? node->uid : host->uid;
    node->gid = node->has_gid ? node->gid : host->gid;
    return 0;
}

/* --- hooks ------------------------------------------------------------------------------------------ */
/* Not one part of the path may be changed by anybody but root. */
static int hook_check_parts(const char *path, struct hm_error *error)
{
    char part[PATH_MAX];
    size_t len = strlen(path);

    for (size_t at = 0; at <= len; at++) {
        struct stat info;

        if (at != 0 && path[at] != '/' && path[at] != 0)
            continue;
        snprintf(part, sizeof(part), "%.*s", at == 0 ? 1 : (int)at, path);
        if (lstat(part, &info) != 0)
            return hm_fail_errno(error, HM_EUNAVAILABLE, "the CDI hook %s cannot be used", path);
        if (info.st_uid != 0 || (info.st_mode & 022) != 0)
            return hm_fail(error, HM_EPERM,
                           "the CDI hook %s is refused: others than root may change %s", path,
                           part);
        if (at == len && (!S_ISREG(info.st_mode) || (info.st_mode & 0111) == 0))
            return hm_fail(error, HM_EPERM, "the CDI hook %s is no program", path);
    }
    return 0;
}

static int hook_prepare(struct runtime_cdi_edits *edits, struct runtime_cdi_hook *hook,
                        struct hm_error *error)
{
    char path[PATH_MAX];
    int rc;

    if (realpath(hook->path, path) == NULL)
        return hm_fail_errno(error, HM_EUNAVAILABLE,
                             "the CDI hook %s cannot be used; is its package installed?",
                             hook->path);
    rc = hook_check_parts(path, error);
    if (rc != 0)
        return rc;
    hook->path = hm_arena_strdup(edits->arena, path);
    return hook->path != NULL ? 0 : hm_fail(error, HM_ENOMEM, "no memory for a CDI device");
}

int runtime_cdi_prepare(struct runtime_cdi_edits *edits, const struct runtime_cdi_host *host,
                        struct hm_error *error)
{
    const struct runtime_machine *machine = host->machine;
    size_t kept = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < edits->node_count; i++)
        rc = node_prepare(edits, i, host, error);
    for (size_t i = 0; rc == 0 && i < edits->mount_count; i++) {
        if (access(edits->mounts[i].host_path, F_OK) != 0)
            rc = hm_fail_errno(error, HM_EUNAVAILABLE,
                               "a CDI device mounts %s, which cannot be used; make its "
                               "specification anew",
                               edits->mounts[i].host_path);
    }
    for (size_t i = 0; rc == 0 && i < edits->hook_count; i++)
        rc = hook_prepare(edits, &edits->hooks[i], error);
    if (rc != 0)
        return rc;
    /* Groups that the user namespace lacks cannot be joined; nodes do not depend on them there. */
    for (size_t i = 0; i < edits->gid_count; i++) {
        if (!machine->rootless && (!machine->mapped || edits->gids[i] < RUNTIME_UID_COUNT))
            edits->gids[kept++] = edits->gids[i];
    }
    edits->gid_count = kept;
    /* With v2 the OCI runtimes deny what no rule allows, and a rule is there as soon as any is. */
    edits->rules = !machine->rootless && machine->cgroup == RUNTIME_CGROUP_V2;
    return 0;
}

/* --- the configuration ------------------------------------------------------------------------------ */
static json_t *apply_texts(const struct runtime_cdi_texts *texts)
{
    json_t *list = json_array();

    for (size_t i = 0; i < texts->count; i++) {
        if (json_array_append_new(list, json_string(texts->texts[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* The list of that name, made when it is not there; borrowed. */
static json_t *apply_list(json_t *object, const char *name)
{
    json_t *list = json_object_get(object, name);

    if (list == NULL && object != NULL && json_object_set_new(object, name, json_array()) == 0)
        list = json_object_get(object, name);
    return list;
}

static json_t *apply_object(json_t *object, const char *name)
{
    json_t *member = json_object_get(object, name);

    if (member == NULL && object != NULL && json_object_set_new(object, name, json_object()) == 0)
        member = json_object_get(object, name);
    return member;
}

static int apply_env(const struct runtime_cdi_edits *edits, json_t *process)
{
    json_t *list = apply_list(process, "env");
    int bad = 0;

    for (size_t i = 0; i < edits->env_count; i++) {
        size_t name = strcspn(edits->env[i], "=") + 1;
        size_t at = 0;

        while (at < json_array_size(list)) {
            const char *old = json_string_value(json_array_get(list, at));

            if (old != NULL && strncmp(old, edits->env[i], name) == 0)
                bad |= json_array_remove(list, at);
            else
                at++;
        }
        bad |= json_array_append_new(list, json_string(edits->env[i]));
    }
    return bad;
}

static int apply_gids(const struct runtime_cdi_edits *edits, json_t *process)
{
    json_t *list;
    int bad = 0;

    if (edits->gid_count == 0)
        return 0;
    list = apply_list(json_object_get(process, "user"), "additionalGids");
    for (size_t i = 0; i < edits->gid_count; i++)
        bad |= json_array_append_new(list, json_integer(edits->gids[i]));
    return bad;
}

static int apply_rule(const struct runtime_cdi_node *node, bool denied, json_t *config)
{
    json_t *list = apply_list(apply_object(json_object_get(config, "linux"), "resources"),
                              "devices");
    char access_text[4];
    char type[2] = {node->type, 0};

    snprintf(access_text, sizeof(access_text), "%s%s", node->read ? "r" : "",
             node->write ? "w" : "");
    if (denied && access_text[0] == 0)
        return 0;
    /* Where nothing is denied the runtimes put up with a kernel that takes no device program, but only
     * for rules that allow all. */
    return json_array_append_new(list, json_pack("{s:b, s:s, s:I, s:I, s:s}", "allow", 1, "type",
                                                 type, "major", (json_int_t)node->device_major,
                                                 "minor", (json_int_t)node->device_minor, "access",
                                                 denied ? access_text : "rwm"));
}

static int apply_node(const struct runtime_cdi_node *node, json_t *config)
{
    char type[2] = {node->type, 0};

    if (node->bind != NULL)
        return json_array_append_new(apply_list(config, "mounts"),
                                     json_pack("{s:s, s:s, s:s, s:[s,s,s,s]}", "destination",
                                               node->path, "type", "bind", "source", node->bind,
                                               "options", "bind", "nosuid", "noexec", "rprivate"));
    return json_array_append_new(
        apply_list(json_object_get(config, "linux"), "devices"),
        json_pack("{s:s, s:s, s:I, s:I, s:i, s:I, s:I}", "path", node->path, "type", type, "major",
                  (json_int_t)node->device_major, "minor", (json_int_t)node->device_minor,
                  "fileMode", node->mode, "uid", (json_int_t)node->uid, "gid",
                  (json_int_t)node->gid));
}

static int apply_mount(const struct runtime_cdi_mount *mount, json_t *config)
{
    return json_array_append_new(apply_list(config, "mounts"),
                                 json_pack("{s:s, s:s, s:s, s:o}", "destination", mount->path,
                                           "type", "bind", "source", mount->host_path, "options",
                                           apply_texts(&mount->options)));
}

static int apply_hook(const struct runtime_cdi_hook *hook, json_t *config)
{
    return json_array_append_new(apply_list(apply_object(config, "hooks"), hook->stage),
                                 json_pack("{s:s, s:o, s:o, s:i}", "path", hook->path, "args",
                                           apply_texts(&hook->args), "env", apply_texts(&hook->env),
                                           "timeout", (int)hook->timeout_s));
}

int runtime_cdi_apply(const struct runtime_cdi_edits *edits, json_t *config, struct hm_error *error)
{
    json_t *process = json_object_get(config, "process");
    const json_t *resources = json_object_get(json_object_get(config, "linux"), "resources");
    bool denied = json_array_size(json_object_get(resources, "devices")) > 0;
    int bad;

    if (process == NULL)
        return hm_fail(error, HM_EINVAL, "the container's configuration holds no process");
    bad = apply_env(edits, process);
    bad |= apply_gids(edits, process);
    for (size_t i = 0; i < edits->node_count; i++) {
        bad |= apply_node(&edits->nodes[i], config);
        if (denied || edits->rules)
            bad |= apply_rule(&edits->nodes[i], denied, config);
    }
    for (size_t i = 0; i < edits->mount_count; i++)
        bad |= apply_mount(&edits->mounts[i], config);
    for (size_t i = 0; i < edits->hook_count; i++)
        bad |= apply_hook(&edits->hooks[i], config);
    return bad == 0
               ? 0
               : hm_fail(error, HM_ENOMEM, "a CDI device's text is not UTF-8, or memory is out");
}
