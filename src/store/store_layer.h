/* What was committed lately, kept in memory over a deferred store. Private to this room.
 *
 * A commit into LMDB copies every page on the way to every key, however few keys it changes: some thirty pages for a
 * block with one transaction, and while a checkpoint is held none of them is used again before the next. So commits
 * go into maps in memory (store_layer_map.h), over which readers look into the store below; a checkpoint writes what
 * has come together into it, in order, a piece at a time. A crash goes back to a checkpoint anyway: nothing that
 * counts is in memory only.
 *
 *   fresh    committed since the last checkpoint began
 *   frozen   before that, on its way into the store below
 *   below    everything older
 *
 * The same key in an upper layer hides it in those under it; a deleted one leaves a mark there. Pieces of frozen may be
 * in the store below already: it then says the same there as frozen does. */
#ifndef HM_STORE_LAYER_H
#define HM_STORE_LAYER_H

#include <pthread.h>

#include "store_backend.h"
#include "store_layer_map.h"

/* Takes the store below, which is deferred and which nobody else uses from now on, also when it fails. */
int store_layer_open(struct store *below, struct store **out, struct hm_error *error);

/* --- shared by the layer's files --- */

/* How far frozen has been written. */
struct store_layer_flush {
    bool pending;
    struct layer_checkpoint *owner; /* who waits for it; NULL: it serves a copy */
    unsigned table;
    size_t key_len; /* of the last key of the table that is written; 0: none */
    uint8_t key[STORE_KEY_MAX_BYTES];
};

/* Memory of what was committed between two freezes: it goes when nobody looks at any of it. */
struct layer_generation {
    atomic_uint refs;
    struct hm_arena arena; /* the writer's */
};

struct layer_view {
    struct layer_generation *generation; /* NULL: the maps are empty */
    struct layer_map maps[STORE_TABLES_MAX];
};

struct store_layer {
    struct store base;
    struct store *below;
    pthread_mutex_t writing; /* held for the length of a write transaction */
    uint64_t stamp; /* of the last write transaction; under writing */
    pthread_mutex_t publish; /* guards fresh, frozen, freezes; held for moments; after flushing */
    struct layer_view fresh;
    struct layer_view frozen;
    uint64_t freezes; /* how often fresh became frozen */
    pthread_mutex_t
        flushing; /* guards flush and all writing below, held for a piece; after writing */
    struct store_layer_flush flush;
    atomic_bool underway; /* a checkpoint has begun and is not finished */
    atomic_bool failing; /* somebody says why */
    struct hm_error cause; /* when failed; not written after */
    atomic_bool failed; /* what is below is not whole: no more writes */
};

struct store_layer_txn {
    struct store_txn base;
    struct store_txn *below; /* a snapshot, in write transactions too */
    struct layer_view fresh;
    struct layer_view frozen;
    /* Of a write transaction: */
    uint64_t changes; /* of fresh */
    struct layer_writer writer;
    struct layer_map begun[STORE_TABLES_MAX]; /* fresh as it found it, */
    uint64_t freezes; /* and how often it had become frozen */
};

struct layer_checkpoint {
    struct store_checkpoint base;
    uint8_t note[STORE_NOTE_BYTES];
    _Atomic(struct store_checkpoint *) below; /* once frozen is written, by whom ever */
};

void store_layer_view_drop(struct layer_view *view);

enum store_layer_answer { STORE_LAYER_THERE, STORE_LAYER_DELETED, STORE_LAYER_UNKNOWN };

/* What the maps say of a key. */
enum store_layer_answer store_layer_find(const struct store_layer_txn *txn, unsigned table,
                                         struct hm_slice key, struct hm_slice *value);

/* store_layer_cursor.c: the cursor calls of a backend. */
int store_layer_cursor_open(struct store_txn *txn, unsigned table, struct store_cursor **out,
                            struct hm_error *error);
void store_layer_cursor_close(struct store_cursor *cursor);
int store_layer_cursor_move(struct store_cursor *cursor, enum store_move move, struct hm_slice key,
                            struct hm_slice *found, struct hm_slice *value);

/* No more writes from now on. The first cause stays, for whoever is refused after it; NULL: not known. Thread-safe. */
void store_layer_fail(struct store_layer *layer, const struct hm_error *cause);

/* store_layer_flush.c. What is fresh becomes frozen, once what was frozen before is written. */
int store_layer_freeze(struct store_layer *layer, struct layer_checkpoint *owner,
                       struct hm_error *error);
/* Writes a piece of what is frozen, and at its end lets it go. *more: something is left. HM_ENOMEM: it may be tried
 * again; after any other failure the layer takes no more writes. */
int store_layer_flush_piece(struct store_layer *layer, bool *more, struct hm_error *error);
int store_layer_flush_all(struct store_layer *layer, struct hm_error *error);
/* The same, and nothing is written below until it is released: what is there is one moment's. */
int store_layer_flush_hold(struct store_layer *layer, struct hm_error *error);
void store_layer_flush_release(struct store_layer *layer);
/* The owner is gone. */
void store_layer_flush_disown(struct store_layer *layer, const struct layer_checkpoint *owner);

#endif
