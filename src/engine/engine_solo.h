/* The solo engine's insides, shared between its queue (engine_solo_queue.c) and its writer (engine_solo.c). */
#ifndef HM_ENGINE_SOLO_H
#define HM_ENGINE_SOLO_H

#include <pthread.h>

#include "engine_keeper.h"
#include "engine_private.h"
#include "trace.h"

struct engine_item {
    struct engine_item *next;
    uint8_t digest[CRYPTO_HASH_BYTES];
    engine_done done;
    void *ctx;
    size_t len;
    uint8_t tx[];
};

struct engine_solo {
    struct engine head; /* first */
    struct engine_options options;
    pthread_t writer;
    struct engine_keeper *keeper; /* NULL: no block log */

    /* The writer's alone: room for batch_limit transactions, allocated once. */
    struct engine_item **items;
    struct hm_slice *txs;

    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t wake;
    struct engine_item *first, *last; /* only the writer takes items off */
    size_t queued;
    size_t queued_bytes;
    bool stopping;
    bool broken; /* a checkpoint failed: the writer is to find out */
    uint64_t next_due_ms;
    struct engine_hand hand;
    struct engine_status status;
};

/* The writer thread's function; returns when engine->stopping or when it can't go on, and hands back what
 * still waits. */
void *engine_solo_main(void *engine);

/* engine_hand_time of this engine. Under the lock. */
int engine_solo_time(const struct engine_solo *engine, uint64_t *now_ms, struct hm_error *error);

/* Answers an item that will not be in a block, and frees it. */
void engine_item_refuse(struct engine_item *item, const struct hm_error *error);

#endif
