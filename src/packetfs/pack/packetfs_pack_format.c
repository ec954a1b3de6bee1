#include "pack/packetfs_pack.h"

#define MAGIC             "HMPFPACK"
#define MAGIC_BYTES       8
#define FORMAT_PLAUSIBLE  15 /* what is higher is damage, not a later program */
#define OFFSET_VERSION    8
#define OFFSET_KIND       10
#define OFFSET_SUITE      11
#define OFFSET_RESERVED   12
#define OFFSET_VOLUME     16
#define OFFSET_SALT       32
#define FOLDER_HEAD_BYTES 8u /* objects, dictionaries */

_Static_assert(OFFSET_SALT + PACKETFS_PACK_SALT_BYTES == PACKETFS_PACK_HEADER_BYTES, "header");

void packetfs_pack_header_make(enum packetfs_kind kind, enum packetfs_suite suite,
                               const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                               const uint8_t salt[PACKETFS_PACK_SALT_BYTES],
                               struct packetfs_pack_header *out)
{
    memset(out, 0, sizeof(*out));
    out->kind = kind;
    out->suite = suite;
    memcpy(out->volume_id, volume_id, sizeof(out->volume_id));
    memcpy(out->salt, salt, sizeof(out->salt));
    memcpy(out->bytes, MAGIC, MAGIC_BYTES);
    out->bytes[OFFSET_VERSION + 1] = PACKETFS_PACK_FORMAT;
    out->bytes[OFFSET_KIND] = (uint8_t)kind;
    out->bytes[OFFSET_SUITE] = (uint8_t)suite;
    memcpy(out->bytes + OFFSET_VOLUME, volume_id, sizeof(out->volume_id));
    memcpy(out->bytes + OFFSET_SALT, salt, sizeof(out->salt));
}

int packetfs_pack_header_parse(struct hm_slice bytes, struct packetfs_pack_header *out,
                               struct hm_error *error)
{
    const uint8_t *at = bytes.data;
    unsigned version;

    if (bytes.len < PACKETFS_PACK_HEADER_BYTES || memcmp(at, MAGIC, MAGIC_BYTES) != 0)
        return hm_fail(error, HM_EPARSE, "this is not a pack");
    version = (unsigned)at[OFFSET_VERSION] << 8 | at[OFFSET_VERSION + 1];
    if (version > PACKETFS_PACK_FORMAT && version <= FORMAT_PLAUSIBLE)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "a pack of format %u: this program knows formats up to %d; take a later one",
                       version, PACKETFS_PACK_FORMAT);
    if (version != PACKETFS_PACK_FORMAT || at[OFFSET_KIND] >= PACKETFS_STORE_KINDS ||
        hm_get_be32(at + OFFSET_RESERVED) != 0 ||
        (at[OFFSET_SUITE] != PACKETFS_SUITE_AES_256_GCM &&
         at[OFFSET_SUITE] != PACKETFS_SUITE_CHACHA20_POLY1305))
        return hm_fail(error, HM_EPARSE, "a pack's header is damaged");
    packetfs_pack_header_make((enum packetfs_kind)at[OFFSET_KIND],
                              (enum packetfs_suite)at[OFFSET_SUITE], at + OFFSET_VOLUME,
                              at + OFFSET_SALT, out);
    return 0;
}

void packetfs_pack_footer_make(const struct packetfs_pack_footer *footer, uint8_t out[16])
{
    hm_put_be32(out, footer->folder_position);
    hm_put_be32(out + 4, footer->folder_length);
    hm_put_be32(out + 8, footer->file_length);
    hm_put_be32(out + 12, footer->objects);
}

int packetfs_pack_footer_parse(const uint8_t in[16], uint64_t file_bytes,
                               struct packetfs_pack_footer *out, struct hm_error *error)
{
    struct packetfs_pack_footer footer = {.folder_position = hm_get_be32(in),
                                          .folder_length = hm_get_be32(in + 4),
                                          .file_length = hm_get_be32(in + 8),
                                          .objects = hm_get_be32(in + 12)};
    uint64_t folder_end = (uint64_t)footer.folder_position + footer.folder_length;

    if ((uint64_t)footer.file_length * PACKETFS_UNIT_BYTES != file_bytes ||
        footer.file_length >= PACKETFS_PACK_MAX_UNITS)
        return hm_fail(error, HM_ECORRUPT, "a pack of %llu bytes should have %llu",
                       (unsigned long long)file_bytes,
                       (unsigned long long)footer.file_length * PACKETFS_UNIT_BYTES);
    if (footer.objects > PACKETFS_PACK_OBJECTS_MAX || footer.folder_length < 2 ||
        footer.folder_position < PACKETFS_PACK_HEADER_UNITS ||
        folder_end + PACKETFS_PACK_FOOTER_UNITS > footer.file_length ||
        folder_end + PACKETFS_PACK_FOOTER_UNITS + 1 == footer.file_length)
        return hm_fail(error, HM_ECORRUPT, "a pack's footer names a folder that cannot be");
    *out = footer;
    return 0;
}

static uint32_t name_place(const struct packetfs_pack_names *names, uint64_t ref)
{
    uint32_t at = 0;

    while (at < names->count && names->refs[at] < ref)
        at++;
    return at;
}

bool packetfs_pack_names_has(const struct packetfs_pack_names *names, uint64_t ref)
{
    uint32_t at = name_place(names, ref);

    return at < names->count && names->refs[at] == ref;
}

int packetfs_pack_names_add(struct packetfs_pack_names *names, uint64_t ref)
{
    uint32_t at = name_place(names, ref);

    if (at < names->count && names->refs[at] == ref)
        return 0;
    if (names->count == PACKETFS_PACK_DICTIONARIES_MAX)
        return HM_ELIMIT;
    memmove(names->refs + at + 1, names->refs + at, (names->count - at) * sizeof(*names->refs));
    names->refs[at] = ref;
    names->count++;
    return 0;
}

int packetfs_pack_folder_make(const struct packetfs_pack_row *rows, size_t count,
                              const struct packetfs_pack_names *names, struct hm_buf *out)
{
    size_t len = FOLDER_HEAD_BYTES + count * PACKETFS_PACK_FOLDER_ROW_BYTES +
                 names->count * PACKETFS_PACK_FOLDER_REF_BYTES;
    size_t whole = (len + PACKETFS_UNIT_BYTES - 1) / PACKETFS_UNIT_BYTES * PACKETFS_UNIT_BYTES;
    uint8_t *at;

    if (hm_buf_reserve(out, whole))
        return HM_ENOMEM;
    at = out->data + out->len;
    memset(at, 0, whole);
    hm_put_be32(at, (uint32_t)count);
    hm_put_be32(at + 4, names->count);
    at += FOLDER_HEAD_BYTES;
    for (size_t i = 0; i < count; i++, at += PACKETFS_PACK_FOLDER_ROW_BYTES) {
        memcpy(at, rows[i].id.bytes, PACKETFS_ID_BYTES);
        hm_put_be32(at + PACKETFS_ID_BYTES, rows[i].length);
    }
    for (uint32_t i = 0; i < names->count; i++, at += PACKETFS_PACK_FOLDER_REF_BYTES)
        hm_put_be64(at, names->refs[i]);
    out->len += whole;
    return 0;
}

static int names_parse(const uint8_t *at, uint32_t count, struct packetfs_pack_names *out,
                       struct hm_error *error)
{
    out->count = count;
    for (uint32_t i = 0; i < count; i++, at += PACKETFS_PACK_FOLDER_REF_BYTES) {
        out->refs[i] = hm_get_be64(at);
        if (i > 0 && out->refs[i] <= out->refs[i - 1])
            return hm_fail(error, HM_ECORRUPT, "a pack's folder names dictionaries in disorder");
    }
    return 0;
}

static int folder_check(struct hm_slice folder, const struct packetfs_pack_footer *footer,
                        struct packetfs_pack_names *names, struct hm_error *error)
{
    uint32_t count = hm_get_be32(folder.data + 4);
    uint64_t rows = FOLDER_HEAD_BYTES + (uint64_t)footer->objects * PACKETFS_PACK_FOLDER_ROW_BYTES;
    uint64_t used = rows + (uint64_t)count * PACKETFS_PACK_FOLDER_REF_BYTES;

    if (count > PACKETFS_PACK_DICTIONARIES_MAX)
        return hm_fail(error, HM_ECORRUPT, "a pack's folder names %u dictionaries", count);
    if (folder.len != ((size_t)footer->folder_length - 1) * PACKETFS_UNIT_BYTES ||
        folder.len < used || folder.len - used >= PACKETFS_UNIT_BYTES ||
        hm_get_be32(folder.data) != footer->objects)
        return hm_fail(error, HM_ECORRUPT, "a pack's folder has not the length its footer says");
    for (size_t i = used; i < folder.len; i++) {
        if (folder.data[i] != 0)
            return hm_fail(error, HM_ECORRUPT, "a pack's folder does not end as it should");
    }
    return names_parse(folder.data + rows, count, names, error);
}

int packetfs_pack_folder_parse(struct hm_slice folder, const struct packetfs_pack_footer *footer,
                               struct packetfs_pack_row **out, struct packetfs_pack_names *names,
                               struct hm_error *error)
{
    struct packetfs_pack_names found;
    HM_AUTOFREE struct packetfs_pack_row *rows = NULL;
    uint32_t position = PACKETFS_PACK_HEADER_UNITS;
    const uint8_t *at = folder.data + FOLDER_HEAD_BYTES;
    int rc = folder_check(folder, footer, &found, error);

    if (rc)
        return rc;
    rows = hm_malloc((footer->objects + 1) * sizeof(*rows));
    if (!rows)
        return hm_fail(error, HM_ENOMEM, "no memory for a pack's folder");
    for (uint32_t i = 0; i < footer->objects; i++, at += PACKETFS_PACK_FOLDER_ROW_BYTES) {
        memcpy(rows[i].id.bytes, at, PACKETFS_ID_BYTES);
        rows[i].position = position;
        rows[i].length = hm_get_be32(at + PACKETFS_ID_BYTES);
        if (rows[i].length < 2 || rows[i].length >= PACKETFS_STORED_MAX_UNITS ||
            rows[i].length > footer->folder_position - position)
            return hm_fail(error, HM_ECORRUPT, "a pack's folder: object %u does not fit in it", i);
        position += rows[i].length;
    }
    if (position != footer->folder_position)
        return hm_fail(error, HM_ECORRUPT, "a pack's folder leaves a gap behind its objects");
    *out = HM_TAKE(rows);
    if (names)
        *names = found;
    return 0;
}

uint32_t packetfs_pack_padded(uint32_t units)
{
    uint64_t bytes = ((uint64_t)units + 2) * PACKETFS_UNIT_BYTES;
    unsigned e = hm_ilog2_u64(bytes);
    unsigned s = hm_ilog2_u64(e) + 1;
    uint64_t mask = e > s ? ((uint64_t)1 << (e - s)) - 1 : 0;
    uint64_t padded = (bytes + mask) & ~mask;

    return (uint32_t)((padded + PACKETFS_UNIT_BYTES - 1) / PACKETFS_UNIT_BYTES);
}

uint32_t packetfs_pack_filler_piece(uint32_t units)
{
    uint32_t most = (uint32_t)(PACKETFS_FILLER_BYTES / PACKETFS_UNIT_BYTES);
    uint32_t piece = units < most ? units : most;

    return units - piece == 1 ? piece - 1 : piece; /* one unit alone holds nothing but a tag */
}
