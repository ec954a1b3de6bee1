#include "pack/packetfs_codec.h"

#include <zstd.h>

#include "pack/packetfs_dict.h"

#define UNIT          16u
#define CODEC_SHIFT   28
#define FILL_SHIFT    24
#define RAW_MASK      0xffffffu
#define GAIN_SHIFT    5 /* what does not shrink by a 32nd stays as it is: reading it back is quicker */
#define SMALL_BYTES   512u /* below, a sample says nothing */
#define SAMPLE_RUNS   16u
#define SAMPLE_RUN    256u
#define LEVEL_NONE    0
#define LEVEL_LOWEST  (-50)
#define LEVEL_HIGHEST 19

_Static_assert(PACKETFS_OBJECT_MAX_BYTES <= RAW_MASK, "an object's length fits");

struct packetfs_codec {
    ZSTD_CCtx *pack;
    ZSTD_DCtx *unpack;
    uint8_t *room;
    size_t room_bytes;
    int level;
};

int packetfs_codec_new(struct packetfs_codec **out)
{
    struct packetfs_codec *codec = hm_calloc(1, sizeof(*codec));

    if (!codec)
        return HM_ENOMEM;
    *out = codec;
    return 0;
}

void packetfs_codec_free(struct packetfs_codec *codec)
{
    if (!codec)
        return;
    (void)ZSTD_freeCCtx(codec->pack);
    (void)ZSTD_freeDCtx(codec->unpack);
    hm_free(codec->room);
    hm_free(codec);
}

/* --- is it worth it? --- */

/* Equal pairs among n bytes drawn from all 256 evenly: n(n-1)/2/256. Twelve in a hundred more is six standard deviations for the
 * shortest sample that is 4096 bytes, and less than any text, code or table of numbers has. */
bool packetfs_codec_dense(struct hm_slice bytes)
{
    uint16_t counts[4][256] = {0};
    size_t runs = bytes.len >= SAMPLE_RUNS * SAMPLE_RUN ? SAMPLE_RUNS : bytes.len / SAMPLE_RUN;
    uint64_t squares = 0;
    uint64_t n = (uint64_t)runs * SAMPLE_RUN;
    uint64_t slack;

    if (bytes.len < SMALL_BYTES)
        return false;
    for (size_t run = 0; run < runs; run++) {
        const uint8_t *at = bytes.data +
                            (runs > 1 ? run * (bytes.len - SAMPLE_RUN) / (runs - 1) : 0);

        for (size_t i = 0; i < SAMPLE_RUN; i += 4) {
            counts[0][at[i]]++;
            counts[1][at[i + 1]]++;
            counts[2][at[i + 2]]++;
            counts[3][at[i + 3]]++;
        }
    }
    for (size_t i = 0; i < 256; i++) {
        uint64_t c = (uint64_t)counts[0][i] + counts[1][i] + counts[2][i] + counts[3][i];

        squares += c * c;
    }
    slack = n * n / 256 / 8; /* 12.5 % */
    return squares <= n + n * n / 256 + slack;
}

/* --- packing --- */

static void frame_make(struct packetfs_frame *out, enum packetfs_codec_kind kind, size_t raw,
                       const uint8_t *payload, size_t len)
{
    uint32_t fill = (uint32_t)((UNIT - (PACKETFS_FRAME_HEAD_BYTES + len) % UNIT) % UNIT);

    out->payload = hm_slice_of(payload, len);
    out->fill = (uint8_t)fill;
    hm_put_be32(out->head, (uint32_t)kind << CODEC_SHIFT | fill << FILL_SHIFT | (uint32_t)raw);
}

static int pack_ready(struct packetfs_codec *codec, int level, size_t len)
{
    size_t need = PACKETFS_FRAME_REF_BYTES + ZSTD_compressBound(len);

    if (!codec->pack) {
        codec->pack = ZSTD_createCCtx();
        if (!codec->pack)
            return HM_ENOMEM;
        codec->level = LEVEL_NONE;
    }
    if (codec->level != level) {
        if (ZSTD_isError(ZSTD_CCtx_setParameter(codec->pack, ZSTD_c_compressionLevel, level)) ||
            ZSTD_isError(ZSTD_CCtx_setParameter(codec->pack, ZSTD_c_contentSizeFlag, 0)) ||
            ZSTD_isError(ZSTD_CCtx_setParameter(codec->pack, ZSTD_c_checksumFlag, 0)) ||
            ZSTD_isError(ZSTD_CCtx_setParameter(codec->pack, ZSTD_c_dictIDFlag, 0)))
            return HM_EINVAL;
        codec->level = level;
    }
    if (codec->room_bytes < need) {
        uint8_t *room = hm_realloc(codec->room, need);

        if (!room)
            return HM_ENOMEM;
        codec->room = room;
        codec->room_bytes = need;
    }
    return 0;
}

/* The payload, in the codec's room. *len: its length, with the name of the dictionary. */
static int pack_payload(struct packetfs_codec *codec, const struct packetfs_dict *dict,
                        struct hm_slice bytes, size_t *len, struct hm_error *error)
{
    size_t name = dict ? PACKETFS_FRAME_REF_BYTES : 0;
    size_t made;

    /* Every time: the one before may be gone. */
    made = ZSTD_CCtx_refCDict(codec->pack, dict ? dict->pack : NULL);
    if (dict)
        hm_put_be64(codec->room, dict->ref);
    if (!ZSTD_isError(made))
        made = ZSTD_compress2(codec->pack, codec->room + name, codec->room_bytes - name, bytes.data,
                              bytes.len);
    if (ZSTD_isError(made))
        return hm_fail(error, HM_ENOMEM, "compressing %zu bytes: %s", bytes.len,
                       ZSTD_getErrorName(made));
    *len = name + made;
    return 0;
}

int packetfs_codec_pack(struct packetfs_codec *codec, int level, const struct packetfs_dict *dict,
                        struct hm_slice bytes, struct packetfs_frame *out, struct hm_error *error)
{
    size_t len = 0;
    int rc;

    if (bytes.len == 0 || bytes.len > PACKETFS_OBJECT_MAX_BYTES)
        return hm_fail(error, HM_EINVAL, "an object has 1 to %zu bytes, not %zu",
                       PACKETFS_OBJECT_MAX_BYTES, bytes.len);
    if (level < LEVEL_LOWEST || level > LEVEL_HIGHEST)
        return hm_fail(error, HM_EINVAL, "the level of zstd is %d to %d, not %d", LEVEL_LOWEST,
                       LEVEL_HIGHEST, level);
    if (level == LEVEL_NONE || packetfs_codec_dense(bytes)) {
        frame_make(out, PACKETFS_CODEC_PLAIN, bytes.len, bytes.data, bytes.len);
        return 0;
    }
    rc = pack_ready(codec, level, bytes.len);
    if (rc)
        return hm_fail(error, rc, "no memory to compress %zu bytes", bytes.len);
    rc = pack_payload(codec, dict, bytes, &len, error);
    if (rc)
        return rc;
    if (len + (bytes.len >> GAIN_SHIFT) >= bytes.len)
        frame_make(out, PACKETFS_CODEC_PLAIN, bytes.len, bytes.data, bytes.len);
    else
        frame_make(out, dict ? PACKETFS_CODEC_DICTIONARY : PACKETFS_CODEC_ZSTD, bytes.len,
                   codec->room, len);
    return 0;
}

/* --- unpacking --- */

bool packetfs_frame_dictionary(const uint8_t head[PACKETFS_FRAME_HEAD_BYTES],
                               struct hm_slice payload, uint64_t *ref)
{
    if (hm_get_be32(head) >> CODEC_SHIFT != PACKETFS_CODEC_DICTIONARY ||
        payload.len < PACKETFS_FRAME_REF_BYTES)
        return false;
    *ref = hm_get_be64(payload.data);
    return true;
}

static int unpack_zstd(struct packetfs_codec *codec, const struct packetfs_dict *dict,
                       struct hm_slice payload, size_t raw, struct hm_buf *out,
                       struct hm_error *error)
{
    size_t len;

    if (!codec->unpack) {
        codec->unpack = ZSTD_createDCtx();
        if (!codec->unpack)
            return hm_fail(error, HM_ENOMEM, "no memory to unpack an object");
    }
    len = ZSTD_decompress_usingDDict(codec->unpack, out->data + out->len, raw, payload.data,
                                     payload.len, dict ? dict->unpack : NULL);
    if (ZSTD_isError(len) || len != raw)
        return hm_fail(error, HM_ECORRUPT, "an object does not unpack: %s",
                       ZSTD_isError(len) ? ZSTD_getErrorName(len) : "it is shorter than said");
    out->len += raw;
    return 0;
}

static int unpack_with(struct packetfs_codec *codec, const struct packetfs_dict *dict,
                       struct hm_slice payload, size_t raw, struct hm_buf *out,
                       struct hm_error *error)
{
    uint64_t ref;

    if (payload.len <= PACKETFS_FRAME_REF_BYTES)
        return hm_fail(error, HM_ECORRUPT, "an object's frame ends in the name of its dictionary");
    ref = hm_get_be64(payload.data);
    if (!dict || dict->ref != ref)
        return hm_fail(error, HM_ECORRUPT, "an object needs the dictionary %016llx and got %s",
                       (unsigned long long)ref, dict ? "another" : "none");
    payload = hm_slice_of(payload.data + PACKETFS_FRAME_REF_BYTES,
                          payload.len - PACKETFS_FRAME_REF_BYTES);
    return unpack_zstd(codec, dict, payload, raw, out, error);
}

int packetfs_codec_unpack(struct packetfs_codec *codec, const struct packetfs_dict *dict,
                          struct hm_slice frame, struct hm_buf *out, struct hm_error *error)
{
    struct hm_slice payload;
    uint32_t head, kind, fill, raw;

    if (frame.len < UNIT || frame.len % UNIT != 0)
        return hm_fail(error, HM_ECORRUPT, "an object's frame has %zu bytes", frame.len);
    head = hm_get_be32(frame.data);
    kind = head >> CODEC_SHIFT;
    fill = head >> FILL_SHIFT & 0xf;
    raw = head & RAW_MASK;
    if (fill > frame.len - PACKETFS_FRAME_HEAD_BYTES - 1 || raw == 0 ||
        raw > PACKETFS_OBJECT_MAX_BYTES)
        return hm_fail(error, HM_ECORRUPT, "an object's frame says %u bytes, %u of them fill", raw,
                       fill);
    payload = hm_slice_of(frame.data + PACKETFS_FRAME_HEAD_BYTES,
                          frame.len - PACKETFS_FRAME_HEAD_BYTES - fill);
    for (uint32_t i = 0; i < fill; i++) {
        if (payload.data[payload.len + i] != 0)
            return hm_fail(error, HM_ECORRUPT, "an object's frame does not end with zeros");
    }
    if (kind > PACKETFS_CODEC_DICTIONARY)
        return hm_fail(error, HM_EUNSUPPORTED, "an object in codec %u: take a later program", kind);
    if (kind == PACKETFS_CODEC_PLAIN && payload.len != raw)
        return hm_fail(error, HM_ECORRUPT, "an object has %zu bytes, its frame says %u",
                       payload.len, raw);
    if (hm_buf_reserve(out, raw))
        return hm_fail(error, HM_ENOMEM, "no memory for an object of %u bytes", raw);
    if (kind == PACKETFS_CODEC_ZSTD)
        return unpack_zstd(codec, NULL, payload, raw, out, error);
    if (kind == PACKETFS_CODEC_DICTIONARY)
        return unpack_with(codec, dict, payload, raw, out, error);
    return hm_buf_append(out, payload.data, payload.len);
}
