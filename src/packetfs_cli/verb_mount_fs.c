/* The calls of the kernel, by path (libfuse's high-level interface). Whatever they answer stays as it is: a snapshot never changes. */
#define FUSE_USE_VERSION 32
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <syslog.h>

#include "verb_mount.h"

#define MOUNT_BLOCK_BYTES    4096
#define MOUNT_ONE_TIMEOUT_S  3600.0
#define MOUNT_NAME_MAX_CHARS 255

static struct mount_world *world_of(void)
{
    return fuse_get_context()->private_data;
}

/* What a person should know of goes where he looks; the program that asked gets a number. */
static int answer(struct mount_world *world, const char *path, int code,
                  const struct packetfs_error *error)
{
    static const struct {
        int code, number;
    } numbers[] = {
        {PACKETFS_ENOTFOUND, ENOENT}, {PACKETFS_ENOMEM, ENOMEM}, {PACKETFS_EPERM, EACCES},
        {PACKETFS_ECANCELLED, EINTR}, {PACKETFS_EINVAL, EINVAL},
    };
    int number = EIO;

    for (size_t i = 0; i < HM_COUNT_OF(numbers); i++)
        if (numbers[i].code == code)
            number = numbers[i].number;
    if (number == EIO && world->background)
        syslog(LOG_ERR, "%s: %s", path, error->text);
    else if (number == EIO)
        (void)fprintf(stderr, "packetfs: %s: %s\n", path, error->text);
    return -number;
}

/* --- attributes --- */

static const mode_t types[] = {
    [PACKETFS_FILE] = S_IFREG,         [PACKETFS_FOLDER] = S_IFDIR,
    [PACKETFS_SYMLINK] = S_IFLNK,      [PACKETFS_FIFO] = S_IFIFO,
    [PACKETFS_SOCKET] = S_IFSOCK,      [PACKETFS_CHARACTER_DEVICE] = S_IFCHR,
    [PACKETFS_BLOCK_DEVICE] = S_IFBLK,
};

/* The same for every name of one file, else one for each path. */
static ino_t number_of(const struct packetfs_snapshot *snapshot, struct hm_slice path,
                       uint64_t hard_link)
{
    uint64_t hash = hm_get_be64(snapshot->id) ^ (hard_link != 0 ? hard_link * 2 + 1 : 0);

    for (size_t i = 0; hard_link == 0 && i < path.len; i++)
        hash = (hash ^ path.data[i]) * 1099511628211u;
    hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
    hash ^= hash >> 32;
    return hash > 1 ? hash : 2;
}

struct attributes {
    struct mount_world *world;
    const struct packetfs_snapshot *snapshot;
    struct stat *st;
};

static int fill_attributes(void *ctx, const struct packetfs_item *item)
{
    const struct attributes *at = ctx;
    struct stat *st = at->st;

    memset(st, 0, sizeof(*st));
    st->st_ino = number_of(at->snapshot, hm_slice_of(item->path.data, item->path.len),
                           item->hard_link);
    st->st_mode = types[item->type] | (item->mode & 07777);
    st->st_uid = item->uid;
    st->st_gid = item->gid;
    st->st_nlink = mount_links_count(at->world->links, at->world->volume, at->snapshot,
                                     item->hard_link);
    st->st_size = (off_t)(item->type == PACKETFS_SYMLINK ? item->target.len : item->bytes);
    st->st_blksize = MOUNT_BLOCK_BYTES;
    /* How much of it is holes is in its list, which is not read for this. A block too few: who cares for holes looks for them then. */
    st->st_blocks = (blkcnt_t)((item->bytes + 511) / 512);
    if (item->type == PACKETFS_FILE && st->st_blocks > MOUNT_BLOCK_BYTES / 512)
        st->st_blocks -= 2;
    st->st_rdev = makedev((unsigned)(item->device >> 32), (unsigned)item->device);
    st->st_mtim = (struct timespec){item->mtime_s, item->mtime_ns};
    st->st_ctim = st->st_atim = st->st_mtim;
    return 0;
}

/* Folders and links that stand for snapshots, and the top folders of these, whose attributes nobody keeps. */
static void fill_own(const struct mount_world *world, const struct mount_place *place,
                     struct stat *st)
{
    memset(st, 0, sizeof(*st));
    st->st_mode = place->kind == MOUNT_LATEST ? S_IFLNK | 0777 : S_IFDIR | 0755;
    st->st_size = place->kind == MOUNT_LATEST ? (off_t)strlen(place->target) : 0;
    st->st_nlink = 1;
    st->st_uid = world->uid;
    st->st_gid = world->gid;
    if (place->kind != MOUNT_ROOT) {
        st->st_mtim.tv_sec = (time_t)(place->snapshot.time_ns / 1000000000u);
        st->st_mtim.tv_nsec = (long)(place->snapshot.time_ns % 1000000000u);
    }
    st->st_ctim = st->st_atim = st->st_mtim;
    if (place->kind == MOUNT_ENTRY)
        st->st_ino = number_of(&place->snapshot, (struct hm_slice){0}, 0);
    else
        st->st_ino = number_of(&(struct packetfs_snapshot){.id = {(uint8_t)place->kind}},
                               hm_slice_str(place->label), 0);
}

static int find(struct mount_world *world, const char *path, struct mount_place *place)
{
    if (mount_place_find(world, path, place))
        return 0;
    mount_world_refresh(world, false); /* perhaps it is new */
    return mount_place_find(world, path, place) ? 0 : -ENOENT;
}

static int fs_getattr(const char *path, struct stat *st, struct fuse_file_info *file)
{
    struct mount_world *world = world_of();
    struct mount_place place;
    struct packetfs_error error = {0};
    int rc = find(world, path, &place);

    (void)file;
    if (rc != 0)
        return rc;
    if (place.kind != MOUNT_ENTRY || place.path[0] == 0) {
        fill_own(world, &place, st);
        return 0;
    }
    struct attributes at = {world, &place.snapshot, st};
    rc = packetfs_stat(world->volume, &place.snapshot, place.path, fill_attributes, &at, &error);
    return rc != 0 ? answer(world, path, rc, &error) : 0;
}

/* --- links --- */

struct room {
    char *data;
    size_t len, used;
};

static int fill_target(void *ctx, const struct packetfs_item *item)
{
    struct room *room = ctx;
    size_t len = item->target.len < room->len - 1 ? item->target.len : room->len - 1;

    if (item->type != PACKETFS_SYMLINK)
        return PACKETFS_EINVAL;
    memcpy(room->data, item->target.data, len);
    room->data[len] = 0;
    return 0;
}

static int fs_readlink(const char *path, char *out, size_t len)
{
    struct mount_world *world = world_of();
    struct mount_place place;
    struct packetfs_error error = {0};
    struct room room = {out, len, 0};
    int rc = find(world, path, &place);

    if (rc != 0)
        return rc;
    if (place.kind == MOUNT_LATEST) {
        (void)snprintf(out, len, "%s", place.target);
        return 0;
    }
    if (place.kind != MOUNT_ENTRY)
        return -EINVAL;
    rc = packetfs_stat(world->volume, &place.snapshot, place.path, fill_target, &room, &error);
    return rc != 0 ? answer(world, path, rc, &error) : 0;
}

/* --- folders --- */

struct reading {
    struct mount_world *world;
    const struct packetfs_snapshot *snapshot;
    void *out;
    fuse_fill_dir_t fill;
    enum fuse_fill_dir_flags flags;
    struct hm_buf name;
};

static int fill_entry(void *ctx, const struct packetfs_item *item)
{
    struct reading *reading = ctx;
    const uint8_t *slash = memrchr(item->path.data, '/', item->path.len);
    size_t begin = slash != NULL ? (size_t)(slash - item->path.data) + 1 : 0;
    struct stat st;
    struct attributes at = {reading->world, reading->snapshot, &st};

    hm_buf_clear(&reading->name);
    if (hm_buf_append(&reading->name, item->path.data + begin, item->path.len - begin) != 0 ||
        hm_buf_append(&reading->name, "", 1) != 0)
        return PACKETFS_ENOMEM;
    (void)fill_attributes(&at, item);
    return reading->fill(reading->out, (const char *)reading->name.data, &st, 0, reading->flags) !=
                   0
               ? PACKETFS_ENOMEM
               : 0;
}

/* Above the snapshots: their labels, or the times of one label. */
static void fill_names(struct mount_world *world, const struct mount_place *place, void *out,
                       fuse_fill_dir_t fill)
{
    (void)pthread_rwlock_rdlock(&world->lock);
    const struct mount_names *names = &world->names;
    if (names->count > 0)
        (void)fill(out, "latest", NULL, 0, 0);
    for (size_t i = 0; i < names->count; i++) {
        const struct mount_name *name = &names->names[i];
        if (place->kind == MOUNT_LABEL && strcmp(name->label, place->label) == 0)
            (void)fill(out, name->time, NULL, 0, 0);
        if (place->kind == MOUNT_ROOT &&
            (i == 0 || strcmp(names->names[i - 1].label, name->label) != 0))
            (void)fill(out, name->label, NULL, 0, 0);
    }
    (void)pthread_rwlock_unlock(&world->lock);
}

static int fs_readdir(const char *path, void *out, fuse_fill_dir_t fill, off_t offset,
                      struct fuse_file_info *file, enum fuse_readdir_flags flags)
{
    struct mount_world *world = world_of();
    struct mount_place place;
    struct packetfs_error error = {0};
    int rc = find(world, path, &place);

    (void)offset;
    (void)file;
    if (rc != 0)
        return rc;
    (void)fill(out, ".", NULL, 0, 0);
    (void)fill(out, "..", NULL, 0, 0);
    if (place.kind == MOUNT_ROOT || place.kind == MOUNT_LABEL) {
        mount_world_refresh(world, false);
        fill_names(world, &place, out, fill);
        return 0;
    }
    if (place.kind == MOUNT_LATEST)
        return -ENOTDIR;
    struct reading reading = {
        .world = world,
        .snapshot = &place.snapshot,
        .out = out,
        .fill = fill,
        .flags = (flags & FUSE_READDIR_PLUS) != 0 ? FUSE_FILL_DIR_PLUS : 0,
    };
    rc = packetfs_list(world->volume, &place.snapshot, place.path, false, fill_entry, &reading,
                       &error);
    hm_buf_release(&reading.name);
    return rc != 0 ? answer(world, path, rc, &error) : 0;
}

/* --- files --- */

struct mount_handle {
    pthread_mutex_t lock; /* one reader at a time */
    struct packetfs_file *file;
    struct mount_handle *before, *next; /* under the world's handles_lock */
};

static void handle_free(struct mount_handle *handle)
{
    packetfs_file_close(handle->file);
    (void)pthread_mutex_destroy(&handle->lock);
    hm_free(handle);
}

static void handle_enter(struct mount_world *world, struct mount_handle *handle)
{
    (void)pthread_mutex_lock(&world->handles_lock);
    handle->next = world->handles;
    if (handle->next != NULL)
        handle->next->before = handle;
    world->handles = handle;
    (void)pthread_mutex_unlock(&world->handles_lock);
}

static void handle_leave(struct mount_world *world, struct mount_handle *handle)
{
    (void)pthread_mutex_lock(&world->handles_lock);
    if (handle->before != NULL)
        handle->before->next = handle->next;
    else
        world->handles = handle->next;
    if (handle->next != NULL)
        handle->next->before = handle->before;
    (void)pthread_mutex_unlock(&world->handles_lock);
}

void mount_handles_close(struct mount_world *world)
{
    while (world->handles != NULL) {
        struct mount_handle *handle = world->handles;
        world->handles = handle->next;
        handle_free(handle);
    }
}

static int fs_open(const char *path, struct fuse_file_info *info)
{
    struct mount_world *world = world_of();
    struct mount_place place;
    struct packetfs_error error = {0};
    int rc = find(world, path, &place);

    if (rc != 0)
        return rc;
    if ((info->flags & O_ACCMODE) != O_RDONLY)
        return -EROFS;
    if (place.kind != MOUNT_ENTRY)
        return -EISDIR;
    struct mount_handle *handle = hm_calloc(1, sizeof(*handle));
    if (handle == NULL || pthread_mutex_init(&handle->lock, NULL) != 0) {
        hm_free(handle);
        return -ENOMEM;
    }
    rc = packetfs_file_open(world->volume, &place.snapshot, place.path, &handle->file, &error);
    if (rc != 0) {
        handle_free(handle);
        return answer(world, path, rc, &error);
    }
    handle_enter(world, handle);
    info->fh = (uint64_t)(uintptr_t)handle;
    info->keep_cache = 1;
    return 0;
}

static int fs_read(const char *path, char *out, size_t len, off_t offset,
                   struct fuse_file_info *info)
{
    struct mount_handle *handle = (struct mount_handle *)(uintptr_t)info->fh;
    struct packetfs_error error = {0};

    if (offset < 0)
        return -EINVAL;
    if (len > INT32_MAX)
        len = INT32_MAX;
    (void)pthread_mutex_lock(&handle->lock);
    int64_t got = packetfs_file_read(handle->file, (uint64_t)offset, out, len, &error);
    (void)pthread_mutex_unlock(&handle->lock);
    return got < 0 ? answer(world_of(), path, (int)got, &error) : (int)got;
}

/* Only for SEEK_DATA and SEEK_HOLE: so that copies keep their holes and nobody reads zeros for nothing. */
static off_t fs_lseek(const char *path, off_t offset, int whence, struct fuse_file_info *info)
{
    struct mount_world *world = world_of();
    struct mount_place place;
    struct packetfs_error error = {0};
    uint64_t found = 0;
    int rc = find(world, path, &place);

    (void)info;
    if (rc != 0)
        return rc;
    if (place.kind != MOUNT_ENTRY || offset < 0 || (whence != SEEK_DATA && whence != SEEK_HOLE))
        return -EINVAL;
    rc = packetfs_extent(world->volume, &place.snapshot, place.path, (uint64_t)offset,
                         whence == SEEK_HOLE, &found, &error);
    if (rc == PACKETFS_ENOTFOUND)
        return -ENXIO;
    return rc != 0 ? answer(world, path, rc, &error) : (off_t)found;
}

static int fs_release(const char *path, struct fuse_file_info *info)
{
    struct mount_handle *handle = (struct mount_handle *)(uintptr_t)info->fh;

    (void)path;
    handle_leave(world_of(), handle);
    handle_free(handle);
    return 0;
}

/* --- extended attributes --- */

struct wanted {
    const char *name; /* NULL: all names are gathered */
    struct room room;
    bool found, small;
};

static int fill_xattr(void *ctx, struct packetfs_bytes name, struct packetfs_bytes value)
{
    struct wanted *wanted = ctx;
    struct packetfs_bytes bytes = wanted->name != NULL ? value : name;
    size_t len = bytes.len + (wanted->name == NULL ? 1 : 0);

    if (wanted->name != NULL &&
        (strlen(wanted->name) != name.len || memcmp(wanted->name, name.data, name.len) != 0))
        return 0;
    wanted->found = true;
    if (wanted->room.len > 0) {
        if (len > wanted->room.len - wanted->room.used) {
            wanted->small = true;
            return 0;
        }
        if (bytes.len > 0)
            memcpy(wanted->room.data + wanted->room.used, bytes.data, bytes.len);
        if (wanted->name == NULL)
            wanted->room.data[wanted->room.used + bytes.len] = 0;
    }
    wanted->room.used += len;
    return 0;
}

static int xattrs(const char *path, struct wanted *wanted)
{
    struct mount_world *world = world_of();
    struct mount_place place;
    struct packetfs_error error = {0};
    int rc = find(world, path, &place);

    if (rc != 0)
        return rc;
    if (place.kind == MOUNT_ENTRY && place.path[0] != 0)
        rc = packetfs_xattrs(world->volume, &place.snapshot, place.path, fill_xattr, wanted,
                             &error);
    if (rc != 0)
        return answer(world, path, rc, &error);
    if (wanted->small)
        return -ERANGE;
    if (wanted->name != NULL && !wanted->found)
        return -ENODATA;
    return (int)wanted->room.used;
}

static int fs_getxattr(const char *path, const char *name, char *out, size_t len)
{
    struct wanted wanted = {.name = name, .room = {out, len, 0}};

    return xattrs(path, &wanted);
}

static int fs_listxattr(const char *path, char *out, size_t len)
{
    struct wanted wanted = {.room = {out, len, 0}};

    return xattrs(path, &wanted);
}

/* --- the whole --- */

static int fs_statfs(const char *path, struct statvfs *out)
{
    (void)path;
    memset(out, 0, sizeof(*out));
    out->f_bsize = out->f_frsize = MOUNT_BLOCK_BYTES;
    out->f_namemax = MOUNT_NAME_MAX_CHARS;
    out->f_flag = ST_RDONLY;
    return 0;
}

static void *fs_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
    struct mount_world *world = world_of();

    /* Attributes come with the names, always: asking for each by its path would cost far more. */
    if ((connection->capable & FUSE_CAP_READDIRPLUS) != 0) {
        connection->want |= FUSE_CAP_READDIRPLUS;
        connection->want &= ~(unsigned)FUSE_CAP_READDIRPLUS_AUTO;
    }
    config->use_ino = 1;
    config->kernel_cache = 1;
    config->entry_timeout = config->attr_timeout = world->one ? MOUNT_ONE_TIMEOUT_S
                                                              : (double)MOUNT_LOOK_AGAIN_S;
    config->negative_timeout = 0;
    return world;
}

const struct fuse_operations *mount_operations(void)
{
    static const struct fuse_operations operations = {
        .init = fs_init,
        .getattr = fs_getattr,
        .readlink = fs_readlink,
        .readdir = fs_readdir,
        .open = fs_open,
        .read = fs_read,
        .lseek = fs_lseek,
        .release = fs_release,
        .getxattr = fs_getxattr,
        .listxattr = fs_listxattr,
        .statfs = fs_statfs,
    };

    return &operations;
}
