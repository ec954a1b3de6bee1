/* A put whose files come one by one from somebody else: struct packetfs_builder of packetfs.h. Bytes are cut by
 * packetfs_put_cut.c like those of every put; entries wait in a tree (packetfs_stream_tree.h) until they are folders. */
#include <stdatomic.h>
#include <stdlib.h>

#include "put/packetfs_put_session.h"
#include "put/packetfs_stream_tree.h"
#include "tree/packetfs_node.h"
#include "tree/packetfs_node_entry.h"

struct packetfs_builder {
    struct packetfs_put_session *session;
    struct packetfs_stream_tree tree;
    /* The file that is being written: its entry, packed, is set when its bytes are known. */
    bool in_file;
    struct packetfs_put_cut cut;
    uint64_t hole; /* that came last and is not noted yet */
    struct hm_buf file_path, file_entry;
    struct hm_buf path, existing, xattrs;
    struct packetfs_xattr *sorted;
    int failed;
};

/* After a failure nothing goes on, so that no half of it becomes a snapshot. */
static int outcome(struct packetfs_builder *builder, int result)
{
    if (result != 0 && builder->failed == 0)
        builder->failed = result;
    return result;
}

static int usable(const struct packetfs_builder *builder, struct hm_error *error)
{
    return builder->failed == 0
               ? 0
               : hm_fail(error, builder->failed, "something failed before: no snapshot is made");
}

int packetfs_builder_open(struct packetfs_volume *volume,
                          const struct packetfs_builder_options *options,
                          const struct packetfs_watch *watch, struct packetfs_builder **out,
                          struct packetfs_error *error_out)
{
    struct hm_error *error = packetfs_error_own(error_out);
    size_t memory = options->memory_max_bytes != 0 ? options->memory_max_bytes
                                                   : PACKETFS_BUILDER_MEMORY_BYTES;

    if (options->label == NULL)
        return hm_fail(error, HM_EINVAL, "a snapshot made of entries needs a label");
    if (memory > SIZE_MAX / PACKETFS_STREAM_MEMORY_FACTOR / 2)
        return hm_fail(error, HM_EINVAL, "no machine has that much memory");
    struct packetfs_builder *builder = hm_calloc(1, sizeof(*builder));
    if (builder == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to put files");
    int result = packetfs_put_session_new(volume, options->label, options->label, options->threads,
                                          watch, &builder->session, error);
    if (result == 0) {
        struct packetfs_put *put = &builder->session->put;
        result = packetfs_stream_tree_init(&builder->tree, &put->objects, put->node_key, memory,
                                           put->random, error);
    }
    if (result != 0) {
        packetfs_builder_close(builder);
        return result;
    }
    *out = builder;
    return 0;
}

/* --- the file at hand ------------------------------------------------------------------------------------------------------------ */
static int hole_note(struct packetfs_builder *builder, struct hm_error *error)
{
    uint64_t len = builder->hole;

    builder->hole = 0;
    return len > 0 ? packetfs_put_cut_hole(&builder->cut, len, error) : 0;
}

static void file_drop(struct packetfs_builder *builder)
{
    if (builder->in_file)
        packetfs_put_cut_release(&builder->cut);
    builder->in_file = false;
    builder->hole = 0;
}

/* Ends the file that is being written, if any. */
static int file_end(struct packetfs_builder *builder, struct hm_error *error)
{
    struct hm_slice packed = hm_buf_slice(&builder->file_entry);
    struct packetfs_entry entry;

    if (!builder->in_file)
        return 0;
    int result = packetfs_put_cut_filled(&builder->cut, 0, true, error);
    if (result == 0)
        result = hole_note(builder, error);
    if (result == 0)
        result = packetfs_entry_take(&packed, &builder->xattrs, &entry, error);
    if (result == 0)
        result = packetfs_put_cut_finish(&builder->cut, &entry.content, error);
    if (result == 0)
        result = packetfs_stream_tree_set(&builder->tree, hm_buf_slice(&builder->file_path), &entry,
                                          error);
    file_drop(builder);
    if (result == 0)
        atomic_fetch_add_explicit(&builder->session->put.report.files_done, 1,
                                  memory_order_relaxed);
    return result;
}

static int bytes_add(struct packetfs_builder *builder, const uint8_t *data, size_t len,
                     struct hm_error *error)
{
    int result = 0;

    while (len > 0 && result == 0) {
        uint8_t *at = NULL;
        size_t room = 0;
        result = packetfs_put_cut_room(&builder->cut, &at, &room, error);
        if (result != 0)
            break;
        if (room > len)
            room = len;
        memcpy(at, data, room);
        data += room;
        len -= room;
        result = packetfs_put_cut_filled(&builder->cut, room, false, error);
    }
    return result;
}

static int room_left(const struct packetfs_builder *builder, uint64_t len, struct hm_error *error)
{
    uint64_t have = builder->cut.bytes + builder->cut.have + builder->hole;

    /* What is with other threads is not counted yet: less than 1 GiB. */
    return len <= (uint64_t)PACKETFS_LEN_MAX / 2 && have <= (uint64_t)PACKETFS_LEN_MAX / 2
               ? 0
               : hm_fail(error, HM_ELIMIT, "no file is that long");
}

int packetfs_builder_write(struct packetfs_builder *builder, const void *data, size_t len,
                           struct packetfs_error *error_out)
{
    struct hm_error *error = packetfs_error_own(error_out);
    int result = usable(builder, error);

    if (result == 0 && !builder->in_file)
        result = hm_fail(error, HM_EINVAL, "bytes belong to a file, and the last entry is none");
    if (result == 0)
        result = room_left(builder, len, error);
    if (result != 0 || len == 0)
        return outcome(builder, result);
    if (builder->hole > 0)
        result = hole_note(builder, error);
    if (result == 0)
        result = bytes_add(builder, data, len, error);
    atomic_fetch_add_explicit(&builder->session->put.bytes_read, len, memory_order_relaxed);
    if (result == 0)
        result = packetfs_put_goes_on(&builder->session->put, error);
    return outcome(builder, result);
}

int packetfs_builder_hole(struct packetfs_builder *builder, uint64_t len,
                          struct packetfs_error *error_out)
{
    struct hm_error *error = packetfs_error_own(error_out);
    int result = usable(builder, error);

    if (result == 0 && !builder->in_file)
        result = hm_fail(error, HM_EINVAL, "a hole belongs to a file, and the last entry is none");
    if (result == 0)
        result = room_left(builder, len, error);
    if (result == 0 && len > 0 && builder->hole == 0)
        result = packetfs_put_cut_filled(&builder->cut, 0, true, error); /* a stretch ends */
    if (result == 0)
        builder->hole += len;
    return outcome(builder, result);
}

/* --- entries ------------------------------------------------------------------------------------------------------------------------ */
static struct hm_slice slice_of(struct packetfs_bytes bytes)
{
    return hm_slice_of(bytes.data, bytes.len);
}

static int xattr_order(const void *a, const void *b)
{
    return hm_slice_compare(((const struct packetfs_xattr *)a)->name,
                            ((const struct packetfs_xattr *)b)->name);
}

/* Borrowed from attributes until the next entry. */
static int xattrs_sort(struct packetfs_builder *builder,
                       const struct packetfs_attribute *attributes, size_t count,
                       struct packetfs_entry *entry, struct hm_error *error)
{
    hm_free(builder->sorted);
    builder->sorted = NULL;
    if (count == 0)
        return 0;
    if (count > PACKETFS_XATTRS_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "more than %d extended attributes",
                       PACKETFS_XATTRS_MAX_BYTES);
    struct packetfs_xattr *sorted = hm_calloc(count, sizeof(*sorted));
    if (sorted == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for extended attributes");
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct packetfs_xattr){.name = slice_of(attributes[i].name),
                                            .value = slice_of(attributes[i].value)};
    qsort(sorted, count, sizeof(*sorted), xattr_order);
    builder->sorted = sorted;
    entry->xattrs = sorted;
    entry->xattr_count = count;
    return 0;
}

static struct hm_slice last_name(struct hm_slice path)
{
    size_t at = path.len;

    while (at > 0 && path.data[at - 1] != '/')
        at--;
    return hm_slice_of(path.data + at, path.len - at);
}

static int file_begin(struct packetfs_builder *builder, struct hm_slice path,
                      const struct packetfs_entry *entry, struct hm_error *error)
{
    /* Now, rather than when all its bytes are stored. */
    int result = packetfs_stream_tree_ready(&builder->tree, path, entry, error);

    hm_buf_clear(&builder->file_path);
    hm_buf_clear(&builder->file_entry);
    if (result == 0)
        result = packetfs_node_entry(&builder->file_entry, entry, error);
    if (result == 0 && hm_buf_append(&builder->file_path, path.data, path.len) != 0)
        result = hm_fail(error, HM_ENOMEM, "no memory for a path");
    if (result != 0)
        return result;
    builder->cut = (struct packetfs_put_cut){.put = &builder->session->put};
    builder->in_file = true;
    return 0;
}

static int entry_take(struct packetfs_builder *builder, const struct packetfs_item *item,
                      const struct packetfs_attribute *attributes, size_t count,
                      struct hm_error *error)
{
    struct packetfs_entry entry = {.type = item->type,
                                   .mode = item->mode,
                                   .uid = item->uid,
                                   .gid = item->gid,
                                   .user = slice_of(item->user),
                                   .group = slice_of(item->group),
                                   .mtime_s = item->mtime_s,
                                   .mtime_ns = item->mtime_ns,
                                   .hard_link = item->hard_link,
                                   .device = item->device,
                                   .target = slice_of(item->target)};
    int result = packetfs_stream_path(slice_of(item->path), &builder->path, error);
    struct hm_slice path = hm_buf_slice(&builder->path);

    if (result != 0)
        return result;
    if (path.len == 0)
        return item->type == PACKETFS_FOLDER
                   ? 0
                   : hm_fail(error, HM_EINVAL, "the top of a snapshot is a folder");
    entry.name = last_name(path);
    result = xattrs_sort(builder, attributes, count, &entry, error);
    if (result != 0)
        return result;
    if (entry.type == PACKETFS_FILE)
        return file_begin(builder, path, &entry, error);
    result = packetfs_stream_tree_set(&builder->tree, path, &entry, error);
    if (result == 0 && entry.type != PACKETFS_FOLDER)
        atomic_fetch_add_explicit(&builder->session->put.report.files_done, 1,
                                  memory_order_relaxed);
    return result;
}

int packetfs_builder_entry(struct packetfs_builder *builder, const struct packetfs_item *item,
                           const struct packetfs_attribute *attributes, size_t count,
                           struct packetfs_error *error_out)
{
    struct hm_error *error = packetfs_error_own(error_out);
    int result = usable(builder, error);

    if (result == 0)
        result = file_end(builder, error);
    if (result == 0)
        result = entry_take(builder, item, attributes, count, error);
    if (result == 0)
        result = packetfs_put_goes_on(&builder->session->put, error);
    return outcome(builder, result);
}

int packetfs_builder_link(struct packetfs_builder *builder, struct packetfs_bytes path,
                          struct packetfs_bytes existing, struct packetfs_error *error_out)
{
    struct hm_error *error = packetfs_error_own(error_out);
    int result = usable(builder, error);

    if (result == 0)
        result = file_end(builder, error);
    if (result == 0)
        result = packetfs_stream_path(slice_of(path), &builder->path, error);
    if (result == 0)
        result = packetfs_stream_path(slice_of(existing), &builder->existing, error);
    if (result == 0 && (builder->path.len == 0 || builder->existing.len == 0))
        result = hm_fail(error, HM_EINVAL, "the top of a snapshot has no other names");
    if (result == 0)
        result = packetfs_stream_tree_link(&builder->tree, hm_buf_slice(&builder->path),
                                           hm_buf_slice(&builder->existing), error);
    if (result == 0)
        result = packetfs_put_goes_on(&builder->session->put, error);
    return outcome(builder, result);
}

/* --- the end ---------------------------------------------------------------------------------------------------------------------------- */
int packetfs_builder_finish(struct packetfs_builder *builder,
                            struct packetfs_put_result *result_out,
                            struct packetfs_error *error_out)
{
    struct hm_error *error = packetfs_error_own(error_out);
    struct packetfs_put *put = &builder->session->put;
    int result = usable(builder, error);

    if (result == 0)
        result = file_end(builder, error);
    if (result == 0)
        result = packetfs_stream_tree_finish(&builder->tree, &put->root, error);
    if (result == 0)
        result = packetfs_put_goes_on(&builder->session->put, error);
    put->files = builder->tree.files;
    put->folders = builder->tree.folders;
    put->bytes = builder->tree.bytes;
    if (result == 0)
        result = packetfs_put_session_finish(builder->session, error);
    if (result == 0)
        packetfs_put_session_result(builder->session, result_out);
    /* It is made once. */
    (void)outcome(builder, result != 0 ? result : HM_EINVAL);
    return result;
}

void packetfs_builder_close(struct packetfs_builder *builder)
{
    if (builder == NULL)
        return;
    file_drop(builder);
    packetfs_stream_tree_release(&builder->tree);
    packetfs_put_session_free(builder->session);
    hm_buf_release(&builder->file_path);
    hm_buf_release(&builder->file_entry);
    hm_buf_release(&builder->path);
    hm_buf_release(&builder->existing);
    hm_buf_release(&builder->xattrs);
    hm_free(builder->sorted);
    hm_free(builder);
}
