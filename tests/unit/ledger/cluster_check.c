#include "cluster_check.h"

static void fees(Hypermesh__Params *params)
{
    params->base_fee_initial = 2000; /* far above: every empty block of one node lowers it */
    params->base_fee_minimum = 1;
}

int fees_setup(void **state)
{
    static const struct fixture_options options = {.params = fees};

    (void)state;
    return fixture_init(&fix, &options);
}

Hypermesh__ChainFacts *facts_now(struct fixture *f)
{
    Hypermesh__ChainFacts *facts = NULL;
    struct ledger_view *view;
    int rc;

    assert_int_equal(ledger_view_open(f->ledger, &view, NULL), 0);
    rc = ledger_view_chain_facts(view, &f->arena, &facts, NULL);
    assert_true(rc == 0 || rc == HM_ENOTFOUND);
    ledger_view_close(view);
    return facts;
}

void facts_are(const struct ledger_info *at)
{
    const Hypermesh__ChainFacts *facts = facts_now(&fix);

    assert_non_null(facts);
    assert_int_equal(facts->base_fee, at->base_fee);
    assert_int_equal(facts->height, at->height);
    assert_int_equal(facts->time_ms, at->time_ms);
    assert_memory_equal(facts->hash.data, at->block_hash, 32);
}

uint64_t era_now(void)
{
    uint64_t era = 77;

    assert_int_equal(ledger_era(fix.ledger, &era, NULL), 0);
    return era;
}

int replay_rc(void)
{
    struct ledger *scratch;
    struct store *store;
    int rc;

    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    assert_int_equal(ledger_open(store, &scratch, NULL), 0);
    fix.error.text[0] = '\0';
    rc = ledger_replay(fix.ledger, scratch, NULL, NULL, NULL, NULL, &fix.error);
    ledger_close(scratch);
    store_close(store);
    return rc;
}

void replays(void)
{
    if (replay_rc())
        fail_msg("replay: %s", fix.error.text);
}
