/* Messages out: many a system call, each a train that the kernel or the interface cuts (GSO). */
#include <errno.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include "stoq_udp.h"

#define CONTROL_BYTES                                                        \
    (CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(struct in6_pktinfo)) + \
     CMSG_SPACE(sizeof(int)))

/* One sendmmsg: which parcel each message is of, and how much of it. */
struct batch {
    struct mmsghdr messages[STOQ_UDP_SEND_BATCH];
    struct iovec vectors[STOQ_UDP_SEND_BATCH];
    _Alignas(struct cmsghdr) uint8_t control[STOQ_UDP_SEND_BATCH][CONTROL_BYTES];
    struct stoq_parcel *owners[STOQ_UDP_SEND_BATCH];
    unsigned count;
};

static void add_control(struct msghdr *header, int level, int type, const void *data, size_t len)
{
    struct cmsghdr *c = (struct cmsghdr *)(void *)((uint8_t *)header->msg_control +
                                                   header->msg_controllen);

    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), data, len);
    header->msg_controllen += CMSG_SPACE(len);
}

static void set_control(const struct stoq_udp *udp, const struct stoq_train *train, size_t len,
                        struct msghdr *header)
{
    if (len > train->segment) {
        uint16_t segment = (uint16_t)train->segment;

        add_control(header, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment));
    }
    if (udp->ask_local && !IN6_IS_ADDR_UNSPECIFIED(&train->path.local.sin6_addr)) {
        struct in6_pktinfo info = {.ipi6_addr = train->path.local.sin6_addr,
                                   .ipi6_ifindex = train->path.local.sin6_scope_id};

        add_control(header, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    }
    if (train->ecn != 0) {
        int ecn = train->ecn & 3;

        if (IN6_IS_ADDR_V4MAPPED(&train->path.remote.sin6_addr))
            add_control(header, IPPROTO_IP, IP_TOS, &ecn, sizeof(ecn));
        else
            add_control(header, IPPROTO_IPV6, IPV6_TCLASS, &ecn, sizeof(ecn));
    }
}

static void add_message(const struct stoq_udp *udp, struct batch *batch, struct stoq_parcel *parcel,
                        const uint8_t *data, size_t len)
{
    unsigned i = batch->count++;
    struct msghdr *header = &batch->messages[i].msg_hdr;

    batch->owners[i] = parcel;
    batch->vectors[i] = (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    *header = (struct msghdr){.msg_name = &parcel->train.path.remote,
                              .msg_namelen = sizeof(parcel->train.path.remote),
                              .msg_iov = &batch->vectors[i],
                              .msg_iovlen = 1,
                              .msg_control = batch->control[i]};
    set_control(udp, &parcel->train, len, header);
    if (header->msg_controllen == 0)
        header->msg_control = NULL;
}

/* The most of a parcel that one message may carry, in whole segments. */
static size_t message_bytes(const struct stoq_udp *udp, const struct stoq_parcel *parcel)
{
    size_t segments = STOQ_UDP_MESSAGE_MAX / parcel->train.segment;

    if (!udp->gso || parcel->single || segments == 0)
        segments = 1;
    if (segments > STOQ_UDP_SEGMENTS_MAX)
        segments = STOQ_UDP_SEGMENTS_MAX;
    return segments * parcel->train.segment;
}

static void fill(const struct stoq_udp *udp, struct batch *batch, struct stoq_parcel *parcels,
                 size_t count)
{
    batch->count = 0;
    for (size_t i = 0; i < count; i++) {
        size_t most = message_bytes(udp, &parcels[i]);

        for (size_t at = 0; at < parcels[i].train.len; at += most) {
            size_t left = parcels[i].train.len - at;

            if (batch->count == STOQ_UDP_SEND_BATCH)
                return;
            add_message(udp, batch, &parcels[i], parcels[i].data + at, left < most ? left : most);
        }
    }
}

/* The first message has left, or never will. */
static void advance(const struct batch *batch, unsigned message)
{
    struct stoq_parcel *parcel = batch->owners[message];

    parcel->data += batch->vectors[message].iov_len;
    parcel->train.len -= batch->vectors[message].iov_len;
}

/* A message has left. Trains are given up for good only when their bytes leave singly, over and over, and no train
 * ever does between. */
static void left(struct stoq_udp *udp, const struct batch *batch, unsigned message)
{
    struct stoq_parcel *parcel = batch->owners[message];

    if (batch->vectors[message].iov_len > parcel->train.segment)
        udp->gso_refusals = 0;
    else if (parcel->single && !parcel->counted && ++udp->gso_refusals >= STOQ_UDP_GSO_REFUSALS_MAX)
        udp->gso = false;
    parcel->counted = parcel->single;
    advance(batch, message);
}

/* What the refusal of a batch's first message means. */
static enum stoq_udp_state refused(struct batch *batch, int reason)
{
    bool train = batch->vectors[0].iov_len > batch->owners[0]->train.segment;

    if (reason == EAGAIN || reason == EWOULDBLOCK)
        return STOQ_UDP_FULL;
    if (reason == ENOBUFS || reason == ENOMEM)
        return STOQ_UDP_LATER;
    if (train && (reason == EIO || reason == EINVAL || reason == EOPNOTSUPP)) {
        /* Perhaps the interface or the kernel will not cut it; perhaps its address is gone. Singly it will show. */
        batch->owners[0]->single = true;
        return STOQ_UDP_READY;
    }
    if (reason != EINTR)
        advance(batch, 0);
    return STOQ_UDP_READY;
}

size_t stoq_udp_send(struct stoq_udp *udp, struct stoq_parcel *parcels, size_t count,
                     enum stoq_udp_state *state)
{
    struct batch batch;
    size_t done = 0;

    *state = STOQ_UDP_READY;
    while (done < count && *state == STOQ_UDP_READY) {
        fill(udp, &batch, parcels + done, count - done);
        int sent = batch.count == 0 ? 0
                                    : sendmmsg(udp->fd, batch.messages, batch.count,
                                               MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0)
            *state = refused(&batch, errno);
        for (int i = 0; i < sent; i++)
            left(udp, &batch, (unsigned)i);
        while (done < count && parcels[done].train.len == 0)
            done++;
    }
    return done;
}
