/* News of jobs for many readers: one blocking wait at the node for each job that is followed,
 * however many follow it. */
#ifndef HM_API_FOLLOW_H
#define HM_API_FOLLOW_H

#include <pthread.h>
#include <stdatomic.h>

#include "api.h"

#define API_FOLLOWED_JOBS_MAX   256 /* at once, each with a thread; readers of more jobs poll */
#define API_FOLLOW_ID_MAX_CHARS 64
#define API_FOLLOW_SLICE_MS     250 /* how soon its thread sees that nobody follows any more */
#define API_FOLLOW_STACK_BYTES  ((size_t)1 << 20)
#define API_FOLLOW_NAP_NS       5000000 /* least time between two looks at a job */

struct api_followed; /* a job and its thread */

/* One reader; its memory is the reader's. */
struct api_follower {
    struct api_follower *next;
    struct api_followed *job; /* NULL: follows nothing */
    void (*wake)(void *ctx); /* NULL: not told yet whom to wake */
    void *ctx;
};

struct api_follows {
    const struct api_backend *backend; /* borrowed */
    pthread_mutex_t lock;
    pthread_cond_t gone; /* a thread has ended */
    struct api_followed *jobs;
    unsigned count; /* threads */
    bool closing;
};

int api_follows_init(struct api_follows *follows, const struct api_backend *backend);
/* Waits for its threads; readers must have ended before. */
void api_follows_release(struct api_follows *follows);

/* From here on changes are told. HM_EBUSY: too many jobs are followed, or no thread. */
int api_follow_begin(struct api_follows *follows, const char *id, struct api_follower *follower,
                     struct hm_error *error);
/* Whom to tell; wakes once at once, since something may have happened before. */
void api_follow_attach(struct api_follows *follows, struct api_follower *follower,
                       void (*wake)(void *ctx), void *ctx);
/* After it has returned, wake is not called. A follower that follows nothing is fine. */
void api_follow_end(struct api_follows *follows, struct api_follower *follower);

#endif
