/* A key slot's bytes, from a folder that others may write. Corpus: a slot of each kind; that of an identity opens. */
#include "access/packetfs_slot_identity.h"

static struct packetfs_identity *owner;

static void identity_once(void)
{
    static const uint8_t secret[CRYPTO_KEY_BYTES] = {5};

    if (owner == NULL && packetfs_identity_make(secret, "Fuzz", &owner, NULL) != 0)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES] = {1, 2, 3};
    static const uint8_t file_key[PACKETFS_KEY_BYTES] = {5};
    uint8_t volume_key[PACKETFS_KEY_BYTES] = {0};
    struct packetfs_slot_label label;
    struct packetfs_slot slot;
    struct hm_error error;
    struct hm_slice file = hm_slice_of(data, size);
    int rc = packetfs_slot_parse(file, &slot, &error);

    identity_once();
    if (rc == 0 && (slot.bound.len + slot.label.len + slot.sealed.len != size ||
                    slot.salt.len > slot.bound.len))
        __builtin_trap();
    if (packetfs_slot_open_key(file, volume_id, file_key, volume_key, &error) == 0 && rc != 0)
        __builtin_trap();
    if (packetfs_slot_open_identity(file, volume_id, "first", owner, volume_key, NULL, &error) ==
            0 &&
        (rc != 0 || slot.kind != PACKETFS_SLOT_IDENTITY))
        __builtin_trap();
    /* With the key of the seed, or zeros. */
    if (rc == 0 && slot.kind == PACKETFS_SLOT_IDENTITY)
        (void)packetfs_slot_label_open(&slot, slot.name, volume_key, &label, &error);
    return 0;
}
