/* Keys of a volume: everything is derived from one volume key of 32 random bytes, with BLAKE3 in its derive-key mode
 * and a context a purpose, so that no two purposes share a key. */
#ifndef HM_PACKETFS_KEYS_H
#define HM_PACKETFS_KEYS_H

#include "packetfs_object.h"

#define PACKETFS_KEY_BYTES       32
#define PACKETFS_VOLUME_ID_BYTES 16

struct packetfs_keys {
    uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES]; /* public, random */
    uint8_t id[PACKETFS_STORE_KINDS][PACKETFS_KEY_BYTES]; /* ids of objects */
    uint8_t seal[PACKETFS_STORE_KINDS]
                [PACKETFS_KEY_BYTES]; /* packs: a key a pack is derived from this and its salt */
    uint8_t snapshot[PACKETFS_KEY_BYTES]; /* seals snapshot files */
    uint8_t volume[PACKETFS_KEY_BYTES]; /* seals the volume's parameters */
    uint8_t chunk[PACKETFS_KEY_BYTES]; /* where data is cut */
    uint8_t node[PACKETFS_KEY_BYTES]; /* where trees are cut */
    uint8_t path[PACKETFS_KEY_BYTES]; /* names of paths in the local cache of files */
    uint8_t link
        [PACKETFS_KINDS]
        [PACKETFS_KEY_BYTES]; /* seeds of the Ed25519 keys that both ends of a connection show */
};

void packetfs_keys_derive(const uint8_t volume_key[PACKETFS_KEY_BYTES],
                          const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                          struct packetfs_keys *out);
void packetfs_keys_release(struct packetfs_keys *keys); /* wipes */
void packetfs_keys_object_id(const struct packetfs_keys *keys, enum packetfs_kind kind,
                             struct hm_slice bytes, struct packetfs_id *out);

#endif
