#include "runtime_manifest.h"

#include "runtime_json.h"

#define MANIFEST_MAX_ENTRIES 256

const char *runtime_oci_arch(void)
{
#if defined(__x86_64__)
    return "amd64";
#elif defined(__aarch64__)
    return "arm64";
#else
    return "unknown";
#endif
}

/* No embedded zero: jansson keeps them, everything after us would cut there. */
static bool manifest_text_ok(const json_t *value)
{
    return json_is_string(value) && json_string_length(value) <= RUNTIME_IMAGE_MAX_TEXT_BYTES &&
           strlen(json_string_value(value)) == json_string_length(value);
}

static int manifest_ref(const json_t *object, struct runtime_layer_ref *out, struct hm_error *error)
{
    const json_t *size = json_object_get(object, "size");
    int rc = runtime_digest_parse(runtime_json_text(object, "digest"), &out->digest, error);

    if (rc != 0)
        return rc;
    if (!json_is_integer(size) || json_integer_value(size) < 0 ||
        (uint64_t)json_integer_value(size) > RUNTIME_IMAGE_MAX_BYTES)
        return hm_fail(error, HM_EPARSE, "the size beside a digest is missing or out of range");
    out->bytes = (uint64_t)json_integer_value(size);
    return 0;
}

int runtime_manifest_parse(struct hm_slice bytes, struct runtime_manifest *out,
                           struct hm_error *error)
{
    RUNTIME_JSON *json = NULL;
    struct runtime_layer_ref ref;
    const json_t *layers;
    int rc = runtime_json_parse(bytes, "the image manifest", JSON_OBJECT, &json, error);

    if (rc != 0)
        return rc;
    layers = json_object_get(json, "layers");
    if (!json_is_array(layers) || !json_is_object(json_object_get(json, "config")))
        return hm_fail(error, HM_EPARSE, "the image manifest lacks config or layers");
    if (json_array_size(layers) > RUNTIME_IMAGE_MAX_LAYERS)
        return hm_fail(error, HM_ELIMIT, "the image has more than %d layers",
                       RUNTIME_IMAGE_MAX_LAYERS);
    for (size_t i = 0; i < json_array_size(layers); i++) {
        rc = manifest_ref(json_array_get(layers, i), &ref, error);
        if (rc != 0) {
            (void)hm_error_prefix(error, rc, "layer %zu", i);
            return rc;
        }
    }
    rc = manifest_ref(json_object_get(json, "config"), &ref, error);
    if (rc != 0) {
        (void)hm_error_prefix(error, rc, "config");
        return rc;
    }
    out->config = ref;
    out->layer_count = json_array_size(layers);
    for (size_t i = 0; i < out->layer_count; i++)
        (void)manifest_ref(json_array_get(layers, i), &out->layers[i], NULL);
    return 0;
}

/* Array of strings, or null; copied into the arena. */
static int manifest_texts(const json_t *array, const char *what, struct hm_arena *arena,
                          const char *const **out, size_t *count, struct hm_error *error)
{
    size_t size = json_array_size(array); /* 0 for null and other types */
    char **texts;

    if (array != NULL && !json_is_null(array) && !json_is_array(array))
        return hm_fail(error, HM_EPARSE, "%s is not a list", what);
    if (size > RUNTIME_IMAGE_MAX_ARGS)
        return hm_fail(error, HM_ELIMIT, "%s has more than %d entries", what,
                       RUNTIME_IMAGE_MAX_ARGS);
    texts = hm_arena_alloc(arena, (size + 1) * sizeof(*texts));
    if (texts == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for %s", what);
    for (size_t i = 0; i < size; i++) {
        const json_t *value = json_array_get(array, i);

        if (!manifest_text_ok(value))
            return hm_fail(error, HM_EPARSE, "%s: entry %zu is not a text or too long", what, i);
        texts[i] = hm_arena_strdup(arena, json_string_value(value));
        if (texts[i] == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for %s", what);
    }
    *out = (const char *const *)texts;
    *count = size;
    return 0;
}

static int manifest_word(const json_t *object, const char *key, struct hm_arena *arena,
                         const char **out, struct hm_error *error)
{
    const json_t *value = json_object_get(object, key);

    *out = "";
    if (value == NULL || json_is_null(value))
        return 0;
    if (!manifest_text_ok(value) || json_string_length(value) >= 4096)
        return hm_fail(error, HM_EPARSE, "%s in the image configuration is not a text or too long",
                       key);
    *out = hm_arena_strdup(arena, json_string_value(value));
    return *out != NULL ? 0 : hm_fail(error, HM_ENOMEM, "no memory for %s", key);
}

static int config_diff_ids(const json_t *json, struct runtime_image_config *out,
                           struct hm_error *error)
{
    const json_t *ids = json_object_get(json_object_get(json, "rootfs"), "diff_ids");

    if (!json_is_array(ids))
        return hm_fail(error, HM_EPARSE, "the image configuration lacks rootfs.diff_ids");
    if (json_array_size(ids) > RUNTIME_IMAGE_MAX_LAYERS)
        return hm_fail(error, HM_ELIMIT, "the image has more than %d layers",
                       RUNTIME_IMAGE_MAX_LAYERS);
    out->layer_count = json_array_size(ids);
    for (size_t i = 0; i < out->layer_count; i++) {
        int rc = runtime_digest_parse(json_string_value(json_array_get(ids, i)), &out->diff_ids[i],
                                      error);

        if (rc != 0) {
            (void)hm_error_prefix(error, rc, "rootfs.diff_ids[%zu]", i);
            return rc;
        }
    }
    return 0;
}

int runtime_config_parse(struct hm_slice bytes, struct hm_arena *arena,
                         struct runtime_image_config *out, struct hm_error *error)
{
    struct runtime_image_config config = {0};
    RUNTIME_JSON *json = NULL;
    const json_t *inner;
    const char *arch;
    int rc = runtime_json_parse(bytes, "the image configuration", JSON_OBJECT, &json, error);

    if (rc != 0)
        return rc;
    inner = json_object_get(json, "config");
    arch = runtime_json_text(json, "architecture");
    if (arch != NULL && strcmp(arch, runtime_oci_arch()) != 0)
        return hm_fail(error, HM_EUNSUPPORTED, "the image is for another architecture than %s",
                       runtime_oci_arch());
    rc = config_diff_ids(json, &config, error);
    if (rc == 0)
        rc = manifest_texts(json_object_get(inner, "Entrypoint"), "Entrypoint", arena,
                            &config.entrypoint, &config.entrypoint_count, error);
    if (rc == 0)
        rc = manifest_texts(json_object_get(inner, "Cmd"), "Cmd", arena, &config.command,
                            &config.command_count, error);
    if (rc == 0)
        rc = manifest_texts(json_object_get(inner, "Env"), "Env", arena, &config.env,
                            &config.env_count, error);
    if (rc == 0)
        rc = manifest_word(inner, "WorkingDir", arena, &config.workdir, error);
    if (rc == 0)
        rc = manifest_word(inner, "User", arena, &config.user, error);
    if (rc == 0)
        *out = config;
    return rc;
}

static bool index_entry_fits(const json_t *entry, const char *arch)
{
    const json_t *platform = json_object_get(entry, "platform");
    const char *os = runtime_json_text(platform, "os");
    const char *entry_arch = runtime_json_text(platform, "architecture");

    return os != NULL && strcmp(os, "linux") == 0 && entry_arch != NULL &&
           strcmp(entry_arch, arch) == 0;
}

int runtime_index_parse(struct hm_slice bytes, const char *arch, struct hm_arena *arena,
                        struct runtime_index_choice *out, struct hm_error *error)
{
    RUNTIME_JSON *json = NULL;
    struct runtime_layer_ref ref;
    const json_t *entries, *entry = NULL, *name;
    const char *type, *name_copy = NULL;
    int rc = runtime_json_parse(bytes, "the image index", JSON_OBJECT, &json, error);

    if (rc != 0)
        return rc;
    entries = json_object_get(json, "manifests");
    if (json_array_size(entries) == 0 || json_array_size(entries) > MANIFEST_MAX_ENTRIES)
        return hm_fail(error, HM_EPARSE, "the image index has no manifests, or more than %d",
                       MANIFEST_MAX_ENTRIES);
    for (size_t i = 0; i < json_array_size(entries) && entry == NULL; i++) {
        if (index_entry_fits(json_array_get(entries, i), arch))
            entry = json_array_get(entries, i);
    }
    if (entry == NULL && json_array_size(entries) == 1)
        entry = json_array_get(entries, 0);
    if (entry == NULL)
        return hm_fail(error, HM_EUNSUPPORTED, "the image index has no manifest for linux/%s",
                       arch);
    rc = manifest_ref(entry, &ref, error);
    if (rc != 0)
        return rc;
    name = json_object_get(json_object_get(entry, "annotations"),
                           "org.opencontainers.image.ref.name");
    if (manifest_text_ok(name)) {
        name_copy = hm_arena_strdup(arena, json_string_value(name));
        if (name_copy == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for the image's name");
    }
    type = runtime_json_text(entry, "mediaType");
    *out = (struct runtime_index_choice){
        .digest = ref.digest,
        .bytes = ref.bytes,
        .is_index = type != NULL &&
                    (strstr(type, "image.index") != NULL || strstr(type, "manifest.list") != NULL),
        .name = name_copy,
    };
    return 0;
}

int runtime_docker_manifest_parse(struct hm_slice bytes, struct hm_arena *arena,
                                  struct runtime_docker_archive *out, struct hm_error *error)
{
    struct runtime_docker_archive found = {0};
    RUNTIME_JSON *json = NULL;
    const json_t *image;
    const json_t *tags;
    int rc = runtime_json_parse(bytes, "manifest.json", JSON_ARRAY, &json, error);

    if (rc != 0)
        return rc;
    if (json_array_size(json) != 1)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "the archive holds %zu images, not one; save one at a time",
                       json_array_size(json));
    image = json_array_get(json, 0);
    rc = manifest_word(image, "Config", arena, &found.config_path, error);
    if (rc == 0)
        rc = manifest_texts(json_object_get(image, "Layers"), "Layers", arena, &found.layer_paths,
                            &found.layer_count, error);
    if (rc != 0)
        return rc;
    if (found.config_path[0] == 0 || found.layer_count > RUNTIME_IMAGE_MAX_LAYERS)
        return hm_fail(error, HM_EPARSE, "manifest.json lacks Config, or has more than %d layers",
                       RUNTIME_IMAGE_MAX_LAYERS);
    tags = json_array_get(json_object_get(image, "RepoTags"), 0);
    if (manifest_text_ok(tags)) {
        found.name = hm_arena_strdup(arena, json_string_value(tags));
        if (found.name == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for the image's name");
    }
    *out = found;
    return 0;
}
