/* Cheapest provider that holds all of it. A need is met by one asset of its kind, the cheapest of the
 * provider's that has room; needs are few and kinds differ, so choosing each alone is also best together. */
#include "sched.h"

#include <stdlib.h>

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

/* The assets of one owner that the consumer may lease, in order of id. */
struct sched_offer {
    const Hypermesh__Asset *const *assets;
    size_t count;
};

/* The owner's cheapest asset for a need, of equals the lowest id; false: none has room. */
static bool sched_pick(const struct sched_snapshot *snapshot, const struct sched_offer *offer,
                       const struct sched_need *need, uint64_t duration_ms, struct sched_item *best,
                       uint64_t *best_cost)
{
    bool found = false;

    for (size_t i = 0; i < offer->count; i++) {
        const Hypermesh__Asset *asset = offer->assets[i];
        uint32_t share_ppm;
        uint64_t cost = 0;

        if (asset->kind != need->kind ||
            snapshot->share_for(asset, need->amount, &share_ppm, NULL) != 0 ||
            !sched_fits(snapshot, asset, share_ppm, duration_ms) ||
            !sched_cost(asset, share_ppm, duration_ms, &cost) || (found && cost >= *best_cost))
            continue;
        *best = (struct sched_item){asset, share_ppm};
        *best_cost = cost;
        found = true;
    }
    return found;
}

/* All needs from one owner; returns how many were met before one was short. */
static size_t sched_try_offer(const struct sched_snapshot *snapshot,
                              const struct sched_offer *offer, const struct sched_need *needs,
                              size_t need_count, uint64_t duration_ms, struct sched_placement *out)
{
    out->count = 0;
    out->cost = 0;
    for (size_t i = 0; i < need_count; i++) {
        uint64_t cost = 0;

        if (!sched_pick(snapshot, offer, &needs[i], duration_ms, &out->items[i], &cost) ||
            !hm_add_u64(out->cost, cost, &out->cost))
            return i;
        out->count++;
    }
    return need_count;
}

static int sched_asset_compare(const void *a, const void *b)
{
    const Hypermesh__Asset *left = *(const Hypermesh__Asset *const *)a;
    const Hypermesh__Asset *right = *(const Hypermesh__Asset *const *)b;
    int order = memcmp(left->owner.data, right->owner.data, WIRE_ID_BYTES);

    return order != 0 ? order : memcmp(left->id.data, right->id.data, WIRE_ID_BYTES);
}

/* What the consumer may lease, sorted so that each owner's assets stand together. Freed with hm_free. */
static int sched_sort(const struct sched_snapshot *snapshot, const Hypermesh__Asset ***out,
                      size_t *count, struct hm_error *error)
{
    size_t kept = 0;

    if (snapshot->count > SCHED_ASSETS_MAX)
        return hm_fail(error, HM_ELIMIT, "%zu assets are offered, placement looks at %d at most",
                       snapshot->count, SCHED_ASSETS_MAX);
    const Hypermesh__Asset **assets = hm_calloc(snapshot->count + 1, sizeof(Hypermesh__Asset *));
    if (assets == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to choose among %zu assets", snapshot->count);
    for (size_t i = 0; i < snapshot->count; i++) {
        const Hypermesh__Asset *asset = snapshot->assets[i];

        if (asset->id.len == WIRE_ID_BYTES && asset->owner.len == WIRE_ID_BYTES &&
            snapshot->admits(snapshot->admits_ctx, asset))
            assets[kept++] = asset;
    }
    qsort(assets, kept, sizeof(Hypermesh__Asset *), sched_asset_compare);
    *out = assets;
    *count = kept;
    return 0;
}

/* The run of one owner that begins at index `from`. */
static struct sched_offer sched_offer_at(const Hypermesh__Asset *const *assets, size_t count,
                                         size_t from)
{
    size_t end = from + 1;

    while (end < count && sched_same_id(assets[end]->owner, assets[from]->owner.data))
        end++;
    return (struct sched_offer){assets + from, end - from};
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

static int sched_check_price(const Hypermesh__JobSpec *spec, uint64_t cost, struct hm_error *error)
{
    char asked[40], most[40];

    if (spec->max_price == 0 || cost <= spec->max_price)
        return 0;
    hm_decimal_format(cost, 9, asked);
    hm_decimal_format(spec->max_price, 9, most);
    return hm_fail(error, HM_EFUNDS, "the cheapest offer costs %s HYPER; max_price is %s", asked,
                   most);
}

int sched_place(const struct sched_snapshot *snapshot, const Hypermesh__JobSpec *spec,
                struct sched_placement *out, struct hm_error *error)
{
    HM_AUTOFREE const Hypermesh__Asset **assets = NULL;
    struct sched_need needs[SCHED_NEEDS_MAX];
    struct sched_placement best = {0};
    struct sched_offer offer;
    uint64_t duration_ms;
    size_t most_met = 0;
    size_t count = 0;

    if (!hm_add_u64(spec->timeout_ms, snapshot->grace_ms, &duration_ms))
        return hm_fail(error, HM_ERANGE, "timeout: longer than any lease can be");
    size_t need_count = sched_needs(spec, snapshot->pids_per_slot, needs);
    int rc = sched_sort(snapshot, &assets, &count, error);
    if (rc != 0)
        return rc;
    for (size_t from = 0; from < count; from += offer.count) {
        struct sched_placement candidate;

        offer = sched_offer_at(assets, count, from);
        size_t met = sched_try_offer(snapshot, &offer, needs, need_count, duration_ms, &candidate);
        /* Owners come in order of id: of equals the first stays. */
        if (met == need_count && (best.count == 0 || candidate.cost < best.cost))
            best = candidate;
        if (met > most_met)
            most_met = met;
    }
    if (best.count == 0)
        return sched_nothing(snapshot, needs, most_met, error);
    rc = sched_check_price(spec, best.cost, error);
    if (rc == 0)
        *out = best;
    return rc;
}
