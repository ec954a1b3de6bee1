/* The end of an import: what was staged is checked, its layers are put into the volume, and all moves into the store. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "runtime_vault.h"

static int commit_folder_sync(const char *path, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot write %s", path);
    return 0;
}

/* Moves every entry of the staged folder; with `missing` those that the store does not have yet. */
static int commit_move(const struct runtime_staging *staging, const char *what, bool missing,
                       int (*settle)(const char *from, const char *to, struct hm_error *error),
                       struct hm_error *error)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    char from[RUNTIME_PATH_MAX_BYTES], to[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int dir = -1;
    int rc;

    snprintf(from, sizeof(from), "%s/%s", staging->dir, what);
    dir = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return hm_fail_errno(error, HM_EIO, "cannot open %s", from);
    rc = runtime_names_read(dir, &names, error);
    for (size_t i = 0; i < names.count && rc == 0; i++) {
        snprintf(from, sizeof(from), "%s/%s/%s", staging->dir, what, names.names[i]);
        snprintf(to, sizeof(to), "%s/%s/%s", staging->images->root, what, names.names[i]);
        if (!missing || access(to, F_OK) != 0)
            rc = settle(from, to, error);
    }
    snprintf(to, sizeof(to), "%s/%s", staging->images->root, what);
    return rc == 0 ? commit_folder_sync(to, error) : rc;
}

static int blob_settle(const char *from, const char *to, struct hm_error *error)
{
    int rc = commit_folder_sync(from, error);

    if (rc == 0 && rename(from, to) != 0)
        rc = hm_fail_errno(error, HM_EIO, "cannot move an image into the store");
    return rc;
}

static int layer_settle(const char *from, const char *to, struct hm_error *error)
{
    if (rename(from, to) != 0) /* durable since commit_store */
        return hm_fail_errno(error, HM_EIO, "cannot move a layer into the store");
    return 0;
}

static int commit_read(const struct runtime_staging *staging, const struct runtime_digest *digest,
                       struct hm_arena *arena, struct runtime_image_loaded *loaded,
                       struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    int rc = runtime_blob_read(staging->dir, digest, &text, error);

    if (rc == 0)
        rc = runtime_manifest_parse(hm_buf_slice(&text), &loaded->manifest, error);
    hm_buf_clear(&text);
    if (rc == 0)
        rc = runtime_blob_read(staging->dir, &loaded->manifest.config.digest, &text, error);
    if (rc == 0)
        rc = runtime_config_parse(hm_buf_slice(&text), arena, &loaded->config, error);
    if (rc == 0 && loaded->config.layer_count != loaded->manifest.layer_count)
        rc = hm_fail(error, HM_EPARSE, "the manifest names %zu layers, the configuration %zu",
                     loaded->manifest.layer_count, loaded->config.layer_count);
    return rc;
}

/* The name and path of layer `at`, staged. */
static const char *commit_label(const struct runtime_staging *staging,
                                const struct runtime_image_loaded *loaded, size_t at,
                                char path[RUNTIME_PATH_MAX_BYTES])
{
    snprintf(path, RUNTIME_PATH_MAX_BYTES, "%s/layers/%c-%s", staging->dir,
             staging->mapped ? 'm' : 'p', runtime_digest_hex(&loaded->config.diff_ids[at]));
    return strrchr(path, '/') + 1;
}

/* The same image is there, under whatever name, and with it all its layers: they were checked against each other then. */
static bool commit_is_known(const struct runtime_staging *staging,
                            const struct runtime_image_loaded *loaded, const char *digest,
                            struct runtime_vault *vault)
{
    RUNTIME_JSON *index = NULL;
    char path[RUNTIME_PATH_MAX_BYTES];
    const char *name;
    json_t *entry;
    HM_AUTOCLOSE int puts = -1; /* nobody mends meanwhile */
    bool known = false;

    if (runtime_images_lock(staging->images, "puts", LOCK_SH, &puts, NULL) != 0 ||
        runtime_vault_is_damaged(staging->images) || runtime_vault_look(vault, NULL) != 0 ||
        runtime_index_load(staging->images, &index, NULL) != 0)
        return false;
    json_object_foreach(json_object_get(index, "images"), name, entry)
    {
        const char *text = runtime_json_text(entry, "digest");

        known = known || (text != NULL && strcmp(text, digest) == 0);
    }
    for (size_t i = 0; i < loaded->manifest.layer_count && known; i++)
        known = runtime_vault_has(vault, commit_label(staging, loaded, i, path));
    return known;
}

static int commit_check(struct runtime_staging *staging, const struct runtime_image_loaded *loaded,
                        struct hm_error *error)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < loaded->manifest.layer_count; i++) {
        rc = runtime_staging_layer(staging, &loaded->manifest.layers[i].digest,
                                   &loaded->config.diff_ids[i], error);
        if (rc != 0)
            (void)hm_error_prefix(error, rc, "layer %zu", i);
    }
    return rc;
}

/* Puts the checked layers that the volume lacks into it. */
static int commit_store(struct runtime_staging *staging, const struct runtime_image_loaded *loaded,
                        struct runtime_vault *vault, uint64_t *stored, struct hm_error *error)
{
    char path[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int puts = -1;
    int rc = runtime_vault_begin(vault, &puts, error);

    for (size_t i = 0; rc == 0 && i < loaded->manifest.layer_count; i++) {
        const char *label = commit_label(staging, loaded, i, path);

        if (runtime_vault_has(vault, label))
            continue;
        rc = runtime_vault_put(vault, path, stored, error);
        if (rc != 0)
            (void)hm_error_prefix(error, rc, "layer %zu", i);
    }
    if (rc == 0 && syncfs(staging->lock) != 0) /* the layers' folders, for their move */
        rc = hm_fail_errno(error, HM_EIO, "cannot write the image's layers");
    return rc;
}

/* What the volume has needs no blob. */
static int commit_drop_layers(const struct runtime_staging *staging,
                              const struct runtime_image_loaded *loaded, struct hm_error *error)
{
    char path[RUNTIME_PATH_MAX_BYTES];

    for (size_t i = 0; i < loaded->manifest.layer_count; i++) {
        snprintf(path, sizeof(path), "%s/blobs/sha256/%s", staging->dir,
                 runtime_digest_hex(&loaded->manifest.layers[i].digest));
        if (unlink(path) != 0 && errno != ENOENT) /* the same blob may come twice */
            return hm_fail_errno(error, HM_EIO, "cannot remove %s", path);
    }
    return 0;
}

static int commit_name(const struct runtime_staging *staging, struct runtime_image *image,
                       struct hm_error *error)
{
    RUNTIME_JSON *index = NULL;
    struct runtime_image before;
    json_t *images;
    int rc = runtime_index_load(staging->images, &index, error);

    if (rc != 0)
        return rc;
    images = json_object_get(index, "images");
    if (json_object_size(images) >= RUNTIME_IMAGES_MAX_NAMES &&
        json_object_get(images, image->name) == NULL)
        return hm_fail(error, HM_ELIMIT, "there are %d images already; remove one first",
                       RUNTIME_IMAGES_MAX_NAMES);
    /* Taken in again, it has cost what it cost the first time. */
    if (image->stored_bytes == 0 &&
        runtime_image_get(staging->images, image->name, &before, NULL) == 0 &&
        strcmp(before.digest, image->digest) == 0)
        image->stored_bytes = before.stored_bytes;
    if (json_object_set_new(images, image->name,
                            json_pack("{s:s, s:I, s:I, s:I, s:I}", "digest", image->digest, "bytes",
                                      (json_int_t)image->bytes, "created_ms",
                                      (json_int_t)image->created_ms, "layers",
                                      (json_int_t)image->layers, "stored",
                                      (json_int_t)image->stored_bytes)) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to name an image");
    return runtime_index_save(staging->images, index, error);
}

/* Checked, put into the volume: what is left to do is quick. "inuse" is held: nothing of it may be removed now. */
static int commit_finish(struct runtime_staging *staging, struct runtime_image *image,
                         struct hm_error *error)
{
    HM_AUTOCLOSE int lock = -1;
    int rc = runtime_images_lock(staging->images, "lock", LOCK_EX, &lock, error);

    if (rc == 0)
        rc = commit_move(staging, "blobs/sha256", false, blob_settle, error);
    if (rc == 0)
        rc = commit_move(staging, "layers", true, layer_settle, error);
    return rc == 0 ? commit_name(staging, image, error) : rc;
}

int runtime_staging_commit(struct runtime_staging *staging, const char *name,
                           const struct runtime_digest *manifest, struct runtime_image *out,
                           struct hm_error *error)
{
    HM_CLEANUP(runtime_vault) struct runtime_vault vault = {0};
    HM_AUTOFREE struct runtime_image_loaded *loaded = hm_calloc(1, sizeof(*loaded));
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct runtime_image image = {.created_ms = hm_wall_ms(hm_clock_system())};
    HM_AUTOCLOSE int use = -1;
    int rc;

    hm_arena_init(&arena, 0);
    if (loaded == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to check an image");
    rc = runtime_image_name_parse(name, image.name, error);
    if (rc == 0)
        rc = commit_read(staging, manifest, &arena, loaded, error);
    if (rc == 0)
        rc = runtime_images_lock(staging->images, "inuse", LOCK_SH, &use, error);
    if (rc == 0)
        rc = runtime_vault_open(staging->images, true, &vault, error);
    if (rc == 0 && !commit_is_known(staging, loaded, manifest->text, &vault)) {
        rc = commit_check(staging, loaded, error);
        if (rc == 0)
            rc = commit_store(staging, loaded, &vault, &image.stored_bytes, error);
    }
    if (rc == 0)
        rc = commit_drop_layers(staging, loaded, error);
    if (rc != 0)
        return rc;
    snprintf(image.digest, sizeof(image.digest), "%s", manifest->text);
    image.bytes = staging->blob_bytes;
    image.layers = loaded->manifest.layer_count;
    rc = commit_finish(staging, &image, error);
    if (rc == 0)
        *out = image;
    return rc;
}
