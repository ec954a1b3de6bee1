#include "runtime_rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime_layer.h"
#include "runtime_tree.h"

#define ROOTFS_RUN_FOLDER "/run/hypermesh"
#define ROOTFS_DIR_FLAGS  (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

const char *runtime_rootfs_written(bool overlay)
{
    return overlay ? "upper" : "rootfs";
}

static int rootfs_folder(const char *dir, const char *name, uid_t owner, mode_t mode, int *out,
                         struct hm_error *error)
{
    char path[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int fd = -1;
    int rc = runtime_path_join(path, sizeof(path), dir, name, error);

    if (rc != 0)
        return rc;
    if (mkdir(path, 0700) != 0)
        return hm_fail_errno(error, errno == EEXIST ? HM_EEXIST : HM_EIO, "cannot make %s", path);
    fd = open(path, ROOTFS_DIR_FLAGS);
    if (fd < 0 || (owner != (uid_t)-1 && fchown(fd, owner, owner) != 0) || fchmod(fd, mode) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot prepare %s", path);
    *out = HM_TAKE_FD(fd);
    return 0;
}

int runtime_rootfs_claim(const char *id, bool rootless, struct hm_error *error)
{
    char path[RUNTIME_PATH_MAX_BYTES];

    snprintf(path, sizeof(path), ROOTFS_RUN_FOLDER "/%s", id);
    for (int i = 0; i < 10 && !rootless; i++) {
        /* Another job's end may remove the empty parent between the two steps. */
        if (mkdir(ROOTFS_RUN_FOLDER, 0711) != 0 && errno != EEXIST)
            return hm_fail_errno(error, HM_EIO, "cannot make " ROOTFS_RUN_FOLDER);
        if (mkdir(path, 0700) == 0)
            return 0;
        if (errno == EEXIST)
            return hm_fail(error, HM_EEXIST, "%s exists: is job %s running already?", path, id);
        if (errno != ENOENT)
            return hm_fail_errno(error, HM_EIO, "cannot make %s", path);
    }
    return rootless ? 0 : hm_fail(error, HM_EBUSY, "cannot make %s", path);
}

struct rootfs_lowers {
    int fds[RUNTIME_IMAGE_MAX_LAYERS];
    size_t count;
};

static void rootfs_lowers_release(struct rootfs_lowers *lowers)
{
    while (lowers->count > 0)
        hm_fd_release(&lowers->fds[--lowers->count]);
}

/* Folders are named by descriptor: short whatever the data folder is called, and free of characters
 * that mean something in mount options. overlayfs lists the topmost layer first. */
static int rootfs_overlay(const struct runtime_rootfs_plan *plan, const char *target,
                          struct hm_error *error)
{
    HM_CLEANUP(rootfs_lowers) struct rootfs_lowers lowers = {.count = 0};
    HM_CLEANUP(hm_buf) struct hm_buf options = {0};
    HM_AUTOCLOSE int upper = -1;
    HM_AUTOCLOSE int work = -1;
    uid_t owner = plan->mapped ? RUNTIME_UID_BASE : 0;
    int bad = hm_buf_append_str(&options, "lowerdir=");
    int rc = rootfs_folder(plan->dir, "upper", owner, 0755, &upper, error);

    if (rc == 0)
        rc = rootfs_folder(plan->dir, "work", 0, 0700, &work, error);
    for (size_t i = plan->layer_count; rc == 0 && i > 0; i--) {
        int fd = open(plan->layers[i - 1], ROOTFS_DIR_FLAGS);

        if (fd < 0)
            return hm_fail_errno(error, HM_EIO, "cannot open a layer");
        lowers.fds[lowers.count++] = fd;
        bad |= hm_buf_printf(&options, "%s/proc/self/fd/%d", i < plan->layer_count ? ":" : "", fd);
    }
    if (rc != 0)
        return rc;
    bad |= hm_buf_printf(&options, ",upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d", upper,
                         work);
    if (bad != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to mount the root");
    if (mount("hypermesh", target, "overlay", MS_NOSUID | MS_NODEV, hm_buf_cstr(&options)) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot mount overlayfs at %s", target);
    return 0;
}

static int rootfs_copy(const struct runtime_rootfs_plan *plan, struct hm_error *error)
{
    HM_AUTOCLOSE int to = -1;
    int rc = rootfs_folder(plan->dir, "rootfs", plan->mapped ? RUNTIME_UID_BASE : (uid_t)-1, 0755,
                           &to, error);

    for (size_t i = 0; rc == 0 && i < plan->layer_count; i++) {
        HM_AUTOCLOSE int from = open(plan->layers[i], ROOTFS_DIR_FLAGS);

        if (from < 0)
            return hm_fail_errno(error, HM_EIO, "cannot open a layer");
        rc = runtime_tree_apply(from, to, !plan->rootless, error);
    }
    return rc;
}

int runtime_rootfs_make(const struct runtime_rootfs_plan *plan, char path[RUNTIME_PATH_MAX_BYTES],
                        struct hm_error *error)
{
    char copy[RUNTIME_PATH_MAX_BYTES];
    int rc = runtime_path_join(copy, sizeof(copy), plan->dir, "rootfs", error);

    if (rc != 0)
        return rc;
    if (!plan->overlay || plan->layer_count == 0) {
        rc = rootfs_copy(plan, error);
        if (rc != 0 || plan->rootless) {
            memcpy(path, copy, strlen(copy) + 1);
            return rc;
        }
    }
    snprintf(path, RUNTIME_PATH_MAX_BYTES, ROOTFS_RUN_FOLDER "/%s", plan->id);
    if (plan->overlay && plan->layer_count > 0)
        return rootfs_overlay(plan, path, error);
    if (mount(copy, path, NULL, MS_BIND, NULL) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot mount %s at %s", copy, path);
    return 0;
}

int runtime_rootfs_remove(const char *id, const char *dir, struct hm_error *error)
{
    static const char *const folders[] = {"upper", "work", "rootfs"};
    char path[RUNTIME_PATH_MAX_BYTES];
    int rc = 0;

    snprintf(path, sizeof(path), ROOTFS_RUN_FOLDER "/%s", id);
    if (geteuid() == 0 && access(path, F_OK) == 0) {
        while (umount2(path, UMOUNT_NOFOLLOW) == 0)
            ;
        if (errno == EBUSY && umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH) != 0)
            rc = hm_fail_errno(error, HM_EBUSY, "cannot unmount %s", path);
        if (rmdir(path) != 0 && errno != ENOENT && rc == 0)
            rc = hm_fail_errno(error, HM_EBUSY, "cannot remove %s", path);
        (void)rmdir(ROOTFS_RUN_FOLDER); /* works when no other job runs */
    }
    for (size_t i = 0; i < HM_COUNT_OF(folders); i++) {
        struct hm_error *first = rc == 0 ? error : NULL;
        int one = runtime_path_join(path, sizeof(path), dir, folders[i], first);

        if (one == 0)
            one = hm_remove_tree(path, first);
        rc = rc != 0 ? rc : one;
    }
    return rc;
}
