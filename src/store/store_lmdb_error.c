#include <errno.h>
#include <lmdb.h>
#include <sys/statvfs.h>

#include "store_lmdb_error.h"

#define DISK_FULL_BYTES ((uint64_t)1 << 20) /* less left: that is why a write failed */

int store_lmdb_code(int rc)
{
    switch (rc) {
    case MDB_SUCCESS:
        return 0;
    case MDB_NOTFOUND:
    case ENOENT:
        return HM_ENOTFOUND;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
        return HM_ELIMIT;
    case MDB_READERS_FULL:
        return HM_EBUSY;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
        return HM_ECORRUPT;
    case MDB_PANIC:
        return HM_EIO;
    case ENOMEM:
        return HM_ENOMEM;
    case EACCES:
    case EPERM:
        return HM_EPERM;
    case MDB_BAD_TXN:
        return HM_EINTERNAL;
    default:
        return rc > 0 ? HM_EIO : HM_EINTERNAL;
    }
}

/* LMDB reports a write that fitted in part as EIO and forgets why. */
static bool disk_is_full(const char *path)
{
    struct statvfs disk;

    return statvfs(path, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < DISK_FULL_BYTES;
}

int store_lmdb_fail(struct hm_error *error, int rc, const char *what, const char *path)
{
    int code = store_lmdb_code(rc);

    if (rc == EIO && disk_is_full(path))
        rc = ENOSPC;
    switch (rc) {
    case MDB_MAP_FULL:
        return hm_fail(error, code,
                       "the store %s is full: its address space (map_bytes) is used up; open it "
                       "with a larger one",
                       path);
    case MDB_TXN_FULL:
        return hm_fail(error, code, "one transaction changes too much of the store %s; split it",
                       path);
    case ENOSPC:
    case EDQUOT:
        return hm_fail(error, code, "no space left on the disk of the store %s: free some (%s)",
                       path, what);
    case EFBIG:
        return hm_fail(error, code,
                       "the store %s may not grow: this process's limit on file sizes is reached "
                       "(ulimit -f; %s)",
                       path, what);
    case EROFS:
        return hm_fail(error, code,
                       "the store %s is on a read-only file system: remount it or choose another "
                       "folder (%s)",
                       path, what);
    case MDB_PANIC:
        return hm_fail(
            error, code,
            "the store %s takes no more writes, because one did not reach the disk: see to "
            "the disk, then restart the program (%s)",
            path, what);
    case MDB_BAD_TXN:
        return hm_fail(error, code, "a transaction on the store %s goes on after it failed (%s)",
                       path, what);
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
        return hm_fail(error, code, "the store %s is damaged, restore it from a copy (%s: %s)",
                       path, what, mdb_strerror(rc));
    default:
        return hm_fail(error, code, "the store %s: %s: %s", path, what, mdb_strerror(rc));
    }
}
