/* cluster create, status, start, stop, destroy; what is not there yet says so. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "nexus_cluster.h"
#include "nexus_start_options.h"
#include "nexus_verbs.h"
#include "wire.h"

#define NODES_DEFAULT      4
#define START_WAIT_MS      180000
#define STOP_WAIT_MS       60000
#define ROOT_DIGITS_SHOWN  12
#define QUESTION_MAX_BYTES 16

/* --- status ---------------------------------------------------------------------------------------------- */

static json_t *node_state(struct nexus_call *call, const struct nexus_cluster_node *node)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    struct hm_error error = {0};
    pid_t pid = nexus_cluster_pid(node);
    int rc = pid > 0 ? nexus_cluster_ask(call, node, "GET", "/node", NULL, &reply, &error)
                     : NEXUS_EUNREACHABLE;
    json_t *state = json_object();

    json_object_set_new(state, "name", json_string(node->name));
    json_object_set_new(state, "data", json_string(node->data));
    json_object_set_new(state, "node_id", json_string(node->node_id));
    json_object_set_new(state, "p2p", json_string(node->p2p));
    json_object_set_new(state, "netns", json_string(node->netns));
    json_object_set_new(state, "pid", json_integer(pid));
    json_object_set_new(state, "running", json_boolean(rc == 0));
    json_object_set_new(state, "kept", json_boolean(nexus_keeper(node->data) > 0));
    json_object_set_new(
        state, "ended",
        json_string(pid > 0 ? "" : nexus_daemon_how_ended(node->data, call->arena)));
    json_object_set_new(state, "problem", rc && pid > 0 ? json_string(error.text) : json_null());
    json_object_set(state, "node", rc == 0 && reply ? reply : json_null());
    return state;
}

static int cluster_state(struct nexus_call *call, const struct nexus_cluster *cluster, json_t **out)
{
    json_t *nodes = json_array();
    json_t *state = json_object();

    for (size_t i = 0; i < cluster->count; i++)
        json_array_append_new(nodes, node_state(call, &cluster->nodes[i]));
    json_object_set_new(state, "chain_id", json_string(cluster->chain_id));
    json_object_set_new(state, "data", json_string(cluster->folder));
    json_object_set_new(state, "bridge", json_string(cluster->bridge));
    if (json_object_set_new(state, "nodes", nodes) != 0 ||
        json_array_size(nodes) != cluster->count) {
        json_decref(state);
        return nexus_no_memory(call);
    }
    int rc = nexus_cluster_put_seen(call, cluster, state);
    if (rc) {
        json_decref(state);
        return rc;
    }
    *out = state;
    return 0;
}

static uint64_t highest(const json_t *nodes)
{
    uint64_t most = 0;

    for (size_t i = 0; i < json_array_size(nodes); i++) {
        uint64_t height = nexus_json_u64(json_object_get(json_array_get(nodes, i), "node"),
                                         "height");

        most = height > most ? height : most;
    }
    return most;
}

static const char *state_text(struct nexus_call *call, const json_t *state)
{
    const json_t *node = json_object_get(state, "node");
    const char *ended = nexus_json_text(state, "ended");

    if (!nexus_json_bool(state, "running") && nexus_json_u64(state, "pid"))
        return nexus_json_text(state, "problem");
    if (!nexus_json_bool(state, "running") && nexus_json_bool(state, "kept"))
        return ended[0] ? hm_arena_printf(call->arena, "ended (%s), is started again", ended)
                        : "starting or stopping";
    if (!nexus_json_bool(state, "running"))
        return ended[0] ? hm_arena_printf(call->arena, "ended (%s)", ended) : "stopped";
    if (nexus_json_bool(node, "ready"))
        return "ready";
    return hm_arena_printf(call->arena, "not ready: %s", nexus_json_text(node, "not_ready"));
}

static void add_row(struct nexus_call *call, struct nexus_table *table, const json_t *all,
                    const json_t *state, const json_t *seen, uint64_t most)
{
    const json_t *node = json_object_get(state, "node");
    const json_t *engine = json_object_get(node, "cluster");
    bool running = nexus_json_bool(state, "running");
    struct hm_arena *arena = call->arena;
    uint64_t height = nexus_json_u64(node, "height");

    NEXUS_TABLE_ROW(
        table, nexus_json_text(state, "name"),
        running ? hm_arena_printf(arena, "%llu", (unsigned long long)height) : "-",
        running ? hm_arena_printf(arena, "%llu", (unsigned long long)(most - height)) : "-",
        running
            ? hm_arena_printf(arena, "%.*s", ROOT_DIGITS_SHOWN, nexus_json_text(node, "state_root"))
            : "-",
        running
            ? hm_arena_printf(arena, "%llu", (unsigned long long)nexus_json_u64(engine, "peers"))
            : "-",
        running ? (nexus_json_bool(engine, "validator") ? "yes" : "no") : "-",
        nexus_cluster_rtt(call, seen), nexus_cluster_clock(call, seen),
        nexus_json_text(state, "p2p"),
        hm_arena_printf(arena, "%s%s%s", state_text(call, state), nexus_cluster_doubts(call, seen),
                        nexus_cluster_links(call, all, state)));
}

static int table_cluster(struct nexus_call *call, const json_t *state, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {
        {"NODE", false}, {"HEIGHT", true},     {"BEHIND", true}, {"STATE ROOT", false},
        {"PEERS", true}, {"VALIDATOR", false}, {"RTT", true},    {"CLOCK", true},
        {"P2P", false},  {"STATE", false}};
    const json_t *nodes = nexus_json_list(state, "nodes");
    struct nexus_table table;

    if (hm_buf_printf(out, "cluster %s in %s\n", nexus_json_text(state, "chain_id"),
                      nexus_json_text(state, "data")) != 0)
        return nexus_no_memory(call);
    int rc = nexus_cluster_seen_lines(call, state, out);
    if (rc)
        return rc;
    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);

        add_row(call, &table, state, node,
                nexus_cluster_seen(state, nexus_json_text(node, "node_id")), highest(nodes));
    }
    return nexus_table_finish(call, &table, out);
}

static int show_cluster(struct nexus_call *call, const struct nexus_cluster *cluster)
{
    NEXUS_AUTOJSON json_t *state = NULL;
    int rc = cluster_state(call, cluster, &state);

    return rc ? rc : nexus_show(call, state, table_cluster);
}

static int no_url(struct nexus_call *call)
{
    return call->place.url ? hm_fail(&call->error, HM_EINVAL,
                                     "a cluster is in a folder of this machine; leave --url out")
                           : 0;
}

static int run_status(struct nexus_call *call)
{
    struct nexus_cluster cluster;
    int rc = no_url(call);

    if (!rc)
        rc = nexus_cluster_load(call, &cluster);
    return rc ? rc : show_cluster(call, &cluster);
}

const struct nexus_verb verb_cluster_status = {
    .group = "cluster",
    .name = "status",
    .summary = "What the cluster's nodes say of themselves",
    .text =
        "BEHIND counts blocks behind the highest of them. Nodes at the same height have the same\n"
        "state root. RTT is how long a packet takes to the node and back, and CLOCK how far its\n"
        "clock is ahead of the validators': medians of what these measured, as the ledger has "
        "them.",
    .run = run_status};

/* --- create ---------------------------------------------------------------------------------------------- */

static int want_namespaces(struct nexus_call *call, bool *out)
{
    const char *net = nexus_value(call, "net");

    bool shown = nexus_has(call, "address");

    if (shown && net && strcmp(net, "namespaces") == 0)
        return hm_fail(&call->error, HM_EINVAL,
                       "nodes in namespaces are not reached from other machines: --address goes "
                       "without");
    *out = net ? strcmp(net, "namespaces") == 0 : !shown && nexus_cluster_net_can();
    if (*out && !nexus_cluster_net_can())
        return hm_fail(&call->error, HM_EPERM,
                       "network namespaces need root, and the programs ip (iproute2) and nsenter; "
                       "--net loopback "
                       "does without");
    return 0;
}

static int want_nodes(struct nexus_call *call, uint64_t *out)
{
    int rc = nexus_value_u64(call, "nodes", out);

    if (rc)
        return rc;
    return *out >= 1 && *out <= NEXUS_CLUSTER_MAX
               ? 0
               : hm_fail(&call->error, HM_ERANGE, "--nodes is 1 to %d, not %llu", NEXUS_CLUSTER_MAX,
                         (unsigned long long)*out);
}

static int start_all(struct nexus_call *call, const struct nexus_cluster *cluster, uint64_t wait_ms)
{
    size_t all[NEXUS_CLUSTER_MAX];

    for (size_t i = 0; i < cluster->count; i++)
        all[i] = i;
    return nexus_cluster_start(call, cluster, all, cluster->count, wait_ms);
}

/* A node has ended, or their network could not be made: nothing is left, so that the same command can be said again. Who is only
 * slow, or was interrupted, keeps what there is. */
static void take_back(struct nexus_call *call, const struct nexus_cluster *cluster)
{
    struct hm_error kept = call->error;
    size_t all[NEXUS_CLUSTER_MAX];
    int rc;

    for (size_t i = 0; i < cluster->count; i++)
        all[i] = i;
    rc = nexus_cluster_stop(call, cluster, all, cluster->count, STOP_WAIT_MS);
    if (!rc)
        rc = nexus_cluster_remove(call, cluster);
    call->hint = rc ? "nexus cluster destroy removes what was made"
                    : "what was made is removed again; with --no-start, and nexus cluster start "
                      "then, the nodes' folders and logs stay";
    call->error = kept;
}

static int run_create(struct nexus_call *call)
{
    uint64_t nodes = NODES_DEFAULT, wait_ms = START_WAIT_MS;
    struct nexus_cluster cluster;
    bool namespaces = false;
    int rc = no_url(call);

    if (!rc)
        rc = want_nodes(call, &nodes);
    if (!rc)
        rc = nexus_value_ms(call, "wait", &wait_ms);
    if (!rc)
        rc = want_namespaces(call, &namespaces);
    if (!rc)
        rc = nexus_cluster_make(call, (size_t)nodes, namespaces, &cluster);
    if (rc)
        return rc;
    nexus_say("made %zu nodes in %s", cluster.count, cluster.folder);
    if (nexus_has(call, "no-start"))
        return show_cluster(call, &cluster);
    rc = start_all(call, &cluster, wait_ms);
    if (rc < 0 && rc != HM_ETIMEOUT)
        take_back(call, &cluster);
    return rc ? rc : show_cluster(call, &cluster);
}

static const struct nexus_option create_options[] = {
    {.name = "nodes", .value = "N", .help = "how many; default: 4, of which one may fail"},
    {.name = "net",
     .value = "KIND",
     .help = "where they meet; default: namespaces as root, else loopback",
     .words = "loopback namespaces"},
    NEXUS_PLOT_OPTION,
    NEXUS_ENGINE_PATH_OPTION,
    NEXUS_RUNTIME_OPTION,
    NEXUS_LOG_LEVEL_OPTION,
    {.name = "snapshot-blocks",
     .value = "N",
     .help = "blocks between two snapshots for nodes that join; default: 1000"},
    {.name = "vdf-blocks",
     .value = "N",
     .help = "blocks with transactions between two links of the chain of delays; 0: no links; "
             "default: 1000"},
    {.name = "wait", .value = "TIME", .help = "how long to wait until all are ready; default: 3m"},
    {.name = "address",
     .value = "ADDR",
     .help = "of this machine, where nodes on other machines reach these; default: only from here"},
    {.name = "no-start", .help = "make the folders only"},
};

const struct nexus_verb verb_cluster_create = {
    .group = "cluster",
    .name = "create",
    .summary =
        "Make several nodes on this machine that order their blocks together, and start them",
    .text =
        "Their folders are DIR/node0, DIR/node1, ... of --data DIR; without it DIR is a single "
        "node's.\n"
        "Every other verb speaks to one of them with --data DIR/node0. As root each has a network\n"
        "namespace of its own.",
    .options = create_options,
    .option_count = HM_COUNT_OF(create_options),
    .run = run_create};

/* --- start, stop ----------------------------------------------------------------------------------------- */

static int run_start(struct nexus_call *call)
{
    size_t chosen[NEXUS_CLUSTER_MAX], count = 0;
    uint64_t wait_ms = START_WAIT_MS;
    struct nexus_cluster cluster;
    int rc = no_url(call);

    if (!rc)
        rc = nexus_value_ms(call, "wait", &wait_ms);
    if (!rc)
        rc = nexus_cluster_load(call, &cluster);
    if (!rc)
        rc = nexus_cluster_choose(call, &cluster, chosen, &count);
    if (!rc)
        rc = nexus_cluster_change(call, &cluster, chosen, count);
    if (!rc)
        rc = nexus_cluster_start(call, &cluster, chosen, count, wait_ms);
    return rc ? rc : show_cluster(call, &cluster);
}

static const struct nexus_option start_options[] = {
    NEXUS_ENGINE_PATH_OPTION,
    {.name = "address",
     .value = "ADDR",
     .help = "of this machine, where nodes on other machines reach all of these from now on"},
    {.name = "p2p-listen",
     .value = "ADDR:PORT",
     .help = "where others reach the engine of the one node that is named"},
    {.name = "door-listen",
     .value = "ADDR:PORT",
     .help = "where it answers newcomers with a join ticket (UDP)"},
    {.name = "wait", .value = "TIME", .help = "how long to wait until they are ready; default: 3m"},
};

const struct nexus_verb verb_cluster_start = {
    .group = "cluster",
    .name = "start",
    .operands = "[NODE...]",
    .operands_max = NEXUS_CLUSTER_MAX,
    .summary = "Start the cluster's nodes, or those that are named",
    .text =
        "Nodes that run already stay as they are. More than two thirds must run before any is "
        "ready.\n"
        "What the options say is kept (DIR/cluster.json). Where nodes are is changed while they "
        "are\n"
        "stopped; --address takes them out of namespaces and off loopback.",
    .options = start_options,
    .option_count = HM_COUNT_OF(start_options),
    .run = run_start};

static int run_stop(struct nexus_call *call)
{
    size_t chosen[NEXUS_CLUSTER_MAX], count = 0;
    uint64_t wait_ms = STOP_WAIT_MS;
    struct nexus_cluster cluster;
    int rc = no_url(call);

    if (!rc)
        rc = nexus_value_ms(call, "wait", &wait_ms);
    if (!rc && wait_ms > INT32_MAX)
        rc = hm_fail(&call->error, HM_ERANGE, "--wait: at most 24 days");
    if (!rc)
        rc = nexus_cluster_load(call, &cluster);
    if (!rc)
        rc = nexus_cluster_choose(call, &cluster, chosen, &count);
    return rc ? rc : nexus_cluster_stop(call, &cluster, chosen, count, wait_ms);
}

static const struct nexus_option stop_options[] = {
    {.name = "wait", .value = "TIME", .help = "how long to wait for their end; default: 1m"},
};

const struct nexus_verb verb_cluster_stop = {
    .group = "cluster",
    .name = "stop",
    .operands = "[NODE...]",
    .operands_max = NEXUS_CLUSTER_MAX,
    .summary = "Stop the cluster's nodes, or those that are named",
    .text = "Nodes that do not run stay as they are.",
    .options = stop_options,
    .option_count = HM_COUNT_OF(stop_options),
    .run = run_stop};

/* --- destroy --------------------------------------------------------------------------------------------- */

/* what: "destroy removes ..."; it is not done without a yes. */
static int ask_first(struct nexus_call *call, const char *what)
{
    char answer[QUESTION_MAX_BYTES] = "";

    if (!what)
        return nexus_no_memory(call);
    if (nexus_has(call, "yes"))
        return 0;
    if (!isatty(0))
        return hm_fail(&call->error, HM_EINVAL, "%s: --yes says that it shall", what);
    fprintf(stderr, "%s. Type yes: ", what);
    if (!fgets(answer, sizeof(answer), stdin) || strcmp(answer, "yes\n") != 0)
        return hm_fail(&call->error, HM_ECANCELLED, "nothing was removed");
    return 0;
}

static int run_destroy(struct nexus_call *call)
{
    size_t all[NEXUS_CLUSTER_MAX];
    struct nexus_cluster cluster;
    int rc = no_url(call);

    if (!rc)
        rc = nexus_cluster_load(call, &cluster);
    if (!rc)
        rc = ask_first(call, hm_arena_printf(call->arena,
                                             "destroy removes %s with the ledger, keys and jobs of "
                                             "its %zu nodes",
                                             cluster.folder, cluster.count));
    if (rc)
        return rc;
    for (size_t i = 0; i < cluster.count; i++)
        all[i] = i;
    rc = nexus_cluster_stop(call, &cluster, all, cluster.count, STOP_WAIT_MS);
    if (!rc)
        rc = nexus_cluster_remove(call, &cluster);
    if (!rc)
        nexus_say("the cluster in %s is removed", cluster.folder);
    return rc;
}

static const struct nexus_option destroy_options[] = {
    {.name = "yes", .help = "do not ask"},
};

const struct nexus_verb verb_cluster_destroy = {
    .group = "cluster",
    .name = "destroy",
    .summary = "Stop the cluster and remove everything that its nodes hold",
    .options = destroy_options,
    .option_count = HM_COUNT_OF(destroy_options),
    .run = run_destroy};

/* --- add, remove ----------------------------------------------------------------------------------------- */

/* What a new node's accounts are given by node0's user: for the bond of a provider, and for fees of years. */
#define FUND_OPERATOR "10000"
#define FUND_USER     "1000"
/* As the validators of the beginning have it. */
#define BOND_DEFAULT "2000"

static int fund(struct nexus_call *call, const struct nexus_cluster *cluster, const char *account,
                const char *amount)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    char text[WIRE_ID_TEXT_MAX];
    uint8_t id[WIRE_ID_BYTES];
    int rc = hm_hex_decode(account, strlen(account), id, sizeof(id), &call->error);

    if (rc)
        return rc;
    wire_account_text(id, text);
    rc = nexus_body_text(call, body, "to", text);
    if (!rc)
        rc = nexus_body_text(call, body, "amount", amount);
    if (!rc)
        rc = nexus_cluster_ask(call, &cluster->nodes[0], "POST", "/accounts/user/transfer", body,
                               &reply, &call->error);
    return rc ? hm_error_prefix(&call->error, rc, "%s pays the new node", cluster->nodes[0].name)
              : 0;
}

static int run_add(struct nexus_call *call)
{
    const char *bond = nexus_value(call, "bond") ? nexus_value(call, "bond") : BOND_DEFAULT;
    uint64_t wait_ms = START_WAIT_MS, commission = 0;
    struct nexus_cluster cluster;
    int rc = no_url(call);

    if (!rc && (nexus_value(call, "bond") || nexus_value(call, "commission")) &&
        !nexus_has(call, "validator"))
        rc = hm_fail(&call->error, HM_EINVAL,
                     "--bond and --commission are for a node that votes: add --validator");
    if (!rc)
        rc = nexus_cluster_commission(call, &commission);
    if (!rc)
        rc = nexus_value_ms(call, "wait", &wait_ms);
    if (!rc)
        rc = nexus_cluster_load(call, &cluster);
    if (!rc && nexus_cluster_pid(&cluster.nodes[0]) == 0)
        rc = hm_fail(&call->error, HM_ECONFLICT,
                     "%s does not run, which pays a new node's first fees: nexus cluster start",
                     cluster.nodes[0].name);
    if (!rc)
        rc = nexus_cluster_grow(call, &cluster);
    if (rc)
        return rc;
    size_t last[] = {cluster.count - 1};
    const struct nexus_cluster_node *node = &cluster.nodes[last[0]];
    nexus_say("made %s; the user of %s pays its accounts %s and %s HYPER%s%s", node->name,
              cluster.nodes[0].name, FUND_OPERATOR, FUND_USER,
              nexus_has(call, "validator") ? ", and for its bond " : "",
              nexus_has(call, "validator") ? bond : "");
    rc = fund(call, &cluster, node->account, FUND_OPERATOR);
    if (!rc)
        rc = fund(call, &cluster, node->user, FUND_USER);
    if (!rc && nexus_has(call, "validator"))
        rc = fund(call, &cluster, node->account, bond);
    if (!rc)
        rc = nexus_cluster_start(call, &cluster, last, 1, wait_ms);
    if (!rc && nexus_has(call, "validator"))
        rc = nexus_cluster_declare(call, node, bond, wait_ms);
    return rc ? rc : show_cluster(call, &cluster);
}

static const struct nexus_option add_options[] = {
    {.name = "snapshot",
     .help = "it begins with a snapshot of the others' ledger, without the blocks before it"},
    {.name = "validator", .help = "it bonds HYPER and votes, once it has caught up"},
    {.name = "bond",
     .value = "HYPER",
     .help = "how much a validator bonds, and so its power; default: " BOND_DEFAULT},
    NEXUS_COMMISSION_OPTION,
    {.name = "wait", .value = "TIME", .help = "how long to wait until it is ready; default: 3m"},
};

const struct nexus_verb verb_cluster_add = {
    .group = "cluster",
    .name = "add",
    .summary = "Add a node that follows the others, or one that votes, and start it",
    .text =
        "It gets all blocks from the others and checks each; with --snapshot only those after the\n"
        "newest snapshot, each piece of which it checks. The user of the first node (node0, while "
        "it is\n"
        "there) pays 11000 HYPER to its accounts for fees, and a validator's bond. A bond is "
        "power: who has bonded more than a\n"
        "third of all of it can stop the cluster.",
    .options = add_options,
    .option_count = HM_COUNT_OF(add_options),
    .run = run_add};

static int ask_for_loss(struct nexus_call *call, const struct nexus_cluster *cluster, size_t at)
{
    const char *lost = NULL;
    int rc = nexus_cluster_loss(call, cluster, at, &lost);

    return rc || !lost ? rc
                       : ask_first(call, hm_arena_printf(call->arena,
                                                         "remove takes %s away for ever, with %s",
                                                         cluster->nodes[at].name, lost));
}

static int leave(struct nexus_call *call, const struct nexus_cluster *cluster, size_t at,
                 uint64_t wait_ms)
{
    const struct nexus_cluster_node *node = &cluster->nodes[at];
    bool votes = false;
    int rc = nexus_cluster_may_vote(call, cluster, at, &votes);

    if (!rc && votes && nexus_cluster_pid(node) <= 0)
        rc = hm_fail(&call->error, HM_ECONFLICT,
                     "%s is a validator, and only while it runs can it retire: nexus cluster start "
                     "%s. Where its keys are lost the others jail it when it has been away for "
                     "long enough; then it can be removed",
                     node->name, node->name);
    if (!rc)
        rc = ask_for_loss(call, cluster, at);
    return !rc && votes ? nexus_cluster_retire(call, cluster, at, wait_ms) : rc;
}

static int run_remove(struct nexus_call *call)
{
    size_t chosen[NEXUS_CLUSTER_MAX], count = 0;
    uint64_t wait_ms = START_WAIT_MS;
    struct nexus_cluster cluster;
    int rc = no_url(call);

    if (!rc)
        rc = nexus_value_ms(call, "wait", &wait_ms);
    if (!rc)
        rc = nexus_cluster_load(call, &cluster);
    if (!rc)
        rc = nexus_cluster_choose(call, &cluster, chosen, &count);
    if (!rc)
        rc = nexus_cluster_can_shrink(call, &cluster, chosen[0]);
    if (!rc)
        rc = leave(call, &cluster, chosen[0], wait_ms);
    if (!rc)
        rc = nexus_cluster_stop(call, &cluster, chosen, 1, STOP_WAIT_MS);
    if (!rc)
        rc = nexus_cluster_shrink(call, &cluster, chosen[0]);
    return rc ? rc : show_cluster(call, &cluster);
}

static const struct nexus_option remove_options[] = {
    {.name = "yes", .help = "do not ask"},
    {.name = "wait",
     .value = "TIME",
     .help = "how long to wait until the others do without a validator; default: 3m"},
};

const struct nexus_verb verb_cluster_remove = {
    .group = "cluster",
    .name = "remove",
    .operands = "NODE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Stop a node, and remove everything that it holds",
    .text = "A validator retires first, where the others can make blocks without it. One that "
            "follows, or\n"
            "is jailed or retired, need not run, nor be there at all. The node's keys go too: what "
            "its\n"
            "accounts own is lost, so pay it away first; where that is more than a newcomer is "
            "given it\n"
            "asks. A bond is free a day after nexus validator retire and nexus stake take.",
    .options = remove_options,
    .option_count = HM_COUNT_OF(remove_options),
    .run = run_remove};
