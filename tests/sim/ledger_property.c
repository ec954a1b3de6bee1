/* Property test: random transactions against a naive model. After every block each balance, bond, escrow,
 * share and total is the model's; at the end the chain replays into LMDB with the same roots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ledger_scenario.h"

#define BLOCKS 400

static void each(struct fixture *fixture, struct model *model, void *ctx)
{
    (void)ctx;
    model_compare(model, fixture);
}

static void replay_on_disk(struct fixture *fixture)
{
    char folder[] = "/tmp/hm-sim-XXXXXX";
    struct ledger_info info;
    struct ledger *scratch;
    struct store *store;
    uint64_t blocks;

    assert_non_null(mkdtemp(folder));
    assert_int_equal(store_open_lmdb(folder, fixture_store_options(), &store, NULL), 0);
    assert_int_equal(ledger_open(store, &scratch, NULL), 0);
    if (ledger_replay(fixture->ledger, scratch, NULL, NULL, &blocks, NULL, &fixture->error))
        fail_msg("replay: %s", fixture->error.text);
    assert_int_equal(ledger_info(fixture->ledger, &info, NULL), 0);
    assert_int_equal(blocks, info.height);
    ledger_close(scratch);
    store_close(store);
    assert_int_equal(hm_remove_tree(folder, NULL), 0);
}

static void run_seed(uint64_t seed)
{
    static const struct fixture_options options = {.params = scenario_params};
    struct scenario_counts counts;
    struct fixture fixture;

    assert_int_equal(fixture_init(&fixture, &options), 0);
    fixture.cluster = seed % 2 == 0; /* who orders the blocks makes no difference to the model */
    scenario_run(&fixture, seed, BLOCKS, each, NULL, &counts);
    print_message("seed %llu: %zu transactions, %zu good, %zu failed as they should, %zu leases "
                  "ended by time, %zu challenges unanswered\n",
                  (unsigned long long)seed, counts.txs, counts.good, counts.failed, counts.expired,
                  counts.silent);
    /* A run in which something never happens shows nothing about it. */
    assert_true(counts.good > BLOCKS / 2);
    assert_true(counts.failed > BLOCKS / 2);
    assert_true(counts.expired > 10);
    assert_true(counts.silent > 0);
    for (unsigned kind = HYPERMESH__OPERATION__OP_ASSET_REGISTER;
         kind <= HYPERMESH__OPERATION__OP_CHALLENGE_ANSWER; kind++) {
        if (counts.good_of_kind[kind] == 0)
            fail_msg("no good %s in the run", ledger_op_name(kind));
    }
    replay_on_disk(&fixture);
    fixture_release(&fixture);
}

/* Four fixed seeds, or one of one's own: HM_SEED=77. */
static void test_seeds(void **state)
{
    const char *text = getenv("HM_SEED");
    uint64_t given;

    (void)state;
    if (text) {
        assert_int_equal(hm_u64_parse(text, &given, NULL), 0);
        run_seed(given);
        return;
    }
    for (uint64_t seed = 1; seed <= 4; seed++)
        run_seed(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
