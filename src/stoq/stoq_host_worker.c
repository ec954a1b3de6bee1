/* A worker's loop: acts, packets in, deadlines, packets out, sleep. Each part is bounded, so that none starves. */
#include <time.h>

#include "stoq_host.h"

#define ROUNDS_MAX      16 /* of receiving and sending before acts are looked at */
#define FILLS_PER_ROUND 4 /* outboxes sent before packets are looked at */
#define RETRY_NS        STOQ_NS_PER_MS /* after the system was short of memory */
#define NAP_MIN_NS      5000 /* what falling asleep costs: pacing has shorter pauses */
#define ID_BYTES        8 /* of a connection id that are looked at */
#define GOODBYE_NS      (100 * STOQ_NS_PER_MS) /* for the last packets of a host that ends */

uint64_t stoq_host_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * STOQ_NS_PER_S + (uint64_t)now.tv_nsec;
}

static void run_posts(struct stoq_worker *worker, uint64_t now)
{
    struct stoq_post *list;
    size_t count;
    bool closed;
    uint64_t drain_ns;

    if (stoq_posts_take(&worker->posts, &list, &count, &closed, &drain_ns)) {
        for (size_t i = 0; i < count; i++)
            list[i].act(list[i].arg, worker->endpoint, now);
        hm_free(list);
    }
    if (closed && !worker->draining) {
        worker->draining = true;
        worker->drain_until = drain_ns > STOQ_NEVER - GOODBYE_NS - now ? STOQ_NEVER - GOODBYE_NS
                                                                       : now + drain_ns;
        stoq_endpoint_drain(worker->endpoint, now, worker->drain_until);
    }
}

/* Whether the bytes that follow a parcel's own may leave with it, cut by the kernel into datagrams of one size. A shorter
 * one only behind two of the same size: a packet that is alone in its size may be a probe of the path, which the kernel
 * may refuse. Only of one connection: a train arrives at one socket, and the peer's workers have one each. So its packets
 * have short headers and ids that begin alike (those of a peer with shorter ids go singly). */
static bool parcel_joins(const struct stoq_parcel *before, const struct stoq_parcel *parcel)
{
    const struct stoq_train *first = &before->train, *train = &parcel->train;
    const uint8_t *head = before->data, *other = parcel->data;

    if (first->len <= ID_BYTES || train->len <= ID_BYTES || ((head[0] | other[0]) & 0x80) != 0 ||
        memcmp(head + 1, other + 1, ID_BYTES) != 0)
        return false;
    bool same = train->segment == first->segment;
    bool last = train->len < first->segment && first->len > first->segment;

    return (same || last) && first->len % first->segment == 0 && first->ecn == train->ecn &&
           first->len + train->len <= STOQ_UDP_MESSAGE_MAX &&
           (first->len + train->len + first->segment - 1) / first->segment <=
               STOQ_UDP_SEGMENTS_MAX &&
           memcmp(&first->path, &train->path, sizeof(first->path)) == 0;
}

/* Asks the endpoint for trains; false: it has none now. */
static bool outbox_fill(struct stoq_worker *worker, uint64_t now)
{
    struct stoq_outbox *box = worker->outbox;

    box->first = box->count = box->used = 0;
    while (box->count < STOQ_UDP_SEND_BATCH && box->used < STOQ_OUTBOX_FULL_BYTES) {
        struct stoq_parcel *parcel = &box->parcels[box->count];

        *parcel = (struct stoq_parcel){.data = box->bytes + box->used};
        size_t len = stoq_endpoint_send(worker->endpoint, box->bytes + box->used,
                                        STOQ_UDP_MESSAGE_MAX, &parcel->train, now);
        if (len == 0)
            break;
        parcel->train.len = len;
        if (parcel->train.segment == 0)
            parcel->train.segment = len;
        box->used += len;
        if (box->count > 0 && parcel_joins(&parcel[-1], parcel))
            parcel[-1].train.len += len;
        else
            box->count++;
    }
    return box->count > 0;
}

/* True: the outbox is empty. */
static bool outbox_send(struct stoq_worker *worker, uint64_t now)
{
    struct stoq_outbox *box = worker->outbox;
    enum stoq_udp_state state;

    box->first += stoq_udp_send(&worker->udp, box->parcels + box->first, box->count - box->first,
                                &state);
    box->full = state == STOQ_UDP_FULL;
    box->again_ns = state == STOQ_UDP_LATER ? now + RETRY_NS : 0;
    return box->first == box->count;
}

/* True: there is more to send, and the socket takes it. */
static bool flush(struct stoq_worker *worker, uint64_t now)
{
    struct stoq_outbox *box = worker->outbox;

    if (box->again_ns > now)
        return false;
    for (int i = 0; i < FILLS_PER_ROUND; i++) {
        if (box->first == box->count && !outbox_fill(worker, now))
            return false;
        if (!outbox_send(worker, now))
            return false;
    }
    return true;
}

/* True: there is more to do now. */
static bool rounds(struct stoq_worker *worker, uint64_t *now)
{
    struct stoq_packet packets[STOQ_UDP_BATCH];

    for (int i = 0; i < ROUNDS_MAX; i++) {
        size_t count = stoq_udp_receive(&worker->udp, packets);

        if (count > 0)
            stoq_worker_receive(worker, packets, count, *now);
        if (stoq_endpoint_deadline(worker->endpoint) <= *now)
            stoq_endpoint_expire(worker->endpoint, *now);
        bool more = flush(worker, *now);
        if (!more && count < STOQ_UDP_BATCH)
            return false;
        *now = stoq_host_now();
    }
    return true;
}

static bool finished(const struct stoq_worker *worker, uint64_t now, bool more)
{
    const struct stoq_outbox *box = worker->outbox;

    if (!worker->draining || more)
        return worker->draining && now >= worker->drain_until + GOODBYE_NS;
    if (box->first < box->count) /* the goodbyes; not for ever, if the network does not take them */
        return now >= worker->drain_until + GOODBYE_NS;
    return now >= worker->drain_until || stoq_endpoint_connections(worker->endpoint) == 0;
}

static uint64_t wake_at(const struct stoq_worker *worker)
{
    const struct stoq_outbox *box = worker->outbox;
    uint64_t at = stoq_endpoint_deadline(worker->endpoint);

    if (box->again_ns != 0 && box->again_ns < at)
        at = box->again_ns;
    if (worker->draining) {
        uint64_t end = worker->drain_until + (box->first < box->count ? GOODBYE_NS : 0);

        at = end < at ? end : at;
    }
    return at;
}

void *stoq_worker_run(void *arg)
{
    struct stoq_worker *worker = arg;

    for (;;) {
        uint64_t now = stoq_host_now();

        run_posts(worker, now);
        bool more = rounds(worker, &now);
        if (finished(worker, now, more))
            break;
        if (more)
            continue;
        uint64_t at = wake_at(worker);
        if (worker->outbox->full &&
            at < now + RETRY_NS) /* what is due cannot leave: no use to spin */
            at = now + RETRY_NS;
        if (at > now && at - now >= NAP_MIN_NS && stoq_posts_rest(&worker->posts))
            stoq_waiter_wait(&worker->waiter, worker->udp.fd, worker->outbox->full, at, now);
    }
    stoq_endpoint_free(worker->endpoint);
    return NULL;
}
