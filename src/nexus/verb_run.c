/* The main flow: a specification from a file and flags, sent; its output as it comes; what happened. */
#include <stdio.h>
#include <unistd.h>

#include "nexus_follow.h"
#include "nexus_interrupt.h"
#include "nexus_report.h"
#include "nexus_resolve.h"
#include "nexus_run.h"
#include "nexus_verbs.h"
#include "wire.h"

#define BASE_IMAGE "busybox"

static const struct nexus_option options[] = {
    {.name = "file",
     .letter = 'f',
     .value = "FILE",
     .help = "job specification in YAML or JSON; - is standard input",
     .words = "@file"},
    {.name = "image", .value = "NAME", .help = "container image (nexus image ls)"},
    {.name = "name", .value = "NAME", .help = "what lists call the job"},
    {.name = "cpus", .value = "N", .help = "processors, such as 0.5"},
    {.name = "memory", .value = "SIZE", .help = "memory, such as 64M"},
    {.name = "storage", .value = "SIZE", .help = "room for what it writes, such as 1G"},
    {.name = "gpus", .value = "N", .help = "graphics processors, such as 0.5"},
    {.name = "pids", .value = "N", .help = "processes and threads at once"},
    {.name = "timeout", .value = "TIME", .help = "length of the lease, such as 30s"},
    {.name = "network", .help = "let it reach the network"},
    {.name = "env", .letter = 'e', .value = "NAME=VALUE", .help = "environment", .many = true},
    {.name = "workdir", .letter = 'w', .value = "DIR", .help = "folder the command starts in"},
    {.name = "input",
     .value = "FOLDER:/DIR",
     .help = "folder of this machine, read-only in the container",
     .words = "@folder",
     .many = true},
    {.name = "output",
     .value = "/DIR:FOLDER",
     .help = "folder of the container, copied here at the end",
     .many = true},
    {.name = "max-price", .value = "HYPER", .help = "most it may cost in all"},
    {.name = "account", .value = "NAME", .help = "who pays; default: user"},
    {.name = "detach", .letter = 'd', .help = "print the job's id and leave it to run"},
    {.name = "quiet", .letter = 'q', .help = "no report at the end"},
};

/* --- the image that is always to be had ---------------------------------------------------------- */

static bool is_base_image(const char *image)
{
    return strcmp(image, BASE_IMAGE) == 0 || strcmp(image, BASE_IMAGE ":latest") == 0;
}

static bool image_listed(const json_t *items)
{
    for (size_t i = 0; i < json_array_size(items); i++)
        if (is_base_image(nexus_json_text(json_array_get(items, i), "name")))
            return true;
    return false;
}

static int ensure_base_image(struct nexus_call *call, const char *image)
{
    NEXUS_AUTOJSON json_t *images = NULL;
    int rc;

    if (!is_base_image(image))
        return 0;
    rc = nexus_items(call, "/images", &images);
    if (rc || image_listed(images))
        return rc;
    nexus_say("making image %s from this machine's static busybox", BASE_IMAGE);
    return nexus_ask(call, "POST", NULL, NULL, "/images/base");
}

/* --- the job ------------------------------------------------------------------------------------- */

static int submit(struct nexus_call *call, const Hypermesh__JobSpec *spec, json_t **record)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    const char *path = "/jobs";
    int rc = wire_job_spec_json(spec, &body);

    if (rc)
        return hm_fail(&call->error, rc, "the specification cannot be written as JSON");
    rc = nexus_query(call, &path, "account", nexus_value(call, "account"));
    if (rc)
        return rc;
    struct nexus_request request = {.method = "POST",
                                    .path = path,
                                    .bytes = hm_buf_slice(&body),
                                    .type = "application/json",
                                    .wake_fd = -1};

    return nexus_client_send(call->client, &request, record, &call->error);
}

static int print_detached(struct nexus_call *call, const json_t *record, struct hm_buf *out)
{
    return hm_buf_printf(out, "%s\n", nexus_json_text(record, "id")) ? nexus_no_memory(call) : 0;
}

/* The report goes to standard error: standard output holds only what the job wrote. */
static int print_report(struct nexus_call *call, const json_t *record)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    NEXUS_AUTOJSON json_t *accounts = NULL;

    if (nexus_has(call, "quiet"))
        return 0;
    if (call->format != NEXUS_FORMAT_TABLE)
        return nexus_show(call, record, NULL);
    accounts = nexus_accounts(call);
    if (hm_buf_append_str(&text, "\n") != 0 ||
        nexus_report(record, accounts, call->color && isatty(2), call->arena, &text) != 0)
        return nexus_no_memory(call);
    return hm_write_all(2, text.data, text.len, &call->error);
}

static int follow(struct nexus_call *call, const char *id)
{
    NEXUS_AUTOJSON json_t *record = NULL;
    struct nexus_follow follow = {.call = call, .id = id, .grow = true, .cancels = true};
    char last_words[NEXUS_LAST_WORDS_BYTES];
    int rc;

    snprintf(last_words, sizeof(last_words),
             "\nnexus: left; nexus job show %s tells what became of it, nexus job cancel ends it\n",
             id);
    rc = nexus_interrupt_open(last_words, &call->error);
    if (!rc)
        rc = nexus_follow_output(&follow);
    if (!rc)
        rc = nexus_follow_end(&follow, 0, &record);
    nexus_interrupt_close();
    if (rc) {
        call->hint = hm_arena_printf(call->arena, "nexus job show %s tells what became of it", id);
        return rc;
    }
    rc = print_report(call, record);
    return rc ? rc : nexus_job_status(record);
}

static int run(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *record = NULL;
    Hypermesh__JobSpec *spec = NULL;
    const char *id;
    int rc = nexus_run_spec(call, &spec);

    if (!rc)
        rc = nexus_connect(call);
    if (!rc)
        rc = ensure_base_image(call, spec->image);
    if (!rc)
        rc = submit(call, spec, &record);
    if (rc)
        return rc;
    if (nexus_has(call, "detach"))
        return nexus_show(call, record, print_detached);
    id = nexus_json_text(record, "id");
    if (id[0] == '\0')
        return hm_fail(&call->error, HM_EPARSE, "the node's answer names no job");
    if (!nexus_has(call, "quiet"))
        nexus_say("job %s (%s)", id, spec->name);
    return follow(call, id);
}

const struct nexus_verb verb_run = {
    .name = "run",
    .operands = "[--] [COMMAND ARGUMENT...]",
    .operands_max = NEXUS_ARGUMENTS_MAX,
    .command = true,
    .job_status = true,
    .summary = "Lease a part of a machine, run a job in it, settle, show what happened",
    .text =
        "The job comes from a file (-f), from options, or from both: options win. Its output "
        "comes\n"
        "as it is written; the report goes to standard error. Ctrl-C cancels the job, which is\n"
        "settled for what it used.\n"
        "\n"
        "Ends with the job's exit code; 124 when it ran out of time, 130 when it was cancelled,\n"
        "125 when the command was not run.",
    .options = options,
    .option_count = HM_COUNT_OF(options),
    .run = run};
