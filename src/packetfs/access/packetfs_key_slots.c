/* A volume's slots one by one: who may open it, one more, one less. */
#include <unistd.h>

#include "access/packetfs_key_volume.h"
#include "access/packetfs_slot_folder.h"
#include "access/packetfs_slot_identity.h"
#include "access/packetfs_volume_key.h"
#include "packetfs_error.h"

/* A volume's key and its slots, held. */
struct held {
    struct packetfs_key_volume volume;
    struct packetfs_slot_folder folder;
};

static int held_open(const char *dir, const struct packetfs_unlock *unlock, bool lock,
                     struct held *out, struct hm_error *error)
{
    struct held held = {.folder = {.fd = -1}};
    int rc = packetfs_key_volume_open(dir, unlock, &held.volume, error);

    if (rc != 0)
        return rc;
    rc = packetfs_key_volume_prove(&held.volume, error);
    if (rc == 0)
        rc = packetfs_slot_folder_open(dir, lock, &held.folder, error);
    if (rc != 0)
        packetfs_key_volume_release(&held.volume);
    else
        *out = held;
    hm_wipe(&held, sizeof(held));
    return rc;
}

static void held_release(struct held *held)
{
    packetfs_key_volume_release(&held->volume);
    packetfs_slot_folder_close(&held->folder);
}

/* Kind 0 with what does not open anything: damaged, of another volume or of a later version. */
static int slot_look(const struct held *held, const struct packetfs_slot_file *file,
                     struct packetfs_slot_info *out)
{
    struct packetfs_slot_info info = {.kind = 0};
    struct packetfs_slot_label label;
    struct packetfs_slot slot;
    int rc;

    memcpy(info.name, file->name, sizeof(info.name));
    *out = info;
    rc = packetfs_slot_parse_of(hm_buf_slice(&file->bytes), held->volume.id, &slot, NULL);
    if (rc == 0 && slot.kind == PACKETFS_SLOT_IDENTITY) {
        rc = packetfs_slot_label_open(&slot, file->name, held->volume.key, &label, NULL);
        if (rc == 0)
            rc = packetfs_contact_id_text(label.id, info.id);
        if (rc == 0)
            rc = packetfs_contact_id_text(label.by, info.by_id);
        if (rc == 0) {
            memcpy(info.who, label.who, sizeof(info.who));
            info.time_ns = label.time_ns;
        }
    }
    if (rc != 0)
        return rc == HM_ENOMEM ? rc : 0;
    info.kind = (int)slot.kind;
    *out = info;
    return 0;
}

int packetfs_key_list(const char *dir, const struct packetfs_unlock *unlock,
                      int (*show)(void *ctx, const struct packetfs_slot_info *slot), void *ctx,
                      struct packetfs_error *error)
{
    struct hm_error *own = packetfs_error_own(error);
    struct packetfs_slot_info info;
    struct held held;
    int rc = held_open(dir, unlock, false, &held, own);

    if (rc != 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < held.folder.count; i++) {
        rc = slot_look(&held, &held.folder.slots[i], &info);
        rc = rc != 0 ? hm_fail(own, rc, "no memory to list the slots") : show(ctx, &info);
    }
    held_release(&held);
    return rc;
}

/* --- one more --- */

int packetfs_key_add(const char *dir, const struct packetfs_unlock *unlock,
                     const struct packetfs_unlock *fresh, struct packetfs_error *error)
{
    struct hm_error *own = packetfs_error_own(error);
    struct packetfs_key_volume volume;
    bool named = fresh != NULL && (fresh->passphrase != NULL || fresh->key_file != NULL ||
                                   fresh->identity_file != NULL);
    int rc = packetfs_unlock_check(fresh, own);

    if (rc == 0)
        rc = packetfs_key_volume_open(dir, unlock, &volume, own);
    if (rc != 0)
        return rc;
    rc = packetfs_key_volume_prove(&volume, own);
    if (rc == 0 && named)
        rc = packetfs_key_volume_is_new(dir, &volume, fresh, own);
    if (rc == 0)
        rc = packetfs_key_volume_wrap(dir, &volume, fresh, false, own);
    packetfs_key_volume_release(&volume);
    return rc;
}

static int admit_check(const struct held *held, const struct packetfs_contact *to,
                       struct hm_error *error)
{
    struct packetfs_slot_info info;

    for (size_t i = 0; i < held->folder.count; i++) {
        int rc = slot_look(held, &held->folder.slots[i], &info);
        if (rc != 0)
            return hm_fail(error, rc, "no memory to look at the slots");
        if (strcmp(info.id, to->id_text) == 0)
            return hm_fail(error, HM_EEXIST, "%s has a slot already: %s", to->id_text, info.name);
    }
    return packetfs_slot_folder_has_room(&held->folder, error);
}

int packetfs_key_admit(const char *dir, const struct packetfs_unlock *unlock,
                       const struct packetfs_identity *by, const struct packetfs_contact *to,
                       struct packetfs_error *error)
{
    struct hm_error *own = packetfs_error_own(error);
    HM_CLEANUP(hm_buf) struct hm_buf slot = {0};
    char name[PACKETFS_SLOT_NAME_MAX + 1];
    struct held held;
    int rc = held_open(dir, unlock, true, &held, own);

    if (rc != 0)
        return rc;
    rc = admit_check(&held, to, own);
    if (rc == 0)
        rc = packetfs_slot_folder_draw(&held.folder, hm_random_system(), name, own);
    if (rc == 0)
        rc = packetfs_slot_seal_identity(held.volume.key, held.volume.id, name, by, to,
                                         hm_wall_ms(hm_clock_system()) * 1000000u,
                                         hm_random_system(), &slot, own);
    if (rc == 0)
        rc = packetfs_slot_folder_write(&held.folder, name, hm_buf_slice(&slot), own);
    held_release(&held);
    return rc;
}

/* --- one less --- */

/* The name of the slot that is meant, and whether another one opens the volume. */
static int removal_check(const struct held *held, const char *meant,
                         char name[PACKETFS_SLOT_NAME_MAX + 1], struct hm_error *error)
{
    struct packetfs_slot_info info;
    bool found = false, other = false;

    for (size_t i = 0; i < held->folder.count; i++) {
        int rc = slot_look(held, &held->folder.slots[i], &info);
        if (rc != 0)
            return hm_fail(error, rc, "no memory to look at the slots");
        if (!found && (strcmp(info.name, meant) == 0 || strcmp(info.id, meant) == 0)) {
            memcpy(name, info.name, sizeof(info.name));
            found = true;
        } else {
            other |= info.kind != 0;
        }
    }
    if (!found || meant[0] == '\0')
        return hm_fail(error, HM_ENOTFOUND, "the volume has no slot %.80s", meant);
    if (!other)
        return hm_fail(error, HM_ECONFLICT,
                       "%s is the last slot: without it nothing would open the volume", name);
    return 0;
}

int packetfs_key_remove(const char *dir, const struct packetfs_unlock *unlock, const char *slot,
                        struct packetfs_error *error)
{
    struct hm_error *own = packetfs_error_own(error);
    char name[PACKETFS_SLOT_NAME_MAX + 1];
    struct held held;
    int rc = held_open(dir, unlock, true, &held, own);

    if (rc != 0)
        return rc;
    rc = removal_check(&held, slot, name, own);
    if (rc == 0)
        rc = packetfs_slot_folder_remove(&held.folder, name, own);
    held_release(&held);
    return rc;
}
