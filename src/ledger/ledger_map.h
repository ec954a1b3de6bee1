/* Map from short keys to pointers: a hash index for finding, an array in order of insertion for going
 * through. What is gone through is therefore the same on every machine. Lives in an arena.
 *
 * Keys come from outside (a transfer may name any id), so the index is SipHash under a seed: a block's seed is
 * its own hash, which nobody knows while he still chooses what is in it. */
#ifndef HM_LEDGER_MAP_H
#define HM_LEDGER_MAP_H

#include "base.h"

#define LEDGER_MAP_KEY_MAX_BYTES 48
#define LEDGER_MAP_SEED_BYTES    16

struct ledger_map_entry {
    uint8_t key[LEDGER_MAP_KEY_MAX_BYTES];
    uint8_t key_len;
    void *value;
};

struct ledger_map {
    struct hm_arena *arena;
    uint64_t seed[2];
    struct ledger_map_entry *entries; /* count of them, in order of insertion */
    size_t count;
    size_t cap;
    uint32_t *slots; /* entry number + 1, or 0; slot_count is a power of two */
    size_t slot_count;
};

/* seed: LEDGER_MAP_SEED_BYTES, or NULL where the keys are not chosen by others. */
void ledger_map_init(struct ledger_map *map, struct hm_arena *arena, const uint8_t *seed);
/* NULL when absent. Valid until the next add. */
struct ledger_map_entry *ledger_map_find(const struct ledger_map *map, struct hm_slice key);
/* key must be absent. NULL: memory. */
struct ledger_map_entry *ledger_map_add(struct ledger_map *map, struct hm_slice key, void *value);

#endif
