/* Map from short keys to pointers: a hash index for finding, an array in order of insertion for going
 * through. What is gone through is therefore the same on every machine. Lives in an arena. */
#ifndef HM_LEDGER_MAP_H
#define HM_LEDGER_MAP_H

#include "base.h"

#define LEDGER_MAP_KEY_MAX_BYTES 48

struct ledger_map_entry {
    uint8_t key[LEDGER_MAP_KEY_MAX_BYTES];
    uint8_t key_len;
    void *value;
};

struct ledger_map {
    struct hm_arena *arena;
    struct ledger_map_entry *entries; /* count of them, in order of insertion */
    size_t count;
    size_t cap;
    uint32_t *slots; /* entry number + 1, or 0; slot_count is a power of two */
    size_t slot_count;
};

void ledger_map_init(struct ledger_map *map, struct hm_arena *arena);
/* NULL when absent. Valid until the next add. */
struct ledger_map_entry *ledger_map_find(const struct ledger_map *map, struct hm_slice key);
/* key must be absent. NULL: memory. */
struct ledger_map_entry *ledger_map_add(struct ledger_map *map, struct hm_slice key, void *value);

#endif
