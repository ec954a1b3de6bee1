/* One open plot, many threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>

#include <cmocka.h>

#include "plot_fixture.h"

#define THREADS 4
#define ROUNDS  50

struct worker {
    const struct plot_fixture *fixture;
    const struct proof_plot *plot;
    uint8_t number;
    int rc;
};

static void *work(void *ctx)
{
    struct worker *worker = ctx;
    Hypermesh__PlotCommitment commitment;
    struct hm_arena arena;

    hm_arena_init(&arena, 0);
    proof_plot_commitment(worker->plot, &commitment);
    for (uint8_t round = 0; round < ROUNDS && worker->rc == 0; round++) {
        const uint8_t challenge[32] = {worker->number, round};
        Hypermesh__PlotOpening **openings = NULL;
        hm_arena_clear(&arena);
        worker->rc = proof_plot_open_at(worker->plot, challenge, 8, true, &arena, &openings, NULL);
        if (worker->rc == 0)
            worker->rc = proof_space_verify(worker->fixture->node, &commitment, challenge, openings,
                                            8, 8, true, NULL);
    }
    hm_arena_release(&arena);
    return NULL;
}

static void openings_side_by_side(void **state)
{
    struct plot_fixture fixture;
    struct worker workers[THREADS];
    pthread_t threads[THREADS];

    (void)state;
    assert_int_equal(plot_fixture_init(&fixture), 0);
    struct proof_plot *plot = plot_fixture_plot(&fixture, 3072, 1024);
    assert_non_null(plot);
    for (uint8_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.fixture = &fixture, .plot = plot, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].rc, 0);
    }
    proof_plot_close(plot);
    plot_fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(openings_side_by_side)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
