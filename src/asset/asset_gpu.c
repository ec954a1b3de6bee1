/* GPUs: NVIDIA's by NVML, then every other card that the kernel's DRM shows. */
#include "asset_gpu.h"

static void gpu_add_nvidia(struct asset_builder *build, const struct asset_nvml *nvml,
                           const struct asset_nvml_gpu *gpu)
{
    char uuid[ASSET_GPU_ID_BYTES], size[32];
    struct asset_item *item;

    asset_text_id(hm_slice_str(gpu->uuid), uuid, sizeof(uuid));
    item = asset_build_item(build, HYPERMESH__ASSET_KIND__GPU, "%s", uuid);
    if (item == NULL)
        return;
    item->found.capacity = ASSET_GPU_CAPACITY;
    item->found.offered = gpu->mig != 1;
    hm_size_format(gpu->memory_total, size);
    asset_build_title(build, item, "%s, %s", gpu->name,
                      gpu->memory_total == 0 ? "memory not said" : size);
    asset_build_attribute(build, item, "vendor", "nvidia");
    asset_build_attribute(build, item, "name", "%s", gpu->name);
    asset_build_attribute(build, item, "driver", "%s", asset_nvml_driver(nvml));
    asset_build_attribute(build, item, "cdi", "nvidia.com/gpu=%s", uuid);
    asset_build_attribute(build, item, "pci", "%s", gpu->pci);
    if (gpu->memory_total > 0)
        asset_build_attribute(build, item, "memory-bytes", "%" PRIu64, gpu->memory_total);
    if (gpu->mig >= 0)
        asset_build_attribute(build, item, "mig", "%s", gpu->mig == 1 ? "on" : "off");
    if (gpu->mig == 1)
        asset_build_note(build, "GPU %s is split by MIG: its instances are not supported yet",
                         uuid);
    if (gpu->memory_total > 0)
        asset_build_live(build, item, "memory-free-bytes", "%" PRIu64, gpu->memory_free);
    if (gpu->utilisation >= 0)
        asset_build_live(build, item, "utilisation-percent", "%d", gpu->utilisation);
    if (gpu->temperature_c >= 0)
        asset_build_live(build, item, "temperature-c", "%d", gpu->temperature_c);
    if (gpu->power_mw >= 0)
        asset_build_live(build, item, "power-mw", "%" PRId64, gpu->power_mw);
    if (gpu->clock_mhz >= 0)
        asset_build_live(build, item, "mhz", "%" PRId64, gpu->clock_mhz);
    if (gpu->fault[0] != '\0')
        asset_build_unhealthy(build, item, "%s", gpu->fault);
}

/* Whether NVML runs; what does not answer becomes a note. */
static bool gpu_probe_nvidia(struct asset_builder *build)
{
    struct hm_error why;
    struct asset_nvml *nvml = asset_scanner_nvml(build, &why);
    unsigned count;
    bool lost = false;

    if (nvml == NULL)
        return false;
    if (asset_nvml_count(nvml, &count, &why) != 0) {
        asset_build_note(build, "%s", why.text);
        count = 0;
        lost = true;
    }
    for (unsigned i = 0; i < count; i++) {
        struct asset_nvml_gpu gpu;

        if (asset_nvml_read(nvml, i, &gpu, &why) == 0) {
            gpu_add_nvidia(build, nvml, &gpu);
            continue;
        }
        asset_build_note(build, "%s", why.text);
        lost = true;
    }
    /* A device that fell off or came back is seen again only by a library that starts anew. */
    if (lost) {
        asset_nvml_close(build->scanner->nvml);
        build->scanner->nvml = NULL;
    }
    return true;
}

void asset_probe_gpu(struct asset_builder *build)
{
    bool nvml_runs = gpu_probe_nvidia(build);

    asset_probe_drm(build, nvml_runs);
}

/* FNV-1a over the names of NVIDIA's devices: changes when one comes or goes. */
static uint64_t gpu_driver_key(struct asset_builder *build)
{
    char path[ASSET_PATH_BYTES];
    uint64_t key = UINT64_C(14695981039346656037);
    const char **names;
    size_t count;

    if (snprintf(path, sizeof(path), "%s/driver/nvidia/gpus", build->procfs) >= (int)sizeof(path) ||
        asset_read_folder(build, path, &names, &count) != 0)
        return 0;
    for (size_t i = 0; i < count; i++)
        for (const char *c = names[i];; c++) {
            key = (key ^ (uint8_t)*c) * UINT64_C(1099511628211);
            if (*c == '\0')
                break;
        }
    return key;
}

struct asset_nvml *asset_scanner_nvml(struct asset_builder *build, struct hm_error *error)
{
    struct asset_scanner *scanner = build->scanner;
    uint64_t key = gpu_driver_key(build);
    int rc;

    if (scanner->nvml != NULL && scanner->nvml_key == key &&
        strcmp(scanner->nvml_path, build->nvml) == 0)
        return scanner->nvml;
    asset_nvml_close(scanner->nvml);
    scanner->nvml = NULL;
    rc = asset_nvml_open(build->nvml, &scanner->nvml, error);
    build->failed |= rc == HM_ENOMEM;
    if (rc != 0)
        return NULL;
    scanner->nvml_key = key;
    snprintf(scanner->nvml_path, sizeof(scanner->nvml_path), "%s", build->nvml);
    return scanner->nvml;
}
