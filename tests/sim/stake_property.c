/* Property test of proof of stake: random operations, absences, faults, jumps of time, on a chain that an engine orders.
 * In each block what the engine is told must be what it takes (stake_ops.c has its rules); in the end it has the set that
 * this file works out by itself from what validators say; and the chain applied again gives the same roots and sums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stake_ops.h"

#define SEEDS  24
#define BLOCKS 150
#define H      FIXTURE_HYPER

static struct fixture fix;
static struct engine_model engine;

struct counts {
    size_t good;
    size_t refused;
    size_t updates;
    size_t jailed;
    size_t tombstoned;
    size_t reached; /* pools of what leaves, by faults */
    size_t spared;
    size_t still; /* idle blocks that changed nothing */
    size_t good_of[LEDGER_OP_COUNT + 1];
};

static uint64_t pick(struct hm_random *random, uint64_t below)
{
    return hm_random_u64(random) % below;
}

static enum fixture_role somebody(struct hm_random *random)
{
    return (enum fixture_role)pick(random, POOR);
}

static uint64_t some_amount(struct hm_random *random)
{
    static const uint64_t scales[] = {1, 1000, H / 3, H, 40 * H, 400 * H};

    return scales[pick(random, HM_COUNT_OF(scales))] * (1 + pick(random, 9));
}

/* Mostly one of those that were there from the beginning. */
static enum fixture_role target(struct hm_random *random)
{
    return pick(random, 4) ? (enum fixture_role)pick(random, 3) : somebody(random);
}

/* What is taken out of a delegation: often a part of it, else anything; 0: all. */
static uint64_t some_part(struct hm_random *random, enum fixture_role validator,
                          enum fixture_role who)
{
    const Hypermesh__Delegation *delegation = stake_delegation(&fix, validator, who);

    if (pick(random, 6) == 0)
        return 0;
    if (!delegation || delegation->shares == 0 || pick(random, 5) == 0)
        return some_amount(random);
    return 1 + pick(random, delegation->shares) / (1 + pick(random, 8));
}

static Hypermesh__Operation *operation_draw(struct hm_random *random, enum fixture_role who)
{
    enum fixture_role to = target(random);

    switch (pick(random, 16)) {
    case 0:
    case 1:
        return op_declare(&fix, who, some_amount(random) + 90 * H, (uint32_t)pick(random, 600000));
    case 2:
        return op_commission(&fix, (uint32_t)pick(random, 600000));
    case 3:
        return pick(random, 4) ? op_unjail(&fix) : op_retire_validator(&fix);
    case 4:
    case 5:
    case 6:
        return op_delegate(&fix, to,
                           pick(random, 5) ? H + some_amount(random) : some_amount(random));
    case 7:
    case 8:
        return op_undelegate(&fix, to, some_part(random, to, who));
    case 9:
    case 10:
        return op_redelegate(&fix, to, target(random), some_part(random, to, who));
    case 11:
        return op_rewards(&fix, to);
    case 12:
    case 13:
        return op_unjail(&fix);
    default:
        return op_transfer(&fix, somebody(random), 1);
    }
}

static void results_count(struct counts *counts, const Hypermesh__Operation *const *ops,
                          size_t count)
{
    assert_int_equal(fix.record->n_results, count);
    for (size_t i = 0; i < count; i++) {
        const Hypermesh__TxResult *result = fix.record->results[i];

        if (result->code == 0) {
            counts->good++;
            counts->good_of[ops[i]->op_case]++;
            continue;
        }
        counts->refused++;
        if (result->rule[0] == '\0')
            fail_msg("refused by no rule: %s", result->text);
    }
}

/* Who should have power, by what validators say of themselves. */
static size_t wanted(struct engine_member list[POOR])
{
    size_t count = 0;

    for (unsigned who = 0; who < POOR; who++) {
        const Hypermesh__Validator *validator = stake_validator(&fix, (enum fixture_role)who);
        struct engine_member *member = &list[count];
        size_t at = count;
        uint64_t own;

        if (!validator || validator->jailed || validator->retired || validator->tombstoned ||
            !hm_muldiv_u64(validator->stake, validator->own_shares, validator->shares, &own) ||
            own < 100 * H)
            continue;
        memcpy(member->key, validator->key.data, 32);
        stake_address(member->key, member->address);
        member->power = validator->stake / H;
        while (at > 0 && (list[at - 1].power < list[at].power ||
                          (list[at - 1].power == list[at].power &&
                           memcmp(list[at - 1].address, list[at].address, 20) > 0))) {
            struct engine_member swap = list[at];

            list[at] = list[at - 1];
            list[at - 1] = swap;
            at--;
        }
        count++;
    }
    return count < fix.params.max_validators ? count : fix.params.max_validators;
}

/* Sums that the ledger's own check cannot see wrong in the same way. */
static void sums_check(void)
{
    uint64_t caes = 0;
    uint64_t hyper = 0;
    const Hypermesh__Supply *supply = fixture_supply(&fix);

    for (unsigned who = 0; who < FIXTURE_PEOPLE; who++) {
        const Hypermesh__Account *account = fixture_account(&fix, (enum fixture_role)who);
        const Hypermesh__Validator *validator = stake_validator(&fix, (enum fixture_role)who);
        uint64_t shares = 0;
        uint64_t owed = 0;
        uint64_t worth_all = 0;

        caes += account->caes;
        hyper += account->hyper + account->bonded;
        if (!validator)
            continue;
        caes += validator->caes;
        hyper += validator->stake;
        for (size_t i = 0; i < validator->n_leaving; i++)
            hyper += validator->leaving[i]->stake;
        for (unsigned other = 0; other < FIXTURE_PEOPLE; other++) {
            const Hypermesh__Delegation *delegation = stake_delegation(&fix, (enum fixture_role)who,
                                                                       (enum fixture_role)other);
            struct ledger_delegation_worth worth;

            if (!delegation)
                continue;
            ledger_delegation_worth(validator, delegation, &worth);
            shares += delegation->shares;
            owed += worth.rewards;
            worth_all += worth.stake;
        }
        assert_int_equal(shares, validator->shares);
        assert_true(worth_all <= validator->stake);
        assert_true(owed + validator->commission_caes <= validator->caes);
        assert_true(validator->window_missed <= validator->window_blocks);
        assert_true(validator->own_shares <= validator->shares);
    }
    assert_int_equal(caes, supply->caes_minted);
    assert_int_equal(hyper + supply->hyper_burnt, supply->hyper_genesis);
}

/* --- what nobody may take from others --- */

__extension__ typedef unsigned __int128 wide;

struct price {
    uint64_t stake;
    uint64_t shares;
};

static void prices(struct price list[POOR])
{
    for (unsigned who = 0; who < POOR; who++) {
        const Hypermesh__Validator *validator = stake_validator(&fix, (enum fixture_role)who);

        list[who] = validator ? (struct price){validator->stake, validator->shares}
                              : (struct price){0, 0};
    }
}

/* Whoever comes and goes, a share is worth no less than before; and never more than one unit. */
static void prices_check(const struct price before[POOR])
{
    struct price after[POOR];

    prices(after);
    for (unsigned who = 0; who < POOR; who++) {
        assert_true(after[who].stake <= after[who].shares);
        if (before[who].shares > 0 && after[who].shares > 0)
            assert_true((wide)after[who].stake * before[who].shares >=
                        (wide)before[who].stake * after[who].shares);
    }
}

/* --- what a fault must reach --- */

struct held {
    bool there;
    bool tombstoned;
    uint64_t stake;
    size_t pools;
    uint64_t number[16];
    uint64_t leaving[16];
};

static struct held held_by(unsigned who)
{
    const Hypermesh__Validator *validator = stake_validator(&fix, (enum fixture_role)who);
    struct held held = {0};

    if (!validator)
        return held;
    held.there = true;
    held.tombstoned = validator->tombstoned;
    held.stake = validator->stake;
    assert_in_range(validator->n_leaving, 0, 16);
    held.pools = validator->n_leaving;
    for (size_t i = 0; i < held.pools; i++) {
        held.number[i] = validator->leaving[i]->number;
        held.leaving[i] = validator->leaving[i]->stake;
    }
    return held;
}

static uint64_t slashed(uint64_t stake)
{
    uint64_t part;

    assert_true(hm_muldiv_up_u64(stake, fix.params.slash_double_ppm, 1000000, &part));
    return stake - part;
}

/* Of a block in which nothing else happened. */
static void fault_check(const struct held *before, unsigned who, uint64_t fault_ms,
                        struct counts *counts)
{
    uint64_t span = fix.params.unbond_delay_ms / 8 + 1;
    struct held after = held_by(who);

    if (!before->there)
        return;
    if (before->tombstoned) {
        assert_int_equal(after.stake, before->stake);
        return;
    }
    assert_true(after.tombstoned);
    assert_int_equal(after.stake, slashed(before->stake));
    assert_int_equal(after.pools, before->pools);
    for (size_t i = 0; i < after.pools; i++) {
        uint64_t end_ms = (before->number[i] + 1) * span;
        bool reached = end_ms + fix.params.time_window_ms > fault_ms;

        assert_int_equal(after.leaving[i],
                         reached ? slashed(before->leaving[i]) : before->leaving[i]);
        counts->reached += reached;
        counts->spared += !reached;
    }
}

static void block_step(struct hm_random *random, struct counts *counts)
{
    const Hypermesh__Operation *ops[3];
    struct hm_slice txs[3];
    struct ledger_outcome out;
    struct stake_votes votes = {0};
    struct ledger_info before;
    struct price before_prices[POOR];
    struct held held = {0};
    unsigned at_fault = POOR;
    size_t count = pick(random, 4);
    bool due;

    assert_int_equal(ledger_info(fix.ledger, &before, NULL), 0);
    if (pick(random, 20) == 0)
        fix.next_ms += pick(random, 120) * FIXTURE_BLOCK_MS;
    due = before.next_due_ms != 0 && before.next_due_ms <= fix.next_ms;
    votes.absent = pick(random, 3) ? 1u << pick(random, 3) : (uint32_t)pick(random, 128);
    if (pick(random, 40) == 0) {
        at_fault = target(random);
        votes.double_sign = 1u << at_fault;
        votes.fault_ms = fix.next_ms - pick(random, 60) * FIXTURE_BLOCK_MS;
        held = held_by(at_fault);
        count = pick(random, 5) ? 0 : count;
    }
    for (size_t i = 0; i < count; i++) {
        /* Each of somebody else: what one does may not hang on what another of his did. */
        enum fixture_role who = (enum fixture_role)((pick(random, 2) * 3 + i) % POOR);
        Hypermesh__Operation *op = operation_draw(random, who);

        ops[i] = op;
        txs[i] = fixture_tx(&fix, who, &op, 1);
    }
    prices(before_prices);
    if (stake_block(&fix, &engine, &votes, txs, count, &out))
        fail_msg("block: %s", fix.error.text);
    if (at_fault == POOR)
        prices_check(before_prices);
    results_count(counts, ops, count);
    fixture_resync(&fix);
    if (at_fault != POOR && count == 0 && !due)
        fault_check(&held, at_fault, votes.fault_ms, counts);
    counts->updates += out.updates_count;
    if (count == 0 && !due && votes.double_sign == 0 && out.updates_count == 0)
        counts->still += !out.changed;
    sums_check();
}

static void events_count(struct counts *counts)
{
    for (unsigned who = 0; who < POOR; who++) {
        const Hypermesh__Validator *validator = stake_validator(&fix, (enum fixture_role)who);

        if (!validator)
            continue;
        counts->jailed += validator->jailed != 0;
        counts->tombstoned += validator->tombstoned != 0;
    }
}

/* When nothing more happens the engine has whom it should have, and no block changes anything. */
static void settle_check(void)
{
    struct engine_member list[POOR];
    const struct engine_set *set;
    struct ledger_outcome out;
    size_t count;

    fix.next_ms += 1000 * FIXTURE_BLOCK_MS; /* what leaves has left */
    for (int i = 0; i < 100; i++) {
        if (stake_block(&fix, &engine, NULL, NULL, 0, &out))
            fail_msg("block: %s", fix.error.text);
    }
    assert_false(out.changed);
    count = wanted(list);
    if (count == 0)
        return;
    set = engine_model_newest(&engine);
    assert_int_equal(set->count, count);
    for (size_t i = 0; i < count; i++) {
        assert_memory_equal(set->members[i].key, list[i].key, 32);
        assert_int_equal(set->members[i].power, list[i].power);
    }
}

static void replay_check(void)
{
    struct ledger *scratch;
    struct store *store;
    uint64_t blocks;
    uint64_t txs;

    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    assert_int_equal(ledger_open(store, &scratch, NULL), 0);
    if (ledger_replay(fix.ledger, scratch, NULL, NULL, &blocks, &txs, &fix.error))
        fail_msg("replay: %s", fix.error.text);
    ledger_close(scratch);
    store_close(store);
}

static void seed_run(uint64_t seed, struct counts *counts)
{
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, seed);

    assert_int_equal(fixture_restart(&fix), 0);
    for (int who = 0; who < 3; who++) {
        const Hypermesh__TxResult *result = fixture_do(
            &fix, (enum fixture_role)who,
            op_declare(&fix, (enum fixture_role)who, (120 + pick(&random, 200)) * H, 100000));

        assert_int_equal(result->code, 0);
    }
    engine_model_begin(&engine, &fix);
    for (int i = 0; i < BLOCKS; i++)
        block_step(&random, counts);
    events_count(counts);
    settle_check();
    replay_check();
}

static void test_seeds(void **state)
{
    static const struct fixture_options options = {.params = stake_params};
    const char *text = getenv("HM_SEED");
    struct counts counts = {0};
    uint64_t given;

    (void)state;
    assert_int_equal(fixture_init(&fix, &options), 0);
    if (text && hm_u64_parse(text, &given, NULL) == 0) {
        seed_run(given, &counts);
        fixture_release(&fix);
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        (void)fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        seed_run(seed, &counts);
    }
    /* It was about something. */
    assert_true(counts.good > SEEDS * BLOCKS / 4);
    assert_true(counts.refused > SEEDS);
    assert_true(counts.updates > SEEDS * 10);
    assert_true(counts.jailed > 0);
    assert_true(counts.tombstoned > 0);
    assert_true(counts.still > 0);
    assert_true(counts.reached > 5 && counts.spared > 5);
    for (unsigned op = HYPERMESH__OPERATION__OP_VALIDATOR_DECLARE; op <= LEDGER_OP_COUNT; op++) {
        if (counts.good_of[op] == 0)
            fail_msg("no good %s", ledger_op_name(op));
    }
    fixture_release(&fix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
