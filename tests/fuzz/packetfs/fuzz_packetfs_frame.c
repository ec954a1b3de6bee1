/* Frames of objects: any bytes as a frame, and any bytes into a frame and back. */
#include <stdlib.h>

#include "packetfs_codec.h"

#define LEVELS_LOWEST (-50)
#define LEVELS        70

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void there_and_back(struct packetfs_codec *codec, int level, struct hm_slice bytes)
{
    struct packetfs_frame frame;
    struct hm_buf whole = {0};
    struct hm_buf back = {0};

    if (packetfs_codec_pack(codec, level, bytes, &frame, NULL) != 0)
        return;
    if (hm_buf_append(&whole, frame.head, sizeof(frame.head)) != 0 ||
        hm_buf_append(&whole, frame.payload.data, frame.payload.len) != 0 ||
        hm_buf_append(&whole, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", frame.fill) != 0)
        abort();
    if (whole.len % 16 != 0 || whole.len > bytes.len + 20 ||
        whole.len != packetfs_frame_len(&frame))
        abort();
    if (packetfs_codec_unpack(codec, hm_buf_slice(&whole), &back, NULL) != 0 ||
        !hm_slice_equal(hm_buf_slice(&back), bytes))
        abort();
    hm_buf_release(&whole);
    hm_buf_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packetfs_codec *codec = NULL;
    struct hm_buf out = {0};

    if (size == 0 || packetfs_codec_new(&codec) != 0)
        return 0;
    if (packetfs_codec_unpack(codec, hm_slice_of(data, size), &out, NULL) == 0 &&
        (out.len == 0 || out.len > PACKETFS_OBJECT_MAX_BYTES))
        abort();
    there_and_back(codec, LEVELS_LOWEST + data[0] % LEVELS, hm_slice_of(data, size));
    hm_buf_release(&out);
    packetfs_codec_free(codec);
    return 0;
}
