/* A hostile store: the input is the bytes of a list (eight), then nodes, each behind a length of two bytes; an id's first byte says which node it gets,
 * whatever the rest. The first is the root of a folder, the second that of a list. Cursors must end, with names in order and
 * offsets without gaps. */
#include <stdlib.h>

#include "tree/packetfs_tree.h"

#define NODES_MAX 64
#define STEPS_MAX 20000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct shelf {
    struct hm_slice nodes[NODES_MAX];
    size_t count, reads;
};

static int shelf_get(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id,
                     struct hm_buf *out, struct hm_error *error)
{
    struct shelf *shelf = ctx;

    (void)kind;
    if (++shelf->reads > STEPS_MAX)
        return hm_fail(error, HM_EIO, "enough");
    if (id->bytes[0] >= shelf->count)
        return hm_fail(error, HM_ENOTFOUND, "no such node");
    return hm_buf_append(out, shelf->nodes[id->bytes[0]].data, shelf->nodes[id->bytes[0]].len);
}

static void walk_folder(const struct packetfs_objects *objects, const struct packetfs_id *root)
{
    struct packetfs_folder_cursor *cursor = NULL;
    struct packetfs_entry entry;
    HM_CLEANUP(hm_buf) struct hm_buf before = {0};
    HM_CLEANUP(hm_buf) struct hm_buf found = {0};
    size_t steps = 0;

    if (packetfs_folder_open(objects, root, &cursor, NULL) != 0)
        return;
    while (steps++ < STEPS_MAX && packetfs_folder_next(cursor, &entry, NULL) == 0) {
        if (before.len > 0 && hm_slice_compare(hm_buf_slice(&before), entry.name) >= 0)
            abort();
        hm_buf_clear(&before);
        if (hm_buf_append(&before, entry.name.data, entry.name.len) != 0)
            abort();
    }
    if (before.len > 0) {
        struct packetfs_entry again;
        (void)packetfs_tree_find(objects, root, hm_buf_slice(&before), &again, &found, NULL);
        (void)packetfs_folder_seek(cursor, hm_slice_of(before.data, before.len / 2), NULL);
        (void)packetfs_folder_next(cursor, &entry, NULL);
    }
    packetfs_folder_close(cursor);
}

static void walk_list(const struct packetfs_objects *objects,
                      const struct packetfs_content *content)
{
    struct packetfs_list_cursor *cursor = NULL;
    struct packetfs_piece piece;
    uint64_t offset = 0;
    size_t steps = 0;
    int rc = packetfs_list_open(objects, content, &cursor, NULL);

    while (rc == 0 && steps++ < STEPS_MAX) {
        rc = packetfs_list_next(cursor, &piece, NULL);
        if (rc == 0 && (piece.offset != offset || piece.len == 0))
            abort();
        if (rc == 0)
            offset += piece.len;
        if (offset > content->bytes || (rc == HM_ENOTFOUND && offset != content->bytes))
            abort();
    }
    if (packetfs_list_seek(cursor, content->bytes / 2, NULL) == 0 &&
        packetfs_list_next(cursor, &piece, NULL) == 0 &&
        (piece.offset > content->bytes / 2 || content->bytes / 2 - piece.offset >= piece.len))
        abort();
    packetfs_list_close(cursor);
}

static int see_change(void *ctx, enum packetfs_change change, struct hm_slice path,
                      const struct packetfs_entry *before, const struct packetfs_entry *after)
{
    size_t *changes = ctx;

    (void)change;
    if (path.len == 0 || (before == NULL && after == NULL))
        abort();
    return ++*changes > STEPS_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shelf shelf = {0};
    const struct packetfs_objects objects = {.ctx = &shelf, .get = shelf_get};
    struct packetfs_id ids[3] = {{{0}}, {{1}}, {{2}}};
    struct packetfs_content content = {PACKETFS_CONTENT_LIST, {{1}}, 0};
    size_t changes = 0;
    size_t at = 8;

    if (size < 8)
        return 0;
    content.bytes = hm_get_be64(data) & INT64_MAX;
    while (shelf.count < NODES_MAX && at + 2 <= size) {
        size_t len = (size_t)data[at] << 8 | data[at + 1];
        at += 2;
        len = len < size - at ? len : size - at;
        shelf.nodes[shelf.count++] = hm_slice_of(data + at, len);
        at += len;
    }
    walk_folder(&objects, &ids[0]);
    walk_list(&objects, &content);
    shelf.reads = 0;
    (void)packetfs_tree_diff(&objects, &ids[0], &ids[2], see_change, &changes, NULL);
    return 0;
}
