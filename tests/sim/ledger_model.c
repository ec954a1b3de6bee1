#include "ledger_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

__extension__ typedef unsigned __int128 model_wide;

/* --- money --- */

void model_touch(struct model *model, unsigned who)
{
    struct model_person *person = &model->people[who];
    size_t kept = 0;

    for (size_t i = 0; i < person->unbonding_count; i++) {
        if (person->free_ms[i] <= model->now_ms) {
            person->hyper += person->unbonding[i];
            continue;
        }
        person->unbonding[kept] = person->unbonding[i];
        person->free_ms[kept++] = person->free_ms[i];
    }
    person->unbonding_count = kept;
}

static uint64_t item_cost(const struct model_lease *lease, size_t item, uint64_t duration)
{
    model_wide part = (model_wide)lease->prices[item] * lease->share * duration;
    model_wide hour = (model_wide)3600000 * 1000000;

    return (uint64_t)((part + hour - 1) / hour);
}

static uint64_t lease_cost(const struct model_lease *lease, uint64_t duration)
{
    uint64_t cost = 0;

    for (size_t i = 0; i < lease->items; i++)
        cost += item_cost(lease, i, duration);
    return cost;
}

/* What the asset's active leases hold, counted anew each time. */
static uint64_t asset_leased(const struct model *model, unsigned asset, unsigned *leases)
{
    uint64_t leased = 0;

    *leases = 0;
    for (size_t i = 0; i < model->lease_count; i++) {
        const struct model_lease *lease = &model->leases[i];

        for (size_t j = 0; j < lease->items; j++) {
            if (lease->state == HYPERMESH__LEASE_STATE__LEASE_ACTIVE && lease->assets[j] == asset) {
                leased += lease->share;
                ++*leases;
            }
        }
    }
    return leased;
}

static unsigned assets_owned(const struct model *model, unsigned who)
{
    unsigned count = 0;

    for (size_t i = 0; i < MODEL_ASSETS; i++)
        count += model->assets[i].active && model->assets[i].owner == who;
    return count;
}

static void lease_end(struct model *model, struct model_lease *lease, Hypermesh__LeaseState state)
{
    uint64_t escrow = lease_cost(lease, lease->expires_ms - lease->start_ms);
    uint64_t until = model->now_ms < lease->expires_ms ? model->now_ms : lease->expires_ms;
    uint64_t paid = lease_cost(lease, until - lease->start_ms);

    model->people[lease->provider].hyper += paid;
    model->people[lease->consumer].hyper += escrow - paid;
    if (lease->provider != lease->consumer) {
        for (size_t i = 0; i < lease->items; i++)
            lease->reward += item_cost(lease, i, until - lease->start_ms) * lease->rewards[i] /
                             1000000;
        model->people[lease->provider].caes += lease->reward;
        model->minted += lease->reward;
    }
    lease->paid = paid;
    lease->state = state;
}

void model_begin(struct model *model, uint64_t now_ms, size_t *leases, size_t *challenges)
{
    size_t ended = 0;

    model->now_ms = now_ms;
    for (size_t i = 0; i < model->lease_count; i++) {
        struct model_lease *lease = &model->leases[i];

        if (lease->state == HYPERMESH__LEASE_STATE__LEASE_ACTIVE && lease->expires_ms <= now_ms) {
            lease_end(model, lease, HYPERMESH__LEASE_STATE__LEASE_EXPIRED);
            ended++;
        }
    }
    *leases = ended;
    *challenges = model_challenges_end(model);
}

/* --- operations --- */

static int do_transfer(struct model *model, const struct model_op *op)
{
    struct model_person *from = &model->people[op->who];
    struct model_person *to = &model->people[op->to];

    if (op->amount == 0)
        return HM_EINVAL;
    if ((op->caes ? from->caes : from->hyper) < op->amount)
        return HM_EFUNDS;
    *(op->caes ? &from->caes : &from->hyper) -= op->amount;
    *(op->caes ? &to->caes : &to->hyper) += op->amount;
    return 0;
}

static int do_bond(struct model *model, const struct model_op *op)
{
    struct model_person *person = &model->people[op->who];

    if (op->amount == 0)
        return HM_EINVAL;
    if (person->hyper < op->amount)
        return HM_EFUNDS;
    person->hyper -= op->amount;
    person->bonded += op->amount;
    return 0;
}

/* What the challenges that wait for an answer could take. */
static uint64_t unbond_floor(const struct model *model, unsigned who)
{
    const struct model_person *person = &model->people[who];
    uint64_t whole = person->bonded;
    uint64_t taken;

    for (size_t i = 0; i < person->unbonding_count; i++)
        whole += person->unbonding[i];
    taken = whole / 10 * model_challenges_open(model, who);
    return taken < whole ? taken : whole;
}

static int do_unbond(struct model *model, const struct model_op *op)
{
    struct model_person *person = &model->people[op->who];

    if (op->amount == 0)
        return HM_EINVAL;
    if (person->bonded < op->amount)
        return HM_EFUNDS;
    if (assets_owned(model, op->who) > 0 &&
        person->bonded - op->amount < model->params.bond_provider)
        return HM_ECONFLICT;
    if (person->bonded - op->amount < unbond_floor(model, op->who))
        return HM_ECONFLICT;
    if (person->unbonding_count == MODEL_UNBONDING_MAX)
        return HM_ELIMIT;
    person->bonded -= op->amount;
    person->unbonding[person->unbonding_count] = op->amount;
    person->free_ms[person->unbonding_count++] = model->now_ms + model->params.unbond_delay_ms;
    return 0;
}

static int do_register(struct model *model, const struct model_op *op)
{
    struct model_asset *asset = &model->assets[op->assets[0]];
    int rc = model_privacy_check(model, &op->privacy, op->who);

    if (rc)
        return rc;
    if (model->people[op->who].bonded < model->params.bond_provider)
        return HM_EPROOF_STAKE;
    if (asset->known && asset->active)
        return HM_EEXIST;
    *asset = (struct model_asset){.known = true,
                                  .active = true,
                                  .owner = op->who,
                                  .capacity = 4000,
                                  .price = op->amount,
                                  .privacy = op->privacy};
    return 0;
}

static int owned(const struct model *model, const struct model_op *op)
{
    const struct model_asset *asset = &model->assets[op->assets[0]];

    if (!asset->known)
        return HM_ENOTFOUND;
    if (asset->owner != op->who)
        return HM_EPERM;
    return asset->active ? 0 : HM_ECONFLICT;
}

static int do_change(struct model *model, const struct model_op *op)
{
    struct model_asset *asset = &model->assets[op->assets[0]];
    unsigned leases;
    int rc = owned(model, op);

    if (rc)
        return rc;
    (void)asset_leased(model, op->assets[0], &leases);
    switch (op->kind) {
    case HYPERMESH__OPERATION__OP_ASSET_UPDATE:
        if (op->amount == 0)
            return HM_EINVAL;
        if (op->amount < asset->capacity && leases > 0)
            return HM_ECONFLICT;
        asset->capacity = op->amount;
        asset->price = op->second;
        return 0;
    case HYPERMESH__OPERATION__OP_ASSET_TRANSFER:
        if (leases > 0)
            return HM_ECONFLICT;
        if (op->to == op->who)
            return HM_EINVAL;
        if (model->people[op->to].bonded < model->params.bond_provider)
            return HM_EPROOF_STAKE;
        asset->owner = op->to;
        return 0;
    case HYPERMESH__OPERATION__OP_ASSET_RETIRE:
        if (leases > 0)
            return HM_ECONFLICT;
        asset->active = false;
        return 0;
    default:
        rc = model_privacy_check(model, &op->privacy, op->who);
        if (rc == 0)
            asset->privacy = op->privacy;
        return rc;
    }
}

static int admits(const struct model *model, const struct model_asset *asset, unsigned who)
{
    return model_privacy_admits(model, &asset->privacy, asset->owner, who);
}

/* A tenth of what is paid in public, less by level, less what the owner forgoes. */
static uint64_t reward_ppm(const struct model_asset *asset)
{
    static const uint64_t levels[] = {0, 25000, 50000, 75000, 100000};

    return levels[asset->privacy.level - 1] * (1000000 - asset->privacy.waived) / 1000000;
}

static int do_allocate(struct model *model, const struct model_op *op)
{
    struct model_lease lease = {.consumer = op->who,
                                .share = op->share,
                                .items = op->items,
                                .start_ms = model->now_ms,
                                .expires_ms = model->now_ms + op->amount,
                                .state = HYPERMESH__LEASE_STATE__LEASE_ACTIVE};
    uint64_t cost;

    if (op->items == 0)
        return HM_ELIMIT;
    if (op->amount == 0)
        return HM_EINVAL;
    if (op->amount > model->params.max_lease_ms)
        return HM_ELIMIT;
    for (size_t i = 0; i < op->items; i++) {
        if (op->share == 0 || op->share > 1000000)
            return HM_EINVAL;
        for (size_t j = 0; j < i; j++) {
            if (op->assets[i] == op->assets[j])
                return HM_EINVAL;
        }
    }
    if (model->people[op->who].bonded < model->params.bond_consumer)
        return HM_EPROOF_STAKE;
    for (size_t i = 0; i < op->items; i++) {
        const struct model_asset *asset = &model->assets[op->assets[i]];
        unsigned leases;
        int rc;

        if (!asset->known)
            return HM_ENOTFOUND;
        if (!asset->active)
            return HM_ECONFLICT;
        if (asset->owner != model->assets[op->assets[0]].owner)
            return HM_EINVAL;
        rc = admits(model, asset, op->who);
        if (rc)
            return rc;
        if (asset_leased(model, op->assets[i], &leases) + op->share > 1000000)
            return HM_ECONFLICT;
        lease.assets[i] = op->assets[i];
        lease.prices[i] = asset->price;
        lease.rewards[i] = reward_ppm(asset);
        lease.provider = asset->owner;
    }
    cost = lease_cost(&lease, op->amount);
    if (model->people[op->who].hyper < cost)
        return HM_EFUNDS;
    model->people[op->who].hyper -= cost;
    if (model->lease_count == MODEL_LEASES_MAX)
        abort();
    model->leases[model->lease_count++] = lease;
    return 0;
}

static int do_renew(struct model *model, const struct model_op *op)
{
    struct model_lease *lease = &model->leases[op->lease];
    uint64_t length = lease->expires_ms - lease->start_ms;
    uint64_t more;

    if (lease->consumer != op->who)
        return HM_EPERM;
    if (lease->state != HYPERMESH__LEASE_STATE__LEASE_ACTIVE)
        return HM_ECONFLICT;
    if (op->amount == 0)
        return HM_EINVAL;
    if (model->people[op->who].bonded < model->params.bond_consumer)
        return HM_EPROOF_STAKE;
    if (length + op->amount > model->params.max_lease_ms)
        return HM_ELIMIT;
    for (size_t i = 0; i < lease->items; i++) {
        const struct model_asset *asset = &model->assets[lease->assets[i]];
        int rc;

        if (asset->price > lease->prices[i])
            return HM_ECONFLICT;
        rc = admits(model, asset, op->who);
        if (rc)
            return rc;
    }
    more = lease_cost(lease, length + op->amount) - lease_cost(lease, length);
    if (model->people[op->who].hyper < more)
        return HM_EFUNDS;
    model->people[op->who].hyper -= more;
    lease->expires_ms += op->amount;
    return 0;
}

static int do_end(struct model *model, const struct model_op *op)
{
    struct model_lease *lease = &model->leases[op->lease];
    bool active = lease->state == HYPERMESH__LEASE_STATE__LEASE_ACTIVE;

    if (op->kind == HYPERMESH__OPERATION__OP_RELEASE) {
        if (lease->consumer != op->who)
            return HM_EPERM;
        if (!active)
            return HM_ECONFLICT;
        lease_end(model, lease, HYPERMESH__LEASE_STATE__LEASE_RELEASED);
        return 0;
    }
    if (lease->provider != op->who)
        return HM_EPERM;
    if (lease->settled)
        return HM_ECONFLICT;
    if (active)
        lease_end(model, lease, HYPERMESH__LEASE_STATE__LEASE_SETTLED);
    lease->settled = true;
    lease->has_result = op->flag;
    lease->settled_ms = model->now_ms;
    return 0;
}

static int do_one(struct model *model, const struct model_op *op)
{
    model_touch(model, op->who);
    switch (op->kind) {
    case HYPERMESH__OPERATION__OP_TRANSFER:
        return do_transfer(model, op);
    case HYPERMESH__OPERATION__OP_BOND:
        return do_bond(model, op);
    case HYPERMESH__OPERATION__OP_UNBOND:
        return do_unbond(model, op);
    case HYPERMESH__OPERATION__OP_ASSET_REGISTER:
        return do_register(model, op);
    case HYPERMESH__OPERATION__OP_ALLOCATE:
        return do_allocate(model, op);
    case HYPERMESH__OPERATION__OP_RENEW:
        return do_renew(model, op);
    case HYPERMESH__OPERATION__OP_RELEASE:
    case HYPERMESH__OPERATION__OP_SETTLE:
        return do_end(model, op);
    case HYPERMESH__OPERATION__OP_CHALLENGE_OPEN:
    case HYPERMESH__OPERATION__OP_CHALLENGE_ANSWER:
        return model_challenge_op(model, op);
    case HYPERMESH__OPERATION__OP_ASSET_UPDATE:
    case HYPERMESH__OPERATION__OP_ASSET_TRANSFER:
    case HYPERMESH__OPERATION__OP_ASSET_RETIRE:
    case HYPERMESH__OPERATION__OP_PRIVACY_SET:
        return do_change(model, op);
    default:
        return model_network_op(model, op);
    }
}

int model_apply(struct model *model, const struct model_op *ops, size_t count, uint64_t fee,
                size_t *failed)
{
    struct model *before;

    model_touch(model, ops[0].who);
    model->people[ops[0].who].hyper -= fee;
    model->burnt += fee;
    before = malloc(sizeof *before);
    if (!before)
        abort();
    *before = *model;
    for (size_t i = 0; i < count; i++) {
        int rc = do_one(model, &ops[i]);

        if (rc) {
            *model = *before;
            free(before);
            *failed = i;
            return rc;
        }
    }
    free(before);
    return 0;
}

/* --- comparing --- */

void model_same(uint64_t ledger, uint64_t model, const char *what, size_t number)
{
    if (ledger == model)
        return;
    (void)fprintf(stderr, "%s %zu: the ledger has %" PRIu64 ", the model %" PRIu64 "\n", what,
                  number, ledger, model);
    abort();
}

void model_init(struct model *model, struct fixture *fixture)
{
    *model = (struct model){.params = fixture->params};
    for (unsigned i = 0; i < MODEL_PEOPLE; i++) {
        const Hypermesh__Account *account = fixture_account(fixture, (enum fixture_role)i);

        model->people[i].hyper = account->hyper;
        model->people[i].bonded = account->bonded;
    }
    model->burnt = fixture_supply(fixture)->hyper_burnt;
}

/* What is free by now is free, whether or not somebody has touched the account since. */
static uint64_t free_by_now(const Hypermesh__Account *account, uint64_t now_ms, uint64_t *waiting)
{
    uint64_t sum = account->hyper;

    *waiting = 0;
    for (size_t i = 0; i < account->n_unbonding; i++) {
        if (account->unbonding[i]->free_ms <= now_ms)
            sum += account->unbonding[i]->amount;
        else
            *waiting += account->unbonding[i]->amount;
    }
    return sum;
}

static void compare_person(struct model *model, struct fixture *fixture, unsigned who)
{
    const Hypermesh__Account *account = fixture_account(fixture, (enum fixture_role)who);
    const struct model_person *person;
    uint64_t waiting;
    uint64_t queued = 0;

    model_touch(model, who);
    person = &model->people[who];
    model_same(free_by_now(account, model->now_ms, &waiting), person->hyper, "balance of person",
               who);
    for (size_t i = 0; i < person->unbonding_count; i++)
        queued += person->unbonding[i];
    model_same(waiting, queued, "unbonding of person", who);
    model_same(account->bonded, person->bonded, "bond of person", who);
    model_same(account->caes, person->caes, "CAES of person", who);
    model_same(account->assets, assets_owned(model, who), "assets of person", who);
    model_same(account->deposits, person->deposits, "deposits of person", who);
}

static void compare_asset(struct model *model, struct fixture *fixture, unsigned number)
{
    const struct model_asset *asset = &model->assets[number];
    const Hypermesh__Asset *real;
    uint8_t id[32];
    char name[16];
    unsigned leases;

    (void)snprintf(name, sizeof name, "device%u", number % MODEL_DEVICES);
    fixture_asset_id(fixture, (enum fixture_role)(number / MODEL_DEVICES), name, id);
    real = fixture_asset(fixture, id);
    model_same(real != NULL, asset->known, "existence of asset", number);
    if (!real)
        return;
    model_same(real->state == HYPERMESH__ASSET_STATE__ACTIVE, asset->active, "state of asset",
               number);
    model_same(real->leased_ppm, asset_leased(model, number, &leases), "share of asset", number);
    model_same(real->leases, leases, "leases of asset", number);
    model_same(real->leased_ppm <= 1000000, true, "limit of asset", number);
    model_same(real->price_per_hour, asset->price, "price of asset", number);
    model_same(real->capacity, asset->capacity, "capacity of asset", number);
    model_same(memcmp(real->owner.data, fixture->people[asset->owner].id, 32) == 0, true,
               "owner of asset", number);
}

static uint64_t compare_lease(const struct model *model, struct fixture *fixture, size_t number)
{
    const struct model_lease *lease = &model->leases[number];
    const Hypermesh__Lease *real = fixture_lease(fixture, lease->id);
    uint64_t whole = lease_cost(lease, lease->expires_ms - lease->start_ms);
    bool active = lease->state == HYPERMESH__LEASE_STATE__LEASE_ACTIVE;

    model_same(real != NULL, true, "existence of lease", number);
    model_same(real->state, lease->state, "state of lease", number);
    model_same(real->escrow, active ? whole : 0, "escrow of lease", number);
    model_same(real->paid, lease->paid, "payment of lease", number);
    model_same(real->paid + real->refunded, active ? 0 : whole, "sum of lease", number);
    model_same(real->reward_caes, lease->reward, "reward of lease", number);
    model_same(real->expires_ms, lease->expires_ms, "end of lease", number);
    model_same(real->settlement != NULL, lease->settled, "settlement of lease", number);
    model_same(real->refuted != 0, lease->refuted, "refutation of lease", number);
    return real->escrow;
}

void model_compare(struct model *model, struct fixture *fixture)
{
    const Hypermesh__Supply *supply = fixture_supply(fixture);
    uint64_t escrow = 0;

    for (unsigned i = 0; i < MODEL_PEOPLE; i++)
        compare_person(model, fixture, i);
    for (unsigned i = 0; i < MODEL_ASSETS; i++)
        compare_asset(model, fixture, i);
    for (size_t i = 0; i < model->lease_count; i++)
        escrow += compare_lease(model, fixture, i);
    model_same(supply->hyper_escrow, escrow, "escrow in all", 0);
    model_same(supply->hyper_burnt, model->burnt, "burnt in all", 0);
    model_same(supply->caes_minted, model->minted, "minted in all", 0);
    model_same(supply->hyper_burnt + supply->hyper_accounts + supply->hyper_bonded +
                   supply->hyper_escrow + supply->hyper_deposits,
               FIXTURE_SUPPLY, "HYPER in all", 0);
    model_mesh_compare(model, fixture);
}
