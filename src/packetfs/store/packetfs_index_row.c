#include "store/packetfs_index_inner.h"

/* name 16, state, kind, 2 zeros, objects 4, bytes 8, born 8, condemned 8, 8 zeros */
enum {
    ROW_STATE = 16,
    ROW_KIND,
    ROW_OBJECTS = 20,
    ROW_BYTES = 24,
    ROW_BORN = 32,
    ROW_CONDEMNED = 40
};

void packetfs_index_row_make(const struct packetfs_pack_info *info,
                             uint8_t out[PACKETFS_INDEX_ROW_BYTES])
{
    memset(out, 0, PACKETFS_INDEX_ROW_BYTES);
    memcpy(out, info->name, sizeof(info->name));
    out[ROW_STATE] = (uint8_t)info->state;
    out[ROW_KIND] = (uint8_t)info->kind;
    hm_put_be32(out + ROW_OBJECTS, info->objects);
    hm_put_be64(out + ROW_BYTES, info->bytes);
    hm_put_be64(out + ROW_BORN, info->born);
    hm_put_be64(out + ROW_CONDEMNED, info->condemned);
}

bool packetfs_index_row_parse(uint32_t number, const void *data, size_t len,
                              struct packetfs_pack_info *out)
{
    const uint8_t *at = data;

    if (len != PACKETFS_INDEX_ROW_BYTES || at[ROW_STATE] < PACKETFS_PACK_LIVE ||
        at[ROW_STATE] > PACKETFS_PACK_DEAD || at[ROW_KIND] >= PACKETFS_STORE_KINDS)
        return false;
    out->number = number;
    memcpy(out->name, at, sizeof(out->name));
    out->state = (enum packetfs_pack_state)at[ROW_STATE];
    out->kind = (enum packetfs_kind)at[ROW_KIND];
    out->objects = hm_get_be32(at + ROW_OBJECTS);
    out->bytes = hm_get_be64(at + ROW_BYTES);
    out->born = hm_get_be64(at + ROW_BORN);
    out->condemned = hm_get_be64(at + ROW_CONDEMNED);
    return true;
}

/* The range that an id's first two bytes are in, of 256 ranges whose widths grow to the double. Were all as wide, all would be
 * as full, and the pages of all would split at about the same time: the tree would then be half empty. */
void packetfs_index_key_make(enum packetfs_kind kind, const struct packetfs_id *id,
                             uint8_t out[PACKETFS_INDEX_KEY_BYTES])
{
    uint64_t u = (uint64_t)id->bytes[0] << 8 | id->bytes[1];

    out[0] = (uint8_t)kind;
    out[1] = (uint8_t)((4 * 65536 * u - u * u) * 256 / 3 >> 32);
}

/* pack 22 bits, position 22, length 17 */
void packetfs_index_item_make(const struct packetfs_id *id, uint32_t pack, uint32_t position,
                              uint32_t length, uint8_t out[PACKETFS_INDEX_ENTRY_BYTES])
{
    uint64_t location = (uint64_t)pack << 39 | (uint64_t)position << 17 | length;

    memcpy(out, id->bytes + 1, PACKETFS_INDEX_ID_BYTES);
    hm_put_be64(out + PACKETFS_INDEX_ID_BYTES,
                location ^ hm_get_be64(id->bytes + PACKETFS_ID_BYTES - 8));
}

bool packetfs_index_item_parse(const struct packetfs_id *id,
                               const uint8_t item[PACKETFS_INDEX_ENTRY_BYTES], uint32_t *pack,
                               uint32_t *position, uint32_t *length)
{
    uint64_t location = hm_get_be64(item + PACKETFS_INDEX_ID_BYTES) ^
                        hm_get_be64(id->bytes + PACKETFS_ID_BYTES - 8);

    *pack = (uint32_t)(location >> 39 & (PACKETFS_PACKS_MAX - 1));
    *position = (uint32_t)(location >> 17 & (PACKETFS_PACK_MAX_UNITS - 1));
    *length = (uint32_t)(location & (PACKETFS_STORED_MAX_UNITS - 1));
    return location >> 61 == 0 && *length >= 2 && *position >= PACKETFS_PACK_HEADER_UNITS;
}
