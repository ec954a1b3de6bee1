/* hypermeshd: reads its options, starts the node, waits for a reason to stop. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto.h"
#include "node.h"
#include "trace.h"

#define MAIN_RATE_MAX    10000000u
#define MAIN_SHARE_WHOLE 1000000u /* parts per million */

enum { EXIT_USAGE = 2 };

#define MAIN_PASSPHRASE_MAX_BYTES 1024

static const char usage[] =
    "usage: hypermeshd --data DIR [options]\n"
    "\n"
    "  --data DIR              data directory, absolute; made when missing\n"
    "  --listen ADDR:PORT      HTTP address, loopback only (127.0.0.1:7470); 'none': unix socket "
    "only\n"
    "  --kv-listen ADDR:PORT   etcd's door to the key-value store, loopback only, without a token\n"
    "  --kv-account NAME       whose acts are done through it (user)\n"
    "  --rate N                requests a second that one principal may send\n"
    "  --plot SIZE             space to commit for a new node (64M); up to 32T\n"
    "  --passphrase-file FILE  seals the keystore of a new node; needed to open a sealed one\n"
    "  --genesis FILE          packed Genesis for a new chain; default: a chain of this node's "
    "own\n"
    "  --runtime NAME          container runtime, crun or runc; default: whichever works\n"
    "  --backup-verify FILE    check a backup and end; its passphrase on standard input\n"
    "  --backup-restore FILE   make --data from a backup and end; likewise\n"
    "  --otlp URL              send traces to this OpenTelemetry collector "
    "(http://HOST:4318/v1/traces)\n"
    "  --otlp-every N          one in N of the requests that don't bring a trace of their own (1)\n"
    "  --log-level LEVEL       error, warn, info, debug (info)\n"
    "  --log-json              log lines as JSON\n"
    "  --version, --help\n"
    "\n"
    "'nexus up' starts it for you. See hypermeshd(8).\n";

struct main_options {
    struct node_options node;
    enum hm_log_level log_level;
    int log_json;
    const char *backup_verify, *backup_restore;
    const char *otlp;
    uint64_t otlp_every;
    int help, version;
};

static int main_option(struct main_options *options, int name, const char *value,
                       struct hm_error *error)
{
    uint64_t rate;
    int rc;

    switch (name) {
    case 'd':
        options->node.data_dir = value;
        return 0;
    case 'l':
        options->node.listen = strcmp(value, "none") == 0 ? "" : value;
        return 0;
    case 'e':
        options->node.kv_listen = value;
        return 0;
    case 'a':
        options->node.kv_account = value;
        return 0;
    case 't':
        rc = hm_u64_parse(value, &rate, error);
        if (rc != 0)
            return hm_error_prefix(error, rc, "--rate");
        if (rate == 0 || rate > MAIN_RATE_MAX)
            return hm_fail(error, HM_ERANGE, "--rate is 1 to %u, not '%s'", MAIN_RATE_MAX, value);
        options->node.rate_per_s = (unsigned)rate;
        return 0;
    case 'p':
        rc = hm_size_parse(value, &options->node.plot_bytes, error);
        if (rc != 0)
            return hm_error_prefix(error, rc, "--plot");
        if (options->node.plot_bytes == 0 || options->node.plot_bytes > NODE_PLOT_BYTES_MAX)
            return hm_fail(error, HM_ERANGE, "--plot is 4K to 32T, not '%s'", value);
        return 0;
    case 'k':
        options->node.passphrase_path = value;
        return 0;
    case 'g':
        options->node.genesis_path = value;
        return 0;
    case 'o':
        options->otlp = value;
        return 0;
    case 's':
        rc = hm_u64_parse(value, &options->otlp_every, error);
        if (rc != 0)
            return hm_error_prefix(error, rc, "--otlp-every");
        return options->otlp_every >= 1 && options->otlp_every <= MAIN_SHARE_WHOLE
                   ? 0
                   : hm_fail(error, HM_ERANGE, "--otlp-every is 1 to %u", MAIN_SHARE_WHOLE);
    case 'V':
        options->backup_verify = value;
        return 0;
    case 'R':
        options->backup_restore = value;
        return 0;
    case 'r':
        if (strcmp(value, "crun") != 0 && strcmp(value, "runc") != 0)
            return hm_fail(error, HM_EINVAL, "--runtime is crun or runc, not '%s'", value);
        options->node.oci_runtime = value;
        return 0;
    case 'L':
        if (hm_log_level_parse(value, &options->log_level) != 0)
            return hm_fail(error, HM_EINVAL, "--log-level is error, warn, info or debug, not '%s'",
                           value);
        return 0;
    default:
        return hm_fail(error, HM_EINVAL, "unknown option; see hypermeshd --help");
    }
}

static int main_parse(int argc, char **argv, struct main_options *options, struct hm_error *error)
{
    const struct option names[] = {
        {"data", required_argument, NULL, 'd'},
        {"listen", required_argument, NULL, 'l'},
        {"kv-listen", required_argument, NULL, 'e'},
        {"kv-account", required_argument, NULL, 'a'},
        {"rate", required_argument, NULL, 't'},
        {"plot", required_argument, NULL, 'p'},
        {"passphrase-file", required_argument, NULL, 'k'},
        {"genesis", required_argument, NULL, 'g'},
        {"runtime", required_argument, NULL, 'r'},
        {"otlp", required_argument, NULL, 'o'},
        {"otlp-every", required_argument, NULL, 's'},
        {"backup-verify", required_argument, NULL, 'V'},
        {"backup-restore", required_argument, NULL, 'R'},
        {"log-level", required_argument, NULL, 'L'},
        {"log-json", no_argument, &options->log_json, 1},
        {"help", no_argument, &options->help, 1},
        {"version", no_argument, &options->version, 1},
        {NULL, 0, NULL, 0},
    };
    int name, rc = 0;

    opterr = 0;
    while (rc == 0 && (name = getopt_long(argc, argv, "", names, NULL)) != -1)
        if (name != 0)
            rc = main_option(options, name, optarg, error);
    if (rc != 0 || options->help || options->version)
        return rc;
    if (optind < argc)
        return hm_fail(error, HM_EINVAL, "unexpected argument '%s'", argv[optind]);
    if (options->node.data_dir == NULL && options->backup_verify == NULL)
        return hm_fail(error, HM_EINVAL, "--data DIR is needed");
    return 0;
}

static void main_raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Before any thread starts, so that all of them leave these signals to signal_fd. */
static int main_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* Traces go on without a collector, and the node without traces; only a URL that makes no sense stops it. */
static int main_trace(const struct main_options *options)
{
    const struct trace_options traces = {
        .url = options->otlp,
        .service = "hypermeshd",
        .instance = options->node.data_dir,
        .sample_ppm = (uint32_t)(MAIN_SHARE_WHOLE / options->otlp_every),
        .clock = options->node.clock,
        .random = options->node.random};
    struct hm_error error = {0};

    if (options->otlp == NULL || trace_open(&traces, &error) == 0)
        return 0;
    hm_log(HM_LOG_ERROR, "trace", "%s", error.text);
    return -1;
}

static int main_run(const struct node_options *options, int signal_fd)
{
    struct hm_error error = {0};
    struct node *node;
    int status = EXIT_SUCCESS;

    if (node_start(options, &node, &error) != 0) {
        hm_log(HM_LOG_ERROR, "node", "%s", error.text);
        return EXIT_FAILURE;
    }
    struct pollfd reasons[] = {{.fd = signal_fd, .events = POLLIN},
                               {.fd = node_stop_fd(node), .events = POLLIN}};
    while (poll(reasons, HM_COUNT_OF(reasons), -1) < 0)
        ;
    if (node_failure(node) != NULL)
        status = EXIT_FAILURE;
    hm_log(HM_LOG_INFO, "node", "stopping");
    node_stop(node);
    return status;
}

/* --- backups ------------------------------------------------------------------------------------------ */

/* All of standard input, but for a line end at its end. */
static int main_read_passphrase(char out[MAIN_PASSPHRASE_MAX_BYTES + 1], struct hm_error *error)
{
    size_t len = 0;

    for (;;) {
        ssize_t got = read(STDIN_FILENO, out + len, MAIN_PASSPHRASE_MAX_BYTES + 1 - len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hm_fail_errno(error, HM_EIO, "cannot read the passphrase");
        if (got == 0)
            break;
        len += (size_t)got;
        if (len > MAIN_PASSPHRASE_MAX_BYTES)
            return hm_fail(error, HM_ELIMIT, "the passphrase is longer than %d bytes",
                           MAIN_PASSPHRASE_MAX_BYTES);
    }
    while (len > 0 && (out[len - 1] == '\n' || out[len - 1] == '\r'))
        len--;
    out[len] = '\0';
    return len > 0
               ? 0
               : hm_fail(error, HM_EINVAL, "the backup's passphrase is wanted on standard input");
}

static int main_backup(const struct main_options *options)
{
    char passphrase[MAIN_PASSPHRASE_MAX_BYTES + 1];
    char root[2 * CRYPTO_HASH_BYTES + 1];
    struct node_backup_facts facts = {0};
    struct hm_error error = {0};
    bool verify = options->backup_verify != NULL;
    int rc = main_read_passphrase(passphrase, &error);

    if (rc == 0)
        rc = verify ? node_backup_verify(options->backup_verify, passphrase, &facts, &error)
                    : node_backup_restore(options->backup_restore, passphrase,
                                          options->node.data_dir, &facts, &error);
    hm_wipe(passphrase, sizeof(passphrase));
    if (rc != 0) {
        fprintf(stderr, "hypermeshd: %s\n", error.text);
        return EXIT_FAILURE;
    }
    hm_hex_encode(facts.state_root, sizeof(facts.state_root), root);
    printf("%s %s: chain %s, %llu blocks with %llu transactions replayed, state root %s\n",
           verify ? options->backup_verify : options->node.data_dir,
           verify ? "is good" : "is restored", facts.chain_id, (unsigned long long)facts.blocks,
           (unsigned long long)facts.txs, root);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct main_options options = {.node = {.listen = "127.0.0.1:7470",
                                            .clock = hm_clock_system(),
                                            .random = hm_random_system()},
                                   .otlp_every = 1,
                                   .log_level = HM_LOG_INFO};
    struct hm_error error = {0};

    if (main_parse(argc, argv, &options, &error) != 0) {
        fprintf(stderr, "hypermeshd: %s\n\n%s", error.text, usage);
        return EXIT_USAGE;
    }
    if (options.help || options.version) {
        if (options.help)
            fputs(usage, stdout);
        else
            puts("hypermeshd " HM_VERSION);
        return EXIT_SUCCESS;
    }
    umask(
        022); /* a job's root must be readable to its mapped users; what is private says so itself */
    hm_log_setup(STDERR_FILENO, options.log_level, options.log_json);
    if (options.backup_verify != NULL || options.backup_restore != NULL)
        return main_backup(&options);
    main_raise_descriptors();
    HM_AUTOCLOSE int signal_fd = main_signals();
    if (signal_fd < 0) {
        perror("hypermeshd: signals");
        return EXIT_FAILURE;
    }
    if (main_trace(&options) != 0)
        return EXIT_USAGE;
    int status = main_run(&options.node, signal_fd);
    trace_close();
    return status;
}
