/* Requests' bodies and queries, checked against their table of fields. */
#include <stdlib.h>

#include "api_field.h"

#define NAME_QUOTE_CHARS 64
#define FULL_SHARE_PPM   1000000

const struct api_value *api_record_get(const struct api_record *record, const char *name)
{
    for (size_t i = 0; i < record->fields->count; i++) {
        if (strcmp(record->fields->rows[i].name, name) == 0)
            return &record->values[i];
    }
    abort();
}

static int record_new(const struct api_fields *fields, struct hm_arena *arena,
                      struct api_record *out, struct hm_error *error)
{
    out->fields = fields;
    out->values = hm_arena_alloc(arena, sizeof(*out->values) * (fields->count + 1));
    return out->values ? 0 : hm_fail(error, HM_ENOMEM, "out of memory");
}

/* "share_ppm" and "duration_ms" name the row "share" or "duration" in its plain number form. */
static bool is_number_name(const struct api_field *row, const char *name)
{
    const char *suffix = row->form == JSON_FORM_SHARE || row->form == JSON_FORM_PART ? "_ppm"
                         : row->form == JSON_FORM_DURATION                           ? "_ms"
                                                                                     : NULL;
    size_t len = strlen(row->name);

    return suffix && strncmp(name, row->name, len) == 0 && strcmp(name + len, suffix) == 0;
}

static int row_find(const struct api_fields *fields, const char *name, size_t *row, bool *as_number)
{
    for (size_t i = 0; i < fields->count; i++) {
        bool number = is_number_name(&fields->rows[i], name);

        if (number || strcmp(fields->rows[i].name, name) == 0) {
            *row = i;
            *as_number = number;
            return 0;
        }
    }
    return HM_ENOTFOUND;
}

static int unknown_name(const struct api_fields *fields, const char *what, const char *name,
                        struct hm_error *error)
{
    char known[256];
    size_t used = 0;

    known[0] = '\0';
    for (size_t i = 0; i < fields->count && used < sizeof(known) - 1; i++) {
        int n = snprintf(known + used, sizeof(known) - used, "%s%s", i > 0 ? ", " : "",
                         fields->rows[i].name);

        used += n > 0 ? (size_t)n : 0;
    }
    return hm_fail(error, HM_EINVAL, "unknown %s '%.*s'; known here: %s", what, NAME_QUOTE_CHARS,
                   name, fields->count > 0 ? known : "none");
}

static int check_required(const struct api_record *record, struct hm_error *error)
{
    for (size_t i = 0; i < record->fields->count; i++) {
        if ((record->fields->rows[i].flags & API_REQUIRED) != 0 && !record->values[i].set)
            return hm_fail(error, HM_EINVAL, "%s is missing", record->fields->rows[i].name);
    }
    return 0;
}

static int wrong_type(const char *name, const char *wanted, struct hm_error *error)
{
    return hm_fail(error, HM_EINVAL, "%s must be %s", name, wanted);
}

static int take_number(const char *name, const json_t *value, enum json_form form,
                       struct api_value *out, struct hm_error *error)
{
    json_int_t number = json_integer_value(value);

    if (!json_is_integer(value))
        return wrong_type(name, "a whole number", error);
    if (number < 0)
        return hm_fail(error, HM_ERANGE, "%s must not be negative", name);
    if ((form == JSON_FORM_SHARE && number < 1) ||
        ((form == JSON_FORM_SHARE || form == JSON_FORM_PART) && number > FULL_SHARE_PPM))
        return hm_fail(error, HM_ERANGE, "%s must be from %d to %d parts per million", name,
                       form == JSON_FORM_SHARE ? 1 : 0, FULL_SHARE_PPM);
    out->number = (uint64_t)number;
    out->set = true;
    return 0;
}

static int take_text(const char *name, const json_t *value, enum json_form form,
                     struct hm_arena *arena, struct api_value *out, struct hm_error *error)
{
    if (!json_is_string(value)) {
        if (form == JSON_FORM_MONEY)
            return wrong_type(name, "decimal text in whole tokens, such as \"1.5\"", error);
        if (form == JSON_FORM_SHARE || form == JSON_FORM_PART)
            return wrong_type(
                name, "text such as \"10%\" (or give parts per million under the name with _ppm)",
                error);
        if (form == JSON_FORM_DURATION)
            return wrong_type(
                name, "text such as \"30s\" (or give milliseconds under the name with _ms)", error);
        return wrong_type(name, "text", error);
    }
    return api_value_parse_text(form, name, json_string_value(value), arena, out, error);
}

/* Text as long as the body allows. */
static int take_long(const json_t *value, struct hm_arena *arena, struct api_value *out,
                     struct hm_error *error)
{
    const char *text = hm_arena_strdup(arena, json_string_value(value));

    if (!text)
        return hm_fail(error, HM_ENOMEM, "out of memory");
    *out = (struct api_value){.set = true, .text = text};
    return 0;
}

static int compare_pairs(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int take_pairs(const char *name, json_t *value, struct hm_arena *arena,
                      struct api_value *out, struct hm_error *error)
{
    size_t count = json_object_size(value);
    const char **list;
    const char *key;
    json_t *entry;
    size_t at = 0;

    if (!json_is_object(value))
        return wrong_type(name, "an object of texts", error);
    if (count > API_LIST_MAX)
        return hm_fail(error, HM_ELIMIT, "%s has more than %d entries", name, API_LIST_MAX);
    list = hm_arena_alloc(arena, (2 * count + 1) * sizeof(*list));
    if (!list)
        return hm_fail(error, HM_ENOMEM, "out of memory");
    json_object_foreach(value, key, entry)
    {
        if (!json_is_string(entry))
            return hm_fail(error, HM_EINVAL, "%s.%.*s must be text", name, NAME_QUOTE_CHARS, key);
        list[at] = hm_arena_strdup(arena, key);
        list[at + 1] = hm_arena_strdup(arena, json_string_value(entry));
        if (!list[at] || !list[at + 1])
            return hm_fail(error, HM_ENOMEM, "out of memory");
        at += 2;
    }
    qsort(list, count, 2 * sizeof(*list), compare_pairs);
    *out = (struct api_value){.set = true, .list = list, .count = count};
    return 0;
}

static int take_list(const char *name, const json_t *value, struct hm_arena *arena,
                     struct api_value *out, struct hm_error *error)
{
    size_t count = json_array_size(value);
    const char **list;

    if (!json_is_array(value))
        return wrong_type(name, "a list of texts", error);
    if (count > API_LIST_MAX)
        return hm_fail(error, HM_ELIMIT, "%s has more than %d entries", name, API_LIST_MAX);
    list = hm_arena_alloc(arena, (count + 1) * sizeof(*list));
    if (!list)
        return hm_fail(error, HM_ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const json_t *entry = json_array_get(value, i);

        if (!json_is_string(entry))
            return wrong_type(name, "a list of texts", error);
        list[i] = hm_arena_strdup(arena, json_string_value(entry));
        if (!list[i])
            return hm_fail(error, HM_ENOMEM, "out of memory");
    }
    *out = (struct api_value){.set = true, .list = list, .count = count};
    return 0;
}

static int take_object(const struct api_fields *fields, json_t *root, struct hm_arena *arena,
                       struct api_record *out, struct hm_error *error);

/* Nested no deeper than the tables are. */
static int take_nested(const struct api_field *row, json_t *value, struct hm_arena *arena,
                       struct api_value *out, struct hm_error *error)
{
    struct api_record *inner = hm_arena_alloc(arena, sizeof(*inner));
    int rc;

    if (!inner)
        return hm_fail(error, HM_ENOMEM, "out of memory");
    if (!json_is_object(value))
        return wrong_type(row->name, "an object", error);
    rc = take_object(row->fields, value, arena, inner, error);
    if (rc)
        return hm_error_prefix(error, rc, "%s", row->name);
    *out = (struct api_value){.set = true, .object = inner};
    return 0;
}

static int take_value(const struct api_field *row, const char *name, bool as_number, json_t *value,
                      struct hm_arena *arena, struct api_value *out, struct hm_error *error)
{
    if (out->set)
        return hm_fail(error, HM_EINVAL, "%s is given twice, once as number and once as text",
                       row->name);
    if ((row->flags & API_LIST) != 0)
        return take_list(name, value, arena, out, error);
    if (as_number || row->form == JSON_FORM_UINT ||
        (row->form == JSON_FORM_AMOUNT && !json_is_string(value)))
        return take_number(name, value, row->form, out, error);
    if (row->form == JSON_FORM_PAIRS)
        return take_pairs(name, value, arena, out, error);
    if (row->form == JSON_FORM_OBJECT)
        return take_nested(row, value, arena, out, error);
    if (row->form == JSON_FORM_BOOL) {
        if (!json_is_boolean(value))
            return wrong_type(name, "true or false", error);
        *out = (struct api_value){.set = true, .number = json_is_true(value) ? 1 : 0};
        return 0;
    }
    if ((row->flags & API_LONG) != 0 && json_is_string(value))
        return take_long(value, arena, out, error);
    return take_text(name, value, row->form, arena, out, error);
}

static int take_object(const struct api_fields *fields, json_t *root, struct hm_arena *arena,
                       struct api_record *out, struct hm_error *error)
{
    struct api_record record;
    const char *key;
    json_t *value;
    int rc = record_new(fields, arena, &record, error);

    if (rc)
        return rc;
    json_object_foreach(root, key, value)
    {
        bool as_number = false;
        size_t row = 0;

        if (row_find(fields, key, &row, &as_number))
            return unknown_name(fields, "field", key, error);
        rc = take_value(&fields->rows[row], key, as_number, value, arena, &record.values[row],
                        error);
        if (rc)
            return rc;
    }
    rc = check_required(&record, error);
    if (rc == 0)
        *out = record;
    return rc;
}

/* The JSON library has copies of its own, which it frees as they are. */
static void secrets_wipe(const struct api_fields *fields, const json_t *root)
{
    for (size_t i = 0; i < fields->count; i++) {
        json_t *value = json_object_get(root, fields->rows[i].name);

        if ((fields->rows[i].flags & API_SECRET) != 0 && json_is_string(value))
            hm_wipe((void *)(uintptr_t)json_string_value(value), json_string_length(value));
    }
}

int api_record_parse_json(const struct api_fields *fields, struct hm_slice text,
                          struct hm_arena *arena, struct api_record *out, struct hm_error *error)
{
    HM_CLEANUP(json) json_t *root = NULL;
    int rc = json_read(text, API_JSON_DEPTH_MAX, "the body", &root, error);

    if (rc)
        return rc;
    rc = take_object(fields, root, arena, out, error);
    secrets_wipe(fields, root);
    return rc;
}

int api_record_parse_query(const struct api_fields *fields, const struct api_pair *pairs,
                           size_t count, struct hm_arena *arena, struct api_record *out,
                           struct hm_error *error)
{
    struct api_record record;
    int rc = record_new(fields, arena, &record, error);

    for (size_t i = 0; i < count && rc == 0; i++) {
        bool as_number = false;
        size_t row = 0;

        if (row_find(fields, pairs[i].name, &row, &as_number))
            return unknown_name(fields, "query parameter", pairs[i].name, error);
        if (record.values[row].set)
            return hm_fail(error, HM_EINVAL, "query parameter %s is given twice",
                           fields->rows[row].name);
        rc = api_value_parse_text(as_number ? JSON_FORM_UINT : fields->rows[row].form,
                                  fields->rows[row].name, pairs[i].value, arena,
                                  &record.values[row], error);
    }
    if (rc == 0)
        rc = check_required(&record, error);
    if (rc == 0)
        *out = record;
    return rc;
}
