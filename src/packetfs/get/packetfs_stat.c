#include "get/packetfs_look.h"

int packetfs_stat(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                  const char *path, int (*show)(void *ctx, const struct packetfs_item *item),
                  void *ctx, struct packetfs_error *error)
{
    struct packetfs_objects objects = packetfs_store_objects(volume->store);
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
    struct hm_slice trimmed = packetfs_path_trim(path);
    struct packetfs_entry entry;
    struct packetfs_item item;
    int rc = packetfs_tree_find(&objects, &snapshot->root, trimmed, &entry, &buf,
                                packetfs_error_own(error));

    if (rc != 0)
        return rc;
    packetfs_item_fill(trimmed, &entry, &item);
    return show(ctx, &item);
}

int packetfs_look_find_file(const struct packetfs_objects *objects, const struct packetfs_id *root,
                            const char *path, struct packetfs_entry *out, struct hm_buf *keep,
                            struct hm_error *error)
{
    struct packetfs_entry entry;
    int rc = packetfs_tree_find(objects, root, packetfs_path_trim(path), &entry, keep, error);

    if (rc == 0 && entry.type != PACKETFS_FILE)
        rc = hm_fail(error, HM_EINVAL, "%s is not a file", path);
    if (rc == 0)
        *out = entry;
    return rc;
}

/* Through the list from offset on, to the first piece of the kind asked for. */
static int extent_find(const struct packetfs_objects *objects,
                       const struct packetfs_content *content, uint64_t offset, bool hole,
                       uint64_t *out, struct hm_error *error)
{
    struct packetfs_list_cursor *cursor = NULL;
    struct packetfs_piece piece;
    int rc = packetfs_list_open(objects, content, &cursor, error);

    if (rc == 0)
        rc = packetfs_list_seek(cursor, offset, error);
    while (rc == 0) {
        rc = packetfs_list_next(cursor, &piece, error);
        if (rc == 0 && piece.hole == hole) {
            *out = piece.offset > offset ? piece.offset : offset;
            break;
        }
    }
    packetfs_list_close(cursor);
    if (rc == HM_ENOTFOUND && hole) {
        *out = content->bytes;
        return 0;
    }
    return rc == HM_ENOTFOUND ? hm_fail(error, rc, "there is no data behind that") : rc;
}

int packetfs_extent(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                    const char *path, uint64_t offset, bool hole, uint64_t *out,
                    struct packetfs_error *error)
{
    struct hm_error *own = packetfs_error_own(error);
    struct packetfs_objects objects = packetfs_store_objects(volume->store);
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
    struct packetfs_entry entry;
    int rc = packetfs_look_find_file(&objects, &snapshot->root, path, &entry, &buf, own);

    if (rc != 0)
        return rc;
    if (offset >= entry.content.bytes)
        return hm_fail(own, HM_ENOTFOUND, "%s ends before that", path);
    return extent_find(&objects, &entry.content, offset, hole, out, own);
}
