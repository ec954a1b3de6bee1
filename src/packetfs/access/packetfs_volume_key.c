#include "access/packetfs_volume_key.h"

#include <errno.h>

#include "access/packetfs_key_file.h"
#include "access/packetfs_key_volume.h"
#include "access/packetfs_slot_folder.h"
#include "access/packetfs_slot_identity.h"

int packetfs_unlock_check(const struct packetfs_unlock *unlock, struct hm_error *error)
{
    if (unlock != NULL && (unlock->passphrase != NULL) + (unlock->key_file != NULL) +
                                  (unlock->identity_file != NULL) >
                              1)
        return hm_fail(error, HM_EINVAL,
                       "a volume is opened by passphrase, key file or identity: name one of them");
    return 0;
}

/* --- what a volume's key was --------------------------------------------------------------------------------------
 * Anybody can seal something to an identity: who can write to the volume's folder could put a volume of his own in its place, of the same id, with a slot for us,
 * and read what we put into it. So the key folder notes the key of the first time, and that first time is either through a slot that we signed
 * ourselves or when the identity is named outright. */

static int pin_path(const struct packetfs_unlock *unlock, const uint8_t *volume_id,
                    struct hm_buf *out, struct hm_error *error)
{
    char hex[2 * PACKETFS_VOLUME_ID_BYTES + 1];
    int rc = packetfs_key_dir_path(unlock->key_dir, out, error);

    if (rc == 0)
        rc = hm_mkdir_all(hm_buf_cstr(out), 0700, error);
    hm_hex_encode(volume_id, PACKETFS_VOLUME_ID_BYTES, hex);
    if (rc == 0 && hm_buf_printf(out, "/%s.pin", hex) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a path");
    return rc;
}

/* It is the volume's key indeed: its own file opens with it. */
static int prove(const char *dir, const uint8_t *volume_key, struct hm_error *error)
{
    struct packetfs_key_volume volume;
    int rc = packetfs_key_volume_look(dir, &volume, error);

    if (rc != 0)
        return rc;
    memcpy(volume.key, volume_key, sizeof(volume.key));
    rc = packetfs_key_volume_prove(&volume, error);
    packetfs_key_volume_release(&volume);
    return rc == HM_ECORRUPT || rc == HM_EAUTH
               ? hm_fail(error, HM_ECORRUPT, "a key slot holds another key than the volume's own")
               : rc;
}

/* dir: NULL where the key is one of our own making. signed_by: NULL where we signed the slot. */
static int pin_check(const char *dir, const struct packetfs_unlock *unlock,
                     const uint8_t *volume_id, const uint8_t *volume_key, const char *signed_by,
                     struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf path = {0};
    HM_CLEANUP(hm_buf) struct hm_buf was = {0};
    uint8_t pin[PACKETFS_KEY_BYTES];
    char text[2 * PACKETFS_KEY_BYTES + 2];
    int rc = pin_path(unlock, volume_id, &path, error);

    if (rc != 0)
        return hm_error_prefix(error, rc, "the volume's key cannot be noted");
    crypto_derive("hypermesh packetfs 1 pin", volume_key,
                  hm_slice_of(volume_id, PACKETFS_VOLUME_ID_BYTES), pin);
    hm_hex_encode(pin, sizeof(pin), text);
    text[sizeof(text) - 2] = '\n';
    rc = hm_file_read(hm_buf_cstr(&path), sizeof(text), &was, error);
    if (rc == HM_ENOTFOUND && signed_by != NULL && unlock->identity_file == NULL)
        return hm_fail(error, HM_EAUTH,
                       "%s let you into this volume: the first time, name your identity yourself, "
                       "if that is as it should be",
                       signed_by);
    if (rc == HM_ENOTFOUND) {
        rc = dir != NULL ? prove(dir, volume_key, error) : 0;
        return rc != 0 ? rc
                       : hm_file_replace(hm_buf_cstr(&path), text, sizeof(text) - 1, 0600, error);
    }
    if (rc == HM_ELIMIT ||
        (rc == 0 && (was.len != sizeof(text) - 1 || memcmp(was.data, text, was.len) != 0)))
        rc = hm_fail(error, HM_ECORRUPT,
                     "the volume has another key than when it was first opened here: somebody put "
                     "another in its place. If you know why, remove %s",
                     hm_buf_cstr(&path));
    return rc;
}

/* --- wrapping --------------------------------------------------------------------------------------------------- */

/* For ourselves, signed by ourselves. */
static int wrap_identity(const uint8_t *volume_key, const uint8_t *volume_id, const char *name,
                         const struct packetfs_unlock *unlock, const struct hm_random *random,
                         struct hm_buf *slot, struct hm_error *error)
{
    struct packetfs_identity *own = NULL;
    int rc = packetfs_identity_open_in(unlock->identity_file, unlock->key_dir, &own, error);

    if (rc == 0)
        rc = packetfs_slot_seal_identity(volume_key, volume_id, name, own, &own->contact,
                                         hm_wall_ms(hm_clock_system()) * 1000000u, random, slot,
                                         error);
    packetfs_identity_close(own);
    if (rc == 0)
        rc = pin_check(NULL, unlock, volume_id, volume_key, NULL, error);
    return rc;
}

int packetfs_volume_key_wrap(const uint8_t volume_key[PACKETFS_KEY_BYTES],
                             const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES], const char *name,
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
    if (unlock != NULL && unlock->identity_file != NULL)
        return wrap_identity(volume_key, volume_id, name, unlock, random, slot, error);
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
struct opening {
    const char *dir;
    const struct packetfs_unlock *unlock;
    const uint8_t *volume_id;
    struct packetfs_identity *identity; /* opened when first needed */
    int identity_rc;
    struct hm_error identity_error;
};

static bool is_asked_for(const struct packetfs_unlock *unlock, enum packetfs_slot_kind kind)
{
    if (unlock->passphrase != NULL)
        return kind == PACKETFS_SLOT_PASSPHRASE;
    if (unlock->key_file != NULL)
        return kind == PACKETFS_SLOT_FILE;
    return unlock->identity_file == NULL || kind == PACKETFS_SLOT_IDENTITY;
}

static int own_identity(struct opening *opening, struct hm_error *error)
{
    const struct packetfs_unlock *unlock = opening->unlock;

    if (opening->identity == NULL && opening->identity_rc == 0)
        opening->identity_rc = packetfs_identity_open_in(
            unlock->identity_file, unlock->key_dir, &opening->identity, &opening->identity_error);
    if (opening->identity_rc == 0)
        return 0;
    if (opening->identity_rc == HM_ENOTFOUND && unlock->identity_file == NULL)
        return hm_fail(error, HM_EAUTH, "an identity opens this volume, and there is none here");
    return hm_fail(error, opening->identity_rc, "%s", opening->identity_error.text);
}

static int open_with_identity(struct opening *opening, const struct packetfs_slot_file *slot,
                              uint8_t *volume_key, struct hm_error *error)
{
    uint8_t key[PACKETFS_KEY_BYTES];
    struct packetfs_contact from;
    int rc = own_identity(opening, error);

    if (rc == 0)
        rc = packetfs_slot_open_identity(hm_buf_slice(&slot->bytes), opening->volume_id, slot->name,
                                         opening->identity, key, &from, error);
    if (rc == 0) {
        bool self = memcmp(from.id, opening->identity->contact.id, sizeof(from.id)) == 0;
        rc = pin_check(opening->dir, opening->unlock, opening->volume_id, key,
                       self ? NULL : from.id_text, error);
    }
    if (rc == 0)
        memcpy(volume_key, key, sizeof(key));
    hm_wipe(key, sizeof(key));
    return rc;
}

static int slot_try(struct opening *opening, const struct packetfs_slot_file *slot,
                    uint8_t *volume_key, enum packetfs_slot_kind *kind, struct hm_error *error)
{
    struct hm_slice bytes = hm_buf_slice(&slot->bytes);
    struct packetfs_slot parsed;
    int rc = packetfs_slot_parse(bytes, &parsed, error);

    if (rc != 0)
        return rc;
    *kind = parsed.kind;
    if (!is_asked_for(opening->unlock, parsed.kind))
        return hm_fail(error, HM_EAUTH, "%s opens no slot of this volume",
                       opening->unlock->passphrase != NULL ? "a passphrase"
                       : opening->unlock->key_file != NULL ? "a key file"
                                                           : "an identity");
    if (parsed.kind == PACKETFS_SLOT_IDENTITY)
        return open_with_identity(opening, slot, volume_key, error);
    return packetfs_slot_open(bytes, opening->volume_id, opening->unlock, volume_key, error);
}

/* How much a reason for not opening says: what is wrong with the key that was named, before that a slot needs another key. */
static int weight_of(const struct opening *opening, int rc, enum packetfs_slot_kind kind)
{
    if (rc == HM_EPARSE || rc == HM_EUNSUPPORTED)
        return 1; /* one damaged slot among others */
    if (rc != HM_EAUTH)
        return 4;
    return !is_asked_for(opening->unlock, kind) ? 0 : kind == PACKETFS_SLOT_FILE ? 3 : 2;
}

static int slots_open(const struct packetfs_slot_folder *folder, struct opening *opening,
                      uint8_t *volume_key, enum packetfs_slot_kind *opened, struct hm_error *error)
{
    int result = HM_ECORRUPT, best = -1;

    if (folder->count == 0)
        return hm_fail(error, result, "%s holds no key slot: nothing opens this volume",
                       folder->path);
    for (size_t i = 0; i < folder->count; i++) {
        enum packetfs_slot_kind kind = PACKETFS_SLOT_PASSPHRASE;
        struct hm_error why = {0};
        int rc = slot_try(opening, &folder->slots[i], volume_key, &kind, &why);

        if (rc == 0) {
            *opened = kind;
            return 0;
        }
        if (weight_of(opening, rc, kind) <= best)
            continue;
        best = weight_of(opening, rc, kind);
        result = hm_fail(error, rc, "%s", why.text);
    }
    return result;
}

/* The key file that opened it; "" for anything else. */
static const char *key_file_used(const struct packetfs_unlock *unlock, const uint8_t *volume_id,
                                 struct hm_buf *own)
{
    if (unlock->key_file != NULL)
        return unlock->key_file;
    if (packetfs_key_file_path(unlock->key_dir, volume_id, own, NULL) == 0 &&
        access(hm_buf_cstr(own), R_OK) == 0)
        return hm_buf_cstr(own);
    return "";
}

int packetfs_volume_key_find(const char *dir, const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                             const struct packetfs_unlock *unlock,
                             uint8_t volume_key[PACKETFS_KEY_BYTES], char **key_file,
                             struct hm_error *error)
{
    static const struct packetfs_unlock nothing = {.passphrase = NULL};
    struct opening opening = {
        .dir = dir, .unlock = unlock != NULL ? unlock : &nothing, .volume_id = volume_id};
    struct packetfs_slot_folder folder = {.fd = -1};
    enum packetfs_slot_kind kind = PACKETFS_SLOT_PASSPHRASE;
    HM_CLEANUP(hm_buf) struct hm_buf own = {0};
    int result = packetfs_unlock_check(unlock, error);

    if (result == 0)
        result = packetfs_slot_folder_open(dir, false, &folder, error);
    if (result == 0)
        result = slots_open(&folder, &opening, volume_key, &kind, error);
    packetfs_slot_folder_close(&folder);
    packetfs_identity_close(opening.identity);
    if (result != 0)
        return result;
    char *copy = hm_strdup(
        kind == PACKETFS_SLOT_FILE ? key_file_used(opening.unlock, volume_id, &own) : "");
    if (copy == NULL) {
        hm_wipe(volume_key, PACKETFS_KEY_BYTES);
        return hm_fail(error, HM_ENOMEM, "no memory for the name of the key file");
    }
    *key_file = copy;
    return 0;
}
