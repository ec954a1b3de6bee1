/* Validators of a cluster: what the engine is told, and what it says comes of. The engine's own rules are modelled in
 * stake_ops.c; each block here goes by them. */
#include <stdio.h>

#include "validators_check.h"

/* --- who is told --- */

/* At most a third of the power changes in a block; more comes with the next, be it empty; then all is still. */
static void test_join(void **state)
{
    struct ledger_outcome out;

    (void)state;
    begin();
    DONE(DAVE, op_declare(&fix, DAVE, 900 * H, 0));
    assert_int_equal(power_of(DAVE), 333); /* of 1000 */
    out = idle(NULL);
    assert_true(out.changed);
    assert_int_equal(power_of(DAVE), 333 + 444);
    out = idle(NULL);
    assert_int_equal(power_of(DAVE), 900);
    out = idle(NULL);
    assert_int_equal(out.updates_count, 0);
    out = idle(NULL);
    assert_false(out.changed);
    sets_agree();
    DONE(ERIN, op_delegate(&fix, BOB, 12 * H + 999999999));
    assert_int_equal(power_of(BOB), 312); /* whole units */
    DONE(BOB, op_retire_validator(&fix));
    assert_int_equal(power_of(BOB), 0);
    sets_agree();
}

/* The strongest have the places; who is weaker has none until one is free. */
static void test_places(void **state)
{
    (void)state;
    begin();
    DONE(DAVE, op_declare(&fix, DAVE, 200 * H, 0));
    DONE(ERIN, op_declare(&fix, ERIN, 150 * H, 0));
    assert_int_equal(power_of(ERIN), 0);
    DONE(ERIN, op_delegate(&fix, ERIN, 60 * H));
    assert_int_equal(power_of(DAVE), 0);
    (void)idle(NULL);
    assert_int_equal(power_of(ERIN), 210);
    DONE(BOB, op_retire_validator(&fix));
    (void)busy(NULL);
    assert_int_equal(power_of(DAVE), 200);
    assert_int_equal(engine_model_newest(&engine)->count, 4);
    sets_agree();
}

/* Who falls below its own bond has no power until it has it again. */
static void test_own_bond(void **state)
{
    (void)state;
    good(ALICE, op_declare(&fix, ALICE, 400 * H, 0));
    good(NODE, op_declare(&fix, NODE, 100 * H, 0));
    good(BOB, op_delegate(&fix, NODE, 50 * H));
    engine_model_begin(&engine, &fix);
    assert_int_equal(power_of(NODE), 150);
    (void)busy(NULL);
    DONE(CAROL, op_challenge(&fix, NODE, NULL));
    fix.next_ms += fix.params.challenge_window_ms;
    (void)idle(NULL); /* silence: a hundredth of the stake */
    assert_int_equal(stake_validator(&fix, NODE)->stake, 150 * H - 150 * H / 100);
    assert_int_equal(power_of(NODE), 0);
    sets_agree();
}

/* Never nobody: whoever is last stays. */
static void test_last(void **state)
{
    struct ledger_outcome out;

    (void)state;
    good(ALICE, op_declare(&fix, ALICE, 400 * H, 0));
    engine_model_begin(&engine, &fix);
    DONE(ALICE, op_retire_validator(&fix));
    assert_int_equal(power_of(ALICE), 400);
    out = idle(NULL);
    assert_false(out.changed);
    DONE(BOB, op_declare(&fix, BOB, 100 * H, 0));
    for (int i = 0; i < 40; i++)
        (void)idle(NULL);
    assert_int_equal(power_of(ALICE), 0);
    assert_int_equal(power_of(BOB), 100);
    sets_agree();
}

/* An engine that began with validators of its own keeps them: it is told nothing. */
static void test_own_set(void **state)
{
    (void)state;
    engine_model_begin(&engine, &fix);
    assert_int_equal(engine_model_newest(&engine)->count, 0);
    (void)busy(NULL);
    DONE(ALICE, op_declare(&fix, ALICE, 400 * H, 0));
    (void)busy(NULL);
    assert_int_equal(engine_model_newest(&engine)->count, 0);
    assert_int_equal(fixture_supply(&fix)->caes_minted, 0);
}

/* An engine that was begun with another set than the ledger would have is told nothing: a change of the one could be none of
 * the other, and stop it. Nor do its votes say who of the ledger's validators was there. */
static void test_other_set(void **state)
{
    const struct stake_votes votes = {.absent = 0xff, .other_set = true};
    struct ledger_outcome out;

    (void)state;
    begin();
    for (int i = 0; i < 6; i++) {
        out = busy(&votes);
        assert_int_equal(out.updates_count, 0);
    }
    assert_int_equal(fixture_supply(&fix)->caes_minted, 0);
    assert_int_equal(stake_validator(&fix, ALICE)->missed, 0);
    assert_string_equal(fixture_do(&fix, BOB, op_retire_validator(&fix))->rule, "");
    out = busy(&votes);
    assert_int_equal(out.updates_count, 0);
}

/* The hash of a set that a real engine of four validators had at a block. */
static void test_hash(void **state)
{
    static const char *const keys[] = {
        "5f386c90730cf4865c32a0a99edecd47226cfb125d7bafd20e9a9a8cb55a5bff",
        "b80d3a8b778d9c4c79559f642449e6fe6e34a87484f8a63835122fd90a277529",
        "f13cdba23a21265251958b0847b99989fd2da9221dce6cd44f1f3824a7d571bb",
        "df70bd64f21a7b4d8fa800c844692950dc13d5b8d0e23d3f5135480e586695d5"};
    static const char wanted[] = "1fb8b1548a17e2386fa8d545329e637f8c0df5391ddf7192e72a85e92b52bcbe";
    struct ledger_member list[4];
    const struct ledger_members members = {.list = list, .count = 4};
    uint8_t hash[32];
    char text[65];

    (void)state;
    memset(list, 0, sizeof list);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(hm_hex_decode(keys[i], 64, list[i].key, 32, NULL), 0);
        list[i].power = 10;
    }
    assert_int_equal(ledger_members_hash(&members, hash, NULL), 0);
    hm_hex_encode(hash, 32, text);
    assert_string_equal(text, wanted);
}

/* What one node's chain declares is what its engine begins with, however long that idles first. */
static void test_begin(void **state)
{
    struct ledger_outcome out;

    (void)state;
    begin();
    (void)idle(NULL); /* ChainFacts */
    for (int i = 0; i < 3; i++) {
        out = idle(NULL);
        assert_false(out.changed);
        assert_int_equal(out.updates_count, 0);
    }
    DONE(ERIN, op_delegate(&fix, BOB, 10 * H));
    assert_int_equal(power_of(BOB), 310);
    sets_agree();
}

/* --- votes --- */

static void test_absence(void **state)
{
    const struct stake_votes absent = {.absent = 1u << BOB};
    struct ledger_outcome out;

    (void)state;
    begin();
    (void)busy(NULL);
    for (int i = 0; i < 8; i++) {
        out = idle(&absent);
        assert_int_equal(stake_validator(&fix, BOB)->missed, 0); /* idle blocks do not count */
    }
    assert_false(out.changed);
    /* Two of four may be missed: the window has one block already. */
    (void)busy(&absent);
    (void)busy(&absent);
    assert_false(stake_validator(&fix, BOB)->jailed);
    (void)busy(NULL); /* a new window */
    assert_int_equal(stake_validator(&fix, BOB)->window_blocks, 0);
    (void)busy(&absent);
    (void)busy(&absent);
    assert_int_equal(power_of(BOB), 300);
    (void)busy(&absent);
    assert_true(stake_validator(&fix, BOB)->jailed);
    event_is("validator_jailed", BOB);
    assert_int_equal(power_of(BOB), 0);
    assert_int_equal(stake_validator(&fix, BOB)->missed, 5);
    assert_int_equal(stake_validator(&fix, BOB)->stake, 300 * H);
    sets_agree();
    /* His time passes. */
    assert_string_equal(did(BOB, op_unjail(&fix)), "validator.jail_time");
    assert_string_equal(did(ALICE, op_unjail(&fix)), "validator.free");
    (void)busy(&absent);
    (void)busy(&absent);
    assert_int_equal(stake_validator(&fix, BOB)->missed, 5); /* he is out: nobody waits for him */
    DONE(BOB, op_unjail(&fix));
    (void)idle(NULL);
    assert_int_equal(power_of(BOB), 300);
    assert_int_equal(stake_validator(&fix, BOB)->window_missed, 0);
}

static void params_seven(Hypermesh__Params *params)
{
    stake_params(params);
    params->max_validators = 7;
    params->absent_window = 20;
}

static int seven_setup(void **state)
{
    static const struct fixture_options options = {.params = params_seven};

    (void)state;
    return fixture_init(&fix, &options);
}

/* Two of seven pay in their own blocks only, and leave two others out each time: nobody is jailed, whatever height comes. Who is
 * missing in everybody's blocks is jailed as before, and one of whom a proposer has said all that it may counts from the next
 * window on again. */
static void test_coalition(void **state)
{
    struct stake_votes votes = {.absent = 1u << CAROL | 1u << NODE};
    const Hypermesh__Validator *carol;
    uint64_t minted;
    int blocks = 0;

    (void)state;
    for (enum fixture_role who = ALICE; who <= FRANK; who++)
        good(who, op_declare(&fix, who, 100 * H, 0));
    engine_model_begin(&engine, &fix);
    assert_int_equal(engine_model_newest(&engine)->count, 7);
    (void)busy(NULL);
    for (unsigned i = 0; i < 19; i++) {
        votes.proposer = (i % 2 ? ALICE : BOB) + 1;
        minted = fixture_supply(&fix)->caes_minted;
        (void)busy(&votes);
        assert_true(fixture_supply(&fix)->caes_minted - minted <= fix.params.block_reward * 5 / 7);
    }
    carol = stake_validator(&fix, CAROL);
    assert_false(carol->jailed);
    assert_int_equal(carol->missed, 2 * 4); /* 3 * 10 / 7 a proposer */
    assert_int_equal(carol->window_blocks, 0);
    for (unsigned i = 0; i < 60; i++) {
        votes.proposer = (i % 2 ? ALICE : BOB) + 1;
        (void)busy(&votes);
    }
    carol = stake_validator(&fix, CAROL);
    assert_false(carol->jailed);
    assert_int_equal(carol->missed, 4 * 8);
    assert_int_equal(carol->n_reports, 2);
    assert_false(stake_validator(&fix, NODE)->jailed);
    votes.absent = 1u << CAROL;
    for (unsigned i = 0; !stake_validator(&fix, CAROL)->jailed; i++) {
        static const enum fixture_role others[] = {ALICE, BOB, NODE, DAVE, ERIN, FRANK};

        assert_true(blocks++ < 20);
        votes.proposer = others[i % 6] + 1;
        (void)busy(&votes);
    }
    assert_int_equal(blocks, 11);
    assert_int_equal(stake_validator(&fix, NODE)->n_reports, 0);
    sets_agree();
}

/* A vote counts for who was in the set of the block before: two blocks after the ledger said so. */
static void test_delay(void **state)
{
    const struct stake_votes absent = {.absent = 1u << DAVE};

    (void)state;
    begin();
    DONE(DAVE, op_declare(&fix, DAVE, 200 * H, 0));
    (void)busy(&absent);
    (void)busy(&absent);
    assert_int_equal(stake_validator(&fix, DAVE)->window_blocks, 0);
    (void)busy(&absent);
    assert_int_equal(stake_validator(&fix, DAVE)->window_blocks, 1);
    assert_int_equal(stake_validator(&fix, DAVE)->missed, 1);
}

static uint64_t owed(enum fixture_role validator, enum fixture_role who)
{
    struct ledger_delegation_worth worth;

    ledger_delegation_worth(stake_validator(&fix, validator),
                            stake_delegation(&fix, validator, who), &worth);
    return worth.rewards;
}

static void test_rewards(void **state)
{
    const struct stake_votes absent = {.absent = 1u << CAROL};
    uint64_t reward = fix.params.block_reward;
    uint64_t share;

    (void)state;
    good(ALICE, op_declare(&fix, ALICE, 400 * H, 100000));
    good(BOB, op_declare(&fix, BOB, 300 * H, 0));
    good(CAROL, op_declare(&fix, CAROL, 300 * H, 0));
    good(DAVE, op_delegate(&fix, ALICE, 200 * H));
    engine_model_begin(&engine, &fix);
    assert_int_equal(fixture_supply(&fix)->caes_minted, 0);
    (void)busy(NULL);
    share = reward * 600 / 1200;
    assert_int_equal(fixture_supply(&fix)->caes_minted, reward);
    assert_int_equal(stake_validator(&fix, ALICE)->caes, share);
    assert_int_equal(stake_validator(&fix, ALICE)->commission_caes, share / 10);
    assert_in_range(owed(ALICE, DAVE), share * 9 / 10 / 3 - 1, share * 9 / 10 / 3);
    assert_in_range(owed(ALICE, ALICE), share * 9 / 10 * 2 / 3 - 1, share * 9 / 10 * 2 / 3);
    for (int i = 0; i < 3; i++)
        (void)idle(NULL);
    assert_int_equal(fixture_supply(&fix)->caes_minted, reward);
    (void)busy(&absent); /* who is absent earns nothing, and nobody has it instead */
    assert_int_equal(fixture_supply(&fix)->caes_minted, reward + reward * 900 / 1200);
    share *= 2;
    /* Taken: what was owed with this block's, not a unit twice. */
    DONE(DAVE, op_rewards(&fix, ALICE));
    assert_in_range(fixture_account(&fix, DAVE)->caes, share * 3 / 10 - 2, share * 3 / 10);
    assert_in_range(owed(ALICE, DAVE), share * 3 / 20 - 1, share * 3 / 20);
    DONE(ALICE, op_rewards(&fix, ALICE));
    share = share / 2 * 3; /* of three blocks when it was taken */
    assert_in_range(fixture_account(&fix, ALICE)->caes, share * 7 / 10 - 3, share * 7 / 10);
    /* Each change of a delegation pays as well, and a new one earns from now on. */
    DONE(DAVE, op_delegate(&fix, ALICE, 100 * H));
    assert_true(fixture_account(&fix, DAVE)->caes > share * 3 / 10 - 2);
    DONE(ERIN, op_delegate(&fix, ALICE, 100 * H));
    assert_in_range(owed(ALICE, ERIN), 1, reward);
    share = fixture_account(&fix, DAVE)->caes;
    DONE(DAVE, op_undelegate(&fix, ALICE, 0));
    assert_true(fixture_account(&fix, DAVE)->caes > share + reward / 20);
    assert_int_equal(owed(ALICE, DAVE), 0);
}

/* While the set changes block by block, those whose votes each block speaks of are paid. */
static void test_rewards_meanwhile(void **state)
{
    uint64_t minted = 0;

    (void)state;
    begin();
    (void)busy(NULL);
    DONE(DAVE, op_declare(&fix, DAVE, 900 * H, 0));
    for (int i = 0; i < 6; i++) {
        minted = fixture_supply(&fix)->caes_minted;
        (void)busy(NULL);
        assert_in_range(fixture_supply(&fix)->caes_minted - minted, fix.params.block_reward - 4,
                        fix.params.block_reward);
    }
    assert_int_equal(power_of(DAVE), 900);
}

static void params_generous(Hypermesh__Params *params)
{
    stake_params(params);
    params->caes_reward_ppm = 1000 * LEDGER_PPM;
}

static int generous_setup(void **state)
{
    static const struct fixture_options options = {.params = params_generous};

    (void)state;
    return fixture_init(&fix, &options);
}

/* Two accounts of one person mint by leases what can be counted at all: then there is none for anybody, and blocks go on. */
static void test_rewards_run_out(void **state)
{
    const uint64_t price = 700000 * H;
    uint8_t asset[1][32];

    (void)state;
    begin();
    DONE(NODE, op_register(&fix, "cpu", price * 3600, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC));
    fixture_asset_id(&fix, NODE, "cpu", asset[0]);
    while (fixture_supply(&fix)->caes_minted < UINT64_MAX) {
        DONE(DAVE, op_allocate(&fix, asset, 1, 1000000, 1000));
        fix.next_ms += 1000;
        DONE(NODE, op_transfer(&fix, DAVE, price));
        fixture_forget(&fix);
    }
    (void)busy(NULL);
    assert_true(fixture_supply(&fix)->caes_minted == UINT64_MAX);
    DONE(ALICE, op_rewards(&fix, ALICE));
    DONE(ALICE, op_transfer_caes(&fix, DAVE, 1));
}

/* --- the step by itself --- */

static struct ledger_members members_draw(struct hm_random *random, struct ledger_member list[12])
{
    struct ledger_members members = {.list = list};
    uint64_t scale = hm_random_u64(random) % 5;

    for (uint8_t i = 0; i < 12; i++) {
        struct ledger_member *member = &list[members.count];

        if (hm_random_u64(random) % 2)
            continue;
        *member = (struct ledger_member){.key = {i}, .address = {i}};
        member->power = 1 + hm_random_u64(random) % (scale == 0   ? 3
                                                     : scale == 4 ? LEDGER_POWER_TOTAL_MAX / 12
                                                                  : 1000);
        members.count++;
    }
    return members;
}

static uint64_t total_of(const struct ledger_members *members)
{
    uint64_t total = 0;

    for (size_t i = 0; i < members->count; i++)
        total += members->list[i].power;
    return total;
}

static uint64_t power_in(const struct ledger_members *members, uint8_t who)
{
    for (size_t i = 0; i < members->count; i++) {
        if (members->list[i].address[0] == who)
            return members->list[i].power;
    }
    return 0;
}

/* From any set to any other in steps that are all legal, none too large, each nearer. */
static void test_steps(void **state)
{
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, 6);
    struct ledger_member lists[3][24];
    uint64_t goals[24];

    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct ledger_members told = members_draw(&random, lists[0]);
        struct ledger_members wanted = members_draw(&random, lists[1]);
        int steps = 0;

        if (told.count == 0)
            continue;
        for (bool same = false; !same; steps++) {
            struct ledger_members next = {.list = lists[2]};
            uint64_t third = total_of(&told) / 3;
            uint64_t moved = 0;

            ledger_members_step(&told, &wanted, goals, &next);
            assert_true(next.count > 0);
            assert_true(total_of(&next) <= LEDGER_POWER_TOTAL_MAX);
            for (size_t i = 0; i < next.count; i++) {
                assert_true(next.list[i].power > 0);
                if (i > 0)
                    assert_true(next.list[i - 1].address[0] < next.list[i].address[0]);
            }
            for (uint8_t i = 0; i < 12; i++) {
                uint64_t was = power_in(&told, i);
                uint64_t is = power_in(&next, i);
                uint64_t goal = power_in(&wanted, i);

                moved += was > is ? was - is : is - was;
                if (wanted.count > 0) /* never past the goal, never away from it */
                    assert_true(was <= goal ? was <= is && is <= goal : goal <= is && is <= was);
            }
            assert_true(moved <= (third > 0 ? third : 1));
            same = moved == 0;
            memcpy(lists[0], lists[2], sizeof lists[0]);
            told.count = next.count;
            assert_true(steps < 500);
        }
        for (uint8_t i = 0; wanted.count > 0 && i < 12; i++)
            assert_int_equal(power_in(&told, i), power_in(&wanted, i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_join, validators_setup, check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_places, validators_setup, check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_own_bond, validators_setup, check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_last, validators_setup, check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_own_set, validators_setup, check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_other_set, validators_setup, check_replay_teardown),
        cmocka_unit_test(test_hash),
        cmocka_unit_test_setup_teardown(test_begin, validators_setup, check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_absence, validators_setup, check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_coalition, seven_setup, check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_delay, validators_setup, check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_rewards, validators_setup, check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_rewards_meanwhile, validators_setup,
                                        check_replay_teardown),
        cmocka_unit_test_setup_teardown(test_rewards_run_out, generous_setup,
                                        check_replay_teardown),
        cmocka_unit_test(test_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
