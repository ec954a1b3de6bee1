/* Fields that hold one value: numbers in their several spellings, flags, texts. */
#include <stdarg.h>
#include <stdio.h>

#include "wire_job.h"
#include "wire_text.h"

void wire_job_locate(struct wire_job_reader *reader, const struct wire_yaml *node)
{
    if (reader->name && reader->error)
        hm_error_prefix(reader->error, reader->error->code, "%s:%u:%u", reader->name, node->line,
                        node->column);
}

int wire_job_refuse(struct wire_job_reader *reader, const struct wire_yaml *node, int code,
                    const char *format, ...)
{
    char text[HM_ERROR_TEXT_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    hm_fail(reader->error, code, "%s", text);
    wire_job_locate(reader, node);
    return code;
}

int wire_job_text(struct wire_job_reader *reader, const struct wire_yaml *node, const char *what,
                  const char **text)
{
    if (node->kind != WIRE_YAML_TEXT)
        return wire_job_refuse(reader, node, HM_EINVAL, "%s: must be a single value, not a %s",
                               what, node->kind == WIRE_YAML_LIST ? "list" : "mapping");
    if (wire_yaml_is_null(node))
        return wire_job_refuse(reader, node, HM_EINVAL,
                               "%s: has no value; leave it out, or write \"\" for an empty text",
                               what);
    *text = node->text;
    return 0;
}

/* --- numbers ------------------------------------------------------------------------------------ */

static uint64_t number_get(const Hypermesh__JobSpec *spec, const struct wire_job_field *field)
{
    const char *member = (const char *)spec + field->offset;
    uint64_t wide;
    uint32_t narrow;

    if (field->wide) {
        memcpy(&wide, member, sizeof(wide));
        return wide;
    }
    memcpy(&narrow, member, sizeof(narrow));
    return narrow;
}

static void number_set(Hypermesh__JobSpec *spec, const struct wire_job_field *field, uint64_t value)
{
    char *member = (char *)spec + field->offset;
    uint32_t narrow = (uint32_t)value;

    if (field->wide)
        memcpy(member, &value, sizeof(value));
    else
        memcpy(member, &narrow, sizeof(narrow));
}

static int number_in_range(const struct wire_job_field *field, uint64_t value,
                           struct hm_error *error)
{
    char shown[40];
    char least[40];
    char most[40];

    if (value >= field->least && value <= field->most)
        return 0;
    field->kind->format(value, field->digits, shown);
    field->kind->format(field->least, field->digits, least);
    field->kind->format(field->most, field->digits, most);
    return hm_fail(error, HM_ERANGE, "%s: %s is out of range, must be %s to %s", field->name, shown,
                   least, most);
}

static bool is_short_ascii(const char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            return false;
    return len <= 40;
}

static int number_read(struct wire_job_reader *reader, const struct wire_job_field *field,
                       const struct wire_yaml *node)
{
    const char *text = NULL;
    uint64_t value = 0;
    int rc = wire_job_text(reader, node, field->name, &text);

    if (rc)
        return rc;
    if (!is_short_ascii(text)) /* the parsers below quote it in their sentences */
        return wire_job_refuse(reader, node, HM_EPARSE, "%s: must be a %s", field->name,
                               field->kind->form);
    rc = field->kind->parse(text, field->digits, &value, reader->error);
    if (rc)
        hm_error_prefix(reader->error, rc, "%s", field->name);
    if (!rc)
        rc = number_in_range(field, value, reader->error);
    if (rc) {
        wire_job_locate(reader, node);
        return rc;
    }
    number_set(reader->spec, field, value);
    return 0;
}

static int number_check(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                        struct hm_error *error)
{
    return number_in_range(field, number_get(spec, field), error);
}

static int number_write(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                        struct hm_buf *out)
{
    const char *quote = field->kind->quoted ? "\"" : "";
    char text[40];

    field->kind->format(number_get(spec, field), field->digits, text);
    return hm_buf_printf(out, "%s%s%s", quote, text, quote);
}

static int size_parse(const char *text, unsigned digits, uint64_t *value, struct hm_error *error)
{
    (void)digits;
    return hm_size_parse(text, value, error);
}

/* Exact, in the largest unit that divides it; hm_size_format rounds. */
static void size_format(uint64_t value, unsigned digits, char out[40])
{
    static const char units[] = {'T', 'G', 'M', 'K'};

    (void)digits;
    for (unsigned i = 0; i < HM_COUNT_OF(units); i++) {
        unsigned shift = 40 - 10 * i;

        if (value >> shift && (value >> shift) << shift == value) {
            snprintf(out, 40, "%llu%c", (unsigned long long)(value >> shift), units[i]);
            return;
        }
    }
    snprintf(out, 40, "%llu", (unsigned long long)value);
}

static int duration_parse(const char *text, unsigned digits, uint64_t *value,
                          struct hm_error *error)
{
    (void)digits;
    return hm_duration_parse_ms(text, value, error);
}

static void duration_format(uint64_t value, unsigned digits, char out[40])
{
    (void)digits;
    hm_duration_format_ms(value, out);
}

static int count_parse(const char *text, unsigned digits, uint64_t *value, struct hm_error *error)
{
    (void)digits;
    return hm_u64_parse(text, value, error);
}

static void count_format(uint64_t value, unsigned digits, char out[40])
{
    (void)digits;
    snprintf(out, 40, "%llu", (unsigned long long)value);
}

static int decimal_parse(const char *text, unsigned digits, uint64_t *value, struct hm_error *error)
{
    return hm_decimal_parse(text, digits, value, error);
}

static void decimal_format(uint64_t value, unsigned digits, char out[40])
{
    hm_decimal_format(value, digits, out);
}

/* clang-format off */
#define NUMBER_KIND(form_, parse_, format_, quoted_)                                        \
    {                                                                                       \
        .form = (form_), .read = number_read, .check = number_check, .write = number_write, \
        .parse = (parse_), .format = (format_), .quoted = (quoted_)                         \
    }
/* clang-format on */

const struct wire_job_kind wire_job_kind_decimal = NUMBER_KIND("decimal number", decimal_parse,
                                                               decimal_format, false);
/* Quoted: nine decimals do not survive readers that keep numbers as doubles. */
const struct wire_job_kind wire_job_kind_price = NUMBER_KIND("decimal number of HYPER",
                                                             decimal_parse, decimal_format, true);
const struct wire_job_kind wire_job_kind_size = NUMBER_KIND("size: bytes, or with K, M, G, T",
                                                            size_parse, size_format, true);
const struct wire_job_kind wire_job_kind_duration = NUMBER_KIND(
    "duration: ms, s, m, h, d", duration_parse, duration_format, true);
const struct wire_job_kind wire_job_kind_count = NUMBER_KIND("whole number", count_parse,
                                                             count_format, false);

/* --- flags -------------------------------------------------------------------------------------- */

static protobuf_c_boolean *flag_of(Hypermesh__JobSpec *spec, const struct wire_job_field *field)
{
    return (protobuf_c_boolean *)(void *)((char *)spec + field->offset);
}

static int flag_read(struct wire_job_reader *reader, const struct wire_job_field *field,
                     const struct wire_yaml *node)
{
    const char *text = NULL;
    int rc = wire_job_text(reader, node, field->name, &text);

    if (rc)
        return rc;
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return wire_job_refuse(reader, node, HM_EINVAL, "%s: must be true or false", field->name);
    *flag_of(reader->spec, field) = strcmp(text, "true") == 0;
    return 0;
}

static int flag_check(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                      struct hm_error *error)
{
    (void)spec;
    (void)field;
    (void)error;
    return 0; /* every value of a flag is one */
}

static int flag_write(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                      struct hm_buf *out)
{
    protobuf_c_boolean value;

    memcpy(&value, (const char *)spec + field->offset, sizeof(value));
    return hm_buf_append_str(out, value ? "true" : "false");
}

const struct wire_job_kind wire_job_kind_flag = {
    .form = "true or false", .read = flag_read, .check = flag_check, .write = flag_write};

/* --- texts -------------------------------------------------------------------------------------- */

static const char *text_get(const Hypermesh__JobSpec *spec, const struct wire_job_field *field)
{
    const char *text;

    memcpy(&text, (const char *)spec + field->offset, sizeof(text));
    return text ? text : "";
}

/* Takes the text when the rule does. */
static int text_take(struct wire_job_reader *reader, const struct wire_job_field *field,
                     const struct wire_yaml *node, char *text)
{
    int rc;

    if (!text)
        return hm_fail(reader->error, HM_ENOMEM, "%s: no memory to keep it", field->name);
    rc = field->rule(field->name, text, reader->error);
    if (rc) {
        wire_job_locate(reader, node);
        return rc;
    }
    memcpy((char *)reader->spec + field->offset, &text, sizeof(text));
    return 0;
}

static int text_read(struct wire_job_reader *reader, const struct wire_job_field *field,
                     const struct wire_yaml *node)
{
    const char *text = NULL;
    int rc = wire_job_text(reader, node, field->name, &text);

    return rc ? rc : text_take(reader, field, node, hm_arena_strdup(reader->arena, text));
}

static int path_read(struct wire_job_reader *reader, const struct wire_job_field *field,
                     const struct wire_yaml *node)
{
    const char *text = NULL;
    int rc = wire_job_text(reader, node, field->name, &text);

    return rc ? rc : text_take(reader, field, node, wire_job_path_tidy(reader->arena, text));
}

static int text_check(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                      struct hm_error *error)
{
    return field->rule(field->name, text_get(spec, field), error);
}

static int path_check(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                      struct hm_error *error)
{
    const char *text = text_get(spec, field);

    return text[0] ? field->rule(field->name, text, error) : 0; /* absent: the image's own */
}

static int text_write(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                      struct hm_buf *out)
{
    const char *text = text_get(spec, field);

    return text[0] ? wire_json_string(text, out) : 0;
}

const struct wire_job_kind wire_job_kind_text = {
    .form = "text", .read = text_read, .check = text_check, .write = text_write};
const struct wire_job_kind wire_job_kind_path = {
    .form = "path in the container", .read = path_read, .check = path_check, .write = text_write};
