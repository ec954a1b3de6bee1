/* The five levels: who may lease at all. A network that is gone, or that changed so that the level could not name
 * it any more, admits nobody. */
#include "ledger_privacy.h"
#include "ledger_rule.h"

static bool account_listed(ProtobufCBinaryData *list, size_t count, ProtobufCBinaryData account)
{
    for (size_t i = 0; i < count; i++) {
        if (ledger_id_equal(list[i], account))
            return true;
    }
    return false;
}

/* May the level name this network now? */
static bool network_counts(const struct ledger_privacy_case *that,
                           const Hypermesh__Network *network)
{
    /* Whether a network is open never changes. */
    return network && (that->asset->privacy->level != HYPERMESH__PRIVACY_LEVEL__PRIVATE ||
                       ledger_id_equal(network->owner, that->asset->owner));
}

/* Is the consumer a member of one of the networks? */
static int networks_admit(const struct ledger_privacy_case *that, bool *admitted,
                          struct hm_error *error)
{
    const Hypermesh__Privacy *privacy = that->asset->privacy;
    const struct ledger_privacy_state *state = &that->state;

    *admitted = false;
    for (size_t i = 0; i < privacy->n_networks && !*admitted; i++) {
        Hypermesh__Network *network;
        Hypermesh__Member *member;
        int rc = state->member(state->ctx, privacy->networks[i], that->consumer, &member, error);

        if (rc)
            return rc;
        if (!member || member->state != HYPERMESH__MEMBER_STATE__JOINED)
            continue;
        rc = state->network(state->ctx, privacy->networks[i], &network, error);
        if (rc)
            return rc;
        *admitted = network_counts(that, network);
    }
    return 0;
}

static int network_level(const struct ledger_privacy_case *that, enum ledger_rule rule,
                         struct hm_error *error)
{
    const Hypermesh__Privacy *privacy = that->asset->privacy;
    bool admitted;
    int rc = networks_admit(that, &admitted, error);

    if (rc || admitted)
        return rc;
    return ledger_refuse(error, rule,
                         "the asset is %s and the account is a member of none of the %zu networks "
                         "that its owner lets in",
                         wire_privacy_name(privacy->level), privacy->n_networks);
}

static int p2p_level(const struct ledger_privacy_case *that, struct hm_error *error)
{
    const Hypermesh__Privacy *privacy = that->asset->privacy;

    if (!account_listed(privacy->accounts, privacy->n_accounts, that->consumer))
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_P2P,
                             "the asset is P2P and its owner has not listed this account");
    if (!account_listed(that->account->peers, that->account->n_peers, that->asset->owner))
        return ledger_refuse(error, LEDGER_RULE_PRIVACY_P2P_PEER,
                             "the asset is P2P and this account has not its owner among its peers; "
                             "add it first");
    return 0;
}

int ledger_privacy_level_admits(const struct ledger_privacy_case *that, struct hm_error *error)
{
    switch (that->asset->privacy->level) {
    case HYPERMESH__PRIVACY_LEVEL__PRIVATE:
        if (that->asset->privacy->n_networks == 0)
            return ledger_refuse(error, LEDGER_RULE_PRIVACY_PRIVATE,
                                 "the asset is Private: only its owner may lease it");
        return network_level(that, LEDGER_RULE_PRIVACY_PRIVATE, error);
    case HYPERMESH__PRIVACY_LEVEL__PRIVATE_NETWORK:
        return network_level(that, LEDGER_RULE_PRIVACY_PRIVATE_NETWORK, error);
    case HYPERMESH__PRIVACY_LEVEL__P2P:
        return p2p_level(that, error);
    case HYPERMESH__PRIVACY_LEVEL__PUBLIC_NETWORK:
        return network_level(that, LEDGER_RULE_PRIVACY_PUBLIC_NETWORK, error);
    case HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC:
        return 0;
    default:
        return hm_fail(error, HM_ECORRUPT, "an asset has privacy level %d",
                       (int)that->asset->privacy->level);
    }
}
