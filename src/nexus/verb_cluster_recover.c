/* cluster recover: a cluster that has lost a third of its power for good, or more, goes on with the validators that are named. */
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "nexus_cluster.h"
#include "nexus_verbs.h"
#include "wire.h"

#define WAIT_MS            180000
#define STOP_WAIT_MS       60000
#define POLL_MS            200
#define QUESTION_MAX_BYTES 16
#define ASK_TIMEOUT_MS     3000
#define DECISION_NAME      "recovery.json"

struct recovery {
    struct nexus_call *call;
    struct nexus_cluster cluster; /* of those that are left */
    size_t all[NEXUS_CLUSTER_MAX];
    const char *voters; /* "hm1...,hm1..." */
    size_t highest;
    uint64_t height;
    uint64_t end_ms;
};

static uint64_t now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

/* --- who is left ------------------------------------------------------------------------------------------ */

static bool is_left(struct nexus_call *call, const struct nexus_cluster_node *node)
{
    const char *ledger = hm_arena_printf(call->arena, "%s/ledger", node->data);
    const char *genesis = hm_arena_printf(call->arena, "%s/engine/config/genesis.json", node->data);

    return ledger && genesis && access(ledger, F_OK) == 0 && access(genesis, F_OK) == 0;
}

static int drop_lost(struct recovery *recovery)
{
    struct nexus_cluster *cluster = &recovery->cluster;
    size_t kept = 0;

    for (size_t i = 0; i < cluster->count; i++) {
        if (is_left(recovery->call, &cluster->nodes[i]))
            cluster->nodes[kept++] = cluster->nodes[i];
        else
            nexus_say("%s is lost: nothing is in %s", cluster->nodes[i].name,
                      cluster->nodes[i].data);
    }
    cluster->count = kept;
    for (size_t i = 0; i < kept; i++)
        recovery->all[i] = i;
    return kept > 0 ? 0
                    : hm_fail(&recovery->call->error, HM_ENOTFOUND,
                              "no node of %s has a ledger: restore a backup", cluster->folder);
}

static const struct nexus_cluster_node *by_name(const struct nexus_cluster *cluster,
                                                const char *name)
{
    for (size_t i = 0; i < cluster->count; i++)
        if (strcmp(cluster->nodes[i].name, name) == 0)
            return &cluster->nodes[i];
    return NULL;
}

static int operator_text(struct nexus_call *call, const struct nexus_cluster_node *node,
                         char out[WIRE_ID_TEXT_MAX])
{
    uint8_t id[WIRE_ID_BYTES];
    int rc = hm_hex_decode(node->account, strlen(node->account), id, sizeof(id), &call->error);

    if (!rc)
        wire_account_text(id, out);
    return rc;
}

/* Names of nodes become their operators' accounts. */
static int choose_voters(struct recovery *recovery)
{
    struct nexus_call *call = recovery->call;
    const char *given = nexus_value(call, "validators");
    char *words = given ? hm_arena_strdup(call->arena, given) : NULL;
    char *rest = NULL;

    if (!given)
        return hm_fail(&call->error, HM_EINVAL,
                       "say with --validators which validators go on: NODE,NODE,...");
    if (!words)
        return nexus_no_memory(call);
    for (char *word = strtok_r(words, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        const struct nexus_cluster_node *node = by_name(&recovery->cluster, word);
        char text[WIRE_ID_TEXT_MAX];
        uint8_t id[WIRE_ID_BYTES];
        int rc = 0;

        if (node)
            rc = operator_text(call, node, text);
        else if (wire_account_parse(word, id, NULL) == 0)
            wire_account_text(id, text);
        else
            rc = hm_fail(&call->error, HM_ENOTFOUND, "%.80s is no node that is left in %s", word,
                         recovery->cluster.folder);
        if (rc)
            return rc;
        recovery->voters = hm_arena_printf(call->arena, "%s%s%s",
                                           recovery->voters ? recovery->voters : "",
                                           recovery->voters ? "," : "", text);
        if (!recovery->voters)
            return nexus_no_memory(call);
    }
    return recovery->voters ? 0 : hm_fail(&call->error, HM_EINVAL, "--validators names nobody");
}

static int ask_first(struct recovery *recovery)
{
    struct nexus_call *call = recovery->call;
    char answer[QUESTION_MAX_BYTES] = "";

    if (nexus_has(call, "yes"))
        return 0;
    if (!isatty(0))
        return hm_fail(&call->error, HM_EINVAL,
                       "recover shuts out every validator that is not named, and what only those "
                       "know is lost: --yes says that they are gone for ever");
    fprintf(
        stderr,
        "Validators that are not named are shut out, and what only those know is lost. Are they "
        "gone for ever? Type yes: ");
    if (!fgets(answer, sizeof(answer), stdin) || strcmp(answer, "yes\n") != 0)
        return hm_fail(&call->error, HM_ECANCELLED, "nothing was changed");
    return 0;
}

/* --- what they have --------------------------------------------------------------------------------------- */

/* Each is run once without the lost ones: so its ledger gets every block that its engine has. */
static int run_them(struct recovery *recovery)
{
    struct nexus_call *call = recovery->call;
    int rc = nexus_cluster_start(call, &recovery->cluster, recovery->all, recovery->cluster.count,
                                 0);

    /* Ready they cannot be. */
    return rc == HM_ETIMEOUT ? 0 : rc;
}

/* One question to a node's CometBFT, which answers when it has given its application all blocks that it has. */
static int ask_engine(struct recovery *recovery, size_t at, const char *path, json_t **reply,
                      struct hm_error *error)
{
    struct nexus_call *call = recovery->call;
    struct nexus_place place = {.data_dir = recovery->cluster.nodes[at].data};
    struct nexus_request request = {
        .method = "GET", .path = path, .timeout_ms = ASK_TIMEOUT_MS, .wake_fd = -1};
    struct nexus_client *client = NULL;
    int rc;

    place.socket_path = hm_arena_printf(call->arena, "%s/rpc.sock", place.data_dir);
    if (!place.socket_path)
        return nexus_no_memory(call);
    rc = nexus_client_open(&place, &client, error);
    if (!rc)
        rc = nexus_client_send(client, &request, reply, error);
    nexus_client_close(client);
    return rc;
}

static int look(struct recovery *recovery, size_t at, struct hm_error *why)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    NEXUS_AUTOJSON json_t *said = NULL;
    uint64_t height, engine_height = 0;
    int rc = ask_engine(recovery, at, "/status", &said, why);

    if (!rc)
        rc = nexus_cluster_ask(recovery->call, &recovery->cluster.nodes[at], "GET", "/node", NULL,
                               &reply, why);
    if (!rc)
        rc = hm_u64_parse(
            nexus_json_text(json_object_get(json_object_get(said, "result"), "sync_info"),
                            "latest_block_height"),
            &engine_height, why);
    if (rc)
        return rc;
    height = nexus_json_u64(reply, "height");
    if (height < engine_height)
        return hm_fail(why, HM_EBUSY, "its ledger stands at block %llu, its CometBFT has %llu",
                       (unsigned long long)height, (unsigned long long)engine_height);
    if (height > recovery->height || at == 0) {
        recovery->height = height;
        recovery->highest = at;
    }
    return 0;
}

static int look_at_them(struct recovery *recovery)
{
    for (size_t at = 0; at < recovery->cluster.count;) {
        struct hm_error why = {0};

        if (look(recovery, at, &why) == 0) {
            at++;
            continue;
        }
        if (now_ms() >= recovery->end_ms)
            return hm_fail(&recovery->call->error, HM_ETIMEOUT, "%s does not say how far it is: %s",
                           recovery->cluster.nodes[at].name, why.text);
        usleep(POLL_MS * 1000);
    }
    return 0;
}

static bool is_here(const struct recovery *recovery, const char *address)
{
    for (size_t i = 0; i < recovery->cluster.count; i++)
        if (strcasecmp(recovery->cluster.nodes[i].validator, address) == 0)
            return true;
    return false;
}

/* With more than two thirds of the power here there is nothing to recover. */
static int must_be_lost(struct recovery *recovery)
{
    struct nexus_call *call = recovery->call;
    NEXUS_AUTOJSON json_t *reply = NULL;
    uint64_t all = 0, here = 0;
    int rc = ask_engine(recovery, recovery->highest, "/validators?per_page=100", &reply,
                        &call->error);
    const json_t *items = nexus_json_list(json_object_get(reply, "result"), "validators");

    for (size_t i = 0; !rc && i < json_array_size(items); i++) {
        const json_t *one = json_array_get(items, i);
        uint64_t power = 0;

        rc = hm_u64_parse(nexus_json_text(one, "voting_power"), &power, &call->error);
        all += power; /* at most 2^60 in all: so an engine has it */
        here += is_here(recovery, nexus_json_text(one, "address")) ? power : 0;
    }
    if (rc || 3 * here <= 2 * all)
        return rc;
    return hm_fail(
        &call->error, HM_ECONFLICT,
        "the nodes that are left have %llu of %llu units of power, more than two thirds: "
        "they make blocks without the others (nexus cluster start)",
        (unsigned long long)here, (unsigned long long)all);
}

/* --- the change ------------------------------------------------------------------------------------------- */

static int change(struct recovery *recovery, const char *const *argv)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    return nexus_cluster_command(argv, &text, &recovery->call->error);
}

/* FOLDER/recovery.json is the decision: where it is there, it was taken, and only has to be carried out. */
static const char *decision(const struct recovery *recovery)
{
    const char *path = hm_arena_printf(recovery->call->arena, "%s/" DECISION_NAME,
                                       recovery->cluster.folder);

    return path ? path : "";
}

static int decide(struct recovery *recovery, const char *program)
{
    const char *const begin[] = {program,
                                 "--recover",
                                 recovery->voters,
                                 "--recover-to",
                                 decision(recovery),
                                 "--data",
                                 recovery->cluster.nodes[recovery->highest].data,
                                 NULL};

    return change(recovery, begin);
}

/* The one with the most blocks last: the others may need them, and find them as they are. */
static int change_one(struct recovery *recovery, const char *program, size_t at)
{
    const char *first = recovery->cluster.nodes[recovery->highest].data;
    const char *const join[] = {program,
                                "--recover-join",
                                decision(recovery),
                                "--data",
                                recovery->cluster.nodes[at].data,
                                at == recovery->highest ? NULL : "--recover-from",
                                first,
                                NULL};
    int rc = change(recovery, join);

    return rc ? hm_error_prefix(&recovery->call->error, rc, "%s", recovery->cluster.nodes[at].name)
              : 0;
}

static int change_all(struct recovery *recovery)
{
    struct nexus_call *call = recovery->call;
    const char *program = NULL;
    int rc = nexus_daemon_find(call->arena, &program, &call->error);

    if (!rc && access(decision(recovery), F_OK) != 0)
        rc = decide(recovery, program);
    for (size_t i = 0; !rc && i < recovery->cluster.count; i++)
        if (i != recovery->highest)
            rc = change_one(recovery, program, i);
    return rc ? rc : change_one(recovery, program, recovery->highest);
}

/* Who votes, and that it may be, is asked before. */
static int prepare(struct recovery *recovery)
{
    int rc = choose_voters(recovery);

    if (!rc)
        rc = ask_first(recovery);
    if (!rc)
        rc = run_them(recovery);
    if (!rc)
        rc = look_at_them(recovery);
    if (!rc)
        rc = must_be_lost(recovery);
    if (!rc)
        nexus_say("%s has the most: block %llu", recovery->cluster.nodes[recovery->highest].name,
                  (unsigned long long)recovery->height);
    return rc;
}

/* Which one that was is in nobody's memory: it is the one whose ledger fits without the blocks of another. */
static int again(struct recovery *recovery)
{
    const char *program = NULL;
    int rc = nexus_daemon_find(recovery->call->arena, &program, &recovery->call->error);

    nexus_say("%s is there: going on with a recovery that was cut off", decision(recovery));
    for (size_t at = 0; !rc && at < recovery->cluster.count; at++) {
        struct hm_error kept = recovery->call->error;

        recovery->highest = at;
        if (change_one(recovery, program, at) == 0)
            return 0;
        if (at + 1 < recovery->cluster.count)
            recovery->call->error = kept;
        else
            rc = recovery->call->error.code;
    }
    return rc;
}

static int recover(struct recovery *recovery)
{
    struct nexus_call *call = recovery->call;
    struct nexus_cluster *cluster = &recovery->cluster;
    bool decided = access(decision(recovery), F_OK) == 0;
    int rc = drop_lost(recovery);

    if (!rc && !decided)
        rc = prepare(recovery);
    if (rc)
        return rc;
    rc = nexus_cluster_stop(call, cluster, recovery->all, cluster->count, STOP_WAIT_MS);
    if (!rc && decided)
        rc = again(recovery);
    if (!rc)
        rc = change_all(recovery);
    if (rc) {
        call->hint = "nothing is lost: say it again when the reason is gone";
        return rc;
    }
    cluster->begins = NEXUS_CLUSTER_BEGINS_SNAPSHOT;
    rc = nexus_cluster_save(call, cluster);
    if (!rc && unlink(decision(recovery)) != 0)
        rc = hm_fail_errno(&call->error, HM_EIO, "cannot remove %s", decision(recovery));
    return rc ? rc : nexus_cluster_start(call, cluster, recovery->all, cluster->count, WAIT_MS);
}

static int run_recover(struct nexus_call *call)
{
    struct recovery recovery = {.call = call};
    uint64_t wait_ms = WAIT_MS;
    int rc = nexus_value_ms(call, "wait", &wait_ms);

    if (rc)
        return rc;
    if (call->place.url)
        return hm_fail(&call->error, HM_EINVAL,
                       "a cluster is in a folder of this machine; leave --url out");
    recovery.end_ms = now_ms() + wait_ms;
    rc = nexus_cluster_load(call, &recovery.cluster);
    if (!rc)
        rc = recover(&recovery);
    if (!rc)
        nexus_say("the cluster goes on; nexus cluster status shows it");
    return rc;
}

static const struct nexus_option recover_options[] = {
    {.name = "validators",
     .value = "NODE,...",
     .help = "who votes from now on: nodes that are left, or accounts of operators"},
    {.name = "yes", .help = "the validators that are not named are gone for ever"},
    {.name = "wait",
     .value = "TIME",
     .help = "how long to wait for what the nodes have; default: 3m"},
};

const struct nexus_verb verb_cluster_recover = {
    .group = "cluster",
    .name = "recover",
    .summary = "Go on without validators that are gone for ever",
    .text =
        "For a cluster that makes no blocks because a third of its power or more is lost with the\n"
        "machines that had it. The nodes that are left stop; the ledger of the one that has most\n"
        "blocks goes on, the others get those that they lack; only the named validators vote. The\n"
        "others are jailed and keep their stake. Nodes of before are not let in again: they join\n"
        "anew with a snapshot (docs/cluster.md).",
    .options = recover_options,
    .option_count = HM_COUNT_OF(recover_options),
    .run = run_recover};
