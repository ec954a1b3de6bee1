#include "ledger_seen.h"

int ledger_seen_init(struct ledger_seen *seen)
{
    *seen = (struct ledger_seen){0};
    seen->slots = hm_calloc(LEDGER_SEEN_SLOTS, sizeof *seen->slots);
    seen->batches = hm_calloc(LEDGER_SEEN_BATCHES, sizeof *seen->batches);
    if (seen->slots && seen->batches && pthread_mutex_init(&seen->lock, NULL) == 0)
        return 0;
    hm_free(seen->slots);
    hm_free(seen->batches);
    seen->slots = NULL;
    return HM_ENOMEM;
}

/* The oldest batch is forgotten. */
static void batch_drop(struct ledger_seen *seen)
{
    struct ledger_seen_batch *batch = &seen->batches[seen->batch_first];

    seen->batch_txs -= batch->count;
    hm_free(batch->txs);
    *batch = (struct ledger_seen_batch){0};
    seen->batch_first = (seen->batch_first + 1) % LEDGER_SEEN_BATCHES;
    seen->batch_count--;
}

void ledger_seen_release(struct ledger_seen *seen)
{
    if (!seen->slots)
        return;
    while (seen->batch_count > 0)
        batch_drop(seen);
    pthread_mutex_destroy(&seen->lock);
    hm_free(seen->batches);
    hm_free(seen->slots);
    seen->slots = NULL;
}

/* An all-zero key would match an empty slot; no message has that hash. */
static struct ledger_seen_tx *slot_of(const struct ledger_seen *seen,
                                      const uint8_t key[CRYPTO_HASH_BYTES])
{
    return &seen->slots[(size_t)hm_get_be64(key) & (LEDGER_SEEN_SLOTS - 1)];
}

void ledger_seen_fetch(const struct ledger_seen *seen, const uint8_t key[CRYPTO_HASH_BYTES])
{
    const struct ledger_seen_tx *slot = slot_of(seen, key);

    __builtin_prefetch(slot);
    __builtin_prefetch(slot->digest + sizeof slot->digest); /* it lies across two cache lines */
}

void ledger_seen_batch_key(struct hm_slice head, struct hm_slice signature,
                           uint8_t key[CRYPTO_HASH_BYTES])
{
    const struct hm_slice parts[] = {head, signature};

    crypto_hash_parts("hypermesh 1 seen batch", parts, HM_COUNT_OF(parts), key);
}

void ledger_seen_add(struct ledger_seen *seen, const uint8_t key[CRYPTO_HASH_BYTES])
{
    struct ledger_seen_tx *slot = slot_of(seen, key);

    pthread_mutex_lock(&seen->lock);
    if (memcmp(slot->key, key, CRYPTO_HASH_BYTES) != 0) {
        *slot = (struct ledger_seen_tx){0};
        memcpy(slot->key, key, CRYPTO_HASH_BYTES);
    }
    pthread_mutex_unlock(&seen->lock);
}

bool ledger_seen_has(struct ledger_seen *seen, const uint8_t key[CRYPTO_HASH_BYTES])
{
    bool has;

    pthread_mutex_lock(&seen->lock);
    has = memcmp(slot_of(seen, key)->key, key, CRYPTO_HASH_BYTES) == 0;
    pthread_mutex_unlock(&seen->lock);
    return has;
}

void ledger_seen_tx_add(struct ledger_seen *seen, const struct ledger_seen_tx *tx)
{
    pthread_mutex_lock(&seen->lock);
    *slot_of(seen, tx->key) = *tx;
    pthread_mutex_unlock(&seen->lock);
}

bool ledger_seen_tx_find(struct ledger_seen *seen, const uint8_t key[CRYPTO_HASH_BYTES],
                         struct ledger_seen_tx *out)
{
    const struct ledger_seen_tx *slot = slot_of(seen, key);
    bool found;

    pthread_mutex_lock(&seen->lock);
    found = slot->readable && memcmp(slot->key, key, CRYPTO_HASH_BYTES) == 0;
    if (found)
        *out = *slot;
    pthread_mutex_unlock(&seen->lock);
    return found;
}

static const struct ledger_seen_batch *batch_find(const struct ledger_seen *seen,
                                                  const uint8_t key[CRYPTO_HASH_BYTES])
{
    /* The newest first: a block is finalized soon after it was looked at. */
    for (size_t i = seen->batch_count; i-- > 0;) {
        const struct ledger_seen_batch *batch =
            &seen->batches[(seen->batch_first + i) % LEDGER_SEEN_BATCHES];

        if (memcmp(batch->key, key, CRYPTO_HASH_BYTES) == 0)
            return batch;
    }
    return NULL;
}

void ledger_seen_batch_keep(struct ledger_seen *seen, const struct ledger_seen_batch *batch)
{
    struct ledger_seen_batch kept = *batch;

    if (batch->count > LEDGER_SEEN_TXS)
        return;
    kept.txs = hm_malloc(batch->count * sizeof *kept.txs);
    if (!kept.txs)
        return;
    memcpy(kept.txs, batch->txs, batch->count * sizeof *kept.txs);
    pthread_mutex_lock(&seen->lock);
    if (batch_find(seen, batch->key)) {
        hm_free(kept.txs);
    } else {
        while (seen->batch_count == LEDGER_SEEN_BATCHES ||
               seen->batch_txs + batch->count > LEDGER_SEEN_TXS)
            batch_drop(seen);
        seen->batches[(seen->batch_first + seen->batch_count) % LEDGER_SEEN_BATCHES] = kept;
        seen->batch_count++;
        seen->batch_txs += kept.count;
    }
    pthread_mutex_unlock(&seen->lock);
}

bool ledger_seen_batch_find(struct ledger_seen *seen, const uint8_t key[CRYPTO_HASH_BYTES],
                            struct hm_arena *arena, struct ledger_seen_batch *out)
{
    struct ledger_seen_batch copy = {0};
    const struct ledger_seen_batch *known;

    pthread_mutex_lock(&seen->lock);
    known = batch_find(seen, key);
    if (known) {
        copy = *known;
        copy.txs = hm_arena_dup(arena, known->txs, known->count * sizeof *known->txs);
    }
    pthread_mutex_unlock(&seen->lock);
    if (!copy.txs)
        return false;
    *out = copy;
    return true;
}
