/* cluster join: this machine becomes a node of a cluster on other machines, by a ticket of one of its members. hypermeshd makes
 * the folder and talks to the member; here it is started, and told of. */
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nexus_cluster.h"
#include "nexus_start_options.h"
#include "nexus_verbs.h"
#include "nexus_wipe.h"
#include "wire.h"

#define TICKET_PREFIX    "hmjoin1"
#define TICKET_MAX_BYTES 4000
#define WAIT_DEFAULT_MS  600000
#define POLL_MS          500
#define START_MS         3000
#define SAY_EVERY_MS     5000
#define BOND_DEFAULT     "2000"
#define UNPAID           "waiting for funds"
#define UNFINISHED_FILE  "joining" /* of hypermeshd, until the node is started */

struct joining {
    struct nexus_call *call;
    struct hm_buf ticket; /* wiped */
    const char *address; /* of the member, instead of the ticket's; NULL: those */
    json_t *joined; /* what hypermeshd says */
    struct nexus_cluster cluster;
    struct nexus_cluster_node *node;
    bool before; /* an earlier call has joined */
};

static void joining_release(struct joining *joining)
{
    nexus_wipe_release(&joining->ticket);
    json_decref(joining->joined);
}

/* --- the ticket -------------------------------------------------------------------------------------------- */

static bool is_address(const char *text)
{
    const char *colon = strrchr(text, ':');

    return colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1) &&
           !strchr(text, '/');
}

/* A file, or "-". Never the ticket itself: others on this machine see what stands on a command line, and shells keep it. */
static int read_ticket(struct joining *joining, const char *from)
{
    struct nexus_call *call = joining->call;
    int rc;

    if (hm_buf_reserve(&joining->ticket, TICKET_MAX_BYTES + 1) !=
        0) /* once: growing leaves copies */
        return nexus_no_memory(call);
    if (strncasecmp(from, TICKET_PREFIX, strlen(TICKET_PREFIX)) == 0)
        return hm_fail(&call->error, HM_EINVAL,
                       "a join ticket is a secret, and others can see a command line: give it on "
                       "standard input (-), or name a file that holds it. If others were about, "
                       "revoke this one where it was issued (nexus cluster ticket-revoke)");
    if (strcmp(from, "-") != 0) {
        rc = hm_file_read(from, TICKET_MAX_BYTES, &joining->ticket, &call->error);
        return rc == HM_ENOTFOUND ? hm_fail(&call->error, HM_EINVAL,
                                            "'%.100s' is no file with a join ticket, nor - for "
                                            "standard input",
                                            from)
                                  : rc;
    }
    if (isatty(0))
        nexus_say("paste the ticket, then a line end and Ctrl-D");
    return nexus_read_input(call, TICKET_MAX_BYTES, &joining->ticket);
}

static int take_operands(struct joining *joining)
{
    const char *first = nexus_operand(joining->call, 0), *second = nexus_operand(joining->call, 1);

    if (second || is_address(first)) {
        joining->address = first;
        first = second ? second : "-";
    }
    if (joining->address && !is_address(joining->address))
        return hm_fail(&joining->call->error, HM_EINVAL,
                       "'%.100s' is not the member's ADDRESS:PORT", joining->address);
    return read_ticket(joining, first);
}

/* --- the folder -------------------------------------------------------------------------------------------- */

static int make_folder(struct joining *joining)
{
    struct nexus_call *call = joining->call;
    HM_CLEANUP(hm_buf) struct hm_buf said = {0};
    const char *argv[10], *program = NULL;
    size_t count = 0;
    int rc = nexus_daemon_find(call->arena, &program, &call->error);

    if (rc)
        return rc;
    argv[count++] = program;
    argv[count++] = "--cluster-join";
    argv[count++] = "--data";
    argv[count++] = call->place.data_dir;
    if (joining->address) {
        argv[count++] = "--join-address";
        argv[count++] = joining->address;
    }
    if (nexus_has(call, "from-genesis"))
        argv[count++] = "--join-from-genesis";
    argv[count] = NULL;
    nexus_say("asking the member that issued the ticket");
    rc = nexus_cluster_command_fed(argv, hm_buf_slice(&joining->ticket), &said, &call->error);
    if (rc)
        return nexus_cluster_daemon_refused(call, rc);
    if (hm_json_parse(hm_buf_slice(&said), 0, &joining->joined, NULL) != 0)
        return hm_fail(&call->error, HM_EPARSE, "%s answers what this nexus does not understand",
                       program);
    return 0;
}

/* --- how it is started ---------------------------------------------------------------------------------------- */

static const char *option_or(const struct nexus_call *call, const char *name, const char *other)
{
    const char *value = nexus_value(call, name);

    return value ? value : other;
}

static const char *kept_text(struct joining *joining, const json_t *from, const char *name)
{
    return hm_arena_strdup(joining->call->arena, nexus_json_text(from, name));
}

static int take_peers(struct joining *joining)
{
    const json_t *list = nexus_json_list(joining->joined, "peers");
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    for (size_t i = 0; i < json_array_size(list); i++)
        if (hm_buf_printf(&text, "%s%s", i ? "," : "", json_string_value(json_array_get(list, i))))
            return nexus_no_memory(joining->call);
    joining->cluster.peers = hm_arena_strdup(joining->call->arena, hm_buf_cstr(&text));
    return joining->cluster.peers ? 0 : nexus_no_memory(joining->call);
}

static int take_node(struct joining *joining)
{
    const json_t *from = json_object_get(joining->joined, "node");
    struct nexus_cluster_node *node = joining->node;

    *node = (struct nexus_cluster_node){.name = "node0",
                                        .data = joining->cluster.folder,
                                        .place = NEXUS_CLUSTER_HERE,
                                        .netns = "",
                                        .node_id = kept_text(joining, from, "node_id"),
                                        .validator = kept_text(joining, from, "validator"),
                                        .account = kept_text(joining, from, "account"),
                                        .user = kept_text(joining, from, "user"),
                                        .key = kept_text(joining, from, "key"),
                                        .proof = kept_text(joining, from, "proof")};
    joining->cluster.chain_id = kept_text(joining, joining->joined, "chain_id");
    return node->node_id && node->validator && node->account && node->user && node->key &&
                   node->proof && joining->cluster.chain_id
               ? 0
               : nexus_no_memory(joining->call);
}

/* Kept as a cluster of one, whose other nodes are elsewhere: cluster start and stop, and up, know it from then on. */
static int keep(struct joining *joining)
{
    struct nexus_call *call = joining->call;
    struct nexus_cluster *cluster = &joining->cluster;
    int rc;

    *cluster = (struct nexus_cluster){.folder = call->place.data_dir,
                                      .bridge = "",
                                      .engine_path = option_or(call, "engine-path", ""),
                                      .plot = option_or(call, "plot", ""),
                                      .runtime = option_or(call, "runtime", ""),
                                      .log_level = option_or(call, "log-level", ""),
                                      .snapshot_blocks = "",
                                      .address = kept_text(joining, joining->joined, "local"),
                                      .begins = "",
                                      .count = 1};
    joining->node = &cluster->nodes[0];
    rc = cluster->address ? take_node(joining) : nexus_no_memory(call);
    if (!rc)
        rc = take_peers(joining);
    if (!rc && cluster->engine_path[0])
        rc = nexus_path_absolute(cluster->engine_path, call->arena, &cluster->engine_path,
                                 &call->error);
    if (!rc)
        rc = nexus_cluster_new_id(call, cluster);
    if (!rc)
        rc = nexus_cluster_net_plan(call, false, cluster);
    if (rc)
        return rc;
    /* It dials the others; who else is to reach it does so where it reaches them. */
    joining->node->p2p = option_or(call, "p2p-listen", joining->node->p2p);
    joining->node->door = option_or(call, "door-listen", "");
    cluster->funded = nexus_json_bool(joining->joined, "funded") ? "yes" : "";
    cluster->bond = nexus_json_bool(joining->joined, "validator")
                        ? kept_text(joining, joining->joined, "bond")
                        : "";
    if (!cluster->bond)
        return nexus_no_memory(call);
    return nexus_cluster_save(call, cluster);
}

/* --- again --------------------------------------------------------------------------------------------------- */

/* Before the ticket is used up: what would keep the node from starting. */
static int look_before(struct nexus_call *call)
{
    const char *p2p = nexus_value(call, "p2p-listen"), *door = nexus_value(call, "door-listen");
    const char *engine = nexus_value(call, "engine-path");
    int rc = p2p ? nexus_cluster_place_free(call, "p2p-listen", p2p, SOCK_STREAM) : 0;

    if (!rc && door)
        rc = nexus_cluster_place_free(call, "door-listen", door, SOCK_DGRAM);
    if (!rc && engine)
        rc = nexus_path_absolute(engine, call->arena, &engine, &call->error);
    if (!rc && !nexus_has(call, "no-start"))
        rc = nexus_cluster_engine(call, engine);
    return rc;
}

static bool has_file(struct nexus_call *call, const char *name)
{
    const char *path = hm_arena_printf(call->arena, "%s/%s", call->place.data_dir, name);

    return path && access(path, F_OK) == 0;
}

/* What hypermeshd said then, as far as it still matters. */
static int recall(struct joining *joining)
{
    const struct nexus_cluster *cluster = &joining->cluster;

    joining->joined = json_pack("{s:s, s:b, s:b, s:s, s:b}", "chain_id", cluster->chain_id,
                                "funded", cluster->funded[0] != '\0', "validator",
                                cluster->bond[0] != '\0', "bond",
                                cluster->bond[0] ? cluster->bond : "0", "snapshot",
                                has_file(joining->call, "engine/sync.json"));
    return joining->joined ? 0 : nexus_no_memory(joining->call);
}

/* The folder is a node's that has joined with a ticket, and been started since: hypermeshd has nothing more to do there. */
static int find_before(struct joining *joining)
{
    struct nexus_call *call = joining->call;
    const size_t only[] = {0};
    int rc;

    if (!has_file(call, NEXUS_CLUSTER_FILE) || has_file(call, UNFINISHED_FILE))
        return 0;
    rc = nexus_cluster_load(call, &joining->cluster);
    /* Others on other machines has only who joined. */
    if (rc || joining->cluster.count != 1 || !joining->cluster.peers[0])
        return rc;
    joining->node = &joining->cluster.nodes[0];
    joining->before = true;
    nexus_say("the node in %s has joined %s already, and goes on with that: no ticket is used",
              joining->node->data, joining->cluster.chain_id);
    if (nexus_cluster_pid(joining->node) <= 0)
        rc = nexus_cluster_change(call, &joining->cluster, only, 1);
    return rc ? rc : recall(joining);
}

static int finish(struct joining *joining)
{
    joining->cluster.funded = joining->cluster.bond = "";
    return nexus_cluster_save(joining->call, &joining->cluster);
}

/* --- waiting ---------------------------------------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

static int has_ended(struct joining *joining)
{
    struct nexus_call *call = joining->call;

    call->hint = hm_arena_printf(call->arena, "its log is %s/" NEXUS_LOG_NAME, joining->node->data);
    return hm_fail(&call->error, HM_EIO, "the node has ended before it was ready");
}

/* 0: there is no more to wait for; *unpaid: but its accounts are to be paid first. HM_EBUSY: not yet. */
static int look(struct joining *joining, bool *unpaid, const char **doing)
{
    NEXUS_AUTOJSON json_t *node = NULL;
    struct hm_error error = {0};
    const char *why;

    if (nexus_cluster_ask(joining->call, joining->node, "GET", "/node", NULL, &node, &error) != 0)
        return nexus_cluster_pid(joining->node) > 0 ? HM_EBUSY : has_ended(joining);
    if (nexus_json_bool(node, "ready"))
        return 0;
    why = nexus_json_text(node, "not_ready");
    *unpaid = strncmp(why, UNPAID, strlen(UNPAID)) == 0;
    *doing = hm_arena_strdup(joining->call->arena, why);
    return *unpaid && !nexus_json_bool(joining->joined, "funded") ? 0 : HM_EBUSY;
}

static int wait_ready(struct joining *joining, uint64_t wait_ms, bool *unpaid)
{
    uint64_t begin_ms = now_ms(), said_ms = 0;
    const char *doing = "", *said = "";
    int rc;

    while ((rc = look(joining, unpaid, &doing)) == HM_EBUSY) {
        uint64_t now = now_ms();

        if (!doing)
            return nexus_no_memory(joining->call);
        if (now - begin_ms >= wait_ms)
            return hm_fail(&joining->call->error, HM_ETIMEOUT,
                           "the node has joined and runs, but is not ready yet: %.200s", doing);
        if (strcmp(doing, said) != 0 && now - said_ms >= SAY_EVERY_MS / 5) {
            nexus_say("%s", doing);
            said = doing;
            said_ms = now;
        }
        usleep(POLL_MS * 1000);
    }
    return rc;
}

/* Its own wait is for a node that ends early; what else there is to wait for is told above. */
static int start(struct joining *joining)
{
    const size_t chosen[] = {0};
    struct nexus_call *call = joining->call;
    int rc = nexus_cluster_start(call, &joining->cluster, chosen, 1, START_MS);

    if (rc == HM_ETIMEOUT) {
        call->error = (struct hm_error){0};
        rc = 0;
    }
    return rc;
}

/* --- what next --------------------------------------------------------------------------------------------------- */

static const char *account_text(struct joining *joining, const char *hex)
{
    char text[WIRE_ID_TEXT_MAX];
    uint8_t id[WIRE_ID_BYTES];

    if (hm_hex_decode(hex, strlen(hex), id, sizeof(id), NULL) != 0)
        return hex;
    wire_account_text(id, text);
    return hm_arena_strdup(joining->call->arena, text);
}

static int table_joined(struct nexus_call *call, const json_t *state, struct hm_buf *out)
{
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, nexus_fact_columns, call->arena);
    nexus_fact(&table, "joined", nexus_json_text(state, "chain_id"));
    nexus_fact(&table, "data", nexus_json_text(state, "data"));
    nexus_fact(&table, "engine node", nexus_json_text(state, "node_id"));
    nexus_fact(&table, "operator", nexus_json_text(state, "operator"));
    nexus_fact(&table, "user", nexus_json_text(state, "user"));
    nexus_fact(&table, "began with", nexus_json_bool(state, "snapshot") ? "a snapshot" : "block 1");
    nexus_fact(&table, "state",
               nexus_json_bool(state, "ready") ? "ready" : "its accounts are to be paid");
    return nexus_table_finish(call, &table, out);
}

static void say_next(struct joining *joining, const char *operator_text, const char *user,
                     bool unpaid)
{
    const char *data = joining->call->place.data_dir;
    bool votes = nexus_json_bool(joining->joined, "validator");

    if (unpaid) {
        nexus_say("it has caught up, and waits until somebody pays its accounts: on a node of the "
                  "cluster");
        nexus_say("    nexus account transfer %s 10000", operator_text);
        nexus_say("    nexus account transfer %s 1000", user);
    }
    if (votes && strcmp(nexus_json_text(joining->joined, "bond"), "0") == 0)
        nexus_say(
            "to vote, with a bond that its operator was paid: nexus --data %s validator declare "
            "%s %s " BOND_DEFAULT " --account operator",
            data, joining->node->key, joining->node->proof);
    nexus_say(
        "nexus cluster stop --data %s stops it, nexus cluster start --data %s starts it again",
        data, data);
}

static int tell(struct joining *joining, bool unpaid)
{
    struct nexus_call *call = joining->call;
    const char *operator_text = account_text(joining, joining->node->account);
    const char *user = account_text(joining, joining->node->user);
    NEXUS_AUTOJSON json_t *state = NULL;

    if (!operator_text || !user)
        return nexus_no_memory(call);
    state = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b}", "chain_id", joining->cluster.chain_id,
                      "data", call->place.data_dir, "node_id", joining->node->node_id, "operator",
                      operator_text, "user", user, "snapshot",
                      nexus_json_bool(joining->joined, "snapshot"), "ready", !unpaid);
    if (!state)
        return nexus_no_memory(call);
    say_next(joining, operator_text, user, unpaid);
    return nexus_show(call, state, table_joined);
}

static int vote(struct joining *joining, uint64_t wait_ms)
{
    const char *bond = nexus_json_text(joining->joined, "bond");

    if (strcmp(bond, "0") == 0) /* not paid, or no validator's ticket */
        return 0;
    return nexus_cluster_declare(joining->call, joining->node, bond, wait_ms);
}

/* --- all ----------------------------------------------------------------------------------------------------------- */

static int make(struct joining *joining)
{
    int rc = look_before(joining->call);

    if (!rc)
        rc = make_folder(joining);
    if (!rc)
        rc = keep(joining);
    if (!rc)
        nexus_say("joined %s", joining->cluster.chain_id);
    return rc;
}

static int join(struct joining *joining, uint64_t wait_ms)
{
    bool unpaid = false;
    int rc = take_operands(joining);

    if (!rc)
        rc = find_before(joining);
    if (!rc && !joining->before)
        rc = make(joining);
    if (rc)
        return rc;
    if (nexus_has(joining->call, "no-start"))
        return tell(joining, !nexus_json_bool(joining->joined, "funded"));
    rc = start(joining);
    if (!rc)
        rc = wait_ready(joining, wait_ms, &unpaid);
    if (!rc && !unpaid)
        rc = vote(joining, wait_ms);
    if (!rc && !unpaid)
        rc = finish(joining);
    return rc ? rc : tell(joining, unpaid);
}

static int run_join(struct nexus_call *call)
{
    struct joining joining = {.call = call};
    uint64_t wait_ms = WAIT_DEFAULT_MS, commission = 0;
    int rc = call->place.url ? hm_fail(&call->error, HM_EINVAL,
                                       "the new node is made on this machine; leave --url out")
                             : nexus_value_ms(call, "wait", &wait_ms);

    if (!rc)
        rc = nexus_cluster_commission(call, &commission);
    if (!rc)
        rc = join(&joining, wait_ms);
    joining_release(&joining);
    return rc;
}

static const struct nexus_option options[] = {
    {.name = "from-genesis",
     .help = "get all blocks from the first on, not a snapshot and those after it"},
    {.name = "p2p-listen",
     .value = "ADDR:PORT",
     .help =
         "where others reach its engine; default: this machine's address towards the member, and a "
         "free port"},
    {.name = "door-listen",
     .value = "ADDR:PORT",
     .help = "where it answers newcomers itself (UDP); default: nowhere"},
    NEXUS_COMMISSION_OPTION,
    NEXUS_PLOT_OPTION,
    NEXUS_ENGINE_PATH_OPTION,
    NEXUS_RUNTIME_OPTION,
    NEXUS_LOG_LEVEL_OPTION,
    {.name = "wait", .value = "TIME", .help = "how long to wait until it is ready; default: 10m"},
    {.name = "no-start", .help = "make the folder only"},
};

const struct nexus_verb verb_cluster_join = {
    .group = "cluster",
    .name = "join",
    .operands = "[ADDRESS:PORT] [FILE|-]",
    .operands_min = 1,
    .operands_max = 2,
    .words = "@file",
    .summary = "Make this machine a node of a cluster on other machines, with a join ticket",
    .text = "A member issues the ticket (nexus cluster ticket) and answers at the address in it, "
            "or at the\n"
            "one given. It is read from a file or from standard input (-): what stands on a "
            "command line\n"
            "others can see. Cut off, the same command goes on. The folder is --data.",
    .options = options,
    .option_count = HM_COUNT_OF(options),
    .run = run_join};
