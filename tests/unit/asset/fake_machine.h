/* A machine made of files: its own /proc, /sys and a folder that stands for a mounted disk. */
#ifndef FAKE_MACHINE_H
#define FAKE_MACHINE_H

#include "asset.h"

struct fake_machine {
    char root[256];
    char sysfs[300], procfs[300], xml[300], disk[300];
    struct asset_sources sources;
};

/* Two packages of four cores with two threads each, 64 GiB in two nodes, the folder `disk` on partition nvme0n1p1,
 * a second disk sda, links eth0, lo, veth1; cgroup v2 without limits; no GPU. */
void fake_machine_make(struct fake_machine *machine);
void fake_machine_remove(struct fake_machine *machine);
/* Paths are below root. An existing file is replaced; folders are made. */
void fake_file(const struct fake_machine *machine, const char *path, const char *content);
void fake_bytes(const struct fake_machine *machine, const char *path, const void *data, size_t len);
void fake_link(const struct fake_machine *machine, const char *path, const char *target);
void fake_folder(const struct fake_machine *machine, const char *path);
void fake_remove(const struct fake_machine *machine, const char *path);
void fake_mounts(const struct fake_machine *machine, const char *more); /* mountinfo, plus lines */
void fake_topology(const struct fake_machine *machine, const char *synthetic);

struct asset_inventory fake_scan(const struct fake_machine *machine, struct hm_arena *arena);
const struct asset_found *fake_find(const struct asset_inventory *inventory, const char *id);
const char *fake_attribute(const struct asset_found *found, const char *name); /* "" when absent */
const char *fake_live(const struct asset_found *found, const char *name);
bool fake_noted(const struct asset_inventory *inventory, const char *part);

#endif
