/* The store on disk when the power fails: at every write, sync and name of a run, with what was not synced
 * lost, kept, torn and out of order. And when the disk fails: what was not durable is never acknowledged.
 *
 * The program starts itself again below the preload library (powercut/), as `test_store_powercut work DIR`,
 * and judges what it left. */
#include "store_test_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "powercut/powercut_image.h"
#include "powercut/powercut_run.h"

#define TXNS            24
#define KEYS            300
#define CHANGES         9
#define BALLAST_BYTES   3000
#define KEPT            6 /* ballast entries at a time */
#define RANDOM_VARIANTS 3
#define STRIDE          7 /* where a run is one of many: one image in so many is judged */

enum { TABLE_LEAVES, TABLE_PAGES, TABLE_MAIN, TABLES };

static const char *const names[] = {"leaves", "pages", "main"};
static const struct store_options options = {.tables = names, .table_count = TABLES};
static const struct store_tree tree = {.leaf_table = TABLE_LEAVES, .page_table = TABLE_PAGES};

/* --- the work: each transaction's changes follow from its number --- */

static size_t changes_of(uint64_t n, struct store_tree_change changes[KEYS])
{
    size_t count = n == 1 ? KEYS : CHANGES;

    for (size_t i = 0; i < count; i++) {
        uint64_t key = n == 1 ? i : (n * 31 + i * 17) % (KEYS + 40);
        uint64_t value = n << 32 | i;

        crypto_hash(&key, sizeof(key), changes[i].key_hash);
        if ((n + i) % 3 || n == 1)
            crypto_hash(&value, sizeof(value), changes[i].value_hash);
        else
            memset(changes[i].value_hash, 0, CRYPTO_HASH_BYTES);
    }
    return count;
}

static void ballast_of(uint64_t n, uint8_t out[BALLAST_BYTES])
{
    for (size_t i = 0; i < BALLAST_BYTES; i++)
        out[i] = (uint8_t)(n * 7 + i);
}

static int number_put(struct store_txn *txn, uint64_t n, struct hm_error *error)
{
    uint8_t bytes[8];

    hm_put_be64(bytes, n);
    return store_put(txn, TABLE_MAIN, hm_slice_str("n"), hm_slice_of(bytes, sizeof(bytes)), error);
}

static uint64_t number_get(struct store_txn *txn)
{
    struct hm_slice value = {0};

    return store_get(txn, TABLE_MAIN, hm_slice_str("n"), &value) ? 0 : hm_get_be64(value.data);
}

static int work_write(struct store_txn *txn, uint64_t n, struct hm_error *error)
{
    struct store_tree_change changes[KEYS];
    uint8_t ballast[BALLAST_BYTES];
    uint8_t root[CRYPTO_HASH_BYTES];
    uint8_t key[8];
    uint8_t old[8];
    int rc = store_tree_update(txn, &tree, changes, changes_of(n, changes), root, error);

    hm_put_be64(key, n);
    hm_put_be64(old, n - KEPT);
    ballast_of(n, ballast);
    if (!rc)
        rc = number_put(txn, n, error);
    if (!rc)
        rc = store_put(txn, TABLE_MAIN, hm_slice_str("root"), hm_slice_of(root, sizeof(root)),
                       error);
    if (!rc)
        rc = store_put(txn, TABLE_MAIN, hm_slice_of(key, 8), hm_slice_of(ballast, BALLAST_BYTES),
                       error);
    if (!rc && n > KEPT)
        rc = store_delete(txn, TABLE_MAIN, hm_slice_of(old, 8), error);
    return rc;
}

static int work_one(struct store *store, uint64_t n, struct hm_error *error)
{
    struct store_txn *txn = NULL;
    int rc = store_begin_write(store, &txn, error);

    if (rc)
        return rc;
    rc = work_write(txn, n, error);
    if (rc) {
        store_abort(txn);
        return rc;
    }
    return store_commit(txn, error);
}

/* --- the child --- */

static uint64_t number_of(struct store *store)
{
    struct store_txn *txn = store_test_read(store);
    uint64_t n = number_get(txn);

    store_abort(txn);
    return n;
}

/* After a failure the store must refuse to write, and a new one must have the last number promised. Where
 * the disk fails for good, that is all. */
static struct store *after_failure(struct store *store, const char *path, uint64_t promised,
                                   const struct hm_error *why)
{
    struct hm_error error = {0};
    struct store *again = NULL;
    struct store_txn *txn = NULL;

    assert_int_equal(why->code, HM_EIO);
    assert_true(why->text[0] != '\0');
    assert_int_equal(store_begin_write(store, &txn, &error), HM_EIO);
    assert_non_null(strstr(error.text, "restart"));
    assert_null(txn);
    store_close(store);
    if (store_open_lmdb(path, &options, &again, &error)) {
        assert_int_equal(error.code, HM_EIO);
        return NULL;
    }
    assert_in_range(number_of(again), promised, promised + 1);
    return again;
}

static int child_work(const char *path)
{
    struct store *store = NULL;
    struct hm_error error = {0};
    unsigned failures = 0;
    uint64_t n = 0;

    while (store_open_lmdb(path, &options, &store, &error)) {
        assert_int_equal(error.code, HM_EIO);
        if (++failures == 3)
            return 9;
    }
    while (n < TXNS) {
        if (work_one(store, n + 1, &error) == 0) {
            powercut_promise(++n);
            continue;
        }
        store = after_failure(store, path, n, &error);
        if (!store || ++failures == 3) {
            store_close(store);
            return 9; /* a disk that fails for good */
        }
        n = number_of(store);
        powercut_promise(n); /* it was opened, so it is durable */
    }
    store_close(store);
    return failures ? 8 : 0;
}

/* --- running it --- */

struct run {
    char *base;
    char *folder;
    char *log;
    char *cut;
};

static int setup(void **state)
{
    static const char shm[] = "/dev/shm";
    struct run *run = hm_calloc(1, sizeof(*run));

    if (access(shm, W_OK) == 0 && !getenv("TMPDIR"))
        setenv("TMPDIR", shm, 1); /* thousands of images: spare the disk */
    run->base = store_test_folder();
    run->folder = hm_asprintf("%s/data", run->base);
    run->log = hm_asprintf("%s/log", run->base);
    run->cut = hm_asprintf("%s/cut", run->base);
    *state = run;
    return 0;
}

static int teardown(void **state)
{
    struct run *run = *state;

    store_test_folder_remove(run->base);
    hm_free(run->folder);
    hm_free(run->log);
    hm_free(run->cut);
    hm_free(run);
    return 0;
}

static int run_work(const struct run *run, const char *faults)
{
    char program[] = "test_store_powercut";
    char verb[] = "work";
    char *const argv[] = {program, verb, run->folder, NULL};

    return powercut_run(argv, run->folder, run->log, faults);
}

/* --- judging what a cut left --- */

struct judge {
    struct tree_model models[TXNS + 2];
    uint8_t roots[TXNS + 2][CRYPTO_HASH_BYTES];
    size_t stride; /* looks at one image in so many */
    size_t images;
    size_t ahead; /* of which a commit under way was there whole */
};

static void judge_init(struct judge *judge)
{
    struct tree_model model = {0};

    for (uint64_t n = 0; n <= TXNS + 1; n++) {
        struct store_tree_change changes[KEYS];
        size_t count = n ? changes_of(n, changes) : 0;

        for (size_t i = 0; i < count; i++)
            tree_model_set(&model, &changes[i]);
        for (size_t i = 0; i < model.count; i++)
            tree_model_set(&judge->models[n], &model.leaves[i]);
        tree_model_root(&model, judge->roots[n]);
    }
    tree_model_release(&model);
}

static void judge_release(struct judge *judge)
{
    for (size_t n = 0; n <= TXNS + 1; n++)
        tree_model_release(&judge->models[n]);
}

/* Every leaf the model has is proved, and as many keys that it lacks are proved absent. */
static void judge_tree(struct store_txn *txn, const struct tree_model *model,
                       const uint8_t root[CRYPTO_HASH_BYTES])
{
    size_t present = 0;

    for (uint64_t key = 0; key < KEYS + 40; key++) {
        HM_CLEANUP(store_tree_proof) struct store_tree_proof proof = {0};
        struct hm_slice name = hm_slice_of(&key, sizeof(key));
        struct hm_error error = {0};

        if (store_tree_prove(txn, &tree, name, &proof, &error))
            fail_msg("prove: %s", error.text);
        present += proof.exists;
        if (!proof.exists)
            assert_int_equal(store_tree_verify(root, name, (struct hm_slice){0}, &proof, NULL), 0);
    }
    assert_int_equal(present, model->count);
}

static void judge_ballast(struct store_txn *txn, uint64_t n)
{
    uint8_t expected[BALLAST_BYTES];

    for (uint64_t i = 1; i <= n; i++) {
        struct hm_slice value = {0};
        uint8_t key[8];
        int rc;

        hm_put_be64(key, i);
        rc = store_get(txn, TABLE_MAIN, hm_slice_of(key, 8), &value);
        if (i + KEPT <= n) {
            assert_int_equal(rc, HM_ENOTFOUND);
            continue;
        }
        ballast_of(i, expected);
        assert_int_equal(rc, 0);
        assert_int_equal(value.len, BALLAST_BYTES);
        assert_memory_equal(value.data, expected, BALLAST_BYTES);
    }
}

static uint64_t judge_store(const struct judge *judge, struct store *store, bool deep)
{
    struct store_txn *txn = store_test_read(store);
    uint64_t n = number_get(txn);
    struct hm_slice stored = {0};
    uint8_t root[CRYPTO_HASH_BYTES];

    assert_in_range(n, 0, TXNS);
    assert_int_equal(store_tree_root(txn, &tree, root, NULL), 0);
    assert_memory_equal(root, judge->roots[n], sizeof(root));
    if (n) {
        assert_int_equal(store_get(txn, TABLE_MAIN, hm_slice_str("root"), &stored), 0);
        assert_int_equal(stored.len, sizeof(root));
        assert_memory_equal(stored.data, root, sizeof(root));
    }
    judge_ballast(txn, n);
    if (deep)
        judge_tree(txn, &judge->models[n], root);
    store_abort(txn);
    return n;
}

static void judge_image(struct judge *judge, const char *path, uint64_t promised, bool deep)
{
    struct store_options opened = options;
    struct store *store = NULL;
    struct hm_error error = {0};
    uint64_t n;

    opened.scratch = true;
    if (store_open_lmdb(path, &opened, &store, &error))
        fail_msg("after %llu promised: %s", (unsigned long long)promised, error.text);
    n = judge_store(judge, store, deep);
    assert_in_range(n, promised, promised + 1);
    judge->images++;
    judge->ahead += n > promised;
    if (deep && n < TXNS) { /* and it goes on from there */
        assert_int_equal(work_one(store, n + 1, &error), 0);
        assert_int_equal(judge_store(judge, store, true), n + 1);
    }
    store_close(store);
}

static void judge_log(struct judge *judge, const struct run *run, const struct powercut_log *log)
{
    struct powercut_image *image = powercut_image_new(log, NULL);
    struct hm_error error = {0};

    do {
        unsigned variants = powercut_variants(image, RANDOM_VARIANTS);

        for (unsigned variant = 0; variant < variants; variant++) {
            if ((powercut_image_step(image) + variant) % judge->stride != 0)
                continue;
            if (powercut_image_write(image, variant, run->cut, &error))
                fail_msg("image: %s", error.text);
            judge_image(judge, run->cut, powercut_image_mark(image),
                        (powercut_image_step(image) + variant) % 16 == 0);
        }
    } while (powercut_image_advance(image));
    powercut_image_free(image);
}

/* --- tests --- */

/* ahead: the run has commits that were not promised yet when the power failed */
static void judge_run(const struct run *run, size_t stride, size_t images_min, bool ahead)
{
    struct judge judge = {.stride = stride};
    struct powercut_log log = {0};
    struct hm_error error = {0};

    if (powercut_load(run->log, &log, &error))
        fail_msg("%s", error.text);
    judge_init(&judge);
    judge_log(&judge, run, &log);
    print_message("%zu images of %zu records, %zu one commit ahead\n", judge.images, log.count,
                  judge.ahead);
    assert_true(judge.images >= images_min);
    assert_true(judge.ahead > 0 || !ahead);
    judge_release(&judge);
    powercut_log_release(&log);
}

static void power_cut_at_every_write(void **state)
{
    const struct run *run = *state;

    assert_int_equal(run_work(run, ""), 0);
    judge_run(run, 1, 500, true);
}

/* The judge sees a store that does not sync: without the fdatasyncs of its commits in the log some image is
 * bad. Run in a process of its own, which damaged pages may well end. */
static void the_judge_can_tell(void **state)
{
    const struct run *run = *state;
    struct powercut_log log = {0};
    size_t syncs = 0;
    bool opened = false;
    char program[] = "test_store_powercut";
    char verb[] = "judge";
    char *const argv[] = {program, verb, run->base, NULL};
    char *const extra[] = {NULL};
    int fd;

    assert_int_equal(run_work(run, ""), 0);
    assert_int_equal(powercut_spawn_and_wait(argv, extra), 0);
    assert_int_equal(powercut_load(run->log, &log, NULL), 0);
    for (size_t i = 0; i < log.count; i++) {
        struct powercut_record head;

        memcpy(&head, log.records[i], sizeof(head));
        opened |= head.kind == POWERCUT_MARK;
        if (!opened || head.kind != POWERCUT_SYNC)
            continue;
        syncs++;
        head.kind = POWERCUT_NOTHING;
        memcpy(log.records[i], &head, sizeof(head));
    }
    assert_true(syncs >= TXNS - 1);
    fd = open(run->log, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(hm_write_all(fd, log.bytes.data, log.bytes.len, NULL), 0);
    close(fd);
    assert_int_not_equal(powercut_spawn_and_wait(argv, extra), 0);
    powercut_log_release(&log);
}

static void fresh(const struct run *run)
{
    assert_int_equal(hm_remove_tree(run->folder, NULL), 0);
    unlink(run->log);
}

/* One call fails, at each place in turn; the program opens the store anew and goes on, and power fails at
 * every point of all that. */
static void one_call_fails(const struct run *run, const char *kind, const char *error,
                           unsigned places, unsigned stride)
{
    unsigned failed = 0;

    for (unsigned nth = 1; nth <= places; nth += stride) {
        HM_AUTOFREE char *fault = hm_asprintf("%s:%u:%s", kind, nth, error);
        int rc = run_work(run, fault);

        assert_true(rc == 8 || rc == 0);
        failed += rc == 8;
        judge_run(run, STRIDE, 100, true);
        fresh(run);
    }
    assert_true(failed > 0);
}

static void a_sync_fails(void **state)
{
    one_call_fails(*state, "sync", "EIO", 16, 5);
    one_call_fails(*state, "sync", "ENOSPC", 9, 4);
}

static void a_write_fails(void **state)
{
    one_call_fails(*state, "write", "EIO", 60, 21);
    one_call_fails(*state, "write", "short", 60, 23);
    one_call_fails(*state, "write", "ENOSPC", 60, 25);
}

static void a_disk_fails_for_good(void **state)
{
    static const char *const faults[] = {"write:20+:EROFS", "write:20+:ENOSPC", "sync:6+:EIO",
                                         "write:33+:short", "open:1+:EROFS"};
    const struct run *run = *state;

    for (size_t i = 0; i < HM_COUNT_OF(faults); i++) {
        assert_int_equal(run_work(run, faults[i]), 9);
        if (strncmp(faults[i], "open", 4) != 0)
            judge_run(run, STRIDE, 20, false);
        fresh(run);
    }
}

static int judge_again(const char *base)
{
    struct run run = {.log = hm_asprintf("%s/log", base), .cut = hm_asprintf("%s/cut", base)};

    judge_run(&run, STRIDE, 100, true);
    hm_free(run.log);
    hm_free(run.cut);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(power_cut_at_every_write, setup, teardown),
        cmocka_unit_test_setup_teardown(the_judge_can_tell, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sync_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(a_write_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(a_disk_fails_for_good, setup, teardown),
    };

    if (argc == 3 && strcmp(argv[1], "work") == 0)
        return child_work(argv[2]);
    if (argc == 3 && strcmp(argv[1], "judge") == 0)
        return judge_again(argv[2]);
    return cmocka_run_group_tests_name("store and power cuts", tests, NULL, NULL);
}
