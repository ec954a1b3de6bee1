/* What lies in a pack, opened: header, footer and folder. What parses makes the same bytes again. */
#include <stdlib.h>

#include "pack/packetfs_pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void header(struct hm_slice bytes)
{
    struct packetfs_pack_header out;

    if (packetfs_pack_header_parse(bytes, &out, NULL) == 0 &&
        (memcmp(out.bytes, bytes.data, 8) != 0 ||
         memcmp(out.bytes + 10, bytes.data + 10, PACKETFS_PACK_HEADER_BYTES - 10) != 0))
        abort();
}

/* 16 bytes of footer, then the folder. */
static void folder(struct hm_slice bytes)
{
    struct packetfs_pack_footer footer;
    struct packetfs_pack_row *rows = NULL;
    struct packetfs_pack_names names;
    struct hm_buf again = {0};
    uint8_t foot[16];

    if (bytes.len < 24)
        return;
    if (packetfs_pack_footer_parse(bytes.data,
                                   (uint64_t)hm_get_be32(bytes.data + 8) * PACKETFS_UNIT_BYTES,
                                   &footer, NULL) != 0)
        return;
    packetfs_pack_footer_make(&footer, foot);
    if (memcmp(foot, bytes.data, sizeof(foot)) != 0)
        abort();
    bytes = hm_slice_of(bytes.data + 16, bytes.len - 16);
    if (packetfs_pack_folder_parse(bytes, &footer, &rows, &names, NULL) != 0)
        return;
    for (uint32_t i = 0; i < footer.objects; i++) {
        if (rows[i].position < PACKETFS_PACK_HEADER_UNITS || rows[i].length < 2 ||
            rows[i].position + rows[i].length > footer.folder_position)
            abort();
    }
    if (packetfs_pack_folder_make(rows, footer.objects, &names, &again) != 0 ||
        !hm_slice_equal(hm_buf_slice(&again), bytes))
        abort();
    hm_buf_release(&again);
    hm_free(rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] % 2 == 0)
        header(hm_slice_of(data + 1, size - 1));
    else
        folder(hm_slice_of(data + 1, size - 1));
    return 0;
}
