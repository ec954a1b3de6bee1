/* A tree with everything that is to know of its entries, for who takes it elsewhere. */
#include "get/packetfs_look.h"

struct walk {
    struct packetfs_objects objects;
    int (*show)(void *ctx, const struct packetfs_item *item,
                const struct packetfs_attribute *attributes, size_t count,
                struct packetfs_file *file);
    void *ctx;
    struct packetfs_attribute *attributes;
    size_t capacity;
    struct hm_error *error;
};

static int attributes_fill(struct walk *walk, const struct packetfs_entry *entry)
{
    if (entry->xattr_count > walk->capacity) {
        struct packetfs_attribute *grown = hm_realloc(walk->attributes,
                                                      entry->xattr_count * sizeof(*grown));
        if (grown == NULL)
            return hm_fail(walk->error, HM_ENOMEM, "no memory for extended attributes");
        walk->attributes = grown;
        walk->capacity = entry->xattr_count;
    }
    for (size_t i = 0; i < entry->xattr_count; i++) {
        const struct packetfs_xattr *from = &entry->xattrs[i];
        walk->attributes[i] = (struct packetfs_attribute){
            .name = {.data = from->name.data, .len = from->name.len},
            .value = {.data = from->value.data, .len = from->value.len}};
    }
    return 0;
}

static int walk_show(void *ctx, struct hm_slice path, const struct packetfs_entry *entry)
{
    struct walk *walk = ctx;
    struct packetfs_file *file = NULL;
    struct packetfs_item item;
    int result = attributes_fill(walk, entry);

    if (result == 0 && entry->type == PACKETFS_FILE)
        result = packetfs_look_file(&walk->objects, &entry->content, &file, walk->error);
    if (result != 0)
        return result;
    packetfs_item_fill(path, entry, &item);
    result = walk->show(walk->ctx, &item, walk->attributes, entry->xattr_count, file);
    packetfs_file_close(file);
    return result;
}

int packetfs_walk(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                  const char *path,
                  int (*show)(void *ctx, const struct packetfs_item *item,
                              const struct packetfs_attribute *attributes, size_t count,
                              struct packetfs_file *file),
                  void *ctx, struct packetfs_error *error_out)
{
    struct walk walk = {.objects = packetfs_store_objects(volume->store),
                        .show = show,
                        .ctx = ctx,
                        .error = packetfs_error_own(error_out)};
    struct hm_slice trimmed = packetfs_path_trim(path);
    HM_CLEANUP(hm_buf) struct hm_buf keep = {0};
    HM_CLEANUP(hm_buf) struct hm_buf prefix = {0};
    struct packetfs_entry entry = {.type = PACKETFS_FOLDER, .folder = snapshot->root};
    int result = 0;

    if (trimmed.len > 0) {
        result = packetfs_tree_find(&walk.objects, &snapshot->root, trimmed, &entry, &keep,
                                    walk.error);
        if (result == 0)
            result = walk_show(&walk, trimmed, &entry);
        if (result == 0 && (hm_buf_append(&prefix, trimmed.data, trimmed.len) != 0 ||
                            hm_buf_append(&prefix, "/", 1) != 0))
            result = hm_fail(walk.error, HM_ENOMEM, "no memory for a path");
    }
    if (result == 0 && entry.type == PACKETFS_FOLDER)
        result = packetfs_look_tree(&walk.objects, &entry.folder, hm_buf_slice(&prefix), true,
                                    walk_show, &walk, walk.error);
    hm_free(walk.attributes);
    return result;
}
