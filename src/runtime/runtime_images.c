#include "runtime_images.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int runtime_images_lock(const struct runtime_images *images, const char *name, int operation,
                        int *fd, struct hm_error *error)
{
    char path[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int lock = -1;

    snprintf(path, sizeof(path), "%s/%s", images->root, name);
    lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0)
        return hm_fail_errno(error, HM_EIO, "cannot open %s", path);
    while (flock(lock, operation) != 0) {
        if (errno == EWOULDBLOCK)
            return hm_fail(error, HM_EBUSY, "%s is locked by another process", path);
        if (errno != EINTR)
            return hm_fail_errno(error, HM_EIO, "cannot lock %s", path);
    }
    *fd = HM_TAKE_FD(lock);
    return 0;
}

/* An import under way holds a lock on its folder; a layer that is being unpacked again ("lock" is held then) has its
 * whole digest for a name. Whatever else lies in tmp was left by a process that died. */
static bool images_is_left(int tmp, const char *name, bool alone)
{
    HM_AUTOCLOSE int dir = openat(tmp, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (strlen(name) != RUNTIME_STAGING_NAME_CHARS)
        return alone;
    return dir >= 0 && flock(dir, LOCK_EX | LOCK_NB) == 0;
}

void runtime_images_sweep(const struct runtime_images *images)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    HM_AUTOCLOSE int lock = -1;
    char path[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int dir = -1;
    bool alone = runtime_images_lock(images, "lock", LOCK_EX | LOCK_NB, &lock, NULL) == 0;

    snprintf(path, sizeof(path), "%s/tmp", images->root);
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || runtime_names_read(dir, &names, NULL) != 0)
        return;
    for (size_t i = 0; i < names.count; i++) {
        if (!images_is_left(dir, names.names[i], alone))
            continue;
        snprintf(path, sizeof(path), "%s/tmp/%s", images->root, names.names[i]);
        (void)hm_remove_tree(path, NULL);
    }
}

int runtime_images_open(const char *dir, struct runtime_images **out, struct hm_error *error)
{
    static const char *const parts[] = {"blobs/sha256", "layers", "tmp"};
    HM_AUTOFREE struct runtime_images *images = hm_calloc(1, sizeof(*images));
    char path[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int lock = -1;

    if (images == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the image store");
    if (dir[0] != '/' || strlen(dir) >= sizeof(images->root) / 2 || strpbrk(dir, ",:\\") != NULL)
        return hm_fail(error, HM_EINVAL,
                       "the image folder must be an absolute path below %zu bytes, "
                       "without comma, colon or backslash",
                       sizeof(images->root) / 2);
    snprintf(images->root, sizeof(images->root), "%s/images", dir);
    for (size_t i = 0; i < HM_COUNT_OF(parts); i++) {
        int rc;

        snprintf(path, sizeof(path), "%s/%s", images->root, parts[i]);
        rc = hm_mkdir_all(path, 0700, error);
        if (rc != 0)
            return rc;
    }
    if (runtime_images_lock(images, "staging", LOCK_EX, &lock, NULL) == 0)
        runtime_images_sweep(images);
    *out = HM_TAKE(images);
    return 0;
}

void runtime_images_close(struct runtime_images *images)
{
    hm_free(images);
}

int runtime_index_load(const struct runtime_images *images, json_t **out, struct hm_error *error)
{
    char path[RUNTIME_PATH_MAX_BYTES];
    RUNTIME_JSON *index = NULL;
    int rc;

    snprintf(path, sizeof(path), "%s/index.json", images->root);
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        index = json_pack("{s:i, s:{}}", "version", 1, "images");
        rc = index != NULL ? 0 : hm_fail(error, HM_ENOMEM, "no memory for the image index");
    } else {
        rc = runtime_json_read(path, &index, error);
    }
    if (rc == 0 && (json_integer_value(json_object_get(index, "version")) != 1 ||
                    !json_is_object(json_object_get(index, "images"))))
        rc = hm_fail(error, HM_ECORRUPT, "%s is not an image index of version 1", path);
    if (rc == 0)
        *out = HM_TAKE(index);
    return rc;
}

int runtime_index_save(const struct runtime_images *images, const json_t *index,
                       struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    char path[RUNTIME_PATH_MAX_BYTES];
    int rc = runtime_json_write(index, &text, error);

    snprintf(path, sizeof(path), "%s/index.json", images->root);
    return rc != 0 ? rc : hm_file_replace(path, text.data, text.len, 0600, error);
}

static int image_from_json(const char *name, const json_t *entry, struct runtime_image *out,
                           struct hm_error *error)
{
    struct runtime_image image = {0};
    struct runtime_digest digest;

    if (runtime_image_name_parse(name, image.name, NULL) != 0 ||
        runtime_digest_parse(runtime_json_text(entry, "digest"), &digest, NULL) != 0)
        return hm_fail(error, HM_ECORRUPT, "an entry of the image index is damaged");
    snprintf(image.digest, sizeof(image.digest), "%s", digest.text);
    image.bytes = (uint64_t)json_integer_value(json_object_get(entry, "bytes"));
    image.created_ms = (uint64_t)json_integer_value(json_object_get(entry, "created_ms"));
    image.layers = (size_t)json_integer_value(json_object_get(entry, "layers"));
    /* An image that an older version took in lies there as it came. */
    image.stored_bytes = json_object_get(entry, "stored") != NULL
                             ? (uint64_t)json_integer_value(json_object_get(entry, "stored"))
                             : image.bytes;
    *out = image;
    return 0;
}

int runtime_image_get(struct runtime_images *images, const char *name, struct runtime_image *out,
                      struct hm_error *error)
{
    char full[RUNTIME_IMAGE_NAME_MAX];
    RUNTIME_JSON *index = NULL;
    const json_t *entry;
    int rc = runtime_image_name_parse(name, full, error);

    if (rc == 0)
        rc = runtime_index_load(images, &index, error);
    if (rc != 0)
        return rc;
    entry = json_object_get(json_object_get(index, "images"), full);
    if (entry == NULL)
        return hm_fail(error, HM_ENOTFOUND,
                       "image %s is not here; bring it in with 'nexus image import "
                       "FILE' or make the small one with 'nexus image build-base'",
                       full);
    return image_from_json(full, entry, out, error);
}

int runtime_image_list(struct runtime_images *images, struct runtime_image **out, size_t *count,
                       struct hm_error *error)
{
    RUNTIME_JSON *index = NULL;
    HM_AUTOFREE struct runtime_image *list = NULL;
    const char *name;
    json_t *entry;
    size_t at = 0;
    int rc = runtime_index_load(images, &index, error);

    if (rc != 0)
        return rc;
    list = hm_calloc(json_object_size(json_object_get(index, "images")) + 1, sizeof(*list));
    if (list == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to list images");
    json_object_foreach(json_object_get(index, "images"), name, entry)
    {
        rc = image_from_json(name, entry, &list[at++], error);
        if (rc != 0)
            return rc;
    }
    *out = HM_TAKE(list);
    *count = at;
    return 0;
}

int runtime_blob_read(const char *root, const struct runtime_digest *digest, struct hm_buf *out,
                      struct hm_error *error)
{
    char path[RUNTIME_PATH_MAX_BYTES];
    struct runtime_digest found;
    int rc;

    snprintf(path, sizeof(path), "%s/blobs/sha256/%s", root, runtime_digest_hex(digest));
    rc = hm_file_read(path, RUNTIME_JSON_MAX_BYTES, out, error);
    if (rc == HM_ENOTFOUND)
        return hm_fail(error, HM_EPARSE, "the image lacks %s", digest->text);
    if (rc == 0)
        rc = runtime_digest_of_bytes(hm_buf_slice(out), &found, error);
    if (rc == 0 && !runtime_digest_equal(&found, digest))
        rc = hm_fail(error, HM_ECORRUPT, "%s in the image store is damaged; import the image again",
                     digest->text);
    return rc;
}

int runtime_image_load(struct runtime_images *images, const char *name, struct hm_arena *arena,
                       struct runtime_image_loaded *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct runtime_digest digest = {0};
    int rc = runtime_image_get(images, name, &out->image, error);

    if (rc == 0)
        rc = runtime_digest_parse(out->image.digest, &digest, error);
    if (rc == 0)
        rc = runtime_blob_read(images->root, &digest, &text, error);
    if (rc == 0)
        rc = runtime_manifest_parse(hm_buf_slice(&text), &out->manifest, error);
    hm_buf_clear(&text);
    if (rc == 0)
        rc = runtime_blob_read(images->root, &out->manifest.config.digest, &text, error);
    if (rc == 0)
        rc = runtime_config_parse(hm_buf_slice(&text), arena, &out->config, error);
    if (rc == 0 && out->config.layer_count != out->manifest.layer_count)
        rc = hm_fail(error, HM_ECORRUPT, "image %s is damaged; import it again", out->image.name);
    return rc;
}

int runtime_layer_path(const char *root, const struct runtime_digest *diff_id, bool mapped,
                       char out[RUNTIME_PATH_MAX_BYTES], struct hm_error *error)
{
    int len = snprintf(out, RUNTIME_PATH_MAX_BYTES, "%s/layers/%c-%s", root, mapped ? 'm' : 'p',
                       runtime_digest_hex(diff_id));

    if (len < 0 || len >= RUNTIME_PATH_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "the image folder's path is too long");
    return 0;
}

/* The uid_map of this process must hold the whole range, and user namespaces must be allowed. */
bool runtime_can_map_users(void)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    unsigned long long inside, outside, count;
    int end = 0;

    if (geteuid() != 0 || hm_file_read("/proc/self/uid_map", 4096, &text, NULL) != 0)
        return false;
    if (sscanf(hm_buf_cstr(&text), "%llu %llu %llu%n", &inside, &outside, &count, &end) != 3)
        return false;
    if (inside != 0 || count < (unsigned long long)RUNTIME_UID_BASE + RUNTIME_UID_COUNT)
        return false;
    hm_buf_clear(&text);
    if (hm_file_read("/proc/sys/user/max_user_namespaces", 64, &text, NULL) != 0)
        return false;
    return strtoull(hm_buf_cstr(&text), NULL, 10) > 0;
}
