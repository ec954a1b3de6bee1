#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_lmdb_defer.h"
#include "store_lmdb_error.h"
#include "store_lmdb_lock.h"

#define PIECE_MIN_BYTES ((uint64_t)256 << 10)
#define PIECES_MAX      4096u /* a round; those of a larger file are larger */
/* What is committed during the first round lies dirty behind it. */
#define ROUNDS 2u

static int fd_of(MDB_env *env)
{
    int fd = -1;

    return mdb_env_get_fd(env, &fd) ? -1 : fd;
}

int store_lmdb_defer_begin(struct store_lmdb_defer *defer, const uint8_t note[STORE_NOTE_BYTES],
                           struct store_lmdb_snapshot_held *out, struct hm_error *error)
{
    struct store_lmdb_snapshot_held snapshot = {0};
    MDB_stat stat;
    int rc;

    if (atomic_exchange(&defer->underway, true))
        return hm_fail(error, HM_EBUSY, "the store %s: a checkpoint is under way", defer->path);
    memcpy(snapshot.state.note, note, STORE_NOTE_BYTES);
    rc = mdb_txn_begin(defer->env, NULL, MDB_RDONLY, &snapshot.held);
    if (!rc)
        rc = mdb_env_stat(defer->env, &stat);
    if (rc) {
        rc = store_lmdb_fail(error, rc, "begin a checkpoint", defer->path);
    } else {
        snapshot.state.txn = mdb_txn_id(snapshot.held);
        snapshot.state.page_bytes = stat.ms_psize;
        rc = store_lmdb_state_read(fd_of(defer->env), defer->path, &snapshot.state, error);
    }
    if (rc) {
        mdb_txn_abort(snapshot.held);
        atomic_store(&defer->underway, false);
        return rc;
    }
    *out = snapshot;
    return 0;
}

/* sync_file_range with only this flag has the kernel write what is dirty there and waits for nothing. It makes nothing
 * durable, and where it is not supported nothing is lost: the sync at the end does all that is left. */
int store_lmdb_defer_piece(struct store_lmdb_defer *defer,
                           struct store_lmdb_snapshot_held *snapshot, bool *more,
                           struct hm_error *error)
{
    int fd = fd_of(defer->env);
    struct stat info;
    uint64_t piece;

    if (snapshot->at >= snapshot->bytes) {
        if (fstat(fd, &info))
            return store_lmdb_fail(error, errno, "write a checkpoint to disk", defer->path);
        snapshot->bytes = (uint64_t)info.st_size;
        snapshot->at = 0;
    }
    piece = snapshot->bytes / PIECES_MAX;
    piece = piece < PIECE_MIN_BYTES ? PIECE_MIN_BYTES : piece;
    if (sync_file_range(fd, (off_t)snapshot->at, (off_t)piece, SYNC_FILE_RANGE_WRITE) &&
        (errno == EIO || errno == ENOSPC || errno == EDQUOT)) {
        snapshot->failed = true;
        return store_lmdb_fail(error, errno, "write a checkpoint to disk", defer->path);
    }
    snapshot->at += piece;
    snapshot->rounds += snapshot->at >= snapshot->bytes;
    *more = snapshot->rounds < ROUNDS;
    return 0;
}

/* The pages first, then what leads to them. The snapshot before is let go only when this one is on the disk. */
int store_lmdb_defer_finish(struct store_lmdb_defer *defer, struct store_lmdb_slots *slots,
                            struct store_lmdb_snapshot_held *snapshot, struct hm_error *error)
{
    int rc = snapshot->failed
                 ? store_lmdb_fail(error, EIO, "write a checkpoint to disk", defer->path)
                 : 0;

    if (!rc && fdatasync(fd_of(defer->env)))
        rc = store_lmdb_fail(error, errno, "write a checkpoint to disk", defer->path);
    if (!rc)
        rc = store_lmdb_slots_write(defer->path, slots, &snapshot->state, false, error);
    if (!rc) {
        mdb_txn_abort(defer->held);
        defer->held = snapshot->held;
    } else {
        mdb_txn_abort(snapshot->held);
    }
    atomic_store(&defer->underway, false);
    return rc;
}

int store_lmdb_defer_start(struct store_lmdb_defer *defer, MDB_env *env, const char *path,
                           struct store_lmdb_slots *slots, struct hm_error *error)
{
    struct store_lmdb_snapshot_held snapshot;
    int rc = store_lmdb_slots_create(path, slots, error);

    if (!rc)
        rc = store_lmdb_sync_folder(path, error);
    if (rc)
        return rc;
    *defer = (struct store_lmdb_defer){.env = env, .path = path};
    rc = store_lmdb_defer_begin(defer, slots->state.note, &snapshot, error);
    if (!rc)
        rc = store_lmdb_defer_finish(defer, slots, &snapshot, error);
    if (!rc && mdb_env_set_flags(env, MDB_NOSYNC, 1))
        rc = hm_fail(error, HM_EINTERNAL, "the store %s cannot defer its commits", path);
    if (rc) {
        mdb_txn_abort(defer->held);
        defer->env = NULL;
    }
    return rc;
}

static void close_clean(struct store_lmdb_defer *defer, struct store_lmdb_slots *slots)
{
    struct store_lmdb_snapshot_held snapshot;

    if (store_lmdb_defer_begin(defer, slots->state.note, &snapshot, NULL))
        return;
    if (fdatasync(fd_of(defer->env)) == 0)
        (void)!store_lmdb_slots_write(defer->path, slots, &snapshot.state, true, NULL);
    mdb_txn_abort(snapshot.held);
    atomic_store(&defer->underway, false);
}

void store_lmdb_defer_end(struct store_lmdb_defer *defer, struct store_lmdb_slots *slots,
                          bool clean)
{
    if (!defer->env)
        return;
    if (clean)
        close_clean(defer, slots);
    mdb_txn_abort(defer->held);
    defer->env = NULL;
}
