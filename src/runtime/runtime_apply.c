/* The copied root file system: unpacked layers laid over each other, for machines without overlayfs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "runtime_path.h"
#include "runtime_tree.h"

#define APPLY_DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct apply {
    bool keep_owner;
};

static int apply_remove(int dir, const char *name, struct hm_error *error)
{
    char path[320];

    snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
    return hm_remove_tree(path, error);
}

static bool apply_is_opaque(int dir)
{
    char value[2] = {0};

    return (fgetxattr(dir, "trusted.overlay.opaque", value, 1) == 1 ||
            fgetxattr(dir, "user.overlay.opaque", value, 1) == 1) &&
           value[0] == 'y';
}

static int apply_attributes(const struct apply *apply, int fd, const struct stat *info,
                            struct hm_error *error)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, info->st_mtim};

    if (apply->keep_owner && fchown(fd, info->st_uid, info->st_gid) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot change the owner of a copied file");
    if (fchmod(fd, info->st_mode & 01777) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot change the mode of a copied file");
    (void)futimens(fd, times);
    return 0;
}

static int apply_file(const struct apply *apply, int from, int to, const char *name,
                      const struct stat *info, struct hm_error *error)
{
    HM_AUTOCLOSE int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    HM_AUTOCLOSE int out = -1;
    uint64_t copied;
    int rc;

    if (in < 0)
        return hm_fail_errno(error, HM_EIO, "cannot open \"%s\" of a layer", name);
    out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return hm_fail_errno(error, HM_EIO, "cannot make \"%s\"", name);
    rc = runtime_tree_copy_data(in, out, (uint64_t)info->st_size, &copied, error);
    return rc != 0 ? rc : apply_attributes(apply, out, info, error);
}

static int apply_link(const struct apply *apply, int from, int to, const char *name,
                      const struct stat *info, struct hm_error *error)
{
    char target[RUNTIME_PATH_MAX_BYTES];
    ssize_t len = readlinkat(from, name, target, sizeof(target));

    if (len < 0 || (size_t)len >= sizeof(target))
        return hm_fail_errno(error, HM_EIO, "cannot read the link \"%s\"", name);
    target[len] = 0;
    if (symlinkat(target, to, name) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot make the link \"%s\"", name);
    if (apply->keep_owner &&
        fchownat(to, name, info->st_uid, info->st_gid, AT_SYMLINK_NOFOLLOW) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot change the owner of \"%s\"", name);
    return 0;
}

static int apply_folder(const struct apply *apply, int from, int to, unsigned depth,
                        struct hm_error *error);

static int apply_subfolder(const struct apply *apply, int from, int to, const char *name,
                           const struct stat *info, unsigned depth, struct hm_error *error)
{
    HM_AUTOCLOSE int in = openat(from, name, APPLY_DIR_FLAGS);
    HM_AUTOCLOSE int out = -1;
    int rc;

    if (in < 0)
        return hm_fail_errno(error, HM_EIO, "cannot open the folder \"%s\" of a layer", name);
    if (apply_is_opaque(in)) {
        rc = apply_remove(to, name, error);
        if (rc != 0)
            return rc;
    }
    if (mkdirat(to, name, 0700) != 0 && errno != EEXIST)
        return hm_fail_errno(error, HM_EIO, "cannot make the folder \"%s\"", name);
    out = openat(to, name, APPLY_DIR_FLAGS);
    if (out < 0)
        return hm_fail_errno(error, HM_EIO, "cannot open the folder \"%s\"", name);
    rc = apply_folder(apply, in, out, depth + 1, error);
    return rc != 0 ? rc : apply_attributes(apply, out, info, error);
}

static int apply_entry(const struct apply *apply, int from, int to, const char *name,
                       unsigned depth, struct hm_error *error)
{
    struct stat info, old;
    int rc = 0;

    if (fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot look at \"%s\" of a layer", name);
    if (fstatat(to, name, &old, AT_SYMLINK_NOFOLLOW) == 0 &&
        !(S_ISDIR(old.st_mode) && S_ISDIR(info.st_mode)))
        rc = apply_remove(to, name, error);
    if (rc != 0 || (S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0)))
        return rc;
    if (S_ISDIR(info.st_mode))
        return apply_subfolder(apply, from, to, name, &info, depth, error);
    if (S_ISLNK(info.st_mode))
        return apply_link(apply, from, to, name, &info, error);
    if (S_ISREG(info.st_mode))
        return apply_file(apply, from, to, name, &info, error);
    return hm_fail(error, HM_ECORRUPT,
                   "\"%s\" in an unpacked layer is neither file, folder nor link", name);
}

static int apply_folder(const struct apply *apply, int from, int to, unsigned depth,
                        struct hm_error *error)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    int rc = runtime_names_read(from, &names, error);

    if (rc == 0 && depth > RUNTIME_TREE_MAX_DEPTH)
        rc = hm_fail(error, HM_ELIMIT, "a layer is deeper than %d folders", RUNTIME_TREE_MAX_DEPTH);
    for (size_t i = 0; i < names.count && rc == 0; i++)
        rc = apply_entry(apply, from, to, names.names[i], depth, error);
    return rc;
}

int runtime_tree_apply(int from, int to, bool keep_owner, struct hm_error *error)
{
    const struct apply apply = {.keep_owner = keep_owner};

    return apply_folder(&apply, from, to, 0, error);
}
