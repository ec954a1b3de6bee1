/* The handshake: what the engine is told of this ledger at its start, and how a chain begins. */
#include "engine_app.h"

#include "engine_app_share.h"
#include "json.h"

#include <stdio.h>

/* Marks an app_state that goes on from a ledger with blocks; packed Genesis begins with another byte. */
#define START_MARK       0xF2
#define START_HEAD_BYTES ((size_t)1 + 8 + CRYPTO_HASH_BYTES)
/* The same, with a recovery's be32 length and message before the genesis. */
#define START_MARK_RECOVERY      0xF3
#define START_RECOVERY_MAX_BYTES ((size_t)64 * 1024)

/* --- Info -------------------------------------------------------------------------------------------------- */

static int info_check(const Hypermesh__Abci__RequestInfo *request, struct hm_error *error)
{
    if (strncmp(request->version, ENGINE_APP_VERSION_PREFIX,
                sizeof(ENGINE_APP_VERSION_PREFIX) - 1) != 0 ||
        strcmp(request->abci_version, ENGINE_APP_ABCI_VERSION) != 0 ||
        request->block_version != ENGINE_APP_BLOCK_PROTOCOL)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "the engine is CometBFT %.32s (ABCI %.32s, block protocol %llu); this node "
                       "works with " ENGINE_APP_VERSION_PREFIX "x (ABCI " ENGINE_APP_ABCI_VERSION
                       ", block protocol %d): run `scripts/setup --cluster`",
                       request->version, request->abci_version,
                       (unsigned long long)request->block_version, ENGINE_APP_BLOCK_PROTOCOL);
    return 0;
}

/* The last block that is durable: what ledger_info shows was in the log, or synced by the store, before. */
static int info_height(struct engine_app *app, struct hm_arena *arena,
                       Hypermesh__Abci__ResponseInfo *answer, struct hm_error *error)
{
    struct ledger_info info;
    uint64_t era;
    int rc = ledger_info(app->options.engine->ledger, &info, error);

    if (rc == HM_ENOTFOUND)
        return 0;
    if (rc != 0)
        return rc;
    rc = ledger_era(app->options.engine->ledger, &era, error);
    if (rc != 0)
        return rc;
    if (era == 0 || info.height < era)
        return 0; /* over an empty store of its own the engine takes no other height */
    uint8_t *root = hm_arena_dup(arena, info.state_root, CRYPTO_HASH_BYTES);
    if (root == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an answer to the engine");
    answer->last_block_height = (int64_t)info.height;
    answer->last_block_app_hash = wire_bytes(root, CRYPTO_HASH_BYTES);
    return 0;
}

int engine_app_info(void *ctx, const Hypermesh__Abci__RequestInfo *request, struct hm_arena *arena,
                    Hypermesh__Abci__ResponseInfo *answer, struct hm_error *error)
{
    struct engine_app *app = ctx;
    int rc;

    pthread_mutex_lock(&app->lock);
    rc = app->failure.code;
    if (rc != 0)
        (void)hm_fail(error, rc, "%s", app->failure.text);
    pthread_mutex_unlock(&app->lock);
    if (rc == 0)
        rc = info_check(request, error);
    if (rc == 0)
        rc = info_height(app, arena, answer, error);
    if (rc != 0)
        return rc;
    answer->data = hm_arena_strdup(arena, "hypermesh");
    if (answer->data == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an answer to the engine");
    answer->app_version = ENGINE_APP_VERSION;
    engine_share_clear(app->share); /* its pool is empty */
    app->options.on_start(app->options.ctx, request->version);
    return 0;
}

/* --- app_state --------------------------------------------------------------------------------------------- */

struct start_state {
    uint64_t height; /* of the ledger that the chain goes on from; 0: it begins */
    const uint8_t *root; /* of it; NULL: it begins */
    struct hm_slice recovery; /* packed EngineRecovery; empty: none */
    struct hm_slice genesis;
};

static int start_recovery_unpack(struct start_state *state, struct hm_error *error)
{
    struct hm_slice rest = state->genesis;
    size_t len = rest.len >= 4 ? hm_get_be32(rest.data) : 0;

    if (len == 0 || len > START_RECOVERY_MAX_BYTES || len >= rest.len - 4)
        return hm_fail(error, HM_EINVAL, "app_state of the engine's genesis file is cut short");
    state->recovery = hm_slice_of(rest.data + 4, len);
    state->genesis = hm_slice_of(rest.data + 4 + len, rest.len - 4 - len);
    return 0;
}

static int start_state_unpack(struct hm_slice bytes, struct start_state *out,
                              struct hm_error *error)
{
    *out = (struct start_state){.genesis = bytes};
    if (bytes.len == 0)
        return hm_fail(error, HM_EINVAL, "the engine's genesis file has no app_state");
    if (bytes.data[0] != START_MARK && bytes.data[0] != START_MARK_RECOVERY)
        return 0;
    if (bytes.len <= START_HEAD_BYTES)
        return hm_fail(error, HM_EINVAL, "app_state of the engine's genesis file is cut short");
    out->height = hm_get_be64(bytes.data + 1);
    out->root = bytes.data + 9;
    out->genesis = hm_slice_of(bytes.data + START_HEAD_BYTES, bytes.len - START_HEAD_BYTES);
    return bytes.data[0] == START_MARK ? 0 : start_recovery_unpack(out, error);
}

int engine_app_state_genesis(struct hm_slice app_state, struct hm_slice *genesis,
                             struct hm_error *error)
{
    struct start_state state;
    int rc = start_state_unpack(app_state, &state, error);

    if (rc == 0)
        *genesis = state.genesis;
    return rc;
}

static int start_recovery_read(struct hm_slice bytes, struct hm_arena *arena,
                               Hypermesh__EngineRecovery **out, struct hm_error *error)
{
    *out = NULL;
    if (bytes.len == 0)
        return 0;
    int rc = WIRE_UNPACK(hypermesh__engine_recovery, bytes, START_RECOVERY_MAX_BYTES, arena, out,
                         error);
    return rc == 0 ? 0
                   : hm_error_prefix(error, rc == HM_ENOMEM ? rc : HM_EINVAL,
                                     "app_state of the engine's genesis file");
}

int engine_cometbft_state_read(struct hm_slice app_state, struct hm_arena *arena,
                               struct engine_cometbft_state *out, struct hm_error *error)
{
    struct start_state state;
    int rc = start_state_unpack(app_state, &state, error);

    if (rc != 0)
        return rc;
    out->height = state.height;
    out->genesis = state.genesis;
    return start_recovery_read(state.recovery, arena, &out->recovery, error);
}

static int start_recovery_pack(const Hypermesh__EngineRecovery *recovery, struct hm_buf *out)
{
    uint8_t len[4];

    hm_put_be32(len, (uint32_t)hypermesh__engine_recovery__get_packed_size(recovery));
    int rc = hm_buf_append(out, len, sizeof(len));
    return rc != 0 ? rc : wire_pack(&recovery->base, out);
}

static int start_state_pack(struct ledger *ledger, const Hypermesh__EngineRecovery *recovery,
                            struct hm_buf *out, struct hm_error *error)
{
    uint8_t head[START_HEAD_BYTES] = {recovery == NULL ? START_MARK : START_MARK_RECOVERY};
    HM_CLEANUP(hm_buf) struct hm_buf state = {0};
    struct ledger_view *view;
    struct ledger_info info;
    struct hm_slice genesis;
    int rc = ledger_view_open(ledger, &view, error);

    if (rc != 0)
        return rc;
    rc = ledger_view_info(view, &info, error);
    if (rc == 0)
        rc = ledger_view_genesis(view, &genesis, error);
    if (rc == 0 && info.height > 0) {
        hm_put_be64(head + 1, info.height);
        memcpy(head + 9, info.state_root, CRYPTO_HASH_BYTES);
        rc = hm_buf_append(&state, head, sizeof(head));
        if (rc == 0 && recovery != NULL)
            rc = start_recovery_pack(recovery, &state);
    }
    if (rc == 0)
        rc = hm_buf_append(&state, genesis.data, genesis.len);
    ledger_view_close(view);
    if (rc == 0)
        rc = hm_buf_append(out, state.data, state.len);
    return rc == HM_ENOMEM ? hm_fail(error, rc, "no memory for the chain's first state") : rc;
}

int engine_cometbft_app_state(struct ledger *ledger, struct hm_buf *out, struct hm_error *error)
{
    return start_state_pack(ledger, NULL, out, error);
}

int engine_cometbft_recover_state(struct ledger *ledger, const Hypermesh__EngineRecovery *recovery,
                                  struct hm_buf *out, struct hm_error *error)
{
    return start_state_pack(ledger, recovery, out, error);
}

/* The JSON value as it stands in the file: a string of base64. */
static int start_text_decode(struct hm_slice json, struct hm_buf *out, struct hm_error *error)
{
    if (json.len < 2 || json.data[0] != '"' || json.data[json.len - 1] != '"')
        return hm_fail(error, HM_EINVAL,
                       "app_state of the engine's genesis file must be a string of base64");
    int rc = hm_base64_decode((const char *)json.data + 1, json.len - 2, out, error);
    return rc == 0 ? 0
                   : hm_error_prefix(error, rc == HM_ENOMEM ? rc : HM_EINVAL,
                                     "app_state of the engine's genesis file");
}

/* --- InitChain --------------------------------------------------------------------------------------------- */

/* Made from the engine's genesis, or there already: then it must be this one. */
static int init_chain_ledger(struct engine_app *app, const struct start_state *state,
                             struct hm_error *error)
{
    struct ledger *ledger = app->options.engine->ledger;
    struct ledger_info info;
    int rc = ledger_info(ledger, &info, error);

    if (rc == HM_ENOTFOUND && state->height > 0)
        return hm_fail(error, HM_ECONFLICT,
                       "the engine's genesis goes on from block %llu of a ledger that this node "
                       "has not got: let the node join by state sync, or restore a backup",
                       (unsigned long long)state->height);
    if (rc == HM_ENOTFOUND)
        rc = ledger_init_chain(ledger, state->genesis, error);
    return rc;
}

static int init_chain_same_genesis(struct ledger *ledger, struct hm_slice wanted,
                                   struct hm_error *error)
{
    struct ledger_view *view;
    struct hm_slice genesis;
    int rc = ledger_view_open(ledger, &view, error);

    if (rc != 0)
        return rc;
    rc = ledger_view_genesis(view, &genesis, error);
    if (rc == 0 && !hm_slice_equal(genesis, wanted))
        rc = hm_fail(error, HM_ECONFLICT,
                     "this node's ledger began with another genesis than the engine's genesis "
                     "file holds: they are two chains, though of one name");
    ledger_view_close(view);
    return rc;
}

/* The engine's chain has the ledger's name, or the new one that a recovery gives it, or has had since one. */
static int init_chain_name(struct engine_app *app, const Hypermesh__Abci__RequestInitChain *request,
                           const struct ledger_info *info, struct hm_error *error)
{
    const char *name = app->recovery != NULL ? app->recovery->engine_chain : info->engine_chain;

    if (strcmp(name, request->chain_id) == 0)
        return 0;
    return hm_fail(error, HM_ECONFLICT,
                   "the engine's genesis is of chain %.50s, this node's ledger of chain %s",
                   request->chain_id, name);
}

static int init_chain_fits(struct engine_app *app, const Hypermesh__Abci__RequestInitChain *request,
                           const struct start_state *state, struct hm_error *error)
{
    struct ledger *ledger = app->options.engine->ledger;
    char root[2 * CRYPTO_HASH_BYTES + 1];
    struct ledger_info info;
    int rc = ledger_info(ledger, &info, error);

    if (rc != 0)
        return rc;
    rc = init_chain_name(app, request, &info, error);
    if (rc == 0)
        rc = init_chain_same_genesis(ledger, state->genesis, error);
    if (rc != 0)
        return rc;
    if (request->initial_height <= 0 || (uint64_t)request->initial_height != info.height + 1 ||
        state->height != info.height)
        return hm_fail(error, HM_ECONFLICT,
                       "the engine's chain begins at block %lld and goes on from block %llu, but "
                       "this node's ledger stands at block %llu",
                       (long long)request->initial_height, (unsigned long long)state->height,
                       (unsigned long long)info.height);
    if (state->root == NULL || memcmp(state->root, info.state_root, CRYPTO_HASH_BYTES) == 0)
        return 0;
    hm_hex_encode(info.state_root, CRYPTO_HASH_BYTES, root);
    return hm_fail(error, HM_ECONFLICT,
                   "the engine's genesis goes on from another state than this node's ledger has at "
                   "block %llu (%s)",
                   (unsigned long long)info.height, root);
}

static int init_chain_check(const Hypermesh__Abci__RequestInitChain *request,
                            struct hm_error *error)
{
    const Hypermesh__Abci__ConsensusParams *params = request->consensus_params;
    uint64_t version = params != NULL && params->version != NULL ? params->version->app : 0;

    if (version != ENGINE_APP_VERSION)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "the engine's genesis is for version %llu of the application "
                       "(consensus_params.version.app), this is version %d",
                       (unsigned long long)version, ENGINE_APP_VERSION);
    if (request->n_validators == 0)
        return hm_fail(error, HM_EINVAL, "the engine's genesis names no validators");
    return 0;
}

/* Before the engine is told, what begins the chain is on the disk: with a block log, by its first checkpoint. */
static int init_chain_begin(struct engine_app *app, struct hm_arena *arena,
                            Hypermesh__Abci__ResponseInitChain *answer, struct hm_error *error)
{
    struct ledger_info info;
    int rc = engine_app_keep(app, error);

    if (rc == 0)
        rc = ledger_info(app->options.engine->ledger, &info, error);
    if (rc != 0)
        return rc;
    uint8_t *root = hm_arena_dup(arena, info.state_root, CRYPTO_HASH_BYTES);
    if (root == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an answer to the engine");
    pthread_mutex_lock(&app->lock);
    app->hand.block_ms = info.time_ms;
    pthread_mutex_unlock(&app->lock);
    /* Whoever wrote the engine's genesis: it begins with those that the ledger counts, if it counts any. */
    rc = engine_app_set_begin(app, arena, answer, error);
    if (rc != 0)
        return rc;
    answer->app_hash = wire_bytes(root, CRYPTO_HASH_BYTES);
    app->options.on_chain(app->options.ctx, &info);
    return 0;
}

int engine_app_init_chain(void *ctx, const Hypermesh__Abci__RequestInitChain *request,
                          struct hm_arena *arena, Hypermesh__Abci__ResponseInitChain *answer,
                          struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    struct engine_app *app = ctx;
    struct start_state state = {0};
    int rc = init_chain_check(request, error);

    if (rc == 0)
        rc = start_text_decode(wire_slice(request->app_state_bytes), &bytes, error);
    if (rc == 0)
        rc = start_state_unpack(hm_buf_slice(&bytes), &state, error);
    if (rc == 0) {
        hm_arena_clear(&app->recovery_arena);
        rc = start_recovery_read(state.recovery, &app->recovery_arena, &app->recovery, error);
    }
    if (rc == 0)
        rc = init_chain_ledger(app, &state, error);
    if (rc == 0)
        rc = init_chain_fits(app, request, &state, error);
    if (rc == 0)
        rc = engine_app_set_evidence(app, request->consensus_params, arena, error);
    if (rc == 0)
        rc = init_chain_begin(app, arena, answer, error);
    return rc;
}
