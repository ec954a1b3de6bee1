/* What the engine says of itself when it is asked: how it does, its signed headers. Private to this room. */
#ifndef HM_ENGINE_REMOTE_H
#define HM_ENGINE_REMOTE_H

#include <pthread.h>

#include "abci.pb-c.h"
#include "engine_rpc.h"

/* Facts are not asked for more often. One asking costs this process and the engine a quarter of a millisecond of processor
 * time each at most (three peers; some 2 KB of answer a peer): a thousandth of a processor where somebody looks all the time. */
#define ENGINE_REMOTE_FRESH_MS UINT64_C(300)
#define ENGINE_REMOTE_KNOWN_MS UINT64_C(1000) /* what is older is waited for, if another one asks */
#define ENGINE_REMOTE_LOOK_MS  UINT64_C(300) /* for an answer about how it does */
/* For a light block, all its pages together; and as long again until one's turn comes. */
#define ENGINE_REMOTE_LIGHT_MS  UINT64_C(3000)
#define ENGINE_REMOTE_PAGE      100 /* the engine's own limit */
#define ENGINE_REMOTE_PAGES_MAX 100

struct engine_remote_facts {
    char version[32];
    unsigned peers;
    bool reachable;
    bool catching_up;
    bool validator;
    uint64_t height;
};

struct engine_remote {
    struct engine_rpc *rpc; /* for facts */
    struct engine_rpc *light_rpc; /* for light blocks, which may take seconds */
    pthread_mutex_t asking; /* one asks for facts at a time; uses rpc */
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t lit;
    bool lighting; /* one asks for a light block, and uses light_rpc */
    struct engine_remote_facts facts;
    uint64_t asked_ns; /* 0: never */
    uint64_t took_ns; /* the last asking */
};

int engine_remote_new(const char *rpc_path, struct engine_remote **out, struct hm_error *error);
void engine_remote_free(struct engine_remote *remote); /* NULL is fine */
/* What is known, asked for anew where that is older than ENGINE_REMOTE_FRESH_MS, or twice as old as asking took: an engine that hangs
 * does not hold up everybody all the time. While another one asks, what is known, unless that is older than
 * ENGINE_REMOTE_KNOWN_MS: then it waits for the answer. Thread-safe. */
void engine_remote_look(struct engine_remote *remote, struct engine_remote_facts *out);
/* See engine_light_block. Thread-safe. */
int engine_remote_light_block(struct engine_remote *remote, uint64_t height, struct hm_arena *arena,
                              Hypermesh__Abci__LightBlock **out, struct hm_error *error);

/* --- engine_light.c: the engine's JSON as messages; pure. HM_EPARSE, HM_ENOMEM. ------------------------------- */
/* The result of /commit. Hashes and signatures in the arena. */
int engine_light_header(const json_t *commit, struct hm_arena *arena,
                        Hypermesh__Abci__SignedHeader **out, struct hm_error *error);
/* One page of /validators, into out[0..room-1]; *count of them, *total of the set. */
int engine_light_validators(const json_t *page, struct hm_arena *arena,
                            Hypermesh__Abci__SimpleValidator **out, size_t room, size_t *count,
                            size_t *total, struct hm_error *error);
/* "2026-11-21T14:49:55.291851869Z" (RFC 3339, UTC only). */
int engine_light_time(const char *text, Hypermesh__Abci__Timestamp *out, struct hm_error *error);

#endif
