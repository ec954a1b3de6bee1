/* What is new in a reference object against the one that stood in its place, and what each new part may be told as a
 * difference to: equal children are anchors, what lies between two of them took the place of what lay there before. */
#include <stdlib.h>

#include "sync/packetfs_sync.h"

/* A node of PACKETFS_OBJECT_MAX_BYTES names fewer: an id is the least of a child. */
#define CHILDREN_MAX (PACKETFS_OBJECT_MAX_BYTES / PACKETFS_ID_BYTES)

struct known {
    struct packetfs_id id;
    enum packetfs_kind kind;
    size_t place; /* among the base's children */
};

struct gathered {
    struct hm_buf children; /* of struct packetfs_sync_child */
};

static int gather(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id, uint64_t len)
{
    struct gathered *gathered = ctx;
    const struct packetfs_sync_child child = {.kind = kind, .id = *id, .len = len};

    if (gathered->children.len / sizeof(child) >= CHILDREN_MAX)
        return HM_ELIMIT;
    return hm_buf_append(&gathered->children, &child, sizeof(child));
}

static int compare_known(const void *a, const void *b)
{
    const struct known *left = a;
    const struct known *right = b;
    int order = memcmp(left->id.bytes, right->id.bytes, PACKETFS_ID_BYTES);

    if (order != 0)
        return order;
    return left->place < right->place ? -1 : left->place > right->place;
}

static const struct known *find_known(const struct known *known, size_t count,
                                      const struct packetfs_sync_child *child)
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (memcmp(known[middle].id.bytes, child->id.bytes, PACKETFS_ID_BYTES) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < count && packetfs_id_equal(&known[low].id, &child->id); low++)
        if (known[low].kind == child->kind)
            return &known[low];
    return NULL;
}

/* The base's child for a new one: the first not used yet at or after place, before the next anchor, of the same kind; else
 * the last of them before it. anchored: which of the base's children are in the new node, too. */
static bool base_for(struct packetfs_sync_child *child, const struct packetfs_sync_child *base,
                     const bool *anchored, size_t count, size_t start, size_t *place)
{
    for (size_t i = *place; i < count && !anchored[i]; i++)
        if (base[i].kind == child->kind) {
            child->base = base[i].id;
            *place = i + 1;
            return true;
        }
    for (size_t i = *place; i > start; i--)
        if (!anchored[i - 1] && base[i - 1].kind == child->kind) {
            child->base = base[i - 1].id;
            return true;
        }
    return false;
}

static int show_all(struct packetfs_sync_child *children, size_t count,
                    const struct packetfs_sync_child *base, size_t base_count,
                    const struct known *known, const bool *anchored,
                    int (*child)(void *ctx, const struct packetfs_sync_child *child), void *ctx)
{
    size_t start = 0; /* after the latest anchor */
    size_t place = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++) {
        const struct known *same = find_known(known, base_count, &children[i]);

        if (same != NULL)
            start = place = same->place + 1;
        else
            children[i].has_base = base_for(&children[i], base, anchored, base_count, start,
                                            &place);
        rc = child(ctx, &children[i]);
    }
    return rc;
}

static int show_against(struct gathered *now, struct gathered *before,
                        int (*child)(void *ctx, const struct packetfs_sync_child *child), void *ctx)
{
    struct packetfs_sync_child *children = (void *)now->children.data;
    const struct packetfs_sync_child *base = (const void *)before->children.data;
    size_t count = now->children.len / sizeof(*children);
    size_t base_count = before->children.len / sizeof(*base);
    HM_AUTOFREE struct known *known = hm_calloc(base_count + 1, sizeof(*known));
    HM_AUTOFREE bool *anchored = hm_calloc(base_count + 1, sizeof(*anchored));

    if (known == NULL || anchored == NULL)
        return HM_ENOMEM;
    for (size_t i = 0; i < base_count; i++)
        known[i] = (struct known){.id = base[i].id, .kind = base[i].kind, .place = i};
    qsort(known, base_count, sizeof(*known), compare_known);
    for (size_t i = 0; i < count; i++) {
        const struct known *same = find_known(known, base_count, &children[i]);

        if (same != NULL)
            anchored[same->place] = true;
    }
    return show_all(children, count, base, base_count, known, anchored, child, ctx);
}

int packetfs_sync_children(struct hm_slice node, const struct hm_slice *bases, size_t base_count,
                           int (*child)(void *ctx, const struct packetfs_sync_child *child),
                           void *ctx, struct hm_error *error)
{
    struct gathered now = {0};
    struct gathered before = {0};
    int rc = packetfs_node_children(node, gather, &now, error);

    if (rc == HM_ENOMEM || rc == HM_ELIMIT)
        rc = hm_fail(error, rc, "no memory for what a reference names");
    for (size_t i = 0; rc == 0 && i < base_count; i++) {
        size_t kept = before.children.len;

        if (packetfs_node_children(bases[i], gather, &before, NULL) != 0)
            before.children.len = kept;
    }
    if (rc == 0)
        rc = show_against(&now, &before, child, ctx);
    hm_buf_release(&now.children);
    hm_buf_release(&before.children);
    return rc == HM_ENOMEM ? hm_fail(error, rc, "no memory for what a reference names") : rc;
}

/* --- ids that were seen ----------------------------------------------------------------------------------------------- */

struct packetfs_sync_seen {
    struct packetfs_id *slots; /* all zero: free */
    size_t room, used, most;
};

int packetfs_sync_seen_new(size_t most, struct packetfs_sync_seen **out)
{
    struct packetfs_sync_seen *seen = hm_calloc(1, sizeof(*seen));

    if (seen == NULL)
        return HM_ENOMEM;
    seen->most = most;
    seen->room = 64;
    seen->slots = hm_calloc(seen->room, sizeof(*seen->slots));
    if (seen->slots == NULL) {
        hm_free(seen);
        return HM_ENOMEM;
    }
    *out = seen;
    return 0;
}

void packetfs_sync_seen_free(struct packetfs_sync_seen *seen)
{
    if (seen == NULL)
        return;
    hm_free(seen->slots);
    hm_free(seen);
}

static bool seen_put(struct packetfs_id *slots, size_t room, const struct packetfs_id *id)
{
    static const struct packetfs_id none;
    size_t at = (size_t)hm_get_be64(id->bytes) & (room - 1);

    while (!packetfs_id_equal(&slots[at], &none)) {
        if (packetfs_id_equal(&slots[at], id))
            return false;
        at = (at + 1) & (room - 1);
    }
    slots[at] = *id;
    return true;
}

/* Twice the room; where there is none, or too much of it, all is forgotten. */
static void seen_grow(struct packetfs_sync_seen *seen)
{
    static const struct packetfs_id none;
    size_t room = seen->room * 2;
    struct packetfs_id *slots = seen->used < seen->most ? hm_calloc(room, sizeof(*slots)) : NULL;

    if (slots == NULL) {
        memset(seen->slots, 0, seen->room * sizeof(*seen->slots));
        seen->used = 0;
        return;
    }
    for (size_t i = 0; i < seen->room; i++)
        if (!packetfs_id_equal(&seen->slots[i], &none))
            (void)seen_put(slots, room, &seen->slots[i]);
    hm_free(seen->slots);
    seen->slots = slots;
    seen->room = room;
}

bool packetfs_sync_seen_add(struct packetfs_sync_seen *seen, const struct packetfs_id *id)
{
    static const struct packetfs_id none;

    if (packetfs_id_equal(id, &none))
        return true;
    if (2 * seen->used >= seen->room || seen->used >= seen->most)
        seen_grow(seen);
    if (!seen_put(seen->slots, seen->room, id))
        return false;
    seen->used++;
    return true;
}
