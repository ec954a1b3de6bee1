#include "packetfs_keys.h"

#include "crypto.h"

_Static_assert(PACKETFS_KEY_BYTES == CRYPTO_KEY_BYTES && PACKETFS_ID_BYTES == CRYPTO_HASH_BYTES,
               "one size of keys and ids");

void packetfs_keys_derive(const uint8_t volume_key[PACKETFS_KEY_BYTES],
                          const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                          struct packetfs_keys *out)
{
    const struct {
        const char *purpose;
        uint8_t *key;
    } purposes[] = {
        {"hypermesh packetfs 1 id pattern", out->id[PACKETFS_PATTERN]},
        {"hypermesh packetfs 1 id reference", out->id[PACKETFS_REFERENCE]},
        {"hypermesh packetfs 1 id dictionary", out->id[PACKETFS_DICTIONARY]},
        {"hypermesh packetfs 1 seal pattern", out->seal[PACKETFS_PATTERN]},
        {"hypermesh packetfs 1 seal reference", out->seal[PACKETFS_REFERENCE]},
        {"hypermesh packetfs 1 seal dictionary", out->seal[PACKETFS_DICTIONARY]},
        {"hypermesh packetfs 1 link pattern", out->link[PACKETFS_PATTERN]},
        {"hypermesh packetfs 1 link reference", out->link[PACKETFS_REFERENCE]},
        {"hypermesh packetfs 1 snapshot", out->snapshot},
        {"hypermesh packetfs 1 volume", out->volume},
        {"hypermesh packetfs 1 chunk", out->chunk},
        {"hypermesh packetfs 1 node", out->node},
        {"hypermesh packetfs 1 path", out->path},
    };

    memcpy(out->volume_id, volume_id, PACKETFS_VOLUME_ID_BYTES);
    for (size_t i = 0; i < HM_COUNT_OF(purposes); i++)
        crypto_derive(purposes[i].purpose, volume_key,
                      hm_slice_of(volume_id, PACKETFS_VOLUME_ID_BYTES), purposes[i].key);
}

void packetfs_keys_release(struct packetfs_keys *keys)
{
    if (keys != NULL)
        hm_wipe(keys, sizeof(*keys));
}

void packetfs_keys_object_id(const struct packetfs_keys *keys, enum packetfs_kind kind,
                             struct hm_slice bytes, struct packetfs_id *out)
{
    crypto_hash_keyed(keys->id[kind], bytes.data, bytes.len, out->bytes);
}
