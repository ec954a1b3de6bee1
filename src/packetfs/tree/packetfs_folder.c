/* Folders: entries in the order of the bytes of their names. */
#include "tree/packetfs_tree_build.h"
#include "tree/packetfs_tree_walk.h"

#define FOLDER_ENTRY_WEIGHT \
    64 /* with its name what an entry takes, about; not its length, which may change with its file */

/* --- building --- */

struct packetfs_folder_builder {
    struct packetfs_build build; /* first: packetfs_build_new */
    struct hm_buf before; /* the last name added */
};

int packetfs_folder_new(const struct packetfs_objects *objects, const uint8_t node_key[32],
                        struct packetfs_folder_builder **out, struct hm_error *error)
{
    struct packetfs_folder_builder *folder = packetfs_build_new(sizeof(*folder), objects, node_key,
                                                                PACKETFS_NODE_FOLDER, error);

    if (folder == NULL)
        return HM_ENOMEM;
    *out = folder;
    return 0;
}

void packetfs_folder_free(struct packetfs_folder_builder *folder)
{
    if (folder != NULL)
        hm_buf_release(&folder->before);
    packetfs_build_free(folder);
}

int packetfs_folder_add(struct packetfs_folder_builder *folder, const struct packetfs_entry *entry,
                        struct hm_error *error)
{
    int rc;

    hm_buf_clear(&folder->build.item);
    rc = packetfs_node_entry(&folder->build.item, entry, error);
    if (rc != 0)
        return rc;
    if (folder->before.len > 0 && hm_slice_compare(hm_buf_slice(&folder->before), entry->name) >= 0)
        return hm_fail(error, HM_EINVAL,
                       "the entries of a folder come in the order of their names, each once");
    if (hm_buf_reserve(&folder->before, PACKETFS_NAME_MAX_BYTES) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a folder");
    rc = packetfs_build_add(&folder->build, hm_buf_slice(&folder->build.item), entry->name,
                            FOLDER_ENTRY_WEIGHT + entry->name.len, 0, error);
    if (rc != 0)
        return rc;
    hm_buf_clear(&folder->before);
    return hm_buf_append(&folder->before, entry->name.data, entry->name.len);
}

int packetfs_folder_finish(struct packetfs_folder_builder *folder, struct packetfs_id *root,
                           struct hm_error *error)
{
    return packetfs_build_finish(&folder->build, root, error);
}

/* --- reading --- */

struct packetfs_folder_cursor {
    struct packetfs_walk walk; /* first: packetfs_walk_cursor_new */
    bool started;
    bool given; /* the item in front was given and goes with the next call */
};

int packetfs_folder_open(const struct packetfs_objects *objects, const struct packetfs_id *root,
                         struct packetfs_folder_cursor **out, struct hm_error *error)
{
    struct packetfs_folder_cursor *cursor = packetfs_walk_cursor_new(
        sizeof(*cursor), objects, PACKETFS_NODE_FOLDER, root, 0, error);

    if (cursor == NULL)
        return HM_ENOMEM;
    *out = cursor;
    return 0;
}

void packetfs_folder_close(struct packetfs_folder_cursor *cursor)
{
    packetfs_walk_cursor_free(cursor);
}

static int folder_start(struct packetfs_folder_cursor *cursor, struct hm_error *error)
{
    int rc = packetfs_walk_start(&cursor->walk, error);

    cursor->started = rc == 0;
    cursor->given = false;
    return rc;
}

int packetfs_folder_seek(struct packetfs_folder_cursor *cursor, struct hm_slice name,
                         struct hm_error *error)
{
    const struct packetfs_walk_frame *front;
    int rc = folder_start(cursor, error);

    while (rc == 0 && (front = packetfs_walk_front(&cursor->walk)) != NULL) {
        if (hm_slice_compare(front->item.name, name) < 0)
            rc = packetfs_walk_past(&cursor->walk, error);
        else if (front->reader.level > 0)
            rc = packetfs_walk_into(&cursor->walk, error);
        else
            break;
    }
    return rc;
}

int packetfs_folder_next(struct packetfs_folder_cursor *cursor, struct packetfs_entry *out,
                         struct hm_error *error)
{
    int rc = 0;

    if (!cursor->started)
        rc = folder_start(cursor, error);
    else if (cursor->given && packetfs_walk_front(&cursor->walk) != NULL)
        rc = packetfs_walk_past(&cursor->walk, error);
    if (rc == 0) {
        cursor->given = false;
        rc = packetfs_walk_leaf(&cursor->walk, error);
    }
    if (rc != 0)
        return rc;
    *out = packetfs_walk_front(&cursor->walk)->item.entry;
    cursor->given = true;
    return 0;
}

/* --- paths --- */

/* The entry of this name in this folder, copied into buf. */
static int folder_entry(const struct packetfs_objects *objects, const struct packetfs_id *root,
                        struct hm_slice name, struct packetfs_entry *out, struct hm_buf *buf,
                        struct hm_error *error)
{
    struct packetfs_folder_cursor *cursor = NULL;
    struct packetfs_entry entry;
    int rc = packetfs_folder_open(objects, root, &cursor, error);

    if (rc == 0)
        rc = packetfs_folder_seek(cursor, name, error);
    if (rc == 0) {
        rc = packetfs_folder_next(cursor, &entry, error);
        if (rc == 0 && !hm_slice_equal(entry.name, name))
            rc = HM_ENOTFOUND;
    }
    if (rc == 0 && packetfs_entry_copy(&entry, out, buf) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for an entry");
    packetfs_folder_close(cursor);
    return rc;
}

static int no_such(struct hm_slice path, struct hm_error *error)
{
    return hm_fail(error, HM_ENOTFOUND, "there is no \"%.*s\" in this snapshot",
                   (int)(path.len < 300 ? path.len : 300),
                   path.data != NULL ? (const char *)path.data : "");
}

int packetfs_tree_find(const struct packetfs_objects *objects, const struct packetfs_id *root,
                       struct hm_slice path, struct packetfs_entry *out, struct hm_buf *buf,
                       struct hm_error *error)
{
    struct packetfs_entry entry = {.type = PACKETFS_FOLDER, .mode = 0755, .folder = *root};
    size_t at = 0;

    if (path.len == 0)
        hm_buf_clear(buf);
    while (at < path.len) {
        const uint8_t *slash = memchr(path.data + at, '/', path.len - at);
        size_t end = slash != NULL ? (size_t)(slash - path.data) : path.len;
        if (entry.type != PACKETFS_FOLDER || end == at)
            return no_such(path, error);
        struct packetfs_id folder = entry.folder;
        int rc = folder_entry(objects, &folder, hm_slice_of(path.data + at, end - at), &entry, buf,
                              error);
        if (rc != 0)
            return rc == HM_ENOTFOUND ? no_such(path, error) : rc;
        at = end + 1;
        if (at == path.len) /* a '/' at the end */
            return no_such(path, error);
    }
    *out = entry;
    return 0;
}
