#include "nexus_json.h"

void nexus_json_release(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

const char *nexus_json_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

int64_t nexus_json_i64(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

uint64_t nexus_json_u64(const json_t *object, const char *key)
{
    int64_t value = nexus_json_i64(object, key);

    return value < 0 ? 0 : (uint64_t)value;
}

bool nexus_json_bool(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

const json_t *nexus_json_list(const json_t *object, const char *key)
{
    const json_t *list = json_object_get(object, key);

    return json_is_array(list) ? list : NULL;
}

const char *nexus_json_cell(const json_t *value, struct hm_arena *arena)
{
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_STRING:
        return json_string_value(value);
    case JSON_INTEGER:
        return hm_arena_printf(arena, "%lld", (long long)json_integer_value(value));
    case JSON_REAL:
        return hm_arena_printf(arena, "%g", json_real_value(value));
    case JSON_TRUE:
        return "yes";
    case JSON_FALSE:
        return "no";
    case JSON_OBJECT:
    case JSON_ARRAY: {
        char *text = json_dumps(value, JSON_COMPACT);
        const char *copy = text ? hm_arena_strdup(arena, text) : NULL;

        free(text);
        return copy;
    }
    default:
        return "";
    }
}
