/* Command lines of the OCI runtimes, crun and runc. */
#ifndef HM_RUNTIME_OCI_H
#define HM_RUNTIME_OCI_H

#include "runtime.h"
#include "runtime_path.h"
#include "runtime_spawn.h"

#define RUNTIME_OCI_LIMIT_MS 20000

/* Where one job's runtime works; all below the job's folder. */
struct runtime_oci {
    const struct runtime_machine *machine;
    const char *id;
    bool no_cgroup;
    char root[RUNTIME_PATH_MAX_BYTES]; /* state: DIR/oci */
    char bundle[RUNTIME_PATH_MAX_BYTES]; /* DIR/bundle */
    char log[RUNTIME_PATH_MAX_BYTES]; /* DIR/oci.log */
    char pid[RUNTIME_PATH_MAX_BYTES]; /* DIR/pid */
};

int runtime_oci_init(struct runtime_oci *oci, const struct runtime_machine *machine, const char *id,
                     const char *dir, struct hm_error *error);
/* Starts "run" in the foreground: the child's exit code is the job's. */
int runtime_oci_run(const struct runtime_oci *oci, struct runtime_child *child,
                    struct hm_error *error);
/* Kills and forgets the container; nothing to do when the runtime knows none. */
int runtime_oci_delete(const struct runtime_oci *oci, struct hm_error *error);
/* The last error in the runtime's own log, or "" . */
void runtime_oci_message(const struct runtime_oci *oci, char *out, size_t size);
/* The same of the log's bytes; pure. */
void runtime_oci_message_parse(struct hm_slice log, char *out, size_t size);
/* Does that message speak of the command rather than of the sandbox? */
bool runtime_oci_is_command_fault(const char *message);

#endif
