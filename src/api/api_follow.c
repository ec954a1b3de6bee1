#include "api_follow.h"

#include <sys/stat.h>
#include <time.h>

struct api_followed {
    struct api_followed *next;
    struct api_follows *follows;
    struct api_follower *followers; /* under the lock; none: the thread ends */
    char id[API_FOLLOW_ID_MAX_CHARS];
};

/* What a reader could see of a job. */
struct sight {
    Hypermesh__JobState state;
    uint64_t bytes;
    bool lost; /* the node does not know the job any more */
};

static struct sight look(const struct api_followed *job, struct hm_arena *arena)
{
    const struct api_backend *backend = job->follows->backend;
    struct sight sight = {.state = HYPERMESH__JOB_STATE__JOB_NONE};
    Hypermesh__JobRecord *record = NULL;
    struct api_log log = {0};
    struct stat info;

    hm_arena_clear(arena);
    if (backend->job(backend->ctx, job->id, arena, &record, NULL) != 0 ||
        backend->job_log(backend->ctx, job->id, arena, &log, NULL) != 0) {
        sight.lost = true;
        return sight;
    }
    sight.state = record->state;
    if (log.path && stat(log.path, &info) == 0)
        sight.bytes = (uint64_t)info.st_size;
    return sight;
}

static void wake_all(struct api_followed *job)
{
    (void)pthread_mutex_lock(&job->follows->lock);
    for (struct api_follower *at = job->followers; at; at = at->next) {
        if (at->wake)
            at->wake(at->ctx);
    }
    (void)pthread_mutex_unlock(&job->follows->lock);
}

static void wait_for_news(const struct api_followed *job, const struct sight *seen)
{
    const struct api_backend *backend = job->follows->backend;
    const struct timespec nap = {.tv_nsec = API_FOLLOW_NAP_NS};
    uint64_t started_ns = hm_mono_ns(hm_clock_system());

    (void)backend->job_wait(backend->ctx, job->id, seen->state, seen->bytes, API_FOLLOW_SLICE_MS,
                            NULL);
    /* A node that does not let wait (it stops, or counts other bytes) is not asked in a tight loop. */
    if (hm_mono_ns(hm_clock_system()) - started_ns < API_FOLLOW_NAP_NS)
        (void)nanosleep(&nap, NULL);
}

/* Takes the job out of the list when nobody follows it. */
static bool retire(struct api_followed *job)
{
    struct api_follows *follows = job->follows;
    bool over;

    (void)pthread_mutex_lock(&follows->lock);
    over = !job->followers || follows->closing;
    for (struct api_followed **at = &follows->jobs; over && *at; at = &(*at)->next) {
        if (*at == job) {
            *at = job->next;
            break;
        }
    }
    (void)pthread_mutex_unlock(&follows->lock);
    return over;
}

static void *follow_run(void *ctx)
{
    struct api_followed *job = ctx;
    struct api_follows *follows = job->follows;
    struct hm_arena arena = {0};
    struct sight seen;

    hm_arena_init(&arena, (size_t)16 << 20);
    seen = look(job, &arena);
    wake_all(job); /* who read before this look may have missed what it takes for seen */
    while (!retire(job)) {
        struct sight now;

        wait_for_news(job, &seen);
        now = look(job, &arena);
        if (now.state != seen.state || now.bytes != seen.bytes || now.lost)
            wake_all(job);
        seen = now;
    }
    hm_arena_release(&arena);
    hm_free(job);
    (void)pthread_mutex_lock(&follows->lock);
    follows->count--;
    (void)pthread_cond_broadcast(&follows->gone);
    (void)pthread_mutex_unlock(&follows->lock);
    return NULL;
}

int api_follows_init(struct api_follows *follows, const struct api_backend *backend)
{
    *follows = (struct api_follows){.backend = backend};
    if (pthread_mutex_init(&follows->lock, NULL) != 0)
        return HM_ENOMEM;
    if (pthread_cond_init(&follows->gone, NULL) != 0) {
        (void)pthread_mutex_destroy(&follows->lock);
        return HM_ENOMEM;
    }
    return 0;
}

void api_follows_release(struct api_follows *follows)
{
    (void)pthread_mutex_lock(&follows->lock);
    follows->closing = true;
    while (follows->count > 0)
        (void)pthread_cond_wait(&follows->gone, &follows->lock);
    (void)pthread_mutex_unlock(&follows->lock);
    (void)pthread_cond_destroy(&follows->gone);
    (void)pthread_mutex_destroy(&follows->lock);
}

static int start_thread(struct api_followed *job)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int rc = pthread_attr_init(&attributes);

    if (rc != 0)
        return rc;
    (void)pthread_attr_setstacksize(&attributes, API_FOLLOW_STACK_BYTES);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&thread, &attributes, follow_run, job);
    (void)pthread_attr_destroy(&attributes);
    return rc;
}

/* Under the lock. */
static struct api_followed *job_start(struct api_follows *follows, const char *id)
{
    struct api_followed *job;

    if (follows->count >= API_FOLLOWED_JOBS_MAX || follows->closing)
        return NULL;
    job = hm_calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    job->follows = follows;
    memcpy(job->id, id, strlen(id) + 1);
    if (start_thread(job) != 0) {
        hm_free(job);
        return NULL;
    }
    follows->count++;
    job->next = follows->jobs;
    follows->jobs = job;
    return job;
}

int api_follow_begin(struct api_follows *follows, const char *id, struct api_follower *follower,
                     struct hm_error *error)
{
    struct api_followed *job;

    if (strlen(id) >= API_FOLLOW_ID_MAX_CHARS)
        return hm_fail(error, HM_EINTERNAL, "the job's id is too long");
    (void)pthread_mutex_lock(&follows->lock);
    for (job = follows->jobs; job && strcmp(job->id, id) != 0; job = job->next)
        ;
    if (!job)
        job = job_start(follows, id);
    if (job) {
        follower->next = job->followers;
        follower->job = job;
        job->followers = follower;
    }
    (void)pthread_mutex_unlock(&follows->lock);
    return job ? 0 : hm_fail(error, HM_EBUSY, "too many jobs are followed; ask again later");
}

void api_follow_attach(struct api_follows *follows, struct api_follower *follower,
                       void (*wake)(void *ctx), void *ctx)
{
    (void)pthread_mutex_lock(&follows->lock);
    follower->wake = wake;
    follower->ctx = ctx;
    (void)pthread_mutex_unlock(&follows->lock);
    wake(ctx);
}

void api_follow_end(struct api_follows *follows, struct api_follower *follower)
{
    if (!follower->job)
        return;
    (void)pthread_mutex_lock(&follows->lock);
    for (struct api_follower **at = &follower->job->followers; *at; at = &(*at)->next) {
        if (*at == follower) {
            *at = follower->next;
            break;
        }
    }
    follower->job = NULL;
    (void)pthread_mutex_unlock(&follows->lock);
}
