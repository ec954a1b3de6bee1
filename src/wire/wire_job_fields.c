/* The table of a job's fields. Its order is that of the JSON and of docs/job-spec.md. */
#include "wire_job.h"

#define MEMBER(member) .offset = offsetof(Hypermesh__JobSpec, member)

const struct wire_job_field wire_job_fields[] = {
    {.name = "name",
     .kind = &wire_job_kind_text,
     MEMBER(name),
     .rule = wire_job_rule_name,
     .fallback_text = "from the image",
     .limits_text = "1-64 of a-z, 0-9, -",
     .meaning = "what lists and logs call the job"},
    {.name = "image",
     .kind = &wire_job_kind_text,
     MEMBER(image),
     .rule = wire_job_rule_image,
     .fallback_text = "required",
     .limits_text = "NAME or NAME:TAG, at most 255 characters",
     .meaning = "an imported image (`nexus image ls`)"},
    {.name = "command",
     .kind = &wire_job_kind_command,
     MEMBER(command),
     .fallback_text = "the image's own",
     .limits_text = "256 entries, 128 KiB in all",
     .meaning = "program and arguments"},
    {.name = "env",
     .kind = &wire_job_kind_env,
     MEMBER(env),
     .fallback_text = "none",
     .limits_text = "128 variables, 64 KiB in all",
     .meaning = "environment, added to the image's own"},
    {.name = "workdir",
     .kind = &wire_job_kind_path,
     MEMBER(workdir),
     .rule = wire_job_rule_workdir,
     .fallback_text = "the image's own, else /",
     .limits_text = "absolute, at most 1024 bytes",
     .meaning = "folder the command starts in"},
    {.name = "cpus",
     .kind = &wire_job_kind_decimal,
     MEMBER(cpu_milli),
     .digits = 3,
     .least = 10,
     .most = 1024 * 1000,
     .fallback = 1000,
     .meaning = "processors, or a part of one"},
    {.name = "memory",
     .kind = &wire_job_kind_size,
     MEMBER(memory_bytes),
     .wide = true,
     .least = (uint64_t)4 << 20,
     .most = (uint64_t)64 << 40,
     .fallback = (uint64_t)256 << 20,
     .meaning = "memory; a job that needs more is ended"},
    {.name = "storage",
     .kind = &wire_job_kind_size,
     MEMBER(storage_bytes),
     .wide = true,
     .least = (uint64_t)1 << 20,
     .most = (uint64_t)1024 << 40,
     .fallback = (uint64_t)1 << 30,
     .meaning = "room for what it writes, outputs included"},
    {.name = "gpus",
     .kind = &wire_job_kind_decimal,
     MEMBER(gpu_milli),
     .digits = 3,
     .least = 0,
     .most = 64 * 1000,
     .fallback = 0,
     .meaning = "graphics processors, or a part of one"},
    {.name = "pids",
     .kind = &wire_job_kind_count,
     MEMBER(pids),
     .least = 1,
     .most = 32768,
     .fallback = 256,
     .meaning = "processes and threads at once"},
    {.name = "timeout",
     .kind = &wire_job_kind_duration,
     MEMBER(timeout_ms),
     .wide = true,
     .least = 1000,
     .most = (uint64_t)24 * 3600 * 1000,
     .fallback = (uint64_t)10 * 60 * 1000,
     .meaning = "length of the lease; the job is ended then"},
    {.name = "network",
     .kind = &wire_job_kind_flag,
     MEMBER(network),
     .fallback_text = "false",
     .limits_text = "",
     .meaning = "whether it may reach the network"},
    {.name = "inputs",
     .kind = &wire_job_kind_inputs,
     MEMBER(inputs),
     .fallback_text = "none",
     .limits_text = "32 entries",
     .meaning = "folders of this machine it may read"},
    {.name = "outputs",
     .kind = &wire_job_kind_outputs,
     MEMBER(outputs),
     .fallback_text = "none",
     .limits_text = "32 entries",
     .meaning = "folders it may write, and where their content goes"},
    {.name = "max_price",
     .kind = &wire_job_kind_price,
     MEMBER(max_price),
     .digits = 9,
     .wide = true,
     .least = 0,
     .most = WIRE_JOB_MAX_PRICE,
     .fallback = 0,
     .meaning = "most it may cost in all; 0: any price"},
};
const size_t wire_job_field_count = HM_COUNT_OF(wire_job_fields);
_Static_assert(HM_COUNT_OF(wire_job_fields) <= WIRE_JOB_FIELDS_MAX, "raise WIRE_JOB_FIELDS_MAX");

const struct wire_job_field *wire_job_field_find(const char *name)
{
    for (size_t i = 0; i < wire_job_field_count; i++)
        if (strcmp(wire_job_fields[i].name, name) == 0)
            return &wire_job_fields[i];
    return NULL;
}

#define NEAREST_MAX_BYTES 32

/* Levenshtein's distance between two short texts. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t row[NEAREST_MAX_BYTES + 1];

    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

            diagonal = row[j];
            row[j] = change < shorter ? change : shorter;
        }
    }
    return row[b_len];
}

const char *wire_job_nearest(const char *text, const char *const *names, size_t count)
{
    size_t len = strlen(text);
    size_t best = len / 3 + 2; /* further away it is no misspelling */
    const char *nearest = NULL;

    if (len == 0 || len > NEAREST_MAX_BYTES)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t name_len = strlen(names[i]);
        size_t far = strncmp(names[i], text, len) == 0 ? 1 /* "mem" is the beginning of "memory" */
                                                       : distance(text, len, names[i], name_len);

        if (name_len <= NEAREST_MAX_BYTES && far < best) {
            best = far;
            nearest = names[i];
        }
    }
    return nearest;
}

static int table_row(const struct wire_job_field *field, struct hm_buf *out)
{
    const struct wire_job_kind *kind = field->kind;
    char least[40];
    char most[40];
    char fallback[40];

    if (!kind->format)
        return hm_buf_printf(out, "| `%s` | %s | %s | %s | %s |\n", field->name, kind->form,
                             field->fallback_text, field->limits_text, field->meaning);
    kind->format(field->least, field->digits, least);
    kind->format(field->most, field->digits, most);
    kind->format(field->fallback, field->digits, fallback);
    return hm_buf_printf(out, "| `%s` | %s | %s | %s to %s | %s |\n", field->name, kind->form,
                         fallback, least, most, field->meaning);
}

int wire_job_spec_table(struct hm_buf *out)
{
    int rc = hm_buf_append_str(out, "| field | written as | when left out | limits | meaning |\n"
                                    "| --- | --- | --- | --- | --- |\n");

    for (size_t i = 0; i < wire_job_field_count && !rc; i++)
        rc = table_row(&wire_job_fields[i], out);
    return rc ? HM_ENOMEM : 0;
}
