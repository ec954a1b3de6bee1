/* faultnet: a network with faults between network namespaces, for tests of many nodes on one machine.
 *
 *     faultnet CONTROL_SOCKET SEED NAMESPACE NAMESPACE...
 *
 * needs root (or CAP_SYS_ADMIN and CAP_NET_ADMIN) and /dev/net/tun, no kernel module for faults. NAMESPACE is a name
 * in /run/netns (made by `ip netns add`), or a path such as /proc/PID/ns/net. In namespace number N (from 0) it makes
 * a TUN device hm0 with 10.66.0.N+1/24 and, where there is IPv6, fd00:6::N+1/64, MTU 1500, sets lo and hm0 up, prints
 * "ready" and then carries the packets from device to device by itself until it is told to quit, is terminated, or
 * the process that started it ends. The devices end with it; the namespaces stay.
 *
 * Commands, a line each over the unix socket; the last line of each answer is "ok" or "error: REASON". FROM and TO are
 * numbers of nodes or *, and a rule holds for that direction only:
 *
 *     delay FROM TO MS [JITTER_MS]        jitter never makes packets overtake each other
 *     loss FROM TO PERCENT                duplicate FROM TO PERCENT
 *     reorder FROM TO PERCENT [LATER_MS]  so many come that much later (20)
 *     cut 0,1|2,3                         only nodes of a group reach each other; those not named are one more group
 *     heal                                ends the cut, keeps the rules
 *     clear                               ends the cut and all rules
 *     count                               a line a direction: bytes on the wire, with IP headers
 *     zero                                counters start anew
 *     quit
 *
 * The same seed gives the n-th packet of a direction the same chance. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "faultnet_rules.h"

#define DEVICE            "hm0"
#define MTU_BYTES         1500
#define PACKET_MAX_BYTES  65536
#define QUEUE_MAX_PACKETS 65536
#define TURN_MAX_PACKETS  64 /* of one node before the others have their turn */
#define CLIENTS_MAX       8

struct packet {
    uint64_t at_ns, number; /* number: those of one moment leave in the order they came */
    unsigned from, to;
    size_t len;
    uint8_t data[];
};

struct client {
    int fd; /* negative: free */
    size_t len;
    char line[FAULTNET_LINE_MAX + 1];
};

static struct {
    struct faultnet net;
    int tun[FAULTNET_NODES_MAX];
    int control, signals;
    struct client clients[CLIENTS_MAX];
    struct packet *queue[QUEUE_MAX_PACKETS]; /* a heap: the earliest first */
    size_t queued;
    uint64_t numbers;
    bool quit;
} self;

static uint64_t now_ns(void)
{
    return hm_mono_ns(hm_clock_system());
}

/* --- the queue ---------------------------------------------------------------------------------------- */

static bool before(const struct packet *a, const struct packet *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->number < b->number;
}

static void queue_swap(size_t a, size_t b)
{
    struct packet *kept = self.queue[a];

    self.queue[a] = self.queue[b];
    self.queue[b] = kept;
}

static void queue_put(unsigned from, unsigned to, const uint8_t *data, size_t len, uint64_t at_ns)
{
    struct packet *packet = self.queued < QUEUE_MAX_PACKETS ? hm_malloc(sizeof *packet + len)
                                                            : NULL;
    size_t at = self.queued;

    if (packet == NULL) {
        faultnet_arrived(&self.net, from, to, len, false);
        return;
    }
    *packet = (struct packet){
        .at_ns = at_ns, .number = self.numbers++, .from = from, .to = to, .len = len};
    memcpy(packet->data, data, len);
    self.queue[self.queued++] = packet;
    while (at > 0 && before(self.queue[at], self.queue[(at - 1) / 2])) {
        queue_swap(at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static struct packet *queue_take(void)
{
    struct packet *first = self.queue[0];
    size_t at = 0;

    self.queue[0] = self.queue[--self.queued];
    for (;;) {
        size_t least = at, left = 2 * at + 1;
        for (size_t i = left; i < left + 2 && i < self.queued; i++)
            least = before(self.queue[i], self.queue[least]) ? i : least;
        if (least == at)
            return first;
        queue_swap(at, least);
        at = least;
    }
}

static void queue_deliver(void)
{
    uint64_t now = now_ns();

    while (self.queued > 0 && self.queue[0]->at_ns <= now) {
        struct packet *packet = queue_take();
        if (faultnet_connected(&self.net, packet->from, packet->to)) {
            ssize_t written = write(self.tun[packet->to], packet->data, packet->len);
            faultnet_arrived(&self.net, packet->from, packet->to, packet->len,
                             written == (ssize_t)packet->len);
        } else {
            faultnet_was_cut(&self.net, packet->from, packet->to);
        }
        hm_free(packet);
    }
}

static void tun_read(unsigned from)
{
    static uint8_t data[PACKET_MAX_BYTES];

    for (unsigned i = 0; i < TURN_MAX_PACKETS; i++) {
        ssize_t len = read(self.tun[from], data, sizeof data);
        int to = len > 0 ? faultnet_target(&self.net, data, (size_t)len) : -1;
        struct faultnet_fate fate;
        if (len <= 0)
            return;
        if (to < 0 || (unsigned)to == from)
            continue; /* neighbour discovery, multicast: no business of ours */
        faultnet_decide(&self.net, from, (unsigned)to, (size_t)len, now_ns(), &fate);
        for (unsigned copy = 0; copy < fate.copies; copy++)
            queue_put(from, (unsigned)to, data, (size_t)len, fate.at_ns[copy]);
    }
}

/* --- devices ------------------------------------------------------------------------------------------ */

static int address_set(int socket4, unsigned node, struct hm_error *error)
{
    struct ifreq request = {.ifr_name = DEVICE};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(0x0a420001U + node)};

    memcpy(&request.ifr_addr, &address, sizeof address);
    if (ioctl(socket4, SIOCSIFADDR, &request) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot give " DEVICE " its address");
    address.sin_addr.s_addr = htonl(0xffffff00U);
    memcpy(&request.ifr_netmask, &address, sizeof address);
    if (ioctl(socket4, SIOCSIFNETMASK, &request) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot give " DEVICE " its network");
    return 0;
}

static int up(int socket4, const char *device, struct hm_error *error)
{
    struct ifreq request = {0};

    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device);
    if (ioctl(socket4, SIOCGIFFLAGS, &request) != 0)
        return hm_fail_errno(error, HM_EIO, "no device %s", device);
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    if (ioctl(socket4, SIOCSIFFLAGS, &request) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot set %s up", device);
    return 0;
}

/* A kernel without IPv6 is no failure: the nodes have IPv4. */
static void address6_set(unsigned node)
{
    HM_AUTOCLOSE int socket6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct in6_ifreq request = {.ifr6_prefixlen = 64, .ifr6_ifindex = (int)if_nametoindex(DEVICE)};

    request.ifr6_addr.s6_addr[0] = 0xfd;
    request.ifr6_addr.s6_addr[3] = 0x06;
    request.ifr6_addr.s6_addr[15] = (uint8_t)(node + 1);
    if (socket6 < 0 || ioctl(socket6, SIOCSIFADDR, &request) != 0)
        (void)fprintf(stderr, "faultnet: no IPv6 in namespace %u\n", node);
}

/* In the namespace this thread is in. */
static int device_make(unsigned node, int *tun, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    HM_AUTOCLOSE int socket4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = DEVICE, .ifr_flags = IFF_TUN | IFF_NO_PI};
    int status;

    if (fd < 0 || socket4 < 0)
        return hm_fail_errno(error, HM_EUNAVAILABLE, "cannot open /dev/net/tun");
    if (ioctl(fd, TUNSETIFF, &request) != 0)
        return hm_fail_errno(error, HM_EPERM, "cannot make the device " DEVICE);
    if ((status = address_set(socket4, node, error)) != 0)
        return status;
    request = (struct ifreq){.ifr_name = DEVICE, .ifr_mtu = MTU_BYTES};
    if (ioctl(socket4, SIOCSIFMTU, &request) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot set the MTU of " DEVICE);
    address6_set(node);
    if ((status = up(socket4, "lo", error)) != 0 || (status = up(socket4, DEVICE, error)) != 0)
        return status;
    *tun = HM_TAKE_FD(fd);
    return 0;
}

static int namespaces_join(char *const *names, unsigned count, struct hm_error *error)
{
    HM_AUTOCLOSE int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

    for (unsigned i = 0; i < count; i++) {
        char path[256];
        int status;
        (void)snprintf(path, sizeof path, "%s%s",
                       strchr(names[i], '/') == NULL ? "/run/netns/" : "", names[i]);
        HM_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return hm_fail_errno(error, HM_ENOTFOUND, "no network namespace %s", path);
        if (setns(fd, CLONE_NEWNET) != 0)
            return hm_fail_errno(error, HM_EPERM, "cannot enter the network namespace %s", path);
        status = device_make(i, &self.tun[i], error);
        if (setns(own, CLONE_NEWNET) != 0)
            return hm_fail_errno(error, HM_EPERM, "cannot leave the network namespace %s", path);
        if (status != 0)
            return hm_error_prefix(error, status, "%s", path);
    }
    return 0;
}

/* --- control ------------------------------------------------------------------------------------------ */

static int control_open(const char *path, struct hm_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof address.sun_path)
        return hm_fail(error, HM_ELIMIT, "a socket's path has at most %zu bytes",
                       sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    self.control = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)unlink(path);
    if (self.control < 0 || bind(self.control, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(self.control, CLIENTS_MAX) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot listen at %s", path);
    return 0;
}

static void client_end(struct client *client)
{
    (void)close(client->fd);
    client->fd = -1;
}

static void client_accept(void)
{
    int fd = accept4(self.control, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    for (unsigned i = 0; i < CLIENTS_MAX && fd >= 0; i++) {
        if (self.clients[i].fd < 0) {
            self.clients[i].fd = HM_TAKE_FD(fd);
            self.clients[i].len = 0;
        }
    }
    hm_fd_release(&fd);
}

static bool client_line(struct client *client, char *line)
{
    HM_CLEANUP(hm_buf) struct hm_buf answer = {0};
    ssize_t sent;

    if (faultnet_command(&self.net, line, &answer, &self.quit) != 0)
        return false;
    /* A client that does not read its answers is not waited for. */
    sent = send(client->fd, answer.data, answer.len, MSG_NOSIGNAL);
    return sent == (ssize_t)answer.len;
}

static void client_read(struct client *client)
{
    ssize_t got = read(client->fd, client->line + client->len, FAULTNET_LINE_MAX - client->len);
    char *end;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        client_end(client);
        return;
    }
    client->len += (size_t)got;
    while ((end = memchr(client->line, '\n', client->len)) != NULL) {
        size_t used = (size_t)(end - client->line) + 1;
        *end = '\0';
        if (!client_line(client, client->line)) {
            client_end(client);
            return;
        }
        client->len -= used;
        memmove(client->line, client->line + used, client->len);
    }
    if (client->len == FAULTNET_LINE_MAX)
        client_end(client);
}

/* --- the loop ----------------------------------------------------------------------------------------- */

static void turn(void)
{
    struct pollfd polls[2 + CLIENTS_MAX + FAULTNET_NODES_MAX];
    struct timespec wait = {.tv_sec = 3600};
    struct pollfd *clients = polls + 2, *tuns = clients + CLIENTS_MAX;
    uint64_t now = now_ns();

    if (self.queued > 0) {
        uint64_t left = self.queue[0]->at_ns > now ? self.queue[0]->at_ns - now : 0;
        wait = (struct timespec){.tv_sec = (time_t)(left / 1000000000),
                                 .tv_nsec = (long)(left % 1000000000)};
    }
    polls[0] = (struct pollfd){.fd = self.control, .events = POLLIN};
    polls[1] = (struct pollfd){.fd = self.signals, .events = POLLIN};
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        clients[i] = (struct pollfd){.fd = self.clients[i].fd, .events = POLLIN};
    for (unsigned i = 0; i < self.net.nodes; i++)
        tuns[i] = (struct pollfd){.fd = self.tun[i], .events = POLLIN};
    if (ppoll(polls, 2 + CLIENTS_MAX + self.net.nodes, &wait, NULL) < 0)
        return;
    self.quit = self.quit || polls[1].revents != 0;
    for (unsigned i = 0; i < self.net.nodes; i++)
        if (tuns[i].revents & POLLIN)
            tun_read(i);
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (clients[i].revents != 0 && self.clients[i].fd >= 0)
            client_read(&self.clients[i]);
    if (polls[0].revents & POLLIN)
        client_accept();
    queue_deliver();
}

static int start(int argc, char **argv, struct hm_error *error)
{
    uint64_t seed;
    sigset_t ends;
    int status;

    if (argc < 5)
        return hm_fail(error, HM_EINVAL,
                       "say: faultnet CONTROL_SOCKET SEED NAMESPACE NAMESPACE...");
    if ((status = hm_u64_parse(argv[2], &seed, error)) != 0 ||
        (status = faultnet_init(&self.net, (unsigned)(argc - 3), seed, error)) != 0)
        return status;
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        self.clients[i].fd = -1;
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    self.signals = signalfd(-1, &ends, SFD_CLOEXEC);
    if (self.signals < 0)
        return hm_fail_errno(error, HM_EIO, "no signalfd");
    if ((status = namespaces_join(argv + 3, self.net.nodes, error)) != 0)
        return status;
    return control_open(argv[1], error);
}

int main(int argc, char **argv)
{
    struct hm_error error;

    if (start(argc, argv, &error) != 0) {
        (void)fprintf(stderr, "faultnet: %s\n", error.text);
        return 1;
    }
    (void)puts("ready");
    (void)fflush(stdout);
    while (!self.quit)
        turn();
    (void)unlink(argv[1]);
    while (self.queued > 0)
        hm_free(queue_take());
    return 0;
}
