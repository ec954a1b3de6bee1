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
    api_json_open(&call->json, '{');
    api_json_put_bool(&call->json, "valid", valid);
    api_json_key(&call->json, "proofs");
    api_json_open(&call->json, '[');
    for (size_t i = 0; i < PROOFS_PER_TX; i++)
        api_message_json(&call->json, &reports[i].base);
    api_json_close(&call->json, ']');
    api_json_close(&call->json, '}');
    return 0;
}

int api_handle_consensus(struct api_call *call, struct hm_error *error)
{
    struct api_json *json = &call->json;
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
    api_json_open(json, '{');
    api_json_put_text(json, "engine", status.engine ? status.engine : "");
    api_json_put_text(json, "chain_id", status.chain_id ? status.chain_id : "");
    api_json_put_u64(json, "height", status.height);
    api_json_put_u64(json, "time_ms", status.time_ms);
    api_json_put_hash(json, "block_hash", status.block_hash);
    api_json_put_hash(json, "state_root", status.state_root);
    api_json_put_money(json, "base_fee", status.base_fee);
    api_json_put_u64(json, "queued", status.queued);
    api_json_key(json, "params");
    api_message_json(json, params ? &params->base : NULL);
    api_json_key(json, "supply");
    api_message_json(json, supply ? &supply->base : NULL);
    api_json_close(json, '}');
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
        api_message_json(&call->json, &genesis->base);
    return rc;
}

/* --- blocks ----------------------------------------------------------------------------------- */

static void put_bytes(struct api_json *json, const char *name, ProtobufCBinaryData data)
{
    api_json_key(json, name);
    api_json_hex(json, wire_slice(data));
}

/* Inside an open object. */
static void block_put(struct api_json *json, const struct api_block *block)
{
    static const Hypermesh__BlockHeader no_header = HYPERMESH__BLOCK_HEADER__INIT;
    static const Hypermesh__BlockRecord no_record = HYPERMESH__BLOCK_RECORD__INIT;
    const Hypermesh__BlockHeader *header = block->header ? block->header : &no_header;
    const Hypermesh__BlockRecord *record = block->record ? block->record : &no_record;

    api_json_put_u64(json, "height", header->height);
    put_bytes(json, "hash", record->hash);
    api_json_put_u64(json, "time_ms", header->time_ms);
    api_json_put_text(json, "chain_id", header->chain_id ? header->chain_id : "");
    put_bytes(json, "previous_hash", header->previous_hash);
    put_bytes(json, "state_root", record->state_root);
    put_bytes(json, "data_root", header->data_root);
    api_json_put_money(json, "base_fee", record->base_fee);
    api_json_put_u64(json, "weight", record->weight);
    api_json_put_u64(json, "tx_count", block->txs);
    api_json_key(json, "expired");
    api_json_open(json, '[');
    for (size_t i = 0; i < record->n_expired; i++)
        api_json_lease(json, wire_slice(record->expired[i]));
    api_json_close(json, ']');
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
        api_json_open(&call->json, '{');
        block_put(&call->json, &blocks[i]);
        api_json_close(&call->json, '}');
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
    api_json_open(&call->json, '{');
    block_put(&call->json, &block);
    api_json_key(&call->json, "txs");
    api_json_open(&call->json, '[');
    for (size_t i = 0; i < block.txs && digests; i++)
        api_json_hex(&call->json, hm_slice_of(digests[i], sizeof(digests[i])));
    api_json_close(&call->json, ']');
    api_json_close(&call->json, '}');
    return 0;
}

/* --- transactions ----------------------------------------------------------------------------- */

static void tx_result_put(struct api_json *json, const Hypermesh__TxResult *result)
{
    api_json_put_text(json, "code", result->code == 0 ? "ok" : hm_error_name(result->code));
    api_json_put_text(json, "text", result->text ? result->text : "");
    api_json_put_money(json, "fee", result->fee);
    if (result->code != 0)
        api_json_put_u64(json, "failed_op", result->op);
    api_json_key(json, "created");
    api_json_open(json, '[');
    for (size_t i = 0; i < result->n_created; i++)
        api_json_hex(json, wire_slice(result->created[i]));
    api_json_close(json, ']');
    api_json_key(json, "facts");
    api_message_json(json, result->facts ? &result->facts->base : NULL);
}

static void tx_body_put(struct api_json *json, const Hypermesh__TxBody *body)
{
    api_json_key(json, "account");
    api_json_account(json, wire_slice(body->account));
    api_json_put_text(json, "chain_id", body->chain_id ? body->chain_id : "");
    api_json_put_money(json, "fee_limit", body->fee_limit);
    api_json_put_u64(json, "timestamp_ms", body->timestamp_ms);
    put_bytes(json, "presence", body->presence);
    put_bytes(json, "session_key", body->session_key);
    api_json_put_u64(json, "anchor_height", body->anchor_height);
    put_bytes(json, "anchor_hash", body->anchor_hash);
    api_json_key(json, "ops");
    api_json_open(json, '[');
    for (size_t i = 0; i < body->n_ops; i++)
        api_message_json(json, &body->ops[i]->base);
    api_json_close(json, ']');
}

int api_handle_tx(struct api_call *call, struct hm_error *error)
{
    static const Hypermesh__TxResult no_result = HYPERMESH__TX_RESULT__INIT;
    static const Hypermesh__TxBody no_body = HYPERMESH__TX_BODY__INIT;
    struct api_tx tx = {0};
    int rc = call->backend->tx(call->backend->ctx, call->param.id, &call->arena, &tx, error);

    if (rc)
        return rc;
    api_json_open(&call->json, '{');
    api_json_put_hash(&call->json, "digest", tx.digest);
    api_json_put_u64(&call->json, "height", tx.height);
    tx_body_put(&call->json, tx.body ? tx.body : &no_body);
    tx_result_put(&call->json, tx.result ? tx.result : &no_result);
    api_json_close(&call->json, '}');
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
    api_json_open(&call->json, '{');
    api_json_key(&call->json, "key");
    api_json_hex(&call->json, call->param.bytes);
    api_json_key(&call->json, "value");
    if (proof.value.data)
        api_json_base64(&call->json, proof.value);
    else
        api_json_null(&call->json);
    api_json_key(&call->json, "proof");
    api_json_base64(&call->json, proof.proof);
    api_json_put_hash(&call->json, "root", proof.root);
    api_json_put_u64(&call->json, "height", proof.height);
    api_json_close(&call->json, '}');
    return 0;
}
