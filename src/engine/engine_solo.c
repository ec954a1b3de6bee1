/* solo: one thread, one block at a time. While a block is on its way to the disk, what arrives
 * waits together and becomes the next one: the busier the node, the larger its batches.
 *
 * The order of a block: sealed, applied (nobody sees it), in the log and on the disk, committed (readers see it),
 * answered. Blocks do not overlap: the next one can be applied only to a state that is committed, and what is
 * committed readers see, so it must be on the disk before. */
#include "engine_solo.h"

#include <stdio.h>
#include <time.h>

#define ENGINE_NS_PER_MS INT64_C(1000000)
#define ENGINE_NS_PER_S  INT64_C(1000000000)

/* Keeps a time far away from overflowing; nobody notices one wake-up a day. */
#define ENGINE_SLEEP_MAX_MS UINT64_C(86400000)

/* What the writer took off the queue for one block; items and txs are the engine's arrays. */
struct engine_group {
    size_t count;
    bool misfortune; /* the failure is this group's: the state is whole, the next may fare better */
};

/* --- sleep --------------------------------------------------------------------------------------- */

/* Waits by CLOCK_REALTIME, as leases expire by the time of day: when somebody sets the clock, the kernel
 * moves the wake-up with it. */
static void engine_wait_until_due(struct engine_solo *engine, uint64_t now_ms)
{
    struct timespec until;
    uint64_t wait_ms = engine->next_due_ms - now_ms;

    if (wait_ms > ENGINE_SLEEP_MAX_MS)
        wait_ms = ENGINE_SLEEP_MAX_MS;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(wait_ms / 1000);
    until.tv_nsec += (long)((int64_t)(wait_ms % 1000) * ENGINE_NS_PER_MS);
    if (until.tv_nsec >= ENGINE_NS_PER_S) {
        until.tv_sec++;
        until.tv_nsec -= ENGINE_NS_PER_S;
    }
    pthread_cond_timedwait(&engine->wake, &engine->lock, &until);
}

/* A second: then the clock may be believed again. */
static void engine_nap(struct engine_solo *engine)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    pthread_cond_timedwait(&engine->wake, &engine->lock, &until);
}

/* Sleeps until there is work; false: stop. Under the lock. */
static bool engine_sleep(struct engine_solo *engine)
{
    while (!engine->stopping && !engine->broken && engine->first == NULL) {
        if (engine->next_due_ms == 0) {
            pthread_cond_wait(&engine->wake, &engine->lock);
            continue;
        }
        uint64_t now_ms;
        if (engine_solo_time(engine, &now_ms, NULL) != 0)
            engine_nap(engine);
        else if (now_ms >= engine->next_due_ms)
            return true;
        else
            engine_wait_until_due(engine, now_ms);
    }
    return !engine->stopping;
}

/* --- gathering ----------------------------------------------------------------------------------- */

/* Lists the first items of the queue without taking them off: only the writer does that, so they
 * stay where they are while nobody holds the lock. Under the lock. */
static size_t engine_peek(struct engine_solo *engine)
{
    size_t count = 0;

    for (struct engine_item *item = engine->first;
         item != NULL && count < engine->options.batch_limit; item = item->next) {
        engine->items[count] = item;
        engine->txs[count] = hm_slice_of(item->tx, item->len);
        count++;
    }
    return count;
}

static void engine_take(struct engine_solo *engine, size_t count)
{
    pthread_mutex_lock(&engine->lock);
    engine->first = engine->items[count - 1]->next;
    if (engine->first == NULL)
        engine->last = NULL;
    engine->queued -= count;
    for (size_t i = 0; i < count; i++)
        engine->queued_bytes -= engine->items[i]->len;
    pthread_mutex_unlock(&engine->lock);
}

/* As many of those that wait as fit one batch and one block. */
static void engine_gather(struct engine_solo *engine, size_t waiting, struct engine_group *group)
{
    if (waiting == 0)
        return;
    group->count = ledger_prepare_batch(engine->options.ledger, engine->txs, waiting);
    if (group->count == 0 || group->count > waiting)
        group->count = 1; /* the block refuses what fits nowhere */
    engine_take(engine, group->count);
}

/* --- one block ----------------------------------------------------------------------------------- */

static int engine_seal(struct engine_solo *engine, struct engine_group *group, struct hm_buf *batch,
                       struct hm_error *error)
{
    const struct engine_sealer *sealer = &engine->options.sealer;

    if (group->count == 0)
        return 0;
    struct trace_span span;

    group->misfortune = true;
    trace_begin(&span, "seal");
    int rc = sealer->seal(sealer->ctx, engine->txs, group->count, batch, error);
    trace_end(&span);
    if (rc == 0 && (batch->len == 0 || batch->len > LEDGER_BATCH_MAX_BYTES))
        rc = hm_fail(
            error, HM_ELIMIT,
            "%zu transactions were sealed into a batch of %zu bytes: it must have 1 to %zu",
            group->count, batch->len, LEDGER_BATCH_MAX_BYTES);
    if (rc == 0)
        group->misfortune = false;
    return rc;
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

/* Does each transaction of the group have its own result? */
static bool engine_results_match(const struct engine_solo *engine, const struct engine_group *group,
                                 const Hypermesh__BlockRecord *record)
{
    bool match = record->n_results == group->count;

    for (size_t i = 0; match && i < group->count; i++)
        match = hm_slice_equal(wire_slice(record->results[i]->digest),
                               hm_slice_of(engine->items[i]->digest, CRYPTO_HASH_BYTES));
    return match;
}

static int engine_finalize(struct engine_solo *engine, struct engine_group *group,
                           const struct ledger_proposal *proposal, struct ledger_outcome *outcome,
                           struct hm_error *error)
{
    struct trace_span span;

    trace_begin(&span, "finalize");
    int rc = ledger_finalize(engine->options.ledger, proposal, outcome, error);
    trace_end(&span);

    if (rc != 0 || engine_results_match(engine, group, outcome->record))
        return rc;
    /* Nothing has happened yet, so the batch is dropped, not the node. */
    size_t results = outcome->record->n_results;
    ledger_abandon(engine->options.ledger);
    group->misfortune = group->count > 0;
    return hm_fail(error, HM_EINTERNAL,
                   "the ledger gave %zu results for a batch of %zu transactions: it was not sealed "
                   "as they were submitted",
                   results, group->count);
}

/* From here the block counts, and its waiters may look. */
static void engine_count(struct engine_solo *engine, const struct engine_block *block,
                         uint64_t next_due_ms, uint64_t began_ns)
{
    pthread_mutex_lock(&engine->lock);
    engine->next_due_ms = next_due_ms;
    engine_hand_set(&engine->hand, engine->options.clock, block->time_ms);
    engine->status.height = block->height;
    engine->status.blocks++;
    engine->status.txs += block->txs;
    engine->status.busy_ns += hm_mono_ns(engine->options.clock) - began_ns;
    pthread_mutex_unlock(&engine->lock);
    engine_heights_set(&engine->head.heights, block->height);
}

static void engine_answer(const struct engine_solo *engine, struct engine_group *group,
                          const struct engine_block *block, const Hypermesh__BlockRecord *record)
{
    for (size_t i = 0; i < group->count; i++) {
        struct engine_item *item = engine->items[i];

        item->done(item->ctx, record->results[i], block);
        hm_free(item);
    }
    group->count = 0;
    if (engine->options.on_block != NULL)
        engine->options.on_block(engine->options.ctx, block, record);
}

/* With a block log the block is durable before anybody can see it. */
static int engine_make_durable(struct engine_solo *engine, const struct ledger_proposal *proposal,
                               const struct ledger_outcome *outcome, struct hm_error *error)
{
    struct engine_log_block block = {.proposal = *proposal};

    if (engine->keeper == NULL)
        return 0;
    struct trace_span span;

    memcpy(block.state_root, outcome->state_root, sizeof(block.state_root));
    trace_begin(&span, "log");
    int rc = engine_keeper_append(engine->keeper, &block, error);
    trace_end(&span);
    if (rc != 0)
        ledger_abandon(engine->options.ledger);
    return rc;
}

static int engine_commit(struct engine_solo *engine, const struct ledger_proposal *proposal,
                         const struct ledger_outcome *outcome, struct hm_error *error)
{
    struct trace_span span;
    int rc = engine_make_durable(engine, proposal, outcome, error);

    trace_begin(&span, "commit");
    if (rc == 0)
        rc = ledger_commit(engine->options.ledger, error);
    trace_end(&span);
    if (rc != 0)
        (void)hm_error_prefix(error, rc,
                              "block %llu may or may not be on the disk, a restart will tell",
                              (unsigned long long)proposal->height);
    return rc;
}

/* A block on its way. */
struct engine_draft {
    struct ledger_info previous;
    uint64_t time_ms;
    struct hm_buf batch;
    struct hm_buf header;
    struct hm_slice item; /* the batch */
    struct ledger_proposal proposal;
    struct ledger_outcome outcome;
};

static void engine_draft_release(struct engine_draft *draft)
{
    hm_buf_release(&draft->batch);
    hm_buf_release(&draft->header);
}

/* A clock that is not believed is the group's misfortune: nothing has happened yet. */
static int engine_draft_begin(struct engine_solo *engine, struct engine_group *group,
                              struct engine_draft *draft, struct hm_error *error)
{
    int rc = ledger_info(engine->options.ledger, &draft->previous, error);
    uint64_t now_ms = 0;

    if (rc != 0)
        return rc;
    pthread_mutex_lock(&engine->lock);
    rc = engine_solo_time(engine, &now_ms, error);
    pthread_mutex_unlock(&engine->lock);
    group->misfortune = rc != 0;
    draft->time_ms = now_ms > draft->previous.time_ms ? now_ms : draft->previous.time_ms + 1;
    return rc;
}

/* Seals the group and applies it; nothing of it is visible yet. */
static int engine_draft_apply(struct engine_solo *engine, struct engine_group *group,
                              struct engine_draft *draft, struct hm_error *error)
{
    struct ledger_proposal *proposal = &draft->proposal;

    hm_buf_clear(&draft->batch);
    hm_buf_clear(&draft->header);
    int rc = engine_seal(engine, group, &draft->batch, error);
    if (rc != 0)
        return rc;
    draft->item = hm_buf_slice(&draft->batch);
    proposal->height = draft->previous.height + 1;
    proposal->time_ms = draft->time_ms;
    if (engine_header(&draft->previous, draft->item, draft->time_ms, &draft->header,
                      proposal->hash) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a block header");
    proposal->header = hm_buf_slice(&draft->header);
    proposal->items = &draft->item;
    proposal->count = group->count > 0;
    return engine_finalize(engine, group, proposal, &draft->outcome, error);
}

static bool engine_all_charged(const struct engine_group *group,
                               const Hypermesh__BlockRecord *record)
{
    for (size_t i = 0; i < group->count; i++)
        if (!ledger_result_charged(record->results[i]))
            return false;
    return true;
}

/* Answers those that were refused for nothing and keeps the others. They left no trace in the state, so without
 * them the same happens; and nobody fills the disk with what costs him nothing. */
static void engine_drop_refused(struct engine_solo *engine, struct engine_group *group,
                                const struct engine_draft *draft)
{
    const Hypermesh__BlockRecord *record = draft->outcome.record;
    struct engine_block newest = {.height = draft->previous.height,
                                  .time_ms = draft->previous.time_ms};
    size_t kept = 0;

    memcpy(newest.hash, draft->previous.block_hash, sizeof(newest.hash));
    memcpy(newest.state_root, draft->previous.state_root, sizeof(newest.state_root));
    for (size_t i = 0; i < group->count; i++) {
        struct engine_item *item = engine->items[i];

        if (ledger_result_charged(record->results[i])) {
            engine->txs[kept] = engine->txs[i];
            engine->items[kept++] = item;
            continue;
        }
        item->done(item->ctx, record->results[i], &newest);
        hm_free(item);
    }
    group->count = kept;
}

/* Applies the group, at most twice: again without those that were refused for nothing. Nothing is under way
 * (*idle) when nobody is left and no lease was due. */
static int engine_draft_make(struct engine_solo *engine, struct engine_group *group,
                             struct engine_draft *draft, bool *idle, struct hm_error *error)
{
    int rc = engine_draft_apply(engine, group, draft, error);

    *idle = false;
    if (rc != 0 || engine_all_charged(group, draft->outcome.record))
        return rc;
    *idle = draft->outcome.record->n_expired == 0;
    engine_drop_refused(engine, group, draft);
    ledger_abandon(engine->options.ledger);
    *idle = *idle && group->count == 0;
    return *idle ? 0 : engine_draft_apply(engine, group, draft, error);
}

/* Makes a block of the group, durable and committed; none (*idle) when nobody is left in it. */
static int engine_draft_run(struct engine_solo *engine, struct engine_group *group,
                            struct engine_draft *draft, bool *idle, struct hm_error *error)
{
    int rc = engine->keeper == NULL ? 0 : engine_keeper_enter(engine->keeper, error);

    if (rc != 0)
        return rc;
    rc = engine_draft_begin(engine, group, draft, error);
    if (rc == 0)
        rc = engine_draft_make(engine, group, draft, idle, error);
    if (rc == 0 && !*idle)
        rc = engine_commit(engine, &draft->proposal, &draft->outcome, error);
    if (engine->keeper != NULL)
        engine_keeper_leave(engine->keeper, rc == 0 && !*idle);
    return rc;
}

/* One block from seal to durable. On failure the group is still unanswered. */
static int engine_block(struct engine_solo *engine, struct engine_group *group,
                        struct hm_error *error)
{
    HM_CLEANUP(engine_draft) struct engine_draft draft = {0};
    uint64_t began_ns = hm_mono_ns(engine->options.clock);
    struct trace_span span;
    bool idle = false;

    trace_begin(&span, "block");
    int rc = engine_draft_run(engine, group, &draft, &idle, error);
    trace_number(&span, "hypermesh.height", (int64_t)draft.proposal.height);
    trace_number(&span, "hypermesh.txs", (int64_t)group->count);
    if (rc != 0)
        trace_fail(&span);
    trace_end(&span);
    if (rc != 0 || idle)
        return rc;
    struct engine_block block = {
        .height = draft.proposal.height, .time_ms = draft.time_ms, .txs = group->count};
    memcpy(block.hash, draft.proposal.hash, sizeof(block.hash));
    memcpy(block.state_root, draft.outcome.state_root, sizeof(block.state_root));
    engine_count(engine, &block, draft.outcome.next_due_ms, began_ns);
    engine_answer(engine, group, &block, draft.outcome.record);
    return 0;
}

/* --- failing and stopping ---------------------------------------------------------------------------- */

static void engine_refuse_group(struct engine_solo *engine, struct engine_group *group,
                                const struct hm_error *error)
{
    for (size_t i = 0; i < group->count; i++)
        engine_item_refuse(engine->items[i], error);
    group->count = 0;
}

/* Nothing is queued any more once failed or stopping is set, so this empties the queue for good. */
static void engine_refuse_waiting(struct engine_solo *engine, const struct hm_error *error)
{
    pthread_mutex_lock(&engine->lock);
    struct engine_item *item = engine->first;
    engine->first = engine->last = NULL;
    engine->queued = 0;
    engine->queued_bytes = 0;
    pthread_mutex_unlock(&engine->lock);
    while (item != NULL) {
        struct engine_item *next = item->next;

        engine_item_refuse(item, error);
        item = next;
    }
}

static void engine_set_failed(struct engine_solo *engine, const struct hm_error *error)
{
    pthread_mutex_lock(&engine->lock);
    engine->status.failed = true;
    snprintf(engine->status.failure, sizeof(engine->status.failure), "%s", error->text);
    pthread_mutex_unlock(&engine->lock);
}

/* Takes what waits and makes a block of it. Negative: the engine can't go on. */
static int engine_turn(struct engine_solo *engine, struct hm_error *error)
{
    struct engine_group group = {0};

    pthread_mutex_lock(&engine->lock);
    bool work = engine_sleep(engine);
    size_t waiting = work ? engine_peek(engine) : 0;
    pthread_mutex_unlock(&engine->lock);
    if (!work)
        return HM_ECANCELLED;
    engine_gather(engine, waiting, &group);
    int rc = engine_block(engine, &group, error);
    if (rc == 0)
        return 0;
    if (error->code != rc)
        (void)hm_fail(error, rc, "a block could not be made (%s)", hm_error_name(rc));
    if (!group.misfortune)
        engine_set_failed(engine, error); /* first, so that an answer cannot lead to a new submit */
    engine_refuse_group(engine, &group, error);
    return group.misfortune ? 0 : rc;
}

void *engine_solo_main(void *arg)
{
    struct engine_solo *engine = arg;
    struct hm_error error;
    int rc;

    (void)pthread_setname_np(pthread_self(), "hm-engine");
    do {
        error = (struct hm_error){0};
        rc = engine_turn(engine, &error);
    } while (rc == 0);
    if (rc == HM_ECANCELLED)
        hm_fail(&error, HM_EUNAVAILABLE, "the node is stopping");
    engine_refuse_waiting(engine, &error);
    engine_heights_stop(&engine->head.heights);
    if (rc != HM_ECANCELLED && engine->options.on_failure != NULL)
        engine->options.on_failure(engine->options.ctx, &error);
    return NULL;
}
