/* What all kinds of engine have in common: the calls, waiting for an answer, waiting for a height. */
#include "engine_private.h"

#include <time.h>

#define ENGINE_NS_PER_MS INT64_C(1000000)
#define ENGINE_NS_PER_S  INT64_C(1000000000)
/* Nobody waits longer; it keeps a time far away from overflowing. */
#define ENGINE_WAIT_MAX_MS UINT64_C(86400000)

/* --- heights ------------------------------------------------------------------------------------------- */

int engine_heights_init(struct engine_heights *heights, uint64_t height, struct hm_error *error)
{
    pthread_condattr_t attr;

    *heights = (struct engine_heights){.height = height};
    if (pthread_mutex_init(&heights->lock, NULL) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine's lock");
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int rc = pthread_cond_init(&heights->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (rc == 0)
        return 0;
    pthread_mutex_destroy(&heights->lock);
    return hm_fail(error, HM_ENOMEM, "no memory for the engine's lock");
}

void engine_heights_release(struct engine_heights *heights)
{
    pthread_cond_destroy(&heights->changed);
    pthread_mutex_destroy(&heights->lock);
}

void engine_heights_set(struct engine_heights *heights, uint64_t height)
{
    pthread_mutex_lock(&heights->lock);
    heights->height = height;
    if (heights->waiters > 0)
        pthread_cond_broadcast(&heights->changed);
    pthread_mutex_unlock(&heights->lock);
}

void engine_heights_stop(struct engine_heights *heights)
{
    pthread_mutex_lock(&heights->lock);
    heights->stopped = true;
    pthread_cond_broadcast(&heights->changed);
    pthread_mutex_unlock(&heights->lock);
}

static struct timespec engine_deadline(uint64_t timeout_ms)
{
    struct timespec until;

    if (timeout_ms > ENGINE_WAIT_MAX_MS)
        timeout_ms = ENGINE_WAIT_MAX_MS;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)((int64_t)(timeout_ms % 1000) * ENGINE_NS_PER_MS);
    if (until.tv_nsec >= ENGINE_NS_PER_S) {
        until.tv_sec++;
        until.tv_nsec -= ENGINE_NS_PER_S;
    }
    return until;
}

int engine_wait_height(struct engine *engine, uint64_t height, uint64_t timeout_ms,
                       struct hm_error *error)
{
    struct engine_heights *heights = &engine->heights;
    struct timespec until = engine_deadline(timeout_ms);
    int waited = 0;

    pthread_mutex_lock(&heights->lock);
    heights->waiters++;
    while (heights->height < height && !heights->stopped && waited == 0)
        waited = pthread_cond_timedwait(&heights->changed, &heights->lock, &until);
    heights->waiters--;
    uint64_t reached = heights->height;
    bool stopped = heights->stopped;
    pthread_mutex_unlock(&heights->lock);
    if (reached >= height)
        return 0;
    if (stopped)
        return hm_fail(error, HM_EUNAVAILABLE,
                       "block %llu will not come: the engine has stopped at block %llu",
                       (unsigned long long)height, (unsigned long long)reached);
    return hm_fail(error, HM_ETIMEOUT,
                   "block %llu was not here within %llu ms: the newest one is %llu; try again",
                   (unsigned long long)height, (unsigned long long)timeout_ms,
                   (unsigned long long)reached);
}

/* --- calls --------------------------------------------------------------------------------------------- */

int engine_submit(struct engine *engine, struct hm_slice tx, engine_done done, void *ctx,
                  struct hm_error *error)
{
    return engine->kind->submit(engine, tx, done, ctx, error);
}

void engine_get_status(struct engine *engine, struct engine_status *out)
{
    engine->kind->status(engine, out);
}

int engine_nudge(struct engine *engine, struct hm_error *error)
{
    return engine->kind->nudge(engine, error);
}

int engine_light_block(struct engine *engine, uint64_t height, struct hm_arena *arena,
                       Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    if (engine->kind->light_block == NULL)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "this chain is one node's: nobody else signs its blocks, so there is no "
                       "light block; compare block hashes");
    return engine->kind->light_block(engine, height, arena, out, error);
}

int engine_offer_vdf(struct engine *engine, uint64_t index, struct hm_slice output,
                     struct hm_slice proof, struct hm_error *error)
{
    if (engine->kind->offer_vdf == NULL)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "this chain is one node's: its blocks hold no chain of delays");
    return engine->kind->offer_vdf(engine, index, output, proof, error);
}

void engine_expect(struct engine *engine, int64_t pid)
{
    if (engine->kind->expect != NULL)
        engine->kind->expect(engine, pid);
}

void engine_give_up(struct engine *engine, const struct hm_error *error)
{
    if (engine->kind->give_up != NULL)
        engine->kind->give_up(engine, error);
}

const struct abci_handlers *engine_cometbft_handlers(struct engine *engine)
{
    return engine->kind->handlers == NULL ? NULL : engine->kind->handlers(engine);
}

void engine_close(struct engine *engine)
{
    if (engine != NULL)
        engine->kind->close(engine);
}

/* --- submit and wait ------------------------------------------------------------------------------------ */

struct engine_waiter {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool ended;
    bool in_block;
    struct engine_receipt receipt;
};

static void engine_waiter_done(void *ctx, const Hypermesh__TxResult *result,
                               const struct engine_block *block)
{
    struct engine_waiter *waiter = ctx;

    pthread_mutex_lock(&waiter->lock);
    engine_receipt_fill(&waiter->receipt, result, block);
    waiter->in_block = block != NULL;
    waiter->ended = true;
    pthread_cond_signal(&waiter->wake);
    pthread_mutex_unlock(&waiter->lock);
}

int engine_submit_wait(struct engine *engine, struct hm_slice tx, struct engine_receipt *receipt,
                       struct hm_error *error)
{
    struct engine_waiter waiter = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                   .wake = PTHREAD_COND_INITIALIZER};
    int rc = engine_submit(engine, tx, engine_waiter_done, &waiter, error);

    if (rc == 0) {
        pthread_mutex_lock(&waiter.lock);
        while (!waiter.ended)
            pthread_cond_wait(&waiter.wake, &waiter.lock);
        pthread_mutex_unlock(&waiter.lock);
        if (waiter.in_block)
            *receipt = waiter.receipt;
        else
            rc = hm_fail(error, waiter.receipt.code, "%s", waiter.receipt.text);
        if (rc != 0)
            engine_receipt_release(&waiter.receipt);
    }
    pthread_cond_destroy(&waiter.wake);
    pthread_mutex_destroy(&waiter.lock);
    return rc;
}
