/* The OCI bundle's config.json (OCI runtime specification 1.0.2): what the sandbox is, in one place. */
#ifndef HM_RUNTIME_BUNDLE_H
#define HM_RUNTIME_BUNDLE_H

#include <jansson.h>
#include <sys/types.h>

#include "runtime_limits.h"

#define RUNTIME_TMP_MAX_BYTES \
    (UINT64_C(64) << 20) /* /tmp and /dev/shm, or the storage limit if less */
#define RUNTIME_OPEN_FILES 65536

struct runtime_cdi_edits;

struct runtime_bundle_mount {
    const char *source; /* folder or file on this machine */
    const char *target; /* in the container */
    bool writable;
};

struct runtime_bundle {
    const char *rootfs;
    const char *const *argv;
    size_t argc;
    const char *const *env; /* "NAME=value" */
    size_t envc;
    const char *workdir;
    uint32_t uid, gid; /* in the container */
    const char *hostname;
    const char *cgroup; /* "/hypermesh/ID/c", or NULL */
    bool mapped; /* user namespace with RUNTIME_UID_COUNT users */
    bool rootless; /* user namespace with one user: the caller */
    bool
        deny_devices; /* by cgroup too; in a user namespace no device node can be made or opened anyway,
                        * and v2's way needs a capability that not every root has */
    bool network; /* the host's network instead of an empty one */
    const struct runtime_limits *limits;
    bool rlimit_pids, rlimit_cpu; /* no cgroup holds it: a weaker limit each process has */
    uint64_t timeout_ms; /* for rlimit_cpu */
    const struct runtime_bundle_mount *mounts;
    size_t mount_count;
    const struct runtime_cdi_edits *cdi; /* prepared; NULL: none */
};

/* Pure but for getrlimit and the caller's ids. New reference; NULL when memory is out or a text is not
 * UTF-8. */
json_t *runtime_bundle_json(const struct runtime_bundle *bundle);
/* Writes DIR/config.json. */
int runtime_bundle_write(const struct runtime_bundle *bundle, const char *dir,
                         struct hm_error *error);

#endif
