/* What the log says of validators that do not sign or send what is no vote extension, and of blocks that took more than one
 * round. */
#include "cluster_script.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine_watch.h"
#include "said.h"

#define SET     4
#define SET_MAX 64
#define ABSENT  HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_ABSENT
#define SIGNED  HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT
#define NIL     HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_NIL
#define SECOND  UINT64_C(1000)

struct votes {
    Hypermesh__Abci__CommitInfo commit;
    Hypermesh__Abci__VoteInfo votes[SET_MAX], *list[SET_MAX];
    Hypermesh__Abci__Validator validators[SET_MAX];
    uint8_t addresses[SET_MAX][ENGINE_ADDRESS_BYTES];
};

struct watched {
    struct engine_watch *watch;
    struct votes votes;
    uint64_t height, now_ms;
    bool old;
};
static struct watched watched;

/* Validators with address bytes i+1, who all sign. */
static void votes_init(struct votes *votes, size_t count)
{
    hypermesh__abci__commit_info__init(&votes->commit);
    votes->commit.votes = votes->list;
    votes->commit.n_votes = count;
    for (size_t i = 0; i < SET_MAX; i++) {
        hypermesh__abci__vote_info__init(&votes->votes[i]);
        hypermesh__abci__validator__init(&votes->validators[i]);
        memset(votes->addresses[i], (int)i + 1, ENGINE_ADDRESS_BYTES);
        votes->validators[i].address = wire_bytes(votes->addresses[i], ENGINE_ADDRESS_BYTES);
        votes->votes[i].validator = &votes->validators[i];
        votes->votes[i].flag = SIGNED;
        votes->list[i] = &votes->votes[i];
    }
}

static int setup(void **state)
{
    uint8_t own[ENGINE_ADDRESS_BYTES];

    (void)state;
    memset(own, 1, sizeof(own));
    watched = (struct watched){.height = 10};
    votes_init(&watched.votes, SET);
    said_begin(HM_LOG_INFO);
    assert_int_equal(engine_watch_new(own, &watched.watch, NULL), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    said_end();
    engine_watch_free(watched.watch);
    return 0;
}

/* So many blocks, a tenth of a second each. */
static void blocks(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        watched.now_ms += SECOND / 10;
        engine_watch_commit(watched.watch, ++watched.height, &watched.votes.commit, watched.old,
                            watched.now_ms);
    }
}

static void who_does_not_sign_is_told_once(void **state)
{
    (void)state;
    blocks(3);
    watched.votes.votes[2].flag = ABSENT;
    blocks(ENGINE_WATCH_BLOCKS - 1);
    assert_int_equal(said("validator"), 0);
    blocks(1);
    assert_int_equal(said("validator 0303030303030303030303030303030303030303 has not signed the "
                          "last 5 blocks, up to block 18: it is not there"),
                     1);
    blocks(1000);
    assert_int_equal(said("validator"), 1);
    said_forget();
    watched.votes.votes[2].flag = SIGNED;
    blocks(ENGINE_WATCH_BLOCKS - 1);
    assert_int_equal(said("validator"), 0);
    blocks(1);
    assert_int_equal(said("validator 0303030303030303030303030303030303030303 signs again: the "
                          "last 5 blocks"),
                     1);
    blocks(1000);
    assert_int_equal(said("validator"), 1);
}

static void who_votes_for_none_is_told_as_that(void **state)
{
    (void)state;
    watched.votes.votes[0].flag = NIL;
    blocks(ENGINE_WATCH_BLOCKS);
    assert_int_equal(said(" (this node's) has not signed the last 5 blocks, up to block 15: it "
                          "votes, but for no block"),
                     1);
}

/* A block now and then that is missed is no line; neither is one that comes and goes all the time, but for one in half a minute. */
static void little_is_not_told_and_much_not_often(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        watched.votes.votes[1].flag = ABSENT;
        blocks(ENGINE_WATCH_BLOCKS - 1);
        watched.votes.votes[1].flag = SIGNED;
        blocks(1);
    }
    assert_int_equal(said("validator"), 0);
    for (unsigned i = 0; i < 60; i++) { /* a minute of it */
        watched.votes.votes[1].flag = ABSENT;
        blocks(ENGINE_WATCH_BLOCKS);
        watched.votes.votes[1].flag = SIGNED;
        blocks(ENGINE_WATCH_BLOCKS);
    }
    assert_int_equal(said("has not signed"), 2);
    assert_int_equal(said("signs again"), 2);
}

/* All of many at once: as many lines as a second takes, the others later. */
static void many_are_told_little_by_little(void **state)
{
    (void)state;
    watched.now_ms = SECOND;
    votes_init(&watched.votes, SET_MAX);
    for (size_t i = 0; i < SET_MAX; i++)
        watched.votes.votes[i].flag = ABSENT;
    blocks(ENGINE_WATCH_BLOCKS + 2);
    assert_int_equal(said("has not signed"), ENGINE_WATCH_LINES_PER_S);
    blocks(50);
    assert_int_equal(said("has not signed"), SET_MAX);
}

static void counts_outlive_a_change_of_the_set(void **state)
{
    struct votes *votes = &watched.votes;

    (void)state;
    votes->votes[2].flag = ABSENT;
    blocks(ENGINE_WATCH_BLOCKS - 1);
    /* The first leaves, another one comes in front, the others change places. */
    Hypermesh__Abci__VoteInfo *list[] = {&votes->votes[9], &votes->votes[3], &votes->votes[2],
                                         &votes->votes[1]};
    memcpy(votes->list, list, sizeof(list));
    blocks(1);
    assert_int_equal(said("validator 0303"), 1);
    assert_int_equal(said("validator"), 1);
    /* Nobody is left, and then all are there again: who left begins anew. */
    votes->commit.n_votes = 2;
    blocks(1);
    votes_init(votes, SET);
    votes->votes[2].flag = ABSENT;
    blocks(ENGINE_WATCH_BLOCKS - 1);
    assert_int_equal(said("validator"), 1);
}

/* A validator without an address is nobody's, and nothing is read past what is there. */
static void votes_without_a_validator(void **state)
{
    (void)state;
    watched.votes.votes[1].validator = NULL;
    watched.votes.votes[2].flag = ABSENT;
    blocks(ENGINE_WATCH_BLOCKS);
    assert_int_equal(said("validator 0303"), 1);
    watched.votes.commit.n_votes = 0;
    blocks(1);
    engine_watch_commit(watched.watch, ++watched.height, NULL, false, watched.now_ms);
}

static void old_blocks_are_counted_only(void **state)
{
    (void)state;
    watched.old = true;
    watched.votes.votes[2].flag = ABSENT;
    watched.votes.commit.round = 3;
    blocks(100);
    assert_int_equal(said("engine"), 0);
    watched.old = false;
    watched.votes.commit.round = 0;
    blocks(1);
    assert_int_equal(said("has not signed the last 101 blocks"), 1);
}

/* A block that the engine gives again says nothing new. */
static void a_height_counts_once(void **state)
{
    (void)state;
    watched.votes.votes[2].flag = ABSENT;
    for (unsigned i = 0; i < 3 * ENGINE_WATCH_BLOCKS; i++)
        engine_watch_commit(watched.watch, 20, &watched.votes.commit, false, i);
    assert_int_equal(said("validator"), 0);
}

static void rounds_are_told(void **state)
{
    (void)state;
    watched.votes.commit.round = 2;
    blocks(1);
    assert_int_equal(said("block 11 was decided in round 2"), 1);
    blocks(49);
    assert_int_equal(said("was decided in round"), 1);
    blocks(1);
    assert_int_equal(said("block 61 was decided in round 2"), 1);
    assert_int_equal(said("since the last such line: 50"), 1);
}

static void extension(unsigned who)
{
    engine_watch_extension(watched.watch, watched.height,
                           hm_slice_of(watched.votes.addresses[who], ENGINE_ADDRESS_BYTES), 33,
                           "it is none", watched.now_ms);
}

/* One line for each validator in half a minute, and none for who is not known. */
static void unreadable_extensions_are_told(void **state)
{
    (void)state;
    extension(2);
    assert_int_equal(said("extension"), 0); /* before the first block nobody is known */
    blocks(1);
    for (unsigned i = 0; i < 100; i++)
        extension(2);
    extension(1);
    extension(SET);
    assert_int_equal(said("vote extension"), 2);
    assert_int_equal(said("validator 0303030303030303030303030303030303030303 sent a vote "
                          "extension that is none with its vote for block 11 (33 bytes; since the "
                          "last such line: 1), which is left out: it is none"),
                     1);
    assert_int_equal(said("validator 0202"), 1);
    watched.now_ms += ENGINE_WATCH_AGAIN_MS;
    extension(2);
    assert_int_equal(said("since the last such line: 100)"), 1);
    /* All at once: as many as a second takes. */
    said_forget();
    votes_init(&watched.votes, SET_MAX);
    watched.now_ms += ENGINE_WATCH_AGAIN_MS;
    blocks(1);
    for (unsigned i = 0; i < SET_MAX; i++)
        extension(i);
    assert_int_equal(said("vote extension"), ENGINE_WATCH_LINES_PER_S);
}

/* Memory that is not there costs a count, and nothing else. */
static void memory_runs_out(void **state)
{
    (void)state;
    watched.votes.votes[2].flag = ABSENT;
    hm_alloc_fail_at(1);
    blocks(1);
    hm_alloc_fail_at(0);
    blocks(ENGINE_WATCH_BLOCKS - 1);
    assert_int_equal(said("validator"), 0);
    blocks(1);
    assert_int_equal(said("validator 0303"), 1);
}

/* --- with the application -------------------------------------------------------------------------------------- */

static struct script script;

static void the_application_tells_it(void **state)
{
    (void)state;
    script_init(&script, NULL, NULL);
    script_start(&script);
    script_handshake_good(&script);
    script_run(&script, SCRIPT_WHOLE);
    script.absent = true;
    script.round = 1;
    for (unsigned i = 0; i < ENGINE_WATCH_BLOCKS; i++)
        script_run(&script, SCRIPT_WHOLE);
    script.absent = false;
    assert_int_equal(said("(this node's) has not signed the last 5 blocks"), 1);
    assert_int_equal(said("was decided in round 1"), 1);
    for (unsigned i = 0; i < ENGINE_WATCH_BLOCKS; i++)
        script_run(&script, SCRIPT_WHOLE);
    assert_int_equal(said("(this node's) signs again"), 1);
    script_release(&script);
}

/* A block with a transaction, its proposer's own vote for the one before with this extension. */
static void propose_with(struct hm_slice extension, unsigned answers)
{
    Hypermesh__Abci__ExtendedCommitInfo votes = HYPERMESH__ABCI__EXTENDED_COMMIT_INFO__INIT;
    Hypermesh__Abci__ExtendedVoteInfo vote = HYPERMESH__ABCI__EXTENDED_VOTE_INFO__INIT;
    Hypermesh__Abci__ExtendedVoteInfo *list[] = {&vote};
    Hypermesh__Abci__Validator validator = HYPERMESH__ABCI__VALIDATOR__INIT;
    struct engine_answer *answer = script_submit(&script, ALICE);

    validator.address = wire_bytes(script.cometbft.validator_address, ENGINE_ADDRESS_BYTES);
    vote.validator = &validator;
    vote.flag = SIGNED;
    vote.vote_extension = wire_bytes(extension.data, extension.len);
    votes.votes = list;
    votes.n_votes = 1;
    script_wait_items(&script, 1);
    script.votes = &votes;
    script_run(&script, SCRIPT_WHOLE);
    script.votes = NULL;
    engine_fixture_wait_answers(&script.fix, answers);
    engine_fixture_expect_good(answer);
}

static void the_application_tells_of_extensions(void **state)
{
    static const uint8_t good[22] = {0x12, 0x14, 7}; /* VoteWitness.node */
    static const uint8_t none[33] = {0xff, 0xff, 0xff};

    (void)state;
    assert_int_equal(ledger_witness_check(hm_slice_of(good, sizeof(good)), NULL), 0);
    script_init(&script, NULL, NULL);
    script_start(&script);
    script_rpc_open(&script);
    script_handshake_good(&script);
    script_run(&script, SCRIPT_WHOLE);
    script_run(&script, SCRIPT_WHOLE);
    propose_with(hm_slice_of(good, sizeof(good)), 1);
    propose_with((struct hm_slice){0}, 2);
    assert_int_equal(said("extension"), 0);
    propose_with(hm_slice_of(none, sizeof(none)), 3);
    assert_int_equal(said("adad sent a vote extension that is none with its vote for block"), 1);
    assert_int_equal(said("(33 bytes; "), 1);
    script_release(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_does_not_sign_is_told_once, setup, teardown),
        cmocka_unit_test_setup_teardown(who_votes_for_none_is_told_as_that, setup, teardown),
        cmocka_unit_test_setup_teardown(little_is_not_told_and_much_not_often, setup, teardown),
        cmocka_unit_test_setup_teardown(many_are_told_little_by_little, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_outlive_a_change_of_the_set, setup, teardown),
        cmocka_unit_test_setup_teardown(votes_without_a_validator, setup, teardown),
        cmocka_unit_test_setup_teardown(old_blocks_are_counted_only, setup, teardown),
        cmocka_unit_test_setup_teardown(a_height_counts_once, setup, teardown),
        cmocka_unit_test_setup_teardown(rounds_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(unreadable_extensions_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_runs_out, setup, teardown),
        cmocka_unit_test_setup_teardown(the_application_tells_it, setup, teardown),
        cmocka_unit_test_setup_teardown(the_application_tells_of_extensions, setup, teardown),
    };

    return cmocka_run_group_tests_name("engine_watch", tests, NULL, NULL);
}
