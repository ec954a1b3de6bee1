/* Random access to one file of a snapshot, for a mount. */
#include "get/packetfs_look.h"

struct packetfs_file {
    struct packetfs_objects objects;
    struct packetfs_content content;
    struct packetfs_list_cursor *cursor;
    struct packetfs_piece piece; /* what bytes holds, or a hole */
    bool loaded;
    uint64_t next; /* where the cursor stands */
    struct hm_buf bytes;
    struct packetfs_list_cursor *extents; /* NULL: never asked for */
    uint64_t extents_hole,
        extents_next; /* the last hole seen, and its end, where this cursor stands */
};

int packetfs_look_file(const struct packetfs_objects *objects,
                       const struct packetfs_content *content, struct packetfs_file **out,
                       struct hm_error *error)
{
    struct packetfs_file *file = hm_calloc(1, sizeof(*file));

    if (file == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to open a file");
    file->objects = *objects;
    file->content = *content;
    int result = packetfs_list_open(&file->objects, &file->content, &file->cursor, error);
    if (result != 0) {
        hm_free(file);
        return result;
    }
    *out = file;
    return 0;
}

int packetfs_file_open(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                       const char *path, struct packetfs_file **out,
                       struct packetfs_error *error_out)
{
    struct hm_error *error = packetfs_error_own(error_out);
    struct packetfs_objects objects = packetfs_store_objects(volume->store);
    HM_CLEANUP(hm_buf) struct hm_buf keep = {0};
    struct packetfs_entry entry;
    int result = packetfs_look_find_file(&objects, &snapshot->root, path, &entry, &keep, error);

    if (result != 0)
        return result;
    return packetfs_look_file(&objects, &entry.content, out, error);
}

/* Makes the piece that holds offset the one at hand. */
static int piece_load(struct packetfs_file *file, uint64_t offset, struct hm_error *error)
{
    struct packetfs_piece piece;
    int result = 0;

    if (file->loaded && offset >= file->piece.offset &&
        offset - file->piece.offset < file->piece.len)
        return 0;
    file->loaded = false;
    if (offset != file->next)
        result = packetfs_list_seek(file->cursor, offset, error);
    if (result == 0)
        result = packetfs_list_next(file->cursor, &piece, error);
    if (result == HM_ENOTFOUND ||
        (result == 0 && (offset < piece.offset || offset - piece.offset >= piece.len)))
        return hm_fail(error, HM_ECORRUPT, "the file's list does not reach byte %llu",
                       (unsigned long long)offset);
    if (result != 0)
        return result;
    file->next = piece.offset + piece.len;
    hm_buf_clear(&file->bytes);
    if (!piece.hole) {
        result = file->objects.get(file->objects.ctx, PACKETFS_PATTERN, &piece.id, &file->bytes,
                                   error);
        if (result == HM_ENOTFOUND || (result == 0 && file->bytes.len != piece.len))
            result = hm_fail(error, HM_ECORRUPT,
                             "the piece at byte %llu is missing or not as long as the list says",
                             (unsigned long long)piece.offset);
        if (result != 0)
            return result;
    }
    file->piece = piece;
    file->loaded = true;
    return 0;
}

int64_t packetfs_file_read(struct packetfs_file *file, uint64_t offset, void *out, size_t len,
                           struct packetfs_error *error_out)
{
    struct hm_error *error = packetfs_error_own(error_out);
    uint8_t *to = out;
    size_t done = 0;

    if (offset >= file->content.bytes)
        return 0;
    if (len > file->content.bytes - offset)
        len = (size_t)(file->content.bytes - offset);
    while (done < len) {
        int result = piece_load(file, offset + done, error);
        if (result != 0)
            return result;
        uint64_t within = offset + done - file->piece.offset;
        size_t n = len - done;
        if (n > file->piece.len - within)
            n = (size_t)(file->piece.len - within);
        if (file->piece.hole)
            memset(to + done, 0, n);
        else
            memcpy(to + done, file->bytes.data + within, n);
        done += n;
    }
    return (int64_t)done;
}

/* Opens or moves the cursor of extents so that its next piece holds offset, or lies behind a hole that does. */
static int extents_seek(struct packetfs_file *file, uint64_t offset, struct hm_error *error)
{
    int result = 0;

    if (file->extents != NULL && offset >= file->extents_hole && offset <= file->extents_next)
        return 0;
    bool fresh = file->extents == NULL;
    if (fresh)
        result = packetfs_list_open(&file->objects, &file->content, &file->extents, error);
    if (result == 0 && (!fresh || offset > 0))
        result = packetfs_list_seek(file->extents, offset, error);
    return result;
}

int packetfs_file_extent(struct packetfs_file *file, uint64_t offset, uint64_t *begin_out,
                         uint64_t *len_out, struct packetfs_error *error_out)
{
    struct hm_error *error = packetfs_error_own(error_out);
    struct packetfs_piece piece = {.hole = true};
    uint64_t begin = file->content.bytes, end = begin;
    bool found = false;
    int result = offset < begin ? extents_seek(file, offset, error) : HM_ENOTFOUND;

    while (result == 0) {
        result = packetfs_list_next(file->extents, &piece, error);
        if (result == 0 && !piece.hole && !found) {
            begin = piece.offset > offset ? piece.offset : offset;
            found = true;
        }
        if (result == 0 && piece.hole && found)
            break;
        if (result == 0 && found)
            end = piece.offset + piece.len;
    }
    if (result != 0 && result != HM_ENOTFOUND)
        return result;
    file->extents_hole = result == 0 ? piece.offset : file->content.bytes;
    file->extents_next = result == 0 ? piece.offset + piece.len : file->content.bytes;
    *begin_out = found ? begin : file->content.bytes;
    *len_out = found ? end - begin : 0;
    return 0;
}

void packetfs_file_close(struct packetfs_file *file)
{
    if (file == NULL)
        return;
    packetfs_list_close(file->extents);
    packetfs_list_close(file->cursor);
    hm_buf_release(&file->bytes);
    hm_free(file);
}
