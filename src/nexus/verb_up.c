/* up: hypermeshd started, watched until it is ready. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nexus_cluster.h"
#include "nexus_daemon.h"
#include "nexus_interrupt.h"
#include "nexus_start_options.h"
#include "nexus_status.h"
#include "nexus_text.h"
#include "nexus_verbs.h"

#define WAIT_DEFAULT_MS   300000
#define POLL_MS           50
#define PROBE_TIMEOUT_MS  2000
#define LOG_LINES_SHOWN   12
#define PROGRESS_EVERY_MS 1000 /* where there is no terminal to write over */
#define STOP_GRACE_MS     10000
#define ARGV_MAX          96

struct start {
    struct nexus_call *call;
    struct nexus_daemon daemon; /* pidfd -1: it was there before */
    const char *log_path;
    const char *listen; /* as given */
    uint64_t deadline_ms;
    uint64_t said_ms;
    char said[HM_ERROR_TEXT_BYTES]; /* progress last shown */
    bool line_open; /* on a terminal: the progress line waits to be written over */
};

static uint64_t now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

/* --- progress ------------------------------------------------------------------------------------ */

static void progress_end(struct start *start)
{
    if (start->line_open)
        (void)hm_write_all(2, "\n", 1, NULL);
    start->line_open = false;
}

static void progress(struct start *start, const char *text)
{
    HM_CLEANUP(hm_buf) struct hm_buf line = {0};
    bool terminal = isatty(2);

    if (strcmp(start->said, text) == 0 ||
        (!terminal && start->said_ms && now_ms() - start->said_ms < PROGRESS_EVERY_MS))
        return;
    snprintf(start->said, sizeof(start->said), "%s", text);
    start->said_ms = now_ms();
    if (!terminal) {
        nexus_say("%s", text);
        return;
    }
    if (hm_buf_append_str(&line, "\r\033[Knexus: ") == 0 &&
        nexus_text_append_safe(&line, text) == 0)
        (void)hm_write_all(2, line.data, line.len, NULL);
    start->line_open = true;
}

/* --- is it ready? -------------------------------------------------------------------------------- */

/* 0: ready; HM_EBUSY: not yet, error->text says what it does; NEXUS_EUNREACHABLE: nobody there. */
static int probe(struct nexus_call *call, struct hm_error *error)
{
    struct nexus_request request = {
        .method = "GET", .path = "/readyz", .timeout_ms = PROBE_TIMEOUT_MS, .wake_fd = -1};
    int rc = nexus_connect(call);

    return rc ? rc : nexus_client_send(call->client, &request, NULL, error);
}

/* As the daemon meets it: can it be bound? */
static bool port_taken(const char *listen)
{
    const int on = 1;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const char *colon = strrchr(listen, ':');
    char host[64];
    bool taken = false;
    size_t len;

    if (!colon || strcmp(colon, ":0") == 0)
        return false;
    len = (size_t)(colon - listen);
    if (len >= 2 && listen[0] == '[' && listen[len - 1] == ']') {
        listen++;
        len -= 2;
    }
    snprintf(host, sizeof(host), "%.*s", (int)len, listen);
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return false;
    HM_AUTOCLOSE int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    taken = fd >= 0 && bind(fd, found->ai_addr, found->ai_addrlen) != 0 && errno == EADDRINUSE;
    freeaddrinfo(found);
    return taken;
}

static int ended_early(struct start *start, int status)
{
    HM_CLEANUP(hm_buf) struct hm_buf tail = {0};
    HM_CLEANUP(hm_buf) struct hm_buf safe = {0};
    struct nexus_call *call = start->call;
    const char *its_verb = nexus_cluster_above_start(call);
    char *rest = NULL;

    progress_end(start);
    if (nexus_log_tail(start->log_path, start->daemon.log_start, LOG_LINES_SHOWN, &tail, NULL) == 0)
        for (char *line = strtok_r((char *)(uintptr_t)hm_buf_cstr(&tail), "\n", &rest); line;
             line = strtok_r(NULL, "\n", &rest))
            if (hm_buf_append_str(&safe, "  ") || nexus_text_append_safe(&safe, line) ||
                hm_buf_append_str(&safe, "\n"))
                break;
    (void)hm_write_all(2, safe.data, safe.len, NULL);
    if (its_verb)
        call->hint = hm_arena_printf(call->arena, "%s starts this node of a cluster", its_verb);
    else if (port_taken(start->listen))
        call->hint = hm_arena_printf(
            call->arena,
            "%s is in use by another program; --listen 127.0.0.1:0 takes any free port, "
            "--listen none does without TCP",
            start->listen);
    else
        call->hint = hm_arena_printf(call->arena, "the whole log is %s", start->log_path);
    if (WIFSIGNALED(status))
        return hm_fail(&call->error, HM_EIO, "%s was ended by signal %d while it started",
                       NEXUS_DAEMON_NAME, WTERMSIG(status));
    return hm_fail(&call->error, HM_EIO,
                   "%s did not start (exit code %d); its last words are above", NEXUS_DAEMON_NAME,
                   WEXITSTATUS(status));
}

/* Ctrl-C: what was begun is taken back. */
static int interrupted(struct start *start)
{
    int status = 0;

    progress_end(start);
    if (start->daemon.pidfd >= 0) {
        nexus_say("stopping %s", NEXUS_DAEMON_NAME);
        (void)syscall(SYS_pidfd_send_signal, start->daemon.pidfd, SIGTERM, NULL, 0);
        (void)nexus_daemon_ended(&start->daemon, STOP_GRACE_MS, &status);
    }
    return NEXUS_EXIT_INTERRUPTED;
}

static int wait_ready(struct start *start)
{
    struct nexus_call *call = start->call;

    for (;;) {
        struct hm_error error = {0};
        int status = 0;
        int rc = probe(call, &error);

        if (rc == 0) {
            progress_end(start);
            return 0;
        }
        if (rc == HM_EBUSY)
            progress(start, error.text);
        else if (rc != NEXUS_EUNREACHABLE && rc != HM_ETIMEOUT) {
            progress_end(start);
            call->error = error;
            return rc;
        } else if (start->daemon.pidfd < 0) { /* another's node, and it went away */
            call->error = error;
            return rc;
        }
        if (start->daemon.pidfd < 0)
            usleep(POLL_MS * 1000);
        else if (nexus_daemon_ended(&start->daemon, POLL_MS, &status))
            return ended_early(start, status);
        if (nexus_interrupt_seen())
            return interrupted(start);
        if (now_ms() >= start->deadline_ms) {
            progress_end(start);
            call->hint = hm_arena_printf(
                call->arena, "it goes on: see nexus status, and its log %s", start->log_path);
            return hm_fail(&call->error, HM_ETIMEOUT, "the node is not ready yet: %s",
                           error.text[0] ? error.text : "it does not answer");
        }
    }
}

/* --- starting it --------------------------------------------------------------------------------- */

static int add_argument(struct nexus_call *call, const char **argv, size_t *argc,
                        const char *option, const char *value)
{
    if (!value)
        return 0;
    if (*argc + 3 > ARGV_MAX)
        return hm_fail(&call->error, HM_EINTERNAL, "too many options for %s", NEXUS_DAEMON_NAME);
    argv[(*argc)++] = option;
    argv[(*argc)++] = value;
    argv[*argc] = NULL;
    return 0;
}

/* Files are named from the user's folder; the daemon runs in another. */
static int add_file(struct nexus_call *call, const char **argv, size_t *argc,
                    const char *daemon_option, const char *option)
{
    const char *path = nexus_value(call, option);
    int rc = path ? nexus_path_absolute(path, call->arena, &path, &call->error) : 0;

    return rc ? rc : add_argument(call, argv, argc, daemon_option, path);
}

/* Options that mean the same to the daemon. */
static const char *const passed[] = {"plot",    "kv-listen", "kv-account", "rate",
                                     "runtime", "log-level", "otlp",       "otlp-every"};

/* A single node's folder that was made a cluster's first: its daemon is told where the others are. A cluster.json that was left by
 * a promotion that was cut off does not count: without the engine's genesis it is a single node's still. */
static int add_cluster(struct nexus_call *call, const char **argv, size_t *argc)
{
    const char *genesis = hm_arena_printf(call->arena, "%s/engine/config/genesis.json",
                                          call->place.data_dir);
    struct nexus_cluster cluster;
    int rc = genesis ? nexus_cluster_look(call, &cluster) : nexus_no_memory(call);

    if (rc || nexus_cluster_here(&cluster) == cluster.count || access(genesis, F_OK) != 0)
        return rc;
    return nexus_cluster_words(call, &cluster, nexus_cluster_here(&cluster), argv, ARGV_MAX, argc);
}

static int daemon_argv(struct nexus_call *call, const char *path, const char *listen,
                       const char **argv)
{
    size_t argc = 1;
    int rc;

    argv[0] = path;
    if (!nexus_has(call, "foreground"))
        argv[argc++] = "--keep";
    argv[argc] = NULL;
    rc = add_argument(call, argv, &argc, "--data", call->place.data_dir);
    if (!rc)
        rc = add_argument(call, argv, &argc, "--listen", listen);
    for (size_t i = 0; !rc && i < HM_COUNT_OF(passed); i++)
        rc = add_argument(call, argv, &argc, hm_arena_printf(call->arena, "--%s", passed[i]),
                          nexus_value(call, passed[i]));
    if (!rc)
        rc = add_file(call, argv, &argc, "--passphrase-file", "passphrase-file");
    if (!rc)
        rc = add_file(call, argv, &argc, "--genesis", "genesis");
    return rc ? rc : add_cluster(call, argv, &argc);
}

static int start_daemon(struct start *start)
{
    struct nexus_call *call = start->call;
    const char *argv[ARGV_MAX];
    const char *path = NULL;
    uint64_t bytes;
    int rc = 0;

    if (nexus_has(call, "plot"))
        rc = hm_size_parse(nexus_value(call, "plot"), &bytes, &call->error);
    if (rc)
        return hm_error_prefix(&call->error, rc, "--plot");
    rc = nexus_daemon_find(call->arena, &path, &call->error);
    if (!rc)
        rc = daemon_argv(call, path, start->listen, argv);
    if (!rc)
        rc = hm_mkdir_all(call->place.data_dir, 0700, &call->error);
    if (rc)
        return rc;
    if (nexus_has(call, "foreground")) {
        execv(path, (char *const *)(uintptr_t)argv);
        return hm_fail_errno(&call->error, HM_EIO, "cannot start %s", path);
    }
    return nexus_daemon_spawn(path, (char *const *)(uintptr_t)argv, start->log_path, &start->daemon,
                              &call->error);
}

static int show_node(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *status = NULL;
    int rc = nexus_ask(call, "GET", NULL, &status, "/node");

    return rc ? rc : nexus_show(call, status, nexus_table_status);
}

static int bring_up(struct start *start)
{
    struct nexus_call *call = start->call;
    struct hm_error error = {0};
    int rc = probe(call, &error);
    pid_t keeper = rc == NEXUS_EUNREACHABLE ? nexus_keeper(call->place.data_dir) : 0;

    if (rc == 0 || rc == HM_EBUSY) {
        nexus_say("a node is running already in %s", call->place.data_dir);
    } else if (keeper > 0) {
        rc = nexus_keeper_wake(call->place.data_dir, keeper, &start->daemon, &call->error);
        if (rc)
            return rc;
        nexus_say("the node in %s is being started already", call->place.data_dir);
    } else if (rc == NEXUS_EUNREACHABLE) {
        rc = start_daemon(start);
        if (rc)
            return rc;
        nexus_say("starting a node in %s", call->place.data_dir);
    } else {
        call->error = error;
        return rc;
    }
    rc = nexus_interrupt_open("\nnexus: left; the node may be starting still\n", &call->error);
    if (!rc)
        rc = wait_ready(start);
    nexus_interrupt_close();
    return rc ? rc : show_node(call);
}

static int run_up(struct nexus_call *call)
{
    struct start start = {.call = call, .daemon = {.pidfd = -1}, .listen = NEXUS_LISTEN_DEFAULT};
    uint64_t wait_ms = WAIT_DEFAULT_MS;
    int rc = nexus_value_ms(call, "wait", &wait_ms);

    if (rc)
        return rc;
    if (call->place.url)
        return hm_fail(&call->error, HM_EINVAL,
                       "up starts a node on this machine; leave --url out");
    if (nexus_has(call, "listen"))
        start.listen = nexus_value(call, "listen");
    start.deadline_ms = now_ms() + wait_ms;
    start.log_path = hm_arena_printf(call->arena, "%s/%s", call->place.data_dir, NEXUS_LOG_NAME);
    if (!start.log_path)
        return nexus_no_memory(call);
    rc = bring_up(&start);
    nexus_daemon_release(&start.daemon);
    return rc;
}

static const struct nexus_option options[] = {
    {.name = "listen",
     .value = "ADDR:PORT",
     .help = "HTTP address, on loopback; port 0: any free one; none: unix socket only; default: "
             "127.0.0.1:7470"},
    NEXUS_PLOT_OPTION,
    {.name = "kv-listen",
     .value = "ADDR:PORT",
     .help = "a door for programs written for etcd, on loopback, without a token; default: none"},
    {.name = "kv-account", .value = "NAME", .help = "who acts through it; default: user"},
    {.name = "rate", .value = "N", .help = "requests a second that one caller may send"},
    {.name = "otlp",
     .value = "URL",
     .help = "send traces to this OpenTelemetry collector: http://HOST:4318/v1/traces"},
    {.name = "otlp-every",
     .value = "N",
     .help = "trace one in N requests that bring no trace of their own; default: 1"},
    {.name = "passphrase-file",
     .value = "FILE",
     .help = "seals a new node's keys; opens sealed ones",
     .words = "@file"},
    {.name = "genesis",
     .value = "FILE",
     .help = "packed Genesis of a new chain; default: a chain of its own",
     .words = "@file"},
    NEXUS_RUNTIME_OPTION,
    NEXUS_LOG_LEVEL_OPTION,
    {.name = "wait", .value = "TIME", .help = "how long to wait until it is ready; default: 5m"},
    {.name = "foreground", .help = "become the daemon instead of starting one beside"},
};

const struct nexus_verb verb_up = {
    .name = "up",
    .summary = "Start a node on this machine and wait until it is ready",
    .text = "The node runs on when nexus has ended; `nexus down` stops it. Its log is\n"
            "DIR/hypermeshd.log. When it crashes it is started again (hypermeshd(8), --keep).",
    .options = options,
    .option_count = HM_COUNT_OF(options),
    .run = run_up};
