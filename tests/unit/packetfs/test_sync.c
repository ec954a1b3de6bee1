/* The transfer between two volumes in memory: what arrives, what it costs, and what hostile or broken peers achieve. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "crypto.h"
#include "sync_world.h"

static uint64_t wire_bytes(const struct world_transfer *transfer)
{
    uint64_t sum = 0;

    for (int kind = 0; kind < PACKETFS_KINDS; kind++)
        for (unsigned end = 0; end < 2; end++)
            sum += world_wire_bytes(transfer->wires[kind], end);
    return sum;
}

/* --- what arrives ------------------------------------------------------------------------------------------------------ */

static void test_everything_arrives_once(void **state)
{
    struct world_pair *pair = *state;
    struct world_volume *source = pair->source, *sink = pair->sink;
    struct world_transfer transfer;
    struct world_file *file = &pair->file;
    uint64_t first;

    world_file_make(file, 1);
    world_put(source, "home", file->pieces, WORLD_PIECES);
    transfer = world_run(source, sink, 0);
    first = wire_bytes(&transfer);
    assert_int_equal(transfer.source_code, 0);
    assert_int_equal(transfer.done.patterns, WORLD_PIECES);
    assert_int_equal(transfer.done.snapshots, 1);
    assert_true(first < (uint64_t)WORLD_PIECES * (WORLD_PIECE_BYTES + 150));
    world_transfer_release(&transfer);
    world_assert_file(sink, file);
    assert_int_equal(packetfs_memory_count(sink->memory, PACKETFS_REFERENCE),
                     packetfs_memory_count(source->memory, PACKETFS_REFERENCE));
    /* nothing is new: nothing but the question travels */
    transfer = world_run(source, sink, 0);
    assert_int_equal(transfer.done.snapshots, 0);
    assert_true(wire_bytes(&transfer) < 100);
    assert_int_equal(world_wire_bytes(transfer.wires[PACKETFS_PATTERN], 1), 0);
    world_transfer_release(&transfer);
}

static void test_one_byte_changed_travels_as_a_difference(void **state)
{
    struct world_pair *pair = *state;
    struct world_volume *source = pair->source, *sink = pair->sink;
    struct world_transfer transfer;
    struct world_file *file = &pair->file;

    world_file_make(file, 2);
    world_put(source, "home", file->pieces, WORLD_PIECES);
    world_sync(pair);
    file->bytes[(size_t)WORLD_PIECES * WORLD_PIECE_BYTES / 2] ^= 1;
    world_put(source, "home", file->pieces, WORLD_PIECES);
    transfer = world_run(source, sink, 0);
    assert_int_equal(transfer.done.patterns, 1);
    assert_true(transfer.done.references <= 5);
    assert_true(transfer.done.deltas >= transfer.done.references);
    assert_true(transfer.done.round_trips <= 8);
    if (wire_bytes(&transfer) >= 2600)
        fail_msg("%llu bytes", (unsigned long long)wire_bytes(&transfer));
    world_transfer_release(&transfer);
    world_assert_file(sink, file);
}

/* What the sink has itself to compare with is damaged: the source sends the whole. */
static void test_a_damaged_base_is_done_without(void **state)
{
    struct world_pair *pair = *state;
    struct world_volume *source = pair->source, *sink = pair->sink;
    struct world_transfer transfer;
    struct packetfs_id id;
    struct world_file *file = &pair->file;

    world_file_make(file, 12);
    world_put(source, "home", file->pieces, WORLD_PIECES);
    world_sync(pair);
    packetfs_keys_object_id(&sink->keys, PACKETFS_PATTERN, file->pieces[7], &id);
    assert_true(packetfs_memory_forget(sink->memory, PACKETFS_PATTERN, &id));
    assert_true(packetfs_memory_forget(sink->memory, PACKETFS_REFERENCE, &sink->snapshots[0].root));
    file->bytes[7 * WORLD_PIECE_BYTES] ^= 1;
    world_put(source, "home", file->pieces, WORLD_PIECES);
    transfer = world_run(source, sink, 0);
    assert_int_equal(transfer.done.patterns, 1);
    world_transfer_release(&transfer);
    world_assert_file(sink, file);
}

/* Files of every length around the sizes where a tree gains or loses a level: a change stays a difference. */
static void test_levels_come_and_go(void **state)
{
    struct world_pair *pair = *state;
    struct world_volume *source = pair->source, *sink = pair->sink;
    struct world_file *file = &pair->file;

    world_file_make(file, 14);
    for (size_t count = 20, round = 0; count < WORLD_PIECES; count += count / 6) {
        struct world_transfer transfer;

        world_put(source, "home", file->pieces, count);
        world_sync(pair);
        for (size_t i = 0; i < 4; i++) {
            file->bytes[WORLD_PIECE_BYTES * (i * count / 4) + round++] ^=
                1; /* never a piece there was */
            world_put(source, "home", file->pieces, count);
            transfer = world_run(source, sink, 0);
            assert_int_equal(transfer.done.patterns, 1);
            assert_true(world_wire_bytes(transfer.wires[PACKETFS_PATTERN], 0) < 200);
            world_transfer_release(&transfer);
        }
    }
}

/* A pack was lost here and the index made again: what is missing below equal parts comes, too. */
static void test_what_was_lost_comes_again(void **state)
{
    struct world_pair *pair = *state;
    struct world_volume *source = pair->source, *sink = pair->sink;
    struct world_transfer transfer;
    struct packetfs_id id;
    struct world_file *file = &pair->file;

    world_file_make(file, 13);
    world_put(source, "home", file->pieces, WORLD_PIECES);
    world_sync(pair);
    for (size_t i = 0; i < WORLD_PIECES; i += 100) {
        packetfs_keys_object_id(&sink->keys, PACKETFS_PATTERN, file->pieces[i], &id);
        assert_true(packetfs_memory_forget(sink->memory, PACKETFS_PATTERN, &id));
    }
    file->bytes[(size_t)WORLD_PIECE_BYTES * 50] ^= 1;
    world_put(source, "home", file->pieces, WORLD_PIECES);
    transfer = world_run(source, sink, 0);
    assert_int_equal(transfer.done.patterns, 1 + WORLD_PIECES / 100);
    world_transfer_release(&transfer);
    world_assert_file(sink, file);
}

/* Pieces inserted, removed, exchanged: what any editor does. */
static void test_any_edits_arrive(void **state)
{
    struct world_pair *pair = *state;
    struct world_volume *source = pair->source, *sink = pair->sink;
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, 7);
    struct hm_slice pieces[WORLD_PIECES];
    struct world_file *file = &pair->file;

    world_file_make(file, 3);
    memcpy(pieces, file->pieces, sizeof(pieces));
    for (int round = 0; round < 20; round++) {
        HM_CLEANUP(hm_buf) struct hm_buf there = {0};
        HM_CLEANUP(hm_buf) struct hm_buf here = {0};
        size_t count = 1 + (size_t)(hm_random_u64(&random) % WORLD_PIECES);
        for (int edit = 0; edit < 5; edit++) {
            size_t a = (size_t)(hm_random_u64(&random) % WORLD_PIECES);
            size_t b = (size_t)(hm_random_u64(&random) % WORLD_PIECES);
            struct hm_slice kept = pieces[a];

            pieces[a] = pieces[b];
            pieces[b] = hm_slice_of(kept.data,
                                    1 + (size_t)(hm_random_u64(&random) % WORLD_PIECE_BYTES));
        }
        world_put(source, round % 3 == 0 ? "a" : "b", pieces, count);
        world_sync(pair);
        world_get(source, &there);
        world_get(sink, &here);
        assert_true(hm_slice_equal(hm_buf_slice(&there), hm_buf_slice(&here)));
    }
    assert_int_equal(sink->count, source->count);
}

static void test_what_was_chosen_arrives(void **state)
{
    struct world_pair *pair = *state;
    struct world_volume *source = pair->source, *sink = pair->sink;
    struct world_transfer transfer;
    struct world_file *file = &pair->file;

    world_file_make(file, 4);
    for (size_t i = 0; i < 6; i++)
        world_put(source, i % 2 == 0 ? "even" : "odd", file->pieces + i, 3);
    world_transfer_init(&transfer, source, sink);
    transfer.choice = (struct packetfs_choice){hm_slice_str("even"), true};
    world_transfer_run(&transfer);
    assert_int_equal(transfer.sink_code, 0);
    world_transfer_release(&transfer);
    assert_int_equal(sink->count, 1);
    assert_memory_equal(sink->snapshots[0].id, source->snapshots[4].id, PACKETFS_SNAPSHOT_ID_BYTES);
    transfer = world_run(source, sink, 0);
    assert_int_equal(transfer.done.snapshots, 5);
    world_transfer_release(&transfer);
}

static void test_many_snapshots_are_compared_in_few_steps(void **state)
{
    struct world_pair *pair = *state;
    struct world_volume *source = pair->source, *sink = pair->sink;
    const struct hm_slice piece = hm_slice_str("the same");
    struct world_transfer transfer;

    for (int i = 0; i < 3000; i++)
        world_put(source, "many", &piece, 1);
    transfer = world_run(source, sink, 0);
    assert_int_equal(transfer.done.snapshots, 3000);
    assert_int_equal(transfer.done.patterns, 1);
    world_transfer_release(&transfer);
    world_put(source, "many", &piece, 1);
    transfer = world_run(source, sink, 0);
    assert_int_equal(transfer.done.snapshots, 1);
    assert_true(transfer.done.round_trips <= 7);
    assert_true(wire_bytes(&transfer) < 5000);
    world_transfer_release(&transfer);
}

/* --- interrupted ------------------------------------------------------------------------------------------------------- */

static void test_a_cut_transfer_goes_on(void **state)
{
    struct world_pair *pair = *state;
    struct world_volume *source = pair->source, *sink = pair->sink;
    struct world_transfer transfer;
    struct world_file *file = &pair->file;
    uint64_t patterns;

    world_file_make(file, 5);
    world_put(source, "home", file->pieces, WORLD_PIECES);
    world_transfer_init(&transfer, source, sink);
    world_wire_cut(transfer.wires[PACKETFS_PATTERN], 0,
                   (uint64_t)WORLD_PIECES * WORLD_PIECE_BYTES / 2);
    world_transfer_run(&transfer);
    assert_int_equal(transfer.sink_code, HM_EUNAVAILABLE);
    assert_int_equal(sink->count, 0);
    assert_true(sink->flushes > 0);
    patterns = transfer.done.patterns;
    assert_true(patterns > WORLD_PIECES / 4 && patterns < WORLD_PIECES);
    world_transfer_release(&transfer);
    transfer = world_run(source, sink, 0);
    assert_int_equal(transfer.done.patterns, WORLD_PIECES - patterns);
    world_transfer_release(&transfer);
    world_assert_file(sink, file);
}

/* The cut, anywhere at all: the sink never holds a snapshot that is not whole. */
static void test_a_cut_anywhere_leaves_nothing_half(void **state)
{
    struct world_volume *source = world_volume_new(world_key);
    struct world_file file;

    (void)state;
    world_file_make(&file, 6);
    world_put(source, "home", file.pieces, 40);
    world_put(source, "home", file.pieces + 1, 41);
    for (int kind = 0; kind < PACKETFS_KINDS; kind++)
        for (uint64_t at = 1; at < 140000; at += at / 7 + 1) {
            struct world_volume *sink = world_volume_new(world_key);
            struct world_transfer transfer;

            world_transfer_init(&transfer, source, sink);
            world_wire_cut(transfer.wires[kind], (unsigned)(at % 2), at);
            world_transfer_run(&transfer);
            if (sink->count > 0) {
                HM_CLEANUP(hm_buf) struct hm_buf got = {0};

                world_get(sink, &got);
                assert_int_equal(got.len, (39 + sink->count) * WORLD_PIECE_BYTES);
            }
            world_transfer_release(&transfer);
            transfer = world_run(source, sink, 0);
            assert_int_equal(sink->count, 2);
            world_transfer_release(&transfer);
            world_volume_free(sink);
        }
    world_volume_free(source);
    hm_free(file.bytes);
}

/* Every allocation of the sink fails once. */
static void test_no_memory_leaves_nothing_half(void **state)
{
    struct world_volume *source = world_volume_new(world_key);
    struct world_file file;
    unsigned long nth = 0;
    bool failed = true;

    (void)state;
    world_file_make(&file, 10);
    world_put(source, "home", file.pieces, 12);
    world_put(source, "home", file.pieces + 1, 12);
    while (failed) {
        struct world_volume *sink = world_volume_new(world_key);
        unsigned long before = hm_alloc_failures();
        struct world_transfer transfer;
        int code;

        world_transfer_init(&transfer, source, sink);
        transfer.fail_nth = ++nth;
        world_transfer_run(&transfer);
        failed = hm_alloc_failures() != before;
        code = transfer.sink_code;
        if (code != 0 && code != HM_ENOMEM)
            fail_msg("%lu: %d %s", nth, code, transfer.sink_error.text);
        assert_true(code != 0 || sink->count == 2);
        if (sink->count > 0) {
            HM_CLEANUP(hm_buf) struct hm_buf got = {0};

            world_get(sink, &got);
            assert_int_equal(got.len, 12 * WORLD_PIECE_BYTES);
        }
        world_transfer_release(&transfer);
        world_volume_free(sink);
        assert_true(nth < 5000);
    }
    assert_true(nth > 50);
    world_volume_free(source);
    hm_free(file.bytes);
}

static void test_a_full_disk_adds_no_snapshot(void **state)
{
    struct world_pair *pair = *state;
    struct world_volume *source = pair->source, *sink = pair->sink;
    const struct hm_slice piece = hm_slice_str("piece");
    struct world_transfer transfer;

    world_put(source, "home", &piece, 1);
    sink->disk_is_full = true;
    transfer = world_run(source, sink, HM_EIO);
    assert_non_null(strstr(transfer.sink_error.text, "disk is full"));
    assert_int_equal(sink->count, 0);
    assert_int_equal(sink->seen, 0);
    world_transfer_release(&transfer);
}

/* --- damaged on the way, were there no TLS ------------------------------------------------------------------------------ */

static void test_a_flipped_bit_is_found(void **state)
{
    struct world_volume *source = world_volume_new(world_key);
    struct world_file file;
    unsigned refused = 0;
    unsigned gone = 0;

    (void)state;
    world_file_make(&file, 8);
    world_put(source, "home", file.pieces, 40);
    for (int kind = 0; kind < PACKETFS_KINDS; kind++)
        for (uint64_t at = 0; at < 120000; at += at / 20 + 1) {
            struct world_volume *sink = world_volume_new(world_key);
            struct world_transfer transfer;

            world_transfer_init(&transfer, source, sink);
            world_wire_flip(transfer.wires[kind], 0, at);
            world_transfer_run(&transfer);
            assert_true(transfer.sink_code == 0 || sink->count == 0);
            if (sink->count == 1) { /* the bit came after the end, or in what is not needed */
                HM_CLEANUP(hm_buf) struct hm_buf got = {0};

                world_get(sink, &got);
                assert_int_equal(got.len, 40 * WORLD_PIECE_BYTES);
                assert_memory_equal(got.data, file.bytes, got.len);
            } else if (transfer.sink_code != 0) {
                assert_true(transfer.sink_error.text[0] != '\0');
                refused++;
            } else { /* a snapshot's id in the list: the source does not have that one */
                assert_int_equal(kind, PACKETFS_REFERENCE);
                gone++;
            }
            world_transfer_release(&transfer);
            world_volume_free(sink);
        }
    assert_true(refused > 100);
    assert_true(gone <= PACKETFS_SNAPSHOT_ID_BYTES);
    world_volume_free(source);
    hm_free(file.bytes);
}

/* --- pairs of new and old ------------------------------------------------------------------------------------------------- */

static size_t children_seen, children_based;

static int count_child(void *ctx, const struct packetfs_sync_child *child)
{
    (void)ctx;
    children_seen++;
    children_based += child->has_base;
    return 0;
}

static void test_what_is_new_has_a_base(void **state)
{
    struct world_volume *volume = world_volume_new(world_key);
    HM_CLEANUP(hm_buf) struct hm_buf before = {0};
    HM_CLEANUP(hm_buf) struct hm_buf after = {0};
    const struct hm_slice old[] = {hm_slice_str("one"), hm_slice_str("two"), hm_slice_str("three"),
                                   hm_slice_str("four")};
    const struct hm_slice new[] = {hm_slice_str("one"), hm_slice_str("2"), hm_slice_str("2.5"),
                                   hm_slice_str("three"), hm_slice_str("4")};
    struct packetfs_entry entry;
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
    const struct packetfs_objects *objects = &volume->side.objects;

    (void)state;
    world_put(volume, "a", old, HM_COUNT_OF(old));
    world_put(volume, "a", new, HM_COUNT_OF(new));
    assert_int_equal(packetfs_tree_find(objects, &volume->snapshots[0].root, hm_slice_str("file"),
                                        &entry, &buf, NULL),
                     0);
    assert_int_equal(
        objects->get(objects->ctx, PACKETFS_REFERENCE, &entry.content.id, &before, NULL), 0);
    assert_int_equal(packetfs_tree_find(objects, &volume->snapshots[1].root, hm_slice_str("file"),
                                        &entry, &buf, NULL),
                     0);
    assert_int_equal(
        objects->get(objects->ctx, PACKETFS_REFERENCE, &entry.content.id, &after, NULL), 0);
    children_seen = children_based = 0;
    assert_int_equal(packetfs_sync_children(hm_buf_slice(&after),
                                            (struct hm_slice[]){hm_buf_slice(&before)}, 1,
                                            count_child, NULL, NULL),
                     0);
    assert_int_equal(children_seen, 5);
    assert_int_equal(children_based, 3); /* what is equal needs none */
    children_seen = children_based = 0;
    assert_int_equal(packetfs_sync_children(hm_buf_slice(&after),
                                            (struct hm_slice[]){hm_slice_str("no node")}, 1,
                                            count_child, NULL, NULL),
                     0);
    assert_int_equal(children_seen, 5);
    assert_int_equal(children_based, 0);
    assert_int_equal(packetfs_sync_children(hm_slice_str("no node"),
                                            (struct hm_slice[]){hm_buf_slice(&before)}, 1,
                                            count_child, NULL, NULL),
                     HM_ECORRUPT);
    world_volume_free(volume);
}

static void test_seen_ids_are_bounded(void **state)
{
    struct packetfs_sync_seen *seen;
    struct packetfs_id id = {{0}};
    size_t again = 0;

    (void)state;
    assert_int_equal(packetfs_sync_seen_new(1000, &seen), 0);
    for (uint32_t i = 1; i <= 5000; i++) {
        crypto_hash(&i, sizeof(i), id.bytes);
        assert_true(packetfs_sync_seen_add(seen, &id));
        again += packetfs_sync_seen_add(seen, &id);
    }
    assert_true(again <= 10);
    packetfs_sync_seen_free(seen);
    packetfs_sync_seen_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_everything_arrives_once),
        WORLD_TEST(test_one_byte_changed_travels_as_a_difference),
        WORLD_TEST(test_a_damaged_base_is_done_without),
        WORLD_TEST(test_what_was_lost_comes_again),
        WORLD_TEST(test_levels_come_and_go),
        WORLD_TEST(test_any_edits_arrive),
        WORLD_TEST(test_what_was_chosen_arrives),
        WORLD_TEST(test_many_snapshots_are_compared_in_few_steps),
        WORLD_TEST(test_a_cut_transfer_goes_on),
        cmocka_unit_test(test_a_cut_anywhere_leaves_nothing_half),
        cmocka_unit_test(test_no_memory_leaves_nothing_half),
        WORLD_TEST(test_a_full_disk_adds_no_snapshot),
        cmocka_unit_test(test_a_flipped_bit_is_found),
        cmocka_unit_test(test_what_is_new_has_a_base),
        cmocka_unit_test(test_seen_ids_are_bounded),
    };

    return cmocka_run_group_tests_name("packetfs_sync", tests, NULL, NULL);
}
