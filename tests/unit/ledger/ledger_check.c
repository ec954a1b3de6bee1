#include "ledger_check.h"

struct fixture fix;
uint8_t cpu[1][32];

int check_setup(void **state)
{
    (void)state;
    return fixture_init(&fix, NULL);
}

int check_teardown(void **state)
{
    (void)state;
    fixture_release(&fix);
    return 0;
}

int check_offer(enum fixture_role who, uint64_t price, Hypermesh__PrivacyLevel level)
{
    const Hypermesh__TxResult *result = fixture_do(&fix, who,
                                                   op_register(&fix, "cpu0", price, level));

    if (!result || result->code)
        return -1;
    fixture_asset_id(&fix, who, "cpu0", cpu[0]);
    return 0;
}

Hypermesh__TxResult *good(enum fixture_role who, Hypermesh__Operation *op)
{
    Hypermesh__TxResult *result = fixture_do(&fix, who, op);

    assert_non_null(result);
    assert_string_equal(result->text, "");
    assert_int_equal(result->code, 0);
    return result;
}

void made(enum fixture_role who, Hypermesh__Operation *op, uint8_t id[32])
{
    const Hypermesh__TxResult *result = good(who, op);

    assert_true(result->n_created > 0);
    memcpy(id, result->created[0].data, 32);
}

Hypermesh__TxResult *refused(enum fixture_role who, Hypermesh__Operation *op, const char *rule)
{
    Hypermesh__TxResult *result = fixture_do(&fix, who, op);

    assert_non_null(result);
    assert_string_equal(result->rule, rule);
    assert_int_not_equal(result->code, 0);
    return result;
}

struct ledger_info check_info(void)
{
    struct ledger_info info;

    assert_int_equal(ledger_info(fix.ledger, &info, NULL), 0);
    return info;
}

struct ledger_view *check_view(void)
{
    struct ledger_view *view;

    assert_int_equal(ledger_view_open(fix.ledger, &view, NULL), 0);
    return view;
}

int check_replay_teardown(void **state)
{
    struct ledger *scratch;
    struct store *store;
    uint64_t blocks;
    uint64_t txs;
    int rc;

    if (store_open_memory(fixture_store_options(), &store, NULL) ||
        ledger_open(store, &scratch, NULL))
        return -1;
    rc = ledger_replay(fix.ledger, scratch, NULL, NULL, &blocks, &txs, &fix.error);
    if (rc)
        (void)fprintf(stderr, "replay: %s\n", fix.error.text);
    ledger_close(scratch);
    store_close(store);
    return check_teardown(state) || rc ? -1 : 0;
}
