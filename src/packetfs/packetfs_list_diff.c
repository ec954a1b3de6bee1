/* Which patterns of one list took the place of which of another.
 *
 * Level by level from the top: nodes that both have are left closed, the others are opened. What is left at the bottom are the
 * pieces that differ, between things that are the same; those are the anchors by which the pieces are paired. */
#include <stdlib.h>

#include "packetfs_node.h"

struct piece_item {
    struct packetfs_id id;
    uint64_t offset, len;
    bool node, shared;
    uint8_t level; /* of a node */
};

struct piece_row { /* a list, opened as far as it had to be */
    struct piece_item *items;
    size_t count, room;
};

static int row_add(struct piece_row *row, const struct piece_item *item, struct hm_error *error)
{
    if (row->count == PACKETFS_LIST_DIFF_ITEMS_MAX)
        return hm_fail(error, HM_ELIMIT, "two lists differ in more than %u places",
                       PACKETFS_LIST_DIFF_ITEMS_MAX);
    if (row->count == row->room) {
        size_t room = row->room > 0 ? row->room * 2 : 64;
        struct piece_item *items = hm_realloc(row->items, room * sizeof(*items));
        if (items == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory to compare lists");
        row->items = items;
        row->room = room;
    }
    row->items[row->count++] = *item;
    return 0;
}

static int load_node(const struct packetfs_objects *objects, const struct piece_item *item,
                     bool root, struct hm_buf *buf, struct packetfs_node_sum *sum,
                     struct hm_error *error)
{
    int rc = packetfs_node_load(objects, &item->id, buf, error);

    if (rc == 0)
        rc = packetfs_node_sum(hm_buf_slice(buf), sum, error);
    if (rc != 0)
        return rc;
    if (sum->what != PACKETFS_NODE_LIST || (!root && sum->level != item->level) ||
        sum->len != item->len)
        return hm_fail(error, HM_ECORRUPT,
                       "a list's node is not what stands above it says: level %u, %llu bytes",
                       sum->level, (unsigned long long)sum->len);
    return 0;
}

static int row_begin(const struct packetfs_objects *objects, const struct packetfs_content *content,
                     struct piece_row *row, struct hm_error *error)
{
    struct piece_item item = {.id = content->id, .len = content->bytes};
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
    struct packetfs_node_sum sum;
    int rc = 0;

    if (content->kind == PACKETFS_CONTENT_EMPTY)
        return 0;
    if (content->kind == PACKETFS_CONTENT_LIST) {
        rc = load_node(objects, &item, true, &buf, &sum, error);
        item.node = true;
        item.level = rc == 0 ? (uint8_t)sum.level : 0;
    }
    return rc != 0 ? rc : row_add(row, &item, error);
}

static int node_open(const struct packetfs_objects *objects, const struct piece_item *node,
                     struct hm_buf *buf, struct piece_row *out, struct hm_error *error)
{
    struct packetfs_node_sum sum;
    struct packetfs_node_reader reader;
    struct packetfs_node_item item;
    uint64_t offset = node->offset;
    int rc = load_node(objects, node, false, buf, &sum, error);

    if (rc == 0)
        rc = packetfs_node_begin(hm_buf_slice(buf), NULL, &reader, error);
    while (rc == 0) {
        rc = packetfs_node_next(&reader, &item, error);
        if (rc != 0)
            return rc == HM_ENOTFOUND ? 0 : rc;
        const struct piece_item child = {.id = item.id,
                                         .offset = offset,
                                         .len = item.len,
                                         .node = sum.level > 0,
                                         .level = (uint8_t)(sum.level > 0 ? sum.level - 1 : 0)};
        offset += item.len;
        if (!item.hole)
            rc = row_add(out, &child, error);
    }
    return rc;
}

/* Replaces the nodes of this level that only one side has by what is in them. */
static int row_open(const struct packetfs_objects *objects, struct piece_row *row, unsigned level,
                    struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
    struct piece_row out = {0};
    int rc = 0;

    for (size_t i = 0; i < row->count && rc == 0; i++) {
        const struct piece_item *item = &row->items[i];
        rc = item->node && !item->shared && item->level == level
                 ? node_open(objects, item, &buf, &out, error)
                 : row_add(&out, item, error);
    }
    if (rc != 0) {
        hm_free(out.items);
        return rc;
    }
    hm_free(row->items);
    *row = out;
    return 0;
}

/* --- what both have --- */

static int compare_items(const struct piece_item *a, const struct piece_item *b)
{
    return a->node != b->node ? (a->node ? 1 : -1)
                              : memcmp(a->id.bytes, b->id.bytes, PACKETFS_ID_BYTES);
}

/* By what it is, then by where it is: the items of one row lie in one array. */
static int compare_pointers(const void *a, const void *b)
{
    const struct piece_item *x = *(const struct piece_item *const *)a;
    const struct piece_item *y = *(const struct piece_item *const *)b;
    int order = compare_items(x, y);

    return order != 0 ? order : (x > y) - (x < y);
}

static struct piece_item **row_sorted(struct piece_row *row, struct hm_error *error)
{
    struct piece_item **sorted = hm_malloc((row->count > 0 ? row->count : 1) *
                                           sizeof(struct piece_item *));

    if (sorted == NULL) {
        (void)hm_fail(error, HM_ENOMEM, "no memory to compare lists");
        return NULL;
    }
    for (size_t i = 0; i < row->count; i++)
        sorted[i] = &row->items[i];
    if (row->count > 1)
        qsort(sorted, row->count, sizeof(struct piece_item *), compare_pointers);
    return sorted;
}

static int mark_shared(struct piece_row *a, struct piece_row *b, struct hm_error *error)
{
    struct piece_item **in_a = row_sorted(a, error);
    struct piece_item **in_b = in_a != NULL ? row_sorted(b, error) : NULL;
    size_t i = 0, k = 0;

    while (in_b != NULL && i < a->count && k < b->count) {
        int order = compare_items(in_a[i], in_b[k]);
        if (order < 0) {
            i++;
        } else if (order > 0) {
            k++;
        } else {
            const struct piece_item *same = in_a[i];
            while (i < a->count && compare_items(in_a[i], same) == 0)
                in_a[i++]->shared = true;
            while (k < b->count && compare_items(in_b[k], same) == 0)
                in_b[k++]->shared = true;
        }
    }
    int rc = in_b != NULL ? 0 : HM_ENOMEM;
    hm_free(in_a);
    hm_free(in_b);
    return rc;
}

/* --- who took whose place --- */

/* Where in before this shared thing stands: at `from` or the next place behind, or else the first. */
static size_t anchor_of(struct piece_item *const *sorted, const struct piece_row *before,
                        const struct piece_item *item, size_t from)
{
    size_t low = 0, high = before->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_items(sorted[middle], item);
        if (order < 0 || (order == 0 && (size_t)(sorted[middle] - before->items) < from))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == before->count || compare_items(sorted[low], item) != 0)
        while (low > 0 && compare_items(sorted[low - 1], item) == 0)
            low--;
    return (size_t)(sorted[low] - before->items);
}

static struct packetfs_piece piece_of(const struct piece_item *item)
{
    return (struct packetfs_piece){.id = item->id, .offset = item->offset, .len = item->len};
}

static int pair(const struct piece_row *before, struct piece_item *const *sorted,
                const struct piece_row *after,
                int (*report)(void *ctx, const struct packetfs_piece *after,
                              const struct packetfs_piece *before),
                void *ctx)
{
    size_t next = 0; /* in before: what stands at this place */
    struct packetfs_piece old = {0};
    bool has_old = false;
    int rc = 0;

    for (size_t i = 0; i < after->count && rc == 0; i++) {
        const struct piece_item *item = &after->items[i];
        if (item->shared) {
            next = anchor_of(sorted, before, item, next) + 1;
            has_old = false;
            continue;
        }
        if (next < before->count && !before->items[next].shared) {
            old = piece_of(&before->items[next++]);
            has_old = true;
        }
        const struct packetfs_piece new = piece_of(item);
        rc = report(ctx, &new, has_old ? &old : NULL);
    }
    return rc;
}

static int rows_open(const struct packetfs_objects *objects, struct piece_row *before,
                     struct piece_row *after, struct hm_error *error)
{
    int rc = 0;

    for (unsigned level = PACKETFS_TREE_DEPTH_MAX; level-- > 0 && rc == 0;) {
        rc = mark_shared(before, after, error);
        if (rc == 0)
            rc = row_open(objects, before, level, error);
        if (rc == 0)
            rc = row_open(objects, after, level, error);
    }
    return rc != 0 ? rc : mark_shared(before, after, error);
}

int packetfs_list_diff(const struct packetfs_objects *objects,
                       const struct packetfs_content *before, const struct packetfs_content *after,
                       int (*report)(void *ctx, const struct packetfs_piece *after,
                                     const struct packetfs_piece *before),
                       void *ctx, struct hm_error *error)
{
    struct piece_row old = {0}, new = {0};
    struct piece_item **sorted = NULL;
    int rc = row_begin(objects, before, &old, error);

    if (rc == 0)
        rc = row_begin(objects, after, &new, error);
    if (rc == 0)
        rc = rows_open(objects, &old, &new, error);
    if (rc == 0) {
        sorted = row_sorted(&old, error);
        rc = sorted != NULL ? pair(&old, sorted, &new, report, ctx) : HM_ENOMEM;
    }
    hm_free(sorted);
    hm_free(old.items);
    hm_free(new.items);
    return rc;
}
