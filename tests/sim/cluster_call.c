/* One call to one node's application: the default of the answer, what may crash, what an answer may not be. */
#include "cluster_parts.h"

#define EXTENSION_MAX_BYTES ((size_t)1 << 20)

/* The process of the application is killed, or only the engine's: then the application hears that its connection ended. */
void cluster_crash(struct cluster_world *world, unsigned node)
{
    struct cluster_node *it = &world->node[node];

    if (!it->online)
        return;
    it->online = false;
    for (size_t i = 0; i < world->txs; i++)
        world->tx[i].pooled &= ~(UINT32_C(1) << node);
    if (cluster_chance(world, 50)) {
        world->totals->engine_crashes++;
        cluster_tell(world, "node %u: its engine is killed", node);
        if (it->handlers.gone != NULL)
            it->handlers.gone(it->handlers.ctx);
        return;
    }
    world->totals->crashes++;
    cluster_tell(world, "node %u: is killed", node);
    world->kind->stop(it->seat);
    it->app_up = false;
}

/* Before a call, and after it with the answer lost. */
static bool survives(struct cluster_world *world, unsigned node)
{
    if (world->calm || cluster_below(world, 1000000) >= world->crash_ppm)
        return true;
    cluster_crash(world, node);
    return false;
}

/* Calls that must not fail; the real server would close its connections, and the engine would end. */
static enum cluster_call must(struct cluster_world *world, unsigned node, const char *call,
                              int status, const struct hm_error *error)
{
    if (status == 0)
        return survives(world, node) ? CLUSTER_ANSWERED : CLUSTER_CRASHED;
    cluster_fail(world, "node %u fails in %s: %s", node, call, error->text);
    return CLUSTER_FAILED;
}

enum cluster_call cluster_call_info(struct cluster_world *world, unsigned node,
                                    Hypermesh__Abci__ResponseInfo *answer)
{
    const struct abci_handlers *handlers = &world->node[node].handlers;
    Hypermesh__Abci__RequestInfo request = HYPERMESH__ABCI__REQUEST_INFO__INIT;
    char version[] = "0.38.25", abci[] = "2.0.0";
    struct hm_error error = {0};

    request.version = version;
    request.abci_version = abci;
    request.block_version = 11;
    request.p2p_version = 8;
    hypermesh__abci__response_info__init(answer);
    if (!survives(world, node))
        return CLUSTER_CRASHED;
    return must(world, node, "info",
                handlers->info(handlers->ctx, &request, &world->arena, answer, &error), &error);
}

static Hypermesh__Abci__ValidatorUpdate **genesis_validators(struct cluster_world *world)
{
    unsigned count = world->genesis.count;
    Hypermesh__Abci__ValidatorUpdate **list = cluster_alloc(world, count * sizeof *list);

    for (unsigned i = 0; i < count; i++) {
        Hypermesh__Abci__PublicKey *key = cluster_alloc(world, sizeof *key);
        list[i] = cluster_alloc(world, sizeof **list);
        hypermesh__abci__validator_update__init(list[i]);
        hypermesh__abci__public_key__init(key);
        key->sum_case = HYPERMESH__ABCI__PUBLIC_KEY__SUM_ED25519;
        key->ed25519.len = 32;
        key->ed25519.data = world->genesis.validator[i].key;
        list[i]->pub_key = key;
        list[i]->power = world->genesis.validator[i].power;
    }
    return list;
}

static bool is_genesis_set(const struct cluster_world *world,
                           const Hypermesh__Abci__ResponseInitChain *answer)
{
    unsigned found = 0;

    for (size_t i = 0; i < answer->n_validators; i++)
        for (unsigned k = 0; k < world->genesis.count; k++)
            found += memcmp(answer->validators[i]->pub_key->ed25519.data,
                            world->genesis.validator[k].key, 32) == 0 &&
                     answer->validators[i]->power == world->genesis.validator[k].power;
    return found == world->genesis.count && answer->n_validators == found;
}

enum cluster_call cluster_call_init(struct cluster_world *world, unsigned node)
{
    const struct abci_handlers *handlers = &world->node[node].handlers;
    Hypermesh__Abci__RequestInitChain request = HYPERMESH__ABCI__REQUEST_INIT_CHAIN__INIT;
    Hypermesh__Abci__ResponseInitChain answer = HYPERMESH__ABCI__RESPONSE_INIT_CHAIN__INIT;
    Hypermesh__Abci__ConsensusParams params = HYPERMESH__ABCI__CONSENSUS_PARAMS__INIT;
    Hypermesh__Abci__BlockParams block = HYPERMESH__ABCI__BLOCK_PARAMS__INIT;
    Hypermesh__Abci__AbciParams abci = HYPERMESH__ABCI__ABCI_PARAMS__INIT;
    Hypermesh__Abci__VersionParams version = HYPERMESH__ABCI__VERSION_PARAMS__INIT;
    struct hm_slice state = world->kind->app_state(world->app_world);
    struct hm_error error = {0};
    enum cluster_call called;

    block.max_bytes = 4 << 20;
    block.max_gas = -1;
    abci.vote_extensions_enable_height = (int64_t)world->genesis.base;
    version.app = 1;
    params.block = &block;
    params.abci = &abci;
    params.version = &version;
    request.consensus_params = &params;
    request.chain_id = world->genesis.chain_id;
    request.initial_height = (int64_t)world->genesis.base;
    request.validators = genesis_validators(world);
    request.n_validators = world->genesis.count;
    request.app_state_bytes.data = (uint8_t *)(uintptr_t)state.data;
    request.app_state_bytes.len = state.len;
    cluster_request_times(world, world->genesis.time_ms, &request.time);
    if (!survives(world, node))
        return CLUSTER_CRASHED;
    if (handlers->init_chain == NULL)
        return CLUSTER_ANSWERED;
    called = must(world, node, "init_chain",
                  handlers->init_chain(handlers->ctx, &request, &world->arena, &answer, &error),
                  &error);
    if (called == CLUSTER_FAILED)
        return called;
    if (answer.n_validators > 0 && !is_genesis_set(world, &answer)) {
        cluster_fail(world, "node %u: init_chain changes the validators of the genesis", node);
        return CLUSTER_FAILED;
    }
    if (!world->genesis_known && answer.app_hash.len == 32) {
        memcpy(world->genesis_hash, answer.app_hash.data, 32);
        world->genesis_known = true;
    }
    if (answer.app_hash.len != 32 || memcmp(world->genesis_hash, answer.app_hash.data, 32) != 0) {
        cluster_fail(world, "node %u: init_chain gives another app hash than other nodes", node);
        return CLUSTER_FAILED;
    }
    return called;
}

enum cluster_call cluster_call_check(struct cluster_world *world, unsigned node, struct hm_slice tx,
                                     bool again, bool *taken)
{
    const struct abci_handlers *handlers = &world->node[node].handlers;
    Hypermesh__Abci__RequestCheckTx request = HYPERMESH__ABCI__REQUEST_CHECK_TX__INIT;
    Hypermesh__Abci__ResponseCheckTx answer = HYPERMESH__ABCI__RESPONSE_CHECK_TX__INIT;
    struct hm_error error = {0};
    int status = 0;

    if (again)
        request.type = HYPERMESH__ABCI__CHECK_TX_TYPE__RECHECK;
    request.tx.data = (uint8_t *)(uintptr_t)tx.data;
    request.tx.len = tx.len;
    if (!survives(world, node))
        return CLUSTER_CRASHED;
    if (handlers->check_tx != NULL)
        status = handlers->check_tx(handlers->ctx, &request, &world->arena, &answer, &error);
    *taken = status == 0 && answer.code == 0;
    return survives(world, node) ? CLUSTER_ANSWERED : CLUSTER_CRASHED;
}

/* What the server answers for an application that does not choose. */
static void prepare_default(struct cluster_world *world,
                            const Hypermesh__Abci__RequestPrepareProposal *request,
                            Hypermesh__Abci__ResponsePrepareProposal *answer)
{
    hypermesh__abci__response_prepare_proposal__init(answer);
    answer->txs = cluster_alloc(world, (request->n_txs + 1) * sizeof *answer->txs);
    while (answer->n_txs < request->n_txs &&
           cluster_rule_bytes(request->txs, answer->n_txs + 1) <= (size_t)request->max_tx_bytes) {
        answer->txs[answer->n_txs] = request->txs[answer->n_txs];
        answer->n_txs++;
    }
}

enum cluster_call cluster_call_prepare(struct cluster_world *world, unsigned node,
                                       const Hypermesh__Abci__RequestPrepareProposal *request,
                                       Hypermesh__Abci__ResponsePrepareProposal *answer)
{
    const struct abci_handlers *handlers = &world->node[node].handlers;
    struct hm_error error = {0};
    const char *rule;

    prepare_default(world, request, answer);
    if (!survives(world, node))
        return CLUSTER_CRASHED;
    if (handlers->prepare_proposal != NULL &&
        handlers->prepare_proposal(handlers->ctx, request, &world->arena, answer, &error) != 0)
        prepare_default(world, request, answer);
    if ((rule = cluster_rule_proposal(request, answer)) != NULL) {
        cluster_fail(world, "node %u, height %lld: %s", node, (long long)request->height, rule);
        return CLUSTER_FAILED;
    }
    return survives(world, node) ? CLUSTER_ANSWERED : CLUSTER_CRASHED;
}

enum cluster_call cluster_call_process(struct cluster_world *world, unsigned node,
                                       const Hypermesh__Abci__RequestProcessProposal *request,
                                       bool *accepted)
{
    const struct abci_handlers *handlers = &world->node[node].handlers;
    Hypermesh__Abci__ResponseProcessProposal answer =
        HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__INIT;
    struct hm_error error = {0};

    answer.status = HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__ACCEPT;
    if (!survives(world, node))
        return CLUSTER_CRASHED;
    if (handlers->process_proposal != NULL &&
        handlers->process_proposal(handlers->ctx, request, &world->arena, &answer, &error) != 0) {
        answer.status = HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__REJECT;
        cluster_tell(world, "node %u refuses: %s", node, error.text);
    }
    *accepted = answer.status == HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__ACCEPT;
    if (!*accepted && answer.status != HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__REJECT) {
        cluster_fail(world,
                     "node %u, height %lld: process_proposal's status is unknown: its "
                     "consensus would stop",
                     node, (long long)request->height);
        return CLUSTER_FAILED;
    }
    return survives(world, node) ? CLUSTER_ANSWERED : CLUSTER_CRASHED;
}

enum cluster_call cluster_call_extend(struct cluster_world *world, unsigned node,
                                      const Hypermesh__Abci__RequestExtendVote *request,
                                      struct hm_slice *extension)
{
    const struct abci_handlers *handlers = &world->node[node].handlers;
    Hypermesh__Abci__ResponseExtendVote answer = HYPERMESH__ABCI__RESPONSE_EXTEND_VOTE__INIT;
    struct hm_error error = {0};

    if (!survives(world, node))
        return CLUSTER_CRASHED;
    if (handlers->extend_vote != NULL &&
        handlers->extend_vote(handlers->ctx, request, &world->arena, &answer, &error) != 0)
        hypermesh__abci__response_extend_vote__init(&answer);
    if (answer.vote_extension.len > EXTENSION_MAX_BYTES) {
        cluster_fail(world,
                     "node %u, height %lld: a vote extension of %zu bytes would end its "
                     "consensus",
                     node, (long long)request->height, answer.vote_extension.len);
        return CLUSTER_FAILED;
    }
    *extension = hm_slice_of(answer.vote_extension.data, answer.vote_extension.len);
    return survives(world, node) ? CLUSTER_ANSWERED : CLUSTER_CRASHED;
}

enum cluster_call cluster_call_verify(struct cluster_world *world, unsigned node,
                                      const Hypermesh__Abci__RequestVerifyVoteExtension *request,
                                      bool *accepted)
{
    const struct abci_handlers *handlers = &world->node[node].handlers;
    Hypermesh__Abci__ResponseVerifyVoteExtension answer =
        HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__INIT;
    struct hm_error error = {0};

    answer.status = HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__ACCEPT;
    if (!survives(world, node))
        return CLUSTER_CRASHED;
    /* What an error is to the server is not said: taken for the default here as well. */
    if (handlers->verify_vote_extension != NULL &&
        handlers->verify_vote_extension(handlers->ctx, request, &world->arena, &answer, &error) !=
            0)
        answer.status = HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__ACCEPT;
    *accepted = answer.status == HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__ACCEPT;
    if (!*accepted &&
        answer.status != HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__REJECT) {
        cluster_fail(world, "node %u, height %lld: verify_vote_extension's status is unknown", node,
                     (long long)request->height);
        return CLUSTER_FAILED;
    }
    return survives(world, node) ? CLUSTER_ANSWERED : CLUSTER_CRASHED;
}

enum cluster_call cluster_call_finalize(struct cluster_world *world, unsigned node,
                                        const Hypermesh__Abci__RequestFinalizeBlock *request,
                                        Hypermesh__Abci__ResponseFinalizeBlock *answer)
{
    const struct abci_handlers *handlers = &world->node[node].handlers;
    uint64_t height = (uint64_t)request->height;
    struct hm_error error = {0};
    const char *rule;
    int status;

    hypermesh__abci__response_finalize_block__init(answer);
    if (!survives(world, node))
        return CLUSTER_CRASHED;
    status = handlers->finalize_block(handlers->ctx, request, &world->arena, answer, &error);
    if (status == 0 &&
        (rule = cluster_rule_finalize(&world->set[height + 1], request, answer)) != NULL) {
        cluster_fail(world, "node %u, height %llu: %s", node, (unsigned long long)height, rule);
        return CLUSTER_FAILED;
    }
    return must(world, node, "finalize_block", status, &error);
}

enum cluster_call cluster_call_commit(struct cluster_world *world, unsigned node,
                                      Hypermesh__Abci__ResponseCommit *answer)
{
    const struct abci_handlers *handlers = &world->node[node].handlers;
    struct hm_error error = {0};

    hypermesh__abci__response_commit__init(answer);
    if (!survives(world, node))
        return CLUSTER_CRASHED;
    return must(world, node, "commit",
                handlers->commit(handlers->ctx, &world->arena, answer, &error), &error);
}
