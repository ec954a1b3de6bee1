/* FinalizeBlock and Commit: what the engine decided is applied, made durable, and told.
 *
 * A block that FinalizeBlock applied nobody sees until Commit; what comes between (a connection that ends) drops it, and
 * the engine gives it again. It has the block on its disk before it calls us, so no block is lost that way. When
 * something here fails, nothing is answered: another answer than the other nodes give would be poison in the engine's
 * own records. */
#include "engine_app.h"

#include "engine_app_share.h"
#include "engine_restore.h"
#include "engine_rounds.h"
#include "engine_watch.h"
#include "trace.h"

#define APP_RESULTS_CONTEXT "hypermesh 1 engine results"
#define APP_RESULT_BYTES    (CRYPTO_HASH_BYTES + 4 + 8)

/* --- FinalizeBlock ----------------------------------------------------------------------------------------- */

static void app_drop(struct engine_app *app)
{
    if (!app->under_way)
        return;
    app->under_way = false;
    ledger_abandon(app->options.engine->ledger);
    if (app->keeper != NULL)
        engine_keeper_leave(app->keeper, false);
}

/* The block's items outlive the call: Commit writes them to the log. */
static int app_copy_items(struct engine_app *app,
                          const Hypermesh__Abci__RequestFinalizeBlock *request,
                          struct hm_error *error)
{
    struct hm_slice *items;
    int rc = engine_app_items(request->txs, request->n_txs, &app->arena, &items, error);

    for (size_t i = 0; rc == 0 && i < request->n_txs; i++) {
        items[i].data = hm_arena_dup(&app->arena, items[i].data, items[i].len);
        if (items[i].data == NULL)
            rc = hm_fail(error, HM_ENOMEM, "no memory for a block's items");
    }
    app->proposal.items = items;
    app->proposal.count = request->n_txs;
    return rc;
}

/* Where this node stands among those who may vote. */
static void app_rank(struct engine_app *app, const Hypermesh__Abci__CommitInfo *commit)
{
    struct hm_slice own = hm_slice_of(app->options.cometbft->validator_address,
                                      ENGINE_ADDRESS_BYTES);

    app->validator = false;
    for (size_t i = 0; commit != NULL && i < commit->n_votes && !app->validator; i++) {
        const Hypermesh__Abci__Validator *validator = commit->votes[i]->validator;

        app->validator = validator != NULL && hm_slice_equal(wire_slice(validator->address), own);
        app->rank = (unsigned)i;
    }
}

/* What the others did with the block before is known for good now, whatever becomes of this one here. */
static void app_watch(struct engine_app *app, const Hypermesh__Abci__RequestFinalizeBlock *request)
{
    const struct hm_clock *clock = app->options.engine->clock;
    uint64_t wall_ms = hm_wall_ms(clock);

    engine_watch_commit(app->watch, app->proposal.height - 1, request->decided_last_commit,
                        wall_ms > app->proposal.time_ms &&
                            wall_ms - app->proposal.time_ms > ENGINE_WATCH_OLD_MS,
                        hm_mono_ns(clock) / 1000000);
    engine_rounds_set(app->options.rounds, request->decided_last_commit);
}

static int app_draft(struct engine_app *app, const Hypermesh__Abci__RequestFinalizeBlock *request,
                     struct hm_error *error)
{
    const struct engine_app_said said = {.hash = request->hash,
                                         .proposer = request->proposer_address,
                                         .next_validators_hash = request->next_validators_hash,
                                         .time = request->time,
                                         .commit = request->decided_last_commit,
                                         .faults = request->misbehavior,
                                         .fault_count = request->n_misbehavior,
                                         .recovery = app->recovery};
    int rc = ledger_info(app->options.engine->ledger, &app->previous, error);

    if (rc != 0)
        return rc;
    if (request->height <= 0 || (uint64_t)request->height != app->previous.height + 1)
        return hm_fail(error, HM_EINTERNAL,
                       "the engine decided block %lld, but the ledger stands at %llu: they do not "
                       "belong together; restore both from one backup, or let this node join anew",
                       (long long)request->height, (unsigned long long)app->previous.height);
    hm_arena_clear(&app->arena);
    app->proposal = (struct ledger_proposal){.height = (uint64_t)request->height};
    app_rank(app, request->decided_last_commit);
    rc = app_copy_items(app, request, error);
    if (rc == 0)
        rc = engine_app_header(&said, &app->previous, &app->arena, &app->proposal, error);
    return rc;
}

static int app_apply(struct engine_app *app, struct hm_error *error)
{
    struct trace_span span;

    trace_begin(&span, "finalize");
    int rc = app->keeper == NULL ? 0 : engine_keeper_enter(app->keeper, error);
    if (rc == 0) {
        rc = ledger_finalize(app->options.engine->ledger, &app->proposal, &app->outcome, error);
        app->under_way = rc == 0;
        if (rc != 0 && app->keeper != NULL)
            engine_keeper_leave(app->keeper, false);
    }
    trace_number(&span, "hypermesh.height", (int64_t)app->proposal.height);
    if (rc != 0)
        trace_fail(&span);
    trace_end(&span);
    return rc;
}

/* Over what of the results the nodes must agree in any case: which transaction, what came of it, what it cost. The engine
 * puts it under its next header. */
static int app_results_hash(const Hypermesh__BlockRecord *record, struct hm_arena *arena,
                            uint8_t out[CRYPTO_HASH_BYTES])
{
    uint8_t *bytes = hm_arena_alloc(arena, record->n_results * APP_RESULT_BYTES + 1);

    if (bytes == NULL)
        return HM_ENOMEM;
    for (size_t i = 0; i < record->n_results; i++) {
        const Hypermesh__TxResult *result = record->results[i];
        uint8_t *at = bytes + i * APP_RESULT_BYTES;

        if (result->digest.len == CRYPTO_HASH_BYTES)
            memcpy(at, result->digest.data, CRYPTO_HASH_BYTES);
        hm_put_be32(at + CRYPTO_HASH_BYTES, (uint32_t)result->code);
        hm_put_be64(at + CRYPTO_HASH_BYTES + 4, result->fee);
    }
    struct hm_slice part = hm_slice_of(bytes, record->n_results * APP_RESULT_BYTES);
    crypto_hash_parts(APP_RESULTS_CONTEXT, &part, 1, out);
    return 0;
}

/* One result an item, as the engine demands; the first one carries the hash. */
static int app_answer(struct engine_app *app, struct hm_arena *arena,
                      Hypermesh__Abci__ResponseFinalizeBlock *answer, struct hm_error *error)
{
    size_t count = app->proposal.count;
    uint8_t *hash = hm_arena_alloc(arena, CRYPTO_HASH_BYTES);
    uint8_t *root = hm_arena_dup(arena, app->outcome.state_root, CRYPTO_HASH_BYTES);
    Hypermesh__Abci__ExecTxResult **list = hm_arena_alloc(arena, (count + 1) * sizeof(*list));
    Hypermesh__Abci__ExecTxResult *results = hm_arena_alloc(arena, (count + 1) * sizeof(*results));

    if (hash == NULL || root == NULL || list == NULL || results == NULL ||
        app_results_hash(app->outcome.record, arena, hash) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a block's answer");
    for (size_t i = 0; i < count; i++) {
        hypermesh__abci__exec_tx_result__init(&results[i]);
        list[i] = &results[i];
    }
    if (count > 0)
        results[0].data = wire_bytes(hash, CRYPTO_HASH_BYTES);
    answer->tx_results = list;
    answer->n_tx_results = count;
    answer->app_hash = wire_bytes(root, CRYPTO_HASH_BYTES);
    return engine_app_set_change(app, arena, answer, error);
}

static int app_failed(struct engine_app *app, struct hm_error *error)
{
    pthread_mutex_lock(&app->lock);
    int rc = app->failure.code;
    if (rc != 0)
        (void)hm_fail(error, rc, "%s", app->failure.text);
    pthread_mutex_unlock(&app->lock);
    return rc;
}

static int app_finalize(void *ctx, const Hypermesh__Abci__RequestFinalizeBlock *request,
                        struct hm_arena *arena, Hypermesh__Abci__ResponseFinalizeBlock *answer,
                        struct hm_error *error)
{
    struct engine_app *app = ctx;
    uint64_t began_ns = hm_mono_ns(app->options.engine->clock);
    int rc = app_failed(app, error);

    app_drop(app);
    if (rc == 0)
        rc = app_draft(app, request, error);
    if (rc == 0)
        rc = app_apply(app, error);
    if (rc == 0)
        rc = app_answer(app, arena, answer, error);
    if (rc == 0)
        app_watch(app, request);
    else
        app_drop(app);
    app->busy_ns = hm_mono_ns(app->options.engine->clock) - began_ns;
    return rc;
}

/* --- Commit ------------------------------------------------------------------------------------------------ */

/* In the log and on the disk, then where readers see it. One write and one sync a block, here; FinalizeBlock writes nothing.
 *
 * An act costs two of them, because it makes two blocks: the engine's next header carries the root that the act left, in a block
 * that mostly holds nothing. That one is synced, too, though nobody waits for it and the engine, which has it on its disk by
 * now, would give it again:
 *   - A record behind one that was not synced may be on the disk first. After a power cut that looks as if a block that counted
 *     were damaged (file_check_rest in engine_log.c), and the node would rightly refuse to start.
 *   - What was told of a height is here without the engine's help: its folder may be lost, or begin behind it (retain_blocks).
 *   - There is little to win: beside one sync of ours stand eleven of the engine for each block (its WAL, states, blocks). */
static int app_make_durable(struct engine_app *app, struct hm_error *error)
{
    struct engine_log_block block = {.proposal = app->proposal};
    int rc = 0;

    if (app->keeper != NULL) {
        memcpy(block.state_root, app->outcome.state_root, sizeof(block.state_root));
        rc = engine_keeper_append(app->keeper, &block, error);
    }
    if (rc == 0)
        rc = ledger_commit(app->options.engine->ledger, error);
    else
        ledger_abandon(app->options.engine->ledger);
    app->under_way = false;
    if (app->keeper != NULL)
        engine_keeper_leave(app->keeper, rc == 0);
    return rc;
}

static void app_tell(struct engine_app *app)
{
    struct engine_app_commit commit = {
        .block = {.height = app->proposal.height,
                  .time_ms = app->proposal.time_ms,
                  .txs = app->outcome.record->n_results},
        .record = app->outcome.record,
        .items = app->proposal.items,
        .count = app->proposal.count,
        .next_due_ms = app->outcome.next_due_ms,
        .validator = app->validator,
        .rank = app->rank,
        .busy_ns = app->busy_ns,
    };

    memcpy(commit.block.hash, app->proposal.hash, CRYPTO_HASH_BYTES);
    memcpy(commit.block.state_root, app->outcome.state_root, CRYPTO_HASH_BYTES);
    pthread_mutex_lock(&app->lock);
    engine_hand_set(&app->hand, app->options.engine->clock, app->proposal.time_ms);
    pthread_mutex_unlock(&app->lock);
    for (size_t i = 0; i < app->proposal.count; i++)
        engine_share_leave(app->share, app->proposal.items[i]);
    app->pace.set = false;
    if (app->judged_height == app->proposal.height) /* not one of long ago, that is given again */
        engine_hand_set(&app->pace, app->options.engine->clock, app->proposal.time_ms);
    app->options.on_commit(app->options.ctx, &commit);
}

static int app_commit(void *ctx, struct hm_arena *arena, Hypermesh__Abci__ResponseCommit *answer,
                      struct hm_error *error)
{
    struct engine_app *app = ctx;
    uint64_t retain = app->options.cometbft->retain_blocks;
    uint64_t began_ns = hm_mono_ns(app->options.engine->clock);
    struct trace_span span;

    (void)arena;
    if (!app->under_way)
        return hm_fail(error, HM_EINTERNAL, "the engine commits a block that it has not given");
    trace_begin(&span, "commit");
    int rc = app_make_durable(app, error);
    if (rc != 0)
        trace_fail(&span);
    trace_end(&span);
    if (rc != 0)
        return hm_error_prefix(error, rc,
                               "block %llu may or may not be on the disk, a restart "
                               "will tell",
                               (unsigned long long)app->proposal.height);
    app->recovery = NULL;
    app->busy_ns += hm_mono_ns(app->options.engine->clock) - began_ns;
    app_tell(app);
    engine_snapshots_committed(app->snapshots, app->proposal.height, app->outcome.changed);
    if (retain > 0 && app->proposal.height > retain)
        answer->retain_height = (int64_t)(app->proposal.height - retain);
    return 0;
}

static void app_gone(void *ctx)
{
    app_drop(ctx);
}

/* --- life -------------------------------------------------------------------------------------------------- */

static void app_on_failed(void *ctx, const struct hm_error *error)
{
    struct engine_app *app = ctx;

    pthread_mutex_lock(&app->lock);
    bool first = app->failure.code == 0;
    if (first)
        app->failure = *error;
    pthread_mutex_unlock(&app->lock);
    if (first)
        app->options.on_failure(app->options.ctx, error);
}

int engine_app_keep(struct engine_app *app, struct hm_error *error)
{
    struct engine_keeper_options keeper;

    if (app->options.engine->log_path == NULL || app->keeper != NULL)
        return 0;
    int rc = engine_keeper_options_of(app->options.engine, app_on_failed, app, &keeper, error);
    return rc != 0 ? rc : engine_keeper_open(&keeper, &app->keeper, error);
}

int engine_app_now(struct engine_app *app, uint64_t *now_ms, struct hm_error *error)
{
    pthread_mutex_lock(&app->lock);
    int rc = engine_hand_time(&app->hand, app->options.engine->clock, now_ms, error);
    pthread_mutex_unlock(&app->lock);
    return rc;
}

static int app_begin(struct engine_app *app, struct hm_error *error)
{
    struct ledger_info info = {0};
    int rc = ledger_info(app->options.engine->ledger, &info, error);

    if (rc == HM_ENOTFOUND)
        return 0; /* InitChain brings it */
    if (rc == 0)
        rc = engine_app_keep(app, error);
    if (rc == 0)
        rc = ledger_info(app->options.engine->ledger, &info, error);
    app->hand.block_ms = info.time_ms;
    return rc;
}

/* After what the block log still held is applied. */
static int app_begin_snapshots(struct engine_app *app, struct hm_error *error)
{
    const struct engine_cometbft_options *cometbft = app->options.cometbft;
    const struct engine_snapshots_options snapshots = {.dir = cometbft->snapshot_dir,
                                                       .blocks = cometbft->snapshot_blocks != 0
                                                                     ? cometbft->snapshot_blocks
                                                                     : ENGINE_SNAPSHOT_BLOCKS,
                                                       .ledger = app->options.engine->ledger,
                                                       .wish = app->options.on_wish,
                                                       .ctx = app->options.ctx};
    int rc = engine_restore_new(cometbft, &app->restore, error);

    if (rc != 0 || cometbft->snapshot_dir == NULL)
        return rc;
    return engine_snapshots_open(&snapshots, &app->snapshots, error);
}

int engine_app_open(const struct engine_app_options *options, struct engine_app **out,
                    struct hm_error *error)
{
    struct engine_app *app = hm_calloc(1, sizeof(*app));

    if (app == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the application");
    app->options = *options;
    app->handlers = (struct abci_handlers){.info = engine_app_info,
                                           .init_chain = engine_app_init_chain,
                                           .query = engine_app_query,
                                           .check_tx = engine_app_check_tx,
                                           .prepare_proposal = engine_app_prepare,
                                           .process_proposal = engine_app_process,
                                           .extend_vote = engine_app_extend,
                                           .verify_vote_extension = engine_app_verify,
                                           .finalize_block = app_finalize,
                                           .commit = app_commit,
                                           .list_snapshots = engine_restore_list,
                                           .offer_snapshot = engine_restore_offer,
                                           .load_snapshot_chunk = engine_restore_load,
                                           .apply_snapshot_chunk = engine_restore_apply,
                                           .gone = app_gone,
                                           .failed = app_on_failed,
                                           .ctx = app};
    hm_arena_init(&app->arena, 0);
    hm_arena_init(&app->recovery_arena, 0);
    pthread_mutex_init(&app->lock, NULL);
    int rc = engine_share_new(options->engine->clock, &app->share, error);
    if (rc == 0)
        rc = engine_watch_new(options->cometbft->validator_address, &app->watch, error);
    if (rc == 0)
        rc = app_begin(app, error);
    if (rc == 0)
        rc = app_begin_snapshots(app, error);
    if (rc != 0) {
        engine_app_close(app);
        return rc;
    }
    *out = app;
    return 0;
}

void engine_app_close(struct engine_app *app)
{
    if (app == NULL)
        return;
    app_drop(app);
    engine_snapshots_close(app->snapshots);
    engine_restore_free(app->restore);
    engine_share_free(app->share);
    engine_watch_free(app->watch);
    engine_keeper_close(app->keeper);
    pthread_mutex_destroy(&app->lock);
    hm_arena_release(&app->arena);
    hm_arena_release(&app->recovery_arena);
    hm_free(app);
}
