#include "ledger_privacy.h"

#include "ledger_op.h"

/* --- what a consumer must bring --- */

static int demand_met(const struct ledger_privacy_case *that, struct hm_error *error)
{
    const Hypermesh__ProofDemand *demand = that->asset->privacy->demand;
    uint64_t labels = that->account->plot ? that->account->plot->labels : 0;

    if (!demand)
        return 0;
    if (that->account->bonded < demand->min_bond)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_DEMAND_BOND,
                             "stake: the account has bonded %llu HYPER base units, the asset's "
                             "owner asks for %llu",
                             (unsigned long long)that->account->bonded,
                             (unsigned long long)demand->min_bond);
    if (labels < demand->min_plot_labels)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_DEMAND_PLOT,
                             "space: the account has committed %llu labels itself, the asset's "
                             "owner asks for %llu",
                             (unsigned long long)labels,
                             (unsigned long long)demand->min_plot_labels);
    if (!that->signed_yet)
        return 0;
    if (that->work_bits < demand->min_work_bits)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_DEMAND_WORK,
                             "work: the transaction's digest has %u zero bits, the asset's owner "
                             "asks for %u",
                             that->work_bits, demand->min_work_bits);
    if (demand->max_anchor_age > 0 && that->anchor_age > demand->max_anchor_age)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_DEMAND_ANCHOR,
                             "time: the transaction's anchor is %llu blocks old, the asset's owner "
                             "takes at most %llu",
                             (unsigned long long)that->anchor_age,
                             (unsigned long long)demand->max_anchor_age);
    return 0;
}

static int demand_check(const Hypermesh__Params *params, const Hypermesh__ProofDemand *demand,
                        struct hm_error *error)
{
    if (!demand)
        return 0;
    if (demand->min_work_bits > PROOF_WORK_BITS_MAX)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_DEMAND,
                             "privacy demand.min_work_bits %u is over %d", demand->min_work_bits,
                             PROOF_WORK_BITS_MAX);
    if (demand->max_anchor_age > params->anchor_max_blocks)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_DEMAND,
                             "privacy demand.max_anchor_age %llu is over this chain's %llu",
                             (unsigned long long)demand->max_anchor_age,
                             (unsigned long long)params->anchor_max_blocks);
    if (demand->min_plot_labels > PROOF_PLOT_LABELS_MAX)
        return ledger_refuse(
            error, LEDGER_RULE_PRIVACY_DEMAND, "privacy demand.min_plot_labels %llu is over %llu",
            (unsigned long long)demand->min_plot_labels, (unsigned long long)PROOF_PLOT_LABELS_MAX);
    return 0;
}

/* --- what an owner may set --- */

static int limits_check(const Hypermesh__Params *params, const Hypermesh__Privacy *privacy,
                        struct hm_error *error)
{
    if (privacy->max_share_ppm > LEDGER_SHARE_WHOLE)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_LIMITS,
                             "privacy max_share_ppm %u is over 1000000", privacy->max_share_ppm);
    if (privacy->max_leases > params->max_leases_per_asset)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_LIMITS,
                             "privacy max_leases %u is over this chain's %u", privacy->max_leases,
                             params->max_leases_per_asset);
    if (privacy->max_duration_ms > params->max_lease_ms)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_LIMITS,
                             "privacy max_duration_ms %llu is over this chain's %llu",
                             (unsigned long long)privacy->max_duration_ms,
                             (unsigned long long)params->max_lease_ms);
    if (privacy->reward_waived_ppm > LEDGER_PPM)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_REWARD,
                             "privacy reward_waived_ppm %u is over 1000000",
                             privacy->reward_waived_ppm);
    return demand_check(params, privacy->demand, error);
}

static int accounts_check(const Hypermesh__Privacy *privacy, struct hm_error *error)
{
    if (privacy->n_accounts > LEDGER_PRIVACY_ACCOUNTS_MAX)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_LISTS,
                             "privacy names %zu accounts, at most %d are allowed",
                             privacy->n_accounts, LEDGER_PRIVACY_ACCOUNTS_MAX);
    if (privacy->n_accounts > 0 && privacy->level != HYPERMESH__PRIVACY_LEVEL__P2P)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_ACCOUNTS,
                             "privacy names accounts, which only P2P has; this is %s",
                             wire_privacy_name(privacy->level));
    for (size_t i = 0; i < privacy->n_accounts; i++) {
        int rc = ledger_id_check(privacy->accounts[i], error);

        if (rc)
            return hm_error_prefix(error, rc, "privacy account %zu", i);
    }
    return 0;
}

static int network_check(const struct ledger_act *act, const Hypermesh__Privacy *privacy,
                         ProtobufCBinaryData id, struct hm_error *error)
{
    Hypermesh__Network *network;
    int rc = ledger_scope_network(act->scope, id, &network, error);

    if (rc)
        return rc;
    if (privacy->level == HYPERMESH__PRIVACY_LEVEL__PRIVATE &&
        !ledger_id_equal(network->owner, act->body->account))
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_NETWORK_OWN,
                             "the network belongs to another account; Private lets in networks of "
                             "one's own");
    if (privacy->level == HYPERMESH__PRIVACY_LEVEL__PUBLIC_NETWORK && !network->open)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_NETWORK_OPEN,
                             "the network is closed; PublicNetwork lets in open ones");
    return 0;
}

static int networks_check(const struct ledger_act *act, const Hypermesh__Privacy *privacy,
                          struct hm_error *error)
{
    if (privacy->n_networks > LEDGER_PRIVACY_NETWORKS_MAX)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_LISTS,
                             "privacy names %zu networks, at most %d are allowed",
                             privacy->n_networks, LEDGER_PRIVACY_NETWORKS_MAX);
    if (privacy->n_networks > 0 && (privacy->level == HYPERMESH__PRIVACY_LEVEL__P2P ||
                                    privacy->level == HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC))
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_NETWORKS,
                             "privacy names networks, which %s does not have",
                             wire_privacy_name(privacy->level));
    for (size_t i = 0; i < privacy->n_networks; i++) {
        int rc = network_check(act, privacy, privacy->networks[i], error);

        if (rc)
            return hm_error_prefix(error, rc, "privacy network %zu", i);
    }
    return 0;
}

int ledger_privacy_check(struct ledger_act *act, const Hypermesh__Privacy *privacy,
                         struct hm_error *error)
{
    int rc;

    if (!privacy || privacy->level < HYPERMESH__PRIVACY_LEVEL__PRIVATE ||
        privacy->level > HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_LEVEL,
                             "privacy level is missing: it is 1 to 5");
    rc = limits_check(act->params, privacy, error);
    if (rc == 0)
        rc = accounts_check(privacy, error);
    return rc ? rc : networks_check(act, privacy, error);
}

/* --- what a lease earns --- */

uint64_t ledger_privacy_reward(const Hypermesh__Params *params, const Hypermesh__Privacy *privacy)
{
    size_t level = (size_t)privacy->level - 1;
    uint64_t rate;

    if (level >= params->n_level_reward_ppm ||
        !hm_muldiv_u64(params->caes_reward_ppm, params->level_reward_ppm[level], LEDGER_PPM,
                       &rate) ||
        !hm_muldiv_u64(rate, LEDGER_PPM - privacy->reward_waived_ppm, LEDGER_PPM, &rate))
        return 0;
    return rate;
}

/* --- the decision --- */

static int limits_admit(const struct ledger_privacy_case *that, struct hm_error *error)
{
    const Hypermesh__Params *params = that->params;
    const Hypermesh__Asset *asset = that->asset;
    const Hypermesh__Privacy *privacy = asset->privacy;
    uint32_t share_max = privacy->max_share_ppm ? privacy->max_share_ppm : LEDGER_SHARE_WHOLE;
    uint32_t leases_max = privacy->max_leases ? privacy->max_leases : params->max_leases_per_asset;
    uint64_t duration_max = privacy->max_duration_ms ? privacy->max_duration_ms
                                                     : params->max_lease_ms;

    if (that->duration_ms > duration_max)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_DURATION,
                             "the lease would last %llu ms, the asset allows %llu",
                             (unsigned long long)that->duration_ms,
                             (unsigned long long)duration_max);
    if (that->share_ppm == 0)
        return 0;
    if (asset->leases >= leases_max)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_CONCURRENCY,
                             "the asset has %u leases, it allows %u at once", asset->leases,
                             leases_max);
    if (asset->leased_ppm > share_max || that->share_ppm > share_max - asset->leased_ppm)
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_SHARE,
                             "%u parts per million are leased and %u more are asked for, of %u "
                             "that the asset gives; take a smaller share or wait",
                             asset->leased_ppm, that->share_ppm, share_max);
    return 0;
}

int ledger_privacy_admits(const struct ledger_privacy_case *that, struct hm_error *error)
{
    int rc = 0;

    if (!that->asset->privacy)
        return hm_fail(error, HM_ECORRUPT, "an asset has no privacy level");
    /* The owner always may, within the limits that he set. */
    if (!ledger_id_equal(that->asset->owner, that->consumer)) {
        rc = ledger_privacy_level_admits(that, error);
        if (rc == 0)
            rc = demand_met(that, error);
    }
    return rc ? rc : limits_admit(that, error);
}

static int scope_network(void *ctx, ProtobufCBinaryData id, Hypermesh__Network **out,
                         struct hm_error *error)
{
    return ledger_scope_network_find(ctx, id, out, error);
}

static int scope_member(void *ctx, ProtobufCBinaryData network, ProtobufCBinaryData account,
                        Hypermesh__Member **out, struct hm_error *error)
{
    return ledger_scope_member_find(ctx, network, account, out, error);
}

int ledger_act_admitted(struct ledger_act *act, const Hypermesh__Asset *asset, uint32_t share_ppm,
                        uint64_t duration_ms, struct hm_error *error)
{
    const struct ledger_privacy_case that = {
        .params = act->params,
        .asset = asset,
        .consumer = act->body->account,
        .account = act->signer,
        .share_ppm = share_ppm,
        .duration_ms = duration_ms,
        .signed_yet = true,
        .work_bits = proof_work_bits(act->scope->tx_digest.data),
        .anchor_age = act->scope->block->height - act->body->anchor_height,
        .state = {.network = scope_network, .member = scope_member, .ctx = act->scope},
    };

    return ledger_privacy_admits(&that, error);
}
