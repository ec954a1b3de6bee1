#include "store_layer_map.h"

#define NODE_FAN   24u
#define LEVELS_MAX 24u /* more than memory holds, half full */

/* items: of a leaf (level 0), what it holds; above, the first key of each part when it was split off, of which that
 * of part 0 does not count. heads: the first bytes of their keys as numbers, which decide most comparisons. */
struct layer_node {
    uint64_t stamp;
    uint32_t count;
    uint32_t level;
    uint64_t heads[NODE_FAN];
    const struct layer_item *items[NODE_FAN];
    struct layer_node *parts[]; /* NODE_FAN, above leaves */
};

static uint64_t head_of(struct hm_slice key)
{
    uint8_t bytes[8] = {0};

    if (key.len >= sizeof(bytes))
        return hm_get_be64(key.data);
    memcpy(bytes, key.data, key.len);
    return hm_get_be64(bytes);
}

static size_t node_bytes(unsigned level)
{
    return sizeof(struct layer_node) + (level ? NODE_FAN * sizeof(struct layer_node *) : 0);
}

static struct layer_node *node_new(const struct layer_writer *writer, unsigned level)
{
    struct layer_node *node = hm_arena_alloc(writer->arena, node_bytes(level));

    if (!node)
        return NULL;
    node->stamp = writer->stamp;
    node->count = 0;
    node->level = level;
    return node;
}

/* Makes the node in *slot the writer's own. */
static int node_own(struct layer_node **slot, const struct layer_writer *writer)
{
    struct layer_node *copy;

    if ((*slot)->stamp == writer->stamp)
        return 0;
    copy = hm_arena_alloc(writer->arena, node_bytes((*slot)->level));
    if (!copy)
        return HM_ENOMEM;
    memcpy(copy, *slot, node_bytes((*slot)->level));
    copy->stamp = writer->stamp;
    *slot = copy;
    return 0;
}

/* --- looking --- */

/* A key that is looked for. */
struct sought {
    struct hm_slice key;
    uint64_t head;
};

static int sought_compare(const struct sought *sought, const struct layer_node *node, unsigned at)
{
    if (sought->head != node->heads[at])
        return sought->head < node->heads[at] ? -1 : 1;
    return hm_slice_compare(sought->key, layer_item_key(node->items[at]));
}

/* The first of the node's items from `from` on that is not below the key (past: that is above it). */
static unsigned node_seek(const struct layer_node *node, unsigned from, const struct sought *sought,
                          bool past)
{
    unsigned low = from;
    unsigned high = node->count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int order = sought_compare(sought, node, middle);

        if (order > 0 || (past && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static unsigned node_part(const struct layer_node *node, const struct sought *sought)
{
    return node_seek(node, 1, sought, true) - 1;
}

static const struct layer_item *node_first(const struct layer_node *node)
{
    while (node && node->level)
        node = node->parts[0];
    return node ? node->items[0] : NULL;
}

static const struct layer_item *node_last(const struct layer_node *node)
{
    while (node && node->level)
        node = node->parts[node->count - 1];
    return node ? node->items[node->count - 1] : NULL;
}

const struct layer_item *layer_map_first(const struct layer_map *map)
{
    return node_first(map->root);
}

const struct layer_item *layer_map_last(const struct layer_map *map)
{
    return node_last(map->root);
}

const struct layer_item *layer_map_find(const struct layer_map *map, struct hm_slice key,
                                        enum layer_relation relation)
{
    const struct sought sought = {.key = key, .head = head_of(key)};
    const struct layer_node *node = map->root;
    const struct layer_node *before = NULL; /* the nearest parts on either side of the way down */
    const struct layer_node *after = NULL;

    if (!node)
        return NULL;
    while (node->level) {
        unsigned part = node_part(node, &sought);

        if (part > 0)
            before = node->parts[part - 1];
        if (part + 1 < node->count)
            after = node->parts[part + 1];
        node = node->parts[part];
    }
    unsigned at = node_seek(node, 0, &sought, relation == LAYER_AFTER);
    if (relation == LAYER_BEFORE)
        return at > 0 ? node->items[at - 1] : node_last(before);
    if (relation == LAYER_EQUAL)
        return at < node->count && sought_compare(&sought, node, at) == 0 ? node->items[at] : NULL;
    return at < node->count ? node->items[at] : node_first(after);
}

/* --- changing --- */

static struct layer_item *item_new(const struct layer_writer *writer, struct hm_slice key,
                                   struct hm_slice value)
{
    struct layer_item *item = hm_arena_alloc(writer->arena, sizeof(*item) + key.len + value.len);

    if (!item)
        return NULL;
    item->key_len = (uint32_t)key.len;
    item->value_len = value.len;
    memcpy(item->bytes, key.data, key.len);
    if (value.len)
        memcpy(item->bytes + key.len, value.data, value.len);
    return item;
}

/* Room at `at` for one more; there is some. */
static void node_insert(struct layer_node *node, unsigned at, uint64_t head,
                        const struct layer_item *item, struct layer_node *part)
{
    size_t behind = node->count - at;

    memmove(node->heads + at + 1, node->heads + at, behind * sizeof(*node->heads));
    memmove(node->items + at + 1, node->items + at, behind * sizeof(*node->items));
    if (node->level)
        memmove(node->parts + at + 1, node->parts + at, behind * sizeof(*node->parts));
    node->heads[at] = head;
    node->items[at] = item;
    if (node->level)
        node->parts[at] = part;
    node->count++;
}

static void node_cut(struct layer_node *node, unsigned at)
{
    size_t behind = node->count - at - 1;

    memmove(node->heads + at, node->heads + at + 1, behind * sizeof(*node->heads));
    memmove(node->items + at, node->items + at + 1, behind * sizeof(*node->items));
    if (node->level)
        memmove(node->parts + at, node->parts + at + 1, behind * sizeof(*node->parts));
    node->count--;
}

/* Moves what comes from `from` on into a new node. */
static struct layer_node *node_split(struct layer_node *node, unsigned from,
                                     const struct layer_writer *writer)
{
    struct layer_node *right = node_new(writer, node->level);
    size_t moved = node->count - from;

    if (!right)
        return NULL;
    memcpy(right->heads, node->heads + from, moved * sizeof(*node->heads));
    memcpy(right->items, node->items + from, moved * sizeof(*node->items));
    if (node->level)
        memcpy(right->parts, node->parts + from, moved * sizeof(*node->parts));
    right->count = (uint32_t)moved;
    node->count = from;
    return right;
}

/* As node_insert, of a node of the writer's own that may be full; *right: what was split off it, or NULL. Keys that
 * grow leave full nodes behind. */
static int node_add(struct layer_node *node, unsigned at, uint64_t head,
                    const struct layer_item *item, struct layer_node *part,
                    const struct layer_writer *writer, struct layer_node **right)
{
    *right = NULL;
    if (node->count < NODE_FAN) {
        node_insert(node, at, head, item, part);
        return 0;
    }
    unsigned from = at == NODE_FAN ? NODE_FAN : NODE_FAN / 2;
    *right = node_split(node, from, writer);
    if (!*right)
        return HM_ENOMEM;
    if (at > from || from == NODE_FAN)
        node_insert(*right, at - from, head, item, part);
    else
        node_insert(node, at, head, item, part);
    return 0;
}

/* Owns the way to the key; the slots on it from the root down. */
static int way_own(struct layer_map *map, const struct layer_writer *writer,
                   const struct sought *sought, struct layer_node **way[LEVELS_MAX],
                   unsigned parts[LEVELS_MAX], unsigned *depth)
{
    struct layer_node **slot = &map->root;

    for (*depth = 0;; (*depth)++) {
        if (*depth == LEVELS_MAX || node_own(slot, writer))
            return HM_ENOMEM;
        way[*depth] = slot;
        if ((*slot)->level == 0)
            return 0;
        parts[*depth] = node_part(*slot, sought);
        slot = &(*slot)->parts[parts[*depth]];
    }
}

static int root_grow(struct layer_map *map, struct layer_node *right,
                     const struct layer_writer *writer)
{
    struct layer_node *root = node_new(writer, map->root->level + 1);

    if (!root)
        return HM_ENOMEM;
    node_insert(root, 0, map->root->heads[0], map->root->items[0], map->root);
    node_insert(root, 1, right->heads[0], right->items[0], right);
    map->root = root;
    return 0;
}

int layer_map_put(struct layer_map *map, const struct layer_writer *writer, struct hm_slice key,
                  struct hm_slice value, bool mark, bool tail)
{
    const struct sought sought = {.key = key, .head = head_of(key)};
    struct layer_item *item = item_new(writer, key, value);
    struct layer_node **way[LEVELS_MAX];
    struct layer_node *right = NULL;
    unsigned parts[LEVELS_MAX];
    unsigned depth;

    if (!item || (!map->root && !(map->root = node_new(writer, 0))) ||
        way_own(map, writer, &sought, way, parts, &depth))
        return HM_ENOMEM;
    item->mark = mark;
    item->tail = tail;
    struct layer_node *node = *way[depth];
    unsigned at = node_seek(node, 0, &sought, false);
    if (at < node->count && sought_compare(&sought, node, at) == 0) {
        node->items[at] = item;
        return 0;
    }
    int rc = node_add(node, at, sought.head, item, NULL, writer, &right);
    while (rc == 0 && right && depth > 0) {
        struct layer_node *part = right;

        depth--;
        rc = node_add(*way[depth], parts[depth] + 1, part->heads[0], part->items[0], part, writer,
                      &right);
    }
    return rc == 0 && right ? root_grow(map, right, writer) : rc;
}

int layer_map_remove(struct layer_map *map, const struct layer_writer *writer, struct hm_slice key)
{
    const struct sought sought = {.key = key, .head = head_of(key)};
    struct layer_node **way[LEVELS_MAX];
    unsigned parts[LEVELS_MAX];
    unsigned depth;

    if (!layer_map_find(map, key, LAYER_EQUAL))
        return 0;
    if (way_own(map, writer, &sought, way, parts, &depth))
        return HM_ENOMEM;
    node_cut(*way[depth], node_seek(*way[depth], 0, &sought, false));
    while (depth > 0 && (*way[depth])->count == 0) { /* no node is empty */
        depth--;
        node_cut(*way[depth], parts[depth]);
    }
    if (map->root->count == 0)
        map->root = NULL;
    return 0;
}
