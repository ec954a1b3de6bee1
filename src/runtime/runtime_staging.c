/* An import under way: everything lies in a folder of its own until all of it has been checked. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime_images.h"

#define STAGING_STEP_BYTES ((size_t)64 << 10)

static int staging_folders(struct runtime_staging *staging, struct hm_error *error)
{
    char path[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int alone = -1;
    int rc = runtime_images_lock(staging->images, "staging", LOCK_EX, &alone, error);

    if (rc != 0)
        return rc;
    runtime_images_sweep(staging->images);
    snprintf(path, sizeof(path), "%s/blobs/sha256", staging->dir);
    rc = hm_mkdir_all(path, 0700, error);
    if (rc == 0) {
        snprintf(path, sizeof(path), "%s/layers", staging->dir);
        rc = hm_mkdir_all(path, 0700, error);
    }
    if (rc != 0)
        return rc;
    staging->lock = open(staging->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (staging->lock < 0 || flock(staging->lock, LOCK_EX | LOCK_NB) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot lock %s", staging->dir);
    return 0;
}

int runtime_staging_begin(struct runtime_images *images, struct runtime_staging *out,
                          struct hm_error *error)
{
    struct runtime_staging staging = {.images = images,
                                      .lock = -1,
                                      .mapped = runtime_can_map_users(),
                                      .budget = {RUNTIME_IMAGE_MAX_BYTES, RUNTIME_IMAGE_MAX_FILES}};
    const struct hm_random *random = hm_random_system();
    uint8_t id[RUNTIME_STAGING_NAME_CHARS / 2];
    char hex[RUNTIME_STAGING_NAME_CHARS + 1];
    int rc;

    if (random->fill(random->ctx, id, sizeof(id)) != 0)
        return hm_fail(error, HM_EIO, "no random bytes");
    hm_hex_encode(id, sizeof(id), hex);
    if ((size_t)snprintf(staging.dir, sizeof(staging.dir), "%s/tmp/%s", images->root, hex) >=
        sizeof(staging.dir))
        return hm_fail(error, HM_ELIMIT, "the image folder's path is too long");
    rc = staging_folders(&staging, error);
    if (rc == 0)
        *out = staging;
    else
        runtime_staging_release(&staging);
    return rc;
}

void runtime_staging_release(struct runtime_staging *staging)
{
    if (staging->dir[0] == 0)
        return;
    (void)hm_remove_tree(staging->dir,
                         NULL); /* where that fails, the next import's sweep does it */
    staging->dir[0] = 0;
    hm_fd_release(&staging->lock);
}

static int blob_place(const struct runtime_staging *staging, const char *from, uint8_t *hash,
                      const struct runtime_digest *expected, struct runtime_digest *out,
                      struct hm_error *error)
{
    struct runtime_digest digest;
    char to[RUNTIME_PATH_MAX_BYTES];

    runtime_digest_of_hash(hash, &digest);
    if (expected != NULL && !runtime_digest_equal(&digest, expected))
        return hm_fail(error, HM_EPARSE,
                       "content does not match its digest: %s was promised, %s came",
                       expected->text, digest.text);
    snprintf(to, sizeof(to), "%s/blobs/sha256/%s", staging->dir, runtime_digest_hex(&digest));
    if (rename(from, to) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot place a blob");
    if (out != NULL)
        *out = digest;
    return 0;
}

static int blob_pour(struct runtime_staging *staging, int from, int to, uint8_t *hash,
                     uint64_t *bytes, struct hm_error *error)
{
    RUNTIME_SHA256 *sha = NULL;
    HM_AUTOFREE uint8_t *step = hm_malloc(STAGING_STEP_BYTES);
    uint64_t total = 0;

    if (step == NULL || crypto_sha256_new(&sha) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to copy a blob");
    for (;;) {
        ssize_t got = read(from, step, STAGING_STEP_BYTES);
        int rc;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hm_fail_errno(error, HM_EIO, "cannot read a blob");
        if (got == 0)
            break;
        total += (uint64_t)got;
        if (total > RUNTIME_IMAGE_MAX_BYTES ||
            staging->blob_bytes > RUNTIME_IMAGE_MAX_BYTES - total)
            return hm_fail(error, HM_ELIMIT, "the image is larger than %llu bytes",
                           (unsigned long long)RUNTIME_IMAGE_MAX_BYTES);
        crypto_sha256_update(sha, step, (size_t)got);
        rc = hm_write_all(to, step, (size_t)got, error);
        if (rc != 0)
            return rc;
    }
    crypto_sha256_final(sha, hash);
    staging->blob_bytes += total;
    *bytes = total;
    return 0; /* what stays of it is made durable when it is moved into the store */
}

int runtime_staging_blob_fd(struct runtime_staging *staging, int fd,
                            const struct runtime_digest *expected, struct runtime_digest *out,
                            uint64_t *bytes, struct hm_error *error)
{
    char path[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int to = -1;
    uint8_t hash[CRYPTO_SHA256_BYTES];
    uint64_t total = 0;
    int rc;

    snprintf(path, sizeof(path), "%s/blob", staging->dir);
    to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return hm_fail_errno(error, HM_EIO, "cannot make a blob");
    rc = blob_pour(staging, fd, to, hash, &total, error);
    if (rc == 0)
        rc = blob_place(staging, path, hash, expected, out, error);
    if (rc == 0 && bytes != NULL)
        *bytes = total;
    return rc;
}

int runtime_staging_blob(struct runtime_staging *staging, struct hm_slice data,
                         const struct runtime_digest *expected, struct runtime_digest *out,
                         struct hm_error *error)
{
    struct runtime_digest digest;
    char path[RUNTIME_PATH_MAX_BYTES];
    int rc = runtime_digest_of_bytes(data, &digest, error);

    if (rc != 0)
        return rc;
    if (expected != NULL && !runtime_digest_equal(&digest, expected))
        return hm_fail(error, HM_EPARSE,
                       "content does not match its digest: %s was promised, %s came",
                       expected->text, digest.text);
    snprintf(path, sizeof(path), "%s/blobs/sha256/%s", staging->dir, runtime_digest_hex(&digest));
    rc = hm_file_replace(path, data.data, data.len, 0600, error);
    if (rc != 0)
        return rc;
    staging->blob_bytes += data.len;
    if (out != NULL)
        *out = digest;
    return 0;
}

int runtime_staging_layer(struct runtime_staging *staging, const struct runtime_digest *blob,
                          const struct runtime_digest *diff_id, struct hm_error *error)
{
    const struct runtime_owner owner = {.set = staging->mapped, .base = RUNTIME_UID_BASE};
    struct runtime_archive_source source = {.fd = -1};
    struct runtime_digest found;
    uint8_t hash[CRYPTO_SHA256_BYTES];
    char path[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int in = -1;
    HM_AUTOCLOSE int root = -1;
    int rc;

    snprintf(path, sizeof(path), "%s/blobs/sha256/%s", staging->dir, runtime_digest_hex(blob));
    in = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0)
        return hm_fail_errno(error, HM_EIO, "cannot open a layer");
    rc = runtime_layer_path(staging->dir, diff_id, staging->mapped, path, error);
    if (rc != 0)
        return rc;
    if (mkdir(path, 0700) != 0) {
        if (errno == EEXIST) /* the same layer twice in one image */
            return 0;
        return hm_fail_errno(error, HM_EIO, "cannot make a layer's folder");
    }
    root = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0)
        return hm_fail_errno(error, HM_EIO, "cannot open a layer's folder");
    source.fd = in;
    rc = runtime_layer_unpack(&source, root, &owner, &staging->budget, hash, error);
    if (rc != 0)
        return rc;
    runtime_digest_of_hash(hash, &found);
    if (!runtime_digest_equal(&found, diff_id))
        return hm_fail(error, HM_EPARSE, "a layer unpacks to %s, not to %s as its image says",
                       found.text, diff_id->text);
    return 0;
}
