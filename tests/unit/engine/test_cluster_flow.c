/* A transaction's way through a cluster's engine: queued, sealed, handed over, in a block, answered once. */
#include "cluster_script.h"

#include <stdio.h>

static struct script script;

static void begin(void)
{
    script_start(&script);
    script_rpc_open(&script);
    script_handshake_good(&script);
}

static void one_transaction_one_block(void **state)
{
    struct engine_status status;

    (void)state;
    begin();
    struct ledger_info before = script_ledger(&script);
    struct engine_answer *answer = script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    assert_int_equal(answer->calls, 0); /* nothing is answered before it is in a block */
    struct script_block *block = script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, 1);
    engine_fixture_expect_good(answer);
    struct ledger_info after = script_ledger(&script);
    assert_int_equal(after.height, before.height + 1);
    assert_int_equal(answer->receipt.block.height, after.height);
    assert_int_equal(answer->receipt.block.height, block->height);
    assert_memory_equal(answer->receipt.block.hash, after.block_hash, 32);
    assert_memory_equal(answer->receipt.block.state_root, after.state_root, 32);
    assert_memory_equal(block->app_hash, after.state_root, 32);
    assert_int_equal(answer->receipt.block.txs, 1);
    assert_true(answer->receipt.fee > 0);

    engine_get_status(script.fix.engine, &status);
    assert_string_equal(status.name, "cometbft");
    assert_string_equal(status.engine_version, "0.38.25");
    assert_false(status.failed);
    assert_int_equal(status.blocks, 1);
    assert_int_equal(status.txs, 1);
    assert_int_equal(status.height, after.height);
    assert_int_equal(status.block_time_ms, after.time_ms);
    assert_int_equal(status.queued, 0);
    assert_int_equal(status.pending, 0);
    assert_int_equal(status.starts, 1);
    assert_true(status.busy_ns > 0);
    assert_true(status.reachable);
    assert_int_equal(status.peers, 3);
    assert_true(status.catching_up);
    assert_true(status.validator);
    assert_int_equal(status.engine_height, 77);
    assert_int_equal(script.fix.blocks, 1);
}

/* Who retired voted for the last block, and does not for the next: that the engine says, not its last block. */
static void who_votes_next_is_a_validator(void **state)
{
    struct engine_status status;

    (void)state;
    begin();
    script_run(&script, SCRIPT_WHOLE);
    script_run(&script, SCRIPT_WHOLE);
    script.rpc.retired = true;
    engine_get_status(script.fix.engine, &status);
    assert_true(status.reachable);
    assert_false(status.validator);
}

/* The header holds what the engine said, and the ledger's chain of hashes goes on through it. */
static void headers_bind_the_engines_block(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__BlockHeader *header;
    struct ledger_view *view;
    Hypermesh__Block *block;
    struct hm_slice bytes;
    uint8_t hash[32];

    (void)state;
    begin();
    struct ledger_info before = script_ledger(&script);
    script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    script_run(&script, SCRIPT_WHOLE);
    script.absent = true;
    struct ledger_info middle = script_ledger(&script);
    struct script_block *last = script_run(&script, SCRIPT_WHOLE);
    hm_arena_init(&arena, 0);
    assert_int_equal(ledger_view_open(script.fix.chain.ledger, &view, NULL), 0);
    for (uint64_t height = before.height + 1; height <= last->height; height++) {
        assert_int_equal(ledger_view_block(view, height, &arena, &bytes, NULL, NULL), 0);
        assert_int_equal(WIRE_UNPACK(hypermesh__block, bytes, bytes.len, &arena, &block, NULL), 0);
        assert_int_equal(WIRE_UNPACK(hypermesh__block_header, wire_slice(block->header),
                                     block->header.len, &arena, &header, NULL),
                         0);
        assert_non_null(header->engine);
        const struct ledger_info *previous = height == before.height + 1 ? &before : &middle;
        assert_memory_equal(header->previous_hash.data, previous->block_hash, 32);
        assert_memory_equal(header->previous_state_root.data, previous->state_root, 32);
        assert_int_equal(header->engine->hash.data[31], 0x5C);
        assert_int_equal(hm_get_be64(header->engine->hash.data), height);
        assert_int_equal(header->engine->proposer.data[0], 0xAD);
    }
    proof_block_hash(wire_slice(block->header), hash);
    assert_memory_equal(hash, script_ledger(&script).block_hash, 32);
    assert_int_equal(header->engine->bft_time_ms, last->bft_ms);
    assert_int_equal(header->engine->absent.len, 1);
    assert_int_equal(header->engine->absent.data[0], 1);
    ledger_view_close(view);
}

static void what_waits_becomes_one_batch(void **state)
{
    struct engine_answer *answers[10];

    (void)state;
    begin();
    engine_fixture_gate(&script.fix, true);
    answers[0] = script_submit(&script, ALICE);
    engine_fixture_wait_at_gate(&script.fix);
    for (size_t i = 1; i < HM_COUNT_OF(answers); i++)
        answers[i] = script_submit(&script, ALICE);
    engine_fixture_gate(&script.fix, false);
    script_wait_items(&script, 2);
    struct script_block *block = script_run(&script, SCRIPT_WHOLE);
    assert_int_equal(block->count, 3); /* the note, and two batches */
    assert_true(ledger_item_is_note(block->items[0]));
    engine_fixture_wait_answers(&script.fix, HM_COUNT_OF(answers));
    for (size_t i = 0; i < HM_COUNT_OF(answers); i++) {
        engine_fixture_expect_good(answers[i]);
        assert_int_equal(answers[i]->place, i + 1);
    }
}

/* Only so many batches of a node wait at once; what comes then waits together. */
static void batches_under_way_are_few(void **state)
{
    struct engine_status status;

    (void)state;
    begin();
    for (unsigned i = 0; i < ENGINE_CLUSTER_BATCHES; i++) {
        script_submit(&script, ALICE);
        script_wait_items(&script, i + 1);
    }
    for (unsigned i = 0; i < 3; i++)
        script_submit(&script, ALICE);
    engine_get_status(script.fix.engine, &status);
    assert_int_equal(status.queued, 3);
    assert_int_equal(status.pending, ENGINE_CLUSTER_BATCHES);
    script_run(&script, SCRIPT_WHOLE);
    script_wait_items(&script, 1);
    assert_int_equal(script_run(&script, SCRIPT_WHOLE)->count, 2);
    engine_fixture_wait_answers(&script.fix, ENGINE_CLUSTER_BATCHES + 3);
    for (unsigned i = 0; i < ENGINE_CLUSTER_BATCHES + 3; i++)
        engine_fixture_expect_good(&script.fix.answers[i]);
}

/* An empty block changes nothing that the engine could see, or blocks would never end. */
static void an_empty_block_changes_nothing(void **state)
{
    (void)state;
    begin();
    script_run(&script, SCRIPT_WHOLE); /* from the first on the state says that it is a cluster's */
    struct ledger_info before = script_ledger(&script);
    for (unsigned i = 0; i < 3; i++) {
        atomic_fetch_add(&script.fix.wall_ms, 5000);
        script_run(&script, SCRIPT_WHOLE);
    }
    struct ledger_info after = script_ledger(&script);
    assert_int_equal(after.height, before.height + 3);
    assert_memory_equal(after.state_root, before.state_root, 32);
    assert_int_equal(after.base_fee, before.base_fee);
    assert_int_equal(script_broadcasts(&script), 0); /* and nobody asks for more */
}

/* The block's time is the proposer's clock, not the engine's, which is a block behind. */
static void blocks_have_the_proposers_time(void **state)
{
    (void)state;
    begin();
    script_run(&script, SCRIPT_WHOLE);
    engine_fixture_pass(&script.fix, 86000);
    script_run(&script, SCRIPT_WHOLE);
    assert_int_equal(script_ledger(&script).time_ms, atomic_load(&script.fix.wall_ms));
    script.bft_ms = atomic_load(&script.fix.wall_ms) + 30000; /* most clocks are ahead of ours */
    struct script_block *block = script_run(&script, SCRIPT_WHOLE);
    assert_int_equal(script_ledger(&script).time_ms, block->bft_ms);
}

static void notes_are_judged(void **state)
{
    (void)state;
    begin();
    script_run(&script, SCRIPT_WHOLE);
    uint64_t now = atomic_load(&script.fix.wall_ms) + 10000;
    atomic_store(&script.fix.wall_ms, now);
    uint64_t last = script_ledger(&script).time_ms;
    struct hm_slice items[2] = {script_note(&script, now), script_note(&script, now)};
    assert_true(script_accepts(&script, items, 1));
    assert_true(script_accepts(&script, items, 0));
    assert_false(script_accepts(&script, items, 2)); /* a note is the first item or none */
    items[0] = script_note(&script, now + LEDGER_NOTE_AHEAD_MS);
    assert_true(script_accepts(&script, items, 1));
    items[0] = script_note(&script, now + LEDGER_NOTE_AHEAD_MS + 1);
    assert_false(script_accepts(&script, items, 1));
    items[0] = script_note(&script, last); /* time goes on */
    assert_false(script_accepts(&script, items, 1));
    items[0] = script_note(&script, 0);
    assert_false(script_accepts(&script, items, 1));
    script.bft_ms = now + 60000; /* the engine's own time is always good */
    items[0] = script_note(&script, now + 60000);
    assert_true(script_accepts(&script, items, 1));
    assert_true(script.logged > 0);
}

static void a_block_of_another_height_is_refused(void **state)
{
    (void)state;
    begin();
    script_run(&script, SCRIPT_WHOLE);
    script.block_count--; /* as if the engine had lost its last block */
    assert_false(script_accepts(&script, NULL, 0));
    assert_non_null(strstr(script.log.text, "stands at"));
}

/* Blocks that hold nothing of ours are told of like any. */
static void blocks_of_others_are_told(void **state)
{
    struct hm_error error;

    (void)state;
    begin();
    struct hm_slice tx = engine_fixture_transfer(&script.fix, BOB);
    struct hm_slice batch = fixture_batch(&script.fix.chain, &tx, 1);
    assert_int_equal(script_decide(&script, &batch, 1, SCRIPT_WHOLE, &error), 0);
    assert_int_equal(script.fix.blocks, 1);
    assert_int_equal(script.fix.seen[0].block.txs, 1);
    assert_int_equal(script.fix.seen[0].block.height, script.initial_height);
}

/* What another node's batch brought first is answered then, and not again when our own batch comes. */
static void first_paid_is_answered(void **state)
{
    struct hm_error error;

    (void)state;
    begin();
    atomic_fetch_add(&script.fix.wall_ms, 1); /* so that the other batch is another */
    struct hm_slice tx = engine_fixture_transfer(&script.fix, ALICE);
    struct engine_answer *answer = engine_fixture_submit(&script.fix, tx);
    script_wait_items(&script, 1);
    struct hm_slice other = fixture_batch(&script.fix.chain, &tx, 1);
    assert_int_equal(script_decide(&script, &other, 1, SCRIPT_WHOLE, &error), 0);
    engine_fixture_wait_answers(&script.fix, 1);
    engine_fixture_expect_good(answer);
    struct ledger_info before = script_ledger(&script);
    script_run(&script, SCRIPT_WHOLE); /* ours */
    assert_int_equal(answer->calls, 1);
    assert_memory_equal(script_ledger(&script).state_root, before.state_root, 32);
}

/* That a foreign batch failed with our transaction says nothing of it. */
static void a_foreign_refusal_is_no_answer(void **state)
{
    struct hm_error error;

    (void)state;
    begin();
    struct hm_slice tx = engine_fixture_transfer(&script.fix, ALICE);
    struct engine_answer *answer = engine_fixture_submit(&script.fix, tx);
    script_wait_items(&script, 1);
    Hypermesh__BatchHead *head = fixture_head(&script.fix.chain, NODE, &tx, 1, true);
    head->timestamp_ms -= 7200000; /* two hours old */
    struct hm_slice bad = fixture_seal(&script.fix.chain, NODE, head, &tx, 1);
    assert_int_equal(script_decide(&script, &bad, 1, SCRIPT_WHOLE, &error), 0);
    assert_int_equal(answer->calls, 0);
    script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, 1);
    engine_fixture_expect_good(answer);
}

static void the_same_twice_is_answered_twice(void **state)
{
    (void)state;
    begin();
    engine_fixture_gate(&script.fix, true);
    script_submit(&script, BOB);
    engine_fixture_wait_at_gate(&script.fix);
    struct hm_slice tx = engine_fixture_transfer(&script.fix, ALICE);
    struct engine_answer *first = engine_fixture_submit(&script.fix, tx);
    struct engine_answer *second = engine_fixture_submit(&script.fix, tx);
    engine_fixture_gate(&script.fix, false);
    script_wait_items(&script, 2);
    script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, 3);
    engine_fixture_expect_good(first);
    engine_fixture_expect_good(second);
    assert_memory_equal(first->receipt.digest, second->receipt.digest, 32);
}

/* It is in a block and left nothing behind: the answer says so. */
static void what_does_not_pay_is_answered(void **state)
{
    (void)state;
    begin();
    struct engine_answer *first = script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    fixture_resync(&script.fix.chain); /* the next one does not follow it */
    Hypermesh__Operation *op = op_transfer(&script.fix.chain, BOB, 2);
    struct engine_answer *second = engine_fixture_submit(
        &script.fix, fixture_tx(&script.fix.chain, ALICE, &op, 1));
    script_wait_items(&script, 2);
    script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, 2);
    engine_fixture_expect_good(first);
    assert_int_equal(second->calls, 1);
    assert_true(second->in_block);
    assert_int_equal(second->receipt.code, HM_EPROOF_TIME);
    assert_int_equal(second->receipt.fee, 0);
}

/* Two batches of one account come in the wrong order: what was too early is handed over once more. */
static void what_came_too_early_comes_again(void **state)
{
    struct engine_answer *answers[3];
    struct hm_slice items[3];
    struct hm_error error;

    (void)state;
    begin();
    for (unsigned i = 0; i < 3; i++) {
        answers[i] = script_submit(&script, ALICE);
        script_wait_items(&script, i + 1);
    }
    for (unsigned i = 0; i < 3; i++)
        items[2 - i] = hm_buf_slice(&script.rpc.items[i]);
    assert_int_equal(script_decide(&script, items, 2, SCRIPT_WHOLE, &error), 0);
    assert_int_equal(script.fix.answered, 0); /* both wait for the first */
    script_wait_items(&script, 2);
    script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, 3);
    for (unsigned i = 0; i < 3; i++)
        engine_fixture_expect_good(answers[i]);
}

/* Once only, or a client's mistake would go round for ever. */
static void what_never_fits_comes_again_once(void **state)
{
    struct hm_slice item;
    struct hm_error error;

    (void)state;
    begin();
    Hypermesh__Operation *op = op_transfer(&script.fix.chain, ALICE, 1);
    script_submit(&script, BOB);
    script_wait_items(&script, 1);
    fixture_tx(&script.fix.chain, ALICE, &op, 1); /* signed and never handed in */
    struct engine_answer *answer = script_submit(&script, ALICE);
    script_wait_items(&script, 2);
    item = hm_buf_slice(&script.rpc.items[1]);
    assert_int_equal(script_decide(&script, &item, 1, SCRIPT_WHOLE, &error), 0);
    script_wait_items(&script, 2);
    assert_int_equal(answer->calls, 0);
    item = hm_buf_slice(&script.rpc.items[1]);
    assert_int_equal(script_decide(&script, &item, 1, SCRIPT_WHOLE, &error), 0);
    engine_fixture_wait_answers(&script.fix, 1);
    assert_int_equal(answer->receipt.code, HM_EPROOF_TIME);
    assert_true(answer->in_block);
}

/* As many as the engine takes, counted as it counts; the rest waits. */
static void a_proposal_fits(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 3; i++) {
        script_submit(&script, ALICE);
        script_wait_items(&script, i + 1);
    }
    size_t one = abci_tx_bytes(script.rpc.items[0].len);
    script.max_tx_bytes = (int64_t)(1024 + 66 + 2 * one + one / 2);
    assert_int_equal(script_run(&script, SCRIPT_WHOLE)->count, 3);
    script.max_tx_bytes = 1000; /* not even a note */
    assert_int_equal(script_run(&script, SCRIPT_WHOLE)->count, 0);
    script.max_tx_bytes = 4 << 20;
    assert_int_equal(script_run(&script, SCRIPT_WHOLE)->count, 2);
    engine_fixture_wait_answers(&script.fix, 3);
    for (unsigned i = 0; i < 3; i++)
        engine_fixture_expect_good(&script.fix.answers[i]);
}

static void rubbish_in_the_mempool_stops_nothing(void **state)
{
    static const uint8_t none[3] = {0xF1, 0xFF, 0xFF};

    (void)state;
    begin();
    script_add_item(&script, hm_slice_of("rubbish", 7));
    script_add_item(&script, hm_slice_of(none, sizeof(none)));
    script_add_item(&script, script_note(&script, 5));
    struct engine_answer *answer = script_submit(&script, ALICE);
    script_wait_items(&script, 4);
    script_run(&script, SCRIPT_WHOLE);
    engine_fixture_wait_answers(&script.fix, 1);
    engine_fixture_expect_good(answer);
}

static void *wait_for_the_next(void *arg)
{
    uint64_t *height = arg;

    assert_int_equal(engine_wait_height(script.fix.engine, *height, 60000, NULL), 0);
    return NULL;
}

static void reads_wait_for_a_height(void **state)
{
    uint64_t next = 0;
    struct hm_error error = {0};
    char both[2][24];
    pthread_t thread;

    (void)state;
    begin();
    uint64_t height = script_ledger(&script).height;
    assert_int_equal(engine_wait_height(script.fix.engine, height, 0, NULL), 0);
    assert_int_equal(engine_wait_height(script.fix.engine, height + 5, 20, &error), HM_ETIMEOUT);
    snprintf(both[0], sizeof(both[0]), "%llu", (unsigned long long)height);
    snprintf(both[1], sizeof(both[1]), "%llu", (unsigned long long)height + 5);
    assert_non_null(strstr(error.text, both[0]));
    assert_non_null(strstr(error.text, both[1]));
    next = height + 1;
    assert_int_equal(pthread_create(&thread, NULL, wait_for_the_next, &next), 0);
    script_run(&script, SCRIPT_WHOLE);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        script_test(one_transaction_one_block, &script),
        script_test(who_votes_next_is_a_validator, &script),
        script_test(headers_bind_the_engines_block, &script),
        script_test(what_waits_becomes_one_batch, &script),
        script_test(batches_under_way_are_few, &script),
        script_test(an_empty_block_changes_nothing, &script),
        script_test(blocks_have_the_proposers_time, &script),
        script_test(notes_are_judged, &script),
        script_test(a_block_of_another_height_is_refused, &script),
        script_test(blocks_of_others_are_told, &script),
        script_test(first_paid_is_answered, &script),
        script_test(a_foreign_refusal_is_no_answer, &script),
        script_test(the_same_twice_is_answered_twice, &script),
        script_test(what_does_not_pay_is_answered, &script),
        script_test(what_came_too_early_comes_again, &script),
        script_test(what_never_fits_comes_again_once, &script),
        script_test(a_proposal_fits, &script),
        script_test(rubbish_in_the_mempool_stops_nothing, &script),
        script_test(reads_wait_for_a_height, &script),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
