/* solo: one thread, one block at a time. While a block is on its way to the disk, what arrives
 * waits together and becomes the next one: the busier the node, the larger its batches. */
#include "engine_solo.h"

#include <time.h>

#define ENGINE_NS_PER_MS UINT64_C(1000000)

/* A clock that jumps must not leave a due lease waiting for long. */
#define ENGINE_DUE_SLEEP_MAX_MS UINT64_C(60000)

/* What the writer took off the queue for one block, and what became of it. */
struct engine_group {
    struct engine_item **items;
    struct hm_slice *txs;
    size_t count;         /* not yet answered */
    size_t answered;      /* in a durable block */
    bool seal_failed;     /* this group's misfortune, not the engine's */
    uint64_t next_due_ms; /* after its block */
};

static void engine_group_release(struct engine_group *group)
{
    hm_free(group->items);
    hm_free(group->txs);
}

static void engine_wait_until_due(struct engine *engine, uint64_t now_ms)
{
    struct timespec until;
    uint64_t wait_ms = engine->next_due_ms - now_ms;

    if (wait_ms > ENGINE_DUE_SLEEP_MAX_MS)
        wait_ms = ENGINE_DUE_SLEEP_MAX_MS;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait_ms / 1000);
    until.tv_nsec += (long)(wait_ms % 1000 * ENGINE_NS_PER_MS);
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_cond_timedwait(&engine->wake, &engine->lock, &until);
}

/* Sleeps until there is work; false: stop. Under the lock. */
static bool engine_sleep(struct engine *engine)
{
    while (!engine->stopping && engine->head == NULL) {
        uint64_t now_ms = hm_wall_ms(engine->options.clock);

        if (engine->next_due_ms == 0)
            pthread_cond_wait(&engine->wake, &engine->lock);
        else if (now_ms >= engine->next_due_ms)
            return true;
        else
            engine_wait_until_due(engine, now_ms);
    }
    return !engine->stopping;
}

/* Takes up to batch_limit items. Under the lock. When memory is out the queue stays as it is. */
static int engine_take(struct engine *engine, struct engine_group *group, struct hm_error *error)
{
    size_t count = engine->queued < engine->options.batch_limit ? engine->queued
                                                                : engine->options.batch_limit;

    if (count == 0)
        return 0;
    group->items = hm_calloc(count, sizeof(*group->items));
    group->txs = hm_calloc(count, sizeof(*group->txs));
    if (group->items == NULL || group->txs == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to gather %zu transactions", count);
    for (size_t i = 0; i < count; i++) {
        struct engine_item *item = engine->head;

        engine->head = item->next;
        group->items[i] = item;
        group->txs[i] = hm_slice_of(item->tx, item->len);
    }
    if (engine->head == NULL)
        engine->tail = NULL;
    engine->queued -= count;
    group->count = count;
    return 0;
}

/* Puts the tail of a group that did not fit one block back at the head of the queue. */
static void engine_put_back(struct engine *engine, struct engine_group *group, size_t from)
{
    pthread_mutex_lock(&engine->lock);
    for (size_t i = group->count; i-- > from;) {
        group->items[i]->next = engine->head;
        engine->head = group->items[i];
        if (engine->tail == NULL)
            engine->tail = group->items[i];
        engine->queued++;
    }
    pthread_mutex_unlock(&engine->lock);
    group->count = from;
}

/* Seals as many of the group as fit one block into batch; the rest goes back to the queue. */
static int engine_seal(struct engine *engine, struct engine_group *group, struct hm_buf *batch,
                       struct hm_error *error)
{
    const struct engine_sealer *sealer = &engine->options.sealer;

    for (;;) {
        hm_buf_clear(batch);
        int rc = sealer->seal(sealer->ctx, group->txs, group->count, batch, error);
        if (rc != 0)
            return rc;
        struct hm_slice item = hm_buf_slice(batch);
        if (ledger_prepare(engine->options.ledger, &item, 1) == 1)
            return 0;
        if (group->count == 1)
            return hm_fail(error, HM_ELIMIT, "the transaction does not fit into a block");
        engine_put_back(engine, group, group->count / 2);
    }
}

/* The header that solo writes; its hash is the block's. */
static int engine_header(const struct ledger_info *previous, struct hm_slice batch,
                         uint64_t time_ms, struct hm_buf *header, uint8_t hash[CRYPTO_HASH_BYTES])
{
    Hypermesh__BlockHeader message = HYPERMESH__BLOCK_HEADER__INIT;
    uint8_t item_hash[CRYPTO_HASH_BYTES];
    uint8_t data_root[CRYPTO_HASH_BYTES];

    if (batch.len > 0)
        crypto_hash(batch.data, batch.len, item_hash);
    crypto_merkle_root(item_hash, batch.len > 0, data_root);
    message.chain_id = (char *)(uintptr_t)previous->chain_id;
    message.height = previous->height + 1;
    message.time_ms = time_ms;
    message.previous_hash = wire_bytes(previous->block_hash, CRYPTO_HASH_BYTES);
    message.previous_state_root = wire_bytes(previous->state_root, CRYPTO_HASH_BYTES);
    message.data_root = wire_bytes(data_root, CRYPTO_HASH_BYTES);
    int rc = wire_pack(&message.base, header);
    if (rc == 0)
        proof_block_hash(hm_buf_slice(header), hash);
    return rc;
}

static void engine_answer(const struct engine *engine, struct engine_group *group,
                          const struct engine_block *block, const Hypermesh__BlockRecord *record)
{
    for (size_t i = 0; i < group->count; i++) {
        struct engine_item *item = group->items[i];

        item->done(item->ctx, record->results[i], block);
        hm_free(item);
    }
    group->count = 0;
    if (engine->options.on_block != NULL)
        engine->options.on_block(engine->options.ctx, block, record);
}

/* One block from seal to durable. On failure the group is still unanswered. */
static int engine_block(struct engine *engine, struct engine_group *group, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf batch = {0};
    HM_CLEANUP(hm_buf) struct hm_buf header = {0};
    struct ledger *ledger = engine->options.ledger;
    struct ledger_proposal proposal = {0};
    struct ledger_outcome outcome;
    struct ledger_info previous;
    struct hm_slice item = {0};
    int rc = 0;

    if (group->count > 0) {
        rc = engine_seal(engine, group, &batch, error);
        if (rc != 0) {
            group->seal_failed = true;
            return rc;
        }
    }
    rc = ledger_info(ledger, &previous, error);
    if (rc != 0)
        return rc;
    uint64_t now_ms = hm_wall_ms(engine->options.clock);
    proposal.height = previous.height + 1;
    proposal.time_ms = now_ms > previous.time_ms ? now_ms : previous.time_ms + 1;
    item = hm_buf_slice(&batch);
    rc = engine_header(&previous, item, proposal.time_ms, &header, proposal.hash);
    if (rc != 0)
        return hm_fail(error, rc, "no memory for a block header");
    proposal.header = hm_buf_slice(&header);
    proposal.items = &item;
    proposal.count = group->count > 0;
    rc = ledger_finalize(ledger, &proposal, &outcome, error);
    if (rc != 0)
        return rc;
    if (outcome.record->n_results != group->count) {
        ledger_abandon(ledger);
        return hm_fail(error, HM_EINTERNAL, "block %llu has %zu results for %zu transactions",
                       (unsigned long long)proposal.height, outcome.record->n_results,
                       group->count);
    }
    struct engine_block block = {
        .height = proposal.height, .time_ms = proposal.time_ms, .txs = group->count};
    memcpy(block.hash, proposal.hash, sizeof(block.hash));
    memcpy(block.state_root, outcome.state_root, sizeof(block.state_root));
    rc = ledger_commit(ledger, error);
    if (rc != 0)
        return rc;
    group->next_due_ms = outcome.next_due_ms;
    group->answered = group->count;
    engine_answer(engine, group, &block, outcome.record);
    return 0;
}

static void engine_fail(struct engine *engine, const struct hm_error *error)
{
    pthread_mutex_lock(&engine->lock);
    engine->status.failed = true;
    snprintf(engine->status.failure, sizeof(engine->status.failure), "%s", error->text);
    pthread_mutex_unlock(&engine->lock);
    if (engine->options.on_failure != NULL)
        engine->options.on_failure(engine->options.ctx, error);
}

static void engine_refuse_group(struct engine_group *group, const struct hm_error *error)
{
    for (size_t i = 0; i < group->count; i++)
        engine_item_refuse(group->items[i], error);
    group->count = 0;
}

static void engine_refuse_waiting(struct engine *engine, const struct hm_error *error)
{
    pthread_mutex_lock(&engine->lock);
    struct engine_item *item = engine->head;
    engine->head = engine->tail = NULL;
    engine->queued = 0;
    pthread_mutex_unlock(&engine->lock);
    while (item != NULL) {
        struct engine_item *next = item->next;

        engine_item_refuse(item, error);
        item = next;
    }
}

static void engine_count(struct engine *engine, const struct engine_group *group, uint64_t began_ns)
{
    pthread_mutex_lock(&engine->lock);
    engine->next_due_ms = group->next_due_ms;
    engine->status.blocks++;
    engine->status.txs += group->answered;
    engine->status.busy_ns += hm_mono_ns(engine->options.clock) - began_ns;
    pthread_mutex_unlock(&engine->lock);
}

/* Takes what waits and makes a block of it. Negative: the engine can't go on. */
static int engine_turn(struct engine *engine, struct hm_error *error)
{
    struct engine_group group = {0};

    pthread_mutex_lock(&engine->lock);
    if (!engine_sleep(engine)) {
        pthread_mutex_unlock(&engine->lock);
        return HM_ECANCELLED;
    }
    int rc = engine_take(engine, &group, error);
    pthread_mutex_unlock(&engine->lock);
    if (rc == 0) {
        uint64_t began_ns = hm_mono_ns(engine->options.clock);

        rc = engine_block(engine, &group, error);
        if (rc == 0)
            engine_count(engine, &group, began_ns);
        else
            engine_refuse_group(&group, error);
        if (group.seal_failed) /* these transactions are answered; the next ones may fare better */
            rc = 0;
    }
    engine_group_release(&group);
    return rc;
}

void *engine_solo_main(void *arg)
{
    struct engine *engine = arg;
    struct hm_error error = {0};
    int rc;

    do {
        rc = engine_turn(engine, &error);
    } while (rc == 0);
    if (rc != HM_ECANCELLED)
        engine_fail(engine, &error);
    else
        hm_fail(&error, HM_EUNAVAILABLE, "the node is stopping");
    engine_refuse_waiting(engine, &error);
    return NULL;
}
