/* Many threads submit and watch; each account's own order holds, nobody is answered twice or not at all. */
#include "engine_fixture.h"

#include <stdlib.h>

#define THREADS    6 /* ALICE, BOB, CAROL, NODE, DAVE, ERIN */
#define PER_THREAD 24

static struct engine_fixture fix;

struct submitter {
    pthread_t thread;
    struct hm_slice txs[PER_THREAD]; /* each follows the one before */
    struct engine_answer *answers[PER_THREAD];
    struct engine_receipt receipts[PER_THREAD];
    bool waits; /* for each answer before the next */
    int rc;
};

static void *submit_all(void *arg)
{
    struct submitter *submitter = arg;

    for (size_t i = 0; i < PER_THREAD && submitter->rc == 0; i++)
        submitter->rc = submitter->waits
                            ? engine_submit_wait(fix.engine, submitter->txs[i],
                                                 &submitter->receipts[i], NULL)
                            : engine_submit(fix.engine, submitter->txs[i], engine_fixture_done,
                                            submitter->answers[i], NULL);
    return NULL;
}

static void *watch(void *arg)
{
    const atomic_bool *ends = arg;
    uint64_t txs = 0;

    while (!atomic_load(ends)) {
        struct engine_status status;
        struct ledger_info info;

        engine_get_status(fix.engine, &status);
        if (status.txs < txs || status.failed || ledger_info(fix.chain.ledger, &info, NULL) != 0)
            abort();
        txs = status.txs;
    }
    return NULL;
}

static void check_submitter(const struct submitter *submitter)
{
    uint64_t height = 0;
    unsigned place = 0;

    assert_int_equal(submitter->rc, 0);
    for (size_t i = 0; i < PER_THREAD; i++) {
        const struct engine_receipt *receipt = &submitter->receipts[i];

        if (!submitter->waits) {
            engine_fixture_expect_good(submitter->answers[i]);
            assert_true(submitter->answers[i]->place > place);
            place = submitter->answers[i]->place;
            receipt = &submitter->answers[i]->receipt;
        }
        assert_int_equal(receipt->code, 0); /* also: presence was as signed, so the order held */
        assert_true(receipt->block.height >= height + submitter->waits);
        height = receipt->block.height;
    }
}

static void many_threads(void **state)
{
    static struct submitter submitters[THREADS];
    struct engine_status status;
    atomic_bool ends = false;
    pthread_t watcher;
    uint64_t in_blocks = 0;

    (void)state;
    engine_fixture_init(&fix, NULL);
    for (size_t i = 0; i < THREADS; i++) {
        submitters[i].waits = i % 2 == 0;
        for (size_t t = 0; t < PER_THREAD; t++) {
            submitters[i].txs[t] = engine_fixture_transfer(&fix, (enum fixture_role)i);
            submitters[i].answers[t] = engine_fixture_answer(&fix);
        }
    }
    engine_fixture_start(&fix);
    assert_int_equal(pthread_create(&watcher, NULL, watch, &ends), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&submitters[i].thread, NULL, submit_all, &submitters[i]),
                         0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(submitters[i].thread, NULL);
    engine_fixture_wait_answers(&fix, THREADS / 2 * PER_THREAD);
    atomic_store(&ends, true);
    pthread_join(watcher, NULL);
    for (size_t i = 0; i < THREADS; i++)
        check_submitter(&submitters[i]);
    engine_get_status(fix.engine, &status);
    assert_int_equal(status.txs, THREADS * PER_THREAD);
    assert_int_equal(status.queued, 0);
    engine_close(fix.engine);
    fix.engine = NULL;
    assert_int_equal(fix.blocks, status.blocks);
    for (unsigned i = 0; i < fix.blocks; i++)
        in_blocks += fix.seen[i].block.txs;
    assert_int_equal(in_blocks, THREADS * PER_THREAD);
    engine_fixture_release(&fix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(many_threads)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
