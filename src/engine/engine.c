#include "engine.h"

#include <stdio.h>

#include "engine_solo.h"

#define ENGINE_HOUR_MS UINT64_C(3600000)

static void engine_free(struct engine *engine)
{
    if (engine == NULL)
        return;
    engine_keeper_close(engine->keeper);
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

/* On the keeper's thread, after the last of its checkpoints. */
static void engine_break(void *ctx)
{
    struct engine *engine = ctx;

    pthread_mutex_lock(&engine->lock);
    engine->broken = true;
    pthread_cond_signal(&engine->wake);
    pthread_mutex_unlock(&engine->lock);
}

static int engine_keeper_options(const struct engine_options *options, struct engine *engine,
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
        .on_failure = engine_break,
        .ctx = engine};
    return 0;
}

int engine_solo_recover(const struct engine_options *options, struct hm_error *error)
{
    struct engine_keeper_options keeper;

    if (options->log_path == NULL)
        return 0;
    int rc = engine_keeper_options(options, NULL, &keeper, error);
    return rc != 0 ? rc : engine_keeper_recover(&keeper, error);
}

static int engine_keep(struct engine *engine, struct hm_error *error)
{
    struct engine_keeper_options keeper;

    if (engine->options.log_path == NULL)
        return 0;
    int rc = engine_keeper_options(&engine->options, engine, &keeper, error);
    return rc != 0 ? rc : engine_keeper_open(&keeper, &engine->keeper, error);
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
    rc = engine_keep(engine, error);
    if (rc == 0)
        rc = ledger_info(options->ledger, &info, error);
    engine->next_due_ms = info.next_due_ms;
    engine->hand.block_ms = info.time_ms;
    if (rc == 0)
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
    engine_keeper_close(HM_TAKE(engine->keeper)); /* it may want the lock */
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

int engine_time(const struct engine *engine, uint64_t *now_ms, struct hm_error *error)
{
    const struct engine_hand *hand = &engine->hand;
    uint64_t wall_ms = hm_wall_ms(engine->options.clock);

    if (hand->set) {
        uint64_t passed_ms = (hm_mono_ns(engine->options.clock) - hand->mono_ns) / 1000000;
        uint64_t known_ms = hand->wall_ms + passed_ms;

        if (wall_ms > known_ms + ENGINE_CLOCK_AHEAD_MAX_MS)
            return hm_fail(
                error, HM_EUNAVAILABLE,
                "the machine's clock has gone ahead by %llu hours that have not passed: "
                "set it right, or restart the node if it is right now",
                (unsigned long long)((wall_ms - known_ms + ENGINE_HOUR_MS / 2) / ENGINE_HOUR_MS));
    }
    *now_ms = wall_ms > hand->block_ms ? wall_ms : hand->block_ms;
    return 0;
}

/* The answer before anything is spent on the transaction; it is asked again when it is queued. */
static int engine_admit_early(struct engine *engine, size_t len, uint64_t *now_ms,
                              struct hm_error *error)
{
    pthread_mutex_lock(&engine->lock);
    int rc = engine_admit(engine, len, error);
    if (rc == 0)
        rc = engine_time(engine, now_ms, error);
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
    }
    pthread_mutex_unlock(&engine->lock);
    if (rc == 0) /* behind the lock, or the writer would wake only to wait for it */
        pthread_cond_signal(&engine->wake);
    return rc;
}

int engine_submit(struct engine *engine, struct hm_slice tx, engine_done done, void *ctx,
                  struct hm_error *error)
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    uint64_t now_ms;
    int rc = engine_admit_early(engine, tx.len, &now_ms, error);

    if (rc == 0)
        rc = ledger_check_tx(engine->options.ledger, tx, now_ms, digest, error);
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

void engine_get_status(struct engine *engine, struct engine_status *out)
{
    pthread_mutex_lock(&engine->lock);
    uint64_t now_ms;
    *out = engine->status;
    out->queued = engine->queued;
    out->clock_refused = engine_time(engine, &now_ms, NULL) != 0;
    pthread_mutex_unlock(&engine->lock);
}
