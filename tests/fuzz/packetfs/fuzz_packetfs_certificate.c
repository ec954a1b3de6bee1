/* What a peer shows in its handshake, and the little file in which a sink remembers a peer. */
#include <stdlib.h>

#include "sync/packetfs_peer.h"
#include "sync/packetfs_sync_volume.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t zeros[32];
    static struct packetfs_keys keys;
    uint64_t sequence = 0;

    (void)packetfs_peer_is_ours(hm_slice_of(data, size), zeros);
    if (packetfs_seen_open(&keys, zeros, hm_slice_of(data, size), &sequence, NULL) == 0 &&
        size != PACKETFS_SEEN_BYTES)
        abort();
    return 0;
}
