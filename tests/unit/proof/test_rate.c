/* The rate window: free at first, dearer with every doubling, back to base after rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proof.h"

#define WINDOW 1000u
#define FREE   10u
#define BASE   9u

static unsigned bits_at(const struct proof_rate *rate, uint64_t now)
{
    return proof_rate_bits(rate, now, WINDOW, FREE, BASE);
}

static void send(struct proof_rate *rate, uint64_t now, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        proof_rate_count(rate, now, WINDOW);
}

static void rises_with_each_doubling(void **state)
{
    struct proof_rate rate = {0};

    (void)state;
    for (unsigned sent = 0; sent < 400; sent++) {
        /* The least k with (sent + this one) <= FREE * 2^k. */
        unsigned k = 0;
        while (sent + 1 > FREE << k)
            k++;
        assert_int_equal(bits_at(&rate, 50000), BASE + k);
        send(&rate, 50000, 1);
    }
    assert_int_equal(rate.start_ms, 50000);
    assert_int_equal(rate.count, 400);
}

static void falls_back_after_rest(void **state)
{
    struct proof_rate rate = {0};

    (void)state;
    send(&rate, 50000, 320); /* a new window starts here */
    assert_int_equal(bits_at(&rate, 50999), BASE + 6); /* 321 > 320 */
    assert_int_equal(bits_at(&rate, 51000), BASE + 6); /* the whole of it still counts */
    assert_int_equal(bits_at(&rate, 51500), BASE + 5); /* half: 161 > 160 */
    assert_int_equal(bits_at(&rate, 51900), BASE + 2); /* a tenth: 33 <= 40 */
    assert_int_equal(bits_at(&rate, 51999), BASE);
    assert_int_equal(bits_at(&rate, 52000), BASE);
    assert_int_equal(bits_at(&rate, UINT64_MAX), BASE);
    send(&rate, 90000, 1);
    assert_int_equal(rate.start_ms, 90000);
    assert_int_equal(rate.count, 1);
    assert_int_equal(rate.previous, 0);
}

static void steady_rate_below_free_stays_at_base(void **state)
{
    struct proof_rate rate = {0};

    (void)state;
    for (uint64_t now = 1000; now < 100000; now += 125) { /* 8 a window */
        assert_int_equal(bits_at(&rate, now), BASE);
        send(&rate, now, 1);
    }
}

static void window_moves_on(void **state)
{
    struct proof_rate rate = {0};

    (void)state;
    send(&rate, 2000, 3);
    send(&rate, 3999, 2); /* at the very end of the next window */
    assert_int_equal(rate.start_ms, 3000);
    assert_int_equal(rate.previous, 3);
    send(&rate, 4999, 1);
    assert_int_equal(rate.start_ms, 4000);
    assert_int_equal(rate.previous, 2);
    assert_int_equal(rate.count, 1);
}

static void odd_values_do_no_harm(void **state)
{
    struct proof_rate full = {.start_ms = 5, .count = UINT64_MAX, .previous = UINT64_MAX};
    struct proof_rate empty = {0};

    (void)state;
    assert_int_equal(proof_rate_bits(&full, 5, WINDOW, 1, BASE), PROOF_WORK_BITS_MAX);
    assert_int_equal(proof_rate_bits(&full, 5, WINDOW, UINT64_MAX, BASE), BASE);
    assert_int_equal(proof_rate_bits(&full, 5, WINDOW, UINT64_MAX / 2 + 1, 0), 1);
    proof_rate_count(&full, 5, WINDOW);
    assert_true(full.count == UINT64_MAX);
    assert_int_equal(proof_rate_bits(&full, 0, WINDOW, FREE, 100), PROOF_WORK_BITS_MAX);
    assert_int_equal(proof_rate_bits(&empty, 0, 0, 0, BASE), BASE);
    assert_int_equal(proof_rate_bits(&empty, UINT64_MAX, UINT64_MAX, 0, BASE), BASE);
    proof_rate_count(&empty, UINT64_MAX, UINT64_MAX);
    proof_rate_count(&empty, 3, 0); /* time before the window */
    assert_int_equal(empty.count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rises_with_each_doubling),
        cmocka_unit_test(falls_back_after_rest),
        cmocka_unit_test(steady_rate_below_free_stays_at_base),
        cmocka_unit_test(window_moves_on),
        cmocka_unit_test(odd_values_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
