/* A store whose dictionaries are lost, damaged or exchanged: missed by name, and found again when only the index went. And one without
 * memory for them. */
#include "store_small.h"

#include <stdio.h>
#include <unistd.h>

#define OOM_MAX 2000

static void assert_finding(struct world *world, bool full, const char *text)
{
    HM_CLEANUP(hm_buf) struct hm_buf findings = {0};

    assert_int_equal(world_findings(world, full, &findings), HM_ECORRUPT);
    if (!strstr(hm_buf_cstr(&findings), text))
        fail_msg("not \"%s\" but: %s", text, hm_buf_cstr(&findings));
}

/* The paths of the packs of dictionaries, and what the first objects in them are called; how many. */
static size_t dictionary_packs(struct world *world, char (*paths)[PACKETFS_PATH_BYTES],
                               char (*names)[17], size_t max)
{
    HM_AUTOFREE struct packetfs_pack_info *packs = NULL;
    struct hm_error error;
    size_t count = 0;
    size_t found = 0;

    assert_ok(packetfs_index_packs(world->store->index, &packs, &count, &error));
    for (size_t i = 0; i < count && found < max; i++) {
        struct packetfs_file_slot *file = NULL;
        struct packetfs_pack_row *rows = NULL;

        if (packs[i].kind != PACKETFS_DICTIONARY)
            continue;
        assert_ok(packetfs_store_pack_path(world->store, packs[i].name, paths[found], &error));
        assert_ok(packetfs_store_file_take(world->store, packs[i].name, &file, &error));
        assert_ok(
            packetfs_pack_read_folder(file->fd, &world->keys, NULL, NULL, &rows, NULL, &error));
        hm_hex_encode(rows[0].id.bytes, 8, names[found++]);
        packetfs_store_file_give(world->store, file);
        hm_free(rows);
    }
    return found;
}

static int get(struct world *world, uint64_t n, struct hm_error *error)
{
    struct packetfs_id id;

    world_id(world, PACKETFS_PATTERN, n, world_len(n), &id);
    return world_check(world->store, PACKETFS_PATTERN, n, world_len(n), &id, error);
}

/* --- lost, damaged, exchanged --- */

static void write_over(const char *path, struct hm_slice bytes)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, file), bytes.len);
    assert_int_equal(fclose(file), 0);
}

static uint64_t with_dictionary(struct world *world)
{
    struct packetfs_snapshot made;

    world_init(world);
    snapshot(world, 0, COUNT, "one", &made);
    assert_int_equal(world_stats(world).dictionaries, 1);
    return WORLD_SMALL + COUNT - 1; /* put last: surely made with it */
}

static void assert_lost(struct world *world, uint64_t n, const char *name, const char *how)
{
    struct hm_error error = {0};

    assert_int_equal(get(world, n, &error), HM_ECORRUPT);
    if (!strstr(error.text, name) || !strstr(error.text, how))
        fail_msg("not %s, %s but: %s", name, how, error.text);
    assert_ok(get(world, WORLD_SMALL, &error)); /* the first ones were stored without */
}

static void repair(struct world *world)
{
    struct packetfs_check_result result;
    struct hm_error error;

    assert_ok(packetfs_store_repair(world->store, NULL, &result, &error));
}

static void a_lost_one_is_named(void **state)
{
    char paths[2][PACKETFS_PATH_BYTES];
    char names[2][17];
    struct packetfs_snapshot made;
    struct packetfs_writer *writer;
    struct world world;
    uint64_t n;

    (void)state;
    n = with_dictionary(&world);
    assert_int_equal(dictionary_packs(&world, paths, names, 2), 1);
    assert_int_equal(unlink(paths[0]), 0);
    world_reopen(&world);
    assert_lost(&world, n, names[0], "lost");
    assert_finding(&world, false, names[0]);
    assert_finding(&world, true, "of its objects are lost: the dictionary");
    repair(&world); /* what cannot be read goes aside */
    world_reopen(&world);
    assert_finding(&world, false, "\"one\" needs pattern");
    writer = writer_open(&world);
    packetfs_writer_close(writer);
    snapshot(&world, 0, COUNT, "two", &made); /* and comes again */
    check_range(&world, 0, COUNT);
    assert_clean(&world);
    world_release(&world);
}

static void a_damaged_one_is_named(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    char paths[2][PACKETFS_PATH_BYTES];
    char names[2][17];
    struct hm_error error;
    struct world world;
    uint64_t n;

    (void)state;
    n = with_dictionary(&world);
    assert_int_equal(dictionary_packs(&world, paths, names, 2), 1);
    assert_ok(hm_file_read(paths[0], (size_t)1 << 24, &bytes, &error));
    bytes.data[PACKETFS_PACK_HEADER_BYTES + 100] ^= 1;
    write_over(paths[0], hm_buf_slice(&bytes));
    world_reopen(&world);
    assert_lost(&world, n, names[0], "damaged");
    assert_finding(&world, true, names[0]);
    {
        HM_CLEANUP(hm_buf) struct hm_buf findings = {0};

        assert_int_equal(world_findings(&world, false, &findings), 0); /* quick does not open it */
    }
    /* No writer uses it: it trains another. */
    {
        struct packetfs_snapshot made;

        snapshot(&world, 3000, COUNT, "next", &made);
        assert_int_equal(world_stats(&world).dictionaries, 2);
        check_range(&world, 3000, COUNT);
    }
    bytes.len = 0;
    assert_ok(hm_file_read(paths[0], (size_t)1 << 24, &bytes, &error));
    bytes.data[PACKETFS_PACK_HEADER_BYTES + 100] ^= 1;
    write_over(paths[0], hm_buf_slice(&bytes));
    world_reopen(&world);
    check_range(&world, 0, COUNT);
    assert_clean(&world);
    world_release(&world);
}

/* Another volume's, or another of this one, in its file's place. */
static void an_exchanged_one_is_named(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    HM_CLEANUP(hm_buf) struct hm_buf own = {0};
    char paths[1][PACKETFS_PATH_BYTES];
    char names[1][17];
    struct packetfs_snapshot made;
    struct hm_error error;
    struct world world;
    uint64_t n;

    (void)state;
    n = with_dictionary(&world);
    assert_int_equal(dictionary_packs(&world, paths, names, 1), 1);
    assert_ok(hm_file_read(paths[0], (size_t)1 << 24, &own, &error));
    /* A second one: made while the volume's first is out of sight. */
    assert_int_equal(unlink(paths[0]), 0);
    world_reopen(&world);
    snapshot(&world, 7000, COUNT, "two", &made);
    write_over(paths[0], hm_buf_slice(&own));
    world_reopen(&world);
    check_range(&world, 0, COUNT);
    check_range(&world, 7000, COUNT);
    {
        char both[2][PACKETFS_PATH_BYTES];
        char both_names[2][17];
        size_t mine;

        assert_int_equal(dictionary_packs(&world, both, both_names, 2), 2);
        mine = strcmp(both_names[0], names[0]) == 0 ? 0 : 1;
        assert_ok(hm_file_read(both[1 - mine], (size_t)1 << 24, &bytes, &error));
        write_over(both[mine], hm_buf_slice(&bytes));
        world_reopen(&world);
        assert_lost(&world, n, names[0], "lost");
        check_range(&world, 7000, COUNT);
        assert_finding(&world, true, names[0]);
        write_over(both[mine], hm_buf_slice(&own));
    }
    world_reopen(&world);
    check_range(&world, 0, COUNT);
    world_release(&world);
}

static void a_lost_index_finds_them_again(void **state)
{
    char path[PACKETFS_PATH_BYTES];
    struct packetfs_snapshot made;
    struct hm_error error;
    struct world world;

    (void)state;
    (void)with_dictionary(&world);
    assert_ok(packetfs_store_path(world.store, path, &error, "index"));
    packetfs_store_close(HM_TAKE(world.store));
    assert_ok(hm_remove_tree(path, &error));
    assert_ok(packetfs_store_open(world.dir, &world.keys, &world.options, &world.store, &error));
    repair(&world);
    assert_clean(&world);
    check_range(&world, 0, COUNT);
    snapshot(&world, 5000, 100, "more", &made);
    assert_int_equal(world_stats(&world).dictionaries, 1);
    check_range(&world, 5000, 100);
    world_release(&world);
}

/* A reader that was there before a repair, and the dictionary in another pack since. */
static void a_reader_finds_one_that_a_repair_moved(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    char paths[1][PACKETFS_PATH_BYTES];
    char names[1][17];
    char path[PACKETFS_PATH_BYTES];
    struct packetfs_store *reader;
    struct hm_error error = {0};
    struct world world;
    char *digit;
    uint64_t n;

    (void)state;
    n = with_dictionary(&world);
    assert_int_equal(dictionary_packs(&world, paths, names, 1), 1);
    assert_ok(hm_file_read(paths[0], (size_t)1 << 24, &bytes, &error));
    world_reopen(&world);
    reader = HM_TAKE(world.store);
    world.store = reader;
    assert_ok(get(&world, WORLD_SMALL, &error)); /* without it */
    world.store = NULL;
    assert_ok(packetfs_store_path(reader, path, &error, "index"));
    assert_ok(hm_remove_tree(path, &error));
    assert_int_equal(unlink(paths[0]), 0);
    digit = &paths[0][strlen(paths[0]) - 1];
    *digit = *digit == '0' ? '1' : '0';
    write_over(paths[0], hm_buf_slice(&bytes));
    assert_ok(packetfs_store_open(world.dir, &world.keys, &world.options, &world.store, &error));
    repair(&world);
    packetfs_store_close(world.store);
    world.store = reader;
    assert_ok(get(&world, n, &error));
    check_range(&world, 0, COUNT);
    world_release(&world);
}

/* --- no memory --- */

#define OOM_OBJECTS (WORLD_SMALL_ENOUGH + 20)

static int put_some(struct world *world, const struct hm_buf *bytes, struct hm_error *error)
{
    struct packetfs_writer *writer = NULL;
    int rc = packetfs_writer_open(world->store, &writer, error);

    for (size_t i = 0; i < OOM_OBJECTS && !rc; i++) {
        struct packetfs_id id;

        rc = packetfs_writer_put(writer, PACKETFS_PATTERN, hm_buf_slice(&bytes[i]), &id, error);
    }
    if (!rc)
        rc = packetfs_writer_flush(writer, error);
    packetfs_writer_close(writer);
    return rc;
}

static void any_allocation_may_fail(void **state)
{
    struct hm_buf bytes[OOM_OBJECTS] = {{0}};
    uint64_t dictionaries = 0;
    uint64_t plain = 0;
    bool done = false;

    (void)state;
    for (size_t i = 0; i < OOM_OBJECTS; i++)
        world_object(WORLD_SMALL + i, world_len(WORLD_SMALL + i), &bytes[i]);
    for (unsigned long nth = 1; !done && nth < OOM_MAX; nth++) {
        struct hm_error error = {0};
        unsigned long failures = hm_alloc_failures();
        struct world world;
        int rc;

        world_init(&world);
        hm_alloc_fail_at(nth);
        rc = put_some(&world, bytes, &error);
        hm_alloc_fail_at(0);
        done = hm_alloc_failures() == failures;
        if (rc && rc != HM_ENOMEM)
            fail_msg("allocation %lu: %s", nth, error.text);
        assert_false(done && rc);
        if (!rc) { /* without memory for a dictionary it goes on without */
            check_range(&world, 0, OOM_OBJECTS);
            plain += world_stats(&world).dictionaries == 0;
            dictionaries += world_stats(&world).dictionaries;
        }
        assert_clean(&world);
        assert_ok(put_some(&world, bytes, &error));
        check_range(&world, 0, OOM_OBJECTS);
        world_release(&world);
    }
    assert_true(done);
    assert_true(plain > 0 && dictionaries > 0);
    for (size_t i = 0; i < OOM_OBJECTS; i++)
        hm_buf_release(&bytes[i]);
}

/* And while reading: a failure is one of memory, never one of the dictionary. */
static void reading_without_memory_blames_no_dictionary(void **state)
{
    struct world world;
    uint64_t n;
    bool done = false;

    (void)state;
    n = with_dictionary(&world);
    for (unsigned long nth = 1; !done && nth < OOM_MAX; nth++) {
        HM_CLEANUP(hm_buf) struct hm_buf out = {0};
        struct packetfs_id id;
        struct hm_error error = {0};
        int rc;

        world_id(&world, PACKETFS_PATTERN, n, world_len(n), &id);
        world_reopen(&world);
        hm_alloc_fail_at(nth);
        rc = packetfs_store_get(world.store, PACKETFS_PATTERN, &id, &out, &error);
        hm_alloc_fail_at(0);
        done = rc == 0;
        if (rc && rc != HM_ENOMEM)
            fail_msg("allocation %lu: %s", nth, error.text);
    }
    assert_true(done);
    world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lost_one_is_named),
        cmocka_unit_test(a_damaged_one_is_named),
        cmocka_unit_test(an_exchanged_one_is_named),
        cmocka_unit_test(a_lost_index_finds_them_again),
        cmocka_unit_test(a_reader_finds_one_that_a_repair_moved),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(reading_without_memory_blames_no_dictionary),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
