/* Threads that share jobs. Whoever waits helps, so that a pool of one thread runs everything in its caller, without hand-over.
 *
 * Two queues: urgent jobs (parts of something that a running job waits for; they never wait themselves) before others. */
#ifndef HM_PACKETFS_POOL_H
#define HM_PACKETFS_POOL_H

#include "packetfs_object.h"

#define PACKETFS_THREADS_MAX 256

struct packetfs_pool;

/* Embedded in what the job is about; the pool borrows it until run returns. worker: 0 for the thread that made the
 * pool, else 1 .. threads - 1: for memory kept per thread. */
struct packetfs_job {
    void (*run)(struct packetfs_job *job, unsigned worker);
    struct packetfs_job *next;
};

/* threads 0: as many as processors. threads - 1 are started; fewer when the system gives no more (no error). */
int packetfs_pool_new(unsigned threads, struct packetfs_pool **out, struct hm_error *error);
void packetfs_pool_free(struct packetfs_pool *pool); /* after all jobs have run; NULL is fine */
unsigned packetfs_pool_threads(const struct packetfs_pool *pool);
/* With one thread a job that is not urgent runs at once. */
void packetfs_pool_add(struct packetfs_pool *pool, struct packetfs_job *job);
void packetfs_pool_add_urgent(struct packetfs_pool *pool, struct packetfs_job *job);
/* Is a thread without work? A guess, cheap. */
bool packetfs_pool_idle(struct packetfs_pool *pool);
/* Returns once *done is true, which a job sets (with release) before it returns. From within a job only urgent jobs are
 * helped with. */
void packetfs_pool_wait(struct packetfs_pool *pool, bool within_job, const _Atomic bool *done);
/* Helps until no job is waiting or running. Of the thread that made the pool. */
void packetfs_pool_drain(struct packetfs_pool *pool);

#endif
