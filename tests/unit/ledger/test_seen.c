/* What is remembered between the door, a proposal and its block: bounded, and never more than what was read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ledger_account.h"
#include "ledger_fixture.h"
#include "ledger_seen.h"

static int setup(void **state)
{
    static struct ledger_seen seen;

    *state = &seen;
    return ledger_seen_init(&seen);
}

static int teardown(void **state)
{
    ledger_seen_release(*state);
    return 0;
}

static struct ledger_seen_tx tx_of(uint8_t mark)
{
    struct ledger_seen_tx tx = {.weight = mark, .readable = true, .whole = true};

    memset(tx.key, mark, sizeof tx.key);
    memset(tx.digest, mark + 1, sizeof tx.digest);
    return tx;
}

/* A signature alone tells nothing of what was signed, and takes nothing away of what is known. */
static void test_tx(void **state)
{
    struct ledger_seen_tx tx = tx_of(7);
    struct ledger_seen_tx other = tx_of(7);
    struct ledger_seen_tx found;

    assert_false(ledger_seen_has(*state, tx.key));
    ledger_seen_add(*state, tx.key);
    assert_true(ledger_seen_has(*state, tx.key));
    assert_false(ledger_seen_tx_find(*state, tx.key, &found));
    ledger_seen_tx_add(*state, &tx);
    ledger_seen_add(*state, tx.key);
    assert_true(ledger_seen_tx_find(*state, tx.key, &found));
    assert_memory_equal(&found, &tx, sizeof tx);
    other.key[31] ^= 1; /* the same slot */
    assert_false(ledger_seen_tx_find(*state, other.key, &found));
    ledger_seen_add(*state, other.key);
    assert_true(ledger_seen_has(*state, other.key));
    assert_false(ledger_seen_has(*state, tx.key));
    assert_false(ledger_seen_tx_find(*state, tx.key, &found));
    assert_false(ledger_seen_tx_find(*state, other.key, &found));
}

static void batch_keep(struct ledger_seen *seen, uint32_t number, struct ledger_seen_tx *txs,
                       size_t count)
{
    struct ledger_seen_batch batch = {.txs = txs, .count = count};

    hm_put_be32(batch.key, number);
    hm_put_be32(batch.tx_root, ~number);
    ledger_seen_batch_keep(seen, &batch);
}

static bool batch_known(struct ledger_seen *seen, uint32_t number, struct hm_arena *arena,
                        struct ledger_seen_batch *out)
{
    uint8_t key[CRYPTO_HASH_BYTES] = {0};

    hm_put_be32(key, number);
    return ledger_seen_batch_find(seen, key, arena, out);
}

static void test_batches(void **state)
{
    struct ledger_seen *seen = *state;
    struct ledger_seen_tx txs[2] = {tx_of(1), tx_of(2)};
    struct ledger_seen_batch found;
    struct hm_arena arena;
    uint8_t root[4];

    hm_arena_init(&arena, 0);
    for (uint32_t i = 0; i < LEDGER_SEEN_BATCHES; i++)
        batch_keep(seen, i, txs, 2);
    batch_keep(seen, 3, txs, 2); /* known: kept once */
    assert_true(batch_known(seen, 0, &arena, &found));
    assert_int_equal(found.count, 2);
    assert_memory_equal(found.txs, txs, sizeof txs);
    hm_put_be32(root, ~UINT32_C(0));
    assert_memory_equal(found.tx_root, root, 4);
    batch_keep(seen, LEDGER_SEEN_BATCHES, txs, 1);
    assert_false(batch_known(seen, 0, &arena, &found));
    assert_true(batch_known(seen, 1, &arena, &found));
    assert_true(batch_known(seen, LEDGER_SEEN_BATCHES, &arena, &found));
    arena.limit = 1;
    assert_false(batch_known(seen, 1, &arena, &found)); /* no memory for the copy */
    hm_arena_release(&arena);
}

/* However large batches are, no more transactions are remembered than the bound says. */
static void test_batches_are_bounded(void **state)
{
    struct ledger_seen *seen = *state;
    struct ledger_seen_tx *txs = hm_calloc(LEDGER_SEEN_TXS + 1, sizeof *txs);
    struct ledger_seen_batch found;
    struct hm_arena arena;

    assert_non_null(txs);
    hm_arena_init(&arena, 0);
    batch_keep(seen, 1, txs, 10);
    batch_keep(seen, 2, txs, LEDGER_SEEN_TXS + 1);
    assert_false(batch_known(seen, 2, &arena, &found));
    batch_keep(seen, 3, txs, LEDGER_SEEN_TXS - 10);
    assert_true(batch_known(seen, 1, &arena, &found));
    assert_int_equal(seen->batch_txs, LEDGER_SEEN_TXS);
    batch_keep(seen, 4, txs, 1);
    assert_false(batch_known(seen, 1, &arena, &found));
    assert_true(batch_known(seen, 3, &arena, &found));
    batch_keep(seen, 5, txs, LEDGER_SEEN_TXS);
    assert_false(batch_known(seen, 4, &arena, &found));
    assert_true(batch_known(seen, 5, &arena, &found));
    assert_int_equal(seen->batch_count, 1);
    hm_free(txs);
    hm_arena_release(&arena);
}

/* --- copies of accounts --- */

static void pack(const Hypermesh__Account *account, struct hm_buf *out)
{
    hm_buf_clear(out);
    assert_int_equal(wire_pack(&account->base, out), 0);
}

/* The copy says the same, and goes on doing so whatever becomes of what it was made of. */
static void test_account_copy(void **state)
{
    uint8_t bytes[3][32] = {{1}, {2}, {3}};
    char endpoint[] = "somewhere:1";
    Hypermesh__Account account = HYPERMESH__ACCOUNT__INIT;
    Hypermesh__Session session = HYPERMESH__SESSION__INIT;
    Hypermesh__Session *sessions[1] = {&session};
    Hypermesh__Unbonding unbonding = HYPERMESH__UNBONDING__INIT;
    Hypermesh__Unbonding *queue[1] = {&unbonding};
    Hypermesh__PlotCommitment plot = HYPERMESH__PLOT_COMMITMENT__INIT;
    Hypermesh__Account *copy;
    struct hm_buf before = {0};
    struct hm_buf after = {0};
    void *room;

    (void)state;
    /* One more field is one more thing to copy, or to refuse to copy. */
    assert_int_equal(hypermesh__account__descriptor.n_fields, 19);
    account.hyper = 1;
    account.caes = 2;
    account.bonded = 3;
    account.unbonding = queue;
    account.n_unbonding = 1;
    unbonding.amount = 4;
    unbonding.free_ms = 5;
    account.presence = wire_bytes(bytes[0], 32);
    account.txs = 6;
    account.sessions = sessions;
    account.n_sessions = 1;
    session.key = wire_bytes(bytes[1], 32);
    session.scope = 7;
    session.expires_ms = 8;
    account.rate_start_ms = 9;
    account.rate_count = 10;
    account.rate_previous = 11;
    account.plot = &plot;
    plot.root = wire_bytes(bytes[2], 32);
    plot.labels = 12;
    plot.segment_labels = 13;
    account.endpoint = endpoint;
    account.assets = 14;
    account.deposits = 15;
    account.networks = 16;
    account.kv_leases = 17;
    pack(&account, &before);
    room = hm_malloc(ledger_account_copy_bytes(&account));
    assert_non_null(room);
    copy = ledger_account_copy(&account, room);
    memset(bytes, 0xff, sizeof bytes);
    memset(endpoint, 'x', sizeof endpoint - 1);
    unbonding.amount = 0;
    session.expires_ms = 0;
    plot.labels = 0;
    sessions[0] = NULL;
    queue[0] = NULL;
    pack(copy, &after);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    hm_free(room);
    hm_buf_release(&before);
    hm_buf_release(&after);
}

static void test_account_not_copied(void **state)
{
    Hypermesh__Account account = HYPERMESH__ACCOUNT__INIT;
    Hypermesh__NodeMarks marks = HYPERMESH__NODE_MARKS__INIT;
    Hypermesh__Proxies proxies = HYPERMESH__PROXIES__INIT;

    (void)state;
    assert_true(ledger_account_copy_bytes(&account) > 0);
    account.marks = &marks;
    assert_int_equal(ledger_account_copy_bytes(&account), 0);
    account.marks = NULL;
    account.proxies = &proxies;
    assert_int_equal(ledger_account_copy_bytes(&account), 0);
    account.proxies = NULL;
    account.n_peers = 1;
    assert_int_equal(ledger_account_copy_bytes(&account), 0);
    account.n_peers = 0;
    account.n_sessions = 1000;
    assert_int_equal(ledger_account_copy_bytes(&account), 0);
    account.n_sessions = 0;
    account.n_unbonding = 1000;
    assert_int_equal(ledger_account_copy_bytes(&account), 0);
}

/* --- through the ledger --- */

/* A block is the same whether its transactions were seen at the door, in a proposal, or never. */
static void test_same_block(void **state)
{
    uint8_t roots[3][32];

    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        struct ledger_proposal proposal;
        struct ledger_outcome outcome;
        struct hm_slice txs[40];
        struct hm_slice item;
        struct fixture fix;

        assert_int_equal(fixture_init(&fix, NULL), 0);
        for (size_t i = 0; i < HM_COUNT_OF(txs); i++) {
            Hypermesh__Operation *ops[2] = {
                op_transfer(&fix, (enum fixture_role)((i + 1) % POOR), 1 + i),
                i % 5 == 4 ? op_transfer(&fix, BOB, UINT64_MAX) : op_bond(&fix, 3)};

            txs[i] = fixture_tx(&fix, (enum fixture_role)(i % POOR), ops, 2);
        }
        for (size_t i = 0; how == 2 && i < HM_COUNT_OF(txs); i++)
            assert_int_equal(ledger_check_tx(fix.ledger, txs[i], fix.next_ms, NULL, NULL), 0);
        item = fixture_batch(&fix, txs, HM_COUNT_OF(txs));
        fixture_propose(&fix, &item, 1, &proposal);
        if (how >= 1)
            assert_int_equal(ledger_process(fix.ledger, &proposal, NULL), 0);
        assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, NULL), 0);
        assert_int_equal(outcome.record->n_results, HM_COUNT_OF(txs));
        for (size_t i = 0; i < HM_COUNT_OF(txs); i++)
            assert_int_equal(outcome.record->results[i]->code, i % 5 == 4 ? HM_EFUNDS : 0);
        memcpy(roots[how], outcome.state_root, 32);
        assert_int_equal(ledger_commit(fix.ledger, NULL), 0);
        fixture_release(&fix);
    }
    assert_memory_equal(roots[0], roots[1], 32);
    assert_memory_equal(roots[0], roots[2], 32);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_tx),
        CASE(test_batches),
        CASE(test_batches_are_bounded),
        cmocka_unit_test(test_account_copy),
        cmocka_unit_test(test_account_not_copied),
        cmocka_unit_test(test_same_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
