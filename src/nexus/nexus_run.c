#include "nexus_run.h"

#include <string.h>

#include "nexus_place.h"

/* Options that set one field each. */
static const struct {
    const char *option;
    const char *field;
} singles[] = {
    {"image", "image"},     {"name", "name"},           {"cpus", "cpus"}, {"memory", "memory"},
    {"storage", "storage"}, {"gpus", "gpus"},           {"pids", "pids"}, {"timeout", "timeout"},
    {"workdir", "workdir"}, {"max-price", "max_price"},
};

static int spec_from_file(struct nexus_call *call, const char *path, Hypermesh__JobSpec **out)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    bool from_stdin = strcmp(path, "-") == 0;
    int rc = from_stdin ? nexus_read_input(call, WIRE_JOB_SPEC_MAX_BYTES, &text)
                        : hm_file_read(path, WIRE_JOB_SPEC_MAX_BYTES, &text, &call->error);

    return rc ? rc
              : wire_job_spec_parse(hm_buf_slice(&text), from_stdin ? "standard input" : path,
                                    call->arena, out, &call->error);
}

/* The option's name says more than the field's: "--max-price". */
static int set_field(struct nexus_call *call, Hypermesh__JobSpec *spec, const char *option,
                     const char *field, const char *text)
{
    int rc = wire_job_spec_set(spec, field, text, call->arena, &call->error);

    return rc ? hm_error_prefix(&call->error, rc, "--%s %s", option, text) : 0;
}

static void drop_env(Hypermesh__JobSpec *spec, const char *setting)
{
    size_t len = strcspn(setting, "=");
    size_t kept = 0;

    for (size_t i = 0; i < spec->n_env; i++) {
        const char *name = spec->env[i]->name;

        if (strlen(name) != len || memcmp(name, setting, len) != 0)
            spec->env[kept++] = spec->env[i];
    }
    spec->n_env = kept;
}

static int set_lists(struct nexus_call *call, Hypermesh__JobSpec *spec)
{
    static const char *const lists[][2] = {
        {"env", "env"}, {"input", "inputs"}, {"output", "outputs"}};
    int rc = 0;

    for (size_t i = 0; i < HM_COUNT_OF(lists) && !rc; i++) {
        size_t at = 0;
        const char *text;

        while (!rc && (text = nexus_line_next(call->line, lists[i][0], &at))) {
            if (i == 0)
                drop_env(spec, text); /* of the file, or an earlier one */
            rc = set_field(call, spec, lists[i][0], lists[i][1], text);
        }
    }
    return rc;
}

static int set_command(struct nexus_call *call, Hypermesh__JobSpec *spec)
{
    int rc = 0;

    if (call->line->operand_count > 0)
        spec->n_command = 0;
    for (size_t i = 0; i < call->line->operand_count && !rc; i++)
        rc = wire_job_spec_set(spec, "command", call->line->operands[i], call->arena, &call->error);
    return rc;
}

/* The node's working folder is not the user's. */
static int make_absolute(struct nexus_call *call, Hypermesh__JobSpec *spec)
{
    int rc = 0;

    for (size_t i = 0; i < spec->n_inputs && !rc; i++) {
        const char *path = NULL;

        rc = nexus_path_absolute(spec->inputs[i]->source, call->arena, &path, &call->error);
        if (!rc)
            spec->inputs[i]->source = (char *)(uintptr_t)path;
    }
    for (size_t i = 0; i < spec->n_outputs && !rc; i++) {
        const char *path = NULL;

        rc = nexus_path_absolute(spec->outputs[i]->target, call->arena, &path, &call->error);
        if (!rc)
            spec->outputs[i]->target = (char *)(uintptr_t)path;
    }
    return rc;
}

static int spec_begin(struct nexus_call *call, Hypermesh__JobSpec **out)
{
    const char *file = nexus_value(call, "file");

    if (file)
        return spec_from_file(call, file, out);
    if (!nexus_has(call, "image")) {
        call->hint =
            "nexus run -f examples/wordcount.yaml, or nexus run --image busybox -- uname -a";
        return hm_fail(&call->error, HM_EINVAL, "nothing to run: give -f FILE or --image NAME");
    }
    *out = hm_arena_alloc(call->arena, sizeof(**out));
    if (!*out)
        return nexus_no_memory(call);
    wire_job_spec_init(*out);
    return 0;
}

int nexus_run_spec(struct nexus_call *call, Hypermesh__JobSpec **out)
{
    Hypermesh__JobSpec *spec = NULL;
    int rc = spec_begin(call, &spec);

    for (size_t i = 0; i < HM_COUNT_OF(singles) && !rc; i++) {
        const char *text = nexus_value(call, singles[i].option);

        if (text)
            rc = set_field(call, spec, singles[i].option, singles[i].field, text);
    }
    if (!rc && nexus_has(call, "network"))
        rc = set_field(call, spec, "network", "network", "true");
    if (!rc)
        rc = set_lists(call, spec);
    if (!rc)
        rc = set_command(call, spec);
    if (!rc)
        rc = make_absolute(call, spec);
    if (!rc)
        rc = wire_job_spec_complete(spec, call->arena, &call->error);
    if (rc)
        return rc;
    *out = spec;
    return 0;
}
