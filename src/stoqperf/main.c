/* The command line of stoqperf: what to measure, how big, how long. */
#include "perf.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: stoqperf server [OPTIONS] ADDRESS       ends when its input ends\n"
    "       stoqperf MEASURE [OPTIONS] ADDRESS      of a server that is running\n"
    "       stoqperf budget [OPTIONS]               what a packet and a handshake cost, part by "
    "part\n"
    "\n"
    "MEASURE: stream, datagrams, handshakes, latency, hold\n"
    "\n"
    "  --connections N    connections at once (1; hold: 10000)\n"
    "  --streams N        streams on each (1)\n"
    "  --seconds S        how long (5)\n"
    "  --workers N        threads of this side (1)\n"
    "  --mtu BYTES        UDP payload of a packet, 1200-65487 (1452)\n"
    "  --congestion NAME  cubic, bbr or reno (cubic)\n"
    "  --cipher NAME      default or 256\n"
    "  --rate RATE        unlimited, 100M, 1G, 2500M, adaptive, or bits a second\n"
    "  --copy             copy into the library instead of lending it the buffer\n"
    "  --at-once N        handshakes at a time (16)\n"
    "  --resume           handshakes resume the session of the one before\n"
    "  --early            and carry a byte as 0-RTT data\n"
    "  --datagram BYTES   size of a datagram (1200)\n"
    "  -o json            one object instead of a line\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 measured; 1 something failed, said on standard error; 2 wrong usage.\n";

static int misused(const char *text, const char *value)
{
    fprintf(stderr, "stoqperf: %s: %s\nstoqperf --help says more.\n", text, value);
    exit(2);
}

static double number(const char *option, const char *text, double least, double most)
{
    char *end;
    char said[160];

    errno = 0;
    double value = strtod(text, &end);
    if (errno == 0 && end != text && *end == '\0' && value >= least && value <= most)
        return value;
    (void)snprintf(said, sizeof(said), "--%s takes a number from %g to %g, not", option, least,
                   most);
    return misused(said, text);
}

static size_t choice(const char *option, const char *text, const char *const *names, size_t count)
{
    char said[160];

    for (size_t i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return i;
    (void)snprintf(said, sizeof(said), "--%s does not know", option);
    return (size_t)misused(said, text);
}

static void set_rate(struct perf_options *options, const char *text)
{
    static const char *const names[] = {"unlimited", "100M", "1G", "2500M", "adaptive"};

    for (size_t i = 0; i < HM_COUNT_OF(names); i++)
        if (strcmp(text, names[i]) == 0) {
            options->rate = (enum stoq_rate)i;
            return;
        }
    options->rate = STOQ_RATE_CUSTOM;
    options->rate_bits = (uint64_t)number("rate", text, 64000, 1e12);
}

enum word {
    CONNECTIONS = 256,
    STREAMS,
    SECONDS,
    WORKERS,
    MTU,
    CONGESTION,
    CIPHER,
    RATE,
    COPY,
    AT_ONCE,
    RESUME,
    EARLY,
    DATAGRAM,
    HELP,
    VERSION
};

static const struct option long_options[] = {
    {"connections", required_argument, NULL, CONNECTIONS},
    {"streams", required_argument, NULL, STREAMS},
    {"seconds", required_argument, NULL, SECONDS},
    {"workers", required_argument, NULL, WORKERS},
    {"mtu", required_argument, NULL, MTU},
    {"congestion", required_argument, NULL, CONGESTION},
    {"cipher", required_argument, NULL, CIPHER},
    {"rate", required_argument, NULL, RATE},
    {"copy", no_argument, NULL, COPY},
    {"at-once", required_argument, NULL, AT_ONCE},
    {"resume", no_argument, NULL, RESUME},
    {"early", no_argument, NULL, EARLY},
    {"datagram", required_argument, NULL, DATAGRAM},
    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, VERSION},
    {0},
};

static void take(struct perf_options *options, int option)
{
    static const char *const congestions[] = {"cubic", "bbr", "reno"}, *const ciphers[] = {
                                                                           "default", "256"};

    switch (option) {
    case CONNECTIONS:
        options->connections = (unsigned)number("connections", optarg, 1, PERF_CONNECTIONS_MAX);
        break;
    case STREAMS:
        options->streams = (unsigned)number("streams", optarg, 1, PERF_STREAMS_MAX);
        break;
    case SECONDS:
        options->seconds = number("seconds", optarg, 0.1, PERF_SECONDS_MAX);
        break;
    case WORKERS:
        options->workers = (unsigned)number("workers", optarg, 1, STOQ_WORKERS_MAX);
        break;
    case MTU:
        options->mtu = (size_t)number("mtu", optarg, STOQ_UDP_PAYLOAD_MIN, STOQ_UDP_PAYLOAD_MAX);
        break;
    case CONGESTION:
        options->congestion = (enum stoq_congestion)choice("congestion", optarg, congestions, 3);
        break;
    case CIPHER:
        options->ciphers = (enum stoq_ciphers)choice("cipher", optarg, ciphers, 2);
        break;
    case RATE:
        set_rate(options, optarg);
        break;
    case COPY:
        options->copy = true;
        break;
    case AT_ONCE:
        options->at_once = (unsigned)number("at-once", optarg, 1, PERF_AT_ONCE_MAX);
        break;
    case EARLY:
        options->early = true;
        options->resume = true; /* there is no early data without a session */
        break;
    case RESUME:
        options->resume = true;
        break;
    case DATAGRAM:
        options->datagram_bytes = (size_t)number("datagram", optarg, 1, STOQ_UDP_PAYLOAD_MAX);
        break;
    case 'o':
        options->json = strcmp(optarg, "json") == 0;
        if (!options->json)
            misused("-o knows only json, not", optarg);
        break;
    case HELP:
        fputs(usage, stdout);
        exit(0);
    case VERSION:
        printf("stoqperf %s\n", stoq_version());
        exit(0);
    default:
        exit(2);
    }
}

static const struct {
    const char *name;
    int (*run)(const struct perf_options *options);
    unsigned connections;
} measures[] = {
    {"server", perf_serve, 1},
    {"stream", perf_measure_streams, 1},
    {"datagrams", perf_measure_datagrams, 1},
    {"handshakes", perf_measure_handshakes, 1},
    {"latency", perf_measure_latency, 1},
    {"hold", perf_measure_hold, 10000},
    {"budget", perf_measure_budget, 1},
};

int main(int argc, char **argv)
{
    struct perf_options options = {.connections = 0,
                                   .streams = 1,
                                   .workers = 1,
                                   .at_once = 16,
                                   .seconds = 5,
                                   .mtu = STOQ_UDP_PAYLOAD_DEFAULT,
                                   .datagram_bytes = 1200};
    int option;

    while ((option = getopt_long(argc, argv, "o:", long_options, NULL)) != -1)
        take(&options, option);
    if (optind >= argc)
        misused("what to do is missing", "server, or one of the measures");
    const char *what = argv[optind++];
    for (size_t i = 0; i < HM_COUNT_OF(measures); i++) {
        if (strcmp(what, measures[i].name) != 0)
            continue;
        bool alone = measures[i].run == perf_measure_budget;
        if (alone && argc > optind)
            misused("budget needs no address", argv[optind]);
        if (!alone && argc - optind != 1)
            misused("one address is needed, such as [::1]:4433, after", what);
        options.address = argv[optind]; /* NULL for the budget */
        if (options.connections == 0)
            options.connections = measures[i].connections;
        return measures[i].run(&options);
    }
    misused("there is no measure named", what);
}
