/* The supervisor, with a script in the engine's place that does what each test writes down for it: ends, hangs, talks too
 * much, has the wrong version, is not there. */
#include "fake_engine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* --- the binary ------------------------------------------------------------------------------------------ */

static void binary_is_found_where_it_is_said_to_be(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct fake *fake = *state;
    const char *found = NULL;
    HM_AUTOFREE char *path = hm_strdup(getenv("PATH"));

    hm_arena_init(&arena, 0);
    assert_int_equal(engine_process_find(fake->program, &arena, &found, NULL), 0);
    assert_string_equal(found, fake->program);
    assert_int_equal(engine_process_find("/nowhere/cometbft", &arena, &found, &fake->error),
                     HM_ENOTFOUND);
    fake_has(fake->error.text, "/nowhere/cometbft");
    setenv("PATH", fake->folder, 1);
    int rc = engine_process_find(NULL, &arena, &found, &fake->error);
    setenv("PATH", path, 1);
    /* A build below a repository where the engine is installed finds that one first. */
    assert_int_equal(rc, 0);
    assert_true(strcmp(found, fake->program) == 0 || strstr(found, ".deps/cluster/bin/") != NULL);
}

static void binary_must_have_the_right_version(void **state)
{
    struct fake *fake = *state;
    char version[ENGINE_PROCESS_VERSION_BYTES];

    assert_int_equal(engine_process_check(fake->program, version, &fake->error), 0);
    assert_string_equal(version, ENGINE_PROCESS_VERSION);
    fake_put(fake->version_path, "echo 0.37.4", 0644);
    assert_int_equal(engine_process_check(fake->program, version, &fake->error), HM_EUNSUPPORTED);
    fake_has(fake->error.text, "it says '0.37.4'");
    fake_put(fake->version_path, "i=0; while [ $i -lt 2000 ]; do echo much; i=$((i+1)); done",
             0644);
    assert_int_equal(engine_process_check(fake->program, version, &fake->error), HM_EUNSUPPORTED);
    fake_put(fake->version_path, "exit 1", 0644);
    assert_int_equal(engine_process_check(fake->program, version, &fake->error), HM_EUNSUPPORTED);
    assert_int_equal(unlink(fake->program), 0);
    assert_int_equal(engine_process_check(fake->program, version, &fake->error), HM_EIO);
}

/* --- its log --------------------------------------------------------------------------------------------- */

static struct engine_process_line read_line(struct hm_arena *arena, const char *text)
{
    struct engine_process_line line;

    assert_int_equal(engine_process_line_read(hm_slice_str(text), arena, &line, NULL), 0);
    return line;
}

static void lines_are_read(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct engine_process_line line;

    (void)state;
    hm_arena_init(&arena, 0);
    line = read_line(
        &arena,
        "{\"_msg\":\"Starting\",\"height\":5,\"ok\":true,\"err\":\"a\\nb\",\"level\":\"info\","
        "\"module\":\"p2p\",\"ts\":\"2026\",\"obj\":{}}");
    assert_int_equal(line.level, HM_LOG_INFO);
    assert_string_equal(line.module, "p2p");
    assert_string_equal(line.text, "Starting");
    assert_string_equal(line.fields, "height=5 ok=true err=a b");
    assert_int_equal(line.event, ENGINE_PROCESS_NOTHING);
    line = read_line(&arena, FAKE_FAILED_LINE);
    assert_int_equal(line.level, HM_LOG_ERROR);
    assert_int_equal(line.event, ENGINE_PROCESS_CONSENSUS_FAILED);
    assert_string_equal(line.fields, "err=wrong app hash");
    line = read_line(&arena, "panic: runtime error");
    assert_int_equal(line.event, ENGINE_PROCESS_PANICKED);
    assert_int_equal(line.level, HM_LOG_ERROR);
    line = read_line(&arena, "ERROR: failed to create node");
    assert_int_equal(line.level, HM_LOG_ERROR);
    assert_string_equal(line.text, "ERROR: failed to create node");
    line = read_line(&arena, "{\"_msg\":\"CONSENSUS FAILURE!!!\",\"stack\":\"cut her");
    assert_int_equal(line.event, ENGINE_PROCESS_CONSENSUS_FAILED);
    /* What a transaction says is not what the engine says. */
    line = read_line(&arena,
                     "{\"_msg\":\"tx\",\"tx\":\"CONSENSUS FAILURE!!!\",\"level\":\"info\"}");
    assert_int_equal(line.event, ENGINE_PROCESS_NOTHING);
    line = read_line(&arena, "");
    assert_string_equal(line.text, "");
    line = read_line(&arena, "[1,2");
    assert_string_equal(line.text, "[1,2");
}

static void memory_for_a_line_may_run_out(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct engine_process_line line;
    unsigned long nth = 0, failed;

    (void)state;
    hm_arena_init(&arena, 0);
    do {
        unsigned long before = hm_alloc_failures();

        hm_arena_release(&arena);
        hm_alloc_fail_at(++nth);
        int rc = engine_process_line_read(hm_slice_str(FAKE_FAILED_LINE), &arena, &line, NULL);
        hm_alloc_fail_at(0);
        failed = hm_alloc_failures() - before;
        assert_true(rc == 0 || (failed > 0 && rc == HM_ENOMEM));
    } while (failed > 0);
    assert_true(nth > 3);
    assert_string_equal(line.fields, "err=wrong app hash");
}

static void much_talk_is_cut_and_still_understood(void **state)
{
    struct fake *fake = *state;

    atomic_store(&fake->height_step, 1);
    fake->options.look = fake_look;
    fake_start(fake, "if [ $starts -gt 1 ]; then exec sleep 1000; fi\n"
                     "i=0; while [ $i -lt 3000 ]; do echo \"line $i\"; i=$((i+1)); done\n"
                     "head -c 200000 /dev/zero | tr '\\0' y; echo; echo after\n"
                     "echo '" FAKE_FAILED_LINE "'; sleep 1.1; echo last; exec sleep 1000");
    fake_wait_starts(fake, 2);
    fake_wait_said(fake, "lines of the engine's log are left out");
    pthread_mutex_lock(&fake->lock);
    assert_true(fake->lines < 5 * ENGINE_PROCESS_LINES_PER_S);
    pthread_mutex_unlock(&fake->lock);
}

/* --- its ends -------------------------------------------------------------------------------------------- */

static void one_that_ends_is_started_again(void **state)
{
    struct fake *fake = *state;
    struct engine_process_status status;

    atomic_store(&fake->height_step, 1);
    fake->options.look = fake_look;
    fake_start(fake, "if [ $starts -gt 5 ]; then echo up; exec sleep 1000; fi; exit 3");
    fake_wait_said(fake, "|up|");
    assert_int_equal(fake_starts(fake), 6);
    fake_wait_said(fake, "ended with exit code 3; it is started again in 20 ms");
    fake_wait_said(fake, "in 40 ms");
    fake_wait_said(fake, "in 80 ms");
    fake_wait_said(fake, "in 100 ms");
    engine_process_get_status(fake->process, &status);
    assert_true(status.running);
    assert_int_equal(status.starts, 6);
    pthread_mutex_lock(&fake->lock);
    assert_int_equal(status.pid, fake->pid);
    assert_int_equal(fake->started, 6);
    assert_int_equal(fake->failures, 0);
    pthread_mutex_unlock(&fake->lock);
}

static void one_that_fails_at_one_height_is_left_alone(void **state)
{
    struct fake *fake = *state;
    struct engine_process_status status;
    struct hm_error failure;

    fake->options.look = fake_look;
    atomic_store(&fake->height, 41);
    fake_start(fake, "echo 'ERROR: listen tcp: address already in use'; exit 1");
    failure = fake_wait_failure(fake);
    assert_int_equal(failure.code, HM_EUNAVAILABLE);
    fake_has(failure.text, "height 41");
    fake_has(failure.text, "address already in use");
    fake_pause_ms(200);
    assert_int_equal(fake_starts(fake), ENGINE_PROCESS_FAILURES_MAX);
    engine_process_get_status(fake->process, &status);
    assert_true(status.given_up);
    assert_false(status.running);
    assert_int_equal(fake->failures, 1);
}

static void one_that_is_gone_is_left_alone(void **state)
{
    struct fake *fake = *state;
    struct hm_error failure;

    assert_int_equal(unlink(fake->program), 0);
    fake_start(fake, "");
    failure = fake_wait_failure(fake);
    fake_has(failure.text, "cannot start");
}

static void a_dead_consensus_is_an_end(void **state)
{
    struct fake *fake = *state;
    struct hm_error failure;

    fake_start(fake, "echo '" FAKE_FAILED_LINE "'; exec sleep 1000");
    failure = fake_wait_failure(fake);
    fake_has(failure.text, "CONSENSUS FAILURE");
    fake_has(failure.text, "wrong app hash");
    assert_int_equal(fake_starts(fake), 3);
}

static void a_panic_is_told_once(void **state)
{
    struct fake *fake = *state;
    struct hm_error failure;

    fake_start(fake,
               "echo 'panic: index out of range' >&2; echo 'goroutine 1 [running]:' >&2; echo "
               "'ERROR later'; exit 2");
    failure = fake_wait_failure(fake);
    fake_has(failure.text, "exit code 2: panic: index out of range");
    assert_true(fake_said(fake, "3||goroutine 1 [running]:|")); /* 3: debug */
}

static void one_that_hangs_is_killed_with_its_children(void **state)
{
    struct fake *fake = *state;
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    HM_AUTOFREE char *child_path = hm_asprintf("%s/child", fake->folder);
    struct timespec before, after;
    uint64_t child = 0;

    fake_start(fake,
               "trap '' TERM; sh -c \"trap '' TERM; echo hung; while :; do sleep 0.05; done\" & "
               "echo $! >\"$home/child\"\n"
               "while :; do sleep 0.05; done");
    fake_wait_said(fake, "hung");
    assert_int_equal(hm_file_read(child_path, 64, &text, NULL), 0);
    text.len -= 1;
    assert_int_equal(hm_u64_parse(hm_buf_cstr(&text), &child, NULL), 0);
    clock_gettime(CLOCK_MONOTONIC, &before);
    engine_process_stop(HM_TAKE(fake->process));
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_in_range((after.tv_sec - before.tv_sec) * 1000 +
                        (after.tv_nsec - before.tv_nsec) / 1000000,
                    290, 5000);
    for (unsigned ms = 0; kill((pid_t)child, 0) == 0 && ms < FAKE_WAIT_MAX_MS; ms += FAKE_STEP_MS) {
        HM_AUTOFREE char *stat_path = hm_asprintf("/proc/%llu/stat", (unsigned long long)child);
        HM_CLEANUP(hm_buf) struct hm_buf line = {0};

        /* Nobody may wait for it here: a zombie is gone, too. */
        if (hm_file_read(stat_path, 4096, &line, NULL) != 0 ||
            strstr(hm_buf_cstr(&line), ") Z") != NULL)
            return;
        fake_pause_ms(FAKE_STEP_MS);
    }
    assert_int_not_equal(kill((pid_t)child, 0), 0);
}

static void one_that_ends_when_asked_is_not_killed(void **state)
{
    struct fake *fake = *state;
    HM_AUTOFREE char *path = hm_asprintf("%s/goodbye", fake->folder);

    fake->options.grace_ms = 10000;
    fake_start(
        fake, "trap 'echo >\"$home/goodbye\"; exit 0' TERM; echo up; while :; do sleep 0.05; done");
    fake_wait_said(fake, "|up|");
    engine_process_stop(HM_TAKE(fake->process));
    assert_int_equal(access(path, F_OK), 0);
}

static void one_that_stands_still_is_started_again(void **state)
{
    struct fake *fake = *state;

    fake->options.look = fake_look;
    fake->options.stuck_ms = 1500;
    atomic_store(&fake->height, 7);
    fake_start(fake, "echo up; exec sleep 1000");
    fake_wait_said(fake, "|up|");
    fake_pause_ms(3500); /* nothing waits: it may stand still */
    assert_int_equal(fake_starts(fake), 1);
    atomic_store(&fake->waiting, true);
    fake_wait_starts(fake, 2);
    fake_wait_said(fake, "the engine was ended: no block after height 7");
}

/* It closes its connections while it ends: that is not why. */
static void one_that_stands_still_has_not_lost_the_application(void **state)
{
    struct fake *fake = *state;
    struct engine_process_status status;

    fake->options.look = fake_look;
    fake->options.stuck_ms = 1000;
    atomic_store(&fake->height, 7);
    atomic_store(&fake->waiting, true);
    fake_start(fake, "trap 'echo told' TERM; echo up; while :; do sleep 0.02; done");
    fake_wait_said(fake, "|told|");
    engine_process_get_status(fake->process, &status);
    engine_process_lost(fake->process, status.pid);
    fake_wait_said(fake, "the engine was ended: no block after height 7");
    assert_false(fake_said(fake, "lost its connection"));
}

/* The others may be there and not vote: it is not given up for that, and is left more time. */
static void who_is_stuck_is_not_given_up(void **state)
{
    struct fake *fake = *state;

    fake->options.look = fake_look;
    fake->options.stuck_ms = 1000;
    fake->options.failures_max = 1;
    atomic_store(&fake->height, 7);
    atomic_store(&fake->waiting, true);
    fake_start(fake, "echo up; exec sleep 1000");
    fake_wait_starts(fake, 2);
    uint64_t second_ms = hm_mono_ns(hm_clock_system()) / 1000000;
    fake_wait_starts(fake, 3);
    assert_true(hm_mono_ns(hm_clock_system()) / 1000000 - second_ms >= 1900);
    assert_false(fake_said(fake, "left alone"));
    assert_int_equal(fake->failures, 0);
}

static void asked_for_a_start_is_no_failure(void **state)
{
    struct fake *fake = *state;

    fake_start(fake, "echo up; exec sleep 1000");
    for (unsigned i = 1; i <= 5; i++) {
        fake_wait_starts(fake, i);
        fake_wait_said(fake, "|up|");
        if (i < 5)
            engine_process_restart(fake->process, "a test asks");
    }
    assert_int_equal(fake->failures, 0);
}

/* --- around it ------------------------------------------------------------------------------------------- */

static void old_sockets_are_removed_and_nothing_else(void **state)
{
    struct fake *fake = *state;
    HM_AUTOFREE char *socket_path = hm_asprintf("%s/rpc.sock", fake->folder);
    const char *stale[] = {socket_path, fake->version_path, "/nowhere/x"};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    HM_AUTOCLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    fake->options.stale = stale;
    fake->options.stale_count = HM_COUNT_OF(stale);
    fake_start(fake, "[ -e \"$home/rpc.sock\" ] && echo there || echo removed; exec sleep 1000");
    fake_wait_said(fake, "|removed|");
    assert_int_equal(access(fake->version_path, F_OK), 0);
}

static void environment_of_the_engine_is_ours(void **state)
{
    struct fake *fake = *state;
    const char *more[] = {"GOMAXPROCS=1"};

    setenv("CMTHOME", "/elsewhere", 1);
    setenv("TMHOME", "/elsewhere", 1);
    setenv("TMPDIR_OF_TEST", "kept", 1);
    fake->options.environment = more;
    fake->options.environment_count = 1;
    fake_start(fake, "echo \"[$CMTHOME$TMHOME] $GOMAXPROCS $TMPDIR_OF_TEST\"; exec sleep 1000");
    fake_wait_said(fake, "|[] 1 kept|");
    unsetenv("CMTHOME");
    unsetenv("TMHOME");
    unsetenv("TMPDIR_OF_TEST");
}

/* A killed engine's chunks would stay for ever. */
static void temporary_files_go_with_the_next_start(void **state)
{
    struct fake *fake = *state;
    HM_AUTOFREE char *folder = hm_asprintf("%s/" ENGINE_PROCESS_TEMPORARY, fake->folder);
    HM_AUTOFREE char *left = hm_asprintf("%s/chunk", folder);

    assert_int_equal(hm_mkdir_all(folder, 0700, NULL), 0);
    fake_put(left, "half", 0600);
    fake_start(fake, "[ \"$TMPDIR\" = \"$home/" ENGINE_PROCESS_TEMPORARY
                     "\" ] && echo \"its own, with `ls $TMPDIR | wc -l`\"; exec sleep 1000");
    fake_wait_said(fake, "|its own, with 0|");
}

/* --- metrics --------------------------------------------------------------------------------------------- */

static void metrics_of_its_own_names_only(void **state)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
        "# HELP go_threads x\ngo_threads 5\n"
        "# HELP hypermesh_engine_height Height.\n# TYPE hypermesh_engine_height gauge\n"
        "hypermesh_engine_height{chain_id=\"a\"} 5\n"
        "hypermesh_engine_bad\a 1\n"
        "hypermesh_blocks 6\nhypermesh_engine_cut 1";
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};

    (void)state;
    assert_int_equal(engine_process_metrics_read(hm_slice_str(answer), &out, NULL), 0);
    assert_string_equal(
        hm_buf_cstr(&out),
        "# HELP hypermesh_engine_height Height.\n# TYPE hypermesh_engine_height gauge\n"
        "hypermesh_engine_height{chain_id=\"a\"} 5\n");
    assert_int_equal(
        engine_process_metrics_read(hm_slice_str("HTTP/1.1 404 x\r\n\r\n"), &out, NULL), HM_EPARSE);
    assert_int_equal(engine_process_metrics_read(hm_slice_str("HTTP/1.1 200 OK\r\n"), &out, NULL),
                     HM_EPARSE);
    assert_int_equal(engine_process_metrics_read(hm_slice_str(""), &out, NULL), HM_EPARSE);
}

struct door {
    int fd;
    size_t bytes; /* of the answer; 0: none, ever */
};

static void *door_main(void *arg)
{
    static const char head[] = "HTTP/1.0 200 OK\r\n\r\nhypermesh_engine_height 5\n";
    struct door *door = arg;
    char request[512];
    HM_AUTOCLOSE int fd = accept(door->fd, NULL, NULL);

    if (recv(fd, request, sizeof(request), 0) <= 0)
        return NULL;
    if (door->bytes == 0) {
        (void)recv(fd, request, sizeof(request), 0); /* until the other side has had enough */
        return NULL;
    }
    (void)send(fd, head, sizeof(head) - 1, MSG_NOSIGNAL);
    for (size_t sent = 0; sent < door->bytes; sent += sizeof(request)) {
        memset(request, 'x', sizeof(request));
        if (send(fd, request, sizeof(request), MSG_NOSIGNAL) < 0)
            break;
    }
    return NULL;
}

static int ask_door(size_t bytes, struct hm_buf *out, struct hm_error *error)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct door door = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .bytes = bytes};
    socklen_t len = sizeof(address);
    pthread_t thread;
    char listen_at[64];
    int rc;

    assert_int_equal(bind(door.fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(door.fd, 1), 0);
    assert_int_equal(getsockname(door.fd, (struct sockaddr *)&address, &len), 0);
    snprintf(listen_at, sizeof(listen_at), "127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&thread, NULL, door_main, &door), 0);
    rc = engine_process_metrics(listen_at, out, error);
    pthread_join(thread, NULL);
    close(door.fd);
    return rc;
}

static void metrics_come_within_bounds(void **state)
{
    struct fake *fake = *state;
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};

    assert_int_equal(ask_door(512, &out, &fake->error), 0);
    assert_string_equal(hm_buf_cstr(&out), "hypermesh_engine_height 5\n");
    assert_int_equal(ask_door(2 * ENGINE_PROCESS_METRICS_MAX_BYTES, &out, &fake->error), HM_ELIMIT);
    assert_int_equal(ask_door(0, &out, &fake->error), HM_ETIMEOUT);
    assert_int_equal(engine_process_metrics("nonsense", &out, &fake->error), HM_EINVAL);
    assert_int_equal(engine_process_metrics("127.0.0.1:1", &out, &fake->error), HM_EUNAVAILABLE);
    assert_string_equal(hm_buf_cstr(&out), "hypermesh_engine_height 5\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(binary_is_found_where_it_is_said_to_be, fake_setup,
                                        fake_teardown),
        cmocka_unit_test_setup_teardown(binary_must_have_the_right_version, fake_setup,
                                        fake_teardown),
        cmocka_unit_test(lines_are_read),
        cmocka_unit_test(memory_for_a_line_may_run_out),
        cmocka_unit_test_setup_teardown(much_talk_is_cut_and_still_understood, fake_setup,
                                        fake_teardown),
        cmocka_unit_test_setup_teardown(one_that_ends_is_started_again, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(one_that_fails_at_one_height_is_left_alone, fake_setup,
                                        fake_teardown),
        cmocka_unit_test_setup_teardown(one_that_is_gone_is_left_alone, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(a_dead_consensus_is_an_end, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(a_panic_is_told_once, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(one_that_hangs_is_killed_with_its_children, fake_setup,
                                        fake_teardown),
        cmocka_unit_test_setup_teardown(one_that_ends_when_asked_is_not_killed, fake_setup,
                                        fake_teardown),
        cmocka_unit_test_setup_teardown(one_that_stands_still_is_started_again, fake_setup,
                                        fake_teardown),
        cmocka_unit_test_setup_teardown(one_that_stands_still_has_not_lost_the_application,
                                        fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(who_is_stuck_is_not_given_up, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(asked_for_a_start_is_no_failure, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(old_sockets_are_removed_and_nothing_else, fake_setup,
                                        fake_teardown),
        cmocka_unit_test_setup_teardown(temporary_files_go_with_the_next_start, fake_setup,
                                        fake_teardown),
        cmocka_unit_test_setup_teardown(environment_of_the_engine_is_ours, fake_setup,
                                        fake_teardown),
        cmocka_unit_test(metrics_of_its_own_names_only),
        cmocka_unit_test_setup_teardown(metrics_come_within_bounds, fake_setup, fake_teardown),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
