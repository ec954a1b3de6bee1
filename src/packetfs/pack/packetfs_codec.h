/* Frames: an object's bytes as they are sealed, compressed or not.
 *
 *     4        codec (4 bits), fill (4 bits), length of the plain bytes (24 bits), big-endian
 *     n        plain bytes (codec 0), or one zstd frame (codec 1), or 8 bytes that name a dictionary and one zstd frame made with it (codec 2)
 *     fill     zeros, to a whole number of units (16 bytes)
 *
 * The reader is pure: bytes from outside, fuzzed; it never makes more than the length says, and that is at most
 * PACKETFS_OBJECT_MAX_BYTES. */
#ifndef HM_PACKETFS_CODEC_H
#define HM_PACKETFS_CODEC_H

#include "packetfs_object.h"

#define PACKETFS_FRAME_HEAD_BYTES 4
#define PACKETFS_FRAME_REF_BYTES  8
enum packetfs_codec_kind {
    PACKETFS_CODEC_PLAIN = 0,
    PACKETFS_CODEC_ZSTD = 1,
    PACKETFS_CODEC_DICTIONARY = 2
};

/* A frame in its parts; the payload is borrowed. */
struct packetfs_frame {
    uint8_t head[PACKETFS_FRAME_HEAD_BYTES];
    struct hm_slice payload;
    uint8_t fill; /* zeros behind it */
};
static inline size_t packetfs_frame_len(const struct packetfs_frame *frame)
{
    return PACKETFS_FRAME_HEAD_BYTES + frame->payload.len + frame->fill;
}

/* Working memory of one thread. */
struct packetfs_codec;
int packetfs_codec_new(struct packetfs_codec **out); /* HM_ENOMEM */
void packetfs_codec_free(struct packetfs_codec *codec);

struct packetfs_dict;
/* level as in struct packetfs_store_options; dict (made to pack, with that level), or NULL. out->payload is bytes themselves where compression gains less than a 32nd part, else the
 * codec's memory, valid until its next call. HM_ENOMEM, HM_EINVAL: no bytes, or too many. */
int packetfs_codec_pack(struct packetfs_codec *codec, int level, const struct packetfs_dict *dict,
                        struct hm_slice bytes, struct packetfs_frame *out, struct hm_error *error);
/* Which dictionary a frame names (packetfs_dict.h); false: none. head has 4 bytes, payload what follows. */
bool packetfs_frame_dictionary(const uint8_t head[PACKETFS_FRAME_HEAD_BYTES],
                               struct hm_slice payload, uint64_t *ref);
/* Appends the plain bytes. dict: made to unpack, the one that the frame names; NULL where it names none. HM_ECORRUPT; HM_EUNSUPPORTED: a
 * later codec; HM_ENOMEM. */
int packetfs_codec_unpack(struct packetfs_codec *codec, const struct packetfs_dict *dict,
                          struct hm_slice frame, struct hm_buf *out, struct hm_error *error);
/* Whether bytes look as if nothing could compress them: the collisions among a sample of them are those of random bytes. */
bool packetfs_codec_dense(struct hm_slice bytes);

#endif
