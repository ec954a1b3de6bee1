/* Who the engine's validators are says the ledger: at the beginning, and with each block. What an engine would not take
 * never reaches it. */
#include "cluster_script.h"
#include "engine_app.h"
#include "stake_ops.h"

#define BOND_HYPER UINT64_C(1000)
#define STEPS_MAX  10

static struct script script;
static struct engine_model model;
static uint8_t set_hash[32];

static void hash_is_models(void)
{
    engine_model_hash(&model, set_hash);
    script.set_hash = set_hash;
}

/* What the last block told goes to a model of the engine's own rules. */
static void model_takes(uint64_t height)
{
    struct ledger_validator_update updates[SCRIPT_SET_MAX];
    const struct ledger_outcome outcome = {.updates = updates,
                                           .updates_count = script.changed.count};

    for (size_t i = 0; i < script.changed.count; i++) {
        memcpy(updates[i].key, script.changed.list[i].key, 32);
        updates[i].power = (uint64_t)script.changed.list[i].power;
    }
    if (!engine_model_take(&model, height, &outcome))
        fail_msg("block %llu: %s", (unsigned long long)height, model.wrong);
    hash_is_models();
}

static void member_is(const struct script_member *member, enum fixture_role who, int64_t power)
{
    struct crypto_ed25519_key key;

    stake_key(who, &key);
    assert_memory_equal(member->key, key.public_key, 32);
    assert_int_equal(member->power, power);
}

static struct script_block *submit_and_run(enum fixture_role who, Hypermesh__Operation *op)
{
    unsigned before = script.fix.answered;
    struct engine_answer *answer = engine_fixture_submit(
        &script.fix, fixture_tx(&script.fix.chain, who, &op, 1));

    script_wait_items(&script, 1);
    struct script_block *block = script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, before + 1);
    engine_fixture_expect_good(answer);
    return block;
}

static void begin(void)
{
    script_start(&script);
    script_rpc_open(&script);
    script_handshake_good(&script);
    engine_model_begin(&model, &script.fix.chain);
    hash_is_models();
}

static void a_ledger_without_validators_says_nothing(void **state)
{
    (void)state;
    script_start(&script);
    script_handshake_good(&script);
    assert_int_equal(script.begun.count, 0);
}

/* Whatever the engine's genesis says (here another key). */
static void the_first_set_is_the_ledgers(void **state)
{
    (void)state;
    engine_fixture_declare(&script.fix, ALICE, BOND_HYPER);
    engine_fixture_declare(&script.fix, BOB, BOND_HYPER);
    script_start(&script);
    for (unsigned starts = 0; starts < 2; starts++) {
        script_handshake_good(&script);
        assert_int_equal(script.begun.count, 2);
        assert_memory_not_equal(script.begun.list[0].key, script.begun.list[1].key, 32);
        for (size_t i = 0; i < 2; i++) {
            struct crypto_ed25519_key alice;
            stake_key(ALICE, &alice);
            bool is_alice = memcmp(script.begun.list[i].key, alice.public_key, 32) == 0;
            member_is(&script.begun.list[i], is_alice ? ALICE : BOB, (int64_t)BOND_HYPER);
        }
        script_die(&script);
    }
}

/* A third of the power a block, until all of it is told; then nothing more, and an idle chain stays as it is. */
static void one_comes_and_one_leaves(void **state)
{
    size_t steps = 0;

    (void)state;
    engine_fixture_declare(&script.fix, ALICE, BOND_HYPER);
    begin();
    struct script_block *block = submit_and_run(
        BOB, op_declare(&script.fix.chain, BOB, BOND_HYPER * FIXTURE_HYPER, 0));
    assert_int_equal(script.changed.count, 1);
    member_is(&script.changed.list[0], BOB, (int64_t)BOND_HYPER / 3);
    for (; script.changed.count > 0 && steps < STEPS_MAX; steps++) {
        model_takes(block->height);
        block = script_run(&script, SCRIPT_WHOLE);
    }
    assert_in_range(steps, 2, STEPS_MAX - 1);
    assert_int_equal(engine_model_newest(&model)->count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(engine_model_newest(&model)->members[i].power, BOND_HYPER);
    uint8_t root[32];
    memcpy(root, script_ledger(&script).state_root, 32);
    script_run(&script, SCRIPT_WHOLE);
    assert_memory_equal(root, script_ledger(&script).state_root, 32);
    /* A crash in between, and the block again: the same is told. */
    Hypermesh__Operation *retire = op_retire_validator(&script.fix.chain);
    engine_fixture_submit(&script.fix, fixture_tx(&script.fix.chain, ALICE, &retire, 1));
    script_wait_items(&script, 1);
    block = script_run(&script, SCRIPT_AFTER_FINALIZE);
    struct script_set told = script.changed;
    assert_int_equal(told.count, 1);
    member_is(&told.list[0], ALICE, (int64_t)BOND_HYPER - 2 * (int64_t)BOND_HYPER / 3);
    script_die(&script);
    script_handshake_good(&script);
    assert_memory_equal(&told, &script.changed, sizeof(told));
    for (steps = 0; script.changed.count > 0 && steps < STEPS_MAX; steps++) {
        model_takes(block->height);
        block = script_run(&script, SCRIPT_WHOLE);
    }
    assert_int_equal(engine_model_newest(&model)->count, 1);
}

/* An engine that was begun with another set is told nothing of this one. */
static void another_set_is_left_alone(void **state)
{
    (void)state;
    engine_fixture_declare(&script.fix, ALICE, BOND_HYPER);
    begin();
    script.set_hash = NULL;
    submit_and_run(BOB, op_declare(&script.fix.chain, BOB, BOND_HYPER * FIXTURE_HYPER, 0));
    assert_int_equal(script.changed.count, 0);
    script_run(&script, SCRIPT_WHOLE);
    assert_int_equal(script.changed.count, 0);
}

/* --- faults --- */

static Hypermesh__Abci__Misbehavior *fault_of(enum fixture_role who, uint64_t time_ms)
{
    Hypermesh__Abci__Misbehavior *fault = hm_arena_alloc(&script.arena, sizeof(*fault));
    Hypermesh__Abci__Validator *validator = hm_arena_alloc(&script.arena, sizeof(*validator));
    Hypermesh__Abci__Timestamp *time = hm_arena_alloc(&script.arena, sizeof(*time));
    uint8_t *address = hm_arena_alloc(&script.arena, ENGINE_ADDRESS_BYTES);
    struct crypto_ed25519_key key;

    stake_key(who, &key);
    stake_address(key.public_key, address);
    hypermesh__abci__misbehavior__init(fault);
    hypermesh__abci__validator__init(validator);
    hypermesh__abci__timestamp__init(time);
    validator->address = wire_bytes(address, ENGINE_ADDRESS_BYTES);
    validator->power = (int64_t)BOND_HYPER;
    time->seconds = (int64_t)(time_ms / 1000);
    fault->type = HYPERMESH__ABCI__MISBEHAVIOR_TYPE__DUPLICATE_VOTE;
    fault->validator = validator;
    fault->height = 1;
    fault->time = time;
    return fault;
}

static void last_header(struct hm_arena *arena, Hypermesh__BlockHeader **out)
{
    struct ledger_view *view;
    Hypermesh__Block *block;
    struct hm_slice bytes;

    assert_int_equal(ledger_view_open(script.fix.chain.ledger, &view, NULL), 0);
    assert_int_equal(
        ledger_view_block(view, script_ledger(&script).height, arena, &bytes, NULL, NULL), 0);
    assert_int_equal(WIRE_UNPACK(hypermesh__block, bytes, bytes.len, arena, &block, NULL), 0);
    assert_int_equal(WIRE_UNPACK(hypermesh__block_header, wire_slice(block->header),
                                 block->header.len, arena, out, NULL),
                     0);
    ledger_view_close(view);
}

/* Whoever is named as often as one likes keeps nobody else's fault out of the block; the earliest counts. */
static void one_fault_shields_no_other(void **state)
{
    enum { MANY = 300 };
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__BlockHeader *header;

    (void)state;
    engine_fixture_declare(&script.fix, ALICE, BOND_HYPER);
    engine_fixture_declare(&script.fix, BOB, BOND_HYPER);
    engine_fixture_declare(&script.fix, CAROL, BOND_HYPER);
    begin();
    script_run(&script, SCRIPT_WHOLE);
    uint64_t now_ms = script_ledger(&script).time_ms / 1000 * 1000;
    script.faults = hm_arena_alloc(&script.arena, (MANY + 1) * sizeof(*script.faults));
    for (size_t i = 0; i < MANY; i++)
        script.faults[i] = fault_of(ALICE, now_ms - i % 7 * 1000);
    script.faults[MANY] = fault_of(BOB, now_ms);
    script.fault_count = MANY + 1;
    script_run(&script, SCRIPT_WHOLE);
    hm_arena_init(&arena, 0);
    last_header(&arena, &header);
    assert_int_equal(header->engine->n_faults, 2);
    for (size_t i = 0; i < 2; i++) {
        const Hypermesh__EngineFault *fault = header->engine->faults[i];
        bool is_alice = hm_slice_equal(wire_slice(fault->address),
                                       wire_slice(script.faults[0]->validator->address));
        assert_int_equal(fault->time_ms, is_alice ? now_ms - 6000 : now_ms);
    }
    assert_true(stake_validator(&script.fix.chain, ALICE)->tombstoned);
    assert_true(stake_validator(&script.fix.chain, BOB)->tombstoned);
    assert_false(stake_validator(&script.fix.chain, CAROL)->tombstoned);
}

/* Stake that a fault is to take must still be there when the engine tells of it. */
static void a_long_memory_is_refused(void **state)
{
    struct hm_error error = {0};

    (void)state;
    engine_fixture_declare(&script.fix, ALICE, BOND_HYPER);
    script_start(&script);
    script.evidence_ms = ledger_evidence_age_ms(&script.fix.chain.params);
    script_handshake_good(&script);
    script_die(&script);
    script.evidence_ms = script.fix.chain.params.unbond_delay_ms;
    assert_int_not_equal(script_handshake(&script, &error), 0);
    assert_non_null(strstr(error.text, "max_age_duration"));
}

/* A vote for no block is told apart from none, and from one for the block. */
static void nil_votes_are_told(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__BlockHeader *header;

    (void)state;
    engine_fixture_declare(&script.fix, ALICE, BOND_HYPER);
    begin();
    hm_arena_init(&arena, 0);
    script_run(&script, SCRIPT_WHOLE);
    last_header(&arena, &header);
    assert_int_equal(header->engine->absent.len, 0); /* the engine's first block */
    script.nil = true;
    script_run(&script, SCRIPT_WHOLE);
    last_header(&arena, &header);
    assert_int_equal(header->engine->absent.data[0], 0);
    assert_int_equal(header->engine->nil.len, 1);
    assert_int_equal(header->engine->nil.data[0], 1);
    script.nil = false;
    script_run(&script, SCRIPT_WHOLE);
    last_header(&arena, &header);
    assert_int_equal(header->engine->absent.len, 1);
    assert_int_equal(header->engine->nil.len, 0);
}

/* --- what is never told --- */

static int check(const struct ledger_validator_update *updates, size_t count,
                 struct hm_error *error)
{
    const struct ledger_validator_update set[] = {{.key = {1}, .power = 10},
                                                  {.key = {2}, .power = 5}};
    Hypermesh__Abci__ValidatorUpdate **list;

    assert_int_equal(engine_app_set_pack(updates, count, &script.arena, &list, NULL), 0);
    return engine_app_set_check(set, HM_COUNT_OF(set), list, count, &script.arena, error);
}

static void what_no_engine_takes_is_stopped(void **state)
{
    const struct ledger_validator_update good[] = {{.key = {1}, .power = 0},
                                                   {.key = {3}, .power = 7}};
    const struct ledger_validator_update unknown[] = {{.key = {3}, .power = 0}};
    const struct ledger_validator_update twice[] = {{.key = {1}, .power = 3},
                                                    {.key = {1}, .power = 4}};
    const struct ledger_validator_update nobody[] = {{.key = {1}, .power = 0},
                                                     {.key = {2}, .power = 0}};
    const struct ledger_validator_update huge[] = {{.key = {1}, .power = UINT64_MAX}};
    const struct ledger_validator_update much[] = {{.key = {1}, .power = (uint64_t)INT64_MAX / 8}};
    struct hm_error error = {0};

    (void)state;
    assert_int_equal(check(good, HM_COUNT_OF(good), &error), 0);
    assert_int_equal(check(unknown, HM_COUNT_OF(unknown), &error), HM_EINTERNAL);
    assert_non_null(strstr(error.text, "as no engine could"));
    assert_int_equal(check(twice, HM_COUNT_OF(twice), &error), HM_EINTERNAL);
    assert_int_equal(check(nobody, HM_COUNT_OF(nobody), &error), HM_EINTERNAL);
    assert_int_equal(check(huge, HM_COUNT_OF(huge), &error), HM_EINTERNAL);
    assert_int_equal(check(much, HM_COUNT_OF(much), &error), HM_EINTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        script_test(a_ledger_without_validators_says_nothing, &script),
        script_test(the_first_set_is_the_ledgers, &script),
        script_test(one_comes_and_one_leaves, &script),
        script_test(another_set_is_left_alone, &script),
        script_test(what_no_engine_takes_is_stopped, &script),
        script_test(one_fault_shields_no_other, &script),
        script_test(a_long_memory_is_refused, &script),
        script_test(nil_votes_are_told, &script),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
