#include "asset_nvml.h"

#include <dlfcn.h>
#include <stdio.h>

#define NVML_TEXT_BYTES        96 /* NVML_DEVICE_UUID_V2_BUFFER_SIZE, NVML_DEVICE_NAME_V2_BUFFER_SIZE */
#define NVML_TEMPERATURE_GPU   0
#define NVML_CLOCK_SM          1
#define NVML_MAX_DEVICES       256
#define NVML_MEMORY_SANE_BYTES (UINT64_C(1) << 50)

struct nvml_memory {
    unsigned long long total, free, used;
};

struct nvml_utilization {
    unsigned gpu, memory;
};

struct nvml_pci {
    char bus_id_legacy[16];
    unsigned domain, bus, device, pci_device_id, pci_sub_system_id;
    char bus_id[32];
};

/* name in the library, member, whether nothing works without it */
#define NVML_CALLS(X)                                                                       \
    X("nvmlInit_v2", init, true, (void))                                                    \
    X("nvmlShutdown", shutdown, true, (void))                                               \
    X("nvmlDeviceGetCount_v2", count, true, (unsigned *))                                   \
    X("nvmlDeviceGetHandleByIndex_v2", by_index, true, (unsigned, asset_nvml_device *))     \
    X("nvmlDeviceGetHandleByUUID", by_uuid, true, (const char *, asset_nvml_device *))      \
    X("nvmlDeviceGetUUID", uuid, true, (asset_nvml_device, char *, unsigned))               \
    X("nvmlDeviceGetName", name, true, (asset_nvml_device, char *, unsigned))               \
    X("nvmlDeviceGetMemoryInfo", memory, true, (asset_nvml_device, struct nvml_memory *))   \
    X("nvmlDeviceGetUtilizationRates", rates, true,                                         \
      (asset_nvml_device, struct nvml_utilization *))                                       \
    X("nvmlSystemGetDriverVersion", driver, false, (char *, unsigned))                      \
    X("nvmlDeviceGetTemperature", temperature, false, (asset_nvml_device, int, unsigned *)) \
    X("nvmlDeviceGetPowerUsage", power, false, (asset_nvml_device, unsigned *))             \
    X("nvmlDeviceGetClockInfo", clock, false, (asset_nvml_device, int, unsigned *))         \
    X("nvmlDeviceGetMigMode", mig, false, (asset_nvml_device, unsigned *, unsigned *))      \
    X("nvmlDeviceGetPciInfo_v3", pci, false, (asset_nvml_device, struct nvml_pci *))

struct asset_nvml {
    void *library;
    const char *(*error_string)(int result);
#define NVML_MEMBER(symbol, member, needed, arguments) int(*member) arguments;
    NVML_CALLS(NVML_MEMBER)
#undef NVML_MEMBER
    char driver_text[NVML_TEXT_BYTES];
};

/* ISO C has no conversion from dlsym's pointer to a function pointer; POSIX says the bytes are the same. */
static bool nvml_symbol(void *library, const char *name, void *member, size_t member_bytes)
{
    void *symbol = dlsym(library, name);

    if (symbol == NULL)
        return false;
    memcpy(member, &symbol, member_bytes < sizeof(symbol) ? member_bytes : sizeof(symbol));
    return true;
}

static const char *nvml_why(const struct asset_nvml *nvml, int result)
{
    const char *text = nvml->error_string == NULL ? NULL : nvml->error_string(result);

    return text == NULL ? "an error without a text" : text;
}

static int nvml_load(struct asset_nvml *nvml, const char *library, struct hm_error *error)
{
    const char *missing = NULL;

    nvml->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (nvml->library == NULL)
        return hm_fail(error, HM_EUNAVAILABLE, "%s is not on this machine", library);
    (void)nvml_symbol(nvml->library, "nvmlErrorString", &nvml->error_string,
                      sizeof(nvml->error_string));
#define NVML_LOAD(symbol, member, needed, arguments)                                            \
    if (!nvml_symbol(nvml->library, symbol, &nvml->member, sizeof(nvml->member)) && (needed) && \
        missing == NULL)                                                                        \
        missing = symbol;
    NVML_CALLS(NVML_LOAD)
#undef NVML_LOAD
    if (missing != NULL)
        return hm_fail(error, HM_EUNAVAILABLE, "%s has no %s: the driver is too old", library,
                       missing);
    return 0;
}

int asset_nvml_open(const char *library, struct asset_nvml **out, struct hm_error *error)
{
    struct asset_nvml *nvml = hm_calloc(1, sizeof(*nvml));
    int rc, result;

    if (nvml == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for NVML");
    rc = nvml_load(nvml, library, error);
    if (rc == 0 && (result = nvml->init()) != 0)
        rc = hm_fail(error, HM_EUNAVAILABLE, "NVML does not start: %s", nvml_why(nvml, result));
    if (rc != 0) {
        if (nvml->library != NULL)
            dlclose(nvml->library);
        hm_free(nvml);
        return rc;
    }
    if (nvml->driver == NULL || nvml->driver(nvml->driver_text, sizeof(nvml->driver_text)) != 0)
        nvml->driver_text[0] = '\0';
    nvml->driver_text[sizeof(nvml->driver_text) - 1] = '\0';
    *out = nvml;
    return 0;
}

void asset_nvml_close(struct asset_nvml *nvml)
{
    if (nvml == NULL)
        return;
    (void)nvml->shutdown();
    dlclose(nvml->library);
    hm_free(nvml);
}

const char *asset_nvml_driver(const struct asset_nvml *nvml)
{
    return nvml->driver_text;
}

int asset_nvml_count(struct asset_nvml *nvml, unsigned *count, struct hm_error *error)
{
    unsigned value = 0;
    int result = nvml->count(&value);

    if (result != 0)
        return hm_fail(error, HM_EIO, "NVML does not count its devices: %s",
                       nvml_why(nvml, result));
    if (value > NVML_MAX_DEVICES)
        return hm_fail(error, HM_ELIMIT, "NVML counts %u devices, at most %d are understood", value,
                       NVML_MAX_DEVICES);
    *count = value;
    return 0;
}

static void nvml_read_facts(struct asset_nvml *nvml, struct asset_nvml_gpu *out)
{
    unsigned current, pending;
    struct nvml_memory memory = {0};
    struct nvml_pci pci = {0};
    int result;

    result = nvml->name(out->handle, out->name, sizeof(out->name));
    if (result != 0)
        snprintf(out->name, sizeof(out->name), "NVIDIA GPU");
    out->name[sizeof(out->name) - 1] = '\0';
    result = nvml->memory(out->handle, &memory);
    if (result != 0)
        snprintf(out->fault, sizeof(out->fault), "its memory cannot be read: %s",
                 nvml_why(nvml, result));
    else if (memory.total <= NVML_MEMORY_SANE_BYTES && memory.free <= memory.total) {
        out->memory_total = memory.total;
        out->memory_free = memory.free;
    }
    if (nvml->mig != NULL && nvml->mig(out->handle, &current, &pending) == 0)
        out->mig = current != 0;
    if (nvml->pci != NULL && nvml->pci(out->handle, &pci) == 0) {
        pci.bus_id[sizeof(pci.bus_id) - 1] = '\0';
        snprintf(out->pci, sizeof(out->pci), "%s", pci.bus_id);
    }
}

static void nvml_read_live(struct asset_nvml *nvml, struct asset_nvml_gpu *out)
{
    struct nvml_utilization rates = {0};
    unsigned value;

    if (nvml->rates(out->handle, &rates) == 0 && rates.gpu <= 100)
        out->utilisation = (int)rates.gpu;
    if (nvml->temperature != NULL &&
        nvml->temperature(out->handle, NVML_TEMPERATURE_GPU, &value) == 0 && value < 1000)
        out->temperature_c = (int)value;
    if (nvml->power != NULL && nvml->power(out->handle, &value) == 0)
        out->power_mw = value;
    if (nvml->clock != NULL && nvml->clock(out->handle, NVML_CLOCK_SM, &value) == 0)
        out->clock_mhz = value;
}

int asset_nvml_read(struct asset_nvml *nvml, unsigned index, struct asset_nvml_gpu *out,
                    struct hm_error *error)
{
    struct asset_nvml_gpu gpu = {
        .utilisation = -1, .temperature_c = -1, .power_mw = -1, .clock_mhz = -1, .mig = -1};
    int result = nvml->by_index(index, &gpu.handle);

    if (result != 0)
        return hm_fail(error, HM_EIO, "GPU %u does not answer: %s", index, nvml_why(nvml, result));
    result = nvml->uuid(gpu.handle, gpu.uuid, sizeof(gpu.uuid));
    gpu.uuid[sizeof(gpu.uuid) - 1] = '\0';
    if (result != 0 || gpu.uuid[0] == '\0')
        return hm_fail(error, HM_EIO, "GPU %u does not say its UUID: %s", index,
                       nvml_why(nvml, result));
    nvml_read_facts(nvml, &gpu);
    nvml_read_live(nvml, &gpu);
    *out = gpu;
    return 0;
}

int asset_nvml_find(struct asset_nvml *nvml, const char *uuid, asset_nvml_device *out,
                    struct hm_error *error)
{
    asset_nvml_device device = NULL;
    int result = nvml->by_uuid(uuid, &device);

    if (result != 0)
        return hm_fail(error, HM_EUNAVAILABLE, "%s is not on this machine: %s", uuid,
                       nvml_why(nvml, result));
    *out = device;
    return 0;
}

int asset_nvml_utilisation(struct asset_nvml *nvml, asset_nvml_device device, unsigned *percent,
                           struct hm_error *error)
{
    struct nvml_utilization rates = {0};
    int result = nvml->rates(device, &rates);

    if (result != 0)
        return hm_fail(error, HM_EIO, "the GPU's utilisation cannot be read: %s",
                       nvml_why(nvml, result));
    *percent = rates.gpu > 100 ? 100 : rates.gpu;
    return 0;
}
