/* Datagrams that reached a worker in a train with another's. */
#include "stoq_core.h"
#include "stoq_host.h"

struct stray {
    struct stoq_worker *owner;
    struct stoq_packet packet;
    uint8_t bytes[];
};

/* Whose it is, as the program in stoq_udp_steer says; what is too short for an id is the one's that has it. */
static struct stoq_worker *owner_of(struct stoq_worker *here, const uint8_t *data, size_t len)
{
    size_t at = (data[0] & 0x80) != 0 ? 6 : 1;

    return len > at ? &here->host->workers[data[at] % here->host->count] : here;
}

static void arrived(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct stray *stray = arg;

    stoq_endpoint_receive(endpoint, &stray->packet, 1, now_ns);
    atomic_fetch_sub(&stray->owner->strays, 1);
    hm_free(stray);
}

/* Copies a datagram to its owner. False: it is lost, because there is no room. */
static bool forward(struct stoq_worker *owner, const struct stoq_packet *packet,
                    const uint8_t *data, size_t len)
{
    if (atomic_fetch_add(&owner->strays, 1) < STOQ_STRAYS_MAX) {
        struct stray *stray = hm_malloc(sizeof(*stray) + len);

        if (stray != NULL) {
            struct stoq_post post = {.act = arrived, .arg = stray};

            *stray = (struct stray){.owner = owner, .packet = *packet};
            memcpy(stray->bytes, data, len);
            stray->packet.data = stray->bytes;
            stray->packet.len = stray->packet.segment = len;
            if (stoq_posts_add(&owner->posts, &post) == 0)
                return true;
            hm_free(stray);
        }
    }
    atomic_fetch_sub(&owner->strays, 1);
    return false;
}

/* The datagrams of one train, each to its owner; those that follow one another here go together. */
static void distribute(struct stoq_worker *worker, const struct stoq_packet *packet,
                       uint64_t now_ns)
{
    struct stoq_packet own = *packet;

    own.len = 0;
    for (size_t at = 0; at < packet->len; at += packet->segment) {
        const uint8_t *data = packet->data + at;
        size_t left = packet->len - at;
        size_t len = left < packet->segment ? left : packet->segment;
        struct stoq_worker *owner = owner_of(worker, data, len);

        if (owner == worker) {
            if (own.len == 0)
                own.data = packet->data + at;
            own.len += len;
            continue;
        }
        if (own.len > 0)
            stoq_endpoint_receive(worker->endpoint, &own, 1, now_ns);
        own.len = 0;
        if (!forward(owner, packet, data, len))
            stoq_count(worker->endpoint, STOQ_COUNT_DROP_STRAY, 1);
    }
    if (own.len > 0)
        stoq_endpoint_receive(worker->endpoint, &own, 1, now_ns);
}

static bool has_strays(struct stoq_worker *worker, const struct stoq_packet *packet)
{
    for (size_t at = 0; at < packet->len; at += packet->segment) {
        if (owner_of(worker, packet->data + at, packet->len - at) != worker)
            return true;
    }
    return false;
}

void stoq_worker_receive(struct stoq_worker *worker, const struct stoq_packet *packets,
                         size_t count, uint64_t now_ns)
{
    size_t done = 0;

    if (worker->host->count > 1) {
        for (size_t i = 0; i < count; i++) {
            if (!has_strays(worker, &packets[i]))
                continue;
            if (i > done)
                stoq_endpoint_receive(worker->endpoint, packets + done, i - done, now_ns);
            distribute(worker, &packets[i], now_ns);
            done = i + 1;
        }
    }
    if (count > done)
        stoq_endpoint_receive(worker->endpoint, packets + done, count - done, now_ns);
}
