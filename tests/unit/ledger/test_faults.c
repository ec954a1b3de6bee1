/* What the engine says of validators, and what they cannot get out of: faults, votes for no block, plots that are not shown, and
 * what is left of a validator that is none any more. */
#include "validators_check.h"

/* A fault reaches the stake and what has left since; what left before is out of it. */
static void test_double_sign(void **state)
{
    struct stake_votes votes = {.double_sign = 1u << ALICE};
    struct ledger_delegation_worth worth;
    uint64_t burnt;
    uint64_t minted;
    uint64_t voted;
    uint64_t part = 50000; /* ppm */
    const Hypermesh__Validator *validator;

    (void)state;
    good(DAVE, op_transfer(&fix, ERIN, 1));
    begin();
    DONE(DAVE, op_delegate(&fix, ALICE, 300 * H));
    DONE(DAVE, op_undelegate(&fix, ALICE, 100 * H)); /* long before */
    fix.next_ms += 30 * FIXTURE_BLOCK_MS;
    votes.fault_ms = fix.next_ms;
    (void)busy(NULL);
    DONE(DAVE, op_redelegate(&fix, ALICE, BOB, 50 * H)); /* since */
    DONE(ALICE, op_undelegate(&fix, ALICE, 40 * H));
    (void)idle(NULL);
    burnt = fixture_supply(&fix)->hyper_burnt;
    minted = fixture_supply(&fix)->caes_minted;
    voted = stake_validator(&fix, BOB)->window_blocks;
    (void)idle(&votes);
    event_is("validator_tombstoned", ALICE);
    assert_int_equal(fixture_supply(&fix)->caes_minted, minted); /* nobody paid */
    assert_int_equal(stake_validator(&fix, BOB)->window_blocks, voted);
    validator = stake_validator(&fix, ALICE);
    assert_int_equal(fixture_supply(&fix)->hyper_burnt - burnt, (510 + 90) * H / 1000000 * part);
    assert_int_equal(validator->slashed, (510 + 90) * H / 1000000 * part);
    assert_int_equal(validator->stake, 510 * H / 1000000 * (1000000 - part));
    assert_true(validator->tombstoned);
    ledger_delegation_worth(validator, stake_delegation(&fix, ALICE, DAVE), &worth);
    assert_in_range(worth.leaving, 100 * H + 50 * H / 1000000 * (1000000 - part) - 1,
                    100 * H + 50 * H / 1000000 * (1000000 - part));
    assert_in_range(worth.stake, 150 * H / 1000000 * (1000000 - part) - 1,
                    150 * H / 1000000 * (1000000 - part));
    /* Once for ever; never again. */
    burnt = fixture_supply(&fix)->hyper_burnt;
    (void)idle(&votes);
    assert_int_equal(fixture_supply(&fix)->hyper_burnt, burnt);
    for (int i = 0; i < 4; i++)
        (void)idle(NULL);
    assert_int_equal(power_of(ALICE), 0);
    assert_string_equal(did(ALICE, op_unjail(&fix)), "validator.tombstoned");
    assert_string_equal(did(ERIN, op_delegate(&fix, ALICE, H)), "validator.tombstoned");
    assert_string_equal(did(ERIN, op_redelegate(&fix, BOB, ALICE, H)), "validator.tombstoned");
    assert_string_equal(did(ALICE, op_commission(&fix, 100000)), "validator.tombstoned");
    assert_string_equal(did(ALICE, op_retire_validator(&fix)), "validator.tombstoned");
    assert_string_equal(did(ALICE, op_declare(&fix, ALICE, 100 * H, 0)), "validator.declared");
    /* But everybody may take what is left, the operator too. */
    DONE(ALICE, op_undelegate(&fix, ALICE, 0));
    DONE(DAVE, op_undelegate(&fix, ALICE, 0));
    fix.next_ms += fix.params.unbond_delay_ms;
    (void)busy(NULL);
    assert_null(stake_delegation(&fix, ALICE, ALICE));
    assert_non_null(stake_validator(&fix, ALICE)); /* it is remembered */
    assert_int_equal(stake_validator(&fix, ALICE)->stake, 0);
    assert_int_equal(stake_delegation(&fix, BOB, DAVE)->shares, worth.leaving - 100 * H);
    sets_agree();
}

/* Who hides a fault, lets stake leave and is then said to be at fault later has what left taken by the first one as well,
 * when that comes out; and nothing twice. */
static void hidden_fault(bool later_first)
{
    struct stake_votes votes = {.double_sign = 1u << ALICE};
    uint64_t hidden_ms;

    begin();
    (void)busy(NULL);
    hidden_ms = fix.next_ms;
    (void)busy(NULL);
    DONE(ALICE, op_undelegate(&fix, ALICE, 200 * H));
    for (int i = 0; i < 30; i++)
        (void)busy(NULL);
    DONE(ALICE, op_undelegate(&fix, ALICE, 50 * H));
    if (later_first) {
        votes.fault_ms = fix.next_ms;
        (void)idle(&votes);
        assert_int_equal(stake_validator(&fix, ALICE)->slashed, 200 * H / 20);
    }
    votes.fault_ms = hidden_ms;
    (void)idle(&votes);
    assert_int_equal(stake_validator(&fix, ALICE)->slashed, 400 * H / 20);
    (void)idle(&votes);
    votes.fault_ms = hidden_ms + FIXTURE_BLOCK_MS;
    (void)idle(&votes);
    assert_int_equal(stake_validator(&fix, ALICE)->slashed, 400 * H / 20);
    sets_agree();
}

static void test_hidden_fault(void **state)
{
    (void)state;
    hidden_fault(true);
}

static void test_fault_at_once(void **state)
{
    (void)state;
    hidden_fault(false);
}

static void params_few_anchors(Hypermesh__Params *params)
{
    stake_params(params);
    params->anchor_max_blocks = 6;
}

static int few_anchors_setup(void **state)
{
    static const struct fixture_options options = {.params = params_few_anchors};

    (void)state;
    return fixture_init(&fix, &options);
}

static void fault_changes(const struct stake_votes *votes, bool changes)
{
    (void)idle(votes);
    assert_int_equal(stake_validator(&fix, ALICE)->tombstoned, changes);
}

/* A fault from before everything that was bound then may have left is none any more. Its time is that of the ledger's own block:
 * the engine's may lie days behind after a pause. */
static void test_old_fault(void **state)
{
    struct stake_votes votes = {.double_sign = 1u << ALICE};
    uint64_t delay = fix.params.unbond_delay_ms;
    uint64_t height;

    (void)state;
    begin();
    (void)busy(NULL);
    votes.fault_ms = fix.next_ms - delay - 1;
    fault_changes(&votes, false);
    height = check_info().height;
    fix.next_ms += delay;
    votes.fault_ms = fix.next_ms; /* the header says otherwise */
    votes.fault_height = height;
    fault_changes(&votes, false);
    votes.fault_ms = fix.next_ms - 2 * delay;
    votes.fault_height = check_info().height;
    fault_changes(&votes, true);
}

/* Its last moment. */
static void test_fault_in_time(void **state)
{
    struct stake_votes votes = {.double_sign = 1u << ALICE};

    (void)state;
    begin();
    (void)busy(NULL);
    votes.fault_ms = fix.next_ms - fix.params.unbond_delay_ms;
    fault_changes(&votes, true);
}

/* A header that a node may lack which began with a snapshot does not count: what the engine says does. */
static void test_fault_without_header(void **state)
{
    struct stake_votes votes = {.double_sign = 1u << ALICE};

    (void)state;
    begin();
    for (int i = 0; i < 8; i++)
        (void)busy(NULL);
    votes.fault_ms = fix.next_ms - 2 * fix.params.unbond_delay_ms;
    votes.fault_height = check_info().height + 1 - 6;
    fault_changes(&votes, false);
    votes.fault_height = check_info().height + 1 - 5;
    fault_changes(&votes, true);
}

/* Who has retired is at fault as well, as long as his stake has not left; and is then remembered. */
static void test_retired_fault(void **state)
{
    const struct stake_votes votes = {.double_sign = 1u << ALICE};

    (void)state;
    begin();
    (void)busy(NULL);
    DONE(ALICE, op_retire_validator(&fix));
    DONE(ALICE, op_undelegate(&fix, ALICE, 0));
    (void)idle(&votes);
    assert_true(stake_validator(&fix, ALICE)->tombstoned);
    assert_int_equal(stake_validator(&fix, ALICE)->slashed, 400 * H / 20);
    fix.next_ms += fix.params.unbond_delay_ms;
    (void)busy(NULL);
    assert_null(stake_delegation(&fix, ALICE, ALICE));
    assert_non_null(stake_validator(&fix, ALICE));
    (void)busy(NULL);
    assert_string_equal(did(ALICE, op_declare(&fix, ALICE, 100 * H, 0)), "validator.declared");
}

/* Who votes for no block was there, but earns nothing; and before an engine's first block nobody could vote. */
static void test_votes_for_none(void **state)
{
    const struct stake_votes none = {.nobody = true};
    struct stake_votes nil = {.nil = 1u << CAROL};
    uint64_t minted;
    uint64_t windowed;

    (void)state;
    begin();
    (void)busy(NULL);
    minted = fixture_supply(&fix)->caes_minted;
    windowed = stake_validator(&fix, ALICE)->window_blocks;
    (void)busy(&none);
    assert_int_equal(fixture_supply(&fix)->caes_minted, minted);
    assert_int_equal(stake_validator(&fix, ALICE)->window_blocks, windowed);
    for (int i = 0; i < 6; i++)
        (void)busy(&nil);
    assert_int_equal(stake_validator(&fix, CAROL)->missed, 0);
    assert_false(stake_validator(&fix, CAROL)->jailed);
    minted = fixture_supply(&fix)->caes_minted;
    nil.nil = ~UINT32_C(0);
    (void)busy(&nil);
    assert_int_equal(fixture_supply(&fix)->caes_minted, minted);
}

/* A stranger's stake does not keep an operator from coming back, with another key; but as long as a fault of the one it had can
 * come out nothing changes. */
static void test_declared_again(void **state)
{
    struct stake_votes votes = {.double_sign = 1u << ALICE};
    struct crypto_ed25519_key key;
    Hypermesh__Operation *op;
    uint32_t step = fix.params.commission_step_ppm;
    uint64_t left;

    (void)state;
    begin();
    DONE(DAVE, op_delegate(&fix, ALICE, H));
    DONE(ALICE, op_retire_validator(&fix));
    DONE(ALICE, op_undelegate(&fix, ALICE, 0));
    assert_string_equal(did(ALICE, op_declare_key(&fix, ALICE, FRANK, 100 * H, 0)),
                        "validator.declared");
    fix.next_ms += fix.params.unbond_delay_ms;
    (void)busy(NULL);
    assert_null(stake_delegation(&fix, ALICE, ALICE)); /* all of its own is free */
    assert_non_null(stake_validator(&fix, ALICE));
    assert_string_equal(did(ALICE, op_declare(&fix, ALICE, 100 * H, 100000)),
                        "validator.key_taken");
    /* Who stayed was promised steps. */
    op = op_declare_key(&fix, ALICE, FRANK, 200 * H, 100000 + step + 1);
    assert_string_equal(did(ALICE, op), "validator.commission_step");
    op = op_declare_key(&fix, ALICE, FRANK, 200 * H, 100000 + step);
    DONE(ALICE, op);
    stake_key(FRANK, &key);
    assert_memory_equal(stake_validator(&fix, ALICE)->key.data, key.public_key, 32);
    assert_int_equal(stake_validator(&fix, ALICE)->stake, 201 * H);
    assert_false(stake_validator(&fix, ALICE)->retired);
    assert_int_equal(stake_validator(&fix, ALICE)->commission_ppm, 100000 + step);
    for (int i = 0; i < 6; i++)
        (void)busy(NULL);
    assert_int_equal(power_of(FRANK), 201); /* the engine's by key */
    assert_int_equal(power_of(ALICE), 0);
    sets_agree();
    left = stake_validator(&fix, ALICE)->stake;
    (void)idle(&votes); /* of the key of before: too late */
    assert_int_equal(stake_validator(&fix, ALICE)->stake, left);
    DONE(DAVE, op_undelegate(&fix, ALICE, 0));
}

static void params_slow_commission(Hypermesh__Params *params)
{
    stake_params(params);
    params->commission_step_ms = 2 * params->unbond_delay_ms;
}

static int slow_commission_setup(void **state)
{
    static const struct fixture_options options = {.params = params_slow_commission};

    (void)state;
    return fixture_init(&fix, &options);
}

/* Retiring is no way round the commission's steps as long as somebody's stake is there; nor is it punished when nobody's is. */
static void test_commission_again(void **state)
{
    (void)state;
    begin();
    DONE(DAVE, op_delegate(&fix, ALICE, H));
    DONE(ALICE, op_retire_validator(&fix));
    DONE(ALICE, op_undelegate(&fix, ALICE, 0));
    fix.next_ms += fix.params.unbond_delay_ms;
    (void)busy(NULL);
    assert_string_equal(did(ALICE, op_declare_key(&fix, ALICE, FRANK, 200 * H, 99999)),
                        "validator.commission_time");
    DONE(ALICE, op_declare_key(&fix, ALICE, FRANK, 200 * H, 100000));
    DONE(DAVE, op_delegate(&fix, BOB, H));
    DONE(BOB, op_retire_validator(&fix));
    DONE(BOB, op_undelegate(&fix, BOB, 0));
    fix.next_ms += fix.params.unbond_delay_ms;
    DONE(DAVE, op_undelegate(&fix, BOB, 0));
    assert_int_equal(stake_validator(&fix, BOB)->shares, 0); /* what leaves is not there any more */
    DONE(BOB, op_declare_key(&fix, BOB, ERIN, 200 * H, fix.params.commission_max_ppm));
}

/* Of what rounding left an operator has the last, also one that was tombstoned. */
static void test_last_caes(void **state)
{
    struct stake_votes votes = {.double_sign = 1u << ALICE};

    (void)state;
    begin();
    DONE(DAVE, op_delegate(&fix, ALICE, 7 * H / 3));
    DONE(ERIN, op_delegate(&fix, ALICE, 5 * H / 3));
    for (int i = 0; i < 5; i++)
        (void)busy(NULL);
    (void)idle(&votes);
    DONE(ALICE, op_undelegate(&fix, ALICE, 0));
    DONE(DAVE, op_undelegate(&fix, ALICE, 0));
    DONE(ERIN, op_undelegate(&fix, ALICE, 0));
    assert_int_not_equal(stake_validator(&fix, ALICE)->caes, 0);
    fix.next_ms += fix.params.unbond_delay_ms;
    (void)busy(NULL);
    assert_int_equal(stake_validator(&fix, ALICE)->shares, 0);
    assert_int_equal(stake_validator(&fix, ALICE)->caes, 0);
}

/* One plot that is not shown costs the stake once, however many asked for it. */
static void test_one_silence(void **state)
{
    static const enum fixture_role askers[] = {ALICE, BOB, CAROL, DAVE, ERIN, FRANK};
    uint64_t stake;

    (void)state;
    good(ALICE, op_declare(&fix, ALICE, 400 * H, 0));
    good(NODE, op_declare(&fix, NODE, 400 * H, 0));
    good(BOB, op_delegate(&fix, NODE, 600 * H));
    engine_model_begin(&engine, &fix);
    for (size_t i = 0; i < HM_COUNT_OF(askers); i++)
        DONE(askers[i], op_challenge(&fix, NODE, NULL));
    stake = stake_validator(&fix, NODE)->stake;
    fix.next_ms += fix.params.challenge_window_ms;
    (void)idle(NULL);
    assert_int_equal(fixture_account(&fix, NODE)->marks->failed, HM_COUNT_OF(askers));
    assert_int_equal(stake_validator(&fix, NODE)->stake,
                     stake - stake / 1000000 * fix.params.slash_plot_ppm);
}

/* A fault of whom nobody knows, or of no kind, changes nothing but what every block does. */
static void test_strange_faults(void **state)
{
    struct stake_votes votes = {.double_sign = 1u << FRANK};
    Hypermesh__EngineFacts *facts;
    Hypermesh__EngineFault *fault;
    struct ledger_proposal proposal;
    struct ledger_outcome out;
    struct crypto_ed25519_key key;
    uint8_t address[20];
    uint8_t hash[32];
    uint64_t burnt;

    (void)state;
    begin();
    (void)busy(NULL);
    burnt = fixture_supply(&fix)->hyper_burnt;
    (void)idle(&votes);
    facts = cluster_facts(&fix, check_info().height + 1);
    facts->faults = fixture_take(&fix, sizeof(void *));
    fault = fixture_new(&fix, &hypermesh__engine_fault__descriptor);
    stake_key(ALICE, &key);
    stake_address(key.public_key, address);
    fault->kind = 3;
    fault->address = fixture_keep(&fix, address, 20);
    fault->time_ms = fix.next_ms;
    facts->faults[0] = fault;
    facts->n_faults = 1;
    engine_model_hash(&engine, hash);
    facts->next_validators_hash = fixture_keep(&fix, hash, 32);
    cluster_propose(&fix, facts, NULL, 0, &proposal);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &out, &fix.error), 0);
    assert_int_equal(out.updates_count, 0);
    ledger_abandon(fix.ledger);
    assert_int_equal(fixture_supply(&fix)->hyper_burnt, burnt);
    assert_false(stake_validator(&fix, ALICE)->tombstoned);
    fault->kind = 2; /* light clients are no better to deceive */
    cluster_propose(&fix, facts, NULL, 0, &proposal);
    assert_int_equal(ledger_finalize(fix.ledger, &proposal, &out, &fix.error), 0);
    assert_true(out.updates_count > 0);
    ledger_abandon(fix.ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_double_sign, validators_setup, check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_hidden_fault, validators_setup, check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_fault_at_once, validators_setup,
                                        check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_old_fault, validators_setup, check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_fault_in_time, validators_setup,
                                        check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_fault_without_header, few_anchors_setup,
                                        check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_votes_for_none, validators_setup,
                                        check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_declared_again, validators_setup,
                                        check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_commission_again, slow_commission_setup,
                                        check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_last_caes, validators_setup, check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_one_silence, validators_setup, check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_retired_fault, validators_setup,
                                        check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_strange_faults, validators_setup,
                                        check_replay_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
