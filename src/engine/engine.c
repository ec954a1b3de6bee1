#include "engine.h"

#include <stdio.h>
#include <time.h>

#include "engine_solo.h"

static int engine_init_locks(struct engine *engine, struct hm_error *error)
{
    pthread_condattr_t attr;

    if (pthread_mutex_init(&engine->lock, NULL) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine's lock");
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int failed = pthread_cond_init(&engine->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (failed != 0) {
        pthread_mutex_destroy(&engine->lock);
        return hm_fail(error, HM_ENOMEM, "no memory for the engine's lock");
    }
    return 0;
}

int engine_solo_open(const struct engine_options *options, struct engine **out,
                     struct hm_error *error)
{
    struct ledger_info info;
    int rc = ledger_info(options->ledger, &info, error);

    if (rc != 0)
        return rc;
    struct engine *engine = hm_calloc(1, sizeof(*engine));
    if (engine == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine");
    engine->options = *options;
    if (engine->options.queue_limit == 0)
        engine->options.queue_limit = ENGINE_QUEUE_LIMIT;
    if (engine->options.batch_limit == 0)
        engine->options.batch_limit = ENGINE_BATCH_LIMIT;
    engine->next_due_ms = info.next_due_ms;
    engine->status.name = "solo";
    rc = engine_init_locks(engine, error);
    if (rc != 0) {
        hm_free(engine);
        return rc;
    }
    if (pthread_create(&engine->writer, NULL, engine_solo_main, engine) != 0) {
        pthread_cond_destroy(&engine->wake);
        pthread_mutex_destroy(&engine->lock);
        hm_free(engine);
        return hm_fail(error, HM_ENOMEM, "the engine's thread cannot be started: raise the limit "
                                         "on processes (ulimit -u)");
    }
    *out = engine;
    return 0;
}

void engine_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    pthread_mutex_lock(&engine->lock);
    engine->stopping = true;
    pthread_cond_signal(&engine->wake);
    pthread_mutex_unlock(&engine->lock);
    pthread_join(engine->writer, NULL);
    pthread_cond_destroy(&engine->wake);
    pthread_mutex_destroy(&engine->lock);
    hm_free(engine);
}

void engine_item_refuse(struct engine_item *item, const struct hm_error *error)
{
    Hypermesh__TxResult result = HYPERMESH__TX_RESULT__INIT;

    result.digest = wire_bytes(item->digest, sizeof(item->digest));
    result.code = error->code;
    result.text = (char *)(uintptr_t)error->text;
    item->done(item->ctx, &result, NULL);
    hm_free(item);
}

/* Under the lock: may this engine take one more? */
static int engine_admit(const struct engine *engine, struct hm_error *error)
{
    if (engine->status.failed)
        return hm_fail(error, HM_EUNAVAILABLE,
                       "the engine has stopped: %s; the node must be restarted",
                       engine->status.failure);
    if (engine->stopping)
        return hm_fail(error, HM_EUNAVAILABLE, "the node is stopping");
    if (engine->queued >= engine->options.queue_limit)
        return hm_fail(error, HM_EBUSY, "%zu transactions wait already: try again in a second",
                       engine->queued);
    return 0;
}

int engine_submit(struct engine *engine, struct hm_slice tx, engine_done done, void *ctx,
                  struct hm_error *error)
{
    struct engine_item *item = hm_malloc(sizeof(*item) + tx.len);

    if (item == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a transaction of %zu bytes", tx.len);
    int rc = ledger_check_tx(engine->options.ledger, tx, hm_wall_ms(engine->options.clock),
                             item->digest, error);
    if (rc != 0) {
        hm_free(item);
        return rc;
    }
    item->next = NULL;
    item->done = done;
    item->ctx = ctx;
    item->len = tx.len;
    memcpy(item->tx, tx.data, tx.len);

    pthread_mutex_lock(&engine->lock);
    rc = engine_admit(engine, error);
    if (rc == 0) {
        if (engine->tail == NULL)
            engine->head = item;
        else
            engine->tail->next = item;
        engine->tail = item;
        engine->queued++;
        pthread_cond_signal(&engine->wake);
    }
    pthread_mutex_unlock(&engine->lock);
    if (rc != 0)
        hm_free(item);
    return rc;
}

struct engine_waiter {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool ended;
    bool in_block;
    struct engine_receipt receipt;
};

void engine_receipt_fill(struct engine_receipt *receipt, const Hypermesh__TxResult *result,
                         const struct engine_block *block)
{
    memset(receipt, 0, sizeof(*receipt));
    if (result->digest.len == sizeof(receipt->digest))
        memcpy(receipt->digest, result->digest.data, sizeof(receipt->digest));
    receipt->code = result->code;
    snprintf(receipt->text, sizeof(receipt->text), "%s", result->text);
    receipt->fee = result->fee;
    receipt->op = result->op;
    for (size_t i = 0; i < result->n_created && i < ENGINE_CREATED_MAX; i++)
        if (result->created[i].len == WIRE_ID_BYTES)
            memcpy(receipt->created[receipt->created_count++], result->created[i].data,
                   WIRE_ID_BYTES);
    if (block != NULL)
        receipt->block = *block;
}

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
    }
    pthread_cond_destroy(&waiter.wake);
    pthread_mutex_destroy(&waiter.lock);
    return rc;
}

void engine_get_status(struct engine *engine, struct engine_status *out)
{
    pthread_mutex_lock(&engine->lock);
    *out = engine->status;
    out->queued = engine->queued;
    pthread_mutex_unlock(&engine->lock);
}
