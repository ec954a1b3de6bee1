/* script_app's snapshots. The metadata is the state's head, which gives the root, and the hash of each chunk; so a wrong head
 * shows when it is offered, a wrong chunk when it comes, and a head whose hashes were made for other chunks at the end. */
#include "script_app_parts.h"

#define CHUNK_BYTES ((size_t)SCRIPT_CHUNK_DIGESTS * 32)

static uint32_t chunks_of(uint64_t digests)
{
    return (uint32_t)((digests + SCRIPT_CHUNK_DIGESTS - 1) / SCRIPT_CHUNK_DIGESTS);
}

static struct hm_slice chunk_of(const struct script_state *state, uint32_t index)
{
    size_t from = index * CHUNK_BYTES, left;

    if (from > state->digests.len)
        return hm_slice_of(NULL, 0);
    left = state->digests.len - from;
    return hm_slice_of(state->digests.data + from, left < CHUNK_BYTES ? left : CHUNK_BYTES);
}

int script_snapshot_keep(struct script_app *app, struct hm_error *error)
{
    struct script_disk *disk = app->disk;
    unsigned oldest = 0;

    /* One of nothing would have no chunk, and an engine would wait for it for ever. */
    if (app->options.snapshot_every == 0 || app->now.count == 0 ||
        app->now.height % app->options.snapshot_every != 0)
        return 0;
    for (unsigned i = 1; i < SCRIPT_SNAPSHOTS_MAX; i++)
        oldest = disk->snapshot[i].height < disk->snapshot[oldest].height ? i : oldest;
    hm_buf_clear(&disk->snapshot[oldest].bytes);
    if (script_state_pack(&app->now, &disk->snapshot[oldest].bytes) != 0)
        return script_fail_memory(error);
    disk->snapshot[oldest].height = app->now.height;
    return 0;
}

/* HM_ENOTFOUND */
static int snapshot_read(const struct script_app *app, uint64_t height, struct script_state *out)
{
    for (unsigned i = 0; i < SCRIPT_SNAPSHOTS_MAX; i++)
        if (app->disk->snapshot[i].height == height && height != 0)
            return script_state_unpack(hm_buf_slice(&app->disk->snapshot[i].bytes), out);
    return HM_ENOTFOUND;
}

static int metadata_make(const struct script_state *state, struct hm_buf *out)
{
    if (script_head_pack(state, out) != 0)
        return HM_ENOMEM;
    for (uint32_t i = 0; i < chunks_of(state->count); i++) {
        struct hm_slice chunk = chunk_of(state, i);
        uint8_t hash[32];
        crypto_hash(chunk.data, chunk.len, hash);
        if (hm_buf_append(out, hash, sizeof hash) != 0)
            return HM_ENOMEM;
    }
    return 0;
}

static int snapshot_tell(const struct script_app *app, unsigned index, struct hm_arena *arena,
                         Hypermesh__Abci__Snapshot **out)
{
    struct script_state state;
    HM_CLEANUP(hm_buf) struct hm_buf metadata = {0};
    Hypermesh__Abci__Snapshot *told = hm_arena_alloc(arena, sizeof *told);
    int status;

    if (told == NULL)
        return HM_ENOMEM;
    status = snapshot_read(app, app->disk->snapshot[index].height, &state);
    if (status != 0)
        return status;
    hypermesh__abci__snapshot__init(told);
    told->height = state.height;
    told->format = SCRIPT_FORMAT;
    told->chunks = chunks_of(state.count);
    status = metadata_make(&state, &metadata);
    script_state_release(&state);
    told->metadata.len = metadata.len;
    told->metadata.data = hm_arena_dup(arena, metadata.data, metadata.len);
    told->hash.len = 32;
    told->hash.data = hm_arena_alloc(arena, 32);
    if (status != 0 || told->metadata.data == NULL || told->hash.data == NULL)
        return HM_ENOMEM;
    crypto_hash(metadata.data, metadata.len, told->hash.data);
    *out = told;
    return 0;
}

static int list_snapshots(void *ctx, struct hm_arena *arena,
                          Hypermesh__Abci__ResponseListSnapshots *answer, struct hm_error *error)
{
    const struct script_app *app = ctx;

    answer->snapshots = hm_arena_alloc(arena, SCRIPT_SNAPSHOTS_MAX * sizeof *answer->snapshots);
    if (answer->snapshots == NULL)
        return script_fail_memory(error);
    for (unsigned i = 0; i < SCRIPT_SNAPSHOTS_MAX; i++) {
        int status = snapshot_tell(app, i, arena, &answer->snapshots[answer->n_snapshots]);
        if (status == HM_ENOMEM)
            return script_fail_memory(error);
        answer->n_snapshots += status == 0;
    }
    return 0;
}

static int load_chunk(void *ctx, const Hypermesh__Abci__RequestLoadSnapshotChunk *request,
                      struct hm_arena *arena, Hypermesh__Abci__ResponseLoadSnapshotChunk *answer,
                      struct hm_error *error)
{
    const struct script_app *app = ctx;
    struct script_state state;
    struct hm_slice chunk;

    if (request->format != SCRIPT_FORMAT || snapshot_read(app, request->height, &state) != 0)
        return 0; /* empty: not here any more */
    chunk = chunk_of(&state, request->chunk);
    answer->chunk.len = chunk.len;
    answer->chunk.data = hm_arena_dup(arena, chunk.data, chunk.len);
    script_state_release(&state);
    return answer->chunk.data == NULL && answer->chunk.len > 0 ? script_fail_memory(error) : 0;
}

/* --- taking one in ----------------------------------------------------------------------------------- */

void script_snapshot_drop(struct script_app *app)
{
    script_state_release(&app->restore.head);
    hm_buf_release(&app->restore.hashes);
    memset(&app->restore, 0, sizeof app->restore);
}

static int offer(void *ctx, const Hypermesh__Abci__RequestOfferSnapshot *request,
                 struct hm_arena *arena, Hypermesh__Abci__ResponseOfferSnapshot *answer,
                 struct hm_error *error)
{
    struct script_app *app = ctx;
    const Hypermesh__Abci__Snapshot *told = request->snapshot;
    uint8_t root[32];
    size_t used;

    (void)arena;
    script_snapshot_drop(app);
    answer->result = HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__RESULT__REJECT_FORMAT;
    if (told == NULL || told->format != SCRIPT_FORMAT)
        return 0;
    answer->result = HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__RESULT__REJECT;
    if (app->now.height != 0 || told->chunks == 0 ||
        script_head_unpack(hm_slice_of(told->metadata.data, told->metadata.len), &app->restore.head,
                           &used) != 0)
        return 0;
    script_root_of(app, &app->restore.head, root);
    if (told->metadata.len - used != (size_t)told->chunks * 32 ||
        app->restore.head.count > (uint64_t)UINT32_MAX * SCRIPT_CHUNK_DIGESTS ||
        told->chunks != chunks_of(app->restore.head.count))
        return 0;
    if (script_mutates(app, SCRIPT_HEAD_UNCHECKED))
        app->restore.head.height = told->height;
    else if (app->restore.head.height != told->height || request->app_hash.len != 32 ||
             memcmp(root, request->app_hash.data, 32) != 0)
        return 0;
    if (hm_buf_append(&app->restore.hashes, told->metadata.data + used,
                      told->metadata.len - used) != 0)
        return script_fail_memory(error);
    app->restore.chunks = told->chunks;
    app->restore.open = true;
    answer->result = HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__RESULT__ACCEPT;
    return 0;
}

/* The head is that of the root; does it also belong to the digests that came? */
static bool digests_fit(const struct script_app *app, const struct script_state *whole)
{
    struct script_state again = {0};
    bool fits = whole->digests.len == whole->count * 32;

    for (size_t i = 0; fits && i < whole->digests.len; i += 32)
        fits = script_state_apply(&again, whole->digests.data + i) == 0;
    fits = fits && memcmp(again.chain, whole->chain, 32) == 0;
    script_state_release(&again);
    return fits || script_mutates(app, SCRIPT_CHUNK_UNCHECKED);
}

static int restore_end(struct script_app *app, Hypermesh__Abci__ResponseApplySnapshotChunk *answer,
                       struct hm_error *error)
{
    if (!digests_fit(app, &app->restore.head)) {
        script_snapshot_drop(app);
        answer->result = HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__REJECT_SNAPSHOT;
        return 0;
    }
    if (script_state_copy(&app->restore.head, &app->now) != 0 ||
        script_state_copy(&app->restore.head, &app->disk->state) != 0)
        return script_fail_memory(error);
    script_snapshot_drop(app);
    return app->options.saved == NULL ? 0 : app->options.saved(app->options.ctx, app->disk, error);
}

static int refuse_chunk(uint32_t index, const char *sender, struct hm_arena *arena,
                        Hypermesh__Abci__ResponseApplySnapshotChunk *answer, struct hm_error *error)
{
    answer->result = HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__RETRY;
    answer->refetch_chunks = hm_arena_dup(arena, &index, sizeof index);
    answer->reject_senders = hm_arena_alloc(arena, sizeof *answer->reject_senders);
    if (answer->refetch_chunks == NULL || answer->reject_senders == NULL)
        return script_fail_memory(error);
    answer->n_refetch_chunks = 1;
    answer->reject_senders[0] = hm_arena_strdup(arena, sender);
    answer->n_reject_senders = answer->reject_senders[0] != NULL;
    return 0;
}

static int apply_chunk(void *ctx, const Hypermesh__Abci__RequestApplySnapshotChunk *request,
                       struct hm_arena *arena, Hypermesh__Abci__ResponseApplySnapshotChunk *answer,
                       struct hm_error *error)
{
    struct script_app *app = ctx;
    uint8_t hash[32];

    if (!app->restore.open || request->index != app->restore.done)
        return 0; /* abort */
    crypto_hash(request->chunk.data, request->chunk.len, hash);
    if (memcmp(hash, app->restore.hashes.data + (size_t)request->index * 32, 32) != 0 &&
        !script_mutates(app, SCRIPT_CHUNK_UNCHECKED))
        return refuse_chunk(request->index, request->sender, arena, answer, error);
    if (hm_buf_append(&app->restore.head.digests, request->chunk.data, request->chunk.len) != 0)
        return script_fail_memory(error);
    answer->result = HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__ACCEPT;
    return ++app->restore.done < app->restore.chunks ? 0 : restore_end(app, answer, error);
}

void script_snapshot_handlers(struct abci_handlers *out)
{
    out->list_snapshots = list_snapshots;
    out->offer_snapshot = offer;
    out->load_snapshot_chunk = load_chunk;
    out->apply_snapshot_chunk = apply_chunk;
}
