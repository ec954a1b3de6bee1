/* What a backend gives the store. Private to this room.
 *
 * store.c checks every argument (table number, lengths, read or write) before it calls a backend,
 * keeps the count of readers and the place of a cursor, so a backend only moves bytes. A backend's
 * own structures begin with the ones below. */
#ifndef HM_STORE_BACKEND_H
#define HM_STORE_BACKEND_H

#include <stdatomic.h>

#include "store.h"

enum store_move {
    STORE_MOVE_AT_LEAST,
    STORE_MOVE_FIRST,
    STORE_MOVE_LAST,
    STORE_MOVE_NEXT,
    STORE_MOVE_PREV
};

struct store_backend {
    void (*close)(struct store *store);
    /* txn->store and txn->write are set by store.c after it returns 0. */
    int (*begin)(struct store *store, bool write, struct store_txn **out, struct hm_error *error);
    int (*commit)(struct store_txn *txn, struct hm_error *error); /* writes only; frees txn */
    void (*abort)(struct store_txn *txn); /* both kinds; frees txn */
    int (*get)(struct store_txn *txn, unsigned table, struct hm_slice key, struct hm_slice *value);
    int (*put)(struct store_txn *txn, unsigned table, struct hm_slice key, struct hm_slice value,
               bool append, struct hm_error *error);
    int (*remove)(struct store_txn *txn, unsigned table, struct hm_slice key,
                  struct hm_error *error);
    int (*cursor_open)(struct store_txn *txn, unsigned table, struct store_cursor **out,
                       struct hm_error *error);
    void (*cursor_close)(struct store_cursor *cursor);
    uint64_t (*count)(struct store_txn *txn, unsigned table); /* entries; 0 where it cannot tell */
    /* NEXT and PREV are only asked for while the cursor stands on a key. */
    int (*cursor_move)(struct store_cursor *cursor, enum store_move move, struct hm_slice key,
                       struct hm_slice *found, struct hm_slice *value);
    int (*stats)(struct store *store, struct store_stats *out, struct hm_error *error);
    int (*snapshot)(struct store *store,
                    int (*write)(void *ctx, struct hm_slice bytes, struct hm_error *error),
                    void *ctx, struct hm_error *error); /* NULL: not supported */
    /* NULL, all four: every commit is as durable as it will ever be. finish frees the checkpoint. */
    int (*checkpoint_begin)(struct store *store, const uint8_t note[STORE_NOTE_BYTES],
                            struct store_checkpoint **out, struct hm_error *error);
    int (*checkpoint_piece)(struct store_checkpoint *checkpoint, bool *more,
                            struct hm_error *error);
    int (*checkpoint_finish)(struct store_checkpoint *checkpoint, struct hm_error *error);
    const uint8_t *(*checkpoint_note)(struct store *store);
    /* NULL where nothing lies over it. No more writes, and its close is not one in order. */
    void (*give_up)(struct store *store);
};

struct store {
    const struct store_backend *backend;
    size_t table_count;
    bool read_only;
    atomic_uint readers; /* open read transactions */
};

struct store_txn {
    struct store *store;
    bool write;
    bool tree_written; /* it has changed a state tree */
};

struct store_checkpoint {
    struct store *store;
};

/* Where a cursor stands; the same in every backend. */
enum store_cursor_place { STORE_CURSOR_BEFORE, STORE_CURSOR_AT, STORE_CURSOR_AFTER };

struct store_cursor {
    struct store_txn *txn;
    unsigned table;
    enum store_cursor_place place;
};

/* Table names and counts; HM_EINVAL or HM_ELIMIT. */
int store_options_check(const struct store_options *options, struct hm_error *error);

#endif
