/* One volume served: what its threads share. */
#ifndef HM_PACKETFS_SERVE_H
#define HM_PACKETFS_SERVE_H

#include <pthread.h>
#include <stdatomic.h>

#include "sync/packetfs_peer.h"
#include "sync/packetfs_sync_volume.h"

struct packetfs_serve;

#define PACKETFS_BULK  PACKETFS_KINDS
#define PACKETFS_DOORS (PACKETFS_KINDS + 1)

/* A peer, from its greeting on the connection of references to its end. Guarded by the server's lock. */
struct packetfs_session {
    struct packetfs_session *after;
    struct packetfs_serve *serve;
    uint8_t id[PACKETFS_WIRE_SESSION_BYTES];
    enum packetfs_wire_role role; /* of the peer */
    struct packetfs_sync_volume *volume;
    struct packetfs_talk *patterns; /* of a peer that brings: here, for the sink to use */
    unsigned users; /* threads of the connection of patterns that look at it */
    atomic_bool over;
};

struct packetfs_serve {
    struct packetfs_volume *volume;
    const struct packetfs_serve_options *options;
    struct packetfs_peer
        *peers[PACKETFS_DOORS]; /* by kind; PACKETFS_BULK: patterns, when they are many */
    pthread_mutex_t lock;
    pthread_cond_t news; /* of the monotonic clock */
    struct packetfs_session *sessions;
    unsigned threads, threads_max;
    atomic_bool stopping;
};

bool packetfs_serve_stopped(void *serve);
void packetfs_serve_cond_init(pthread_cond_t *cond);
/* The two connections' parts, each in a thread of its own; talk has greeted. */
int packetfs_serve_references(struct packetfs_serve *serve, struct packetfs_talk *talk,
                              const struct packetfs_wire_hello *hello, const char *address,
                              struct hm_error *error);
int packetfs_serve_patterns(struct packetfs_serve *serve, struct packetfs_talk *talk,
                            const struct packetfs_wire_hello *hello, struct hm_error *error);

#endif
