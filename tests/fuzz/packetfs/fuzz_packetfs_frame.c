/* Frames of objects: any bytes as a frame, and any bytes into a frame and back; with a dictionary and without. */
#include <stdlib.h>

#include "pack/packetfs_dict.h"

#define LEVELS_LOWEST (-50)
#define LEVELS        70
#define SAMPLES       200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The dictionary 4444444444444444, to pack and to unpack. */
static struct packetfs_dict *pack_dict, *unpack_dict;

static void dictionary_make(void)
{
    struct packetfs_dict_samples samples = {0};
    struct packetfs_id id;
    struct hm_buf object = {0};
    struct hm_buf line = {0};

    memset(id.bytes, 'D', sizeof(id.bytes));
    for (unsigned i = 0; i < SAMPLES; i++) {
        hm_buf_clear(&line);
        if (hm_buf_printf(
                &line,
                "{\"time\": %u, \"level\": \"info\", \"message\": \"request %u was served "
                "by the worker %u\", \"status\": 200}\n",
                1700000000 + i * 37, i * i, i % 7) != 0 ||
            packetfs_dict_sample(&samples, hm_buf_slice(&line)) != 0)
            abort();
    }
    if (packetfs_dict_train(&samples, PACKETFS_DICT_JSON, 1, 3, NULL, &object, NULL) != 0 ||
        object.len == 0 ||
        packetfs_dict_new(&id, hm_buf_slice(&object), 3, &pack_dict, NULL) != 0 ||
        packetfs_dict_new(&id, hm_buf_slice(&object), 0, &unpack_dict, NULL) != 0)
        abort();
    packetfs_dict_samples_release(&samples);
    hm_buf_release(&object);
    hm_buf_release(&line);
}

static void there_and_back(struct packetfs_codec *codec, int level,
                           const struct packetfs_dict *dict, struct hm_slice bytes)
{
    struct packetfs_frame frame;
    struct hm_buf whole = {0};
    struct hm_buf back = {0};
    uint64_t ref;

    if (packetfs_codec_pack(codec, level, dict, bytes, &frame, NULL) != 0)
        return;
    if (hm_buf_append(&whole, frame.head, sizeof(frame.head)) != 0 ||
        hm_buf_append(&whole, frame.payload.data, frame.payload.len) != 0 ||
        hm_buf_append(&whole, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", frame.fill) != 0)
        abort();
    if (whole.len % 16 != 0 || whole.len > bytes.len + 20 ||
        whole.len != packetfs_frame_len(&frame))
        abort();
    if (packetfs_frame_dictionary(frame.head, frame.payload, &ref) && (!dict || ref != dict->ref))
        abort();
    if (packetfs_codec_unpack(codec, dict ? unpack_dict : NULL, hm_buf_slice(&whole), &back,
                              NULL) != 0 ||
        !hm_slice_equal(hm_buf_slice(&back), bytes))
        abort();
    hm_buf_release(&whole);
    hm_buf_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packetfs_codec *codec = NULL;
    struct hm_buf out = {0};

    if (!pack_dict)
        dictionary_make();
    if (size == 0 || packetfs_codec_new(&codec) != 0)
        return 0;
    for (int with = 0; with <= 1; with++) {
        hm_buf_clear(&out);
        if (packetfs_codec_unpack(codec, with ? unpack_dict : NULL, hm_slice_of(data, size), &out,
                                  NULL) == 0 &&
            (out.len == 0 || out.len > PACKETFS_OBJECT_MAX_BYTES))
            abort();
    }
    there_and_back(codec, LEVELS_LOWEST + data[0] % LEVELS, NULL, hm_slice_of(data, size));
    there_and_back(codec, 3, pack_dict, hm_slice_of(data, size));
    hm_buf_release(&out);
    packetfs_codec_free(codec);
    return 0;
}
