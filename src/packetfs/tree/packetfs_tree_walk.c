#include "tree/packetfs_tree_walk.h"

void packetfs_walk_init(struct packetfs_walk *walk, const struct packetfs_objects *objects,
                        enum packetfs_node_what what, const struct packetfs_id *root, uint64_t len)
{
    memset(walk, 0, sizeof(*walk));
    walk->objects = *objects;
    walk->what = what;
    walk->root = *root;
    walk->len = len;
}

void packetfs_walk_release(struct packetfs_walk *walk)
{
    for (size_t i = 0; i < PACKETFS_TREE_DEPTH_MAX; i++)
        hm_buf_release(&walk->frames[i].node);
    hm_buf_release(&walk->xattrs);
}

static const char *what_text(enum packetfs_node_what what)
{
    return what == PACKETFS_NODE_LIST ? "list" : "folder";
}

void *packetfs_walk_cursor_new(size_t size, const struct packetfs_objects *objects,
                               enum packetfs_node_what what, const struct packetfs_id *root,
                               uint64_t len, struct hm_error *error)
{
    struct packetfs_walk *walk = hm_calloc(1, size);

    if (walk != NULL)
        packetfs_walk_init(walk, objects, what, root, len);
    else
        (void)hm_fail(error, HM_ENOMEM, "no memory to read a %s", what_text(what));
    return walk;
}

void packetfs_walk_cursor_free(void *cursor)
{
    if (cursor == NULL)
        return;
    packetfs_walk_release(cursor);
    hm_free(cursor);
}

/* Is the node what its parent's item (or, at the root, the file) says? */
static int frame_check(const struct packetfs_walk *walk, const struct packetfs_node_sum *sum,
                       struct hm_error *error)
{
    const struct packetfs_walk_frame *parent = walk->depth > 0 ? &walk->frames[walk->depth - 1]
                                                               : NULL;
    uint64_t len = parent != NULL ? parent->item.len : walk->len;

    if (sum->what != walk->what)
        return hm_fail(error, HM_ECORRUPT, "a node of a %s stands in a %s", what_text(sum->what),
                       what_text(walk->what));
    if (parent != NULL && sum->level + 1 != parent->reader.level)
        return hm_fail(error, HM_ECORRUPT, "a node of level %u stands under one of level %u",
                       sum->level, parent->reader.level);
    if (sum->what == PACKETFS_NODE_LIST && sum->len != len)
        return hm_fail(error, HM_ECORRUPT, "a list's node is for %llu bytes, and has %llu",
                       (unsigned long long)len, (unsigned long long)sum->len);
    if (parent == NULL && ((sum->level > 0 && sum->items < 2) || sum->one_pattern))
        return hm_fail(error, HM_ECORRUPT, "a %s has a root that it does not need",
                       what_text(walk->what));
    if (parent != NULL && sum->what == PACKETFS_NODE_FOLDER &&
        (sum->items == 0 || !hm_slice_equal(sum->last, parent->item.name)))
        return hm_fail(error, HM_ECORRUPT, "a folder's node ends with another name than it should");
    return 0;
}

/* Names must be behind all that came before: behind the parent's item before this one, at every level. The parent's parent's was
 * checked when the parent was read, so one level is enough. */
static int order_check(const struct packetfs_walk *walk, const struct packetfs_node_sum *sum,
                       struct hm_slice before, struct hm_error *error)
{
    if (walk->what == PACKETFS_NODE_FOLDER && before.len > 0 && sum->items > 0 &&
        hm_slice_compare(before, sum->first) >= 0)
        return hm_fail(error, HM_ECORRUPT, "a folder's nodes are not in order");
    return 0;
}

/* Takes the next item of a frame to the front. */
static int frame_advance(struct packetfs_walk *walk, struct packetfs_walk_frame *frame,
                         struct hm_error *error)
{
    uint64_t offset = frame->has_item ? frame->offset + frame->item.len : frame->begin;
    struct packetfs_node_item item;
    int rc;

    frame->reader.xattrs = frame->reader.level == 0 ? &walk->xattrs : NULL;
    rc = packetfs_node_next(&frame->reader, &item, error);
    if (rc == HM_ENOTFOUND) {
        frame->has_item = false;
        return 0;
    }
    if (rc != 0)
        return rc;
    frame->item = item;
    frame->offset = offset;
    frame->has_item = true;
    return 0;
}

/* The name in front of the parent's item: that of the item before it, or, if it is the first, the parent's own bound. */
static struct hm_slice bound_of(const struct packetfs_walk *walk)
{
    for (size_t i = walk->depth; i-- > 0;)
        if (walk->frames[i].bound.len > 0)
            return walk->frames[i].bound;
    return (struct hm_slice){0};
}

static int enter(struct packetfs_walk *walk, const struct packetfs_id *id, uint64_t begin,
                 struct hm_error *error)
{
    struct packetfs_walk_frame *frame = &walk->frames[walk->depth];
    struct packetfs_node_sum sum;
    int rc;

    if (walk->depth == PACKETFS_TREE_DEPTH_MAX)
        return hm_fail(error, HM_ECORRUPT, "a %s is deeper than %u levels", what_text(walk->what),
                       PACKETFS_TREE_DEPTH_MAX);
    rc = packetfs_node_load(&walk->objects, id, &frame->node, error);
    if (rc == 0)
        rc = packetfs_node_sum(hm_buf_slice(&frame->node), &sum, error);
    if (rc == 0)
        rc = frame_check(walk, &sum, error);
    if (rc == 0)
        rc = order_check(walk, &sum, bound_of(walk), error);
    if (rc == 0)
        rc = packetfs_node_begin(hm_buf_slice(&frame->node), NULL, &frame->reader, error);
    if (rc != 0)
        return rc;
    frame->id = *id;
    frame->begin = begin;
    frame->len = sum.len;
    frame->taken = 0;
    frame->has_item = false;
    frame->bound = (struct hm_slice){0};
    rc = frame_advance(walk, frame, error);
    if (rc == 0)
        walk->depth++;
    return rc;
}

/* Frames with nothing left go. */
static int settle(struct packetfs_walk *walk, struct hm_error *error)
{
    int rc = 0;

    while (rc == 0 && walk->depth > 0 && !walk->frames[walk->depth - 1].has_item) {
        walk->depth--;
        if (walk->depth > 0) {
            struct packetfs_walk_frame *parent = &walk->frames[walk->depth - 1];
            parent->bound = parent->item.name;
            parent->taken++;
            rc = frame_advance(walk, parent, error);
        }
    }
    return rc;
}

int packetfs_walk_start(struct packetfs_walk *walk, struct hm_error *error)
{
    int rc;

    walk->depth = 0;
    rc = enter(walk, &walk->root, 0, error);
    return rc != 0 ? rc : settle(walk, error);
}

const struct packetfs_walk_frame *packetfs_walk_front(struct packetfs_walk *walk)
{
    return walk->depth > 0 ? &walk->frames[walk->depth - 1] : NULL;
}

int packetfs_walk_into(struct packetfs_walk *walk, struct hm_error *error)
{
    const struct packetfs_walk_frame *frame = &walk->frames[walk->depth - 1];

    return enter(walk, &frame->item.id, frame->offset, error);
}

int packetfs_walk_past(struct packetfs_walk *walk, struct hm_error *error)
{
    struct packetfs_walk_frame *frame = &walk->frames[walk->depth - 1];
    int rc;

    frame->bound = frame->item.name;
    frame->taken++;
    rc = frame_advance(walk, frame, error);
    return rc != 0 ? rc : settle(walk, error);
}

int packetfs_walk_leaf(struct packetfs_walk *walk, struct hm_error *error)
{
    int rc = 0;

    while (rc == 0) {
        if (walk->depth == 0)
            return HM_ENOTFOUND;
        if (walk->frames[walk->depth - 1].reader.level == 0)
            return 0;
        rc = packetfs_walk_into(walk, error);
    }
    return rc;
}

bool packetfs_walk_rewind(struct packetfs_walk *walk, uint64_t offset)
{
    while (walk->depth > 0) {
        struct packetfs_walk_frame *frame = &walk->frames[walk->depth - 1];
        if (offset >= frame->begin && offset - frame->begin < frame->len) {
            frame->taken = 0;
            frame->has_item = false;
            return packetfs_node_begin(hm_buf_slice(&frame->node), NULL, &frame->reader, NULL) ==
                       0 &&
                   frame_advance(walk, frame, NULL) == 0;
        }
        walk->depth--;
    }
    return false;
}

bool packetfs_walk_back_out(struct packetfs_walk *walk, const struct packetfs_id *id)
{
    for (size_t i = walk->depth; i-- > 1 && walk->frames[i].taken == 0;) {
        if (packetfs_id_equal(&walk->frames[i].id, id)) {
            walk->depth = i;
            return true;
        }
    }
    return false;
}
