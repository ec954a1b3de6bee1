/* One block as bytes: docs/formats-log.md. */
#include "engine_log.h"

#define RECORD_MAGIC       "HMBLOCK1"
#define RECORD_MAGIC_BYTES 8
#define AT_LEN             8 /* of everything before the padding */
#define AT_HEIGHT          16
#define AT_TIME            24
#define AT_HASH            32
#define AT_ROOT            64
#define AT_HEADER_LEN      96
#define AT_COUNT           100
#define AT_DIGEST          104
#define RECORD_HEAD_BYTES  (AT_DIGEST + CRYPTO_HASH_BYTES)
#define ITEM_HEAD_BYTES    4

static uint64_t padded(uint64_t len)
{
    return (len + ENGINE_LOG_PAGE_BYTES - 1) / ENGINE_LOG_PAGE_BYTES * ENGINE_LOG_PAGE_BYTES;
}

/* The file's random id goes in first, so that nobody can write a record into a transaction. */
static void record_digest(const uint8_t id[ENGINE_LOG_ID_BYTES], const uint8_t *record, size_t len,
                          uint8_t out[CRYPTO_HASH_BYTES])
{
    struct crypto_hasher hasher;

    crypto_hasher_init(&hasher);
    crypto_hasher_update(&hasher, id, ENGINE_LOG_ID_BYTES);
    crypto_hasher_update(&hasher, record, AT_DIGEST);
    crypto_hasher_update(&hasher, record + RECORD_HEAD_BYTES, len - RECORD_HEAD_BYTES);
    crypto_hasher_final(&hasher, out);
}

static size_t record_len(const struct engine_log_block *block)
{
    size_t len = RECORD_HEAD_BYTES + block->proposal.header.len;

    for (size_t i = 0; i < block->proposal.count; i++)
        len += ITEM_HEAD_BYTES + block->proposal.items[i].len;
    return len;
}

bool engine_log_has_room(const struct engine_log *log, const struct engine_log_block *block)
{
    uint64_t end = log->files[log->current].end;

    return end == ENGINE_LOG_PAGE_BYTES || end + padded(record_len(block)) <= log->limit_bytes;
}

int engine_log_pack(const uint8_t id[ENGINE_LOG_ID_BYTES], const struct engine_log_block *block,
                    struct hm_buf *out)
{
    const struct ledger_proposal *proposal = &block->proposal;
    size_t len = record_len(block);
    uint8_t *at;

    if (len > ENGINE_LOG_RECORD_MAX_BYTES || proposal->count > LEDGER_BLOCK_MAX_ITEMS)
        return HM_ELIMIT;
    hm_buf_clear(out);
    if (hm_buf_reserve(out, padded(len)) != 0)
        return HM_ENOMEM;
    at = out->data;
    memcpy(at, RECORD_MAGIC, RECORD_MAGIC_BYTES);
    hm_put_be64(at + AT_LEN, len);
    hm_put_be64(at + AT_HEIGHT, proposal->height);
    hm_put_be64(at + AT_TIME, proposal->time_ms);
    memcpy(at + AT_HASH, proposal->hash, CRYPTO_HASH_BYTES);
    memcpy(at + AT_ROOT, block->state_root, CRYPTO_HASH_BYTES);
    hm_put_be32(at + AT_HEADER_LEN, (uint32_t)proposal->header.len);
    hm_put_be32(at + AT_COUNT, (uint32_t)proposal->count);
    at += RECORD_HEAD_BYTES;
    if (proposal->header.len > 0)
        memcpy(at, proposal->header.data, proposal->header.len);
    at += proposal->header.len;
    for (size_t i = 0; i < proposal->count; i++) {
        hm_put_be32(at, (uint32_t)proposal->items[i].len);
        if (proposal->items[i].len > 0)
            memcpy(at + ITEM_HEAD_BYTES, proposal->items[i].data, proposal->items[i].len);
        at += ITEM_HEAD_BYTES + proposal->items[i].len;
    }
    memset(at, 0, padded(len) - len);
    record_digest(id, out->data, len, out->data + AT_DIGEST);
    out->len = padded(len);
    return 0;
}

/* The header and the items, which must fill the record. */
static bool parts_unpack(struct hm_slice rest, size_t header_len, struct ledger_proposal *proposal,
                         struct hm_slice *items)
{
    if (header_len > rest.len)
        return false;
    proposal->header = hm_slice_of(rest.data, header_len);
    rest = hm_slice_of(rest.data + header_len, rest.len - header_len);
    for (size_t i = 0; i < proposal->count; i++) {
        size_t len;

        if (rest.len < ITEM_HEAD_BYTES)
            return false;
        len = hm_get_be32(rest.data);
        if (len > rest.len - ITEM_HEAD_BYTES)
            return false;
        items[i] = hm_slice_of(rest.data + ITEM_HEAD_BYTES, len);
        rest = hm_slice_of(rest.data + ITEM_HEAD_BYTES + len, rest.len - ITEM_HEAD_BYTES - len);
    }
    proposal->items = items;
    return rest.len == 0;
}

int engine_log_unpack(const uint8_t id[ENGINE_LOG_ID_BYTES], struct hm_slice bytes,
                      struct engine_log_block *block, struct hm_slice *items, size_t *record_bytes)
{
    struct engine_log_block found = {0};
    uint8_t digest[CRYPTO_HASH_BYTES];
    uint64_t len;

    if (bytes.len < RECORD_HEAD_BYTES || memcmp(bytes.data, RECORD_MAGIC, RECORD_MAGIC_BYTES) != 0)
        return HM_EPARSE;
    len = hm_get_be64(bytes.data + AT_LEN);
    if (len < RECORD_HEAD_BYTES || len > ENGINE_LOG_RECORD_MAX_BYTES || len > bytes.len)
        return HM_EPARSE;
    record_digest(id, bytes.data, (size_t)len, digest);
    if (memcmp(digest, bytes.data + AT_DIGEST, sizeof(digest)) != 0)
        return HM_EPARSE;
    found.proposal.height = hm_get_be64(bytes.data + AT_HEIGHT);
    found.proposal.time_ms = hm_get_be64(bytes.data + AT_TIME);
    memcpy(found.proposal.hash, bytes.data + AT_HASH, CRYPTO_HASH_BYTES);
    memcpy(found.state_root, bytes.data + AT_ROOT, CRYPTO_HASH_BYTES);
    found.proposal.count = hm_get_be32(bytes.data + AT_COUNT);
    if (found.proposal.count > LEDGER_BLOCK_MAX_ITEMS ||
        !parts_unpack(hm_slice_of(bytes.data + RECORD_HEAD_BYTES, (size_t)len - RECORD_HEAD_BYTES),
                      hm_get_be32(bytes.data + AT_HEADER_LEN), &found.proposal, items))
        return HM_EPARSE;
    *block = found;
    *record_bytes = (size_t)padded(len);
    return 0;
}
