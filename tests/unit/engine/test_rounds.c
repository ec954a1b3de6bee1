/* What the engine says of the round under way, as v0.38.25 said it and otherwise; who is told to vote nil, and what a late block
 * waits for. */
#include "cluster_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine_rounds.h"
#include "json.h"
#include "said.h"

#define SET     4
#define SECOND  UINT64_C(1000)
#define WAIT_MS 20000

/* Those of the recorded answer: its first votes nil. Of the other bytes of their addresses it shows nothing. */
static const uint8_t starts[SET][ENGINE_ROUNDS_START_BYTES] = {
    {0x78, 0x23, 0x97, 0x0a, 0xfe, 0x12},
    {0x84, 0x86, 0x78, 0x27, 0x34, 0xff},
    {0x88, 0xbe, 0x40, 0xe0, 0xbd, 0x05},
    {0xc3, 0x2f, 0x66, 0x3c, 0x3a, 0x79}};

struct watched {
    struct engine_rounds *rounds;
    struct engine_rounds_state state;
    Hypermesh__Abci__CommitInfo commit;
    Hypermesh__Abci__VoteInfo votes[SET], *list[SET];
    Hypermesh__Abci__Validator validators[SET];
    uint8_t addresses[SET][ENGINE_ADDRESS_BYTES];
    uint64_t now_ms;
};
static struct watched watched;

/* --- the recorded answer ------------------------------------------------------------------------------------------ */

/* `what` may be replaced by `with`, everywhere. */
static void recorded(const char *what, const char *with, struct hm_buf *out)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/tests/unit/engine/recorded/engine_round.json",
                                         getenv("HM_SOURCE") != NULL ? getenv("HM_SOURCE") : ".");
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    const char *at, *next;

    assert_int_equal(hm_file_read(path, 1 << 20, &text, NULL), 0);
    at = hm_buf_cstr(&text);
    while (what != NULL && (next = strstr(at, what)) != NULL) {
        assert_int_equal(hm_buf_append(out, at, (size_t)(next - at)), 0);
        assert_int_equal(hm_buf_append_str(out, with), 0);
        at = next + strlen(what);
    }
    assert_true(what == NULL || at != hm_buf_cstr(&text));
    assert_int_equal(hm_buf_append_str(out, at), 0);
}

static int read_with(const char *what, const char *with, struct engine_rounds_state *out)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    HM_CLEANUP(json) json_t *root = NULL;
    struct hm_error error = {0};

    recorded(what, with, &text);
    assert_int_equal(json_read(hm_buf_slice(&text), ENGINE_RPC_DEPTH_MAX, "it", &root, NULL), 0);
    int rc = engine_rounds_read(json_object_get(root, "result"), out, &error);
    assert_true((rc == 0) == (error.text[0] == '\0'));
    return rc;
}

static void the_engines_answer_is_read(void **state)
{
    static const uint8_t none[ENGINE_ROUNDS_START_BYTES];
    struct engine_rounds_state *round = &watched.state;

    (void)state;
    assert_int_equal(read_with(NULL, NULL, round), 0);
    assert_int_equal(round->height, 132);
    assert_int_equal(round->round, 0);
    assert_int_equal(round->step, ENGINE_ROUNDS_PRECOMMIT);
    assert_memory_equal(round->proposer, starts[3], ENGINE_ROUNDS_START_BYTES);
    assert_int_equal(round->count, SET);
    assert_int_equal(round->prevoted, SET);
    assert_int_equal(round->precommitted, 1);
    assert_true(round->has_valid);
    for (unsigned i = 0; i < SET; i++) {
        assert_true(round->prevotes[i].there);
        assert_memory_equal(round->prevotes[i].validator, starts[i], ENGINE_ROUNDS_START_BYTES);
        assert_memory_equal(round->prevotes[i].block, i == 0 ? none : round->valid,
                            ENGINE_ROUNDS_START_BYTES);
    }
    /* Its next round has no votes yet. */
    assert_int_equal(read_with("\"132/0/6\"", "\"132/1/3\"", round), 0);
    assert_int_equal(round->round, 1);
    assert_int_equal(round->step, ENGINE_ROUNDS_PROPOSE);
    assert_int_equal(round->prevoted, 0);
    assert_int_equal(round->precommitted, 0);
}

static void what_is_none_is_refused(void **state)
{
    static const char *const bad[][2] = {
        {"\"132/0/6\"", "\"132/0/9\""},
        {"\"132/0/6\"", "\"132/0/0\""},
        {"\"132/0/6\"", "\"132/0\""},
        {"\"132/0/6\"", "\"132/0/6/\""},
        {"\"132/0/6\"", "\"/0/6\""},
        {"\"132/0/6\"", "\"0/0/6\""},
        {"\"132/0/6\"", "\"-132/0/6\""},
        {"\"132/0/6\"", "\"133/0/6\""},
        {"\"132/0/6\"", "\"132/7/6\""},
        {"\"132/0/6\"", "132"},
        {"\"132/0/6\"", "\"132/99999999999999999999/6\""},
        {"\"132/0/6\"", "\"132/9999999999999999999999/6\""},
        {"Vote{1:", "Vote{2:"},
        {"Vote{1:", "Vote{:"},
        {"Vote{1:", "Vote{1"},
        {"Vote{1:", "vote{1:"},
        {"8486782734FF 132/00", "8486782734F 132/00"},
        {"8486782734FF 132/00", "8486782734FG 132/00"},
        {"8486782734FF 132/00", "8486782734FF 131/00"},
        {"8486782734FF 132/00", "8486782734FF 132/01"},
        {"(Prevote)", "(Precommit)"},
        {"\"prevotes\"", "\"votes\""},
        {"\"precommits\"", "\"votes\""},
        {"\"height_vote_set\"", "\"votes\""},
        {"\"round_state\"", "\"state\""},
        {"\"proposer\"", "\"nobody\""},
        {"\"valid_block_hash\":\"89", "\"valid_block_hash\":\"8x"},
        {"\"valid_block_hash\":\"89C35C1ACD50", "\"valid_block_hash\":\"89C35C1ACD\",\"x\":\""},
        {"\"address\":\"C3", "\"address\":\""},
        {"\"precommits\":[\"nil-Vote\",", "\"precommits\":["},
        {"\"precommits\":[\"nil-Vote\",", "\"precommits\":[7,"},
        {"\"prevotes\":[", "\"prevotes\":[7,"},
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++)
        if (read_with(bad[i][0], bad[i][1], &watched.state) != HM_EPARSE)
            fail_msg("%s for %s is taken", bad[i][1], bad[i][0]);
}

static void more_than_anybody_looks_at(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    (void)state;
    assert_int_equal(hm_buf_append_str(&text, "\"prevotes\":["), 0);
    for (unsigned i = 0; i < ENGINE_ROUNDS_VALIDATORS_MAX; i++)
        assert_int_equal(hm_buf_append_str(&text, "\"nil-Vote\","), 0);
    assert_int_equal(read_with("\"prevotes\":[", hm_buf_cstr(&text), &watched.state), HM_ELIMIT);
}

/* --- what is told --------------------------------------------------------------------------------------------------- */

/* The recorded answer, its validators with a quarter of the power each, the second of them this node's. */
static int setup(void **state)
{
    (void)state;
    memset(&watched, 0, sizeof(watched));
    hypermesh__abci__commit_info__init(&watched.commit);
    watched.commit.votes = watched.list;
    watched.commit.n_votes = SET;
    for (unsigned i = 0; i < SET; i++) {
        hypermesh__abci__vote_info__init(&watched.votes[i]);
        hypermesh__abci__validator__init(&watched.validators[i]);
        memset(watched.addresses[i], (int)i + 1, ENGINE_ADDRESS_BYTES);
        memcpy(watched.addresses[i], starts[i], ENGINE_ROUNDS_START_BYTES);
        watched.validators[i].address = wire_bytes(watched.addresses[i], ENGINE_ADDRESS_BYTES);
        watched.validators[i].power = 2000;
        watched.votes[i].validator = &watched.validators[i];
        watched.list[i] = &watched.votes[i];
    }
    said_begin(HM_LOG_INFO);
    assert_int_equal(engine_rounds_new(watched.addresses[1], &watched.rounds, NULL), 0);
    engine_rounds_set(watched.rounds, &watched.commit);
    assert_int_equal(read_with(NULL, NULL, &watched.state), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    said_end();
    engine_rounds_free(watched.rounds);
    return 0;
}

/* So many heights of this kind, a tenth of a second each. */
static void heights(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        watched.now_ms += SECOND / 10;
        watched.state.height++;
        engine_rounds_see(watched.rounds, &watched.state, watched.now_ms);
    }
}

static void votes(unsigned who, bool nil)
{
    struct engine_rounds_vote *vote = &watched.state.prevotes[who];

    memset(vote->block, 0, sizeof(vote->block));
    if (!nil)
        memcpy(vote->block, watched.state.valid, sizeof(vote->block));
}

static void who_votes_nil_is_told_once(void **state)
{
    (void)state;
    heights(ENGINE_ROUNDS_HEIGHTS - 1);
    assert_int_equal(said("validator"), 0);
    for (unsigned i = 0; i < 5; i++) /* a height counts once */
        engine_rounds_see(watched.rounds, &watched.state, watched.now_ms);
    assert_int_equal(said("validator"), 0);
    heights(1);
    assert_int_equal(said("validator 7823970afe120101010101010101010101010101 prevotes nil for "
                          "what the others accept: for the last 3 blocks looked at, up to block "
                          "135"),
                     1);
    heights(1000);
    assert_int_equal(said("validator"), 1);
    votes(0, false);
    heights(ENGINE_ROUNDS_HEIGHTS - 1);
    assert_int_equal(said("validator"), 1);
    heights(1);
    assert_int_equal(said("validator 7823970afe120101010101010101010101010101 prevotes as the "
                          "others again: for the last 3 blocks looked at, up to block 1138"),
                     1);
    heights(1000);
    assert_int_equal(said("validator"), 2);
}

/* A proposal that comes late now and then is no line; neither is one that comes and goes all the time, but for one in half a minute. */
static void little_is_not_told_and_much_not_often(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        votes(0, true);
        heights(ENGINE_ROUNDS_HEIGHTS - 1);
        votes(0, false);
        heights(1);
    }
    assert_int_equal(said("validator"), 0);
    for (unsigned i = 0; i < 100; i++) { /* a minute of it */
        votes(0, true);
        heights(ENGINE_ROUNDS_HEIGHTS);
        votes(0, false);
        heights(ENGINE_ROUNDS_HEIGHTS);
    }
    assert_int_equal(said("prevotes nil"), 2);
    assert_int_equal(said("again"), 2);
}

/* A vote that is not there says nothing. */
static void votes_that_come_later_do_not_count(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ENGINE_ROUNDS_HEIGHTS; i++) {
        watched.state.prevotes[0].there = false;
        heights(3);
        assert_int_equal(said("validator"), 0);
        watched.state.prevotes[0].there = true;
        heights(1);
    }
    assert_int_equal(said("prevotes nil"), 1);
}

/* Where no two thirds are for one block, nobody is wrong. */
static void without_two_thirds_nobody_is_told(void **state)
{
    (void)state;
    votes(3, true);
    heights(10);
    votes(3, false);
    watched.state.prevotes[3].there = false;
    heights(10);
    watched.state.prevotes[3].there = true;
    memset(watched.state.prevotes[3].block, 7, ENGINE_ROUNDS_START_BYTES);
    heights(10);
    votes(3, false);
    watched.state.has_valid = false;
    heights(10);
    watched.state.has_valid = true;
    watched.validators[0].power = 3000; /* a third */
    engine_rounds_set(watched.rounds, &watched.commit);
    heights(10);
    assert_int_equal(said("validator"), 0);
    watched.validators[0].power = 2999;
    engine_rounds_set(watched.rounds, &watched.commit);
    heights(ENGINE_ROUNDS_HEIGHTS);
    assert_int_equal(said("prevotes nil"), 1);
}

/* Nobody is named by a place that may be another's; who stays keeps what was counted. */
static void other_validators_than_known(void **state)
{
    Hypermesh__Abci__VoteInfo *first = watched.list[0];

    (void)state;
    heights(ENGINE_ROUNDS_HEIGHTS - 1);
    watched.list[0] = watched.list[1];
    watched.list[1] = first;
    engine_rounds_set(watched.rounds, &watched.commit);
    heights(10);
    watched.commit.n_votes = SET - 1;
    engine_rounds_set(watched.rounds, &watched.commit);
    heights(10);
    assert_int_equal(said("validator"), 0);
    watched.list[1] = watched.list[0];
    watched.list[0] = first;
    watched.commit.n_votes = SET;
    engine_rounds_set(watched.rounds, &watched.commit);
    heights(1);
    assert_int_equal(said("prevotes nil"), 1);
    /* Memory that is not there, and votes of nobody. */
    watched.list[2]->validator = NULL;
    hm_alloc_fail_at(1);
    engine_rounds_set(watched.rounds, &watched.commit);
    hm_alloc_fail_at(0);
    heights(10);
    engine_rounds_set(watched.rounds, &watched.commit);
    heights(10);
    watched.commit.n_votes = 0;
    engine_rounds_set(watched.rounds, &watched.commit);
    engine_rounds_set(watched.rounds, NULL);
    engine_rounds_set(NULL, NULL);
    assert_int_equal(engine_rounds_validators(watched.rounds), SET);
    assert_int_equal(said("validator"), 1);
}

static void late(unsigned step, uint64_t late_ms)
{
    watched.state.step = step;
    engine_rounds_late(watched.rounds, &watched.state, late_ms, watched.now_ms);
}

static void what_a_late_block_waits_for(void **state)
{
    (void)state;
    watched.now_ms = SECOND;
    late(1, SECOND);
    late(2, SECOND);
    assert_int_equal(said("waits"), 0); /* it has not begun */
    late(ENGINE_ROUNDS_PROPOSE, 501);
    assert_int_equal(said("block 132 waits in round 0 for the proposal of validator "
                          "c32f663c3a79"),
                     1);
    assert_int_equal(said("; no block for 501 ms, and something is to go into it"), 1);
    watched.now_ms += ENGINE_ROUNDS_LATE_AGAIN_MS - 1;
    late(ENGINE_ROUNDS_PREVOTE, SECOND);
    assert_int_equal(said("waits"), 1);
    watched.now_ms++;
    late(ENGINE_ROUNDS_PREVOTE, SECOND);
    assert_int_equal(said("for prevotes: 4 of 4 are here"), 1);
    watched.now_ms += ENGINE_ROUNDS_LATE_AGAIN_MS;
    late(ENGINE_ROUNDS_PRECOMMIT, 60 * SECOND); /* the longer, the less often */
    assert_int_equal(said("waits"), 2);
    watched.now_ms += 55 * SECOND;
    late(ENGINE_ROUNDS_PRECOMMIT, 60 * SECOND);
    assert_int_equal(said("for precommits: 1 of 4 are here"), 1);
    watched.now_ms += 60 * SECOND;
    late(ENGINE_ROUNDS_COMMIT, SECOND);
    assert_int_equal(said("for parts of itself"), 1);
    memcpy(watched.state.proposer, watched.addresses[1], ENGINE_ADDRESS_BYTES);
    watched.now_ms += 60 * SECOND;
    late(ENGINE_ROUNDS_PROPOSE, SECOND);
    assert_int_equal(said("(this node's); no block"), 1);
}

/* --- the thread ---------------------------------------------------------------------------------------------------- */

static struct script script;

static void wait_for(const char *words)
{
    for (unsigned i = 0; said(words) == 0; i++) {
        assert_true(i < WAIT_MS / 5);
        usleep(5000);
    }
}

static void answer(const char *what, const char *with)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    HM_CLEANUP(json) json_t *root = NULL;

    recorded(what, with, &text);
    assert_int_equal(json_read(hm_buf_slice(&text), ENGINE_RPC_DEPTH_MAX, "it", &root, NULL), 0);
    HM_AUTOFREE char *result = json_dumps(json_object_get(root, "result"), JSON_COMPACT);
    assert_non_null(result);
    assert_true(strlen(result) < sizeof(script.rpc.answer_round));
    memcpy(script.rpc.answer_round, result, strlen(result) + 1);
}

static uint64_t clock_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

/* Votes until that many questions came: a vote too soon after the last question asks none. */
static void vote_until(struct engine_rounds_run *run, unsigned questions)
{
    for (unsigned i = 0; atomic_load(&script.rpc.rounds) < questions; i++) {
        assert_true(i < WAIT_MS / 5);
        engine_rounds_voted(run);
        usleep(5000);
    }
}

/* As the application would with this node's vote, for one height after the other. Of two questions the first was looked at; on a
 * machine with much to do one may be given up, and it takes more heights. */
static void it_asks_when_this_node_votes(void **state)
{
    const struct engine_pool_options options = {.engine = &script.fix.options,
                                                .cometbft = &script.cometbft};
    struct engine_rounds_run *run = NULL;
    struct engine_pool *pool = NULL;
    unsigned height = 132;

    (void)state;
    script_init(&script, NULL, NULL);
    assert_int_equal(engine_pool_new(&options, &pool, NULL), 0);
    for (; said("prevotes nil") == 0; height++) {
        HM_AUTOFREE char *place = hm_asprintf("%u/0", height);
        unsigned before = atomic_load(&script.rpc.rounds);
        uint64_t start_ms = clock_ms();

        assert_true(height < 200);
        script.rpc.answer_round[0] = '\0';
        answer("132/0", place);
        script_rpc_open(&script);
        assert_int_equal(engine_rounds_start(script.rpc.path, pool, watched.rounds, &run, NULL), 0);
        engine_rounds_waits(run); /* but the pool has nothing: no reason to ask */
        engine_rounds_block(run);
        assert_int_equal(atomic_load(&script.rpc.rounds), before);
        vote_until(run, before + 2);
        assert_true(clock_ms() - start_ms >= ENGINE_ROUNDS_PACE_MS);
        engine_rounds_stop(run);
        script_rpc_close(&script);
    }
    assert_in_range(height, 132 + ENGINE_ROUNDS_HEIGHTS, 200);
    assert_int_equal(said("prevotes nil"), 1);
    engine_pool_free(pool);
    script_release(&script);
}

/* Something waits in the engine, and no block comes; another one does, and all is quiet. */
static void a_late_block_is_told(void **state)
{
    HM_AUTOFREE char *path = NULL;

    (void)state;
    script_init(&script, NULL, NULL);
    answer("132/0/6", "132/0/3");
    path = hm_asprintf("%s/abci.sock", script.dir);
    script.cometbft.abci_path = path;
    script_start(&script);
    script_rpc_open(&script);
    script_handshake_good(&script);
    struct engine_answer *waits = script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    wait_for("block 132 waits in round 0 for the proposal of validator c32f663c3a79");
    script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, 1);
    engine_fixture_expect_good(waits);
    unsigned asked = atomic_load(&script.rpc.rounds);
    usleep(2 * (useconds_t)ENGINE_ROUNDS_LATE_MS * 1000);
    assert_in_range(atomic_load(&script.rpc.rounds), asked, asked + 1);
    assert_int_equal(said("waits in round"), 1);
    script_release(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_engines_answer_is_read),
        cmocka_unit_test(what_is_none_is_refused),
        cmocka_unit_test(more_than_anybody_looks_at),
        cmocka_unit_test_setup_teardown(who_votes_nil_is_told_once, setup, teardown),
        cmocka_unit_test_setup_teardown(little_is_not_told_and_much_not_often, setup, teardown),
        cmocka_unit_test_setup_teardown(votes_that_come_later_do_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(without_two_thirds_nobody_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(other_validators_than_known, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_late_block_waits_for, setup, teardown),
        cmocka_unit_test_setup_teardown(it_asks_when_this_node_votes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_late_block_is_told, setup, teardown),
    };

    return cmocka_run_group_tests_name("engine_rounds", tests, NULL, NULL);
}
