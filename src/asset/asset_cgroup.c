/* Limits of the control groups this process runs in: in a container, or under a service manager, they and not
 * the hardware say what may be leased. Walks from the process's group up to the mount point and takes the
 * smallest figure, as the kernel does (cgroups(7); Documentation/admin-guide/cgroup-v2.rst). */
#include "asset_build.h"

#include <stdio.h>

#define CGROUP_MAX_DEPTH 64

static void cgroup_take(uint64_t value, uint64_t *limit)
{
    if (value < *limit)
        *limit = value;
}

/* v1 writes a huge multiple of the page size for "no limit": more than any machine has. */
#define CGROUP_V1_UNLIMITED (UINT64_C(1) << 62)

static void cgroup_read_number(const char *folder, const char *file, uint64_t *limit)
{
    uint64_t value;

    if (asset_read_u64(&value, "%s/%s", folder, file) && value < CGROUP_V1_UNLIMITED)
        cgroup_take(value, limit);
}

static void cgroup_take_quota(uint64_t quota, uint64_t period, uint64_t *millicores)
{
    uint64_t value;

    if (period > 0 && hm_muldiv_u64(quota, 1000, period, &value))
        cgroup_take(value, millicores);
}

static void cgroup_read_v2(const char *folder, struct asset_cgroup_limits *out)
{
    char text[64];
    struct hm_slice rest, first, second;
    uint64_t quota, period;

    cgroup_read_number(folder, "memory.max", &out->memory_bytes);
    cgroup_read_number(folder, "pids.max", &out->pids);
    if (!asset_read_text(text, sizeof(text), "%s/cpu.max", folder))
        return;
    rest = hm_slice_str(text);
    if (asset_text_word(&rest, &first) && asset_text_word(&rest, &second) &&
        asset_text_u64(first, &quota) && asset_text_u64(second, &period))
        cgroup_take_quota(quota, period, &out->millicores);
}

static void cgroup_read_v1_cpu(const char *folder, struct asset_cgroup_limits *out)
{
    uint64_t quota, period;

    /* "-1" is no number here, so no quota stays no limit. */
    if (asset_read_u64(&quota, "%s/cpu.cfs_quota_us", folder) &&
        asset_read_u64(&period, "%s/cpu.cfs_period_us", folder))
        cgroup_take_quota(quota, period, &out->millicores);
}

static void cgroup_read_v1_memory(const char *folder, struct asset_cgroup_limits *out)
{
    cgroup_read_number(folder, "memory.limit_in_bytes", &out->memory_bytes);
}

static void cgroup_read_v1_pids(const char *folder, struct asset_cgroup_limits *out)
{
    cgroup_read_number(folder, "pids.max", &out->pids);
}

/* The process's path as seen through the mount: without the part above the mount's root. */
static const char *cgroup_below_root(const char *path, const char *root)
{
    size_t len = strlen(root);

    if (strcmp(root, "/") == 0)
        return path;
    if (strncmp(path, root, len) == 0 && (path[len] == '/' || path[len] == '\0'))
        return path + len;
    return "";
}

static void cgroup_walk(struct asset_builder *build, const char *controller,
                        void (*read_group)(const char *folder, struct asset_cgroup_limits *out),
                        struct asset_cgroup_limits *out)
{
    char path[ASSET_PATH_BYTES], folder[2 * ASSET_PATH_BYTES];
    struct asset_mount mount;
    const char *point;
    size_t base;
    int len;

    if (!asset_text_cgroup_mount(hm_buf_slice(&build->mountinfo), controller, &mount) ||
        !asset_text_cgroup_path(hm_buf_slice(&build->cgroup), controller, path, sizeof(path)) ||
        strstr(path, "/..") != NULL)
        return;
    point = mount.point;
    if (!build->sysfs_is_real && strncmp(point, "/sys/", 5) == 0)
        len = snprintf(folder, sizeof(folder), "%s%s", build->sysfs, point + 4);
    else
        len = snprintf(folder, sizeof(folder), "%s", point);
    if (len < 0 || (size_t)len >= sizeof(folder))
        return;
    base = (size_t)len;
    len = snprintf(folder + base, sizeof(folder) - base, "%s", cgroup_below_root(path, mount.root));
    if (len < 0 || (size_t)len >= sizeof(folder) - base)
        return;
    for (int depth = 0; depth < CGROUP_MAX_DEPTH; depth++) {
        char *slash;

        read_group(folder, out);
        slash = strrchr(folder + base, '/');
        if (slash == NULL)
            return;
        *slash = '\0';
    }
}

void asset_cgroup_read(struct asset_builder *build, struct asset_cgroup_limits *out)
{
    *out = (struct asset_cgroup_limits){UINT64_MAX, UINT64_MAX, UINT64_MAX};
    cgroup_walk(build, NULL, cgroup_read_v2, out);
    cgroup_walk(build, "cpu", cgroup_read_v1_cpu, out);
    cgroup_walk(build, "memory", cgroup_read_v1_memory, out);
    cgroup_walk(build, "pids", cgroup_read_v1_pids, out);
}
