/* The supervisor: one thread, that starts the engine, reads its log, and starts it again when it has ended or is of no
 * use any more. */
#include "engine_process.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine_process_private.h"

#define PROCESS_LOOK_EVERY_MS   UINT64_C(1000) /* how often the application is asked for its height */
#define PROCESS_KILL_EVERY_MS   100 /* for one that the kernel holds on to */
#define PROCESS_DRAIN_MAX_BYTES ((size_t)1 << 20) /* read of one that has ended */
#define PROCESS_ENVIRONMENT_MAX 4096
#define PROCESS_TMPDIR          "TMPDIR="
#define PROCESS_TEMPORARY_MODE  0700
#define PROCESS_STUCK_SHIFT_MAX 5 /* stuck_ms doubles so often */

uint64_t engine_process_now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

struct engine_process_look engine_process_look_now(struct engine_process *process)
{
    struct engine_process_look look = {0};

    if (process->options.look != NULL)
        process->options.look(process->options.ctx, &look);
    return look;
}

bool engine_process_stopping(struct engine_process *process)
{
    pthread_mutex_lock(&process->lock);
    bool stopping = process->stopping;
    pthread_mutex_unlock(&process->lock);
    return stopping;
}

void engine_process_say(struct engine_process *process, const char *text)
{
    const struct engine_process_line line = {
        .level = HM_LOG_WARN, .module = "", .text = text, .fields = ""};

    if (process->options.on_line != NULL)
        process->options.on_line(process->options.ctx, &line);
}

/* --- what it says ---------------------------------------------------------------------------------------- */

static void process_tell_left_out(struct engine_process *process)
{
    char text[64];

    if (process->lines.left_out == 0)
        return;
    snprintf(text, sizeof(text), "%u lines of the engine's log are left out",
             process->lines.left_out);
    process->lines.left_out = 0;
    engine_process_say(process, text);
}

static void process_tell(struct engine_process *process, const struct engine_process_line *line)
{
    struct process_lines *lines = &process->lines;
    uint64_t second = engine_process_now_ms() / 1000;

    if (second != lines->second) {
        lines->second = second;
        lines->handed = 0;
        process_tell_left_out(process);
    }
    if (lines->handed >= ENGINE_PROCESS_LINES_PER_S) {
        lines->left_out++;
        return;
    }
    lines->handed++;
    if (process->options.on_line != NULL)
        process->options.on_line(process->options.ctx, line);
}

/* Never the reason of a later end: kept of the first thing that went really wrong, else of the last error. */
static void process_remember(struct engine_process *process, const struct engine_process_line *line)
{
    if (line->level != HM_LOG_ERROR || process->failed || process->lines.dumping)
        return;
    snprintf(process->said, sizeof(process->said), "%.180s%s%.180s", line->text,
             line->fields[0] != '\0' ? ": " : "", line->fields);
}

static void process_line(struct engine_process *process, struct hm_slice bytes)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct engine_process_line line;

    hm_arena_init(&arena, 0);
    if (engine_process_line_read(bytes, &arena, &line, NULL) != 0)
        return; /* no memory: a line of a log is not worth an end */
    process_remember(process, &line);
    process->differs |= line.event == ENGINE_PROCESS_STATE_DIFFERS;
    process->full |= line.no_space && !engine_process_has_room(process->home);
    process->failed |= process->differs || process->full ||
                       line.event == ENGINE_PROCESS_CONSENSUS_FAILED;
    if (process->lines.dumping && line.event == ENGINE_PROCESS_NOTHING && line.module[0] == '\0')
        line.level = HM_LOG_DEBUG;
    if (line.event == ENGINE_PROCESS_PANICKED)
        process->lines.dumping = true;
    process_tell(process, &line);
}

static void process_feed(struct engine_process *process, const uint8_t *bytes, size_t count)
{
    struct process_lines *lines = &process->lines;

    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != '\n') {
            if (lines->len < sizeof(lines->bytes))
                lines->bytes[lines->len++] = bytes[i];
            continue;
        }
        if (lines->len > 0)
            process_line(process, hm_slice_of(lines->bytes, lines->len));
        lines->len = 0;
    }
}

/* What is there, at most `most` bytes. False: the output has ended. */
static bool process_read(struct engine_process *process, size_t most)
{
    uint8_t bytes[4096];

    for (size_t seen = 0; seen < most;) {
        ssize_t got = read(process->child.output, bytes, sizeof(bytes));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EAGAIN;
        if (got == 0)
            return false;
        process_feed(process, bytes, (size_t)got);
        seen += (size_t)got;
    }
    return true;
}

/* --- one life of it -------------------------------------------------------------------------------------- */

static void process_end_soon(struct engine_process *process)
{
    if (process->term_ms == 0) {
        process->term_ms = engine_process_now_ms();
        engine_child_signal(&process->child, SIGTERM);
    }
}

/* When it is killed if it still runs; 0: it may. One that fails is waited for as one that is told to end, but one that has
 * lost the application only a little. */
static uint64_t process_kill_ms(const struct engine_process *process)
{
    uint64_t grace_end_ms = process->term_ms + process->options.grace_ms;
    uint64_t lost_end_ms = process->gone_ms + process->options.lost_ms;

    if (process->gone_ms == 0)
        return process->term_ms == 0 ? 0 : grace_end_ms;
    return process->term_ms == 0 || lost_end_ms < grace_end_ms ? lost_end_ms : grace_end_ms;
}

/* Milliseconds to the next thing that the clock brings; -1: nothing. */
static int process_wait_ms(const struct engine_process *process, uint64_t now_ms)
{
    uint64_t end_ms = process_kill_ms(process);

    if (end_ms != 0)
        return end_ms > now_ms ? (int)(end_ms - now_ms) : PROCESS_KILL_EVERY_MS;
    return process->options.look != NULL ? (int)PROCESS_LOOK_EVERY_MS : -1;
}

static void process_see_height(struct engine_process *process, uint64_t height, uint64_t now_ms)
{
    if (height != process->seen_height)
        process->stuck_times = 0;
    process->seen_height = height;
    process->seen_ms = now_ms;
}

static uint64_t process_stuck_ms(const struct engine_process *process)
{
    unsigned shift = process->stuck_times < PROCESS_STUCK_SHIFT_MAX ? process->stuck_times
                                                                    : PROCESS_STUCK_SHIFT_MAX;

    return process->options.stuck_ms << shift;
}

/* A process that waits with everything it needs and makes no block. It may be the others' doing, who are there and do not vote: so
 * that is no failure of its own, and it is left more time each time. */
static void process_watch_height(struct engine_process *process, uint64_t now_ms)
{
    struct engine_process_look look;

    if (process->options.look == NULL || process->term_ms != 0)
        return;
    look = engine_process_look_now(process);
    if (!look.waiting || look.height != process->seen_height) {
        process_see_height(process, look.height, now_ms);
    } else if (now_ms - process->seen_ms >= process_stuck_ms(process)) {
        snprintf(process->said, sizeof(process->said),
                 "no block after height %" PRIu64 " for %" PRIu64
                 " s, though something waits for one",
                 look.height, (now_ms - process->seen_ms) / 1000);
        process->failed = process->stuck = true;
        process->stuck_times++;
        process_end_soon(process);
    }
}

static void process_obey(struct engine_process *process)
{
    uint64_t count;

    while (read(process->wake, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&process->lock);
    bool end = process->stopping || process->restart;
    bool lost = process->lost;
    process->restart = false;
    process->lost = false;
    pthread_mutex_unlock(&process->lock);
    if (end)
        process_end_soon(process);
    if (lost && process->gone_ms == 0)
        process->gone_ms = engine_process_now_ms();
}

/* From its start to its end. */
static void process_watch(struct engine_process *process)
{
    enum { ENDED, OUTPUT, WAKE };
    struct pollfd watched[] = {{.fd = process->child.pidfd, .events = POLLIN},
                               {.fd = process->child.output, .events = POLLIN},
                               {.fd = process->wake, .events = POLLIN}};

    for (;;) {
        uint64_t now_ms = engine_process_now_ms();

        if (poll(watched, HM_COUNT_OF(watched), process_wait_ms(process, now_ms)) < 0)
            continue;
        if (watched[OUTPUT].revents != 0 && !process_read(process, PROCESS_DRAIN_MAX_BYTES))
            watched[OUTPUT].fd = -1;
        if (watched[WAKE].revents != 0)
            process_obey(process);
        if (watched[ENDED].revents != 0)
            break;
        if (process->failed)
            process_end_soon(process);
        now_ms = engine_process_now_ms();
        process_watch_height(process, now_ms);
        if (process_kill_ms(process) != 0 && now_ms >= process_kill_ms(process)) {
            process->shot = true;
            engine_child_signal(&process->child, SIGKILL);
        }
    }
    if (watched[OUTPUT].fd >= 0)
        process_read(process, PROCESS_DRAIN_MAX_BYTES);
    if (process->lines.len > 0)
        process_line(process, hm_slice_of(process->lines.bytes, process->lines.len));
    process_tell_left_out(process);
}

/* What a killed engine has left. Without a folder for them it says by itself what it could not write. */
static void process_remove_stale(struct engine_process *process)
{
    (void)hm_remove_tree(process->temporary, NULL);
    (void)hm_mkdir_all(process->temporary, PROCESS_TEMPORARY_MODE, NULL);
    for (size_t i = 0; i < process->options.stale_count; i++) {
        struct stat info;

        if (lstat(process->stale[i], &info) == 0 && S_ISSOCK(info.st_mode))
            unlink(process->stale[i]);
    }
}

static void process_begin_status(struct engine_process *process)
{
    pthread_mutex_lock(&process->lock);
    process->restart = false;
    process->lost = false;
    process->status.running = true;
    process->status.pid = process->child.pid;
    process->status.starts++;
    process->status.started_ms = engine_process_now_ms();
    pthread_mutex_unlock(&process->lock);
}

/* Why it ended. One that has lost the application ends with exit code 0; one that was ended for making no block may lose it, too,
 * while it ends. What it said last is the reason only where that was seen to be one. */
static void process_end_status(struct engine_process *process, int status)
{
    bool signalled = WIFSIGNALED(status);
    bool lost = process->gone_ms != 0 && (process->shot || (!signalled && !WEXITSTATUS(status)));
    bool from_outside = signalled && !process->shot && process->term_ms == 0;
    bool reason = process->failed || process->lines.dumping;
    char how[64];

    process->blameless = process->full || process->stuck ||
                         (!process->failed && (lost || from_outside));
    if (process->stuck)
        snprintf(how, sizeof(how), "was ended");
    else if (lost)
        snprintf(how, sizeof(how), "lost its connection to the application");
    else if (signalled)
        snprintf(how, sizeof(how), "ended by signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof(how), "ended with exit code %d", WEXITSTATUS(status));
    pthread_mutex_lock(&process->lock);
    process->status.running = false;
    process->status.pid = 0;
    snprintf(process->status.problem, sizeof(process->status.problem), "%s%s%.280s", how,
             process->said[0] == '\0' ? ""
             : reason                 ? ": "
                                      : "; the last error in its log: ",
             process->said);
    pthread_mutex_unlock(&process->lock);
}

/* Starts it and returns when it has ended. HM_EIO: it could not be started. */
static int process_live(struct engine_process *process, struct hm_error *error)
{
    const char *const argv[] = {process->program, "start", "--home", process->home, NULL};
    int status = 0;

    process->lines.len = 0;
    process->lines.dumping = false;
    process->failed = process->differs = process->full = process->shot = false;
    process->blameless = process->stuck = false;
    process->said[0] = '\0';
    process->term_ms = process->gone_ms = 0;
    process_see_height(process, engine_process_look_now(process).height, engine_process_now_ms());
    process_remove_stale(process);
    int rc = engine_child_spawn(process->program, argv,
                                (const char *const *)(uintptr_t)process->environment,
                                &process->child, error);
    if (rc != 0)
        return rc;
    process_begin_status(process);
    if (process->options.on_start != NULL)
        process->options.on_start(process->options.ctx, process->child.pid);
    process_watch(process);
    engine_child_reap(&process->child, &status);
    process_end_status(process, status);
    return 0;
}

static void *process_main(void *arg)
{
    struct engine_process *process = arg;
    bool again = true;

    while (again && !engine_process_stopping(process)) {
        uint64_t began_ms = engine_process_now_ms();
        struct hm_error error = {0};

        if (process_live(process, &error) != 0) {
            pthread_mutex_lock(&process->lock);
            snprintf(process->status.problem, sizeof(process->status.problem), "%s", error.text);
            pthread_mutex_unlock(&process->lock);
        }
        again = !engine_process_stopping(process) &&
                engine_process_again(process, began_ms, process->term_ms != 0 && !process->failed);
    }
    return NULL;
}

/* --- start and stop -------------------------------------------------------------------------------------- */

static void process_free_list(char **list, size_t count)
{
    for (size_t i = 0; list != NULL && i < count; i++)
        hm_free(list[i]);
    hm_free(list);
}

static char **process_copy_list(const char *const *from, size_t count)
{
    char **list = hm_calloc(count + 1, sizeof(*list));

    for (size_t i = 0; list != NULL && i < count; i++) {
        list[i] = hm_strdup(from[i]);
        if (list[i] == NULL) {
            process_free_list(list, count);
            return NULL;
        }
    }
    return list;
}

/* The engine reads its settings from CMT... (and from the TM... of before) too: they would change what we wrote. Where its temporary
 * files lie is ours to say. */
static bool process_is_engines_own(const char *variable)
{
    if (strncmp(variable, PROCESS_TMPDIR, sizeof(PROCESS_TMPDIR) - 1) == 0)
        return true;
    return strncmp(variable, "CMT", 3) == 0 || strncmp(variable, "TM", 2) == 0
               ? strncmp(variable, "TMP", 3) != 0
               : false;
}

static char **process_make_environment(const struct engine_process_options *options,
                                       const char *temporary)
{
    HM_AUTOFREE char *own = temporary != NULL ? hm_asprintf(PROCESS_TMPDIR "%s", temporary) : NULL;
    const char *list[PROCESS_ENVIRONMENT_MAX];
    size_t count = 0;

    if (own == NULL || options->environment_count > PROCESS_ENVIRONMENT_MAX / 2)
        return NULL;
    for (size_t i = 0; i < options->environment_count; i++)
        list[count++] = options->environment[i];
    list[count++] = own;
    for (char **at = environ; *at != NULL && count < PROCESS_ENVIRONMENT_MAX; at++)
        if (!process_is_engines_own(*at))
            list[count++] = *at;
    return process_copy_list(list, count);
}

static void process_free(struct engine_process *process)
{
    size_t count = 0;

    hm_free(process->program);
    hm_free(process->home);
    hm_free(process->temporary);
    process_free_list(process->stale, process->options.stale_count);
    while (process->environment != NULL && process->environment[count] != NULL)
        count++;
    process_free_list(process->environment, count);
    hm_fd_release(&process->wake);
    pthread_mutex_destroy(&process->lock);
    hm_free(process);
}

static void process_defaults(struct engine_process_options *options)
{
    if (options->pause_min_ms == 0)
        options->pause_min_ms = ENGINE_PROCESS_PAUSE_MIN_MS;
    if (options->pause_max_ms == 0)
        options->pause_max_ms = ENGINE_PROCESS_PAUSE_MAX_MS;
    if (options->grace_ms == 0)
        options->grace_ms = ENGINE_PROCESS_GRACE_MS;
    if (options->lost_ms == 0)
        options->lost_ms = ENGINE_PROCESS_LOST_MS;
    if (options->settled_ms == 0)
        options->settled_ms = ENGINE_PROCESS_SETTLED_MS;
    if (options->stuck_ms == 0)
        options->stuck_ms = ENGINE_PROCESS_STUCK_MS;
    if (options->failures_max == 0)
        options->failures_max = ENGINE_PROCESS_FAILURES_MAX;
}

int engine_process_start(const struct engine_process_options *options, struct engine_process **out,
                         struct hm_error *error)
{
    struct engine_process *process = hm_calloc(1, sizeof(*process));

    if (process == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to start the engine");
    process->options = *options;
    process_defaults(&process->options);
    process->child = (struct engine_child)ENGINE_CHILD_NONE;
    process->last_height = UINT64_MAX;
    pthread_mutex_init(&process->lock, NULL);
    process->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    process->program = hm_strdup(options->program);
    process->home = hm_strdup(options->home);
    process->stale = process_copy_list(options->stale, options->stale_count);
    process->temporary = hm_asprintf("%s/" ENGINE_PROCESS_TEMPORARY, options->home);
    process->environment = process_make_environment(options, process->temporary);
    if (process->wake < 0 || process->program == NULL || process->home == NULL ||
        process->stale == NULL || process->environment == NULL) {
        process_free(process);
        return hm_fail(error, HM_ENOMEM, "no memory to start the engine");
    }
    if (pthread_create(&process->thread, NULL, process_main, process) != 0) {
        process_free(process);
        return hm_fail(error, HM_ENOMEM, "no thread to start the engine on");
    }
    *out = process;
    return 0;
}

static void process_wake(struct engine_process *process)
{
    const uint64_t one = 1;

    while (write(process->wake, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void engine_process_stop(struct engine_process *process)
{
    if (process == NULL)
        return;
    pthread_mutex_lock(&process->lock);
    process->stopping = true;
    pthread_mutex_unlock(&process->lock);
    process_wake(process);
    pthread_join(process->thread, NULL);
    process_free(process);
}

void engine_process_restart(struct engine_process *process, const char *why)
{
    hm_log(HM_LOG_WARN, "engine", "the engine is started again: %s", why);
    pthread_mutex_lock(&process->lock);
    process->restart = true;
    pthread_mutex_unlock(&process->lock);
    process_wake(process);
}

void engine_process_lost(struct engine_process *process, int64_t pid)
{
    pthread_mutex_lock(&process->lock);
    bool lost = process->status.running && process->status.pid == pid;
    process->lost |= lost;
    pthread_mutex_unlock(&process->lock);
    if (lost)
        process_wake(process);
}

void engine_process_get_status(struct engine_process *process, struct engine_process_status *out)
{
    pthread_mutex_lock(&process->lock);
    *out = process->status;
    pthread_mutex_unlock(&process->lock);
}
