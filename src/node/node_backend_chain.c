/* Behind the API: reads of the ledger, each from one snapshot. */
#include "node_reading.h"

/* --- assets and leases ------------------------------------------------------------------------------------------- */

static int node_assets(void *ctx, const char *owner, Hypermesh__AssetKind kind, bool with_retired,
                       const struct api_page *page, struct hm_arena *arena, Hypermesh__Asset ***out,
                       size_t *count, struct hm_error *error)
{
    struct ledger_asset_filter filter = {.kind = kind, .with_retired = with_retired};
    uint8_t id[WIRE_ID_BYTES];
    NODE_READING at = {0};
    int rc = node_reading_open_for(ctx, owner, id, &filter.owner, &at, error);

    return rc != 0 ? rc
                   : ledger_view_assets(at.view, &filter, page->after, page->limit, arena, out,
                                        count, error);
}

static int node_asset(void *ctx, const uint8_t id[32], struct hm_arena *arena,
                      Hypermesh__Asset **out, uint8_t address[16], struct hm_error *error)
{
    struct ledger_info info;
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    if (rc == 0)
        rc = ledger_view_asset(at.view, id, arena, out, error);
    if (rc == 0)
        rc = ledger_view_info(at.view, &info, error);
    if (rc == 0)
        wire_asset_address(info.chain_hash, (*out)->kind, id, address);
    return rc;
}

static int node_asset_history(void *ctx, const uint8_t id[32], uint64_t from, size_t limit,
                              struct hm_arena *arena, Hypermesh__AssetEvent ***out, size_t *count,
                              struct hm_error *error)
{
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    return rc != 0 ? rc
                   : ledger_view_asset_history(at.view, id, from, limit, arena, out, count, error);
}

static int node_leases(void *ctx, const char *party, const uint8_t *asset, bool active_only,
                       const struct api_page *page, struct hm_arena *arena, Hypermesh__Lease ***out,
                       size_t *count, struct hm_error *error)
{
    struct ledger_lease_filter filter = {.asset = asset, .active_only = active_only};
    uint8_t id[WIRE_ID_BYTES];
    NODE_READING at = {0};
    int rc = node_reading_open_for(ctx, party, id, &filter.party, &at, error);

    return rc != 0 ? rc
                   : ledger_view_leases(at.view, &filter, page->after, page->limit, arena, out,
                                        count, error);
}

static int node_lease(void *ctx, const uint8_t id[32], struct hm_arena *arena,
                      Hypermesh__Lease **out, struct hm_error *error)
{
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    return rc != 0 ? rc : ledger_view_lease(at.view, id, arena, out, error);
}

static int node_chain(void *ctx, struct hm_arena *arena, Hypermesh__Params **params,
                      Hypermesh__Supply **supply, Hypermesh__Genesis **genesis,
                      struct hm_error *error)
{
    NODE_READING at = {0};
    struct hm_slice bytes;
    int rc = node_reading_open(ctx, &at, error);

    if (rc == 0)
        rc = ledger_view_params(at.view, arena, params, error);
    if (rc == 0)
        rc = ledger_view_supply(at.view, arena, supply, error);
    if (rc == 0)
        rc = ledger_view_genesis(at.view, &bytes, error);
    if (rc == 0)
        rc = WIRE_UNPACK(hypermesh__genesis, bytes, bytes.len, arena, genesis, error);
    return rc;
}

/* --- blocks and transactions --------------------------------------------------------------------------------- */

static int node_block_read(struct ledger_view *view, uint64_t height, struct hm_arena *arena,
                           struct api_block *out, struct hm_error *error)
{
    Hypermesh__Block *block;
    struct hm_slice bytes;
    int rc = ledger_view_block(view, height, arena, &bytes, &out->record, error);

    if (rc == 0)
        rc = WIRE_UNPACK(hypermesh__block, bytes, bytes.len, arena, &block, error);
    if (rc == 0)
        rc = WIRE_UNPACK(hypermesh__block_header, wire_slice(block->header), block->header.len,
                         arena, &out->header, error);
    if (rc == 0)
        out->txs = out->record->n_results;
    return rc;
}

static int node_blocks(void *ctx, uint64_t from, size_t limit, struct hm_arena *arena,
                       struct api_block **out, size_t *count, struct hm_error *error)
{
    struct api_block *list = hm_arena_alloc(arena, (limit + 1) * sizeof(*list));
    struct ledger_info info;
    NODE_READING at = {0};
    size_t found = 0;

    if (list == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a list of blocks");
    int rc = node_reading_open(ctx, &at, error);
    if (rc != 0)
        return rc;
    rc = ledger_view_info(at.view, &info, error);
    if (rc == 0 && from > info.height)
        from = info.height;
    for (uint64_t height = from; rc == 0 && height > 0 && found < limit; height--, found++)
        rc = node_block_read(at.view, height, arena, &list[found], error);
    if (rc != 0)
        return rc;
    *out = list;
    *count = found;
    return 0;
}

static int node_block(void *ctx, uint64_t height, struct hm_arena *arena, struct api_block *out,
                      uint8_t (**tx_digests)[32], struct hm_error *error)
{
    uint8_t(*digests)[32];
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    if (rc != 0)
        return rc;
    rc = node_block_read(at.view, height, arena, out, error);
    if (rc != 0)
        return rc;
    digests = hm_arena_alloc(arena, (out->txs + 1) * sizeof(*digests));
    if (digests == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a block's transactions");
    for (size_t i = 0; i < out->txs; i++)
        if (out->record->results[i]->digest.len == sizeof(digests[i]))
            memcpy(digests[i], out->record->results[i]->digest.data, sizeof(digests[i]));
    *tx_digests = digests;
    return 0;
}

static int node_tx(void *ctx, const uint8_t digest[32], struct hm_arena *arena, struct api_tx *out,
                   struct hm_error *error)
{
    NODE_READING at = {0};
    struct hm_slice bytes;
    int rc = node_reading_open(ctx, &at, error);

    if (rc == 0)
        rc = ledger_view_tx(at.view, digest, arena, &bytes, &out->height, &out->result, error);
    if (rc == 0)
        rc = WIRE_UNPACK(hypermesh__tx, bytes, bytes.len, arena, &out->tx, error);
    if (rc == 0)
        rc = WIRE_UNPACK(hypermesh__tx_body, wire_slice(out->tx->body), out->tx->body.len, arena,
                         &out->body, error);
    if (rc == 0)
        memcpy(out->digest, digest, sizeof(out->digest));
    return rc;
}

/* --- proofs --------------------------------------------------------------------------------------------------------- */

static int node_state_proof(void *ctx, struct hm_slice key, struct hm_arena *arena,
                            struct api_state_proof *out, struct hm_error *error)
{
    struct store_tree_proof proof;
    HM_CLEANUP(hm_buf) struct hm_buf encoded = {0};
    struct ledger_info info;
    NODE_READING at = {0};
    struct hm_slice value;
    int rc = node_reading_open(ctx, &at, error);

    if (rc == 0)
        rc = ledger_view_prove(at.view, key, &value, &proof, out->root, error);
    if (rc == 0) {
        rc = store_tree_proof_encode(&proof, &encoded);
        store_tree_proof_release(&proof);
    }
    if (rc == 0)
        rc = ledger_view_info(at.view, &info, error);
    if (rc == 0) {
        out->height = info.height;
        out->value = hm_slice_of(NULL, 0);
        if (value.data != NULL) /* one byte more: an empty value is not an absent one */
            out->value = hm_slice_of(hm_arena_alloc(arena, value.len + 1), value.len);
        out->proof = hm_slice_of(hm_arena_dup(arena, encoded.data, encoded.len), encoded.len);
        if (out->proof.data == NULL || (value.data != NULL && out->value.data == NULL))
            rc = hm_fail(error, HM_ENOMEM, "no memory for a state proof");
        else if (value.len > 0)
            memcpy((uint8_t *)(uintptr_t)out->value.data, value.data, value.len);
    }
    return rc;
}

static int node_validate_tx(void *ctx, const uint8_t digest[32], struct hm_arena *arena,
                            Hypermesh__ProofReport **out, struct hm_error *error)
{
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    return rc != 0 ? rc : node_proofs_of_tx(ctx, at.view, digest, arena, out, error);
}

static int node_validate_batch(void *ctx, struct hm_slice batch, size_t tx_index,
                               struct hm_arena *arena, Hypermesh__ProofReport **out,
                               struct hm_error *error)
{
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    return rc != 0 ? rc : node_proofs_of_batch(ctx, at.view, batch, tx_index, arena, out, error);
}

/* --- replay ------------------------------------------------------------------------------------------------------------ */

static int node_replay(struct node *node, const char *path, proof_plot_progress progress,
                       void *pctx, uint64_t *blocks, uint64_t *txs, struct hm_error *error)
{
    const struct store_options options = {
        .tables = ledger_table_names, .table_count = LEDGER_TABLE_COUNT, .scratch = true};
    struct ledger *ledger;
    struct store *store;
    int rc = store_open_lmdb(path, &options, &store, error);

    if (rc != 0)
        return rc;
    rc = ledger_open(store, &ledger, error);
    if (rc == 0) {
        rc = ledger_replay(node->ledger, ledger, progress, pctx, blocks, txs, error);
        ledger_close(ledger);
    }
    store_close(store);
    return rc;
}

static int node_verify_chain(void *ctx, int (*progress)(void *pctx, uint64_t done, uint64_t total),
                             void *pctx, uint64_t *blocks, uint64_t *txs, struct hm_error *error)
{
    struct node *node = ctx;
    char path[NODE_PATH_MAX_BYTES];
    int rc = node_need_ready(node, error);

    if (rc == 0)
        rc = node_path(node, NODE_VERIFY_NAME, path, error);
    if (rc != 0)
        return rc;
    if (atomic_exchange(&node->verifying, true))
        return hm_fail(error, HM_EBUSY, "the chain is being verified already");
    rc = hm_remove_tree(path, error);
    if (rc == 0)
        rc = node_replay(node, path, progress, pctx, blocks, txs, error);
    hm_remove_tree(path, NULL);
    atomic_store(&node->verifying, false);
    return rc;
}

void node_backend_chain_init(struct node *node)
{
    struct api_backend *backend = &node->backend;

    backend->assets = node_assets;
    backend->asset = node_asset;
    backend->asset_history = node_asset_history;
    backend->leases = node_leases;
    backend->lease = node_lease;
    backend->chain = node_chain;
    backend->blocks = node_blocks;
    backend->block = node_block;
    backend->tx = node_tx;
    backend->state_proof = node_state_proof;
    backend->validate_tx = node_validate_tx;
    backend->validate_batch = node_validate_batch;
    backend->verify_chain = node_verify_chain;
}
