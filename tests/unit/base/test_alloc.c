/* Allocations that fail on purpose: which, how often, and in which thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "base.h"

#define ROUNDS  20000
#define THREADS 4

static bool works(void)
{
    HM_AUTOFREE void *ptr = hm_malloc(8);

    return ptr != NULL;
}

static int off(void **state)
{
    (void)state;
    hm_alloc_fail_at(0);
    hm_alloc_fail_any_thread(0, false);
    return 0;
}

static void test_once(void **state)
{
    unsigned long failures = hm_alloc_failures();

    (void)state;
    hm_alloc_fail_at(2);
    assert_true(works());
    assert_false(works());
    assert_true(works());
    hm_alloc_fail_at(1);
    hm_alloc_fail_at(0);
    assert_true(works());
    assert_int_equal(hm_alloc_failures() - failures, 1);
}

static void test_from_then_on(void **state)
{
    (void)state;
    hm_alloc_fail_from(3);
    assert_true(works());
    assert_true(works());
    for (int i = 0; i < 10; i++)
        assert_false(works());
    hm_alloc_fail_from(0);
    assert_true(works());
    hm_alloc_fail_from(1);
    hm_alloc_fail_at(1); /* the later call decides */
    assert_false(works());
    assert_true(works());
}

/* Every function that allocates, and what stands on them. */
static void test_all_functions(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_AUTOFREE void *kept = hm_malloc(4);
    unsigned long count = hm_alloc_count();
    unsigned long failures = hm_alloc_failures();

    (void)state;
    hm_alloc_fail_from(1);
    assert_null(hm_malloc(1));
    assert_null(hm_calloc(1, 1));
    assert_null(hm_realloc(kept, 100)); /* and kept is still there */
    assert_null(hm_strdup("a"));
    assert_null(hm_strndup("a", 1));
    assert_null(hm_asprintf("%d", 1));
    assert_int_equal(hm_buf_append_str(&buf, "a"), HM_ENOMEM);
    assert_null(hm_arena_alloc(&arena, 1));
    hm_alloc_fail_from(0);
    assert_int_equal(hm_alloc_failures() - failures, 8);
    assert_int_equal(hm_alloc_count() - count, 8);
    assert_int_equal(buf.len, 0);
    assert_non_null(hm_arena_alloc(&arena, 1));
}

static void *allocate(void *arg)
{
    unsigned long *failed = arg;
    unsigned long count = hm_alloc_count();

    for (int i = 0; i < ROUNDS; i++)
        *failed += !works();
    assert_int_equal(hm_alloc_count() - count, ROUNDS);
    return NULL;
}

/* Starting a thread may itself allocate, but not through base. */
static unsigned long in_threads(void)
{
    unsigned long failed[THREADS] = {0};
    unsigned long sum = 0;
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, allocate, &failed[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        sum += failed[i];
    }
    return sum;
}

static void test_any_thread(void **state)
{
    unsigned long failures = hm_alloc_failures();

    (void)state;
    hm_alloc_fail_at(1); /* of this thread: the others do not see it */
    assert_int_equal(in_threads(), 0);
    assert_false(works());

    hm_alloc_fail_any_thread(THREADS * ROUNDS / 2, false);
    assert_int_equal(in_threads(), 1);
    hm_alloc_fail_any_thread(THREADS * ROUNDS / 2, true);
    assert_int_equal(in_threads(), THREADS * ROUNDS / 2 + 1);
    assert_false(works());
    hm_alloc_fail_any_thread(0, true);
    assert_true(works());
    assert_int_equal(hm_alloc_failures() - failures, THREADS * ROUNDS / 2 + 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_once, off),
        cmocka_unit_test_teardown(test_from_then_on, off),
        cmocka_unit_test_teardown(test_all_functions, off),
        cmocka_unit_test_teardown(test_any_thread, off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
