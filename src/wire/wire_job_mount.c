/* inputs and outputs: a folder of the machine and a folder of the container, either way round. */
#include "wire_job.h"
#include "wire_text.h"

#define ELEMENT_NAME_BYTES 48

/* A JobInput or JobOutput, whichever list it stands in. */
struct mount {
    const char *source;
    const char *target;
};

static bool is_input(const struct wire_job_field *field)
{
    return field->kind == &wire_job_kind_inputs;
}

static size_t mount_count(const Hypermesh__JobSpec *spec, bool input)
{
    return input ? spec->n_inputs : spec->n_outputs;
}

static struct mount mount_at(const Hypermesh__JobSpec *spec, bool input, size_t at)
{
    if (input)
        return (struct mount){spec->inputs[at]->source, spec->inputs[at]->target};
    return (struct mount){spec->outputs[at]->source, spec->outputs[at]->target};
}

static const char *mount_inner(struct mount mount, bool input)
{
    return input ? mount.target : mount.source;
}

static int mount_check_apart(const Hypermesh__JobSpec *spec, bool input, size_t at,
                             const char *what, bool other_input, struct hm_error *error)
{
    struct mount mount = mount_at(spec, input, at);

    for (size_t i = 0; i < mount_count(spec, other_input); i++) {
        struct mount other = mount_at(spec, other_input, i);
        const char *list = other_input ? "inputs" : "outputs";

        if (input == other_input && i >= at)
            break;
        if (wire_job_paths_overlap(mount_inner(mount, input), mount_inner(other, other_input)))
            return hm_fail(error, HM_EINVAL,
                           "%s: lies in, or holds, the folder of %s[%zu] in the container; "
                           "keep them apart",
                           what, list, i);
        if (!input && !other_input && strcmp(mount.target, other.target) == 0)
            return hm_fail(error, HM_EINVAL,
                           "%s: goes to the same folder of the machine as %s[%zu]", what, list, i);
    }
    return 0;
}

static int mount_check(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                       size_t at, struct hm_error *error)
{
    bool input = is_input(field);
    struct mount mount = mount_at(spec, input, at);
    char what[ELEMENT_NAME_BYTES];
    int rc;

    snprintf(what, sizeof(what), "%s[%zu].source", field->name, at);
    rc = input ? wire_job_rule_host_path(what, mount.source, error)
               : wire_job_rule_inner_path(what, mount.source, error);
    if (rc)
        return rc;
    snprintf(what, sizeof(what), "%s[%zu].target", field->name, at);
    rc = input ? wire_job_rule_inner_path(what, mount.target, error)
               : wire_job_rule_host_path(what, mount.target, error);
    if (rc)
        return rc;
    snprintf(what, sizeof(what), "%s[%zu]", field->name, at);
    rc = mount_check_apart(spec, input, at, what, input, error);
    return rc ? rc : mount_check_apart(spec, input, at, what, !input, error);
}

static int mounts_check(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                        struct hm_error *error)
{
    size_t count = mount_count(spec, is_input(field));

    if (count > WIRE_JOB_MOUNTS_MAX)
        return hm_fail(error, HM_ELIMIT, "%s: more than %d entries", field->name,
                       WIRE_JOB_MOUNTS_MAX);
    for (size_t i = 0; i < count; i++) {
        int rc = mount_check(spec, field, i, error);

        if (rc)
            return rc;
    }
    return 0;
}

/* Room for more entries; a new array, for the present one may be full. */
static int mounts_grow(struct wire_job_reader *reader, const struct wire_job_field *field,
                       size_t more)
{
    Hypermesh__JobSpec *spec = reader->spec;
    bool input = is_input(field);
    size_t count = mount_count(spec, input);
    size_t bytes;
    void *grown;

    if (count > WIRE_JOB_MOUNTS_MAX || more > WIRE_JOB_MOUNTS_MAX - count)
        return hm_fail(reader->error, HM_ELIMIT, "%s: more than %d entries", field->name,
                       WIRE_JOB_MOUNTS_MAX);
    bytes = count * sizeof(void *);
    grown = hm_arena_alloc(reader->arena, bytes + (more + 1) * sizeof(void *));
    if (!grown)
        return hm_fail(reader->error, HM_ENOMEM, "%s: no memory to keep it", field->name);
    if (bytes > 0)
        memcpy(grown, input ? (void *)spec->inputs : (void *)spec->outputs, bytes);
    if (input)
        spec->inputs = grown;
    else
        spec->outputs = grown;
    return 0;
}

/* Adds an entry of copied texts and checks it; room was made. Errors are not located. */
static int mount_push(struct wire_job_reader *reader, const struct wire_job_field *field,
                      struct mount mount)
{
    Hypermesh__JobSpec *spec = reader->spec;
    bool input = is_input(field);
    size_t at = mount_count(spec, input);
    char *source = wire_job_path_tidy(reader->arena, mount.source);
    char *target = wire_job_path_tidy(reader->arena, mount.target);
    Hypermesh__JobInput *in = input ? hm_arena_alloc(reader->arena, sizeof(*in)) : NULL;
    Hypermesh__JobOutput *out = input ? NULL : hm_arena_alloc(reader->arena, sizeof(*out));
    int rc;

    if (!source || !target || (!in && !out))
        return hm_fail(reader->error, HM_ENOMEM, "%s: no memory to keep it", field->name);
    if (in) {
        hypermesh__job_input__init(in);
        in->source = source;
        in->target = target;
        spec->inputs[at] = in;
        spec->n_inputs++;
    } else {
        hypermesh__job_output__init(out);
        out->source = source;
        out->target = target;
        spec->outputs[at] = out;
        spec->n_outputs++;
    }
    rc = mount_check(spec, field, at, reader->error);
    if (rc && input)
        spec->n_inputs--;
    else if (rc)
        spec->n_outputs--;
    return rc;
}

/* "SRC:/target", or "/src:TARGET". A folder of the machine may hold a colon, one of the container
 * may not in this form. Errors are not located. */
static int mount_push_text(struct wire_job_reader *reader, const struct wire_job_field *field,
                           const char *what, const char *text)
{
    const char *colon = strchr(text, ':');
    struct mount mount;
    char *source;

    while (is_input(field) && colon && strchr(colon + 1, ':'))
        colon = strchr(colon + 1, ':');
    if (!colon)
        return hm_fail(reader->error, HM_EINVAL, "%s: write it as %s", what,
                       is_input(field) ? "FOLDER:/FOLDER-IN-CONTAINER"
                                       : "/FOLDER-IN-CONTAINER:FOLDER");
    source = hm_arena_strdup(reader->arena, text);
    if (!source)
        return hm_fail(reader->error, HM_ENOMEM, "%s: no memory to keep it", what);
    source[colon - text] = '\0';
    mount.source = source;
    mount.target = source + (colon - text) + 1;
    return mount_push(reader, field, mount);
}

static int mounts_add(struct wire_job_reader *reader, const struct wire_job_field *field,
                      const char *text)
{
    int rc = mounts_grow(reader, field, 1);

    return rc ? rc : mount_push_text(reader, field, field->name, text);
}

static int mount_read_member(struct wire_job_reader *reader, const char *what,
                             const struct wire_yaml *member, struct mount *mount)
{
    static const char *const members[] = {"source", "target"};
    char name[ELEMENT_NAME_BYTES + sizeof(".source")];
    char shown[WIRE_SHOWN_BYTES];
    const char **place = NULL;

    if (strcmp(member->key->text, members[0]) == 0)
        place = &mount->source;
    else if (strcmp(member->key->text, members[1]) == 0)
        place = &mount->target;
    if (!place) {
        wire_shown(hm_slice_str(member->key->text), shown);
        return wire_job_refuse(reader, member->key, HM_EINVAL,
                               "%s: unknown field \"%s\"; it has source and target", what, shown);
    }
    snprintf(name, sizeof(name), "%s.%s", what, place == &mount->source ? "source" : "target");
    return wire_job_text(reader, member, name, place);
}

static int mount_read_map(struct wire_job_reader *reader, const struct wire_job_field *field,
                          const char *what, const struct wire_yaml *node)
{
    struct mount mount = {NULL, NULL};
    int rc = 0;

    for (const struct wire_yaml *member = node->first; member && !rc; member = member->next)
        rc = mount_read_member(reader, what, member, &mount);
    if (rc)
        return rc;
    if (!mount.source || !mount.target)
        return wire_job_refuse(reader, node, HM_EINVAL, "%s: has no %s", what,
                               mount.source ? "target" : "source");
    rc = mount_push(reader, field, mount);
    if (rc)
        wire_job_locate(reader, node);
    return rc;
}

static int mount_read(struct wire_job_reader *reader, const struct wire_job_field *field,
                      const struct wire_yaml *node)
{
    char what[ELEMENT_NAME_BYTES];
    const char *text = NULL;
    int rc;

    snprintf(what, sizeof(what), "%s[%zu]", field->name,
             mount_count(reader->spec, is_input(field)));
    if (node->kind == WIRE_YAML_MAP)
        return mount_read_map(reader, field, what, node);
    rc = wire_job_text(reader, node, what, &text);
    if (rc)
        return rc;
    rc = mount_push_text(reader, field, what, text);
    if (rc)
        wire_job_locate(reader, node);
    return rc;
}

static int mounts_read(struct wire_job_reader *reader, const struct wire_job_field *field,
                       const struct wire_yaml *node)
{
    int rc;

    if (is_input(field))
        reader->spec->n_inputs = 0;
    else
        reader->spec->n_outputs = 0;
    if (node->kind != WIRE_YAML_LIST)
        return wire_job_refuse(reader, node, HM_EINVAL, "%s: must be a %s", field->name,
                               field->kind->form);
    rc = mounts_grow(reader, field, node->count);
    if (rc)
        wire_job_locate(reader, node);
    for (const struct wire_yaml *item = node->first; item && !rc; item = item->next)
        rc = mount_read(reader, field, item);
    return rc;
}

static int mount_write(struct mount mount, struct hm_buf *out)
{
    int rc = hm_buf_append_str(out, "{\"source\": ");

    if (!rc)
        rc = wire_json_string(mount.source, out);
    if (!rc)
        rc = hm_buf_append_str(out, ", \"target\": ");
    if (!rc)
        rc = wire_json_string(mount.target, out);
    return rc ? rc : hm_buf_append_str(out, "}");
}

static int mounts_write(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                        struct hm_buf *out)
{
    bool input = is_input(field);
    size_t count = mount_count(spec, input);
    int rc = 0;

    for (size_t i = 0; i < count && !rc; i++) {
        rc = hm_buf_append_str(out, i == 0 ? "[" : ", ");
        if (!rc)
            rc = mount_write(mount_at(spec, input, i), out);
    }
    return rc || count == 0 ? rc : hm_buf_append_str(out, "]");
}

const struct wire_job_kind wire_job_kind_inputs = {
    .form = "list of {source, target} or `FOLDER:/FOLDER-IN-CONTAINER`",
    .read = mounts_read,
    .add = mounts_add,
    .check = mounts_check,
    .write = mounts_write};
const struct wire_job_kind wire_job_kind_outputs = {
    .form = "list of {source, target} or `/FOLDER-IN-CONTAINER:FOLDER`",
    .read = mounts_read,
    .add = mounts_add,
    .check = mounts_check,
    .write = mounts_write};
