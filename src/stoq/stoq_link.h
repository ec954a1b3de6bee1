/* The blocking layer's objects. A link is a connection, a pipe a stream; both outlive what they stand for until their
 * holders release them. Everything of a link and its pipes is guarded by the link's lock, which is never held while
 * the core is called: the core calls back. */
#ifndef STOQ_LINK_H
#define STOQ_LINK_H

#include <pthread.h>
#include <stdatomic.h>

#include "stoq_queue.h"

#define STOQ_LINKS_WAITING_MAX 1024 /* accepted by a caller and taken by nobody */
#define STOQ_PIPES_WAITING_MAX 1024 /* the same, on one link */
#define STOQ_PIPE_CHUNK_BYTES  65536 /* a write is cut into these */
#define STOQ_PIPE_QUEUE_BYTES  (4U << 20) /* written and not yet acknowledged */

struct stoq_caller {
    atomic_uint references; /* the holder, each link */
    atomic_uint turn; /* worker of the next connection */
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct stoq_host *host; /* NULL once closed */
    bool closed;
    struct stoq_link *waiting, *waiting_last;
    size_t waiting_count;
    size_t connection_window;
    int (*permit)(void *ctx, struct stoq_conn *conn, struct stoq_bytes tag, bool bidirectional);
    void *permit_ctx;
};

enum stoq_link_state { STOQ_LINK_CONNECTING, STOQ_LINK_UP, STOQ_LINK_CLOSED };

struct stoq_link {
    atomic_uint
        references; /* its holders together, its connection, each pipe, each act on its way */
    unsigned holders; /* guarded by lock; the last one's release closes the connection */
    struct stoq_caller *caller;
    struct stoq_link *after; /* of those that wait to be accepted */
    pthread_mutex_t lock;
    pthread_cond_t news; /* state, incoming */
    enum stoq_link_state state;
    struct stoq_error failure; /* why it is closed */
    unsigned worker;
    struct stoq_endpoint *endpoint; /* names the worker of an accepted one */
    struct stoq_conn *conn; /* used by the worker only; NULL when closed */
    struct stoq_pipe *incoming, *incoming_last; /* opened by the peer, taken by nobody */
    size_t incoming_count;
    size_t in_bytes; /* what came and waits in pipes, those included whose stream has ended */
    uint64_t ended_ns; /* when the latest end of a stream came */
    struct stoq_pipe *opening; /* ours that the peer's limit holds back; worker only */
    uint8_t *session; /* the latest to resume with; wiped */
    size_t session_len;
    /* What the worker connects to. */
    struct sockaddr_in6 remote;
    char *name;
    uint8_t *resume;
    size_t resume_len;
};

struct stoq_pipe {
    atomic_uint references; /* its holder, its stream, each act on its way, each slab */
    struct stoq_link *link;
    struct stoq_pipe *after; /* of incoming, or of opening */
    pthread_cond_t readable, writable; /* with the link's lock */
    struct stoq_stream *stream; /* used by the worker only; NULL before and after */
    int opened; /* 1: still opening; 0: open; negative: why not */
    bool released, abandoned;
    bool announced; /* an incoming one that its link counts */
    bool unidirectional, local;
    /* in */
    struct stoq_recvq in;
    bool in_fin, in_over; /* over: reset, or the stream is gone */
    uint64_t credit; /* read, and the peer not told */
    bool credit_posted;
    bool held; /* some stays in the stream, without credit: see stoq_pipe_fetch_act */
    bool fetch_posted;
    bool wanted; /* its reader waits, or found nothing */
    /* out */
    struct stoq_slab *slabs, *slabs_last; /* not given to the stream yet */
    size_t out_bytes; /* in slabs and on their way */
    bool out_fin, fin_told, out_over, pump_posted, stuck; /* stuck: waits for `writable` */
    bool fin_acked; /* and all before it */
    bool gone; /* stream_closed was called */
    bool lost; /* bytes written will not be acknowledged */
    int trouble; /* what went wrong, to be told by read and write */
    struct stoq_bytes tag;
    uint8_t tag_bytes[STOQ_TAG_BYTES_MAX];
    struct stoq_stream_options options;
};

/* --- caller --- */
void stoq_caller_ref(struct stoq_caller *caller);
void stoq_caller_unref(struct stoq_caller *caller);
/* Runs act in the worker. STOQ_ECLOSED, STOQ_ELIMIT, STOQ_ENOMEM. */
int stoq_caller_post(struct stoq_caller *caller, unsigned worker,
                     void (*act)(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns),
                     void *arg);
/* The same, and waits while the worker's list is full. Only STOQ_ECLOSED, STOQ_ENOMEM. Not from a worker. */
int stoq_caller_post_surely(struct stoq_caller *caller, unsigned worker,
                            void (*act)(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns),
                            void *arg);
void stoq_caller_handlers(struct stoq_handlers *handlers, struct stoq_caller *caller);

/* The same for what must not be forgotten: waits while there is no memory, too. Only STOQ_ECLOSED. */
int stoq_caller_post_always(struct stoq_caller *caller, unsigned worker,
                            void (*act)(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns),
                            void *arg);

/* --- link --- */
/* holders 1, one reference. NULL: no memory. */
struct stoq_link *stoq_link_new(struct stoq_caller *caller);
void stoq_link_ref(struct stoq_link *link);
void stoq_link_unref(struct stoq_link *link);
void stoq_link_hold(struct stoq_link *link); /* one holder more */
bool stoq_link_alive(struct stoq_link *link);
/* As stoq_link_connect, resuming a session. */
int stoq_link_connect_with(struct stoq_caller *caller, const struct sockaddr_in6 *remote,
                           const char *name, struct stoq_bytes resume, int timeout_ms,
                           struct stoq_link **out, struct stoq_error *error);
/* A copy of the latest session (hm_free; wipe it first); len 0: none. */
uint8_t *stoq_link_session(struct stoq_link *link, size_t *len);
/* In the worker: the connection is gone. */
void stoq_link_closed(struct stoq_link *link, const struct stoq_close *why);

/* --- pipe --- */
struct stoq_pipe *stoq_pipe_new(struct stoq_link *link); /* one reference; NULL: no memory */
void stoq_pipe_ref(struct stoq_pipe *pipe);
void stoq_pipe_unref(struct stoq_pipe *pipe);
void stoq_pipe_handlers(struct stoq_handlers *handlers);
void stoq_pipe_watch(
    struct stoq_endpoint *endpoint); /* in the worker, before its first stream: beside handlers */
void stoq_pipe_retry_opening(struct stoq_link *link); /* in the worker */
void stoq_pipe_fail_opening(struct stoq_link *link, int code); /* in the worker */

/* --- time --- */
struct stoq_until {
    bool forever;
    struct timespec at;
};
struct stoq_until stoq_until(int timeout_ms);
void stoq_cond_init(pthread_cond_t *cond); /* of the monotonic clock */
bool stoq_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock,
                    const struct stoq_until *until); /* false: the time is over */

#endif
