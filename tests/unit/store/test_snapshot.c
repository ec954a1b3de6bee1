/* Copies of a store taken while it is written: each is a store of its own, as of one moment. */
#include "store_test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRIES     4000
#define VALUE_BYTES 700
#define COPIES      40
#define GIVE_UP     -12345 /* no code of ours: what write returned comes back as it was */

struct places {
    char *base;
    char *from;
    char *to;
};

static int setup(void **state)
{
    struct places *places = hm_calloc(1, sizeof(*places));

    places->base = store_test_folder();
    places->from = hm_asprintf("%s/from", places->base);
    places->to = hm_asprintf("%s/to", places->base);
    assert_int_equal(hm_mkdir_all(places->to, 0700, NULL), 0);
    *state = places;
    return 0;
}

static int teardown(void **state)
{
    struct places *places = *state;

    store_test_folder_remove(places->base);
    hm_free(places->from);
    hm_free(places->to);
    hm_free(places);
    return 0;
}

static struct store *open_at(const char *path)
{
    struct store *store = NULL;
    struct hm_error error = {0};

    if (store_open_lmdb(path, &store_test_options, &store, &error))
        fail_msg("open: %s", error.text);
    return store;
}

/* Every entry of table A gets this generation, and table B counts it: a copy must have one only. */
static int write_generation(struct store *store, uint32_t generation, struct hm_error *error)
{
    uint8_t value[VALUE_BYTES];
    struct store_txn *txn = NULL;
    int rc = store_begin_write(store, &txn, error);

    memset(value, (int)generation, sizeof(value));
    for (uint32_t i = 0; !rc && i < ENTRIES; i++)
        rc = store_put(txn, STORE_TEST_A, hm_slice_of(&i, sizeof(i)),
                       hm_slice_of(value, sizeof(value)), error);
    if (!rc)
        rc = store_put(txn, STORE_TEST_B, hm_slice_str("generation"),
                       hm_slice_of(&generation, sizeof(generation)), error);
    if (rc) {
        store_abort(txn);
        return rc;
    }
    return store_commit(txn, error);
}

static uint32_t read_generation(struct store *store)
{
    struct store_txn *txn = store_test_read(store);
    struct hm_slice value = {0};
    uint32_t generation = 0;

    assert_int_equal(store_get(txn, STORE_TEST_B, hm_slice_str("generation"), &value), 0);
    assert_int_equal(value.len, sizeof(generation));
    memcpy(&generation, value.data, sizeof(generation));
    for (uint32_t i = 0; i < ENTRIES; i++) {
        assert_int_equal(store_get(txn, STORE_TEST_A, hm_slice_of(&i, sizeof(i)), &value), 0);
        assert_int_equal(value.len, VALUE_BYTES);
        assert_int_equal(value.data[0], (uint8_t)generation);
        assert_int_equal(value.data[VALUE_BYTES - 1], (uint8_t)generation);
    }
    store_abort(txn);
    return generation;
}

struct sink {
    int fd;
    size_t bytes;
    size_t pieces;
    size_t give_up_after; /* pieces; 0: never */
    atomic_uint *generation; /* waits for one more between pieces; NULL: does not */
};

static int sink_write(void *ctx, struct hm_slice bytes, struct hm_error *error)
{
    struct sink *sink = ctx;

    assert_true(bytes.len > 0 && bytes.len <= (size_t)1 << 20);
    if (sink->generation) {
        unsigned before = atomic_load(sink->generation);

        while (atomic_load(sink->generation) == before)
            usleep(1000);
    }
    sink->bytes += bytes.len;
    sink->pieces++;
    if (sink->give_up_after && sink->pieces >= sink->give_up_after)
        return hm_fail(error, GIVE_UP, "enough");
    return hm_write_all(sink->fd, bytes.data, bytes.len, error);
}

static struct sink sink_open(const struct places *places)
{
    HM_AUTOFREE char *file = hm_asprintf("%s/data.mdb", places->to);
    struct sink sink = {.fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};

    assert_true(sink.fd >= 0);
    return sink;
}

struct writer {
    struct store *store;
    atomic_uint generation;
    atomic_bool stop;
    int rc;
    struct hm_error error;
};

static void *writer_run(void *ctx)
{
    struct writer *writer = ctx;

    for (uint32_t i = 2; !writer->rc && !atomic_load(&writer->stop); i++) {
        writer->rc = write_generation(writer->store, i, &writer->error);
        atomic_store(&writer->generation, i);
    }
    return NULL;
}

static void copies_one_moment(void **state)
{
    const struct places *places = *state;
    struct writer writer = {.store = open_at(places->from)};
    struct sink sink = sink_open(places);
    struct hm_error error = {0};
    struct store *copy;
    pthread_t thread;
    uint32_t generation;

    assert_int_equal(write_generation(writer.store, 1, NULL), 0);
    atomic_store(&writer.generation, 1);
    sink.generation = &writer.generation;
    assert_int_equal(pthread_create(&thread, NULL, writer_run, &writer), 0);
    if (store_snapshot(writer.store, sink_write, &sink, &error))
        fail_msg("snapshot: %s", error.text);
    atomic_store(&writer.stop, true);
    pthread_join(thread, NULL);
    if (writer.rc)
        fail_msg("writer: %s", writer.error.text);
    close(sink.fd);
    assert_true(sink.pieces > 2); /* so the store was written in between */
    copy = open_at(places->to);
    generation = read_generation(copy);
    assert_true(generation >= 1);
    assert_true(generation < atomic_load(&writer.generation));
    assert_int_equal(write_generation(copy, 77, NULL), 0); /* and it is a store like any other */
    store_close(copy);
    copy = open_at(places->to);
    assert_int_equal(read_generation(copy), 77);
    store_close(copy);
    store_close(writer.store);
}

/* Of a deferred store commits reach the file in pieces, at checkpoints: no copy may show half of one. */
struct keeper {
    struct store *store;
    pthread_mutex_t committing; /* a checkpoint begins between commits */
    atomic_bool stop;
    int rc;
    struct hm_error error;
};

static int keep_once(struct keeper *keeper)
{
    struct store_checkpoint *made = NULL;
    bool more = true;

    pthread_mutex_lock(&keeper->committing);
    int rc = store_checkpoint_begin(keeper->store, NULL, &made, &keeper->error);
    pthread_mutex_unlock(&keeper->committing);
    while (rc == 0 && more)
        rc = store_checkpoint_piece(made, &more, &keeper->error);
    int finished = store_checkpoint_finish(made, &keeper->error);
    return rc ? rc : finished;
}

static void *keeper_run(void *ctx)
{
    struct keeper *keeper = ctx;

    while (!keeper->rc && !atomic_load(&keeper->stop))
        keeper->rc = keep_once(keeper);
    return NULL;
}

static void *careful_writer_run(void *ctx)
{
    struct keeper *keeper = ctx;
    struct hm_error error = {0};

    for (uint32_t i = 2; !atomic_load(&keeper->stop); i++) {
        pthread_mutex_lock(&keeper->committing);
        int rc = write_generation(keeper->store, i, &error);
        pthread_mutex_unlock(&keeper->committing);
        assert_int_equal(rc, 0);
        usleep(500);
    }
    return NULL;
}

static void a_copy_shows_no_half_of_a_checkpoint(void **state)
{
    const struct places *places = *state;
    struct store_options options = store_test_options;
    struct keeper keeper = {.committing = PTHREAD_MUTEX_INITIALIZER};
    struct hm_error error = {0};
    pthread_t threads[2];

    options.deferred = true;
    assert_int_equal(store_open_lmdb(places->from, &options, &keeper.store, NULL), 0);
    assert_int_equal(write_generation(keeper.store, 1, NULL), 0);
    assert_int_equal(pthread_create(&threads[0], NULL, keeper_run, &keeper), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, careful_writer_run, &keeper), 0);
    for (int i = 0; i < COPIES; i++) {
        struct sink sink = sink_open(places);

        if (store_snapshot(keeper.store, sink_write, &sink, &error))
            fail_msg("snapshot %d: %s", i, error.text);
        close(sink.fd);
        struct store *copy = open_at(places->to);
        assert_true(read_generation(copy) >= 1);
        store_close(copy);
    }
    atomic_store(&keeper.stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    if (keeper.rc)
        fail_msg("checkpoint: %s", keeper.error.text);
    store_close(keeper.store);
}

static void is_compact(void **state)
{
    const struct places *places = *state;
    struct store *store = open_at(places->from);
    struct sink sink = sink_open(places);
    struct store_stats stats = {0};
    struct store *copy;

    for (uint32_t i = 1; i <= 4; i++)
        assert_int_equal(write_generation(store, i, NULL), 0);
    assert_int_equal(store_stats(store, &stats, NULL), 0);
    assert_int_equal(store_snapshot(store, sink_write, &sink, NULL), 0);
    store_close(store);
    close(sink.fd);
    assert_true(sink.bytes < stats.bytes_used * 3 / 4); /* without the pages that are free */
    assert_true(sink.bytes > (size_t)ENTRIES * VALUE_BYTES);
    copy = open_at(places->to);
    assert_int_equal(read_generation(copy), 4);
    store_close(copy);
}

/* The reader gives up in the middle: its own code comes back, no SIGPIPE ends the process, and the store
 * goes on. */
static void a_failed_write_ends_it(void **state)
{
    const struct places *places = *state;
    struct store *store = open_at(places->from);
    struct hm_error error = {0};
    struct sigaction old;

    assert_int_equal(sigaction(SIGPIPE, NULL, &old), 0);
    assert_true(old.sa_handler == SIG_DFL);
    assert_int_equal(write_generation(store, 1, NULL), 0);
    for (size_t after = 1; after <= 3; after++) {
        struct sink sink = sink_open(places);

        sink.give_up_after = after;
        assert_int_equal(store_snapshot(store, sink_write, &sink, &error), GIVE_UP);
        assert_int_equal(sink.pieces, after);
        assert_string_equal(error.text, "enough");
        close(sink.fd);
    }
    assert_int_equal(write_generation(store, 2, NULL), 0);
    assert_int_equal(read_generation(store), 2);
    store_close(store);
}

static void reads_a_store_that_is_read_only(void **state)
{
    const struct places *places = *state;
    struct store_options reading = store_test_options;
    struct store *store = open_at(places->from);
    struct sink sink = sink_open(places);

    reading.read_only = true;
    assert_int_equal(write_generation(store, 5, NULL), 0);
    store_close(store);
    assert_int_equal(store_open_lmdb(places->from, &reading, &store, NULL), 0);
    assert_int_equal(store_snapshot(store, sink_write, &sink, NULL), 0);
    store_close(store);
    close(sink.fd);
    store = open_at(places->to);
    assert_int_equal(read_generation(store), 5);
    store_close(store);
}

static void says_what_is_missing(void **state)
{
    const struct places *places = *state;
    struct store *store = NULL;
    struct sink sink = {.fd = -1};
    struct hm_error error = {0};

    assert_int_equal(store_open_memory(&store_test_options, &store, NULL), 0);
    assert_int_equal(store_snapshot(store, sink_write, &sink, &error), HM_EUNSUPPORTED);
    assert_non_null(strstr(error.text, "memory"));
    store_close(store);

    store = open_at(places->from);
    hm_alloc_fail_at(1);
    assert_int_equal(store_snapshot(store, sink_write, &sink, &error), HM_ENOMEM);
    hm_alloc_fail_at(0);
    assert_int_equal(sink.pieces, 0);
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(copies_one_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copy_shows_no_half_of_a_checkpoint, setup, teardown),
        cmocka_unit_test_setup_teardown(is_compact, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_write_ends_it, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_a_store_that_is_read_only, setup, teardown),
        cmocka_unit_test_setup_teardown(says_what_is_missing, setup, teardown),
    };

    return cmocka_run_group_tests_name("store snapshots", tests, NULL, NULL);
}
