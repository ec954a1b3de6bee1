#include "api_loop.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct api_arrival {
    struct api_arrival *next;
    int fd;
    socklen_t len;
    struct sockaddr_storage address;
};

/* --- from outside ------------------------------------------------------------------------------------------ */

static _Thread_local struct api_loop *loop_here; /* the thread's own */

/* Whoever wakes first pays for it; the thread itself looks before it sleeps. */
static void loop_wake(struct api_loop *loop)
{
    const uint64_t one = 1;

    if (!atomic_exchange(&loop->woken, true) && loop_here != loop)
        (void)!write(loop->wake_fd, &one, sizeof(one));
}

void api_loop_take(struct api_loop *loop, int fd, const struct sockaddr *address, socklen_t len)
{
    struct api_arrival *arrival = hm_malloc(sizeof(*arrival));

    if (!arrival || len > sizeof(arrival->address)) {
        hm_free(arrival);
        (void)close(fd);
        return;
    }
    arrival->fd = fd;
    arrival->len = len;
    memcpy(&arrival->address, address, len);
    atomic_fetch_add(&loop->connections, 1);
    (void)pthread_mutex_lock(&loop->lock);
    arrival->next = loop->arrivals;
    loop->arrivals = arrival;
    (void)pthread_mutex_unlock(&loop->lock);
    loop_wake(loop);
}

void api_loop_post(struct api_loop *loop, struct api_task *task)
{
    task->next = NULL;
    (void)pthread_mutex_lock(&loop->lock);
    *loop->last = task;
    loop->last = &task->next;
    (void)pthread_mutex_unlock(&loop->lock);
    loop_wake(loop);
}

void api_loop_resume(struct api_loop *loop, struct MHD_Connection *connection)
{
    MHD_resume_connection(connection);
    loop_wake(loop);
}

/* --- the thread -------------------------------------------------------------------------------------------- */

/* In any order: those of one moment. */
static void loop_arrive(struct api_loop *loop, struct api_arrival *arrivals)
{
    struct api_arrival *next;

    for (struct api_arrival *arrival = arrivals; arrival; arrival = next) {
        next = arrival->next;
        /* the library closes it, whatever becomes of it */
        if (MHD_add_connection(loop->daemon, arrival->fd,
                               (const struct sockaddr *)(const void *)&arrival->address,
                               arrival->len) != MHD_YES)
            atomic_fetch_sub(&loop->connections, 1);
        hm_free(arrival);
    }
}

/* What was left before this call. */
static void loop_unload(struct api_loop *loop)
{
    struct api_task *next;

    (void)pthread_mutex_lock(&loop->lock);
    struct api_task *tasks = loop->first;
    struct api_arrival *arrivals = loop->arrivals;
    loop->first = NULL;
    loop->last = &loop->first;
    loop->arrivals = NULL;
    (void)pthread_mutex_unlock(&loop->lock);
    loop_arrive(loop, arrivals);
    for (struct api_task *task = tasks; task; task = next) {
        next = task->next;
        task->run(task);
    }
}

/* Is there something to do that no descriptor tells of? Without timeouts of its own the library answers 0 or nothing. */
static bool loop_is_behind(struct api_loop *loop)
{
    unsigned long long wait_ms = 0;

    return MHD_get_timeout(loop->daemon, &wait_ms) == MHD_YES && wait_ms == 0;
}

static void *loop_run(void *ctx)
{
    struct api_loop *loop = ctx;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd pollers[2] = {{.fd = loop->wake_fd, .events = POLLIN},
                                {.fd = info ? info->epoll_fd : -1, .events = POLLIN}};

    (void)pthread_setname_np(pthread_self(), "hm-http");
    loop_here = loop;
    while (!atomic_load(&loop->ending)) {
        pollers[0].revents = 0;
        if (!loop_is_behind(loop) && !atomic_load(&loop->woken))
            (void)poll(pollers, HM_COUNT_OF(pollers), -1);
        if (pollers[0].revents != 0) {
            uint64_t count;

            (void)!read(loop->wake_fd, &count, sizeof(count));
        }
        if (atomic_exchange(&loop->woken, false))
            loop_unload(loop);
        (void)MHD_run(loop->daemon);
    }
    return NULL;
}

/* --- life ---------------------------------------------------------------------------------------------------- */

int api_loop_open(struct api_loop *loop, struct MHD_Daemon *daemon, struct hm_error *error)
{
    loop->daemon = daemon;
    loop->last = &loop->first;
    (void)pthread_mutex_init(&loop->lock, NULL);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd >= 0 && pthread_create(&loop->thread, NULL, loop_run, loop) == 0) {
        loop->running = true;
        return 0;
    }
    hm_fd_release(&loop->wake_fd);
    loop->wake_fd = -1;
    return hm_fail(error, HM_EBUSY, "no descriptor or thread to serve connections");
}

void api_loop_close(struct api_loop *loop)
{
    if (!loop->daemon)
        return;
    if (loop->running) {
        atomic_store(&loop->ending, true);
        loop_wake(loop);
        (void)pthread_join(loop->thread, NULL);
        loop->running = false;
        loop_unload(loop);
    }
    MHD_stop_daemon(loop->daemon);
    loop->daemon = NULL;
    hm_fd_release(&loop->wake_fd);
    loop->wake_fd = -1;
    (void)pthread_mutex_destroy(&loop->lock);
}
