/* The thread that makes snapshots, and what is told of them.
 *
 * A view is opened between two blocks by the thread that commits; all else happens on the maker's own, which rests more than
 * it works: a snapshot is never in a hurry. */
#include "engine_snapshot.h"

#include <stdio.h>
#include <time.h>

#define SNAP_NS_PER_S    UINT64_C(1000000000)
#define SNAP_REST_FACTOR 2 /* it rests so many times as long as it worked */
#define SNAP_REST_MAX_NS (2 * SNAP_NS_PER_S)

struct engine_snapshots {
    struct engine_snapshots_options options;
    char *dir;
    pthread_t thread;
    bool running;

    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t wake;
    uint64_t changed_height; /* last block that changed something; 0: none yet */
    bool stopping;
    struct ledger_view *view; /* of the block to be made next; NULL: none */
    bool making;
    bool begun; /* one, in this run */
    struct engine_snapshot_file kept[ENGINE_SNAPSHOT_KEPT]; /* newest first */
    size_t kept_count;
    uint64_t height; /* last block */
};

static uint64_t snap_now_ns(void)
{
    return hm_mono_ns(hm_clock_system());
}

/* --- blocks that a new one needs ----------------------------------------------------------------------------- */

/* Under the lock. */
static bool snap_needs_blocks(const struct engine_snapshots *snapshots)
{
    return snapshots->kept_count > 0 &&
           snapshots->height < snapshots->kept[0].height + ENGINE_SNAPSHOT_AFTER;
}

void engine_snapshots_remind(struct engine_snapshots *snapshots)
{
    if (snapshots == NULL)
        return;
    pthread_mutex_lock(&snapshots->lock);
    bool wish = snap_needs_blocks(snapshots);
    pthread_mutex_unlock(&snapshots->lock);
    if (wish)
        snapshots->options.wish(snapshots->options.ctx);
}

/* --- making one ---------------------------------------------------------------------------------------------- */

/* False: stopping. */
static bool snap_rest(struct engine_snapshots *snapshots, uint64_t worked_ns)
{
    uint64_t rest_ns = worked_ns * SNAP_REST_FACTOR;

    rest_ns = rest_ns < SNAP_REST_MAX_NS ? rest_ns : SNAP_REST_MAX_NS;
    uint64_t until_ns = snap_now_ns() + rest_ns;
    const struct timespec until = {.tv_sec = (time_t)(until_ns / SNAP_NS_PER_S),
                                   .tv_nsec = (long)(until_ns % SNAP_NS_PER_S)};
    pthread_mutex_lock(&snapshots->lock);
    while (!snapshots->stopping && snap_now_ns() < until_ns)
        pthread_cond_timedwait(&snapshots->wake, &snapshots->lock, &until);
    bool stopping = snapshots->stopping;
    pthread_mutex_unlock(&snapshots->lock);
    return !stopping;
}

/* The next chunk's file. HM_ENOTFOUND: that was all. */
static int snap_chunk(struct engine_snapshots *snapshots, struct ledger_snapshot *from,
                      struct hm_buf *chunk, struct hm_buf *packed, struct hm_error *error)
{
    uint64_t began_ns = snap_now_ns();
    uint32_t index;
    int rc = ledger_snapshot_next(from, &index, chunk, error);

    if (rc == 0)
        rc = engine_snapshot_pack(hm_buf_slice(chunk), packed, error);
    if (rc == 0)
        rc = engine_snapshot_file_put(snapshots->dir, index, hm_buf_slice(packed), error);
    if (rc == 0 && !snap_rest(snapshots, snap_now_ns() - began_ns))
        rc = hm_fail(error, HM_ECANCELLED, "the node is stopping");
    return rc;
}

static int snap_write(struct engine_snapshots *snapshots, struct ledger_snapshot *from,
                      uint64_t height, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf chunk = {0};
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    int rc = engine_snapshot_file_begin(snapshots->dir, error);

    while (rc == 0)
        rc = snap_chunk(snapshots, from, &chunk, &packed, error);
    if (rc == HM_ENOTFOUND)
        rc = ledger_snapshot_metadata(from, &chunk, error);
    if (rc != 0)
        return rc;
    return engine_snapshot_file_end(snapshots->dir, height, ledger_snapshot_chunks(from),
                                    hm_buf_slice(&chunk), error);
}

/* Puts it in front; the oldest goes when there are too many. */
static int snap_keep(struct engine_snapshots *snapshots, uint64_t height, struct hm_error *error)
{
    struct engine_snapshot_file file = {0};
    uint64_t gone = 0;
    int rc = engine_snapshot_file_open(snapshots->dir, height, &file, error);

    if (rc != 0)
        return rc;
    pthread_mutex_lock(&snapshots->lock);
    if (snapshots->kept_count == ENGINE_SNAPSHOT_KEPT) {
        gone = snapshots->kept[ENGINE_SNAPSHOT_KEPT - 1].height;
        engine_snapshot_file_release(&snapshots->kept[--snapshots->kept_count]);
    }
    memmove(snapshots->kept + 1, snapshots->kept,
            snapshots->kept_count * sizeof(snapshots->kept[0]));
    snapshots->kept[0] = file;
    snapshots->kept_count++;
    pthread_mutex_unlock(&snapshots->lock);
    if (gone > 0 && gone != height)
        engine_snapshot_file_remove(snapshots->dir, gone);
    hm_log(HM_LOG_INFO, "engine", "snapshot of block %llu: %u chunks", (unsigned long long)height,
           (unsigned)file.chunks);
    return 0;
}

static void snap_make(struct engine_snapshots *snapshots, struct ledger_view *view)
{
    struct ledger_snapshot *from = NULL;
    struct ledger_info info = {0};
    struct hm_error error = {0};
    int rc = ledger_view_info(view, &info, &error);

    if (rc == 0)
        rc = ledger_snapshot_open(view, &from, &error);
    if (rc == 0)
        rc = snap_write(snapshots, from, info.height, &error);
    ledger_snapshot_close(from);
    ledger_view_close(view);
    if (rc == 0)
        rc = snap_keep(snapshots, info.height, &error);
    if (rc != 0 && rc != HM_ECANCELLED)
        hm_log(HM_LOG_WARN, "engine", "no snapshot of block %llu: %s",
               (unsigned long long)info.height, error.text);
    if (rc == 0)
        engine_snapshots_remind(snapshots);
}

static void *snap_main(void *arg)
{
    struct engine_snapshots *snapshots = arg;

    (void)pthread_setname_np(pthread_self(), "hm-snapshot");
    pthread_mutex_lock(&snapshots->lock);
    while (!snapshots->stopping) {
        struct ledger_view *view = HM_TAKE(snapshots->view);

        snapshots->making = view != NULL;
        if (view == NULL) {
            pthread_cond_wait(&snapshots->wake, &snapshots->lock);
            continue;
        }
        pthread_mutex_unlock(&snapshots->lock);
        snap_make(snapshots, view);
        pthread_mutex_lock(&snapshots->lock);
    }
    snapshots->making = false;
    pthread_mutex_unlock(&snapshots->lock);
    return NULL;
}

/* --- of which blocks ------------------------------------------------------------------------------------------ */

static void snap_begin(struct engine_snapshots *snapshots, uint64_t height)
{
    struct hm_error error = {0};
    struct ledger_view *view;
    bool busy;

    pthread_mutex_lock(&snapshots->lock);
    busy = snapshots->making || snapshots->view != NULL;
    pthread_mutex_unlock(&snapshots->lock);
    if (busy) {
        hm_log(HM_LOG_WARN, "engine",
               "no snapshot of block %llu: the one before is not finished yet",
               (unsigned long long)height);
        return;
    }
    if (ledger_view_open(snapshots->options.ledger, &view, &error) != 0) {
        hm_log(HM_LOG_WARN, "engine", "no snapshot of block %llu: %s", (unsigned long long)height,
               error.text);
        return;
    }
    pthread_mutex_lock(&snapshots->lock);
    snapshots->view = view;
    snapshots->begun = true;
    pthread_cond_broadcast(&snapshots->wake);
    pthread_mutex_unlock(&snapshots->lock);
}

void engine_snapshots_committed(struct engine_snapshots *snapshots, uint64_t height, bool changed)
{
    if (snapshots == NULL)
        return;
    uint64_t blocks = snapshots->options.blocks;

    pthread_mutex_lock(&snapshots->lock);
    uint64_t before = snapshots->changed_height;
    bool cut = snapshots->kept_count == 0 && !snapshots->begun; /* a kill may have, the first one */
    snapshots->height = height;
    if (changed)
        snapshots->changed_height = height;
    pthread_mutex_unlock(&snapshots->lock);
    if (changed && (before == 0 || cut || height / blocks > before / blocks))
        snap_begin(snapshots, height);
    engine_snapshots_remind(snapshots);
}

void engine_snapshots_restored(struct engine_snapshots *snapshots, uint64_t height)
{
    if (snapshots == NULL)
        return;
    pthread_mutex_lock(&snapshots->lock);
    snapshots->height = height;
    snapshots->changed_height = height;
    pthread_mutex_unlock(&snapshots->lock);
}

/* --- what is told of them ------------------------------------------------------------------------------------- */

/* Under the lock. */
static Hypermesh__Abci__Snapshot *snap_tell(const struct engine_snapshot_file *file,
                                            struct hm_arena *arena)
{
    Hypermesh__Abci__Snapshot *snapshot = hm_arena_alloc(arena, sizeof(*snapshot));
    uint8_t *hash = hm_arena_dup(arena, file->hash, sizeof(file->hash));
    uint8_t *metadata = hm_arena_dup(arena, file->metadata.data, file->metadata.len);

    if (snapshot == NULL || hash == NULL || metadata == NULL)
        return NULL;
    hypermesh__abci__snapshot__init(snapshot);
    snapshot->height = file->height;
    snapshot->format = ENGINE_SNAPSHOT_FORMAT;
    snapshot->chunks = file->chunks;
    snapshot->hash = wire_bytes(hash, sizeof(file->hash));
    snapshot->metadata = wire_bytes(metadata, file->metadata.len);
    return snapshot;
}

int engine_snapshots_list(struct engine_snapshots *snapshots, struct hm_arena *arena,
                          Hypermesh__Abci__ResponseListSnapshots *answer, struct hm_error *error)
{
    Hypermesh__Abci__Snapshot **list = hm_arena_alloc(arena, ENGINE_SNAPSHOT_KEPT * sizeof(*list));
    size_t count = 0;
    bool whole = list != NULL;

    if (snapshots == NULL)
        return 0;
    pthread_mutex_lock(&snapshots->lock);
    for (size_t i = 0; whole && i < snapshots->kept_count; i++) {
        if (snapshots->height < snapshots->kept[i].height + ENGINE_SNAPSHOT_AFTER)
            continue; /* nobody could check it yet */
        list[count] = snap_tell(&snapshots->kept[i], arena);
        whole = list[count++] != NULL;
    }
    pthread_mutex_unlock(&snapshots->lock);
    if (!whole)
        return hm_fail(error, HM_ENOMEM, "no memory to list snapshots");
    answer->snapshots = list;
    answer->n_snapshots = count;
    return 0;
}

static bool snap_has(struct engine_snapshots *snapshots, uint64_t height, uint32_t index)
{
    bool found = false;

    pthread_mutex_lock(&snapshots->lock);
    for (size_t i = 0; i < snapshots->kept_count && !found; i++)
        found = snapshots->kept[i].height == height && index < snapshots->kept[i].chunks;
    pthread_mutex_unlock(&snapshots->lock);
    return found;
}

int engine_snapshots_load(struct engine_snapshots *snapshots, uint64_t height, uint32_t format,
                          uint32_t index, struct hm_arena *arena, ProtobufCBinaryData *out,
                          struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf chunk = {0};

    if (snapshots == NULL || format != ENGINE_SNAPSHOT_FORMAT ||
        !snap_has(snapshots, height, index))
        return 0;
    int rc = engine_snapshot_file_chunk(snapshots->dir, height, index, &chunk, error);
    if (rc == HM_ENOTFOUND)
        return 0; /* a newer one has just taken its place */
    if (rc != 0)
        return rc;
    uint8_t *bytes = hm_arena_dup(arena, chunk.data, chunk.len);
    if (bytes == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a snapshot's chunk");
    *out = wire_bytes(bytes, chunk.len);
    return 0;
}

/* --- life ------------------------------------------------------------------------------------------------------ */

/* Where the chain stands: what the state says of its last block that changed something. */
static int snap_look(struct engine_snapshots *snapshots, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__ChainFacts *facts;
    struct ledger_info info = {0};
    struct ledger_view *view;
    uint64_t era = 0;

    hm_arena_init(&arena, 0);
    int rc = ledger_era(snapshots->options.ledger, &era, error);
    if (rc == 0)
        rc = ledger_view_open(snapshots->options.ledger, &view, error);
    if (rc != 0)
        return rc == HM_ENOTFOUND ? 0 : rc;
    rc = ledger_view_info(view, &info, error);
    if (rc == 0) {
        rc = ledger_view_chain_facts(view, &arena, &facts, error);
        if (rc == 0) /* what was before this engine's first block counts for nothing */
            snapshots->changed_height = facts->height >= era ? facts->height : 0;
        else if (rc == HM_ENOTFOUND)
            rc = 0;
    }
    ledger_view_close(view);
    snapshots->height = info.height;
    return rc;
}

static int snap_find(struct engine_snapshots *snapshots, struct hm_error *error)
{
    uint64_t heights[ENGINE_SNAPSHOT_KEPT];
    size_t count;
    int rc = snap_look(snapshots, error);

    if (rc == 0)
        rc = engine_snapshot_files_clean(snapshots->dir, snapshots->height, heights,
                                         ENGINE_SNAPSHOT_KEPT, &count, error);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = engine_snapshot_file_open(snapshots->dir, heights[i], &snapshots->kept[i], error);
        snapshots->kept_count += rc == 0;
    }
    return rc;
}

static void snap_free(struct engine_snapshots *snapshots)
{
    ledger_view_close(snapshots->view);
    for (size_t i = 0; i < snapshots->kept_count; i++)
        engine_snapshot_file_release(&snapshots->kept[i]);
    pthread_cond_destroy(&snapshots->wake);
    pthread_mutex_destroy(&snapshots->lock);
    hm_free(snapshots->dir);
    hm_free(snapshots);
}

static void snap_init_locks(struct engine_snapshots *snapshots)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&snapshots->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&snapshots->wake, &attr);
    pthread_condattr_destroy(&attr);
}

int engine_snapshots_open(const struct engine_snapshots_options *options,
                          struct engine_snapshots **out, struct hm_error *error)
{
    struct engine_snapshots *snapshots = hm_calloc(1, sizeof(*snapshots));

    if (snapshots == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for snapshots");
    snap_init_locks(snapshots);
    snapshots->options = *options;
    snapshots->dir = hm_strdup(options->dir);
    int rc = snapshots->dir == NULL ? hm_fail(error, HM_ENOMEM, "no memory for snapshots")
                                    : snap_find(snapshots, error);
    if (rc == 0 && pthread_create(&snapshots->thread, NULL, snap_main, snapshots) != 0)
        rc = hm_fail(error, HM_ENOMEM,
                     "the thread for snapshots cannot be started: raise the limit on processes "
                     "(ulimit -u)");
    snapshots->running = rc == 0;
    if (rc != 0) {
        snap_free(snapshots);
        return rc;
    }
    *out = snapshots;
    return 0;
}

void engine_snapshots_close(struct engine_snapshots *snapshots)
{
    if (snapshots == NULL)
        return;
    pthread_mutex_lock(&snapshots->lock);
    snapshots->stopping = true;
    pthread_cond_broadcast(&snapshots->wake);
    pthread_mutex_unlock(&snapshots->lock);
    if (snapshots->running)
        pthread_join(snapshots->thread, NULL);
    snap_free(snapshots);
}
