/* Map from keys to pointers: a hash index for finding, an array in order of insertion for going
 * through. What is gone through is therefore the same on every machine. Lives in an arena.
 *
 * Keys come from outside (a transfer may name any id), so the index is SipHash under a seed: a block's seed is
 * its own hash, which nobody knows while he still chooses what is in it. */
#ifndef HM_LEDGER_MAP_H
#define HM_LEDGER_MAP_H

#include "base.h"

#define LEDGER_MAP_KEY_MAX_BYTES  480
#define LEDGER_MAP_KEY_NEAR_BYTES 46 /* longer keys lie in the arena */
#define LEDGER_MAP_SEED_BYTES     16

struct ledger_map_entry {
    uint8_t key[LEDGER_MAP_KEY_NEAR_BYTES]; /* the key, or the beginning of a longer one */
    uint16_t key_len;
    const uint8_t *far; /* a longer key, whole; else NULL */
    void *value;
};

struct ledger_map {
    struct hm_arena *arena;
    uint64_t seed[2];
    struct ledger_map_entry *entries; /* count of them, in order of insertion */
    size_t count;
    size_t cap;
    uint32_t *slots; /* entry number + 1, or 0; slot_count is a power of two. NULL: few entries */
    size_t slot_count;
};

/* The whole key; valid until the next add. */
static inline struct hm_slice ledger_map_key(const struct ledger_map_entry *entry)
{
    return hm_slice_of(entry->far ? entry->far : entry->key, entry->key_len);
}

/* seed: LEDGER_MAP_SEED_BYTES, or NULL where the keys are not chosen by others. */
void ledger_map_init(struct ledger_map *map, struct hm_arena *arena, const uint8_t *seed);
/* NULL when absent. Valid until the next add. */
struct ledger_map_entry *ledger_map_find(const struct ledger_map *map, struct hm_slice key);
/* key must be absent. NULL: memory. */
struct ledger_map_entry *ledger_map_add(struct ledger_map *map, struct hm_slice key, void *value);
/* What the index makes of a key: unforeseeable where the map has a seed. */
uint64_t ledger_map_hash(const struct ledger_map *map, struct hm_slice key);

#endif
