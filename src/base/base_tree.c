/* Removal of a folder tree that somebody hostile may have made: links are removed, never followed;
 * depth costs no stack and no descriptors; another file system stops it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base_file.h"

#define TREE_DEPTH_MAX  ((size_t)1 << 16)
#define TREE_STEPS_MAX  ((size_t)1 << 28) /* entries met: ends even when someone keeps adding */
#define TREE_OPEN_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct tree_folder {
    dev_t dev;
    ino_t ino;
};

struct tree_walk {
    const char *path;
    int fd; /* the folder being emptied */
    struct hm_buf above; /* struct tree_folder of fd and of every folder above it */
    size_t steps;
};

static void tree_walk_release(struct tree_walk *walk)
{
    hm_fd_release(&walk->fd);
    hm_buf_release(&walk->above);
}

static size_t tree_depth(const struct tree_walk *walk)
{
    return walk->above.len / sizeof(struct tree_folder);
}

static struct tree_folder tree_level(const struct tree_walk *walk, size_t level)
{
    struct tree_folder folder;

    memcpy(&folder, walk->above.data + level * sizeof(folder), sizeof(folder));
    return folder;
}

/* A folder that its owner made unreadable: O_PATH needs no read permission, and the path under
 * /proc/self/fd names exactly that folder, so no link can be slipped in between. */
static int tree_open_locked(int parent, const char *name)
{
    HM_AUTOCLOSE int fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    char self[64];

    if (fd < 0)
        return -1;
    (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (chmod(self, 0700) != 0)
        return -1;
    return openat(parent, name, TREE_OPEN_FLAGS);
}

static int tree_enter(struct tree_walk *walk, int parent, const char *name, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = openat(parent, name, TREE_OPEN_FLAGS);
    struct tree_folder folder;
    struct stat info;

    if (fd < 0 && errno == EACCES)
        fd = tree_open_locked(parent, name);
    if (fd < 0 || fstat(fd, &info) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot open folder '%s' in %s", name, walk->path);
    folder = (struct tree_folder){info.st_dev, info.st_ino};
    if (tree_depth(walk) > 0 && folder.dev != tree_level(walk, 0).dev)
        return hm_fail(error, HM_EBUSY,
                       "folder '%s' in %s is on another file system; unmount it first", name,
                       walk->path);
    if (tree_depth(walk) == TREE_DEPTH_MAX)
        return hm_fail(error, HM_ELIMIT, "%s is deeper than %zu folders", walk->path,
                       TREE_DEPTH_MAX);
    /* without write and search permission its entries could not be removed */
    if ((info.st_mode & 0700) != 0700)
        (void)fchmod(fd, 0700);
    if (hm_buf_append(&walk->above, &folder, sizeof(folder)) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to remove %s", walk->path);
    hm_fd_release(&walk->fd);
    walk->fd = HM_TAKE_FD(fd);
    return 0;
}

static int tree_leave(struct tree_walk *walk, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = openat(walk->fd, "..", TREE_OPEN_FLAGS);
    struct tree_folder expected = tree_level(walk, tree_depth(walk) - 2);
    struct stat info;

    if (fd < 0 || fstat(fd, &info) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot go back up in %s", walk->path);
    if (info.st_dev != expected.dev || info.st_ino != expected.ino)
        return hm_fail(error, HM_EBUSY, "%s was moved about while it was being removed",
                       walk->path);
    walk->above.len -= sizeof(struct tree_folder);
    hm_fd_release(&walk->fd);
    walk->fd = HM_TAKE_FD(fd);
    return 0;
}

/* Removes one entry. *entered: it is a folder with content and the walk now stands in it. */
static int tree_remove_entry(struct tree_walk *walk, const char *name, bool *entered,
                             struct hm_error *error)
{
    int err;

    if (++walk->steps > TREE_STEPS_MAX)
        return hm_fail(error, HM_ELIMIT, "%s has more than %zu entries", walk->path,
                       TREE_STEPS_MAX);
    if (unlinkat(walk->fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    err = errno;
    if (err != EISDIR && err != EPERM)
        return hm_fail_errno(error, HM_EIO, "cannot remove '%s' in %s", name, walk->path);
    if (unlinkat(walk->fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno == ENOTEMPTY || errno == EEXIST) {
        *entered = true;
        return tree_enter(walk, walk->fd, name, error);
    }
    errno = errno == ENOTDIR ? err : errno;
    return hm_fail_errno(error, errno == EBUSY ? HM_EBUSY : HM_EIO, "cannot remove '%s' in %s",
                         name, walk->path);
}

/* Empties the folder the walk stands in, until done or a folder inside was entered. */
static int tree_scan(struct tree_walk *walk, bool *entered, struct hm_error *error)
{
    int fd = openat(walk->fd, ".", TREE_OPEN_FLAGS);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    int rc = 0;

    *entered = false;
    if (folder == NULL) {
        rc = hm_fail_errno(error, HM_EIO, "cannot list a folder in %s", walk->path);
        hm_fd_release(&fd);
        return rc;
    }
    while (rc == 0 && !*entered) {
        errno = 0;
        entry = readdir(folder);
        if (entry == NULL) {
            if (errno != 0)
                rc = hm_fail_errno(error, HM_EIO, "cannot list a folder in %s", walk->path);
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = tree_remove_entry(walk, entry->d_name, entered, error);
    }
    (void)closedir(folder);
    return rc;
}

static int tree_empty(struct tree_walk *walk, struct hm_error *error)
{
    for (;;) {
        bool entered = false;
        int rc = tree_scan(walk, &entered, error);

        if (rc != 0)
            return rc;
        if (entered)
            continue;
        if (tree_depth(walk) == 1)
            return 0;
        rc = tree_leave(walk, error);
        if (rc != 0)
            return rc;
    }
}

int hm_remove_tree(const char *path, struct hm_error *error)
{
    HM_CLEANUP(tree_walk) struct tree_walk walk = {.path = path, .fd = -1};
    struct stat info;
    struct stat root;
    int rc;

    if (lstat(path, &info) != 0) {
        if (errno == ENOENT)
            return 0;
        return hm_fail_errno(error, HM_EIO, "cannot look at %s", path);
    }
    if (!S_ISDIR(info.st_mode)) {
        if (unlink(path) != 0 && errno != ENOENT)
            return hm_fail_errno(error, HM_EIO, "cannot remove %s", path);
        return 0;
    }
    if (stat("/", &root) != 0 || (root.st_dev == info.st_dev && root.st_ino == info.st_ino))
        return hm_fail(error, HM_EINVAL, "the root folder is never removed");
    rc = tree_enter(&walk, AT_FDCWD, path, error);
    if (rc == 0)
        rc = tree_empty(&walk, error);
    if (rc != 0)
        return rc;
    if (rmdir(path) != 0 && errno != ENOENT)
        return hm_fail_errno(error, HM_EIO, "cannot remove folder %s", path);
    return 0;
}
