#include "access/packetfs_slot_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define SLOT_SUFFIX     ".slot"
#define SLOT_TMP_SUFFIX ".slot.tmp"
#define DRAW_TRIES      64
#define READ_TRIES      16 /* while somebody rotates the key again and again */

/* Length of the slot's name in a file's name; 0: it is no slot. */
static size_t name_of(const char *file, const char *suffix)
{
    size_t len = strlen(file), end = strlen(suffix);

    if (len <= end || strcmp(file + len - end, suffix) != 0)
        return 0;
    return packetfs_slot_name_fits(file, len - end) ? len - end : 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct packetfs_slot_file *)a)->name,
                  ((const struct packetfs_slot_file *)b)->name);
}

static void slots_clear(struct packetfs_slot_folder *folder)
{
    for (size_t i = 0; i < folder->count; i++)
        hm_buf_release(&folder->slots[i].bytes);
    folder->count = 0;
}

static int names_read(struct packetfs_slot_folder *folder, struct hm_error *error)
{
    DIR *list = opendir(folder->path);
    struct dirent *entry;
    int rc = 0;

    if (list == NULL)
        return hm_fail_errno(error, errno == EACCES ? HM_EPERM : HM_EIO, "%s cannot be read",
                             folder->path);
    while (rc == 0 && (entry = readdir(list)) != NULL) {
        size_t len = name_of(entry->d_name, SLOT_SUFFIX);

        if (folder->fd >= 0 && name_of(entry->d_name, SLOT_TMP_SUFFIX) > 0)
            (void)unlinkat(folder->fd, entry->d_name, 0);
        if (len == 0)
            continue;
        if (folder->count == PACKETFS_SLOTS_READ_MAX) {
            rc = hm_fail(error, HM_ELIMIT, "%s has more than %u slots", folder->path,
                         PACKETFS_SLOTS_READ_MAX);
            break;
        }
        struct packetfs_slot_file *slot = &folder->slots[folder->count++];
        *slot = (struct packetfs_slot_file){.name = ""};
        memcpy(slot->name, entry->d_name, len);
    }
    (void)closedir(list);
    return rc;
}

/* *gone: one went between the list and the reading. What is too long to be a slot is kept, empty, as a damaged one. */
static int slots_read(struct packetfs_slot_folder *folder, bool *gone, struct hm_error *error)
{
    int rc = names_read(folder, error);

    *gone = false;
    for (size_t i = 0; rc == 0 && i < folder->count; i++) {
        HM_AUTOFREE char *path = hm_asprintf("%s/%s" SLOT_SUFFIX, folder->path,
                                             folder->slots[i].name);
        if (path == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for the volume's keys");
        rc = hm_file_read(path, PACKETFS_SLOT_FILE_MAX_BYTES, &folder->slots[i].bytes, error);
        *gone |= rc == HM_ENOTFOUND;
        if (rc == HM_ENOTFOUND || rc == HM_ELIMIT)
            rc = 0;
    }
    return rc;
}

static int slots_read_again(struct packetfs_slot_folder *folder, struct hm_error *error)
{
    bool gone = true;
    int rc = 0;

    for (unsigned i = 0; rc == 0 && gone && i < READ_TRIES; i++) {
        slots_clear(folder);
        rc = slots_read(folder, &gone, error);
    }
    qsort(folder->slots, folder->count, sizeof(*folder->slots), by_name);
    return rc;
}

int packetfs_slot_folder_open(const char *dir, bool lock, struct packetfs_slot_folder *out,
                              struct hm_error *error)
{
    struct packetfs_slot_folder folder = {
        .path = hm_asprintf("%s/keys", dir),
        .slots = hm_calloc(PACKETFS_SLOTS_READ_MAX, sizeof(*folder.slots)),
        .fd = -1,
    };
    int rc = 0;

    if (folder.path == NULL || folder.slots == NULL)
        rc = hm_fail(error, HM_ENOMEM, "no memory for the volume's keys");
    if (rc == 0 && lock) {
        folder.fd = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder.fd < 0 || flock(folder.fd, LOCK_EX) != 0)
            rc = hm_fail_errno(error, HM_EIO, "%s cannot be locked", folder.path);
    }
    if (rc == 0)
        rc = slots_read_again(&folder, error);
    if (rc != 0)
        packetfs_slot_folder_close(&folder);
    else
        *out = folder;
    return rc;
}

void packetfs_slot_folder_close(struct packetfs_slot_folder *folder)
{
    slots_clear(folder);
    hm_free(folder->slots);
    if (folder->path != NULL && folder->fd >= 0)
        (void)close(folder->fd);
    hm_free(folder->path);
    *folder = (struct packetfs_slot_folder){.fd = -1};
}

int packetfs_slot_folder_has_room(const struct packetfs_slot_folder *folder, struct hm_error *error)
{
    if (folder->count < PACKETFS_SLOTS_MAX)
        return 0;
    return hm_fail(error, HM_ELIMIT,
                   "%s has %zu slots, and there may be %u: remove one, or rotate the key",
                   folder->path, folder->count, PACKETFS_SLOTS_MAX);
}

static bool has_slot(const struct packetfs_slot_folder *folder, const char *name)
{
    for (size_t i = 0; i < folder->count; i++)
        if (strcmp(folder->slots[i].name, name) == 0)
            return true;
    return false;
}

int packetfs_slot_folder_draw(const struct packetfs_slot_folder *folder,
                              const struct hm_random *random, char name[PACKETFS_SLOT_NAME_MAX + 1],
                              struct hm_error *error)
{
    uint8_t number[4];

    for (unsigned i = 0; i < DRAW_TRIES; i++) {
        if (random->fill(random->ctx, number, sizeof(number)) != 0)
            break;
        hm_hex_encode(number, sizeof(number), name);
        if (!has_slot(folder, name))
            return 0;
    }
    return hm_fail(error, HM_EIO, "the source of random bytes failed");
}

int packetfs_slot_folder_write(const struct packetfs_slot_folder *folder, const char *name,
                               struct hm_slice slot, struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/%s" SLOT_SUFFIX, folder->path, name);

    if (path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a key slot");
    return hm_file_replace(path, slot.data, slot.len, 0600, error);
}

int packetfs_slot_folder_remove(const struct packetfs_slot_folder *folder, const char *name,
                                struct hm_error *error)
{
    HM_AUTOFREE char *file = hm_asprintf("%s" SLOT_SUFFIX, name);

    if (file == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a key slot");
    if (unlinkat(folder->fd, file, 0) != 0 && errno != ENOENT)
        return hm_fail_errno(error, HM_EIO, "the slot %s/%s cannot be removed", folder->path, file);
    if (fsync(folder->fd) != 0)
        return hm_fail_errno(error, HM_EIO, "%s cannot be made durable", folder->path);
    return 0;
}
