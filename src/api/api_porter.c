#include "api_porter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>

#define SERIES_MAX 64 /* of one door, before the others have their turn */
#define NAP_NS     20000000 /* without descriptors or memory */

void api_porter_add(struct api_porter *porter, const struct api_porter_door *door)
{
    porter->doors[porter->count++] = *door;
}

/* False: nothing more is to be had at this door now. */
static bool take_one(const struct api_porter_door *door)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    int fd = accept4(door->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        const struct timespec nap = {.tv_nsec = NAP_NS};

        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            (void)nanosleep(&nap, NULL);
        return errno == EINTR || errno == ECONNABORTED;
    }
    if (!door->has_room(door->ctx)) {
        (void)close(fd);
        return true;
    }
    door->take(door->ctx, fd, (const struct sockaddr *)&address, len);
    return true;
}

static void *porter_run(void *ctx)
{
    struct api_porter *porter = ctx;
    struct pollfd pollers[API_DOORS_MAX + 1];

    for (size_t i = 0; i < porter->count; i++)
        pollers[i] = (struct pollfd){.fd = porter->doors[i].fd, .events = POLLIN};
    pollers[porter->count] = (struct pollfd){.fd = porter->stop_fd, .events = POLLIN};
    for (;;) {
        if (poll(pollers, porter->count + 1, -1) < 0)
            continue;
        if (pollers[porter->count].revents != 0)
            return NULL;
        for (size_t i = 0; i < porter->count; i++) {
            unsigned series = pollers[i].revents != 0 ? SERIES_MAX : 0;

            while (series > 0 && take_one(&porter->doors[i]))
                series--;
        }
    }
}

int api_porter_open(struct api_porter *porter, struct hm_error *error)
{
    for (size_t i = 0; i < porter->count; i++) {
        int flags = fcntl(porter->doors[i].fd, F_GETFL);

        if (flags < 0 || fcntl(porter->doors[i].fd, F_SETFL, flags | O_NONBLOCK) != 0)
            return hm_fail_errno(error, HM_EIO, "cannot prepare a listening socket");
    }
    porter->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (porter->stop_fd < 0)
        return hm_fail_errno(error, HM_EBUSY, "no descriptor to stop the server by");
    if (pthread_create(&porter->thread, NULL, porter_run, porter) != 0) {
        hm_fd_release(&porter->stop_fd);
        return hm_fail(error, HM_EBUSY, "no thread to take connections in");
    }
    porter->running = true;
    return 0;
}

void api_porter_close(struct api_porter *porter)
{
    const uint64_t one = 1;

    if (porter->running) {
        (void)!write(porter->stop_fd, &one, sizeof(one));
        (void)pthread_join(porter->thread, NULL);
        hm_fd_release(&porter->stop_fd);
        porter->running = false;
    }
    for (size_t i = 0; i < porter->count; i++)
        hm_fd_release(&porter->doors[i].fd);
    porter->count = 0;
}
