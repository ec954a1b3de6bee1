#include "validators_check.h"

#include <stdio.h>

struct engine_model engine;

int validators_setup(void **state)
{
    static const struct fixture_options options = {.params = stake_params};

    (void)state;
    return fixture_init(&fix, &options);
}

const char *did(enum fixture_role who, Hypermesh__Operation *op)
{
    const Hypermesh__TxResult *result = stake_do(&fix, &engine, who, op);

    if (!result)
        fail_msg("block: %s", fix.error.text);
    if (result->code)
        assert_string_not_equal(result->rule, "");
    return result->rule;
}

/* A block in which somebody pays, with these votes. */
struct ledger_outcome busy(const struct stake_votes *votes)
{
    Hypermesh__Operation *op = op_transfer(&fix, FRANK, 1);
    struct hm_slice tx = fixture_tx(&fix, ERIN, &op, 1);
    struct ledger_outcome out;

    if (stake_block(&fix, &engine, votes, &tx, 1, &out))
        fail_msg("block: %s", fix.error.text);
    assert_int_equal(fix.record->results[0]->code, 0);
    return out;
}

struct ledger_outcome idle(const struct stake_votes *votes)
{
    struct ledger_outcome out;

    if (stake_block(&fix, &engine, votes, NULL, 0, &out))
        fail_msg("block: %s", fix.error.text);
    return out;
}

uint64_t power_of(enum fixture_role who)
{
    const struct engine_set *set = engine_model_newest(&engine);
    struct crypto_ed25519_key key;

    stake_key(who, &key);
    for (size_t i = 0; i < set->count; i++) {
        if (memcmp(set->members[i].key, key.public_key, 32) == 0)
            return set->members[i].power;
    }
    return 0;
}

/* What the ledger says it told is what the model took. */
void sets_agree(void)
{
    const struct engine_set *set = engine_model_newest(&engine);
    struct ledger_view *view = check_view();
    struct ledger_validator_update *list;
    size_t count;

    assert_int_equal(ledger_view_engine_set(view, &fix.arena, &list, &count, NULL), 0);
    assert_int_equal(count, set->count);
    for (size_t i = 0; i < count; i++) {
        assert_memory_equal(list[i].key, set->members[i].key, 32);
        assert_int_equal(list[i].power, set->members[i].power);
    }
    ledger_view_close(view);
}

/* The last block's last event is this, about his validator. */
void event_is(const char *type, enum fixture_role who)
{
    struct ledger_view *view = check_view();
    struct ledger_event *events;
    uint32_t total;
    size_t count;

    assert_int_equal(ledger_view_events(view, check_info().height, 0, LEDGER_EVENTS_MAX, &fix.arena,
                                        &events, &count, &total, &fix.error),
                     0);
    assert_true(count > 0 && total == count);
    assert_string_equal(events[count - 1].type, type);
    assert_memory_equal(events[count - 1].account, fix.people[who].id, 32);
    ledger_view_close(view);
}

/* Alice 400, Bob 300, Carol 300 when the engine begins. */
void begin(void)
{
    good(ALICE, op_declare(&fix, ALICE, 400 * H, 100000));
    good(BOB, op_declare(&fix, BOB, 300 * H, 0));
    good(CAROL, op_declare(&fix, CAROL, 300 * H, 0));
    engine_model_begin(&engine, &fix);
    assert_int_equal(engine_model_newest(&engine)->count, 3);
    assert_int_equal(power_of(ALICE), 400);
}
