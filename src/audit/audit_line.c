#include "audit_line.h"

#include "proof.h"

#define TX_MAX_BYTES ((size_t)32 << 20)

static void line_open(struct json_out *json, struct hm_buf *out, const char *type)
{
    *json = (struct json_out){.out = out};
    json_out_open(json, '{');
    json_out_put_text(json, "type", type);
}

static int line_close(struct json_out *json)
{
    json_out_close(json, '}');
    return json->error;
}

int audit_line_genesis(struct hm_slice genesis, struct hm_buf *out)
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    struct json_out json;

    crypto_hash(genesis.data, genesis.len, hash);
    line_open(&json, out, "genesis");
    json_out_put_hash(&json, "hash", hash);
    json_out_put_base64(&json, "bytes", genesis);
    return line_close(&json);
}

int audit_line_from(uint64_t height, const uint8_t hash[CRYPTO_HASH_BYTES], struct hm_buf *out)
{
    struct json_out json;

    line_open(&json, out, "from");
    json_out_put_u64(&json, "height", height);
    json_out_put_hash(&json, "hash", hash);
    return line_close(&json);
}

int audit_line_block(const struct audit_block_line *line, struct hm_buf *out)
{
    struct json_out json;

    line_open(&json, out, "block");
    json_out_put_u64(&json, "height", line->header->height);
    json_out_put_u64(&json, "time_ms", line->header->time_ms);
    json_out_put_hash(&json, "hash", line->hash);
    json_out_put_hex(&json, "previous_hash", wire_slice(line->header->previous_hash));
    json_out_put_hex(&json, "previous_state_root", wire_slice(line->header->previous_state_root));
    json_out_put_hex(&json, "data_root", wire_slice(line->header->data_root));
    json_out_put_base64(&json, "header", line->header_bytes);
    json_out_put_u64(&json, "items", line->items);
    json_out_put_u64(&json, "ended", line->ended);
    json_out_put_hex(&json, "state_root", line->state_root);
    return line_close(&json);
}

int audit_line_batch(const struct audit_batch_line *line, struct hm_buf *out)
{
    struct json_out json;

    line_open(&json, out, "batch");
    json_out_put_u64(&json, "height", line->height);
    json_out_put_u64(&json, "item", line->item);
    if (line->batch) {
        json_out_key(&json, "node");
        json_out_account(&json, line->head ? wire_slice(line->head->node) : (struct hm_slice){0});
        json_out_put_base64(&json, "head", wire_slice(line->batch->head));
        json_out_put_base64(&json, "signature", wire_slice(line->batch->signature));
        json_out_put_u64(&json, "txs", line->batch->n_txs);
    }
    if (line->bytes.len > 0 || !line->batch)
        json_out_put_base64(&json, "bytes", line->bytes);
    return line_close(&json);
}

int audit_tx_read(struct hm_slice bytes, struct hm_arena *arena, struct audit_tx_line *line)
{
    Hypermesh__TxBody *body = NULL;
    Hypermesh__Tx *tx = NULL;
    uint8_t body_digest[CRYPTO_HASH_BYTES];
    int rc = WIRE_UNPACK(hypermesh__tx, bytes, TX_MAX_BYTES, arena, &tx, NULL);

    if (rc == 0)
        rc = WIRE_UNPACK(hypermesh__tx_body, wire_slice(tx->body), TX_MAX_BYTES, arena, &body,
                         NULL);
    if (rc == HM_ENOMEM)
        return rc;
    line->bytes = bytes;
    line->body = body;
    memset(line->digest, 0, sizeof(line->digest));
    if (rc)
        return 0;
    proof_body_digest(wire_slice(tx->body), body_digest);
    proof_tx_digest(body_digest, tx->work_nonce, line->digest);
    return 0;
}

int audit_line_tx(const struct audit_tx_line *line, struct hm_buf *out)
{
    const Hypermesh__TxBody *body = line->body;
    struct json_out json;

    line_open(&json, out, "tx");
    json_out_put_u64(&json, "height", line->height);
    json_out_put_u64(&json, "item", line->item);
    json_out_put_u64(&json, "tx", line->tx);
    json_out_put_hash(&json, "digest", line->digest);
    json_out_key(&json, "account");
    json_out_account(&json, body ? wire_slice(body->account) : (struct hm_slice){0});
    json_out_put_text(&json, "code", line->code);
    json_out_put_text(&json, "text", line->text);
    json_out_put_text(&json, "rule", line->rule);
    json_out_put_text(&json, "fee", line->fee);
    json_out_put_base64(&json, "bytes", line->bytes);
    json_out_key(&json, "ops");
    json_out_open(&json, '[');
    for (size_t i = 0; body && i < body->n_ops; i++)
        json_message(&json, &body->ops[i]->base);
    json_out_close(&json, ']');
    return line_close(&json);
}

int audit_line_ended(uint64_t height, enum audit_ended what, struct hm_slice id, struct hm_buf *out)
{
    struct json_out json;

    line_open(&json, out, "ended");
    json_out_put_u64(&json, "height", height);
    json_out_key(&json, what == AUDIT_ENDED_LEASE ? "lease" : "challenge");
    if (what == AUDIT_ENDED_LEASE)
        json_out_lease(&json, id);
    else
        json_out_challenge(&json, id);
    return line_close(&json);
}

int audit_line_end(const struct audit_summary *summary, const uint8_t lines_hash[CRYPTO_HASH_BYTES],
                   struct hm_buf *out)
{
    struct json_out json;

    line_open(&json, out, "end");
    json_out_put_u64(&json, "from", summary->from);
    json_out_put_u64(&json, "to", summary->to);
    json_out_put_u64(&json, "blocks", summary->blocks);
    json_out_put_u64(&json, "txs", summary->txs);
    json_out_put_u64(&json, "ops", summary->ops);
    json_out_put_hash(&json, "head_hash", summary->head_hash);
    json_out_put_hash(&json, "state_root", summary->state_root);
    json_out_put_hash(&json, "lines_hash", lines_hash);
    return line_close(&json);
}
