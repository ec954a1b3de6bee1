/* A UDP socket made ready for QUIC: both families, marked packets, no fragments, one socket of a group each worker. */
#include <errno.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stoq_udp.h"
#include "stoq_udp_inbox.h"

static bool set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

static void set_buffers(int fd, size_t bytes)
{
    int size = bytes == 0              ? (int)STOQ_UDP_BUFFER_DEFAULT
               : bytes > INT32_MAX / 2 ? INT32_MAX / 2
                                       : (int)bytes;

    /* Forcing takes a privilege; without it the system's limit holds, and that is not an error. */
    if (!set(fd, SOL_SOCKET, SO_RCVBUFFORCE, size))
        (void)set(fd, SOL_SOCKET, SO_RCVBUF, size);
    if (!set(fd, SOL_SOCKET, SO_SNDBUFFORCE, size))
        (void)set(fd, SOL_SOCKET, SO_SNDBUF, size);
}

/* What must hold for QUIC to work. */
static int set_needed(int fd, const struct stoq_udp_options *options, struct stoq_error *error)
{
    if (!set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0))
        return stoq_fail_errno(error, STOQ_EIO, "cannot take IPv4 on an IPv6 socket");
    /* RFC 9000 section 14: no fragments. PROBE also sends what is larger than the path carried lately, so that path
     * MTU discovery is ours alone. */
    if (!set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE) ||
        !set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE))
        return stoq_fail_errno(error, STOQ_EIO, "cannot forbid fragments on a UDP socket");
    if (options->interface != NULL &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, options->interface,
                   (socklen_t)strnlen(options->interface, IFNAMSIZ)) != 0)
        return stoq_fail_errno(error, STOQ_EIO, "cannot bind to the interface %.16s",
                               options->interface);
    return 0;
}

static int set_shared(int fd, const struct stoq_udp_options *options, struct stoq_error *error)
{
    return !options->shared || set(fd, SOL_SOCKET, SO_REUSEPORT, 1)
               ? 0
               : stoq_fail_errno(error, STOQ_EIO, "cannot share a UDP port between workers");
}

/* What makes it better where the kernel knows it. */
static void set_wished(int fd, bool ask_local)
{
    if (ask_local)
        (void)set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    (void)set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    (void)set(fd, IPPROTO_IP, IP_RECVTOS, 1);
    (void)set(fd, IPPROTO_UDP, UDP_GRO, 1);
}

static int open_bound(struct stoq_udp *udp, const struct stoq_udp_options *options,
                      struct stoq_error *error)
{
    struct sockaddr_in6 address = options->bind;
    socklen_t len = sizeof(udp->local);
    char text[STOQ_ADDRESS_TEXT_BYTES];
    int zero = 0;
    socklen_t zero_len = sizeof(zero);

    udp->fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (udp->fd < 0)
        return stoq_fail_errno(error, STOQ_EIO, "cannot open a UDP socket");
    int code = set_needed(udp->fd, options, error);
    if (code != 0)
        return code;
    if (!options->first)
        code = set_shared(udp->fd, options, error);
    if (code != 0)
        return code;
    set_buffers(udp->fd, options->buffer);
    address.sin6_family = AF_INET6;
    if (bind(udp->fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        stoq_address_text(&address, text);
        return stoq_fail_errno(error, STOQ_EIO, "cannot bind a UDP socket to %s", text);
    }
    /* Set before, it would also let us join the sockets of another program of this user. */
    code = options->first ? set_shared(udp->fd, options, error) : 0;
    if (code != 0)
        return code;
    if (getsockname(udp->fd, (struct sockaddr *)&udp->local, &len) != 0)
        return stoq_fail_errno(error, STOQ_EIO, "cannot read a UDP socket's address");
    udp->ask_local = options->ask_local && IN6_IS_ADDR_UNSPECIFIED(&udp->local.sin6_addr);
    set_wished(udp->fd, udp->ask_local);
    udp->gso = getsockopt(udp->fd, IPPROTO_UDP, UDP_SEGMENT, &zero, &zero_len) == 0;
    return 0;
}

int stoq_udp_open(struct stoq_udp *udp, const struct stoq_udp_options *options,
                  struct stoq_error *error)
{
    struct stoq_udp opened = {.fd = -1};

    if (options->interface != NULL &&
        (options->interface[0] == '\0' || strnlen(options->interface, IFNAMSIZ) >= IFNAMSIZ))
        return stoq_fail(error, STOQ_EINVAL, "an interface's name has 1 to %d bytes", IFNAMSIZ - 1);
    opened.inbox = hm_malloc(sizeof(*opened.inbox));
    if (opened.inbox == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for a socket's buffers");
    stoq_udp_inbox_init(opened.inbox);
    int code = open_bound(&opened, options, error);
    if (code != 0) {
        stoq_udp_close(&opened);
        return code;
    }
    *udp = opened;
    return 0;
}

void stoq_udp_close(struct stoq_udp *udp)
{
    if (udp->inbox != NULL && udp->fd >= 0)
        (void)close(udp->fd);
    hm_free(udp->inbox);
    *udp = (struct stoq_udp){.fd = -1};
}

int stoq_udp_steer(const struct stoq_udp *udp, unsigned count, struct stoq_error *error)
{
    /* Offsets count from the UDP payload. RFC 8999: a long header has flags, version, length and id of the destination;
     * a short one flags and id. A load past the end ends the program with 0: the first socket. */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x80, 0, 2),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6), BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 1), BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {.len = HM_COUNT_OF(code), .filter = code};

    if (count == 0)
        return stoq_fail(error, STOQ_EINVAL, "packets cannot be shared among no sockets");
    if (setsockopt(udp->fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) != 0)
        return stoq_fail_errno(error, STOQ_EIO, "cannot steer packets to their workers");
    return 0;
}
