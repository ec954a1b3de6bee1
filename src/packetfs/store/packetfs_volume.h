/* A volume: folder, key, parameters, and the store in it, for the parts that stand on all of them. */
#ifndef HM_PACKETFS_VOLUME_H
#define HM_PACKETFS_VOLUME_H

#include "chunk/packetfs_chunk.h"
#include "packetfs_error.h"
#include "packetfs_keys.h"
#include "store/packetfs_store.h"

struct packetfs_volume {
    char *dir;
    char *key_file; /* "" unless a key file opened it */
    struct packetfs_parameters parameters; /* as the volume's file says, no zeros left */
    struct packetfs_keys keys;
    struct packetfs_cutter *cutter;
    struct packetfs_store *store;
    bool read_only;
};

#endif
