/* What surrounds one container: folders, root file system, cgroup; made before it, removed after it. */
#ifndef HM_RUNTIME_SANDBOX_H
#define HM_RUNTIME_SANDBOX_H

#include "runtime_bundle.h"
#include "runtime_cgroup.h"
#include "runtime_images.h"
#include "runtime_oci.h"

#define RUNTIME_JOB_MAX_INPUTS     64
#define RUNTIME_JOB_MAX_OUTPUTS    64
#define RUNTIME_JOB_MAX_ENV        2048
#define RUNTIME_JOB_MAX_ARGS       1024
#define RUNTIME_TIMEOUT_DEFAULT_MS (UINT64_C(10) * 60 * 1000)
#define RUNTIME_TIMEOUT_MAX_MS     (UINT64_C(366) * 24 * 3600 * 1000)

struct runtime_sandbox {
    const struct runtime_machine *machine;
    const struct runtime_job_request *request;
    struct runtime_job_result *result; /* receives warnings */
    struct runtime_limits limits;
    uint64_t timeout_ms;
    struct hm_arena arena;
    struct runtime_image_loaded *loaded; /* in the arena */
    struct runtime_cgroup_host cgroup_host;
    struct runtime_cgroup_job cgroup;
    struct runtime_oci oci;
    char rootfs[RUNTIME_PATH_MAX_BYTES];
    uint32_t uid, gid; /* in the container */
    struct runtime_cdi_edits *cdi; /* in the arena; NULL: a lease without GPUs */
};

/* Adds a sentence to the result's warnings; dropped silently past their number. */
void runtime_warn(struct runtime_job_result *result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Before anything is made: ids, paths, counts. */
int runtime_job_check(const struct runtime_machine *machine,
                      const struct runtime_job_request *request, struct hm_error *error);
/* Makes everything up to config.json. On failure the caller calls runtime_sandbox_clear. */
int runtime_sandbox_make(struct runtime_sandbox *sandbox, struct runtime_images *images,
                         struct hm_error *error);
/* The user the image names, looked up in its own /etc/passwd. */
int runtime_sandbox_user(struct runtime_sandbox *sandbox, struct hm_error *error);
/* Field `want` (0: the name) of the first line of a passwd or group file that begins with name, if it is a number below
 * RUNTIME_UID_COUNT. Pure. */
bool runtime_user_field(struct hm_slice text, const char *name, unsigned want, uint32_t *out);
/* Memory and descriptors of the struct itself. */
void runtime_sandbox_release(struct runtime_sandbox *sandbox);
/* Path of output `at`'s folder: DIR/out/N. */
int runtime_output_folder(const char *dir, size_t at, char out[RUNTIME_PATH_MAX_BYTES],
                          struct hm_error *error);
/* Container, cgroup, mounts, folders of a job: gone after this, whatever was there. The log stays.
 * Used at the end of a job and after a crash. */
int runtime_sandbox_clear(const struct runtime_machine *machine,
                          const struct runtime_cgroup_host *cgroup_host, const char *id,
                          const char *dir, struct hm_error *error);

#endif
