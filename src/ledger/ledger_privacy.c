/* Privacy: who may lease an asset, how much of it, how often at once and for how long. */
#include "ledger_op.h"

int ledger_privacy_check(const Hypermesh__Params *params, const Hypermesh__Privacy *privacy,
                         struct hm_error *error)
{
    if (!privacy || privacy->level < HYPERMESH__PRIVACY_LEVEL__PRIVATE ||
        privacy->level > HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC)
        return hm_fail(error, HM_EINVAL, "privacy level is missing: it is 1 to 5");
    if (privacy->max_share_ppm > LEDGER_SHARE_WHOLE)
        return hm_fail(error, HM_EINVAL, "privacy max_share_ppm %u is over 1000000",
                       privacy->max_share_ppm);
    if (privacy->max_leases > params->max_leases_per_asset)
        return hm_fail(error, HM_EINVAL, "privacy max_leases %u is over this chain's %u",
                       privacy->max_leases, params->max_leases_per_asset);
    if (privacy->max_duration_ms > params->max_lease_ms)
        return hm_fail(error, HM_EINVAL, "privacy max_duration_ms %llu is over this chain's %llu",
                       (unsigned long long)privacy->max_duration_ms,
                       (unsigned long long)params->max_lease_ms);
    if (privacy->n_accounts > LEDGER_PRIVACY_ACCOUNTS_MAX)
        return hm_fail(error, HM_ELIMIT, "privacy names %zu accounts, at most %d are allowed",
                       privacy->n_accounts, LEDGER_PRIVACY_ACCOUNTS_MAX);
    for (size_t i = 0; i < privacy->n_accounts; i++) {
        if (!ledger_id_ok(privacy->accounts[i]))
            return hm_fail(error, HM_EINVAL, "privacy account %zu has %zu bytes, must have %d", i,
                           privacy->accounts[i].len, LEDGER_ID_BYTES);
    }
    return 0;
}

static bool account_listed(const Hypermesh__Privacy *privacy, ProtobufCBinaryData account)
{
    for (size_t i = 0; i < privacy->n_accounts; i++) {
        if (ledger_id_equal(privacy->accounts[i], account))
            return true;
    }
    return false;
}

static int level_admits(const Hypermesh__Asset *asset, ProtobufCBinaryData consumer,
                        struct hm_error *error)
{
    const Hypermesh__Privacy *privacy = asset->privacy;

    if (ledger_id_equal(asset->owner, consumer))
        return 0;
    switch (privacy->level) {
    case HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC:
        return 0;
    case HYPERMESH__PRIVACY_LEVEL__P2P:
        if (account_listed(privacy, consumer))
            return 0;
        return hm_fail(error, HM_EPERM,
                       "the asset is P2P and its owner has not listed this account");
    case HYPERMESH__PRIVACY_LEVEL__PRIVATE:
        return hm_fail(error, HM_EPERM, "the asset is Private: only its owner may lease it");
    case HYPERMESH__PRIVACY_LEVEL__PRIVATE_NETWORK:
    case HYPERMESH__PRIVACY_LEVEL__PUBLIC_NETWORK:
        return hm_fail(error, HM_EUNSUPPORTED,
                       "the asset is %s: networks come with the mesh between machines, until then "
                       "only its owner may lease it",
                       wire_privacy_name(privacy->level));
    default:
        return hm_fail(error, HM_ECORRUPT, "an asset has privacy level %d", (int)privacy->level);
    }
}

int ledger_privacy_admits(const Hypermesh__Params *params, const Hypermesh__Asset *asset,
                          ProtobufCBinaryData consumer, uint32_t share_ppm, uint64_t duration_ms,
                          struct hm_error *error)
{
    const Hypermesh__Privacy *privacy = asset->privacy;
    uint32_t share_max;
    uint32_t leases_max;
    uint64_t duration_max;
    int rc;

    if (!privacy)
        return hm_fail(error, HM_ECORRUPT, "an asset has no privacy level");
    rc = level_admits(asset, consumer, error);
    if (rc)
        return rc;
    share_max = privacy->max_share_ppm ? privacy->max_share_ppm : LEDGER_SHARE_WHOLE;
    leases_max = privacy->max_leases ? privacy->max_leases : params->max_leases_per_asset;
    duration_max = privacy->max_duration_ms ? privacy->max_duration_ms : params->max_lease_ms;
    if (duration_ms > duration_max)
        return hm_fail(error, HM_ELIMIT, "the lease would last %llu ms, the asset allows %llu",
                       (unsigned long long)duration_ms, (unsigned long long)duration_max);
    if (share_ppm == 0)
        return 0;
    if (asset->leases >= leases_max)
        return hm_fail(error, HM_ELIMIT, "the asset has %u leases, it allows %u at once",
                       asset->leases, leases_max);
    if (asset->leased_ppm > share_max || share_ppm > share_max - asset->leased_ppm)
        return hm_fail(error, HM_ECONFLICT,
                       "%u parts per million are leased and %u more are asked for, of %u that the "
                       "asset gives; take a smaller share or wait",
                       asset->leased_ppm, share_ppm, share_max);
    return 0;
}
