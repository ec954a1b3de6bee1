/* What a deferred store can be put back to after a power cut: the file `checkpoint` beside data.mdb.
 * docs/formats-store.md describes it. Private to this room. */
#ifndef HM_STORE_LMDB_CHECKPOINT_H
#define HM_STORE_LMDB_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base.h"
#include "store.h"

#define CHECKPOINT_META_BYTES \
    256 /* kept of each of LMDB's two meta pages: more than all they say */

/* One state of the store: the two meta pages as they were when txn was the newest. */
struct store_lmdb_state {
    uint64_t txn;
    uint8_t note[STORE_NOTE_BYTES]; /* the caller's */
    uint32_t page_bytes;
    uint8_t metas[2][CHECKPOINT_META_BYTES];
};

struct store_lmdb_slots {
    int fd; /* of the file; -1: none */
    uint64_t sequence; /* of the newest slot; 0: no slot has been written */
    bool clean; /* the newest slot: closed or brought back since, nothing to do */
    struct store_lmdb_state state; /* the newest slot's */
};

/* Before LMDB opens the folder: reads the file, and if the store was not closed puts its metas back into data.mdb
 * and says so in the file; both durable. Without a file, or without data.mdb, nothing happens and slots->fd is -1.
 * read_only: an unclosed store is refused. HM_ECORRUPT, HM_EIO. */
int store_lmdb_slots_restore(const char *path, bool read_only, struct store_lmdb_slots *slots,
                             struct hm_error *error);
/* Makes the file if there is none. The caller syncs the folder. */
int store_lmdb_slots_create(const char *path, struct store_lmdb_slots *slots,
                            struct hm_error *error);
/* Durable when it returns 0; after a failure the slot before still counts. Outputs in slots. */
int store_lmdb_slots_write(const char *path, struct store_lmdb_slots *slots,
                           const struct store_lmdb_state *state, bool clean,
                           struct hm_error *error);
void store_lmdb_slots_release(struct store_lmdb_slots *slots);

/* Reads the two meta pages of an open data.mdb; nothing may be committed meanwhile. */
int store_lmdb_state_read(int data_fd, const char *path, struct store_lmdb_state *state,
                          struct hm_error *error);

#endif
