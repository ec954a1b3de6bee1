/* One UDP socket that sends and receives trains of datagrams. Linux. No QUIC, no thread. */
#ifndef STOQ_UDP_H
#define STOQ_UDP_H

#include "stoq_internal.h"

#define STOQ_UDP_BATCH            8 /* messages a receive takes at most, each up to 64 KiB */
#define STOQ_UDP_BUFFER_DEFAULT   (7U << 20)
#define STOQ_UDP_MESSAGE_MAX      65487 /* bytes one message carries, over IPv4 and IPv6 */
#define STOQ_UDP_SEGMENTS_MAX     64 /* of one message (the kernel's UDP_MAX_SEGMENTS) */
#define STOQ_UDP_SEND_BATCH       64 /* messages a system call sends at most */
#define STOQ_UDP_GSO_REFUSALS_MAX 16 /* refused so often, trains are sent one by one for good */

struct stoq_udp_options {
    struct sockaddr_in6 bind; /* all zero: the wildcard address */
    const char *interface; /* NULL: none */
    size_t buffer; /* bytes; 0: the default */
    bool shared; /* SO_REUSEPORT */
    bool first; /* with shared: nobody has the port yet, or it is refused */
    bool ask_local; /* on a wildcard address: learn each packet's destination from the kernel */
};

struct stoq_udp {
    int fd;
    struct sockaddr_in6 local; /* as getsockname says */
    bool ask_local; /* packets have the destination the kernel names; else `local` */
    bool gso;
    unsigned gso_refusals;
    struct stoq_udp_inbox *inbox;
};

/* STOQ_EIO with the system's reason, STOQ_ENOMEM, STOQ_EINVAL. */
int stoq_udp_open(struct stoq_udp *udp, const struct stoq_udp_options *options,
                  struct stoq_error *error);
void stoq_udp_close(struct stoq_udp *udp); /* one that was never opened: fd -1, or all zero */

/* Sends each packet of a group of sockets of one port to the socket whose number is the first byte of the packet's
 * connection id modulo count; sockets are numbered in the order they were opened. Any socket of the group will do. */
int stoq_udp_steer(const struct stoq_udp *udp, unsigned count, struct stoq_error *error);

/* Takes what waits, without blocking; returns how many entries of packets are filled. Their data is valid, and may be
 * written to, until the next call. */
size_t stoq_udp_receive(struct stoq_udp *udp, struct stoq_packet packets[STOQ_UDP_BATCH]);

enum stoq_udp_state {
    STOQ_UDP_READY,
    STOQ_UDP_FULL, /* the socket's buffer is full: wait until it is writable */
    STOQ_UDP_LATER, /* the system is short of memory: try again in a moment */
};
/* A train on its way out; what was sent is cut off at the front. */
struct stoq_parcel {
    struct stoq_train train;
    const uint8_t *data;
    bool single; /* the kernel refuses to cut this one */
    bool counted; /* and its bytes left singly, which was counted */
};
/* Sends in order; returns how many parcels are done with. A datagram that the network refuses (too large for the
 * interface, no route) counts as sent: it is lost, as others are. */
size_t stoq_udp_send(struct stoq_udp *udp, struct stoq_parcel *parcels, size_t count,
                     enum stoq_udp_state *state);

#endif
