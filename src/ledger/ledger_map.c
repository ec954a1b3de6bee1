#include "ledger_map.h"

#define LEDGER_MAP_CAP_FIRST ((size_t)16)

void ledger_map_init(struct ledger_map *map, struct hm_arena *arena)
{
    *map = (struct ledger_map){.arena = arena};
}

/* Keys are mostly hashes already; the mixing only spreads those that are not. */
static uint64_t key_hash(struct hm_slice key)
{
    uint64_t hash = UINT64_C(0x9e3779b97f4a7c15) ^ key.len;

    for (size_t i = 0; i < key.len; i++) {
        hash ^= key.data[i];
        hash *= UINT64_C(0x100000001b3);
    }
    hash ^= hash >> 32;
    hash *= UINT64_C(0xd6e8feb86659fd93);
    return hash ^ hash >> 32;
}

static struct hm_slice entry_key(const struct ledger_map_entry *entry)
{
    return hm_slice_of(entry->key, entry->key_len);
}

/* The slot that holds key, or the free one where it belongs. */
static size_t slot_of(const struct ledger_map *map, struct hm_slice key)
{
    size_t mask = map->slot_count - 1;
    size_t slot = (size_t)key_hash(key) & mask;

    while (map->slots[slot] && !hm_slice_equal(entry_key(&map->entries[map->slots[slot] - 1]), key))
        slot = (slot + 1) & mask;
    return slot;
}

static bool map_grow(struct ledger_map *map)
{
    size_t cap = map->cap ? map->cap * 2 : LEDGER_MAP_CAP_FIRST;
    struct ledger_map_entry *entries = hm_arena_alloc(map->arena, cap * sizeof *entries);
    uint32_t *slots = hm_arena_alloc(map->arena, 2 * cap * sizeof *slots);

    if (!entries || !slots)
        return false;
    if (map->count > 0)
        memcpy(entries, map->entries, map->count * sizeof *entries);
    map->entries = entries;
    map->cap = cap;
    map->slots = slots;
    map->slot_count = 2 * cap;
    for (size_t i = 0; i < map->count; i++)
        slots[slot_of(map, entry_key(&entries[i]))] = (uint32_t)(i + 1);
    return true;
}

struct ledger_map_entry *ledger_map_find(const struct ledger_map *map, struct hm_slice key)
{
    uint32_t number;

    if (map->count == 0)
        return NULL;
    number = map->slots[slot_of(map, key)];
    return number ? &map->entries[number - 1] : NULL;
}

struct ledger_map_entry *ledger_map_add(struct ledger_map *map, struct hm_slice key, void *value)
{
    struct ledger_map_entry *entry;

    if (key.len > LEDGER_MAP_KEY_MAX_BYTES || map->count >= UINT32_MAX / 4)
        return NULL;
    if (map->count == map->cap && !map_grow(map))
        return NULL;
    entry = &map->entries[map->count];
    memcpy(entry->key, key.data, key.len);
    entry->key_len = (uint8_t)key.len;
    entry->value = value;
    map->slots[slot_of(map, key)] = (uint32_t)(map->count + 1);
    map->count++;
    return entry;
}
