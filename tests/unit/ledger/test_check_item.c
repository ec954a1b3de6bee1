/* What others put into the pool: which batches and requests are handed on, and that a block need not verify again what
 * was verified here. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "cluster_fixture.h"
#include "ledger_check.h"
#include "ledger_facts.h"
#include "ledger_private.h"

static int check_item(struct hm_slice item)
{
    return ledger_check_item(fix.ledger, item, fix.next_ms, &fix.error);
}

static void refused_as(struct hm_slice item, int code, const char *words)
{
    struct hm_error error = {0};

    assert_int_equal(ledger_check_item(fix.ledger, item, fix.next_ms, &error), code);
    if (!strstr(error.text, words))
        fail_msg("\"%s\" does not hold \"%s\"", error.text, words);
}

static bool seen_tx(struct hm_slice tx)
{
    uint8_t key[32];

    crypto_hash(tx.data, tx.len, key);
    return ledger_seen_has(&fix.ledger->seen, key);
}

static bool seen_batch(struct hm_slice item)
{
    Hypermesh__Batch *batch;
    uint8_t key[32];

    assert_int_equal(WIRE_UNPACK(hypermesh__batch, item, item.len, &fix.arena, &batch, NULL), 0);
    ledger_seen_batch_key(wire_slice(batch->head), wire_slice(batch->signature), key);
    return ledger_seen_has(&fix.ledger->seen, key);
}

static struct hm_slice transfer_tx(enum fixture_role who, uint64_t amount)
{
    Hypermesh__Operation *op = op_transfer(&fix, CAROL, amount);

    return fixture_tx(&fix, who, &op, 1);
}

static struct hm_slice batch_of(struct hm_slice tx)
{
    return fixture_batch(&fix, &tx, 1);
}

/* Every signature in it is known afterwards, those of transactions that only the block can judge included. */
static void test_good(void **state)
{
    struct hm_slice txs[3];
    struct hm_slice item;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        txs[i] = transfer_tx(i == 2 ? BOB : ALICE, 1 + i);
    item = fixture_batch(&fix, txs, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_false(seen_tx(txs[i]));
    assert_false(seen_batch(item));
    assert_int_equal(check_item(item), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_true(seen_tx(txs[i]));
    assert_true(seen_batch(item));
    assert_int_equal(check_item(item), 0);
    assert_int_equal(cluster_block(&fix, &item, 1, NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(fix.record->results[i]->code, 0);
}

static void test_bad_signatures(void **state)
{
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 5);
    Hypermesh__Batch *batch;
    struct hm_slice txs[2];
    struct hm_slice item;
    Hypermesh__Tx *tx;

    (void)state;
    txs[0] = transfer_tx(BOB, 1);
    tx = fixture_sign(&fix, ALICE, fixture_body(&fix, ALICE, &op, 1), false);
    tx->signature.data[10] ^= 1;
    txs[1] = fixture_pack(&fix, &tx->base);
    /* One bad signature is enough, however good the others are. */
    item = fixture_batch(&fix, txs, 2);
    refused_as(item, HM_EPROOF_STAKE, "transaction 1");
    assert_true(seen_tx(txs[0]));
    assert_false(seen_tx(txs[1]));
    fixture_resync(&fix);
    item = batch_of(transfer_tx(ALICE, 1));
    assert_int_equal(WIRE_UNPACK(hypermesh__batch, item, item.len, &fix.arena, &batch, NULL), 0);
    batch->signature.data[7] ^= 1;
    item = fixture_pack(&fix, &batch->base);
    refused_as(item, HM_EPROOF_STAKE, "");
    assert_false(seen_batch(item));
}

static void put(struct hm_buf *out, const char *tag, ProtobufCBinaryData bytes, bool long_length)
{
    uint8_t length[3] = {(uint8_t)(bytes.len | 0x80), (uint8_t)(bytes.len >> 7), 0};

    assert_true(bytes.len >= 0x40 && bytes.len < 0x4000);
    if (bytes.len < 0x80 && !long_length)
        length[0] = (uint8_t)bytes.len;
    else if (long_length)
        length[1] |= 0x80; /* 7 bits more, all 0 */
    assert_int_equal(hm_buf_append(out, tag, 1), 0);
    assert_int_equal(hm_buf_append(out, length, long_length ? 3 : bytes.len < 0x80 ? 1 : 2), 0);
    assert_int_equal(hm_buf_append(out, bytes.data, bytes.len), 0);
}

/* Of one batch, the same in every other way: refused here, done where it is in a block. */
static void test_one_form(void **state)
{
    static const struct {
        const char *order;
        int longer; /* whose length is written longer than it need be; -1: none */
        bool taken;
    } forms[] = {{"\x0a\x12\x1a", -1, true},  {"\x12\x0a\x1a", -1, false},
                 {"\x0a\x1a\x12", -1, false}, {"\x1a\x12\x0a", -1, false},
                 {"\x0a\x12\x1a", 0, false},  {"\x0a\x12\x1a", 1, false},
                 {"\x0a\x12\x1a", 2, false}};
    struct hm_slice item = batch_of(transfer_tx(ALICE, 1)), last = item;
    Hypermesh__Batch *batch;

    (void)state;
    assert_int_equal(WIRE_UNPACK(hypermesh__batch, item, item.len, &fix.arena, &batch, NULL), 0);
    for (size_t i = 0; i < HM_COUNT_OF(forms); i++) {
        HM_CLEANUP(hm_buf) struct hm_buf form = {0};

        for (int k = 0; k < 3; k++) {
            char tag = forms[i].order[k];

            put(&form, &tag,
                tag == 0x0a   ? batch->head
                : tag == 0x12 ? batch->signature
                              : batch->txs[0],
                forms[i].longer == k);
        }
        last = hm_slice_of(hm_arena_dup(&fix.arena, form.data, form.len), form.len);
        assert_int_equal(hm_slice_equal(last, item), forms[i].taken);
        if (forms[i].taken)
            assert_int_equal(check_item(last), 0);
        else
            refused_as(last, HM_EINVAL, "one way");
    }
    assert_int_equal(cluster_block(&fix, &last, 1, NULL), 0);
    assert_int_equal(fix.record->n_results, 1);
    assert_int_equal(fix.record->results[0]->code, 0);
}

static struct hm_slice sealed(struct hm_slice tx, Hypermesh__BatchHead *head)
{
    return fixture_seal(&fix, NODE, head, &tx, 1);
}

static void test_head(void **state)
{
    struct hm_slice tx = transfer_tx(ALICE, 1);
    Hypermesh__Operation *op = op_register(&fix, "cpu0", 1, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC);
    Hypermesh__BatchHead *head;
    struct hm_slice asset_tx;

    (void)state;
    refused_as(hm_slice_str("garbage"), HM_EPARSE, "batch");
    refused_as((struct hm_slice){0}, HM_ELIMIT, "transactions");
    head = fixture_head(&fix, NODE, &tx, 1, true);
    head->chain_id = (char *)(uintptr_t)("test-2");
    refused_as(sealed(tx, head), HM_EINVAL, "chain");
    head = fixture_head(&fix, NODE, &tx, 1, true);
    head->tx_root.data[0] ^= 1;
    refused_as(sealed(tx, head), HM_EINVAL, "tx_root");
    head = fixture_head(&fix, NODE, &tx, 1, true);
    head->timestamp_ms -= 10 * MINUTE_MS;
    refused_as(sealed(tx, head), HM_EPROOF_TIME, "time");
    head = fixture_head(&fix, NODE, &tx, 1, true);
    head->anchor_hash.data[0] ^= 1;
    refused_as(sealed(tx, head), HM_EPROOF_TIME, "anchor");
    head = fixture_head(&fix, POOR, &tx, 1, false);
    refused_as(fixture_seal(&fix, POOR, head, &tx, 1), HM_EPROOF_STAKE, "session");
    fixture_resync(&fix);
    asset_tx = fixture_tx(&fix, ALICE, &op, 1);
    head = fixture_head(&fix, BOB, &asset_tx, 1, false);
    refused_as(fixture_seal(&fix, BOB, head, &asset_tx, 1), HM_EPROOF_SPACE, "space");
    /* No block takes it. The tests' own ledger, before anybody else looks. */
    ((Hypermesh__Params *)(uintptr_t)fix.ledger->params)->block_weight_max = 100;
    refused_as(batch_of(asset_tx), HM_ELIMIT, "weighs");
}

/* A node whose last block is older than the sender's believes the anchor, a little way. */
static void test_ahead(void **state)
{
    struct ledger_info info = check_info();

    (void)state;
    for (uint64_t ahead = 1; ahead <= LEDGER_CHECK_AHEAD_BLOCKS + 1; ahead++) {
        bool near = ahead <= LEDGER_CHECK_AHEAD_BLOCKS;
        Hypermesh__Operation *op = op_transfer(&fix, BOB, 5);
        Hypermesh__TxBody *body = fixture_body(&fix, ALICE, &op, 1);
        Hypermesh__BatchHead *head;
        struct hm_slice tx;

        body->anchor_height = info.height + ahead;
        memset(body->anchor_hash.data, 9, 32);
        tx = fixture_pack(&fix, &fixture_sign(&fix, ALICE, body, false)->base);
        /* The transaction alone, then the batch as well. */
        if (near)
            assert_int_equal(check_item(batch_of(tx)), 0);
        else
            refused_as(batch_of(tx), HM_EPROOF_TIME, "nothing in the batch");
        head = fixture_head(&fix, NODE, &tx, 1, false);
        head->anchor_height = info.height + ahead;
        memset(head->anchor_hash.data, 9, 32);
        assert_int_equal(check_item(sealed(tx, head)), near ? 0 : HM_EPROOF_TIME);
    }
}

/* Of what cannot pay now a batch may have some, not only such. */
static void test_nothing_pays(void **state)
{
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 5);
    Hypermesh__TxBody *body = fixture_body(&fix, ALICE, &op, 1);
    struct hm_slice txs[2];

    (void)state;
    body->fee_limit = 1;
    txs[0] = fixture_pack(&fix, &fixture_sign(&fix, ALICE, body, false)->base);
    txs[1] = transfer_tx(BOB, 1);
    refused_as(batch_of(txs[0]), HM_EFUNDS, "nothing in the batch would be paid for");
    assert_int_equal(check_item(fixture_batch(&fix, txs, 2)), 0);
    body = fixture_body(&fix, DAVE, &op, 1);
    body->timestamp_ms -= 10 * MINUTE_MS;
    txs[0] = fixture_pack(&fix, &fixture_sign(&fix, DAVE, body, false)->base);
    refused_as(batch_of(txs[0]), HM_EPROOF_TIME, "nothing in the batch would be paid for");
    assert_int_equal(check_item(fixture_batch(&fix, txs, 2)), 0);
    /* What is not even for this chain was never checked by its node. */
    body = fixture_body(&fix, ERIN, &op, 1);
    body->chain_id = (char *)(uintptr_t)("test-2");
    txs[0] = fixture_pack(&fix, &fixture_sign(&fix, ERIN, body, false)->base);
    refused_as(fixture_batch(&fix, txs, 2), HM_EINVAL, "transaction 0");
}

/* Does it need another one before it? */
static void test_next(void **state)
{
    bool next = false;

    (void)state;
    struct hm_slice first = batch_of(transfer_tx(ALICE, 1));
    struct hm_slice second = batch_of(transfer_tx(ALICE, 2));
    struct hm_slice both[2] = {transfer_tx(ALICE, 3), transfer_tx(BOB, 1)};
    struct hm_slice mixed = fixture_batch(&fix, both, 2);
    assert_int_equal(ledger_check_item_again(fix.ledger, first, fix.next_ms, &next, NULL), 0);
    assert_true(next);
    assert_int_equal(ledger_check_item_again(fix.ledger, second, fix.next_ms, &next, NULL), 0);
    assert_false(next);
    assert_int_equal(ledger_check_item_again(fix.ledger, mixed, fix.next_ms, &next, NULL), 0);
    assert_true(next); /* one of two is enough */
    assert_int_equal(cluster_block(&fix, &first, 1, NULL), 0);
    assert_int_equal(ledger_check_item_again(fix.ledger, second, fix.next_ms, &next, NULL), 0);
    assert_true(next);
    /* A request needs none. */
    HM_CLEANUP(hm_buf) struct hm_buf request = {0};
    uint8_t nonce[LEDGER_NOTE_NONCE_BYTES] = {0};
    struct ledger_info info;
    assert_int_equal(ledger_info(fix.ledger, &info, NULL), 0);
    hm_put_be64(nonce, info.height + 1);
    assert_int_equal(ledger_note_request(nonce, &request, NULL), 0);
    next = false;
    assert_int_equal(
        ledger_check_item_again(fix.ledger, hm_buf_slice(&request), fix.next_ms, &next, NULL), 0);
    assert_true(next);
}

static void test_requests(void **state)
{
    uint64_t next = check_info().height + 1;
    Hypermesh__BlockNote note = HYPERMESH__BLOCK_NOTE__INIT;
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};

    (void)state;
    assert_int_equal(check_item(cluster_request(&fix, next, 0)), 0);
    assert_int_equal(check_item(cluster_request(&fix, next + 1, 3)), 0);
    assert_int_equal(check_item(cluster_request(&fix, next, LEDGER_NOTE_ASKERS_MAX - 1)), 0);
    refused_as(cluster_request(&fix, next, LEDGER_NOTE_ASKERS_MAX), HM_EINVAL, "number");
    refused_as(cluster_request(&fix, next - 1, 0), HM_EINVAL, "asked for");
    refused_as(cluster_request(&fix, next + LEDGER_CHECK_AHEAD_BLOCKS, 0), HM_EINVAL, "asked for");
    refused_as(cluster_request(&fix, UINT64_MAX, 0), HM_EINVAL, "asked for");
    refused_as(cluster_note(&fix, fix.next_ms), HM_EINVAL, "proposer");
    assert_int_equal(ledger_note_pack(&note, &buf, NULL), 0);
    refused_as(hm_buf_slice(&buf), HM_EINVAL, "nonce");
    /* The block came: it is not asked for any more. */
    assert_int_equal(cluster_block(&fix, NULL, 0, NULL), 0);
    refused_as(cluster_request(&fix, next, 0), HM_EINVAL, "asked for");
}

/* Of one request, the same in every other way: there are only so many that may wait. */
static void test_one_request(void **state)
{
    struct hm_slice item = cluster_request(&fix, check_info().height + 1, 3);
    const struct hm_slice nonce = hm_slice_of(item.data + 3, item.len - 3);
    static const char *const heads[] = {"\xf1\x12\x10", "\xf1\x92\x80\x00\x10",
                                        "\xf1\x12\x90\x80\x00", "\xf1\x08\x00\x12\x10",
                                        "\xf1\x08\x80\x00\x12\x10"};
    static const size_t sizes[] = {3, 5, 5, 5, 6};

    (void)state;
    assert_int_equal(nonce.len, LEDGER_NOTE_NONCE_BYTES);
    for (size_t i = 0; i < HM_COUNT_OF(heads); i++) {
        HM_CLEANUP(hm_buf) struct hm_buf form = {0};
        Hypermesh__BlockNote *note;

        assert_int_equal(hm_buf_append(&form, heads[i], sizes[i]), 0);
        assert_int_equal(hm_buf_append(&form, nonce.data, nonce.len), 0);
        assert_int_equal(ledger_note_read(hm_buf_slice(&form), &fix.arena, &note, NULL), 0);
        assert_true(hm_slice_equal(wire_slice(note->nonce), nonce));
        assert_int_equal(hm_slice_equal(hm_buf_slice(&form), item), i == 0);
        if (i == 0)
            assert_int_equal(check_item(hm_buf_slice(&form)), 0);
        else
            refused_as(hm_buf_slice(&form), HM_EINVAL, "one way");
    }
}

static void test_memory_fails(void **state)
{
    struct hm_slice item = batch_of(transfer_tx(ALICE, 1));
    struct hm_slice request = cluster_request(&fix, check_info().height + 1, 0);
    unsigned failed = 0;

    (void)state;
    /* Some memory may be missing without harm: then less is remembered. */
    for (unsigned long nth = 1; nth < 60; nth++) {
        int rc;

        hm_alloc_fail_at(nth < 30 ? nth : nth - 29); /* first the one, then the other */
        rc = check_item(nth < 30 ? item : request);
        hm_alloc_fail_at(0);
        assert_true(rc == 0 || rc == HM_ENOMEM);
        failed += rc != 0;
    }
    assert_true(failed > 2);
    assert_int_equal(check_item(item), 0);
}

static void test_no_chain(void **state)
{
    struct ledger *ledger;
    struct store *store;

    (void)state;
    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    assert_int_equal(ledger_open(store, &ledger, NULL), 0);
    assert_int_equal(ledger_check_item(ledger, hm_slice_str("x"), 1, NULL), HM_ENOTFOUND);
    ledger_close(ledger);
    store_close(store);
}

/* --- while blocks are made --- */

struct checker {
    struct hm_slice item;
    uint64_t now_ms;
    atomic_bool stop;
    atomic_uint checked;
};

static void *checker_run(void *ctx)
{
    struct checker *checker = ctx;

    while (!atomic_load(&checker->stop)) {
        if (ledger_check_item(fix.ledger, checker->item, checker->now_ms, NULL) == 0)
            atomic_fetch_add(&checker->checked, 1);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct checker checkers[2] = {{.now_ms = fix.next_ms}, {.now_ms = fix.next_ms}};
    pthread_t threads[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        checkers[i].item = batch_of(transfer_tx(i ? DAVE : ERIN, 1));
        assert_int_equal(pthread_create(&threads[i], NULL, checker_run, &checkers[i]), 0);
    }
    for (unsigned block = 0; block < 20; block++)
        assert_int_equal(cluster_do(&fix, ALICE, op_transfer(&fix, BOB, 1), NULL)->code, 0);
    /* Each was called good at least once: its anchor is old enough for long. */
    while (!atomic_load(&checkers[0].checked) || !atomic_load(&checkers[1].checked))
        sched_yield();
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&checkers[i].stop, true);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, check_setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_good),     CASE(test_one_form),    CASE(test_bad_signatures),
        CASE(test_head),     CASE(test_ahead),       CASE(test_nothing_pays),
        CASE(test_requests), CASE(test_one_request), CASE(test_memory_fails),
        CASE(test_no_chain), CASE(test_threads),     CASE(test_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
