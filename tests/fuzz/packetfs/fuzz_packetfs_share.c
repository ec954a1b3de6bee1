/* A share of a key. What is taken, written again, is the same bytes. */
#include <stdlib.h>

#include "access/packetfs_share.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packetfs_share share;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    struct hm_error error;

    if (packetfs_share_decode(hm_slice_of(data, size), &share, &error) != 0)
        return 0;
    if (share.k < 1 || share.k > share.n || share.index < 1 || share.index > share.n)
        abort();
    if (packetfs_share_encode(&share, &bytes) != 0 ||
        !hm_slice_equal(hm_buf_slice(&bytes), hm_slice_of(data, size)))
        abort();
    return 0;
}
