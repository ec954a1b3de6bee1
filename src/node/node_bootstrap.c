/* From an open data directory to a ready node: identities, chain, plot, engine, sessions, hardware. Each step
 * finds out what is there already, so a start after a kill goes on where the last one stopped. */
#include <poll.h>
#include <stdio.h>

#include "node_private.h"

#define NODE_GENESIS_MAX_BYTES ((size_t)1 << 20)

static int node_ensure_identity(struct node *node, const char *name, struct hm_error *error)
{
    struct trust_entry entry;
    int rc = node_wallet_create(node, name, &entry, error);

    if (rc == 0)
        hm_log(HM_LOG_INFO, "node", "new account '%s'", name);
    return rc == HM_EEXIST ? 0 : rc;
}

static int node_boot_identities(struct node *node, struct hm_error *error)
{
    int rc = node_ensure_identity(node, NODE_OPERATOR, error);

    if (rc == 0)
        rc = node_ensure_identity(node, NODE_USER, error);
    if (rc == 0)
        rc = node_wallet_begin(node, error);
    if (rc == 0)
        rc = node_wallet_resolve(node, NODE_OPERATOR, node->operator_id, error);
    return rc;
}

/* What of the parameters is asked for again and again; they never change. */
static int node_boot_params(struct node *node, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Params *params;
    struct ledger_view *view;
    struct ledger_info info;

    hm_arena_init(&arena, 0);
    int rc = ledger_view_open(node->ledger, &view, error);
    if (rc != 0)
        return rc;
    rc = ledger_view_params(view, &arena, &params, error);
    if (rc == 0)
        rc = ledger_view_info(view, &info, error);
    ledger_view_close(view);
    if (rc != 0)
        return rc;
    node->space_openings = params->space_openings;
    node->challenge_openings = params->challenge_openings;
    node->result_kept_ms = params->result_window_ms + params->challenge_window_ms;
    atomic_store(&node->wallet.share_ops, params->max_ops_per_tx);
    atomic_store(&node->chain_ms, info.time_ms);
    uint64_t wall_ms = hm_wall_ms(node->options.clock);
    if (info.time_ms > wall_ms + NODE_CLOCK_BEHIND_MS)
        hm_log(HM_LOG_WARN, "node",
               "the machine's clock is %llu minutes behind the last block: the chain's time stands "
               "still until it has caught up",
               (unsigned long long)((info.time_ms - wall_ms) / 60000));
    return 0;
}

/* What a crash has left in the block log only. */
static int node_boot_log(struct node *node, struct hm_error *error)
{
    const struct engine_options options = {
        .ledger = node->ledger, .store = node->store, .log_path = node->log_path};
    int rc = node_path(node, NODE_LOG_NAME, node->log_path, error);

    if (rc == 0)
        rc = engine_solo_recover(&options, error);
    return rc == HM_ECORRUPT ? node_ledger_damaged(node, error) : rc;
}

static int node_boot_chain(struct node *node, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf genesis = {0};
    struct ledger_info info;
    int rc = node_engine_boot_chain(node, error);

    if (rc == 0 && node->beside.syncing)
        return node_path(node, NODE_LOG_NAME, node->log_path, error);
    if (rc == 0)
        rc = ledger_info(node->ledger, &info, error);
    if (rc == 0) {
        rc = node_boot_log(node, error);
        return rc != 0 ? rc : node_boot_params(node, error);
    }
    if (rc != HM_ENOTFOUND || node->options.cluster)
        return rc;
    if (node->options.genesis_path != NULL)
        rc = hm_file_read(node->options.genesis_path, NODE_GENESIS_MAX_BYTES, &genesis, error);
    else
        rc = node_genesis_make(node, &genesis, error);
    if (rc == 0)
        rc = ledger_init_chain(node->ledger, hm_buf_slice(&genesis), error);
    if (rc == 0)
        rc = node_boot_log(node, error);
    return rc != 0 ? rc : node_boot_params(node, error);
}

/* --- engine ----------------------------------------------------------------------------------------------------- */

static void node_engine_failed(void *ctx, const struct hm_error *error)
{
    struct hm_error why = *error;

    if (why.code == HM_ECORRUPT)
        (void)node_ledger_damaged(ctx, &why);
    node_fail(ctx, why.text);
}

static void node_block_made(void *ctx, const struct engine_block *block,
                            const Hypermesh__BlockRecord *record)
{
    struct node *node = ctx;

    atomic_store(&node->chain_ms, block->time_ms);
    node_engine_saw_block(node, block->height);
    node_feed_tell(&node->feed, record->kv_before, record->kv_after);
    node_challenges_tell(node, record);
}

static int node_boot_engine(struct node *node, struct hm_error *error)
{
    const struct engine_options options = {.ledger = node->ledger,
                                           .clock = node->options.clock,
                                           .sealer = {.seal = node_seal, .ctx = node},
                                           .log_path = node->log_path,
                                           .store = node->store,
                                           .on_block = node_block_made,
                                           .on_failure = node_engine_failed,
                                           .ctx = node};

    int rc = node->beside.syncing ? 0 : node_news_start(node, error);
    return rc != 0 ? rc : node_engine_open(node, &options, error);
}

int node_boot_synced(struct node *node, struct hm_error *error)
{
    join_tunnel_close(HM_TAKE(node->tunnel)); /* what it was for has come */
    if (!node->beside.syncing)
        return 0;
    int rc = node_boot_params(node, error);
    return rc != 0 ? rc : node_news_start(node, error);
}

/* --- accounts on the ledger ---------------------------------------------------------------------------------------- */

#define NODE_BOOT_OPS_MAX  2
#define NODE_BOOT_FUNDS_MS 1000 /* between two looks whether an account was paid */

/* What an account lacks to take part, as operations in the arena. */
struct node_lacks {
    Hypermesh__Operation *ops[NODE_BOOT_OPS_MAX];
    size_t count;
};

static Hypermesh__Operation *node_lacks_add(struct node_lacks *lacks, struct hm_arena *arena)
{
    Hypermesh__Operation *op = hm_arena_alloc(arena, sizeof(*op));

    if (op != NULL) {
        hypermesh__operation__init(op);
        lacks->ops[lacks->count++] = op;
    }
    return op;
}

static int node_lacks_bond(struct node_lacks *lacks, const Hypermesh__Account *account,
                           uint64_t needed, struct hm_arena *arena)
{
    Hypermesh__Bond *bond;
    Hypermesh__Operation *op;

    if (account->bonded >= needed)
        return 0;
    bond = hm_arena_alloc(arena, sizeof(*bond));
    op = node_lacks_add(lacks, arena);
    if (bond == NULL || op == NULL)
        return HM_ENOMEM;
    hypermesh__bond__init(bond);
    bond->amount = needed - account->bonded;
    op->op_case = HYPERMESH__OPERATION__OP_BOND;
    op->bond = bond;
    return 0;
}

static bool node_same_plot(const Hypermesh__PlotCommitment *a, const Hypermesh__PlotCommitment *b)
{
    return a != NULL && a->root.len == b->root.len &&
           memcmp(a->root.data, b->root.data, b->root.len) == 0 && a->labels == b->labels &&
           a->segment_labels == b->segment_labels;
}

static int node_lacks_plot(struct node *node, struct node_lacks *lacks,
                           const Hypermesh__Account *account, size_t openings,
                           struct hm_arena *arena, struct hm_error *error)
{
    Hypermesh__PlotCommitment *commitment = hm_arena_alloc(arena, sizeof(*commitment));
    Hypermesh__SpaceCommit *commit = hm_arena_alloc(arena, sizeof(*commit));
    uint8_t challenge[CRYPTO_HASH_BYTES];
    Hypermesh__Operation *op;

    if (commitment == NULL || commit == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a plot's commitment");
    int rc = node_plot_commitment(node, arena, commitment, error);
    if (rc != 0 || node_same_plot(account->plot, commitment))
        return rc;
    hypermesh__space_commit__init(commit);
    commit->plot = commitment;
    proof_plot_challenge(node->operator_id, commitment, challenge);
    rc = node_plot_open_at(node, challenge, openings, true, arena, &commit->openings, error);
    if (rc != 0)
        return rc;
    commit->n_openings = openings;
    op = node_lacks_add(lacks, arena);
    if (op == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a plot's commitment");
    op->op_case = HYPERMESH__OPERATION__OP_SPACE_COMMIT;
    op->space_commit = commit;
    return 0;
}

/* Session, bond and (for the operator) plot; in one root-signed transaction when all are new. */
int node_boot_account(struct node *node, const char *name, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    bool is_operator = strcmp(name, NODE_OPERATOR) == 0;
    struct node_lacks lacks = {0};
    struct ledger_view *view;
    Hypermesh__Account *account;
    Hypermesh__Params *params;
    uint8_t id[WIRE_ID_BYTES];

    hm_arena_init(&arena, 0);
    int rc = node_wallet_resolve(node, name, id, error);
    if (rc == 0)
        rc = ledger_view_open(node->ledger, &view, error);
    if (rc != 0)
        return rc;
    rc = ledger_view_account(view, id, &arena, &account, error);
    if (rc == 0)
        rc = ledger_view_params(view, &arena, &params, error);
    ledger_view_close(view);
    if (rc == 0 &&
        node_lacks_bond(&lacks, account,
                        is_operator ? params->bond_provider : params->bond_consumer, &arena) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory to bond");
    if (rc == 0 && is_operator)
        rc = node_lacks_plot(node, &lacks, account, params->plot_commit_openings, &arena, error);
    if (rc != 0)
        return rc;
    return node_wallet_open_session(node, name, lacks.ops, lacks.count, error);
}

/* Both at once where both are to be paid: the operator is looked at first. Enough for both: what a newcomer is given by `nexus
 * cluster add` and by a ticket that pays. */
static void node_boot_say_unpaid(struct node *node, bool is_operator)
{
    char operator_text[WIRE_ID_TEXT_MAX], user_text[WIRE_ID_TEXT_MAX];
    uint8_t user_id[WIRE_ID_BYTES];

    if (node_wallet_resolve(node, NODE_USER, user_id, NULL) != 0)
        return;
    wire_account_text(node->operator_id, operator_text);
    wire_account_text(user_id, user_text);
    if (is_operator)
        node_say_not_ready(node,
                           "waiting for funds: somebody has to pay 'operator', %s, and 'user', %s; "
                           "10000 and 1000 HYPER are enough",
                           operator_text, user_text);
    else
        node_say_not_ready(node,
                           "waiting for funds: somebody has to pay 'user', %s; 1000 HYPER are "
                           "enough",
                           user_text);
}

/* A newcomer to a cluster may have nothing yet: until somebody pays its account it waits. */
static int node_boot_paid(struct node *node, const char *name, struct hm_error *error)
{
    struct pollfd quit = {.fd = node->quit_fd, .events = POLLIN};
    int rc;

    for (;;) {
        rc = node_boot_account(node, name, error);
        if (rc != HM_EFUNDS || !node->options.cluster)
            return rc;
        node_boot_say_unpaid(node, strcmp(name, NODE_OPERATOR) == 0);
        if (poll(&quit, 1, NODE_BOOT_FUNDS_MS) > 0)
            return hm_fail(error, HM_ECANCELLED, "the node is stopping");
    }
}

static int node_boot_accounts(struct node *node, struct hm_error *error)
{
    int rc = node_boot_paid(node, NODE_OPERATOR, error);

    if (rc != 0)
        return hm_error_prefix(error, rc, "account '%s'", NODE_OPERATOR);
    rc = node_boot_paid(node, NODE_USER, error);
    if (rc != 0)
        return hm_error_prefix(error, rc, "account '%s'", NODE_USER);
    return 0;
}

/* --- this machine --------------------------------------------------------------------------------------------------- */

/* A machine without a working sandbox still serves the ledger; jobs are refused with the reason. */
static int node_boot_machine(struct node *node, struct hm_error *error)
{
    struct runtime_machine machine;
    char path[NODE_PATH_MAX_BYTES];
    int rc = node_path(node, "jobs", path, error);

    if (rc != 0)
        return rc;
    rc = runtime_probe(path, node->options.oci_runtime, &machine, error);
    if (rc != 0) {
        hm_log(HM_LOG_WARN, "node", "jobs cannot run here: %s", error->text);
        return 0;
    }
    pthread_mutex_lock(&node->state_lock);
    node->machine = machine;
    node->machine_known = true;
    pthread_mutex_unlock(&node->state_lock);
    return 0;
}

/* From here on nothing of what reads go through is set any more. */
static int node_boot_readers(struct node *node, struct hm_error *error)
{
    (void)error;
    atomic_store(&node->opened, true);
    return 0;
}

/* --- in order ---------------------------------------------------------------------------------------------------------- */

static const struct node_boot_step {
    const char *doing;
    int (*run)(struct node *node, struct hm_error *error);
    bool
        orders; /* waits for blocks, which a cluster may be unable to make for a while; may be run again */
} node_boot_steps[] = {
    {"looking for a container runtime", node_boot_machine, false},
    {"opening accounts", node_boot_identities, false},
    {"opening the chain", node_boot_chain, false},
    {"opening the plot", node_plot_boot, false},
    {"opening the door to newcomers", node_door_open, false},
    {"starting the engine", node_boot_engine, false},
    {"opening the ledger to readers", node_boot_readers, false},
    {"waiting for the cluster", node_engine_wait, false},
    {"reading the chain", node_boot_synced, false},
    {"opening sessions", node_boot_accounts, true},
    {"registering this machine's hardware", node_hardware_start, true},
    {"looking for challenges", node_challenges_start, false},
    {"finishing jobs of the last run", node_jobs_recover, false},
};

static int node_boot_run(struct node *node, const struct node_boot_step *step,
                         struct hm_error *error)
{
    int rc;

    do
        rc = step->run(node, error);
    while (rc != 0 && step->orders && node_engine_may_try_again(node, rc, error));
    return rc;
}

void *node_bootstrap_main(void *arg)
{
    struct node *node = arg;

    for (size_t i = 0; i < HM_COUNT_OF(node_boot_steps); i++) {
        const struct node_boot_step *step = &node_boot_steps[i];
        struct hm_error error = {0};

        if (node_quitting(node))
            return NULL;
        node_say_not_ready(node, "%s", step->doing);
        if (node_boot_run(node, step, &error) != 0) {
            if (!node_quitting(node))
                node_fail(node, error.text);
            return NULL;
        }
    }
    if (node_say_ready(node))
        hm_log(HM_LOG_INFO, "node", "ready: %s",
               api_server_listen(node->api)[0] != '\0' ? api_server_listen(node->api)
                                                       : NODE_SOCKET_NAME);
    return NULL;
}
