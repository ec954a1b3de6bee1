/* Put, flush, get: of one process. */
#include "store_world.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define OBJECTS 600

static size_t len_of(uint64_t n)
{
    static const size_t lens[] = {1, 15, 16, 17, 100, 4096, 65536, 70001, 262144, 3000};

    return n == 7 ? PACKETFS_OBJECT_MAX_BYTES : lens[n % HM_COUNT_OF(lens)];
}

static enum packetfs_kind kind_of(uint64_t n)
{
    return n % 3 == 0 ? PACKETFS_REFERENCE : PACKETFS_PATTERN;
}

static void fill(struct world *world, uint64_t from, uint64_t count)
{
    struct packetfs_writer *writer = NULL;
    struct hm_error error;
    struct packetfs_id id;

    assert_ok(packetfs_writer_open(world->store, &writer, &error));
    for (uint64_t n = from; n < from + count; n++)
        world_put(writer, kind_of(n), n, len_of(n), &id);
    assert_ok(packetfs_writer_flush(writer, &error));
    packetfs_writer_close(writer);
}

static void verify(struct world *world, uint64_t from, uint64_t count)
{
    struct hm_error error;
    struct packetfs_id id;

    for (uint64_t n = from; n < from + count; n++) {
        world_id(world, kind_of(n), n, len_of(n), &id);
        assert_ok(world_check(world->store, kind_of(n), n, len_of(n), &id, &error));
        assert_int_equal(packetfs_store_has(world->store, kind_of(n), &id), 0);
        assert_int_not_equal(packetfs_store_position(world->store, kind_of(n), &id), 0);
        assert_int_equal(packetfs_store_has(world->store, (enum packetfs_kind) !kind_of(n), &id),
                         HM_ENOTFOUND);
    }
}

static void test_put_and_get(void **state)
{
    struct world world;

    (void)state;
    world_init(&world);
    fill(&world, 0, OBJECTS);
    verify(&world, 0, OBJECTS);
    world_reopen(&world);
    verify(&world, 0, OBJECTS);
    world_release(&world);
}

static void test_suites_and_levels(void **state)
{
    static const struct packetfs_store_options all[] = {
        {.suite = PACKETFS_SUITE_CHACHA20_POLY1305, .zstd_level = 1, .pad = true},
        {.suite = PACKETFS_SUITE_AES_256_GCM, .zstd_level = 0, .pad = false},
        {.suite = PACKETFS_SUITE_AES_256_GCM, .zstd_level = -5, .pad = false},
        {.suite = PACKETFS_SUITE_CHACHA20_POLY1305, .zstd_level = 19, .pad = true}};
    struct world world;

    (void)state;
    world_init(&world);
    for (size_t i = 0; i < HM_COUNT_OF(all); i++) {
        world.options = all[i];
        world_reopen(&world);
        fill(&world, i * 40, 40);
    }
    verify(&world, 0, 40 * HM_COUNT_OF(all));
    world_release(&world);
}

static void test_known_objects_are_not_stored_again(void **state)
{
    struct packetfs_writer *writer = NULL;
    struct packetfs_writer_counts counts;
    struct world world;
    struct hm_error error;
    struct packetfs_id id;

    (void)state;
    world_init(&world);
    assert_ok(packetfs_writer_open(world.store, &writer, &error));
    for (int round = 0; round < 3; round++) {
        for (uint64_t n = 0; n < 50; n++)
            world_put(writer, PACKETFS_PATTERN, n, 5000, &id);
        if (round == 1)
            assert_ok(packetfs_writer_flush(writer, &error));
    }
    packetfs_writer_counts(writer, &counts);
    assert_int_equal(counts.objects_new[PACKETFS_PATTERN], 50);
    assert_int_equal(counts.objects_known[PACKETFS_PATTERN], 100);
    assert_int_equal(counts.bytes_new[PACKETFS_PATTERN], 50 * 5000);
    /* The same bytes as the other kind are another object. */
    world_put(writer, PACKETFS_REFERENCE, 1, 5000, &id);
    packetfs_writer_counts(writer, &counts);
    assert_int_equal(counts.objects_new[PACKETFS_REFERENCE], 1);
    packetfs_writer_close(writer);
    world_release(&world);
}

static void test_a_writer_reads_what_it_wrote(void **state)
{
    struct packetfs_writer *writer = NULL;
    struct packetfs_objects objects;
    struct world world;
    struct hm_error error;
    struct packetfs_id ids[300];

    (void)state;
    world_init(&world);
    assert_ok(packetfs_writer_open(world.store, &writer, &error));
    objects = packetfs_writer_objects(writer);
    for (uint64_t n = 0; n < HM_COUNT_OF(ids); n++)
        world_put(writer, PACKETFS_PATTERN, 2 * n, 262144, &ids[n]); /* four packs and more */
    for (uint64_t n = 0; n < HM_COUNT_OF(ids); n++) {
        HM_CLEANUP(hm_buf) struct hm_buf got = {0};
        HM_CLEANUP(hm_buf) struct hm_buf want = {0};

        assert_int_equal(objects.has(objects.ctx, PACKETFS_PATTERN, &ids[n]), 0);
        assert_ok(objects.get(objects.ctx, PACKETFS_PATTERN, &ids[n], &got, &error));
        world_object(2 * n, 262144, &want);
        assert_true(hm_slice_equal(hm_buf_slice(&got), hm_buf_slice(&want)));
    }
    packetfs_writer_close(writer);
    world_release(&world);
}

static void test_what_was_not_flushed_is_dropped(void **state)
{
    struct packetfs_writer *writer = NULL;
    struct world world;
    struct hm_error error;
    struct packetfs_id id;
    char tmp[WORLD_PATH_BYTES + 8];

    (void)state;
    world_init(&world);
    assert_ok(packetfs_writer_open(world.store, &writer, &error));
    for (uint64_t n = 0; n < 70; n++)
        world_put(writer, PACKETFS_PATTERN, 2 * n, 262144, &id); /* a pack and more */
    packetfs_writer_close(writer);
    assert_int_equal(packetfs_store_has(world.store, PACKETFS_PATTERN, &id), HM_ENOTFOUND);
    (void)snprintf(tmp, sizeof(tmp), "%s/tmp", world.dir);
    assert_int_equal(rmdir(tmp), 0); /* nothing is left in it */
    world_reopen(&world);
    world_release(&world);
}

static void test_limits(void **state)
{
    struct packetfs_writer *writer = NULL;
    struct world world;
    struct hm_error error;
    struct packetfs_id id;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    (void)state;
    world_init(&world);
    world_object(0, PACKETFS_OBJECT_MAX_BYTES + 1, &bytes);
    assert_ok(packetfs_writer_open(world.store, &writer, &error));
    assert_int_equal(
        packetfs_writer_put(writer, PACKETFS_PATTERN, hm_buf_slice(&bytes), &id, &error),
        HM_EINVAL);
    assert_int_equal(
        packetfs_writer_put(writer, PACKETFS_PATTERN, hm_slice_of(bytes.data, 0), &id, &error),
        HM_EINVAL);
    assert_ok(packetfs_writer_flush(writer, &error)); /* a refused object spoils nothing */
    packetfs_writer_close(writer);
    world.options.read_only = true;
    world_reopen(&world);
    assert_int_equal(packetfs_writer_open(world.store, &writer, &error), HM_EPERM);
    world_release(&world);
}

static void test_options(void **state)
{
    struct world world;
    struct packetfs_store *store = NULL;
    struct hm_error error;
    struct packetfs_store_options options;

    (void)state;
    world_init(&world);
    options = world.options;
    options.zstd_level = 20;
    assert_int_equal(packetfs_store_open(world.dir, &world.keys, &options, &store, &error),
                     HM_EINVAL);
    options = world.options;
    options.suite = (enum packetfs_suite)3;
    assert_int_equal(packetfs_store_open(world.dir, &world.keys, &options, &store, &error),
                     HM_EINVAL);
    assert_null(store);
    world_release(&world);
}

static void test_an_empty_volume_can_be_read(void **state)
{
    struct world world;
    struct hm_error error;
    struct packetfs_id id = {.bytes = {1}};

    (void)state;
    world_init(&world);
    packetfs_store_close(HM_TAKE(world.store));
    assert_ok(hm_remove_tree(world.dir, &error));
    assert_ok(hm_mkdir_all(world.dir, 0700, &error));
    world.options.read_only = true; /* as packetfs_volume_create leaves it */
    assert_ok(packetfs_store_open(world.dir, &world.keys, &world.options, &world.store, &error));
    assert_int_equal(packetfs_store_has(world.store, PACKETFS_PATTERN, &id), HM_ENOTFOUND);
    world_release(&world);
}

/* Two handles of one folder in one process: what one stores the other sees. */
static void test_two_handles(void **state)
{
    struct world world;
    struct packetfs_store *other = NULL;
    struct hm_error error;
    struct packetfs_id id;

    (void)state;
    world_init(&world);
    assert_ok(packetfs_store_open(world.dir, &world.keys, &world.options, &other, &error));
    fill(&world, 0, 20);
    for (uint64_t n = 0; n < 20; n++) {
        world_id(&world, kind_of(n), n, len_of(n), &id);
        assert_ok(world_check(other, kind_of(n), n, len_of(n), &id, &error));
    }
    packetfs_store_close(other);
    verify(&world, 0, 20);
    world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_and_get),
        cmocka_unit_test(test_suites_and_levels),
        cmocka_unit_test(test_known_objects_are_not_stored_again),
        cmocka_unit_test(test_a_writer_reads_what_it_wrote),
        cmocka_unit_test(test_what_was_not_flushed_is_dropped),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_an_empty_volume_can_be_read),
        cmocka_unit_test(test_two_handles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
