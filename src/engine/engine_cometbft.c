/* cometbft: blocks come from an engine outside, together with those of other nodes.
 *
 * Four threads of ours meet here: the pool's (engine_pool_run.c) hands batches over, the server's consensus connection
 * drives the application (engine_app.c) and so brings the blocks, anybody's submit queues, and one asks what a round waits for
 * (engine_rounds_run.c). */
#include "engine_cometbft.h"

#include <stdio.h>

#include "engine_snapshot.h"

static const struct engine_kind cometbft_kind;

static struct engine_cometbft *cometbft_of(struct engine *engine)
{
    return (struct engine_cometbft *)(void *)engine;
}

/* --- what the application tells ------------------------------------------------------------------------------ */

static void cometbft_on_start(void *ctx, const char *version)
{
    struct engine_cometbft *engine = ctx;

    engine_pool_engine_started(engine->pool, version);
    engine_snapshots_remind(engine->app->snapshots);
}

static void cometbft_on_chain(void *ctx, const struct ledger_info *info)
{
    struct engine_cometbft *engine = ctx;

    engine_pool_chain(engine->pool, info);
    engine_heights_set(&engine->head.heights, info->height);
}

static void cometbft_on_commit(void *ctx, const struct engine_app_commit *commit)
{
    struct engine_cometbft *engine = ctx;

    engine_heights_set(&engine->head.heights, commit->block.height);
    engine_pool_commit(engine->pool, commit);
    engine_rounds_block(engine->rounds_run);
}

/* No block without a chain, or after a failure: then there is nothing to wish for. */
static void cometbft_on_wish(void *ctx)
{
    struct engine_cometbft *engine = ctx;

    (void)!engine_pool_nudge(engine->pool, NULL);
}

/* No more blocks: nobody waits for one any longer. */
static void cometbft_give_up(struct engine *head, const struct hm_error *error)
{
    engine_pool_fail(cometbft_of(head)->pool, error);
    engine_heights_stop(&head->heights);
}

static void cometbft_on_failure(void *ctx, const struct hm_error *error)
{
    struct engine_cometbft *engine = ctx;

    cometbft_give_up(&engine->head, error);
    if (engine->options.on_failure != NULL)
        engine->options.on_failure(engine->options.ctx, error);
}

/* From the connections' threads. */
static void cometbft_log(void *ctx, const struct hm_error *error)
{
    struct engine_cometbft *engine = ctx;
    struct engine_cometbft_lines *lines = &engine->lines;
    uint64_t second = hm_mono_ns(hm_clock_system()) / 1000000000;
    unsigned left_out = 0;

    pthread_mutex_lock(&lines->lock);
    if (second != lines->second) {
        left_out = lines->left_out;
        lines->second = second;
        lines->told = lines->left_out = 0;
    }
    bool room = lines->told < ENGINE_COMETBFT_LINES_PER_S;
    lines->told += room;
    lines->left_out += !room;
    pthread_mutex_unlock(&lines->lock);
    if (left_out > 0)
        hm_log(HM_LOG_WARN, "engine", "%u lines on what was refused are left out", left_out);
    if (room)
        hm_log(HM_LOG_WARN, "engine", "%s", error->text);
}

static void cometbft_left(void *ctx, int64_t pid)
{
    const struct engine_cometbft *engine = ctx;

    if (engine->cometbft.left != NULL)
        engine->cometbft.left(engine->cometbft.left_ctx, pid);
}

/* --- life -------------------------------------------------------------------------------------------------- */

static void cometbft_close(struct engine *head)
{
    struct engine_cometbft *engine = cometbft_of(head);

    abci_server_close(engine->server);
    if (engine->pool != NULL)
        engine_pool_stop(engine->pool);
    engine_app_close(engine->app);
    engine_rounds_stop(engine->rounds_run);
    engine_rounds_free(engine->rounds);
    engine_remote_free(engine->remote);
    engine_pool_free(engine->pool);
    if (engine->has_heights)
        engine_heights_release(&engine->head.heights);
    pthread_mutex_destroy(&engine->lines.lock);
    hm_free(engine->rpc_path);
    hm_free(engine->abci_path);
    hm_free(engine);
}

static struct engine_cometbft *cometbft_new(const struct engine_options *options,
                                            const struct engine_cometbft_options *cometbft)
{
    struct engine_cometbft *engine = hm_calloc(1, sizeof(*engine));

    if (engine == NULL)
        return NULL;
    engine->head.kind = &cometbft_kind;
    pthread_mutex_init(&engine->lines.lock, NULL);
    engine->options = *options;
    engine->cometbft = *cometbft;
    engine->rpc_path = hm_strdup(cometbft->rpc_path);
    engine->abci_path = cometbft->abci_path != NULL ? hm_strdup(cometbft->abci_path) : NULL;
    if (engine->rpc_path == NULL || (cometbft->abci_path != NULL && engine->abci_path == NULL)) {
        cometbft_close(&engine->head);
        return NULL;
    }
    engine->cometbft.rpc_path = engine->rpc_path;
    engine->cometbft.abci_path = engine->abci_path;
    return engine;
}

static int cometbft_open_rounds(struct engine_cometbft *engine, struct hm_error *error)
{
    int rc = engine_rounds_new(engine->cometbft.validator_address, &engine->rounds, error);

    return rc == 0 && engine->abci_path != NULL
               ? engine_rounds_start(engine->rpc_path, engine->pool, engine->rounds,
                                     &engine->rounds_run, error)
               : rc;
}

static int cometbft_open_app(struct engine_cometbft *engine, struct hm_error *error)
{
    const struct engine_app_options app = {.engine = &engine->options,
                                           .cometbft = &engine->cometbft,
                                           .on_start = cometbft_on_start,
                                           .on_chain = cometbft_on_chain,
                                           .on_commit = cometbft_on_commit,
                                           .on_wish = cometbft_on_wish,
                                           .on_refusal = cometbft_log,
                                           .on_failure = cometbft_on_failure,
                                           .ctx = engine,
                                           .rounds = engine->rounds,
                                           .rounds_run = engine->rounds_run};

    return engine_app_open(&app, &engine->app, error);
}

static int cometbft_open_parts(struct engine_cometbft *engine, struct hm_error *error)
{
    const struct engine_pool_options pool = {.engine = &engine->options,
                                             .cometbft = &engine->cometbft};
    int rc = engine_pool_new(&pool, &engine->pool, error);

    if (rc == 0)
        rc = engine_heights_init(&engine->head.heights, 0, error);
    engine->has_heights = rc == 0;
    if (rc == 0)
        rc = engine_remote_new(engine->rpc_path, &engine->remote, error);
    if (rc == 0)
        rc = cometbft_open_rounds(engine, error);
    return rc == 0 ? cometbft_open_app(engine, error) : rc;
}

/* What there is already is told as if it came now; then the pool runs, then the engine may come. */
static int cometbft_start(struct engine_cometbft *engine, struct hm_error *error)
{
    const struct abci_server_options server = {
        .log = cometbft_log, .left = cometbft_left, .ctx = engine};
    struct ledger_info info;
    int rc = ledger_info(engine->options.ledger, &info, error);

    if (rc == 0)
        cometbft_on_chain(engine, &info);
    else if (rc == HM_ENOTFOUND)
        rc = 0;
    if (rc == 0)
        rc = engine_pool_start(engine->pool, error);
    if (rc == 0 && engine->abci_path != NULL)
        rc = abci_server_open(engine->abci_path, &engine->app->handlers, &server, &engine->server,
                              error);
    return rc;
}

int engine_cometbft_open(const struct engine_options *options,
                         const struct engine_cometbft_options *cometbft, struct engine **out,
                         struct hm_error *error)
{
    struct engine_cometbft *engine = cometbft_new(options, cometbft);

    if (engine == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine");
    int rc = cometbft_open_parts(engine, error);
    if (rc == 0)
        rc = cometbft_start(engine, error);
    if (rc != 0) {
        cometbft_close(&engine->head);
        return rc;
    }
    *out = &engine->head;
    return 0;
}

/* --- calls --------------------------------------------------------------------------------------------------- */

static int cometbft_submit(struct engine *head, struct hm_slice tx, engine_done done, void *ctx,
                           struct hm_error *error)
{
    struct engine_cometbft *engine = cometbft_of(head);
    uint8_t digest[CRYPTO_HASH_BYTES];
    uint64_t now_ms;
    int rc = engine_pool_admit(engine->pool, tx.len, error);

    if (rc == 0)
        rc = engine_app_now(engine->app, &now_ms, error);
    if (rc == 0)
        rc = ledger_check_tx(engine->options.ledger, tx, now_ms, digest, error);
    if (rc == 0)
        rc = engine_pool_put(engine->pool, tx, digest, done, ctx, error);
    if (rc == 0)
        engine_rounds_waits(engine->rounds_run);
    return rc;
}

static void cometbft_status_remote(struct engine_cometbft *engine, struct engine_status *out)
{
    struct engine_remote_facts facts;

    engine_remote_look(engine->remote, &facts);
    out->reachable = facts.reachable;
    out->peers = facts.reachable ? facts.peers : 0;
    out->catching_up = facts.catching_up;
    out->engine_height = facts.height;
    /* It knows who votes for the next block; our last block, who voted for the one before it. */
    if (facts.reachable)
        out->validator = facts.validator;
}

static void cometbft_status(struct engine *head, struct engine_status *out)
{
    struct engine_cometbft *engine = cometbft_of(head);
    uint64_t wall_ms = hm_wall_ms(engine->options.clock);
    uint64_t now_ms;

    engine_pool_status(engine->pool, out);
    out->name = "cometbft";
    out->block_age_ms = wall_ms > out->block_time_ms ? wall_ms - out->block_time_ms : 0;
    out->clock_refused = engine_app_now(engine->app, &now_ms, NULL) != 0;
    cometbft_status_remote(engine, out);
}

static int cometbft_nudge(struct engine *head, struct hm_error *error)
{
    return engine_pool_nudge(cometbft_of(head)->pool, error);
}

static int cometbft_light_block(struct engine *head, uint64_t height, struct hm_arena *arena,
                                Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    return engine_remote_light_block(cometbft_of(head)->remote, height, arena, out, error);
}

static int cometbft_offer_vdf(struct engine *head, uint64_t index, struct hm_slice output,
                              struct hm_slice proof, struct hm_error *error)
{
    return engine_app_offer_vdf(cometbft_of(head)->app, index, output, proof, error);
}

static void cometbft_expect(struct engine *head, int64_t pid)
{
    struct engine_cometbft *engine = cometbft_of(head);

    if (engine->server != NULL)
        abci_server_expect(engine->server, pid);
}

static const struct abci_handlers *cometbft_handlers(struct engine *head)
{
    return &cometbft_of(head)->app->handlers;
}

static const struct engine_kind cometbft_kind = {.submit = cometbft_submit,
                                                 .status = cometbft_status,
                                                 .nudge = cometbft_nudge,
                                                 .light_block = cometbft_light_block,
                                                 .offer_vdf = cometbft_offer_vdf,
                                                 .expect = cometbft_expect,
                                                 .give_up = cometbft_give_up,
                                                 .handlers = cometbft_handlers,
                                                 .close = cometbft_close};
