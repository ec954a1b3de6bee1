/* A key slot's bytes, from a folder that others may write. */
#include "packetfs_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES] = {1, 2, 3};
    static const uint8_t file_key[PACKETFS_KEY_BYTES] = {5};
    uint8_t volume_key[PACKETFS_KEY_BYTES] = {0};
    struct packetfs_slot slot;
    struct hm_error error;
    int rc = packetfs_slot_parse(hm_slice_of(data, size), &slot, &error);

    if (rc == 0 && (slot.bound.len + slot.sealed.len != size || slot.salt.len > slot.bound.len))
        __builtin_trap();
    if (packetfs_slot_open_key(hm_slice_of(data, size), volume_id, file_key, volume_key, &error) ==
            0 &&
        rc != 0)
        __builtin_trap();
    return 0;
}
