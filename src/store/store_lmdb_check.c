#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_lmdb_check.h"

#define FREE_DBI \
    0 /* LMDB's own table: transaction number -> count and numbers of the freed pages */

struct extent {
    int fd;
    uint64_t bytes; /* of the file */
    uint64_t needed;
    size_t page_bytes;
    size_t pages;
};

static int extent_of(MDB_env *env, struct extent *out)
{
    MDB_envinfo info;
    MDB_stat stat_;
    struct stat file;
    struct extent extent;

    if (mdb_env_get_fd(env, &extent.fd) || mdb_env_info(env, &info) || mdb_env_stat(env, &stat_) ||
        fstat(extent.fd, &file))
        return HM_EIO;
    extent.bytes = (uint64_t)file.st_size;
    extent.page_bytes = stat_.ms_psize;
    extent.pages = info.me_last_pgno + 1;
    extent.needed = (uint64_t)extent.pages * extent.page_bytes;
    *out = extent;
    return 0;
}

/* How many free pages are numbered first or more. A value is a count and then that many numbers. */
static int count_free(MDB_txn *txn, size_t first, size_t *out)
{
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    size_t count = 0;
    int rc = mdb_cursor_open(txn, FREE_DBI, &cursor);

    if (rc)
        return rc;
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        const size_t *numbers = value.mv_data;
        size_t room = value.mv_size / sizeof(*numbers);

        for (size_t i = 1; i < room && i <= numbers[0]; i++)
            count += numbers[i] >= first;
    }
    mdb_cursor_close(cursor);
    *out = count;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static bool lost_pages_are_free(MDB_env *env, const struct extent *extent)
{
    size_t first = (size_t)(extent->bytes / extent->page_bytes);
    size_t count = 0;
    MDB_txn *txn;
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

    if (rc)
        return false;
    rc = count_free(txn, first, &count);
    mdb_txn_abort(txn);
    return rc == 0 && count == extent->pages - first;
}

static int cut(const struct extent *extent, const char *path, struct hm_error *error)
{
    return hm_fail(error, HM_ECORRUPT,
                   "the store %s is cut: data.mdb has %" PRIu64 " bytes of %" PRIu64
                   "; restore it from a copy",
                   path, extent->bytes, extent->needed);
}

int store_lmdb_check_length(MDB_env *env, bool read_only, const char *path, struct hm_error *error)
{
    struct extent extent;

    if (extent_of(env, &extent))
        return hm_fail_errno(error, HM_EIO, "the store %s: its length cannot be read", path);
    if (extent.bytes >= extent.needed)
        return 0;
    if (read_only)
        return hm_fail(error, HM_ECORRUPT,
                       "the store %s is cut, or was not closed: data.mdb has %" PRIu64
                       " bytes of %" PRIu64 "; opening it once for writing tells which",
                       path, extent.bytes, extent.needed);
    /* Zeros where there was nothing: LMDB then finds a bad page instead of the end of the file. */
    if (ftruncate(extent.fd, (off_t)extent.needed))
        return hm_fail_errno(error, HM_EIO, "the store %s cannot be made longer", path);
    if (lost_pages_are_free(env, &extent))
        return 0;
    if (ftruncate(extent.fd, (off_t)extent.bytes)) /* so that the next open sees the damage too */
        return hm_fail_errno(error, HM_EIO, "the store %s cannot be put back as it was", path);
    return cut(&extent, path, error);
}

void store_lmdb_pad(MDB_env *env)
{
    struct extent extent;

    if (extent_of(env, &extent) == 0 && extent.bytes < extent.needed)
        (void)!ftruncate(extent.fd, (off_t)extent.needed);
}
