/* What waits becomes one block, in order, and everybody is answered once. */
#include "engine_fixture.h"

static struct engine_fixture fix;

static int setup(void **state)
{
    (void)state;
    engine_fixture_init(&fix, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    engine_fixture_release(&fix);
    return 0;
}

static void one_transaction_one_block(void **state)
{
    struct engine_receipt receipt;
    struct engine_status status;
    struct ledger_info before, after;
    uint8_t digest[32];

    (void)state;
    engine_fixture_start(&fix);
    assert_int_equal(ledger_info(fix.chain.ledger, &before, NULL), 0);
    struct hm_slice tx = engine_fixture_transfer(&fix, ALICE);
    assert_int_equal(engine_submit_wait(fix.engine, tx, &receipt, NULL), 0);
    assert_int_equal(receipt.code, 0);
    fixture_tx_digest(tx, digest);
    assert_memory_equal(receipt.digest, digest, sizeof(digest));
    assert_true(receipt.fee > 0);

    assert_int_equal(ledger_info(fix.chain.ledger, &after, NULL), 0);
    assert_int_equal(after.height, before.height + 1);
    assert_int_equal(receipt.block.height, after.height);
    assert_int_equal(receipt.block.time_ms, after.time_ms);
    assert_int_equal(receipt.block.txs, 1);
    assert_memory_equal(receipt.block.hash, after.block_hash, sizeof(after.block_hash));
    assert_memory_equal(receipt.block.state_root, after.state_root, sizeof(after.state_root));
    engine_get_status(fix.engine, &status);
    assert_string_equal(status.name, "solo");
    assert_false(status.failed);
    assert_int_equal(status.blocks, 1);
    assert_int_equal(status.txs, 1);
    assert_int_equal(status.queued, 0);
    assert_true(status.busy_ns > 0);
}

/* The header that solo writes is what the block's hash covers, and names the block before. */
static void headers_chain(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct engine_receipt receipts[2];
    struct ledger_view *view;

    (void)state;
    engine_fixture_start(&fix);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(engine_submit_wait(fix.engine, engine_fixture_transfer(&fix, ALICE),
                                            &receipts[i], NULL),
                         0);
    hm_arena_init(&arena, 0);
    assert_int_equal(ledger_view_open(fix.chain.ledger, &view, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        Hypermesh__BlockRecord *record;
        Hypermesh__BlockHeader *header;
        Hypermesh__Block *block;
        struct hm_slice bytes;
        uint8_t hash[32], item[32], root[32];

        assert_int_equal(
            ledger_view_block(view, receipts[i].block.height, &arena, &bytes, &record, NULL), 0);
        assert_int_equal(WIRE_UNPACK(hypermesh__block, bytes, bytes.len, &arena, &block, NULL), 0);
        assert_int_equal(WIRE_UNPACK(hypermesh__block_header, wire_slice(block->header),
                                     block->header.len, &arena, &header, NULL),
                         0);
        proof_block_hash(wire_slice(block->header), hash);
        assert_memory_equal(hash, receipts[i].block.hash, 32);
        assert_string_equal(header->chain_id, FIXTURE_CHAIN);
        assert_int_equal(header->height, receipts[i].block.height);
        assert_int_equal(header->time_ms, receipts[i].block.time_ms);
        assert_int_equal(block->n_items, 1);
        crypto_hash(block->items[0].data, block->items[0].len, item);
        crypto_merkle_root(item, 1, root);
        assert_memory_equal(header->data_root.data, root, 32);
        if (i == 1) {
            assert_memory_equal(header->previous_hash.data, receipts[0].block.hash, 32);
            assert_memory_equal(header->previous_state_root.data, receipts[0].block.state_root, 32);
        }
    }
    ledger_view_close(view);
}

static void what_waits_becomes_one_block(void **state)
{
    struct engine_answer *answers[10];
    struct engine_status status;

    (void)state;
    engine_fixture_start(&fix);
    engine_fixture_gate(&fix, true);
    answers[0] = engine_fixture_submit(&fix, engine_fixture_transfer(&fix, ALICE));
    engine_fixture_wait_at_gate(&fix);
    for (size_t i = 1; i < HM_COUNT_OF(answers);
         i++) /* each follows the one before: order matters */
        answers[i] = engine_fixture_submit(&fix, engine_fixture_transfer(&fix, ALICE));
    engine_get_status(fix.engine, &status);
    assert_int_equal(status.queued, 9);
    assert_int_equal(status.blocks, 0);
    engine_fixture_gate(&fix, false);
    engine_fixture_wait_answers(&fix, HM_COUNT_OF(answers));
    engine_fixture_wait_blocks(&fix, 2);

    for (size_t i = 0; i < HM_COUNT_OF(answers); i++) {
        engine_fixture_expect_good(answers[i]);
        assert_int_equal(answers[i]->place, i + 1);
        assert_int_equal(answers[i]->receipt.block.height,
                         answers[0]->receipt.block.height + (i > 0));
        assert_int_equal(answers[i]->receipt.block.txs, i > 0 ? 9 : 1);
    }
    engine_get_status(fix.engine, &status);
    assert_int_equal(status.blocks, 2);
    assert_int_equal(status.txs, 10);
    assert_int_equal(status.queued, 0);
}

static void more_than_a_batch_waits_for_the_next(void **state)
{
    struct engine_answer *answers[8];

    (void)state;
    fix.options.batch_limit = 3;
    engine_fixture_start(&fix);
    engine_fixture_gate(&fix, true);
    for (size_t i = 0; i < HM_COUNT_OF(answers); i++) {
        answers[i] = engine_fixture_submit(&fix, engine_fixture_transfer(&fix, CAROL));
        if (i == 0)
            engine_fixture_wait_at_gate(&fix);
    }
    engine_fixture_gate(&fix, false);
    engine_fixture_wait_blocks(&fix, 4); /* 1, 3, 3, 1 */
    for (size_t i = 0; i < HM_COUNT_OF(answers); i++) {
        engine_fixture_expect_good(answers[i]);
        assert_int_equal(answers[i]->place, i + 1);
        assert_int_equal(answers[i]->receipt.block.height - answers[0]->receipt.block.height,
                         (i + 2) / 3);
    }
}

static void a_failed_transaction_is_an_answer_in_a_block(void **state)
{
    (void)state;
    engine_fixture_start(&fix);
    Hypermesh__Operation *op = op_transfer(&fix.chain, ALICE, FIXTURE_SUPPLY);
    struct engine_answer *bad = engine_fixture_submit(&fix, fixture_tx(&fix.chain, BOB, &op, 1));
    engine_fixture_wait_answers(&fix, 1);
    assert_int_equal(bad->calls, 1);
    assert_true(bad->in_block);
    assert_int_equal(bad->receipt.code, HM_EFUNDS);
    assert_true(bad->receipt.text[0] != '\0');
}

/* Whoever signs may send any number that do not follow his presence: they cost nothing, so they get nothing,
 * neither room in a block nor a block of their own. The others of the batch do not suffer. */
static void what_is_refused_for_nothing_is_not_kept(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__BlockRecord *record;
    struct engine_answer *stale[3];
    struct engine_answer *good[2];
    struct engine_status status;
    struct ledger_info before;
    struct ledger_info after;
    struct ledger_view *view;
    struct hm_slice bytes;

    (void)state;
    engine_fixture_start(&fix);
    assert_int_equal(ledger_info(fix.chain.ledger, &before, NULL), 0);
    engine_fixture_gate(&fix, true);
    engine_fixture_submit(&fix, engine_fixture_transfer(&fix, ERIN));
    engine_fixture_wait_at_gate(&fix);
    fix.chain.people[ALICE].presence[0] ^= 1;
    stale[0] = engine_fixture_submit(&fix, engine_fixture_transfer(&fix, ALICE));
    good[0] = engine_fixture_submit(&fix, engine_fixture_transfer(&fix, BOB));
    stale[1] = engine_fixture_submit(&fix, engine_fixture_transfer(&fix, ALICE));
    good[1] = engine_fixture_submit(&fix, engine_fixture_transfer(&fix, BOB));
    engine_fixture_gate(&fix, false);
    engine_fixture_wait_answers(&fix, 5);
    engine_fixture_wait_blocks(&fix, 2);
    stale[2] = engine_fixture_submit(&fix, engine_fixture_transfer(&fix, ALICE)); /* alone */
    engine_fixture_wait_answers(&fix, 6);

    for (size_t i = 0; i < HM_COUNT_OF(good); i++) {
        engine_fixture_expect_good(good[i]);
        assert_int_equal(good[i]->receipt.block.height, before.height + 2);
        assert_int_equal(good[i]->receipt.block.txs, 2);
    }
    for (size_t i = 0; i < HM_COUNT_OF(stale); i++) {
        assert_int_equal(stale[i]->calls, 1);
        assert_int_equal(stale[i]->receipt.code, HM_EPROOF_TIME);
        assert_int_equal(stale[i]->receipt.fee, 0);
        assert_int_equal(stale[i]->receipt.block.height, before.height + (i < 2 ? 1 : 2));
    }
    assert_int_equal(ledger_info(fix.chain.ledger, &after, NULL), 0);
    assert_int_equal(after.height, before.height + 2);
    engine_get_status(fix.engine, &status);
    assert_int_equal(status.blocks, 2);
    assert_int_equal(status.txs, 3);
    assert_false(status.failed);
    hm_arena_init(&arena, 0);
    assert_int_equal(ledger_view_open(fix.chain.ledger, &view, NULL), 0);
    assert_int_equal(ledger_view_block(view, after.height, &arena, &bytes, &record, NULL), 0);
    assert_int_equal(record->n_results, 2);
    assert_int_equal(ledger_view_tx(view, stale[0]->receipt.digest, &arena, NULL, NULL, NULL, NULL),
                     HM_ENOTFOUND);
    ledger_view_close(view);
}

static void receipts_hold_what_was_created(void **state)
{
    uint8_t id[32];

    (void)state;
    engine_fixture_start(&fix);
    Hypermesh__Operation *ops[] = {
        op_register(&fix.chain, "cpu-a", 1000, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC),
        op_register(&fix.chain, "cpu-b", 1000, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC),
    };
    struct engine_answer *answer = engine_fixture_submit(&fix,
                                                         fixture_tx(&fix.chain, DAVE, ops, 2));
    engine_fixture_wait_answers(&fix, 1);
    engine_fixture_expect_good(answer);
    assert_int_equal(answer->receipt.created_count, 2);
    fixture_asset_id(&fix.chain, DAVE, "cpu-b", id);
    assert_memory_equal(answer->receipt.created[1], id, sizeof(id));
}

static void a_full_queue_is_busy(void **state)
{
    struct hm_slice txs[6];

    (void)state;
    fix.options.queue_limit = 4;
    engine_fixture_start(&fix);
    engine_fixture_gate(&fix, true);
    for (size_t i = 0; i < HM_COUNT_OF(txs); i++)
        txs[i] = engine_fixture_transfer(&fix, ERIN);
    engine_fixture_submit(&fix, txs[0]);
    engine_fixture_wait_at_gate(&fix); /* off the queue */
    for (size_t i = 1; i < 5; i++)
        engine_fixture_submit(&fix, txs[i]);
    engine_fixture_refused(&fix, txs[5], HM_EBUSY, "4 transactions wait already");
    engine_fixture_gate(&fix, false);
    engine_fixture_wait_answers(&fix, 5);
    engine_fixture_submit(&fix, txs[5]);
    engine_fixture_wait_answers(&fix, 6);
    for (size_t i = 0; i < fix.answer_count; i++) {
        if (i != 5)
            engine_fixture_expect_good(&fix.answers[i]);
    }
}

static void the_queue_has_a_limit_in_bytes(void **state)
{
    struct hm_slice txs[4];

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(txs); i++)
        txs[i] = engine_fixture_transfer(&fix, ERIN);
    fix.options.queue_bytes = txs[1].len + txs[2].len;
    engine_fixture_start(&fix);
    engine_fixture_gate(&fix, true);
    engine_fixture_submit(&fix, txs[0]);
    engine_fixture_wait_at_gate(&fix);
    engine_fixture_submit(&fix, txs[1]);
    engine_fixture_submit(&fix, txs[2]);
    engine_fixture_refused(&fix, txs[3], HM_EBUSY, "2 transactions wait already");
    engine_fixture_gate(&fix, false);
    engine_fixture_wait_answers(&fix, 3);
    engine_fixture_submit(&fix, txs[3]); /* what was answered makes room */
    engine_fixture_wait_answers(&fix, 4);
}

static void what_does_not_pass_the_check_is_refused_at_once(void **state)
{
    (void)state;
    engine_fixture_start(&fix);
    engine_fixture_refused(&fix, hm_slice_of(NULL, 0), HM_EINVAL, "");
    engine_fixture_refused(&fix, hm_slice_str("rubbish"), HM_EPARSE, "");
    struct hm_slice tx = engine_fixture_transfer(&fix, ALICE);
    uint8_t *bytes = hm_arena_dup(&fix.chain.arena, tx.data, tx.len);
    bytes[tx.len - 1] ^= 1; /* its signature */
    engine_fixture_refused(&fix, hm_slice_of(bytes, tx.len), HM_EPROOF_STAKE, "");
    assert_int_equal(engine_fixture_blocks(&fix), 0);
}

/* done may submit: the next transaction of a chain goes out from the answer to the one before. */
struct relay {
    struct hm_slice tx;
    struct engine_answer *next;
};

static void relay_done(void *ctx, const Hypermesh__TxResult *result,
                       const struct engine_block *block)
{
    struct relay *relay = ctx;

    (void)result;
    assert_non_null(block);
    assert_int_equal(engine_submit(fix.engine, relay->tx, engine_fixture_done, relay->next, NULL),
                     0);
}

static void an_answer_may_lead_to_a_submit(void **state)
{
    struct hm_slice first = engine_fixture_transfer(&fix, ALICE);
    struct relay relay = {engine_fixture_transfer(&fix, ALICE), engine_fixture_answer(&fix)};

    (void)state;
    engine_fixture_start(&fix);
    assert_int_equal(engine_submit(fix.engine, first, relay_done, &relay, NULL), 0);
    engine_fixture_wait_answers(&fix, 1);
    engine_fixture_expect_good(relay.next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_transaction_one_block, setup, teardown),
        cmocka_unit_test_setup_teardown(headers_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(what_waits_becomes_one_block, setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_a_batch_waits_for_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_transaction_is_an_answer_in_a_block, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_refused_for_nothing_is_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(receipts_hold_what_was_created, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_queue_is_busy, setup, teardown),
        cmocka_unit_test_setup_teardown(the_queue_has_a_limit_in_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_does_not_pass_the_check_is_refused_at_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_answer_may_lead_to_a_submit, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
