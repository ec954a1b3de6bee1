#include "runtime_cdi.h"

#include <ctype.h>

#include "runtime_json.h"
#include "runtime_path.h"
#include "runtime_yaml.h"

#define CDI_CLASS_MAX_BYTES 63

/* --- names ------------------------------------------------------------------------------------------ */
/* Letters and digits, with those of `inner` between them. */
static bool cdi_word(const char *text, size_t len, const char *inner)
{
    for (size_t i = 0; i < len; i++) {
        bool edge = i == 0 || i + 1 == len;

        if (!isalnum((unsigned char)text[i]) &&
            (edge || text[i] == 0 || strchr(inner, text[i]) == NULL))
            return false;
    }
    return len > 0;
}

/* Length of "vendor/class" at the start of text, ended by `end`; 0 when it is none. */
static size_t cdi_kind_len(const char *text, char end)
{
    size_t vendor = strcspn(text, "/");
    size_t class_at = vendor + 1;
    size_t class_len;

    if (text[vendor] != '/' || vendor > RUNTIME_CDI_MAX_KIND_BYTES - CDI_CLASS_MAX_BYTES - 1)
        return 0;
    class_len = strcspn(text + class_at, "=");
    if (text[class_at + class_len] != end || class_len > CDI_CLASS_MAX_BYTES)
        return 0;
    return cdi_word(text, vendor, "-_.") && cdi_word(text + class_at, class_len, "-_.")
               ? class_at + class_len
               : 0;
}

static bool cdi_device_name(const char *text)
{
    size_t len = strlen(text);

    return len <= RUNTIME_CDI_MAX_NAME_BYTES && cdi_word(text, len, "-_.:");
}

size_t runtime_cdi_name_check(const char *name)
{
    size_t len = cdi_kind_len(name, '=');

    return len > 0 && cdi_device_name(name + len + 1) ? len : 0;
}

/* --- one specification ------------------------------------------------------------------------------ */
void runtime_cdi_spec_release(struct runtime_cdi_spec *spec)
{
    json_decref(spec->json);
    *spec = (struct runtime_cdi_spec){0};
}

/* "0.3.0" to "1.x": later ones may mean something else by the same words. */
static bool cdi_version_known(const char *text)
{
    size_t whole = strspn(text, "0123456789");
    size_t rest = whole + (text[whole] == '.');

    return whole == 1 && (text[0] == '0' || text[0] == '1') && rest == 2 &&
           isdigit((unsigned char)text[rest]) &&
           text[rest + strspn(text + rest, "0123456789.")] == 0 &&
           (text[0] == '1' || text[rest + 1] != '.' || text[rest] >= '3');
}

static int spec_check_devices(const json_t *devices, const char *what, struct hm_error *error)
{
    RUNTIME_JSON *seen = json_object();

    if (!json_is_array(devices) || json_array_size(devices) == 0)
        return hm_fail(error, HM_EPARSE, "%s: \"devices\" names no device", what);
    if (json_array_size(devices) > RUNTIME_CDI_MAX_DEVICES)
        return hm_fail(error, HM_ELIMIT, "%s: more than %d devices", what, RUNTIME_CDI_MAX_DEVICES);
    for (size_t i = 0; i < json_array_size(devices); i++) {
        const char *name = runtime_json_text(json_array_get(devices, i), "name");

        if (name == NULL || !cdi_device_name(name))
            return hm_fail(error, HM_EPARSE,
                           "%s: devices[%zu]: \"name\" is missing or no device name (a number must "
                           "be put in quotes)",
                           what, i);
        if (json_object_get(seen, name) != NULL)
            return hm_fail(error, HM_EPARSE, "%s: device \"%s\" is given twice", what, name);
        if (json_object_set_new(seen, name, json_true()) != 0)
            return hm_fail(error, HM_ENOMEM, "%s: no memory to read it", what);
    }
    return 0;
}

int runtime_cdi_spec_parse(struct hm_slice bytes, enum runtime_cdi_format format, const char *what,
                           struct runtime_cdi_spec *out, struct hm_error *error)
{
    HM_CLEANUP(runtime_cdi_spec) struct runtime_cdi_spec spec = {0};
    const char *version;
    int rc;

    if (bytes.len > RUNTIME_CDI_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "%s is larger than %zu bytes", what,
                       RUNTIME_CDI_MAX_BYTES);
    rc = format == RUNTIME_CDI_YAML
             ? runtime_yaml_parse(bytes, what, &spec.json, error)
             : runtime_json_parse(bytes, what, JSON_OBJECT, &spec.json, error);
    if (rc != 0)
        return rc;
    version = runtime_json_text(spec.json, "cdiVersion");
    if (version == NULL || !cdi_version_known(version))
        return hm_fail(error, HM_EUNSUPPORTED,
                       "%s: \"cdiVersion\" is missing or not one known here (0.3.0 to 1.x)", what);
    spec.kind = runtime_json_text(spec.json, "kind");
    if (spec.kind == NULL || cdi_kind_len(spec.kind, 0) == 0)
        return hm_fail(error, HM_EPARSE, "%s: \"kind\" is not like vendor.com/class", what);
    rc = spec_check_devices(json_object_get(spec.json, "devices"), what, error);
    if (rc != 0)
        return rc;
    *out = spec;
    spec.json = NULL;
    return 0;
}

const json_t *runtime_cdi_spec_device(const struct runtime_cdi_spec *spec, const char *name)
{
    const json_t *devices = json_object_get(spec->json, "devices");

    for (size_t i = 0; i < json_array_size(devices); i++) {
        const json_t *device = json_array_get(devices, i);

        if (strcmp(runtime_json_text(device, "name"), name) == 0)
            return device;
    }
    return NULL;
}

int runtime_cdi_env_set(struct runtime_cdi_edits *edits, const char *text, struct hm_error *error)
{
    size_t name = strcspn(text, "=");
    size_t at = 0;
    char *copy;

    if (name == 0 || text[name] != '=' || strlen(text) > RUNTIME_CDI_MAX_TEXT_BYTES)
        return hm_fail(error, HM_EPARSE,
                       "an environment variable of a CDI device is not NAME=value");
    while (at < edits->env_count && strncmp(edits->env[at], text, name + 1) != 0)
        at++;
    if (at == RUNTIME_CDI_MAX_ENV)
        return hm_fail(error, HM_ELIMIT, "CDI devices set more than %d variables",
                       RUNTIME_CDI_MAX_ENV);
    copy = hm_arena_strdup(edits->arena, text);
    if (copy == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a CDI device");
    edits->env[at] = copy;
    edits->env_count += at == edits->env_count;
    return 0;
}
