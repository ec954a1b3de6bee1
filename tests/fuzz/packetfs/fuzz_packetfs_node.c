/* One node from outside. What the reader takes, written again, is the same bytes: a node has one form only. */
#include <stdlib.h>

#include "tree/packetfs_node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int see_child(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id, uint64_t len)
{
    size_t *children = ctx;

    if (len > PACKETFS_LEN_MAX || (kind == PACKETFS_PATTERN && len > PACKETFS_OBJECT_MAX_BYTES) ||
        id == NULL)
        abort();
    *children += 1;
    return 0;
}

static int write_item(const struct packetfs_node_reader *reader,
                      const struct packetfs_node_item *item, struct hm_buf *out)
{
    if (reader->what == PACKETFS_NODE_LIST)
        return reader->level > 0
                   ? packetfs_node_list_child(out, &item->id, item->len)
                   : packetfs_node_piece(out, item->hole ? NULL : &item->id, item->len);
    return reader->level > 0 ? packetfs_node_folder_child(out, item->name, &item->id)
                             : packetfs_node_entry(out, &item->entry, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hm_slice node = hm_slice_of(data, size);
    struct packetfs_node_sum sum;
    struct packetfs_node_reader reader;
    struct packetfs_node_item item;
    HM_CLEANUP(hm_buf) struct hm_buf again = {0};
    HM_CLEANUP(hm_buf) struct hm_buf xattrs = {0};
    struct hm_error error;
    size_t children = 0;
    int rc = packetfs_node_sum(node, &sum, &error);

    if ((packetfs_node_children(node, see_child, &children, NULL) == 0) != (rc == 0))
        abort();
    if (rc != 0)
        return 0;
    if (packetfs_node_begin(node, &xattrs, &reader, NULL) != 0 ||
        packetfs_node_head(&again, reader.what, reader.level) != 0)
        abort();
    while (packetfs_node_next(&reader, &item, NULL) == 0)
        if (write_item(&reader, &item, &again) != 0)
            abort();
    if (!hm_slice_equal(node, hm_buf_slice(&again)) || children > sum.items)
        abort();
    return 0;
}
