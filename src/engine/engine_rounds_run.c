/* The thread that asks the engine about the round under way: its own connection, because an answer may wait for the engine's
 * consensus, and facts (engine_remote.c) must not wait for that. */
#include <time.h>

#include "engine_rounds.h"
#include "json.h"

#define ROUNDS_NEVER   UINT64_MAX
#define ROUNDS_USUALLY 8 /* of so many blocks what one usually takes is a mean */
#define ROUNDS_AGAIN_PART \
    8 /* of that, between two questions about one round: votes come a little apart */

struct engine_rounds_run {
    struct engine_rpc *rpc; /* the thread's, but for stop */
    struct engine_pool *pool;
    struct engine_rounds *rounds;
    struct engine_rounds_state state; /* the thread's */
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* guards everything below; taken before the pool's */
    pthread_cond_t wake;
    bool stopping;
    bool voted; /* and it has not been asked about that */
    uint64_t again_ms; /* when it was, votes were not there: then once more; 0: no */
    bool waits; /* something may be under way */
    uint64_t since_ms; /* waits: at most since then, or the newest block */
    uint64_t block_ms; /* when the newest came; 0: none did since the start */
    uint64_t usual_ms; /* from there to the next, while something waits; 0: not known */
    uint64_t next_ms; /* not asked before */
};

static uint64_t rounds_now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

/* --- what happens ------------------------------------------------------------------------------------------------ */

void engine_rounds_voted(struct engine_rounds_run *run)
{
    if (run == NULL)
        return;
    pthread_mutex_lock(&run->lock);
    if (rounds_now_ms() >= run->next_ms) { /* not a little later: the round would be over */
        run->voted = true;
        pthread_cond_signal(&run->wake);
    }
    pthread_mutex_unlock(&run->lock);
}

void engine_rounds_waits(struct engine_rounds_run *run)
{
    if (run == NULL)
        return;
    pthread_mutex_lock(&run->lock);
    if (!run->waits) {
        run->waits = true;
        run->since_ms = rounds_now_ms();
        pthread_cond_signal(&run->wake);
    }
    pthread_mutex_unlock(&run->lock);
}

void engine_rounds_block(struct engine_rounds_run *run)
{
    if (run == NULL)
        return;
    pthread_mutex_lock(&run->lock);
    uint64_t now_ms = rounds_now_ms();
    uint64_t from_ms = run->since_ms > run->block_ms ? run->since_ms : run->block_ms;
    uint64_t took_ms = now_ms > from_ms ? now_ms - from_ms : 0;
    if (took_ms > ENGINE_ROUNDS_USUAL_MAX_MS)
        took_ms = ENGINE_ROUNDS_USUAL_MAX_MS;
    if (run->waits)
        run->usual_ms = (run->usual_ms * (ROUNDS_USUALLY - 1) + took_ms) / ROUNDS_USUALLY;
    run->block_ms = now_ms;
    run->again_ms = 0; /* that round is over */
    run->waits = engine_pool_oldest_ms(run->pool) != 0;
    pthread_mutex_unlock(&run->lock);
}

/* --- the thread -------------------------------------------------------------------------------------------------- */

/* When the next block is late; what waits decides, and where nothing does, never. Under the lock. */
static uint64_t rounds_late_ms(struct engine_rounds_run *run, uint64_t *from_ms)
{
    uint64_t usual_ms = run->usual_ms * ENGINE_ROUNDS_LATE_FACTOR;
    uint64_t oldest_ms = run->waits ? engine_pool_oldest_ms(run->pool) : 0;

    run->waits = oldest_ms != 0;
    if (!run->waits)
        return ROUNDS_NEVER;
    *from_ms = oldest_ms > run->block_ms ? oldest_ms : run->block_ms;
    return *from_ms + (usual_ms > ENGINE_ROUNDS_LATE_MS ? usual_ms : ENGINE_ROUNDS_LATE_MS);
}

static uint64_t rounds_pace_ms(struct engine_rounds_run *run, bool late)
{
    uint64_t pace_ms = ENGINE_ROUNDS_PACE_MS *
                       (1 + engine_rounds_validators(run->rounds) / ENGINE_ROUNDS_PACE_VALIDATORS);

    return late && pace_ms < ENGINE_ROUNDS_STILL_MS ? ENGINE_ROUNDS_STILL_MS : pace_ms;
}

/* Without the lock, which it takes to look again: a block may have come meanwhile. */
static void rounds_ask(struct engine_rounds_run *run, bool voted)
{
    HM_CLEANUP(json) json_t *result = NULL;
    uint64_t from_ms = 0;
    int rc = engine_rpc_call(run->rpc, "consensus_state", hm_slice_str("{}"), ENGINE_ROUNDS_CALL_MS,
                             &result, NULL);

    if (rc == 0)
        rc = engine_rounds_read(result, &run->state, NULL);
    pthread_mutex_lock(&run->lock);
    uint64_t now_ms = rounds_now_ms();
    bool late = rounds_late_ms(run, &from_ms) <= now_ms;
    run->voted = false; /* what came meanwhile came too soon */
    run->next_ms = now_ms + (rc == 0 ? rounds_pace_ms(run, late) : ENGINE_ROUNDS_FAILED_MS);
    run->again_ms = rc == 0 && voted && run->state.prevoted < run->state.count
                        ? now_ms + run->usual_ms / ROUNDS_AGAIN_PART
                        : 0;
    pthread_mutex_unlock(&run->lock);
    if (rc != 0)
        return;
    engine_rounds_see(run->rounds, &run->state, now_ms);
    if (late)
        engine_rounds_late(run->rounds, &run->state, now_ms - from_ms, now_ms);
}

/* Until then, or until something happens. Under the lock. */
static void rounds_rest(struct engine_rounds_run *run, uint64_t until_ms)
{
    const struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                                   .tv_nsec = (long)(until_ms % 1000 * 1000000)};

    if (until_ms == ROUNDS_NEVER)
        pthread_cond_wait(&run->wake, &run->lock);
    else
        pthread_cond_timedwait(&run->wake, &run->lock, &until);
}

/* When it is to be asked, as far as is known now. Under the lock. */
static uint64_t rounds_at_ms(struct engine_rounds_run *run, uint64_t now_ms)
{
    uint64_t from_ms, at_ms = rounds_late_ms(run, &from_ms);

    if (engine_rounds_validators(run->rounds) > ENGINE_ROUNDS_VALIDATORS_MAX)
        return ROUNDS_NEVER;
    if (run->voted)
        return now_ms;
    if (run->again_ms != 0)
        return run->again_ms;
    return at_ms > run->next_ms ? at_ms : run->next_ms;
}

/* Under the lock, but for the question. */
static void rounds_turn(struct engine_rounds_run *run)
{
    uint64_t now_ms = rounds_now_ms(), at_ms = rounds_at_ms(run, now_ms);
    bool voted = run->voted;

    if (at_ms > now_ms) {
        rounds_rest(run, at_ms);
        return;
    }
    run->again_ms = 0;
    pthread_mutex_unlock(&run->lock);
    rounds_ask(run, voted);
    pthread_mutex_lock(&run->lock);
}

static void *rounds_main(void *arg)
{
    struct engine_rounds_run *run = arg;

    (void)pthread_setname_np(pthread_self(), "hm-rounds");
    pthread_mutex_lock(&run->lock);
    while (!run->stopping)
        rounds_turn(run);
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

/* --- life ---------------------------------------------------------------------------------------------------------- */

static void rounds_init_lock(struct engine_rounds_run *run)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&run->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&run->wake, &attr);
    pthread_condattr_destroy(&attr);
}

int engine_rounds_start(const char *rpc_path, struct engine_pool *pool,
                        struct engine_rounds *rounds, struct engine_rounds_run **out,
                        struct hm_error *error)
{
    struct engine_rounds_run *run = hm_calloc(1, sizeof(*run));

    if (run == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to watch the engine's rounds");
    run->pool = pool;
    run->rounds = rounds;
    rounds_init_lock(run);
    int rc = engine_rpc_new(rpc_path, &run->rpc, error);
    if (rc == 0) {
        int failed = pthread_create(&run->thread, NULL, rounds_main, run);

        run->running = failed == 0;
        if (failed != 0)
            rc = hm_fail(error, HM_ENOMEM, "no thread to watch the engine's rounds");
    }
    if (rc != 0) {
        engine_rounds_stop(run);
        return rc;
    }
    *out = run;
    return 0;
}

void engine_rounds_stop(struct engine_rounds_run *run)
{
    if (run == NULL)
        return;
    if (run->running) {
        pthread_mutex_lock(&run->lock);
        run->stopping = true;
        pthread_cond_signal(&run->wake);
        pthread_mutex_unlock(&run->lock);
        engine_rpc_stop(run->rpc);
        pthread_join(run->thread, NULL);
    }
    engine_rpc_free(run->rpc);
    pthread_cond_destroy(&run->wake);
    pthread_mutex_destroy(&run->lock);
    hm_free(run);
}
