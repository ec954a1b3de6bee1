#include "ledger_map.h"

/* As many keys are compared one by one: most transactions open two or three things. */
#define LEDGER_MAP_CAP_FIRST ((size_t)4)
#define LEDGER_MAP_CAP_PLAIN ((size_t)8)

void ledger_map_init(struct ledger_map *map, struct hm_arena *arena, const uint8_t *seed)
{
    *map = (struct ledger_map){.arena = arena};
    if (seed) {
        map->seed[0] = hm_get_be64(seed);
        map->seed[1] = hm_get_be64(seed + 8);
    }
}

static uint64_t rotate(uint64_t value, unsigned by)
{
    return value << by | value >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

/* SipHash-1-3 (Aumasson, Bernstein, "SipHash: a fast short-input PRF", 2012), words read big-endian. */
uint64_t ledger_map_hash(const struct ledger_map *map, struct hm_slice key)
{
    uint64_t v[4] = {
        map->seed[0] ^ UINT64_C(0x736f6d6570736575),
        map->seed[1] ^ UINT64_C(0x646f72616e646f6d),
        map->seed[0] ^ UINT64_C(0x6c7967656e657261),
        map->seed[1] ^ UINT64_C(0x7465646279746573),
    };
    uint8_t last[8] = {0};
    size_t whole = key.len / 8 * 8;

    for (size_t at = 0; at < whole; at += 8)
        sip_word(v, hm_get_be64(key.data + at));
    if (key.len > whole)
        memcpy(last, key.data + whole, key.len - whole);
    last[7] = (uint8_t)key.len;
    sip_word(v, hm_get_be64(last));
    v[2] ^= 0xff;
    for (unsigned i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The slot that holds key, or the free one where it belongs. */
static size_t slot_of(const struct ledger_map *map, struct hm_slice key)
{
    size_t mask = map->slot_count - 1;
    size_t slot = (size_t)ledger_map_hash(map, key) & mask;

    while (map->slots[slot] &&
           !hm_slice_equal(ledger_map_key(&map->entries[map->slots[slot] - 1]), key))
        slot = (slot + 1) & mask;
    return slot;
}

static bool map_grow(struct ledger_map *map)
{
    size_t cap = map->cap ? map->cap * 2 : LEDGER_MAP_CAP_FIRST;
    struct ledger_map_entry *entries = hm_arena_alloc(map->arena, cap * sizeof *entries);
    uint32_t *slots;

    if (!entries)
        return false;
    if (map->count > 0)
        memcpy(entries, map->entries, map->count * sizeof *entries);
    map->entries = entries;
    map->cap = cap;
    if (cap <= LEDGER_MAP_CAP_PLAIN)
        return true;
    slots = hm_arena_alloc(map->arena, 2 * cap * sizeof *slots);
    if (!slots) {
        map->cap = map->count; /* the next add asks again */
        return false;
    }
    map->slots = slots;
    map->slot_count = 2 * cap;
    for (size_t i = 0; i < map->count; i++)
        slots[slot_of(map, ledger_map_key(&entries[i]))] = (uint32_t)(i + 1);
    return true;
}

struct ledger_map_entry *ledger_map_find(const struct ledger_map *map, struct hm_slice key)
{
    uint32_t number;

    if (!map->slots) {
        for (size_t i = 0; i < map->count; i++) {
            struct ledger_map_entry *entry = &map->entries[i];

            if (entry->key_len == key.len && hm_slice_equal(ledger_map_key(entry), key))
                return entry;
        }
        return NULL;
    }
    number = map->slots[slot_of(map, key)];
    return number ? &map->entries[number - 1] : NULL;
}

struct ledger_map_entry *ledger_map_add(struct ledger_map *map, struct hm_slice key, void *value)
{
    struct ledger_map_entry *entry;
    const uint8_t *far = NULL;

    if (key.len > LEDGER_MAP_KEY_MAX_BYTES || map->count >= UINT32_MAX / 4)
        return NULL;
    if (map->count == map->cap && !map_grow(map))
        return NULL;
    if (key.len > LEDGER_MAP_KEY_NEAR_BYTES) {
        far = hm_arena_dup(map->arena, key.data, key.len);
        if (!far)
            return NULL;
    }
    entry = &map->entries[map->count];
    memcpy(entry->key, key.data, far ? LEDGER_MAP_KEY_NEAR_BYTES : key.len);
    entry->key_len = (uint16_t)key.len;
    entry->far = far;
    entry->value = value;
    if (map->slots)
        map->slots[slot_of(map, key)] = (uint32_t)(map->count + 1);
    map->count++;
    return entry;
}
