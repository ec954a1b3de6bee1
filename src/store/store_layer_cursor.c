/* A cursor over the layers: the nearest key of any of them, unless the uppermost that knows it says it is deleted. */
#include "store_layer.h"

/* Where the cursor below stands, so that a walk goes on there: on the nearest key that lies ahead in this direction. */
enum ahead { AHEAD_UNKNOWN, AHEAD_UP, AHEAD_DOWN };

/* The same of a map. */
struct map_ahead {
    enum ahead ahead;
    const struct layer_item *item; /* NULL: there is none */
};

struct layer_cursor {
    struct store_cursor base;
    struct map_ahead fresh;
    struct map_ahead frozen;
    uint64_t changes; /* as many as there were when fresh was looked at */
    struct store_cursor *below;
    enum ahead ahead;
    bool ahead_end; /* there is none */
    struct hm_slice ahead_key; /* of the snapshot below: they stay */
    struct hm_slice ahead_value;
    size_t key_len;
    uint8_t key[STORE_KEY_MAX_BYTES]; /* where it stands: found again whatever was written since */
};

static struct layer_cursor *cursor_of(struct store_cursor *cursor)
{
    return (struct layer_cursor *)cursor;
}

static const struct store_layer_txn *txn_of(const struct layer_cursor *cursor)
{
    return (const struct store_layer_txn *)cursor->base.txn;
}

int store_layer_cursor_open(struct store_txn *txn, unsigned table, struct store_cursor **out,
                            struct hm_error *error)
{
    struct layer_cursor *cursor = hm_malloc(sizeof(*cursor));
    int rc;

    if (!cursor)
        return hm_fail(error, HM_ENOMEM, "no memory for a store cursor");
    memset(cursor, 0, offsetof(struct layer_cursor, key));
    rc = store_cursor_open(((struct store_layer_txn *)txn)->below, table, &cursor->below, error);
    if (rc) {
        hm_free(cursor);
        return rc;
    }
    *out = &cursor->base;
    return 0;
}

void store_layer_cursor_close(struct store_cursor *cursor)
{
    store_cursor_close(cursor_of(cursor)->below);
    hm_free(cursor);
}

/* --- the nearest key of each layer --- */

static struct hm_slice here(const struct layer_cursor *cursor)
{
    return hm_slice_of(cursor->key, cursor->key_len);
}

static const struct layer_item *map_look(const struct layer_cursor *cursor,
                                         const struct layer_map *map, enum store_move move,
                                         struct hm_slice key)
{
    switch (move) {
    case STORE_MOVE_AT_LEAST:
        return layer_map_find(map, key, LAYER_AT_LEAST);
    case STORE_MOVE_FIRST:
        return layer_map_first(map);
    case STORE_MOVE_LAST:
        return layer_map_last(map);
    case STORE_MOVE_NEXT:
        return layer_map_find(map, here(cursor), LAYER_AFTER);
    case STORE_MOVE_PREV:
        return layer_map_find(map, here(cursor), LAYER_BEFORE);
    }
    return NULL;
}

/* Is what was found for an earlier move the nearest of this one as well? */
static bool still_ahead(const struct layer_cursor *cursor, const struct map_ahead *ahead,
                        enum store_move move)
{
    if (move == STORE_MOVE_NEXT)
        return ahead->ahead == AHEAD_UP &&
               (!ahead->item || hm_slice_compare(layer_item_key(ahead->item), here(cursor)) > 0);
    if (move == STORE_MOVE_PREV)
        return ahead->ahead == AHEAD_DOWN &&
               (!ahead->item || hm_slice_compare(layer_item_key(ahead->item), here(cursor)) < 0);
    return false;
}

static bool goes_down(enum store_move move)
{
    return move == STORE_MOVE_LAST || move == STORE_MOVE_PREV;
}

static const struct layer_item *map_move(const struct layer_cursor *cursor,
                                         const struct layer_map *map, struct map_ahead *ahead,
                                         enum store_move move, struct hm_slice key)
{
    if (!map->root)
        return NULL;
    if (!still_ahead(cursor, ahead, move))
        *ahead = (struct map_ahead){goes_down(move) ? AHEAD_DOWN : AHEAD_UP,
                                    map_look(cursor, map, move, key)};
    return ahead->item;
}

static int below_found(struct layer_cursor *cursor, int rc, enum ahead ahead)
{
    if (rc && rc != HM_ENOTFOUND) {
        cursor->ahead = AHEAD_UNKNOWN;
        return rc;
    }
    cursor->ahead = ahead;
    cursor->ahead_end = rc != 0;
    return 0;
}

static int below_next(struct layer_cursor *cursor)
{
    struct hm_slice *key = &cursor->ahead_key;
    struct hm_slice *value = &cursor->ahead_value;
    bool known = cursor->ahead != AHEAD_UNKNOWN && !cursor->ahead_end;
    int order = known ? hm_slice_compare(*key, here(cursor)) : 0;
    int rc;

    if (cursor->ahead == AHEAD_UP && (cursor->ahead_end || order > 0))
        return 0;
    if (known && order == 0)
        return below_found(cursor, store_cursor_next(cursor->below, key, value), AHEAD_UP);
    rc = store_cursor_seek(cursor->below, here(cursor), key, value);
    if (rc == 0 && hm_slice_equal(*key, here(cursor)))
        rc = store_cursor_next(cursor->below, key, value);
    return below_found(cursor, rc, AHEAD_UP);
}

static int below_prev(struct layer_cursor *cursor)
{
    struct hm_slice *key = &cursor->ahead_key;
    struct hm_slice *value = &cursor->ahead_value;
    bool known = cursor->ahead != AHEAD_UNKNOWN && !cursor->ahead_end;
    int order = known ? hm_slice_compare(*key, here(cursor)) : 0;
    int rc;

    if (cursor->ahead == AHEAD_DOWN && (cursor->ahead_end || order < 0))
        return 0;
    if (known && order == 0)
        return below_found(cursor, store_cursor_prev(cursor->below, key, value), AHEAD_DOWN);
    rc = store_cursor_seek(cursor->below, here(cursor), key, value);
    if (rc == 0 || rc == HM_ENOTFOUND)
        rc = store_cursor_prev(cursor->below, key, value);
    return below_found(cursor, rc, AHEAD_DOWN);
}

static int below_move(struct layer_cursor *cursor, enum store_move move, struct hm_slice key)
{
    switch (move) {
    case STORE_MOVE_AT_LEAST:
    case STORE_MOVE_FIRST:
        return below_found(cursor,
                           store_cursor_seek(cursor->below,
                                             move == STORE_MOVE_FIRST ? (struct hm_slice){0} : key,
                                             &cursor->ahead_key, &cursor->ahead_value),
                           AHEAD_UP);
    case STORE_MOVE_LAST:
        return below_found(
            cursor, store_cursor_seek_last(cursor->below, &cursor->ahead_key, &cursor->ahead_value),
            AHEAD_DOWN);
    case STORE_MOVE_NEXT:
        return below_next(cursor);
    case STORE_MOVE_PREV:
        return below_prev(cursor);
    }
    return HM_EINVAL;
}

/* --- of all layers --- */

static const struct layer_item *nearer(const struct layer_item *upper,
                                       const struct layer_item *lower, bool down)
{
    if (!upper || !lower)
        return upper ? upper : lower;
    int order = hm_slice_compare(layer_item_key(upper), layer_item_key(lower));

    return (down ? order >= 0 : order <= 0) ? upper : lower;
}

/* The nearest of all, a mark as well; it stands there then. */
static int move_once(struct layer_cursor *cursor, enum store_move move, struct hm_slice key,
                     bool *mark, struct hm_slice *found, struct hm_slice *value)
{
    const struct store_layer_txn *txn = txn_of(cursor);
    unsigned table = cursor->base.table;
    bool down = goes_down(move);

    if (cursor->changes != txn->changes)
        cursor->fresh.ahead = AHEAD_UNKNOWN;
    cursor->changes = txn->changes;
    const struct layer_item *item = nearer(
        map_move(cursor, &txn->fresh.maps[table], &cursor->fresh, move, key),
        map_move(cursor, &txn->frozen.maps[table], &cursor->frozen, move, key), down);
    int rc = below_move(cursor, move, key);

    if (rc)
        return rc;
    if (!item && cursor->ahead_end)
        return HM_ENOTFOUND;
    int order = item && !cursor->ahead_end
                    ? hm_slice_compare(layer_item_key(item), cursor->ahead_key)
                    : 0;
    if (item && (cursor->ahead_end || (down ? order >= 0 : order <= 0))) {
        *mark = item->mark;
        *found = layer_item_key(item);
        *value = layer_item_value(item);
    } else {
        *mark = false;
        *found = cursor->ahead_key;
        *value = cursor->ahead_value;
    }
    cursor->key_len = found->len;
    memcpy(cursor->key, found->data, found->len);
    return 0;
}

int store_layer_cursor_move(struct store_cursor *base, enum store_move move, struct hm_slice key,
                            struct hm_slice *found, struct hm_slice *value)
{
    struct layer_cursor *cursor = cursor_of(base);
    struct hm_slice at = {0};
    struct hm_slice what = {0};
    bool mark;
    int rc = move_once(cursor, move, key, &mark, &at, &what);

    move = goes_down(move) ? STORE_MOVE_PREV : STORE_MOVE_NEXT;
    while (rc == 0 && mark)
        rc = move_once(cursor, move, key, &mark, &at, &what);
    if (rc)
        return rc;
    *found = at;
    *value = what;
    return 0;
}
