/* The solo engine's insides, shared between its queue (engine.c) and its writer (engine_solo.c). */
#ifndef HM_ENGINE_SOLO_H
#define HM_ENGINE_SOLO_H

#include <pthread.h>

#include "engine.h"
#include "engine_keeper.h"
#include "trace.h"

struct engine_item {
    struct engine_item *next;
    uint8_t digest[CRYPTO_HASH_BYTES];
    engine_done done;
    void *ctx;
    size_t len;
    uint8_t tx[];
};

/* Where both clocks stood at the last block of this run: the wall clock may not run away from the other. */
struct engine_hand {
    bool set; /* no: nothing to compare with yet */
    uint64_t wall_ms, mono_ns;
    uint64_t block_ms; /* time of the last block */
};

struct engine {
    struct engine_options options;
    pthread_t writer;
    struct engine_keeper *keeper; /* NULL: no block log */

    /* The writer's alone: room for batch_limit transactions, allocated once. */
    struct engine_item **items;
    struct hm_slice *txs;

    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t wake;
    struct engine_item *head, *tail; /* only the writer takes items off */
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

/* The time by which transactions are judged and blocks made: the wall clock's, never before the last block. Refused
 * (HM_EUNAVAILABLE) while the wall clock has gone ahead by more than ENGINE_CLOCK_AHEAD_MAX_MS of what has passed: a block
 * would fix that time for good. Under the lock. */
int engine_time(const struct engine *engine, uint64_t *now_ms, struct hm_error *error);

/* Answers an item that will not be in a block, and frees it. */
void engine_item_refuse(struct engine_item *item, const struct hm_error *error);

#endif
