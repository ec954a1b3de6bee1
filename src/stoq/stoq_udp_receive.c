/* Messages in: many a system call, each one or more datagrams of one size (GRO). */
#include <errno.h>
#include <netinet/udp.h>

#include "stoq_udp_inbox.h"

void stoq_udp_inbox_init(struct stoq_udp_inbox *inbox)
{
    for (size_t i = 0; i < STOQ_UDP_BATCH; i++) {
        inbox->vectors[i] = (struct iovec){.iov_base = inbox->bytes[i],
                                           .iov_len = sizeof(inbox->bytes[i])};
        inbox->messages[i].msg_hdr = (struct msghdr){.msg_name = &inbox->names[i],
                                                     .msg_namelen = sizeof(inbox->names[i]),
                                                     .msg_iov = &inbox->vectors[i],
                                                     .msg_iovlen = 1,
                                                     .msg_control = inbox->control[i],
                                                     .msg_controllen = sizeof(inbox->control[i])};
    }
}

/* What the kernel says beside the bytes. */
static void read_control(struct msghdr *header, struct stoq_packet *packet)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        int value = 0;

        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            memcpy(&value, CMSG_DATA(c), sizeof(value));
            if (value > 0 && (size_t)value < packet->len)
                packet->segment = (size_t)value;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof(info));
            packet->path.local.sin6_addr = info.ipi6_addr;
            if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
                packet->path.local.sin6_scope_id = info.ipi6_ifindex;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
            memcpy(&value, CMSG_DATA(c), sizeof(value));
            packet->ecn = (uint8_t)(value & 3);
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
            packet->ecn = *CMSG_DATA(c) & 3;
        }
    }
}

size_t stoq_udp_receive(struct stoq_udp *udp, struct stoq_packet packets[STOQ_UDP_BATCH])
{
    struct stoq_udp_inbox *inbox = udp->inbox;
    size_t filled = 0;
    int count;

    do {
        count = recvmmsg(udp->fd, inbox->messages, STOQ_UDP_BATCH, MSG_DONTWAIT, NULL);
    } while (count < 0 && errno == EINTR);
    for (int i = 0; i < count; i++) {
        struct msghdr *header = &inbox->messages[i].msg_hdr;
        struct stoq_packet *packet = &packets[filled];

        *packet = (struct stoq_packet){.path.local = udp->local,
                                       .path.remote = inbox->names[i],
                                       .data = inbox->bytes[i],
                                       .len = inbox->messages[i].msg_len,
                                       .segment = inbox->messages[i].msg_len};
        read_control(header, packet);
        /* Without its control data a train could be taken for one datagram. */
        if (packet->len > 0 && (header->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
            filled++;
        header->msg_namelen = sizeof(inbox->names[i]);
        header->msg_controllen = sizeof(inbox->control[i]);
        header->msg_flags = 0;
    }
    return filled;
}
