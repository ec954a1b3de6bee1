#include "ledger_scenario.h"

#include <stdio.h>
#include <stdlib.h>

#define TXS_MAX 6 /* a block */
#define OPS_MAX 4 /* a transaction */

struct planned {
    struct model_op ops[OPS_MAX];
    size_t count;
};

struct scenario {
    struct fixture *fixture;
    struct model *model;
    struct hm_random random;
    struct hm_random_seeded seeded;
    struct planned planned[TXS_MAX];
    struct hm_slice txs[TXS_MAX];
    size_t tx_count;
    size_t leases_known; /* those of earlier blocks: their ids are known */
    size_t networks_known;
    size_t challenges_known;
    struct scenario_counts *counts;
};

void scenario_params(Hypermesh__Params *params)
{
    params->work_base_bits = 1;
    params->session_max_ms = UINT64_C(300) * 24 * 3600000;
    params->unbond_delay_ms = 60000;
    params->max_lease_ms = 600000;
    params->challenge_window_ms = 90000;
    params->result_window_ms = 120000;
    params->max_open_challenges = 3;
    params->max_networks = 3;
    params->max_members = 4;
    /* Small blocks weigh on the base fee. */
    params->block_weight_target = 16000;
    params->block_weight_max = 10000000;
}

static uint64_t below(struct scenario *scenario, uint64_t limit)
{
    return hm_random_u64(&scenario->random) % limit;
}

static uint64_t amount(struct scenario *scenario)
{
    switch (below(scenario, 24)) {
    case 0:
        return 0;
    case 1:
        return FIXTURE_SUPPLY / 4;
    case 2:
        return 1;
    default:
        return below(scenario, 200 * FIXTURE_HYPER);
    }
}

/* Mostly public; the other levels with networks or accounts that they may name, mostly. */
static void pick_privacy(struct scenario *scenario, struct model_privacy *privacy)
{
    *privacy = (struct model_privacy){.level = HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC};
    if (below(scenario, 4) == 0)
        privacy->waived = (uint32_t)below(scenario, 1000001);
    if (below(scenario, 2))
        return;
    privacy->level = (Hypermesh__PrivacyLevel)(1 + below(scenario, 5));
    if (privacy->level == HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC)
        return;
    if (privacy->level == HYPERMESH__PRIVACY_LEVEL__P2P) {
        privacy->accounts = (unsigned)below(scenario, 1U << MODEL_PEOPLE);
        return;
    }
    if (scenario->networks_known == 0)
        return;
    privacy->network_count = below(scenario, MODEL_LISTED_MAX + 1);
    for (size_t i = 0; i < privacy->network_count; i++)
        privacy->networks[i] = below(scenario, scenario->networks_known);
}

static const unsigned kinds[] = {
    HYPERMESH__OPERATION__OP_TRANSFER,       HYPERMESH__OPERATION__OP_BOND,
    HYPERMESH__OPERATION__OP_UNBOND,         HYPERMESH__OPERATION__OP_ASSET_REGISTER,
    HYPERMESH__OPERATION__OP_ASSET_REGISTER, HYPERMESH__OPERATION__OP_ASSET_REGISTER,
    HYPERMESH__OPERATION__OP_ASSET_UPDATE,   HYPERMESH__OPERATION__OP_ASSET_TRANSFER,
    HYPERMESH__OPERATION__OP_ASSET_RETIRE,   HYPERMESH__OPERATION__OP_PRIVACY_SET,
    HYPERMESH__OPERATION__OP_ALLOCATE,       HYPERMESH__OPERATION__OP_ALLOCATE,
    HYPERMESH__OPERATION__OP_ALLOCATE,       HYPERMESH__OPERATION__OP_ALLOCATE,
    HYPERMESH__OPERATION__OP_ALLOCATE,       HYPERMESH__OPERATION__OP_ALLOCATE,
    HYPERMESH__OPERATION__OP_RENEW,          HYPERMESH__OPERATION__OP_RENEW,
    HYPERMESH__OPERATION__OP_RELEASE,        HYPERMESH__OPERATION__OP_SETTLE,
    HYPERMESH__OPERATION__OP_SETTLE,         HYPERMESH__OPERATION__OP_NETWORK_CREATE,
    HYPERMESH__OPERATION__OP_NETWORK_JOIN,   HYPERMESH__OPERATION__OP_NETWORK_JOIN,
    HYPERMESH__OPERATION__OP_NETWORK_LEAVE,  HYPERMESH__OPERATION__OP_NETWORK_INVITE,
    HYPERMESH__OPERATION__OP_NETWORK_EXPEL,  HYPERMESH__OPERATION__OP_NETWORK_DISSOLVE,
    HYPERMESH__OPERATION__OP_PEERS_SET,      HYPERMESH__OPERATION__OP_PROXY_SET,
    HYPERMESH__OPERATION__OP_CHALLENGE_OPEN, HYPERMESH__OPERATION__OP_CHALLENGE_OPEN,
    HYPERMESH__OPERATION__OP_CHALLENGE_OPEN, HYPERMESH__OPERATION__OP_CHALLENGE_ANSWER,
};

static bool kind_of_lease(unsigned kind)
{
    return kind == HYPERMESH__OPERATION__OP_RENEW || kind == HYPERMESH__OPERATION__OP_RELEASE ||
           kind == HYPERMESH__OPERATION__OP_SETTLE;
}

/* A lease of an earlier block, mostly a young one, mostly by somebody it concerns. */
static void pick_lease(struct scenario *scenario, struct model_op *op)
{
    size_t back = below(scenario, scenario->leases_known < 6 ? scenario->leases_known : 6);
    const struct model_lease *lease;

    op->lease = scenario->leases_known - 1 - back;
    lease = &scenario->model->leases[op->lease];
    if (below(scenario, 5) == 0)
        return;
    op->who = op->kind == HYPERMESH__OPERATION__OP_SETTLE ? lease->provider : lease->consumer;
}

static bool kind_of_network(unsigned kind)
{
    return kind > HYPERMESH__OPERATION__OP_NETWORK_CREATE &&
           kind <= HYPERMESH__OPERATION__OP_NETWORK_DISSOLVE;
}

/* A network of an earlier block, mostly one that is still there, mostly by somebody who may. */
static void pick_network(struct scenario *scenario, struct model_op *op)
{
    const struct model_network *network;

    for (size_t i = 0; i < 6; i++) {
        op->network = below(scenario, scenario->networks_known);
        if (!scenario->model->networks[op->network].gone)
            break;
    }
    network = &scenario->model->networks[op->network];
    if (below(scenario, 5) == 0)
        return;
    switch (op->kind) {
    case HYPERMESH__OPERATION__OP_NETWORK_INVITE:
    case HYPERMESH__OPERATION__OP_NETWORK_EXPEL:
    case HYPERMESH__OPERATION__OP_NETWORK_DISSOLVE:
        op->who = network->owner;
        break;
    default:
        break;
    }
}

/* Of the node's space, or of a lease that was settled a short while ago. */
static void pick_challenge(struct scenario *scenario, struct model_op *op)
{
    const struct model *model = scenario->model;

    op->flag = scenario->leases_known == 0 || below(scenario, 4) == 0;
    op->to = below(scenario, 8) ? NODE : op->to;
    if (op->flag)
        return;
    for (size_t i = 0; i < 40; i++) {
        op->lease = scenario->leases_known - 1 -
                    below(scenario, scenario->leases_known < 40 ? scenario->leases_known : 40);
        const struct model_lease *lease = &model->leases[op->lease];

        /* Now and then one that the provider leased from itself, which is refused. */
        if (lease->has_result && !lease->refuted &&
            (lease->consumer != lease->provider || below(scenario, 8) == 0))
            break;
    }
    if (below(scenario, 8))
        op->to = model->leases[op->lease].provider;
}

/* Two of three challenges of results are forgotten: not even the node answers them. */
static bool is_forgotten(const struct model *model, size_t number)
{
    return !model->challenges[number].space && number % 3 != 0;
}

/* An answer about a result; space is answered in time always (plan_space_answers). */
static void pick_answer(struct scenario *scenario, struct model_op *op)
{
    const struct model *model = scenario->model;

    op->flag = below(scenario, 2);
    op->challenge = below(scenario, scenario->challenges_known);
    for (size_t i = 0; i < scenario->challenges_known; i++) {
        const struct model_challenge *challenge = &model->challenges[i];

        if (challenge->state == HYPERMESH__CHALLENGE_STATE__CHALLENGE_OPEN && !challenge->space &&
            !is_forgotten(model, i))
            op->challenge = i;
    }
    if (below(scenario, 6) && !is_forgotten(model, op->challenge))
        op->who = model->challenges[op->challenge].node;
    else if (is_forgotten(model, op->challenge))
        op->who = model->challenges[op->challenge].challenger;
}

static void pick_assets(struct scenario *scenario, struct model_op *op)
{
    op->items = below(scenario, 2) ? 1 : 1 + below(scenario, MODEL_ITEMS_MAX);
    op->assets[0] = (unsigned)below(scenario, MODEL_ASSETS);
    /* Mostly one that is offered. */
    for (size_t i = 0; i < 4 && !scenario->model->assets[op->assets[0]].active; i++)
        op->assets[0] = (unsigned)below(scenario, MODEL_ASSETS);
    for (size_t i = 1; i < op->items; i++) {
        unsigned other = (unsigned)below(scenario, MODEL_DEVICES);

        op->assets[i] = op->assets[0] / MODEL_DEVICES * MODEL_DEVICES + other;
    }
    if (op->kind == HYPERMESH__OPERATION__OP_ASSET_REGISTER)
        op->assets[0] = op->who * MODEL_DEVICES + (unsigned)below(scenario, MODEL_DEVICES);
    else if (op->kind != HYPERMESH__OPERATION__OP_ALLOCATE && below(scenario, 4))
        op->who = scenario->model->assets[op->assets[0]].owner;
}

static void plan_op(struct scenario *scenario, struct model_op *op, unsigned kind, unsigned who)
{
    *op = (struct model_op){.kind = kind, .who = who};
    op->to = (unsigned)below(scenario, MODEL_PEOPLE);
    op->amount = amount(scenario);
    op->flag = below(scenario, 2);
    pick_privacy(scenario, &op->privacy);
    switch (kind) {
    case HYPERMESH__OPERATION__OP_TRANSFER:
        op->caes = below(scenario, 3) == 0;
        break;
    case HYPERMESH__OPERATION__OP_ASSET_UPDATE:
        op->amount = 3999 + below(scenario, 3);
        op->second = below(scenario, 60 * FIXTURE_HYPER);
        break;
    case HYPERMESH__OPERATION__OP_ALLOCATE:
        op->share = (uint32_t)(1 + below(scenario, below(scenario, 6) ? 300000 : 1100000));
        op->amount = below(scenario, 20) ? 1 + below(scenario, 60000) : 600001;
        break;
    case HYPERMESH__OPERATION__OP_UNBOND:
        op->amount /= 4;
        break;
    case HYPERMESH__OPERATION__OP_RENEW:
        op->amount = below(scenario, 60000);
        break;
    case HYPERMESH__OPERATION__OP_PEERS_SET:
    case HYPERMESH__OPERATION__OP_PROXY_SET:
        op->privacy.accounts = (unsigned)below(scenario, 1U << MODEL_PEOPLE);
        break;
    default:
        break;
    }
    if (kind_of_lease(kind))
        pick_lease(scenario, op);
    else if (kind_of_network(kind))
        pick_network(scenario, op);
    else if (kind == HYPERMESH__OPERATION__OP_CHALLENGE_OPEN)
        pick_challenge(scenario, op);
    else if (kind == HYPERMESH__OPERATION__OP_CHALLENGE_ANSWER)
        pick_answer(scenario, op);
    else if (kind < HYPERMESH__OPERATION__OP_NETWORK_CREATE)
        pick_assets(scenario, op);
}

/* Is there what such an operation is about? */
static bool kind_possible(const struct scenario *scenario, unsigned kind)
{
    if (kind_of_lease(kind))
        return scenario->leases_known > 0;
    if (kind_of_network(kind))
        return scenario->networks_known > 0;
    if (kind == HYPERMESH__OPERATION__OP_CHALLENGE_ANSWER) {
        for (size_t i = 0; i < scenario->challenges_known; i++) {
            if (!scenario->model->challenges[i].space)
                return true;
        }
        return false;
    }
    return kind != HYPERMESH__OPERATION__OP_NETWORK_CREATE ||
           scenario->model->network_count + TXS_MAX * OPS_MAX < MODEL_NETWORKS_MAX;
}

static void asset_id(struct scenario *scenario, unsigned number, uint8_t id[32])
{
    char name[16];

    (void)snprintf(name, sizeof name, "device%u", number % MODEL_DEVICES);
    fixture_asset_id(scenario->fixture, (enum fixture_role)(number / MODEL_DEVICES), name, id);
}

static void privacy_fill(struct scenario *scenario, const struct model_privacy *from,
                         Hypermesh__Privacy *to)
{
    to->reward_waived_ppm = from->waived;
    for (size_t i = 0; i < from->network_count; i++)
        privacy_network(scenario->fixture, to, scenario->model->networks[from->networks[i]].id);
    for (unsigned i = 0; i < MODEL_PEOPLE; i++) {
        if (from->level == HYPERMESH__PRIVACY_LEVEL__P2P && (from->accounts >> i & 1))
            privacy_account(scenario->fixture, to, (enum fixture_role)i);
    }
}

static size_t people_of(unsigned bits, enum fixture_role who[MODEL_PEOPLE])
{
    size_t count = 0;

    for (unsigned i = 0; i < MODEL_PEOPLE; i++) {
        if (bits >> i & 1)
            who[count++] = (enum fixture_role)i;
    }
    return count;
}

static Hypermesh__Operation *wire_mesh_op(struct scenario *scenario, const struct model_op *op)
{
    struct fixture *f = scenario->fixture;
    const uint8_t *net = scenario->model->networks[op->network].id;
    const struct model_challenge *challenge = &scenario->model->challenges[op->challenge];
    enum fixture_role to = (enum fixture_role)op->to;
    enum fixture_role who[MODEL_PEOPLE];
    size_t count = people_of(op->privacy.accounts, who);

    switch (op->kind) {
    case HYPERMESH__OPERATION__OP_NETWORK_CREATE:
        return op_network(f, "net", op->flag);
    case HYPERMESH__OPERATION__OP_NETWORK_JOIN:
        return op_join(f, net);
    case HYPERMESH__OPERATION__OP_NETWORK_LEAVE:
        return op_leave(f, net);
    case HYPERMESH__OPERATION__OP_NETWORK_INVITE:
        return op_invite(f, net, to);
    case HYPERMESH__OPERATION__OP_NETWORK_EXPEL:
        return op_expel(f, net, to);
    case HYPERMESH__OPERATION__OP_NETWORK_DISSOLVE:
        return op_dissolve(f, net);
    case HYPERMESH__OPERATION__OP_PEERS_SET:
        return op_peers(f, who, count);
    case HYPERMESH__OPERATION__OP_PROXY_SET:
        return op_proxy(f, op->flag, who, count);
    case HYPERMESH__OPERATION__OP_CHALLENGE_OPEN:
        return op_challenge(f, to, op->flag ? NULL : scenario->model->leases[op->lease].id);
    default:
        return challenge->space
                   ? op_answer_space(f, challenge->id)
                   : op_answer_result(f, challenge->id, "", op->flag ? "manifest" : "other");
    }
}

static Hypermesh__Operation *wire_op(struct scenario *scenario, const struct model_op *op)
{
    struct fixture *f = scenario->fixture;
    const struct model_lease *lease = &scenario->model->leases[op->lease];
    enum fixture_role to = (enum fixture_role)op->to;
    Hypermesh__Operation *made;
    uint8_t ids[MODEL_ITEMS_MAX][32];
    char name[16];

    for (size_t i = 0; i < MODEL_ITEMS_MAX; i++)
        asset_id(scenario, op->assets[i], ids[i]);
    switch (op->kind) {
    case HYPERMESH__OPERATION__OP_TRANSFER:
        return op->caes ? op_transfer_caes(f, to, op->amount) : op_transfer(f, to, op->amount);
    case HYPERMESH__OPERATION__OP_BOND:
        return op_bond(f, op->amount);
    case HYPERMESH__OPERATION__OP_UNBOND:
        return op_unbond(f, op->amount);
    case HYPERMESH__OPERATION__OP_ASSET_REGISTER:
        (void)snprintf(name, sizeof name, "device%u", op->assets[0] % MODEL_DEVICES);
        made = op_register(f, name, op->amount, op->privacy.level);
        privacy_fill(scenario, &op->privacy, made->asset_register->privacy);
        return made;
    case HYPERMESH__OPERATION__OP_ASSET_UPDATE:
        return op_update(f, ids[0], op->amount, op->second);
    case HYPERMESH__OPERATION__OP_ASSET_TRANSFER:
        return op_give(f, ids[0], to);
    case HYPERMESH__OPERATION__OP_ASSET_RETIRE:
        return op_retire(f, ids[0]);
    case HYPERMESH__OPERATION__OP_PRIVACY_SET:
        made = op_privacy(f, ids[0], op->privacy.level);
        privacy_fill(scenario, &op->privacy, made->privacy_set->privacy);
        return made;
    case HYPERMESH__OPERATION__OP_ALLOCATE:
        return op_allocate(f, (const uint8_t(*)[32])ids, op->items, op->share, op->amount);
    case HYPERMESH__OPERATION__OP_RENEW:
        return op_renew(f, lease->id, op->amount);
    case HYPERMESH__OPERATION__OP_RELEASE:
        return op_free(f, lease->id);
    case HYPERMESH__OPERATION__OP_SETTLE:
        return op->flag ? op_settle_result(f, lease->id, "manifest") : op_settle(f, lease->id);
    default:
        return wire_mesh_op(scenario, op);
    }
}

static void plan_tx(struct scenario *scenario)
{
    struct planned *planned = &scenario->planned[scenario->tx_count];
    Hypermesh__Operation *ops[OPS_MAX];
    unsigned who = (unsigned)below(scenario, MODEL_PEOPLE);

    planned->count = below(scenario, 3) ? 1 : 1 + below(scenario, OPS_MAX);
    for (size_t i = 0; i < planned->count; i++) {
        unsigned kind;

        do
            kind = kinds[below(scenario, HM_COUNT_OF(kinds))];
        while (!kind_possible(scenario, kind));
        plan_op(scenario, &planned->ops[i], kind, who);
        /* The first operation says who acts; the others are his too. */
        if (i == 0)
            who = planned->ops[0].who;
        planned->ops[i].who = who;
        ops[i] = wire_op(scenario, &planned->ops[i]);
    }
    scenario->txs[scenario->tx_count++] = fixture_tx(scenario->fixture, (enum fixture_role)who, ops,
                                                     planned->count);
}

/* The node loses its plot when it does not show it, and then no batch of a block would be taken. */
static void plan_space_answers(struct scenario *scenario)
{
    struct planned *planned = &scenario->planned[scenario->tx_count];
    Hypermesh__Operation *ops[OPS_MAX];

    planned->count = 0;
    for (size_t i = 0; i < scenario->challenges_known && planned->count < OPS_MAX; i++) {
        const struct model_challenge *challenge = &scenario->model->challenges[i];

        if (!challenge->space || challenge->state != HYPERMESH__CHALLENGE_STATE__CHALLENGE_OPEN)
            continue;
        planned->ops[planned->count] = (struct model_op){
            .kind = HYPERMESH__OPERATION__OP_CHALLENGE_ANSWER,
            .who = NODE,
            .challenge = i,
            .flag = true};
        ops[planned->count] = wire_op(scenario, &planned->ops[planned->count]);
        planned->count++;
    }
    if (planned->count > 0)
        scenario->txs[scenario->tx_count++] = fixture_tx(scenario->fixture, NODE, ops,
                                                         planned->count);
}

static void differ(const struct planned *planned, const Hypermesh__TxResult *result, int code,
                   size_t failed)
{
    (void)fprintf(stderr,
                  "first operation %u: the ledger says %d at %u (%s), the model %d at %zu\n",
                  planned->ops[0].kind, result->code, result->op, result->text, code, failed);
    abort();
}

static void tx_compare(struct scenario *scenario, size_t number)
{
    const Hypermesh__TxResult *result = scenario->fixture->record->results[number];
    const struct planned *planned = &scenario->planned[number];
    struct model *model = scenario->model;
    size_t leases = model->lease_count;
    size_t networks = model->network_count;
    size_t challenges = model->challenge_count;
    size_t created = 0;
    size_t failed = 0;
    int code = model_apply(model, planned->ops, planned->count, result->fee, &failed);

    if (result->code != code || (code && result->op != failed) || result->fee == 0)
        differ(planned, result, code, failed);
    scenario->counts->txs++;
    scenario->counts->good += code == 0;
    scenario->counts->failed += code != 0;
    for (size_t i = 0; code == 0 && i < planned->count; i++) {
        unsigned kind = planned->ops[i].kind;

        scenario->counts->good_of_kind[kind]++;
        if (kind == HYPERMESH__OPERATION__OP_ALLOCATE)
            memcpy(model->leases[leases++].id, result->created[created++].data, 32);
        else if (kind == HYPERMESH__OPERATION__OP_NETWORK_CREATE)
            memcpy(model->networks[networks++].id, result->created[created++].data, 32);
        else if (kind == HYPERMESH__OPERATION__OP_CHALLENGE_OPEN)
            memcpy(model->challenges[challenges++].id, result->created[created++].data, 32);
        else if (kind == HYPERMESH__OPERATION__OP_ASSET_REGISTER)
            created++;
    }
    if (created != result->n_created)
        differ(planned, result, code, created);
}

static void block_run(struct scenario *scenario)
{
    struct fixture *fixture = scenario->fixture;
    size_t txs = below(scenario, TXS_MAX + 1);
    size_t ended;
    size_t silent;

    scenario->leases_known = scenario->model->lease_count;
    scenario->networks_known = scenario->model->network_count;
    scenario->challenges_known = scenario->model->challenge_count;
    scenario->tx_count = 0;
    fixture->next_ms += below(scenario, 20000);
    plan_space_answers(scenario);
    while (scenario->tx_count < txs)
        plan_tx(scenario);
    txs = scenario->tx_count;
    model_begin(scenario->model, fixture->next_ms, &ended, &silent);
    if (txs > 0 ? fixture_block_txs(fixture, scenario->txs, txs)
                : fixture_block(fixture, NULL, 0)) {
        (void)fprintf(stderr, "block failed: %s\n", fixture->error.text);
        abort();
    }
    if (fixture->record->n_expired != ended || fixture->record->n_silent != silent) {
        (void)fprintf(stderr,
                      "the ledger ended %zu leases and %zu challenges, the model %zu and %zu\n",
                      fixture->record->n_expired, fixture->record->n_silent, ended, silent);
        abort();
    }
    scenario->counts->expired += ended;
    scenario->counts->silent += silent;
    for (size_t i = 0; i < txs; i++)
        tx_compare(scenario, i);
}

void scenario_run(struct fixture *fixture, uint64_t seed, size_t blocks, scenario_block each,
                  void *ctx, struct scenario_counts *counts)
{
    struct scenario *scenario = calloc(1, sizeof *scenario);
    struct model *model = malloc(sizeof *model);

    if (!scenario || !model)
        abort();
    *counts = (struct scenario_counts){0};
    scenario->fixture = fixture;
    scenario->model = model;
    scenario->counts = counts;
    scenario->random = hm_random_seeded_source(&scenario->seeded, seed);
    model_init(model, fixture);
    for (size_t i = 0; i < blocks; i++) {
        block_run(scenario);
        each(fixture, model, ctx);
        fixture_forget(fixture);
    }
    free(model);
    free(scenario);
}
