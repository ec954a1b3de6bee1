#include "nexus_help.h"
#include "nexus_verbs.h"

/* `nexus help asset ls` is `nexus asset ls --help`: read again as a command line of its own. */
static int run_help(struct nexus_call *call)
{
    char *argv[4] = {(char *)(uintptr_t)("nexus"), NULL, NULL, NULL};
    struct nexus_line line = {0};
    struct nexus_call about = *call;
    int argc = 1;
    int rc;

    for (size_t i = 0; i < call->line->operand_count && i < 2; i++)
        argv[argc++] = (char *)(uintptr_t)call->line->operands[i];
    /* With --help among them, operands are not counted. */
    argv[argc++] = (char *)(uintptr_t)("--help");
    rc = nexus_line_parse(call->grammar, argc, argv, call->arena, &line, &call->error);
    if (!rc && line.operand_count > 0)
        rc = hm_fail(&call->error, HM_EINVAL, "%s is no group of verbs", line.verb->name);
    if (rc) {
        call->hint = "nexus help";
        return rc;
    }
    about.line = &line;
    return nexus_help_print(&about, stdout);
}

const struct nexus_verb verb_help = {.name = "help",
                                     .operands = "[VERB]",
                                     .operands_max = 2,
                                     .words = "@verb",
                                     .summary = "Help on a verb, or the list of them",
                                     .run = run_help};

static int table_version(struct nexus_call *call, const json_t *value, struct hm_buf *out)
{
    (void)value;
    return hm_buf_append_str(out, "nexus " HM_VERSION "\n") ? nexus_no_memory(call) : 0;
}

static int run_version(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *value = json_pack("{s:s}", "version", HM_VERSION);

    return value ? nexus_show(call, value, table_version) : nexus_no_memory(call);
}

const struct nexus_verb verb_version = {
    .name = "version", .summary = "The version of nexus", .run = run_version};
