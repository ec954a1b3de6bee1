/* Threads for requests that wait: for a block, a job, a disk. They come when there is work and leave when
 * there is none for a while. */
#ifndef HM_API_POOL_H
#define HM_API_POOL_H

#include "base.h"

#define API_POOL_THREADS_MAX 1024 /* each may hold one act until its block is durable */
#define API_POOL_QUEUE_MAX   4096 /* beyond those that are being worked on */
#define API_POOL_IDLE_S      10 /* a thread without work leaves after this */
#define API_POOL_STACK_BYTES ((size_t)1 << 20)

struct api_pool;
/* One piece of work; its memory is whoever's gave it, until run is called. */
struct api_work {
    struct api_work *next;
    void (*run)(struct api_work *work);
};

/* Limits of 0: those above. */
int api_pool_open(unsigned threads_max, unsigned queue_max, unsigned idle_s, struct api_pool **out,
                  struct hm_error *error);
/* Hands the work to a thread. HM_EBUSY: the queue is full, or no thread can be had. Thread-safe. */
int api_pool_put(struct api_pool *pool, struct api_work *work);
/* Runs what waits, ends the threads. Nothing may be put any more. NULL is fine. */
unsigned api_pool_threads(struct api_pool *pool); /* now */
void api_pool_close(struct api_pool *pool);

#endif
