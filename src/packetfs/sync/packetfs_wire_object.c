/* An object on its way: as it is, compressed, or as what changed since another that the sink has. */
#include <zstd.h>

#include "packetfs_varint.h"
#include "sync/packetfs_wire.h"

/* Base and object both within reach of a match. */
#define WINDOW_LOG 21
_Static_assert(((size_t)1 << WINDOW_LOG) >= 2 * PACKETFS_OBJECT_MAX_BYTES, "a window of both");

struct packetfs_wire_packer {
    ZSTD_CCtx *deflate;
    ZSTD_DCtx *inflate;
    struct hm_buf packed;
};

int packetfs_wire_object_read(struct hm_slice body, struct packetfs_wire_object *out,
                              struct hm_error *error)
{
    struct packetfs_wire_object object;
    uint64_t len;

    if (body.len == 0 || body.data[0] > PACKETFS_WIRE_DELTA)
        return hm_fail(error, HM_EPARSE, "the peer's object follows no format");
    object.form = (enum packetfs_wire_object_form)body.data[0];
    object.bytes = hm_slice_of(body.data + 1, body.len - 1);
    if (!packetfs_varint_take(&object.bytes, &len) || len > PACKETFS_OBJECT_MAX_BYTES ||
        (len == 0) != (object.form == PACKETFS_WIRE_MISSING) ||
        (object.form == PACKETFS_WIRE_MISSING && object.bytes.len != 0) ||
        (object.form == PACKETFS_WIRE_PLAIN && object.bytes.len != len))
        return hm_fail(error, HM_EPARSE, "the peer's object follows no format");
    object.plain_len = (size_t)len;
    *out = object;
    return 0;
}

/* Frames without what the message says already. */
static bool packer_set_up(struct packetfs_wire_packer *packer, int level)
{
    return !ZSTD_isError(ZSTD_CCtx_setParameter(packer->deflate, ZSTD_c_compressionLevel, level)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(packer->deflate, ZSTD_c_contentSizeFlag, 0)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(packer->deflate, ZSTD_c_checksumFlag, 0)) &&
           !ZSTD_isError(ZSTD_DCtx_setParameter(packer->inflate, ZSTD_d_windowLogMax, WINDOW_LOG));
}

int packetfs_wire_packer_new(int level, struct packetfs_wire_packer **out, struct hm_error *error)
{
    struct packetfs_wire_packer *packer = hm_calloc(1, sizeof(*packer));

    if (packer != NULL) {
        packer->deflate = ZSTD_createCCtx();
        packer->inflate = ZSTD_createDCtx();
        if (packer->deflate != NULL && packer->inflate != NULL && packer_set_up(packer, level)) {
            *out = packer;
            return 0;
        }
    }
    packetfs_wire_packer_free(packer);
    return hm_fail(error, HM_ENOMEM, "no memory to compress what is sent");
}

void packetfs_wire_packer_free(struct packetfs_wire_packer *packer)
{
    if (packer == NULL)
        return;
    (void)ZSTD_freeCCtx(packer->deflate);
    (void)ZSTD_freeDCtx(packer->inflate);
    hm_buf_release(&packer->packed);
    hm_free(packer);
}

/* With the base the window must reach past all of both; without, the level's own is best. */
static bool deflate_begin(struct packetfs_wire_packer *packer, struct hm_slice base)
{
    const int window = base.len > 0 ? WINDOW_LOG : 0;

    (void)ZSTD_CCtx_reset(packer->deflate, ZSTD_reset_session_only);
    return !ZSTD_isError(ZSTD_CCtx_setParameter(packer->deflate, ZSTD_c_windowLog, window)) &&
           !ZSTD_isError(ZSTD_CCtx_refPrefix(packer->deflate, base.data, base.len));
}

static int object_append(enum packetfs_wire_object_form form, size_t plain_len,
                         struct hm_slice bytes, struct hm_buf *out, struct hm_error *error)
{
    const uint8_t head = (uint8_t)form;

    if (hm_buf_append(out, &head, 1) != 0 || packetfs_varint_append(out, plain_len) != 0 ||
        (bytes.len > 0 && hm_buf_append(out, bytes.data, bytes.len) != 0))
        return hm_fail(error, HM_ENOMEM, "no memory to send an object of %zu bytes", plain_len);
    return 0;
}

int packetfs_wire_pack(struct packetfs_wire_packer *packer, struct hm_slice plain,
                       struct hm_slice base, struct hm_buf *out, struct hm_error *error)
{
    enum packetfs_wire_object_form form = base.len > 0 ? PACKETFS_WIRE_DELTA : PACKETFS_WIRE_ZSTD;
    size_t len;

    if (plain.len == 0)
        return object_append(PACKETFS_WIRE_MISSING, 0, plain, out, error);
    hm_buf_clear(&packer->packed);
    /* Room for what is shorter alone: longer is refused early. */
    if (hm_buf_reserve(&packer->packed, plain.len) != 0 || !deflate_begin(packer, base))
        return hm_fail(error, HM_ENOMEM, "no memory to send an object of %zu bytes", plain.len);
    len = ZSTD_compress2(packer->deflate, packer->packed.data, plain.len, plain.data, plain.len);
    if (ZSTD_isError(len) || len >= plain.len)
        return object_append(PACKETFS_WIRE_PLAIN, plain.len, plain, out, error);
    return object_append(form, plain.len, hm_slice_of(packer->packed.data, len), out, error);
}

int packetfs_wire_unpack(struct packetfs_wire_packer *packer,
                         const struct packetfs_wire_object *object, struct hm_slice base,
                         struct hm_buf *out, struct hm_error *error)
{
    size_t len;

    if (object->form == PACKETFS_WIRE_PLAIN)
        return hm_buf_append(out, object->bytes.data, object->bytes.len) == 0
                   ? 0
                   : hm_fail(error, HM_ENOMEM, "no memory for an object");
    if (object->form == PACKETFS_WIRE_MISSING ||
        (object->form == PACKETFS_WIRE_DELTA && base.len == 0))
        return hm_fail(error, HM_EPARSE, "the peer sent a difference to nothing");
    if (hm_buf_reserve(out, object->plain_len) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for an object of %zu bytes", object->plain_len);
    (void)ZSTD_DCtx_reset(packer->inflate, ZSTD_reset_session_only);
    if (object->form != PACKETFS_WIRE_DELTA)
        base = (struct hm_slice){0};
    if (ZSTD_isError(ZSTD_DCtx_refPrefix(packer->inflate, base.data, base.len)))
        return hm_fail(error, HM_ENOMEM, "no memory for an object");
    len = ZSTD_decompressDCtx(packer->inflate, out->data + out->len, object->plain_len,
                              object->bytes.data, object->bytes.len);
    if (ZSTD_isError(len) || len != object->plain_len)
        return hm_fail(error, HM_EPARSE, "the peer's object cannot be unpacked: %s",
                       ZSTD_isError(len) ? ZSTD_getErrorName(len) : "its length is wrong");
    out->len += len;
    return 0;
}
