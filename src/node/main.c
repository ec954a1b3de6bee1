/* hypermeshd: reads its options, starts the node, waits for a reason to stop. */
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

enum { EXIT_USAGE = 2 };

static const char usage[] =
    "usage: hypermeshd --data DIR [options]\n"
    "\n"
    "  --data DIR              data directory, absolute; made when missing\n"
    "  --listen ADDR:PORT      HTTP address, loopback only (127.0.0.1:7470); 'none': unix socket "
    "only\n"
    "  --plot SIZE             space to commit for a new node (64M); up to 32T\n"
    "  --passphrase-file FILE  seals the keystore of a new node; needed to open a sealed one\n"
    "  --genesis FILE          packed Genesis for a new chain; default: a chain of this node's "
    "own\n"
    "  --runtime NAME          container runtime, crun or runc; default: whichever works\n"
    "  --log-level LEVEL       error, warn, info, debug (info)\n"
    "  --log-json              log lines as JSON\n"
    "  --version, --help\n"
    "\n"
    "'nexus up' starts it for you. See hypermeshd(8).\n";

struct main_options {
    struct node_options node;
    enum hm_log_level log_level;
    int log_json;
    int help, version;
};

static int main_option(struct main_options *options, int name, const char *value,
                       struct hm_error *error)
{
    int rc;

    switch (name) {
    case 'd':
        options->node.data_dir = value;
        return 0;
    case 'l':
        options->node.listen = strcmp(value, "none") == 0 ? "" : value;
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
        {"plot", required_argument, NULL, 'p'},
        {"passphrase-file", required_argument, NULL, 'k'},
        {"genesis", required_argument, NULL, 'g'},
        {"runtime", required_argument, NULL, 'r'},
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
    if (options->node.data_dir == NULL)
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

int main(int argc, char **argv)
{
    struct main_options options = {.node = {.listen = "127.0.0.1:7470",
                                            .clock = hm_clock_system(),
                                            .random = hm_random_system()},
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
    main_raise_descriptors();
    HM_AUTOCLOSE int signal_fd = main_signals();
    if (signal_fd < 0) {
        perror("hypermeshd: signals");
        return EXIT_FAILURE;
    }
    return main_run(&options.node, signal_fd);
}
