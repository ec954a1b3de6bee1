/* Blocks, transactions, state and what the chain stands on. */
#include "api_handlers.h"

#define PROOFS_PER_TX 4

int api_handle_validate(struct api_call *call, struct hm_error *error)
{
    const struct api_value *tx = api_record_get(&call->body, "tx");
    const struct api_value *batch = api_record_get(&call->body, "batch");
    uint64_t index = api_number_or(&call->body, "index", 0);
    const struct api_backend *backend = call->backend;
    Hypermesh__ProofReport *reports = NULL;
    bool valid = true;
    int rc;

    if (tx->set == batch->set)
        return hm_fail(error, HM_EINVAL, "give either tx (a digest) or batch (packed, base64)");
    if (index > 0 && !batch->set)
        return hm_fail(error, HM_EINVAL, "index goes with batch");
    rc = tx->set ? backend->validate_tx(backend->ctx, tx->id, &call->arena, &reports, error)
                 : backend->validate_batch(backend->ctx, batch->bytes, (size_t)index, &call->arena,
                                           &reports, error);
    if (rc)
        return rc;
    for (size_t i = 0; i < PROOFS_PER_TX; i++)
        valid = valid && reports[i].valid;
    json_out_open(&call->json, '{');
    json_out_put_bool(&call->json, "valid", valid);
    json_out_key(&call->json, "proofs");
    json_out_open(&call->json, '[');
    for (size_t i = 0; i < PROOFS_PER_TX; i++)
        json_message(&call->json, &reports[i].base);
    json_out_close(&call->json, ']');
    json_out_close(&call->json, '}');
    return 0;
}

int api_handle_consensus(struct api_call *call, struct hm_error *error)
{
    struct json_out *json = &call->json;
    Hypermesh__Params *params = NULL;
    Hypermesh__Supply *supply = NULL;
    Hypermesh__Genesis *genesis = NULL;
    struct api_status status = {0};
    int rc = call->backend->status(call->backend->ctx, &call->arena, &status, error);

    if (rc == 0)
        rc = call->backend->chain(call->backend->ctx, &call->arena, &params, &supply, &genesis,
                                  error);
    if (rc)
        return rc;
    json_out_open(json, '{');
    json_out_put_text(json, "engine", status.engine ? status.engine : "");
    json_out_put_text(json, "chain_id", status.chain_id ? status.chain_id : "");
    json_out_put_u64(json, "height", status.height);
    json_out_put_u64(json, "time_ms", status.time_ms);
    json_out_put_hash(json, "block_hash", status.block_hash);
    json_out_put_hash(json, "state_root", status.state_root);
    json_out_put_money(json, "base_fee", status.base_fee);
    json_out_put_u64(json, "queued", status.queued);
    json_out_key(json, "params");
    json_message(json, params ? &params->base : NULL);
    json_out_key(json, "supply");
    json_message(json, supply ? &supply->base : NULL);
    json_out_close(json, '}');
    return 0;
}

int api_handle_genesis(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Params *params = NULL;
    Hypermesh__Supply *supply = NULL;
    Hypermesh__Genesis *genesis = NULL;
    int rc = call->backend->chain(call->backend->ctx, &call->arena, &params, &supply, &genesis,
                                  error);

    if (rc == 0 && !genesis)
        rc = hm_fail(error, HM_ENOTFOUND, "this chain's genesis is not kept here");
    if (rc == 0)
        json_message(&call->json, &genesis->base);
    return rc;
}

/* --- blocks ----------------------------------------------------------------------------------- */

static void put_bytes(struct json_out *json, const char *name, ProtobufCBinaryData data)
{
    json_out_key(json, name);
    json_out_hex(json, wire_slice(data));
}

/* Inside an open object. */
static void block_put(struct json_out *json, const struct api_block *block)
{
    static const Hypermesh__BlockHeader no_header = HYPERMESH__BLOCK_HEADER__INIT;
    static const Hypermesh__BlockRecord no_record = HYPERMESH__BLOCK_RECORD__INIT;
    const Hypermesh__BlockHeader *header = block->header ? block->header : &no_header;
    const Hypermesh__BlockRecord *record = block->record ? block->record : &no_record;

    json_out_put_u64(json, "height", header->height);
    put_bytes(json, "hash", record->hash);
    json_out_put_u64(json, "time_ms", header->time_ms);
    json_out_put_text(json, "chain_id", header->chain_id ? header->chain_id : "");
    put_bytes(json, "previous_hash", header->previous_hash);
    put_bytes(json, "state_root", record->state_root);
    put_bytes(json, "data_root", header->data_root);
    json_out_put_money(json, "base_fee", record->base_fee);
    json_out_put_u64(json, "weight", record->weight);
    json_out_put_u64(json, "tx_count", block->txs);
    json_out_key(json, "expired");
    json_out_open(json, '[');
    for (size_t i = 0; i < record->n_expired; i++)
        json_out_lease(json, wire_slice(record->expired[i]));
    json_out_close(json, ']');
}

static int latest_height(struct api_call *call, uint64_t *height, struct hm_error *error)
{
    struct api_status status = {0};
    int rc = call->backend->status(call->backend->ctx, &call->arena, &status, error);

    if (rc == 0)
        *height = status.height;
    return rc;
}

/* Height that the page begins at; 0: it is empty. */
static int blocks_start(struct api_call *call, uint64_t *from, struct hm_error *error)
{
    const struct api_value *named = api_record_get(&call->query, "from");
    const char *after = api_text_or(&call->query, "after", NULL);
    uint64_t height = 0;

    if (after) {
        int rc = hm_u64_parse(after, &height, error);

        if (rc)
            return hm_error_prefix(error, rc, "after");
        *from = height > 0 ? height - 1 : 0;
        return 0;
    }
    if (named->set) {
        *from = named->number;
        return 0;
    }
    return latest_height(call, from, error);
}

int api_handle_blocks(struct api_call *call, struct hm_error *error)
{
    struct api_block *blocks = NULL;
    uint64_t from = 0;
    char next[24];
    size_t count = 0;
    size_t limit = 0;
    int rc = api_query_limit(call, &limit, error);

    if (rc == 0)
        rc = blocks_start(call, &from, error);
    if (rc == 0 && from > 0)
        rc = call->backend->blocks(call->backend->ctx, from, limit + 1, &call->arena, &blocks,
                                   &count, error);
    if (rc)
        return rc;
    next[0] = '\0';
    if (count > limit && blocks[limit - 1].header)
        (void)snprintf(next, sizeof(next), "%llu",
                       (unsigned long long)blocks[limit - 1].header->height);
    api_list_open(&call->json);
    for (size_t i = 0; i < count && i < limit; i++) {
        json_out_open(&call->json, '{');
        block_put(&call->json, &blocks[i]);
        json_out_close(&call->json, '}');
    }
    api_list_close(&call->json, next[0] != '\0' ? next : NULL);
    return 0;
}

int api_handle_block(struct api_call *call, struct hm_error *error)
{
    struct api_block block = {0};
    uint8_t(*digests)[32] = NULL;
    uint64_t height = 0;
    int rc;

    if (strcmp(call->param.text, "latest") == 0)
        rc = latest_height(call, &height, error);
    else if ((rc = hm_u64_parse(call->param.text, &height, error)) != 0)
        return hm_error_prefix(error, rc, "height (a number, or latest)");
    if (rc == 0)
        rc = call->backend->block(call->backend->ctx, height, &call->arena, &block, &digests,
                                  error);
    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    block_put(&call->json, &block);
    json_out_key(&call->json, "engine");
    json_message(&call->json,
                 block.header && block.header->engine ? &block.header->engine->base : NULL);
    json_out_key(&call->json, "txs");
    json_out_open(&call->json, '[');
    for (size_t i = 0; i < block.txs && digests; i++)
        json_out_hex(&call->json, hm_slice_of(digests[i], sizeof(digests[i])));
    json_out_close(&call->json, ']');
    json_out_close(&call->json, '}');
    return 0;
}

/* --- transactions ----------------------------------------------------------------------------- */

static void tx_result_put(struct json_out *json, const Hypermesh__TxResult *result)
{
    json_out_put_text(json, "code", result->code == 0 ? "ok" : hm_error_name(result->code));
    json_out_put_text(json, "text", result->text ? result->text : "");
    json_out_put_money(json, "fee", result->fee);
    if (result->code != 0)
        json_out_put_u64(json, "failed_op", result->op);
    json_out_key(json, "created");
    json_out_open(json, '[');
    for (size_t i = 0; i < result->n_created; i++)
        json_out_hex(json, wire_slice(result->created[i]));
    json_out_close(json, ']');
    json_out_key(json, "facts");
    json_message(json, result->facts ? &result->facts->base : NULL);
}

static void tx_body_put(struct json_out *json, const Hypermesh__TxBody *body)
{
    json_out_key(json, "account");
    json_out_account(json, wire_slice(body->account));
    json_out_put_text(json, "chain_id", body->chain_id ? body->chain_id : "");
    json_out_put_money(json, "fee_limit", body->fee_limit);
    json_out_put_u64(json, "timestamp_ms", body->timestamp_ms);
    put_bytes(json, "presence", body->presence);
    put_bytes(json, "session_key", body->session_key);
    json_out_put_u64(json, "anchor_height", body->anchor_height);
    put_bytes(json, "anchor_hash", body->anchor_hash);
    json_out_key(json, "ops");
    json_out_open(json, '[');
    for (size_t i = 0; i < body->n_ops; i++)
        json_message(json, &body->ops[i]->base);
    json_out_close(json, ']');
}

int api_handle_tx(struct api_call *call, struct hm_error *error)
{
    static const Hypermesh__TxResult no_result = HYPERMESH__TX_RESULT__INIT;
    static const Hypermesh__TxBody no_body = HYPERMESH__TX_BODY__INIT;
    struct api_tx tx = {0};
    int rc = call->backend->tx(call->backend->ctx, call->param.id, &call->arena, &tx, error);

    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    json_out_put_hash(&call->json, "digest", tx.digest);
    json_out_put_u64(&call->json, "height", tx.height);
    tx_body_put(&call->json, tx.body ? tx.body : &no_body);
    tx_result_put(&call->json, tx.result ? tx.result : &no_result);
    json_out_close(&call->json, '}');
    return 0;
}

int api_handle_tx_submit(struct api_call *call, struct hm_error *error)
{
    struct api_receipt receipt = {0};
    int rc;

    if (call->request->body.len == 0)
        return hm_fail(error, HM_EINVAL, "the body must be a packed Tx (proto/ledger.proto)");
    rc = call->backend->submit_signed(call->backend->ctx, call->request->body, &call->arena,
                                      &receipt, error);
    if (rc == 0)
        api_receipt_json(&call->json, &receipt);
    return rc;
}

int api_handle_state(struct api_call *call, struct hm_error *error)
{
    struct api_state_proof proof = {0};
    int rc = call->backend->state_proof(call->backend->ctx, call->param.bytes, &call->arena, &proof,
                                        error);

    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    json_out_key(&call->json, "key");
    json_out_hex(&call->json, call->param.bytes);
    json_out_key(&call->json, "value");
    if (proof.value.data)
        json_out_base64(&call->json, proof.value);
    else
        json_out_null(&call->json);
    json_out_key(&call->json, "proof");
    json_out_base64(&call->json, proof.proof);
    json_out_put_hash(&call->json, "root", proof.root);
    json_out_put_u64(&call->json, "height", proof.height);
    json_out_close(&call->json, '}');
    return 0;
}
