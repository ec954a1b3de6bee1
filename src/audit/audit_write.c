/* From genesis and blocks to lines. */
#include "audit_line.h"
#include "proof.h"

#define MONEY_DIGITS     9
#define MONEY_TEXT_BYTES 40

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for a line of the export");
}

/* Ends the line that begins at `start` of out and counts it in. */
static int line_done(struct audit_writer *writer, struct hm_buf *out, size_t start, int rc,
                     struct hm_error *error)
{
    if (rc == 0)
        rc = hm_buf_append(out, "\n", 1);
    if (rc)
        return no_memory(error);
    crypto_hasher_update(&writer->lines, out->data + start, out->len - start);
    return 0;
}

void audit_writer_init(struct audit_writer *writer)
{
    memset(writer, 0, sizeof(*writer));
    crypto_hasher_init(&writer->lines);
}

int audit_write_genesis(struct audit_writer *writer, struct hm_slice genesis, struct hm_buf *out,
                        struct hm_error *error)
{
    size_t start = out->len;

    writer->summary.from = 1;
    crypto_hash(genesis.data, genesis.len, writer->summary.head_hash);
    return line_done(writer, out, start, audit_line_genesis(genesis, out), error);
}

int audit_write_from(struct audit_writer *writer, uint64_t height,
                     const uint8_t hash[CRYPTO_HASH_BYTES], struct hm_buf *out,
                     struct hm_error *error)
{
    size_t start = out->len;

    writer->summary.from = height + 1;
    writer->summary.to = height;
    memcpy(writer->summary.head_hash, hash, CRYPTO_HASH_BYTES);
    return line_done(writer, out, start, audit_line_from(height, hash, out), error);
}

int audit_write_end(struct audit_writer *writer, struct hm_buf *out, struct hm_error *error)
{
    uint8_t lines_hash[CRYPTO_HASH_BYTES];
    size_t start = out->len;

    crypto_hasher_final(&writer->lines, lines_hash);
    return line_done(writer, out, start, audit_line_end(&writer->summary, lines_hash, out), error);
}

/* --- blocks --------------------------------------------------------------------------------------- */

int audit_block_open(struct audit_block *cursor, struct hm_slice bytes,
                     const Hypermesh__BlockRecord *record, struct hm_arena *arena,
                     struct hm_error *error)
{
    Hypermesh__BlockHeader *header = NULL;
    Hypermesh__Block *block = NULL;
    int rc = WIRE_UNPACK(hypermesh__block, bytes, AUDIT_BLOCK_MAX_BYTES, arena, &block, error);

    if (rc == 0)
        rc = WIRE_UNPACK(hypermesh__block_header, wire_slice(block->header), AUDIT_BLOCK_MAX_BYTES,
                         arena, &header, error);
    if (rc)
        return hm_error_prefix(error, rc == HM_ENOMEM ? rc : HM_ECORRUPT, "a block of the chain");
    *cursor = (struct audit_block){
        .block = block, .header = header, .record = record, .arena = arena};
    return 0;
}

static int write_block_line(struct audit_block *cursor, struct audit_writer *writer,
                            struct hm_buf *out)
{
    const Hypermesh__BlockRecord *record = cursor->record;
    struct audit_block_line line = {
        .header_bytes = wire_slice(cursor->block->header),
        .header = cursor->header,
        .items = cursor->block->n_items,
        .ended = record->n_expired + record->n_silent,
        .state_root = wire_slice(record->state_root),
    };

    proof_block_hash(line.header_bytes, line.hash);
    writer->summary.to = cursor->header->height;
    writer->summary.blocks++;
    memcpy(writer->summary.head_hash, line.hash, sizeof(line.hash));
    memset(writer->summary.state_root, 0, CRYPTO_HASH_BYTES);
    if (record->state_root.len == CRYPTO_HASH_BYTES)
        memcpy(writer->summary.state_root, record->state_root.data, CRYPTO_HASH_BYTES);
    cursor->headed = true;
    return audit_line_block(&line, out);
}

static int write_batch_line(struct audit_block *cursor, struct hm_buf *out)
{
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    struct hm_slice bytes = wire_slice(cursor->block->items[cursor->item]);
    struct audit_batch_line line = {.height = cursor->header->height, .item = cursor->item};
    Hypermesh__BatchHead *head = NULL;
    Hypermesh__Batch *batch = NULL;
    int rc = WIRE_UNPACK(hypermesh__batch, bytes, AUDIT_BLOCK_MAX_BYTES, cursor->arena, &batch,
                         NULL);

    if (rc == HM_ENOMEM)
        return rc;
    if (rc == 0)
        rc = WIRE_UNPACK(hypermesh__batch_head, wire_slice(batch->head), AUDIT_BLOCK_MAX_BYTES,
                         cursor->arena, &head, NULL);
    if (rc == HM_ENOMEM || (batch && wire_pack(&batch->base, &packed)))
        return HM_ENOMEM;
    line.batch = batch;
    line.head = head;
    if (!batch || !hm_slice_equal(hm_buf_slice(&packed), bytes))
        line.bytes = bytes;
    cursor->batch = batch;
    cursor->tx = 0;
    cursor->item_open = true;
    return audit_line_batch(&line, out);
}

/* Results stand in the order of the transactions; a batch that could not be read or had no room has
 * none. */
static const Hypermesh__TxResult *result_of(struct audit_block *cursor, const uint8_t digest[32])
{
    const Hypermesh__BlockRecord *record = cursor->record;
    struct hm_slice wanted = hm_slice_of(digest, CRYPTO_HASH_BYTES);

    if (cursor->result >= record->n_results ||
        !hm_slice_equal(wire_slice(record->results[cursor->result]->digest), wanted))
        return NULL;
    return record->results[cursor->result++];
}

static int write_tx_line(struct audit_block *cursor, struct audit_writer *writer,
                         struct hm_buf *out)
{
    struct audit_tx_line line = {
        .height = cursor->header->height, .item = cursor->item, .tx = cursor->tx};
    const Hypermesh__TxResult *result;
    char fee[MONEY_TEXT_BYTES];
    struct hm_arena arena;
    int rc;

    hm_arena_init(&arena, 0);
    rc = audit_tx_read(wire_slice(cursor->batch->txs[cursor->tx]), &arena, &line);
    if (rc == 0) {
        result = result_of(cursor, line.digest);
        hm_decimal_format(result ? result->fee : 0, MONEY_DIGITS, fee);
        line.code = !result ? "none" : result->code == 0 ? "ok" : hm_error_name(result->code);
        line.text = result && result->text ? result->text : "";
        line.rule = result && result->rule ? result->rule : "";
        line.fee = fee;
        writer->summary.txs++;
        writer->summary.ops += line.body ? line.body->n_ops : 0;
        cursor->tx++;
        rc = audit_line_tx(&line, out);
    }
    hm_arena_release(&arena);
    return rc;
}

static int write_ended_line(struct audit_block *cursor, struct hm_buf *out)
{
    const Hypermesh__BlockRecord *record = cursor->record;
    uint64_t height = cursor->header->height;
    size_t at = cursor->ended++;

    if (at < record->n_expired)
        return audit_line_ended(height, AUDIT_ENDED_LEASE, wire_slice(record->expired[at]), out);
    return audit_line_ended(height, AUDIT_ENDED_CHALLENGE,
                            wire_slice(record->silent[at - record->n_expired]), out);
}

int audit_block_next(struct audit_block *cursor, struct audit_writer *writer, struct hm_buf *out,
                     struct hm_error *error)
{
    size_t start = out->len;
    int rc;

    if (cursor->item_open && (!cursor->batch || cursor->tx == cursor->batch->n_txs)) {
        cursor->item_open = false;
        cursor->item++;
    }
    if (!cursor->headed)
        rc = write_block_line(cursor, writer, out);
    else if (cursor->item_open)
        rc = write_tx_line(cursor, writer, out);
    else if (cursor->item < cursor->block->n_items)
        rc = write_batch_line(cursor, out);
    else if (cursor->ended < cursor->record->n_expired + cursor->record->n_silent)
        rc = write_ended_line(cursor, out);
    else
        return 0;
    rc = line_done(writer, out, start, rc, error);
    return rc ? rc : 1;
}
