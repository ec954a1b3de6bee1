/* A chain of this node's own. The initial distribution is document 003's 40/20/25/10/5 %; the shares that
 * have no owner yet lie in accounts without keys, until governance can spend them. */
#include <stdio.h>
#include <stdlib.h>

#include "node_private.h"

#define NODE_SUPPLY_HYPER UINT64_C(1000000000)
#define NODE_BASE_UNITS   UINT64_C(1000000000)
/* HYPER base units for a unit of weight: a lease's fee is then about what a core costs in half a minute. */
#define NODE_BASE_FEE 100
/* Transactions of one account in a window before Work gets dearer: nobody shares this chain, and a busy key-value
 * store must not solve harder and harder puzzles. */
#define NODE_FREE_TXS 1000000

/* Of the least that a validator must bond: what a small fault takes does not put it out at once. */
#define NODE_BOND_TIMES 2

struct node_share {
    const char *name;
    uint32_t percent;
    enum { NODE_SHARE_USERS, NODE_SHARE_OPERATORS, NODE_SHARE_KEYLESS } whose;
};

static const struct node_share node_shares[] = {
    {"community", 40, NODE_SHARE_USERS},     {"validators", 20, NODE_SHARE_OPERATORS},
    {"development", 25, NODE_SHARE_KEYLESS}, {"treasury", 10, NODE_SHARE_KEYLESS},
    {"partners", 5, NODE_SHARE_KEYLESS},
};
#define NODE_SHARES_MAX (2 * NODE_CLUSTER_MAX + 3)

/* No public keys hash to it that anyone could know. */
static void node_keyless_account(const char *chain_id, const char *name, uint8_t id[WIRE_ID_BYTES])
{
    const struct hm_slice parts[] = {hm_slice_str(chain_id), hm_slice_str("/"), hm_slice_str(name)};

    crypto_hash_parts("hypermesh 1 keyless account", parts, HM_COUNT_OF(parts), id);
}

/* Shares as the genesis lists them, with what they point to. */
struct node_genesis_shares {
    Hypermesh__GenesisShare shares[NODE_SHARES_MAX];
    Hypermesh__GenesisShare *pointers[NODE_SHARES_MAX];
    uint8_t ids[NODE_SHARES_MAX][WIRE_ID_BYTES];
    size_t count;
};

static void node_shares_add(struct node_genesis_shares *list, const char *name, uint32_t percent,
                            const uint8_t id[WIRE_ID_BYTES])
{
    size_t at = list->count++;

    memcpy(list->ids[at], id, WIRE_ID_BYTES);
    hypermesh__genesis_share__init(&list->shares[at]);
    list->shares[at].name = (char *)(uintptr_t)name;
    list->shares[at].percent = percent;
    list->shares[at].account = wire_bytes(list->ids[at], WIRE_ID_BYTES);
    list->pointers[at] = &list->shares[at];
}

/* Whole percents: the first few get one more. */
static void node_shares_fill(const struct node_genesis_plan *plan, struct node_genesis_shares *list)
{
    for (size_t i = 0; i < HM_COUNT_OF(node_shares); i++) {
        const struct node_share *share = &node_shares[i];
        const uint8_t(*ids)[WIRE_ID_BYTES] = share->whose == NODE_SHARE_USERS ? plan->users
                                                                              : plan->operators;
        uint8_t keyless[WIRE_ID_BYTES];

        if (share->whose == NODE_SHARE_KEYLESS) {
            node_keyless_account(plan->chain_id, share->name, keyless);
            node_shares_add(list, share->name, share->percent, keyless);
            continue;
        }
        for (size_t at = 0; at < plan->nodes; at++)
            node_shares_add(list, share->name,
                            share->percent / (uint32_t)plan->nodes +
                                (at < share->percent % plan->nodes ? 1 : 0),
                            ids[at]);
    }
}

int node_genesis_name(const struct hm_random *random, char out[32], struct hm_error *error)
{
    uint8_t unique[4];
    char hex[9];

    if (random->fill(random->ctx, unique, sizeof(unique)) != 0)
        return hm_fail(error, HM_EIO, "no random bytes for a chain id");
    hm_hex_encode(unique, sizeof(unique), hex);
    snprintf(out, 32, "local-%s", hex);
    return 0;
}

/* Every key is the first user's to give; the users of a cluster's other nodes may read and write. */
static void node_genesis_rule(const struct node_genesis_plan *plan, Hypermesh__KvRule *rule,
                              ProtobufCBinaryData writers[NODE_CLUSTER_MAX])
{
    rule->owner = wire_bytes(plan->users[0], WIRE_ID_BYTES);
    rule->writers = writers;
    for (size_t i = 1; i < plan->nodes; i++)
        writers[rule->n_writers++] = wire_bytes(plan->users[i], WIRE_ID_BYTES);
}

void node_genesis_stake(uint64_t *bond, uint64_t *power)
{
    Hypermesh__Params params;

    ledger_default_params(&params);
    *bond = NODE_BOND_TIMES * params.validator_bond;
    *power = *bond / params.power_unit;
}

uint64_t node_genesis_evidence_age(void)
{
    Hypermesh__Params params;

    ledger_default_params(&params);
    return ledger_evidence_age_ms(&params);
}

struct node_genesis_validators {
    Hypermesh__GenesisValidator list[NODE_CLUSTER_MAX];
    Hypermesh__GenesisValidator *pointers[NODE_CLUSTER_MAX]; /* by operator */
};

static int node_compare_operators(const void *a, const void *b)
{
    const Hypermesh__GenesisValidator *const *x = a, *const *y = b;

    return hm_slice_compare(wire_slice((*x)->operator_), wire_slice((*y)->operator_));
}

static void node_validators_fill(const struct node_genesis_plan *plan,
                                 struct node_genesis_validators *out)
{
    uint64_t bond, power;

    node_genesis_stake(&bond, &power);
    for (size_t i = 0; i < plan->nodes; i++) {
        Hypermesh__GenesisValidator *validator = &out->list[i];

        hypermesh__genesis_validator__init(validator);
        validator->operator_ = wire_bytes(plan->operators[i], WIRE_ID_BYTES);
        validator->key = wire_bytes(plan->validators[i], CRYPTO_ED25519_PUBLIC_BYTES);
        validator->bond = bond;
        out->pointers[i] = validator;
    }
    qsort(out->pointers, plan->nodes, sizeof(out->pointers[0]), node_compare_operators);
}

int node_genesis_pack(const struct node_genesis_plan *plan, struct hm_buf *out,
                      struct hm_error *error)
{
    Hypermesh__Genesis genesis = HYPERMESH__GENESIS__INIT;
    Hypermesh__Params params = HYPERMESH__PARAMS__INIT;
    Hypermesh__KvRule rule = HYPERMESH__KV_RULE__INIT;
    Hypermesh__KvRule *rules[] = {&rule};
    ProtobufCBinaryData writers[NODE_CLUSTER_MAX];
    struct node_genesis_shares list = {.count = 0};
    struct node_genesis_validators validators;

    ledger_default_params(&params);
    params.base_fee_initial = params.base_fee_minimum = NODE_BASE_FEE;
    params.work_free_txs = NODE_FREE_TXS;
    params.plot_min_labels = plan->plot_labels;
    if (params.plot_min_labels > PROOF_SEGMENT_LABELS_DEFAULT)
        params.plot_min_labels = PROOF_SEGMENT_LABELS_DEFAULT;
    if (plan->vdf_blocks != NULL)
        params.vdf_blocks = *plan->vdf_blocks;
    node_shares_fill(plan, &list);
    genesis.chain_id = (char *)(uintptr_t)plan->chain_id;
    genesis.time_ms = plan->time_ms;
    genesis.supply = NODE_SUPPLY_HYPER * NODE_BASE_UNITS;
    genesis.n_shares = list.count;
    genesis.shares = list.pointers;
    genesis.params = &params;
    node_genesis_rule(plan, &rule, writers);
    genesis.n_kv_rules = 1;
    genesis.kv_rules = rules;
    if (plan->validators != NULL) {
        node_validators_fill(plan, &validators);
        genesis.n_validators = plan->nodes;
        genesis.validators = validators.pointers;
    }
    if (wire_pack(&genesis.base, out) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for the genesis");
    return 0;
}

int node_genesis_make(struct node *node, struct hm_buf *out, struct hm_error *error)
{
    uint8_t user[1][WIRE_ID_BYTES], operator_id[1][WIRE_ID_BYTES];
    char chain_id[32];
    const struct node_genesis_plan plan = {.chain_id = chain_id,
                                           .time_ms = hm_wall_ms(node->options.clock),
                                           .plot_labels = node_plot_labels(node),
                                           .users = user,
                                           .operators = operator_id,
                                           .nodes = 1};
    int rc = node_genesis_name(node->options.random, chain_id, error);

    if (rc == 0)
        rc = node_wallet_resolve(node, NODE_USER, user[0], error);
    if (rc == 0)
        rc = node_wallet_resolve(node, NODE_OPERATOR, operator_id[0], error);
    return rc != 0 ? rc : node_genesis_pack(&plan, out, error);
}
