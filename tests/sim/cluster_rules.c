/* The engine's own rules for what an application answers, written down a second time and apart from those in src/abci:
 * an answer that breaks one stops CometBFT 0.38's consensus for good on the node that gives it. */
#include "cluster_parts.h"

#define POWER_TOTAL_MAX (INT64_MAX / 8)
#define BLOCK_MAX_BYTES INT64_C(104857600)
#define HASH_BYTES      32 /* ours; the engine takes any */

static size_t varint_bytes(size_t value)
{
    size_t bytes = 1;

    for (; value >= 128; value /= 128)
        bytes++;
    return bytes;
}

size_t cluster_rule_bytes(const ProtobufCBinaryData *txs, size_t count)
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += 1 + varint_bytes(txs[i].len) + txs[i].len;
    return bytes;
}

const char *cluster_rule_proposal(const Hypermesh__Abci__RequestPrepareProposal *request,
                                  const Hypermesh__Abci__ResponsePrepareProposal *answer)
{
    if (answer->n_txs > 0 && answer->txs == NULL)
        return "a proposal has a number of transactions and none of them";
    for (size_t i = 0; i < answer->n_txs; i++)
        if (answer->txs[i].len > 0 && answer->txs[i].data == NULL)
            return "a transaction of a proposal has a length and no bytes";
    if (cluster_rule_bytes(answer->txs, answer->n_txs) > (size_t)request->max_tx_bytes)
        return "a proposal is over max_tx_bytes: the proposer's consensus would stop";
    return NULL;
}

static int index_of(const struct cluster_set *set, const uint8_t key[32])
{
    for (unsigned i = 0; i < set->count; i++)
        if (memcmp(set->validator[i].key, key, 32) == 0)
            return (int)i;
    return -1;
}

static const char *update_rule(const struct cluster_set *set,
                               const Hypermesh__Abci__ValidatorUpdate *update, int64_t *change,
                               int *members)
{
    int at;

    if (update == NULL || update->pub_key == NULL ||
        update->pub_key->sum_case != HYPERMESH__ABCI__PUBLIC_KEY__SUM_ED25519 ||
        update->pub_key->ed25519.len != 32 || update->pub_key->ed25519.data == NULL)
        return "an update's key is no Ed25519 key";
    if (update->power < 0)
        return "an update has a negative power";
    if (update->power > POWER_TOTAL_MAX)
        return "an update's power is over the engine's limit";
    at = index_of(set, update->pub_key->ed25519.data);
    if (at < 0 && update->power == 0)
        return "a validator is removed that is not there";
    *change = update->power - (at < 0 ? 0 : set->validator[at].power);
    *members = (at < 0) - (at >= 0 && update->power == 0);
    return NULL;
}

const char *cluster_rule_updates(const struct cluster_set *set,
                                 Hypermesh__Abci__ValidatorUpdate *const *updates, size_t count)
{
    int64_t total = cluster_set_total(set);
    int members = (int)set->count;

    if (count > 0 && updates == NULL)
        return "there is a number of updates and none of them";
    for (size_t i = 0; i < count; i++) {
        int64_t change = 0;
        int more = 0;
        const char *rule = update_rule(set, updates[i], &change, &more);
        if (rule != NULL)
            return rule;
        for (size_t other = 0; other < i; other++)
            if (memcmp(updates[i]->pub_key->ed25519.data, updates[other]->pub_key->ed25519.data,
                       32) == 0)
                return "a validator is updated twice in one block";
        total += change;
        members += more;
    }
    if (members <= 0)
        return "the updates leave no validator";
    if (total > POWER_TOTAL_MAX)
        return "the updates bring the power over the engine's limit";
    return NULL;
}

static const char *params_rule(const Hypermesh__Abci__ConsensusParams *params)
{
    if (params == NULL || params->block == NULL)
        return NULL;
    if (params->block->max_bytes == 0 || params->block->max_bytes < -1 ||
        params->block->max_bytes > BLOCK_MAX_BYTES)
        return "block.max_bytes is out of the engine's range";
    if (params->block->max_gas < -1)
        return "block.max_gas is out of the engine's range";
    return NULL;
}

const char *cluster_rule_finalize(const struct cluster_set *next,
                                  const Hypermesh__Abci__RequestFinalizeBlock *request,
                                  const Hypermesh__Abci__ResponseFinalizeBlock *answer)
{
    const char *rule;

    if (answer->n_tx_results != request->n_txs)
        return "a block has not as many results as transactions";
    for (size_t i = 0; i < answer->n_tx_results; i++)
        if (answer->tx_results == NULL || answer->tx_results[i] == NULL)
            return "a block has not as many results as transactions";
    if (answer->app_hash.len != HASH_BYTES || answer->app_hash.data == NULL)
        return "a block's app hash is not 32 bytes";
    rule = params_rule(answer->consensus_param_updates);
    return rule != NULL
               ? rule
               : cluster_rule_updates(next, answer->validator_updates, answer->n_validator_updates);
}
