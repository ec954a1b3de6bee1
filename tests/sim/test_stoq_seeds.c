/* Many seeds of the simulated network, each a world of its own: see stoq_play.h.
 *   HM_STOQ_SEEDS   how many (default 300; soak runs 10,000)      HM_STOQ_FIRST   the first (default 1)
 *   HM_SEED         only this one, and every connection's end is told */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base.h"
#include "stoq_play.h"

#define SEEDS         300
#define FAILURES_TOLD 5

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t value = otherwise;

    if (text != NULL)
        assert_int_equal(hm_u64_parse(text, &value, NULL), 0);
    return value;
}

static double cpu_seconds(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A run in which something never happens shows nothing about it. */
static void everything_happened(const struct check_totals *totals)
{
    assert_true(totals->connections > SEEDS && totals->flows > SEEDS * 10);
    assert_true(totals->resets > 100 && totals->stops > 100 && totals->denied > 100);
    assert_true(totals->datagrams > 500 && totals->updates > 50);
    assert_true(totals->migrations > 20 && totals->rebindings > 20);
    assert_true(totals->partitions > 10 && totals->abrupt > 10 && totals->crashes > 5);
    assert_true(totals->resumed > 10 && totals->early > 0);
}

static void test_seeds(void **state)
{
    bool single = getenv("HM_SEED") != NULL;
    uint64_t first = number_of("HM_SEED", number_of("HM_STOQ_FIRST", 1)),
             count = single ? 1 : number_of("HM_STOQ_SEEDS", SEEDS);
    struct check_totals totals = {0};
    double begin = cpu_seconds(), taken;
    unsigned failures = 0;

    (void)state;
    if (single)
        (void)setenv("HM_STOQ_TRACE", "1", 1);
    for (uint64_t seed = first; seed < first + count && failures < FAILURES_TOLD; seed++) {
        char why[STOQ_PLAY_WHY_BYTES];
        if (stoq_play_run(seed, &totals, why))
            continue;
        failures++;
        print_message("seed %llu: %s\n  replay: HM_SEED=%llu test_sim_stoq_seeds\n",
                      (unsigned long long)seed, why, (unsigned long long)seed);
    }
    stoq_play_end();
    taken = cpu_seconds() - begin;
    print_message(
        "%llu seeds in %.1f s of CPU (%.1f a second): %llu connections (%llu resumed, %llu "
        "early), %llu streams, %llu bytes, %llu packets, %llu resets, %llu stops, %llu "
        "denied, %llu datagrams, %llu key updates, %llu path changes, %llu rebindings, %llu "
        "partitions, %llu abrupt ends, %llu crashes\n",
        (unsigned long long)count, taken, (double)count / taken,
        (unsigned long long)totals.connections, (unsigned long long)totals.resumed,
        (unsigned long long)totals.early, (unsigned long long)totals.flows,
        (unsigned long long)totals.bytes, (unsigned long long)totals.packets,
        (unsigned long long)totals.resets, (unsigned long long)totals.stops,
        (unsigned long long)totals.denied, (unsigned long long)totals.datagrams,
        (unsigned long long)totals.updates, (unsigned long long)totals.migrations,
        (unsigned long long)totals.rebindings, (unsigned long long)totals.partitions,
        (unsigned long long)totals.abrupt, (unsigned long long)totals.crashes);
    assert_int_equal(failures, 0);
    if (count >= SEEDS)
        everything_happened(&totals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
