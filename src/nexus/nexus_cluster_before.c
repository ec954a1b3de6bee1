/* What must be so before anything is made, and before a ticket is used up: the engine is there, addresses are this machine's, ports
 * are free. And how nodes are started, where that is changed later. */
#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nexus_cluster.h"

#define HOST_MAX_BYTES 64

/* --- the engine -------------------------------------------------------------------------------------------- */

int nexus_cluster_daemon_refused(struct nexus_call *call, int rc)
{
    static const char who[] = NEXUS_DAEMON_NAME ": ";
    const char *text = strstr(call->error.text, who), *last = text;

    while (text) {
        last = text + sizeof(who) - 1;
        text = strstr(last, who);
    }
    if (!last)
        return rc;
    const char *kept = hm_arena_strdup(call->arena, last);
    return kept ? hm_fail(&call->error, rc, "%s", kept) : rc;
}

int nexus_cluster_engine(struct nexus_call *call, const char *path)
{
    HM_CLEANUP(hm_buf) struct hm_buf said = {0};
    const char *program = NULL;
    bool given = path && path[0];
    int rc = nexus_daemon_find(call->arena, &program, &call->error);

    if (rc)
        return rc;
    const char *const argv[] = {program, "--engine-check", given ? "--engine-path" : NULL, path,
                                NULL};
    rc = nexus_cluster_command(argv, &said, &call->error);
    return rc ? nexus_cluster_daemon_refused(call, rc) : 0;
}

/* --- addresses --------------------------------------------------------------------------------------------- */

/* "A.B.C.D", "A:B::C", "[A:B::C]". */
static bool host_of(const char *text, size_t len, char out[HOST_MAX_BYTES])
{
    bool bracketed = len > 1 && text[0] == '[' && text[len - 1] == ']';

    len -= bracketed ? 2 : 0;
    if (len == 0 || len >= HOST_MAX_BYTES)
        return false;
    memcpy(out, text + bracketed, len);
    out[len] = '\0';
    return true;
}

/* 0, or errno; EINVAL: it is no numeric address. */
static int try_bind(const char *host, const char *port, int type)
{
    struct addrinfo hints = {.ai_socktype = type,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *found = NULL;
    const int on = 1;
    int why = 0;

    if (getaddrinfo(host, port, &hints, &found) != 0)
        return EINVAL;
    HM_AUTOCLOSE int fd = socket(found->ai_family, type | SOCK_CLOEXEC, 0);
    if (fd >= 0 && type == SOCK_STREAM)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) != 0 ||
        (type == SOCK_STREAM && listen(fd, 1) != 0))
        why = errno;
    freeaddrinfo(found);
    return why;
}

int nexus_cluster_place_free(struct nexus_call *call, const char *option, const char *text,
                             int type)
{
    const char *colon = strrchr(text, ':');
    char host[HOST_MAX_BYTES];
    int why = colon && host_of(text, (size_t)(colon - text), host) ? try_bind(host, colon + 1, type)
                                                                   : EINVAL;

    if (why == 0)
        return 0;
    if (why == EINVAL)
        return hm_fail(&call->error, HM_EINVAL, "--%s is ADDRESS:PORT, not '%.100s'", option, text);
    if (why == EADDRINUSE)
        return hm_fail(&call->error, HM_EBUSY, "%s is in use by another program: give another --%s",
                       text, option);
    errno = why;
    return why == EADDRNOTAVAIL ? hm_fail(&call->error, HM_EINVAL,
                                          "%s is no address of this machine (--%s)", text, option)
                                : hm_fail_errno(&call->error, HM_EINVAL, "--%s %s", option, text);
}

int nexus_cluster_address(struct nexus_call *call, const char *given, const char **out)
{
    char host[HOST_MAX_BYTES];
    int why = host_of(given, strlen(given), host) ? try_bind(host, "0", SOCK_DGRAM) : EINVAL;

    if (why == EINVAL)
        return hm_fail(&call->error, HM_EINVAL,
                       "--address is an address in digits, without a port, not '%.100s'", given);
    if (why != 0)
        return hm_fail(&call->error, HM_EINVAL,
                       "%s is no address of this machine (--address): ip address lists those that "
                       "are",
                       given);
    if (strcmp(host, "0.0.0.0") == 0 || strspn(host, ":0") == strlen(host))
        return hm_fail(&call->error, HM_EINVAL,
                       "--address is where other machines reach this one; %s is every address",
                       given);
    *out = hm_arena_printf(call->arena, strchr(host, ':') ? "[%s]" : "%s", host);
    return *out ? 0 : nexus_no_memory(call);
}

/* --- changed later ----------------------------------------------------------------------------------------- */

static int must_not_run(struct nexus_call *call, const struct nexus_cluster_node *node,
                        const char *option)
{
    return nexus_cluster_pid(node) <= 0
               ? 0
               : hm_fail(
                     &call->error, HM_ECONFLICT,
                     "%s runs: nexus cluster stop stops it, and then --%s is for its next start",
                     node->name, option);
}

/* p2p-listen and door-listen, of one node. */
static int change_place(struct nexus_call *call, struct nexus_cluster_node *node,
                        const char *option, int type, const char **place)
{
    const char *given = nexus_value(call, option);
    int rc;

    if (!given)
        return 0;
    if (node->netns[0])
        return hm_fail(&call->error, HM_EINVAL,
                       "%s is in a network namespace, where other machines do not reach it: --%s "
                       "goes without; --address moves the cluster out of its namespaces",
                       node->name, option);
    rc = must_not_run(call, node, option);
    if (!rc)
        rc = nexus_cluster_place_free(call, option, given, type);
    if (!rc)
        *place = given;
    return rc;
}

/* All of them move: each is told where the others are. */
static int change_address(struct nexus_call *call, struct nexus_cluster *cluster)
{
    int rc = 0;

    if (!nexus_value(call, "address"))
        return 0;
    for (size_t i = 0; !rc && i < cluster->count; i++)
        rc = must_not_run(call, &cluster->nodes[i], "address");
    if (!rc)
        rc = nexus_cluster_address(call, nexus_value(call, "address"), &cluster->address);
    if (rc)
        return rc;
    nexus_cluster_net_down(cluster);
    cluster->bridge = "";
    return nexus_cluster_net_plan(call, false, cluster);
}

static int change_engine(struct nexus_call *call, struct nexus_cluster *cluster)
{
    const char *given = nexus_value(call, "engine-path"), *path = NULL;
    int rc = given ? nexus_path_absolute(given, call->arena, &path, &call->error) : 0;

    if (!rc && given)
        rc = nexus_cluster_engine(call, path);
    if (!rc && given)
        cluster->engine_path = path;
    return rc;
}

int nexus_cluster_change(struct nexus_call *call, struct nexus_cluster *cluster,
                         const size_t *chosen, size_t count)
{
    bool place = nexus_value(call, "p2p-listen") || nexus_value(call, "door-listen");
    struct nexus_cluster_node *node = &cluster->nodes[chosen[0]];
    int rc = 0;

    if (!place && !nexus_value(call, "address") && !nexus_value(call, "engine-path"))
        return 0;
    if (place && (count != 1 || nexus_value(call, "address")))
        return hm_fail(
            &call->error, HM_EINVAL,
            "--p2p-listen and --door-listen are one node's: name it, and leave --address "
            "out");
    rc = change_address(call, cluster);
    if (!rc)
        rc = change_place(call, node, "p2p-listen", SOCK_STREAM, &node->p2p);
    if (!rc)
        rc = change_place(call, node, "door-listen", SOCK_DGRAM, &node->door);
    if (!rc)
        rc = change_engine(call, cluster);
    if (!rc)
        rc = nexus_cluster_save(call, cluster);
    if (!rc && nexus_value(call, "p2p-listen") && cluster->count > 1)
        nexus_say("the others look for %s at %s once they are started again", node->name,
                  node->p2p);
    return rc;
}
