/* Any bytes as a dictionary's object, and a frame that was never made with it. The first two bytes say where one ends. */
#include <stdlib.h>

#include "pack/packetfs_dict.h"

#define FRAME_BYTES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_with(const struct packetfs_dict *dict, struct hm_slice bytes)
{
    struct packetfs_codec *codec = NULL;
    struct hm_buf out = {0};
    uint8_t frame[FRAME_BYTES] = {0};
    size_t len = bytes.len < FRAME_BYTES - 12 ? bytes.len : FRAME_BYTES - 12;

    if (packetfs_codec_new(&codec) != 0)
        return;
    hm_put_be32(frame, (uint32_t)PACKETFS_CODEC_DICTIONARY << 28 | 4000u);
    hm_put_be64(frame + 4, dict->ref);
    memcpy(frame + 12, bytes.data, len);
    if (packetfs_codec_unpack(codec, dict, hm_slice_of(frame, sizeof(frame)), &out, NULL) == 0 &&
        out.len != 4000)
        abort();
    hm_buf_release(&out);
    packetfs_codec_free(codec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct packetfs_id id;
    struct packetfs_dict_head head;
    struct packetfs_dict *dict = NULL;
    struct hm_buf again = {0};
    struct hm_slice object;
    size_t len;

    if (size < 2)
        return 0;
    len = (size_t)data[0] << 8 | data[1];
    len = len < size - 2 ? len : size - 2;
    object = hm_slice_of(data + 2, len);
    if (packetfs_dict_parse(object, &head, NULL) == 0) {
        if (packetfs_dict_write(&head, &again) != 0 ||
            !hm_slice_equal(hm_buf_slice(&again), object))
            abort();
        hm_buf_release(&again);
        if (packetfs_dict_new(&id, object, 0, &dict, NULL) == 0)
            read_with(dict, hm_slice_of(data + 2 + len, size - 2 - len));
        packetfs_dict_free(dict);
    }
    (void)packetfs_dict_class(object);
    return 0;
}
