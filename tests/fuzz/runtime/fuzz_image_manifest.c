/* Any bytes as an image's manifest, configuration, index or docker's manifest.json; the first byte
 * chooses which. Results hold what the parsers promise. */
#include <stdlib.h>

#include "runtime_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_digest(const struct runtime_digest *digest)
{
    struct runtime_digest again;

    must(runtime_digest_parse(digest->text, &again, NULL) == 0);
}

static int parse_config(struct hm_slice bytes, struct hm_arena *arena, struct hm_error *error)
{
    static struct runtime_image_config config;
    int rc = runtime_config_parse(bytes, arena, &config, error);

    if (rc != 0)
        return rc;
    must(config.layer_count <= RUNTIME_IMAGE_MAX_LAYERS);
    for (size_t i = 0; i < config.layer_count; i++)
        check_digest(&config.diff_ids[i]);
    for (size_t i = 0; i < config.env_count; i++)
        must(config.env[i] != NULL);
    must(config.workdir != NULL && config.user != NULL);
    return 0;
}

static int parse_manifest(struct hm_slice bytes, struct hm_error *error)
{
    static struct runtime_manifest manifest;
    int rc = runtime_manifest_parse(bytes, &manifest, error);

    if (rc != 0)
        return rc;
    must(manifest.layer_count <= RUNTIME_IMAGE_MAX_LAYERS);
    check_digest(&manifest.config.digest);
    for (size_t i = 0; i < manifest.layer_count; i++)
        check_digest(&manifest.layers[i].digest);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct hm_slice bytes = hm_slice_of(len > 0 ? data + 1 : NULL, len > 0 ? len - 1 : 0);
    struct runtime_docker_archive docker;
    struct runtime_index_choice choice;
    struct hm_error error = {0};
    struct hm_arena arena;
    int rc;

    hm_arena_init(&arena, (size_t)64 << 20);
    switch (len > 0 ? data[0] : 0) {
    case 'c':
        rc = parse_config(bytes, &arena, &error);
        break;
    case 'i':
        rc = runtime_index_parse(bytes, "amd64", &arena, &choice, &error);
        if (rc == 0)
            check_digest(&choice.digest);
        break;
    case 'd':
        rc = runtime_docker_manifest_parse(bytes, &arena, &docker, &error);
        must(rc != 0 ||
             (docker.config_path[0] != 0 && docker.layer_count <= RUNTIME_IMAGE_MAX_LAYERS));
        break;
    default:
        rc = parse_manifest(bytes, &error);
        break;
    }
    must(rc == 0 || (rc < 0 && error.code == rc && error.text[0] != 0));
    hm_arena_release(&arena);
    return 0;
}
