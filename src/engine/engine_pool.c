/* The pool's life, its queue, and answers that no block gave. */
#include "engine_pool.h"

#include <stdio.h>
#include <time.h>

#define POOL_NS_PER_MS UINT64_C(1000000)

/* --- life -------------------------------------------------------------------------------------------------- */

void engine_pool_free(struct engine_pool *pool)
{
    if (pool == NULL)
        return;
    engine_rpc_free(pool->rpc);
    hm_free(pool->txs);
    hm_free(pool->table);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->answers);
    hm_free(pool);
}

static void pool_init_locks(struct engine_pool *pool)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&pool->answers, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->wake, &attr);
    pthread_condattr_destroy(&attr);
}

static void pool_defaults(struct engine_pool *pool, const struct engine_pool_options *options)
{
    const struct engine_cometbft_options *cometbft = options->cometbft;

    pool->options = *options->engine;
    if (pool->options.queue_limit == 0)
        pool->options.queue_limit = ENGINE_QUEUE_LIMIT;
    if (pool->options.queue_bytes == 0)
        pool->options.queue_bytes = ENGINE_QUEUE_MAX_BYTES;
    if (pool->options.batch_limit == 0 || pool->options.batch_limit > ENGINE_CLUSTER_BATCH_TXS)
        pool->options.batch_limit = ENGINE_CLUSTER_BATCH_TXS;
    pool->answer_ns = (cometbft->answer_ms != 0 ? cometbft->answer_ms : ENGINE_ANSWER_MS) *
                      POOL_NS_PER_MS;
    pool->resend_ns = (cometbft->resend_ms != 0 ? cometbft->resend_ms : ENGINE_RESEND_MS) *
                      POOL_NS_PER_MS;
    memcpy(pool->validator_address, cometbft->validator_address, ENGINE_ADDRESS_BYTES);
    pool->nudge_height = UINT64_MAX;
}

int engine_pool_new(const struct engine_pool_options *options, struct engine_pool **out,
                    struct hm_error *error)
{
    struct engine_pool *pool = hm_calloc(1, sizeof(*pool));

    if (pool == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine");
    pool_init_locks(pool);
    pool_defaults(pool, options);
    pool->txs = hm_calloc(pool->options.batch_limit, sizeof(*pool->txs));
    pool->table = hm_calloc(ENGINE_POOL_BUCKETS, sizeof(struct pool_item *));
    int rc = pool->txs == NULL || pool->table == NULL
                 ? hm_fail(error, HM_ENOMEM, "no memory for the engine")
                 : engine_rpc_new(options->cometbft->rpc_path, &pool->rpc, error);
    if (rc != 0) {
        engine_pool_free(pool);
        return rc;
    }
    *out = pool;
    return 0;
}

int engine_pool_start(struct engine_pool *pool, struct hm_error *error)
{
    if (pthread_create(&pool->thread, NULL, engine_pool_main, pool) != 0)
        return hm_fail(error, HM_ENOMEM,
                       "the engine's thread cannot be started: raise the limit on processes "
                       "(ulimit -u)");
    pool->running = true;
    return 0;
}

void engine_pool_stop(struct engine_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    engine_rpc_stop(pool->rpc);
    if (pool->running)
        pthread_join(pool->thread, NULL);
    pool->running = false;
}

/* --- the queue --------------------------------------------------------------------------------------------- */

/* Under the lock. */
static int pool_admit(const struct engine_pool *pool, size_t len, struct hm_error *error)
{
    if (pool->failure.code != 0)
        return hm_fail(error, HM_EUNAVAILABLE,
                       "the engine has stopped: %s; the node must be restarted",
                       pool->failure.text);
    if (pool->stopping)
        return hm_fail(error, HM_EUNAVAILABLE, "the node is stopping");
    if (!pool->has_chain)
        return hm_fail(error, HM_EUNAVAILABLE,
                       "this node has no chain yet: its engine has not begun it");
    if (pool->queued >= pool->options.queue_limit ||
        len > pool->options.queue_bytes - pool->queued_bytes)
        return hm_fail(error, HM_EBUSY, "%zu transactions wait already: try again in a second",
                       pool->queued);
    return 0;
}

int engine_pool_admit(struct engine_pool *pool, size_t len, struct hm_error *error)
{
    pthread_mutex_lock(&pool->lock);
    int rc = pool_admit(pool, len, error);
    pthread_mutex_unlock(&pool->lock);
    return rc;
}

static int pool_queue(struct engine_pool *pool, struct pool_item *item, struct hm_error *error)
{
    pthread_mutex_lock(&pool->lock);
    int rc = pool_admit(pool, item->len, error);
    if (rc == 0) {
        if (pool->last == NULL)
            pool->first = item;
        else
            pool->last->next = item;
        pool->last = item;
        pool->queued++;
        pool->queued_bytes += item->len;
    }
    pthread_mutex_unlock(&pool->lock);
    if (rc == 0)
        pthread_cond_signal(&pool->wake);
    return rc;
}

int engine_pool_put(struct engine_pool *pool, struct hm_slice tx,
                    const uint8_t digest[CRYPTO_HASH_BYTES], engine_done done, void *ctx,
                    struct hm_error *error)
{
    struct pool_item *item = hm_malloc(sizeof(*item) + tx.len);

    if (item == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a transaction of %zu bytes", tx.len);
    *item = (struct pool_item){.done = done,
                               .ctx = ctx,
                               .len = tx.len,
                               .deadline_ns = hm_mono_ns(pool->options.clock) + pool->answer_ns};
    memcpy(item->digest, digest, CRYPTO_HASH_BYTES);
    memcpy(item->tx, tx.data, tx.len);
    int rc = pool_queue(pool, item, error);
    if (rc != 0)
        hm_free(item);
    return rc;
}

/* --- what the application tells ------------------------------------------------------------------------------ */

void engine_pool_chain(struct engine_pool *pool, const struct ledger_info *info)
{
    pthread_mutex_lock(&pool->lock);
    pool->has_chain = true;
    pool->height = info->height;
    pool->block_ms = info->time_ms;
    pool->next_due_ms = info->next_due_ms;
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

void engine_pool_engine_started(struct engine_pool *pool, const char *version)
{
    pthread_mutex_lock(&pool->lock);
    snprintf(pool->version, sizeof(pool->version), "%s", version);
    hm_text_clean(pool->version);
    pool->starts++;
    pool->retry_ns = 0;
    pool->asked_ns = 0; /* what was asked of the one before is forgotten */
    pool->asked_height = 0;
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

void engine_pool_fail(struct engine_pool *pool, const struct hm_error *error)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->failure.code == 0)
        pool->failure = *error;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    engine_rpc_stop(pool->rpc);
}

/* The height is the ledger's: who has just seen a block there may be here before the pool has heard of it. */
int engine_pool_nudge(struct engine_pool *pool, struct hm_error *error)
{
    struct ledger_info info;
    int rc = ledger_info(pool->options.ledger, &info, error);

    pthread_mutex_lock(&pool->lock);
    if (rc == HM_ENOTFOUND || pool->failure.code != 0 || pool->stopping || !pool->has_chain)
        rc = hm_fail(error, HM_EUNAVAILABLE, "the engine has stopped, or has no chain yet");
    else if (rc == 0)
        pool->nudge_height = info.height;
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    return rc;
}

void engine_pool_status(struct engine_pool *pool, struct engine_status *out)
{
    *out = (struct engine_status){0};
    pthread_mutex_lock(&pool->lock);
    out->failed = pool->failure.code != 0;
    memcpy(out->failure, pool->failure.text, sizeof(out->failure));
    out->queued = pool->queued;
    out->pending = pool->pending;
    out->blocks = pool->blocks;
    out->txs = pool->total_txs;
    out->busy_ns = pool->busy_ns;
    out->height = pool->height;
    out->block_time_ms = pool->block_ms;
    memcpy(out->engine_version, pool->version, sizeof(out->engine_version));
    out->starts = pool->starts;
    out->validator = pool->validator;
    out->rank = pool->rank;
    pthread_mutex_unlock(&pool->lock);
}

uint64_t engine_pool_oldest_ms(struct engine_pool *pool)
{
    uint64_t deadline_ns = UINT64_MAX;

    pthread_mutex_lock(&pool->lock);
    const struct pool_item *first[] = {pool->first, pool->again.first};
    for (size_t i = 0; i < HM_COUNT_OF(first); i++)
        if (first[i] != NULL && first[i]->deadline_ns < deadline_ns)
            deadline_ns = first[i]->deadline_ns;
    for (const struct pool_batch *batch = pool->batches; batch != NULL; batch = batch->next)
        if (batch->first != NULL && batch->first->deadline_ns < deadline_ns)
            deadline_ns = batch->first->deadline_ns;
    pthread_mutex_unlock(&pool->lock);
    return deadline_ns == UINT64_MAX ? 0 : (deadline_ns - pool->answer_ns) / 1000000;
}

/* --- refusals ---------------------------------------------------------------------------------------------- */

void engine_pool_list_add(struct pool_list *list, struct pool_item *item)
{
    item->next = NULL;
    if (list->last == NULL)
        list->first = item;
    else
        list->last->next = item;
    list->last = item;
}

static void pool_reason(const struct engine_pool *pool, int code, char text[HM_ERROR_TEXT_BYTES])
{
    unsigned long long seconds = pool->answer_ns / (1000 * POOL_NS_PER_MS);

    if (code == HM_ETIMEOUT)
        snprintf(text, HM_ERROR_TEXT_BYTES,
                 "it is in no block yet, after %llu s or because this node stops: there may be no "
                 "quorum; it may still be ordered, so look for it before it is sent again",
                 seconds);
    else if (code == HM_EINTERNAL)
        snprintf(text, HM_ERROR_TEXT_BYTES, "its batch was sealed without it");
    else
        snprintf(text, HM_ERROR_TEXT_BYTES,
                 "this node's engine did not take it within %llu s: it does not run, or waits for "
                 "other nodes; nothing was handed on, try again later",
                 seconds);
}

void engine_pool_refuse(struct engine_pool *pool, struct pool_list *list,
                        const struct hm_error *error)
{
    char text[HM_ERROR_TEXT_BYTES];

    pthread_mutex_lock(&pool->answers);
    for (struct pool_item *item = list->first; item != NULL;) {
        struct pool_item *next = item->next;
        Hypermesh__TxResult result = HYPERMESH__TX_RESULT__INIT;

        if (error == NULL)
            pool_reason(pool, item->code, text);
        result.digest = wire_bytes(item->digest, sizeof(item->digest));
        result.code = item->code;
        result.text = error != NULL ? (char *)(uintptr_t)error->text : text;
        item->done(item->ctx, &result, NULL);
        hm_free(item);
        item = next;
    }
    pthread_mutex_unlock(&pool->answers);
    *list = (struct pool_list){0};
}
