#include "runtime_yaml.h"

#include <errno.h>
#include <stdlib.h>

#include "runtime_json.h"

/* Above what MAX_NODES values and MAX_BYTES of text can take. */
#define YAML_ARENA_MAX_BYTES ((size_t)16 << 20)

static const struct wire_yaml_limits yaml_limits = {.bytes = RUNTIME_YAML_MAX_BYTES,
                                                    .depth = RUNTIME_YAML_MAX_DEPTH,
                                                    .nodes = RUNTIME_YAML_MAX_NODES};

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

static json_t *yaml_scalar(const struct wire_yaml *node)
{
    static const char *const trues[] = {"true", "True", "TRUE"};
    static const char *const falses[] = {"false", "False", "FALSE"};
    const char *text = node->text;
    json_int_t number;

    if (node->quoted)
        return json_string(text);
    if (wire_yaml_is_null(node))
        return json_null();
    if (yaml_is_one_of(text, trues, HM_COUNT_OF(trues)))
        return json_true();
    if (yaml_is_one_of(text, falses, HM_COUNT_OF(falses)))
        return json_false();
    return yaml_whole_number(text, &number) ? json_integer(number) : json_string(text);
}

/* NULL: no memory, because the reader lets nothing through that JSON could not hold. As deep as the reader
 * allows. */
static json_t *yaml_json(const struct wire_yaml *node)
{
    RUNTIME_JSON *made = NULL;
    bool map = node->kind == WIRE_YAML_MAP;

    if (node->kind == WIRE_YAML_TEXT)
        return yaml_scalar(node);
    made = map ? json_object() : json_array();
    for (const struct wire_yaml *child = node->first; child != NULL; child = child->next) {
        json_t *value = made != NULL ? yaml_json(child) : NULL;

        if (value == NULL || (map ? json_object_set_new(made, child->key->text, value)
                                  : json_array_append_new(made, value)) != 0)
            return NULL;
    }
    return json_incref(made);
}

int runtime_yaml_parse(struct hm_slice bytes, const char *what, json_t **out,
                       struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    const struct wire_yaml *root = NULL;
    json_t *made;
    int rc;

    hm_arena_init(&arena, YAML_ARENA_MAX_BYTES);
    rc = wire_yaml_parse(bytes, what, &yaml_limits, &arena, &root, error);
    if (rc != 0)
        return rc;
    if (root->kind != WIRE_YAML_MAP)
        return hm_fail(error, HM_EPARSE, "%s:%u:%u: is not a mapping", what, root->line,
                       root->column);
    made = yaml_json(root);
    if (made == NULL)
        return hm_fail(error, HM_ENOMEM, "%s: no memory to read it", what);
    *out = made;
    return 0;
}
