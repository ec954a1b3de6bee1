/* When the thread computes links of the chain of delays, and when it stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <unistd.h>

#include "crypto.h"
#include "node_vdf.h"

#define WAIT_MS    20000
#define STEPS      2000
#define NUDGE_MS   1000
#define STEPS_LONG (UINT64_C(1) << 36) /* a day */

struct chain {
    pthread_mutex_t lock; /* guards all below */
    struct ledger_vdf_task task; /* index 0: none */
    size_t turn;
    int offer_rc;
    uint64_t offered, nudged; /* how often */
    uint64_t index; /* of the last */
    uint8_t output[CRYPTO_VDF_ELEMENT_BYTES], proof[CRYPTO_VDF_ELEMENT_BYTES];
    struct node_vdf *vdf;
};

static int chain_task(void *ctx, struct ledger_vdf_task *out)
{
    struct chain *chain = ctx;

    pthread_mutex_lock(&chain->lock);
    int rc = chain->task.index > 0 ? 0 : HM_ENOTFOUND;
    if (rc == 0)
        *out = chain->task;
    pthread_mutex_unlock(&chain->lock);
    return rc;
}

static size_t chain_turn(void *ctx, const struct ledger_vdf_task *task)
{
    struct chain *chain = ctx;

    (void)task;
    pthread_mutex_lock(&chain->lock);
    size_t turn = chain->turn;
    pthread_mutex_unlock(&chain->lock);
    return turn;
}

static int chain_offer(void *ctx, uint64_t index, struct hm_slice output, struct hm_slice proof,
                       struct hm_error *error)
{
    struct chain *chain = ctx;

    pthread_mutex_lock(&chain->lock);
    chain->offered++;
    chain->index = index;
    assert_int_equal(output.len, sizeof(chain->output));
    assert_int_equal(proof.len, sizeof(chain->proof));
    memcpy(chain->output, output.data, output.len);
    memcpy(chain->proof, proof.data, proof.len);
    int rc = chain->offer_rc;
    pthread_mutex_unlock(&chain->lock);
    return rc == 0 ? 0 : hm_fail(error, rc, "not now");
}

static void chain_nudge(void *ctx)
{
    struct chain *chain = ctx;

    pthread_mutex_lock(&chain->lock);
    chain->nudged++;
    pthread_mutex_unlock(&chain->lock);
}

static int setup(void **state)
{
    struct chain *chain = hm_calloc(1, sizeof(*chain));

    assert_non_null(chain);
    assert_int_equal(crypto_setup(NULL), 0);
    hm_log_setup(-1, HM_LOG_ERROR, false);
    pthread_mutex_init(&chain->lock, NULL);
    *state = chain;
    return 0;
}

static int teardown(void **state)
{
    struct chain *chain = *state;

    node_vdf_close(chain->vdf);
    pthread_mutex_destroy(&chain->lock);
    hm_free(chain);
    return 0;
}

static void begin(struct chain *chain, uint64_t turn_ms)
{
    const struct node_vdf_options options = {.task = chain_task,
                                             .turn = chain_turn,
                                             .offer = chain_offer,
                                             .nudge = chain_nudge,
                                             .ctx = chain,
                                             .nudge_ms = NUDGE_MS,
                                             .turn_ms = turn_ms};

    assert_int_equal(node_vdf_open(&options, &chain->vdf, NULL), 0);
}

static void make_due(struct chain *chain, uint64_t index, uint64_t steps)
{
    pthread_mutex_lock(&chain->lock);
    chain->task = (struct ledger_vdf_task){.index = index, .steps = steps};
    memset(chain->task.input, (int)index, sizeof(chain->task.input));
    pthread_mutex_unlock(&chain->lock);
    node_vdf_saw_block(chain->vdf);
}

static uint64_t offered(struct chain *chain)
{
    pthread_mutex_lock(&chain->lock);
    uint64_t count = chain->offered;
    pthread_mutex_unlock(&chain->lock);
    return count;
}

static void wait_offered(struct chain *chain, uint64_t count)
{
    for (int i = 0; offered(chain) < count && i < WAIT_MS / 10; i++)
        usleep(10000);
    assert_int_equal(offered(chain), count);
}

static void wait_stats(struct chain *chain, struct node_vdf_stats *stats,
                       bool (*done)(const struct node_vdf_stats *stats))
{
    for (int i = 0; i < WAIT_MS / 10; i++) {
        node_vdf_get_stats(chain->vdf, stats);
        if (done(stats))
            return;
        usleep(10000);
    }
    fail_msg("not within %d ms", WAIT_MS);
}

static bool is_computing(const struct node_vdf_stats *stats)
{
    return stats->computing;
}

static bool has_given_up(const struct node_vdf_stats *stats)
{
    return stats->given_up > 0;
}

static void test_a_link_is_computed_once(void **state)
{
    struct chain *chain = *state;
    struct node_vdf_stats stats;

    begin(chain, 0);
    node_vdf_saw_block(chain->vdf);
    for (uint64_t index = 1; index <= 2; index++) {
        make_due(chain, index, STEPS);
        wait_offered(chain, index);
        assert_int_equal(chain->index, index);
        assert_int_equal(
            crypto_vdf_verify(chain->task.input, STEPS, chain->output, chain->proof, NULL), 0);
        node_vdf_saw_block(chain->vdf); /* still due: it is in no block yet */
        usleep(700000);
        assert_int_equal(offered(chain), index);
    }
    node_vdf_get_stats(chain->vdf, &stats);
    assert_int_equal(stats.computed, 2);
    assert_int_equal(stats.given_up, 0);
    assert_true(stats.busy_ns > 0);
}

/* For so much time, and while nobody makes blocks for ever. */
static void test_others_wait_for_their_turn(void **state)
{
    struct chain *chain = *state;
    uint64_t from_ns;

    chain->turn = 2;
    begin(chain, 1000);
    make_due(chain, 1, STEPS);
    usleep(2500000);
    assert_int_equal(offered(chain), 0);
    for (uint64_t i = 0; i < 2 * NODE_VDF_TURN_BLOCKS; i++)
        node_vdf_saw_block(chain->vdf);
    wait_offered(chain, 1);
    /* And blocks alone do not do, either. */
    from_ns = hm_mono_ns(hm_clock_system());
    make_due(chain, 2, STEPS);
    for (uint64_t i = 0; i < 8 * NODE_VDF_TURN_BLOCKS; i++) {
        node_vdf_saw_block(chain->vdf);
        usleep(10000);
    }
    for (int i = 0; offered(chain) < 2 && i < WAIT_MS / 10; i++) {
        node_vdf_saw_block(chain->vdf);
        usleep(10000);
    }
    assert_int_equal(offered(chain), 2);
    assert_true(hm_mono_ns(hm_clock_system()) - from_ns >= UINT64_C(2000000000));
}

static void test_who_has_no_turn_computes_nothing(void **state)
{
    struct chain *chain = *state;

    chain->turn = SIZE_MAX;
    begin(chain, 1);
    make_due(chain, 1, STEPS);
    usleep(300000);
    assert_int_equal(offered(chain), 0);
    pthread_mutex_lock(&chain->lock);
    chain->turn = 0; /* it has become a validator */
    pthread_mutex_unlock(&chain->lock);
    node_vdf_saw_block(chain->vdf);
    wait_offered(chain, 1);
}

static void test_another_was_first(void **state)
{
    struct chain *chain = *state;
    struct node_vdf_stats stats;

    begin(chain, 0);
    make_due(chain, 1, STEPS_LONG);
    wait_stats(chain, &stats, is_computing);
    pthread_mutex_lock(&chain->lock);
    chain->task.index = 0;
    pthread_mutex_unlock(&chain->lock);
    wait_stats(chain, &stats, has_given_up);
    assert_int_equal(stats.computed, 0);
    assert_int_equal(offered(chain), 0);
    make_due(chain, 2, STEPS);
    wait_offered(chain, 1);
    assert_int_equal(chain->index, 2);
}

static uint64_t nudged(struct chain *chain)
{
    pthread_mutex_lock(&chain->lock);
    uint64_t count = chain->nudged;
    pthread_mutex_unlock(&chain->lock);
    return count;
}

/* Blocks go on without it: another one is asked for, now and then, and never of a chain that is idle. */
static void test_a_link_that_no_block_takes(void **state)
{
    struct chain *chain = *state;

    begin(chain, 0);
    make_due(chain, 1, STEPS);
    wait_offered(chain, 1);
    usleep((NUDGE_MS + 500) * 1000);
    node_vdf_saw_block(chain->vdf);
    usleep(700000);
    assert_int_equal(nudged(chain), 0);
    for (uint64_t i = 0; i < NODE_VDF_NUDGE_BLOCKS; i++)
        node_vdf_saw_block(chain->vdf);
    for (int i = 0; nudged(chain) == 0 && i < WAIT_MS / 10; i++)
        usleep(10000);
    for (uint64_t i = 0; i < 2 * NODE_VDF_NUDGE_BLOCKS; i++)
        node_vdf_saw_block(chain->vdf);
    assert_int_equal(nudged(chain), 1); /* not at once again */
    make_due(chain, 2, STEPS);
    wait_offered(chain, 2);
    assert_int_equal(nudged(chain), 1);
}

static void test_it_ends_with_the_node(void **state)
{
    struct chain *chain = *state;
    struct node_vdf_stats stats;

    begin(chain, 0);
    make_due(chain, 1, STEPS_LONG);
    wait_stats(chain, &stats, is_computing);
    uint64_t from_ns = hm_mono_ns(hm_clock_system());
    node_vdf_stop(chain->vdf);
    assert_true(hm_mono_ns(hm_clock_system()) - from_ns < UINT64_C(10000000000));
    node_vdf_saw_block(chain->vdf); /* blocks may come until the engine is closed */
    assert_int_equal(offered(chain), 0);
}

static void test_an_engine_that_does_not_take_it(void **state)
{
    struct chain *chain = *state;
    struct node_vdf_stats stats;

    chain->offer_rc = HM_EUNAVAILABLE;
    begin(chain, 0);
    make_due(chain, 1, STEPS);
    for (int i = 0; offered(chain) < 3 && i < WAIT_MS / 10; i++) {
        usleep(10000);
        node_vdf_saw_block(chain->vdf);
    }
    pthread_mutex_lock(&chain->lock);
    chain->offer_rc = 0;
    uint64_t before = chain->offered;
    pthread_mutex_unlock(&chain->lock);
    assert_true(before >= 3);
    node_vdf_saw_block(chain->vdf);
    wait_offered(chain, before + 1);
    usleep(700000);
    node_vdf_saw_block(chain->vdf);
    usleep(700000);
    assert_int_equal(offered(chain), before + 1); /* taken */
    node_vdf_get_stats(chain->vdf, &stats);
    assert_int_equal(stats.computed, 1); /* once, however often it was offered */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_link_is_computed_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_others_wait_for_their_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_has_no_turn_computes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_was_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_link_that_no_block_takes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_ends_with_the_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_engine_that_does_not_take_it, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
