/* What a submitter keeps of its result: of a transaction that several share, each his own part. */
#include "engine_fixture.h"
#include "ledger_kv_ops.h"

static struct fixture fix;

static int setup(void **state)
{
    (void)state;
    return fixture_init(&fix, NULL);
}

static int teardown(void **state)
{
    (void)state;
    fixture_release(&fix);
    return 0;
}

/* Two puts, a network, a range: answers of operations 0, 1 and 3. */
static Hypermesh__TxResult *shared_result(void)
{
    Hypermesh__KvTxn *txn = kv_txn(&fix);
    Hypermesh__Operation *ops[4] = {op_kv_put(&fix, "a", "one", 0), op_kv_put(&fix, "aa", "two", 0),
                                    op_network(&fix, "net", true), op_kv_txn(&fix, txn)};
    Hypermesh__TxResult *result;

    kv_then_range(&fix, txn, true, "a", "b");
    result = fixture_do_many(&fix, ALICE, ops, 4);
    assert_non_null(result);
    assert_int_equal(result->code, 0);
    assert_int_equal(result->n_kv, 3);
    return result;
}

static Hypermesh__KvAnswer **answers_of(const struct engine_receipt *receipt, size_t wanted)
{
    Hypermesh__KvAnswer **answers;
    size_t count;

    assert_int_equal(engine_receipt_answers(receipt, &fix.arena, &answers, &count, NULL), 0);
    assert_int_equal(count, wanted);
    return answers;
}

static void the_whole(void **state)
{
    const struct engine_block block = {.height = 7, .time_ms = 8, .txs = 1};
    const Hypermesh__TxResult *result = shared_result();
    struct engine_receipt receipt;
    Hypermesh__KvAnswer **answers;

    (void)state;
    engine_receipt_fill(&receipt, result, &block);
    assert_int_equal(receipt.code, 0);
    assert_string_equal(receipt.text, "");
    assert_int_equal(receipt.fee, result->fee);
    assert_memory_equal(receipt.digest, result->digest.data, sizeof(receipt.digest));
    assert_memory_equal(&receipt.block, &block, sizeof(block));
    assert_int_equal(receipt.created_count, 1);
    assert_memory_equal(receipt.created[0], result->created[0].data, 32);
    answers = answers_of(&receipt, 3);
    assert_int_equal(answers[0]->revision, 2);
    assert_int_equal(answers[1]->op, 1);
    assert_int_equal(answers[2]->op, 3);
    assert_int_equal(answers[2]->answers[0]->n_pairs, 2);
    engine_receipt_release(&receipt);
    engine_receipt_release(&receipt);
    engine_receipt_release(NULL);
}

/* Operations 1 to 3, numbered from 0; what is before is somebody else's. */
static void a_part(void **state)
{
    const Hypermesh__TxResult *result = shared_result();
    struct engine_receipt receipt;
    Hypermesh__KvAnswer **answers;

    (void)state;
    engine_receipt_fill_part(&receipt, result, NULL, 1, 3);
    answers = answers_of(&receipt, 2);
    assert_int_equal(answers[0]->op, 0);
    assert_int_equal(answers[0]->revision, 3);
    assert_int_equal(answers[1]->op, 2);
    assert_int_equal(receipt.block.height, 0);
    engine_receipt_release(&receipt);

    engine_receipt_fill_part(&receipt, result, NULL, 2, 1); /* the network answers nothing */
    assert_null(answers_of(&receipt, 0));
    engine_receipt_release(&receipt);
    assert_int_equal(result->kv[1]->op, 1); /* the result itself is as it was */
}

static void a_refusal(void **state)
{
    Hypermesh__Operation *op = op_kv_put(&fix, "b/1", "v", 0);
    const Hypermesh__TxResult *result = fixture_do(&fix, ALICE, op);
    struct engine_receipt receipt;

    (void)state;
    engine_receipt_fill(&receipt, result, NULL);
    assert_int_equal(receipt.code, HM_EPERM);
    assert_string_equal(receipt.text, result->text);
    assert_null(answers_of(&receipt, 0));
    engine_receipt_release(&receipt);
}

/* Answers for which there is no memory are lost, and said to be. */
static void no_memory(void **state)
{
    const Hypermesh__TxResult *result = shared_result();
    struct engine_receipt receipt;
    Hypermesh__KvAnswer **answers;
    struct hm_error error = {0};
    unsigned long nth = 0;
    bool lost;
    size_t count;

    (void)state;
    do {
        hm_alloc_fail_at(++nth);
        engine_receipt_fill(&receipt, result, NULL);
        hm_alloc_fail_at(0);
        lost = receipt.kv_lost;
        assert_int_equal(receipt.fee, result->fee);
        if (lost) {
            assert_int_equal(engine_receipt_answers(&receipt, &fix.arena, &answers, &count, &error),
                             HM_ENOMEM);
            assert_non_null(strstr(error.text, "the transaction is durable"));
        }
        engine_receipt_release(&receipt);
    } while (lost && nth < 100);
    assert_false(lost);
    assert_true(nth > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_part, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refusal, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
