/* Storage: one asset a disk. The disk whose file system holds storage_dir is offered; the others are listed for
 * people. A file system on no block device (overlay, tmpfs, ZFS, NFS) stands for itself. */
#include "asset_scanner.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define STORAGE_MAX_MOUNTS   256 /* of block devices */
#define STORAGE_NAME_BYTES   64
#define STORAGE_ID_BYTES     128
#define STORAGE_MAX_HALVINGS 10
#define STORAGE_GIB          (UINT64_C(1) << 30)
#define STORAGE_SMALL_STEP   (UINT64_C(64) << 20)
#define STORAGE_SECTOR       512 /* sysfs counts in these, whatever the device's own are */
#define STORAGE_LOW_BYTES    (UINT64_C(256) << 20)

struct storage_mount {
    uint64_t major, minor;
    char disk[STORAGE_NAME_BYTES];
    const char *point, *type;
};

struct storage_mounts {
    struct storage_mount *list;
    size_t count;
};

static uint64_t storage_round(uint64_t bytes)
{
    uint64_t step = bytes >= STORAGE_GIB ? STORAGE_GIB : STORAGE_SMALL_STEP;

    return bytes / step * step;
}

/* The largest of 1/2, 1/4, 1/8 ... of the file system that fits in what is free, with one part in eight to
 * spare: coarse steps, so that writing a few files does not change the asset. */
static uint64_t storage_step(uint64_t total, uint64_t free_bytes)
{
    for (unsigned k = 1; k <= STORAGE_MAX_HALVINGS; k++) {
        uint64_t part = total >> k;

        if (part + part / 8 <= free_bytes)
            return storage_round(part);
    }
    return 0;
}

uint64_t asset_storage_capacity(struct asset_scanner *scanner, const char *hardware_id,
                                uint64_t total, uint64_t free_bytes)
{
    uint64_t now = storage_step(total, free_bytes), last = scanner->storage_capacity;
    uint64_t moved = total > scanner->storage_total ? total - scanner->storage_total
                                                    : scanner->storage_total - total;
    bool same = strcmp(scanner->storage_id, hardware_id) == 0 && moved <= total / 16;

    /* What lessees write is theirs: the offer falls only when free space is under half of it, and rises only
     * when it is well past the next step. */
    if (same && now < last && free_bytes >= last / 2)
        return last;
    if (same && now > last && free_bytes < now + now / 4)
        return last;
    if (!same) {
        snprintf(scanner->storage_id, sizeof(scanner->storage_id), "%s", hardware_id);
        scanner->storage_total = total;
    }
    scanner->storage_capacity = now;
    return now;
}

/* The whole disk a link in sysfs leads to: ".../block/sda/sda1" is on sda. */
static bool storage_disk_of_link(const char *path, char disk[STORAGE_NAME_BYTES])
{
    char target[ASSET_PATH_BYTES];
    ssize_t len = readlink(path, target, sizeof(target) - 1);
    const char *at;
    size_t name_len;

    if (len <= 0)
        return false;
    target[len] = '\0';
    at = strstr(target, "/block/");
    if (at == NULL)
        return false;
    at += strlen("/block/");
    name_len = strcspn(at, "/");
    if (name_len == 0 || name_len >= STORAGE_NAME_BYTES)
        return false;
    memcpy(disk, at, name_len);
    disk[name_len] = '\0';
    return true;
}

static bool storage_disk_of_mount(const struct asset_builder *build,
                                  const struct asset_mount *mount, char disk[STORAGE_NAME_BYTES])
{
    char path[3 * ASSET_PATH_BYTES], real[PATH_MAX];
    const char *name;

    snprintf(path, sizeof(path), "%s/dev/block/%" PRIu64 ":%" PRIu64, build->sysfs, mount->major,
             mount->minor);
    if (mount->major != 0)
        return storage_disk_of_link(path, disk);
    /* btrfs has no device number of its own, but says what it is mounted from. */
    if (strncmp(mount->source, "/dev/", 5) != 0)
        return false;
    name = strrchr(realpath(mount->source, real) == NULL ? mount->source : real, '/') + 1;
    snprintf(path, sizeof(path), "%s/class/block/%s", build->sysfs, name);
    return storage_disk_of_link(path, disk);
}

/* Each file system on a block device once, at its first mount point. */
static void storage_list_mounts(struct asset_builder *build, struct storage_mounts *out)
{
    struct hm_slice rest = hm_buf_slice(&build->mountinfo), line;
    struct asset_mount mount;

    out->count = 0;
    out->list = hm_arena_alloc(build->arena, STORAGE_MAX_MOUNTS * sizeof(*out->list));
    build->failed |= out->list == NULL;
    while (out->list != NULL && out->count < STORAGE_MAX_MOUNTS && asset_text_line(&rest, &line)) {
        struct storage_mount *new = &out->list[out->count];
        bool seen = false;

        if (!asset_text_mount(line, &mount))
            continue;
        for (size_t i = 0; i < out->count && !seen; i++)
            seen = out->list[i].major == mount.major && out->list[i].minor == mount.minor;
        if (seen || !storage_disk_of_mount(build, &mount, new->disk))
            continue;
        new->major = mount.major;
        new->minor = mount.minor;
        new->point = hm_arena_strdup(build->arena, mount.point);
        new->type = hm_arena_strdup(build->arena, mount.type);
        if (new->point == NULL || new->type == NULL)
            build->failed = true;
        else
            out->count++;
    }
}

/* What names the disk wherever it is plugged in; else its kernel name. */
static void storage_disk_id(const struct asset_builder *build, const char *disk,
                            char id[STORAGE_ID_BYTES])
{
    static const char *const files[] = {"wwid",          "device/wwid", "serial",
                                        "device/serial", "dm/uuid",     "md/uuid"};
    char text[STORAGE_ID_BYTES];

    for (size_t i = 0; i < HM_COUNT_OF(files); i++) {
        if (!asset_read_text(text, sizeof(text) - 8, "%s/block/%s/%s", build->sysfs, disk,
                             files[i]))
            continue;
        asset_text_id(hm_slice_str(text), id, STORAGE_ID_BYTES);
        return;
    }
    asset_text_id(hm_slice_str(disk), id, STORAGE_ID_BYTES);
}

static const char *storage_class(const char *disk, uint64_t rotational)
{
    if (strncmp(disk, "nvme", 4) == 0)
        return "nvme";
    if (strncmp(disk, "vd", 2) == 0 || strncmp(disk, "xvd", 3) == 0)
        return "virtual";
    return rotational != 0 ? "hdd" : "ssd";
}

static void storage_describe(struct asset_builder *build, struct asset_item *item, const char *disk,
                             uint64_t bytes)
{
    char model[128], vendor[64], state[32], size[32];
    uint64_t rotational = 0, value;

    asset_read_text(model, sizeof(model), "%s/block/%s/device/model", build->sysfs, disk);
    /* A name on SCSI; a bus number on virtio, which says nothing to people. */
    if (asset_read_text(vendor, sizeof(vendor), "%s/block/%s/device/vendor", build->sysfs, disk) &&
        strncmp(vendor, "0x", 2) == 0)
        vendor[0] = '\0';
    asset_read_u64(&rotational, "%s/block/%s/queue/rotational", build->sysfs, disk);
    asset_build_attribute(build, item, "model", "%s", model);
    asset_build_attribute(build, item, "vendor", "%s", vendor);
    asset_build_attribute(build, item, "class", "%s", storage_class(disk, rotational));
    asset_build_attribute(build, item, "rotational", "%s", rotational != 0 ? "yes" : "no");
    asset_build_attribute(build, item, "disk-bytes", "%" PRIu64, bytes);
    if (asset_read_u64(&value, "%s/block/%s/removable", build->sysfs, disk) && value != 0)
        asset_build_attribute(build, item, "removable", "yes");
    asset_build_live(build, item, "device", "%s", disk);
    hm_size_format(bytes, size);
    asset_build_title(build, item, "%s, %s", model[0] == '\0' ? disk : model, size);
    if (asset_read_text(state, sizeof(state), "%s/block/%s/device/state", build->sysfs, disk) &&
        strcmp(state, "running") != 0 && strcmp(state, "live") != 0)
        asset_build_unhealthy(build, item, "the kernel says that this disk is %s", state);
}

static bool storage_is_listed(const char *disk)
{
    static const char *const hidden[] = {"loop", "ram", "zram", "fd", "nbd", "dm-", "sr"};

    for (size_t i = 0; i < HM_COUNT_OF(hidden); i++)
        if (strncmp(disk, hidden[i], strlen(hidden[i])) == 0)
            return false;
    return true;
}

static void storage_probe_other(struct asset_builder *build, const struct storage_mounts *mounts,
                                const char *disk)
{
    char id[STORAGE_ID_BYTES];
    struct asset_item *item;
    uint64_t sectors, bytes, free_sum = 0;
    size_t seen = 0;

    if (!storage_is_listed(disk) ||
        !asset_read_u64(&sectors, "%s/block/%s/size", build->sysfs, disk) || sectors == 0 ||
        !hm_mul_u64(sectors, STORAGE_SECTOR, &bytes))
        return;
    storage_disk_id(build, disk, id);
    item = asset_build_item(build, HYPERMESH__ASSET_KIND__STORAGE, "disk-%s", id);
    if (item == NULL)
        return;
    item->found.capacity = bytes;
    storage_describe(build, item, disk, bytes);
    for (size_t i = 0; i < mounts->count; i++) {
        struct statvfs stat;

        if (strcmp(mounts->list[i].disk, disk) != 0 || statvfs(mounts->list[i].point, &stat) != 0)
            continue;
        free_sum += (uint64_t)stat.f_bavail * stat.f_frsize;
        seen++;
    }
    if (seen > 0) {
        asset_build_live(build, item, "free-bytes", "%" PRIu64, free_sum);
        asset_build_live(build, item, "file-systems", "%zu", seen);
    }
}

static void storage_offer(struct asset_builder *build, struct asset_item *item,
                          const struct asset_mount *mount, const struct statvfs *stat)
{
    uint64_t total = (uint64_t)stat->f_blocks * stat->f_frsize;
    uint64_t free_bytes = (uint64_t)stat->f_bavail * stat->f_frsize;

    item->found.offered = true;
    item->found.capacity = asset_storage_capacity(build->scanner, item->found.hardware_id, total,
                                                  free_bytes);
    asset_build_attribute(build, item, "file-system", "%s", mount->type);
    asset_build_attribute(build, item, "file-system-bytes", "%" PRIu64, total);
    asset_build_live(build, item, "free-bytes", "%" PRIu64, free_bytes);
    asset_build_live(build, item, "mounted", "%s", mount->point);
    if (mount->read_only || (stat->f_flag & ST_RDONLY) != 0)
        asset_build_unhealthy(build, item, "its file system is mounted read-only");
    else if (free_bytes < STORAGE_LOW_BYTES || item->found.capacity == 0)
        asset_build_unhealthy(build, item, "its file system is nearly full");
}

/* Makes the offered asset; yields the disk it lies on, empty when there is none. */
static void storage_probe_offered(struct asset_builder *build, char disk[STORAGE_NAME_BYTES])
{
    char real[PATH_MAX], id[STORAGE_ID_BYTES];
    struct asset_mount mount;
    struct statvfs stat;
    struct asset_item *item;
    uint64_t sectors = 0;

    disk[0] = '\0';
    if (build->storage_dir == NULL)
        return;
    if (realpath(build->storage_dir, real) == NULL || statvfs(real, &stat) != 0) {
        asset_build_note(build, "storage: %s cannot be looked at (error %d): no storage is offered",
                         build->storage_dir, errno);
        return;
    }
    if (!asset_text_mount_of(hm_buf_slice(&build->mountinfo), real, &mount)) {
        asset_build_note(
            build, "storage: the file system of %s is not known: no storage is offered", real);
        return;
    }
    if (storage_disk_of_mount(build, &mount, disk)) {
        storage_disk_id(build, disk, id);
        item = asset_build_item(build, HYPERMESH__ASSET_KIND__STORAGE, "disk-%s", id);
        asset_read_u64(&sectors, "%s/block/%s/size", build->sysfs, disk);
        if (item != NULL)
            storage_describe(build, item, disk, sectors * STORAGE_SECTOR);
    } else {
        disk[0] = '\0';
        asset_text_id(hm_slice_str(mount.point), id, sizeof(id) - 64);
        item = asset_build_item(build, HYPERMESH__ASSET_KIND__STORAGE, "fs-%s%s", mount.type, id);
        asset_build_title(build, item, "%s file system at %s", mount.type, mount.point);
    }
    if (item != NULL)
        storage_offer(build, item, &mount, &stat);
}

void asset_probe_storage(struct asset_builder *build)
{
    char path[ASSET_PATH_BYTES], offered[STORAGE_NAME_BYTES];
    struct storage_mounts mounts;
    const char **names;
    size_t count;

    storage_probe_offered(build, offered);
    storage_list_mounts(build, &mounts);
    if (snprintf(path, sizeof(path), "%s/block", build->sysfs) >= (int)sizeof(path) ||
        asset_read_folder(build, path, &names, &count) != 0) {
        asset_build_note(build, "storage: %s/block cannot be read: disks are not known",
                         build->sysfs);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], offered) != 0)
            storage_probe_other(build, &mounts, names[i]);
}
