#include "runtime_oci.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "runtime_json.h"

#define OCI_ARGS_MAX 24

int runtime_oci_init(struct runtime_oci *oci, const struct runtime_machine *machine, const char *id,
                     const char *dir, struct hm_error *error)
{
    int rc;

    oci->machine = machine;
    oci->id = id;
    oci->no_cgroup = machine->cgroup == RUNTIME_CGROUP_NONE;
    rc = runtime_path_join(oci->root, sizeof(oci->root), dir, "oci", error);
    if (rc == 0)
        rc = runtime_path_join(oci->bundle, sizeof(oci->bundle), dir, "bundle", error);
    if (rc == 0)
        rc = runtime_path_join(oci->log, sizeof(oci->log), dir, "oci.log", error);
    if (rc == 0)
        rc = runtime_path_join(oci->pid, sizeof(oci->pid), dir, "pid", error);
    return rc;
}

static size_t oci_global(const struct runtime_oci *oci, const char **argv)
{
    size_t at = 0;

    argv[at++] = oci->machine->oci_path;
    argv[at++] = "--root";
    argv[at++] = oci->root;
    argv[at++] = "--log";
    argv[at++] = oci->log;
    argv[at++] = "--log-format";
    argv[at++] = "json";
    if (strcmp(oci->machine->oci_name, "crun") == 0 && oci->no_cgroup)
        argv[at++] = "--cgroup-manager=disabled";
    return at;
}

int runtime_oci_run(const struct runtime_oci *oci, struct runtime_child *child,
                    struct hm_error *error)
{
    const char *argv[OCI_ARGS_MAX] = {0};
    size_t at = oci_global(oci, argv);

    argv[at++] = "run";
    argv[at++] = "--bundle";
    argv[at++] = oci->bundle;
    argv[at++] = "--pid-file";
    argv[at++] = oci->pid;
    argv[at++] = oci->id;
    return runtime_child_start(argv, true, child, error);
}

int runtime_oci_delete(const struct runtime_oci *oci, struct hm_error *error)
{
    const char *argv[OCI_ARGS_MAX] = {0};
    size_t at = oci_global(oci, argv);
    char state[RUNTIME_PATH_MAX_BYTES];
    int status = 0;
    int rc = runtime_path_join(state, sizeof(state), oci->root, oci->id, error);

    if (rc != 0)
        return rc;
    if (access(state, F_OK) != 0)
        return 0;
    argv[at++] = "delete";
    argv[at++] = "--force";
    argv[at++] = oci->id;
    rc = runtime_child_run(argv, RUNTIME_OCI_LIMIT_MS, NULL, 0, &status, error);
    if (rc == 0 && status != 0 && access(state, F_OK) == 0)
        rc = hm_fail(error, HM_EBUSY, "%s could not delete container %s", oci->machine->oci_name,
                     oci->id);
    return rc;
}

/* Lines of JSON with "level" and "msg"; older crun writes the message alone. */
void runtime_oci_message_parse(struct hm_slice log, char *out, size_t size)
{
    out[0] = 0;
    while (log.len > 0) {
        const uint8_t *end = memchr(log.data, '\n', log.len);
        struct hm_slice line = hm_slice_of(log.data,
                                           end != NULL ? (size_t)(end - log.data) : log.len);
        size_t step = line.len + (end != NULL);
        RUNTIME_JSON *json = NULL;
        const char *level, *message;

        log = hm_slice_of(log.data + step, log.len - step);
        if (runtime_json_parse(line, "log", JSON_OBJECT, &json, NULL) != 0)
            continue;
        level = runtime_json_text(json, "level");
        message = runtime_json_text(json, "msg");
        if (message != NULL &&
            (level == NULL || strcmp(level, "error") == 0 || strcmp(level, "fatal") == 0))
            snprintf(out, size, "%s", message);
    }
    hm_text_clean(out);
}

void runtime_oci_message(const struct runtime_oci *oci, char *out, size_t size)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    out[0] = 0;
    if (hm_file_read(oci->log, RUNTIME_JSON_MAX_BYTES, &text, NULL) == 0)
        runtime_oci_message_parse(hm_buf_slice(&text), out, size);
}

bool runtime_oci_is_command_fault(const char *message)
{
    static const char *const signs[] = {"executable file",   "exec: ",          "exec /",
                                        "exec format error", "open executable", "cannot find",
                                        "chdir to cwd"};

    for (size_t i = 0; i < HM_COUNT_OF(signs); i++) {
        if (strstr(message, signs[i]) != NULL)
            return true;
    }
    return false;
}
