/* Seals what clients sent into a batch: this node's anchor, Space openings and signature over all. */
#include "node_private.h"

static int node_seal_root(const struct hm_slice *txs, size_t count, struct hm_arena *arena,
                          uint8_t root[CRYPTO_HASH_BYTES], struct hm_error *error)
{
    uint8_t *digests = hm_arena_alloc(arena, count * CRYPTO_HASH_BYTES);

    if (digests == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to seal %zu transactions", count);
    for (size_t i = 0; i < count; i++) {
        uint8_t body_digest[CRYPTO_HASH_BYTES];
        Hypermesh__Tx *tx;
        int rc = WIRE_UNPACK(hypermesh__tx, txs[i], txs[i].len, arena, &tx, error);

        if (rc != 0)
            return rc;
        proof_body_digest(wire_slice(tx->body), body_digest);
        proof_tx_digest(body_digest, tx->work_nonce, digests + i * CRYPTO_HASH_BYTES);
    }
    crypto_merkle_root(digests, count, root);
    return 0;
}

static int node_seal_openings(struct node *node, const struct ledger_info *info,
                              const uint8_t tx_root[CRYPTO_HASH_BYTES], struct hm_arena *arena,
                              Hypermesh__BatchHead *head, struct hm_error *error)
{
    struct proof_plot *plot = atomic_load(&node->plot);
    struct ledger_view *view;
    Hypermesh__Params *params;
    Hypermesh__Account *account;
    uint8_t challenge[CRYPTO_HASH_BYTES];

    int rc = ledger_view_open(node->ledger, &view, error);
    if (rc != 0)
        return rc;
    rc = ledger_view_params(view, arena, &params, error);
    if (rc == 0)
        rc = ledger_view_account(view, node->operator_id, arena, &account, error);
    ledger_view_close(view);
    if (rc != 0)
        return rc;
    if (plot == NULL || account->plot == NULL)
        return 0; /* not committed yet: only what needs no Space proof can go into this batch */
    proof_space_challenge(info->block_hash, tx_root, node->operator_id, challenge);
    head->n_openings = params->space_openings;
    return proof_plot_open_at(plot, challenge, params->space_openings, false, arena,
                              &head->openings, error);
}

static int node_seal_head(struct node *node, const struct hm_slice *txs, size_t count,
                          struct hm_arena *arena, const uint8_t *session_key, struct hm_buf *out,
                          struct hm_error *error)
{
    Hypermesh__BatchHead head = HYPERMESH__BATCH_HEAD__INIT;
    uint8_t tx_root[CRYPTO_HASH_BYTES];
    struct ledger_info info;

    int rc = ledger_info(node->ledger, &info, error);
    if (rc == 0)
        rc = node_seal_root(txs, count, arena, tx_root, error);
    if (rc != 0)
        return rc;
    head.chain_id = info.chain_id;
    head.node = wire_bytes(node->operator_id, WIRE_ID_BYTES);
    head.anchor_height = info.height;
    head.anchor_hash = wire_bytes(info.block_hash, CRYPTO_HASH_BYTES);
    head.timestamp_ms = hm_wall_ms(node->options.clock);
    head.tx_root = wire_bytes(tx_root, CRYPTO_HASH_BYTES);
    if (session_key != NULL) {
        head.session_key = wire_bytes(session_key, CRYPTO_ED25519_PUBLIC_BYTES);
        rc = node_seal_openings(node, &info, tx_root, arena, &head, error);
    }
    if (rc == 0 && wire_pack(&head.base, out) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a batch");
    return rc;
}

static int node_seal_once(struct node *node, const struct hm_slice *txs, size_t count,
                          struct hm_buf *out, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf head = {0};
    Hypermesh__Batch batch = HYPERMESH__BATCH__INIT;
    uint8_t session_key[CRYPTO_ED25519_PUBLIC_BYTES];
    uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES];

    hm_arena_init(&arena, 0);
    /* Without a session the batch goes unsigned, and may hold only what the root keys signed. */
    bool by_session = node_wallet_session_key(node, NODE_OPERATOR, session_key) == 0;
    int rc = node_seal_head(node, txs, count, &arena, by_session ? session_key : NULL, &head,
                            error);
    if (rc == 0 && by_session)
        rc = node_wallet_sign_batch(node, NODE_OPERATOR, hm_buf_slice(&head), session_key,
                                    signature, error);
    if (rc != 0)
        return rc;
    batch.head = wire_bytes(head.data, head.len);
    if (by_session)
        batch.signature = wire_bytes(signature, sizeof(signature));
    batch.n_txs = count;
    batch.txs = hm_arena_alloc(&arena, count * sizeof(*batch.txs));
    if (batch.txs == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a batch of %zu transactions", count);
    for (size_t i = 0; i < count; i++)
        batch.txs[i] = wire_bytes(txs[i].data, txs[i].len);
    if (wire_pack(&batch.base, out) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a batch of %zu transactions", count);
    return 0;
}

int node_seal(void *ctx, const struct hm_slice *txs, size_t count, struct hm_buf *out,
              struct hm_error *error)
{
    int rc = node_seal_once(ctx, txs, count, out, error);

    if (rc == HM_ECONFLICT) /* a new session took over in between */
        rc = node_seal_once(ctx, txs, count, out, error);
    return rc;
}
