/* Fields that hold several values: command, env, inputs, outputs. */
#include "wire_job.h"
#include "wire_text.h"

#define ELEMENT_NAME_BYTES 96

/* Makes room for more elements behind the present ones. Always a new array: what is there may have
 * come from an unpacked message and be full. */
static int list_grow(struct wire_job_reader *reader, const char *name, void *array_member,
                     size_t count, size_t more, size_t most)
{
    void *old;
    void **grown;

    memcpy(&old, array_member, sizeof(old));
    if (count > most || more > most - count)
        return hm_fail(reader->error, HM_ELIMIT, "%s: more than %zu entries", name, most);
    grown = hm_arena_alloc(reader->arena, (count + more + 1) * sizeof(*grown));
    if (!grown)
        return hm_fail(reader->error, HM_ENOMEM, "%s: no memory to keep it", name);
    if (count > 0)
        memcpy(grown, old, count * sizeof(*grown));
    memcpy(array_member, &grown, sizeof(grown));
    return 0;
}

static int no_memory(struct wire_job_reader *reader, const char *name)
{
    return hm_fail(reader->error, HM_ENOMEM, "%s: no memory to keep it", name);
}

static int want_kind(struct wire_job_reader *reader, const struct wire_yaml *node, const char *name,
                     enum wire_yaml_kind kind, const char *otherwise)
{
    if (node->kind == kind)
        return 0;
    return wire_job_refuse(reader, node, HM_EINVAL, "%s: must be %s", name, otherwise);
}

/* --- command ------------------------------------------------------------------------------------ */

static int command_check(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                         struct hm_error *error)
{
    size_t bytes = 0;

    if (spec->n_command > WIRE_JOB_COMMAND_MAX)
        return hm_fail(error, HM_ELIMIT, "%s: more than %d entries", field->name,
                       WIRE_JOB_COMMAND_MAX);
    for (size_t i = 0; i < spec->n_command; i++) {
        if (!wire_text_valid(hm_slice_str(spec->command[i])))
            return hm_fail(error, HM_EINVAL, "%s[%zu]: is not UTF-8", field->name, i);
        bytes += strlen(spec->command[i]) + 1;
    }
    if (bytes > WIRE_JOB_COMMAND_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "%s: longer than %d bytes in all", field->name,
                       WIRE_JOB_COMMAND_MAX_BYTES);
    if (spec->n_command > 0 && spec->command[0][0] == '\0')
        return hm_fail(error, HM_EINVAL, "%s: the program's name is empty", field->name);
    return 0;
}

static int command_push(struct wire_job_reader *reader, const struct wire_job_field *field,
                        const char *text)
{
    char *copy = hm_arena_strdup(reader->arena, text);

    if (!copy)
        return no_memory(reader, field->name);
    reader->spec->command[reader->spec->n_command++] = copy;
    return 0;
}

static int command_grow(struct wire_job_reader *reader, const struct wire_job_field *field,
                        size_t more)
{
    return list_grow(reader, field->name, &reader->spec->command, reader->spec->n_command, more,
                     WIRE_JOB_COMMAND_MAX);
}

static int command_add(struct wire_job_reader *reader, const struct wire_job_field *field,
                       const char *text)
{
    int rc = command_grow(reader, field, 1);

    return rc ? rc : command_push(reader, field, text);
}

/* A single text is a line for the shell. */
static int command_read_line(struct wire_job_reader *reader, const struct wire_job_field *field,
                             const struct wire_yaml *node)
{
    const char *text = NULL;
    int rc = wire_job_text(reader, node, field->name, &text);

    if (!rc && text[0] == '\0')
        rc = wire_job_refuse(reader, node, HM_EINVAL,
                             "%s: is empty; leave it out to run what the image names", field->name);
    if (!rc)
        rc = command_grow(reader, field, 3);
    if (!rc)
        rc = command_push(reader, field, "sh");
    if (!rc)
        rc = command_push(reader, field, "-c");
    return rc ? rc : command_push(reader, field, text);
}

static int command_read(struct wire_job_reader *reader, const struct wire_job_field *field,
                        const struct wire_yaml *node)
{
    int rc;

    reader->spec->n_command = 0;
    if (node->kind == WIRE_YAML_TEXT)
        return command_read_line(reader, field, node);
    rc = want_kind(reader, node, field->name, WIRE_YAML_LIST,
                   "a list of texts, or one text for the shell");
    if (!rc) {
        rc = command_grow(reader, field, node->count);
        if (rc)
            wire_job_locate(reader, node);
    }
    for (const struct wire_yaml *item = node->first; item && !rc; item = item->next) {
        char name[ELEMENT_NAME_BYTES];
        const char *text = NULL;

        snprintf(name, sizeof(name), "%s[%zu]", field->name, reader->spec->n_command);
        rc = wire_job_text(reader, item, name, &text);
        if (!rc)
            rc = command_push(reader, field, text);
    }
    return rc;
}

static int command_write(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                         struct hm_buf *out)
{
    int rc = 0;

    (void)field;
    for (size_t i = 0; i < spec->n_command && !rc; i++) {
        rc = hm_buf_append_str(out, i == 0 ? "[" : ", ");
        if (!rc)
            rc = wire_json_string(spec->command[i], out);
    }
    return rc || spec->n_command == 0 ? rc : hm_buf_append_str(out, "]");
}

const struct wire_job_kind wire_job_kind_command = {
    .form = "list of texts, or one text for `sh -c`",
    .read = command_read,
    .add = command_add,
    .check = command_check,
    .write = command_write};

/* --- env ---------------------------------------------------------------------------------------- */

static int env_check_at(const Hypermesh__JobSpec *spec, size_t at, struct hm_error *error)
{
    const Hypermesh__JobEnv *env = spec->env[at];
    int rc = wire_job_rule_env_name("env", env->name, error);

    if (rc)
        return rc;
    if (strlen(env->value) > WIRE_JOB_ENV_VALUE_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "env.%s: longer than %d bytes", env->name,
                       WIRE_JOB_ENV_VALUE_MAX_BYTES);
    if (!wire_text_valid(hm_slice_str(env->value)))
        return hm_fail(error, HM_EINVAL, "env.%s: is not UTF-8", env->name);
    for (size_t i = 0; i < at; i++)
        if (strcmp(spec->env[i]->name, env->name) == 0)
            return hm_fail(error, HM_EINVAL, "env.%s: given twice", env->name);
    return 0;
}

static int env_check(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                     struct hm_error *error)
{
    size_t bytes = 0;

    if (spec->n_env > WIRE_JOB_ENV_MAX)
        return hm_fail(error, HM_ELIMIT, "%s: more than %d entries", field->name, WIRE_JOB_ENV_MAX);
    for (size_t i = 0; i < spec->n_env; i++) {
        int rc = env_check_at(spec, i, error);

        if (rc)
            return rc;
        bytes += strlen(spec->env[i]->name) + strlen(spec->env[i]->value) + 2;
    }
    if (bytes > WIRE_JOB_ENV_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "%s: longer than %d bytes in all", field->name,
                       WIRE_JOB_ENV_MAX_BYTES);
    return 0;
}

static int env_push(struct wire_job_reader *reader, const struct wire_job_field *field,
                    const char *name, size_t name_len, const char *value)
{
    Hypermesh__JobEnv *env = hm_arena_alloc(reader->arena, sizeof(*env));
    int rc;

    if (!env)
        return no_memory(reader, field->name);
    hypermesh__job_env__init(env);
    env->name = hm_arena_alloc(reader->arena, name_len + 1);
    env->value = hm_arena_strdup(reader->arena, value);
    if (!env->name || !env->value)
        return no_memory(reader, field->name);
    if (name_len > 0)
        memcpy(env->name, name, name_len);
    reader->spec->env[reader->spec->n_env] = env;
    rc = env_check_at(reader->spec, reader->spec->n_env, reader->error);
    if (!rc)
        reader->spec->n_env++;
    return rc;
}

static int env_grow(struct wire_job_reader *reader, const struct wire_job_field *field, size_t more)
{
    return list_grow(reader, field->name, &reader->spec->env, reader->spec->n_env, more,
                     WIRE_JOB_ENV_MAX);
}

static int env_add(struct wire_job_reader *reader, const struct wire_job_field *field,
                   const char *text)
{
    const char *equals = strchr(text, '=');
    int rc;

    if (!equals)
        return hm_fail(reader->error, HM_EINVAL, "%s: write it as NAME=VALUE", field->name);
    rc = env_grow(reader, field, 1);
    return rc ? rc : env_push(reader, field, text, (size_t)(equals - text), equals + 1);
}

static int env_read(struct wire_job_reader *reader, const struct wire_job_field *field,
                    const struct wire_yaml *node)
{
    int rc = want_kind(reader, node, field->name, WIRE_YAML_MAP,
                       "a mapping of names to values, such as {LANG: C.UTF-8}");

    reader->spec->n_env = 0;
    if (!rc) {
        rc = env_grow(reader, field, node->count);
        if (rc)
            wire_job_locate(reader, node);
    }
    for (const struct wire_yaml *item = node->first; item && !rc; item = item->next) {
        char shown[WIRE_SHOWN_BYTES];
        char name[ELEMENT_NAME_BYTES];
        const char *value = NULL;

        wire_shown(hm_slice_str(item->key->text), shown);
        snprintf(name, sizeof(name), "%s.%s", field->name, shown);
        rc = wire_job_text(reader, item, name, &value);
        if (rc)
            break;
        rc = env_push(reader, field, item->key->text, strlen(item->key->text), value);
        if (rc)
            wire_job_locate(reader, item->key);
    }
    return rc;
}

static int env_write(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                     struct hm_buf *out)
{
    int rc = 0;

    (void)field;
    for (size_t i = 0; i < spec->n_env && !rc; i++) {
        rc = hm_buf_append_str(out, i == 0 ? "{" : ", ");
        if (!rc)
            rc = wire_json_string(spec->env[i]->name, out);
        if (!rc)
            rc = hm_buf_append_str(out, ": ");
        if (!rc)
            rc = wire_json_string(spec->env[i]->value, out);
    }
    return rc || spec->n_env == 0 ? rc : hm_buf_append_str(out, "}");
}

const struct wire_job_kind wire_job_kind_env = {.form = "mapping of names to texts",
                                                .read = env_read,
                                                .add = env_add,
                                                .check = env_check,
                                                .write = env_write};
