/* Which of a cluster's nodes vote: one begins to, one ends. Both are acts of its operator on the ledger, which tells the
 * engines a block or a few later. */
#include <stdio.h>
#include <unistd.h>

#include "nexus_cluster.h"
#include "wire.h"

#define VOTE_POLL_MS    300
#define VALIDATORS_PAGE "/validators?limit=500"
#define HYPER_DIGITS    20
#define PPM_WHOLE       1000000

/* --- does it? -------------------------------------------------------------------------------------------- */

int nexus_cluster_votes(struct nexus_call *call, const struct nexus_cluster_node *node, bool *out,
                        struct hm_error *error)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    const json_t *engine;
    int rc = nexus_cluster_ask(call, node, "GET", "/node", NULL, &reply, error);

    if (rc)
        return rc;
    engine = json_object_get(reply, "cluster");
    if (!nexus_json_bool(engine, "reachable"))
        return hm_fail(error, HM_EBUSY, "%s cannot say yet whether it is a validator", node->name);
    *out = nexus_json_bool(engine, "validator");
    return 0;
}

static int wait_votes(struct nexus_call *call, const struct nexus_cluster_node *node, bool wanted,
                      uint64_t wait_ms)
{
    uint64_t end_ms = hm_mono_ns(hm_clock_system()) / 1000000 + wait_ms;

    for (;;) {
        struct hm_error why = {0};
        bool votes = !wanted;
        int rc = nexus_cluster_votes(call, node, &votes, &why);

        if (!rc && votes == wanted)
            return 0;
        if (hm_mono_ns(hm_clock_system()) / 1000000 >= end_ms)
            return hm_fail(&call->error, HM_ETIMEOUT,
                           "%s is %s a validator of the cluster's engines%s%.200s", node->name,
                           wanted ? "not yet" : "still", rc ? ": " : "", rc ? why.text : "");
        usleep(VOTE_POLL_MS * 1000);
    }
}

/* --- it begins ------------------------------------------------------------------------------------------- */

/* By an earlier call, that was cut off or waited too short. */
static bool declared_before(struct nexus_call *call, const struct nexus_cluster_node *node)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    struct hm_error error = {0};

    return nexus_cluster_ask(call, node, "GET", "/validators/operator", NULL, &reply, &error) ==
               0 &&
           strcmp(nexus_json_text(reply, "key"), node->key) == 0 &&
           !nexus_json_bool(reply, "retired");
}

int nexus_cluster_commission(struct nexus_call *call, uint64_t *out)
{
    int rc = nexus_value_u64(call, "commission", out);

    if (rc)
        return rc;
    return *out <= PPM_WHOLE ? 0
                             : hm_fail(&call->error, HM_ERANGE,
                                       "--commission is at most %d parts per million", PPM_WHOLE);
}

int nexus_cluster_declare(struct nexus_call *call, const struct nexus_cluster_node *node,
                          const char *bond, uint64_t wait_ms)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    uint64_t commission = 0;
    int rc;

    if (!node->key[0] || !node->proof[0])
        return hm_fail(&call->error, HM_EUNSUPPORTED,
                       "%s was made by a hypermeshd that knows no validators with a bond",
                       node->name);
    if (declared_before(call, node))
        return wait_votes(call, node, true, wait_ms);
    rc = nexus_body_text(call, body, "key", node->key);
    if (!rc)
        rc = nexus_body_text(call, body, "proof", node->proof);
    if (!rc)
        rc = nexus_body_text(call, body, "bond", bond);
    if (!rc)
        rc = nexus_body_text(call, body, "account", "operator");
    if (!rc)
        rc = nexus_cluster_commission(call, &commission);
    if (!rc && json_object_set_new(body, "commission_ppm", json_integer((json_int_t)commission)))
        rc = nexus_no_memory(call);
    if (!rc)
        rc = nexus_cluster_ask(call, node, "POST", "/validators", body, &reply, &call->error);
    if (rc) {
        call->hint = hm_arena_printf(call->arena,
                                     "the node is there and follows; when the reason is gone:\n"
                                     "  nexus validator declare %s \\\n    %s %s \\\n"
                                     "    --account operator --data %s",
                                     node->key, node->proof, bond, node->data);
        return hm_error_prefix(&call->error, rc, "%s declares its validator", node->name);
    }
    nexus_say("%s has bonded %s HYPER; waiting until its vote counts", node->name, bond);
    return wait_votes(call, node, true, wait_ms);
}

/* --- it ends --------------------------------------------------------------------------------------------- */

/* Stake of the others, in whole HYPER. */
struct others {
    uint64_t all; /* of those that may vote */
    uint64_t up; /* of those of them that run */
    bool known; /* the node itself is among the ledger's validators */
    bool retired; /* and leaves already */
};

/* Of a decimal number the part before the point: what power is counted in. */
static uint64_t whole(const char *amount)
{
    char digits[HYPER_DIGITS + 1];
    size_t len = strcspn(amount, ".");
    uint64_t number = 0;

    if (len <= HYPER_DIGITS) {
        memcpy(digits, amount, len);
        digits[len] = '\0';
        (void)hm_u64_parse(digits, &number, NULL);
    }
    return number;
}

static bool is_operator(const struct nexus_cluster_node *node, const char *operator_text)
{
    char text[WIRE_ID_TEXT_MAX];
    uint8_t id[WIRE_ID_BYTES];

    if (hm_hex_decode(node->account, strlen(node->account), id, sizeof(id), NULL) != 0)
        return false;
    wire_account_text(id, text);
    return strcmp(text, operator_text) == 0;
}

static bool is_up(struct nexus_call *call, const struct nexus_cluster_node *node)
{
    bool votes = false;

    return nexus_cluster_pid(node) > 0 && nexus_cluster_votes(call, node, &votes, NULL) == 0 &&
           votes;
}

static void count_one(struct nexus_call *call, const struct nexus_cluster *cluster, size_t at,
                      const json_t *validator, struct others *out)
{
    bool gone = nexus_json_bool(validator, "retired") || nexus_json_bool(validator, "tombstoned");
    const char *operator_text = nexus_json_text(validator, "operator");
    uint64_t stake = whole(nexus_json_text(validator, "stake"));

    if (is_operator(&cluster->nodes[at], operator_text)) {
        out->known = true;
        out->retired = gone;
        return;
    }
    if (gone || nexus_json_bool(validator, "jailed"))
        return;
    out->all += stake;
    for (size_t i = 0; i < cluster->count; i++)
        if (i != at && is_operator(&cluster->nodes[i], operator_text) &&
            is_up(call, &cluster->nodes[i]))
            out->up += stake;
}

static int count_others(struct nexus_call *call, const struct nexus_cluster *cluster, size_t at,
                        struct others *out)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    const json_t *items;
    int rc = nexus_cluster_ask(call, &cluster->nodes[at], "GET", VALIDATORS_PAGE, NULL, &reply,
                               &call->error);

    *out = (struct others){.all = 0};
    if (rc)
        return rc;
    items = nexus_json_list(reply, "items");
    for (size_t i = 0; i < json_array_size(items); i++)
        count_one(call, cluster, at, json_array_get(items, i), out);
    return 0;
}

int nexus_cluster_retire(struct nexus_call *call, const struct nexus_cluster *cluster, size_t at,
                         uint64_t wait_ms)
{
    const struct nexus_cluster_node *node = &cluster->nodes[at];
    NEXUS_AUTOJSON json_t *reply = NULL;
    struct others others;
    int rc = count_others(call, cluster, at, &others);

    if (rc)
        return rc;
    if (!others.known)
        return hm_fail(&call->error, HM_ECONFLICT,
                       "%s votes because the engine's genesis says so, without a bond in the "
                       "ledger: the validators of such a cluster stay",
                       node->name);
    if (others.all == 0)
        return hm_fail(&call->error, HM_ECONFLICT,
                       "%s is the only validator: without it no block is made; nexus cluster "
                       "destroy removes the cluster",
                       node->name);
    if (3 * others.up <= 2 * others.all)
        return hm_fail(&call->error, HM_ECONFLICT,
                       "without %s too few would vote: of the %llu HYPER that the other validators "
                       "have bonded, those that run here have %llu, and more than two thirds make "
                       "a block. Start the others first",
                       node->name, (unsigned long long)others.all, (unsigned long long)others.up);
    if (!others.retired)
        rc = nexus_cluster_ask(call, node, "DELETE", "/validators/operator", NULL, &reply,
                               &call->error);
    if (rc)
        return hm_error_prefix(&call->error, rc, "%s retires its validator", node->name);
    nexus_say("%s retires as a validator; waiting until the others do without it", node->name);
    return wait_votes(call, node, false, wait_ms);
}
