/* Lists: the patterns of one file in order, and the holes between them. */
#include "tree/packetfs_tree_build.h"
#include "tree/packetfs_tree_walk.h"

/* --- building --- */

struct packetfs_list_builder {
    struct packetfs_build build; /* first: packetfs_build_new */
    uint64_t hole; /* gathered, not added yet */
    uint64_t bytes;
    size_t pieces;
    struct packetfs_content only; /* the first piece, as long as it is a pattern and the only one */
};

int packetfs_list_new(const struct packetfs_objects *objects, const uint8_t node_key[32],
                      struct packetfs_list_builder **out, struct hm_error *error)
{
    struct packetfs_list_builder *list = packetfs_build_new(sizeof(*list), objects, node_key,
                                                            PACKETFS_NODE_LIST, error);

    if (list == NULL)
        return HM_ENOMEM;
    *out = list;
    return 0;
}

void packetfs_list_free(struct packetfs_list_builder *list)
{
    packetfs_build_free(list);
}

static int list_item(struct packetfs_list_builder *list, const struct packetfs_id *id, uint64_t len,
                     struct hm_error *error)
{
    int rc;

    hm_buf_clear(&list->build.item);
    rc = packetfs_node_piece(&list->build.item, id, len);
    if (rc != 0)
        return hm_fail(error, rc, "no memory for a list");
    return packetfs_build_add(&list->build, hm_buf_slice(&list->build.item),
                              hm_buf_slice(&list->build.item), list->build.item.len, len, error);
}

/* What was held back goes in: the first pattern, which might have been the only one, then the hole gathered since. */
static int list_settle(struct packetfs_list_builder *list, struct hm_error *error)
{
    int rc = 0;

    if (list->only.kind == PACKETFS_CONTENT_PATTERN) {
        rc = list_item(list, &list->only.id, list->only.bytes, error);
        list->only.kind = PACKETFS_CONTENT_EMPTY;
    }
    if (rc == 0 && list->hole > 0) {
        rc = list_item(list, NULL, list->hole, error);
        list->hole = 0;
    }
    return rc;
}

int packetfs_list_add(struct packetfs_list_builder *list, const struct packetfs_id *id,
                      uint64_t len, struct hm_error *error)
{
    uint64_t bytes;
    int rc = 0;

    if (!hm_add_u64(list->bytes, len, &bytes) || bytes > PACKETFS_LEN_MAX)
        return hm_fail(error, HM_EINVAL, "a file cannot have more than %lld bytes",
                       (long long)PACKETFS_LEN_MAX);
    if (id != NULL && (len == 0 || len > PACKETFS_OBJECT_MAX_BYTES))
        return hm_fail(error, HM_EINVAL, "a pattern has 1 to %zu bytes, not %llu",
                       PACKETFS_OBJECT_MAX_BYTES, (unsigned long long)len);
    if (id == NULL) {
        list->pieces += list->hole == 0 && len > 0;
        list->hole += len;
        list->bytes = bytes;
        return 0;
    }
    if (list->pieces == 0) {
        list->only = (struct packetfs_content){PACKETFS_CONTENT_PATTERN, *id, len};
    } else {
        rc = list_settle(list, error);
        if (rc == 0)
            rc = list_item(list, id, len, error);
    }
    if (rc != 0)
        return rc;
    list->pieces++;
    list->bytes = bytes;
    return 0;
}

int packetfs_list_finish(struct packetfs_list_builder *list, struct packetfs_content *out,
                         struct hm_error *error)
{
    struct packetfs_content content = {.kind = PACKETFS_CONTENT_LIST, .bytes = list->bytes};
    int rc = 0;

    if (list->pieces == 1 && list->only.kind == PACKETFS_CONTENT_PATTERN) {
        *out = list->only;
        return 0;
    }
    if (list->pieces == 0) {
        *out = (struct packetfs_content){0};
        return 0;
    }
    rc = list_settle(list, error);
    if (rc == 0)
        rc = packetfs_build_finish(&list->build, &content.id, error);
    if (rc == 0)
        *out = content;
    return rc;
}

/* --- reading --- */

struct packetfs_list_cursor {
    struct packetfs_walk walk; /* first: packetfs_walk_cursor_new */
    struct packetfs_content content;
    bool started, after_hole, done; /* done: the only pattern was given */
};

int packetfs_list_open(const struct packetfs_objects *objects,
                       const struct packetfs_content *content, struct packetfs_list_cursor **out,
                       struct hm_error *error)
{
    struct packetfs_list_cursor *cursor = packetfs_walk_cursor_new(
        sizeof(*cursor), objects, PACKETFS_NODE_LIST, &content->id, content->bytes, error);

    if (cursor == NULL)
        return HM_ENOMEM;
    cursor->content = *content;
    *out = cursor;
    return 0;
}

void packetfs_list_close(struct packetfs_list_cursor *cursor)
{
    packetfs_walk_cursor_free(cursor);
}

static int list_start(struct packetfs_list_cursor *cursor, struct hm_error *error)
{
    int rc = packetfs_walk_start(&cursor->walk, error);

    cursor->after_hole = false;
    cursor->started = rc == 0;
    return rc;
}

int packetfs_list_seek(struct packetfs_list_cursor *cursor, uint64_t offset, struct hm_error *error)
{
    const struct packetfs_walk_frame *front;
    int rc;

    if (cursor->content.kind != PACKETFS_CONTENT_LIST) {
        cursor->done = offset >= cursor->content.bytes;
        return 0;
    }
    cursor->after_hole = false;
    rc = packetfs_walk_rewind(&cursor->walk, offset) ? 0 : list_start(cursor, error);
    while (rc == 0 && (front = packetfs_walk_front(&cursor->walk)) != NULL) {
        if (offset - front->offset >= front->item.len)
            rc = packetfs_walk_past(&cursor->walk, error);
        else if (front->reader.level > 0)
            rc = packetfs_walk_into(&cursor->walk, error);
        else
            break;
    }
    return rc;
}

int packetfs_list_next(struct packetfs_list_cursor *cursor, struct packetfs_piece *out,
                       struct hm_error *error)
{
    const struct packetfs_walk_frame *front;
    struct packetfs_piece piece;
    int rc = 0;

    if (cursor->content.kind == PACKETFS_CONTENT_EMPTY || cursor->done)
        return HM_ENOTFOUND;
    if (cursor->content.kind == PACKETFS_CONTENT_PATTERN) {
        *out = (struct packetfs_piece){.id = cursor->content.id, .len = cursor->content.bytes};
        cursor->done = true;
        return 0;
    }
    if (!cursor->started)
        rc = list_start(cursor, error);
    if (rc == 0)
        rc = packetfs_walk_leaf(&cursor->walk, error);
    if (rc != 0)
        return rc;
    front = packetfs_walk_front(&cursor->walk);
    if (front->item.hole && cursor->after_hole)
        return hm_fail(error, HM_ECORRUPT, "a list has two holes in a row, which are one");
    piece = (struct packetfs_piece){.hole = front->item.hole,
                                    .id = front->item.id,
                                    .offset = front->offset,
                                    .len = front->item.len};
    rc = packetfs_walk_past(&cursor->walk, error);
    if (rc != 0)
        return rc;
    cursor->after_hole = piece.hole;
    *out = piece;
    return 0;
}
