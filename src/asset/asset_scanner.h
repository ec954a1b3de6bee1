/* What a scanner keeps between scans, and how the probes get at it. */
#ifndef HM_ASSET_SCANNER_H
#define HM_ASSET_SCANNER_H

#include "asset_build.h"
#include "asset_nvml.h"

#include <hwloc.h>

#define ASSET_TOPOLOGY_KEY_BYTES 4096

struct asset_scanner {
    hwloc_topology_t topology; /* NULL: none loaded */
    uint8_t topology_key[ASSET_TOPOLOGY_KEY_BYTES]; /* what it depends on, as it was when loaded */
    size_t topology_key_len;
    struct asset_nvml *nvml; /* NULL: not open */
    char nvml_path[ASSET_PATH_BYTES];
    uint64_t nvml_key; /* over the driver's list of devices */
    char storage_id[160]; /* empty: nothing offered yet */
    uint64_t storage_total;
    uint64_t storage_capacity;
};

void asset_scanner_release(struct asset_scanner *scanner);
/* The storage capacity to offer now; keeps the last one while free space still stands for it. */
uint64_t asset_storage_capacity(struct asset_scanner *scanner, const char *hardware_id,
                                uint64_t total, uint64_t free_bytes);
/* The open NVML, opened when needed and opened again when devices came or went. NULL: *error says why. */
struct asset_nvml *asset_scanner_nvml(struct asset_builder *build, struct hm_error *error);

#endif
