/* The state roots of one fixed run, a line a block: every compiler must print the same. */
#include <stdio.h>

#include "ledger_scenario.h"

static void each(struct fixture *fixture, struct model *model, void *ctx)
{
    char root[2 * 32 + 1];
    char hash[2 * 32 + 1];
    struct ledger_info info;

    (void)ctx;
    model_compare(model, fixture);
    if (ledger_info(fixture->ledger, &info, NULL))
        return;
    hm_hex_encode(info.state_root, 32, root);
    hm_hex_encode(info.block_hash, 32, hash);
    (void)printf("%llu %s %s\n", (unsigned long long)info.height, root, hash);
}

int main(void)
{
    static const struct fixture_options options = {.params = scenario_params};
    struct scenario_counts counts;
    struct fixture fixture;
    int rc = fixture_init(&fixture, &options);

    if (rc) {
        (void)fprintf(stderr, "roots: %s\n", fixture.error.text);
        return 1;
    }
    scenario_run(&fixture, 20240607, 150, each, NULL, &counts);
    (void)printf("%zu transactions, %zu good, %zu leases ended by time\n", counts.txs, counts.good,
                 counts.expired);
    fixture_release(&fixture);
    return 0;
}
