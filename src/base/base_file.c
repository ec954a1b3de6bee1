#include "base_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_READ_STEP_BYTES ((size_t)16 << 10)

static int file_open_code(int err)
{
    if (err == ENOENT || err == ENOTDIR)
        return HM_ENOTFOUND;
    if (err == EACCES || err == EPERM)
        return HM_EPERM;
    return HM_EIO;
}

static int file_read_fd(int fd, const char *path, size_t limit, struct hm_buf *out,
                        struct hm_error *error)
{
    size_t start = out->len;

    for (;;) {
        size_t read_so_far = out->len - start;
        size_t left = limit - read_so_far;
        size_t step = left < FILE_READ_STEP_BYTES ? left + 1 : FILE_READ_STEP_BYTES;
        ssize_t got;

        if (hm_buf_reserve(out, step) != 0)
            return hm_fail(error, HM_ENOMEM, "no memory to read %s", path);
        got = read(fd, out->data + out->len, step);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hm_fail_errno(error, HM_EIO, "cannot read %s", path);
        if (got == 0)
            return 0;
        if ((size_t)got > left)
            return hm_fail(error, HM_ELIMIT, "%s is larger than %zu bytes", path, limit);
        out->len += (size_t)got;
    }
}

int hm_file_read(const char *path, size_t limit, struct hm_buf *out, struct hm_error *error)
{
    size_t start = out->len;
    HM_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return hm_fail_errno(error, file_open_code(errno), "cannot open %s", path);
    rc = file_read_fd(fd, path, limit, out, error);
    if (rc != 0)
        out->len = start;
    return rc;
}

int hm_write_all(int fd, const void *data, size_t len, struct hm_error *error)
{
    const uint8_t *at = data;

    while (len > 0) {
        ssize_t done = write(fd, at, len);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return hm_fail_errno(error, HM_EIO, "cannot write %zu bytes", len);
        at += done;
        len -= (size_t)done;
    }
    return 0;
}

static int file_open_folder(const char *path, int *out, struct hm_error *error)
{
    const char *slash = strrchr(path, '/');
    HM_AUTOFREE char *folder = NULL;
    int fd;

    if (slash == NULL)
        folder = hm_strdup(".");
    else
        folder = hm_strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (folder == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to sync the folder of %s", path);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return hm_fail_errno(error, file_open_code(errno), "cannot open folder %s", folder);
    *out = fd;
    return 0;
}

/* A private file of its own beside the target: what lay there (left by a crash) goes first, and
 * O_EXCL then refuses links that someone plants. */
static int file_write_beside(const char *beside, const void *data, size_t len, mode_t mode,
                             struct hm_error *error)
{
    HM_AUTOCLOSE int fd = -1;
    int rc;

    if (unlink(beside) != 0 && errno != ENOENT)
        return hm_fail_errno(error, file_open_code(errno), "cannot remove old %s", beside);
    fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return hm_fail_errno(error, file_open_code(errno), "cannot create %s", beside);
    rc = hm_write_all(fd, data, len, error);
    if (rc != 0) {
        (void)hm_error_prefix(error, rc, "%s", beside);
        return rc;
    }
    if (fchmod(fd, mode) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot set the mode of %s", beside);
    if (fsync(fd) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot sync %s", beside);
    return 0;
}

/* The folder is opened first: what may fail for want of memory or descriptors does so before anything changes. */
int hm_file_replace(const char *path, const void *data, size_t len, mode_t mode,
                    struct hm_error *error)
{
    HM_AUTOFREE char *beside = hm_asprintf("%s.tmp", path);
    HM_AUTOCLOSE int folder = -1;
    int rc;

    if (beside == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to write %s", path);
    rc = file_open_folder(path, &folder, error);
    if (rc != 0)
        return rc;
    rc = file_write_beside(beside, data, len, mode, error);
    if (rc == 0 && rename(beside, path) != 0)
        rc = hm_fail_errno(error, HM_EIO, "cannot move %s into place", beside);
    if (rc != 0) {
        (void)unlink(beside);
        return rc;
    }
    return fsync(folder) == 0 ? 0
                              : hm_fail_errno(error, HM_EIO, "cannot sync the folder of %s", path);
}

static int folder_make(const char *path, mode_t mode, struct hm_error *error)
{
    struct stat info;

    if (mkdir(path, mode) == 0)
        return 0;
    if (errno != EEXIST)
        return hm_fail_errno(error,
                             errno == ENOTDIR                    ? HM_EEXIST
                             : errno == EACCES || errno == EPERM ? HM_EPERM
                                                                 : HM_EIO,
                             "cannot create folder %s", path);
    if (stat(path, &info) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot look at %s", path);
    if (!S_ISDIR(info.st_mode))
        return hm_fail(error, HM_EEXIST, "%s exists and is not a folder", path);
    return 0;
}

int hm_mkdir_all(const char *path, mode_t mode, struct hm_error *error)
{
    char partial[PATH_MAX];
    size_t len = strnlen(path, sizeof(partial));
    int rc;

    if (len == 0 || len >= sizeof(partial))
        return hm_fail(error, HM_EINVAL, "a folder's path has 1-%d characters", PATH_MAX - 1);
    memcpy(partial, path, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (partial[i] != '/' || partial[i - 1] == '/')
            continue;
        partial[i] = '\0';
        rc = folder_make(partial, mode, error);
        if (rc != 0)
            return rc;
        partial[i] = '/';
    }
    return folder_make(partial, mode, error);
}
