#include "ledger_seen.h"

int ledger_seen_init(struct ledger_seen *seen)
{
    seen->slots = hm_calloc(LEDGER_SEEN_SLOTS, sizeof *seen->slots);
    if (!seen->slots)
        return HM_ENOMEM;
    if (pthread_mutex_init(&seen->lock, NULL)) {
        hm_free(seen->slots);
        seen->slots = NULL;
        return HM_ENOMEM;
    }
    return 0;
}

void ledger_seen_release(struct ledger_seen *seen)
{
    if (!seen->slots)
        return;
    pthread_mutex_destroy(&seen->lock);
    hm_free(seen->slots);
    seen->slots = NULL;
}

/* An all-zero key would match an empty slot; no message has that hash. */
static size_t slot_of(const uint8_t key[CRYPTO_HASH_BYTES])
{
    return (size_t)hm_get_be64(key) & (LEDGER_SEEN_SLOTS - 1);
}

void ledger_seen_batch_key(struct hm_slice head, struct hm_slice signature,
                           uint8_t key[CRYPTO_HASH_BYTES])
{
    const struct hm_slice parts[] = {head, signature};

    crypto_hash_parts("hypermesh 1 seen batch", parts, HM_COUNT_OF(parts), key);
}

void ledger_seen_add(struct ledger_seen *seen, const uint8_t key[CRYPTO_HASH_BYTES])
{
    pthread_mutex_lock(&seen->lock);
    memcpy(seen->slots[slot_of(key)], key, CRYPTO_HASH_BYTES);
    pthread_mutex_unlock(&seen->lock);
}

bool ledger_seen_has(struct ledger_seen *seen, const uint8_t key[CRYPTO_HASH_BYTES])
{
    bool has;

    pthread_mutex_lock(&seen->lock);
    has = memcmp(seen->slots[slot_of(key)], key, CRYPTO_HASH_BYTES) == 0;
    pthread_mutex_unlock(&seen->lock);
    return has;
}
