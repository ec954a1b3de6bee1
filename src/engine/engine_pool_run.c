/* The pool's thread: seals what waits, hands it to the engine, hands it over again when it must, asks for a block when
 * something is due, and says so when nothing came in time. Asleep when there is nothing to do. */
#include "engine_pool.h"

#include <time.h>

#include "trace.h"

#define RUN_NS_PER_MS UINT64_C(1000000)
#define RUN_NS_PER_S  UINT64_C(1000000000)
#define RUN_NEVER     UINT64_MAX

/* Numbers of those who ask for blocks and are no validators: above the validators'. */
#define RUN_ASKERS_OTHERS UINT64_C(512)

static uint64_t run_earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* --- what nobody has answered in time ------------------------------------------------------------------------ */

/* Items that were never handed over are surely in no block. Under the lock. */
static void run_late_batch(struct engine_pool *pool, struct pool_batch *batch, uint64_t now_ns,
                           struct pool_list *late)
{
    struct pool_item **at = &batch->first;

    while (*at != NULL) {
        struct pool_item *item = *at;

        if (item->deadline_ns > now_ns) {
            at = &item->next;
            continue;
        }
        *at = item->next;
        batch->count--;
        engine_pool_unindex(pool, item);
        item->code = batch->handed || item->again ? HM_ETIMEOUT : HM_EUNAVAILABLE;
        engine_pool_list_add(late, item);
    }
}

static struct pool_item *run_dequeue(struct engine_pool *pool)
{
    struct pool_item *item = pool->first;

    pool->first = item->next;
    if (pool->first == NULL)
        pool->last = NULL;
    pool->queued--;
    pool->queued_bytes -= item->len;
    item->next = NULL;
    return item;
}

/* Items that get one more try are in front again. Under the lock. */
static void run_requeue(struct engine_pool *pool)
{
    if (pool->again.first == NULL)
        return;
    for (struct pool_item *item = pool->again.first; item != NULL; item = item->next) {
        pool->queued++;
        pool->queued_bytes += item->len;
    }
    pool->again.last->next = pool->first;
    if (pool->first == NULL)
        pool->last = pool->again.last;
    pool->first = pool->again.first;
    pool->again = (struct pool_list){0};
}

/* Everything whose time is over by now_ns; RUN_NEVER - 1: everything. Under the lock. */
static void run_late(struct engine_pool *pool, uint64_t now_ns, struct pool_list *late)
{
    struct pool_batch *batch = pool->batches;

    run_requeue(pool);
    while (batch != NULL) {
        struct pool_batch *next = batch->next;

        run_late_batch(pool, batch, now_ns, late);
        if (batch->first == NULL)
            engine_pool_drop(pool, batch);
        batch = next;
    }
    while (pool->first != NULL && pool->first->deadline_ns <= now_ns) {
        struct pool_item *item = run_dequeue(pool);

        item->code = item->again ? HM_ETIMEOUT : HM_EUNAVAILABLE;
        engine_pool_list_add(late, item);
    }
}

/* --- sealing ----------------------------------------------------------------------------------------------- */

/* The first of those that wait, without taking them off: only this thread does that. Under the lock. */
static size_t run_peek(struct engine_pool *pool)
{
    size_t count = 0, bytes = 0;

    for (struct pool_item *item = pool->first; item != NULL && count < pool->options.batch_limit;
         item = item->next) {
        if (count > 0 && item->len > ENGINE_CLUSTER_BATCH_MAX_BYTES - bytes)
            break;
        bytes += item->len < ENGINE_CLUSTER_BATCH_MAX_BYTES ? item->len
                                                            : ENGINE_CLUSTER_BATCH_MAX_BYTES;
        pool->txs[count++] = hm_slice_of(item->tx, item->len);
    }
    return count;
}

static int run_seal(struct engine_pool *pool, size_t count, struct pool_batch *batch,
                    struct hm_error *error)
{
    const struct engine_sealer *sealer = &pool->options.sealer;
    struct trace_span span;

    trace_begin(&span, "seal");
    int rc = sealer->seal(sealer->ctx, pool->txs, count, &batch->bytes, error);
    trace_end(&span);
    if (rc == 0 && (batch->bytes.len == 0 || batch->bytes.len > LEDGER_BATCH_MAX_BYTES))
        rc = hm_fail(
            error, HM_ELIMIT,
            "%zu transactions were sealed into a batch of %zu bytes: it must have 1 to %zu", count,
            batch->bytes.len, LEDGER_BATCH_MAX_BYTES);
    if (rc != 0 && error->code != rc)
        (void)hm_fail(error, rc, "a batch could not be sealed (%s)", hm_error_name(rc));
    return rc;
}

/* The first `count` of the queue leave it. Under the lock. */
static void run_take(struct engine_pool *pool, size_t count, struct pool_list *out)
{
    for (size_t i = 0; i < count; i++)
        engine_pool_list_add(out, run_dequeue(pool));
}

static void run_batch_add(struct engine_pool *pool, struct pool_batch *batch,
                          struct pool_list *items, size_t count)
{
    struct pool_batch **end = &pool->batches;

    batch->first = items->first;
    batch->count = count;
    for (struct pool_item *item = batch->first; item != NULL; item = item->next) {
        item->batch = batch;
        engine_pool_index(pool, item);
    }
    while (*end != NULL)
        end = &(*end)->next;
    *end = batch;
    pool->batch_count++;
}

static void run_refuse(struct engine_pool *pool, struct pool_list *items,
                       const struct hm_error *error)
{
    for (struct pool_item *item = items->first; item != NULL; item = item->next)
        item->code = error->code;
    engine_pool_refuse(pool, items, error);
}

/* While the engine is not there one batch is enough to find out when it is: a batch proves that its node held its plot
 * lately. Under the lock, but for the work itself. */
static bool run_make_batch(struct engine_pool *pool)
{
    struct pool_list items = {0};
    struct hm_error error = {0};

    if (pool->first == NULL || pool->batch_count >= ENGINE_CLUSTER_BATCHES ||
        (!pool->reachable && pool->batch_count > 0))
        return false;
    size_t waiting = run_peek(pool);
    pthread_mutex_unlock(&pool->lock);
    struct pool_batch *batch = hm_calloc(1, sizeof(*batch));
    size_t count = ledger_prepare_batch(pool->options.ledger, pool->txs, waiting);
    if (count == 0 || count > waiting)
        count = 1; /* the block refuses what fits nowhere */
    int rc = batch != NULL ? run_seal(pool, count, batch, &error)
                           : hm_fail(&error, HM_ENOMEM, "no memory for a batch");
    pthread_mutex_lock(&pool->lock);
    run_take(pool, count, &items);
    if (rc == 0) {
        run_batch_add(pool, batch, &items, count);
        return true;
    }
    pthread_mutex_unlock(&pool->lock);
    if (batch != NULL)
        hm_buf_release(&batch->bytes);
    hm_free(batch);
    run_refuse(pool, &items, &error);
    pthread_mutex_lock(&pool->lock);
    return true;
}

/* --- handing over ------------------------------------------------------------------------------------------ */

static bool run_is_to_be_sent(const struct engine_pool *pool, const struct pool_batch *batch,
                              uint64_t now_ns)
{
    return batch->sent_ns == 0 || batch->start != pool->starts ||
           now_ns - batch->sent_ns >= pool->resend_ns;
}

/* The engine could not be asked, or knew no answer. Under the lock. */
static void run_unreachable(struct engine_pool *pool, uint64_t now_ns, int rc,
                            const struct hm_error *error)
{
    if (rc !=
        HM_ECONFLICT) { /* a refusal in words that are not known is tried again, too, but holds up nobody */
        pool->retry_ns = now_ns + ENGINE_POOL_DOWN_MS * RUN_NS_PER_MS;
        pool->reachable = false;
    }
    if (!pool->complained && rc != HM_ECANCELLED)
        hm_log(HM_LOG_WARN, "engine", "%s; what waits is handed over when it answers again",
               error->text);
    pool->complained = true;
}

static void run_reachable(struct engine_pool *pool)
{
    pool->reachable = true;
    pool->complained = false;
}

/* The batch is refused, and the engine never had it. Under the lock, but for the answers. */
static void run_batch_refused(struct engine_pool *pool, struct pool_batch *batch,
                              const struct hm_error *error)
{
    struct pool_list items = {0};

    while (batch->first != NULL) {
        struct pool_item *item = batch->first;

        batch->first = item->next;
        engine_pool_unindex(pool, item);
        engine_pool_list_add(&items, item);
    }
    engine_pool_drop(pool, batch);
    pthread_mutex_unlock(&pool->lock);
    run_refuse(pool, &items, error);
    pthread_mutex_lock(&pool->lock);
}

/* Under the lock. */
static void run_sent(struct engine_pool *pool, struct pool_batch *batch, uint64_t now_ns,
                     unsigned start, int rc, enum engine_rpc_fate fate,
                     const struct hm_error *error)
{
    bool maybe = rc == HM_EIO || rc == HM_ETIMEOUT || rc == HM_ECANCELLED || rc == HM_EPARSE ||
                 rc == HM_ELIMIT || rc == HM_ECONFLICT;
    bool before = batch->handed;

    batch->busy = false;
    batch->handed = before || maybe || (rc == 0 && fate == ENGINE_RPC_TAKEN);
    if (rc != 0)
        run_unreachable(pool, now_ns, rc, error);
    else
        run_reachable(pool);
    if (batch->over) {
        engine_pool_drop(pool, batch);
        return;
    }
    if (rc != 0 && rc != HM_ECONFLICT)
        return;
    if (rc == 0 && fate == ENGINE_RPC_FULL) {
        pool->retry_ns = now_ns + ENGINE_POOL_FULL_MS * RUN_NS_PER_MS;
        return;
    }
    batch->sent_ns = now_ns;
    batch->start = start;
    /* Refused only now, when it may be on its way to a block already: that block or the time tells. */
    if (rc == 0 && fate == ENGINE_RPC_REFUSED && !before)
        run_batch_refused(pool, batch, error);
}

/* Hands over the first batch that is to be. Under the lock, but for the call. */
static bool run_send_batch(struct engine_pool *pool, uint64_t now_ns)
{
    enum engine_rpc_fate fate = ENGINE_RPC_TAKEN;
    struct pool_batch *batch = pool->batches;
    struct hm_error error = {0};
    int code = 0;

    while (batch != NULL && !run_is_to_be_sent(pool, batch, now_ns))
        batch = batch->next;
    if (batch == NULL)
        return false;
    unsigned start = pool->starts;
    batch->busy = true;
    pthread_mutex_unlock(&pool->lock);
    int rc = engine_rpc_broadcast(pool->rpc, hm_buf_slice(&batch->bytes), ENGINE_POOL_CALL_MS,
                                  &fate, &code, &error);
    now_ns = hm_mono_ns(pool->options.clock);
    pthread_mutex_lock(&pool->lock);
    if (rc == 0 && fate == ENGINE_RPC_REFUSED)
        error.code = code;
    run_sent(pool, batch, now_ns, start, rc, fate, &error);
    return true;
}

/* --- asking for a block ------------------------------------------------------------------------------------ */

static uint64_t run_stagger_ms(const struct engine_pool *pool)
{
    unsigned rank = pool->rank;

    if (!pool->validator && pool->blocks > 0)
        rank = ENGINE_POOL_STAGGER_MAX;
    return (rank < ENGINE_POOL_STAGGER_MAX ? rank : ENGINE_POOL_STAGGER_MAX) *
           ENGINE_POOL_STAGGER_MS;
}

/* When a request is to go out, on the monotonic clock: 0 is now. Once for a height that somebody wishes to be passed, once
 * for what is due; again when nothing came of it. Under the lock. */
static uint64_t run_ask_ns(const struct engine_pool *pool, uint64_t now_ns)
{
    uint64_t again_ns = pool->asked_ns + ENGINE_POOL_ASK_AGAIN_MS * RUN_NS_PER_MS;
    uint64_t at_ns = RUN_NEVER;

    if (!pool->has_chain)
        return RUN_NEVER;
    if (pool->nudge_height == pool->height)
        at_ns = pool->asked_height == pool->height + 1 && again_ns > now_ns ? again_ns : 0;
    if (pool->next_due_ms == 0)
        return at_ns;
    uint64_t due_ms = pool->next_due_ms + run_stagger_ms(pool);
    uint64_t wall_ms = hm_wall_ms(pool->options.clock);
    uint64_t due_ns = 0;
    if (wall_ms < due_ms)
        due_ns = now_ns + run_earlier(due_ms - wall_ms, ENGINE_POOL_LOOK_MS) * RUN_NS_PER_MS;
    else if (pool->asked_due_ms == pool->next_due_ms && pool->asked_ns != 0 && again_ns > now_ns)
        due_ns = again_ns;
    return run_earlier(at_ns, due_ns);
}

/* Who asks, as a number: its rank as a validator, or one by its key. */
static uint64_t run_asker(const struct engine_pool *pool)
{
    if (pool->validator && pool->rank < RUN_ASKERS_OTHERS)
        return pool->rank;
    return RUN_ASKERS_OTHERS +
           hm_get_be32(pool->validator_address) % (LEDGER_NOTE_ASKERS_MAX - RUN_ASKERS_OTHERS);
}

/* Under the lock, but for the call. */
static bool run_ask(struct engine_pool *pool, uint64_t now_ns)
{
    HM_CLEANUP(hm_buf) struct hm_buf note = {0};
    enum engine_rpc_fate fate = ENGINE_RPC_TAKEN;
    uint8_t nonce[LEDGER_NOTE_NONCE_BYTES];
    struct hm_error error = {0};
    int code = 0;

    if (run_ask_ns(pool, now_ns) > now_ns)
        return false;
    uint64_t height = pool->height;
    uint64_t due_ms = hm_wall_ms(pool->options.clock) >= pool->next_due_ms ? pool->next_due_ms : 0;
    hm_put_be64(nonce, height + 1);
    hm_put_be64(nonce + 8, run_asker(pool));
    pthread_mutex_unlock(&pool->lock);
    int rc = ledger_note_request(nonce, &note, &error);
    if (rc == 0)
        rc = engine_rpc_broadcast(pool->rpc, hm_buf_slice(&note), ENGINE_POOL_CALL_MS, &fate, &code,
                                  &error);
    now_ns = hm_mono_ns(pool->options.clock);
    pthread_mutex_lock(&pool->lock);
    if (rc != 0)
        run_unreachable(pool, now_ns, rc, &error);
    else
        run_reachable(pool);
    if (rc != 0 && rc != HM_ECONFLICT)
        return true;
    if (rc == 0 && fate == ENGINE_RPC_FULL) { /* then there are enough items for a block */
        pool->retry_ns = now_ns + ENGINE_POOL_FULL_MS * RUN_NS_PER_MS;
        return true;
    }
    pool->asked_height = height + 1;
    pool->asked_due_ms = due_ms;
    pool->asked_ns = now_ns;
    return true;
}

/* --- the thread -------------------------------------------------------------------------------------------- */

/* When there will be something to do, if nobody wakes the thread before. Under the lock. */
static uint64_t run_next_ns(const struct engine_pool *pool, uint64_t now_ns)
{
    uint64_t send_ns = run_ask_ns(pool, now_ns), next_ns = RUN_NEVER;

    if (pool->first != NULL)
        next_ns = pool->first->deadline_ns;
    for (const struct pool_batch *batch = pool->batches; batch != NULL; batch = batch->next) {
        for (const struct pool_item *item = batch->first; item != NULL; item = item->next)
            next_ns = run_earlier(next_ns, item->deadline_ns);
        send_ns = run_earlier(
            send_ns, run_is_to_be_sent(pool, batch, now_ns) ? 0 : batch->sent_ns + pool->resend_ns);
    }
    if (send_ns != RUN_NEVER && send_ns < pool->retry_ns)
        send_ns = pool->retry_ns;
    return run_earlier(next_ns, send_ns);
}

static void run_wait(struct engine_pool *pool, uint64_t now_ns)
{
    uint64_t next_ns = run_next_ns(pool, now_ns);
    struct timespec until;

    if (next_ns == RUN_NEVER) {
        pthread_cond_wait(&pool->wake, &pool->lock);
        return;
    }
    uint64_t wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    wait_ns += (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(wait_ns / RUN_NS_PER_S);
    until.tv_nsec = (long)(wait_ns % RUN_NS_PER_S);
    pthread_cond_timedwait(&pool->wake, &pool->lock, &until);
}

/* One thing at a time. Under the lock, but for the work itself. */
static void run_turn(struct engine_pool *pool)
{
    uint64_t now_ns = hm_mono_ns(pool->options.clock);
    struct pool_list late = {0};

    run_late(pool, now_ns, &late);
    if (late.first != NULL) {
        pthread_mutex_unlock(&pool->lock);
        engine_pool_refuse(pool, &late, NULL);
        pthread_mutex_lock(&pool->lock);
        return;
    }
    if (now_ns >= pool->retry_ns && (run_send_batch(pool, now_ns) || run_ask(pool, now_ns)))
        return;
    if (!run_make_batch(pool))
        run_wait(pool, now_ns);
}

/* What may be in a block by now is not refused for good. */
static void run_end(struct engine_pool *pool)
{
    struct pool_list all = {0}, unknown = {0}, refused = {0};
    struct hm_error error = {0}, maybe = {0};

    pthread_mutex_lock(&pool->lock);
    run_late(pool, RUN_NEVER - 1, &all);
    bool failed = pool->failure.code != 0;
    if (failed)
        (void)hm_fail(&error, HM_EUNAVAILABLE, "the engine has stopped: %s", pool->failure.text);
    else
        (void)hm_fail(&error, HM_EUNAVAILABLE, "the node is stopping");
    (void)hm_fail(&maybe, HM_ETIMEOUT,
                  "it is in no block here and may still be ordered, so look for it before it is "
                  "sent again; the engine has stopped: %s",
                  pool->failure.text);
    pthread_mutex_unlock(&pool->lock);
    for (struct pool_item *item = all.first; item != NULL;) {
        struct pool_item *next = item->next;

        engine_pool_list_add(item->code == HM_ETIMEOUT ? &unknown : &refused, item);
        item = next;
    }
    engine_pool_refuse(pool, &unknown, failed ? &maybe : NULL);
    run_refuse(pool, &refused, &error);
}

void *engine_pool_main(void *arg)
{
    struct engine_pool *pool = arg;

    (void)pthread_setname_np(pthread_self(), "hm-engine");
    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping && pool->failure.code == 0)
        run_turn(pool);
    pthread_mutex_unlock(&pool->lock);
    run_end(pool);
    return NULL;
}
