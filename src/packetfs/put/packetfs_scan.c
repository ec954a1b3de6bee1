#include "put/packetfs_scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdatomic.h>

#define GETDENTS_BYTES  65536
#define KEPT_OPEN_BELOW 8 /* folders on the way down that stay open when there are too many */

struct level {
    struct packetfs_scan_folder *folder;
    struct hm_buf names; /* each with its zero byte */
    size_t *order; /* where each begins, sorted */
    size_t count, next;
};

struct scan {
    const struct packetfs_scan_options *options;
    const struct packetfs_scan_visitor *visitor;
    struct level *levels;
    size_t depth, capacity;
    _Atomic unsigned open_count;
    dev_t root_device;
    uint8_t *entries; /* GETDENTS_BYTES */
};

/* --- folders ------------------------------------------------------------------------------------------------------------ */
void packetfs_scan_folder_hold(struct packetfs_scan_folder *folder)
{
    atomic_fetch_add_explicit(&folder->refs, 1, memory_order_relaxed);
}

void packetfs_scan_folder_drop(struct packetfs_scan_folder *folder)
{
    if (folder == NULL || atomic_fetch_sub_explicit(&folder->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (folder->fd >= 0) {
        (void)close(folder->fd);
        atomic_fetch_sub_explicit(folder->open_count, 1, memory_order_relaxed);
    }
    hm_free(folder->path);
    hm_free(folder->place);
    hm_free(folder);
}

static char *path_join(const char *folder, const char *name)
{
    bool bare = folder[0] == '\0' || name[0] == '\0' || strcmp(folder, "/") == 0;

    return hm_asprintf("%s%s%s", folder, bare ? "" : "/", name);
}

/* Takes fd, also on failure. */
static int folder_new(struct scan *scan, int fd, const char *path, const char *place,
                      struct packetfs_scan_folder **out, struct hm_error *error)
{
    struct packetfs_scan_folder *folder = hm_calloc(1, sizeof(*folder));
    struct stat st;

    if (folder != NULL) {
        folder->path = hm_strdup(path);
        folder->place = hm_strdup(place);
    }
    if (folder == NULL || folder->path == NULL || folder->place == NULL || fstat(fd, &st) != 0) {
        if (folder != NULL) {
            hm_free(folder->path);
            hm_free(folder->place);
        }
        hm_free(folder);
        (void)close(fd);
        return hm_fail(error, HM_ENOMEM, "no memory to enter %s", place);
    }
    folder->fd = fd;
    folder->device = st.st_dev;
    folder->inode = st.st_ino;
    folder->open_count = &scan->open_count;
    atomic_init(&folder->refs, 1);
    atomic_fetch_add_explicit(&scan->open_count, 1, memory_order_relaxed);
    *out = folder;
    return 0;
}

static int fault(struct scan *scan, const char *place, const char *what, struct hm_error *error)
{
    struct hm_error said;

    (void)hm_fail_errno(&said, HM_EIO, "%s %s; it is left out", what, place);
    return scan->visitor->fault(scan->visitor->ctx, said.text, error);
}

/* --- names of one folder -------------------------------------------------------------------------------------------------- */
static int name_order(const void *a, const void *b, void *names)
{
    return strcmp((const char *)names + *(const size_t *)a,
                  (const char *)names + *(const size_t *)b);
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* HM_EIO with errno: the folder cannot be read. */
static int level_read(struct scan *scan, struct level *level, struct hm_error *error)
{
    size_t room = 0;

    for (;;) {
        ssize_t len = getdents64(level->folder->fd, scan->entries, GETDENTS_BYTES);
        if (len < 0)
            return HM_EIO;
        if (len == 0)
            break;
        for (ssize_t at = 0; at < len;) {
            const struct dirent64 *entry = (const void *)(scan->entries + at);
            at += entry->d_reclen;
            if (is_dots(entry->d_name))
                continue;
            if (level->count == room) {
                room = room == 0 ? 64 : room * 2;
                size_t *grown = hm_realloc(level->order, room * sizeof(*grown));
                if (grown == NULL)
                    return hm_fail(error, HM_ENOMEM, "no memory for the names in %s",
                                   level->folder->place);
                level->order = grown;
            }
            level->order[level->count++] = level->names.len;
            if (hm_buf_append(&level->names, entry->d_name, strlen(entry->d_name) + 1) != 0)
                return hm_fail(error, HM_ENOMEM, "no memory for the names in %s",
                               level->folder->place);
        }
    }
    if (level->count > 1)
        qsort_r(level->order, level->count, sizeof(*level->order), name_order, level->names.data);
    return 0;
}

static void level_release(struct level *level)
{
    packetfs_scan_folder_drop(level->folder);
    hm_buf_release(&level->names);
    hm_free(level->order);
    *level = (struct level){.folder = NULL};
}

/* --- too many open folders -------------------------------------------------------------------------------------------- */
static int folders_close(struct scan *scan, struct hm_error *error)
{
    int result = scan->visitor->drain(scan->visitor->ctx, error);

    if (result != 0)
        return result;
    for (size_t i = 0; i + KEPT_OPEN_BELOW < scan->depth; i++) {
        struct packetfs_scan_folder *folder = scan->levels[i].folder;
        if (folder->fd >= 0 && i > 0) { /* the first was not reached from above */
            (void)close(folder->fd);
            folder->fd = -1;
            atomic_fetch_sub_explicit(&scan->open_count, 1, memory_order_relaxed);
        }
    }
    return 0;
}

/* Back up from child. false: the child was moved away meanwhile. */
static bool folder_reopen(struct scan *scan, struct packetfs_scan_folder *folder,
                          const struct packetfs_scan_folder *child)
{
    struct stat st;

    if (folder->fd >= 0)
        return true;
    HM_AUTOCLOSE int fd = openat(child->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_dev != folder->device || st.st_ino != folder->inode)
        return false;
    folder->fd = HM_TAKE_FD(fd);
    atomic_fetch_add_explicit(&scan->open_count, 1, memory_order_relaxed);
    return true;
}

/* --- the walk ------------------------------------------------------------------------------------------------------------ */
static bool excluded(const struct scan *scan, const char *path, const char *name)
{
    for (size_t i = 0; i < scan->options->exclude_count; i++) {
        const char *pattern = scan->options->excludes[i];
        if (pattern[0] == '/')
            pattern++;
        else if (strchr(pattern, '/') == NULL) {
            if (fnmatch(pattern, name, 0) == 0)
                return true;
            continue;
        }
        if (fnmatch(pattern, path, FNM_PATHNAME) == 0)
            return true;
    }
    return false;
}

static int level_push(struct scan *scan, struct packetfs_scan_folder *folder, bool read,
                      struct hm_error *error)
{
    if (scan->depth == scan->capacity) {
        size_t capacity = scan->capacity == 0 ? 64 : scan->capacity * 2;
        struct level *grown = hm_realloc(scan->levels, capacity * sizeof(*grown));
        if (grown == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory to enter %s", folder->place);
        scan->levels = grown;
        scan->capacity = capacity;
    }
    struct level *level = &scan->levels[scan->depth];
    *level = (struct level){.folder = folder};
    int result = read ? level_read(scan, level, error) : 0;
    if (result != 0) {
        level->folder = NULL;
        level_release(level);
        return result;
    }
    scan->depth++;
    return 0;
}

/* Opens NAME in above and shows it. */
static int folder_enter(struct scan *scan, struct packetfs_scan_folder *above, const char *name,
                        const char *path, const char *place, struct hm_error *error)
{
    struct packetfs_scan_folder *folder = NULL;
    struct stat st;

    if (scan->depth >= PACKETFS_SCAN_DEPTH_MAX) {
        errno = ENAMETOOLONG;
        return fault(scan, place, "too many folders in one another at", error);
    }
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    int fd = openat(above->fd, name, flags | O_NOATIME);

    if (fd < 0 && errno == EPERM)
        fd = openat(above->fd, name, flags);
    if (fd < 0)
        return fault(scan, place, "cannot open folder", error);
    if (fstat(fd, &st) != 0) {
        (void)close(fd);
        return fault(scan, place, "cannot look at folder", error);
    }
    if (st.st_dev == scan->options->skip_device && st.st_ino == scan->options->skip_inode) {
        (void)close(fd);
        return 0;
    }
    int result = folder_new(scan, fd, path, place, &folder, error);
    if (result != 0)
        return result;
    bool read = !scan->options->one_file_system || st.st_dev == scan->root_device;
    result = level_push(scan, folder, read, error);
    if (result == HM_EIO) {
        packetfs_scan_folder_drop(folder);
        return fault(scan, place, "cannot read folder", error);
    }
    if (result != 0) {
        packetfs_scan_folder_drop(folder);
        return result;
    }
    result = scan->visitor->enter(scan->visitor->ctx, folder, name, &st, error);
    if (result == 0 &&
        atomic_load_explicit(&scan->open_count, memory_order_relaxed) >= PACKETFS_SCAN_FOLDERS_OPEN)
        result = folders_close(scan, error);
    return result;
}

static int name_visit(struct scan *scan, struct packetfs_scan_folder *folder, const char *name,
                      const char *path, struct hm_error *error)
{
    struct stat st;

    HM_AUTOFREE char *place = path_join(folder->place, name);
    if (place == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the name of %s", name);
    if (fstatat(folder->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : fault(scan, place, "cannot look at", error);
    if (S_ISDIR(st.st_mode))
        return folder_enter(scan, folder, name, path, place, error);
    return scan->visitor->entry(scan->visitor->ctx, folder, name, &st, error);
}

static int level_pop(struct scan *scan, struct hm_error *error)
{
    struct level *level = &scan->levels[scan->depth - 1];
    struct packetfs_scan_folder *above = scan->depth > 1 ? scan->levels[scan->depth - 2].folder
                                                         : NULL;
    int result = 0;

    if (above != NULL && !folder_reopen(scan, above, level->folder)) {
        struct level *parent = &scan->levels[scan->depth - 2];
        if (parent->next < parent->count)
            result = fault(scan, above->place, "moved while it was read: the rest of folder",
                           error);
        parent->next = parent->count;
        /* Its own way up leads from nowhere now; what is above ends as well. */
    }
    level_release(level);
    scan->depth--;
    return result == 0 ? scan->visitor->leave(scan->visitor->ctx, error) : result;
}

/* Until only that many levels are left, and the last of them has been shown. */
static int walk(struct scan *scan, size_t stop, struct hm_error *error)
{
    int result = 0;

    while (result == 0 && scan->depth > 0) {
        struct level *level = &scan->levels[scan->depth - 1];
        if (level->next == level->count) {
            if (scan->depth <= stop)
                break;
            result = level_pop(scan, error);
            continue;
        }
        const char *name = (const char *)level->names.data + level->order[level->next++];
        HM_AUTOFREE char *path = path_join(level->folder->path, name);
        if (path == NULL)
            result = hm_fail(error, HM_ENOMEM, "no memory for the name of %s", name);
        else if (!excluded(scan, path, name))
            result = name_visit(scan, level->folder, name, path, error);
    }
    return result;
}

/* --- where it begins ------------------------------------------------------------------------------------------------------- */
struct root {
    char *above; /* the folder that holds it */
    char *name;
};

static int root_split(const char *path, struct root *out, struct hm_error *error)
{
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] == '/')
        len--;
    HM_AUTOFREE char *trimmed = hm_strndup(path, len);
    if (trimmed == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for %s", path);
    const char *last = strrchr(trimmed, '/');
    const char *name = last != NULL ? last + 1 : trimmed;
    if (len == 0)
        return hm_fail(error, HM_EINVAL, "a path is empty");
    if (name[0] == '\0' || is_dots(name)) {
        char real[PATH_MAX];
        if (realpath(path, real) == NULL)
            return hm_fail_errno(error, HM_ENOTFOUND, "cannot find %s", path);
        if (strcmp(real, "/") == 0)
            return hm_fail(error, HM_EINVAL,
                           "\"/\" has no name to be kept under: put its contents (contents_of)");
        return root_split(real, out, error);
    }
    out->above = last == NULL      ? hm_strdup(".")
                 : last == trimmed ? hm_strdup("/")
                                   : hm_strndup(trimmed, (size_t)(last - trimmed));
    out->name = hm_strdup(name);
    return out->above != NULL && out->name != NULL
               ? 0
               : hm_fail(error, HM_ENOMEM, "no memory for %s", path);
}

static int root_order(const void *a, const void *b)
{
    return strcmp(((const struct root *)a)->name, ((const struct root *)b)->name);
}

static int open_error(const char *path, struct hm_error *error)
{
    return hm_fail_errno(error,
                         errno == ENOENT || errno == ENOTDIR ? HM_ENOTFOUND
                         : errno == EACCES                   ? HM_EPERM
                                                             : HM_EIO,
                         "cannot read %s", path);
}

static int root_folder_open(struct scan *scan, const char *path, struct packetfs_scan_folder **out,
                            struct hm_error *error)
{
    char real[PATH_MAX];
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return open_error(path, error);
    if (realpath(path, real) == NULL) {
        (void)close(fd);
        return open_error(path, error);
    }
    return folder_new(scan, fd, "", real, out, error);
}

static int root_visit(struct scan *scan, const struct root *root, struct hm_error *error)
{
    struct packetfs_scan_folder *above = NULL;
    struct stat st;
    int result = root_folder_open(scan, root->above, &above, error);

    if (result != 0)
        return result;
    if (fstatat(above->fd, root->name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        result = open_error(root->name, error);
    } else {
        scan->root_device = st.st_dev;
        result = name_visit(scan, above, root->name, root->name, error);
        if (result == 0)
            result = walk(scan, 0, error);
    }
    packetfs_scan_folder_drop(above);
    return result;
}

static int roots_visit(struct scan *scan, struct hm_error *error)
{
    size_t count = scan->options->path_count;
    struct root *roots = hm_calloc(count, sizeof(*roots));
    int result = roots != NULL ? 0 : hm_fail(error, HM_ENOMEM, "no memory for %zu paths", count);

    for (size_t i = 0; result == 0 && i < count; i++)
        result = root_split(scan->options->paths[i], &roots[i], error);
    if (result == 0)
        qsort(roots, count, sizeof(*roots), root_order);
    for (size_t i = 1; result == 0 && i < count; i++)
        if (strcmp(roots[i - 1].name, roots[i].name) == 0)
            result = hm_fail(error, HM_ECONFLICT,
                             "two of the paths end in \"%s\": put them into snapshots of their own",
                             roots[i].name);
    for (size_t i = 0; result == 0 && i < count; i++)
        result = root_visit(scan, &roots[i], error);
    for (size_t i = 0; roots != NULL && i < count; i++) {
        hm_free(roots[i].above);
        hm_free(roots[i].name);
    }
    hm_free(roots);
    return result;
}

static int contents_visit(struct scan *scan, struct hm_error *error)
{
    struct packetfs_scan_folder *folder = NULL;
    int result = root_folder_open(scan, scan->options->paths[0], &folder, error);

    if (result != 0)
        return result;
    scan->root_device = folder->device;
    result = level_push(scan, folder, true, error);
    if (result != 0) {
        if (result == HM_EIO)
            result = open_error(scan->options->paths[0], error);
        packetfs_scan_folder_drop(folder);
        return result;
    }
    return walk(scan, 1, error);
}

int packetfs_scan(const struct packetfs_scan_options *options,
                  const struct packetfs_scan_visitor *visitor, struct hm_error *error)
{
    struct scan scan = {.options = options, .visitor = visitor};
    int result;

    if (options->path_count == 0 || (options->contents_of && options->path_count != 1))
        return hm_fail(error, HM_EINVAL, "%s",
                       options->contents_of ? "contents_of needs exactly one path"
                                            : "there is nothing to put: name files or folders");
    scan.entries = hm_malloc(GETDENTS_BYTES);
    if (scan.entries == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to read folders");
    result = options->contents_of ? contents_visit(&scan, error) : roots_visit(&scan, error);
    /* Folders that something pending holds count their closing in scan.open_count. */
    int drained = visitor->drain(visitor->ctx, result == 0 ? error : NULL);
    while (scan.depth > 0)
        level_release(&scan.levels[--scan.depth]);
    hm_free(scan.levels);
    hm_free(scan.entries);
    return result != 0 ? result : drained;
}
