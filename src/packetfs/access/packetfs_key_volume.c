#include "access/packetfs_key_volume.h"

#include <stdio.h>
#include <unistd.h>

#include "access/packetfs_key_file.h"
#include "access/packetfs_slot_folder.h"
#include "access/packetfs_volume_file.h"
#include "access/packetfs_volume_key.h"
#include "packetfs_error.h"

#define KEY_VOLUME_FILE_MAX_BYTES 4096

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
    if (rc == 0) {
        *out = volume;
        hm_wipe(&volume, sizeof(volume)); /* its file is *out's now */
    } else {
        packetfs_key_volume_release(&volume);
    }
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

int packetfs_key_volume_wrap(const char *dir, const struct packetfs_key_volume *volume,
                             const struct packetfs_unlock *fresh, bool alone,
                             struct hm_error *error)
{
    struct packetfs_slot_folder folder = {.fd = -1};
    HM_CLEANUP(hm_buf) struct hm_buf slot = {0};
    char name[PACKETFS_SLOT_NAME_MAX + 1];
    HM_AUTOFREE char *made = NULL;
    int rc = packetfs_slot_folder_open(dir, true, &folder, error);

    if (rc == 0 && !alone)
        rc = packetfs_slot_folder_has_room(&folder, error);
    if (rc == 0)
        rc = packetfs_slot_folder_draw(&folder, hm_random_system(), name, error);
    if (rc == 0)
        rc = packetfs_volume_key_wrap(volume->key, volume->id, name, fresh, hm_random_system(),
                                      &slot, &made, error);
    if (rc == 0) {
        rc = packetfs_slot_folder_write(&folder, name, hm_buf_slice(&slot), error);
        if (rc != 0 && made != NULL)
            (void)unlink(made);
    }
    for (size_t i = 0; rc == 0 && alone && i < folder.count; i++)
        rc = packetfs_slot_folder_remove(&folder, folder.slots[i].name, error);
    packetfs_slot_folder_close(&folder);
    return rc;
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

int packetfs_key_volume_is_new(const char *dir, const struct packetfs_key_volume *volume,
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
        return hm_fail(error, HM_EEXIST, "the %s opens the volume already",
                       fresh->key_file != NULL     ? "key file"
                       : fresh->passphrase != NULL ? "passphrase"
                                                   : "identity");
    return rc == HM_EAUTH ? 0 : rc;
}

/* A new key that opens what is there already would shut nobody out. An identity is nobody's but its owner's. */
static int shuts_out(const char *dir, const struct packetfs_key_volume *volume,
                     const struct packetfs_unlock *fresh, struct hm_error *error)
{
    int rc = packetfs_unlock_check(fresh, error);

    if (rc != 0 || fresh->identity_file != NULL)
        return rc;
    rc = packetfs_key_volume_is_new(dir, volume, fresh, error);
    return rc == HM_EEXIST
               ? hm_fail(error, HM_EINVAL,
                         "the new %s opens the volume already: the key would be the same",
                         fresh->key_file != NULL ? "key file" : "passphrase")
               : rc;
}

int packetfs_key_rotate(const char *dir, const struct packetfs_unlock *unlock,
                        const struct packetfs_unlock *fresh, struct packetfs_error *error)
{
    struct hm_error *own = packetfs_error_own(error);
    HM_CLEANUP(hm_buf) struct hm_buf now = {0};
    HM_CLEANUP(hm_buf) struct hm_buf next = {0};
    struct packetfs_unlock use = {.passphrase = NULL};
    struct packetfs_key_volume volume;
    bool own_file = fresh == NULL || (fresh->passphrase == NULL && fresh->key_file == NULL &&
                                      fresh->identity_file == NULL);
    int rc = packetfs_key_volume_open(dir, unlock, &volume, own);

    if (rc != 0)
        return rc;
    if (fresh != NULL)
        use = *fresh;
    if (own_file) {
        rc = next_file(fresh, &volume, &now, &next, own);
        use.key_file = rc == 0 ? hm_buf_cstr(&next) : NULL; /* one that is there was interrupted */
    } else {
        rc = shuts_out(dir, &volume, &use, own);
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
