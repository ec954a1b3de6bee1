/* Any bytes as a CDI specification, YAML when the first byte is 'y'; then the edits of all its devices.
 * What comes out holds what the readers promise. */
#include <stdlib.h>

#include "runtime_cdi.h"
#include "runtime_json.h"
#include "runtime_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void must_say(int rc, const struct hm_error *error)
{
    must(rc == 0 || (rc < 0 && error->code == rc && error->text[0] != 0));
}

static void check_edits(const struct runtime_cdi_edits *edits)
{
    must(edits->env_count <= RUNTIME_CDI_MAX_ENV && edits->node_count <= RUNTIME_CDI_MAX_NODES &&
         edits->mount_count <= RUNTIME_CDI_MAX_MOUNTS &&
         edits->hook_count <= RUNTIME_CDI_MAX_HOOKS && edits->gid_count <= RUNTIME_CDI_MAX_GIDS);
    for (size_t i = 0; i < edits->env_count; i++)
        must(strchr(edits->env[i], '=') != NULL && edits->env[i][0] != '=');
    for (size_t i = 0; i < edits->node_count; i++) {
        must(runtime_host_path_check(edits->nodes[i].path, "", NULL) == 0);
        must(runtime_host_path_check(edits->nodes[i].host_path, "", NULL) == 0);
        must(strcmp(edits->nodes[i].path, "/dev/null") != 0);
        must(edits->nodes[i].mode >= -1 && edits->nodes[i].mode <= 0777);
    }
    for (size_t i = 0; i < edits->mount_count; i++) {
        must(runtime_host_path_check(edits->mounts[i].path, "", NULL) == 0);
        must(edits->mounts[i].options.count >= 3);
    }
    for (size_t i = 0; i < edits->hook_count; i++)
        must(edits->hooks[i].path[0] == '/' && edits->hooks[i].timeout_s > 0);
    for (size_t i = 0; i < edits->gid_count; i++)
        must(edits->gids[i] != 0);
}

static void read_all(const struct runtime_cdi_spec *spec, struct hm_arena *arena)
{
    static struct runtime_cdi_edits edits;
    const json_t *devices = json_object_get(spec->json, "devices");
    struct hm_error error = {0};
    RUNTIME_JSON *config = json_pack("{s:{s:{}}, s:{}}", "process", "user", "linux");

    memset(&edits, 0, sizeof(edits));
    edits.arena = arena;
    must_say(runtime_cdi_edits_add(&edits, spec->json, &error), &error);
    for (size_t i = 0; i < json_array_size(devices) && i < 16; i++) {
        const char *name = runtime_json_text(json_array_get(devices, i), "name");

        must(runtime_cdi_spec_device(spec, name) == json_array_get(devices, i));
        must_say(runtime_cdi_edits_add(&edits, json_array_get(devices, i), &error), &error);
    }
    check_edits(&edits);
    for (size_t i = 0; i < edits.node_count; i++)
        edits.nodes[i].type = 'c'; /* as preparing would have found */
    edits.rules = true;
    must(runtime_cdi_apply(&edits, config, &error) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct hm_slice bytes = hm_slice_of(len > 0 ? data + 1 : NULL, len > 0 ? len - 1 : 0);
    struct runtime_cdi_spec spec = {0};
    struct hm_error error = {0};
    struct hm_arena arena;
    int rc;

    hm_arena_init(&arena, (size_t)64 << 20);
    rc = runtime_cdi_spec_parse(bytes,
                                len > 0 && data[0] == 'y' ? RUNTIME_CDI_YAML : RUNTIME_CDI_JSON,
                                "spec", &spec, &error);
    must_say(rc, &error);
    if (rc == 0)
        read_all(&spec, &arena);
    else
        must(spec.json == NULL);
    runtime_cdi_spec_release(&spec);
    hm_arena_release(&arena);
    return 0;
}
