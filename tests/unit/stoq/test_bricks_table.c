/* Connection ids and deadlines against slow models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "stoq_table.h"

#define IDS    3000
#define TIMERS 500

static const uint8_t key[16] = "a key of a table";

static size_t below(const struct hm_random *source, size_t most)
{
    return (size_t)(hm_random_u64(source) % most);
}

struct id {
    uint8_t bytes[20];
    size_t len;
    void *value; /* NULL: not in the table */
};

static void test_table_model(void **state)
{
    static struct id ids[IDS];
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, 9);
    struct stoq_table table;
    size_t used = 0;

    (void)state;
    assert_int_equal(stoq_table_init(&table, key), 0);
    for (size_t i = 0; i < IDS; i++) { /* each another, some prefixes of others */
        ids[i] = (struct id){.len = 4 + i % 17};
        hm_put_be32(ids[i].bytes, (uint32_t)(i / 17));
    }
    for (int step = 0; step < 300000; step++) {
        struct id *id = &ids[below(&random, IDS)];
        size_t phase = (size_t)step / 30000 % 2; /* grows and shrinks in turn */

        assert_ptr_equal(stoq_table_get(&table, id->bytes, id->len), id->value);
        if (below(&random, 10) < (phase == 0 ? 8U : 1U)) {
            used += id->value == NULL;
            id->value = &ids[below(&random, IDS)];
            assert_int_equal(stoq_table_put(&table, id->bytes, id->len, id->value), 0);
        } else {
            used -= id->value != NULL;
            id->value = NULL;
            stoq_table_remove(&table, id->bytes, id->len);
        }
        assert_int_equal(table.used, used);
        assert_true(table.capacity == 64 || table.used >= table.capacity / 8);
    }
    for (size_t i = 0; i < IDS; i++)
        assert_ptr_equal(stoq_table_get(&table, ids[i].bytes, ids[i].len), ids[i].value);
    for (size_t i = 0; i < IDS; i++)
        stoq_table_remove(&table, ids[i].bytes, ids[i].len);
    assert_int_equal(table.used, 0);
    assert_int_equal(table.capacity, 64);
    stoq_table_release(&table);
}

static void test_table_bad_lengths(void **state)
{
    struct stoq_table table;
    uint8_t cid[21] = {1};

    (void)state;
    assert_int_equal(stoq_table_init(&table, key), 0);
    assert_int_equal(stoq_table_put(&table, cid, 0, cid), STOQ_EINVAL);
    assert_int_equal(stoq_table_put(&table, cid, 21, cid), STOQ_EINVAL);
    assert_null(stoq_table_get(&table, cid, 0));
    assert_null(stoq_table_get(&table, cid, 21));
    stoq_table_remove(&table, cid, 0);
    stoq_table_remove(&table, cid, 21);
    assert_int_equal(table.used, 0);
    stoq_table_release(&table);
}

static void test_table_no_memory(void **state)
{
    struct stoq_table table;
    uint8_t cid[8] = {0};
    size_t refused = 0;

    (void)state;
    hm_alloc_fail_at(1);
    assert_int_equal(stoq_table_init(&table, key), STOQ_ENOMEM);
    assert_int_equal(stoq_table_init(&table, key), 0);
    hm_alloc_fail_from(1);
    for (uint8_t i = 0; i < 200; i++) {
        cid[3] = i;
        refused += stoq_table_put(&table, cid, 8, &table) == STOQ_ENOMEM;
    }
    hm_alloc_fail_from(0);
    assert_int_equal(table.used, 48); /* three quarters of 64 */
    assert_int_equal(refused, 152);
    for (uint8_t i = 0; i < 200; i++) {
        cid[3] = i;
        assert_int_equal(stoq_table_put(&table, cid, 8, &table), 0);
    }
    hm_alloc_fail_from(1); /* it cannot shrink, and works all the same */
    for (uint8_t i = 0; i < 199; i++) {
        cid[3] = i;
        stoq_table_remove(&table, cid, 8);
        assert_null(stoq_table_get(&table, cid, 8));
    }
    hm_alloc_fail_from(0);
    cid[3] = 199;
    assert_ptr_equal(stoq_table_get(&table, cid, 8), &table);
    stoq_table_release(&table);
}

static void check_first(const struct stoq_timers *timers, const struct stoq_timer *all)
{
    uint64_t least = STOQ_NEVER;
    size_t in = 0;

    for (size_t i = 0; i < TIMERS; i++) {
        assert_int_equal(all[i].index == SIZE_MAX, all[i].at_ns == STOQ_NEVER);
        in += all[i].index != SIZE_MAX;
        if (all[i].at_ns < least)
            least = all[i].at_ns;
    }
    assert_int_equal(in, timers->count);
    if (in == 0)
        assert_null(stoq_timers_first(timers));
    else
        assert_int_equal(stoq_timers_first(timers)->at_ns, least);
}

static void test_timers_model(void **state)
{
    struct stoq_timer all[TIMERS];
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, 11);
    struct stoq_timers timers;
    uint64_t before = 0;

    (void)state;
    stoq_timers_init(&timers);
    assert_null(stoq_timers_first(&timers));
    for (size_t i = 0; i < TIMERS; i++) {
        stoq_timer_init(&all[i]);
        assert_int_equal(stoq_timers_reserve(&timers), 0);
    }
    for (int step = 0; step < 50000; step++) {
        struct stoq_timer *timer = &all[below(&random, TIMERS)];

        stoq_timers_set(&timers, timer,
                        below(&random, 4) == 0 ? STOQ_NEVER : 1 + below(&random, 1000));
        if (step % 16 == 0)
            check_first(&timers, all);
    }
    for (struct stoq_timer *timer; (timer = stoq_timers_first(&timers)) != NULL;) {
        assert_true(timer->at_ns >= before);
        before = timer->at_ns;
        stoq_timers_set(&timers, timer, STOQ_NEVER);
    }
    for (size_t i = 0; i < TIMERS; i++)
        stoq_timers_unreserve(&timers);
    assert_int_equal(timers.reserved, 0);
    assert_int_equal(timers.capacity, 16);
    stoq_timers_release(&timers);
}

static void test_timers_no_memory(void **state)
{
    struct stoq_timers timers;
    struct stoq_timer all[17];

    (void)state;
    stoq_timers_init(&timers);
    hm_alloc_fail_at(1);
    assert_int_equal(stoq_timers_reserve(&timers), STOQ_ENOMEM);
    for (size_t i = 0; i < 16; i++) {
        stoq_timer_init(&all[i]);
        assert_int_equal(stoq_timers_reserve(&timers), 0);
        stoq_timers_set(&timers, &all[i], 100 - i);
    }
    hm_alloc_fail_at(1);
    assert_int_equal(stoq_timers_reserve(&timers), STOQ_ENOMEM);
    assert_int_equal(timers.reserved, 16);
    assert_ptr_equal(stoq_timers_first(&timers), &all[15]);
    stoq_timers_release(&timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_model),      cmocka_unit_test(test_table_bad_lengths),
        cmocka_unit_test(test_table_no_memory),  cmocka_unit_test(test_timers_model),
        cmocka_unit_test(test_timers_no_memory),
    };
    return cmocka_run_group_tests_name("bricks_table", tests, NULL, NULL);
}
