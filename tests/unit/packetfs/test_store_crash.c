/* kill -9 at any moment of put, snapshot, remove and prune; and several processes at one volume. Whatever was promised is
 * there, and check is clean.
 *
 * The program starts itself again: `work DIR SEED LOG` until it is killed, `share DIR SEED LOG` to its end. HM_PACKETFS_KILLS
 * (default 60) says how often it is killed. Lines of LOG are written when a promise was made (or, R and P, before one is taken back):
 *     F from count           these are flushed
 *     S id from count        this snapshot is there
 *     R id                   it is about to be removed
 *     P                      prune is about to begin */
#include "store_world.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NUMBERS       250
#define NUMBERS_MIXED 90
#define OWN_SNAPSHOTS 4
#define SHARE_ROUNDS  12
#define SHARERS       2
#define LOG_MAX_BYTES ((size_t)8 << 20)
#define ID_DIGITS     (2 * PACKETFS_SNAPSHOT_ID_BYTES)

extern char **environ;

/* --- the child --- */

struct child {
    struct world world;
    struct hm_random_seeded state;
    struct hm_random dice;
    int log;
    uint8_t own[OWN_SNAPSHOTS][PACKETFS_SNAPSHOT_ID_BYTES];
    size_t own_count;
};

static void say(struct child *child, const char *line)
{
    struct hm_error error;

    assert_ok(hm_write_all(child->log, line, strlen(line), &error));
}

static void child_init(struct child *child, char **argv)
{
    uint64_t seed = 0;
    struct hm_error error;

    memset(child, 0, sizeof(*child));
    assert_ok(hm_u64_parse(argv[3], &seed, &error));
    child->dice = hm_random_seeded_source(&child->state, seed);
    (void)snprintf(child->world.dir, sizeof(child->world.dir), "%s", argv[2]);
    assert_ok(crypto_setup(&error));
    world_keys(1, &child->world.keys);
    child->world.options = (struct packetfs_store_options){
        .suite = PACKETFS_SUITE_AES_256_GCM,
        .zstd_level = 1,
        .pad = true,
        .dictionaries = true,
        .dictionary_samples_bytes = WORLD_DICTIONARY_SAMPLES};
    assert_ok(packetfs_store_open(child->world.dir, &child->world.keys, &child->world.options,
                                  &child->world.store, &error));
    child->log = open(argv[4], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    assert_true(child->log >= 0);
}

static void child_put(struct child *child)
{
    bool small = hm_random_u64(&child->dice) % 3 == 0; /* then a dictionary is trained, or used */
    uint64_t from = hm_random_u64(&child->dice) % 200 + (small ? WORLD_SMALL : 0);
    size_t count = (small ? WORLD_SMALL_ENOUGH : 2) +
                   (size_t)(hm_random_u64(&child->dice) %
                            (small ? NUMBERS - WORLD_SMALL_ENOUGH : NUMBERS_MIXED - 2));
    uint64_t numbers[NUMBERS];
    struct packetfs_writer *writer = NULL;
    struct packetfs_snapshot snapshot;
    struct packetfs_id id;
    struct hm_error error;
    char hex[ID_DIGITS + 1];
    char line[128];

    assert_ok(packetfs_writer_open(child->world.store, &writer, &error));
    for (size_t i = 0; i < count; i++) {
        numbers[i] = from + i;
        if (i < count / 2)
            world_put(writer, PACKETFS_PATTERN, numbers[i], world_len(numbers[i]), &id);
    }
    assert_ok(packetfs_writer_flush(writer, &error));
    (void)snprintf(line, sizeof(line), "F %llu %zu\n", (unsigned long long)from, count / 2);
    say(child, line);
    world_snapshot(&child->world, writer, numbers, count, "crash", &snapshot);
    hm_hex_encode(snapshot.id, sizeof(snapshot.id), hex);
    (void)snprintf(line, sizeof(line), "S %s %llu %zu\n", hex, (unsigned long long)from, count);
    say(child, line);
    packetfs_writer_close(writer);
    memcpy(child->own[child->own_count++], snapshot.id, sizeof(snapshot.id));
}

static void child_remove(struct child *child)
{
    struct hm_error error;
    char hex[ID_DIGITS + 1];
    char line[64];

    if (child->own_count == 0)
        return;
    hm_hex_encode(child->own[--child->own_count], PACKETFS_SNAPSHOT_ID_BYTES, hex);
    (void)snprintf(line, sizeof(line), "R %s\n", hex);
    say(child, line);
    assert_ok(packetfs_snapshot_remove(child->world.store, child->own[child->own_count], &error));
}

/* HM_EBUSY: another process prunes. */
static void child_prune(struct child *child)
{
    const struct packetfs_prune_options options = {
        .unused_percent = (unsigned)(hm_random_u64(&child->dice) % 60)};
    struct packetfs_prune_result result;
    struct hm_error error = {0};
    int rc;

    say(child, "P\n");
    rc = packetfs_store_prune(child->world.store, &options, NULL, &result, &error);
    if (rc && rc != HM_EBUSY)
        fail_msg("prune: %s", error.text);
}

static void child_step(struct child *child)
{
    uint64_t dice = hm_random_u64(&child->dice) % 8;

    if (child->own_count == OWN_SNAPSHOTS || dice == 0)
        child_remove(child);
    else if (dice <= 2)
        child_prune(child);
    else
        child_put(child);
}

/* Snapshots an earlier child left are adopted, so that they are removed some time. */
static void child_adopt(struct child *child)
{
    HM_AUTOFREE struct packetfs_snapshot *list = NULL;
    struct hm_error error;
    size_t count = 0;

    assert_ok(packetfs_snapshot_list(child->world.store, &list, &count, &error));
    for (size_t i = 0; i < count && child->own_count < OWN_SNAPSHOTS; i++)
        memcpy(child->own[child->own_count++], list[i].id, PACKETFS_SNAPSHOT_ID_BYTES);
}

static int child_main(char **argv)
{
    struct child child;
    bool share = strcmp(argv[1], "share") == 0;

    child_init(&child, argv);
    if (!share)
        child_adopt(&child);
    for (int round = 0; !share || round < SHARE_ROUNDS; round++)
        child_step(&child);
    packetfs_store_close(child.world.store);
    return 0;
}

/* --- the parent --- */

static const char *program;

static pid_t start(const char *mode, const char *dir, uint64_t seed, const char *log)
{
    char seed_text[32];
    char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)mode,
                    (char *)(uintptr_t)dir,     seed_text,
                    (char *)(uintptr_t)log,     NULL};
    pid_t pid = -1;

    (void)snprintf(seed_text, sizeof(seed_text), "%llu", (unsigned long long)seed);
    assert_int_equal(posix_spawn(&pid, program, NULL, NULL, argv, environ), 0);
    return pid;
}

static void nap_us(uint64_t us)
{
    const struct timespec nap = {.tv_sec = (time_t)(us / 1000000),
                                 .tv_nsec = (long)(us % 1000000) * 1000};

    (void)nanosleep(&nap, NULL);
}

/* Whether a line behind at takes the snapshot back, or lets flushed objects go. */
static bool taken_back(const char *at, const char *what)
{
    return strstr(at, what) != NULL;
}

static void check_numbers(struct world *world, uint64_t from, size_t count)
{
    uint64_t numbers[NUMBERS];

    for (size_t i = 0; i < count; i++)
        numbers[i] = from + i;
    world_check_numbers(world, numbers, count);
}

static void check_line(struct world *world, const char *line)
{
    char hex[ID_DIGITS + 1];
    char gone[ID_DIGITS + 4];
    unsigned long long from = 0;
    size_t count = 0;
    struct packetfs_snapshot snapshot;
    struct hm_error error;

    if (sscanf(line, "F %llu %zu", &from, &count) == 2) {
        if (!taken_back(line, "\nP"))
            check_numbers(world, from, count);
        return;
    }
    if (sscanf(line, "S %32s %llu %zu", hex, &from, &count) != 3)
        return;
    (void)snprintf(gone, sizeof(gone), "\nR %s", hex);
    if (taken_back(line, gone))
        return;
    assert_ok(packetfs_snapshot_find(world->store, hex, &snapshot, &error));
    check_numbers(world, from, count);
}

static void check_promises(struct world *world, const char *log)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct hm_error error;
    const char *line;

    if (hm_file_read(log, LOG_MAX_BYTES, &text, &error) == HM_ENOTFOUND)
        return;
    for (line = hm_buf_cstr(&text); *line; line = strchr(line, '\n') + 1) {
        check_line(world, line);
        if (!strchr(line, '\n'))
            break;
    }
}

static void check_world(struct world *world, const char *const *logs, size_t count, bool full)
{
    HM_CLEANUP(hm_buf) struct hm_buf findings = {0};

    world_reopen(world);
    if (world_findings(world, full, &findings))
        fail_msg("check found: %s", hm_buf_cstr(&findings));
    for (size_t i = 0; i < count; i++)
        check_promises(world, logs[i]);
}

static uint64_t kills_wanted(void)
{
    const char *text = getenv("HM_PACKETFS_KILLS");
    uint64_t kills = 60;

    if (text)
        assert_int_equal(hm_u64_parse(text, &kills, NULL), 0);
    return kills;
}

static void test_killed_at_any_moment(void **state)
{
    struct hm_random_seeded random_state;
    struct hm_random dice = hm_random_seeded_source(&random_state, (uint64_t)time(NULL));
    uint64_t kills = kills_wanted();
    uint64_t on_the_way = 0;
    uint64_t dictionaries = 0;
    struct world world;
    char log[WORLD_PATH_BYTES + 8];
    const char *const logs[] = {log};

    (void)state;
    world_init(&world);
    (void)snprintf(log, sizeof(log), "%s.log", world.dir);
    for (uint64_t i = 0; i < kills; i++) {
        uint64_t seed = hm_random_u64(&dice);
        pid_t pid = start("work", world.dir, seed, log);
        int status = 0;

        nap_us(5000 + hm_random_u64(&dice) % 150000);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status))
            fail_msg("the child ended by itself (%d), seed %llu", status, (unsigned long long)seed);
        on_the_way += world_stats(&world).writers == 0;
        dictionaries += world_stats(&world).dictionaries;
        check_world(&world, logs, HM_COUNT_OF(logs), i % 10 == 9);
        if (i % 20 == 19 || i + 1 == kills) /* a log of its own for each stretch */
            (void)unlink(log);
    }
    assert_true(dictionaries > 0 || kills < 20);
    assert_int_equal(on_the_way, kills); /* who was killed is no writer any more */
    world_release(&world);
}

static void test_several_processes(void **state)
{
    struct world world;
    char paths[SHARERS][WORLD_PATH_BYTES + 16];
    const char *logs[SHARERS];
    pid_t pids[SHARERS];
    struct packetfs_stats stats;

    (void)state;
    world_init(&world);
    for (size_t i = 0; i < SHARERS; i++) {
        (void)snprintf(paths[i], sizeof(paths[i]), "%s.log%zu", world.dir, i);
        logs[i] = paths[i];
        pids[i] = start("share", world.dir, 7 + i / 2, logs[i]); /* the first two do the same */
    }
    for (size_t i = 0; i < SHARERS; i++) {
        int status = 0;

        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("a child failed: %d", status);
    }
    check_world(&world, logs, SHARERS, true);
    (void)world_prune(&world, 0);
    check_world(&world, logs, 0, true);
    stats = world_stats(&world);
    assert_int_equal(stats.writers, 0);
    assert_int_equal(stats.packs_condemned, 0);
    for (size_t i = 0; i < SHARERS; i++)
        (void)unlink(logs[i]);
    world_release(&world);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_at_any_moment),
        cmocka_unit_test(test_several_processes),
    };

    program = argv[0];
    if (argc == 5)
        return child_main(argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
