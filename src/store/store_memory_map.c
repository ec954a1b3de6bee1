#include <stdatomic.h>

#include "store_memory_map.h"

/* A value is shared by the copies of its node, so copying a path never copies values. */
struct map_value {
    atomic_uint refs;
    size_t len;
    uint8_t data[];
};

struct store_map_node {
    atomic_uint refs;
    struct store_map_node *left;
    struct store_map_node *right;
    uint64_t priority; /* no child's is higher: random priorities keep the tree shallow */
    struct map_value *value;
    size_t key_len;
    uint8_t key[];
};

static struct map_value *value_new(struct hm_slice bytes)
{
    struct map_value *value = hm_malloc(sizeof(*value) + bytes.len);

    if (!value)
        return NULL;
    atomic_init(&value->refs, 1);
    value->len = bytes.len;
    if (bytes.len)
        memcpy(value->data, bytes.data, bytes.len);
    return value;
}

static void value_release(struct map_value *value)
{
    if (value && atomic_fetch_sub_explicit(&value->refs, 1, memory_order_acq_rel) == 1)
        hm_free(value);
}

static struct store_map_node *node_new(struct hm_slice key, uint64_t priority)
{
    struct store_map_node *node = hm_malloc(sizeof(*node) + key.len);

    if (!node)
        return NULL;
    atomic_init(&node->refs, 1);
    node->left = NULL;
    node->right = NULL;
    node->value = NULL;
    node->priority = priority;
    node->key_len = key.len;
    memcpy(node->key, key.data, key.len);
    return node;
}

static void node_retain(struct store_map_node *node)
{
    if (node)
        atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
}

static void node_release(struct store_map_node *node)
{
    while (node && atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) == 1) {
        struct store_map_node *right = node->right;

        node_release(node->left);
        value_release(node->value);
        hm_free(node);
        node = right;
    }
}

/* Makes the node in *slot ours alone. The slot itself must be ours already. */
static int node_own(struct store_map_node **slot)
{
    struct store_map_node *shared = *slot;
    struct store_map_node *copy;

    if (atomic_load_explicit(&shared->refs, memory_order_acquire) == 1)
        return 0;
    copy = node_new(store_map_key(shared), shared->priority);
    if (!copy)
        return HM_ENOMEM;
    copy->left = shared->left;
    copy->right = shared->right;
    copy->value = shared->value;
    node_retain(copy->left);
    node_retain(copy->right);
    atomic_fetch_add_explicit(&copy->value->refs, 1, memory_order_relaxed);
    *slot = copy;
    node_release(shared);
    return 0;
}

static int compare(struct hm_slice key, const struct store_map_node *node)
{
    size_t len = key.len < node->key_len ? key.len : node->key_len;
    int order = memcmp(key.data, node->key, len);

    return order ? order : (key.len > node->key_len) - (key.len < node->key_len);
}

/* Owns the search path of key to its end. All that can fail happens here, before any change. */
static int own_path(struct store_map *map, struct hm_slice key, struct store_map_node ***found)
{
    struct store_map_node **slot = &map->root;

    *found = NULL;
    while (*slot) {
        int order;
        int rc = node_own(slot);

        if (rc)
            return rc;
        order = compare(key, *slot);
        if (order == 0) {
            *found = slot;
            return 0;
        }
        slot = order < 0 ? &(*slot)->left : &(*slot)->right;
    }
    return 0;
}

/* Puts a new node where its priority wants it and splits what stood there around it. */
static void insert(struct store_map *map, struct store_map_node *node)
{
    struct hm_slice key = store_map_key(node);
    struct store_map_node **slot = &map->root;
    struct store_map_node **less = &node->left;
    struct store_map_node **more = &node->right;
    struct store_map_node *below;

    while (*slot && (*slot)->priority >= node->priority)
        slot = compare(key, *slot) < 0 ? &(*slot)->left : &(*slot)->right;
    below = *slot;
    *slot = node;
    while (below) {
        if (compare(key, below) > 0) {
            *less = below;
            less = &below->right;
            below = below->right;
        } else {
            *more = below;
            more = &below->left;
            below = below->left;
        }
    }
    *less = NULL;
    *more = NULL;
}

int store_map_put(struct store_map *map, struct hm_slice key, struct hm_slice value,
                  uint64_t priority)
{
    struct store_map_node **found;
    struct store_map_node *node;
    struct map_value *fresh = value_new(value);

    if (!fresh)
        return HM_ENOMEM;
    if (own_path(map, key, &found)) {
        value_release(fresh);
        return HM_ENOMEM;
    }
    if (found) {
        map->bytes = map->bytes - (*found)->value->len + value.len;
        value_release((*found)->value);
        (*found)->value = fresh;
        return 0;
    }
    node = node_new(key, priority);
    if (!node) {
        value_release(fresh);
        return HM_ENOMEM;
    }
    node->value = fresh;
    insert(map, node);
    map->entries++;
    map->bytes += key.len + value.len;
    return 0;
}

/* Owns the two spines that merging the children of node will rewrite. */
static int own_spines(struct store_map_node *node)
{
    struct store_map_node **left = &node->left;
    struct store_map_node **right = &node->right;

    while (*left && *right) {
        bool take_left = (*left)->priority >= (*right)->priority;
        int rc = node_own(take_left ? left : right);

        if (rc)
            return rc;
        if (take_left)
            left = &(*left)->right;
        else
            right = &(*right)->left;
    }
    return 0;
}

int store_map_remove(struct store_map *map, struct hm_slice key)
{
    struct store_map_node **slot;
    struct store_map_node *gone;
    struct store_map_node *left;
    struct store_map_node *right;

    if (!store_map_find(map, key, STORE_MAP_EQUAL))
        return 0;
    if (own_path(map, key, &slot) || own_spines(*slot))
        return HM_ENOMEM;
    gone = *slot;
    left = gone->left;
    right = gone->right;
    while (left && right) {
        if (left->priority >= right->priority) {
            *slot = left;
            slot = &left->right;
            left = left->right;
        } else {
            *slot = right;
            slot = &right->left;
            right = right->left;
        }
    }
    *slot = left ? left : right;
    map->entries--;
    map->bytes -= gone->key_len + gone->value->len;
    gone->left = NULL;
    gone->right = NULL;
    node_release(gone);
    return 0;
}

const struct store_map_node *store_map_find(const struct store_map *map, struct hm_slice key,
                                            enum store_map_relation relation)
{
    const struct store_map_node *best = NULL;
    const struct store_map_node *node = map->root;

    while (node) {
        int order = compare(key, node);

        if (order == 0 && (relation == STORE_MAP_EQUAL || relation == STORE_MAP_AT_LEAST))
            return node;
        if (relation == STORE_MAP_BEFORE ? order > 0 : order < 0)
            best = node;
        if (order < 0 || (order == 0 && relation == STORE_MAP_BEFORE))
            node = node->left;
        else
            node = node->right;
    }
    return relation == STORE_MAP_EQUAL ? NULL : best;
}

const struct store_map_node *store_map_first(const struct store_map *map)
{
    const struct store_map_node *node = map->root;

    while (node && node->left)
        node = node->left;
    return node;
}

const struct store_map_node *store_map_last(const struct store_map *map)
{
    const struct store_map_node *node = map->root;

    while (node && node->right)
        node = node->right;
    return node;
}

struct hm_slice store_map_key(const struct store_map_node *node)
{
    return hm_slice_of(node->key, node->key_len);
}

struct hm_slice store_map_value(const struct store_map_node *node)
{
    return hm_slice_of(node->value->data, node->value->len);
}

void store_map_retain(struct store_map *map)
{
    node_retain(map->root);
}

void store_map_release(struct store_map *map)
{
    node_release(map->root);
    *map = (struct store_map){0};
}
