#include "sync/packetfs_send_wire.h"

#include "packetfs_varint.h"

static int malformed(struct hm_error *error, const char *what)
{
    return hm_fail(error, HM_EPARSE, "the peer's %s follows no format", what);
}

static bool take_bytes(struct hm_slice *in, void *out, size_t len)
{
    if (in->len < len)
        return false;
    memcpy(out, in->data, len);
    *in = hm_slice_of(in->data + len, in->len - len);
    return true;
}

int packetfs_handover_bytes_read(struct hm_slice body, uint8_t *out, size_t len,
                                 struct hm_error *error)
{
    if (body.len != len)
        return malformed(error, "part of the exchange of keys");
    memcpy(out, body.data, len);
    return 0;
}

/* --- KNOCK ------------------------------------------------------------------------------------------------------------ */

int packetfs_knock_write(const struct packetfs_knock *knock, struct hm_buf *out)
{
    const uint8_t head[] = {PACKETFS_HANDOVER_VERSION, (uint8_t)knock->way};
    struct hm_slice rest = knock->way == PACKETFS_BY_CODE
                               ? hm_slice_of(knock->share, sizeof(knock->share))
                               : knock->proof;

    if (hm_buf_append(out, head, sizeof(head)) != 0 || hm_buf_append(out, rest.data, rest.len) != 0)
        return HM_ENOMEM;
    return 0;
}

int packetfs_knock_read(struct hm_slice body, struct packetfs_knock *out, struct hm_error *error)
{
    struct packetfs_knock knock = {0};
    uint8_t head[2];

    if (!take_bytes(&body, head, sizeof(head)))
        return malformed(error, "greeting");
    if (head[0] != PACKETFS_HANDOVER_VERSION)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "the peer speaks version %u of handing over, this is version %d", head[0],
                       PACKETFS_HANDOVER_VERSION);
    if (head[1] != PACKETFS_BY_CODE && head[1] != PACKETFS_BY_IDENTITY)
        return hm_fail(error, HM_EUNSUPPORTED, "the peer shows who he is in an unknown way, %u",
                       head[1]);
    knock.way = (enum packetfs_handover_way)head[1];
    if (knock.way == PACKETFS_BY_CODE) {
        if (!take_bytes(&body, knock.share, sizeof(knock.share)) || body.len > 0)
            return malformed(error, "greeting");
    } else {
        if (body.len == 0 || body.len > PACKETFS_HANDOVER_PROOF_MAX_BYTES)
            return malformed(error, "greeting");
        knock.proof = body;
    }
    *out = knock;
    return 0;
}

/* --- OFFER ------------------------------------------------------------------------------------------------------------ */

int packetfs_offer_write(const struct packetfs_offer *offer, struct hm_buf *out)
{
    const uint8_t port[] = {(uint8_t)(offer->port >> 8), (uint8_t)offer->port};

    if (offer->volume_file.len == 0 ||
        offer->volume_file.len > PACKETFS_HANDOVER_VOLUME_FILE_MAX_BYTES)
        return HM_ELIMIT;
    if (hm_buf_append(out, offer->volume_key, sizeof(offer->volume_key)) != 0 ||
        hm_buf_append(out, offer->snapshot, sizeof(offer->snapshot)) != 0 ||
        hm_buf_append(out, port, sizeof(port)) != 0 ||
        packetfs_varint_append(out, offer->files) != 0 ||
        packetfs_varint_append(out, offer->folders) != 0 ||
        packetfs_varint_append(out, offer->bytes) != 0 ||
        packetfs_varint_append(out, offer->volume_file.len) != 0 ||
        hm_buf_append(out, offer->volume_file.data, offer->volume_file.len) != 0)
        return HM_ENOMEM;
    return 0;
}

int packetfs_offer_read(struct hm_slice bytes, struct packetfs_offer *out, struct hm_error *error)
{
    struct packetfs_offer offer;
    uint8_t port[2];
    uint64_t len;

    if (!take_bytes(&bytes, offer.volume_key, sizeof(offer.volume_key)) ||
        !take_bytes(&bytes, offer.snapshot, sizeof(offer.snapshot)) ||
        !take_bytes(&bytes, port, sizeof(port)) || !packetfs_varint_take(&bytes, &offer.files) ||
        !packetfs_varint_take(&bytes, &offer.folders) ||
        !packetfs_varint_take(&bytes, &offer.bytes) || !packetfs_varint_take(&bytes, &len) ||
        len == 0 || len > PACKETFS_HANDOVER_VOLUME_FILE_MAX_BYTES || len != bytes.len) {
        hm_wipe(&offer, sizeof(offer));
        return malformed(error, "offer");
    }
    offer.port = (uint16_t)(port[0] << 8 | port[1]);
    offer.volume_file = bytes;
    *out = offer;
    hm_wipe(&offer, sizeof(offer));
    return 0;
}

/* --- PROGRESS --------------------------------------------------------------------------------------------------------- */

int packetfs_handover_progress_write(const struct packetfs_handover_progress *progress,
                                     struct hm_buf *out)
{
    const uint8_t stage = (uint8_t)progress->stage;

    if (hm_buf_append(out, &stage, 1) != 0 ||
        packetfs_varint_append(out, progress->files_done) != 0 ||
        packetfs_varint_append(out, progress->bytes_done) != 0)
        return HM_ENOMEM;
    return 0;
}

int packetfs_handover_progress_read(struct hm_slice body, struct packetfs_handover_progress *out,
                                    struct hm_error *error)
{
    struct packetfs_handover_progress progress;
    uint8_t stage;

    if (!take_bytes(&body, &stage, 1) || stage < PACKETFS_STAGE_RECEIVE ||
        stage >= PACKETFS_HANDOVER_STAGES || !packetfs_varint_take(&body, &progress.files_done) ||
        !packetfs_varint_take(&body, &progress.bytes_done) || body.len > 0)
        return malformed(error, "progress");
    progress.stage = (enum packetfs_handover_stage)stage;
    *out = progress;
    return 0;
}
