/* A block as the engine shows it to an application, and its way into one node. */
#include "cluster_parts.h"

#define EMPTY_CHANGES_MAX 12 /* one after the other; something may be due at each */

void cluster_block_free(struct cluster_block *block)
{
    if (block == NULL)
        return;
    for (size_t i = 0; i < block->count; i++)
        hm_free(block->txs[i].data);
    for (unsigned i = 0; i < CLUSTER_NODES_MAX; i++)
        hm_buf_release(&block->vote[i].extension);
    hm_free(block->txs);
    hm_free(block->codes);
    hm_free(block);
}

void cluster_request_times(struct cluster_world *world, uint64_t time_ms,
                           Hypermesh__Abci__Timestamp **out)
{
    *out = cluster_alloc(world, sizeof **out);
    hypermesh__abci__timestamp__init(*out);
    (*out)->seconds = (int64_t)(time_ms / 1000);
    (*out)->nanos = (int32_t)(time_ms % 1000 * 1000000);
}

static Hypermesh__Abci__Validator *request_validator(struct cluster_world *world,
                                                     const struct cluster_validator *validator)
{
    Hypermesh__Abci__Validator *out = cluster_alloc(world, sizeof *out);

    hypermesh__abci__validator__init(out);
    out->address.len = sizeof validator->address;
    out->address.data = (uint8_t *)(uintptr_t)validator->address;
    out->power = validator->power;
    return out;
}

Hypermesh__Abci__Misbehavior **cluster_request_faults(struct cluster_world *world,
                                                      const struct cluster_fault *faults,
                                                      unsigned count)
{
    Hypermesh__Abci__Misbehavior **list = cluster_alloc(world, (count + 1) * sizeof *list);

    for (unsigned i = 0; i < count; i++) {
        Hypermesh__Abci__Misbehavior *out = cluster_alloc(world, sizeof *out);
        hypermesh__abci__misbehavior__init(out);
        out->type = HYPERMESH__ABCI__MISBEHAVIOR_TYPE__DUPLICATE_VOTE;
        out->validator = request_validator(world, &faults[i].validator);
        out->height = (int64_t)faults[i].height;
        out->total_voting_power = faults[i].total;
        cluster_request_times(world, faults[i].time_ms, &out->time);
        list[i] = out;
    }
    return list;
}

/* Who voted for the block before, in the order of that block's validators; empty for the first block. */
Hypermesh__Abci__CommitInfo *cluster_request_commit(struct cluster_world *world,
                                                    const struct cluster_block *block)
{
    Hypermesh__Abci__CommitInfo *out = cluster_alloc(world, sizeof *out);
    const struct cluster_set *set;

    hypermesh__abci__commit_info__init(out);
    if (block->height == world->genesis.base)
        return out;
    set = &world->set[block->height - 1];
    out->round = (int32_t)block->last_round;
    out->votes = cluster_alloc(world, set->count * sizeof *out->votes);
    out->n_votes = set->count;
    for (unsigned i = 0; i < set->count; i++) {
        out->votes[i] = cluster_alloc(world, sizeof **out->votes);
        hypermesh__abci__vote_info__init(out->votes[i]);
        out->votes[i]->validator = request_validator(world, &set->validator[i]);
        out->votes[i]->flag = block->last_flags[i];
    }
    return out;
}

ProtobufCBinaryData cluster_request_next(struct cluster_world *world, uint64_t height)
{
    ProtobufCBinaryData out = {32, cluster_alloc(world, 32)};

    cluster_set_hash(&world->set[height + 1], out.data);
    return out;
}

static ProtobufCBinaryData address_of(struct cluster_world *world, unsigned node)
{
    return (ProtobufCBinaryData){20, world->node[node].self.address};
}

void cluster_request_process(struct cluster_world *world, const struct cluster_block *block,
                             Hypermesh__Abci__RequestProcessProposal *out)
{
    hypermesh__abci__request_process_proposal__init(out);
    out->txs = block->txs;
    out->n_txs = block->count;
    out->proposed_last_commit = cluster_request_commit(world, block);
    out->misbehavior = cluster_request_faults(world, block->fault, block->faults);
    out->n_misbehavior = block->faults;
    out->hash = (ProtobufCBinaryData){32, (uint8_t *)(uintptr_t)block->hash};
    out->height = (int64_t)block->height;
    cluster_request_times(world, block->time_ms, &out->time);
    out->next_validators_hash = cluster_request_next(world, block->height);
    out->proposer_address = address_of(world, block->proposer);
}

void cluster_request_extend(struct cluster_world *world, const struct cluster_block *block,
                            Hypermesh__Abci__RequestExtendVote *out)
{
    hypermesh__abci__request_extend_vote__init(out);
    out->txs = block->txs;
    out->n_txs = block->count;
    out->proposed_last_commit = cluster_request_commit(world, block);
    out->misbehavior = cluster_request_faults(world, block->fault, block->faults);
    out->n_misbehavior = block->faults;
    out->hash = (ProtobufCBinaryData){32, (uint8_t *)(uintptr_t)block->hash};
    out->height = (int64_t)block->height;
    cluster_request_times(world, block->time_ms, &out->time);
    out->next_validators_hash = cluster_request_next(world, block->height);
    out->proposer_address = address_of(world, block->proposer);
}

static void request_finalize(struct cluster_world *world, const struct cluster_block *block,
                             Hypermesh__Abci__RequestFinalizeBlock *out)
{
    hypermesh__abci__request_finalize_block__init(out);
    out->txs = block->txs;
    out->n_txs = block->count;
    out->decided_last_commit = cluster_request_commit(world, block);
    out->misbehavior = cluster_request_faults(world, block->fault, block->faults);
    out->n_misbehavior = block->faults;
    out->hash = (ProtobufCBinaryData){32, (uint8_t *)(uintptr_t)block->hash};
    out->height = (int64_t)block->height;
    cluster_request_times(world, block->time_ms, &out->time);
    out->next_validators_hash = cluster_request_next(world, block->height);
    out->proposer_address = address_of(world, block->proposer);
}

/* --- what an answer says ----------------------------------------------------------------------------- */

/* What the engine puts into the next header of results: code, data and gas. */
static void results_hash(const Hypermesh__Abci__ResponseFinalizeBlock *answer, uint8_t out[32])
{
    struct crypto_hasher hasher;

    crypto_hasher_init(&hasher);
    for (size_t i = 0; i < answer->n_tx_results; i++) {
        const Hypermesh__Abci__ExecTxResult *result = answer->tx_results[i];
        uint64_t numbers[4] = {result->code, result->data.len, (uint64_t)result->gas_wanted,
                               (uint64_t)result->gas_used};
        crypto_hasher_update(&hasher, numbers, sizeof numbers);
        crypto_hasher_update(&hasher, result->data.data, result->data.len);
    }
    crypto_hasher_final(&hasher, out);
}

static void updates_hash(const Hypermesh__Abci__ResponseFinalizeBlock *answer, uint8_t out[32])
{
    struct crypto_hasher hasher;

    crypto_hasher_init(&hasher);
    for (size_t i = 0; i < answer->n_validator_updates; i++) {
        const Hypermesh__Abci__ValidatorUpdate *update = answer->validator_updates[i];
        crypto_hasher_update(&hasher, update->pub_key->ed25519.data, 32);
        crypto_hasher_update(&hasher, &update->power, sizeof update->power);
    }
    crypto_hasher_final(&hasher, out);
}

static const uint8_t *hash_before(const struct cluster_world *world, uint64_t height)
{
    return height == world->genesis.base ? world->genesis_hash : world->block[height - 1]->app_hash;
}

/* Nothing of a client is in it: what the application itself puts in counts for nothing. */
static bool is_empty(const struct cluster_world *world, const struct cluster_block *block)
{
    for (size_t i = 0; i < world->txs; i++)
        if (world->tx[i].decided && world->tx[i].height == block->height)
            return false;
    return true;
}

/* The first node's answer counts for all. */
static void block_learn(struct cluster_world *world, unsigned node, struct cluster_block *block,
                        const Hypermesh__Abci__ResponseFinalizeBlock *answer)
{
    bool changed;

    block->executed = true;
    block->executed_by = node;
    memcpy(block->app_hash, answer->app_hash.data, 32);
    results_hash(answer, block->results_hash);
    updates_hash(answer, block->updates_hash);
    block->codes = hm_calloc(block->count + 1, 1);
    if (block->codes == NULL)
        abort();
    for (size_t i = 0; i < block->count; i++)
        block->codes[i] = answer->tx_results[i]->code != 0;
    cluster_set_learn(world, block->height, answer->validator_updates, answer->n_validator_updates);
    changed = memcmp(block->app_hash, hash_before(world, block->height), 32) != 0;
    world->empty_changes = is_empty(world, block) && changed ? world->empty_changes + 1 : 0;
    world->totals->empty_blocks += is_empty(world, block);
    if (world->empty_changes > EMPTY_CHANGES_MAX)
        cluster_fail(world, "blocks without content go on changing the root: an idle chain would "
                            "never rest");
}

static void block_compare(struct cluster_world *world, unsigned node,
                          const struct cluster_block *block,
                          const Hypermesh__Abci__ResponseFinalizeBlock *answer)
{
    uint8_t results[32], updates[32];
    const char *what = NULL;

    results_hash(answer, results);
    updates_hash(answer, updates);
    if (memcmp(answer->app_hash.data, block->app_hash, 32) != 0)
        what = "app hash";
    else if (memcmp(results, block->results_hash, 32) != 0)
        what = "results";
    else if (memcmp(updates, block->updates_hash, 32) != 0)
        what = "updates of validators";
    if (what != NULL)
        cluster_fail(world, "height %llu: node %u gives another %s than node %u",
                     (unsigned long long)block->height, node, what, block->executed_by);
}

/* Clients of this node are answered now. */
static void acknowledge(struct cluster_world *world, const struct cluster_block *block)
{
    for (size_t i = 0; i < world->txs; i++) {
        struct cluster_tx *tx = &world->tx[i];
        if (!tx->decided || tx->height != block->height || tx->acknowledged)
            continue;
        for (size_t k = 0; k < block->count; k++) {
            if (block->codes[k] == 0 &&
                hm_slice_equal(hm_slice_of(block->txs[k].data, block->txs[k].len),
                               hm_buf_slice(&tx->bytes))) {
                tx->acknowledged = true;
                world->totals->acknowledged++;
                break;
            }
        }
    }
}

/* --- into a node ------------------------------------------------------------------------------------- */

/* The engine's pool after a block: what waits is asked about again, where it is so configured. */
static enum cluster_call recheck(struct cluster_world *world, unsigned node)
{
    uint32_t own = UINT32_C(1) << node;

    for (size_t i = 0; i < world->txs && world->kind->recheck; i++) {
        struct cluster_tx *tx = &world->tx[i];
        bool taken = false;
        enum cluster_call called;
        if (tx->decided || (tx->pooled & own) == 0)
            continue;
        called = cluster_call_check(world, node, hm_buf_slice(&tx->bytes), true, &taken);
        if (called != CLUSTER_ANSWERED)
            return called;
        if (taken)
            continue;
        tx->pooled &= ~own;
        tx->refusals++;
        world->totals->rechecked_out++;
    }
    return CLUSTER_ANSWERED;
}

enum cluster_call cluster_apply(struct cluster_world *world, unsigned node,
                                struct cluster_block *block)
{
    struct cluster_node *it = &world->node[node];
    Hypermesh__Abci__RequestFinalizeBlock request;
    Hypermesh__Abci__ResponseFinalizeBlock answer;
    Hypermesh__Abci__ResponseCommit committed;
    enum cluster_call called;

    it->store = block->height > it->store ? block->height : it->store;
    request_finalize(world, block, &request);
    if ((called = cluster_call_finalize(world, node, &request, &answer)) == CLUSTER_FAILED)
        return called;
    /* Also of an answer that got lost: every node must say the same. */
    if (answer.app_hash.len == 32 && !block->executed)
        block_learn(world, node, block, &answer);
    else if (answer.app_hash.len > 0)
        block_compare(world, node, block, &answer);
    if (world->failed || called != CLUSTER_ANSWERED)
        return world->failed ? CLUSTER_FAILED : called;
    it->answered = block->height > it->answered ? block->height : it->answered;
    if ((called = cluster_call_commit(world, node, &committed)) == CLUSTER_FAILED)
        return called;
    if (called == CLUSTER_ANSWERED) {
        acknowledge(world, block);
        if (committed.retain_height > (int64_t)block->height) {
            cluster_fail(world, "node %u, height %llu: lets the engine forget blocks up to %lld",
                         node, (unsigned long long)block->height,
                         (long long)committed.retain_height);
            return CLUSTER_FAILED;
        }
        if (committed.retain_height > (int64_t)it->base)
            it->base = (uint64_t)committed.retain_height;
        called = recheck(world, node);
    }
    return called;
}

enum cluster_call cluster_catch_up(struct cluster_world *world, unsigned node)
{
    struct cluster_node *it = &world->node[node];
    enum cluster_call called = CLUSTER_ANSWERED;

    while (it->store < world->top && called == CLUSTER_ANSWERED)
        called = cluster_apply(world, node, world->block[it->store + 1]);
    return called;
}
