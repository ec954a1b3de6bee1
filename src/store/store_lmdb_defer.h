/* Commits that do not sync, made safe by checkpoints. Private to this room.
 *
 * LMDB never overwrites a page that a reader's snapshot reaches. So a reader is held open on the last checkpoint:
 * whatever is committed after it, and in whatever order the kernel writes that to the disk, the pages of the
 * checkpoint stay as they are; only the two meta pages change, and those the file `checkpoint` keeps. */
#ifndef HM_STORE_LMDB_DEFER_H
#define HM_STORE_LMDB_DEFER_H

#include <lmdb.h>
#include <stdatomic.h>

#include "base.h"
#include "store_lmdb_checkpoint.h"

struct store_lmdb_defer {
    MDB_env *env; /* NULL: this store syncs every commit */
    const char *path; /* borrowed */
    atomic_bool underway; /* a checkpoint has begun and is not finished */
    MDB_txn *held; /* on the last finished checkpoint */
};

/* A checkpoint on its way. */
struct store_lmdb_snapshot_held {
    MDB_txn *held;
    struct store_lmdb_state state;
    uint64_t bytes; /* of data.mdb, which pieces go through: 0: they have not begun */
    uint64_t at; /* the next piece begins here */
    unsigned rounds; /* finished ones */
    bool failed; /* a piece */
};

/* The first checkpoint, of what is committed and synced now; from then on commits do not sync. */
int store_lmdb_defer_start(struct store_lmdb_defer *defer, MDB_env *env, const char *path,
                           struct store_lmdb_slots *slots, struct hm_error *error);
/* See store_checkpoint_begin, store_checkpoint_piece and store_checkpoint_finish. HM_EBUSY when another is under way. */
int store_lmdb_defer_begin(struct store_lmdb_defer *defer, const uint8_t note[STORE_NOTE_BYTES],
                           struct store_lmdb_snapshot_held *out, struct hm_error *error);
int store_lmdb_defer_piece(struct store_lmdb_defer *defer,
                           struct store_lmdb_snapshot_held *snapshot, bool *more,
                           struct hm_error *error);
int store_lmdb_defer_finish(struct store_lmdb_defer *defer, struct store_lmdb_slots *slots,
                            struct store_lmdb_snapshot_held *snapshot, struct hm_error *error);
/* Before the environment is closed. clean: all commits succeeded; then the next opening finds them all. Best
 * effort: what fails leaves the store at its last checkpoint. */
void store_lmdb_defer_end(struct store_lmdb_defer *defer, struct store_lmdb_slots *slots,
                          bool clean);

#endif
