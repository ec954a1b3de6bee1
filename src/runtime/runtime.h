/* runtime: runs one job in a sandbox on this machine. Images by content, an OCI bundle, crun or runc
 * beneath, cgroup v2, v1 or none; measures what was used; leaves nothing behind.
 *
 * Never: decides who may run what or what it costs, talks to the ledger or to the network.
 * Start reading with runtime_job_run. Children are started by posix_spawn and watched by pidfd. */
#ifndef HM_RUNTIME_H
#define HM_RUNTIME_H

#include "base.h"
#include "crypto.h"
#include "wire.h"

/* --- what this machine can do --------------------------------------------------------------------- */
enum runtime_cgroup { RUNTIME_CGROUP_NONE, RUNTIME_CGROUP_V1, RUNTIME_CGROUP_V2 };
struct runtime_machine {
    char oci_name[16]; /* "crun", "runc"; empty: none found */
    char oci_path[256];
    char oci_version[32];
    enum runtime_cgroup cgroup;
    bool rootless; /* the caller is an ordinary user: user namespace */
    bool mapped; /* root only: a job's users 0-65535 are users of no rights on this machine */
    bool overlayfs; /* else the root file system is copied */
    bool limit_cpu, limit_memory, limit_pids, limit_io; /* really enforced by cgroup */
    char warnings[8][160]; /* sentences: which limit does not hold, and what would make it hold */
    size_t warning_count;
};
/* Probes for real (starts /bin/true-like containers); 0.1-0.5 s. `prefer`: "crun", "runc" or NULL. */
int runtime_probe(const char *state_dir, const char *prefer, struct runtime_machine *out,
                  struct hm_error *error);

/* --- images ------------------------------------------------------------------------------------------
 * DIR/images: an index of names, manifests by SHA-256, what the layers hold in a PacketFS volume (equal files once,
 * whatever image they came with), and layers unpacked by diff id, which jobs start from. Names are
 * "name[:tag]", [a-z0-9][a-z0-9._/-]{0,127}, tag default "latest". */
struct runtime_images;
int runtime_images_open(const char *dir, struct runtime_images **out, struct hm_error *error);
void runtime_images_close(struct runtime_images *images);

struct runtime_image {
    char name[160];
    char digest[72]; /* "sha256:..." of the manifest */
    uint64_t bytes; /* blobs, as they came */
    uint64_t
        stored_bytes; /* what the volume grew by when it was taken in: little for what others had already */
    uint64_t created_ms;
    size_t layers;
};
/* From a docker-save archive (tar, gzip, zstd), an OCI layout folder or its tar. name NULL: the one in
 * the archive. Hostile input is refused whole: digest mismatch, path traversal, links out of the root,
 * device nodes, more than the limits below. */
#define RUNTIME_IMAGE_MAX_BYTES  (UINT64_C(16) << 30) /* unpacked */
#define RUNTIME_IMAGE_MAX_FILES  1000000
#define RUNTIME_IMAGE_MAX_LAYERS 128
int runtime_image_import(struct runtime_images *images, const char *path, const char *name,
                         struct runtime_image *out, struct hm_error *error);
/* Makes image "busybox" from a static busybox binary (NULL: $HYPERMESH_BUSYBOX, else looked for in the
 * usual folders and on PATH): an OCI image with /bin/busybox, its applets as links, /etc/passwd, /tmp. */
int runtime_image_build_base(struct runtime_images *images, const char *busybox,
                             struct runtime_image *out, struct hm_error *error);
int runtime_image_get(struct runtime_images *images, const char *name, struct runtime_image *out,
                      struct hm_error *error); /* HM_ENOTFOUND says how to import one */
/* Array owned by the caller, freed with hm_free. */
int runtime_image_list(struct runtime_images *images, struct runtime_image **out, size_t *count,
                       struct hm_error *error);
int runtime_image_remove(struct runtime_images *images, const char *name, struct hm_error *error);

/* --- jobs ---------------------------------------------------------------------------------------------- */
/* Log file: frames of 1 byte stream (1 stdout, 2 stderr), 3 zero bytes, be32 length, payload: the
 * multiplexed form of docker's attach API. Grows while the job runs; whole frames only. */
#define RUNTIME_LOG_FRAME_HEADER_BYTES 8
#define RUNTIME_LOG_MAX_BYTES          (UINT64_C(1) << 30) /* then output is dropped and a warning says so */

#define RUNTIME_LOG_NAME "log" /* in the job's folder; all that stays there */

/* A result is crypto_hash_parts(RUNTIME_RESULT_CONTEXT, {manifest}); the manifest lists what the job left
 * (docs/runtime.md has its form). */
#define RUNTIME_RESULT_CONTEXT     "hypermesh 1 job result"
#define RUNTIME_MANIFEST_MAX_BYTES ((size_t)64 << 10)

struct runtime_job_request {
    const char *id; /* [a-z0-9]{1,32}, unique */
    const Hypermesh__JobSpec *spec; /* absolute paths */
    const Hypermesh__SandboxLimits *limits;
    const char *dir; /* job's own folder, made here: log, bundle, upper layer */
    int cancel_fd; /* eventfd or pipe: readable means stop; -1: never */
    /* How long the OCI runtime may take until the first process runs, CDI hooks apart; 0: RUNTIME_START_LIMIT_MS. */
    uint32_t start_limit_ms;
    /* CDI specifications of the lease's GPUs, "A:B", the later wins; NULL: /etc/cdi and /var/run/cdi. */
    const char *cdi_folders;
    /* Called from the running thread as soon as the first process runs. May be NULL. */
    void (*started)(void *ctx, int pid);
    /* Called after frames were added to the log file. May be NULL. */
    void (*output)(void *ctx, uint64_t log_bytes);
    void *ctx;
};

/* Plain memory, nothing to release; too large for a small stack. */
struct runtime_job_result {
    Hypermesh__JobOutcome outcome; /* FINISHED, FAILED, CANCELLED, TIMED_OUT */
    int exit_code; /* 0-255; 128+signal when killed; -1 never started */
    char reason[256]; /* sentence when the outcome is not FINISHED */
    Hypermesh__JobUsage usage; /* usage.source points to static text */
    bool has_result; /* the command ended by itself and its outputs were copied */
    uint8_t result[CRYPTO_HASH_BYTES];
    size_t manifest_len;
    uint8_t
        manifest[RUNTIME_MANIFEST_MAX_BYTES]; /* preimage of result: keep it to answer challenges */
    char sandbox[128]; /* "runc 1.1.5, cgroup v1, rootful" */
    char warnings[8][160];
    size_t warning_count;
};

/* Runs the job from bundle to clean-up in the calling thread; returns when the sandbox, its mounts, its
 * cgroup and its processes are gone. SIGTERM, then SIGKILL after RUNTIME_STOP_GRACE_MS, on cancel and
 * timeout. 0 even when the command failed (see result); negative when the sandbox could not be set up
 * (HM_EUNAVAILABLE: by a fault of the OCI runtime, or not in time), in which case nothing was left behind
 * either. Outputs are copied only when the command ended by itself: not when the OCI runtime was killed
 * under it, which is an outcome of FAILED. */
#define RUNTIME_STOP_GRACE_MS  2000
#define RUNTIME_START_LIMIT_MS 60000
int runtime_job_run(struct runtime_images *images, const struct runtime_machine *machine,
                    const struct runtime_job_request *request, struct runtime_job_result *result,
                    struct hm_error *error);
/* After a crash of the node: kills and removes what a job of that id and dir left. Idempotent. */
int runtime_job_reap(const struct runtime_machine *machine, const char *id, const char *dir,
                     struct hm_error *error);

#endif
