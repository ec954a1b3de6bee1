/* A job's specification as a whole: read, completed, checked, written. */
#include "wire_job.h"
#include "wire_text.h"

static const struct wire_yaml_limits job_yaml_limits = {.bytes = WIRE_JOB_SPEC_MAX_BYTES,
                                                        .depth = WIRE_JOB_SPEC_MAX_DEPTH,
                                                        .nodes = WIRE_JOB_SPEC_MAX_NODES};

void wire_job_spec_init(Hypermesh__JobSpec *spec)
{
    hypermesh__job_spec__init(spec);
    for (size_t i = 0; i < wire_job_field_count; i++) {
        const struct wire_job_field *field = &wire_job_fields[i];
        char *member = (char *)spec + field->offset;
        uint32_t narrow = (uint32_t)field->fallback;

        if (!field->kind->parse)
            continue;
        if (field->wide)
            memcpy(member, &field->fallback, sizeof(field->fallback));
        else
            memcpy(member, &narrow, sizeof(narrow));
    }
}

int wire_job_spec_check(const Hypermesh__JobSpec *spec, struct hm_error *error)
{
    for (size_t i = 0; i < wire_job_field_count; i++) {
        int rc = wire_job_fields[i].kind->check(spec, &wire_job_fields[i], error);

        if (rc)
            return rc;
    }
    return 0;
}

/* "registry/tools/word_count:2" is called "word-count". */
static char *name_from_image(const char *image, struct hm_arena *arena)
{
    const char *slash = strrchr(image, '/');
    const char *last = slash ? slash + 1 : image;
    size_t len = strcspn(last, ":");
    char *name;

    if (len > WIRE_JOB_NAME_MAX_BYTES)
        len = WIRE_JOB_NAME_MAX_BYTES;
    name = hm_arena_alloc(arena, len + 1);
    if (!name)
        return NULL;
    for (size_t i = 0; i < len; i++)
        name[i] = last[i] == '.' || last[i] == '_' ? '-' : last[i];
    return name;
}

int wire_job_spec_complete(Hypermesh__JobSpec *spec, struct hm_arena *arena, struct hm_error *error)
{
    int rc = wire_job_rule_image("image", spec->image, error);

    if (rc)
        return rc;
    if (spec->name[0] == '\0') {
        char *name = name_from_image(spec->image, arena);

        if (!name)
            return hm_fail(error, HM_ENOMEM, "name: no memory to keep it");
        spec->name = name;
    }
    return wire_job_spec_check(spec, error);
}

static int unknown_field(struct wire_job_reader *reader, const struct wire_yaml *key,
                         const char *name)
{
    const char *names[WIRE_JOB_FIELDS_MAX];
    char shown[WIRE_SHOWN_BYTES];
    const char *nearest;

    for (size_t i = 0; i < wire_job_field_count; i++)
        names[i] = wire_job_fields[i].name;
    nearest = wire_job_nearest(name, names, wire_job_field_count);
    wire_shown(hm_slice_str(name), shown);
    if (nearest)
        hm_fail(reader->error, HM_EINVAL, "%s: there is no such field; did you mean %s?", shown,
                nearest);
    else
        hm_fail(reader->error, HM_EINVAL,
                "%s: there is no such field; a job has image, command, cpus, memory, timeout, "
                "inputs, outputs and more (docs/job-spec.md)",
                shown);
    if (key)
        wire_job_locate(reader, key);
    return HM_EINVAL;
}

static int read_fields(struct wire_job_reader *reader, const struct wire_yaml *root)
{
    for (const struct wire_yaml *value = root->first; value; value = value->next) {
        const struct wire_job_field *field = wire_job_field_find(value->key->text);
        int rc;

        if (!field)
            return unknown_field(reader, value->key, value->key->text);
        rc = field->kind->read(reader, field, value);
        if (rc)
            return rc;
        rc = field->kind->check(reader->spec, field, reader->error);
        if (rc) {
            wire_job_locate(reader, value);
            return rc;
        }
    }
    return 0;
}

int wire_job_spec_parse(struct hm_slice text, const char *name, struct hm_arena *arena,
                        Hypermesh__JobSpec **out, struct hm_error *error)
{
    struct wire_job_reader reader = {.name = name, .arena = arena, .error = error};
    const struct wire_yaml *root = NULL;
    int rc = wire_yaml_parse(text, name, &job_yaml_limits, arena, &root, error);

    if (rc)
        return rc;
    if (root->kind != WIRE_YAML_MAP)
        return wire_job_refuse(&reader, root, HM_EPARSE,
                               "a job is a mapping of fields, such as \"image: busybox\"");
    reader.spec = hm_arena_alloc(arena, sizeof(*reader.spec));
    if (!reader.spec)
        return hm_fail(error, HM_ENOMEM, "%s: no memory to read it", name);
    wire_job_spec_init(reader.spec);
    rc = read_fields(&reader, root);
    if (rc)
        return rc;
    rc = wire_job_spec_complete(reader.spec, arena, error);
    if (rc) {
        wire_job_locate(&reader, root);
        return rc;
    }
    *out = reader.spec;
    return 0;
}

int wire_job_spec_set(Hypermesh__JobSpec *spec, const char *field_name, const char *text,
                      struct hm_arena *arena, struct hm_error *error)
{
    Hypermesh__JobSpec changed = *spec;
    struct wire_job_reader reader = {.arena = arena, .spec = &changed, .error = error};
    struct wire_yaml node = {.kind = WIRE_YAML_TEXT, .quoted = true, .text = text};
    const struct wire_job_field *field = wire_job_field_find(field_name);
    int rc;

    if (!field)
        return unknown_field(&reader, NULL, field_name);
    if (!wire_text_valid(hm_slice_str(text)))
        return hm_fail(error, HM_EINVAL, "%s: is not UTF-8", field->name);
    if (field->kind->add)
        rc = field->kind->add(&reader, field, text);
    else
        rc = field->kind->read(&reader, field, &node);
    if (!rc)
        rc = field->kind->check(&changed, field, error);
    if (!rc)
        *spec = changed;
    return rc;
}

static int write_field(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                       bool first, struct hm_buf *out)
{
    size_t before = out->len;
    size_t opened;
    int rc = hm_buf_printf(out, "%s\"%s\": ", first ? "" : ", ", field->name);

    if (rc)
        return rc;
    opened = out->len;
    rc = field->kind->write(spec, field, out);
    if (!rc && out->len == opened)
        out->len = before; /* absent */
    return rc;
}

int wire_job_spec_json(const Hypermesh__JobSpec *spec, struct hm_buf *out)
{
    size_t start = out->len;
    int rc = hm_buf_append_str(out, "{");

    for (size_t i = 0; i < wire_job_field_count && !rc; i++)
        rc = write_field(spec, &wire_job_fields[i], out->len == start + 1, out);
    if (!rc)
        rc = hm_buf_append_str(out, "}");
    if (!rc && out->len - start > WIRE_JOB_SPEC_MAX_BYTES)
        rc = HM_ELIMIT;
    if (rc)
        out->len = start;
    return rc;
}
