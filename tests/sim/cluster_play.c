#include "cluster_play.h"

#include <stdarg.h>
#include <setjmp.h>
#include <time.h>

#include <cmocka.h>

#define FAILURES_TOLD 5

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t value = otherwise;

    if (text != NULL)
        assert_int_equal(hm_u64_parse(text, &value, NULL), 0);
    return value;
}

double cluster_play_seconds(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

unsigned cluster_play(const struct cluster_kind *kind, uint64_t seeds, const char *program,
                      struct cluster_totals *totals, bool *single)
{
    bool one = getenv("HM_SEED") != NULL;
    uint64_t first = number_of("HM_SEED", number_of("HM_CLUSTER_FIRST", 1)),
             count = one ? 1 : number_of("HM_CLUSTER_SEEDS", seeds);
    unsigned failures = 0;

    *single = one || count < seeds;
    if (one)
        (void)setenv("HM_CLUSTER_TRACE", "1", 1);
    for (uint64_t seed = first; seed < first + count && failures < FAILURES_TOLD; seed++) {
        char why[CLUSTER_WHY_BYTES];
        if (cluster_run(seed, kind, totals, why))
            continue;
        failures++;
        print_message("seed %llu: %s\n  replay: HM_SEED=%llu %s\n", (unsigned long long)seed, why,
                      (unsigned long long)seed, program);
    }
    return failures;
}

void cluster_play_tell(const struct cluster_totals *t, double seconds)
{
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"heights", t->heights},
        {"rounds", t->rounds},
        {"empty blocks", t->empty_blocks},
        {"transactions", t->txs},
        {"acknowledged", t->acknowledged},
        {"resubmitted", t->resubmitted},
        {"refused by a pool", t->refused_txs},
        {"dropped from a pool", t->rechecked_out},
        {"nodes killed", t->crashes},
        {"engines killed", t->engine_crashes},
        {"blocks replayed", t->replayed},
        {"joins", t->joins},
        {"lost disks", t->wipes},
        {"restored from snapshots", t->restored},
        {"snapshots refused", t->restores_refused},
        {"liars caught", t->liars_caught},
        {"from genesis", t->from_genesis},
        {"partitions", t->partitions},
        {"stalls", t->stalls},
        {"nonsense proposed", t->hostile_proposals},
        {"wrong extensions", t->hostile_extensions},
        {"lies in extensions", t->lies},
        {"honest proposals refused", t->honest_refused},
        {"proposals abandoned", t->abandoned_proposals},
        {"proposed again", t->reproposals},
        {"double signatures told", t->faults_told},
        {"validator updates", t->updates_told},
        {"ticks", t->nudges},
    };

    print_message("%llu seeds in %.1f s of CPU:", (unsigned long long)t->seeds, seconds);
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++)
        print_message("%s %s %llu", i == 0 ? "" : ",", rows[i].name,
                      (unsigned long long)rows[i].value);
    print_message("\n");
}
