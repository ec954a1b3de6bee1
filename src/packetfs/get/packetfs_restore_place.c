/* Folders and names of a restore: how things come to their places. */
#include "get/packetfs_restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "crypto.h"
#include "tree/packetfs_node.h"

void packetfs_restore_failed(struct packetfs_restore *restore,
                             const struct packetfs_restore_folder *folder, const char *name,
                             int code, const struct hm_error *error)
{
    bool full = code == HM_ELIMIT || code == HM_ENOMEM || code == HM_ECANCELLED;

    if (full) { /* nothing after it would do better */
        (void)pthread_mutex_lock(&restore->lock);
        if (restore->fatal == 0) {
            restore->fatal = code == HM_ELIMIT ? HM_EIO : code;
            restore->fatal_error = *error;
            restore->fatal_error.code = restore->fatal;
        }
        (void)pthread_mutex_unlock(&restore->lock);
        atomic_store(&restore->stop, true);
        return;
    }
    atomic_fetch_add(&restore->failed, 1);
    if (code == HM_EEXIST)
        atomic_fetch_add(&restore->failed_exists, 1);
    else if (code == HM_ECORRUPT || code == HM_ENOTFOUND)
        atomic_fetch_add(&restore->failed_corrupt, 1);
    packetfs_report_finding(&restore->report, "%s%s%s: %s", folder != NULL ? folder->path : "",
                            folder != NULL && folder->path[0] != '\0' ? "/" : "", name,
                            error->text);
}

/* --- folders ---------------------------------------------------------------------------------------------------------------- */
void packetfs_restore_folder_hold(struct packetfs_restore_folder *folder)
{
    atomic_fetch_add_explicit(&folder->refs, 1, memory_order_relaxed);
}

static void folder_finish(struct packetfs_restore_folder *folder)
{
    struct packetfs_restore *restore = folder->restore;
    struct hm_error error;

    if (folder->described && !atomic_load(&restore->stop)) {
        int result = packetfs_meta_apply_fd(folder->fd, &folder->entry, &restore->rules, &error);
        if (result != 0)
            packetfs_restore_failed(restore, folder, ".", result, &error);
    } else if (folder->was_opened) { /* as it was found */
        (void)fchmod(folder->fd, folder->mode_before);
    }
}

void packetfs_restore_folder_drop(struct packetfs_restore_folder *folder)
{
    if (folder == NULL || atomic_fetch_sub_explicit(&folder->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (folder->fd >= 0) {
        folder_finish(folder);
        (void)close(folder->fd);
        atomic_fetch_sub(&folder->restore->folders_open, 1);
    }
    hm_buf_release(&folder->keep);
    hm_free(folder->path);
    hm_free(folder);
}

int packetfs_restore_folder_new(struct packetfs_restore *restore, int fd, const char *path,
                                const struct packetfs_entry *entry,
                                struct packetfs_restore_folder **out, struct hm_error *error)
{
    struct packetfs_restore_folder *folder = hm_calloc(1, sizeof(*folder));
    struct stat st;
    int result = 0;

    if (folder != NULL)
        folder->path = hm_strdup(path);
    if (folder == NULL || folder->path == NULL)
        result = hm_fail(error, HM_ENOMEM, "no memory for folder %s", path);
    else if (fstat(fd, &st) != 0)
        result = hm_fail_errno(error, HM_EIO, "cannot look at folder %s", path);
    else if (entry != NULL && packetfs_entry_copy(entry, &folder->entry, &folder->keep) != 0)
        result = hm_fail(error, HM_ENOMEM, "no memory for folder %s", path);
    if (result != 0) {
        if (folder != NULL)
            hm_free(folder->path);
        hm_free(folder);
        (void)close(fd);
        return result;
    }
    folder->restore = restore;
    folder->fd = fd;
    folder->device = st.st_dev;
    folder->inode = st.st_ino;
    folder->described = entry != NULL;
    atomic_init(&folder->refs, 1);
    atomic_fetch_add(&restore->folders_open, 1);
    *out = folder;
    return 0;
}

/* --- names ------------------------------------------------------------------------------------------------------------------ */
/* Always the same for one name, so that a second run takes the place of what a first left behind; under the volume's key, so
 * that nobody can name a file of his after it. */
void packetfs_restore_temporary(const struct packetfs_restore *restore, const char *name,
                                char out[PACKETFS_TEMPORARY_BYTES])
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    char hex[25];

    crypto_hash_keyed(restore->keys->path, name, strlen(name), hash);
    hm_hex_encode(hash, 12, hex);
    (void)snprintf(out, PACKETFS_TEMPORARY_BYTES, ".packetfs-%s.part", hex);
}

int packetfs_restore_rename(const struct packetfs_restore *restore, int folder, const char *from,
                            const char *to, struct hm_error *error)
{
    struct stat st;

    if (restore->overwrite) {
        if (renameat(folder, from, folder, to) == 0)
            return 0;
        return errno == EISDIR || errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR
                   ? hm_fail(error, HM_EEXIST, "a folder is in its place; remove it first")
                   : hm_fail_errno(error, HM_EIO, "cannot give it its name");
    }
    if (renameat2(folder, from, folder, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == EINVAL || errno == ENOSYS) { /* a file system without it */
        if (fstatat(folder, to, &st, AT_SYMLINK_NOFOLLOW) != 0 &&
            renameat(folder, from, folder, to) == 0)
            return 0;
        errno = EEXIST;
    }
    return errno == EEXIST ? hm_fail(error, HM_EEXIST,
                                     "is there and differs; overwrite, or choose another "
                                     "target")
                           : hm_fail_errno(error, HM_EIO, "cannot give it its name");
}

/* What is there is what would be set. */
static bool xattrs_same(int folder, const char *name, const struct packetfs_entry *entry,
                        const struct packetfs_meta_rules *rules)
{
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    struct packetfs_xattr *list = NULL;
    size_t count = 0, there = 0, wanted = 0;

    if (packetfs_xattrs_read_at(folder, name, &packed, NULL) != 0 ||
        packetfs_xattrs_unpack(hm_buf_slice(&packed), &list, &count, NULL) != 0)
        return false;
    bool same = true;
    while (same) {
        while (there < count && !packetfs_meta_takes(list[there].name, rules))
            there++;
        while (wanted < entry->xattr_count &&
               !packetfs_meta_takes(entry->xattrs[wanted].name, rules))
            wanted++;
        if (there == count || wanted == entry->xattr_count)
            break;
        same = hm_slice_equal(list[there].name, entry->xattrs[wanted].name) &&
               hm_slice_equal(list[there++].value, entry->xattrs[wanted++].value);
    }
    same = same && there == count && wanted == entry->xattr_count;
    hm_free(list);
    return same;
}

bool packetfs_restore_attributes_same(int folder, const char *name,
                                      const struct packetfs_entry *entry,
                                      const struct packetfs_meta_rules *rules)
{
    bool owners = (rules->root || rules->owners) && !rules->strange;
    struct stat st;

    return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           packetfs_meta_type(st.st_mode) == entry->type &&
           (entry->type == PACKETFS_SYMLINK ||
            (st.st_mode & 07777) ==
                packetfs_meta_mode(entry, rules,
                                   st.st_uid == entry->uid && st.st_gid == entry->gid)) &&
           (!owners || (st.st_uid == entry->uid && st.st_gid == entry->gid)) &&
           st.st_mtim.tv_sec == entry->mtime_s && st.st_mtim.tv_nsec == (long)entry->mtime_ns &&
           xattrs_same(folder, name, entry, rules);
}
