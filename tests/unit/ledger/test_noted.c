/* What this process says it signed itself is not verified again; all else about it is judged, and nothing else is
 * taken for it. */
#include "ledger_check.h"

/* Alice's transfer, its signature broken. */
static struct hm_slice forged_tx(uint64_t amount)
{
    Hypermesh__Operation *op = op_transfer(&fix, BOB, amount);
    Hypermesh__Tx *tx = fixture_sign(&fix, ALICE, fixture_body(&fix, ALICE, &op, 1), false);

    tx->signature.data[10] ^= 1;
    return fixture_pack(&fix, &tx->base);
}

static int check(struct hm_slice tx)
{
    return ledger_check_tx(fix.ledger, tx, fix.next_ms, NULL, &fix.error);
}

static void test_tx(void **state)
{
    struct hm_slice tx = forged_tx(5);
    uint64_t bob = fixture_account(&fix, BOB)->hyper;
    uint8_t *other;

    (void)state;
    assert_int_equal(check(tx), HM_EPROOF_STAKE);
    ledger_note_tx(fix.ledger, tx);
    assert_int_equal(check(tx), 0);
    /* One bit beside is another transaction. */
    other = fixture_keep(&fix, tx.data, tx.len).data;
    other[tx.len - 1] ^= 1;
    assert_int_not_equal(check(hm_slice_of(other, tx.len)), 0);
    assert_int_equal(fixture_block_txs(&fix, &tx, 1), 0);
    assert_int_equal(fix.record->results[0]->code, 0);
    assert_int_equal(fixture_account(&fix, BOB)->hyper, bob + 5);
    /* Once is enough: its presence has moved on. */
    assert_int_equal(fixture_block_txs(&fix, &tx, 1), 0);
    assert_int_not_equal(fix.record->results[0]->code, 0);
    assert_int_equal(fixture_account(&fix, BOB)->hyper, bob + 5);
}

/* Noted, but of an account that cannot pay, for another chain, without work. */
static void test_tx_is_judged(void **state)
{
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 5);
    Hypermesh__TxBody *body = fixture_body(&fix, ALICE, &op, 1);
    struct hm_slice bytes;
    Hypermesh__Tx *tx;

    (void)state;
    body->fee_limit = 1;
    bytes = fixture_pack(&fix, &fixture_sign(&fix, ALICE, body, false)->base);
    ledger_note_tx(fix.ledger, bytes);
    assert_int_equal(check(bytes), HM_EFUNDS);
    fixture_resync(&fix);
    body = fixture_body(&fix, ALICE, &op, 1);
    body->chain_id = (char *)(uintptr_t)("test-2");
    bytes = fixture_pack(&fix, &fixture_sign(&fix, ALICE, body, false)->base);
    ledger_note_tx(fix.ledger, bytes);
    assert_int_not_equal(check(bytes), 0);
    fixture_resync(&fix);
    tx = fixture_sign(&fix, ALICE, fixture_body(&fix, ALICE, &op, 1), false);
    do { /* a nonce in 16 is work enough by chance */
        tx->work_nonce++;
        bytes = fixture_pack(&fix, &tx->base);
        ledger_note_tx(fix.ledger, bytes);
    } while (check(bytes) == 0);
    assert_int_equal(check(bytes), HM_EPROOF_WORK);
    assert_int_equal(fixture_block_txs(&fix, &bytes, 1), 0);
    assert_int_equal(fix.record->results[0]->code, HM_EPROOF_WORK);
}

/* The batch's results in a block of its own: of its first transaction. */
static int batch_code(struct hm_slice item)
{
    assert_int_equal(fixture_block(&fix, &item, 1), 0);
    fixture_resync(&fix);
    return fix.record->results[0]->code;
}

static Hypermesh__Batch *forged_batch(struct hm_slice *bytes)
{
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 5);
    struct hm_slice tx = fixture_tx(&fix, ALICE, &op, 1);
    struct hm_slice whole = fixture_batch(&fix, &tx, 1);
    Hypermesh__Batch *batch;

    assert_int_equal(WIRE_UNPACK(hypermesh__batch, whole, whole.len, &fix.arena, &batch, NULL), 0);
    batch->signature.data[7] ^= 1;
    *bytes = fixture_pack(&fix, &batch->base);
    return batch;
}

static void test_batch(void **state)
{
    struct hm_slice bytes;
    Hypermesh__Batch *batch = forged_batch(&bytes);

    (void)state;
    assert_int_equal(batch_code(bytes), HM_EPROOF_STAKE);
    batch = forged_batch(&bytes);
    ledger_note_batch(fix.ledger, wire_slice(batch->head), wire_slice(batch->signature));
    assert_int_equal(batch_code(bytes), 0);
    /* Noted was that one: the next is verified, and so is this signature below another head. */
    batch = forged_batch(&bytes);
    assert_int_equal(batch_code(bytes), HM_EPROOF_STAKE);
    batch = forged_batch(&bytes);
    ledger_note_batch(fix.ledger, hm_slice_str("another head"), wire_slice(batch->signature));
    assert_int_equal(batch_code(bytes), HM_EPROOF_STAKE);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, check_setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_tx),
        CASE(test_tx_is_judged),
        CASE(test_batch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
