/* A network of stoq endpoints in virtual time: what every packet meets on its way follows from one seed.
 *
 * Nodes have addresses and (mostly) an endpoint. Between two nodes lies a link in each direction: delay, jitter,
 * bandwidth with a queue, a largest datagram, loss, duplicates, bit flips. Nothing happens but inside stoq_net_run.
 * Memory is of malloc, so that tests may make the allocations of the library fail. Running out of it aborts. */
#ifndef STOQ_NET_H
#define STOQ_NET_H

#include "stoq.h"

#define STOQ_NET_NODES_MAX     24
#define STOQ_NET_ADDRESSES_MAX 4
#define STOQ_NET_START_NS      100000000000000ULL /* where virtual time begins */
#define STOQ_NET_WALL_SECONDS  1800000000ULL /* UNIX time there */
#define STOQ_NET_NEVER         UINT64_MAX

struct stoq_net;

/* One direction between two nodes. Parts in a million are of datagrams. */
struct stoq_net_link {
    uint64_t delay_ns, jitter_ns; /* jitter: 0 .. that much more, for each datagram anew */
    uint32_t loss_ppm, duplicate_ppm, corrupt_ppm;
    uint32_t late_ppm; /* datagrams that come up to 8 delays later than others */
    uint64_t rate_bits; /* of UDP payload; 0: no limit */
    size_t queue_bytes; /* what may wait for the link; what comes then is lost */
    size_t mtu; /* larger datagrams vanish; 0: none does */
    bool cut; /* nothing passes */
};

struct stoq_net_counts {
    uint64_t sent, delivered, lost, duplicated, corrupted, oversized, overflowed, unroutable;
};

struct stoq_net *stoq_net_new(uint64_t seed);
/* Frees the endpoints that are attached, too. */
void stoq_net_free(struct stoq_net *net);
uint64_t stoq_net_now(const struct stoq_net *net);
uint64_t stoq_net_random(struct stoq_net *net); /* 64 bits of the world's chance */
uint64_t stoq_net_below(struct stoq_net *net, uint64_t limit); /* 0 .. limit - 1 */
const struct stoq_net_counts *stoq_net_counted(const struct stoq_net *net);

/* A node more, with STOQ_NET_ADDRESSES_MAX addresses. Its number. */
unsigned stoq_net_add(struct stoq_net *net);
/* Sets the functions of the world in a configuration: the node's clock and chance. */
void stoq_net_world(struct stoq_net *net, unsigned node, struct stoq_config *config);
/* The node's endpoint from now on; one that was there is freed. NULL: none, its packets vanish. */
void stoq_net_attach(struct stoq_net *net, unsigned node, struct stoq_endpoint *endpoint);
struct stoq_endpoint *stoq_net_endpoint(struct stoq_net *net, unsigned node);
/* What the endpoint takes for now. */
uint64_t stoq_net_node_now(const struct stoq_net *net, unsigned node);
struct sockaddr_in6 stoq_net_address(const struct stoq_net *net, unsigned node, unsigned index);
struct stoq_path stoq_net_path(const struct stoq_net *net, unsigned from, unsigned to);

struct stoq_net_link *stoq_net_link(struct stoq_net *net, unsigned from, unsigned to);
void stoq_net_link_all(struct stoq_net *net, const struct stoq_net_link *link);
void stoq_net_cut(struct stoq_net *net, unsigned a, unsigned b, bool cut); /* both directions */
/* The NAT before the node forgets: its packets come from a new port, those to the old one are lost. */
void stoq_net_rebind(struct stoq_net *net, unsigned node);
/* The node's clock goes forwards or backwards by so much. */
void stoq_net_clock_jump(struct stoq_net *net, unsigned node, int64_t ns);
/* From now on the node's chance fails, or works again. */
void stoq_net_random_fails(struct stoq_net *net, unsigned node, bool fails);
void stoq_net_wall_jump(struct stoq_net *net, int64_t seconds); /* of every node */

/* act(arg) at a virtual time, inside run. */
void stoq_net_at(struct stoq_net *net, uint64_t at_ns, void (*act)(void *arg), void *arg);
/* A datagram from anywhere, arriving at once when run goes on. */
void stoq_net_inject(struct stoq_net *net, const struct sockaddr_in6 *from,
                     const struct sockaddr_in6 *to, const void *data, size_t len);
/* Sees each datagram that a node sends before anything happens to it; returns false to swallow it. May change it. */
void stoq_net_tap(struct stoq_net *net,
                  bool (*tap)(void *ctx, unsigned from, const struct sockaddr_in6 *to,
                              uint8_t *data, size_t len),
                  void *ctx);
/* Takes what arrives at a node without an endpoint. */
void stoq_net_sink(struct stoq_net *net, unsigned node,
                   void (*sink)(void *ctx, const struct sockaddr_in6 *from, uint8_t *data,
                                size_t len),
                   void *ctx);

/* Goes on until done(ctx) says so (true), or until_ns is reached, or nothing is left to happen (done's last word).
 * done NULL: until the time. */
bool stoq_net_run(struct stoq_net *net, uint64_t until_ns, bool (*done)(void *ctx), void *ctx);
/* As run, for that much longer. */
bool stoq_net_run_for(struct stoq_net *net, uint64_t ns, bool (*done)(void *ctx), void *ctx);
/* Whether an endpoint asked to be called again and again without time passing; run has stopped then. */
bool stoq_net_spins(const struct stoq_net *net);

/* Makes OpenSSL's randomness of this process follow from a seed: never outside tests. */
void stoq_net_fix_openssl(uint64_t seed);

#endif
