#include "api_test_schema.h"

#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static char fault[512];

static const char *fail(const char *what, const char *name)
{
    (void)snprintf(fault, sizeof(fault), "%s: %s", what, name);
    return fault;
}

static bool type_fits(const char *type, const json_t *value)
{
    return (strcmp(type, "string") == 0 && json_is_string(value)) ||
           (strcmp(type, "integer") == 0 && json_is_integer(value)) ||
           (strcmp(type, "boolean") == 0 && json_is_boolean(value)) ||
           (strcmp(type, "object") == 0 && json_is_object(value)) ||
           (strcmp(type, "array") == 0 && json_is_array(value)) ||
           (strcmp(type, "null") == 0 && json_is_null(value));
}

static const char *check_type(const json_t *schema, const json_t *value)
{
    const json_t *type = json_object_get(schema, "type");
    size_t i;
    json_t *one;

    if (!type)
        return NULL;
    if (json_is_string(type))
        return type_fits(json_string_value(type), value) ? NULL
                                                         : fail("type", json_string_value(type));
    json_array_foreach(type, i, one)
    {
        if (type_fits(json_string_value(one), value))
            return NULL;
    }
    return fail("type", "none of the list");
}

static const char *check_pattern(const json_t *schema, const json_t *value)
{
    const json_t *pattern = json_object_get(schema, "pattern");
    regex_t compiled;
    int rc;

    if (!pattern || !json_is_string(value))
        return NULL;
    if (regcomp(&compiled, json_string_value(pattern), REG_EXTENDED | REG_NOSUB) != 0)
        return fail("pattern is not valid", json_string_value(pattern));
    rc = regexec(&compiled, json_string_value(value), 0, NULL, 0);
    regfree(&compiled);
    return rc == 0 ? NULL : fail("pattern", json_string_value(value));
}

static const char *check_object(const json_t *document, const json_t *schema, json_t *value)
{
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *others = json_object_get(schema, "additionalProperties");
    const json_t *required = json_object_get(schema, "required");
    const char *key;
    json_t *entry;
    size_t i;

    json_array_foreach(required, i, entry)
    {
        if (!json_object_get(value, json_string_value(entry)))
            return fail("missing", json_string_value(entry));
    }
    json_object_foreach(value, key, entry)
    {
        const json_t *of = json_object_get(properties, key);
        const char *found;

        if (!of && json_is_false(others))
            return fail("not in the document", key);
        of = of ? of : json_is_object(others) ? others : NULL;
        found = of ? api_test_schema_fault(document, of, entry) : NULL;
        if (found) {
            char inner[400];

            (void)snprintf(inner, sizeof(inner), "%.*s", (int)sizeof(inner) - 1, found);
            return fail(key, inner);
        }
    }
    return NULL;
}

static const char *check_reference(const json_t *document, const json_t *reference,
                                   const json_t *value)
{
    static const char prefix[] = "#/components/schemas/";
    const char *path = json_string_value(reference);
    const json_t *schemas = json_object_get(json_object_get(document, "components"), "schemas");
    const json_t *found;

    if (strncmp(path, prefix, sizeof(prefix) - 1) != 0)
        return fail("reference", path);
    found = json_object_get(schemas, path + sizeof(prefix) - 1);
    return found ? api_test_schema_fault(document, found, value)
                 : fail("reference to nothing", path);
}

static const char *check_any(const json_t *document, const json_t *choices, const json_t *value)
{
    const char *found = NULL;
    json_t *choice;
    size_t i;

    json_array_foreach(choices, i, choice)
    {
        const char *now = api_test_schema_fault(document, choice, value);

        if (!now)
            return NULL;
        found = i == 0 || !found ? now : found;
    }
    return found;
}

const char *api_test_schema_fault(const json_t *document, const json_t *schema, const json_t *value)
{
    const json_t *reference = json_object_get(schema, "$ref");
    const json_t *choices = json_object_get(schema, "anyOf");
    const json_t *items = json_object_get(schema, "items");
    const char *found = reference ? check_reference(document, reference, value) : NULL;
    json_t *entry;
    size_t i;

    if (!found && choices)
        found = check_any(document, choices, value);
    if (!found)
        found = check_type(schema, value);
    if (!found)
        found = check_pattern(schema, value);
    if (!found && json_is_object(value))
        found = check_object(document, schema, (json_t *)(uintptr_t)value);
    if (items && json_is_array(value)) {
        json_array_foreach(value, i, entry)
        {
            if (!found)
                found = api_test_schema_fault(document, items, entry);
        }
    }
    return found;
}
