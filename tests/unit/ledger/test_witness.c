/* What validators see of each other: the form of what they say, what an engine signs of it, whose votes a note may hold, when
 * they count, and the medians, which less than a third of the power cannot bend. */
#include "cluster_check.h"
#include "ledger_check.h"
#include "ledger_witness.h"
#include "witness_ops.h"

#include <stdio.h>
#include <stdlib.h>

#define VALIDATORS 4
static const enum fixture_role validators[VALIDATORS] = {ALICE, BOB, CAROL, DAVE};
static struct engine_model model;

static void params(Hypermesh__Params *out)
{
    stake_params(out);
    out->max_validators = FIXTURE_PEOPLE;
}

static int setup(void **state)
{
    static const struct fixture_options options = {.params = params};
    int rc = fixture_init(&fix, &options);

    (void)state;
    for (unsigned i = 0; rc == 0 && i < VALIDATORS; i++)
        good(validators[i], op_declare(&fix, validators[i], (1000 + i) * FIXTURE_HYPER, 0));
    if (rc == 0)
        engine_model_begin(&model, &fix);
    return rc;
}

/* --- form --- */

static int said_rc(const Hypermesh__VoteWitness *said)
{
    return ledger_witness_check(fixture_pack(&fix, &said->base), &fix.error);
}

static void test_form(void **state)
{
    Hypermesh__VoteWitness *said = witness_say(&fix, ALICE, 5);
    Hypermesh__WitnessEcho **echoes = said->echoes;
    Hypermesh__WitnessEcho *echo = echoes[1];
    ProtobufCBinaryData node = said->node;

    (void)state;
    assert_int_equal(said_rc(said), 0);
    assert_int_equal(ledger_witness_check((struct hm_slice){0}, NULL), HM_EINVAL);
    assert_int_equal(ledger_witness_check(hm_slice_of("\xff\xff", 2), NULL), HM_EPARSE);
    said->node.len = 19;
    assert_int_equal(said_rc(said), HM_EINVAL);
    said->node = echo->node;
    assert_int_equal(said_rc(said), HM_EINVAL);
    assert_non_null(strstr(fix.error.text, "oneself"));
    said->node = node;
    said->key.len = 31;
    assert_int_equal(said_rc(said), HM_EINVAL);
    said->key.len = 0;
    assert_int_equal(said_rc(said), HM_EINVAL);
    said->proof.len = 0;
    assert_int_equal(said_rc(said), 0); /* nobody is told whose the node is */
    said->clock_ms = (uint64_t)LEDGER_WITNESS_CLOCK_MAX_MS + 1;
    assert_int_equal(said_rc(said), HM_EINVAL);
    said->clock_ms--;
    assert_int_equal(said_rc(said), 0);
    echo->rtt_us = LEDGER_WITNESS_RTT_MAX_US + 1;
    assert_int_equal(said_rc(said), HM_EINVAL);
    echo->rtt_us--;
    echo->clock_ms = -LEDGER_WITNESS_CLOCK_MAX_MS - 1;
    assert_int_equal(said_rc(said), HM_EINVAL);
    echo->clock_ms = LEDGER_WITNESS_CLOCK_MAX_MS + 1;
    assert_int_equal(said_rc(said), HM_EINVAL);
    echo->clock_ms = INT64_MIN;
    assert_int_equal(said_rc(said), HM_EINVAL);
    echo->clock_ms = -LEDGER_WITNESS_CLOCK_MAX_MS;
    assert_int_equal(said_rc(said), 0);
    /* Out of order, twice, no id. */
    echoes[1] = echoes[2];
    echoes[2] = echo;
    assert_int_equal(said_rc(said), HM_EINVAL);
    echoes[1] = echo;
    assert_int_equal(said_rc(said), HM_EINVAL);
    said->n_echoes = 1;
    echoes[0]->node.len = 0;
    assert_int_equal(said_rc(said), HM_EINVAL);
    said->n_echoes = 0;
    assert_int_equal(said_rc(said), 0);
}

/* As many as are allowed fit the limit of bytes; one more does not count. */
static void test_most(void **state)
{
    Hypermesh__VoteWitness *said = witness_say(&fix, ALICE, LEDGER_WITNESS_CLOCK_MAX_MS);
    Hypermesh__WitnessEcho *list[LEDGER_WITNESS_ECHOES_MAX + 1];

    (void)state;
    for (unsigned i = 0; i <= LEDGER_WITNESS_ECHOES_MAX; i++) {
        uint8_t node[20] = {0xff, (uint8_t)(i >> 8), (uint8_t)i};

        list[i] = fixture_new(&fix, &hypermesh__witness_echo__descriptor);
        list[i]->node = fixture_keep(&fix, node, sizeof node);
        list[i]->rtt_us = LEDGER_WITNESS_RTT_MAX_US;
        list[i]->clock_ms = -LEDGER_WITNESS_CLOCK_MAX_MS;
    }
    said->echoes = list;
    said->n_echoes = LEDGER_WITNESS_ECHOES_MAX;
    assert_int_equal(said_rc(said), 0);
    said->n_echoes++;
    assert_int_equal(said_rc(said), HM_ELIMIT);
}

/* --- what the engine signs --- */

/* Of CometBFT 0.38.25 itself, with Alice's key, for height 5 of "test-1" (tests/unit/engine/test_cluster_witness.c tells it). */
static const char real_extension[] = "08e181c081a034121437cedc1744e27fc4e465da66ac497acd365ae9851a1"
                                     "90a14240edaae171d1ac5635b8a96af5fd59358a6"
                                     "ae3710e8071a190a145fcb4d413fd81ce6a0db52f4eea8112ab0f0211010d"
                                     "8041a190a14984ee6d3a20fe3b2f6ff8009a4aa8f"
                                     "2f6eb6316e10a0061a190a14a17a1748178101bb007be80cb20761cd142bb"
                                     "8a910f4031a190a14d57a8b0c0bda015dabe8f1dc"
                                     "8ad0a96f32af60bf1084071a190a14f5d8f947cca5b6cc3608990d9e8950b"
                                     "aba86c9b81090031a190a14fb365f2f14188f26be"
                                     "7eba36527a91167615430310bc052220e13482b97d32676a1d1a5cf2d75ba"
                                     "8ec3da9eb0250eebaeef27143c690e75c272a40df"
                                     "182283723f8b15cb3c6cae1135e87a1dd0e18f73044e9528fc2b33df776ed"
                                     "5f9b55057914919a1052bb3174c902cf5cacd4a23"
                                     "1e9ae347f6586e447e3f380c";
static const char real_signature[] = "83c33de97ac5e1135fdae2a12f46e9eb1711b30aef8edadfa84ad0e9cf837"
                                     "6bad9ead4e33f70ac078b95652f3ee9b8a9dc127c"
                                     "4f6c533e52e442e77e17064c05";

static void decode(const char *text, uint8_t *out, size_t len)
{
    assert_int_equal(strlen(text), 2 * len);
    assert_int_equal(hm_hex_decode(text, strlen(text), out, len, NULL), 0);
}

static int real_rc(const char *chain, uint64_t height, uint32_t round, struct hm_slice extension)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    struct crypto_ed25519_key key;
    uint8_t signature[64];

    stake_key(ALICE, &key);
    decode(real_signature, signature, sizeof signature);
    assert_int_equal(ledger_witness_sign_bytes(chain, height, round, extension, &bytes), 0);
    return crypto_ed25519_verify(key.public_key, bytes.data, bytes.len, signature);
}

static void test_signed_by_the_engine(void **state)
{
    uint8_t extension[sizeof real_extension / 2];
    const size_t len = sizeof extension;

    (void)state;
    decode(real_extension, extension, len);
    assert_int_equal(real_rc("test-1", 5, 0, hm_slice_of(extension, len)), 0);
    assert_int_equal(ledger_witness_check(hm_slice_of(extension, len), NULL), 0);
    assert_int_equal(real_rc("test-1", 5, 1, hm_slice_of(extension, len)), HM_EAUTH);
    assert_int_equal(real_rc("test-1", 4, 0, hm_slice_of(extension, len)), HM_EAUTH);
    assert_int_equal(real_rc("test-2", 5, 0, hm_slice_of(extension, len)), HM_EAUTH);
    assert_int_equal(real_rc("test-1", 5, 0, hm_slice_of(extension, len - 1)), HM_EAUTH);
}

/* --- a note's votes --- */

struct votes {
    Hypermesh__WitnessVote *list[FIXTURE_PEOPLE];
    size_t count;
};

static int vote_order(const void *a, const void *b)
{
    const Hypermesh__WitnessVote *const *left = a;
    const Hypermesh__WitnessVote *const *right = b;

    return memcmp((*left)->address.data, (*right)->address.data, 20);
}

/* Of these roles, a bit each, for the last block. */
static struct votes votes_of(uint32_t roles, uint32_t round)
{
    struct votes votes = {.count = 0};

    for (unsigned i = 0; i < FIXTURE_PEOPLE; i++) {
        if (roles >> i & 1)
            votes.list[votes.count++] = witness_vote(
                &fix, i, fixture_pack(&fix, &witness_say(&fix, i, 1000 + i)->base),
                check_info().height, round);
    }
    qsort(votes.list, votes.count, sizeof votes.list[0], vote_order);
    return votes;
}

#define ALL (1u << ALICE | 1u << BOB | 1u << CAROL | 1u << DAVE)

static Hypermesh__BlockNote *note_with(struct votes *votes)
{
    Hypermesh__BlockNote *note = fixture_new(&fix, &hypermesh__block_note__descriptor);

    note->time_ms = fix.next_ms;
    note->votes = fixture_take(&fix, (votes->count + 1) * sizeof *note->votes);
    memcpy(note->votes, votes->list, votes->count * sizeof *note->votes);
    note->n_votes = votes->count;
    return note;
}

/* A block with this note and a transfer. */
static int block_rc(const Hypermesh__BlockNote *note, uint32_t round, bool unjudged)
{
    const struct stake_votes votes = {.note = note, .round = round, .unjudged = unjudged};
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 1);
    struct hm_slice tx;
    int rc;

    fixture_resync(&fix);
    tx = fixture_tx(&fix, ERIN, &op, 1);
    rc = stake_block(&fix, &model, &votes, &tx, 1, NULL);
    if (rc == 0)
        assert_int_equal(fix.record->results[0]->code, 0);
    return rc;
}

static int with_votes(struct votes votes, uint32_t round)
{
    return block_rc(note_with(&votes), round, false);
}

/* NULL: none. */
static Hypermesh__WitnessView *view_now(void)
{
    struct ledger_view *view = check_view();
    Hypermesh__WitnessView *out = NULL;
    int rc = ledger_view_witness(view, &fix.arena, &out, NULL);

    assert_true(rc == 0 || rc == HM_ENOTFOUND);
    ledger_view_close(view);
    return out;
}

static uint64_t view_height(void)
{
    const Hypermesh__WitnessView *view = view_now();

    return view ? view->height : 0;
}

static struct hm_slice next_set(void)
{
    uint8_t hash[32];

    engine_model_hash(&model, hash);
    return wire_slice(fixture_keep(&fix, hash, sizeof hash));
}

static void later(uint64_t ms)
{
    fix.next_ms += ms;
}

static void test_counted(void **state)
{
    const Hypermesh__WitnessView *view;
    uint64_t time_ms;

    (void)state;
    assert_true(ledger_witness_due(fix.ledger, fix.next_ms));
    assert_int_equal(with_votes(votes_of(0, 0), 0), 0);
    assert_null(view_now());
    time_ms = fix.next_ms;
    assert_int_equal(with_votes(votes_of(ALL, 3), 3), 0);
    view = view_now();
    assert_non_null(view);
    assert_int_equal(view->height, check_info().height);
    assert_int_equal(view->time_ms, time_ms);
    assert_int_equal(view->voters, 4);
    assert_int_equal(view->power_ppm, 1000000);
    assert_int_equal(view->clock_ms,
                     1002); /* power 1000 and 1001 say less: not half of 4006; Carol's 1002 */
    assert_int_equal(view->n_nodes, FIXTURE_PEOPLE);
    for (size_t i = 0; i < view->n_nodes; i++) {
        const Hypermesh__WitnessNode *node = view->nodes[i];

        assert_int_equal(node->doubts, 0);
        assert_int_equal(node->clock_ms, 0);
        assert_true(node->rtt_us >= 300);
        assert_int_equal(node->claims_rtt_us > 0, node->address.len == 20);
        assert_int_equal(node->seen_ppm == 1000000, node->address.len == 0);
        assert_true(i == 0 || memcmp(view->nodes[i - 1]->node.data, node->node.data, 20) < 0);
    }
    /* Too soon, to the millisecond. */
    assert_false(ledger_witness_due(fix.ledger, time_ms + LEDGER_WITNESS_EVERY_MS - 1));
    assert_true(ledger_witness_due(fix.ledger, time_ms + LEDGER_WITNESS_EVERY_MS));
    fix.next_ms = time_ms + LEDGER_WITNESS_EVERY_MS - 1;
    assert_int_equal(with_votes(votes_of(ALL, 0), 0), HM_EINVAL);
    assert_non_null(strstr(fix.error.text, "10000 ms"));
    fix.next_ms++;
    assert_int_equal(with_votes(votes_of(ALL, 0), 0), 0);
    assert_int_equal(view_height(), check_info().height);
    replays();
}

/* Each of these no honest node lets pass; decided all the same, it changes nothing but what its transaction does. */
static void is_refused(struct votes votes, uint32_t round, const char *words)
{
    uint64_t height = view_height();
    const Hypermesh__BlockNote *note = note_with(&votes);

    if (block_rc(note, round, false) == 0)
        fail_msg("taken, though %s", words);
    if (!strstr(fix.error.text, words))
        fail_msg("\"%s\" is not in: %s", words, fix.error.text);
    assert_int_equal(block_rc(note, round, true), 0);
    assert_int_equal(view_height(), height);
}

static void test_refused(void **state)
{
    struct votes votes;

    (void)state;
    assert_int_equal(with_votes(votes_of(0, 0), 0), 0);
    is_refused(votes_of(1u << ALICE | 1u << BOB, 0), 0, "two thirds");
    is_refused(votes_of(1u << CAROL | 1u << DAVE, 0), 0, "two thirds");
    is_refused(votes_of(ALL | 1u << ERIN, 0), 0, "nobody who voted");
    is_refused(votes_of(ALL, 0), 1, "signature");
    is_refused(votes_of(ALL, 1), 0, "signature");
    votes = votes_of(ALL, 0);
    votes.list[1] = votes.list[0];
    is_refused(votes, 0, "nobody who voted, or not in the order");
    votes = votes_of(ALL, 0);
    votes.list[0] = votes_of(ALL, 0).list[1];
    votes.list[1] = votes_of(ALL, 0).list[0];
    is_refused(votes, 0, "not in the order");
    votes = votes_of(ALL, 0);
    votes.list[2]->signature.len = 63;
    is_refused(votes, 0, "64 bytes");
    votes = votes_of(ALL, 0);
    votes.list[2]->address.len = 21;
    is_refused(votes, 0, "20 bytes");
    votes = votes_of(ALL, 0);
    votes.list[2]->address = (ProtobufCBinaryData){0};
    is_refused(votes, 0, "20 bytes");
    /* Another's signature, though all is in order. */
    votes = votes_of(ALL, 0);
    votes.list[2]->signature = votes.list[3]->signature;
    is_refused(votes, 0, "not its validator's");
    /* Of a block before. */
    votes = votes_of(ALL, 0);
    assert_int_equal(with_votes(votes_of(0, 0), 0), 0);
    is_refused(votes, 0, "signature");
    assert_null(view_now());
    assert_int_equal(with_votes(votes_of(1u << ALICE | 1u << CAROL | 1u << DAVE, 0), 0), 0);
    assert_int_equal(view_now()->voters, 3);
    replays();
}

/* What a validator may sign that is no witness. */
static void test_rubbish_is_refused(void **state)
{
    static uint8_t long_one[LEDGER_WITNESS_MAX_BYTES + 1];
    const struct hm_slice rubbish[] = {
        {0}, hm_slice_of("x", 1), hm_slice_of(long_one, sizeof long_one)};

    (void)state;
    assert_int_equal(with_votes(votes_of(0, 0), 0), 0);
    for (size_t i = 0; i < HM_COUNT_OF(rubbish); i++) {
        struct votes votes = votes_of(ALL & ~(1u << ALICE), 0);
        Hypermesh__BlockNote note = HYPERMESH__BLOCK_NOTE__INIT;

        votes.list[votes.count++] = witness_vote(&fix, ALICE, rubbish[i], check_info().height, 0);
        qsort(votes.list, votes.count, sizeof votes.list[0], vote_order);
        assert_int_equal(ledger_witness_choose(fix.ledger,
                                               (const Hypermesh__WitnessVote *const *)votes.list,
                                               votes.count, 0, next_set(), &fix.arena, &note, NULL),
                         0);
        assert_int_equal(note.n_votes, 3);
        is_refused(votes, 0, "vote");
    }
}

/* An idle mesh stays idle: neither a block without transactions nor one whose transactions nobody pays for takes votes. */
static void test_only_with_who_pays(void **state)
{
    struct stake_votes votes = {0};
    struct votes all = votes_of(0, 0);
    struct ledger_info before;
    struct hm_slice items[1];
    struct ledger_proposal proposal;
    Hypermesh__EngineFacts *facts;
    Hypermesh__Operation *op;
    struct hm_slice tx;
    uint8_t hash[32];

    (void)state;
    assert_int_equal(with_votes(all, 0), 0);
    all = votes_of(ALL, 0);
    /* A note alone. */
    items[0] = cluster_note_item(&fix, note_with(&all));
    facts = cluster_facts(&fix, check_info().height + 1);
    engine_model_hash(&model, hash);
    facts->next_validators_hash = fixture_keep(&fix, hash, sizeof hash);
    cluster_propose(&fix, facts, items, 1, &proposal);
    assert_int_equal(ledger_process(fix.ledger, &proposal, &fix.error), HM_EINVAL);
    assert_non_null(strstr(fix.error.text, "no batch follows"));
    /* Before a batch that is good, but whose transaction is too old to pay. */
    fixture_resync(&fix);
    op = op_transfer(&fix, BOB, 1);
    tx = fixture_tx(&fix, ERIN, &op, 1);
    later(10 * 60 * 1000);
    before = check_info();
    votes.note = note_with(&all);
    assert_int_equal(stake_block(&fix, &model, &votes, &tx, 1, NULL), 0);
    assert_int_not_equal(fix.record->results[0]->code, 0);
    assert_null(view_now());
    assert_memory_equal(check_info().state_root, before.state_root, 32);
    replays();
}

/* The pool of waiting items takes no note with votes or links, and no long one. */
static void test_not_in_the_pool(void **state)
{
    const struct hm_slice request = cluster_request(&fix, check_info().height + 1, 1);
    Hypermesh__BlockNote *note;
    struct votes votes;

    (void)state;
    assert_int_equal(ledger_check_item(fix.ledger, request, fix.next_ms, &fix.error), 0);
    assert_true(request.len <= LEDGER_NOTE_REQUEST_MAX_BYTES);
    assert_int_equal(WIRE_UNPACK(hypermesh__block_note,
                                 hm_slice_of(request.data + 1, request.len - 1), request.len,
                                 &fix.arena, &note, NULL),
                     0);
    note->vdf = fixture_new(&fix, &hypermesh__vdf_link__descriptor);
    assert_int_equal(
        ledger_check_item(fix.ledger, cluster_note_item(&fix, note), fix.next_ms, &fix.error),
        HM_EINVAL);
    assert_non_null(strstr(fix.error.text, "neither votes nor links"));
    note->vdf = NULL;
    votes = votes_of(ALL, 0);
    note->votes = votes.list;
    note->n_votes = votes.count;
    assert_int_equal(
        ledger_check_item(fix.ledger, cluster_note_item(&fix, note), fix.next_ms, &fix.error),
        HM_ELIMIT);
}

/* A set that the ledger does not share says nothing. */
static void test_another_set(void **state)
{
    struct stake_votes votes = {.other_set = true};
    struct votes all;
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 1);
    struct hm_slice tx;

    (void)state;
    assert_int_equal(with_votes(votes_of(0, 0), 0), 0);
    all = votes_of(ALL, 0);
    votes.note = note_with(&all);
    fixture_resync(&fix);
    tx = fixture_tx(&fix, ERIN, &op, 1);
    assert_int_equal(stake_block(&fix, &model, &votes, &tx, 1, NULL), HM_EINVAL);
    assert_non_null(strstr(fix.error.text, "not known"));
}

static void did(enum fixture_role who, Hypermesh__Operation *op)
{
    const Hypermesh__TxResult *result = stake_do(&fix, &model, who, op);

    if (!result || result->code)
        fail_msg("block: %s", result ? result->text : fix.error.text);
}

/* Validators come and go: the votes for a block are those of the set that voted for it, whatever was told since. */
static void test_sets_change(void **state)
{
    unsigned sizes[FIXTURE_PEOPLE + 1] = {0};

    (void)state;
    for (unsigned block = 0; block < 30; block++) {
        const struct engine_set *set = engine_model_voting(&model, check_info().height + 1);
        uint32_t roles = 0;

        for (unsigned who = 0; who < FIXTURE_PEOPLE; who++) {
            struct crypto_ed25519_key key;

            stake_key((enum fixture_role)who, &key);
            for (size_t i = 0; i < set->count; i++)
                roles |= memcmp(set->members[i].key, key.public_key, 32) == 0 ? 1u << who : 0;
        }
        sizes[set->count]++;
        later(LEDGER_WITNESS_EVERY_MS);
        if (block == 1 || block == 9)
            did(block == 1 ? ERIN : FRANK,
                op_declare(&fix, block == 1 ? ERIN : FRANK, 900 * FIXTURE_HYPER, 0));
        else if (block == 17)
            did(ALICE, op_retire_validator(&fix));
        else {
            if (with_votes(votes_of(roles, block % 2), block % 2))
                fail_msg("block %u, %zu validators: %s", block, set->count, fix.error.text);
            assert_int_equal(view_height(), check_info().height);
            assert_int_equal(view_now()->voters, set->count);
        }
    }
    assert_true(sizes[4] > 0 && sizes[3] + sizes[5] > 0);
    replays();
}

/* Every bit of what is said counts, and of who says it. */
static void test_every_byte(void **state)
{
    struct votes votes;
    Hypermesh__BlockNote *note;
    struct ledger_proposal proposal;
    Hypermesh__EngineFacts *facts;
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 1);
    struct hm_slice items[2];
    struct hm_slice tx;
    uint8_t hash[32];
    uint8_t *bytes;

    (void)state;
    assert_int_equal(with_votes(votes_of(0, 0), 0), 0);
    votes = votes_of(ALL & ~(1u << BOB), 0);
    note = note_with(&votes);
    fixture_resync(&fix);
    tx = fixture_tx(&fix, ERIN, &op, 1);
    items[0] = cluster_note_item(&fix, note);
    items[1] = fixture_batch(&fix, &tx, 1);
    facts = cluster_facts(&fix, check_info().height + 1);
    engine_model_hash(&model, hash);
    facts->next_validators_hash = fixture_keep(&fix, hash, sizeof hash);
    bytes = (uint8_t *)(uintptr_t)items[0].data; /* the fixture's own */
    for (size_t at = 8; at < items[0].len; at++) { /* after the time */
        bytes[at] ^= (uint8_t)(1u << at % 8);
        cluster_propose(&fix, facts, items, 2, &proposal);
        if (ledger_process(fix.ledger, &proposal, NULL) == 0)
            fail_msg("byte %zu may be changed", at);
        bytes[at] ^= (uint8_t)(1u << at % 8);
    }
    cluster_propose(&fix, facts, items, 2, &proposal);
    assert_int_equal(ledger_process(fix.ledger, &proposal, &fix.error), 0);
}

/* --- who is whose --- */

static const Hypermesh__WitnessNode *node_in(const Hypermesh__WitnessView *view, unsigned who)
{
    uint8_t node[20];

    witness_node(who, node);
    for (size_t i = 0; i < view->n_nodes; i++) {
        if (memcmp(view->nodes[i]->node.data, node, sizeof node) == 0)
            return view->nodes[i];
    }
    return NULL;
}

/* Dave says that Alice's node is his own, while Alice does not vote. Nothing of what he says is held against hers. */
static void test_nobody_speaks_for_another(void **state)
{
    struct votes votes;
    Hypermesh__VoteWitness *said;
    const Hypermesh__WitnessNode *node;
    uint8_t alice[20];

    (void)state;
    assert_int_equal(with_votes(votes_of(0, 0), 0), 0);
    votes = votes_of(1u << BOB | 1u << CAROL, 0);
    said = witness_say(&fix, DAVE, 9);
    witness_node(ALICE, alice);
    said->node = fixture_keep(&fix, alice, sizeof alice);
    for (size_t i = 0, kept = 0; i < said->n_echoes; i++) {
        if (memcmp(said->echoes[i]->node.data, alice, sizeof alice) != 0)
            said->echoes[kept++] = said->echoes[i];
    }
    said->n_echoes--;
    for (size_t i = 0; i < said->n_echoes; i++)
        said->echoes[i]->rtt_us = 300 * 1000 * 1000; /* from the moon */
    votes.list[votes.count++] = witness_vote(&fix, DAVE, fixture_pack(&fix, &said->base),
                                             check_info().height, 0);
    qsort(votes.list, votes.count, sizeof votes.list[0], vote_order);
    assert_int_equal(with_votes(votes, 0), 0);
    node = node_in(view_now(), ALICE);
    assert_non_null(node);
    assert_int_equal(node->doubts, 0);
    assert_int_equal(node->address.len, 0);
    /* With his own key, and a proof that is not of it: the same. */
    later(LEDGER_WITNESS_EVERY_MS);
    votes = votes_of(ALL & ~(1u << DAVE), 0);
    said = witness_say(&fix, DAVE, 9);
    said->proof.data[5] ^= 1;
    votes.list[votes.count++] = witness_vote(&fix, DAVE, fixture_pack(&fix, &said->base),
                                             check_info().height, 0);
    qsort(votes.list, votes.count, sizeof votes.list[0], vote_order);
    assert_int_equal(with_votes(votes, 0), 0);
    assert_int_equal(node_in(view_now(), DAVE)->address.len, 0);
    assert_int_equal(node_in(view_now(), DAVE)->claims_rtt_us, 0);
    assert_int_equal(node_in(view_now(), ALICE)->address.len, 20);
}

/* One of four says to be near everybody, and another's clock is half a minute ahead. */
static void test_shown(void **state)
{
    struct votes votes = {0};
    const Hypermesh__WitnessView *view;

    (void)state;
    assert_int_equal(with_votes(votes_of(0, 0), 0), 0);
    for (unsigned i = 0; i < VALIDATORS; i++) {
        Hypermesh__VoteWitness *said = witness_say(&fix, validators[i], 5000);

        for (size_t e = 0; e < said->n_echoes; e++)
            said->echoes[e]->rtt_us = validators[i] == BOB ? 900 : 120000;
        if (validators[i] != ERIN)
            witness_echo(said, ERIN)->clock_ms = 30000;
        votes.list[votes.count++] = witness_vote(
            &fix, validators[i], fixture_pack(&fix, &said->base), check_info().height, 0);
    }
    qsort(votes.list, votes.count, sizeof votes.list[0], vote_order);
    assert_int_equal(with_votes(votes, 0), 0);
    view = view_now();
    assert_int_equal(node_in(view, BOB)->doubts, LEDGER_WITNESS_DOUBT_RTT);
    assert_int_equal(node_in(view, BOB)->claims_rtt_us, 900);
    assert_int_equal(node_in(view, BOB)->rtt_us, 120000);
    assert_int_equal(node_in(view, ERIN)->doubts, LEDGER_WITNESS_DOUBT_CLOCK);
    assert_int_equal(node_in(view, ERIN)->clock_ms, 30000);
    assert_int_equal(node_in(view, ALICE)->doubts, 0);
    assert_int_equal(node_in(view, CAROL)->doubts, 0);
    assert_int_equal(node_in(view, FRANK)->doubts, 0);
}

/* --- memory --- */

/* Without memory a proposal is not judged and a block not applied; nothing is half done. */
static void test_no_memory(void **state)
{
    struct votes votes;
    Hypermesh__BlockNote note = HYPERMESH__BLOCK_NOTE__INIT;
    struct hm_slice set;
    unsigned failed = 0;
    unsigned long at;

    (void)state;
    assert_int_equal(with_votes(votes_of(0, 0), 0), 0);
    votes = votes_of(ALL, 0);
    set = next_set();
    for (at = 1; at < 200; at++) {
        unsigned long before = hm_alloc_failures();
        int rc;

        hm_alloc_fail_at(at);
        rc = ledger_witness_choose(fix.ledger, (const Hypermesh__WitnessVote *const *)votes.list,
                                   votes.count, 0, set, &fix.arena, &note, NULL);
        hm_alloc_fail_at(0);
        if (hm_alloc_failures() == before)
            break;
        failed++;
        assert_true(rc == HM_ENOMEM || (rc == 0 && note.n_votes == VALIDATORS));
        note.n_votes = 0;
    }
    assert_true(failed > 0 && at < 200);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_form),
        CASE(test_most),
        CASE(test_signed_by_the_engine),
        CASE(test_counted),
        CASE(test_refused),
        CASE(test_rubbish_is_refused),
        CASE(test_only_with_who_pays),
        CASE(test_not_in_the_pool),
        CASE(test_another_set),
        CASE(test_sets_change),
        CASE(test_every_byte),
        CASE(test_nobody_speaks_for_another),
        CASE(test_shown),
        CASE(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
