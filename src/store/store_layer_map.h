/* An ordered map of which a copy of the struct is a snapshot: a B+ tree whose nodes are copied once by each writing
 * transaction that touches them (its stamp tells), in an arena that is let go as a whole. Private to this room.
 *
 * One thread changes it; any number read snapshots meanwhile, for nothing that a snapshot reaches changes. Nothing is
 * freed before the arena is, so it is for maps that live a short time. */
#ifndef HM_STORE_LAYER_MAP_H
#define HM_STORE_LAYER_MAP_H

#include "base.h"

struct layer_node;

struct layer_item {
    size_t value_len;
    uint32_t key_len;
    bool mark; /* the key is deleted, and something below is hidden by it */
    bool tail; /* when it was put, no layer had a key at it or past it */
    uint8_t bytes[]; /* the key, then the value */
};

/* Zero-initialised is empty and valid. */
struct layer_map {
    struct layer_node *root;
};

enum layer_relation {
    LAYER_EQUAL,
    LAYER_AT_LEAST, /* first key >= key */
    LAYER_AFTER, /* first key > key */
    LAYER_BEFORE, /* last key < key */
};

/* Who changes it: stamps differ between transactions. */
struct layer_writer {
    struct hm_arena *arena;
    uint64_t stamp;
};

/* Copies key and value. HM_ENOMEM: the map is as it was to snapshots, and unspecified to the writer. */
int layer_map_put(struct layer_map *map, const struct layer_writer *writer, struct hm_slice key,
                  struct hm_slice value, bool mark, bool tail);
int layer_map_remove(struct layer_map *map, const struct layer_writer *writer, struct hm_slice key);

/* NULL when there is none. */
const struct layer_item *layer_map_find(const struct layer_map *map, struct hm_slice key,
                                        enum layer_relation relation);
const struct layer_item *layer_map_first(const struct layer_map *map);
const struct layer_item *layer_map_last(const struct layer_map *map);

static inline struct hm_slice layer_item_key(const struct layer_item *item)
{
    return hm_slice_of(item->bytes, item->key_len);
}

static inline struct hm_slice layer_item_value(const struct layer_item *item)
{
    return hm_slice_of(item->bytes + item->key_len, item->value_len);
}

#endif
