/* The power fails at any write, sync or name of put, snapshot, remove and prune: what was promised is there, whole, and check is
 * clean. The program starts itself again below the preload library of tests/unit/store/powercut, as
 * `work DIR`, and judges what each cut leaves. */
#include "store_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "powercut/powercut_image.h"
#include "powercut/powercut_run.h"

#define MADE     1000 /* mark: the volume is there */
#define ROUNDS   4
#define MIXED    12
#define OBJECTS  (MIXED + WORLD_SMALL_ENOUGH + 10) /* small ones: a dictionary is made on the way */
#define SHIFT    5 /* a round's objects begin so much later than those of the one before */
#define STRIDE   3 /* one image in so many is judged */
#define VARIANTS 2 /* random ones */

static size_t numbers_of(uint64_t round, uint64_t numbers[OBJECTS])
{
    for (uint64_t i = 0; i < OBJECTS; i++)
        numbers[i] = round * SHIFT + (i < MIXED ? i : WORLD_SMALL + i);
    return OBJECTS;
}

static void world_at(struct world *world, const char *dir)
{
    struct hm_error error;

    memset(world, 0, sizeof(*world));
    (void)snprintf(world->dir, sizeof(world->dir), "%s", dir);
    assert_ok(crypto_setup(&error));
    world_keys(1, &world->keys);
    world->options = (struct packetfs_store_options){
        .suite = PACKETFS_SUITE_AES_256_GCM,
        .zstd_level = 1,
        .pad = true,
        .dictionaries = true,
        .dictionary_samples_bytes = WORLD_DICTIONARY_SAMPLES};
    assert_ok(packetfs_store_open(dir, &world->keys, &world->options, &world->store, &error));
}

static void one_round(struct world *world, uint64_t round, struct packetfs_snapshot *last)
{
    uint64_t numbers[OBJECTS];
    struct packetfs_writer *writer = NULL;
    struct packetfs_snapshot snapshot;
    struct hm_error error;
    char label[16];

    (void)snprintf(label, sizeof(label), "round%llu", (unsigned long long)round);
    assert_ok(packetfs_writer_open(world->store, &writer, &error));
    world_snapshot(world, writer, numbers, numbers_of(round, numbers), label, &snapshot);
    packetfs_writer_close(writer);
    powercut_promise(MADE + round);
    if (last->label[0])
        assert_ok(packetfs_snapshot_remove(world->store, last->id, &error));
    (void)world_prune(world, 0);
    *last = snapshot;
}

/* The library sees no folder that it did not see made, and follows no folder that is renamed, as a new index is: so this process makes the
 * volume from the index that its parent has laid beside it. Cuts before the first mark are not judged. */
static void make_volume(const char *dir)
{
    static const char *const folders[] = {"packs", "snapshots", "writers", "tmp", "index"};
    HM_AUTOFREE char *made = hm_asprintf("%s.index/data.mdb", dir);
    HM_AUTOFREE char *data = hm_asprintf("%s/index/data.mdb", dir);
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    struct hm_error error;

    for (size_t i = 0; i < HM_COUNT_OF(folders); i++) {
        HM_AUTOFREE char *path = hm_asprintf("%s/%s", dir, folders[i]);

        assert_int_equal(mkdir(path, 0700), 0);
    }
    assert_ok(packetfs_store_sync_folder(dir, &error));
    assert_ok(hm_file_read(made, (size_t)1 << 24, &bytes, &error));
    assert_ok(hm_file_replace(data, bytes.data, bytes.len, 0600, &error));
    powercut_promise(MADE);
}

static int child_main(const char *dir)
{
    struct packetfs_snapshot last = {0};
    struct world world;

    make_volume(dir);
    world_at(&world, dir);
    for (uint64_t round = 1; round <= ROUNDS; round++)
        one_round(&world, round, &last);
    packetfs_store_close(world.store);
    return 0;
}

static void judge(const char *cut, uint64_t promised, size_t step, unsigned variant)
{
    HM_CLEANUP(hm_buf) struct hm_buf findings = {0};
    uint64_t numbers[OBJECTS];
    struct packetfs_snapshot found = {0};
    struct world world;
    struct hm_error error = {0};
    char label[16];

    world_at(&world, cut);
    if (world_findings(&world, true, &findings))
        fail_msg("step %zu, variant %u, %llu promised: %s", step, variant,
                 (unsigned long long)promised, hm_buf_cstr(&findings));
    (void)snprintf(label, sizeof(label), "round%llu", (unsigned long long)promised);
    if (promised > 0) {
        assert_ok(packetfs_snapshot_find(world.store, label, &found, &error));
        world_check_numbers(&world, numbers, numbers_of(promised, numbers));
        assert_true(world_stats(&world).dictionaries >= 1);
    }
    if (step % 4 == 0) { /* and it goes on from there */
        (void)world_prune(&world, 0);
        one_round(&world, ROUNDS + 1, &found);
    }
    packetfs_store_close(world.store);
}

static void test_power_cut_anywhere(void **state)
{
    char program[] = "test_packetfs_store_powercut";
    char verb[] = "work";
    struct powercut_log log = {0};
    struct powercut_image *image;
    struct world world;
    char file[WORLD_PATH_BYTES + 8], index[WORLD_PATH_BYTES + 8], cut[WORLD_PATH_BYTES + 8];
    char *const argv[] = {program, verb, world.dir, NULL};
    struct hm_error error = {0};
    size_t images = 0;
    size_t count = 0;

    (void)state;
    if (access("/dev/shm", W_OK) == 0 && !getenv("TMPDIR"))
        (void)setenv("TMPDIR", "/dev/shm", 1); /* thousands of images: spare the disk */
    world_init(&world);
    packetfs_store_close(HM_TAKE(world.store));
    (void)snprintf(file, sizeof(file), "%s.log", world.dir);
    (void)snprintf(index, sizeof(index), "%s.index", world.dir);
    (void)snprintf(cut, sizeof(cut), "%s.cut", world.dir);
    (void)snprintf(cut, sizeof(cut), "%s/index", world.dir);
    assert_int_equal(rename(cut, index), 0);
    assert_ok(hm_remove_tree(world.dir, &error));
    assert_ok(hm_mkdir_all(world.dir, 0700, &error));
    (void)snprintf(cut, sizeof(cut), "%s.cut", world.dir);
    assert_int_equal(powercut_run(argv, world.dir, file, ""), 0);
    assert_ok(powercut_load(file, &log, &error));
    image = powercut_image_new(&log, NULL);
    do {
        for (unsigned v = 0; v < powercut_variants(image, VARIANTS); v++) {
            if (powercut_image_mark(image) < MADE || count++ % STRIDE != 0)
                continue;
            assert_ok(powercut_image_write(image, v, cut, &error));
            judge(cut, powercut_image_mark(image) - MADE, powercut_image_step(image), v);
            images++;
        }
    } while (powercut_image_advance(image));
    assert_true(images > 100);
    powercut_image_free(image);
    powercut_log_release(&log);
    (void)unlink(file);
    assert_ok(hm_remove_tree(index, &error));
    assert_ok(hm_remove_tree(cut, &error));
    assert_ok(hm_remove_tree(world.dir, &error));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_cut_anywhere),
    };

    if (argc == 3 && strcmp(argv[1], "work") == 0)
        return child_main(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
