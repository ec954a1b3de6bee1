/* Snapshot files: SNAPSHOT-ID (32 hex digits) in snapshots/, each one sealed part under the volume's key for them.
 *
 *     8    "HMPFSNAP"
 *     2    format (1)
 *     1    suite
 *     5    zeros
 *     16   volume id
 *     32   salt: the file's key is derived from the volume's key for snapshots and this
 *     n    sealed: the fields, filled with zeros to a multiple of 256 bytes; nonce zeros; bound: the 64 bytes above
 *
 * Its id is the first half of the keyed hash of the whole file, so that nobody can give one snapshot another's name. */
#ifndef HM_PACKETFS_SNAPSHOT_H
#define HM_PACKETFS_SNAPSHOT_H

#include "packetfs_keys.h"
#include "store/packetfs_store.h"

#define PACKETFS_SNAPSHOT_FORMAT         1
#define PACKETFS_SNAPSHOT_FILE_MAX_BYTES 4096

/* Appends a snapshot file. HM_EINVAL: a text without its end. */
int packetfs_snapshot_seal(const struct packetfs_keys *keys, enum packetfs_suite suite,
                           const struct hm_random *random, const struct packetfs_snapshot *snapshot,
                           struct hm_buf *out, struct hm_error *error);
/* The id of a file by its bytes. */
void packetfs_snapshot_id(const struct packetfs_keys *keys, struct hm_slice sealed,
                          uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES]);

#endif
