/* An engine with a block log and a store that syncs at checkpoints only: after a power cut at any point, a disk that
 * fails, or a kill, every answered block is there, with the state it had.
 *
 * The program starts itself again below the preload library of the store's tests, as `test_engine_recovery work DIR`:
 * it makes blocks in DIR/data and notes each one's root in DIR/roots. `judge DIR` looks at every disk that the power
 * could have left. */
#include "engine_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "powercut/powercut_image.h"
#include "powercut/powercut_run.h"

#define BLOCKS           28
#define CHECKPOINT_BYTES ((size_t)3 * 4096) /* a few blocks */
#define NEVER_MS         60000
#define HEIGHTS_MAX      128
#define RANDOM_VARIANTS  2

struct run {
    char *base;
    char *data;
    char *roots;
    char *log;
    char *cut;
};

struct root {
    uint64_t height;
    uint8_t root[CRYPTO_HASH_BYTES];
};

/* --- the child --------------------------------------------------------------------------------------------- */

static int roots_fd = -1;

/* Noted before it is durable: a block under way may be there after the cut. */
static int note_root(struct ledger *ledger)
{
    struct ledger_info info;
    struct root root;

    if (ledger_info(ledger, &info, NULL) != 0)
        return HM_EIO;
    memset(&root, 0, sizeof(root));
    root.height = info.height;
    memcpy(root.root, info.state_root, sizeof(root.root));
    return hm_write_all(roots_fd, &root, sizeof(root), NULL);
}

/* Answers are promises. 0 all blocks; 8: the engine stopped on the way. */
static int child_work(const char *base, uint64_t checkpoint_ms)
{
    static struct engine_fixture fixture;
    HM_AUTOFREE char *ledger = hm_asprintf("%s/data/ledger", base);
    HM_AUTOFREE char *log = hm_asprintf("%s/data/blocks", base);
    HM_AUTOFREE char *roots = hm_asprintf("%s/roots", base);
    int rc = 0;

    roots_fd = open(roots, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    engine_fixture_init_log(&fixture, ledger, log);
    /* Where the disk fails in a checkpoint, the store may refuse to be read before the engine says that it stopped. */
    fixture.chain.status_on_failure = 8;
    fixture.options.checkpoint_bytes = CHECKPOINT_BYTES;
    fixture.options.checkpoint_ms = checkpoint_ms;
    if (note_root(fixture.chain.ledger) != 0)
        return 7;
    if (engine_solo_open(&fixture.options, &fixture.engine, NULL) != 0)
        return 8;
    for (unsigned i = 0; i < BLOCKS && rc == 0; i++) {
        struct engine_receipt receipt = {0};
        struct hm_error error = {0};

        if (engine_submit_wait(fixture.engine, engine_fixture_transfer(&fixture, ALICE), &receipt,
                               &error) != 0) {
            rc = error.text[0] != '\0' ? 8 : 6;
            break;
        }
        if (receipt.code != 0)
            rc = 7;
        else if (note_root(fixture.chain.ledger) != 0)
            rc = 8;
        powercut_promise(receipt.block.height);
        engine_receipt_release(&receipt);
    }
    engine_fixture_release(&fixture);
    close(roots_fd);
    return rc;
}

/* --- running it -------------------------------------------------------------------------------------------- */

static int setup(void **state)
{
    static const char shm[] = "/dev/shm";
    struct run *run = hm_calloc(1, sizeof(*run));

    if (access(shm, W_OK) == 0 && !getenv("TMPDIR"))
        setenv("TMPDIR", shm, 1); /* thousands of images: spare the disk */
    run->base = hm_asprintf("%s/engine-cut-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(run->base));
    run->data = hm_asprintf("%s/data", run->base);
    run->roots = hm_asprintf("%s/roots", run->base);
    run->log = hm_asprintf("%s/log", run->base);
    run->cut = hm_asprintf("%s/cut", run->base);
    assert_int_equal(mkdir(run->data, 0700), 0);
    *state = run;
    return 0;
}

static int teardown(void **state)
{
    struct run *run = *state;

    assert_int_equal(hm_remove_tree(run->base, NULL), 0);
    hm_free(run->base);
    hm_free(run->data);
    hm_free(run->roots);
    hm_free(run->log);
    hm_free(run->cut);
    hm_free(run);
    return 0;
}

static int run_verb(const struct run *run, const char *word, const char *faults)
{
    HM_AUTOFREE char *verb = hm_strdup(word);
    char program[] = "test_engine_recovery";
    char *const argv[] = {program, verb, run->base, NULL};

    return powercut_run(argv, run->data, run->log, faults);
}

static int run_work(const struct run *run, const char *faults)
{
    return run_verb(run, "work", faults);
}

/* --- judging ------------------------------------------------------------------------------------------------ */

struct judge {
    struct root roots[HEIGHTS_MAX];
    size_t images, ahead, replayed;
    unsigned killed;
};

static void judge_init(struct judge *judge, const struct run *run)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    memset(judge->roots, 0, sizeof(judge->roots));
    assert_int_equal(hm_file_read(run->roots, 1 << 20, &bytes, NULL), 0);
    for (size_t at = 0; at + sizeof(struct root) <= bytes.len; at += sizeof(struct root)) {
        struct root root;

        memcpy(&root, bytes.data + at, sizeof(root));
        assert_true(root.height < HEIGHTS_MAX);
        judge->roots[root.height] = root;
    }
}

/* Opens what the cut left as a node does. */
static void judge_image(struct judge *judge, const struct run *run, uint64_t promised)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/ledger", run->cut);
    HM_AUTOFREE char *log = hm_asprintf("%s/blocks", run->cut);
    struct store_options options = *fixture_store_options();
    struct engine_options engine = {.log_path = log, .checkpoint_bytes = CHECKPOINT_BYTES};
    struct ledger_info before, info;
    struct hm_error error = {0};

    options.deferred = true;
    if (store_open_lmdb(path, &options, &engine.store, &error) != 0)
        fail_msg("store after %d promised: %s", (int)promised, error.text);
    if (ledger_open(engine.store, &engine.ledger, &error) != 0)
        fail_msg("ledger after %d promised: %s", (int)promised, error.text);
    judge->images++;
    if (ledger_info(engine.ledger, &before, NULL) == 0) {
        if (engine_solo_recover(&engine, &error) != 0)
            fail_msg("log after %d promised: %s", (int)promised, error.text);
        assert_int_equal(ledger_info(engine.ledger, &info, &error), 0);
        if (promised > 0) {
            assert_in_range(info.height, promised, promised + 1);
            if (judge->roots[info.height].height == info.height)
                assert_memory_equal(info.state_root, judge->roots[info.height].root,
                                    CRYPTO_HASH_BYTES);
        }
        judge->ahead += promised > 0 && info.height > promised;
        judge->replayed += info.height > before.height;
    } else {
        assert_true(promised == 0);
    }
    ledger_close(engine.ledger);
    store_close(engine.store);
}

static void judge_log(struct judge *judge, const struct run *run, const struct powercut_log *log)
{
    struct powercut_image *image = powercut_image_new(log, NULL);
    struct hm_error error = {0};

    do {
        unsigned variants = powercut_variants(image, RANDOM_VARIANTS);
        size_t step = powercut_image_step(image);

        /* Before the first promise there is only the fixture's own work. */
        if (powercut_image_mark(image) == 0 && step % 16 != 0)
            continue;
        for (unsigned variant = (unsigned)step % 2; variant < variants; variant += 2) {
            if (powercut_image_write(image, variant, run->cut, &error))
                fail_msg("image: %s", error.text);
            judge_image(judge, run, powercut_image_mark(image));
        }
    } while (powercut_image_advance(image));
    powercut_image_free(image);
}

static struct judge judge_run(const struct run *run)
{
    struct judge judge = {0};
    struct powercut_log log = {0};
    struct hm_error error = {0};

    assert_int_equal(crypto_setup(NULL), 0);
    if (powercut_load(run->log, &log, &error))
        fail_msg("%s", error.text);
    judge_init(&judge, run);
    judge_log(&judge, run, &log);
    print_message("%zu images of %zu records, %zu with blocks from the log, %zu one block ahead\n",
                  judge.images, log.count, judge.replayed, judge.ahead);
    powercut_log_release(&log);
    return judge;
}

static void fresh(const struct run *run)
{
    assert_int_equal(hm_remove_tree(run->data, NULL), 0);
    assert_int_equal(mkdir(run->data, 0700), 0);
    unlink(run->log);
    unlink(run->roots);
}

/* --- tests --------------------------------------------------------------------------------------------------- */

static void power_cut_at_every_write(void **state)
{
    assert_int_equal(run_work(*state, ""), 0);
    struct judge judge = judge_run(*state);
    assert_true(judge.images > 200);
    assert_true(judge.replayed > 100);
    assert_true(judge.ahead > 0);
}

/* Checkpoints by time, at any moment of a block. */
static void power_cut_with_many_checkpoints(void **state)
{
    assert_int_equal(run_verb(*state, "often", ""), 0);
    struct judge judge = judge_run(*state);
    assert_true(judge.images > 200);
    assert_true(judge.replayed > 0);
}

/* The chain's own log beside a ledger that lacks what came between. */
static void a_log_that_does_not_fit_is_refused(void **state)
{
    const struct run *run = *state;
    HM_AUTOFREE char *ledger = hm_asprintf("%s/ledger", run->data);
    HM_AUTOFREE char *log = hm_asprintf("%s/blocks", run->data);
    const struct fixture_options bare = {.lmdb_path = ledger, .deferred = true, .bare = true};
    struct engine_options engine = {.log_path = log};
    static struct fixture chain;
    struct ledger_info info;
    struct hm_error error = {0};

    assert_int_equal(run_work(run, ""), 0);
    assert_int_equal(hm_remove_tree(ledger, NULL), 0);
    assert_int_equal(fixture_init(&chain, &bare), 0);
    engine.ledger = chain.ledger;
    engine.store = chain.store;
    assert_int_equal(engine_solo_recover(&engine, &error), HM_ECORRUPT);
    assert_non_null(strstr(error.text, "do not belong together"));
    assert_int_equal(ledger_info(chain.ledger, &info, NULL), 0);
    assert_int_equal(info.height, 0);
    fixture_release(&chain);
}

/* The judge sees a log that does not sync, and a checkpoint that does not. */
static void the_judge_can_tell(void **state)
{
    const struct run *run = *state;
    struct powercut_log log = {0};
    bool opened = false;
    char program[] = "test_engine_recovery";
    char verb[] = "judge";
    char *const argv[] = {program, verb, run->base, NULL};
    char *const extra[] = {NULL};

    assert_int_equal(run_work(run, ""), 0);
    assert_int_equal(powercut_spawn_and_wait(argv, extra), 0);
    assert_int_equal(powercut_load(run->log, &log, NULL), 0);
    for (size_t i = 0; i < log.count; i++) {
        struct powercut_record head;

        memcpy(&head, log.records[i], sizeof(head));
        opened |= head.kind == POWERCUT_MARK;
        if (!opened || head.kind != POWERCUT_SYNC)
            continue;
        head.kind = POWERCUT_NOTHING;
        memcpy(log.records[i], &head, sizeof(head));
    }
    int fd = open(run->log, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(hm_write_all(fd, log.bytes.data, log.bytes.len, NULL), 0);
    close(fd);
    assert_int_not_equal(powercut_spawn_and_wait(argv, extra), 0);
    powercut_log_release(&log);
}

/* One call fails somewhere: the engine stops, and what it had answered is there. */
static void the_disk_fails(void **state)
{
    static const struct {
        const char *call, *error;
        unsigned nth;
    } kinds[] = {{"sync", ":EIO", 24},
                 {"write", ":EIO", 60},
                 {"write", ":short", 63},
                 {"sync", "+:EIO", 30}};
    const struct run *run = *state;
    unsigned stopped = 0;

    for (size_t kind = 0; kind < HM_COUNT_OF(kinds); kind++) {
        for (unsigned i = 0; i < 2; i++) {
            char fault[64];

            snprintf(fault, sizeof(fault), "%s:%u%s", kinds[kind].call, kinds[kind].nth + 7 * i,
                     kinds[kind].error);
            int rc = run_work(run, fault);
            assert_true(rc == 8 || rc == 0);
            stopped += rc == 8;
            judge_run(run);
            fresh(run);
        }
    }
    print_message("the engine stopped %u times\n", stopped);
    assert_true(stopped > 0);
}

/* Kills the program when it has made some blocks, and moves what it leaves to run->cut. The newest block answered. */
static uint64_t kill_at(const struct run *run, struct judge *judge, unsigned blocks)
{
    char program[] = "test_engine_recovery";
    char verb[] = "work";
    char *const argv[] = {program, verb, run->base, NULL};
    char *const extra[] = {NULL};
    pid_t pid = powercut_spawn(argv, extra);
    uint64_t answered = 0;

    for (unsigned wait = 0; wait < 2000; wait++) {
        struct stat info;

        if (stat(run->roots, &info) == 0 && (size_t)info.st_size >= blocks * sizeof(struct root))
            break;
        usleep(1000);
    }
    kill(pid, SIGKILL);
    judge->killed += WIFSIGNALED(powercut_wait(pid));
    judge_init(judge, run);
    for (uint64_t height = 1; height < HEIGHTS_MAX; height++)
        if (judge->roots[height].height == height)
            answered = height;
    if (access(run->cut, F_OK) == 0)
        assert_int_equal(hm_remove_tree(run->cut, NULL), 0);
    assert_int_equal(rename(run->data, run->cut), 0);
    assert_int_equal(mkdir(run->data, 0700), 0);
    return answered;
}

/* kill -9 at any moment; what was answered is noted. */
static void it_is_killed(void **state)
{
    const struct run *run = *state;
    struct judge judge = {0};

    for (unsigned round = 0; round < 12; round++) {
        uint64_t answered = kill_at(run, &judge, 2 + 2 * round);

        judge_image(&judge, run, answered);
        fresh(run);
    }
    assert_true(judge.killed > 0);
}

/* Opens what lies in run->cut; what is said then, and the height it stands at (0: no chain). */
static int open_cut(const struct run *run, uint64_t *height, struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/ledger", run->cut);
    HM_AUTOFREE char *log = hm_asprintf("%s/blocks", run->cut);
    struct store_options options = *fixture_store_options();
    struct engine_options engine = {.log_path = log, .checkpoint_bytes = CHECKPOINT_BYTES};
    struct ledger_info info = {0};
    int rc;

    options.deferred = true;
    assert_int_equal(store_open_lmdb(path, &options, &engine.store, NULL), 0);
    assert_int_equal(ledger_open(engine.store, &engine.ledger, NULL), 0);
    rc = engine_solo_recover(&engine, error);
    (void)!ledger_info(engine.ledger, &info, NULL);
    *height = info.height;
    ledger_close(engine.ledger);
    store_close(engine.store);
    return rc;
}

static void put_aside(const struct run *run, const char *name, bool back)
{
    HM_AUTOFREE char *there = hm_asprintf("%s/%s", run->cut, name);
    HM_AUTOFREE char *aside = hm_asprintf("%s/%s", run->base, name);

    assert_int_equal(back ? rename(aside, there) : rename(there, aside), 0);
}

static void expect_refused(const struct run *run, const char *what, const char *name)
{
    for (unsigned tries = 0; tries < 2; tries++) { /* nor is it forgotten by trying */
        struct hm_error error = {0};
        uint64_t height;

        assert_int_equal(open_cut(run, &height, &error), HM_ECORRUPT);
        if (strstr(error.text, what) == NULL || strstr(error.text, name) == NULL ||
            strstr(error.text, "restore the node from a backup") == NULL)
            fail_msg("%s", error.text);
    }
}

/* A log that is gone after a kill: its blocks were answered, so nothing starts without them. */
static void a_log_that_is_gone_is_missed(void **state)
{
    static const char *const names[] = {"blocks.0", "blocks.1"};
    const struct run *run = *state;
    struct judge judge = {0};
    uint64_t height, answered = kill_at(run, &judge, 12);

    assert_true(judge.killed > 0);
    for (size_t i = 0; i < HM_COUNT_OF(names); i++) {
        put_aside(run, names[i], false);
        expect_refused(run, "is missing", names[i]);
        put_aside(run, names[i], true);
    }
    for (size_t i = 0; i < HM_COUNT_OF(names); i++)
        put_aside(run, names[i], false);
    expect_refused(run, "is missing", names[0]);
    for (size_t i = 0; i < HM_COUNT_OF(names); i++)
        put_aside(run, names[i], true);
    assert_int_equal(open_cut(run, &height, NULL), 0); /* all there: nothing was lost */
    assert_true(height >= answered);
}

/* Another ledger's log, or both files in each other's place, is not taken for it. */
static void another_log_is_refused(void **state)
{
    const struct run *run = *state;
    HM_AUTOFREE char *first = hm_asprintf("%s/blocks.0", run->cut);
    HM_AUTOFREE char *second = hm_asprintf("%s/blocks.1", run->cut);
    HM_AUTOFREE char *other = hm_asprintf("%s/blocks.0", run->data);
    struct judge judge = {0};

    (void)kill_at(run, &judge, 12);
    assert_true(judge.killed > 0);
    put_aside(run, "blocks.0", false);
    unlink(run->roots);
    assert_int_equal(run_work(run, ""), 0);
    assert_int_equal(rename(other, first), 0);
    expect_refused(run, "is not the one", "blocks");
    HM_AUTOFREE char *aside = hm_asprintf("%s/blocks.0", run->base);
    assert_int_equal(rename(second, first), 0); /* each in the other's place */
    assert_int_equal(rename(aside, second), 0);
    expect_refused(run, "is not the one", "blocks");
}

/* After a clean stop the ledger is complete without it. */
static void a_clean_stop_needs_no_log(void **state)
{
    static const char *const names[] = {"blocks.0", "blocks.1"};
    const struct run *run = *state;
    struct judge judge = {0};
    uint64_t height;

    assert_int_equal(run_work(run, ""), 0);
    judge_init(&judge, run);
    assert_int_equal(rename(run->data, run->cut), 0);
    assert_int_equal(mkdir(run->data, 0700), 0);
    for (size_t i = 0; i < HM_COUNT_OF(names); i++)
        put_aside(run, names[i], false);
    assert_int_equal(open_cut(run, &height, NULL), 0);
    assert_true(height > 0 && judge.roots[height].height == height);
    assert_true(height == HEIGHTS_MAX - 1 || judge.roots[height + 1].height == 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(power_cut_at_every_write, setup, teardown),
        cmocka_unit_test_setup_teardown(power_cut_with_many_checkpoints, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_that_does_not_fit_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_judge_can_tell, setup, teardown),
        cmocka_unit_test_setup_teardown(the_disk_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(it_is_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_that_is_gone_is_missed, setup, teardown),
        cmocka_unit_test_setup_teardown(another_log_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clean_stop_needs_no_log, setup, teardown),
    };

    hm_log_setup(2, HM_LOG_WARN, 0);
    if (argc == 3 && strcmp(argv[1], "work") == 0)
        return child_work(argv[2], NEVER_MS);
    if (argc == 3 && strcmp(argv[1], "often") == 0)
        return child_work(argv[2], 1);
    if (argc == 3 && strcmp(argv[1], "judge") == 0) {
        struct run run = {.roots = hm_asprintf("%s/roots", argv[2]),
                          .log = hm_asprintf("%s/log", argv[2]),
                          .cut = hm_asprintf("%s/cut", argv[2])};

        judge_run(&run);
        hm_free(run.roots);
        hm_free(run.log);
        hm_free(run.cut);
        return 0;
    }
    return cmocka_run_group_tests_name("engine and power cuts", tests, NULL, NULL);
}
