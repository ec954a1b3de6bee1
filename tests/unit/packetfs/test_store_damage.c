/* Damage: every kind of byte of every kind of file, and what check, reading and repair make of it. */
#include "store_scene.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/packetfs_snapshot.h"

/* Flips one bit of a pack; what check says. */
static int flipped(struct scene *scene, enum packetfs_kind kind, size_t at, bool full)
{
    HM_CLEANUP(hm_buf) struct hm_buf findings = {0};
    int rc;

    assert_true(at < scene->bytes[kind].len);
    scene->bytes[kind].data[at] ^= 0x10;
    heal(scene, kind);
    rc = world_findings(&scene->world, full, &findings);
    if (rc)
        assert_true(findings.len > 0);
    scene->bytes[kind].data[at] ^= 0x10;
    heal(scene, kind);
    return rc;
}

static void test_every_part_of_a_pack(void **state)
{
    struct scene scene;

    (void)state;
    scene_init(&scene);
    for (int k = 0; k < PACKETFS_KINDS; k++) {
        enum packetfs_kind kind = (enum packetfs_kind)k;
        size_t folder = (size_t)scene.footers[kind].folder_position * PACKETFS_UNIT_BYTES;
        size_t behind = folder + (size_t)scene.footers[kind].folder_length * PACKETFS_UNIT_BYTES;
        size_t end = scene.bytes[kind].len;

        for (size_t at = 0; at < PACKETFS_PACK_HEADER_BYTES; at++) /* each byte of the header */
            assert_int_equal(flipped(&scene, kind, at, false), HM_ECORRUPT);
        for (size_t at = folder; at < behind; at += 37)
            assert_int_equal(flipped(&scene, kind, at, false), HM_ECORRUPT);
        for (size_t at = end - PACKETFS_PACK_FOOTER_BYTES; at < end; at++)
            assert_int_equal(flipped(&scene, kind, at, false), HM_ECORRUPT);
        /* Objects and filler are for the full check. */
        for (uint32_t i = 0; i < scene.footers[kind].objects; i++) {
            size_t from = (size_t)scene.rows[kind][i].position * PACKETFS_UNIT_BYTES;
            size_t len = (size_t)scene.rows[kind][i].length * PACKETFS_UNIT_BYTES;

            assert_int_equal(flipped(&scene, kind, from + (i % 3) * (len - 1) / 2, true),
                             HM_ECORRUPT);
        }
        assert_int_equal(flipped(&scene, kind, behind + 3, true), HM_ECORRUPT);
        assert_int_equal(flipped(&scene, kind, end - PACKETFS_PACK_FOOTER_BYTES - 1, true),
                         HM_ECORRUPT);
        assert_int_equal(verdict(&scene.world, true), 0);
    }
    scene_release(&scene);
}

static void test_cut_and_gone(void **state)
{
    static const size_t lens[] = {0, 1, 63, 64, 95, 96, 112, 1000};
    struct scene scene;

    (void)state;
    scene_init(&scene);
    for (size_t i = 0; i < HM_COUNT_OF(lens) + 3; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf findings = {0};
        size_t whole = scene.bytes[PACKETFS_PATTERN].len;
        size_t len = i < HM_COUNT_OF(lens) ? lens[i] : whole - (i - HM_COUNT_OF(lens)) * 16 - 1;

        write_file(scene.packs[PACKETFS_PATTERN],
                   hm_slice_of(scene.bytes[PACKETFS_PATTERN].data, len));
        assert_int_equal(world_findings(&scene.world, false, &findings), HM_ECORRUPT);
        heal(&scene, PACKETFS_PATTERN);
    }
    assert_int_equal(unlink(scene.packs[PACKETFS_PATTERN]), 0);
    assert_int_equal(verdict(&scene.world, false), HM_ECORRUPT);
    heal(&scene, PACKETFS_PATTERN);
    assert_int_equal(verdict(&scene.world, true), 0);
    scene_release(&scene);
}

/* Two objects of one length change places within a pack: each is bound to its own. */
static void test_exchanged_objects(void **state)
{
    struct scene scene;
    struct hm_error error;
    struct packetfs_pack_row *a = NULL;
    struct packetfs_pack_row *b = NULL;
    size_t len;
    uint8_t *data;
    int damaged = 0;

    (void)state;
    scene_init(&scene);
    for (uint32_t i = 0; i < scene.footers[0].objects && !b; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (scene.rows[0][i].length == scene.rows[0][j].length) {
                a = &scene.rows[0][i];
                b = &scene.rows[0][j];
            }
        }
    }
    assert_non_null(b);
    len = (size_t)a->length * PACKETFS_UNIT_BYTES;
    data = hm_malloc(len);
    assert_non_null(data);
    memcpy(data, scene.bytes[0].data + a->position * PACKETFS_UNIT_BYTES, len);
    memcpy(scene.bytes[0].data + a->position * PACKETFS_UNIT_BYTES,
           scene.bytes[0].data + b->position * PACKETFS_UNIT_BYTES, len);
    memcpy(scene.bytes[0].data + b->position * PACKETFS_UNIT_BYTES, data, len);
    hm_free(data);
    heal(&scene, PACKETFS_PATTERN);
    world_reopen(&scene.world);
    for (uint64_t n = 0; n < COUNT; n++) {
        int rc = get(&scene, n, &error);

        if (rc)
            assert_int_equal(rc, HM_ECORRUPT);
        damaged += rc != 0;
    }
    assert_int_equal(damaged, 2);
    scene_release(&scene);
}

/* A pack of the other kind, or of another volume, under a pack's name. */
static void test_exchanged_packs(void **state)
{
    struct scene scene, other;
    struct hm_error error;

    (void)state;
    scene_init(&scene);
    write_file(scene.packs[PACKETFS_PATTERN], hm_buf_slice(&scene.bytes[PACKETFS_REFERENCE]));
    assert_int_equal(verdict(&scene.world, false), HM_ECORRUPT);
    world_reopen(&scene.world);
    assert_int_equal(get(&scene, 3, &error), HM_ECORRUPT);
    scene_init(&other);
    packetfs_store_close(HM_TAKE(other.world.store));
    /* Made as volume 1 as well, but with another key would be the same folder: take volume 2. */
    assert_ok(hm_remove_tree(other.world.dir, &error));
    world_keys(2, &other.world.keys);
    assert_ok(hm_mkdir_all(other.world.dir, 0700, &error));
    assert_ok(packetfs_store_open(other.world.dir, &other.world.keys, &other.world.options,
                                  &other.world.store, &error));
    for (int kind = 0; kind < PACKETFS_KINDS; kind++) {
        hm_buf_clear(&other.bytes[kind]);
        hm_free(HM_TAKE(other.rows[kind]));
    }
    {
        struct packetfs_writer *writer = NULL;

        assert_ok(packetfs_writer_open(other.world.store, &writer, &error));
        world_snapshot(&other.world, writer, other.numbers, COUNT, "other", &other.snapshot);
        packetfs_writer_close(writer);
        find_packs(&other);
    }
    write_file(scene.packs[PACKETFS_PATTERN], hm_buf_slice(&other.bytes[PACKETFS_PATTERN]));
    assert_int_equal(verdict(&scene.world, false), HM_ECORRUPT);
    world_reopen(&scene.world);
    assert_int_equal(get(&scene, 3, &error), HM_ECORRUPT);
    scene_release(&other);
    scene_release(&scene);
}

static void test_wrong_key(void **state)
{
    struct scene scene;
    struct packetfs_keys other;
    struct hm_error error;
    int fd;

    (void)state;
    scene_init(&scene);
    /* The right volume id, another key: what an attacker who guesses has. */
    world_keys(9, &other);
    memcpy(other.volume_id, scene.world.keys.volume_id, sizeof(other.volume_id));
    fd = open(scene.packs[PACKETFS_PATTERN], O_RDONLY | O_CLOEXEC);
    {
        struct packetfs_pack_row *rows = NULL;

        assert_int_equal(packetfs_pack_read_folder(fd, &other, NULL, NULL, &rows, NULL, &error),
                         HM_ECORRUPT);
        assert_null(rows);
    }
    hm_fd_release(&fd);
    /* Another volume's index is not taken for ours. */
    packetfs_store_close(HM_TAKE(scene.world.store));
    world_keys(9, &other);
    assert_ok(packetfs_store_open(scene.world.dir, &other, &scene.world.options, &scene.world.store,
                                  &error));
    assert_int_equal(get(&scene, 1, &error), HM_ECORRUPT);
    assert_non_null(strstr(error.text, "repair"));
    scene_release(&scene);
}

/* --- snapshots --- */

static void test_damaged_snapshots(void **state)
{
    struct scene scene;
    struct packetfs_snapshot *list = NULL;
    struct packetfs_check_result result;
    HM_CLEANUP(hm_buf) struct hm_buf sealed = {0};
    struct packetfs_snapshot out;
    struct hm_error error;
    char hex[33];
    char path[WORLD_PATH_BYTES + 64];
    size_t count = 0;

    (void)state;
    scene_init(&scene);
    hm_hex_encode(scene.snapshot.id, 16, hex);
    (void)snprintf(path, sizeof(path), "%s/snapshots/%s", scene.world.dir, hex);
    assert_ok(packetfs_snapshot_read(scene.world.store, scene.snapshot.id, &sealed, &error));
    for (size_t at = 0; at < sealed.len; at++) {
        sealed.data[at] ^= 0x04;
        int rc = packetfs_snapshot_unseal(&scene.world.keys, hm_buf_slice(&sealed), &out, &error);
        assert_true(rc == HM_ECORRUPT || rc == HM_EUNSUPPORTED);
        sealed.data[at] ^= 0x04;
    }
    for (size_t len = 0; len < sealed.len; len += 7)
        assert_int_equal(packetfs_snapshot_unseal(&scene.world.keys, hm_slice_of(sealed.data, len),
                                                  &out, &error),
                         HM_ECORRUPT);
    sealed.data[100] ^= 1;
    write_file(path, hm_buf_slice(&sealed));
    {
        struct packetfs_snapshot sound = {.root = scene.snapshot.root, .label = "sound"};
        const struct packetfs_prune_options options = {0};
        struct packetfs_prune_result pruned;

        /* The others are read as ever; nothing is removed. */
        assert_ok(packetfs_snapshot_add(scene.world.store, &sound, &error));
        assert_ok(packetfs_snapshot_find(scene.world.store, "sound", &out, &error));
        assert_ok(packetfs_snapshot_list(scene.world.store, &list, &count, &error));
        assert_int_equal(count, 1);
        hm_free(HM_TAKE(list));
        assert_int_equal(packetfs_store_prune(scene.world.store, &options, NULL, &pruned, &error),
                         HM_ECORRUPT);
        assert_non_null(strstr(error.text, hex));
    }
    assert_int_equal(verdict(&scene.world, false), HM_ECORRUPT);
    assert_ok(packetfs_store_repair(scene.world.store, NULL, &result, &error));
    assert_int_equal(result.findings, 1);
    assert_int_not_equal(access(path, F_OK), 0); /* set aside */
    assert_ok(packetfs_snapshot_list(scene.world.store, &list, &count, &error));
    assert_int_equal(count, 1);
    hm_free(list);
    scene_release(&scene);
}

/* One snapshot's file under another's name. */
static void test_renamed_snapshot(void **state)
{
    struct scene scene;
    struct packetfs_snapshot *list = NULL;
    HM_CLEANUP(hm_buf) struct hm_buf sealed = {0};
    struct hm_error error;
    char path[WORLD_PATH_BYTES + 64];
    size_t count = 0;

    (void)state;
    scene_init(&scene);
    assert_ok(packetfs_snapshot_read(scene.world.store, scene.snapshot.id, &sealed, &error));
    (void)snprintf(path, sizeof(path), "%s/snapshots/%032d", scene.world.dir, 7);
    write_file(path, hm_buf_slice(&sealed));
    assert_ok(packetfs_snapshot_list(scene.world.store, &list, &count, &error));
    assert_int_equal(count, 1); /* it does not count twice */
    hm_free(list);
    assert_int_equal(verdict(&scene.world, false), HM_ECORRUPT);
    scene_release(&scene);
}

static void test_snapshot_names(void **state)
{
    struct scene scene;
    struct packetfs_snapshot found;
    struct packetfs_snapshot more = {.label = "more"};
    struct packetfs_snapshot bad;
    HM_CLEANUP(hm_buf) struct hm_buf sealed = {0};
    struct hm_error error;
    char hex[33];

    (void)state;
    scene_init(&scene);
    assert_int_equal(scene.snapshot.sequence, 1);
    more.root = scene.snapshot.root;
    assert_ok(packetfs_snapshot_add(scene.world.store, &more, &error));
    assert_int_equal(more.sequence, 2);
    assert_ok(packetfs_snapshot_find(scene.world.store, "latest", &found, &error));
    assert_memory_equal(found.id, more.id, sizeof(found.id));
    assert_ok(packetfs_snapshot_find(scene.world.store, "scene", &found, &error));
    assert_memory_equal(found.id, scene.snapshot.id, sizeof(found.id));
    hm_hex_encode(more.id, 16, hex);
    hex[10] = '\0';
    assert_ok(packetfs_snapshot_find(scene.world.store, hex, &found, &error));
    assert_memory_equal(found.id, more.id, sizeof(found.id));
    assert_int_equal(packetfs_snapshot_find(scene.world.store, "none", &found, &error),
                     HM_ENOTFOUND);
    (void)snprintf(more.label, sizeof(more.label), "%s", hex); /* a label like an id */
    assert_ok(packetfs_snapshot_add(scene.world.store, &more, &error));
    assert_int_equal(packetfs_snapshot_find(scene.world.store, hex, &found, &error), HM_ECONFLICT);
    bad = more;
    memset(bad.host, 'x', sizeof(bad.host));
    assert_int_equal(packetfs_snapshot_add(scene.world.store, &bad, &error), HM_EINVAL);
    /* Travelling: read here, imported there. */
    assert_ok(packetfs_snapshot_read(scene.world.store, more.id, &sealed, &error));
    assert_ok(packetfs_snapshot_remove(scene.world.store, more.id, &error));
    assert_int_equal(packetfs_snapshot_remove(scene.world.store, more.id, &error), HM_ENOTFOUND);
    assert_ok(packetfs_snapshot_import(scene.world.store, hm_buf_slice(&sealed), &found, &error));
    assert_ok(packetfs_snapshot_import(scene.world.store, hm_buf_slice(&sealed), &found, &error));
    assert_memory_equal(found.id, more.id, sizeof(found.id));
    sealed.data[80] ^= 1;
    assert_int_equal(
        packetfs_snapshot_import(scene.world.store, hm_buf_slice(&sealed), &found, &error),
        HM_ECORRUPT);
    scene_release(&scene);
}

/* --- leftovers and full disks --- */

static void test_leftovers(void **state)
{
    struct scene scene;
    struct packetfs_writer *writer = NULL;
    struct hm_error error;
    char tmp[WORLD_PATH_BYTES + 32];
    char dead[WORLD_PATH_BYTES + 32];
    char stray[WORLD_PATH_BYTES + 64];

    (void)state;
    scene_init(&scene);
    (void)snprintf(tmp, sizeof(tmp), "%s/tmp/0011223344556677", scene.world.dir);
    (void)snprintf(dead, sizeof(dead), "%s/writers/0011223344556677", scene.world.dir);
    write_file(tmp, hm_slice_str("half a pack"));
    write_file(dead, hm_slice_str(""));
    assert_int_equal(verdict(&scene.world, true), 0);
    assert_ok(packetfs_writer_open(scene.world.store, &writer, &error));
    packetfs_writer_close(writer);
    assert_int_not_equal(access(tmp, F_OK), 0);
    assert_int_equal(world_stats(&scene.world).writers, 0);
    assert_int_not_equal(access(dead, F_OK), 0);
    /* Something under a pack's name that is none. */
    (void)snprintf(stray, sizeof(stray), "%s/packs/00", scene.world.dir);
    (void)mkdir(stray, 0700);
    (void)snprintf(stray, sizeof(stray), "%s/packs/00/%032d", scene.world.dir, 0);
    write_file(stray, hm_slice_str("no pack"));
    assert_int_equal(verdict(&scene.world, false), HM_ECORRUPT);
    assert_ok(packetfs_writer_open(scene.world.store, &writer, &error)); /* harms nobody */
    packetfs_writer_close(writer);
    scene_release(&scene);
}

/* A whole pack without a row (a writer was killed before the index was written): the next writer takes it in. */
static void test_orphans_are_taken_in(void **state)
{
    struct scene scene;
    struct packetfs_index_txn *txn = NULL;
    struct packetfs_writer *writer = NULL;
    HM_AUTOFREE struct packetfs_pack_info *packs = NULL;
    struct hm_error error;
    size_t count = 0;

    (void)state;
    scene_init(&scene);
    assert_ok(packetfs_index_packs(scene.world.store->index, &packs, &count, &error));
    assert_ok(packetfs_index_begin(scene.world.store->index, &txn, &error));
    for (size_t i = 0; i < count; i++) {
        assert_ok(packetfs_index_bury(txn, packs[i].number, scene.rows[packs[i].kind],
                                      packs[i].objects, &error));
        assert_ok(packetfs_index_forget(txn, packs[i].number, &error));
    }
    assert_ok(packetfs_index_commit(txn, &error));
    assert_int_equal(get(&scene, 2, &error), HM_ENOTFOUND);
    assert_ok(packetfs_writer_open(scene.world.store, &writer, &error));
    packetfs_writer_close(writer);
    world_check_numbers(&scene.world, scene.numbers, COUNT);
    assert_int_equal(verdict(&scene.world, true), 0);
    scene_release(&scene);
}

static void test_full_disk(void **state)
{
    struct scene scene;
    struct packetfs_writer *writer = NULL;
    struct packetfs_id id;
    struct hm_error error;
    struct rlimit before;
    struct rlimit small;
    int rc = 0;

    (void)state;
    scene_init(&scene);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 3u << 20; /* no pack of 16 MiB fits */
    assert_ok(packetfs_writer_open(scene.world.store, &writer, &error));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (uint64_t n = 0; n < 200 && !rc; n++) {
        HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

        world_object(1000 + 2 * n, 262144, &bytes);
        rc = packetfs_writer_put(writer, PACKETFS_PATTERN, hm_buf_slice(&bytes), &id, &error);
    }
    assert_int_equal(rc, HM_EIO);
    assert_non_null(strstr(error.text, "ulimit"));
    assert_int_equal(packetfs_writer_flush(writer, &error), HM_EIO); /* it stays so */
    assert_int_equal(packetfs_writer_flush(writer, &error), HM_EIO);
    packetfs_writer_close(writer);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    world_check_numbers(&scene.world, scene.numbers, COUNT);
    assert_int_equal(verdict(&scene.world, true), 0);
    scene_release(&scene);
}

/* --- memory --- */

/* Everything once, and the nth allocation fails: an error or success, never harm. */
static int everything(struct world *world, struct hm_error *error)
{
    static const uint64_t n[] = {1, 2, 5};
    struct packetfs_writer *writer = NULL;
    struct packetfs_check_result checked;
    struct packetfs_prune_result pruned;
    const struct packetfs_prune_options options = {0};
    struct packetfs_snapshot snapshot = {.label = "memory"};
    struct packetfs_id id;
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    int rc = packetfs_writer_open(world->store, &writer, error);

    for (size_t i = 0; i < HM_COUNT_OF(n) && !rc; i++) {
        static uint8_t bytes[5000];

        memset(bytes, (int)n[i], sizeof(bytes));
        rc = packetfs_writer_put(writer, PACKETFS_PATTERN, hm_slice_of(bytes, sizeof(bytes)), &id,
                                 error);
    }
    if (!rc)
        rc = packetfs_writer_flush(writer, error);
    packetfs_writer_close(writer);
    if (!rc)
        rc = packetfs_store_get(world->store, PACKETFS_PATTERN, &id, &out, error);
    if (!rc)
        rc = packetfs_snapshot_add(world->store, &snapshot, error);
    if (!rc)
        rc = packetfs_snapshot_remove(world->store, snapshot.id, error);
    if (!rc)
        rc = packetfs_store_check(world->store, true, NULL, &checked, error);
    if (!rc)
        rc = packetfs_store_prune(world->store, &options, NULL, &pruned, error);
    if (!rc)
        rc = packetfs_store_repair(world->store, NULL, &checked, error);
    return rc;
}

static void test_out_of_memory(void **state)
{
    bool done = false;
    unsigned long nth;

    (void)state;
    for (nth = 1; !done && nth < 2000; nth += 1 + nth / 60) {
        struct world world;
        struct hm_error error = {0};
        unsigned long before;
        int rc;

        world_init(&world);
        before = hm_alloc_failures();
        hm_alloc_fail_at(nth);
        rc = everything(&world, &error);
        hm_alloc_fail_at(0);
        done = hm_alloc_failures() == before;
        if (done)
            assert_int_equal(rc, 0);
        else if (rc && rc != HM_ENOMEM)
            fail_msg("allocation %lu: %s: %s", nth, hm_error_name(rc), error.text);
        world_reopen(&world);
        if (world.store->index)
            assert_int_equal(verdict(&world, true), 0);
        world_release(&world);
    }
    assert_true(done);
    assert_true(nth > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_part_of_a_pack),
        cmocka_unit_test(test_cut_and_gone),
        cmocka_unit_test(test_exchanged_objects),
        cmocka_unit_test(test_exchanged_packs),
        cmocka_unit_test(test_wrong_key),
        cmocka_unit_test(test_damaged_snapshots),
        cmocka_unit_test(test_renamed_snapshot),
        cmocka_unit_test(test_snapshot_names),
        cmocka_unit_test(test_leftovers),
        cmocka_unit_test(test_orphans_are_taken_in),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
