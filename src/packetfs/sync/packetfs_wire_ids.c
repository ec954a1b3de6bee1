/* Messages that find out which snapshots one side lacks: parts of the ids by their first half-bytes, each with a
 * fingerprint, split in sixteen until it is small. */
#include "sync/packetfs_wire.h"

#include "crypto.h"
#include "packetfs_varint.h"

#define DEPTH_MAX (2 * PACKETFS_SNAPSHOT_ID_BYTES)

static uint8_t half_byte(const uint8_t *id, size_t at)
{
    return at % 2 == 0 ? id[at / 2] >> 4 : id[at / 2] & 15;
}

bool packetfs_wire_part_holds(const struct packetfs_wire_part *part,
                              const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES])
{
    for (size_t i = 0; i < part->depth; i++)
        if (half_byte(part->prefix, i) != half_byte(id, i))
            return false;
    return true;
}

void packetfs_wire_mark(const uint8_t *ids, size_t count, uint8_t mark[PACKETFS_WIRE_MARK_BYTES])
{
    uint8_t digest[CRYPTO_HASH_BYTES];

    crypto_hash(ids, count * PACKETFS_SNAPSHOT_ID_BYTES, digest);
    memcpy(mark, digest, PACKETFS_WIRE_MARK_BYTES);
}

static int malformed(struct hm_error *error)
{
    return hm_fail(error, HM_EPARSE, "the peer's list of snapshots follows no format");
}

static bool take_bytes(struct hm_slice *in, void *out, size_t len)
{
    if (in->len < len)
        return false;
    memcpy(out, in->data, len);
    *in = hm_slice_of(in->data + len, in->len - len);
    return true;
}

/* --- ask ---------------------------------------------------------------------------------------------------------------- */

int packetfs_wire_ask_write(const struct packetfs_wire_ask *ask, struct hm_buf *out)
{
    if (ask->count == 0 || ask->count > PACKETFS_WIRE_ASKS_MAX)
        return HM_ELIMIT;
    if (packetfs_varint_append(out, ask->count) != 0)
        return HM_ENOMEM;
    for (size_t i = 0; i < ask->count; i++) {
        const struct packetfs_wire_part *part = &ask->parts[i];

        if (hm_buf_append(out, &part->depth, 1) != 0 ||
            hm_buf_append(out, part->prefix, (part->depth + 1U) / 2) != 0 ||
            hm_buf_append(out, part->mark, sizeof(part->mark)) != 0)
            return HM_ENOMEM;
    }
    return 0;
}

static bool part_take(struct hm_slice *in, struct packetfs_wire_part *part)
{
    memset(part, 0, sizeof(*part));
    if (!take_bytes(in, &part->depth, 1) || part->depth > DEPTH_MAX ||
        !take_bytes(in, part->prefix, (part->depth + 1U) / 2) ||
        !take_bytes(in, part->mark, sizeof(part->mark)))
        return false;
    return part->depth % 2 == 0 || (part->prefix[part->depth / 2] & 15) == 0;
}

int packetfs_wire_ask_read(struct hm_slice body, struct packetfs_wire_ask *out,
                           struct hm_error *error)
{
    uint64_t count;

    if (!packetfs_varint_take(&body, &count) || count == 0 || count > PACKETFS_WIRE_ASKS_MAX)
        return malformed(error);
    for (size_t i = 0; i < count; i++)
        if (!part_take(&body, &out->parts[i]))
            return malformed(error);
    if (body.len != 0)
        return malformed(error);
    out->count = (size_t)count;
    return 0;
}

/* --- ids ---------------------------------------------------------------------------------------------------------------- */

static int buckets_write(const struct packetfs_wire_ids *ids, struct hm_buf *out)
{
    for (size_t i = 0; i < PACKETFS_WIRE_BUCKETS; i++)
        if (packetfs_varint_append(out, ids->bucket_count[i]) != 0 ||
            (ids->bucket_count[i] > 0 &&
             hm_buf_append(out, ids->bucket_mark[i], PACKETFS_WIRE_MARK_BYTES) != 0))
            return HM_ENOMEM;
    return 0;
}

int packetfs_wire_ids_write(const struct packetfs_wire_ids *ids, struct hm_buf *out)
{
    const uint8_t form = (uint8_t)ids->form;

    if (hm_buf_append(out, &form, 1) != 0)
        return HM_ENOMEM;
    if (ids->form == PACKETFS_WIRE_SPLIT)
        return buckets_write(ids, out);
    if (ids->form != PACKETFS_WIRE_LIST)
        return 0;
    if (packetfs_varint_append(out, ids->count) != 0)
        return HM_ENOMEM;
    return ids->count > 0 ? hm_buf_append(out, ids->ids, ids->count * PACKETFS_SNAPSHOT_ID_BYTES)
                          : 0;
}

static bool list_take(struct hm_slice *in, const struct packetfs_wire_part *part,
                      struct packetfs_wire_ids *out)
{
    uint64_t count;

    if (!packetfs_varint_take(in, &count) || count > PACKETFS_WIRE_IDS_MAX ||
        !take_bytes(in, out->ids, (size_t)count * PACKETFS_SNAPSHOT_ID_BYTES))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!packetfs_wire_part_holds(part, out->ids[i]) ||
            (i > 0 && memcmp(out->ids[i - 1], out->ids[i], PACKETFS_SNAPSHOT_ID_BYTES) >= 0))
            return false;
    out->count = (size_t)count;
    return true;
}

static bool buckets_take(struct hm_slice *in, const struct packetfs_wire_part *part,
                         struct packetfs_wire_ids *out)
{
    if (part->depth >= DEPTH_MAX) /* a whole id is one id */
        return false;
    for (size_t i = 0; i < PACKETFS_WIRE_BUCKETS; i++)
        if (!packetfs_varint_take(in, &out->bucket_count[i]) ||
            (out->bucket_count[i] > 0 &&
             !take_bytes(in, out->bucket_mark[i], PACKETFS_WIRE_MARK_BYTES)))
            return false;
    return true;
}

int packetfs_wire_ids_take(struct hm_slice *in, const struct packetfs_wire_part *part,
                           struct packetfs_wire_ids *out, struct hm_error *error)
{
    uint8_t form;

    memset(out, 0, sizeof(*out));
    if (!take_bytes(in, &form, 1))
        return malformed(error);
    out->form = (enum packetfs_wire_ids_form)form;
    switch (form) {
    case PACKETFS_WIRE_SAME:
        return 0;
    case PACKETFS_WIRE_LIST:
        return list_take(in, part, out) ? 0 : malformed(error);
    case PACKETFS_WIRE_SPLIT:
        return buckets_take(in, part, out) ? 0 : malformed(error);
    default:
        return malformed(error);
    }
}
