/* One step of trust: what carries over, what does not, and when a block between is needed. */
#include "light_fixture.h"

#define NOW_MS (MADE_TIME_MS + 60000)

static const struct light_rules rules = {LIGHT_TRUSTING_PERIOD_MS, LIGHT_CLOCK_DRIFT_MS};

struct bench {
    struct hm_arena arena;
    struct made_set old; /* of heights 10 and, unless the test says otherwise, of 11 */
    struct made_set new;
    struct light_trust trust; /* height 10 */
    struct light_block next;
};

static struct bench bench;

static void drop_bench(void)
{
    light_trust_release(&bench.trust);
    hm_arena_release(&bench.arena);
    memset(&bench, 0, sizeof(bench));
}

/* count validators of power 10; the trusted header says they stay. */
static void start(size_t count)
{
    drop_bench();
    for (size_t i = 0; i < count; i++)
        made_add(&bench.old, i, 10);
    made_sort(&bench.old);
    light_fixture_trust(made_block(made_header(10, &bench.old, &bench.old, &bench.arena),
                                   &bench.old, NULL, &bench.arena),
                        &bench.trust);
}

static void propose(Hypermesh__Abci__Header *header, const struct made_set *set,
                    const Hypermesh__Abci__BlockIdFlag *flags)
{
    struct hm_error error = {0};

    if (light_block_check(made_block(header, set, flags, &bench.arena), &bench.arena, &bench.next,
                          &error) != 0)
        fail_msg("%s", error.text);
}

static int step_at(uint64_t now_ms, enum light_outcome *outcome, struct hm_error *error)
{
    return light_step(&bench.trust, &bench.next, now_ms, &rules, outcome, error);
}

static void refused_at(uint64_t now_ms, int code, const char *what)
{
    enum light_outcome outcome = (enum light_outcome)77;
    struct hm_error error = {0};

    assert_int_equal(step_at(now_ms, &outcome, &error), code);
    assert_int_equal(error.code, code);
    assert_int_equal(outcome, 77);
    if (strstr(error.text, what) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, what);
}

static enum light_outcome outcome_of(void)
{
    enum light_outcome outcome = (enum light_outcome)77;
    struct hm_error error = {0};

    if (step_at(NOW_MS, &outcome, &error) != 0)
        fail_msg("%s", error.text);
    return outcome;
}

static void the_next_block_is_by_who_was_named(void **state)
{
    (void)state;
    start(4);
    propose(made_header(11, &bench.old, &bench.old, &bench.arena), &bench.old, NULL);
    assert_int_equal(outcome_of(), LIGHT_ACCEPTED);
    bench.new = bench.old;
    bench.new.list[0].power = 11; /* the same people, but not as named */
    propose(made_header(11, &bench.new, &bench.new, &bench.arena), &bench.new, NULL);
    refused_at(NOW_MS, HM_EAUTH, "by the validators");
    /* wholly new ones are fine when the trusted header named them */
    start(4);
    bench.new.count = 0;
    made_add(&bench.new, 50, 3);
    light_trust_release(&bench.trust);
    light_fixture_trust(made_block(made_header(10, &bench.old, &bench.new, &bench.arena),
                                   &bench.old, NULL, &bench.arena),
                        &bench.trust);
    propose(made_header(11, &bench.new, &bench.new, &bench.arena), &bench.new, NULL);
    assert_int_equal(outcome_of(), LIGHT_ACCEPTED);
    propose(made_header(12, &bench.new, &bench.new, &bench.arena), &bench.new, NULL);
    assert_int_equal(outcome_of(), LIGHT_TOO_FAR);
}

static void skipping_needs_more_than_a_third(void **state)
{
    struct hm_error error = {0};
    enum light_outcome outcome;

    (void)state;
    start(6);
    for (size_t stayed = 0; stayed <= 6; stayed++) {
        bench.new.count = 0;
        for (size_t i = 0; i < stayed; i++)
            bench.new.list[bench.new.count++] = bench.old.list[i];
        for (size_t i = 0; i < 4; i++)
            made_add(&bench.new, 100 + i, 10);
        made_sort(&bench.new);
        propose(made_header(20, &bench.new, &bench.new, &bench.arena), &bench.new, NULL);
        assert_int_equal(outcome_of(), stayed >= 3 ? LIGHT_ACCEPTED : LIGHT_TOO_FAR);
    }
    bench.new.count = 0;
    made_add(&bench.new, 100, 10);
    propose(made_header(20, &bench.new, &bench.new, &bench.arena), &bench.new, NULL);
    assert_int_equal(step_at(NOW_MS, &outcome, &error), 0);
    assert_int_equal(error.code, 0);
    assert_non_null(strstr(error.text, "between"));
}

/* Trusted power counts, not what the new block says they have; and only of those who voted for it. */
static void only_trusted_power_of_voters_counts(void **state)
{
    Hypermesh__Abci__BlockIdFlag flags[6];

    (void)state;
    start(6);
    bench.new.count = 0;
    for (size_t i = 0; i < 2; i++) {
        bench.new.list[i] = bench.old.list[i];
        bench.new.list[i].power = 1000;
        bench.new.count++;
    }
    made_sort(&bench.new);
    propose(made_header(20, &bench.new, &bench.new, &bench.arena), &bench.new, NULL);
    assert_int_equal(outcome_of(), LIGHT_TOO_FAR); /* 20 of 60 */

    bench.new.count =
        0; /* three of the six, one of which stays silent beside two that weigh more */
    for (size_t i = 0; i < 3; i++)
        bench.new.list[bench.new.count++] = bench.old.list[i];
    made_add(&bench.new, 100, 90);
    made_sort(&bench.new);
    for (size_t i = 0; i < 4; i++)
        flags[i] = HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT;
    propose(made_header(20, &bench.new, &bench.new, &bench.arena), &bench.new, flags);
    assert_int_equal(outcome_of(), LIGHT_ACCEPTED); /* 30 of 60 */
    flags[3] = HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_NIL;
    propose(made_header(20, &bench.new, &bench.new, &bench.arena), &bench.new, flags);
    assert_int_equal(outcome_of(), LIGHT_TOO_FAR); /* 20 of 60 */
    flags[3] = HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_ABSENT;
    propose(made_header(20, &bench.new, &bench.new, &bench.arena), &bench.new, flags);
    assert_int_equal(outcome_of(), LIGHT_TOO_FAR);
}

static void heights_and_times_rise(void **state)
{
    Hypermesh__Abci__Header *header;

    (void)state;
    start(4);
    propose(made_header(10, &bench.old, &bench.old, &bench.arena), &bench.old, NULL);
    refused_at(NOW_MS, HM_EAUTH, "not higher");
    propose(made_header(9, &bench.old, &bench.old, &bench.arena), &bench.old, NULL);
    refused_at(NOW_MS, HM_EAUTH, "not higher");
    for (int64_t height = 11; height < 13; height++) {
        header = made_header(height, &bench.old, &bench.old, &bench.arena);
        header->time->seconds = MADE_TIME_S + 10;
        propose(header, &bench.old, NULL); /* the same nanosecond */
        refused_at(NOW_MS, HM_EAUTH, "not later");
        header->time->nanos--;
        propose(header, &bench.old, NULL);
        refused_at(NOW_MS, HM_EAUTH, "not later");
        header->time->nanos += 2;
        propose(header, &bench.old, NULL);
        assert_int_equal(outcome_of(), LIGHT_ACCEPTED);
        header->time->seconds--;
        header->time->nanos = 999999999;
        propose(header, &bench.old, NULL);
        refused_at(NOW_MS, HM_EAUTH, "not later");
    }
}

static void another_chain_is_refused(void **state)
{
    Hypermesh__Abci__Header *header;

    (void)state;
    start(4);
    header = made_header(11, &bench.old, &bench.old, &bench.arena);
    header->chain_id[0] = 'k';
    propose(header, &bench.old, NULL);
    refused_at(NOW_MS, HM_EAUTH, "of chain kight-made");
}

static void the_future_is_refused(void **state)
{
    const uint64_t then = MADE_TIME_MS + 11000 + 250; /* of block 11 */
    enum light_outcome outcome;

    (void)state;
    start(4);
    propose(made_header(11, &bench.old, &bench.old, &bench.arena), &bench.old, NULL);
    refused_at(then - LIGHT_CLOCK_DRIFT_MS, HM_EAUTH, "future");
    refused_at(0, HM_EAUTH, "future");
    assert_int_equal(step_at(then - LIGHT_CLOCK_DRIFT_MS + 1, &outcome, NULL), 0);
}

static void trust_grows_old(void **state)
{
    const uint64_t then = MADE_TIME_MS + 10000 + 250; /* of the trusted block */
    enum light_outcome outcome;

    (void)state;
    start(4);
    propose(made_header(11, &bench.old, &bench.old, &bench.arena), &bench.old, NULL);
    assert_int_equal(step_at(then + LIGHT_TRUSTING_PERIOD_MS - 1, &outcome, NULL), 0);
    refused_at(then + LIGHT_TRUSTING_PERIOD_MS, HM_ETIMEOUT, "too long ago");
    refused_at(UINT64_MAX, HM_ETIMEOUT, "too long ago");
}

static void nothing_follows_from_no_trust(void **state)
{
    struct light_trust none = {0};
    enum light_outcome outcome;
    uint8_t root[LIGHT_HASH_BYTES];
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    (void)state;
    start(1);
    propose(made_header(11, &bench.old, &bench.old, &bench.arena), &bench.old, NULL);
    assert_int_equal(light_step(&none, &bench.next, NOW_MS, &rules, &outcome, NULL), HM_EINVAL);
    assert_int_equal(light_state_root(&none, 1, root, NULL), HM_ERANGE);
    assert_int_equal(light_trust_pack(&none, &bytes, NULL), HM_EINVAL);
}

static int drop(void **state)
{
    (void)state;
    drop_bench();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_block_is_by_who_was_named),
        cmocka_unit_test(skipping_needs_more_than_a_third),
        cmocka_unit_test(only_trusted_power_of_voters_counts),
        cmocka_unit_test(heights_and_times_rise),
        cmocka_unit_test(another_chain_is_refused),
        cmocka_unit_test(the_future_is_refused),
        cmocka_unit_test(trust_grows_old),
        cmocka_unit_test(nothing_follows_from_no_trust),
    };

    return cmocka_run_group_tests_name("light: steps", tests, light_fixture_setup, drop);
}
