/* solo: opening and closing it, and the queue in front of its writer. */
#include "engine_solo.h"

static const struct engine_kind solo_kind;

static struct engine_solo *solo_of(struct engine *engine)
{
    return (struct engine_solo *)(void *)engine;
}

static void engine_free(struct engine_solo *engine)
{
    if (engine == NULL)
        return;
    engine_keeper_close(engine->keeper);
    hm_free(engine->items);
    hm_free(engine->txs);
    hm_free(engine);
}

static struct engine_solo *engine_new(const struct engine_options *options)
{
    struct engine_solo *engine = hm_calloc(1, sizeof(*engine));

    if (engine == NULL)
        return NULL;
    engine->options = *options;
    if (engine->options.queue_limit == 0)
        engine->options.queue_limit = ENGINE_QUEUE_LIMIT;
    if (engine->options.queue_bytes == 0)
        engine->options.queue_bytes = ENGINE_QUEUE_MAX_BYTES;
    if (engine->options.batch_limit == 0)
        engine->options.batch_limit = ENGINE_BATCH_LIMIT;
    engine->head.kind = &solo_kind;
    engine->status.name = "solo";
    engine->status.reachable = true;
    engine->status.validator = true;
    engine->items = hm_calloc(engine->options.batch_limit, sizeof(*engine->items));
    engine->txs = hm_calloc(engine->options.batch_limit, sizeof(*engine->txs));
    if (engine->items == NULL || engine->txs == NULL) {
        engine_free(engine);
        return NULL;
    }
    return engine;
}

/* Locks and thread; nothing is left of them when it fails. */
static int engine_run(struct engine_solo *engine, struct hm_error *error)
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

static int engine_start(struct engine_solo *engine, uint64_t height, struct hm_error *error)
{
    int rc = engine_heights_init(&engine->head.heights, height, error);

    if (rc != 0)
        return rc;
    rc = engine_run(engine, error);
    if (rc != 0)
        engine_heights_release(&engine->head.heights);
    return rc;
}

/* On the keeper's thread, after the last of its checkpoints. */
static void engine_break(void *ctx, const struct hm_error *error)
{
    struct engine_solo *engine = ctx;

    (void)error; /* the writer meets it in its next block */
    pthread_mutex_lock(&engine->lock);
    engine->broken = true;
    pthread_cond_signal(&engine->wake);
    pthread_mutex_unlock(&engine->lock);
}

int engine_solo_recover(const struct engine_options *options, struct hm_error *error)
{
    struct engine_keeper_options keeper;

    if (options->log_path == NULL)
        return 0;
    int rc = engine_keeper_options_of(options, engine_break, NULL, &keeper, error);
    return rc != 0 ? rc : engine_keeper_recover(&keeper, error);
}

static int engine_keep(struct engine_solo *engine, struct hm_error *error)
{
    struct engine_keeper_options keeper;

    if (engine->options.log_path == NULL)
        return 0;
    int rc = engine_keeper_options_of(&engine->options, engine_break, engine, &keeper, error);
    return rc != 0 ? rc : engine_keeper_open(&keeper, &engine->keeper, error);
}

int engine_solo_open(const struct engine_options *options, struct engine **out,
                     struct hm_error *error)
{
    struct ledger_info info;
    int rc = ledger_info(options->ledger, &info, error);

    if (rc != 0)
        return rc;
    struct engine_solo *engine = engine_new(options);
    if (engine == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine");
    rc = engine_keep(engine, error);
    if (rc == 0)
        rc = ledger_info(options->ledger, &info, error);
    engine->next_due_ms = info.next_due_ms;
    engine->hand.block_ms = info.time_ms;
    engine->status.height = info.height;
    if (rc == 0)
        rc = engine_start(engine, info.height, error);
    if (rc != 0) {
        engine_free(engine);
        return rc;
    }
    *out = &engine->head;
    return 0;
}

static void solo_close(struct engine *head)
{
    struct engine_solo *engine = solo_of(head);

    pthread_mutex_lock(&engine->lock);
    engine->stopping = true;
    pthread_cond_signal(&engine->wake);
    pthread_mutex_unlock(&engine->lock);
    pthread_join(engine->writer, NULL);
    engine_keeper_close(HM_TAKE(engine->keeper)); /* it may want the lock */
    pthread_cond_destroy(&engine->wake);
    pthread_mutex_destroy(&engine->lock);
    engine_heights_release(&engine->head.heights);
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
static int engine_admit(const struct engine_solo *engine, size_t len, struct hm_error *error)
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

int engine_solo_time(const struct engine_solo *engine, uint64_t *now_ms, struct hm_error *error)
{
    return engine_hand_time(&engine->hand, engine->options.clock, now_ms, error);
}

/* The answer before anything is spent on the transaction; it is asked again when it is queued. */
static int engine_admit_early(struct engine_solo *engine, size_t len, uint64_t *now_ms,
                              struct hm_error *error)
{
    pthread_mutex_lock(&engine->lock);
    int rc = engine_admit(engine, len, error);
    if (rc == 0)
        rc = engine_solo_time(engine, now_ms, error);
    pthread_mutex_unlock(&engine->lock);
    return rc;
}

static int engine_queue(struct engine_solo *engine, struct engine_item *item,
                        struct hm_error *error)
{
    pthread_mutex_lock(&engine->lock);
    int rc = engine_admit(engine, item->len, error);
    if (rc == 0) {
        if (engine->last == NULL)
            engine->first = item;
        else
            engine->last->next = item;
        engine->last = item;
        engine->queued++;
        engine->queued_bytes += item->len;
    }
    pthread_mutex_unlock(&engine->lock);
    if (rc == 0) /* behind the lock, or the writer would wake only to wait for it */
        pthread_cond_signal(&engine->wake);
    return rc;
}

static int solo_submit(struct engine *head, struct hm_slice tx, engine_done done, void *ctx,
                       struct hm_error *error)
{
    struct engine_solo *engine = solo_of(head);
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

static void solo_status(struct engine *head, struct engine_status *out)
{
    struct engine_solo *engine = solo_of(head);
    uint64_t wall_ms = hm_wall_ms(engine->options.clock);
    uint64_t now_ms;

    pthread_mutex_lock(&engine->lock);
    *out = engine->status;
    out->block_time_ms = engine->hand.block_ms;
    out->block_age_ms = wall_ms > out->block_time_ms ? wall_ms - out->block_time_ms : 0;
    out->queued = engine->queued;
    out->clock_refused = engine_solo_time(engine, &now_ms, NULL) != 0;
    pthread_mutex_unlock(&engine->lock);
}

static int solo_nudge(struct engine *head, struct hm_error *error)
{
    struct engine_solo *engine = solo_of(head);

    pthread_mutex_lock(&engine->lock);
    int rc = engine->stopping || engine->status.failed
                 ? hm_fail(error, HM_EUNAVAILABLE, "the engine has stopped")
                 : 0;
    pthread_cond_signal(&engine->wake);
    pthread_mutex_unlock(&engine->lock);
    return rc;
}

static const struct engine_kind solo_kind = {
    .submit = solo_submit, .status = solo_status, .nudge = solo_nudge, .close = solo_close};
