/* Unpacked layers over time: restored when a job needs one that is missing, removed when no image names them any
 * more. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "runtime_vault.h"

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

/* --- from one form to the other ------------------------------------------------------------------------------------ */

/* A layer that was put when users could not be mapped has lost its owners; all is its root's then. */
static int layer_own(int dir, uid_t owner, bool mapped, unsigned depth, struct hm_error *error)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    char value = 0;
    int rc = runtime_names_read(dir, &names, error);

    if (rc == 0 && depth > RUNTIME_TREE_MAX_DEPTH)
        rc = hm_fail(error, HM_ELIMIT, "a layer is deeper than %d folders", RUNTIME_TREE_MAX_DEPTH);
    if (rc == 0 && mapped && fgetxattr(dir, "user.overlay.opaque", &value, 1) == 1 &&
        fsetxattr(dir, "trusted.overlay.opaque", &value, 1, 0) != 0)
        rc = hm_fail_errno(error, HM_EIO, "cannot mark a folder as opaque");
    if (rc == 0 && fchown(dir, owner, owner) != 0)
        rc = hm_fail_errno(error, HM_EIO, "cannot change the owner of a layer's folder");
    for (size_t i = 0; i < names.count && rc == 0; i++) {
        HM_AUTOCLOSE int sub = openat(dir, names.names[i],
                                      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (sub >= 0)
            rc = layer_own(sub, owner, mapped, depth + 1, error);
        else if (fchownat(dir, names.names[i], owner, owner, AT_SYMLINK_NOFOLLOW) != 0)
            rc = hm_fail_errno(error, HM_EIO, "cannot change the owner of \"%s\"", names.names[i]);
    }
    return rc;
}

static int layer_from_other(struct runtime_images *images, const char *label, const char *other,
                            const char *fresh, const char *who, bool mapped, struct hm_error *error)
{
    char from[RUNTIME_PATH_MAX_BYTES], to[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int dir = -1;
    int rc = runtime_vault_get(images, other, fresh, who, error);

    if (rc == HM_ENOTFOUND)
        return hm_fail(error, HM_ECORRUPT, "image %s lacks layer %s: import it again", who,
                       label + RUNTIME_LAYER_FORM_CHARS);
    if (rc == 0 && geteuid() != 0)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "image %s was taken in by root's node: import it again", who);
    if (rc == 0)
        rc = runtime_path_join(from, sizeof(from), fresh, other, error);
    if (rc == 0)
        rc = runtime_path_join(to, sizeof(to), fresh, label, error);
    if (rc != 0)
        return rc;
    dir = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return hm_fail_errno(error, HM_EIO, "cannot open a layer's folder");
    rc = layer_own(dir, mapped ? RUNTIME_UID_BASE : 0, mapped, 0, error);
    if (rc == 0 && rename(from, to) != 0)
        rc = hm_fail_errno(error, HM_EIO, "cannot move a layer");
    return rc;
}

/* --- a layer that is missing ---------------------------------------------------------------------------------------- */

/* As fresh/LABEL: from the volume; else from the blob of an image that an older version took in; else from the volume's
 * copy in the other form. */
static int layer_bring(struct runtime_images *images, const struct runtime_image_loaded *loaded,
                       size_t at, bool mapped, const char *fresh, const char *label,
                       struct hm_error *error)
{
    const struct runtime_digest *blob = &loaded->manifest.layers[at].digest;
    const char *who = loaded->image.name;
    char path[RUNTIME_PATH_MAX_BYTES], other[RUNTIME_DIGEST_TEXT_MAX];
    int rc = runtime_vault_get(images, label, fresh, who, error);

    if (rc == 0)
        return 0;
    snprintf(path, sizeof(path), "%s/blobs/sha256/%s", images->root, runtime_digest_hex(blob));
    if (access(path, F_OK) != 0 && rc != HM_ENOTFOUND)
        return rc;
    if (access(path, F_OK) != 0) {
        snprintf(other, sizeof(other), "%c%s", mapped ? 'p' : 'm', label + 1);
        return layer_from_other(images, label, other, fresh, who, mapped, error);
    }
    rc = runtime_path_join(path, sizeof(path), fresh, label, error);
    if (rc == 0)
        rc = hm_remove_tree(path, error);
    if (rc == 0)
        rc = hm_mkdir_all(path, 0700, error);
    return rc != 0
               ? rc
               : layer_unpack_blob(images, blob, &loaded->config.diff_ids[at], mapped, path, error);
}

int runtime_image_layer(struct runtime_images *images, const struct runtime_image_loaded *loaded,
                        size_t at, bool mapped, char out[RUNTIME_PATH_MAX_BYTES],
                        struct hm_error *error)
{
    const struct runtime_digest *diff_id = &loaded->config.diff_ids[at];
    char fresh[RUNTIME_PATH_MAX_BYTES], made[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int lock = -1;
    int rc = runtime_layer_path(images->root, diff_id, mapped, out, error);

    if (rc != 0 || access(out, F_OK) == 0)
        return rc;
    rc = runtime_images_lock(images, "lock", LOCK_EX, &lock, error);
    if (rc != 0 || access(out, F_OK) == 0)
        return rc;
    snprintf(fresh, sizeof(fresh), "%s/tmp/%.64s", images->root, runtime_digest_hex(diff_id));
    rc = runtime_path_join(made, sizeof(made), fresh, strrchr(out, '/') + 1, error);
    if (rc == 0)
        rc = hm_remove_tree(fresh, error);
    if (rc == 0)
        rc = hm_mkdir_all(fresh, 0700, error);
    if (rc == 0)
        rc = layer_bring(images, loaded, at, mapped, fresh, strrchr(out, '/') + 1, error);
    if (rc == 0)
        rc = runtime_layer_settle(made, out, error);
    (void)hm_remove_tree(fresh, NULL);
    return rc;
}

int runtime_layer_settle(const char *from, const char *to, struct hm_error *error)
{
    HM_AUTOCLOSE int dir = open(from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (dir < 0 || syncfs(dir) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot write an unpacked layer");
    if (rename(from, to) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot move an unpacked layer");
    return 0;
}

/* --- removal ---------------------------------------------------------------------------------------------------------- */

struct gc {
    struct runtime_images *images;
    const struct runtime_vault *vault; /* NULL: there is none */
    json_t *blobs, *layers; /* what is needed, as keys of an object each */
};

static void gc_release(struct gc *gc)
{
    json_decref(gc->blobs);
    json_decref(gc->layers);
}

/* A layer's blob is what an older version left, needed as long as the volume does not have the layer. */
static bool gc_needs_blob(const struct gc *gc, const struct runtime_digest *diff_id)
{
    char label[RUNTIME_DIGEST_TEXT_MAX];

    snprintf(label, sizeof(label), "%c-%s", runtime_can_map_users() ? 'm' : 'p',
             runtime_digest_hex(diff_id));
    return gc->vault == NULL || runtime_vault_is_damaged(gc->images) ||
           !runtime_vault_has(gc->vault, label);
}

/* Marks what the image needs: file names below blobs/sha256 and (without the letter of their form) below layers.
 * A layer that came plain has its diff id for a digest, so one object would not do. */
static int gc_mark(const struct gc *gc, const char *name, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_AUTOFREE struct runtime_image_loaded *loaded = hm_calloc(1, sizeof(*loaded));
    struct runtime_digest digest = {0};
    int bad = 0;
    int rc;

    hm_arena_init(&arena, 0);
    if (loaded == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to clean the image store");
    rc = runtime_image_load(gc->images, name, &arena, loaded, error);
    if (rc == 0)
        rc = runtime_digest_parse(loaded->image.digest, &digest, error);
    if (rc != 0)
        return rc;
    bad |= json_object_set_new(gc->blobs, runtime_digest_hex(&digest), json_true());
    bad |= json_object_set_new(gc->blobs, runtime_digest_hex(&loaded->manifest.config.digest),
                               json_true());
    for (size_t i = 0; i < loaded->manifest.layer_count; i++) {
        const struct runtime_digest *diff_id = &loaded->config.diff_ids[i];

        if (gc_needs_blob(gc, diff_id))
            bad |= json_object_set_new(
                gc->blobs, runtime_digest_hex(&loaded->manifest.layers[i].digest), json_true());
        bad |= json_object_set_new(gc->layers, runtime_digest_hex(diff_id), json_true());
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
static int images_collect(struct runtime_images *images, struct runtime_vault *vault,
                          const json_t *index, struct hm_error *error)
{
    HM_CLEANUP(gc) struct gc gc = {images, vault, json_object(), json_object()};
    HM_AUTOCLOSE int use = -1;
    const char *name;
    json_t *entry;
    int rc = runtime_images_lock(images, "inuse", LOCK_EX | LOCK_NB, &use, error);

    if (rc != 0)
        return rc == HM_EBUSY ? 0 : rc;
    if (gc.blobs == NULL || gc.layers == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to clean the image store");
    if (vault != NULL)
        rc = runtime_vault_look(vault, error);
    if (rc != 0)
        return rc;
    json_object_foreach(json_object_get(index, "images"), name, entry)
    {
        rc = gc_mark(&gc, name, error);
        if (rc == HM_ENOMEM)
            return rc;
        /* What a damaged image needs cannot be told: nothing goes before it is imported again. */
        if (rc != 0)
            return 0;
    }
    rc = gc_sweep(images, "blobs/sha256", 0, gc.blobs, error);
    if (rc == 0)
        rc = gc_sweep(images, "layers", RUNTIME_LAYER_FORM_CHARS, gc.layers, error);
    return rc == 0 && vault != NULL ? runtime_vault_collect(vault, gc.layers, error) : rc;
}

static int images_forget(struct runtime_images *images, struct runtime_vault *vault,
                         const char *full, struct hm_error *error)
{
    RUNTIME_JSON *index = NULL;
    HM_AUTOCLOSE int lock = -1;
    int rc = runtime_images_lock(images, "lock", LOCK_EX, &lock, error);

    if (rc == 0)
        rc = runtime_index_load(images, &index, error);
    if (rc != 0)
        return rc;
    if (json_object_del(json_object_get(index, "images"), full) != 0)
        return hm_fail(error, HM_ENOTFOUND, "there is no image %s", full);
    rc = runtime_index_save(images, index, error);
    return rc != 0 ? rc : images_collect(images, vault, index, error);
}

/* The name goes first: what the volume says of itself afterwards does not bring it back. */
int runtime_image_remove(struct runtime_images *images, const char *name, struct hm_error *error)
{
    HM_CLEANUP(runtime_vault) struct runtime_vault vault = {0};
    char full[RUNTIME_IMAGE_NAME_MAX];
    struct hm_error why = {0};
    bool opened;
    int vault_rc;
    int rc = runtime_image_name_parse(name, full, error);

    if (rc != 0)
        return rc;
    vault_rc = runtime_vault_open(images, false, &vault, &why);
    opened = vault_rc == 0;
    rc = images_forget(images, opened ? &vault : NULL, full, error);
    if (rc == 0 && opened)
        rc = runtime_vault_prune(&vault, error);
    else if (rc == 0 && vault_rc != HM_ENOTFOUND)
        rc = hm_fail(error, vault_rc, "image %s is removed, but not its room given back: %s", full,
                     why.text);
    return rc;
}
