#include "nexus_yaml.h"

#include <stdio.h>
#include <strings.h>
#include <yaml.h>

struct writer {
    yaml_emitter_t emitter;
    struct hm_error *error;
};

static int take_bytes(void *ctx, unsigned char *data, size_t len)
{
    return hm_buf_append(ctx, data, len) == 0;
}

/* The emitter owns the event from here on, whether or not it likes it. */
static int emit(struct writer *writer, yaml_event_t *event, int made)
{
    if (!made || !yaml_emitter_emit(&writer->emitter, event))
        return hm_fail(writer->error, HM_ENOMEM, "cannot write YAML: %s",
                       writer->emitter.problem ? writer->emitter.problem : "no memory");
    return 0;
}

/* Plain only for what no schema takes for a number, a truth value, a null or a date: it begins with a letter,
 * holds nothing but letters, digits and a few marks, and is no special word. */
static bool plain_enough(const char *text)
{
    static const char *const special[] = {"y",  "n",   "yes",  "no",  "true", "false",
                                          "on", "off", "null", "nan", "inf"};
    static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";
    size_t letters = strspn(text, fine);

    if (text[0] == '\0' || text[letters] != '\0' || strchr("0123456789-.", text[0]) != NULL)
        return false;
    for (size_t i = 0; i < HM_COUNT_OF(special); i++)
        if (strcasecmp(text, special[i]) == 0)
            return false;
    return true;
}

static int emit_scalar(struct writer *writer, const char *text, size_t len, bool is_text)
{
    yaml_event_t event;
    bool plain = !is_text || plain_enough(text);
    yaml_scalar_style_t style = plain ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE;

    /* libyaml has no const; it copies. */
    return emit(writer, &event,
                len <= INT32_MAX &&
                    yaml_scalar_event_initialize(&event, NULL, NULL, (yaml_char_t *)(uintptr_t)text,
                                                 (int)len, plain, !plain, style));
}

static int write_value(struct writer *writer, const json_t *value, unsigned depth);

static int write_object(struct writer *writer, const json_t *object, unsigned depth)
{
    yaml_event_t event;
    yaml_mapping_style_t style = json_object_size(object) == 0 ? YAML_FLOW_MAPPING_STYLE
                                                               : YAML_BLOCK_MAPPING_STYLE;
    int rc = emit(writer, &event,
                  yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, style));
    json_t *all = (json_t *)(uintptr_t)object; /* iterating does not change it */

    for (void *at = json_object_iter(all); at && !rc; at = json_object_iter_next(all, at)) {
        const char *key = json_object_iter_key(at);

        rc = emit_scalar(writer, key, strlen(key), true);
        if (!rc)
            rc = write_value(writer, json_object_iter_value(at), depth + 1);
    }
    return rc ? rc : emit(writer, &event, yaml_mapping_end_event_initialize(&event));
}

static int write_array(struct writer *writer, const json_t *array, unsigned depth)
{
    yaml_event_t event;
    yaml_sequence_style_t style = json_array_size(array) == 0 ? YAML_FLOW_SEQUENCE_STYLE
                                                              : YAML_BLOCK_SEQUENCE_STYLE;
    int rc = emit(writer, &event,
                  yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style));

    for (size_t i = 0; i < json_array_size(array) && !rc; i++)
        rc = write_value(writer, json_array_get(array, i), depth + 1);
    return rc ? rc : emit(writer, &event, yaml_sequence_end_event_initialize(&event));
}

static int write_number(struct writer *writer, const json_t *value)
{
    char text[64];
    int len = json_is_integer(value)
                  ? snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value))
                  : snprintf(text, sizeof(text), "%.17g", json_real_value(value));

    /* YAML 1.1 knows no float without a point: 1e+20 would be a text. */
    if (json_is_real(value) && !strchr(text, '.')) {
        char *e = strchr(text, 'e');
        char tail[32] = "";

        if (e) {
            snprintf(tail, sizeof(tail), "%s", e);
            *e = '\0';
        }
        len = snprintf(text + strlen(text), sizeof(text) - strlen(text), ".0%s", tail);
        len = len < 0 ? len : (int)strlen(text);
    }
    return emit_scalar(writer, text, (size_t)len, false);
}

static int write_value(struct writer *writer, const json_t *value, unsigned depth)
{
    if (depth > NEXUS_YAML_NESTING_MAX)
        return hm_fail(writer->error, HM_ELIMIT, "cannot write YAML: nested deeper than %d",
                       NEXUS_YAML_NESTING_MAX);
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return write_object(writer, value, depth);
    case JSON_ARRAY:
        return write_array(writer, value, depth);
    case JSON_STRING:
        return emit_scalar(writer, json_string_value(value), json_string_length(value), true);
    case JSON_INTEGER:
    case JSON_REAL:
        return write_number(writer, value);
    case JSON_TRUE:
        return emit_scalar(writer, "true", 4, false);
    case JSON_FALSE:
        return emit_scalar(writer, "false", 5, false);
    default:
        return emit_scalar(writer, "null", 4, false);
    }
}

static int write_document(struct writer *writer, const json_t *value)
{
    yaml_event_t event;
    int rc = emit(writer, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));

    if (!rc)
        rc = emit(writer, &event,
                  yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
    if (!rc)
        rc = write_value(writer, value, 0);
    if (!rc)
        rc = emit(writer, &event, yaml_document_end_event_initialize(&event, 1));
    if (!rc)
        rc = emit(writer, &event, yaml_stream_end_event_initialize(&event));
    return rc;
}

int nexus_yaml_write(const json_t *value, struct hm_buf *out, struct hm_error *error)
{
    struct writer writer = {.error = error};
    size_t start = out->len;
    int rc;

    if (!yaml_emitter_initialize(&writer.emitter))
        return hm_fail(error, HM_ENOMEM, "no memory to write YAML");
    yaml_emitter_set_output(&writer.emitter, take_bytes, out);
    yaml_emitter_set_unicode(&writer.emitter, 1);
    yaml_emitter_set_width(&writer.emitter, -1);
    rc = write_document(&writer, value);
    if (!rc && !yaml_emitter_flush(&writer.emitter))
        rc = hm_fail(error, HM_ENOMEM, "no memory to write YAML");
    yaml_emitter_delete(&writer.emitter);
    if (rc)
        out->len = start;
    return rc;
}
