/* Prune: what no snapshot needs goes, everything else stays, also beside writers. */
#include "store_world.h"

#include <stdio.h>
#include <stdlib.h>

#define NUMBERS 120

static struct packetfs_writer *writer_open(struct world *world)
{
    struct packetfs_writer *writer = NULL;
    struct hm_error error;

    assert_ok(packetfs_writer_open(world->store, &writer, &error));
    return writer;
}

static size_t range(uint64_t *numbers, uint64_t from, uint64_t to, uint64_t step)
{
    size_t count = 0;

    for (uint64_t n = from; n < to; n += step)
        numbers[count++] = n;
    return count;
}

static void snapshot(struct world *world, const uint64_t *numbers, size_t count, const char *label,
                     struct packetfs_snapshot *out)
{
    struct packetfs_writer *writer = writer_open(world);

    world_snapshot(world, writer, numbers, count, label, out);
    packetfs_writer_close(writer);
}

static void assert_clean(struct world *world)
{
    HM_CLEANUP(hm_buf) struct hm_buf findings = {0};

    if (world_findings(world, true, &findings))
        fail_msg("check found: %s", hm_buf_cstr(&findings));
}

static void remove_snapshot(struct world *world, const struct packetfs_snapshot *snapshot)
{
    struct hm_error error;

    assert_ok(packetfs_snapshot_remove(world->store, snapshot->id, &error));
}

static bool has(struct world *world, uint64_t n)
{
    struct packetfs_id id;

    world_id(world, PACKETFS_PATTERN, n, world_len(n), &id);
    return packetfs_store_has(world->store, PACKETFS_PATTERN, &id) == 0;
}

static void test_nothing_to_do(void **state)
{
    struct world world;
    uint64_t numbers[NUMBERS];
    size_t count = range(numbers, 0, NUMBERS, 1);
    struct packetfs_snapshot one;
    struct packetfs_prune_result result;

    (void)state;
    world_init(&world);
    result = world_prune(&world, 0); /* an empty volume */
    assert_int_equal(result.packs_removed, 0);
    snapshot(&world, numbers, count, "one", &one);
    result = world_prune(&world, 0);
    assert_int_equal(result.packs_removed, 0);
    assert_int_equal(result.objects_removed, 0);
    assert_true(result.objects_live >= count);
    world_check_numbers(&world, numbers, count);
    world_release(&world);
}

static void test_all_goes(void **state)
{
    struct world world;
    uint64_t numbers[NUMBERS];
    size_t count = range(numbers, 0, NUMBERS, 1);
    struct packetfs_snapshot one;
    struct packetfs_prune_result result;
    struct packetfs_stats stats;

    (void)state;
    world_init(&world);
    snapshot(&world, numbers, count, "one", &one);
    remove_snapshot(&world, &one);
    result = world_prune(&world, 0);
    assert_int_equal(result.packs_waiting, 0);
    assert_true(result.objects_removed >= count);
    stats = world_stats(&world);
    assert_int_equal(stats.packs, 0);
    assert_int_equal(stats.patterns + stats.references, 0);
    for (size_t i = 0; i < count; i++)
        assert_false(has(&world, numbers[i]));
    assert_clean(&world);
    snapshot(&world, numbers, count, "again", &one); /* and comes again */
    world_check_numbers(&world, numbers, count);
    assert_clean(&world);
    world_release(&world);
}

static void test_half_stays(void **state)
{
    struct world world;
    uint64_t even[NUMBERS], all[NUMBERS];
    size_t even_count = range(even, 0, NUMBERS, 2);
    size_t all_count = range(all, 0, NUMBERS, 1);
    struct packetfs_snapshot first, second;
    struct packetfs_prune_result dry = {0};
    struct packetfs_prune_result result;
    const struct packetfs_prune_options options = {.dry_run = true};
    struct packetfs_stats before;
    struct hm_error error;

    (void)state;
    world_init(&world);
    snapshot(&world, all, all_count, "all", &first);
    snapshot(&world, even, even_count, "even", &second);
    remove_snapshot(&world, &first);
    before = world_stats(&world);
    assert_ok(packetfs_store_prune(world.store, &options, NULL, &dry, &error));
    assert_int_equal(world_stats(&world).bytes_packs, before.bytes_packs);
    result = world_prune(&world, 0);
    assert_int_equal(result.packs_removed, dry.packs_removed);
    assert_int_equal(result.objects_removed, dry.objects_removed);
    assert_int_equal(result.bytes_rewritten, dry.bytes_rewritten);
    assert_true(result.objects_removed >= NUMBERS / 2);
    assert_true(world_stats(&world).bytes_packs < before.bytes_packs);
    world_check_numbers(&world, even, even_count);
    for (uint64_t n = 1; n < NUMBERS; n += 2)
        assert_false(has(&world, n));
    assert_clean(&world);
    assert_int_equal(world_prune(&world, 0).packs_removed, 0);
    world_release(&world);
}

static void test_percent(void **state)
{
    struct world world;
    uint64_t all[NUMBERS];
    size_t count = range(all, 0, NUMBERS, 1);
    struct packetfs_snapshot first, second;
    const struct packetfs_prune_options bad = {.unused_percent = 101};
    struct packetfs_prune_result result;
    struct hm_error error;

    (void)state;
    world_init(&world);
    snapshot(&world, all, count, "all", &first);
    snapshot(&world, all, count - 6, "nearly", &second); /* 6 of 120 go: 5 % of the patterns */
    remove_snapshot(&world, &first);
    (void)world_prune(&world, 50);
    assert_true(has(&world, NUMBERS - 1));
    (void)world_prune(&world, 1);
    assert_false(has(&world, NUMBERS - 1));
    assert_int_equal(packetfs_store_prune(world.store, &bad, NULL, &result, &error), HM_EINVAL);
    assert_clean(&world);
    world_release(&world);
}

/* A writer that began before may count on what is condemned; the pack waits for him. */
static void test_waits_for_writers(void **state)
{
    struct world world;
    uint64_t all[NUMBERS];
    size_t count = range(all, 0, NUMBERS, 1);
    struct packetfs_snapshot first, second;
    struct packetfs_writer *early;
    struct packetfs_prune_result result;

    (void)state;
    world_init(&world);
    snapshot(&world, all, count, "first", &first);
    (void)world_prune(&world, 0); /* so that the pack is older than the writer */
    early = writer_open(&world);
    remove_snapshot(&world, &first);
    result = world_prune(&world, 0);
    assert_true(result.packs_waiting > 0);
    assert_int_equal(result.packs_removed, 0);
    assert_int_equal(world_stats(&world).packs_condemned, result.packs_waiting);
    assert_int_equal(world_stats(&world).writers, 1);
    assert_true(has(&world, 5)); /* still read */
    world_snapshot(&world, early, all, 40, "second", &second);
    result = world_prune(&world, 0);
    assert_true(result.packs_waiting > 0);
    packetfs_writer_close(early);
    result = world_prune(&world, 0);
    assert_int_equal(result.packs_waiting, 0);
    assert_true(result.packs_removed > 0);
    world_check_numbers(&world, all, 40);
    assert_false(has(&world, 50));
    assert_clean(&world);
    world_release(&world);
}

/* What such a writer already had taken for known when the pack was condemned is saved for his snapshot. */
static void test_saves_what_an_early_writer_counts_on(void **state)
{
    struct world world;
    uint64_t all[NUMBERS];
    size_t count = range(all, 0, NUMBERS, 1);
    struct packetfs_snapshot first, second;
    struct packetfs_writer *early;
    struct packetfs_objects objects;
    struct packetfs_list_builder *list = NULL;
    struct packetfs_content content;
    struct packetfs_writer_counts counts;
    struct hm_error error;

    (void)state;
    world_init(&world);
    snapshot(&world, all, count, "first", &first);
    (void)world_prune(&world, 0);
    early = writer_open(&world);
    objects = packetfs_writer_objects(early);
    assert_ok(packetfs_list_new(&objects, world.keys.node, &list, &error));
    for (uint64_t n = 0; n < 30; n++) {
        struct packetfs_id id;

        world_put(early, PACKETFS_PATTERN, n, world_len(n), &id);
        assert_ok(packetfs_list_add(list, &id, world_len(n), &error));
    }
    packetfs_writer_counts(early, &counts);
    assert_int_equal(counts.objects_new[PACKETFS_PATTERN], 0); /* all known */
    remove_snapshot(&world, &first);
    assert_true(world_prune(&world, 0).packs_waiting > 0);
    assert_ok(packetfs_list_finish(list, &content, &error));
    packetfs_list_free(list);
    assert_ok(packetfs_writer_flush(early, &error));
    second = (struct packetfs_snapshot){.root = content.id, .label = "second"};
    assert_ok(packetfs_snapshot_add(world.store, &second, &error));
    packetfs_writer_close(early);
    assert_true(world_prune(&world, 0).packs_removed > 0);
    world_check_numbers(&world, all, 30);
    assert_false(has(&world, 31));
    assert_clean(&world);
    world_release(&world);
}

/* A writer that begins after takes condemned objects for absent. */
static void test_condemned_is_absent_for_new_writers(void **state)
{
    struct world world;
    uint64_t all[NUMBERS];
    size_t count = range(all, 0, NUMBERS, 1);
    struct packetfs_snapshot first, second;
    struct packetfs_writer *early, *late;
    struct packetfs_writer_counts counts;

    (void)state;
    world_init(&world);
    snapshot(&world, all, count, "first", &first);
    (void)world_prune(&world, 0);
    early = writer_open(&world);
    remove_snapshot(&world, &first);
    assert_true(world_prune(&world, 0).packs_waiting > 0);
    late = writer_open(&world);
    world_snapshot(&world, late, all, 20, "second", &second);
    packetfs_writer_counts(late, &counts);
    assert_int_equal(counts.objects_new[PACKETFS_PATTERN], 20);
    packetfs_writer_close(early); /* never used anything */
    /* The late one is no reason to wait. */
    assert_int_equal(world_prune(&world, 0).packs_waiting, 0);
    world_check_numbers(&world, all, 20);
    packetfs_writer_close(late);
    world_check_numbers(&world, all, 20);
    assert_false(has(&world, 21));
    assert_clean(&world);
    world_release(&world);
}

/* A pack of a writer who is still at it is in no snapshot yet: it is left alone. */
static void test_unfinished_work_stays(void **state)
{
    struct world world;
    struct packetfs_writer *writer;
    struct hm_error error;
    struct packetfs_id id;

    (void)state;
    world_init(&world);
    writer = writer_open(&world);
    for (uint64_t n = 0; n < 40; n++)
        world_put(writer, PACKETFS_PATTERN, n, world_len(n), &id);
    assert_ok(packetfs_writer_flush(writer, &error));
    assert_int_equal(world_prune(&world, 0).packs_waiting, 0);
    assert_int_equal(world_stats(&world).packs_condemned, 0);
    for (uint64_t n = 0; n < 40; n++)
        assert_true(has(&world, n));
    packetfs_writer_close(writer);
    (void)world_prune(&world, 0);
    assert_false(has(&world, 3)); /* nobody's now */
    world_release(&world);
}

static void test_small_packs_are_joined(void **state)
{
    struct world world;
    uint64_t numbers[NUMBERS];
    struct packetfs_snapshot snapshots[20];
    uint64_t packs;

    (void)state;
    world_init(&world);
    for (size_t i = 0; i < HM_COUNT_OF(snapshots); i++) {
        size_t count = range(numbers, i * 6, i * 6 + 6, 1);

        snapshot(&world, numbers, count, "some", &snapshots[i]);
    }
    packs = world_stats(&world).packs;
    assert_true(packs >= 40);
    (void)world_prune(&world, 100);
    assert_true(world_stats(&world).packs <= 2);
    world_check_numbers(&world, numbers, range(numbers, 0, NUMBERS, 1));
    assert_clean(&world);
    assert_int_equal(world_prune(&world, 100).packs_removed, 0);
    world_release(&world);
}

static void test_prune_needs_every_reference(void **state)
{
    struct world world;
    uint64_t numbers[NUMBERS];
    struct packetfs_snapshot one;
    struct packetfs_snapshot lame = {.label = "lame"};
    const struct packetfs_prune_options options = {0};
    struct packetfs_prune_result result;
    struct hm_error error;

    (void)state;
    world_init(&world);
    snapshot(&world, numbers, range(numbers, 0, NUMBERS, 1), "one", &one);
    lame.root.bytes[0] = 1;
    assert_ok(packetfs_snapshot_add(world.store, &lame, &error));
    assert_int_equal(packetfs_store_prune(world.store, &options, NULL, &result, &error),
                     HM_ECORRUPT);
    assert_non_null(strstr(error.text, "lame"));
    world_release(&world);
}

static void test_one_at_a_time(void **state)
{
    struct world world;
    const struct packetfs_prune_options options = {0};
    struct packetfs_prune_result result;
    struct packetfs_check_result checked;
    struct packetfs_writer *writer;
    struct hm_error error;
    int lock = -1;

    (void)state;
    world_init(&world);
    assert_ok(packetfs_care_lock(world.store, &lock, &error));
    assert_int_equal(packetfs_store_prune(world.store, &options, NULL, &result, &error), HM_EBUSY);
    assert_int_equal(packetfs_store_repair(world.store, NULL, &checked, &error), HM_EBUSY);
    hm_fd_release(&lock);
    writer = writer_open(&world);
    assert_int_equal(packetfs_store_repair(world.store, NULL, &checked, &error), HM_EBUSY);
    packetfs_writer_close(writer);
    world.options.read_only = true;
    world_reopen(&world);
    assert_int_equal(packetfs_store_prune(world.store, &options, NULL, &result, &error), HM_EPERM);
    world_release(&world);
}

/* --- any order of puts, removals and prunes --- */

#define MODEL_SNAPSHOTS 12
#define MODEL_NUMBERS   200

struct model {
    struct packetfs_snapshot snapshots[MODEL_SNAPSHOTS];
    uint64_t numbers[MODEL_SNAPSHOTS][MODEL_NUMBERS];
    size_t counts[MODEL_SNAPSHOTS];
    size_t count;
};

static uint64_t below(const struct hm_random *dice, uint64_t n)
{
    return hm_random_u64(dice) % n;
}

static void model_put(struct model *model, struct world *world, const struct hm_random *dice)
{
    size_t count = 2 + (size_t)below(dice, MODEL_NUMBERS - 2);
    char label[16];

    if (model->count == MODEL_SNAPSHOTS)
        return;
    for (size_t i = 0; i < count; i++)
        model->numbers[model->count][i] = below(dice, 400);
    model->counts[model->count] = count;
    (void)snprintf(label, sizeof(label), "s%llu", (unsigned long long)below(dice, 1000));
    snapshot(world, model->numbers[model->count], count, label, &model->snapshots[model->count]);
    model->count++;
}

static void model_remove(struct model *model, struct world *world, const struct hm_random *dice)
{
    size_t at;

    if (model->count == 0)
        return;
    at = (size_t)below(dice, model->count);
    remove_snapshot(world, &model->snapshots[at]);
    model->count--;
    model->snapshots[at] = model->snapshots[model->count];
    model->counts[at] = model->counts[model->count];
    memcpy(model->numbers[at], model->numbers[model->count], sizeof(model->numbers[at]));
}

static void model_repair(struct world *world)
{
    struct packetfs_check_result result = {0};
    struct hm_error error;

    assert_ok(packetfs_store_repair(world->store, NULL, &result, &error));
    assert_int_equal(result.findings, 0);
}

static void model_check(struct model *model, struct world *world)
{
    for (size_t i = 0; i < model->count; i++)
        world_check_numbers(world, model->numbers[i], model->counts[i]);
}

/* After the last prune at 0 % exactly what the snapshots need is there (the filter may keep one in some hundreds more). */
static void model_end(struct model *model, struct world *world)
{
    bool needed[400] = {false};
    uint64_t distinct = 0;
    struct packetfs_stats stats;

    for (size_t i = 0; i < model->count; i++) {
        for (size_t n = 0; n < model->counts[i]; n++)
            needed[model->numbers[i][n]] = true;
    }
    for (size_t n = 0; n < HM_COUNT_OF(needed); n++)
        distinct += needed[n];
    (void)world_prune(world, 0);
    stats = world_stats(world);
    assert_in_range(stats.patterns, distinct, distinct + 4);
    model_check(model, world);
    assert_clean(world);
}

static void play(uint64_t seed)
{
    struct hm_random_seeded random_state;
    struct hm_random dice = hm_random_seeded_source(&random_state, seed);
    struct model *model = hm_calloc(1, sizeof(*model));
    struct world world;

    assert_non_null(model);
    world_init(&world);
    for (int step = 0; step < 40; step++) {
        switch (below(&dice, 8)) {
        case 0:
        case 1:
        case 2:
            model_put(model, &world, &dice);
            break;
        case 3:
        case 4:
            model_remove(model, &world, &dice);
            break;
        case 5:
        case 6:
            (void)world_prune(&world, (unsigned)below(&dice, 101));
            break;
        default:
            if (below(&dice, 2))
                world_reopen(&world);
            else
                model_repair(&world);
        }
        if (step % 8 == 7)
            model_check(model, &world);
    }
    model_end(model, &world);
    world_release(&world);
    hm_free(model);
}

static void test_any_order(void **state)
{
    const char *text = getenv("HM_PACKETFS_SEEDS");
    uint64_t seeds = 2;

    (void)state;
    if (text)
        assert_int_equal(hm_u64_parse(text, &seeds, NULL), 0);
    for (uint64_t seed = 1; seed <= seeds; seed++)
        play(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_all_goes),
        cmocka_unit_test(test_half_stays),
        cmocka_unit_test(test_percent),
        cmocka_unit_test(test_waits_for_writers),
        cmocka_unit_test(test_saves_what_an_early_writer_counts_on),
        cmocka_unit_test(test_condemned_is_absent_for_new_writers),
        cmocka_unit_test(test_unfinished_work_stays),
        cmocka_unit_test(test_small_packs_are_joined),
        cmocka_unit_test(test_prune_needs_every_reference),
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_any_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
