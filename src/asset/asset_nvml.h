/* NVIDIA's management library, loaded at run time. Only the calls used here are declared: names, numbers and
 * struct layouts are facts of its interface, from the NVML API Reference Guide
 * (docs.nvidia.com/deploy/nvml-api). */
#ifndef HM_ASSET_NVML_H
#define HM_ASSET_NVML_H

#include "base.h"

struct asset_nvml; /* one loaded and initialised library */
typedef struct asset_nvml_device_opaque *asset_nvml_device;

struct asset_nvml_gpu {
    asset_nvml_device handle;
    char uuid[96];
    char name[96];
    char pci[32];
    uint64_t memory_total, memory_free; /* 0: not said */
    int utilisation; /* percent; -1: not said, as the next ones */
    int temperature_c;
    int64_t power_mw;
    int64_t clock_mhz;
    int mig; /* 1 on, 0 off, -1 not said */
    char fault[160]; /* empty: answers every question that matters */
};

/* HM_EUNAVAILABLE: no such library, no driver, or calls missing; *error says which. */
int asset_nvml_open(const char *library, struct asset_nvml **out, struct hm_error *error);
void asset_nvml_close(struct asset_nvml *nvml); /* NULL is fine */
const char *asset_nvml_driver(const struct asset_nvml *nvml); /* version text; may be empty */
int asset_nvml_count(struct asset_nvml *nvml, unsigned *count, struct hm_error *error);
/* HM_EIO when the device cannot even be named. */
int asset_nvml_read(struct asset_nvml *nvml, unsigned index, struct asset_nvml_gpu *out,
                    struct hm_error *error);
int asset_nvml_find(struct asset_nvml *nvml, const char *uuid, asset_nvml_device *out,
                    struct hm_error *error);
/* 0-100; HM_EIO. */
int asset_nvml_utilisation(struct asset_nvml *nvml, asset_nvml_device device, unsigned *percent,
                           struct hm_error *error);

#endif
