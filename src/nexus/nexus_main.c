/* From the command line to a verb and back: set-up, errors, exit codes. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "nexus_call.h"
#include "nexus_cluster.h"
#include "nexus_fresh.h"
#include "nexus_help.h"
#include "nexus_text.h"
#include "nexus_wipe.h"

enum nexus_exit nexus_exit_of(int error_code)
{
    switch (error_code) {
    case 0:
        return NEXUS_EXIT_OK;
    case HM_EINVAL:
    case HM_EPARSE:
    case HM_ERANGE:
        return NEXUS_EXIT_USAGE;
    case NEXUS_EUNREACHABLE:
        return NEXUS_EXIT_UNREACHABLE;
    case HM_ENOTFOUND:
        return NEXUS_EXIT_NOT_FOUND;
    case HM_EPERM:
    case HM_EAUTH:
    case HM_EFUNDS:
    case HM_EEXIST:
    case HM_ECONFLICT:
    case HM_EPROOF_SPACE:
    case HM_EPROOF_STAKE:
    case HM_EPROOF_WORK:
    case HM_EPROOF_TIME:
        return NEXUS_EXIT_REFUSED;
    default:
        return NEXUS_EXIT_FAILED;
    }
}

/* What to do about it, where the code alone tells. */
static const char *hint_of(const struct nexus_call *call, int code)
{
    if (call->hint)
        return call->hint;
    const char *start = code == NEXUS_EUNREACHABLE && !call->place.url
                            ? nexus_cluster_above_start(call)
                            : NULL;
    if (start)
        return hm_arena_printf(call->arena, "%s starts this node of a cluster", start);
    if (code == NEXUS_EUNREACHABLE)
        return "nexus up starts a node; --data DIR or --url names another one; nexus doctor looks "
               "closer";
    if (code == HM_EAUTH)
        return "--token-file names the file that holds the node's token (DIR/api.token)";
    return NULL;
}

static void print_error(const struct nexus_call *call, int code)
{
    const char *hint = hint_of(call, code);

    nexus_say("%s", call->error.text[0] ? call->error.text : hm_error_title(code));
    if (hint)
        fprintf(stderr, "hint: %s\n", hint);
}

static bool want_color(const struct nexus_call *call)
{
    const char *no_color = getenv("NO_COLOR"); /* https://no-color.org */
    const char *term = getenv("TERM");

    return isatty(1) && !(no_color && no_color[0]) && !(term && strcmp(term, "dumb") == 0) &&
           !nexus_has(call, "no-color");
}

static int call_set_up(struct nexus_call *call)
{
    const char *format = nexus_value(call, "format");

    if (format && strcmp(format, "json") == 0)
        call->format = NEXUS_FORMAT_JSON;
    else if (format && strcmp(format, "yaml") == 0)
        call->format = NEXUS_FORMAT_YAML;
    call->color = want_color(call);
    return nexus_place_find(nexus_value(call, "data"), nexus_value(call, "url"),
                            nexus_value(call, "token-file"), call->arena, &call->place,
                            &call->error);
}

static int call_verb(struct nexus_call *call)
{
    const struct nexus_line *line = call->line;
    int rc;

    if (nexus_has(call, "version"))
        return printf("nexus %s\n", HM_VERSION) < 0 ? NEXUS_EXIT_FAILED : 0;
    if (nexus_has(call, "help"))
        return nexus_help_print(call, stdout);
    if (!line->verb) {
        nexus_help_print(call, stderr);
        return NEXUS_EXIT_USAGE;
    }
    rc = call_set_up(call);
    return rc ? rc : line->verb->run(call);
}

/* `run` ends with the job's exit code, so its own failures need one that jobs seldom use. */
static int exit_status(const struct nexus_call *call, int rc)
{
    if (rc >= 0)
        return rc;
    if (call->line->verb && call->line->verb->job_status)
        return NEXUS_EXIT_JOB_NOT_RUN;
    return (int)nexus_exit_of(rc);
}

int nexus_main(int argc, char **argv)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct nexus_line line;
    struct nexus_call call = {.grammar = nexus_grammar(), .line = &line, .arena = &arena};
    int rc;

    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error like others */
    json_set_alloc_funcs(hm_malloc, nexus_wipe_free);
    hm_arena_init(&arena, 0);
    rc = nexus_line_parse(call.grammar, argc, argv, &arena, &line, &call.error);
    if (rc)
        call.hint = nexus_help_hint(&line, &arena);
    else
        rc = call_verb(&call);
    if (rc < 0)
        print_error(&call, rc);
    if (rc == 0 || rc == HM_ENOTFOUND) /* that there is none is an answer, too */
        nexus_fresh_say(&call);
    nexus_client_close(call.client);
    if (fflush(stdout) != 0 && rc == 0)
        rc = NEXUS_EXIT_FAILED;
    return exit_status(&call, rc);
}
