/* Which engine orders this node's blocks. CometBFT's files lie in DATA/engine, its keys and its record of what it signed in
 * DATA/validator: what may be wiped to begin anew is apart from what may never be lost. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "node_anew.h"
#include "node_backup.h"
#include "node_idle.h"

#define NODE_ENGINE_DIR     "engine"
#define NODE_ENGINE_CONFIG  "engine/config"
#define NODE_ENGINE_GENESIS "engine/config/genesis.json"
#define NODE_VALIDATOR_DIR  "validator"
#define NODE_SNAPSHOT_DIR   "snapshots"
/* In the data folder itself, and no longer than api.sock: a folder that has room for one has room for all. */
#define NODE_ABCI_SOCKET "bft.sock"
#define NODE_RPC_SOCKET  "rpc.sock"

/* While a snapshot is taken over, what the engine does to get it is worth telling. */
#define NODE_ENGINE_LOG_SYNC "main:info,statesync:info,*:error"

#define NODE_ENGINE_POLL_MS  250 /* while it starts */
#define NODE_ENGINE_AGAIN_MS 1000 /* between two tries of a step */
/* The application's height is looked at each time, what the engine says of itself less often: that wakes it. */
#define NODE_ENGINE_LOOKS_A_STATUS 5

/* --- which kind of folder? ------------------------------------------------------------------------------- */

static int node_engine_check_kind(struct node *node, bool has_genesis, struct hm_error *error)
{
    struct ledger_info info;
    char path[NODE_PATH_MAX_BYTES];
    uint64_t era = 0;

    if (has_genesis != node->options.cluster && has_genesis)
        return hm_fail(error, HM_ECONFLICT,
                       "%s is the folder of a cluster's node: start it with --engine cometbft "
                       "(nexus cluster start)",
                       node->data_dir);
    if (has_genesis || ledger_info(node->ledger, &info, NULL) != 0)
        return 0;
    if (ledger_era(node->ledger, &era, error) != 0)
        return error != NULL ? error->code : HM_EIO;
    if (node->options.cluster && node_path(node, NODE_ENGINE_CONFIG, path, NULL) == 0 &&
        access(path, F_OK) == 0)
        return hm_fail(error, HM_ECONFLICT,
                       "%s/genesis.json is missing, and this node has a ledger: nothing was "
                       "changed. Bring the file back, all nodes of the cluster have the same",
                       path);
    if (era > 0 && info.height >= era)
        return hm_fail(error, HM_ECONFLICT,
                       "the blocks of %s from %" PRIu64
                       " on are a cluster's, and its folder engine "
                       "is missing: bring it back",
                       node->data_dir, era);
    if (node->options.cluster && info.height > 0)
        return hm_fail(error, HM_ECONFLICT,
                       "%s holds the ledger of a single node: nexus node promote makes it the "
                       "first of a cluster",
                       node->data_dir);
    return 0;
}

/* A ledger that another engine, or none, ordered until now goes on with this one: it is told of no block before its own. */
static int node_engine_era(struct node *node, const struct engine_genesis *genesis,
                           const struct ledger_info *info, struct hm_error *error)
{
    uint64_t era;
    int rc = ledger_era(node->ledger, &era, error);

    if (rc != 0 || genesis->initial_height <= 1 || era == genesis->initial_height)
        return rc;
    if (info->height + 1 < genesis->initial_height)
        return hm_fail(error, HM_ECONFLICT,
                       "the cluster goes on from block %" PRIu64 " of this ledger, which stands at "
                       "block %" PRIu64 " only: nexus cluster recover gives it the blocks between",
                       genesis->initial_height - 1, info->height);
    return info->height + 1 == genesis->initial_height
               ? ledger_era_set(node->ledger, genesis->initial_height, error)
               : 0;
}

static int node_engine_read_genesis(struct node *node, struct hm_arena *arena,
                                    struct engine_genesis *out, struct hm_error *error)
{
    char path[NODE_PATH_MAX_BYTES];
    int rc = node_path(node, NODE_ENGINE_GENESIS, path, error);

    if (rc == 0)
        rc = engine_genesis_load(path, arena, out, error);
    if (rc == HM_ENOTFOUND)
        return hm_fail(
            error, rc,
            "%s is missing: this node is of no cluster yet. nexus cluster create makes one", path);
    return rc;
}

/* HM_ENOTFOUND: this node begins with the genesis. */
static int node_engine_sync(struct node *node, struct hm_arena *arena,
                            struct engine_config_sync *out, struct hm_error *error)
{
    char home[NODE_PATH_MAX_BYTES];
    int rc = node_path(node, NODE_ENGINE_DIR, home, error);

    return rc != 0 ? rc : engine_sync_load(home, arena, out, error);
}

/* By which name the engine's chain must go for this ledger: a recovery gives it a new one with its first block. */
static int node_engine_chain(const struct engine_genesis *genesis, const struct ledger_info *info,
                             struct hm_arena *arena, const char **out, struct hm_error *error)
{
    struct engine_cometbft_state state = {.height = 0};
    int rc = engine_cometbft_state_read(genesis->app_state, arena, &state, error);

    *out = rc == 0 && state.recovery != NULL && info->height < genesis->initial_height
               ? state.recovery->engine_chain
               : info->engine_chain;
    return rc;
}

/* Its time, its limits and its accounts are in no name: the file must be the one that the ledger began with. */
static int node_engine_pin(struct node *node, struct hm_error *error)
{
    char home[NODE_PATH_MAX_BYTES];
    struct ledger_info info;
    int rc = node_path(node, NODE_ENGINE_DIR, home, error);

    return rc != 0 ? rc
                   : engine_genesis_pin(
                         home, ledger_info(node->ledger, &info, NULL) == HM_ENOTFOUND, error);
}

/* A ledger that is there must be the genesis's; where there is none the genesis brings it, or a snapshot. */
static int node_engine_begin_chain(struct node *node, const struct engine_genesis *genesis,
                                   struct hm_error *error)
{
    struct engine_genesis_wanted wanted = {.chain_id = genesis->chain_id,
                                           .initial_height = genesis->initial_height,
                                           .now_ms = hm_wall_ms(node->options.clock)};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct engine_config_sync sync;
    struct ledger_info info;
    int rc = ledger_info(node->ledger, &info, error);

    hm_arena_init(&arena, 0);
    if (rc == 0)
        rc = node_engine_chain(genesis, &info, &arena, &wanted.chain_id, error);
    if (rc == HM_ENOTFOUND) {
        int synced = node_engine_sync(node, &arena, &sync, error);

        if (synced != 0 && synced != HM_ENOTFOUND)
            return synced;
        node->beside.syncing = synced == 0;
        if (node->beside.syncing)
            return engine_genesis_check(genesis, &wanted, error);
    }
    if (rc == HM_ENOTFOUND && genesis->initial_height > 1)
        return hm_fail(error, HM_ECONFLICT,
                       "this cluster goes on from block %" PRIu64
                       " of an older ledger: an empty folder can only begin with a snapshot of it "
                       "(nexus cluster add --snapshot, or hypermeshd --cluster-add with "
                       "--state-sync)",
                       genesis->initial_height - 1);
    if (rc != 0 && rc != HM_ENOTFOUND)
        return rc;
    bool empty = rc == HM_ENOTFOUND;
    rc = engine_genesis_check(genesis, &wanted, error);
    if (rc == 0 && !empty)
        rc = node_engine_era(node, genesis, &info, error);
    if (rc == 0 && empty)
        rc = ledger_init_chain(node->ledger, genesis->app_state, error);
    return rc;
}

int node_engine_boot_chain(struct node *node, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct engine_genesis genesis;
    char path[NODE_PATH_MAX_BYTES];
    int rc = node_path(node, NODE_ENGINE_GENESIS, path, error);

    hm_arena_init(&arena, 0);
    if (rc == 0 && node->options.cluster)
        rc = node_era_settle(node->data_dir, error);
    if (rc == 0)
        rc = node_restore_started(node->data_dir, error);
    if (rc == 0)
        rc = join_started(node->data_dir, error);
    if (rc == 0)
        rc = node_engine_check_kind(node, access(path, F_OK) == 0, error);
    if (rc != 0 || !node->options.cluster)
        return rc;
    rc = node_engine_read_genesis(node, &arena, &genesis, error);
    if (rc != 0)
        return rc;
    node->beside.validators = genesis.validator_count;
    rc = node_engine_pin(node, error);
    return rc != 0 ? rc : node_engine_begin_chain(node, &genesis, error);
}

/* --- CometBFT's side ------------------------------------------------------------------------------------- */

/* --- who may vote ------------------------------------------------------------------------------------------ */

struct node_voters {
    size_t count;
    uint64_t power; /* of all */
    uint64_t
        within; /* at most so much is in reach: this node's, and that of the strongest others that its peers may be */
};

static int node_voters_stronger(const void *a, const void *b)
{
    const struct ledger_validator_update *left = a, *right = b;

    return left->power < right->power ? 1 : left->power > right->power ? -1 : 0;
}

/* Nobody says which of the peers vote. All powers together are less than 2^60. */
static void node_voters_count(struct node *node, struct ledger_validator_update *set, size_t count,
                              size_t peers, struct node_voters *out)
{
    uint8_t address[ENGINE_ADDRESS_BYTES];

    *out = (struct node_voters){.count = count};
    qsort(set, count, sizeof(*set), node_voters_stronger);
    for (size_t i = 0; i < count; i++) {
        bool own = engine_config_address(set[i].key, address, NULL) == 0 &&
                   memcmp(address, node->beside.address, sizeof(address)) == 0;

        out->power += set[i].power;
        if (own || peers > 0)
            out->within += set[i].power;
        peers -= !own && peers > 0;
    }
}

/* As the ledger has told the engine; where it knows no validators, as its genesis says, each as strong as the others. */
static void node_voters_see(struct node *node, size_t peers, struct node_voters *out)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct ledger_validator_update *set;
    struct ledger_view *view;
    size_t count = 0;

    hm_arena_init(&arena, 0);
    if (ledger_view_open(node->ledger, &view, NULL) == 0) {
        if (ledger_view_engine_set(view, &arena, &set, &count, NULL) != 0)
            count = 0;
        ledger_view_close(view);
    }
    if (count > 0) {
        node_voters_count(node, set, count, peers, out);
        return;
    }
    count = node->beside.validators;
    *out = (struct node_voters){
        .count = count, .power = count, .within = peers < count ? peers + 1 : count};
}

/* More than two thirds: without them nobody makes a block, and a restart does not help. */
static bool node_voters_are_enough(const struct node_voters *voters)
{
    return 3 * voters->within > 2 * voters->power;
}

static unsigned node_voters_percent(const struct node_voters *voters)
{
    uint64_t percent = 0;

    return voters->power > 0 && hm_muldiv_u64(voters->within, 100, voters->power, &percent)
               ? (unsigned)percent
               : 0;
}

static bool node_engine_has_quorum(struct node *node, const struct engine_status *status)
{
    struct node_voters voters;

    node_voters_see(node, status->peers, &voters);
    return node_voters_are_enough(&voters);
}

/* --- what the supervisor is told ------------------------------------------------------------------------------ */

static void node_engine_look(void *ctx, struct engine_process_look *out)
{
    struct node *node = ctx;
    struct engine_status status;

    if (node->beside.looks++ % NODE_ENGINE_LOOKS_A_STATUS == 0) {
        engine_get_status(node->engine, &status);
        node->beside.waiting = status.pending > 0 && node_engine_has_quorum(node, &status);
    }
    out->height = atomic_load(&node->beside.height);
    out->waiting = node->beside.waiting;
}

/* The engine has no end of asking others for a first block that fits. It looks at a block only when two thirds have signed it. */
static bool node_engine_has_other_time(const struct engine_process_line *line)
{
    static const char begins[] = "err=block time ";

    return strcmp(line->module, "blocksync") == 0 &&
           strcmp(line->text, "Error in validation") == 0 &&
           strncmp(line->fields, begins, sizeof(begins) - 1) == 0 &&
           strstr(line->fields, " is not equal to genesis time ") != NULL;
}

static void node_engine_line(void *ctx, const struct engine_process_line *line)
{
    struct hm_error error = {0};
    struct node *node = ctx;

    node_era_line(ctx, line);
    hm_log(line->level, "cometbft", "%s%s%s%s%s", line->module, line->module[0] != '\0' ? ": " : "",
           line->text, line->fields[0] != '\0' ? " " : "", line->fields);
    if (!node_engine_has_other_time(line) || node_failure(node) != NULL)
        return;
    hm_fail(&error, HM_ECONFLICT,
            "%.150s/" NODE_ENGINE_GENESIS " is not the cluster's genesis: the first block of the "
            "others is of another time. Stop this node and make it again with a ticket (nexus "
            "cluster join)",
            node->data_dir);
    node_fail(node, error.text);
    engine_give_up(node->engine, &error);
}

static void node_engine_started(void *ctx, int64_t pid)
{
    struct node *node = ctx;

    engine_expect(node->engine, pid);
}

static void node_engine_given_up(void *ctx, const struct hm_error *error)
{
    char sentence[HM_ERROR_TEXT_BYTES];
    struct node *node = ctx;

    if (error->code == HM_ECONFLICT)
        node_anew_mark(node->data_dir, atomic_load(&node->beside.height), error->text, sentence);
    node_fail(node, error->code == HM_ECONFLICT ? sentence : error->text);
    engine_give_up(node->engine, error); /* who waits for a block keeps the node from stopping */
}

/* On the connection's thread. */
static void node_engine_left(void *ctx, int64_t pid)
{
    struct node *node = ctx;

    pthread_mutex_lock(&node->state_lock);
    if (node->beside.process != NULL)
        engine_process_lost(node->beside.process, pid);
    pthread_mutex_unlock(&node->state_lock);
}

/* "NODE-ID@ADDRESS:PORT". */
static int node_engine_peers(const struct node *node, struct engine_config_peer *peers,
                             struct hm_error *error)
{
    for (size_t i = 0; i < node->options.p2p_peer_count; i++) {
        const char *text = node->options.p2p_peers[i];
        const char *at = strchr(text, '@');

        if (at == NULL || at - text != ENGINE_NODE_ID_DIGITS)
            return hm_fail(error, HM_EINVAL, "a peer is NODE-ID@ADDRESS:PORT, not '%.100s'", text);
        memcpy(peers[i].node_id, text, ENGINE_NODE_ID_DIGITS);
        peers[i].node_id[ENGINE_NODE_ID_DIGITS] = '\0';
        peers[i].address = at + 1;
    }
    return 0;
}

/* Writes config.toml anew, and gives the address this node signs as. sync: in the arena, NULL for a node that begins with the
 * genesis. */
static int node_engine_configure(struct node *node, const struct engine_config_sync *sync,
                                 char home[NODE_PATH_MAX_BYTES],
                                 uint8_t address[ENGINE_ADDRESS_BYTES], struct hm_error *error)
{
    struct engine_config_peer peers[NODE_P2P_PEERS_MAX];
    struct engine_config config = {.name = "hypermesh",
                                   .abci_socket = node->beside.socket_abci,
                                   .rpc_socket = node->beside.socket_rpc,
                                   .p2p_listen = node->options.p2p_listen,
                                   .peers = peers,
                                   .peer_count = node->options.p2p_peer_count,
                                   .sync = sync,
                                   .log_level = node->beside.syncing ? NODE_ENGINE_LOG_SYNC : NULL,
                                   .metrics_listen = node->options.engine_metrics};
    struct crypto_ed25519_key key;
    char keys_dir[NODE_PATH_MAX_BYTES];
    int rc = node_path(node, NODE_ENGINE_DIR, home, error);

    if (rc == 0)
        rc = node_path(node, NODE_VALIDATOR_DIR, keys_dir, error);
    if (rc == 0)
        rc = node_path(node, NODE_ABCI_SOCKET, node->beside.socket_abci, error);
    if (rc == 0)
        rc = node_path(node, NODE_RPC_SOCKET, node->beside.socket_rpc, error);
    if (rc == 0)
        rc = node_engine_peers(node, peers, error);
    if (rc != 0)
        return rc;
    config.keys_dir = keys_dir;
    rc = engine_config_write(home, &config, (struct hm_slice){0}, NULL, error);
    if (rc == 0)
        rc = engine_key_load(keys_dir, ENGINE_VALIDATOR_KEY_NAME, &key, error);
    if (rc != 0)
        return rc;
    rc = engine_config_address(key.public_key, address, error);
    crypto_ed25519_wipe(&key);
    return rc;
}

/* What the node keeps for others, and what it needs to begin with theirs. *sync: NULL when it began with the genesis. */
static int node_engine_snapshots(struct node *node, char dir[NODE_PATH_MAX_BYTES],
                                 struct hm_arena *arena, struct engine_cometbft_options *out,
                                 struct engine_config_sync *sync, bool *synced,
                                 struct hm_error *error)
{
    struct engine_genesis genesis;
    int rc = node_path(node, NODE_SNAPSHOT_DIR, dir, error);

    if (rc != 0)
        return rc;
    out->snapshot_dir = dir;
    out->snapshot_blocks = node->options.snapshot_blocks;
    rc = node_engine_sync(node, arena, sync, error);
    *synced = rc == 0;
    if (rc != 0)
        return rc == HM_ENOTFOUND ? 0 : rc;
    rc = node_engine_read_genesis(node, arena, &genesis, error);
    if (rc != 0)
        return rc;
    out->app_state = genesis.app_state;
    out->initial_height = genesis.initial_height;
    /* As long as the cluster's own engines remember a fault: who signed the block can still pay for a lie. */
    if (genesis.evidence_max_age_ms > 0)
        sync->trust_period_ms = genesis.evidence_max_age_ms;
    return 0;
}

/* By the genesis's name of the chain the nodes of one cluster know each other's packets. */
static int node_engine_view(struct node *node, const uint8_t address[ENGINE_ADDRESS_BYTES],
                            struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct engine_genesis genesis;
    char keys_dir[NODE_PATH_MAX_BYTES];
    int rc;

    hm_arena_init(&arena, 0);
    memcpy(node->beside.address, address, ENGINE_ADDRESS_BYTES);
    rc = node_path(node, NODE_VALIDATOR_DIR, keys_dir, error);
    if (rc == 0)
        rc = node_engine_read_genesis(node, &arena, &genesis, error);
    return rc != 0 ? rc : node_view_open(node, keys_dir, genesis.chain_id, error);
}

/* The server listens before the engine looks for it. */
static int node_engine_open_cluster(struct node *node, const struct engine_options *options,
                                    const char *program, struct hm_error *error)
{
    struct engine_cometbft_options cometbft = {.abci_path = node->beside.socket_abci,
                                               .rpc_path = node->beside.socket_rpc,
                                               .left = node_engine_left,
                                               .left_ctx = node};
    const char *const stale[] = {node->beside.socket_rpc};
    /* One processor is enough for it, and leaves the others to jobs. */
    static const char *const environment[] = {"GOMAXPROCS=2", "GOGC=200"};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    char home[NODE_PATH_MAX_BYTES], snapshots[NODE_PATH_MAX_BYTES];
    struct engine_config_sync sync;
    bool synced = false;
    const struct engine_process_options process = {.program = program,
                                                   .home = home,
                                                   .stale = stale,
                                                   .stale_count = HM_COUNT_OF(stale),
                                                   .environment = environment,
                                                   .environment_count = HM_COUNT_OF(environment),
                                                   .on_line = node_engine_line,
                                                   .on_start = node_engine_started,
                                                   .on_failure = node_engine_given_up,
                                                   .look = node_engine_look,
                                                   .ctx = node};
    struct engine_process *supervisor = NULL;
    char why[HM_ERROR_TEXT_BYTES];
    int rc;

    hm_arena_init(&arena, 0);
    rc = node_engine_snapshots(node, snapshots, &arena, &cometbft, &sync, &synced, error);
    if (rc == 0)
        rc = node_engine_configure(node, synced ? &sync : NULL, home, cometbft.validator_address,
                                   error);
    if (rc == 0)
        rc = node_engine_view(node, cometbft.validator_address, error);
    if (rc == 0 && node_validator_differs(node, why))
        hm_log(HM_LOG_ERROR, "node", "%s", why);
    cometbft.witness = node_view_witness;
    cometbft.witness_ctx = node;
    if (rc == 0)
        rc = engine_cometbft_open(options, &cometbft, &node->engine, error);
    if (rc == 0)
        rc = node_view_compute(node, error);
    /* Before the engine, which asks there at once. */
    if (rc == 0 && synced)
        rc = join_tunnel_open(node->data_dir, node->options.clock, &node->tunnel, error);
    if (rc == 0)
        rc = engine_process_start(&process, &supervisor, error);
    pthread_mutex_lock(&node->state_lock);
    node->beside.process = supervisor;
    pthread_mutex_unlock(&node->state_lock);
    return rc;
}

int node_engine_open(struct node *node, const struct engine_options *options,
                     struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    char version[ENGINE_PROCESS_VERSION_BYTES];
    const char *program = NULL;
    struct ledger_info info;
    int rc;

    hm_arena_init(&arena, 0);
    if (!node->options.cluster)
        return engine_solo_open(options, &node->engine, error);
    if (ledger_info(node->ledger, &info, NULL) == 0)
        atomic_store(&node->beside.height, info.height);
    rc = engine_process_find(node->options.engine_path, &arena, &program, error);
    if (rc == 0)
        rc = engine_process_check(program, version, error);
    if (rc == 0)
        rc = node_engine_open_cluster(node, options, program, error);
    return rc;
}

/* The process first: it is then told to end in good order, while the application still answers it. */
void node_engine_close(struct node *node)
{
    node_view_stop(node);
    pthread_mutex_lock(&node->state_lock);
    struct engine_process *supervisor = HM_TAKE(node->beside.process);
    pthread_mutex_unlock(&node->state_lock);

    engine_process_stop(supervisor);
    join_tunnel_close(HM_TAKE(node->tunnel));
    engine_close(HM_TAKE(node->engine));
    node_view_close(node);
}

void node_engine_saw_block(struct node *node, uint64_t height)
{
    atomic_store(&node->beside.height, height);
    node_view_saw_block(node);
}

/* --- waiting --------------------------------------------------------------------------------------------- */

/* False: quitting. */
static bool node_engine_pause(const struct node *node, int ms)
{
    struct pollfd quit = {.fd = node->quit_fd, .events = POLLIN};

    return poll(&quit, 1, ms) <= 0;
}

static bool node_engine_is_there(struct node *node)
{
    char why[HM_ERROR_TEXT_BYTES];
    struct engine_status status;
    struct node_voters voters;
    struct ledger_info info;

    engine_get_status(node->engine, &status);
    node_voters_see(node, status.peers, &voters);
    if (!status.reachable)
        node_say_not_ready(node, "waiting for CometBFT to start");
    else if (!node_voters_are_enough(&voters) && node_era_stranger(node, why))
        node_say_not_ready(node, "%s", why);
    else if (!node_voters_are_enough(&voters))
        node_say_not_ready(node,
                           "waiting for the cluster: %u other nodes are connected, with this one "
                           "they have at most %u %% of the votes, and more than two thirds must be "
                           "there",
                           status.peers, node_voters_percent(&voters));
    else if (node->beside.syncing && ledger_info(node->ledger, &info, NULL) != 0)
        node_say_not_ready(node, "taking the ledger over from a snapshot of the cluster");
    else if (status.catching_up && node_validator_differs(node, why))
        node_say_not_ready(node, "catching up with the cluster: at block %" PRIu64 "; %s",
                           status.height, why);
    else if (status.catching_up)
        node_say_not_ready(node, "catching up with the cluster: at block %" PRIu64, status.height);
    else
        return true;
    return false;
}

int node_engine_wait(struct node *node, struct hm_error *error)
{
    while (node->options.cluster && !node_engine_is_there(node))
        if (!node_engine_pause(node, NODE_ENGINE_POLL_MS))
            return hm_fail(error, HM_ECANCELLED, "the node is stopping");
    return 0;
}

bool node_engine_is_late(const struct node *node, int rc)
{
    return node->options.cluster &&
           (rc == HM_ETIMEOUT || rc == HM_EUNAVAILABLE || rc == HM_EBUSY || rc == HM_EPROOF_TIME);
}

bool node_engine_may_try_again(struct node *node, int rc, const struct hm_error *error)
{
    bool poor = node->options.cluster && rc == HM_EFUNDS;
    char why[HM_ERROR_TEXT_BYTES];

    if (!node_engine_is_late(node, rc) && !poor)
        return false;
    if (poor)
        node_say_not_ready(node, "it follows the chain, and waits until another node pays it: %s",
                           error->text);
    else if (node_validator_differs(node, why))
        node_say_not_ready(node, "waiting for the cluster: %.100s; %s", error->text, why);
    else
        node_say_not_ready(node, "waiting for the cluster: %s", error->text);
    return node_engine_pause(node, NODE_ENGINE_AGAIN_MS);
}

/* --- what is told of it ---------------------------------------------------------------------------------- */

void node_engine_status(struct node *node, const struct engine_status *engine,
                        struct hm_arena *arena, struct api_status *out)
{
    struct engine_process_status process;
    struct node_voters voters;

    if (!node->options.cluster)
        return;
    node_voters_see(node, engine->peers, &voters);
    engine_process_get_status(node->beside.process, &process);
    out->cluster = hm_arena_alloc(arena, sizeof(*out->cluster));
    if (out->cluster == NULL)
        return;
    *out->cluster = (struct api_cluster){0};
    out->cluster->version = engine->engine_version[0] != '\0'
                                ? hm_arena_strdup(arena, engine->engine_version)
                                : NULL;
    out->cluster->validators = voters.count;
    out->cluster->quorum = node_voters_are_enough(&voters);
    out->cluster->votes_percent = node_voters_percent(&voters);
    out->cluster->peers = engine->peers;
    out->cluster->starts = (unsigned)process.starts;
    out->cluster->pending = engine->pending;
    out->cluster->reachable = engine->reachable;
    out->cluster->catching_up = engine->catching_up;
    out->cluster->validator = engine->validator;
    out->cluster->block_age_ms = engine->block_age_ms;
    node_view_links(node, arena, out->cluster);
}

int node_engine_metrics(struct node *node, struct hm_buf *out)
{
    if (!node->options.cluster || node->options.engine_metrics == NULL)
        return 0;
    /* One that is down has none: our own say so. */
    return engine_process_metrics(node->options.engine_metrics, out, NULL) == HM_ENOMEM ? HM_ENOMEM
                                                                                        : 0;
}
