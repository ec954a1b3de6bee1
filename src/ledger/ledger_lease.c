/* What a lease costs, and how it ends: paid for the time used, the rest returned, the shares freed. */
#include "ledger_op.h"

int ledger_lease_list(struct ledger_scope *scope, const Hypermesh__Lease *lease, bool active,
                      struct hm_error *error)
{
    const uint8_t *parties[] = {lease->consumer.data, lease->provider.data, ledger_everybody};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < HM_COUNT_OF(parties); i++) {
        rc = ledger_scope_list(scope, LEDGER_INDEX_LEASE, parties[i], lease->id.data, active,
                               error);
        if (rc == 0 && active && parties[i] != ledger_everybody)
            rc = ledger_scope_list(scope, LEDGER_INDEX_LEASE_ALL, parties[i], lease->id.data, true,
                                   error);
    }
    return rc;
}

int ledger_lease_cost_of(const Hypermesh__Lease *lease, uint64_t duration_ms, uint64_t *cost,
                         struct hm_error *error)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < lease->n_items; i++) {
        const Hypermesh__LeasedItem *item = lease->items[i];
        uint64_t part;

        if (!ledger_lease_cost(&item->price_per_hour, &item->share_ppm, 1, duration_ms, &part) ||
            !hm_add_u64(sum, part, &sum))
            return ledger_refuse(error, LEDGER_RULE_LEASE_COST,
                                 "the lease would cost more than can be counted");
    }
    *cost = sum;
    return 0;
}

static int items_free(struct ledger_scope *scope, const Hypermesh__Lease *lease, uint32_t op,
                      ProtobufCBinaryData actor, struct hm_error *error)
{
    for (size_t i = 0; i < lease->n_items; i++) {
        const Hypermesh__LeasedItem *item = lease->items[i];
        Hypermesh__Asset *asset;
        int rc = ledger_scope_asset(scope, item->asset, &asset, error);

        if (rc)
            return rc == HM_ENOTFOUND
                       ? hm_fail(error, HM_ECORRUPT, "a lease names an asset that is not there")
                       : rc;
        if (asset->leases == 0 || asset->leased_ppm < item->share_ppm)
            return hm_fail(error, HM_EINTERNAL, "an asset has less leased than its leases hold");
        asset->leases--;
        asset->leased_ppm -= item->share_ppm;
        rc = ledger_scope_event(scope, asset, op, actor, lease, error);
        if (rc)
            return rc;
    }
    return 0;
}

/* What the items earn at the rates that held when they were leased, for the time that is paid. */
static uint64_t reward_of(const Hypermesh__Lease *lease, uint64_t duration_ms)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < lease->n_items; i++) {
        const Hypermesh__LeasedItem *item = lease->items[i];
        uint64_t paid;
        uint64_t part;

        if (!ledger_lease_cost(&item->price_per_hour, &item->share_ppm, 1, duration_ms, &paid) ||
            !hm_muldiv_u64(paid, item->reward_ppm, LEDGER_PPM, &part) ||
            !hm_add_u64(sum, part, &sum))
            return UINT64_MAX;
    }
    return sum;
}

/* CAES for the provider. Nobody earns by leasing from himself, and what is minted in all must fit. */
static int reward_mint(struct ledger_scope *scope, Hypermesh__Lease *lease,
                       Hypermesh__Account *provider, uint64_t duration_ms, struct hm_error *error)
{
    uint64_t left = UINT64_MAX - scope->supply.caes_minted;
    uint64_t reward;

    if (ledger_id_equal(lease->consumer, lease->provider))
        return 0;
    reward = reward_of(lease, duration_ms);
    if (reward > left)
        reward = left;
    lease->reward_caes = reward;
    return ledger_money_mint_caes(scope, provider, reward, error);
}

int ledger_lease_end(struct ledger_scope *scope, Hypermesh__Lease *lease,
                     Hypermesh__LeaseState state, uint32_t op, ProtobufCBinaryData actor,
                     struct hm_error *error)
{
    uint64_t now = scope->block->time_ms;
    uint64_t until = now < lease->expires_ms ? now : lease->expires_ms;
    Hypermesh__Account *provider;
    Hypermesh__Account *consumer;
    uint64_t paid;
    int rc;

    if (lease->state != HYPERMESH__LEASE_STATE__LEASE_ACTIVE || until < lease->start_ms)
        return hm_fail(error, HM_EINTERNAL, "a lease that is not active is to end");
    rc = ledger_lease_cost_of(lease, until - lease->start_ms, &paid, error);
    if (rc)
        return rc;
    rc = ledger_scope_account(scope, lease->provider, &provider, error);
    if (rc)
        return rc;
    rc = ledger_scope_account(scope, lease->consumer, &consumer, error);
    if (rc)
        return rc;
    rc = ledger_money_pay(scope, lease, provider, consumer, paid, error);
    if (rc)
        return rc;
    rc = reward_mint(scope, lease, provider, until - lease->start_ms, error);
    if (rc == 0)
        rc = ledger_lease_list(scope, lease, false, error);
    if (rc)
        return rc;
    lease->state = state;
    lease->ended_ms = until;
    lease->end_height = scope->block->height;
    return items_free(scope, lease, op, actor, error);
}
