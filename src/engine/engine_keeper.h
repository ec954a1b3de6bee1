/* The block log and the checkpoints that keep it short. Private to this room.
 *
 * A block is durable when it is in the log; the ledger's store may lag behind on the disk. The keeper's thread has the
 * store write a checkpoint every so often, after which the log's blocks before it are dropped. Nothing runs while
 * there are no blocks.
 *
 * A checkpoint is written in pieces, and between them the thread rests: a sync of everything at once would keep a
 * processor and the disk from the writer for tens of milliseconds. When the log fills up it hurries.
 *
 * The store keeps the log's mark from the first checkpoint on until a clean stop: without that log it is not opened. */
#ifndef HM_ENGINE_KEEPER_H
#define HM_ENGINE_KEEPER_H

#include <pthread.h>

#include "engine.h"
#include "engine_log.h"
#include "store.h"

struct engine_keeper_options {
    const char *log_path;
    struct ledger *ledger;
    struct store *store; /* the ledger's */
    uint64_t checkpoint_ms;
    size_t checkpoint_bytes;
    /* On the keeper's thread, when a checkpoint failed: from now on engine_keeper_enter fails. */
    void (*on_failure)(void *ctx, const struct hm_error *error);
    void *ctx;
};

/* With the defaults of engine_options, which must have a log_path. HM_EINVAL: no store. */
int engine_keeper_options_of(const struct engine_options *options,
                             void (*on_failure)(void *ctx, const struct hm_error *error), void *ctx,
                             struct engine_keeper_options *out, struct hm_error *error);

struct engine_keeper {
    struct engine_keeper_options options;
    struct engine_log *log; /* the writer's while it is in a block, else under the lock */
    pthread_t thread;
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t changed;
    bool stopping;
    bool in_block;
    bool appended; /* the block under way may be in the log */
    bool
        unsure; /* a block may be in the log and not in the store: the log is needed at the next start */
    bool hurry; /* the log fills up, or all ends: no rests */
    bool dirty; /* blocks were committed since the last checkpoint began */
    uint64_t dirty_ns; /* when the first of them was */
    bool wanted; /* the thread asks for a checkpoint to be begun between two blocks */
    struct store_checkpoint
        *begun; /* for the thread to finish; the log's other file is in use until then */
    struct hm_error failure; /* code 0: none */
};

/* Applies what the log holds beyond the ledger, has the store write that, and starts the thread; recover: without a
 * thread. HM_ECORRUPT: log and ledger do not fit together. */
int engine_keeper_open(const struct engine_keeper_options *options, struct engine_keeper **out,
                       struct hm_error *error);
int engine_keeper_recover(const struct engine_keeper_options *options, struct hm_error *error);
void engine_keeper_close(struct engine_keeper *keeper); /* NULL is fine */

/* The writer's three steps of a block. enter: nothing is under way yet; fails when a checkpoint failed. append: the
 * block is durable when it returns 0; waits for a checkpoint when the log is full; after a failure the block may be
 * there or not, and the engine must stop. leave: after enter returned 0, always; kept: the block is committed. */
int engine_keeper_enter(struct engine_keeper *keeper, struct hm_error *error);
int engine_keeper_append(struct engine_keeper *keeper, const struct engine_log_block *block,
                         struct hm_error *error);
void engine_keeper_leave(struct engine_keeper *keeper, bool kept);

/* Applies the blocks of the log that come after the ledger's last one; counts them. */
int engine_recover(struct engine_log *log, struct ledger *ledger, uint64_t *blocks,
                   struct hm_error *error);

#endif
