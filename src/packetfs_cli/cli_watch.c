#include "cli.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FINDINGS_MAX       10000 /* kept for JSON; all are said */
#define FIRST_SHOWN_NS     1000000000u
#define COLUMNS_DEFAULT    80
#define COLUMNS_MAX        200
#define LEFT_KNOWN_AFTER_S 2 /* before that a rate says nothing of the time left */

static struct {
    struct packetfs_watch watch;
    struct cli_call *call;
    pthread_mutex_t lock; /* over what is printed, and findings */
    bool on, shown;
    uint64_t began_ns;
    struct sigaction before[2];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};
static volatile sig_atomic_t interrupted;

static const int signals[2] = {SIGINT, SIGTERM};

/* The second one ends the program (SA_RESETHAND). */
static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static uint64_t now_ns(void)
{
    struct timespec at = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

void cli_progress_line(const struct packetfs_progress *progress, uint64_t elapsed_ns, size_t width,
                       char *out, size_t room)
{
    char done[CLI_SHOW_BYTES], total[CLI_SHOW_BYTES], rate[CLI_SHOW_BYTES], left[CLI_SHOW_BYTES];
    double seconds = (double)elapsed_ns / 1e9;
    double per_second = seconds > 0 ? (double)progress->bytes_done / seconds : 0;
    bool known = progress->bytes_total > 0;
    char files[64] = "", ratio[32] = "", end[CLI_SHOW_BYTES + 16] = "";

    if (progress->bytes_done == 0 && progress->files_done == 0 && !known &&
        progress->files_total == 0) { /* it waits: for a person, perhaps */
        (void)snprintf(out, room, "%s  %s", progress->stage != NULL ? progress->stage : "",
                       cli_show_span((uint64_t)seconds, left));
        return;
    }
    if (progress->files_total > 0)
        (void)snprintf(files, sizeof(files), "  %llu of %llu files",
                       (unsigned long long)progress->files_done,
                       (unsigned long long)progress->files_total);
    else if (progress->files_done > 0)
        (void)snprintf(files, sizeof(files), "  %llu files",
                       (unsigned long long)progress->files_done);
    if (progress->bytes_new > 0 && progress->bytes_done > 0)
        (void)snprintf(ratio, sizeof(ratio), "  ratio %.1f",
                       (double)progress->bytes_done / (double)progress->bytes_new);
    if (known && per_second >= 1 && seconds >= LEFT_KNOWN_AFTER_S &&
        progress->bytes_total >= progress->bytes_done)
        (void)snprintf(
            end, sizeof(end), "  %s left",
            cli_show_span(
                (uint64_t)((double)(progress->bytes_total - progress->bytes_done) / per_second),
                left));
    (void)snprintf(out, room, "%s  %s%s%s  %s/s%s%s%s",
                   progress->stage != NULL ? progress->stage : "",
                   cli_show_size(progress->bytes_done, done), known ? " of " : "",
                   known ? cli_show_size(progress->bytes_total, total) : "",
                   cli_show_size((uint64_t)per_second, rate), ratio, end, files);
    if (width < room && strlen(out) > width)
        out[width] = '\0';
}

static size_t columns(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2)
        return COLUMNS_DEFAULT;
    return size.ws_col < COLUMNS_MAX ? size.ws_col : COLUMNS_MAX;
}

static void line_away(void)
{
    if (state.shown)
        (void)fputs("\r\033[K", stderr);
    state.shown = false;
}

static bool on_progress(void *ctx, const struct packetfs_progress *progress)
{
    uint64_t elapsed = now_ns() - state.began_ns;
    char line[COLUMNS_MAX + 1];

    (void)ctx;
    if (interrupted)
        return false;
    if (!state.on || elapsed < FIRST_SHOWN_NS)
        return true;
    cli_progress_line(progress, elapsed, columns() - 1, line, sizeof(line));
    (void)pthread_mutex_lock(&state.lock);
    (void)fprintf(stderr, "\r%s\033[K", line);
    (void)fflush(stderr);
    state.shown = true;
    (void)pthread_mutex_unlock(&state.lock);
    return true;
}

static void on_finding(void *ctx, const char *sentence)
{
    struct cli_call *call = ctx;

    (void)pthread_mutex_lock(&state.lock);
    line_away();
    (void)fprintf(stderr, "packetfs: %s\n", sentence);
    if (call->finding_count < FINDINGS_MAX &&
        hm_buf_append(&call->findings, sentence, strlen(sentence) + 1) == 0)
        call->finding_count++;
    (void)pthread_mutex_unlock(&state.lock);
}

const struct packetfs_watch *cli_watch(struct cli_call *call)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    const char *term = getenv("TERM");

    state.on = isatty(STDERR_FILENO) && !(term != NULL && strcmp(term, "dumb") == 0) &&
               !cli_has(call, "quiet");
    state.call = call;
    state.began_ns = now_ns();
    state.watch = (struct packetfs_watch){
        .progress = on_progress, .finding = on_finding, .ctx = call};
    interrupted = 0;
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < 2; i++)
        (void)sigaction(signals[i], &action, &state.before[i]);
    return &state.watch;
}

void cli_watch_end(struct cli_call *call)
{
    (void)call;
    (void)pthread_mutex_lock(&state.lock);
    line_away();
    (void)fflush(stderr);
    (void)pthread_mutex_unlock(&state.lock);
    for (size_t i = 0; i < 2; i++)
        (void)sigaction(signals[i], &state.before[i], NULL);
}

void cli_say(const char *format, ...)
{
    va_list args;

    (void)fputs("packetfs: ", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}
