#include "pack/packetfs_dict.h"

#include <zdict.h>
#include <zstd.h>

#define VERSION         1u
#define LOOKED_BYTES    512u
#define TEXT_PERCENT    95u /* of what is looked at */
#define TRAINED_MIN     256u /* zstd makes none shorter */
#define OFFSET_CLASS    1
#define OFFSET_ZEROS    2
#define OFFSET_SEQUENCE 4

static const uint8_t zstd_magic[4] = {0x37, 0xa4, 0x30, 0xec};
static const uint8_t elf_magic[4] = {0x7f, 'E', 'L', 'F'};

/* --- classes --- */

/* Letters of all languages: of random bytes one in eight is none of these. */
static bool is_text_byte(uint8_t c)
{
    return (c >= ' ' && c < 0x7f) || c == '\n' || c == '\t' || c == '\r' || c >= 0x80;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

enum packetfs_dict_class packetfs_dict_class(struct hm_slice bytes)
{
    size_t looked = bytes.len < LOOKED_BYTES ? bytes.len : LOOKED_BYTES;
    size_t text = 0, at = 0;

    if (bytes.len == 0)
        return PACKETFS_DICT_NONE;
    for (size_t i = 0; i < looked; i++)
        text += is_text_byte(bytes.data[i]);
    if (text * 100 < looked * TEXT_PERCENT)
        return bytes.len >= sizeof(elf_magic) &&
                       memcmp(bytes.data, elf_magic, sizeof(elf_magic)) == 0
                   ? PACKETFS_DICT_ELF
                   : PACKETFS_DICT_BINARY;
    while (at < looked && is_space(bytes.data[at]))
        at++;
    if (at < looked && (bytes.data[at] == '{' || bytes.data[at] == '['))
        return PACKETFS_DICT_JSON;
    return at < looked && bytes.data[at] == '<' ? PACKETFS_DICT_MARKUP : PACKETFS_DICT_TEXT;
}

/* --- the object --- */

int packetfs_dict_write(const struct packetfs_dict_head *head, struct hm_buf *out)
{
    uint8_t bytes[PACKETFS_DICT_HEAD_BYTES] = {VERSION, (uint8_t)head->class};

    hm_put_be32(bytes + OFFSET_SEQUENCE, head->sequence);
    if (hm_buf_append(out, bytes, sizeof(bytes)))
        return HM_ENOMEM;
    return hm_buf_append(out, head->trained.data, head->trained.len);
}

int packetfs_dict_parse(struct hm_slice object, struct packetfs_dict_head *out,
                        struct hm_error *error)
{
    const uint8_t *at = object.data;

    if (object.len > 0 && at[0] > VERSION)
        return hm_fail(error, HM_EUNSUPPORTED, "a dictionary of version %u: take a later program",
                       at[0]);
    if (object.len < PACKETFS_DICT_HEAD_BYTES + TRAINED_MIN ||
        object.len > PACKETFS_DICT_HEAD_BYTES + PACKETFS_DICT_TRAINED_BYTES || at[0] != VERSION ||
        at[OFFSET_CLASS] == PACKETFS_DICT_NONE || at[OFFSET_ZEROS] != 0 ||
        at[OFFSET_ZEROS + 1] != 0 ||
        memcmp(at + PACKETFS_DICT_HEAD_BYTES, zstd_magic, sizeof(zstd_magic)) != 0)
        return hm_fail(error, HM_ECORRUPT, "%zu bytes that are no dictionary", object.len);
    *out = (struct packetfs_dict_head){
        .class = at[OFFSET_CLASS],
        .sequence = hm_get_be32(at + OFFSET_SEQUENCE),
        .trained = hm_slice_of(at + PACKETFS_DICT_HEAD_BYTES,
                               object.len - PACKETFS_DICT_HEAD_BYTES)};
    return 0;
}

/* --- prepared --- */

int packetfs_dict_new(const struct packetfs_id *id, struct hm_slice object, int level,
                      struct packetfs_dict **out, struct hm_error *error)
{
    struct packetfs_dict_head head;
    struct packetfs_dict *dict;
    int rc = packetfs_dict_parse(object, &head, error);

    if (rc)
        return rc;
    if (ZDICT_isError(ZDICT_getDictHeaderSize(head.trained.data, head.trained.len)))
        return hm_fail(error, HM_ECORRUPT, "zstd takes these %zu bytes for no dictionary",
                       head.trained.len);
    dict = hm_calloc(1, sizeof(*dict));
    if (!dict)
        return hm_fail(error, HM_ENOMEM, "no memory for a dictionary");
    dict->id = *id;
    dict->ref = packetfs_dict_ref(id);
    dict->class = head.class;
    dict->sequence = head.sequence;
    if (level)
        dict->pack = ZSTD_createCDict(head.trained.data, head.trained.len, level);
    else
        dict->unpack = ZSTD_createDDict(head.trained.data, head.trained.len);
    if (!dict->pack && !dict->unpack) {
        packetfs_dict_free(dict);
        return hm_fail(error, HM_ENOMEM, "no memory for a dictionary");
    }
    *out = dict;
    return 0;
}

void packetfs_dict_free(struct packetfs_dict *dict)
{
    if (!dict)
        return;
    (void)ZSTD_freeCDict(dict->pack);
    (void)ZSTD_freeDDict(dict->unpack);
    hm_free(dict);
}
