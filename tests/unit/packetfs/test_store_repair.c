/* Repair: the index made again, sound objects of damaged packs saved, and who else has the volume open. */
#include "store_scene.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the index --- */

static void index_gone(struct scene *scene, bool garbage)
{
    char path[PACKETFS_PATH_BYTES];
    struct hm_error error;

    packetfs_store_close(HM_TAKE(scene->world.store));
    (void)snprintf(path, sizeof(path), "%s/index", scene->world.dir);
    assert_ok(hm_remove_tree(path, &error));
    if (garbage) {
        uint8_t bytes[8192];

        memset(bytes, 0x5a, sizeof(bytes));
        assert_int_equal(mkdir(path, 0700), 0);
        (void)snprintf(path, sizeof(path), "%s/index/data.mdb", scene->world.dir);
        write_file(path, hm_slice_of(bytes, sizeof(bytes)));
    }
    assert_ok(packetfs_store_open(scene->world.dir, &scene->world.keys, &scene->world.options,
                                  &scene->world.store, &error));
}

static void test_index_lost(void **state)
{
    struct scene scene;
    struct packetfs_check_result result;
    struct packetfs_writer *writer = NULL;
    struct packetfs_stats stats;
    struct packetfs_prune_result pruned;
    const struct packetfs_prune_options options = {0};
    struct hm_error error;

    (void)state;
    for (int garbage = 0; garbage < 2; garbage++) {
        scene_init(&scene);
        index_gone(&scene, garbage);
        assert_int_equal(get(&scene, 1, &error), HM_ECORRUPT);
        assert_non_null(strstr(error.text, "repair"));
        assert_int_equal(packetfs_writer_open(scene.world.store, &writer, &error), HM_ECORRUPT);
        assert_int_equal(packetfs_store_stats(scene.world.store, &stats, &error), HM_ECORRUPT);
        assert_int_equal(packetfs_store_check(scene.world.store, false, NULL, &result, &error),
                         HM_ECORRUPT);
        assert_int_equal(packetfs_store_prune(scene.world.store, &options, NULL, &pruned, &error),
                         HM_ECORRUPT);
        assert_ok(packetfs_store_repair(scene.world.store, NULL, &result, &error));
        assert_int_equal(result.findings, 0);
        assert_int_equal(result.packs, 2);
        world_check_numbers(&scene.world, scene.numbers, COUNT);
        assert_int_equal(verdict(&scene.world, true), 0);
        world_reopen(&scene.world);
        world_check_numbers(&scene.world, scene.numbers, COUNT);
        scene_release(&scene);
    }
}

/* --- repair --- */

static void test_repair_saves_the_rest(void **state)
{
    struct scene scene;
    struct packetfs_check_result result;
    struct hm_error error;
    char damaged[WORLD_PATH_BYTES + 16];
    int lost = 0;

    (void)state;
    scene_init(&scene);
    /* Two objects of the pack are hit. */
    scene.bytes[0].data[scene.rows[0][3].position * PACKETFS_UNIT_BYTES + 5] ^= 1;
    scene.bytes[0].data[scene.rows[0][7].position * PACKETFS_UNIT_BYTES + 5] ^= 1;
    heal(&scene, PACKETFS_PATTERN);
    assert_ok(packetfs_store_repair(scene.world.store, NULL, &result, &error));
    assert_int_equal(
        result.findings,
        2 + 2 + 1); /* the objects, that the snapshot lacks them, and that it is not whole */
    assert_int_not_equal(access(scene.packs[PACKETFS_PATTERN], F_OK), 0);
    (void)snprintf(damaged, sizeof(damaged), "%s/damaged", scene.world.dir);
    assert_int_equal(access(damaged, F_OK), 0);
    for (uint64_t n = 0; n < COUNT; n++)
        lost += get(&scene, n, &error) != 0;
    assert_int_equal(lost, 2);
    /* Put again, what was lost is there again, and the old snapshot whole. */
    {
        struct packetfs_writer *writer = NULL;

        assert_ok(packetfs_writer_open(scene.world.store, &writer, &error));
        for (uint64_t n = 0; n < COUNT; n++) {
            struct packetfs_id id;

            world_put(writer, PACKETFS_PATTERN, n, world_len(n), &id);
        }
        assert_ok(packetfs_writer_flush(writer, &error));
        packetfs_writer_close(writer);
    }
    assert_int_equal(verdict(&scene.world, true), 0);
    scene_release(&scene);
}

/* Who has the volume open while another repairs it goes on with the new index; what a later program wrote is not touched. */
static void test_repair_beside_an_open_handle(void **state)
{
    struct scene scene;
    struct packetfs_store *other = NULL;
    struct packetfs_check_result result;
    struct packetfs_writer *writer = NULL;
    struct packetfs_writer_counts counts;
    struct packetfs_id id;
    struct hm_error error;

    (void)state;
    scene_init(&scene);
    assert_ok(packetfs_store_open(scene.world.dir, &scene.world.keys, &scene.world.options, &other,
                                  &error));
    world_id(&scene.world, PACKETFS_PATTERN, 1, world_len(1), &id);
    assert_int_equal(packetfs_store_has(other, PACKETFS_PATTERN, &id), 0);
    assert_ok(packetfs_store_repair(scene.world.store, NULL, &result, &error));
    assert_ok(packetfs_snapshot_remove(scene.world.store, scene.snapshot.id, &error));
    (void)world_prune(&scene.world, 0);
    /* Nothing of it is there any more: the other handle must store it again, and where all see it. */
    assert_ok(packetfs_writer_open(other, &writer, &error));
    for (uint64_t n = 0; n < COUNT; n++)
        world_put(writer, PACKETFS_PATTERN, n, world_len(n), &id);
    packetfs_writer_counts(writer, &counts);
    assert_int_equal(counts.objects_new[PACKETFS_PATTERN], COUNT);
    assert_ok(packetfs_writer_flush(writer, &error));
    packetfs_writer_close(writer);
    packetfs_store_close(other);
    world_check_numbers(&scene.world, scene.numbers, COUNT);
    assert_int_equal(verdict(&scene.world, true), 0);
    scene_release(&scene);
}

/* Somebody removed a pack's file: nobody takes what was in it for known, and a put heals the volume. */
static void test_a_lost_pack_is_stored_again(void **state)
{
    struct scene scene;
    struct packetfs_writer *writer = NULL;
    struct packetfs_objects objects;
    struct packetfs_id id;
    struct hm_error error;

    (void)state;
    scene_init(&scene);
    assert_int_equal(unlink(scene.packs[PACKETFS_PATTERN]), 0);
    world_reopen(&scene.world);
    assert_ok(packetfs_writer_open(scene.world.store, &writer, &error));
    objects = packetfs_writer_objects(writer);
    world_id(&scene.world, PACKETFS_PATTERN, 1, world_len(1), &id);
    assert_int_equal(objects.has(objects.ctx, PACKETFS_PATTERN, &id), HM_ENOTFOUND);
    for (uint64_t n = 0; n < COUNT; n++)
        world_put(writer, PACKETFS_PATTERN, n, world_len(n), &id);
    assert_ok(packetfs_writer_flush(writer, &error));
    packetfs_writer_close(writer);
    world_check_numbers(&scene.world, scene.numbers, COUNT);
    scene_release(&scene);
}

static void test_repair_bars_writers(void **state)
{
    struct scene scene;
    struct packetfs_writer *writer = NULL;
    struct hm_error error;
    int bar = -1;

    (void)state;
    scene_init(&scene);
    assert_ok(packetfs_alive_bar(scene.world.store, &bar, &error));
    assert_int_equal(packetfs_writer_open(scene.world.store, &writer, &error), HM_EBUSY);
    hm_fd_release(&bar);
    assert_ok(packetfs_writer_open(scene.world.store, &writer, &error));
    packetfs_writer_close(writer);
    scene_release(&scene);
}

static void test_repair_leaves_later_formats(void **state)
{
    struct scene scene;
    struct packetfs_check_result result;
    struct hm_error error;

    (void)state;
    scene_init(&scene);
    scene.bytes[0].data[9] = 2; /* the format */
    heal(&scene, PACKETFS_PATTERN);
    assert_int_equal(packetfs_store_repair(scene.world.store, NULL, &result, &error),
                     HM_EUNSUPPORTED);
    assert_int_equal(access(scene.packs[PACKETFS_PATTERN], F_OK), 0);
    scene.bytes[0].data[9] = 1;
    heal(&scene, PACKETFS_PATTERN);
    world_reopen(&scene.world);
    world_check_numbers(&scene.world, scene.numbers, COUNT);
    assert_int_equal(verdict(&scene.world, true), 0);
    scene_release(&scene);
}

/* Two snapshots that lack the same are both named. */
static void test_every_snapshot_is_named(void **state)
{
    struct scene scene;
    struct packetfs_snapshot second;
    HM_CLEANUP(hm_buf) struct hm_buf findings = {0};
    struct hm_error error;

    (void)state;
    scene_init(&scene);
    second = (struct packetfs_snapshot){.root = scene.snapshot.root, .label = "second"};
    assert_ok(packetfs_snapshot_add(scene.world.store, &second, &error));
    assert_int_equal(unlink(scene.packs[PACKETFS_REFERENCE]), 0);
    assert_int_equal(world_findings(&scene.world, false, &findings), HM_ECORRUPT);
    assert_non_null(strstr(hm_buf_cstr(&findings), "\"scene\" is not whole"));
    assert_non_null(strstr(hm_buf_cstr(&findings), "\"second\" is not whole"));
    scene_release(&scene);
}

static void test_repair_of_a_pack_without_folder(void **state)
{
    struct scene scene;
    struct packetfs_check_result result;
    struct hm_error error;

    (void)state;
    scene_init(&scene);
    scene.bytes[0].data[scene.bytes[0].len - 1] ^= 1;
    heal(&scene, PACKETFS_PATTERN);
    assert_ok(packetfs_store_repair(scene.world.store, NULL, &result, &error));
    assert_int_equal(result.findings, 1 + COUNT + 1);
    assert_int_equal(get(&scene, 1, &error), HM_ENOTFOUND);
    scene_release(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index_lost),
        cmocka_unit_test(test_repair_saves_the_rest),
        cmocka_unit_test(test_repair_beside_an_open_handle),
        cmocka_unit_test(test_a_lost_pack_is_stored_again),
        cmocka_unit_test(test_repair_bars_writers),
        cmocka_unit_test(test_repair_leaves_later_formats),
        cmocka_unit_test(test_every_snapshot_is_named),
        cmocka_unit_test(test_repair_of_a_pack_without_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
