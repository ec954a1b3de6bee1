/* allocate, renew, release: what the consumer does with a lease. */
#include "ledger_op.h"

static int allocate_check(const struct ledger_act *act, const Hypermesh__Allocate *what,
                          struct hm_error *error)
{
    if (what->n_items == 0 || what->n_items > act->params->max_lease_items)
        return ledger_refuse(error, LEDGER_RULE_LEASE_ITEMS,
                             "a lease has 1 to %u items, this has %zu",
                             act->params->max_lease_items, what->n_items);
    if (what->duration_ms == 0)
        return ledger_refuse(error, LEDGER_RULE_LEASE_DURATION, "the duration is 0");
    if (what->duration_ms > act->params->max_lease_ms)
        return ledger_refuse(
            error, LEDGER_RULE_LEASE_DURATION_MAX, "a lease lasts at most %llu ms, this %llu",
            (unsigned long long)act->params->max_lease_ms, (unsigned long long)what->duration_ms);
    if (what->job.len != 0 && what->job.len != CRYPTO_HASH_BYTES)
        return ledger_refuse(error, LEDGER_RULE_LEASE_JOB,
                             "job has %zu bytes, must have none or %d", what->job.len,
                             CRYPTO_HASH_BYTES);
    for (size_t i = 0; i < what->n_items; i++) {
        uint32_t share = what->items[i]->share_ppm;

        if (share == 0 || share > LEDGER_SHARE_WHOLE)
            return ledger_refuse(error, LEDGER_RULE_LEASE_SHARE,
                                 "item %zu: share_ppm %u must be 1 to 1000000", i, share);
        for (size_t j = 0; j < i; j++) {
            if (ledger_id_equal(what->items[i]->asset, what->items[j]->asset))
                return ledger_refuse(error, LEDGER_RULE_LEASE_TWICE,
                                     "items %zu and %zu are the same asset", j, i);
        }
    }
    return 0;
}

/* Takes the share of one asset for the lease. */
static int item_take(struct ledger_act *act, Hypermesh__Lease *lease,
                     const Hypermesh__LeaseItem *item, uint64_t duration_ms,
                     Hypermesh__LeasedItem **out, struct hm_error *error)
{
    Hypermesh__LeasedItem *leased;
    Hypermesh__Asset *asset;
    void *memory;
    int rc = ledger_scope_asset(act->scope, item->asset, &asset, error);

    if (rc)
        return rc;
    if (!ledger_asset_active(asset))
        return ledger_refuse(error, LEDGER_RULE_ASSET_RETIRED, "the asset is retired");
    if (lease->provider.len == 0)
        lease->provider = asset->owner;
    if (!ledger_id_equal(lease->provider, asset->owner))
        return ledger_refuse(error, LEDGER_RULE_LEASE_OWNERS,
                             "the assets have different owners; lease from each of them apart");
    if (asset->price_per_hour > item->max_price_per_hour)
        return ledger_refuse(error, LEDGER_RULE_LEASE_PRICE,
                             "the asset costs %llu base units an hour, at most %llu are offered",
                             (unsigned long long)asset->price_per_hour,
                             (unsigned long long)item->max_price_per_hour);
    rc = ledger_act_admitted(act, asset, item->share_ppm, duration_ms, error);
    if (rc)
        return rc;
    rc = ledger_scope_alloc(act->scope, sizeof *leased, &memory, error);
    if (rc)
        return rc;
    leased = memory;
    *leased = (Hypermesh__LeasedItem)HYPERMESH__LEASED_ITEM__INIT;
    leased->asset = asset->id;
    leased->share_ppm = item->share_ppm;
    leased->price_per_hour = asset->price_per_hour;
    leased->kind = asset->kind;
    leased->reward_ppm = ledger_privacy_reward(act->params, asset->privacy);
    asset->leases++;
    asset->leased_ppm += item->share_ppm;
    *out = leased;
    rc = ledger_scope_list(act->scope, LEDGER_INDEX_LEASED, asset->id.data, lease->id.data, true,
                           error);
    if (rc)
        return rc;
    return ledger_scope_event(act->scope, asset, act->number, act->body->account, lease, error);
}

static int lease_new(struct ledger_act *act, const Hypermesh__Allocate *what,
                     Hypermesh__Lease **out, struct hm_error *error)
{
    const struct ledger_block *block = act->scope->block;
    uint8_t id[LEDGER_ID_BYTES];
    Hypermesh__Lease *lease;
    void *items;
    int rc;

    ledger_act_new_id(act, "hypermesh 1 lease", id);
    rc = ledger_scope_lease_new(act->scope, wire_bytes(id, sizeof id), &lease, error);
    if (rc)
        return rc;
    rc = ledger_scope_alloc(act->scope, what->n_items * sizeof(void *), &items, error);
    if (rc)
        return rc;
    lease->consumer = act->body->account;
    lease->items = items;
    lease->start_ms = block->time_ms;
    lease->expires_ms = block->time_ms + what->duration_ms;
    lease->state = HYPERMESH__LEASE_STATE__LEASE_ACTIVE;
    lease->job = what->job;
    lease->start_height = block->height;
    *out = lease;
    return 0;
}

int ledger_op_allocate(struct ledger_act *act, const Hypermesh__Operation *op,
                       struct hm_error *error)
{
    const Hypermesh__Allocate *what = op->allocate;
    Hypermesh__Lease *lease;
    uint64_t cost;
    int rc = allocate_check(act, what, error);

    if (rc)
        return rc;
    rc = ledger_act_stake(act, act->signer, act->params->bond_consumer, "lease", error);
    if (rc)
        return rc;
    rc = lease_new(act, what, &lease, error);
    if (rc)
        return rc;
    for (size_t i = 0; i < what->n_items; i++) {
        rc = item_take(act, lease, what->items[i], what->duration_ms, &lease->items[i], error);
        if (rc) {
            hm_error_prefix(error, rc, "item %zu", i);
            return rc;
        }
        lease->n_items = i + 1;
    }
    rc = ledger_lease_cost_of(lease, what->duration_ms, &cost, error);
    if (rc)
        return rc;
    rc = ledger_money_escrow(act->scope, act->signer, lease, cost, error);
    if (rc) {
        hm_error_prefix(error, rc, "escrow");
        return rc;
    }
    act->created = lease->id;
    return ledger_lease_list(act->scope, lease, true, error);
}

/* An active lease of the signer as its consumer. */
static int lease_consumed(struct ledger_act *act, ProtobufCBinaryData id, Hypermesh__Lease **out,
                          struct hm_error *error)
{
    Hypermesh__Lease *lease;
    int rc = ledger_scope_lease(act->scope, id, &lease, error);

    if (rc)
        return rc;
    if (!ledger_id_equal(lease->consumer, act->body->account))
        return ledger_refuse(error, LEDGER_RULE_LEASE_CONSUMER,
                             "the lease belongs to another account");
    if (lease->state != HYPERMESH__LEASE_STATE__LEASE_ACTIVE)
        return ledger_refuse(error, LEDGER_RULE_LEASE_ENDED, "the lease has ended: it is %s",
                             wire_lease_state_name(lease->state));
    *out = lease;
    return 0;
}

int ledger_op_release(struct ledger_act *act, const Hypermesh__Operation *op,
                      struct hm_error *error)
{
    Hypermesh__Lease *lease;
    int rc = lease_consumed(act, op->release->lease, &lease, error);

    if (rc)
        return rc;
    return ledger_lease_end(act->scope, lease, HYPERMESH__LEASE_STATE__LEASE_RELEASED, act->number,
                            act->body->account, error);
}

/* The owner's present terms hold for a renewal: who, how long in all, and not below today's price. */
static int renew_admitted(struct ledger_act *act, const Hypermesh__Lease *lease,
                          uint64_t duration_ms, struct hm_error *error)
{
    for (size_t i = 0; i < lease->n_items; i++) {
        Hypermesh__Asset *asset;
        int rc = ledger_scope_asset(act->scope, lease->items[i]->asset, &asset, error);

        if (rc)
            return rc;
        if (asset->price_per_hour > lease->items[i]->price_per_hour)
            return ledger_refuse(error, LEDGER_RULE_LEASE_PRICE,
                                 "the asset's price rose to %llu base units an hour; lease it anew",
                                 (unsigned long long)asset->price_per_hour);
        rc = ledger_act_admitted(act, asset, 0, duration_ms, error);
        if (rc)
            return rc;
        rc = ledger_scope_event(act->scope, asset, act->number, act->body->account, lease, error);
        if (rc)
            return rc;
    }
    return 0;
}

int ledger_op_renew(struct ledger_act *act, const Hypermesh__Operation *op, struct hm_error *error)
{
    uint64_t extra = op->renew->extra_ms;
    Hypermesh__Lease *lease;
    uint64_t duration;
    uint64_t cost;
    int rc = lease_consumed(act, op->renew->lease, &lease, error);

    if (rc)
        return rc;
    if (lease->expires_ms <= act->scope->block->time_ms)
        return ledger_refuse(error, LEDGER_RULE_LEASE_ENDED, "the lease has run out");
    if (extra == 0)
        return ledger_refuse(error, LEDGER_RULE_LEASE_DURATION, "extra_ms is 0");
    rc = ledger_act_stake(act, act->signer, act->params->bond_consumer, "lease", error);
    if (rc)
        return rc;
    if (!hm_add_u64(lease->expires_ms - lease->start_ms, extra, &duration) ||
        duration > act->params->max_lease_ms)
        return ledger_refuse(error, LEDGER_RULE_LEASE_DURATION_MAX,
                             "a lease lasts at most %llu ms in all",
                             (unsigned long long)act->params->max_lease_ms);
    rc = renew_admitted(act, lease, duration, error);
    if (rc)
        return rc;
    rc = ledger_lease_cost_of(lease, duration, &cost, error);
    if (rc)
        return rc;
    /* Escrow always covers the whole lease; costs only grow with the duration. */
    rc = ledger_money_escrow(act->scope, act->signer, lease, cost - lease->escrow, error);
    if (rc) {
        hm_error_prefix(error, rc, "escrow");
        return rc;
    }
    lease->expires_ms += extra;
    return 0;
}
