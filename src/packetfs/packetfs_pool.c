#include "packetfs_pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

struct queue {
    struct packetfs_job *first, *last;
};

struct worker {
    struct packetfs_pool *pool;
    pthread_t thread;
    unsigned index;
};

struct packetfs_pool {
    pthread_mutex_t lock;
    pthread_cond_t work; /* a job came, or the end */
    pthread_cond_t finished; /* a job is over */
    struct queue urgent, normal;
    size_t queued, running;
    unsigned waiting; /* threads in wait or drain */
    atomic_int spare; /* threads without work less jobs queued */
    bool ending;
    unsigned threads; /* with the one that made the pool */
    struct worker workers[];
};

static struct packetfs_job *queue_take(struct queue *queue)
{
    struct packetfs_job *job = queue->first;

    if (job != NULL) {
        queue->first = job->next;
        if (queue->first == NULL)
            queue->last = NULL;
    }
    return job;
}

static void queue_add(struct queue *queue, struct packetfs_job *job)
{
    job->next = NULL;
    if (queue->last != NULL)
        queue->last->next = job;
    else
        queue->first = job;
    queue->last = job;
}

/* With the lock held; gives it up while the job runs. */
static bool run_one(struct packetfs_pool *pool, unsigned worker, bool urgent_only)
{
    struct packetfs_job *job = queue_take(&pool->urgent);

    if (job == NULL && !urgent_only)
        job = queue_take(&pool->normal);
    if (job == NULL)
        return false;
    pool->queued--;
    pool->running++;
    atomic_fetch_add_explicit(&pool->spare, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&pool->lock);
    job->run(job, worker);
    (void)pthread_mutex_lock(&pool->lock);
    pool->running--;
    if (pool->waiting > 0)
        (void)pthread_cond_broadcast(&pool->finished);
    return true;
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct packetfs_pool *pool = worker->pool;

    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        if (run_one(pool, worker->index, false))
            continue;
        if (pool->ending)
            break;
        atomic_fetch_add_explicit(&pool->spare, 1, memory_order_relaxed);
        (void)pthread_cond_wait(&pool->work, &pool->lock);
        atomic_fetch_sub_explicit(&pool->spare, 1, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static unsigned processors(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned)CPU_COUNT(&set);
    return 1;
}

/* Signals are the caller's threads' business. */
static int start(struct worker *worker)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&worker->thread, NULL, worker_main, worker);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

int packetfs_pool_new(unsigned threads, struct packetfs_pool **out, struct hm_error *error)
{
    if (threads == 0)
        threads = processors();
    if (threads > PACKETFS_THREADS_MAX)
        threads = PACKETFS_THREADS_MAX;
    struct packetfs_pool *pool = hm_calloc(1, sizeof(*pool) + threads * sizeof(struct worker));
    if (pool == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for %u threads", threads);
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
    (void)pthread_cond_init(&pool->finished, NULL);
    pool->threads = 1;
    for (unsigned i = 1; i < threads; i++) {
        struct worker *worker = &pool->workers[i];
        worker->pool = pool;
        worker->index = i;
        if (start(worker) != 0)
            break;
        pool->threads++;
    }
    *out = pool;
    return 0;
}

void packetfs_pool_free(struct packetfs_pool *pool)
{
    if (pool == NULL)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    (void)pthread_cond_broadcast(&pool->work);
    (void)pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 1; i < pool->threads; i++)
        (void)pthread_join(pool->workers[i].thread, NULL);
    (void)pthread_cond_destroy(&pool->finished);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_mutex_destroy(&pool->lock);
    hm_free(pool);
}

unsigned packetfs_pool_threads(const struct packetfs_pool *pool)
{
    return pool->threads;
}

static void add(struct packetfs_pool *pool, struct queue *queue, struct packetfs_job *job)
{
    (void)pthread_mutex_lock(&pool->lock);
    queue_add(queue, job);
    pool->queued++;
    atomic_fetch_sub_explicit(&pool->spare, 1, memory_order_relaxed);
    (void)pthread_cond_signal(&pool->work);
    /* Who waits helps with urgent jobs, which may be what he waits for. */
    if (pool->waiting > 0)
        (void)pthread_cond_broadcast(&pool->finished);
    (void)pthread_mutex_unlock(&pool->lock);
}

void packetfs_pool_add(struct packetfs_pool *pool, struct packetfs_job *job)
{
    if (pool->threads == 1)
        job->run(job, 0);
    else
        add(pool, &pool->normal, job);
}

void packetfs_pool_add_urgent(struct packetfs_pool *pool, struct packetfs_job *job)
{
    if (pool->threads == 1)
        job->run(job, 0);
    else
        add(pool, &pool->urgent, job);
}

bool packetfs_pool_idle(struct packetfs_pool *pool)
{
    return atomic_load_explicit(&pool->spare, memory_order_relaxed) > 0;
}

void packetfs_pool_wait(struct packetfs_pool *pool, bool within_job, const _Atomic bool *done)
{
    if (atomic_load_explicit(done, memory_order_acquire))
        return;
    (void)pthread_mutex_lock(&pool->lock);
    pool->waiting++;
    while (!atomic_load_explicit(done, memory_order_acquire))
        /* Urgent jobs use no memory of a thread's own, so that any index does. */
        if (!run_one(pool, 0, within_job))
            (void)pthread_cond_wait(&pool->finished, &pool->lock);
    pool->waiting--;
    (void)pthread_mutex_unlock(&pool->lock);
}

void packetfs_pool_drain(struct packetfs_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    pool->waiting++;
    while (pool->queued > 0 || pool->running > 0)
        if (!run_one(pool, 0, false))
            (void)pthread_cond_wait(&pool->finished, &pool->lock);
    pool->waiting--;
    (void)pthread_mutex_unlock(&pool->lock);
}
