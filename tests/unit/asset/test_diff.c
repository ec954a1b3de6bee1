#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "asset.h"

static struct asset_attribute flags[] = {{"cores", "4"}, {"flags", "aes"}};
static struct asset_attribute other_flags[] = {{"cores", "4"}, {"flags", "aes avx2"}};
static struct asset_attribute load[] = {{"load1", "0.5"}};

static struct asset_found cpu(const char *id, uint64_t capacity)
{
    return (struct asset_found){.kind = HYPERMESH__ASSET_KIND__CPU,
                                .hardware_id = id,
                                .title = id,
                                .capacity = capacity,
                                .attributes = flags,
                                .attribute_count = 2,
                                .healthy = true,
                                .offered = true};
}

static struct asset_found gpu(const char *id)
{
    return (struct asset_found){.kind = HYPERMESH__ASSET_KIND__GPU,
                                .hardware_id = id,
                                .title = id,
                                .capacity = 1000,
                                .healthy = true,
                                .offered = true};
}

static size_t diff(struct asset_found *before, size_t before_count, struct asset_found *after,
                   size_t after_count, struct hm_arena *arena, struct asset_change **changes)
{
    struct asset_inventory left = {.items = before, .count = before_count};
    struct asset_inventory right = {.items = after, .count = after_count};
    size_t count = 99;

    assert_int_equal(asset_diff(&left, &right, arena, changes, &count, NULL), 0);
    return count;
}

static void arrivals_and_departures_are_seen(void **state)
{
    struct asset_found before[] = {cpu("a", 1), cpu("b", 1), gpu("b")};
    struct asset_found after[] = {cpu("b", 1), cpu("c", 1), gpu("a"), gpu("b")};
    struct asset_change *changes;
    struct hm_arena arena;

    (void)state;
    hm_arena_init(&arena, 0);
    assert_int_equal(diff(before, 3, after, 4, &arena, &changes), 3);
    assert_int_equal(changes[0].kind, ASSET_GONE);
    assert_ptr_equal(changes[0].before, &before[0]);
    assert_null(changes[0].after);
    assert_int_equal(changes[1].kind, ASSET_APPEARED);
    assert_ptr_equal(changes[1].after, &after[1]);
    assert_null(changes[1].before);
    assert_int_equal(changes[2].kind, ASSET_APPEARED);
    assert_ptr_equal(changes[2].after, &after[2]);
    assert_int_equal(diff(NULL, 0, after, 4, &arena, &changes), 4);
    assert_int_equal(diff(before, 3, NULL, 0, &arena, &changes), 3);
    assert_int_equal(diff(NULL, 0, NULL, 0, &arena, &changes), 0);
    hm_arena_release(&arena);
}

static void only_lasting_facts_are_changes(void **state)
{
    struct asset_found before = cpu("a", 1), after = cpu("a", 1);
    struct asset_change *changes;
    struct hm_arena arena;

    (void)state;
    hm_arena_init(&arena, 0);
    after.live = load;
    after.live_count = 1;
    assert_int_equal(diff(&before, 1, &after, 1, &arena, &changes), 0);
    after.capacity = 2;
    assert_int_equal(diff(&before, 1, &after, 1, &arena, &changes), 1);
    assert_int_equal(changes[0].kind, ASSET_CHANGED);
    after = cpu("a", 1);
    after.attributes = other_flags;
    assert_int_equal(diff(&before, 1, &after, 1, &arena, &changes), 1);
    after = cpu("a", 1);
    after.attribute_count = 1;
    assert_int_equal(diff(&before, 1, &after, 1, &arena, &changes), 1);
    after = cpu("a", 1);
    after.healthy = false;
    after.health = "hot";
    assert_int_equal(diff(&before, 1, &after, 1, &arena, &changes), 1);
    before = after;
    assert_int_equal(diff(&before, 1, &after, 1, &arena, &changes), 0);
    before.health = "cold";
    assert_int_equal(diff(&before, 1, &after, 1, &arena, &changes), 1);
    after = cpu("a", 1);
    after.offered = false;
    before = cpu("a", 1);
    assert_int_equal(diff(&before, 1, &after, 1, &arena, &changes), 1);
    hm_arena_release(&arena);
}

static void without_memory_nothing_is_written(void **state)
{
    struct asset_inventory none = {0};
    struct asset_change *changes = NULL;
    struct hm_arena arena;
    size_t count = 99;

    (void)state;
    hm_arena_init(&arena, 0);
    hm_alloc_fail_at(1);
    assert_int_equal(asset_diff(&none, &none, &arena, &changes, &count, NULL), HM_ENOMEM);
    hm_alloc_fail_at(0);
    assert_int_equal(count, 99);
    hm_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrivals_and_departures_are_seen),
        cmocka_unit_test(only_lasting_facts_are_changes),
        cmocka_unit_test(without_memory_nothing_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
