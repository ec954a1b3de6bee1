/* OfferSnapshot, ApplySnapshotChunk, and the two calls by which others get ours. While a snapshot is taken over the engine calls
 * nothing else that writes: its consensus begins after Info has named the block. */
#include "engine_restore.h"

typedef Hypermesh__Abci__ResponseApplySnapshotChunk apply_answer;

#define OFFER(name) HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__RESULT__##name
#define APPLY(name) HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__##name

/* --- life -------------------------------------------------------------------------------------------------- */

int engine_restore_new(const struct engine_cometbft_options *options, struct engine_restore **out,
                       struct hm_error *error)
{
    struct engine_restore *restore = hm_calloc(1, sizeof(*restore));
    struct hm_slice genesis = {0};
    int rc = 0;

    if (restore == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine");
    restore->initial_height = options->initial_height;
    if (options->app_state.len > 0)
        rc = engine_app_state_genesis(options->app_state, &genesis, error);
    if (rc == 0 && hm_buf_append(&restore->genesis, genesis.data, genesis.len) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for the engine");
    if (rc != 0) {
        engine_restore_free(restore);
        return rc;
    }
    *out = restore;
    return 0;
}

static void restore_forget(struct engine_restore *restore)
{
    ledger_restore_close(HM_TAKE(restore->under_way));
    hm_free(HM_TAKE(restore->taken));
    restore->there_already = false;
    restore->chunks = restore->left = 0;
}

/* This ledger cannot go on as it is: an answer alone would leave the engine waiting, and the node with it. */
static int restore_fatal(struct engine_app *app, const struct hm_error *why, struct hm_error *error)
{
    restore_forget(app->restore);
    app->handlers.failed(app, why);
    return hm_fail(error, why->code, "%s", why->text);
}

void engine_restore_free(struct engine_restore *restore)
{
    if (restore == NULL)
        return;
    restore_forget(restore);
    hm_buf_release(&restore->genesis);
    hm_buf_release(&restore->plain);
    hm_free(restore);
}

/* --- ours, for others ---------------------------------------------------------------------------------------- */

int engine_restore_list(void *ctx, struct hm_arena *arena,
                        Hypermesh__Abci__ResponseListSnapshots *answer, struct hm_error *error)
{
    struct engine_app *app = ctx;

    return engine_snapshots_list(app->snapshots, arena, answer, error);
}

int engine_restore_load(void *ctx, const Hypermesh__Abci__RequestLoadSnapshotChunk *request,
                        struct hm_arena *arena, Hypermesh__Abci__ResponseLoadSnapshotChunk *answer,
                        struct hm_error *error)
{
    struct engine_app *app = ctx;

    return engine_snapshots_load(app->snapshots, request->height, request->format, request->chunk,
                                 arena, &answer->chunk, error);
}

/* --- an offer ------------------------------------------------------------------------------------------------ */

/* What can be said of it without the ledger. 0: go on. */
static int offer_look(const struct engine_restore *restore,
                      const Hypermesh__Abci__RequestOfferSnapshot *request, struct hm_error *error)
{
    const Hypermesh__Abci__Snapshot *snapshot = request->snapshot;
    uint8_t hash[CRYPTO_HASH_BYTES];

    if (request->app_hash.len != CRYPTO_HASH_BYTES)
        return hm_fail(error, HM_EINVAL, "the chain's application hash has %zu bytes, not %d",
                       request->app_hash.len, CRYPTO_HASH_BYTES);
    if (snapshot->height < restore->initial_height || snapshot->height == 0)
        return hm_fail(error, HM_EINVAL, "the engine's chain begins at block %llu",
                       (unsigned long long)restore->initial_height);
    crypto_hash(snapshot->metadata.data, snapshot->metadata.len, hash);
    if (!hm_slice_equal(wire_slice(snapshot->hash), hm_slice_of(hash, sizeof(hash))))
        return hm_fail(error, HM_EAUTH, "its hash is not that of its metadata");
    return 0;
}

/* HM_ENOTFOUND: the ledger is empty, as it should be. 0: it is what is offered. */
static int offer_has(const struct engine_app *app,
                     const Hypermesh__Abci__RequestOfferSnapshot *request, struct hm_error *error)
{
    struct ledger_info info;
    int rc = ledger_info(app->options.engine->ledger, &info, error);

    if (rc != 0)
        return rc;
    if (info.height == request->snapshot->height &&
        hm_slice_equal(wire_slice(request->app_hash),
                       hm_slice_of(info.state_root, CRYPTO_HASH_BYTES)))
        return 0;
    return hm_fail(error, HM_ECONFLICT,
                   "the engine begins anew with a snapshot of block %llu, but this node's ledger "
                   "stands at block %llu: start it again, and where it has no block of its own yet "
                   "it begins anew, too; else let the node join with a new folder",
                   (unsigned long long)request->snapshot->height, (unsigned long long)info.height);
}

static int offer_begin(struct engine_app *app, const Hypermesh__Abci__RequestOfferSnapshot *request,
                       struct hm_error *error)
{
    struct engine_restore *restore = app->restore;
    const Hypermesh__Abci__Snapshot *snapshot = request->snapshot;
    const struct ledger_restore_expect expect = {.genesis = hm_buf_slice(&restore->genesis),
                                                 .height = snapshot->height,
                                                 .state_root = request->app_hash.data,
                                                 .era = restore->initial_height};
    int rc = ledger_restore_begin(app->options.engine->ledger, &expect,
                                  wire_slice(snapshot->metadata), &restore->under_way, error);

    if (rc != 0)
        return rc;
    restore->chunks = restore->left = ledger_restore_chunks(restore->under_way);
    if (snapshot->chunks != restore->chunks)
        return hm_fail(error, HM_EAUTH, "it is said to have %u chunks, by its metadata it has %u",
                       (unsigned)snapshot->chunks, (unsigned)restore->chunks);
    restore->taken = hm_calloc(restore->chunks / 8 + 1, 1);
    return restore->taken == NULL ? hm_fail(error, HM_ENOMEM, "no memory to take a snapshot over")
                                  : 0;
}

/* The offer is wrong, and another may be right. */
static bool is_theirs(int rc)
{
    return rc == HM_EAUTH || rc == HM_EPARSE || rc == HM_ELIMIT || rc == HM_EINVAL ||
           rc == HM_EUNSUPPORTED;
}

/* Accepted when 0; then chunks may come. */
static int offer_take(struct engine_app *app, const Hypermesh__Abci__RequestOfferSnapshot *request,
                      struct hm_error *error)
{
    struct engine_restore *restore = app->restore;
    int rc = offer_look(restore, request, error);

    if (rc == 0)
        rc = offer_has(app, request, error);
    else
        return rc;
    if (rc == HM_ENOTFOUND)
        return offer_begin(app, request, error);
    restore->chunks = restore->left = request->snapshot->chunks;
    restore->there_already = rc == 0;
    return rc;
}

int engine_restore_offer(void *ctx, const Hypermesh__Abci__RequestOfferSnapshot *request,
                         struct hm_arena *arena, Hypermesh__Abci__ResponseOfferSnapshot *answer,
                         struct hm_error *error)
{
    struct engine_app *app = ctx;
    struct engine_restore *restore = app->restore;
    unsigned long long height = request->snapshot->height;
    struct hm_error why = {0};

    (void)arena;
    restore_forget(restore);
    if (restore->genesis.len == 0)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "a snapshot is offered, but this node was not set up to begin with one");
    if (request->snapshot->format != ENGINE_SNAPSHOT_FORMAT) {
        hm_log(HM_LOG_WARN, "engine",
               "snapshot of block %llu is not taken: its format is %u, this node knows %u", height,
               (unsigned)request->snapshot->format, (unsigned)ENGINE_SNAPSHOT_FORMAT);
        answer->result = OFFER(REJECT_FORMAT);
        return 0;
    }
    int rc = offer_take(app, request, &why);
    if (rc == 0) {
        hm_log(HM_LOG_INFO, "engine", "taking over a snapshot of block %llu, %u chunks", height,
               (unsigned)restore->chunks);
        answer->result = OFFER(ACCEPT);
        return 0;
    }
    if (rc == HM_ECONFLICT)
        return restore_fatal(app, &why, error);
    restore_forget(restore);
    if (!is_theirs(rc))
        return hm_fail(error, rc, "%s", why.text);
    hm_log(HM_LOG_WARN, "engine", "snapshot of block %llu is not taken: %s", height, why.text);
    answer->result = OFFER(REJECT);
    return 0;
}

/* --- a chunk ------------------------------------------------------------------------------------------------- */

/* All chunks are there. From here on Info names the block, so first all that belongs to it is on the disk. */
static int apply_end(struct engine_app *app, struct hm_error *error)
{
    struct ledger_info info;
    int rc = ledger_restore_finish(app->restore->under_way, error);

    if (rc == 0)
        rc = engine_app_keep(app, error);
    if (rc == 0)
        rc = ledger_info(app->options.engine->ledger, &info, error);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&app->lock);
    app->hand.block_ms = info.time_ms;
    pthread_mutex_unlock(&app->lock);
    engine_snapshots_restored(app->snapshots, info.height);
    app->options.on_chain(app->options.ctx, &info);
    hm_log(HM_LOG_INFO, "engine", "the ledger begins with a snapshot of block %llu",
           (unsigned long long)info.height);
    return 0;
}

/* It was this sender's doing: the chunk is asked of another. */
static int apply_again(const Hypermesh__Abci__RequestApplySnapshotChunk *request,
                       struct hm_arena *arena, apply_answer *answer, struct hm_error *error)
{
    uint32_t *chunks = hm_arena_alloc(arena, sizeof(*chunks));
    char **senders = hm_arena_alloc(arena, sizeof(*senders));

    if (chunks == NULL || senders == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an answer to the engine");
    chunks[0] = request->index;
    answer->result = APPLY(RETRY);
    answer->refetch_chunks = chunks;
    answer->n_refetch_chunks = 1;
    if (request->sender[0] == '\0')
        return 0;
    senders[0] = hm_arena_strdup(arena, request->sender);
    if (senders[0] == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an answer to the engine");
    answer->reject_senders = senders;
    answer->n_reject_senders = 1;
    return 0;
}

static int apply_one(struct engine_restore *restore,
                     const Hypermesh__Abci__RequestApplySnapshotChunk *request,
                     struct hm_error *error)
{
    int rc = engine_snapshot_unpack(wire_slice(request->chunk), &restore->plain, error);

    if (rc == 0)
        rc = ledger_restore_chunk(restore->under_way, request->index, hm_buf_slice(&restore->plain),
                                  error);
    if (rc != 0)
        return rc;
    uint8_t *byte = &restore->taken[request->index / 8];
    uint8_t bit = (uint8_t)(1u << request->index % 8);
    restore->left -= (*byte & bit) == 0;
    *byte |= bit;
    return 0;
}

static int apply_taken(struct engine_app *app, apply_answer *answer, struct hm_error *error)
{
    struct engine_restore *restore = app->restore;
    struct hm_error why = {0};

    answer->result = APPLY(ACCEPT);
    if (restore->left > 0)
        return 0;
    if (apply_end(app, &why) != 0)
        return restore_fatal(app, &why, error);
    restore_forget(restore);
    return 0;
}

int engine_restore_apply(void *ctx, const Hypermesh__Abci__RequestApplySnapshotChunk *request,
                         struct hm_arena *arena,
                         Hypermesh__Abci__ResponseApplySnapshotChunk *answer,
                         struct hm_error *error)
{
    struct engine_app *app = ctx;
    struct engine_restore *restore = app->restore;
    struct hm_error why = {0};

    if (restore->there_already) {
        answer->result = APPLY(ACCEPT);
        return 0;
    }
    if (restore->under_way == NULL)
        return hm_fail(error, HM_ECONFLICT, "a chunk comes, but no snapshot was accepted");
    if (request->index >= restore->chunks)
        return hm_fail(error, HM_EINVAL, "the engine hands over chunk %u of %u",
                       (unsigned)request->index, (unsigned)restore->chunks);
    int rc = apply_one(restore, request, &why);
    if (rc == 0)
        return apply_taken(app, answer, error);
    if (rc == HM_EAUTH || rc == HM_EPARSE || rc == HM_ELIMIT) {
        hm_log(HM_LOG_WARN, "engine", "chunk %u of a snapshot, from %.80s, is not taken: %s",
               (unsigned)request->index,
               request->sender[0] != '\0' ? request->sender : "nobody known", why.text);
        return apply_again(request, arena, answer, error);
    }
    if (rc == HM_ECONFLICT) { /* headers come in order; the engine may ask for all of it anew */
        answer->result = APPLY(RETRY_SNAPSHOT);
        return 0;
    }
    return hm_fail(error, rc, "%s", why.text); /* ABORT: it is our own disk or memory */
}
