/* Which batches have a place in a proposal: bytes that nobody pays for are few, whatever their senders do. */
#include "cluster_fixture.h"
#include "ledger_check.h"
#include "ledger_kv_ops.h"

#define LARGE      20000 /* a value that makes a transaction count */
#define BATCHES    12
#define BATCH_TXS  8
#define RANDOM_RUN 120

static Hypermesh__Operation *large_put(void)
{
    static char value[LARGE + 1];

    memset(value, 'v', LARGE);
    return op_kv_put(&fix, "k", value, 0);
}

static struct hm_slice tx_of(enum fixture_role who, Hypermesh__Operation *op)
{
    return fixture_tx(&fix, who, &op, 1);
}

/* Its fee is more than it allows. Whoever sends it need not wait for it to come to anything. */
static struct hm_slice unpaid_tx(enum fixture_role who)
{
    Hypermesh__Operation *op = large_put();
    Hypermesh__TxBody *body = fixture_body(&fix, who, &op, 1);
    uint8_t presence[32];

    memcpy(presence, fix.people[who].presence, sizeof(presence));
    body->fee_limit = 1;
    struct hm_slice tx = fixture_pack(&fix, &fixture_sign(&fix, who, body, false)->base);
    memcpy(fix.people[who].presence, presence, sizeof(presence));
    return tx;
}

static int judged(const struct hm_slice *items, size_t count, bool *pays)
{
    return ledger_items_pay(fix.ledger, items, count, fix.next_ms, pays, &fix.error);
}

static void test_free_bytes(void **state)
{
    struct hm_slice txs[1 + 4];
    struct hm_slice items[3];
    bool pays[3];

    (void)state;
    txs[0] = tx_of(ALICE, op_transfer(&fix, BOB, 1));
    for (unsigned i = 1; i < HM_COUNT_OF(txs); i++)
        txs[i] = unpaid_tx(CAROL);
    /* 60,000 bytes are nobody's fault, 80,000 are. */
    items[0] = fixture_batch(&fix, txs, 4);
    items[1] = fixture_batch(&fix, txs, 5);
    assert_int_equal(judged(items, 1, NULL), 0);
    assert_int_equal(ledger_check_item(fix.ledger, items[0], fix.next_ms, NULL), 0);
    assert_int_equal(judged(items + 1, 1, NULL), HM_ELIMIT);
    assert_non_null(strstr(fix.error.text, "fee_limit"));
    assert_int_equal(ledger_check_item(fix.ledger, items[1], fix.next_ms, NULL), HM_ELIMIT);
    /* They are those of all batches together. */
    txs[0] = tx_of(DAVE, op_transfer(&fix, BOB, 1));
    items[1] = fixture_batch(&fix, txs, 4);
    txs[0] = tx_of(ERIN, large_put());
    items[2] = fixture_batch(&fix, txs, 1);
    assert_int_equal(judged(items, 3, pays), 0);
    assert_true(pays[0] && !pays[1] && pays[2]);
    assert_int_equal(judged(items, 2, NULL), HM_ELIMIT);
    /* And as many more as are paid for. */
    struct hm_slice paid[4];
    for (unsigned i = 0; i < HM_COUNT_OF(paid); i++)
        paid[i] = tx_of(ERIN, large_put());
    items[2] = items[1];
    items[1] = fixture_batch(&fix, paid, HM_COUNT_OF(paid));
    struct hm_slice first = fixture_batch(&fix, txs, 1);
    const struct hm_slice all[4] = {first, items[0], items[1], items[2]};
    assert_int_equal(judged(all, 4, NULL), 0);
}

/* What it has is enough for each of its acts, but not for all. */
static void test_one_balance(void **state)
{
    uint64_t hyper = fixture_account(&fix, DAVE)->hyper;
    struct hm_slice items[BATCHES];
    struct hm_slice tx;
    bool pays[BATCHES];
    size_t placed = 0;

    (void)state;
    /* All but a little goes to somebody who may be the same person. */
    tx = tx_of(DAVE, op_transfer(&fix, BOB, hyper - FIXTURE_HYPER / 4));
    items[0] = fixture_batch(&fix, &tx, 1);
    for (unsigned i = 1; i < BATCHES; i++) {
        tx = tx_of(DAVE, large_put());
        items[i] = fixture_batch(&fix, &tx, 1);
    }
    assert_int_equal(judged(items, BATCHES, pays), 0);
    while (placed < BATCHES && pays[placed])
        placed++;
    assert_true(placed >= 1 && placed < BATCHES);
    for (size_t i = placed; i < BATCHES; i++)
        assert_false(pays[i]);
    /* So it is. */
    assert_int_equal(cluster_block(&fix, items, BATCHES, NULL), 0);
    for (size_t i = 0; i < BATCHES; i++)
        assert_int_equal(fix.record->results[i]->fee > 0, i < placed);
}

/* The session is given back first: only the block knows that the rest is nothing. */
static void test_session_gone(void **state)
{
    struct hm_slice txs[1 + 5];
    struct hm_slice item;

    (void)state;
    txs[0] = tx_of(ALICE, op_revoke(&fix, fix.people[ALICE].session.public_key));
    for (unsigned i = 1; i < HM_COUNT_OF(txs); i++)
        txs[i] = tx_of(ALICE, large_put());
    item = fixture_batch(&fix, txs, 4);
    assert_int_equal(judged(&item, 1, NULL), 0);
    item = fixture_batch(&fix, txs, 6);
    assert_int_equal(judged(&item, 1, NULL), HM_ELIMIT);
    assert_non_null(strstr(fix.error.text, "give away"));
}

/* Nor are batches of a node that gives up what lets it seal them. */
static void test_node_gone(void **state)
{
    struct hm_slice items[1 + 5];
    struct hm_slice tx = tx_of(NODE, op_revoke(&fix, fix.people[NODE].session.public_key));
    bool pays[6];

    (void)state;
    items[0] = fixture_batch(&fix, &tx, 1);
    for (unsigned i = 1; i < HM_COUNT_OF(items); i++) {
        tx = tx_of(ALICE, large_put());
        items[i] = fixture_batch(&fix, &tx, 1);
    }
    assert_int_equal(judged(items, 4, NULL), 0);
    assert_int_equal(judged(items, 6, pays), 0);
    assert_true(pays[3] && !pays[4] && !pays[5]);
}

/* A batch that has no place changes nothing for those behind it. */
static void test_undone(void **state)
{
    struct hm_slice txs[1 + 4];
    struct hm_slice items[3];
    uint8_t presence[32];
    bool pays[3];

    (void)state;
    memcpy(presence, fix.people[ALICE].presence, sizeof(presence));
    txs[0] = tx_of(ALICE, op_transfer(&fix, BOB, 1));
    for (unsigned i = 1; i < HM_COUNT_OF(txs); i++)
        txs[i] = unpaid_tx(CAROL);
    items[0] = fixture_batch(&fix, txs, HM_COUNT_OF(txs));
    struct hm_slice after = tx_of(ALICE, op_transfer(&fix, BOB, 2));
    items[1] = fixture_batch(&fix, &after, 1);
    memcpy(fix.people[ALICE].presence, presence, sizeof(presence));
    struct hm_slice instead = tx_of(ALICE, op_transfer(&fix, BOB, 3));
    items[2] = fixture_batch(&fix, &instead, 1);
    assert_int_equal(judged(items, 3, pays), 0);
    assert_true(!pays[0] && !pays[1] && pays[2]);
}

static void test_memory_fails(void **state)
{
    struct hm_slice txs[2] = {tx_of(ALICE, op_transfer(&fix, BOB, 1)),
                              tx_of(BOB, op_transfer(&fix, CAROL, 1))};
    struct hm_slice item = fixture_batch(&fix, txs, 2);
    unsigned failed = 0;

    (void)state;
    for (unsigned long nth = 1; nth < 30; nth++) {
        hm_alloc_fail_at(nth);
        int rc = judged(&item, 1, NULL);
        hm_alloc_fail_at(0);
        assert_true(rc == 0 || rc == HM_ENOMEM);
        failed += rc != 0;
    }
    assert_true(failed > 2);
    assert_int_equal(judged(&item, 1, NULL), 0);
}

/* --- anything ------------------------------------------------------------------------------------------------ */

static uint32_t drawn;

static unsigned draw(unsigned below)
{
    drawn = drawn * UINT32_C(1664525) + UINT32_C(1013904223);
    return (drawn >> 8) % below;
}

static Hypermesh__Operation *any_op(enum fixture_role who)
{
    switch (draw(10)) {
    case 0:
        return op_transfer(&fix, (enum fixture_role)draw(FIXTURE_PEOPLE), 1 + draw(1000));
    case 1: {
        uint64_t hyper = fixture_account(&fix, who)->hyper;
        return op_transfer(&fix, BOB, hyper - hyper / (1 + draw(100000)) + 1);
    }
    case 2:
        return op_bond(&fix, 1 + fixture_account(&fix, who)->hyper / (1 + draw(3)));
    case 3:
        return op_revoke(&fix, fix.people[who].session.public_key);
    default:
        return large_put();
    }
}

static struct hm_slice any_tx(void)
{
    enum fixture_role who = (enum fixture_role)draw(FIXTURE_PEOPLE);

    switch (draw(6)) {
    case 0:
        return unpaid_tx(who);
    case 1: { /* of two that follow the same, only one can */
        uint8_t presence[32];
        memcpy(presence, fix.people[who].presence, sizeof(presence));
        struct hm_slice tx = tx_of(who, any_op(who));
        memcpy(fix.people[who].presence, presence, sizeof(presence));
        return tx;
    }
    default:
        return tx_of(who, any_op(who));
    }
}

static void any_run(void)
{
    struct hm_slice items[BATCHES], placed[BATCHES];
    struct hm_slice txs[BATCHES * BATCH_TXS];
    bool pays[BATCHES];
    size_t count = 0, lens = 0, paid = 0, unpaid = 0;

    for (size_t i = 0; i < BATCHES; i++) {
        size_t n = 1 + draw(BATCH_TXS);
        struct hm_slice batch[BATCH_TXS];

        for (size_t k = 0; k < n; k++)
            batch[k] = any_tx();
        items[i] = fixture_batch(&fix, batch, n);
        /* Kept in their order, whether they will have a place or not. */
        memcpy(txs + i * BATCH_TXS, batch, n * sizeof(*batch));
        if (n < BATCH_TXS)
            txs[i * BATCH_TXS + n] = (struct hm_slice){0};
    }
    assert_int_equal(judged(items, BATCHES, pays), 0);
    for (size_t i = 0; i < BATCHES; i++) {
        if (!pays[i])
            continue;
        placed[count++] = items[i];
        /* Whoever judges them one by one, or all at once, finds the same. */
        assert_int_equal(judged(placed, count, NULL), 0);
    }
    assert_int_equal(cluster_block(&fix, placed, count, NULL), 0);
    for (size_t i = 0; i < BATCHES; i++)
        for (size_t k = 0; pays[i] && k < BATCH_TXS && txs[i * BATCH_TXS + k].len > 0; k++)
            if (fix.record->results[lens++]->fee > 0)
                paid += txs[i * BATCH_TXS + k].len;
            else
                unpaid += txs[i * BATCH_TXS + k].len;
    assert_int_equal(lens, fix.record->n_results);
    if (unpaid > LEDGER_UNPAID_FREE_BYTES + paid)
        fail_msg("%zu bytes were paid for, %zu not", paid, unpaid);
}

static void test_whatever_they_do(void **state)
{
    (void)state;
    for (uint32_t run = 1; run <= RANDOM_RUN; run++) {
        drawn = run;
        any_run();
        assert_int_equal(fixture_restart(&fix), 0);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, check_setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_free_bytes),       CASE(test_one_balance), CASE(test_session_gone),
        CASE(test_node_gone),        CASE(test_undone),      CASE(test_memory_fails),
        CASE(test_whatever_they_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
