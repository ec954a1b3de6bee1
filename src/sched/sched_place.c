/* Cheapest provider that holds all of it. A need is met by one asset of its kind, the cheapest of the
 * provider's that has room; needs are few and kinds differ, so choosing each alone is also best together. */
#include "sched.h"

#include <stdio.h>

#define SCHED_PPM         UINT32_C(1000000)
#define SCHED_MS_PER_HOUR UINT64_C(3600000)

struct sched_need {
    Hypermesh__AssetKind kind;
    uint64_t amount;
};

#define SCHED_NEEDS_MAX 5

static size_t sched_needs(const Hypermesh__JobSpec *spec, uint64_t pids_per_slot,
                          struct sched_need needs[SCHED_NEEDS_MAX])
{
    size_t count = 0;

    needs[count++] = (struct sched_need){HYPERMESH__ASSET_KIND__CPU, spec->cpu_milli};
    needs[count++] = (struct sched_need){HYPERMESH__ASSET_KIND__MEMORY, spec->memory_bytes};
    needs[count++] = (struct sched_need){HYPERMESH__ASSET_KIND__STORAGE, spec->storage_bytes};
    needs[count++] = (struct sched_need){HYPERMESH__ASSET_KIND__CONTAINER,
                                         (spec->pids + pids_per_slot - 1) / pids_per_slot};
    if (spec->gpu_milli > 0)
        needs[count++] = (struct sched_need){HYPERMESH__ASSET_KIND__GPU, spec->gpu_milli};
    return count;
}

static bool sched_same_id(ProtobufCBinaryData a, const uint8_t *b)
{
    return a.len == WIRE_ID_BYTES && memcmp(a.data, b, WIRE_ID_BYTES) == 0;
}

/* May this consumer lease it at all? The ledger decides; this only keeps hopeless choices out. */
static bool sched_visible(const struct sched_snapshot *snapshot, const Hypermesh__Asset *asset)
{
    const Hypermesh__Privacy *privacy = asset->privacy;

    if (sched_same_id(asset->owner, snapshot->consumer))
        return true;
    if (privacy == NULL)
        return false;
    if (privacy->level == HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC)
        return true;
    if (privacy->level != HYPERMESH__PRIVACY_LEVEL__P2P)
        return false;
    for (size_t i = 0; i < privacy->n_accounts; i++)
        if (sched_same_id(privacy->accounts[i], snapshot->consumer))
            return true;
    return false;
}

/* Has the asset room for this share, for this long? */
static bool sched_fits(const struct sched_snapshot *snapshot, const Hypermesh__Asset *asset,
                       uint32_t share_ppm, uint64_t duration_ms)
{
    const Hypermesh__Privacy *privacy = asset->privacy;
    uint32_t most = SCHED_PPM;
    uint32_t leases = snapshot->default_max_leases;
    uint64_t longest_ms = snapshot->default_max_duration_ms;

    if (privacy != NULL && privacy->max_share_ppm != 0 && privacy->max_share_ppm < most)
        most = privacy->max_share_ppm;
    if (privacy != NULL && privacy->max_leases != 0)
        leases = privacy->max_leases;
    if (privacy != NULL && privacy->max_duration_ms != 0)
        longest_ms = privacy->max_duration_ms;
    return asset->state == HYPERMESH__ASSET_STATE__ACTIVE && asset->leased_ppm <= most &&
           share_ppm <= most - asset->leased_ppm && asset->leases < leases &&
           duration_ms <= longest_ms;
}

/* ceil(price * share * duration); the ledger's formula. false: more than money can be. */
static bool sched_cost(const Hypermesh__Asset *asset, uint32_t share_ppm, uint64_t duration_ms,
                       uint64_t *cost)
{
    uint64_t scale;

    return hm_mul_u64(share_ppm, duration_ms, &scale) &&
           hm_muldiv_up_u64(asset->price_per_hour, scale, SCHED_PPM * SCHED_MS_PER_HOUR, cost);
}

/* The owner's cheapest asset for a need; false: none has room. */
static bool sched_pick(const struct sched_snapshot *snapshot, const uint8_t *owner,
                       const struct sched_need *need, uint64_t duration_ms, struct sched_item *best,
                       uint64_t *best_cost)
{
    bool found = false;

    for (size_t i = 0; i < snapshot->count; i++) {
        const Hypermesh__Asset *asset = snapshot->assets[i];
        uint32_t share_ppm;
        uint64_t cost = 0;

        if (asset->kind != need->kind || !sched_same_id(asset->owner, owner) ||
            !sched_visible(snapshot, asset) ||
            snapshot->share_for(asset, need->amount, &share_ppm, NULL) != 0 ||
            !sched_fits(snapshot, asset, share_ppm, duration_ms) ||
            !sched_cost(asset, share_ppm, duration_ms, &cost))
            continue;
        if (found && (cost > *best_cost ||
                      (cost == *best_cost &&
                       memcmp(asset->id.data, best->asset->id.data, WIRE_ID_BYTES) >= 0)))
            continue;
        *best = (struct sched_item){asset, share_ppm};
        *best_cost = cost;
        found = true;
    }
    return found;
}

/* All needs from one owner; returns how many were met before one was short. */
static size_t sched_try_owner(const struct sched_snapshot *snapshot, const uint8_t *owner,
                              const struct sched_need *needs, size_t need_count,
                              uint64_t duration_ms, struct sched_placement *out)
{
    out->count = 0;
    out->cost = 0;
    for (size_t i = 0; i < need_count; i++) {
        uint64_t cost = 0;

        if (!sched_pick(snapshot, owner, &needs[i], duration_ms, &out->items[i], &cost) ||
            !hm_add_u64(out->cost, cost, &out->cost))
            return i;
        out->count++;
    }
    return need_count;
}

/* Was this owner tried at an earlier asset? */
static bool sched_owner_seen(const struct sched_snapshot *snapshot, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (sched_same_id(snapshot->assets[i]->owner, snapshot->assets[index]->owner.data))
            return true;
    return false;
}

static int sched_nothing(const struct sched_snapshot *snapshot, const struct sched_need *needs,
                         size_t met, struct hm_error *error)
{
    if (snapshot->count == 0)
        return hm_fail(error, HM_EUNAVAILABLE, "no assets are registered: nothing can be leased");
    return hm_fail(error, HM_EUNAVAILABLE,
                   "no provider has all of it; the closest is short of %s: %llu %s asked. See "
                   "'nexus asset ls' for what is free",
                   wire_asset_kind_name(needs[met].kind), (unsigned long long)needs[met].amount,
                   wire_asset_kind_unit(needs[met].kind));
}

static bool sched_better(const struct sched_placement *a, const struct sched_placement *b)
{
    if (a->cost != b->cost)
        return a->cost < b->cost;
    return memcmp(a->items[0].asset->owner.data, b->items[0].asset->owner.data, WIRE_ID_BYTES) < 0;
}

int sched_place(const struct sched_snapshot *snapshot, const Hypermesh__JobSpec *spec,
                struct sched_placement *out, struct hm_error *error)
{
    struct sched_need needs[SCHED_NEEDS_MAX];
    size_t need_count = sched_needs(spec, snapshot->pids_per_slot, needs);
    struct sched_placement best = {0};
    size_t most_met = 0;

    for (size_t i = 0; i < snapshot->count; i++) {
        struct sched_placement candidate;

        if (snapshot->assets[i]->owner.len != WIRE_ID_BYTES || sched_owner_seen(snapshot, i))
            continue;
        size_t met = sched_try_owner(snapshot, snapshot->assets[i]->owner.data, needs, need_count,
                                     spec->timeout_ms + snapshot->grace_ms, &candidate);
        if (met == need_count && (best.count == 0 || sched_better(&candidate, &best)))
            best = candidate;
        if (met > most_met)
            most_met = met;
    }
    if (best.count == 0)
        return sched_nothing(snapshot, needs, most_met, error);
    if (spec->max_price != 0 && best.cost > spec->max_price) {
        char cost[40], most[40];

        hm_decimal_format(best.cost, 9, cost);
        hm_decimal_format(spec->max_price, 9, most);
        return hm_fail(error, HM_EFUNDS, "the cheapest offer costs %s HYPER; max_price is %s", cost,
                       most);
    }
    *out = best;
    return 0;
}
