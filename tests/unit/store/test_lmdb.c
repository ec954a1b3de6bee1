/* What only the store on disk can get wrong: locks, kills, full maps, damaged files.
 *
 * The program starts itself again as a child: `test_lmdb hold DIR` opens the store, says so, and waits
 * to be killed; `test_lmdb write DIR` commits numbers and prints each one once it is durable;
 * `test_lmdb short DIR` leaves a data file that is shorter than its page count, though whole. */
#include "store_test.h"

#include "store_lmdb_error.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

#define CHILD_TIMEOUT_MS 20000
#define KILL_ROUNDS      12

struct child {
    pid_t pid;
    int out; /* its standard output */
};

static struct child start(const char *verb, const char *path)
{
    struct child child = {.pid = -1, .out = -1};
    char program[] = "/proc/self/exe";
    char *argv[] = {program, (char *)(uintptr_t)verb, (char *)(uintptr_t)path, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, ends[1], 1), 0);
    assert_int_equal(posix_spawn(&child.pid, program, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    child.out = ends[0];
    return child;
}

/* Reads whole numbers until there are at least enough or the child is gone; gives the last. */
static uint64_t read_numbers(const struct child *child, uint64_t enough)
{
    uint64_t number = 0;
    size_t count = 0;

    while (count < enough) {
        uint8_t bytes[8];
        struct pollfd ready = {.fd = child->out, .events = POLLIN};

        assert_int_equal(poll(&ready, 1, CHILD_TIMEOUT_MS), 1);
        if (read(child->out, bytes, sizeof(bytes)) != sizeof(bytes))
            break;
        number = hm_get_be64(bytes);
        count++;
    }
    return number;
}

static int end(struct child *child, int sig)
{
    int status = 0;

    if (sig)
        kill(child->pid, sig);
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    close(child->out);
    return status;
}

static int say(uint64_t number)
{
    uint8_t bytes[8];

    hm_put_be64(bytes, number);
    return hm_write_all(1, bytes, sizeof(bytes), NULL);
}

static int child_hold(const char *path)
{
    struct store *store = NULL;
    struct store_txn *txn = NULL;

    /* Killed inside a write transaction and with a reader open: the worst time. */
    if (store_open_lmdb(path, &store_test_options, &store, NULL) ||
        store_begin_read(store, &txn, NULL) || store_begin_write(store, &txn, NULL) ||
        store_put(txn, STORE_TEST_A, hm_slice_str("never"), hm_slice_str("committed"), NULL) ||
        say(1))
        return 2;
    for (;;)
        pause();
}

/* Each transaction writes its number to both tables and a page of ballast. */
static int child_write(const char *path)
{
    static const uint8_t ballast[3000];
    struct store *store = NULL;

    if (store_open_lmdb(path, &store_test_options, &store, NULL))
        return 2;
    for (;;) {
        struct store_txn *txn = NULL;
        struct hm_slice last = {0};
        uint64_t number;
        uint8_t bytes[8];

        if (store_begin_write(store, &txn, NULL))
            return 3;
        number = store_get(txn, STORE_TEST_A, hm_slice_str("n"), &last)
                     ? 1
                     : hm_get_be64(last.data) + 1;
        hm_put_be64(bytes, number);
        if (store_put(txn, STORE_TEST_A, hm_slice_str("n"), hm_slice_of(bytes, 8), NULL) ||
            store_put(txn, STORE_TEST_B, hm_slice_of(bytes, 8), hm_slice_of(ballast, 3000), NULL) ||
            store_put(txn, STORE_TEST_B, hm_slice_str("n"), hm_slice_of(bytes, 8), NULL) ||
            store_commit(txn, NULL) || say(number))
            return 4;
    }
}

/* One transaction; fill 1: many small entries put, -1: deleted again, 0: neither. */
static int change_some(struct store *store, int fill)
{
    static const uint8_t ballast[100];
    struct store_txn *txn = NULL;
    int rc = store_begin_write(store, &txn, NULL);

    for (uint32_t i = 0; !rc && fill && i < 2000; i++) {
        struct hm_slice key = hm_slice_of(&i, sizeof(i));

        rc = fill > 0 ? store_put(txn, STORE_TEST_B, key, hm_slice_of(ballast, 100), NULL)
                      : store_delete(txn, STORE_TEST_B, key, NULL);
    }
    if (!rc)
        rc = store_put(txn, STORE_TEST_A, hm_slice_str("k"), hm_slice_str("whole"), NULL);
    return rc ? rc : store_commit(txn, NULL);
}

/* With free pages at hand for all else, a large value goes to the end of the file; deleted in the same
 * transaction its pages are counted there but never written. */
static int child_short(const char *path)
{
    static const uint8_t ballast[1 << 20];
    struct hm_slice big = hm_slice_of(ballast, sizeof(ballast));
    struct store *store = NULL;
    struct store_txn *txn = NULL;

    if (store_open_lmdb(path, &store_test_options, &store, NULL) || change_some(store, 1) ||
        change_some(store, -1) || change_some(store, 0) || change_some(store, 0) ||
        store_begin_write(store, &txn, NULL) ||
        store_put(txn, STORE_TEST_B, hm_slice_str("big"), big, NULL) ||
        store_delete(txn, STORE_TEST_B, hm_slice_str("big"), NULL) || store_commit(txn, NULL) ||
        say(1))
        return 2;
    for (;;)
        pause();
}

static struct store *open_at(const char *path)
{
    struct store *store = NULL;
    struct hm_error error = {0};

    if (store_open_lmdb(path, &store_test_options, &store, &error))
        fail_msg("open: %s", error.text);
    return store;
}

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

static void put_one(const char *path, const char *value)
{
    struct store *store = open_at(path);
    struct store_txn *txn = store_test_write(store);

    store_test_put(txn, STORE_TEST_A, "k", value);
    store_test_commit(txn);
    store_close(store);
}

static void stays_after_close(void **state)
{
    struct store *store;
    struct store_txn *txn;

    put_one(*state, "1");
    put_one(*state, "2");
    store = open_at(*state);
    txn = store_test_read(store);
    store_test_expect(txn, STORE_TEST_A, "k", "2");
    store_abort(txn);
    store_close(store);
}

static void refuses_other_processes(void **state)
{
    struct child child = start("hold", *state);
    struct store_options reading = store_test_options;
    struct store *store = NULL;
    struct store_txn *txn;
    struct hm_error error = {0};
    char pid[32];

    reading.read_only = true;
    assert_int_equal(read_numbers(&child, 1), 1);
    assert_int_equal(store_open_lmdb(*state, &store_test_options, &store, &error), HM_EBUSY);
    assert_non_null(strstr(error.text, *state)); /* names the folder and the owner */
    snprintf(pid, sizeof(pid), "process %ld", (long)child.pid);
    assert_non_null(strstr(error.text, pid));
    assert_int_equal(store_open_lmdb(*state, &reading, &store, &error), HM_EBUSY);
    assert_null(store);
    end(&child, SIGKILL);

    store = open_at(*state); /* the lock died with its owner, and so did its transactions */
    txn = store_test_write(store);
    store_test_expect(txn, STORE_TEST_A, "never", NULL);
    store_abort(txn);
    store_close(store);
}

static void *let_go(void *fd)
{
    const struct timespec while_exec_comes = {.tv_nsec = 200000000};

    (void)nanosleep(&while_exec_comes, NULL);
    close((int)(intptr_t)fd);
    return NULL;
}

/* A killed owner's child has the lock for a moment longer; somebody else's lock is no reason to wait. */
static void waits_for_a_killed_owners_child(void **state)
{
    struct child child = start("hold", *state);
    HM_AUTOFREE char *name = hm_asprintf("%s/LOCK", (char *)*state);
    pthread_t thread;

    assert_int_equal(read_numbers(&child, 1), 1);
    end(&child, SIGKILL);
    int fd = open(name, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(pthread_create(&thread, NULL, let_go, (void *)(intptr_t)fd), 0);
    store_close(open_at(*state));
    pthread_join(thread, NULL);
}

static void refuses_itself(void **state)
{
    struct store *store = open_at(*state);
    struct store *second = NULL;
    struct hm_error error = {0};

    assert_int_equal(store_open_lmdb(*state, &store_test_options, &second, &error), HM_EBUSY);
    store_close(store);
    store_close(open_at(*state));
}

static void many_may_read(void **state)
{
    struct store_options reading = store_test_options;
    struct store *stores[2] = {NULL, NULL};
    struct store *writer = NULL;
    struct store_txn *txn = NULL;
    struct hm_error error = {0};
    HM_AUTOFREE char *missing = hm_asprintf("%s/missing", (char *)*state);

    reading.read_only = true;
    assert_int_equal(store_open_lmdb(missing, &reading, &stores[0], &error), HM_ENOTFOUND);
    put_one(*state, "1");
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(store_open_lmdb(*state, &reading, &stores[i], &error), 0);
    assert_int_equal(store_open_lmdb(*state, &store_test_options, &writer, &error), HM_EBUSY);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(store_begin_write(stores[i], &txn, &error), HM_EPERM);
        txn = store_test_read(stores[i]);
        store_test_expect(txn, STORE_TEST_A, "k", "1");
        store_abort(txn);
    }
    store_close(stores[0]);
    store_close(stores[1]);
}

static void missing_table_is_said(void **state)
{
    static const char *const names[] = {"table_a", "table_c"};
    struct store_options reading = {.tables = names, .table_count = 2, .read_only = true};
    struct store *store = NULL;
    struct hm_error error = {0};

    put_one(*state, "1");
    assert_int_equal(store_open_lmdb(*state, &reading, &store, &error), HM_ENOTFOUND);
    assert_non_null(strstr(error.text, "table_c"));
}

/* Kills a writer again and again: what it reported is there, whole, and nothing half done. */
static void survives_kill(void **state)
{
    uint64_t seen = 0;

    for (unsigned round = 0; round < KILL_ROUNDS; round++) {
        struct child child = start("write", *state);
        uint64_t reported = read_numbers(&child, 1 + round * 7 % 20);
        struct store *store;
        struct store_txn *txn;
        struct hm_slice a = {0};
        struct hm_slice b = {0};
        struct hm_slice ballast = {0};

        assert_true(reported > seen);
        assert_true(WIFSIGNALED(end(&child, SIGKILL)));
        store = open_at(*state);
        txn = store_test_read(store);
        assert_int_equal(store_get(txn, STORE_TEST_A, hm_slice_str("n"), &a), 0);
        assert_int_equal(store_get(txn, STORE_TEST_B, hm_slice_str("n"), &b), 0);
        assert_true(hm_slice_equal(a, b));
        seen = hm_get_be64(a.data);
        assert_true(seen >= reported);
        for (uint64_t n = 1; n <= seen; n++) {
            uint8_t key[8];

            hm_put_be64(key, n);
            assert_int_equal(store_get(txn, STORE_TEST_B, hm_slice_of(key, 8), &ballast), 0);
        }
        store_abort(txn);
        store_close(store);
    }
}

static void full_map_is_said(void **state)
{
    static const uint8_t bytes[20000];
    struct store_options small = store_test_options;
    struct store *store = NULL;
    struct store_txn *txn;
    struct hm_error error = {0};
    uint64_t i = 0;
    int rc = 0;

    small.map_bytes = 1 << 20;
    assert_int_equal(store_open_lmdb(*state, &small, &store, &error), 0);
    txn = store_test_write(store);
    store_test_put(txn, STORE_TEST_A, "kept", "1");
    store_test_commit(txn);
    txn = store_test_write(store);
    while (!rc && i < 1000) {
        rc = store_put(txn, STORE_TEST_B, hm_slice_of(&i, 8), hm_slice_of(bytes, sizeof(bytes)),
                       &error);
        i++;
    }
    assert_int_equal(rc, HM_ELIMIT);
    assert_non_null(strstr(error.text, "full"));
    assert_true(store_commit(txn, &error) < 0);
    txn = store_test_read(store);
    store_test_expect(txn, STORE_TEST_A, "kept", "1");
    store_abort(txn);
    store_close(store);
    store = open_at(*state); /* a larger map: room again */
    txn = store_test_write(store);
    store_test_put(txn, STORE_TEST_A, "more", "2");
    store_test_commit(txn);
    store_close(store);
}

/* A commit whose pages cannot be written fails, and what was committed before is all there is. */
static void failed_commit_changes_nothing(void **state)
{
    static const uint8_t ballast[1 << 20];
    struct rlimit before;
    struct rlimit tight;
    struct store *store = open_at(*state);
    struct store_txn *txn = store_test_write(store);
    struct hm_error error = {0};
    int rc;

    store_test_put(txn, STORE_TEST_A, "kept", "1");
    store_test_commit(txn);
    txn = store_test_write(store);
    store_test_put(txn, STORE_TEST_A, "kept", "2");
    assert_int_equal(store_put(txn, STORE_TEST_B, hm_slice_str("big"),
                               hm_slice_of(ballast, sizeof(ballast)), NULL),
                     0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = 1 << 17;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    rc = store_commit(txn, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(rc, HM_EIO);
    assert_true(error.text[0] != '\0');

    for (int reopened = 0; reopened < 2; reopened++) {
        txn = store_test_read(store);
        store_test_expect(txn, STORE_TEST_A, "kept", "1");
        store_test_expect(txn, STORE_TEST_B, "big", NULL);
        store_abort(txn);
        store_close(store);
        store = open_at(*state);
    }
    txn = store_test_write(store);
    store_test_put(txn, STORE_TEST_A, "kept", "3");
    store_test_commit(txn);
    store_close(store);
}

static void files_are_private(void **state)
{
    static const char *const names[] = {"LOCK", "data.mdb", "lock.mdb"};
    HM_AUTOFREE char *path = hm_asprintf("%s/new/store", (char *)*state);
    struct store *store = open_at(path);
    struct stat info;

    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    for (size_t i = 0; i < HM_COUNT_OF(names); i++) {
        HM_AUTOFREE char *file = hm_asprintf("%s/%s", path, names[i]);

        assert_int_equal(stat(file, &info), 0);
        assert_int_equal(info.st_mode & 0777, 0600);
    }
    for (int fd = 3; fd < 64; fd++) { /* a started program inherits none of them */
        HM_AUTOFREE char *link = hm_asprintf("/proc/self/fd/%d", fd);
        char target[4096];
        ssize_t len = readlink(link, target, sizeof(target) - 1);

        target[len > 0 ? len : 0] = '\0';
        if (strstr(target, path))
            assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    store_close(store);
}

static void overwrite(const char *folder, off_t at, const void *bytes, size_t len)
{
    HM_AUTOFREE char *file = hm_asprintf("%s/data.mdb", folder);
    int fd = open(file, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, at), len);
    close(fd);
}

static void damage_is_said(void **state)
{
    static const uint8_t garbage[8192] = {1, 2, 3};
    struct store *store = NULL;
    struct hm_error error = {0};

    put_one(*state, "1");
    overwrite(*state, 0, garbage, sizeof(garbage)); /* both meta pages */
    assert_int_equal(store_open_lmdb(*state, &store_test_options, &store, &error), HM_ECORRUPT);
    assert_null(store);
}

/* A file that lost its end: said at open, where reading on would end the process with SIGBUS. */
static void cut_file_is_said(void **state)
{
    HM_AUTOFREE char *file = hm_asprintf("%s/data.mdb", (char *)*state);
    static const uint8_t ballast[100000];
    struct store_options reading = store_test_options;
    struct store *store = open_at(*state);
    struct store_txn *txn = store_test_write(store);
    struct hm_error error = {0};
    struct stat info;

    assert_int_equal(store_put(txn, STORE_TEST_A, hm_slice_str("big"),
                               hm_slice_of(ballast, sizeof(ballast)), NULL),
                     0);
    store_test_commit(txn);
    store_close(store);
    store = NULL;
    assert_int_equal(stat(file, &info), 0);
    assert_int_equal(truncate(file, info.st_size / 2), 0);
    for (int twice = 0; twice < 2; twice++)
        assert_int_equal(store_open_lmdb(*state, &store_test_options, &store, &error), HM_ECORRUPT);
    reading.read_only = true;
    assert_int_equal(store_open_lmdb(*state, &reading, &store, &error), HM_ECORRUPT);
    assert_null(store);
}

static void short_but_whole_file_opens(void **state)
{
    struct child child = start("short", *state);
    HM_AUTOFREE char *file = hm_asprintf("%s/data.mdb", (char *)*state);
    struct store_options reading = store_test_options;
    struct store *store = NULL;
    struct store_txn *txn;
    struct stat before;
    struct stat after;

    assert_int_equal(read_numbers(&child, 1), 1);
    end(&child, SIGKILL);
    assert_int_equal(stat(file, &before), 0);
    store = open_at(*state);
    txn = store_test_read(store);
    store_test_expect(txn, STORE_TEST_A, "k", "whole");
    store_abort(txn);
    store_close(store);
    assert_int_equal(stat(file, &after), 0);
    assert_true(after.st_size > before.st_size + (1 << 19)); /* it was short indeed */
    reading.read_only = true;
    assert_int_equal(store_open_lmdb(*state, &reading, &store, NULL), 0);
    store_close(store);
}

static void refuses_bad_paths(void **state)
{
    HM_AUTOFREE char *file = hm_asprintf("%s/file", (char *)*state);
    HM_AUTOFREE char *below = hm_asprintf("%s/file/store", (char *)*state);
    struct store *store = NULL;
    struct hm_error error = {0};
    static char longer[5000];

    assert_int_equal(hm_file_replace(file, "x", 1, 0600, NULL), 0);
    assert_true(store_open_lmdb(file, &store_test_options, &store, &error) < 0);
    assert_true(error.text[0] != '\0');
    assert_true(store_open_lmdb(below, &store_test_options, &store, &error) < 0);
    memset(longer, 'x', sizeof(longer) - 1);
    assert_int_equal(store_open_lmdb(longer, &store_test_options, &store, &error), HM_ELIMIT);
    assert_null(store);
}

static void refuses_bad_options(void **state)
{
    static const char *const names[] = {"fine", "Not fine", "fine"};
    struct store_options options = {.tables = names, .table_count = 2};
    struct store *store = NULL;
    struct hm_error error = {0};

    assert_int_equal(store_open_lmdb(*state, &options, &store, &error), HM_EINVAL);
    options.table_count = STORE_TABLES_MAX + 1;
    assert_int_equal(store_open_lmdb(*state, &options, &store, &error), HM_ELIMIT);
    options.table_count = 0;
    assert_int_equal(store_open_memory(&options, &store, &error), HM_EINVAL);
    assert_null(store);
}

/* Each failure of LMDB or the disk has its code, and a sentence that says what to do. */
static void failures_have_their_sentence(void **state)
{
    static const struct {
        int rc;
        int code;
        const char *says;
    } cases[] = {
        {MDB_MAP_FULL, HM_ELIMIT, "map_bytes"},
        {MDB_TXN_FULL, HM_ELIMIT, "split it"},
        {MDB_READERS_FULL, HM_EBUSY, "READERS_FULL"},
        {MDB_CORRUPTED, HM_ECORRUPT, "CORRUPTED"},
        {MDB_VERSION_MISMATCH, HM_ECORRUPT, "VERSION"},
        {MDB_PANIC, HM_EIO, "restart"},
        {MDB_BAD_TXN, HM_EINTERNAL, "after it failed"},
        {MDB_NOTFOUND, HM_ENOTFOUND, "NOTFOUND"},
        {MDB_INCOMPATIBLE, HM_EINTERNAL, "INCOMPATIBLE"},
        {ENOSPC, HM_EIO, "free some"},
        {EDQUOT, HM_EIO, "free some"},
        {EFBIG, HM_EIO, "ulimit -f"},
        {EROFS, HM_EIO, "remount"},
        {ENOMEM, HM_ENOMEM, "memory"},
        {EACCES, HM_EPERM, "denied"},
        {EIO, HM_EIO, "/nowhere"},
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        struct hm_error error = {0};

        assert_int_equal(store_lmdb_fail(&error, cases[i].rc, "try", "/nowhere"), cases[i].code);
        assert_int_equal(error.code, cases[i].code);
        if (!strstr(error.text, cases[i].says))
            fail_msg("no \"%s\" in: %s", cases[i].says, error.text);
        assert_non_null(strstr(error.text, "/nowhere"));
    }
    assert_int_equal(store_lmdb_code(0), 0);
}

/* Every allocation of a store's whole life fails once: said, nothing leaks, and the folder opens again. */
static void survives_failed_allocations(void **state)
{
    unsigned long nth = 0;
    int rc = -1;

    while (rc) {
        struct store *store = NULL;
        struct store_txn *txn = NULL;

        hm_alloc_fail_at(++nth);
        rc = store_open_lmdb(*state, &store_test_options, &store, NULL);
        if (!rc)
            rc = store_begin_write(store, &txn, NULL);
        if (!rc)
            rc = store_put(txn, STORE_TEST_A, hm_slice_str("k"), hm_slice_str("1"), NULL);
        if (!rc) {
            rc = store_commit(txn, NULL);
            txn = NULL;
        }
        hm_alloc_fail_at(0);
        assert_true(rc == 0 || rc == HM_ENOMEM);
        store_abort(txn);
        store_close(store);
        put_one(*state, "2");
    }
    assert_true(nth > 8);
}

/* What is in the folder but is no store. */
static void foreign_things_are_refused(void **state)
{
    HM_AUTOFREE char *data = hm_asprintf("%s/data.mdb", (char *)*state);
    HM_AUTOFREE char *lock = hm_asprintf("%s/LOCK", (char *)*state);
    struct store *store = NULL;
    struct hm_error error = {0};

    assert_int_equal(mkdir(data, 0700), 0); /* a folder by that name */
    assert_true(store_open_lmdb(*state, &store_test_options, &store, &error) < 0);
    assert_true(error.text[0] != '\0');
    assert_int_equal(rmdir(data), 0);
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(mkdir(lock, 0700), 0);
    assert_int_equal(store_open_lmdb(*state, &store_test_options, &store, &error), HM_EIO);
    assert_non_null(strstr(error.text, "LOCK"));
    assert_int_equal(rmdir(lock), 0);
    assert_int_equal(hm_file_replace(data, "", 0, 0600, NULL), 0); /* empty: never was a store */
    store_close(open_at(*state));
    assert_null(store);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stays_after_close, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_other_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_for_a_killed_owners_child, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(many_may_read, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_table_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(survives_kill, setup, teardown),
        cmocka_unit_test_setup_teardown(full_map_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_commit_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(files_are_private, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(cut_file_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(short_but_whole_file_opens, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_bad_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_bad_options, setup, teardown),
        cmocka_unit_test(failures_have_their_sentence),
        cmocka_unit_test_setup_teardown(survives_failed_allocations, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_things_are_refused, setup, teardown),
    };

    if (argc == 3 && strcmp(argv[1], "hold") == 0)
        return child_hold(argv[2]);
    if (argc == 3 && strcmp(argv[1], "write") == 0)
        return child_write(argv[2]);
    if (argc == 3 && strcmp(argv[1], "short") == 0)
        return child_short(argv[2]);
    return cmocka_run_group_tests_name("store on disk", tests, NULL, NULL);
}
