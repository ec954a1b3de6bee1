#include "engine.h"

#include <stdio.h>

#include "engine_solo.h"

static void engine_free(struct engine *engine)
{
    if (engine == NULL)
        return;
    hm_free(engine->items);
    hm_free(engine->txs);
    hm_free(engine);
}

static struct engine *engine_new(const struct engine_options *options)
{
    struct engine *engine = hm_calloc(1, sizeof(*engine));

    if (engine == NULL)
        return NULL;
    engine->options = *options;
    if (engine->options.queue_limit == 0)
        engine->options.queue_limit = ENGINE_QUEUE_LIMIT;
    if (engine->options.queue_bytes == 0)
        engine->options.queue_bytes = ENGINE_QUEUE_MAX_BYTES;
    if (engine->options.batch_limit == 0)
        engine->options.batch_limit = ENGINE_BATCH_LIMIT;
    engine->status.name = "solo";
    engine->items = hm_calloc(engine->options.batch_limit, sizeof(*engine->items));
    engine->txs = hm_calloc(engine->options.batch_limit, sizeof(*engine->txs));
    if (engine->items == NULL || engine->txs == NULL) {
        engine_free(engine);
        return NULL;
    }
    return engine;
}

/* Locks and thread; nothing is left of them when it fails. */
static int engine_start(struct engine *engine, struct hm_error *error)
{
    if (pthread_mutex_init(&engine->lock, NULL) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine's lock");
    if (pthread_cond_init(&engine->wake, NULL) != 0) {
        pthread_mutex_destroy(&engine->lock);
        return hm_fail(error, HM_ENOMEM, "no memory for the engine's lock");
    }
    if (pthread_create(&engine->writer, NULL, engine_solo_main, engine) == 0)
        return 0;
    pthread_cond_destroy(&engine->wake);
    pthread_mutex_destroy(&engine->lock);
    return hm_fail(error, HM_ENOMEM,
                   "the engine's thread cannot be started: raise the limit on processes "
                   "(ulimit -u)");
}

int engine_solo_open(const struct engine_options *options, struct engine **out,
                     struct hm_error *error)
{
    struct ledger_info info;
    int rc = ledger_info(options->ledger, &info, error);

    if (rc != 0)
        return rc;
    struct engine *engine = engine_new(options);
    if (engine == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine");
    engine->next_due_ms = info.next_due_ms;
    rc = engine_start(engine, error);
    if (rc != 0) {
        engine_free(engine);
        return rc;
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
    engine_free(engine);
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

/* May this engine take one more? Under the lock. */
static int engine_admit(const struct engine *engine, size_t len, struct hm_error *error)
{
    if (engine->status.failed)
        return hm_fail(error, HM_EUNAVAILABLE,
                       "the engine has stopped: %s; the node must be restarted",
                       engine->status.failure);
    if (engine->stopping)
        return hm_fail(error, HM_EUNAVAILABLE, "the node is stopping");
    if (engine->queued >= engine->options.queue_limit ||
        len > engine->options.queue_bytes - engine->queued_bytes)
        return hm_fail(error, HM_EBUSY, "%zu transactions wait already: try again in a second",
                       engine->queued);
    return 0;
}

/* The answer before anything is spent on the transaction; it is asked again when it is queued. */
static int engine_admit_early(struct engine *engine, size_t len, struct hm_error *error)
{
    pthread_mutex_lock(&engine->lock);
    int rc = engine_admit(engine, len, error);
    pthread_mutex_unlock(&engine->lock);
    return rc;
}

static int engine_queue(struct engine *engine, struct engine_item *item, struct hm_error *error)
{
    pthread_mutex_lock(&engine->lock);
    int rc = engine_admit(engine, item->len, error);
    if (rc == 0) {
        if (engine->tail == NULL)
            engine->head = item;
        else
            engine->tail->next = item;
        engine->tail = item;
        engine->queued++;
        engine->queued_bytes += item->len;
        pthread_cond_signal(&engine->wake);
    }
    pthread_mutex_unlock(&engine->lock);
    return rc;
}

int engine_submit(struct engine *engine, struct hm_slice tx, engine_done done, void *ctx,
                  struct hm_error *error)
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    int rc = engine_admit_early(engine, tx.len, error);

    if (rc == 0)
        rc = ledger_check_tx(engine->options.ledger, tx, hm_wall_ms(engine->options.clock), digest,
                             error);
    if (rc != 0)
        return rc;
    struct engine_item *item = hm_malloc(sizeof(*item) + tx.len);
    if (item == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a transaction of %zu bytes", tx.len);
    *item = (struct engine_item){.done = done, .ctx = ctx, .len = tx.len};
    memcpy(item->digest, digest, sizeof(digest));
    memcpy(item->tx, tx.data, tx.len);
    rc = engine_queue(engine, item, error);
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
