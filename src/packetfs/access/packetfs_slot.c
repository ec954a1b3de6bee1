/* Slots: the volume key sealed with a key that a user has. */
#include "access/packetfs_slot.h"

#include "crypto.h"

#include "access/packetfs_key_file.h"
#include "access/packetfs_slot_identity.h"

#define SLOT_HEAD_BYTES   PACKETFS_SLOT_HEAD_BYTES
#define SLOT_SEALED_BYTES (PACKETFS_KEY_BYTES + CRYPTO_SEAL_OVERHEAD_BYTES)

bool packetfs_slot_name_fits(const char *name, size_t len)
{
    if (len == 0 || len > PACKETFS_SLOT_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((name[i] < 'a' || name[i] > 'z') && (name[i] < '0' || name[i] > '9') && name[i] != '-')
            return false;
    return true;
}

void packetfs_slot_head(enum packetfs_slot_kind kind,
                        const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                        uint8_t out[PACKETFS_SLOT_HEAD_BYTES])
{
    memcpy(out, PACKETFS_SLOT_MAGIC, PACKETFS_SLOT_MAGIC_BYTES);
    out[PACKETFS_SLOT_MAGIC_BYTES] = (uint8_t)kind;
    memcpy(out + PACKETFS_SLOT_MAGIC_BYTES + 1, volume_id, PACKETFS_VOLUME_ID_BYTES);
}

int packetfs_slot_parse(struct hm_slice file, struct packetfs_slot *out, struct hm_error *error)
{
    struct packetfs_slot slot = {0};
    size_t salt;

    if (file.len < SLOT_HEAD_BYTES ||
        memcmp(file.data, PACKETFS_SLOT_MAGIC, PACKETFS_SLOT_MAGIC_BYTES - 1) != 0)
        return hm_fail(error, HM_EPARSE, "this is no key slot of a packetfs volume");
    if (memcmp(file.data, PACKETFS_SLOT_MAGIC, PACKETFS_SLOT_MAGIC_BYTES) != 0)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "the key slot has a format that this version does not know");
    slot.kind = (enum packetfs_slot_kind)file.data[PACKETFS_SLOT_MAGIC_BYTES];
    memcpy(slot.volume_id, file.data + PACKETFS_SLOT_MAGIC_BYTES + 1, PACKETFS_VOLUME_ID_BYTES);
    if (slot.kind == PACKETFS_SLOT_IDENTITY)
        return packetfs_slot_parse_identity(file, &slot, out, error);
    if (slot.kind != PACKETFS_SLOT_PASSPHRASE && slot.kind != PACKETFS_SLOT_FILE)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "the key slot is of kind %d, which this version does not know",
                       (int)slot.kind);
    salt = slot.kind == PACKETFS_SLOT_PASSPHRASE ? PACKETFS_SLOT_SALT_BYTES : 0;
    if (file.len != SLOT_HEAD_BYTES + salt + SLOT_SEALED_BYTES)
        return hm_fail(error, HM_EPARSE, "the key slot has %zu bytes, it should have %zu", file.len,
                       SLOT_HEAD_BYTES + salt + SLOT_SEALED_BYTES);
    slot.bound = hm_slice_of(file.data, SLOT_HEAD_BYTES + salt);
    slot.salt = hm_slice_of(file.data + SLOT_HEAD_BYTES, salt);
    slot.sealed = hm_slice_of(file.data + slot.bound.len, SLOT_SEALED_BYTES);
    *out = slot;
    return 0;
}

/* --- sealing -------------------------------------------------------------------------------------------------------- */

static void slot_key_of_file(const uint8_t file_key[PACKETFS_KEY_BYTES],
                             const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                             uint8_t key[PACKETFS_KEY_BYTES])
{
    crypto_derive("hypermesh packetfs 1 slot file", file_key,
                  hm_slice_of(volume_id, PACKETFS_VOLUME_ID_BYTES), key);
}

/* Appends head, salt and the sealed key; key is the wrapping one. */
static int slot_seal(enum packetfs_slot_kind kind, const uint8_t *volume_key,
                     const uint8_t *volume_id, struct hm_slice salt, const uint8_t *key,
                     const struct hm_random *random, struct hm_buf *out, struct hm_error *error)
{
    uint8_t bound[SLOT_HEAD_BYTES + PACKETFS_SLOT_SALT_BYTES];
    size_t before = out->len;
    int rc;

    packetfs_slot_head(kind, volume_id, bound);
    if (salt.len > 0)
        memcpy(bound + SLOT_HEAD_BYTES, salt.data, salt.len);
    if (hm_buf_append(out, bound, SLOT_HEAD_BYTES + salt.len) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a key slot");
    rc = crypto_seal(key, hm_slice_of(bound, SLOT_HEAD_BYTES + salt.len),
                     hm_slice_of(volume_key, PACKETFS_KEY_BYTES), random, out, error);
    if (rc != 0)
        out->len = before;
    return rc;
}

int packetfs_slot_seal_passphrase(const uint8_t volume_key[PACKETFS_KEY_BYTES],
                                  const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                                  const char *passphrase, const struct hm_random *random,
                                  struct hm_buf *out, struct hm_error *error)
{
    uint8_t salt[PACKETFS_SLOT_SALT_BYTES];
    uint8_t key[PACKETFS_KEY_BYTES];
    int rc;

    if (passphrase[0] == '\0')
        return hm_fail(error, HM_EINVAL, "an empty passphrase protects nothing: give another");
    if (random->fill(random->ctx, salt, sizeof(salt)) != 0)
        return hm_fail(error, HM_EIO, "the source of random bytes failed; no key slot was made");
    rc = crypto_passphrase_key(passphrase, salt, key, error);
    if (rc == 0)
        rc = slot_seal(PACKETFS_SLOT_PASSPHRASE, volume_key, volume_id,
                       hm_slice_of(salt, sizeof(salt)), key, random, out, error);
    hm_wipe(key, sizeof(key));
    return rc;
}

int packetfs_slot_seal_file(const uint8_t volume_key[PACKETFS_KEY_BYTES],
                            const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                            const uint8_t file_key[PACKETFS_KEY_BYTES],
                            const struct hm_random *random, struct hm_buf *out,
                            struct hm_error *error)
{
    uint8_t key[PACKETFS_KEY_BYTES];
    int rc;

    slot_key_of_file(file_key, volume_id, key);
    rc = slot_seal(PACKETFS_SLOT_FILE, volume_key, volume_id, (struct hm_slice){0}, key, random,
                   out, error);
    hm_wipe(key, sizeof(key));
    return rc;
}

/* --- opening -------------------------------------------------------------------------------------------------------- */

static int slot_unseal(const struct packetfs_slot *slot, const uint8_t *key,
                       uint8_t volume_key[PACKETFS_KEY_BYTES], struct hm_error *error)
{
    struct hm_buf plain = {0};
    int rc = crypto_open(key, slot->bound, slot->sealed, &plain, error);

    if (rc == 0)
        memcpy(volume_key, plain.data, PACKETFS_KEY_BYTES);
    if (plain.data != NULL)
        hm_wipe(plain.data, plain.cap);
    hm_buf_release(&plain);
    if (rc == HM_EAUTH)
        return hm_fail(error, HM_EAUTH, "%s",
                       slot->kind == PACKETFS_SLOT_PASSPHRASE
                           ? "the passphrase does not open this volume"
                           : "the key file does not open this volume");
    return rc;
}

int packetfs_slot_parse_of(struct hm_slice file, const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                           struct packetfs_slot *out, struct hm_error *error)
{
    struct packetfs_slot slot;
    int rc = packetfs_slot_parse(file, &slot, error);

    if (rc != 0)
        return rc;
    if (memcmp(slot.volume_id, volume_id, PACKETFS_VOLUME_ID_BYTES) != 0)
        return hm_fail(error, HM_EAUTH, "the key slot belongs to another volume");
    *out = slot;
    return 0;
}

int packetfs_slot_open_key(struct hm_slice file, const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                           const uint8_t file_key[PACKETFS_KEY_BYTES],
                           uint8_t volume_key[PACKETFS_KEY_BYTES], struct hm_error *error)
{
    uint8_t key[PACKETFS_KEY_BYTES];
    struct packetfs_slot slot;
    int rc = packetfs_slot_parse_of(file, volume_id, &slot, error);

    if (rc != 0)
        return rc;
    if (slot.kind != PACKETFS_SLOT_FILE)
        return hm_fail(error, HM_EAUTH, "%s opens this key slot, not a key file",
                       slot.kind == PACKETFS_SLOT_IDENTITY ? "an identity" : "a passphrase");
    slot_key_of_file(file_key, volume_id, key);
    rc = slot_unseal(&slot, key, volume_key, error);
    hm_wipe(key, sizeof(key));
    return rc;
}

static int slot_open_passphrase(const struct packetfs_slot *slot, const char *passphrase,
                                uint8_t *volume_key, struct hm_error *error)
{
    uint8_t key[PACKETFS_KEY_BYTES];
    int rc;

    if (passphrase == NULL)
        return hm_fail(error, HM_EAUTH, "a passphrase opens this volume: give it");
    rc = crypto_passphrase_key(passphrase, slot->salt.data, key, error);
    if (rc == 0)
        rc = slot_unseal(slot, key, volume_key, error);
    hm_wipe(key, sizeof(key));
    return rc;
}

int packetfs_slot_open(struct hm_slice file, const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                       const struct packetfs_unlock *unlock, uint8_t volume_key[PACKETFS_KEY_BYTES],
                       struct hm_error *error)
{
    static const struct packetfs_unlock nothing;
    uint8_t key[PACKETFS_KEY_BYTES];
    struct packetfs_slot slot;
    int rc = packetfs_slot_parse_of(file, volume_id, &slot, error);

    if (rc != 0)
        return rc;
    if (unlock == NULL)
        unlock = &nothing;
    if (slot.kind == PACKETFS_SLOT_PASSPHRASE)
        return slot_open_passphrase(&slot, unlock->passphrase, volume_key, error);
    if (slot.kind == PACKETFS_SLOT_IDENTITY)
        return hm_fail(error, HM_EAUTH, "an identity opens this key slot");
    if (unlock->passphrase != NULL)
        return hm_fail(error, HM_EAUTH, "a key file opens this key slot, not a passphrase");
    if (unlock->key_file == NULL)
        return packetfs_key_dir_try(unlock->key_dir, file, volume_id, volume_key, error);
    rc = packetfs_key_file_read(unlock->key_file, key, error);
    if (rc == 0)
        rc = packetfs_slot_open_key(file, volume_id, key, volume_key, error);
    hm_wipe(key, sizeof(key));
    return rc;
}
