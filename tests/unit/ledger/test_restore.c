/* Taking a snapshot over: nothing that is not the chain's is taken, and half of it never passes for a ledger. */
#include "snapshot_check.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger_restore.h"

/* --- nothing else is taken --- */

static void chunk_refused(struct ledger_restore *restore, uint32_t index, struct hm_slice bytes)
{
    struct hm_error error = {0};
    char words[32];
    int rc = ledger_restore_chunk(restore, index, bytes, &error);

    if (rc != HM_EAUTH && rc != HM_EPARSE)
        fail_msg("chunk %u: %d %s", (unsigned)index, rc, error.text);
    (void)snprintf(words, sizeof words, "chunk %u of", (unsigned)index);
    assert_non_null(strstr(error.text, words));
}

static uint64_t twin_entries(unsigned table)
{
    struct store_stats stats;

    assert_int_equal(store_stats(twin_store, &stats, NULL), 0);
    return stats.entries[table];
}

static void test_tampered(void **state)
{
    struct ledger_restore *restore = snap_begin();
    struct hm_error error = {0};

    (void)state;
    for (uint32_t i = 0; i < whole.count; i++) {
        struct hm_buf *chunk = &whole.chunks[i];
        uint64_t before = twin_entries(LEDGER_TABLE_STATE) + twin_entries(LEDGER_TABLE_META);

        for (size_t at = 0; at < chunk->len; at += 1 + chunk->len / 23) {
            chunk->data[at] ^= 0x04;
            chunk_refused(restore, i, hm_buf_slice(chunk));
            chunk->data[at] ^= 0x04;
            chunk_refused(restore, i, hm_slice_of(chunk->data, at));
        }
        if (whole.chunks[(i + 1) % whole.count].len != chunk->len)
            chunk_refused(restore, i, hm_buf_slice(&whole.chunks[(i + 1) % whole.count]));
        assert_int_equal(hm_buf_append(chunk, "\0\1\0\0\0\1kv", 8), 0); /* an entry more */
        chunk_refused(restore, i, hm_buf_slice(chunk));
        chunk->len -= 8;
        assert_int_equal(twin_entries(LEDGER_TABLE_STATE) + twin_entries(LEDGER_TABLE_META),
                         before);
        assert_int_equal(ledger_restore_finish(restore, &error), HM_ECONFLICT);
        snap_take(restore, i);
        snap_take(restore, i); /* twice is once */
    }
    assert_int_equal(ledger_restore_chunk(restore, whole.count, (struct hm_slice){0}, &error),
                     HM_EINVAL);
    assert_int_equal(ledger_restore_finish(restore, &error), 0);
    ledger_restore_close(restore);
    same_info();
    same_table(LEDGER_TABLE_INDEX);
    assert_int_equal(snap_begin_with(hm_buf_slice(&whole.metadata), &restore, &error), HM_EEXIST);
}

static void test_headers_in_order(void **state)
{
    struct ledger_restore *restore = snap_begin();

    (void)state;
    assert_true(whole.count - whole.parts >= 2);
    assert_int_equal(ledger_restore_chunk(restore, whole.parts + 1,
                                          hm_buf_slice(&whole.chunks[whole.parts + 1]), NULL),
                     HM_ECONFLICT);
    snap_take(restore, whole.parts);
    snap_take(restore, whole.parts + 1);
    ledger_restore_close(restore);
}

static void test_metadata_tampered(void **state)
{
    struct ledger_restore *restore;
    struct hm_buf *metadata = &whole.metadata;
    struct hm_error error = {0};

    (void)state;
    for (size_t at = 0; at < metadata->len; at++) {
        int rc;

        metadata->data[at] ^= 1;
        rc = snap_begin_with(hm_buf_slice(metadata), &restore, &error);
        if (rc == 0)
            fail_msg("byte %zu of the metadata may be anything", at);
        if (rc != HM_EAUTH && rc != HM_EPARSE && rc != HM_EUNSUPPORTED)
            fail_msg("byte %zu: %d %s", at, rc, error.text);
        metadata->data[at] ^= 1;
    }
    for (size_t len = 0; len < metadata->len; len += 1 + len / 40)
        assert_int_equal(snap_begin_with(hm_slice_of(metadata->data, len), &restore, &error),
                         HM_EPARSE);
    twin_restore();
    same_info();
}

static void test_expected(void **state)
{
    struct ledger_restore_expect expect = {
        .genesis = genesis, .height = whole.info.height, .state_root = whole.info.state_root};
    struct hm_slice metadata = hm_buf_slice(&whole.metadata);
    struct ledger_restore *restore;
    struct store_txn *txn;
    uint8_t root[32];
    uint64_t era;

    (void)state;
    expect.height++;
    assert_int_equal(ledger_restore_begin(twin, &expect, metadata, &restore, NULL), HM_EAUTH);
    expect.height--;
    memcpy(root, whole.info.state_root, 32);
    root[9] ^= 1;
    expect.state_root = root;
    assert_int_equal(ledger_restore_begin(twin, &expect, metadata, &restore, NULL), HM_EAUTH);
    expect.state_root = whole.info.state_root;
    expect.genesis.len--;
    assert_int_equal(ledger_restore_begin(twin, &expect, metadata, &restore, NULL), HM_EAUTH);
    expect.genesis = genesis;
    expect.era = whole.info.height + 1;
    assert_int_equal(ledger_restore_begin(twin, &expect, metadata, &restore, NULL), HM_EINVAL);
    assert_int_equal(store_begin_read(twin_store, &txn, NULL), 0);
    assert_int_equal(ledger_restore_pending(txn, NULL), 0); /* nothing was begun */
    store_abort(txn);
    expect.era = whole.info.height;
    assert_int_equal(ledger_restore_begin(twin, &expect, metadata, &restore, NULL), 0);
    for (uint32_t i = 0; i < whole.count; i++)
        snap_take(restore, i);
    assert_int_equal(ledger_restore_finish(restore, NULL), 0);
    ledger_restore_close(restore);
    assert_int_equal(ledger_era(twin, &era, NULL), 0);
    assert_int_equal(era, whole.info.height);
}

/* --- half of it --- */

static void empty_twin(void)
{
    for (unsigned table = 0; table < LEDGER_TABLE_COUNT; table++)
        assert_int_equal(twin_entries(table), 0);
}

/* As after a crash: whatever is in the store is all there is. */
static void reopened(int code)
{
    struct hm_error error = {0};

    ledger_close(twin);
    twin = NULL;
    assert_int_equal(ledger_open(twin_store, &twin, &error), code);
    if (code)
        assert_non_null(strstr(error.text, "did not come to its end"));
}

static void test_half(void **state)
{
    struct ledger_restore *restore;

    (void)state;
    for (uint32_t stop = 0; stop <= whole.count; stop += 3) {
        restore = snap_begin();
        for (uint32_t i = 0; i < stop && i < whole.count; i++)
            snap_take(restore, i);
        ledger_restore_close(restore);
        reopened(HM_ECONFLICT);
        assert_int_equal(ledger_restore_drop(twin_store, NULL), 0);
        empty_twin();
        reopened(0);
        assert_int_equal(ledger_info(twin, &(struct ledger_info){0}, NULL), HM_ENOTFOUND);
    }
    /* What was begun and left is gone when it begins anew. */
    restore = snap_begin();
    snap_take(restore, 0);
    ledger_restore_close(restore);
    twin_restore();
    same_info();
    same_table(LEDGER_TABLE_STATE);
    assert_int_equal(ledger_restore_drop(twin_store, NULL), 0); /* a chain is not dropped */
    reopened(0);
    same_info();
}

/* --- the whole of it, for another one --- */

/* What was taken over is dropped and another begun; a chain that somebody lives by never is. */
static void test_undone(void **state)
{
    struct hm_error error = {0};

    (void)state;
    assert_int_equal(ledger_restore_undo(twin, &error), HM_ENOTFOUND); /* nothing is there */
    assert_int_equal(ledger_restore_undo(fix.ledger, &error), HM_EPERM);
    assert_non_null(strstr(error.text, "did not begin with a snapshot"));
    twin_restore();
    assert_int_equal(ledger_restore_undo(twin, &error), 0);
    reopened(HM_ECONFLICT);
    assert_int_equal(ledger_restore_drop(twin_store, NULL), 0);
    empty_twin();
    reopened(0);
    twin_restore();
    same_info();
    same_table(LEDGER_TABLE_STATE);
    both(NULL, 0);
    assert_int_equal(ledger_restore_undo(twin, &error), HM_EPERM);
    assert_non_null(strstr(error.text, "has blocks of its own"));
    reopened(0);
    both(NULL, 0);
}

/* Every write fails once: what is there is nothing, half of it that says so, or all. */
static void test_writes_fail(void **state)
{
    int rc = HM_EIO;

    (void)state;
    for (unsigned long nth = 1; rc; nth += 1 + nth / 3) {
        struct ledger_restore *restore = NULL;
        struct hm_error error = {0};

        store_memory_fail_at(twin_store, nth, 0);
        rc = snap_begin_with(hm_buf_slice(&whole.metadata), &restore, &error);
        for (uint32_t i = 0; rc == 0 && i < whole.count; i++)
            rc = ledger_restore_chunk(restore, i, hm_buf_slice(&whole.chunks[i]), &error);
        if (rc == 0)
            rc = ledger_restore_finish(restore, &error);
        ledger_restore_close(restore);
        store_memory_fail_at(twin_store, 0, 0);
        assert_true(rc == 0 || rc == HM_EIO);
        if (rc) {
            assert_int_equal(ledger_info(twin, &(struct ledger_info){0}, NULL), HM_ENOTFOUND);
            assert_int_equal(ledger_restore_drop(twin_store, NULL), 0);
            empty_twin();
        }
    }
    same_info();
    same_table(LEDGER_TABLE_INDEX);
}

static void test_without_memory(void **state)
{
    unsigned long failed = 0;
    int rc = HM_ENOMEM;

    (void)state;
    for (unsigned long nth = 1; rc; nth += 1 + nth / 8, failed++) {
        struct ledger_restore *restore = NULL;
        struct pieces pieces = {0};
        struct ledger_view *view = check_view();
        struct hm_error error = {0};

        hm_alloc_fail_at(nth);
        rc = pieces_make(view, &snap_small, &pieces, &error);
        if (rc == 0)
            rc = snap_begin_with(hm_buf_slice(&pieces.metadata), &restore, &error);
        for (uint32_t i = 0; rc == 0 && i < whole.count; i++)
            rc = ledger_restore_chunk(restore, i, hm_buf_slice(&pieces.chunks[i]), &error);
        if (rc == 0)
            rc = ledger_restore_finish(restore, &error);
        hm_alloc_fail_at(0);
        ledger_restore_close(restore);
        ledger_view_close(view);
        pieces_release(&pieces);
        if (rc && rc != HM_ENOMEM)
            fail_msg("allocation %lu: %d %s", nth, rc, error.text);
        if (rc) {
            assert_int_equal(ledger_restore_drop(twin_store, NULL), 0);
            twin_close(); /* a finish that was committed and could not be read is a chain */
            twin_open();
        }
    }
    assert_true(failed > 20);
    same_info();
}

/* --- killed --- */

#define AT_END 1000000 /* killed when all is done */

/* A process of its own: takes the snapshot over into the folder, and is killed after so many chunks. */
static int killed_child(const char *folder, uint32_t chunks)
{
    struct ledger_restore *restore;

    if (snap_setup_with(NULL))
        return 1;
    twin_close();
    assert_int_equal(store_open_lmdb(folder, fixture_store_options(), &twin_store, NULL), 0);
    assert_int_equal(ledger_open(twin_store, &twin, NULL), 0);
    restore = snap_begin();
    for (uint32_t i = 0; i < whole.count && i < chunks; i++)
        snap_take(restore, i);
    if (chunks == AT_END)
        assert_int_equal(ledger_restore_finish(restore, NULL), 0);
    (void)raise(SIGKILL);
    return 1;
}

static void kill_after(const char *folder, uint32_t chunks)
{
    extern char **environ;
    char program[] = "/proc/self/exe";
    char number[16];
    char *const argv[] = {program, (char *)(uintptr_t)folder, number, NULL};
    int status;
    pid_t pid;

    (void)snprintf(number, sizeof number, "%u", (unsigned)chunks);
    assert_int_equal(posix_spawn(&pid, program, NULL, NULL, argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_killed(void **state)
{
    const uint32_t after[] = {0, whole.parts / 2, whole.count, AT_END};
    char folder[] = "/tmp/hm-test-snapshot-XXXXXX";

    (void)state;
    twin_close();
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < HM_COUNT_OF(after); i++) {
        bool done = after[i] == AT_END;

        kill_after(folder, after[i]);
        assert_int_equal(store_open_lmdb(folder, fixture_store_options(), &twin_store, NULL), 0);
        assert_int_equal(ledger_open(twin_store, &twin, NULL), done ? 0 : HM_ECONFLICT);
        if (done) {
            same_info();
            same_table(LEDGER_TABLE_STATE);
            same_table(LEDGER_TABLE_INDEX);
            both(NULL, 0);
        } else {
            assert_int_equal(ledger_restore_drop(twin_store, NULL), 0);
            empty_twin();
        }
        twin_close();
    }
    assert_int_equal(hm_remove_tree(folder, NULL), 0);
}
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, snap_setup, snap_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_tampered),
        WITH_WORLD(test_headers_in_order),
        WITH_WORLD(test_metadata_tampered),
        WITH_WORLD(test_expected),
        WITH_WORLD(test_half),
        WITH_WORLD(test_undone),
        WITH_WORLD(test_writes_fail),
        cmocka_unit_test_setup_teardown(test_without_memory, snap_setup_few, snap_teardown),
        WITH_WORLD(test_killed),
    };

    if (argc == 3)
        return killed_child(argv[1], (uint32_t)strtoul(argv[2], NULL, 10));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
