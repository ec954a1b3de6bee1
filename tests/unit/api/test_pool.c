/* The elastic pool, and the buckets of requests a second. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "api_pool.h"
#include "api_rate.h"

#define SECOND UINT64_C(1000000000)

struct job {
    struct api_work work; /* first */
    atomic_uint *running, *done;
    atomic_bool *hold;
};

static void nap(void)
{
    const struct timespec pause = {.tv_nsec = 2000000};

    (void)nanosleep(&pause, NULL);
}

static void run_job(struct api_work *work)
{
    struct job *job = (struct job *)(void *)work;

    atomic_fetch_add(job->running, 1);
    while (atomic_load(job->hold))
        nap();
    atomic_fetch_add(job->done, 1);
}

static void test_pool_grows_refuses_and_shrinks(void **state)
{
    atomic_uint running = 0;
    atomic_uint done = 0;
    atomic_bool hold = true;
    struct api_pool *pool = NULL;
    struct job jobs[8];

    (void)state;
    assert_int_equal(api_pool_open(4, 2, 1, &pool, NULL), 0);
    assert_int_equal(api_pool_threads(pool), 0);
    for (unsigned i = 0; i < 8; i++) {
        jobs[i] = (struct job){
            .work = {.run = run_job}, .running = &running, .done = &done, .hold = &hold};
        /* four run, two wait, the others are one too many */
        assert_int_equal(api_pool_put(pool, &jobs[i].work), i < 6 ? 0 : HM_EBUSY);
        while (i < 4 && atomic_load(&running) <= i)
            nap();
    }
    assert_int_equal(atomic_load(&running), 4);
    assert_int_equal(api_pool_threads(pool), 4);
    atomic_store(&hold, false);
    while (atomic_load(&done) < 6)
        nap();
    for (unsigned i = 0; i < 2000 && api_pool_threads(pool) > 0; i++)
        nap();
    assert_int_equal(api_pool_threads(pool), 0); /* idle ones leave */
    assert_int_equal(api_pool_put(pool, &jobs[6].work), 0); /* and come again */
    api_pool_close(pool); /* runs what waits */
    assert_int_equal(atomic_load(&done), 7);
    api_pool_close(NULL);
}

static void test_rate(void **state)
{
    struct api_rate rate;
    unsigned taken = 0;

    (void)state;
    api_rate_init(&rate, 100);
    while (api_rate_take(&rate, 7, SECOND))
        taken++;
    assert_int_equal(taken, 100); /* one second's worth at once */
    assert_false(api_rate_take(&rate, 7, SECOND + SECOND / 1000));
    assert_true(api_rate_take(&rate, 8, SECOND)); /* somebody else's bucket */
    assert_true(api_rate_take(&rate, 7, SECOND + SECOND / 100));
    assert_false(api_rate_take(&rate, 7, SECOND + SECOND / 100));
    taken = 0;
    while (api_rate_take(&rate, 7, 100 * SECOND))
        taken++;
    assert_int_equal(taken, 100); /* never deeper than a second */
    api_rate_release(&rate);
}

/* Callers beyond the buckets push out who was quiet the longest, not who is busy. */
static void test_rate_many_callers(void **state)
{
    struct api_rate rate;

    (void)state;
    api_rate_init(&rate, 2);
    for (uint64_t i = 0; i < 10 * (uint64_t)API_RATE_CALLERS; i++) {
        assert_true(api_rate_take(&rate, 1000 + i, SECOND + i));
        (void)api_rate_take(&rate, 1, SECOND + i);
    }
    assert_false(api_rate_take(&rate, 1, SECOND + 10000));
    api_rate_release(&rate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_grows_refuses_and_shrinks),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_rate_many_callers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
