/* Images from outside: an OCI layout folder, its tar, or a docker-save archive. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime_images.h"

#define IMPORT_DIR_FLAGS  (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define IMPORT_INDEX_HOPS 2

struct import {
    struct runtime_staging staging;
    struct hm_arena arena;
    int root; /* the layout: the user's folder, or what the archive unpacked to */
    const char *found_name;
};

static void import_release(struct import *import)
{
    hm_fd_release(&import->root);
    runtime_staging_release(&import->staging);
    hm_arena_release(&import->arena);
}

static int import_open_file(const struct import *import, const char *path, int *out,
                            struct hm_error *error)
{
    char normal[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int dir = -1;
    HM_AUTOCLOSE int file = -1;
    const char *leaf;
    struct stat info;
    int rc = runtime_path_normal(path, normal, error);

    if (rc == 0)
        rc = runtime_tree_open_parent(import->root, normal, NULL, &dir, &leaf, error);
    if (rc != 0)
        return rc;
    file = openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return hm_fail_errno(error, errno == ENOENT ? HM_ENOTFOUND : HM_EPARSE,
                             "the image lacks \"%s\"", normal);
    if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode))
        return hm_fail(error, HM_EPARSE, "\"%s\" in the image is no file", normal);
    *out = HM_TAKE_FD(file);
    return 0;
}

static int import_read(const struct import *import, const char *path, struct hm_buf *out,
                       struct hm_error *error)
{
    char self[64];
    HM_AUTOCLOSE int file = -1;
    int rc = import_open_file(import, path, &file, error);

    if (rc != 0)
        return rc;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", file);
    return hm_file_read(self, RUNTIME_JSON_MAX_BYTES, out, error);
}

static int import_blob(struct import *import, const struct runtime_digest *digest, uint64_t size,
                       struct hm_error *error)
{
    char path[128];
    HM_AUTOCLOSE int file = -1;
    uint64_t bytes = 0;
    int rc;

    snprintf(path, sizeof(path), "blobs/sha256/%s", runtime_digest_hex(digest));
    rc = import_open_file(import, path, &file, error);
    if (rc == 0)
        rc = runtime_staging_blob_fd(&import->staging, file, digest, NULL, &bytes, error);
    if (rc == 0 && bytes != size)
        rc = hm_fail(error, HM_EPARSE, "%s has %llu bytes, not %llu as the image says",
                     digest->text, (unsigned long long)bytes, (unsigned long long)size);
    return rc;
}

static int import_layout_index(struct import *import, struct runtime_layer_ref *manifest,
                               struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct runtime_index_choice choice = {0};
    char path[128] = "index.json";

    for (int hop = 0; hop < IMPORT_INDEX_HOPS; hop++) {
        struct runtime_digest found;
        int rc;

        hm_buf_clear(&text);
        rc = import_read(import, path, &text, error);
        if (rc == 0 && hop > 0)
            rc = runtime_digest_of_bytes(hm_buf_slice(&text), &found, error);
        if (rc == 0 && hop > 0 &&
            (!runtime_digest_equal(&found, &choice.digest) || text.len != choice.bytes))
            rc = hm_fail(error, HM_EPARSE, "an image index does not match its digest or size");
        if (rc == 0)
            rc = runtime_index_parse(hm_buf_slice(&text), runtime_oci_arch(), &import->arena,
                                     &choice, error);
        if (rc != 0)
            return rc;
        if (hop == 0)
            import->found_name = choice.name;
        if (!choice.is_index) {
            *manifest = (struct runtime_layer_ref){.digest = choice.digest, .bytes = choice.bytes};
            return 0;
        }
        snprintf(path, sizeof(path), "blobs/sha256/%s", runtime_digest_hex(&choice.digest));
    }
    return hm_fail(error, HM_EUNSUPPORTED, "the image has an index in an index in an index");
}

static int import_layout(struct import *import, struct runtime_digest *manifest_digest,
                         struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    HM_AUTOFREE struct runtime_manifest *manifest = hm_calloc(1, sizeof(*manifest));
    struct runtime_layer_ref ref = {0};
    int rc = manifest != NULL ? 0 : hm_fail(error, HM_ENOMEM, "no memory to import an image");

    if (rc == 0)
        rc = import_layout_index(import, &ref, error);
    if (rc == 0)
        rc = import_blob(import, &ref.digest, ref.bytes, error);
    if (rc == 0)
        *manifest_digest = ref.digest;
    if (rc == 0)
        rc = runtime_blob_read(import->staging.dir, manifest_digest, &text, error);
    if (rc == 0)
        rc = runtime_manifest_parse(hm_buf_slice(&text), manifest, error);
    if (rc == 0)
        rc = import_blob(import, &manifest->config.digest, manifest->config.bytes, error);
    for (size_t i = 0; rc == 0 && i < manifest->layer_count; i++)
        rc = import_blob(import, &manifest->layers[i].digest, manifest->layers[i].bytes, error);
    return rc;
}

static json_t *import_descriptor(const char *type, const struct runtime_digest *digest,
                                 uint64_t bytes)
{
    return json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", digest->text, "size",
                     (json_int_t)bytes);
}

/* A docker-save archive has no OCI manifest: one is written from what it has. */
static int import_docker(struct import *import, struct hm_slice listing,
                         struct runtime_digest *manifest_digest, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct runtime_docker_archive archive;
    struct runtime_digest digest = {0};
    RUNTIME_JSON *layers = json_array();
    RUNTIME_JSON *manifest = NULL;
    HM_AUTOCLOSE int config = -1;
    uint64_t bytes = 0;
    int rc = runtime_docker_manifest_parse(listing, &import->arena, &archive, error);

    for (size_t i = 0; rc == 0 && i < archive.layer_count; i++) {
        HM_AUTOCLOSE int layer = -1;

        rc = import_open_file(import, archive.layer_paths[i], &layer, error);
        if (rc == 0)
            rc = runtime_staging_blob_fd(&import->staging, layer, NULL, &digest, &bytes, error);
        if (rc == 0 && json_array_append_new(
                           layers, import_descriptor("application/vnd.oci.image.layer.v1.tar",
                                                     &digest, bytes)) != 0)
            rc = hm_fail(error, HM_ENOMEM, "no memory to import an image");
    }
    if (rc == 0)
        rc = import_open_file(import, archive.config_path, &config, error);
    if (rc == 0)
        rc = runtime_staging_blob_fd(&import->staging, config, NULL, &digest, &bytes, error);
    if (rc != 0)
        return rc;
    manifest = json_pack(
        "{s:i, s:s, s:o, s:O}", "schemaVersion", 2, "mediaType",
        "application/vnd.oci.image.manifest.v1+json", "config",
        import_descriptor("application/vnd.oci.image.config.v1+json", &digest, bytes), "layers",
        layers);
    rc = runtime_json_write(manifest, &text, error);
    if (rc == 0)
        rc = runtime_staging_blob(&import->staging, hm_buf_slice(&text), NULL, manifest_digest,
                                  error);
    import->found_name = archive.name;
    return rc;
}

/* Opens the layout: the folder itself, or an archive unpacked beside the staged blobs. */
static int import_open(struct import *import, const char *path, struct hm_error *error)
{
    HM_AUTOCLOSE int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct runtime_archive_source source = {.fd = file};
    struct runtime_archive_budget budget = {RUNTIME_IMAGE_MAX_BYTES, RUNTIME_IMAGE_MAX_FILES};
    char stage[RUNTIME_PATH_MAX_BYTES];
    struct stat info;
    int rc;

    if (file < 0 || fstat(file, &info) != 0)
        return hm_fail_errno(error, errno == ENOENT ? HM_ENOTFOUND : HM_EIO, "cannot open %s",
                             path);
    if (S_ISDIR(info.st_mode)) {
        import->root = HM_TAKE_FD(file);
        return 0;
    }
    if (!S_ISREG(info.st_mode))
        return hm_fail(error, HM_EINVAL, "%s is neither a file nor a folder", path);
    snprintf(stage, sizeof(stage), "%s/stage", import->staging.dir);
    rc = hm_mkdir_all(stage, 0700, error);
    if (rc != 0)
        return rc;
    import->root = open(stage, IMPORT_DIR_FLAGS);
    if (import->root < 0)
        return hm_fail_errno(error, HM_EIO, "cannot open %s", stage);
    return runtime_stage_unpack(&source, import->root, &budget, error);
}

static int import_name(const struct import *import, const char *wanted, const char **out,
                       struct hm_error *error)
{
    char full[RUNTIME_IMAGE_NAME_MAX];
    const char *name = wanted != NULL ? wanted : import->found_name;

    if (name == NULL || runtime_image_name_parse(name, full, NULL) != 0) {
        if (wanted != NULL)
            return runtime_image_name_parse(wanted, full, error);
        return hm_fail(error, HM_EINVAL,
                       "the archive gives the image no usable name; say one "
                       "(--name NAME[:TAG])");
    }
    *out = name;
    return 0;
}

int runtime_image_import(struct runtime_images *images, const char *path, const char *name,
                         struct runtime_image *out, struct hm_error *error)
{
    HM_CLEANUP(import) struct import import = {.root = -1};
    HM_CLEANUP(hm_buf) struct hm_buf listing = {0};
    struct runtime_digest manifest;
    int rc;

    hm_arena_init(&import.arena, 0);
    rc = runtime_staging_begin(images, &import.staging, error);
    if (rc == 0)
        rc = import_open(&import, path, error);
    if (rc != 0)
        return rc;
    /* Newer docker writes both forms into one archive; the OCI form carries the digests. */
    if (faccessat(import.root, "oci-layout", F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        rc = import_layout(&import, &manifest, error);
        if (rc == 0 && import_read(&import, "manifest.json", &listing, NULL) == 0) {
            struct runtime_docker_archive archive;

            if (runtime_docker_manifest_parse(hm_buf_slice(&listing), &import.arena, &archive,
                                              NULL) == 0 &&
                archive.name != NULL)
                import.found_name = archive.name;
        }
    } else {
        rc = import_read(&import, "manifest.json", &listing, error);
        if (rc == HM_ENOTFOUND)
            rc = hm_fail(error, HM_EPARSE, "%s is neither an OCI layout nor a docker-save archive",
                         path);
        if (rc == 0)
            rc = import_docker(&import, hm_buf_slice(&listing), &manifest, error);
    }
    if (rc == 0)
        rc = import_name(&import, name, &name, error);
    return rc != 0 ? rc : runtime_staging_commit(&import.staging, name, &manifest, out, error);
}
