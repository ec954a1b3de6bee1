#include "ledger_overlay_range.h"

#include "ledger.h"

/* The overlay's keys in order: a skip list (Pugh, "Skip lists: a probabilistic alternative to balanced
 * trees", 1990). Heights come from the map's hash, so nobody who chooses keys chooses them. A block that
 * asks for no range pays nothing for it: keys are put in when a range is opened. */
#define ORDER_HEIGHT_MAX 12 /* one in four goes a level up: 4^12 keys */

struct ledger_overlay_node {
    uint32_t number; /* in the overlay's map */
    struct ledger_overlay_node *next[];
};

struct ledger_overlay_order {
    size_t known; /* entries of the map that are in the order */
    struct ledger_overlay_node *first[ORDER_HEIGHT_MAX];
};

static struct hm_slice node_key(const struct ledger_overlay *overlay,
                                const struct ledger_overlay_node *node)
{
    return ledger_map_key(&overlay->map.entries[node->number]);
}

/* last[level] is the link that leads to the first node >= key on that level. */
static void order_seek(struct ledger_overlay *overlay, struct hm_slice key,
                       struct ledger_overlay_node **last[ORDER_HEIGHT_MAX])
{
    struct ledger_overlay_node **links = overlay->order->first;

    for (unsigned level = ORDER_HEIGHT_MAX; level-- > 0;) {
        while (links[level] && hm_slice_compare(node_key(overlay, links[level]), key) < 0)
            links = links[level]->next;
        last[level] = &links[level];
    }
}

static unsigned height_of(const struct ledger_overlay *overlay, struct hm_slice key)
{
    uint64_t draw = ledger_map_hash(&overlay->map, key) >> 32;
    unsigned height = 1;

    while (height < ORDER_HEIGHT_MAX && (draw & 3) == 0) {
        height++;
        draw >>= 2;
    }
    return height;
}

static bool order_add(struct ledger_overlay *overlay, uint32_t number)
{
    struct hm_slice key = ledger_map_key(&overlay->map.entries[number]);
    struct ledger_overlay_node **last[ORDER_HEIGHT_MAX];
    unsigned height = height_of(overlay, key);
    struct ledger_overlay_node *node = hm_arena_alloc(
        overlay->arena, sizeof *node + height * sizeof(struct ledger_overlay_node *));

    if (!node)
        return false;
    order_seek(overlay, key, last);
    node->number = number;
    for (unsigned level = 0; level < height; level++) {
        node->next[level] = *last[level];
        *last[level] = node;
    }
    return true;
}

static bool order_catch_up(struct ledger_overlay *overlay)
{
    if (!overlay->order)
        overlay->order = hm_arena_alloc(overlay->arena, sizeof *overlay->order);
    if (!overlay->order)
        return false;
    while (overlay->order->known < overlay->map.count) {
        if (!order_add(overlay, (uint32_t)overlay->order->known))
            return false;
        overlay->order->known++;
    }
    return true;
}

/* Takes what a move of the cursor gave. */
static int cursor_take(struct ledger_overlay_range *range, int rc, struct hm_error *error)
{
    if (rc && rc != HM_ENOTFOUND)
        return hm_fail(error, rc, "the state table could not be read");
    if (rc || hm_slice_compare(range->key, range->end) >= 0)
        range->key = (struct hm_slice){0};
    return 0;
}

int ledger_overlay_range_open(struct ledger_overlay *overlay, struct hm_slice start,
                              struct hm_slice end, struct ledger_overlay_range *out,
                              struct hm_error *error)
{
    struct ledger_overlay_range range = {.overlay = overlay, .end = end};
    struct ledger_overlay_node **last[ORDER_HEIGHT_MAX];
    int rc;

    if (!order_catch_up(overlay))
        return hm_fail(error, HM_ENOMEM, "no memory for the order of a block's keys");
    order_seek(overlay, start, last);
    range.node = *last[0];
    rc = store_cursor_open(overlay->txn, LEDGER_TABLE_STATE, &range.cursor, error);
    if (rc)
        return rc;
    rc = cursor_take(&range, store_cursor_seek(range.cursor, start, &range.key, &range.value),
                     error);
    if (rc) {
        store_cursor_close(range.cursor);
        return rc;
    }
    *out = range;
    return 0;
}

static int cursor_step(struct ledger_overlay_range *range, struct hm_error *error)
{
    range->given = false;
    return cursor_take(range, store_cursor_next(range->cursor, &range->key, &range->value), error);
}

int ledger_overlay_range_next(struct ledger_overlay_range *range, struct hm_slice *key,
                              struct hm_slice *value, struct hm_error *error)
{
    int rc = range->given ? cursor_step(range, error) : 0;

    while (rc == 0) {
        const struct ledger_overlay_entry *entry = NULL;
        struct hm_slice stored = range->key;
        struct hm_slice own = {0};
        int order = -1;

        if (range->node) {
            own = node_key(range->overlay, range->node);
            order = stored.data ? hm_slice_compare(stored, own) : 1;
            if (!stored.data && hm_slice_compare(own, range->end) >= 0)
                return HM_ENOTFOUND;
        } else if (!stored.data) {
            return HM_ENOTFOUND;
        }
        if (order >= 0) {
            entry = range->overlay->map.entries[range->node->number].value;
            range->node = range->node->next[0];
        }
        if (entry && (!entry->blind || entry->touched)) {
            if (order == 0)
                rc = cursor_step(range, error);
            if (rc || !entry->now.present) {
                range->passed++;
                continue;
            }
            *key = own;
            *value = hm_slice_of(entry->now.data, entry->now.len);
            return 0;
        }
        if (order > 0) { /* blind and untouched, and not in the store */
            range->passed++;
            continue;
        }
        *key = stored;
        *value = range->value;
        range->given = true;
        return 0;
    }
    return rc;
}

void ledger_overlay_range_close(struct ledger_overlay_range *range)
{
    store_cursor_close(range->cursor);
}
