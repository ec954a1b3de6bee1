/* A volume: folder, key, parameters, and the store in it, for the parts that stand on all of them. */
#ifndef HM_PACKETFS_VOLUME_H
#define HM_PACKETFS_VOLUME_H

#include "packetfs_chunk.h"
#include "packetfs_keys.h"
#include "packetfs_store.h"
#include "packetfs_tree.h"

struct packetfs_volume {
    char *dir;
    char *key_file; /* "" unless a key file opened it */
    struct packetfs_parameters parameters; /* as the volume's file says, no zeros left */
    struct packetfs_keys keys;
    struct packetfs_cutter *cutter;
    struct packetfs_store *store;
    bool read_only;
};

/* The public error has the layout of ours. */
_Static_assert(sizeof(struct packetfs_error) == sizeof(struct hm_error) &&
                   offsetof(struct packetfs_error, text) == offsetof(struct hm_error, text) &&
                   sizeof(((struct packetfs_error *)0)->text) == HM_ERROR_TEXT_BYTES,
               "struct packetfs_error is struct hm_error by another name");
static inline struct hm_error *packetfs_error_own(struct packetfs_error *error)
{
    return (struct hm_error *)(void *)error;
}

/* The file DIR/volume: who it is, and the parameters, sealed under keys.volume. Parsed from outside bytes: fuzzed. */
#define PACKETFS_VOLUME_FORMAT 1
int packetfs_volume_file_write(const struct packetfs_keys *keys,
                               const struct packetfs_parameters *parameters,
                               const struct hm_random *random, struct hm_buf *out,
                               struct hm_error *error);
/* The part that needs no key. HM_EPARSE, HM_EUNSUPPORTED: a later format. */
int packetfs_volume_file_id(struct hm_slice file, uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                            struct hm_error *error);
int packetfs_volume_file_read(struct hm_slice file, const struct packetfs_keys *keys,
                              struct packetfs_parameters *out, struct hm_error *error);

#endif
