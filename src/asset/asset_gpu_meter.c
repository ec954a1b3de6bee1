#include "asset_gpu.h"

struct meter_device {
    asset_nvml_device nvml; /* NULL: by file */
    char busy_path[ASSET_PATH_BYTES];
};

struct asset_gpu_meter {
    struct asset_nvml *nvml; /* its own: the scanner's may be closed meanwhile */
    uint64_t last_ns;
    uint64_t busy_ns;
    bool incomplete;
    size_t count;
    struct meter_device devices[];
};

static void meter_free(struct asset_gpu_meter *meter)
{
    asset_nvml_close(meter->nvml);
    hm_free(meter);
}

static int meter_read(struct asset_gpu_meter *meter, const struct meter_device *device,
                      unsigned *percent, struct hm_error *error)
{
    uint64_t value;

    if (device->nvml != NULL)
        return asset_nvml_utilisation(meter->nvml, device->nvml, percent, error);
    if (!asset_read_u64(&value, "%s", device->busy_path) || value > 100)
        return hm_fail(error, HM_EIO, "%s cannot be read", device->busy_path);
    *percent = (unsigned)value;
    return 0;
}

static int meter_open_device(struct asset_gpu_meter *meter, const char *sysfs, const char *library,
                             const char *hardware_id, struct hm_error *error)
{
    struct meter_device *device = &meter->devices[meter->count];
    unsigned percent;
    int rc = 0;

    /* Ids that NVML gives start with capitals, those of DRM with "gpu-". */
    if (!asset_drm_busy_path(sysfs, hardware_id, device->busy_path)) {
        if (strncmp(hardware_id, "GPU-", 4) != 0)
            return hm_fail(error, HM_EUNAVAILABLE, "%s has no counter of its utilisation",
                           hardware_id);
        if (meter->nvml == NULL)
            rc = asset_nvml_open(library, &meter->nvml, error);
        if (rc == 0)
            rc = asset_nvml_find(meter->nvml, hardware_id, &device->nvml, error);
    }
    if (rc == 0 && meter_read(meter, device, &percent, error) != 0)
        rc = hm_fail(error, HM_EUNAVAILABLE, "%s does not say its utilisation", hardware_id);
    if (rc == 0)
        meter->count++;
    return rc;
}

int asset_gpu_meter_start(const struct asset_sources *sources, const char *const *hardware_ids,
                          size_t count, uint64_t now_ns, struct asset_gpu_meter **out,
                          struct hm_error *error)
{
    const char *sysfs = sources == NULL || sources->sysfs == NULL ? "/sys" : sources->sysfs;
    const char *library = sources == NULL || sources->nvml == NULL ? ASSET_NVML_LIBRARY
                                                                   : sources->nvml;
    struct asset_gpu_meter *meter;

    if (count == 0 || count > ASSET_GPU_METER_MAX)
        return hm_fail(error, HM_EINVAL, "a GPU meter watches 1 to %d devices, not %zu",
                       ASSET_GPU_METER_MAX, count);
    meter = hm_calloc(1, sizeof(*meter) + count * sizeof(meter->devices[0]));
    if (meter == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a GPU meter");
    meter->last_ns = now_ns;
    for (size_t i = 0; i < count; i++) {
        int rc = meter_open_device(meter, sysfs, library, hardware_ids[i], error);

        if (rc != 0) {
            meter_free(meter);
            return rc;
        }
    }
    *out = meter;
    return 0;
}

void asset_gpu_meter_sample(struct asset_gpu_meter *meter, uint64_t now_ns)
{
    uint64_t span;

    if (!hm_sub_u64(now_ns, meter->last_ns, &span) || span == 0)
        return;
    meter->last_ns = now_ns;
    for (size_t i = 0; i < meter->count; i++) {
        unsigned percent;
        uint64_t busy;

        if (meter_read(meter, &meter->devices[i], &percent, NULL) != 0 ||
            !hm_muldiv_u64(span, percent, 100, &busy) || !hm_add_u64(meter->busy_ns, busy, &busy)) {
            meter->incomplete = true;
            continue;
        }
        meter->busy_ns = busy;
    }
}

int asset_gpu_meter_stop(struct asset_gpu_meter *meter, uint64_t now_ns, uint64_t *busy_ns,
                         struct hm_error *error)
{
    int rc = 0;

    if (meter == NULL) {
        *busy_ns = 0;
        return 0;
    }
    asset_gpu_meter_sample(meter, now_ns);
    *busy_ns = meter->busy_ns;
    if (meter->incomplete)
        rc = hm_fail(error, HM_EIO,
                     "a GPU did not always say its utilisation: its busy time is a "
                     "lower bound");
    meter_free(meter);
    return rc;
}
