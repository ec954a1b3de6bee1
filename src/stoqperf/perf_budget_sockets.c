/* UDP alone: what the kernel takes for packets that are sent and received as trains. */
#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf_budget.h"

#define BURST        16 /* trains that wait in the socket at a time */
#define SEGMENTS_MAX 64
#define BUFFER_BYTES (7 << 20)

struct ends {
    int from, to;
    uint8_t *bytes; /* a train */
    size_t mtu, packets; /* of a train */
};

static int udp_socket(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int size = BUFFER_BYTES, on = 1;
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    (void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static bool ends_connect(const struct ends *ends)
{
    struct sockaddr_in6 address;
    socklen_t len = sizeof(address);
    int segment = (int)ends->mtu;

    return getsockname(ends->to, (struct sockaddr *)&address, &len) == 0 &&
           connect(ends->from, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
           (ends->packets == 1 ||
            setsockopt(ends->from, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)) == 0);
}

/* Some trains out, then in; how many packets came. */
static size_t burst(const struct ends *ends, double *send_s, double *receive_s)
{
    double start = perf_thread_seconds();
    size_t came = 0;
    ssize_t n;

    for (int i = 0; i < BURST; i++)
        (void)send(ends->from, ends->bytes, ends->packets * ends->mtu, 0);
    double between = perf_thread_seconds();
    while ((n = recv(ends->to, ends->bytes, PERF_TRAIN_BYTES + 1, 0)) > 0)
        came += (size_t)n / ends->mtu;
    *send_s += between - start;
    *receive_s += perf_thread_seconds() - between;
    return came;
}

static int ends_measure(const struct ends *ends, struct perf_socket_cost *cost, double seconds)
{
    double send_s = 0, receive_s = 0;
    size_t came = 0, bursts = 0;

    while (send_s + receive_s < seconds) {
        size_t now = burst(ends, &send_s, &receive_s);

        if (now == 0) {
            errno = ENOBUFS;
            return STOQ_EIO;
        }
        came += now;
        bursts++;
    }
    cost->send_ns = send_s * 1e9 / (double)(bursts * BURST * ends->packets);
    cost->receive_ns = receive_s * 1e9 / (double)came;
    return 0;
}

int perf_sockets_measure(struct perf_socket_cost *cost, size_t mtu, double seconds,
                         struct stoq_error *error)
{
    struct ends ends = {.from = udp_socket(),
                        .to = udp_socket(),
                        .bytes = hm_calloc(1, PERF_TRAIN_BYTES + 1),
                        .mtu = mtu,
                        .packets = PERF_TRAIN_BYTES / mtu};
    int code = STOQ_EIO;

    if (ends.packets > SEGMENTS_MAX)
        ends.packets = SEGMENTS_MAX;
    if (ends.from >= 0 && ends.to >= 0 && ends.bytes != NULL && ends_connect(&ends))
        code = ends_measure(&ends, cost, seconds);
    if (code != 0) {
        *error = (struct stoq_error){.code = code};
        (void)snprintf(error->text, sizeof(error->text), "UDP on ::1 does not work: %s",
                       strerror(errno));
    }
    if (ends.from >= 0)
        (void)close(ends.from);
    if (ends.to >= 0)
        (void)close(ends.to);
    hm_free(ends.bytes);
    return code;
}
