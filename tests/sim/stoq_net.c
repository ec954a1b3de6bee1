/* The simulated network: see stoq_net.h. */
#include <stdlib.h>

#include "base.h"
#include "stoq_net.h"

#define STEPS_WITHOUT_TIME_MAX 200000 /* then an endpoint spins */
#define BATCH_MAX              32 /* datagrams given to an endpoint in one call */
#define MILLION                1000000U
#define NS_PER_S               1000000000ULL

struct event {
    uint64_t at_ns, order;
    void (*act)(void *arg); /* or a datagram: */
    void *arg;
    struct sockaddr_in6 from;
    unsigned node, index; /* of the receiver and its address */
    uint8_t *data;
    size_t len;
};

struct node {
    struct stoq_endpoint *endpoint;
    struct stoq_net *net;
    struct sockaddr_in6 inner[STOQ_NET_ADDRESSES_MAX]; /* what it thinks */
    struct sockaddr_in6 outer[STOQ_NET_ADDRESSES_MAX]; /* what others see */
    int64_t clock_ns; /* its clock less the world's */
    bool random_fails;
    void (*sink)(void *ctx, const struct sockaddr_in6 *from, uint8_t *data, size_t len);
    void *sink_ctx;
};

struct stoq_net {
    uint64_t now_ns, order;
    struct hm_random_seeded seeded;
    struct hm_random random;
    struct event *heap;
    size_t count, capacity;
    struct node nodes[STOQ_NET_NODES_MAX];
    unsigned node_count;
    struct stoq_net_link links[STOQ_NET_NODES_MAX][STOQ_NET_NODES_MAX];
    uint64_t free_at[STOQ_NET_NODES_MAX][STOQ_NET_NODES_MAX];
    struct stoq_net_counts counts;
    bool (*tap)(void *ctx, unsigned from, const struct sockaddr_in6 *to, uint8_t *data, size_t len);
    void *tap_ctx;
    int64_t wall_seconds;
    unsigned ports; /* given out by the NAT */
    bool spins;
    uint8_t train[STOQ_TRAIN_BYTES_MAX];
};

static void *must(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

struct stoq_net *stoq_net_new(uint64_t seed)
{
    struct stoq_net *net = must(calloc(1, sizeof *net));

    net->now_ns = STOQ_NET_START_NS;
    net->random = hm_random_seeded_source(&net->seeded, seed);
    return net;
}

void stoq_net_free(struct stoq_net *net)
{
    if (net == NULL)
        return;
    for (unsigned i = 0; i < net->node_count; i++)
        stoq_endpoint_free(net->nodes[i].endpoint);
    for (size_t i = 0; i < net->count; i++)
        free(net->heap[i].data);
    free(net->heap);
    free(net);
}

uint64_t stoq_net_now(const struct stoq_net *net)
{
    return net->now_ns;
}

uint64_t stoq_net_random(struct stoq_net *net)
{
    return hm_random_u64(&net->random);
}

uint64_t stoq_net_below(struct stoq_net *net, uint64_t limit)
{
    return limit == 0 ? 0 : stoq_net_random(net) % limit;
}

const struct stoq_net_counts *stoq_net_counted(const struct stoq_net *net)
{
    return &net->counts;
}

static bool happens(struct stoq_net *net, uint32_t ppm)
{
    return ppm != 0 && stoq_net_below(net, MILLION) < ppm;
}

/* --- Events: a heap by time, then by the order in which they were made ------------------------------------------- */

static bool sooner(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void swap(struct event *a, struct event *b)
{
    struct event kept = *a;

    *a = *b;
    *b = kept;
}

static void push(struct stoq_net *net, struct event event)
{
    size_t at = net->count;

    if (net->count == net->capacity) {
        net->capacity = net->capacity == 0 ? 256 : net->capacity * 2;
        net->heap = must(realloc(net->heap, net->capacity * sizeof *net->heap));
    }
    event.order = net->order++;
    net->heap[net->count++] = event;
    for (; at > 0 && sooner(&net->heap[at], &net->heap[(at - 1) / 2]); at = (at - 1) / 2)
        swap(&net->heap[at], &net->heap[(at - 1) / 2]);
}

static struct event pop(struct stoq_net *net)
{
    struct event first = net->heap[0];
    size_t at = 0;

    net->heap[0] = net->heap[--net->count];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= net->count)
            return first;
        if (child + 1 < net->count && sooner(&net->heap[child + 1], &net->heap[child]))
            child++;
        if (!sooner(&net->heap[child], &net->heap[at]))
            return first;
        swap(&net->heap[child], &net->heap[at]);
        at = child;
    }
}

void stoq_net_at(struct stoq_net *net, uint64_t at_ns, void (*act)(void *arg), void *arg)
{
    push(net, (struct event){.at_ns = at_ns, .act = act, .arg = arg});
}

/* --- Nodes --------------------------------------------------------------------------------------------------- */

unsigned stoq_net_add(struct stoq_net *net)
{
    unsigned number = net->node_count++;
    struct node *node;

    if (number >= STOQ_NET_NODES_MAX)
        abort();
    node = &net->nodes[number];
    node->net = net;
    for (unsigned i = 0; i < STOQ_NET_ADDRESSES_MAX; i++) {
        struct sockaddr_in6 *address = &node->inner[i];
        address->sin6_family = AF_INET6;
        address->sin6_port = htons((uint16_t)(4000 + i));
        address->sin6_addr.s6_addr[0] = 0xfd;
        address->sin6_addr.s6_addr[13] = (uint8_t)i;
        address->sin6_addr.s6_addr[15] = (uint8_t)(number + 1);
        node->outer[i] = *address;
    }
    return number;
}

static uint64_t world_wall(void *ctx)
{
    const struct node *node = ctx;
    uint64_t passed = (node->net->now_ns - STOQ_NET_START_NS) / NS_PER_S;

    return STOQ_NET_WALL_SECONDS + passed + (uint64_t)node->net->wall_seconds;
}

static int world_random(void *ctx, void *out, size_t len)
{
    struct node *node = ctx;

    return node->random_fails ? STOQ_EIO : node->net->random.fill(node->net->random.ctx, out, len);
}

void stoq_net_world(struct stoq_net *net, unsigned node, struct stoq_config *config)
{
    config->wall_seconds = world_wall;
    config->random = world_random;
    config->world_ctx = &net->nodes[node];
}

void stoq_net_attach(struct stoq_net *net, unsigned node, struct stoq_endpoint *endpoint)
{
    stoq_endpoint_free(net->nodes[node].endpoint);
    net->nodes[node].endpoint = endpoint;
}

struct stoq_endpoint *stoq_net_endpoint(struct stoq_net *net, unsigned node)
{
    return net->nodes[node].endpoint;
}

uint64_t stoq_net_node_now(const struct stoq_net *net, unsigned node)
{
    return net->now_ns + (uint64_t)net->nodes[node].clock_ns;
}

struct sockaddr_in6 stoq_net_address(const struct stoq_net *net, unsigned node, unsigned index)
{
    return net->nodes[node].inner[index];
}

struct stoq_path stoq_net_path(const struct stoq_net *net, unsigned from, unsigned to)
{
    return (struct stoq_path){.local = net->nodes[from].inner[0],
                              .remote = net->nodes[to].outer[0]};
}

struct stoq_net_link *stoq_net_link(struct stoq_net *net, unsigned from, unsigned to)
{
    return &net->links[from][to];
}

void stoq_net_link_all(struct stoq_net *net, const struct stoq_net_link *link)
{
    for (unsigned i = 0; i < STOQ_NET_NODES_MAX; i++)
        for (unsigned j = 0; j < STOQ_NET_NODES_MAX; j++)
            net->links[i][j] = *link;
}

void stoq_net_cut(struct stoq_net *net, unsigned a, unsigned b, bool cut)
{
    net->links[a][b].cut = cut;
    net->links[b][a].cut = cut;
}

void stoq_net_rebind(struct stoq_net *net, unsigned node)
{
    for (unsigned i = 0; i < STOQ_NET_ADDRESSES_MAX; i++)
        net->nodes[node].outer[i].sin6_port = htons((uint16_t)(20000 + net->ports++));
}

void stoq_net_clock_jump(struct stoq_net *net, unsigned node, int64_t ns)
{
    net->nodes[node].clock_ns += ns;
}

void stoq_net_random_fails(struct stoq_net *net, unsigned node, bool fails)
{
    net->nodes[node].random_fails = fails;
}

void stoq_net_wall_jump(struct stoq_net *net, int64_t seconds)
{
    net->wall_seconds += seconds;
}

void stoq_net_tap(struct stoq_net *net,
                  bool (*tap)(void *ctx, unsigned from, const struct sockaddr_in6 *to,
                              uint8_t *data, size_t len),
                  void *ctx)
{
    net->tap = tap;
    net->tap_ctx = ctx;
}

void stoq_net_sink(struct stoq_net *net, unsigned node,
                   void (*sink)(void *ctx, const struct sockaddr_in6 *from, uint8_t *data,
                                size_t len),
                   void *ctx)
{
    net->nodes[node].sink = sink;
    net->nodes[node].sink_ctx = ctx;
}

/* --- Links ---------------------------------------------------------------------------------------------------- */

static bool same_address(const struct sockaddr_in6 *a, const struct sockaddr_in6 *b)
{
    return a->sin6_port == b->sin6_port &&
           memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr) == 0;
}

static bool route(const struct stoq_net *net, const struct sockaddr_in6 *to, unsigned *node,
                  unsigned *index)
{
    for (unsigned i = 0; i < net->node_count; i++)
        for (unsigned j = 0; j < STOQ_NET_ADDRESSES_MAX; j++)
            if (same_address(&net->nodes[i].outer[j], to)) {
                *node = i;
                *index = j;
                return true;
            }
    return false;
}

static void flip_bits(struct stoq_net *net, uint8_t *data, size_t len)
{
    uint64_t flips = 1 + stoq_net_below(net, 4);

    for (; flips > 0 && len > 0; flips--)
        data[stoq_net_below(net, len)] ^= (uint8_t)(1U << stoq_net_below(net, 8));
}

static void arrive(struct stoq_net *net, const struct stoq_net_link *link, uint64_t leaves_ns,
                   const struct event *like)
{
    struct event event = *like;

    event.at_ns = leaves_ns + link->delay_ns + stoq_net_below(net, link->jitter_ns);
    if (happens(net, link->late_ppm))
        event.at_ns += stoq_net_below(net, 8 * link->delay_ns + NS_PER_S / 1000);
    event.data = must(malloc(like->len > 0 ? like->len : 1));
    memcpy(event.data, like->data, like->len);
    if (happens(net, link->corrupt_ppm)) {
        net->counts.corrupted++;
        flip_bits(net, event.data, event.len);
    }
    push(net, event);
}

static void carry(struct stoq_net *net, unsigned from, const struct event *datagram)
{
    const struct stoq_net_link *link = &net->links[from][datagram->node];
    uint64_t *free_at = &net->free_at[from][datagram->node];
    uint64_t leaves_ns = net->now_ns;

    if (link->mtu != 0 && datagram->len > link->mtu) {
        net->counts.oversized++;
        return;
    }
    if (link->cut || happens(net, link->loss_ppm)) {
        net->counts.lost++;
        return;
    }
    if (link->rate_bits != 0) {
        uint64_t waits = *free_at > net->now_ns ? *free_at - net->now_ns : 0;
        if ((double)waits * (double)link->rate_bits / 8e9 > (double)link->queue_bytes) {
            net->counts.overflowed++;
            return;
        }
        leaves_ns += waits + (uint64_t)((double)datagram->len * 8e9 / (double)link->rate_bits);
        *free_at = leaves_ns;
    }
    arrive(net, link, leaves_ns, datagram);
    if (happens(net, link->duplicate_ppm)) {
        net->counts.duplicated++;
        arrive(net, link, leaves_ns, datagram);
    }
}

static void transmit(struct stoq_net *net, unsigned from, const struct stoq_path *path,
                     uint8_t *data, size_t len)
{
    static const struct in6_addr any;
    struct event datagram = {.data = data, .len = len, .from = net->nodes[from].outer[0]};
    bool own = memcmp(&path->local.sin6_addr, &any, sizeof any) == 0;

    net->counts.sent++;
    for (unsigned i = 0; i < STOQ_NET_ADDRESSES_MAX; i++)
        if (same_address(&net->nodes[from].inner[i], &path->local)) {
            datagram.from = net->nodes[from].outer[i];
            own = true;
        }
    if (!own) { /* nobody carries packets with a foreign source */
        net->counts.unroutable++;
        return;
    }
    if (net->tap != NULL && !net->tap(net->tap_ctx, from, &path->remote, data, len))
        return;
    if (route(net, &path->remote, &datagram.node, &datagram.index))
        carry(net, from, &datagram);
    else
        net->counts.unroutable++;
}

void stoq_net_inject(struct stoq_net *net, const struct sockaddr_in6 *from,
                     const struct sockaddr_in6 *to, const void *data, size_t len)
{
    struct event event = {.at_ns = net->now_ns, .from = *from, .len = len};

    if (!route(net, to, &event.node, &event.index))
        abort();
    event.data = must(malloc(len > 0 ? len : 1));
    if (len > 0)
        memcpy(event.data, data, len);
    push(net, event);
}

/* --- Running --------------------------------------------------------------------------------------------------- */

static void flush(struct stoq_net *net, unsigned number)
{
    struct node *node = &net->nodes[number];
    unsigned steps = 0;

    while (node->endpoint != NULL) {
        struct stoq_train train = {.segment = 0};
        size_t len = stoq_endpoint_send(node->endpoint, net->train, sizeof net->train, &train,
                                        stoq_net_node_now(net, number));
        if (len == 0)
            return;
        if (len != train.len || train.segment == 0 || train.segment > len ||
            steps++ > STEPS_WITHOUT_TIME_MAX) {
            net->spins = true;
            return;
        }
        for (size_t at = 0; at < len; at += train.segment) {
            size_t size = len - at < train.segment ? len - at : train.segment;
            transmit(net, number, &train.path, net->train + at, size);
        }
    }
}

static void flush_all(struct stoq_net *net)
{
    for (unsigned i = 0; i < net->node_count; i++)
        flush(net, i);
}

/* Puts datagrams of one size and path together, as GRO does. */
static size_t coalesce(struct event *events, size_t count, const struct node *node,
                       struct stoq_packet *packets, uint8_t **owned)
{
    size_t made = 0;

    for (size_t i = 0; i < count; made++) {
        size_t end = i + 1, total = events[i].len;
        while (end < count && events[i].len > 0 && events[end - 1].len == events[i].len &&
               events[end].len <= events[i].len && events[end].len > 0 &&
               events[end].index == events[i].index &&
               same_address(&events[end].from, &events[i].from) &&
               total + events[end].len <= STOQ_TRAIN_BYTES_MAX)
            total += events[end++].len;
        /* Exactly as large as its content, so that a sanitizer sees the first byte read past the end. */
        owned[made] = must(malloc(total > 0 ? total : 1));
        packets[made] = (struct stoq_packet){
            .path = {.local = node->inner[events[i].index], .remote = events[i].from},
            .data = owned[made],
            .len = total,
            .segment = events[i].len};
        for (size_t at = 0; i < end; at += events[i++].len)
            memcpy(owned[made] + at, events[i].data, events[i].len);
    }
    return made;
}

static void deliver(struct stoq_net *net, struct event first)
{
    struct event events[BATCH_MAX] = {first};
    struct stoq_packet packets[BATCH_MAX];
    struct node *node = &net->nodes[first.node];
    uint8_t *owned[BATCH_MAX];
    size_t count = 1, made = 0;

    while (count < BATCH_MAX && net->count > 0 && net->heap[0].act == NULL &&
           net->heap[0].at_ns <= net->now_ns && net->heap[0].node == first.node)
        events[count++] = pop(net);
    net->counts.delivered += count;
    if (node->endpoint != NULL) {
        made = coalesce(events, count, node, packets, owned);
        stoq_endpoint_receive(node->endpoint, packets, made, stoq_net_node_now(net, first.node));
    } else if (node->sink != NULL) {
        for (size_t i = 0; i < count; i++)
            node->sink(node->sink_ctx, &events[i].from, events[i].data, events[i].len);
    }
    for (size_t i = 0; i < made; i++)
        free(owned[i]);
    for (size_t i = 0; i < count; i++)
        free(events[i].data);
    flush(net, first.node);
}

/* When the node must be called, in the world's time. */
static uint64_t due_ns(const struct stoq_net *net, unsigned number)
{
    const struct node *node = &net->nodes[number];
    uint64_t deadline = node->endpoint != NULL ? stoq_endpoint_deadline(node->endpoint)
                                               : STOQ_NET_NEVER;

    if (deadline == STOQ_NET_NEVER)
        return STOQ_NET_NEVER;
    if (deadline <= stoq_net_node_now(net, number))
        return net->now_ns;
    return deadline - (uint64_t)node->clock_ns;
}

/* One event, or the deadlines of one moment. False: nothing before until_ns. */
static bool step(struct stoq_net *net, uint64_t until_ns)
{
    uint64_t next = net->count > 0 ? net->heap[0].at_ns : STOQ_NET_NEVER, timer = STOQ_NET_NEVER;

    for (unsigned i = 0; i < net->node_count; i++) {
        uint64_t due = due_ns(net, i);
        timer = due < timer ? due : timer;
    }
    if ((next < timer ? next : timer) > until_ns)
        return false;
    if (next <= timer) {
        struct event event = pop(net);
        net->now_ns = event.at_ns > net->now_ns ? event.at_ns : net->now_ns;
        if (event.act == NULL) {
            deliver(net, event);
        } else {
            event.act(event.arg);
            flush_all(net);
        }
        return true;
    }
    net->now_ns = timer > net->now_ns ? timer : net->now_ns;
    for (unsigned i = 0; i < net->node_count; i++)
        if (due_ns(net, i) <= net->now_ns) {
            stoq_endpoint_expire(net->nodes[i].endpoint, stoq_net_node_now(net, i));
            flush(net, i);
        }
    return true;
}

bool stoq_net_run(struct stoq_net *net, uint64_t until_ns, bool (*done)(void *ctx), void *ctx)
{
    unsigned steps = 0;

    flush_all(net);
    while (!net->spins) {
        uint64_t before_ns = net->now_ns;
        if (done != NULL && done(ctx))
            return true;
        if (!step(net, until_ns)) {
            if (until_ns != STOQ_NET_NEVER)
                net->now_ns = until_ns;
            return done == NULL || done(ctx);
        }
        steps = net->now_ns == before_ns ? steps + 1 : 0;
        if (steps > STEPS_WITHOUT_TIME_MAX)
            net->spins = true;
    }
    return false;
}

bool stoq_net_run_for(struct stoq_net *net, uint64_t ns, bool (*done)(void *ctx), void *ctx)
{
    return stoq_net_run(net, net->now_ns + ns, done, ctx);
}

bool stoq_net_spins(const struct stoq_net *net)
{
    return net->spins;
}
