/* A block has come: which of what waits is in it?
 *
 * Results are found by digest. The same transaction may be in a block twice, and in batches of other nodes: what counts is
 * where it paid. That it did not pay in somebody else's batch says nothing; in this node's own it is the answer, but for
 * one case: batches of this node may come into blocks in another order than they were sealed in, and a transaction that
 * was there before the one of its account that it follows gets one more try. */
#include "engine_pool.h"

static struct pool_item **pool_bucket(struct engine_pool *pool, const uint8_t *digest)
{
    return &pool->table[hm_get_be32(digest) & (ENGINE_POOL_BUCKETS - 1)];
}

void engine_pool_index(struct engine_pool *pool, struct pool_item *item)
{
    struct pool_item **bucket = pool_bucket(pool, item->digest);

    item->same = *bucket;
    *bucket = item;
    pool->pending++;
}

void engine_pool_unindex(struct engine_pool *pool, struct pool_item *item)
{
    struct pool_item **at = pool_bucket(pool, item->digest);

    while (*at != item)
        at = &(*at)->same;
    *at = item->same;
    pool->pending--;
}

void engine_pool_drop(struct engine_pool *pool, struct pool_batch *batch)
{
    struct pool_batch **at = &pool->batches;

    if (batch->busy) {
        batch->over = true;
        return;
    }
    while (*at != batch)
        at = &(*at)->next;
    *at = batch->next;
    pool->batch_count--;
    hm_buf_release(&batch->bytes);
    hm_free(batch);
}

/* --- the block's results ----------------------------------------------------------------------------------- */

/* Notes at each item that waits for this digest the best result so far. */
static void match_result(struct engine_pool *pool, const Hypermesh__TxResult *result)
{
    if (result->digest.len != CRYPTO_HASH_BYTES)
        return;
    for (struct pool_item *item = *pool_bucket(pool, result->digest.data); item != NULL;
         item = item->same) {
        if (memcmp(item->digest, result->digest.data, CRYPTO_HASH_BYTES) != 0)
            continue;
        if (item->result == NULL || !ledger_result_charged(item->result))
            item->result = result;
    }
}

#define MATCH_ABSENT SIZE_MAX

/* Where in the block the batch is. */
static size_t match_find(const struct engine_app_commit *commit, const struct pool_batch *batch)
{
    for (size_t i = 0; i < commit->count; i++)
        if (hm_slice_equal(commit->items[i], hm_buf_slice(&batch->bytes)))
            return i;
    return MATCH_ABSENT;
}

struct match {
    struct pool_list answered; /* with a result */
    struct pool_list lost; /* their batch came without them */
    size_t place; /* of the batch at hand in the block; MATCH_ABSENT */
    size_t before; /* the last place of those that were sealed before it */
};

/* Is what it may follow behind it, or in no block yet? */
static bool match_is_early(const struct match *match, const struct pool_item *item)
{
    return match->before > match->place && !item->again && item->result->code == HM_EPROOF_TIME;
}

/* Takes the answered items off the batch; the others wait on. */
static void match_batch(struct engine_pool *pool, struct pool_batch *batch, struct match *match)
{
    struct pool_item **at = &batch->first;
    bool landed = match->place != MATCH_ABSENT;

    while (*at != NULL) {
        struct pool_item *item = *at;
        bool paid = item->result != NULL && ledger_result_charged(item->result);

        if (!landed && !paid) {
            item->result = NULL;
            at = &item->next;
            continue;
        }
        *at = item->next;
        batch->count--;
        engine_pool_unindex(pool, item);
        item->batch = NULL;
        item->code = HM_EINTERNAL;
        if (item->result == NULL) {
            engine_pool_list_add(&match->lost, item);
        } else if (!paid && match_is_early(match, item)) {
            item->again = true;
            item->result = NULL;
            engine_pool_list_add(&pool->again, item);
        } else {
            engine_pool_list_add(&match->answered, item);
        }
    }
}

/* Under the lock. */
static void pool_match(struct engine_pool *pool, const struct engine_app_commit *commit,
                       struct match *match)
{
    struct pool_batch *batch = pool->batches;

    if (pool->pending > 0)
        for (size_t i = 0; i < commit->record->n_results; i++)
            match_result(pool, commit->record->results[i]);
    while (batch != NULL) {
        struct pool_batch *next = batch->next;

        if (!batch->over) {
            match->place = match_find(commit, batch);
            match_batch(pool, batch, match);
            if (match->place > match->before)
                match->before = match->place;
            if (batch->first == NULL)
                engine_pool_drop(pool, batch);
        }
        batch = next;
    }
}

static void pool_answer(struct pool_list *list, const struct engine_block *block)
{
    for (struct pool_item *item = list->first; item != NULL;) {
        struct pool_item *next = item->next;

        item->done(item->ctx, item->result, block);
        hm_free(item);
        item = next;
    }
}

void engine_pool_commit(struct engine_pool *pool, const struct engine_app_commit *commit)
{
    struct match match = {0};

    pthread_mutex_lock(&pool->lock);
    pool->height = commit->block.height;
    pool->block_ms = commit->block.time_ms;
    pool->next_due_ms = commit->next_due_ms;
    pool->validator = commit->validator;
    pool->rank = commit->rank;
    pool->blocks++;
    pool->total_txs += commit->block.txs;
    pool->busy_ns += commit->busy_ns;
    pool_match(pool, commit, &match);
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);

    pthread_mutex_lock(&pool->answers);
    pool_answer(&match.answered, &commit->block);
    if (pool->options.on_block != NULL)
        pool->options.on_block(pool->options.ctx, &commit->block, commit->record);
    pthread_mutex_unlock(&pool->answers);
    engine_pool_refuse(pool, &match.lost, NULL);
}
