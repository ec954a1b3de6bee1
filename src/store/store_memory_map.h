/* An ordered map with cheap snapshots, for the store's memory twin: a treap whose nodes carry a
 * reference count. Whoever changes a map copies the nodes it shares with others on the path it
 * touches and changes the rest in place. Private to this room.
 *
 * A map may be read by many threads; it is changed by one thread that alone holds it. Counts are
 * atomic, so snapshots are retained and released from any thread. */
#ifndef HM_STORE_MEMORY_MAP_H
#define HM_STORE_MEMORY_MAP_H

#include "base.h"

struct store_map_node;

/* Zero-initialised is empty and valid. */
struct store_map {
    struct store_map_node *root;
    uint64_t entries;
    uint64_t bytes; /* keys and values */
};

enum store_map_relation {
    STORE_MAP_EQUAL,
    STORE_MAP_AT_LEAST, /* first key >= key */
    STORE_MAP_AFTER, /* first key > key */
    STORE_MAP_BEFORE, /* last key < key */
};

void store_map_retain(struct store_map *map); /* after copying the struct: a snapshot */
void store_map_release(struct store_map *map); /* leaves it empty */

/* HM_ENOMEM leaves the map's content as it was. */
int store_map_put(struct store_map *map, struct hm_slice key, struct hm_slice value,
                  uint64_t priority);
int store_map_remove(struct store_map *map, struct hm_slice key); /* missing is fine */

/* NULL when there is none. */
const struct store_map_node *store_map_find(const struct store_map *map, struct hm_slice key,
                                            enum store_map_relation relation);
const struct store_map_node *store_map_first(const struct store_map *map);
const struct store_map_node *store_map_last(const struct store_map *map);

/* Borrowed from the node. */
struct hm_slice store_map_key(const struct store_map_node *node);
struct hm_slice store_map_value(const struct store_map_node *node);

#endif
