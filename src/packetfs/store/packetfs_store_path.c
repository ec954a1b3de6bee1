#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/packetfs_store_inner.h"

#define TMP_TRIES      16
#define TMP_NAME_BYTES 8
#define NAMES_FIRST    1024u
#define NAME_DIGITS    (2 * PACKETFS_PACK_NAME_BYTES)

int packetfs_store_fail(struct hm_error *error, const char *what, const char *path)
{
    switch (errno) {
    case ENOSPC:
    case EDQUOT:
        return hm_fail(error, HM_EIO, "no space left on the disk of %s: free some", path);
    case EFBIG:
        return hm_fail(error, HM_EIO,
                       "cannot %s %s: the limit of a file's size is reached (ulimit -f)", what,
                       path);
    case EACCES:
    case EPERM:
    case EROFS:
        return hm_fail_errno(error, HM_EPERM, "cannot %s %s", what, path);
    case ENOENT:
        return hm_fail_errno(error, HM_ENOTFOUND, "cannot %s %s", what, path);
    default:
        return hm_fail_errno(error, HM_EIO, "cannot %s %s", what, path);
    }
}

int packetfs_store_path(const struct packetfs_store *store, char out[PACKETFS_PATH_BYTES],
                        struct hm_error *error, const char *format, ...)
{
    int head = snprintf(out, PACKETFS_PATH_BYTES, "%s/", store->dir);
    int tail = -1;
    va_list args;

    if (head > 0 && head < PACKETFS_PATH_BYTES) {
        va_start(args, format);
        tail = vsnprintf(out + head, (size_t)(PACKETFS_PATH_BYTES - head), format, args);
        va_end(args);
    }
    if (tail < 0 || head + tail >= PACKETFS_PATH_BYTES)
        return hm_fail(error, HM_ELIMIT, "the path of the volume is longer than %d bytes",
                       PACKETFS_PATH_BYTES);
    return 0;
}

int packetfs_store_pack_path(const struct packetfs_store *store,
                             const uint8_t name[PACKETFS_PACK_NAME_BYTES],
                             char out[PACKETFS_PATH_BYTES], struct hm_error *error)
{
    char hex[NAME_DIGITS + 1];

    hm_hex_encode(name, PACKETFS_PACK_NAME_BYTES, hex);
    return packetfs_store_path(store, out, error, "packs/%.2s/%s", hex, hex);
}

int packetfs_store_name(const struct packetfs_store *store, uint8_t name[PACKETFS_PACK_NAME_BYTES],
                        struct hm_error *error)
{
    if (store->random->fill(store->random->ctx, name, PACKETFS_PACK_NAME_BYTES))
        return hm_fail(error, HM_EIO, "the source of random bytes failed");
    return 0;
}

int packetfs_store_sync_folder(const char *path, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd))
        return packetfs_store_fail(error, "sync the folder", path);
    return 0;
}

/* --- names of packs --- */

struct name_list {
    uint8_t (*names)[PACKETFS_PACK_NAME_BYTES];
    size_t count, room;
};

static int name_add(struct name_list *list, const char *hex, struct hm_error *error)
{
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : NAMES_FIRST;
        void *names = hm_realloc(list->names, room * sizeof(*list->names));

        if (!names)
            return hm_fail(error, HM_ENOMEM, "no memory for the names of packs");
        list->names = names;
        list->room = room;
    }
    /* What is no pack's name is somebody else's file. */
    if (hm_hex_decode(hex, strlen(hex), list->names[list->count], PACKETFS_PACK_NAME_BYTES, NULL) ==
        0)
        list->count++;
    return 0;
}

static int names_of(const char *path, struct name_list *list, struct hm_error *error)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    int rc = 0;

    if (!folder)
        return errno == ENOENT ? 0 : packetfs_store_fail(error, "read the folder", path);
    while (!rc && (errno = 0, entry = readdir(folder)) != NULL)
        rc = name_add(list, entry->d_name, error);
    if (!rc && errno)
        rc = packetfs_store_fail(error, "read the folder", path);
    (void)closedir(folder);
    return rc;
}

static int name_compare(const void *a, const void *b)
{
    return memcmp(a, b, PACKETFS_PACK_NAME_BYTES);
}

int packetfs_store_pack_names(const struct packetfs_store *store,
                              uint8_t (**out)[PACKETFS_PACK_NAME_BYTES], size_t *count,
                              struct hm_error *error)
{
    struct name_list list = {0};
    int rc = 0;

    for (unsigned i = 0; i < 256 && !rc; i++) {
        char path[PACKETFS_PATH_BYTES];

        rc = packetfs_store_path(store, path, error, "packs/%02x", i);
        if (!rc)
            rc = names_of(path, &list, error);
    }
    if (rc) {
        hm_free(list.names);
        return rc;
    }
    if (list.count > 1)
        qsort(list.names, list.count, sizeof(*list.names), name_compare);
    *out = list.names;
    *count = list.count;
    return 0;
}

/* --- tmp --- */

int packetfs_store_tmp_open(const struct packetfs_store *store, char path[PACKETFS_PATH_BYTES],
                            int *fd, struct hm_error *error)
{
    for (int i = 0; i < TMP_TRIES; i++) {
        uint8_t name[TMP_NAME_BYTES];
        char hex[2 * TMP_NAME_BYTES + 1];
        struct stat info;
        int made;
        int rc;

        if (store->random->fill(store->random->ctx, name, sizeof(name)))
            return hm_fail(error, HM_EIO, "the source of random bytes failed");
        hm_hex_encode(name, sizeof(name), hex);
        rc = packetfs_store_path(store, path, error, "tmp/%s", hex);
        if (rc)
            return rc;
        made = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, PACKETFS_FILE_MODE);
        if (made < 0 && errno == EEXIST)
            continue;
        if (made < 0)
            return packetfs_store_fail(error, "make", path);
        /* Before the lock stood, somebody may have taken it for left over. */
        if (flock(made, LOCK_EX | LOCK_NB) == 0 && fstat(made, &info) == 0 && info.st_nlink > 0) {
            *fd = made;
            return 0;
        }
        (void)unlink(path);
        (void)close(made);
    }
    return hm_fail(error, HM_EBUSY, "cannot make a file in %s/tmp", store->dir);
}

/* tmp/index-…: an index being made; who makes it has it locked. */
static bool maker_is_gone(const char *path)
{
    const char *name = strrchr(path, '/') + 1;
    HM_AUTOCLOSE int fd = -1;

    if (strncmp(name, "index-", 6) != 0)
        return false;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) == 0;
}

static void tmp_clean_one(const char *path)
{
    struct stat info;
    HM_AUTOCLOSE int fd = -1;

    if (lstat(path, &info))
        return;
    if (S_ISDIR(info.st_mode)) {
        if (maker_is_gone(path))
            (void)hm_remove_tree(path, NULL);
        return;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) == 0)
        (void)unlink(path);
}

int packetfs_store_tmp_clean(const struct packetfs_store *store, struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    struct dirent *entry;
    DIR *folder;
    int rc = packetfs_store_path(store, path, error, "tmp");

    if (rc)
        return rc;
    folder = opendir(path);
    if (!folder)
        return packetfs_store_fail(error, "read the folder", path);
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.' &&
            packetfs_store_path(store, path, NULL, "tmp/%s", entry->d_name) == 0)
            tmp_clean_one(path);
    }
    (void)closedir(folder);
    return 0;
}
