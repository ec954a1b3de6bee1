/* Unpacked layers over time: made when a job needs a form that is missing, removed when no image
 * names them any more. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime_images.h"

static int layer_unpack_blob(const struct runtime_images *images, const struct runtime_digest *blob,
                             const struct runtime_digest *diff_id, bool mapped, const char *path,
                             struct hm_error *error)
{
    const struct runtime_owner owner = {.set = mapped, .base = RUNTIME_UID_BASE};
    struct runtime_archive_budget budget = {RUNTIME_IMAGE_MAX_BYTES, RUNTIME_IMAGE_MAX_FILES};
    struct runtime_archive_source source = {.fd = -1};
    struct runtime_digest found;
    uint8_t hash[CRYPTO_SHA256_BYTES];
    char blob_path[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int in = -1;
    HM_AUTOCLOSE int root = -1;
    int rc;

    snprintf(blob_path, sizeof(blob_path), "%s/blobs/sha256/%s", images->root,
             runtime_digest_hex(blob));
    in = open(blob_path, O_RDONLY | O_CLOEXEC);
    root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (in < 0 || root < 0)
        return hm_fail_errno(error, HM_EIO, "cannot unpack a layer again");
    source.fd = in;
    rc = runtime_layer_unpack(&source, root, &owner, &budget, hash, error);
    if (rc != 0)
        return rc;
    runtime_digest_of_hash(hash, &found);
    if (!runtime_digest_equal(&found, diff_id))
        return hm_fail(error, HM_ECORRUPT,
                       "layer %s in the image store is damaged; import the image "
                       "again",
                       diff_id->text);
    return 0;
}

int runtime_image_layer(struct runtime_images *images, const struct runtime_image_loaded *loaded,
                        size_t at, bool mapped, char out[RUNTIME_PATH_MAX_BYTES],
                        struct hm_error *error)
{
    const struct runtime_digest *diff_id = &loaded->config.diff_ids[at];
    char fresh[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int lock = -1;
    int rc = runtime_layer_path(images->root, diff_id, mapped, out, error);

    if (rc != 0 || access(out, F_OK) == 0)
        return rc;
    rc = runtime_images_lock(images, "lock", LOCK_EX, &lock, error);
    if (rc != 0 || access(out, F_OK) == 0)
        return rc;
    snprintf(fresh, sizeof(fresh), "%s/tmp/%.64s", images->root, runtime_digest_hex(diff_id));
    rc = hm_remove_tree(fresh, error);
    if (rc == 0)
        rc = hm_mkdir_all(fresh, 0700, error);
    if (rc == 0)
        rc = layer_unpack_blob(images, &loaded->manifest.layers[at].digest, diff_id, mapped, fresh,
                               error);
    if (rc == 0 && rename(fresh, out) != 0)
        rc = hm_fail_errno(error, HM_EIO, "cannot move an unpacked layer");
    if (rc != 0)
        (void)hm_remove_tree(fresh, NULL);
    return rc;
}

/* Marks what the image needs: file names below blobs/sha256 and (without the letter of their form) below layers, as
 * keys of an object each. A layer that came plain has its diff id for a digest, so one object would not do. */
static int gc_mark(struct runtime_images *images, const char *name, json_t *blobs, json_t *layers,
                   struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_AUTOFREE struct runtime_image_loaded *loaded = hm_calloc(1, sizeof(*loaded));
    struct runtime_digest digest = {0};
    int bad = 0;
    int rc;

    hm_arena_init(&arena, 0);
    if (loaded == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to clean the image store");
    rc = runtime_image_load(images, name, &arena, loaded, error);
    if (rc == 0)
        rc = runtime_digest_parse(loaded->image.digest, &digest, error);
    if (rc != 0)
        return rc;
    bad |= json_object_set_new(blobs, runtime_digest_hex(&digest), json_true());
    bad |= json_object_set_new(blobs, runtime_digest_hex(&loaded->manifest.config.digest),
                               json_true());
    for (size_t i = 0; i < loaded->manifest.layer_count; i++) {
        bad |= json_object_set_new(blobs, runtime_digest_hex(&loaded->manifest.layers[i].digest),
                                   json_true());
        bad |= json_object_set_new(layers, runtime_digest_hex(&loaded->config.diff_ids[i]),
                                   json_true());
    }
    return bad == 0 ? 0 : hm_fail(error, HM_ENOMEM, "no memory to clean the image store");
}

static int gc_sweep(const struct runtime_images *images, const char *what, size_t skip,
                    const json_t *keep, struct hm_error *error)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    char path[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int dir = -1;
    int rc;

    snprintf(path, sizeof(path), "%s/%s", images->root, what);
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return hm_fail_errno(error, HM_EIO, "cannot open %s", path);
    rc = runtime_names_read(dir, &names, error);
    for (size_t i = 0; i < names.count && rc == 0; i++) {
        if (strlen(names.names[i]) <= skip || json_object_get(keep, names.names[i] + skip) != NULL)
            continue;
        snprintf(path, sizeof(path), "%s/%s/%s", images->root, what, names.names[i]);
        rc = hm_remove_tree(path, error);
    }
    return rc;
}

/* Under the exclusive lock. While a job runs from the layers nothing is removed; the next removal of
 * an image makes up for it. */
static int images_collect(struct runtime_images *images, const json_t *index,
                          struct hm_error *error)
{
    RUNTIME_JSON *blobs = json_object();
    RUNTIME_JSON *layers = json_object();
    HM_AUTOCLOSE int use = -1;
    const char *name;
    json_t *entry;
    int rc = runtime_images_lock(images, "inuse", LOCK_EX | LOCK_NB, &use, NULL);

    if (rc == HM_EBUSY)
        return 0;
    if (blobs == NULL || layers == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to clean the image store");
    json_object_foreach(json_object_get(index, "images"), name, entry)
    {
        rc = gc_mark(images, name, blobs, layers, error);
        if (rc != 0)
            return rc;
    }
    rc = gc_sweep(images, "blobs/sha256", 0, blobs, error);
    return rc != 0 ? rc : gc_sweep(images, "layers", 2, layers, error);
}

int runtime_image_remove(struct runtime_images *images, const char *name, struct hm_error *error)
{
    char full[RUNTIME_IMAGE_NAME_MAX];
    RUNTIME_JSON *index = NULL;
    HM_AUTOCLOSE int lock = -1;
    int rc = runtime_image_name_parse(name, full, error);

    if (rc == 0)
        rc = runtime_images_lock(images, "lock", LOCK_EX, &lock, error);
    if (rc == 0)
        rc = runtime_index_load(images, &index, error);
    if (rc != 0)
        return rc;
    if (json_object_del(json_object_get(index, "images"), full) != 0)
        return hm_fail(error, HM_ENOTFOUND, "there is no image %s", full);
    rc = runtime_index_save(images, index, error);
    return rc != 0 ? rc : images_collect(images, index, error);
}
