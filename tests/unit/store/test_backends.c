/* Every test here runs on all backends: they must not be told apart by what they answer. */
#include "store_test.h"

#include <pthread.h>

struct fixture {
    struct store *store;
    char *path; /* NULL: in memory */
};

static int setup_memory(void **state)
{
    struct fixture *fixture = hm_calloc(1, sizeof(*fixture));

    *state = fixture;
    return store_open_memory(&store_test_options, &fixture->store, NULL);
}

static int setup_lmdb(void **state)
{
    struct fixture *fixture = hm_calloc(1, sizeof(*fixture));

    *state = fixture;
    fixture->path = store_test_folder();
    return store_open_lmdb(fixture->path, &store_test_options, &fixture->store, NULL);
}

/* LMDB below what was committed lately. */
static int setup_deferred(void **state)
{
    struct fixture *fixture = hm_calloc(1, sizeof(*fixture));
    struct store_options options = store_test_options;

    *state = fixture;
    options.deferred = true;
    fixture->path = store_test_folder();
    return store_open_lmdb(fixture->path, &options, &fixture->store, NULL);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    store_close(fixture->store);
    if (fixture->path)
        store_test_folder_remove(fixture->path);
    hm_free(fixture);
    return 0;
}

static struct store *store_of(void **state)
{
    return ((struct fixture *)*state)->store;
}

static void put_get_delete(void **state)
{
    struct store_txn *txn = store_test_write(store_of(state));

    store_test_expect(txn, STORE_TEST_A, "k", NULL);
    store_test_put(txn, STORE_TEST_A, "k", "one");
    store_test_expect(txn, STORE_TEST_A, "k", "one");
    store_test_expect(txn, STORE_TEST_B, "k", NULL);
    store_test_put(txn, STORE_TEST_A, "k", "a longer value");
    store_test_put(txn, STORE_TEST_A, "empty", "");
    store_test_commit(txn);

    txn = store_test_write(store_of(state));
    store_test_expect(txn, STORE_TEST_A, "k", "a longer value");
    store_test_expect(txn, STORE_TEST_A, "empty", "");
    assert_int_equal(store_delete(txn, STORE_TEST_A, hm_slice_str("k"), NULL), 0);
    assert_int_equal(store_delete(txn, STORE_TEST_A, hm_slice_str("k"), NULL), 0);
    store_test_expect(txn, STORE_TEST_A, "k", NULL);
    store_test_commit(txn);
}

static void abort_drops_everything(void **state)
{
    struct store_txn *txn = store_test_write(store_of(state));

    store_test_put(txn, STORE_TEST_A, "kept", "1");
    store_test_commit(txn);
    txn = store_test_write(store_of(state));
    store_test_put(txn, STORE_TEST_A, "kept", "2");
    store_test_put(txn, STORE_TEST_B, "new", "2");
    store_abort(txn);
    store_abort(NULL);
    txn = store_test_read(store_of(state));
    store_test_expect(txn, STORE_TEST_A, "kept", "1");
    store_test_expect(txn, STORE_TEST_B, "new", NULL);
    store_abort(txn);
}

static void snapshots_do_not_move(void **state)
{
    struct store_txn *before;
    struct store_txn *after;
    struct store_txn *txn = store_test_write(store_of(state));

    store_test_put(txn, STORE_TEST_A, "k", "old");
    store_test_put(txn, STORE_TEST_A, "gone", "here");
    store_test_commit(txn);

    before = store_test_read(store_of(state));
    txn = store_test_write(store_of(state)); /* one thread may hold a reader and the writer */
    store_test_put(txn, STORE_TEST_A, "k", "new");
    assert_int_equal(store_delete(txn, STORE_TEST_A, hm_slice_str("gone"), NULL), 0);
    after = store_test_read(store_of(state));
    store_test_expect(after, STORE_TEST_A, "k", "old"); /* not committed yet */
    store_test_commit(txn);

    store_test_expect(before, STORE_TEST_A, "k", "old");
    store_test_expect(before, STORE_TEST_A, "gone", "here");
    store_test_expect(after, STORE_TEST_A, "k", "old");
    store_abort(before);
    before = store_test_read(store_of(state));
    store_test_expect(before, STORE_TEST_A, "k", "new");
    store_test_expect(before, STORE_TEST_A, "gone", NULL);
    store_abort(after);
    store_abort(before);
}

static void refuses_what_it_must(void **state)
{
    static uint8_t big[STORE_KEY_MAX_BYTES + 1];
    struct hm_slice longest = hm_slice_of(big, STORE_KEY_MAX_BYTES);
    struct hm_slice value = hm_slice_of(big, 1);
    struct hm_slice got = {0};
    struct hm_error error = {0};
    struct store_txn *txn = store_test_read(store_of(state));

    assert_int_equal(store_put(txn, 0, value, value, &error), HM_EPERM);
    assert_int_equal(store_delete(txn, 0, value, &error), HM_EPERM);
    assert_int_equal(store_get(txn, STORE_TEST_TABLES, value, &got), HM_EINVAL);
    assert_int_equal(store_commit(txn, &error), HM_EINVAL);

    txn = store_test_write(store_of(state));
    assert_int_equal(store_put(txn, STORE_TEST_TABLES, value, value, &error), HM_EINVAL);
    assert_int_equal(store_put(txn, 0, hm_slice_of(big, 0), value, &error), HM_ELIMIT);
    assert_int_equal(store_put(txn, 0, hm_slice_of(big, sizeof(big)), value, &error), HM_ELIMIT);
    assert_int_equal(store_put(txn, 0, value, hm_slice_of(big, STORE_VALUE_MAX_BYTES + 1), &error),
                     HM_ELIMIT);
    assert_int_equal(store_put(txn, 0, longest, value, &error), 0);
    assert_int_equal(store_get(txn, 0, longest, &got), 0);
    assert_int_equal(store_get(txn, 0, hm_slice_of(big, 0), &got), HM_EINVAL);
    store_abort(txn);
}

static void large_values(void **state)
{
    size_t len = (size_t)5 << 20;
    uint8_t *data = hm_malloc(len);
    struct hm_slice got = {0};
    struct store_txn *txn = store_test_write(store_of(state));

    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    assert_int_equal(
        store_put(txn, STORE_TEST_B, hm_slice_str("big"), hm_slice_of(data, len), NULL), 0);
    store_test_commit(txn);
    txn = store_test_read(store_of(state));
    assert_int_equal(store_get(txn, STORE_TEST_B, hm_slice_str("big"), &got), 0);
    assert_int_equal(got.len, len);
    assert_memory_equal(got.data, data, len);
    store_abort(txn);
    hm_free(data);
}

static void expect_at(int rc, struct hm_slice key, const char *want)
{
    if (!want) {
        assert_int_equal(rc, HM_ENOTFOUND);
        return;
    }
    assert_int_equal(rc, 0);
    assert_true(hm_slice_equal(key, hm_slice_str(want)));
}

#define EXPECT_NEXT(want) expect_at(store_cursor_next(cursor, &key, &value), key, want)
#define EXPECT_PREV(want) expect_at(store_cursor_prev(cursor, &key, &value), key, want)
#define EXPECT_LAST(want) expect_at(store_cursor_seek_last(cursor, &key, &value), key, want)
#define EXPECT_SEEK(from, want) \
    expect_at(store_cursor_seek(cursor, hm_slice_str(from), &key, &value), key, want)

static void cursor_walks(struct store_txn *txn)
{
    struct hm_slice key = {0};
    struct hm_slice value = {0};
    struct store_cursor *cursor = NULL;

    assert_int_equal(store_cursor_open(txn, STORE_TEST_TABLES, &cursor, NULL), HM_EINVAL);
    assert_int_equal(store_cursor_open(txn, STORE_TEST_A, &cursor, NULL), 0);
    EXPECT_NEXT("a");
    EXPECT_NEXT("aa");
    EXPECT_NEXT("b");
    EXPECT_NEXT("d");
    EXPECT_NEXT(NULL);
    EXPECT_NEXT(NULL);
    EXPECT_PREV("d");
    EXPECT_PREV("b");
    EXPECT_NEXT("d");
    EXPECT_SEEK("", "a");
    EXPECT_PREV(NULL);
    EXPECT_PREV(NULL);
    EXPECT_NEXT("a");
    EXPECT_SEEK("ab", "b");
    EXPECT_SEEK("b", "b");
    EXPECT_SEEK("c", "d");
    EXPECT_SEEK("e", NULL);
    EXPECT_NEXT(NULL);
    EXPECT_PREV("d");
    EXPECT_LAST("d");
    EXPECT_NEXT(NULL);
    store_cursor_close(cursor);
    store_cursor_close(NULL);
}

static void cursors(void **state)
{
    struct hm_slice key = {0};
    struct hm_slice value = {0};
    struct store_cursor *cursor = NULL;
    struct store_txn *txn = store_test_write(store_of(state));

    assert_int_equal(store_cursor_open(txn, STORE_TEST_A, &cursor, NULL), 0);
    EXPECT_NEXT(NULL);
    EXPECT_LAST(NULL);
    EXPECT_SEEK("x", NULL);
    store_cursor_close(cursor);
    store_test_put(txn, STORE_TEST_A, "b", "2");
    store_test_put(txn, STORE_TEST_A, "d", "3");
    store_test_put(txn, STORE_TEST_A, "a", "1");
    store_test_put(txn, STORE_TEST_A, "aa", "1b");
    cursor_walks(txn);
    store_test_commit(txn);
    txn = store_test_read(store_of(state));
    cursor_walks(txn);
    store_abort(txn);
}

/* A cursor goes on rightly after its transaction has written around it. */
static void cursor_over_writes(void **state)
{
    struct hm_slice key = {0};
    struct hm_slice value = {0};
    struct store_cursor *cursor = NULL;
    struct store_txn *txn = store_test_write(store_of(state));

    store_test_put(txn, STORE_TEST_A, "a", "1");
    store_test_put(txn, STORE_TEST_A, "c", "1");
    store_test_put(txn, STORE_TEST_A, "e", "1");
    assert_int_equal(store_cursor_open(txn, STORE_TEST_A, &cursor, NULL), 0);
    EXPECT_SEEK("c", "c");
    store_test_put(txn, STORE_TEST_A, "b", "1");
    store_test_put(txn, STORE_TEST_A, "d", "1");
    EXPECT_NEXT("d");
    EXPECT_PREV("c");
    assert_int_equal(store_delete(txn, STORE_TEST_A, hm_slice_str("c"), NULL), 0);
    EXPECT_NEXT("d");
    EXPECT_PREV("b");
    store_cursor_close(cursor);
    store_abort(txn);
}

static void append_only_grows(void **state)
{
    struct store_txn *txn = store_test_write(store_of(state));
    struct hm_error error = {0};
    uint8_t key[8];

    for (uint64_t i = 1; i <= 3000; i++) {
        hm_put_be64(key, i);
        assert_int_equal(
            store_append(txn, STORE_TEST_A, hm_slice_of(key, 8), hm_slice_of(key, 8), NULL), 0);
    }
    assert_int_equal(
        store_append(txn, STORE_TEST_A, hm_slice_of(key, 8), hm_slice_of(key, 8), &error),
        HM_EINVAL);
    store_test_commit(txn);
    txn = store_test_read(store_of(state));
    for (uint64_t i = 1; i <= 3000; i++) {
        struct hm_slice got = {0};

        hm_put_be64(key, i);
        assert_int_equal(store_get(txn, STORE_TEST_A, hm_slice_of(key, 8), &got), 0);
        assert_true(hm_slice_equal(got, hm_slice_of(key, 8)));
    }
    store_abort(txn);
}

/* Past the last key, wherever that lies: on the disk, on the way to it, or committed just now. */
static void append_looks_at_everything(void **state)
{
    struct store_checkpoint *made = NULL;
    struct hm_slice value = hm_slice_str("1");
    struct store_txn *txn = store_test_write(store_of(state));

    store_test_put(txn, STORE_TEST_A, "x", "1");
    store_test_commit(txn);
    for (int round = 0; round < 3; round++) {
        if (round == 1)
            assert_int_equal(store_checkpoint_begin(store_of(state), NULL, &made, NULL), 0);
        if (round == 2)
            assert_int_equal(store_checkpoint_finish(made, NULL), 0);
        txn = store_test_write(store_of(state));
        store_test_put(txn, STORE_TEST_A, "a", "1");
        assert_int_equal(store_append(txn, STORE_TEST_A, hm_slice_str("b"), value, NULL),
                         HM_EINVAL);
        assert_int_equal(store_append(txn, STORE_TEST_A, hm_slice_str("y"), value, NULL), 0);
        assert_int_equal(store_append(txn, STORE_TEST_A, hm_slice_str("x"), value, NULL),
                         HM_EINVAL);
        assert_int_equal(store_append(txn, STORE_TEST_A, hm_slice_str("z"), value, NULL), 0);
        store_abort(txn);
    }
    txn = store_test_write(store_of(state));
    assert_int_equal(store_delete(txn, STORE_TEST_A, hm_slice_str("x"), NULL), 0);
    assert_int_equal(store_append(txn, STORE_TEST_A, hm_slice_str("b"), value, NULL), 0);
    store_test_commit(txn);
    txn = store_test_read(store_of(state));
    store_test_expect(txn, STORE_TEST_A, "b", "1");
    store_test_expect(txn, STORE_TEST_A, "x", NULL);
    store_abort(txn);
}

static void stats_count(void **state)
{
    struct store_stats stats = {0};
    struct store_txn *txn = store_test_write(store_of(state));

    store_test_put(txn, STORE_TEST_A, "1", "v");
    store_test_put(txn, STORE_TEST_A, "2", "v");
    store_test_put(txn, STORE_TEST_B, "1", "v");
    store_test_commit(txn);
    txn = store_test_read(store_of(state));
    assert_int_equal(store_stats(store_of(state), &stats, NULL), 0);
    assert_int_equal(stats.entries[STORE_TEST_A], 2);
    assert_int_equal(stats.entries[STORE_TEST_B], 1);
    assert_int_equal(stats.readers, 1);
    assert_true(stats.bytes_used >= 6 && stats.bytes_map >= stats.bytes_used);
    store_abort(txn);
}

static void readers_have_a_limit(void **state)
{
    static struct store_txn *txns[STORE_READERS_MAX];
    struct store_txn *one_more = NULL;
    struct hm_error error = {0};

    for (size_t i = 0; i < STORE_READERS_MAX; i++)
        txns[i] = store_test_read(store_of(state));
    assert_int_equal(store_begin_read(store_of(state), &one_more, &error), HM_EBUSY);
    assert_null(one_more);
    for (size_t i = 0; i < STORE_READERS_MAX; i++)
        store_abort(txns[i]);
    store_abort(store_test_read(store_of(state)));
}

/* Random operations against the plainest model there is: an array indexed by the key. */
#define MODEL_KEYS 400

struct model {
    unsigned value[MODEL_KEYS]; /* 0: missing */
};

static struct hm_slice model_key(unsigned index, char text[16])
{
    /* Keys of different lengths whose order is not that of their numbers. */
    int len = snprintf(text, 16, "%x%s", index * 2654435761u >> (index % 3 * 8), "");

    return hm_slice_of(text, (size_t)len);
}

static void model_check(struct store_txn *txn, const struct model *model)
{
    struct hm_slice key = {0};
    struct hm_slice value = {0};
    struct store_cursor *cursor = NULL;
    char last[16] = "";
    size_t seen = 0;
    size_t expected = 0;

    for (unsigned i = 0; i < MODEL_KEYS; i++) {
        char text[16];
        int rc = store_get(txn, STORE_TEST_A, model_key(i, text), &value);

        assert_int_equal(rc, model->value[i] ? 0 : HM_ENOTFOUND);
        if (rc == 0) {
            assert_int_equal(value.len, sizeof(unsigned));
            assert_memory_equal(value.data, &model->value[i], value.len);
        }
        expected += model->value[i] != 0;
    }
    assert_int_equal(store_cursor_open(txn, STORE_TEST_A, &cursor, NULL), 0);
    while (store_cursor_next(cursor, &key, &value) == 0) {
        assert_true(hm_slice_compare(hm_slice_str(last), key) < 0);
        memcpy(last, key.data, key.len);
        last[key.len] = '\0';
        seen++;
    }
    assert_int_equal(seen, expected);
    while (store_cursor_prev(cursor, &key, &value) == 0) {
        assert_true(seen == expected || hm_slice_compare(key, hm_slice_str(last)) < 0);
        memcpy(last, key.data, key.len);
        last[key.len] = '\0';
        seen--;
    }
    assert_int_equal(seen, 0);
    store_cursor_close(cursor);
}

static void model_step(struct store_txn *txn, struct model *model, const struct hm_random *random)
{
    unsigned index = (unsigned)(hm_random_u64(random) % MODEL_KEYS);
    char text[16];
    struct hm_slice key = model_key(index, text);

    if (hm_random_u64(random) % 3 == 0) {
        assert_int_equal(store_delete(txn, STORE_TEST_A, key, NULL), 0);
        model->value[index] = 0;
    } else {
        model->value[index] = 1 + (unsigned)(hm_random_u64(random) % 1000);
        assert_int_equal(store_put(txn, STORE_TEST_A, key,
                                   hm_slice_of(&model->value[index], sizeof(unsigned)), NULL),
                         0);
    }
}

/* Whatever lies between what was committed and the disk moves on: checkpoints begun and not yet written, written by
 * pieces, finished. Returns the one that is under way. */
static struct store_checkpoint *model_checkpoint(struct store *store, int round,
                                                 struct store_checkpoint *made)
{
    bool more;

    if (!made)
        assert_int_equal(store_checkpoint_begin(store, NULL, &made, NULL), 0);
    else if (round % 3)
        assert_int_equal(store_checkpoint_piece(made, &more, NULL), 0);
    else
        assert_int_equal(store_checkpoint_finish(HM_TAKE(made), NULL), 0);
    return made;
}

static void follows_the_model(void **state)
{
    struct store_checkpoint *made = NULL;
    struct hm_random_seeded seed;
    struct hm_random random = hm_random_seeded_source(&seed, 20260101);
    struct model committed = {0};
    struct model snapshot_model = {0};
    struct store_txn *snapshot = store_test_read(store_of(state));

    for (int round = 0; round < 60; round++) {
        struct model model = committed;
        struct store_txn *txn = store_test_write(store_of(state));

        for (int i = 0; i < 50; i++) {
            model_step(txn, &model, &random);
            if (i == round % 50 && round % 5 < 4) /* with a transaction under way, too */
                made = model_checkpoint(store_of(state), round, made);
        }
        model_check(txn, &model);
        if (round % 4 == 3) {
            store_abort(txn);
        } else {
            store_test_commit(txn);
            committed = model;
        }
        model_check(snapshot, &snapshot_model);
        if (round % 7 == 6) {
            store_abort(snapshot);
            snapshot = store_test_read(store_of(state));
            snapshot_model = committed;
            model_check(snapshot, &snapshot_model);
        }
    }
    store_abort(snapshot);
    assert_int_equal(store_checkpoint_finish(made, NULL), 0);
    snapshot = store_test_read(store_of(state));
    model_check(snapshot, &committed);
    store_abort(snapshot);
}

/* Readers on other threads see whole transactions only: two tables always hold the same number. */
#define THREAD_ROUNDS 300

struct reading {
    struct store *store;
    int failures;
};

static void *read_pairs(void *arg)
{
    struct reading *reading = arg;

    for (int i = 0; i < THREAD_ROUNDS; i++) {
        struct store_txn *txn = NULL;
        struct hm_slice a = {0};
        struct hm_slice b = {0};

        if (store_begin_read(reading->store, &txn, NULL)) {
            reading->failures++;
            return NULL;
        }
        int rc_a = store_get(txn, STORE_TEST_A, hm_slice_str("n"), &a);
        int rc_b = store_get(txn, STORE_TEST_B, hm_slice_str("n"), &b);

        if (rc_a != rc_b || (rc_a == 0 && !hm_slice_equal(a, b)))
            reading->failures++;
        store_abort(txn);
    }
    return NULL;
}

static void *write_pairs(void *arg)
{
    struct reading *writing = arg;

    for (int i = 0; i < THREAD_ROUNDS / 10; i++) {
        struct store_txn *txn = NULL;
        struct hm_slice value = hm_slice_of(&i, sizeof(i));

        if (store_begin_write(writing->store, &txn, NULL) ||
            store_put(txn, STORE_TEST_A, hm_slice_str("n"), value, NULL) ||
            store_put(txn, STORE_TEST_B, hm_slice_str("n"), value, NULL) || store_commit(txn, NULL))
            writing->failures++;
    }
    return NULL;
}

static void threads_see_whole_transactions(void **state)
{
    struct reading work[4] = {0};
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++) {
        work[i].store = store_of(state);
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < 2 ? read_pairs : write_pairs, &work[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(work[i].failures, 0);
    }
}

/* Whichever allocation fails, the call says so and what was committed stays. */
static void survives_failed_allocations(void **state)
{
    struct store_txn *txn = store_test_write(store_of(state));
    unsigned long nth = 0;
    int rc = -1;

    store_test_put(txn, STORE_TEST_A, "kept", "1");
    store_test_commit(txn);
    while (rc) {
        txn = NULL;
        hm_alloc_fail_at(++nth);
        rc = store_begin_write(store_of(state), &txn, NULL);
        if (!rc)
            rc = store_put(txn, STORE_TEST_A, hm_slice_str("new"), hm_slice_str("2"), NULL);
        if (!rc)
            rc = store_delete(txn, STORE_TEST_A, hm_slice_str("kept"), NULL);
        hm_alloc_fail_at(0);
        assert_true(rc == 0 || rc == HM_ENOMEM);
        if (rc && txn) {
            store_test_expect(txn, STORE_TEST_A, "kept", "1");
            store_abort(txn);
        }
        assert_true(nth < 100);
    }
    assert_true(nth > 1);
    store_test_expect(txn, STORE_TEST_A, "new", "2");
    store_abort(txn);
    txn = store_test_read(store_of(state));
    store_test_expect(txn, STORE_TEST_A, "kept", "1");
    store_test_expect(txn, STORE_TEST_A, "new", NULL);
    store_abort(txn);
}

/* clang-format off */
#define BOTH(test)                                                                                 \
    {#test " [memory]", test, setup_memory, teardown, NULL},                                       \
    {#test " [lmdb]", test, setup_lmdb, teardown, NULL}
#define ALL(test) BOTH(test), {#test " [deferred]", test, setup_deferred, teardown, NULL}
/* clang-format on */

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALL(put_get_delete),
        ALL(abort_drops_everything),
        ALL(snapshots_do_not_move),
        ALL(refuses_what_it_must),
        ALL(large_values),
        ALL(cursors),
        ALL(cursor_over_writes),
        ALL(append_only_grows),
        ALL(append_looks_at_everything),
        BOTH(stats_count),
        ALL(readers_have_a_limit),
        ALL(follows_the_model),
        ALL(threads_see_whole_transactions),
        ALL(survives_failed_allocations),
    };

    return cmocka_run_group_tests_name("store backends", tests, NULL, NULL);
}
