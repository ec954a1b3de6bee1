#include "packetfs_volume_key.h"

#include <dirent.h>
#include <errno.h>

int packetfs_volume_key_wrap(const uint8_t volume_key[PACKETFS_KEY_BYTES],
                             const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                             const struct packetfs_unlock *unlock, const struct hm_random *random,
                             struct hm_buf *slot, char **made, struct hm_error *error)
{
    uint8_t key[PACKETFS_KEY_BYTES];
    HM_AUTOFREE char *path = NULL;
    bool create = true;
    int result = 0;

    if (unlock != NULL && unlock->passphrase != NULL)
        return packetfs_slot_seal_passphrase(volume_key, volume_id, unlock->passphrase, random,
                                             slot, error);
    if (unlock != NULL && unlock->key_file != NULL) {
        path = hm_strdup(unlock->key_file);
        create = access(unlock->key_file, F_OK) != 0 && errno == ENOENT;
    } else {
        HM_CLEANUP(hm_buf) struct hm_buf folder = {0};
        HM_CLEANUP(hm_buf) struct hm_buf file = {0};
        const char *key_dir = unlock != NULL ? unlock->key_dir : NULL;
        result = packetfs_key_dir_path(key_dir, &folder, error);
        if (result == 0)
            result = hm_mkdir_all(hm_buf_cstr(&folder), 0700, error);
        if (result == 0)
            result = packetfs_key_file_path(key_dir, volume_id, &file, error);
        if (result != 0)
            return result;
        path = hm_strdup(hm_buf_cstr(&file));
    }
    if (path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the name of the key file");
    result = create ? packetfs_key_file_create(path, random, key, error)
                    : packetfs_key_file_read(path, key, error);
    if (result != 0)
        return result;
    result = packetfs_slot_seal_file(volume_key, volume_id, key, random, slot, error);
    hm_wipe(key, sizeof(key));
    if (result == 0 && create)
        *made = HM_TAKE(path);
    else if (create)
        (void)unlink(path);
    return result;
}

/* --- opening ---------------------------------------------------------------------------------------------------- */
struct slots {
    struct hm_buf files[PACKETFS_SLOTS_MAX];
    size_t count;
};

static void slots_release(struct slots *slots)
{
    for (size_t i = 0; i < slots->count; i++)
        hm_buf_release(&slots->files[i]);
    slots->count = 0;
}

static bool ends_with(const char *name, const char *end)
{
    size_t len = strlen(name), end_len = strlen(end);

    return len > end_len && strcmp(name + len - end_len, end) == 0;
}

static int slots_read(const char *dir, struct slots *slots, struct hm_error *error)
{
    HM_AUTOFREE char *folder = hm_asprintf("%s/keys", dir);
    DIR *list = folder != NULL ? opendir(folder) : NULL;
    struct dirent *entry;
    int result = 0;

    if (folder == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the volume's keys");
    if (list == NULL)
        return hm_fail_errno(error, errno == EACCES ? HM_EPERM : HM_EIO, "cannot read %s", folder);
    while (result == 0 && slots->count < PACKETFS_SLOTS_MAX && (entry = readdir(list)) != NULL) {
        if (!ends_with(entry->d_name, ".slot"))
            continue;
        HM_AUTOFREE char *path = hm_asprintf("%s/%s", folder, entry->d_name);
        if (path == NULL) {
            result = hm_fail(error, HM_ENOMEM, "no memory for the volume's keys");
        } else {
            result = hm_file_read(path, PACKETFS_SLOT_FILE_MAX_BYTES, &slots->files[slots->count],
                                  error);
            slots->count++;
            /* A slot that is being taken away by a rotation. */
            if (result == HM_ENOTFOUND) {
                hm_buf_release(&slots->files[--slots->count]);
                result = 0;
            }
        }
    }
    (void)closedir(list);
    if (result == 0 && slots->count == 0)
        return hm_fail(error, HM_ECORRUPT, "%s holds no key slot: nothing opens this volume",
                       folder);
    return result;
}

static int slots_open(const struct slots *slots, const uint8_t *volume_id,
                      const struct packetfs_unlock *unlock, uint8_t *volume_key,
                      struct hm_error *error)
{
    int result = HM_EAUTH;

    for (size_t i = 0; i < slots->count; i++) {
        int one = packetfs_slot_open(hm_buf_slice(&slots->files[i]), volume_id, unlock, volume_key,
                                     error);
        if (one == 0)
            return 0;
        /* What is wrong with the key file itself is said rather than that another slot needs another key. */
        if (result == HM_EAUTH)
            result = one;
    }
    return result;
}

int packetfs_volume_key_find(const char *dir, const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                             const struct packetfs_unlock *unlock,
                             uint8_t volume_key[PACKETFS_KEY_BYTES], char **key_file,
                             struct hm_error *error)
{
    static const struct packetfs_unlock nothing = {.passphrase = NULL};
    struct slots slots = {.count = 0};
    HM_CLEANUP(hm_buf) struct hm_buf own = {0};
    const char *used = "";
    int result = slots_read(dir, &slots, error);

    if (unlock == NULL)
        unlock = &nothing;
    if (result == 0)
        result = slots_open(&slots, volume_id, unlock, volume_key, error);
    slots_release(&slots);
    if (result != 0)
        return result;
    if (unlock->key_file != NULL)
        used = unlock->key_file;
    else if (unlock->passphrase == NULL &&
             packetfs_key_file_path(unlock->key_dir, volume_id, &own, NULL) == 0 &&
             access(hm_buf_cstr(&own), R_OK) == 0)
        used = hm_buf_cstr(&own);
    char *copy = hm_strdup(used);
    if (copy == NULL) {
        hm_wipe(volume_key, PACKETFS_KEY_BYTES);
        return hm_fail(error, HM_ENOMEM, "no memory for the name of the key file");
    }
    *key_file = copy;
    return 0;
}
