/* Handing over: offers files to one person, and waits until he has them. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli_people.h"

#define WAIT_MAX_S     604800
#define HOST_BYTES     64
#define HOSTS_MAX      8
#define LINK_LOCAL_IP4 0xa9fe0000u /* 169.254.0.0/16 */

static pthread_mutex_t line_lock = PTHREAD_MUTEX_INITIALIZER; /* events come from any thread */

/* --- where the other person may reach us ------------------------------------------------------------------------------ */

static bool host_text(const struct sockaddr *address, char out[HOST_BYTES])
{
    const struct sockaddr_in *ip4 = (const struct sockaddr_in *)(const void *)address;
    const struct sockaddr_in6 *ip6 = (const struct sockaddr_in6 *)(const void *)address;
    char plain[INET6_ADDRSTRLEN];

    if (address->sa_family == AF_INET)
        return (ntohl(ip4->sin_addr.s_addr) & 0xffff0000u) != LINK_LOCAL_IP4 &&
               inet_ntop(AF_INET, &ip4->sin_addr, out, HOST_BYTES) != NULL;
    if (address->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&ip6->sin6_addr) &&
        inet_ntop(AF_INET6, &ip6->sin6_addr, plain, sizeof(plain)) != NULL) {
        (void)snprintf(out, HOST_BYTES, "[%s]", plain);
        return true;
    }
    return false;
}

/* Of this machine, those that others may know; IPv4 first, which people can read out. */
static size_t hosts_find(bool only_ip4, char out[HOSTS_MAX][HOST_BYTES])
{
    static const int families[] = {AF_INET, AF_INET6};
    struct ifaddrs *list = NULL;
    size_t count = 0;

    if (getifaddrs(&list) != 0)
        return 0;
    for (size_t f = 0; f < (only_ip4 ? 1 : HM_COUNT_OF(families)); f++)
        for (const struct ifaddrs *at = list; at != NULL && count < HOSTS_MAX; at = at->ifa_next)
            if (at->ifa_addr != NULL && at->ifa_addr->sa_family == families[f] &&
                (at->ifa_flags & (IFF_UP | IFF_LOOPBACK)) == IFF_UP)
                count += host_text(at->ifa_addr, out[count]);
    freeifaddrs(list);
    return count;
}

/* --- what is said ----------------------------------------------------------------------------------------------------- */

static void command_print(const char *code, const char *host, const char *port)
{
    if (code != NULL)
        (void)printf("packetfs receive %s@%s%s --into DIR", code, host, port);
    else
        (void)printf("packetfs receive --from YOUR.pub %s%s --into DIR", host, port);
}

/* One line: lists would take several, and who reads may wait for the first alone. */
static void show_json(const char *code, const char *address, char hosts[HOSTS_MAX][HOST_BYTES],
                      size_t count, const char *port)
{
    char text[HOSTS_MAX * (HOST_BYTES + 8)] = "";
    size_t len = 0;

    for (size_t i = 0; i < count && len < sizeof(text); i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s%s", i > 0 ? " " : "",
                                hosts[i], port);
    cli_json_open('{');
    if (code != NULL) {
        cli_json_key("code");
        cli_json_text(code);
    }
    cli_json_key("address");
    cli_json_text(address);
    cli_json_key("reached_at");
    cli_json_text(text);
    cli_json_close();
}

static void show_text(const char *code, char hosts[HOSTS_MAX][HOST_BYTES], size_t count,
                      const char *port)
{
    if (code != NULL)
        (void)printf("code  %s\n", code);
    (void)printf("The other person types:\n    ");
    command_print(code, count > 0 ? hosts[0] : "HOST", port);
    (void)putchar('\n');
    for (size_t i = 1; i < count; i++)
        (void)printf("%s%s%s%s", i == 1 ? "or, by another way to this machine, with " : ", ",
                     hosts[i], port, i + 1 == count ? "\n" : "");
}

static void on_ready(void *ctx, const char *code, const char *address)
{
    const struct cli_call *call = ctx;
    char hosts[HOSTS_MAX][HOST_BYTES];
    const char *port = strrchr(address, ':');
    size_t count = 0;
    bool only_ip4 = strncmp(address, "0.0.0.0:", 8) == 0;

    if (port == NULL)
        port = address + strlen(address);
    if (only_ip4 || strncmp(address, "[::]:", 5) == 0) {
        count = hosts_find(only_ip4, hosts);
    } else if ((size_t)(port - address) < sizeof(hosts[0])) {
        (void)snprintf(hosts[0], sizeof(hosts[0]), "%.*s", (int)(port - address), address);
        count = 1;
    }
    (void)pthread_mutex_lock(&line_lock);
    if (call->json)
        show_json(code, address, hosts, count, port);
    else
        show_text(code, hosts, count, port);
    (void)fflush(stdout);
    (void)pthread_mutex_unlock(&line_lock);
}

static void on_event(void *ctx, const char *sentence)
{
    const struct cli_call *call = ctx;

    if (cli_has(call, "quiet") && !call->json)
        return;
    (void)pthread_mutex_lock(&line_lock);
    if (call->json) {
        cli_json_open('{');
        cli_json_key("event");
        cli_json_text(sentence);
        cli_json_close();
        (void)fflush(stdout);
    } else {
        if (isatty(STDERR_FILENO))
            (void)fputs("\r\033[K", stderr); /* where the progress line is */
        cli_say("%s", sentence);
    }
    (void)pthread_mutex_unlock(&line_lock);
}

static void show_result(const struct cli_call *call, const struct packetfs_send_result *result)
{
    char bytes[CLI_SHOW_BYTES];

    if (!call->json) {
        (void)printf("handed over: %llu files and %llu folders, %s\n",
                     (unsigned long long)result->files, (unsigned long long)result->folders,
                     cli_show_size(result->bytes, bytes));
        return;
    }
    cli_json_open('{');
    cli_json_pair("files", result->files);
    cli_json_pair("folders", result->folders);
    cli_json_pair("bytes", result->bytes);
    cli_json_pair("wrong_guesses", result->wrong_guesses);
    cli_json_findings(call);
    cli_json_close();
}

static int send_run(struct cli_call *call)
{
    struct packetfs_send_options options = {.paths = call->operands,
                                            .path_count = call->operand_count,
                                            .address = cli_value(call, "listen"),
                                            .state = cli_value(call, "state"),
                                            .ready = on_ready,
                                            .event = on_event,
                                            .ctx = call};
    const char *to_file = cli_value(call, "to");
    struct packetfs_send_result result = {0};
    struct packetfs_identity *identity = NULL;
    struct packetfs_contact *to = NULL;
    uint64_t wait_s = 0;
    int rc = cli_number(call, "timeout", WAIT_MAX_S, &wait_s);

    if (rc == 0 && to_file == NULL && cli_has(call, "identity"))
        rc = cli_fail(call, PACKETFS_EINVAL, "--identity goes with --to");
    if (rc == 0 && to_file != NULL)
        rc = cli_identity(call, &identity);
    if (rc == 0 && to_file != NULL)
        rc = cli_contact(call, to_file, &to);
    options.wait_s = (unsigned)wait_s;
    options.identity = identity;
    options.to = to;
    if (rc == 0) {
        rc = packetfs_send(&options, cli_watch(call), &result, &call->error);
        cli_watch_end(call);
    }
    packetfs_contact_close(to);
    packetfs_identity_close(identity);
    if (rc == 0)
        show_result(call, &result);
    return rc;
}

static const struct cli_option send_options[] = {
    {.name = "to",
     .value = "FILE",
     .help = "no code: only who has this public part may take it",
     .words = "@file"},
    CLI_IDENTITY_OPTION,
    {.name = "listen",
     .value = "ADDRESS",
     .help = "where, and at which UDP port (the three after it are used too); default: free ones"},
    {.name = "timeout", .value = "SECONDS", .help = "how long nobody need come; default: 3600"},
    {.name = "state",
     .value = "DIR",
     .help = "keep what is sent here until it is taken; default: in the cache",
     .words = "@folder"},
};

const struct cli_verb verb_send = {
    .name = "send",
    .operands = "PATH...",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .words = "@file",
    .summary = "Hand files and folders to another person, by a short code or an identity",
    .text =
        "Prints a code and the command that the other person types, waits, and ends when he has "
        "all of it. Three wrong codes\n"
        "end the offer. What broke off goes on where it was: both give the same command again.",
    .options = send_options,
    .option_count = HM_COUNT_OF(send_options),
    .run = send_run,
};
