/* Container Device Interface: what a device's maker says a container needs to use it.
 *
 * Three steps. Reading (pure): the bytes of one specification, JSON or YAML, and from it the edits of
 * one device. Finding: "vendor/class=name" in the specification folders. Preparing and applying: the
 * edits are checked against this machine and written into the container's configuration.
 *
 * Specification: github.com/cncf-tags/container-device-interface, SPEC.md, versions 0.3 to 1.1.
 * Not taken: intelRdt, netDevices, file systems other than binds, fifos, startContainer hooks. */
#ifndef HM_RUNTIME_CDI_H
#define HM_RUNTIME_CDI_H

#include <jansson.h>

#include "base.h"
#include "runtime.h"

#define RUNTIME_CDI_FOLDERS "/etc/cdi:/var/run/cdi" /* the later one wins */

#define RUNTIME_CDI_MAX_BYTES      ((size_t)1 << 20) /* of a file */
#define RUNTIME_CDI_MAX_FILES      128 /* in all folders */
#define RUNTIME_CDI_MAX_FOLDERS    8
#define RUNTIME_CDI_MAX_DEVICES    1024 /* in a file */
#define RUNTIME_CDI_MAX_NAMES      64 /* asked for by one job */
#define RUNTIME_CDI_MAX_ENV        256 /* these six: of all edits of one job */
#define RUNTIME_CDI_MAX_NODES      256
#define RUNTIME_CDI_MAX_MOUNTS     512
#define RUNTIME_CDI_MAX_HOOKS      128
#define RUNTIME_CDI_MAX_GIDS       32
#define RUNTIME_CDI_MAX_ARGS       256 /* of a hook; also its environment, and a mount's options */
#define RUNTIME_CDI_MAX_TEXT_BYTES 4095
#define RUNTIME_CDI_MAX_KIND_BYTES 317 /* 253 of vendor, "/", 63 of class */
#define RUNTIME_CDI_MAX_NAME_BYTES 255 /* of a device */
#define RUNTIME_CDI_HOOK_TIMEOUT_S 60 /* where a hook gives none */
#define RUNTIME_CDI_HOOK_LONGEST_S 3600

enum runtime_cdi_format { RUNTIME_CDI_JSON, RUNTIME_CDI_YAML };

struct runtime_cdi_texts {
    const char **texts;
    size_t count;
};
struct runtime_cdi_node {
    const char *path; /* in the container */
    const char *host_path;
    char type; /* 'c', 'b'; 0: as on this machine */
    bool numbered; /* device_major and device_minor are given */
    int64_t device_major, device_minor;
    int mode; /* 0-0777; -1: as on this machine */
    bool has_uid, has_gid;
    uint32_t uid, gid; /* in the container */
    bool read, write; /* what the device cgroup allows; making nodes is never allowed */
    const char *bind; /* runtime_cdi_prepare: bound from there; NULL: made by the OCI runtime */
};
struct runtime_cdi_mount {
    const char *host_path;
    const char *path; /* in the container */
    struct runtime_cdi_texts
        options; /* "bind" or "rbind", "ro" or "rw", "nosuid" are always there */
};
struct runtime_cdi_hook {
    const char *stage; /* member of the OCI configuration's "hooks" */
    const char *path; /* on this machine */
    struct runtime_cdi_texts args, env;
    unsigned timeout_s;
};
/* Of all devices of one job. Texts lie in the arena. About 60 KiB: not for the stack. */
struct runtime_cdi_edits {
    struct hm_arena *arena;
    const char *env[RUNTIME_CDI_MAX_ENV]; /* "NAME=value", each name once */
    size_t env_count;
    struct runtime_cdi_node nodes[RUNTIME_CDI_MAX_NODES]; /* each path once */
    size_t node_count;
    struct runtime_cdi_mount mounts[RUNTIME_CDI_MAX_MOUNTS]; /* each path once */
    size_t mount_count;
    struct runtime_cdi_hook hooks[RUNTIME_CDI_MAX_HOOKS];
    size_t hook_count;
    uint32_t gids[RUNTIME_CDI_MAX_GIDS]; /* in the container; each once, never 0 */
    size_t gid_count;
    bool
        rules; /* runtime_cdi_prepare: the device cgroup is told, even when it denies nothing else */
};

/* --- reading: pure ---------------------------------------------------------------------------------- */
struct runtime_cdi_spec {
    json_t *json; /* owned */
    const char *kind; /* "vendor/class", in json */
};
/* Checks version, kind and the devices' names. `what` names the source in errors. HM_EPARSE, HM_ELIMIT. */
int runtime_cdi_spec_parse(struct hm_slice bytes, enum runtime_cdi_format format, const char *what,
                           struct runtime_cdi_spec *out, struct hm_error *error);
void runtime_cdi_spec_release(struct runtime_cdi_spec *spec);
/* The device of that name; borrowed, NULL when there is none. */
const json_t *runtime_cdi_spec_device(const struct runtime_cdi_spec *spec, const char *name);
/* Adds the containerEdits of `holder`: a device, or spec->json for those of every device. Unchanged on
 * failure. HM_EPARSE, HM_ELIMIT, HM_EUNSUPPORTED, HM_ECONFLICT when a path is already something else. */
int runtime_cdi_edits_add(struct runtime_cdi_edits *edits, const json_t *holder,
                          struct hm_error *error);
/* Sets "NAME=value" (copied), replacing an earlier one of that name. */
int runtime_cdi_env_set(struct runtime_cdi_edits *edits, const char *text, struct hm_error *error);
/* "vendor/class=name": the length of "vendor/class", or 0 when it is no such name. */
size_t runtime_cdi_name_check(const char *name);

/* --- finding ----------------------------------------------------------------------------------------- */
/* Adds the edits of the named devices and of their specifications. folders: "A:B", NULL:
 * RUNTIME_CDI_FOLDERS; those that are missing are empty. A file that cannot be used matters only when a
 * name is not found. HM_EUNAVAILABLE says how to make a specification. */
int runtime_cdi_find(const char *folders, char *const *names, size_t count,
                     struct runtime_cdi_edits *edits, struct hm_error *error);

/* --- preparing and applying ---------------------------------------------------------------------------- */
struct runtime_cdi_host {
    const struct runtime_machine *machine;
    uint32_t uid, gid; /* of the job, in the container */
    const char *node_dir; /* made when a device node of the job's own is needed */
};
/* Device nodes and mounts are there and can be opened, hooks are root's own programs. */
int runtime_cdi_prepare(struct runtime_cdi_edits *edits, const struct runtime_cdi_host *host,
                        struct hm_error *error);
/* Changes the OCI configuration. HM_ENOMEM, HM_EINVAL when it holds no process. */
int runtime_cdi_apply(const struct runtime_cdi_edits *edits, json_t *config,
                      struct hm_error *error);

#endif
