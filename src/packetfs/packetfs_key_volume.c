#include "packetfs_key_volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "packetfs_volume.h"
#include "packetfs_volume_key.h"

#define KEY_VOLUME_FILE_MAX_BYTES 4096
#define KEY_SLOT_SUFFIX           ".slot"

int packetfs_key_volume_look(const char *dir, struct packetfs_key_volume *out,
                             struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/volume", dir);
    struct packetfs_key_volume volume = {.file = {0}};
    int rc;

    if (path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to open a volume");
    rc = hm_file_read(path, KEY_VOLUME_FILE_MAX_BYTES, &volume.file, error);
    if (rc == HM_ENOTFOUND)
        rc = hm_fail(error, rc, "%s is no PacketFS volume", dir);
    if (rc == 0)
        rc = packetfs_volume_file_id(hm_buf_slice(&volume.file), volume.id, error);
    if (rc != 0)
        hm_buf_release(&volume.file);
    else
        *out = volume;
    return rc;
}

int packetfs_key_volume_open(const char *dir, const struct packetfs_unlock *unlock,
                             struct packetfs_key_volume *out, struct hm_error *error)
{
    HM_AUTOFREE char *used = NULL;
    struct packetfs_key_volume volume;
    int rc = packetfs_key_volume_look(dir, &volume, error);

    if (rc != 0)
        return rc;
    rc = packetfs_volume_key_find(dir, volume.id, unlock, volume.key, &used, error);
    if (rc == 0)
        *out = volume;
    else
        packetfs_key_volume_release(&volume);
    return rc;
}

void packetfs_key_volume_release(struct packetfs_key_volume *volume)
{
    hm_buf_release(&volume->file);
    hm_wipe(volume, sizeof(*volume));
}

int packetfs_key_volume_prove(const struct packetfs_key_volume *volume, struct hm_error *error)
{
    struct packetfs_parameters parameters;
    struct packetfs_keys keys;
    int rc;

    packetfs_keys_derive(volume->key, volume->id, &keys);
    rc = packetfs_volume_file_read(hm_buf_slice(&volume->file), &keys, &parameters, error);
    packetfs_keys_release(&keys);
    return rc;
}

/* --- slots --- */

struct slot_names {
    char names[PACKETFS_SLOTS_MAX][NAME_MAX + 1];
    size_t count;
};

static bool is_slot(const char *name)
{
    size_t len = strlen(name), suffix = strlen(KEY_SLOT_SUFFIX);

    return len > suffix && len <= NAME_MAX && strcmp(name + len - suffix, KEY_SLOT_SUFFIX) == 0;
}

static int slots_list(const char *folder, struct slot_names *out, struct hm_error *error)
{
    DIR *list = opendir(folder);
    struct dirent *entry;
    int rc = 0;

    if (list == NULL)
        return hm_fail_errno(error, HM_EIO, "%s cannot be read", folder);
    out->count = 0;
    while (rc == 0 && (entry = readdir(list)) != NULL) {
        if (!is_slot(entry->d_name))
            continue;
        if (out->count == PACKETFS_SLOTS_MAX)
            rc = hm_fail(error, HM_ELIMIT, "%s has more than %u slots", folder, PACKETFS_SLOTS_MAX);
        else
            (void)snprintf(out->names[out->count++], NAME_MAX + 1, "%s", entry->d_name);
    }
    (void)closedir(list);
    return rc;
}

static int slots_remove(const char *folder, int folder_fd, const struct slot_names *slots,
                        struct hm_error *error)
{
    for (size_t i = 0; i < slots->count; i++)
        if (unlinkat(folder_fd, slots->names[i], 0) != 0 && errno != ENOENT)
            return hm_fail_errno(error, HM_EIO, "the old slot %s/%s cannot be removed", folder,
                                 slots->names[i]);
    if (fsync(folder_fd) != 0)
        return hm_fail_errno(error, HM_EIO, "%s cannot be made durable", folder);
    return 0;
}

/* Who rotates holds the folder, so that two do not take away each other's new slot. */
static int folder_lock(const char *folder, int *out, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || flock(fd, LOCK_EX) != 0)
        return hm_fail_errno(error, HM_EIO, "%s cannot be locked", folder);
    *out = HM_TAKE_FD(fd);
    return 0;
}

static int slot_write(const char *folder, struct hm_slice slot, struct hm_error *error)
{
    uint8_t number[4];
    char hex[sizeof(number) * 2 + 1];

    if (hm_random_system()->fill(hm_random_system()->ctx, number, sizeof(number)) != 0)
        return hm_fail(error, HM_EIO, "the source of random bytes failed");
    hm_hex_encode(number, sizeof(number), hex);
    HM_AUTOFREE char *path = hm_asprintf("%s/%s" KEY_SLOT_SUFFIX, folder, hex);
    if (path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a key slot");
    return hm_file_replace(path, slot.data, slot.len, 0600, error);
}

int packetfs_key_volume_wrap(const char *dir, const struct packetfs_key_volume *volume,
                             const struct packetfs_unlock *fresh, bool alone,
                             struct hm_error *error)
{
    HM_AUTOFREE char *folder = hm_asprintf("%s/keys", dir);
    HM_AUTOFREE struct slot_names *old = hm_calloc(1, sizeof(*old));
    HM_CLEANUP(hm_buf) struct hm_buf slot = {0};
    HM_AUTOFREE char *made = NULL;
    HM_AUTOCLOSE int lock = -1;
    int rc;

    if (folder == NULL || old == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a key slot");
    rc = folder_lock(folder, &lock, error);
    if (rc == 0)
        rc = slots_list(folder, old, error);
    if (rc == 0 && !alone && old->count == PACKETFS_SLOTS_MAX)
        rc = hm_fail(error, HM_ELIMIT, "%s has %u slots already; rotate the key", folder,
                     PACKETFS_SLOTS_MAX);
    if (rc == 0)
        rc = packetfs_volume_key_wrap(volume->key, volume->id, fresh, hm_random_system(), &slot,
                                      &made, error);
    if (rc == 0) {
        rc = slot_write(folder, hm_buf_slice(&slot), error);
        if (rc != 0 && made != NULL)
            (void)unlink(made);
    }
    return rc == 0 && alone ? slots_remove(folder, lock, old, error) : rc;
}

/* --- rotation --- */

/* The key file that a rotation makes beside the volume's, and that takes its name in the end. It opens the volume under either name. */
static int next_file(const struct packetfs_unlock *fresh, const struct packetfs_key_volume *volume,
                     struct hm_buf *now, struct hm_buf *next, struct hm_error *error)
{
    static const char suffix[] = ".key";
    const char *key_dir = fresh != NULL ? fresh->key_dir : NULL;
    int rc = packetfs_key_dir_path(key_dir, now, error);

    if (rc == 0)
        rc = hm_mkdir_all(hm_buf_cstr(now), 0700, error);
    hm_buf_clear(now);
    if (rc == 0)
        rc = packetfs_key_file_path(key_dir, volume->id, now, error);
    if (rc == 0 && (hm_buf_append(next, now->data, now->len - strlen(suffix)) != 0 ||
                    hm_buf_append_str(next, "-next.key") != 0))
        rc = hm_fail(error, HM_ENOMEM, "no memory for a path");
    return rc;
}

/* A new key that opens what is there already would shut nobody out. */
static int is_new(const char *dir, const struct packetfs_key_volume *volume,
                  const struct packetfs_unlock *fresh, struct hm_error *error)
{
    HM_AUTOFREE char *used = NULL;
    uint8_t key[PACKETFS_KEY_BYTES];
    int rc;

    if (fresh->key_file != NULL && access(fresh->key_file, F_OK) != 0)
        return 0; /* it will be made */
    rc = packetfs_volume_key_find(dir, volume->id, fresh, key, &used, error);
    hm_wipe(key, sizeof(key));
    if (rc == 0)
        return hm_fail(error, HM_EINVAL,
                       "the new %s opens the volume already: the key would be the same",
                       fresh->key_file != NULL ? "key file" : "passphrase");
    return rc == HM_EAUTH ? 0 : rc;
}

int packetfs_key_rotate(const char *dir, const struct packetfs_unlock *unlock,
                        const struct packetfs_unlock *fresh, struct packetfs_error *error)
{
    struct hm_error *own = packetfs_error_own(error);
    HM_CLEANUP(hm_buf) struct hm_buf now = {0};
    HM_CLEANUP(hm_buf) struct hm_buf next = {0};
    struct packetfs_unlock use = {.passphrase = NULL};
    struct packetfs_key_volume volume;
    bool own_file = fresh == NULL || (fresh->passphrase == NULL && fresh->key_file == NULL);
    int rc = packetfs_key_volume_open(dir, unlock, &volume, own);

    if (rc != 0)
        return rc;
    if (fresh != NULL)
        use = *fresh;
    if (own_file) {
        rc = next_file(fresh, &volume, &now, &next, own);
        use.key_file = rc == 0 ? hm_buf_cstr(&next) : NULL; /* one that is there was interrupted */
    } else {
        rc = is_new(dir, &volume, &use, own);
    }
    if (rc == 0)
        rc = packetfs_key_volume_wrap(dir, &volume, &use, true, own);
    if (rc == 0 && own_file && rename(hm_buf_cstr(&next), hm_buf_cstr(&now)) != 0)
        rc = hm_fail_errno(own, HM_EIO,
                           "the new key file stays as %s: it cannot take the old one's place",
                           hm_buf_cstr(&next));
    packetfs_key_volume_release(&volume);
    return rc;
}
