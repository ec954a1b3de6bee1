/* Acts for a worker: a bounded list under a lock, and an eventfd that wakes it. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "stoq_host.h"

#define CAPACITY_FIRST 16

int stoq_posts_init(struct stoq_posts *posts, struct stoq_error *error)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return stoq_fail_errno(error, STOQ_EIO, "cannot make an event descriptor");
    *posts = (struct stoq_posts){.wake_fd = fd};
    (void)pthread_mutex_init(&posts->lock, NULL);
    return 0;
}

void stoq_posts_release(struct stoq_posts *posts)
{
    hm_free(posts->list);
    (void)close(posts->wake_fd);
    (void)pthread_mutex_destroy(&posts->lock);
}

/* Under the lock: otherwise the worker could end and be released before its eventfd is written to. A worker that is
 * awake looks by itself before it sleeps, which saves two system calls an act. */
static void wake(struct stoq_posts *posts)
{
    uint64_t one = 1;

    if (!posts->asleep)
        return;
    posts->asleep = false;
    posts->woken = true;
    while (write(posts->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

/* Under the lock. */
static int add(struct stoq_posts *posts, const struct stoq_post *post)
{
    if (posts->closed)
        return STOQ_ECLOSED;
    if (posts->count == STOQ_POSTS_MAX)
        return STOQ_ELIMIT;
    if (posts->count == posts->capacity) {
        size_t capacity = posts->capacity == 0 ? CAPACITY_FIRST : posts->capacity * 2;
        struct stoq_post *list = hm_realloc(posts->list, capacity * sizeof(*list));

        if (list == NULL)
            return STOQ_ENOMEM;
        posts->list = list;
        posts->capacity = capacity;
    }
    posts->list[posts->count++] = *post;
    return 0;
}

int stoq_posts_add(struct stoq_posts *posts, const struct stoq_post *post)
{
    (void)pthread_mutex_lock(&posts->lock);
    int code = add(posts, post);
    if (code == 0)
        wake(posts);
    (void)pthread_mutex_unlock(&posts->lock);
    return code;
}

void stoq_posts_close(struct stoq_posts *posts, uint64_t drain_ns)
{
    (void)pthread_mutex_lock(&posts->lock);
    posts->closed = true;
    posts->drain_ns = drain_ns;
    wake(posts);
    (void)pthread_mutex_unlock(&posts->lock);
}

bool stoq_posts_take(struct stoq_posts *posts, struct stoq_post **list, size_t *count, bool *closed,
                     uint64_t *drain_ns)
{
    uint64_t ticks;

    (void)pthread_mutex_lock(&posts->lock);
    *closed = posts->closed;
    *drain_ns = posts->drain_ns;
    *list = posts->list;
    *count = posts->count;
    if (posts->count > 0) {
        posts->list = NULL;
        posts->count = posts->capacity = 0;
    }
    bool some = *count > 0;
    posts->closed_seen = posts->closed;
    posts->asleep = false;
    if (posts->woken)
        (void)!read(posts->wake_fd, &ticks, sizeof(ticks));
    posts->woken = false;
    (void)pthread_mutex_unlock(&posts->lock);
    return some;
}

bool stoq_posts_rest(struct stoq_posts *posts)
{
    (void)pthread_mutex_lock(&posts->lock);
    bool rest = posts->count == 0 && posts->closed == posts->closed_seen;
    posts->asleep = rest;
    (void)pthread_mutex_unlock(&posts->lock);
    return rest;
}
