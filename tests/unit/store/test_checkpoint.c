/* A deferred store: after a crash it is what it was at its last checkpoint, whatever has reached the disk since. */
#include "store_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define VALUE_BYTES 900

static const struct store_options deferred = {
    .tables = store_test_names, .table_count = STORE_TEST_TABLES, .deferred = true};

static int setup(void **state)
{
    *state = store_test_folder();
    return 0;
}

static int teardown(void **state)
{
    store_test_folder_remove(*state);
    return 0;
}

static struct store *open_as(const char *path, const struct store_options *options)
{
    struct store *store = NULL;
    struct hm_error error = {0};

    if (store_open_lmdb(path, options, &store, &error))
        fail_msg("open: %s", error.text);
    return store;
}

/* Every key gets a value that says n; so all of the pages change. */
static void commit(struct store *store, unsigned n)
{
    struct store_txn *txn = NULL;
    char value[VALUE_BYTES];

    assert_int_equal(store_begin_write(store, &txn, NULL), 0);
    for (unsigned i = 0; i < 60; i++) {
        char key[16];

        snprintf(key, sizeof(key), "key%u", i);
        snprintf(value, sizeof(value), "%0*u", (int)sizeof(value) - 1, n);
        store_test_put(txn, STORE_TEST_A, key, value);
    }
    assert_int_equal(store_commit(txn, NULL), 0);
}

static void expect(struct store *store, unsigned n)
{
    struct store_txn *txn = NULL;
    char value[VALUE_BYTES];

    assert_int_equal(store_begin_read(store, &txn, NULL), 0);
    snprintf(value, sizeof(value), "%0*u", (int)sizeof(value) - 1, n);
    for (unsigned i = 0; i < 60; i++) {
        char key[16];

        snprintf(key, sizeof(key), "key%u", i);
        store_test_expect(txn, STORE_TEST_A, key, n ? value : NULL);
    }
    store_abort(txn);
}

static int begin(struct store *store, uint64_t n, struct store_checkpoint **made)
{
    uint8_t note[STORE_NOTE_BYTES] = {0};

    hm_put_be64(note + STORE_NOTE_BYTES - 8, n);
    return store_checkpoint_begin(store, note, made, NULL);
}

static uint64_t noted(struct store *store)
{
    uint8_t note[STORE_NOTE_BYTES];

    store_checkpoint_note(store, note);
    return hm_get_be64(note + STORE_NOTE_BYTES - 8);
}

static void checkpoint(struct store *store, uint64_t n)
{
    struct store_checkpoint *made = NULL;

    assert_int_equal(begin(store, n, &made), 0);
    assert_int_equal(store_checkpoint_finish(made, NULL), 0);
}

static void copy_file(const char *from, const char *to, const char *name)
{
    HM_AUTOFREE char *a = hm_asprintf("%s/%s", from, name);
    HM_AUTOFREE char *b = hm_asprintf("%s/%s", to, name);
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    int fd;

    assert_int_equal(hm_file_read(a, (size_t)1 << 30, &bytes, NULL), 0);
    fd = open(b, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(hm_write_all(fd, bytes.data, bytes.len, NULL), 0);
    close(fd);
}

/* What a kill leaves now: the files, as the program sees them. */
static char *crashed(const char *path)
{
    char *copy = hm_asprintf("%s-copy", path);

    if (access(copy, F_OK) == 0)
        assert_int_equal(hm_remove_tree(copy, NULL), 0);
    assert_int_equal(mkdir(copy, 0700), 0);
    copy_file(path, copy, "data.mdb");
    copy_file(path, copy, "checkpoint");
    copy_file(path, copy, "LOCK");
    return copy;
}

static void gone(char *copy)
{
    assert_int_equal(hm_remove_tree(copy, NULL), 0);
    hm_free(copy);
}

/* --- tests -------------------------------------------------------------------------------------------------- */

static void a_crash_goes_back_to_the_checkpoint(void **state)
{
    struct store *store = open_as(*state, &deferred);
    unsigned last = 0;

    for (unsigned n = 1; n <= 40; n++) {
        char *copy;
        struct store *after;

        commit(store, n);
        if (n % 7 == 0) {
            checkpoint(store, n);
            last = n;
        }
        copy = crashed(*state);
        after = open_as(copy, &deferred);
        expect(after, last);
        assert_int_equal(noted(after), last);
        commit(after, 1000 + n); /* and it goes on from there */
        expect(after, 1000 + n);
        store_close(after);
        gone(copy);
    }
    store_close(store);
}

/* The pages of the checkpoint are never written over: with nothing but its own two metas put back by hand the
 * store would be whole, so every other page may be lost. */
static void later_pages_may_be_lost(void **state)
{
    struct store *store = open_as(*state, &deferred);
    struct hm_buf then = {0}, now = {0};
    HM_AUTOFREE char *data = hm_asprintf("%s/data.mdb", (char *)*state);

    for (unsigned n = 1; n <= 10; n++)
        commit(store, n);
    checkpoint(store, 10);
    assert_int_equal(hm_file_read(data, (size_t)1 << 30, &then, NULL), 0);
    for (unsigned n = 11; n <= 30; n++)
        commit(store, n);
    assert_int_equal(hm_file_read(data, (size_t)1 << 30, &now, NULL), 0);
    for (unsigned round = 0; round < 16; round++) {
        char *copy = crashed(*state);
        HM_AUTOFREE char *name = hm_asprintf("%s/data.mdb", copy);
        int fd = open(name, O_WRONLY | O_CLOEXEC);
        struct store *after;

        /* Each page as it was at the checkpoint, or as it is now, by chance. */
        for (size_t page = 0; page < then.len / 4096; page++)
            if ((page * 2654435761u + round * 40503u) % 16 < 8)
                assert_int_equal(pwrite(fd, then.data + page * 4096, 4096, (off_t)(page * 4096)),
                                 4096);
        close(fd);
        after = open_as(copy, &deferred);
        expect(after, 10);
        store_close(after);
        gone(copy);
    }
    expect(store, 30);
    assert_true(now.len >= then.len);
    hm_buf_release(&then);
    hm_buf_release(&now);
    store_close(store);
}

static void a_clean_close_keeps_everything(void **state)
{
    struct store *store = open_as(*state, &deferred);
    struct store_options reading = deferred;
    struct store_checkpoint *made = NULL;

    commit(store, 1);
    checkpoint(store, 77);
    store_close(store);
    store = open_as(*state, &deferred);
    assert_int_equal(noted(store), 77);
    commit(store, 2);
    store_close(store);
    reading.read_only = true;
    store = open_as(*state, &reading);
    expect(store, 2);
    store_close(store);
    store = open_as(*state, &store_test_options); /* and one that syncs takes over */
    assert_int_equal(noted(store), 77);
    commit(store, 3);
    store_close(store);
    store = open_as(*state, &deferred);
    expect(store, 3);
    assert_int_equal(noted(store), 77); /* until the caller says otherwise */
    assert_int_equal(store_checkpoint_begin(store, NULL, &made, NULL), 0);
    assert_int_equal(store_checkpoint_finish(made, NULL), 0);
    assert_int_equal(noted(store), 0);
    store_close(store);
    store = open_as(*state, &deferred);
    assert_int_equal(noted(store), 0);
    store_close(store);
}

/* Opened by a program that does not defer, an unclosed store goes back once and not again. */
static void it_goes_back_only_once(void **state)
{
    struct store *store = open_as(*state, &deferred);
    struct store *after;
    char *copy;

    commit(store, 1);
    checkpoint(store, 1);
    commit(store, 2);
    copy = crashed(*state);
    after = open_as(copy, &store_test_options);
    expect(after, 1);
    commit(after, 3);
    store_close(after);
    after = open_as(copy, &deferred);
    expect(after, 3);
    store_close(after);
    gone(copy);
    store_close(store);
}

static void an_unclosed_store_is_not_read(void **state)
{
    struct store *store = open_as(*state, &deferred);
    struct store_options reading = deferred;
    struct hm_error error = {0};
    struct store *after = NULL;
    char *copy;

    commit(store, 1);
    copy = crashed(*state);
    reading.read_only = true;
    assert_int_equal(store_open_lmdb(copy, &reading, &after, &error), HM_ECORRUPT);
    assert_non_null(strstr(error.text, "was not closed"));
    gone(copy);
    store_close(store);
}

/* A slot that is torn leaves the one before. */
static void a_torn_checkpoint_is_the_one_before(void **state)
{
    struct store *store = open_as(*state, &deferred);
    struct store_checkpoint *made = NULL;
    struct hm_buf slots[2] = {{0}, {0}};
    HM_AUTOFREE char *name = hm_asprintf("%s/checkpoint", (char *)*state);

    commit(store, 1);
    checkpoint(store, 1);
    commit(store, 2);
    assert_int_equal(begin(store, 2, &made), 0);
    commit(store, 3);
    assert_int_equal(hm_file_read(name, 1 << 20, &slots[0], NULL), 0);
    char *copy = crashed(*state); /* before its end nothing has changed */
    struct store *after = open_as(copy, &deferred);
    expect(after, 1);
    store_close(after);
    gone(copy);
    assert_int_equal(store_checkpoint_finish(made, NULL), 0);
    assert_int_equal(hm_file_read(name, 1 << 20, &slots[1], NULL), 0);
    for (size_t at = 0; at < slots[1].len; at += 13) {
        if (slots[0].data[at] == slots[1].data[at])
            continue;
        copy = crashed(*state);
        HM_AUTOFREE char *torn = hm_asprintf("%s/checkpoint", copy);
        int fd = open(torn, O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, slots[0].data + at, 1, (off_t)at), 1);
        close(fd);
        after = open_as(copy, &deferred);
        assert_in_range(noted(after), 1, 1);
        store_close(after);
        gone(copy);
    }
    hm_buf_release(&slots[0]);
    hm_buf_release(&slots[1]);
    store_close(store);
}

/* Written piece by piece, with commits in between: it ends, and a crash goes back to what was marked. */
static void it_is_written_in_pieces(void **state)
{
    struct store *store = open_as(*state, &deferred);
    struct store_checkpoint *made = NULL;
    unsigned pieces = 0;
    bool more = true;

    for (unsigned n = 1; n <= 200; n++)
        commit(store, n);
    assert_int_equal(begin(store, 200, &made), 0);
    while (more) {
        assert_int_equal(store_checkpoint_piece(made, &more, NULL), 0);
        commit(store, 200 + ++pieces);
        assert_true(pieces < 1000);
    }
    assert_true(pieces > 2); /* the file is longer than one */
    assert_int_equal(store_checkpoint_finish(made, NULL), 0);
    char *copy = crashed(*state);
    struct store *after = open_as(copy, &deferred);
    expect(after, 200);
    assert_int_equal(noted(after), 200);
    store_close(after);
    gone(copy);
    expect(store, 200 + pieces);
    store_close(store);
}

static void one_at_a_time(void **state)
{
    struct store *store = open_as(*state, &deferred);
    struct store_checkpoint *one = NULL, *two = NULL;

    assert_int_equal(begin(store, 1, &one), 0);
    assert_int_equal(begin(store, 2, &two), HM_EBUSY);
    assert_int_equal(store_checkpoint_finish(one, NULL), 0);
    checkpoint(store, 2);
    assert_int_equal(store_checkpoint_finish(NULL, NULL), 0);
    store_close(store);
}

/* The room that lies between checkpoints is used again: the file does not grow for ever. */
static void the_file_stays_bounded(void **state)
{
    struct store *store = open_as(*state, &deferred);
    struct store_stats stats;
    uint64_t settled = 0;

    for (unsigned n = 1; n <= 400; n++) {
        commit(store, n);
        if (n % 10 == 0)
            checkpoint(store, n);
        if (n == 100) {
            assert_int_equal(store_stats(store, &stats, NULL), 0);
            settled = stats.bytes_used;
        }
    }
    assert_int_equal(store_stats(store, &stats, NULL), 0);
    assert_true(stats.bytes_used <= settled + settled / 4);
    assert_int_equal(stats.readers, 0);
    store_close(store);
}

static int write_on(void *ctx, struct hm_slice bytes, struct hm_error *error)
{
    return hm_write_all(*(int *)ctx, bytes.data, bytes.len, error);
}

/* A copy of a deferred store is a plain store, with what was committed. */
static void a_snapshot_is_whole(void **state)
{
    HM_AUTOFREE char *folder = hm_asprintf("%s-snapshot", (char *)*state);
    HM_AUTOFREE char *name = hm_asprintf("%s/data.mdb", folder);
    struct store *store = open_as(*state, &deferred);
    struct store_checkpoint *made = NULL;
    int fd;

    commit(store, 1);
    assert_int_equal(begin(store, 1, &made), 0);
    commit(store, 2);
    assert_int_equal(mkdir(folder, 0700), 0);
    fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(store_snapshot(store, write_on, &fd, NULL), 0);
    close(fd);
    assert_int_equal(store_checkpoint_finish(made, NULL), 0);
    store_close(store);
    store = open_as(folder, &deferred);
    expect(store, 2);
    store_close(store);
    assert_int_equal(hm_remove_tree(folder, NULL), 0);
}

/* A checkpoint that speaks of a data file that somebody removed is not put into the new one. */
static void a_removed_data_file_begins_anew(void **state)
{
    struct store *store = open_as(*state, &deferred);
    struct store *after;
    char *copy;

    commit(store, 1);
    checkpoint(store, 1);
    copy = crashed(*state);
    HM_AUTOFREE char *name = hm_asprintf("%s/data.mdb", copy);
    assert_int_equal(unlink(name), 0);
    after = open_as(copy, &deferred);
    expect(after, 0);
    store_close(after);
    gone(copy);
    store_close(store);
}

static void others_take_the_calls(void **state)
{
    struct store *stores[2];

    assert_int_equal(store_open_memory(&deferred, &stores[0], NULL), 0);
    stores[1] = open_as(*state, &store_test_options);
    for (size_t i = 0; i < 2; i++) {
        commit(stores[i], 1);
        checkpoint(stores[i], 5);
        commit(stores[i], 2);
        expect(stores[i], 2);
        assert_int_equal(noted(stores[i]), 0);
        store_close(stores[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_crash_goes_back_to_the_checkpoint, setup, teardown),
        cmocka_unit_test_setup_teardown(later_pages_may_be_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clean_close_keeps_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(it_goes_back_only_once, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unclosed_store_is_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_torn_checkpoint_is_the_one_before, setup, teardown),
        cmocka_unit_test_setup_teardown(it_is_written_in_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(one_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(the_file_stays_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_is_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_removed_data_file_begins_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(others_take_the_calls, setup, teardown),
    };

    return cmocka_run_group_tests_name("checkpoints of a store", tests, NULL, NULL);
}
