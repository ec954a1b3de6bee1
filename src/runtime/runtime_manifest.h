/* What an image says about itself: OCI index, manifest and configuration, docker's manifest.json.
 * Pure parsers of outside bytes (OCI image specification 1.1). Results live in the caller's arena. */
#ifndef HM_RUNTIME_MANIFEST_H
#define HM_RUNTIME_MANIFEST_H

#include "base.h"
#include "runtime.h"
#include "runtime_digest.h"

#define RUNTIME_IMAGE_MAX_ARGS       1024
#define RUNTIME_IMAGE_MAX_TEXT_BYTES ((size_t)128 * 1024) /* one argument or variable */

struct runtime_layer_ref {
    struct runtime_digest digest; /* of the blob as stored, compressed or not */
    uint64_t bytes;
};

struct runtime_manifest {
    struct runtime_layer_ref config;
    size_t layer_count;
    struct runtime_layer_ref layers[RUNTIME_IMAGE_MAX_LAYERS];
};

struct runtime_image_config {
    const char *const *entrypoint;
    size_t entrypoint_count;
    const char *const *command;
    size_t command_count;
    const char *const *env; /* "NAME=value" */
    size_t env_count;
    const char *workdir; /* "" when not set */
    const char *user; /* "" when not set */
    size_t layer_count;
    struct runtime_digest diff_ids[RUNTIME_IMAGE_MAX_LAYERS]; /* of the uncompressed tars */
};

/* One entry of an index: the only one, or the one for this machine's architecture. */
struct runtime_index_choice {
    struct runtime_digest digest;
    uint64_t bytes;
    bool is_index; /* digest names another index */
    const char *name; /* org.opencontainers.image.ref.name, or NULL */
};

struct runtime_docker_archive {
    const char *config_path;
    const char *name; /* first of RepoTags, or NULL */
    const char *const *layer_paths;
    size_t layer_count;
};

int runtime_manifest_parse(struct hm_slice bytes, struct runtime_manifest *out,
                           struct hm_error *error);
int runtime_config_parse(struct hm_slice bytes, struct hm_arena *arena,
                         struct runtime_image_config *out, struct hm_error *error);
/* arch: OCI's word, "amd64", "arm64". */
int runtime_index_parse(struct hm_slice bytes, const char *arch, struct hm_arena *arena,
                        struct runtime_index_choice *out, struct hm_error *error);
int runtime_docker_manifest_parse(struct hm_slice bytes, struct hm_arena *arena,
                                  struct runtime_docker_archive *out, struct hm_error *error);
/* This machine's architecture in OCI's word. */
const char *runtime_oci_arch(void);

#endif
