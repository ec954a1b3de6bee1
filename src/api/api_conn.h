/* Connections: who is at the other end, how many he has, how long he may take, and the one thread that looks after
 * those that nobody else looks at: slow ones, and streams that wait. */
#ifndef HM_API_CONN_H
#define HM_API_CONN_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "api_loop.h"
#include "api_request.h"

#define API_HEADER_TIMEOUT_S 10 /* from a header's first bytes to its last, however it trickles */
#define API_BODY_TIMEOUT_S   60 /* a whole body */
#define API_SEND_TIMEOUT_S   60 /* a whole answer; of a stream: one piece */
#define API_IDLE_TIMEOUT_S   60 /* without a request under way */
#define API_CARE_EVERY_MS    50
#define API_GONE_EVERY_MS    1000 /* how soon a reader that hung up, or a trickle, is noticed */
#define API_PEER_PLACES      64
#define API_PEER_SPARE       128 /* one peer may have all connections of a door but this part */

struct api_pump;

/* What a connection does, and so how long it may take. */
enum api_phase {
    API_PHASE_IDLE,
    API_PHASE_HEADER,
    API_PHASE_BODY,
    API_PHASE_WORK, /* the act, or a stream with nothing to send: no limit */
    API_PHASE_SEND
};

/* Everybody with the same uid, or the same address, at the same door. */
struct api_peer {
    struct api_peer *next;
    enum api_transport transport;
    uint8_t name[16];
    atomic_uint connections;
};

/* One connection; the library's socket context. */
struct api_conn {
    struct api_conn *next, **self; /* in the list of its care; under its lock */
    struct MHD_Connection *connection;
    struct api_loop *loop; /* which serves it */
    struct api_peer *peer;
    int fd;
    bool known;
    uid_t uid;
    bool tcp;
    _Atomic int phase; /* enum api_phase */
    _Atomic uint64_t deadline_ns; /* 0: none; past it the connection is shut */
    atomic_uint changes; /* of phase */
    atomic_bool gone; /* the client hung up while it waited for an answer */
    struct api_pump *pump; /* a stream that it sends; under the lock */
    /* the care's: what came since the connection is idle */
    unsigned idle_changes;
    uint64_t idle_bytes;
    uint64_t trickle_ns; /* when more than that had come; 0: not yet */
};

struct api_care {
    pthread_mutex_t lock;
    struct api_conn *conns;
    struct api_peer *peers[API_PEER_PLACES]; /* under the lock */
    pthread_t thread;
    pthread_cond_t ending;
    bool running, end;
    atomic_bool *closing; /* the server's: streams end */
    atomic_ullong *cut; /* counts connections that were too slow; or NULL */
};

/* closing and cut are borrowed. */
int api_care_open(struct api_care *care, atomic_bool *closing, atomic_ullong *cut,
                  struct hm_error *error);
void api_care_close(struct api_care *care); /* connections must have ended */
/* Lets all streams see that the server closes. */
void api_care_wake_all(struct api_care *care);

/* NULL: no memory; the connection is then unknown, and refused. */
struct api_conn *api_conn_open(struct api_care *care, struct api_loop *loop,
                               enum api_transport transport, struct MHD_Connection *connection);
void api_conn_close(struct api_care *care, struct api_conn *conn); /* NULL is fine */
/* Its time counts from now. NULL is fine. */
void api_conn_enter(struct api_conn *conn, enum api_phase phase);
/* The client hung up, or closed its side: nobody reads any more. */
bool api_conn_is_gone(const struct api_conn *conn);

/* --- api_pump.c: streams ---------------------------------------------------------------------- */

/* A response that sends a stream; owns it from here on when it is not NULL. Waiting costs no thread. */
struct MHD_Response *api_pump_response(struct api_care *care, struct api_conn *conn,
                                       struct api_stream *stream);
/* The care's: reads again what is due, and looks whether the reader hung up. */
void api_pump_look(struct api_pump *pump, uint64_t now_ns, bool look_for_gone);
void api_pump_wake(struct api_pump *pump);

#endif
