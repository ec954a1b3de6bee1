#include "api_pool.h"

#include <pthread.h>
#include <time.h>

struct api_pool {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t filled; /* work has come, or the end */
    pthread_cond_t left; /* a thread has ended */
    struct api_work *first, **last;
    unsigned queued, threads, idle;
    unsigned threads_max, queue_max, idle_s;
    bool closing;
};

/* Under the lock. */
static struct api_work *take(struct api_pool *pool)
{
    struct api_work *work = pool->first;

    if (!work)
        return NULL;
    pool->first = work->next;
    if (!pool->first)
        pool->last = &pool->first;
    pool->queued--;
    return work;
}

/* Under the lock. False: none came for a while, or none will. */
static bool wait_for_work(struct api_pool *pool)
{
    struct timespec until;
    int rc = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)pool->idle_s;
    pool->idle++;
    while (rc == 0 && !pool->first && !pool->closing)
        rc = pthread_cond_timedwait(&pool->filled, &pool->lock, &until);
    pool->idle--;
    return pool->first != NULL;
}

static void *work_on(void *ctx)
{
    struct api_pool *pool = ctx;

    (void)pthread_mutex_lock(&pool->lock);
    while (pool->first || wait_for_work(pool)) {
        struct api_work *work = take(pool);

        (void)pthread_mutex_unlock(&pool->lock);
        work->run(work);
        (void)pthread_mutex_lock(&pool->lock);
    }
    pool->threads--;
    (void)pthread_cond_signal(&pool->left);
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Under the lock. */
static int add_thread(struct api_pool *pool)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int rc = pthread_attr_init(&attributes);

    if (rc)
        return HM_EBUSY;
    (void)pthread_attr_setstacksize(&attributes, API_POOL_STACK_BYTES);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&thread, &attributes, work_on, pool);
    (void)pthread_attr_destroy(&attributes);
    if (rc)
        return HM_EBUSY;
    pool->threads++;
    return 0;
}

int api_pool_put(struct api_pool *pool, struct api_work *work)
{
    int rc = 0;

    work->next = NULL;
    (void)pthread_mutex_lock(&pool->lock);
    if (pool->queued >= pool->queue_max)
        rc = HM_EBUSY;
    else if (pool->idle <= pool->queued && pool->threads < pool->threads_max)
        rc = add_thread(pool);
    if (pool->threads > 0 && pool->queued < pool->queue_max) {
        rc = 0; /* one of those that are there will come to it */
        *pool->last = work;
        pool->last = &work->next;
        pool->queued++;
        (void)pthread_cond_signal(&pool->filled);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return rc;
}

unsigned api_pool_threads(struct api_pool *pool)
{
    unsigned threads;

    (void)pthread_mutex_lock(&pool->lock);
    threads = pool->threads;
    (void)pthread_mutex_unlock(&pool->lock);
    return threads;
}

int api_pool_open(unsigned threads_max, unsigned queue_max, unsigned idle_s, struct api_pool **out,
                  struct hm_error *error)
{
    struct api_pool *pool = hm_calloc(1, sizeof(*pool));
    pthread_condattr_t attributes;

    if (!pool)
        return hm_fail(error, HM_ENOMEM, "out of memory");
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&pool->filled, &attributes);
    (void)pthread_cond_init(&pool->left, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    pool->last = &pool->first;
    pool->threads_max = threads_max ? threads_max : API_POOL_THREADS_MAX;
    pool->queue_max = queue_max ? queue_max : API_POOL_QUEUE_MAX;
    pool->idle_s = idle_s ? idle_s : API_POOL_IDLE_S;
    *out = pool;
    return 0;
}

void api_pool_close(struct api_pool *pool)
{
    if (!pool)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    (void)pthread_cond_broadcast(&pool->filled);
    while (pool->threads > 0)
        (void)pthread_cond_wait(&pool->left, &pool->lock);
    (void)pthread_mutex_unlock(&pool->lock);
    (void)pthread_cond_destroy(&pool->left);
    (void)pthread_cond_destroy(&pool->filled);
    (void)pthread_mutex_destroy(&pool->lock);
    hm_free(pool);
}
