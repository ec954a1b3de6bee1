/* Shares of streams and the exactness of rates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "stoq_sched.h"

#define NODES 40

__extension__ typedef unsigned __int128 wide;

static size_t below(const struct hm_random *source, size_t most)
{
    return (size_t)(hm_random_u64(source) % most);
}

/* Sends bytes in packets of one size; each node counts what it sent. */
static void spend(struct stoq_sched *sched, struct stoq_sched_node *nodes, uint64_t *sent,
                  uint64_t bytes, size_t packet)
{
    for (uint64_t done = 0; done < bytes; done += packet) {
        struct stoq_sched_node *node = stoq_sched_next(sched);

        assert_non_null(node);
        sent[node - nodes] += packet;
        stoq_sched_spent(sched, node, packet);
    }
}

static void test_shares_follow_weights(void **state)
{
    static const size_t packets[] = {100, 1452, 8900, 65487};
    static const uint16_t weights[] = {1, 16, 64, 256};

    (void)state;
    for (size_t p = 0; p < HM_COUNT_OF(packets); p++) {
        struct stoq_sched sched;
        struct stoq_sched_node nodes[4];
        uint64_t sent[4] = {0}, whole = 0;
        const uint64_t bytes = 400 * 1000 * 1000;

        stoq_sched_init(&sched);
        assert_null(stoq_sched_next(&sched));
        for (size_t i = 0; i < 4; i++) {
            stoq_sched_node_init(&nodes[i], 3, weights[i]);
            stoq_sched_add(&sched, &nodes[i]);
            stoq_sched_add(&sched, &nodes[i]);
            whole += weights[i];
        }
        spend(&sched, nodes, sent, bytes, packets[p]);
        for (size_t i = 0; i < 4; i++) {
            uint64_t fair = bytes / whole * weights[i];
            /* what rounding to packets and turns may do */
            uint64_t slack = 2 * 65536 + 2 * 65536 * (uint64_t)weights[i] / 16;

            assert_true(sent[i] + slack >= fair && sent[i] <= fair + slack);
        }
    }
}

static void test_classes_are_strict(void **state)
{
    struct stoq_sched sched;
    struct stoq_sched_node nodes[3];
    uint64_t sent[3] = {0};

    (void)state;
    stoq_sched_init(&sched);
    stoq_sched_node_init(&nodes[0], 7, 256);
    stoq_sched_node_init(&nodes[1], 2, 1);
    stoq_sched_node_init(&nodes[2], 200,
                         999); /* out of range: the last class, the largest weight */
    assert_int_equal(nodes[2].priority, STOQ_PRIORITY_CLASSES - 1);
    assert_int_equal(nodes[2].weight, STOQ_WEIGHT_MAX);
    for (size_t i = 0; i < 3; i++)
        stoq_sched_add(&sched, &nodes[i]);
    spend(&sched, nodes, sent, 1000000, 1000);
    assert_int_equal(sent[1], 1000000);
    stoq_sched_set(&sched, &nodes[0], 0, 0);
    assert_int_equal(nodes[0].weight, 16);
    spend(&sched, nodes, sent, 1000000, 1000);
    assert_int_equal(sent[0], 1000000);
    stoq_sched_remove(&sched, &nodes[0]);
    stoq_sched_remove(&sched, &nodes[0]);
    stoq_sched_remove(&sched, &nodes[1]);
    assert_ptr_equal(stoq_sched_next(&sched), &nodes[2]);
    stoq_sched_remove(&sched, &nodes[2]);
    assert_null(stoq_sched_next(&sched));
    assert_int_equal(sched.classes, 0);
}

/* One that sent alone owes nothing to one that comes later; one that leaves and comes back gains nothing. */
static void test_comers_and_goers(void **state)
{
    struct stoq_sched sched;
    struct stoq_sched_node nodes[2];
    uint64_t sent[2] = {0};

    (void)state;
    stoq_sched_init(&sched);
    stoq_sched_node_init(&nodes[0], 1, 16);
    stoq_sched_node_init(&nodes[1], 1, 16);
    stoq_sched_add(&sched, &nodes[0]);
    spend(&sched, nodes, sent, 50000000, 60000);
    sent[0] = 0;
    stoq_sched_add(&sched, &nodes[1]);
    for (int i = 0; i < 1000; i++) {
        struct stoq_sched_node *node = stoq_sched_next(&sched);

        sent[node - nodes] += 60000;
        stoq_sched_spent(&sched, node, 60000);
        if (node == &nodes[1]) { /* empties and fills again each time */
            stoq_sched_remove(&sched, node);
            stoq_sched_add(&sched, node);
        }
    }
    assert_in_range(sent[0], 29000000, 31000000);
}

static void test_sched_model(void **state)
{
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, 5);
    struct stoq_sched sched;
    struct stoq_sched_node nodes[NODES];
    bool in[NODES] = {false};

    (void)state;
    stoq_sched_init(&sched);
    for (size_t i = 0; i < NODES; i++)
        stoq_sched_node_init(&nodes[i], (uint8_t)below(&random, 8), (uint16_t)below(&random, 257));
    for (int step = 0; step < 200000; step++) {
        size_t i = below(&random, NODES);
        int best = STOQ_PRIORITY_CLASSES;

        switch (below(&random, 5)) {
        case 0:
            stoq_sched_add(&sched, &nodes[i]);
            in[i] = true;
            break;
        case 1:
            stoq_sched_remove(&sched, &nodes[i]);
            in[i] = false;
            break;
        case 2:
            stoq_sched_set(&sched, &nodes[i], (uint8_t)below(&random, 8),
                           (uint16_t)below(&random, 257));
            break;
        default:
            break;
        }
        for (size_t n = 0; n < NODES; n++) {
            assert_int_equal(nodes[n].queued, in[n]);
            if (in[n] && nodes[n].priority < best)
                best = nodes[n].priority;
        }
        struct stoq_sched_node *node = stoq_sched_next(&sched);
        if (best == STOQ_PRIORITY_CLASSES) {
            assert_null(node);
        } else {
            assert_int_equal(node->priority, best);
            assert_true(in[node - nodes]);
            stoq_sched_spent(&sched, node, below(&random, 70000));
        }
    }
}

/* Greedy sender at odd moments: what it sent in a time is the burst and rate times time, to the byte. */
static void rate_exact(uint64_t rate_bits, uint64_t burst, size_t packet, uint64_t seed)
{
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, seed);
    const uint64_t start = 123456789, seconds = 10;
    uint64_t now = start, sent = 0;
    struct stoq_bucket bucket;

    stoq_bucket_init(&bucket, rate_bits, burst, now);
    assert_int_equal(stoq_bucket_room(&bucket, now), burst);
    while (now < start + seconds * STOQ_NS_PER_S) {
        size_t room = stoq_bucket_room(&bucket, now);

        if (room < packet) {
            uint64_t ready = stoq_bucket_ready_ns(&bucket, packet);

            assert_true(ready > now);
            if (below(&random, 2) == 0) { /* a look between, which finds too little */
                now += (ready - now) / 2;
                (void)stoq_bucket_room(&bucket, now);
                assert_int_equal(stoq_bucket_ready_ns(&bucket, packet), ready);
            }
            assert_true(ready == now + 1 ||
                        stoq_bucket_room(&bucket, ready - 1) < packet); /* not a moment late */
            now = ready;
            assert_true(stoq_bucket_room(&bucket, now) >= packet); /* nor early */
            continue;
        }
        stoq_bucket_spend(&bucket, packet);
        sent += packet;
    }
    uint64_t allowed = (uint64_t)((wide)rate_bits * (now - start) / (8 * STOQ_NS_PER_S));
    assert_true(sent <= burst + allowed);
    assert_true(sent + 2 * packet >= burst + allowed); /* 3 % would be far more */
}

static void test_bucket_rate(void **state)
{
    (void)state;
    rate_exact(64000, 3000, 1200, 1);
    rate_exact(100000000, 15000, 1452, 2);
    rate_exact(1000000000, 65535, 9000, 3);
    rate_exact(2500000000ULL, 131070, 65535, 4);
    rate_exact(333333333, 10000, 1337, 5);
    rate_exact(1000000000000ULL, 2000000, 65535 * 16, 6);
}

static void test_bucket_edges(void **state)
{
    struct stoq_bucket bucket;

    (void)state;
    stoq_bucket_init(&bucket, 0, 0, 5);
    assert_int_equal(stoq_bucket_room(&bucket, 6), SIZE_MAX);
    stoq_bucket_spend(&bucket, 1000000);
    assert_int_equal(stoq_bucket_ready_ns(&bucket, 1000000), 5);
    stoq_bucket_set_rate(&bucket, 8000, 1000, 1000); /* a byte each millisecond */
    assert_int_equal(stoq_bucket_room(&bucket, 1000), 1000);
    stoq_bucket_spend(&bucket, 3000); /* a train may overdraw it */
    assert_int_equal(stoq_bucket_room(&bucket, 1000), 0);
    assert_int_equal(stoq_bucket_ready_ns(&bucket, 1), 1000 + 2001 * STOQ_NS_PER_MS);
    assert_int_equal(stoq_bucket_ready_ns(&bucket, SIZE_MAX), 1000 + 3000 * STOQ_NS_PER_MS);
    assert_int_equal(stoq_bucket_room(&bucket, 0), 0); /* a clock that goes back gives nothing */
    assert_int_equal(stoq_bucket_room(&bucket, 1000 + 2500 * STOQ_NS_PER_MS), 500);
    stoq_bucket_set_rate(&bucket, 16000, 100, 1000 + 2500 * STOQ_NS_PER_MS);
    assert_int_equal(stoq_bucket_room(&bucket, 1000 + 2500 * STOQ_NS_PER_MS), 100);
    assert_int_equal(stoq_bucket_room(&bucket, UINT64_MAX),
                     100); /* centuries: no more than a burst */
    stoq_bucket_init(&bucket, 1000000000000ULL, UINT64_MAX, 0);
    assert_true(stoq_bucket_room(&bucket, UINT64_MAX) > 0);
    stoq_bucket_set_rate(&bucket, 0, 0, UINT64_MAX);
    assert_int_equal(stoq_bucket_room(&bucket, UINT64_MAX), SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares_follow_weights), cmocka_unit_test(test_classes_are_strict),
        cmocka_unit_test(test_comers_and_goers),      cmocka_unit_test(test_sched_model),
        cmocka_unit_test(test_bucket_rate),           cmocka_unit_test(test_bucket_edges),
    };
    return cmocka_run_group_tests_name("bricks_sched", tests, NULL, NULL);
}
