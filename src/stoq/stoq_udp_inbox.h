/* Where a socket's messages are received into. */
#ifndef STOQ_UDP_INBOX_H
#define STOQ_UDP_INBOX_H

#include <sys/socket.h>

#include "stoq_udp.h"

#define STOQ_UDP_CONTROL_BYTES 192
/* Not a multiple of a power of two that maps all buffers onto the same cache lines. */
#define STOQ_UDP_BUFFER_BYTES (65536 + 320)

struct stoq_udp_inbox {
    struct mmsghdr messages[STOQ_UDP_BATCH];
    struct iovec vectors[STOQ_UDP_BATCH];
    struct sockaddr_in6 names[STOQ_UDP_BATCH];
    _Alignas(struct cmsghdr) uint8_t control[STOQ_UDP_BATCH][STOQ_UDP_CONTROL_BYTES];
    uint8_t bytes[STOQ_UDP_BATCH][STOQ_UDP_BUFFER_BYTES];
};
void stoq_udp_inbox_init(struct stoq_udp_inbox *inbox);

#endif
