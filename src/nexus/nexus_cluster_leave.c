/* A node that leaves for ever: may it vote, and what goes with its keys? It may be dead, or its folder lost, so the others are
 * asked: the ledger has both. */
#include <unistd.h>

#include "nexus_cluster.h"
#include "wire.h"

#define VALIDATORS_PAGE "/validators?limit=500"
#define RULES_PAGE      "/kv-rules?limit=500"
#define HYPER_DECIMALS  9
/* What a newcomer's accounts are given for nothing (nexus cluster add, ticket --fund): no more is lost with them. */
#define NEWCOMERS_SHARE 11000000000000ull

/* --- whom to ask ------------------------------------------------------------------------------------------- */

/* The node with the newest block, of those that run; NULL: none answers. */
static const struct nexus_cluster_node *furthest(struct nexus_call *call,
                                                 const struct nexus_cluster *cluster)
{
    const struct nexus_cluster_node *best = NULL;
    uint64_t most = 0;

    for (size_t i = 0; i < cluster->count; i++) {
        NEXUS_AUTOJSON json_t *reply = NULL;
        struct hm_error error = {0};

        if (nexus_cluster_pid(&cluster->nodes[i]) <= 0 ||
            nexus_cluster_ask(call, &cluster->nodes[i], "GET", "/node", NULL, &reply, &error) != 0)
            continue;
        if (!best || nexus_json_u64(reply, "height") > most) {
            best = &cluster->nodes[i];
            most = nexus_json_u64(reply, "height");
        }
    }
    return best;
}

static int ask_cluster(struct nexus_call *call, const struct nexus_cluster *cluster,
                       const char *path, json_t **reply)
{
    const struct nexus_cluster_node *node = furthest(call, cluster);

    return node ? nexus_cluster_ask(call, node, "GET", path, NULL, reply, &call->error)
                : hm_fail(&call->error, NEXUS_EUNREACHABLE,
                          "no node of the cluster answers, to say what the ledger has of the one "
                          "that is to go: nexus cluster start starts the others");
}

static int id_text(struct nexus_call *call, const char *digits, char out[WIRE_ID_TEXT_MAX])
{
    uint8_t id[WIRE_ID_BYTES];
    int rc = hm_hex_decode(digits, strlen(digits), id, sizeof(id), &call->error);

    if (!rc)
        wire_account_text(id, out);
    return rc;
}

/* --- does it vote? ----------------------------------------------------------------------------------------- */

static bool may_vote(const json_t *validator)
{
    return !nexus_json_bool(validator, "retired") && !nexus_json_bool(validator, "jailed") &&
           !nexus_json_bool(validator, "tombstoned");
}

/* Of a node that runs its own engine, too: one that has just retired is counted for a few blocks yet. */
static int engine_says(struct nexus_call *call, const struct nexus_cluster_node *node, bool must,
                       bool *votes)
{
    int rc = nexus_cluster_pid(node) > 0 || must
                 ? nexus_cluster_votes(call, node, votes, &call->error)
                 : 0;

    if (!rc || must)
        return rc ? hm_error_prefix(&call->error, rc, "%s must run, to say whether it votes",
                                    node->name)
                  : 0;
    call->error = (struct hm_error){0}; /* the ledger has said it */
    return 0;
}

int nexus_cluster_may_vote(struct nexus_call *call, const struct nexus_cluster *cluster, size_t at,
                           bool *out)
{
    const struct nexus_cluster_node *node = &cluster->nodes[at];
    NEXUS_AUTOJSON json_t *reply = NULL;
    char operator_text[WIRE_ID_TEXT_MAX];
    const json_t *items;
    bool votes = false;
    int rc = id_text(call, node->account, operator_text);

    if (!rc)
        rc = ask_cluster(call, cluster, VALIDATORS_PAGE, &reply);
    if (rc)
        return rc;
    items = nexus_json_list(reply, "items");
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);

        votes |= strcmp(nexus_json_text(item, "operator"), operator_text) == 0 && may_vote(item);
    }
    /* Where nobody has a bond the engine's genesis says who votes, and the ledger does not know. */
    if (!votes)
        rc = engine_says(call, node, json_array_size(items) == 0, &votes);
    if (!rc)
        *out = votes;
    return rc;
}

/* --- what goes with its keys? ------------------------------------------------------------------------------ */

struct loss {
    struct nexus_call *call;
    const struct nexus_cluster *cluster;
    const struct nexus_cluster_node *node;
    char operator_text[WIRE_ID_TEXT_MAX], user_text[WIRE_ID_TEXT_MAX];
    uint64_t hyper;
    bool root;
};

static int add_account(struct loss *loss, const char *id)
{
    struct nexus_call *call = loss->call;
    NEXUS_AUTOJSON json_t *reply = NULL;
    uint64_t has = 0;
    const char *path = hm_arena_printf(call->arena, "/accounts/%s", id);
    int rc = path ? ask_cluster(call, loss->cluster, path, &reply) : nexus_no_memory(call);

    if (rc == HM_ENOTFOUND) { /* nobody has paid it yet */
        call->error = (struct hm_error){0};
        return 0;
    }
    if (!rc)
        rc = hm_decimal_parse(nexus_json_text(reply, "hyper"), HYPER_DECIMALS, &has, &call->error);
    if (!rc)
        loss->hyper = has > UINT64_MAX - loss->hyper ? UINT64_MAX : loss->hyper + has;
    return rc;
}

/* Others in its keystore; only itself knows them. */
static int add_own_accounts(struct loss *loss)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    struct hm_error error = {0};
    const json_t *items;
    int rc = 0;

    if (nexus_cluster_pid(loss->node) <= 0 ||
        nexus_cluster_ask(loss->call, loss->node, "GET", "/accounts", NULL, &reply, &error) != 0)
        return 0;
    items = nexus_json_list(reply, "items");
    for (size_t i = 0; !rc && i < json_array_size(items); i++) {
        const char *id = nexus_json_text(json_array_get(items, i), "id");

        if (strcmp(id, loss->operator_text) != 0 && strcmp(id, loss->user_text) != 0)
            rc = add_account(loss, id);
    }
    return rc;
}

/* Who owns the rule for all keys lets everybody else write them. */
static int find_root(struct loss *loss)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    const json_t *items;
    int rc = ask_cluster(loss->call, loss->cluster, RULES_PAGE, &reply);

    items = nexus_json_list(reply, "items");
    for (size_t i = 0; !rc && i < json_array_size(items); i++) {
        const json_t *rule = json_array_get(items, i);
        const char *owner = nexus_json_text(rule, "owner");

        loss->root |= !nexus_json_text(rule, "prefix")[0] &&
                      (strcmp(owner, loss->operator_text) == 0 ||
                       strcmp(owner, loss->user_text) == 0);
    }
    return rc;
}

int nexus_cluster_loss(struct nexus_call *call, const struct nexus_cluster *cluster, size_t at,
                       const char **out)
{
    struct loss loss = {.call = call, .cluster = cluster, .node = &cluster->nodes[at]};
    char amount[40];
    int rc;

    *out = NULL;
    if (access(loss.node->data, F_OK) != 0)
        return 0; /* its keys are lost already */
    rc = id_text(call, loss.node->account, loss.operator_text);
    if (!rc)
        rc = id_text(call, loss.node->user, loss.user_text);
    if (!rc)
        rc = add_account(&loss, loss.operator_text);
    if (!rc)
        rc = add_account(&loss, loss.user_text);
    if (!rc)
        rc = add_own_accounts(&loss);
    if (!rc)
        rc = find_root(&loss);
    if (rc || (loss.hyper <= NEWCOMERS_SHARE && !loss.root))
        return rc;
    hm_decimal_format(loss.hyper, HYPER_DECIMALS, amount);
    *out = hm_arena_printf(call->arena, "the keys to %s HYPER%s", amount,
                           loss.root ? ", and to the account that owns the key-value store (nexus "
                                       "kv rule-ls)"
                                     : "");
    return *out ? 0 : nexus_no_memory(call);
}
