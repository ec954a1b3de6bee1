/* What the probes write to while a scan runs. Running out of memory is remembered in `failed`, so that probes
 * need no error paths; asset_scan looks at it once at the end. */
#ifndef HM_ASSET_BUILD_H
#define HM_ASSET_BUILD_H

#include <inttypes.h>

#include "asset.h"
#include "asset_text.h"

#define ASSET_MAX_NOTES      64
#define ASSET_MAX_ATTRIBUTES 40 /* of one asset, and as many live ones */
#define ASSET_MAX_FOLDER     4096 /* entries read of one folder */
#define ASSET_MAX_TEXT_BYTES ((size_t)4 << 20) /* read of one kernel file; mountinfo can be long */

/* One asset being built; found.attributes and found.live point into it. */
struct asset_item {
    struct asset_found found;
    struct asset_attribute attributes[ASSET_MAX_ATTRIBUTES];
    struct asset_attribute live[ASSET_MAX_ATTRIBUTES];
};

struct asset_builder {
    const char *sysfs, *procfs, *nvml, *hwloc_xml, *storage_dir;
    bool sysfs_is_real; /* else cgroup mounts under /sys lie under sysfs */
    bool machine_is_real; /* the processors seen are those that this process runs on */
    struct asset_scanner *scanner;
    struct hm_arena *arena;
    struct asset_item *items[ASSET_MAX_FOUND];
    size_t count;
    const char *notes[ASSET_MAX_NOTES];
    size_t note_count;
    bool failed;
    /* Found by the processor probe, used by the container probe. */
    uint64_t millicores;
    /* Read once for all probes. */
    struct hm_buf mountinfo, cgroup;
};

void asset_builder_release(struct asset_builder *build);
/* Sorts and copies into *out; HM_ENOMEM when memory was out at any point. */
int asset_builder_finish(struct asset_builder *build, struct asset_inventory *out,
                         struct hm_error *error);

/* NULL when memory or ASSET_MAX_FOUND is out; the calls below accept that. Healthy, not offered, capacity 0. */
struct asset_item *asset_build_item(struct asset_builder *build, Hypermesh__AssetKind kind,
                                    const char *format, ...) __attribute__((format(printf, 3, 4)));
void asset_build_title(struct asset_builder *build, struct asset_item *item, const char *format,
                       ...) __attribute__((format(printf, 3, 4)));
/* An empty value is left out; a long one is cut. */
void asset_build_attribute(struct asset_builder *build, struct asset_item *item, const char *name,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));
void asset_build_live(struct asset_builder *build, struct asset_item *item, const char *name,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Keeps the first reason. */
void asset_build_unhealthy(struct asset_builder *build, struct asset_item *item, const char *format,
                           ...) __attribute__((format(printf, 3, 4)));
void asset_build_note(struct asset_builder *build, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* --- reading -------------------------------------------------------------------------------------------- */
/* At most `limit` bytes from the start of a file (the rest is not looked at); 0 or HM_E*. Appends. HM_ENOMEM
 * also fails the scan of `build`, which may be NULL. */
int asset_read_prefix(struct asset_builder *build, struct hm_buf *out, size_t limit,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Small file into out, cleaned as asset_text_clean does; false when there is none or it is empty. */
bool asset_read_text(char *out, size_t out_bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool asset_read_u64(uint64_t *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool asset_read_exists(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Sorted names in a folder without "." and ".."; in the builder's arena. HM_ENOTFOUND, HM_EIO, ... */
int asset_read_folder(struct asset_builder *build, const char *path, const char ***names,
                      size_t *count);

/* --- control groups --------------------------------------------------------------------------------------- */
/* What the control groups that this process is in allow. UINT64_MAX: no limit. */
struct asset_cgroup_limits {
    uint64_t millicores;
    uint64_t memory_bytes;
    uint64_t pids;
};
void asset_cgroup_read(struct asset_builder *build, struct asset_cgroup_limits *out);

/* --- probes ----------------------------------------------------------------------------------------------- */
void asset_probe_cpu(struct asset_builder *build, const struct asset_cgroup_limits *limits);
void asset_probe_memory(struct asset_builder *build, const struct asset_cgroup_limits *limits);
void asset_probe_storage(struct asset_builder *build);
void asset_probe_gpu(struct asset_builder *build);
void asset_probe_network(struct asset_builder *build);
void asset_probe_container(struct asset_builder *build, const struct asset_cgroup_limits *limits);

#endif
