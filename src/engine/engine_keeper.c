#include "engine_keeper.h"

#include <stdio.h>
#include <time.h>

#define KEEPER_NS_PER_MS      UINT64_C(1000000)
#define KEEPER_NS_PER_S       UINT64_C(1000000000)
#define KEEPER_STEP_MAX_BYTES ((size_t)4 << 20) /* by which the log's files grow */
/* A file holds what comes while the checkpoint before is finished, and more. */
#define KEEPER_LIMIT_FACTOR 2
/* A piece of a checkpoint that took longer than this had something to write. */
#define KEEPER_PIECE_NS UINT64_C(20000)
/* After it the thread rests for some times as long as it took, within bounds. */
#define KEEPER_REST_FACTOR 2
#define KEEPER_REST_MIN_NS UINT64_C(500000)
#define KEEPER_REST_MAX_NS UINT64_C(5000000)

_Static_assert(ENGINE_LOG_MARK_BYTES == STORE_NOTE_BYTES, "the store keeps the log's mark");

static uint64_t keeper_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * KEEPER_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Marks what is committed and turns the log. Not while another checkpoint is on its way. Under the lock; a block may
 * be under way that is not in the log yet. */
static void keeper_begin(struct engine_keeper *keeper)
{
    uint8_t mark[ENGINE_LOG_MARK_BYTES];

    engine_log_mark(keeper->log, mark);
    int rc = store_checkpoint_begin(keeper->options.store, mark, &keeper->begun, &keeper->failure);
    keeper->wanted = false;
    keeper->hurry = false;
    keeper->dirty = false;
    if (rc == 0)
        engine_log_turn(keeper->log);
    pthread_cond_broadcast(&keeper->changed);
}

static bool keeper_full(const struct engine_keeper *keeper)
{
    return engine_log_used(keeper->log) >= keeper->options.checkpoint_bytes;
}

/* --- the thread ------------------------------------------------------------------------------------------ */

static void keeper_wait_until(struct engine_keeper *keeper, uint64_t until_ns)
{
    const struct timespec until = {.tv_sec = (time_t)(until_ns / KEEPER_NS_PER_S),
                                   .tv_nsec = (long)(until_ns % KEEPER_NS_PER_S)};

    pthread_cond_timedwait(&keeper->changed, &keeper->lock, &until);
}

/* After a piece that took so long. Under the lock. */
static void keeper_rest(struct engine_keeper *keeper, uint64_t took_ns)
{
    uint64_t rest_ns = took_ns * KEEPER_REST_FACTOR;

    if (took_ns < KEEPER_PIECE_NS)
        return;
    rest_ns = rest_ns > KEEPER_REST_MIN_NS ? rest_ns : KEEPER_REST_MIN_NS;
    rest_ns = rest_ns < KEEPER_REST_MAX_NS ? rest_ns : KEEPER_REST_MAX_NS;
    uint64_t until_ns = keeper_now_ns() + rest_ns;
    while (!keeper->hurry && !keeper->stopping && keeper_now_ns() < until_ns)
        keeper_wait_until(keeper, until_ns);
}

/* Most of the checkpoint, until it has taken half as long as lies between two, or there is hurry: while it lasts no
 * page is free again, so the store grows. Under the lock, but for the work itself. */
static int keeper_write(struct engine_keeper *keeper, struct hm_error *error)
{
    uint64_t end_ns = keeper_now_ns() + keeper->options.checkpoint_ms * KEEPER_NS_PER_MS / 2;
    uint64_t began_ns = keeper_now_ns();
    bool more = true;
    int rc = 0;

    while (rc == 0 && more && !keeper->hurry && !keeper->stopping && began_ns < end_ns) {
        pthread_mutex_unlock(&keeper->lock);
        rc = store_checkpoint_piece(keeper->begun, &more, error);
        uint64_t ended_ns = keeper_now_ns();
        pthread_mutex_lock(&keeper->lock);
        if (rc == 0)
            keeper_rest(keeper, ended_ns - began_ns);
        began_ns = keeper_now_ns();
    }
    return rc;
}

/* The slow part. Under the lock, but for the work itself. */
static void keeper_finish(struct engine_keeper *keeper)
{
    struct hm_error error = {0};
    int rc = keeper_write(keeper, &error);

    pthread_mutex_unlock(&keeper->lock);
    int finished = store_checkpoint_finish(keeper->begun, rc == 0 ? &error : NULL);
    pthread_mutex_lock(&keeper->lock);
    rc = rc != 0 ? rc : finished;
    keeper->begun = NULL;
    if (rc != 0)
        keeper->failure = error;
    pthread_cond_broadcast(&keeper->changed);
}

/* Until a checkpoint is to be finished or begun. Under the lock. */
static void keeper_wait(struct engine_keeper *keeper)
{
    uint64_t due_ns = keeper->dirty_ns + keeper->options.checkpoint_ms * KEEPER_NS_PER_MS;

    if (!keeper->dirty || keeper->wanted) {
        pthread_cond_wait(&keeper->changed, &keeper->lock);
        return;
    }
    if (keeper_now_ns() < due_ns)
        keeper_wait_until(keeper, due_ns);
    else if (keeper->in_block)
        keeper->wanted = true; /* the writer begins it when it leaves its block */
    else
        keeper_begin(keeper);
}

static void *keeper_main(void *arg)
{
    struct engine_keeper *keeper = arg;

    (void)pthread_setname_np(pthread_self(), "hm-keeper");
    pthread_mutex_lock(&keeper->lock);
    while (keeper->failure.code == 0 && (!keeper->stopping || keeper->begun != NULL)) {
        if (keeper->begun != NULL)
            keeper_finish(keeper);
        else
            keeper_wait(keeper);
    }
    struct hm_error failure = keeper->failure;
    struct store_checkpoint *rest = HM_TAKE(keeper->begun);
    pthread_cond_broadcast(&keeper->changed);
    pthread_mutex_unlock(&keeper->lock);
    (void)!store_checkpoint_finish(rest, NULL);
    if (failure.code != 0)
        keeper->options.on_failure(keeper->options.ctx, &failure);
    return NULL;
}

/* --- the writer's steps -------------------------------------------------------------------------------------- */

/* Under the lock. */
static int keeper_failure(const struct engine_keeper *keeper, struct hm_error *error)
{
    return keeper->failure.code == 0
               ? 0
               : hm_fail(error, keeper->failure.code, "%s", keeper->failure.text);
}

int engine_keeper_enter(struct engine_keeper *keeper, struct hm_error *error)
{
    pthread_mutex_lock(&keeper->lock);
    int rc = keeper_failure(keeper, error);
    keeper->in_block = rc == 0;
    keeper->appended = false;
    pthread_mutex_unlock(&keeper->lock);
    return rc;
}

/* The log is full: waits for the checkpoint on its way, then begins one, so that the other file is free. */
static int keeper_make_room(struct engine_keeper *keeper, struct hm_error *error)
{
    pthread_mutex_lock(&keeper->lock);
    keeper->hurry = true;
    pthread_cond_broadcast(&keeper->changed);
    while (keeper->begun != NULL && keeper->failure.code == 0)
        pthread_cond_wait(&keeper->changed, &keeper->lock);
    if (keeper->failure.code == 0)
        keeper_begin(keeper);
    int rc = keeper_failure(keeper, error);
    pthread_mutex_unlock(&keeper->lock);
    return rc;
}

int engine_keeper_append(struct engine_keeper *keeper, const struct engine_log_block *block,
                         struct hm_error *error)
{
    int rc = engine_log_has_room(keeper->log, block) ? 0 : keeper_make_room(keeper, error);

    if (rc != 0)
        return rc;
    keeper->appended = true;
    return engine_log_append(keeper->log, block, error);
}

void engine_keeper_leave(struct engine_keeper *keeper, bool kept)
{
    pthread_mutex_lock(&keeper->lock);
    keeper->in_block = false;
    keeper->unsure = keeper->unsure || (keeper->appended && !kept);
    if (keeper->begun != NULL && !keeper->hurry && keeper_full(keeper)) {
        keeper->hurry = true;
        pthread_cond_broadcast(&keeper->changed);
    }
    if (kept && !keeper->dirty) {
        keeper->dirty = true;
        keeper->dirty_ns = keeper_now_ns();
        pthread_cond_broadcast(&keeper->changed);
    }
    if ((keeper->wanted || keeper_full(keeper)) && keeper->dirty && keeper->begun == NULL &&
        keeper->failure.code == 0)
        keeper_begin(keeper);
    pthread_mutex_unlock(&keeper->lock);
}

int engine_keeper_options_of(const struct engine_options *options,
                             void (*on_failure)(void *ctx, const struct hm_error *error), void *ctx,
                             struct engine_keeper_options *out, struct hm_error *error)
{
    if (options->store == NULL)
        return hm_fail(error, HM_EINVAL, "an engine with a block log needs the ledger's store");
    *out = (struct engine_keeper_options){
        .log_path = options->log_path,
        .ledger = options->ledger,
        .store = options->store,
        .checkpoint_ms = options->checkpoint_ms ? options->checkpoint_ms : ENGINE_CHECKPOINT_MS,
        .checkpoint_bytes = options->checkpoint_bytes ? options->checkpoint_bytes
                                                      : ENGINE_CHECKPOINT_BYTES,
        .on_failure = on_failure,
        .ctx = ctx};
    return 0;
}

/* --- life -------------------------------------------------------------------------------------------------- */

static int keeper_checkpoint(struct engine_keeper *keeper, const uint8_t *mark,
                             struct hm_error *error)
{
    struct store_checkpoint *checkpoint = NULL;
    int rc = store_checkpoint_begin(keeper->options.store, mark, &checkpoint, error);

    return rc != 0 ? rc : store_checkpoint_finish(checkpoint, error);
}

/* What was applied again is in the store for good before anybody hears of it. */
static int keeper_recover(struct engine_keeper *keeper, struct hm_error *error)
{
    uint8_t mark[ENGINE_LOG_MARK_BYTES];
    struct ledger_info info;
    uint64_t blocks = 0;
    int rc = engine_recover(keeper->log, keeper->options.ledger, &blocks, error);

    if (rc == 0)
        rc = ledger_info(keeper->options.ledger, &info, error);
    engine_log_mark(keeper->log, mark);
    if (rc == 0)
        rc = keeper_checkpoint(keeper, mark, error);
    if (rc == 0 && blocks > 0)
        hm_log(HM_LOG_INFO, "engine", "%llu blocks applied again from the block log, up to %llu",
               (unsigned long long)blocks, (unsigned long long)info.height);
    return rc;
}

static int keeper_start(struct engine_keeper *keeper, struct hm_error *error)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&keeper->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&keeper->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&keeper->thread, NULL, keeper_main, keeper) == 0)
        return 0;
    pthread_cond_destroy(&keeper->changed);
    pthread_mutex_destroy(&keeper->lock);
    return hm_fail(error, HM_ENOMEM,
                   "the thread for checkpoints cannot be started: raise the limit on processes "
                   "(ulimit -u)");
}

static size_t keeper_step(size_t checkpoint_bytes)
{
    size_t step = checkpoint_bytes - checkpoint_bytes % ENGINE_LOG_PAGE_BYTES;

    if (step < ENGINE_LOG_PAGE_BYTES)
        return ENGINE_LOG_PAGE_BYTES;
    return step < KEEPER_STEP_MAX_BYTES ? step : KEEPER_STEP_MAX_BYTES;
}

static void keeper_free(struct engine_keeper *keeper)
{
    engine_log_close(keeper->log);
    hm_free(keeper);
}

/* Up to date, without its thread. */
static int keeper_new(const struct engine_keeper_options *options, struct engine_keeper **out,
                      struct hm_error *error)
{
    static const uint8_t none[ENGINE_LOG_MARK_BYTES];
    uint8_t mark[ENGINE_LOG_MARK_BYTES]; /* of the log that something is only in */
    struct engine_keeper *keeper = hm_calloc(1, sizeof(*keeper));

    if (keeper == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the block log");
    keeper->options = *options;
    store_checkpoint_note(options->store, mark);
    int rc = engine_log_open(options->log_path, keeper_step(options->checkpoint_bytes),
                             KEEPER_LIMIT_FACTOR * options->checkpoint_bytes,
                             memcmp(mark, none, sizeof(mark)) != 0 ? mark : NULL, &keeper->log,
                             error);
    if (rc == 0)
        rc = keeper_recover(keeper, error);
    if (rc != 0) {
        keeper_free(keeper);
        return rc;
    }
    *out = keeper;
    return 0;
}

int engine_keeper_recover(const struct engine_keeper_options *options, struct hm_error *error)
{
    struct engine_keeper *keeper;
    int rc = keeper_new(options, &keeper, error);

    if (rc == 0)
        keeper_free(keeper);
    return rc;
}

int engine_keeper_open(const struct engine_keeper_options *options, struct engine_keeper **out,
                       struct hm_error *error)
{
    struct engine_keeper *keeper;
    int rc = keeper_new(options, &keeper, error);

    if (rc != 0)
        return rc;
    rc = keeper_start(keeper, error);
    if (rc != 0) {
        keeper_free(keeper);
        return rc;
    }
    *out = keeper;
    return 0;
}

void engine_keeper_close(struct engine_keeper *keeper)
{
    if (keeper == NULL)
        return;
    pthread_mutex_lock(&keeper->lock);
    keeper->stopping = true;
    pthread_cond_broadcast(&keeper->changed);
    pthread_mutex_unlock(&keeper->lock);
    pthread_join(keeper->thread, NULL);
    /* The store has everything: from here on the log may go. Where that cannot be said, it stays needed. */
    if (keeper->failure.code == 0 && !keeper->unsure)
        (void)!keeper_checkpoint(keeper, NULL, NULL);
    pthread_cond_destroy(&keeper->changed);
    pthread_mutex_destroy(&keeper->lock);
    keeper_free(keeper);
}
