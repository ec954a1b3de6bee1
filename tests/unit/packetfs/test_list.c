#include "tree_world.h"

#include <stdio.h>

#define PIECE_LEN 65536

static struct model_list model, other;

static void model_fill(struct tree_world *world, size_t count)
{
    model.count = 0;
    for (size_t i = 0; i < count; i++)
        model.pieces[model.count++] = (struct model_piece){
            .id = tree_id(1000 + i), .len = 16384 + tree_die(world, PIECE_LEN)};
}

/* Goes through the list from offset `from` and holds it against the model; holes in a row are one. */
static void check_list(struct tree_world *world, const struct packetfs_content *content,
                       uint64_t from)
{
    struct packetfs_list_cursor *cursor = NULL;
    struct packetfs_piece piece;
    uint64_t offset = 0;

    assert_int_equal(packetfs_list_open(&world->objects, content, &cursor, NULL), 0);
    if (from > 0)
        assert_int_equal(packetfs_list_seek(cursor, from, NULL), 0);
    for (size_t i = 0; i < model.count;) {
        struct model_piece expected = model.pieces[i++];
        while (expected.hole && i < model.count && model.pieces[i].hole)
            expected.len += model.pieces[i++].len;
        if (expected.len == 0)
            continue;
        if (offset + expected.len > from) {
            assert_int_equal(packetfs_list_next(cursor, &piece, NULL), 0);
            assert_int_equal(piece.offset, offset);
            assert_int_equal(piece.len, expected.len);
            assert_int_equal(piece.hole, expected.hole);
            if (!expected.hole)
                assert_true(packetfs_id_equal(&piece.id, &expected.id));
        }
        offset += expected.len;
    }
    assert_int_equal(packetfs_list_next(cursor, &piece, NULL), HM_ENOTFOUND);
    assert_int_equal(content->bytes, offset);
    packetfs_list_close(cursor);
}

static void test_small_ones(void **state)
{
    struct tree_world world;
    struct packetfs_content content;
    (void)state;

    tree_world_init(&world, 1);
    model.count = 0;
    assert_int_equal(tree_list_build(&world, &model, &content), 0);
    assert_int_equal(content.kind, PACKETFS_CONTENT_EMPTY);
    check_list(&world, &content, 0);
    model_fill(&world, 1);
    assert_int_equal(tree_list_build(&world, &model, &content), 0);
    assert_int_equal(content.kind, PACKETFS_CONTENT_PATTERN);
    assert_int_equal(packetfs_memory_count(world.memory, PACKETFS_REFERENCE), 0);
    check_list(&world, &content, 0);
    model.pieces[0] = (struct model_piece){.hole = true, .len = (uint64_t)1 << 50};
    assert_int_equal(tree_list_build(&world, &model, &content), 0);
    assert_int_equal(content.kind, PACKETFS_CONTENT_LIST);
    check_list(&world, &content, 0);
    check_list(&world, &content, 12345);
    model.pieces[1] = (struct model_piece){.id = tree_id(1), .len = 1};
    model.pieces[2] = (struct model_piece){.hole = true, .len = 7};
    model.pieces[3] = (struct model_piece){.hole = true, .len = 9};
    model.count = 4;
    assert_int_equal(tree_list_build(&world, &model, &content), 0);
    check_list(&world, &content, 0);
    check_list(&world, &content, (uint64_t)1 << 50);
    check_list(&world, &content, ((uint64_t)1 << 50) + 1);
    tree_world_release(&world);
}

static void test_refusals(void **state)
{
    struct tree_world world;
    struct packetfs_list_builder *list = NULL;
    struct packetfs_id id = tree_id(1);
    struct hm_error error;
    (void)state;

    tree_world_init(&world, 1);
    assert_int_equal(packetfs_list_new(&world.objects, tree_node_key, &list, NULL), 0);
    assert_int_equal(packetfs_list_add(list, &id, 0, &error), HM_EINVAL);
    assert_int_equal(packetfs_list_add(list, &id, PACKETFS_OBJECT_MAX_BYTES + 1, &error),
                     HM_EINVAL);
    assert_int_equal(packetfs_list_add(list, NULL, UINT64_MAX, &error), HM_EINVAL);
    assert_int_equal(packetfs_list_add(list, NULL, INT64_MAX, &error), 0);
    assert_int_equal(packetfs_list_add(list, &id, 1, &error), HM_EINVAL);
    packetfs_list_free(list);
    tree_world_release(&world);
}

/* Reads are a path, not the list; what follows a seek is right wherever it goes. */
static void test_seek(void **state)
{
    struct tree_world world;
    struct packetfs_content content;
    struct packetfs_list_cursor *cursor = NULL;
    struct packetfs_piece piece;
    (void)state;

    tree_world_init(&world, 2);
    model_fill(&world, 16384);
    assert_int_equal(tree_list_build(&world, &model, &content), 0);
    check_list(&world, &content, 0);
    for (size_t i = 0; i < 20; i++)
        check_list(&world, &content, tree_die(&world, content.bytes));
    assert_int_equal(packetfs_list_open(&world.objects, &content, &cursor, NULL), 0);
    for (size_t i = 0; i < 500; i++) {
        uint64_t offset = i < 400 ? tree_die(&world, content.bytes) : content.bytes / 2 + i;
        world.reads = 0;
        assert_int_equal(packetfs_list_seek(cursor, offset, NULL), 0);
        assert_int_equal(packetfs_list_next(cursor, &piece, NULL), 0);
        assert_true(piece.offset <= offset && offset - piece.offset < piece.len);
        assert_true(world.reads <= 4);
        if (i > 402)
            assert_int_equal(world.reads, 0); /* the leaf is at hand */
    }
    assert_int_equal(packetfs_list_seek(cursor, content.bytes, NULL), 0);
    assert_int_equal(packetfs_list_next(cursor, &piece, NULL), HM_ENOTFOUND);
    packetfs_list_close(cursor);
    tree_world_release(&world);
}

/* A list of 1 GiB, one pattern changed: what is new is about one path, and never more than two. */
static void test_one_change_is_one_path(void **state)
{
    struct tree_world world;
    struct packetfs_content content, changed;
    size_t objects_sum = 0, objects_most = 0;
    uint64_t bytes_sum = 0, bytes_most = 0;
    enum { ROUNDS = 100 };
    (void)state;

    tree_world_init(&world, 3);
    model_fill(&world, 16384);
    assert_int_equal(tree_list_build(&world, &model, &content), 0);
    size_t whole = packetfs_memory_count(world.memory, PACKETFS_REFERENCE);
    uint64_t whole_bytes = packetfs_memory_bytes(world.memory, PACKETFS_REFERENCE);
    assert_in_range(whole_bytes / whole, PACKETFS_NODE_BYTES * 7 / 10,
                    PACKETFS_NODE_BYTES * 13 / 10);
    assert_true(whole_bytes < 16384 * 38);
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t at = tree_die(&world, model.count);
        struct model_piece kept = model.pieces[at];
        size_t objects = packetfs_memory_count(world.memory, PACKETFS_REFERENCE);
        uint64_t bytes = packetfs_memory_bytes(world.memory, PACKETFS_REFERENCE);
        model.pieces[at].id = tree_id(1000000 + round);
        assert_int_equal(tree_list_build(&world, &model, &changed), 0);
        assert_false(packetfs_id_equal(&content.id, &changed.id));
        objects = packetfs_memory_count(world.memory, PACKETFS_REFERENCE) - objects;
        bytes = packetfs_memory_bytes(world.memory, PACKETFS_REFERENCE) - bytes;
        objects_sum += objects;
        bytes_sum += bytes;
        objects_most = objects > objects_most ? objects : objects_most;
        bytes_most = bytes > bytes_most ? bytes : bytes_most;
        model.pieces[at] = kept;
    }
    print_message("16,384 patterns: %zu nodes, %llu bytes; one changed: %.2f nodes, %llu bytes in "
                  "the mean, at most %zu nodes, %llu bytes\n",
                  whole, (unsigned long long)whole_bytes, (double)objects_sum / (int)ROUNDS,
                  (unsigned long long)(bytes_sum / ROUNDS), objects_most,
                  (unsigned long long)bytes_most);
    assert_true(objects_sum < 4 * ROUNDS);
    assert_true(objects_most <= 12);
    assert_true(bytes_sum / ROUNDS < 8192);
    tree_world_release(&world);
}

/* Random edits; each version is built from its array, and read back. Equal arrays give equal ids, however they came to be. */
static void test_random_edits(void **state)
{
    struct tree_world world;
    struct packetfs_content first, content, again;
    (void)state;

    for (uint64_t seed = 0; seed < 12; seed++) {
        tree_world_init(&world, 100 + seed);
        model_fill(&world, 1 + tree_die(&world, 1500));
        other = model;
        assert_int_equal(tree_list_build(&world, &model, &first), 0);
        for (size_t round = 0; round < 20; round++) {
            size_t at = tree_die(&world, model.count);
            size_t count = 1 + tree_die(&world, 30);
            bool hole = tree_die(&world, 4) == 0;
            if (tree_die(&world, 2) == 0 && model.count + count < 20000) {
                memmove(&model.pieces[at + count], &model.pieces[at],
                        (model.count - at) * sizeof(model.pieces[0]));
                for (size_t i = 0; i < count; i++)
                    model.pieces[at + i] = (struct model_piece){
                        .hole = hole,
                        .id = tree_id(tree_die(&world, 5) * 77),
                        .len = 1 + tree_die(&world, PIECE_LEN)};
                model.count += count;
            } else {
                count = count < model.count - at ? count : model.count - at;
                memmove(&model.pieces[at], &model.pieces[at + count],
                        (model.count - at - count) * sizeof(model.pieces[0]));
                model.count -= count;
                if (model.count == 0)
                    break;
            }
            assert_int_equal(tree_list_build(&world, &model, &content), 0);
            check_list(&world, &content, 0);
            check_list(&world, &content, content.bytes / 3);
        }
        model = other;
        assert_int_equal(tree_list_build(&world, &model, &again), 0);
        assert_true(packetfs_id_equal(&first.id, &again.id));
        tree_world_release(&world);
    }
}

/* One pattern over and over: cuts cannot come from what is in it, so the limit makes them. */
static void test_repeats(void **state)
{
    struct tree_world world;
    struct packetfs_content content;
    (void)state;

    tree_world_init(&world, 5);
    for (uint64_t kind = 0; kind < 40; kind++) {
        model.count = 0;
        for (size_t i = 0; i < 20000; i++)
            model.pieces[model.count++] = (struct model_piece){.id = tree_id(kind), .len = 262144};
        assert_int_equal(tree_list_build(&world, &model, &content), 0);
        check_list(&world, &content, 0);
    }
    assert_true(packetfs_memory_count(world.memory, PACKETFS_REFERENCE) < 40 * 8);
    tree_world_release(&world);
}

static void test_memory_runs_out(void **state)
{
    struct tree_world world;
    struct packetfs_content content;
    struct packetfs_content before = {.bytes = 77};
    unsigned long nth = 1;
    int rc;
    (void)state;

    tree_world_init(&world, 6);
    model_fill(&world, 400);
    for (;; nth++) {
        content = before;
        hm_alloc_fail_at(nth);
        rc = tree_list_build(&world, &model, &content);
        hm_alloc_fail_at(0);
        if (rc == 0)
            break;
        assert_int_equal(rc, HM_ENOMEM);
        assert_int_equal(content.bytes, 77);
    }
    assert_true(nth > 5);
    check_list(&world, &content, 0);
    for (nth = 1;; nth++) {
        struct packetfs_list_cursor *cursor = NULL;
        struct packetfs_piece piece;
        hm_alloc_fail_at(nth);
        rc = packetfs_list_open(&world.objects, &content, &cursor, NULL);
        while (rc == 0)
            rc = packetfs_list_next(cursor, &piece, NULL);
        hm_alloc_fail_at(0);
        packetfs_list_close(cursor);
        if (rc == HM_ENOTFOUND)
            break;
        assert_int_equal(rc, HM_ENOMEM);
    }
    assert_true(nth > 2);
    tree_world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_ones),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_seek),
        cmocka_unit_test(test_one_change_is_one_path),
        cmocka_unit_test(test_random_edits),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
