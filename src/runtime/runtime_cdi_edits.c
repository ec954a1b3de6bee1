/* "containerEdits" of a CDI specification. Pure: nothing here looks at the machine. */
#include "runtime_cdi.h"
#include "runtime_json.h"
#include "runtime_path.h"

#define CDI_MAX_DEVICE_NUMBER INT64_C(0xffffffff)

static int cdi_no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for a CDI device");
}

/* Members that are not known would be silently left undone. */
static int cdi_members(const json_t *object, const char *what, const char *const *known,
                       struct hm_error *error)
{
    const char *name;
    json_t *value;

    if (!json_is_object(object))
        return hm_fail(error, HM_EPARSE, "%s is not an object", what);
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        size_t i = 0;

        while (known[i] != NULL && strcmp(known[i], name) != 0)
            i++;
        if (known[i] == NULL)
            return hm_fail(error, HM_EUNSUPPORTED, "%s: \"%.64s\" is not supported yet", what,
                           name);
    }
    return 0;
}

/* A list, or NULL when there is none. */
static int cdi_list(const json_t *object, const char *name, size_t limit, const json_t **out,
                    struct hm_error *error)
{
    const json_t *list = json_object_get(object, name);

    if (list != NULL && !json_is_array(list) && !json_is_null(list))
        return hm_fail(error, HM_EPARSE, "\"%s\" of a CDI device is not a list", name);
    if (json_array_size(list) > limit)
        return hm_fail(error, HM_ELIMIT, "\"%s\" of a CDI device has more than %zu entries", name,
                       limit);
    *out = list;
    return 0;
}

/* Copied text; NULL when it is not there. */
static int cdi_text(struct runtime_cdi_edits *edits, const json_t *value, const char *name,
                    const char **out, struct hm_error *error)
{
    const char *text = json_string_value(value);

    if (value == NULL || json_is_null(value)) {
        *out = NULL;
        return 0;
    }
    if (text == NULL || strlen(text) > RUNTIME_CDI_MAX_TEXT_BYTES)
        return hm_fail(error, HM_EPARSE, "\"%s\" of a CDI device is no text or too long", name);
    *out = hm_arena_strdup(edits->arena, text);
    return *out != NULL ? 0 : cdi_no_memory(error);
}

static int cdi_texts(struct runtime_cdi_edits *edits, const json_t *object, const char *name,
                     size_t extra, struct runtime_cdi_texts *out, struct hm_error *error)
{
    const json_t *list = NULL;
    size_t count;
    int rc = cdi_list(object, name, RUNTIME_CDI_MAX_ARGS, &list, error);

    if (rc != 0)
        return rc;
    count = json_array_size(list);
    out->texts = hm_arena_alloc(edits->arena, (count + extra + 1) * sizeof(*out->texts));
    if (out->texts == NULL)
        return cdi_no_memory(error);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const json_t *item = json_array_get(list, i);

        if (!json_is_string(item))
            return hm_fail(error, HM_EPARSE, "\"%s\" of a CDI device has an entry that is no text",
                           name);
        rc = cdi_text(edits, item, name, &out->texts[i], error);
    }
    out->count = count;
    return rc;
}

/* A whole number in range, or `otherwise` when it is not there. */
static int cdi_number(const json_t *object, const char *name, int64_t otherwise, int64_t max,
                      int64_t *out, struct hm_error *error)
{
    const json_t *value = json_object_get(object, name);

    if (value == NULL || json_is_null(value)) {
        *out = otherwise;
        return 0;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > max)
        return hm_fail(error, HM_EPARSE, "\"%s\" of a CDI device is not a number of 0-%lld", name,
                       (long long)max);
    *out = json_integer_value(value);
    return 0;
}

/* Where something may appear in the container: not over what the sandbox itself has there. */
static int cdi_target_check(const char *path, const char *field, struct hm_error *error)
{
    static const char *const own[] = {"null",   "zero",    "full",  "random", "urandom",
                                      "tty",    "console", "ptmx",  "pts",    "shm",
                                      "mqueue", "fd",      "stdin", "stdout", "stderr"};
    char normal[RUNTIME_PATH_MAX_BYTES];
    size_t len;

    if (runtime_mount_point_check(path, field, NULL) == 0)
        return 0;
    if (runtime_host_path_check(path, field, NULL) == 0) {
        (void)runtime_path_normal(path, normal, NULL);
        for (size_t i = 0; strncmp(normal, "dev/", 4) == 0; i++) {
            if (i == HM_COUNT_OF(own))
                return 0;
            len = strlen(own[i]);
            if (strncmp(normal + 4, own[i], len) == 0 &&
                (normal[4 + len] == 0 || normal[4 + len] == '/'))
                break;
        }
    }
    return hm_fail(error, HM_EPARSE,
                   "%s of a CDI device: \"%.200s\" is no absolute path, or belongs to the sandbox",
                   field, path);
}

/* --- device nodes ----------------------------------------------------------------------------------- */
static int node_permissions(const json_t *json, struct runtime_cdi_node *node,
                            struct hm_error *error)
{
    const json_t *value = json_object_get(json, "permissions");
    const char *text = json_string_value(value);

    node->read = node->write = true;
    if (value == NULL || json_is_null(value) || (text != NULL && text[0] == 0))
        return 0;
    if (text == NULL || (strcmp(text, "none") != 0 && text[strspn(text, "rwm")] != 0))
        return hm_fail(error, HM_EPARSE,
                       "\"permissions\" of a CDI device node are of r, w, m, or none");
    node->read = strchr(text, 'r') != NULL;
    node->write = strchr(text, 'w') != NULL;
    return 0;
}

static int node_numbers(const json_t *json, struct runtime_cdi_node *node, struct hm_error *error)
{
    int64_t mode = -1, uid = -1, gid = -1;
    int rc = cdi_number(json, "major", -1, CDI_MAX_DEVICE_NUMBER, &node->device_major, error);

    if (rc == 0)
        rc = cdi_number(json, "minor", -1, CDI_MAX_DEVICE_NUMBER, &node->device_minor, error);
    if (rc == 0)
        rc = cdi_number(json, "fileMode", -1, 0177777, &mode, error);
    if (rc == 0)
        rc = cdi_number(json, "uid", -1, UINT32_MAX - 1, &uid, error);
    if (rc == 0)
        rc = cdi_number(json, "gid", -1, UINT32_MAX - 1, &gid, error);
    if (rc != 0)
        return rc;
    /* Generators written in Go leave a minor number of 0 out. */
    node->numbered = node->device_major > 0;
    if (node->numbered && node->device_minor < 0)
        node->device_minor = 0;
    node->mode = mode < 0 ? -1 : (int)(mode & 0777);
    node->has_uid = uid >= 0;
    node->has_gid = gid >= 0;
    node->uid = uid >= 0 ? (uint32_t)uid : 0;
    node->gid = gid >= 0 ? (uint32_t)gid : 0;
    return 0;
}

static int node_type(const json_t *json, struct runtime_cdi_node *node, struct hm_error *error)
{
    const json_t *value = json_object_get(json, "type");
    const char *text = json_string_value(value);

    node->type = 0;
    if (value == NULL || json_is_null(value) || (text != NULL && text[0] == 0))
        return 0;
    if (text != NULL && strcmp(text, "p") == 0)
        return hm_fail(error, HM_EUNSUPPORTED, "fifos of CDI devices are not supported yet");
    if (text == NULL || text[1] != 0 || strchr("bcu", text[0]) == NULL)
        return hm_fail(error, HM_EPARSE, "\"type\" of a CDI device node is not b, c or u");
    node->type = text[0] == 'b' ? 'b' : 'c';
    return 0;
}

static int node_add(struct runtime_cdi_edits *edits, const json_t *json, struct hm_error *error)
{
    static const char *const known[] = {"path",     "hostPath",    "type", "major", "minor",
                                        "fileMode", "permissions", "uid",  "gid",   NULL};
    struct runtime_cdi_node node = {0};
    int rc = cdi_members(json, "a CDI device node", known, error);

    if (rc == 0)
        rc = cdi_text(edits, json_object_get(json, "path"), "path", &node.path, error);
    if (rc == 0)
        rc = cdi_text(edits, json_object_get(json, "hostPath"), "hostPath", &node.host_path, error);
    if (rc != 0)
        return rc;
    if (node.path == NULL)
        return hm_fail(error, HM_EPARSE, "a CDI device node has no \"path\"");
    if (node.host_path == NULL || node.host_path[0] == 0)
        node.host_path = node.path;
    rc = cdi_target_check(node.path, "deviceNodes.path", error);
    if (rc == 0 && runtime_host_path_check(node.host_path, "", NULL) != 0)
        rc = hm_fail(error, HM_EPARSE, "deviceNodes.hostPath of a CDI device is no absolute path");
    if (rc == 0)
        rc = node_type(json, &node, error);
    if (rc == 0)
        rc = node_numbers(json, &node, error);
    if (rc == 0)
        rc = node_permissions(json, &node, error);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < edits->node_count; i++) {
        if (strcmp(edits->nodes[i].path, node.path) != 0)
            continue;
        return strcmp(edits->nodes[i].host_path, node.host_path) == 0
                   ? 0
                   : hm_fail(error, HM_ECONFLICT, "two CDI devices make %.200s different nodes",
                             node.path);
    }
    if (edits->node_count == RUNTIME_CDI_MAX_NODES)
        return hm_fail(error, HM_ELIMIT, "CDI devices have more than %d device nodes",
                       RUNTIME_CDI_MAX_NODES);
    edits->nodes[edits->node_count++] = node;
    return 0;
}

/* --- mounts ----------------------------------------------------------------------------------------- */
static bool mount_has(const struct runtime_cdi_texts *options, const char *a, const char *b)
{
    for (size_t i = 0; i < options->count; i++) {
        if (strcmp(options->texts[i], a) == 0 || strcmp(options->texts[i], b) == 0)
            return true;
    }
    return false;
}

/* Nothing that would let a mount of the job's reach back into the host's table. */
static int mount_options(struct runtime_cdi_texts *options, struct hm_error *error)
{
    static const char *const taken[] = {
        "bind",       "rbind",    "ro",          "rw",        "nosuid", "nodev",
        "dev",        "noexec",   "exec",        "sync",      "async",  "private",
        "rprivate",   "slave",    "rslave",      "noatime",   "atime",  "relatime",
        "nodiratime", "diratime", "strictatime", "norelatime"};

    for (size_t i = 0; i < options->count; i++) {
        size_t at = 0;

        while (at < HM_COUNT_OF(taken) && strcmp(taken[at], options->texts[i]) != 0)
            at++;
        if (at == HM_COUNT_OF(taken))
            return hm_fail(error, HM_EUNSUPPORTED,
                           "option \"%.64s\" of a CDI device's mount is not supported",
                           options->texts[i]);
    }
    if (!mount_has(options, "bind", "rbind"))
        options->texts[options->count++] = "rbind";
    if (!mount_has(options, "ro", "rw"))
        options->texts[options->count++] = "ro";
    if (!mount_has(options, "nosuid", "nosuid"))
        options->texts[options->count++] = "nosuid";
    return 0;
}

static int mount_add(struct runtime_cdi_edits *edits, const json_t *json, struct hm_error *error)
{
    static const char *const known[] = {"hostPath", "containerPath", "type", "options", NULL};
    struct runtime_cdi_mount mount = {0};
    const char *type = NULL;
    int rc = cdi_members(json, "a CDI mount", known, error);

    if (rc == 0)
        rc = cdi_text(edits, json_object_get(json, "hostPath"), "hostPath", &mount.host_path,
                      error);
    if (rc == 0)
        rc = cdi_text(edits, json_object_get(json, "containerPath"), "containerPath", &mount.path,
                      error);
    if (rc == 0)
        rc = cdi_text(edits, json_object_get(json, "type"), "type", &type, error);
    if (rc == 0)
        rc = cdi_texts(edits, json, "options", 3, &mount.options, error);
    if (rc != 0)
        return rc;
    if (type != NULL && type[0] != 0 && strcmp(type, "bind") != 0 && strcmp(type, "none") != 0)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "a CDI device mounts a file system of type \"%.32s\": only binds are "
                       "supported",
                       type);
    if (mount.path == NULL || runtime_host_path_check(mount.host_path, "", NULL) != 0)
        return hm_fail(error, HM_EPARSE, "a CDI mount needs absolute hostPath and containerPath");
    rc = cdi_target_check(mount.path, "mounts.containerPath", error);
    if (rc == 0)
        rc = mount_options(&mount.options, error);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < edits->mount_count; i++) {
        if (strcmp(edits->mounts[i].path, mount.path) != 0)
            continue;
        return strcmp(edits->mounts[i].host_path, mount.host_path) == 0
                   ? 0
                   : hm_fail(error, HM_ECONFLICT,
                             "two CDI devices mount different things at %.200s", mount.path);
    }
    if (edits->mount_count == RUNTIME_CDI_MAX_MOUNTS)
        return hm_fail(error, HM_ELIMIT, "CDI devices have more than %d mounts",
                       RUNTIME_CDI_MAX_MOUNTS);
    edits->mounts[edits->mount_count++] = mount;
    return 0;
}

/* --- the rest --------------------------------------------------------------------------------------- */
static int hook_stage(const json_t *json, const char **out, struct hm_error *error)
{
    static const char *const stages[] = {"prestart", "createRuntime", "createContainer",
                                         "poststart", "poststop"};
    const char *name = runtime_json_text(json, "hookName");

    for (size_t i = 0; name != NULL && i < HM_COUNT_OF(stages); i++) {
        if (strcmp(name, stages[i]) == 0) {
            *out = stages[i];
            return 0;
        }
    }
    if (name != NULL && strcmp(name, "startContainer") == 0)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "startContainer hooks of CDI devices are not supported: they run what the "
                       "image holds");
    return hm_fail(error, HM_EPARSE, "\"hookName\" of a CDI hook is missing or not known");
}

static int hook_add(struct runtime_cdi_edits *edits, const json_t *json, struct hm_error *error)
{
    static const char *const known[] = {"hookName", "path", "args", "env", "timeout", NULL};
    struct runtime_cdi_hook hook = {0};
    int64_t timeout = 0;
    int rc = cdi_members(json, "a CDI hook", known, error);

    if (rc == 0)
        rc = hook_stage(json, &hook.stage, error);
    if (rc == 0)
        rc = cdi_text(edits, json_object_get(json, "path"), "path", &hook.path, error);
    if (rc == 0)
        rc = cdi_texts(edits, json, "args", 0, &hook.args, error);
    if (rc == 0)
        rc = cdi_texts(edits, json, "env", 0, &hook.env, error);
    if (rc == 0)
        rc = cdi_number(json, "timeout", RUNTIME_CDI_HOOK_TIMEOUT_S, RUNTIME_CDI_HOOK_LONGEST_S,
                        &timeout, error);
    if (rc != 0)
        return rc;
    if (runtime_host_path_check(hook.path, "", NULL) != 0)
        return hm_fail(error, HM_EPARSE, "\"path\" of a CDI hook is not an absolute path");
    if (timeout == 0)
        return hm_fail(error, HM_EPARSE, "\"timeout\" of a CDI hook is 0");
    hook.timeout_s = (unsigned)timeout;
    if (edits->hook_count == RUNTIME_CDI_MAX_HOOKS)
        return hm_fail(error, HM_ELIMIT, "CDI devices have more than %d hooks",
                       RUNTIME_CDI_MAX_HOOKS);
    edits->hooks[edits->hook_count++] = hook;
    return 0;
}

static int gid_add(struct runtime_cdi_edits *edits, const json_t *json, struct hm_error *error)
{
    json_int_t gid = json_integer_value(json);

    if (!json_is_integer(json) || gid < 0 || gid >= UINT32_MAX)
        return hm_fail(error, HM_EPARSE, "\"additionalGids\" of a CDI device are not all numbers");
    for (size_t i = 0; i < edits->gid_count; i++) {
        if (edits->gids[i] == (uint32_t)gid)
            return 0;
    }
    if (gid == 0)
        return 0;
    if (edits->gid_count == RUNTIME_CDI_MAX_GIDS)
        return hm_fail(error, HM_ELIMIT, "CDI devices have more than %d groups",
                       RUNTIME_CDI_MAX_GIDS);
    edits->gids[edits->gid_count++] = (uint32_t)gid;
    return 0;
}

static int env_add(struct runtime_cdi_edits *edits, const json_t *json, struct hm_error *error)
{
    const char *text = json_string_value(json);

    return runtime_cdi_env_set(edits, text != NULL ? text : "", error);
}

struct cdi_part {
    const char *name;
    size_t limit;
    int (*add)(struct runtime_cdi_edits *edits, const json_t *json, struct hm_error *error);
};

static int edits_add(struct runtime_cdi_edits *edits, const json_t *json, struct hm_error *error)
{
    static const struct cdi_part parts[] = {{"env", RUNTIME_CDI_MAX_ENV, env_add},
                                            {"deviceNodes", RUNTIME_CDI_MAX_NODES, node_add},
                                            {"mounts", RUNTIME_CDI_MAX_MOUNTS, mount_add},
                                            {"hooks", RUNTIME_CDI_MAX_HOOKS, hook_add},
                                            {"additionalGids", RUNTIME_CDI_MAX_GIDS, gid_add}};
    static const char *const known[] = {"env",   "deviceNodes",    "mounts",
                                        "hooks", "additionalGids", NULL};
    int rc = cdi_members(json, "containerEdits of a CDI device", known, error);

    for (size_t i = 0; rc == 0 && i < HM_COUNT_OF(parts); i++) {
        const json_t *list = NULL;

        rc = cdi_list(json, parts[i].name, parts[i].limit, &list, error);
        for (size_t at = 0; rc == 0 && at < json_array_size(list); at++)
            rc = parts[i].add(edits, json_array_get(list, at), error);
    }
    return rc;
}

int runtime_cdi_edits_add(struct runtime_cdi_edits *edits, const json_t *holder,
                          struct hm_error *error)
{
    HM_AUTOFREE struct runtime_cdi_edits *work = NULL;
    const json_t *json = json_object_get(holder, "containerEdits");
    int rc;

    if (json == NULL || json_is_null(json))
        return 0;
    work = hm_malloc(sizeof(*work));
    if (work == NULL)
        return cdi_no_memory(error);
    *work = *edits;
    rc = edits_add(work, json, error);
    if (rc == 0)
        *edits = *work;
    return rc;
}
