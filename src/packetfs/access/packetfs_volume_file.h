/* The file DIR/volume: who it is, and the parameters, sealed under keys.volume. Parsed from outside bytes: fuzzed. */
#ifndef HM_PACKETFS_VOLUME_FILE_H
#define HM_PACKETFS_VOLUME_FILE_H

#include "packetfs_keys.h"

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
