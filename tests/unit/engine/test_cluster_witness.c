/* What goes with this node's votes, what of the others' goes into its proposals, and the links of the chain of delays: with an
 * engine played by a script, and with CometBFT itself, where it is installed, whose signatures the ledger then believes. */
#include "cluster_home.h"
#include "cluster_script.h"
#include "witness_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BOND_HYPER UINT64_C(1000)
#define WAIT_MS    30000
#define VALIDATORS 4

static const enum fixture_role validators[VALIDATORS] = {ALICE, BOB, CAROL, DAVE};
static struct engine_model model;
static uint8_t set_hash[32];

/* --- what a node says ------------------------------------------------------------------------------------------ */

static struct hm_slice say(struct fixture *f, unsigned who, uint64_t clock_ms)
{
    struct hm_slice bytes = fixture_pack(f, &witness_say(f, who, clock_ms)->base);

    assert_int_equal(ledger_witness_check(bytes, NULL), 0);
    return bytes;
}

static int view_of(struct fixture *f, Hypermesh__WitnessView **out)
{
    struct ledger_view *view;

    assert_int_equal(ledger_view_open(f->ledger, &view, NULL), 0);
    int rc = ledger_view_witness(view, &f->arena, out, NULL);
    ledger_view_close(view);
    return rc;
}

/* What is signed is the engine's message behind its length, as its own tools make it. */
static void what_is_signed_is_protobuf(void **state)
{
    static const uint64_t heights[] = {1, 127, 128, UINT64_C(1) << 40, INT64_MAX};
    static const size_t sizes[] = {0, 1, 127, 128, 20000};
    static const char *const names[] = {"a", "test-1", "0123456789-0123456789-0123456789"};
    static uint8_t extension[20000];

    (void)state;
    memset(extension, 0x5a, sizeof(extension));
    for (unsigned i = 0; i < 5 * 5 * 3 * 3; i++) {
        Hypermesh__Abci__CanonicalVoteExtension message =
            HYPERMESH__ABCI__CANONICAL_VOTE_EXTENSION__INIT;
        HM_CLEANUP(hm_buf) struct hm_buf made = {0};
        HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
        const uint32_t round = i % 3 == 2 ? INT32_MAX : i % 3;
        size_t length = 0, at = 0;

        message.extension = wire_bytes(extension, sizes[i / 3 % 5]);
        message.height = (int64_t)heights[i / 15 % 5];
        message.round = round;
        message.chain_id = (char *)(uintptr_t)names[i / 75];
        assert_int_equal(wire_pack(&message.base, &packed), 0);
        assert_int_equal(ledger_witness_sign_bytes(message.chain_id, heights[i / 15 % 5], round,
                                                   wire_slice(message.extension), &made),
                         0);
        for (unsigned shift = 0;; shift += 7) {
            length |= (size_t)(made.data[at] & 0x7f) << shift;
            if (made.data[at++] < 0x80)
                break;
        }
        assert_int_equal(length, packed.len);
        assert_int_equal(made.len - at, packed.len);
        assert_memory_equal(made.data + at, packed.data, packed.len);
    }
}

/* --- with a script ------------------------------------------------------------------------------------------------ */

static struct script script;

static void begin(void)
{
    for (unsigned i = 0; i < VALIDATORS; i++)
        engine_fixture_declare(&script.fix, validators[i], BOND_HYPER);
    script_start(&script);
    script_rpc_open(&script);
    script_handshake_good(&script);
    engine_model_begin(&model, &script.fix.chain);
    engine_model_hash(&model, set_hash);
    script.set_hash = set_hash;
}

/* Everybody's vote for the last block, signed as the engine signs. */
static Hypermesh__Abci__ExtendedCommitInfo *votes_for(uint64_t height, int32_t round)
{
    struct fixture *f = &script.fix.chain;
    Hypermesh__Abci__ExtendedCommitInfo *commit = fixture_new(
        f, &hypermesh__abci__extended_commit_info__descriptor);

    commit->round = round;
    commit->votes = fixture_take(f, VALIDATORS * sizeof(*commit->votes));
    for (unsigned i = 0; i < VALIDATORS; i++) {
        Hypermesh__Abci__ExtendedVoteInfo *vote = fixture_new(
            f, &hypermesh__abci__extended_vote_info__descriptor);
        const Hypermesh__WitnessVote *signed_vote = witness_vote(
            f, validators[i], say(f, validators[i], 1000000 + i), height, (uint32_t)round);

        vote->validator = fixture_new(f, &hypermesh__abci__validator__descriptor);
        vote->validator->address = signed_vote->address;
        vote->validator->power = (int64_t)BOND_HYPER;
        vote->vote_extension = signed_vote->extension;
        vote->extension_signature = signed_vote->signature;
        vote->flag = HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT;
        commit->votes[commit->n_votes++] = vote;
    }
    return commit;
}

/* A block with a transaction, and votes for the one before. */
static struct script_block *run_with(enum fixture_role who,
                                     Hypermesh__Abci__ExtendedCommitInfo *votes)
{
    unsigned before = script.fix.answered;
    struct engine_answer *answer = script_submit(&script, who);

    script_wait_items(&script, 1);
    script.votes = votes;
    script.round = votes ? votes->round : 0;
    struct script_block *block = script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, before + 1);
    engine_fixture_expect_good(answer);
    script.votes = NULL;
    script.round = 0;
    return block;
}

static uint64_t last_height(void)
{
    return script_ledger(&script).height;
}

static Hypermesh__BlockNote *note_of(const struct script_block *block)
{
    Hypermesh__BlockNote *note;

    assert_true(block->count > 0 && ledger_item_is_note(block->items[0]));
    assert_int_equal(WIRE_UNPACK(hypermesh__block_note,
                                 hm_slice_of(block->items[0].data + 1, block->items[0].len - 1),
                                 LEDGER_NOTE_MAX_BYTES, &script.arena, &note, NULL),
                     0);
    return note;
}

static void later(uint64_t ms)
{
    script.bft_ms = script_ledger(&script).time_ms + ms;
    atomic_fetch_add(&script.fix.wall_ms, ms);
    script.fix.chain.next_ms += ms;
}

static void proposals_hold_votes(void **state)
{
    Hypermesh__WitnessView *view;
    Hypermesh__BlockNote *note;

    (void)state;
    begin();
    run_with(ALICE, NULL);
    assert_int_equal(view_of(&script.fix.chain, &view), HM_ENOTFOUND);
    /* The round of their votes is not the first. */
    struct script_block *block = run_with(ALICE, votes_for(last_height(), 2));
    note = note_of(block);
    assert_int_equal(note->n_votes, VALIDATORS);
    for (unsigned i = 1; i < VALIDATORS; i++)
        assert_true(memcmp(note->votes[i - 1]->address.data, note->votes[i]->address.data, 20) < 0);
    assert_int_equal(view_of(&script.fix.chain, &view), 0);
    assert_int_equal(view->height, block->height);
    assert_int_equal(view->voters, VALIDATORS);
    assert_int_equal(view->power_ppm, 1000000);
    assert_int_equal(view->n_nodes, FIXTURE_PEOPLE);
    unsigned known = 0;
    for (size_t i = 0; i < view->n_nodes; i++) {
        known += view->nodes[i]->address.len == 20;
        assert_int_equal(view->nodes[i]->doubts, 0);
    }
    assert_int_equal(known, VALIDATORS);
    /* Not again so soon, */
    block = run_with(ALICE, votes_for(last_height(), 0));
    assert_int_equal(note_of(block)->n_votes, 0);
    assert_int_equal(view_of(&script.fix.chain, &view), 0);
    assert_int_equal(view->height, block->height - 1);
    /* nor in a block without transactions, */
    later(LEDGER_WITNESS_EVERY_MS);
    struct ledger_info info = script_ledger(&script);
    script.votes = votes_for(last_height(), 0);
    block = script_run(&script, SCRIPT_WHOLE);
    assert_int_equal(note_of(block)->n_votes, 0);
    assert_memory_equal(script_ledger(&script).state_root, info.state_root, 32);
    /* but later. */
    block = run_with(ALICE, votes_for(last_height(), 0));
    assert_int_equal(note_of(block)->n_votes, VALIDATORS);
    assert_int_equal(view_of(&script.fix.chain, &view), 0);
    assert_int_equal(view->height, block->height);
}

/* What the engine would never give: this node's proposals go on without. */
static void bad_votes_are_left_out(void **state)
{
    Hypermesh__Abci__ExtendedCommitInfo *votes;

    (void)state;
    begin();
    run_with(ALICE, NULL);
    /* One is bad: the others have three quarters of the power. */
    votes = votes_for(last_height(), 0);
    votes->votes[1]->extension_signature.data[9] ^= 1;
    assert_int_equal(note_of(run_with(ALICE, votes))->n_votes, VALIDATORS - 1);
    later(LEDGER_WITNESS_EVERY_MS);
    /* Two are: not enough is left. */
    votes = votes_for(last_height(), 0);
    votes->votes[0]->vote_extension.len--;
    votes->votes[3]->flag = HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_NIL;
    assert_int_equal(note_of(run_with(ALICE, votes))->n_votes, 0);
    votes = votes_for(last_height(), 0);
    votes->votes[0]->validator->address.len = 19;
    votes->votes[1]->validator->address.data[0] ^= 1;
    assert_int_equal(note_of(run_with(ALICE, votes))->n_votes, 0);
    /* Of another block, or round. */
    assert_int_equal(note_of(run_with(ALICE, votes_for(last_height() - 1, 0)))->n_votes, 0);
    votes = votes_for(last_height(), 1);
    votes->round = 0;
    assert_int_equal(note_of(run_with(ALICE, votes))->n_votes, 0);
    /* No room: the batch goes first. */
    votes = votes_for(last_height(), 0);
    script.max_tx_bytes = 5000;
    assert_int_equal(note_of(run_with(ALICE, votes))->n_votes, 0);
    script.max_tx_bytes = 4 << 20;
    /* An engine with other validators than the ledger told it. */
    votes = votes_for(last_height(), 0);
    script.set_hash = NULL;
    assert_int_equal(note_of(run_with(ALICE, votes))->n_votes, 0);
    script.set_hash = set_hash;
    assert_int_equal(note_of(run_with(ALICE, votes_for(last_height(), 0)))->n_votes, VALIDATORS);
}

static struct hm_slice with_note(const Hypermesh__BlockNote *note)
{
    HM_CLEANUP(hm_buf) struct hm_buf item = {0};

    assert_int_equal(ledger_note_pack(note, &item, NULL), 0);
    return hm_slice_of(hm_arena_dup(&script.arena, item.data, item.len), item.len);
}

/* Another's proposal with votes that are not right is refused, whichever byte it is. */
static void others_are_judged(void **state)
{
    struct hm_slice items[2];
    Hypermesh__BlockNote *note;

    (void)state;
    begin();
    run_with(ALICE, NULL);
    script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    script.votes = votes_for(last_height(), 0);
    items[1] = hm_buf_slice(&script.rpc.items[0]);
    /* As this node would propose it, but not decided. */
    assert_null(script_run(&script, SCRIPT_AFTER_PROCESS));
    {
        Hypermesh__BlockNote fresh = HYPERMESH__BLOCK_NOTE__INIT;
        const Hypermesh__WitnessVote *list[VALIDATORS];

        fresh.time_ms = script.bft_ms + 1000;
        for (unsigned i = 0; i < VALIDATORS; i++) {
            Hypermesh__WitnessVote *vote = fixture_new(&script.fix.chain,
                                                       &hypermesh__witness_vote__descriptor);
            vote->address = script.votes->votes[i]->validator->address;
            vote->extension = script.votes->votes[i]->vote_extension;
            vote->signature = script.votes->votes[i]->extension_signature;
            list[i] = vote;
        }
        assert_int_equal(ledger_witness_choose(script.fix.options.ledger, list, VALIDATORS, 0,
                                               hm_slice_of(set_hash, 32), &script.arena, &fresh,
                                               NULL),
                         0);
        assert_int_equal(fresh.n_votes, VALIDATORS);
        items[0] = with_note(&fresh);
        note = hm_arena_dup(&script.arena, &fresh, sizeof(fresh));
    }
    atomic_store(&script.fix.wall_ms, note->time_ms);
    assert_true(script_accepts(&script, items, 2));
    assert_false(script_accepts(&script, items, 1)); /* nothing follows it */
    script.round = 1;
    assert_false(script_accepts(&script, items, 2));
    script.round = 0;
    /* Every byte of one vote counts. */
    size_t size = note->votes[0]->extension.len + 64 + 20;
    uint8_t *first = items[0].len > 0 ? (uint8_t *)(uintptr_t)items[0].data : NULL;
    unsigned flipped = 0;
    for (size_t at = items[0].len - size; at < items[0].len; at++) {
        first[at] ^= 4;
        if (script_accepts(&script, items, 2))
            fail_msg("byte %zu of the note may be changed", at);
        first[at] ^= 4;
        flipped++;
    }
    assert_true(flipped > 200);
    assert_true(script_accepts(&script, items, 2));
}

/* --- this node's own ----------------------------------------------------------------------------------------------- */

struct said {
    struct hm_slice bytes;
    int rc;
    unsigned asked;
};

static int witness(void *ctx, struct hm_buf *out)
{
    struct said *said = ctx;

    said->asked++;
    return said->rc != 0 ? said->rc : hm_buf_append(out, said->bytes.data, said->bytes.len);
}

/* With the vote for a block of this time. */
static size_t extended_at(uint64_t time_ms)
{
    Hypermesh__Abci__RequestExtendVote request = HYPERMESH__ABCI__REQUEST_EXTEND_VOTE__INIT;
    Hypermesh__Abci__ResponseExtendVote answer = HYPERMESH__ABCI__RESPONSE_EXTEND_VOTE__INIT;
    struct hm_slice note = script_note(&script, time_ms);
    ProtobufCBinaryData txs[] = {wire_bytes(note.data, note.len)};

    request.txs = txs;
    request.n_txs = 1;
    assert_int_equal(
        script.handlers->extend_vote(script.handlers->ctx, &request, &script.arena, &answer, NULL),
        0);
    return answer.vote_extension.len;
}

static size_t extended(void)
{
    return extended_at(script_ledger(&script).time_ms + 1);
}

/* As the engine hears it. */
static int verified(size_t size)
{
    Hypermesh__Abci__RequestVerifyVoteExtension vote =
        HYPERMESH__ABCI__REQUEST_VERIFY_VOTE_EXTENSION__INIT;
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;
    struct hm_error error = {0};
    uint8_t *bytes = hm_arena_alloc(&script.arena, size + 1);

    memset(bytes, 7, size + 1);
    vote.vote_extension = wire_bytes(bytes, size);
    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_VERIFY_VOTE_EXTENSION;
    request.verify_vote_extension = &vote;
    const Hypermesh__Abci__Response *answer = script_call(&script, script.consensus, &request,
                                                          &error);
    assert_non_null(answer);
    return (int)answer->verify_vote_extension->status;
}

static void votes_say_what_the_node_saw(void **state)
{
    static uint8_t huge[LEDGER_WITNESS_MAX_BYTES + 1];
    struct said said = {0};

    (void)state;
    script.cometbft.witness = witness;
    script.cometbft.witness_ctx = &said;
    begin();
    said.bytes = say(&script.fix.chain, ALICE, 7);
    assert_int_equal(extended(), said.bytes.len);
    said.rc = HM_EBUSY;
    assert_int_equal(extended(), 0);
    said.rc = 0;
    said.bytes = hm_slice_of(huge, sizeof(huge));
    assert_int_equal(extended(), 0);
    said.bytes = hm_slice_of("no witness", 10);
    assert_int_equal(extended(), 0);
    said.bytes = (struct hm_slice){0};
    assert_int_equal(extended(), 0);
    assert_int_equal(said.asked, 5);
    /* Of others any bytes are good, to a size. */
    const int accept = HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__ACCEPT;
    const int reject = HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__REJECT;
    assert_int_equal(verified(0), accept);
    assert_int_equal(verified(1), accept);
    assert_int_equal(verified(LEDGER_WITNESS_MAX_BYTES), accept);
    assert_int_equal(verified(LEDGER_WITNESS_MAX_BYTES + 1), reject);
    assert_int_equal(verified(1000000), reject);
}

/* Only with votes that a note may soon hold; by block times, whatever this node's clock says. */
static void votes_are_short_between(void **state)
{
    Hypermesh__WitnessView *view;
    struct said said = {0};

    (void)state;
    script.cometbft.witness = witness;
    script.cometbft.witness_ctx = &said;
    begin();
    said.bytes = say(&script.fix.chain, ALICE, 7);
    run_with(ALICE, NULL);
    run_with(ALICE, votes_for(last_height(), 0));
    assert_int_equal(view_of(&script.fix.chain, &view), 0);
    uint64_t due_ms = view->time_ms + LEDGER_WITNESS_EVERY_MS;
    assert_int_equal(extended(), 0);
    assert_int_equal(extended_at(due_ms - 5001), 0);
    assert_int_equal(said.asked, 0);
    assert_int_equal(extended_at(due_ms - 5000), said.bytes.len);
    assert_int_equal(extended_at(due_ms + 1000000), said.bytes.len);
    assert_int_equal(said.asked, 2);
}

static void nobody_is_asked(void **state)
{
    (void)state;
    begin();
    assert_int_equal(extended(), 0);
}

/* --- the chain of delays ---------------------------------------------------------------------------------------------- */

static int task_of(struct ledger *ledger, struct ledger_vdf_task *task)
{
    struct ledger_view *view;

    assert_int_equal(ledger_view_open(ledger, &view, NULL), 0);
    int rc = ledger_view_vdf_task(view, task, NULL);
    ledger_view_close(view);
    return rc;
}

static int link_of(struct fixture *f, Hypermesh__VdfLink **out)
{
    struct ledger_view *view;

    assert_int_equal(ledger_view_open(f->ledger, &view, NULL), 0);
    int rc = ledger_view_vdf(view, &f->arena, out, NULL);
    ledger_view_close(view);
    return rc;
}

static void compute(const struct ledger_vdf_task *task, uint8_t output[256], uint8_t proof[256])
{
    assert_int_equal(crypto_vdf_eval(task->input, task->steps, NULL, NULL, output, NULL), 0);
    assert_int_equal(crypto_vdf_prove(task->input, task->steps, output, NULL, NULL, proof, NULL),
                     0);
}

static void links_go_into_proposals(void **state)
{
    uint8_t output[256], proof[256];
    struct ledger_vdf_task task;
    Hypermesh__VdfLink *link;
    struct script_block *block;

    (void)state;
    begin();
    struct engine *engine = script.fix.engine;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(task_of(script.fix.options.ledger, &task), HM_ENOTFOUND);
        run_with(ALICE, NULL);
    }
    assert_int_equal(task_of(script.fix.options.ledger, &task), 0);
    assert_int_equal(task.index, 1);
    assert_int_equal(task.steps, 400);
    assert_int_equal(task.height, last_height());
    compute(&task, output, proof);
    assert_int_equal(
        engine_offer_vdf(engine, 0, hm_slice_of(output, 256), hm_slice_of(proof, 256), NULL),
        HM_EINVAL);
    assert_int_equal(
        engine_offer_vdf(engine, 1, hm_slice_of(output, 255), hm_slice_of(proof, 256), NULL),
        HM_EINVAL);
    assert_int_equal(
        engine_offer_vdf(engine, 1, hm_slice_of(output, 256), hm_slice_of(proof, 0), NULL),
        HM_EINVAL);
    /* A wrong one is kept to oneself. */
    proof[7] ^= 1;
    assert_int_equal(
        engine_offer_vdf(engine, 1, hm_slice_of(output, 256), hm_slice_of(proof, 256), NULL), 0);
    assert_null(note_of(run_with(ALICE, NULL))->vdf);
    proof[7] ^= 1;
    assert_int_equal(
        engine_offer_vdf(engine, 1, hm_slice_of(output, 256), hm_slice_of(proof, 256), NULL), 0);
    /* A block without transactions takes none. */
    struct ledger_info info = script_ledger(&script);
    assert_null(note_of(script_run(&script, SCRIPT_WHOLE))->vdf);
    assert_memory_equal(script_ledger(&script).state_root, info.state_root, 32);
    block = run_with(ALICE, NULL);
    assert_non_null(note_of(block)->vdf);
    assert_int_equal(link_of(&script.fix.chain, &link), 0);
    assert_int_equal(link->index, 1);
    assert_int_equal(link->linked_height, block->height);
    assert_memory_equal(link->output.data, output, 256);
    assert_int_equal(task_of(script.fix.options.ledger, &task), HM_ENOTFOUND);
    /* The old one is not said again; the next goes on from it. */
    for (unsigned i = 0; i < 3; i++)
        assert_null(note_of(run_with(ALICE, NULL))->vdf);
    assert_int_equal(task_of(script.fix.options.ledger, &task), 0);
    assert_int_equal(task.index, 2);
    assert_null(note_of(run_with(ALICE, NULL))->vdf);
}

/* --- with CometBFT itself ------------------------------------------------------------------------------------------------ */

static void renew_sessions(struct engine_fixture *fix)
{
    struct hm_slice txs[POOR];

    fix->chain.next_ms = home_now_ms() - 5000;
    for (unsigned i = 0; i < POOR; i++) {
        Hypermesh__Operation *op = op_grant(&fix->chain, fix->chain.people[i].session.public_key,
                                            ledger_scope_taken(fix->chain.ledger),
                                            fix->chain.next_ms + fix->chain.params.session_max_ms);

        txs[i] = fixture_root_tx(&fix->chain, (enum fixture_role)i, &op, 1);
    }
    Hypermesh__BatchHead *head = fixture_head(&fix->chain, NODE, txs, POOR, false);
    struct hm_slice item = fixture_seal_bare(&fix->chain, head, txs, POOR);
    assert_int_equal(fixture_block(&fix->chain, &item, 1), 0);
}

static int witness_now(void *ctx, struct hm_buf *out)
{
    const struct said *said = ctx;

    return hm_buf_append(out, said->bytes.data, said->bytes.len);
}

static void transfer_in_block(struct engine_fixture *fix)
{
    struct engine_receipt receipt;
    struct hm_error error = {0};

    home_set_time(fix);
    fixture_resync(&fix->chain);
    if (engine_submit_wait(fix->engine, engine_fixture_transfer(fix, BOB), &receipt, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(receipt.code, 0);
    engine_receipt_release(&receipt);
}

static void no_block_comes(struct engine_fixture *fix)
{
    const struct timespec while_idle = {.tv_sec = 1};
    struct ledger_info idle, after;

    (void)nanosleep(&while_idle, NULL);
    assert_int_equal(ledger_info(fix->options.ledger, &idle, NULL), 0);
    (void)nanosleep(&while_idle, NULL);
    assert_int_equal(ledger_info(fix->options.ledger, &after, NULL), 0);
    assert_int_equal(after.height, idle.height);
}

/* For who makes the vectors of tests/unit/ledger/test_witness.c anew. */
static void tell_vector(struct fixture *f, uint64_t height)
{
    Hypermesh__Block *message;
    Hypermesh__BlockNote *note;
    struct ledger_view *view;
    struct hm_slice block;
    char text[2 * 512 + 1];

    assert_int_equal(ledger_view_open(f->ledger, &view, NULL), 0);
    assert_int_equal(ledger_view_block(view, height, &f->arena, &block, NULL, NULL), 0);
    assert_int_equal(WIRE_UNPACK(hypermesh__block, block, block.len, &f->arena, &message, NULL), 0);
    assert_int_equal(WIRE_UNPACK(hypermesh__block_note,
                                 hm_slice_of(message->items[0].data + 1, message->items[0].len - 1),
                                 LEDGER_NOTE_MAX_BYTES, &f->arena, &note, NULL),
                     0);
    assert_int_equal(note->n_votes, 1);
    assert_true(note->votes[0]->extension.len <= 512);
    print_message("votes for height %llu\n", (unsigned long long)height - 1);
    hm_hex_encode(note->votes[0]->extension.data, note->votes[0]->extension.len, text);
    print_message("extension %s\n", text);
    hm_hex_encode(note->votes[0]->signature.data, 64, text);
    print_message("signature %s\n", text);
    ledger_view_close(view);
}

static void the_engine_signs_so(void **state)
{
    static struct engine_fixture fix;
    struct engine_cometbft_options cometbft = {0};
    HM_CLEANUP(hm_buf) struct hm_buf genesis = {0};
    Hypermesh__WitnessView *view = NULL;
    Hypermesh__VdfLink *link = NULL;
    char dir[] = "/tmp/hm-witness-XXXXXX";
    struct ledger_vdf_task task;
    struct hm_error error = {0};
    struct said said = {0};
    const char *program = home_find_engine();
    struct home home;

    (void)state;
    if (program == NULL)
        skip();
    assert_non_null(mkdtemp(dir));
    home_init(&home, dir, 0);
    engine_fixture_init(&fix, NULL);
    renew_sessions(&fix);
    engine_fixture_declare(&fix, ALICE, BOND_HYPER);
    stake_key(ALICE, &home.validator);
    stake_address(home.validator.public_key, home.address);
    home_genesis(&home, 1, fix.chain.ledger, &genesis);
    home_write(&home, 1, 0, hm_buf_slice(&genesis));
    said.bytes = say(&fix.chain, ALICE, home_now_ms());
    cometbft.rpc_path = home.rpc;
    cometbft.abci_path = home.abci;
    cometbft.answer_ms = WAIT_MS;
    cometbft.witness = witness_now;
    cometbft.witness_ctx = &said;
    memcpy(cometbft.validator_address, home.address, sizeof(home.address));
    home_set_time(&fix);
    if (engine_cometbft_open(&fix.options, &cometbft, &fix.engine, &error) != 0)
        fail_msg("%s", error.text);
    struct engine_process *process = home_start(&home, program, fix.engine);
    for (unsigned i = 0; i < 20 && view == NULL; i++) {
        transfer_in_block(&fix);
        if (view_of(&fix.chain, &view) != 0)
            view = NULL;
    }
    assert_non_null(view);
    tell_vector(&fix.chain, view->height);
    assert_int_equal(view->voters, 1);
    assert_int_equal(view->n_nodes, FIXTURE_PEOPLE - 1);
    assert_int_equal(view->nodes[0]->seen_ppm, 1000000);
    for (unsigned i = 0; i < 20 && task_of(fix.options.ledger, &task) != 0; i++)
        transfer_in_block(&fix);
    uint8_t output[256], proof[256];
    assert_int_equal(task_of(fix.options.ledger, &task), 0);
    compute(&task, output, proof);
    assert_int_equal(engine_offer_vdf(fix.engine, task.index, hm_slice_of(output, 256),
                                      hm_slice_of(proof, 256), NULL),
                     0);
    no_block_comes(&fix);
    transfer_in_block(&fix);
    assert_int_equal(link_of(&fix.chain, &link), 0);
    assert_int_equal(link->index, task.index);
    assert_memory_equal(link->output.data, output, 256);
    no_block_comes(&fix);
    assert_int_equal(fix.failures, 0);
    engine_process_stop(process);
    engine_fixture_release(&fix);
    assert_int_equal(hm_remove_tree(dir, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed_is_protobuf),
        script_test(proposals_hold_votes, &script),
        script_test(bad_votes_are_left_out, &script),
        script_test(others_are_judged, &script),
        script_test(votes_say_what_the_node_saw, &script),
        script_test(votes_are_short_between, &script),
        script_test(nobody_is_asked, &script),
        script_test(links_go_into_proposals, &script),
        script_test(the_engine_signs_so, &script),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
