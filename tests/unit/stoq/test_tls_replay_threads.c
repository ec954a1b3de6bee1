/* Workers that share a table of used tickets: each ticket is taken by one of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "stoq_identity.h"
#include "stoq_tls_replay.h"

#define WORKERS 4
#define TICKETS 2000
#define NOW     1000000ULL

struct worker {
    struct stoq_identity *identity;
    unsigned taken;
};

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct stoq_replay *replay = stoq_identity_replay(worker->identity, NOW);
    for (uint32_t i = 0; i < TICKETS; i++) {
        uint8_t id[STOQ_REPLAY_ID_BYTES] = {0};
        hm_put_be32(id, i);
        worker->taken += stoq_replay_take(replay, id, NOW, NOW) ? 1 : 0;
    }
    return NULL;
}

static void test_workers(void **state)
{
    struct worker workers[WORKERS];
    pthread_t threads[WORKERS];
    struct stoq_identity *identity = NULL;
    unsigned taken = 0;
    (void)state;
    assert_int_equal(stoq_identity_self_signed(&identity, "a", NOW, 1, NULL), 0);
    for (size_t i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){stoq_identity_ref(identity), 0};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    stoq_identity_unref(identity);
    for (size_t i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < WORKERS; i++) {
        taken += workers[i].taken;
        stoq_identity_unref(workers[i].identity);
    }
    assert_int_equal(taken, TICKETS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_workers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
