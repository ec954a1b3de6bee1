/* The nodes of a cluster as processes: started, waited for, stopped. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nexus_cluster.h"
#include "nexus_interrupt.h"
#include "nexus_text.h"

#define ARGV_MAX          96
#define POLL_MS           100
#define PROBE_TIMEOUT_MS  3000
#define ACT_TIMEOUT_MS    60000
#define PROGRESS_EVERY_MS 1000
#define LOG_LINES_SHOWN   8
#define STOP_GRACE_MS     15000
#define COMMAND_MAX_BYTES ((size_t)1 << 20)
#define PROGRAM_NSENTER   "/usr/bin/nsenter"

static uint64_t now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

/* --- another program ------------------------------------------------------------------------------------- */

static int read_all(int fd, struct hm_buf *out)
{
    uint8_t bytes[4096];

    for (;;) {
        ssize_t got = read(fd, bytes, sizeof(bytes));

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? HM_EIO : 0;
        if (out->len + (size_t)got > COMMAND_MAX_BYTES)
            return HM_ELIMIT;
        if (hm_buf_append(out, bytes, (size_t)got) != 0)
            return HM_ENOMEM;
    }
}

/* Its last line that says something. */
static int command_failed(const char *program, struct hm_buf *said, struct hm_error *error)
{
    const char *text = hm_buf_cstr(said), *line;

    while (said->len > 0 && (text[said->len - 1] == '\n' || text[said->len - 1] == ' '))
        said->data[--said->len] = '\0';
    line = strrchr(text, '\n');
    return hm_fail(error, HM_EIO, "%s: %.300s", program,
                   line      ? line + 1
                   : text[0] ? text
                             : "it failed and says nothing");
}

/* input: where its standard input is; -1: it has none. */
static int command_run(const char *const *argv, int input, struct hm_buf *out,
                       struct hm_error *error)
{
    posix_spawn_file_actions_t actions;
    int ends[2], status = 0, rc;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return hm_fail_errno(error, HM_EIO, "no pipe for %s", argv[0]);
    rc = posix_spawn_file_actions_init(&actions);
    if (!rc) {
        rc = input >= 0 ? posix_spawn_file_actions_adddup2(&actions, input, 0)
                        : posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
        if (!rc)
            rc = posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
        if (!rc)
            rc = posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
        if (!rc)
            rc = posix_spawn(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv,
                             environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    if (rc) {
        close(ends[0]);
        errno = rc;
        return hm_fail_errno(error, HM_EIO, "cannot start %s", argv[0]);
    }
    rc = read_all(ends[0], out);
    close(ends[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (rc)
        return hm_fail(error, rc, "cannot read what %s says", argv[0]);
    return status == 0 ? 0 : command_failed(argv[0], out, error);
}

int nexus_cluster_command(const char *const *argv, struct hm_buf *out, struct hm_error *error)
{
    return command_run(argv, -1, out, error);
}

/* So little fits into a pipe that nobody reads yet. */
int nexus_cluster_command_fed(const char *const *argv, struct hm_slice input, struct hm_buf *out,
                              struct hm_error *error)
{
    int ends[2], rc;

    if (input.len > NEXUS_CLUSTER_INPUT_MAX)
        return hm_fail(error, HM_ELIMIT, "the input of %s is over %d bytes", argv[0],
                       NEXUS_CLUSTER_INPUT_MAX);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return hm_fail_errno(error, HM_EIO, "no pipe for %s", argv[0]);
    rc = hm_write_all(ends[1], input.data, input.len, error);
    close(ends[1]);
    if (!rc)
        rc = command_run(argv, ends[0], out, error);
    close(ends[0]);
    return rc;
}

/* --- asking a node --------------------------------------------------------------------------------------- */

pid_t nexus_cluster_pid(const struct nexus_cluster_node *node)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/" NEXUS_SOCKET_NAME, node->data);
    pid_t pid = 0;

    return path && nexus_socket_owner(path, &pid, NULL) == 0 ? pid : 0;
}

int nexus_cluster_ask(struct nexus_call *call, const struct nexus_cluster_node *node,
                      const char *method, const char *path, const json_t *body, json_t **reply,
                      struct hm_error *error)
{
    struct nexus_request request = {.method = method,
                                    .path = path,
                                    .json = body,
                                    .timeout_ms = strcmp(method, "GET") == 0 ? PROBE_TIMEOUT_MS
                                                                             : ACT_TIMEOUT_MS,
                                    .wake_fd = -1};
    struct nexus_client *client = NULL;
    struct nexus_place place;
    int rc = nexus_place_find(node->data, NULL, NULL, call->arena, &place, error);

    if (!rc)
        rc = nexus_client_open(&place, &client, error);
    if (!rc)
        rc = nexus_client_send(client, &request, reply, error);
    nexus_client_close(client);
    return rc;
}

/* --- starting -------------------------------------------------------------------------------------------- */

struct runs {
    struct nexus_call *call;
    const struct nexus_cluster *cluster;
    struct nexus_daemon daemons[NEXUS_CLUSTER_MAX]; /* pidfd -1: not started by this call */
    bool ready[NEXUS_CLUSTER_MAX];
    uint64_t said_ms;
    size_t said_at; /* of whom, and what */
    char said[HM_ERROR_TEXT_BYTES];
};

static void runs_release(struct runs *runs)
{
    for (size_t i = 0; i < NEXUS_CLUSTER_MAX; i++)
        nexus_daemon_release(&runs->daemons[i]);
}

static void runs_init(struct runs *runs, struct nexus_call *call,
                      const struct nexus_cluster *cluster)
{
    *runs = (struct runs){.call = call, .cluster = cluster};
    for (size_t i = 0; i < NEXUS_CLUSTER_MAX; i++)
        runs->daemons[i].pidfd = -1;
}

struct words {
    const char *argv[ARGV_MAX];
    size_t count;
};

static void add(struct words *words, const char *option, const char *value)
{
    if (words->count + 2 >= ARGV_MAX || !value || !value[0])
        return;
    words->argv[words->count++] = option;
    words->argv[words->count++] = value;
}

int nexus_cluster_words(struct nexus_call *call, const struct nexus_cluster *cluster, size_t at,
                        const char **argv, size_t room, size_t *count)
{
    const struct nexus_cluster_node *node = &cluster->nodes[at];
    struct words words = {.count = 0};
    char *peers = hm_arena_strdup(call->arena, cluster->peers ? cluster->peers : "");
    char *rest = NULL;

    if (!peers)
        return nexus_no_memory(call);
    add(&words, "--engine", "cometbft");
    add(&words, "--p2p-listen", node->p2p);
    add(&words, "--door-listen", node->door);
    add(&words, "--engine-metrics", node->metrics);
    add(&words, "--engine-path", cluster->engine_path);
    add(&words, "--snapshot-blocks", cluster->snapshot_blocks);
    for (size_t i = 0; i < cluster->count; i++)
        if (i != at)
            add(&words, "--p2p-peer",
                hm_arena_printf(call->arena, "%s@%s", cluster->nodes[i].node_id,
                                cluster->nodes[i].p2p));
    for (char *peer = strtok_r(peers, ",", &rest); peer; peer = strtok_r(NULL, ",", &rest))
        add(&words, "--p2p-peer", peer);
    if (*count + words.count + 1 > room)
        return hm_fail(&call->error, HM_ELIMIT, "%s has more words than its daemon can be given",
                       node->name);
    memcpy(argv + *count, words.argv, words.count * sizeof(words.argv[0]));
    *count += words.count;
    argv[*count] = NULL;
    return 0;
}

/* nsenter becomes the daemon, in the namespace, and leaves everything else as it is: `ip netns exec` would take the
 * machine's /sys away, and with it the sandboxes' control groups. */
static int node_words(struct runs *runs, size_t at, const char *program, struct words *words)
{
    const struct nexus_cluster *cluster = runs->cluster;
    const struct nexus_cluster_node *node = &cluster->nodes[at];
    struct hm_arena *arena = runs->call->arena;

    if (node->netns[0]) {
        words->argv[words->count++] = PROGRAM_NSENTER;
        words->argv[words->count++] = hm_arena_printf(arena, "--net=/run/netns/%s", node->netns);
        words->argv[words->count++] = "--";
    }
    words->argv[words->count++] = program;
    words->argv[words->count++] = "--keep";
    add(words, "--data", node->data);
    add(words, "--listen", "none");
    add(words, "--plot", cluster->plot);
    add(words, "--runtime", cluster->runtime);
    add(words, "--log-level", cluster->log_level);
    /* Of two the later one counts. */
    for (size_t i = 0; i < node->word_count && words->count + 1 < ARGV_MAX; i++)
        words->argv[words->count++] = node->words[i];
    return nexus_cluster_words(runs->call, cluster, at, words->argv, ARGV_MAX, &words->count);
}

static int start_node(struct runs *runs, size_t at, const char *program)
{
    const struct nexus_cluster_node *node = &runs->cluster->nodes[at];
    HM_AUTOFREE char *log_path = hm_asprintf("%s/" NEXUS_LOG_NAME, node->data);
    struct words words = {.count = 0};
    int rc;

    if (!log_path)
        return nexus_no_memory(runs->call);
    if (nexus_cluster_pid(node) > 0)
        return 0;
    pid_t keeper = nexus_keeper(node->data);
    if (keeper > 0)
        return nexus_keeper_wake(node->data, keeper, &runs->daemons[at], &runs->call->error);
    rc = node_words(runs, at, program, &words);
    if (!rc)
        rc = nexus_daemon_spawn(words.argv[0], (char *const *)(uintptr_t)words.argv, log_path,
                                &runs->daemons[at], &runs->call->error);
    return rc ? hm_error_prefix(&runs->call->error, rc, "%s", node->name) : 0;
}

static int ended_early(struct runs *runs, size_t at, int status)
{
    const struct nexus_cluster_node *node = &runs->cluster->nodes[at];
    const char *log_path = hm_arena_printf(runs->call->arena, "%s/" NEXUS_LOG_NAME, node->data);
    HM_CLEANUP(hm_buf) struct hm_buf tail = {0};
    HM_CLEANUP(hm_buf) struct hm_buf safe = {0};
    char *rest = NULL;

    if (!log_path)
        return nexus_no_memory(runs->call);
    if (nexus_log_tail(log_path, runs->daemons[at].log_start, LOG_LINES_SHOWN, &tail, NULL) == 0)
        for (char *line = strtok_r((char *)(uintptr_t)hm_buf_cstr(&tail), "\n", &rest); line;
             line = strtok_r(NULL, "\n", &rest))
            if (hm_buf_append_str(&safe, "  ") || nexus_text_append_safe(&safe, line) ||
                hm_buf_append_str(&safe, "\n"))
                break;
    (void)hm_write_all(2, safe.data, safe.len, NULL);
    runs->call->hint = hm_arena_printf(runs->call->arena, "the whole log is %s", log_path);
    return hm_fail(&runs->call->error, HM_EIO, "%s did not start (%s %d); its last words are above",
                   node->name, WIFSIGNALED(status) ? "signal" : "exit code",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

/* 0: ready; HM_EBUSY: not yet; else a failure. */
static int probe(struct runs *runs, size_t at, struct hm_error *why)
{
    const struct nexus_cluster_node *node = &runs->cluster->nodes[at];
    int status = 0;
    int rc;

    if (runs->ready[at])
        return 0;
    rc = nexus_cluster_ask(runs->call, node, "GET", "/readyz", NULL, NULL, why);
    if (rc == 0) {
        runs->ready[at] = true;
        nexus_say("%s is ready", node->name);
        return 0;
    }
    if (runs->daemons[at].pidfd >= 0 && nexus_daemon_ended(&runs->daemons[at], 0, &status))
        return ended_early(runs, at, status);
    /* It runs and has not opened its socket yet. */
    if (rc == NEXUS_EUNREACHABLE && runs->daemons[at].pidfd >= 0)
        (void)hm_fail(why, rc, "not ready: starting");
    return HM_EBUSY;
}

/* Each thing once, for as long as nothing changes. */
static void say_progress(struct runs *runs, size_t at, const struct hm_error *why)
{
    if (now_ms() - runs->said_ms < PROGRESS_EVERY_MS ||
        (at == runs->said_at && strcmp(why->text, runs->said) == 0))
        return;
    runs->said_ms = now_ms();
    runs->said_at = at;
    memcpy(runs->said, why->text, sizeof(runs->said));
    nexus_say("%s: %s", runs->cluster->nodes[at].name, why->text);
}

/* Ctrl-C: what was begun is taken back. */
static int taken_back(struct runs *runs)
{
    int status;

    nexus_say("stopping what was started");
    for (size_t i = 0; i < runs->cluster->count; i++)
        if (runs->daemons[i].pidfd >= 0)
            (void)syscall(SYS_pidfd_send_signal, runs->daemons[i].pidfd, SIGTERM, NULL, 0);
    for (size_t i = 0; i < runs->cluster->count; i++)
        if (runs->daemons[i].pidfd >= 0)
            (void)nexus_daemon_ended(&runs->daemons[i], STOP_GRACE_MS, &status);
    return NEXUS_EXIT_INTERRUPTED;
}

static int wait_ready(struct runs *runs, const size_t *chosen, size_t count, uint64_t end_ms)
{
    for (;;) {
        struct hm_error why = {0};
        size_t waiting = SIZE_MAX;

        for (size_t i = 0; i < count; i++) {
            struct hm_error one = {0};
            int rc = probe(runs, chosen[i], &one);

            if (rc && rc != HM_EBUSY)
                return rc;
            if (rc && waiting == SIZE_MAX) {
                waiting = chosen[i];
                why = one;
            }
        }
        if (waiting == SIZE_MAX)
            return 0;
        if (nexus_interrupt_seen())
            return taken_back(runs);
        if (now_ms() >= end_ms)
            return hm_fail(&runs->call->error, HM_ETIMEOUT, "%s is not ready yet: %.250s",
                           runs->cluster->nodes[waiting].name, why.text);
        say_progress(runs, waiting, &why);
        usleep(POLL_MS * 1000);
    }
}

int nexus_cluster_start(struct nexus_call *call, const struct nexus_cluster *cluster,
                        const size_t *chosen, size_t count, uint64_t wait_ms)
{
    const char *program = NULL;
    struct runs runs;
    int rc = nexus_daemon_find(call->arena, &program, &call->error);

    if (!rc)
        rc = nexus_cluster_net_up(call, cluster);
    if (!rc)
        rc = nexus_interrupt_open("\nnexus: left; nodes may be starting still\n", &call->error);
    if (rc)
        return rc;
    runs_init(&runs, call, cluster);
    for (size_t i = 0; !rc && i < count; i++)
        rc = start_node(&runs, chosen[i], program);
    if (!rc)
        rc = wait_ready(&runs, chosen, count, now_ms() + wait_ms);
    nexus_interrupt_close();
    runs_release(&runs);
    return rc;
}

/* --- stopping -------------------------------------------------------------------------------------------- */

/* All are asked before any is waited for: none is left to wait for the others' votes. */
static void ask_to_stop(struct nexus_call *call, const struct nexus_cluster_node *node,
                        struct nexus_daemon_end *end)
{
    pid_t pid = nexus_cluster_pid(node);
    struct hm_error error = {0};

    nexus_daemon_end_watch(end, pid, nexus_keeper(node->data));
    if (pid > 0 && nexus_cluster_ask(call, node, "POST", "/node/stop", NULL, NULL, &error) != 0) {
        nexus_say("%s: %s", node->name, error.text);
        if (end->pidfds[0] >= 0)
            (void)syscall(SYS_pidfd_send_signal, end->pidfds[0], SIGTERM, NULL, 0);
    }
    nexus_daemon_end_tell(end);
}

int nexus_cluster_stop(struct nexus_call *call, const struct nexus_cluster *cluster,
                       const size_t *chosen, size_t count, uint64_t wait_ms)
{
    struct nexus_daemon_end ends[NEXUS_CLUSTER_MAX];
    uint64_t end_ms = now_ms() + wait_ms;
    int rc = 0;

    for (size_t i = 0; i < count; i++)
        ask_to_stop(call, &cluster->nodes[chosen[i]], &ends[i]);
    for (size_t i = 0; i < count; i++) {
        uint64_t now = now_ms();
        const char *name = cluster->nodes[chosen[i]].name;
        bool ran = ends[i].pidfds[0] >= 0 || ends[i].pidfds[1] >= 0;

        if (!nexus_daemon_end_wait(&ends[i], now < end_ms ? end_ms - now : 0))
            rc = hm_fail(&call->error, HM_ETIMEOUT, "%s was asked to stop, and is still stopping",
                         name);
        else if (ran)
            nexus_say("%s has stopped", name);
        nexus_daemon_end_release(&ends[i]);
    }
    return rc;
}
