/* One height: rounds of proposal, votes and extended votes, until more than two thirds of the power agree. */
#include "cluster_parts.h"

#include <stdlib.h>

#include "wire.h"

#define ROUNDS_MAX      12 /* of one try; what is under way stays for the next */
#define CALM_ROUNDS_MAX 40
#define NONSENSE_MAX    3

/* One round's world. */
struct round {
    uint64_t height;
    unsigned number, group;
    unsigned proposer; /* node */
    struct cluster_block *block; /* what is proposed */
    bool own[CLUSTER_NODES_MAX]; /* saw the proposal and accepted it, by node */
};

static bool reaches(const struct cluster_world *world, const struct round *round, unsigned node)
{
    return world->node[node].online && world->node[node].group == round->group;
}

/* Is so much power more than two thirds of the height's? */
static bool enough(const struct cluster_world *world, uint64_t height, int64_t power)
{
    return power * 3 > cluster_set_total(&world->set[height]) * 2;
}

static int64_t power_online(const struct cluster_world *world, uint64_t height, unsigned group)
{
    const struct cluster_set *set = &world->set[height];
    int64_t power = 0;

    for (unsigned i = 0; i < set->count; i++) {
        const struct cluster_node *node = &world->node[set->validator[i].node];
        power += node->online && node->group == group ? set->validator[i].power : 0;
    }
    return power;
}

/* --- what a proposer takes of the votes for the block before -------------------------------------------- */

struct chosen {
    Hypermesh__Abci__BlockIdFlag flags[CLUSTER_NODES_MAX];
    uint64_t time_ms;
};

/* The median of the times of those who voted for the block, by power. */
static uint64_t median_time(const struct cluster_world *world, const struct cluster_block *last,
                            const struct chosen *chosen)
{
    const struct cluster_set *set = &world->set[last->height];
    bool used[CLUSTER_NODES_MAX] = {false};
    int64_t left = 0;

    for (unsigned i = 0; i < set->count; i++)
        left += chosen->flags[i] == HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT
                    ? set->validator[i].power
                    : 0;
    left /= 2;
    for (;;) {
        int least = -1;
        for (unsigned i = 0; i < set->count; i++)
            if (chosen->flags[i] == HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT && !used[i] &&
                (least < 0 || last->vote[i].time_ms < last->vote[least].time_ms))
                least = (int)i;
        if (left <= set->validator[least].power)
            return last->vote[least].time_ms;
        left -= set->validator[least].power;
        used[least] = true;
    }
}

/* More than two thirds of the power, and of the rest what happened to arrive. */
static void votes_choose(struct cluster_world *world, uint64_t height, struct chosen *out)
{
    const struct cluster_block *last;
    const struct cluster_set *set;
    int64_t power = 0;

    if (height == world->genesis.base) {
        out->time_ms = world->genesis.time_ms;
        return;
    }
    last = world->block[height - 1];
    set = &world->set[height - 1];
    for (unsigned i = 0; i < set->count; i++) {
        out->flags[i] = last->vote[i].flag;
        if (out->flags[i] == HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT)
            power += set->validator[i].power;
    }
    for (unsigned i = 0; i < set->count; i++) {
        if (out->flags[i] != HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT ||
            !enough(world, height - 1, power - set->validator[i].power) ||
            !cluster_chance(world, 20))
            continue;
        out->flags[i] = HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_ABSENT;
        power -= set->validator[i].power;
    }
    out->time_ms = median_time(world, last, out);
}

static Hypermesh__Abci__ExtendedCommitInfo *request_votes(struct cluster_world *world,
                                                          uint64_t height,
                                                          const struct chosen *chosen)
{
    Hypermesh__Abci__ExtendedCommitInfo *out = cluster_alloc(world, sizeof *out);
    const struct cluster_block *last;
    const struct cluster_set *set;

    hypermesh__abci__extended_commit_info__init(out);
    if (height == world->genesis.base)
        return out;
    last = world->block[height - 1];
    set = &world->set[height - 1];
    out->round = (int32_t)last->round;
    out->votes = cluster_alloc(world, set->count * sizeof *out->votes);
    out->n_votes = set->count;
    for (unsigned i = 0; i < set->count; i++) {
        Hypermesh__Abci__ExtendedVoteInfo *vote = cluster_alloc(world, sizeof *vote);
        hypermesh__abci__extended_vote_info__init(vote);
        vote->validator = cluster_alloc(world, sizeof *vote->validator);
        hypermesh__abci__validator__init(vote->validator);
        vote->validator->address = (ProtobufCBinaryData){
            20, (uint8_t *)(uintptr_t)set->validator[i].address};
        vote->validator->power = set->validator[i].power;
        vote->flag = chosen->flags[i];
        if (vote->flag == HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT) {
            const struct cluster_vote *from = &last->vote[i];
            vote->vote_extension = (ProtobufCBinaryData){from->extension.len, from->extension.data};
            vote->extension_signature = (ProtobufCBinaryData){
                sizeof from->signature, (uint8_t *)(uintptr_t)from->signature};
        }
        out->votes[i] = vote;
    }
    return out;
}

/* --- proposals ---------------------------------------------------------------------------------------- */

static struct cluster_block *block_new(struct cluster_world *world, const struct round *round,
                                       const ProtobufCBinaryData *txs, size_t count,
                                       const struct chosen *chosen)
{
    struct cluster_block *block = hm_calloc(1, sizeof *block);
    uint8_t salt[32];
    struct crypto_hasher hasher;

    if (block == NULL || (block->txs = hm_calloc(count + 1, sizeof *block->txs)) == NULL)
        abort();
    block->height = round->height;
    block->round = round->number;
    block->proposer = round->proposer;
    block->time_ms = chosen->time_ms;
    block->faults = world->pending_faults;
    memcpy(block->fault, world->pending, sizeof block->fault);
    if (round->height > world->genesis.base)
        block->last_round = world->block[round->height - 1]->round;
    memcpy(block->last_flags, chosen->flags, sizeof block->last_flags);
    crypto_hasher_init(&hasher);
    (void)world->dice.fill(world->dice.ctx, salt, sizeof salt);
    crypto_hasher_update(&hasher, salt, sizeof salt);
    for (size_t i = 0; i < count; i++) {
        ProtobufCBinaryData *tx = &block->txs[block->count++];
        tx->len = txs[i].len;
        tx->data = hm_malloc(tx->len + 1);
        if (tx->data == NULL)
            abort();
        if (tx->len > 0)
            memcpy(tx->data, txs[i].data, tx->len);
        crypto_hasher_update(&hasher, tx->data, tx->len);
    }
    crypto_hasher_final(&hasher, block->hash);
    return block;
}

/* The pool of the proposer: most of what anybody of its group has taken in came to it meanwhile. */
static enum cluster_call pool_fill(struct cluster_world *world, const struct round *round)
{
    uint32_t own = UINT32_C(1) << round->proposer, group = 0;

    for (unsigned i = 0; i < world->nodes; i++)
        group |= reaches(world, round, i) ? UINT32_C(1) << i : 0;
    for (size_t i = 0; i < world->txs; i++) {
        struct cluster_tx *tx = &world->tx[i];
        enum cluster_call called;
        bool taken = false;
        if (tx->decided || tx->pooled & own || (tx->pooled & group) == 0 ||
            (!world->calm && cluster_chance(world, 25)))
            continue;
        called = cluster_call_check(world, round->proposer, hm_buf_slice(&tx->bytes), false,
                                    &taken);
        if (called != CLUSTER_ANSWERED)
            return called;
        tx->pooled |= taken ? own : 0;
    }
    return CLUSTER_ANSWERED;
}

static struct cluster_block *propose_honest(struct cluster_world *world, const struct round *round)
{
    Hypermesh__Abci__RequestPrepareProposal request =
        HYPERMESH__ABCI__REQUEST_PREPARE_PROPOSAL__INIT;
    Hypermesh__Abci__ResponsePrepareProposal answer;
    uint32_t own = UINT32_C(1) << round->proposer;
    struct chosen chosen = {0};

    if (pool_fill(world, round) != CLUSTER_ANSWERED)
        return NULL;
    votes_choose(world, round->height, &chosen);
    request.txs = cluster_alloc(world, (world->txs + 1) * sizeof *request.txs);
    for (size_t i = 0; i < world->txs; i++)
        if (!world->tx[i].decided && world->tx[i].pooled & own)
            request.txs[request.n_txs++] = (ProtobufCBinaryData){world->tx[i].bytes.len,
                                                                 world->tx[i].bytes.data};
    request.max_tx_bytes = world->max_tx_bytes;
    request.height = (int64_t)round->height;
    request.local_last_commit = request_votes(world, round->height, &chosen);
    request.misbehavior = cluster_request_faults(world, world->pending, world->pending_faults);
    request.n_misbehavior = world->pending_faults;
    cluster_request_times(world, chosen.time_ms, &request.time);
    request.next_validators_hash = cluster_request_next(world, round->height);
    request.proposer_address = (ProtobufCBinaryData){20, world->node[round->proposer].self.address};
    if (cluster_call_prepare(world, round->proposer, &request, &answer) != CLUSTER_ANSWERED)
        return NULL;
    return block_new(world, round, answer.txs, answer.n_txs, &chosen);
}

/* Something that no honest application would have made; more than its own checker could only be seen by others. */
static struct cluster_block *propose_nonsense(struct cluster_world *world,
                                              const struct round *round)
{
    ProtobufCBinaryData txs[NONSENSE_MAX];
    struct hm_buf bytes[NONSENSE_MAX] = {{0}};
    size_t count = 1 + (size_t)cluster_below(world, NONSENSE_MAX);
    struct cluster_block *block;
    struct chosen chosen = {0};

    votes_choose(world, round->height, &chosen);
    for (size_t i = 0; i < count; i++) {
        if (world->kind->make_nonsense(world->app_world, &world->dice, &bytes[i]) != 0)
            cluster_fail(world, "the application makes no nonsense");
        txs[i] = (ProtobufCBinaryData){bytes[i].len, bytes[i].data};
    }
    block = block_new(world, round, txs, count, &chosen);
    block->nonsense = true;
    for (size_t i = 0; i < count; i++)
        hm_buf_release(&bytes[i]);
    world->totals->hostile_proposals++;
    return block;
}

static struct cluster_block *propose(struct cluster_world *world, const struct round *round)
{
    if (!reaches(world, round, round->proposer))
        return NULL;
    if (world->valid != NULL) {
        world->totals->reproposals++;
        return world->valid;
    }
    if (!world->node[round->proposer].lies)
        return propose_honest(world, round);
    return world->calm || cluster_chance(world, 30) ? NULL : propose_nonsense(world, round);
}

/* --- votes -------------------------------------------------------------------------------------------- */

/* The power that votes for the proposal in the first vote. */
static int64_t prevotes(struct cluster_world *world, struct round *round)
{
    const struct cluster_set *set = &world->set[round->height];
    Hypermesh__Abci__RequestProcessProposal request;
    unsigned order[CLUSTER_NODES_MAX];
    int64_t power = 0;

    cluster_request_process(world, round->block, &request);
    cluster_order(world, order);
    for (unsigned i = 0; i < world->nodes && !world->failed; i++) {
        unsigned node = order[i];
        int index = cluster_set_find(set, node);
        bool accepted = false;
        if (!reaches(world, round, node) || (!world->calm && cluster_chance(world, 8)))
            continue; /* did not hear of it in time */
        if (cluster_call_process(world, node, &request, &accepted) != CLUSTER_ANSWERED)
            continue;
        if (accepted && round->block->nonsense)
            cluster_fail(world, "node %u, height %llu: accepts a proposal that is nonsense", node,
                         (unsigned long long)round->height);
        if (!accepted && !round->block->nonsense) {
            world->totals->honest_refused++;
            if (node == round->block->proposer)
                cluster_fail(world, "node %u, height %llu: refuses its own proposal", node,
                             (unsigned long long)round->height);
        }
        round->own[node] = accepted;
        if (index >= 0 && (accepted || (world->node[node].lies && cluster_chance(world, 50))))
            power += set->validator[index].power;
    }
    return power;
}

/* What a liar's engine puts into its vote in place of its application's extension. */
static struct hm_slice wrong_extension(struct cluster_world *world, unsigned node)
{
    static const size_t sizes[] = {0, 1, 7, 300, 65536, 65537, 200000};
    size_t len = sizes[cluster_below(world, HM_COUNT_OF(sizes))];
    uint8_t *bytes = cluster_alloc(world, len + 1);

    if (world->kind->make_lie != NULL && cluster_chance(world, 70)) {
        HM_CLEANUP(hm_buf) struct hm_buf lie = {0};
        if (world->kind->make_lie(world->app_world, node, &lie) != 0)
            abort();
        world->totals->lies++;
        bytes = cluster_alloc(world, lie.len + 1);
        memcpy(bytes, lie.data, lie.len);
        return hm_slice_of(bytes, lie.len);
    }
    (void)world->dice.fill(world->dice.ctx, bytes, len < 64 ? len : 64);
    world->totals->hostile_extensions++;
    return hm_slice_of(bytes, len);
}

/* Everybody who hears the vote judges it; all must judge the same, and an honest one must pass. */
static bool extension_passes(struct cluster_world *world, const struct round *round, unsigned voter,
                             struct hm_slice extension)
{
    Hypermesh__Abci__RequestVerifyVoteExtension request =
        HYPERMESH__ABCI__REQUEST_VERIFY_VOTE_EXTENSION__INIT;
    bool first = true, verdict = true;

    request.hash = (ProtobufCBinaryData){32, round->block->hash};
    request.height = (int64_t)round->height;
    request.validator_address = (ProtobufCBinaryData){20, world->node[voter].self.address};
    request.vote_extension = (ProtobufCBinaryData){extension.len,
                                                   (uint8_t *)(uintptr_t)extension.data};
    for (unsigned node = 0; node < world->nodes && !world->failed; node++) {
        bool accepted;
        if (node == voter || !reaches(world, round, node))
            continue;
        if (cluster_call_verify(world, node, &request, &accepted) != CLUSTER_ANSWERED)
            continue;
        if (!accepted && !world->node[voter].lies)
            cluster_fail(world, "node %u, height %llu: refuses an honest node's vote extension",
                         node, (unsigned long long)round->height);
        if (!first && accepted != verdict)
            cluster_fail(world, "height %llu: nodes judge one vote extension differently",
                         (unsigned long long)round->height);
        verdict = accepted;
        first = false;
    }
    return verdict;
}

static uint64_t vote_time(struct cluster_world *world, unsigned node,
                          const struct cluster_block *block)
{
    uint64_t now = cluster_node_ms(&world->node[node]);

    if (world->node[node].lies && cluster_chance(world, 50))
        now += cluster_below(world, 100000000); /* to the next day */
    return now > block->time_ms ? now : block->time_ms + 1;
}

static void extension_sign(struct cluster_world *world, const struct round *round, unsigned node,
                           struct cluster_vote *vote)
{
    Hypermesh__Abci__CanonicalVoteExtension what = HYPERMESH__ABCI__CANONICAL_VOTE_EXTENSION__INIT;
    HM_CLEANUP(hm_buf) struct hm_buf message = {0};
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    size_t len;
    int rc;

    what.extension = (ProtobufCBinaryData){vote->extension.len, vote->extension.data};
    what.height = (int64_t)round->height;
    what.round = round->number;
    what.chain_id = world->genesis.chain_id;
    rc = wire_pack(&what.base, &message);
    for (len = message.len; rc == 0 && len > 0x7f; len >>= 7)
        rc = hm_buf_append(&bytes, &(uint8_t){(uint8_t)(len | 0x80)}, 1);
    if (rc != 0 || hm_buf_append(&bytes, &(uint8_t){(uint8_t)len}, 1) != 0 ||
        hm_buf_append(&bytes, message.data, message.len) != 0)
        abort();
    crypto_ed25519_sign(&world->node[node].signer, bytes.data, bytes.len, vote->signature);
}

/* The power of the votes for the block that count; they are kept with it. */
static int64_t precommits(struct cluster_world *world, struct round *round)
{
    const struct cluster_set *set = &world->set[round->height];
    Hypermesh__Abci__RequestExtendVote request;
    int64_t power = 0;

    cluster_request_extend(world, round->block, &request);
    for (unsigned i = 0; i < set->count && !world->failed; i++) {
        unsigned node = set->validator[i].node;
        struct cluster_vote *vote = &round->block->vote[i];
        struct hm_slice extension;
        hm_buf_clear(&vote->extension);
        vote->flag = HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_ABSENT;
        if (!reaches(world, round, node))
            continue;
        if (!world->calm && cluster_chance(world, 8)) {
            /* Did not hear of enough first votes, or heard too late. */
            vote->flag = cluster_chance(world, 50) ? HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_NIL
                                                   : HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_ABSENT;
            continue;
        }
        if (cluster_call_extend(world, node, &request, &extension) != CLUSTER_ANSWERED)
            continue;
        if (world->node[node].lies && !world->calm && cluster_chance(world, 50))
            extension = wrong_extension(world, node);
        if (!extension_passes(world, round, node, extension))
            continue;
        if (hm_buf_append(&vote->extension, extension.data, extension.len) != 0)
            abort();
        extension_sign(world, round, node, vote);
        vote->flag = HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT;
        vote->time_ms = vote_time(world, node, round->block);
        power += set->validator[i].power;
    }
    return power;
}

/* --- a decided block ---------------------------------------------------------------------------------- */

static void decide(struct cluster_world *world, struct cluster_block *block)
{
    world->top = block->height;
    world->block[block->height] = block;
    world->valid = NULL;
    world->totals->heights++;
    world->totals->faults_told += block->faults;
    world->pending_faults = 0;
    for (size_t i = 0; i < world->txs; i++) {
        struct cluster_tx *tx = &world->tx[i];
        for (size_t k = 0; k < block->count && !tx->decided; k++) {
            if (!hm_slice_equal(hm_slice_of(block->txs[k].data, block->txs[k].len),
                                hm_buf_slice(&tx->bytes)))
                continue;
            tx->decided = true;
            tx->height = block->height;
        }
    }
    cluster_tell(world, "height %llu, round %u, node %u: %zu items, %u faults",
                 (unsigned long long)block->height, block->round, block->proposer, block->count,
                 block->faults);
}

/* A liar who is a validator may have signed two blocks of this height. */
static void double_sign(struct cluster_world *world, const struct cluster_block *block)
{
    const struct cluster_set *set = &world->set[block->height];

    for (unsigned i = 0; i < set->count; i++) {
        if (world->calm || !world->node[set->validator[i].node].lies ||
            world->pending_faults == CLUSTER_FAULTS_MAX || !cluster_chance(world, 10))
            continue;
        world->pending[world->pending_faults++] = (struct cluster_fault){
            .validator = set->validator[i],
            .height = block->height,
            .time_ms = block->time_ms,
            .total = cluster_set_total(set)};
    }
}

static void deliver(struct cluster_world *world, const struct round *round,
                    struct cluster_block *block)
{
    unsigned order[CLUSTER_NODES_MAX];

    cluster_order(world, order);
    for (unsigned i = 0; i < world->nodes && !world->failed; i++)
        if (reaches(world, round, order[i]) && (world->calm || !cluster_chance(world, 10)))
            (void)cluster_catch_up(world, order[i]);
    double_sign(world, block);
}

/* True: the height is decided. */
static bool round_run(struct cluster_world *world, struct round *round)
{
    struct cluster_block *block = propose(world, round);
    bool decided = false;

    world->totals->rounds++;
    round->block = block;
    if (block == NULL || world->failed)
        return false;
    if (enough(world, round->height, prevotes(world, round)) && !world->failed) {
        world->valid = block;
        decided = enough(world, round->height, precommits(world, round)) && !world->failed;
    }
    if (decided) {
        block->round = round->number;
        decide(world, block);
        deliver(world, round, block);
    } else if (block != world->valid) {
        world->totals->abandoned_proposals += !block->nonsense;
        cluster_block_free(block);
    }
    return decided;
}

/* --- whether ------------------------------------------------------------------------------------------- */

/* As with create_empty_blocks off: something waits, or the last block changed the root, so that a header has to say it. */
bool cluster_wants_block(const struct cluster_world *world)
{
    const struct cluster_block *last = world->top < world->genesis.base ? NULL
                                                                        : world->block[world->top];

    if (last == NULL || !last->executed)
        return true;
    for (size_t i = 0; i < world->txs; i++)
        if (!world->tx[i].decided && world->tx[i].pooled != 0)
            return true;
    return memcmp(last->app_hash,
                  last->height == world->genesis.base ? world->genesis_hash
                                                      : world->block[last->height - 1]->app_hash,
                  32) != 0;
}

static int group_that_can(const struct cluster_world *world, uint64_t height)
{
    for (unsigned group = 0; group < CLUSTER_NODES_MAX; group++)
        if (enough(world, height, power_online(world, height, group)))
            return (int)group;
    return -1;
}

static bool all_catch_up(struct cluster_world *world, const struct round *round)
{
    unsigned order[CLUSTER_NODES_MAX];

    cluster_order(world, order);
    for (unsigned i = 0; i < world->nodes && !world->failed; i++)
        if (reaches(world, round, order[i]))
            (void)cluster_catch_up(world, order[i]);
    return !world->failed &&
           (world->top < world->genesis.base || world->block[world->top]->executed);
}

void cluster_height(struct cluster_world *world)
{
    uint64_t height = world->top + 1;
    unsigned limit = world->calm ? CALM_ROUNDS_MAX : ROUNDS_MAX;
    int group = group_that_can(world, height);

    if (height > CLUSTER_HEIGHTS_MAX)
        cluster_fail(world, "blocks are made without end");
    if (group < 0 || world->failed || !cluster_wants_block(world)) {
        world->totals->stalls += group < 0;
        return;
    }
    for (unsigned i = 0; i < limit && !world->failed; i++) {
        struct round round = {.height = height, .number = i, .group = (unsigned)group};
        const struct cluster_set *set = &world->set[height];
        if (!all_catch_up(world, &round) ||
            !enough(world, height, power_online(world, height, round.group)))
            return;
        round.proposer = set->validator[cluster_set_proposer(set, i)].node;
        world->now_ms += 20 + cluster_below(world, 200);
        if (round_run(world, &round))
            return;
    }
    if (world->calm && !world->failed)
        cluster_fail(world, "height %llu: no block in %u rounds, though nothing is broken",
                     (unsigned long long)height, limit);
}
