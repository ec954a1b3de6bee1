/* A host: workers that drive endpoints over UDP, each a thread with a socket of its own. */
#ifndef STOQ_HOST_H
#define STOQ_HOST_H

#include <pthread.h>
#include <stdatomic.h>

#include "stoq_udp.h"

#define STOQ_POSTS_MAX 65536 /* acts that wait for one worker */

/* --- Acts that other threads want done in a worker's, in order ------------------------------------------------------ */

struct stoq_post {
    void (*act)(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns);
    void *arg;
};
struct stoq_posts {
    pthread_mutex_t lock;
    struct stoq_post *list; /* in order; capacity grows up to STOQ_POSTS_MAX */
    size_t count, capacity;
    bool closed, closed_seen; /* no more are taken; the worker knows */
    uint64_t drain_ns; /* with closed: how long the worker may take to end */
    bool asleep; /* the worker waits, or is about to: wake it */
    bool woken; /* wake_fd was written to */
    int wake_fd; /* eventfd */
};
int stoq_posts_init(struct stoq_posts *posts, struct stoq_error *error);
void stoq_posts_release(struct stoq_posts *posts);
/* Any thread. STOQ_ELIMIT, STOQ_ECLOSED, STOQ_ENOMEM. */
int stoq_posts_add(struct stoq_posts *posts, const struct stoq_post *post);
void stoq_posts_close(struct stoq_posts *posts, uint64_t drain_ns);
/* Worker: takes all that wait, the array with them (hm_free); false: nothing waits. Sets *closed and *drain_ns. */
bool stoq_posts_take(struct stoq_posts *posts, struct stoq_post **list, size_t *count, bool *closed,
                     uint64_t *drain_ns);
/* Worker: nothing waits, and from now on wake_fd tells when something does. False: there is something to take. */
bool stoq_posts_rest(struct stoq_posts *posts);

/* --- Waiting ------------------------------------------------------------------------------------------------------- */

struct stoq_waiter {
    int epoll_fd;
    int timer_fd; /* -1: the kernel's epoll_pwait2 is used */
    bool wants_write;
};
int stoq_waiter_init(struct stoq_waiter *waiter, int udp_fd, int wake_fd, struct stoq_error *error);
void stoq_waiter_release(struct stoq_waiter *waiter);
void stoq_waiter_use_timer(struct stoq_waiter *waiter); /* as on a kernel without epoll_pwait2 */
int stoq_waiter_swap(struct stoq_waiter *waiter, int old_fd, int new_fd); /* another UDP socket */
/* Until at_ns (STOQ_NEVER: for ever), or the socket is readable (or writable, when write), or the wake_fd is. */
void stoq_waiter_wait(struct stoq_waiter *waiter, int udp_fd, bool write, uint64_t at_ns,
                      uint64_t now_ns);

/* --- Trains that wait for the socket -------------------------------------------------------------------------------- */

#define STOQ_OUTBOX_FULL_BYTES 65536 /* enough for one round */
struct stoq_outbox {
    uint8_t bytes[STOQ_OUTBOX_FULL_BYTES + STOQ_TRAIN_BYTES_MAX];
    struct stoq_parcel parcels[STOQ_UDP_SEND_BATCH];
    size_t first, count, used;
    uint64_t again_ns; /* the socket refused: not before then; 0: try */
    bool full; /* the socket's buffer is: wait until it is writable */
};

struct stoq_worker {
    struct stoq_host *host;
    unsigned index;
    pthread_t thread;
    bool started;
    struct stoq_udp udp;
    struct stoq_waiter waiter;
    struct stoq_posts posts;
    struct stoq_endpoint *endpoint;
    struct stoq_outbox *outbox;
    struct stoq_qlog *qlog; /* NULL: none */
    bool draining;
    uint64_t drain_until;
    atomic_uint strays; /* on their way here */
};
/* Gives packets to the endpoint. The kernel joins what comes from one socket, and its connections may belong to several
 * workers: datagrams of others are copied to them, at most STOQ_STRAYS_MAX on their way to one; more are lost. */
#define STOQ_STRAYS_MAX 1024
void stoq_worker_receive(struct stoq_worker *worker, const struct stoq_packet *packets,
                         size_t count, uint64_t now_ns);
void *stoq_worker_run(void *worker); /* the thread; frees the endpoint when it ends */
uint64_t stoq_host_now(void); /* CLOCK_MONOTONIC */
bool stoq_host_within(const struct stoq_host *host); /* whether this thread is one of its workers */

struct stoq_host {
    unsigned count;
    bool server;
    _Atomic uint16_t port;
    size_t socket_buffer;
    char *interface; /* ours; may be NULL */
    struct stoq_worker workers[];
};

/* --- qlog files ------------------------------------------------------------------------------------------------------ */

#define STOQ_QLOG_FILES_MAX 1024 /* open at a time, a worker; connections above it get none */
/* Asks the endpoint for qlog and writes a file per connection into folder: mode 0600, never over one that is there. */
int stoq_qlog_new(struct stoq_qlog **out, const char *folder, struct stoq_endpoint *endpoint,
                  struct stoq_error *error);
void stoq_qlog_free(struct stoq_qlog *qlog); /* after the endpoint */

#endif
