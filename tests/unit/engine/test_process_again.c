/* What follows an end of the engine: which one counts against it, which one ends it for good, and what waits for room. */
#include "fake_engine.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#define UP "echo up; exec sleep 1000"
#define FROM(module, text, why)                                                               \
    "{\"_msg\":\"" text "\",\"err\":\"" why "\",\"height\":5,\"level\":\"error\",\"module\":" \
    "\"" module "\"}"
#define LINE(text, why) FROM("consensus", text, why)
#define UNFIT(why)      FROM("blocksync", "Error in validation", why)
#define REFUSED         "prevote step: consensus deems this block invalid; prevoting nil"
#define FULL            "no space left on device"
#define DIFFERS         "wrong Block.Header.AppHash.  Expected A1, got B2"

static struct engine_process_line read_line(struct hm_arena *arena, const char *text)
{
    struct engine_process_line line;

    assert_int_equal(engine_process_line_read(hm_slice_str(text), arena, &line, NULL), 0);
    return line;
}

static void only_two_thirds_make_a_state_differ(void **state)
{
    static const struct {
        const char *line;
        enum engine_process_event event;
    } cases[] = {
        {LINE("CONSENSUS FAILURE!!!", "+2/3 committed an invalid block: " DIFFERS),
         ENGINE_PROCESS_STATE_DIFFERS},
        {LINE("CONSENSUS FAILURE!!!",
              "+2/3 committed an invalid block: wrong Block.Header.LastResultsHash.  Expected A"),
         ENGINE_PROCESS_STATE_DIFFERS},
        {LINE("CONSENSUS FAILURE!!!",
              "precommit step; +2/3 prevoted for an invalid block: " DIFFERS),
         ENGINE_PROCESS_STATE_DIFFERS},
        {UNFIT(DIFFERS), ENGINE_PROCESS_STATE_DIFFERS},
        /* One proposer's word, a peer's bad block, something else that ends consensus. */
        {LINE("prevote step: consensus deems this block invalid; prevoting nil", DIFFERS),
         ENGINE_PROCESS_NOTHING},
        {UNFIT("invalid commit -- wrong block ID"), ENGINE_PROCESS_NOTHING},
        {LINE("CONSENSUS FAILURE!!!", "+2/3 committed an invalid block: wrong Block.Header.Height"),
         ENGINE_PROCESS_CONSENSUS_FAILED},
        {LINE("CONSENSUS FAILURE!!!", "precommit step; +2/3 prevoted for an invalid block: wrong "
                                      "Block.Header.ChainID. " DIFFERS),
         ENGINE_PROCESS_CONSENSUS_FAILED},
        {LINE("CONSENSUS FAILURE!!!", "a transaction says " DIFFERS),
         ENGINE_PROCESS_CONSENSUS_FAILED},
        /* While its consensus reads its own log again there is nobody to catch a panic. */
        {"panic: precommit step; +2/3 prevoted for an invalid block: " DIFFERS,
         ENGINE_PROCESS_STATE_DIFFERS},
        {"panic: a block says +2/3 committed an invalid block: " DIFFERS, ENGINE_PROCESS_PANICKED},
        {"says panic: +2/3 committed an invalid block: " DIFFERS, ENGINE_PROCESS_NOTHING},
        {"panic: state.AppHash does not match AppHash after replay. Got", ENGINE_PROCESS_PANICKED},
    };
    HM_CLEANUP(hm_arena) struct hm_arena arena;

    (void)state;
    hm_arena_init(&arena, 0);
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++)
        if (read_line(&arena, cases[i].line).event != cases[i].event)
            fail_msg("%s", cases[i].line);
}

static void a_full_disk_is_read(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;

    (void)state;
    hm_arena_init(&arena, 0);
    assert_true(read_line(&arena, LINE("CONSENSUS FAILURE!!!",
                                       "write /d/cs.wal/wal: no space left on device"))
                    .no_space);
    assert_true(read_line(&arena, "panic: write 000012.log: no space left on device").no_space);
    assert_true(
        read_line(&arena, "ERROR: failed to create node: mkdir: disk quota exceeded").no_space);
    assert_true(
        read_line(&arena, LINE("CONSENSUS FAILURE!!!",
                               "failed to write {} msg to consensus WAL due to write /d/wal: " FULL
                               "; check your file system and restart the node"))
            .no_space);
    assert_false(read_line(&arena, LINE("CONSENSUS FAILURE!!!", "out of luck")).no_space);
    assert_false(read_line(&arena, "no space left on device, says a peer").no_space);
}

/* A proposal's ChainID, a peer's name and the network that it claims to be of stand in the engine's own lines. */
static void a_peers_words_are_no_event(void **state)
{
    static const char *const lines[] = {
        LINE(REFUSED, "wrong Block.Header.ChainID. Expected hm-1, got " FULL),
        LINE(REFUSED, "wrong Block.Header.ChainID. Expected hm-1, got " FULL " (5)"),
        LINE(REFUSED, "wrong Block.Header.ChainID. Expected hm-1, got +2/3 committed an invalid "
                      "block: " DIFFERS),
        LINE(REFUSED, "wrong Block.Header.ChainID. Expected hm-1, got CONSENSUS FAILURE!!!"),
        UNFIT("wrong Block.Header.ChainID. Expected hm-1, got " DIFFERS),
        UNFIT("wrong Block.Header.AppHashes: " FULL " says a ChainID"),
        FROM("p2p", "Error in validation", DIFFERS),
        FROM("p2p", "Error dialing peer",
             "incompatible: peer is on a different network. Got " FULL ", expected hm-1"),
        FROM("p2p", "Error dialing peer",
             "incompatible: peer is on a different network. Got "
             "CONSENSUS FAILURE!!!, expected hm-1"),
        FROM("p2p", "CONSENSUS FAILURE!!!", "Peer{name: " DIFFERS "}"),
        FROM("pex", "CONSENSUS FAILURE!!! is what a peer calls itself", ""),
        "{\"_msg\":\"Added peer\",\"level\":\"error\",\"module\":\"p2p\",\"moniker\":\"x: " FULL
        "\"}",
        "{\"_msg\":\"Added peer: " FULL "\",\"level\":\"error\",\"module\":\"p2p\"}",
        FROM("p2p", "Stopping peer", "they say: panic: {\\\"_msg\\\":\\\"CONSENSUS FAILURE!!!"),
    };
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct engine_process_line line;

    (void)state;
    hm_arena_init(&arena, 0);
    for (size_t i = 0; i < HM_COUNT_OF(lines); i++) {
        line = read_line(&arena, lines[i]);
        if (line.event != ENGINE_PROCESS_NOTHING || line.no_space || line.module[0] == '\0')
            fail_msg("%s", lines[i]);
    }
    /* Two thirds signed a block of this ChainID: that is the end of consensus, but says nothing of our state. */
    line = read_line(&arena, LINE("CONSENSUS FAILURE!!!",
                                  "+2/3 committed an invalid block: wrong Block.Header.ChainID. "
                                  "Expected hm-1, got " DIFFERS));
    assert_int_equal(line.event, ENGINE_PROCESS_CONSENSUS_FAILED);
}

/* Whatever a line says: the disk is asked. */
static void a_disk_with_room_is_not_full(void **state)
{
    struct fake *fake = *state;
    struct engine_process_status status;

    assert_true(engine_process_has_room(fake->folder));
    fake->options.look = fake_look;
    fake_start(
        fake,
        "echo '" LINE(REFUSED, "wrong Block.Header.ChainID. Expected hm-1, got x: " FULL) "'; " UP);
    fake_wait_said(fake, "|up|");
    for (unsigned waited_ms = 0; waited_ms < 500; waited_ms += FAKE_STEP_MS)
        fake_pause_ms(FAKE_STEP_MS);
    engine_process_get_status(fake->process, &status);
    assert_true(status.running && !status.waits_for_room);
    assert_int_equal(status.starts, 1);
    assert_int_equal(fake_starts(fake), 1);
    fake_has(hm_buf_cstr(&fake->log), FULL); /* it was read */
}

static void another_state_is_told_at_once(void **state)
{
    struct fake *fake = *state;
    struct hm_error failure;

    fake->options.look = fake_look;
    atomic_store(&fake->height, 12);
    fake_start(fake, "echo '" LINE("CONSENSUS FAILURE!!!",
                                   "+2/3 committed an invalid block: " DIFFERS) "'; " UP);
    failure = fake_wait_failure(fake);
    assert_int_equal(failure.code, HM_ECONFLICT);
    fake_has(failure.text, "height 12");
    fake_has(failure.text, "wrong Block.Header.AppHash");
    fake_pause_ms(200);
    assert_int_equal(fake_starts(fake), 1);
}

/* A test, an operator, the kernel for want of memory: it has done nothing wrong. */
static void one_that_is_killed_is_always_started_again(void **state)
{
    struct fake *fake = *state;
    struct engine_process_status status;

    fake->options.look = fake_look;
    fake_start(fake, "echo 'ERROR: Failed to reconnect to peer'; " UP);
    for (unsigned i = 1; i <= 2 * ENGINE_PROCESS_FAILURES_MAX; i++) {
        fake_wait_starts(fake, i);
        do {
            fake_pause_ms(FAKE_STEP_MS);
            engine_process_get_status(fake->process, &status);
        } while (status.starts < i || !status.running);
        assert_int_equal(kill((pid_t)status.pid, SIGKILL), 0);
    }
    fake_wait_starts(fake, 2 * ENGINE_PROCESS_FAILURES_MAX + 1);
    /* That is not why. */
    fake_wait_said(fake,
                   "ended by signal 9; the last error in its log: ERROR: Failed to reconnect");
    assert_int_equal(fake->failures, 0);
}

static uint64_t now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

/* It hangs over the loss, and ignores SIGTERM, which it is not even sent. */
static void one_that_lost_the_application_is_not_waited_for(void **state)
{
    struct fake *fake = *state;
    struct engine_process_status status;

    fake->options.grace_ms = 60000;
    fake->options.look = fake_look;
    fake_start(fake, "trap '' TERM; echo up; while :; do sleep 0.05; done");
    for (unsigned i = 1; i <= ENGINE_PROCESS_FAILURES_MAX + 1; i++) {
        fake_wait_starts(fake, i);
        do {
            fake_pause_ms(FAKE_STEP_MS);
            engine_process_get_status(fake->process, &status);
        } while (status.starts < i || !status.running);
        engine_process_lost(fake->process, status.pid + 1); /* another one's */
        engine_process_lost(fake->process, status.pid);
    }
    fake_wait_starts(fake, ENGINE_PROCESS_FAILURES_MAX + 2);
    fake_wait_said(fake, "lost its connection to the application");
    assert_int_equal(fake->failures, 0);
    uint64_t before = now_ms();
    engine_process_get_status(fake->process, &status);
    engine_process_lost(fake->process, status.pid);
    engine_process_stop(HM_TAKE(fake->process));
    assert_true(now_ms() - before < 20000); /* not the whole minute */
}

/* A panic drops its connections, too: that is no excuse. */
static void one_that_panics_is_to_blame(void **state)
{
    struct fake *fake = *state;
    struct engine_process_status status;

    fake->options.lost_ms = 60000;
    fake->options.look = fake_look;
    fake_start(fake, "echo up; while [ ! -e \"$home/go$starts\" ]; do sleep 0.02; done; exit 2");
    for (unsigned i = 1; i <= ENGINE_PROCESS_FAILURES_MAX; i++) {
        HM_AUTOFREE char *go = hm_asprintf("%s/go%u", fake->folder, i);

        fake_wait_starts(fake, i);
        do {
            fake_pause_ms(FAKE_STEP_MS);
            engine_process_get_status(fake->process, &status);
        } while (status.starts < i || !status.running);
        engine_process_lost(fake->process, status.pid);
        fake_put(go, "", 0644);
    }
    fake_has(fake_wait_failure(fake).text, "exit code 2");
}

/* On a disk of its own, which is full: it waits, says where, and goes on. */
static void room_is_waited_for(void **state)
{
    struct fake *fake = *state;
    struct engine_process_status status;
    char home[PATH_MAX], filler[PATH_MAX];

    snprintf(home, sizeof(home), "%s/home", fake->folder);
    snprintf(filler, sizeof(filler), "%s/home/filler", fake->folder);
    assert_true(engine_process_has_room(fake->folder));
    assert_int_equal(hm_mkdir_all(home, 0700, NULL), 0);
    if (mount("tmpfs", home, "tmpfs", 0, "size=1m") != 0) {
        print_message("left out: only root can make a small disk\n");
        skip();
    }
    hm_free(fake->mode_path);
    hm_free(fake->starts_path);
    fake->mode_path = hm_asprintf("%s/mode", home);
    fake->starts_path = hm_asprintf("%s/starts", home);
    fake->options.home = home;
    fake_put(fake->starts_path, "", 0644);
    fake->options.look = fake_look;
    fake_start(fake, "if [ $starts -lt 3 ]; then head -c 2000000 /dev/zero >\"$home/filler\"; "
                     "echo 'panic: write wal: no space left on device'; exit 2; fi; " UP);
    for (unsigned i = 1; i <= 2; i++) {
        do {
            fake_pause_ms(FAKE_STEP_MS);
            engine_process_get_status(fake->process, &status);
        } while (!status.waits_for_room);
        assert_int_equal(fake_starts(fake), i);
        assert_false(engine_process_has_room(home));
        assert_int_equal(truncate(filler, 0), 0);
        fake_wait_starts(fake, i + 1);
    }
    fake_wait_said(fake, "is full: the engine is started again when there is room");
    fake_wait_said(fake, "|up|");
    fake_has(hm_buf_cstr(&fake->log), home);
    assert_int_equal(fake->failures, 0);
    engine_process_stop(HM_TAKE(fake->process));
    assert_int_equal(umount(home), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_two_thirds_make_a_state_differ),
        cmocka_unit_test(a_full_disk_is_read),
        cmocka_unit_test(a_peers_words_are_no_event),
        TEST(a_disk_with_room_is_not_full),
        TEST(another_state_is_told_at_once),
        TEST(one_that_is_killed_is_always_started_again),
        TEST(one_that_lost_the_application_is_not_waited_for),
        TEST(one_that_panics_is_to_blame),
        TEST(room_is_waited_for),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
