/* One thread that serves some of a door's connections through the library. Here, and not in the library, because its
 * own threads lose sight of connections: after exactly 128 (or 256, ...) at once it waits for another event without
 * having looked at these, and when all clients wait for answers there is none. Woken from outside it also takes in
 * connections, and runs what other threads leave for it: many at once cost one wake-up. */
#ifndef HM_API_LOOP_H
#define HM_API_LOOP_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base.h"

/* What another thread leaves for the loop's; its memory is whoever's gave it, until run is called. */
struct api_task {
    struct api_task *next;
    void (*run)(struct api_task *task);
};

struct api_arrival;

struct api_loop {
    void *door; /* whose connections they are */
    struct MHD_Daemon *daemon; /* without threads of its own */
    int wake_fd; /* eventfd */
    pthread_t thread;
    bool running;
    atomic_bool woken; /* wake_fd says so, or is about to */
    atomic_bool ending;
    atomic_int connections; /* for who spreads them; about */
    pthread_mutex_t lock; /* guards everything below */
    struct api_task *first, **last;
    struct api_arrival *arrivals;
};

/* Takes the daemon over; it must have neither threads nor a socket that listens. */
int api_loop_open(struct api_loop *loop, struct MHD_Daemon *daemon, struct hm_error *error);
/* Stops the thread, then the daemon. No connection may sleep. Zero-initialised is fine, and so is a second time. */
void api_loop_close(struct api_loop *loop);

/* All three: from any thread. */
/* fd, which must not block, is the loop's from here on, whatever becomes of it. */
void api_loop_take(struct api_loop *loop, int fd, const struct sockaddr *address, socklen_t len);
void api_loop_post(struct api_loop *loop, struct api_task *task);
/* The connection goes on. */
void api_loop_resume(struct api_loop *loop, struct MHD_Connection *connection);

#endif
