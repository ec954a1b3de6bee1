/* job ls, show, logs, wait, cancel. Jobs are named by id; the latest when none is named. */
#include <stdio.h>
#include <unistd.h>

#include "nexus_follow.h"
#include "nexus_interrupt.h"
#include "nexus_report.h"
#include "nexus_resolve.h"
#include "nexus_verbs.h"

#define LATEST     "latest"
#define JOBS_SHOWN 20

static const char *which(struct nexus_call *call)
{
    const char *id = nexus_operand(call, 0);

    return id ? id : LATEST;
}

/* "latest" could be another job by the next request. */
static int settle_id(struct nexus_call *call, const char **id)
{
    NEXUS_AUTOJSON json_t *record = NULL;
    int rc;

    *id = which(call);
    if (strcmp(*id, LATEST) != 0)
        return 0;
    rc = nexus_ask(call, "GET", NULL, &record, "/jobs/%s", LATEST);
    if (rc)
        return rc;
    *id = hm_arena_strdup(call->arena, nexus_json_text(record, "id"));
    return *id ? 0 : nexus_no_memory(call);
}

/* --- ls ------------------------------------------------------------------------------------------ */

static int table_jobs(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {{"JOB", false},   {"NAME", false},
                                                  {"IMAGE", false}, {"CREATED (UTC)", false},
                                                  {"RAN", true},    {"STATE", false}};
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *job = json_array_get(items, i);
        const json_t *spec = json_object_get(job, "spec");
        uint64_t started = nexus_json_u64(job, "started_ms");
        uint64_t ended = nexus_json_u64(job, "ended_ms");

        NEXUS_TABLE_ROW(
            &table, nexus_json_text(job, "id"), nexus_json_text(spec, "name"),
            nexus_json_text(spec, "image"),
            nexus_show_time(nexus_json_u64(job, "created_ms"), call->arena),
            started && ended >= started ? nexus_show_span_ms(ended - started, call->arena) : "-",
            nexus_report_outcome(job, call->arena));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_ls(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    uint64_t limit = JOBS_SHOWN;
    int rc = nexus_value_u64(call, "limit", &limit);

    if (!rc)
        rc = nexus_list(call, "/jobs", limit < NEXUS_LIST_MAX ? (size_t)limit : 0, &items);
    return rc ? rc : nexus_show(call, items, table_jobs);
}

static const struct nexus_option ls_options[] = {
    {.name = "limit", .value = "N", .help = "at most so many; default: 20"},
};

const struct nexus_verb verb_job_ls = {.group = "job",
                                       .name = "ls",
                                       .summary = "List jobs, newest first",
                                       .options = ls_options,
                                       .option_count = HM_COUNT_OF(ls_options),
                                       .run = run_ls};

/* --- show ---------------------------------------------------------------------------------------- */

static int table_job(struct nexus_call *call, const json_t *record, struct hm_buf *out)
{
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);

    return nexus_report(record, accounts, call->color, call->arena, out) ? nexus_no_memory(call)
                                                                         : 0;
}

static int run_show(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *record = NULL;
    int rc = nexus_ask(call, "GET", NULL, &record, "/jobs/%s", nexus_part(call, which(call)));

    return rc ? rc : nexus_show(call, record, table_job);
}

const struct nexus_verb verb_job_show = {
    .group = "job",
    .name = "show",
    .operands = "[JOB]",
    .operands_max = 1,
    .summary = "What happened in a job: lease, proofs, use, payment, blocks",
    .run = run_show};

/* --- logs ---------------------------------------------------------------------------------------- */

static int run_logs(struct nexus_call *call)
{
    struct nexus_follow follow = {
        .call = call, .grow = nexus_has(call, "follow"), .ends_at_pipe = true};
    int rc = nexus_connect(call);

    if (!rc)
        rc = settle_id(call, &follow.id);
    return rc ? rc : nexus_follow_output(&follow);
}

static const struct nexus_option logs_options[] = {
    {.name = "follow", .letter = 'f', .help = "go on until the job has ended"},
};

const struct nexus_verb verb_job_logs = {
    .group = "job",
    .name = "logs",
    .operands = "[JOB]",
    .operands_max = 1,
    .summary = "What a job wrote: its output to standard output, its errors to standard error",
    .options = logs_options,
    .option_count = HM_COUNT_OF(logs_options),
    .run = run_logs};

/* --- wait ---------------------------------------------------------------------------------------- */

static int run_wait(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *record = NULL;
    struct nexus_follow follow = {.call = call};
    uint64_t timeout_ms = 0;
    uint64_t deadline_ms = 0;
    int rc = nexus_value_ms(call, "timeout", &timeout_ms);

    if (rc)
        return rc;
    if (nexus_has(call, "timeout"))
        deadline_ms = hm_mono_ns(hm_clock_system()) / 1000000 + timeout_ms;
    rc = nexus_connect(call);
    if (!rc)
        rc = settle_id(call, &follow.id);
    if (!rc)
        rc = nexus_follow_end(&follow, deadline_ms, &record);
    if (!rc)
        rc = nexus_show(call, record, table_job);
    return rc ? rc : nexus_job_status(record);
}

static const struct nexus_option wait_options[] = {
    {.name = "timeout", .value = "TIME", .help = "wait no longer than this, such as 30s"},
};

const struct nexus_verb verb_job_wait = {
    .group = "job",
    .name = "wait",
    .operands = "[JOB]",
    .operands_max = 1,
    .job_status = true,
    .summary = "Wait until a job has ended and end with its exit code",
    .text = "Ends as `nexus run` does; with 125, too, when the job is not done in time.",
    .options = wait_options,
    .option_count = HM_COUNT_OF(wait_options),
    .run = run_wait};

/* --- cancel -------------------------------------------------------------------------------------- */

static int run_cancel(struct nexus_call *call)
{
    return nexus_ask(call, "DELETE", NULL, NULL, "/jobs/%s",
                     nexus_part(call, nexus_operand(call, 0)));
}

const struct nexus_verb verb_job_cancel = {
    .group = "job",
    .name = "cancel",
    .operands = "JOB",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "End a job; what it used is settled, the rest of the lease comes back",
    .run = run_cancel};
