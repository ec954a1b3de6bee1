/* How a node begins: the engine's handshake with its application after a crash, and a node that joins with an empty disk. */
#include "cluster_parts.h"

#define OFFERS_MAX 6
#define LOADS_MAX  64 /* of one snapshot */

static void app_start(struct cluster_world *world, unsigned node)
{
    struct cluster_node *it = &world->node[node];
    struct hm_error error = {0};

    if (it->app_up)
        return;
    if (world->kind->start(it->seat, &it->handlers, &error) != 0)
        cluster_fail(world, "node %u does not start: %s", node, error.text);
    it->app_up = true;
}

/* --- handshake ---------------------------------------------------------------------------------------- */

/* What the engine asks of the height that an application names. */
static bool height_is_good(struct cluster_world *world, unsigned node,
                           const Hypermesh__Abci__ResponseInfo *info)
{
    const struct cluster_node *it = &world->node[node];
    uint64_t height = (uint64_t)info->last_block_height;
    uint64_t next = height == 0 ? world->genesis.base : height + 1;

    if (info->last_block_height < 0)
        cluster_fail(world, "node %u names a negative height", node);
    else if (height > it->store)
        cluster_fail(world,
                     "node %u names height %llu, its engine has blocks up to %llu only: it "
                     "would not start",
                     node, (unsigned long long)height, (unsigned long long)it->store);
    else if (height > it->answered)
        cluster_fail(world,
                     "node %u names height %llu before its commit: its engine has no "
                     "results of it and would not start",
                     node, (unsigned long long)height);
    else if (next <= it->store && next < it->base)
        cluster_fail(world, "node %u would need block %llu, which it let its engine forget", node,
                     (unsigned long long)next);
    else if (height > 0 && height < world->genesis.base)
        cluster_fail(world, "node %u names height %llu, which is before the engine's first", node,
                     (unsigned long long)height);
    else if (height > 0 &&
             (info->last_block_app_hash.len != 32 ||
              memcmp(info->last_block_app_hash.data, world->block[height]->app_hash, 32) != 0))
        cluster_fail(world, "node %u has another app hash than it had at height %llu", node,
                     (unsigned long long)height);
    return !world->failed;
}

static void handshake(struct cluster_world *world, unsigned node)
{
    struct cluster_node *it = &world->node[node];
    Hypermesh__Abci__ResponseInfo info;
    enum cluster_call called = cluster_call_info(world, node, &info);

    if (called != CLUSTER_ANSWERED || !height_is_good(world, node, &info))
        return;
    if (info.last_block_height == 0)
        called = cluster_call_init(world, node);
    for (uint64_t height = info.last_block_height == 0 ? world->genesis.base
                                                       : (uint64_t)info.last_block_height + 1;
         called == CLUSTER_ANSWERED && height <= it->store; height++) {
        world->totals->replayed++;
        called = cluster_apply(world, node, world->block[height]);
    }
}

void cluster_start(struct cluster_world *world, unsigned node)
{
    struct cluster_node *it = &world->node[node];

    cluster_tell(world, "node %u: starts at height %llu", node, (unsigned long long)it->store);
    app_start(world, node);
    it->online = !world->failed;
    if (it->online)
        handshake(world, node);
}

/* --- joining by a snapshot ------------------------------------------------------------------------------ */

struct joining {
    unsigned node, teller;
    bool lie; /* what is offered is not what the teller has */
    Hypermesh__Abci__Snapshot *snapshot;
    uint8_t root[32];
    uint32_t refused; /* senders, a bit a node */
};

enum joined { JOINED, NOT_JOINED, OFFER_REFUSED };

static Hypermesh__Abci__Snapshot *snapshot_copy(struct cluster_world *world,
                                                const Hypermesh__Abci__Snapshot *from)
{
    Hypermesh__Abci__Snapshot *out = cluster_alloc(world, sizeof *out);

    *out = *from;
    out->metadata.data = cluster_alloc(world, from->metadata.len + 1);
    if (from->metadata.len > 0)
        memcpy(out->metadata.data, from->metadata.data, from->metadata.len);
    return out;
}

/* Another height's state under this height's name, or a byte of the metadata that is not so. */
static void snapshot_falsify(struct cluster_world *world, struct joining *join)
{
    if (cluster_chance(world, 50) && world->top > world->genesis.base + 3) {
        uint64_t other = world->genesis.base +
                         cluster_below(world, world->top - 1 - world->genesis.base);
        join->lie = other != join->snapshot->height;
        join->snapshot->height = other;
    } else if (join->snapshot->metadata.len > 0) {
        uint64_t at = cluster_below(world, join->snapshot->metadata.len);
        join->snapshot->metadata.data[at] ^= (uint8_t)(1 + cluster_below(world, 255));
        join->lie = true;
    }
}

/* Somebody's newest snapshot that the engine can use: it needs the two blocks after it. */
static bool snapshot_pick(struct cluster_world *world, struct joining *join)
{
    Hypermesh__Abci__ResponseListSnapshots told = HYPERMESH__ABCI__RESPONSE_LIST_SNAPSHOTS__INIT;
    const struct cluster_node *teller = &world->node[join->teller];
    struct hm_error error = {0};

    join->snapshot = NULL;
    join->lie = false;
    if (teller->handlers.list_snapshots == NULL)
        return false;
    if (teller->handlers.list_snapshots(teller->handlers.ctx, &world->arena, &told, &error) != 0) {
        cluster_fail(world, "node %u fails in list_snapshots: %s", join->teller, error.text);
        return false;
    }
    for (size_t i = 0; i < told.n_snapshots; i++)
        if (told.snapshots[i]->height + 2 <= world->top &&
            (join->snapshot == NULL || told.snapshots[i]->height > join->snapshot->height))
            join->snapshot = told.snapshots[i];
    if (join->snapshot == NULL)
        return false;
    join->snapshot = snapshot_copy(world, join->snapshot);
    if (teller->lies && cluster_chance(world, 70))
        snapshot_falsify(world, join);
    memcpy(join->root, world->block[join->snapshot->height]->app_hash, 32);
    return true;
}

static enum joined offer(struct cluster_world *world, struct joining *join)
{
    const struct abci_handlers *handlers = &world->node[join->node].handlers;
    Hypermesh__Abci__RequestOfferSnapshot request = HYPERMESH__ABCI__REQUEST_OFFER_SNAPSHOT__INIT;
    Hypermesh__Abci__ResponseOfferSnapshot answer = HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__INIT;
    struct hm_error error = {0};

    answer.result = HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__RESULT__ABORT;
    request.snapshot = join->snapshot;
    request.app_hash = (ProtobufCBinaryData){32, join->root};
    if (handlers->offer_snapshot == NULL)
        return NOT_JOINED;
    if (handlers->offer_snapshot(handlers->ctx, &request, &world->arena, &answer, &error) != 0)
        answer.result = HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__RESULT__ABORT;
    if (answer.result == HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__RESULT__ACCEPT)
        return JOINED;
    if (answer.result == HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__RESULT__UNKNOWN)
        cluster_fail(world, "node %u: offer_snapshot's result is unknown: its engine would end",
                     join->node);
    if (!join->lie)
        cluster_fail(world, "node %u refuses the snapshot of height %llu that node %u truly has",
                     join->node, (unsigned long long)join->snapshot->height, join->teller);
    world->totals->restores_refused++;
    return OFFER_REFUSED;
}

/* A chunk from the teller or from a liar who says that he has the same. */
static bool chunk_load(struct cluster_world *world, const struct joining *join, uint32_t index,
                       unsigned *sender, ProtobufCBinaryData *out)
{
    Hypermesh__Abci__RequestLoadSnapshotChunk request =
        HYPERMESH__ABCI__REQUEST_LOAD_SNAPSHOT_CHUNK__INIT;
    Hypermesh__Abci__ResponseLoadSnapshotChunk answer =
        HYPERMESH__ABCI__RESPONSE_LOAD_SNAPSHOT_CHUNK__INIT;
    const struct abci_handlers *handlers = &world->node[join->teller].handlers;
    struct hm_error error = {0};

    *sender = join->teller;
    for (unsigned i = 0; i < world->nodes; i++)
        if (world->node[i].lies && i != join->node && (join->refused & (UINT32_C(1) << i)) == 0 &&
            cluster_chance(world, 40))
            *sender = i;
    request.height = join->snapshot->height;
    request.format = join->snapshot->format;
    request.chunk = index;
    if (handlers->load_snapshot_chunk == NULL ||
        handlers->load_snapshot_chunk(handlers->ctx, &request, &world->arena, &answer, &error) !=
            0 ||
        answer.chunk.len == 0) {
        if (!join->lie)
            cluster_fail(world, "node %u has not the chunk %u of the snapshot it told of",
                         join->teller, index);
        return false;
    }
    *out = (ProtobufCBinaryData){answer.chunk.len, cluster_alloc(world, answer.chunk.len)};
    memcpy(out->data, answer.chunk.data, answer.chunk.len);
    if (world->node[*sender].lies && cluster_chance(world, 60))
        out->data[cluster_below(world, out->len)] ^= (uint8_t)(1 + cluster_below(world, 255));
    return true;
}

static Hypermesh__Abci__ResponseApplySnapshotChunk__Result chunk_apply(struct cluster_world *world,
                                                                       struct joining *join,
                                                                       uint32_t index,
                                                                       unsigned sender,
                                                                       ProtobufCBinaryData chunk)
{
    const struct abci_handlers *handlers = &world->node[join->node].handlers;
    Hypermesh__Abci__RequestApplySnapshotChunk request =
        HYPERMESH__ABCI__REQUEST_APPLY_SNAPSHOT_CHUNK__INIT;
    Hypermesh__Abci__ResponseApplySnapshotChunk answer =
        HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__INIT;
    char name[16];
    struct hm_error error = {0};

    (void)snprintf(name, sizeof name, "node%u", sender);
    request.index = index;
    request.chunk = chunk;
    request.sender = name;
    answer.result = HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__ABORT;
    if (handlers->apply_snapshot_chunk == NULL ||
        handlers->apply_snapshot_chunk(handlers->ctx, &request, &world->arena, &answer, &error) !=
            0)
        answer.result = HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__ABORT;
    for (size_t i = 0; i < answer.n_reject_senders; i++) {
        if (strcmp(answer.reject_senders[i], name) != 0)
            continue;
        join->refused |= UINT32_C(1) << sender;
        world->totals->liars_caught++;
        if (!world->node[sender].lies && !join->lie)
            cluster_fail(world, "node %u refuses node %u, which sent it a true chunk", join->node,
                         sender);
    }
    return answer.result;
}

static enum joined chunks(struct cluster_world *world, struct joining *join)
{
    uint32_t done = 0;

    for (unsigned load = 0; load < LOADS_MAX && done < join->snapshot->chunks && !world->failed;
         load++) {
        ProtobufCBinaryData chunk;
        unsigned sender;
        if (!chunk_load(world, join, done, &sender, &chunk))
            return OFFER_REFUSED;
        switch (chunk_apply(world, join, done, sender, chunk)) {
        case HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__ACCEPT:
            done++;
            break;
        case HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__RETRY:
            break;
        case HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__RETRY_SNAPSHOT:
        case HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__REJECT_SNAPSHOT:
            world->totals->restores_refused++;
            return OFFER_REFUSED;
        case HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__ABORT:
            return NOT_JOINED;
        default:
            cluster_fail(world, "node %u: apply_snapshot_chunk's result is unknown", join->node);
            return NOT_JOINED;
        }
    }
    return done == join->snapshot->chunks ? JOINED : OFFER_REFUSED;
}

/* The last question of the engine: is it where the light client says? */
static void restored(struct cluster_world *world, const struct joining *join)
{
    struct cluster_node *it = &world->node[join->node];
    Hypermesh__Abci__RequestInfo request = HYPERMESH__ABCI__REQUEST_INFO__INIT;
    Hypermesh__Abci__ResponseInfo info = HYPERMESH__ABCI__RESPONSE_INFO__INIT;
    struct hm_error error = {0};

    if (it->handlers.info(it->handlers.ctx, &request, &world->arena, &info, &error) != 0 ||
        (uint64_t)info.last_block_height != join->snapshot->height ||
        info.last_block_app_hash.len != 32 ||
        memcmp(info.last_block_app_hash.data, join->root, 32) != 0) {
        cluster_fail(world, "node %u took in %s snapshot and is not at height %llu with its root",
                     join->node, join->lie ? "a false" : "a true",
                     (unsigned long long)join->snapshot->height);
        return;
    }
    it->store = it->answered = join->snapshot->height;
    it->base = it->store + 1;
    it->online = true;
    world->totals->restored++;
    cluster_tell(world, "node %u: joins with the snapshot of height %llu from node %u", join->node,
                 (unsigned long long)it->store, join->teller);
}

/* Killed between chunks it must begin anew. */
static void kill_and_start(struct cluster_world *world, unsigned node)
{
    struct cluster_node *it = &world->node[node];
    Hypermesh__Abci__RequestInfo request = HYPERMESH__ABCI__REQUEST_INFO__INIT;
    Hypermesh__Abci__ResponseInfo info = HYPERMESH__ABCI__RESPONSE_INFO__INIT;
    struct hm_error error = {0};

    world->kind->stop(it->seat);
    it->app_up = false;
    app_start(world, node);
    if (!world->failed &&
        (it->handlers.info(it->handlers.ctx, &request, &world->arena, &info, &error) != 0 ||
         info.last_block_height != 0))
        cluster_fail(world, "node %u names height %lld after it was killed with half a snapshot",
                     node, (long long)info.last_block_height);
}

static bool join_by_snapshot(struct cluster_world *world, unsigned node)
{
    struct joining join = {.node = node};

    for (unsigned i = 0; i < OFFERS_MAX && !world->failed; i++) {
        enum joined result;
        join.teller = (unsigned)cluster_below(world, world->nodes);
        if (join.teller == node || !world->node[join.teller].online || !snapshot_pick(world, &join))
            continue;
        result = offer(world, &join);
        if (result == JOINED && !world->calm && cluster_chance(world, 10)) {
            kill_and_start(world, node);
            continue;
        }
        if (result == JOINED)
            result = chunks(world, &join);
        if (result == NOT_JOINED || world->failed)
            return false;
        if (result == JOINED) {
            restored(world, &join);
            return true;
        }
    }
    return false;
}

void cluster_join(struct cluster_world *world, unsigned node)
{
    struct cluster_node *it = &world->node[node];

    if (it->app_up)
        world->kind->stop(it->seat);
    world->kind->seat_free(it->seat);
    it->seat = NULL;
    it->app_up = false;
    it->online = false;
    it->member = true;
    it->base = world->genesis.base;
    it->store = it->answered = it->base - 1;
    for (size_t i = 0; i < world->txs; i++)
        world->tx[i].pooled &= ~(UINT32_C(1) << node);
    if (world->kind->seat_new(world->app_world, node, &it->clock, &it->seat) != 0) {
        cluster_fail(world, "node %u gets no disk", node);
        return;
    }
    app_start(world, node);
    if (world->failed || join_by_snapshot(world, node) || world->failed)
        return;
    /* Nobody has one: all blocks from the first. What half a snapshot left in memory goes. */
    world->kind->stop(it->seat);
    it->app_up = false;
    world->totals->from_genesis++;
    cluster_start(world, node);
}
