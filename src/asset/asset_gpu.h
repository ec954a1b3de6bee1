/* What the GPU probes and the meter share. */
#ifndef HM_ASSET_GPU_H
#define HM_ASSET_GPU_H

#include <stdio.h>

#include "asset_scanner.h"

#define ASSET_GPU_CAPACITY 1000 /* thousandths of a device */
#define ASSET_GPU_ID_BYTES 96
#define ASSET_NVML_LIBRARY "libnvidia-ml.so.1"

/* Cards in /sys/class/drm that NVML does not already show. */
void asset_probe_drm(struct asset_builder *build, bool nvml_runs);
/* The sysfs file with the busy percentage of the AMD GPU of that hardware id; false when there is none. */
bool asset_drm_busy_path(const char *sysfs, const char *hardware_id, char out[ASSET_PATH_BYTES]);

#endif
