/* Many threads at one store: the same data brought by all of them, flushes between, readers and prunes beside. */
#include "store_world.h"

#include <pthread.h>
#include <stdatomic.h>

#define PUTTERS 4
#define NUMBERS 160
#define ROUNDS  3

struct shared {
    struct world world;
    struct packetfs_writer *writer;
    atomic_bool stop;
    atomic_int failures;
    atomic_uint read;
    uint64_t numbers[NUMBERS];
};

static void must(struct shared *shared, int rc)
{
    if (rc)
        shared->failures++;
}

/* cmocka's asserts are for the main thread. */
static void *putter(void *arg)
{
    struct shared *shared = arg;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    for (uint64_t i = 0; i < NUMBERS; i++) {
        struct packetfs_id id;
        struct hm_random_seeded state;
        struct hm_random source = hm_random_seeded_source(&state, i + 1);

        hm_buf_clear(&bytes);
        must(shared, hm_buf_reserve(&bytes, world_len(i)));
        (void)source.fill(source.ctx, bytes.data, world_len(i));
        bytes.len = world_len(i);
        must(shared, packetfs_writer_put(shared->writer, PACKETFS_PATTERN, hm_buf_slice(&bytes),
                                         &id, NULL));
        if (i % 50 == 49)
            must(shared, packetfs_writer_flush(shared->writer, NULL));
    }
    return NULL;
}

/* Whatever is found is sound. */
static void *reader(void *arg)
{
    struct shared *shared = arg;

    for (uint64_t i = 0; !shared->stop; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf out = {0};
        struct hm_random_seeded state;
        struct hm_random source = hm_random_seeded_source(&state, i % NUMBERS + 1);
        uint8_t *bytes = hm_malloc(world_len(i % NUMBERS));
        struct packetfs_id id;
        int rc;

        (void)source.fill(source.ctx, bytes, world_len(i % NUMBERS));
        packetfs_keys_object_id(&shared->world.keys, PACKETFS_PATTERN,
                                hm_slice_of(bytes, world_len(i % NUMBERS)), &id);
        hm_free(bytes);
        rc = packetfs_store_get(shared->world.store, PACKETFS_PATTERN, &id, &out, NULL);
        if (rc != HM_ENOTFOUND)
            must(shared, rc);
        shared->read += rc == 0;
    }
    return NULL;
}

static void *pruner(void *arg)
{
    struct shared *shared = arg;
    const struct packetfs_prune_options options = {0};

    while (!shared->stop) {
        struct packetfs_prune_result result;

        must(shared, packetfs_store_prune(shared->world.store, &options, NULL, &result, NULL));
    }
    return NULL;
}

static void round_of(struct shared *shared, bool first)
{
    pthread_t threads[PUTTERS + 2];
    struct packetfs_writer_counts counts;
    struct packetfs_snapshot snapshot;
    struct hm_error error;

    shared->stop = false;
    assert_ok(packetfs_writer_open(shared->world.store, &shared->writer, &error));
    for (int i = 0; i < PUTTERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, putter, shared), 0);
    assert_int_equal(pthread_create(&threads[PUTTERS], NULL, reader, shared), 0);
    assert_int_equal(pthread_create(&threads[PUTTERS + 1], NULL, pruner, shared), 0);
    for (int i = 0; i < PUTTERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    packetfs_writer_counts(shared->writer, &counts);
    /* Each object once, whoever brought it; all may be there from the round before, where nothing was pruned since. */
    assert_in_range(counts.objects_new[PACKETFS_PATTERN], first ? 1 : 0, NUMBERS);
    assert_int_equal(counts.objects_new[PACKETFS_PATTERN] + counts.objects_known[PACKETFS_PATTERN],
                     PUTTERS * NUMBERS);
    world_snapshot(&shared->world, shared->writer, shared->numbers, 20, "threads", &snapshot);
    packetfs_writer_close(shared->writer);
    for (int i = 0; i < 20 && shared->read == 0; i++)
        (void)world_stats(&shared->world);
    shared->stop = true;
    assert_int_equal(pthread_join(threads[PUTTERS], NULL), 0);
    assert_int_equal(pthread_join(threads[PUTTERS + 1], NULL), 0);
    assert_int_equal(shared->failures, 0);
}

static void test_threads(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf findings = {0};
    struct shared *shared = hm_calloc(1, sizeof(*shared));

    (void)state;
    assert_non_null(shared);
    world_init(&shared->world);
    for (uint64_t i = 0; i < NUMBERS; i++)
        shared->numbers[i] = i;
    for (int i = 0; i < ROUNDS; i++)
        round_of(shared, i == 0);
    assert_true(shared->read > 0);
    if (world_findings(&shared->world, true, &findings))
        fail_msg("check found: %s", hm_buf_cstr(&findings));
    world_check_numbers(&shared->world, shared->numbers, 20);
    (void)world_prune(&shared->world, 0);
    world_check_numbers(&shared->world, shared->numbers, 20);
    world_release(&shared->world);
    hm_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
