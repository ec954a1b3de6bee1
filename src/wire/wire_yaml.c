/* libyaml's events rather than libcyaml: cyaml knows no column for a value that fails its schema. */
#include "wire_yaml.h"

#include <yaml.h>

#include "wire_text.h"

struct reader {
    yaml_parser_t parser;
    struct hm_slice text;
    const char *name;
    const struct wire_yaml_limits *limits;
    struct hm_arena *arena;
    struct hm_error *error;
    unsigned nodes;
};

static int read_node(struct reader *reader, const yaml_event_t *event, unsigned depth,
                     struct wire_yaml **out);

static int refuse(struct reader *reader, yaml_mark_t mark, int code, const char *what)
{
    return hm_fail(reader->error, code, "%s:%zu:%zu: %s", reader->name, mark.line + 1,
                   mark.column + 1, what);
}

/* libyaml's reader gives an offset in bytes and no mark. */
static yaml_mark_t mark_of_offset(const struct reader *reader, size_t offset)
{
    yaml_mark_t mark = {.index = offset};

    for (size_t i = 0; i < offset && i < reader->text.len; i++) {
        uint8_t c = reader->text.data[i];

        if (c == '\n') {
            mark.line++;
            mark.column = 0;
        } else if ((c & 0xc0) != 0x80) {
            mark.column++;
        }
    }
    return mark;
}

static int refuse_syntax(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem ? parser->problem : "unreadable";
    yaml_mark_t mark = parser->problem_mark;

    if (parser->error == YAML_MEMORY_ERROR)
        return hm_fail(reader->error, HM_ENOMEM, "%s: no memory to read it", reader->name);
    if (parser->error == YAML_READER_ERROR) {
        mark = mark_of_offset(reader, parser->problem_offset);
        return hm_fail(reader->error, HM_EPARSE,
                       "%s:%zu:%zu: a character that YAML does not allow, or bytes that are "
                       "not UTF-8: %s",
                       reader->name, mark.line + 1, mark.column + 1, problem);
    }
    if (strcmp(problem, "found invalid Unicode character escape code") == 0)
        problem = "\\u escape of half a character (a surrogate pair); write the character "
                  "itself in UTF-8";
    if (parser->context)
        return hm_fail(reader->error, HM_EPARSE, "%s:%zu:%zu: not YAML: %s (%s)", reader->name,
                       mark.line + 1, mark.column + 1, problem, parser->context);
    return hm_fail(reader->error, HM_EPARSE, "%s:%zu:%zu: not YAML: %s", reader->name,
                   mark.line + 1, mark.column + 1, problem);
}

static int next_event(struct reader *reader, yaml_event_t *event)
{
    if (!yaml_parser_parse(&reader->parser, event))
        return refuse_syntax(reader);
    return 0;
}

static int read_text(struct reader *reader, const yaml_event_t *event, struct wire_yaml *node)
{
    struct hm_slice text = hm_slice_of(event->data.scalar.value, event->data.scalar.length);
    char *copy;

    if (!wire_text_valid(text))
        return refuse(reader, event->start_mark, HM_EPARSE, "text holds a NUL character");
    copy = hm_arena_alloc(reader->arena, text.len + 1);
    if (!copy)
        return hm_fail(reader->error, HM_ENOMEM, "%s: no memory to read it", reader->name);
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    node->kind = WIRE_YAML_TEXT;
    node->text = copy;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return 0;
}

static int check_key(struct reader *reader, const struct wire_yaml *map,
                     const struct wire_yaml *key)
{
    char shown[WIRE_SHOWN_BYTES];

    if (key->kind != WIRE_YAML_TEXT)
        return hm_fail(reader->error, HM_EPARSE, "%s:%u:%u: a field's name must be text",
                       reader->name, key->line, key->column);
    if (map->count >= WIRE_YAML_MAX_MEMBERS)
        return hm_fail(reader->error, HM_ELIMIT, "%s:%u:%u: a mapping of more than %d fields",
                       reader->name, key->line, key->column, WIRE_YAML_MAX_MEMBERS);
    for (const struct wire_yaml *other = map->first; other; other = other->next) {
        if (strcmp(other->key->text, key->text) != 0)
            continue;
        wire_shown(hm_slice_str(key->text), shown);
        return hm_fail(reader->error, HM_EPARSE, "%s:%u:%u: %s: given twice, first on line %u",
                       reader->name, key->line, key->column, shown, other->key->line);
    }
    return 0;
}

/* Reads up to the end event; a mapping's children come as key, value, key, value. */
static int read_children(struct reader *reader, struct wire_yaml *parent, yaml_event_type_t end,
                         unsigned depth)
{
    struct wire_yaml **tail = &parent->first;
    struct wire_yaml *key = NULL;

    for (;;) {
        struct wire_yaml *child = NULL;
        yaml_event_t event;
        bool done;
        int rc = next_event(reader, &event);

        if (rc)
            return rc;
        done = event.type == end;
        rc = done ? 0 : read_node(reader, &event, depth, &child);
        yaml_event_delete(&event);
        if (rc || done)
            return rc;
        if (parent->kind == WIRE_YAML_MAP && !key) {
            rc = check_key(reader, parent, child);
            if (rc)
                return rc;
            key = child;
            continue;
        }
        child->key = key;
        key = NULL;
        *tail = child;
        tail = &child->next;
        parent->count++;
    }
}

static int refuse_extras(struct reader *reader, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;

    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return refuse(reader, event->start_mark, HM_EPARSE,
                      "aliases (*name) are not taken; write the value out, or quote it");
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
        return refuse(reader, event->start_mark, HM_EPARSE, "a value was expected");
    }
    if (anchor)
        return refuse(reader, event->start_mark, HM_EPARSE,
                      "anchors (&name) are not taken; write the value out, or quote it");
    if (tag)
        return refuse(reader, event->start_mark, HM_EPARSE,
                      "tags (!name) are not taken; quote a text that starts with '!'");
    return 0;
}

static int read_node(struct reader *reader, const yaml_event_t *event, unsigned depth,
                     struct wire_yaml **out)
{
    struct wire_yaml *node;
    int rc = refuse_extras(reader, event);

    if (rc)
        return rc;
    if (depth > reader->limits->depth || depth > WIRE_YAML_MAX_DEPTH)
        return refuse(reader, event->start_mark, HM_ELIMIT, "nested too deeply");
    if (++reader->nodes > reader->limits->nodes)
        return refuse(reader, event->start_mark, HM_ELIMIT, "more values than are taken");
    node = hm_arena_alloc(reader->arena, sizeof(*node));
    if (!node)
        return hm_fail(reader->error, HM_ENOMEM, "%s: no memory to read it", reader->name);
    node->line = (unsigned)event->start_mark.line + 1;
    node->column = (unsigned)event->start_mark.column + 1;
    if (event->type == YAML_SCALAR_EVENT) {
        rc = read_text(reader, event, node);
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        node->kind = WIRE_YAML_LIST;
        rc = read_children(reader, node, YAML_SEQUENCE_END_EVENT, depth + 1);
    } else {
        node->kind = WIRE_YAML_MAP;
        rc = read_children(reader, node, YAML_MAPPING_END_EVENT, depth + 1);
    }
    if (rc)
        return rc;
    *out = node;
    return 0;
}

/* Takes the next event and wants it to be of this type. */
static int expect(struct reader *reader, yaml_event_type_t type, const char *otherwise)
{
    yaml_event_t event;
    int rc = next_event(reader, &event);

    if (rc)
        return rc;
    if (event.type != type)
        rc = refuse(reader, event.start_mark, HM_EPARSE, otherwise);
    else if (type == YAML_DOCUMENT_START_EVENT && event.data.document_start.tag_directives.start !=
                                                      event.data.document_start.tag_directives.end)
        rc = refuse(reader, event.start_mark, HM_EPARSE, "%TAG directives are not taken");
    yaml_event_delete(&event);
    return rc;
}

static int read_document(struct reader *reader, struct wire_yaml **root)
{
    yaml_event_t event;
    int rc = expect(reader, YAML_STREAM_START_EVENT, "unreadable");

    if (!rc)
        rc = expect(reader, YAML_DOCUMENT_START_EVENT, "is empty");
    if (!rc)
        rc = next_event(reader, &event);
    if (rc)
        return rc;
    rc = read_node(reader, &event, 1, root);
    yaml_event_delete(&event);
    if (!rc)
        rc = expect(reader, YAML_DOCUMENT_END_EVENT, "unreadable");
    if (!rc)
        rc = expect(reader, YAML_STREAM_END_EVENT, "a second document; only one is taken");
    return rc;
}

int wire_yaml_parse(struct hm_slice text, const char *name, const struct wire_yaml_limits *limits,
                    struct hm_arena *arena, const struct wire_yaml **root, struct hm_error *error)
{
    static const uint8_t byte_order_mark[] = {0xef, 0xbb, 0xbf};
    struct reader reader = {
        .text = text, .name = name, .limits = limits, .arena = arena, .error = error};
    struct wire_yaml *tree = NULL;
    int rc;

    if (text.len > limits->bytes)
        return hm_fail(error, HM_ELIMIT, "%s: %zu bytes long, at most %zu are taken", name,
                       text.len, limits->bytes);
    if (text.len >= 3 && memcmp(text.data, byte_order_mark, 3) == 0)
        reader.text = hm_slice_of(text.data + 3, text.len - 3);
    if (!yaml_parser_initialize(&reader.parser))
        return hm_fail(error, HM_ENOMEM, "%s: no memory to read it", name);
    /* Told, not guessed: the same bytes must not be a job in UTF-16 too. */
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser,
                                 reader.text.len > 0 ? reader.text.data : (const uint8_t *)"",
                                 reader.text.len);
    rc = read_document(&reader, &tree);
    yaml_parser_delete(&reader.parser);
    if (!rc)
        *root = tree;
    return rc;
}

bool wire_yaml_is_null(const struct wire_yaml *node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};

    if (node->kind != WIRE_YAML_TEXT || node->quoted)
        return false;
    for (size_t i = 0; i < HM_COUNT_OF(words); i++)
        if (strcmp(node->text, words[i]) == 0)
            return true;
    return false;
}
