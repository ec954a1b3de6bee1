/* Nodes as bytes: heads, lists, branches. Entries of folders are in packetfs_node_entry.c. */
#include "tree/packetfs_node.h"
#include "packetfs_varint.h"
#include "tree/packetfs_node_entry.h"

/* --- writing --- */

int packetfs_node_head(struct hm_buf *out, enum packetfs_node_what what, unsigned level)
{
    const uint8_t head[PACKETFS_NODE_HEAD_BYTES] = {PACKETFS_NODE_VERSION, (uint8_t)what,
                                                    (uint8_t)level};

    return hm_buf_append(out, head, sizeof(head));
}

static int append_id(struct hm_buf *out, const struct packetfs_id *id)
{
    return hm_buf_append(out, id->bytes, PACKETFS_ID_BYTES);
}

int packetfs_node_piece(struct hm_buf *out, const struct packetfs_id *id, uint64_t len)
{
    int rc = packetfs_varint_append(out, len << 1 | (id == NULL));

    return rc != 0 || id == NULL ? rc : append_id(out, id);
}

int packetfs_node_list_child(struct hm_buf *out, const struct packetfs_id *id, uint64_t len)
{
    int rc = packetfs_varint_append(out, len);

    return rc != 0 ? rc : append_id(out, id);
}

int packetfs_node_folder_child(struct hm_buf *out, struct hm_slice last,
                               const struct packetfs_id *id)
{
    int rc = packetfs_varint_append(out, last.len);

    if (rc == 0)
        rc = hm_buf_append(out, last.data, last.len);
    return rc != 0 ? rc : append_id(out, id);
}

/* --- reading --- */

int packetfs_node_begin(struct hm_slice node, struct hm_buf *xattrs,
                        struct packetfs_node_reader *out, struct hm_error *error)
{
    if (node.len < PACKETFS_NODE_HEAD_BYTES)
        return hm_fail(error, HM_ECORRUPT, "a node of %zu bytes is cut short", node.len);
    if (node.len > PACKETFS_NODE_MAX_BYTES)
        return hm_fail(error, HM_ECORRUPT, "a node has %zu bytes; %u are the most", node.len,
                       PACKETFS_NODE_MAX_BYTES);
    if (node.data[0] != PACKETFS_NODE_VERSION)
        return hm_fail(error, HM_ECORRUPT, "a node is of version %u; this program knows %u",
                       node.data[0], PACKETFS_NODE_VERSION);
    if (node.data[1] != PACKETFS_NODE_LIST && node.data[1] != PACKETFS_NODE_FOLDER)
        return hm_fail(error, HM_ECORRUPT, "a node is neither of a list nor of a folder (%u)",
                       node.data[1]);
    if (node.data[2] >= PACKETFS_TREE_DEPTH_MAX)
        return hm_fail(error, HM_ECORRUPT, "a node says it is at level %u; the highest is %u",
                       node.data[2], PACKETFS_TREE_DEPTH_MAX - 1);
    *out = (struct packetfs_node_reader){
        .what = node.data[1] == PACKETFS_NODE_LIST ? PACKETFS_NODE_LIST : PACKETFS_NODE_FOLDER,
        .level = node.data[2],
        .rest = {node.data + PACKETFS_NODE_HEAD_BYTES, node.len - PACKETFS_NODE_HEAD_BYTES},
        .xattrs = xattrs,
    };
    return 0;
}

static bool take_id(struct hm_slice *in, struct packetfs_id *id)
{
    if (in->len < PACKETFS_ID_BYTES)
        return false;
    memcpy(id->bytes, in->data, PACKETFS_ID_BYTES);
    *in = hm_slice_of(in->data + PACKETFS_ID_BYTES, in->len - PACKETFS_ID_BYTES);
    return true;
}

static int read_piece(struct packetfs_node_reader *reader, struct packetfs_node_item *item,
                      struct hm_error *error)
{
    uint64_t number;

    if (!packetfs_varint_take(&reader->rest, &number))
        return hm_fail(error, HM_ECORRUPT, "a list's piece has no proper length");
    item->hole = (number & 1) != 0;
    item->len = number >> 1;
    if (item->len == 0)
        return hm_fail(error, HM_ECORRUPT, "a list has a piece of no bytes");
    if (item->hole && reader->after_hole)
        return hm_fail(error, HM_ECORRUPT, "a list has two holes in a row, which are one");
    if (!item->hole && item->len > PACKETFS_OBJECT_MAX_BYTES)
        return hm_fail(error, HM_ECORRUPT, "a list has a pattern of %llu bytes; %zu are the most",
                       (unsigned long long)item->len, PACKETFS_OBJECT_MAX_BYTES);
    if (!item->hole && !take_id(&reader->rest, &item->id))
        return hm_fail(error, HM_ECORRUPT, "a list ends in the middle of an id");
    reader->after_hole = item->hole;
    return 0;
}

static int read_list_child(struct packetfs_node_reader *reader, struct packetfs_node_item *item,
                           struct hm_error *error)
{
    if (!packetfs_varint_take(&reader->rest, &item->len) || item->len == 0)
        return hm_fail(error, HM_ECORRUPT, "a list's branch has no proper length");
    if (!take_id(&reader->rest, &item->id))
        return hm_fail(error, HM_ECORRUPT, "a list's branch ends in the middle of an id");
    return 0;
}

static int read_folder_child(struct packetfs_node_reader *reader, struct packetfs_node_item *item,
                             struct hm_error *error)
{
    int rc = packetfs_entry_take_name(&reader->rest, &item->name, error);

    if (rc == 0 && !take_id(&reader->rest, &item->id))
        rc = hm_fail(error, HM_ECORRUPT, "a folder's branch ends in the middle of an id");
    return rc;
}

static int read_entry(struct packetfs_node_reader *reader, struct packetfs_node_item *item,
                      struct hm_error *error)
{
    int rc = packetfs_entry_take(&reader->rest, reader->xattrs, &item->entry, error);

    item->name = item->entry.name;
    return rc;
}

int packetfs_node_next(struct packetfs_node_reader *reader, struct packetfs_node_item *out,
                       struct hm_error *error)
{
    struct packetfs_node_item item = {0};
    int rc;

    if (reader->rest.len == 0)
        return HM_ENOTFOUND;
    if (reader->what == PACKETFS_NODE_LIST) {
        rc = reader->level > 0 ? read_list_child(reader, &item, error)
                               : read_piece(reader, &item, error);
    } else {
        rc = reader->level > 0 ? read_folder_child(reader, &item, error)
                               : read_entry(reader, &item, error);
        if (rc == 0 && reader->taken > 0 && hm_slice_compare(reader->before, item.name) >= 0)
            rc = hm_fail(error, HM_ECORRUPT, "a folder's names are not in order, each once");
        reader->before = item.name;
    }
    if (rc != 0)
        return rc;
    reader->taken++;
    *out = item;
    return 0;
}

int packetfs_node_sum(struct hm_slice node, struct packetfs_node_sum *out, struct hm_error *error)
{
    struct packetfs_node_reader reader;
    struct packetfs_node_item item;
    struct packetfs_node_sum sum = {0};
    int rc = packetfs_node_begin(node, NULL, &reader, error);

    if (rc != 0)
        return rc;
    sum.what = reader.what;
    sum.level = reader.level;
    while ((rc = packetfs_node_next(&reader, &item, error)) == 0) {
        if (sum.items++ == 0) {
            sum.first = item.name;
            sum.hole_first = item.hole;
        }
        sum.last = item.name;
        sum.hole_last = item.hole;
        if (!hm_add_u64(sum.len, item.len, &sum.len) || sum.len > PACKETFS_LEN_MAX)
            return hm_fail(error, HM_ECORRUPT, "a list is longer than any file can be");
    }
    if (rc != HM_ENOTFOUND)
        return rc;
    if (sum.items == 0 && (sum.what == PACKETFS_NODE_LIST || sum.level > 0))
        return hm_fail(error, HM_ECORRUPT, "a node has nothing in it");
    sum.one_pattern = sum.what == PACKETFS_NODE_LIST && sum.level == 0 && sum.items == 1 &&
                      !sum.hole_last;
    *out = sum;
    return 0;
}

int packetfs_node_load(const struct packetfs_objects *objects, const struct packetfs_id *id,
                       struct hm_buf *out, struct hm_error *error)
{
    int rc;

    hm_buf_clear(out);
    rc = objects->get(objects->ctx, PACKETFS_REFERENCE, id, out, error);
    if (rc == HM_ENOTFOUND) { /* which cursors say at their end */
        char hex[2 * PACKETFS_ID_BYTES + 1];
        hm_hex_encode(id->bytes, PACKETFS_ID_BYTES, hex);
        return hm_fail(error, HM_ECORRUPT, "the node %.16s… is missing", hex);
    }
    return rc;
}

/* --- what a node names --- */

static int entry_child(const struct packetfs_entry *entry,
                       int (*child)(void *ctx, enum packetfs_kind kind,
                                    const struct packetfs_id *id, uint64_t len),
                       void *ctx)
{
    if (entry->type == PACKETFS_FOLDER)
        return child(ctx, PACKETFS_REFERENCE, &entry->folder, 0);
    if (entry->type != PACKETFS_FILE || entry->content.kind == PACKETFS_CONTENT_EMPTY)
        return 0;
    return child(
        ctx, entry->content.kind == PACKETFS_CONTENT_LIST ? PACKETFS_REFERENCE : PACKETFS_PATTERN,
        &entry->content.id, entry->content.bytes);
}

int packetfs_node_children(struct hm_slice node,
                           int (*child)(void *ctx, enum packetfs_kind kind,
                                        const struct packetfs_id *id, uint64_t len),
                           void *ctx, struct hm_error *error)
{
    struct packetfs_node_sum sum;
    struct packetfs_node_reader reader;
    struct packetfs_node_item item;
    int rc = packetfs_node_sum(node, &sum, error); /* nothing is named before all of it is proven */

    if (rc == 0)
        rc = packetfs_node_begin(node, NULL, &reader, error);
    while (rc == 0) {
        rc = packetfs_node_next(&reader, &item, error);
        if (rc != 0)
            return rc == HM_ENOTFOUND ? 0 : rc;
        if (sum.level > 0)
            rc = child(ctx, PACKETFS_REFERENCE, &item.id, item.len);
        else if (sum.what == PACKETFS_NODE_FOLDER)
            rc = entry_child(&item.entry, child, ctx);
        else if (!item.hole)
            rc = child(ctx, PACKETFS_PATTERN, &item.id, item.len);
    }
    return rc;
}
