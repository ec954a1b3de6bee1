/* The model of the engine itself, over an application without a ledger: many seeds pass, everything happened in them, one seed
 * is the same each time, and every mistake an application can make of those in script_app.h is found. Environment: see
 * cluster_play.h; HM_MUTANT names one mistake, to see a seed with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cluster_play.h"
#include "cluster_script.h"

#define SEEDS        300
#define MUTANT_SEEDS 150 /* in which a mistake must show */

static void everything_happened(const struct cluster_totals *t)
{
    assert_true(t->heights > 20 * SEEDS && t->rounds > t->heights && t->empty_blocks > SEEDS);
    assert_true(t->acknowledged > 40 * SEEDS && t->resubmitted > SEEDS);
    assert_true(t->crashes > SEEDS && t->engine_crashes > SEEDS && t->replayed > SEEDS);
    assert_true(t->joins > SEEDS / 10 && t->wipes > SEEDS / 10 && t->from_genesis > SEEDS / 10);
    assert_true(t->restored > SEEDS / 10 && t->restores_refused > 5 && t->liars_caught > 5);
    assert_true(t->partitions > SEEDS && t->stalls > SEEDS / 10);
    assert_true(t->hostile_proposals > SEEDS / 2 && t->hostile_extensions > SEEDS / 2);
    assert_true(t->abandoned_proposals > SEEDS / 10 && t->reproposals > SEEDS / 10);
    assert_true(t->faults_told > SEEDS / 10 && t->updates_told > SEEDS / 2);
}

static void test_seeds(void **state)
{
    enum script_mutant mutant = SCRIPT_NONE;
    const char *name = getenv("HM_MUTANT");
    struct cluster_totals totals = {0};
    double begin = cluster_play_seconds();
    bool single;

    (void)state;
    for (unsigned i = 0; i < SCRIPT_MUTANT_COUNT && name != NULL; i++)
        if (strcmp(script_mutant_name((enum script_mutant)i), name) == 0)
            mutant = (enum script_mutant)i;
    assert_int_equal(cluster_play(cluster_script_kind(mutant), SEEDS, "test_sim_cluster_model",
                                  &totals, &single),
                     0);
    cluster_play_tell(&totals, cluster_play_seconds() - begin);
    if (!single)
        everything_happened(&totals);
}

static void test_same_seed_same_run(void **state)
{
    struct cluster_totals first = {0}, second = {0};
    char why[CLUSTER_WHY_BYTES];

    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        assert_true(cluster_run(seed, cluster_script_kind(SCRIPT_NONE), &first, why));
        assert_true(cluster_run(seed, cluster_script_kind(SCRIPT_NONE), &second, why));
    }
    assert_memory_equal(&first, &second, sizeof first);
}

static void test_mistakes_are_found(void **state)
{
    (void)state;
    for (unsigned i = SCRIPT_NONE + 1; i < SCRIPT_MUTANT_COUNT; i++) {
        const struct cluster_kind *kind = cluster_script_kind((enum script_mutant)i);
        struct cluster_totals totals = {0};
        char why[CLUSTER_WHY_BYTES] = "";
        uint64_t seed = 1;
        while (seed <= MUTANT_SEEDS && cluster_run(seed, kind, &totals, why))
            seed++;
        if (seed <= MUTANT_SEEDS)
            print_message("%-16s seed %3llu: %s\n", script_mutant_name((enum script_mutant)i),
                          (unsigned long long)seed, why);
        else
            fail_msg("not found in %d seeds: %s (%s)", MUTANT_SEEDS,
                     script_mutant_name((enum script_mutant)i),
                     script_mutant_does((enum script_mutant)i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_same_seed_same_run),
        cmocka_unit_test(test_mistakes_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
