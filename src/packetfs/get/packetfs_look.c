#include "get/packetfs_look.h"

struct hm_slice packetfs_path_trim(const char *path)
{
    size_t len = path != NULL ? strlen(path) : 0;

    while (len > 0 && path[0] == '/') {
        path++;
        len--;
    }
    while (len > 0 && path[len - 1] == '/')
        len--;
    return hm_slice_of(path, len);
}

static struct packetfs_bytes bytes_of(struct hm_slice slice)
{
    return (struct packetfs_bytes){.data = slice.data, .len = slice.len};
}

void packetfs_item_fill(struct hm_slice path, const struct packetfs_entry *entry,
                        struct packetfs_item *out)
{
    *out = (struct packetfs_item){
        .path = bytes_of(path),
        .type = entry->type,
        .mode = entry->mode,
        .uid = entry->uid,
        .gid = entry->gid,
        .user = bytes_of(entry->user),
        .group = bytes_of(entry->group),
        .mtime_s = entry->mtime_s,
        .mtime_ns = entry->mtime_ns,
        .bytes = entry->type == PACKETFS_FILE ? entry->content.bytes : 0,
        .hard_link = entry->hard_link,
        .device = entry->device,
        .target = bytes_of(entry->target),
    };
}

/* --- list --------------------------------------------------------------------------------------------------------------- */
struct listing {
    struct packetfs_objects objects;
    bool deep;
    int (*show)(void *ctx, struct hm_slice path, const struct packetfs_entry *entry);
    void *ctx;
    struct hm_buf path; /* of the folder at hand, with its '/' unless it is the top */
    struct hm_error *error;
};

struct listing_level {
    struct packetfs_folder_cursor *cursor;
    size_t path_len; /* of listing.path above it */
};

static int show_entry(struct listing *listing, const struct packetfs_entry *entry)
{
    size_t len = listing->path.len;

    if (hm_buf_append(&listing->path, entry->name.data, entry->name.len) != 0)
        return hm_fail(listing->error, HM_ENOMEM, "no memory for a path");
    int result = listing->show(listing->ctx, hm_buf_slice(&listing->path), entry);
    listing->path.len = len;
    return result;
}

/* Depth first with a stack of its own: nothing of the caller's grows with the depth of a tree. */
static int list_folder(struct listing *listing, const struct packetfs_id *root)
{
    struct listing_level *levels = hm_calloc(PACKETFS_FOLDER_DEPTH_MAX + 1, sizeof(*levels));
    struct packetfs_entry entry;
    size_t depth = 0;
    int result = 0;

    if (levels == NULL)
        return hm_fail(listing->error, HM_ENOMEM, "no memory to list folders");
    result = packetfs_folder_open(&listing->objects, root, &levels[0].cursor, listing->error);
    if (result == 0)
        depth = 1;
    while (result == 0 && depth > 0) {
        struct listing_level *level = &levels[depth - 1];
        result = packetfs_folder_next(level->cursor, &entry, listing->error);
        if (result == HM_ENOTFOUND) {
            packetfs_folder_close(level->cursor);
            listing->path.len = level->path_len;
            depth--;
            result = 0;
            continue;
        }
        if (result == 0)
            result = show_entry(listing, &entry);
        if (result != 0 || !listing->deep || entry.type != PACKETFS_FOLDER)
            continue;
        if (depth > PACKETFS_FOLDER_DEPTH_MAX) {
            result = hm_fail(listing->error, HM_ECORRUPT, "folders lie more than %d deep",
                             PACKETFS_FOLDER_DEPTH_MAX);
            continue;
        }
        levels[depth].path_len = listing->path.len;
        if (hm_buf_append(&listing->path, entry.name.data, entry.name.len) != 0 ||
            hm_buf_append(&listing->path, "/", 1) != 0) {
            result = hm_fail(listing->error, HM_ENOMEM, "no memory for a path");
            continue;
        }
        result = packetfs_folder_open(&listing->objects, &entry.folder, &levels[depth].cursor,
                                      listing->error);
        if (result == 0)
            depth++;
    }
    while (depth > 0)
        packetfs_folder_close(levels[--depth].cursor);
    hm_free(levels);
    return result;
}

int packetfs_look_tree(const struct packetfs_objects *objects, const struct packetfs_id *root,
                       struct hm_slice prefix, bool deep,
                       int (*show)(void *ctx, struct hm_slice path,
                                   const struct packetfs_entry *entry),
                       void *ctx, struct hm_error *error)
{
    struct listing listing = {
        .objects = *objects, .deep = deep, .show = show, .ctx = ctx, .error = error};
    int result = 0;

    if (prefix.len > 0 && hm_buf_append(&listing.path, prefix.data, prefix.len) != 0)
        result = hm_fail(error, HM_ENOMEM, "no memory for a path");
    if (result == 0)
        result = list_folder(&listing, root);
    hm_buf_release(&listing.path);
    return result;
}

struct list_call {
    int (*show)(void *ctx, const struct packetfs_item *item);
    void *ctx;
};

static int list_show(void *ctx, struct hm_slice path, const struct packetfs_entry *entry)
{
    const struct list_call *call = ctx;
    struct packetfs_item item;

    packetfs_item_fill(path, entry, &item);
    return call->show(call->ctx, &item);
}

int packetfs_list(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                  const char *path, bool deep,
                  int (*show)(void *ctx, const struct packetfs_item *item), void *ctx,
                  struct packetfs_error *error_out)
{
    struct hm_error *error = packetfs_error_own(error_out);
    struct packetfs_objects objects = packetfs_store_objects(volume->store);
    struct list_call call = {.show = show, .ctx = ctx};
    struct hm_slice trimmed = packetfs_path_trim(path);
    HM_CLEANUP(hm_buf) struct hm_buf keep = {0};
    HM_CLEANUP(hm_buf) struct hm_buf prefix = {0};
    struct packetfs_entry entry;

    if (trimmed.len == 0)
        return packetfs_look_tree(&objects, &snapshot->root, trimmed, deep, list_show, &call,
                                  error);
    int result = packetfs_tree_find(&objects, &snapshot->root, trimmed, &entry, &keep, error);
    if (result != 0)
        return result;
    if (entry.type != PACKETFS_FOLDER)
        return list_show(&call, trimmed, &entry);
    if (hm_buf_append(&prefix, trimmed.data, trimmed.len) != 0 ||
        hm_buf_append(&prefix, "/", 1) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a path");
    return packetfs_look_tree(&objects, &entry.folder, hm_buf_slice(&prefix), deep, list_show,
                              &call, error);
}

/* --- diff --------------------------------------------------------------------------------------------------------------- */
struct comparison {
    int (*show)(void *ctx, char change, const struct packetfs_item *before,
                const struct packetfs_item *after);
    void *ctx;
};

static int show_change(void *ctx, enum packetfs_change change, struct hm_slice path,
                       const struct packetfs_entry *before, const struct packetfs_entry *after)
{
    const struct comparison *comparison = ctx;
    struct packetfs_item old, new;

    if (before != NULL)
        packetfs_item_fill(path, before, &old);
    if (after != NULL)
        packetfs_item_fill(path, after, &new);
    return comparison->show(comparison->ctx, (char)change, before != NULL ? &old : NULL,
                            after != NULL ? &new : NULL);
}

int packetfs_diff(struct packetfs_volume *volume, const struct packetfs_snapshot *before,
                  const struct packetfs_snapshot *after,
                  int (*show)(void *ctx, char change, const struct packetfs_item *before,
                              const struct packetfs_item *after),
                  void *ctx, struct packetfs_error *error)
{
    struct packetfs_objects objects = packetfs_store_objects(volume->store);
    struct comparison comparison = {.show = show, .ctx = ctx};

    return packetfs_tree_diff(&objects, before != NULL ? &before->root : NULL,
                              after != NULL ? &after->root : NULL, show_change, &comparison,
                              packetfs_error_own(error));
}

/* --- one entry ------------------------------------------------------------------------------------------------------------ */
int packetfs_xattrs(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                    const char *path,
                    int (*show)(void *ctx, struct packetfs_bytes name, struct packetfs_bytes value),
                    void *ctx, struct packetfs_error *error_out)
{
    struct hm_error *error = packetfs_error_own(error_out);
    struct packetfs_objects objects = packetfs_store_objects(volume->store);
    struct hm_slice trimmed = packetfs_path_trim(path);
    HM_CLEANUP(hm_buf) struct hm_buf keep = {0};
    struct packetfs_entry entry;
    int result = 0;

    if (trimmed.len == 0)
        return 0; /* the top folder is no entry */
    result = packetfs_tree_find(&objects, &snapshot->root, trimmed, &entry, &keep, error);
    for (size_t i = 0; result == 0 && i < entry.xattr_count; i++)
        result = show(ctx, bytes_of(entry.xattrs[i].name), bytes_of(entry.xattrs[i].value));
    return result;
}
