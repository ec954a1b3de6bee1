/* Nodes as a hostile store would write them: each is refused, and the sentence says why. */
#include "tree_world.h"

#include "packetfs_varint.h"

static int count_child(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id,
                       uint64_t len)
{
    (void)kind;
    (void)id;
    (void)len;
    *(size_t *)ctx += 1;
    return 0;
}

static void refused_slice(struct hm_slice node, const char *why)
{
    struct hm_error error = {0};
    struct packetfs_node_sum sum;
    size_t children = 0;

    assert_int_equal(packetfs_node_sum(node, &sum, &error), HM_ECORRUPT);
    if (strstr(error.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, why);
    assert_int_equal(packetfs_node_children(node, count_child, &children, NULL), HM_ECORRUPT);
    assert_int_equal(children, 0);
}

static void refused(struct hm_buf *node, const char *why)
{
    refused_slice(hm_buf_slice(node), why);
    hm_buf_clear(node);
}

static void head(struct hm_buf *node, enum packetfs_node_what what, unsigned level)
{
    assert_int_equal(packetfs_node_head(node, what, level), 0);
}

static void test_heads(void **state)
{
    static uint8_t large[PACKETFS_NODE_MAX_BYTES + 1] = {1, 'L', 0};
    HM_CLEANUP(hm_buf) struct hm_buf node = {0};
    (void)state;

    refused(&node, "cut short");
    refused_slice(hm_slice_of("\1L", 2), "cut short");
    refused_slice(hm_slice_of(large, sizeof(large)), "the most");
    refused_slice(hm_slice_of("\2L\0", 3), "version 2");
    refused_slice(hm_slice_of("\1X\0", 3), "neither of a list");
    refused_slice(hm_slice_of("\1L\0", 3), "nothing in it");
    refused_slice(hm_slice_of("\1L\1", 3), "nothing in it");
    refused_slice(hm_slice_of("\1F\1", 3), "nothing in it");
    head(&node, PACKETFS_NODE_LIST, PACKETFS_TREE_DEPTH_MAX);
    refused(&node, "level 16");
    head(&node, PACKETFS_NODE_FOLDER, 0); /* an empty folder is fine */
    struct packetfs_node_sum sum;
    assert_int_equal(packetfs_node_sum(hm_buf_slice(&node), &sum, NULL), 0);
}

static void test_lists(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf node = {0};
    struct packetfs_id id = tree_id(1);
    (void)state;

    head(&node, PACKETFS_NODE_LIST, 0);
    assert_int_equal(packetfs_node_piece(&node, &id, 0), 0);
    refused(&node, "no bytes");
    head(&node, PACKETFS_NODE_LIST, 0);
    assert_int_equal(packetfs_node_piece(&node, &id, PACKETFS_OBJECT_MAX_BYTES + 1), 0);
    refused(&node, "the most");
    head(&node, PACKETFS_NODE_LIST, 0);
    assert_int_equal(packetfs_node_piece(&node, NULL, 1), 0);
    assert_int_equal(packetfs_node_piece(&node, NULL, 1), 0);
    refused(&node, "holes in a row");
    head(&node, PACKETFS_NODE_LIST, 0);
    assert_int_equal(packetfs_node_piece(&node, &id, 1), 0);
    node.len--;
    refused(&node, "middle of an id");
    head(&node, PACKETFS_NODE_LIST, 0);
    assert_int_equal(hm_buf_append(&node, "\x83\0", 2),
                     0); /* a hole of one byte, written too long */
    refused(&node, "proper length");
    head(&node, PACKETFS_NODE_LIST, 0);
    assert_int_equal(hm_buf_append(&node, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10), 0);
    refused(&node, "proper length");
    head(&node, PACKETFS_NODE_LIST, 1);
    assert_int_equal(packetfs_node_list_child(&node, &id, INT64_MAX), 0);
    assert_int_equal(packetfs_node_list_child(&node, &id, 1), 0);
    refused(&node, "longer than any file");
    head(&node, PACKETFS_NODE_LIST, 1);
    assert_int_equal(packetfs_node_list_child(&node, &id, UINT64_MAX), 0);
    assert_int_equal(packetfs_node_list_child(&node, &id, 2), 0);
    refused(&node, "longer than any file");
    head(&node, PACKETFS_NODE_LIST, 1);
    assert_int_equal(packetfs_node_list_child(&node, &id, 0), 0);
    refused(&node, "proper length");
    head(&node, PACKETFS_NODE_LIST, 1);
    assert_int_equal(packetfs_node_list_child(&node, &id, 5), 0);
    node.len -= 3;
    refused(&node, "middle of an id");
}

/* An entry with one thing in it replaced by other bytes. */
static void entry_with(struct hm_buf *node, size_t at, const void *bytes, size_t len)
{
    struct packetfs_entry entry = {.name = hm_slice_str("n"),
                                   .type = PACKETFS_FILE,
                                   .mode = 0644,
                                   .mtime_s = 3,
                                   .content = {PACKETFS_CONTENT_PATTERN, tree_id(1), 100}};

    hm_buf_clear(node);
    head(node, PACKETFS_NODE_FOLDER, 0);
    assert_int_equal(packetfs_node_entry(node, &entry, NULL), 0);
    assert_true(3 + at + len <= node->len);
    memcpy(node->data + 3 + at, bytes, len);
}

static void test_entries(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf node = {0};
    struct packetfs_node_sum sum;
    (void)state;

    /* 0: 1, 1: 'n', 2: type, 3-4: mode, 5: uid, 6: gid, 7: user, 8: group, 9: mtime, 10: ns, 11: link, 12: xattrs, 13: kind,
     * 14: bytes, 15: id */
    entry_with(&node, 0, "\1n", 2);
    assert_int_equal(packetfs_node_sum(hm_buf_slice(&node), &sum, NULL), 0);
    entry_with(&node, 1, "/", 1);
    refused(&node, "name that no file can have");
    entry_with(&node, 1, ".", 1);
    refused(&node, "name that no file can have");
    entry_with(&node, 1, "\0", 1);
    refused(&node, "name that no file can have");
    entry_with(&node, 0, "\0", 1);
    refused(&node, "name that no file can have");
    entry_with(&node, 0, "\x7f", 1);
    refused(&node, "middle of a name");
    entry_with(&node, 2, "\x09", 1);
    refused(&node, "unknown type");
    entry_with(&node, 2, "\0", 1);
    refused(&node, "unknown type");
    entry_with(&node, 3, "\xff\x7f", 2);
    refused(&node, "mode past 07777");
    entry_with(&node, 3, "\x80\0", 2);
    refused(&node, "cut short");
    entry_with(&node, 12, "\xff\xff\xff\x7f", 4);
    refused(&node, "attribute");
    entry_with(&node, 13, "\3", 1);
    refused(&node, "what is in it");
    entry_with(&node, 14, "\0", 1);
    refused(&node, "one pattern cannot have");
    entry_with(&node, 13, "\2\0", 2);
    refused(&node, "no file can have");
    entry_with(&node, 13, "\0", 1); /* empty: what follows is another entry, which it is not */
    refused(&node, "");
    entry_with(&node, 1, "n", 1);
    node.len--;
    refused(&node, "what is in it");
    /* Order, twice the same. */
    HM_CLEANUP(hm_buf) struct hm_buf two = {0};
    entry_with(&node, 1, "n", 1);
    assert_int_equal(hm_buf_append(&two, node.data, node.len), 0);
    assert_int_equal(hm_buf_append(&two, node.data + 3, node.len - 3), 0);
    refused(&two, "not in order");
    assert_int_equal(hm_buf_append(&two, node.data, node.len), 0);
    assert_int_equal(hm_buf_append(&two, node.data + 3, node.len - 3), 0);
    two.data[node.len + 1] = 'm';
    refused(&two, "not in order");
}

static void test_xattrs(void **state)
{
    struct packetfs_xattr xattrs[2] = {{hm_slice_str("user.a"), hm_slice_str("1")},
                                       {hm_slice_str("user.b"), hm_slice_str("2")}};
    struct packetfs_entry entry = {
        .name = hm_slice_str("n"), .type = PACKETFS_FIFO, .xattrs = xattrs, .xattr_count = 2};
    HM_CLEANUP(hm_buf) struct hm_buf node = {0};
    HM_CLEANUP(hm_buf) struct hm_buf copy = {0};
    (void)state;

    head(&node, PACKETFS_NODE_FOLDER, 0);
    assert_int_equal(packetfs_node_entry(&node, &entry, NULL), 0);
    uint8_t *second = memmem(node.data, node.len, "user.b", 6);
    assert_non_null(second);
    second[5] = 'a';
    refused_slice(hm_buf_slice(&node), "not in order");
    second[5] = 0;
    refused_slice(hm_buf_slice(&node), "name that none can have");
    second[5] = 'b';
    second[6] = 0x7f;
    refused_slice(hm_buf_slice(&node), "middle of an attribute");
    second[6] = 1;
    /* More than fits. */
    static uint8_t large[PACKETFS_XATTRS_MAX_BYTES];
    xattrs[1].value = hm_slice_of(large, sizeof(large) - 6 - 6 - 1);
    hm_buf_clear(&node);
    head(&node, PACKETFS_NODE_FOLDER, 0);
    assert_int_equal(packetfs_node_entry(&node, &entry, NULL), 0);
    struct packetfs_node_sum sum;
    assert_int_equal(packetfs_node_sum(hm_buf_slice(&node), &sum, NULL), 0);
    struct packetfs_entry copied;
    assert_int_equal(packetfs_entry_copy(&entry, &copied, &copy), 0);
    assert_ptr_not_equal(copied.xattrs, xattrs);
    assert_true(hm_slice_equal(copied.xattrs[1].value, xattrs[1].value));
    xattrs[1].value.len++;
    assert_int_equal(packetfs_node_entry(&node, &entry, NULL), HM_EINVAL);
}

static void test_folder_branches(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf node = {0};
    struct packetfs_id id = tree_id(1);
    (void)state;

    head(&node, PACKETFS_NODE_FOLDER, 1);
    assert_int_equal(packetfs_node_folder_child(&node, hm_slice_str("b"), &id), 0);
    assert_int_equal(packetfs_node_folder_child(&node, hm_slice_str("a"), &id), 0);
    refused(&node, "not in order");
    head(&node, PACKETFS_NODE_FOLDER, 1);
    assert_int_equal(packetfs_node_folder_child(&node, hm_slice_str("a/b"), &id), 0);
    refused(&node, "name that no file can have");
    head(&node, PACKETFS_NODE_FOLDER, 1);
    assert_int_equal(packetfs_node_folder_child(&node, hm_slice_str("a"), &id), 0);
    node.len--;
    refused(&node, "middle of an id");
}

/* --- nodes that are well formed, in places where they do not belong --- */

static struct packetfs_id put(struct tree_world *world, struct hm_buf *node)
{
    struct packetfs_id id;

    assert_int_equal(
        world->objects.put(world->objects.ctx, PACKETFS_REFERENCE, hm_buf_slice(node), &id, NULL),
        0);
    hm_buf_clear(node);
    return id;
}

static void list_fails(struct tree_world *world, struct packetfs_id root, uint64_t bytes,
                       const char *why)
{
    struct packetfs_content content = {PACKETFS_CONTENT_LIST, root, bytes};
    struct packetfs_list_cursor *cursor = NULL;
    struct packetfs_piece piece;
    struct hm_error error = {0};
    int rc;

    assert_int_equal(packetfs_list_open(&world->objects, &content, &cursor, NULL), 0);
    while ((rc = packetfs_list_next(cursor, &piece, &error)) == 0)
        ;
    packetfs_list_close(cursor);
    assert_int_equal(rc, HM_ECORRUPT);
    if (strstr(error.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, why);
}

static void folder_fails(struct tree_world *world, struct packetfs_id root, const char *why)
{
    struct packetfs_folder_cursor *cursor = NULL;
    struct packetfs_entry entry;
    struct hm_error error = {0};
    int rc;

    assert_int_equal(packetfs_folder_open(&world->objects, &root, &cursor, NULL), 0);
    while ((rc = packetfs_folder_next(cursor, &entry, &error)) == 0)
        ;
    packetfs_folder_close(cursor);
    assert_int_equal(rc, HM_ECORRUPT);
    if (strstr(error.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, why);
}

static struct packetfs_id list_leaf(struct tree_world *world, struct hm_buf *node, unsigned pieces,
                                    bool hole_last)
{
    head(node, PACKETFS_NODE_LIST, 0);
    for (unsigned i = 0; i < pieces; i++) {
        struct packetfs_id id = tree_id(i);
        assert_int_equal(packetfs_node_piece(node, hole_last && i + 1 == pieces ? NULL : &id, 10),
                         0);
    }
    return put(world, node);
}

static void test_lists_in_places(void **state)
{
    struct tree_world world;
    HM_CLEANUP(hm_buf) struct hm_buf node = {0};
    struct packetfs_id leaf, hole, branch, folder;
    (void)state;

    tree_world_init(&world, 1);
    leaf = list_leaf(&world, &node, 2, false);
    hole = list_leaf(&world, &node, 1, true);
    head(&node, PACKETFS_NODE_FOLDER, 0);
    folder = put(&world, &node);
    list_fails(&world, leaf, 21, "is for 21 bytes, and has 20");
    list_fails(&world, list_leaf(&world, &node, 1, false), 10, "does not need");
    list_fails(&world, folder, 10, "node of a folder stands in a list");
    list_fails(&world, tree_id(99), 10, "is missing");
    head(&node, PACKETFS_NODE_LIST, 1);
    assert_int_equal(packetfs_node_list_child(&node, &leaf, 20), 0);
    branch = put(&world, &node);
    list_fails(&world, branch, 20, "does not need");
    head(&node, PACKETFS_NODE_LIST, 1);
    assert_int_equal(packetfs_node_list_child(&node, &leaf, 20), 0);
    assert_int_equal(packetfs_node_list_child(&node, &leaf, 19), 0);
    list_fails(&world, put(&world, &node), 39, "is for 19 bytes, and has 20");
    head(&node, PACKETFS_NODE_LIST, 2);
    assert_int_equal(packetfs_node_list_child(&node, &leaf, 20), 0);
    assert_int_equal(packetfs_node_list_child(&node, &leaf, 20), 0);
    list_fails(&world, put(&world, &node), 40, "level 0 stands under one of level 2");
    head(&node, PACKETFS_NODE_LIST, 1);
    assert_int_equal(packetfs_node_list_child(&node, &hole, 10), 0);
    assert_int_equal(packetfs_node_list_child(&node, &hole, 10), 0);
    list_fails(&world, put(&world, &node), 20, "holes in a row");
    tree_world_release(&world);
}

/* A store that answers an id with a node that names itself: levels go down, so it ends. */
static void test_cycle(void **state)
{
    struct tree_world world;
    HM_CLEANUP(hm_buf) struct hm_buf node = {0};
    (void)state;

    tree_world_init(&world, 1);
    struct packetfs_id id = list_leaf(&world, &node, 2, false);
    head(&node, PACKETFS_NODE_LIST, 15);
    assert_int_equal(packetfs_node_list_child(&node, &id, 5), 0);
    assert_int_equal(packetfs_node_list_child(&node, &id, 15), 0);
    assert_int_equal(
        packetfs_memory_exchange(world.memory, PACKETFS_REFERENCE, &id, hm_buf_slice(&node)), 0);
    list_fails(&world, id, 20, "level 15 stands under one of level 15");
    tree_world_release(&world);
}

static struct packetfs_id folder_leaf(struct tree_world *world, struct hm_buf *node,
                                      const char *first, const char *second)
{
    struct packetfs_entry entry = {.name = hm_slice_str(first), .type = PACKETFS_FIFO};

    head(node, PACKETFS_NODE_FOLDER, 0);
    assert_int_equal(packetfs_node_entry(node, &entry, NULL), 0);
    entry.name = hm_slice_str(second);
    assert_int_equal(packetfs_node_entry(node, &entry, NULL), 0);
    return put(world, node);
}

static struct packetfs_id folder_branch(struct tree_world *world, struct hm_buf *node,
                                        unsigned level, const struct packetfs_id *a,
                                        const char *last_a, const struct packetfs_id *b,
                                        const char *last_b)
{
    head(node, PACKETFS_NODE_FOLDER, level);
    assert_int_equal(packetfs_node_folder_child(node, hm_slice_str(last_a), a), 0);
    assert_int_equal(packetfs_node_folder_child(node, hm_slice_str(last_b), b), 0);
    return put(world, node);
}

static void test_folders_in_places(void **state)
{
    struct tree_world world;
    HM_CLEANUP(hm_buf) struct hm_buf node = {0};
    (void)state;

    tree_world_init(&world, 1);
    struct packetfs_id ab = folder_leaf(&world, &node, "a", "b");
    struct packetfs_id cd = folder_leaf(&world, &node, "c", "d");
    struct packetfs_id be = folder_leaf(&world, &node, "b", "e");
    struct packetfs_id list = list_leaf(&world, &node, 2, false);
    head(&node, PACKETFS_NODE_FOLDER, 0);
    struct packetfs_id empty = put(&world, &node);
    folder_fails(&world, list, "node of a list stands in a folder");
    folder_fails(&world, tree_id(5), "missing");
    folder_fails(&world, folder_branch(&world, &node, 1, &ab, "b", &cd, "e"), "another name");
    folder_fails(&world, folder_branch(&world, &node, 1, &ab, "b", &be, "e"), "not in order");
    folder_fails(&world, folder_branch(&world, &node, 1, &ab, "b", &empty, "e"), "another name");
    folder_fails(&world, folder_branch(&world, &node, 2, &ab, "b", &cd, "d"),
                 "level 0 stands under");
    head(&node, PACKETFS_NODE_FOLDER, 1);
    assert_int_equal(packetfs_node_folder_child(&node, hm_slice_str("b"), &ab), 0);
    folder_fails(&world, put(&world, &node), "does not need");
    /* Out of order across two branches: the first leaf of the second comes before what the first ends with. */
    struct packetfs_id x = folder_leaf(&world, &node, "f", "g");
    struct packetfs_id one = folder_branch(&world, &node, 1, &ab, "b", &cd, "d");
    struct packetfs_id two = folder_branch(&world, &node, 1, &be, "e", &x, "g");
    folder_fails(&world, folder_branch(&world, &node, 2, &one, "d", &two, "g"), "not in order");
    /* And the same, rightly. */
    struct packetfs_id ef = folder_leaf(&world, &node, "e", "f");
    struct packetfs_id hi = folder_leaf(&world, &node, "h", "i");
    two = folder_branch(&world, &node, 1, &ef, "f", &hi, "i");
    struct packetfs_id root = folder_branch(&world, &node, 2, &one, "d", &two, "i");
    struct packetfs_folder_cursor *cursor = NULL;
    struct packetfs_entry entry;
    assert_int_equal(packetfs_folder_open(&world.objects, &root, &cursor, NULL), 0);
    for (char name = 'a'; name <= 'i'; name++) {
        if (name == 'g')
            continue;
        assert_int_equal(packetfs_folder_next(cursor, &entry, NULL), 0);
        assert_int_equal(entry.name.data[0], name);
    }
    packetfs_folder_close(cursor);
    tree_world_release(&world);
}

/* --- children --- */

struct family {
    size_t patterns, references;
    uint64_t bytes;
};

static int add_child(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id, uint64_t len)
{
    struct family *family = ctx;

    (void)id;
    family->patterns += kind == PACKETFS_PATTERN;
    family->references += kind == PACKETFS_REFERENCE;
    family->bytes += len;
    return family->patterns == 3 ? 7 : 0;
}

static void test_children(void **state)
{
    struct tree_world world;
    struct family family = {0};
    struct packetfs_entry entry = {.name = hm_slice_str("a"), .type = PACKETFS_FILE};
    HM_CLEANUP(hm_buf) struct hm_buf node = {0};
    (void)state;

    tree_world_init(&world, 1);
    head(&node, PACKETFS_NODE_FOLDER, 0);
    assert_int_equal(packetfs_node_entry(&node, &entry, NULL), 0); /* empty: no child */
    entry.name = hm_slice_str("b");
    entry.content = (struct packetfs_content){PACKETFS_CONTENT_PATTERN, tree_id(1), 10};
    assert_int_equal(packetfs_node_entry(&node, &entry, NULL), 0);
    entry.name = hm_slice_str("c");
    entry.content.kind = PACKETFS_CONTENT_LIST;
    assert_int_equal(packetfs_node_entry(&node, &entry, NULL), 0);
    entry.name = hm_slice_str("d");
    entry.type = PACKETFS_FOLDER;
    assert_int_equal(packetfs_node_entry(&node, &entry, NULL), 0);
    assert_int_equal(packetfs_node_children(hm_buf_slice(&node), add_child, &family, NULL), 0);
    assert_int_equal(family.patterns, 1);
    assert_int_equal(family.references, 2);
    assert_int_equal(family.bytes, 20);
    hm_buf_clear(&node);
    head(&node, PACKETFS_NODE_LIST, 0);
    for (uint64_t i = 0; i < 9; i++) {
        struct packetfs_id id = tree_id(i);
        assert_int_equal(packetfs_node_piece(&node, i == 1 ? NULL : &id, 1), 0);
    }
    family = (struct family){0};
    assert_int_equal(packetfs_node_children(hm_buf_slice(&node), add_child, &family, NULL), 7);
    assert_int_equal(family.patterns, 3);
    tree_world_release(&world);
}

static void test_numbers(void **state)
{
    const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX};
    (void)state;

    for (size_t i = 0; i < HM_COUNT_OF(values); i++) {
        uint8_t bytes[PACKETFS_VARINT_MAX_BYTES];
        uint64_t value = 5;
        size_t len = packetfs_varint_write(values[i], bytes);
        struct hm_slice in = hm_slice_of(bytes, len);
        assert_true(packetfs_varint_take(&in, &value));
        assert_true(value == values[i] && in.len == 0);
        for (size_t cut = 0; cut < len; cut++) {
            in = hm_slice_of(bytes, cut);
            assert_false(packetfs_varint_take(&in, &value));
            assert_int_equal(in.len, cut);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),           cmocka_unit_test(test_lists),
        cmocka_unit_test(test_entries),         cmocka_unit_test(test_xattrs),
        cmocka_unit_test(test_folder_branches), cmocka_unit_test(test_lists_in_places),
        cmocka_unit_test(test_cycle),           cmocka_unit_test(test_folders_in_places),
        cmocka_unit_test(test_children),        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
