#include "runtime_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime_path.h"

#define TREE_DIR_FLAGS  (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define TREE_STEP_BYTES ((size_t)64 << 10)

static int tree_enter(int dir, const char *name, const struct runtime_owner *make, int *out,
                      struct hm_error *error)
{
    int fd = openat(dir, name, TREE_DIR_FLAGS);

    if (fd < 0 && errno == ENOENT && make != NULL) {
        if (make->folders != NULL && *make->folders == 0)
            return hm_fail(error, HM_ELIMIT, "the image has too many folders");
        if (mkdirat(dir, name, 0755) != 0 && errno != EEXIST)
            return hm_fail_errno(error, HM_EIO, "cannot make the folder \"%s\"", name);
        if (make->folders != NULL)
            (*make->folders)--;
        if (runtime_tree_chown(dir, name, make, 0, 0, error) != 0)
            return HM_EIO;
        fd = openat(dir, name, TREE_DIR_FLAGS);
    }
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return hm_fail(error, HM_EPARSE, "a path goes through \"%s\", which is a link or no folder",
                       name);
    if (fd < 0)
        return hm_fail_errno(error, errno == ENOENT ? HM_ENOTFOUND : HM_EIO, "cannot open \"%s\"",
                             name);
    *out = fd;
    return 0;
}

static int tree_open_span(int root, const char *path, size_t len, const struct runtime_owner *make,
                          int *out, struct hm_error *error)
{
    HM_AUTOCLOSE int at = openat(root, ".", TREE_DIR_FLAGS);
    const char *end = path + len;

    if (at < 0)
        return hm_fail_errno(error, HM_EIO, "cannot open a folder");
    while (path < end) {
        char part[256];
        size_t part_len = strcspn(path, "/");
        int next = -1;
        int rc;

        if (part_len > (size_t)(end - path))
            part_len = (size_t)(end - path);
        if (part_len == 0 || part_len >= sizeof(part))
            return hm_fail(error, HM_EINVAL, "a path is not normal");
        memcpy(part, path, part_len);
        part[part_len] = 0;
        rc = tree_enter(at, part, make, &next, error);
        if (rc != 0)
            return rc;
        close(at);
        at = next;
        path += part_len;
        path += path < end && *path == '/';
    }
    *out = HM_TAKE_FD(at);
    return 0;
}

int runtime_tree_open(int root, const char *path, const struct runtime_owner *make, int *out,
                      struct hm_error *error)
{
    return tree_open_span(root, path, strlen(path), make, out, error);
}

int runtime_tree_open_parent(int root, const char *path, const struct runtime_owner *make, int *out,
                             const char **leaf, struct hm_error *error)
{
    const char *slash = strrchr(path, '/');

    *leaf = slash != NULL ? slash + 1 : path;
    return tree_open_span(root, path, slash != NULL ? (size_t)(slash - path) : 0, make, out, error);
}

int runtime_tree_chown(int dir, const char *name, const struct runtime_owner *owner, uint32_t uid,
                       uint32_t gid, struct hm_error *error)
{
    if (!owner->set)
        return 0;
    if (fchownat(dir, name, owner->base + uid, owner->base + gid, AT_SYMLINK_NOFOLLOW) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot change the owner of \"%s\"", name);
    return 0;
}

int runtime_tree_copy_data(int from, int to, uint64_t limit, uint64_t *copied,
                           struct hm_error *error)
{
    uint64_t total = 0;

    for (;;) {
        uint64_t left = limit - total;
        ssize_t got;

        /* One byte past the limit shows that there is more. */
        got = copy_file_range(from, NULL, to, NULL,
                              left < TREE_STEP_BYTES * 16 ? (size_t)left + 1 : TREE_STEP_BYTES * 16,
                              0);
        if (got < 0 &&
            (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS)) {
            uint8_t step[4096];

            got = read(from, step, left < sizeof(step) ? (size_t)left + 1 : sizeof(step));
            if (got > 0 && hm_write_all(to, step, (size_t)got, error) != 0)
                return HM_EIO;
        }
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hm_fail_errno(error, HM_EIO, "cannot copy a file");
        if (got == 0)
            break;
        total += (uint64_t)got;
        if (total > limit)
            return hm_fail(error, HM_ELIMIT, "a file is larger than %llu bytes",
                           (unsigned long long)limit);
    }
    *copied = total;
    return 0;
}

void runtime_names_release(struct runtime_names *names)
{
    hm_buf_release(&names->text);
    hm_free(names->names);
    *names = (struct runtime_names){0};
}

static int names_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int names_sort(struct runtime_names *names, struct hm_error *error)
{
    char *at = (char *)names->text.data;

    names->names = hm_calloc(names->count + 1, sizeof(*names->names));
    if (names->names == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to list a folder");
    for (size_t i = 0; i < names->count; i++) {
        names->names[i] = at;
        at += strlen(at) + 1;
    }
    qsort(names->names, names->count, sizeof(*names->names), names_compare);
    return 0;
}

int runtime_names_read(int dir, struct runtime_names *out, struct hm_error *error)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    int fd = openat(dir, ".", TREE_DIR_FLAGS);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    int rc = 0;

    if (folder == NULL) {
        hm_fd_release(&fd);
        return hm_fail_errno(error, HM_EIO, "cannot list a folder");
    }
    while (rc == 0) {
        const struct dirent *entry;

        errno = 0; /* tells an error from the end */
        entry = readdir(folder);
        if (entry == NULL && errno != 0)
            rc = hm_fail_errno(error, HM_EIO, "cannot list a folder");
        if (entry == NULL)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (names.text.len > RUNTIME_NAMES_MAX_BYTES)
            rc = hm_fail(error, HM_ELIMIT, "a folder has too many entries");
        else if (hm_buf_append(&names.text, entry->d_name, strlen(entry->d_name) + 1) != 0)
            rc = hm_fail(error, HM_ENOMEM, "no memory to list a folder");
        names.count++;
    }
    closedir(folder);
    if (rc == 0)
        rc = names_sort(&names, error);
    if (rc != 0)
        return rc;
    *out = names;
    names = (struct runtime_names){0};
    return 0;
}

static int tree_usage_below(int dir, unsigned depth, uint64_t limit, uint64_t *bytes,
                            struct hm_error *error)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    int rc = runtime_names_read(dir, &names, error);

    if (rc != 0)
        return rc;
    if (depth > RUNTIME_TREE_MAX_DEPTH)
        return hm_fail(error, HM_ELIMIT, "folders are nested deeper than %d",
                       RUNTIME_TREE_MAX_DEPTH);
    for (size_t i = 0; i < names.count && rc == 0 && *bytes <= limit; i++) {
        struct stat info;
        HM_AUTOCLOSE int fd = -1;

        /* The job may be removing files meanwhile. */
        if (fstatat(dir, names.names[i], &info, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        *bytes += (uint64_t)info.st_blocks * 512;
        if (!S_ISDIR(info.st_mode))
            continue;
        fd = openat(dir, names.names[i], TREE_DIR_FLAGS);
        if (fd >= 0)
            rc = tree_usage_below(fd, depth + 1, limit, bytes, error);
    }
    return rc;
}

int runtime_tree_usage(int dir, uint64_t limit, uint64_t *bytes, struct hm_error *error)
{
    uint64_t total = 0;
    int rc = tree_usage_below(dir, 0, limit, &total, error);

    if (rc == 0)
        *bytes = total;
    return rc;
}
