#include "runtime_yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <yaml.h>

#include "runtime_json.h"

struct yaml_reader {
    yaml_parser_t parser;
    const char *what;
    struct hm_error *error;
    unsigned nodes;
};

static int yaml_node(struct yaml_reader *reader, const yaml_event_t *event, unsigned depth,
                     json_t **out);

static int yaml_refuse(struct yaml_reader *reader, const yaml_event_t *event, int code,
                       const char *why)
{
    return hm_fail(reader->error, code, "%s:%zu:%zu: %s", reader->what, event->start_mark.line + 1,
                   event->start_mark.column + 1, why);
}

static int yaml_no_memory(struct yaml_reader *reader)
{
    return hm_fail(reader->error, HM_ENOMEM, "%s: no memory to read it", reader->what);
}

static int yaml_next(struct yaml_reader *reader, yaml_event_t *event)
{
    const yaml_parser_t *parser = &reader->parser;

    if (yaml_parser_parse(&reader->parser, event))
        return 0;
    if (parser->error == YAML_MEMORY_ERROR)
        return yaml_no_memory(reader);
    return hm_fail(reader->error, HM_EPARSE, "%s:%zu:%zu: not YAML: %s", reader->what,
                   parser->problem_mark.line + 1, parser->problem_mark.column + 1,
                   parser->problem != NULL ? parser->problem : "unreadable");
}

static bool yaml_whole_number(const char *text, json_int_t *out)
{
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    const char *set = "0123456789";
    char *end = NULL;
    long long value;
    int base = 10;

    if (digits[0] == '0' && digits[1] != 0) {
        base = digits[1] == 'x' ? 16 : 8;
        set = base == 16 ? "0123456789abcdefABCDEF" : "01234567";
        digits += digits[1] == 'x' || digits[1] == 'o' ? 2 : 1;
    }
    if (digits[0] == 0 || digits[strspn(digits, set)] != 0)
        return false;
    errno = 0;
    value = strtoll(digits, &end, base);
    if (errno != 0 || *end != 0)
        return false;
    *out = text[0] == '-' ? -value : value;
    return true;
}

static bool yaml_is_one_of(const char *text, const char *const words[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0)
            return true;
    }
    return false;
}

static json_t *yaml_plain(const char *text)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    static const char *const trues[] = {"true", "True", "TRUE"};
    static const char *const falses[] = {"false", "False", "FALSE"};
    json_int_t number;

    if (yaml_is_one_of(text, nulls, HM_COUNT_OF(nulls)))
        return json_null();
    if (yaml_is_one_of(text, trues, HM_COUNT_OF(trues)))
        return json_true();
    if (yaml_is_one_of(text, falses, HM_COUNT_OF(falses)))
        return json_false();
    return yaml_whole_number(text, &number) ? json_integer(number) : json_string(text);
}

static int yaml_scalar(struct yaml_reader *reader, const yaml_event_t *event, bool key,
                       json_t **out)
{
    /* libyaml puts a NUL behind every value */
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !key;

    if (memchr(text, 0, len) != NULL)
        return yaml_refuse(reader, event, HM_EPARSE, "text holds a NUL character");
    *out = plain ? yaml_plain(text) : json_stringn(text, len);
    return *out != NULL ? 0 : yaml_refuse(reader, event, HM_EPARSE, "text is not UTF-8");
}

static int yaml_list(struct yaml_reader *reader, unsigned depth, json_t *list)
{
    for (;;) {
        json_t *child = NULL;
        yaml_event_t event;
        int rc = yaml_next(reader, &event);
        bool done = rc == 0 && event.type == YAML_SEQUENCE_END_EVENT;

        if (rc == 0) {
            rc = done ? 0 : yaml_node(reader, &event, depth, &child);
            yaml_event_delete(&event);
        }
        if (rc != 0 || done)
            return rc;
        if (json_array_append_new(list, child) != 0)
            return yaml_no_memory(reader);
    }
}

/* The key of a mapping's next member; NULL at the mapping's end. */
static int yaml_key(struct yaml_reader *reader, const json_t *map, json_t **key)
{
    yaml_event_t event;
    int rc = yaml_next(reader, &event);

    if (rc != 0)
        return rc;
    *key = NULL;
    if (event.type == YAML_SCALAR_EVENT)
        rc = event.data.scalar.anchor != NULL || event.data.scalar.tag != NULL
                 ? yaml_refuse(reader, &event, HM_EPARSE, "anchors and tags are not taken")
                 : yaml_scalar(reader, &event, true, key);
    else if (event.type != YAML_MAPPING_END_EVENT)
        rc = yaml_refuse(reader, &event, HM_EPARSE, "a member's name must be text");
    if (rc == 0 && *key != NULL && json_object_get(map, json_string_value(*key)) != NULL)
        rc = yaml_refuse(reader, &event, HM_EPARSE, "a member is given twice");
    if (rc != 0)
        json_decref(*key);
    yaml_event_delete(&event);
    return rc;
}

static int yaml_map(struct yaml_reader *reader, unsigned depth, json_t *map)
{
    for (;;) {
        RUNTIME_JSON *key = NULL;
        json_t *child = NULL, *name = NULL;
        yaml_event_t event;
        int rc = yaml_key(reader, map, &name);

        if (rc != 0 || name == NULL)
            return rc;
        key = name;
        rc = yaml_next(reader, &event);
        if (rc == 0) {
            rc = yaml_node(reader, &event, depth, &child);
            yaml_event_delete(&event);
        }
        if (rc != 0)
            return rc;
        if (json_object_set_new(map, json_string_value(key), child) != 0)
            return yaml_no_memory(reader);
    }
}

static int yaml_check_extras(struct yaml_reader *reader, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;

    switch (event->type) {
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        return yaml_refuse(reader, event, HM_EPARSE,
                           "a value was expected (aliases are not taken)");
    }
    if (anchor != NULL || tag != NULL)
        return yaml_refuse(reader, event, HM_EPARSE, "anchors and tags are not taken");
    return 0;
}

static int yaml_node(struct yaml_reader *reader, const yaml_event_t *event, unsigned depth,
                     json_t **out)
{
    RUNTIME_JSON *node = NULL;
    int rc = yaml_check_extras(reader, event);

    if (rc != 0)
        return rc;
    if (depth > RUNTIME_YAML_MAX_DEPTH)
        return yaml_refuse(reader, event, HM_ELIMIT, "nested too deeply");
    if (++reader->nodes > RUNTIME_YAML_MAX_NODES)
        return yaml_refuse(reader, event, HM_ELIMIT, "too many values");
    if (event->type == YAML_SCALAR_EVENT)
        return yaml_scalar(reader, event, false, out);
    node = event->type == YAML_MAPPING_START_EVENT ? json_object() : json_array();
    if (node == NULL)
        return yaml_no_memory(reader);
    rc = json_is_object(node) ? yaml_map(reader, depth + 1, node)
                              : yaml_list(reader, depth + 1, node);
    if (rc == 0)
        *out = json_incref(node);
    return rc;
}

static int yaml_expect(struct yaml_reader *reader, yaml_event_type_t type, const char *otherwise)
{
    yaml_event_t event;
    int rc = yaml_next(reader, &event);

    if (rc != 0)
        return rc;
    if (event.type != type)
        rc = yaml_refuse(reader, &event, HM_EPARSE, otherwise);
    yaml_event_delete(&event);
    return rc;
}

static int yaml_document(struct yaml_reader *reader, json_t **out)
{
    yaml_event_t event;
    int rc = yaml_expect(reader, YAML_STREAM_START_EVENT, "unreadable");

    if (rc == 0)
        rc = yaml_expect(reader, YAML_DOCUMENT_START_EVENT, "is empty");
    if (rc == 0)
        rc = yaml_next(reader, &event);
    if (rc != 0)
        return rc;
    rc = event.type == YAML_MAPPING_START_EVENT
             ? yaml_node(reader, &event, 1, out)
             : yaml_refuse(reader, &event, HM_EPARSE, "is not a mapping");
    yaml_event_delete(&event);
    if (rc == 0)
        rc = yaml_expect(reader, YAML_DOCUMENT_END_EVENT, "unreadable");
    if (rc == 0)
        rc = yaml_expect(reader, YAML_STREAM_END_EVENT, "a second document");
    return rc;
}

int runtime_yaml_parse(struct hm_slice bytes, const char *what, json_t **out,
                       struct hm_error *error)
{
    struct yaml_reader reader = {.what = what, .error = error};
    RUNTIME_JSON *json = NULL;
    json_t *made = NULL;
    int rc;

    if (bytes.len > RUNTIME_YAML_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "%s is larger than %zu bytes", what,
                       RUNTIME_YAML_MAX_BYTES);
    if (!yaml_parser_initialize(&reader.parser))
        return yaml_no_memory(&reader);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, bytes.len > 0 ? bytes.data : (const uint8_t *)"",
                                 bytes.len);
    rc = yaml_document(&reader, &made);
    yaml_parser_delete(&reader.parser);
    json = made;
    if (rc == 0)
        *out = json_incref(json);
    return rc;
}
