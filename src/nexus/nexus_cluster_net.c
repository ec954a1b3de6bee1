/* Where the nodes of a cluster meet: ports on loopback, or as root a network namespace each, joined by a bridge. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nexus_cluster.h"

#define P2P_PORT               26656
#define METRICS_PORT           26660
#define DOOR_PORT              7471
#define HOSTS_MAX              250
#define PORT_FIRST             10000 /* of those on loopback */
#define PORT_TRIES             64
#define PORTS_KERNEL           "/proc/sys/net/ipv4/ip_local_port_range"
#define PORTS_KERNEL_MAX_BYTES 64
#define PROGRAM_IP             "/sbin/ip"
#define PROGRAM_NSENTER        "/usr/bin/nsenter"

/* --- loopback -------------------------------------------------------------------------------------------- */

/* Up to which, the end not included, ports are nobody's: the kernel hands those from there on to whoever asks for any, and a stopped
 * node's would be another program's when it starts again. PORT_FIRST where that cannot be read. */
static unsigned ports_end(void)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    unsigned long end;

    if (hm_file_read(PORTS_KERNEL, PORTS_KERNEL_MAX_BYTES, &text, NULL) != 0)
        return PORT_FIRST;
    end = strtoul(hm_buf_cstr(&text), NULL, 10);
    return end > PORT_FIRST && end <= UINT16_MAX ? (unsigned)end : PORT_FIRST;
}

/* A socket at that port of every address, so that it is free at each; -1: there is none. 0: any port. */
static int hold_port(int type, unsigned *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)*port),
                                  .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t len = sizeof(address);
    HM_AUTOCLOSE int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return -1;
    *port = ntohs(address.sin_port);
    return HM_TAKE_FD(fd);
}

/* By dice, so that two clusters that are made at once seldom want the same; where all tries fail, any that the kernel has. */
static int hold_free_port(int type, unsigned end, unsigned *port)
{
    const struct hm_random *random = hm_random_system();
    uint32_t dice;
    int fd = -1;

    for (unsigned tries = 0; fd < 0 && tries < PORT_TRIES && end > PORT_FIRST; tries++) {
        if (random->fill(random->ctx, &dice, sizeof(dice)) != 0)
            break;
        *port = PORT_FIRST + dice % (end - PORT_FIRST);
        fd = hold_port(type, port);
    }
    if (fd < 0) {
        *port = 0;
        fd = hold_port(type, port);
    }
    return fd;
}

/* All are held at once, so that no two are the same; then let go. */
static int free_ports(struct nexus_call *call, int type, unsigned *ports, size_t count)
{
    int fds[2 * NEXUS_CLUSTER_MAX];
    unsigned end = ports_end();
    size_t held = 0;
    int rc = 0;

    for (; !rc && held < count; held++) {
        fds[held] = hold_free_port(type, end, &ports[held]);
        if (fds[held] < 0)
            rc = hm_fail_errno(&call->error, HM_EIO, "no free port on this machine");
    }
    while (held > 0)
        hm_fd_release(&fds[--held]);
    return rc;
}

/* Of the nodes from `from` on. */
static int plan_loopback(struct nexus_call *call, struct nexus_cluster *cluster, size_t from)
{
    unsigned ports[2 * NEXUS_CLUSTER_MAX], doors[NEXUS_CLUSTER_MAX];
    const char *host = cluster->address && cluster->address[0] ? cluster->address : "127.0.0.1";
    int rc = free_ports(call, SOCK_STREAM, ports, 2 * (cluster->count - from));

    if (!rc)
        rc = free_ports(call, SOCK_DGRAM, doors, cluster->count - from);
    for (size_t i = from; !rc && i < cluster->count; i++) {
        struct nexus_cluster_node *node = &cluster->nodes[i];

        node->netns = "";
        node->p2p = hm_arena_printf(call->arena, "%s:%u", host, ports[2 * (i - from)]);
        node->metrics = hm_arena_printf(call->arena, "127.0.0.1:%u", ports[2 * (i - from) + 1]);
        node->door = hm_arena_printf(call->arena, "%s:%u", host, doors[i - from]);
        if (!node->p2p || !node->metrics || !node->door)
            rc = nexus_no_memory(call);
    }
    return rc;
}

/* --- namespaces ------------------------------------------------------------------------------------------ */

bool nexus_cluster_net_can(void)
{
    return geteuid() == 0 && access(PROGRAM_IP, X_OK) == 0 && access(PROGRAM_NSENTER, X_OK) == 0;
}

/* The cluster's own /24, by its id: two clusters on one machine seldom have the same, and their bridges are apart. */
static int plan_namespaces(struct nexus_call *call, struct nexus_cluster *cluster, size_t from)
{
    uint8_t id[NEXUS_CLUSTER_ID_BYTES];
    int rc = hm_hex_decode(cluster->id, strlen(cluster->id), id, sizeof(id), &call->error);

    if (rc)
        return rc;
    cluster->bridge = hm_arena_printf(call->arena, "hm-%s", cluster->id);
    for (size_t i = from; i < cluster->count; i++) {
        struct nexus_cluster_node *node = &cluster->nodes[i];
        const char *number = node->name + strlen("node"); /* its own for ever, whoever leaves */
        uint64_t host = 0;

        rc = hm_u64_parse(number, &host, &call->error);
        if (!rc && host >= HOSTS_MAX)
            rc = hm_fail(&call->error, HM_ELIMIT,
                         "the cluster's network has no address for a node%s", number);
        if (rc)
            return rc;
        node->netns = hm_arena_printf(call->arena, "hm-%s-%s", cluster->id, number);
        node->p2p = hm_arena_printf(call->arena, "10.%u.%u.%u:%d", id[0], id[1], (unsigned)host + 1,
                                    P2P_PORT);
        node->metrics = hm_arena_printf(call->arena, "127.0.0.1:%d", METRICS_PORT);
        node->door = hm_arena_printf(call->arena, "10.%u.%u.%u:%d", id[0], id[1],
                                     (unsigned)host + 1, DOOR_PORT);
        if (!node->netns || !node->p2p || !node->metrics || !node->door)
            return nexus_no_memory(call);
    }
    return cluster->bridge ? 0 : nexus_no_memory(call);
}

int nexus_cluster_net_plan(struct nexus_call *call, bool namespaces, struct nexus_cluster *cluster)
{
    return namespaces ? plan_namespaces(call, cluster, 0) : plan_loopback(call, cluster, 0);
}

int nexus_cluster_net_plan_last(struct nexus_call *call, struct nexus_cluster *cluster)
{
    return cluster->bridge[0] ? plan_namespaces(call, cluster, cluster->count - 1)
                              : plan_loopback(call, cluster, cluster->count - 1);
}

/* `ip` with the words of the line; names of ours hold no blanks. */
static int run_ip(const char *line, struct hm_error *error)
{
    HM_AUTOFREE char *words = hm_strdup(line);
    HM_CLEANUP(hm_buf) struct hm_buf said = {0};
    const char *argv[24] = {PROGRAM_IP};
    size_t argc = 1;
    char *rest = NULL;

    if (!words)
        return hm_fail(error, HM_ENOMEM, "no memory for a command");
    for (char *word = strtok_r(words, " ", &rest); word && argc < HM_COUNT_OF(argv) - 1;
         word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    argv[argc] = NULL;
    return nexus_cluster_command(argv, &said, error);
}

__attribute__((format(printf, 2, 3))) static int ip(struct nexus_call *call, const char *format,
                                                    ...)
{
    char line[256];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    return run_ip(line, &call->error);
}

static bool namespace_is_there(const char *name)
{
    HM_AUTOFREE char *path = hm_asprintf("/run/netns/%s", name);

    return path && access(path, F_OK) == 0;
}

static bool link_is_there(const char *name)
{
    HM_AUTOFREE char *path = hm_asprintf("/sys/class/net/%s", name);

    return path && access(path, F_OK) == 0;
}

static int namespace_up(struct nexus_call *call, const struct nexus_cluster *cluster, size_t at)
{
    const struct nexus_cluster_node *node = &cluster->nodes[at];
    const char *ns = node->netns;
    const char *number = node->name + strlen("node");
    int address_len = (int)strcspn(node->p2p, ":");
    int rc;

    if (namespace_is_there(ns))
        return 0;
    rc = ip(call, "netns add %s", ns);
    if (!rc) /* names of links have at most 15 characters */
        rc = ip(call, "link add v%s-%s type veth peer name eth0 netns %s", cluster->id, number, ns);
    if (!rc)
        rc = ip(call, "link set v%s-%s master %s up", cluster->id, number, cluster->bridge);
    if (!rc)
        rc = ip(call, "-n %s addr add %.*s/24 dev eth0", ns, address_len, node->p2p);
    if (!rc)
        rc = ip(call, "-n %s link set eth0 up", ns);
    if (!rc)
        rc = ip(call, "-n %s link set lo up", ns);
    return rc ? hm_error_prefix(&call->error, rc, "network namespace %s", ns) : 0;
}

int nexus_cluster_net_up(struct nexus_call *call, const struct nexus_cluster *cluster)
{
    int rc = 0;

    if (!cluster->bridge[0])
        return 0;
    if (!nexus_cluster_net_can())
        return hm_fail(
            &call->error, HM_EPERM,
            "this cluster's nodes have network namespaces of their own: only root can start them");
    if (!link_is_there(cluster->bridge)) {
        rc = ip(call, "link add %s type bridge", cluster->bridge);
        if (!rc)
            rc = ip(call, "link set %s up", cluster->bridge);
    }
    for (size_t i = 0; !rc && i < cluster->count; i++)
        rc = namespace_up(call, cluster, i);
    return rc;
}

/* With a namespace its end of the link goes, and with that the other end. */
void nexus_cluster_net_down_node(const struct nexus_cluster_node *node)
{
    char line[128];

    if (!node->netns[0] || !namespace_is_there(node->netns))
        return;
    snprintf(line, sizeof(line), "netns delete %s", node->netns);
    (void)run_ip(line, NULL);
}

void nexus_cluster_net_down(const struct nexus_cluster *cluster)
{
    char line[128];

    for (size_t i = 0; i < cluster->count; i++)
        nexus_cluster_net_down_node(&cluster->nodes[i]);
    if (cluster->bridge[0] && link_is_there(cluster->bridge)) {
        snprintf(line, sizeof(line), "link delete %s", cluster->bridge);
        (void)run_ip(line, NULL);
    }
}
