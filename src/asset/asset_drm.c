/* Graphics cards by the kernel's DRM: AMD and Intel in full, NVIDIA's when its own library does not run.
 * Files: Documentation/gpu/amdgpu/driver-misc.rst and the kernel's sysfs ABI documents. */
#include "asset_gpu.h"

#include <dirent.h>

#define DRM_VENDOR_AMD    0x1002
#define DRM_VENDOR_INTEL  0x8086
#define DRM_VENDOR_NVIDIA 0x10de
#define DRM_PCI_BYTES     32

/* card0, card1, ...; not the connectors card0-HDMI-A-1 nor renderD128. */
static bool drm_is_card(const char *name)
{
    uint64_t number;

    return strncmp(name, "card", 4) == 0 && asset_text_u64(hm_slice_str(name + 4), &number);
}

static bool drm_pci_address(const char *sysfs, const char *card, char out[DRM_PCI_BYTES])
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct hm_slice value;

    if (asset_read_prefix(NULL, &text, 4096, "%s/class/drm/%s/device/uevent", sysfs, card) != 0 ||
        !asset_text_field(hm_buf_slice(&text), "PCI_SLOT_NAME", '=', &value))
        return false;
    asset_text_id(value, out, DRM_PCI_BYTES);
    return out[0] != '\0';
}

static const char *drm_vendor_name(uint64_t vendor)
{
    if (vendor == DRM_VENDOR_AMD)
        return "amd";
    return vendor == DRM_VENDOR_INTEL ? "intel" : "nvidia";
}

static void drm_add_live(struct asset_builder *build, struct asset_item *item, const char *card,
                         uint64_t memory)
{
    uint64_t value;

    if (memory > 0 &&
        asset_read_u64(&value, "%s/class/drm/%s/device/mem_info_vram_used", build->sysfs, card) &&
        value <= memory)
        asset_build_live(build, item, "memory-free-bytes", "%" PRIu64, memory - value);
    if (asset_read_u64(&value, "%s/class/drm/%s/device/gpu_busy_percent", build->sysfs, card) &&
        value <= 100)
        asset_build_live(build, item, "utilisation-percent", "%" PRIu64, value);
    /* Intel: current frequency, in MHz. */
    if (asset_read_u64(&value, "%s/class/drm/%s/gt_act_freq_mhz", build->sysfs, card))
        asset_build_live(build, item, "mhz", "%" PRIu64, value);
}

/* Names as the vendors' CDI generators make them: AMD counts its cards, Intel joins the PCI address and the
 * device's number with dashes. */
static void drm_add_cdi(struct asset_builder *build, struct asset_item *item, uint64_t vendor,
                        const char *pci, uint64_t device, unsigned amd_index)
{
    char dashed[DRM_PCI_BYTES];

    if (vendor == DRM_VENDOR_AMD) {
        asset_build_attribute(build, item, "cdi", "amd.com/gpu=%u", amd_index);
        return;
    }
    snprintf(dashed, sizeof(dashed), "%s", pci);
    for (char *c = dashed; *c != '\0'; c++)
        if (*c == '.')
            *c = '-';
    asset_build_attribute(build, item, "cdi", "intel.com/gpu=%s-0x%04" PRIx64, dashed,
                          device & 0xffff);
}

static void drm_add_card(struct asset_builder *build, const char *card, uint64_t vendor,
                         const char *pci, unsigned amd_index)
{
    uint64_t device = 0, memory = 0;
    char name[96], size[32];
    struct asset_item *item;

    item = asset_build_item(build, HYPERMESH__ASSET_KIND__GPU, "gpu-%s", pci);
    if (item == NULL)
        return;
    asset_read_u64(&device, "%s/class/drm/%s/device/device", build->sysfs, card);
    if (!asset_read_u64(&memory, "%s/class/drm/%s/device/mem_info_vram_total", build->sysfs, card))
        asset_read_u64(&memory, "%s/class/drm/%s/lmem_total_bytes", build->sysfs, card);
    if (!asset_read_text(name, sizeof(name), "%s/class/drm/%s/device/product_name", build->sysfs,
                         card))
        snprintf(name, sizeof(name), "%s GPU %04" PRIx64 ":%04" PRIx64,
                 vendor == DRM_VENDOR_AMD     ? "AMD"
                 : vendor == DRM_VENDOR_INTEL ? "Intel"
                                              : "NVIDIA",
                 vendor, device & 0xffff);
    item->found.capacity = ASSET_GPU_CAPACITY;
    hm_size_format(memory, size);
    asset_build_title(build, item, "%s%s%s", name, memory == 0 ? "" : ", ",
                      memory == 0 ? "" : size);
    asset_build_attribute(build, item, "vendor", "%s", drm_vendor_name(vendor));
    asset_build_attribute(build, item, "name", "%s", name);
    asset_build_attribute(build, item, "pci", "%s", pci);
    if (memory > 0)
        asset_build_attribute(build, item, "memory-bytes", "%" PRIu64, memory);
    drm_add_live(build, item, card, memory);
    if (vendor == DRM_VENDOR_NVIDIA) {
        asset_build_unhealthy(build, item,
                              "NVIDIA's driver or its library (NVML) does not run here");
        return;
    }
    item->found.offered = true;
    drm_add_cdi(build, item, vendor, pci, device, amd_index);
}

void asset_probe_drm(struct asset_builder *build, bool nvml_runs)
{
    char path[ASSET_PATH_BYTES], pci[DRM_PCI_BYTES];
    const char **names;
    size_t count;
    unsigned amd_index = 0;

    if (snprintf(path, sizeof(path), "%s/class/drm", build->sysfs) >= (int)sizeof(path) ||
        asset_read_folder(build, path, &names, &count) != 0)
        return; /* a machine without graphics has no such folder */
    for (size_t i = 0; i < count; i++) {
        uint64_t vendor;

        if (!drm_is_card(names[i]) ||
            !asset_read_u64(&vendor, "%s/%s/device/vendor", path, names[i]))
            continue;
        if (vendor != DRM_VENDOR_AMD && vendor != DRM_VENDOR_INTEL && vendor != DRM_VENDOR_NVIDIA)
            continue;
        if (vendor == DRM_VENDOR_NVIDIA && nvml_runs)
            continue;
        if (!drm_pci_address(build->sysfs, names[i], pci)) {
            asset_build_note(
                build, "graphics card %s does not say its PCI address: it is not listed", names[i]);
            continue;
        }
        drm_add_card(build, names[i], vendor, pci, amd_index);
        amd_index += vendor == DRM_VENDOR_AMD;
    }
}

bool asset_drm_busy_path(const char *sysfs, const char *hardware_id, char out[ASSET_PATH_BYTES])
{
    char path[ASSET_PATH_BYTES], pci[DRM_PCI_BYTES];
    struct dirent *entry;
    bool found = false;
    DIR *folder;

    if (strncmp(hardware_id, "gpu-", 4) != 0 ||
        snprintf(path, sizeof(path), "%s/class/drm", sysfs) >= (int)sizeof(path) ||
        (folder = opendir(path)) == NULL)
        return false;
    while (!found && (entry = readdir(folder)) != NULL) {
        uint64_t percent;
        int len;

        if (!drm_is_card(entry->d_name) || !drm_pci_address(sysfs, entry->d_name, pci) ||
            strcmp(pci, hardware_id + 4) != 0)
            continue;
        len = snprintf(out, ASSET_PATH_BYTES, "%s/%s/device/gpu_busy_percent", path, entry->d_name);
        found = len > 0 && len < ASSET_PATH_BYTES && asset_read_u64(&percent, "%s", out);
    }
    closedir(folder);
    return found;
}
