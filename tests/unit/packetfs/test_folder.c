#include "tree_world.h"

#include <stdio.h>
#include <stdlib.h>

static struct model_folder model, before, shrunk;

static void model_name(char out[40], uint64_t number)
{
    static const char *const heads[] = {"", "a", "lib", "Some.Document.of.", "\xff\xfe", "zz-"};

    (void)snprintf(out, 40, "%s%llu", heads[number % 6],
                   (unsigned long long)(number * 7919 % 100003));
}

static size_t model_place(const struct model_folder *folder, const char *name, bool *there)
{
    size_t low = 0, high = folder->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(folder->entries[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *there = low < folder->count && strcmp(folder->entries[low].name, name) == 0;
    return low;
}

static void model_set(struct model_folder *folder, uint64_t number, uint64_t content, uint32_t mode)
{
    struct model_entry entry = {.content = content, .mode = mode};
    bool there;

    model_name(entry.name, number);
    size_t at = model_place(folder, entry.name, &there);
    if (!there) {
        assert_true(folder->count < HM_COUNT_OF(folder->entries));
        memmove(&folder->entries[at + 1], &folder->entries[at],
                (folder->count - at) * sizeof(entry));
        folder->count++;
    }
    folder->entries[at] = entry;
}

static void model_remove(struct model_folder *folder, size_t at)
{
    memmove(&folder->entries[at], &folder->entries[at + 1],
            (folder->count - at - 1) * sizeof(folder->entries[0]));
    folder->count--;
}

static bool same_entry(const struct packetfs_entry *a, const struct packetfs_entry *b)
{
    HM_CLEANUP(hm_buf) struct hm_buf in_a = {0};
    HM_CLEANUP(hm_buf) struct hm_buf in_b = {0};

    assert_int_equal(packetfs_node_entry(&in_a, a, NULL), 0);
    assert_int_equal(packetfs_node_entry(&in_b, b, NULL), 0);
    return hm_slice_equal(hm_buf_slice(&in_a), hm_buf_slice(&in_b));
}

static void check_folder(struct tree_world *world, const struct packetfs_id *root, size_t from)
{
    struct packetfs_folder_cursor *cursor = NULL;
    struct packetfs_entry entry;

    assert_int_equal(packetfs_folder_open(&world->objects, root, &cursor, NULL), 0);
    if (from > 0 && from < model.count)
        assert_int_equal(packetfs_folder_seek(cursor, hm_slice_str(model.entries[from].name), NULL),
                         0);
    for (size_t i = from; i < model.count; i++) {
        struct packetfs_entry expected = tree_entry(&model.entries[i]);
        assert_int_equal(packetfs_folder_next(cursor, &entry, NULL), 0);
        assert_true(same_entry(&entry, &expected));
    }
    assert_int_equal(packetfs_folder_next(cursor, &entry, NULL), HM_ENOTFOUND);
    assert_int_equal(packetfs_folder_next(cursor, &entry, NULL), HM_ENOTFOUND);
    packetfs_folder_close(cursor);
}

static void test_every_field(void **state)
{
    static const struct packetfs_xattr xattrs[] = {
        {{(const uint8_t *)"security.capability", 19}, {(const uint8_t *)"\0\1\2", 3}},
        {{(const uint8_t *)"user.a", 6}, {NULL, 0}},
        {{(const uint8_t *)"user.b", 6}, {(const uint8_t *)"x", 1}},
    };
    const struct packetfs_entry plain = {.uid = UINT32_MAX,
                                         .gid = 5,
                                         .mode = 07777,
                                         .user = hm_slice_str("root"),
                                         .mtime_s = INT64_MIN,
                                         .mtime_ns = 1};
    struct packetfs_entry entries[8];
    struct tree_world world;
    struct packetfs_folder_builder *folder = NULL;
    struct packetfs_folder_cursor *cursor = NULL;
    struct packetfs_id root;
    struct packetfs_entry entry;
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
    (void)state;

    for (size_t i = 0; i < 8; i++)
        entries[i] = plain;
    entries[0].name = hm_slice_str("a list");
    entries[0].type = PACKETFS_FILE;
    entries[0].content = (struct packetfs_content){PACKETFS_CONTENT_LIST, tree_id(1),
                                                   (uint64_t)1 << 40};
    entries[0].xattrs = xattrs;
    entries[0].xattr_count = 3;
    entries[0].hard_link = UINT64_MAX;
    entries[1].name = hm_slice_str("b empty");
    entries[1].type = PACKETFS_FILE;
    entries[1].mtime_s = INT64_MAX;
    entries[2].name = hm_slice_str("c folder");
    entries[2].type = PACKETFS_FOLDER;
    entries[2].folder = tree_id(2);
    entries[2].xattrs = xattrs;
    entries[2].xattr_count = 1;
    entries[3].name = hm_slice_str("d link");
    entries[3].type = PACKETFS_SYMLINK;
    entries[3].target = hm_slice_str("../\x80\xff/nowhere");
    entries[4].name = hm_slice_str("e fifo");
    entries[4].type = PACKETFS_FIFO;
    entries[5].name = hm_slice_str("f socket");
    entries[5].type = PACKETFS_SOCKET;
    entries[6].name = hm_slice_str("g tty");
    entries[6].type = PACKETFS_CHARACTER_DEVICE;
    entries[6].device = (uint64_t)4 << 32 | 64;
    entries[7].name = hm_slice_str("h disk");
    entries[7].type = PACKETFS_BLOCK_DEVICE;
    entries[7].device = UINT64_MAX;
    tree_world_init(&world, 1);
    assert_int_equal(packetfs_folder_new(&world.objects, tree_node_key, &folder, NULL), 0);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(packetfs_folder_add(folder, &entries[i], NULL), 0);
    assert_int_equal(packetfs_folder_finish(folder, &root, NULL), 0);
    packetfs_folder_free(folder);
    assert_int_equal(packetfs_folder_open(&world.objects, &root, &cursor, NULL), 0);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(packetfs_folder_next(cursor, &entry, NULL), 0);
        assert_true(same_entry(&entry, &entries[i]));
        assert_int_equal(entry.xattr_count, entries[i].xattr_count);
        assert_int_equal(entry.mtime_s, entries[i].mtime_s);
        assert_int_equal(
            packetfs_tree_find(&world.objects, &root, entries[i].name, &entry, &buf, NULL), 0);
        assert_true(same_entry(&entry, &entries[i]));
    }
    packetfs_folder_close(cursor);
    tree_world_release(&world);
}

static void test_refusals(void **state)
{
    static const char long_name[] =
        "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
        "0"
        "123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
        "1"
        "23456789012345678901234567890123456789012345678901234567890123456789012345";
    const char *const names[] = {"", ".", "..", "a/b", long_name};
    struct tree_world world;
    struct packetfs_folder_builder *folder = NULL;
    struct packetfs_entry entry = {.name = hm_slice_str("m"), .type = PACKETFS_FIFO};
    struct packetfs_xattr wrong[2] = {{hm_slice_str("user.b"), {0}}, {hm_slice_str("user.a"), {0}}};
    struct hm_error error;
    (void)state;

    assert_int_equal(strlen(long_name), 256);
    tree_world_init(&world, 1);
    assert_int_equal(packetfs_folder_new(&world.objects, tree_node_key, &folder, NULL), 0);
    assert_int_equal(packetfs_folder_add(folder, &entry, &error), 0);
    assert_int_equal(packetfs_folder_add(folder, &entry, &error), HM_EINVAL); /* twice */
    entry.name = hm_slice_str("a");
    assert_int_equal(packetfs_folder_add(folder, &entry, &error), HM_EINVAL); /* order */
    for (size_t i = 0; i < HM_COUNT_OF(names); i++) {
        entry.name = hm_slice_str(names[i]);
        assert_int_equal(packetfs_folder_add(folder, &entry, &error), HM_EINVAL);
    }
    entry.name = hm_slice_of("n\0n", 3);
    assert_int_equal(packetfs_folder_add(folder, &entry, &error), HM_EINVAL);
    entry.name = hm_slice_str("n");
    entry.type = PACKETFS_SYMLINK;
    assert_int_equal(packetfs_folder_add(folder, &entry, &error), HM_EINVAL);
    entry.type = PACKETFS_FIFO;
    entry.mode = 010000;
    assert_int_equal(packetfs_folder_add(folder, &entry, &error), HM_EINVAL);
    entry.mode = 0;
    entry.mtime_ns = 1000000000;
    assert_int_equal(packetfs_folder_add(folder, &entry, &error), HM_EINVAL);
    entry.mtime_ns = 0;
    entry.xattrs = wrong;
    entry.xattr_count = 2;
    assert_int_equal(packetfs_folder_add(folder, &entry, &error), HM_EINVAL);
    wrong[0].name = hm_slice_str("user.0");
    wrong[0].value = hm_slice_of(tree_node_key, PACKETFS_XATTRS_MAX_BYTES); /* not read */
    assert_int_equal(packetfs_folder_add(folder, &entry, &error), HM_EINVAL);
    wrong[0].value.len = 0;
    assert_int_equal(packetfs_folder_add(folder, &entry, &error), 0); /* nothing else was wrong */
    packetfs_folder_free(folder);
    tree_world_release(&world);
}

/* --- differences --- */

struct seen {
    const struct model_folder *from, *to;
    size_t at_from, at_to, reports;
};

/* Holds one report against the models: the next difference between them in the order of names. */
static int report_expected(void *ctx, enum packetfs_change change, struct hm_slice path,
                           const struct packetfs_entry *a, const struct packetfs_entry *b)
{
    struct seen *seen = ctx;

    seen->reports++;
    for (;;) {
        const struct model_entry *x = seen->at_from < seen->from->count
                                          ? &seen->from->entries[seen->at_from]
                                          : NULL;
        const struct model_entry *y = seen->at_to < seen->to->count
                                          ? &seen->to->entries[seen->at_to]
                                          : NULL;
        assert_true(x != NULL || y != NULL); /* nothing left to report */
        int order = x == NULL ? 1 : y == NULL ? -1 : strcmp(x->name, y->name);
        seen->at_from += order <= 0;
        seen->at_to += order >= 0;
        if (order == 0 && x->content == y->content && x->mode == y->mode)
            continue;
        int expected = order < 0                  ? PACKETFS_REMOVED
                       : order > 0                ? PACKETFS_ADDED
                       : x->content != y->content ? PACKETFS_CONTENT_CHANGED
                                                  : PACKETFS_ATTRIBUTES_CHANGED;
        assert_int_equal(change, expected);
        assert_true(hm_slice_equal(path, hm_slice_str(order <= 0 ? x->name : y->name)));
        assert_int_equal(a != NULL, order <= 0);
        assert_int_equal(b != NULL, order >= 0);
        if (a != NULL)
            assert_int_equal(a->mode, x->mode);
        if (b != NULL)
            assert_int_equal(b->mode, y->mode);
        return 0;
    }
}

/* The differences that are left when the last report was checked: none may be. */
static size_t rest_of(struct seen *seen)
{
    size_t rest = 0;

    while (seen->at_from < seen->from->count || seen->at_to < seen->to->count) {
        const struct model_entry *x = seen->at_from < seen->from->count
                                          ? &seen->from->entries[seen->at_from]
                                          : NULL;
        const struct model_entry *y = seen->at_to < seen->to->count
                                          ? &seen->to->entries[seen->at_to]
                                          : NULL;
        int order = x == NULL ? 1 : y == NULL ? -1 : strcmp(x->name, y->name);
        seen->at_from += order <= 0;
        seen->at_to += order >= 0;
        rest += order != 0 || x->content != y->content || x->mode != y->mode;
    }
    return rest;
}

static void check_diff(struct tree_world *world, const struct packetfs_id *from,
                       const struct packetfs_id *to)
{
    struct seen forth = {&before, &model, 0, 0, 0};
    struct seen back = {&model, &before, 0, 0, 0};

    assert_int_equal(packetfs_tree_diff(&world->objects, from, to, report_expected, &forth, NULL),
                     0);
    assert_int_equal(rest_of(&forth), 0);
    assert_int_equal(packetfs_tree_diff(&world->objects, to, from, report_expected, &back, NULL),
                     0);
    assert_int_equal(rest_of(&back), 0);
}

static void test_random_edits(void **state)
{
    struct tree_world world;
    struct packetfs_id root, changed, again;
    (void)state;

    for (uint64_t seed = 0; seed < 40; seed++) {
        tree_world_init(&world, seed);
        model.count = 0;
        for (uint64_t i = tree_die(&world, seed % 4 == 0 ? 2500 : 200); i > 0; i--)
            model_set(&model, tree_die(&world, 100000), tree_die(&world, 3), 0644);
        assert_int_equal(tree_folder_build(&world, &model, &root), 0);
        for (size_t round = 0; round < 12; round++) {
            before = model;
            for (uint64_t i = tree_die(&world, 12); i > 0; i--) {
                size_t at = model.count > 0 ? tree_die(&world, model.count) : 0;
                switch (tree_die(&world, 4)) {
                case 0:
                    model_set(&model, tree_die(&world, 100000), 4 + tree_die(&world, 1000), 0644);
                    break;
                case 1:
                    if (model.count > 0)
                        model_remove(&model, at);
                    break;
                case 2:
                    if (model.count > 0)
                        model.entries[at].content = tree_die(&world, 1000);
                    break;
                default:
                    if (model.count > 0)
                        model.entries[at].mode = (uint32_t)tree_die(&world, 07777);
                    break;
                }
            }
            assert_int_equal(tree_folder_build(&world, &model, &changed), 0);
            check_folder(&world, &changed, 0);
            check_folder(&world, &changed, model.count / 2);
            check_diff(&world, &root, &changed);
            shrunk = model;
            model = before;
            assert_int_equal(tree_folder_build(&world, &model, &again), 0);
            assert_true(packetfs_id_equal(&root, &again));
            model = shrunk;
            root = changed;
        }
        tree_world_release(&world);
    }
}

/* 4,000 entries, one changed: the same cuts, one path of new nodes, and the comparison reads two paths. */
static void test_one_change_is_one_path(void **state)
{
    struct tree_world world;
    struct packetfs_id root, changed;
    (void)state;

    tree_world_init(&world, 8);
    model.count = 0;
    while (model.count < 4000)
        model_set(&model, tree_die(&world, 100000), 1 + tree_die(&world, 1000), 0644);
    assert_int_equal(tree_folder_build(&world, &model, &root), 0);
    before = model;
    size_t whole = packetfs_memory_count(world.memory, PACKETFS_REFERENCE);
    for (size_t round = 0; round < 100; round++) {
        size_t at = tree_die(&world, model.count);
        size_t objects = packetfs_memory_count(world.memory, PACKETFS_REFERENCE);
        model.entries[at].content = 5000 + round;
        model.entries[at].mode = (uint32_t)round;
        assert_int_equal(tree_folder_build(&world, &model, &changed), 0);
        objects = packetfs_memory_count(world.memory, PACKETFS_REFERENCE) - objects;
        assert_in_range(objects, 2, 4);
        world.reads = 0;
        struct seen seen = {&before, &model, 0, 0, 0};
        assert_int_equal(
            packetfs_tree_diff(&world.objects, &root, &changed, report_expected, &seen, NULL), 0);
        assert_int_equal(seen.reports, 1);
        assert_true(world.reads <= 2 * 4);
        model = before;
    }
    assert_true(whole > 100);
    tree_world_release(&world);
}

/* --- folders in folders --- */

static int report_text(void *ctx, enum packetfs_change change, struct hm_slice path,
                       const struct packetfs_entry *a, const struct packetfs_entry *b)
{
    (void)a;
    (void)b;
    return hm_buf_printf(ctx, "%c %.*s\n", (char)change, (int)path.len, (const char *)path.data);
}

static struct packetfs_id one_entry(struct tree_world *world, struct packetfs_entry entry)
{
    struct packetfs_folder_builder *folder = NULL;
    struct packetfs_id root;

    assert_int_equal(packetfs_folder_new(&world->objects, tree_node_key, &folder, NULL), 0);
    if (entry.name.len > 0)
        assert_int_equal(packetfs_folder_add(folder, &entry, NULL), 0);
    assert_int_equal(packetfs_folder_finish(folder, &root, NULL), 0);
    packetfs_folder_free(folder);
    return root;
}

static struct packetfs_entry folder_named(const char *name, struct packetfs_id id)
{
    return (struct packetfs_entry){
        .name = hm_slice_str(name), .type = PACKETFS_FOLDER, .mode = 0755, .folder = id};
}

static void test_paths(void **state)
{
    struct tree_world world;
    struct packetfs_entry file = {.name = hm_slice_str("f"), .type = PACKETFS_FILE};
    struct packetfs_entry found;
    struct hm_error error;
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    (void)state;

    tree_world_init(&world, 1);
    struct packetfs_id empty = one_entry(&world, (struct packetfs_entry){0});
    struct packetfs_id leaf = one_entry(&world, file);
    struct packetfs_id middle = one_entry(&world, folder_named("b", leaf));
    struct packetfs_id root = one_entry(&world, folder_named("a", middle));
    assert_int_equal(
        packetfs_tree_find(&world.objects, &root, hm_slice_str("a/b/f"), &found, &buf, NULL), 0);
    assert_int_equal(found.type, PACKETFS_FILE);
    assert_int_equal(
        packetfs_tree_find(&world.objects, &root, hm_slice_str(""), &found, &buf, NULL), 0);
    assert_true(packetfs_id_equal(&found.folder, &root));
    const char *const wrong[] = {"a/b/g", "a/b/f/x", "/a", "a/", "a//b", "b", "a/b/", "/"};
    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++) {
        assert_int_equal(
            packetfs_tree_find(&world.objects, &root, hm_slice_str(wrong[i]), &found, &buf, &error),
            HM_ENOTFOUND);
        assert_non_null(strstr(error.text, wrong[i]));
    }
    assert_int_equal(packetfs_tree_diff(&world.objects, NULL, &root, report_text, &text, NULL), 0);
    assert_string_equal(hm_buf_cstr(&text), "A a\nA a/b\nA a/b/f\n");
    hm_buf_clear(&text);
    assert_int_equal(packetfs_tree_diff(&world.objects, &root, NULL, report_text, &text, NULL), 0);
    assert_string_equal(hm_buf_cstr(&text), "D a\nD a/b\nD a/b/f\n");
    hm_buf_clear(&text);
    file.name = hm_slice_str("a");
    struct packetfs_id other = one_entry(&world, file);
    assert_int_equal(packetfs_tree_diff(&world.objects, &root, &other, report_text, &text, NULL),
                     0);
    assert_string_equal(hm_buf_cstr(&text), "T a\nD a/b\nD a/b/f\n");
    hm_buf_clear(&text);
    other = one_entry(&world, folder_named("a", one_entry(&world, folder_named("b", empty))));
    assert_int_equal(packetfs_tree_diff(&world.objects, &root, &other, report_text, &text, NULL),
                     0);
    assert_string_equal(hm_buf_cstr(&text), "D a/b/f\n");
    hm_buf_clear(&text);
    world.reads = 0;
    assert_int_equal(packetfs_tree_diff(&world.objects, &root, &root, report_text, &text, NULL), 0);
    assert_int_equal(text.len + world.reads, 0);
    tree_world_release(&world);
}

static void test_too_deep(void **state)
{
    struct tree_world world;
    struct hm_error error;
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    (void)state;

    tree_world_init(&world, 1);
    struct packetfs_id root = one_entry(&world, (struct packetfs_entry){0});
    for (size_t i = 0; i < PACKETFS_FOLDER_DEPTH_MAX - 1; i++)
        root = one_entry(&world, folder_named("d", root));
    assert_int_equal(packetfs_tree_diff(&world.objects, NULL, &root, report_text, &text, &error),
                     0);
    root = one_entry(&world, folder_named("d", root));
    assert_int_equal(packetfs_tree_diff(&world.objects, NULL, &root, report_text, &text, &error),
                     HM_ELIMIT);
    tree_world_release(&world);
}

static void test_memory_runs_out(void **state)
{
    struct tree_world world;
    struct packetfs_id root, changed;
    unsigned long nth;
    int rc;
    (void)state;

    tree_world_init(&world, 9);
    model.count = 0;
    while (model.count < 300)
        model_set(&model, tree_die(&world, 100000), 1, 0644);
    assert_int_equal(tree_folder_build(&world, &model, &root), 0);
    before = model;
    model.entries[150].mode = 0600;
    for (nth = 1;; nth++) {
        struct seen seen = {&before, &model, 0, 0, 0};
        HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
        struct packetfs_entry entry;
        hm_alloc_fail_at(nth);
        rc = tree_folder_build(&world, &model, &changed);
        if (rc == 0)
            rc = packetfs_tree_diff(&world.objects, &root, &changed, report_expected, &seen, NULL);
        if (rc == 0)
            rc = packetfs_tree_find(&world.objects, &root, hm_slice_str(model.entries[200].name),
                                    &entry, &buf, NULL);
        hm_alloc_fail_at(0);
        if (rc == 0)
            break;
        assert_int_equal(rc, HM_ENOMEM);
    }
    assert_true(nth > 10);
    tree_world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field),     cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_random_edits),    cmocka_unit_test(test_one_change_is_one_path),
        cmocka_unit_test(test_paths),           cmocka_unit_test(test_too_deep),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
