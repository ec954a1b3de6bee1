/* How a worker sleeps: epoll with a deadline in nanoseconds. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "stoq_host.h"

#define EVENTS_MAX 4

static int watch(const struct stoq_waiter *waiter, int operation, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    return epoll_ctl(waiter->epoll_fd, operation, fd, &event);
}

int stoq_waiter_init(struct stoq_waiter *waiter, int udp_fd, int wake_fd, struct stoq_error *error)
{
    *waiter = (struct stoq_waiter){.epoll_fd = epoll_create1(EPOLL_CLOEXEC), .timer_fd = -1};
    if (waiter->epoll_fd < 0 || watch(waiter, EPOLL_CTL_ADD, udp_fd, EPOLLIN) != 0 ||
        watch(waiter, EPOLL_CTL_ADD, wake_fd, EPOLLIN) != 0) {
        int code = stoq_fail_errno(error, STOQ_EIO, "cannot wait for a socket with epoll");

        stoq_waiter_release(waiter);
        return code;
    }
    return 0;
}

void stoq_waiter_release(struct stoq_waiter *waiter)
{
    if (waiter->epoll_fd >= 0)
        (void)close(waiter->epoll_fd);
    if (waiter->timer_fd >= 0)
        (void)close(waiter->timer_fd);
    waiter->epoll_fd = waiter->timer_fd = -1;
}

void stoq_waiter_use_timer(struct stoq_waiter *waiter)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

    if (fd >= 0 && watch(waiter, EPOLL_CTL_ADD, fd, EPOLLIN) != 0) {
        (void)close(fd);
        fd = -1;
    }
    waiter->timer_fd = fd;
}

int stoq_waiter_swap(struct stoq_waiter *waiter, int old_fd, int new_fd)
{
    if (watch(waiter, EPOLL_CTL_ADD, new_fd, EPOLLIN) != 0)
        return STOQ_EIO;
    (void)epoll_ctl(waiter->epoll_fd, EPOLL_CTL_DEL, old_fd, NULL);
    waiter->wants_write = false;
    return 0;
}

static void set_write(struct stoq_waiter *waiter, int udp_fd, bool write)
{
    if (write != waiter->wants_write &&
        watch(waiter, EPOLL_CTL_MOD, udp_fd, EPOLLIN | (write ? EPOLLOUT : 0U)) == 0)
        waiter->wants_write = write;
}

static void set_timer(const struct stoq_waiter *waiter, uint64_t at_ns)
{
    struct itimerspec when = {0};

    if (at_ns != STOQ_NEVER) { /* all zero would switch it off, and 0 is in the past anyway */
        when.it_value.tv_sec = (time_t)(at_ns / STOQ_NS_PER_S);
        when.it_value.tv_nsec = (long)(at_ns % STOQ_NS_PER_S) | 1;
    }
    (void)timerfd_settime(waiter->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Whole milliseconds, rounded up: the last resort when there is neither epoll_pwait2 nor a timer. */
static int milliseconds(uint64_t ns)
{
    uint64_t ms = (ns + STOQ_NS_PER_MS - 1) / STOQ_NS_PER_MS;

    return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

void stoq_waiter_wait(struct stoq_waiter *waiter, int udp_fd, bool write, uint64_t at_ns,
                      uint64_t now_ns)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t left = at_ns > now_ns ? at_ns - now_ns : 0, ticks;
    struct timespec timeout = {.tv_sec = (time_t)(left / STOQ_NS_PER_S),
                               .tv_nsec = (long)(left % STOQ_NS_PER_S)};

    set_write(waiter, udp_fd, write);
    if (waiter->timer_fd >= 0) {
        set_timer(waiter, at_ns);
        (void)epoll_wait(waiter->epoll_fd, events, EVENTS_MAX, left == 0 ? 0 : -1);
        (void)!read(waiter->timer_fd, &ticks, sizeof(ticks));
        return;
    }
    int count = epoll_pwait2(waiter->epoll_fd, events, EVENTS_MAX,
                             at_ns == STOQ_NEVER ? NULL : &timeout, NULL);
    if (count < 0 && errno != EINTR) { /* ENOSYS, or EPERM of a container's filter */
        stoq_waiter_use_timer(waiter);
        if (waiter->timer_fd < 0)
            (void)epoll_wait(waiter->epoll_fd, events, EVENTS_MAX,
                             at_ns == STOQ_NEVER ? -1 : milliseconds(left));
    }
}
