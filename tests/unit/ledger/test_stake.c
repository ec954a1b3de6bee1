/* Validators and delegations on one node's chain, rule by rule: who may declare, delegate, take out, and that every unit of
 * HYPER comes back or is burnt. */
#include <stdio.h>

#include "ledger_check.h"
#include "ledger_rule.h"
#include "stake_ops.h"

#define H FIXTURE_HYPER

static int setup(void **state)
{
    static const struct fixture_options options = {.params = stake_params};

    (void)state;
    return fixture_init(&fix, &options);
}

/* So many blocks without anything. */
static void pass(uint64_t blocks)
{
    for (uint64_t i = 0; i < blocks; i++)
        assert_int_equal(fixture_block(&fix, NULL, 0), 0);
}

/* Until what left in the last block is free. */
static void pass_delay(void)
{
    fix.next_ms += fix.params.unbond_delay_ms;
    pass(1);
}

static uint64_t hyper_of(enum fixture_role who)
{
    return fixture_account(&fix, who)->hyper;
}

static struct ledger_delegation_worth worth(enum fixture_role validator, enum fixture_role who)
{
    struct ledger_delegation_worth out = {0};
    Hypermesh__Delegation *delegation = stake_delegation(&fix, validator, who);

    if (delegation)
        ledger_delegation_worth(stake_validator(&fix, validator), delegation, &out);
    return out;
}

/* --- declaring --- */

static void test_declare(void **state)
{
    Hypermesh__Operation *op;
    uint64_t before = hyper_of(ALICE);
    const Hypermesh__TxResult *result;
    const Hypermesh__Validator *validator;

    (void)state;
    op = op_declare(&fix, ALICE, 100 * H, 0);
    op->validator_declare->key.len = 31;
    refused(ALICE, op, "validator.key");
    refused(ALICE, op_declare(&fix, ALICE, 100 * H - 1, 0), "validator.bond");
    op = op_declare(&fix, ALICE, 100 * H, 0);
    op->validator_declare->proof.data[5] ^= 1;
    refused(ALICE, op, "validator.proof");
    op->validator_declare->proof.len = 0;
    refused(ALICE, op, "validator.proof");
    refused(BOB, op_declare(&fix, ALICE, 100 * H, 0), "validator.proof"); /* for another operator */
    refused(ALICE, op_declare(&fix, ALICE, 100 * H, 500001), "validator.commission");
    refused(ALICE, op_declare(&fix, ALICE, UINT64_MAX, 0), "funds.hyper");
    assert_null(stake_validator(&fix, ALICE));
    before = hyper_of(ALICE);
    result = good(ALICE, op_declare(&fix, ALICE, 150 * H, 20000));
    assert_int_equal(hyper_of(ALICE), before - 150 * H - result->fee);
    validator = stake_validator(&fix, ALICE);
    assert_int_equal(validator->stake, 150 * H);
    assert_int_equal(validator->shares, 150 * H);
    assert_int_equal(validator->own_shares, 150 * H);
    assert_int_equal(validator->commission_ppm, 20000);
    assert_false(validator->jailed || validator->retired || validator->tombstoned);
    refused(ALICE, op_declare(&fix, ALICE, 150 * H, 0), "validator.declared");
    /* Nobody else's key, whoever signs for it. */
    op = op_declare(&fix, ALICE, 150 * H, 0);
    {
        struct crypto_ed25519_key key;
        uint8_t digest[32];

        stake_key(ALICE, &key);
        ledger_validator_digest(check_info().chain_hash, fix.people[BOB].id, digest);
        crypto_ed25519_sign(&key, digest, 32, op->validator_declare->proof.data);
    }
    refused(BOB, op, "validator.key_taken");
}

static void test_count(void **state)
{
    (void)state;
    for (int who = ALICE; who <= NODE; who++)
        good((enum fixture_role)who, op_declare(&fix, (enum fixture_role)who, 100 * H, 0));
    /* One place, four validators. */
    refused(ERIN, op_declare(&fix, ERIN, 100 * H, 0), "validator.count");
    good(BOB, op_retire_validator(&fix));
    good(ERIN, op_declare(&fix, ERIN, 500 * H, 0));
    refused(FRANK, op_declare(&fix, FRANK, 100 * H, 0), "validator.count");
    refused(FRANK, op_declare(&fix, FRANK, UINT64_MAX / 8, 0),
            "validator.count"); /* has not so much */
    /* Who bonds more has the place of the least stake. */
    good(DAVE, op_delegate(&fix, ALICE, H));
    good(DAVE, op_delegate(&fix, NODE, H));
    good(FRANK, op_declare(&fix, FRANK, 300 * H, 0));
    assert_true(stake_validator(&fix, CAROL)->retired);
    assert_int_equal(stake_validator(&fix, CAROL)->stake, 100 * H);
    assert_false(stake_validator(&fix, ALICE)->retired || stake_validator(&fix, NODE)->retired);
    good(CAROL, op_undelegate(&fix, CAROL, 0));
}

/* Looking for the one that makes room is paid for. */
static void test_count_work(void **state)
{
    const Hypermesh__TxResult *result;
    uint64_t fee;

    (void)state;
    fee = fixture_do(&fix, ERIN, op_declare(&fix, ERIN, 99 * H, 0))->fee; /* too little: before */
    for (int who = ALICE; who <= NODE; who++)
        good((enum fixture_role)who, op_declare(&fix, (enum fixture_role)who, 100 * H, 0));
    result = fixture_do(&fix, ERIN, op_declare(&fix, ERIN, 100 * H, 0));
    assert_string_equal(result->rule, "validator.count");
    assert_int_equal(result->fee, fee + 4 * 20 * fix.params.base_fee_initial);
}

static void one_place(Hypermesh__Params *params)
{
    stake_params(params);
    params->max_validators = 1;
}

static int setup_count(void **state)
{
    static const struct fixture_options options = {.params = one_place};

    (void)state;
    return fixture_init(&fix, &options);
}

static void test_commission(void **state)
{
    (void)state;
    refused(ALICE, op_commission(&fix, 1), "validator.unknown");
    good(ALICE, op_declare(&fix, ALICE, 100 * H, 20000));
    refused(ALICE, op_commission(&fix, 30000), "validator.commission_time");
    pass(10);
    refused(ALICE, op_commission(&fix, 500001), "validator.commission");
    refused(ALICE, op_commission(&fix, 30001), "validator.commission_step");
    refused(ALICE, op_commission(&fix, 9999), "validator.commission_step");
    good(ALICE, op_commission(&fix, 30000));
    assert_int_equal(stake_validator(&fix, ALICE)->commission_ppm, 30000);
    refused(ALICE, op_commission(&fix, 29999), "validator.commission_time");
    pass(7); /* the next block is the ninth after */
    refused(ALICE, op_commission(&fix, 20000), "validator.commission_time");
    good(ALICE, op_commission(&fix, 20000));
    good(ALICE, op_retire_validator(&fix));
    pass(10);
    refused(ALICE, op_commission(&fix, 20000), "validator.retired");
    refused(ALICE, op_retire_validator(&fix), "validator.retired");
    refused(ALICE, op_unjail(&fix), "validator.retired");
    refused(BOB, op_retire_validator(&fix), "validator.unknown");
    refused(BOB, op_unjail(&fix), "validator.unknown");
}

/* --- delegating and leaving --- */

static void test_delegate(void **state)
{
    const Hypermesh__TxResult *result;
    Hypermesh__Operation *op;
    uint64_t before;

    (void)state;
    refused(BOB, op_delegate(&fix, ALICE, H), "validator.unknown");
    good(ALICE, op_declare(&fix, ALICE, 100 * H, 0));
    refused(BOB, op_delegate(&fix, ALICE, H - 1), "delegate.amount");
    refused(BOB, op_delegate(&fix, ALICE, UINT64_MAX / 2), "funds.hyper");
    op = op_delegate(&fix, ALICE, H);
    op->delegate->validator.len = 31;
    refused(BOB, op, "form.id");
    before = hyper_of(BOB);
    result = good(BOB, op_delegate(&fix, ALICE, 30 * H));
    assert_int_equal(hyper_of(BOB), before - 30 * H - result->fee);
    good(BOB, op_delegate(&fix, ALICE, 12 * H));
    assert_int_equal(worth(ALICE, BOB).stake, 42 * H);
    assert_int_equal(stake_validator(&fix, ALICE)->stake, 142 * H);
    assert_int_equal(stake_validator(&fix, ALICE)->own_shares, 100 * H);
}

static void test_leave(void **state)
{
    Hypermesh__Operation *op;
    uint64_t before;

    (void)state;
    good(ALICE, op_declare(&fix, ALICE, 110 * H, 0));
    refused(BOB, op_undelegate(&fix, ALICE, 1), "delegate.none");
    refused(BOB, op_rewards(&fix, ALICE), "delegate.none");
    refused(BOB, op_rewards(&fix, CAROL), "validator.unknown");
    refused(BOB, op_undelegate(&fix, CAROL, 1), "validator.unknown");
    good(BOB, op_delegate(&fix, ALICE, 40 * H));
    op = op_undelegate(&fix, ALICE, 1);
    op->undelegate->all = true;
    refused(BOB, op, "delegate.all");
    op = op_undelegate(&fix, ALICE, 0);
    op->undelegate->all = false;
    refused(BOB, op, "delegate.all");
    refused(BOB, op_undelegate(&fix, ALICE, 40 * H + 1), "delegate.shares");
    refused(BOB, op_undelegate(&fix, ALICE, UINT64_MAX), "delegate.shares");
    before = hyper_of(BOB);
    before -= good(BOB, op_undelegate(&fix, ALICE, 15 * H))->fee;
    assert_int_equal(hyper_of(BOB), before);
    assert_int_equal(worth(ALICE, BOB).stake, 25 * H);
    assert_int_equal(worth(ALICE, BOB).leaving, 15 * H);
    assert_int_equal(worth(ALICE, BOB).free_ms,
                     fix.next_ms - FIXTURE_BLOCK_MS + fix.params.unbond_delay_ms);
    assert_int_equal(check_info().next_due_ms,
                     fix.next_ms - FIXTURE_BLOCK_MS + fix.params.unbond_delay_ms);
    pass(79);
    assert_int_equal(hyper_of(BOB), before);
    pass(1);
    assert_int_equal(hyper_of(BOB), before + 15 * H);
    assert_int_equal(worth(ALICE, BOB).leaving, 0);
    assert_int_equal(worth(ALICE, BOB).free_ms, 0);
    assert_int_equal(stake_validator(&fix, ALICE)->n_leaving, 0);
    /* The operator keeps its bond. */
    refused(ALICE, op_undelegate(&fix, ALICE, 10 * H + 1), "validator.self_bond");
    refused(ALICE, op_undelegate(&fix, ALICE, 0), "validator.self_bond");
    good(ALICE, op_undelegate(&fix, ALICE, 10 * H));
    /* All: nothing of the delegation is left when it is free. */
    before = hyper_of(BOB);
    before -= good(BOB, op_undelegate(&fix, ALICE, 0))->fee;
    refused(BOB, op_undelegate(&fix, ALICE, 0), "delegate.none");
    before = hyper_of(BOB);
    assert_non_null(stake_delegation(&fix, ALICE, BOB));
    pass_delay();
    assert_null(stake_delegation(&fix, ALICE, BOB));
    assert_int_equal(hyper_of(BOB), before + 25 * H);
    assert_int_equal(stake_validator(&fix, ALICE)->stake, 100 * H);
}

static void test_queue(void **state)
{
    (void)state;
    good(ALICE, op_declare(&fix, ALICE, 100 * H, 0));
    good(BOB, op_delegate(&fix, ALICE, 40 * H));
    for (int i = 0; i < 16; i++)
        good(BOB, op_undelegate(&fix, ALICE, H));
    refused(BOB, op_undelegate(&fix, ALICE, H), "delegate.queue");
    assert_true(stake_validator(&fix, ALICE)->n_leaving <= 3);
    pass(80 - 16);
    assert_int_equal(stake_delegation(&fix, ALICE, BOB)->n_leaving, 15); /* each at its time */
    assert_int_equal(worth(ALICE, BOB).leaving, 15 * H);
    good(BOB, op_undelegate(&fix, ALICE, H));
    pass_delay();
    assert_int_equal(stake_validator(&fix, ALICE)->n_leaving, 0);
    assert_int_equal(worth(ALICE, BOB).stake, 23 * H);
}

static void test_redelegate(void **state)
{
    uint64_t before;

    (void)state;
    good(ALICE, op_declare(&fix, ALICE, 100 * H, 0));
    good(CAROL, op_declare(&fix, CAROL, 100 * H, 0));
    good(DAVE, op_declare(&fix, DAVE, 100 * H, 0));
    good(BOB, op_delegate(&fix, ALICE, 40 * H));
    refused(BOB, op_redelegate(&fix, ALICE, ALICE, H), "delegate.same");
    refused(BOB, op_redelegate(&fix, ALICE, ERIN, H), "validator.unknown");
    refused(BOB, op_redelegate(&fix, ERIN, ALICE, H), "validator.unknown");
    refused(BOB, op_redelegate(&fix, ALICE, CAROL, 40 * H + 1), "delegate.shares");
    refused(ALICE, op_redelegate(&fix, ALICE, CAROL, H), "validator.self_bond");
    good(BOB, op_redelegate(&fix, ALICE, CAROL, 10 * H));
    good(BOB, op_redelegate(&fix, ALICE, DAVE, 0));
    before = hyper_of(BOB);
    assert_int_equal(worth(CAROL, BOB).stake, 0);
    /* Dave leaves meanwhile: what was to go to him is free instead. */
    good(DAVE, op_retire_validator(&fix));
    refused(BOB, op_delegate(&fix, DAVE, H), "validator.retired");
    refused(BOB, op_redelegate(&fix, ALICE, DAVE, H), "validator.retired");
    before = hyper_of(BOB);
    pass_delay();
    assert_int_equal(worth(CAROL, BOB).stake, 10 * H);
    assert_int_equal(stake_validator(&fix, CAROL)->stake, 110 * H);
    assert_int_equal(hyper_of(BOB), before + 30 * H);
    assert_null(stake_delegation(&fix, ALICE, BOB));
}

/* Who has retired is gone when everybody has taken his stake out; his key is never used again. */
static void test_retire(void **state)
{
    uint64_t before = hyper_of(ALICE);
    uint64_t fees;

    (void)state;
    fees = good(ALICE, op_declare(&fix, ALICE, 100 * H, 0))->fee;
    good(BOB, op_delegate(&fix, ALICE, 40 * H));
    fees += good(ALICE, op_retire_validator(&fix))->fee;
    fees += good(ALICE, op_undelegate(&fix, ALICE, 0))->fee;
    pass_delay();
    assert_int_equal(hyper_of(ALICE), before - fees);
    assert_non_null(stake_validator(&fix, ALICE));
    good(BOB, op_undelegate(&fix, ALICE, 0));
    assert_non_null(stake_validator(&fix, ALICE));
    pass_delay();
    assert_null(stake_validator(&fix, ALICE));
    refused(ALICE, op_declare(&fix, ALICE, 100 * H, 0), "validator.key_taken");
    refused(BOB, op_undelegate(&fix, ALICE, 0), "validator.unknown");
}

/* --- a plot that was not shown --- */

static void whole_slash(Hypermesh__Params *params)
{
    stake_params(params);
    params->slash_plot_ppm = 1000000;
    params->challenge_window_ms = 3000;
}

static int setup_slash(void **state)
{
    static const struct fixture_options options = {.params = whole_slash};

    (void)state;
    return fixture_init(&fix, &options);
}

/* Through a node that has no plot any more. */
static const char *plain(enum fixture_role who, Hypermesh__Operation *op)
{
    struct hm_slice tx = fixture_tx(&fix, who, &op, 1);
    struct hm_slice item = fixture_seal(&fix, NODE, fixture_head(&fix, NODE, &tx, 1, false), &tx,
                                        1);

    assert_int_equal(fixture_block(&fix, &item, 1), 0);
    fixture_resync(&fix);
    return fix.record->results[0]->rule;
}

static void test_worth(void **state)
{
    uint8_t challenge[32];
    uint64_t burnt;

    (void)state;
    good(NODE, op_declare(&fix, NODE, 100 * H, 0));
    good(BOB, op_delegate(&fix, NODE, 40 * H));
    made(CAROL, op_challenge(&fix, NODE, NULL), challenge);
    good(BOB, op_undelegate(&fix, NODE, 10 * H));
    burnt = fixture_supply(&fix)->hyper_burnt;
    pass(3);
    assert_int_equal(stake_validator(&fix, NODE)->stake, 0);
    assert_int_equal(stake_validator(&fix, NODE)->slashed, 140 * H); /* also what left since */
    assert_int_equal(worth(NODE, BOB).leaving, 0);
    /* Half of the bond's tenth goes to the challenger. */
    assert_int_equal(fixture_supply(&fix)->hyper_burnt, burnt + 140 * H + 50 * H);
    assert_string_equal(plain(BOB, op_delegate(&fix, NODE, 10 * H)), "delegate.worth");
    assert_string_equal(plain(BOB, op_undelegate(&fix, NODE, 1)), "delegate.shares");
    /* All brings nothing, but the account is rid of it. */
    assert_string_equal(plain(BOB, op_undelegate(&fix, NODE, 0)), "");
    assert_int_equal(fix.record->results[0]->code, 0);
    pass_delay();
    assert_null(stake_delegation(&fix, NODE, BOB));
}

/* --- lists --- */

static void test_views(void **state)
{
    struct ledger_view *view;
    Hypermesh__Validator **validators;
    Hypermesh__Delegation **delegations;
    Hypermesh__Delegation *delegation;
    Hypermesh__Validator *validator;
    size_t count;

    (void)state;
    good(ALICE, op_declare(&fix, ALICE, 100 * H, 0));
    good(BOB, op_declare(&fix, BOB, 100 * H, 0));
    good(CAROL, op_delegate(&fix, ALICE, 2 * H));
    good(CAROL, op_delegate(&fix, BOB, 3 * H));
    good(CAROL, op_undelegate(&fix, BOB, 0));
    view = check_view();
    assert_int_equal(ledger_view_validators(view, NULL, 10, &fix.arena, &validators, &count, NULL),
                     0);
    assert_int_equal(count, 2);
    assert_int_equal(ledger_view_validators(view, validators[0]->operator_.data, 10, &fix.arena,
                                            &validators, &count, NULL),
                     0);
    assert_int_equal(count, 1);
    assert_int_equal(ledger_view_delegations(view, fix.people[ALICE].id, NULL, 10, &fix.arena,
                                             &delegations, &count, NULL),
                     0);
    assert_int_equal(count, 2);
    assert_int_equal(ledger_view_delegated(view, fix.people[CAROL].id, NULL, 10, &fix.arena,
                                           &validators, &count, NULL),
                     0);
    assert_int_equal(count, 2); /* what leaves counts */
    assert_int_equal(ledger_view_delegation(view, fix.people[ALICE].id, fix.people[DAVE].id,
                                            &fix.arena, &delegation, NULL),
                     HM_ENOTFOUND);
    assert_int_equal(
        ledger_view_validator(view, fix.people[CAROL].id, &fix.arena, &validator, NULL),
        HM_ENOTFOUND);
    ledger_view_close(view);
    pass_delay();
    view = check_view();
    assert_int_equal(ledger_view_delegated(view, fix.people[CAROL].id, NULL, 10, &fix.arena,
                                           &validators, &count, NULL),
                     0);
    assert_int_equal(count, 1);
    ledger_view_close(view);
}

/* --- a genesis with validators --- */

static Hypermesh__Genesis *genesis_new(Hypermesh__GenesisValidator *validators[2])
{
    struct crypto_ed25519_key key;
    struct hm_slice bytes = fixture_genesis(&fix);
    int order = memcmp(fix.people[ALICE].id, fix.people[BOB].id, 32);
    Hypermesh__Genesis *genesis;

    assert_int_equal(WIRE_UNPACK(hypermesh__genesis, bytes, bytes.len, &fix.arena, &genesis, NULL),
                     0);
    for (int i = 0; i < 2; i++) {
        enum fixture_role who = (i == 0) == (order < 0) ? ALICE : BOB;

        validators[i] = fixture_new(&fix, &hypermesh__genesis_validator__descriptor);
        stake_key(who, &key);
        validators[i]->operator_ = fixture_keep(&fix, fix.people[who].id, 32);
        validators[i]->key = fixture_keep(&fix, key.public_key, 32);
        validators[i]->bond = (who == ALICE ? 300 : 200) * H;
    }
    genesis->validators = validators;
    genesis->n_validators = 2;
    return genesis;
}

static int found(const Hypermesh__Genesis *genesis, struct ledger **ledger, struct store **store)
{
    assert_int_equal(store_open_memory(fixture_store_options(), store, NULL), 0);
    assert_int_equal(ledger_open(*store, ledger, NULL), 0);
    return ledger_init_chain(*ledger, fixture_pack(&fix, &genesis->base), &fix.error);
}

static void genesis_refused(const Hypermesh__Genesis *genesis, const char *words)
{
    struct ledger *ledger;
    struct store *store;

    assert_int_equal(found(genesis, &ledger, &store), HM_EINVAL);
    if (!strstr(fix.error.text, words))
        fail_msg("\"%s\" does not say \"%s\"", fix.error.text, words);
    ledger_close(ledger);
    store_close(store);
}

static void test_genesis(void **state)
{
    Hypermesh__GenesisValidator *validators[2];
    struct ledger_validator_update *set;
    Hypermesh__Validator **delegated;
    Hypermesh__Supply *supply;
    struct ledger_view *view;
    Hypermesh__Genesis *genesis = genesis_new(validators);
    struct crypto_ed25519_key key;
    struct ledger *ledger;
    struct store *store;
    size_t count;

    (void)state;
    assert_int_equal(found(genesis, &ledger, &store), 0);
    assert_int_equal(ledger_view_open(ledger, &view, NULL), 0);
    assert_int_equal(ledger_view_engine_set(view, &fix.arena, &set, &count, NULL), 0);
    assert_int_equal(count, 2);
    stake_key(ALICE, &key);
    assert_memory_equal(set[0].key, key.public_key, 32);
    assert_int_equal(set[0].power, 300);
    assert_int_equal(set[1].power, 200);
    assert_int_equal(ledger_view_supply(view, &fix.arena, &supply, NULL), 0);
    assert_int_equal(supply->hyper_bonded, 500 * H);
    assert_int_equal(supply->hyper_accounts, FIXTURE_SUPPLY - 500 * H);
    assert_int_equal(ledger_view_delegated(view, fix.people[BOB].id, NULL, 10, &fix.arena,
                                           &delegated, &count, NULL),
                     0);
    assert_int_equal(count, 1);
    assert_int_equal(delegated[0]->stake, 200 * H);
    ledger_view_close(view);
    ledger_close(ledger);
    store_close(store);

    validators[0]->bond = 99 * H;
    genesis_refused(genesis, "validators[0].bond");
    genesis = genesis_new(validators);
    validators[1]->bond = FIXTURE_SUPPLY;
    genesis_refused(genesis, "validators[1].bond is more");
    genesis = genesis_new(validators);
    validators[1]->commission_ppm = 500001;
    genesis_refused(genesis, "validators[1].commission_ppm");
    genesis = genesis_new(validators);
    validators[1]->key = validators[0]->key;
    genesis_refused(genesis, "validators[1].key");
    validators[1]->key.len = 5;
    genesis_refused(genesis, "validators[1].key");
    genesis = genesis_new(validators);
    validators[1] = validators[0];
    genesis_refused(genesis, "validators[1].operator");
    genesis = genesis_new(validators);
    validators[0]->operator_.len = 0;
    genesis_refused(genesis, "validators[0].operator");
    genesis = genesis_new(validators);
    genesis->params->max_validators = 1;
    genesis_refused(genesis, "2 validators, at most 1");
    genesis = genesis_new(validators);
    genesis->params->power_unit = 1;
    genesis->supply = UINT64_MAX / 2;
    genesis_refused(genesis, "power_unit 1 is too small");
    genesis = genesis_new(validators);
    genesis->params->slash_double_ppm = 1000001;
    genesis_refused(genesis, "params.slash_double_ppm");
    genesis->params->slash_double_ppm = 0;
    genesis_refused(genesis, "params.slash_double_ppm");
}

/* Each parameter has bounds; a chain of before has none of them and the defaults. */
static void test_params(void **state)
{
    Hypermesh__GenesisValidator *validators[2];
    Hypermesh__Params *params;
    struct ledger_view *view;
    Hypermesh__Genesis *genesis;
    struct ledger *ledger;
    struct store *store;

    (void)state;
#define WRONG(field, value)                         \
    do {                                            \
        genesis = genesis_new(validators);          \
        genesis->params->field = value;             \
        genesis_refused(genesis, "params." #field); \
    } while (0)
    WRONG(max_validators, 129);
    WRONG(power_unit, 0);
    WRONG(validator_bond, H - 1);
    WRONG(delegation_min, 0);
    WRONG(commission_max_ppm, 1000001);
    WRONG(commission_step_ppm, 1000001);
    WRONG(commission_step_ms, UINT64_MAX);
    WRONG(slash_plot_ppm, 1000001);
    WRONG(absent_ppm, 0);
    WRONG(absent_ppm, 1000001);
    WRONG(absent_window, 0);
    WRONG(jail_ms, UINT64_MAX);
    WRONG(block_reward, UINT64_MAX);
    WRONG(block_reward, fix.params.validator_bond + 1);
    WRONG(unbond_delay_ms, 6 * fix.params.time_window_ms);
    genesis = genesis_new(validators);
    genesis->params->unbond_delay_ms = 6 * fix.params.time_window_ms + 6;
    assert_int_equal(found(genesis, &ledger, &store), 0);
    assert_true(ledger_evidence_age_ms(genesis->params) + fix.params.time_window_ms <
                genesis->params->unbond_delay_ms);
    ledger_close(ledger);
    store_close(store);
    genesis = genesis_new(validators);
    genesis->n_validators = 0;
    genesis->params->max_validators = 0;
    genesis->params->power_unit = 0;
    assert_int_equal(found(genesis, &ledger, &store), 0);
    assert_int_equal(ledger_view_open(ledger, &view, NULL), 0);
    assert_int_equal(ledger_view_params(view, &fix.arena, &params, NULL), 0);
    assert_int_equal(params->max_validators, 64);
    assert_int_equal(params->validator_bond, 1000 * H);
    ledger_view_close(view);
    ledger_close(ledger);
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_declare, setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_count_work, setup_count, check_teardown),
        cmocka_unit_test_setup_teardown(test_count, setup_count, check_teardown),
        cmocka_unit_test_setup_teardown(test_commission, setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_delegate, setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_leave, setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_queue, setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_redelegate, setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_retire, setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_worth, setup_slash, check_teardown),
        cmocka_unit_test_setup_teardown(test_views, setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_genesis, setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_params, setup, check_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
