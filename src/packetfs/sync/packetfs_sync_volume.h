/* A volume on disk as sync sees it, and what its folder state/ remembers of peers:
 *   state/replica     16 random bytes in hex: which of the volume's folders this is
 *   state/seen-HEX    the highest sequence that the replica HEX has shown, sealed */
#ifndef HM_PACKETFS_SYNC_VOLUME_H
#define HM_PACKETFS_SYNC_VOLUME_H

#include "store/packetfs_volume.h"
#include "sync/packetfs_sync.h"

#define PACKETFS_SEEN_BYTES (8 + 40) /* a sequence, sealed */

struct packetfs_sync_volume {
    struct packetfs_volume *volume;
    struct packetfs_writer *writer; /* of a sink */
    struct packetfs_side side;
    uint64_t sequence; /* highest of its snapshots */
};
/* sink: opens a writer. HM_EPERM: the volume was opened to be read. */
int packetfs_sync_volume_open(struct packetfs_sync_volume *out, struct packetfs_volume *volume,
                              bool sink, struct hm_error *error);
void packetfs_sync_volume_release(struct packetfs_sync_volume *volume);

/* What a seen-HEX file says; bytes from outside, fuzzed. HM_EAUTH: made by nobody who has the key. */
int packetfs_seen_seal(const struct packetfs_keys *keys,
                       const uint8_t replica[PACKETFS_WIRE_REPLICA_BYTES], uint64_t sequence,
                       struct hm_buf *out, struct hm_error *error);
int packetfs_seen_open(const struct packetfs_keys *keys,
                       const uint8_t replica[PACKETFS_WIRE_REPLICA_BYTES], struct hm_slice file,
                       uint64_t *sequence, struct hm_error *error);

#endif
