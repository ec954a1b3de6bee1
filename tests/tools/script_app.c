#include "script_app.h"

#include "script_app_parts.h"

static struct hm_slice slice_of(ProtobufCBinaryData bytes)
{
    return hm_slice_of(bytes.data, bytes.len);
}

static int own_bytes(struct hm_arena *arena, const void *data, size_t len, ProtobufCBinaryData *out,
                     struct hm_error *error)
{
    out->data = hm_arena_dup(arena, data, len);
    out->len = len;
    return out->data == NULL ? script_fail_memory(error) : 0;
}

/* --- query ------------------------------------------------------------------------------------------- */

static int info(void *ctx, const Hypermesh__Abci__RequestInfo *request, struct hm_arena *arena,
                Hypermesh__Abci__ResponseInfo *answer, struct hm_error *error)
{
    const struct script_app *app = ctx;
    uint8_t root[32];

    (void)request;
    answer->app_version = 1;
    answer->last_block_height = (int64_t)app->now.height;
    if (app->now.height == 0)
        return 0;
    script_root_of(app, &app->now, root);
    return own_bytes(arena, root, sizeof root, &answer->last_block_app_hash, error);
}

/* "/has": is the transaction applied? "/count": how many are. */
static int query(void *ctx, const Hypermesh__Abci__RequestQuery *request, struct hm_arena *arena,
                 Hypermesh__Abci__ResponseQuery *answer, struct hm_error *error)
{
    const struct script_app *app = ctx;
    char text[24];

    if (strcmp(request->path, "/has") == 0) {
        answer->code = script_state_has(&app->now, slice_of(request->data)) ? 0 : 1;
        return 0;
    }
    if (strcmp(request->path, "/count") != 0)
        return 0;
    answer->code = 0;
    answer->height = (int64_t)app->now.height;
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)app->now.count);
    return own_bytes(arena, text, strlen(text), &answer->value, error);
}

static int check_tx(void *ctx, const Hypermesh__Abci__RequestCheckTx *request,
                    struct hm_arena *arena, Hypermesh__Abci__ResponseCheckTx *answer,
                    struct hm_error *error)
{
    (void)ctx;
    (void)arena;
    (void)error;
    answer->code = script_tx_reads(slice_of(request->tx)) ? SCRIPT_OK : SCRIPT_UNREADABLE;
    return 0;
}

/* --- consensus --------------------------------------------------------------------------------------- */

static int init_chain(void *ctx, const Hypermesh__Abci__RequestInitChain *request,
                      struct hm_arena *arena, Hypermesh__Abci__ResponseInitChain *answer,
                      struct hm_error *error)
{
    struct script_app *app = ctx;
    uint8_t root[32];

    if (request->n_validators > SCRIPT_VALIDATORS_MAX)
        return hm_fail(error, HM_ELIMIT, "more than %d validators", SCRIPT_VALIDATORS_MAX);
    script_state_release(&app->now);
    for (size_t i = 0; i < request->n_validators; i++) {
        const Hypermesh__Abci__ValidatorUpdate *from = request->validators[i];
        struct abci_validator *to = &app->now.validator[app->now.validators++];
        if (from->pub_key == NULL || from->pub_key->ed25519.len != 32)
            return hm_fail(error, HM_EINVAL, "a validator's key is no Ed25519 key");
        memcpy(to->key, from->pub_key->ed25519.data, 32);
        to->power = from->power;
    }
    script_root_of(app, &app->now, root);
    return own_bytes(arena, root, sizeof root, &answer->app_hash, error);
}

static bool left_out(const struct script_app *app, struct hm_slice tx)
{
    uint8_t digest[32];

    script_tx_digest(tx, digest);
    return script_mutates(app, SCRIPT_CENSORS) && digest[1] < 64;
}

static int prepare(void *ctx, const Hypermesh__Abci__RequestPrepareProposal *request,
                   struct hm_arena *arena, Hypermesh__Abci__ResponsePrepareProposal *answer,
                   struct hm_error *error)
{
    struct script_app *app = ctx;
    size_t bytes = 0;

    app->prepared_height = (uint64_t)request->height;
    answer->n_txs = 0;
    answer->txs = hm_arena_alloc(arena, (request->n_txs + 1) * sizeof *answer->txs);
    if (answer->txs == NULL)
        return script_fail_memory(error);
    for (size_t i = 0; i < request->n_txs; i++) {
        struct hm_slice tx = slice_of(request->txs[i]);
        bytes += abci_tx_bytes(tx.len);
        if (bytes > (size_t)request->max_tx_bytes && !script_mutates(app, SCRIPT_OVERSIZE))
            break;
        if (script_tx_reads(tx) && !left_out(app, tx))
            answer->txs[answer->n_txs++] = request->txs[i];
    }
    return 0;
}

static bool twice(const Hypermesh__Abci__RequestProcessProposal *request, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (hm_slice_equal(slice_of(request->txs[i]), slice_of(request->txs[index])))
            return true;
    return false;
}

static int process(void *ctx, const Hypermesh__Abci__RequestProcessProposal *request,
                   struct hm_arena *arena, Hypermesh__Abci__ResponseProcessProposal *answer,
                   struct hm_error *error)
{
    struct script_app *app = ctx;

    (void)arena;
    app->asked++;
    if (script_mutates(app, SCRIPT_UNKNOWN) && app->asked % 16 == 0)
        answer->status = HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__UNKNOWN;
    for (size_t i = 0; i < request->n_txs && !script_mutates(app, SCRIPT_ACCEPTS_ALL); i++)
        if (!script_tx_reads(slice_of(request->txs[i])) || twice(request, i))
            answer->status = HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__REJECT;
    if (script_mutates(app, SCRIPT_REJECTS_OWN) && request->n_txs > 2)
        answer->status = HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__REJECT;
    if (!app->options.optimistic ||
        answer->status != HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__ACCEPT)
        return 0;
    return script_block_run(app, request->txs, request->n_txs, (uint64_t)request->height,
                            request->hash, error);
}

static int extend(void *ctx, const Hypermesh__Abci__RequestExtendVote *request,
                  struct hm_arena *arena, Hypermesh__Abci__ResponseExtendVote *answer,
                  struct hm_error *error)
{
    const struct script_app *app = ctx;
    uint8_t clock[8];

    (void)request;
    hm_put_be64(clock, hm_wall_ms(app->options.clock));
    return own_bytes(arena, clock, sizeof clock, &answer->vote_extension, error);
}

static int verify(void *ctx, const Hypermesh__Abci__RequestVerifyVoteExtension *request,
                  struct hm_arena *arena, Hypermesh__Abci__ResponseVerifyVoteExtension *answer,
                  struct hm_error *error)
{
    const struct script_app *app = ctx;
    ProtobufCBinaryData bytes = request->vote_extension;

    (void)arena;
    (void)error;
    if (bytes.len > SCRIPT_EXTENSION_MAX_BYTES)
        answer->status = HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__REJECT;
    if (script_mutates(app, SCRIPT_VERIFY_CLOCK) && bytes.len == 8) {
        uint64_t said = hm_get_be64(bytes.data), now = hm_wall_ms(app->options.clock);
        if ((said > now ? said - now : now - said) > 10000)
            answer->status = HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__REJECT;
    }
    return 0;
}

/* --- finalize_block ---------------------------------------------------------------------------------- */

static int results_answer(const struct script_app *app, struct hm_arena *arena,
                          Hypermesh__Abci__ResponseFinalizeBlock *answer)
{
    size_t count = app->next.count;
    Hypermesh__Abci__ExecTxResult *results = hm_arena_alloc(arena, (count + 1) * sizeof *results);

    answer->tx_results = hm_arena_alloc(arena, (count + 1) * sizeof *answer->tx_results);
    if (results == NULL || answer->tx_results == NULL)
        return HM_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        hypermesh__abci__exec_tx_result__init(&results[i]);
        results[i].code = app->next.codes[i];
        answer->tx_results[i] = &results[i];
    }
    answer->n_tx_results = count - (script_mutates(app, SCRIPT_FEW_RESULTS) && count > 0);
    return 0;
}

static int update_answer(const uint8_t key[32], int64_t power, struct hm_arena *arena,
                         Hypermesh__Abci__ResponseFinalizeBlock *answer)
{
    Hypermesh__Abci__ValidatorUpdate *update = hm_arena_alloc(arena, sizeof *update);
    Hypermesh__Abci__PublicKey *public_key = hm_arena_alloc(arena, sizeof *public_key);

    if (update == NULL || public_key == NULL)
        return HM_ENOMEM;
    hypermesh__abci__validator_update__init(update);
    hypermesh__abci__public_key__init(public_key);
    public_key->sum_case = HYPERMESH__ABCI__PUBLIC_KEY__SUM_ED25519;
    public_key->ed25519.len = 32;
    public_key->ed25519.data = hm_arena_dup(arena, key, 32);
    update->pub_key = public_key;
    update->power = power;
    answer->validator_updates[answer->n_validator_updates++] = update;
    return public_key->ed25519.data == NULL ? HM_ENOMEM : 0;
}

static int updates_answer(const struct script_app *app, struct hm_arena *arena,
                          Hypermesh__Abci__ResponseFinalizeBlock *answer)
{
    const struct script_block *block = &app->next;
    const struct abci_validator *first = block->update;
    int status = 0;

    answer->validator_updates = hm_arena_alloc(arena, (block->updates + 1) *
                                                          sizeof *answer->validator_updates);
    if (answer->validator_updates == NULL)
        return HM_ENOMEM;
    for (size_t i = 0; i < block->updates && status == 0; i++)
        status = update_answer(block->update[i].key, block->update[i].power, arena, answer);
    if (status == 0 && block->updates > 0) {
        static const uint8_t stranger[32] = {1};
        if (script_mutates(app, SCRIPT_UPDATE_TWICE))
            status = update_answer(first->key, first->power, arena, answer);
        if (script_mutates(app, SCRIPT_UPDATE_MISSING))
            status = update_answer(stranger, 0, arena, answer);
        if (script_mutates(app, SCRIPT_UPDATE_NEGATIVE))
            status = update_answer(stranger, -1, arena, answer);
    }
    return status;
}

static int disk_write(struct script_app *app, const struct script_state *state,
                      struct hm_error *error)
{
    if (script_state_copy(state, &app->disk->state) != 0)
        return script_fail_memory(error);
    return app->options.saved == NULL ? 0 : app->options.saved(app->options.ctx, app->disk, error);
}

static int finalize(void *ctx, const Hypermesh__Abci__RequestFinalizeBlock *request,
                    struct hm_arena *arena, Hypermesh__Abci__ResponseFinalizeBlock *answer,
                    struct hm_error *error)
{
    struct script_app *app = ctx;
    bool tried = app->next.open && app->next.state.height == (uint64_t)request->height &&
                 (script_mutates(app, SCRIPT_STALE_PROPOSAL) ||
                  (request->hash.len == 32 && memcmp(app->next.hash, request->hash.data, 32) == 0));
    uint8_t root[32];
    int status;

    if (!tried && (status = script_block_run(app, request->txs, request->n_txs,
                                             (uint64_t)request->height, request->hash, error)) != 0)
        return status;
    app->fresh = false;
    if (results_answer(app, arena, answer) != 0 || updates_answer(app, arena, answer) != 0)
        return script_fail_memory(error);
    if (script_mutates(app, SCRIPT_COMMIT_EARLY) &&
        (status = disk_write(app, &app->next.state, error)) != 0)
        return status;
    script_root_of(app, &app->next.state, root);
    return own_bytes(arena, root, sizeof root, &answer->app_hash, error);
}

static int commit(void *ctx, struct hm_arena *arena, Hypermesh__Abci__ResponseCommit *answer,
                  struct hm_error *error)
{
    struct script_app *app = ctx;
    unsigned every = app->options.durable_every == 0 ? 1 : app->options.durable_every;
    int status;

    (void)arena;
    if (!app->next.open)
        return hm_fail(error, HM_EINTERNAL, "commit without a finalized block");
    if (script_state_copy(&app->next.state, &app->now) != 0)
        return script_fail_memory(error);
    script_block_drop(app);
    if (app->commits++ % every == 0 && (status = disk_write(app, &app->now, error)) != 0)
        return status;
    if (script_mutates(app, SCRIPT_COMMIT_FORGETS))
        app->disk->state.height = app->now.height;
    /* The engine may forget what is below, but not what it would have to play again. */
    if (app->options.forgets)
        answer->retain_height = (int64_t)app->disk->state.height;
    if (script_mutates(app, SCRIPT_PRUNES_TOO_MUCH))
        answer->retain_height = (int64_t)app->now.height;
    return script_snapshot_keep(app, error);
}

static void gone(void *ctx)
{
    script_block_drop(ctx);
}

/* --- life -------------------------------------------------------------------------------------------- */

int script_app_open(struct script_disk *disk, const struct script_options *options,
                    struct script_app **out, struct hm_error *error)
{
    struct script_app *app = hm_calloc(1, sizeof *app);

    if (app == NULL || script_state_copy(&disk->state, &app->now) != 0) {
        hm_free(app);
        return script_fail_memory(error);
    }
    app->disk = disk;
    app->options = *options;
    app->fresh = true;
    *out = app;
    return 0;
}

void script_app_close(struct script_app *app)
{
    if (app == NULL)
        return;
    script_block_drop(app);
    script_snapshot_drop(app);
    script_state_release(&app->now);
    hm_free(app);
}

void script_app_handlers(struct script_app *app, struct abci_handlers *out)
{
    *out = (struct abci_handlers){.info = info,
                                  .query = query,
                                  .check_tx = check_tx,
                                  .init_chain = init_chain,
                                  .prepare_proposal = prepare,
                                  .process_proposal = process,
                                  .extend_vote = extend,
                                  .verify_vote_extension = verify,
                                  .finalize_block = finalize,
                                  .commit = commit,
                                  .gone = gone,
                                  .ctx = app};
    script_snapshot_handlers(out);
}
