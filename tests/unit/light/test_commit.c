/* Commits: enough power, each in his place, nothing but votes. */
#include "light_fixture.h"

#define COMMIT HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT
#define NIL    HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_NIL
#define ABSENT HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_ABSENT

struct bench {
    struct hm_arena arena;
    struct made_set set;
    Hypermesh__Abci__LightBlock *block;
    Hypermesh__Abci__Commit *commit;
};

static struct bench bench;

/* A block of height 7 by the set as it stands. */
static void make(const Hypermesh__Abci__BlockIdFlag *flags)
{
    bench.block = made_block(made_header(7, &bench.set, &bench.set, &bench.arena), &bench.set,
                             flags, &bench.arena);
    bench.commit = bench.block->signed_header->commit;
}

static void start(size_t count, const Hypermesh__Abci__BlockIdFlag *flags)
{
    hm_arena_release(&bench.arena);
    memset(&bench, 0, sizeof(bench));
    for (size_t i = 0; i < count; i++)
        made_add(&bench.set, i, 10);
    made_sort(&bench.set);
    make(flags);
}

static int check(struct hm_error *error)
{
    struct light_block block;
    struct hm_error own = {0};
    int rc = light_block_check(bench.block, &bench.arena, &block, &own);

    assert_int_equal(own.code, rc);
    if (error != NULL)
        *error = own;
    return rc;
}

/* 0, or the refusal names what. */
static void refused(int code, const char *what)
{
    struct hm_error error;

    assert_int_equal(check(&error), code);
    if (strstr(error.text, what) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, what);
}

/* Taken, with so much power behind it: told in both ways. */
static void counts(int64_t wanted)
{
    struct light_block block;
    int64_t power = 0, voted = 0;

    assert_int_equal(light_block_check(bench.block, &bench.arena, &block, NULL), 0);
    assert_int_equal(light_commit_verify(&block.set, bench.block->signed_header->header->chain_id,
                                         7, block.hash, bench.commit, NULL, &power, NULL),
                     0);
    assert_int_equal(power, wanted);
    for (size_t i = 0; i < block.set.count; i++)
        voted += block.voted[i] ? block.set.list[i].power : 0;
    assert_int_equal(voted, wanted);
}

static void exactly_two_thirds_are_not_enough(void **state)
{
    const Hypermesh__Abci__BlockIdFlag two[] = {COMMIT, COMMIT, NIL};
    const Hypermesh__Abci__BlockIdFlag away[] = {COMMIT, COMMIT, ABSENT};
    const Hypermesh__Abci__BlockIdFlag all[] = {COMMIT, COMMIT, COMMIT};

    (void)state;
    start(3, two);
    refused(HM_EAUTH, "20 of 30");
    start(3, away);
    refused(HM_EAUTH, "20 of 30");
    start(3, all);
    assert_int_equal(check(NULL), 0);
}

/* Any powers, anybody voting for the block, for nil or not at all: accepted iff more than two thirds voted for it. */
static void only_power_decides(void **state)
{
    static const int64_t scales[] = {1, 3, 1000, LIGHT_POWER_MAX / 64};
    struct hm_random_seeded seeded;
    const struct hm_random random = hm_random_seeded_source(&seeded, 6);
    unsigned taken = 0, left = 0;

    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        Hypermesh__Abci__BlockIdFlag flags[8];
        const size_t count = 1 + (size_t)(hm_random_u64(&random) % HM_COUNT_OF(flags));
        const int64_t scale = scales[hm_random_u64(&random) % HM_COUNT_OF(scales)];
        const uint64_t odds = hm_random_u64(&random) % 4;
        int64_t power = 0, all = 0;
        bool enough;
        int rc;

        hm_arena_clear(&bench.arena);
        bench.set.count = 0;
        for (size_t i = 0; i < count; i++)
            made_add(&bench.set, i, 1 + (int64_t)(hm_random_u64(&random) % (uint64_t)scale));
        made_sort(&bench.set);
        for (size_t i = 0; i < count; i++) {
            const uint64_t dice = hm_random_u64(&random) % (5 + odds * 5);

            flags[i] = dice == 0 ? NIL : dice == 1 ? ABSENT : COMMIT;
            all += bench.set.list[i].power;
            power += flags[i] == COMMIT ? bench.set.list[i].power : 0;
        }
        make(flags);
        enough = (__int128)power * 3 > (__int128)all * 2;
        rc = check(NULL);
        if (rc != (enough ? 0 : HM_EAUTH))
            fail_msg("round %u: power %lld of %lld gives %d", round, (long long)power,
                     (long long)all, rc);
        taken += enough;
        left += !enough;
    }
    assert_true(taken > 50 && left > 50); /* both were seen */
}

static void a_vote_counts_in_its_own_place_only(void **state)
{
    Hypermesh__Abci__CommitSig *kept;

    (void)state;
    start(4, NULL);
    bench.commit->signatures[1] = bench.commit->signatures[0]; /* twice the same */
    refused(HM_EAUTH, "entry 1 of the commit is not of the validator");
    start(4, NULL);
    kept = bench.commit->signatures[0];
    bench.commit->signatures[0] = bench.commit->signatures[1];
    bench.commit->signatures[1] = kept;
    refused(HM_EAUTH, "entry 0");
    start(4, NULL); /* under his own address, but another's signature */
    bench.commit->signatures[2]->signature = bench.commit->signatures[3]->signature;
    counts(30);
    bench.commit->signatures[1]->signature = bench.commit->signatures[3]->signature;
    refused(HM_EAUTH, "20 of 40 signed the block, more than two thirds are needed: entry 1 of the "
                      "commit has a wrong signature, 2 have in all");
}

static void a_nil_vote_cannot_pass_for_one_of_the_block(void **state)
{
    const Hypermesh__Abci__BlockIdFlag flags[] = {COMMIT, COMMIT, COMMIT, NIL};

    (void)state;
    start(4, flags);
    assert_int_equal(check(NULL), 0);
    bench.commit->signatures[3]->flag = COMMIT;
    counts(30); /* without it, as before */
    bench.commit->signatures[3]->flag = NIL;
    bench.commit->signatures[0]->flag = NIL;
    refused(HM_EAUTH, "entry 0 of the commit has a wrong signature");
}

static void entries_have_one_form(void **state)
{
    const Hypermesh__Abci__BlockIdFlag flags[] = {COMMIT, COMMIT, COMMIT, ABSENT};
    Hypermesh__Abci__Timestamp none = HYPERMESH__ABCI__TIMESTAMP__INIT;
    Hypermesh__Abci__CommitSig *entry;

    (void)state;
    start(4, flags);
    entry = bench.commit->signatures[3];
    entry->timestamp = bench.commit->signatures[0]->timestamp;
    refused(HM_EPARSE, "absent");
    entry->timestamp = &none;
    none.seconds = LIGHT_TIME_MIN_SECONDS; /* what the engine writes */
    assert_int_equal(check(NULL), 0);
    none.nanos = 1;
    refused(HM_EPARSE, "absent");
    none.nanos = 0;
    none.seconds++;
    refused(HM_EPARSE, "absent");
    entry->timestamp = NULL;
    entry->signature = bench.commit->signatures[0]->signature;
    refused(HM_EPARSE, "absent");
    entry->signature.len = 0;
    entry->validator_address = wire_bytes(bench.set.list[3].address, LIGHT_ADDRESS_BYTES);
    refused(HM_EPARSE, "absent");
    entry->flag = HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_UNKNOWN;
    refused(HM_EPARSE, "neither");
    entry->flag = (Hypermesh__Abci__BlockIdFlag)4;
    refused(HM_EPARSE, "neither");

    start(4, NULL);
    bench.commit->signatures[1]->timestamp = NULL;
    refused(HM_EPARSE, "time");
    start(4, NULL);
    bench.commit->signatures[1]->timestamp->nanos = 1000000000;
    made_sign(bench.block, &bench.set, 1, &bench.arena);
    refused(HM_EPARSE, "time");
    start(4, NULL);
    bench.commit->signatures[1]->signature.len = 63;
    refused(HM_EPARSE, "64 bytes");
    start(4, NULL);
    bench.commit->signatures[1]->validator_address.len = 19;
    refused(HM_EAUTH, "place");
}

/* A validator's clock may be anywhere: its vote says so, and is signed. */
static void a_vote_may_tell_any_time(void **state)
{
    static const int64_t seconds[] = {LIGHT_TIME_MIN_SECONDS, -1, 0, LIGHT_TIME_MAX_SECONDS};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(seconds); i++) {
        start(4, NULL);
        bench.commit->signatures[1]->timestamp->seconds = seconds[i];
        counts(30);
        made_sign(bench.block, &bench.set, 1, &bench.arena);
        counts(40);
    }
}

static void sign_all(void)
{
    for (size_t i = 0; i < bench.set.count; i++)
        made_sign(bench.block, &bench.set, i, &bench.arena);
}

/* What is signed by all, but for something else. */
static void the_commit_is_for_this_block(void **state)
{
    (void)state;
    start(4, NULL);
    bench.commit->height = 8;
    sign_all();
    refused(HM_EAUTH, "height 8");
    start(4, NULL);
    bench.commit->block_id->hash.data[0] ^= 1;
    sign_all();
    refused(HM_EAUTH, "block");
    start(4, NULL);
    bench.commit->round = -1;
    sign_all();
    refused(HM_EPARSE, "round");
    start(4, NULL);
    bench.commit->block_id->part_set_header->total = 0;
    sign_all();
    refused(HM_EPARSE, "names no block");
    start(4, NULL);
    bench.commit->block_id->part_set_header->hash.len = 31;
    sign_all();
    refused(HM_EPARSE, "hash");
    start(4, NULL);
    bench.commit->block_id = NULL;
    refused(HM_EPARSE, "names no block");
}

static void one_entry_for_each_validator(void **state)
{
    Hypermesh__Abci__CommitSig *entries[5];

    (void)state;
    start(4, NULL);
    bench.commit->n_signatures = 3;
    refused(HM_EPARSE, "3 entries for 4");
    bench.commit->n_signatures = 0;
    refused(HM_EPARSE, "0 entries for 4");
    start(4, NULL);
    for (size_t i = 0; i < 4; i++)
        entries[i] = bench.commit->signatures[i];
    entries[4] = entries[3];
    bench.commit->signatures = entries;
    bench.commit->n_signatures = 5;
    refused(HM_EPARSE, "5 entries for 4");
}

/* Validators that the header does not name, however well they signed. */
static void other_validators_are_refused(void **state)
{
    (void)state;
    start(4, NULL);
    bench.block->validators[0]->voting_power = 11;
    refused(HM_EAUTH, "validators given have the hash");
    start(4, NULL);
    bench.block->n_validators = 3;
    refused(HM_EAUTH, "validators given have the hash");
    start(4, NULL);
    bench.block->n_validators = 0;
    refused(HM_EPARSE, "no validators");
}

static void all_parts_must_be_there(void **state)
{
    (void)state;
    start(4, NULL);
    bench.block->signed_header->commit = NULL;
    refused(HM_EPARSE, "no header or no commit");
    start(4, NULL);
    bench.block->signed_header->header = NULL;
    refused(HM_EPARSE, "no header or no commit");
    start(4, NULL);
    bench.block->signed_header = NULL;
    refused(HM_EPARSE, "no header or no commit");
}

static int drop(void **state)
{
    (void)state;
    hm_arena_release(&bench.arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_two_thirds_are_not_enough),
        cmocka_unit_test(only_power_decides),
        cmocka_unit_test(a_vote_counts_in_its_own_place_only),
        cmocka_unit_test(a_nil_vote_cannot_pass_for_one_of_the_block),
        cmocka_unit_test(entries_have_one_form),
        cmocka_unit_test(a_vote_may_tell_any_time),
        cmocka_unit_test(the_commit_is_for_this_block),
        cmocka_unit_test(one_entry_for_each_validator),
        cmocka_unit_test(other_validators_are_refused),
        cmocka_unit_test(all_parts_must_be_there),
    };

    return cmocka_run_group_tests_name("light: commits", tests, light_fixture_setup, drop);
}
