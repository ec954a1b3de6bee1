/* Blocks, their batches and transactions: the chain of headers and the roots over what is in them. */
#include "audit_reader.h"
#include "proof.h"

/* Tags of Batch: what its packed form is made of. */
#define TAG_HEAD      0x0a
#define TAG_SIGNATURE 0x12
#define TAG_TX        0x1a

/* --- blocks ------------------------------------------------------------------------------------------- */

int audit_read_complete(const struct audit_reader *reader, struct hm_error *error)
{
    uint8_t root[CRYPTO_HASH_BYTES];

    if (reader->in_batch)
        return hm_fail(error, HM_ECORRUPT,
                       "the batch before has %llu transactions, but %llu lines of them came",
                       (unsigned long long)reader->txs, (unsigned long long)reader->txs_seen);
    if (reader->items_seen != reader->items)
        return hm_fail(error, HM_ECORRUPT,
                       "the block before has %llu items, but %llu lines of them came",
                       (unsigned long long)reader->items, (unsigned long long)reader->items_seen);
    if (reader->ended_seen != reader->ended)
        return hm_fail(error, HM_ECORRUPT,
                       "the block before ended %llu things, but %llu lines of them came",
                       (unsigned long long)reader->ended, (unsigned long long)reader->ended_seen);
    if (reader->summary.blocks == 0)
        return 0;
    crypto_merkle_root(reader->item_hashes.data, (size_t)reader->items, root);
    if (memcmp(root, reader->data_root, sizeof(root)) != 0)
        return hm_fail(error, HM_ECORRUPT,
                       "the data_root of block %llu is not that of its batches: one was left out, "
                       "added, moved or changed",
                       (unsigned long long)reader->summary.to);
    return 0;
}

static int check_link(const struct audit_reader *reader, const Hypermesh__BlockHeader *header,
                      struct hm_error *error)
{
    const struct audit_summary *before = &reader->summary;
    unsigned long long wanted = (unsigned long long)before->to + 1;

    if (header->height != wanted)
        return hm_fail(error, HM_ECORRUPT, "block %llu stands where block %llu must stand",
                       (unsigned long long)header->height, wanted);
    if (!hm_slice_equal(wire_slice(header->previous_hash),
                        hm_slice_of(before->head_hash, CRYPTO_HASH_BYTES)))
        return hm_fail(error, HM_ECORRUPT,
                       "block %llu does not follow the block before it: previous_hash differs",
                       wanted);
    if (reader->has_state_root &&
        !hm_slice_equal(wire_slice(header->previous_state_root),
                        hm_slice_of(before->state_root, CRYPTO_HASH_BYTES)))
        return hm_fail(error, HM_ECORRUPT,
                       "state_root of block %llu is not the previous_state_root of block %llu",
                       wanted - 1, wanted);
    if (header->data_root.len != CRYPTO_HASH_BYTES)
        return hm_fail(error, HM_ECORRUPT, "the header's data_root must have 32 bytes");
    return 0;
}

static void enter_block(struct audit_reader *reader, const struct audit_block_line *block,
                        const uint8_t state_root[CRYPTO_HASH_BYTES])
{
    struct audit_summary *summary = &reader->summary;

    summary->to = block->header->height;
    summary->blocks++;
    memcpy(summary->head_hash, block->hash, CRYPTO_HASH_BYTES);
    memcpy(summary->state_root, state_root, CRYPTO_HASH_BYTES);
    memcpy(reader->data_root, block->header->data_root.data, CRYPTO_HASH_BYTES);
    reader->has_state_root = true;
    reader->items = block->items;
    reader->ended = block->ended;
    reader->items_seen = 0;
    reader->ended_seen = 0;
    hm_buf_clear(&reader->item_hashes);
}

int audit_read_block(struct audit_reader *reader, const json_t *line, struct hm_slice text,
                     struct hm_error *error)
{
    struct audit_block_line block = {0};
    Hypermesh__BlockHeader *header = NULL;
    uint8_t state_root[CRYPTO_HASH_BYTES];
    int rc = audit_read_complete(reader, error);

    if (rc == 0)
        rc = audit_field_bytes(line, "header", &reader->arena, &block.header_bytes, error);
    if (rc == 0)
        rc = audit_field_u64(line, "items", &block.items, error);
    if (rc == 0)
        rc = audit_field_u64(line, "ended", &block.ended, error);
    if (rc == 0)
        rc = audit_field_hash(line, "state_root", state_root, error);
    if (rc == 0 && block.items > AUDIT_ITEMS_MAX)
        rc = hm_fail(error, HM_ELIMIT, "a block has at most %d items", AUDIT_ITEMS_MAX);
    if (rc == 0)
        rc = WIRE_UNPACK(hypermesh__block_header, block.header_bytes, AUDIT_BLOCK_MAX_BYTES,
                         &reader->arena, &header, error);
    if (rc)
        return rc;
    block.header = header;
    block.state_root = hm_slice_of(state_root, sizeof(state_root));
    proof_block_hash(block.header_bytes, block.hash);
    rc = audit_reader_compare(reader, line, text, audit_line_block(&block, &reader->rendered),
                              error);
    if (rc == 0)
        rc = check_link(reader, header, error);
    if (rc == 0)
        enter_block(reader, &block, state_root);
    return rc;
}

/* --- batches ------------------------------------------------------------------------------------------ */

static void hash_part(struct crypto_hasher *hasher, uint8_t tag, struct hm_slice bytes)
{
    uint8_t head[12] = {tag};
    size_t used = 1;
    uint64_t len = bytes.len;

    do {
        head[used++] = (uint8_t)((len & 0x7f) | (len > 0x7f ? 0x80 : 0));
        len >>= 7;
    } while (len > 0);
    crypto_hasher_update(hasher, head, used);
    crypto_hasher_update(hasher, bytes.data, bytes.len);
}

/* When the last transaction of the batch has come: its hash is one leaf of the block's data_root. */
static int leave_batch(struct audit_reader *reader, struct hm_error *error)
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    uint8_t root[CRYPTO_HASH_BYTES];

    if (reader->txs_seen < reader->txs)
        return 0;
    reader->in_batch = false;
    reader->items_seen++;
    memcpy(hash, reader->raw_hash, sizeof(hash));
    if (!reader->raw)
        crypto_hasher_final(&reader->item, hash);
    crypto_merkle_root(reader->digests.data, (size_t)reader->txs, root);
    /* The ledger refuses a batch whose root is wrong, with everything in it. */
    if (reader->has_tx_root && memcmp(root, reader->tx_root, sizeof(root)) != 0 &&
        !reader->all_refused)
        return hm_fail(error, HM_ECORRUPT,
                       "the batch's tx_root is not that of its transactions, yet one took effect");
    return hm_buf_append(&reader->item_hashes, hash, sizeof(hash)) ? audit_no_memory(error) : 0;
}

/* An item whose own bytes stand in the line. */
static int read_raw_item(struct audit_reader *reader, struct audit_batch_line *batch,
                         struct hm_error *error)
{
    Hypermesh__Batch *raw = NULL;
    int rc;

    hm_arena_clear(&reader->batch_arena);
    crypto_hash(batch->bytes.data, batch->bytes.len, reader->raw_hash);
    rc = WIRE_UNPACK(hypermesh__batch, batch->bytes, AUDIT_BLOCK_MAX_BYTES, &reader->batch_arena,
                     &raw, error);
    if (rc == HM_ENOMEM)
        return rc;
    batch->batch = rc ? NULL : raw;
    if (rc == 0) {
        reader->raw = raw;
        return 0;
    }
    /* Unreadable: its hash counts and nothing can be shown of it. */
    static const Hypermesh__Batch nothing = HYPERMESH__BATCH__INIT;
    reader->raw = &nothing;
    return 0;
}

static int read_packed_item(struct audit_reader *reader, const json_t *line, Hypermesh__Batch *out,
                            struct hm_error *error)
{
    struct hm_slice head = {0};
    struct hm_slice signature = {0};
    uint64_t txs = 0;
    int rc = audit_field_bytes(line, "head", &reader->arena, &head, error);

    if (rc == 0)
        rc = audit_field_bytes(line, "signature", &reader->arena, &signature, error);
    if (rc == 0)
        rc = audit_field_u64(line, "txs", &txs, error);
    if (rc)
        return rc;
    out->head = wire_bytes(head.data, head.len);
    out->signature = wire_bytes(signature.data, signature.len);
    out->n_txs = (size_t)txs;
    reader->raw = NULL;
    crypto_hasher_init(&reader->item);
    if (head.len > 0)
        hash_part(&reader->item, TAG_HEAD, head);
    if (signature.len > 0)
        hash_part(&reader->item, TAG_SIGNATURE, signature);
    return 0;
}

static void enter_batch(struct audit_reader *reader, const struct audit_batch_line *batch)
{
    reader->in_batch = true;
    reader->txs = batch->batch ? batch->batch->n_txs : 0;
    reader->txs_seen = 0;
    reader->all_refused = true;
    reader->has_tx_root = batch->head && batch->head->tx_root.len == CRYPTO_HASH_BYTES;
    if (reader->has_tx_root)
        memcpy(reader->tx_root, batch->head->tx_root.data, CRYPTO_HASH_BYTES);
    hm_buf_clear(&reader->digests);
}

int audit_read_batch(struct audit_reader *reader, const json_t *line, struct hm_slice text,
                     struct hm_error *error)
{
    struct audit_batch_line batch = {.height = reader->summary.to, .item = reader->items_seen};
    Hypermesh__Batch packed = HYPERMESH__BATCH__INIT;
    Hypermesh__BatchHead *head = NULL;
    int rc = 0;

    if (reader->in_batch || reader->items_seen >= reader->items)
        return hm_fail(error, HM_ECORRUPT, "a batch stands here that the block does not have");
    if (json_object_get(line, "bytes")) {
        rc = audit_field_bytes(line, "bytes", &reader->arena, &batch.bytes, error);
        rc = rc ? rc : read_raw_item(reader, &batch, error);
    } else {
        rc = read_packed_item(reader, line, &packed, error);
        batch.batch = &packed;
    }
    if (rc)
        return rc;
    if (batch.batch && batch.batch->n_txs > AUDIT_TXS_MAX)
        return hm_fail(error, HM_ELIMIT, "a batch has at most %d transactions", AUDIT_TXS_MAX);
    if (batch.batch)
        rc = WIRE_UNPACK(hypermesh__batch_head, wire_slice(batch.batch->head),
                         AUDIT_BLOCK_MAX_BYTES, &reader->arena, &head, NULL);
    if (rc == HM_ENOMEM)
        return audit_no_memory(error);
    batch.head = head;
    rc = audit_reader_compare(reader, line, text, audit_line_batch(&batch, &reader->rendered),
                              error);
    if (rc)
        return rc;
    enter_batch(reader, &batch);
    return leave_batch(reader, error);
}

int audit_read_tx(struct audit_reader *reader, const json_t *line, struct hm_slice text,
                  struct hm_error *error)
{
    struct audit_tx_line tx = {
        .height = reader->summary.to, .item = reader->items_seen, .tx = reader->txs_seen};
    struct hm_slice bytes = {0};
    int rc;

    if (!reader->in_batch)
        return hm_fail(error, HM_ECORRUPT,
                       "a transaction stands here that the batch does not have");
    rc = audit_field_bytes(line, "bytes", &reader->arena, &bytes, error);
    if (rc == 0)
        rc = audit_field_text(line, "code", &tx.code, error);
    if (rc == 0)
        rc = audit_field_text(line, "text", &tx.text, error);
    if (rc == 0)
        rc = audit_field_text(line, "rule", &tx.rule, error);
    if (rc == 0)
        rc = audit_field_text(line, "fee", &tx.fee, error);
    if (rc)
        return rc;
    if (reader->raw && !hm_slice_equal(wire_slice(reader->raw->txs[reader->txs_seen]), bytes))
        return hm_fail(error, HM_ECORRUPT, "the transaction is not the one in the batch's bytes");
    if (audit_tx_read(bytes, &reader->arena, &tx))
        return audit_no_memory(error);
    rc = audit_reader_compare(reader, line, text, audit_line_tx(&tx, &reader->rendered), error);
    if (rc)
        return rc;
    if (!reader->raw)
        hash_part(&reader->item, TAG_TX, bytes);
    if (hm_buf_append(&reader->digests, tx.digest, sizeof(tx.digest)))
        return audit_no_memory(error);
    reader->all_refused = reader->all_refused && strcmp(tx.code, "ok") != 0;
    reader->txs_seen++;
    reader->summary.txs++;
    reader->summary.ops += tx.body ? tx.body->n_ops : 0;
    return leave_batch(reader, error);
}
