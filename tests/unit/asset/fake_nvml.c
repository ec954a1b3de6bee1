/* A library with the calls of NVML that the asset room uses. Environment, read at every call:
 *   FAKE_NVML_DEVICES  how many devices (0)         FAKE_NVML_BROKEN  index whose memory cannot be read
 *   FAKE_NVML_LOST     index that does not answer   FAKE_NVML_NO_INIT the driver does not run
 *   FAKE_NVML_PERCENT  utilisation                  FAKE_NVML_MIG     index with MIG on
 * Layouts and numbers from the NVML API Reference Guide, written down independently of the room's. */
#include <stdint.h>

struct fake_memory {
    unsigned long long total, free, used;
};
struct fake_rates {
    unsigned gpu, memory;
};
struct fake_pci {
    char legacy[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};

enum {
    FAKE_OK = 0,
    FAKE_NOT_FOUND = 6,
    FAKE_DRIVER_NOT_LOADED = 9,
    FAKE_LOST = 15,
    FAKE_UNKNOWN = 999
};

int nvmlInit_v2(void);
int nvmlShutdown(void);
const char *nvmlErrorString(int result);
int nvmlSystemGetDriverVersion(char *out, unsigned len);
int nvmlDeviceGetCount_v2(unsigned *count);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device);
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device);
int nvmlDeviceGetUUID(void *device, char *out, unsigned len);
int nvmlDeviceGetName(void *device, char *out, unsigned len);
int nvmlDeviceGetMemoryInfo(void *device, struct fake_memory *out);
int nvmlDeviceGetUtilizationRates(void *device, struct fake_rates *out);
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *out);
int nvmlDeviceGetPowerUsage(void *device, unsigned *out);
int nvmlDeviceGetClockInfo(void *device, int type, unsigned *out);
int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending);
int nvmlDeviceGetPciInfo_v3(void *device, struct fake_pci *out);
int fake_nvml_users(void);
int fake_nvml_starts(void);

static int users,
    starts; /* nvmlInit without nvmlShutdown, and nvmlInit at all: asked by the tests */

static long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : strtol(text, NULL, 10);
}

/* Handles are index + 1: never NULL. */
static unsigned index_of(void *device)
{
    return (unsigned)(uintptr_t)device - 1;
}

int fake_nvml_users(void)
{
    return users;
}

int fake_nvml_starts(void)
{
    return starts;
}

int nvmlInit_v2(void)
{
    if (setting("FAKE_NVML_NO_INIT", 0) != 0)
        return FAKE_DRIVER_NOT_LOADED;
    users++;
    starts++;
    return FAKE_OK;
}

int nvmlShutdown(void)
{
    users--;
    return FAKE_OK;
}

const char *nvmlErrorString(int result)
{
    return result == FAKE_LOST                ? "GPU is lost"
           : result == FAKE_DRIVER_NOT_LOADED ? "Driver Not Loaded"
                                              : "Unknown Error";
}

int nvmlSystemGetDriverVersion(char *out, unsigned len)
{
    snprintf(out, len, "550.54.15");
    return FAKE_OK;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = (unsigned)setting("FAKE_NVML_DEVICES", 0);
    return FAKE_OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    if (index >= (unsigned)setting("FAKE_NVML_DEVICES", 0))
        return FAKE_NOT_FOUND;
    if (setting("FAKE_NVML_LOST", -1) == (long)index)
        return FAKE_LOST;
    *device = (void *)(uintptr_t)(index + 1); /* NOLINT: an opaque handle */
    return FAKE_OK;
}

int nvmlDeviceGetUUID(void *device, char *out, unsigned len)
{
    snprintf(out, len, "GPU-00000000-0000-4000-8000-00000000000%u", index_of(device));
    return FAKE_OK;
}

#ifndef FAKE_NVML_OLD
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device)
{
    for (unsigned i = 0; i < (unsigned)setting("FAKE_NVML_DEVICES", 0); i++) {
        char text[96];
        void *handle;

        if (nvmlDeviceGetHandleByIndex_v2(i, &handle) != FAKE_OK)
            continue;
        nvmlDeviceGetUUID(handle, text, sizeof(text));
        if (strcmp(text, uuid) == 0) {
            *device = handle;
            return FAKE_OK;
        }
    }
    return FAKE_NOT_FOUND;
}
#endif

int nvmlDeviceGetName(void *device, char *out, unsigned len)
{
    snprintf(out, len, "Fake Accelerator %u", index_of(device));
    return FAKE_OK;
}

int nvmlDeviceGetMemoryInfo(void *device, struct fake_memory *out)
{
    if (setting("FAKE_NVML_BROKEN", -1) == (long)index_of(device))
        return FAKE_UNKNOWN;
    out->total = 80ULL << 30;
    out->free = 60ULL << 30;
    out->used = 20ULL << 30;
    return FAKE_OK;
}

int nvmlDeviceGetUtilizationRates(void *device, struct fake_rates *out)
{
    if (setting("FAKE_NVML_LOST", -1) == (long)index_of(device))
        return FAKE_LOST;
    out->gpu = (unsigned)setting("FAKE_NVML_PERCENT", 42);
    out->memory = 10;
    return FAKE_OK;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *out)
{
    (void)device;
    *out = 55;
    return sensor == 0 ? FAKE_OK : FAKE_UNKNOWN;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *out)
{
    (void)device;
    *out = 123456;
    return FAKE_OK;
}

int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending)
{
    *current = setting("FAKE_NVML_MIG", -1) == (long)index_of(device);
    *pending = *current;
    return FAKE_OK;
}

#ifndef FAKE_NVML_OLD
int nvmlDeviceGetClockInfo(void *device, int type, unsigned *out)
{
    (void)device;
    *out = 1980;
    return type == 1 ? FAKE_OK : FAKE_UNKNOWN;
}

int nvmlDeviceGetPciInfo_v3(void *device, struct fake_pci *out)
{
    memset(out, 0, sizeof(*out));
    snprintf(out->bus_id, sizeof(out->bus_id), "00000000:0%u:00.0", index_of(device) + 3);
    return FAKE_OK;
}
#endif
