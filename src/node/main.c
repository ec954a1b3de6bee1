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
#include "main_era.h"
#include "main_join.h"
#include "main_keep.h"
#include "node.h"
#include "trace.h"

#define MAIN_RATE_MAX    10000000u
#define MAIN_SHARE_WHOLE 1000000u /* parts per million */

enum { EXIT_USAGE = 2 };

#define MAIN_PASSPHRASE_MAX_BYTES 1024
#define MAIN_ROOM_LOOK_MS         1000

static const char usage[] =
    "usage: hypermeshd --data DIR [options]\n"
    "\n"
    "  --data DIR              data directory, absolute; made when missing\n"
    "  --listen ADDR:PORT      HTTP address, loopback only (127.0.0.1:7470); 'none': unix socket "
    "only\n"
    "  --kv-listen ADDR:PORT   etcd's door to the key-value store, loopback only, without a token\n"
    "  --kv-account NAME       whose acts are done through it (user)\n"
    "  --open-proofs           GET /light/... and /state/... need no token: for those who check "
    "without a node\n"
    "  --rate N                requests a second that one principal may send\n"
    "  --plot SIZE             space to commit for a new node (64M); up to 32T\n"
    "  --passphrase-file FILE  seals the keystore of a new node; needed to open a sealed one\n"
    "  --genesis FILE          packed Genesis for a new chain; default: a chain of this node's "
    "own\n"
    "  --runtime NAME          container runtime, crun or runc; default: whichever works\n"
    "  --engine NAME           who orders blocks: solo, this node alone (default); cometbft, "
    "together with\n"
    "                          the nodes of its cluster\n"
    "  --engine-path FILE      CometBFT's binary; default: where scripts/setup --cluster puts it, "
    "then PATH\n"
    "  --engine-check          say whether that binary is there and of the right version, and end\n"
    "  --engine-metrics A:PORT where CometBFT gives its metrics to us, on loopback\n"
    "  --p2p-listen ADDR:PORT  where the cluster's other nodes reach this one\n"
    "  --p2p-peer ID@ADDR:PORT one of them; as often as there are others\n"
    "  --cluster-create N      make the folders of N nodes of a new cluster in --data, and end\n"
    "  --cluster-add GENESIS   make the folder of a further node of a cluster in --data, and end\n"
    "  --state-sync RPC,RPC    with --cluster-add: it begins with a snapshot; two to 16 RPC "
    "servers of "
    "the\n"
    "                          others, unix:///PATH or http://HOST:PORT\n"
    "  --state-sync-trust H:HASH  height and hash of a block that is trusted; default: asked of "
    "the "
    "sockets\n"
    "  --door-listen ADDR:PORT where newcomers with a join ticket are answered (UDP)\n"
    "  --cluster-join          make the folder of a new node in --data with the join ticket on "
    "standard\n"
    "                          input, and end\n"
    "  --join-address A:P      with it: where the member is, instead of what the ticket says\n"
    "  --join-from-genesis     with it: begin with the first block, not with a snapshot\n"
    "  --snapshot-blocks N     blocks between two snapshots for others (1000)\n"
    "  --vdf-blocks N          with --cluster-create: blocks with transactions between two links "
    "of\n"
    "                          the chain of delays (1000); 0: no links\n"
    "  --recover OP,OP         make a cluster's folder go on with these operators' validators "
    "only, and "
    "end\n"
    "  --recover-to FILE       with it: only write the genesis with which all go on\n"
    "  --recover-join GENESIS  make another one go on with it, and end; with --state-sync by a "
    "snapshot\n"
    "  --recover-from DIR      with it: a stopped node's folder that has the blocks between\n"
    "  --promote-key CHAIN:OPERATOR  make the key that a single node's validator is to have, and "
    "end\n"
    "  --promote               make a single node's folder a cluster's first, and end; see "
    "nexus-node(1)\n"
    "  --backup-verify FILE    check a backup and end; its passphrase on standard input\n"
    "  --backup-restore FILE   make --data from a backup and end; likewise\n"
    "  --restore-validator     with it: the validator's key, too; its node must never run again\n"
    "  --otlp URL              send traces to this OpenTelemetry collector "
    "(http://HOST:4318/v1/traces)\n"
    "  --otlp-every N          one in N of the requests that don't bring a trace of their own (1)\n"
    "  --keep                  start the daemon as a child, and again when it has crashed\n"
    "  --log-level LEVEL       error, warn, info, debug (info)\n"
    "  --log-json              log lines as JSON\n"
    "  --version, --help\n"
    "\n"
    "'nexus up' starts it for you. See hypermeshd(8).\n";

struct main_options {
    struct node_options node;
    enum hm_log_level log_level;
    int log_json;
    int open_proofs;
    const char *backup_verify, *backup_restore;
    const char *otlp;
    uint64_t otlp_every;
    uint64_t cluster_create; /* 0: no */
    uint64_t vdf_blocks; /* with cluster_create */
    bool has_vdf_blocks;
    const char *cluster_add; /* its genesis */
    const char *state_sync, *state_sync_trust; /* as given */
    struct main_era era;
    struct main_join join;
    int keep; /* start the daemon, and again when it has crashed */
    long kept_by; /* the process that does; 0: nobody */
    int help, version;
};

static int main_option_engine(struct main_options *options, int name, const char *value,
                              struct hm_error *error)
{
    struct node_options *node = &options->node;
    int rc;

    switch (name) {
    case 'E':
        node->cluster = strcmp(value, "cometbft") == 0;
        return node->cluster || strcmp(value, "solo") == 0
                   ? 0
                   : hm_fail(error, HM_EINVAL, "--engine is solo or cometbft, not '%s'", value);
    case 'B':
        node->engine_path = value;
        return 0;
    case 'M':
        node->engine_metrics = value;
        return 0;
    case 'P':
        node->p2p_listen = value;
        return 0;
    case 'Q':
        if (node->p2p_peer_count == NODE_P2P_PEERS_MAX)
            return hm_fail(error, HM_ELIMIT, "--p2p-peer may be given %d times",
                           NODE_P2P_PEERS_MAX);
        node->p2p_peers[node->p2p_peer_count++] = value;
        return 0;
    case 'A':
        options->cluster_add = value;
        return 0;
    case 'Y':
        options->state_sync = value;
        return 0;
    case 'D':
        options->has_vdf_blocks = true;
        rc = hm_u64_parse(value, &options->vdf_blocks, error);
        return rc != 0 ? hm_error_prefix(error, rc, "--vdf-blocks") : 0;
    case 'N':
        node->door_listen = value;
        return 0;
    case 'J':
        options->join.address = value;
        return 0;
    case 'Z':
        options->state_sync_trust = value;
        return 0;
    case 'S':
        rc = hm_u64_parse(value, &node->snapshot_blocks, error);
        if (rc != 0)
            return hm_error_prefix(error, rc, "--snapshot-blocks");
        return node->snapshot_blocks > 0
                   ? 0
                   : hm_fail(error, HM_ERANGE, "--snapshot-blocks is 1 or more, not '%s'", value);
    case 'C':
        rc = hm_u64_parse(value, &options->cluster_create, error);
        if (rc != 0)
            return hm_error_prefix(error, rc, "--cluster-create");
        return options->cluster_create >= 1 && options->cluster_create <= NODE_CLUSTER_MAX
                   ? 0
                   : hm_fail(error, HM_ERANGE, "--cluster-create is 1 to %d, not '%s'",
                             NODE_CLUSTER_MAX, value);
    default:
        return main_era_option(&options->era, name, value)
                   ? 0
                   : hm_fail(error, HM_EINVAL, "unknown option; see hypermeshd --help");
    }
}

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
    case 'K':
        options->kept_by = strtol(value, NULL, 10);
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
        return main_option_engine(options, name, value, error);
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
        {"engine", required_argument, NULL, 'E'},
        {"engine-path", required_argument, NULL, 'B'},
        {"engine-metrics", required_argument, NULL, 'M'},
        {"p2p-listen", required_argument, NULL, 'P'},
        {"p2p-peer", required_argument, NULL, 'Q'},
        {"cluster-create", required_argument, NULL, 'C'},
        {"cluster-add", required_argument, NULL, 'A'},
        {"state-sync", required_argument, NULL, 'Y'},
        {"state-sync-trust", required_argument, NULL, 'Z'},
        {"snapshot-blocks", required_argument, NULL, 'S'},
        {"vdf-blocks", required_argument, NULL, 'D'},
        {"promote-key", required_argument, NULL, MAIN_ERA_PROMOTE_KEY},
        {"engine-check", no_argument, &options->era.engine_check, 1},
        {"promote", no_argument, &options->era.promote, 1},
        {"restore-validator", no_argument, &options->era.validator, 1},
        {"recover", required_argument, NULL, MAIN_ERA_RECOVER},
        {"recover-join", required_argument, NULL, MAIN_ERA_RECOVER_JOIN},
        {"recover-from", required_argument, NULL, MAIN_ERA_RECOVER_FROM},
        {"recover-to", required_argument, NULL, MAIN_ERA_RECOVER_TO},
        {"door-listen", required_argument, NULL, 'N'},
        {"cluster-join", no_argument, &options->join.wanted, 1},
        {"join-address", required_argument, NULL, 'J'},
        {"join-from-genesis", no_argument, &options->join.from_genesis, 1},
        {"otlp", required_argument, NULL, 'o'},
        {"otlp-every", required_argument, NULL, 's'},
        {"backup-verify", required_argument, NULL, 'V'},
        {"backup-restore", required_argument, NULL, 'R'},
        {"log-level", required_argument, NULL, 'L'},
        {"log-json", no_argument, &options->log_json, 1},
        {"keep", no_argument, &options->keep, 1},
        {"kept-by", required_argument, NULL, 'K'},
        {"open-proofs", no_argument, &options->open_proofs, 1},
        {"help", no_argument, &options->help, 1},
        {"version", no_argument, &options->version, 1},
        {NULL, 0, NULL, 0},
    };
    int name, rc = 0;

    opterr = 0;
    while (rc == 0 && (name = getopt_long(argc, argv, "", names, NULL)) != -1)
        if (name != 0)
            rc = main_option(options, name, optarg, error);
    options->node.open_proofs = options->open_proofs != 0;
    if (rc != 0 || options->help || options->version)
        return rc;
    if (optind < argc)
        return hm_fail(error, HM_EINVAL, "unexpected argument '%s'", argv[optind]);
    if (options->node.data_dir == NULL && options->backup_verify == NULL &&
        !options->era.engine_check)
        return hm_fail(error, HM_EINVAL, "--data DIR is needed");
    if (options->state_sync != NULL && options->cluster_add == NULL &&
        options->era.recover_join == NULL)
        return hm_fail(error, HM_EINVAL, "--state-sync goes with --cluster-add GENESIS");
    if (options->node.cluster && options->node.p2p_listen == NULL)
        return hm_fail(error, HM_EINVAL, "--engine cometbft needs --p2p-listen ADDR:PORT");
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

/* From a start to an end; failure: why, "" when it was asked for. */
static void main_live(const struct node_options *options, int signal_fd,
                      char failure[HM_ERROR_TEXT_BYTES])
{
    struct hm_error error = {0};
    struct node *node;

    failure[0] = '\0';
    if (node_start(options, &node, &error) != 0) {
        hm_log(HM_LOG_ERROR, "node", "%s", error.text);
        memcpy(failure, error.text, HM_ERROR_TEXT_BYTES);
        return;
    }
    struct pollfd reasons[] = {{.fd = signal_fd, .events = POLLIN},
                               {.fd = node_stop_fd(node), .events = POLLIN}};
    while (poll(reasons, HM_COUNT_OF(reasons), -1) < 0)
        ;
    if (node_failure(node) != NULL)
        snprintf(failure, HM_ERROR_TEXT_BYTES, "%s", node_failure(node));
    hm_log(HM_LOG_INFO, "node", "stopping");
    node_stop(node);
}

static bool main_is_told_to_stop(int signal_fd, int wait_ms)
{
    struct pollfd told = {.fd = signal_fd, .events = POLLIN};

    return poll(&told, 1, wait_ms) > 0;
}

/* False: told to stop. The first second in any case, so that one that fails at once does not spin. */
static bool main_wait_room(const struct node_options *options, int signal_fd)
{
    hm_log(HM_LOG_ERROR, "node",
           "the disk of %s is full: the node is started again when there is room",
           options->data_dir);
    do
        if (main_is_told_to_stop(signal_fd, MAIN_ROOM_LOOK_MS))
            return false;
    while (!node_has_room(options));
    hm_log(HM_LOG_WARN, "node", "the disk of %s was full and has room again", options->data_dir);
    return true;
}

static int main_run(const struct node_options *options, int signal_fd)
{
    char failure[HM_ERROR_TEXT_BYTES];
    bool again = true;

    while (again) {
        main_live(options, signal_fd, failure);
        enum node_next next = failure[0] == '\0' ? NODE_ENDS : node_next(options, failure);

        again = next != NODE_ENDS && !main_is_told_to_stop(signal_fd, 0);
        if (again && next == NODE_WAITS_FOR_ROOM)
            again = main_wait_room(options, signal_fd);
    }
    return failure[0] == '\0' ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* --- a new cluster -------------------------------------------------------------------------------------- */

static void main_print_cluster(const struct node_cluster *cluster)
{
    printf("{\"chain_id\":\"%s\",\"nodes\":[", cluster->chain_id);
    for (size_t i = 0; i < cluster->count; i++) {
        fputs(i > 0 ? ",\n" : "\n", stdout);
        main_print_member(&cluster->members[i]);
    }
    puts("]}");
}

/* "HEIGHT:HASH". */
static int main_sync_trust(const char *text, struct node_cluster_sync *sync, struct hm_error *error)
{
    const char *colon = strchr(text, ':');
    HM_AUTOFREE char *height = hm_strdup(text);

    if (height == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the options");
    if (colon != NULL)
        height[colon - text] = '\0';
    if (colon == NULL || hm_u64_parse(height, &sync->trust_height, NULL) != 0 ||
        sync->trust_height == 0 || strlen(colon + 1) != 2 * sizeof(sync->trust_hash) ||
        hm_hex_decode(colon + 1, strlen(colon + 1), sync->trust_hash, sizeof(sync->trust_hash),
                      NULL) != 0)
        return hm_fail(error, HM_EINVAL,
                       "--state-sync-trust is HEIGHT:HASH with 64 hexadecimal digits, not '%.100s'",
                       text);
    return 0;
}

/* servers is cut up and must outlive sync. */
static int main_sync(const struct main_options *options, char *servers,
                     struct node_cluster_sync *sync, struct hm_error *error)
{
    char *rest = NULL;

    if (servers == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the options");
    for (char *at = strtok_r(servers, ",", &rest); at != NULL; at = strtok_r(NULL, ",", &rest)) {
        if (sync->server_count == NODE_SYNC_SERVERS_MAX)
            return hm_fail(error, HM_ELIMIT, "--state-sync takes at most %d RPC servers",
                           NODE_SYNC_SERVERS_MAX);
        sync->servers[sync->server_count++] = at;
    }
    return options->state_sync_trust == NULL
               ? 0
               : main_sync_trust(options->state_sync_trust, sync, error);
}

static int main_add(const struct main_options *options, struct node_cluster_member *member,
                    struct hm_error *error)
{
    const struct node_options *node = &options->node;
    struct node_cluster_sync sync = {.server_count = 0};
    HM_AUTOFREE char *servers = NULL;

    if (options->state_sync == NULL)
        return node_cluster_add(node->data_dir, options->cluster_add, node->random, member, error);
    servers = hm_strdup(options->state_sync);
    int rc = main_sync(options, servers, &sync, error);
    return rc != 0 ? rc
                   : node_cluster_add_synced(node->data_dir, options->cluster_add, &sync,
                                             node->random, member, error);
}

/* What changes the folder of a node that does not run. */
static int main_change(const struct main_options *options)
{
    struct node_cluster_sync sync = {.server_count = 0};
    HM_AUTOFREE char *servers = NULL;
    struct hm_error error = {0};

    if (options->state_sync == NULL)
        return main_era_run(&options->era, &options->node, NULL);
    servers = hm_strdup(options->state_sync);
    if (main_sync(options, servers, &sync, &error) != 0) {
        fprintf(stderr, "hypermeshd: %s\n", error.text);
        return EXIT_FAILURE;
    }
    return main_era_run(&options->era, &options->node, &sync);
}

static int main_cluster(const struct main_options *options)
{
    const struct node_options *node = &options->node;
    struct node_cluster_member member;
    struct node_cluster cluster;
    struct hm_error error = {0};
    int rc;

    if (options->cluster_add != NULL)
        rc = main_add(options, &member, &error);
    else
        rc = node_cluster_create(node->data_dir, (size_t)options->cluster_create, node->plot_bytes,
                                 options->has_vdf_blocks ? &options->vdf_blocks : NULL, node->clock,
                                 node->random, &cluster, &error);
    if (rc != 0) {
        fprintf(stderr, "hypermeshd: %s\n", error.text);
        return EXIT_FAILURE;
    }
    if (options->cluster_add != NULL) {
        main_print_member(&member);
        puts("");
    } else {
        main_print_cluster(&cluster);
    }
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
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
        rc = verify
                 ? node_backup_verify(options->backup_verify, passphrase, &facts, &error)
                 : node_backup_restore(options->backup_restore, passphrase, options->node.data_dir,
                                       options->era.validator, &facts, &error);
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
    if (options.cluster_create != 0 || options.cluster_add != NULL)
        return main_cluster(&options);
    if (options.join.wanted)
        return main_join_run(&options.join, &options.node);
    if (main_era_wanted(&options.era))
        return main_change(&options);
    if (options.keep && options.kept_by == 0)
        return main_keep(argv, options.node.data_dir);
    if (options.kept_by != 0 && main_kept(options.kept_by) != 0)
        return EXIT_FAILURE;
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
