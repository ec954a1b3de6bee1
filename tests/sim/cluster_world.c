/* A run: the world's making, what happens in it, and what must hold at its end. */
#include "cluster_parts.h"

#include <inttypes.h>

#define STEPS_MIN    25
#define STEPS_MORE   40
#define CALM_STEPS   400
#define IDLE_BLOCKS  4 /* that an idle chain may still make: their headers tell the root */
#define TRIES_MAX    40 /* of a client with one transaction */
#define REFUSALS_MAX 3
#define LARGE_TXS    (2 << 20) /* bytes */

/* --- helpers ------------------------------------------------------------------------------------------ */

void cluster_fail(struct cluster_world *world, const char *format, ...)
{
    va_list args;

    if (world->failed)
        return;
    world->failed = true;
    va_start(args, format);
    (void)vsnprintf(world->why, CLUSTER_WHY_BYTES, format, args);
    va_end(args);
}

void cluster_tell(const struct cluster_world *world, const char *format, ...)
{
    va_list args;

    if (!world->trace)
        return;
    va_start(args, format);
    (void)fprintf(stderr, "%8" PRIu64 " ", world->now_ms - world->began_ms);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
}

uint64_t cluster_below(struct cluster_world *world, uint64_t limit)
{
    return limit == 0 ? 0 : hm_random_u64(&world->dice) % limit;
}

bool cluster_chance(struct cluster_world *world, unsigned percent)
{
    return cluster_below(world, 100) < percent;
}

void *cluster_alloc(struct cluster_world *world, size_t size)
{
    void *out = hm_arena_alloc(&world->arena, size == 0 ? 1 : size);

    if (out == NULL)
        abort();
    return out;
}

uint64_t cluster_node_ms(const struct cluster_node *node)
{
    return (uint64_t)((int64_t)node->world->now_ms + node->skew_ms);
}

void cluster_order(struct cluster_world *world, unsigned order[CLUSTER_NODES_MAX])
{
    for (unsigned i = 0; i < world->nodes; i++)
        order[i] = i;
    for (unsigned i = world->nodes; i > 1; i--) {
        unsigned other = (unsigned)cluster_below(world, i), kept = order[i - 1];
        order[i - 1] = order[other];
        order[other] = kept;
    }
}

static uint64_t node_wall_ms(void *ctx)
{
    return cluster_node_ms(ctx);
}

static uint64_t node_mono_ns(void *ctx)
{
    return ((const struct cluster_node *)ctx)->world->now_ms * 1000000;
}

/* --- making ------------------------------------------------------------------------------------------- */

static void node_make(struct cluster_world *world, unsigned number)
{
    struct cluster_node *node = &world->node[number];
    struct crypto_sha256 *sha = NULL;
    uint8_t seed[32], digest[CRYPTO_SHA256_BYTES];

    (void)world->dice.fill(world->dice.ctx, seed, sizeof seed);
    crypto_ed25519_from_seed(&node->signer, seed);
    memcpy(node->self.key, node->signer.public_key, 32);
    if (crypto_sha256_new(&sha) != 0)
        abort();
    crypto_sha256_update(sha, node->self.key, 32);
    crypto_sha256_final(sha, digest);
    crypto_sha256_free(sha);
    memcpy(node->self.address, digest, 20);
    node->self.node = number;
    node->world = world;
    node->clock = (struct hm_clock){node_wall_ms, node_mono_ns, node};
    node->base = world->genesis.base;
    node->store = node->answered = node->base - 1;
    if (cluster_chance(world, 30))
        node->skew_ms = (int64_t)cluster_below(world, 60001) - 30000;
}

/* Who may lie without being a third of the power. */
static void liars_choose(struct cluster_world *world)
{
    const struct cluster_set *set = &world->set[world->genesis.base];
    unsigned index = (unsigned)cluster_below(world, set->count);

    if (cluster_chance(world, 50) && set->validator[index].power * 3 < cluster_set_total(set))
        world->genesis.validator[set->validator[index].node].lies =
            world->node[set->validator[index].node].lies = true;
}

static void genesis_make(struct cluster_world *world, uint64_t seed)
{
    struct cluster_set *first = &world->set[world->genesis.base];
    bool equal = cluster_chance(world, 50);

    world->genesis.seed = seed;
    world->genesis.time_ms = world->now_ms - 60000;
    if (world->kind->chain_id != NULL)
        (void)snprintf(world->genesis.chain_id, sizeof world->genesis.chain_id, "%s",
                       world->kind->chain_id);
    else
        (void)snprintf(world->genesis.chain_id, sizeof world->genesis.chain_id, "sim-%" PRIu64,
                       seed);
    for (unsigned i = 0; i < world->genesis.count; i++) {
        int64_t power = equal ? 10 : 1 + (int64_t)cluster_below(world, 20);
        memcpy(world->genesis.validator[i].key, world->node[i].self.key, 32);
        world->genesis.validator[i].signer = world->node[i].signer;
        world->genesis.validator[i].power = power;
        first->validator[i] = world->node[i].self;
        first->validator[i].power = power;
    }
    first->count = world->genesis.count;
    cluster_set_sort(first);
    first[1] = *first;
    cluster_set_advance(&first[1]);
    world->sets_known = world->genesis.base + 1;
}

static void world_make(struct cluster_world *world, uint64_t seed)
{
    world->dice = hm_random_seeded_source(&world->dice_state, seed);
    world->now_ms = world->kind->start_ms != 0 ? world->kind->start_ms : CLUSTER_START_MS;
    world->began_ms = world->now_ms;
    world->genesis.base = world->kind->base != 0 ? world->kind->base : 1;
    world->top = world->genesis.base - 1;
    world->genesis.count = cluster_chance(world, 25) ? 7 : 4;
    if (cluster_chance(world, 10))
        world->genesis.count = 1;
    world->nodes = world->genesis.count + (cluster_chance(world, 60) ? 1 : 0);
    world->crash_ppm = (uint32_t)cluster_below(world, 6000);
    world->max_tx_bytes = cluster_chance(world, 30) && world->kind->small_block_bytes > 0
                              ? world->kind->small_block_bytes
                              : LARGE_TXS;
    hm_arena_init(&world->arena, 0);
    for (unsigned i = 0; i < world->nodes; i++)
        node_make(world, i);
    genesis_make(world, seed);
    liars_choose(world);
    if (world->kind->world_begin(&world->genesis, &world->app_world) != 0) {
        cluster_fail(world, "the application's world does not begin");
        return;
    }
    for (unsigned i = 0; i < world->nodes && !world->failed; i++) {
        struct cluster_node *node = &world->node[i];
        if (world->kind->seat_new(world->app_world, i, &node->clock, &node->seat) != 0)
            cluster_fail(world, "node %u gets no disk", i);
        node->member = i < world->genesis.count;
        if (node->member && !world->failed)
            cluster_start(world, i);
    }
}

static void world_end(struct cluster_world *world)
{
    for (unsigned i = 0; i < world->nodes; i++)
        if (world->node[i].seat != NULL)
            world->kind->seat_free(world->node[i].seat);
    if (world->app_world != NULL)
        world->kind->world_end(world->app_world);
    for (uint64_t i = world->genesis.base; i <= world->top; i++)
        cluster_block_free(world->block[i]);
    cluster_block_free(world->valid);
    for (size_t i = 0; i < world->txs; i++)
        hm_buf_release(&world->tx[i].bytes);
    hm_arena_release(&world->arena);
}

/* --- clients ------------------------------------------------------------------------------------------ */

static void submit(struct cluster_world *world, struct cluster_tx *tx)
{
    unsigned node = (unsigned)cluster_below(world, world->nodes);
    bool taken = false;

    if (!world->node[node].online)
        return;
    tx->tries++;
    if (cluster_call_check(world, node, hm_buf_slice(&tx->bytes), false, &taken) !=
        CLUSTER_ANSWERED)
        return;
    if (taken) {
        tx->pooled |= UINT32_C(1) << node;
        return;
    }
    tx->refusals++;
    world->totals->refused_txs++;
    if (!world->kind->may_refuse)
        cluster_fail(world, "node %u refuses a good transaction", node);
}

static struct cluster_tx *tx_new(struct cluster_world *world)
{
    return world->txs < CLUSTER_TXS_MAX ? &world->tx[world->txs] : NULL;
}

static void client_new(struct cluster_world *world)
{
    struct cluster_tx *tx = tx_new(world);

    if (tx == NULL)
        return;
    if (world->kind->make_tx(world->app_world, &world->dice, world->now_ms, &tx->bytes) != 0) {
        cluster_fail(world, "the application makes no transaction");
        return;
    }
    world->txs++;
    world->totals->txs++;
    submit(world, tx);
}

/* Has its client given it up? */
static bool given_up(const struct cluster_tx *tx)
{
    return tx->tick || tx->tries > TRIES_MAX || tx->refusals >= REFUSALS_MAX;
}

/* What was lost with a node's memory is handed to another one. */
static void clients_again(struct cluster_world *world)
{
    for (size_t i = 0; i < world->txs && !world->failed; i++) {
        struct cluster_tx *tx = &world->tx[i];
        if (tx->decided || tx->pooled != 0 || given_up(tx))
            continue;
        world->totals->resubmitted++;
        submit(world, tx);
    }
}

/* One change at a time, so that what is under way can never make a liar a third of the power. */
static void client_update(struct cluster_world *world)
{
    const struct cluster_set *set = &world->set[world->sets_known];
    unsigned node = (unsigned)cluster_below(world, world->nodes);
    struct cluster_tx *tx = tx_new(world);
    int64_t power = cluster_chance(world, 30) ? 0 : 1 + (int64_t)cluster_below(world, 20);
    int64_t total = 0, lying = 0;
    unsigned count = 0;

    if (tx == NULL || !world->node[node].member)
        return;
    for (size_t i = 0; i < world->txs; i++)
        if (world->tx[i].update && (!world->tx[i].decided || world->tx[i].height + 2 > world->top))
            return;
    for (unsigned i = 0; i < world->nodes; i++) {
        int at = cluster_set_find(set, i);
        int64_t own = i == node ? power : at < 0 ? 0 : set->validator[at].power;
        total += own;
        lying += world->node[i].lies ? own : 0;
        count += own > 0;
    }
    if (count == 0 || lying * 3 >= total)
        return;
    if (world->kind->make_update(world->app_world, world->node[node].self.key, power, world->now_ms,
                                 &tx->bytes) != 0)
        return;
    tx->update = true;
    world->txs++;
    world->totals->txs++;
    submit(world, tx);
}

/* What the nodes ask a block with, because something is due. */
static void nudges(struct cluster_world *world)
{
    for (unsigned i = 0; i < world->nodes && world->kind->nudge != NULL; i++) {
        struct cluster_tx *tx = tx_new(world);
        if (tx == NULL || !world->node[i].online ||
            !world->kind->nudge(world->node[i].seat, cluster_node_ms(&world->node[i]), &tx->bytes))
            continue;
        tx->tick = true;
        world->txs++;
        world->totals->nudges++;
        submit(world, tx);
    }
}

/* --- events ------------------------------------------------------------------------------------------- */

static void partition(struct cluster_world *world)
{
    unsigned groups = 1 + (unsigned)cluster_below(world, 3);

    for (unsigned i = 0; i < world->nodes; i++)
        world->node[i].group = (unsigned)cluster_below(world, groups + 1);
    world->totals->partitions++;
    cluster_tell(world, "the network splits");
}

static void heal(struct cluster_world *world)
{
    for (unsigned i = 0; i < world->nodes; i++)
        world->node[i].group = 0;
}

static void node_event(struct cluster_world *world, unsigned node)
{
    struct cluster_node *it = &world->node[node];
    unsigned members = 0;

    for (unsigned i = 0; i < world->nodes; i++)
        members += world->node[i].member && i != node;
    if (!it->member) {
        if (world->top > world->genesis.base + 2 && cluster_chance(world, 20)) {
            world->totals->joins++;
            cluster_join(world, node);
        }
    } else if (!it->online) {
        if (cluster_chance(world, 40))
            cluster_start(world, node);
    } else if (cluster_chance(world, 2)) {
        cluster_crash(world, node);
    } else if (members > 0 && world->top > world->genesis.base + 2 && cluster_chance(world, 1)) {
        world->totals->wipes++;
        cluster_tell(world, "node %u: loses its disk", node);
        cluster_join(world, node);
    } else if (cluster_chance(world, 2)) {
        it->skew_ms = (int64_t)cluster_below(world, 60001) - 30000;
    }
}

static void step(struct cluster_world *world)
{
    hm_arena_clear(&world->arena);
    world->now_ms += cluster_chance(world, 10) ? cluster_below(world, 120000)
                                               : cluster_below(world, 1000);
    if (cluster_chance(world, 4))
        partition(world);
    else if (cluster_chance(world, 25))
        heal(world);
    for (unsigned i = 0; i < world->nodes && !world->failed; i++)
        node_event(world, i);
    for (uint64_t count = cluster_below(world, world->kind->step_txs + 1);
         count > 0 && !world->failed; count--)
        client_new(world);
    if (!world->failed && cluster_chance(world, 15))
        client_update(world);
    clients_again(world);
    nudges(world);
    if (!world->failed)
        cluster_height(world);
}

/* --- the end ------------------------------------------------------------------------------------------ */

static bool waits(const struct cluster_world *world)
{
    for (size_t i = 0; i < world->txs; i++)
        if (!world->tx[i].decided && !given_up(&world->tx[i]))
            return true;
    return false;
}

/* Everybody comes back, everything that waits is decided, and then there is rest. */
static void calm_down(struct cluster_world *world)
{
    unsigned idle = 0;

    world->calm = true;
    heal(world);
    cluster_tell(world, "all is well from now on");
    for (unsigned i = 0; i < world->nodes && !world->failed; i++) {
        if (!world->node[i].member)
            cluster_join(world, i);
        else if (!world->node[i].online)
            cluster_start(world, i);
    }
    for (unsigned i = 0; i < CALM_STEPS && !world->failed; i++) {
        uint64_t before = world->top;
        bool waited = waits(world);
        hm_arena_clear(&world->arena);
        world->now_ms += 500;
        clients_again(world);
        nudges(world);
        if (!world->failed)
            cluster_height(world);
        if (!waited && world->top == before)
            return;
        idle = waited ? 0 : idle + (world->top > before);
        if (idle > IDLE_BLOCKS && world->kind->nudge == NULL)
            cluster_fail(world, "an idle chain goes on making blocks");
    }
    if (!world->failed)
        cluster_fail(world, waits(world) ? "a transaction waits for ever"
                                         : "an idle chain goes on making blocks");
}

static void check_end(struct cluster_world *world)
{
    for (unsigned node = 0; node < world->nodes && !world->failed; node++) {
        (void)cluster_catch_up(world, node);
        for (size_t i = 0; i < world->txs && !world->failed; i++)
            if (world->tx[i].acknowledged &&
                !world->kind->has(world->node[node].seat, hm_buf_slice(&world->tx[i].bytes)))
                cluster_fail(world, "node %u lacks a transaction that was answered at height %llu",
                             node, (unsigned long long)world->tx[i].height);
    }
}

bool cluster_run(uint64_t seed, const struct cluster_kind *kind, struct cluster_totals *totals,
                 char *why)
{
    struct cluster_world *world = hm_calloc(1, sizeof *world);
    bool good;

    if (world == NULL)
        abort();
    world->kind = kind;
    world->totals = totals;
    world->why = why;
    world->trace = getenv("HM_CLUSTER_TRACE") != NULL;
    world_make(world, seed);
    for (uint64_t left = STEPS_MIN + cluster_below(world, STEPS_MORE); left > 0 && !world->failed;
         left--)
        step(world);
    if (!world->failed)
        calm_down(world);
    if (!world->failed)
        check_end(world);
    totals->seeds++;
    good = !world->failed;
    world_end(world);
    hm_free(world);
    return good;
}
