#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base.h"

static void test_alignment_and_zeros(void **state)
{
    struct hm_arena arena;

    (void)state;
    hm_arena_init(&arena, 0);
    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 5000; size += 37) {
            uint8_t *bytes = hm_arena_alloc(&arena, size);

            assert_non_null(bytes);
            assert_int_equal((uintptr_t)bytes % 16, 0);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(bytes[i], 0);
            memset(bytes, 0xA5, size);
        }
        hm_arena_clear(&arena);
        assert_int_equal(arena.used, 0);
    }
    hm_arena_release(&arena);
    hm_arena_release(&arena);
    hm_arena_release(NULL);
}

static void test_large_object_leaves_room_for_small(void **state)
{
    struct hm_arena arena;
    char *first;
    char *second;
    uint8_t *large;

    (void)state;
    hm_arena_init(&arena, 0);
    first = hm_arena_strdup(&arena, "first");
    large = hm_arena_alloc(&arena, (size_t)10 << 20);
    second = hm_arena_strdup(&arena, "second");
    assert_non_null(large);
    memset(large, 1, (size_t)10 << 20);
    assert_string_equal(first, "first");
    assert_ptr_equal(second, first + 16); /* the same chunk went on */
    hm_arena_release(&arena);
}

static void test_limit(void **state)
{
    struct hm_arena arena;

    (void)state;
    hm_arena_init(&arena, 1024);
    assert_null(hm_arena_alloc(&arena, 1025));
    assert_non_null(hm_arena_alloc(&arena, 1008));
    assert_non_null(hm_arena_alloc(&arena, 16));
    assert_null(hm_arena_alloc(&arena, 1));
    assert_null(hm_arena_alloc(&arena, SIZE_MAX));
    hm_arena_clear(&arena);
    assert_non_null(hm_arena_alloc(&arena, 1024));
    hm_arena_release(&arena);
    hm_arena_init(&arena, 0);
    assert_null(hm_arena_alloc(&arena, HM_ARENA_LIMIT_BYTES + 1));
    hm_arena_release(&arena);
}

static void test_text(void **state)
{
    struct hm_arena arena;

    (void)state;
    hm_arena_init(&arena, 0);
    assert_string_equal(hm_arena_printf(&arena, "%s=%d", "x", 42), "x=42");
    assert_memory_equal(hm_arena_dup(&arena, "\0\1\2", 3), "\0\1\2", 3);
    assert_non_null(hm_arena_dup(&arena, NULL, 0));
    hm_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alignment_and_zeros),
        cmocka_unit_test(test_large_object_leaves_room_for_small),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_text),
    };

    return cmocka_run_group_tests_name("base_arena", tests, NULL, NULL);
}
