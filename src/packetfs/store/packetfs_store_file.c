#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "store/packetfs_store_inner.h"

/* All below with store->lock held. */

static void file_unref(struct packetfs_file_slot *file)
{
    if (--file->users > 0)
        return;
    (void)close(file->fd);
    hm_free(file);
}

static struct packetfs_file_slot *file_find(struct packetfs_store *store, const uint8_t *name)
{
    for (size_t i = 0; i < PACKETFS_FILES_OPEN_MAX; i++) {
        struct packetfs_file_slot *file = store->files[i];

        if (file && memcmp(file->name, name, PACKETFS_PACK_NAME_BYTES) == 0) {
            file->users++;
            file->used = ++store->clock;
            return file;
        }
    }
    return NULL;
}

/* Into the table, in the place of the one longest unused. */
static void file_enter(struct packetfs_store *store, struct packetfs_file_slot *file)
{
    size_t at = 0;

    for (size_t i = 0; i < PACKETFS_FILES_OPEN_MAX; i++) {
        if (!store->files[i]) {
            at = i;
            break;
        }
        if (store->files[i]->used < store->files[at]->used)
            at = i;
    }
    if (store->files[at])
        file_unref(store->files[at]);
    store->files[at] = file;
    file->users++;
    file->used = ++store->clock;
}

/* --- without it --- */

static int file_open(const struct packetfs_store *store, const uint8_t *name,
                     struct packetfs_file_slot **out, struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    uint8_t header[PACKETFS_PACK_HEADER_BYTES];
    struct packetfs_file_slot *file;
    HM_AUTOCLOSE int fd = -1;
    int rc = packetfs_store_pack_path(store, name, path, error);

    if (rc)
        return rc;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return packetfs_store_fail(error, "open", path);
    file = hm_calloc(1, sizeof(*file));
    if (!file)
        return hm_fail(error, HM_ENOMEM, "no memory to open %s", path);
    rc = packetfs_pack_pread(fd, header, sizeof(header), 0, error);
    if (!rc)
        rc = packetfs_pack_header_parse(hm_slice_of(header, sizeof(header)), &file->header, error);
    if (rc) {
        hm_free(file);
        (void)hm_error_prefix(error, rc, "%s", path);
        return rc == HM_EPARSE ? HM_ECORRUPT : rc;
    }
    memcpy(file->name, name, sizeof(file->name));
    file->fd = HM_TAKE_FD(fd);
    file->users = 1;
    *out = file;
    return 0;
}

int packetfs_store_file_take(struct packetfs_store *store,
                             const uint8_t name[PACKETFS_PACK_NAME_BYTES],
                             struct packetfs_file_slot **out, struct hm_error *error)
{
    struct packetfs_file_slot *file;
    struct packetfs_file_slot *other;
    int rc;

    (void)pthread_mutex_lock(&store->lock);
    file = file_find(store, name);
    (void)pthread_mutex_unlock(&store->lock);
    if (!file) {
        rc = file_open(store, name, &file, error);
        if (rc)
            return rc;
        (void)pthread_mutex_lock(&store->lock);
        other = file_find(store, name); /* two threads opened it at once */
        if (other) {
            file_unref(file);
            file = other;
        } else {
            file_enter(store, file);
        }
        (void)pthread_mutex_unlock(&store->lock);
    }
    *out = file;
    return 0;
}

void packetfs_store_file_give(struct packetfs_store *store, struct packetfs_file_slot *file)
{
    if (!file)
        return;
    (void)pthread_mutex_lock(&store->lock);
    file_unref(file);
    (void)pthread_mutex_unlock(&store->lock);
}

void packetfs_store_file_drop(struct packetfs_store *store,
                              const uint8_t name[PACKETFS_PACK_NAME_BYTES])
{
    (void)pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < PACKETFS_FILES_OPEN_MAX; i++) {
        struct packetfs_file_slot *file = store->files[i];

        if (file && memcmp(file->name, name, PACKETFS_PACK_NAME_BYTES) == 0) {
            store->files[i] = NULL;
            file_unref(file);
        }
    }
    (void)pthread_mutex_unlock(&store->lock);
}

void packetfs_store_files_close(struct packetfs_store *store)
{
    for (size_t i = 0; i < PACKETFS_FILES_OPEN_MAX; i++) {
        if (store->files[i])
            file_unref(HM_TAKE(store->files[i]));
    }
}
