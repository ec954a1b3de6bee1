/* What the tests of the core share: endpoints in the simulated network with an application that records everything.
 * Bytes of a stream follow from its id and the offset; whoever receives compares. Every failure is an assertion. */
#ifndef TEST_CORE_WORLD_H
#define TEST_CORE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stoq_internal.h"
#include "stoq_net.h"

#define WORLD_APPS  16
#define WORLD_FLOWS 256 /* of one application */
#define MS          STOQ_NS_PER_MS
#define SECOND      STOQ_NS_PER_S
#define CLIENT      1u /* the nodes that world_init makes */
#define SERVER      0u

struct flow {
    struct app *app;
    struct stoq_stream *stream; /* NULL: gone */
    uint64_t id, total, sent, taken; /* total: what we send */
    bool fin_sent, fin_seen, closed;
    uint64_t reset_code, stop_code; /* 0: none */
    bool early;
};
struct app {
    struct world *world;
    unsigned node;
    struct stoq_config config;
    struct stoq_handlers handlers;
    struct stoq_conn *conn; /* the newest; NULL: gone */
    struct stoq_conn *kept; /* one whose end is a failure of the test; NULL: none */
    unsigned accepted, connected, closed, live;
    struct stoq_close why; /* of the last that closed */
    char text[512];
    struct flow flows[WORLD_FLOWS];
    unsigned flow_count, opened; /* opened: by the peer */
    uint64_t taken, answer; /* answer: bytes sent on each stream that the peer opens; 0: none */
    bool lazy; /* takes nothing from `received` */
    unsigned writables, sessions, datagrams, path_changes, available, permits;
    int permit_result;
    uint8_t session[STOQ_SESSION_BYTES_MAX];
    size_t session_len;
};
struct world {
    struct stoq_net *net;
    struct app apps[WORLD_APPS];
    unsigned count;
};

/* A network (5 ms each way, nothing lost), SERVER and CLIENT configured and not started: change their configuration,
 * then world_start. */
void world_init(struct world *world, uint64_t seed);
void world_release(struct world *world);
/* One node more, configured as a client or server. */
struct app *world_add(struct world *world, bool server);
void world_start(struct app *app); /* again: a new endpoint in place of the old one */
struct stoq_conn *world_connect(struct world *world, unsigned from, unsigned to,
                                struct stoq_bytes session);
/* world_start of both, a connection, and both ends ready. */
void world_join(struct world *world);
bool world_until(struct world *world, uint64_t ns, bool (*done)(void *ctx), void *ctx);
/* Opens a stream and sends total bytes and the end. */
struct flow *world_send(struct app *app, uint64_t total, const struct stoq_stream_options *options);
struct flow *world_flow(struct app *app, uint64_t stream_id); /* NULL */
/* Streams that are there now are not found by their id any more: another connection's may have the same. */
void world_forget(struct app *app);
void world_pump(struct flow *flow);
/* The pair is joined and all is well: a new stream carries bytes there. */
void world_works(struct world *world, unsigned from, unsigned to);
/* Nothing that this node sends arrives, until the network's tap is set again (NULL: to nothing). */
void world_mute(struct world *world, unsigned node);
uint64_t world_count(struct world *world, unsigned node, enum stoq_counter counter);
int world_verify_any(void *ctx, const struct stoq_peer *peer, uint8_t *alert,
                     struct stoq_error *error);

/* Conditions for world_until; ctx is an application. */
bool until_closed(void *ctx);
bool until_connected(void *ctx);
bool until_ready(void *ctx); /* connected or accepted */
bool until_alone(void *ctx); /* its endpoint holds no connection */
/* ctx is a flow that receives, or one that sends. */
bool until_fin(void *ctx);
bool until_flow_closed(void *ctx);

#endif
