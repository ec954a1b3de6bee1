/* node promote: a single node's ledger becomes the first state of a cluster. Every step looks first at what is there already, so
 * that whoever was cut off says it again. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nexus_cluster.h"
#include "nexus_start_options.h"
#include "nexus_verbs.h"
#include "wire.h"

#define BOND_DEFAULT   "2000" /* HYPER, as a new cluster's validators have */
#define HYPER_DECIMALS 9
#define WAIT_MS        180000
#define POLL_MS        100
#define CMDLINE_MAX    ((size_t)64 << 10)

struct promotion {
    struct nexus_call *call;
    struct nexus_cluster cluster; /* as it will be saved; one node, which lies here */
    struct nexus_cluster_node *node;
    struct nexus_daemon daemon; /* pidfd -1: the node ran before */
    const char *chain_id, *operator_id; /* "hm1..." */
    const char *bond;
    uint64_t end_ms;
};

static uint64_t now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

static const char *in_folder(struct nexus_call *call, const char *name)
{
    const char *path = hm_arena_printf(call->arena, "%s/%s", call->place.data_dir, name);

    return path ? path : "";
}

/* --- may it be? ------------------------------------------------------------------------------------------ */

static int folder_is_single(struct promotion *promotion)
{
    struct nexus_call *call = promotion->call;
    const char *folder = call->place.data_dir;
    bool engine = access(in_folder(call, "engine/config/genesis.json"), F_OK) == 0;
    struct nexus_cluster there;
    int rc = nexus_cluster_look(call, &there);

    if (rc)
        return rc;
    if (there.count > 0 && nexus_cluster_here(&there) == there.count)
        return hm_fail(&call->error, HM_ECONFLICT,
                       "%s is a cluster's folder, not a node's: its nodes are in it", folder);
    if (engine && there.count > 0)
        return hm_fail(&call->error, HM_EEXIST,
                       "%s was promoted already: it is %s of a cluster (nexus cluster status)",
                       folder, there.nodes[nexus_cluster_here(&there)].name);
    if (engine)
        return hm_fail(&call->error, HM_EEXIST,
                       "%s is a cluster's node already, and is started with hypermeshd --engine "
                       "cometbft",
                       folder);
    if (access(in_folder(call, "ledger"), F_OK) != 0)
        return hm_fail(&call->error, HM_ENOTFOUND, "no node is in %s: nexus up makes one", folder);
    return 0;
}

/* Where it meets nodes of other machines newcomers find it, and further nodes of this machine, too. */
static int plan_address(struct promotion *promotion, const char *listen_at)
{
    const char *colon = listen_at ? strrchr(listen_at, ':') : NULL;

    promotion->cluster.address = "";
    if (!colon || strncmp(listen_at, "127.", 4) == 0 || strncmp(listen_at, "[::1]", 5) == 0 ||
        strncmp(listen_at, "0.0.0.0:", 8) == 0 || strncmp(listen_at, "[::]:", 5) == 0)
        return 0;
    promotion->cluster.address = hm_arena_printf(promotion->call->arena, "%.*s",
                                                 (int)(colon - listen_at), listen_at);
    return promotion->cluster.address ? 0 : nexus_no_memory(promotion->call);
}

static int plan(struct promotion *promotion)
{
    struct nexus_call *call = promotion->call;
    const char *engine = nexus_value(call, "engine-path");
    const char *listen_at = nexus_value(call, "p2p-listen");
    struct nexus_cluster *cluster = &promotion->cluster;
    int rc = 0;

    *cluster = (struct nexus_cluster){.folder = call->place.data_dir,
                                      .bridge = "",
                                      .engine_path = "",
                                      .plot = "",
                                      .runtime = "",
                                      .log_level = "",
                                      .snapshot_blocks = "",
                                      .begins = NEXUS_CLUSTER_BEGINS_SNAPSHOT,
                                      .count = 1};
    promotion->node = &cluster->nodes[0];
    *promotion->node = (struct nexus_cluster_node){
        .name = "node0", .data = cluster->folder, .place = NEXUS_CLUSTER_HERE, .netns = ""};
    if (listen_at)
        rc = nexus_cluster_place_free(call, "p2p-listen", listen_at, SOCK_STREAM);
    if (!rc && engine)
        rc = nexus_path_absolute(engine, call->arena, &cluster->engine_path, &call->error);
    if (!rc)
        rc = nexus_cluster_new_id(call, cluster);
    if (!rc)
        rc = plan_address(promotion, listen_at);
    if (!rc)
        rc = nexus_cluster_net_plan(call, false, cluster);
    if (!rc && listen_at)
        promotion->node->p2p = listen_at;
    return rc;
}

/* --- the node, still alone ------------------------------------------------------------------------------- */

/* What its daemon was started with is what it is to be started with. */
static const char *const kept_words[] = {
    "--listen", "--kv-listen",  "--kv-account",      "--rate",     "--plot", "--runtime",
    "--otlp",   "--otlp-every", "--passphrase-file", "--log-level"};

static bool is_kept(const char *word)
{
    for (size_t i = 0; i < HM_COUNT_OF(kept_words); i++)
        if (strcmp(word, kept_words[i]) == 0)
            return true;
    return false;
}

static int keep_words(struct promotion *promotion, pid_t pid)
{
    struct nexus_call *call = promotion->call;
    const char *path = hm_arena_printf(call->arena, "/proc/%d/cmdline", (int)pid);
    const char **words = hm_arena_alloc(call->arena, NEXUS_CLUSTER_WORDS_MAX * sizeof(*words));
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    size_t count = 0;
    int rc = path && words ? hm_file_read(path, CMDLINE_MAX, &text, &call->error)
                           : nexus_no_memory(call);

    for (size_t at = 0; !rc && at < text.len;) {
        const char *word = (const char *)text.data + at;
        const char *value = word + strlen(word) + 1;

        at += strlen(word) + 1;
        if (!is_kept(word) || at >= text.len || count + 2 > NEXUS_CLUSTER_WORDS_MAX)
            continue;
        words[count++] = hm_arena_strdup(call->arena, word);
        words[count++] = hm_arena_strdup(call->arena, value);
        at += strlen(value) + 1;
    }
    promotion->node->words = words;
    promotion->node->word_count = rc ? 0 : count;
    return rc;
}

static int keep_secret(struct promotion *promotion, const char *path)
{
    const char **words = hm_arena_alloc(promotion->call->arena, 2 * sizeof(*words));

    if (!words)
        return nexus_no_memory(promotion->call);
    words[0] = "--passphrase-file";
    words[1] = path;
    promotion->node->words = words;
    promotion->node->word_count = 2;
    return 0;
}

static int ask(struct promotion *promotion, const char *path, json_t **reply,
               struct hm_error *error)
{
    return nexus_cluster_ask(promotion->call, promotion->node, "GET", path, NULL, reply, error);
}

static int wait_ready(struct promotion *promotion)
{
    struct nexus_call *call = promotion->call;

    for (;;) {
        struct hm_error why = {0};
        int status = 0;

        if (ask(promotion, "/readyz", NULL, &why) == 0)
            return 0;
        if (promotion->daemon.pidfd >= 0 && nexus_daemon_ended(&promotion->daemon, 0, &status)) {
            call->hint = hm_arena_printf(call->arena, "its log is %s",
                                         in_folder(call, NEXUS_LOG_NAME));
            return hm_fail(&call->error, HM_EIO, "the node in %s did not start",
                           call->place.data_dir);
        }
        if (now_ms() >= promotion->end_ms)
            return hm_fail(&call->error, HM_ETIMEOUT, "the node is not ready: %.300s", why.text);
        usleep(POLL_MS * 1000);
    }
}

static int have_it_run(struct promotion *promotion)
{
    struct nexus_call *call = promotion->call;
    const char *program = NULL, *secret = nexus_value(call, "passphrase-file");
    pid_t pid = nexus_cluster_pid(promotion->node);
    int rc = nexus_daemon_find(call->arena, &program, &call->error);

    if (!rc && secret)
        rc = nexus_path_absolute(secret, call->arena, &secret, &call->error);
    if (rc)
        return rc;
    const char *const argv[] = {program,    "--data", call->place.data_dir,
                                "--listen", "none",   secret ? "--passphrase-file" : NULL,
                                secret,     NULL};
    if (pid > 0)
        rc = keep_words(promotion, pid);
    else
        rc = nexus_daemon_spawn(program, (char *const *)(uintptr_t)argv,
                                in_folder(call, NEXUS_LOG_NAME), &promotion->daemon, &call->error);
    if (!rc && pid <= 0 && secret)
        rc = keep_secret(promotion, secret);
    return rc ? rc : wait_ready(promotion);
}

/* Accounts as hexadecimal digits, as cluster.json has them. */
static int account_digits(struct promotion *promotion, const char *name, const char **text,
                          const char **out, json_t **reply)
{
    struct nexus_call *call = promotion->call;
    const char *path = hm_arena_printf(call->arena, "/accounts/%s", name);
    char *digits = hm_arena_alloc(call->arena, 2 * WIRE_ID_BYTES + 1);
    uint8_t id[WIRE_ID_BYTES];
    int rc = path && digits ? ask(promotion, path, reply, &call->error) : nexus_no_memory(call);

    if (rc)
        return rc;
    *text = hm_arena_strdup(call->arena, nexus_json_text(*reply, "id"));
    if (!*text)
        return nexus_no_memory(call);
    rc = wire_account_parse(*text, id, &call->error);
    if (rc)
        return rc;
    hm_hex_encode(id, sizeof(id), digits);
    *out = digits;
    return 0;
}

/* Has the operator what it is to bond? The ledger would say so too, for a fee. */
static int afford(struct promotion *promotion, const json_t *account)
{
    struct nexus_call *call = promotion->call;
    uint64_t has = 0, needs = 0;
    int rc = hm_decimal_parse(promotion->bond, HYPER_DECIMALS, &needs, &call->error);

    if (rc)
        return hm_error_prefix(&call->error, rc, "--bond");
    rc = hm_decimal_parse(nexus_json_text(account, "hyper"), HYPER_DECIMALS, &has, &call->error);
    if (rc || has > needs)
        return rc;
    return hm_fail(&call->error, HM_EFUNDS,
                   "the account operator has %s HYPER, and a validator's bond of %s and a fee go "
                   "from it: pay it some (nexus account transfer), or give a smaller --bond",
                   nexus_json_text(account, "hyper"), promotion->bond);
}

static int no_jobs(struct promotion *promotion)
{
    struct nexus_call *call = promotion->call;

    for (;;) {
        NEXUS_AUTOJSON json_t *reply = NULL;
        size_t running = 0;
        int rc = ask(promotion, "/jobs?limit=500", &reply, &call->error);
        const json_t *items = nexus_json_list(reply, "items");

        for (size_t i = 0; !rc && i < json_array_size(items); i++)
            running += strcmp(nexus_json_text(json_array_get(items, i), "state"), "done") != 0;
        if (rc || running == 0 || nexus_has(call, "cancel-jobs"))
            return rc;
        if (!nexus_has(call, "drain") || now_ms() >= promotion->end_ms)
            return hm_fail(&call->error, HM_EBUSY,
                           "%zu jobs run on this node, which is stopped and started again: --drain "
                           "waits for their end, --cancel-jobs cancels and settles them",
                           running);
        usleep(POLL_MS * 1000);
    }
}

static int look_at_it(struct promotion *promotion)
{
    struct nexus_call *call = promotion->call;
    NEXUS_AUTOJSON json_t *status = NULL;
    NEXUS_AUTOJSON json_t *operator_account = NULL;
    NEXUS_AUTOJSON json_t *user_account = NULL;
    const char *user_text = NULL;
    int rc = ask(promotion, "/node", &status, &call->error);

    if (!rc && strcmp(nexus_json_text(status, "engine"), "solo") != 0)
        rc = hm_fail(&call->error, HM_ECONFLICT, "the node in %s is a cluster's already",
                     call->place.data_dir);
    if (rc)
        return rc;
    promotion->chain_id = hm_arena_strdup(call->arena, nexus_json_text(status, "chain_id"));
    promotion->cluster.chain_id = promotion->chain_id;
    if (!promotion->chain_id)
        return nexus_no_memory(call);
    rc = account_digits(promotion, "operator", &promotion->operator_id, &promotion->node->account,
                        &operator_account);
    if (!rc)
        rc = account_digits(promotion, "user", &user_text, &promotion->node->user, &user_account);
    if (!rc)
        rc = no_jobs(promotion);
    return rc;
}

/* --- its validator --------------------------------------------------------------------------------------- */

static int make_key(struct promotion *promotion)
{
    struct nexus_call *call = promotion->call;
    struct nexus_cluster_node *node = promotion->node;
    const char *whose = hm_arena_printf(call->arena, "%s:%s", promotion->chain_id,
                                        promotion->operator_id);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    NEXUS_AUTOJSON json_t *made = NULL;
    const char *engine = promotion->cluster.engine_path, *program = NULL;
    int rc = nexus_daemon_find(call->arena, &program, &call->error);

    if (!rc && !whose)
        rc = nexus_no_memory(call);
    if (rc)
        return rc;
    const char *const argv[] = {program,
                                "--promote-key",
                                whose,
                                "--data",
                                call->place.data_dir,
                                engine[0] ? "--engine-path" : NULL,
                                engine,
                                NULL};
    rc = nexus_cluster_command(argv, &text, &call->error);
    if (!rc && hm_json_parse(hm_buf_slice(&text), 0, &made, NULL) != 0)
        rc = hm_fail(&call->error, HM_EPARSE, "%s answers what this nexus does not understand",
                     program);
    if (rc)
        return rc;
    node->node_id = hm_arena_strdup(call->arena, nexus_json_text(made, "node_id"));
    node->validator = hm_arena_strdup(call->arena, nexus_json_text(made, "validator"));
    node->key = hm_arena_strdup(call->arena, nexus_json_text(made, "key"));
    node->proof = hm_arena_strdup(call->arena, nexus_json_text(made, "proof"));
    return node->node_id && node->validator && node->key && node->proof ? 0 : nexus_no_memory(call);
}

/* It is there since a promotion that was cut off. */
static int declared_before(struct promotion *promotion, const json_t *validator)
{
    struct nexus_call *call = promotion->call;

    if (strcmp(nexus_json_text(validator, "key"), promotion->node->key) != 0)
        return hm_fail(&call->error, HM_ECONFLICT,
                       "the account operator operates a validator with another key than that in "
                       "%s: bring its key and its record back",
                       in_folder(call, "validator"));
    if (nexus_json_bool(validator, "retired") || nexus_json_bool(validator, "tombstoned") ||
        nexus_json_bool(validator, "jailed"))
        return hm_fail(&call->error, HM_ECONFLICT,
                       "the account operator's validator has retired or is jailed: nexus validator "
                       "show operator");
    return 0;
}

static int declare(struct promotion *promotion)
{
    struct nexus_call *call = promotion->call;
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    NEXUS_AUTOJSON json_t *account = NULL;
    int rc = ask(promotion, "/validators/operator", &reply, &call->error);

    if (rc == 0)
        return declared_before(promotion, reply);
    if (rc != HM_ENOTFOUND)
        return rc;
    rc = ask(promotion, "/accounts/operator", &account, &call->error);
    if (!rc)
        rc = afford(promotion, account);
    if (rc)
        return rc;
    rc = nexus_body_text(call, body, "key", promotion->node->key);
    if (!rc)
        rc = nexus_body_text(call, body, "proof", promotion->node->proof);
    if (!rc)
        rc = nexus_body_text(call, body, "bond", promotion->bond);
    if (!rc)
        rc = nexus_body_text(call, body, "account", "operator");
    if (!rc)
        rc = nexus_cluster_ask(call, promotion->node, "POST", "/validators", body, &reply,
                               &call->error);
    if (rc)
        return hm_error_prefix(&call->error, rc, "the operator declares its validator");
    nexus_say("the operator has bonded %s HYPER and declared this node's validator",
              promotion->bond);
    return 0;
}

/* --- the change ------------------------------------------------------------------------------------------ */

static int stop_it(struct promotion *promotion)
{
    const size_t only[] = {0};
    uint64_t now = now_ms();

    return nexus_cluster_stop(promotion->call, &promotion->cluster, only, 1,
                              now < promotion->end_ms ? promotion->end_ms - now : 0);
}

static int change(struct promotion *promotion)
{
    struct nexus_call *call = promotion->call;
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    NEXUS_AUTOJSON json_t *made = NULL;
    const char *program = NULL;
    int rc = nexus_daemon_find(call->arena, &program, &call->error);

    if (rc)
        return rc;
    const char *const argv[] = {program, "--promote", "--data", call->place.data_dir, NULL};
    rc = nexus_cluster_command(argv, &text, &call->error);
    if (rc) {
        call->hint = "the node is a single one as before: nexus up starts it";
        return rc;
    }
    if (hm_json_parse(hm_buf_slice(&text), 0, &made, NULL) == 0)
        nexus_say("block %llu was the last that the node made alone",
                  (unsigned long long)nexus_json_u64(made, "height"));
    return 0;
}

static int start_it(struct promotion *promotion)
{
    const size_t only[] = {0};

    if (nexus_has(promotion->call, "no-start")) {
        nexus_say("it is a cluster's first node now; nexus up and nexus cluster start start it");
        return 0;
    }
    return nexus_cluster_start(promotion->call, &promotion->cluster, only, 1, WAIT_MS);
}

static int promote(struct promotion *promotion)
{
    struct nexus_call *call = promotion->call;
    int rc = folder_is_single(promotion);

    if (!rc)
        rc = plan(promotion);
    if (!rc)
        rc = have_it_run(promotion);
    if (!rc)
        rc = look_at_it(promotion);
    if (!rc)
        rc = make_key(promotion);
    if (!rc)
        rc = declare(promotion);
    if (!rc)
        rc = nexus_cluster_save(call, &promotion->cluster);
    /* What was started for this only is stopped again, however it ends. */
    if (!rc || promotion->daemon.pidfd >= 0) {
        struct hm_error kept = call->error;
        int stopped = stop_it(promotion);

        if (rc)
            call->error = kept;
        else
            rc = stopped;
    }
    if (!rc)
        rc = change(promotion);
    return rc ? rc : start_it(promotion);
}

static int run_promote(struct nexus_call *call)
{
    const char *bond = nexus_value(call, "bond");
    struct promotion promotion = {
        .call = call, .daemon = {.pidfd = -1}, .bond = bond ? bond : BOND_DEFAULT};
    uint64_t wait_ms = WAIT_MS;
    int rc = nexus_value_ms(call, "wait", &wait_ms);

    if (rc)
        return rc;
    if (wait_ms > INT32_MAX)
        return hm_fail(&call->error, HM_ERANGE, "--wait: at most 24 days");
    if (call->place.url)
        return hm_fail(&call->error, HM_EINVAL,
                       "promote changes a folder of this machine; leave --url out");
    promotion.end_ms = now_ms() + wait_ms;
    rc = promote(&promotion);
    nexus_daemon_release(&promotion.daemon);
    if (rc)
        return rc;
    nexus_say("%s is node0 of the cluster %s, at %s; nexus cluster add makes another node",
              call->place.data_dir, promotion.chain_id, promotion.node->p2p);
    return 0;
}

static const struct nexus_option promote_options[] = {
    {.name = "p2p-listen",
     .value = "ADDR:PORT",
     .help = "where other nodes reach this one; default: a free port of 127.0.0.1"},
    {.name = "bond",
     .value = "HYPER",
     .help = "that its operator bonds, and so its power; default: " BOND_DEFAULT},
    NEXUS_ENGINE_PATH_OPTION,
    {.name = "passphrase-file",
     .value = "FILE",
     .help = "opens sealed keys, where the node does not run",
     .words = "@file"},
    {.name = "drain", .help = "wait until its jobs have ended"},
    {.name = "cancel-jobs", .help = "cancel and settle its jobs, as nexus down does"},
    {.name = "wait", .value = "TIME", .help = "how long to wait for all of it; default: 3m"},
    {.name = "no-start", .help = "leave it stopped"},
};

const struct nexus_verb verb_node_promote = {
    .group = "node",
    .name = "promote",
    .summary = "Make this single node the first of a cluster, with its ledger as it is",
    .text = "Its operator bonds HYPER and declares a validator; the node stops; its ledger becomes "
            "the\n"
            "first state of a cluster that goes on with the next block; the node starts again. "
            "Nothing\n"
            "of the ledger is lost, and all of it can be verified as before. There is no way back. "
            "Who\n"
            "was interrupted says it again.",
    .options = promote_options,
    .option_count = HM_COUNT_OF(promote_options),
    .run = run_promote};
