#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store_lmdb_lock.h"

#define LOCK_PATH_BYTES  4096
#define LOCK_OWNER_BYTES 32 /* a process number and room */
#define LOCK_WAIT_MS     2000 /* for the child of an owner that was killed */
#define LOCK_NAP_MS      5

static int open_failed(const char *path, bool read_only, struct hm_error *error)
{
    switch (errno) {
    case ENOENT:
        return hm_fail(error, HM_ENOTFOUND, "there is no store in %s", path);
    case EROFS:
        return hm_fail(error, HM_EIO,
                       "the store %s is on a read-only file system: remount it or choose another "
                       "folder",
                       path);
    case ENOSPC:
    case EDQUOT:
        return hm_fail(error, HM_EIO, "no space left on the disk of the store %s: free some", path);
    case EACCES:
    case EPERM:
        return hm_fail(error, HM_EPERM, "the store %s may not be %s by this user", path,
                       read_only ? "read" : "written");
    default:
        return hm_fail_errno(error, HM_EIO, "cannot open the file LOCK of the store %s", path);
    }
}

/* The process that last opened the store to write; "" when that is not known. */
static void read_owner(int fd, char owner[LOCK_OWNER_BYTES])
{
    ssize_t len = pread(fd, owner, LOCK_OWNER_BYTES - 1, 0);
    size_t digits = 0;

    while (len > 0 && digits < (size_t)len && owner[digits] >= '0' && owner[digits] <= '9')
        digits++;
    owner[digits] = '\0';
}

static bool owner_is_gone(int fd)
{
    char owner[LOCK_OWNER_BYTES];

    read_owner(fd, owner);
    long process = strtol(owner, NULL, 10);
    return process > 0 && process <= INT32_MAX && kill((pid_t)process, 0) != 0 && errno == ESRCH;
}

/* Who is killed while it starts a program leaves a child that has the lock's descriptor until it calls exec: so when
 * the owner is gone, the lock soon will be. */
static int lock_soon(int fd, int how)
{
    const struct timespec nap = {.tv_nsec = LOCK_NAP_MS * 1000000L};
    unsigned waited_ms = 0;

    while (flock(fd, how | LOCK_NB)) {
        if (errno != EWOULDBLOCK)
            return -1;
        if (waited_ms >= LOCK_WAIT_MS || !owner_is_gone(fd)) {
            errno = EWOULDBLOCK;
            return -1;
        }
        (void)nanosleep(&nap, NULL);
        waited_ms += LOCK_NAP_MS;
    }
    return 0;
}

static int busy(const char *path, int fd, struct hm_error *error)
{
    char owner[LOCK_OWNER_BYTES];

    read_owner(fd, owner);
    return hm_fail(error, HM_EBUSY,
                   "the store %s is in use by another program (last written by process %s): stop "
                   "that program first",
                   path, owner[0] != '\0' ? owner : "unknown");
}

/* Only for the sentence above; the lock itself is the flock, so a failure here does no harm. */
static void sign(int fd)
{
    char owner[LOCK_OWNER_BYTES];
    int len = snprintf(owner, sizeof(owner), "%ld\n", (long)getpid());

    if (ftruncate(fd, 0) == 0 && len > 0)
        (void)!pwrite(fd, owner, (size_t)len, 0);
}

/* A flock belongs to the open file, not to the process, so a second open by this same process is
 * refused as well: LMDB must not have one file open twice. */
int store_lmdb_lock(const char *path, bool read_only, int *fd, struct hm_error *error)
{
    char name[LOCK_PATH_BYTES];
    HM_AUTOCLOSE int lock = -1;
    int rc = read_only ? 0 : hm_mkdir_all(path, 0700, error);

    if (rc)
        return rc;
    if ((size_t)snprintf(name, sizeof(name), "%s/LOCK", path) >= sizeof(name))
        return hm_fail(error, HM_ELIMIT, "the path of the store is too long");
    lock = open(name, read_only ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0)
        return open_failed(path, read_only, error);
    if (lock_soon(lock, read_only ? LOCK_SH : LOCK_EX)) {
        if (errno == EWOULDBLOCK)
            return busy(path, lock, error);
        return hm_fail_errno(error, HM_EIO, "cannot lock the store %s", path);
    }
    if (!read_only)
        sign(lock);
    *fd = HM_TAKE_FD(lock);
    return 0;
}

static int sync_one(const char *path, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    /* Some file systems cannot sync folders (EINVAL); a parent may not be ours to open (EACCES). */
    if (fd < 0)
        return errno == EACCES ? 0
                               : hm_fail_errno(error, HM_EIO, "cannot open the folder %s", path);
    if (fsync(fd) && errno != EINVAL)
        return hm_fail_errno(error, HM_EIO, "cannot write the folder %s to disk", path);
    return 0;
}

int store_lmdb_sync_folder(const char *path, struct hm_error *error)
{
    char parent[LOCK_PATH_BYTES];
    int rc = sync_one(path, error);

    if (rc)
        return rc;
    if ((size_t)snprintf(parent, sizeof(parent), "%s/..", path) >= sizeof(parent))
        return hm_fail(error, HM_ELIMIT, "the path of the store is too long");
    return sync_one(parent, error);
}
