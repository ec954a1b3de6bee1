#include "get/packetfs_restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "tree/packetfs_node.h"

#define KEPT_OPEN_BELOW 8

struct level {
    struct packetfs_restore_folder *folder;
    struct packetfs_folder_cursor *cursor;
};

struct walk {
    struct packetfs_restore *restore;
    struct level *levels;
    size_t depth, capacity;
};

/* --- files to jobs ----------------------------------------------------------------------------------------------------------- */
struct files_job {
    struct packetfs_job job;
    struct packetfs_restore *restore;
    struct packetfs_restore_node *first;
    size_t count;
};

static void node_drop(struct packetfs_restore_node *node)
{
    if (node == NULL || atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) != 1)
        return;
    packetfs_restore_folder_drop(node->folder);
    hm_buf_release(&node->keep);
    hm_free(node);
}

static int position_order(const void *a, const void *b)
{
    const struct packetfs_restore_node *left = *(struct packetfs_restore_node *const *)a;
    const struct packetfs_restore_node *right = *(struct packetfs_restore_node *const *)b;

    return (left->position > right->position) - (left->position < right->position);
}

/* In the order of the disk. */
static size_t files_sort(struct files_job *job, struct packetfs_restore_node **order)
{
    struct packetfs_restore *restore = job->restore;
    size_t count = 0;

    for (struct packetfs_restore_node *node = job->first; node != NULL; node = node->next)
        order[count++] = node;
    if (restore->store == NULL || count < 2)
        return count;
    for (size_t i = 0; i < count; i++)
        if (order[i]->entry.content.kind == PACKETFS_CONTENT_PATTERN)
            order[i]->position = packetfs_store_position(restore->store, PACKETFS_PATTERN,
                                                         &order[i]->entry.content.id);
    qsort(order, count, sizeof(struct packetfs_restore_node *), position_order);
    return count;
}

static void files_run(struct packetfs_job *job, unsigned worker)
{
    struct files_job *files = (struct files_job *)(void *)job;
    struct packetfs_restore *restore = files->restore;
    struct packetfs_restore_node *order[PACKETFS_RESTORE_JOB_FILES];
    size_t count = files_sort(files, order);

    (void)worker;
    hm_free(files);
    for (size_t i = 0; i < count; i++) {
        packetfs_restore_file(restore, order[i]);
        /* Its folder may be waiting for nothing else. */
        packetfs_restore_folder_drop(order[i]->folder);
        order[i]->folder = NULL;
        atomic_store_explicit(&order[i]->done, true, memory_order_release);
        node_drop(order[i]);
    }
    atomic_fetch_sub(&restore->pending, (unsigned)count);
}

static int batch_flush(struct packetfs_restore *restore, struct hm_error *error)
{
    if (restore->batch == NULL)
        return 0;
    struct files_job *job = hm_malloc(sizeof(*job));
    if (job == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to write files");
    *job = (struct files_job){.job = {.run = files_run},
                              .restore = restore,
                              .first = restore->batch,
                              .count = restore->batch_count};
    restore->batch = NULL;
    restore->batch_last = NULL;
    restore->batch_count = 0;
    restore->batch_bytes = 0;
    packetfs_pool_add(restore->pool, &job->job);
    return 0;
}

static int everything_drain(struct packetfs_restore *restore, struct hm_error *error)
{
    int result = batch_flush(restore, error);

    packetfs_pool_drain(restore->pool);
    return result;
}

static int batch_add(struct packetfs_restore *restore, struct packetfs_restore_node *node,
                     struct hm_error *error)
{
    uint64_t bytes = node->entry.content.bytes;
    int result = 0;

    if (restore->batch_count > 0 && bytes > PACKETFS_RESTORE_JOB_BYTES)
        result = batch_flush(restore, error);
    if (restore->batch_last != NULL)
        restore->batch_last->next = node;
    else
        restore->batch = node;
    restore->batch_last = node;
    restore->batch_count++;
    restore->batch_bytes += bytes;
    atomic_fetch_add(&restore->pending, 1);
    if (result == 0 && (restore->batch_count == PACKETFS_RESTORE_JOB_FILES ||
                        restore->batch_bytes >= PACKETFS_RESTORE_JOB_BYTES))
        result = batch_flush(restore, error);
    if (result == 0 && atomic_load(&restore->pending) > PACKETFS_RESTORE_QUEUE)
        packetfs_pool_drain(restore->pool);
    return result;
}

/* --- further names of a file ------------------------------------------------------------------------------------------------- */
static struct packetfs_restore_link *link_slot(struct packetfs_restore_link *links, size_t capacity,
                                               uint64_t number)
{
    size_t at = (size_t)((number * 0x9e3779b97f4a7c15U) >> 32) & (capacity - 1);

    while (links[at].number != 0 && links[at].number != number)
        at = (at + 1) & (capacity - 1);
    return &links[at];
}

static int links_grow(struct packetfs_restore *restore, struct hm_error *error)
{
    size_t capacity = restore->link_capacity == 0 ? 64 : restore->link_capacity * 2;
    struct packetfs_restore_link *grown = hm_calloc(capacity, sizeof(*grown));

    if (grown == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for %zu files with several names", capacity);
    for (size_t i = 0; i < restore->link_capacity; i++)
        if (restore->links[i].number != 0)
            *link_slot(grown, capacity, restore->links[i].number) = restore->links[i];
    hm_free(restore->links);
    restore->links = grown;
    restore->link_capacity = capacity;
    return 0;
}

static void links_free(struct packetfs_restore *restore)
{
    for (size_t i = 0; i < restore->link_capacity; i++) {
        hm_free(restore->links[i].path);
        node_drop(restore->links[i].node);
    }
    hm_free(restore->links);
}

/* Down from the target, a component at a time, past no symbolic link. -1: errno. */
static int folder_find(int target, const char *path)
{
    int fd = openat(target, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

    while (fd >= 0 && path[0] != '\0') {
        char name[PACKETFS_NAME_MAX_BYTES + 1];
        size_t len = strcspn(path, "/");
        memcpy(name, path, len);
        name[len] = '\0';
        int next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int kept = errno;
        (void)close(fd);
        errno = kept;
        fd = next;
        path += len + (path[len] == '/' ? 1 : 0);
    }
    return fd;
}

static int link_make(struct walk *walk, const struct packetfs_restore_link *link,
                     struct packetfs_restore_folder *folder, const char *name,
                     struct hm_error *error)
{
    struct packetfs_restore *restore = walk->restore;
    char temporary[PACKETFS_TEMPORARY_BYTES];
    struct stat there, first;

    HM_AUTOCLOSE int from = folder_find(walk->levels[0].folder->fd, link->path);
    if (from < 0 || fstatat(from, link->name, &first, AT_SYMLINK_NOFOLLOW) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot find its first name, %s/%s", link->path,
                             link->name);
    if (fstatat(folder->fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0) {
        if (there.st_dev == first.st_dev && there.st_ino == first.st_ino) {
            atomic_fetch_add(&restore->same, 1);
            return 0;
        }
        if (!restore->overwrite)
            return hm_fail(error, HM_EEXIST,
                           "is there and differs; overwrite, or choose another target");
    }
    packetfs_restore_temporary(restore, name, temporary);
    (void)unlinkat(folder->fd, temporary, 0);
    if (linkat(from, link->name, folder->fd, temporary, 0) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot link it to %s/%s", link->path, link->name);
    int result = packetfs_restore_rename(restore, folder->fd, temporary, name, error);
    if (result != 0)
        (void)unlinkat(folder->fd, temporary, 0);
    else
        atomic_fetch_add(&restore->files, 1);
    return result;
}

/* *made: it was a further name, and is there now. Else the node (NULL: not a plain file) is to be its first. */
static int link_try(struct walk *walk, struct packetfs_restore_folder *folder, const char *name,
                    const struct packetfs_entry *entry, struct packetfs_restore_node *node,
                    bool *made, struct hm_error *error)
{
    struct packetfs_restore *restore = walk->restore;
    struct hm_error why;
    int result = 0;

    *made = false;
    if (restore->link_count * 2 >= restore->link_capacity)
        result = links_grow(restore, error);
    if (result != 0)
        return result;
    struct packetfs_restore_link *link = link_slot(restore->links, restore->link_capacity,
                                                   entry->hard_link);
    if (link->number != 0) {
        if (link->node != NULL && !atomic_load_explicit(&link->node->done, memory_order_acquire)) {
            result = batch_flush(restore, error);
            if (result != 0)
                return result;
            packetfs_pool_wait(restore->pool, false, &link->node->done);
        }
        if (link->node == NULL || !link->node->failed) {
            result = link_make(walk, link, folder, name, &why);
            if (result != 0)
                packetfs_restore_failed(restore, folder, name, result, &why);
            *made = true;
            return 0;
        }
        node_drop(link->node);
        hm_free(link->path);
        link->path = NULL;
        link->node = NULL;
        restore->link_count--;
    }
    char *path = hm_strdup(folder->path);
    if (path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a file with several names");
    link->number = entry->hard_link;
    link->path = path;
    link->node = node;
    (void)snprintf(link->name, sizeof(link->name), "%s", name);
    if (node != NULL)
        atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
    restore->link_count++;
    return 0;
}

/* --- links, pipes, sockets, devices -------------------------------------------------------------------------------------------- */
static bool special_is_there(const struct packetfs_restore *restore, int folder, const char *name,
                             const struct packetfs_entry *entry)
{
    char target[PACKETFS_TARGET_MAX_BYTES + 1];
    struct stat st;

    if (!packetfs_restore_attributes_same(folder, name, entry, &restore->rules))
        return false;
    if (entry->type == PACKETFS_SYMLINK) {
        ssize_t len = readlinkat(folder, name, target, sizeof(target));
        return len >= 0 && hm_slice_equal(hm_slice_of(target, (size_t)len), entry->target);
    }
    if (entry->type != PACKETFS_CHARACTER_DEVICE && entry->type != PACKETFS_BLOCK_DEVICE)
        return true;
    return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           ((uint64_t)major(st.st_rdev) << 32 | minor(st.st_rdev)) == entry->device;
}

static int special_create(int folder, const char *name, const struct packetfs_entry *entry,
                          struct hm_error *error)
{
    char target[PACKETFS_TARGET_MAX_BYTES + 1];
    mode_t kind = entry->type == PACKETFS_FIFO               ? S_IFIFO
                  : entry->type == PACKETFS_SOCKET           ? S_IFSOCK
                  : entry->type == PACKETFS_CHARACTER_DEVICE ? S_IFCHR
                                                             : S_IFBLK;
    dev_t device = makedev((unsigned)(entry->device >> 32), (unsigned)entry->device);
    int failed;

    if (entry->type == PACKETFS_SYMLINK) {
        if (entry->target.len > PACKETFS_TARGET_MAX_BYTES)
            return hm_fail(error, HM_ECORRUPT, "its target has %zu bytes", entry->target.len);
        memcpy(target, entry->target.data, entry->target.len);
        target[entry->target.len] = '\0';
        failed = symlinkat(target, folder, name);
    } else {
        failed = mknodat(folder, name, kind | 0600, device);
    }
    if (failed == 0)
        return 0;
    return errno == EPERM ? hm_fail(error, HM_EPERM, "only root can make devices; it is left out")
                          : hm_fail_errno(error, HM_EIO, "cannot make it");
}

static int special_make(struct packetfs_restore *restore, struct packetfs_restore_folder *folder,
                        const char *name, const struct packetfs_entry *entry,
                        struct hm_error *error)
{
    char temporary[PACKETFS_TEMPORARY_BYTES];
    struct stat st;

    if (special_is_there(restore, folder->fd, name, entry)) {
        atomic_fetch_add(&restore->same, 1);
        return 0;
    }
    if (!restore->overwrite && fstatat(folder->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return hm_fail(error, HM_EEXIST,
                       "is there and differs; overwrite, or choose another "
                       "target");
    packetfs_restore_temporary(restore, name, temporary);
    (void)unlinkat(folder->fd, temporary, 0);
    int result = special_create(folder->fd, temporary, entry, error);
    if (result != 0)
        return result;
    result = packetfs_meta_apply_at(folder->fd, temporary, entry, &restore->rules, error);
    int named = packetfs_restore_rename(restore, folder->fd, temporary, name,
                                        result == 0 ? error : NULL);
    if (named != 0)
        (void)unlinkat(folder->fd, temporary, 0);
    else
        atomic_fetch_add(&restore->files, 1);
    return result != 0 ? result : named;
}

/* --- the walk -------------------------------------------------------------------------------------------------------------------- */
static int level_push(struct walk *walk, struct packetfs_restore_folder *folder,
                      const struct packetfs_id *root, struct hm_error *error)
{
    if (walk->depth == walk->capacity) {
        size_t capacity = walk->capacity == 0 ? 64 : walk->capacity * 2;
        struct level *grown = hm_realloc(walk->levels, capacity * sizeof(*grown));
        if (grown == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for a folder");
        walk->levels = grown;
        walk->capacity = capacity;
    }
    struct level *level = &walk->levels[walk->depth];
    *level = (struct level){.folder = folder};
    int result = root != NULL
                     ? packetfs_folder_open(&walk->restore->objects, root, &level->cursor, error)
                     : 0;
    if (result == 0)
        walk->depth++;
    return result;
}

/* The folders above the last few give their handles back when there are too many. */
static int folders_close(struct walk *walk, struct hm_error *error)
{
    int result = everything_drain(walk->restore, error);

    for (size_t i = 1; result == 0 && i + KEPT_OPEN_BELOW < walk->depth; i++) {
        struct packetfs_restore_folder *folder = walk->levels[i].folder;
        if (folder->fd >= 0) {
            (void)close(folder->fd);
            folder->fd = -1;
            atomic_fetch_sub(&walk->restore->folders_open, 1);
        }
    }
    return result;
}

static void level_pop(struct walk *walk)
{
    struct level *level = &walk->levels[--walk->depth];
    struct packetfs_restore_folder *above = walk->depth > 0 ? walk->levels[walk->depth - 1].folder
                                                            : NULL;
    struct stat st;

    if (above != NULL && above->fd < 0 && level->folder->fd >= 0) {
        int fd = openat(level->folder->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == above->device &&
            st.st_ino == above->inode) {
            above->fd = fd;
            atomic_fetch_add(&walk->restore->folders_open, 1);
        } else {
            struct hm_error error;
            if (fd >= 0)
                (void)close(fd);
            (void)hm_fail(&error, HM_EIO, "was moved while it was restored");
            packetfs_restore_failed(walk->restore, NULL, above->path, HM_EIO, &error);
        }
    }
    packetfs_folder_close(level->cursor);
    packetfs_restore_folder_drop(level->folder);
}

/* What a folder was before. */
struct found {
    bool there, opened;
    mode_t mode; /* opened: from this one */
};

/* The folder was there, and its owner may not write to it: only until it is done. */
static void folder_open_up(int fd, struct found *found)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || (st.st_mode & S_IRWXU) == S_IRWXU || found->opened)
        return;
    found->mode = st.st_mode & 07777;
    found->opened = fchmod(fd, found->mode | S_IRWXU) == 0;
}

/* Makes or finds the folder NAME. -1 and error. */
static int folder_make(struct packetfs_restore *restore, int above, const char *name,
                       struct found *found, struct hm_error *error)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    char path[64];
    struct stat st;

    int made = mkdirat(above, name, PACKETFS_META_UNFINISHED);
    if (made != 0 && errno == ENOSPC) {
        (void)hm_fail(error, HM_ELIMIT, "cannot write: the disk is full");
        return -1;
    }
    int fd = openat(above, name, flags);
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP) && restore->overwrite) {
        if (unlinkat(above, name, 0) == 0 &&
            (made = mkdirat(above, name, PACKETFS_META_UNFINISHED)) == 0)
            fd = openat(above, name, flags);
    } else if (fd < 0 && errno == EACCES) { /* a folder of ours that an earlier run has closed */
        HM_AUTOCLOSE int handle = openat(above, name,
                                         O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", handle);
        if (handle >= 0 && fstat(handle, &st) == 0 && chmod(path, 0700) == 0) {
            *found = (struct found){.opened = true, .mode = st.st_mode & 07777};
            fd = openat(above, name, flags);
            if (fd < 0)
                (void)chmod(path, found->mode);
        }
    }
    if (fd < 0) {
        int code = errno == ENOTDIR || errno == ELOOP ? HM_EEXIST : HM_EIO;
        (void)hm_fail_errno(error, code, "cannot make or enter the folder");
        return -1;
    }
    if (made != 0 && !restore->rules.root)
        folder_open_up(fd, found);
    found->there = made != 0;
    return fd;
}

static int folder_restore(struct walk *walk, struct packetfs_restore_folder *above,
                          const char *name, const struct packetfs_entry *entry,
                          struct hm_error *error)
{
    struct packetfs_restore *restore = walk->restore;
    struct packetfs_restore_folder *folder = NULL;
    struct hm_error why = {.code = HM_EIO};
    struct found found = {.there = false};
    int fd = folder_make(restore, above->fd, name, &found, &why);

    if (fd < 0) {
        packetfs_restore_failed(restore, above, name, why.code, &why);
        return 0;
    }
    HM_AUTOFREE char *path = hm_asprintf("%s%s%s", above->path, above->path[0] != '\0' ? "/" : "",
                                         name);
    if (path == NULL) {
        (void)close(fd);
        return hm_fail(error, HM_ENOMEM, "no memory for a folder");
    }
    struct packetfs_id root = entry->folder;
    /* Somebody else's folder is not ours to change; one that an earlier try has not finished is. */
    bool ours = !found.there || restore->overwrite || packetfs_meta_is_unfinished(fd);
    int result = packetfs_restore_folder_new(restore, fd, path, ours ? entry : NULL, &folder,
                                             error);
    if (result != 0)
        return result;
    folder->was_opened = found.opened;
    folder->mode_before = found.mode;
    atomic_fetch_add(&restore->folders, 1);
    result = level_push(walk, folder, &root, &why);
    if (result != 0) { /* the folder itself is there, what was in it is not known */
        packetfs_restore_failed(restore, above, name, result, &why);
        packetfs_restore_folder_drop(folder);
        return 0;
    }
    if (atomic_load(&restore->folders_open) >= PACKETFS_RESTORE_FOLDERS_OPEN)
        result = folders_close(walk, error);
    return result;
}

static int file_restore(struct walk *walk, struct packetfs_restore_folder *folder, const char *name,
                        const struct packetfs_entry *entry, struct hm_error *error)
{
    struct packetfs_restore_node *node = hm_calloc(1, sizeof(*node));
    bool made = false;
    int result = 0;

    if (node == NULL || packetfs_entry_copy(entry, &node->entry, &node->keep) != 0) {
        hm_free(node);
        return hm_fail(error, HM_ENOMEM, "no memory to write %s", name);
    }
    atomic_init(&node->refs, 1);
    (void)snprintf(node->name, sizeof(node->name), "%s", name);
    if (entry->hard_link != 0)
        result = link_try(walk, folder, name, entry, node, &made, error);
    if (result != 0 || made) {
        node_drop(node);
        return result;
    }
    packetfs_restore_folder_hold(folder);
    node->folder = folder;
    return batch_add(walk->restore, node, error);
}

static int entry_restore(struct walk *walk, struct packetfs_restore_folder *folder,
                         const struct packetfs_entry *entry, struct hm_error *error)
{
    struct packetfs_restore *restore = walk->restore;
    char name[PACKETFS_NAME_MAX_BYTES + 1];
    struct hm_error why;
    bool made = false;

    if (++restore->entries > restore->entries_max && restore->entries_max != 0)
        return hm_fail(error, HM_ELIMIT, "more than %llu files and folders came",
                       (unsigned long long)restore->entries_max);
    if (entry->name.len == 0 || entry->name.len > PACKETFS_NAME_MAX_BYTES ||
        memchr(entry->name.data, '/', entry->name.len) != NULL ||
        memchr(entry->name.data, '\0', entry->name.len) != NULL)
        return hm_fail(error, HM_ECORRUPT, "a folder holds a name that no file can have");
    memcpy(name, entry->name.data, entry->name.len);
    name[entry->name.len] = '\0';
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return hm_fail(error, HM_ECORRUPT, "a folder holds a name that no file can have");
    if (entry->type == PACKETFS_FOLDER)
        return folder_restore(walk, folder, name, entry, error);
    if (entry->type == PACKETFS_FILE)
        return file_restore(walk, folder, name, entry, error);
    if (entry->hard_link != 0) {
        int result = link_try(walk, folder, name, entry, NULL, &made, error);
        if (result != 0 || made)
            return result;
    }
    int result = special_make(restore, folder, name, entry, &why);
    if (result != 0)
        packetfs_restore_failed(restore, folder, name, result, &why);
    return 0;
}

static int walk_all(struct walk *walk, struct hm_error *error)
{
    struct packetfs_restore *restore = walk->restore;
    struct packetfs_entry entry;
    struct hm_error why;
    int result = 0;

    while (result == 0 && walk->depth > 0) {
        struct level *level = &walk->levels[walk->depth - 1];
        int next = level->cursor != NULL && level->folder->fd >= 0
                       ? packetfs_folder_next(level->cursor, &entry, &why)
                       : HM_ENOTFOUND;
        if (next != 0) {
            if (next != HM_ENOTFOUND)
                packetfs_restore_failed(restore, level->folder, ".", next, &why);
            if (walk->depth == 1)
                break;
            level_pop(walk);
            continue;
        }
        result = entry_restore(walk, level->folder, &entry, error);
        if (result == 0 && !packetfs_report_tick(&restore->report))
            result = hm_fail(error, HM_ECANCELLED, "stopped on request");
        if (result == 0 && atomic_load(&restore->stop))
            break;
    }
    return result;
}

int packetfs_restore_run(struct packetfs_restore *restore, const struct packetfs_id *root,
                         const struct packetfs_entry *entry, int target, struct hm_error *error)
{
    struct walk walk = {.restore = restore};
    struct packetfs_restore_folder *top = NULL;
    int fd = fcntl(target, F_DUPFD_CLOEXEC, 0);
    int result = fd >= 0 ? packetfs_restore_folder_new(restore, fd, "", NULL, &top, error)
                         : hm_fail_errno(error, HM_EIO, "cannot enter the target");

    if (result == 0) {
        result = level_push(&walk, top, root, error);
        if (result != 0)
            packetfs_restore_folder_drop(top);
    }
    if (result == 0 && entry != NULL)
        result = entry_restore(&walk, top, entry, error);
    if (result == 0)
        result = walk_all(&walk, error);
    if (result != 0)
        atomic_store(&restore->stop, true);
    int drained = everything_drain(restore, NULL);
    while (walk.depth > 0)
        level_pop(&walk);
    links_free(restore);
    hm_free(walk.levels);
    if (result == 0 && restore->fatal != 0) {
        result = restore->fatal;
        if (error != NULL)
            *error = restore->fatal_error;
    }
    return result != 0 ? result : drained;
}
