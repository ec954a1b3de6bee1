/* Starts the daemon and waits until it is ready, telling what it is doing meanwhile. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "nexus_daemon.h"
#include "nexus_verbs.h"

#define READY_POLL_MS      100
#define READY_WAIT_MS      300000
#define LOG_LINES          12
#define ARGUMENTS_MAX      24

static const struct nexus_option options[] = {
    {.name = "listen",
     .value = "ADDR:PORT",
     .help = "HTTP address, loopback only; port 0 picks a free one, 'none' is the unix socket alone "
             "(127.0.0.1:7470)"},
    {.name = "plot", .value = "SIZE", .help = "space a new node commits (64M)"},
    {.name = "passphrase-file",
     .value = "FILE",
     .help = "seals the keys of a new node; needed to open sealed ones",
     .words = "@file"},
    {.name = "genesis", .value = "FILE", .help = "packed genesis of a new chain", .words = "@file"},
    {.name = "runtime", .value = "NAME", .help = "container runtime", .words = "crun runc"},
    {.name = "wait", .value = "TIME", .help = "how long to wait until it is ready (5m)"},
    {.name = "foreground", .help = "become the daemon instead of starting it"},
};

/* --- the command line of the daemon -------------------------------------------------------------- */

struct arguments {
    const char *list[ARGUMENTS_MAX + 1];
    size_t count;
};

static void argument(struct arguments *arguments, const char *name, const char *value)
{
    if (!value || arguments->count + 2 > ARGUMENTS_MAX)
        return;
    arguments->list[arguments->count++] = name;
    arguments->list[arguments->count++] = value;
}

/* The daemon's working folder may be another: files are named whole. */
static int argument_file(struct nexus_call *call, struct arguments *arguments, const char *name,
                         const char *option)
{
    const char *path = nexus_value(call, option);
    int rc = path ? nexus_path_absolute(path, call->arena, &path, &call->error) : 0;

    if (!rc)
        argument(arguments, name, path);
    return rc;
}

static int daemon_arguments(struct nexus_call *call, const char *program,
                            struct arguments *arguments)
{
    const char *listen = nexus_value(call, "listen");
    int rc;

    arguments->list[arguments->count++] = program;
    argument(arguments, "--data", call->place.data_dir);
    argument(arguments, "--listen", listen ? listen : NEXUS_LISTEN_DEFAULT);
    argument(arguments, "--plot", nexus_value(call, "plot"));
    argument(arguments, "--runtime", nexus_value(call, "runtime"));
    rc = argument_file(call, arguments, "--passphrase-file", "passphrase-file");
    return rc ? rc : argument_file(call, arguments, "--genesis", "genesis");
}

/* --- waiting ------------------------------------------------------------------------------------- */

/* What the node says it is doing, once each time it changes; percentages only on a terminal. */
static void tell(const char *doing, char last[HM_ERROR_TEXT_BYTES])
{
    const char *colon = strchr(doing, ':');
    size_t len = isatty(2) || !colon ? strlen(doing) : (size_t)(colon - doing);

    if (strncmp(last, doing, len) == 0 && last[len] == '\0')
        return;
    snprintf(last, HM_ERROR_TEXT_BYTES, "%.*s", (int)len, doing);
    nexus_say("%s", last);
}

static int show_failure(struct nexus_call *call, const struct nexus_daemon *daemon, const char *log)
{
    HM_CLEANUP(hm_buf) struct hm_buf tail = {0};

    if (nexus_log_tail(log, daemon->log_start, LOG_LINES, &tail, NULL) == 0)
        (void)hm_write_all(2, tail.data, tail.len, NULL);
    call->hint = hm_arena_printf(call->arena, "the whole log: %s", log);
    return hm_fail(&call->error, HM_EUNAVAILABLE, "%s has ended; its last words are above",
                   NEXUS_DAEMON_NAME);
}

/* 0: ready; HM_EBUSY: not yet. */
static int look(struct nexus_call *call, char last[HM_ERROR_TEXT_BYTES])
{
    struct hm_error error = {0};
    NEXUS_AUTOJSON json_t *status = NULL;
    int rc = nexus_client_call(call->client, "GET", "/node", NULL, &status, &error);

    if (rc || nexus_json_bool(status, "ready"))
        return rc ? HM_EBUSY : 0;
    tell(nexus_json_text(status, "not_ready"), last);
    return HM_EBUSY;
}

static int wait_ready(struct nexus_call *call, struct nexus_daemon *daemon, const char *log)
{
    char last[HM_ERROR_TEXT_BYTES] = "";
    uint64_t wait_ms = READY_WAIT_MS;
    int rc = nexus_value_ms(call, "wait", &wait_ms);
    uint64_t end_ns = hm_mono_ns(hm_clock_system()) + wait_ms * 1000000;

    while (!rc && hm_mono_ns(hm_clock_system()) < end_ns) {
        int status;

        if (look(call, last) == 0)
            return 0;
        if (nexus_daemon_ended(daemon, READY_POLL_MS, &status))
            return show_failure(call, daemon, log);
    }
    if (rc)
        return rc;
    call->hint = "it goes on starting; nexus status tells how far it is";
    return hm_fail(&call->error, HM_ETIMEOUT, "the node is not ready yet: %s", last);
}

/* --- the verb ------------------------------------------------------------------------------------ */

static int table_up(struct nexus_call *call, const json_t *status, struct hm_buf *out)
{
    struct nexus_table table;
    const char *listen = nexus_json_text(status, "listen");
    const json_t *warnings = nexus_json_list(status, "warnings");

    nexus_table_init(&table, nexus_fact_columns, 2, call->arena);
    nexus_fact(&table, "node", nexus_json_text(status, "node_account"));
    nexus_fact(&table, "chain", nexus_json_text(status, "chain_id"));
    nexus_fact(&table, "data", nexus_json_text(status, "data_dir"));
    if (listen[0])
        nexus_fact(&table, "http", hm_arena_printf(call->arena, "http://%s", listen));
    nexus_fact(&table, "sandbox", nexus_json_text(status, "sandbox"));
    for (size_t i = 0; i < json_array_size(warnings); i++)
        nexus_fact(&table, i == 0 ? "warnings" : "",
                   json_string_value(json_array_get(warnings, i)));
    return nexus_table_finish(call, &table, out);
}

static int show_node(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *status = NULL;
    int rc = nexus_ask(call, "GET", NULL, &status, "/node");

    return rc ? rc : nexus_show(call, status, table_up);
}

static int start(struct nexus_call *call, const struct arguments *arguments)
{
    struct nexus_daemon daemon;
    const char *log =
        hm_arena_printf(call->arena, "%s/%s", call->place.data_dir, NEXUS_LOG_NAME);
    int rc = log ? hm_mkdir_all(call->place.data_dir, 0700, &call->error) : nexus_no_memory(call);

    if (!rc)
        rc = nexus_daemon_spawn(arguments->list[0], (char *const *)(uintptr_t)arguments->list, log,
                                &daemon, &call->error);
    if (rc)
        return rc;
    rc = wait_ready(call, &daemon, log);
    nexus_daemon_release(&daemon);
    return rc ? rc : show_node(call);
}

static int run(struct nexus_call *call)
{
    struct arguments arguments = {0};
    const char *program;
    pid_t owner;
    int rc;

    if (call->place.url)
        return hm_fail(&call->error, HM_EINVAL,
                       "--url is for a node that runs; up starts one on this machine");
    rc = nexus_connect(call);
    if (rc)
        return rc;
    if (nexus_socket_owner(call->place.socket_path, &owner, NULL) == 0) {
        nexus_say("a node runs there already (process %d)", (int)owner);
        return show_node(call);
    }
    rc = nexus_daemon_find(call->arena, &program, &call->error);
    if (!rc)
        rc = daemon_arguments(call, program, &arguments);
    if (rc)
        return rc;
    if (!nexus_has(call, "foreground"))
        return start(call, &arguments);
    execv(program, (char *const *)(uintptr_t)arguments.list);
    return hm_fail_errno(&call->error, HM_EIO, "%s cannot be started", program);
}

const struct nexus_verb verb_up = {
    .name = "up",
    .summary = "Start a node on this machine and wait until it is ready",
    .text = "A new data folder gets keys, a chain of its own, a plot, and this machine's hardware as\n"
            "assets. A node that runs already is left alone.",
    .options = options,
    .option_count = HM_COUNT_OF(options),
    .run = run};
