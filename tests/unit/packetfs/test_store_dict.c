/* A store with dictionaries: trained once, found again, shared by threads, kept and dropped by prune. */
#include "store_small.h"

#include <pthread.h>

#define ROUNDS  6
#define THREADS 4

static uint64_t stored(struct world *world, bool dictionaries)
{
    struct packetfs_writer_counts counts;
    struct packetfs_writer *writer;
    struct packetfs_snapshot made;
    uint64_t numbers[COUNT];

    world->options.dictionaries = dictionaries;
    world_reopen(world);
    writer = writer_open(world);
    range(numbers, 0, COUNT);
    world_snapshot(world, writer, numbers, COUNT, "one", &made);
    packetfs_writer_counts(writer, &counts);
    packetfs_writer_close(writer);
    assert_int_equal(counts.objects_new[PACKETFS_DICTIONARY], dictionaries ? 1 : 0);
    return counts.bytes_stored[PACKETFS_PATTERN];
}

/* --- making and using --- */

static void less_is_stored_and_the_same_is_read(void **state)
{
    struct world with, without;
    uint64_t less, more;

    (void)state;
    world_init(&with);
    world_init(&without);
    less = stored(&with, true);
    more = stored(&without, false);
    if (less * 100 > more * 95)
        fail_msg("%llu bytes with, %llu without", (unsigned long long)less,
                 (unsigned long long)more);
    assert_int_equal(world_stats(&with).dictionaries, 1);
    assert_int_equal(world_stats(&without).dictionaries, 0);
    assert_int_equal(world_stats(&with).patterns, world_stats(&without).patterns);
    assert_int_equal(world_stats(&with).references, world_stats(&without).references);
    check_range(&with, 0, COUNT); /* ids as ever: world_id made them without a store */
    world_reopen(&with);
    check_range(&with, 0, COUNT);
    with.options.dictionaries = false; /* reading does not ask */
    with.options.read_only = true;
    world_reopen(&with);
    check_range(&with, 0, COUNT);
    assert_clean(&with);
    assert_clean(&without);
    world_release(&with);
    world_release(&without);
}

static void the_next_writer_uses_what_is_there(void **state)
{
    struct packetfs_writer_counts counts;
    struct packetfs_writer *writer;
    struct packetfs_snapshot made;
    struct packetfs_id id;
    struct hm_error error;
    struct world world;

    (void)state;
    world_init(&world);
    snapshot(&world, 0, WORLD_SMALL_ENOUGH, "one", &made);
    assert_int_equal(world_stats(&world).dictionaries, 1);
    world_reopen(&world);
    for (uint64_t from = 0; from < 1000; from += 100) {
        snapshot(&world, 1000 + from, 100, "more", &made);
        check_range(&world, 1000 + from, 100);
    }
    assert_int_equal(world_stats(&world).dictionaries, 1);
    /* From its first object on. */
    writer = writer_open(&world);
    for (uint64_t n = 0; n < 20; n++)
        world_put(writer, PACKETFS_PATTERN, WORLD_SMALL + 5000 + n, 600, &id);
    assert_ok(packetfs_writer_flush(writer, &error));
    packetfs_writer_counts(writer, &counts);
    packetfs_writer_close(writer);
    writer = NULL;
    world.options.dictionaries = false;
    world_reopen(&world);
    writer = writer_open(&world);
    for (uint64_t n = 0; n < 20; n++)
        world_put(writer, PACKETFS_PATTERN, WORLD_SMALL + 6000 + n, 600, &id);
    assert_ok(packetfs_writer_flush(writer, &error));
    {
        struct packetfs_writer_counts plain;

        packetfs_writer_counts(writer, &plain);
        assert_true(counts.bytes_stored[PACKETFS_PATTERN] < plain.bytes_stored[PACKETFS_PATTERN]);
    }
    packetfs_writer_close(writer);
    assert_clean(&world);
    world_release(&world);
}

static void too_little_or_too_large_trains_nothing(void **state)
{
    struct packetfs_snapshot made;
    struct packetfs_writer *writer;
    struct hm_error error;
    struct world world;

    (void)state;
    world_init(&world);
    snapshot(&world, 0, 20, "few", &made);
    snapshot(&world, 100, 20, "few", &made); /* each writer begins anew */
    writer = writer_open(&world);
    for (uint64_t n = 0; n < 12;
         n++) { /* enough bytes, of what is not small, and of what is not alike */
        struct packetfs_id id;

        world_put(writer, PACKETFS_PATTERN, WORLD_SMALL + n, PACKETFS_DICT_SMALL_BYTES, &id);
        world_put(writer, PACKETFS_REFERENCE, WORLD_SMALL + n, 9000, &id);
    }
    for (uint64_t n = 0; n < 400; n += 2) {
        struct packetfs_id id;

        world_put(writer, PACKETFS_PATTERN, n, 500, &id);
    }
    assert_ok(packetfs_writer_flush(writer, &error));
    packetfs_writer_close(writer);
    assert_int_equal(world_stats(&world).dictionaries, 0);
    assert_clean(&world);
    world_release(&world);
}

/* Two that begin at once may train both; all is read whichever made it. */
static void two_writers_train_two(void **state)
{
    struct packetfs_writer *writers[2];
    struct packetfs_snapshot made;
    uint64_t numbers[COUNT];
    struct world world;

    (void)state;
    world_init(&world);
    writers[0] = writer_open(&world);
    writers[1] = writer_open(&world);
    for (uint64_t n = 0; n < WORLD_SMALL_ENOUGH; n++) { /* in turns: neither sees the other's */
        struct packetfs_id id;

        for (uint64_t w = 0; w < 2; w++)
            world_put(writers[w], PACKETFS_PATTERN, WORLD_SMALL + n + w * 1000,
                      world_len(WORLD_SMALL + n + w * 1000), &id);
    }
    for (uint64_t w = 0; w < 2; w++) {
        range(numbers, w * 1000, 200);
        world_snapshot(&world, writers[w], numbers, 200, "both", &made);
        packetfs_writer_close(writers[w]);
    }
    assert_int_equal(world_stats(&world).dictionaries, 2);
    world_reopen(&world);
    check_range(&world, 0, 200);
    check_range(&world, 1000, 200);
    snapshot(&world, 2000, 200, "later", &made);
    assert_int_equal(world_stats(&world).dictionaries, 2);
    assert_clean(&world);
    world_release(&world);
}

struct thread {
    struct packetfs_writer *writer;
    uint64_t from;
    pthread_t id;
};

static void *thread_run(void *ctx)
{
    struct thread *thread = ctx;

    for (uint64_t n = 0; n < COUNT; n++) {
        HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
        struct packetfs_id id;
        uint64_t number = WORLD_SMALL + thread->from + n;

        world_object(number, world_len(number), &bytes);
        if (packetfs_writer_put(thread->writer, PACKETFS_PATTERN, hm_buf_slice(&bytes), &id, NULL))
            return thread;
    }
    return NULL;
}

static void threads_share_them(void **state)
{
    struct thread threads[THREADS];
    struct packetfs_writer *writer;
    struct hm_error error;
    struct world world;

    (void)state;
    world_init(&world);
    writer = writer_open(&world);
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){.writer = writer, .from = i * COUNT / 2};
        assert_int_equal(pthread_create(&threads[i].id, NULL, thread_run, &threads[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *failed = NULL;

        assert_int_equal(pthread_join(threads[i].id, &failed), 0);
        assert_null(failed);
    }
    assert_ok(packetfs_writer_flush(writer, &error));
    packetfs_writer_close(writer);
    assert_true(world_stats(&world).dictionaries >= 1);
    for (size_t i = 0; i < THREADS; i++)
        check_range(&world, i * COUNT / 2, COUNT);
    assert_clean(&world);
    world_release(&world);
}

/* --- prune --- */

static void prune_keeps_what_is_used_and_drops_what_is_not(void **state)
{
    struct packetfs_snapshot first, second;
    struct packetfs_prune_result result;
    struct hm_error error;
    struct world world;

    (void)state;
    world_init(&world);
    snapshot(&world, 0, COUNT, "all", &first);
    snapshot(&world, COUNT - 40, 40, "some", &second);
    assert_ok(packetfs_snapshot_remove(world.store, first.id, &error));
    result = world_prune(&world, 0);
    assert_true(result.objects_removed >= COUNT - 40);
    assert_int_equal(world_stats(&world).dictionaries, 1);
    check_range(&world, COUNT - 40, 40);
    assert_clean(&world);
    world_reopen(&world);
    check_range(&world, COUNT - 40, 40);
    assert_ok(packetfs_snapshot_remove(world.store, second.id, &error));
    (void)world_prune(&world, 0);
    assert_int_equal(world_stats(&world).dictionaries, 0);
    assert_int_equal(world_stats(&world).packs, 0);
    assert_clean(&world);
    snapshot(&world, 0, COUNT, "again", &first);
    assert_int_equal(world_stats(&world).dictionaries, 1);
    check_range(&world, 0, COUNT);
    world_release(&world);
}

/* Who has begun may count on one that nothing uses any more, and make frames with it after prune has looked. */
static void prune_waits_for_who_may_use_it(void **state)
{
    struct packetfs_snapshot first, second;
    struct packetfs_writer *early;
    uint64_t numbers[COUNT];
    struct packetfs_id id;
    struct hm_error error;
    struct world world;

    (void)state;
    world_init(&world);
    snapshot(&world, 0, COUNT, "all", &first);
    (void)world_prune(&world, 0); /* so that its packs are older than the writer */
    early = writer_open(&world);
    world_put(early, PACKETFS_PATTERN, WORLD_SMALL + 9001, 900, &id); /* it has looked for one */
    assert_ok(packetfs_snapshot_remove(world.store, first.id, &error));
    assert_true(world_prune(&world, 0).packs_waiting > 0);
    assert_int_equal(world_stats(&world).dictionaries, 1);
    /* Who begins now takes none of what is condemned. */
    snapshot(&world, 20000, COUNT, "now", &second);
    assert_int_equal(world_stats(&world).dictionaries, 2);
    range(numbers, 9001, 200);
    world_snapshot(&world, early, numbers, 200, "early", &second);
    packetfs_writer_close(early);
    (void)world_prune(&world, 0);
    (void)world_prune(&world, 0);
    assert_int_equal(world_stats(&world).dictionaries, 2);
    world_reopen(&world);
    check_range(&world, 9001, 200);
    check_range(&world, 20000, COUNT);
    assert_clean(&world);
    assert_ok(packetfs_snapshot_remove(world.store, second.id, &error));
    (void)world_prune(&world, 0);
    assert_int_equal(world_stats(&world).dictionaries, 1);
    check_range(&world, 20000, COUNT);
    assert_clean(&world);
    world_release(&world);
}

/* What a killed writer left comes into the index only while prune is at it: it names what nothing else does. */
static void prune_finds_what_a_killed_writer_named(void **state)
{
    HM_AUTOFREE struct packetfs_pack_info *packs = NULL;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    char path[PACKETFS_PATH_BYTES];
    struct packetfs_snapshot first;
    struct packetfs_id id;
    struct hm_error error;
    struct world world;
    uint64_t last = WORLD_SMALL + COUNT - 1;
    size_t count = 0;

    (void)state;
    world_init(&world);
    snapshot(&world, 0, COUNT, "all", &first);
    assert_ok(packetfs_index_packs(world.store->index, &packs, &count, &error));
    for (size_t i = 0; i < count; i++) {
        if (packs[i].kind != PACKETFS_PATTERN)
            continue;
        assert_ok(packetfs_store_pack_path(world.store, packs[i].name, path, &error));
        assert_ok(hm_file_read(path, (size_t)1 << 26, &bytes, &error));
    }
    path[strlen(path) - 1] = path[strlen(path) - 1] == '0' ? '1' : '0';
    assert_ok(hm_file_replace(path, bytes.data, bytes.len, 0600, &error)); /* has no row */
    assert_ok(packetfs_snapshot_remove(world.store, first.id, &error));
    (void)world_prune(&world, 0);
    assert_clean(&world);
    world_id(&world, PACKETFS_PATTERN, last, world_len(last), &id);
    world_reopen(&world);
    assert_ok(world_check(world.store, PACKETFS_PATTERN, last, world_len(last), &id, &error));
    (void)world_prune(&world, 0);
    assert_int_equal(world_stats(&world).packs, 0);
    world_release(&world);
}

#define LOOSE_SNAPSHOTS 6
#define LOOSE_OBJECTS   40
#define CUT_SHORT_MAX   60

/* A volume of which nothing is used: the dictionary, and more packs that name it than one transaction of prune takes away. */
static void loose_init(struct world *world)
{
    struct packetfs_snapshot made;
    struct hm_error error;

    world_init(world);
    for (uint64_t i = 0; i < LOOSE_SNAPSHOTS; i++) {
        snapshot(world, i * COUNT, i == 0 ? COUNT : LOOSE_OBJECTS, "loose", &made);
        assert_ok(packetfs_snapshot_remove(world->store, made.id, &error));
    }
    assert_int_equal(world_stats(world).dictionaries, 1);
    assert_true(world_stats(world).packs > LOOSE_SNAPSHOTS);
}

/* Whatever is left of a prune that ended early, no pack is there whose dictionary went before it. */
static void prune_cut_short_leaves_dictionaries_last(void **state)
{
    unsigned long all;
    uint64_t cut = 0;
    struct world world;

    (void)state;
    loose_init(&world);
    all = hm_alloc_count();
    (void)world_prune(&world, 0);
    all = hm_alloc_count() - all;
    assert_int_equal(world_stats(&world).packs, 0);
    world_release(&world);
    for (unsigned long back = 0; back < CUT_SHORT_MAX && back < all; back++) {
        const struct packetfs_prune_options options = {0};
        struct packetfs_prune_result result;
        struct hm_error error;
        int rc;

        loose_init(&world);
        hm_alloc_fail_at(all - back);
        rc = packetfs_store_prune(world.store, &options, NULL, &result, &error);
        hm_alloc_fail_at(0);
        assert_true(rc == 0 || rc == HM_ENOMEM);
        cut += rc != 0 && world_stats(&world).packs < 2 * LOOSE_SNAPSHOTS;
        assert_clean(&world);
        (void)world_prune(&world, 0);
        assert_int_equal(world_stats(&world).packs, 0);
        world_release(&world);
    }
    assert_true(cut > 0); /* some of them between two transactions */
}

/* Any puts, removals and prunes: what a snapshot names is read as it was. */
static void whatever_is_done_the_same_is_read(void **state)
{
    struct hm_random_seeded random_state;
    struct hm_random dice = hm_random_seeded_source(&random_state, 5);
    struct packetfs_snapshot made[ROUNDS];
    uint64_t from[ROUNDS];
    size_t counts[ROUNDS];
    bool there[ROUNDS] = {false};
    struct hm_error error;
    struct world world;

    (void)state;
    world_init(&world);
    for (size_t round = 0; round < 3 * ROUNDS; round++) {
        size_t i = round % ROUNDS;

        if (there[i])
            assert_ok(packetfs_snapshot_remove(world.store, made[i].id, &error));
        from[i] = hm_random_u64(&dice) % 1000;
        counts[i] = 2 + (size_t)(hm_random_u64(&dice) % (COUNT - 2));
        world.options.zstd_level = 1 + (int)(hm_random_u64(&dice) % 6);
        world.options.dictionaries = hm_random_u64(&dice) % 4 != 0;
        world.options.pad = hm_random_u64(&dice) % 2 == 0;
        world_reopen(&world);
        snapshot(&world, from[i], counts[i], "any", &made[i]);
        there[i] = true;
        if (hm_random_u64(&dice) % 2 == 0)
            (void)world_prune(&world, (unsigned)(hm_random_u64(&dice) % 50));
        for (size_t k = 0; k < ROUNDS; k++) {
            if (there[k])
                check_range(&world, from[k], counts[k]);
        }
        assert_clean(&world);
    }
    world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(less_is_stored_and_the_same_is_read),
        cmocka_unit_test(the_next_writer_uses_what_is_there),
        cmocka_unit_test(too_little_or_too_large_trains_nothing),
        cmocka_unit_test(two_writers_train_two),
        cmocka_unit_test(threads_share_them),
        cmocka_unit_test(prune_keeps_what_is_used_and_drops_what_is_not),
        cmocka_unit_test(prune_waits_for_who_may_use_it),
        cmocka_unit_test(prune_finds_what_a_killed_writer_named),
        cmocka_unit_test(prune_cut_short_leaves_dictionaries_last),
        cmocka_unit_test(whatever_is_done_the_same_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
