/* What changed between two folders and all below them. Where both sides are about to give the same node, it is passed over unread. */
#include "tree/packetfs_tree_walk.h"

struct diff_level {
    struct packetfs_walk before, after;
    size_t path_len; /* of the folder, with its '/' */
};

struct diff {
    const struct packetfs_objects *objects;
    int (*report)(void *ctx, enum packetfs_change change, struct hm_slice path,
                  const struct packetfs_entry *before, const struct packetfs_entry *after);
    void *ctx;
    struct diff_level **levels; /* a stack: folders within folders */
    size_t depth, room;
    struct hm_buf path;
};

static void level_free(struct diff_level *level)
{
    if (level == NULL)
        return;
    packetfs_walk_release(&level->before);
    packetfs_walk_release(&level->after);
    hm_free(level);
}

static void diff_release(struct diff *diff)
{
    while (diff->depth > 0)
        level_free(diff->levels[--diff->depth]);
    hm_free(diff->levels);
    hm_buf_release(&diff->path);
}

static int diff_room(struct diff *diff)
{
    size_t room = diff->room > 0 ? diff->room * 2 : 16;
    struct diff_level **levels;

    if (diff->depth < diff->room)
        return 0;
    levels = hm_realloc(diff->levels, room * sizeof(struct diff_level *));
    if (levels == NULL)
        return HM_ENOMEM;
    diff->levels = levels;
    diff->room = room;
    return 0;
}

/* A NULL root: that side has nothing here. */
static int diff_push(struct diff *diff, const struct packetfs_id *before,
                     const struct packetfs_id *after, struct hm_error *error)
{
    struct diff_level *level;
    int rc = 0;

    if (diff->depth == PACKETFS_FOLDER_DEPTH_MAX)
        return hm_fail(error, HM_ELIMIT, "folders lie more than %u deep in each other",
                       PACKETFS_FOLDER_DEPTH_MAX);
    level = diff_room(diff) == 0 ? hm_calloc(1, sizeof(*level)) : NULL;
    if (level == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to compare folders");
    diff->levels[diff->depth++] = level;
    level->path_len = diff->path.len;
    if (before != NULL) {
        packetfs_walk_init(&level->before, diff->objects, PACKETFS_NODE_FOLDER, before, 0);
        rc = packetfs_walk_start(&level->before, error);
    }
    if (rc == 0 && after != NULL) {
        packetfs_walk_init(&level->after, diff->objects, PACKETFS_NODE_FOLDER, after, 0);
        rc = packetfs_walk_start(&level->after, error);
    }
    return rc;
}

static bool same_content(const struct packetfs_entry *a, const struct packetfs_entry *b)
{
    switch (a->type) {
    case PACKETFS_FILE:
        return a->content.kind == b->content.kind && a->content.bytes == b->content.bytes &&
               (a->content.kind == PACKETFS_CONTENT_EMPTY ||
                packetfs_id_equal(&a->content.id, &b->content.id));
    case PACKETFS_SYMLINK:
        return hm_slice_equal(a->target, b->target);
    case PACKETFS_CHARACTER_DEVICE:
    case PACKETFS_BLOCK_DEVICE:
        return a->device == b->device;
    case PACKETFS_FOLDER:
    case PACKETFS_FIFO:
    case PACKETFS_SOCKET:
        break;
    }
    return true;
}

/* The number of a hard link means something within its own snapshot only. */
static bool same_attributes(const struct packetfs_entry *a, const struct packetfs_entry *b)
{
    if (a->mode != b->mode || a->uid != b->uid || a->gid != b->gid || a->mtime_s != b->mtime_s ||
        a->mtime_ns != b->mtime_ns || (a->hard_link == 0) != (b->hard_link == 0) ||
        !hm_slice_equal(a->user, b->user) || !hm_slice_equal(a->group, b->group) ||
        a->xattr_count != b->xattr_count)
        return false;
    for (size_t i = 0; i < a->xattr_count; i++)
        if (!hm_slice_equal(a->xattrs[i].name, b->xattrs[i].name) ||
            !hm_slice_equal(a->xattrs[i].value, b->xattrs[i].value))
            return false;
    return true;
}

/* 0: nothing to say about the two themselves. */
static int change_of(const struct packetfs_entry *before, const struct packetfs_entry *after)
{
    if (before == NULL)
        return PACKETFS_ADDED;
    if (after == NULL)
        return PACKETFS_REMOVED;
    if (before->type != after->type)
        return PACKETFS_TYPE_CHANGED;
    if (!same_content(before, after))
        return PACKETFS_CONTENT_CHANGED;
    return same_attributes(before, after) ? 0 : PACKETFS_ATTRIBUTES_CHANGED;
}

/* Both walks have a leaf's item of this name in front, or one of them is NULL. */
static int diff_entry(struct diff *diff, struct packetfs_walk *before, struct packetfs_walk *after,
                      struct hm_error *error)
{
    const struct packetfs_entry *a = before != NULL ? &packetfs_walk_front(before)->item.entry
                                                    : NULL;
    const struct packetfs_entry *b = after != NULL ? &packetfs_walk_front(after)->item.entry : NULL;
    bool folder_a = a != NULL && a->type == PACKETFS_FOLDER;
    bool folder_b = b != NULL && b->type == PACKETFS_FOLDER;
    struct packetfs_id id_a = folder_a ? a->folder : (struct packetfs_id){{0}};
    struct packetfs_id id_b = folder_b ? b->folder : (struct packetfs_id){{0}};
    struct hm_slice name = a != NULL ? a->name : b->name;
    int change = change_of(a, b);
    int rc = hm_buf_append(&diff->path, name.data, name.len);

    if (rc != 0)
        return hm_fail(error, rc, "no memory for a path");
    if (change != 0)
        rc = diff->report(diff->ctx, (enum packetfs_change)change, hm_buf_slice(&diff->path), a, b);
    if (rc == 0 && before != NULL)
        rc = packetfs_walk_past(before, error);
    if (rc == 0 && after != NULL)
        rc = packetfs_walk_past(after, error);
    if (rc != 0 || (!folder_a && !folder_b) ||
        (folder_a && folder_b && packetfs_id_equal(&id_a, &id_b)))
        return rc;
    rc = hm_buf_append_str(&diff->path, "/");
    if (rc != 0)
        return hm_fail(error, rc, "no memory for a path");
    return diff_push(diff, folder_a ? &id_a : NULL, folder_b ? &id_b : NULL, error);
}

static bool is_branch(const struct packetfs_walk_frame *front)
{
    return front != NULL && front->reader.level > 0;
}

/* At least one side has a branch in front. */
static int diff_branches(struct packetfs_walk *before, struct packetfs_walk *after,
                         struct hm_error *error)
{
    const struct packetfs_walk_frame *a = packetfs_walk_front(before);
    const struct packetfs_walk_frame *b = packetfs_walk_front(after);
    bool same = is_branch(a) && is_branch(b) && packetfs_id_equal(&a->item.id, &b->item.id);
    int rc;

    if (!same && is_branch(a))
        same = packetfs_walk_back_out(after, &a->item.id);
    if (!same && is_branch(b))
        same = packetfs_walk_back_out(before, &b->item.id);
    if (same) {
        rc = packetfs_walk_past(before, error);
        return rc != 0 ? rc : packetfs_walk_past(after, error);
    }
    if (is_branch(a) && (!is_branch(b) || a->reader.level >= b->reader.level))
        return packetfs_walk_into(before, error);
    return packetfs_walk_into(after, error);
}

static int diff_step(struct diff *diff, struct hm_error *error)
{
    struct diff_level *level = diff->levels[diff->depth - 1];
    const struct packetfs_walk_frame *a = packetfs_walk_front(&level->before);
    const struct packetfs_walk_frame *b = packetfs_walk_front(&level->after);
    int order;

    diff->path.len = level->path_len;
    if (a == NULL && b == NULL) {
        level_free(level);
        diff->depth--;
        return 0;
    }
    if (is_branch(a) || is_branch(b))
        return diff_branches(&level->before, &level->after, error);
    order = a == NULL ? 1 : b == NULL ? -1 : hm_slice_compare(a->item.name, b->item.name);
    return diff_entry(diff, order <= 0 ? &level->before : NULL, order >= 0 ? &level->after : NULL,
                      error);
}

int packetfs_tree_diff(const struct packetfs_objects *objects, const struct packetfs_id *before,
                       const struct packetfs_id *after,
                       int (*report)(void *ctx, enum packetfs_change change, struct hm_slice path,
                                     const struct packetfs_entry *before,
                                     const struct packetfs_entry *after),
                       void *ctx, struct hm_error *error)
{
    struct diff diff = {.objects = objects, .report = report, .ctx = ctx};
    int rc = 0;

    if (before == NULL || after == NULL || !packetfs_id_equal(before, after))
        rc = diff_push(&diff, before, after, error);
    while (rc == 0 && diff.depth > 0)
        rc = diff_step(&diff, error);
    diff_release(&diff);
    return rc;
}
