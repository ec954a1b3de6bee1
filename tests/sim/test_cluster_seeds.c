/* Many seeds of a cluster over the real application and ledger: see cluster_world.h for what must hold. Environment: see
 * cluster_play.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster_ledger.h"
#include "cluster_play.h"

#define SEEDS 300

static void everything_happened(const struct cluster_totals *t)
{
    const struct cluster_ledger_counts *counts = cluster_ledger_counted();

    assert_true(t->heights > 20 * SEEDS && t->rounds > t->heights && t->empty_blocks > SEEDS);
    assert_true(t->crashes > SEEDS && t->engine_crashes > SEEDS && t->replayed > SEEDS);
    assert_true(t->joins > SEEDS / 10 && t->wipes > SEEDS / 10 && t->resubmitted > SEEDS);
    assert_true(t->partitions > SEEDS && t->hostile_proposals > SEEDS / 2);
    assert_true(t->abandoned_proposals > SEEDS / 10 && t->reproposals > SEEDS / 10);
    assert_true(t->faults_told > SEEDS / 10 && t->nudges > SEEDS);
    assert_true(counts->good > 20 * SEEDS);
    assert_true(counts->witness.views > 2 * SEEDS && counts->witness.nodes > 8 * SEEDS);
    assert_true(t->lies > SEEDS / 2 && counts->witness.shown > SEEDS / 10);
    assert_true(counts->witness.clocks > SEEDS && counts->witness.links > SEEDS / 4);
}

static void test_seeds(void **state)
{
    struct cluster_totals totals = {0};
    double begin = cluster_play_seconds();
    const struct cluster_ledger_counts *counts = cluster_ledger_counted();
    bool single;
    unsigned failures;

    (void)state;
    failures = cluster_play(cluster_ledger_kind(), SEEDS, "test_sim_cluster_seeds", &totals,
                            &single);
    cluster_ledger_end();
    cluster_play_tell(&totals, cluster_play_seconds() - begin);
    print_message("transactions: %llu made, %llu good, %llu failed\n",
                  (unsigned long long)counts->made, (unsigned long long)counts->good,
                  (unsigned long long)counts->failed);
    print_message(
        "views of the validators: %llu with %llu nodes, liars shown %llu, clocks doubted %llu; "
        "links of the "
        "chain of delays: %llu\n",
        (unsigned long long)counts->witness.views, (unsigned long long)counts->witness.nodes,
        (unsigned long long)counts->witness.shown, (unsigned long long)counts->witness.clocks,
        (unsigned long long)counts->witness.links);
    if (cluster_ledger_wrong() != NULL)
        fail_msg("%s", cluster_ledger_wrong());
    assert_int_equal(failures, 0);
    if (!single)
        everything_happened(&totals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds),
    };

    hm_log_setup(2, HM_LOG_ERROR, 0); /* who does not sign, of thousands of blocks */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
